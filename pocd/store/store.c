#include "pocd/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pocd/store/crc32c.h"

enum { CHECKSUM_SIZE = 4 };

struct store_batch {
	size_t n, capacity;
	struct store_op *ops;
	bool use_reserve;
};

/* Bound to table and key, so that a value that strayed to another key does not pass. */
static uint32_t checksum(enum store_table table, const void *key, size_t key_size, const void *value, size_t value_size)
{
	uint8_t head[3] = {(uint8_t)table, (uint8_t)(key_size >> 8), (uint8_t)key_size};

	return crc32c(crc32c(crc32c(0, head, sizeof head), key, key_size), value, value_size);
}

static void put_u32(uint8_t out[4], uint32_t value)
{
	for (int i = 3; i >= 0; i--, value >>= 8)
		out[i] = (uint8_t)value;
}

/* Checks a stored value and cuts the checksum off. */
static int unseal(enum store_table table, const void *key, size_t key_size, struct store_value *value)
{
	uint8_t expected[CHECKSUM_SIZE];

	if (value->size < CHECKSUM_SIZE)
		return STATUS_DAMAGED;
	value->size -= CHECKSUM_SIZE;
	put_u32(expected, checksum(table, key, key_size, value->bytes, value->size));
	return memcmp(expected, value->bytes + value->size, CHECKSUM_SIZE) == 0 ? 0 : STATUS_DAMAGED;
}

const char *store_table_name(enum store_table table)
{
	static const char *const names[TABLE_COUNT] = {"meta",      "envelope", "section",     "current", "history",
						       "leaf",      "tile",     "publication", "event",   "evidence",
						       "notice_id", "notice",   "body",        "step",    "feed",
						       "desk",      "timer",    "backlog",     "reading"};

	return table < TABLE_COUNT ? names[table] : "?";
}

int store_view_begin(struct store *store, struct store_view **out)
{
	return store->ops->view_begin(store, out);
}

void store_view_end(struct store_view *view)
{
	if (view != NULL)
		view->store->ops->view_end(view);
}

int store_get(struct store_view *view, enum store_table table, const void *key, size_t key_size,
	      struct store_value *out)
{
	if (key_size == 0 || key_size > STORE_KEY_MAX)
		return STATUS_NOT_FOUND;
	int status = view->store->ops->get(view, table, key, key_size, out);
	return status != 0 ? status : unseal(table, key, key_size, out);
}

struct walker {
	enum store_table table;
	int (*each)(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value);
	void *ctx;
};

static int walk_each(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	const struct walker *walker = ctx;
	struct store_value open = *value;
	int status = unseal(walker->table, key, key_size, &open);

	return status != 0 ? status : walker->each(walker->ctx, key, key_size, &open);
}

int store_walk(struct store_view *view, enum store_table table, const void *from, size_t from_size,
	       int (*each)(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value), void *ctx)
{
	struct walker walker = {table, each, ctx};

	return view->store->ops->walk(view, table, from, from_size, walk_each, &walker);
}

static int count_row(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	(void)key;
	(void)key_size;
	(void)value;
	++*(uint64_t *)ctx;
	return 0;
}

int store_count(struct store_view *view, enum store_table table, uint64_t *n)
{
	*n = 0;
	return store_walk(view, table, NULL, 0, count_row, n);
}

struct store_batch *store_batch_create(void)
{
	return calloc(1, sizeof(struct store_batch));
}

void store_batch_destroy(struct store_batch *batch)
{
	if (batch == NULL)
		return;
	for (size_t i = 0; i < batch->n; i++)
		free((void *)batch->ops[i].key);
	free(batch->ops);
	free(batch);
}

static int append(struct store_batch *batch, const struct store_op *op)
{
	if (batch->n == batch->capacity) {
		size_t capacity = batch->capacity > 0 ? 2 * batch->capacity : 16;
		struct store_op *ops = realloc(batch->ops, capacity * sizeof *ops);
		if (ops == NULL)
			return STATUS_NO_MEMORY;
		batch->ops = ops;
		batch->capacity = capacity;
	}
	batch->ops[batch->n++] = *op;
	return 0;
}

int store_batch_put(struct store_batch *batch, enum store_table table, const void *key, size_t key_size,
		    const void *value, size_t value_size)
{
	if (key_size == 0 || key_size > STORE_KEY_MAX || value_size > STORE_VALUE_MAX)
		return STATUS_TOO_LARGE;
	uint8_t *room = malloc(key_size + value_size + CHECKSUM_SIZE);
	if (room == NULL)
		return STATUS_NO_MEMORY;
	memcpy(room, key, key_size);
	if (value_size > 0)
		memcpy(room + key_size, value, value_size);
	put_u32(room + key_size + value_size, checksum(table, key, key_size, value, value_size));
	struct store_op op = {table, key_size, value_size + CHECKSUM_SIZE, room, room + key_size};
	int status = append(batch, &op);
	if (status != 0)
		free(room);
	return status;
}

int store_batch_delete(struct store_batch *batch, enum store_table table, const void *key, size_t key_size)
{
	if (key_size == 0 || key_size > STORE_KEY_MAX)
		return STATUS_TOO_LARGE;
	uint8_t *room = malloc(key_size);
	if (room == NULL)
		return STATUS_NO_MEMORY;
	memcpy(room, key, key_size);
	struct store_op op = {table, key_size, 0, room, NULL};
	int status = append(batch, &op);
	if (status != 0)
		free(room);
	return status;
}

void store_batch_use_reserve(struct store_batch *batch)
{
	batch->use_reserve = true;
}

bool store_batch_uses_reserve(const struct store_batch *batch)
{
	return batch->use_reserve;
}

size_t store_batch_count(const struct store_batch *batch)
{
	return batch->n;
}

const struct store_op *store_batch_op(const struct store_batch *batch, size_t i)
{
	return &batch->ops[i];
}

void store_commit(struct store *store, struct store_batch *batch, store_done_fn done, void *ctx)
{
	store->ops->commit(store, batch, done, ctx);
}

static void keep_status(void *ctx, int status)
{
	*(int *)ctx = status;
}

int store_commit_wait(struct store *store, struct store_batch *batch)
{
	int status = STATUS_FAILED; /* both backends call done before commit returns */

	store_commit(store, batch, keep_status, &status);
	return status;
}

void store_close(struct store *store)
{
	if (store != NULL)
		store->ops->close(store);
}

enum { SCRUB_KEY = 40 };

struct scrub {
	enum store_table table;
	uint64_t values;
	uint8_t last[SCRUB_KEY]; /* the key, or its beginning, of the last good value: for millions a copy must do */
	size_t last_size;
};

static int scrub_each(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct scrub *scrub = ctx;

	(void)value;
	scrub->values++;
	scrub->last_size = key_size < SCRUB_KEY ? key_size : SCRUB_KEY;
	memcpy(scrub->last, key, scrub->last_size);
	return 0;
}

static int scrub_failed(const struct scrub *scrub, struct refusal *why)
{
	char last[2 * SCRUB_KEY + 1] = "none";

	for (size_t i = 0; i < scrub->last_size; i++)
		snprintf(last + 2 * i, 3, "%02x", scrub->last[i]);
	return refuse(why, STATUS_DAMAGED, store_table_name(scrub->table),
		      "a value in table %s does not match its checksum (after key %s)", store_table_name(scrub->table),
		      last);
}

int store_scrub(struct store *store, uint64_t *values, struct refusal *why)
{
	struct store_view *view;
	struct scrub scrub = {.values = 0};
	int status = store_view_begin(store, &view);

	if (status != 0)
		return refuse(why, status, "", "the database cannot be read");
	for (int table = 0; table < TABLE_COUNT && status == 0; table++) {
		scrub.table = (enum store_table)table;
		scrub.last_size = 0;
		status = store_walk(view, scrub.table, NULL, 0, scrub_each, &scrub);
	}
	store_view_end(view);
	if (values != NULL)
		*values = scrub.values;
	return status == 0 ? 0 : scrub_failed(&scrub, why);
}
