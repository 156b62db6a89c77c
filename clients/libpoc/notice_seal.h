/* notice_seal: a notice before it is posted: its desks' reading keys looked up and proven, its content encrypted to
 * them, its header signed with the user's key. */
#ifndef CLIENTS_LIBPOC_NOTICE_SEAL_H
#define CLIENTS_LIBPOC_NOTICE_SEAL_H

#include "clients/libpoc/notice.h"

/* Bytes of a NoticeContent that forwards nothing: what the largest body has room for, less 100 KiB for the proofs,
 * twice or more, with which it may be passed on. */
enum { CLIENT_CONTENT_MAX = 900 * 1024 };

struct client_escalation {
	struct client_desk to;
	int64_t at;
};

struct client_notice {
	struct client_desk from;
	size_t n_to;
	struct client_desk to[NOTICE_DESKS_MAX]; /* in any order */
	size_t n_escalations;
	struct client_escalation escalations[NOTICE_ESCALATIONS_MAX]; /* ascending by at */
	struct notice_id id, thread, answers;
	bool has_answers;
	Poc__Category category;
	Poc__Urgency urgency;
	Poc__NoticeTlp tlp;
	const char *exercise; /* "": none */
	int64_t created, reply_by;
	const Poc__NoticeContent *content; /* borrowed */
};

struct client_sealed {
	uint8_t *header, *body; /* owned */
	size_t header_size, body_size;
};
void client_sealed_finish(struct client_sealed *sealed); /* zeroed memory allowed */

/* Encrypts to all current reading keys of every desk, the sender's own included, as U has them under one verified head
 * (CLIENT_OFFLINE: the local copy's), and signs.  NO_READING_KEY names the desk that has none; NOT_FOUND a place that
 * is not in the directory; SUSPENDED; TOO_LARGE. */
int client_seal(struct poc *poc, enum client_mode mode, const struct client_notice *notice, struct client_sealed *out);

/* Ids of the reading keys that client_seal would encrypt to for a desk now: at most NOTICE_DESK_KEYS_MAX.  Refusals as
 * there. */
int client_desk_keys(struct poc *poc, enum client_mode mode, const struct client_desk *desk, struct hash *out,
		     size_t *n);

/* Our handle in U/<our state>, verified: copied into out (UNIT_MAX_LENGTH + 1).  DENIED if we are not listed. */
int client_own_handle(struct poc *poc, enum client_mode mode, char *out);

/* Our own desks: those of the kinds that our entry serves.  out holds 3. */
int client_own_desks(struct poc *poc, enum client_mode mode, struct client_desk *out, size_t *n);

/* U of a place, verified; *out: envelope_destroy.  NOT_FOUND: there is none.  *suspended (NULL allowed): its state is.
 */
int client_users(struct poc *poc, enum client_mode mode, const char *place, struct envelope **out, bool *suspended);

#endif
