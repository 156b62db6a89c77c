/* checked: keys and signatures that this process has found good before.  Chains of T and K name the same keys in every
 * version, lists old and new ask for the same signatures, a copy is verified after the answers that it was made of:
 * what has been checked need not be checked again (a signature of P-384 takes 1.2 ms with OpenSSL 3.0, measured).
 * Only what was good is remembered, by all that went into it.  Small tables of fixed size, whose places newer ones
 * take.  Any thread. */
#ifndef PROTO_KEYS_CHECKED_H
#define PROTO_KEYS_CHECKED_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/proof/hash.h"

/* The loaded key of these very SPKI bytes (EVP_PKEY_free), if it was noted; else NULL.  id: SHA-256(spki). */
EVP_PKEY *checked_key(const struct hash *id, const uint8_t *spki, size_t size);

/* Notes a key whose point is on its curve; pkey stays the caller's. */
void checked_key_note(const struct hash *id, const uint8_t *spki, size_t size, EVP_PKEY *pkey);

/* What a signature is known by: the key's SPKI, which gives the algorithm, the bytes, and the signature itself. */
struct hash checked_signature_id(const uint8_t *spki, size_t spki_size, const uint8_t *bytes, size_t size,
				 const uint8_t *signature, size_t signature_size);
bool checked_signature(const struct hash *id);      /* noted as good */
void checked_signature_note(const struct hash *id); /* it is good */

#endif
