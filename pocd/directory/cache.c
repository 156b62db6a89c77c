#include "pocd/directory/cache.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { WHOLE_ANSWER = 4096 /* what an answer takes, about: decides whether all fit */ };

/* Bytes in use by all caches of a directory: the old one's stay in use until its last reader has gone. */
struct account {
	atomic_uint references;
	atomic_size_t used;
};

struct cached_answer {
	atomic_uint references; /* caches that hold it */
	size_t size;
	uint8_t bytes[];
};

struct answer_cache {
	size_t n_slots, limit;
	bool whole;
	struct account *account;
	_Atomic(struct cached_answer *) slots[];
};

static size_t charge_of(size_t size)
{
	return sizeof(struct cached_answer) + size + 16;
}

static struct account *account_create(void)
{
	struct account *account = calloc(1, sizeof *account);

	if (account != NULL)
		atomic_init(&account->references, 1);
	return account;
}

static void account_unref(struct account *account)
{
	if (account != NULL && atomic_fetch_sub_explicit(&account->references, 1, memory_order_acq_rel) == 1)
		free(account);
}

struct answer_cache *cache_create(size_t n_names, size_t limit, const struct answer_cache *prev)
{
	size_t n_slots = n_names * CACHE_CLASSES;
	struct answer_cache *cache = calloc(1, sizeof *cache + n_slots * sizeof cache->slots[0]);

	if (cache == NULL)
		return NULL;
	cache->n_slots = n_slots;
	cache->limit = limit;
	cache->whole = n_names <= limit / WHOLE_ANSWER;
	if (prev != NULL) {
		cache->account = prev->account;
		atomic_fetch_add_explicit(&cache->account->references, 1, memory_order_relaxed);
	} else {
		cache->account = account_create();
	}
	if (cache->account == NULL) {
		free(cache);
		return NULL;
	}
	return cache;
}

static void entry_unref(struct answer_cache *cache, struct cached_answer *entry)
{
	if (entry == NULL || atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel) != 1)
		return;
	atomic_fetch_sub_explicit(&cache->account->used, charge_of(entry->size), memory_order_relaxed);
	free(entry);
}

void cache_destroy(struct answer_cache *cache)
{
	if (cache == NULL)
		return;
	for (size_t i = 0; i < cache->n_slots; i++)
		entry_unref(cache, atomic_load_explicit(&cache->slots[i], memory_order_relaxed));
	account_unref(cache->account);
	free(cache);
}

bool cache_keeps_whole(const struct answer_cache *cache)
{
	return cache->whole;
}

bool cache_get(const struct answer_cache *cache, size_t name, enum cache_class class, struct cached_bytes *out)
{
	const struct cached_answer *entry =
	    atomic_load_explicit(&cache->slots[name * CACHE_CLASSES + class], memory_order_acquire);

	if (entry == NULL)
		return false;
	*out = (struct cached_bytes){entry->bytes, entry->size};
	return true;
}

void cache_put(struct answer_cache *cache, size_t name, enum cache_class class, const uint8_t *bytes, size_t size)
{
	size_t charge = charge_of(size);
	atomic_size_t *used = &cache->account->used;
	struct cached_answer *none = NULL, *entry = NULL;

	if (atomic_fetch_add_explicit(used, charge, memory_order_relaxed) + charge <= cache->limit)
		entry = malloc(sizeof *entry + size);
	if (entry != NULL) {
		atomic_init(&entry->references, 1);
		entry->size = size;
		memcpy(entry->bytes, bytes, size);
		if (atomic_compare_exchange_strong_explicit(&cache->slots[name * CACHE_CLASSES + class], &none, entry,
							    memory_order_release, memory_order_relaxed))
			return;
	}
	free(entry); /* no room, or another thread was first: its copy is the same */
	atomic_fetch_sub_explicit(used, charge, memory_order_relaxed);
}

void cache_carry(struct answer_cache *cache, size_t name, const struct answer_cache *prev, size_t prev_name)
{
	for (size_t class = 0; class < CACHE_CLASSES; class ++) {
		struct cached_answer *entry =
		    atomic_load_explicit(&prev->slots[prev_name * CACHE_CLASSES + class], memory_order_acquire);
		if (entry == NULL)
			continue;
		atomic_fetch_add_explicit(&entry->references, 1, memory_order_relaxed);
		atomic_store_explicit(&cache->slots[name * CACHE_CLASSES + class], entry, memory_order_relaxed);
	}
}
