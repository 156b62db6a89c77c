/* loaded: public keys as OpenSSL verifies with them.  Loading one costs a fifth of a verification, so each thread keeps
 * those that it used last (64 at most, some 2 KB each). */
#ifndef PROTO_KEYS_LOADED_H
#define PROTO_KEYS_LOADED_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

/* A key and what verifies with it. */
struct loaded {
	EVP_PKEY *pkey;
	EVP_PKEY_CTX *verify; /* of ECDSA keys, ready for EVP_PKEY_verify; else NULL */
};

/* The key of an SPKI, or NULL if this thread does not keep it.  Of this thread, until its next call of loaded_keep. */
const struct loaded *loaded_find(const uint8_t *spki, size_t size);

/* Keeps a key, which it takes over, in place of another; as loaded_find.  NULL when out of memory, or if the SPKI is of
 * no size that is kept: then the key is freed. */
const struct loaded *loaded_keep(const uint8_t *spki, size_t size, EVP_PKEY *pkey);

#endif
