/* Hello and what everybody may fetch: heads and envelopes. */
#include <string.h>
#include <time.h>

#include "pocd/base/clock.h"
#include "pocd/base/diag.h"
#include "pocd/handlers/dispatch.h"
#include "proto/wire/frame.h"

enum { NAMES_MAX = 16, ROLES_MAX = 16 };

static size_t list_roles(unsigned set, uint32_t out[ROLES_MAX])
{
	size_t n = 0;

	for (uint32_t role = 1; role < ROLES_MAX; role++) {
		if ((set >> role & 1) != 0)
			out[n++] = role;
	}
	return n;
}

static void greet(struct session *session, uint32_t id)
{
	Poc__HelloAnswer answer = POC__HELLO_ANSWER__INIT;
	uint32_t roles[ROLES_MAX];
	struct snapshot *snapshot = ledger_snapshot(directory_ledger(session->directory));

	answer.protocol = PROTOCOL_VERSION;
	answer.software = "pocd " POCD_VERSION;
	answer.handle = session->principal.handle;
	answer.n_roles = list_roles(session->principal.facts.roles, roles);
	answer.roles = roles;
	answer.checkpoint_size = snapshot != NULL ? snapshot->checkpoint.size : 0;
	answer.server_time_ms = (int64_t)clock_now_ms(NULL);
	answer.not_after = session->principal.not_after;
	snapshot_unref(snapshot);
	dispatch_message(session, id, RESPONSE_HELLO, &answer);
}

int handle_hello(struct session *session, uint32_t id, const Poc__Hello *request, struct refusal *why)
{
	if (request->protocol != PROTOCOL_VERSION)
		return refuse(why, STATUS_PROTOCOL, "hello.protocol", "this server speaks protocol version %d",
			      PROTOCOL_VERSION);
	if (request->directory_id.len != HASH_SIZE ||
	    memcmp(request->directory_id.data, directory_id(session->directory)->bytes, HASH_SIZE) != 0)
		return refuse(why, STATUS_DIRECTORY, "hello.directory_id", "this server serves another directory");
	if (!state_valid(request->state))
		return refuse(why, STATUS_INVALID, "hello.state", "not a state's code");
	if (strlen(request->software) > 64)
		return refuse(why, STATUS_INVALID, "hello.software", "longer than 64 bytes");
	int status = directory_principal(session->directory, request->state, &session->pin, &session->principal);
	if (status == STATUS_NOT_FOUND) { /* not in the register: may still fetch what proves that */
		memset(&session->principal, 0, sizeof session->principal);
		strcpy(session->principal.state, request->state);
		session->principal.pin = session->pin;
	} else if (status != 0) {
		return refuse(why, status, "hello", "%s", status_text(status));
	}
	session->greeted = true;
	diag(DIAG_INFO, "session.open", "peer", session->ops->name(session->peer), "state", session->principal.state,
	     "handle", session->principal.handle[0] != '\0' ? session->principal.handle : "-", "software",
	     request->software, NULL);
	greet(session, id);
	return 0;
}

int handle_get_head(struct session *session, uint32_t id, const Poc__GetHead *request, struct refusal *why)
{
	struct answer answer;

	if (request->register_value.len != 0 && request->register_value.len != HASH_SIZE)
		return refuse(why, STATUS_INVALID, "get_head.register_value", "must be 32 bytes");
	int status =
	    directory_head(session->directory, request->held_size, request->trust_seq,
			   request->register_value.len != 0 ? request->register_value.data : NULL, &answer, why);
	if (status != 0)
		return status;
	dispatch_answer(session, id, RESPONSE_HEAD, answer.bytes, answer.size);
	answer_finish(&answer);
	return 0;
}

/* T, S, K and U/@directory are for all who have connected; the rest needs a role. */
static int may_read(struct session *session, const char *text, bool history, struct refusal *why)
{
	struct name name;

	if (!name_parse(text, &name))
		return refuse(why, STATUS_INVALID, "get_envelopes.names", "\"%.60s\" is not a name of the directory",
			      text);
	enum operation operation = history ? OP_HISTORY : OP_TRUST_READ;
	if (name.kind == NAME_USERS && strcmp(name.state, STATE_DIRECTORY) != 0)
		operation = history ? OP_HISTORY : OP_USERS_READ;
	else if (name.kind == NAME_TRUST || name.kind == NAME_REGISTER || name.kind == NAME_KEYS ||
		 name.kind == NAME_USERS)
		operation = OP_TRUST_READ;
	else if (!history)
		operation = OP_LOOKUP; /* records without sections, documents, pings */
	return dispatch_allowed(session, operation, name.state, why) ? 0 : why->code;
}

int handle_get_envelopes(struct session *session, uint32_t id, const Poc__GetEnvelopes *request, struct refusal *why)
{
	struct answer answer;
	bool history = request->from_seq != 0;

	if (request->n_names == 0 || request->n_names > NAMES_MAX || (history && request->n_names != 1))
		return refuse(why, STATUS_INVALID, "get_envelopes.names", "1 to %d names, for a history exactly one",
			      NAMES_MAX);
	for (size_t i = 0; i < request->n_names; i++) {
		int status = may_read(session, request->names[i], history, why);
		if (status != 0)
			return status;
	}
	int status = directory_envelopes(session->directory, &session->principal, (const char *const *)request->names,
					 request->n_names, request->checkpoint_size, request->from_seq, &answer, why);
	if (status != 0)
		return status;
	dispatch_answer(session, id, RESPONSE_PROOF, answer.bytes, answer.size);
	answer_finish(&answer);
	return 0;
}
