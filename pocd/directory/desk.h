/* desk: one place's point of contact of one kind: who sits at it, and whether a notice can go there, under a snapshot.
 * Any thread. */
#ifndef POCD_DIRECTORY_DESK_H
#define POCD_DIRECTORY_DESK_H

#include "pocd/directory/policy.h"
#include "pocd/ledger/ledger.h"
#include "proto/rules/notice.h"

enum { PLACE_ROOM = 2 + 1 + UNIT_MAX_LENGTH + 1 }; /* for a place and its NUL; @directory is shorter */

/* Whether a session's key is that of a user whom the U of this very place lists for this kind of desk, at STATE time.
 * *facts are then those that policy asks for. */
bool desk_user(const struct snapshot *snapshot, const char *state, const struct hash *pin, const char *place,
	       Poc__PocKind kind, struct principal_facts *facts);

/* The U of a place if its signatures stand; NULL otherwise.  Lives as long as the snapshot. */
const Poc__Users *desk_list(const struct snapshot *snapshot, const struct name *users);

/* The algorithms that the snapshot's T allows, as notice_authorised wants them. */
unsigned desk_algorithms(const struct snapshot *snapshot);

bool desk_suspended(const struct snapshot *snapshot, const char *place);

/* Whether a notice may go to a desk now: its place has a record that is not withdrawn (not asked of the sender's own),
 * its state is not suspended, and the desk's keys in the core are current reading keys for its kind.  0, or
 * STATUS_NOT_FOUND, STATUS_SUSPENDED, STATUS_NO_READING_KEY, STATUS_STALE_KEY with *why naming the desk. */
int desk_check(const struct snapshot *snapshot, struct store_view *view, const Poc__Desk *desk, bool sender,
	       int64_t time, const char *field, struct refusal *why);

/* Whether anything that desk_check or desk_list looks at is about to change, the later the more: */
enum desk_motion {
	DESK_STILL,
	DESK_UNSERVED,     /* what the newest checkpoint says is not served yet */
	DESK_RECORD_MOVED, /* its R is committed, and in no checkpoint */
	DESK_MOVED         /* T, S, K or U is, by which signers are judged */
};
enum desk_motion desk_moved(const struct ledger *ledger, const char *place);

#endif
