/* Receipts: what a desk's user says of a notice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/strings.h"
#include "clients/poc/duty.h"
#include "clients/poc/notice.h"
#include "clients/poc/receipts.h"

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
	if (receipt.time <= saying->after)
		receipt.time = saying->after + 1;
	receipt.reason = saying->reason;
	receipt.answer_by = saying->answer_by;
	if (saying->answer != NULL)
		receipt.answer = (ProtobufCBinaryData){NOTICE_ID_SIZE, (uint8_t *)saying->answer->bytes};
	status = receipt_make(&receipt, client_key(duty->poc), &bytes, &size, &why);
	if (status != 0)
		return cli_refused(duty->cli, &why);
	status = outbox_put(duty->poc, bytes, size, NULL, 0, name);
	if (status == 0 && duty->offline)
		status = STATUS_QUEUED;
	else if (status == 0)
		status = outbox_post(duty->poc, name, bytes, size, NULL, 0, posted);
	free(bytes);
	return status;
}

/* ---- Commands */

static int tell(struct duty *duty, const struct desk *desk, const struct desk_notice *notice,
		const struct receipts_saying *saying, int64_t stored_ms, bool before, const char *was)
{
	char id[NOTICE_ID_TEXT], whose[UNIT_MAX_LENGTH + 40] = "";

	duty_id(&notice->notice->id, id);
	if (duty->cli->json) {
		json_t *document = json_pack("{s:s,s:s,s:s,s:s,s:o,s:b}", "id", id, "step", step_name(saying->step),
					     "place", desk->id.place, "kind", poc_kind_name(desk->id.kind), "stored",
					     stored_ms != 0 ? json_string(time_text(stored_ms / 1000)) : json_null(),
					     "repeated", (int)before);
		if (!step_is_private(saying->step))
			json_object_set_new(document, "implies", json_string(duty_disclaimer()));
		else
			json_object_set_new(document, "was", was[0] != '\0' ? json_string(was) : json_null());
		if (notice->notice->core->exercise[0] != '\0')
			json_object_set_new(document, "exercise", json_string(notice->notice->core->exercise));
		cli_document(duty->cli, duty->cli->schema, document);
		return 0;
	}
	if (was[0] != '\0')
		snprintf(whose, sizeof whose, tr(", was %s's"), was);
	duty_exercise_line(notice->notice);
	if (stored_ms == 0 && !before)
		cli_line(tr("%s: %s%s, for %s %s, waits in the outbox"), id, step_name(saying->step), whose,
			 desk->id.place, poc_kind_name(desk->id.kind));
	else if (before)
		cli_line(tr("%s: %s %s has said \"%s\" before"), id, desk->id.place, poc_kind_name(desk->id.kind),
			 step_name(saying->step));
	else
		cli_line(tr("%s: %s%s, for %s %s, stored %s"), id, step_name(saying->step), whose, desk->id.place,
			 poc_kind_name(desk->id.kind), time_text(stored_ms / 1000));
	if (!step_is_private(saying->step))
		cli_line("%s", duty_disclaimer());
	return 0;
}

/* Who may say it: recipients and escalations; closed and the private steps also the sender. */
static int check_side(struct duty *duty, const struct desk *desk, const struct desk_notice *notice, Poc__Step step)
{
	if (!notice->good)
		return cli_fail(duty->cli, STATUS_UNVERIFIED, tr("the notice's signature does not verify"));
	if (desk_own_party(desk, notice) != NULL || step == POC__STEP__STEP_CLOSED || step_is_private(step))
		return 0;
	return cli_fail(duty->cli, STATUS_DENIED, tr("only who received a notice can say \"%s\" of it; we sent it"),
			step_name(step));
}

/* The directory knows a statement again, but takes each one with a time for a new one: the same time is not said twice.
 */
static bool said_before(const struct desk *desk, const struct desk_notice *notice, const struct receipts_saying *saying)
{
	const struct desk_party *party = desk_party(notice, desk->id.place, desk->id.kind);

	return saying->answer_by != 0 && party != NULL && party->times[saying->step] != 0 &&
	       (party->automatic >> saying->step & 1) == 0 && saying->answer_by == party->answer_by;
}

/* Another operator who holds what is taken or released now; "": none.  What changes who holds it is dated after what
 * the desk said last: within a second, or by a clock that is behind a colleague's, it would be the same statement
 * again, or an older one. */
static int find_holder(struct duty *duty, const struct desk_notice *notice, struct receipts_saying *saying,
		       char out[UNIT_MAX_LENGTH + 1])
{
	const bool takes = saying->step == POC__STEP__STEP_TAKEN, held = notice->taken_by[0] != '\0';
	char own[UNIT_MAX_LENGTH + 1];

	if (!step_is_private(saying->step))
		return 0;
	if (!held && !takes && notice->taken_at == 0 && !duty->offline) /* what waits here may have taken it */
		return cli_fail(duty->cli, STATUS_INVALID, tr("nobody at this desk has taken it: nothing to release"));
	if (!held) {
		saying->after = takes ? notice->taken_at : 0;
		return 0;
	}
	int status = client_own_handle(duty->poc, duty->offline ? CLIENT_OFFLINE : CLIENT_ONLINE, own);
	const bool others = status == 0 && strcmp(own, notice->taken_by) != 0;
	if (others)
		snprintf(out, UNIT_MAX_LENGTH + 1, "%s", notice->taken_by);
	saying->after = others || !takes ? notice->taken_at : 0;
	return status;
}

static void would_say(struct duty *duty, const struct desk *desk, const struct desk_notice *notice,
		      const struct receipts_saying *saying, bool before)
{
	char id[NOTICE_ID_TEXT];
	const char *exercise = notice->notice->core->exercise;

	duty_id(&notice->notice->id, id);
	if (duty->cli->json) {
		cli_document(
		    duty->cli, duty->cli->schema,
		    json_pack("{s:b,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:b}", "dry_run", 1, "id", id, "step",
			      step_name(saying->step), "place", desk->id.place, "kind", poc_kind_name(desk->id.kind),
			      "answer_by", cli_time_json(saying->answer_by), "reason",
			      saying->reason != 0 ? json_string(reason_name(saying->reason)) : json_null(), "exercise",
			      exercise[0] != '\0' ? json_string(exercise) : json_null(), "repeated", (int)before));
	} else {
		duty_exercise_line(notice->notice);
		cli_line(tr("would be said: %s, of %s, for %s %s%s%s%s%s"), step_name(saying->step), id, desk->id.place,
			 poc_kind_name(desk->id.kind), saying->answer_by != 0 ? tr(", answer by ") : "",
			 saying->answer_by != 0 ? time_text(saying->answer_by) : "",
			 saying->reason != 0 ? tr(", reason ") : "",
			 saying->reason != 0 ? reason_name(saying->reason) : "");
	}
	cli_note(duty->cli, tr("dry run: nothing was sent"));
}

static int act(struct cli *cli, const struct receipts_saying *given, const char *answer_by)
{
	struct receipts_saying saying = *given;
	struct client_posted posted = {0};
	struct desk_notice *notice;
	struct desk *desk;
	struct duty duty;
	char was[UNIT_MAX_LENGTH + 1] = "";
	int status = duty_open(cli, &duty);

	if (status != 0)
		return status;
	if (answer_by != NULL)
		status = duty_deadline(&duty, "answer-by", answer_by, &saying.answer_by);
	if (status == 0)
		status = duty_find(&duty, cli->argv[0], &desk, &notice);
	if (status == 0)
		status = check_side(&duty, desk, notice, saying.step);
	if (status == 0)
		status = find_holder(&duty, notice, &saying, was);
	bool before = status == 0 && said_before(desk, notice, &saying);
	if (status == 0 && cli->dry_run)
		would_say(&duty, desk, notice, &saying, before);
	else if (status == 0 && !before)
		status = receipts_post(&duty, notice->notice, &desk->id, &saying, &posted);
	if ((status == 0 || status == STATUS_QUEUED) && !cli->dry_run)
		tell(&duty, desk, notice, &saying, posted.stored_ms, before || posted.repeated, was);
	if (status == STATUS_QUEUED) {
		cli_note(
		    cli,
		    tr("no server can be reached: kept in the outbox, sent by the next command or poc notice flush"));
		cli->failed = true;
	} else if (status != 0) {
		duty_fail(&duty, status);
	}
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
