/* rsit: the classes of the Reference Security Incident Taxonomy, of the version that is known here. */
#ifndef CLIENTS_CLI_RSIT_H
#define CLIENTS_CLI_RSIT_H

#include <stdbool.h>

#define RSIT_VERSION "1003"

/* Whether "class" or "class/value" is one of that version. */
bool rsit_known(const char *text);

#endif
