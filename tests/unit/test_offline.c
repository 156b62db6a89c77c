#include "tests/lib/unit.h"

#include "pocd/directory/directory.h"
#include "pocd/offline.h"
#include "tests/lib/world_directory.h"

/* The full check against everything that can be wrong in a store whose checksums are right: rows are written through
 * the store's own batches, as a thief with the daemon's rights could. */

struct ruin {
	struct world *world;
	struct store *store;
};

static void must_be_done(void *ctx, const struct change_outcome *outcome)
{
	(void)ctx;
	if (outcome->status != 0)
		fail_msg("%s: %s", outcome->why->field, outcome->why->message);
}

/* Three events, two of them signed, in one batch, with the publication that gives evidence of the signers. */
static void state_events(struct ruin *ruin)
{
	struct ledger_options options = {.store = ruin->store,
					 .origin = "pocd.test/2026",
					 .log_keys = &ruin->world->log,
					 .n_log_keys = 1,
					 .now_ms = world_read_clock};
	struct ledger_event events[] = {{(const uint8_t *)"one", 3, "U/XA", 0},
					{(const uint8_t *)"two", 3, NULL, 0},
					{(const uint8_t *)"three", 5, "U/XB", 0}};
	struct ledger *ledger;

	assert_int_equal(ledger_open(&options, &ledger, NULL), 0);
	assert_int_equal(ledger_stage_events(ledger, events, 3, NULL), 0);
	assert_int_equal(ledger_commit(ledger, NULL), 0);
	assert_int_equal(ledger_publish(ledger, NULL), 0);
	ledger_close(ledger);
}

static int setup(void **context)
{
	struct ruin *ruin = calloc(1, sizeof *ruin);
	struct refusal why = {0};

	world_clock_ms = UINT64_C(1790000000000);
	ruin->world = world_create(1790000000);
	ruin->store = store_mem_create();
	struct directory_options options = world_directory_options(ruin->world, ruin->store);
	world_directory_create(ruin->world, &options);
	struct directory *directory = world_directory_open(&options);
	for (int i = 0; i < 3; i++) {
		const char *codes[] = {"XA", "XB", "XC"};
		struct world_state *state = world_add_state(ruin->world, codes[i]);
		struct change_write writes[] = {world_write(&ruin->world->reg), world_write(&state->keys),
						world_write(&state->users), world_write(&state->record)};
		writes[3].sections = state->sections;
		writes[3].n_sections = WORLD_SECTIONS;
		assert_int_equal(directory_submit(directory, NULL, writes, 4, false, must_be_done, NULL, &why), 0);
		assert_int_equal(directory_run_once(directory), 0);
	}
	directory_close(directory);
	state_events(ruin);
	*context = ruin;
	return 0;
}

static int teardown(void **context)
{
	struct ruin *ruin = *context;

	store_close(ruin->store);
	world_destroy(ruin->world);
	free(ruin);
	return 0;
}

static void expect(struct ruin *ruin, int status, const char *field)
{
	struct offline_report report;
	struct refusal why = {0};
	int got = offline_check_store(ruin->store, &report, &why);

	if (got != status)
		fail_msg("%s: %s: %s", status_name(got), why.field, why.message);
	if (field != NULL)
		assert_string_equal(why.field, field);
	if (got != 0)
		assert_int_not_equal(why.message[0], 0);
}

static void put(struct ruin *ruin, enum store_table table, const void *key, size_t key_size, const void *value,
		size_t size)
{
	struct store_batch *batch = store_batch_create();

	if (value != NULL)
		assert_int_equal(store_batch_put(batch, table, key, key_size, value, size), 0);
	else
		assert_int_equal(store_batch_delete(batch, table, key, key_size), 0);
	assert_int_equal(store_commit_wait(ruin->store, batch), 0);
}

struct row {
	uint8_t key[STORE_KEY_MAX], *value;
	size_t key_size, size;
	unsigned skip;
};

static int take_row(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct row *row = ctx;

	if (row->skip-- > 0)
		return 0;
	memcpy(row->key, key, key_size);
	row->key_size = key_size;
	row->value = malloc(value->size + 1);
	memcpy(row->value, value->bytes, value->size);
	row->size = value->size;
	return 1;
}

static bool get_row(struct ruin *ruin, enum store_table table, unsigned n, struct row *row)
{
	struct store_view *view;

	*row = (struct row){.skip = n};
	assert_int_equal(store_view_begin(ruin->store, &view), 0);
	int found = store_walk(view, table, NULL, 0, take_row, row);
	store_view_end(view);
	return found == 1;
}

static void test_sound(void **context)
{
	struct ruin *ruin = *context;
	struct offline_report report;
	struct refusal why = {0};

	assert_int_equal(offline_check_store(ruin->store, &report, &why), 0);
	assert_int_equal(report.ledger.publications, 5);
	assert_int_equal(report.ledger.events, 3);
	assert_int_equal(report.ledger.names, 2 + 2 + 9);
	assert_int_equal(report.ledger.sections, 9);
	assert_int_equal(report.history.judged, 4 + 12);
	assert_int_equal(report.history.states, 4);
	assert_int_equal(report.history.records, 3);
	assert_int_equal(report.history.checkpoints, 5);
	assert_int_equal(report.size, report.ledger.leaves);
	assert_int_equal(report.time_ms, world_clock_ms);
}

/* Every byte of every row of every table matters: one changed bit is found, at the first byte, the last and in between;
 * so is a row that has gone. */
static void test_every_row(void **context)
{
	struct ruin *ruin = *context;
	struct row row;

	for (int table = 0; table < TABLE_COUNT; table++) {
		for (unsigned n = 0; get_row(ruin, (enum store_table)table, n, &row); n++) {
			size_t at[] = {0, row.size / 3, row.size / 2, row.size - 1};
			if (table == TABLE_SECTION)
				at[0] = 5;
			for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
				struct refusal why = {0};
				row.value[at[i]] ^= 4;
				put(ruin, (enum store_table)table, row.key, row.key_size, row.value, row.size);
				if (offline_check_store(ruin->store, NULL, &why) == 0)
					fail_msg("table %s, row %u, byte %zu",
						 store_table_name((enum store_table)table), n, at[i]);
				row.value[at[i]] ^= 4;
			}
			put(ruin, (enum store_table)table, row.key, row.key_size, NULL, 0);
			if (table != TABLE_SECTION)
				assert_int_not_equal(offline_check_store(ruin->store, NULL, NULL), 0);
			put(ruin, (enum store_table)table, row.key, row.key_size, row.value, row.size);
			free(row.value);
		}
	}
	expect(ruin, 0, NULL);
}

/* An erased section is a fact, not a fault. */
static void test_erased(void **context)
{
	struct ruin *ruin = *context;
	struct offline_report report;
	struct row row;

	assert_true(get_row(ruin, TABLE_SECTION, 2, &row));
	put(ruin, TABLE_SECTION, row.key, row.key_size, NULL, 0);
	free(row.value);
	assert_int_equal(offline_check_store(ruin->store, &report, NULL), 0);
	assert_int_equal(report.ledger.erased_sections, 1);
}

static struct ledger *open_ledger(struct ruin *ruin, struct keystore_key *const *key)
{
	struct ledger_options options = {.store = ruin->store,
					 .origin = "pocd.test/2026",
					 .log_keys = key,
					 .n_log_keys = 1,
					 .now_ms = world_read_clock};
	struct ledger *ledger;
	struct refusal why = {0};

	if (ledger_open(&options, &ledger, &why) != 0)
		fail_msg("%s", why.message);
	return ledger;
}

static void force(struct ruin *ruin, const struct world_item *item)
{
	struct ledger *ledger = open_ledger(ruin, &ruin->world->log);
	struct ledger_put put = {.name = item->name,
				 .value = item->value,
				 .seq = item->seq,
				 .envelope = item->bytes,
				 .envelope_size = item->size};

	assert_int_equal(ledger_stage(ledger, &put, 1, NULL), 0);
	assert_int_equal(ledger_commit(ledger, NULL), 0);
	assert_int_equal(ledger_publish(ledger, NULL), 0);
	ledger_close(ledger);
}

/* A log that adds up but holds what no rule allows: an operator who forges a record. */
static void test_forged(void **context)
{
	struct ruin *ruin = *context;
	struct world_state *xa = world_state(ruin->world, "XA"), *xb = world_state(ruin->world, "XB");
	struct keystore_key *own = xa->coordinator;

	xa->coordinator = xb->coordinator;
	world_next_record(ruin->world, xa, false, NULL);
	xa->coordinator = own;
	force(ruin, &xa->record);
	expect(ruin, STATUS_UNVERIFIED, "signatures");
}

static void test_orphaning_keys(void **context)
{
	struct ruin *ruin = *context;
	struct world_state *xa = world_state(ruin->world, "XA");
	struct keystore_key *old = xa->coordinator;

	world_next_keys(ruin->world, xa, world_state(ruin->world, "XB")->reader, NULL);
	force(ruin, &xa->keys);
	expect(ruin, STATUS_UNVERIFIED, NULL);
	xa->coordinator = old;
}

static void test_foreign_log_key(void **context)
{
	struct ruin *ruin = *context;
	struct ledger *ledger = open_ledger(ruin, &ruin->world->enrolment);

	assert_int_equal(ledger_publish(ledger, NULL), 0);
	ledger_close(ledger);
	expect(ruin, STATUS_UNVERIFIED, NULL);
}

static void test_empty(void **context)
{
	struct store *store = store_mem_create();
	struct refusal why = {0};

	(void)context;
	assert_int_equal(offline_check_store(store, NULL, &why), STATUS_NOT_FOUND);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_sound, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_every_row, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_erased, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_forged, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_orphaning_keys, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_foreign_log_key, setup, teardown),
	    cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
