/* escalated: what was escalated by hand, in a notice of its own: of our place, in answer to it and under its category,
 * to a desk that had it not. */
#ifndef CLIENTS_POC_ESCALATED_H
#define CLIENTS_POC_ESCALATED_H

#include "clients/poc/duty.h"

/* What its subject begins with. */
#define ESCALATED_SUBJECT "Escalated:"

/* Whether a notice may be one by which that one was escalated, as far as its header tells. */
bool escalated_maybe(const Poc__Core *core, const struct notice *of);

/* Whether it is.  An update that was forwarded has the same header: those alone are opened. */
bool escalated_by(struct duty *duty, const struct desk *desk, const struct desk_notice *of,
		  const struct desk_notice *by);

#endif
