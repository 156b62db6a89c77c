/* Sending: notices, answers, private notes, reminders, what is passed on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/strings.h"
#include "clients/libpoc/known.h"
#include "clients/poc/compose.h"
#include "clients/poc/notice.h"
#include "clients/poc/reach.h"
#include "clients/poc/receipts.h"
#include "clients/poc/would.h"
#include "proto/wire/prescan.h"

/* ---- What came of it */

static int note_status(int worst, int status)
{
	return status != 0 && (worst == 0 || worst == STATUS_QUEUED) ? status : worst;
}

/* To nobody but the own desk: nobody is to be called. */
static bool is_note(const struct client_notice *n)
{
	return n->category == POC__CATEGORY__CATEGORY_NOTE;
}

static json_t *sent_json(struct duty *duty, const struct client_notice *n, int64_t stored_ms)
{
	char id[NOTICE_ID_TEXT], thread[NOTICE_ID_TEXT];
	json_t *reach = json_array(), *later = json_array();

	duty_id(&n->id, id);
	duty_id(&n->thread, thread);
	for (size_t i = 0; i < n->n_to && !is_note(n); i++)
		reach_tell(duty, &n->to[i], false, reach);
	for (size_t i = 0; i < n->n_escalations; i++)
		reach_tell(duty, &n->escalations[i].to, false, later);
	return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o}", "id", id, "thread", thread, "stored",
			 stored_ms != 0 ? json_string(time_text(stored_ms / 1000)) : json_null(), "exercise",
			 n->exercise[0] != '\0' ? json_string(n->exercise) : json_null(), "recipients", reach,
			 "escalations", later);
}

static void print_sent(struct duty *duty, const struct client_notice *n, int64_t stored_ms)
{
	char id[NOTICE_ID_TEXT];

	duty_id(&n->id, id);
	if (n->exercise[0] != '\0')
		cli_line(tr("*** EXERCISE %s *** EXERCISE *** EXERCISE ***"), n->exercise);
	if (stored_ms != 0)
		cli_line(tr("%s  stored %s"), id, time_text(stored_ms / 1000));
	else
		cli_line(tr("%s  in the outbox, not stored yet"), id);
	for (size_t i = 0; i < n->n_to && !is_note(n); i++)
		reach_tell(duty, &n->to[i], false, NULL);
	for (size_t i = 0; i < n->n_escalations; i++)
		reach_tell(duty, &n->escalations[i].to, true, NULL);
}

/* Before a notice goes: whose authority keys have changed since somebody here compared them.  Costs nothing where no
 * keys were ever compared; a lookup that fails is no reason not to send. */
static void warn_of_keys(struct duty *duty, const struct client_notice *n)
{
	struct known known;

	for (size_t i = 0; i < n->n_to; i++) {
		struct client_record record = {0};
		struct name name;
		if (!place_parse(n->to[i].place, &name) ||
		    known_find(client_state_dir(duty->poc), name.state, &known, NULL) == STATUS_NOT_FOUND)
			continue;
		client_lookup(duty->poc, duty->offline ? CLIENT_OFFLINE : CLIENT_ONLINE, &name, NULL, 0, &record);
		const struct poc_verdict *v = &record.verdict;
		if (v->keys == POC_KEYS_CHANGED)
			cli_note(duty->cli,
				 tr("KEYS CHANGED: %s: its authority keys are not those that were verified on %s: "
				    "compare them again, by telephone (poc key show %s, poc key verified %s)"),
				 n->to[i].place, time_text(v->keys_verified), name.state, name.state);
		else if (v->keys == POC_KEYS_UNKNOWN)
			cli_note(duty->cli,
				 tr("which authority keys were verified cannot be read any more; poc key show "
				    "says why"));
		client_record_finish(&record);
	}
}

/* Sends one.  *json: what came of it, in JSON mode. */
static int send_one(struct duty *duty, struct client_notice *n, json_t **json)
{
	struct client_sealed sealed;
	struct client_posted posted = {0};
	int status = 0;

	*json = NULL;
	warn_of_keys(duty, n);
	if (duty->cli->dry_run) {
		status = client_seal(duty->poc, duty->offline ? CLIENT_OFFLINE : CLIENT_ONLINE, n, &sealed);
		status = status == 0 ? would_send(duty, n, &sealed, json) : duty_fail(duty, status);
		client_sealed_finish(&sealed);
		return status;
	}
	status = outbox_send(duty->poc, duty->offline, n, &sealed, &posted);
	client_sealed_finish(&sealed);
	if (status != 0 && status != STATUS_QUEUED)
		return duty_fail(duty, status);
	duty->offline = duty->offline || status == STATUS_QUEUED;
	char reason[400];
	snprintf(reason, sizeof reason, "%s", client_why(duty->poc)->message);
	if (duty->cli->json)
		*json = sent_json(duty, n, posted.stored_ms);
	else
		print_sent(duty, n, posted.stored_ms);
	if (status == STATUS_QUEUED && !duty->cli->json)
		cli_fail(duty->cli, status, "%s", reason);
	duty->cli->failed = duty->cli->failed || status == STATUS_QUEUED; /* its document says it */
	return status;
}

/* ---- send */

static int begin(struct duty *duty, struct client_notice *n)
{
	n->exercise = "";
	n->category = POC__CATEGORY__CATEGORY_NOTIFICATION;
	n->urgency = POC__URGENCY__URGENCY_ROUTINE;
	n->tlp = POC__NOTICE_TLP__NOTICE_TLP_AMBER;
	n->created = client_now(duty->poc);
	if (notice_new_id(&n->id) != 0)
		return cli_fail(duty->cli, STATUS_FAILED, tr("no random numbers"));
	n->thread = n->id;
	return 0;
}

/* "diplomatic": the same place's other point of contact; else another place's of the same kind. */
static int add_escalation(struct duty *duty, const struct compose *compose, struct client_notice *n)
{
	const char *text = compose_field(compose, "escalate");
	struct client_escalation *e = &n->escalations[0];
	Poc__PocKind kind;
	size_t count;

	if (text == NULL)
		return 0;
	if (n->reply_by == 0)
		return cli_fail(duty->cli, STATUS_USAGE, tr("--escalate needs --reply-by: when?"));
	if (poc_kind_parse(text, &kind)) {
		e->to = n->to[0];
		e->to.kind = kind;
	} else {
		int status = compose_desks(duty->cli, text, poc_kind_name(n->to[0].kind), &e->to, 1, &count);
		if (status != 0)
			return status;
	}
	e->at = n->reply_by;
	n->n_escalations = 1;
	return 0;
}

static char *joined_places(const struct compose *compose)
{
	const json_t *list = json_object_get(compose->given, "to");
	const char *flag = compose_field(compose, "to");
	char *text = NULL;
	size_t i, size;
	json_t *each;

	if (flag != NULL || !json_is_array(list))
		return strdup(flag != NULL ? flag : "");
	FILE *out = open_memstream(&text, &size);
	json_array_foreach((json_t *)list, i, each) if (out != NULL && json_is_string(each))
	    fprintf(out, "%s%s", i > 0 ? "," : "", json_string_value(each));
	if (out != NULL)
		fclose(out);
	return text;
}

/* Whether there is more than a subject and what the form itself is. */
static bool says_something(const Poc__NoticeContent *c)
{
	return c->text[0] != '\0' || c->rsit_class[0] != '\0' || c->sector[0] != '\0' || c->assistance[0] != '\0' ||
	       c->earlier_contact[0] != '\0' || c->n_attachments + c->n_states + c->n_indicators + c->n_fields > 0 ||
	       c->cross_border || c->malicious || c->critical_infrastructure || c->started != 0 || c->detected != 0;
}

/* What says nothing was a slip of the hand: an empty standard input, a form that was saved as it came. */
static int check_said(struct cli *cli, const struct compose *compose)
{
	return says_something(compose->content)
		   ? 0
		   : cli_fail(cli, STATUS_USAGE, tr("an empty notice: --text, --file, --attach or a field (--set)"));
}

static int fill(struct duty *duty, const struct compose *compose, struct client_notice *n)
{
	char *places = joined_places(compose);
	int status = places == NULL ? cli_fail(duty->cli, STATUS_NO_MEMORY, tr("out of memory")) : begin(duty, n);

	if (status == 0)
		status =
		    compose_desks(duty->cli, places, compose_field(compose, "kind"), n->to, NOTICE_DESKS_MAX, &n->n_to);
	free(places);
	if (status == 0)
		status = compose_header(duty, compose, n);
	if (status == 0)
		status = add_escalation(duty, compose, n);
	if (status == 0)
		status = compose_from(duty, n->to[0].kind, &n->from);
	n->content = compose->content;
	return status;
}

/* That of the i-th recipient alone, under an id of its own; so is an escalation to its place's other desk. */
static int take_apart(struct duty *duty, const struct client_notice *n, size_t i, struct client_notice *one)
{
	*one = *n;
	one->to[0] = n->to[i];
	one->n_to = 1;
	if (i > 0 && notice_new_id(&one->id) != 0)
		return cli_fail(duty->cli, STATUS_FAILED, tr("no random numbers"));
	one->thread = one->id;
	if (n->n_escalations > 0 && strcmp(n->escalations[0].to.place, n->to[0].place) == 0 &&
	    n->escalations[0].to.kind != n->to[0].kind)
		snprintf(one->escalations[0].to.place, sizeof one->escalations[0].to.place, "%s", n->to[i].place);
	return 0;
}

/* What one recipient's got: {"error", "to"} where it was not sent. */
static void note_sent(struct duty *duty, const struct client_notice *one, int status, json_t *json, json_t *list)
{
	if (json == NULL && status != 0 && duty->cli->json)
		json = json_pack("{s:s,s:o}", "to", one->to[0].place, "error", cli_error_json(duty->cli));
	if (json != NULL)
		json_array_append_new(list, json);
}

/* All are tried before any goes, as they would be if they were one. */
static int try_each(struct duty *duty, const struct client_notice *n)
{
	struct client_notice one;
	int status = 0;

	for (size_t i = 0; i < n->n_to && status == 0; i++) {
		status = take_apart(duty, n, i, &one);
		if (status == 0 && (status = outbox_try(duty->poc, duty->offline, &one)) != 0)
			duty_fail(duty, status);
	}
	return status;
}

static int send_each(struct duty *duty, const struct client_notice *n, json_t *list)
{
	struct cli *cli = duty->cli;
	struct client_notice one;
	bool failed = false;
	int worst = try_each(duty, n);

	if (worst != 0)
		return worst;
	cli->collecting = true; /* one document for all */
	for (size_t i = 0; i < n->n_to; i++) {
		json_t *json = NULL;
		cli->failed = false;
		int status = take_apart(duty, n, i, &one);
		if (status == 0)
			status = send_one(duty, &one, &json);
		note_sent(duty, &one, status, json, list);
		worst = note_status(worst, status);
		failed = failed || cli->failed;
	}
	cli->failed = failed;
	return worst;
}

int poc_cmd_notice_send(struct cli *cli)
{
	struct compose compose = {0};
	struct client_notice n = {0};
	struct duty duty;
	json_t *json = NULL, *list = json_array();
	int status = duty_open_sender(cli, &duty);

	if (status != 0)
		return status;
	status = compose_read(&duty, FORM_SEND, NULL, true, &compose);
	if (status == 0)
		status = fill(&duty, &compose, &n);
	if (status == 0)
		status = check_said(cli, &compose);
	if (status == 0 && !duty.offline && outbox_waiting(duty.poc) > 0)
		duty_flush(&duty, NULL, NULL);
	bool separately = json_is_true(json_object_get(compose.given, "separately"));
	if (status == 0 && separately)
		status = send_each(&duty, &n, list);
	else if (status == 0)
		status = send_one(&duty, &n, &json);
	if (json_array_size(list) == 1)
		json = json_incref(json_array_get(list, 0));
	else if (json_array_size(list) > 1)
		json = json_pack("{s:O}", "notices", list);
	if (json != NULL)
		cli_document(cli, "poc.notice-send/1", json);
	json_decref(list);
	compose_finish(cli, &compose, status);
	duty_close(&duty);
	return status;
}

/* ---- In a thread */

/* Whose answer it is: the other side's desk, or where we sent the notice ourselves, its recipients. */
static void answer_to(const struct desk *desk, const struct desk_notice *of, struct client_notice *n)
{
	const Poc__Core *core = of->notice->core;
	bool received = desk_own_party(desk, of) != NULL;

	for (size_t i = 0; i < (received ? 1 : core->n_to); i++) {
		const Poc__Desk *to = received ? core->from : core->to[i];
		snprintf(n->to[i].place, sizeof n->to[i].place, "%s", to->place);
		n->to[i].kind = to->kind;
		n->n_to = i + 1;
	}
	n->from = desk->id;
}

static int follow(struct duty *duty, const struct desk *desk, const struct desk_notice *of, struct client_notice *n)
{
	const Poc__Core *core = of->notice->core;
	int status = of->good ? begin(duty, n)
			      : cli_fail(duty->cli, STATUS_UNVERIFIED, tr("the notice's signature does not verify"));

	n->category = POC__CATEGORY__CATEGORY_UPDATE;
	n->urgency = core->urgency;
	n->tlp = core->tlp;
	n->exercise = core->exercise;
	n->thread = of->notice->thread;
	n->answers = of->notice->id;
	n->has_answers = true;
	answer_to(desk, of, n);
	return status;
}

static void subject_of(struct duty *duty, const struct desk *desk, const struct desk_notice *of, const char *before,
		       char out[900])
{
	Poc__Inner *inner = NULL;
	char id[NOTICE_ID_TEXT];

	duty_id(&of->notice->id, id);
	if (duty_open_notice(duty, desk, of, &inner) != 0)
		snprintf(out, 900, "%s %.9s", before, id);
	else if (strncmp(inner->content->subject, before, strlen(before)) == 0)
		snprintf(out, 900, "%s", inner->content->subject);
	else /* at most 200 characters, of which the last may not be cut through */
		snprintf(out, 900, "%s %.*s", before,
			 strlen(inner->content->subject) > 180 ? 0 : (int)strlen(inner->content->subject),
			 inner->content->subject);
	if (inner != NULL && strlen(inner->content->subject) > 180)
		snprintf(out, 900, "%s %.9s", before, id);
	message_free(inner);
}

static void finish(struct duty *duty, struct compose *compose, json_t *json, const char *schema, int status)
{
	if (json != NULL)
		cli_document(duty->cli, schema, json);
	compose_finish(duty->cli, compose, status);
	duty_close(duty);
}

/* The receipt that says which notice is the answer; only who received a notice answers it. */
static int say_answered(struct duty *duty, const struct desk *desk, const struct desk_notice *of,
			const struct client_notice *n)
{
	struct receipts_saying saying = {.step = POC__STEP__STEP_ANSWERED, .answer = &n->id};
	struct client_posted posted;

	if (desk_own_party(desk, of) == NULL)
		return 0;
	int status = receipts_post(duty, of->notice, &desk->id, &saying, &posted);
	return status == 0 || status == STATUS_QUEUED ? status : duty_fail(duty, status);
}

int poc_cmd_notice_reply(struct cli *cli)
{
	struct compose compose = {0};
	struct client_notice n = {0};
	struct desk_notice *of;
	struct desk *desk;
	struct duty duty;
	char subject[900];
	json_t *json = NULL;
	int status = duty_open(cli, &duty);

	if (status != 0)
		return status;
	status = duty_find(&duty, cli->argv[0], &desk, &of);
	if (status == 0)
		status = follow(&duty, desk, of, &n);
	if (status == 0) {
		subject_of(&duty, desk, of, "Re:", subject);
		status = compose_read(&duty, FORM_REPLY, subject, true, &compose);
	}
	if (status == 0)
		status = check_said(cli, &compose);
	if (status == 0)
		status = compose_header(&duty, &compose, &n);
	n.content = compose.content;
	if (status == 0)
		status = send_one(&duty, &n, &json);
	const bool received = status == 0 && desk_own_party(desk, of) != NULL;
	if (status == 0 && cli->dry_run && received && !cli->json)
		cli_line(tr("would be said: %s, of the notice, for %s %s"), step_name(POC__STEP__STEP_ANSWERED),
			 desk->id.place, poc_kind_name(desk->id.kind));
	if ((status == 0 || status == STATUS_QUEUED) && !cli->dry_run)
		status = note_status(status, say_answered(&duty, desk, of, &n));
	if (status == 0 && !cli->json && !cli->dry_run && received)
		cli_line("%s", duty_disclaimer());
	finish(&duty, &compose, json, "poc.notice-send/1", status);
	return status;
}

int poc_cmd_notice_note(struct cli *cli)
{
	struct compose compose = {0};
	struct client_notice n = {0};
	struct desk_notice *of;
	struct desk *desk;
	struct duty duty;
	json_t *json = NULL;
	int status = duty_open(cli, &duty);

	if (status != 0)
		return status;
	status = duty_find(&duty, cli->argv[0], &desk, &of);
	if (status == 0)
		status = follow(&duty, desk, of, &n);
	if (status == 0)
		status = compose_read(&duty, FORM_NOTE, "note", true, &compose);
	if (status == 0 && compose.content->text[0] == '\0')
		status = cli_fail(cli, STATUS_USAGE, tr("an empty note: --text"));
	n.category = POC__CATEGORY__CATEGORY_NOTE;
	n.to[0] = n.from;
	n.n_to = 1;
	n.content = compose.content;
	if (status == 0)
		status = send_one(&duty, &n, &json);
	finish(&duty, &compose, json, "poc.notice-send/1", status);
	return status;
}

/* Those recipients of whom no person has said that they received it. */
static void keep_silent(struct duty *duty, const struct desk_notice *of, struct client_notice *n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n->n_to; i++) {
		const struct desk_party *party = desk_party(of, n->to[i].place, n->to[i].kind);
		if (party != NULL && desk_party_heard(party))
			continue;
		if (party != NULL && desk_party_step(party) > POC__STEP__STEP_DELIVERED)
			cli_note(duty->cli, tr("%s %s: a program %s, no person has"), n->to[i].place,
				 poc_kind_name(n->to[i].kind), step_name(desk_party_step(party)));
		n->to[kept++] = n->to[i];
	}
	n->n_to = kept;
}

int poc_cmd_notice_remind(struct cli *cli)
{
	struct compose compose = {0};
	struct client_notice n = {0};
	struct desk_notice *of;
	struct desk *desk;
	struct duty duty;
	char subject[900];
	json_t *json = NULL;
	int status = duty_open(cli, &duty);

	if (status != 0)
		return status;
	status = duty_find(&duty, cli->argv[0], &desk, &of);
	if (status == 0 && of->side != SIDE_FROM)
		status = cli_fail(cli, STATUS_DENIED, tr("only who sent a notice reminds of it"));
	if (status == 0)
		status = follow(&duty, desk, of, &n);
	if (status == 0)
		keep_silent(&duty, of, &n);
	if (status == 0 && n.n_to == 0) {
		cli_note(cli, tr("every recipient has acknowledged: nobody is reminded"));
	} else if (status == 0) {
		subject_of(&duty, desk, of, "Reminder:", subject);
		status = compose_read(&duty, FORM_NOTE, subject, false, &compose);
		n.content = compose.content;
		if (status == 0)
			status = send_one(&duty, &n, &json);
	}
	finish(&duty, &compose, json, "poc.notice-send/1", status);
	return status;
}

/* ---- Passing on, with its proofs */

/* The story of a notice with what its body held, as bytes. */
static int pack_forwarded(struct duty *duty, const struct desk *desk, const struct desk_notice *of,
			  Poc__NoticeContent *content)
{
	struct refusal why = {0};
	struct story *story = NULL;
	Poc__Inner *inner = NULL;
	uint8_t *bytes = NULL, *packed;
	size_t size, packed_size, left_out;
	int status = duty->offline ? refuse((struct refusal *)client_why(duty->poc), STATUS_UNREACHABLE, "",
					    "the proofs that go with it need a server")
				   : duty_open_notice(duty, desk, of, &inner);

	if (status == 0)
		status = client_story(duty->poc, &desk->id, &of->notice->id, &story);
	if (status != 0) {
		message_free(inner);
		return duty_fail(duty, status);
	}
	if (message_encode(inner, &bytes, &size) != 0)
		status = refuse(&why, STATUS_NO_MEMORY, "", "out of memory");
	if (status == 0)
		status =
		    story_encode(client_head(duty->poc), story, bytes, size, &packed, &packed_size, &left_out, &why);
	if (status == 0)
		content->forwarded = (ProtobufCBinaryData){packed_size, packed};
	free(bytes);
	story_destroy(story);
	message_free(inner);
	return status == 0 ? 0 : cli_refused(duty->cli, &why);
}

static int pass_on(struct cli *cli, const char *before, bool escalates)
{
	struct compose compose = {0};
	struct client_notice n = {0};
	struct desk_notice *of;
	struct desk *desk;
	struct duty duty;
	char subject[900];
	json_t *json = NULL;

	if (!cli_has(cli, "to"))
		return cli_fail(cli, STATUS_USAGE, tr("to whom? --to PLACE"));
	int status = duty_open(cli, &duty);
	if (status != 0)
		return status;
	status = duty_find(&duty, cli->argv[0], &desk, &of);
	if (status == 0 && escalates && of->side != SIDE_FROM)
		status = cli_fail(cli, STATUS_DENIED, tr("only who sent a notice escalates it"));
	if (status == 0)
		status = follow(&duty, desk, of, &n);
	char *to = cli_joined(cli, "to");
	if (status == 0)
		status = to != NULL ? compose_desks(cli, to, cli_value(cli, "kind"), n.to, NOTICE_DESKS_MAX, &n.n_to)
				    : STATUS_NO_MEMORY;
	free(to);
	if (status == 0) {
		subject_of(&duty, desk, of, before, subject);
		status = compose_read(&duty, FORM_NOTE, subject, false, &compose);
	}
	if (status == 0)
		status = pack_forwarded(&duty, desk, of, compose.content);
	if (status == 0 && escalates)
		n.category = of->notice->core->category;
	n.content = compose.content;
	if (status == 0)
		status = send_one(&duty, &n, &json);
	finish(&duty, &compose, json, "poc.notice-send/1", status);
	return status;
}

int poc_cmd_notice_forward(struct cli *cli)
{
	return pass_on(cli, "Fwd:", false);
}

int poc_cmd_notice_escalate(struct cli *cli)
{
	return pass_on(cli, "Escalated:", true);
}

/* ---- flush */

struct discarding {
	struct cli *cli;
	struct poc *poc;
	const char *which; /* start of an id, or the name of a damaged file */
	bool found, several;
	struct notice_id id;
	json_t *list;
	int status;
};

static bool is_meant(const struct discarding *d, const struct outbox_result *result)
{
	return strcmp(result->name, d->which) == 0 ||
	       ((result->is_notice || result->step != 0) && notice_id_matches(&result->id, d->which));
}

static void seek(void *ctx, const struct outbox_result *result)
{
	struct discarding *d = ctx;

	if (!is_meant(d, result))
		return;
	d->several = d->several || (d->found && memcmp(d->id.bytes, result->id.bytes, NOTICE_ID_SIZE) != 0);
	d->found = true;
	d->id = result->id;
}

static void discard_one(void *ctx, const struct outbox_result *result)
{
	struct discarding *d = ctx;
	char what[DUTY_WHAT];

	if (!is_meant(d, result) || d->status != 0)
		return;
	if (!d->cli->dry_run)
		d->status = outbox_discard(d->poc, result->name);
	if (d->status != 0)
		return;
	duty_what(result, what);
	json_array_append_new(d->list, json_string(what));
	if (!d->cli->json && !d->cli->quiet)
		cli_line(d->cli->dry_run ? tr("would be discarded: %s") : tr("discarded: %s"), what);
}

/* Forgets what was refused, by the start of its id; a receipt and its notice go together.  Sends nothing. */
static int discard(struct cli *cli, const char *which)
{
	struct discarding d = {.cli = cli, .which = which};
	int status = link_open(cli, false, &d.poc);

	if (status != 0)
		return status;
	d.list = json_array();
	outbox_refused(d.poc, seek, &d);
	if (d.several)
		status = cli_fail(cli, STATUS_USAGE, tr("\"%s\" is the start of several ids: give more of it"), which);
	else if (!d.found)
		status = cli_fail(cli, STATUS_NOT_FOUND, tr("nothing that was refused has the id %s"), which);
	if (status == 0) {
		outbox_refused(d.poc, discard_one, &d);
		status = d.status == 0 ? 0 : link_fail(cli, d.poc, d.status);
	}
	if (status == 0 && cli->json)
		cli_document(cli, "poc.notice-flush/1",
			     json_pack("{s:O,s:b}", cli->dry_run ? "would_discard" : "discarded", d.list, "dry_run",
				       (int)cli->dry_run));
	json_decref(d.list);
	link_close(cli, d.poc);
	return status;
}

struct waiting {
	struct cli *cli;
	json_t *list;
};

static void would_flush(void *ctx, const struct outbox_result *result)
{
	struct waiting *waiting = ctx;
	char what[DUTY_WHAT];

	duty_what(result, what);
	json_array_append_new(waiting->list, json_string(what));
	if (!waiting->cli->json)
		cli_line(tr("would be sent: %s%s%s%s"), result->exercise[0] != '\0' ? tr("EXERCISE ") : "",
			 result->exercise, result->exercise[0] != '\0' ? ": " : "", what);
}

/* What waits, which is not sent. */
static int flush_dry(struct cli *cli)
{
	struct waiting waiting = {cli, NULL};
	struct poc *poc;
	int status = link_open(cli, false, &poc);

	if (status != 0)
		return status;
	waiting.list = json_array();
	outbox_list(poc, would_flush, &waiting);
	if (cli->json)
		cli_document(cli, "poc.notice-flush/1",
			     json_pack("{s:b,s:O}", "dry_run", 1, "would_send", waiting.list));
	else if (json_array_size(waiting.list) == 0)
		cli_line(tr("nothing waits in the outbox"));
	cli_note(cli, tr("dry run: nothing was sent"));
	json_decref(waiting.list);
	link_close(cli, poc);
	return 0;
}

int poc_cmd_notice_flush(struct cli *cli)
{
	struct duty duty;
	size_t sent, waiting;

	if (cli_has(cli, "discard"))
		return discard(cli, cli_value(cli, "discard"));
	if (cli->dry_run)
		return flush_dry(cli);
	if (cli->offline)
		return cli_fail(cli, STATUS_USAGE,
				tr("flush sends: it does not go with --offline (poc -n notice flush says what waits)"));
	int status = duty_open_sender(cli, &duty);
	if (status != 0)
		return status;
	json_t *refused = json_array();
	status = duty_flush(&duty, &sent, &waiting);
	if (status != 0 && !cli->json)
		duty_fail(&duty, status);
	/* what was refused needs somebody, and what waits only time */
	const int refusal = duty_refused(cli, duty.poc, refused);
	status = refusal != 0 ? refusal : status;
	if (cli->json)
		cli_document(cli, "poc.notice-flush/1",
			     json_pack("{s:I,s:I,s:O}", "sent", (json_int_t)sent, "waiting", (json_int_t)waiting,
				       "refused", refused));
	else if (!cli->quiet)
		cli_line(tr("%zu sent, %zu waiting, %zu refused"), sent, waiting, json_array_size(refused));
	json_decref(refused);
	cli->failed = cli->failed || status != 0;
	duty_close(&duty);
	return status;
}
