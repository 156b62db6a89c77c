/* copy: the verified local copy: one complete Proof file in the state folder, replaced atomically, for work without a
 * network.  Its name carries the reader's pin, for what it holds depends on what that reader may see. */
#ifndef CLIENTS_LIBPOC_COPY_H
#define CLIENTS_LIBPOC_COPY_H

#include "clients/libpoc/client.h"
#include "clients/libpoc/connection.h"

/* Loads and verifies the copy (head and completeness) into poc->copy, once.  UNREACHABLE when there is none, UNVERIFIED
 * when it does not verify. */
int copy_load(struct poc *poc);

/* Of a failed reading of the copy: UNVERIFIED is told as what it is here, a damaged file: which, and what mends it. Any
 * other status, 0 as well, is passed on. */
int copy_judge(struct poc *poc, int status);

/* When the copy was last brought up to date: seconds, by the local clock; 0: never. */
int64_t copy_synced(const struct poc *poc);

/* As client_lookup, from the copy. */
int copy_lookup(struct poc *poc, const struct name *name, struct client_record *out);

/* Calls each for every record of a head with self-contained proof; sections up to reader must be there.  at: judged at
 * this time (0: the proof's own). */
int copy_walk_head(struct poc *poc, struct verified_head *head, int64_t at, enum reader_class reader,
		   int (*each)(void *ctx, const struct client_record *record), void *ctx);

#endif
