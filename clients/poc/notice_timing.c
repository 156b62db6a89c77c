/* How long what took in an exercise, for the debrief: of each notice and each of its recipients the times of the steps
 * that are proven, all by the directory's log, so that no two clocks are compared. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/csv.h"
#include "clients/cli/strings.h"
#include "clients/poc/duty.h"
#include "clients/poc/notice.h"

/* What a recipient does, in the order of the columns; from RECEIPTS on a person or a program says it, before that the
 * directory. */
static const Poc__Step steps[] = {POC__STEP__STEP_ESCALATED, POC__STEP__STEP_DELIVERED, POC__STEP__STEP_ACKNOWLEDGED,
				  POC__STEP__STEP_ACCEPTED,  POC__STEP__STEP_DECLINED,  POC__STEP__STEP_ANSWERED,
				  POC__STEP__STEP_CLOSED};
enum { STEPS = sizeof steps / sizeof *steps, RECEIPTS = 2 };

struct timing {
	struct duty *duty;
	const char *exercise;
	json_t *list; /* in JSON */
	FILE *csv;    /* in CSV; else NULL */
	size_t n;
};

/* ---- What is proven */

/* When a desk's step first stood in the log, or 0: as said by a person (or the directory), or by a program.  kind 0:
 * stored, which is nobody's. */
static int64_t first_time(const struct story *story, Poc__Step step, const char *place, Poc__PocKind kind,
			  bool automatic)
{
	for (size_t i = 1; i < story->n; i++) {
		const struct story_step *each = &story->steps[i];
		if (each->proven && each->step == step && each->kind == kind && each->automatic == automatic &&
		    strcmp(each->place, place) == 0)
			return each->anchored;
	}
	return 0;
}

static int64_t stored_time(const struct story *story)
{
	return first_time(story, POC__STEP__STEP_STORED, "", POC__POC_KIND__POC_KIND_UNSPECIFIED, false);
}

/* When its sender closed it: a person, or if none did a program. */
static int64_t closed_time(const struct story *story)
{
	const Poc__Desk *from = story->notice->core->from;
	int64_t at = first_time(story, POC__STEP__STEP_CLOSED, from->place, from->kind, false);

	return at != 0 ? at : first_time(story, POC__STEP__STEP_CLOSED, from->place, from->kind, true);
}

static bool counts_not(const struct story_step *step)
{
	return !step->proven && !step_is_private(step->step);
}

/* "acknowledged XB technical, ..." of the steps that are not proven (yet), which no time is given of. */
static char *unproven_text(const struct story *story)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < story->n; i++) {
		const struct story_step *step = &story->steps[i];
		if (!counts_not(step))
			continue;
		fprintf(out, "%s%s", ftell(out) > 0 ? ", " : "", step->is_notice ? tr("sent") : step_name(step->step));
		if (step->place[0] != '\0')
			fprintf(out, " %s %s", step->place, poc_kind_name(step->kind));
	}
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

/* ---- JSON */

static json_t *time_or_null(int64_t seconds)
{
	return seconds != 0 ? json_string(time_text(seconds)) : json_null();
}

/* Times of steps, and seconds since the notice was stored, by name. */
static void add_times(const struct story *story, const Poc__Desk *desk, bool automatic, json_t *out)
{
	json_t *seconds = json_object();
	const int64_t stored = stored_time(story);

	for (size_t i = automatic ? RECEIPTS : 0; i < STEPS; i++) {
		int64_t at = first_time(story, steps[i], desk->place, desk->kind, automatic);
		json_object_set_new(out, step_name(steps[i]), time_or_null(at));
		json_object_set_new(seconds, step_name(steps[i]),
				    at != 0 && stored != 0 ? json_integer(at - stored) : json_null());
	}
	json_object_set_new(out, "seconds", seconds);
}

static json_t *place_json(const struct story *story, const Poc__Desk *desk, bool escalation)
{
	json_t *out = json_pack("{s:s,s:s,s:b}", "place", desk->place, "kind", poc_kind_name(desk->kind), "escalation",
				(int)escalation);
	json_t *automatic = json_object();

	add_times(story, desk, false, out);
	add_times(story, desk, true, automatic);
	json_object_set_new(out, "automatic", automatic);
	return out;
}

static json_t *unproven_json(const struct story *story)
{
	json_t *out = json_array();

	for (size_t i = 0; i < story->n; i++) {
		const struct story_step *step = &story->steps[i];
		if (counts_not(step))
			json_array_append_new(out, json_pack("{s:s,s:s,s:s}", "step",
							     step->is_notice ? "sent" : step_name(step->step), "place",
							     step->place, "kind",
							     step->place[0] != '\0' ? poc_kind_name(step->kind) : ""));
	}
	return out;
}

static void add_json(struct timing *t, const struct story *story)
{
	const Poc__Core *core = story->notice->core;
	char id[NOTICE_ID_TEXT], thread[NOTICE_ID_TEXT];
	json_t *places = json_array();

	duty_id(&story->notice->id, id);
	duty_id(&story->notice->thread, thread);
	for (size_t i = 0; i < core->n_to; i++)
		json_array_append_new(places, place_json(story, core->to[i], false));
	for (size_t i = 0; i < core->n_escalations; i++)
		json_array_append_new(places, place_json(story, core->escalations[i]->to, true));
	json_array_append_new(
	    t->list,
	    json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o}", "id", id, "thread", thread, "exercise",
		      core->exercise, "from", core->from->place, "from_kind", poc_kind_name(core->from->kind),
		      "category", category_name(core->category), "urgency", urgency_name(core->urgency), "created",
		      time_or_null(core->created), "stored", time_or_null(stored_time(story)), "closed",
		      time_or_null(closed_time(story)), "places", places, "unproven", unproven_json(story)));
}

/* ---- CSV: a line for each notice and recipient */

static void csv_head(FILE *out)
{
	static const char *const first[] = {"exercise", "notice",  "thread", "from",          "from_kind", "category",
					    "urgency",  "created", "stored", "sender_closed", "place",     "kind"};

	for (size_t i = 0; i < sizeof first / sizeof *first; i++)
		csv_field(out, first[i], false);
	for (size_t i = 0; i < STEPS; i++)
		csv_field(out, step_name(steps[i]), false);
	for (size_t i = 0; i < STEPS; i++) {
		char name[40];
		snprintf(name, sizeof name, "%s_seconds", step_name(steps[i]));
		csv_field(out, name, false);
	}
	csv_field(out, "unproven", false);
	for (size_t i = RECEIPTS; i < STEPS; i++) {
		char name[40];
		snprintf(name, sizeof name, "automatic_%s", step_name(steps[i]));
		csv_field(out, name, false);
	}
	for (size_t i = RECEIPTS; i < STEPS; i++) {
		char name[60];
		snprintf(name, sizeof name, "automatic_%s_seconds", step_name(steps[i]));
		csv_field(out, name, i + 1 == STEPS);
	}
}

static void csv_time(FILE *out, int64_t seconds)
{
	csv_field(out, seconds != 0 ? time_text(seconds) : "", false);
}

static void csv_seconds(FILE *out, int64_t at, int64_t stored, bool last)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", (long long)(at - stored));
	csv_field(out, at != 0 && stored != 0 ? text : "", last);
}

static void csv_line(FILE *out, const struct story *story, const Poc__Desk *desk, const char *unproven)
{
	const Poc__Core *core = story->notice->core;
	char id[NOTICE_ID_TEXT], thread[NOTICE_ID_TEXT];
	int64_t stored = stored_time(story);

	duty_id(&story->notice->id, id);
	duty_id(&story->notice->thread, thread);
	csv_field(out, core->exercise, false);
	csv_field(out, id, false);
	csv_field(out, thread, false);
	csv_field(out, core->from->place, false);
	csv_field(out, poc_kind_name(core->from->kind), false);
	csv_field(out, category_name(core->category), false);
	csv_field(out, urgency_name(core->urgency), false);
	csv_time(out, core->created);
	csv_time(out, stored);
	csv_time(out, closed_time(story));
	csv_field(out, desk->place, false);
	csv_field(out, poc_kind_name(desk->kind), false);
	for (size_t i = 0; i < STEPS; i++)
		csv_time(out, first_time(story, steps[i], desk->place, desk->kind, false));
	for (size_t i = 0; i < STEPS; i++)
		csv_seconds(out, first_time(story, steps[i], desk->place, desk->kind, false), stored, false);
	csv_field(out, unproven, false);
	for (size_t i = RECEIPTS; i < STEPS; i++)
		csv_time(out, first_time(story, steps[i], desk->place, desk->kind, true));
	for (size_t i = RECEIPTS; i < STEPS; i++)
		csv_seconds(out, first_time(story, steps[i], desk->place, desk->kind, true), stored, i + 1 == STEPS);
}

static void add_csv(struct timing *t, const struct story *story, const char *unproven)
{
	const Poc__Core *core = story->notice->core;

	for (size_t i = 0; i < core->n_to; i++)
		csv_line(t->csv, story, core->to[i], unproven);
	for (size_t i = 0; i < core->n_escalations; i++)
		csv_line(t->csv, story, core->escalations[i]->to, unproven);
}

/* ---- Text */

static void print_place(const struct story *story, const Poc__Desk *desk)
{
	int64_t stored = stored_time(story);
	char line[1200] = "";
	size_t used = 0;

	for (size_t i = 0; i < 2 * STEPS && used < sizeof line - 80; i++) {
		const bool automatic = i % 2 == 0; /* which mostly comes first */
		int64_t at = first_time(story, steps[i / 2], desk->place, desk->kind, automatic);
		if (at != 0)
			used += (size_t)snprintf(line + used, sizeof line - used, tr("%s%s%s after %s"),
						 used > 0 ? ", " : "", step_name(steps[i / 2]),
						 automatic ? tr(" by a program") : "", span_text(at - stored));
	}
	cli_line("    %s %s: %s", desk->place, poc_kind_name(desk->kind), used > 0 ? line : tr("nothing proven"));
}

static void print_timing(const struct story *story, const char *unproven)
{
	const Poc__Core *core = story->notice->core;
	char id[NOTICE_ID_TEXT];

	duty_id(&story->notice->id, id);
	duty_exercise_line(story->notice);
	cli_line(tr("%s  %s %s, %s, stored %s"), id, core->from->place, poc_kind_name(core->from->kind),
		 category_name(core->category), time_text(stored_time(story)));
	for (size_t i = 0; i < core->n_to; i++)
		print_place(story, core->to[i]);
	for (size_t i = 0; i < core->n_escalations; i++)
		print_place(story, core->escalations[i]->to);
	if (unproven[0] != '\0')
		cli_line(tr("    not proven, and not counted: %s"), unproven);
}

/* ---- The command */

static int add_notice(struct timing *t, const struct desk *desk, const struct desk_notice *notice)
{
	struct story *story;
	int status = client_story(t->duty->poc, &desk->id, &notice->notice->id, &story);

	if (status != 0)
		return duty_fail(t->duty, status);
	char *unproven = unproven_text(story);
	if (unproven == NULL)
		status = cli_fail(t->duty->cli, STATUS_NO_MEMORY, tr("out of memory"));
	else if (t->csv != NULL)
		add_csv(t, story, unproven);
	else if (t->duty->cli->json)
		add_json(t, story);
	else
		print_timing(story, unproven);
	t->n++;
	free(unproven);
	story_destroy(story);
	return status;
}

/* Of several desks of ours that have a notice the sender's tells: it sees every step. */
static bool tells(const struct duty *duty, size_t i, const struct desk_notice *notice)
{
	for (size_t j = 0; j < duty->n_desks; j++) {
		const struct desk_notice *other = j != i ? desk_find(duty->desks[j], &notice->notice->id) : NULL;
		if (other != NULL && notice->side != SIDE_FROM && (other->side == SIDE_FROM || j < i))
			return false;
	}
	return true;
}

static int add_all(struct timing *t)
{
	int status = 0;

	for (size_t i = 0; i < t->duty->n_desks; i++) {
		const struct desk *desk = t->duty->desks[i];
		for (size_t j = 0; j < desk->n && status == 0; j++) {
			const struct desk_notice *n = desk->notices[j];
			const Poc__Core *core = n->notice->core;
			if (n->good && strcmp(core->exercise, t->exercise) == 0 &&
			    core->category != POC__CATEGORY__CATEGORY_NOTE && tells(t->duty, i, n))
				status = add_notice(t, desk, n);
		}
	}
	return status;
}

int poc_cmd_notice_timing(struct cli *cli)
{
	const char *format = cli_has(cli, "format") ? cli_value(cli, "format") : "text";
	struct timing t = {.exercise = cli_value(cli, "exercise")};
	struct duty duty;

	if (t.exercise == NULL || !id_valid(t.exercise))
		return cli_fail(cli, STATUS_USAGE, tr("of which exercise? --exercise NAME"));
	if (strcmp(format, "text") != 0 && strcmp(format, "csv") != 0)
		return cli_fail(cli, STATUS_USAGE, tr("--format is text or csv"));
	int status = duty_open(cli, &duty);
	if (status != 0)
		return status;
	t.duty = &duty;
	t.list = json_array();
	if (duty.offline)
		status = cli_fail(cli, STATUS_UNREACHABLE, tr("proofs need a server"));
	else if (strcmp(format, "csv") == 0 && !cli->json)
		csv_head(t.csv = stdout);
	if (status == 0)
		status = add_all(&t);
	if (status == 0 && cli->json)
		cli_document(cli, cli->schema, json_pack("{s:s,s:O}", "exercise", t.exercise, "notices", t.list));
	else if (status == 0 && t.n == 0)
		cli_note(cli, tr("no notices of that exercise"));
	json_decref(t.list);
	duty_close(&duty);
	return status;
}
