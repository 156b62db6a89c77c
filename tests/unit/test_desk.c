#include "tests/lib/unit.h"

#include "pocd/directory/desk.h"
#include "pocd/directory/directory.h"
#include "proto/keys/keystore_file.h"
#include "proto/keys/toll.h"
#include "proto/rules/rules.h"
#include "tests/lib/world_directory.h"

enum { START = 1790000000, READING_KEYS = 200, TIMES = 20 };

static void must_be_done(void *ctx, const struct change_outcome *outcome)
{
	(void)ctx;
	if (outcome->status != 0)
		fail_msg("%s: %s", outcome->why->field, outcome->why->message);
}

static void submit(struct directory *directory, const struct change_write *writes, size_t n)
{
	assert_int_equal(directory_submit(directory, NULL, writes, n, false, must_be_done, NULL, NULL), 0);
	assert_int_equal(directory_run_once(directory), 0);
}

/* The next U of a state, with as many reading keys as it may have. */
static void publish_keys(struct world *world, struct directory *directory, struct world_state *state,
			 struct keystore_key *const keys[READING_KEYS])
{
	static Poc__PocKind kinds[] = {POC__POC_KIND__POC_KIND_TECHNICAL};
	Poc__ReadingKey list[READING_KEYS], *pointers[READING_KEYS];
	Poc__Users users = POC__USERS__INIT;
	Poc__Head head;
	struct world_item next = {.seq = 0};

	for (size_t i = 0; i < READING_KEYS; i++) {
		const struct public_key *key = keystore_public(keys[i]);
		poc__reading_key__init(&list[i]);
		list[i].spki = (ProtobufCBinaryData){key->spki_size, (uint8_t *)key->spki};
		list[i].holder = POC__HOLDER__HOLDER_DESK;
		list[i].kinds = kinds;
		list[i].n_kinds = 1;
		pointers[i] = &list[i];
	}
	head_fill(&head, &world->directory_id, state->users.name, state->users.seq + 1, &state->users.value);
	users.head = &head;
	users.issued = START;
	users.reading_keys = pointers;
	users.n_reading_keys = READING_KEYS;
	world_sign(&users.base, &state->coordinator, 1, &next);
	struct change_write write = world_write(&next);
	submit(directory, &write, 1);
	world_item_finish(&next);
}

static uint64_t time_of_hashes(struct keystore_key *const keys[READING_KEYS])
{
	const uint64_t begun = toll_clock();

	for (int n = 0; n < TIMES; n++) {
		for (size_t i = 0; i < READING_KEYS; i++) {
			const struct public_key *key = keystore_public(keys[i]);
			struct hash id = hash_of(key->spki, key->spki_size);
			assert_int_equal(hash_compare(&id, &key->id), 0);
		}
	}
	return toll_clock() - begun;
}

/* Whoever posts names desks and keys as he likes: to look for them costs one look at each key that a state has. */
static void test_keys_cost_little(void **context)
{
	struct keystore_key *keys[READING_KEYS];
	Poc__Desk desk = POC__DESK__INIT;
	ProtobufCBinaryData ids[NOTICE_DESK_KEYS_MAX];
	struct refusal why;

	(void)context;
	world_clock_ms = (uint64_t)START * 1000;
	struct world *world = world_create(START);
	struct store *store = store_mem_create();
	struct directory_options options = world_directory_options(world, store);
	world_directory_create(world, &options);
	struct directory *directory = world_directory_open(&options);
	struct world_state *xa = world_add_state(world, "XA");
	const struct change_write writes[] = {world_write(&world->reg), world_write(&xa->keys),
					      world_write(&xa->users)};
	submit(directory, writes, 3);
	for (size_t i = 0; i < READING_KEYS; i++)
		assert_non_null(keys[i] = keystore_ephemeral(KEY_P384));
	publish_keys(world, directory, xa, keys);
	desk.place = "XA";
	desk.kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	desk.keys = ids;
	desk.n_keys = NOTICE_DESK_KEYS_MAX;
	for (size_t i = 0; i < desk.n_keys; i++)
		ids[i] =
		    (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)keystore_public(keys[READING_KEYS - 1 - i])->id.bytes};
	struct snapshot *snapshot = ledger_snapshot(directory_ledger(directory));
	const uint64_t begun = toll_clock();
	for (int n = 0; n < TIMES; n++)
		assert_int_equal(desk_check(snapshot, NULL, &desk, true, START, "core.from", &why), 0);
	const uint64_t taken = toll_clock() - begun;
	assert_true(!test_times_count() || taken < 4 * time_of_hashes(keys));
	ids[5].data = (uint8_t *)hash_zero.bytes;
	assert_int_equal(desk_check(snapshot, NULL, &desk, true, START, "core.from", &why), STATUS_STALE_KEY);
	desk.kind = POC__POC_KIND__POC_KIND_DIPLOMATIC;
	assert_int_equal(desk_check(snapshot, NULL, &desk, true, START, "core.from", &why), STATUS_NO_READING_KEY);
	snapshot_unref(snapshot);
	for (size_t i = 0; i < READING_KEYS; i++)
		keystore_close(keys[i]);
	directory_close(directory);
	store_close(store);
	world_destroy(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_keys_cost_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
