/* Receipts: what a desk's user says of a notice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/cli/strings.h"
#include "clients/poc/duty.h"
#include "clients/poc/notice.h"
#include "clients/poc/receipts.h"
#include "clients/poc/reminder.h"
#include "clients/poc/sending.h"
#include "clients/poc/waiting.h"

enum { NAP_MS = 20 };

static void fill(struct duty *duty, const struct notice *notice, const struct client_desk *desk, Poc__Step step,
		 const char *handle, Poc__Receipt *out)
{
	poc__receipt__init(out);
	out->directory_id = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)client_directory_id(duty->poc)->bytes};
	out->notice_id = (ProtobufCBinaryData){NOTICE_ID_SIZE, (uint8_t *)notice->id.bytes};
	out->notice_hash = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)notice->hash.bytes};
	out->step = step;
	out->place = (char *)desk->place;
	out->kind = desk->kind;
	out->handle = (char *)handle;
	out->time = client_now(duty->poc);
}

/* Another time than that of a receipt that would have the same bytes as an earlier one: the next second, which is
 * waited for, unless the clock is behind. */
static int64_t next_second(const struct duty *duty, int64_t time)
{
	const struct timespec pause = {.tv_nsec = NAP_MS * 1000000L};

	if (client_now(duty->poc) != time)
		return time + 1;
	while (client_now(duty->poc) == time)
		nanosleep(&pause, NULL);
	return time + 1;
}

/* Steps of which the last one that was said counts. */
static bool is_same_kind(Poc__Step a, Poc__Step b)
{
	return (step_is_stand(a) && step_is_stand(b)) || (step_is_private(a) && step_is_private(b));
}

struct second_sought {
	const Poc__Receipt *receipt;
	bool found;
};

static void seek_second(void *ctx, const struct outbox_result *result)
{
	struct second_sought *sought = ctx;
	const Poc__Receipt *wanted = sought->receipt;
	struct receipt *receipt;

	if (result->step == 0 || memcmp(result->id.bytes, wanted->notice_id.data, NOTICE_ID_SIZE) != 0 ||
	    receipt_parse(result->envelope.data, result->envelope.len, &receipt, NULL) != 0)
		return;
	const Poc__Receipt *r = receipt->receipt;
	sought->found = sought->found || (r->time == wanted->time && r->kind == wanted->kind &&
					  strcmp(r->place, wanted->place) == 0 && is_same_kind(r->step, wanted->step));
	receipt_destroy(receipt);
}

/* Whether the desk has said just that in that second: as far as its feed here tells; and what was said before something
 * else that waits, and is not in the feed yet, was said no later than that. */
static bool is_said(const struct duty *duty, const struct desk *desk, const Poc__Receipt *receipt, const uint8_t *bytes,
		    size_t size)
{
	struct second_sought sought = {receipt, desk_has_item(desk, bytes, size)};

	if (!sought.found)
		outbox_list(duty->poc, seek_second, &sought);
	return sought.found;
}

/* Signed; of one that is made anew, under a time at which nobody at the desk has said just that. */
static int make(const struct duty *duty, const struct receipts_saying *saying, Poc__Receipt *receipt, uint8_t **bytes,
		size_t *size, struct refusal *why)
{
	int status;

	while ((status = receipt_make(receipt, client_key(duty->poc), bytes, size, why)) == 0 && saying->anew != NULL &&
	       is_said(duty, saying->anew, receipt, *bytes, *size)) {
		free(*bytes);
		receipt->time = next_second(duty, receipt->time);
	}
	return status;
}

int receipts_post(struct duty *duty, const struct notice *notice, const struct client_desk *desk,
		  const struct receipts_saying *saying, struct client_posted *posted)
{
	Poc__Receipt receipt;
	char handle[UNIT_MAX_LENGTH + 1], name[OUTBOX_NAME];
	struct refusal why = {0};
	uint8_t *bytes;
	size_t size;
	int status = client_own_handle(duty->poc, duty->offline ? CLIENT_OFFLINE : CLIENT_ONLINE, handle);

	if (status != 0)
		return duty_fail(duty, status);
	fill(duty, notice, desk, saying->step, handle, &receipt);
	if (receipt.time < saying->not_before)
		receipt.time = saying->not_before;
	receipt.reason = saying->reason;
	receipt.answer_by = saying->answer_by;
	if (saying->answer != NULL)
		receipt.answer = (ProtobufCBinaryData){NOTICE_ID_SIZE, (uint8_t *)saying->answer->bytes};
	status = make(duty, saying, &receipt, &bytes, &size, &why);
	if (status != 0)
		return cli_refused(duty->cli, &why);
	status = outbox_put(duty->poc, bytes, size, NULL, 0, name);
	if (status == 0 && (duty->offline || saying->waits != NULL))
		status = outbox_wait(duty->poc, name, saying->waits);
	else if (status == 0)
		status = outbox_post(duty->poc, name, bytes, size, NULL, 0, posted);
	free(bytes);
	return status;
}

int receipts_reminder(struct duty *duty, const struct desk *desk, const struct desk_notice *reminder)
{
	const struct receipts_saying saying = {.step = POC__STEP__STEP_ACKNOWLEDGED};
	const struct desk_party *own = desk_own_party(desk, reminder);
	struct client_posted posted;

	if (duty->cli->dry_run || own == NULL || desk_party_heard(own))
		return 0;
	int status = receipts_post(duty, reminder->notice, &desk->id, &saying, &posted);
	return status == 0 || status == STATUS_QUEUED ? status : duty_fail(duty, status);
}

/* ---- Commands */

/* What is done at one of our desks. */
struct act {
	struct desk *desk;
	struct desk_notice *notice;
	struct desk_notice *reminder; /* the one that was named, which reminds of notice; NULL: that is named itself */
	struct receipts_saying saying;
	bool before;                   /* the desk has said so already */
	bool queued;                   /* just that waits in the outbox */
	char was[UNIT_MAX_LENGTH + 1]; /* who had taken it; "": nobody else */
	char waits[400];               /* why it is not posted yet, in words; "": it is, or was not tried now */
	uint32_t retry_ms;
};

static void note_reminder(const struct act *act, json_t *json)
{
	char id[NOTICE_ID_TEXT];

	if (act->reminder == NULL)
		return;
	duty_id(&act->reminder->notice->id, id);
	json_object_set_new(json, "reminder", json_string(id));
}

/* Why it waits, as the list of what waits has it; nulls of one that is stored. */
static void put_why(struct duty *duty, const struct act *act, bool waits, json_t *json)
{
	json_t *all = waits ? waiting_list(duty->cli, duty->poc, false) : json_array();
	json_t *list = waiting_receipts(all, act->notice->notice, &act->desk->id), *each, *code = NULL, *message = NULL;
	size_t i;

	json_array_foreach(list, i, each) /* of several the last one */
	{
		if (strcmp(json_string_value(json_object_get(each, "what")), step_name(act->saying.step)) != 0)
			continue;
		code = json_object_get(each, "code");
		message = json_object_get(each, "message");
	}
	json_object_set_new(json, "code", code != NULL ? json_incref(code) : json_null());
	json_object_set_new(json, "message", message != NULL ? json_incref(message) : json_null());
	json_object_set_new(json, "retry",
			    waits && act->retry_ms > 1 ? json_integer((act->retry_ms + 999) / 1000) : json_null());
	json_decref(list);
	json_decref(all);
}

static json_t *told_json(struct duty *duty, const struct act *act, int64_t stored_ms, bool waits)
{
	char id[NOTICE_ID_TEXT];
	const Poc__Core *core = act->notice->notice->core;

	duty_id(&act->notice->notice->id, id);
	json_t *out = json_pack("{s:s,s:s,s:s,s:s,s:o,s:b}", "id", id, "step", step_name(act->saying.step), "place",
				act->desk->id.place, "kind", poc_kind_name(act->desk->id.kind), "stored",
				stored_ms != 0 ? json_string(time_text(stored_ms / 1000)) : json_null(), "repeated",
				(int)(act->before || act->queued));
	if (!step_is_private(act->saying.step))
		json_object_set_new(out, "implies", json_string(duty_disclaimer()));
	else
		json_object_set_new(out, "was", act->was[0] != '\0' ? json_string(act->was) : json_null());
	if (core->exercise[0] != '\0')
		json_object_set_new(out, "exercise", json_string(core->exercise));
	note_reminder(act, out);
	put_why(duty, act, waits, out);
	return out;
}

static void tell(const struct act *act, int64_t stored_ms)
{
	char id[NOTICE_ID_TEXT], whose[UNIT_MAX_LENGTH + 40] = "";
	const char *step = step_name(act->saying.step), *place = act->desk->id.place,
		   *kind = poc_kind_name(act->desk->id.kind);

	duty_id(&act->notice->notice->id, id);
	if (act->was[0] != '\0')
		snprintf(whose, sizeof whose, tr(", was %s's"), act->was);
	duty_exercise_line(act->notice->notice);
	if (act->before)
		cli_line(tr("%s: %s %s has said \"%s\" before"), id, place, kind, step);
	else if (act->queued)
		cli_line(tr("%s: %s, for %s %s, waits in the outbox already"), id, step, place, kind);
	else if (stored_ms == 0)
		cli_line(tr("%s: %s%s, for %s %s, waits in the outbox"), id, step, whose, place, kind);
	else
		cli_line(tr("%s: %s%s, for %s %s, stored %s"), id, step, whose, place, kind,
			 time_text(stored_ms / 1000));
}

/* Who may say it: recipients and escalations; closed and the private steps also the sender.  Of a private note there is
 * nothing to tell anybody. */
static int check_side(struct duty *duty, const struct desk *desk, const struct desk_notice *notice, Poc__Step step)
{
	if (!notice->good)
		return cli_fail(duty->cli, STATUS_UNVERIFIED, tr("the notice's signature does not verify"));
	if (desk_is_note(notice) && !step_is_private(step))
		return cli_fail(duty->cli, STATUS_INVALID,
				tr("it is a private note: \"%s\" is said of the notice that it is about"),
				step_name(step));
	if (desk_own_party(desk, notice) != NULL || step == POC__STEP__STEP_CLOSED || step_is_private(step))
		return 0;
	return cli_fail(duty->cli, STATUS_DENIED, tr("only who received a notice can say \"%s\" of it; we sent it"),
			step_name(step));
}

/* Another stand than the last one: the desk may have said it before that. */
static bool is_other_stand(const struct desk *desk, const struct desk_notice *notice,
			   const struct receipts_saying *saying)
{
	const struct desk_party *party = desk_party(notice, desk->id.place, desk->id.kind);

	return step_is_stand(saying->step) && party != NULL && party->stand != 0 &&
	       (party->stand != saying->step || party->reason != saying->reason);
}

/* Another operator who holds what is taken or released now; "": none.  What changes who holds it is dated no earlier
 * than what the desk said last, by a clock that is behind a colleague's too: it would be an older statement. */
static int find_holder(struct duty *duty, const struct desk *desk, const struct desk_notice *notice,
		       struct receipts_saying *saying, char out[UNIT_MAX_LENGTH + 1])
{
	const bool takes = saying->step == POC__STEP__STEP_TAKEN, held = notice->taken_by[0] != '\0';
	char own[UNIT_MAX_LENGTH + 1];

	if (!step_is_private(saying->step))
		return 0;
	if (!held && !takes && !duty->offline) /* what waits here may have taken it */
		return cli_fail(duty->cli, STATUS_INVALID, tr("nobody at this desk has taken it: nothing to release"));
	if (!held) {
		saying->not_before = notice->taken_at;
		saying->anew = desk;
		return 0;
	}
	int status = client_own_handle(duty->poc, duty->offline ? CLIENT_OFFLINE : CLIENT_ONLINE, own);
	const bool others = status == 0 && strcmp(own, notice->taken_by) != 0;
	if (others)
		snprintf(out, UNIT_MAX_LENGTH + 1, "%s", notice->taken_by);
	if (others || !takes) {
		saying->not_before = notice->taken_at;
		saying->anew = desk;
	}
	return status;
}

static json_t *would_json(const struct act *act)
{
	char id[NOTICE_ID_TEXT];
	const struct receipts_saying *saying = &act->saying;
	const char *exercise = act->notice->notice->core->exercise;

	duty_id(&act->notice->notice->id, id);
	json_t *out =
	    json_pack("{s:b,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:b}", "dry_run", 1, "id", id, "step", step_name(saying->step),
		      "place", act->desk->id.place, "kind", poc_kind_name(act->desk->id.kind), "answer_by",
		      cli_time_json(saying->answer_by), "reason",
		      saying->reason != 0 ? json_string(reason_name(saying->reason)) : json_null(), "exercise",
		      exercise[0] != '\0' ? json_string(exercise) : json_null(), "repeated", (int)act->before);
	note_reminder(act, out);
	return out;
}

static void would_tell(const struct act *act)
{
	char id[NOTICE_ID_TEXT];
	const struct receipts_saying *saying = &act->saying;

	duty_id(&act->notice->notice->id, id);
	duty_exercise_line(act->notice->notice);
	if (act->before) {
		cli_line(tr("nothing would be said: %s %s has said \"%s\" of %s before"), act->desk->id.place,
			 poc_kind_name(act->desk->id.kind), step_name(saying->step), id);
		return;
	}
	cli_line(tr("would be said: %s, of %s, for %s %s%s%s%s%s"), step_name(saying->step), id, act->desk->id.place,
		 poc_kind_name(act->desk->id.kind), saying->answer_by != 0 ? tr(", answer by ") : "",
		 saying->answer_by != 0 ? time_text(saying->answer_by) : "", saying->reason != 0 ? tr(", reason ") : "",
		 saying->reason != 0 ? reason_name(saying->reason) : "");
}

/* ---- For which desks */

/* Whether a person at the desk has said just that, and it holds. */
static bool has_said(const struct desk *desk, const struct desk_notice *notice, const struct receipts_saying *saying)
{
	const struct desk_party *party = desk_party(notice, desk->id.place, desk->id.kind);

	if (step_is_private(saying->step) || party == NULL || party->times[saying->step] == 0 ||
	    (party->automatic >> saying->step & 1) != 0)
		return false;
	if (step_is_stand(saying->step) && (party->stand != saying->step || party->reason != saying->reason))
		return false;
	return saying->answer_by == 0 || saying->answer_by == party->answer_by;
}

static int find_desks(struct duty *duty, Poc__PocKind kind, struct act acts[DUTY_DESKS], size_t *n)
{
	struct duty_at at[DUTY_DESKS] = {0};
	int status = duty_desks(duty, duty->cli->argv[0], kind, at, n);

	for (size_t i = 0; i < DUTY_DESKS; i++)
		acts[i] = (struct act){.desk = at[i].desk, .notice = at[i].notice};
	return status;
}

/* What is said of a reminder is meant for what it reminds of; only what is done with it at the desk, to close or take
 * it, is done with itself, which is said where that could be mistaken. */
static void turn_to_reminded(struct duty *duty, struct act *act, Poc__Step step)
{
	struct desk_notice *of = step_is_private(step) ? NULL : reminder_of(duty, act->desk, act->notice);
	char id[NOTICE_ID_TEXT];

	if (of == NULL || desk_own_party(act->desk, act->notice) == NULL)
		return;
	duty_id(&of->notice->id, id);
	if (step == POC__STEP__STEP_CLOSED) {
		cli_note(duty->cli, tr("it is a reminder of %s: of that notice nothing is said by this"), id);
		return;
	}
	act->reminder = act->notice;
	act->notice = of;
}

/* Of several desks those that have not said so yet; if all have, all: the directory then says that it is known. */
static size_t drop_said(struct act *acts, size_t n, const struct receipts_saying *saying)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (!has_said(acts[i].desk, acts[i].notice, saying))
			acts[kept++] = acts[i];
	}
	return kept > 0 ? kept : n;
}

/* ---- What waits to be said */

/* Of those that take each other's place the last one counts, as it will when they are sent: what is said after one that
 * says otherwise is a statement of its own, whatever the desk has said before. */
static void seek_queued(void *ctx, const struct outbox_result *result)
{
	struct act *act = ctx;
	struct receipts_saying *saying = &act->saying;
	struct receipt *receipt;

	if (result->step == 0 || memcmp(result->id.bytes, act->notice->notice->id.bytes, NOTICE_ID_SIZE) != 0 ||
	    receipt_parse(result->envelope.data, result->envelope.len, &receipt, NULL) != 0)
		return;
	const Poc__Receipt *r = receipt->receipt;
	const bool ours = r->kind == act->desk->id.kind && strcmp(r->place, act->desk->id.place) == 0;
	if (ours && r->step == saying->step)
		act->queued =
		    r->reason == saying->reason && (saying->answer_by == 0 || saying->answer_by == r->answer_by);
	else if (ours && is_same_kind(r->step, saying->step))
		act->queued = false;
	if (ours && is_same_kind(r->step, saying->step)) {
		saying->anew = act->desk;
		saying->waits = "what was said before it waits too";
	}
	if (ours && step_is_private(r->step) && step_is_private(saying->step) && r->time > saying->not_before)
		saying->not_before = r->time;
	receipt_destroy(receipt);
}

/* ---- Saying it */

static int prepare(struct duty *duty, struct act *act, const struct receipts_saying *saying)
{
	int status = check_side(duty, act->desk, act->notice, saying->step);

	act->saying = *saying;
	if (status == 0)
		status = find_holder(duty, act->desk, act->notice, &act->saying, act->was);
	if (status == 0 && is_other_stand(act->desk, act->notice, saying))
		act->saying.anew = act->desk;
	/* the directory knows a statement again, but takes each one with a time for a new one; a dry run does not ask
	 * it */
	act->before = (duty->cli->dry_run || saying->answer_by != 0) && has_said(act->desk, act->notice, saying);
	return status;
}

/* Whose word of a notice came by its reminder has seen that too. */
static int acknowledge_reminder(struct duty *duty, const struct act *act, int so_far)
{
	char id[NOTICE_ID_TEXT];

	if (act->reminder == NULL)
		return so_far;
	duty_id(&act->notice->notice->id, id);
	cli_note(duty->cli, tr("a reminder of %s: said of that notice"), id);
	return sending_worst(so_far, receipts_reminder(duty, act->desk, act->reminder));
}

static int act_one(struct duty *duty, struct act *act, json_t *list)
{
	struct client_posted posted = {0};
	int status = 0;

	if (duty->cli->dry_run) {
		if (duty->cli->json)
			json_array_append_new(list, would_json(act));
		else
			would_tell(act);
		return acknowledge_reminder(duty, act, 0);
	}
	outbox_list(duty->poc, seek_queued, act);
	if (duty->offline) /* which says more of why it waits */
		act->saying.waits = NULL;
	if (act->queued && !act->before)
		status = STATUS_QUEUED;
	else if (!act->before)
		status = receipts_post(duty, act->notice->notice, &act->desk->id, &act->saying, &posted);
	if (status != 0 && status != STATUS_QUEUED)
		return duty_fail(duty, status);
	if (status == STATUS_QUEUED && !act->queued) {
		snprintf(act->waits, sizeof act->waits, "%s", client_why(duty->poc)->message);
		act->retry_ms = client_why(duty->poc)->retry_ms;
	}
	duty->offline = duty->offline || status == STATUS_QUEUED;
	act->before = act->before || posted.repeated;
	if (duty->cli->json)
		json_array_append_new(list, told_json(duty, act, posted.stored_ms, status == STATUS_QUEUED));
	else
		tell(act, posted.stored_ms);
	duty->cli->collecting = duty->cli->json; /* there is a document, which holds what fails from now on */
	return acknowledge_reminder(duty, act, status);
}

static const char *why_waiting(const struct act *acts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (acts[i].waits[0] != '\0')
			return acts[i].waits;
	}
	return tr("kept in the outbox, sent by the next command or poc notice flush");
}

/* One document: of the first desk; of further ones in "also". */
static void end_acts(struct duty *duty, const struct act *acts, size_t n, json_t *list, int status)
{
	struct cli *cli = duty->cli;
	const Poc__Step step = n > 0 ? acts[0].saying.step : POC__STEP__STEP_UNSPECIFIED;

	if (json_array_size(list) > 0) {
		json_t *document = json_incref(json_array_get(list, 0));
		json_array_remove(list, 0);
		if (json_array_size(list) > 0)
			json_object_set(document, "also", list);
		if (status != 0 && status != STATUS_QUEUED)
			json_object_set_new(document, "error", cli_error_json(cli));
		cli_document(cli, cli->schema, document);
	} else if (!cli->json && !cli->dry_run && (status == 0 || status == STATUS_QUEUED) && !step_is_private(step)) {
		cli_line("%s", duty_disclaimer());
	}
	if (status == 0 && cli->dry_run)
		cli_note(cli, tr("dry run: nothing was sent"));
	if (status == STATUS_QUEUED) {
		cli_note(cli, "%s", why_waiting(acts, n));
		cli->failed = true;
	}
}

static int act(struct cli *cli, const struct receipts_saying *given, const char *answer_by)
{
	struct receipts_saying saying = *given;
	struct act acts[DUTY_DESKS];
	struct duty duty;
	Poc__PocKind kind;
	size_t n = 0;
	int status = duty_kind(cli, &kind);

	if (status == 0)
		status = duty_open(cli, &duty);
	if (status != 0)
		return status;
	json_t *list = json_array();
	if (answer_by != NULL)
		status = duty_deadline(&duty, "answer-by", answer_by, &saying.answer_by);
	if (status == 0)
		status = find_desks(&duty, kind, acts, &n);
	for (size_t i = 0; i < n && status == 0; i++)
		turn_to_reminded(&duty, &acts[i], saying.step);
	if (status == 0)
		n = drop_said(acts, n, &saying);
	for (size_t i = 0; i < n && status == 0; i++)
		status = prepare(&duty, &acts[i], &saying);
	for (size_t i = 0; i < n && (status == 0 || status == STATUS_QUEUED); i++)
		status = act_one(&duty, &acts[i], list);
	end_acts(&duty, acts, n, list, status);
	json_decref(list);
	duty_close(&duty);
	return status;
}

int poc_cmd_notice_ack(struct cli *cli)
{
	struct receipts_saying saying = {.step = POC__STEP__STEP_ACKNOWLEDGED};

	return act(cli, &saying, cli_value(cli, "answer-by"));
}

int poc_cmd_notice_accept(struct cli *cli)
{
	struct receipts_saying saying = {.step = POC__STEP__STEP_ACCEPTED};

	return act(cli, &saying, cli_value(cli, "answer-by"));
}

int poc_cmd_notice_decline(struct cli *cli)
{
	struct receipts_saying saying = {.step = POC__STEP__STEP_DECLINED};
	const char *reason = cli_value(cli, "reason");

	if (reason == NULL || !reason_parse(reason, &saying.reason))
		return cli_fail(
		    cli, STATUS_USAGE,
		    tr("--reason is not-competent, wrong-recipient, cannot-read, no-capacity, duplicate or other"));
	return act(cli, &saying, NULL);
}

int poc_cmd_notice_close(struct cli *cli)
{
	struct receipts_saying saying = {.step = POC__STEP__STEP_CLOSED};

	return act(cli, &saying, NULL);
}

int poc_cmd_notice_take(struct cli *cli)
{
	struct receipts_saying saying = {.step = POC__STEP__STEP_TAKEN};

	return act(cli, &saying, NULL);
}

int poc_cmd_notice_release(struct cli *cli)
{
	struct receipts_saying saying = {.step = POC__STEP__STEP_RELEASED};

	return act(cli, &saying, NULL);
}
