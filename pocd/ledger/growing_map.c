#include "pocd/ledger/growing_map.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/wire/status.h"

struct map_node {
	struct hash key, hash; /* key of a leaf */
	uint32_t child[2];     /* 0: none; node 0 is never a child */
	bool is_leaf, stale;
	struct hash value;
};

static uint32_t map_node(struct growing_map *map)
{
	if (map->n == map->capacity) {
		size_t capacity = map->capacity > 0 ? 2 * map->capacity : 256;
		struct map_node *nodes = realloc(map->nodes, capacity * sizeof *nodes);
		if (nodes == NULL || capacity > UINT32_MAX) {
			map->nodes = nodes != NULL ? nodes : map->nodes;
			return 0;
		}
		map->nodes = nodes;
		map->capacity = capacity;
	}
	if (map->n == 0)
		map->nodes[map->n++] = (struct map_node){0};
	if (map->n == map->capacity)
		return map_node(map);
	map->nodes[map->n] = (struct map_node){.stale = true};
	return (uint32_t)map->n++;
}

static unsigned key_bit(const struct hash *key, unsigned depth)
{
	return key->bytes[depth / 8] >> (7 - depth % 8) & 1;
}

/* The top is node 1. */
int growing_map_put(struct growing_map *map, const struct hash *key, const struct hash *value)
{
	if (map->n == 0) {
		if (map_node(map) == 0)
			return STATUS_NO_MEMORY;
		map->nodes[1] = (struct map_node){.key = *key, .value = *value, .is_leaf = true, .stale = true};
		return 0;
	}
	uint32_t at = 1;
	for (unsigned depth = 0;; depth++) {
		map->nodes[at].stale = true;
		if (map->nodes[at].is_leaf) {
			if (hash_compare(&map->nodes[at].key, key) == 0) {
				map->nodes[at].value = *value;
				return 0;
			}
			/* the leaf moves one down; the loop goes on until the keys part */
			uint32_t moved = map_node(map);
			if (moved == 0)
				return STATUS_NO_MEMORY;
			map->nodes[moved] = map->nodes[at];
			map->nodes[at] = (struct map_node){.stale = true};
			map->nodes[at].child[key_bit(&map->nodes[moved].key, depth)] = moved;
		}
		unsigned way = key_bit(key, depth);
		if (map->nodes[at].child[way] == 0) {
			uint32_t leaf = map_node(map);
			if (leaf == 0)
				return STATUS_NO_MEMORY;
			map->nodes[leaf] =
			    (struct map_node){.key = *key, .value = *value, .is_leaf = true, .stale = true};
			map->nodes[at].child[way] = leaf;
			return 0;
		}
		at = map->nodes[at].child[way];
	}
}

static struct hash map_hash(struct growing_map *map, uint32_t at)
{
	if (at == 0 || map->n == 0)
		return hash_zero;
	struct map_node *node = &map->nodes[at];
	if (!node->stale)
		return node->hash;
	if (node->is_leaf) {
		struct hash_part parts[] = {{"\x02", 1}, {node->key.bytes, HASH_SIZE}, {node->value.bytes, HASH_SIZE}};
		node->hash = hash_parts(parts, 3);
	} else {
		struct hash zero = map_hash(map, node->child[0]), one = map_hash(map, node->child[1]);
		struct hash_part parts[] = {{"\x03", 1}, {zero.bytes, HASH_SIZE}, {one.bytes, HASH_SIZE}};
		node->hash = hash_parts(parts, 3);
	}
	node->stale = false;
	return node->hash;
}

struct hash growing_map_root(struct growing_map *map)
{
	return map_hash(map, 1);
}

void growing_map_finish(struct growing_map *map)
{
	free(map->nodes);
	*map = (struct growing_map){0};
}
