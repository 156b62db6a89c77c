#include "pocd/directory/post.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pocd/directory/judge.h"

/* Seconds within which a publication follows, if it is not the directory that is in trouble. */
enum { PUBLICATION_LEEWAY = 120 };

const struct notice_id *post_id(const struct post *post)
{
	return post->notice != NULL ? &post->notice->id : &post->receipt->notice_id;
}

/* The U that lists its signer. */
static const struct name *users_of(const struct post *post)
{
	return post->notice != NULL ? &post->notice->users : &post->receipt->users;
}

const char *post_desk(const struct post *post, Poc__PocKind *kind)
{
	*kind = post->notice != NULL ? post->notice->core->from->kind : post->receipt->receipt->kind;
	return post->notice != NULL ? post->notice->core->from->place : post->receipt->receipt->place;
}

static const Poc__Envelope *outer_of(const struct post *post)
{
	return post->notice != NULL ? post->notice->outer : post->receipt->outer;
}

static const ProtobufCBinaryData *directory_of(const struct post *post)
{
	return post->notice != NULL ? &post->notice->core->directory_id : &post->receipt->receipt->directory_id;
}

/* ---- Reading */

static int parse_envelope(struct post *post, const struct post_in *in, struct refusal *why)
{
	int status = in->body_size == 0 ? receipt_parse(in->envelope, in->envelope_size, &post->receipt, why)
					: notice_parse(in->envelope, in->envelope_size, &post->notice, why);

	/* malformed is a request, after which the connection ends: this is what a good request holds */
	return status == STATUS_MALFORMED ? why != NULL ? (why->code = STATUS_INVALID) : STATUS_INVALID : status;
}

static int parse(struct post *post, const struct post_in *in, struct refusal *why)
{
	int status = parse_envelope(post, in, why);

	if (status != 0 || in->body_size == 0)
		return status;
	if (in->body_size > NOTICE_BODY_MAX)
		return refuse(why, STATUS_TOO_LARGE, "body", "a body has at most %d bytes", NOTICE_BODY_MAX);
	post->body = malloc(in->body_size);
	if (post->body == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	memcpy(post->body, in->body, in->body_size);
	post->body_size = in->body_size;
	return 0;
}

static int check_origin(const struct post *post, const struct hash *pin, const struct hash *directory,
			struct refusal *why)
{
	const ProtobufCBinaryData *id = directory_of(post);

	if (memcmp(id->data, directory->bytes, HASH_SIZE) != 0)
		return refuse(why, STATUS_DIRECTORY, "directory_id", "it is meant for another directory");
	if (strcmp(users_of(post)->state, post->state) != 0 ||
	    memcmp(outer_of(post)->signatures[0]->key_id.data, pin->bytes, HASH_SIZE) != 0)
		return refuse(why, STATUS_DENIED, "signature", "whoever hands it in must have signed it");
	return 0;
}

int post_parse(const struct post_in *in, const char *state, const struct hash *pin, const struct hash *directory,
	       struct post **out, struct refusal *why)
{
	struct post *post = calloc(1, sizeof *post);

	*out = NULL;
	if (post == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	memcpy(post->state, state, strnlen(state, STATE_MAX_LENGTH));
	int status = parse(post, in, why);
	if (status == 0)
		status = check_origin(post, pin, directory, why);
	if (status != 0) {
		post_destroy(post);
		return status;
	}
	*out = post;
	return 0;
}

void post_destroy(struct post *post)
{
	if (post == NULL)
		return;
	notice_destroy(post->notice);
	receipt_destroy(post->receipt);
	free(post->body);
	free(post);
}

int post_check_body(const struct post *post, struct refusal *why)
{
	return post->notice != NULL ? notice_check_body(post->notice, post->body, post->body_size, why) : 0;
}

/* ---- Judging */

/* What is signed is judged at its publication: whoever has expired by then has signed what nobody can verify, and with
 * it the whole story. */
static int check_lasts(const Poc__User *user, int64_t now, struct refusal *why)
{
	return user->not_after == 0 || user->not_after - now > PUBLICATION_LEEWAY
		   ? 0
		   : refuse(why, STATUS_UNVERIFIED, "handle",
			    "%s expires before what it signs is sure to be published: the user's key must be renewed",
			    user->handle);
}

static int check_signer(struct post *post, const struct snapshot *snapshot, int64_t now, struct refusal *why)
{
	const struct name *name = users_of(post);
	const Poc__Users *users = desk_list(snapshot, name);
	unsigned allowed = desk_algorithms(snapshot);
	const Poc__User *user = NULL;

	if (desk_suspended(snapshot, name->state))
		return refuse(why, STATUS_SUSPENDED, "", "%s is suspended", name->state);
	if (users == NULL)
		return refuse(why, STATUS_UNVERIFIED, "", "there is no valid %s", name->text);
	int status = post->notice != NULL ? notice_authorised(post->notice, users, allowed, now, &user, why)
					  : receipt_authorised(post->receipt, users, allowed, now, &user, why);
	if (status != 0)
		return status;
	post->service = user->service;
	return check_lasts(user, now, why);
}

static int check_time(int64_t time, int64_t now, const char *field, struct refusal *why)
{
	return time <= now + SIGNER_CLOCK_LEEWAY
		   ? 0
		   : refuse(why, STATUS_CLOCK, field, "lies in the future: check the signer's clock");
}

static int check_desks(const struct post *post, const struct snapshot *snapshot, struct store_view *view, int64_t now,
		       int64_t retention, struct refusal *why)
{
	const Poc__Core *core = post->notice->core;
	char field[48];
	int status = desk_check(snapshot, view, core->from, true, now, "core.from", why);

	for (size_t i = 0; i < core->n_to && status == 0; i++) {
		/* a note stays at its own desk, which needs no record */
		bool note = core->category == POC__CATEGORY__CATEGORY_NOTE;
		snprintf(field, sizeof field, "core.to[%zu]", i);
		status = desk_check(snapshot, view, core->to[i], note, now, field, why);
	}
	for (size_t i = 0; i < core->n_escalations && status == 0; i++) {
		snprintf(field, sizeof field, "core.escalations[%zu].to", i);
		if (core->escalations[i]->at > now + retention)
			return refuse(why, STATUS_INVALID, field, "escalations come while the notice is kept");
		status = desk_check(snapshot, view, core->escalations[i]->to, false, now, field, why);
	}
	return status;
}

/* Of what waited in an outbox, or comes by a wrong clock: it would be overdue, or escalated, before anybody has seen
 * it.
 */
static int check_deadlines(const Poc__Core *core, int64_t now, struct refusal *why)
{
	if (core->n_escalations > 0 && core->escalations[0]->at <= now)
		return refuse(why, STATUS_INVALID, "core.escalations[0].at",
			      "the time to escalate it lies in the past: send it anew");
	if (core->reply_by != 0 && core->reply_by <= now)
		return refuse(why, STATUS_INVALID, "core.reply_by",
			      "the time for an answer lies in the past: send it anew");
	return 0;
}

static int judge_notice(const struct post *post, const struct snapshot *snapshot, struct store_view *view, int64_t now,
			int64_t retention, struct refusal *why)
{
	const Poc__Core *core = post->notice->core;
	int status = check_time(core->created, now, "core.created", why);

	if (status == 0 && core->created < now - retention)
		status = refuse(why, STATUS_EXPIRED, "core.created", "is older than what the directory keeps");
	if (status == 0)
		status = check_deadlines(core, now, why);
	return status != 0 ? status : check_desks(post, snapshot, view, now, retention, why);
}

int post_judge(struct post *post, const struct snapshot *snapshot, struct store_view *view, int64_t now,
	       int64_t retention, struct refusal *why)
{
	int status = check_signer(post, snapshot, now, why);

	if (status == 0)
		status = post->notice != NULL ? judge_notice(post, snapshot, view, now, retention, why)
					      : check_time(post->receipt->receipt->time, now, "time", why);
	if (status == 0)
		post->judged = snapshot->number;
	return status;
}

static void add_motion(const struct ledger *ledger, const char *place, enum desk_motion *most)
{
	enum desk_motion motion = desk_moved(ledger, place);

	*most = motion > *most ? motion : *most;
}

enum desk_motion post_moved(const struct post *post, const struct ledger *ledger)
{
	enum desk_motion most = DESK_STILL;

	if (post->notice == NULL)
		return desk_moved(ledger, post->receipt->receipt->place);
	const Poc__Core *core = post->notice->core;
	add_motion(ledger, core->from->place, &most);
	for (size_t i = 0; i < core->n_to; i++)
		add_motion(ledger, core->to[i]->place, &most);
	for (size_t i = 0; i < core->n_escalations; i++)
		add_motion(ledger, core->escalations[i]->to->place, &most);
	return most;
}
