#include "tests/lib/unit.h"

#include <pthread.h>

#include "proto/keys/crypto.h"
#include "proto/keys/keystore_file.h"
#include "proto/keys/loaded.h"

enum { KEYS = 100 }; /* more than are kept */

static const uint8_t message[] = "From 203.0.113.7, since this morning";

struct signer {
	struct keystore_key *key;
	uint8_t signature[SIGNATURE_MAX];
	size_t size;
};

static void sign(struct signer *signer, enum key_algorithm algorithm)
{
	signer->key = keystore_ephemeral(algorithm);
	assert_non_null(signer->key);
	assert_int_equal(keystore_sign(signer->key, message, sizeof message, signer->signature, &signer->size), 0);
}

static bool verifies(const struct signer *by, const struct signer *signature)
{
	const struct public_key *given = keystore_public(by->key);
	struct public_key key;

	/* parsed anew, as whoever has an SPKI does it */
	assert_int_equal(public_key_parse(given->spki, given->spki_size, &key, NULL), 0);
	return public_key_verify(&key, message, sizeof message, signature->signature, signature->size);
}

static bool kept(const struct signer *signer)
{
	const struct public_key *key = keystore_public(signer->key);

	return loaded_find(key->spki, key->spki_size) != NULL;
}

/* Kept or not, a key verifies what it signed and nothing else. */
static void check_all(struct signer signers[KEYS])
{
	for (size_t i = 0; i < KEYS; i++) {
		const struct signer *next = &signers[(i + 3) % KEYS]; /* of the same algorithm, but for the last ones */
		for (int again = 0; again < 2; again++) {
			assert_true(verifies(&signers[i], &signers[i]));
			assert_true(kept(&signers[i]));
			assert_false(verifies(&signers[i], next));
		}
		signers[i].signature[5] ^= 1;
		assert_false(verifies(&signers[i], &signers[i]));
		signers[i].signature[5] ^= 1;
	}
}

static void test_kept(void **state)
{
	static const enum key_algorithm algorithms[] = {KEY_P256, KEY_P384, KEY_ED25519};
	struct signer signers[KEYS];
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < KEYS; i++)
		sign(&signers[i], algorithms[i % 3]);
	assert_false(kept(&signers[0]));
	check_all(signers);
	check_all(signers);
	for (size_t i = 0; i < KEYS; i++)
		n += kept(&signers[i]);
	assert_true(n > 0 && n <= 64);
	for (size_t i = 0; i < KEYS; i++)
		keystore_close(signers[i].key);
}

static void *verify_there(void *arg)
{
	const struct signer *signer = arg;

	return !kept(signer) && verifies(signer, signer) && kept(signer) ? arg : NULL;
}

/* Each thread has its own, and frees them when it ends. */
static void test_threads(void **state)
{
	struct signer signer;
	pthread_t thread;
	void *result;

	(void)state;
	sign(&signer, KEY_P256);
	assert_true(verifies(&signer, &signer));
	assert_int_equal(pthread_create(&thread, NULL, verify_there, &signer), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, &signer);
	keystore_close(signer.key);
}

/* A key that is none is not kept, and is refused each time. */
static void test_bad_keys(void **state)
{
	struct signer signer;
	struct public_key key;
	uint8_t spki[SPKI_MAX];

	(void)state;
	sign(&signer, KEY_P256);
	const struct public_key *good = keystore_public(signer.key);
	assert_true(verifies(&signer, &signer));
	memcpy(spki, good->spki, good->spki_size);
	spki[40] ^= 1; /* off the curve; the same slot */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(public_key_parse(spki, good->spki_size, &key, NULL), STATUS_INVALID);
		assert_null(loaded_find(spki, good->spki_size));
		assert_true(kept(&signer));
	}
	assert_null(loaded_find(spki, 0));
	keystore_close(signer.key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_kept), cmocka_unit_test(test_threads),
					   cmocka_unit_test(test_bad_keys)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
