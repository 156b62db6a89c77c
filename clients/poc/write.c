/* Publishing, confirming, withdrawing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/cli/channel.h"
#include "clients/cli/make.h"
#include "clients/cli/place.h"
#include "clients/cli/strings.h"
#include "clients/poc/commands.h"
#include "clients/poc/publish.h"

enum { DRAFT_FILE_MAX = 1 << 20 };

/* ---- Differences */

static json_t *record_part(json_t *document)
{
	json_t *copy = json_deep_copy(document);

	/* times change with every version and are shown by themselves */
	json_object_del(copy, "issued");
	json_object_del(copy, "confirmed");
	json_object_del(copy, "expires");
	json_object_del(copy, "schema");
	json_object_del(copy, "based_on");
	return copy;
}

static void collect_lines(json_t *value, const char *path, json_t *out)
{
	const char *key;
	json_t *item;
	size_t i;
	char below[300];

	if (json_is_object(value)) {
		bool has_content = json_is_object(json_object_get(value, "content"));
		json_object_foreach(value, key, item)
		{
			if (has_content && strcmp(key, "digest") == 0) /* follows from the content */
				continue;
			snprintf(below, sizeof below, "%s%s%s", path, path[0] != '\0' ? "." : "", key);
			collect_lines(item, below, out);
		}
	} else if (json_is_array(value)) {
		json_array_foreach(value, i, item)
		{
			const char *id = json_string_value(json_object_get(item, "id"));
			const char *name = json_string_value(json_object_get(item, "name"));
			if (id == NULL)
				id = name;
			if (id != NULL)
				snprintf(below, sizeof below, "%s[%s]", path, id);
			else
				snprintf(below, sizeof below, "%s[%zu]", path, i);
			collect_lines(item, below, out);
		}
	} else {
		char *text = json_dumps(value, JSON_ENCODE_ANY);
		json_object_set_new(out, path, json_string(text != NULL ? text : "?"));
		free(text);
	}
}

static json_t *lines_of(json_t *document)
{
	json_t *part = record_part(document), *lines = json_object();

	collect_lines(part, "", lines);
	json_decref(part);
	return lines;
}

/* What differs between two records' JSON (before may be NULL): [{"path", "before", "after"}], null where there is none.
 */
static json_t *difference(json_t *before, json_t *after)
{
	json_t *old = before != NULL ? lines_of(before) : json_object(), *new = lines_of(after), *value;
	json_t *changes = json_array();
	const char *key;

	json_object_foreach(old, key, value)
	{
		json_t *now = json_object_get(new, key);
		if (now == NULL || !json_equal(now, value))
			json_array_append_new(changes,
					      json_pack("{s:s,s:O,s:O?}", "path", key, "before", value, "after", now));
	}
	json_object_foreach(new, key, value)
	{
		if (json_object_get(old, key) == NULL)
			json_array_append_new(changes,
					      json_pack("{s:s,s:n,s:O}", "path", key, "before", "after", value));
	}
	json_decref(old);
	json_decref(new);
	return changes;
}

static void print_changes(json_t *changes, const char *place)
{
	json_t *change;
	size_t i;

	json_array_foreach(changes, i, change)
	{
		const char *path = json_string_value(json_object_get(change, "path"));
		const char *before = json_string_value(json_object_get(change, "before"));
		const char *after = json_string_value(json_object_get(change, "after"));
		if (before != NULL)
			cli_line("%s - %s: %s", place, path, before);
		if (after != NULL)
			cli_line("%s + %s: %s", place, path, after);
	}
}

/* Whether the draft was made from the present version, for all that it says. */
static bool is_based_on(const struct draft *draft, const struct client_record *current, bool exists)
{
	const struct draft_base *base = &draft->base;
	const struct envelope *record = current->verified.record;

	if (!base->known || !exists)
		return !base->known || base->seq == 0;
	return base->seq == record->seq && hash_compare(&base->value, &record->value) == 0;
}

/* A time as a difference shows it: as the JSON text that it is. */
static json_t *time_line(int64_t seconds)
{
	return seconds != 0 ? json_sprintf("\"%s\"", time_text(seconds)) : json_null();
}

/* An expiry is a wish where it is not that of the version that the draft was made from. */
static void add_expiry(json_t *changes, const struct draft *draft, const struct client_record *current, bool exists)
{
	const int64_t now = exists ? current->verified.record->payload.record->expires : 0;

	if (draft->expires != 0 && draft->expires != now && is_based_on(draft, current, exists))
		json_array_append_new(changes, json_pack("{s:s,s:o,s:o}", "path", "expires", "before", time_line(now),
							 "after", time_line(draft->expires)));
}

/* What a draft changes; NULL when out of memory. */
static json_t *changes_of(const struct draft *draft, const struct client_record *current, bool exists)
{
	struct draft *old = NULL;
	json_t *before = NULL, *after = draft_to_json(draft);

	if (exists && draft_from_record(current->verified.record->payload.record, current->verified.sections,
					current->verified.n_sections, &old, NULL) == 0)
		before = draft_to_json(old);
	json_t *changes = after != NULL ? difference(before, after) : NULL;
	if (changes != NULL)
		add_expiry(changes, draft, current, exists);
	draft_destroy(old);
	json_decref(before);
	json_decref(after);
	return changes;
}

/* ---- Publishing */

struct publishing {
	struct cli *cli;
	struct poc *poc;
	struct link_keys keys;
	struct make_group group;
	json_t *changes;   /* place: what changes */
	json_t *unchanged; /* places */
	json_t *remarks;   /* on what is accepted all the same */
	bool replace;      /* whatever version is current */
};

/* Whether to show what is to be signed: whoever is asked must see it, however quiet he wants it, and a dry run is for
 * nothing else. */
static bool is_shown(const struct cli *cli)
{
	const bool asks = !cli->yes && isatty(STDIN_FILENO) && isatty(STDERR_FILENO);

	return !cli->json && (!cli->quiet || cli->dry_run || asks);
}

static int open_publishing(struct cli *cli, struct publishing *p)
{
	memset(p, 0, sizeof *p);
	p->cli = cli;
	p->changes = json_object();
	p->unchanged = json_array();
	p->remarks = json_array();
	/* permission first: without a key nothing is read or asked */
	const struct settings_paths *paths = cli->conf.coordinator.n > 0 ? &cli->conf.coordinator : &cli->conf.editor;
	int status = link_keys_open(cli, paths, "coordinator", &p->keys);
	return status != 0 ? status : link_open(cli, true, &p->poc);
}

static void close_publishing(struct publishing *p)
{
	make_group_finish(&p->group);
	link_keys_close(&p->keys);
	json_decref(p->changes);
	json_decref(p->unchanged);
	json_decref(p->remarks);
	link_close(p->cli, p->poc);
}

int publish_own_place(struct cli *cli, const struct name *name)
{
	if (strcmp(name->state, cli->conf.state) != 0)
		return cli_fail(cli, STATUS_DENIED, tr("%s is not a record of %s, for which this configuration speaks"),
				place_text(name), cli->conf.state);
	return 0;
}

/* Nobody may have changed the record since the version that the draft was made from. */
static int check_base(struct publishing *p, const struct draft *draft, const struct client_record *current, bool exists)
{
	const struct draft_base *base = &draft->base;
	const struct envelope *record = current->verified.record;
	const char *place = place_text(&draft->name);
	const unsigned long long from = (unsigned long long)base->seq;
	char made_from[120];

	if (is_based_on(draft, current, exists)) {
		if (exists && current->verified.withdrawn && !base->known && !p->replace)
			return cli_fail(
			    p->cli, STATUS_CONFLICT,
			    tr("%s is withdrawn since version %llu, signed by the %s, %s, and the draft does not "
			       "say that it was made from that; poc publish --replace publishes it all the same"),
			    place, (unsigned long long)record->seq, current->verdict.signed_by,
			    time_text(record->payload.record->issued));
		if (exists && !base->known && !p->replace && !p->cli->json)
			cli_note(
			    p->cli,
			    tr("%s: the draft does not say which version it was made from; it replaces version %llu"),
			    place, (unsigned long long)record->seq);
		return 0;
	}
	if (!exists)
		return cli_fail(p->cli, STATUS_CONFLICT,
				tr("%s has no record, and the draft was made from version %llu of one; poc publish "
				   "--replace publishes it all the same"),
				place, from);
	if (base->seq > record->seq)
		return cli_fail(p->cli, STATUS_CONFLICT,
				tr("%s: the draft was made from version %llu of a record that is not %s's, which has "
				   "come to version %llu: based_on of another place?  poc edit %s starts from the "
				   "current one, poc publish --replace puts the draft over it"),
				place, from, place, (unsigned long long)record->seq, place);
	if (base->seq == 0)
		snprintf(made_from, sizeof made_from, "%s", tr("there was none when the draft was made"));
	else
		snprintf(made_from, sizeof made_from,
			 base->seq == record->seq ? tr("the draft was made from another version %llu")
						  : tr("the draft was made from version %llu"),
			 from);
	return cli_fail(
	    p->cli, STATUS_CONFLICT,
	    tr("%s was changed meanwhile: version %llu is current, signed by the %s, %s; %s.  poc edit %s starts "
	       "from the current one, poc publish --replace puts the draft over it"),
	    place, (unsigned long long)record->seq, current->verdict.signed_by, time_text(current->verdict.confirmed),
	    made_from, place);
}

/* What of a draft may not be what was meant. */
static void remark_on(struct publishing *p, const struct draft *draft)
{
	const size_t before = json_array_size(p->remarks);

	channel_remarks(draft, p->remarks);
	for (size_t i = before; i < json_array_size(p->remarks) && !p->cli->json; i++)
		cli_note(p->cli, "%s", json_string_value(json_object_get(json_array_get(p->remarks, i), "message")));
}

static int add_changed(struct publishing *p, const struct draft *draft, const struct client_record *current,
		       bool exists)
{
	struct cli *cli = p->cli;
	json_t *changes = changes_of(draft, current, exists);

	if (changes == NULL)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	if (json_array_size(changes) == 0 && exists) {
		json_decref(changes);
		if (!cli->json)
			cli_note(cli, tr("%s: nothing changes; poc confirm says that it is still correct"),
				 place_text(&draft->name));
		json_array_append_new(p->unchanged, json_string(place_text(&draft->name)));
		return 0;
	}
	int status = check_base(p, draft, current, exists);
	if (status != 0) {
		json_decref(changes);
		return status;
	}
	if (is_shown(cli))
		print_changes(changes, place_text(&draft->name));
	json_object_set_new(p->changes, place_text(&draft->name), changes);
	remark_on(p, draft);
	return make_record(cli, p->poc, draft, &draft->name, current, exists, &p->keys, &p->group);
}

static int add_draft(struct publishing *p, struct draft *draft)
{
	struct client_record current = {0};
	bool exists = false;
	int status = publish_own_place(p->cli, &draft->name);

	if (status == 0 && json_object_get(p->changes, place_text(&draft->name)) != NULL)
		status = cli_fail(p->cli, STATUS_INVALID, tr("%s: two drafts of one place"), place_text(&draft->name));
	if (status == 0)
		status = make_current(p->cli, p->poc, &draft->name, &current, &exists);
	if (status == 0 && p->replace)
		draft_forget_base(draft);
	if (status == 0)
		status = add_changed(p, draft, &current, exists);
	client_record_finish(&current);
	return status;
}

static int finish_publishing(struct publishing *p, const char *question)
{
	json_t *more =
	    json_pack("{s:O,s:O,s:O}", "changes", p->changes, "unchanged", p->unchanged, "remarks", p->remarks);
	int status = make_finish(p->cli, p->poc, &p->group, question, more);

	json_decref(more);
	return status;
}

int publish_draft(struct cli *cli, struct draft *draft)
{
	struct publishing p;
	int status = open_publishing(cli, &p);

	if (status == 0)
		status = add_draft(&p, draft);
	if (status == 0)
		status = finish_publishing(&p, tr("Sign and publish?"));
	close_publishing(&p);
	return status;
}

/* Blanks comment lines, so that line numbers in errors stay true. */
static void blank_comments(char *text)
{
	bool line_start = true, comment = false;

	for (; *text != '\0'; text++) {
		if (*text == '\n') {
			line_start = true;
			comment = false;
			continue;
		}
		if (line_start && *text == '#')
			comment = true;
		if (*text != ' ' && *text != '\t')
			line_start = false;
		if (comment)
			*text = ' ';
	}
}

struct draft *publish_read(struct cli *cli, const char *path)
{
	struct refusal why = {0};
	json_error_t error;
	size_t size;
	struct draft *draft = NULL;
	char *text = cli_read_file(path, DRAFT_FILE_MAX, &size, &why);

	if (text == NULL) {
		cli_refused(cli, &why);
		return NULL;
	}
	blank_comments(text);
	json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	free(text);
	if (json == NULL) {
		cli_fail(cli, STATUS_INVALID, tr("%s, line %d: %s"), path, error.line, error.text);
		return NULL;
	}
	if (draft_from_json(json, &draft, &why) != 0 || draft_check(draft, &why) != 0 ||
	    draft_check_use(draft, &why) != 0) {
		cli_fail(cli, why.code, "%s: %s%s%s", path, why.field, why.field[0] != '\0' ? ": " : "", why.message);
		draft_destroy(draft);
		draft = NULL;
	}
	json_decref(json);
	return draft;
}

int poc_cmd_publish(struct cli *cli)
{
	struct publishing p;
	int status = open_publishing(cli, &p);

	p.replace = cli_has(cli, "replace");
	for (int i = 0; i < cli->argc && status == 0; i++) {
		struct draft *draft = publish_read(cli, cli->argv[i]);
		status = draft == NULL ? cli->code : add_draft(&p, draft);
		draft_destroy(draft);
	}
	if (status == 0)
		status = finish_publishing(&p, tr("Sign and publish?"));
	close_publishing(&p);
	return status;
}

/* ---- confirm */

static int add_confirmation(struct publishing *p, const struct name *name)
{
	struct client_record current = {0};
	bool exists = false;
	int status = publish_own_place(p->cli, name);

	if (json_object_get(p->changes, place_text(name)) != NULL) /* named twice, or beside --all */
		return 0;
	if (status == 0)
		status = make_current(p->cli, p->poc, name, &current, &exists);
	if (status == 0 && !exists)
		status = cli_fail(p->cli, STATUS_NOT_FOUND, tr("%s has no record to confirm"), place_text(name));
	if (status == 0 && current.verified.withdrawn)
		status = cli_fail(p->cli, STATUS_WITHDRAWN, tr("%s is withdrawn"), place_text(name));
	if (status == 0)
		status = make_record(p->cli, p->poc, NULL, name, &current, true, &p->keys, &p->group);
	json_object_set_new(p->changes, place_text(name), json_array()); /* but for the time, which is the point */
	if (status == 0 && is_shown(p->cli))
		cli_line(tr("%s: version %llu, confirmed %s, is still correct"), place_text(name),
			 (unsigned long long)current.verified.record->seq, time_text(current.verdict.confirmed));
	client_record_finish(&current);
	return status;
}

struct units {
	struct publishing *p;
	int status;
};

static int confirm_unit(void *ctx, const struct client_record *record)
{
	struct units *units = ctx;
	const struct name *name = &record->verified.name;

	const struct conf *conf = &units->p->cli->conf;

	if (strcmp(name->state, conf->state) != 0 || record->verified.withdrawn || record->verified.absent ||
	    (conf->unit[0] != '\0' && strcmp(name->unit, conf->unit) != 0))
		return 0;
	return add_confirmation(units->p, name);
}

static int confirm_all(struct publishing *p)
{
	struct units units = {p, 0};
	int status = poc_sync(p->poc, NULL, NULL);

	if (status != 0)
		return link_fail(p->cli, p->poc, status);
	status = client_walk(p->poc, confirm_unit, &units);
	if (status == 0 && p->group.n == 0 && !p->cli->json)
		cli_note(p->cli, tr("%s has no record to confirm"), conf_place(&p->cli->conf));
	return status == 0 ? 0 : link_fail(p->cli, p->poc, status);
}

int poc_cmd_confirm(struct cli *cli)
{
	struct publishing p;
	struct name name;
	int status = open_publishing(cli, &p);

	if (status == 0 && cli_has(cli, "all"))
		status = confirm_all(&p);
	else if (status == 0 && cli->argc == 0)
		status = name_make(NAME_RECORD, cli->conf.state, cli->conf.unit, &name)
			     ? add_confirmation(&p, &name)
			     : cli_fail(cli, STATUS_USAGE, tr("which place?"));
	for (int i = 0; i < cli->argc && status == 0; i++) {
		status = place_read(cli, cli->argv[i], &name);
		if (status == 0)
			status = add_confirmation(&p, &name);
	}
	if (status == 0)
		status = finish_publishing(&p, tr("Sign that this is still correct?"));
	close_publishing(&p);
	return status;
}

/* ---- withdraw */

static void withdrawn_already(struct publishing *p, const struct name *name, const struct client_record *current)
{
	const struct envelope *record = current->verified.record;

	if (!p->cli->json)
		cli_note(p->cli, tr("%s is withdrawn already, since version %llu, %s: nothing to do"), place_text(name),
			 (unsigned long long)record->seq, time_text(record->payload.record->issued));
	json_array_append_new(p->unchanged, json_string(place_text(name)));
}

static int add_withdrawal(struct publishing *p, const struct name *name, const char *poc_id)
{
	struct client_record current = {0};
	struct draft *draft = NULL;
	struct refusal why = {0};
	bool exists = false;
	int status = publish_own_place(p->cli, name);

	if (status == 0)
		status = make_current(p->cli, p->poc, name, &current, &exists);
	if (status == 0 && !exists)
		status = cli_fail(p->cli, STATUS_NOT_FOUND, tr("%s has no record to withdraw"), place_text(name));
	if (status == 0 && current.verified.withdrawn) {
		withdrawn_already(p, name, &current);
		client_record_finish(&current);
		return 0;
	}
	if (status == 0 && poc_id != NULL) {
		const struct verified_record *v = &current.verified;
		status = draft_from_record(v->record->payload.record, v->sections, v->n_sections, &draft, &why);
		if (status != 0)
			cli_refused(p->cli, &why);
		else if (!draft_remove_poc(draft, poc_id))
			status = cli_fail(p->cli, STATUS_NOT_FOUND, tr("%s has no point of contact %s"),
					  place_text(name), poc_id);
		else if (draft->n_pocs == 0)
			status =
			    cli_fail(p->cli, STATUS_INVALID,
				     tr("%s is the only point of contact of %s: poc withdraw %s withdraws the record"),
				     poc_id, place_text(name), place_text(name));
	} else if (status == 0) {
		draft = draft_create();
		status = draft == NULL ? STATUS_NO_MEMORY : 0;
		if (draft != NULL) {
			draft->name = *name;
			draft->withdrawn = true;
		}
	}
	if (status == 0 && is_shown(p->cli))
		cli_line(tr("%s%s%s will be withdrawn at once"), place_text(name), poc_id != NULL ? ", " : "",
			 poc_id != NULL ? poc_id : "");
	json_object_set_new(p->changes, place_text(name),
			    json_pack("[{s:s+,s:s,s:n}]", "path", poc_id != NULL ? "pocs." : "record",
				      poc_id != NULL ? poc_id : "", "before", "published", "after"));
	if (status == 0)
		status = make_record(p->cli, p->poc, draft, name, &current, true, &p->keys, &p->group);
	draft_destroy(draft);
	client_record_finish(&current);
	return status;
}

int poc_cmd_withdraw(struct cli *cli)
{
	struct publishing p;
	struct name name;
	int status = open_publishing(cli, &p);

	if (status == 0 && cli->argc > 0)
		status = place_read(cli, cli->argv[0], &name);
	else if (status == 0 && !name_make(NAME_RECORD, cli->conf.state, cli->conf.unit, &name))
		status = cli_fail(cli, STATUS_USAGE, tr("which place?"));
	if (status == 0)
		status = add_withdrawal(&p, &name, cli_value(cli, "poc"));
	if (status == 0)
		status = finish_publishing(&p, tr("Sign the withdrawal?"));
	close_publishing(&p);
	return status;
}
