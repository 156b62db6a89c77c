/* Sending: notices, answers, private notes, reminders. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/strings.h"
#include "clients/poc/label.h"
#include "clients/poc/notice.h"
#include "clients/poc/receipts.h"
#include "clients/poc/reminder.h"
#include "clients/poc/sending.h"
#include "clients/poc/would.h"
#include "proto/wire/prescan.h"

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

static int fill(struct duty *duty, const struct compose *compose, struct client_notice *n)
{
	char *places = joined_places(compose);
	int status =
	    places == NULL ? cli_fail(duty->cli, STATUS_NO_MEMORY, tr("out of memory")) : sending_begin(duty, n);

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
	int status = sending_check(duty, n);

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
			status = sending_one(duty, &one, &json);
		note_sent(duty, &one, status, json, list);
		worst = sending_worst(worst, status);
		failed = failed || cli->failed;
	}
	cli->failed = failed;
	if (worst == 0 && cli->dry_run)
		would_end(duty);
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
	if (status == 0 && !duty.offline && outbox_waiting(duty.poc) > 0)
		duty_flush(&duty, NULL, NULL);
	bool separately = json_is_true(json_object_get(compose.given, "separately"));
	if (status == 0 && separately)
		status = send_each(&duty, &n, list);
	else if (status == 0)
		status = sending_one(&duty, &n, &json);
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

/* The receipt that says which notice is the answer; only who received a notice answers it.  waits: the answer does. */
static int say_answered(struct duty *duty, const struct desk *desk, const struct desk_notice *of,
			const struct client_notice *n, bool waits)
{
	struct receipts_saying saying = {
	    .step = POC__STEP__STEP_ANSWERED, .answer = &n->id, .waits = waits ? "its answer waits too" : NULL};
	struct client_posted posted;

	if (desk_own_party(desk, of) == NULL)
		return 0;
	int status = receipts_post(duty, of->notice, &desk->id, &saying, &posted);
	return status == 0 || status == STATUS_QUEUED ? status : duty_fail(duty, status);
}

static bool may_answer(const struct duty_at *at)
{
	const struct desk_party *own = desk_own_party(at->desk, at->notice);

	return own != NULL && !own->answered && desk_is_open(at->desk, at->notice);
}

/* A notice goes from one desk: of several that received it the first that has not answered it, or if none has yet to,
 * the first. */
static size_t pick_answering(const struct duty_at *at, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (may_answer(&at[i]))
			return i;
	}
	return 0;
}

/* Where it goes on waiting, of our desks. */
static void tell_others(struct duty *duty, const struct duty_at *at, size_t n, size_t picked)
{
	if (n > 1)
		cli_note(duty->cli, tr("answered from %s %s"), at[picked].desk->id.place,
			 poc_kind_name(at[picked].desk->id.kind));
	for (size_t i = 0; i < n; i++) {
		if (i != picked && may_answer(&at[i]))
			cli_note(duty->cli, tr("%s %s has received it too, and has not answered it: -k %s"),
				 at[i].desk->id.place, poc_kind_name(at[i].desk->id.kind),
				 poc_kind_name(at[i].desk->id.kind));
	}
}

/* A reminder is answered by answering what it reminds of: at[i] then has that, and reminders[i] the reminder. */
static void answer_reminded(struct duty *duty, struct duty_at *at, size_t n,
			    const struct desk_notice *reminders[DUTY_DESKS])
{
	char id[NOTICE_ID_TEXT];
	bool told = false;

	for (size_t i = 0; i < n; i++) {
		struct desk_notice *of = reminder_of(duty, at[i].desk, at[i].notice);
		reminders[i] = NULL;
		if (of == NULL || desk_own_party(at[i].desk, of) == NULL)
			continue;
		reminders[i] = at[i].notice;
		at[i].notice = of;
		duty_id(&of->notice->id, id);
		if (!told)
			cli_note(duty->cli, tr("a reminder of %s: that notice is answered"), id);
		told = true;
	}
}

int poc_cmd_notice_reply(struct cli *cli)
{
	const struct desk_notice *reminders[DUTY_DESKS] = {NULL};
	struct compose compose = {0};
	struct client_notice n = {0};
	struct duty_at at[DUTY_DESKS];
	struct duty duty;
	char subject[SENDING_SUBJECT];
	json_t *json = NULL;
	Poc__PocKind kind;
	size_t n_at = 0;
	int status = duty_kind(cli, &kind);

	if (status == 0)
		status = duty_open(cli, &duty);
	if (status != 0)
		return status;
	status = duty_desks(&duty, cli->argv[0], kind, at, &n_at);
	answer_reminded(&duty, at, n_at, reminders);
	if (status == 0 && desk_is_note(at[0].notice))
		status =
		    cli_fail(cli, STATUS_INVALID,
			     tr("it is a private note: answer the notice that it is about, or write another note"));
	const size_t picked = pick_answering(at, n_at);
	struct desk *desk = status == 0 ? at[picked].desk : NULL;
	struct desk_notice *of = status == 0 ? at[picked].notice : NULL;
	if (status == 0)
		status = sending_follow(&duty, desk, of, &n);
	if (status == 0) {
		sending_subject(&duty, desk, of, "Re:", subject);
		status = compose_read(&duty, FORM_REPLY, subject, true, &compose);
	}
	if (status == 0)
		status = compose_header(&duty, &compose, &n);
	if (status == 0)
		status = label_answer(&duty, of, n.tlp);
	n.content = compose.content;
	if (status == 0)
		status = sending_one(&duty, &n, &json);
	const bool received = status == 0 && desk_own_party(desk, of) != NULL;
	if (status == 0 && cli->dry_run && received && !cli->json)
		cli_line(tr("would be said: %s, of the notice, for %s %s"), step_name(POC__STEP__STEP_ANSWERED),
			 desk->id.place, poc_kind_name(desk->id.kind));
	const bool queued = status == STATUS_QUEUED;
	cli->collecting = json != NULL; /* that document holds what fails from now on */
	cli->failed = cli->failed && !queued;
	if ((status == 0 || status == STATUS_QUEUED) && of != NULL && !cli->dry_run)
		status = sending_worst(status, say_answered(&duty, desk, of, &n, status == STATUS_QUEUED));
	if ((status == 0 || status == STATUS_QUEUED) && reminders[picked] != NULL)
		status = sending_worst(status, receipts_reminder(&duty, desk, reminders[picked]));
	if (status == 0 && !cli->json && !cli->dry_run && received)
		cli_line("%s", duty_disclaimer());
	if (status == 0 || status == STATUS_QUEUED)
		tell_others(&duty, at, n_at, picked);
	cli->failed = cli->failed || queued;
	sending_finish(&duty, &compose, json, "poc.notice-send/1", status);
	return status;
}

int poc_cmd_notice_note(struct cli *cli)
{
	struct compose compose = {0};
	struct client_notice n = {0};
	struct duty_at at[DUTY_DESKS];
	struct duty duty;
	json_t *json = NULL;
	Poc__PocKind kind;
	size_t n_at;
	int status = duty_kind(cli, &kind);

	if (status == 0)
		status = duty_open(cli, &duty);
	if (status != 0)
		return status;
	status = duty_desks(&duty, cli->argv[0], kind, at, &n_at);
	if (status == 0)
		status = sending_follow(&duty, at[0].desk, at[0].notice, &n);
	if (status == 0)
		status = compose_read(&duty, FORM_NOTE, "note", true, &compose);
	if (status == 0)
		status = compose_header(&duty, &compose, &n);
	n.category = POC__CATEGORY__CATEGORY_NOTE;
	n.urgency = POC__URGENCY__URGENCY_ROUTINE;
	n.to[0] = n.from;
	n.n_to = 1;
	n.content = compose.content;
	if (status == 0)
		status = sending_one(&duty, &n, &json);
	sending_finish(&duty, &compose, json, "poc.notice-send/1", status);
	return status;
}

/* ---- remind */

/* What a notice's sender waits for: with a deadline an answer, else that a person acknowledges it. */
static Poc__Step waited_for(const struct desk_notice *of)
{
	return of->notice->core->reply_by != 0 ? POC__STEP__STEP_ANSWERED : POC__STEP__STEP_ACKNOWLEDGED;
}

/* Who declines or closes it does not answer any more. */
static bool has_done(const struct desk_party *party, Poc__Step step)
{
	return step == POC__STEP__STEP_ANSWERED ? desk_party_step(party) >= POC__STEP__STEP_DECLINED
						: desk_party_heard(party);
}

static void tell_undone(struct duty *duty, const struct desk_party *party, Poc__Step step)
{
	const Poc__Step so_far = desk_party_step(party);

	if (step == POC__STEP__STEP_ACKNOWLEDGED && so_far > POC__STEP__STEP_DELIVERED)
		cli_note(duty->cli, tr("%s %s: a program %s, no person has"), party->desk.place,
			 poc_kind_name(party->desk.kind), step_name(so_far));
	else
		cli_note(duty->cli, tr("%s %s: %s%s, not %s"), party->desk.place, poc_kind_name(party->desk.kind),
			 step_name(so_far), (party->automatic >> so_far & 1) != 0 ? tr(" (a program)") : "",
			 step_name(step));
}

/* Those who received it, by escalation too, and have not done what is waited for. */
static void take_undone(struct duty *duty, const struct desk_notice *of, struct client_notice *n)
{
	const Poc__Step step = waited_for(of);

	n->n_to = 0;
	for (size_t i = 0; i < of->n_parties && n->n_to < NOTICE_DESKS_MAX; i++) {
		const struct desk_party *party = &of->parties[i];
		if (!desk_party_received(party) || has_done(party, step))
			continue;
		tell_undone(duty, party, step);
		n->to[n->n_to++] = party->desk;
	}
}

static json_t *remind_nobody(struct duty *duty, const struct desk_notice *of)
{
	char thread[NOTICE_ID_TEXT];

	duty_id(&of->notice->thread, thread);
	cli_note(duty->cli, waited_for(of) == POC__STEP__STEP_ANSWERED
				? tr("every recipient has answered, declined or closed it: nobody is reminded")
				: tr("every recipient has acknowledged it, or said more: nobody is reminded"));
	return duty->cli->json ? json_pack("{s:n,s:s,s:n,s:[]}", "id", "thread", thread, "stored", "recipients") : NULL;
}

int poc_cmd_notice_remind(struct cli *cli)
{
	struct compose compose = {0};
	struct client_notice n = {0};
	struct desk_notice *of;
	struct desk *desk;
	struct duty duty;
	char subject[SENDING_SUBJECT];
	json_t *json = NULL;
	int status = duty_open(cli, &duty);

	if (status != 0)
		return status;
	status = duty_find(&duty, cli->argv[0], &desk, &of);
	if (status == 0 && of->side != SIDE_FROM)
		status = cli_fail(cli, STATUS_DENIED, tr("only who sent a notice reminds of it"));
	if (status == 0)
		status = sending_still_open(&duty, of);
	if (status == 0)
		status = sending_follow(&duty, desk, of, &n);
	if (status == 0)
		take_undone(&duty, of, &n);
	if (status == 0 && n.n_to == 0) {
		json = remind_nobody(&duty, of);
	} else if (status == 0) {
		sending_subject(&duty, desk, of, REMINDER_SUBJECT, subject);
		status = compose_read(&duty, FORM_NOTE, subject, false, &compose);
		n.content = compose.content;
		if (status == 0)
			status = sending_one(&duty, &n, &json);
	}
	if (json != NULL)
		json_object_set_new(json, "waits_for", json_string(step_name(waited_for(of))));
	sending_finish(&duty, &compose, json, "poc.notice-send/1", status);
	return status;
}
