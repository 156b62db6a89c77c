/* indicator: whether an indicator can be what its type says. */
#ifndef CLIENTS_CLI_INDICATOR_H
#define CLIENTS_CLI_INDICATOR_H

#include <stdbool.h>

/* False: it is no ip, ipv4 or ipv6 (one address, or a network with its prefix), md5, sha1 or sha256.  Of any other
 * type, for there is no list of them, nothing is known. */
bool indicator_fits(const char *type, const char *value);

#endif
