/* prefix: the map of current values, a prefix tree over 256-bit keys (hashing as in the IETF keytrans draft;
 * protocol.md section 11):
 *   M({}) = 32 zero bytes;  M({e}) = SHA-256(02 || key || value);  else SHA-256(03 || M(bit 0) || M(bit 1)),
 * key bits from the most significant.  A pure function of the set. */
#ifndef PROTO_PROOF_PREFIX_H
#define PROTO_PROOF_PREFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/proof/hash.h"

enum { PREFIX_DEPTH_MAX = 256 };

struct prefix_entry {
	struct hash key;
	struct hash value;
};

enum prefix_terminal { PREFIX_FOUND, PREFIX_EMPTY, PREFIX_OTHER };

struct prefix_proof {
	unsigned depth;
	struct hash siblings[PREFIX_DEPTH_MAX]; /* from the root downwards */
	enum prefix_terminal terminal;
	struct prefix_entry other; /* PREFIX_OTHER: the leaf that is there instead */
};

struct prefix_tree;

/* Builds the tree over n entries, which must be sorted ascending by key, without duplicates.  The entries are borrowed:
 * they must outlive the tree, unchanged.  NULL when out of memory or when the order is wrong. */
struct prefix_tree *prefix_create(const struct prefix_entry *entries, size_t n);

/* The same tree, made with less work from prev (NULL allowed), the tree before some keys were added or got other
 * values: changed has the indices of those among entries, ascending.  No key of prev is missing among entries.  prev is
 * not needed afterwards. */
struct prefix_tree *prefix_create_next(const struct prefix_entry *entries, size_t n, const struct prefix_tree *prev,
				       const uint32_t *changed, size_t n_changed);
void prefix_destroy(struct prefix_tree *tree); /* NULL allowed */

void prefix_root(const struct prefix_tree *tree, struct hash *out);

/* Bytes of memory that the tree holds, without its entries. */
size_t prefix_memory(const struct prefix_tree *tree);

/* Index of key among the entries, or -1. */
long prefix_find(const struct prefix_tree *tree, const struct hash *key);

/* Proves presence or absence of key.  Cannot fail. */
void prefix_prove(const struct prefix_tree *tree, const struct hash *key, struct prefix_proof *out);

/* Same, writing only what a MapProof carries: siblings as bytes into out (PREFIX_DEPTH_MAX * 32 bytes of room).
 * Returns the depth. */
unsigned prefix_prove_bytes(const struct prefix_tree *tree, const struct hash *key, uint8_t *siblings,
			    enum prefix_terminal *terminal, const struct prefix_entry **other);

/* True if the proof leads to root for key: with this value (terminal FOUND), or showing that key is absent (EMPTY,
 * OTHER; value is ignored).  siblings: depth * 32 bytes. */
bool prefix_verify(const struct hash *root, const struct hash *key, const struct hash *value, const uint8_t *siblings,
		   unsigned depth, enum prefix_terminal terminal, const struct prefix_entry *other);

#endif
