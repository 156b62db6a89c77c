/* The directory's documents: templates, code lists, announcements. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/form.h"
#include "clients/cli/make.h"
#include "clients/cli/show.h"
#include "clients/cli/strings.h"
#include "clients/pocadm/commands.h"
#include "proto/rules/document.h"
#include "proto/rules/rules.h"

static int name_of(struct cli *cli, const char *text, struct name *out)
{
	if (name_make(NAME_DOCUMENT, NULL, strncmp(text, "D/", 2) == 0 ? text + 2 : text, out))
		return 0;
	return cli_fail(cli, STATUS_USAGE,
			tr("\"%.60s\": a document's name has letters a to z, digits and inner hyphens"), text);
}

/* The current version; NULL: there was never one. */
static int current_of(struct cli *cli, struct poc *poc, const struct name *name, struct client_envelope *out)
{
	const char *names[] = {name->text};
	int status = client_envelopes(poc, CLIENT_ONLINE, names, 1, out);

	return status == 0 ? 0 : link_fail(cli, poc, status);
}

/* ---- Publishing */

/* A template as everybody can read it: the form's JSON, without what each sender fills in by the way. */
static int template_text(struct cli *cli, const char *path, const char *text, size_t size, char **title, char **out)
{
	struct refusal why = {0};
	json_t *form;
	int status = form_parse(text, size, NULL, &form, &why);

	if (status != 0)
		return cli_fail(cli, status, "%s: %s%s%s", path, why.field, why.field[0] != '\0' ? ": " : "",
				why.message);
	const char *says = json_string_value(json_object_get(form, "title"));
	*title = says != NULL ? strdup(says) : NULL;
	/* the directory says which template and version it is */
	json_object_del(form, "title");
	json_object_del(form, "template");
	json_object_del(form, "template_version");
	*out = json_dumps(form, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(form);
	return *out != NULL ? 0 : cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
}

/* *title, *text: malloc. */
static int read_document(struct cli *cli, const char *path, Poc__DocumentKind kind, char **title, char **text)
{
	struct refusal why = {0};
	size_t size;
	char *bytes = cli_read_file(path, FORM_MAX, &size, &why);
	int status = 0;

	*title = NULL;
	*text = bytes;
	if (bytes == NULL)
		return cli_refused(cli, &why);
	if (strlen(bytes) != size)
		return cli_fail(cli, STATUS_INVALID, tr("%s: a byte of zero is no text"), path);
	if (kind == POC__DOCUMENT_KIND__DOCUMENT_KIND_TEMPLATE) {
		*text = NULL;
		status = template_text(cli, path, bytes, size, title, text);
		free(bytes);
	}
	if (status == 0 && cli_has(cli, "title")) {
		free(*title);
		*title = strdup(cli_value(cli, "title"));
	}
	if (status == 0 && *title == NULL)
		status = cli_fail(cli, STATUS_USAGE, tr("a document needs a title: --title"));
	return status;
}

static bool same(const struct envelope *current, const Poc__Document *next)
{
	const Poc__Document *old = current != NULL ? current->payload.document : NULL;

	return old != NULL && old->kind == next->kind && old->withdrawn == next->withdrawn &&
	       strcmp(old->title, next->title) == 0 && strcmp(old->text, next->text) == 0;
}

/* Signs and sends what follows the current version. */
static int publish(struct cli *cli, struct poc *poc, const struct name *name, const struct envelope *current,
		   Poc__Document *next)
{
	struct link_keys keys = {0};
	struct make_group group = {0};
	struct refusal why = {0};
	Poc__Head head;
	uint8_t *bytes = NULL;
	size_t size = 0;
	const bool changed = !same(current, next);
	int status = link_keys_open(cli, &cli->conf.coordinator, "coordinator", &keys);

	if (status != 0)
		return status;
	head_fill(&head, client_directory_id(poc), name->text, current != NULL ? current->seq + 1 : 1,
		  current != NULL ? &current->value : NULL);
	next->head = &head;
	next->issued = client_now(poc);
	if (!changed)
		cli_note(cli, tr("%s is as it was: nothing changes"), name->text);
	else
		status = envelope_make(&next->base, keys.keys, keys.n, &bytes, &size, &why);
	next->head = NULL; /* ours */
	if (status == 0 && changed && make_group_add(&group, name, bytes, size, NULL) != 0)
		status = refuse(&why, STATUS_NO_MEMORY, "", "out of memory");
	if (status != 0)
		cli_refused(cli, &why);
	else {
		if (!cli->json && !cli->quiet && group.n > 0)
			cli_line(tr("%s version %llu: %s, \"%s\"%s"), name->text, (unsigned long long)head.seq,
				 document_kind_name(next->kind), next->title, next->withdrawn ? tr(", withdrawn") : "");
		status = make_finish(cli, poc, &group, tr("Sign and publish it for everybody?"), NULL);
	}
	make_group_finish(&group);
	link_keys_close(&keys);
	return status;
}

int pocadm_cmd_document_publish(struct cli *cli)
{
	const char *kind = cli_value(cli, "kind");
	Poc__Document next = POC__DOCUMENT__INIT;
	struct client_envelope current = {0};
	struct name name;
	struct poc *poc = NULL;
	char *title = NULL, *text = NULL;
	int status = name_of(cli, cli->argv[0], &name);

	next.kind = POC__DOCUMENT_KIND__DOCUMENT_KIND_TEMPLATE;
	if (status == 0 && kind != NULL && !document_kind_parse(kind, &next.kind))
		status = cli_fail(cli, STATUS_USAGE, tr("--kind is template, code-list or announcement"));
	if (status == 0)
		status = read_document(cli, cli->argv[1], next.kind, &title, &text);
	if (status == 0)
		status = link_open(cli, true, &poc);
	if (status == 0)
		status = current_of(cli, poc, &name, &current);
	next.title = title;
	next.text = text;
	if (status == 0)
		status = publish(cli, poc, &name, current.envelope, &next);
	client_envelopes_finish(&current, 1);
	link_close(cli, poc);
	free(title);
	free(text);
	return status;
}

/* Connects and fetches the document that the command names, which must be there. */
static int open_existing(struct cli *cli, struct name *name, struct poc **poc, struct client_envelope *current)
{
	int status = name_of(cli, cli->argv[0], name);

	if (status == 0)
		status = link_open(cli, true, poc);
	if (status == 0)
		status = current_of(cli, *poc, name, current);
	if (status == 0 && current->envelope == NULL)
		status = cli_fail(cli, STATUS_NOT_FOUND, tr("%s: there is no such document; proven"), name->text);
	return status;
}

int pocadm_cmd_document_withdraw(struct cli *cli)
{
	Poc__Document next = POC__DOCUMENT__INIT;
	struct client_envelope current = {0};
	struct name name;
	struct poc *poc = NULL;
	int status = open_existing(cli, &name, &poc, &current);

	if (status == 0) {
		next.kind = current.envelope->payload.document->kind;
		next.title = current.envelope->payload.document->title;
		next.withdrawn = 1;
		status = publish(cli, poc, &name, current.envelope, &next);
	}
	client_envelopes_finish(&current, 1);
	link_close(cli, poc);
	return status;
}

/* ---- Reading */

static json_t *facts_json(const struct envelope *e)
{
	const Poc__Document *d = e->payload.document;

	return json_pack("{s:s,s:I,s:s,s:s,s:o,s:b}", "name", e->name.text, "seq", (json_int_t)e->seq, "kind",
			 document_kind_name(d->kind), "title", d->title, "issued", cli_time_json(d->issued),
			 "withdrawn", (int)d->withdrawn);
}

struct telling {
	struct cli *cli;
	json_t *list;
};

static int tell(void *ctx, const struct envelope *e)
{
	struct telling *telling = ctx;
	const Poc__Document *d = e->payload.document;

	json_array_append_new(telling->list, facts_json(e));
	if (!telling->cli->json)
		cli_line("%-30s %4llu  %s  %-12s  %s%s", e->name.text, (unsigned long long)e->seq, time_text(d->issued),
			 document_kind_name(d->kind), d->withdrawn ? tr("WITHDRAWN ") : "", d->title);
	return 0;
}

static int tell_version(void *ctx, const struct client_version *version)
{
	return tell(ctx, version->envelope);
}

/* From a local copy that was brought up to date: the proof that nothing is left out. */
int pocadm_cmd_document_list(struct cli *cli)
{
	struct telling telling = {.cli = cli, .list = json_array()};
	struct poc *poc = NULL;
	int status = link_open(cli, !cli->offline, &poc);

	if (status == 0 && !cli->offline)
		status = poc_sync(poc, NULL, NULL);
	if (status == 0)
		status = client_walk_documents(poc, tell, &telling);
	if (status != 0 && poc != NULL)
		link_fail(cli, poc, status);
	else if (status == 0 && cli->json)
		cli_document(cli, cli->schema, json_pack("{s:O}", "documents", telling.list));
	json_decref(telling.list);
	link_close(cli, poc);
	return status;
}

static void show(struct cli *cli, const struct envelope *e)
{
	const Poc__Document *d = e->payload.document;
	json_t *json = facts_json(e);
	json_t *template = d->kind == POC__DOCUMENT_KIND__DOCUMENT_KIND_TEMPLATE ? json_loads(d->text, 0, NULL) : NULL;
	char *text = template != NULL ? json_dumps(template, JSON_INDENT(2)) : NULL;

	if (cli->json) {
		json_object_set_new(json, "text", json_string(d->text));
		if (template != NULL)
			json_object_set(json, "template", template);
		cli_document(cli, cli->schema, json_incref(json));
	} else {
		cli_line(tr("%s version %llu of %s: %s, signed by a coordinator of the directory; proven"),
			 e->name.text, (unsigned long long)e->seq, time_text(d->issued), document_kind_name(d->kind));
		cli_line("%s%s", d->withdrawn ? tr("WITHDRAWN: ") : "", d->title);
		cli_lines("  ", text != NULL ? text : d->text);
	}
	free(text);
	json_decref(template);
	json_decref(json);
}

int pocadm_cmd_document_show(struct cli *cli)
{
	struct client_envelope current = {0};
	struct name name;
	struct poc *poc = NULL;
	int status = open_existing(cli, &name, &poc, &current);

	if (status == 0)
		show(cli, current.envelope);
	client_envelopes_finish(&current, 1);
	link_close(cli, poc);
	return status;
}

int pocadm_cmd_document_history(struct cli *cli)
{
	struct telling telling = {.cli = cli, .list = json_array()};
	struct name name;
	struct poc *poc = NULL;
	int status = name_of(cli, cli->argv[0], &name);

	if (status == 0)
		status = link_open(cli, true, &poc);
	if (status == 0 && (status = client_history(poc, &name, tell_version, &telling)) != 0)
		link_fail(cli, poc, status);
	if (status == 0 && cli->json)
		cli_document(cli, cli->schema, json_pack("{s:s,s:O}", "name", name.text, "versions", telling.list));
	json_decref(telling.list);
	link_close(cli, poc);
	return status;
}
