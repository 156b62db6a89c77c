#include "tests/lib/unit.h"

#include "clients/cli/ceremony_show.h"
#include "proto/keys/keystore_file.h"
#include "proto/rules/ceremony.pb-c.h"
#include "proto/rules/rules.h"
#include "proto/wire/prescan.h"
#include "tests/lib/scene.h"

/* A world with the state XA, and a Proof of T, S and K/XA as a ceremony begins with it. */
struct stage {
	struct world *world;
	struct verify_pins pins;
	uint8_t *proof; /* of T and S */
	size_t proof_size;
	uint8_t *keys_proof; /* of K/XA too */
	size_t keys_proof_size;
	struct keystore_key *fresh;
};

enum { START = 1790000000 };

static int setup(void **context)
{
	struct stage *s = calloc(1, sizeof *s);
	struct scene scene;
	struct scene_item trust, reg, keys, *items[] = {&keys, &reg, &trust};

	s->world = world_create(START);
	world_add_state(s->world, "XA");
	s->pins.directory = s->world->directory_id;
	s->fresh = keystore_ephemeral(KEY_P384);
	scene_init(&scene, s->world);
	scene_put_world(&scene);
	scene_close(&scene);
	scene_item(&scene, "T", &trust);
	scene_item(&scene, "S", &reg);
	scene_envelope(&reg, &s->world->reg);
	scene_item(&scene, "K/XA", &keys);
	scene_envelope(&keys, &world_state(s->world, "XA")->keys);
	scene_proof(&scene, items, 3, false, &s->keys_proof, &s->keys_proof_size);
	struct scene_item *two[] = {&reg, &trust};
	scene_proof(&scene, two, 2, false, &s->proof, &s->proof_size);
	scene_finish(&scene);
	*context = s;
	return 0;
}

static int teardown(void **context)
{
	struct stage *s = *context;

	free(s->proof);
	free(s->keys_proof);
	keystore_close(s->fresh);
	world_destroy(s->world);
	free(s);
	return 0;
}

static Poc__Key key_message(const struct keystore_key *key)
{
	Poc__Key message = POC__KEY__INIT;

	message.spki = (ProtobufCBinaryData){keystore_public(key)->spki_size, (uint8_t *)keystore_public(key)->spki};
	return message;
}

/* What a test may change of a proposed T before it is packed. */
typedef void (*edit_trust)(Poc__Trust *trust);

static ProtobufCBinaryData propose_trust(const struct stage *s, edit_trust edit)
{
	struct envelope *old;
	struct refusal why = {0};
	ProtobufCBinaryData out;
	Poc__Head head;

	assert_int_equal(envelope_parse(s->world->trust.bytes, s->world->trust.size, &old, &why), 0);
	Poc__Trust next = *old->payload.trust;
	Poc__Key fresh = key_message(s->fresh), *roots[] = {next.root_keys[0], &fresh};
	head_fill(&head, &s->world->directory_id, "T", 2, &old->value);
	next.head = &head;
	next.root_keys = roots;
	next.n_root_keys = 2;
	next.root_threshold = 2;
	if (edit != NULL)
		edit(&next);
	assert_int_equal(envelope_propose(&next.base, &out.data, &out.len, &why), 0);
	envelope_destroy(old);
	return out;
}

static int read_file(const struct stage *s, const uint8_t *proof, size_t size, const ProtobufCBinaryData *proposals,
		     size_t n, struct ceremony *out)
{
	struct refusal why = {0};
	uint8_t *bytes;
	size_t file_size;

	assert_int_equal(ceremony_encode(proof, size, proposals, n, &bytes, &file_size), 0);
	const int status = ceremony_read(&s->pins, bytes, file_size, out, &why);
	assert_int_equal(status, why.code);
	free(bytes);
	return status;
}

static struct ceremony open_trust(const struct stage *s, edit_trust edit)
{
	struct ceremony c;
	ProtobufCBinaryData proposal = propose_trust(s, edit);

	assert_int_equal(read_file(s, s->proof, s->proof_size, &proposal, 1, &c), 0);
	free(proposal.data);
	return c;
}

static void test_trust_is_signed_key_by_key(void **context)
{
	const struct stage *s = *context;
	struct ceremony c = open_trust(s, NULL);
	struct refusal why = {0};

	assert_int_equal(ceremony_missing(&c, false), 3);
	assert_int_equal(ceremony_sign(&c, s->world->enrolment, &why), STATUS_DENIED);
	assert_int_equal(ceremony_sign(&c, s->fresh, &why), 0);
	assert_int_equal(ceremony_missing(&c, false), 2);
	assert_int_equal(ceremony_sign(&c, s->fresh, &why), STATUS_DENIED);
	assert_non_null(strstr(why.message, "signed already"));
	assert_int_equal(ceremony_sign(&c, s->world->root, &why), 0); /* of both lists: one signature counts twice */
	assert_int_equal(ceremony_missing(&c, false), 0);
	assert_int_equal(ceremony_check(&c, START + 60, &why), 0);
	ceremony_finish(&c);
}

static void test_copies_are_merged(void **context)
{
	const struct stage *s = *context;
	struct ceremony a = open_trust(s, NULL), b = open_trust(s, NULL);
	struct refusal why = {0};

	assert_int_equal(ceremony_sign(&a, s->fresh, &why), 0);
	assert_int_equal(ceremony_sign(&b, s->world->root, &why), 0);
	assert_int_equal(ceremony_merge(&a, &b, &why), 0);
	assert_int_equal(ceremony_missing(&a, false), 0);
	assert_int_equal(ceremony_merge(&a, &b, &why), 0); /* nothing new */
	assert_int_equal(a.proposals[0].envelope->outer->n_signatures, 2);
	ceremony_finish(&a);
	ceremony_finish(&b);
}

static void expire(Poc__Trust *trust)
{
	trust->expires = trust->issued + 10;
}

static void only_ed25519(Poc__Trust *trust)
{
	static char *algorithms[] = {(char *)"ed25519"};

	trust->algorithms = algorithms;
	trust->n_algorithms = 1;
}

static void test_what_cannot_stand_is_told_before_anybody_signs(void **context)
{
	const struct stage *s = *context;
	struct ceremony late = open_trust(s, expire), unmet = open_trust(s, only_ed25519), other = open_trust(s, NULL);
	struct refusal why = {0};

	assert_int_equal(ceremony_check(&late, START + 60, &why), STATUS_INVALID);
	assert_non_null(strstr(why.message, "expired"));
	assert_int_equal(ceremony_check(&unmet, START + 60, &why), STATUS_INVALID); /* both roots are P-384 or P-256 */
	assert_non_null(strstr(why.message, "nobody could meet"));
	assert_int_equal(ceremony_merge(&late, &other, &why), STATUS_INVALID);
	ceremony_finish(&late);
	ceremony_finish(&unmet);
	ceremony_finish(&other);
}

/* Long names, which no verifier knows, before those that count, of which one is gone. */
static void crowd(Poc__Trust *trust)
{
	static char names[12][65], *algorithms[16];
	size_t n = 0;

	for (; n < 12; n++) {
		snprintf(names[n], sizeof names[n], "a%02zu-%060d", n, 0);
		algorithms[n] = names[n];
	}
	algorithms[n++] = (char *)"ecdsa-p256-sha256";
	algorithms[n++] = (char *)"ecdsa-p384-sha384";
	trust->algorithms = algorithms;
	trust->n_algorithms = n;
}

/* One name that reads like two of those that count. */
static void disguise(Poc__Trust *trust)
{
	static char *algorithms[] = {(char *)"ecdsa-p256-sha256", (char *)"ecdsa-p384-sha384, ed25519"};

	trust->algorithms = algorithms;
	trust->n_algorithms = 2;
}

static bool shows(const json_t *changes, const char *change, const char *algorithm)
{
	json_t *each;
	size_t i;

	json_array_foreach(changes, i, each)
	{
		if (strcmp(json_string_value(json_object_get(each, "change")), change) == 0 &&
		    strcmp(json_string_value(json_object_get(each, "what")), "algorithm") == 0 &&
		    strcmp(json_string_value(json_object_get(each, "value")), algorithm) == 0)
			return true;
	}
	return false;
}

/* Without it, states whose keys are of an algorithm fall: that one goes is seen, whatever else is listed. */
static void test_a_dropped_algorithm_is_shown(void **context)
{
	const struct stage *s = *context;
	const edit_trust edits[] = {crowd, disguise};

	for (size_t i = 0; i < 2; i++) {
		struct ceremony c = open_trust(s, edits[i]);
		json_t *shown = ceremony_json(&c);
		const json_t *changes =
		    json_object_get(json_array_get(json_object_get(shown, "proposals"), 0), "changes");
		assert_true(shows(changes, "out", "ed25519"));
		assert_int_equal(shows(changes, "out", "ecdsa-p384-sha384"), i == 1);
		assert_int_equal(shows(changes, "in", "ecdsa-p384-sha384, ed25519"), i == 1);
		assert_false(shows(changes, "out", "ecdsa-p256-sha256"));
		json_decref(shown);
		ceremony_finish(&c);
	}
}

static void drop_enrolment(Poc__Trust *trust)
{
	static Poc__Key *keys[1];

	keys[0] = trust->root_keys[1];
	trust->enrolment_keys = keys;
}

static void test_a_register_goes_along_where_it_must(void **context)
{
	const struct stage *s = *context;
	struct ceremony c = open_trust(s, drop_enrolment);
	struct refusal why = {0};
	struct envelope *reg;
	Poc__Head head;

	assert_int_equal(ceremony_check(&c, START + 60, &why), STATUS_ORPHANS);
	ceremony_finish(&c);
	assert_int_equal(envelope_parse(s->world->reg.bytes, s->world->reg.size, &reg, &why), 0);
	Poc__Register next = *reg->payload.register_;
	head_fill(&head, &s->world->directory_id, "S", reg->seq + 1, &reg->value);
	next.head = &head;
	ProtobufCBinaryData both[] = {propose_trust(s, drop_enrolment), {0, NULL}};
	assert_int_equal(envelope_propose(&next.base, &both[1].data, &both[1].len, &why), 0);
	assert_int_equal(read_file(s, s->proof, s->proof_size, both, 2, &c), 0);
	assert_int_equal(ceremony_missing(&c, false), 4);
	assert_int_equal(ceremony_check(&c, START + 60, &why), 0);
	assert_int_equal(ceremony_sign(&c, s->fresh, &why), 0); /* signs T and S */
	assert_int_equal(ceremony_missing(&c, false), 2);
	ceremony_finish(&c);
	free(both[1].data);
	/* S with another content does not pass */
	Poc__Entry changed = *next.entries[0], *entries[700];
	memcpy(entries, next.entries, next.n_entries * sizeof *entries);
	changed.reference = (char *)"another";
	entries[0] = &changed;
	next.entries = entries;
	assert_int_equal(envelope_propose(&next.base, &both[1].data, &both[1].len, &why), 0);
	assert_int_equal(read_file(s, s->proof, s->proof_size, both, 2, &c), STATUS_INVALID);
	free(both[0].data);
	free(both[1].data);
	envelope_destroy(reg);
}

static ProtobufCBinaryData propose_keys(const struct stage *s)
{
	const struct world_state *xa = world_state(s->world, "XA");
	struct envelope *old;
	struct refusal why = {0};
	ProtobufCBinaryData out;
	Poc__Head head;

	assert_int_equal(envelope_parse(xa->keys.bytes, xa->keys.size, &old, &why), 0);
	Poc__Keys next = *old->payload.keys;
	Poc__Key fresh = key_message(s->fresh), *list[] = {&fresh};
	head_fill(&head, &s->world->directory_id, "K/XA", 2, &old->value);
	next.head = &head;
	next.authority = list;
	next.n_authority = 1;
	assert_int_equal(envelope_propose(&next.base, &out.data, &out.len, &why), 0);
	envelope_destroy(old);
	return out;
}

static void test_keys_of_a_state(void **context)
{
	const struct stage *s = *context;
	ProtobufCBinaryData proposal = propose_keys(s);
	struct ceremony c;
	struct refusal why = {0};

	assert_int_equal(read_file(s, s->keys_proof, s->keys_proof_size, &proposal, 1, &c), 0);
	assert_int_equal(ceremony_missing(&c, false), 2);
	assert_int_equal(ceremony_sign(&c, s->fresh, &why), 0);
	assert_int_equal(ceremony_missing(&c, false), 1);
	assert_int_equal(ceremony_missing(&c, true), 0); /* if the council names it */
	assert_int_equal(ceremony_sign(&c, world_state(s->world, "XA")->authority, &why), 0);
	assert_int_equal(ceremony_missing(&c, false), 0);
	ceremony_finish(&c);
	/* the proof has just what is needed */
	assert_int_equal(read_file(s, s->proof, s->proof_size, &proposal, 1, &c), STATUS_INVALID);
	free(proposal.data);
	proposal = propose_trust(s, NULL);
	assert_int_equal(read_file(s, s->keys_proof, s->keys_proof_size, &proposal, 1, &c), STATUS_INVALID);
	free(proposal.data);
}

static void test_hostile_files(void **context)
{
	const struct stage *s = *context;
	ProtobufCBinaryData proposal = propose_trust(s, NULL), two[2], forged;
	struct stage elsewhere = *s;
	struct ceremony c;
	struct refusal why = {0};
	uint8_t *bytes;
	size_t size;

	two[0] = two[1] = proposal;
	assert_int_equal(read_file(s, s->proof, s->proof_size, two, 2, &c), STATUS_INVALID);
	assert_int_equal(read_file(s, s->proof, s->proof_size, NULL, 0, &c), STATUS_INVALID);
	elsewhere.pins.directory.bytes[0] ^= 1;
	assert_int_equal(read_file(&elsewhere, s->proof, s->proof_size, &proposal, 1, &c), STATUS_UNVERIFIED);
	/* a signature by a key that is not asked */
	assert_int_equal(
	    envelope_add_signature(proposal.data, proposal.len, s->world->log, &forged.data, &forged.len, &why), 0);
	assert_int_equal(read_file(s, s->proof, s->proof_size, &forged, 1, &c), STATUS_UNVERIFIED);
	free(forged.data);
	/* every changed byte of a half-signed file */
	assert_int_equal(envelope_add_signature(proposal.data, proposal.len, s->fresh, &forged.data, &forged.len, &why),
			 0);
	assert_int_equal(ceremony_encode(s->proof, s->proof_size, &forged, 1, &bytes, &size), 0);
	for (size_t i = 0; i < size; i++) {
		bytes[i] ^= 4;
		if (ceremony_read(&s->pins, bytes, size, &c, &why) == 0) {
			fail_msg("byte %zu may be changed", i);
		}
		bytes[i] ^= 4;
		if (i % 64 == 0)
			assert_int_not_equal(ceremony_read(&s->pins, bytes, i, &c, &why), 0);
	}
	free(bytes);
	free(forged.data);
	free(proposal.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_trust_is_signed_key_by_key, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_copies_are_merged, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_what_cannot_stand_is_told_before_anybody_signs, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_dropped_algorithm_is_shown, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_register_goes_along_where_it_must, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_keys_of_a_state, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_hostile_files, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
