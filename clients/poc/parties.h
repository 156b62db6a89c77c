/* parties: how far each desk of a notice is with it, and what becomes of its escalations, in text and JSON. */
#ifndef CLIENTS_POC_PARTIES_H
#define CLIENTS_POC_PARTIES_H

#include <jansson.h>

#include "clients/libpoc/desk.h"

/* A line for each recipient and escalation. */
void parties_print(const struct desk_notice *notice, int64_t now);

/* A line for each escalation that has not been released, indented: when it will be, or why it was not. */
void parties_print_escalations(const struct desk_notice *notice, int64_t now);

/* An array of {"place", "kind", "step" ...} of recipients and escalations; of these only, if only_escalations. */
json_t *parties_json(const struct desk_notice *notice, int64_t now, bool only_escalations);

#endif
