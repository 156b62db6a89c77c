/* Lookups, the walk of a synchronising client, and who has read the own state's records. */
#include "pocd/handlers/dispatch.h"

enum { SECTIONS_MAX = 4 };

int handle_lookup(struct session *session, uint32_t id, const Poc__Lookup *request, struct refusal *why)
{
	struct name record;
	struct answer answer;

	if (!place_parse(request->place, &record))
		return refuse(why, STATUS_INVALID, "lookup.place", "\"%.60s\" is not a place", request->place);
	if (request->n_sections > SECTIONS_MAX)
		return refuse(why, STATUS_INVALID, "lookup.sections", "at most %d", SECTIONS_MAX);
	if (!dispatch_allowed(session, OP_LOOKUP, record.state, why))
		return why->code;
	int status = directory_lookup(session->directory, &session->principal, request->place, request->checkpoint_size,
				      (const char *const *)request->sections, request->n_sections, &answer, why);
	if (status != 0)
		return status;
	dispatch_answer(session, id, RESPONSE_PROOF, answer.bytes, answer.size);
	answer_finish(&answer);
	return 0;
}

int handle_changes(struct session *session, uint32_t id, const Poc__Changes *request, struct refusal *why)
{
	struct answer answer;
	int status = directory_changes(session->directory, &session->principal, request->from_leaf,
				       request->with_envelopes, &answer, why);

	if (status != 0)
		return status;
	dispatch_answer(session, id, RESPONSE_CHANGES, answer.bytes, answer.size);
	answer_finish(&answer);
	return 0;
}

int handle_readers(struct session *session, uint32_t id, const Poc__Readers *request, struct refusal *why)
{
	struct answer answer;
	int status =
	    directory_readers(session->directory, &session->principal, request->from_day, request->after, &answer, why);

	if (status != 0)
		return status;
	dispatch_answer(session, id, RESPONSE_READERS, answer.bytes, answer.size);
	answer_finish(&answer);
	return 0;
}
