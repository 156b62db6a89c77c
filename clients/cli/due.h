/* due: what a state's coordinator has to renew soon: confirmations of records, users and reading keys whose time ends,
 * and the trust root.  Pure where it takes messages; the others read what has been verified. */
#ifndef CLIENTS_CLI_DUE_H
#define CLIENTS_CLI_DUE_H

#include <jansson.h>

#include "clients/libpoc/client.h"

enum due_kind { DUE_CONFIRMATION, DUE_USER, DUE_READING_KEY, DUE_TRUST };

/* One thing that ends.  Days are those of UTC, so that whatever ends on one day comes to a threshold together. */
struct due {
	enum due_kind kind;
	char place[NAME_MAX_LENGTH + 1]; /* whose record or users: BR, BR/unit, @directory */
	char what[80];                   /* the user's handle, or whose reading key; "" of records and T */
	int64_t at;                      /* seconds: when it ends; of a record: when it is stale */
	/* The threshold that has been reached, in days before the end: 30 and 0 of a record (90 and 120 days after it
	 * was confirmed, or by its own expiry), 30, 7, 1 of users and reading keys, 90, 30, 7, 1 of T.  DUE_ENDED: the
	 * end is over, and all has been said. */
	int days;
};

enum { DUE_ENDED = -1 };

struct due_list {
	size_t n, room;
	struct due *list; /* owned */
};
void due_finish(struct due_list *list); /* zeroed memory allowed */

/* Add what has come to a threshold by now (seconds).  0 or NO_MEMORY. */
int due_of_record(const char *place, const Poc__Record *record, int64_t now, struct due_list *out);
int due_of_users(const char *place, const Poc__Users *users, int64_t now, struct due_list *out);
int due_of_trust(const Poc__Trust *trust, int64_t now, struct due_list *out);

/* Of one state, @directory with T: its U and its record; those of its units as the local copy has them, if there is
 * one.  0, or a status of reading, not printed: *out holds what was found until then. */
int due_of_state(struct poc *poc, enum client_mode mode, const char *state, int64_t now, struct due_list *out);

/* Of all states that are in the register and not suspended, by the local copy: sorted by state (its units with it),
 * kind, day of the end, place. */
int due_of_all(struct poc *poc, int64_t now, struct due_list *out);

/* The time to judge by: this machine's, but never before a checkpoint that has been verified. */
int64_t due_now(struct poc *poc);

int64_t due_day(int64_t seconds); /* days since 1970 */

const char *due_kind_name(enum due_kind kind); /* "confirmation", "user", "reading-key", "trust-root" */

/* "BR/unit: to be confirmed by 2026-11-24T12:00:00Z", "BR: user duty-2 ends ...": malloc; NULL when out of memory. */
char *due_text(const struct due *due);

/* {"matter", "place", "what", "at", "days"} */
json_t *due_json(const struct due *due);

#endif
