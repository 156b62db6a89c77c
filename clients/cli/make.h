/* make: the next version of a name: payloads built on the verified current one, signed, sent. */
#ifndef CLIENTS_CLI_MAKE_H
#define CLIENTS_CLI_MAKE_H

#include "clients/cli/link.h"
#include "clients/libpoc/draft.h"

/* Envelopes and sections to be sent as one group. */
struct make_group {
	size_t n, capacity;
	struct client_write *writes;
	struct make_owned *owned;
};
void make_group_finish(struct make_group *group);

/* Takes envelope, of that name, and sections (malloc'ed; NULL: none).  0 or NO_MEMORY, then they are freed. */
int make_group_add(struct make_group *group, const struct name *name, uint8_t *envelope, size_t size,
		   struct draft_sections *sections);

/* Asks the question, sends the group, waits until it is proven, prints what became of it ("stored", "proven"); on
 * QUEUED says so.  A dry run ends before the question, and says what would be published; an empty group has nothing to
 * do.  more: further members of the JSON document, NULL: none. */
int make_finish(struct cli *cli, struct poc *poc, const struct make_group *group, const char *question, json_t *more);

/* The current record of a place with its sections; *exists false when it was never registered.  Errors are printed. */
int make_current(struct cli *cli, struct poc *poc, const struct name *name, struct client_record *out, bool *exists);

/* Adds the next version of a record to the group: draft (NULL: the current content, confirmed anew). */
int make_record(struct cli *cli, struct poc *poc, const struct draft *draft, const struct name *name,
		const struct client_record *current, bool exists, const struct link_keys *keys,
		struct make_group *group);

/* Users: a copy of the current U that may be changed, and its signing.  current.envelope is NULL of a unit that has
 * none yet. */
struct make_users {
	struct name name;
	struct client_envelope current;
	Poc__Users *users; /* unpacked copy, owned */
};
/* place: a state, @directory, or STATE/unit.  first: a unit that has no U yet gets an empty one, else that is
 * NOT_FOUND, printed. */
int make_users_open(struct cli *cli, struct poc *poc, const char *place, bool first, struct make_users *out);
void make_users_close(struct make_users *users);
/* Signs `users` (entries sorted here) as the next version into the group. */
int make_users_sign(struct cli *cli, struct poc *poc, struct make_users *users, const struct link_keys *keys,
		    struct make_group *group);

#endif
