/* parties: how far each desk of a notice is with it, and what becomes of its escalations, in text and JSON. */
#ifndef CLIENTS_POC_PARTIES_H
#define CLIENTS_POC_PARTIES_H

#include <jansson.h>

#include "clients/libpoc/desk.h"

/* A notice, and our desks: of what a desk has said only the sender's desk is told, and that desk itself. */
struct parties {
	const struct desk_notice *notice;
	struct desk *const *own;
	size_t n_own;
	int64_t now;
};

/* A line for each recipient and escalation. */
void parties_print(const struct parties *parties);

/* A line for each escalation that has not been released, indented: when it will be, or why it was not. */
void parties_print_escalations(const struct parties *parties);

/* An array of {"place", "kind", "step" ...} of recipients and escalations; of these only, if only_escalations.  A step
 * that we are not told is null. */
json_t *parties_json(const struct parties *parties, bool only_escalations);

#endif
