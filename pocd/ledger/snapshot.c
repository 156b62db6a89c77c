#include "pocd/ledger/snapshot.h"

#include <stdlib.h>

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
	atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
	return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
	if (snapshot == NULL || atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel) > 1)
		return;
	if (snapshot->extra_free != NULL)
		snapshot->extra_free(snapshot->extra);
	prefix_destroy((struct prefix_tree *)snapshot->map);
	free((void *)snapshot->entries);
	free((void *)snapshot->names);
	free((void *)snapshot->by_leaf);
	free((void *)snapshot->head);
	free(snapshot);
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
