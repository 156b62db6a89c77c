/* merkle: the hash tree of RFC 6962 (RFC 9162 section 2.1): roots, audit paths, consistency proofs, and their checks.
 * A tree of size 0 has root SHA-256("") and no proofs.
 *
 * Building is over a reader of tile hashes, so that log storage and memory arrays serve alike. */
#ifndef PROTO_PROOF_MERKLE_H
#define PROTO_PROOF_MERKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/proof/hash.h"

enum { MERKLE_PATH_MAX = 64, MERKLE_CONSISTENCY_MAX = 65 };

struct merkle_proof {
	size_t length;
	struct hash hashes[MERKLE_CONSISTENCY_MAX];
};

struct hash merkle_leaf(const void *leaf, size_t size);                     /* SHA-256(00 || leaf) */
struct hash merkle_node(const struct hash *left, const struct hash *right); /* SHA-256(01 || l || r) */
struct hash merkle_empty_root(void);                                        /* SHA-256("") */

/* Reads the hash of the complete subtree over leaves [index << level, (index + 1) << level).  Returns 0 or a status. */
typedef int (*merkle_read_fn)(void *ctx, unsigned level, uint64_t index, struct hash *out);

/* Root of the first size leaves.  0 or what read returned. */
int merkle_root(merkle_read_fn read, void *ctx, uint64_t size, struct hash *out);

/* Audit path of leaf index in the tree of size leaves (index < size), from the leaf upwards. */
int merkle_inclusion(merkle_read_fn read, void *ctx, uint64_t index, uint64_t size, struct merkle_proof *out);

/* Consistency proof from the tree of old_size to that of size (0 < old_size <= size). */
int merkle_consistency(merkle_read_fn read, void *ctx, uint64_t old_size, uint64_t size, struct merkle_proof *out);

/* True if path shows leaf_hash at index in the tree of size leaves with this root. */
bool merkle_verify_inclusion(uint64_t index, uint64_t size, const struct hash *leaf_hash, const struct hash *path,
			     size_t length, const struct hash *root);

/* True if proof shows that the tree (old_size, old_root) is a prefix of (size, root).  Equal sizes: only the empty
 * proof and equal roots; of two empty trees, only with the empty root.  From size 0 to a greater one nothing can be
 * proven: false; a caller that holds nothing yet does not ask. */
bool merkle_verify_consistency(uint64_t old_size, const struct hash *old_root, uint64_t size, const struct hash *root,
			       const struct hash *proof, size_t length);

/* Subtree proofs (draft-ietf-plants-merkle-tree-certs): leaf index within the subtree [start, end); and subtree
 * [start, end) within the tree of size leaves.  Of the empty subtree only the empty proof and the empty root hold. */
bool merkle_verify_subtree_inclusion(uint64_t index, uint64_t start, uint64_t end, const struct hash *leaf_hash,
				     const struct hash *path, size_t length, const struct hash *root);
bool merkle_verify_subtree_consistency(uint64_t start, uint64_t end, const struct hash *subtree_root, uint64_t size,
				       const struct hash *root, const struct hash *proof, size_t length);

#endif
