/* Passing notices on, with their proofs: forward and escalate. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/strings.h"
#include "clients/poc/escalated.h"
#include "clients/poc/label.h"
#include "clients/poc/notice.h"
#include "clients/poc/reach.h"
#include "clients/poc/sending.h"
#include "clients/poc/threads.h"
#include "clients/poc/waiting.h"
#include "clients/poc/would.h"
#include "proto/wire/prescan.h"

/* ---- What travels */

/* What the largest body leaves for keys and core of many recipients, and for the form of the CMS. */
enum { KEYS_ROOM = 32 * 1024 };

struct packing {
	struct duty *duty;
	const struct story *story;
	Poc__Inner *inner;
	Poc__NoticeContent *content; /* what is said beside it; gets the story */
};

/* An Inner that goes without its padding, for want of room, is not read by clients that know no padding of a story; so
 * it goes with it where it fits. */
static int pack(const struct packing *p, bool padded, bool alone)
{
	struct refusal *why = (struct refusal *)client_why(p->duty->poc);
	const ProtobufCBinaryData padding = p->inner->padding;
	struct story_with with = {.padding = padded ? 0 : (uint32_t)padding.len, .alone = alone};
	uint8_t *bytes, *packed = NULL;
	size_t size = 0, left_out;

	if (!padded)
		p->inner->padding = (ProtobufCBinaryData){0, NULL};
	int status = message_encode(p->inner, &bytes, &with.size);
	p->inner->padding = padding;
	if (status != 0)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	with.body = bytes;
	status = story_encode(client_head(p->duty->poc), p->story, &with, &packed, &size, &left_out, why);
	free(bytes);
	if (status != 0)
		return status;
	free(p->content->forwarded.data);
	p->content->forwarded = (ProtobufCBinaryData){size, packed};
	if (alone && left_out > 0)
		cli_note(p->duty->cli,
			 tr("for want of room it goes with its own proof, without those of %zu steps after it"),
			 left_out);
	return 0;
}

static bool fits(const struct packing *p, size_t most)
{
	return poc__notice_content__get_packed_size(p->content) <= most;
}

/* The story of a notice with what its body held, as bytes.  0 or a status, not printed. */
static int pack_forwarded(struct duty *duty, const struct desk *desk, const struct desk_notice *of,
			  Poc__NoticeContent *content)
{
	struct packing p = {.duty = duty, .content = content};
	struct story *story = NULL;
	int status = duty->offline ? refuse((struct refusal *)client_why(duty->poc), STATUS_UNREACHABLE, "",
					    "the proofs that go with it need a server")
				   : 0;

	if (status == 0)
		status = duty_open_notice(duty, desk, of, &p.inner);
	if (status == 0)
		status = duty_story(duty, desk, of, &story);
	p.story = story;
	if (status == 0)
		status = pack(&p, true, false);
	if (status == 0 && !fits(&p, CLIENT_CONTENT_MAX))
		status = pack(&p, false, false);
	if (status == 0 && !fits(&p, NOTICE_BODY_MAX - KEYS_ROOM))
		status = pack(&p, false, true);
	story_destroy(story);
	message_free(p.inner);
	return status;
}

/* ---- One notice */

static bool stays_at_desk(const struct desk *desk, const struct client_notice *n)
{
	return n->n_to == 1 && n->to[0].kind == desk->id.kind && strcmp(n->to[0].place, desk->id.place) == 0;
}

/* A private note: among colleagues at its desk it stays one; elsewhere it was not meant to be read, which is asked. */
static int pass_note(struct duty *duty, const struct desk *desk, struct client_notice *n)
{
	char question[200];

	n->urgency = POC__URGENCY__URGENCY_ROUTINE;
	if (stays_at_desk(desk, n)) {
		n->category = POC__CATEGORY__CATEGORY_NOTE;
		return 0;
	}
	if (duty->cli->dry_run)
		return 0;
	snprintf(question, sizeof question,
		 tr("This is a private note of %.64s %s, and would be read elsewhere. Pass it on?"), desk->id.place,
		 poc_kind_name(desk->id.kind));
	return cli_confirm(duty->cli, question);
}

static bool is_desk(const Poc__Desk *desk, const struct client_desk *id)
{
	return desk->kind == id->kind && strcmp(desk->place, id->place) == 0;
}

static bool answers(const Poc__Core *core, const struct notice_id *id)
{
	return core->answers.len == NOTICE_ID_SIZE && memcmp(core->answers.data, id->bytes, NOTICE_ID_SIZE) == 0;
}

/* A notice of ours to that desk by which one was escalated by hand. */
static bool escalates_to(const Poc__Core *core, const struct notice *of, const struct client_desk *to)
{
	for (size_t i = 0; i < core->n_to && escalated_maybe(core, of); i++) {
		if (is_desk(core->to[i], to))
			return true;
	}
	return false;
}

struct escalated {
	const struct notice *of;
	const struct client_desk *to;
	bool found;
};

static void seek_waiting(void *ctx, struct waiting_notice *w)
{
	struct escalated *sought = ctx;

	sought->found = sought->found || (!w->refused && escalates_to(w->notice->core, sought->of, sought->to));
}

/* Whether it was, at any desk of our place, or waits in the outbox to be. */
static bool was_escalated(struct duty *duty, const struct desk_notice *of, const struct client_desk *to)
{
	struct escalated sought = {of->notice, to, false};

	for (size_t i = 0; i < duty->n_desks; i++) {
		const struct desk *desk = duty->desks[i];
		for (size_t j = 0; j < desk->n && !sought.found; j++)
			sought.found =
			    desk->notices[j]->good && escalates_to(desk->notices[j]->notice->core, of->notice, to);
	}
	waiting_walk(duty, seek_waiting, &sought);
	return sought.found;
}

/* As the rules of notices have it of what the server escalates: to who has it already it is a reminder at best. */
static int check_new_desk(struct duty *duty, const struct desk_notice *of, const struct client_desk *to)
{
	const struct desk_party *party = desk_party(of, to->place, to->kind);
	const char *kind = poc_kind_name(to->kind);

	if (party != NULL && party->side == SIDE_FROM)
		return cli_fail(duty->cli, STATUS_INVALID, tr("--to: %s %s is the sender's own desk"), to->place, kind);
	if (party != NULL && desk_party_received(party))
		return cli_fail(duty->cli, STATUS_INVALID, tr("--to: %s %s is a recipient already"), to->place, kind);
	if (was_escalated(duty, of, to))
		return cli_fail(duty->cli, STATUS_INVALID, tr("--to: it was escalated to %s %s already"), to->place,
				kind);
	return 0;
}

static bool anybody_heard(const struct desk_notice *of)
{
	for (size_t i = 0; i < of->n_parties; i++) {
		if (of->parties[i].side != SIDE_FROM && desk_party_heard(&of->parties[i]))
			return true;
	}
	return false;
}

/* What the server will escalate by itself to the same desk goes there all the same. */
static void warn_of_timer(struct duty *duty, const struct desk_notice *of, const struct client_desk *to)
{
	const struct desk_party *party = desk_party(of, to->place, to->kind);

	if (party == NULL || party->side != SIDE_ESCALATION || party->escalates_at <= client_now(duty->poc) ||
	    desk_sender_closed(of) != 0 || anybody_heard(of))
		return;
	cli_note(duty->cli, tr("%s %s gets it twice: it escalates there at %s too, unless acknowledged by then"),
		 to->place, poc_kind_name(to->kind), time_text(party->escalates_at));
}

static int check_new(struct duty *duty, const struct desk_notice *of, const struct client_notice *n)
{
	int status = 0;

	for (size_t i = 0; i < n->n_to && status == 0; i++)
		status = check_new_desk(duty, of, &n->to[i]);
	for (size_t i = 0; i < n->n_to && status == 0; i++)
		warn_of_timer(duty, of, &n->to[i]);
	return status;
}

static int pass_on(struct cli *cli, const char *before, bool escalates)
{
	struct compose compose = {0};
	struct client_notice n = {0};
	struct desk_notice *of;
	struct desk *desk;
	struct duty duty;
	char subject[SENDING_SUBJECT];
	json_t *json = NULL;

	if (!cli_has(cli, "to"))
		return cli_fail(cli, STATUS_USAGE, tr("to whom? --to PLACE"));
	int status = duty_open(cli, &duty);
	if (status != 0)
		return status;
	status = duty_find(&duty, cli->argv[0], &desk, &of);
	if (status == 0 && escalates && of->side != SIDE_FROM)
		status = cli_fail(cli, STATUS_DENIED, tr("only who sent a notice escalates it"));
	if (status == 0 && escalates)
		status = sending_still_open(&duty, of);
	if (status == 0)
		status = sending_follow(&duty, desk, of, &n);
	char *to = cli_joined(cli, "to");
	if (status == 0)
		status = to != NULL ? compose_desks(cli, to, cli_value(cli, "kind"), n.to, NOTICE_DESKS_MAX, &n.n_to)
				    : STATUS_NO_MEMORY;
	free(to);
	if (status == 0 && escalates)
		status = check_new(&duty, of, &n);
	if (status == 0)
		status = label_pass_on(&duty, of, n.to, n.n_to);
	if (status == 0 && desk_is_note(of))
		status = pass_note(&duty, desk, &n);
	if (status == 0) {
		sending_subject(&duty, desk, of, before, subject);
		status = compose_read(&duty, FORM_NOTE, subject, false, &compose);
	}
	if (status == 0) {
		status = pack_forwarded(&duty, desk, of, compose.content);
		if (status != 0)
			duty_fail(&duty, status);
	}
	if (status == 0 && escalates)
		n.category = of->notice->core->category;
	n.content = compose.content;
	if (status == 0)
		status = sending_one(&duty, &n, &json);
	sending_finish(&duty, &compose, json, "poc.notice-send/1", status);
	return status;
}

/* ---- A whole thread
 *
 * One notice for each of its notices, oldest first, to those recipients who lack it: a desk has a notice when each of
 * its present reading keys is among those that the notice, or one in which we passed it on, was encrypted to.  So who
 * was a party from the beginning gets nothing twice, a colleague whose key came later gets what is missing, and the
 * same command said again goes on where it ended. */

struct target {
	struct client_desk desk;
	size_t n_keys;
	struct hash keys[NOTICE_DESK_KEYS_MAX];
};

struct item {
	struct desk *desk;
	struct desk_notice *of;
	int status; /* of opening it */
	bool forwards;
	char why[400];
};

struct passing {
	struct duty *duty;
	const struct notice_id *thread;
	size_t n_to, n_items, n_waiting;
	struct target *to;
	struct item *items;
	struct notice **waiting; /* owned: those in the outbox that pass a notice of the thread on */
	json_t *sent, *left_out;
	size_t n_sent, n_had, n_private, not_tried;
	bool stopped;
	char waits[400]; /* why the last one sent waits in the outbox */
	int worst;
};

static void passing_finish(struct passing *p)
{
	for (size_t i = 0; i < p->n_waiting; i++)
		notice_destroy(p->waiting[i]);
	free(p->waiting);
	free(p->items);
	free(p->to);
	json_decref(p->sent);
	json_decref(p->left_out);
}

static bool desk_reads(const Poc__Desk *desk, const struct client_desk *id, const struct hash *key)
{
	for (size_t i = 0; is_desk(desk, id) && i < desk->n_keys; i++) {
		if (memcmp(desk->keys[i].data, key->bytes, HASH_SIZE) == 0)
			return true;
	}
	return false;
}

static bool core_reads(const Poc__Core *core, const struct client_desk *id, const struct hash *key)
{
	bool reads = desk_reads(core->from, id, key);

	for (size_t i = 0; i < core->n_to && !reads; i++)
		reads = desk_reads(core->to[i], id, key);
	return reads;
}

/* An escalation's desk reads what was released to it. */
static bool notice_reads(const struct desk_notice *n, const struct client_desk *id, const struct hash *key)
{
	const Poc__Core *core = n->notice->core;
	const struct desk_party *party = desk_party(n, id->place, id->kind);

	if (party == NULL || party->side != SIDE_ESCALATION || party->times[POC__STEP__STEP_ESCALATED] == 0)
		return core_reads(core, id, key);
	for (size_t i = 0; i < core->n_escalations; i++) {
		if (desk_reads(core->escalations[i]->to, id, key))
			return true;
	}
	return false;
}

/* Whether we passed it on in this one: any desk of our place did. */
static bool passes_on(const struct item *item, const struct notice_id *id)
{
	const Poc__Core *core = item->of->notice->core;

	return item->forwards && strcmp(core->from->place, item->desk->id.place) == 0 && answers(core, id);
}

static bool key_has(const struct passing *p, const struct item *item, const struct client_desk *desk,
		    const struct hash *key)
{
	const struct notice_id *id = &item->of->notice->id;
	bool has = notice_reads(item->of, desk, key);

	for (size_t i = 0; i < p->n_items && !has; i++)
		has = passes_on(&p->items[i], id) && notice_reads(p->items[i].of, desk, key);
	for (size_t i = 0; i < p->n_waiting && !has; i++)
		has = answers(p->waiting[i]->core, id) && core_reads(p->waiting[i]->core, desk, key);
	return has;
}

static bool lacks(const struct passing *p, const struct item *item, const struct target *target)
{
	for (size_t i = 0; i < target->n_keys; i++) {
		if (!key_has(p, item, &target->desk, &target->keys[i]))
			return true;
	}
	return false;
}

static bool is_note(const struct item *item)
{
	return item->of->notice->core->category == POC__CATEGORY__CATEGORY_NOTE;
}

/* Whether another one stands for it: of what was passed on the notice itself, unless only the one that holds it can be
 * read here. */
static bool stands_for(const struct passing *p, const struct item *item)
{
	const Poc__Core *core = item->of->notice->core;

	for (size_t i = 0; i < p->n_items; i++) {
		const struct item *other = &p->items[i];
		if (item->forwards && answers(core, &other->of->notice->id) &&
		    (other->status == 0 || item->status != 0))
			return true;
		if (item->status != 0 && other->forwards && other->status == 0 &&
		    answers(other->of->notice->core, &item->of->notice->id))
			return true;
	}
	return false;
}

/* ---- What there is */

static int take_targets(struct passing *p, const struct client_desk *desks, size_t n)
{
	p->to = calloc(n + 1, sizeof *p->to);
	if (p->to == NULL)
		return cli_fail(p->duty->cli, STATUS_NO_MEMORY, tr("out of memory"));
	for (; p->n_to < n; p->n_to++) {
		struct target *target = &p->to[p->n_to];
		target->desk = desks[p->n_to];
		int status =
		    client_desk_keys(p->duty->poc, CLIENT_ONLINE, &target->desk, target->keys, &target->n_keys);
		if (status != 0)
			return duty_fail(p->duty, status);
	}
	return 0;
}

/* Of one that cannot be read: what our place sent about a notice of the thread to those who were no part of that, it
 * passed on to them. */
static bool looks_passed_on(const struct passing *p, const struct item *item)
{
	const Poc__Core *core = item->of->notice->core;

	if (!item->of->good || strcmp(core->from->place, item->desk->id.place) != 0 ||
	    core->category == POC__CATEGORY__CATEGORY_NOTE)
		return false;
	for (size_t i = 0; i < p->n_items; i++) {
		bool part = !answers(core, &p->items[i].of->notice->id);
		for (size_t j = 0; j < core->n_to && !part; j++)
			part = desk_party(p->items[i].of, core->to[j]->place, core->to[j]->kind) != NULL;
		if (!part)
			return true;
	}
	return false;
}

static int take_items(struct passing *p)
{
	struct thread_member *members;
	int status = threads_members(p->duty, p->thread, &members, &p->n_items);

	p->items = status == 0 ? calloc(p->n_items + 1, sizeof *p->items) : NULL;
	if (p->items == NULL) {
		free(members);
		p->n_items = 0;
		return cli_fail(p->duty->cli, STATUS_NO_MEMORY, tr("out of memory"));
	}
	for (size_t i = 0; i < p->n_items; i++) {
		struct item *item = &p->items[i];
		Poc__Inner *inner = NULL;
		item->desk = members[i].desk;
		item->of = members[i].notice;
		item->status = duty_open_notice(p->duty, item->desk, item->of, &inner);
		if (item->status != 0)
			snprintf(item->why, sizeof item->why, "%s", client_why(p->duty->poc)->message);
		item->forwards = inner != NULL && inner->content->forwarded.len > 0;
		message_free(inner);
	}
	for (size_t i = 0; i < p->n_items; i++)
		p->items[i].forwards =
		    p->items[i].forwards || (p->items[i].status != 0 && looks_passed_on(p, &p->items[i]));
	free(members);
	return 0;
}

static void take_waiting(void *ctx, struct waiting_notice *w)
{
	struct passing *p = ctx;
	struct notice **grown;

	if (w->refused || w->inner == NULL || w->inner->content->forwarded.len == 0 ||
	    memcmp(w->notice->thread.bytes, p->thread->bytes, NOTICE_ID_SIZE) != 0)
		return;
	grown = realloc(p->waiting, (p->n_waiting + 1) * sizeof(struct notice *));
	if (grown == NULL)
		return;
	p->waiting = grown;
	p->waiting[p->n_waiting++] = w->notice;
	w->notice = NULL;
}

/* ---- One of it */

static void leave_out(struct passing *p, const struct item *item, int status, const char *why)
{
	char id[NOTICE_ID_TEXT];

	duty_id(&item->of->notice->id, id);
	p->worst = sending_worst(p->worst, status);
	cli_alert(p->duty->cli, tr("%s, of %s, is not passed on: %s"), id, time_text(item->of->notice->core->created),
		  why);
	json_array_append_new(p->left_out, json_pack("{s:s,s:s,s:i,s:s}", "id", id, "code", status_name(status),
						     "exit_status", status_exit(status), "message", why));
}

/* Whether it may go on with the next one: what this one has of its own hinders no other. */
static bool its_own(int status)
{
	return status == STATUS_DENIED || status == STATUS_UNVERIFIED || status == STATUS_NOT_FOUND ||
	       status == STATUS_TOO_LARGE || status == STATUS_INVALID;
}

static void tell_sent(struct passing *p, const struct item *item, const struct client_notice *n, int64_t stored_ms)
{
	char id[NOTICE_ID_TEXT], of[NOTICE_ID_TEXT];

	duty_id(&n->id, id);
	duty_id(&item->of->notice->id, of);
	if (p->duty->cli->json) {
		json_t *one = sending_json(p->duty, n, stored_ms);
		json_object_set_new(one, "forwards", json_string(of));
		json_array_append_new(p->sent, one);
		return;
	}
	if (p->n_sent == 0)
		duty_exercise_line(item->of->notice);
	if (stored_ms != 0)
		cli_line(tr("%s  stored %s, holds %s"), id, time_text(stored_ms / 1000), of);
	else
		cli_line(tr("%s  in the outbox, not stored yet, holds %s"), id, of);
}

/* Sends it, or says what would be sent.  0 or a status, not printed. */
static int send_item(struct passing *p, const struct item *item, const struct client_notice *n)
{
	struct duty *duty = p->duty;
	json_t *json = NULL;
	int64_t stored_ms;

	if (duty->cli->dry_run) {
		char of[NOTICE_ID_TEXT];
		int status = sending_try(duty, n, &json);
		duty_id(&item->of->notice->id, of);
		if (json != NULL) {
			json_object_set_new(json, "forwards", json_string(of));
			json_array_append_new(p->sent, json);
		}
		return status;
	}
	int status = sending_post(duty, n, &stored_ms);
	snprintf(p->waits, sizeof p->waits, "%s", client_why(duty->poc)->message);
	if (status == 0 || status == STATUS_QUEUED)
		tell_sent(p, item, n, stored_ms);
	return status;
}

/* Empties a text, which may be the constant "" of a message that has none. */
static void cut(char *text)
{
	if (text[0] != '\0')
		text[0] = '\0';
}

/* to has the recipients.  The word before it goes with the first one. */
static int pass_item(struct passing *p, const struct item *item, const struct client_notice *to)
{
	struct client_notice n = {0};
	struct compose compose = {0};
	char subject[SENDING_SUBJECT];
	int status = sending_follow(p->duty, item->desk, item->of, &n);

	n.n_to = to->n_to;
	memcpy(n.to, to->to, sizeof n.to);
	if (is_note(item)) { /* among colleagues it stays what it is */
		n.category = POC__CATEGORY__CATEGORY_NOTE;
		n.urgency = POC__URGENCY__URGENCY_ROUTINE;
	}
	if (status == 0) {
		sending_subject(p->duty, item->desk, item->of, "Fwd:", subject);
		status = compose_read(p->duty, FORM_NOTE, subject, false, &compose);
	}
	if (status != 0) { /* printed: of no single one of them */
		p->stopped = true;
		p->worst = status;
		compose_finish(p->duty->cli, &compose, status);
		return status;
	}
	if (p->n_sent > 0)
		cut(compose.content->text);
	status = pack_forwarded(p->duty, item->desk, item->of, compose.content);
	n.content = compose.content;
	if (status == 0)
		status = send_item(p, item, &n);
	compose_finish(p->duty->cli, &compose, status);
	if (status == 0 || status == STATUS_QUEUED) {
		p->n_sent++;
		p->worst = sending_worst(p->worst, status);
		p->stopped = status == STATUS_QUEUED;
		if (p->stopped)
			cli_alert(p->duty->cli, "%s", p->waits);
	} else {
		p->stopped = !its_own(status);
		leave_out(p, item, status, client_why(p->duty->poc)->message);
	}
	return status;
}

/* Who is to get it. */
static void take_lacking(const struct passing *p, const struct item *item, struct client_notice *to, bool *lacking,
			 bool *withheld)
{
	*lacking = *withheld = false;
	for (size_t i = 0; i < p->n_to; i++) {
		if (!lacks(p, item, &p->to[i]))
			continue;
		*lacking = true;
		if (is_note(item) && !is_desk(item->of->notice->core->from, &p->to[i].desk))
			*withheld = true;
		else
			to->to[to->n_to++] = p->to[i].desk;
	}
}

/* Asked once, of the first that its label keeps from one who is to get it: whoever passes on one of a thread passes on
 * what is said about it. */
static int confirm_labels(struct passing *p)
{
	for (size_t i = 0; i < p->n_items; i++) {
		const struct item *item = &p->items[i];
		struct client_notice to = {0};
		bool lacking, withheld, excluded = false;
		take_lacking(p, item, &to, &lacking, &withheld);
		for (size_t j = 0; j < to.n_to; j++)
			excluded = excluded || label_excludes(item->of, &to.to[j]);
		if (excluded && item->status == 0 && !stands_for(p, item))
			return label_pass_on(p->duty, item->of, to.to, to.n_to);
	}
	return 0;
}

static void consider(struct passing *p, const struct item *item)
{
	struct client_notice to = {0};
	bool lacking, withheld;

	take_lacking(p, item, &to, &lacking, &withheld);
	if (stands_for(p, item))
		return;
	p->n_private += withheld;
	p->n_had += !lacking;
	if (to.n_to == 0)
		return;
	if (p->stopped) {
		p->not_tried++;
	} else if (item->status != 0) {
		p->stopped = !its_own(item->status);
		leave_out(p, item, item->status, item->why);
	} else {
		pass_item(p, item, &to);
	}
}

/* ---- The end of it */

static void tell_end(struct passing *p)
{
	struct cli *cli = p->duty->cli;
	char id[NOTICE_ID_TEXT];

	duty_id(p->thread, id);
	if (cli->json)
		cli_document(cli, cli->schema,
			     json_pack("{s:s,s:O,s:O,s:I,s:I,s:I,s:b}", "thread", id, "notices", p->sent, "left_out",
				       p->left_out, "had", (json_int_t)p->n_had, "private", (json_int_t)p->n_private,
				       "not_tried", (json_int_t)p->not_tried, "dry_run", (int)cli->dry_run));
	else if (p->n_sent == 0 && p->worst == 0)
		cli_line(tr("nothing to pass on: they have all of the thread that can be passed on"));
	for (size_t i = 0; i < p->n_to && p->n_sent > 0 && !cli->json && !cli->dry_run; i++)
		reach_tell(p->duty, &p->to[i].desk, false, NULL);
	if (p->n_had > 0 && p->n_sent > 0)
		cli_note(cli, tr("%zu of the thread they have already"), p->n_had);
	if (p->n_private > 0)
		cli_note(cli,
			 p->n_private == 1 ? tr("1 private note of the thread stays with its desk")
					   : tr("%zu private notes of the thread stay with their desk"),
			 p->n_private);
	if (p->not_tried > 0)
		cli_alert(cli,
			  p->not_tried == 1
			      ? tr("1 more of the thread was not tried: the same command goes on with it")
			      : tr("%zu more of the thread were not tried: the same command goes on with them"),
			  p->not_tried);
	if (cli->dry_run)
		would_end(p->duty);
	cli->failed = cli->failed || p->worst != 0;
}

static int pass_thread_on(struct passing *p, const struct client_desk *desks, size_t n)
{
	struct client_notice whom = {.n_to = n};

	memcpy(whom.to, desks, n * sizeof *desks);
	int status = sending_check(p->duty, &whom);
	if (status == 0)
		status = take_targets(p, desks, n);
	if (status == 0)
		status = take_items(p);
	if (status != 0)
		return status;
	waiting_walk(p->duty, take_waiting, p);
	if ((status = confirm_labels(p)) != 0)
		return status;
	sending_warn(p->duty, &whom);
	p->duty->cli->collecting = true; /* one document for all */
	for (size_t i = 0; i < p->n_items; i++)
		consider(p, &p->items[i]);
	tell_end(p);
	return p->worst;
}

static int forward_thread(struct cli *cli)
{
	struct client_desk desks[NOTICE_DESKS_MAX];
	struct desk_notice *of;
	struct desk *desk;
	struct duty duty;
	size_t n = 0;
	char *to = cli_joined(cli, "to");
	int status = to != NULL ? compose_desks(cli, to, cli_value(cli, "kind"), desks, NOTICE_DESKS_MAX, &n)
				: cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));

	free(to);
	if (status == 0)
		status = duty_open(cli, &duty);
	if (status != 0)
		return status;
	status = duty_find(&duty, cli->argv[0], &desk, &of);
	if (status == 0 && duty.offline)
		status = cli_fail(cli, STATUS_UNREACHABLE, tr("the proofs that go with it need a server"));
	if (status == 0) {
		struct passing p = {
		    .duty = &duty, .thread = &of->notice->thread, .sent = json_array(), .left_out = json_array()};
		status = pass_thread_on(&p, desks, n);
		passing_finish(&p);
	}
	duty_close(&duty);
	return status;
}

/* ---- Commands */

int poc_cmd_notice_forward(struct cli *cli)
{
	return cli_has(cli, "thread") && cli_has(cli, "to") ? forward_thread(cli) : pass_on(cli, "Fwd:", false);
}

int poc_cmd_notice_escalate(struct cli *cli)
{
	return pass_on(cli, ESCALATED_SUBJECT, true);
}
