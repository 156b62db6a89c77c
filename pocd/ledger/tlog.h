/* tlog: the RFC 6962 log in tiles of 256 hashes (C2SP tlog-tiles): appending, roots, proofs.
 *
 * Tile (level, index) holds up to 256 hashes of complete subtrees of 256^level leaves.  The tiles at the growing edge
 * are kept in memory, so that an append hashes a handful of nodes and reads nothing. */
#ifndef POCD_LEDGER_TLOG_H
#define POCD_LEDGER_TLOG_H

#include "pocd/store/store.h"
#include "proto/proof/merkle.h"

enum { TILE_WIDTH = 256, TILE_LEVELS = 8 };

struct tlog_tile {
	uint64_t index;
	unsigned n;
	bool dirty;
	struct hash hashes[TILE_WIDTH];
};

/* Plain data: a copy is a restore point (tlog_copy). */
struct tlog {
	uint64_t size;
	struct hash
	    frontier[64]; /* [b]: the complete subtree of 2^b leaves that ends the tree, where bit b of size is set */
	struct tlog_tile tiles[TILE_LEVELS];
};

/* Reads the edge of a log of size leaves.  0, STATUS_DAMAGED. */
int tlog_load(struct tlog *tlog, struct store_view *view, uint64_t size);

/* Makes one the same as another; both have been loaded, or zeroed.  Less work than an assignment: upper levels are
 * empty in all but the largest logs. */
void tlog_copy(struct tlog *to, const struct tlog *from);

/* Appends a leaf's hash; tiles that fill are put into batch.  0 or STATUS_NO_MEMORY. */
int tlog_append(struct tlog *tlog, const struct hash *leaf_hash, struct store_batch *batch);

/* Puts the partial tiles that changed into batch. */
int tlog_flush(struct tlog *tlog, struct store_batch *batch);

struct hash tlog_root(const struct tlog *tlog);

/* Audit path of the leaf that would be appended next, in the tree that ends with it. */
void tlog_next_path(const struct tlog *tlog, struct merkle_proof *out);

/* Reader for merkle_*: edge tiles from memory (tlog may be NULL), others from the view. */
struct tlog_reader {
	const struct tlog *tlog;
	struct store_view *view;
};
int tlog_read(void *reader, unsigned level, uint64_t index, struct hash *out);

#endif
