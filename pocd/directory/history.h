/* history: judges every version that a ledger holds anew, from the first leaf on, by the rules that held for it. */
#ifndef POCD_DIRECTORY_HISTORY_H
#define POCD_DIRECTORY_HISTORY_H

#include "pocd/ledger/ledger.h"

struct history_report {
	uint64_t judged;          /* versions */
	uint64_t checkpoints;     /* whose log signature was checked */
	uint64_t states, records; /* as they stand at the end; withdrawn records count */
	uint64_t orphans;         /* current U and R that an emergency K left without a valid signature */
	unsigned quorum;          /* of auditors, as the last T asks */
	uint64_t erased_sections; /* that a version calls for and that are not stored */
};

/* The ledger's own check (ledger_check) must have passed.  0, or STATUS_DAMAGED, STATUS_UNVERIFIED with *why naming the
 * first leaf that is wrong. */
int history_check(struct store *store, struct history_report *report, struct refusal *why);

#endif
