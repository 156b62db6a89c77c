/* client: what the programs of this tree use beyond poc.h: verified records and envelopes with their bytes, to build
 * next versions from; submitting; history; walks over the local copy.
 *
 * All calls return 0 or a status; poc_error(poc) says more.  Whatever they hand out has been verified. */
#ifndef CLIENTS_LIBPOC_CLIENT_H
#define CLIENTS_LIBPOC_CLIENT_H

#include "clients/libpoc/poc.h"
#include "clients/libpoc/verify.h"

enum client_mode {
	CLIENT_ONLINE, /* insist on a server */
	CLIENT_OFFLINE /* local copy only */
};

/* The last refusal: code, field, message.  Never NULL. */
const struct refusal *client_why(const struct poc *poc);

/* A state's entry in the newest register known: of the session's head, else of what is held.  NULL: none.  Borrowed
 * until the next call. */
const Poc__Entry *client_entry(const struct poc *poc, const char *state);

/* The head that answers are verified under, moved to the server's by poc_connect; NULL before.  Borrowed until the next
 * call. */
const struct verified_head *client_head(const struct poc *poc);

/* The key of [user]: borrowed, for signing; NULL when opened without.  Its id is the pin in U. */
struct keystore_key;
struct keystore_key *client_key(const struct poc *poc);
/* Whether U lists the key that was to take the place of the user's, and no longer that one: client_key is it now. */
bool client_uses_next(const struct poc *poc);
const struct hash *client_directory_id(const struct poc *poc);
const char *client_state_dir(const struct poc *poc); /* of this directory: state_dir/<16 digits of its id> */
int64_t client_now(const struct poc *poc);           /* seconds */

/* As poc_open, but the user's key is opened by a call of the caller's, who may ask a person for its passphrase. */
typedef int (*client_key_fn)(void *ctx, const char *location, struct keystore_key **out, struct refusal *why);
int client_open(const struct poc_options *options, client_key_fn open_key, void *ctx, struct poc **out, char *message,
		size_t message_size);

/* From here on this handle only shows what it reads, and nothing is signed by it: a head that is verified and proven
 * not to go back, but cannot be held (the disk is full, the folder is not ours to write to), is used all the same; so
 * is a copy that cannot be kept. */
void client_only_reads(struct poc *poc);

/* Why a head could not be held, under client_only_reads: a later rollback to before it would go unnoticed.  NULL: none.
 */
const struct refusal *client_unheld(const struct poc *poc);

/* From here on this handle only shows what it reads, and nothing is signed by it: a head that lies ahead of this
 * machine's clock is used all the same, but neither it nor a copy under it is kept: held, it could shut this client out
 * until that time comes. */
void client_any_clock(struct poc *poc);

/* What the session's head alone says, without a record; where there is no session, what the held one says of the clock:
 * judged and clock_behind. */
void client_judge_head(const struct poc *poc, struct poc_verdict *out);

/* When the local copy was last brought up to date, in seconds by the local clock; 0: never.  Reads nothing of it. */
int64_t client_copy_synced(const struct poc *poc);

/* The pin of the server that the session is with; NULL where there is none. */
const struct hash *client_server_pin(const struct poc *poc);

/* Whether a session with a server stands. */
bool client_connected(const struct poc *poc);

/* End of our entry in the last verified U, seconds; 0: none, or not known. */
int64_t client_not_after(const struct poc *poc);

/* Calls each now and then while something long is under way: so many leaves of so many are here.  NULL: nobody. */
void client_progress(struct poc *poc, void (*each)(void *ctx, uint64_t done, uint64_t all), void *ctx);

/* ---- Records */
struct client_record {
	struct verified_record verified; /* record->payload.record, sections, seq, value */
	struct poc_verdict verdict;
	uint8_t *proof; /* self-contained, for --save; NULL from client_walk */
	size_t proof_size;
};
void client_record_finish(struct client_record *record); /* zeroed memory allowed */

/* As poc_lookup.  sections: the record's own sections that are wanted too, e.g. "units".  NOT_FOUND: out->proof holds
 * the absence proof, the verdict its checkpoint. */
int client_lookup(struct poc *poc, enum client_mode mode, const struct name *name, const char *const *sections,
		  size_t n_sections, struct client_record *out);

/* As poc_verify. */
int client_verify(struct poc *poc, const uint8_t *bytes, size_t size, const struct name *name, int64_t at,
		  struct client_record *out);

/* Calls each for every record of verified Proof bytes (a bundle), in order of names; stops at the first non-zero, which
 * it returns. */
int client_verify_walk(struct poc *poc, const uint8_t *bytes, size_t size, int64_t at,
		       int (*each)(void *ctx, const struct client_record *record), void *ctx);

/* The same over the local copy.  UNREACHABLE when there is none.  A record that does not verify ends the walk. */
int client_walk(struct poc *poc, int (*each)(void *ctx, const struct client_record *record), void *ctx);

/* The same over the records of a state's units in the local copy. */
int client_walk_units(struct poc *poc, const char *state, int (*each)(void *ctx, const struct client_record *record),
		      void *ctx);

/* Calls each for every document of the directory in the local copy, verified, in order of names; stops at the first
 * non-zero, which it returns.  UNREACHABLE when there is no copy. */
int client_walk_documents(struct poc *poc, int (*each)(void *ctx, const struct envelope *document), void *ctx);

/* ---- Envelopes: T, S, K, U, D, P (for R use client_lookup) */
struct client_envelope {
	struct name name;
	bool absent;    /* proven */
	bool suspended; /* of K and U: the state is, in S or while the council replaces its authority */
	struct hash value;
	struct envelope *envelope; /* owned; NULL if absent, lapsed, or not shown to this user */
};
void client_envelopes_finish(struct client_envelope *envelopes, size_t n);

/* The current ones by name, verified under one head: K by its chain from the anchor, U and D under their K, P only as
 * what is current: client_lookup judges who signed it.  n <= 16.  out holds n, in the order of names. */
int client_envelopes(struct poc *poc, enum client_mode mode, const char *const *names, size_t n,
		     struct client_envelope *out);

/* A self-contained Proof of T and S, and of K/<state> (NULL: none) with its chain, as the server has them now: what a
 * ceremony starts from.  *bytes is malloc'ed. */
int client_prove(struct poc *poc, const char *state, uint8_t **bytes, size_t *size);

/* ---- Readers: which states have read our state's records, as the server counts it.  Its word: nothing is proven. */
struct client_reading {
	uint32_t day;                     /* since 1970-01-01 UTC */
	char state[STATE_MAX_LENGTH + 1]; /* who read */
	uint64_t lookups, copied;         /* answers to lookups; records that went into copies */
	int64_t last;                     /* seconds: of the newest of either */
};

/* Calls each for every row from a day on (0: all that is kept), ascending by day and state; stops at the first
 * non-zero, which it returns.  *kept_from: the first day of which the server keeps anything; 0: it keeps nothing yet.
 * DENIED to users who are not on duty in their state. */
int client_readers(struct poc *poc, uint32_t from_day, uint32_t *kept_from,
		   int (*each)(void *ctx, const struct client_reading *reading), void *ctx);

/* ---- Writing */
struct client_write {
	const uint8_t *envelope;
	size_t size;
	const ProtobufCBinaryData *sections;
	size_t n_sections;
};

struct client_result {
	char name[NAME_MAX_LENGTH + 1];
	uint64_t seq;
	struct hash value;
	uint64_t leaf;
	int64_t stored_ms;
	bool repeated; /* had been stored before */
};

struct client_submitted {
	size_t n;
	struct client_result *results; /* owned */
	bool proven;                   /* verified: the map under our head holds each of them, or a later version */
	bool maybe_stored;             /* they were sent, and no answer says that they were refused */
	uint64_t checkpoint_size;
	/* CONFLICT and other refusals: */
	size_t write; /* which one was refused */
	struct hash current;
	uint64_t current_seq;
};
void client_submitted_finish(struct client_submitted *submitted);

/* Sends a group, all or nothing.  wait_proven: returns after publication, and checks it; QUEUED when it is stored but
 * cannot be proven yet, whatever hinders (time limit, network, a clock): *why of client_why says what.  UNVERIFIED,
 * with the results in *out, when the server says that it is published and proves something else. */
int client_submit(struct poc *poc, const struct client_write *writes, size_t n, bool wait_proven,
		  struct client_submitted *out);

/* ---- History */
struct client_version {
	const struct envelope *envelope; /* borrowed during the call */
	char signed_by[80];              /* of R and U: best effort, by the K versions known; may be empty */
	struct hash signer;
};
/* Every version of a name, oldest first: linked by prev to the proven current one. */
int client_history(struct poc *poc, const struct name *name,
		   int (*each)(void *ctx, const struct client_version *version), void *ctx);

#endif
