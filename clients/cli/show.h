/* show: a verified record before people's eyes: whom to call now, details, the verdict in words; and the same in JSON.
 */
#ifndef CLIENTS_CLI_SHOW_H
#define CLIENTS_CLI_SHOW_H

#include "clients/cli/command.h"
#include "clients/libpoc/client.h"
#include "clients/libpoc/draft.h"

struct show_filter {
	Poc__PocKind kind;   /* 0: all */
	const char *section; /* NULL: all */
};

/* How many points of contact (or sections of the record's own) a filter lets through. */
size_t show_count(const struct draft *draft, const struct show_filter *filter);

/* Prints "whom do I call now", then the details.  False: the filter left nothing to print. */
bool show_record(const struct draft *draft, const struct show_filter *filter, int64_t now);

/* The verdict in words, as of verdict->judged. */
void show_verdict(const struct poc_verdict *verdict);

/* place, record, open_now, remarks (what a reader of the text form is told of a POC's calls: a list of poc, code,
 * message), verdict. NULL when out of memory. */
json_t *show_json(const struct draft *draft, const struct poc_verdict *verdict);
json_t *show_verdict_json(const struct poc_verdict *verdict);

/* Whether the state's authority keys are those that were compared with it: a line, none where they never were; and the
 * same in JSON: status (never, verified, changed, unknown)
 * and verified_at. */
void show_keys(const struct poc_verdict *verdict);
json_t *show_keys_json(const struct poc_verdict *verdict);

/* Whether a POC is open: 1, 0, or -1 when it gives no hours. */
int show_open_now(const struct draft_poc *poc, int64_t now);

/* Of a suspended state: the published reason, or that the council is replacing its authority. */
const char *show_suspended_for(const struct poc_verdict *verdict);

/* "valid", "withdrawn" or "suspended", the same in every language. */
const char *show_standing(const struct poc_verdict *verdict);

/* The status that a verdict means: 0, WITHDRAWN, SUSPENDED, CLOCK, STALE. */
int show_status(const struct poc_verdict *verdict);

/* The channel to try first now; NULL: none that this reader may see. */
const Poc__Channel *show_first_call(const struct draft_poc *poc, int64_t now);

/* Why a POC has no channel to call now, with its web site if it has one: a buffer until the next call. */
const char *show_no_channel(const struct draft_poc *poc);

/* "OFFLINE, copy of 02:10Z, 5 h old": first line of what comes from the local copy.  now: by this machine's clock, of
 * which it says so where it is before the copy. */
void show_offline(int64_t copy_time, int64_t now);

/* "CLOCK: this machine's clock is 3 days behind ...": first line of an answer to a machine whose clock is wrong.
 * Nothing where the verdict knows of nothing wrong. */
void show_clock(const struct poc_verdict *verdict);

/* "TOO EARLY: --at is 3 days before this proof ...": first line of what is verified as of a time before its own. */
void show_too_early(const struct poc_verdict *verdict);

/* Whom a notice to a place's POC of a kind reaches: "XB technical  XB-CERT  closed, opens in 5 h 20; call +55 ..." as a
 * line, or its parts in JSON.  False, NULL: the record has no such POC. */
bool show_reach(const struct draft *draft, Poc__PocKind kind, int64_t now);
json_t *show_reach_json(const struct draft *draft, Poc__PocKind kind, int64_t now);

/* First name of a POC in Latin script, else its first, else its id. */
const char *show_poc_name(const struct draft_poc *poc);

#endif
