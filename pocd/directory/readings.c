#include "pocd/directory/readings.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "pocd/store/crc32c.h"
#include "pocd/store/schema.h"

enum {
	DAY_MS = 86400 * 1000,
	FIRST_SLOTS = 64,
	BATCH_ROWS = 1000, /* of one commit */
	ROW_KEY = 4 + READING_STATE + READING_STATE,
	ROW_VALUE = 3 * 8,
	KEY_BYTES = offsetof(struct readings_row, by) + READING_STATE, /* day and states: what tells rows apart */
	WALK_ENDS = -1                                                 /* no status */
};

/* An open hash table; a free slot has no `of`. */
struct tally {
	size_t n, slots; /* slots: a power of two, or 0 */
	struct readings_row *rows;
};

struct readings {
	pthread_mutex_t lock;
	struct tally tally;
};

uint32_t readings_day(uint64_t now_ms)
{
	return (uint32_t)(now_ms / DAY_MS);
}

/* ---- Counting */

static size_t hash_of_row(const struct readings_row *row)
{
	return crc32c(0, row, KEY_BYTES);
}

static bool same_row(const struct readings_row *a, const struct readings_row *b)
{
	return memcmp(a, b, KEY_BYTES) == 0;
}

/* The row's slot, or the free one where it belongs. */
static struct readings_row *slot_of(const struct tally *tally, const struct readings_row *row)
{
	size_t i = hash_of_row(row);

	while (tally->rows[i & (tally->slots - 1)].of[0] != '\0' &&
	       !same_row(&tally->rows[i & (tally->slots - 1)], row))
		i++;
	return &tally->rows[i & (tally->slots - 1)];
}

static bool grow(struct tally *tally)
{
	struct tally larger = {.n = tally->n, .slots = tally->slots > 0 ? 2 * tally->slots : FIRST_SLOTS};

	larger.rows = calloc(larger.slots, sizeof *larger.rows);
	if (larger.rows == NULL)
		return false;
	for (size_t i = 0; i < tally->slots; i++) {
		if (tally->rows[i].of[0] != '\0')
			*slot_of(&larger, &tally->rows[i]) = tally->rows[i];
	}
	free(tally->rows);
	*tally = larger;
	return true;
}

static void add_to(struct readings_row *row, const struct readings_row *more)
{
	row->lookups += more->lookups;
	row->copied += more->copied;
	row->last_ms = row->last_ms > more->last_ms ? row->last_ms : more->last_ms;
}

static void tally_add(struct tally *tally, const struct readings_row *more)
{
	if (4 * (tally->n + 1) > 3 * tally->slots && !grow(tally))
		return;
	struct readings_row *row = slot_of(tally, more);
	if (row->of[0] != '\0') {
		add_to(row, more);
		return;
	}
	*row = *more;
	tally->n++;
}

struct readings *readings_create(void)
{
	struct readings *readings = calloc(1, sizeof *readings);

	if (readings != NULL)
		pthread_mutex_init(&readings->lock, NULL);
	return readings;
}

void readings_destroy(struct readings *readings)
{
	if (readings == NULL)
		return;
	pthread_mutex_destroy(&readings->lock);
	free(readings->tally.rows);
	free(readings);
}

void readings_note(struct readings *readings, const char *of, const char *by, enum reading_way way, uint64_t now_ms)
{
	struct readings_row row = {.day = readings_day(now_ms),
				   .lookups = way == READING_LOOKUP,
				   .copied = way == READING_COPY,
				   .last_ms = now_ms};

	strncpy(row.of, of, READING_STATE - 1);
	strncpy(row.by, by, READING_STATE - 1);
	pthread_mutex_lock(&readings->lock);
	tally_add(&readings->tally, &row);
	pthread_mutex_unlock(&readings->lock);
}

/* ---- Rows */

static size_t write_key(uint8_t out[ROW_KEY], uint32_t day, const char *of, const char *by)
{
	size_t of_size = strlen(of), by_size = strlen(by);

	schema_put_u32(out, day);
	memcpy(out + 4, of, of_size + 1);
	memcpy(out + 4 + of_size + 1, by, by_size);
	return 4 + of_size + 1 + by_size;
}

static bool read_row(const uint8_t *key, size_t key_size, const struct store_value *value, struct readings_row *out)
{
	const uint8_t *end = key_size > 4 ? memchr(key + 4, 0, key_size - 4) : NULL;
	size_t of_size = end != NULL ? (size_t)(end - key - 4) : 0, by_size = end != NULL ? key_size - of_size - 5 : 0;

	*out = (struct readings_row){.day = 0};
	if (of_size == 0 || of_size >= READING_STATE || by_size == 0 || by_size >= READING_STATE ||
	    memchr(end + 1, 0, by_size) != NULL || value->size != ROW_VALUE)
		return false;
	out->day = schema_get_u32(key);
	memcpy(out->of, key + 4, of_size);
	memcpy(out->by, end + 1, by_size);
	out->lookups = schema_get_u64(value->bytes);
	out->copied = schema_get_u64(value->bytes + 8);
	out->last_ms = schema_get_u64(value->bytes + 16);
	return true;
}

/* ---- Storing */

/* Puts a row with what is stored of it already. */
static int put_row(struct store_view *view, struct store_batch *batch, const struct readings_row *more)
{
	uint8_t key[ROW_KEY], bytes[ROW_VALUE];
	size_t key_size = write_key(key, more->day, more->of, more->by);
	struct store_value value;
	struct readings_row row = *more, stored;
	int status = store_get(view, TABLE_READING, key, key_size, &value);

	if (status == 0 && !read_row(key, key_size, &value, &stored))
		status = STATUS_DAMAGED;
	if (status == 0)
		add_to(&row, &stored);
	else if (status != STATUS_NOT_FOUND)
		return status;
	schema_put_u64(bytes, row.lookups);
	schema_put_u64(bytes + 8, row.copied);
	schema_put_u64(bytes + 16, row.last_ms);
	return store_batch_put(batch, TABLE_READING, key, key_size, bytes, sizeof bytes);
}

struct expiry {
	struct store_batch *batch;
	uint32_t before;
	int status;
};

static int expire(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct expiry *expiry = ctx;

	(void)value;
	if (key_size < 4 || schema_get_u32(key) >= expiry->before ||
	    store_batch_count(expiry->batch) >= 2 * (size_t)BATCH_ROWS)
		return WALK_ENDS;
	expiry->status = store_batch_delete(expiry->batch, TABLE_READING, key, key_size);
	return expiry->status;
}

static int put_expired(struct store_view *view, struct store_batch *batch, uint64_t now_ms)
{
	uint32_t today = readings_day(now_ms);
	struct expiry expiry = {batch, today > READINGS_DAYS ? today - READINGS_DAYS : 0, 0};
	int status = store_walk(view, TABLE_READING, NULL, 0, expire, &expiry);

	return expiry.status != 0 ? expiry.status : status == WALK_ENDS ? 0 : status;
}

/* Commits the rows of the slots from *at on, as many as one commit takes, and moves *at behind them. */
static int store_some(const struct tally *tally, size_t *at, struct store *store, uint64_t now_ms)
{
	struct store_batch *batch = store_batch_create();
	struct store_view *view = NULL;
	size_t i = *at, n = 0;
	int status = batch == NULL ? STATUS_NO_MEMORY : store_view_begin(store, &view);

	for (; status == 0 && i < tally->slots && n < BATCH_ROWS; i++) {
		if (tally->rows[i].of[0] == '\0')
			continue;
		status = put_row(view, batch, &tally->rows[i]);
		n++;
	}
	if (status == 0)
		status = put_expired(view, batch, now_ms);
	store_view_end(view);
	if (status != 0) {
		store_batch_destroy(batch);
		return status;
	}
	status = store_commit_wait(store, batch);
	if (status == 0)
		*at = i;
	return status;
}

int readings_store(struct readings *readings, struct store *store, uint64_t now_ms)
{
	size_t at = 0;
	int status = 0;

	pthread_mutex_lock(&readings->lock);
	struct tally tally = readings->tally;
	readings->tally = (struct tally){.n = 0};
	pthread_mutex_unlock(&readings->lock);
	while (status == 0 && at < tally.slots)
		status = store_some(&tally, &at, store, now_ms);
	pthread_mutex_lock(&readings->lock);
	for (; at < tally.slots; at++) {
		if (tally.rows[at].of[0] != '\0')
			tally_add(&readings->tally, &tally.rows[at]);
	}
	pthread_mutex_unlock(&readings->lock);
	free(tally.rows);
	return status;
}

/* ---- Reading */

struct walk {
	const char *of;
	uint32_t day;
	int (*each)(void *ctx, const struct readings_row *reading);
	void *ctx;
	int stopped; /* by each */
};

static int walk_row(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct walk *walk = ctx;
	struct readings_row row;

	if (!read_row(key, key_size, value, &row))
		return STATUS_DAMAGED;
	if (row.day != walk->day || strcmp(row.of, walk->of) != 0)
		return WALK_ENDS;
	walk->stopped = walk->each(walk->ctx, &row);
	return walk->stopped;
}

int readings_walk(struct store_view *view, const char *of, uint32_t day, const char *after, uint64_t now_ms,
		  int (*each)(void *ctx, const struct readings_row *reading), void *ctx)
{
	struct walk walk = {.of = of, .day = day, .each = each, .ctx = ctx};
	uint32_t today = readings_day(now_ms), first = today > READINGS_DAYS ? today - READINGS_DAYS : 0;
	uint8_t key[ROW_KEY + 1];

	if (strlen(of) >= READING_STATE || strlen(after) >= READING_STATE)
		return 0;
	if (walk.day < first) {
		walk.day = first;
		after = "";
	}
	for (; walk.day <= today; walk.day++, after = "") {
		size_t size = write_key(key, walk.day, of, after);
		if (after[0] != '\0')
			key[size++] = 0; /* above it */
		int status = store_walk(view, TABLE_READING, key, size, walk_row, &walk);
		if (walk.stopped != 0 || (status != 0 && status != WALK_ENDS))
			return walk.stopped != 0 ? walk.stopped : status;
	}
	return 0;
}

static int take_day(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	(void)value;
	*(uint32_t *)ctx = key_size >= 4 ? schema_get_u32(key) : 0;
	return WALK_ENDS;
}

int readings_first_day(struct store_view *view, uint32_t *out)
{
	*out = 0;
	int status = store_walk(view, TABLE_READING, NULL, 0, take_day, out);

	return status == WALK_ENDS ? 0 : status;
}

/* ---- Checking */

static int check_row(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct refusal *why = ctx;
	struct readings_row row;

	return read_row(key, key_size, value, &row) && row.lookups + row.copied > 0 &&
		       readings_day(row.last_ms) == row.day && strcmp(row.of, row.by) != 0
		   ? 0
		   : refuse(why, STATUS_DAMAGED, "store", "a row of the table reading has no row's form");
}

int readings_check(struct store *store, struct refusal *why)
{
	struct store_view *view;
	int status = store_view_begin(store, &view);

	if (status != 0)
		return refuse(why, status, "store", "cannot read: %s", status_text(status));
	status = store_walk(view, TABLE_READING, NULL, 0, check_row, why);
	store_view_end(view);
	return status;
}
