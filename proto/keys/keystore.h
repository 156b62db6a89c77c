/* keystore: where private keys live: load, sign, erase.  Backends are tables of functions, so that a key may later sit
 * in hardware or in another process; callers see public keys and signatures only. */
#ifndef PROTO_KEYS_KEYSTORE_H
#define PROTO_KEYS_KEYSTORE_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/keys/crypto.h"
#include "proto/wire/status.h"

struct keystore_key; /* opaque; thread-safe for signing */

struct keystore_ops {
	int (*sign)(void *impl, const uint8_t *bytes, size_t size, uint8_t signature[SIGNATURE_MAX],
		    size_t *signature_size);
	EVP_PKEY *(*pkey)(void *impl); /* borrowed, for TLS; NULL where the backend cannot give one */
	void (*erase)(void *impl);     /* overwrite and free */
};

/* Wraps a backend's key; owns impl from then on.  NULL when out of memory (impl is erased). */
struct keystore_key *keystore_wrap(const struct keystore_ops *ops, void *impl, const struct public_key *public_key);

void keystore_close(struct keystore_key *key); /* NULL allowed; overwrites key material */

const struct public_key *keystore_public(const struct keystore_key *key);
EVP_PKEY *keystore_pkey(const struct keystore_key *key); /* borrowed */

/* Signs bytes as envelopes and notes want it: Ed25519 raw 64 bytes; ECDSA r||s with SHA-256 or SHA-384. */
int keystore_sign(const struct keystore_key *key, const uint8_t *bytes, size_t size, uint8_t signature[SIGNATURE_MAX],
		  size_t *signature_size);

#endif
