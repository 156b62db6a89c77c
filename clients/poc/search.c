/* Searching and exporting the verified local copy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "clients/cli/countries.h"
#include "clients/cli/csv.h"
#include "clients/cli/escape.h"
#include "clients/cli/link.h"
#include "clients/cli/place.h"
#include "clients/cli/show.h"
#include "clients/cli/strings.h"
#include "clients/poc/commands.h"

struct searching {
	struct cli *cli;
	struct poc *poc;
	char *text; /* folded; NULL: any */
	const char *language, *member;
	Poc__PocKind kind;
	bool open_now;
	bool tells_offline; /* on stdout; an export's stdout is the file */
	bool offline, stale;
	bool behind; /* the server is, of what this client has seen */
	bool clock;  /* this machine's clock is before the copy */
	int64_t now; /* seconds: what the record at hand is judged at */
	json_t *found;
	json_t *no_channel; /* of a text search, beside each found: what to say in a channel's place */
	FILE *csv;
};

static void tell_offline(struct searching *s, const struct poc_facts *facts)
{
	s->offline = true;
	if (!s->cli->json && s->tells_offline)
		show_offline(facts->copy_time_ms / 1000, client_now(s->poc));
	else if (!s->cli->json)
		cli_note(s->cli, tr("offline: this is the copy of %s"), time_text(facts->copy_time_ms / 1000));
}

/* The copy is brought up to the server's head; without an answer from any server it is taken as it is. */
static int refresh(struct searching *s)
{
	struct cli *cli = s->cli;
	struct poc_facts facts;
	struct refusal why;
	int status = cli->offline ? STATUS_UNREACHABLE : poc_connect(s->poc);

	why = *client_why(s->poc);
	if (poc_facts(s->poc, &facts) != 0)
		return link_fail(cli, s->poc, STATUS_DAMAGED);
	if (status == 0 && facts.have_copy && facts.copy_size == facts.size)
		return 0;
	if (status == 0) {
		status = poc_sync(s->poc, NULL, NULL);
		return status == 0 ? 0 : link_fail(cli, s->poc, status);
	}
	bool silent =
	    status == STATUS_UNREACHABLE || status == STATUS_TLS || status == STATUS_BEHIND || status == STATUS_CLOCK;
	if (cli->insist || !silent)
		return cli_refused(cli, &why);
	if (facts.copy_damage[0] != '\0')
		return cli_fail(cli, STATUS_UNVERIFIED, "%s", facts.copy_damage);
	if (!facts.have_copy)
		return cli_fail(cli, status, tr("%s%sthere is no local copy (poc sync makes one)"), why.message,
				why.message[0] != '\0' ? "; and " : "");
	tell_offline(s, &facts);
	s->behind = status == STATUS_BEHIND;
	if (s->behind)
		cli_note(cli, "%s", why.message);
	s->clock = status == STATUS_CLOCK;
	return 0;
}

/* What is shown all the same, and may be wrong. */
static int judge_copy(const struct searching *s)
{
	if (s->clock)
		cli_note(s->cli, tr("this machine's clock is before the directory's checkpoint"));
	else if (s->stale)
		cli_note(s->cli, tr("the local copy is stale"));
	else if (s->behind)
		cli_note(s->cli, tr("verified, from the local copy: what came since is not known"));
	return s->clock ? STATUS_CLOCK : s->stale ? STATUS_STALE : s->behind ? STATUS_BEHIND : 0;
}

static bool contains(const char *text, const char *folded)
{
	char *key = country_key_of(text);
	bool found = key != NULL && strstr(key, folded) != NULL;

	free(key);
	return found;
}

static bool texts_contain(Poc__Text *const *texts, size_t n, const char *folded)
{
	for (size_t i = 0; i < n; i++) {
		if (contains(texts[i]->text, folded))
			return true;
	}
	return false;
}

static bool content_contains(const Poc__Content *c, const char *folded)
{
	if (texts_contain(c->names, c->n_names, folded) || texts_contain(c->institutions, c->n_institutions, folded) ||
	    texts_contain(c->descriptions, c->n_descriptions, folded))
		return true;
	for (size_t i = 0; i < c->n_channels; i++) {
		if (contains(c->channels[i]->value, folded))
			return true;
	}
	for (size_t i = 0; i < c->n_websites; i++) {
		if (contains(c->websites[i], folded))
			return true;
	}
	for (size_t i = 0; i < c->n_persons; i++) {
		if (texts_contain(c->persons[i]->names, c->persons[i]->n_names, folded))
			return true;
	}
	return false;
}

static bool speaks(const Poc__Content *c, const char *language)
{
	size_t n = strlen(language);

	for (size_t i = 0; i < c->n_languages; i++) {
		if (strncasecmp(c->languages[i], language, n) == 0 &&
		    (c->languages[i][n] == '\0' || c->languages[i][n] == '-'))
			return true;
	}
	return false;
}

static bool member_of(const Poc__Content *c, const char *organisation)
{
	for (size_t i = 0; i < c->n_memberships; i++) {
		if (strcasecmp(c->memberships[i]->organisation, organisation) == 0)
			return true;
	}
	return false;
}

static bool matches(const struct searching *s, const struct name *name, const struct draft_poc *poc)
{
	bool text =
	    s->text == NULL || contains(place_text(name), s->text) || contains(place_state_name(name->state), s->text);
	bool language = s->language == NULL, member = s->member == NULL;

	if (s->kind != 0 && poc->kind != s->kind)
		return false;
	for (size_t i = 0; i < poc->n_sections; i++) {
		const Poc__Content *c = poc->sections[i].content;
		if (c == NULL)
			continue;
		text = text || content_contains(c, s->text);
		language = language || speaks(c, s->language);
		member = member || member_of(c, s->member);
	}
	return text && language && member && (!s->open_now || show_open_now(poc, s->now) == 1);
}

static void found(struct searching *s, const struct verified_record *v, const struct draft_poc *poc)
{
	const struct name *name = &v->name;
	const Poc__Channel *channel = show_first_call(poc, s->now);
	int open = show_open_now(poc, s->now);

	json_array_append_new(
	    s->found,
	    json_pack("{s:s,s:s,s:s,s:s,s:b,s:o,s:o}", "place", place_text(name), "poc", poc->id, "kind",
		      poc_kind_name(poc->kind), "name", show_poc_name(poc), "suspended", (int)v->suspended, "open_now",
		      open < 0 ? json_null() : json_boolean(open), "channel",
		      channel == NULL ? json_null()
				      : json_pack("{s:s,s:s}", "type", channel->type, "value", channel->value)));
	if (!s->cli->json)
		json_array_append_new(s->no_channel, json_string_nocheck(channel == NULL ? show_no_channel(poc) : ""));
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

/* Only once all of the copy has been verified: a row of one that is damaged further on is not to be had. */
static void print_found(const struct searching *s)
{
	size_t width = 8;

	for (size_t i = 0; i < json_array_size(s->found); i++) {
		size_t place = escape_width(text_of(json_array_get(s->found, i), "place"));
		width = place > width ? place : width;
	}
	for (size_t i = 0; i < json_array_size(s->found); i++) {
		const json_t *one = json_array_get(s->found, i), *open = json_object_get(one, "open_now");
		const json_t *channel = json_object_get(one, "channel");
		char *name = escape_column(text_of(one, "name"), 40);
		cli_line("%-*s %-10s %s %s%-7s %s%s%s", (int)width, text_of(one, "place"), text_of(one, "kind"),
			 name != NULL ? name : text_of(one, "poc"),
			 json_is_true(json_object_get(one, "suspended")) ? tr("SUSPENDED ") : "",
			 json_is_null(open)   ? ""
			 : json_is_true(open) ? tr("open")
					      : tr("closed"),
			 text_of(channel, "type"), json_is_null(channel) ? "" : " ",
			 json_is_null(channel) ? json_string_value(json_array_get(s->no_channel, i))
					       : text_of(channel, "value"));
		free(name);
	}
}

static int search_record(void *ctx, const struct client_record *record)
{
	struct searching *s = ctx;
	const struct verified_record *v = &record->verified;
	struct draft *draft;

	s->now = record->verdict.judged;
	s->stale = s->stale || record->verdict.checkpoint_stale;
	s->clock = s->clock || record->verdict.clock_behind > 0;
	if (v->record == NULL || v->withdrawn ||
	    draft_from_record(v->record->payload.record, v->sections, v->n_sections, &draft, NULL) != 0)
		return 0;
	for (size_t i = 0; i < draft->n_pocs; i++) {
		if (matches(s, &v->name, &draft->pocs[i]))
			found(s, v, &draft->pocs[i]);
	}
	draft_destroy(draft);
	return 0;
}

int poc_cmd_search(struct cli *cli)
{
	struct searching s = {.cli = cli,
			      .language = cli_value(cli, "language"),
			      .member = cli_value(cli, "member"),
			      .open_now = cli_has(cli, "open-now"),
			      .tells_offline = true};
	const char *kind = cli_value(cli, "kind");

	if (kind != NULL && (!poc_kind_parse(kind, &s.kind) || s.kind == POC__POC_KIND__POC_KIND_COORDINATOR))
		return cli_fail(cli, STATUS_USAGE, tr("--kind is technical or diplomatic"));
	int status = link_open(cli, !cli->offline, &s.poc);
	if (status != 0)
		return status;
	client_only_reads(s.poc);
	if (cli->argc > 0)
		s.text = country_key_of(cli->argv[0]);
	s.found = json_array();
	s.no_channel = json_array();
	status = refresh(&s);
	if (status == 0 && (status = client_walk(s.poc, search_record, &s)) != 0)
		link_fail(cli, s.poc, status);
	json_t *document = status != 0 || !cli->json ? NULL
						     : json_pack("{s:O,s:b,s:b}", "found", s.found, "offline",
								 (int)s.offline, "stale", (int)(s.stale || s.behind));
	if (status == 0 && !cli->json)
		print_found(&s);
	if (status == 0 && !cli->json && json_array_size(s.found) == 0)
		cli_note(cli, tr("nothing found"));
	if (status == 0)
		status = judge_copy(&s);
	status = link_tell_unheld(cli, s.poc, status, document);
	if (document != NULL)
		cli_document(cli, "poc.search/1", document);
	json_decref(s.found);
	json_decref(s.no_channel);
	free(s.text);
	link_close(cli, s.poc);
	return status;
}

/* ---- export */

static void csv_channel(FILE *out, const struct name *name, const struct draft_poc *poc, const struct draft_section *s,
			const Poc__Channel *c, const struct poc_verdict *verdict)
{
	csv_field(out, place_text(name), false);
	csv_field(out, poc->id, false);
	csv_field(out, poc_kind_name(poc->kind), false);
	csv_field(out, show_poc_name(poc), false);
	csv_field(out, s->name, false);
	csv_field(out, tlp_name(s->tlp), false);
	csv_field(out, c->id, false);
	csv_field(out, c->type, false);
	csv_field(out, c->value, false);
	csv_field(out, time_text(verdict->confirmed), false);
	csv_field(out, show_standing(verdict), true);
}

static int export_record(void *ctx, const struct client_record *record)
{
	struct searching *s = ctx;
	const struct verified_record *v = &record->verified;
	struct draft *draft;

	s->stale = s->stale || record->verdict.checkpoint_stale;
	s->clock = s->clock || record->verdict.clock_behind > 0;
	if (v->record == NULL || draft_from_envelope(v->record, v->sections, v->n_sections, &draft, NULL) != 0)
		return 0;
	if (s->csv == NULL) {
		json_array_append_new(s->found, show_json(draft, &record->verdict));
	} else {
		for (size_t i = 0; i < draft->n_pocs; i++) {
			for (size_t j = 0; j < draft->pocs[i].n_sections; j++) {
				const struct draft_section *section = &draft->pocs[i].sections[j];
				for (size_t k = 0; section->content != NULL && k < section->content->n_channels; k++)
					csv_channel(s->csv, &v->name, &draft->pocs[i], section,
						    section->content->channels[k], &record->verdict);
			}
		}
	}
	draft_destroy(draft);
	return 0;
}

static int export_bytes(struct searching *s, const char *format, char **bytes, size_t *size)
{
	int status;

	if (strcmp(format, "bundle") == 0) {
		uint8_t *bundle = NULL;
		status = poc_export(s->poc, &bundle, size);
		*bytes = (char *)bundle;
		return status == 0 ? 0 : link_fail(s->cli, s->poc, status);
	}
	if (strcmp(format, "csv") == 0) {
		s->csv = open_memstream(bytes, size);
		if (s->csv == NULL)
			return cli_fail(s->cli, STATUS_NO_MEMORY, tr("out of memory"));
		fputs("place,poc,kind,name,section,tlp,channel,type,value,confirmed,status\n", s->csv);
	}
	status = client_walk(s->poc, export_record, s);
	if (s->csv != NULL && fclose(s->csv) != 0 && status == 0)
		status = STATUS_NO_MEMORY;
	if (status != 0)
		return link_fail(s->cli, s->poc, status);
	if (s->csv == NULL) {
		json_t *document = json_pack("{s:s,s:O}", "schema", "poc.export/1", "records", s->found);
		*bytes = json_dumps(document, JSON_SORT_KEYS | JSON_INDENT(1));
		json_decref(document);
		*size = *bytes != NULL ? strlen(*bytes) : 0;
	}
	return *bytes != NULL ? 0 : cli_fail(s->cli, STATUS_NO_MEMORY, tr("out of memory"));
}

int poc_cmd_export(struct cli *cli)
{
	struct searching s = {.cli = cli};
	const char *file = cli->argc > 0 && strcmp(cli->argv[0], "-") != 0 ? cli->argv[0] : NULL;
	const char *usual = cli->json && file == NULL ? "json" : "bundle";
	const char *format = cli_has(cli, "format") ? cli_value(cli, "format") : usual;
	char *bytes = NULL;
	size_t size = 0;
	struct refusal why = {0};

	if (strcmp(format, "bundle") != 0 && strcmp(format, "json") != 0 && strcmp(format, "csv") != 0)
		return cli_fail(cli, STATUS_USAGE, tr("--format is bundle, json or csv"));
	if (file == NULL && strcmp(format, "bundle") == 0 && isatty(STDOUT_FILENO))
		return cli_fail(cli, STATUS_USAGE, tr("a bundle is not for the eyes: export FILE"));
	int status = link_open(cli, !cli->offline, &s.poc);
	if (status != 0)
		return status;
	s.found = json_array();
	status = refresh(&s);
	if (status == 0)
		status = export_bytes(&s, format, &bytes, &size);
	if (status == 0 && file != NULL && cli->dry_run) {
		cli_would(cli, tr("%s would be written, %zu bytes"), file, size);
	} else if (status == 0 && file != NULL) {
		status = cli_write_file(file, bytes, size, 0600 /* it may hold persons */, false, &why);
		if (status != 0)
			cli_refused(cli, &why);
		else if (cli->json)
			cli_document(
			    cli, "poc.export/1",
			    json_pack("{s:s,s:s,s:I}", "file", file, "format", format, "size", (json_int_t)size));
	} else if (status == 0) {
		fwrite(bytes, 1, size, stdout);
	}
	if (status == 0)
		status = judge_copy(&s);
	free(bytes);
	json_decref(s.found);
	link_close(cli, s.poc);
	return status;
}
