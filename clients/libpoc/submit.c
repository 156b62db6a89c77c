#include "clients/libpoc/client.h"

#include <stdlib.h>
#include <string.h>

#include "clients/libpoc/session.h"
#include "proto/wire/prescan.h"

enum { WRITES_MAX = 64, NAMES_A_ROUND = 8 };

void client_submitted_finish(struct client_submitted *submitted)
{
	free(submitted->results);
	*submitted = (struct client_submitted){0};
}

/* ---- Sending */

static int send_writes(struct poc *poc, const struct client_write *writes, size_t n, bool wait_proven,
		       Poc__Response **answer)
{
	Poc__Write list[WRITES_MAX], *pointers[WRITES_MAX];
	Poc__Submit submit = POC__SUBMIT__INIT;
	Poc__Request request = POC__REQUEST__INIT;

	*answer = NULL;
	if (n == 0 || n > WRITES_MAX)
		return refuse(&poc->why, STATUS_USAGE, "", "a group has 1 to %d writes", WRITES_MAX);
	for (size_t i = 0; i < n; i++) {
		poc__write__init(&list[i]);
		list[i].envelope = (ProtobufCBinaryData){writes[i].size, (uint8_t *)writes[i].envelope};
		list[i].sections = (ProtobufCBinaryData *)writes[i].sections;
		list[i].n_sections = writes[i].n_sections;
		pointers[i] = &list[i];
	}
	submit.writes = pointers;
	submit.n_writes = n;
	submit.wait_proven = wait_proven;
	request.body_case = POC__REQUEST__BODY_SUBMIT;
	request.submit = &submit;
	return connection_call(poc, &request, answer);
}

static void take_refusal(const Poc__Error *error, struct client_submitted *out)
{
	out->write = error->write;
	out->current_seq = error->current_seq;
	if (error->current.len == HASH_SIZE)
		memcpy(out->current.bytes, error->current.data, HASH_SIZE);
}

/* The results are the server's word; what can be checked at once is that they are of our writes. */
static int take_results(struct poc *poc, const Poc__SubmitAnswer *answer, const struct client_write *writes, size_t n,
			struct client_submitted *out)
{
	if (answer->n_results != n)
		return refuse(&poc->why, STATUS_MALFORMED, "", "the server answers for other writes");
	out->results = calloc(n, sizeof *out->results);
	if (out->results == NULL)
		return refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
	for (size_t i = 0; i < n; i++) {
		const Poc__WriteResult *r = answer->results[i];
		struct hash value = hash_of(writes[i].envelope, writes[i].size);
		struct name name;
		if (r->value.len != HASH_SIZE || memcmp(r->value.data, value.bytes, HASH_SIZE) != 0 ||
		    !name_parse(r->name, &name))
			return refuse(&poc->why, STATUS_MALFORMED, "", "the server answers for other writes");
		out->results[i] = (struct client_result){
		    .seq = r->seq, .value = value, .leaf = r->leaf, .stored_ms = r->stored_ms, .repeated = r->repeated};
		memcpy(out->results[i].name, name.text, sizeof out->results[i].name);
	}
	out->n = n;
	out->checkpoint_size = answer->checkpoint_size;
	return 0;
}

/* ---- Proving: the map under our head holds each write, or a later version of its name */

static int check_proven(struct poc *poc, const Poc__Proof *proof, const struct client_result *result, bool *proven)
{
	struct verified_item item;
	struct envelope *envelope;
	const Poc__Item *found;
	int status = session_item(poc, proof, result->name, &found, &item);

	*proven = false;
	if (status != 0 || item.absent)
		return status;
	if (hash_compare(&item.value, &result->value) == 0) {
		*proven = true;
		return 0;
	}
	if (found->n_envelopes == 0)
		return 0;
	const ProtobufCBinaryData *last = &found->envelopes[found->n_envelopes - 1];
	status = verify_envelope(poc->head, &item.name, &item.value, last, &envelope, &poc->why);
	if (status == 0)
		*proven = envelope->seq > result->seq;
	envelope_destroy(envelope);
	return status;
}

/* T and S are proven by every head. */
static bool proven_by_head(const struct poc *poc, const struct client_result *result)
{
	const struct envelope *trust = verified_head_trust(poc->head);

	if (strcmp(result->name, "T") == 0)
		return trust->seq > result->seq || hash_compare(&trust->value, &result->value) == 0;
	return poc->head->reg->seq > result->seq || hash_compare(&poc->head->reg->value, &result->value) == 0;
}

static int prove_round(struct poc *poc, struct client_submitted *out, size_t first, size_t *next, bool *all)
{
	const char *names[NAMES_A_ROUND];
	struct question q = {.names = names};
	size_t i = first;

	for (; i < out->n && q.n_names < NAMES_A_ROUND; i++) {
		bool again = false;
		for (size_t j = 0; j < q.n_names; j++)
			again = again || strcmp(names[j], out->results[i].name) == 0;
		if (again) /* several versions of one name in a group: one question a round */
			break;
		if (out->results[i].name[1] == '\0')
			*all = *all && proven_by_head(poc, &out->results[i]);
		else
			names[q.n_names++] = out->results[i].name;
	}
	*next = i;
	int status = q.n_names > 0 ? session_ask(poc, &q, 1) : 0;
	for (size_t j = first; j < i && status == 0 && q.n_names > 0; j++) {
		bool proven = true;
		if (out->results[j].name[1] != '\0')
			status = check_proven(poc, q.proof, &out->results[j], &proven);
		*all = *all && proven;
	}
	session_free_answers(&q, 1);
	return status;
}

static int prove(struct poc *poc, struct client_submitted *out)
{
	bool all = true;
	size_t next = 0;
	int status = poc->head->checkpoint.size < out->checkpoint_size ? session_move(poc) : 0;

	while (status == 0 && next < out->n)
		status = prove_round(poc, out, next, &next, &all);
	if (status != 0)
		return status;
	out->proven = all && poc->head->checkpoint.size >= out->checkpoint_size;
	if (!out->proven)
		return refuse(&poc->why, STATUS_UNVERIFIED, "",
			      "the server says that the change is published, but the checkpoint does not prove it");
	return 0;
}

int client_submit(struct poc *poc, const struct client_write *writes, size_t n, bool wait_proven,
		  struct client_submitted *out)
{
	Poc__Response *answer = NULL;

	*out = (struct client_submitted){0};
	connection_begin(poc);
	int status;
	do {
		message_free(answer);
		answer = NULL;
		status = session_connect(poc);
		if (status != 0)
			return status;
		status = send_writes(poc, writes, n, wait_proven, &answer);
	} while (connection_passes_on(poc, status));
	out->maybe_stored = answer == NULL || answer->body_case != POC__RESPONSE__BODY_ERROR;
	if (answer != NULL && answer->body_case == POC__RESPONSE__BODY_ERROR)
		take_refusal(answer->error, out);
	if (status == 0 && answer->body_case != POC__RESPONSE__BODY_SUBMIT)
		status = refuse(&poc->why, STATUS_MALFORMED, "", "the server answers something else");
	if (status == 0)
		status = take_results(poc, answer->submit, writes, n, out);
	message_free(answer);
	if (status != 0 || !wait_proven)
		return status;
	if (out->checkpoint_size == 0)
		return refuse(&poc->why, STATUS_QUEUED, "", "stored, but not yet published");
	connection_begin(poc);
	status = prove(poc, out);
	if (status == STATUS_UNREACHABLE) { /* this very change may have ended the connection, by changing our key */
		connection_close(poc);
		connection_begin(poc);
		status = session_connect(poc);
		if (status == 0)
			status = prove(poc, out);
	}
	if (status == 0 || status == STATUS_UNVERIFIED)
		return status;
	/* whatever else hinders (no network, a clock, who was dropped by this very change): it is stored all the same
	 */
	char reason[sizeof poc->why.message];
	memcpy(reason, poc->why.message, sizeof reason);
	return refuse(&poc->why, STATUS_QUEUED, "", "stored, but publication could not be verified yet: %.300s",
		      reason);
}
