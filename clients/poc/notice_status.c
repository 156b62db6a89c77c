/* The story of a notice, each step with its proof. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/cli/strings.h"
#include "clients/poc/escalated.h"
#include "clients/poc/notice.h"
#include "clients/poc/reach.h"
#include "clients/poc/story_view.h"

enum { POLL_MS = 200, EVENT_WAIT_MS = 30000 };

static void nap(void)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};

	nanosleep(&pause, NULL);
}

static int save(struct duty *duty, const struct story *story)
{
	const char *path = cli_value(duty->cli, "save");
	struct refusal why = {0};
	uint8_t *bytes;
	size_t size, left_out;

	if (path == NULL)
		return 0;
	if (duty->cli->dry_run) {
		cli_note(duty->cli, tr("dry run: %s was not written"), path);
		return 0;
	}
	const struct story_with with = {.body = NULL};
	int status = story_encode(client_head(duty->poc), story, &with, &bytes, &size, &left_out, &why);
	if (status == 0) {
		status = cli_write_file(path, bytes, size, 0600 /* it names the parties */, false, &why);
		free(bytes);
	}
	if (status == 0 && left_out > 0)
		cli_note(duty->cli, tr("%zu steps are not yet anchored and not in %s"), left_out, path);
	return status == 0 ? 0 : cli_refused(duty->cli, &why);
}

/* Whom to call of those who received it and have not come to an end of it. */
static void tell_reach(struct duty *duty, const struct desk_notice *n, json_t *list)
{
	for (size_t i = 0; i < n->n_parties; i++) {
		const struct desk_party *p = &n->parties[i];
		if (desk_party_received(p) && desk_party_step(p) < POC__STEP__STEP_DECLINED)
			reach_tell(duty, &p->desk, false, duty->cli->json ? list : NULL);
	}
}

static int show(struct duty *duty, const struct desk *desk, const struct desk_notice *n)
{
	const struct parties parties = duty_parties(duty, n);
	struct story *story;
	int status = duty_story(duty, desk, n, &story);

	if (status != 0)
		return duty_fail(duty, status);
	struct verified_head *head = verified_head_ref((struct verified_head *)client_head(duty->poc));
	status = save(duty, story);
	json_t *reach = json_array(), *json = duty->cli->json ? story_view_json(story, head) : NULL;
	if (json != NULL) {
		json_object_set_new(json, "step", json_string(step_name(desk_step(desk, n))));
		json_object_set_new(json, "overdue", json_boolean(desk_overdue(desk, n, client_now(duty->poc))));
		tell_reach(duty, n, reach);
		json_object_set(json, "recipients", reach);
		json_object_set_new(json, "escalations", parties_json(&parties, true));
		if (status == 0)
			cli_document(duty->cli, "poc.notice-status/1", json);
		else
			json_decref(json);
	} else {
		story_view_print(story, head);
		parties_print_escalations(&parties);
		if (desk_overdue(desk, n, client_now(duty->poc)))
			cli_line(tr("OVERDUE: an answer was wanted by %s"), time_text(n->notice->core->reply_by));
		tell_reach(duty, n, reach);
	}
	json_decref(reach);
	verified_head_unref(head);
	story_destroy(story);
	return status;
}

/* What --wait waits for. */
struct awaited {
	struct duty *duty;
	struct desk *desk;
	struct notice_id id;
	Poc__Step step;
};

typedef bool (*party_test)(const struct desk_party *party, Poc__Step step, bool closed);

/* It has not come so far; declined is an end like accepted. */
static bool is_short(const struct desk_party *p, Poc__Step step, bool closed)
{
	(void)closed;
	return desk_party_received(p) && desk_party_step(p) < step;
}

/* It will not come there: it has declined, short of the step, or the sender has closed the notice. */
static bool is_hopeless(const struct desk_party *p, Poc__Step step, bool closed)
{
	return is_short(p, step, closed) && (desk_party_step(p) == POC__STEP__STEP_DECLINED || closed);
}

static const struct desk_party *find_in(const struct desk_notice *n, const struct awaited *a, party_test test,
					bool closed)
{
	for (size_t i = 0; i < n->n_parties; i++) {
		if (test(&n->parties[i], a->step, closed))
			return &n->parties[i];
	}
	return NULL;
}

/* The first of those who received it, by an escalation too, or by one by hand.  NULL: none is. */
static const struct desk_party *find_party(const struct awaited *a, party_test test)
{
	const struct desk_notice *n = desk_find(a->desk, &a->id);
	const bool closed = desk_sender_closed(n) != 0;
	const struct desk_party *found = find_in(n, a, test, closed);

	for (size_t i = 0; i < a->desk->n && found == NULL; i++) {
		const struct desk_notice *by = a->desk->notices[i];
		if (escalated_by(a->duty, a->desk, n, by))
			found = find_in(by, a, test, closed || desk_sender_closed(by) != 0);
	}
	return found;
}

static bool waits_on(const struct awaited *a)
{
	return find_party(a, is_short) != NULL && find_party(a, is_hopeless) == NULL;
}

static int tell_hopeless(const struct awaited *a)
{
	const struct desk_party *p = find_party(a, is_hopeless);

	if (p == NULL)
		return 0;
	const char *place = p->desk.place, *kind = poc_kind_name(p->desk.kind);
	if (desk_party_step(p) != POC__STEP__STEP_DECLINED)
		return cli_fail(a->duty->cli, STATUS_FAILED,
				tr("not \"%s\" at %s %s, which is not waited for: its sender has closed it"),
				step_name(a->step), place, kind);
	return cli_fail(a->duty->cli, STATUS_FAILED,
			tr("not \"%s\" at %s %s, which is not waited for: that desk has declined it"),
			step_name(a->step), place, kind);
}

static int wait_for(const struct awaited *a)
{
	struct poc *poc = a->duty->poc;
	int status = client_watch(poc, &a->desk->id);
	unsigned connection = client_connection(poc);

	if (status == 0) /* what came between the last look and Watch */
		status = desk_sync(poc, a->desk);
	while (status == 0 && waits_on(a)) {
		bool seen;
		if (client_connection(poc) != connection) {
			status = client_watch(poc, &a->desk->id);
			connection = client_connection(poc);
		}
		if (status != 0)
			break;
		status = client_wait_event(poc, EVENT_WAIT_MS, &seen);
		if (status == STATUS_UNREACHABLE || status == STATUS_TLS) {
			nap();
			client_disconnect(poc);
			status = client_watch(poc, &a->desk->id);
		}
		if (status == 0)
			status = desk_sync(poc, a->desk);
	}
	return status == 0 ? tell_hopeless(a) : duty_fail(a->duty, status);
}

int poc_cmd_notice_status(struct cli *cli)
{
	const char *wanted = cli_value(cli, "wait");
	struct desk_notice *n;
	struct desk *desk;
	struct duty duty;
	Poc__Step step = POC__STEP__STEP_UNSPECIFIED;

	if (wanted != NULL && (!step_parse(wanted, &step) || step > POC__STEP__STEP_CLOSED))
		return cli_fail(
		    cli, STATUS_USAGE,
		    tr("--wait is stored, delivered, acknowledged, accepted, declined, answered or closed"));
	int status = duty_open(cli, &duty);
	if (status != 0)
		return status;
	status = duty_find(&duty, cli->argv[0], &desk, &n);
	if (status == 0 && duty.offline)
		status = cli_fail(cli, STATUS_UNREACHABLE,
				  tr("proofs need a server; poc notice show %s shows what is kept"), cli->argv[0]);
	if (status == 0 && step != 0) {
		const struct awaited awaited = {&duty, desk, n->notice->id, step};
		status = wait_for(&awaited);
	}
	if (status == 0)
		status = show(&duty, desk, n);
	duty_close(&duty);
	return status;
}
