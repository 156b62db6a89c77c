/* sending: what the commands that send a notice share: how it begins, how it goes, and what is said of it. */
#ifndef CLIENTS_POC_SENDING_H
#define CLIENTS_POC_SENDING_H

#include "clients/poc/compose.h"

/* A new notice under a new id, of a new thread, with what is usual.  0 or a status, printed. */
int sending_begin(struct duty *duty, struct client_notice *n);

/* An update in the thread of a notice that desk has, with its urgency, label and exercise: to its sender, or where we
 * sent it ourselves, to its recipients.  0 or a status, printed. */
int sending_follow(struct duty *duty, const struct desk *desk, const struct desk_notice *of, struct client_notice *n);

/* Whether the own desk, which sent it, still wants something of it, so that others may be pressed: INVALID, printed, if
 * it has closed it. */
int sending_still_open(struct duty *duty, const struct desk_notice *of);

/* "Re: ..." of a notice, cut where there is no room for all of it, or with its id where its subject cannot be read. */
enum { SENDING_SUBJECT = 900 };
void sending_subject(struct duty *duty, const struct desk *desk, const struct desk_notice *of, const char *before,
		     char out[SENDING_SUBJECT]);

/* Sends one, or in a dry run says what would be sent.  0, QUEUED or a refusal, printed; *json: what came of it, in JSON
 * mode; the caller's. */
int sending_one(struct duty *duty, struct client_notice *n, json_t **json);

/* Whether every place that it goes to, now or later, has a record, as far as that is known: NOT_FOUND or WITHDRAWN,
 * printed, before anything is made of it. */
int sending_check(struct duty *duty, const struct client_notice *n);

/* The parts of it, for one of several: not printed, duty->poc has the words.  sending_warn: whose authority keys have
 * changed since somebody here compared them, and that our own place has no record; before the first of them goes.
 * sending_try: the dry run, by would_send; would_end is the caller's.  sending_post: 0, QUEUED (then *stored_ms is 0,
 * and where no server was reached duty is offline from now on) or a refusal. */
void sending_warn(struct duty *duty, const struct client_notice *n);
int sending_try(struct duty *duty, const struct client_notice *n, json_t **json);
int sending_post(struct duty *duty, const struct client_notice *n, int64_t *stored_ms);
json_t *sending_json(struct duty *duty, const struct client_notice *n, int64_t stored_ms);

/* "code", "message" and "retry" of why one waits, as the list of what waits has it; nulls of one that is stored.
 * retry_ms: of the refusal; 1 and 0, nobody said when. */
void sending_put_why(struct duty *duty, const struct notice_id *id, bool waits, uint32_t retry_ms, json_t *json);

/* Of several: the first refusal, else QUEUED if one is. */
int sending_worst(int worst, int status);

/* The end of a command that sent one: its document, with the error where something failed after that, and what it
 * held. */
void sending_finish(struct duty *duty, struct compose *compose, json_t *json, const char *schema, int status);

#endif
