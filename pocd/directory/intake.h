/* intake: what a follower takes from the server that it follows: every leaf judged by the rules that the server itself
 * goes by, the log and the map recomputed, checkpoints signed by the log's key.  Nothing of a page that fails is kept.
 * One thread: the ledger's writer. */
#ifndef POCD_DIRECTORY_INTAKE_H
#define POCD_DIRECTORY_INTAKE_H

#include "pocd/ledger/ledger.h"
#include "proto/keys/toll.h"
#include "proto/wire/poc.pb-c.h"

struct intake;

/* Over a ledger without log keys; goes on from what it holds.  directory: the id, against which T(1) is judged.  Both
 * ledger and store are borrowed. */
int intake_create(struct ledger *ledger, struct store *store, const struct hash *directory, struct intake **out,
		  struct refusal *why);
void intake_destroy(struct intake *intake); /* NULL allowed */

/* Leaves that have been taken, those included that no checkpoint covers yet and that are not durable. */
uint64_t intake_size(const struct intake *intake);

/* What has been done since it was created, whether it was kept or not. */
struct intake_work {
	uint64_t leaves;  /* judged */
	struct toll toll; /* the signatures of these leaves */
};
struct intake_work intake_work(const struct intake *intake);

/* Judges and takes the leaves of a page.  Where they come to the newest checkpoint, or to one with enough leaves before
 * it, all up to it is made durable (fsynced) before it returns.  *moved: there is another tip, or the tip has more
 * signatures.  0, or a status with *why; then what was not durable is gone, and the next page must begin where the tip
 * ends. */
int intake_page(struct intake *intake, const Poc__FollowAnswer *page, bool *moved, struct refusal *why);

/* Makes durable what has been taken, if it ends with a checkpoint; for when no more comes.  *moved as above; it is left
 * alone where there is nothing. */
int intake_settle(struct intake *intake, bool *moved, struct refusal *why);

/* Name of the auditor in the tip's T that has this key; NULL: none. */
const char *intake_auditor(const struct intake *intake, const struct public_key *key);

#endif
