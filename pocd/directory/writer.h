/* writer: the one thread that changes the directory: takes what has arrived as one commit, acknowledges it as stored,
 * publishes at the end of the checkpoint interval, acknowledges that as proven once its quorum of auditors has signed.
 * It never waits for auditors: what they sign comes through the queue. */
#ifndef POCD_DIRECTORY_WRITER_H
#define POCD_DIRECTORY_WRITER_H

#include "pocd/directory/auditors.h"
#include "pocd/directory/inbox.h"
#include "pocd/directory/quorum.h"
#include "pocd/directory/readings.h"
#include "pocd/directory/signers.h"
#include "pocd/directory/write.h"
#include "pocd/ledger/ledger.h"

struct writer;

struct writer_options {
	struct ledger *ledger;   /* borrowed */
	struct store *store;     /* borrowed */
	struct signers *signers; /* borrowed */
	uint64_t interval_ms;    /* between publications while there is something to publish */
	uint64_t heartbeat_ms;   /* while there is nothing */
	uint64_t (*now_ms)(void *ctx);
	void *now_ctx;
	void (*published)(void *ctx); /* there is a new tip or snapshot, or more signatures on it; NULL allowed */
	void *published_ctx;
	void (*failed)(void *ctx); /* once: the disk failed, nothing is stored any more; NULL allowed */
	void *failed_ctx;
	struct quota *changes; /* borrowed: of the changer (change.h) */
	/* of the inbox (inbox.h) */
	struct quota *quota;
	uint64_t retention_ms, backlog_bytes;
	void (*grown)(void *ctx, const char *place, Poc__PocKind kind, uint64_t cursor);
	void *grown_ctx;
	struct auditors *auditors; /* borrowed: whether the next checkpoint may be signed */
	struct readings *readings; /* borrowed: stored every few seconds; NULL: none */
};

int writer_create(const struct writer_options *options, struct writer **out); /* 0 or a status */
int writer_start(struct writer *writer);

/* How long the thread has been at what it does now, ms; 0 while it waits for work.  Any thread. */
uint64_t writer_busy_ms(const struct writer *writer);

/* Stops the thread after what was submitted, with a last publication; then destroys.  NULL allowed. */
void writer_destroy(struct writer *writer);

/* See directory_submit, directory_run_once.  state: whose share of the queue it takes; NULL: nobody's. */
int writer_submit(struct writer *writer, const char *state, const struct change_write *writes, size_t n,
		  bool wait_proven, change_done_fn done, void *ctx, struct refusal *why);
int writer_run_once(struct writer *writer);

/* Queues a post, which was judged under a snapshot; takes it over on 0.  STATUS_BUSY when the queue is full, or as full
 * as one state may make it; then done is not called. */
int writer_post(struct writer *writer, struct post *post, post_done_fn done, void *ctx, struct refusal *why);

/* Queues a verified cosignature on the publication of that number, which is served once enough have come.
 * STATUS_BUSY as above. */
int writer_cosign(struct writer *writer, const char *state, uint64_t number, const struct cosigned_line *line,
		  struct refusal *why);

/* Queues that a desk has fetched a notice's body.  STATUS_BUSY as above: then a later fetch tells it. */
int writer_deliver(struct writer *writer, const struct notice_id *id, const char *place, Poc__PocKind kind);

#endif
