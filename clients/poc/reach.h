/* reach: whom a notice to a desk reaches now, by the record of its place. */
#ifndef CLIENTS_POC_REACH_H
#define CLIENTS_POC_REACH_H

#include "clients/poc/duty.h"

/* Tells how the desk's point of contact can be called now, or that the record of its place has none of that kind (and
 * who can be called instead), or that there is no record: a line on stdout, absence on stderr.  list: in JSON mode gets
 * the same with "in_record", else NULL.  absence_only: a desk that can be called is not told.  Of interest, never a
 * reason to fail. */
void reach_tell(struct duty *duty, const struct client_desk *desk, bool absence_only, json_t *list);

/* Whether a place has a record, without which nothing can be sent there: 0; NOT_FOUND or WITHDRAWN; any other status:
 * it is not known.  Not printed. */
int reach_record(struct duty *duty, const char *place);

#endif
