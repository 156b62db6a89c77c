/* snapshot: one publication, immutable: checkpoint, map of current names, and what answers need.  Loops read it without
 * locks; the writer makes the next one and swaps (publish).  Counted references keep it while somebody reads. */
#ifndef POCD_LEDGER_SNAPSHOT_H
#define POCD_LEDGER_SNAPSHOT_H

#include <stdatomic.h>

#include "proto/proof/checkpoint.h"
#include "proto/proof/merkle.h"
#include "proto/proof/prefix.h"

enum { SNAPSHOT_NAME_ROOM = 65 }; /* for a name and its NUL */

/* One current name. */
struct snapshot_name {
	const char *name;
	struct hash value;
	uint64_t seq;
	uint64_t leaf; /* index of its PUT leaf */
};

struct snapshot {
	atomic_uint references;
	struct snapshot *base; /* the same publication with fewer signatures, which owns all but note and head; NULL:
				  none */
	uint64_t number;       /* publication number: the STATE leaf's seq */
	struct checkpoint checkpoint;
	uint8_t leaf[LEAF_SIZE];  /* the STATE leaf */
	uint64_t time_ms;         /* its time */
	struct merkle_proof path; /* its audit path */
	size_t note_size;
	char note[NOTE_MAX]; /* the signed checkpoint */

	size_t n_names;
	const struct prefix_entry *entries; /* sorted by key; entries[i] belongs to names[i] */
	const struct snapshot_name *names;
	const struct prefix_tree *map;
	const uint32_t *by_leaf; /* indices of names, ascending by leaf */

	size_t head_size;
	const uint8_t *head; /* the Checkpoint message of payload.proto, encoded once */

	void *extra; /* what a higher floor attaches (directory/holders); freed by extra_free */
	void (*extra_free)(void *extra);
};

struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot); /* NULL allowed */

/* The same publication, to be sealed with a note that has more signatures; shares the rest with it.  NULL when out of
 * memory. */
struct snapshot *snapshot_again(struct snapshot *snapshot);

/* The current name's data, or NULL if it was never registered. */
const struct snapshot_name *snapshot_find(const struct snapshot *snapshot, const char *name);
const struct snapshot_name *snapshot_find_key(const struct snapshot *snapshot, const struct hash *key);

#endif
