/* reload: the daemon of this machine takes its configuration anew. */
#ifndef CLIENTS_POCADM_RELOAD_H
#define CLIENTS_POCADM_RELOAD_H

#include "clients/cli/command.h"
#include "pocd/running.h"

/* The daemon's configuration: given, else pocd.conf beside that of the staff, where pocadm init puts both, or one
 * folder further up.  0 or a status, printed. */
int reload_find_conf(struct cli *cli, const char *given, char out[CONF_PATH_MAX]);

/* Checks the configuration, then has the daemon that serves its data folder take it, and waits until it has.  Keys that
 * the caller may not read (STATUS_DENIED) are left to the daemon's own judgement, except in a dry run.  0 or a status,
 * printed: nothing was asked of the daemon where the check failed.  *running: the daemon, after it. */
int reload_daemon(struct cli *cli, const char *conf, struct running *running);

#endif
