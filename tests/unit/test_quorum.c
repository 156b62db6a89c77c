/* Auditors and quorums, exhaustively over two auditors a and b and a stranger: every T that lists some of them, with
 * every quorum that they can meet, after every other such T.
 *
 * What must hold: a reader takes the first checkpoint of a new T, and a transition to it, if and only if the quorum of
 * the T that he holds has signed by its auditors, and that of the new T by its own: no auditor who was dropped, none
 * who is not listed yet, makes up a quorum, and root keys alone bring no auditors.  The writer takes a T if and only if
 * it leaves auditors and quorum as they were, or as many as it asks for are at work: no T ends all publication. */
#include "tests/lib/unit.h"

#include "clients/libpoc/verify_head.h"
#include "pocd/directory/directory.h"
#include "pocd/directory/quorum.h"
#include "proto/keys/keystore_file.h"
#include "tests/lib/scene.h"
#include "tests/lib/world_directory.h"

enum { START = 1790000000, AUDITORS = 2, STRANGER = 2, KEYS = 3, FORMS = 8, T_LEAF = 1 };

/* What a T says: bits of a and b, and how many of them must sign. */
static const struct form {
	unsigned list, quorum;
} forms[FORMS] = {{0, 0}, {1, 0}, {1, 1}, {2, 0}, {2, 1}, {3, 0}, {3, 1}, {3, 2}};

static const char *const names[KEYS] = {"a.example", "b.example", "z.example"};
static struct keystore_key *keys[KEYS];
static int make_keys(void **state)
{
	(void)state;
	for (int i = 0; i < KEYS; i++)
		assert_non_null(keys[i] = keystore_ephemeral(KEY_ED25519));
	return 0;
}

static int forget_keys(void **state)
{
	(void)state;
	for (int i = 0; i < KEYS; i++)
		keystore_close(keys[i]);
	return 0;
}

static unsigned count(unsigned bits)
{
	return (unsigned)__builtin_popcount(bits);
}

/* keep: what stood before, NULL: gone. */
static void next_trust(struct world *world, const struct form *form, struct world_item *keep)
{
	struct world_trust trust = world_usual_trust(world);

	for (unsigned i = 0; i < AUDITORS; i++) {
		if ((form->list >> i & 1) == 0)
			continue;
		trust.auditors[trust.n_auditors] = keys[i];
		trust.auditor_names[trust.n_auditors++] = names[i];
	}
	trust.quorum = form->quorum;
	world_next_trust(world, &trust, &world->root, 1, keep);
}

/* ---- A reader */

/* T(2) as one form, T(3) as another. */
struct stage {
	struct world *world;
	struct world_item items[2]; /* T(1), T(2) */
	struct envelope *held[2];
	struct hash before[T_LEAF + 1]; /* the log before the STATE leaf: something, the PUT leaf of T(3) */
	uint8_t leaf[LEAF_SIZE];
};

static void stage_init(struct stage *s, const struct form *old, const struct form *next)
{
	*s = (struct stage){.world = world_create(START)};
	next_trust(s->world, old, &s->items[0]);
	next_trust(s->world, next, &s->items[1]);
	for (int i = 0; i < 2; i++)
		assert_int_equal(envelope_parse(s->items[i].bytes, s->items[i].size, &s->held[i], NULL), 0);
	struct leaf leaf = {.kind = LEAF_PUT,
			    .key = hash_name("T"),
			    .seq = 3,
			    .value = s->world->trust.value,
			    .time_ms = (uint64_t)START * 1000};
	leaf_write(&leaf, s->leaf);
	s->before[0] = hash_of("something", 9);
	s->before[T_LEAF] = merkle_leaf(s->leaf, LEAF_SIZE);
}

static void stage_finish(struct stage *s)
{
	for (int i = 0; i < 2; i++) {
		envelope_destroy(s->held[i]);
		world_item_finish(&s->items[i]);
	}
	world_destroy(s->world);
}

static void sign(struct scene *scene, struct stage *s, unsigned signers)
{
	scene_init(scene, s->world);
	scene_put_world(scene);
	scene->before = s->before;
	scene->n_before = T_LEAF + 1;
	for (size_t i = 0; i < KEYS; i++) {
		if ((signers >> i & 1) == 0)
			continue;
		scene->auditors[scene->n_auditors] = keys[i];
		scene->auditor_names[scene->n_auditors] = names[i];
		scene->auditor_times[scene->n_auditors++] = START + i;
	}
	scene_close(scene);
}

static int take_head(const struct scene *scene, const struct stage *s)
{
	const struct verify_pins pins = {.directory = s->world->directory_id};
	ProtobufCBinaryData trust = {s->world->trust.size, s->world->trust.bytes};
	struct scene_item t, reg, *items[] = {&reg, &t};
	struct verified_head *head = NULL;
	struct refusal why = {0};
	Poc__Proof *proof;
	uint8_t *bytes;
	size_t size;

	scene_item(scene, "T", &t);
	scene_item(scene, "S", &reg);
	scene_envelope(&reg, &s->world->reg);
	scene_proof(scene, items, 2, false, &bytes, &size);
	assert_int_equal(proof_decode(bytes, size, &proof, &why), 0);
	free(proof->trust[0].data); /* T(1), which is held: T(3) in its place */
	proof->trust[0].data = malloc(trust.len);
	assert_non_null(proof->trust[0].data);
	memcpy(proof->trust[0].data, trust.data, trust.len);
	proof->trust[0].len = trust.len;
	const int status = verify_head(&pins, s->held, 2, NULL, proof, &head, &why);
	verified_head_unref(head);
	free(bytes);
	return status;
}

static int take_transition(const struct scene *scene, struct stage *s)
{
	Poc__Transition transition = POC__TRANSITION__INIT;
	ProtobufCBinaryData trust = {s->world->trust.size, s->world->trust.bytes};
	struct hash all[T_LEAF + 2];
	struct scene_log log = {all, T_LEAF + 2};
	struct merkle_proof path;
	struct envelope *next[1];
	struct checkpoint checkpoint;
	struct refusal why = {0};

	memcpy(all, s->before, sizeof s->before);
	all[T_LEAF + 1] = merkle_leaf(scene->leaf, LEAF_SIZE);
	assert_int_equal(merkle_inclusion(scene_read_log, &log, T_LEAF, log.n, &path), 0);
	transition.trust = &trust;
	transition.n_trust = 1;
	transition.note = (ProtobufCBinaryData){scene->note_size, (uint8_t *)scene->note};
	transition.leaf = (ProtobufCBinaryData){LEAF_SIZE, s->leaf};
	transition.index = T_LEAF;
	transition.path = (ProtobufCBinaryData){path.length * HASH_SIZE, (uint8_t *)path.hashes};
	const int status = verify_transition(s->held[1], &transition, next, &checkpoint, &why);
	if (status == 0)
		envelope_destroy(next[0]);
	return status;
}

static void read_all(const struct form *old, const struct form *next)
{
	struct stage s;
	struct envelope *trust;
	struct scene scene;

	stage_init(&s, old, next);
	assert_int_equal(envelope_parse(s.world->trust.bytes, s.world->trust.size, &trust, NULL), 0);
	for (unsigned signers = 0; signers < 1U << KEYS; signers++) {
		const bool both =
		    count(signers & old->list) >= old->quorum && count(signers & next->list) >= next->quorum;
		sign(&scene, &s, signers);
		assert_int_equal(quorum_count(trust->payload.trust, scene.note, scene.note_size),
				 count(signers & next->list));
		assert_int_equal(take_head(&scene, &s), both ? 0 : STATUS_UNVERIFIED);
		assert_int_equal(take_transition(&scene, &s), both ? 0 : STATUS_UNVERIFIED);
		scene_finish(&scene);
	}
	envelope_destroy(trust);
	stage_finish(&s);
}

static void test_reader_asks_both(void **state)
{
	(void)state;
	for (int old = 0; old < FORMS; old++) {
		for (int next = 0; next < FORMS; next++)
			read_all(&forms[old], &forms[next]);
	}
}

/* ---- The writer */

struct house {
	struct world *world;
	struct store *store;
	struct directory *directory;
};

static void take_status(void *ctx, const struct change_outcome *outcome)
{
	*(int *)ctx = outcome->status;
}

static int submit(struct house *house, const struct world_item *item)
{
	struct change_write write = {.envelope = item->bytes, .envelope_size = item->size};
	struct refusal why = {0};
	int status = -1;

	assert_int_equal(directory_submit(house->directory, NULL, &write, 1, false, take_status, &status, &why), 0);
	directory_run_once(house->directory);
	assert_true(status >= 0);
	return status;
}

/* A start forgets who was at work. */
static void start(struct house *house)
{
	struct directory_options options = world_directory_options(house->world, house->store);

	directory_close(house->directory);
	house->directory = world_directory_open(&options);
}

static void found(struct house *house)
{
	world_clock_ms = (uint64_t)START * 1000;
	*house = (struct house){.world = world_create(START), .store = store_mem_create()};
	struct directory_options options = world_directory_options(house->world, house->store);

	world_directory_create(house->world, &options);
	start(house);
}

static void leave(struct house *house)
{
	directory_close(house->directory);
	store_close(house->store);
	world_destroy(house->world);
}

/* An auditor comes with its key, as a mirror of a state. */
static void attend(struct house *house, const struct keystore_key *key, const char *state)
{
	const struct public_key *public_key = keystore_public(key);
	struct principal who = {.facts.roles = 1U << POC__ROLE__ROLE_MIRROR};
	struct follow_query query = {.auditor = "", .key = public_key->spki, .key_size = public_key->spki_size};
	struct tip_told told;
	struct answer answer;

	snprintf(who.state, sizeof who.state, "%s", state);
	assert_int_equal(directory_follow(house->directory, &who, &query, &told, &answer, NULL), 0);
	answer_finish(&answer);
}

static void write_one(const struct form *old, const struct form *next, unsigned at_work)
{
	struct house house;
	const bool same = old->list == next->list && old->quorum == next->quorum;

	found(&house);
	world_add_state(house.world, "XA"); /* of which the auditors are */
	assert_int_equal(submit(&house, &house.world->reg), 0);
	for (int i = 0; i < AUDITORS; i++)
		attend(&house, keys[i], "XA");
	next_trust(house.world, old, NULL);
	assert_int_equal(submit(&house, &house.world->trust), 0);
	start(&house);
	for (unsigned i = 0; i < AUDITORS; i++)
		attend(&house, keys[i], (at_work >> i & 1) != 0 ? "XA" : "XB"); /* of another state is none */
	attend(&house, keys[STRANGER], "XA");
	next_trust(house.world, next, NULL);
	assert_int_equal(submit(&house, &house.world->trust),
			 same || count(at_work & next->list) >= next->quorum ? 0 : STATUS_INVALID);
	leave(&house);
}

static void test_writer_asks_who_is_at_work(void **state)
{
	(void)state;
	for (int old = 0; old < FORMS; old++) {
		for (int next = 0; next < FORMS; next++) {
			for (unsigned at_work = 0; at_work < 1U << AUDITORS; at_work++)
				write_one(&forms[old], &forms[next], at_work);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_reader_asks_both),
	    cmocka_unit_test(test_writer_asks_who_is_at_work),
	};

	return cmocka_run_group_tests(tests, make_keys, forget_keys);
}
