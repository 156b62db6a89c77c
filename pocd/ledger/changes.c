#include "pocd/ledger/changes.h"

#include <stdlib.h>
#include <string.h>

#include "proto/wire/status.h"

void changes_clear(struct changes *changes)
{
	for (size_t i = 0; i < changes->n; i++)
		free(changes->items[i].bytes);
	changes->n = 0;
	if (changes->n_slots > 0)
		memset(changes->slots, 0, changes->n_slots * sizeof *changes->slots);
}

void changes_finish(struct changes *changes)
{
	changes_clear(changes);
	free(changes->items);
	free(changes->slots);
	*changes = (struct changes){0};
}

/* The slot where key is, or where it would go.  There is always a free one. */
static size_t find_slot(const struct changes *changes, const struct hash *key)
{
	uint64_t start;

	memcpy(&start, key->bytes, sizeof start);
	for (size_t at = start & (changes->n_slots - 1);; at = (at + 1) & (changes->n_slots - 1)) {
		uint32_t slot = changes->slots[at];
		if (slot == 0 || hash_compare(&changes->items[slot - 1].key, key) == 0)
			return at;
	}
}

struct change *changes_find(const struct changes *changes, const struct hash *key)
{
	if (changes->n == 0)
		return NULL;
	uint32_t slot = changes->slots[find_slot(changes, key)];
	return slot == 0 ? NULL : &changes->items[slot - 1];
}

static int grow(struct changes *changes)
{
	size_t capacity = changes->capacity > 0 ? 2 * changes->capacity : 32;
	struct change *items = realloc(changes->items, capacity * sizeof *items);

	if (items == NULL)
		return STATUS_NO_MEMORY;
	changes->items = items;
	uint32_t *slots = calloc(2 * capacity, sizeof *slots);
	if (slots == NULL)
		return STATUS_NO_MEMORY;
	free(changes->slots);
	changes->slots = slots;
	changes->n_slots = 2 * capacity;
	changes->capacity = capacity;
	for (size_t i = 0; i < changes->n; i++)
		slots[find_slot(changes, &items[i].key)] = (uint32_t)i + 1;
	return 0;
}

int changes_put(struct changes *changes, const struct change *change)
{
	uint8_t *bytes = NULL;

	if (change->bytes != NULL) {
		bytes = malloc(change->size > 0 ? change->size : 1);
		if (bytes == NULL)
			return STATUS_NO_MEMORY;
		memcpy(bytes, change->bytes, change->size);
	}
	if (changes->n == changes->capacity && grow(changes) != 0) {
		free(bytes);
		return STATUS_NO_MEMORY;
	}
	size_t at = find_slot(changes, &change->key);
	if (changes->slots[at] == 0)
		changes->slots[at] = (uint32_t)++changes->n;
	else
		free(changes->items[changes->slots[at] - 1].bytes);
	struct change *item = &changes->items[changes->slots[at] - 1];
	*item = *change;
	item->bytes = bytes;
	return 0;
}
