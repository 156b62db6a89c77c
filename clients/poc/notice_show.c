/* Reading a notice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/cli/strings.h"
#include "clients/poc/carried.h"
#include "clients/poc/content_view.h"
#include "clients/poc/duty.h"
#include "clients/poc/notice.h"
#include "clients/poc/reminder.h"
#include "clients/poc/story_view.h"
#include "clients/poc/waiting.h"
#include "proto/wire/prescan.h"

static void line_if(const char *label, const char *value)
{
	if (value[0] != '\0')
		cli_line("%-14s %s", label, value);
}

/* ---- show */

/* It has come to the desk, and nobody there has said yet what they do about it. */
static bool waits_at(const struct duty_at *at)
{
	return desk_own_party(at->desk, at->notice) != NULL &&
	       desk_step(at->desk, at->notice) < POC__STEP__STEP_ACCEPTED;
}

/* How far each of several desks of ours is with it. */
static void print_own(const struct duty_at *at, size_t n)
{
	for (size_t i = 0; i < n && n > 1; i++) {
		const struct desk_notice *notice = at[i].notice;
		cli_line("%-14s %s %s: %s%s%s%s", i == 0 ? tr("our desks") : "", at[i].desk->id.place,
			 poc_kind_name(at[i].desk->id.kind), step_name(desk_step(at[i].desk, notice)),
			 waits_at(&at[i]) ? tr(", waits") : "", notice->taken_by[0] != '\0' ? tr(", taken by ") : "",
			 notice->taken_by);
	}
}

static json_t *own_json(const struct duty_at *at, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		const char *taken_by = at[i].notice->taken_by;
		json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:b,s:b,s:o}", "place", at[i].desk->id.place,
						      "kind", poc_kind_name(at[i].desk->id.kind), "step",
						      step_name(desk_step(at[i].desk, at[i].notice)), "open",
						      (int)desk_is_open(at[i].desk, at[i].notice), "waits",
						      (int)waits_at(&at[i]), "taken_by",
						      taken_by[0] != '\0' ? json_string(taken_by) : json_null()));
	}
	return list;
}

static void print_reminded(struct duty *duty, const struct desk *desk, const struct desk_notice *n)
{
	const struct desk_notice *of = reminder_of(duty, desk, n);
	char id[NOTICE_ID_TEXT];

	if (of == NULL)
		return;
	duty_id(&of->notice->id, id);
	cli_line(tr("%-14s %s (%s): ack, accept, decline and reply of this one are of that notice"), tr("reminder of"),
		 id, step_name(desk_step(desk, of)));
}

/* at: our desks that have it, the first one that which shows it; readable: it can be opened. */
static void print_header(struct duty *duty, const struct duty_at *at, size_t n_at, bool readable)
{
	const struct desk *desk = at[0].desk;
	const struct desk_notice *n = at[0].notice;
	const struct parties parties = duty_parties(duty, n);
	const Poc__Core *core = n->notice->core;
	char id[NOTICE_ID_TEXT], thread[NOTICE_ID_TEXT];

	duty_id(&n->notice->id, id);
	duty_id(&n->notice->thread, thread);
	cli_line("%-14s %s", tr("notice"), id);
	if (memcmp(n->notice->id.bytes, n->notice->thread.bytes, NOTICE_ID_SIZE) != 0)
		cli_line("%-14s %s", tr("thread"), thread);
	if (readable)
		print_reminded(duty, desk, n);
	cli_line(n->good ? tr("%-14s %s %s, signed by %s")
			 : tr("%-14s %s %s, NOT VERIFIED: the signature is not that of %s"),
		 tr("from"), core->from->place, poc_kind_name(core->from->kind), core->handle);
	parties_print(&parties);
	print_own(at, n_at);
	cli_line("%-14s %s, %s, %s", tr("category"), category_name(core->category), urgency_name(core->urgency),
		 notice_tlp_name(core->tlp));
	cli_line("%-14s %s", tr("created"), time_text(core->created));
	if (core->reply_by != 0)
		cli_line("%-14s %s%s", tr("answer by"), time_text(core->reply_by),
			 desk_overdue(desk, n, client_now(duty->poc)) ? tr("  OVERDUE") : "");
	if (desk_sender_closed(n) != 0)
		cli_line(tr("%-14s by its sender, %s"), tr("closed"), time_text(desk_sender_closed(n)));
	if (n->taken_by[0] != '\0' && n_at == 1)
		cli_line("%-14s %s, %s", tr("taken by"), n->taken_by, time_text(n->taken_at));
}

/* ---- What the outbox holds */

static json_t *queued_receipts(struct duty *duty, const struct notice *notice)
{
	json_t *all = waiting_list(duty->cli, duty->poc, false), *list = waiting_receipts(all, notice, NULL);

	json_decref(all);
	return list;
}

static void print_queued(struct duty *duty, const struct notice *notice)
{
	json_t *list = queued_receipts(duty, notice), *each;
	size_t i;

	json_array_foreach(list, i, each)
	{
		char *since = waiting_since(each);
		line_if(tr("in the outbox"), since != NULL ? since : "");
		free(since);
	}
	json_decref(list);
}

static json_t *waiting_json(const struct waiting_notice *w)
{
	const Poc__Core *core = w->notice->core;
	char id[NOTICE_ID_TEXT], thread[NOTICE_ID_TEXT];
	json_t *to = json_array();

	duty_id(&w->notice->id, id);
	duty_id(&w->notice->thread, thread);
	for (size_t i = 0; i < core->n_to; i++)
		json_array_append_new(to, json_string(core->to[i]->place));
	json_t *json =
	    json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "id", id, "thread", thread,
		      "from", core->from->place, "from_kind", poc_kind_name(core->from->kind), "handle", core->handle,
		      "to", to, "category", category_name(core->category), "urgency", urgency_name(core->urgency),
		      "tlp", notice_tlp_name(core->tlp), "created", cli_time_json(core->created), "reply_by",
		      cli_time_json(core->reply_by), "exercise",
		      core->exercise[0] != '\0' ? json_string(core->exercise) : json_null(), "in_outbox_since",
		      cli_time_json(w->since), "step", json_null(), "subject",
		      w->inner != NULL ? json_string(w->inner->content->subject) : json_null(), "text",
		      w->inner != NULL ? json_string(w->inner->content->text) : json_null());
	json_object_set_new(json, "refused", json_boolean(w->refused));
	json_object_set_new(json, "in_outbox_code", waiting_code(w->status, w->why));
	json_object_set_new(json, "in_outbox_message", w->why[0] != '\0' ? json_string(w->why) : json_null());
	if (json != NULL && w->inner != NULL)
		json_object_set_new(json, "content", content_view_json(w->inner->content, &(size_t){0}));
	return json;
}

/* What it says need not be written again: save has it as a form. */
static void print_again(const struct waiting_notice *w, const char *id)
{
	char command[WAITING_COMMAND], *form = waiting_form(w);

	waiting_command(w, command);
	if (form != NULL)
		cli_line(tr("%-14s poc notice save %s DIR, then %s <DIR/%s.json"), tr("to send anew"), id, command, id);
	else
		cli_line("%-14s %s", tr("to send anew"), command);
	cli_line(tr("%-14s poc notice flush --discard %s"), tr("to forget it"), id);
	free(form);
}

static void print_waiting(const struct waiting_notice *w)
{
	const Poc__Core *core = w->notice->core;
	char id[NOTICE_ID_TEXT], thread[NOTICE_ID_TEXT];

	duty_id(&w->notice->id, id);
	duty_id(&w->notice->thread, thread);
	duty_exercise_line(w->notice);
	cli_line("%-14s %s", tr("notice"), id);
	if (w->refused)
		cli_line(tr("%-14s not sent; in the outbox since %s: %s"), tr("refused"), time_text(w->since), w->why);
	else
		cli_line(tr("%-14s since %s: not stored yet, the next command that reaches a server sends it"),
			 tr("in the outbox"), time_text(w->since));
	if (!w->refused)
		line_if(tr("waits"), w->why);
	if (strcmp(id, thread) != 0)
		cli_line("%-14s %s", tr("thread"), thread);
	cli_line(tr("%-14s %s %s, signed by %s"), tr("from"), core->from->place, poc_kind_name(core->from->kind),
		 core->handle);
	for (size_t i = 0; i < core->n_to; i++)
		cli_line("%-14s %s %s", tr("to"), core->to[i]->place, poc_kind_name(core->to[i]->kind));
	cli_line("%-14s %s, %s, %s", tr("category"), category_name(core->category), urgency_name(core->urgency),
		 notice_tlp_name(core->tlp));
	cli_line("%-14s %s", tr("created"), time_text(core->created));
	if (core->reply_by != 0)
		cli_line("%-14s %s", tr("answer by"), time_text(core->reply_by));
	if (w->inner != NULL)
		content_view_print(w->inner->content, true, &(size_t){0});
	if (w->refused)
		print_again(w, id);
	duty_exercise_line(w->notice);
}

/* Whether it was one that waits or was refused, and none that the desks have. */
static bool show_waiting(struct duty *duty)
{
	struct waiting_notice w;
	bool stored = false;

	if (waiting_find(duty, duty->cli->argv[0], &w) != 0)
		return false;
	for (size_t i = 0; i < duty->n_desks; i++)
		stored = stored || desk_find(duty->desks[i], &w.notice->id) != NULL;
	if (!stored && duty->cli->json)
		cli_document(duty->cli, "poc.notice-show/1", waiting_json(&w));
	else if (!stored)
		print_waiting(&w);
	waiting_finish(&w);
	return !stored;
}

/* What is read is delivered to each of the desks that it is read for. */
static void deliver_further(struct duty *duty, const struct duty_at *at, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		Poc__Inner *inner;
		if (duty_open_notice(duty, at[i].desk, at[i].notice, &inner) == 0)
			message_free(inner);
	}
}

static void set_reminded(struct duty *duty, const struct desk *desk, const struct desk_notice *n, json_t *json)
{
	const struct desk_notice *of = reminder_of(duty, desk, n);
	char id[NOTICE_ID_TEXT];

	if (of == NULL)
		return;
	duty_id(&of->notice->id, id);
	json_object_set_new(json, "reminds_of", json_string(id));
}

static int show_notice(struct duty *duty)
{
	struct duty_at at[DUTY_DESKS];
	Poc__Inner *inner = NULL;
	Poc__PocKind kind;
	size_t n_at;
	int status = duty_kind(duty->cli, &kind);

	if (status == 0 && show_waiting(duty))
		return 0;
	if (status == 0)
		status = duty_desks(duty, duty->cli->argv[0], kind, at, &n_at);
	if (status != 0)
		return status;
	const struct desk *desk = at[0].desk;
	const struct desk_notice *n = at[0].notice;
	deliver_further(duty, at, n_at);
	size_t number = 0;
	int opened = duty_open_notice(duty, desk, n, &inner);
	char reason[400];
	snprintf(reason, sizeof reason, "%s", client_why(duty->poc)->message);
	if (duty->cli->json && opened == 0) {
		json_t *json = duty_notice_json(duty, desk, n, inner);
		json_object_set_new(json, "content", content_view_json(inner->content, &number));
		json_object_set_new(json, "text", json_string(inner->content->text));
		json_object_set_new(json, "desks", own_json(at, n_at));
		json_object_set_new(json, "in_outbox", queued_receipts(duty, n->notice));
		set_reminded(duty, desk, n, json);
		carried_json(duty, inner->content, json, &number);
		cli_document(duty->cli, "poc.notice-show/1", json);
	} else if (!duty->cli->json) {
		duty_exercise_line(n->notice);
		print_header(duty, at, n_at, opened == 0);
		print_queued(duty, n->notice);
		if (inner != NULL) {
			content_view_print(inner->content, n->side == SIDE_FROM, &number);
			carried_print(duty, inner->content, &number);
		}
		duty_exercise_line(n->notice);
	}
	message_free(inner);
	return opened == 0 ? 0 : cli_fail(duty->cli, opened, "%s", reason);
}

static int show_file(struct cli *cli)
{
	struct refusal why = {0};
	struct poc *poc;
	size_t size;
	char *bytes = cli_read_file(cli->argv[0], STORY_MAX, &size, &why);

	if (bytes == NULL)
		return cli_refused(cli, &why);
	int status = link_open(cli, false, &poc);
	if (status == 0)
		status = story_view_file(cli, poc, (const uint8_t *)bytes, size, 0);
	link_close(cli, poc);
	free(bytes);
	return status;
}

int poc_cmd_notice_show(struct cli *cli)
{
	struct duty duty;

	if (access(cli->argv[0], F_OK) == 0)
		return show_file(cli);
	int status = duty_open(cli, &duty);
	if (status != 0)
		return status;
	status = show_notice(&duty);
	duty_close(&duty);
	return status;
}
