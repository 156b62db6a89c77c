/* notice: the calls about notices that a server answers: posting, a desk's feed, bodies, stories, watching.
 *
 * A desk is a place's point of contact of one kind, shared by its users.  What post and feed say is the server's word;
 * a body is checked against its header, a story is verified whole. */
#ifndef CLIENTS_LIBPOC_NOTICE_H
#define CLIENTS_LIBPOC_NOTICE_H

#include "clients/libpoc/client.h"
#include "clients/libpoc/story.h"

struct client_desk {
	char place[NAME_MAX_LENGTH + 1]; /* BR, BR/unit or @directory */
	Poc__PocKind kind;
};

struct client_posted {
	struct notice_id id;
	int64_t stored_ms; /* the server's word */
	bool repeated;     /* had been stored before */
};

/* Posts a notice, or a receipt (no body).  The server's refusals come back as they are, e.g. STALE_KEY. */
int client_post(struct poc *poc, const uint8_t *envelope, size_t size, const uint8_t *body, size_t body_size,
		struct client_posted *out);

struct client_entry {
	uint64_t cursor;
	int64_t stored_ms;
	bool fact;
	const uint8_t *item;
	size_t size;
};

/* Calls each for the entries of a desk's feed after a cursor, oldest first, until the newest; stops at the first
 * non-zero, which it returns. */
int client_feed(struct poc *poc, const struct client_desk *desk, uint64_t after,
		int (*each)(void *ctx, const struct client_entry *entry), void *ctx);

/* A notice's body, checked against its header: malloc.  To a recipient's user this is delivery. */
int client_body(struct poc *poc, const struct client_desk *desk, const struct notice *notice, uint8_t **body,
		size_t *size);

/* What is known of a notice, verified under the session's head.  0 and *out (story_destroy). */
int client_story(struct poc *poc, const struct client_desk *desk, const struct notice_id *id, struct story **out);

/* The same of one receipt or notice (envelope bytes): the story's other steps are left out, so that a forged one among
 * them does not stand in its way. */
int client_story_of(struct poc *poc, const struct client_desk *desk, const struct notice_id *id, const uint8_t *item,
		    size_t size, struct story **out);

/* Asks for events of a desk on this connection, and waits for one: *seen is false when none came in time. */
int client_watch(struct poc *poc, const struct client_desk *desk);
int client_wait_event(struct poc *poc, int64_t milliseconds, bool *seen);

/* Verifies a saved story, offline, against the pinned directory id.  0, *out and *head (verified_head_unref). */
int client_verify_story(struct poc *poc, const uint8_t *bytes, size_t size, struct story **out,
			struct verified_head **head);

/* Which connection the session has: another number after a call had to make a new one, which knows of no Watch. */
unsigned client_connection(const struct poc *poc);

/* Ends the connection, so that the next call makes a new one. */
void client_disconnect(struct poc *poc);

#endif
