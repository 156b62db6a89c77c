#include "clients/poc/story_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/show.h"
#include "clients/cli/strings.h"
#include "clients/libpoc/verdict.h"

/* Who proves a step, in words: the signer and the U that listed it, or the directory's log. */
static void proof_text(const struct story_step *step, char out[200])
{
	if (step_is_private(step->step))
		snprintf(out, 200, tr("private to the desk, by %s"), step->handle);
	else if (!step->proven)
		snprintf(out, 200, "%s", tr("not yet anchored: not proven"));
	else if (step->fact != NULL)
		snprintf(out, 200, tr("the directory, in its log at %s"), time_text(step->anchored));
	else
		snprintf(out, 200, tr("signed by %s of %s%s, listed at %s"), step->handle, step->place,
			 step->automatic ? tr(" (a program)") : "", time_text(step->published));
}

static void print_step(const struct story *story, size_t i)
{
	const struct story_step *step = &story->steps[i];
	char proof[200], what[120], more[200] = "";
	const Poc__Receipt *r = step->receipt != NULL ? step->receipt->receipt : NULL;

	proof_text(step, proof);
	snprintf(what, sizeof what, "%.64s%s%s", step->place, step->place[0] != '\0' ? " " : "",
		 step->place[0] != '\0' ? poc_kind_name(step->kind) : "");
	if (step->is_notice)
		snprintf(what, sizeof what, "%.64s %s", step->place, poc_kind_name(step->kind));
	if (r != NULL && r->reason != 0)
		snprintf(more, sizeof more, tr(", reason %s"), reason_name(r->reason));
	if (r != NULL && r->answer_by != 0)
		snprintf(more, sizeof more, tr(", answer expected by %s%s"), time_text(r->answer_by),
			 story_replaced(story, i) ? tr(" (replaced later)") : "");
	cli_line("  %-13s %-22s %-20s  %s%s", step->is_notice ? tr("sent") : step_name(step->step), what,
		 time_text(step->time), proof, more);
}

static bool has_step(const struct story *story, const Poc__Desk *desk, Poc__Step step)
{
	for (size_t i = 1; i < story->n; i++) {
		if (story->steps[i].step == step && story->steps[i].kind == desk->kind &&
		    strcmp(story->steps[i].place, desk->place) == 0)
			return true;
	}
	return false;
}

static void print_silence_of(const struct story *story, const Poc__Desk *desk)
{
	static const Poc__Step asked[] = {POC__STEP__STEP_DELIVERED, POC__STEP__STEP_ACKNOWLEDGED};

	for (size_t i = 0; i < 2; i++) {
		if (!has_step(story, desk, asked[i]))
			cli_line(tr("  not in this story: %s by %s %s"), step_name(asked[i]), desk->place,
				 poc_kind_name(desk->kind));
	}
}

/* What who received it has not said, neutrally: nobody is obliged to.  An escalation's desk did once it was released
 * to. */
static void print_silence(const struct story *story)
{
	const Poc__Core *core = story->notice->core;

	for (size_t i = 0; i < core->n_to; i++)
		print_silence_of(story, core->to[i]);
	for (size_t i = 0; i < core->n_escalations; i++) {
		const Poc__Desk *desk = core->escalations[i]->to;
		bool before = false; /* two escalations may name one desk */
		for (size_t j = 0; j < i && !before; j++)
			before = core->escalations[j]->to->kind == desk->kind &&
				 strcmp(core->escalations[j]->to->place, desk->place) == 0;
		if (!before && has_step(story, desk, POC__STEP__STEP_ESCALATED))
			print_silence_of(story, desk);
	}
}

void story_view_print(const struct story *story, const struct verified_head *head)
{
	const Poc__Core *core = story->notice->core;
	char id[NOTICE_ID_TEXT], *to = duty_recipients(story->notice);

	duty_id(&story->notice->id, id);
	duty_exercise_line(story->notice);
	cli_line(tr("notice %s"), id);
	cli_line(tr("  from %s %s (%s) to %s"), core->from->place, poc_kind_name(core->from->kind), core->handle,
		 to != NULL ? to : "");
	cli_line("  %s, %s, %s", category_name(core->category), urgency_name(core->urgency),
		 notice_tlp_name(core->tlp));
	free(to);
	for (size_t i = 0; i < story->n; i++)
		print_step(story, i);
	print_silence(story);
	cli_line(tr("proven under checkpoint %llu of %s%s"), (unsigned long long)head->checkpoint.size,
		 time_text(head->time_ms / 1000), head->quorum == 0 ? tr("; operator's word only: no auditor") : "");
	cli_line("%s", duty_disclaimer());
	duty_exercise_line(story->notice);
}

static json_t *step_json(const struct story *story, size_t i)
{
	const struct story_step *step = &story->steps[i];
	char proof[200];
	const Poc__Receipt *r = step->receipt != NULL ? step->receipt->receipt : NULL;
	const char *place = step->place;

	/* the whole notice is stored, with its sender as the one who asked for it */
	if (place[0] == '\0')
		place = story->notice->core->from->place;
	proof_text(step, proof);
	json_t *one = json_pack("{s:s,s:o,s:s,s:s,s:o,s:b,s:b}", "place", place, "kind",
				step->kind != 0 ? json_string(poc_kind_name(step->kind)) : json_null(), "step",
				step->is_notice ? "sent" : step_name(step->step), "time", time_text(step->time),
				"proven_by", step->proven ? json_string(proof) : json_null(), "proven",
				(int)step->proven, "automatic", (int)step->automatic);
	if (step->handle[0] != '\0')
		json_object_set_new(one, "handle", json_string(step->handle));
	if (r != NULL && r->reason != 0)
		json_object_set_new(one, "reason", json_string(reason_name(r->reason)));
	if (r != NULL && r->answer_by != 0) {
		json_object_set_new(one, "answer_by", json_string(time_text(r->answer_by)));
		json_object_set_new(one, "replaced", json_boolean(story_replaced(story, i)));
	}
	return one;
}

json_t *story_view_json(const struct story *story, const struct verified_head *head)
{
	const Poc__Core *core = story->notice->core;
	char id[NOTICE_ID_TEXT], thread[NOTICE_ID_TEXT];
	json_t *steps = json_array(), *to = json_array();

	duty_id(&story->notice->id, id);
	duty_id(&story->notice->thread, thread);
	for (size_t i = 1; i < story->n; i++)
		json_array_append_new(steps, step_json(story, i));
	for (size_t i = 0; i < core->n_to; i++)
		json_array_append_new(to, json_string(core->to[i]->place));
	return json_pack("{s:s,s:s,s:s,s:s,s:o,s:s,s:s,s:s,s:o,s:o,s:o,s:s,s:{s:s,s:I,s:s,s:i}}", "id", id, "thread",
			 thread, "from", core->from->place, "handle", core->handle, "to", to, "category",
			 category_name(core->category), "urgency", urgency_name(core->urgency), "tlp",
			 notice_tlp_name(core->tlp), "exercise",
			 core->exercise[0] != '\0' ? json_string(core->exercise) : json_null(), "sent",
			 step_json(story, 0), "steps", steps, "implies", duty_disclaimer(), "checkpoint", "origin",
			 head->checkpoint.origin, "size", (json_int_t)head->checkpoint.size, "time",
			 time_text(head->time_ms / 1000), "cosigners", (int)head->cosigners);
}

int story_view_file(struct cli *cli, struct poc *poc, const uint8_t *bytes, size_t size, int64_t at)
{
	struct poc_verdict verdict;
	struct story *story;
	struct verified_head *head;
	int status = client_verify_story(poc, bytes, size, &story, &head);

	if (status == STATUS_UNVERIFIED)
		return cli_fail(cli, status, tr("%s does not verify: %s"), cli->argv[0], client_why(poc)->message);
	if (status != 0)
		return link_fail(cli, poc, status);
	const struct verdict_by by = verdict_saved(head, at, 0);
	verdict_head(head, &by, &verdict);
	if (cli->json) {
		json_t *document = story_view_json(story, head);
		json_object_set_new(document, "clock_behind", json_integer(verdict.clock_behind));
		cli_document(cli, "poc.verify/1", document);
	} else {
		if (verdict.clock_behind > 0)
			show_too_early(&verdict);
		story_view_print(story, head);
		printf(tr("as of %s, under T %llu; later events unknown\n"), time_text(head->time_ms / 1000),
		       (unsigned long long)verified_head_trust(head)->seq);
	}
	story_destroy(story);
	verified_head_unref(head);
	if (verdict.clock_behind == 0)
		return 0;
	cli_note(cli, tr("%s: the time asked for is before the proof's own"), cli->argv[0]);
	return STATUS_CLOCK;
}
