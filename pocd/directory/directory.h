/* directory: what a published snapshot means: trust, register, keys and users of all states parsed once per version,
 * and the answers to the questions that handlers bring.  Any thread may read; everything hangs off one snapshot.
 *
 * Parts: holders (parsed T, S, K, U kept per value across snapshots), pins (pin -> user), lookup (answers), change
 * (checks and commits writes), desk, post and inbox (notices let in), story (notices read), readings (who reads whose
 * records). */
#ifndef POCD_DIRECTORY_DIRECTORY_H
#define POCD_DIRECTORY_DIRECTORY_H

#include "pocd/directory/inbox.h"
#include "pocd/directory/policy.h"
#include "pocd/directory/write.h"
#include "pocd/ledger/ledger.h"

struct directory;

struct directory_options {
	struct store *store;                  /* borrowed */
	struct keystore_key *const *log_keys; /* borrowed; those that T lists sign */
	size_t n_log_keys;
	struct ledger_signer signer; /* see ledger.h */
	uint64_t interval_ms;        /* checkpoint interval */
	uint64_t heartbeat_ms;
	size_t answer_cache; /* bytes; 0: none */
	uint64_t (*now_ms)(void *ctx);
	void *now_ctx;
	/* Any thread: a new snapshot was swapped in (sessions re-check their principal).  NULL allowed. */
	void (*published)(void *ctx);
	void *published_ctx;
	/* Writer thread, once: the disk failed.  What was committed can be read, nothing more is stored; only opening
	 * the store anew tells what became of the last commit.  NULL allowed. */
	void (*failed)(void *ctx);
	void *failed_ctx;
	uint64_t changes_per_hour; /* of one state's users and records; 0: no limit */
	/* notices */
	uint64_t retention_ms;     /* how long bodies are kept, and how old a new notice may be; 0: 400 days */
	uint64_t notices_per_hour; /* that one state may send; 0: no limit */
	uint64_t backlog_bytes;    /* sent by one state to another and not fetched yet; 0: no limit */
	/* Writer thread: a desk's feed grew, durably; its newest cursor.  NULL allowed. */
	void (*grown)(void *ctx, const char *place, Poc__PocKind kind, uint64_t cursor);
	void *grown_ctx;
	/* A copy of another server's directory (follow.h): n_log_keys is 0, and the store may be empty at first. */
	const struct hash *follows; /* the directory's id; NULL: not a copy */
	const char *state;          /* whose mirror it is: sections above GREEN are for its users alone */
};

/* Opens the directory of a store that pocadm init made.  Refuses one without T (STATUS_NOT_FOUND) and log keys of
 * which T lists none. Does not start the writer thread. */
int directory_open(const struct directory_options *options, struct directory **out, struct refusal *why);
void directory_close(struct directory *directory); /* stops the writer after what was submitted; NULL allowed */

struct ledger *directory_ledger(struct directory *directory);
/* For a directory whose log keys are lost, in a store that no daemon holds: judges and publishes the next T, the first
 * of the writes, and what goes with it, signed by those of the options' log keys that it lists.  0, or a status:
 * nothing was written unless it is the publication that failed. */
int directory_publish_trust(const struct directory_options *options, const struct change_write *writes, size_t n,
			    struct refusal *why);

const struct hash *directory_id(const struct directory *directory);

/* ---- Sessions */
struct principal {
	char state[STATE_MAX_LENGTH + 1];
	struct hash pin;
	struct principal_facts facts;
	char handle[UNIT_MAX_LENGTH + 1]; /* empty: not listed */
	unsigned kinds;                   /* bit set of 1 << PocKind */
	int64_t not_after;                /* 0: none */
};

/* Who a key is in the U of a state, under the current snapshot and STATE time.  STATUS_OK also for a key that is not
 * listed (facts.roles = 0); STATUS_NOT_FOUND for a state that is not in the register. */
int directory_principal(struct directory *directory, const char *state, const struct hash *pin, struct principal *out);

/* ---- Answers: each writes an encoded message body into fresh memory (malloc) or a shared cached buffer. */
struct answer {
	const uint8_t *bytes; /* an encoded Proof or other message */
	size_t size;
	void *owner; /* released by answer_finish; a cached answer holds its snapshot, so finish it soon */
	void (*release)(void *owner);
};
void answer_finish(struct answer *answer); /* zeroed memory allowed */

/* A Proof for a place (poc.proto Lookup).  place is valid syntax. */
int directory_lookup(struct directory *directory, const struct principal *who, const char *place,
		     uint64_t checkpoint_size, const char *const *sections, size_t n_sections, struct answer *out,
		     struct refusal *why);

/* A Proof with envelopes by name (poc.proto GetEnvelopes). */
int directory_envelopes(struct directory *directory, const struct principal *who, const char *const *names, size_t n,
			uint64_t checkpoint_size, uint64_t from_seq, struct answer *out, struct refusal *why);

/* An encoded HeadAnswer. */
int directory_head(struct directory *directory, uint64_t held_size, uint64_t trust_seq, const uint8_t *register_value,
		   struct answer *out, struct refusal *why);

/* An encoded ChangesAnswer, at most about 256 KiB. */
int directory_changes(struct directory *directory, const struct principal *who, uint64_t from_leaf, bool with_envelopes,
		      struct answer *out, struct refusal *why);

/* An encoded ReadersAnswer (poc.proto Readers), of the principal's own state, of at most about 256 KiB.  STATUS_MIRROR
 * from a copy. */
int directory_readers(struct directory *directory, const struct principal *who, uint32_t from_day, const char *after,
		      struct answer *out, struct refusal *why);

/* ---- Followers of this log */

/* An encoded FollowAnswer of at most about 512 KiB.  A follower whose log is no prefix of ours is refused
 * (STATUS_CONFLICT); if it shows a checkpoint that our log key signed, nothing is signed any more.  *tip: what the
 * answer told of: publication number and size of its note, for directory_tip_moved. */
struct follow_query {
	uint64_t size, from;
	const uint8_t *root; /* HASH_SIZE bytes; NULL with size 0 */
	const char *note;    /* may be NULL */
	size_t note_size;
	const char *auditor; /* name; empty: a mirror */
	const uint8_t *key;  /* SPKI; may be NULL */
	size_t key_size;
};
struct tip_told {
	uint64_t number, note_size;
};
int directory_follow(struct directory *directory, const struct principal *who, const struct follow_query *query,
		     struct tip_told *tip, struct answer *out, struct refusal *why);

/* Whether the tip, or its signatures, are others than what was told; its size. */
bool directory_tip_moved(struct directory *directory, const struct tip_told *told, uint64_t *size);

/* Verifies a cosignature on the tip and queues it for the writer. */
int directory_cosign(struct directory *directory, const struct principal *who, const char *auditor, uint64_t size,
		     const uint8_t *signature, struct refusal *why);

/* ---- Writes */
/* Queues an all-or-nothing group of writes for the writer thread; copies the bytes.  STATUS_BUSY when the queue is full
 * (ceilings: 4,096 groups or 64 MiB, a quarter of it for one state), then done is not called. */
int directory_submit(struct directory *directory, const struct principal *who, const struct change_write *writes,
		     size_t n, bool wait_proven, change_done_fn done, void *ctx, struct refusal *why);

/* ---- Notices.  Whose desk it is, and for which operation of policy.h, is checked in each. */

/* Reads a post, judges it under the current snapshot and queues it (poc.proto Post).  0: done is called once, on the
 * writer thread or before this returns (a repetition).  Otherwise *why says why not, with retry_ms on STATUS_QUOTA. */
int directory_post(struct directory *directory, const struct principal *who, const struct post_in *in,
		   post_done_fn done, void *ctx, struct refusal *why);

/* Whether the principal may do an operation at a desk: 0 or STATUS_DENIED, STATUS_SUSPENDED with *why. */
int directory_at_desk(struct directory *directory, const struct principal *who, const char *place, Poc__PocKind kind,
		      enum operation operation, struct refusal *why);

/* An encoded FeedAnswer of at most about 256 KiB. */
int directory_feed(struct directory *directory, const struct principal *who, const char *place, Poc__PocKind kind,
		   uint64_t after, struct answer *out, struct refusal *why);

/* The desk's newest cursor; 0: none. */
int directory_feed_end(struct directory *directory, const char *place, Poc__PocKind kind, uint64_t *out,
		       struct refusal *why);

/* An encoded StoryAnswer (poc.proto GetNotice).  *fetched: handing it over is delivery to the desk, for the first time
 * as it seems: directory_deliver is to be called once it was sent. */
struct story_query {
	struct notice_id id;
	const char *place;
	Poc__PocKind kind;
	bool with_body, with_evidence;
	uint32_t from_step;
	uint64_t checkpoint_size;
};
int directory_story(struct directory *directory, const struct principal *who, const struct story_query *query,
		    struct answer *out, bool *fetched, struct refusal *why);
void directory_deliver(struct directory *directory, const struct story_query *query);

/* Any thread: takes other log keys from the next publication on, if the current T lists one of them at least; those
 * sign that T lists then.  The ones before are no longer used when this returns.  0, or STATUS_INVALID with *why: then
 * all stays as it was. */
int directory_use_log_keys(struct directory *directory, struct keystore_key *const *log_keys, size_t n,
			   const struct ledger_signer *signer, struct refusal *why);

/* Starts the writer thread.  Without it directory_submit can be used through directory_run_once (pocadm init, tests):
 * one turn of the writer on the calling thread. */
int directory_start(struct directory *directory);
int directory_run_once(struct directory *directory);

/* How long the writer thread has been at what it does now, ms; 0 while it waits for work.  Any thread. */
uint64_t directory_busy_ms(const struct directory *directory);

/* The first batch of a new directory (pocadm init): T(1), S(1), K/@directory, U/@directory in an empty store. */
int directory_create(const struct directory_options *options, const struct change_write *writes, size_t n,
		     struct refusal *why);

/* Counters for stats: calls each with a name and value. */
void directory_stats(struct directory *directory, void (*each)(void *ctx, const char *name, uint64_t value), void *ctx);

#endif
