#include "proto/keys/crypto.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <string.h>

#include "proto/keys/loaded.h"

/* The only encodings accepted (RFC 8410, RFC 5480 with named curve and uncompressed point): a fixed prefix, then the
 * key's bytes.  Comparing prefixes leaves no room for a second encoding of the same key. */
static const uint8_t ed25519_prefix[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
static const uint8_t p256_prefix[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
				      0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
				      0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
static const uint8_t p384_prefix[] = {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
				      0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04};

struct shape {
	enum key_algorithm algorithm;
	const char *name;
	const uint8_t *prefix;
	size_t prefix_size, key_size, signature_size;
};

static const struct shape shapes[] = {
    {KEY_ED25519, "ed25519", ed25519_prefix, sizeof ed25519_prefix, 32, 64},
    {KEY_P256, "ecdsa-p256-sha256", p256_prefix, sizeof p256_prefix, 64, 64},
    {KEY_P384, "ecdsa-p384-sha384", p384_prefix, sizeof p384_prefix, 96, 96},
};

static const struct shape *shape_of(enum key_algorithm algorithm)
{
	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
		if (shapes[i].algorithm == algorithm)
			return &shapes[i];
	}
	return NULL;
}

const char *key_algorithm_name(enum key_algorithm algorithm)
{
	const struct shape *shape = shape_of(algorithm);

	return shape != NULL ? shape->name : NULL;
}

/* y coordinates (little endian, sign bit cleared) of the points of order 1, 2, 4 and 8 on edwards25519; OpenSSL takes
 * keys with them (measured), though they verify signatures that nobody made. */
static const uint8_t low_order[][32] = {
    {0x01},
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0x00},
    {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
     0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
    {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
     0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
};

static bool ed25519_acceptable(const uint8_t key[32])
{
	uint8_t y[32];

	memcpy(y, key, 32);
	y[31] &= 0x7f;
	/* canonical: y < 2^255 - 19 */
	bool top = y[31] == 0x7f;
	for (int i = 30; top && i > 0; i--)
		top = y[i] == 0xff;
	if (top && y[0] >= 0xed)
		return false;
	for (size_t i = 0; i < sizeof low_order / sizeof low_order[0]; i++) {
		if (memcmp(y, low_order[i], 32) == 0)
			return false;
	}
	return true;
}

/* One well-formed DER SEQUENCE that spans exactly size bytes. */
static bool is_sequence(const uint8_t *der, size_t size)
{
	if (size < 2 || der[0] != 0x30)
		return false;
	if (der[1] < 0x80)
		return size == 2 + (size_t)der[1];
	if (der[1] == 0x81)
		return size >= 3 && der[2] >= 0x80 && size == 3 + (size_t)der[2];
	return der[1] == 0x82 && size >= 4 && der[2] != 0 && size == 4 + ((size_t)der[2] << 8 | der[3]);
}

/* Of a DER length in the forms that SPKI_MAX needs; 0: another form. */
static size_t header_size(const uint8_t *der)
{
	return der[1] < 0x80 ? 2 : der[1] == 0x81 ? 3 : der[1] == 0x82 ? 4 : 0;
}

/* Whether the SEQUENCE begins as the SPKI of an algorithm that has one encoding only.  By its bytes alone: what
 * decoders make of other encodings differs from one release to the next, and all readers must agree. */
static bool names_known_algorithm(const uint8_t *spki, size_t size)
{
	static const uint8_t ed25519[] = {0x06, 0x03, 0x2b, 0x65, 0x70},
			     ec[] = {0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
	size_t at = header_size(spki);

	if (size < at + 2 || spki[at] != 0x30 || header_size(spki + at) == 0)
		return false;
	at += header_size(spki + at);
	return (size >= at + sizeof ed25519 && memcmp(spki + at, ed25519, sizeof ed25519) == 0) ||
	       (size >= at + sizeof ec && memcmp(spki + at, ec, sizeof ec) == 0);
}

/* The curves' parameters, made once: copying them costs a twentieth of what OpenSSL 3's decoder of a whole SPKI does
 * (measured: 8 and 173 us). */
static EVP_PKEY *p256_parameters, *p384_parameters;

static EVP_PKEY *parameters(const char *group)
{
	const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)group, 0),
				     OSSL_PARAM_construct_end()};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *pkey = NULL;

	if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEY_PARAMETERS, (OSSL_PARAM *)params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static void make_parameters(void)
{
	p256_parameters = parameters("P-256");
	p384_parameters = parameters("P-384");
}

static EVP_PKEY *load_point(const EVP_PKEY *curve, const uint8_t *point, size_t size)
{
	EVP_PKEY *pkey = curve != NULL ? EVP_PKEY_new() : NULL;

	if (pkey != NULL &&
	    (EVP_PKEY_copy_parameters(pkey, curve) != 1 || EVP_PKEY_set1_encoded_public_key(pkey, point, size) != 1)) {
		EVP_PKEY_free(pkey);
		pkey = NULL;
	}
	return pkey;
}

/* The key of an SPKI whose prefix and size are those of its algorithm. */
static EVP_PKEY *load(const struct public_key *key)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (key->algorithm == KEY_ED25519)
		return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->spki + sizeof ed25519_prefix, 32);
	pthread_once(&once, make_parameters);
	return key->algorithm == KEY_P256 ? load_point(p256_parameters, key->spki + sizeof p256_prefix - 1, 65)
					  : load_point(p384_parameters, key->spki + sizeof p384_prefix - 1, 97);
}

static bool loads(const struct public_key *key)
{
	if (loaded_find(key->spki, key->spki_size) != NULL)
		return true; /* only what went through here has been verified with */

	EVP_PKEY *pkey = load(key);
	EVP_PKEY_CTX *ctx = pkey != NULL ? EVP_PKEY_CTX_new(pkey, NULL) : NULL;
	/* finds points that are not on the curve; both curves' cofactor is 1, so no order is left to check */
	bool good = ctx != NULL && (key->algorithm == KEY_ED25519 || EVP_PKEY_public_check_quick(ctx) == 1);

	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return good;
}

/* NULL: another algorithm's, or not canonical. */
static const struct shape *shape_of_spki(const uint8_t *spki, size_t size)
{
	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
		if (size == shapes[i].prefix_size + shapes[i].key_size &&
		    memcmp(spki, shapes[i].prefix, shapes[i].prefix_size) == 0)
			return &shapes[i];
	}
	return NULL;
}

void public_key_again(const uint8_t *spki, size_t size, struct public_key *out)
{
	const struct shape *shape = shape_of_spki(spki, size);

	*out = (struct public_key){.algorithm = shape != NULL ? shape->algorithm : KEY_UNKNOWN,
				   .id = hash_of(spki, size),
				   .spki_size = size < SPKI_MAX ? size : SPKI_MAX};
	memcpy(out->spki, spki, out->spki_size);
}

int public_key_parse(const uint8_t *spki, size_t size, struct public_key *out, struct refusal *why)
{
	memset(out, 0, sizeof *out);
	if (size > SPKI_MAX || !is_sequence(spki, size))
		return refuse(why, STATUS_INVALID, "spki", "not a DER public key of at most %d bytes", SPKI_MAX);
	public_key_again(spki, size, out);
	if (out->algorithm == KEY_ED25519 && !ed25519_acceptable(public_key_raw_ed25519(out)))
		return refuse(why, STATUS_INVALID, "spki", "Ed25519 key is not canonical or of low order");
	if (out->algorithm != KEY_UNKNOWN)
		return loads(out) ? 0 : refuse(why, STATUS_INVALID, "spki", "not a point on the curve");
	/* A known algorithm in another encoding must not pass as an unknown one. */
	if (names_known_algorithm(spki, size))
		return refuse(why, STATUS_INVALID, "spki", "not Ed25519, P-256 or P-384 in canonical encoding");
	return 0;
}

const uint8_t *public_key_raw_ed25519(const struct public_key *key)
{
	return key->algorithm == KEY_ED25519 ? key->spki + sizeof ed25519_prefix : NULL;
}

/* Raw r||s to the DER form that OpenSSL takes. */
static int ecdsa_der(const uint8_t *raw, size_t size, uint8_t **der)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, (int)(size / 2), NULL);
	BIGNUM *s = BN_bin2bn(raw + size / 2, (int)(size / 2), NULL);
	int length = -1;

	if (sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
		r = s = NULL;
		length = i2d_ECDSA_SIG(sig, der);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return length;
}

static bool verify_ecdsa(EVP_PKEY_CTX *ctx, const struct shape *shape, const uint8_t *bytes, size_t size,
			 const uint8_t *signature)
{
	uint8_t digest[EVP_MAX_MD_SIZE], *der = NULL;
	size_t digest_size = HASH_SIZE;

	if (shape->algorithm == KEY_P256)
		memcpy(digest, hash_of(bytes, size).bytes, HASH_SIZE);
	else if (EVP_Q_digest(NULL, "SHA384", NULL, bytes, size, digest, &digest_size) != 1)
		return false;
	const int length = ecdsa_der(signature, shape->signature_size, &der);
	const bool good = length > 0 && EVP_PKEY_verify(ctx, der, (size_t)length, digest, digest_size) == 1;
	OPENSSL_free(der);
	return good;
}

static bool verify_ed25519(EVP_PKEY *pkey, const uint8_t *bytes, size_t size, const uint8_t *signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const bool good = ctx != NULL && EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, pkey, NULL) == 1 &&
			  EVP_DigestVerify(ctx, signature, 64, bytes, size) == 1;

	EVP_MD_CTX_free(ctx);
	return good;
}

bool public_key_verify(const struct public_key *key, const uint8_t *bytes, size_t size, const uint8_t *signature,
		       size_t signature_size)
{
	const struct shape *shape = shape_of(key->algorithm);

	if (shape == NULL || signature_size != shape->signature_size)
		return false;
	const struct loaded *loaded = loaded_find(key->spki, key->spki_size);
	if (loaded == NULL) {
		EVP_PKEY *pkey = load(key);
		loaded = pkey != NULL ? loaded_keep(key->spki, key->spki_size, pkey) : NULL;
	}
	if (loaded == NULL)
		return false;
	return loaded->verify != NULL ? verify_ecdsa(loaded->verify, shape, bytes, size, signature)
				      : verify_ed25519(loaded->pkey, bytes, size, signature);
}

void public_key_fingerprint(const struct hash *id, char out[40])
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	size_t used = 0;

	for (size_t i = 0; i < 32; i++) {
		size_t bit_at = i * 5;
		unsigned pair =
		    (unsigned)id->bytes[bit_at / 8] << 8 | (bit_at / 8 + 1 < 20 ? id->bytes[bit_at / 8 + 1] : 0);
		if (i > 0 && i % 4 == 0)
			out[used++] = '-';
		out[used++] = alphabet[pair >> (11 - bit_at % 8) & 31];
	}
	out[used] = '\0';
}
