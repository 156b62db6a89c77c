/* replacing: states whose authority the council is replacing: suspended by T, until the new authority's K is published.
 */
#ifndef CLIENTS_CLI_REPLACING_H
#define CLIENTS_CLI_REPLACING_H

#include "clients/cli/command.h"
#include "clients/libpoc/client.h"

/* From when on the council's new K of a state counts, seconds; 0: no replacement of it is under way by this T, or that
 * cannot be told.  Looks the state up where T names it, else asks nobody. */
int64_t replacing_from(struct poc *poc, enum client_mode mode, const Poc__Trust *trust, const char *state);

/* How many states are suspended by a replacement alone, and not in S; 0 where that cannot be told. */
size_t replacing_count(struct poc *poc, enum client_mode mode);

/* Whether the council is replacing a state's authority, by the T known now; asks as replacing_from does. */
bool replacing_state(struct poc *poc, enum client_mode mode, const char *state);

/* What is to be told of a suspended state: "BR is SUSPENDED: stolen keys", as a note; in the document suspended (true
 * or false) and suspended_for, its reason or null.  By the register known now; suspended: the state is, in S or by T.
 * document: NULL, or where the JSON stands. */
void replacing_tell(struct cli *cli, const struct poc *poc, const char *state, bool suspended, json_t *document);

#endif
