#include "proto/keys/checked.h"

#include <pthread.h>
#include <string.h>

/* Signatures: as many as the chains of a T and a K of a thousand versions have, several times (256 KiB). */
enum { KEYS = 64, SPKI_KEPT_MAX = 120, SIGNATURES = 8192 };

static struct key {
	EVP_PKEY *pkey; /* NULL: none */
	size_t size;
	uint8_t spki[SPKI_KEPT_MAX];
} keys[KEYS];
static struct hash signatures[SIGNATURES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- Keys */

static struct key *key_place(const struct hash *id)
{
	return &keys[id->bytes[0] % KEYS];
}

EVP_PKEY *checked_key(const struct hash *id, const uint8_t *spki, size_t size)
{
	const struct key *key = key_place(id);
	EVP_PKEY *pkey = NULL;

	pthread_mutex_lock(&lock);
	if (key->pkey != NULL && key->size == size && memcmp(key->spki, spki, size) == 0 &&
	    EVP_PKEY_up_ref(key->pkey) == 1)
		pkey = key->pkey;
	pthread_mutex_unlock(&lock);
	return pkey;
}

void checked_key_note(const struct hash *id, const uint8_t *spki, size_t size, EVP_PKEY *pkey)
{
	struct key *key = key_place(id);

	if (size > SPKI_KEPT_MAX || EVP_PKEY_up_ref(pkey) != 1)
		return;
	pthread_mutex_lock(&lock);
	EVP_PKEY *old = key->pkey;
	key->pkey = pkey;
	key->size = size;
	memcpy(key->spki, spki, size);
	pthread_mutex_unlock(&lock);
	EVP_PKEY_free(old);
}

/* ---- Signatures */

struct hash checked_signature_id(const uint8_t *spki, size_t spki_size, const uint8_t *bytes, size_t size,
				 const uint8_t *signature, size_t signature_size)
{
	/* each part by its hash, so that none can lend bytes to the next */
	const struct hash parts[] = {hash_of(spki, spki_size), hash_of(bytes, size),
				     hash_of(signature, signature_size)};

	return hash_of(parts, sizeof parts);
}

static struct hash *signature_place(const struct hash *id)
{
	return &signatures[((size_t)id->bytes[0] << 8 | id->bytes[1]) % SIGNATURES];
}

bool checked_signature(const struct hash *id)
{
	pthread_mutex_lock(&lock);
	/* places begin as zeros, which no hash is */
	bool known = hash_compare(signature_place(id), id) == 0;
	pthread_mutex_unlock(&lock);
	return known;
}

void checked_signature_note(const struct hash *id)
{
	pthread_mutex_lock(&lock);
	*signature_place(id) = *id;
	pthread_mutex_unlock(&lock);
}
