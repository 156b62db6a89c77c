#include "clients/poc/compose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clients/cli/place.h"
#include "clients/cli/strings.h"
#include "clients/libpoc/content.h"
#include "proto/rules/users.h"
#include "proto/wire/prescan.h"

enum { TEXT_MAX = 512 * 1024, FORM_MAX = 1024 * 1024, ATTACHMENT_MAX = NOTICE_BODY_MAX };

void compose_finish(struct compose *compose)
{
	json_decref(compose->given);
	message_free(compose->content);
	*compose = (struct compose){0};
}

/* ---- JSON: templates and standard input */

static int merge_json(struct cli *cli, const char *what, const char *text, size_t size, json_t *into)
{
	json_error_t error;
	json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);

	if (!json_is_object(json)) {
		json_decref(json);
		return cli_fail(cli, STATUS_INVALID, tr("%s, line %d: %s"), what, error.line,
				error.text[0] != '\0' ? error.text : tr("not a JSON object"));
	}
	json_object_del(json, "schema");
	json_object_update(into, json);
	json_decref(json);
	return 0;
}

static int read_template(struct cli *cli, json_t *into)
{
	const char *path = cli_value(cli, "template");
	struct refusal why = {0};
	size_t size;

	if (path == NULL)
		return 0;
	char *text = cli_read_file(path, FORM_MAX, &size, &why);
	if (text == NULL)
		return cli_refused(cli, &why);
	int status = merge_json(cli, path, text, size, into);
	const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
	if (status == 0 && json_object_get(into, "template") == NULL)
		json_object_set_new(into, "template", json_stringn(name, strcspn(name, ".")));
	free(text);
	return status;
}

/* ---- Text */

static int set_text(struct cli *cli, json_t *into, const char *text, size_t size)
{
	while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r'))
		size--;
	json_t *value = json_stringn(text, size);
	if (value == NULL)
		return cli_fail(cli, STATUS_INVALID, tr("the text is not UTF-8"));
	json_object_set_new(into, "text", value);
	return 0;
}

static int read_text_file(struct cli *cli, const char *path, json_t *into)
{
	struct refusal why = {0};
	size_t size;
	char *text = cli_read_file(path, TEXT_MAX, &size, &why);

	if (text == NULL)
		return cli_refused(cli, &why);
	int status = set_text(cli, into, text, size);
	free(text);
	return status;
}

/* Standard input: a JSON object with any of the fields, or the text itself. */
static int read_input(struct cli *cli, json_t *into)
{
	struct refusal why = {0};
	size_t size;
	char *text = cli_read_file("-", 2 * FORM_MAX, &size, &why);

	if (text == NULL)
		return cli_refused(cli, &why);
	int status = 0;
	if (text[strspn(text, " \t\r\n")] == '{')
		status = merge_json(cli, tr("standard input"), text, size, into);
	else if (size > 0)
		status = set_text(cli, into, text, size);
	free(text);
	return status;
}

/* ---- The form: "field: value" lines, an empty line, the text */

static const char *const form_fields[] = {"subject",    "language",      "stage",         "rsit_class",     "sector",
					  "assistance", "reply_channel", "our_reference", "earlier_contact"};

static const char form_help[] = "# Lines that begin with # are dropped; an empty file gives up.\n"
				"# Every field but the subject may stay empty.  stage: early-warning, notification, "
				"intermediate, final.\n"
				"# After an empty line comes the text.\n";

static char *form_of(const json_t *given)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	fputs(form_help, out);
	for (size_t i = 0; i < sizeof form_fields / sizeof *form_fields; i++) {
		const char *value = json_string_value(json_object_get(given, form_fields[i]));
		fprintf(out, "%s: %s\n", form_fields[i], value != NULL ? value : "");
	}
	const char *body = json_string_value(json_object_get(given, "text"));
	fprintf(out, "\n%s\n", body != NULL ? body : "");
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

static int take_line(struct cli *cli, char *line, json_t *into)
{
	char *colon = strchr(line, ':');

	if (colon == NULL)
		return cli_fail(cli, STATUS_INVALID, tr("\"%.60s\" is no line of the form"), line);
	*colon = '\0';
	const char *value = colon + 1 + strspn(colon + 1, " \t");
	for (size_t i = 0; i < sizeof form_fields / sizeof *form_fields; i++) {
		if (strcmp(form_fields[i], line) != 0)
			continue;
		if (value[0] == '\0')
			json_object_del(into, line);
		else
			json_object_set_new(into, line, json_string(value));
		return 0;
	}
	return cli_fail(cli, STATUS_INVALID, tr("\"%.60s\" is no field of the form"), line);
}

static int take_form(struct cli *cli, char *text, json_t *into)
{
	char *rest = text;
	int status = 0;

	if (text[strspn(text, " \t\r\n")] == '\0')
		return cli_fail(cli, STATUS_FAILED, tr("empty: nothing was sent"));
	for (char *line = strsep(&rest, "\n"); line != NULL && status == 0; line = strsep(&rest, "\n")) {
		line[strcspn(line, "\r")] = '\0';
		if (line[0] == '#')
			continue;
		if (line[0] == '\0')
			break;
		status = take_line(cli, line, into);
	}
	return status != 0 ? status : set_text(cli, into, rest != NULL ? rest : "", rest != NULL ? strlen(rest) : 0);
}

static int edit_form(struct cli *cli, json_t *into)
{
	char path[CONF_PATH_MAX], *form = form_of(into);
	struct refusal why = {0};
	size_t size;

	if (form == NULL)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	/* below the state folder, not in /tmp: it is not for others */
	mkdir(cli->conf.state_dir, 0700);
	snprintf(path, sizeof path, "%.3900s/notice-%d.txt", cli->conf.state_dir, (int)getpid());
	int status = cli_write_file(path, form, strlen(form), 0600, true, &why);
	free(form);
	if (status != 0)
		return cli_refused(cli, &why);
	status = cli_edit(cli, path);
	char *text = status == 0 ? cli_read_file(path, FORM_MAX, &size, &why) : NULL;
	if (status == 0)
		status = text != NULL ? take_form(cli, text, into) : cli_refused(cli, &why);
	free(text);
	if (status == 0)
		unlink(path);
	else
		cli_note(cli, tr("what you wrote is kept in %s"), path);
	return status;
}

/* ---- Content */

static const char *const header_fields[] = {"to",       "kind",     "category", "urgency",   "tlp",
					    "exercise", "reply_by", "escalate", "separately"};

/* Fields of the header are not the content's. */
static json_t *content_part(const json_t *given)
{
	json_t *part = json_copy((json_t *)given);

	for (size_t i = 0; i < sizeof header_fields / sizeof *header_fields && part != NULL; i++)
		json_object_del(part, header_fields[i]);
	return part;
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static int attach(struct cli *cli, const char *path, Poc__NoticeContent *content)
{
	struct refusal why = {0};
	size_t size;
	char *bytes = cli_read_file(path, ATTACHMENT_MAX, &size, &why);

	if (bytes == NULL)
		return cli_refused(cli, &why);
	Poc__Attachment *attachment = calloc(1, sizeof *attachment);
	Poc__Attachment **grown =
	    realloc(content->attachments, (content->n_attachments + 1) * sizeof(Poc__Attachment *));
	if (grown != NULL)
		content->attachments = grown;
	char *name = strdup(file_name(path));
	if (attachment == NULL || grown == NULL || name == NULL) {
		free(attachment);
		free(name);
		free(bytes);
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	}
	poc__attachment__init(attachment);
	attachment->name = name;
	attachment->data = (ProtobufCBinaryData){size, (uint8_t *)bytes};
	content->attachments[content->n_attachments++] = attachment;
	return 0;
}

static int make_content(struct cli *cli, struct compose *compose)
{
	struct refusal why = {0};
	json_t *part = content_part(compose->given);
	int status = part != NULL ? notice_content_from_json(part, &compose->content, &why)
				  : refuse(&why, STATUS_NO_MEMORY, "", "out of memory");

	json_decref(part);
	if (status != 0)
		return cli_refused(cli, &why);
	for (size_t i = 0; cli_nth(cli, "attach", i) != NULL && status == 0; i++)
		status = attach(cli, cli_nth(cli, "attach", i), compose->content);
	if (status == 0 && notice_content_check(compose->content, &why) != 0)
		status = cli_refused(cli, &why);
	return status;
}

static int take_flags(struct cli *cli, json_t *into)
{
	int status = 0;

	if (cli_has(cli, "subject"))
		json_object_set_new(into, "subject", json_string(cli_value(cli, "subject")));
	if (cli_has(cli, "ref"))
		json_object_set_new(into, "our_reference", json_string(cli_value(cli, "ref")));
	if (cli_has(cli, "text"))
		status = set_text(cli, into, cli_value(cli, "text"), strlen(cli_value(cli, "text")));
	else if (cli_has(cli, "file"))
		status = read_text_file(cli, cli_value(cli, "file"), into);
	return status;
}

int compose_read(struct cli *cli, const char *subject, bool asks, struct compose *out)
{
	bool given = cli_has(cli, "text") || cli_has(cli, "file"), terminal = isatty(STDIN_FILENO);

	*out = (struct compose){.given = json_object()};
	if (out->given == NULL)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	int status = read_template(cli, out->given);
	if (status == 0 && !given && asks && !terminal)
		status = read_input(cli, out->given);
	if (status == 0)
		status = take_flags(cli, out->given);
	if (status == 0 && subject != NULL && json_object_get(out->given, "subject") == NULL)
		json_object_set_new(out->given, "subject", json_string(subject));
	if (status == 0 && (cli_has(cli, "edit") || (asks && terminal && !given)))
		status = edit_form(cli, out->given);
	if (status == 0 && json_string_length(json_object_get(out->given, "subject")) == 0)
		status = cli_fail(cli, STATUS_USAGE, tr("a notice needs a subject: --subject"));
	if (status == 0)
		status = make_content(cli, out);
	if (status != 0)
		compose_finish(out);
	return status;
}

/* ---- Header */

const char *compose_field(const struct cli *cli, const struct compose *compose, const char *name)
{
	char flag[32];

	snprintf(flag, sizeof flag, "%s", name);
	for (char *at = flag; *at != '\0'; at++) {
		if (*at == '_')
			*at = '-';
	}
	const char *value = cli_value(cli, flag);
	return value != NULL ? value : json_string_value(json_object_get(compose->given, name));
}

int compose_header(struct duty *duty, const struct compose *compose, struct client_notice *notice)
{
	struct cli *cli = duty->cli;
	const char *category = compose_field(cli, compose, "category"),
		   *urgency = compose_field(cli, compose, "urgency");
	const char *tlp = compose_field(cli, compose, "tlp"), *exercise = compose_field(cli, compose, "exercise");
	const char *reply_by = compose_field(cli, compose, "reply_by");

	if (category != NULL &&
	    (!category_parse(category, &notice->category) || notice->category == POC__CATEGORY__CATEGORY_NOTE))
		return cli_fail(cli, STATUS_USAGE,
				tr("unknown category \"%s\": notification, request-information, request-assistance, "
				   "update, closure or communications-check"),
				category);
	if (urgency != NULL && !urgency_parse(urgency, &notice->urgency))
		return cli_fail(cli, STATUS_USAGE, tr("unknown urgency \"%s\": routine, urgent or emergency"), urgency);
	if (tlp != NULL && !notice_tlp_parse(tlp, &notice->tlp))
		return cli_fail(cli, STATUS_USAGE, tr("unknown TLP \"%s\": CLEAR, GREEN, AMBER, AMBER+STRICT or RED"),
				tlp);
	if (exercise != NULL && !id_valid(exercise))
		return cli_fail(cli, STATUS_USAGE, tr("an exercise's name is [a-z0-9-], 1 to 40 characters"));
	if (exercise != NULL && notice->has_answers && strcmp(exercise, notice->exercise) != 0)
		return cli_fail(cli, STATUS_USAGE, tr("the thread is not of the exercise \"%s\""), exercise);
	if (exercise != NULL)
		notice->exercise = exercise;
	if (reply_by != NULL && !duty_time(duty, reply_by, &notice->reply_by))
		return cli_fail(cli, STATUS_USAGE, tr("--reply-by takes 24h, or a time like 2026-11-24T12:00:00Z"));
	if (reply_by != NULL && notice->reply_by <= notice->created)
		return cli_fail(cli, STATUS_INVALID, tr("--reply-by lies in the past: %s"), reply_by);
	return 0;
}

int compose_desks(struct cli *cli, const char *places, const char *kind, struct client_desk *out, size_t max, size_t *n)
{
	Poc__PocKind parsed = POC__POC_KIND__POC_KIND_TECHNICAL;
	int status = 0;

	*n = 0;
	if (kind != NULL && !poc_kind_parse(kind, &parsed))
		return cli_fail(cli, STATUS_USAGE, tr("--kind is technical, diplomatic or coordinator"));
	char *copy = strdup(places), *rest = copy;
	if (copy == NULL)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	for (char *at = strsep(&rest, ","); at != NULL && status == 0; at = strsep(&rest, ",")) {
		struct name name;
		at += strspn(at, " ");
		if (*at == '\0')
			continue;
		if (*n == max) {
			status = cli_fail(cli, STATUS_USAGE, tr("at most %zu recipients"), max);
			break;
		}
		struct client_desk *desk = &out[*n];
		desk->kind = parsed;
		if (strcmp(at, STATE_DIRECTORY) == 0) {
			snprintf(desk->place, sizeof desk->place, "%s", STATE_DIRECTORY);
			desk->kind = POC__POC_KIND__POC_KIND_COORDINATOR;
		} else if ((status = place_read(cli, at, &name)) == 0) {
			snprintf(desk->place, sizeof desk->place, "%s", place_text(&name));
		}
		for (size_t i = 0; i < *n && status == 0; i++) {
			if (strcmp(out[i].place, desk->place) == 0)
				status = cli_fail(cli, STATUS_USAGE, tr("%s is named twice"), desk->place);
		}
		(*n)++;
	}
	free(copy);
	if (status == 0 && *n == 0)
		status = cli_fail(cli, STATUS_USAGE, tr("to whom? --to PLACE"));
	return status;
}

int compose_from(struct duty *duty, Poc__PocKind kind, struct client_desk *out)
{
	struct client_desk desks[DUTY_DESKS];
	size_t n;
	int status = duty->offline ? STATUS_UNREACHABLE : client_own_desks(duty->poc, CLIENT_ONLINE, desks, &n);

	if ((status == STATUS_UNREACHABLE || status == STATUS_TLS) && !duty->cli->online) {
		int offline = client_own_desks(duty->poc, CLIENT_OFFLINE, desks, &n);
		if (offline != 0 && !duty->offline)
			return cli_fail(
			    duty->cli, status,
			    tr("no server can be reached, and there is no local copy (poc sync makes one)"));
		duty->offline = true;
		status = offline;
	}
	if (status != 0)
		return duty_fail(duty, status);
	*out = desks[0];
	for (size_t i = 0; i < n; i++) {
		if (desks[i].kind == kind)
			*out = desks[i];
	}
	return 0;
}
