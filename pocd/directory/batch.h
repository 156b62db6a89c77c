/* batch: what the commit that is being put together does to notices, desks and backlogs.  Rows that it touches are read
 * once, changed in memory where the next post of the same commit sees them, and written once before the commit.  Writer
 * thread only.
 *
 * A call that fails with STATUS_NO_MEMORY or because the store cannot be read may leave things half done: the caller
 * then gives up the whole group (ledger_abandon, batch_forget). */
#ifndef POCD_DIRECTORY_BATCH_H
#define POCD_DIRECTORY_BATCH_H

#include "pocd/directory/rows.h"

struct batch;

/* A notice that the commit touches. */
struct batch_file {
	struct batch_file *next;
	uint64_t number;
	struct row_notice row;
	struct notice *notice; /* the parsed header */
	bool dirty;            /* the row changes */
};

/* ledger and store are borrowed.  NULL when out of memory. */
struct batch *batch_create(struct ledger *ledger, struct store *store);
void batch_destroy(struct batch *batch); /* NULL allowed */

/* Reads the number of the newest notice.  0 or STATUS_DAMAGED, STATUS_IO. */
int batch_load(struct batch *batch);

/* A view of what is committed, the same until the batch is flushed or forgotten. */
int batch_view(struct batch *batch, struct store_view **out);

/* A notice by id or number, one of this commit included.  0, STATUS_NOT_FOUND or another status. */
int batch_find(struct batch *batch, const struct notice_id *id, struct batch_file **out);
int batch_find_number(struct batch *batch, uint64_t number, struct batch_file **out);

/* A new notice with its body; takes the parsed header over in any case. */
int batch_add(struct batch *batch, struct notice *notice, const uint8_t *body, size_t body_size, uint64_t now_ms,
	      struct batch_file **out);

/* Takes a notice's body away. */
int batch_drop_body(struct batch *batch, struct batch_file *file);

/* Adds a step: its item is that event of this commit, or a private one's envelope (copied). *n (NULL allowed) is its
 * number. */
int batch_step(struct batch *batch, struct batch_file *file, const struct row_step *step, uint32_t *n);

/* A step of a notice, one of this commit included.  0 or a status.  Its item lives until the batch is forgotten. */
int batch_read_step(struct batch *batch, const struct batch_file *file, uint32_t n, struct row_step *out);

/* Appends a step to a desk's feed. */
int batch_feed(struct batch *batch, const char *place, Poc__PocKind kind, const struct batch_file *file, uint32_t step);

/* What a state has sent to another that nobody there has fetched yet. */
struct batch_backlog {
	struct batch_backlog *next;
	char from[STATE_MAX_LENGTH + 1], to[STATE_MAX_LENGTH + 1];
	uint64_t notices, bytes; /* to be changed by the caller */
};
int batch_backlog(struct batch *batch, const char *from, const char *to, struct batch_backlog **out);

int batch_timer(struct batch *batch, uint64_t at_ms, uint64_t number, unsigned what, bool set);

/* Writes all rows that speak of the ANCHOR leaf, once no more puts and events are staged: right before ledger_commit.
 * 0 or a status; then the ledger has given up the group. */
int batch_flush(struct batch *batch, struct refusal *why);

/* After the commit: calls each for every desk whose feed grew, if it was done; then forgets.  */
void batch_forget(struct batch *batch, bool done,
		  void (*grown)(void *ctx, const char *place, Poc__PocKind kind, uint64_t cursor), void *ctx);

#endif
