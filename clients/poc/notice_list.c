/* Listing notices, and handing a shift over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/strings.h"
#include "clients/poc/duty.h"
#include "clients/poc/notice.h"
#include "pocd/base/ini.h"
#include "proto/wire/prescan.h"

enum { LIMIT = 500, LIMIT_MAX = 1000000 };

struct filter {
	bool sent, mine, overdue, all;
	bool headers;   /* no body is fetched: nothing is delivered by looking */
	uint64_t limit; /* of each desk */
	const char *exercise;
	char handle[UNIT_MAX_LENGTH + 1];
};

static bool is_open(const struct desk *desk, const struct desk_notice *notice)
{
	Poc__Step step = desk_step(desk, notice);

	return step != POC__STEP__STEP_CLOSED && step != POC__STEP__STEP_DECLINED;
}

/* An emergency that is open: nothing hides it. */
static bool is_alarm(const struct desk *desk, const struct desk_notice *n)
{
	return n->notice->core->urgency == POC__URGENCY__URGENCY_EMERGENCY && n->side != SIDE_FROM && is_open(desk, n);
}

static bool wanted(const struct duty *duty, const struct filter *f, const struct desk *desk,
		   const struct desk_notice *n)
{
	const Poc__Core *core = n->notice->core;
	bool received = n->side != SIDE_FROM, note = core->category == POC__CATEGORY__CATEGORY_NOTE;

	if (is_alarm(desk, n))
		return true;
	if (f->exercise != NULL && strcmp(f->exercise, core->exercise) != 0)
		return false;
	if (f->all)
		return true;
	if (note)
		return false;
	if (f->overdue)
		return desk_overdue(desk, n, client_now(duty->poc));
	if (f->mine)
		return n->taken_by[0] != '\0' && strcmp(n->taken_by, f->handle) == 0;
	if (f->sent)
		return !received;
	return received && (is_open(desk, n) || f->exercise != NULL);
}

static void print_head(void)
{
	printf("%-10s %-14s %-14s %-20s %-9s %-13s %-12s %s\n", tr("ID"), tr("FROM"), tr("TO"), tr("CATEGORY"),
	       tr("URGENCY"), tr("STEP"), tr("TAKEN BY"), tr("SUBJECT"));
}

static void print_row(const struct duty *duty, const struct desk *desk, const struct desk_notice *n,
		      const Poc__Inner *inner)
{
	const Poc__Core *core = n->notice->core;
	char id[NOTICE_ID_TEXT], from[80], to[80], mark[100] = "";

	duty_id(&n->notice->id, id);
	snprintf(from, sizeof from, "%.20s %.4s", core->from->place, poc_kind_name(core->from->kind));
	snprintf(to, sizeof to, "%.20s %.4s", core->to[0]->place, poc_kind_name(core->to[0]->kind));
	if (core->n_to > 1)
		snprintf(to + strlen(to), sizeof to - strlen(to), " +%zu", core->n_to - 1);
	if (core->exercise[0] != '\0')
		snprintf(mark, sizeof mark, tr("EXERCISE %s: "), core->exercise);
	const char *subject = inner != NULL ? inner->content->subject : tr("(not opened)"),
		   *quote = inner != NULL ? "\"" : ""; /* whatever a subject says, it is none of the marks before it */
	cli_line("%.9s  %-14s %-14s %-20s %-9s %-13s %-12s %s%s%s%s%s%s", id, from, to, category_name(core->category),
		 urgency_name(core->urgency), step_name(desk_step(desk, n)), n->taken_by, mark,
		 n->good ? "" : tr("NOT VERIFIED "), desk_overdue(desk, n, client_now(duty->poc)) ? tr("OVERDUE ") : "",
		 quote, subject, quote);
}

/* What is shown: each notice once, though several of our desks may have it. */
static bool shown_before(const struct duty *duty, size_t desk, const struct notice_id *id)
{
	for (size_t i = 0; i < desk; i++) {
		if (desk_find(duty->desks[i], id) != NULL)
			return true;
	}
	return false;
}

static bool is_listed(const struct duty *duty, const struct filter *f, size_t desk, const struct desk_notice *n)
{
	return wanted(duty, f, duty->desks[desk], n) && !shown_before(duty, desk, &n->notice->id);
}

/* How many of a desk's are over the limit. */
static size_t count_over(const struct duty *duty, const struct filter *f, size_t desk)
{
	size_t n = 0;

	for (size_t j = 0; j < duty->desks[desk]->n; j++)
		n += is_listed(duty, f, desk, duty->desks[desk]->notices[j]);
	return n > f->limit ? n - (size_t)f->limit : 0;
}

/* The newest of each desk, oldest first; what is over the limit is left out and counted. */
static void list_all(struct duty *duty, const struct filter *f, json_t *list, size_t *n, size_t *left_out)
{
	for (size_t i = 0; i < duty->n_desks; i++) {
		const struct desk *desk = duty->desks[i];
		size_t over = count_over(duty, f, i);
		for (size_t j = 0; j < desk->n; j++) {
			const struct desk_notice *notice = desk->notices[j];
			Poc__Inner *inner = NULL;
			if (!is_listed(duty, f, i, notice))
				continue;
			if (over > 0 && !is_alarm(desk, notice)) {
				over--;
				(*left_out)++;
				continue;
			}
			if (!f->headers)
				duty_open_notice(duty, desk, notice, &inner);
			if ((*n)++ == 0 && !duty->cli->json)
				print_head();
			if (duty->cli->json)
				json_array_append_new(list, duty_notice_json(duty, desk, notice, inner));
			else
				print_row(duty, desk, notice, inner);
			message_free(inner);
		}
	}
}

static int own_handle(struct duty *duty, char out[UNIT_MAX_LENGTH + 1])
{
	int status = client_own_handle(duty->poc, duty->offline ? CLIENT_OFFLINE : CLIENT_ONLINE, out);

	return status == 0 ? 0 : duty_fail(duty, status);
}

int poc_cmd_notice_list(struct cli *cli)
{
	struct filter filter = {.sent = cli_has(cli, "sent"),
				.mine = cli_has(cli, "mine"),
				.overdue = cli_has(cli, "overdue"),
				.all = cli_has(cli, "all"),
				.headers = cli_has(cli, "headers"),
				.limit = LIMIT,
				.exercise = cli_value(cli, "exercise")};
	struct duty duty;
	size_t n = 0, left_out = 0;

	if (cli_has(cli, "limit") &&
	    (!ini_unsigned(cli_value(cli, "limit"), LIMIT_MAX, &filter.limit) || filter.limit == 0))
		return cli_fail(cli, STATUS_USAGE, tr("--limit takes 1 to %d"), LIMIT_MAX);
	int status = duty_open(cli, &duty);
	if (status != 0)
		return status;
	json_t *list = json_array(), *refused = json_array();
	if (filter.mine)
		status = own_handle(&duty, filter.handle);
	if (status == 0)
		list_all(&duty, &filter, list, &n, &left_out);
	if (status == 0)
		duty_refused(cli, duty.poc, refused);
	if (status == 0 && cli->json)
		cli_document(
		    cli, "poc.notice-list/1",
		    json_pack("{s:O,s:I,s:O}", "notices", list, "left_out", (json_int_t)left_out, "refused", refused));
	else if (status == 0 && left_out > 0)
		cli_note(cli, tr("%zu older ones are not shown: --limit"), left_out);
	else if (status == 0 && n == 0 && outbox_waiting(duty.poc) > 0)
		cli_note(cli,
			 tr("no such notices; %zu wait in the outbox, and go with the next command that is online"),
			 outbox_waiting(duty.poc));
	else if (status == 0 && n == 0)
		cli_note(cli, tr("no such notices"));
	json_decref(list);
	json_decref(refused);
	duty_close(&duty);
	return status;
}

/* ---- handover */

static bool touched(const struct desk_notice *n, int64_t since)
{
	if (n->stored >= since)
		return true;
	for (size_t i = 0; i < n->n_parties; i++) {
		for (int step = 0; step < DESK_STEPS; step++) {
			if (n->parties[i].times[step] >= since)
				return true;
		}
	}
	return n->taken_at >= since;
}

/* Private notes of a thread. */
static void hand_notes(struct duty *duty, const struct desk *desk, const struct desk_notice *of, json_t *notes)
{
	for (size_t i = 0; i < desk->n; i++) {
		const struct desk_notice *n = desk->notices[i];
		Poc__Inner *inner;
		if (n->notice->core->category != POC__CATEGORY__CATEGORY_NOTE ||
		    memcmp(n->notice->thread.bytes, of->notice->thread.bytes, NOTICE_ID_SIZE) != 0)
			continue;
		if (duty_open_notice(duty, desk, n, &inner) != 0)
			continue;
		if (duty->cli->json)
			json_array_append_new(notes, json_pack("{s:s,s:s,s:s}", "by", n->notice->core->handle, "time",
							       time_text(n->notice->core->created), "text",
							       inner->content->text));
		else {
			cli_line(tr("    note of %s, %s:"), n->notice->core->handle,
				 time_text(n->notice->core->created));
			cli_lines("      ", inner->content->text);
		}
		message_free(inner);
	}
}

static void hand_one(struct duty *duty, const struct desk *desk, const struct desk_notice *n, json_t *list)
{
	const Poc__Core *core = n->notice->core;
	json_t *notes = json_array();
	Poc__Inner *inner = NULL;
	int64_t now = client_now(duty->poc);

	duty_open_notice(duty, desk, n, &inner);
	if (duty->cli->json) {
		hand_notes(duty, desk, n, notes);
		json_t *one = duty_notice_json(duty, desk, n, inner);
		json_object_set(one, "notes", notes);
		json_array_append_new(list, one);
	} else {
		print_row(duty, desk, n, inner);
		if (core->reply_by != 0 && is_open(desk, n) && desk_step(desk, n) != POC__STEP__STEP_ANSWERED)
			cli_line(core->reply_by > now ? tr("    answer wanted in %s, by %s")
						      : tr("    answer was wanted %s ago, by %s"),
				 span_text(core->reply_by - now), time_text(core->reply_by));
		hand_notes(duty, desk, n, notes);
	}
	json_decref(notes);
	message_free(inner);
}

static void hand_over(struct duty *duty, int64_t since, json_t *list, size_t *n)
{
	for (size_t i = 0; i < duty->n_desks; i++) {
		const struct desk *desk = duty->desks[i];
		for (size_t j = 0; j < desk->n; j++) {
			const struct desk_notice *notice = desk->notices[j];
			if (notice->notice->core->category == POC__CATEGORY__CATEGORY_NOTE ||
			    shown_before(duty, i, &notice->notice->id) ||
			    !(is_open(desk, notice) || touched(notice, since)))
				continue;
			if ((*n)++ == 0 && !duty->cli->json)
				print_head();
			hand_one(duty, desk, notice, list);
		}
	}
}

int poc_cmd_handover(struct cli *cli)
{
	const char *text = cli_has(cli, "since") ? cli_value(cli, "since") : "12h";
	struct duty duty;
	int64_t since;
	size_t n = 0;
	int status = duty_open(cli, &duty);

	if (status != 0)
		return status;
	if (!duty_time(&duty, text, &since)) {
		duty_close(&duty);
		return cli_fail(cli, STATUS_USAGE, tr("--since takes 12h, or a time like 2026-11-24T12:00:00Z"));
	}
	int64_t now = client_now(duty.poc);
	if (since > now) /* a span counts backwards here */
		since = now - (since - now);
	json_t *list = json_array(), *refused = json_array();
	hand_over(&duty, since, list, &n);
	duty_refused(cli, duty.poc, refused);
	if (cli->json)
		cli_document(cli, "poc.handover/1",
			     json_pack("{s:s,s:O,s:I,s:O}", "since", time_text(since), "notices", list, "outbox",
				       (json_int_t)outbox_waiting(duty.poc), "refused", refused));
	else if (n == 0)
		cli_line(tr("nothing is open, and nothing happened since %s"), time_text(since));
	if (!cli->json && outbox_waiting(duty.poc) > 0)
		cli_line(tr("%zu wait in the outbox"), outbox_waiting(duty.poc));
	json_decref(list);
	json_decref(refused);
	duty_close(&duty);
	return status;
}
