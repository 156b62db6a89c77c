#include "clients/poc/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/strings.h"

/* ---- Gathering */

struct member {
	const struct desk *desk;
	const struct desk_notice *notice;
};

/* The notice that a thread is the thread of. */
static bool begins_thread(const struct desk_notice *n)
{
	return memcmp(n->notice->id.bytes, n->notice->thread.bytes, NOTICE_ID_SIZE) == 0;
}

/* Of each thread the first one first: an answer may have come in the same second. */
static int by_thread(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	int order = memcmp(x->notice->notice->thread.bytes, y->notice->notice->thread.bytes, NOTICE_ID_SIZE);

	if (order == 0)
		order = begins_thread(y->notice) - begins_thread(x->notice);
	if (order == 0)
		order = (x->notice->stored > y->notice->stored) - (x->notice->stored < y->notice->stored);
	return order != 0 ? order : memcmp(x->notice->notice->id.bytes, y->notice->notice->id.bytes, NOTICE_ID_SIZE);
}

static struct member *all_members(const struct duty *duty, size_t *n)
{
	size_t total = 0;

	for (size_t i = 0; i < duty->n_desks; i++)
		total += duty->desks[i]->n;
	struct member *list = calloc(total + 1, sizeof *list);
	*n = 0;
	for (size_t i = 0; i < duty->n_desks && list != NULL; i++) {
		for (size_t j = 0; j < duty->desks[i]->n; j++)
			list[(*n)++] = (struct member){duty->desks[i], duty->desks[i]->notices[j]};
	}
	if (*n > 0)
		qsort(list, *n, sizeof *list, by_thread);
	return list;
}

static void note_deadline(struct thread *t, const struct member *m)
{
	const int64_t by = desk_wanted_by(m->desk, m->notice);

	if (by != 0 && (t->reply_by == 0 || by < t->reply_by))
		t->reply_by = by;
}

static void add_member(struct thread *t, const struct member *m, bool again, int64_t now)
{
	const struct desk_notice *n = m->notice;
	const int64_t activity = desk_activity(n);

	t->activity = activity > t->activity ? activity : t->activity;
	if (n->taken_by[0] != '\0' && n->taken_at >= t->taken_at) {
		t->taken_at = n->taken_at;
		t->taken_by = n->taken_by;
	}
	if (desk_is_note(t->first) && !desk_is_note(n)) {
		t->first = n;
		t->desk = m->desk;
	}
	t->notes += desk_is_note(n) && !again;
	t->n += !desk_is_note(n) && !again;
	if (desk_is_note(n))
		return;
	t->open = t->open || (n->side != SIDE_FROM && desk_is_open(m->desk, n));
	t->overdue = t->overdue || desk_overdue(m->desk, n, now);
	t->alarm = t->alarm || desk_is_alarm(m->desk, n);
	note_deadline(t, m);
}

static bool same_notice(const struct member *a, const struct member *b)
{
	return memcmp(a->notice->notice->id.bytes, b->notice->notice->id.bytes, NOTICE_ID_SIZE) == 0;
}

/* One thread of the members from *at on, which are in the order of threads. */
static struct thread take_thread(const struct member *list, size_t n, size_t *at, int64_t now, threads_wanted wanted,
				 const void *ctx)
{
	const struct member *begin = &list[*at];
	struct thread t = {.desk = begin->desk, .first = begin->notice, .taken_by = ""};

	for (; *at < n &&
	       memcmp(list[*at].notice->notice->thread.bytes, begin->notice->notice->thread.bytes, NOTICE_ID_SIZE) == 0;
	     (*at)++) {
		const struct member *m = &list[*at];
		add_member(&t, m, m != begin && same_notice(m - 1, m), now);
		t.wanted = t.wanted || wanted(ctx, m->desk, m->notice);
	}
	t.open = t.open || desk_is_open(t.desk, t.first);
	return t;
}

static int by_activity(const void *a, const void *b)
{
	const struct thread *x = a, *y = b;

	if (x->activity != y->activity)
		return x->activity > y->activity ? 1 : -1;
	return (x->first->order > y->first->order) - (x->first->order < y->first->order);
}

int threads_list(const struct duty *duty, threads_wanted wanted, const void *ctx, size_t limit, struct thread **out,
		 size_t *n, size_t *left_out)
{
	size_t members, at = 0, found = 0, kept = 0;
	struct member *list = all_members(duty, &members);
	struct thread *threads = calloc(members + 1, sizeof *threads);

	*out = NULL;
	*n = *left_out = 0;
	if (list == NULL || threads == NULL) {
		free(list);
		free(threads);
		return STATUS_NO_MEMORY;
	}
	while (at < members) {
		struct thread t = take_thread(list, members, &at, client_now(duty->poc), wanted, ctx);
		if (t.wanted)
			threads[found++] = t;
	}
	free(list);
	if (found > 0)
		qsort(threads, found, sizeof *threads, by_activity);
	*left_out = found > limit ? found - limit : 0;
	for (size_t i = 0, over = *left_out; i < found; i++) {
		if (over > 0 && !threads[i].alarm)
			over--;
		else
			threads[kept++] = threads[i];
	}
	*left_out = found - kept;
	*out = threads;
	*n = kept;
	return 0;
}

/* ---- One thread */

/* The first one, then in the order of the feed; stored is in whole seconds. */
static int by_age(const void *a, const void *b)
{
	const struct desk_notice *x = ((const struct thread_member *)a)->notice,
				 *y = ((const struct thread_member *)b)->notice;

	if (begins_thread(x) != begins_thread(y))
		return begins_thread(x) ? -1 : 1;
	if (x->stored != y->stored)
		return x->stored > y->stored ? 1 : -1;
	return (x->order > y->order) - (x->order < y->order);
}

/* Whether another of our desks is the one that a notice is looked at from. */
static bool better_elsewhere(const struct duty *duty, size_t desk, const struct desk_notice *n)
{
	const bool received = desk_own_party(duty->desks[desk], n) != NULL;

	for (size_t i = 0; i < duty->n_desks; i++) {
		const struct desk_notice *other = i != desk ? desk_find(duty->desks[i], &n->notice->id) : NULL;
		if (other == NULL)
			continue;
		const bool there = desk_own_party(duty->desks[i], other) != NULL;
		if (there != received ? there : i < desk)
			return true;
	}
	return false;
}

int threads_members(const struct duty *duty, const struct notice_id *thread, struct thread_member **out, size_t *n)
{
	size_t total = 0;

	for (size_t i = 0; i < duty->n_desks; i++)
		total += duty->desks[i]->n;
	*n = 0;
	*out = calloc(total + 1, sizeof **out);
	if (*out == NULL)
		return STATUS_NO_MEMORY;
	for (size_t i = 0; i < duty->n_desks; i++) {
		struct desk *desk = duty->desks[i];
		for (size_t j = 0; j < desk->n; j++) {
			struct desk_notice *each = desk->notices[j];
			if (memcmp(each->notice->thread.bytes, thread->bytes, NOTICE_ID_SIZE) == 0 &&
			    !better_elsewhere(duty, i, each))
				(*out)[(*n)++] = (struct thread_member){desk, each};
		}
	}
	if (*n > 0)
		qsort(*out, *n, sizeof **out, by_age);
	return 0;
}

/* ---- Looks */

void threads_print_head(void)
{
	printf("%-10s %3s %-20s  %-6s %-12s %-20s  %-16s %-9s %s\n", tr("THREAD"), tr("N"), tr("ACTIVITY"), tr("STATE"),
	       tr("TAKEN BY"), tr("ANSWER BY"), tr("FROM"), tr("URGENCY"), tr("SUBJECT"));
}

void threads_print(const struct thread *thread, const Poc__Inner *inner)
{
	const struct notice *first = thread->first->notice;
	char id[NOTICE_ID_TEXT], from[80], marks[DUTY_MARKS];

	duty_id(&first->thread, id);
	snprintf(from, sizeof from, "%.20s %.4s", first->core->from->place, poc_kind_name(first->core->from->kind));
	duty_marks(thread->desk, thread->first, thread->overdue, marks);
	const char *subject = inner != NULL ? inner->content->subject : tr("(not opened)"),
		   *quote = inner != NULL ? "\"" : "";
	cli_line("%.9s  %3zu %-20s  %-6s %-12s %-20s  %-16s %-9s %s%s%s%s", id, thread->n, time_text(thread->activity),
		 thread->open ? tr("open") : tr("closed"), thread->taken_by, time_text(thread->reply_by), from,
		 urgency_name(first->core->urgency), marks, quote, subject, quote);
}

json_t *threads_json(const struct thread *thread, const Poc__Inner *inner)
{
	const struct notice *first = thread->first->notice;
	const Poc__Core *core = first->core;
	char id[NOTICE_ID_TEXT];
	json_t *to = json_array();

	duty_id(&first->thread, id);
	for (size_t i = 0; i < core->n_to; i++)
		json_array_append_new(to, json_string(core->to[i]->place));
	return json_pack(
	    "{s:s,s:s,s:s,s:o,s:I,s:I,s:o,s:b,s:o,s:o,s:b,s:s,s:s,s:o,s:o,s:b}", "id", id, "from", core->from->place,
	    "from_kind", poc_kind_name(core->from->kind), "to", to, "notices", (json_int_t)thread->n, "notes",
	    (json_int_t)thread->notes, "activity", cli_time_json(thread->activity), "open", (int)thread->open,
	    "taken_by", thread->taken_by[0] != '\0' ? json_string(thread->taken_by) : json_null(), "reply_by",
	    cli_time_json(thread->reply_by), "overdue", (int)thread->overdue, "category", category_name(core->category),
	    "urgency", urgency_name(core->urgency), "exercise",
	    core->exercise[0] != '\0' ? json_string(core->exercise) : json_null(), "subject",
	    inner != NULL ? json_string(inner->content->subject) : json_null(), "verified", (int)thread->first->good);
}
