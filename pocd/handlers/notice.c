/* Notices: posting them and their receipts, reading a desk's feed and stories, watching it. */
#include <stdlib.h>
#include <string.h>

#include "pocd/base/diag.h"
#include "pocd/base/metrics.h"
#include "pocd/handlers/dispatch.h"

/* ---- Post */

/* One Post under way. */
struct pending {
	struct session *session; /* lives as long as the peer's memory, which is held */
	void *peer;
	const struct session_ops *ops;
	uint32_t id;
	int status;
	struct refusal why;
	struct post_result result;
};

static void send_result(struct pending *p)
{
	Poc__PostAnswer answer = POC__POST_ANSWER__INIT;
	char id[NOTICE_ID_TEXT];

	answer.id = (ProtobufCBinaryData){NOTICE_ID_SIZE, p->result.id.bytes};
	answer.hash = (ProtobufCBinaryData){HASH_SIZE, p->result.hash.bytes};
	answer.stored_ms = (int64_t)p->result.stored_ms;
	answer.repeated = p->result.repeated;
	notice_id_print(&p->result.id, id);
	diag(DIAG_DEBUG, "notice.stored", "peer", p->ops->name(p->peer), "state", p->session->principal.state, "handle",
	     p->session->principal.handle, "notice", id, "repeated", p->result.repeated ? "yes" : "no", NULL);
	dispatch_message(p->session, p->id, RESPONSE_POST, &answer);
}

/* On the client's loop. */
static void answer_pending(void *arg)
{
	struct pending *p = arg;

	if (p->ops->open(p->peer)) {
		p->session->writes--;
		p->why.code = p->status;
		if (p->status == 0)
			send_result(p);
		else
			dispatch_refuse(p->session, p->id, &p->why);
	}
	p->ops->hold(p->peer, -1);
	free(p);
}

/* On the writer's thread, or within handle_post. */
static void on_done(void *ctx, int status, const struct post_result *result, const struct refusal *why)
{
	struct pending *p = ctx;

	p->status = status;
	if (status == 0)
		p->result = *result;
	else
		p->why = *why;
	if (p->ops->post(p->peer, answer_pending, p) != 0)
		abort(); /* out of memory for sixteen bytes: an answer would be lost for good */
}

int handle_post(struct session *session, uint32_t id, const Poc__Post *request, struct refusal *why)
{
	struct post_in in = {request->envelope.data, request->body.data, request->envelope.len, request->body.len};

	if (session->writes >= DISPATCH_WRITES_MAX)
		return refuse(why, STATUS_BUSY, "post", "%d writes of this connection are under way already",
			      DISPATCH_WRITES_MAX);
	struct pending *p = calloc(1, sizeof *p);
	if (p == NULL)
		return refuse(why, STATUS_NO_MEMORY, "post", "out of memory");
	p->session = session;
	p->peer = session->peer;
	p->ops = session->ops;
	p->id = id;
	session->writes++;
	session->ops->hold(session->peer, 1);
	int status = directory_post(session->directory, &session->principal, &in, on_done, p, why);
	if (status != 0) {
		session->writes--;
		session->ops->hold(session->peer, -1);
		free(p);
	}
	return status;
}

/* ---- Reading */

static int check_desk(const char *place, Poc__PocKind kind, const char *field, struct refusal *why)
{
	return desk_valid(place, kind)
		   ? 0
		   : refuse(why, STATUS_INVALID, field, "\"%.60s\" and this kind are no point of contact", place);
}

int handle_feed(struct session *session, uint32_t id, const Poc__Feed *request, struct refusal *why)
{
	struct answer answer;
	int status = check_desk(request->place, request->kind, "feed.place", why);

	if (status == 0)
		status = directory_feed(session->directory, &session->principal, request->place, request->kind,
					request->after, &answer, why);
	if (status != 0)
		return status;
	dispatch_answer(session, id, RESPONSE_FEED, answer.bytes, answer.size);
	answer_finish(&answer);
	return 0;
}

int handle_get_notice(struct session *session, uint32_t id, const Poc__GetNotice *request, struct refusal *why)
{
	struct story_query query = {.place = request->place,
				    .kind = request->kind,
				    .with_body = request->with_body,
				    .with_evidence = request->with_evidence,
				    .from_step = request->from_step,
				    .checkpoint_size = request->checkpoint_size};
	struct directory *directory = session->directory; /* sending may end the session */
	struct answer answer;
	bool fetched;
	int status = check_desk(request->place, request->kind, "get_notice.place", why);

	if (status != 0)
		return status;
	if (request->id.len != NOTICE_ID_SIZE)
		return refuse(why, STATUS_INVALID, "get_notice.id", "must be %d bytes", NOTICE_ID_SIZE);
	if (request->with_body && (request->with_evidence || request->from_step != 0))
		return refuse(why, STATUS_INVALID, "get_notice.with_body", "comes without steps and evidence");
	memcpy(query.id.bytes, request->id.data, NOTICE_ID_SIZE);
	status = directory_story(directory, &session->principal, &query, &answer, &fetched, why);
	if (status != 0)
		return status;
	dispatch_answer(session, id, RESPONSE_STORY, answer.bytes, answer.size);
	answer_finish(&answer);
	if (fetched)
		directory_deliver(directory, &query);
	return 0;
}

/* ---- Watching */

static struct watched *find_watched(struct session *session, const char *place, Poc__PocKind kind)
{
	for (size_t i = 0; i < session->n_watched; i++) {
		if (session->watched[i].kind == kind && strcmp(session->watched[i].place, place) == 0)
			return &session->watched[i];
	}
	return NULL;
}

int handle_watch(struct session *session, uint32_t id, const Poc__Watch *request, struct refusal *why)
{
	Poc__WatchAnswer answer = POC__WATCH_ANSWER__INIT;
	int status = check_desk(request->place, request->kind, "watch.place", why);

	if (status == 0)
		status = directory_at_desk(session->directory, &session->principal, request->place, request->kind,
					   OP_NOTICE_HEADERS, why);
	if (status != 0)
		return status;
	struct watched *watched = find_watched(session, request->place, request->kind);
	if (watched == NULL && session->n_watched == SESSION_WATCHES_MAX)
		return refuse(why, STATUS_TOO_LARGE, "watch", "at most %d desks on one connection",
			      SESSION_WATCHES_MAX);
	if (watched == NULL) {
		watched = &session->watched[session->n_watched++];
		strncpy(watched->place, request->place, PLACE_ROOM - 1);
		watched->kind = request->kind;
		/* before the end is read: what comes in between is told of twice rather than never */
		session->ops->watch(session->peer);
	}
	status = directory_feed_end(session->directory, request->place, request->kind, &answer.end, why);
	if (status != 0)
		return status;
	if (watched->cursor < answer.end)
		watched->cursor = answer.end;
	dispatch_message(session, id, RESPONSE_WATCH, &answer);
	return 0;
}

void session_grown(struct session *session, const char *place, Poc__PocKind kind, uint64_t cursor)
{
	struct watched *watched = find_watched(session, place, kind);
	Poc__Event event = POC__EVENT__INIT;

	if (watched == NULL || watched->cursor >= cursor || !session->ops->open(session->peer) ||
	    directory_at_desk(session->directory, &session->principal, place, kind, OP_NOTICE_HEADERS, NULL) != 0)
		return;
	watched->cursor = cursor;
	event.cursor = cursor;
	event.place = watched->place;
	event.kind = kind;
	metric_add(METRIC_EVENTS_SENT, 1);
	dispatch_event(session, &event);
}
