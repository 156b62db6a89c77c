/* A T that a client did not see come, by checkpoints of the past: both quorums, or nothing. */
#include "tests/lib/unit.h"

#include "clients/libpoc/verify_head.h"
#include "proto/keys/keystore_file.h"
#include "tests/lib/scene.h"

enum { START = 1790000000, T_LEAF = 3 };

/* T(2) with the auditors 0 and 1, of whom one must have signed; T(3) with 2 and 3, likewise. */
struct stage {
	struct world *world;
	struct keystore_key *auditors[4];
	struct world_item second;
	struct envelope *known; /* T(2) */
	struct scene scene;
	struct hash before[T_LEAF + 2]; /* the log before the checkpoint's STATE leaf */
	uint8_t leaf[LEAF_SIZE];        /* of T(3) */
	struct merkle_proof path;
	Poc__Transition transition;
	ProtobufCBinaryData trust[1];
};

static const char *const names[] = {"audit.xa", "audit.xb", "audit.ad", "audit.ae"};

static void next_trust(struct stage *s, size_t first, struct world_item *keep)
{
	struct world_trust form = world_usual_trust(s->world);

	form.n_auditors = 2;
	for (size_t i = 0; i < 2; i++) {
		form.auditors[i] = s->auditors[first + i];
		form.auditor_names[i] = names[first + i];
	}
	form.quorum = 1;
	world_next_trust(s->world, &form, &s->world->root, 1, keep);
}

static int setup(void **context)
{
	struct stage *s = calloc(1, sizeof *s);

	assert_non_null(s);
	s->world = world_create(START);
	for (size_t i = 0; i < 4; i++)
		s->auditors[i] = keystore_ephemeral(KEY_ED25519);
	next_trust(s, 0, NULL);
	next_trust(s, 2, &s->second);
	assert_int_equal(envelope_parse(s->second.bytes, s->second.size, &s->known, NULL), 0);
	*context = s;
	return 0;
}

static int teardown(void **context)
{
	struct stage *s = *context;

	envelope_destroy(s->known);
	world_item_finish(&s->second);
	for (size_t i = 0; i < 4; i++)
		keystore_close(s->auditors[i]);
	scene_finish(&s->scene);
	world_destroy(s->world);
	free(s);
	return 0;
}

/* A checkpoint over a log that has the leaf of T(3), signed by those auditors whose bits are set. */
static void build(struct stage *s, unsigned signers)
{
	struct leaf leaf = {.kind = LEAF_PUT,
			    .key = hash_name("T"),
			    .seq = 3,
			    .value = s->world->trust.value,
			    .time_ms = (uint64_t)START * 1000};
	struct hash all[T_LEAF + 3];
	struct scene_log log = {all, T_LEAF + 3};

	leaf_write(&leaf, s->leaf);
	for (size_t i = 0; i < T_LEAF + 2; i++)
		s->before[i] = i == T_LEAF ? merkle_leaf(s->leaf, LEAF_SIZE) : hash_of(&i, sizeof i);
	scene_finish(&s->scene);
	scene_init(&s->scene, s->world);
	scene_put_world(&s->scene);
	s->scene.before = s->before;
	s->scene.n_before = T_LEAF + 2;
	for (size_t i = 0; i < 4; i++) {
		if ((signers >> i & 1) == 0)
			continue;
		s->scene.auditors[s->scene.n_auditors] = s->auditors[i];
		s->scene.auditor_names[s->scene.n_auditors] = names[i];
		s->scene.auditor_times[s->scene.n_auditors++] = START + i;
	}
	scene_close(&s->scene);
	memcpy(all, s->before, sizeof s->before);
	all[T_LEAF + 2] = merkle_leaf(s->scene.leaf, LEAF_SIZE);
	assert_int_equal(merkle_inclusion(scene_read_log, &log, T_LEAF, log.n, &s->path), 0);
	s->trust[0] = (ProtobufCBinaryData){s->world->trust.size, s->world->trust.bytes};
	poc__transition__init(&s->transition);
	s->transition.trust = s->trust;
	s->transition.n_trust = 1;
	s->transition.note = (ProtobufCBinaryData){s->scene.note_size, (uint8_t *)s->scene.note};
	s->transition.leaf = (ProtobufCBinaryData){LEAF_SIZE, s->leaf};
	s->transition.index = T_LEAF;
	s->transition.path = (ProtobufCBinaryData){s->path.length * HASH_SIZE, (uint8_t *)s->path.hashes};
}

static int verify(struct stage *s)
{
	struct envelope *next[2];
	struct checkpoint checkpoint;
	struct refusal why = {0};
	int status = verify_transition(s->known, &s->transition, next, &checkpoint, &why);

	if (status != 0) {
		assert_true(why.message[0] != '\0');
		return status;
	}
	assert_int_equal(next[0]->seq, 3);
	assert_int_equal(checkpoint.size, T_LEAF + 3);
	assert_int_equal(hash_compare(&checkpoint.root, &s->scene.root), 0);
	envelope_destroy(next[0]);
	return 0;
}

static void test_both_quorums(void **context)
{
	struct stage *s = *context;

	for (unsigned signers = 0; signers < 16; signers++) {
		bool old = (signers & 3) != 0, own = (signers & 12) != 0;
		build(s, signers);
		assert_int_equal(verify(s), old && own ? 0 : STATUS_UNVERIFIED);
	}
}

static void test_wrong_line(void **context)
{
	struct stage *s = *context;

	build(s, 5);
	s->scene.note[s->scene.note_size - 3] ^= 1;
	assert_int_equal(verify(s), STATUS_UNVERIFIED);
}

/* Every byte of leaf and path is bound to the checkpoint. */
static void test_leaf_and_path(void **context)
{
	struct stage *s = *context;

	build(s, 5);
	for (size_t i = 0; i < LEAF_SIZE + s->path.length * HASH_SIZE; i++) {
		uint8_t *at = i < LEAF_SIZE ? &s->leaf[i] : (uint8_t *)s->path.hashes + i - LEAF_SIZE;
		*at ^= 1;
		assert_int_equal(verify(s), STATUS_UNVERIFIED);
		*at ^= 1;
	}
	s->transition.index = T_LEAF + 1;
	assert_int_equal(verify(s), STATUS_UNVERIFIED);
	s->transition.index = T_LEAF;
	s->transition.path.len -= HASH_SIZE;
	assert_int_equal(verify(s), STATUS_UNVERIFIED);
	s->transition.path.len += HASH_SIZE;
	s->transition.leaf.len--;
	assert_int_equal(verify(s), STATUS_UNVERIFIED);
	s->transition.leaf.len++;
	assert_int_equal(verify(s), 0);
}

/* No other leaf of that log will do, and no other T. */
static void test_trust(void **context)
{
	struct stage *s = *context;

	build(s, 5);
	s->transition.n_trust = 0;
	assert_int_equal(verify(s), STATUS_UNVERIFIED);
	s->transition.n_trust = 1;
	s->trust[0] = (ProtobufCBinaryData){s->second.size, s->second.bytes}; /* the one that is held */
	assert_int_equal(verify(s), STATUS_UNVERIFIED);
	s->trust[0].len--;
	assert_int_equal(verify(s), STATUS_UNVERIFIED);
	s->trust[0] = (ProtobufCBinaryData){s->world->trust.size, s->world->trust.bytes};
	s->transition.note.len--;
	assert_int_equal(verify(s), STATUS_UNVERIFIED);
	s->transition.note.len = 0;
	assert_int_equal(verify(s), STATUS_UNVERIFIED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_both_quorums, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_wrong_line, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_leaf_and_path, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_trust, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
