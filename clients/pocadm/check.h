/* check: what a full check has found, for whoever made one. */
#ifndef CLIENTS_POCADM_CHECK_H
#define CLIENTS_POCADM_CHECK_H

#include "clients/cli/command.h"
#include "pocd/offline.h"

/* Prints it, under the command's own schema in JSON. */
void check_print(struct cli *cli, const struct offline_report *report);

#endif
