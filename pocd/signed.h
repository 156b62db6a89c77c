/* signed: the memory of the log key: the last head that it signed, in a small file that outlives process and database,
 * and the rule that follows from it: never a smaller head, never two heads of one size.
 *
 * Each call holds the file's lock (flock) while it runs, so that two signers with one file obey one memory. */
#ifndef POCD_SIGNED_H
#define POCD_SIGNED_H

#include "proto/proof/checkpoint.h"

struct signed_head {
	struct checkpoint head; /* size 0: nothing was ever signed */
	uint64_t state_ms;      /* time of the STATE leaf that it ends on */
};

struct signed_file;

/* Opens the file at path, or makes it (mode 0600) with nothing in it.  0; STATUS_IO, STATUS_DENIED (a link, or others
 * may write it), STATUS_DAMAGED (neither of its two copies is whole), STATUS_NO_MEMORY with *why. */
int signed_open(const char *path, struct signed_file **out, struct refusal *why);
void signed_close(struct signed_file *file); /* NULL allowed */

/* What the file holds.  0, or STATUS_IO, STATUS_DAMAGED with *why. */
int signed_last(struct signed_file *file, struct signed_head *out, struct refusal *why);

/* Makes `next` the last one, durable when this returns 0; the same head once more is good, and written again.
 * STATUS_CONFLICT with *why where signed_judge refuses it; STATUS_IO, STATUS_DAMAGED. */
int signed_advance(struct signed_file *file, const struct signed_head *next, struct refusal *why);

/* The rule: whether `next` may be signed after `last`.  0, or STATUS_CONFLICT with *why. */
int signed_judge(const struct signed_head *last, const struct checkpoint *next, struct refusal *why);

/* The same at a start, of a database whose newest checkpoint is `published` (size 0: none) and which holds `size`
 * leaves: it may be as far as the last signed head, or lack only that head's own STATE leaf, which was signed and not
 * stored.  0, or STATUS_CONFLICT with *why: it is older, or tells another story. */
int signed_judge_start(const struct signed_head *last, const struct checkpoint *published, uint64_t size,
		       struct refusal *why);

#endif
