/* holders: what a snapshot means: trust root, register, keys and users of every state, parsed once per version and
 * shared between the snapshots that hold the same version.  Built when a snapshot is published, immutable afterwards,
 * hung on it as its extra; any thread reads. */
#ifndef POCD_DIRECTORY_HOLDERS_H
#define POCD_DIRECTORY_HOLDERS_H

#include "pocd/directory/cache.h"
#include "pocd/directory/pins.h"
#include "pocd/ledger/ledger.h"
#include "proto/rules/envelope.h"

/* One parsed version, counted references. */
struct holder {
	atomic_uint references;
	struct envelope *envelope;
};

struct holder *holder_create(struct envelope *envelope); /* takes the envelope in any case; NULL when out of memory */
struct holder *holder_ref(struct holder *holder);        /* NULL allowed */
void holder_unref(struct holder *holder);                /* NULL allowed */

/* A state of the register, or one that has keys. */
struct held_state {
	char code[STATE_MAX_LENGTH + 1];
	bool registered;
	bool suspended;      /* in S, or by a replacement that has not taken place */
	bool replaced;       /* a replacement of T stands in the chain of its K */
	struct holder *keys; /* NULL: none yet */
	uint8_t *keys_item;  /* the element of Proof.items that proves K in this snapshot, with its tag */
	size_t keys_item_size;
};

/* U of a state or of one of its units. */
struct held_users {
	struct holder *users;
	struct hash judged_by; /* value of the K under which valid was found */
	bool valid;            /* signed by a coordinator in the current K */
};

struct holders {
	struct holder *trust, *reg;
	size_t n_states;
	struct held_state *states; /* ascending by code */
	size_t n_users;
	struct held_users *users; /* ascending by name */
	struct pins *pins;
	struct answer_cache *cache; /* NULL: none */
};

/* Makes the holders of next, taking over from prev (NULL: none) what has not changed.  0 and next->extra set, or a
 * status. */
int holders_attach(struct ledger *ledger, struct store *store, size_t cache_bytes, const struct snapshot *prev,
		   struct snapshot *next);

static inline const struct holders *holders_of(const struct snapshot *snapshot)
{
	return snapshot->extra;
}

const struct held_state *holders_state(const struct holders *holders, const char *code); /* NULL: unknown */
const struct held_users *holders_users(const struct holders *holders, const char *name); /* NULL: none */

/* The parsed envelope of a T, S, K or U if that version is the one held; NULL otherwise. */
struct holder *holders_version(const struct holders *holders, const struct name *name, const struct hash *value);

/* Whether a replacement in T bars a state at a time: it counts later, or its K has not been published. */
bool replacement_bars(const struct envelope *trust, const char *state, bool done, int64_t time);

/* Whether the chain of its state's K up to seq holds the K that a replacement (NULL: none) names.  0 or a status. */
int replacement_done(struct store *store, const Poc__Replacement *replacement, uint64_t seq, bool *done);

#endif
