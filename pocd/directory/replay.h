/* replay: judges versions one after the other as a log holds them, by the rules that held for each: for the check of a
 * whole history, and for a follower, who takes nothing over that it has not judged. */
#ifndef POCD_DIRECTORY_REPLAY_H
#define POCD_DIRECTORY_REPLAY_H

#include "pocd/ledger/changes.h"
#include "pocd/ledger/ledger.h"
#include "proto/keys/toll.h"
#include "proto/rules/envelope.h"

/* Zeroed memory is an empty directory. */
struct replay {
	struct changes names;        /* by map key */
	struct envelope **envelopes; /* beside names.items: parsed T, S, K, U; NULL of others */
	size_t capacity;
	struct changes replaced; /* the council's replacements that stand in a chain of K, by hash of their payload */
	struct toll *toll;       /* counts the signatures that are verified; borrowed; NULL: nobody does */
};

/* Empties it; whoever counts goes on. */
void replay_finish(struct replay *replay);

/* Takes over, unjudged, what a ledger holds as current: where a follower goes on.  0 or a status with *why. */
int replay_load(struct replay *replay, struct store *store, const struct snapshot *tip, struct refusal *why);

/* The current T, S, K or U; NULL: none. */
struct envelope *replay_version(const struct replay *replay, enum name_kind kind, const char *state, const char *unit);

/* Judges the PUT at a leaf and makes it current.  *name and *seq say of what it was.  0, or a status with *why. */
int replay_put(struct replay *replay, const struct leaf *leaf, const char *text, const uint8_t *bytes, size_t size,
	       struct name *name, struct refusal *why);

/* A note is signed by at least one log key of the current T, and by none of them badly.  0 or STATUS_UNVERIFIED. */
int replay_signed(const struct replay *replay, const char *note, size_t size, struct refusal *why);

#endif
