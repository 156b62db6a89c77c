#include "proto/keys/keystore_pkey.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/params.h>
#include <openssl/x509.h>
#include <string.h>

struct pkey_key {
	EVP_PKEY *pkey;
	enum key_algorithm algorithm;
};

/* DER ECDSA signature to raw r||s of 2 * half bytes. */
static int ecdsa_raw(const uint8_t *der, size_t der_size, size_t half, uint8_t *out)
{
	const uint8_t *at = der;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)der_size);
	int status = STATUS_FAILED;

	if (sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int)half) >= 0 &&
	    BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + half, (int)half) >= 0)
		status = 0;
	ECDSA_SIG_free(sig);
	return status;
}

static int pkey_sign(void *impl, const uint8_t *bytes, size_t size, uint8_t signature[SIGNATURE_MAX],
		     size_t *signature_size)
{
	const struct pkey_key *key = impl;
	const char *digest = key->algorithm == KEY_ED25519 ? NULL : key->algorithm == KEY_P256 ? "SHA256" : "SHA384";
	size_t half = key->algorithm == KEY_P384 ? 48 : 32;
	uint8_t made[256];
	size_t made_size = sizeof made;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int status = STATUS_FAILED;

	if (ctx != NULL && EVP_DigestSignInit_ex(ctx, NULL, digest, NULL, NULL, key->pkey, NULL) == 1 &&
	    EVP_DigestSign(ctx, made, &made_size, bytes, size) == 1)
		status = 0;
	EVP_MD_CTX_free(ctx);
	if (status != 0)
		return status;
	*signature_size = 2 * half;
	if (digest != NULL)
		return ecdsa_raw(made, made_size, half, signature);
	memcpy(signature, made, 64);
	return 0;
}

static EVP_PKEY *pkey_pkey(void *impl)
{
	return ((struct pkey_key *)impl)->pkey;
}

static void pkey_erase(void *impl)
{
	struct pkey_key *key = impl;

	EVP_PKEY_free(key->pkey); /* OpenSSL clears private parts when it frees them */
	OPENSSL_free(key);
}

static const struct keystore_ops pkey_ops = {pkey_sign, pkey_pkey, pkey_erase};

/* The public key as SPKI.  A provider that cannot encode its key gives the parts of it, which the default one can. */
static int encode_public(EVP_PKEY *pkey, uint8_t **spki)
{
	int size = i2d_PUBKEY(pkey, spki);
	if (size > 0)
		return size;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, EVP_PKEY_get0_type_name(pkey), "provider=default");
	EVP_PKEY *public = NULL;
	OSSL_PARAM *parts = NULL;
	if (ctx != NULL && EVP_PKEY_todata(pkey, EVP_PKEY_PUBLIC_KEY, &parts) == 1 &&
	    EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &public, EVP_PKEY_PUBLIC_KEY, parts) == 1)
		size = i2d_PUBKEY(public, spki);
	OSSL_PARAM_free(parts);
	EVP_PKEY_free(public);
	EVP_PKEY_CTX_free(ctx);
	return size;
}

int keystore_pkey_wrap(EVP_PKEY *pkey, struct keystore_key **out, struct refusal *why)
{
	struct public_key public_key;
	uint8_t *spki = NULL;
	int size = encode_public(pkey, &spki);
	int status = size <= 0 ? refuse(why, STATUS_INVALID, "key", "no usable key")
			       : public_key_parse(spki, (size_t)size, &public_key, why);

	OPENSSL_free(spki);
	if (status == 0 && public_key.algorithm == KEY_UNKNOWN)
		status = refuse(why, STATUS_INVALID, "key", "key is not Ed25519, P-256 or P-384");
	struct pkey_key *key = status == 0 ? OPENSSL_zalloc(sizeof *key) : NULL;
	if (key == NULL) {
		EVP_PKEY_free(pkey);
		return status != 0 ? status : refuse(why, STATUS_NO_MEMORY, "key", "out of memory");
	}
	*key = (struct pkey_key){pkey, public_key.algorithm};
	*out = keystore_wrap(&pkey_ops, key, &public_key);
	return *out != NULL ? 0 : refuse(why, STATUS_NO_MEMORY, "key", "out of memory");
}
