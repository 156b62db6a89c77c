#include "clients/poc/carried.h"

#include <string.h>

#include "clients/cli/strings.h"
#include "clients/poc/content_view.h"
#include "clients/poc/story_view.h"
#include "proto/wire/prescan.h"

enum { INNER_FIELDS = 4096, DEPTH_MAX = 32 };

/* ---- The walk */

/* Its proofs, and the content that the header's signature covers. */
struct opened {
	struct story *story;
	struct verified_head *head;
	Poc__Inner *inner; /* NULL: without its words, or with none that obey the rules */
};

static void opened_finish(struct opened *opened)
{
	story_destroy(opened->story);
	verified_head_unref(opened->head);
	message_free(opened->inner);
	*opened = (struct opened){0};
}

static int open_one(struct duty *duty, const ProtobufCBinaryData *bytes, struct opened *out)
{
	struct prescan_limits limits = {.depth = 4, .fields = INNER_FIELDS, .memory = 4 * 1024 * 1024};
	ProtobufCMessage *inner = NULL;

	*out = (struct opened){0};
	int status = client_verify_story(duty->poc, bytes->data, bytes->len, &out->story, &out->head);
	if (status != 0)
		return status;
	const ProtobufCBinaryData *body = &out->story->message->body;
	message_decode(&poc__inner__descriptor, body->data, body->len, &limits, &inner, NULL);
	out->inner = (Poc__Inner *)inner;
	const Poc__NoticeContent *content = out->inner != NULL ? out->inner->content : NULL;
	if (content == NULL || notice_content_check(content, NULL) != 0) {
		message_free(out->inner);
		out->inner = NULL;
	}
	return 0;
}

int carried_walk(struct duty *duty, const Poc__NoticeContent *content,
		 int (*see)(void *ctx, const struct carried *carried), void *ctx)
{
	struct opened held = {0}; /* has the bytes of the next one */
	int status = 0;

	for (unsigned depth = 0; status == 0 && content != NULL && content->forwarded.len > 0; depth++) {
		struct opened next = {0};
		status = depth < DEPTH_MAX ? open_one(duty, &content->forwarded, &next)
					   : refuse((struct refusal *)client_why(duty->poc), STATUS_TOO_LARGE, "",
						    "it was passed on too often: what it forwards further is not read");
		opened_finish(&held);
		held = next;
		content = held.inner != NULL ? held.inner->content : NULL;
		const struct carried carried = {held.story, held.head, content};
		if (status == 0)
			status = see(ctx, &carried);
	}
	opened_finish(&held);
	return status;
}

/* ---- Before people's eyes and in JSON */

struct showing {
	struct duty *duty;
	json_t *into; /* of the notice that carries the next one */
	size_t *number;
};

static void tell_missing(const struct showing *s, int status)
{
	if (status == STATUS_TOO_LARGE)
		cli_note(s->duty->cli, "%s", client_why(s->duty->poc)->message);
	else
		cli_note(s->duty->cli, tr("the forwarded notice does not verify: %s"),
			 client_why(s->duty->poc)->message);
}

static int add_json(void *ctx, const struct carried *carried)
{
	struct showing *s = ctx;
	json_t *json = story_view_json(carried->story, carried->head);

	if (carried->content != NULL)
		json_object_set_new(json, "content", content_view_json(carried->content, s->number));
	json_object_set_new(json, "verified", json_true());
	json_object_set_new(s->into, "forwarded", json);
	s->into = json;
	return json != NULL ? 0
			    : refuse((struct refusal *)client_why(s->duty->poc), STATUS_NO_MEMORY, "", "out of memory");
}

void carried_json(struct duty *duty, const Poc__NoticeContent *content, json_t *into, size_t *number)
{
	struct showing s = {duty, into, number};
	int status = carried_walk(duty, content, add_json, &s);

	if (status == 0)
		return;
	tell_missing(&s, status);
	json_object_set_new(s.into, "forwarded", json_pack("{s:b}", "verified", 0));
}

/* A blank line before what it holds, where its text has not made one. */
static void print_gap(const Poc__NoticeContent *content)
{
	if (content->forwarded.len > 0 && (content->text[0] == '\0' || content->n_attachments > 0))
		cli_line("%s", "");
}

static int print_one(void *ctx, const struct carried *carried)
{
	const struct showing *s = ctx;
	const char *sender = carried->story->notice->core->from->place;

	cli_line("%s", tr("---- forwarded, with its proofs:"));
	story_view_print(carried->story, carried->head);
	if (carried->content == NULL)
		return 0;
	content_view_print(carried->content, strcmp(sender, conf_place(&s->duty->cli->conf)) == 0, s->number);
	print_gap(carried->content);
	return 0;
}

void carried_print(struct duty *duty, const Poc__NoticeContent *content, size_t *number)
{
	struct showing s = {duty, NULL, number};

	print_gap(content);
	int status = carried_walk(duty, content, print_one, &s);

	if (status != 0)
		tell_missing(&s, status);
}
