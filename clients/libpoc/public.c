#include "clients/libpoc/poc.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/libpoc/client.h"
#include "clients/libpoc/draft.h"
#include "clients/libpoc/session.h"
#include "proto/wire/prescan.h"

void poc_record_finish(struct poc_record *record)
{
	free(record->record_json);
	free(record->proof);
	*record = (struct poc_record){0};
}

static int to_json(struct poc *poc, const struct verified_record *record, char **json)
{
	struct draft *draft;
	int status = draft_from_envelope(record->record, record->sections, record->n_sections, &draft, &poc->why);

	if (status != 0)
		return status;
	json_t *document = draft_to_json(draft);
	*json = document != NULL ? json_dumps(document, JSON_INDENT(2)) : NULL;
	json_decref(document);
	draft_destroy(draft);
	return *json != NULL ? 0 : refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
}

static bool has_facts(int status)
{
	return status == 0 || status == STATUS_NOT_FOUND || status == STATUS_WITHDRAWN || status == STATUS_SUSPENDED ||
	       status == STATUS_STALE || status == STATUS_CLOCK;
}

/* Moves what was found into the public form. */
static int publish(struct poc *poc, int status, struct client_record *from, struct poc_record *out)
{
	if (has_facts(status) && from->verified.name.text[0] != '\0') {
		snprintf(out->place, sizeof out->place, "%.63s", from->verified.name.text + 2);
		out->verdict = from->verdict;
		out->proof = from->proof;
		out->proof_size = from->proof_size;
		from->proof = NULL;
		if (from->verified.record != NULL) {
			int failed = to_json(poc, &from->verified, &out->record_json);
			status = failed != 0 ? failed : status;
		}
	}
	client_record_finish(from);
	if (!has_facts(status))
		poc_record_finish(out);
	return status;
}

static int lookup(struct poc *poc, enum client_mode mode, const char *place, struct poc_record *out)
{
	struct client_record found;
	struct name name;

	*out = (struct poc_record){0};
	if (!place_parse(place, &name))
		return refuse(&poc->why, STATUS_USAGE, "",
			      "\"%.60s\" is not a place: two capital letters, or those and /unit", place);
	int status = client_lookup(poc, mode, &name, NULL, 0, &found);
	return publish(poc, status, &found, out);
}

int poc_lookup(struct poc *poc, const char *place, struct poc_record *out)
{
	return lookup(poc, CLIENT_ONLINE, place, out);
}

int poc_lookup_offline(struct poc *poc, const char *place, struct poc_record *out)
{
	return lookup(poc, CLIENT_OFFLINE, place, out);
}

int poc_verify(struct poc *poc, const uint8_t *bytes, size_t size, const char *place, int64_t at,
	       struct poc_record *out)
{
	struct client_record found;
	struct name name;

	*out = (struct poc_record){0};
	if (place != NULL && !place_parse(place, &name))
		return refuse(&poc->why, STATUS_USAGE, "", "\"%.60s\" is not a place", place);
	int status = client_verify(poc, bytes, size, place != NULL ? &name : NULL, at, &found);
	return publish(poc, status, &found, out);
}

int poc_stats(struct poc *poc, void (*each)(void *ctx, const char *name, uint64_t value), void *ctx)
{
	Poc__GetStats get = POC__GET_STATS__INIT;
	Poc__Request request = POC__REQUEST__INIT;
	Poc__Response *answer;

	connection_begin(poc);
	int status = session_connect(poc);
	if (status != 0)
		return status;
	request.body_case = POC__REQUEST__BODY_GET_STATS;
	request.get_stats = &get;
	status = connection_call(poc, &request, &answer);
	if (status == 0 && answer->body_case != POC__RESPONSE__BODY_STATS)
		status = refuse(&poc->why, STATUS_MALFORMED, "", "the server answers something else");
	for (size_t i = 0; status == 0 && i < answer->stats->n_counters; i++)
		each(ctx, answer->stats->counters[i]->name, answer->stats->counters[i]->value);
	message_free(answer);
	return status;
}
