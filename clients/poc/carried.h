/* carried: what a notice carries: the notice that it forwards, with its proofs, and what that forwards in turn. */
#ifndef CLIENTS_POC_CARRIED_H
#define CLIENTS_POC_CARRIED_H

#include "clients/libpoc/story.h"
#include "clients/poc/duty.h"

/* One that was forwarded, verified; borrowed, while it is seen. */
struct carried {
	const struct story *story;
	const struct verified_head *head;
	const Poc__NoticeContent *content; /* under the hash that its sender signed; NULL: it came without its words */
};

/* Shows each that a content carries, the outermost first, until see returns another status than 0.  That, or UNVERIFIED
 * where one does not verify, TOO_LARGE where it was passed on more often than is followed; not printed: duty->poc has
 * the words. */
int carried_walk(struct duty *duty, const Poc__NoticeContent *content,
		 int (*see)(void *ctx, const struct carried *carried), void *ctx);

/* Adds "forwarded" to the JSON of a notice, each in the one that carries it, {"verified": false} of one that does not
 * verify; why something is missing is told on stderr.  *number: as content_view.h has it. */
void carried_json(struct duty *duty, const Poc__NoticeContent *content, json_t *into, size_t *number);

/* The same for people, below the notice. */
void carried_print(struct duty *duty, const Poc__NoticeContent *content, size_t *number);

#endif
