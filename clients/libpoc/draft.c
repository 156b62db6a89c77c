#include "clients/libpoc/draft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/libpoc/content.h"
#include "proto/rules/rules.h"
#include "proto/rules/users.h"
#include "proto/rules/zone.h"
#include "proto/wire/prescan.h"

#define SCHEMA "poc.record/1"

enum { RECORD_SECTIONS_OWN_MAX = 4, LIFE_DEFAULT = 365 * 86400 };

static int no_memory(struct refusal *why)
{
	return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
}

/* ---- Life ---------------------------------------------------------------------------------------------------------
 */

struct draft *draft_create(void)
{
	return calloc(1, sizeof(struct draft));
}

static void sections_destroy(struct draft_section *sections, size_t n)
{
	for (size_t i = 0; i < n; i++)
		message_free(sections[i].content);
	free(sections);
}

void draft_destroy(struct draft *draft)
{
	if (!draft)
		return;
	for (size_t i = 0; i < draft->n_pocs; i++)
		sections_destroy(draft->pocs[i].sections, draft->pocs[i].n_sections);
	free(draft->pocs);
	sections_destroy(draft->sections, draft->n_sections);
	free(draft);
}

bool draft_remove_poc(struct draft *draft, const char *id)
{
	for (size_t i = 0; i < draft->n_pocs; i++) {
		if (strcmp(draft->pocs[i].id, id) != 0)
			continue;
		sections_destroy(draft->pocs[i].sections, draft->pocs[i].n_sections);
		memmove(draft->pocs + i, draft->pocs + i + 1, (--draft->n_pocs - i) * sizeof *draft->pocs);
		return true;
	}
	return false;
}

/* ---- From a record ------------------------------------------------------------------------------------------------
 */

/* The content of the section with that digest, if its bytes are among those given and belong there. */
static Poc__Content *find_content(const struct draft *draft, const char *poc, const Poc__SectionRef *ref,
				  const ProtobufCBinaryData *bytes, const struct hash *digests, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		Poc__Section *section;
		if (memcmp(digests[i].bytes, ref->digest.data, HASH_SIZE) != 0 ||
		    section_parse(bytes[i].data, bytes[i].len, &section, NULL) != 0)
			continue;
		Poc__Content *content = NULL;
		if (strcmp(section->record, draft->name.text) == 0 && strcmp(section->poc, poc) == 0 &&
		    strcmp(section->name, ref->name) == 0) {
			content = section->content;
			section->content = NULL;
		}
		message_free(section);
		return content;
	}
	return NULL;
}

static int sections_from_record(struct draft *draft, const char *poc, Poc__SectionRef *const *refs, size_t n_refs,
				const ProtobufCBinaryData *bytes, const struct hash *digests, size_t n,
				struct draft_section **out, size_t *n_out)
{
	*out = calloc(n_refs > 0 ? n_refs : 1, sizeof **out);
	if (!*out)
		return STATUS_NO_MEMORY;
	for (size_t i = 0; i < n_refs; i++) {
		struct draft_section *section = &(*out)[i];
		if (!id_valid(refs[i]->name) || refs[i]->digest.len != HASH_SIZE)
			return STATUS_INVALID;
		snprintf(section->name, sizeof section->name, "%s", refs[i]->name);
		section->tlp = refs[i]->tlp;
		memcpy(section->digest.bytes, refs[i]->digest.data, HASH_SIZE);
		section->has_digest = true;
		section->content = find_content(draft, poc, refs[i], bytes, digests, n);
		*n_out = i + 1;
	}
	return 0;
}

static int pocs_from_record(struct draft *draft, const Poc__Record *record, const ProtobufCBinaryData *bytes,
			    const struct hash *digests, size_t n)
{
	draft->pocs = calloc(record->n_pocs + 1, sizeof *draft->pocs);
	if (!draft->pocs)
		return STATUS_NO_MEMORY;
	for (size_t i = 0; i < record->n_pocs; i++) {
		const Poc__PointOfContact *from = record->pocs[i];
		struct draft_poc *poc = &draft->pocs[i];
		if (!id_valid(from->id))
			return STATUS_INVALID;
		snprintf(poc->id, sizeof poc->id, "%s", from->id);
		poc->kind = from->kind;
		draft->n_pocs = i + 1;
		const int status = sections_from_record(draft, poc->id, from->sections, from->n_sections, bytes,
							digests, n, &poc->sections, &poc->n_sections);
		if (status)
			return status;
	}
	return 0;
}

static int fill_from_record(struct draft *draft, const Poc__Record *record, const ProtobufCBinaryData *sections,
			    size_t n)
{
	struct hash *digests = calloc(n + 1, sizeof *digests);
	if (!digests)
		return STATUS_NO_MEMORY;
	for (size_t i = 0; i < n; i++)
		digests[i] = hash_section(sections[i].data, sections[i].len);
	draft->withdrawn = record->withdrawn;
	draft->issued = record->issued;
	draft->confirmed = record->confirmed;
	draft->expires = record->expires;
	int status = pocs_from_record(draft, record, sections, digests, n);
	if (!status)
		status = sections_from_record(draft, "", record->sections, record->n_sections, sections, digests, n,
					      &draft->sections, &draft->n_sections);
	free(digests);
	return status;
}

int draft_from_record(const Poc__Record *record, const ProtobufCBinaryData *sections, size_t n, struct draft **out,
		      struct refusal *why)
{
	*out = NULL;
	struct draft *draft = draft_create();
	if (!draft)
		return no_memory(why);
	if (!record->head || !name_parse(record->head->name, &draft->name) || draft->name.kind != NAME_RECORD) {
		draft_destroy(draft);
		return refuse(why, STATUS_INVALID, "head.name", "not a record");
	}
	const int status = fill_from_record(draft, record, sections, n);
	if (status) {
		draft_destroy(draft);
		return refuse(why, status, "pocs", "%s", status_text(status));
	}
	*out = draft;
	return 0;
}

int draft_from_envelope(const struct envelope *envelope, const ProtobufCBinaryData *sections, size_t n,
			struct draft **out, struct refusal *why)
{
	const int status = draft_from_record(envelope->payload.record, sections, n, out, why);

	if (!status)
		(*out)->base = (struct draft_base){true, envelope->seq, envelope->value};
	return status;
}

static void forget_digests(struct draft_section *sections, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sections[i].has_digest = sections[i].has_digest && !sections[i].content;
}

void draft_forget_digests(struct draft *draft)
{
	for (size_t i = 0; i < draft->n_pocs; i++)
		forget_digests(draft->pocs[i].sections, draft->pocs[i].n_sections);
	forget_digests(draft->sections, draft->n_sections);
}

void draft_forget_base(struct draft *draft)
{
	if (draft->base.known)
		draft->expires = 0;
	draft->base = (struct draft_base){0};
	draft_forget_digests(draft);
}

/* ---- To JSON ------------------------------------------------------------------------------------------------------
 */

static json_t *section_to_json(const struct draft_section *section)
{
	char digest[2 * HASH_SIZE + 1];
	json_t *json = json_pack("{s:s, s:s}", "name", section->name, "tlp", tlp_name(section->tlp));

	hash_to_hex(&section->digest, digest);
	int failed = json ? 0 : -1;
	if (!failed && section->has_digest)
		failed = json_object_set_new(json, "digest", json_string(digest));
	if (!failed)
		failed = json_object_set_new(json, "content",
					     section->content ? content_to_json(section->content) : json_null());
	if (failed) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static json_t *sections_to_json(const struct draft_section *sections, size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; list && i < n; i++) {
		if (json_array_append_new(list, section_to_json(&sections[i])) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *pocs_to_json(const struct draft *draft)
{
	json_t *list = json_array();
	for (size_t i = 0; list && i < draft->n_pocs; i++) {
		const struct draft_poc *poc = &draft->pocs[i];
		json_t *item = json_pack("{s:s, s:s, s:o}", "id", poc->id, "kind", poc_kind_name(poc->kind), "sections",
					 sections_to_json(poc->sections, poc->n_sections));
		if (json_array_append_new(list, item) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static int set_time(json_t *json, const char *key, int64_t seconds)
{
	char text[32];
	if (seconds == 0)
		return 0;
	time_to_text(seconds, text);
	return json_object_set_new(json, key, json_string(text));
}

/* R/BR/unit is the record of the place BR/unit. */
static const char *place_of(const struct draft *draft)
{
	return draft->name.text[0] ? draft->name.text + 2 : "";
}

static int set_base(json_t *json, const struct draft_base *base)
{
	char value[2 * HASH_SIZE + 1];

	if (!base->known)
		return 0;
	json_t *object = json_pack("{s:I}", "seq", (json_int_t)base->seq);
	hash_to_hex(&base->value, value);
	if (base->seq > 0 && json_object_set_new(object, "value", json_string(value)) != 0) {
		json_decref(object);
		return -1;
	}
	return json_object_set_new(json, "based_on", object);
}

json_t *draft_to_json(const struct draft *draft)
{
	json_t *json = json_pack("{s:s, s:s}", "schema", SCHEMA, "place", place_of(draft));
	int failed = json ? 0 : -1;

	if (!failed && draft->withdrawn)
		failed = json_object_set_new(json, "withdrawn", json_true());
	if (!failed)
		failed = set_time(json, "issued", draft->issued) || set_time(json, "confirmed", draft->confirmed) ||
			 set_time(json, "expires", draft->expires) || set_base(json, &draft->base);
	if (!failed)
		failed = json_object_set_new(json, "pocs", pocs_to_json(draft));
	if (!failed && draft->n_sections > 0)
		failed = json_object_set_new(json, "sections", sections_to_json(draft->sections, draft->n_sections));
	if (failed) {
		json_decref(json);
		return NULL;
	}
	return json;
}

/* ---- From JSON ----------------------------------------------------------------------------------------------------
 */

static int bad(struct refusal *why, const char *path, const char *key, const char *message)
{
	char field[240];
	snprintf(field, sizeof field, "%s%s", path, key);
	return refuse(why, STATUS_INVALID, field, "%s", message);
}

/* Refuses keys that are not in the NULL-terminated list. */
static int only_keys(const json_t *json, const char *const *known, const char *path, struct refusal *why)
{
	const char *key;
	json_t *value;

	if (!json_is_object(json))
		return bad(why, path, "", "must be an object");
	json_object_foreach((json_t *)json, key, value)
	{
		size_t i = 0;
		while (known[i] && strcmp(known[i], key) != 0)
			i++;
		if (!known[i])
			return bad(why, path, key, "unknown key");
	}
	return 0;
}

/* An id under key into out[41]. */
static int id_from_json(const json_t *json, const char *key, char out[41], const char *path, struct refusal *why)
{
	const char *text = json_string_value(json_object_get(json, key));
	if (!text || !id_valid(text))
		return bad(why, path, key, "must match [a-z0-9-]{1,40}");
	snprintf(out, 41, "%s", text);
	return 0;
}

static int tlp_from_json(const json_t *json, bool own, struct draft_section *section, const char *path,
			 struct refusal *why)
{
	const json_t *tlp = json_object_get(json, "tlp");
	if (tlp)
		return json_is_string(tlp) && tlp_parse(json_string_value(tlp), &section->tlp)
			   ? 0
			   : bad(why, path, "tlp", "must be CLEAR, GREEN, AMBER or AMBER+STRICT");
	if (own && strcmp(section->name, "units") == 0)
		section->tlp = POC__TLP__TLP_CLEAR;
	else if (section->content && section->content->n_persons > 0)
		section->tlp = POC__TLP__TLP_AMBER;
	else
		section->tlp = POC__TLP__TLP_GREEN;
	return 0;
}

static int section_from_json(const json_t *json, bool own, struct draft_section *section, const char *path,
			     struct refusal *why)
{
	static const char *const keys[] = {"name", "tlp", "digest", "content", NULL};
	const json_t *content, *digest;
	char inner[120];
	int status = only_keys(json, keys, path, why);

	if (!status)
		status = id_from_json(json, "name", section->name, path, why);
	if (status)
		return status;
	digest = json_object_get(json, "digest");
	section->has_digest = digest != NULL;
	if (digest && (!json_is_string(digest) || hash_from_hex(json_string_value(digest), &section->digest) != 0))
		return bad(why, path, "digest", "must be 64 hexadecimal digits");
	content = json_object_get(json, "content");
	if (!content || (json_is_null(content) && !digest))
		return bad(why, path, "content", "missing");
	snprintf(inner, sizeof inner, "%scontent.", path);
	if (!json_is_null(content))
		status = content_from_json(content, inner, &section->content, why);
	return status ? status : tlp_from_json(json, own, section, path, why);
}

static int sections_from_json(const json_t *json, bool own, size_t max, const char *path, struct draft_section **out,
			      size_t *n_out, struct refusal *why)
{
	const size_t n = json_array_size(json);

	if ((json && !json_is_array(json)) || n > max)
		return bad(why, path, "sections", "must be a list of sections, not longer than a record allows");
	*out = calloc(n > 0 ? n : 1, sizeof **out);
	if (!*out)
		return no_memory(why);
	*n_out = n;
	for (size_t i = 0; i < n; i++) {
		char inner[80];
		snprintf(inner, sizeof inner, "%ssections[%zu].", path, i);
		const int status = section_from_json(json_array_get(json, i), own, &(*out)[i], inner, why);
		if (status)
			return status;
	}
	return 0;
}

static int poc_from_json(const json_t *json, struct draft_poc *poc, const char *path, struct refusal *why)
{
	static const char *const keys[] = {"id", "kind", "sections", NULL};
	int status = only_keys(json, keys, path, why);

	if (!status)
		status = id_from_json(json, "id", poc->id, path, why);
	if (status)
		return status;
	const char *kind = json_string_value(json_object_get(json, "kind"));
	if (!kind || !poc_kind_parse(kind, &poc->kind))
		return bad(why, path, "kind", "must be technical or diplomatic");
	return sections_from_json(json_object_get(json, "sections"), false, RECORD_SECTIONS_MAX, path, &poc->sections,
				  &poc->n_sections, why);
}

static int pocs_from_json(const json_t *json, struct draft *draft, struct refusal *why)
{
	const size_t n = json_array_size(json);

	if ((json && !json_is_array(json)) || n > RECORD_POCS_MAX)
		return bad(why, "", "pocs", "must be a list of at most 16 points of contact");
	draft->pocs = calloc(n + 1, sizeof *draft->pocs);
	if (!draft->pocs)
		return no_memory(why);
	draft->n_pocs = n;
	for (size_t i = 0; i < n; i++) {
		char path[40];
		snprintf(path, sizeof path, "pocs[%zu].", i);
		const int status = poc_from_json(json_array_get(json, i), &draft->pocs[i], path, why);
		if (status)
			return status;
	}
	return 0;
}

static int time_of(const json_t *json, const char *key, int64_t *out, struct refusal *why)
{
	const json_t *value = json_object_get(json, key);
	if (!value || (json_is_string(value) && time_from_text(json_string_value(value), out) == 0))
		return 0;
	return bad(why, "", key, "must be a time like 2026-11-24T12:00:00Z");
}

static int base_from_json(const json_t *json, struct draft_base *base, struct refusal *why)
{
	static const char *const keys[] = {"seq", "value", NULL};
	const json_t *object = json_object_get(json, "based_on");

	if (!object)
		return 0;
	const int status = only_keys(object, keys, "based_on.", why);
	if (status)
		return status;
	const json_t *seq = json_object_get(object, "seq");
	const char *value = json_string_value(json_object_get(object, "value"));
	if (!json_is_integer(seq) || json_integer_value(seq) < 0)
		return bad(why, "based_on.", "seq", "must be the number of a version, or 0 where there was none");
	base->known = true;
	base->seq = (uint64_t)json_integer_value(seq);
	if (base->seq > 0 ? !value || hash_from_hex(value, &base->value) != 0
			  : json_object_get(object, "value") != NULL)
		return bad(why, "based_on.", "value", "must be that version's hash, 64 hexadecimal digits");
	return 0;
}

static int fill_from_json(const json_t *json, struct draft *draft, struct refusal *why)
{
	static const char *const keys[] = {"schema",  "place",    "withdrawn", "issued",   "confirmed",
					   "expires", "based_on", "pocs",      "sections", NULL};
	const json_t *schema, *withdrawn;
	int status = only_keys(json, keys, "", why);

	if (status)
		return status;
	schema = json_object_get(json, "schema");
	if (schema && (!json_is_string(schema) || strcmp(json_string_value(schema), SCHEMA) != 0))
		return bad(why, "", "schema", "must be " SCHEMA);
	const char *place = json_string_value(json_object_get(json, "place"));
	if (!place || !place_parse(place, &draft->name))
		return bad(why, "", "place", "must be a state's code like BR, or BR/unit");
	withdrawn = json_object_get(json, "withdrawn");
	if (withdrawn && !json_is_boolean(withdrawn))
		return bad(why, "", "withdrawn", "must be true or false");
	draft->withdrawn = json_is_true(withdrawn);
	if ((status = time_of(json, "issued", &draft->issued, why)) ||
	    (status = time_of(json, "confirmed", &draft->confirmed, why)) ||
	    (status = time_of(json, "expires", &draft->expires, why)) ||
	    (status = base_from_json(json, &draft->base, why)) ||
	    (status = pocs_from_json(json_object_get(json, "pocs"), draft, why)))
		return status;
	return sections_from_json(json_object_get(json, "sections"), true, RECORD_SECTIONS_OWN_MAX, "",
				  &draft->sections, &draft->n_sections, why);
}

/* The record of a whole lookup document, or the document itself. */
static int record_of(const json_t *json, const json_t **record, struct refusal *why)
{
	static const char *const keys[] = {"schema", "place", "record", "open_now", "remarks", "verdict", NULL};

	*record = json;
	if (!json_object_get(json, "record"))
		return 0;
	*record = json_object_get(json, "record");
	return only_keys(json, keys, "", why);
}

int draft_from_json(const json_t *json, struct draft **out, struct refusal *why)
{
	*out = NULL;
	const json_t *record;
	int status = record_of(json, &record, why);
	if (status)
		return status;
	struct draft *draft = draft_create();
	if (!draft)
		return no_memory(why);
	status = fill_from_json(record, draft, why);
	if (status) {
		draft_destroy(draft);
		return status;
	}
	*out = draft;
	return 0;
}

/* ---- Check --------------------------------------------------------------------------------------------------------
 */

static size_t section_size(const struct draft *draft, const char *poc, const struct draft_section *section)
{
	uint8_t zeros[HASH_SIZE] = {0};
	Poc__Section whole = POC__SECTION__INIT;
	whole.directory_id = whole.salt = (ProtobufCBinaryData){sizeof zeros, zeros};
	whole.record = (char *)draft->name.text;
	whole.poc = (char *)poc;
	whole.name = (char *)section->name;
	whole.content = section->content;
	return poc__section__get_packed_size(&whole);
}

static int check_section(const struct draft *draft, const char *poc, const struct draft_section *section,
			 const char *path, size_t *total, struct refusal *why)
{
	const bool units = !poc[0] && strcmp(section->name, "units") == 0;
	struct refusal inner;

	if (!id_valid(section->name))
		return bad(why, path, "name", "must match [a-z0-9-]{1,40}");
	if (section->tlp == POC__TLP__TLP_UNSPECIFIED)
		return bad(why, path, "tlp", "missing");
	if (!section->content)
		return section->has_digest ? 0 : bad(why, path, "content", "missing");
	const int status = content_check(section->content, units, &inner);
	if (status) {
		char field[240];
		snprintf(field, sizeof field, "%scontent.%s", path, inner.field);
		return refuse(why, status, field, "%s", inner.message);
	}
	const size_t size = section_size(draft, poc, section), max = units ? SECTION_UNITS_MAX : SECTION_MAX;
	if (size > max)
		return refuse(why, STATUS_TOO_LARGE, path, "a section has at most %zu bytes, this one %zu", max, size);
	*total += units ? 0 : size;
	return 0;
}

static int check_sections(const struct draft *draft, const char *poc, const struct draft_section *sections, size_t n,
			  const char *path, size_t *total, struct refusal *why)
{
	for (size_t i = 0; i < n; i++) {
		char inner[80];
		snprintf(inner, sizeof inner, "%ssections[%zu].", path, i);
		for (size_t j = 0; j < i; j++)
			if (strcmp(sections[i].name, sections[j].name) == 0)
				return bad(why, inner, "name", "given twice");
		const int status = check_section(draft, poc, &sections[i], inner, total, why);
		if (status)
			return status;
	}
	return 0;
}

static int check_poc(const struct draft *draft, size_t i, size_t *total, struct refusal *why)
{
	const struct draft_poc *poc = &draft->pocs[i];
	char path[40];

	snprintf(path, sizeof path, "pocs[%zu].", i);
	if (!id_valid(poc->id))
		return bad(why, path, "id", "must match [a-z0-9-]{1,40}");
	for (size_t j = 0; j < i; j++)
		if (strcmp(draft->pocs[j].id, poc->id) == 0)
			return bad(why, path, "id", "given twice");
	if (poc->kind != POC__POC_KIND__POC_KIND_TECHNICAL && poc->kind != POC__POC_KIND__POC_KIND_DIPLOMATIC)
		return bad(why, path, "kind", "must be technical or diplomatic");
	if (poc->n_sections == 0 || poc->n_sections > RECORD_SECTIONS_MAX)
		return bad(why, path, "sections", "1 to 16");
	return check_sections(draft, poc->id, poc->sections, poc->n_sections, path, total, why);
}

int draft_check(const struct draft *draft, struct refusal *why)
{
	size_t total = 0;

	if (draft->name.kind != NAME_RECORD)
		return bad(why, "", "place", "missing");
	if (draft->withdrawn)
		return draft->n_pocs + draft->n_sections == 0
			   ? 0
			   : bad(why, "", "withdrawn", "a withdrawn record has no points of contact and no sections");
	if (draft->n_pocs == 0)
		return bad(why, "", "pocs", "at least one point of contact");
	if (draft->n_pocs > RECORD_POCS_MAX)
		return bad(why, "", "pocs", "at most 16");
	if (draft->n_sections > RECORD_SECTIONS_OWN_MAX)
		return bad(why, "", "sections", "at most 4 of the record itself");
	for (size_t i = 0; i < draft->n_pocs; i++) {
		const int status = check_poc(draft, i, &total, why);
		if (status)
			return status;
	}
	const int status = check_sections(draft, "", draft->sections, draft->n_sections, "", &total, why);
	if (status)
		return status;
	if (total > SECTIONS_TOTAL_MAX)
		return refuse(why, STATUS_TOO_LARGE, "pocs", "the sections have %zu bytes together, at most %d", total,
			      SECTIONS_TOTAL_MAX);
	return 0;
}

static int check_zone(const Poc__Hours *hours, const char *path, const char *key, struct refusal *why)
{
	char field[240];

	if (!hours || zone_known(hours->zone))
		return 0;
	snprintf(field, sizeof field, "%s%shours.zone", path, key);
	return refuse(why, STATUS_INVALID, field,
		      "\"%.64s\" is no time zone that this machine knows (IANA, like Europe/Paris)", hours->zone);
}

static int check_zones(const Poc__Content *content, const char *path, struct refusal *why)
{
	char key[80];
	int status = check_zone(content->hours, path, "", why);

	for (size_t i = 0; !status && i < content->n_channels; i++) {
		snprintf(key, sizeof key, "channels[%zu].", i);
		status = check_zone(content->channels[i]->hours, path, key, why);
	}
	for (size_t i = 0; i < content->n_persons; i++)
		for (size_t j = 0; !status && j < content->persons[i]->n_channels; j++) {
			snprintf(key, sizeof key, "persons[%zu].channels[%zu].", i, j);
			status = check_zone(content->persons[i]->channels[j]->hours, path, key, why);
		}
	return status;
}

/* "english" is well formed as a tag, but no language has one of more than three letters. */
static int check_tag(const char *tag, const char *path, const char *key, struct refusal *why)
{
	char field[240];

	if (strcspn(tag, "-") <= 3)
		return 0;
	snprintf(field, sizeof field, "%s%s", path, key);
	return refuse(why, STATUS_INVALID, field, "\"%.40s\" is no language's tag (BCP 47, like en, fr, pt-BR)", tag);
}

static int check_text_tags(Poc__Text *const *texts, size_t n, const char *path, const char *key, struct refusal *why)
{
	char field[120];
	int status = 0;

	for (size_t i = 0; !status && i < n; i++) {
		snprintf(field, sizeof field, "%s[%zu].lang", key, i);
		status = check_tag(texts[i]->lang, path, field, why);
	}
	return status;
}

static int check_language_tags(char *const *tags, size_t n, const char *path, const char *key, struct refusal *why)
{
	char field[120];
	int status = 0;

	for (size_t i = 0; !status && i < n; i++) {
		snprintf(field, sizeof field, "%s[%zu]", key, i);
		status = check_tag(tags[i], path, field, why);
	}
	return status;
}

static int check_tags(const Poc__Content *c, const char *path, struct refusal *why)
{
	char key[80];
	int status = check_text_tags(c->names, c->n_names, path, "names", why);

	if (!status)
		status = check_text_tags(c->descriptions, c->n_descriptions, path, "descriptions", why);
	if (!status)
		status = check_language_tags(c->languages, c->n_languages, path, "languages", why);
	for (size_t i = 0; !status && i < c->n_persons; i++) {
		snprintf(key, sizeof key, "persons[%zu].names", i);
		status = check_text_tags(c->persons[i]->names, c->persons[i]->n_names, path, key, why);
		snprintf(key, sizeof key, "persons[%zu].languages", i);
		if (!status)
			status =
			    check_language_tags(c->persons[i]->languages, c->persons[i]->n_languages, path, key, why);
	}
	return status;
}

static bool reaches(const Poc__Content *content)
{
	bool any = content->n_channels + content->n_websites > 0;

	for (size_t i = 0; i < content->n_persons; i++)
		any = any || content->persons[i]->n_channels > 0;
	return any;
}

static int check_use_of_poc(const struct draft_poc *poc, size_t at, struct refusal *why)
{
	bool reached = false;
	char path[80];
	int status = 0;

	for (size_t i = 0; !status && i < poc->n_sections; i++) {
		const Poc__Content *content = poc->sections[i].content;
		reached = reached || !content || reaches(content);
		snprintf(path, sizeof path, "pocs[%zu].sections[%zu].content.", at, i);
		if (content)
			status = check_zones(content, path, why);
		if (content && !status)
			status = check_tags(content, path, why);
	}
	snprintf(path, sizeof path, "pocs[%zu].", at);
	return status || reached ? status
				 : bad(why, path, "channels", "nobody could reach it: give a channel or a web site");
}

int draft_check_use(const struct draft *draft, struct refusal *why)
{
	int status = 0;

	for (size_t i = 0; !status && i < draft->n_pocs; i++)
		status = check_use_of_poc(&draft->pocs[i], i, why);
	return status;
}

/* ---- Build --------------------------------------------------------------------------------------------------------
 */

/* What building a record needs at hand. */
struct builder {
	const struct draft *draft;
	const struct hash *directory;
	const Poc__Record *prev_record;
	const ProtobufCBinaryData *prev_sections;
	size_t n_prev_sections;
	struct draft_sections *out; /* bytes */
	struct refusal *why;
	size_t n_refs;
	struct hash *digests;       /* of the references, which point here */
	Poc__SectionRef *refs;      /* of all sections, POC by POC, then the record's own */
	Poc__SectionRef **ref_list; /* pointers to them */
	Poc__PointOfContact *pocs;
	Poc__PointOfContact **poc_list;
};

void draft_sections_free(struct draft_sections *sections)
{
	for (size_t i = 0; i < sections->n; i++)
		free(sections->items[i].bytes);
	free(sections->items);
	*sections = (struct draft_sections){0, NULL};
}

static const Poc__SectionRef *find_ref(Poc__SectionRef *const *refs, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(refs[i]->name, name) == 0)
			return refs[i];
	return NULL;
}

/* The reference to that section in the record that is current. */
static const Poc__SectionRef *prev_ref(const Poc__Record *record, const char *poc, const char *name)
{
	if (!record)
		return NULL;
	if (!poc[0])
		return find_ref(record->sections, record->n_sections, name);
	for (size_t i = 0; i < record->n_pocs; i++)
		if (strcmp(record->pocs[i]->id, poc) == 0)
			return find_ref(record->pocs[i]->sections, record->pocs[i]->n_sections, name);
	return NULL;
}

static bool content_equal(const Poc__Content *a, const Poc__Content *b)
{
	uint8_t *packed_a = NULL, *packed_b = NULL;
	size_t size_a, size_b;
	const bool equal = a && b && message_encode(a, &packed_a, &size_a) == 0 &&
			   message_encode(b, &packed_b, &size_b) == 0 && size_a == size_b &&
			   memcmp(packed_a, packed_b, size_a) == 0;
	free(packed_a);
	free(packed_b);
	return equal;
}

/* The present bytes of a section, if its content is to stay; NULL if new bytes are needed. */
static const ProtobufCBinaryData *find_unchanged(const struct builder *builder, const Poc__SectionRef *ref,
						 const Poc__Content *content)
{
	for (size_t i = 0; ref && i < builder->n_prev_sections; i++) {
		const ProtobufCBinaryData *bytes = &builder->prev_sections[i];
		const struct hash digest = hash_section(bytes->data, bytes->len);
		Poc__Section *section;
		if (ref->digest.len != HASH_SIZE || memcmp(digest.bytes, ref->digest.data, HASH_SIZE) != 0 ||
		    section_parse(bytes->data, bytes->len, &section, NULL) != 0)
			continue;
		const bool equal = content_equal(section->content, content);
		message_free(section);
		return equal ? bytes : NULL;
	}
	return NULL;
}

static int keep_bytes(struct builder *builder, uint8_t *bytes, size_t size, struct hash *digest)
{
	builder->out->items[builder->out->n].bytes = bytes;
	builder->out->items[builder->out->n].size = size;
	builder->out->n++;
	*digest = hash_section(bytes, size);
	return 0;
}

static int build_section(struct builder *builder, const char *poc, const struct draft_section *section,
			 const char *path, struct hash *digest)
{
	const Poc__SectionRef *old = prev_ref(builder->prev_record, poc, section->name);
	uint8_t *bytes;
	size_t size;

	const bool same_digest =
	    old && old->digest.len == HASH_SIZE && memcmp(old->digest.data, section->digest.bytes, HASH_SIZE) == 0;
	if (section->content && section->has_digest && !same_digest)
		return bad(
		    builder->why, path, "digest",
		    old ? "is not that of the current record: made from another version? without it, the content counts"
			: "is of no section of the current record: leave it out where the section is new");
	if (!section->content) {
		if (!same_digest)
			return bad(builder->why, path, "content",
				   "is not at hand and is not that of the current record");
		*digest = section->digest;
		return 0;
	}
	const ProtobufCBinaryData *unchanged = find_unchanged(builder, old, section->content);
	if (unchanged) {
		bytes = malloc(unchanged->len + 1);
		if (!bytes)
			return no_memory(builder->why);
		memcpy(bytes, unchanged->data, unchanged->len);
		return keep_bytes(builder, bytes, unchanged->len, digest);
	}
	const int status = section_make(builder->directory, builder->draft->name.text, poc, section->name,
					section->content, &bytes, &size, builder->why);
	return status ? status : keep_bytes(builder, bytes, size, digest);
}

/* Makes references to n sections; *list is their place in the builder's list. */
static int build_sections(struct builder *builder, const char *poc, const struct draft_section *sections, size_t n,
			  const char *path, Poc__SectionRef ***list)
{
	*list = builder->ref_list + builder->n_refs;
	for (size_t i = 0; i < n; i++) {
		const size_t at = builder->n_refs++;
		char inner[80];
		snprintf(inner, sizeof inner, "%ssections[%zu].", path, i);
		const int status = build_section(builder, poc, &sections[i], inner, &builder->digests[at]);
		if (status)
			return status;
		poc__section_ref__init(&builder->refs[at]);
		builder->refs[at].name = (char *)sections[i].name;
		builder->refs[at].tlp = sections[i].tlp;
		builder->refs[at].digest = (ProtobufCBinaryData){HASH_SIZE, builder->digests[at].bytes};
		builder->ref_list[at] = &builder->refs[at];
	}
	return 0;
}

static int build_pocs(struct builder *builder, Poc__Record *record)
{
	const struct draft *draft = builder->draft;
	for (size_t i = 0; i < draft->n_pocs; i++) {
		Poc__PointOfContact *poc = &builder->pocs[i];
		char path[40];
		snprintf(path, sizeof path, "pocs[%zu].", i);
		poc__point_of_contact__init(poc);
		poc->id = draft->pocs[i].id;
		poc->kind = draft->pocs[i].kind;
		poc->n_sections = draft->pocs[i].n_sections;
		const int status =
		    build_sections(builder, poc->id, draft->pocs[i].sections, poc->n_sections, path, &poc->sections);
		if (status)
			return status;
		builder->poc_list[i] = poc;
	}
	record->n_pocs = draft->n_pocs;
	record->pocs = builder->poc_list;
	record->n_sections = draft->n_sections;
	return build_sections(builder, "", draft->sections, draft->n_sections, "", &record->sections);
}

/* Whether the two say the same apart from their heads and times. */
static bool same_facts(const Poc__Record *a, const Poc__Record *b)
{
	Poc__Record x = *a, y = *b;
	uint8_t *packed_x = NULL, *packed_y = NULL;
	size_t size_x, size_y;

	x.head = y.head = NULL;
	x.issued = y.issued = x.confirmed = y.confirmed = x.expires = y.expires = 0;
	const bool same = message_encode(&x, &packed_x, &size_x) == 0 && message_encode(&y, &packed_y, &size_y) == 0 &&
			  size_x == size_y && memcmp(packed_x, packed_y, size_x) == 0;
	free(packed_x);
	free(packed_y);
	return same;
}

/* A record that only says again what the last one said keeps its issue date and is confirmed. */
static int build_times(const struct builder *builder, int64_t now, Poc__Record *record)
{
	const Poc__Record *prev = builder->prev_record;
	int64_t expires = builder->draft->expires;

	record->issued = prev && prev->issued <= now && same_facts(prev, record) ? prev->issued : now;
	record->confirmed = now;
	/* The expiry of the record that is replaced is no wish. */
	if (expires == 0 || (prev && prev->expires == expires))
		expires = now + LIFE_DEFAULT;
	if (expires <= now || expires > now + RECORD_LIFE_MAX)
		return bad(builder->why, "", "expires", "must lie ahead, at most 400 days");
	record->expires = expires;
	return 0;
}

static int builder_init(struct builder *builder)
{
	const struct draft *draft = builder->draft;
	size_t n = draft->n_sections;
	for (size_t i = 0; i < draft->n_pocs; i++)
		n += draft->pocs[i].n_sections;
	builder->digests = calloc(n + 1, sizeof *builder->digests);
	builder->refs = calloc(n + 1, sizeof *builder->refs);
	builder->ref_list = calloc(n + 1, sizeof(Poc__SectionRef *));
	builder->pocs = calloc(draft->n_pocs + 1, sizeof *builder->pocs);
	builder->poc_list = calloc(draft->n_pocs + 1, sizeof(Poc__PointOfContact *));
	builder->out->items = calloc(n + 1, sizeof *builder->out->items);
	return builder->digests && builder->refs && builder->ref_list && builder->pocs && builder->poc_list &&
		       builder->out->items
		   ? 0
		   : no_memory(builder->why);
}

static void builder_finish(struct builder *builder)
{
	free(builder->digests);
	free(builder->refs);
	free(builder->ref_list);
	free(builder->pocs);
	free(builder->poc_list);
}

/* A copy that owns its parts: what the builder made points into builder and draft. */
static int copy_record(const Poc__Record *record, Poc__Record **out, struct refusal *why)
{
	uint8_t *bytes;
	size_t size;
	ProtobufCMessage *message = NULL;
	int status = message_encode(record, &bytes, &size);

	if (status)
		return no_memory(why);
	status = message_decode(&poc__record__descriptor, bytes, size, &prescan_default, &message, why);
	free(bytes);
	*out = (Poc__Record *)message;
	return status ? status : record_check(*out, why);
}

int draft_build(const struct draft *draft, const struct hash *directory, uint64_t seq, const struct hash *prev,
		const Poc__Record *prev_record, const ProtobufCBinaryData *prev_sections, size_t n_prev_sections,
		int64_t now, Poc__Record **record, struct draft_sections *sections, struct refusal *why)
{
	struct builder builder = {draft, directory, prev_record, prev_sections, n_prev_sections, sections, why};
	Poc__Record made = POC__RECORD__INIT;
	Poc__Head head = POC__HEAD__INIT;

	*record = NULL;
	*sections = (struct draft_sections){0, NULL};
	int status = draft_check(draft, why);
	if (status)
		return status;
	head_fill(&head, directory, draft->name.text, seq, prev);
	made.head = &head;
	made.withdrawn = draft->withdrawn;
	status = builder_init(&builder);
	if (!status)
		status = build_pocs(&builder, &made);
	if (!status)
		status = build_times(&builder, now, &made);
	if (!status)
		status = copy_record(&made, record, why);
	builder_finish(&builder);
	if (status) {
		message_free(*record);
		*record = NULL;
		draft_sections_free(sections);
	}
	return status;
}
