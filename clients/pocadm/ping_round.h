/* ping_round: a round of communications checks, as the notices that the directory's desk has sent tell it.
 *
 * A round is numbered by the second in which it began, and every notice of it carries that number in the last 8 bytes
 * of its id, after 8 random ones.  So nothing else has to be kept: whoever reads the desk's feed knows every round,
 * what was asked already, and what was closed. */
#ifndef CLIENTS_POCADM_PING_ROUND_H
#define CLIENTS_POCADM_PING_ROUND_H

#include "clients/cli/link.h"
#include "clients/libpoc/desk.h"

struct ping_desk {
	struct cli *cli;
	struct poc *poc;
	struct link_keys keys; /* reading keys; may be none */
	struct desk *desk;     /* @directory's */
	char handle[UNIT_MAX_LENGTH + 1];
};

/* Opens the desk of @directory, sends what an interrupted command left in the outbox, unless in a dry run, and reads
 * the feed.  0 or a status, printed. */
int ping_desk_open(struct cli *cli, struct ping_desk *out);
void ping_desk_close(struct ping_desk *desk); /* zeroed memory allowed */

/* A round's number as people see it: its time. */
bool ping_round_parse(const char *text, int64_t *round);

/* The number in a notice's id, and a new id of a round: 0 or STATUS_FAILED. */
int64_t ping_round_of(const struct notice_id *id);
int ping_round_id(int64_t round, struct notice_id *out);

/* Whether a notice of the desk asks a point of contact in this round (0: in any). */
bool ping_asks(const struct desk_notice *notice, int64_t round);

/* The notice that asks (ask) or tells a desk in a round; NULL: none. */
const struct desk_notice *ping_find(const struct ping_desk *desk, int64_t round, bool ask, const char *place,
				    Poc__PocKind kind);

/* The newest round, 0: none; and when a round's answers are wanted by, 0: there is no such round. */
int64_t ping_newest(const struct ping_desk *desk);
int64_t ping_deadline(const struct ping_desk *desk, int64_t round);

/* Whether our desk has closed it. */
bool ping_closed(const struct ping_desk *desk, const struct desk_notice *notice);

/* Sends a notice of a round to one desk.  0 and *id; QUEUED (it waits in the outbox), or why it cannot be sent, not
 * printed. */
int ping_send(struct ping_desk *desk, int64_t round, int64_t deadline, Poc__Category category, const char *place,
	      Poc__PocKind kind, const char *subject, const char *text, struct notice_id *id);

/* The report of those who are not of the directory's staff; round 0: the newest. */
int ping_report_public(struct cli *cli, int64_t round);

/* Closes a notice of ours.  0, QUEUED, or a refusal, not printed. */
int ping_close(struct ping_desk *desk, const struct desk_notice *notice);

#endif
