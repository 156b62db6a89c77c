/* crypto: public keys as canonical SPKI, and signature checks with them. */
#ifndef PROTO_KEYS_CRYPTO_H
#define PROTO_KEYS_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/proof/hash.h"
#include "proto/wire/status.h"

enum {
	SPKI_MAX = 512, /* the longest SPKI stored, of whatever algorithm */
	SIGNATURE_MAX = 128
};

enum key_algorithm {
	KEY_UNKNOWN = 0, /* well-formed DER of another algorithm: kept, never counted */
	KEY_ED25519 = 1,
	KEY_P256 = 2,
	KEY_P384 = 3
};

struct public_key {
	enum key_algorithm algorithm;
	struct hash id; /* SHA-256(spki) = pin */
	size_t spki_size;
	uint8_t spki[SPKI_MAX];
};

/* Accepts only the canonical encoding of a usable key: named curve, uncompressed point on the curve, no parameters
 * beyond; an Ed25519 point that is canonical and not of low order.  Another algorithm's SPKI, if well-formed DER of at
 * most SPKI_MAX bytes, gives KEY_UNKNOWN.  0 or STATUS_INVALID with *why. */
int public_key_parse(const uint8_t *spki, size_t size, struct public_key *out, struct refusal *why);

/* The raw 32 bytes of an Ed25519 key, as note keys want them.  NULL for other algorithms. */
const uint8_t *public_key_raw_ed25519(const struct public_key *key);

/* Name in T.algorithms: "ed25519", "ecdsa-p256-sha256", "ecdsa-p384-sha384"; NULL for KEY_UNKNOWN. */
const char *key_algorithm_name(enum key_algorithm algorithm);

/* True if signature is key's over bytes: Ed25519 (RFC 8032), ECDSA raw r||s with SHA-256 (P-256) or SHA-384 (P-384).
 * Any error counts as false.  One that was good before is not verified again (checked). */
bool public_key_verify(const struct public_key *key, const uint8_t *bytes, size_t size, const uint8_t *signature,
		       size_t signature_size);

/* A fingerprint to read aloud: base32 of the first 20 bytes of a key id, eight groups of four joined by hyphens. */
void public_key_fingerprint(const struct hash *id, char out[40]);

#endif
