/* zone: IANA time zones read from the system's database (RFC 8536, TZif), thread-safe and without touching TZ. */
#ifndef PROTO_RULES_ZONE_H
#define PROTO_RULES_ZONE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct zone;

/* Opens a zone by name (zone_valid).  NULL if the system does not know it or its file is damaged. */
struct zone *zone_open(const char *name);
/* Whether the system's database has the zone; true of every name where there is no database at all. */
bool zone_known(const char *name);
void zone_close(struct zone *zone); /* NULL allowed */

/* Seconds east of UTC at a moment (seconds since 1970). */
int32_t zone_offset(const struct zone *zone, int64_t at);

/* Local civil time at a moment; tm_gmtoff is set. */
void zone_local(const struct zone *zone, int64_t at, struct tm *out);

/* The moment of a local civil time: days since 1970-01-01 and minute of the day (0 to 1440).  In a gap the moment after
 * it, in an overlap the first of the two. */
int64_t zone_moment(const struct zone *zone, int64_t day, int minute);

/* Days since 1970-01-01 of a civil date. */
int64_t civil_days(int year, int month, int day);

#endif
