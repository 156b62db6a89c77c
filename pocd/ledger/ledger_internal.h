/* ledger_internal: what ledger.c, events.c and publish.c share.  Nobody else includes it. */
#ifndef POCD_LEDGER_LEDGER_INTERNAL_H
#define POCD_LEDGER_LEDGER_INTERNAL_H

#include <pthread.h>

#include "pocd/ledger/changes.h"
#include "pocd/ledger/growing_map.h"
#include "pocd/ledger/ledger.h"
#include "pocd/ledger/tlog.h"

/* A put that waits for its commit (staged) or for its publication (pending). */
struct ledger_change {
	char *name; /* owned while staged; interned once committed */
	struct hash key, value;
	uint64_t seq, leaf, time_ms;
	uint8_t *envelope; /* staged only */
	size_t envelope_size;
};

struct ledger_changes {
	size_t n, capacity;
	struct ledger_change *items;
};

struct ledger_digests {
	size_t n, capacity;
	struct hash *items;
};

/* Names of U, each owned. */
struct ledger_signers {
	size_t n, capacity;
	char **items;
};

struct ledger {
	struct ledger_options options;
	char *origin;
	struct tlog tlog; /* as committed */
	uint64_t publications;
	uint64_t last_time_ms; /* no leaf is older than the one before it */
	uint64_t published_ms;
	bool served_noted; /* META_SERVED is there */
	/* The last head that was signed.  Until it is stored it is made again, byte for byte, with the time that its
	 * STATE leaf had: two heads of one size must never be. */
	uint64_t signed_size, signed_ms;

	struct tlog staged_tlog; /* tlog with what is staged */
	struct store_batch *batch;
	struct ledger_changes staged;
	struct ledger_digests staged_sections;
	size_t staged_bytes;
	struct changes staged_events; /* by event hash, with the item's bytes */
	struct ledger_signers staged_signers;

	struct ledger_changes pending; /* committed since the last publication */
	struct ledger_signers waiting; /* U whose users signed events since the last publication */
	bool anchored;                 /* there are events since then */
	struct {
		size_t n, capacity;
		char **items;
	} names; /* interned: they never vanish, snapshots point at them */

	struct growing_map map; /* append.c: of all that is staged; empty: not loaded */
	struct snapshot *state; /* append.c: the last STATE leaf appended, its note and path, before its map is built */
	size_t appended;        /* append.c: bytes staged, */
	size_t covered;         /* and those of them up to the last STATE leaf */

	pthread_mutex_t lock;      /* guards the two pointers */
	struct snapshot *snapshot; /* served */
	struct snapshot *tip;      /* newest; not served before its quorum has signed */
};

/* Why the store did not take a batch, for a person. */
const char *ledger_store_reason(int status);

uint64_t ledger_next_time(struct ledger *ledger);
int ledger_put_meta(struct store_batch *batch, uint64_t size, uint64_t publications, const struct hash *root);
int ledger_changes_add(struct ledger_changes *changes, const struct ledger_change *change);
int ledger_put_leaf(struct ledger *ledger, const struct leaf *leaf, uint64_t index, const char *name);

/* Gives up all that was staged. */
void ledger_drop_staged(struct ledger *ledger);

/* ---- events.c */
int ledger_signers_add(struct ledger_signers *signers, const char *name); /* copies; one that is there stays single */
void ledger_signers_clear(struct ledger_signers *signers);
void ledger_signers_finish(struct ledger_signers *signers);

/* Puts the ANCHOR leaf, the events and the names that now wait for evidence into the batch; nothing if none is staged.
 */
int ledger_put_events(struct ledger *ledger);

/* What is staged has become durable. */
int ledger_keep_events(struct ledger *ledger);

/* Reads which U wait for evidence. */
int ledger_load_waiting(struct ledger *ledger, struct store_view *view);

/* Puts the evidence that a new snapshot gives into its publication's batch, and takes the waiting names away. */
int ledger_put_evidence(struct ledger *ledger, const struct snapshot *next, uint64_t number, struct store_batch *batch);

/* Builds a snapshot of names (owned by it from then on; sorted here); its checkpoint parts are filled by the caller.
 * NULL when out of memory. */
struct snapshot *ledger_snapshot_create(struct snapshot_name *names, size_t n);

/* Fills checkpoint, note, leaf, path and head of a snapshot; then attaches and swaps it in. */
int ledger_snapshot_seal(struct snapshot *snapshot, const struct checkpoint *checkpoint, const char *note,
			 size_t note_size, const uint8_t leaf[LEAF_SIZE], const struct merkle_proof *path);

/* What a higher floor wants is put onto a sealed snapshot. */
int ledger_attach(struct ledger *ledger, struct snapshot *snapshot);

/* Whether a snapshot, which is sealed and attached, may be served. */
bool ledger_serves(const struct ledger *ledger, const struct snapshot *next);

/* Such a snapshot becomes the tip, taken over; and is served if that may be. */
void ledger_adopt(struct ledger *ledger, struct snapshot *snapshot);

/* The next snapshot's names: the tip's and what is pending.  NULL when out of memory. */
struct snapshot *ledger_merge(struct ledger *ledger);

int ledger_put_publication(struct store_batch *batch, const struct snapshot *snapshot);

/* Notes which publication is served while a later one is stored that is not (serve: that is). */
int ledger_put_served(struct ledger *ledger, struct store_batch *batch, bool serve);
int ledger_put_values(struct store_batch *batch, const struct ledger_put *put);
int ledger_put_section(struct ledger *ledger, const struct ledger_section *section);

#endif
