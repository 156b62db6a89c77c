#include "proto/keys/sealed.h"

#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* ---- Making */

/* CMS takes recipients as certificates only.  This one is a vessel for key and key identifier; nobody sees it, and the
 * signature is there because OpenSSL reads no identifier from a certificate that it cannot encode whole. */
static X509 *vessel(const struct public_key *key, EVP_PKEY *throwaway)
{
	const uint8_t *at = key->spki;
	EVP_PKEY *public = d2i_PUBKEY(NULL, &at, (long)key->spki_size);
	ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
	X509 *x509 = X509_new();
	bool good = public != NULL && id != NULL && x509 != NULL && X509_set_version(x509, X509_VERSION_3) == 1 &&
		    X509_gmtime_adj(X509_getm_notBefore(x509), 0) != NULL &&
		    X509_gmtime_adj(X509_getm_notAfter(x509), 60) != NULL && X509_set_pubkey(x509, public) == 1 &&
		    ASN1_OCTET_STRING_set(id, key->id.bytes, HASH_SIZE) == 1 &&
		    X509_add1_ext_i2d(x509, NID_subject_key_identifier, id, 0, 0) == 1 &&
		    X509_sign(x509, throwaway, NULL) > 0;

	EVP_PKEY_free(public);
	ASN1_OCTET_STRING_free(id);
	if (good)
		return x509;
	X509_free(x509);
	return NULL;
}

static bool add_recipient(CMS_ContentInfo *cms, const struct public_key *key, EVP_PKEY *throwaway)
{
	X509 *x509 = vessel(key, throwaway);
	CMS_RecipientInfo *info =
	    x509 != NULL ? CMS_add1_recipient_cert(cms, x509, CMS_KEY_PARAM | CMS_USE_KEYID) : NULL;
	EVP_PKEY_CTX *ctx = info != NULL ? CMS_RecipientInfo_get0_pkey_ctx(info) : NULL;

	X509_free(x509);
	/* for every recipient by itself: the default is SHA-1 */
	return ctx != NULL && EVP_PKEY_CTX_set_ecdh_kdf_md(ctx, EVP_sha384()) > 0;
}

static CMS_ContentInfo *seal(const uint8_t *bytes, size_t size, const struct public_key *keys, size_t n)
{
	EVP_PKEY *throwaway = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	CMS_ContentInfo *cms = CMS_AuthEnvelopedData_create(EVP_aes_256_gcm());
	BIO *in = BIO_new_mem_buf(bytes, (int)size);
	bool good = throwaway != NULL && cms != NULL && in != NULL && CMS_set_detached(cms, 0) == 1;

	for (size_t i = 0; good && i < n; i++)
		good = add_recipient(cms, &keys[i], throwaway);
	good = good && CMS_final(cms, in, NULL, CMS_BINARY) == 1;
	BIO_free(in);
	EVP_PKEY_free(throwaway);
	ERR_clear_error();
	if (good)
		return cms;
	CMS_ContentInfo_free(cms);
	return NULL;
}

int sealed_make(const uint8_t *bytes, size_t size, const struct public_key *keys, size_t n, uint8_t **out,
		size_t *out_size, struct refusal *why)
{
	*out = NULL;
	if (n == 0 || n > SEALED_KEYS_MAX)
		return refuse(why, STATUS_INVALID, "keys", "1 to %d reading keys", SEALED_KEYS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (keys[i].algorithm != KEY_P384)
			return refuse(why, STATUS_INVALID, "keys", "a reading key must be P-384");
	}
	if (size > SEALED_MAX)
		return refuse(why, STATUS_TOO_LARGE, "body", "more than %d bytes", SEALED_MAX);
	CMS_ContentInfo *cms = seal(bytes, size, keys, n);
	if (cms == NULL)
		return refuse(why, STATUS_FAILED, "body", "encryption failed");
	unsigned char *der = NULL;
	const int length = i2d_CMS_ContentInfo(cms, &der);
	CMS_ContentInfo_free(cms);
	if (length <= 0)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	uint8_t *copy = length <= SEALED_MAX ? malloc((size_t)length) : NULL;
	if (copy != NULL)
		memcpy(copy, der, (size_t)length);
	OPENSSL_free(der);
	if (copy == NULL)
		return length > SEALED_MAX ? refuse(why, STATUS_TOO_LARGE, "body",
						    "%d bytes with all recipients, at most %d", length, SEALED_MAX)
					   : refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	*out = copy;
	*out_size = (size_t)length;
	return 0;
}

/* ---- The one form */

struct der {
	const uint8_t *at, *end;
};

/* Takes tag and length (definite, minimal); the inside goes to *inner. */
static bool der_take(struct der *der, uint8_t tag, struct der *inner)
{
	size_t left = (size_t)(der->end - der->at);

	if (left < 2 || der->at[0] != tag)
		return false;
	size_t length = der->at[1], header = 2;
	if (length >= 0x80) {
		const size_t bytes = length & 0x7f;
		if (bytes == 0 || bytes > 3 || left < 2 + bytes || der->at[2] == 0)
			return false;
		length = 0;
		for (size_t i = 0; i < bytes; i++)
			length = length << 8 | der->at[2 + i];
		if (length < 0x80)
			return false;
		header += bytes;
	}
	if (length > left - header)
		return false;
	*inner = (struct der){der->at + header, der->at + header + length};
	der->at += header + length;
	return true;
}

static bool der_literal(struct der *der, const void *bytes, size_t size)
{
	if ((size_t)(der->end - der->at) < size || memcmp(der->at, bytes, size) != 0)
		return false;
	der->at += size;
	return true;
}

static bool der_skip(struct der *der, size_t size)
{
	if ((size_t)(der->end - der->at) < size)
		return false;
	der->at += size;
	return true;
}

/* OBJECT IDENTIFIER id-smime-ct-authEnvelopedData */
static const uint8_t content_type[] = {0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x17};
static const uint8_t version_0[] = {0x02, 0x01, 0x00};

/* KeyAgreeRecipientInfo: everything but the ephemeral point (96 bytes after the first part), the key identifier (32
 * after the second) and the wrapped key (40 after the third) is the same for all. */
enum { POINT_SIZE = 96, WRAPPED_SIZE = 40, RECIPIENT_SIZE = 226 };
static const uint8_t recipient_to_point[] = {0xa1, 0x81, 0xdf, 0x02, 0x01, 0x03, 0xa0, 0x71, 0xa1,
					     0x6f, 0x30, 0x09, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce,
					     0x3d, 0x02, 0x01, 0x03, 0x62, 0x00, 0x04};
/* dhSinglePass-stdDH-sha384kdf-scheme with id-aes256-wrap */
static const uint8_t recipient_to_id[] = {0x30, 0x15, 0x06, 0x06, 0x2b, 0x81, 0x04, 0x01, 0x0b, 0x02, 0x30,
					  0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01,
					  0x2d, 0x30, 0x50, 0x30, 0x4e, 0xa0, 0x22, 0x04, 0x20};
static const uint8_t recipient_to_wrapped[] = {0x04, 0x28};

/* EncryptedContentInfo: id-data, aes256-GCM with a nonce of 12 bytes and a MAC of 16 */
enum { NONCE_SIZE = 12, MAC_SIZE = 16 };
static const uint8_t content_to_nonce[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07,
					   0x01, 0x30, 0x1e, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65,
					   0x03, 0x04, 0x01, 0x2e, 0x30, 0x11, 0x04, 0x0c};
static const uint8_t mac_length[] = {0x02, 0x01, 0x10};

static bool check_recipient(struct der *der, struct hash *id)
{
	if (!der_literal(der, recipient_to_point, sizeof recipient_to_point) || !der_skip(der, POINT_SIZE) ||
	    !der_literal(der, recipient_to_id, sizeof recipient_to_id))
		return false;
	const uint8_t *bytes = der->at;
	if (!der_skip(der, HASH_SIZE) || !der_literal(der, recipient_to_wrapped, sizeof recipient_to_wrapped))
		return false;
	memcpy(id->bytes, bytes, HASH_SIZE);
	return der_skip(der, WRAPPED_SIZE);
}

static int order(const void *a, const void *b)
{
	return hash_compare(a, b);
}

/* Exactly these recipients, and in the order that DER asks of a set. */
static bool check_recipients(struct der *set, const struct hash *ids, size_t n)
{
	if (n == 0 || n > SEALED_KEYS_MAX || (size_t)(set->end - set->at) != n * RECIPIENT_SIZE)
		return false;
	struct hash *found = malloc(n * sizeof *found);
	bool good = found != NULL;
	for (size_t i = 0; good && i < n; i++) {
		const uint8_t *begin = set->at;
		good = check_recipient(set, &found[i]) &&
		       (i == 0 || memcmp(begin - RECIPIENT_SIZE, begin, RECIPIENT_SIZE) < 0);
	}
	if (good) {
		qsort(found, n, sizeof *found, order);
		for (size_t i = 0; good && i < n; i++)
			good = hash_compare(&found[i], &ids[i]) == 0;
	}
	free(found);
	return good;
}

static bool check_content(struct der *info)
{
	struct der content;

	return der_literal(info, content_to_nonce, sizeof content_to_nonce) && der_skip(info, NONCE_SIZE) &&
	       der_literal(info, mac_length, sizeof mac_length) && der_take(info, 0x80, &content) &&
	       info->at == info->end;
}

int sealed_check(const uint8_t *sealed, size_t size, const struct hash *ids, size_t n, struct refusal *why)
{
	struct der all = {sealed, sealed + size}, outer, explicit, data, set, info, mac;

	if (size == 0 || size > SEALED_MAX)
		return refuse(why, STATUS_INVALID, "body", "1 to %d bytes", SEALED_MAX);
	if (!der_take(&all, 0x30, &outer) || all.at != all.end ||
	    !der_literal(&outer, content_type, sizeof content_type) || !der_take(&outer, 0xa0, &explicit) ||
	    outer.at != outer.end || !der_take(&explicit, 0x30, &data) || explicit.at != explicit.end ||
	    !der_literal(&data, version_0, sizeof version_0) || !der_take(&data, 0x31, &set))
		return refuse(why, STATUS_INVALID, "body", "is no sealed body (CMS AuthEnvelopedData)");
	if (!check_recipients(&set, ids, n))
		return refuse(why, STATUS_INVALID, "body",
			      "is not sealed to exactly the reading keys that the header names");
	if (!der_take(&data, 0x30, &info) || !check_content(&info) || !der_take(&data, 0x04, &mac) ||
	    mac.end - mac.at != MAC_SIZE || data.at != data.end)
		return refuse(why, STATUS_INVALID, "body",
			      "is not AES-256-GCM with a nonce of %d and a MAC of %d bytes", NONCE_SIZE, MAC_SIZE);
	return 0;
}

/* ---- Opening */

/* Finds the recipient with the key's identifier and unwraps the content key with it. */
static bool unwrap(CMS_ContentInfo *cms, const struct keystore_key *key)
{
	STACK_OF(CMS_RecipientInfo) *infos = CMS_get0_RecipientInfos(cms);
	const struct hash *id = &keystore_public(key)->id;

	for (int i = 0; i < sk_CMS_RecipientInfo_num(infos); i++) {
		CMS_RecipientInfo *info = sk_CMS_RecipientInfo_value(infos, i);
		if (CMS_RecipientInfo_type(info) != CMS_RECIPINFO_AGREE)
			return false;
		STACK_OF(CMS_RecipientEncryptedKey) *keys = CMS_RecipientInfo_kari_get0_reks(info);
		CMS_RecipientEncryptedKey *one = sk_CMS_RecipientEncryptedKey_value(keys, 0);
		ASN1_OCTET_STRING *name = NULL;
		if (one == NULL || CMS_RecipientEncryptedKey_get0_id(one, &name, NULL, NULL, NULL, NULL) != 1 ||
		    name == NULL)
			return false;
		if (ASN1_STRING_length(name) == HASH_SIZE &&
		    memcmp(ASN1_STRING_get0_data(name), id->bytes, HASH_SIZE) == 0)
			return CMS_RecipientInfo_kari_set0_pkey(info, keystore_pkey(key)) == 1 &&
			       CMS_RecipientInfo_kari_decrypt(cms, info, one) == 1;
	}
	return false;
}

/* Copies what was decrypted; the BIO overwrites its own when it is freed. */
static int copy_out(BIO *bio, uint8_t **out, size_t *out_size, struct refusal *why)
{
	char *bytes;
	const long size = BIO_get_mem_data(bio, &bytes);

	*out = malloc(size > 0 ? (size_t)size : 1);
	if (*out == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	if (size > 0)
		memcpy(*out, bytes, (size_t)size);
	*out_size = size > 0 ? (size_t)size : 0;
	return 0;
}

int sealed_open(const uint8_t *sealed, size_t size, const struct keystore_key *key, uint8_t **out, size_t *out_size,
		struct refusal *why)
{
	*out = NULL;
	if (keystore_pkey(key) == NULL || keystore_public(key)->algorithm != KEY_P384 || size > SEALED_MAX)
		return refuse(why, STATUS_INVALID, "key", "a reading key must be P-384");
	const unsigned char *at = sealed;
	CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &at, (long)size);
	BIO *bio = BIO_new(BIO_s_mem());
	int status = 0;
	if (bio == NULL)
		status = refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	else if (cms == NULL || !unwrap(cms, key))
		status = refuse(why, STATUS_UNVERIFIED, "body", "is not sealed to this reading key");
	else if (CMS_decrypt(cms, NULL, NULL, NULL, bio, CMS_BINARY) != 1)
		status = refuse(why, STATUS_UNVERIFIED, "body", "was altered: its MAC does not hold");
	else
		status = copy_out(bio, out, out_size, why);
	ERR_clear_error();
	BIO_free(bio);
	CMS_ContentInfo_free(cms);
	return status;
}

void sealed_free(uint8_t *bytes, size_t size)
{
	if (bytes == NULL)
		return;
	OPENSSL_cleanse(bytes, size);
	free(bytes);
}
