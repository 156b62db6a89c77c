/* own_users: changing who is listed in the users of one's own state, or of a unit of it, and what flags say of that. */
#ifndef CLIENTS_POC_OWN_USERS_H
#define CLIENTS_POC_OWN_USERS_H

#include "clients/cli/make.h"

enum { OWN_UNIT = 48, OWN_PLACE = 72 };

/* --not-after, if it is given: a day that is still to come.  0 or USAGE, printed. */
int own_users_not_after(struct cli *cli, int64_t *out);

/* --unit, else the unit that the configuration is of; empty: the state itself.  0 or USAGE, printed. */
int own_users_unit(struct cli *cli, char out[OWN_UNIT]);

/* The place of one's own whose users are meant: "FR", or "FR/bretagne".  0 or USAGE, printed. */
int own_users_place(struct cli *cli, char out[OWN_PLACE]);

/* A change of the users of a place that is being put together. */
struct own_users {
	struct cli *cli;
	struct poc *poc;
	char place[OWN_PLACE]; /* whose users */
	struct make_users users;
	size_t changes; /* 0: nothing is to be published */
};

/* One change, for one of the command's arguments: of c->users.users, counted in c->changes.  0 or a status, printed. */
typedef int (*own_users_one)(struct own_users *c, const char *argument);

/* Makes one change for each of the command's arguments, asks the question, signs with the coordinator's key and
 * publishes; a state is never left without a coordinator.  first: a unit that has no users yet gets its list.  0 or a
 * status, printed. */
int own_users_change(struct cli *cli, const char *place, bool first, own_users_one change, const char *question);

#endif
