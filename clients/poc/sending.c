#include "clients/poc/sending.h"

#include <stdio.h>
#include <string.h>

#include "clients/cli/strings.h"
#include "clients/libpoc/known.h"
#include "clients/poc/reach.h"
#include "clients/poc/waiting.h"
#include "clients/poc/would.h"
#include "proto/wire/prescan.h"
#include "proto/wire/utf8.h"

enum { SUBJECT_CHARACTERS = 200 };

/* ---- What came of it */

int sending_worst(int worst, int status)
{
	return status != 0 && (worst == 0 || worst == STATUS_QUEUED) ? status : worst;
}

/* To nobody but the own desk: nobody is to be called. */
static bool is_note(const struct client_notice *n)
{
	return n->category == POC__CATEGORY__CATEGORY_NOTE;
}

struct kept {
	const struct notice_id *id;
	json_t *json;
};

static void note_kept(void *ctx, const struct outbox_result *result)
{
	const struct kept *kept = ctx;

	if (!result->is_notice || memcmp(result->id.bytes, kept->id->bytes, NOTICE_ID_SIZE) != 0)
		return;
	json_object_set_new(kept->json, "code", waiting_code(result->status, result->message));
	json_object_set_new(kept->json, "message", json_string(result->message));
}

void sending_put_why(struct duty *duty, const struct notice_id *id, bool waits, uint32_t retry_ms, json_t *json)
{
	struct kept kept = {id, json};

	json_object_set_new(json, "code", json_null());
	json_object_set_new(json, "message", json_null());
	json_object_set_new(json, "retry", waits && retry_ms > 1 ? json_integer((retry_ms + 999) / 1000) : json_null());
	if (waits)
		outbox_list(duty->poc, note_kept, &kept);
}

json_t *sending_json(struct duty *duty, const struct client_notice *n, int64_t stored_ms)
{
	char id[NOTICE_ID_TEXT], thread[NOTICE_ID_TEXT];
	json_t *reach = json_array(), *later = json_array();
	const uint32_t retry_ms = client_why(duty->poc)->retry_ms; /* before anything is looked up */

	duty_id(&n->id, id);
	duty_id(&n->thread, thread);
	for (size_t i = 0; i < n->n_to && !is_note(n); i++)
		reach_tell(duty, &n->to[i], false, reach);
	for (size_t i = 0; i < n->n_escalations; i++)
		reach_tell(duty, &n->escalations[i].to, false, later);
	json_t *json = json_pack("{s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:o}", "id", id, "thread", thread, "from", n->from.place,
				 "from_kind", poc_kind_name(n->from.kind), "stored",
				 stored_ms != 0 ? json_string(time_text(stored_ms / 1000)) : json_null(), "exercise",
				 n->exercise[0] != '\0' ? json_string(n->exercise) : json_null(), "recipients", reach,
				 "escalations", later);
	if (json != NULL)
		sending_put_why(duty, &n->id, stored_ms == 0, retry_ms, json);
	return json;
}

static void print_sent(struct duty *duty, const struct client_notice *n, int64_t stored_ms)
{
	char id[NOTICE_ID_TEXT];

	duty_id(&n->id, id);
	if (n->exercise[0] != '\0')
		cli_line(tr("*** EXERCISE %s *** EXERCISE *** EXERCISE ***"), n->exercise);
	if (stored_ms != 0)
		cli_line(tr("%s  stored %s"), id, time_text(stored_ms / 1000));
	else
		cli_line(tr("%s  in the outbox, not stored yet"), id);
	for (size_t i = 0; i < n->n_to && !is_note(n); i++)
		reach_tell(duty, &n->to[i], false, NULL);
	for (size_t i = 0; i < n->n_escalations; i++)
		reach_tell(duty, &n->escalations[i].to, true, NULL);
}

/* Without the network what is known may be old, and is the server's to judge. */
static int check_place(struct duty *duty, const char *place)
{
	const int status = duty->offline ? 0 : reach_record(duty, place);

	if (status == STATUS_NOT_FOUND)
		return cli_fail(duty->cli, status, tr("there is no record of %s: nothing can be sent there"), place);
	if (status == STATUS_WITHDRAWN)
		return cli_fail(duty->cli, status, tr("the record of %s is withdrawn: nothing can be sent there"),
				place);
	return 0;
}

int sending_check(struct duty *duty, const struct client_notice *n)
{
	int status = 0;

	for (size_t i = 0; i < n->n_to && status == 0 && !is_note(n); i++)
		status = check_place(duty, n->to[i].place);
	for (size_t i = 0; i < n->n_escalations && status == 0; i++)
		status = check_place(duty, n->escalations[i].to.place);
	return status;
}

/* The notice is good without, and the answer to it is not taken. */
static void warn_of_own(struct duty *duty, const struct client_notice *n)
{
	if (duty->told_own || n->from.place[0] == '\0' || is_note(n))
		return;
	const int status = reach_record(duty, n->from.place);
	duty->told_own = true;
	if (status == STATUS_NOT_FOUND || status == STATUS_WITHDRAWN)
		cli_note(
		    duty->cli,
		    tr("%s has no record: nobody can answer this notice, nor send one there, until it is published"),
		    n->from.place);
}

/* The keys cost nothing where none were ever compared; a lookup that fails is no reason not to send. */
void sending_warn(struct duty *duty, const struct client_notice *n)
{
	struct known known;

	warn_of_own(duty, n);
	for (size_t i = 0; i < n->n_to; i++) {
		struct client_record record = {0};
		struct name name;
		if (!place_parse(n->to[i].place, &name) ||
		    known_find(client_state_dir(duty->poc), name.state, &known, NULL) == STATUS_NOT_FOUND)
			continue;
		client_lookup(duty->poc, duty->offline ? CLIENT_OFFLINE : CLIENT_ONLINE, &name, NULL, 0, &record);
		const struct poc_verdict *v = &record.verdict;
		if (v->keys == POC_KEYS_CHANGED)
			cli_note(duty->cli,
				 tr("KEYS CHANGED: %s: its authority keys are not those that were verified on %s: "
				    "compare them again, by telephone (poc key show %s, poc key verified %s)"),
				 n->to[i].place, time_text(v->keys_verified), name.state, name.state);
		else if (v->keys == POC_KEYS_UNKNOWN)
			cli_note(duty->cli,
				 tr("which authority keys were verified cannot be read any more; poc key show "
				    "says why"));
		client_record_finish(&record);
	}
}

int sending_try(struct duty *duty, const struct client_notice *n, json_t **json)
{
	struct client_sealed sealed;
	int status = client_seal(duty->poc, duty->offline ? CLIENT_OFFLINE : CLIENT_ONLINE, n, &sealed);

	*json = NULL;
	if (status == 0)
		status = would_send(duty, n, &sealed, json);
	client_sealed_finish(&sealed);
	return status;
}

int sending_post(struct duty *duty, const struct client_notice *n, int64_t *stored_ms)
{
	struct client_sealed sealed;
	struct client_posted posted = {0};
	int status = outbox_send(duty->poc, duty->offline, n, &sealed, &posted);

	client_sealed_finish(&sealed);
	*stored_ms = posted.stored_ms;
	/* one that a server takes later says nothing of the next one */
	duty->offline = duty->offline || (status == STATUS_QUEUED && client_why(duty->poc)->retry_ms == 0);
	return status;
}

int sending_one(struct duty *duty, struct client_notice *n, json_t **json)
{
	char reason[400];
	int64_t stored_ms;

	*json = NULL;
	int status = sending_check(duty, n);
	if (status != 0)
		return status;
	sending_warn(duty, n);
	if (duty->cli->dry_run) {
		status = sending_try(duty, n, json);
		if (status == 0 && !duty->cli->collecting)
			would_end(duty);
		return status == 0 ? 0 : duty_fail(duty, status);
	}
	status = sending_post(duty, n, &stored_ms);
	if (status != 0 && status != STATUS_QUEUED)
		return duty_fail(duty, status);
	snprintf(reason, sizeof reason, "%s", client_why(duty->poc)->message);
	if (duty->cli->json)
		*json = sending_json(duty, n, stored_ms);
	else
		print_sent(duty, n, stored_ms);
	if (status == STATUS_QUEUED && !duty->cli->json)
		cli_fail(duty->cli, status, "%s", reason);
	duty->cli->failed = duty->cli->failed || status == STATUS_QUEUED; /* its document says it */
	return status;
}

/* ---- What is to be sent */

int sending_begin(struct duty *duty, struct client_notice *n)
{
	n->exercise = "";
	n->category = POC__CATEGORY__CATEGORY_NOTIFICATION;
	n->urgency = POC__URGENCY__URGENCY_ROUTINE;
	n->tlp = POC__NOTICE_TLP__NOTICE_TLP_AMBER;
	n->created = client_now(duty->poc);
	if (notice_new_id(&n->id) != 0)
		return cli_fail(duty->cli, STATUS_FAILED, tr("no random numbers"));
	n->thread = n->id;
	return 0;
}

/* Whose answer it is: the other side's desk, or where we sent the notice ourselves, its recipients. */
static void answer_to(const struct desk *desk, const struct desk_notice *of, struct client_notice *n)
{
	const Poc__Core *core = of->notice->core;
	bool received = desk_own_party(desk, of) != NULL;

	for (size_t i = 0; i < (received ? 1 : core->n_to); i++) {
		const Poc__Desk *to = received ? core->from : core->to[i];
		snprintf(n->to[i].place, sizeof n->to[i].place, "%s", to->place);
		n->to[i].kind = to->kind;
		n->n_to = i + 1;
	}
	n->from = desk->id;
}

int sending_follow(struct duty *duty, const struct desk *desk, const struct desk_notice *of, struct client_notice *n)
{
	const Poc__Core *core = of->notice->core;
	int status = of->good ? sending_begin(duty, n)
			      : cli_fail(duty->cli, STATUS_UNVERIFIED, tr("the notice's signature does not verify"));

	n->category = POC__CATEGORY__CATEGORY_UPDATE;
	n->urgency = core->urgency;
	n->tlp = core->tlp;
	n->exercise = core->exercise;
	n->thread = of->notice->thread;
	n->answers = of->notice->id;
	n->has_answers = true;
	answer_to(desk, of, n);
	return status;
}

int sending_still_open(struct duty *duty, const struct desk_notice *of)
{
	const int64_t closed = desk_sender_closed(of);
	char id[NOTICE_ID_TEXT];

	if (closed == 0)
		return 0;
	duty_id(&of->notice->id, id);
	return cli_fail(
	    duty->cli, STATUS_INVALID,
	    tr("%s was closed by its sender, our desk, %s: nothing more is wanted of it, and nobody is pressed. "
	       "poc notice forward passes it on all the same, poc notice reply says more in its thread"),
	    id, time_text(closed));
}

/* Bytes of a text's first characters; of all that it has, if those are no more. */
static size_t first_characters(const char *text, size_t n)
{
	size_t size = strlen(text), at = 0, step = 1;
	uint32_t cp;

	for (; n > 0 && step > 0 && at < size; n--) {
		step = utf8_next(text + at, size - at, &cp);
		at += step;
	}
	return at;
}

/* A subject behind what stands before it; what has no room is cut off, and it is seen that it was. */
static void put_before(const char *before, const char *subject, char out[SENDING_SUBJECT])
{
	const size_t room = SUBJECT_CHARACTERS - strlen(before) - 1;
	const bool whole = subject[first_characters(subject, room)] == '\0';
	const size_t kept = first_characters(subject, whole ? room : room - 1);

	snprintf(out, SENDING_SUBJECT, "%s %.*s%s", before, (int)kept, subject, whole ? "" : "…");
}

void sending_subject(struct duty *duty, const struct desk *desk, const struct desk_notice *of, const char *before,
		     char out[SENDING_SUBJECT])
{
	Poc__Inner *inner = NULL;
	char id[NOTICE_ID_TEXT];

	duty_id(&of->notice->id, id);
	if (duty_open_notice(duty, desk, of, &inner) != 0)
		snprintf(out, SENDING_SUBJECT, "%s %.9s", before, id);
	else if (strncmp(inner->content->subject, before, strlen(before)) == 0)
		snprintf(out, SENDING_SUBJECT, "%s", inner->content->subject);
	else
		put_before(before, inner->content->subject, out);
	message_free(inner);
}

void sending_finish(struct duty *duty, struct compose *compose, json_t *json, const char *schema, int status)
{
	if (json != NULL && status != 0 && status != STATUS_QUEUED)
		json_object_set_new(json, "error", cli_error_json(duty->cli));
	if (json != NULL)
		cli_document(duty->cli, schema, json);
	compose_finish(duty->cli, compose, status);
	duty_close(duty);
}
