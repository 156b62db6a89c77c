#include "clients/poc/reach.h"

#include "clients/cli/show.h"
#include "clients/cli/strings.h"

static bool has_kind(const struct draft *draft, Poc__PocKind kind)
{
	for (size_t i = 0; i < draft->n_pocs; i++) {
		if (draft->pocs[i].kind == kind)
			return true;
	}
	return false;
}

/* A desk that nobody can be called for: the desk may be there all the same.  draft: NULL where there is no record. */
static void tell_absent(struct duty *duty, const struct client_desk *desk, const struct draft *draft, int64_t now,
			json_t *list)
{
	const bool other = draft != NULL && draft->n_pocs > 0;

	if (list != NULL) {
		json_t *instead = other ? show_reach_json(draft, draft->pocs[0].kind, now) : NULL;
		json_array_append_new(list, json_pack("{s:s,s:s,s:b,s:o}", "place", desk->place, "kind",
						      poc_kind_name(desk->kind), "in_record", 0, "instead",
						      instead != NULL ? instead : json_null()));
		return;
	}
	if (draft == NULL)
		cli_note(duty->cli, tr("%s has no record: it says of nobody whom to call"), desk->place);
	else
		cli_note(duty->cli, tr("%s has no %s point of contact in its record"), desk->place,
			 poc_kind_name(desk->kind));
	if (!duty->cli->quiet && other)
		show_reach(draft, draft->pocs[0].kind, now);
}

static void tell_there(struct duty *duty, const struct client_desk *desk, const struct draft *draft,
		       const struct poc_verdict *verdict, json_t *list)
{
	json_t *one = list != NULL ? show_reach_json(draft, desk->kind, verdict->judged) : NULL;

	if (one != NULL) {
		json_object_set_new(one, "in_record", json_true());
		json_object_set_new(one, "authority_keys", show_keys_json(verdict));
		json_array_append_new(list, one);
	} else if (list == NULL && !duty->cli->quiet) {
		show_reach(draft, desk->kind, verdict->judged);
		if (verdict->keys == POC_KEYS_VERIFIED)
			show_keys(verdict);
	}
}

void reach_tell(struct duty *duty, const struct client_desk *desk, bool absence_only, json_t *list)
{
	struct client_record record = {0};
	struct draft *draft = NULL;
	struct name name;

	/* a coordinator's desk is in no record */
	const bool in_none = desk->kind == POC__POC_KIND__POC_KIND_COORDINATOR;
	if (!place_parse(desk->place, &name))
		return;
	int status = client_lookup(duty->poc, duty->offline ? CLIENT_OFFLINE : CLIENT_ONLINE, &name, NULL, 0, &record);
	const struct verified_record *v = &record.verified;
	if (v->record == NULL && (status == STATUS_NOT_FOUND || status == STATUS_WITHDRAWN) && !in_none)
		tell_absent(duty, desk, NULL, 0, list);
	if (v->record != NULL &&
	    draft_from_record(v->record->payload.record, v->sections, v->n_sections, &draft, NULL) == 0) {
		if (has_kind(draft, desk->kind) && (list != NULL || !absence_only))
			tell_there(duty, desk, draft, &record.verdict, list);
		else if (!has_kind(draft, desk->kind) && !in_none)
			tell_absent(duty, desk, draft, record.verdict.judged, list);
	}
	draft_destroy(draft);
	client_record_finish(&record);
}

int reach_record(struct duty *duty, const char *place)
{
	struct client_record record = {0};
	struct name name;

	if (!place_parse(place, &name)) /* @directory, which needs none */
		return 0;
	int status = client_lookup(duty->poc, duty->offline ? CLIENT_OFFLINE : CLIENT_ONLINE, &name, NULL, 0, &record);
	client_record_finish(&record);
	return status;
}
