/* since: what --since takes. */
#ifndef CLIENTS_POC_SINCE_H
#define CLIENTS_POC_SINCE_H

#include <stdint.h>

#include "clients/cli/command.h"

/* A span back from now, like 12h, or a time; without the flag: otherwise, a span.  *out: seconds.  0, or USAGE,
 * printed. */
int since_read(struct cli *cli, const char *otherwise, int64_t now, int64_t *out);

#endif
