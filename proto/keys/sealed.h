/* sealed: bodies that only the holders of certain reading keys can open: CMS AuthEnvelopedData (RFC 5083) with
 * AES-256-GCM (RFC 5084), one ECDH recipient for each P-384 key (RFC 5753).
 *
 * One form only: ephemeral-static ECDH with dhSinglePass-stdDH-sha384kdf-scheme and aes256-wrap, recipients named by
 * subjectKeyIdentifier = SHA-256(SPKI), IV of 12 and MAC of 16 bytes, DER, no attributes, no originator info.  OpenSSL
 * decrypts much more than that (shorter MACs, other KDFs), so sealed_check refuses everything else first. */
#ifndef PROTO_KEYS_SEALED_H
#define PROTO_KEYS_SEALED_H

#include "proto/keys/crypto.h"
#include "proto/keys/keystore.h"

enum { SEALED_KEYS_MAX = 640, SEALED_MAX = 1000 * 1024 };

/* Seals bytes to n reading keys (P-384, distinct).  0 and *out (malloc, at most SEALED_MAX), or STATUS_INVALID (a key),
 * STATUS_TOO_LARGE, STATUS_NO_MEMORY with *why. */
int sealed_make(const uint8_t *bytes, size_t size, const struct public_key *keys, size_t n, uint8_t **out,
		size_t *out_size, struct refusal *why);

/* Whether sealed bytes have the one form, with exactly these recipients: ids ascending, n of them.  Needs no private
 * key, so a server can tell as well.  0 or STATUS_INVALID with *why. */
int sealed_check(const uint8_t *sealed, size_t size, const struct hash *ids, size_t n, struct refusal *why);

/* Opens what sealed_check has passed, with one of the recipients' keys.  0 and *out (malloc; the caller overwrites and
 * frees it: sealed_free), or STATUS_UNVERIFIED (altered, or not for this key). */
int sealed_open(const uint8_t *sealed, size_t size, const struct keystore_key *key, uint8_t **out, size_t *out_size,
		struct refusal *why);
void sealed_free(uint8_t *bytes, size_t size); /* NULL allowed */

#endif
