/* reminder: which notice a reminder reminds of. */
#ifndef CLIENTS_POC_REMINDER_H
#define CLIENTS_POC_REMINDER_H

#include "clients/poc/duty.h"

/* What the subject of a reminder begins with; by this and its header it is recognised. */
#define REMINDER_SUBJECT "Reminder:"

/* The notice that this one reminds of, of a reminder's reminder the first one, as the same desk has it: an update by
 * which its sender reminds those who received both.  It is opened for that, which is delivery.  NULL: it is no
 * reminder, cannot be read, or the desk was no party of what it reminds of. */
struct desk_notice *reminder_of(struct duty *duty, const struct desk *desk, const struct desk_notice *notice);

#endif
