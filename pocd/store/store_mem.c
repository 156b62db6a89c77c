/* The reference backend: versions of sorted arrays, each version immutable once a view may see it. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "pocd/store/store.h"

struct entry {
	unsigned references;
	size_t key_size, value_size;
	uint8_t bytes[];
};

struct array {
	size_t n, capacity;
	struct entry **entries;
};

struct version {
	unsigned references;
	struct array tables[TABLE_COUNT];
};

struct store_mem {
	struct store base;
	pthread_mutex_t lock; /* guards references and the pointer to the current version */
	struct version *current;
};

struct view_mem {
	struct store_view base;
	struct version *version;
};

static void version_unref(struct version *version)
{
	if (--version->references > 0)
		return;
	for (int t = 0; t < TABLE_COUNT; t++) {
		for (size_t i = 0; i < version->tables[t].n; i++) {
			if (--version->tables[t].entries[i]->references == 0)
				free(version->tables[t].entries[i]);
		}
		free(version->tables[t].entries);
	}
	free(version);
}

static int compare(const void *a, size_t a_size, const void *b, size_t b_size)
{
	int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

	return order != 0 ? order : a_size < b_size ? -1 : a_size > b_size;
}

/* Index of the first entry not below key. */
static size_t lower(const struct array *array, const void *key, size_t key_size)
{
	size_t low = 0, high = array->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare(array->entries[middle]->bytes, array->entries[middle]->key_size, key, key_size) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct array *array, size_t i, const void *key, size_t key_size)
{
	return i < array->n && compare(array->entries[i]->bytes, array->entries[i]->key_size, key, key_size) == 0;
}

static int mem_view_begin(struct store *store, struct store_view **out)
{
	struct store_mem *mem = (struct store_mem *)store;
	struct view_mem *view = calloc(1, sizeof *view);

	if (view == NULL)
		return STATUS_NO_MEMORY;
	view->base.store = store;
	pthread_mutex_lock(&mem->lock);
	view->version = mem->current;
	view->version->references++;
	pthread_mutex_unlock(&mem->lock);
	*out = &view->base;
	return 0;
}

static void mem_view_end(struct store_view *base)
{
	struct view_mem *view = (struct view_mem *)base;
	struct store_mem *mem = (struct store_mem *)base->store;

	pthread_mutex_lock(&mem->lock);
	version_unref(view->version);
	pthread_mutex_unlock(&mem->lock);
	free(view);
}

static int mem_get(struct store_view *base, enum store_table table, const void *key, size_t key_size,
		   struct store_value *out)
{
	const struct array *array = &((struct view_mem *)base)->version->tables[table];
	size_t i = lower(array, key, key_size);

	if (!is_at(array, i, key, key_size))
		return STATUS_NOT_FOUND;
	*out = (struct store_value){array->entries[i]->bytes + key_size, array->entries[i]->value_size};
	return 0;
}

static int mem_walk(struct store_view *base, enum store_table table, const void *from, size_t from_size,
		    int (*each)(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value),
		    void *ctx)
{
	const struct array *array = &((struct view_mem *)base)->version->tables[table];

	for (size_t i = from_size > 0 ? lower(array, from, from_size) : 0; i < array->n; i++) {
		const struct entry *e = array->entries[i];
		struct store_value value = {e->bytes + e->key_size, e->value_size};
		int stop = each(ctx, e->bytes, e->key_size, &value);
		if (stop != 0)
			return stop;
	}
	return 0;
}

static struct entry *entry_create(const struct store_op *op)
{
	struct entry *entry = malloc(sizeof *entry + op->key_size + op->value_size);

	if (entry == NULL)
		return NULL;
	*entry = (struct entry){.references = 1, .key_size = op->key_size, .value_size = op->value_size};
	memcpy(entry->bytes, op->key, op->key_size);
	memcpy(entry->bytes + op->key_size, op->value, op->value_size);
	return entry;
}

static void entry_unref(struct entry *entry)
{
	if (--entry->references == 0)
		free(entry);
}

static int apply(struct version *version, const struct store_op *op)
{
	struct array *array = &version->tables[op->table];
	size_t i = lower(array, op->key, op->key_size);
	bool there = is_at(array, i, op->key, op->key_size);

	if (op->value == NULL) {
		if (!there)
			return 0;
		entry_unref(array->entries[i]);
		memmove(array->entries + i, array->entries + i + 1, (--array->n - i) * sizeof *array->entries);
		return 0;
	}
	struct entry *entry = entry_create(op);
	if (entry == NULL)
		return STATUS_NO_MEMORY;
	if (there) {
		entry_unref(array->entries[i]);
		array->entries[i] = entry;
		return 0;
	}
	if (array->n == array->capacity) {
		size_t capacity = array->capacity > 0 ? 2 * array->capacity : 16;
		struct entry **entries = realloc(array->entries, capacity * sizeof *entries);
		if (entries == NULL) {
			free(entry);
			return STATUS_NO_MEMORY;
		}
		array->entries = entries;
		array->capacity = capacity;
	}
	memmove(array->entries + i + 1, array->entries + i, (array->n++ - i) * sizeof *array->entries);
	array->entries[i] = entry;
	return 0;
}

static struct version *version_copy(const struct version *old)
{
	struct version *copy = calloc(1, sizeof *copy);

	if (copy == NULL)
		return NULL;
	copy->references = 1;
	for (int t = 0; old != NULL && t < TABLE_COUNT; t++) {
		struct array *array = &copy->tables[t];
		array->capacity = old->tables[t].n + 16;
		array->entries = malloc(array->capacity * sizeof *array->entries);
		if (array->entries == NULL) {
			version_unref(copy);
			return NULL;
		}
		for (; array->n < old->tables[t].n; array->n++) {
			array->entries[array->n] = old->tables[t].entries[array->n];
			array->entries[array->n]->references++;
		}
	}
	return copy;
}

static void mem_commit(struct store *store, struct store_batch *batch, store_done_fn done, void *ctx)
{
	struct store_mem *mem = (struct store_mem *)store;
	int status = 0;

	pthread_mutex_lock(&mem->lock);
	struct version *next = version_copy(mem->current);
	if (next == NULL)
		status = STATUS_NO_MEMORY;
	for (size_t i = 0; status == 0 && i < store_batch_count(batch); i++)
		status = apply(next, store_batch_op(batch, i));
	if (status == 0) {
		version_unref(mem->current);
		mem->current = next;
	} else if (next != NULL) {
		version_unref(next);
	}
	pthread_mutex_unlock(&mem->lock);
	store_batch_destroy(batch);
	done(ctx, status);
}

static void mem_close(struct store *store)
{
	struct store_mem *mem = (struct store_mem *)store;

	version_unref(mem->current);
	pthread_mutex_destroy(&mem->lock);
	free(mem);
}

static const struct store_ops mem_ops = {
    .view_begin = mem_view_begin,
    .view_end = mem_view_end,
    .get = mem_get,
    .walk = mem_walk,
    .commit = mem_commit,
    .close = mem_close,
};

struct store *store_mem_create(void)
{
	struct store_mem *mem = calloc(1, sizeof *mem);

	if (mem == NULL)
		return NULL;
	mem->base.ops = &mem_ops;
	mem->current = version_copy(NULL);
	if (mem->current == NULL) {
		free(mem);
		return NULL;
	}
	pthread_mutex_init(&mem->lock, NULL);
	return &mem->base;
}
