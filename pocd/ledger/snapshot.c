#include "pocd/ledger/snapshot.h"

#include <stdlib.h>
#include <string.h>

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
	atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
	return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
	if (snapshot == NULL || atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel) > 1)
		return;
	if (snapshot->base != NULL) {
		snapshot_unref(snapshot->base);
		free((void *)snapshot->head);
		free(snapshot);
		return;
	}
	if (snapshot->extra_free != NULL)
		snapshot->extra_free(snapshot->extra);
	prefix_destroy((struct prefix_tree *)snapshot->map);
	free((void *)snapshot->entries);
	free((void *)snapshot->names);
	free((void *)snapshot->by_leaf);
	free((void *)snapshot->head);
	free(snapshot);
}

struct snapshot *snapshot_again(struct snapshot *snapshot)
{
	struct snapshot *base = snapshot->base != NULL ? snapshot->base : snapshot;
	struct snapshot *again = malloc(sizeof *again);

	if (again == NULL)
		return NULL;
	/* all but the count, which others change meanwhile */
	memcpy((uint8_t *)again + sizeof base->references, (const uint8_t *)base + sizeof base->references,
	       sizeof *again - sizeof base->references);
	atomic_init(&again->references, 1);
	again->base = snapshot_ref(base);
	again->head = NULL;
	again->extra_free = NULL;
	return again;
}

const struct snapshot_name *snapshot_find_key(const struct snapshot *snapshot, const struct hash *key)
{
	long i = prefix_find(snapshot->map, key);

	return i >= 0 ? &snapshot->names[i] : NULL;
}

const struct snapshot_name *snapshot_find(const struct snapshot *snapshot, const char *name)
{
	struct hash key = hash_name(name);

	return snapshot_find_key(snapshot, &key);
}
