/* libpoc: the client side of a pocd directory, as a C library: synchronous calls over TLS with verification built in.
 *
 * A struct poc is one directory seen with one key.  Not thread-safe: one thread at a time per struct poc; several
 * processes may share a state folder (it is locked).  Every answer that a call returns has been verified as
 * docs/protocol.md section "What a client verifies" says; what does not verify is an error, never data.
 *
 * Functions return 0 (POC_OK) or a code of the list in proto/wire/status.h; poc_error(poc) then says more. */
#ifndef CLIENTS_LIBPOC_POC_H
#define CLIENTS_LIBPOC_POC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct poc;

struct poc_options {
	const char *servers;      /* "host:port[,host:port...]" */
	const char *server_pin;   /* hex SHA-256 of the server's SPKI; NULL: found in U/@directory */
	const char *directory_id; /* hex, 64 digits: required */
	const char *user_state;   /* two letters or @directory; NULL: offline use only */
	const char *user_unit;    /* the unit of that state whose user this is; NULL: the state's own */
	const char *certificate;  /* PEM files of the user's key */
	const char *key;
	/* The key that takes the place of the user's once it is listed in U: used when U does not list the other.
	 * NULL: none. */
	const char *next_certificate;
	const char *next_key;
	const char *passphrase;  /* of both; NULL: none */
	const char *state_dir;   /* held state and local copy; created 0700 */
	unsigned quorum;         /* at least so many auditors, beside what T asks */
	const char *own_auditor; /* name of an auditor that must have signed; NULL: none */
	int64_t max_age;         /* seconds; 0: what T says */
	unsigned timeout_ms;     /* for a call; 0: 5000 */
	int64_t now;             /* seconds; 0: the clock (tests) */
};

enum poc_status { POC_VALID, POC_WITHDRAWN, POC_SUSPENDED };

/* Whether the authority keys of a state are those that were compared with it out of band (poc key verified).
 * POC_KEYS_UNKNOWN: what was remembered cannot be read. */
enum poc_keys { POC_KEYS_NEVER, POC_KEYS_VERIFIED, POC_KEYS_CHANGED, POC_KEYS_UNKNOWN };

/* What verification found, in facts. */
struct poc_verdict {
	enum poc_status status;
	/* Of POC_SUSPENDED: the published reason; empty while the council replaces the state's authority. */
	char suspended_for[804];
	int freshness;         /* 0 fresh, 1 due, 2 stale */
	bool offline;          /* from the local copy or a file */
	bool checkpoint_stale; /* older than max age */
	bool trust_expired;
	bool enrolled;      /* the state is in the register, also where NOT_FOUND says that it has no record */
	bool replaced;      /* the state's keys were replaced by the council */
	char signed_by[80]; /* "coordinator of BR", "editor of FR/bretagne" */
	char signer[65];    /* key id, hex */
	int64_t issued, confirmed, expires;
	int64_t answered;            /* last answered communications check, as P says; 0: none known */
	bool answered_automatically; /* by a program: no person's answer is known */
	char origin[129];
	uint64_t size;   /* checkpoint */
	int64_t time_ms; /* t of protocol.md section 14 */
	unsigned cosigners, quorum, auditors;
	uint64_t trust_seq;
	size_t withheld; /* sections that this reader is not entitled to */
	int64_t judged;  /* seconds: the time that all of this is judged at; never before the checkpoint's */
	/* Seconds by which the checkpoint lies ahead of this machine's clock (of the time asked for, of a saved file):
	 * that time cannot be right.  0 also for up to five minutes of a clock. */
	int64_t clock_behind;
	/* Seconds by which this machine's clock is ahead of the server's, more than five minutes, else 0: by the
	 * server's word alone, so no verdict rests on it. */
	int64_t clock_ahead;
	enum poc_keys keys;    /* of lookups; elsewhere POC_KEYS_NEVER */
	int64_t keys_verified; /* when they were compared, seconds; 0: never */
};

/* An error in words; valid until the next call. Never NULL. */
const char *poc_error(const struct poc *poc);
const char *poc_error_field(const struct poc *poc);

/* Opens; does not connect.  On failure *out is NULL and message (NULL allowed) holds the reason.  STATUS_DAMAGED: the
 * held state is lost or unreadable, which is never taken for a first contact. */
int poc_open(const struct poc_options *options, struct poc **out, char *message, size_t message_size);
void poc_close(struct poc *poc); /* NULL allowed */

/* Connects and moves to the server's head (steps 1 to 5).  Called by the other calls when needed.  BEHIND when every
 * server that answers is behind; UNVERIFIED when one shows a head that contradicts the held one. */
int poc_connect(struct poc *poc);

/* Who the server says we are; valid after poc_connect.  Empty handle: not listed. */
const char *poc_handle(const struct poc *poc);

/* Where we stand; strings live as long as poc or until the next call. */
struct poc_facts {
	bool connected;
	const char *server;      /* host:port; empty when not connected */
	const char *tls_version; /* "TLSv1.3" */
	const char *tls_group;   /* key exchange, e.g. "x25519" */
	const char *software;    /* the server's */
	const char *state;       /* ours */
	const char *unit;        /* ours; empty: the state's own */
	const char *handle;      /* as the verified U says; empty: not listed */
	unsigned roles;          /* bit set of 1 << Role of payload.proto */
	int64_t not_after;       /* end of our entry in U, seconds; 0: none */
	/* Our state is suspended in the register: the published reason; NULL: it is not, or nothing is known. */
	const char *suspended_for;
	bool have_head; /* the fields below are set: from the server, else from the held state */
	char origin[129];
	char directory_id[65], root[65];
	uint64_t size;
	int64_t time_ms;
	int64_t age; /* seconds between now and time_ms */
	bool stale;  /* older than max age */
	bool late;   /* the server shows nothing newer than 15 minutes, though heads come more often */
	/* The checkpoint that a server showed and that was refused, as behind or as of another log; 0: none was. */
	uint64_t refused_size;
	int64_t refused_time_ms;
	unsigned cosigners, quorum, auditors; /* cosigners of the held state are not known: 0 */
	uint64_t trust_seq;
	int64_t trust_expires;
	bool trust_expired;
	size_t states, suspended; /* in the register */
	bool have_copy;
	uint64_t copy_size;      /* checkpoint of the local copy */
	int64_t copy_time_ms;    /* its time */
	const char *copy_damage; /* of one that cannot be used: which, and why; else empty */
	int64_t copy_synced;     /* when it was last brought up to date, seconds, by the local clock */
};
/* Fills *out with what is known now; connects to nobody.  Always 0 but for DAMAGED. */
int poc_facts(struct poc *poc, struct poc_facts *out);

/* A verified record.  record and sections in JSON as `poc publish` takes it (schema poc.record/1), malloc'ed. */
struct poc_record {
	char place[64];
	struct poc_verdict verdict;
	char *record_json;
	uint8_t *proof; /* self-contained Proof bytes, as saved to a file */
	size_t proof_size;
};
void poc_record_finish(struct poc_record *record);

/* Looks a place up: NOT_FOUND after a verified absence proof.  WITHDRAWN, SUSPENDED, STALE, CLOCK: *out is filled all
 * the same. */
int poc_lookup(struct poc *poc, const char *place, struct poc_record *out);

/* The same from the local copy, without network.  UNREACHABLE when there is no copy. */
int poc_lookup_offline(struct poc *poc, const char *place, struct poc_record *out);

/* Verifies a saved Proof, offline, against the pinned directory id.  place: which record (NULL: the only one).  at:
 * judge at this time (0: the proof's own).  UNVERIFIED also where it tells neither of a record nor of a record's
 * absence. */
int poc_verify(struct poc *poc, const uint8_t *bytes, size_t size, const char *place, int64_t at,
	       struct poc_record *out);

/* Brings the local copy up to the server's head; calls changed for each change (NULL allowed): change is "added",
 * "changed", "withdrawn". */
int poc_sync(struct poc *poc, void (*changed)(void *ctx, const char *name, uint64_t seq, const char *change),
	     void *ctx);

/* The local copy as one complete Proof, checked, malloc'ed: a bundle that anybody can verify.  UNREACHABLE when there
 * is no copy. */
int poc_export(struct poc *poc, uint8_t **bytes, size_t *size);

/* The server's counters, in order of their names. */
int poc_stats(struct poc *poc, void (*each)(void *ctx, const char *name, uint64_t value), void *ctx);

#ifdef __cplusplus
}
#endif

#endif
