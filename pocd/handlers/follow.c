/* Followers: the log for mirrors and auditors, and what auditors hand back. */
#include "pocd/base/metrics.h"
#include "pocd/handlers/dispatch.h"

enum { COSIGNATURE_BYTES = 72, SPKI_BYTES = 200 };

int handle_follow(struct session *session, uint32_t id, const Poc__Follow *request, struct refusal *why)
{
	struct follow_query query = {.size = request->size,
				     .from = request->from,
				     .root = request->size > 0 ? request->root.data : NULL,
				     .note = request->note.len > 0 ? (const char *)request->note.data : NULL,
				     .note_size = request->note.len,
				     .auditor = request->auditor,
				     .key = request->key.data,
				     .key_size = request->key.len};
	struct tip_told told;
	struct answer answer;

	if (request->root.len != (request->size > 0 ? HASH_SIZE : 0))
		return refuse(why, STATUS_INVALID, "follow.root", "must be 32 bytes, and absent with size 0");
	if (request->key.len > SPKI_BYTES)
		return refuse(why, STATUS_TOO_LARGE, "follow.key", "at most %d bytes", SPKI_BYTES);
	if (request->note.len > NOTE_MAX)
		return refuse(why, STATUS_TOO_LARGE, "follow.note", "at most %d bytes", NOTE_MAX);
	if (!session->follows) {
		session->follows = true;
		/* before the log is read: what comes in between is told of twice rather than never */
		session->ops->watch(session->peer);
	}
	int status = directory_follow(session->directory, &session->principal, &query, &told, &answer, why);
	if (status != 0)
		return status;
	session->told = told;
	dispatch_answer(session, id, RESPONSE_FOLLOW, answer.bytes, answer.size);
	answer_finish(&answer);
	return 0;
}

void session_published(struct session *session)
{
	Poc__Event event = POC__EVENT__INIT;

	if (!session->follows || !session->ops->open(session->peer) ||
	    !dispatch_allowed(session, OP_FOLLOW, session->principal.state, NULL) ||
	    !directory_tip_moved(session->directory, &session->told, &event.cursor))
		return;
	metric_add(METRIC_EVENTS_SENT, 1);
	dispatch_event(session, &event);
}

int handle_cosign(struct session *session, uint32_t id, const Poc__Cosign *request, struct refusal *why)
{
	Poc__CosignAnswer answer = POC__COSIGN_ANSWER__INIT;

	if (request->signature.len != COSIGNATURE_BYTES)
		return refuse(why, STATUS_INVALID, "cosign.signature", "must be %d bytes", COSIGNATURE_BYTES);
	int status = directory_cosign(session->directory, &session->principal, request->auditor, request->size,
				      request->signature.data, why);
	if (status == 0)
		dispatch_message(session, id, RESPONSE_COSIGN, &answer);
	return status;
}
