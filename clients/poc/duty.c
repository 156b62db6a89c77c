#include "clients/poc/duty.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/cli/strings.h"
#include "clients/libpoc/content.h"
#include "pocd/base/ini.h"
#include "proto/wire/prescan.h"

enum { ANCHOR_WAIT_MS = 3000, POLL_MS = 200 };

static bool unreached(int status)
{
	return status == STATUS_UNREACHABLE || status == STATUS_TLS;
}

int duty_fail(struct duty *duty, int status)
{
	return link_fail(duty->cli, duty->poc, status);
}

json_t *duty_error_json(const struct duty *duty, int status)
{
	return json_pack("{s:s,s:i,s:s}", "code", status_name(status), "exit_status", status_exit(status), "message",
			 client_why(duty->poc)->message);
}

/* ---- Opening */

static int open_keys(struct duty *duty)
{
	return duty->cli->conf.reading.n == 0
		   ? 0
		   : link_keys_open(duty->cli, &duty->cli->conf.reading, "notices", &duty->keys);
}

int duty_open_sender(struct cli *cli, struct duty *out)
{
	*out = (struct duty){.cli = cli, .offline = cli->offline};
	if (cli->conf.key[0] == '\0' && cli->conf.id[0] != '\0')
		return cli_fail(cli, STATUS_DENIED, tr("%s names no user key; poc setup INVITE makes one"),
				cli->conf.path);
	int status = link_open(cli, !cli->offline, &out->poc);

	if (status == 0)
		status = open_keys(out);
	if (status != 0)
		duty_close(out);
	return status;
}

void duty_close(struct duty *duty)
{
	for (size_t i = 0; i < duty->n_desks; i++)
		desk_close(duty->desks[i]);
	link_keys_close(&duty->keys);
	if (duty->cli != NULL)
		link_close(duty->cli, duty->poc);
	*duty = (struct duty){0};
}

struct telling {
	struct duty *duty;
	size_t sent;
};

/* What it is, without its id: NULL of a damaged one. */
static const char *kind_of(const struct outbox_result *result)
{
	if (result->is_notice)
		return tr("notice");
	return result->step != 0 ? step_name(result->step) : NULL;
}

static void mark_of(const struct outbox_result *result, char out[80])
{
	out[0] = '\0';
	if (result->exercise[0] != '\0')
		snprintf(out, 80, tr("EXERCISE %s: "), result->exercise);
}

void duty_what(const struct outbox_result *result, char out[DUTY_WHAT])
{
	char id[NOTICE_ID_TEXT];
	const char *kind = kind_of(result);

	notice_id_print(&result->id, id);
	snprintf(out, DUTY_WHAT, "%s %s", kind != NULL ? kind : tr("damaged file"), kind != NULL ? id : result->name);
}

static void tell(void *ctx, const struct outbox_result *result)
{
	struct telling *telling = ctx;
	char what[DUTY_WHAT], mark[80];

	duty_what(result, what);
	mark_of(result, mark);
	if (result->status == 0) {
		telling->sent++;
		cli_note(telling->duty->cli, tr("%ssent from the outbox: %s"), mark, what);
	} else if (result->waits) { /* of a server that is not reached the command speaks itself */
		if (result->status != STATUS_QUEUED)
			cli_note(telling->duty->cli, tr("%sstill in the outbox, not taken for now: %s: %s"), mark, what,
				 result->message);
	} else {
		cli_alert(telling->duty->cli, tr("%srefused, and set aside in the outbox: %s: %s"), mark, what,
			  result->message);
	}
}

int duty_flush(struct duty *duty, size_t *sent, size_t *waiting)
{
	struct telling telling = {duty, 0};
	size_t left = outbox_waiting(duty->poc);
	int status =
	    duty->cli->dry_run ? 0 : outbox_flush(duty->poc, duty->keys.keys, duty->keys.n, tell, &telling, &left);

	if (sent != NULL)
		*sent = telling.sent;
	if (waiting != NULL)
		*waiting = left;
	return status;
}

/* Which desks we have: by U; without network and copy, those that the state folder knows. */
static int list_desks(struct duty *duty, struct client_desk out[DUTY_DESKS], size_t *n)
{
	int status = STATUS_UNREACHABLE;

	if (!duty->offline) {
		status = client_own_desks(duty->poc, CLIENT_ONLINE, out, n);
		if (!unreached(status) || duty->cli->insist)
			return status == 0 ? 0 : duty_fail(duty, status);
		duty->offline = true;
		cli_note(duty->cli, tr("%s: showing what is kept here"), client_why(duty->poc)->message);
	}
	if (client_own_desks(duty->poc, CLIENT_OFFLINE, out, n) == 0)
		return 0;
	for (*n = 0; *n < DUTY_DESKS; (*n)++) {
		snprintf(out[*n].place, sizeof out[*n].place, "%s", conf_place(&duty->cli->conf));
		out[*n].kind = (Poc__PocKind)(*n + 1);
	}
	return 0;
}

static int open_desk(struct duty *duty, const struct client_desk *id)
{
	struct desk *desk;
	int status = desk_open(duty->poc, id, &desk);

	if (status == 0)
		duty->desks[duty->n_desks++] = desk;
	if (status == 0 && !duty->offline)
		status = desk_sync(duty->poc, desk);
	if (status == 0 && desk->lost)
		cli_note(duty->cli,
			 tr("the directory does not know any more what %s %s was told last: it was restored from an "
			    "older copy. What is kept here stays, what is new is added"),
			 id->place, poc_kind_name(id->kind));
	if (status == 0 && desk->bad > 0)
		cli_note(duty->cli,
			 tr("%zu entries of the feed of %s %s do not verify; they are kept, and move nothing"),
			 desk->bad, id->place, poc_kind_name(id->kind));
	return status == 0 ? 0 : duty_fail(duty, status);
}

int duty_open(struct cli *cli, struct duty *out)
{
	struct client_desk desks[DUTY_DESKS];
	size_t n = 0;
	int status = duty_open_sender(cli, out);

	if (status != 0)
		return status;
	status = list_desks(out, desks, &n);
	if (status == 0 && !out->offline && outbox_waiting(out->poc) > 0)
		duty_flush(out, NULL, NULL);
	for (size_t i = 0; i < n && status == 0; i++)
		status = open_desk(out, &desks[i]);
	if (status != 0)
		duty_close(out);
	return status;
}

/* ---- Finding */

static bool better(const struct desk *desk, const struct desk_notice *notice, const struct desk *held,
		   const struct desk_notice *held_notice)
{
	return desk_own_party(held, held_notice) == NULL && desk_own_party(desk, notice) != NULL;
}

struct sought {
	const char *prefix;
	bool refused;
	char why[512];
	int64_t since; /* of what waits; 0: nothing does */
};

static void seek(void *ctx, const struct outbox_result *result)
{
	struct sought *sought = ctx;

	if (!result->is_notice || !notice_id_matches(&result->id, sought->prefix))
		return;
	snprintf(sought->why, sizeof sought->why, "%s", result->message);
	sought->refused = sought->refused || !result->waits;
	sought->since = result->waits ? result->since : 0;
}

/* Says why it is not there: perhaps it was never sent. */
static int not_found(struct duty *duty, const char *prefix)
{
	struct sought sought = {.prefix = prefix};

	outbox_refused(duty->poc, seek, &sought);
	if (sought.refused)
		return cli_fail(duty->cli, STATUS_NOT_FOUND,
				tr("notice %s was refused, and not sent: %s (poc notice show has what it says)"),
				prefix, sought.why);
	outbox_list(duty->poc, seek, &sought);
	if (sought.since != 0)
		return cli_fail(duty->cli, STATUS_NOT_FOUND,
				tr("notice %s waits in the outbox since %s, and is not stored yet%s%s"), prefix,
				time_text(sought.since), sought.why[0] != '\0' ? ": " : "", sought.why);
	return cli_fail(duty->cli, STATUS_NOT_FOUND, tr("no notice of ours has the id %s%s"), prefix,
			strlen(prefix) < 4 ? tr(" (give at least four characters)") : "");
}

int duty_find(struct duty *duty, const char *prefix, struct desk **desk, struct desk_notice **notice)
{
	bool several = false;

	*notice = NULL;
	for (size_t i = 0; i < duty->n_desks; i++) {
		for (size_t j = 0; j < duty->desks[i]->n; j++) {
			struct desk_notice *each = duty->desks[i]->notices[j];
			if (!notice_id_matches(&each->notice->id, prefix))
				continue;
			bool same = *notice != NULL &&
				    memcmp(each->notice->id.bytes, (*notice)->notice->id.bytes, NOTICE_ID_SIZE) == 0;
			several = several || (*notice != NULL && !same);
			if (*notice == NULL || (same && better(duty->desks[i], each, *desk, *notice))) {
				*desk = duty->desks[i];
				*notice = each;
			}
		}
	}
	if (several)
		return cli_fail(duty->cli, STATUS_USAGE, tr("\"%s\" is the start of several ids: give more of it"),
				prefix);
	if (*notice == NULL)
		return not_found(duty, prefix);
	return 0;
}

int duty_desks(struct duty *duty, const char *prefix, Poc__PocKind kind, struct duty_at out[DUTY_DESKS], size_t *n)
{
	struct desk *best = NULL;
	struct desk_notice *notice;
	int status = duty_find(duty, prefix, &best, &notice);

	*n = 0;
	if (status != 0 || notice == NULL)
		return status;
	const struct notice_id *id = &notice->notice->id;
	const bool received = desk_own_party(best, notice) != NULL;
	for (size_t i = 0; i < duty->n_desks; i++) {
		struct desk *desk = duty->desks[i];
		struct desk_notice *known = desk_find(desk, id);
		if (known != NULL && (kind != 0  ? desk->id.kind == kind
				      : received ? desk_own_party(desk, known) != NULL
						 : desk == best))
			out[(*n)++] = (struct duty_at){desk, known};
	}
	return *n > 0 ? 0
		      : cli_fail(duty->cli, STATUS_NOT_FOUND, tr("no %s desk of ours has the notice %s"),
				 poc_kind_name(kind), prefix);
}

int duty_kind(struct cli *cli, Poc__PocKind *out)
{
	const char *text = cli_value(cli, "kind");

	*out = 0;
	return text == NULL || poc_kind_parse(text, out)
		   ? 0
		   : cli_fail(cli, STATUS_USAGE, tr("--kind is technical, diplomatic or coordinator"));
}

static bool desk_has(const Poc__Desk *desk, const struct hash *id)
{
	for (size_t i = 0; i < desk->n_keys; i++) {
		if (memcmp(desk->keys[i].data, id->bytes, HASH_SIZE) == 0)
			return true;
	}
	return false;
}

/* Whether the notice was encrypted to a key of ours: which is asked before its body is, for that is delivery. */
static bool is_for(const Poc__Core *core, const struct hash *id)
{
	bool found = desk_has(core->from, id);

	for (size_t i = 0; i < core->n_to && !found; i++)
		found = desk_has(core->to[i], id);
	for (size_t i = 0; i < core->n_escalations && !found; i++)
		found = desk_has(core->escalations[i]->to, id);
	return found;
}

static const struct keystore_key *key_for(const struct duty *duty, const struct notice *notice)
{
	for (size_t i = 0; i < duty->keys.n; i++) {
		if (is_for(notice->core, &keystore_public(duty->keys.keys[i])->id))
			return duty->keys.keys[i];
	}
	return NULL;
}

int duty_open_notice(struct duty *duty, const struct desk *desk, const struct desk_notice *notice, Poc__Inner **inner)
{
	struct refusal *why = (struct refusal *)client_why(duty->poc);
	uint8_t *body;
	size_t size;

	*inner = NULL;
	if (!notice->good)
		return refuse(why, STATUS_UNVERIFIED, "", "its signature does not verify: it is not opened");
	const struct keystore_key *key = key_for(duty, notice->notice);
	if (key == NULL)
		return refuse(why, STATUS_DENIED, "",
			      "no reading key of ours opens it: it was not encrypted to any of them");
	int status = desk_body(duty->poc, desk, notice, duty->offline, &body, &size);
	if (status != 0)
		return status;
	status = notice_open(notice->notice, body, size, key, inner, why);
	free(body);
	return status;
}

static void nap(void)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};

	nanosleep(&pause, NULL);
}

int duty_story(struct duty *duty, const struct desk *desk, const struct desk_notice *notice, struct story **out)
{
	for (int waited = 0;; waited += POLL_MS) {
		int status = client_story(duty->poc, &desk->id, &notice->notice->id, out);
		if (status != 0 || (*out)->unproven == 0 || waited >= ANCHOR_WAIT_MS)
			return status;
		story_destroy(*out);
		*out = NULL;
		nap();
	}
}

/* ---- Looks */

void duty_id(const struct notice_id *id, char out[NOTICE_ID_TEXT])
{
	notice_id_print(id, out);
}

void duty_exercise_line(const struct notice *notice)
{
	if (notice->core->exercise[0] != '\0')
		cli_line(tr("*** EXERCISE %s *** EXERCISE *** EXERCISE ***"), notice->core->exercise);
}

void duty_marks(const struct desk *desk, const struct desk_notice *notice, bool overdue, char out[DUTY_MARKS])
{
	const char *exercise = notice->notice->core->exercise;

	snprintf(out, DUTY_MARKS, "%s%s%s%s%s%s", exercise[0] != '\0' ? tr("EXERCISE ") : "", exercise,
		 exercise[0] != '\0' ? ": " : "", notice->good ? "" : tr("NOT VERIFIED "),
		 overdue ? tr("OVERDUE ") : "",
		 desk != NULL && desk_closed_unseen(desk, notice) ? tr("CLOSED BY SENDER ") : "");
}

char *duty_recipients(const struct notice *notice)
{
	const Poc__Core *core = notice->core;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < core->n_to; i++)
		fprintf(out, "%s%s %s", i > 0 ? ", " : "", core->to[i]->place, poc_kind_name(core->to[i]->kind));
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

const char *duty_disclaimer(void)
{
	return tr("A receipt implies neither agreement with the notice nor responsibility for the incident.");
}

static bool read_time(const struct duty *duty, const char *text, int64_t *out)
{
	uint64_t span;

	if (time_from_text(text, out) == 0)
		return true;
	if (!ini_duration_ms(text, &span) || span < 1000)
		return false;
	*out = client_now(duty->poc) + (int64_t)(span / 1000);
	return true;
}

int duty_deadline(const struct duty *duty, const char *flag, const char *text, int64_t *out)
{
	int64_t now = client_now(duty->poc);

	if (!read_time(duty, text, out))
		return cli_fail(duty->cli, STATUS_USAGE, tr("--%s takes 24h, or a time like 2026-11-24T12:00:00Z"),
				flag);
	if (*out <= now)
		return cli_fail(duty->cli, STATUS_INVALID, tr("--%s lies in the past: %s"), flag, text);
	if (*out - now > NOTICE_AHEAD_MAX)
		return cli_fail(duty->cli, STATUS_INVALID, tr("--%s lies more than ten years ahead: %s"), flag, text);
	return 0;
}

static json_t *time_json(int64_t seconds)
{
	return seconds != 0 ? json_string(time_text(seconds)) : json_null();
}

static json_t *id_json(const uint8_t *bytes)
{
	struct notice_id id;
	char text[NOTICE_ID_TEXT];

	memcpy(id.bytes, bytes, NOTICE_ID_SIZE);
	notice_id_print(&id, text);
	return json_string(text);
}

/* The reference that the other side gave: of the notice that this one answers, if we have it; our own is the sender's.
 */
static void references(const struct desk_notice *notice, const Poc__Inner *inner, json_t *out)
{
	const char *reference = inner != NULL ? inner->content->our_reference : "";
	bool sent = notice->side == SIDE_FROM;

	json_object_set_new(out, "our_ref", sent ? json_string(reference) : json_string(""));
	json_object_set_new(out, "their_ref", sent ? json_string("") : json_string(reference));
}

struct parties duty_parties(const struct duty *duty, const struct desk_notice *notice)
{
	return (struct parties){notice, duty->desks, duty->n_desks, client_now(duty->poc)};
}

json_t *duty_notice_json(const struct duty *duty, const struct desk *desk, const struct desk_notice *notice,
			 const Poc__Inner *inner)
{
	const Poc__Core *core = notice->notice->core;
	const struct parties parties = duty_parties(duty, notice);
	json_t *to = json_array();

	for (size_t i = 0; i < core->n_to; i++)
		json_array_append_new(to, json_string(core->to[i]->place));
	json_t *out = json_pack(
	    "{s:o,s:o,s:s,s:s,s:s,s:o,s:s,s:s,s:s,s:o,s:o,s:o,s:b,s:s,s:o,s:o,s:b,s:o}", "id", id_json(core->id.data),
	    "thread", id_json(core->thread.data), "from", core->from->place, "from_kind",
	    poc_kind_name(core->from->kind), "handle", core->handle, "to", to, "category",
	    category_name(core->category), "urgency", urgency_name(core->urgency), "tlp", notice_tlp_name(core->tlp),
	    "subject", inner != NULL ? json_string(inner->content->subject) : json_null(), "created",
	    time_json(core->created), "reply_by", time_json(core->reply_by), "overdue",
	    desk_overdue(desk, notice, client_now(duty->poc)), "step", step_name(desk_step(desk, notice)), "taken_by",
	    notice->taken_by[0] != '\0' ? json_string(notice->taken_by) : json_null(), "exercise",
	    core->exercise[0] != '\0' ? json_string(core->exercise) : json_null(), "verified", (int)notice->good,
	    "recipients", parties_json(&parties, false));
	json_object_set_new(out, "desk",
			    json_pack("{s:s,s:s}", "place", desk->id.place, "kind", poc_kind_name(desk->id.kind)));
	json_object_set_new(out, "activity", time_json(desk_activity(notice)));
	json_object_set_new(out, "open", json_boolean(desk_is_open(desk, notice)));
	json_object_set_new(out, "closed_by_sender", json_boolean(desk_sender_closed(notice) != 0));
	if (core->answers.len > 0)
		json_object_set_new(out, "answers", id_json(core->answers.data));
	references(notice, inner, out);
	return out;
}
