/* The own record as a commented form in $EDITOR, or a draft's file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clients/cli/make.h"
#include "clients/cli/place.h"
#include "clients/cli/strings.h"
#include "clients/poc/commands.h"
#include "clients/poc/publish.h"

/* The form is the JSON that publish takes, under comments; lines that begin with # are dropped. */
static const char form_help[] =
    "# The record of %s.  Lines that begin with # are comments.\n"
    "# pocs: points of contact in order of preference; kind: technical or diplomatic; id: [a-z0-9-], stable.\n"
    "# sections: \"office\" (GREEN unless \"tlp\" says otherwise), \"persons\" (AMBER), or names of your own.\n"
    "#   names, descriptions, institutions: [{\"lang\": \"en\", \"text\": \"...\"}], one name in Latin script\n"
    "#   channels: [{\"id\": \"phone-1\", \"type\": \"phone\", \"value\": \"+5511...\", \"languages\": [\"pt\"],\n"
    "#              \"valid_from\": \"2026-12-01T00:00:00Z\", \"valid_until\": ..., \"out_of_hours\": true}]\n"
    "#   hours: {\"zone\": \"America/Sao_Paulo\", \"weekly\": [{\"day\": 1, \"open\": \"09:00\", \"close\": "
    "\"18:00\"}],\n"
    "#           \"exceptions\": [{\"date\": \"2026-12-25\", \"note\": \"holiday\"}]}  or  {\"zone\": ..., \"always\": "
    "true}\n"
    "#   languages, websites, pgp_keys, memberships, constituency, persons, addresses: see poc-record(5)\n"
    "# based_on: the version that this was made from; leave it as it is.\n"
    "# Save and leave to see what changes; an empty file gives up.\n";

static const char empty_record[] =
    "{\n"
    "  \"schema\": \"poc.record/1\",\n"
    "  \"place\": \"%s\",\n"
    "  \"based_on\": %s,\n"
    "  \"pocs\": [\n"
    "    {\"id\": \"technical-1\", \"kind\": \"technical\", \"sections\": [\n"
    "      {\"name\": \"office\", \"content\": {\n"
    "        \"names\": [{\"lang\": \"en\", \"text\": \"...\"}],\n"
    "        \"channels\": [{\"id\": \"email-1\", \"type\": \"email\", \"value\": \"...\"}]\n"
    "      }}\n"
    "    ]}\n"
    "  ]\n"
    "}\n";

/* The record as it is; the digests of what is at hand say nothing to a person. */
static char *record_form(const struct verified_record *v)
{
	struct draft *draft = NULL;

	if (draft_from_envelope(v->record, v->sections, v->n_sections, &draft, NULL) != 0)
		return NULL;
	draft_forget_digests(draft);
	json_t *json = draft_to_json(draft);
	char *text = json_dumps(json, JSON_INDENT(2));
	json_decref(json);
	draft_destroy(draft);
	return text;
}

/* Where there is none, or it was withdrawn. */
static char *empty_form(const struct name *name, const struct envelope *withdrawn)
{
	char base[120], value[2 * HASH_SIZE + 1], *text;

	snprintf(base, sizeof base, "{\"seq\": 0}");
	if (withdrawn != NULL) {
		hash_to_hex(&withdrawn->value, value);
		snprintf(base, sizeof base, "{\"seq\": %llu, \"value\": \"%s\"}", (unsigned long long)withdrawn->seq,
			 value);
	}
	return asprintf(&text, empty_record, place_text(name), base) < 0 ? NULL : text;
}

static char *form_of(const struct name *name, const struct client_record *current, bool exists)
{
	const struct verified_record *v = &current->verified;
	char *form = NULL, *help = NULL;
	char *body = exists && !v->withdrawn ? record_form(v) : empty_form(name, exists ? v->record : NULL);

	if (body != NULL && asprintf(&help, form_help, place_text(name)) >= 0 &&
	    asprintf(&form, "%s%s\n", help, body) < 0)
		form = NULL;
	free(help);
	free(body);
	return form;
}

static bool is_empty(const char *path)
{
	struct refusal why;
	size_t size;
	char *text = cli_read_file(path, 1 << 20, &size, &why);
	bool empty = text != NULL && cli_edit_empty(text);

	free(text);
	return empty;
}

/* Whether something was written that is not in the form. */
static bool differs(const char *path, const char *form)
{
	struct refusal why;
	size_t size;
	char *text = cli_read_file(path, 1 << 20, &size, &why);
	bool differs = text != NULL && strcmp(text, form) != 0;

	free(text);
	return differs && !is_empty(path);
}

/* Whoever writes nothing has nothing to publish, which is no failure. */
static int given_up(struct cli *cli, const char *text)
{
	if (cli->json)
		cli_document(
		    cli, cli->schema,
		    json_pack("{s:[],s:b,s:{},s:[]}", "results", "dry_run", (int)cli->dry_run, "changes", "unchanged"));
	else
		cli_note(cli, "%s", text);
	return 0;
}

/* Lets the person edit until the file is a draft, or given up, then 0 without one.  blank: the form to fill in; NULL:
 * there was more. */
static int edit_file(struct cli *cli, const char *path, const char *blank, struct draft **draft)
{
	*draft = NULL;
	do {
		int status = cli_edit(cli, path);
		if (status != 0)
			return status;
		if (is_empty(path))
			return given_up(cli, tr("empty: nothing was changed"));
		if (blank != NULL && !differs(path, blank))
			return given_up(cli, tr("the form is as it was: nothing was written"));
		*draft = publish_read(cli, path);
	} while (*draft == NULL && cli_edit_again(cli));
	return *draft != NULL ? 0 : cli->code;
}

/* name: what the draft must be of; NULL: any place. */
static int edit_and_publish(struct cli *cli, const char *path, const char *blank, const struct name *name)
{
	struct draft *draft;
	int status = edit_file(cli, path, blank, &draft);

	if (draft == NULL)
		return status;
	if (name != NULL && strcmp(draft->name.text, name->text) != 0)
		status = cli_fail(cli, STATUS_INVALID, tr("the form was of %s, and is now of %s"), place_text(name),
				  place_text(&draft->name));
	else
		status = publish_draft(cli, draft);
	draft_destroy(draft);
	return status;
}

static int read_form(struct cli *cli, const struct name *name, char **form, bool *exists)
{
	struct client_record current = {0};
	struct poc *poc = NULL;
	int status = link_open(cli, true, &poc);

	*form = NULL;
	*exists = false;
	if (status == 0)
		status = make_current(cli, poc, name, &current, exists);
	if (status == 0 && (*form = form_of(name, &current, *exists)) == NULL)
		status = cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	client_record_finish(&current);
	poc_close(poc);
	return status;
}

static int edit_record(struct cli *cli, const struct name *name)
{
	struct refusal why = {0};
	char path[CONF_PATH_MAX], *form = NULL;
	bool exists;
	int status = read_form(cli, name, &form, &exists);

	if (status != 0 || form == NULL)
		return status;
	/* below the state folder, not in /tmp: persons' details are in it */
	snprintf(path, sizeof path, "%.3900s/edit-%d.json", cli->conf.state_dir, (int)getpid());
	if (cli_write_file(path, form, strlen(form), 0600, true, &why) != 0) {
		free(form);
		return cli_refused(cli, &why);
	}
	status = edit_and_publish(cli, path, exists ? NULL : form, name);
	if ((status != 0 || cli->dry_run) && differs(path, form))
		cli_note(cli, tr("what you wrote is kept in %s; poc edit and poc publish take it"), path);
	else
		unlink(path);
	free(form);
	return status;
}

/* Whether a file is meant and no place: one is there, or the name says so. */
static bool is_file(const char *path)
{
	const char *dot = strrchr(path, '.');
	struct stat st;

	return (stat(path, &st) == 0 && S_ISREG(st.st_mode)) || (dot != NULL && strcmp(dot, ".json") == 0);
}

static int edit_draft(struct cli *cli, const char *path)
{
	if (access(path, F_OK) != 0)
		return cli_fail(cli, STATUS_NOT_FOUND, tr("%s: there is no such file"), path);
	return edit_and_publish(cli, path, NULL, NULL);
}

int poc_cmd_edit(struct cli *cli)
{
	struct name name;
	int status = 0;

	if (cli->conf.coordinator.n + cli->conf.editor.n == 0)
		return cli_fail(cli, STATUS_DENIED, tr("the configuration holds no [coordinator] key"));
	if (cli->argc > 0 && is_file(cli->argv[0]))
		return edit_draft(cli, cli->argv[0]);
	if (cli->argc > 0)
		status = place_read(cli, cli->argv[0], &name);
	else if (!name_make(NAME_RECORD, cli->conf.state, cli->conf.unit, &name))
		status = cli_fail(cli, STATUS_USAGE, tr("which place?"));
	if (status == 0)
		status = publish_own_place(cli, &name);
	return status == 0 ? edit_record(cli, &name) : status;
}
