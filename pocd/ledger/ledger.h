/* ledger: the append-only log and the map over a store: what is committed, published, signed.
 *
 * One thread (the writer) calls everything here except where it says "any thread".  Commit and publication are two
 * steps (storage.md): a commit is durable; a publication is proven.
 * The parts: tlog (leaves, tiles, proofs), snapshot, commit (group -> one store batch), events (what an ANCHOR leaf
 * covers, and the evidence of it), publish (STATE leaf, checkpoint, signatures, swap), append (a follower's leaves). */
#ifndef POCD_LEDGER_LEDGER_H
#define POCD_LEDGER_LEDGER_H

#include "pocd/ledger/snapshot.h"
#include "pocd/store/store.h"
#include "proto/keys/keystore.h"

struct ledger;

/* Who remembers what the log keys have signed (a process of its own), and allows the next head or not. */
struct ledger_signer {
	/* At the opening: the newest checkpoint of the store (size 0: none), the time of its STATE leaf, and how many
	 * leaves there are.  0 and what was signed last (*signed_size 0: nothing), with its STATE leaf's time; or a
	 * status with *why: the store is older than that, or tells another story. */
	int (*start)(void *ctx, const struct checkpoint *published, uint64_t state_ms, uint64_t size,
		     uint64_t *signed_size, uint64_t *signed_ms, struct refusal *why);
	/* Before a head is signed.  0: it is remembered durably. */
	int (*prepare)(void *ctx, const struct checkpoint *head, uint64_t state_ms, struct refusal *why);
	void *ctx;
};

struct ledger_options {
	struct store *store;                  /* borrowed */
	const char *origin;                   /* of checkpoints; copied */
	struct keystore_key *const *log_keys; /* Ed25519, borrowed; n_log_keys 0: read-only, cannot publish */
	size_t n_log_keys;
	struct ledger_signer signer;   /* zeroed: the keys sign whatever comes */
	uint64_t (*now_ms)(void *ctx); /* the clock */
	void *now_ctx;
	/* Attaches what a higher floor wants to a new snapshot before it is swapped in; prev may be NULL.  0 or a
	 * status: then the publication fails. */
	int (*attach)(void *ctx, struct ledger *ledger, const struct snapshot *prev, struct snapshot *next);
	void *attach_ctx;
	/* Whether a checkpoint has the signatures that it needs to be served; served is what is served now, NULL:
	 * nothing.  NULL: none are needed. */
	bool (*cosigned)(void *ctx, const struct snapshot *served, const struct snapshot *next);
	void *cosigned_ctx;
};

/* Opens the ledger of a store: reads the tail, checks that log and map lead to the last stored checkpoint, and makes
 * its snapshot.  An empty store gives an empty ledger (no snapshot until the first publication).  STATUS_DAMAGED with
 * *why when something does not add up.  Committed leaves that no publication covers are published by the next
 * ledger_publish. */
int ledger_open(const struct ledger_options *options, struct ledger **out, struct refusal *why);
void ledger_close(struct ledger *ledger); /* NULL allowed */

/* One change of one name. */
struct ledger_put {
	const char *name;
	struct hash value;
	uint64_t seq;
	const uint8_t *envelope;
	size_t envelope_size;
	size_t n_sections;
	const struct ledger_section {
		struct hash digest;
		const uint8_t *bytes;
		size_t size;
	} * sections;
	/* filled by ledger_stage: */
	uint64_t leaf;
	uint64_t time_ms;
};

/* Other log keys (borrowed), and who remembers for them, from the next publication on.  The thread that publishes only.
 */
void ledger_set_log_keys(struct ledger *ledger, struct keystore_key *const *keys, size_t n,
			 const struct ledger_signer *signer);

/* A group of puts (of many writers) becomes one store batch.  Stage adds puts that belong together, all or nothing;
 * their rules have been checked against the current values that ledger_current gives, staged ones included. */
int ledger_stage(struct ledger *ledger, struct ledger_put *puts, size_t n, struct refusal *why);

/* An item that was stated: a notice's or receipt's envelope, or a fact of the directory. */
struct ledger_event {
	const uint8_t *item;
	size_t size;
	const char *signer; /* the U that lists who signed it; NULL: the directory itself states it */
	uint32_t place;     /* filled by ledger_stage_events: its place in the batch */
};

/* Adds events to the group.  All events of a commit make one ANCHOR leaf, after the group's PUT leaves.  The next
 * publication keeps evidence for each U that signed: proofs of K, S, T and U in its map.  All or nothing, as
 * ledger_stage; but STATUS_INVALID (an item twice in a group, a signer that is not published) changes nothing. */
int ledger_stage_events(struct ledger *ledger, struct ledger_event *events, size_t n, struct refusal *why);

/* Adds a row (value NULL: takes it away) that a higher floor wants to become durable with the group.  On failure the
 * whole group is given up. */
int ledger_stage_row(struct ledger *ledger, enum store_table table, const void *key, size_t key_size, const void *value,
		     size_t value_size, struct refusal *why);

/* Gives up all that is staged. */
void ledger_abandon(struct ledger *ledger);

/* Index of the group's ANCHOR leaf, if it has events and no further put is staged. */
uint64_t ledger_anchor(const struct ledger *ledger);

/* The clock as leaves see it: never goes back, never after the group's leaves. */
uint64_t ledger_time_ms(struct ledger *ledger);

/* Makes durable all that was staged; returns its status.  On failure nothing of the group is in the ledger. */
int ledger_commit(struct ledger *ledger, struct refusal *why);

/* Puts, events and rows staged and not yet committed: whether there are any. */
bool ledger_staged(const struct ledger *ledger);

/* Whether something was signed, and is not published yet, that will be judged by what then stands under a name: T, S,
 * or the signer's K or U. */
bool ledger_testifies(const struct ledger *ledger, const char *name);

/* Whether the current value of a name, staged or committed, is in no checkpoint yet; and whether that of the newest
 * checkpoint is not the served one. */
bool ledger_moved(const struct ledger *ledger, const char *name);
bool ledger_unserved(const struct ledger *ledger, const char *name);

/* Current value of a name, committed or staged.  0, STATUS_NOT_FOUND.  *envelope (malloc; NULL allowed if not wanted).
 */
int ledger_current(struct ledger *ledger, const char *name, struct hash *value, uint64_t *seq, uint8_t **envelope,
		   size_t *envelope_size);

/* Whether a section is stored or staged under its digest. */
bool ledger_has_section(struct ledger *ledger, const struct hash *digest);

/* Section bytes, stored or staged.  0 and *bytes (malloc), or STATUS_NOT_FOUND. */
int ledger_section(struct ledger *ledger, const struct hash *digest, uint8_t **bytes, size_t *size);

/* An envelope that has been committed earlier: its first answer.  0 or STATUS_NOT_FOUND. */
int ledger_first_answer(struct ledger *ledger, const struct hash *value, uint64_t *leaf, uint64_t *time_ms);

/* Appends a STATE leaf, checks consistency with the last checkpoint, signs, stores: the new tip.  It is served at once
 * if it needs no further signatures.  Publishes even when nothing changed (heartbeat).  0 or a status; then the last
 * snapshot stays. */
int ledger_publish(struct ledger *ledger, struct refusal *why);

/* The tip's note with more signature lines: stored, and the tip is served if they are enough (again, if it is served
 * already).  Signatures are the caller's to verify.  STATUS_CONFLICT: it is another checkpoint's. */
int ledger_renote(struct ledger *ledger, const char *note, size_t note_size, struct refusal *why);

/* ---- Following: a ledger without log keys takes over leaves as another logged them */

struct ledger_appended {
	uint8_t leaf[LEAF_SIZE];
	const char *name; /* of a PUT */
	const uint8_t *envelope;
	size_t envelope_size;
	size_t n_sections;
	const struct ledger_section *sections;
	const char *note; /* of a STATE: the checkpoint that ends with it */
	size_t note_size;
};

/* Stages the next leaf.  Checks what binds it to the log: that a PUT's name and envelope are the leaf's, that times do
 * not go back, that STATE leaves are numbered without a gap, that the map has the root which they say, and that the
 * note's size and root are those of the log so far.  Seq, signatures and rules are the caller's.  STATUS_UNVERIFIED,
 * STATUS_TOO_LARGE (more than 256 MiB without a checkpoint); then all that was staged is given up. */
int ledger_append(struct ledger *ledger, const struct ledger_appended *in, struct refusal *why);

/* After a STATE leaf: makes durable all that was appended; its checkpoint is the tip. */
int ledger_append_commit(struct ledger *ledger, struct refusal *why);

/* Gives up what was appended and not made durable. */
void ledger_append_abandon(struct ledger *ledger);

uint64_t ledger_appended_size(const struct ledger *ledger); /* leaves, with what is staged */
size_t ledger_appended_bytes(const struct ledger *ledger);  /* about so many are staged */
bool ledger_appended_whole(const struct ledger *ledger);    /* something is staged, and ends with a STATE leaf */

/* Whether commits wait for publication, or a head that was signed waits to be stored; and when the last one was (0:
 * never). */
bool ledger_unpublished(const struct ledger *ledger);
uint64_t ledger_published_ms(const struct ledger *ledger);

uint64_t ledger_size(const struct ledger *ledger); /* leaves, committed */

/* Any thread: the published snapshot with a reference for the caller, or NULL. */
struct snapshot *ledger_snapshot(struct ledger *ledger);

/* Any thread: the newest checkpoint, which may lack signatures that it needs to be served; likewise. */
struct snapshot *ledger_tip(struct ledger *ledger);

/* Whether the newest checkpoint waits for signatures before it is served. */
bool ledger_waits(struct ledger *ledger);

/* Any thread: consistency proof between two published sizes, old_size <= size <= the snapshot's. */
int ledger_consistency(struct ledger *ledger, uint64_t old_size, uint64_t size, struct merkle_proof *out);

/* Any thread, within a view: stored envelope by value; version of a name; section by digest; leaf and its name.  0,
 * STATUS_NOT_FOUND or STATUS_DAMAGED.  Bytes live as long as the view. */
int ledger_read_envelope(struct store_view *view, const struct hash *value, const uint8_t **bytes, size_t *size,
			 uint64_t *leaf, uint64_t *time_ms);
int ledger_read_version(struct store_view *view, const char *name, uint64_t seq, struct hash *value, uint64_t *leaf);
int ledger_read_section(struct store_view *view, const struct hash *digest, const uint8_t **bytes, size_t *size);
int ledger_read_leaf(struct store_view *view, uint64_t index, struct leaf *leaf, char *name, size_t name_size);
int ledger_read_publication(struct store_view *view, uint64_t number, uint64_t *size, const char **note,
			    size_t *note_size);

/* An event of an ANCHOR leaf: its signer's U (empty: a fact), the siblings in M of its batch, the item. */
struct ledger_event_row {
	char signer[SNAPSHOT_NAME_ROOM];
	const uint8_t *siblings;
	unsigned depth;
	const uint8_t *item;
	size_t size;
};
int ledger_read_event(struct store_view *view, uint64_t leaf, uint32_t place, struct ledger_event_row *out);

/* What a U was worth at a publication: K/<state>, S, T and the U itself, in this order, each found in its map. */
enum { LEDGER_EVIDENCE_ITEMS = 4 };
struct ledger_evidence {
	struct ledger_evidence_item {
		char name[SNAPSHOT_NAME_ROOM];
		const uint8_t *siblings;
		unsigned depth;
		struct hash value;
	} items[LEDGER_EVIDENCE_ITEMS];
};
int ledger_read_evidence(struct store_view *view, uint64_t publication, const char *users, struct ledger_evidence *out);

/* The first publication, up to the one of that number, whose STATE leaf stands after a leaf: its number and the STATE
 * leaf's index.  STATUS_NOT_FOUND: none yet. */
int ledger_read_state_after(struct store_view *view, uint64_t leaf, uint64_t last, uint64_t *number, uint64_t *index);

/* Audit path of a leaf in the log of a published size. */
int ledger_read_path(struct store_view *view, uint64_t leaf, uint64_t size, struct merkle_proof *out);

/* Recomputes everything from the leaves up: log root of every publication, map, history chains, sections against
 * digests, signatures.  Reports counts through *report (NULL allowed).  STATUS_DAMAGED with *why naming the first thing
 * that is wrong. */
struct ledger_report {
	uint64_t leaves, publications, names, envelopes, sections, erased_sections, events;
};
int ledger_check(struct store *store, struct ledger_report *report, struct refusal *why);

#endif
