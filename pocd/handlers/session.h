/* session: one client's dialogue: Hello first, then requests; who it is comes from the U of the state that it names.
 *
 * Everything happens on the client's loop, except post (any thread). */
#ifndef POCD_HANDLERS_SESSION_H
#define POCD_HANDLERS_SESSION_H

#include <sys/uio.h>

#include "pocd/directory/desk.h"
#include "pocd/directory/directory.h"

/* What a session does to its connection, which it knows as `peer`. */
struct session_ops {
	void (*send)(void *peer, const struct iovec *parts, int n); /* one frame */
	void (*finish)(void *peer);                                 /* close when everything is sent */
	void (*hold)(void *peer, int change); /* +1, -1: answers that come later; keeps peer's memory */
	int (*post)(void *peer, void (*run)(void *arg), void *arg); /* any thread: run on the peer's loop.  0 or -1 */
	bool (*open)(void *peer);
	void (*watch)(void *peer);       /* from now on session_grown and session_published are called for it */
	const char *(*name)(void *peer); /* for the log */
};

enum { SESSION_WATCHES_MAX = 16 };

/* A desk whose feed a session watches. */
struct watched {
	char place[PLACE_ROOM];
	Poc__PocKind kind;
	uint64_t cursor; /* of the newest entry that the client was told of */
};

struct session {
	struct directory *directory; /* borrowed */
	const struct session_ops *ops;
	void *peer;
	struct hash pin;
	bool greeted;
	unsigned writes; /* under way */
	struct principal principal;
	size_t n_watched;
	struct watched watched[SESSION_WATCHES_MAX];
	bool follows;         /* the log: told of its newest checkpoint */
	struct tip_told told; /* by the last answer or Event */
};

void session_init(struct session *session, struct directory *directory, const struct session_ops *ops, void *peer,
		  const struct hash *pin);

/* Handles one frame: exactly one answer, now or later. */
void session_frame(struct session *session, const uint8_t *message, size_t size);

/* Answers a frame that is none; the caller closes after it. */
void session_malformed(struct session *session, const char *why);

/* Whether the session is that of a listed user, as far as is known. */
bool session_listed(const struct session *session);

/* A desk's feed grew to a cursor: sends an Event if the session watches it, still may, and was not told of it yet. */
void session_grown(struct session *session, const char *place, Poc__PocKind kind, uint64_t cursor);

/* There may be another checkpoint, or more signatures on it: sends an Event if the session follows the log, still may,
 * and was not told of it yet. */
void session_published(struct session *session);

/* Looks the principal up again under the current snapshot.  False: it is not who it was any more, the connection must
 * end. */
bool session_recheck(struct session *session);

#endif
