/* post: a notice or receipt that somebody hands in: read, and judged by everything that a snapshot tells.  Any thread:
 * the expensive part of a post (signature, body) is done here, on the loop that received it. */
#ifndef POCD_DIRECTORY_POST_H
#define POCD_DIRECTORY_POST_H

#include "pocd/directory/desk.h"
#include "proto/rules/receipt.h"

struct post {
	char state[STATE_MAX_LENGTH + 1]; /* of the session */
	struct notice *notice;            /* one of these two */
	struct receipt *receipt;
	size_t body_size;
	uint8_t *body;   /* owned; of a notice */
	bool service;    /* of a receipt, once judged: a program signed it */
	uint64_t judged; /* number of the publication under which it was last found good */
	bool waited;     /* for a publication, and long enough */
};

/* Reads a notice (with its body) or a receipt (without one).  Whoever hands it in must have signed it: pin is the
 * session's key.  0 and *out, or STATUS_DENIED, STATUS_DIRECTORY, STATUS_INVALID, STATUS_TOO_LARGE, STATUS_NO_MEMORY
 * with *why. */
struct post_in {
	const uint8_t *envelope, *body;
	size_t envelope_size, body_size;
};
int post_parse(const struct post_in *in, const char *state, const struct hash *pin, const struct hash *directory,
	       struct post **out, struct refusal *why);
void post_destroy(struct post *post); /* NULL allowed */

const struct notice_id *post_id(const struct post *post); /* of the notice that it is or is about */

/* The desk in whose name it is. */
const char *post_desk(const struct post *post, Poc__PocKind *kind);

/* Whether the body is the header's; nothing to say of a receipt. */
int post_check_body(const struct post *post, struct refusal *why);

/* Whether a snapshot lets it in at a time (seconds): signer and role in the current U, states not suspended; of a
 * notice also its age and its desks.  retention: seconds.  0 or a status with *why. */
int post_judge(struct post *post, const struct snapshot *snapshot, struct store_view *view, int64_t now,
	       int64_t retention, struct refusal *why);

/* Whether anything that post_judge looks at is about to change.  What is committed and not yet published the post must
 * wait for, since it is judged at its own publication. */
enum desk_motion post_moved(const struct post *post, const struct ledger *ledger);

#endif
