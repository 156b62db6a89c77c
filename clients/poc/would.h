/* would: what a dry run says of a notice: to whom it would go, encrypted to how many keys, how large, until when. */
#ifndef CLIENTS_POC_WOULD_H
#define CLIENTS_POC_WOULD_H

#include "clients/poc/duty.h"

/* Of a notice that has been sealed and is not sent: in JSON mode *json gets the document's members, else lines on
 * stdout.  0 or a status, not printed.  would_end: that nothing was, after the last of them. */
int would_send(struct duty *duty, const struct client_notice *n, const struct client_sealed *sealed, json_t **json);
void would_end(const struct duty *duty);

#endif
