/* place: what people type for a place: BR, BRA, Brazil (in any of the six UN languages), BR/unit. */
#ifndef CLIENTS_CLI_PLACE_H
#define CLIENTS_CLI_PLACE_H

#include "clients/cli/command.h"
#include "clients/cli/countries.h"
#include "proto/rules/names.h"

/* *out: the record's name.  NOT_FOUND or USAGE, printed. */
int place_read(struct cli *cli, const char *text, struct name *out);

/* *out: the country of a code or name; NULL where it is none.  A name of several is refused, with their codes: USAGE,
 * printed. */
int place_country(struct cli *cli, const char *text, const struct country **out);

/* Short English name of a state; its code if it has none. */
const char *place_state_name(const char *code);

/* "BR (Brazil)", "BR/unit (Brazil)", or "XZ" where the code has no name; a buffer until the next call. */
const char *place_title(const struct name *record);

/* "BR" or "BR/unit" of a record's name. */
const char *place_text(const struct name *record);

#endif
