/* receipts: signing and posting what a desk says of a notice. */
#ifndef CLIENTS_POC_RECEIPTS_H
#define CLIENTS_POC_RECEIPTS_H

#include "clients/poc/duty.h"

struct receipts_saying {
	Poc__Step step;
	Poc__Reason reason;             /* of declined */
	int64_t answer_by;              /* of acknowledged, accepted; 0: not said */
	const struct notice_id *answer; /* of answered */
	const char *waits;              /* what it is not posted before, and why; NULL: nothing */
	int64_t not_before;             /* dated no earlier than this, whatever the clock says; 0: by the clock */
	const struct desk *anew; /* a statement of its own, with other bytes than any in this feed, in another second
				  * than what it takes the place of in the outbox; NULL: it may be one that was made
				  * before */
};

/* Keeps it in the outbox and posts it.  0 and *posted, QUEUED, or a refusal; duty->poc has the words. */
int receipts_post(struct duty *duty, const struct notice *notice, const struct client_desk *desk,
		  const struct receipts_saying *saying, struct client_posted *posted);

/* Acknowledges a reminder that the desk has received, unless a person of it has said something of it already.  0,
 * QUEUED, or a refusal, printed. */
int receipts_reminder(struct duty *duty, const struct desk *desk, const struct desk_notice *reminder);

#endif
