/* change: judges a group of writes against the current values, those of the same commit included, and stages it, all or
 * nothing.  A bundle is judged by its end: T before S before K before U before R, whatever order it came in.  Writer
 * thread only. */
#ifndef POCD_DIRECTORY_CHANGE_H
#define POCD_DIRECTORY_CHANGE_H

#include "pocd/directory/auditors.h"
#include "pocd/directory/quota.h"
#include "pocd/directory/signers.h"
#include "pocd/directory/write.h"
#include "pocd/ledger/ledger.h"

enum { CHANGE_WRITES_MAX = 64 };

struct changer;

struct changer_options {
	struct ledger *ledger; /* borrowed, as all of them */
	struct store *store;
	struct signers *signers;
	struct auditors *auditors; /* NULL: a T may ask for auditors of whom none is at work */
	struct quota *quota;       /* of what each state may change in its users and records */
	uint64_t (*now_ms)(void *ctx);
	void *now_ctx;
};

struct changer *changer_create(const struct changer_options *options); /* NULL when out of memory */
void changer_destroy(struct changer *changer);                         /* NULL allowed */

/* A group on its way. */
struct change_group;

/* Parses the writes (borrowed until the group is destroyed).  0 and *out, or a status with *why (field begins with
 * writes[i]) and *write. */
int change_parse(struct changer *changer, const struct change_write *writes, size_t n, struct change_group **out,
		 size_t *write, struct refusal *why);
void change_group_destroy(struct change_group *group); /* NULL allowed */

/* Whether a group replaces an S, K or U by which something is judged that is signed and not published: it must come
 * after that publication.  (A T must not: it may be what publishing needs.) */
bool change_must_wait(const struct changer *changer, const struct change_group *group);

/* Whether judging the group walks over stored names, so that whatever is staged must be committed before. */
bool change_needs_commit(const struct change_group *group);

/* Judges and stages.  0: results (n of them) are filled.  Otherwise outcome says why; nothing of the group is staged,
 * unless *lost is set: then the ledger has given up all that was staged. */
int change_apply(struct changer *changer, struct change_group *group, struct change_result *results,
		 struct change_outcome *outcome, struct refusal *why, bool *lost);

/* Forgets parsed versions that the published snapshot holds as well. */
void changer_published(struct changer *changer);

#endif
