/* units: what a state lists as its units, beside the unit records that there are: a unit that is listed and absent, and
 * one that is there and not listed, are both told. */
#ifndef CLIENTS_POC_UNITS_H
#define CLIENTS_POC_UNITS_H

#include <jansson.h>

#include "clients/libpoc/client.h"

/* Whether the state of a unit lists it: 1, 0, or -1 when that is not known (no record of the state, or its list
 * erased). Looks the state's record up; client_why is that look-up's. */
int units_listed(struct poc *poc, enum client_mode mode, const struct name *unit);

/* A comparison under way of one state's list with records as a walk meets them. */
struct units;

/* Begins with a state's record.  NULL: out of memory, or nothing to compare (withdrawn, or its list erased or not sent;
 * a record without a list lists none). */
struct units *units_begin(const struct client_record *record);

/* A unit's record of that state; others and withdrawn ones do not count. */
void units_see(struct units *units, const struct client_record *record, json_t *remarks);

/* Tells the listed ones that were not seen, and frees; NULL allowed. */
void units_end(struct units *units, json_t *remarks);

/* Begin, see all of the state's units in the local copy, end.  False: there is no copy to look into. */
bool units_compare(struct poc *poc, const struct client_record *record, json_t *remarks);

/* Adds what is wrong with a unit to remarks: {"unit", "code": "unit-absent" or "unit-unlisted", "message"}. */
void units_remark(json_t *remarks, const char *state, const char *unit, bool listed);

#endif
