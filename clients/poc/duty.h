/* duty: what the commands about notices share: our desks with their notices, our reading keys, finding a notice by the
 * start of its id, and how a notice looks. */
#ifndef CLIENTS_POC_DUTY_H
#define CLIENTS_POC_DUTY_H

#include "clients/cli/link.h"
#include "clients/libpoc/desk.h"
#include "clients/libpoc/outbox.h"
#include "clients/poc/parties.h"

enum { DUTY_DESKS = 3 };

struct duty {
	struct cli *cli;
	struct poc *poc;
	struct link_keys keys; /* reading keys; may be none */
	bool offline;          /* no server could be reached, or none was to be */
	bool told_own;         /* that our place has no record was said */
	size_t n_desks;
	struct desk *desks[DUTY_DESKS];
};

/* Opens, sends what waits in the outbox, and brings our desks up to date; without a server the local copy serves, which
 * is said.  0 or a status, printed. */
int duty_open(struct cli *cli, struct duty *out);
void duty_close(struct duty *duty); /* zeroed memory allowed */

/* The same without desks: for sending. */
int duty_open_sender(struct cli *cli, struct duty *out);

/* Posts what waits, but in a dry run; results are told on stderr, refusals even if quiet, and counted in *sent (NULL
 * allowed). */
int duty_flush(struct duty *duty, size_t *sent, size_t *waiting);

/* "EXERCISE EX1: notice I2FP-...", "acknowledged I2FP-...", "damaged file ...": what the outbox holds or held. */
enum { DUTY_WHAT = 200 };
void duty_what(const struct outbox_result *result, char out[DUTY_WHAT]);

/* A notice by any unique prefix of its id, of at least four characters.  Of several desks that know it, the one that
 * received it.  NOT_FOUND or USAGE, printed. */
int duty_find(struct duty *duty, const char *prefix, struct desk **desk, struct desk_notice **notice);

/* The same at each of our desks that received it, else at the one that sent it; with a kind (0: any), at that one only,
 * whatever side it has.  NOT_FOUND or USAGE, printed. */
struct duty_at {
	struct desk *desk;
	struct desk_notice *notice;
};
int duty_desks(struct duty *duty, const char *prefix, Poc__PocKind kind, struct duty_at out[DUTY_DESKS], size_t *n);

/* What --kind says of our own desks; 0: nothing.  0 or USAGE, printed. */
int duty_kind(struct cli *cli, Poc__PocKind *out);

/* Fetches and opens a notice's body.  0 and *inner (message_free); UNVERIFIED, DENIED (no key of ours opens it) or
 * UNREACHABLE, not printed: duty->poc has the words. */
int duty_open_notice(struct duty *duty, const struct desk *desk, const struct desk_notice *notice, Poc__Inner **inner);

/* The story of a notice, verified: what was said a moment ago is published within the interval, and is waited for, so
 * that one call has the proof.  0 and *out (story_destroy) or a status, not printed. */
int duty_story(struct duty *duty, const struct desk *desk, const struct desk_notice *notice, struct story **out);

/* Prints poc's last error. */
int duty_fail(struct duty *duty, int status);

/* {"code", "exit_status", "message"} of poc's last error: what a document that has an answer too holds beside it. */
json_t *duty_error_json(const struct duty *duty, int status);

/* ---- How a notice looks */

/* The line that marks an exercise, if the notice is of one; before and after everything else. */
void duty_exercise_line(const struct notice *notice);

/* "XB technical, XC technical" of the recipients; malloc, NULL when out of memory. */
char *duty_recipients(const struct notice *notice);

/* What stands before a subject: "EXERCISE spring-27: NOT VERIFIED OVERDUE CLOSED BY SENDER ".  desk: at which it is
 * looked at; NULL: at none. */
enum { DUTY_MARKS = 160 };
void duty_marks(const struct desk *desk, const struct desk_notice *notice, bool overdue, char out[DUTY_MARKS]);

/* id, thread, from, to, category ...: the members of poc notice list, as poc(1) has them; inner may be NULL. */
json_t *duty_notice_json(const struct duty *duty, const struct desk *desk, const struct desk_notice *notice,
			 const Poc__Inner *inner);

/* For parties.h: a notice as we see it. */
struct parties duty_parties(const struct duty *duty, const struct desk_notice *notice);

void duty_id(const struct notice_id *id, char out[NOTICE_ID_TEXT]);

/* Time or span from now, "24h" or "2026-11-24T12:00:00Z", of a flag that wants or promises something: in the future, at
 * most ten years ahead.  0, USAGE or INVALID, printed. */
int duty_deadline(const struct duty *duty, const char *flag, const char *text, int64_t *out);

/* That a receipt implies neither agreement nor responsibility. */
const char *duty_disclaimer(void);

#endif
