#include "proto/keys/keystore.h"

#include <stdlib.h>

struct keystore_key {
	const struct keystore_ops *ops;
	void *impl;
	struct public_key public_key;
};

struct keystore_key *keystore_wrap(const struct keystore_ops *ops, void *impl, const struct public_key *public_key)
{
	struct keystore_key *key = calloc(1, sizeof *key);

	if (key == NULL) {
		ops->erase(impl);
		return NULL;
	}
	*key = (struct keystore_key){.ops = ops, .impl = impl, .public_key = *public_key};
	return key;
}

void keystore_close(struct keystore_key *key)
{
	if (key == NULL)
		return;
	key->ops->erase(key->impl);
	free(key);
}

const struct public_key *keystore_public(const struct keystore_key *key)
{
	return &key->public_key;
}

EVP_PKEY *keystore_pkey(const struct keystore_key *key)
{
	return key->ops->pkey(key->impl);
}

int keystore_sign(const struct keystore_key *key, const uint8_t *bytes, size_t size, uint8_t signature[SIGNATURE_MAX],
		  size_t *signature_size)
{
	return key->ops->sign(key->impl, bytes, size, signature, signature_size);
}
