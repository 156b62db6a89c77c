#include "pocd/handlers/dispatch.h"

#include <stdlib.h>
#include <string.h>

#include "pocd/base/diag.h"
#include "pocd/base/metrics.h"
#include "proto/wire/encode.h"
#include "proto/wire/frame.h"
#include "proto/wire/prescan.h"

static const struct prescan_limits request_limits = {.depth = 4, .fields = 2048, .memory = 2 * 1024 * 1024};

typedef int (*handler_fn)(struct session *session, uint32_t id, const void *request, struct refusal *why);

struct request_row {
	Poc__Request__BodyCase type;
	const char *name;
	handler_fn handle;
	size_t ceiling; /* bytes of the whole request */
	bool before_hello;
	int operation; /* checked here when the request names no state; -1: the handler checks */
};

#define HANDLER(function, type)                                                                                        \
	static int call_##function(struct session *session, uint32_t id, const void *request, struct refusal *why)     \
	{                                                                                                              \
		return handle_##function(session, id, (const type *)request, why);                                     \
	}

HANDLER(hello, Poc__Hello)
HANDLER(get_head, Poc__GetHead)
HANDLER(lookup, Poc__Lookup)
HANDLER(get_envelopes, Poc__GetEnvelopes)
HANDLER(changes, Poc__Changes)
HANDLER(submit, Poc__Submit)
HANDLER(post, Poc__Post)
HANDLER(feed, Poc__Feed)
HANDLER(get_notice, Poc__GetNotice)
HANDLER(watch, Poc__Watch)
HANDLER(follow, Poc__Follow)
HANDLER(cosign, Poc__Cosign)
HANDLER(readers, Poc__Readers)

static int call_get_stats(struct session *session, uint32_t id, const void *request, struct refusal *why)
{
	(void)request;
	return handle_get_stats(session, id, why);
}

static const struct request_row rows[] = {
    {POC__REQUEST__BODY_HELLO, "hello", call_hello, 512, true, -1},
    {POC__REQUEST__BODY_GET_HEAD, "get_head", call_get_head, 256, false, OP_TRUST_READ},
    {POC__REQUEST__BODY_LOOKUP, "lookup", call_lookup, 1024, false, -1},
    {POC__REQUEST__BODY_GET_ENVELOPES, "get_envelopes", call_get_envelopes, 2048, false, -1},
    {POC__REQUEST__BODY_SUBMIT, "submit", call_submit, FRAME_MAX_SUBMIT, false, OP_SUBMIT},
    {POC__REQUEST__BODY_CHANGES, "changes", call_changes, 256, false, OP_CHANGES},
    {POC__REQUEST__BODY_GET_STATS, "get_stats", call_get_stats, 64, false, OP_STATS},
    {POC__REQUEST__BODY_POST, "post", call_post, FRAME_MAX_POST, false, -1},
    {POC__REQUEST__BODY_FEED, "feed", call_feed, 256, false, -1},
    {POC__REQUEST__BODY_GET_NOTICE, "get_notice", call_get_notice, 256, false, -1},
    {POC__REQUEST__BODY_WATCH, "watch", call_watch, 256, false, -1},
    {POC__REQUEST__BODY_FOLLOW, "follow", call_follow, 9216, false, OP_FOLLOW},
    {POC__REQUEST__BODY_COSIGN, "cosign", call_cosign, 512, false, OP_FOLLOW},
    {POC__REQUEST__BODY_READERS, "readers", call_readers, 64, false, OP_READERS},
};

static const struct request_row *find_row(Poc__Request__BodyCase type)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (rows[i].type == type)
			return &rows[i];
	}
	return NULL;
}

/* ---- Answers */

void dispatch_answer(struct session *session, uint32_t id, enum response_field field, const void *bytes, size_t size)
{
	uint8_t head[20] = {1 << 3 | 5, (uint8_t)id, (uint8_t)(id >> 8), (uint8_t)(id >> 16), (uint8_t)(id >> 24)};
	size_t n = 5;

	n += varint_put(head + n, (uint64_t)field << 3 | 2);
	n += varint_put(head + n, size);
	struct iovec parts[] = {{head, n}, {(void *)bytes, size}};
	session->ops->send(session->peer, parts, 2);
}

void dispatch_message(struct session *session, uint32_t id, enum response_field field, const void *message)
{
	uint8_t *bytes;
	size_t size;

	if (message_encode(message, &bytes, &size) != 0) {
		session->ops->finish(session->peer); /* no memory even for an answer */
		return;
	}
	dispatch_answer(session, id, field, bytes, size);
	free(bytes);
}

static Poc__Error error_of(const struct refusal *why)
{
	Poc__Error error = POC__ERROR__INIT;

	error.code = (uint32_t)why->code;
	error.message = (char *)why->message;
	error.field = (char *)why->field;
	error.may_retry = status_may_retry(why->code);
	error.retry_after_ms = !error.may_retry ? 0 : why->retry_ms > 0 ? why->retry_ms : 1000;
	return error;
}

void dispatch_event(struct session *session, const Poc__Event *event)
{
	uint8_t *bytes;
	size_t size;

	if (message_encode(event, &bytes, &size) != 0) {
		session->ops->finish(session->peer); /* it would never learn of it */
		return;
	}
	struct iovec part = {bytes, size};
	session->ops->send(session->peer, &part, 1);
	free(bytes);
}

void dispatch_refuse(struct session *session, uint32_t id, const struct refusal *why)
{
	Poc__Error error = error_of(why);

	metric_add(METRIC_REQUESTS_REFUSED, 1);
	dispatch_message(session, id, RESPONSE_ERROR, &error);
}

bool dispatch_allowed(const struct session *session, enum operation operation, const char *state, struct refusal *why)
{
	enum relation relation =
	    state != NULL && strcmp(state, session->principal.state) == 0 ? OBJECT_OWN : OBJECT_OTHER;
	struct verdict verdict = policy_decide(&session->principal.facts, operation, relation);

	if (!verdict.allowed)
		refuse(why, session->principal.facts.suspended ? STATUS_SUSPENDED : STATUS_DENIED,
		       operation_name(operation), "%s", verdict.rule);
	return verdict.allowed;
}

/* ---- Requests */

static int handle(struct session *session, const Poc__Request *request, size_t size, struct refusal *why)
{
	const struct request_row *row = find_row(request->body_case);

	if (row == NULL)
		return refuse(why, STATUS_MALFORMED, "body", "a request without a body");
	if (size > row->ceiling)
		return refuse(why, STATUS_TOO_LARGE, row->name, "the request has %zu bytes, at most %zu are allowed",
			      size, row->ceiling);
	if (session->greeted == row->before_hello)
		return refuse(why, STATUS_MALFORMED, row->name,
			      session->greeted ? "Hello may be sent once" : "the first request must be Hello");
	if (row->operation >= 0 &&
	    !dispatch_allowed(session, (enum operation)row->operation, session->principal.state, why))
		return why->code;
	return row->handle(session, request->id, request->hello, why);
}

static void log_malformed(const struct session *session, const char *event, const struct refusal *why)
{
	static struct diag_rate rate;
	unsigned n = diag_rate(&rate);

	if (n > 0)
		diag(DIAG_INFO, event, "peer", session->ops->name(session->peer), "field", why->field, "error",
		     why->message, "count", diag_number(n), NULL);
}

void session_frame(struct session *session, const uint8_t *message, size_t size)
{
	struct message_room room;
	ProtobufCMessage *decoded;
	struct refusal why = {0};
	uint32_t id = 0;
	int status =
	    message_decode_in(&room, &poc__request__descriptor, message, size, &request_limits, &decoded, &why);

	metric_add(METRIC_REQUESTS, 1);
	if (status == 0) {
		const Poc__Request *request = (const Poc__Request *)decoded;
		id = request->id;
		if (id == 0 || id == UINT32_MAX) /* the latter is that of answers to what is no request */
			status = refuse(&why, STATUS_MALFORMED, "id", "is none that a request can have");
		else
			status = handle(session, request, size, &why);
	}
	message_free_in(&room, decoded);
	if (status == 0)
		return;
	why.code = status;
	if (status == STATUS_MALFORMED || !session->greeted) {
		metric_add(METRIC_MALFORMED, 1);
		log_malformed(session, "request.malformed", &why);
	}
	dispatch_refuse(session, id != 0 ? id : UINT32_MAX, &why);
	/* after bytes that are no request nothing that follows can be trusted */
	if (status == STATUS_MALFORMED || !session->greeted)
		session->ops->finish(session->peer);
}

void session_malformed(struct session *session, const char *text)
{
	struct refusal why;

	refuse(&why, STATUS_MALFORMED, "frame", "%s", text);
	log_malformed(session, "frame.malformed", &why);
	dispatch_refuse(session, UINT32_MAX, &why);
}

void session_init(struct session *session, struct directory *directory, const struct session_ops *ops, void *peer,
		  const struct hash *pin)
{
	memset(session, 0, sizeof *session);
	session->directory = directory;
	session->ops = ops;
	session->peer = peer;
	session->pin = *pin;
}

bool session_listed(const struct session *session)
{
	return session->greeted && (session->principal.facts.roles != 0 || session->principal.facts.editor);
}

bool session_recheck(struct session *session)
{
	struct principal now;

	if (!session->greeted)
		return true;
	int status = directory_principal(session->directory, session->principal.state, &session->pin, &now);
	if (status != 0)
		memset(&now.facts, 0, sizeof now.facts);
	bool was_listed = session->principal.facts.roles != 0 || session->principal.facts.editor;
	bool is_listed = status == 0 && (now.facts.roles != 0 || now.facts.editor);
	if (was_listed && (!is_listed || (now.facts.suspended && !session->principal.facts.suspended)))
		return false;
	if (status == 0)
		session->principal = now;
	return true;
}
