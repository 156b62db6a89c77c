#include "proto/rules/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/rules/rules.h"

enum { OWN_SECTIONS_MAX = 4 };

static int check_sections(Poc__SectionRef *const *sections, size_t n, const char *where, struct refusal *why)
{
	char field[100];

	for (size_t i = 0; i < n; i++) {
		const Poc__SectionRef *s = sections[i];
		snprintf(field, sizeof field, "%ssections[%zu]", where, i);
		if (!id_valid(s->name))
			return refuse(why, STATUS_INVALID, field, "name must match [a-z0-9-]{1,40}");
		if (s->tlp == POC__TLP__TLP_UNSPECIFIED)
			return refuse(why, STATUS_INVALID, field, "needs a TLP label");
		if (s->digest.len != HASH_SIZE)
			return refuse(why, STATUS_INVALID, field, "digest must be 32 bytes");
		for (size_t j = 0; j < i; j++) {
			if (strcmp(sections[j]->name, s->name) == 0)
				return refuse(why, STATUS_INVALID, field, "the section %s twice", s->name);
		}
	}
	return 0;
}

static int check_poc(const Poc__Record *record, size_t i, struct refusal *why)
{
	const Poc__PointOfContact *poc = record->pocs[i];
	char field[40];

	snprintf(field, sizeof field, "pocs[%zu].", i);
	if (!id_valid(poc->id))
		return refuse(why, STATUS_INVALID, field, "id must match [a-z0-9-]{1,40}");
	for (size_t j = 0; j < i; j++) {
		if (strcmp(record->pocs[j]->id, poc->id) == 0)
			return refuse(why, STATUS_INVALID, field, "the id %s twice", poc->id);
	}
	if (poc->kind != POC__POC_KIND__POC_KIND_TECHNICAL && poc->kind != POC__POC_KIND__POC_KIND_DIPLOMATIC)
		return refuse(why, STATUS_INVALID, field, "kind must be technical or diplomatic");
	if (poc->n_sections == 0 || poc->n_sections > RECORD_SECTIONS_MAX)
		return refuse(why, STATUS_INVALID, field, "1 to %d sections", RECORD_SECTIONS_MAX);
	return check_sections(poc->sections, poc->n_sections, field, why);
}

int record_check(const Poc__Record *record, struct refusal *why)
{
	if (record->issued <= 0)
		return refuse(why, STATUS_INVALID, "issued", "missing");
	if (record->confirmed < record->issued)
		return refuse(why, STATUS_INVALID, "confirmed", "lies before issued");
	if (record->expires <= record->confirmed || record->expires - record->confirmed > RECORD_LIFE_MAX)
		return refuse(why, STATUS_INVALID, "expires", "must lie after confirmed, at most 400 days");
	if (record->withdrawn)
		return record->n_pocs == 0 && record->n_sections == 0
			   ? 0
			   : refuse(why, STATUS_INVALID, "withdrawn", "a withdrawn record has no POCs and no sections");
	if (record->n_pocs > RECORD_POCS_MAX)
		return refuse(why, STATUS_INVALID, "pocs", "at most %d", RECORD_POCS_MAX);
	if (record->n_sections > OWN_SECTIONS_MAX)
		return refuse(why, STATUS_INVALID, "sections", "at most %d of the record itself", OWN_SECTIONS_MAX);
	for (size_t i = 0; i < record->n_pocs; i++) {
		int status = check_poc(record, i, why);
		if (status != 0)
			return status;
	}
	return check_sections(record->sections, record->n_sections, "", why);
}

enum freshness record_freshness(const Poc__Record *record, int64_t now)
{
	int64_t age = now - record->confirmed;

	if (age > RECORD_STALE || now >= record->expires)
		return FRESH_STALE;
	return age > RECORD_DUE ? FRESH_DUE : FRESH;
}

const char *freshness_name(enum freshness freshness)
{
	return freshness == FRESH ? "fresh" : freshness == FRESH_DUE ? "due" : "stale";
}
