#include "proto/proof/prefix.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A child is an inner node's index, or LEAF | entry index, or NONE.  Ways and hashes of inner nodes stand in arrays of
 * their own: a walk waits only for the small one, and the hashes that it copies can come from memory all at once. */
#define NONE UINT32_MAX
#define LEAF ((uint32_t)1 << 31)

struct ways {
	uint32_t child[2];
};

struct hashes {
	struct hash child[2];
};

struct prefix_tree {
	const struct prefix_entry *entries;
	size_t n;
	struct ways *ways;
	struct hashes *hashes;
	size_t n_nodes, capacity;
	uint32_t top;
	struct hash root;
};

static struct hash leaf_hash(const struct hash *key, const struct hash *value)
{
	struct hash_part parts[] = {{"\x02", 1}, {key->bytes, HASH_SIZE}, {value->bytes, HASH_SIZE}};

	return hash_parts(parts, 3);
}

static struct hash node_hash(const struct hash *zero, const struct hash *one)
{
	struct hash_part parts[] = {{"\x03", 1}, {zero->bytes, HASH_SIZE}, {one->bytes, HASH_SIZE}};

	return hash_parts(parts, 3);
}

static unsigned bit(const struct hash *key, unsigned depth)
{
	return key->bytes[depth / 8] >> (7 - depth % 8) & 1;
}

/* First entry of [low, high) whose bit at depth is 1. */
static size_t partition(const struct prefix_tree *tree, size_t low, size_t high, unsigned depth)
{
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (bit(&tree->entries[middle].key, depth) != 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

enum { HUGE_PAGE = 2 * 1024 * 1024 };

/* Proofs of a large tree hop about in it: with small pages most hops would miss the processor's page tables too.  Only
 * advice: nothing depends on it. */
static void advise(void *memory, size_t size)
{
	uintptr_t begin = ((uintptr_t)memory + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
	uintptr_t end = ((uintptr_t)memory + size) & ~(uintptr_t)(HUGE_PAGE - 1);

	if (end > begin)
		(void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
}

static bool resize(struct prefix_tree *tree, size_t capacity)
{
	struct ways *ways = realloc(tree->ways, capacity * sizeof *ways);

	if (ways != NULL)
		tree->ways = ways;
	struct hashes *hashes = realloc(tree->hashes, capacity * sizeof *hashes);
	if (hashes != NULL)
		tree->hashes = hashes;
	if (ways == NULL || hashes == NULL)
		return false;
	tree->capacity = capacity;
	advise(ways, capacity * sizeof *ways);
	advise(hashes, capacity * sizeof *hashes);
	return true;
}

static bool grow(struct prefix_tree *tree)
{
	return resize(tree, tree->capacity > 0 ? tree->capacity + tree->capacity / 2 : 2 * tree->n + 64);
}

/* Gives back the room that was not needed; if that fails, it is kept. */
static void trim(struct prefix_tree *tree)
{
	if (tree->n_nodes > 0)
		(void)resize(tree, tree->n_nodes);
}

/* A subtree that is built: entries [low, high), whose keys share depth bits; those of them that changed; and what stood
 * there in the tree before, if that is known (hash NULL: it is not). */
struct part {
	size_t low, high;
	const uint32_t *changed, *changed_end;
	uint32_t prev;
	const struct hash *prev_hash;
	unsigned depth;
};

struct building {
	struct prefix_tree *tree;
	const struct prefix_tree *prev;
};

static bool build(const struct building *building, const struct part *part, uint32_t *index, struct hash *hash);

/* Index of the first entry below an inner node. */
static uint32_t first_entry(const struct prefix_tree *tree, uint32_t at)
{
	while ((at & LEAF) == 0)
		at = tree->ways[at].child[tree->ways[at].child[0] == NONE];
	return at & ~LEAF;
}

/* The last of the inner nodes below and at an inner node: they stand in one run, each before its subtrees. */
static uint32_t last_node(const struct prefix_tree *tree, uint32_t at)
{
	for (;;) {
		const uint32_t *child = tree->ways[at].child;
		if ((child[1] & LEAF) == 0)
			at = child[1];
		else if ((child[0] & LEAF) == 0)
			at = child[0];
		else
			return at;
	}
}

static uint32_t moved_child(uint32_t child, uint32_t nodes, uint32_t entries)
{
	if (child == NONE)
		return NONE;
	return (child & LEAF) != 0 ? LEAF | ((child & ~LEAF) + entries) : child + nodes;
}

/* Takes a subtree over as it was: only the places of its nodes and entries have moved. */
static bool copy(struct prefix_tree *tree, const struct prefix_tree *prev, uint32_t from, size_t low, uint32_t *index)
{
	size_t n = last_node(prev, from) - from + 1;

	while (tree->capacity - tree->n_nodes < n) {
		if (!grow(tree))
			return false;
	}
	uint32_t to = (uint32_t)tree->n_nodes, entries = (uint32_t)low - first_entry(prev, from);
	tree->n_nodes += n;
	memcpy(&tree->hashes[to], &prev->hashes[from], n * sizeof *tree->hashes);
	for (size_t i = 0; i < n; i++) {
		for (unsigned way = 0; way < 2; way++)
			tree->ways[to + i].child[way] =
			    moved_child(prev->ways[from + i].child[way], to - from, entries);
	}
	*index = to;
	return true;
}

static struct part child_part(const struct building *building, const struct part *part, size_t middle, unsigned way)
{
	struct part child = {.low = way == 0 ? part->low : middle,
			     .high = way == 0 ? middle : part->high,
			     .changed = part->changed,
			     .changed_end = part->changed_end,
			     .depth = part->depth + 1};
	const uint32_t *split = part->changed;

	while (split < part->changed_end && *split < middle)
		split++;
	*(way == 0 ? &child.changed_end : &child.changed) = split;
	if (part->prev_hash != NULL && (part->prev & LEAF) == 0) {
		child.prev = building->prev->ways[part->prev].child[way];
		child.prev_hash = &building->prev->hashes[part->prev].child[way];
	}
	return child;
}

static bool build_node(const struct building *building, const struct part *part, uint32_t *index, struct hash *hash)
{
	struct prefix_tree *tree = building->tree;

	if (tree->n_nodes == tree->capacity && !grow(tree))
		return false;
	size_t self = tree->n_nodes++;
	size_t middle = partition(tree, part->low, part->high, part->depth);
	struct ways ways;
	struct hashes hashes;
	for (unsigned way = 0; way < 2; way++) {
		struct part child = child_part(building, part, middle, way);
		if (!build(building, &child, &ways.child[way], &hashes.child[way]))
			return false;
	}
	tree->ways[self] = ways;
	tree->hashes[self] = hashes;
	*index = (uint32_t)self;
	*hash = node_hash(&hashes.child[0], &hashes.child[1]);
	return true;
}

/* Builds a subtree; false when out of memory. */
static bool build(const struct building *building, const struct part *part, uint32_t *index, struct hash *hash)
{
	const struct prefix_entry *entry = &building->tree->entries[part->low];
	bool unchanged = part->prev_hash != NULL && part->changed == part->changed_end;

	if (part->low == part->high) {
		*index = NONE;
		*hash = hash_zero;
		return true;
	}
	if (part->high - part->low == 1) {
		*index = LEAF | (uint32_t)part->low;
		*hash = unchanged ? *part->prev_hash : leaf_hash(&entry->key, &entry->value);
		return true;
	}
	if (!unchanged)
		return build_node(building, part, index, hash);
	*hash = *part->prev_hash;
	return copy(building->tree, building->prev, part->prev, part->low, index);
}

struct prefix_tree *prefix_create_next(const struct prefix_entry *entries, size_t n, const struct prefix_tree *prev,
				       const uint32_t *changed, size_t n_changed)
{
	struct prefix_tree *tree = calloc(1, sizeof *tree);

	if (tree == NULL || n >= LEAF)
		goto fail;
	for (size_t i = 1; i < n; i++) {
		if (hash_compare(&entries[i - 1].key, &entries[i].key) >= 0)
			goto fail;
	}
	tree->entries = entries;
	tree->n = n;
	struct building building = {tree, prev};
	struct part all = {.high = n, .changed = changed, .changed_end = changed + n_changed};
	if (prev != NULL) {
		all.prev = prev->top;
		all.prev_hash = &prev->root;
		/* about as large as the last one; what is lacking is added */
		if (prev->n_nodes > 0 && !resize(tree, prev->n_nodes + prev->n_nodes / 16 + 64))
			goto fail;
	}
	if (!build(&building, &all, &tree->top, &tree->root))
		goto fail;
	trim(tree);
	return tree;
fail:
	prefix_destroy(tree);
	return NULL;
}

struct prefix_tree *prefix_create(const struct prefix_entry *entries, size_t n)
{
	return prefix_create_next(entries, n, NULL, NULL, 0);
}

void prefix_destroy(struct prefix_tree *tree)
{
	if (tree == NULL)
		return;
	free(tree->ways);
	free(tree->hashes);
	free(tree);
}

void prefix_root(const struct prefix_tree *tree, struct hash *out)
{
	*out = tree->root;
}

size_t prefix_memory(const struct prefix_tree *tree)
{
	return sizeof *tree + tree->capacity * (sizeof *tree->ways + sizeof *tree->hashes);
}

/* Walks towards key; writes siblings if wanted; returns where the walk ends. */
static uint32_t walk(const struct prefix_tree *tree, const struct hash *key, uint8_t *siblings, unsigned *depth)
{
	uint32_t at = tree->top;

	for (*depth = 0; at != NONE && (at & LEAF) == 0; (*depth)++) {
		unsigned way = bit(key, *depth);
		if (siblings != NULL)
			memcpy(siblings + (size_t)*depth * HASH_SIZE, tree->hashes[at].child[1 - way].bytes, HASH_SIZE);
		at = tree->ways[at].child[way];
	}
	return at;
}

long prefix_find(const struct prefix_tree *tree, const struct hash *key)
{
	unsigned depth;
	uint32_t at = walk(tree, key, NULL, &depth);

	if (at == NONE || hash_compare(&tree->entries[at & ~LEAF].key, key) != 0)
		return -1;
	return (long)(at & ~LEAF);
}

unsigned prefix_prove_bytes(const struct prefix_tree *tree, const struct hash *key, uint8_t *siblings,
			    enum prefix_terminal *terminal, const struct prefix_entry **other)
{
	unsigned depth;
	uint32_t at = walk(tree, key, siblings, &depth);

	*other = NULL;
	*terminal = PREFIX_EMPTY;
	if (at != NONE) {
		const struct prefix_entry *entry = &tree->entries[at & ~LEAF];
		*terminal = hash_compare(&entry->key, key) == 0 ? PREFIX_FOUND : PREFIX_OTHER;
		*other = entry;
	}
	return depth;
}

void prefix_prove(const struct prefix_tree *tree, const struct hash *key, struct prefix_proof *out)
{
	const struct prefix_entry *other;

	out->depth = prefix_prove_bytes(tree, key, out->siblings[0].bytes, &out->terminal, &other);
	out->other = out->terminal == PREFIX_OTHER ? *other : (struct prefix_entry){hash_zero, hash_zero};
}

static bool shares(const struct hash *a, const struct hash *b, unsigned bits)
{
	if (memcmp(a->bytes, b->bytes, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || (a->bytes[bits / 8] ^ b->bytes[bits / 8]) >> (8 - bits % 8) == 0;
}

bool prefix_verify(const struct hash *root, const struct hash *key, const struct hash *value, const uint8_t *siblings,
		   unsigned depth, enum prefix_terminal terminal, const struct prefix_entry *other)
{
	struct hash at = hash_zero;

	if (depth > PREFIX_DEPTH_MAX)
		return false;
	switch (terminal) {
	case PREFIX_FOUND:
		at = leaf_hash(key, value);
		break;
	case PREFIX_EMPTY:
		break;
	case PREFIX_OTHER:
		if (hash_compare(&other->key, key) == 0 || !shares(&other->key, key, depth))
			return false;
		at = leaf_hash(&other->key, &other->value);
		break;
	default:
		return false;
	}
	while (depth-- > 0) {
		struct hash sibling;
		memcpy(sibling.bytes, siblings + (size_t)depth * HASH_SIZE, HASH_SIZE);
		at = bit(key, depth) != 0 ? node_hash(&sibling, &at) : node_hash(&at, &sibling);
	}
	return hash_compare(&at, root) == 0;
}
