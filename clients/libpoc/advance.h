/* advance: moving from the held head to a server's, never back (protocol.md section 14, steps 4 and 5). */
#ifndef CLIENTS_LIBPOC_ADVANCE_H
#define CLIENTS_LIBPOC_ADVANCE_H

#include "clients/libpoc/connection.h"

/* Before a head is asked for: held state that could not be read again is tried anew.  0, DAMAGED, IO, NO_MEMORY. */
int advance_begin(struct poc *poc);

/* A GetHead request from what is held.  The bytes that it points to live in poc->held. */
void advance_request(const struct poc *poc, Poc__GetHead *request);

/* Adds versions of T (none, perhaps) that come before the head does: those after what is held and was added before.  0,
 * NO_MEMORY, or TOO_LARGE: more than can be held. */
int advance_trust(struct poc *poc, const Poc__Item *page);
void advance_drop(struct poc *poc); /* forgets them */

/* Verifies a HeadAnswer against what is held, stores the new head and makes it poc->head.  STATUS_CONFLICT: another
 * process has moved what is held; it was loaded again, ask anew.  STATUS_BEHIND: the server's head is older;
 * UNVERIFIED: it contradicts; CLOCK: it lies in the future. */
int advance_head(struct poc *poc, const Poc__HeadAnswer *answer);

/* Notes a K version as seen, durably.  UNVERIFIED if it went back. */
int advance_note_key(struct poc *poc, const char *state, uint64_t seq, const struct hash *value);

/* What to make of a failed write to the state folder: IO is 0, with poc->unheld set, where the handle only reads. */
int advance_unheld(struct poc *poc, int status);

#endif
