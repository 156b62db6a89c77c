#include "clients/libpoc/notice.h"

#include <stdlib.h>
#include <string.h>

#include "clients/libpoc/session.h"
#include "proto/proof/checkpoint.h"
#include "proto/wire/prescan.h"

enum { ROUNDS_MAX = 10, PAGES_MAX = 1000000 };

static int call_once(struct poc *poc, Poc__Request *request, Poc__Response **answer)
{
	int status = session_connect(poc);

	*answer = NULL;
	return status == 0 ? connection_call(poc, request, answer) : status;
}

/* Asks once more where an idle connection had been closed, and another server where one is a mirror: no request here
 * does harm when it comes twice. */
static int call(struct poc *poc, Poc__Request *request, Poc__Response__BodyCase wanted, Poc__Response **answer)
{
	bool fresh = poc->transport == NULL;
	int status = call_once(poc, request, answer);

	if (status == STATUS_UNREACHABLE && !fresh) {
		message_free(*answer);
		connection_close(poc);
		status = call_once(poc, request, answer);
	}
	while (connection_passes_on(poc, status)) {
		message_free(*answer);
		status = call_once(poc, request, answer);
	}
	if (status == 0 && (*answer)->body_case != wanted)
		status = refuse(&poc->why, STATUS_MALFORMED, "", "the server answers something else");
	if (status != 0) {
		message_free(*answer);
		*answer = NULL;
	}
	return status;
}

/* ---- Post */

int client_post(struct poc *poc, const uint8_t *envelope, size_t size, const uint8_t *body, size_t body_size,
		struct client_posted *out)
{
	Poc__Post post = POC__POST__INIT;
	Poc__Request request = POC__REQUEST__INIT;
	Poc__Response *answer;
	struct hash hash = hash_of(envelope, size);

	*out = (struct client_posted){0};
	connection_begin(poc);
	post.envelope = (ProtobufCBinaryData){size, (uint8_t *)envelope};
	post.body = (ProtobufCBinaryData){body_size, (uint8_t *)body};
	request.body_case = POC__REQUEST__BODY_POST;
	request.post = &post;
	int status = call(poc, &request, POC__RESPONSE__BODY_POST, &answer);
	if (status != 0)
		return status;
	const Poc__PostAnswer *a = answer->post;
	/* a statement that the desk has made before is answered with its first one's hash */
	bool other = a->hash.len == HASH_SIZE && a->repeated && body_size == 0;
	if (a->id.len != NOTICE_ID_SIZE || a->hash.len != HASH_SIZE ||
	    (!other && memcmp(a->hash.data, hash.bytes, HASH_SIZE) != 0)) {
		status = refuse(&poc->why, STATUS_MALFORMED, "", "the server answers for another notice");
	} else {
		memcpy(out->id.bytes, a->id.data, NOTICE_ID_SIZE);
		out->stored_ms = a->stored_ms;
		out->repeated = a->repeated;
	}
	message_free(answer);
	return status;
}

/* ---- Feed */

static int take_page(struct poc *poc, const Poc__FeedAnswer *page, uint64_t *after,
		     int (*each)(void *ctx, const struct client_entry *entry), void *ctx)
{
	for (size_t i = 0; i < page->n_entries; i++) {
		const Poc__FeedEntry *e = page->entries[i];
		struct client_entry entry = {e->cursor, e->stored_ms, e->fact, e->item.data, e->item.len};
		if (e->cursor <= *after)
			return refuse(&poc->why, STATUS_MALFORMED, "", "the server's feed goes back");
		int status = each(ctx, &entry);
		if (status != 0)
			return status;
		*after = e->cursor;
	}
	return 0;
}

int client_feed(struct poc *poc, const struct client_desk *desk, uint64_t after,
		int (*each)(void *ctx, const struct client_entry *entry), void *ctx)
{
	for (int i = 0; i < PAGES_MAX; i++) {
		Poc__Feed feed = POC__FEED__INIT;
		Poc__Request request = POC__REQUEST__INIT;
		Poc__Response *answer;

		connection_begin(poc);
		feed.place = (char *)desk->place;
		feed.kind = desk->kind;
		feed.after = after;
		request.body_case = POC__REQUEST__BODY_FEED;
		request.feed = &feed;
		int status = call(poc, &request, POC__RESPONSE__BODY_FEED, &answer);
		if (status != 0)
			return status;
		/* a page without entries passes over what an alert does not see */
		bool passes = answer->feed->n_entries == 0 && answer->feed->end > after;
		status = take_page(poc, answer->feed, &after, each, ctx);
		bool last = after >= answer->feed->end || (answer->feed->n_entries == 0 && !passes);
		if (passes) {
			after = answer->feed->end;
			last = false;
		}
		message_free(answer);
		if (status != 0 || last)
			return status;
	}
	return refuse(&poc->why, STATUS_MALFORMED, "", "the server's feed has no end");
}

/* ---- GetNotice */

/* One page; *page: message_free, *total: steps of the whole. */
static int ask_story(struct poc *poc, const struct client_desk *desk, const struct notice_id *id, bool with_body,
		     uint32_t from, Poc__NoticeStory **page, uint32_t *total)
{
	Poc__GetNotice get = POC__GET_NOTICE__INIT;
	Poc__Request request = POC__REQUEST__INIT;
	Poc__Response *answer;
	ProtobufCMessage *message = NULL;

	*page = NULL;
	get.id = (ProtobufCBinaryData){NOTICE_ID_SIZE, (uint8_t *)id->bytes};
	get.place = (char *)desk->place;
	get.kind = desk->kind;
	get.with_body = with_body;
	get.with_evidence = !with_body;
	get.from_step = from;
	get.checkpoint_size = with_body ? 0 : poc->head->checkpoint.size;
	request.body_case = POC__REQUEST__BODY_GET_NOTICE;
	request.get_notice = &get;
	int status = call(poc, &request, POC__RESPONSE__BODY_STORY, &answer);
	if (status != 0)
		return status;
	const ProtobufCBinaryData *story = &answer->story->story;
	struct prescan_limits limits = {.depth = 6, .fields = UINT32_MAX, .memory = 16 * story->len + 1024 * 1024};
	status = message_decode(&poc__notice_story__descriptor, story->data, story->len, &limits, &message, &poc->why);
	*total = answer->story->steps;
	message_free(answer);
	*page = (Poc__NoticeStory *)message;
	return status != 0 ? unverified(&poc->why, status) : 0;
}

int client_body(struct poc *poc, const struct client_desk *desk, const struct notice *notice, uint8_t **body,
		size_t *size)
{
	Poc__NoticeStory *story;
	uint32_t total;

	*body = NULL;
	connection_begin(poc);
	int status = ask_story(poc, desk, &notice->id, true, 0, &story, &total);
	if (status != 0)
		return status;
	status = unverified(&poc->why, notice_check_body(notice, story->body.data, story->body.len, &poc->why));
	if (status == 0) {
		*size = story->body.len;
		*body = malloc(*size);
		if (*body == NULL)
			status = refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
		else
			memcpy(*body, story->body.data, *size);
	}
	message_free(story);
	return status;
}

/* ---- Stories: pages put together */

struct pages {
	size_t n;
	Poc__NoticeStory **list;
};

static void pages_finish(struct pages *pages)
{
	for (size_t i = 0; i < pages->n; i++)
		message_free(pages->list[i]);
	free(pages->list);
	*pages = (struct pages){0};
}

/* Whether a page is of the session's head: see session's of_head. */
static bool of_head(const struct poc *poc, const Poc__NoticeStory *page)
{
	struct note note;
	struct checkpoint checkpoint;

	if (page->checkpoint == NULL)
		return true;
	return note_parse((const char *)page->checkpoint->note.data, page->checkpoint->note.len, &note, NULL) == 0 &&
	       checkpoint_parse(note.text, note.text_size, &checkpoint, NULL) == 0 &&
	       checkpoint.size == poc->head->checkpoint.size &&
	       hash_compare(&checkpoint.root, &poc->head->checkpoint.root) == 0;
}

static int add_page(struct poc *poc, struct pages *pages, Poc__NoticeStory *page)
{
	Poc__NoticeStory **grown = realloc(pages->list, (pages->n + 1) * sizeof(Poc__NoticeStory *));

	if (grown == NULL) {
		message_free(page);
		return refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
	}
	pages->list = grown;
	grown[pages->n++] = page;
	return 0;
}

static int fetch_pages(struct poc *poc, const struct client_desk *desk, const struct notice_id *id, struct pages *pages,
		       bool *moved)
{
	uint32_t steps = 0, total = 1;

	*moved = false;
	while (steps < total && !*moved) {
		Poc__NoticeStory *page;
		int status = ask_story(poc, desk, id, false, steps, &page, &total);
		if (status != 0)
			return status;
		size_t n = page->n_steps;
		*moved = !of_head(poc, page);
		status = add_page(poc, pages, page);
		if (status != 0)
			return status;
		if (n == 0 || total > STORY_STEPS_MAX)
			return refuse(&poc->why, STATUS_MALFORMED, "", "the server gives no whole story");
		steps += (uint32_t)n;
	}
	return 0;
}

static int by_value(const void *a, const void *b)
{
	struct hash x = hash_of(((const ProtobufCBinaryData *)a)->data, ((const ProtobufCBinaryData *)a)->len);
	struct hash y = hash_of(((const ProtobufCBinaryData *)b)->data, ((const ProtobufCBinaryData *)b)->len);

	return hash_compare(&x, &y);
}

/* Whether a step is needed to judge that of an item: the item itself, and what shows that the notice was released. */
static bool needed(const Poc__StoryStep *step, const ProtobufCBinaryData *item)
{
	Poc__Fact *fact = NULL;
	bool same = step->item.len == item->len && memcmp(step->item.data, item->data, item->len) == 0;

	if (same || !step->fact || fact_parse(step->item.data, step->item.len, &fact, NULL) != 0)
		return same;
	same = fact->step == POC__STEP__STEP_ESCALATED;
	message_free(fact);
	return same;
}

/* One message of all pages: their steps in turn (of only, NULL: all, those that it needs), their envelopes once each.
 */
static int join_pages(struct poc *poc, const struct pages *pages, const ProtobufCBinaryData *only,
		      Poc__NoticeStory **out)
{
	Poc__NoticeStory whole = POC__NOTICE_STORY__INIT;
	size_t n_steps = 0, n_envelopes = 0, size;
	uint8_t *bytes = NULL;
	int status = 0;

	for (size_t i = 0; i < pages->n; i++) {
		n_steps += pages->list[i]->n_steps;
		n_envelopes += pages->list[i]->n_envelopes;
	}
	Poc__StoryStep **steps = calloc(n_steps + 1, sizeof *steps);
	ProtobufCBinaryData *envelopes = calloc(n_envelopes + 1, sizeof *envelopes);
	if (steps == NULL || envelopes == NULL) {
		status = refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
		goto done;
	}
	whole.steps = steps;
	for (size_t i = 0; i < pages->n; i++) {
		const Poc__NoticeStory *page = pages->list[i];
		whole.version = page->version;
		for (size_t j = 0; j < page->n_steps; j++) {
			if (only == NULL || whole.n_steps == 0 || needed(page->steps[j], only))
				steps[whole.n_steps++] = page->steps[j];
		}
		for (size_t j = 0; j < page->n_envelopes; j++)
			envelopes[whole.n_envelopes++] = page->envelopes[j];
	}
	qsort(envelopes, whole.n_envelopes, sizeof *envelopes, by_value);
	size_t kept = 0;
	for (size_t i = 0; i < whole.n_envelopes; i++) {
		if (kept == 0 || by_value(&envelopes[kept - 1], &envelopes[i]) != 0)
			envelopes[kept++] = envelopes[i];
	}
	whole.envelopes = envelopes;
	whole.n_envelopes = kept;
	if (message_encode(&whole, &bytes, &size) != 0)
		status = refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
	else
		status = story_decode(bytes, size, out, &poc->why);
done:
	free(bytes);
	free(steps);
	free(envelopes);
	return status;
}

static int tell_story(struct poc *poc, const struct pages *pages, const struct notice_id *id,
		      const ProtobufCBinaryData *only, struct story **out)
{
	Poc__NoticeStory *whole;
	int status = join_pages(poc, pages, only, &whole);

	if (status == 0)
		status = story_verify(poc->head, whole, out, &poc->why);
	if (status == 0 && memcmp((*out)->notice->id.bytes, id->bytes, NOTICE_ID_SIZE) != 0) {
		story_destroy(*out);
		*out = NULL;
		status = refuse(&poc->why, STATUS_UNVERIFIED, "story", "the server tells of another notice");
	}
	return status;
}

static int ask_and_tell(struct poc *poc, const struct client_desk *desk, const struct notice_id *id,
			const ProtobufCBinaryData *only, struct story **out)
{
	*out = NULL;
	for (int i = 0; i < ROUNDS_MAX; i++) {
		struct pages pages = {0};
		bool moved = false;

		connection_begin(poc);
		int status = session_connect(poc);
		if (status == 0)
			status = fetch_pages(poc, desk, id, &pages, &moved);
		if (status == 0 && !moved)
			status = tell_story(poc, &pages, id, only, out);
		pages_finish(&pages);
		if (status != 0 || !moved)
			return status;
		status = session_move(poc);
		if (status != 0)
			return status;
	}
	return refuse(&poc->why, STATUS_BUSY, "", "the directory's head moves faster than it can be read");
}

int client_story(struct poc *poc, const struct client_desk *desk, const struct notice_id *id, struct story **out)
{
	return ask_and_tell(poc, desk, id, NULL, out);
}

int client_story_of(struct poc *poc, const struct client_desk *desk, const struct notice_id *id, const uint8_t *item,
		    size_t size, struct story **out)
{
	const ProtobufCBinaryData only = {size, (uint8_t *)item};

	return ask_and_tell(poc, desk, id, &only, out);
}

int client_verify_story(struct poc *poc, const uint8_t *bytes, size_t size, struct story **out,
			struct verified_head **head)
{
	connection_begin(poc);
	return story_verify_saved(&poc->pins, bytes, size, head, out, &poc->why);
}

/* ---- Watch */

int client_watch(struct poc *poc, const struct client_desk *desk)
{
	Poc__Watch watch = POC__WATCH__INIT;
	Poc__Request request = POC__REQUEST__INIT;
	Poc__Response *answer;

	connection_begin(poc);
	watch.place = (char *)desk->place;
	watch.kind = desk->kind;
	request.body_case = POC__REQUEST__BODY_WATCH;
	request.watch = &watch;
	int status = call(poc, &request, POC__RESPONSE__BODY_WATCH, &answer);
	message_free(answer);
	return status;
}

int client_wait_event(struct poc *poc, int64_t milliseconds, bool *seen)
{
	connection_begin(poc);
	*seen = false;
	if (poc->transport == NULL || !transport_usable(poc->transport))
		return refuse(&poc->why, STATUS_UNREACHABLE, "", "not connected");
	return transport_wait_event(poc->transport, transport_clock() + milliseconds, seen, &poc->why);
}

unsigned client_connection(const struct poc *poc)
{
	return poc->connections;
}

void client_disconnect(struct poc *poc)
{
	connection_close(poc);
}
