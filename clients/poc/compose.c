#include "clients/poc/compose.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clients/cli/indicator.h"
#include "clients/cli/place.h"
#include "clients/cli/rsit.h"
#include "clients/cli/strings.h"
#include "clients/libpoc/content.h"
#include "proto/rules/users.h"
#include "proto/wire/prescan.h"

enum { INPUT_WAIT_MS = 10000, INPUT_QUIET_MS = 1000, DAY_SECONDS = 86400 };
enum { TEXT_MAX = 512 * 1024, ATTACHMENT_MAX = CLIENT_CONTENT_MAX };

void compose_finish(struct cli *cli, struct compose *compose, int status)
{
	if (compose->written != NULL && (status == 0 || status == STATUS_QUEUED) && !cli->dry_run)
		unlink(compose->written);
	else if (compose->written != NULL)
		cli_note(cli,
			 compose->note ? tr("what you wrote is kept in %s")
				       : tr("what you wrote is kept in %s; --template takes it"),
			 compose->written);
	free(compose->written);
	json_decref(compose->given);
	json_decref(compose->declared);
	message_free(compose->content);
	*compose = (struct compose){0};
}

/* ---- Template and standard input */

static int take_form(struct cli *cli, const char *what, const char *text, size_t size, struct compose *compose)
{
	struct refusal why = {0};
	json_t *form;
	int status = form_parse(text, size, compose->declared, &form, &why);

	if (status == 0 && form_merge(compose->given, form) != 0)
		status = refuse(&why, STATUS_NO_MEMORY, "", "out of memory");
	json_decref(form);
	if (status == 0)
		return 0;
	return cli_fail(cli, status, "%s: %s%s%s", what, why.field, why.field[0] != '\0' ? ": " : "", why.message);
}

/* What the template's own fields are is known from then on. */
static int take_template(struct cli *cli, const char *what, const char *text, size_t size, struct compose *compose)
{
	int status = take_form(cli, what, text, size, compose);

	if (status != 0)
		return status;
	const json_t *own = json_object_get(compose->given, "fields");
	compose->declared = own != NULL ? json_deep_copy(own) : json_array();
	return compose->declared != NULL ? 0 : cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* A document of the directory, verified: now, or without a server from the local copy. */
static int directory_template(struct duty *duty, const struct name *name, struct compose *compose)
{
	struct cli *cli = duty->cli;
	const char *names[] = {name->text};
	struct client_envelope current = {0};
	int status =
	    duty->offline ? STATUS_UNREACHABLE : client_envelopes(duty->poc, CLIENT_ONLINE, names, 1, &current);

	if ((status == STATUS_UNREACHABLE || status == STATUS_TLS) && !cli->insist) {
		duty->offline = true;
		status = client_envelopes(duty->poc, CLIENT_OFFLINE, names, 1, &current);
	}
	if (status != 0)
		return duty_fail(duty, status);
	const struct envelope *e = current.envelope;
	const Poc__Document *document = e != NULL ? e->payload.document : NULL;
	if (document == NULL)
		status =
		    cli_fail(cli, STATUS_NOT_FOUND,
			     tr("the directory has no template \"%s\"; a file is given as ./%s, or with its ending"),
			     name->unit, name->unit);
	else if (document->withdrawn)
		status = cli_fail(cli, STATUS_WITHDRAWN, tr("the template %s was withdrawn"), name->unit);
	else if (document->kind != POC__DOCUMENT_KIND__DOCUMENT_KIND_TEMPLATE)
		status = cli_fail(cli, STATUS_USAGE, tr("%s is no template"), name->text);
	else
		status = take_template(cli, name->text, document->text, strlen(document->text), compose);
	if (status == 0) {
		json_object_set_new(compose->given, "title", json_string(document->title));
		json_object_set_new(compose->given, "template", json_string(name->text));
		json_object_set_new(compose->given, "template_version", json_integer((json_int_t)e->seq));
	}
	client_envelopes_finish(&current, 1);
	return status;
}

static int read_template(struct duty *duty, struct compose *compose)
{
	struct cli *cli = duty->cli;
	const char *path = cli_value(cli, "template");
	struct refusal why = {0};
	struct name name;
	size_t size;

	if (path == NULL)
		return 0;
	/* a name has neither dot nor slash */
	if (name_make(NAME_DOCUMENT, NULL, strncmp(path, "D/", 2) == 0 ? path + 2 : path, &name))
		return directory_template(duty, &name, compose);
	char *text = cli_read_file(path, FORM_MAX, &size, &why);
	if (text == NULL)
		return cli_refused(cli, &why);
	int status = take_template(cli, path, text, size, compose);
	free(text);
	if (status == 0 && json_object_get(compose->given, "template") == NULL)
		json_object_set_new(compose->given, "template",
				    json_stringn(file_name(path), strcspn(file_name(path), ".")));
	return status;
}

static int set_text(struct cli *cli, json_t *into, const char *text, size_t size)
{
	char *plain = form_plain(text, size, &size);

	if (plain == NULL)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	while (size > 0 && (plain[size - 1] == '\n' || plain[size - 1] == '\r'))
		size--;
	json_t *value = json_stringn(plain, size);
	free(plain);
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

/* Whether a file flag reads standard input itself. */
static bool input_taken(const struct cli *cli)
{
	const char *path = cli_value(cli, "file");
	bool taken = path != NULL && strcmp(path, "-") == 0;

	for (size_t i = 0; (path = cli_nth(cli, "attach", i)) != NULL; i++)
		taken = taken || strcmp(path, "-") == 0;
	return taken;
}

static bool input_comes(int wait_ms)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&input, 1, wait_ms) != 0;
}

/* Where a flag gives the text, fields may still come; but standard input may be anything that a script has left open,
 * and is not waited for without end.  To go on without it would send a notice without what comes a moment later, which
 * nobody would learn: so who means nothing of it has to say so. */
static int await_input(struct cli *cli)
{
	if (input_comes(INPUT_QUIET_MS))
		return 0;
	cli_note(cli, tr("standard input is open: waiting for what it says of the notice"));
	return input_comes(INPUT_WAIT_MS - INPUT_QUIET_MS)
		   ? 0
		   : cli_fail(cli, STATUS_USAGE,
			      tr("standard input is open, and nothing came within %d seconds: end it, or say that "
				 "nothing of it is meant: --no-input"),
			      INPUT_WAIT_MS / 1000);
}

/* Standard input: a JSON object with any of the fields, or, unless a flag gives it, the text itself. */
static int read_input(struct cli *cli, bool with_text, struct compose *compose)
{
	struct refusal why = {0};
	size_t size;

	if (with_text && await_input(cli) != 0)
		return STATUS_USAGE;
	char *given = cli_read_file("-", FORM_MAX, &size, &why);

	if (given == NULL)
		return cli_refused(cli, &why);
	char *text = form_plain(given, size, &size);
	free(given);
	if (text == NULL)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	int status = 0;
	if (text[strspn(text, " \t\r\n")] == '{')
		status = take_form(cli, tr("standard input"), text, size, compose);
	else if (with_text && text[strspn(text, " \t\r\n")] != '\0')
		status =
		    cli_fail(cli, STATUS_USAGE,
			     tr("standard input is no JSON object, and the text comes from a flag: --no-input where "
				"nothing of it is meant"));
	else if (size > 0 && !with_text)
		status = set_text(cli, compose->given, text, size);
	free(text);
	return status;
}

/* ---- Flags */

/* of_header: a wrong word there is a wrong use of the command, as elsewhere. */
static int set_field(struct cli *cli, struct compose *compose, bool of_header, const char *flag, const char *field,
		     const char *value)
{
	struct refusal why = {0};
	int status = form_set(compose->given, field, value, compose->declared, &why);
	bool known = why.field[0] == '\0' || strcmp(why.field, field) == 0; /* what was typed says it */

	if (status == 0)
		return 0;
	return cli_fail(cli, status == STATUS_INVALID && of_header ? STATUS_USAGE : status, "--%s: %s%s%s", flag,
			known ? "" : why.field, known ? "" : ": ", why.message);
}

/* Flags that are fields by themselves; those of whom it goes to are told where they stand before another value. */
static const struct {
	const char *flag, *field;
	bool of_header, of_way;
} field_flags[] = {{"to", "to", true, true},
		   {"kind", "kind", true, true},
		   {"category", "category", true, false},
		   {"urgency", "urgency", true, false},
		   {"tlp", "tlp", true, false},
		   {"exercise", "exercise", true, true},
		   {"reply-by", "reply_by", true, false},
		   {"escalate", "escalate", true, true},
		   {"separately", "separately", true, false},
		   {"subject", "subject", false, false},
		   {"ref", "our_reference", false, false}};
enum { FIELD_FLAGS = sizeof field_flags / sizeof *field_flags, OF_SENDING = 2 };

/* The first ones are of sending only: -k of a reply is our desk's, and --to of what is passed on its command's. */
static bool is_field(size_t i, enum form_use use)
{
	return use == FORM_SEND || i >= OF_SENDING;
}

/* The flag that has given a field; NULL: none. */
static const char *flag_of_field(const struct cli *cli, enum form_use use, const char *field)
{
	for (size_t i = 0; i < FIELD_FLAGS; i++) {
		if (is_field(i, use) && strcmp(field_flags[i].field, field) == 0 && cli_has(cli, field_flags[i].flag))
			return field_flags[i].flag;
	}
	if (strcmp(field, "text") != 0)
		return NULL;
	return cli_has(cli, "text") ? "text" : cli_has(cli, "file") ? "file" : NULL;
}

/* --set NAME=VALUE: any field as the form has it.  Flags are of one hand: of two that say different things of a field
 * one is a slip.  seen: what --set has said so far. */
static int take_set(struct cli *cli, enum form_use use, struct compose *compose, json_t *seen, const char *pair)
{
	const char *equals = strchr(pair, '=');
	char name[64], flag[sizeof "set " + sizeof name];

	if (equals == NULL || (size_t)(equals - pair) >= sizeof name)
		return cli_fail(cli, STATUS_USAGE, tr("--set takes NAME=VALUE"));
	snprintf(name, sizeof name, "%.*s", (int)(equals - pair), pair);
	snprintf(flag, sizeof flag, "set %s", name);
	const char *before = json_string_value(json_object_get(seen, name)), *typed = flag_of_field(cli, use, name);
	if (before != NULL && strcmp(before, equals + 1) != 0)
		return cli_fail(cli, STATUS_INVALID, tr("--set %s: is given twice"), name);
	json_object_set_new(seen, name, json_string(equals + 1));
	json_t *said = json_incref(json_object_get(compose->given, name));
	int status = set_field(cli, compose, false, flag, name, equals + 1);
	const json_t *now = json_object_get(compose->given, name);
	if (status == 0 && typed != NULL && (now == NULL || !json_equal(said, now)))
		status = cli_fail(cli, STATUS_INVALID, tr("--set %s: --%s says something else"), name, typed);
	json_decref(said);
	return status;
}

static int take_sets(struct cli *cli, enum form_use use, struct compose *compose)
{
	json_t *seen = json_object();
	int status = seen != NULL ? 0 : cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));

	for (size_t i = 0; cli_nth(cli, "set", i) != NULL && status == 0; i++)
		status = take_set(cli, use, compose, seen, cli_nth(cli, "set", i));
	json_decref(seen);
	return status;
}

/* A template's or an input's default gives way to a flag, which is its use; but not unheard where the notice goes. */
static void tell_way(struct cli *cli, const char *flag, const char *field, const json_t *before, const json_t *now)
{
	char list[400] = "";
	json_t *one;
	size_t i;

	if (before == NULL || json_equal(before, now))
		return;
	json_array_foreach((json_t *)before, i, one) if (json_is_string(one))
	{
		size_t used = strlen(list);
		snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", json_string_value(one));
	}
	cli_note(cli, tr("%s: --%s counts, instead of: %s"), field, flag,
		 json_is_string(before) ? json_string_value(before) : list);
}

static int take_flag(struct cli *cli, struct compose *compose, size_t i)
{
	const char *flag = field_flags[i].flag, *field = field_flags[i].field;

	if (strcmp(field, "separately") == 0)
		return json_object_set_new(compose->given, field, json_true()) == 0
			   ? 0
			   : cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	char *value = cli_joined(cli, flag);
	json_t *before = json_incref(json_object_get(compose->given, field));
	int status = value != NULL ? set_field(cli, compose, field_flags[i].of_header, flag, field, value)
				   : cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	if (status == 0 && field_flags[i].of_way)
		tell_way(cli, flag, field, before, json_object_get(compose->given, field));
	json_decref(before);
	free(value);
	return status;
}

static int take_flags(struct cli *cli, enum form_use use, struct compose *compose)
{
	int status = cli_has(cli, "text") && cli_has(cli, "file")
			 ? cli_fail(cli, STATUS_USAGE, tr("--text and --file exclude each other"))
			 : 0;

	for (size_t i = 0; i < FIELD_FLAGS && status == 0; i++) {
		if (is_field(i, use) && cli_has(cli, field_flags[i].flag))
			status = take_flag(cli, compose, i);
	}
	if (status == 0 && cli_has(cli, "text"))
		status = set_text(cli, compose->given, cli_value(cli, "text"), strlen(cli_value(cli, "text")));
	else if (status == 0 && cli_has(cli, "file"))
		status = read_text_file(cli, cli_value(cli, "file"), compose->given);
	return status == 0 ? take_sets(cli, use, compose) : status;
}

/* What a reply or a note cannot mean was meant for something all the same. */
static int check_foreign(struct cli *cli, enum form_use use, const struct compose *compose)
{
	const char *field = form_foreign(compose->given, use);
	const bool note = use == FORM_NOTE;

	if (field == NULL)
		return 0;
	return cli_fail(cli, STATUS_INVALID, tr("%s: %s has no such field%s%s%s"), field,
			note ? tr("a private note") : tr("a reply"), cli_has(cli, "template") ? ": --set " : "",
			cli_has(cli, "template") ? field : "", cli_has(cli, "template") ? tr("= leaves it out") : "");
}

/* ---- Content */

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

/* A clock may be off by some hours, and a day and a month may be swapped. */
static int check_times(struct cli *cli, const struct compose *compose)
{
	const Poc__NoticeContent *c = compose->content;
	const bool started = c->started > compose->now + DAY_SECONDS;

	if (!started && c->detected <= compose->now + DAY_SECONDS)
		return 0;
	return cli_fail(cli, STATUS_INVALID, tr("%s: lies in the future: %s"), started ? "started" : "detected",
			time_text(started ? c->started : c->detected));
}

static void warn_of_class(const struct cli *cli, const Poc__NoticeContent *c)
{
	if (c->rsit_class[0] != '\0' && (c->rsit_version[0] == '\0' || strcmp(c->rsit_version, RSIT_VERSION) == 0) &&
	    !rsit_known(c->rsit_class))
		cli_note(cli, tr("rsit_class: \"%s\" is no class of version %s of the taxonomy"), c->rsit_class,
			 RSIT_VERSION);
}

/* Of an attachment that a flag gave it is the file that is named, not its place in a list. */
static int refuse_content(struct cli *cli, size_t given, const struct refusal *why)
{
	size_t number;
	const char *path = sscanf(why->field, "attachments[%zu]", &number) == 1 && number >= given
			       ? cli_nth(cli, "attach", number - given)
			       : NULL;

	return path != NULL ? cli_fail(cli, why->code, tr("--attach %s: its name: %s"), path, why->message)
			    : cli_refused(cli, why);
}

static void warn_of_indicators(const struct cli *cli, const Poc__NoticeContent *c)
{
	for (size_t i = 0; i < c->n_indicators; i++) {
		if (!indicator_fits(c->indicators[i]->type, c->indicators[i]->value))
			cli_note(cli, tr("indicators[%zu]: \"%s\" is no %s"), i, c->indicators[i]->value,
				 c->indicators[i]->type);
	}
}

static int make_content(struct cli *cli, struct compose *compose)
{
	struct refusal why = {0};
	size_t given = 0;
	json_t *part = form_content(compose->given);

	if (json_string_length(json_object_get(compose->given, "subject")) == 0) {
		json_decref(part);
		return cli_fail(cli, STATUS_USAGE, tr("a notice needs a subject: --subject"));
	}
	message_free(compose->content);
	compose->content = NULL;
	int status = part != NULL ? notice_content_from_json(part, &compose->content, &why)
				  : refuse(&why, STATUS_NO_MEMORY, "", "out of memory");
	json_decref(part);
	if (status != 0)
		return cli_refused(cli, &why);
	given = compose->content->n_attachments;
	for (size_t i = 0; cli_nth(cli, "attach", i) != NULL && status == 0; i++)
		status = attach(cli, cli_nth(cli, "attach", i), compose->content);
	if (status == 0 && notice_content_check(compose->content, &why) != 0)
		status = refuse_content(cli, given, &why);
	return status == 0 ? check_times(cli, compose) : status;
}

/* Whether there is more than a subject and what the form itself is. */
static bool says_something(const Poc__NoticeContent *c)
{
	return c->text[0] != '\0' || c->rsit_class[0] != '\0' || c->sector[0] != '\0' || c->assistance[0] != '\0' ||
	       c->earlier_contact[0] != '\0' || c->n_attachments + c->n_states + c->n_indicators + c->n_fields > 0 ||
	       c->cross_border || c->malicious || c->critical_infrastructure || c->started != 0 || c->detected != 0;
}

/* What says nothing was a slip of the hand: an empty standard input, a form that was saved as it came. */
static int check_said(struct cli *cli, enum form_use use, const struct compose *compose)
{
	const bool note = use == FORM_NOTE;

	if (note ? compose->content->text[0] != '\0' : says_something(compose->content))
		return 0;
	if (compose->written != NULL)
		return cli_fail(cli, STATUS_FAILED, tr("the form says nothing: nothing was sent"));
	return cli_fail(cli, STATUS_USAGE, "%s",
			note ? tr("an empty note: --text")
			     : tr("an empty notice: --text, --file, --attach or a field (--set)"));
}

/* ---- The form in the editor */

/* What the form says counts, and what it does not say any more is gone; it holds no attachments. */
static int take_edited(struct cli *cli, enum form_use use, struct compose *compose)
{
	struct refusal why = {0};
	json_t *form = NULL;
	size_t size;
	char *text = cli_read_file(compose->written, FORM_MAX, &size, &why);

	if (text == NULL)
		return cli_refused(cli, &why);
	if (cli_edit_empty(text)) {
		free(text);
		unlink(compose->written);
		free(compose->written);
		compose->written = NULL;
		return cli_fail(cli, STATUS_FAILED, tr("empty: nothing was sent"));
	}
	int status = form_parse(text, size, compose->declared, &form, &why);
	free(text);
	if (status == 0 && form_foreign(form, use) != NULL)
		status = refuse(&why, STATUS_INVALID, form_foreign(form, use), "is no field of this form");
	if (status != 0) {
		json_decref(form);
		return cli_refused(cli, &why);
	}
	static const char *const kept[] = {"title", "asks", "attachments"};
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
		if (json_object_get(compose->given, kept[i]) != NULL)
			json_object_set(form, kept[i], json_object_get(compose->given, kept[i]));
	}
	json_decref(compose->given);
	compose->given = form;
	return make_content(cli, compose);
}

/* Below the state folder, not in /tmp: it is not for others. */
static int write_form(struct cli *cli, const char *form, struct compose *compose)
{
	struct refusal why = {0};
	char *path;

	if (form == NULL ||
	    asprintf(&path, "%s/notice-%lld-%d.ini", cli->conf.state_dir, (long long)time(NULL), (int)getpid()) < 0)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	mkdir(cli->conf.state_dir, 0700);
	int status = cli_write_file(path, form, strlen(form), 0600, true, &why);
	if (status != 0) {
		free(path);
		return cli_refused(cli, &why);
	}
	compose->written = path;
	return 0;
}

/* A form in which nobody has written anything is not worth keeping. */
static void drop_unwritten(struct compose *compose, const char *form)
{
	size_t size;
	char *text = compose->written != NULL ? cli_read_file(compose->written, FORM_MAX, &size, NULL) : NULL;

	if (text != NULL && strcmp(text, form) == 0) {
		unlink(compose->written);
		free(compose->written);
		compose->written = NULL;
	}
	free(text);
}

static int edit_form(struct cli *cli, enum form_use use, struct compose *compose)
{
	char *form = form_write(compose->given, use);
	int status = write_form(cli, form, compose);

	if (status == 0) {
		do {
			status = cli_edit(cli, compose->written);
			if (status == 0)
				status = take_edited(cli, use, compose);
			if (status == 0)
				status = check_said(cli, use, compose);
		} while (status != 0 && compose->written != NULL && cli_edit_again(cli));
		if (status != 0)
			drop_unwritten(compose, form);
	}
	free(form);
	return status;
}

/* ---- All together */

/* A template asks; it does not insist. */
static void tell_missing(struct cli *cli, const struct compose *compose)
{
	json_t *missing = form_missing(compose->given), *one;
	char list[400] = "";
	size_t i;

	json_array_foreach(missing, i, one)
	{
		size_t used = strlen(list);
		snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", json_string_value(one));
	}
	if (list[0] != '\0')
		cli_note(cli, tr("the template also asks for: %s"), list);
	json_decref(missing);
}

int compose_read(struct duty *duty, enum form_use use, const char *subject, bool asks, struct compose *out)
{
	struct cli *cli = duty->cli;
	bool given = cli_has(cli, "text") || cli_has(cli, "file"), terminal = isatty(STDIN_FILENO);

	*out = (struct compose){.given = json_object(), .now = client_now(duty->poc), .note = use == FORM_NOTE};
	if (out->given == NULL)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	const bool unread = cli_has(cli, "no-input"), taken = input_taken(cli);
	int status = unread && taken
			 ? cli_fail(cli, STATUS_USAGE, tr("--no-input and \"-\" as a file exclude each other"))
			 : read_template(duty, out);
	if (status == 0 && asks && !terminal && !unread && !taken)
		status = read_input(cli, given, out);
	if (status == 0)
		status = take_flags(cli, use, out);
	if (status == 0)
		status = check_foreign(cli, use, out);
	if (status == 0 && subject != NULL && json_object_get(out->given, "subject") == NULL)
		json_object_set_new(out->given, "subject", json_string(subject));
	if (status == 0 && (cli_has(cli, "edit") || (asks && terminal && !given)))
		status = edit_form(cli, use, out);
	else if (status == 0)
		status = make_content(cli, out);
	if (status == 0 && asks)
		status = check_said(cli, use, out);
	if (status == 0) {
		tell_missing(cli, out);
		warn_of_class(cli, out->content);
		warn_of_indicators(cli, out->content);
	}
	return status;
}

/* ---- Header */

const char *compose_field(const struct compose *compose, const char *name)
{
	return json_string_value(json_object_get(compose->given, name));
}

/* form.c has checked the words. */
int compose_header(struct duty *duty, const struct compose *compose, struct client_notice *notice)
{
	const char *category = compose_field(compose, "category"), *urgency = compose_field(compose, "urgency");
	const char *tlp = compose_field(compose, "tlp"), *exercise = compose_field(compose, "exercise");
	const char *reply_by = compose_field(compose, "reply_by");

	if (category != NULL)
		(void)category_parse(category, &notice->category);
	if (urgency != NULL)
		(void)urgency_parse(urgency, &notice->urgency);
	if (tlp != NULL)
		(void)notice_tlp_parse(tlp, &notice->tlp);
	if (exercise != NULL && notice->has_answers && strcmp(exercise, notice->exercise) != 0)
		return cli_fail(duty->cli, STATUS_USAGE, tr("the thread is not of the exercise \"%s\""), exercise);
	if (exercise != NULL)
		notice->exercise = exercise;
	return reply_by != NULL ? duty_deadline(duty, "reply-by", reply_by, &notice->reply_by) : 0;
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

	if ((status == STATUS_UNREACHABLE || status == STATUS_TLS) && !duty->cli->insist) {
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
