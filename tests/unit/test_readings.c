/* Who has read what: counted by many, stored by one, told by day. */
#include "pocd/directory/readings.h"

#include "pocd/store/schema.h"
#include "tests/lib/unit.h"

#define DAY_MS UINT64_C(86400000)
#define NOON(day) ((day)*DAY_MS + DAY_MS / 2)

enum { TODAY = 20000, PAIRS = 40, ROUNDS = 3000 };

struct room {
	struct store *store;
	struct readings *readings;
};

static int setup(void **state)
{
	struct room *room = calloc(1, sizeof *room);

	room->store = store_mem_create();
	room->readings = readings_create();
	assert_non_null(room->store);
	assert_non_null(room->readings);
	*state = room;
	return 0;
}

static int teardown(void **state)
{
	struct room *room = *state;

	readings_destroy(room->readings);
	store_close(room->store);
	free(room);
	return 0;
}

static void store_at(struct room *room, uint64_t now_ms)
{
	assert_int_equal(readings_store(room->readings, room->store, now_ms), 0);
	assert_int_equal(readings_check(room->store, NULL), 0);
}

/* ---- What a walk gives, as a line: "day by lookups+copied@last ..." */

struct line {
	char text[4000];
	size_t most; /* rows; 0: all */
};

static int put(void *ctx, const struct readings_row *row)
{
	struct line *line = ctx;
	size_t at = strlen(line->text);

	snprintf(line->text + at, sizeof line->text - at, "%s%u %s %llu+%llu@%llu", at > 0 ? ", " : "", row->day,
		 row->by, (unsigned long long)row->lookups, (unsigned long long)row->copied,
		 (unsigned long long)(row->last_ms % DAY_MS));
	return line->most > 0 && --line->most == 0 ? -7 : 0;
}

static int walk(struct room *room, const char *of, uint32_t day, const char *after, uint64_t now_ms, struct line *line)
{
	struct store_view *view;

	assert_int_equal(store_view_begin(room->store, &view), 0);
	int status = readings_walk(view, of, day, after, now_ms, put, line);
	store_view_end(view);
	return status;
}

static void is(struct room *room, const char *of, uint32_t day, const char *after, const char *expected)
{
	struct line line = {.most = 0};

	assert_int_equal(walk(room, of, day, after, NOON(TODAY), &line), 0);
	assert_string_equal(line.text, expected);
}

static uint32_t first_day(struct room *room)
{
	struct store_view *view;
	uint32_t day;

	assert_int_equal(store_view_begin(room->store, &view), 0);
	assert_int_equal(readings_first_day(view, &day), 0);
	store_view_end(view);
	return day;
}

/* ---- Tests */

static void test_counted_by_day(void **state)
{
	struct room *room = *state;

	store_at(room, NOON(TODAY)); /* nothing yet */
	assert_int_equal(first_day(room), 0);
	readings_note(room->readings, "BR", "FR", READING_LOOKUP, (TODAY - 1) * DAY_MS + DAY_MS - 1);
	readings_note(room->readings, "BR", "FR", READING_LOOKUP, TODAY * DAY_MS);
	is(room, "BR", 0, "", ""); /* not stored yet */
	store_at(room, NOON(TODAY));
	readings_note(room->readings, "BR", "FR", READING_LOOKUP, TODAY * DAY_MS + 5);
	readings_note(room->readings, "BR", "FR", READING_COPY, TODAY * DAY_MS + 3);
	readings_note(room->readings, "BR", "@directory", READING_COPY, TODAY * DAY_MS + 4);
	readings_note(room->readings, "FR", "BR", READING_LOOKUP, TODAY * DAY_MS + 4);
	store_at(room, NOON(TODAY));
	store_at(room, NOON(TODAY)); /* each once */
	is(room, "BR", 0, "", "19999 FR 1+0@86399999, 20000 @directory 0+1@4, 20000 FR 2+1@5");
	is(room, "FR", 0, "", "20000 BR 1+0@4");
	is(room, "B", 0, "", "");
	is(room, "BRA", 0, "", "");
	assert_int_equal(first_day(room), TODAY - 1);
}

/* Asked on with the last row's day and state, a walk goes on behind it. */
static void test_pages(void **state)
{
	struct room *room = *state;
	static const char *const by[] = {"AE", "FR", "GB"};
	struct line line = {.most = 2};

	for (size_t i = 0; i < 3; i++) {
		readings_note(room->readings, "BR", by[i], READING_LOOKUP, (TODAY - 1) * DAY_MS);
		readings_note(room->readings, "BR", by[i], READING_LOOKUP, TODAY * DAY_MS);
	}
	store_at(room, NOON(TODAY));
	assert_int_equal(walk(room, "BR", 0, "", NOON(TODAY), &line), -7);
	assert_string_equal(line.text, "19999 AE 1+0@0, 19999 FR 1+0@0");
	is(room, "BR", TODAY - 1, "FR", "19999 GB 1+0@0, 20000 AE 1+0@0, 20000 FR 1+0@0, 20000 GB 1+0@0");
	is(room, "BR", TODAY - 1, "GB", "20000 AE 1+0@0, 20000 FR 1+0@0, 20000 GB 1+0@0");
	is(room, "BR", TODAY, "GB", "");
	is(room, "BR", TODAY, "a name that is too long", "");
	is(room, "BR", UINT32_MAX, "", "");
	/* what is below the first day is no place to go on from */
	is(room, "BR", TODAY - 3000, "GB",
	   "19999 AE 1+0@0, 19999 FR 1+0@0, 19999 GB 1+0@0, 20000 AE 1+0@0, "
	   "20000 FR 1+0@0, 20000 GB 1+0@0");
}

static void test_kept_for_its_time(void **state)
{
	struct room *room = *state;

	readings_note(room->readings, "BR", "FR", READING_LOOKUP, NOON(TODAY - READINGS_DAYS));
	store_at(room, NOON(TODAY - READINGS_DAYS));
	readings_note(room->readings, "AE", "FR", READING_LOOKUP, NOON(TODAY));
	store_at(room, NOON(TODAY));
	assert_int_equal(first_day(room), TODAY - READINGS_DAYS);
	is(room, "BR", 0, "", "19600 FR 1+0@43200000");
	readings_note(room->readings, "AE", "FR", READING_LOOKUP, NOON(TODAY + 1));
	store_at(room, NOON(TODAY + 1));
	assert_int_equal(first_day(room), TODAY);
	is(room, "BR", 0, "", "");
}

/* A store that has no room keeps nothing, and loses nothing. */
struct full {
	struct store base;
	struct store *inner;
	unsigned commits; /* that still succeed */
};

static int full_view_begin(struct store *store, struct store_view **out)
{
	return store_view_begin(((struct full *)store)->inner, out);
}

static void full_commit(struct store *store, struct store_batch *batch, store_done_fn done, void *ctx)
{
	struct full *full = (struct full *)store;

	if (full->commits == 0) {
		store_batch_destroy(batch);
		done(ctx, STATUS_STORAGE);
		return;
	}
	full->commits--;
	store_commit(full->inner, batch, done, ctx);
}

static uint64_t sum(struct room *room, const char *of)
{
	struct line line = {.most = 0};
	uint64_t sum = 0;

	assert_int_equal(walk(room, of, 0, "", NOON(TODAY), &line), 0);
	for (const char *at = line.text; (at = strchr(at, '+')) != NULL; at++) {
		const char *begin = at;
		while (begin[-1] != ' ')
			begin--;
		sum += strtoull(begin, NULL, 10);
	}
	return sum;
}

static void test_no_room(void **state)
{
	static const struct store_ops ops = {.view_begin = full_view_begin, .commit = full_commit};
	struct room *room = *state;
	struct full full = {.base = {&ops}, .inner = room->store};
	uint64_t told = 0;
	char of[3] = "AA";

	/* more than one commit takes */
	for (of[0] = 'A'; of[0] <= 'Z'; of[0]++) {
		for (of[1] = 'A'; of[1] <= 'Z'; of[1]++) {
			readings_note(room->readings, of, "@a", READING_LOOKUP, NOON(TODAY));
			readings_note(room->readings, of, "@b", READING_LOOKUP, NOON(TODAY));
		}
	}
	assert_int_equal(readings_store(room->readings, &full.base, NOON(TODAY)), STATUS_STORAGE);
	is(room, "AA", 0, "", "");
	full.commits = 1;
	assert_int_equal(readings_store(room->readings, &full.base, NOON(TODAY)), STATUS_STORAGE);
	readings_note(room->readings, "AA", "@a", READING_LOOKUP, NOON(TODAY));
	store_at(room, NOON(TODAY));
	for (of[0] = 'A'; of[0] <= 'Z'; of[0]++) {
		for (of[1] = 'A'; of[1] <= 'Z'; of[1]++)
			told += sum(room, of);
	}
	assert_int_equal(told, 2 * 26 * 26 + 1);
	is(room, "AA", 0, "", "20000 @a 2+0@43200000, 20000 @b 1+0@43200000");
}

/* Against a plain table, with many states and stores in between. */
static void test_model(void **state)
{
	struct room *room = *state;
	static uint64_t model[PAIRS][PAIRS];
	uint64_t seed = 7;
	char of[READING_STATE], by[READING_STATE];

	memset(model, 0, sizeof model);
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned a = test_random(&seed) % PAIRS, b = test_random(&seed) % PAIRS;
		snprintf(of, sizeof of, "A%u", a);
		snprintf(by, sizeof by, "B%u", b);
		readings_note(room->readings, of, by, READING_LOOKUP, NOON(TODAY));
		model[a][b]++;
		if (test_random(&seed) % 500 == 0)
			store_at(room, NOON(TODAY));
	}
	store_at(room, NOON(TODAY));
	for (unsigned a = 0; a < PAIRS; a++) {
		uint64_t expected = 0;
		for (unsigned b = 0; b < PAIRS; b++)
			expected += model[a][b];
		snprintf(of, sizeof of, "A%u", a);
		assert_int_equal(sum(room, of), expected);
	}
}

/* Rows that have no row's form are damage to the check and to whoever reads them. */
static void test_damage(void **state)
{
	static const struct {
		const char *key;
		size_t key_size, value_size;
		uint64_t lookups, last_ms;
	} rows[] = {{"\0\0\x4e\x20"
		     "BR\0FR",
		     9, 23, 1, NOON(TODAY)},
		    {"\0\0\x4e\x20"
		     "BRFR",
		     8, 24, 1, NOON(TODAY)},
		    {"\0\0\x4e\x20"
		     "BR\0",
		     7, 24, 1, NOON(TODAY)},
		    {"\0\0\x4e\x20"
		     "BR\0F\0R",
		     10, 24, 1, NOON(TODAY)},
		    {"\0\0\x4e\x20"
		     "BR\0much too long",
		     21, 24, 1, NOON(TODAY)},
		    {"\0\0\x4e\x20"
		     "BR\0BR",
		     9, 24, 1, NOON(TODAY)},
		    {"\0\0\x4e\x20"
		     "BR\0FR",
		     9, 24, 0, NOON(TODAY)},
		    {"\0\0\x4e\x20"
		     "BR\0FR",
		     9, 24, 1, NOON(TODAY + 1)}};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct store *store = store_mem_create();
		struct store_batch *batch = store_batch_create();
		struct refusal why = {0};
		uint8_t value[24] = {0};
		schema_put_u64(value, rows[i].lookups);
		schema_put_u64(value + 16, rows[i].last_ms);
		assert_int_equal(
		    store_batch_put(batch, TABLE_READING, rows[i].key, rows[i].key_size, value, rows[i].value_size), 0);
		assert_int_equal(store_commit_wait(store, batch), 0);
		assert_int_equal(readings_check(store, &why), STATUS_DAMAGED);
		assert_string_equal(why.message, "a row of the table reading has no row's form");
		if (i < 5) {
			struct room damaged = {.store = store};
			struct line line = {.most = 0};
			assert_int_equal(walk(&damaged, "BR", 0, "", NOON(TODAY), &line), STATUS_DAMAGED);
		}
		store_close(store);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(counted_by_day), TEST(pages), TEST(kept_for_its_time),
					   TEST(no_room),        TEST(model), cmocka_unit_test(test_damage)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
