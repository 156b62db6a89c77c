/* growing_map: the prefix tree of current values (proto/proof/prefix) as names are added one by one, for those who walk
 * a log and want its root at each publication: hashes are brought up to date only when the root is asked for. */
#ifndef POCD_LEDGER_GROWING_MAP_H
#define POCD_LEDGER_GROWING_MAP_H

#include <stddef.h>

#include "proto/proof/hash.h"

struct map_node;

/* Zeroed memory is an empty map. */
struct growing_map {
	struct map_node *nodes;
	size_t n, capacity;
};

/* Adds a key or gives it another value.  0 or STATUS_NO_MEMORY, after which the map is of no use. */
int growing_map_put(struct growing_map *map, const struct hash *key, const struct hash *value);

/* The map's root now; 32 zero bytes of an empty one. */
struct hash growing_map_root(struct growing_map *map);

void growing_map_finish(struct growing_map *map);

#endif
