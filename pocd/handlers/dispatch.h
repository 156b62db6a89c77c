/* dispatch: the table of requests: handler, permission, ceiling; and the helpers that handlers answer with. */
#ifndef POCD_HANDLERS_DISPATCH_H
#define POCD_HANDLERS_DISPATCH_H

#include "pocd/handlers/session.h"
#include "proto/wire/poc.pb-c.h"

enum { DISPATCH_WRITES_MAX = 64 /* submits and posts under way on one connection */ };

/* Fields of Response. */
enum response_field {
	RESPONSE_ERROR = 2,
	RESPONSE_HELLO = 3,
	RESPONSE_HEAD = 4,
	RESPONSE_PROOF = 5,
	RESPONSE_SUBMIT = 6,
	RESPONSE_CHANGES = 7,
	RESPONSE_STATS = 8,
	RESPONSE_POST = 9,
	RESPONSE_FEED = 10,
	RESPONSE_STORY = 11,
	RESPONSE_WATCH = 12,
	RESPONSE_FOLLOW = 13,
	RESPONSE_COSIGN = 14,
	RESPONSE_READERS = 15
};

/* Sends Response{id, field: bytes}. */
void dispatch_answer(struct session *session, uint32_t id, enum response_field field, const void *bytes, size_t size);

/* Packs and sends a message as Response{id, field: message}. */
void dispatch_message(struct session *session, uint32_t id, enum response_field field, const void *message);

/* Sends an Error. */
void dispatch_refuse(struct session *session, uint32_t id, const struct refusal *why);

/* Packs and sends an Event. */
void dispatch_event(struct session *session, const Poc__Event *event);

/* Whether the principal may do it; if not, *why is filled. */
bool dispatch_allowed(const struct session *session, enum operation operation, const char *state, struct refusal *why);

/* Handlers, one file a group: lookup.c, proof.c, change.c, notice.c, follow.c, admin.c.  Return 0 when they have
 * answered or will, else a status with *why, which dispatch sends. */
int handle_hello(struct session *session, uint32_t id, const Poc__Hello *request, struct refusal *why);
int handle_get_head(struct session *session, uint32_t id, const Poc__GetHead *request, struct refusal *why);
int handle_lookup(struct session *session, uint32_t id, const Poc__Lookup *request, struct refusal *why);
int handle_get_envelopes(struct session *session, uint32_t id, const Poc__GetEnvelopes *request, struct refusal *why);
int handle_changes(struct session *session, uint32_t id, const Poc__Changes *request, struct refusal *why);
int handle_submit(struct session *session, uint32_t id, const Poc__Submit *request, struct refusal *why);
int handle_post(struct session *session, uint32_t id, const Poc__Post *request, struct refusal *why);
int handle_feed(struct session *session, uint32_t id, const Poc__Feed *request, struct refusal *why);
int handle_get_notice(struct session *session, uint32_t id, const Poc__GetNotice *request, struct refusal *why);
int handle_watch(struct session *session, uint32_t id, const Poc__Watch *request, struct refusal *why);
int handle_follow(struct session *session, uint32_t id, const Poc__Follow *request, struct refusal *why);
int handle_cosign(struct session *session, uint32_t id, const Poc__Cosign *request, struct refusal *why);
int handle_readers(struct session *session, uint32_t id, const Poc__Readers *request, struct refusal *why);
int handle_get_stats(struct session *session, uint32_t id, struct refusal *why);

#endif
