#include "clients/poc/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/strings.h"
#include "clients/libpoc/draft.h"

struct units {
	struct draft *draft; /* of the state, owned: keeps list alive */
	const Poc__Content *list;
	bool *seen; /* of each in the list */
};

static const Poc__Content no_units = POC__CONTENT__INIT;

static struct draft *draft_of(const struct client_record *record)
{
	const struct verified_record *v = &record->verified;
	struct draft *draft;

	if (v->record == NULL || v->withdrawn ||
	    draft_from_record(v->record->payload.record, v->sections, v->n_sections, &draft, NULL) != 0)
		return NULL;
	return draft;
}

/* NULL: there is a list, but it is not at hand. */
static const Poc__Content *list_of(const struct draft *draft)
{
	for (size_t i = 0; i < draft->n_sections; i++) {
		if (strcmp(draft->sections[i].name, "units") == 0)
			return draft->sections[i].content;
	}
	return &no_units;
}

static int compare_unit(const void *unit, const void *listed)
{
	return strcmp(unit, *(char *const *)listed);
}

static char **find_unit(const Poc__Content *list, const char *unit) /* ascending, by the rules of sections */
{
	return list->n_units == 0 ? NULL
				  : bsearch(unit, list->units, list->n_units, sizeof list->units[0], compare_unit);
}

int units_listed(struct poc *poc, enum client_mode mode, const struct name *unit)
{
	static const char *const sections[] = {"units"};
	struct client_record record = {0};
	struct name state;
	int listed = -1;

	if (!name_make(NAME_RECORD, unit->state, NULL, &state))
		return -1;
	client_lookup(poc, mode, &state, sections, 1, &record);
	struct draft *draft = draft_of(&record);
	const Poc__Content *list = draft != NULL ? list_of(draft) : NULL;
	if (list != NULL)
		listed = find_unit(list, unit->unit) != NULL;
	draft_destroy(draft);
	client_record_finish(&record);
	return listed;
}

void units_remark(json_t *remarks, const char *state, const char *unit, bool listed)
{
	char message[200];

	snprintf(message, sizeof message,
		 listed ? tr("%s lists the unit %s, which has no record here")
			: tr("%s does not list the unit %s, which has a record"),
		 state, unit);
	json_array_append_new(remarks, json_pack("{s:s,s:s,s:s}", "unit", unit, "code",
						 listed ? "unit-absent" : "unit-unlisted", "message", message));
}

struct units *units_begin(const struct client_record *record)
{
	struct units *units = calloc(1, sizeof *units);

	if (units == NULL)
		return NULL;
	units->draft = draft_of(record);
	units->list = units->draft != NULL ? list_of(units->draft) : NULL;
	units->seen = units->list != NULL ? calloc(units->list->n_units + 1, sizeof *units->seen) : NULL;
	if (units->seen != NULL)
		return units;
	draft_destroy(units->draft);
	free(units);
	return NULL;
}

void units_see(struct units *units, const struct client_record *record, json_t *remarks)
{
	const struct verified_record *v = &record->verified;

	if (units == NULL || v->absent || v->withdrawn || v->name.unit[0] == '\0' ||
	    strcmp(v->name.state, units->draft->name.state) != 0)
		return;
	char **found = find_unit(units->list, v->name.unit);
	if (found != NULL)
		units->seen[found - units->list->units] = true;
	else
		units_remark(remarks, v->name.state, v->name.unit, false);
}

void units_end(struct units *units, json_t *remarks)
{
	if (units == NULL)
		return;
	for (size_t i = 0; i < units->list->n_units; i++) {
		if (!units->seen[i])
			units_remark(remarks, units->draft->name.state, units->list->units[i], true);
	}
	draft_destroy(units->draft);
	free(units->seen);
	free(units);
}

struct seeing {
	struct units *units;
	json_t *remarks;
};

static int see(void *ctx, const struct client_record *record)
{
	struct seeing *seeing = ctx;

	units_see(seeing->units, record, seeing->remarks);
	return 0;
}

bool units_compare(struct poc *poc, const struct client_record *record, json_t *remarks)
{
	struct seeing seeing = {units_begin(record), remarks};

	if (seeing.units == NULL)
		return true;
	if (client_walk_units(poc, record->verified.name.state, see, &seeing) != 0) {
		json_t *nobody = json_array();
		units_end(seeing.units, nobody);
		json_decref(nobody);
		return false;
	}
	units_end(seeing.units, remarks);
	return true;
}
