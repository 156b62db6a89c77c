/* notices_check: whether the tables of notices hold together: every notice, step, body and feed entry is there, once,
 * and is what the others say of it; and every backlog is the sum of what has not been fetched. */
#ifndef POCD_DIRECTORY_NOTICES_CHECK_H
#define POCD_DIRECTORY_NOTICES_CHECK_H

#include "pocd/store/store.h"

struct notices_report {
	uint64_t notices, steps, entries, erased_bodies;
};

/* The ledger's own check (ledger_check) must have passed: it looks at the events.  0, or STATUS_DAMAGED with *why
 * naming the first thing that is wrong. */
int notices_check(struct store *store, struct notices_report *report, struct refusal *why);

#endif
