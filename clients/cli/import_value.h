/* import_value: single values of team lists, as people write them, brought into the form that records have. */
#ifndef CLIENTS_CLI_IMPORT_VALUE_H
#define CLIENTS_CLI_IMPORT_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "clients/cli/countries.h"

enum { VALUE_MAX = 512 };

/* Takes the next of several values of a cell, parted by line breaks or by ". - "; blanks around it are dropped.  False
 * at the end.  Values that do not fit into out are cut. */
bool value_next(const char **cell, char *out, size_t out_size);

/* E.164 of a telephone number: with plus or 00, or a national number of the country (NULL: unknown) with the trunk
 * prefix 0 or, in North America, 1.  False if it is no number. */
bool value_phone(const char *text, const struct country *country, char out[20]);

/* An ASCII mailbox, its domain in lower case; "mailto:" is dropped. */
bool value_mailbox(const char *text, char out[VALUE_MAX]);

/* A URL; a missing scheme is taken as http. */
bool value_url(const char *text, char out[VALUE_MAX]);

/* Host of a URL in lower case without "www."; with the first step of the path where many share the host. */
void value_host(const char *url, char out[VALUE_MAX]);

/* True if both URLs mean the same place: without regard to scheme, "www." and a last slash. */
bool value_same_url(const char *a, const char *b);

/* Fingerprint or key id as upper-case hexadecimal of 8, 16, 40 or 64 digits. */
bool value_pgp(const char *text, char out[65]);

/* YYYY, YYYY-MM or YYYY-MM-DD of such a date, of the start of an RFC 3339 time or of seconds since 1970. */
bool value_date(const char *text, char out[11]);

/* One line of at most max code points without control characters, blanks collapsed; a longer one is cut and ends in
 * "…". malloc; NULL if nothing is left, or when out of memory. */
char *value_text(const char *text, size_t max);

/* [a-z0-9-]{1,40} from a text, no hyphen at either end; "x" if it has no Latin letter or digit. */
void value_slug(const char *text, char out[41]);

/* BCP 47 tag of a language, given as such or by a three-letter code (ISO 639-2 B or T). */
bool value_language(const char *text, char out[36]);

/* Opening hours (JSON form of Hours) of a text like "08:00 to 17:00 Monday to Friday. - Timezone GMT: +01" or "24/7",
 * in the country's time zone, if that has the offset that the text states.  *exact tells whether the text says no more
 * than that.  NULL if it is not that simple. */
json_t *value_hours(const char *text, const struct country *country, bool *exact);

#endif
