/* changes: a small hash table of what has changed, keyed by a hash: names by their map key, envelopes
 * by value, sections by digest.  Used by the writer thread only. */
#ifndef POCD_LEDGER_CHANGES_H
#define POCD_LEDGER_CHANGES_H

#include <stddef.h>
#include <stdint.h>

#include "proto/proof/hash.h"

struct change {
	struct hash key;
	const char *name; /* borrowed; NULL where there is none */
	struct hash value;
	uint64_t seq, leaf, time_ms;
	uint8_t *bytes; /* owned by the table; NULL: none kept */
	size_t size;
};

/* Zeroed memory is an empty table. */
struct changes {
	struct change *items; /* in the order of their first insertion */
	size_t n, capacity;
	uint32_t *slots; /* item index + 1; a power of two of them */
	size_t n_slots;
};

void changes_finish(struct changes *changes);
void changes_clear(struct changes *changes); /* empties, keeping its memory */

struct change *changes_find(const struct changes *changes, const struct hash *key);

/* Inserts or replaces; copies bytes (NULL: none).  0 or STATUS_NO_MEMORY, then nothing changed. */
int changes_put(struct changes *changes, const struct change *change);

#endif
