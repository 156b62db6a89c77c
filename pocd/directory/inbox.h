/* inbox: notices and receipts on the writer's side: what is let in, what it does to the desks that it concerns, and
 * what time does (escalations, the end of retention).  Writer thread only.
 *
 * Who hears of what: the notice itself goes to its sender's and its recipients' desks; stored to the sender's;
 * delivered and receipts to the sender's desk and to the desk that they are of; what the sender's desk states to all;
 * escalated to all, with the notice itself to the desk that it is released to.  taken and released stay at their desk.
 */
#ifndef POCD_DIRECTORY_INBOX_H
#define POCD_DIRECTORY_INBOX_H

#include "pocd/directory/post.h"
#include "pocd/directory/quota.h"

struct inbox;

struct inbox_options {
	struct ledger *ledger; /* borrowed, as store and quota */
	struct store *store;
	struct quota *quota;
	uint64_t (*now_ms)(void *ctx); /* the wall clock, which may be behind the log's time */
	void *now_ctx;
	uint64_t retention_ms;  /* how long bodies are kept, and how old a new notice may be */
	uint64_t backlog_bytes; /* from one state to another, not fetched yet; 0: no limit */
	/* A desk's feed grew, durably: its newest cursor.  NULL allowed. */
	void (*grown)(void *ctx, const char *place, Poc__PocKind kind, uint64_t cursor);
	void *grown_ctx;
};

int inbox_create(const struct inbox_options *options, struct inbox **out);
void inbox_destroy(struct inbox *inbox); /* NULL allowed */

struct post_result {
	struct notice_id id;
	struct hash hash; /* of the envelope */
	uint64_t stored_ms;
	bool repeated; /* had been stored before; these are its first answer's */
};

/* Called once with what became of a post: result on status 0, else *why. */
typedef void (*post_done_fn)(void *ctx, int status, const struct post_result *result, const struct refusal *why);

/* Judges a post and stages it.  0: it is durable after the next commit.  INBOX_WAIT: what it depends on is about to
 * change: again after the next publication, or with post->waited set.  Otherwise *why says why not; nothing is staged,
 * unless *lost is set: then the ledger has given up all that was. */
enum { INBOX_WAIT = -1 };
int inbox_post(struct inbox *inbox, struct post *post, struct post_result *out, struct refusal *why, bool *lost);

/* States that a desk has fetched the body, once.  0 or a status; *lost as above. */
int inbox_deliver(struct inbox *inbox, const struct notice_id *id, const char *place, Poc__PocKind kind, bool *lost);

/* When the next timer is due: wall clock, ms; UINT64_MAX: none. */
uint64_t inbox_due_ms(struct inbox *inbox);

/* Does what is due by now, a bounded part of it: more may be due after the commit.  0 or a status; *lost as above. */
int inbox_run_timers(struct inbox *inbox, uint64_t now_ms, bool *lost);

/* Right before ledger_commit, after the last put.  On failure the ledger has given up the group. */
int inbox_flush(struct inbox *inbox, struct refusal *why);

/* After every commit, with its status, and after the ledger gave up a group. */
void inbox_settle(struct inbox *inbox, int status);

/* Whether the sender of a post has a notice left.  Any thread.  0 or STATUS_QUOTA with *why. */
int inbox_check_quota(struct quota *quota, const struct post *post, uint64_t now_ms, struct refusal *why);

/* Counts a post's refusal in the metrics, where status is one.  Any thread; inbox_post does it itself. */
void inbox_count_refused(int status);

/* A post whose very envelope is stored already, as any thread can tell within a view: 0 and its first answer,
 * STATUS_NOT_FOUND, or STATUS_CONFLICT: a notice's id with another envelope. */
int inbox_first_answer(struct store_view *view, const struct post *post, struct post_result *out);

#endif
