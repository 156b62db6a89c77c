#include "tests/lib/unit.h"

#include "proto/keys/checked.h"
#include "proto/keys/crypto.h"
#include "proto/keys/keystore_file.h"
#include "proto/rules/rules.h"
#include "proto/wire/prescan.h"
#include "tests/lib/world.h"

enum { START = 1790000000, KEYS = 3 };

struct signers {
	struct keystore_key *keys[KEYS];
	struct public_key publics[KEYS];
};

static int setup(void **context)
{
	static const enum key_algorithm algorithms[KEYS] = {KEY_P384, KEY_ED25519, KEY_P256};
	struct signers *s = calloc(1, sizeof *s);

	for (size_t i = 0; i < KEYS; i++) {
		s->keys[i] = keystore_ephemeral(algorithms[i]);
		s->publics[i] = *keystore_public(s->keys[i]);
	}
	*context = s;
	return 0;
}

static int teardown(void **context)
{
	struct signers *s = *context;

	for (size_t i = 0; i < KEYS; i++)
		keystore_close(s->keys[i]);
	free(s);
	return 0;
}

/* What was good answers for the same key, bytes and signature, and for nothing else. */
static void test_signature(void **context)
{
	const struct signers *s = *context;
	uint8_t text[] = "what is signed", signature[SIGNATURE_MAX];
	size_t size;

	for (size_t i = 0; i < KEYS; i++) {
		const struct public_key *key = &s->publics[i];
		assert_int_equal(keystore_sign(s->keys[i], text, sizeof text, signature, &size), 0);
		struct hash id = checked_signature_id(key->spki, key->spki_size, text, sizeof text, signature, size);
		assert_false(checked_signature(&id));
		for (int round = 0; round < 2; round++)
			assert_true(public_key_verify(key, text, sizeof text, signature, size));
		assert_true(checked_signature(&id));
		for (int round = 0; round < 2; round++) {
			for (size_t j = 0; j < KEYS; j++)
				assert_int_equal(public_key_verify(&s->publics[j], text, sizeof text, signature, size),
						 j == i);
			assert_false(public_key_verify(key, text, sizeof text - 1, signature, size));
			assert_false(public_key_verify(key, text, sizeof text, signature, size - 1));
			signature[size - 1] ^= 1;
			assert_false(public_key_verify(key, text, sizeof text, signature, size));
			signature[size - 1] ^= 1;
		}
	}
}

/* A struct whose id or algorithm says that it is another key gets nothing of what is known of that key. */
static void test_borrowed_name(void **context)
{
	const struct signers *s = *context;
	uint8_t text[] = "what is signed", signature[SIGNATURE_MAX];
	struct public_key liar = s->publics[2];
	size_t size;

	assert_int_equal(keystore_sign(s->keys[0], text, sizeof text, signature, &size), 0);
	assert_true(public_key_verify(&s->publics[0], text, sizeof text, signature, size));
	liar.id = s->publics[0].id;
	assert_false(public_key_verify(&liar, text, sizeof text, signature, size));
	liar.algorithm = KEY_P384;
	assert_false(public_key_verify(&liar, text, sizeof text, signature, size));
}

/* Parts cannot lend bytes to each other. */
static void test_parts(void **context)
{
	static const uint8_t bytes[] = "abcdef";
	(void)context;
	struct hash one = checked_signature_id(bytes, 2, bytes + 2, 2, bytes + 4, 2),
		    two = checked_signature_id(bytes, 3, bytes + 3, 1, bytes + 4, 2),
		    three = checked_signature_id(bytes, 2, bytes + 2, 3, bytes + 5, 1);

	assert_int_not_equal(hash_compare(&one, &two), 0);
	assert_int_not_equal(hash_compare(&one, &three), 0);
}

static void test_key(void **context)
{
	const struct signers *s = *context;
	struct public_key other = s->publics[0], parsed;

	EVP_PKEY *pkey = checked_key(&s->publics[0].id, s->publics[0].spki, s->publics[0].spki_size);
	assert_non_null(pkey); /* parsed when it was made */
	EVP_PKEY_free(pkey);
	other.spki[60] ^= 1; /* off the curve, under the id of one that is on it */
	assert_null(checked_key(&other.id, other.spki, other.spki_size));
	assert_null(checked_key(&other.id, other.spki, other.spki_size - 1));
	for (int round = 0; round < 2; round++)
		assert_int_not_equal(public_key_parse(other.spki, other.spki_size, &parsed, NULL), 0);
}

/* ---- Thresholds of lists */

static unsigned count(const struct envelope *e, const struct public_key *keys, size_t n)
{
	const struct key_list list = {keys, n, 1};

	return envelope_count(e, &list, 0);
}

static bool enough(const struct envelope *e, const struct public_key *keys, size_t n, unsigned threshold)
{
	const struct key_list list = {keys, n, threshold};

	return envelope_signed_by(e, &list, 0);
}

/* Signed by keys 0 and 1; the signature that says it is key 2's is key 1's. */
static struct envelope *signed_by_two(const struct signers *s)
{
	struct world *world = world_create(START);
	struct world_trust form = world_usual_trust(world);
	struct envelope *e, *out;
	Poc__Signature third = POC__SIGNATURE__INIT, *list[3];
	uint8_t *bytes;
	size_t size;

	world_next_trust(world, &form, s->keys, 2, NULL);
	assert_int_equal(envelope_parse(world->trust.bytes, world->trust.size, &e, NULL), 0);
	Poc__Envelope outer = *e->outer;
	third.key_id = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)s->publics[2].id.bytes};
	third.signature = outer.signatures[1]->signature;
	for (size_t i = 0; i < 2; i++)
		list[i] = outer.signatures[i];
	list[2] = &third;
	outer.signatures = list;
	outer.n_signatures = 3;
	assert_int_equal(message_encode(&outer, &bytes, &size), 0);
	assert_int_equal(envelope_parse(bytes, size, &out, NULL), 0);
	envelope_destroy(e);
	free(bytes);
	world_destroy(world);
	return out;
}

static void test_thresholds(void **context)
{
	const struct signers *s = *context;
	struct envelope *e = signed_by_two(s);
	const struct public_key old[] = {s->publics[2], s->publics[0]}, new[] = {s->publics[0], s->publics[1]};

	for (int round = 0; round < 2; round++) { /* what was found out before changes nothing */
		assert_int_equal(count(e, old, 2), 1);
		assert_int_equal(count(e, new, 2), 2);
		assert_int_equal(count(e, s->publics, 3), 2);
		assert_int_equal(count(e, &s->publics[2], 1), 0);
		assert_true(enough(e, old, 2, 1));
		assert_false(enough(e, old, 2, 2)); /* a good one does not stand in for the bad one */
		assert_true(enough(e, new, 2, 2));
		assert_true(enough(e, s->publics, 3, 2)); /* a bad signature voids no other */
		assert_false(enough(e, s->publics, 3, 3));
		assert_false(enough(e, new, 2, 0));
	}
	envelope_destroy(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_signature, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_borrowed_name, setup, teardown),
	    cmocka_unit_test(test_parts),
	    cmocka_unit_test_setup_teardown(test_key, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_thresholds, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
