/* Listing notices, and handing a shift over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/strings.h"
#include "clients/poc/duty.h"
#include "clients/poc/notice.h"
#include "clients/poc/since.h"
#include "clients/poc/threads.h"
#include "clients/poc/waiting.h"
#include "pocd/base/ini.h"
#include "proto/wire/prescan.h"

enum { LIMIT = 500, LIMIT_MAX = 1000000 };

struct filter {
	bool sent, mine, overdue, all;
	bool has_thread; /* all of this thread */
	struct notice_id thread;
	int64_t now;
	bool headers;   /* no body is fetched: nothing is delivered by looking */
	uint64_t limit; /* of each desk */
	const char *exercise;
	char handle[UNIT_MAX_LENGTH + 1];
};

static bool wanted(const void *ctx, const struct desk *desk, const struct desk_notice *n)
{
	const struct filter *f = ctx;
	const Poc__Core *core = n->notice->core;
	bool received = n->side != SIDE_FROM;

	if (f->has_thread)
		return memcmp(n->notice->thread.bytes, f->thread.bytes, NOTICE_ID_SIZE) == 0;
	if (desk_is_alarm(desk, n))
		return true;
	if (f->exercise != NULL && strcmp(f->exercise, core->exercise) != 0)
		return false;
	if (f->all)
		return true;
	if (desk_is_note(n))
		return false;
	if (f->overdue)
		return desk_overdue(desk, n, f->now);
	if (f->mine)
		return n->taken_by[0] != '\0' && strcmp(n->taken_by, f->handle) == 0;
	if (f->sent)
		return !received;
	return received && (desk_is_open(desk, n) || f->exercise != NULL);
}

static void print_head(void)
{
	printf("%-10s %-16s %-16s %-20s %-9s %-13s %-12s %s\n", tr("ID"), tr("FROM"), tr("TO"), tr("CATEGORY"),
	       tr("URGENCY"), tr("STEP"), tr("TAKEN BY"), tr("SUBJECT"));
}

/* Of several recipients the one that is named: our own desk, where it is one. */
static const Poc__Desk *named_recipient(const struct desk *desk, const Poc__Core *core)
{
	for (size_t i = 0; desk != NULL && i < core->n_to; i++) {
		if (core->to[i]->kind == desk->id.kind && strcmp(core->to[i]->place, desk->id.place) == 0)
			return core->to[i];
	}
	return core->to[0];
}

/* desk: at which it is listed; NULL: none.  marks: what stands before the subject. */
static void print_cells(const struct desk *desk, const struct notice *notice, const char *step, const char *taken_by,
			const char *marks, const Poc__Inner *inner)
{
	const Poc__Core *core = notice->core;
	const Poc__Desk *first = named_recipient(desk, core);
	char id[NOTICE_ID_TEXT], from[80], to[80];

	duty_id(&notice->id, id);
	snprintf(from, sizeof from, "%.20s %.4s", core->from->place, poc_kind_name(core->from->kind));
	snprintf(to, sizeof to, "%.20s %.4s", first->place, poc_kind_name(first->kind));
	if (core->n_to > 1)
		snprintf(to + strlen(to), sizeof to - strlen(to), " +%zu", core->n_to - 1);
	const char *subject = inner != NULL ? inner->content->subject : tr("(not opened)"),
		   *quote = inner != NULL ? "\"" : ""; /* whatever a subject says, it is none of the marks before it */
	cli_line("%.9s  %-16s %-16s %-20s %-9s %-13s %-12s %s%s%s%s", id, from, to, category_name(core->category),
		 urgency_name(core->urgency), step, taken_by, marks, quote, subject, quote);
}

static void print_row(const struct duty *duty, const struct desk *desk, const struct desk_notice *n,
		      const Poc__Inner *inner)
{
	char marks[DUTY_MARKS];

	duty_marks(desk, n, desk_overdue(desk, n, client_now(duty->poc)), marks);
	print_cells(desk, n->notice, step_name(desk_step(desk, n)), n->taken_by, marks, inner);
}

/* How many of a desk's are over the limit. */
static size_t count_over(const struct duty *duty, const struct filter *f, size_t desk)
{
	size_t n = 0;

	for (size_t j = 0; j < duty->desks[desk]->n; j++)
		n += wanted(f, duty->desks[desk], duty->desks[desk]->notices[j]);
	return n > f->limit ? n - (size_t)f->limit : 0;
}

/* Above a desk's rows, where there are several desks: what several have stands at each, with its own step. */
static void print_desk(const struct duty *duty, const struct desk *desk)
{
	if (duty->n_desks > 1)
		cli_line("-- %s %s", desk->id.place, poc_kind_name(desk->id.kind));
}

struct listing {
	struct duty *duty;
	const struct filter *filter;
	json_t *list, *waiting; /* of the outbox: waiting_list */
	size_t n, left_out, waiting_shown;
	bool outbox_told;
};

/* Below its row, what its desk has said of it that is not stored yet. */
static void print_receipts(struct listing *l, const struct desk *desk, const struct notice *notice)
{
	json_t *list = waiting_receipts(l->waiting, notice, &desk->id), *each;
	size_t i;

	json_array_foreach(list, i, each)
	{
		char *since = waiting_since(each);
		cli_line(tr("           in the outbox: %s"), since != NULL ? since : "");
		free(since);
	}
	l->waiting_shown += json_array_size(list);
	json_decref(list);
}

static void list_one(struct listing *l, const struct desk *desk, const struct desk_notice *notice, bool first)
{
	Poc__Inner *inner = NULL;

	if (!l->filter->headers)
		duty_open_notice(l->duty, desk, notice, &inner);
	if (l->n++ == 0 && !l->duty->cli->json)
		print_head();
	if (first && !l->duty->cli->json)
		print_desk(l->duty, desk);
	if (l->duty->cli->json) {
		json_array_append_new(l->list, duty_notice_json(l->duty, desk, notice, inner));
	} else {
		print_row(l->duty, desk, notice, inner);
		print_receipts(l, desk, notice->notice);
	}
	message_free(inner);
}

/* The newest of each desk, oldest first; what is over the limit is left out and counted. */
static void list_notices(struct listing *l)
{
	for (size_t i = 0; i < l->duty->n_desks; i++) {
		const struct desk *desk = l->duty->desks[i];
		size_t over = count_over(l->duty, l->filter, i);
		bool first = true;
		for (size_t j = 0; j < desk->n; j++) {
			if (!wanted(l->filter, desk, desk->notices[j]))
				continue;
			if (over > 0 && !desk_is_alarm(desk, desk->notices[j])) {
				over--;
				l->left_out++;
				continue;
			}
			list_one(l, desk, desk->notices[j], first);
			first = false;
		}
	}
}

static int list_threads(struct listing *l)
{
	struct thread *threads;
	int status = threads_list(l->duty, wanted, l->filter, (size_t)l->filter->limit, &threads, &l->n, &l->left_out);

	if (status != 0)
		return cli_fail(l->duty->cli, status, tr("out of memory"));
	if (l->n > 0 && !l->duty->cli->json)
		threads_print_head();
	for (size_t i = 0; i < l->n; i++) {
		Poc__Inner *inner = NULL;
		if (!l->filter->headers)
			duty_open_notice(l->duty, threads[i].desk, threads[i].first, &inner);
		if (l->duty->cli->json)
			json_array_append_new(l->list, threads_json(&threads[i], inner));
		else
			threads_print(&threads[i], inner);
		message_free(inner);
	}
	free(threads);
	return 0;
}

static int own_handle(struct duty *duty, char out[UNIT_MAX_LENGTH + 1])
{
	int status = client_own_handle(duty->poc, duty->offline ? CLIENT_OFFLINE : CLIENT_ONLINE, out);

	return status == 0 ? 0 : duty_fail(duty, status);
}

/* What the flags say. */
static int read_filter(struct cli *cli, struct filter *out)
{
	*out = (struct filter){.sent = cli_has(cli, "sent"),
			       .mine = cli_has(cli, "mine"),
			       .overdue = cli_has(cli, "overdue"),
			       .all = cli_has(cli, "all"),
			       .headers = cli_has(cli, "headers"),
			       .limit = LIMIT,
			       .exercise = cli_value(cli, "exercise")};
	if (cli_has(cli, "limit") &&
	    (!ini_unsigned(cli_value(cli, "limit"), LIMIT_MAX, &out->limit) || out->limit == 0))
		return cli_fail(cli, STATUS_USAGE, tr("--limit takes 1 to %d"), LIMIT_MAX);
	if (cli_has(cli, "thread") &&
	    (out->sent || out->mine || out->overdue || out->all || out->exercise != NULL || cli_has(cli, "threads")))
		return cli_fail(cli, STATUS_USAGE,
				tr("--thread shows all of one thread: no other choice goes with it"));
	return 0;
}

/* What only our desks can tell. */
static int complete_filter(struct duty *duty, struct filter *f)
{
	struct desk_notice *n;
	struct desk *desk;

	f->now = client_now(duty->poc);
	if (f->mine)
		return own_handle(duty, f->handle);
	if (!cli_has(duty->cli, "thread"))
		return 0;
	int status = duty_find(duty, cli_value(duty->cli, "thread"), &desk, &n);
	if (status == 0) {
		f->has_thread = true;
		f->thread = n->notice->thread;
	}
	return status;
}

/* Above what is of the outbox, where there are headings: it is none of the last desk's. */
static void print_outbox_head(struct listing *l)
{
	if (l->duty->n_desks > 1 && l->n > 0 && !l->outbox_told && !l->duty->cli->json)
		cli_line("%s", tr("-- outbox"));
	l->outbox_told = true;
}

/* A row of one that waits or was refused: it is only here. */
static void list_waiting_one(void *ctx, struct waiting_notice *w)
{
	struct listing *l = ctx;
	const struct desk_notice as = {.notice = w->notice, .good = true};
	char marks[DUTY_MARKS];

	if (l->filter->exercise != NULL && strcmp(l->filter->exercise, w->notice->core->exercise) != 0)
		return;
	if (l->n == 0)
		print_head();
	print_outbox_head(l);
	l->n++;
	duty_marks(NULL, &as, false, marks);
	print_cells(NULL, w->notice, w->refused ? tr("refused") : tr("in the outbox"), "", marks, w->inner);
	if (w->refused) /* why is told below, of all that were */
		return;
	cli_line(tr("           waiting since %s%s%s"), time_text(w->since), w->why[0] != '\0' ? ": " : "", w->why);
	l->waiting_shown++;
}

/* What is sent includes what is still to go; in JSON it is told from it. */
static void list_waiting(struct listing *l, bool threads)
{
	if ((l->filter->sent || l->filter->all) && !threads && !l->duty->cli->json)
		waiting_walk(l->duty, list_waiting_one, l);
}

static void seek_refused(void *ctx, const struct outbox_result *result)
{
	(void)result;
	*(bool *)ctx = true;
}

static void seek_not_taken(void *ctx, const struct outbox_result *result)
{
	bool *found = ctx;

	*found = *found || result->status == STATUS_QUOTA || result->status == STATUS_BUSY;
}

/* What waits, but for what has a row. */
static void count_waiting(const struct listing *l)
{
	const size_t all = outbox_waiting(l->duty->poc), n = all > l->waiting_shown ? all - l->waiting_shown : 0;
	const char *more = l->waiting_shown > 0 ? tr(" more") : "";
	bool not_taken = false;

	if (n == 0)
		return;
	outbox_list(l->duty->poc, seek_not_taken, &not_taken);
	if (not_taken)
		cli_note(l->duty->cli,
			 tr("%zu%s in the outbox, not all of it taken for now: each command that reaches a server "
			    "tries again (poc -n notice flush says why)"),
			 n, more);
	else
		cli_note(l->duty->cli, tr("%zu%s in the outbox, to go with the next command that reaches a server"), n,
			 more);
}

/* What is beside the list, and the end of it. */
static void end_list(struct listing *l, bool threads)
{
	struct cli *cli = l->duty->cli;
	json_t *refused = json_array();
	bool any = false;

	outbox_refused(l->duty->poc, seek_refused, &any);
	if (any && !threads)
		print_outbox_head(l);
	waiting_refused(cli, l->duty->poc, &l->duty->keys, refused);
	if (cli->json)
		cli_document(cli, "poc.notice-list/1",
			     json_pack("{s:O,s:I,s:O,s:o}", threads ? "threads" : "notices", l->list, "left_out",
				       (json_int_t)l->left_out, "refused", refused, "in_outbox",
				       json_incref(l->waiting)));
	else if (l->left_out > 0)
		cli_note(cli, tr("%zu older ones are not shown: --limit"), l->left_out);
	else if (l->n == 0)
		cli_note(cli, tr("no such notices"));
	if (!cli->json)
		count_waiting(l);
	json_decref(refused);
}

int poc_cmd_notice_list(struct cli *cli)
{
	struct filter filter;
	struct duty duty;
	struct listing listing = {.duty = &duty, .filter = &filter};
	const bool threads = cli_has(cli, "threads");
	int status = read_filter(cli, &filter);

	if (status == 0)
		status = duty_open(cli, &duty);
	if (status != 0)
		return status;
	listing.list = json_array();
	listing.waiting = waiting_list(cli, duty.poc, false);
	status = complete_filter(&duty, &filter);
	if (status == 0 && threads)
		status = list_threads(&listing);
	else if (status == 0)
		list_notices(&listing);
	if (status == 0) {
		list_waiting(&listing, threads);
		end_list(&listing, threads);
	}
	json_decref(listing.waiting);
	json_decref(listing.list);
	duty_close(&duty);
	return status;
}

/* ---- handover */

static void hand_note(const struct desk_notice *n, const Poc__NoticeContent *content, json_t *notes)
{
	char id[NOTICE_ID_TEXT];

	duty_id(&n->notice->id, id);
	if (notes != NULL) {
		json_array_append_new(notes,
				      json_pack("{s:s,s:s,s:s,s:s}", "id", id, "by", n->notice->core->handle, "time",
						time_text(n->notice->core->created), "text", content->text));
	} else if (content->text[0] == '\0' && content->forwarded.len > 0) {
		cli_line(tr("    note, passed on by %s, %s: poc notice show %.9s"), n->notice->core->handle,
			 time_text(n->notice->core->created), id);
	} else {
		cli_line(tr("    note of %s, %s:"), n->notice->core->handle, time_text(n->notice->core->created));
		cli_lines("      ", content->text);
	}
}

static bool is_handed(const struct desk *desk, const struct desk_notice *n, int64_t since)
{
	return !desk_is_note(n) && (desk_is_open(desk, n) || desk_activity(n) >= since);
}

/* Below which notice a private note stands, once: the one that it is about, or if that is not handed over the first of
 * its thread that is.  NULL: none is. */
static const struct desk_notice *place_of(const struct desk *desk, const struct desk_notice *note, int64_t since)
{
	const Poc__Core *core = note->notice->core;
	const struct desk_notice *first = NULL;

	for (size_t i = 0; i < desk->n; i++) {
		const struct desk_notice *n = desk->notices[i];
		if (!is_handed(desk, n, since) ||
		    memcmp(n->notice->thread.bytes, note->notice->thread.bytes, NOTICE_ID_SIZE) != 0)
			continue;
		if (core->answers.len == NOTICE_ID_SIZE &&
		    memcmp(n->notice->id.bytes, core->answers.data, NOTICE_ID_SIZE) == 0)
			return n;
		if (first == NULL)
			first = n;
	}
	return first;
}

/* The private notes that stand below a notice. */
static void hand_notes(struct duty *duty, const struct desk *desk, const struct desk_notice *of, int64_t since,
		       json_t *notes)
{
	for (size_t i = 0; i < desk->n; i++) {
		const struct desk_notice *n = desk->notices[i];
		Poc__Inner *inner;
		if (!desk_is_note(n) || place_of(desk, n, since) != of)
			continue;
		if (duty_open_notice(duty, desk, n, &inner) != 0)
			continue;
		hand_note(n, inner->content, duty->cli->json ? notes : NULL);
		message_free(inner);
	}
}

static void hand_one(struct duty *duty, const struct desk *desk, const struct desk_notice *n, int64_t since,
		     json_t *list)
{
	const int64_t now = client_now(duty->poc), by = desk_wanted_by(desk, n);
	json_t *notes = json_array();
	Poc__Inner *inner = NULL;

	duty_open_notice(duty, desk, n, &inner);
	if (duty->cli->json) {
		hand_notes(duty, desk, n, since, notes);
		json_t *one = duty_notice_json(duty, desk, n, inner);
		json_object_set(one, "notes", notes);
		json_array_append_new(list, one);
	} else {
		print_row(duty, desk, n, inner);
		if (by != 0)
			cli_line(by > now ? tr("    answer wanted in %s, by %s")
					  : tr("    answer was wanted %s ago, by %s"),
				 span_text(by - now), time_text(by));
		hand_notes(duty, desk, n, since, notes);
	}
	json_decref(notes);
	message_free(inner);
}

static void hand_over(struct duty *duty, int64_t since, json_t *list, size_t *n)
{
	for (size_t i = 0; i < duty->n_desks; i++) {
		const struct desk *desk = duty->desks[i];
		bool first = true;
		for (size_t j = 0; j < desk->n; j++) {
			const struct desk_notice *notice = desk->notices[j];
			if (!is_handed(desk, notice, since))
				continue;
			if ((*n)++ == 0 && !duty->cli->json)
				print_head();
			if (first && !duty->cli->json)
				print_desk(duty, desk);
			first = false;
			hand_one(duty, desk, notice, since, list);
		}
	}
}

int poc_cmd_handover(struct cli *cli)
{
	struct duty duty;
	int64_t since;
	size_t n = 0;
	int status = duty_open(cli, &duty);

	if (status != 0)
		return status;
	status = since_read(cli, "12h", client_now(duty.poc), &since);
	if (status != 0) {
		duty_close(&duty);
		return status;
	}
	json_t *list = json_array(), *refused = json_array();
	hand_over(&duty, since, list, &n);
	waiting_refused(cli, duty.poc, &duty.keys, refused);
	if (cli->json)
		cli_document(cli, "poc.handover/1",
			     json_pack("{s:s,s:O,s:I,s:o,s:O}", "since", time_text(since), "notices", list, "outbox",
				       (json_int_t)outbox_waiting(duty.poc), "in_outbox",
				       waiting_list(cli, duty.poc, false), "refused", refused));
	else if (n == 0)
		cli_line(tr("nothing is open, and nothing happened since %s"), time_text(since));
	if (!cli->json && outbox_waiting(duty.poc) > 0)
		cli_line(tr("%zu wait in the outbox"), outbox_waiting(duty.poc));
	if (!cli->json)
		json_decref(waiting_list(cli, duty.poc, true));
	json_decref(list);
	json_decref(refused);
	duty_close(&duty);
	return status;
}
