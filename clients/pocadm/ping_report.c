/* Communications checks: what became of a round, from the proven story of each of its notices; publishing it as P. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/show.h"
#include "clients/cli/strings.h"
#include "clients/libpoc/content.h"
#include "clients/pocadm/commands.h"
#include "clients/pocadm/ping_round.h"
#include "proto/rules/pings.h"
#include "proto/rules/rules.h"
#include "proto/wire/prescan.h"

enum { GROUP_MAX = 48 };

/* What was asked of one desk, and what came of it; only proven steps count. */
struct asked {
	const char *place; /* borrowed from the desk's notices */
	Poc__PocKind kind;
	bool closed;
	int64_t asked, answered; /* seconds, by the log; 0: not proven yet; not answered */
	bool automatic;
	struct hash receipt;
};

struct report {
	struct ping_desk desk;
	int64_t round, deadline;
	size_t n;
	struct asked *list; /* by place and kind */
	size_t person, automatic, silent, cancelled;
	size_t published, told;
};

static bool is_answer(const struct story_step *step, const struct asked *a)
{
	return step->receipt != NULL && step->proven && step->step >= POC__STEP__STEP_ACKNOWLEDGED &&
	       step->step <= POC__STEP__STEP_ANSWERED && step->kind == a->kind && strcmp(step->place, a->place) == 0;
}

/* Whether we closed what was asked: what comes after that answers nothing. */
static bool is_cancelling(const struct story_step *step)
{
	return step->receipt != NULL && step->step == POC__STEP__STEP_CLOSED &&
	       strcmp(step->place, STATE_DIRECTORY) == 0;
}

/* The first answer by a person, else the first by a program. */
static void judge_story(const struct story *story, struct asked *a)
{
	if (story->steps[0].proven)
		a->asked = story->steps[0].anchored;
	for (size_t i = 1; i < story->n && a->asked != 0 && !is_cancelling(&story->steps[i]); i++) {
		const struct story_step *step = &story->steps[i];
		if (!is_answer(step, a) || (a->answered != 0 && (!a->automatic || step->automatic)))
			continue;
		a->answered = step->anchored;
		a->automatic = step->automatic;
		a->receipt = step->receipt->hash;
	}
}

static int by_desk(const void *a, const void *b)
{
	const struct asked *x = a, *y = b;
	int order = strcmp(x->place, y->place);

	return order != 0 ? order : (int)x->kind - (int)y->kind;
}

static int gather(struct report *r)
{
	const struct desk *desk = r->desk.desk;

	r->list = calloc(desk->n + 1, sizeof *r->list);
	if (r->list == NULL)
		return cli_fail(r->desk.cli, STATUS_NO_MEMORY, tr("out of memory"));
	for (size_t i = 0; i < desk->n; i++) {
		const struct desk_notice *n = desk->notices[i];
		struct asked *a = &r->list[r->n];
		struct story *story;
		if (!ping_asks(n, r->round))
			continue;
		*a = (struct asked){.place = n->notice->core->to[0]->place,
				    .kind = n->notice->core->to[0]->kind,
				    .closed = ping_closed(&r->desk, n)};
		int status = client_story(r->desk.poc, &desk->id, &n->notice->id, &story);
		if (status != 0)
			return link_fail(r->desk.cli, r->desk.poc, status);
		judge_story(story, a);
		story_destroy(story);
		r->person += a->answered != 0 && !a->automatic;
		r->automatic += a->answered != 0 && a->automatic;
		r->cancelled += a->answered == 0 && a->closed;
		r->silent += a->answered == 0 && !a->closed;
		r->n++;
	}
	qsort(r->list, r->n, sizeof *r->list, by_desk);
	return 0;
}

/* ---- Showing */

static const char *result_of(const struct asked *a)
{
	return a->answered != 0 ? (a->automatic ? "automatic" : "person") : a->closed ? "cancelled" : "none";
}

static void print_done(const struct report *r)
{
	char states[40], coordinators[40];

	snprintf(states, sizeof states, r->published == 1 ? tr("1 state") : tr("%zu states"), r->published);
	snprintf(coordinators, sizeof coordinators, r->told == 1 ? tr("1 coordinator") : tr("%zu coordinators"),
		 r->told);
	cli_line(r->desk.cli->dry_run ? tr("would be published for %s; %s would be told")
				      : tr("published for %s; %s told"),
		 states, coordinators);
}

static void print_text(const struct report *r)
{
	char round[32];

	time_to_text(r->round, round);
	cli_line(tr("round %s, answers wanted by %s"), round, time_text(r->deadline));
	cli_line(tr("%zu asked: %zu answered by a person, %zu by a program, %zu not, %zu cancelled"), r->n, r->person,
		 r->automatic, r->silent, r->cancelled);
	for (size_t i = 0; i < r->n; i++) {
		const struct asked *a = &r->list[i];
		if (a->answered != 0)
			cli_line(tr("%-3s %-11s %-10s after %s%s"), a->place, poc_kind_name(a->kind), tr(result_of(a)),
				 span_text(a->answered - a->asked), a->answered > r->deadline ? tr(", late") : "");
		else
			cli_line("%-3s %-11s %s", a->place, poc_kind_name(a->kind), tr(result_of(a)));
	}
	if (r->published > 0 || r->told > 0)
		print_done(r);
}

static void print_csv(const struct report *r)
{
	char round[32], asked[32], answered[32];

	time_to_text(r->round, round);
	puts("round,place,kind,channel,asked,result,answered,seconds");
	for (size_t i = 0; i < r->n; i++) {
		const struct asked *a = &r->list[i];
		time_to_text(a->asked, asked);
		time_to_text(a->answered, answered);
		printf("%s,%s,%s,%s,%s,%s,%s,", round, a->place, poc_kind_name(a->kind), PING_CHANNEL_NOTICE,
		       a->asked != 0 ? asked : "", result_of(a), a->answered != 0 ? answered : "");
		if (a->answered != 0)
			printf("%lld", (long long)(a->answered - a->asked));
		putchar('\n');
	}
}

static void print_json(const struct report *r)
{
	json_t *list = json_array();
	char round[32];

	time_to_text(r->round, round);
	for (size_t i = 0; i < r->n; i++) {
		const struct asked *a = &r->list[i];
		json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:o,s:o,s:s}", "place", a->place, "kind",
						      poc_kind_name(a->kind), "channel", PING_CHANNEL_NOTICE, "asked",
						      cli_time_json(a->asked), "answered", cli_time_json(a->answered),
						      "result", result_of(a)));
	}
	cli_document(r->desk.cli, "poc.ping-report/1",
		     json_pack("{s:s,s:o,s:{s:I,s:I,s:I,s:I,s:I},s:o,s:I,s:I,s:b}", "round", round, "deadline",
			       cli_time_json(r->deadline), "counts", "asked", (json_int_t)r->n, "person",
			       (json_int_t)r->person, "automatic", (json_int_t)r->automatic, "none",
			       (json_int_t)r->silent, "cancelled", (json_int_t)r->cancelled, "pocs", list, "published",
			       (json_int_t)r->published, "told", (json_int_t)r->told, "dry_run",
			       (int)r->desk.cli->dry_run));
}

/* ---- Publishing */

/* Before the deadline silence says nothing yet; what was cancelled never does. */
static bool is_result(const struct report *r, const struct asked *a)
{
	return a->asked != 0 && (a->answered != 0 || (!a->closed && client_now(r->desk.poc) > r->deadline));
}

static void fill_ping(const struct report *r, const struct asked *a, Poc__Ping *out)
{
	poc__ping__init(out);
	out->round = r->round;
	out->poc = a->kind;
	out->channel = (char *)PING_CHANNEL_NOTICE;
	out->asked = a->asked;
	out->answered = a->answered;
	out->automatic = a->automatic;
	if (a->answered != 0)
		out->receipt = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)a->receipt.bytes};
}

static bool same_ping(const Poc__Ping *a, const Poc__Ping *b)
{
	return a->asked == b->asked && a->answered == b->answered && a->automatic == b->automatic &&
	       a->receipt.len == b->receipt.len &&
	       (a->receipt.len == 0 || memcmp(a->receipt.data, b->receipt.data, a->receipt.len) == 0);
}

/* Puts a result among those known, in its place.  Whether anything changed. */
static bool merge(Poc__Ping **pings, size_t *n, Poc__Ping *fresh)
{
	size_t at = 0;

	while (at < *n && ping_compare(pings[at], fresh) < 0)
		at++;
	if (at < *n && ping_compare(pings[at], fresh) == 0) {
		bool same = same_ping(pings[at], fresh);
		pings[at] = fresh;
		return !same;
	}
	memmove(pings + at + 1, pings + at, (*n - at) * sizeof *pings);
	pings[at] = fresh;
	++*n;
	return true;
}

/* The next version of P/<cc> with the round's results of one state: list[first..last).  *bytes NULL: nothing is new. */
static int make_pings(struct report *r, const struct link_keys *keys, size_t first, size_t last, uint8_t **bytes,
		      size_t *size)
{
	struct refusal why = {0};
	struct client_envelope current;
	struct name name;
	Poc__Pings pings = POC__PINGS__INIT;
	Poc__Ping fresh[2], *list[PINGS_MAX + 2];
	Poc__Head head;
	bool changed = false;

	*bytes = NULL;
	if (!name_make(NAME_PINGS, r->list[first].place, NULL, &name))
		return cli_fail(r->desk.cli, STATUS_USAGE, tr("%s is not a state"), r->list[first].place);
	const char *names[] = {name.text};
	int status = client_envelopes(r->desk.poc, CLIENT_ONLINE, names, 1, &current);
	if (status != 0)
		return link_fail(r->desk.cli, r->desk.poc, status);
	const Poc__Pings *old = current.envelope != NULL ? current.envelope->payload.pings : NULL;
	for (size_t i = 0; old != NULL && i < old->n_pings; i++)
		list[pings.n_pings++] = old->pings[i];
	for (size_t i = first; i < last && i < first + 2; i++) {
		if (!is_result(r, &r->list[i]))
			continue;
		fill_ping(r, &r->list[i], &fresh[i - first]);
		changed = merge(list, &pings.n_pings, &fresh[i - first]) || changed;
	}
	size_t over = pings.n_pings > PINGS_MAX ? pings.n_pings - PINGS_MAX : 0; /* the oldest go */
	pings.pings = list + over;
	pings.n_pings -= over;
	pings.issued = client_now(r->desk.poc);
	head_fill(&head, client_directory_id(r->desk.poc), name.text, old != NULL ? current.envelope->seq + 1 : 1,
		  old != NULL ? &current.value : NULL);
	pings.head = &head;
	if (changed)
		status = envelope_make(&pings.base, keys->keys, keys->n, bytes, size, &why);
	client_envelopes_finish(&current, 1);
	return status == 0 ? 0 : cli_refused(r->desk.cli, &why);
}

static int submit(struct report *r, struct client_write *writes, size_t *n)
{
	struct client_submitted done = {0};
	const bool sends = *n > 0 && !r->desk.cli->dry_run;
	int status = sends ? client_submit(r->desk.poc, writes, *n, true, &done) : 0;

	r->published += status == 0 ? *n : 0;
	client_submitted_finish(&done);
	for (size_t i = 0; i < *n; i++)
		free((uint8_t *)writes[i].envelope);
	*n = 0;
	return status == 0 ? 0 : link_fail(r->desk.cli, r->desk.poc, status);
}

static size_t end_of_state(const struct report *r, size_t first)
{
	size_t last = first + 1;

	while (last < r->n && strcmp(r->list[last].place, r->list[first].place) == 0)
		last++;
	return last;
}

static int publish(struct report *r, const struct link_keys *keys)
{
	struct client_write writes[GROUP_MAX];
	size_t n = 0;
	int status = 0;

	for (size_t i = 0, next; i < r->n && status == 0; i = next) {
		uint8_t *bytes;
		size_t size;
		next = end_of_state(r, i);
		status = make_pings(r, keys, i, next, &bytes, &size);
		if (status == 0 && bytes != NULL)
			writes[n++] = (struct client_write){.envelope = bytes, .size = size};
		if (status == 0 && n == GROUP_MAX)
			status = submit(r, writes, &n);
	}
	int last = submit(r, writes, &n);
	return status != 0 ? status : last;
}

/* ---- Telling coordinators what was not answered */

static int tell_state(struct report *r, size_t first, size_t last)
{
	const char *place = r->list[first].place;
	char text[700], round[32], until[32], kinds[60] = "";
	struct notice_id id;

	for (size_t i = first; i < last; i++) {
		if (is_result(r, &r->list[i]) && r->list[i].answered == 0)
			snprintf(kinds + strlen(kinds), sizeof kinds - strlen(kinds), "%s%s",
				 kinds[0] != '\0' ? " and " : "", poc_kind_name(r->list[i].kind));
	}
	if (kinds[0] == '\0' ||
	    ping_find(&r->desk, r->round, false, place, POC__POC_KIND__POC_KIND_COORDINATOR) != NULL)
		return 0;
	if (r->desk.cli->dry_run) {
		r->told++;
		return 0;
	}
	time_to_text(r->round, round);
	time_to_text(r->deadline, until);
	snprintf(
	    text, sizeof text,
	    "The communications check of %s to the %s point of contact of %s was not acknowledged by %s.\nPlease see "
	    "whether it can still be reached by what the directory lists, and publish or confirm the record.\nNothing "
	    "is deleted or held against anybody for silence.",
	    round, kinds, place, until);
	int status =
	    ping_send(&r->desk, r->round, client_now(r->desk.poc) + 30 * 86400, POC__CATEGORY__CATEGORY_NOTIFICATION,
		      place, POC__POC_KIND__POC_KIND_COORDINATOR, "Communications check not answered", text, &id);
	if (status == STATUS_QUEUED || status == STATUS_UNREACHABLE)
		return link_fail(r->desk.cli, r->desk.poc, status);
	if (status != 0)
		cli_note(r->desk.cli, tr("%s: its coordinator cannot be told: %s"), place,
			 client_why(r->desk.poc)->message);
	r->told += status == 0;
	return 0;
}

static int publish_all(struct report *r)
{
	struct link_keys keys = {0};
	int status = link_keys_open(r->desk.cli, &r->desk.cli->conf.coordinator, "coordinator", &keys);

	if (status == 0 && !r->desk.cli->dry_run)
		status = cli_confirm(r->desk.cli, tr("Sign and publish what became of this round?"));
	if (status == 0)
		status = publish(r, &keys);
	for (size_t i = 0, next; i < r->n && status == 0; i = next) {
		next = end_of_state(r, i);
		status = tell_state(r, i, next);
	}
	link_keys_close(&keys);
	return status;
}

int pocadm_cmd_ping_report(struct cli *cli)
{
	struct report r = {0};
	int status = 0;

	if (cli->argc > 0 && !ping_round_parse(cli->argv[0], &r.round))
		status = cli_fail(cli, STATUS_USAGE, tr("\"%s\" is not a round's time"), cli->argv[0]);
	else if (cli->json && cli_has(cli, "csv"))
		status = cli_fail(cli, STATUS_USAGE, tr("either --csv or -o json"));
	if (status == 0 && strcmp(cli->conf.state, STATE_DIRECTORY) != 0)
		return ping_report_public(cli, r.round);
	if (status == 0)
		status = ping_desk_open(cli, &r.desk);
	if (status == 0 && r.round == 0)
		r.round = ping_newest(&r.desk);
	if (status == 0) {
		r.deadline = r.round != 0 ? ping_deadline(&r.desk, r.round) : 0;
		if (r.deadline == 0)
			status = cli_fail(cli, STATUS_NOT_FOUND, tr("there is no such round"));
	}
	if (status == 0)
		status = gather(&r);
	if (status == 0 && cli_has(cli, "publish"))
		status = publish_all(&r);
	if (status == 0 && cli->json)
		print_json(&r);
	else if (status == 0 && cli_has(cli, "csv"))
		print_csv(&r);
	else if (status == 0)
		print_text(&r);
	if (status == 0 && cli_has(cli, "publish") && cli->dry_run)
		cli_note(cli, tr("dry run: nothing was published, and nobody told"));
	free(r.list);
	ping_desk_close(&r.desk);
	return status;
}
