/* verdict: from verified facts to the struct poc_verdict that people are told, and to the status of a call. */
#ifndef CLIENTS_LIBPOC_VERDICT_H
#define CLIENTS_LIBPOC_VERDICT_H

#include "clients/libpoc/poc.h"
#include "clients/libpoc/verify.h"

/* Seconds.  A checkpoint may lie so far ahead of a clock.  And a server publishes more often than LATE even when
 * nothing happens: one that shows nothing newer is in trouble, has auditors who do not sign, or hides what is new
 * (docs/protocol.md section 16). */
enum { CLOCK_TOLERANCE = 300, CHECKPOINT_LATE = 15 * 60 };

struct verdict_by {
	int64_t now;     /* seconds: judged at */
	int64_t max_age; /* seconds; 0: what T says */
	bool offline;
	bool chosen;         /* now was named by a person: it is not a clock, and means exactly what it says */
	int64_t clock_ahead; /* seconds, as in poc.h */
};

/* How a saved file is judged: at a time that a person named, or at its own (at 0). */
struct verdict_by verdict_saved(const struct verified_head *head, int64_t at, int64_t max_age);

/* The checkpoint's part. */
void verdict_head(const struct verified_head *head, const struct verdict_by *by, struct poc_verdict *out);

/* The whole.  0, STATUS_NOT_FOUND, STATUS_WITHDRAWN, STATUS_SUSPENDED, STATUS_CLOCK or STATUS_STALE, in words in *why.
 */
int verdict_record(const struct verified_head *head, const struct verified_record *record, const struct verdict_by *by,
		   struct poc_verdict *out, struct refusal *why);

#endif
