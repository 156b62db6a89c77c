/* link: opens libpoc as the configuration says. */
#ifndef CLIENTS_CLI_LINK_H
#define CLIENTS_CLI_LINK_H

#include "clients/cli/command.h"
#include "clients/libpoc/client.h"

/* Opens; connects to nobody.  with_user: a server is to be asked, so the user's key must be configured (DENIED if not),
 * and --offline makes no sense (USAGE).  On failure the error is printed and *out is NULL. */
int link_open(struct cli *cli, bool with_user, struct poc **out);

/* Closes (NULL allowed).  Before that, where a server was reached: brings the local copy up to date in passing, at most
 * hourly, and warns of the coming end of the user's entry. */
void link_close(struct cli *cli, struct poc *poc);

/* Connects for a command that only shows what it reads: a clock that is wrong does not hinder it, but is told first, as
 * lookup does it.  0 or a status, printed.  link_tell_clock at its end: the clock in document (NULL: none), and CLOCK
 * in place of a status of 0 where that clock cannot be right. */
int link_connect_reader(struct cli *cli, struct poc *poc);
int link_tell_clock(struct cli *cli, const struct poc *poc, int status, json_t *document);

/* Prints poc's last error.  Returns code. */
int link_fail(struct cli *cli, const struct poc *poc, int code);

/* Where client_unheld says something: a line about it, beside whatever else was said, and in document (NULL allowed) as
 * its error if it has none.  Called when all else is printed but the document.  Returns status, or IO in place of 0. */
int link_tell_unheld(struct cli *cli, const struct poc *poc, int status, json_t *document);

/* Opens the keys of a section of the configuration, e.g. "coordinator".  n of them in *out (link_keys_close); DENIED,
 * printed, when the section names none. */
struct link_keys {
	size_t n;
	struct keystore_key *keys[CONF_KEYS_MAX];
};
int link_keys_open(struct cli *cli, const struct settings_paths *paths, const char *section, struct link_keys *out);
void link_keys_close(struct link_keys *keys);

#endif
