#include "clients/libpoc/story.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/libpoc/verify.h"
#include "proto/proof/merkle.h"
#include "proto/rules/chain.h"
#include "proto/rules/register.h"
#include "proto/rules/trust.h"
#include "proto/wire/prescan.h"

enum { CHAIN_MAX = 1024, ITEMS = 4 };

/* ---- Form */

static int bad(struct refusal *why, const char *what)
{
	return refuse(why, STATUS_UNVERIFIED, "story", "%s", what);
}

static struct hash value_of(const ProtobufCBinaryData *bytes)
{
	return hash_of(bytes->data, bytes->len);
}

static bool leaf_form(const Poc__LoggedLeaf *leaf)
{
	return leaf->leaf.len == LEAF_SIZE && leaf->path.len % HASH_SIZE == 0 &&
	       leaf->path.len / HASH_SIZE <= MERKLE_PATH_MAX;
}

static bool item_form(const Poc__Item *item)
{
	return item->map != NULL && item->map->terminal == POC__TERMINAL__TERMINAL_FOUND &&
	       item->map->siblings.len % HASH_SIZE == 0 && item->map->siblings.len / HASH_SIZE <= PREFIX_DEPTH_MAX &&
	       item->map->other_key.len == 0 && item->map->other_value.len == 0 && item->value.len == HASH_SIZE &&
	       item->n_envelopes == 0 && item->n_sections == 0;
}

static int check_evidence(const Poc__Evidence *e, bool fact, struct refusal *why)
{
	if (e->siblings.len % HASH_SIZE != 0 || e->siblings.len / HASH_SIZE > PREFIX_DEPTH_MAX || e->anchor == NULL ||
	    !leaf_form(e->anchor) || (e->previous != NULL && !leaf_form(e->previous)) || e->state == NULL ||
	    !leaf_form(e->state) || e->n_items != (fact ? 0 : ITEMS))
		return bad(why, "the evidence of a step has a wrong form");
	for (size_t i = 0; i < e->n_items; i++) {
		if (!item_form(e->items[i]))
			return bad(why, "the evidence of a step has a wrong form");
	}
	return 0;
}

static int check_form(const Poc__NoticeStory *story, struct refusal *why)
{
	int status = 0;

	if (story->version != 1)
		return bad(why, "not a story of version 1");
	if (story->n_steps == 0 || story->n_steps > STORY_STEPS_MAX || story->steps[0]->fact)
		return bad(why, "a story begins with its notice");
	for (size_t i = 0; i < story->n_steps && status == 0; i++) {
		if (story->steps[i]->evidence != NULL)
			status = check_evidence(story->steps[i]->evidence, story->steps[i]->fact, why);
	}
	for (size_t i = 1; i < story->n_envelopes && status == 0; i++) {
		struct hash a = value_of(&story->envelopes[i - 1]), b = value_of(&story->envelopes[i]);
		if (hash_compare(&a, &b) >= 0)
			status = bad(why, "envelopes must be ascending by value");
	}
	return status;
}

int story_decode(const uint8_t *bytes, size_t size, Poc__NoticeStory **out, struct refusal *why)
{
	struct prescan_limits limits = {.depth = 6, .fields = UINT32_MAX, .memory = 16 * size + 1024 * 1024};
	ProtobufCMessage *message;

	*out = NULL;
	if (size > STORY_MAX)
		return bad(why, "larger than a story can be");
	int status = message_decode(&poc__notice_story__descriptor, bytes, size, &limits, &message, why);
	if (status != 0)
		return unverified(why, status);
	status = check_form((Poc__NoticeStory *)message, why);
	if (status != 0) {
		message_free(message);
		return status;
	}
	*out = (Poc__NoticeStory *)message;
	return 0;
}

/* The fourth field tells them apart: a Proof's items have names of the directory in the place where a story's steps
 * have envelopes. */
bool story_recognised(const uint8_t *bytes, size_t size)
{
	Poc__NoticeStory *message;
	struct notice *notice = NULL;

	if (story_decode(bytes, size, &message, NULL) != 0)
		return false;
	bool good = notice_parse(message->steps[0]->item.data, message->steps[0]->item.len, &notice, NULL) == 0;
	notice_destroy(notice);
	message_free(message);
	return good;
}

/* ---- Leaves */

static int check_leaf(const struct verified_head *head, const Poc__LoggedLeaf *logged, enum leaf_kind kind,
		      struct leaf *out, struct refusal *why)
{
	struct hash hashes[MERKLE_PATH_MAX], leaf = merkle_leaf(logged->leaf.data, logged->leaf.len);
	const struct checkpoint *checkpoint = &head->checkpoint;

	if (logged->path.len > 0)
		memcpy(hashes, logged->path.data, logged->path.len);
	if (leaf_read(logged->leaf.data, out) != 0 || out->kind != kind || out->time_ms > INT64_MAX)
		return bad(why, kind == LEAF_STATE ? "not a STATE leaf" : "not an ANCHOR leaf");
	if (logged->index >= checkpoint->size ||
	    !merkle_verify_inclusion(logged->index, checkpoint->size, &leaf, hashes, logged->path.len / HASH_SIZE,
				     &checkpoint->root))
		return bad(why, kind == LEAF_STATE ? "the STATE leaf is not in the checkpoint's log"
						   : "the ANCHOR leaf is not in the checkpoint's log");
	return 0;
}

/* The item in its batch, the batch in the log. */
static int check_anchor(const struct verified_head *head, const Poc__StoryStep *step, struct leaf *anchor,
			struct refusal *why)
{
	const Poc__Evidence *e = step->evidence;
	struct hash event = hash_event(step->item.data, step->item.len);
	int status = check_leaf(head, e->anchor, LEAF_ANCHOR, anchor, why);

	if (status != 0)
		return status;
	if (!prefix_verify(&anchor->value, &event, &event, e->siblings.data, (unsigned)(e->siblings.len / HASH_SIZE),
			   PREFIX_FOUND, NULL))
		return bad(why, "the item is not in the batch that its evidence names");
	return 0;
}

/* Publications are numbered without a gap, so that the first STATE leaf after the anchor is the one whose predecessor
 * stands before it. */
static int check_previous(const struct verified_head *head, const Poc__Evidence *e, const struct leaf *anchor,
			  const struct leaf *state, struct refusal *why)
{
	struct leaf previous;

	if (e->previous == NULL)
		return state->seq == 1 ? 0 : bad(why, "nothing proves that no earlier publication covers it");
	int status = check_leaf(head, e->previous, LEAF_STATE, &previous, why);
	if (status == 0 && (previous.seq == UINT64_MAX || previous.seq + 1 != state->seq))
		status = bad(why, "the publications around it do not follow one another");
	if (status == 0 && (e->previous->index >= e->anchor->index || previous.time_ms > anchor->time_ms))
		status = bad(why, "an earlier publication than the one by which it is judged covers it");
	return status;
}

/* *state: the first STATE leaf after the anchor. */
static int check_state(const struct verified_head *head, const Poc__Evidence *e, const struct leaf *anchor,
		       struct leaf *state, struct refusal *why)
{
	int status = check_leaf(head, e->state, LEAF_STATE, state, why);

	if (status == 0 && (e->state->index <= e->anchor->index || state->time_ms < anchor->time_ms))
		status = bad(why, "it is judged by a publication before it was stored");
	return status != 0 ? status : check_previous(head, e, anchor, state, why);
}

/* ---- What was current at a publication */

/* T, S, K and U as the map of one STATE leaf has them.  head borrows its T chain from the story's head, so that the
 * checks of verify.h serve here as well. */
struct moment {
	struct verified_head head;
	struct envelope *keys, *users; /* owned, as head.reg */
};

static void moment_finish(struct moment *moment)
{
	envelope_destroy(moment->head.reg);
	envelope_destroy(moment->keys);
	envelope_destroy(moment->users);
}

/* mark: noted in used. */
static const ProtobufCBinaryData *find_envelope(const struct story *whole, uint8_t mark, const struct hash *value)
{
	const Poc__NoticeStory *story = whole->message;
	size_t low = 0, high = story->n_envelopes;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		struct hash each = value_of(&story->envelopes[middle]);
		int order = hash_compare(&each, value);
		if (order == 0) {
			whole->used[middle] |= mark;
			return &story->envelopes[middle];
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int missing(struct refusal *why, const char *name)
{
	return refuse(why, STATUS_UNVERIFIED, name,
		      "%s of that time, which a step is judged by, is missing or was altered", name);
}

/* The value that the moment's map has for a name; items are ascending, all FOUND. */
static int item_value(const struct moment *moment, const Poc__Evidence *e, const char *name, struct hash *value,
		      struct refusal *why)
{
	bool absent;

	for (size_t i = 0; i < e->n_items; i++) {
		if (i > 0 && strcmp(e->items[i - 1]->name, e->items[i]->name) >= 0)
			return bad(why, "items must be ascending by name");
		if (strcmp(e->items[i]->name, name) == 0)
			return verify_map(&moment->head.leaf.value, e->items[i], &absent, value, why);
	}
	return refuse(why, STATUS_UNVERIFIED, name, "the evidence lacks %s", name);
}

static int take_trust(const struct verified_head *head, const struct hash *value, struct moment *moment,
		      struct refusal *why)
{
	for (size_t i = 0; i < head->n_trust; i++) {
		if (hash_compare(&head->trust[i]->value, value) == 0) {
			moment->head.trust = head->trust;
			moment->head.n_trust = i + 1;
			return 0;
		}
	}
	return refuse(why, STATUS_UNVERIFIED, "T", "another trust root");
}

static int take_register(const struct story *story, uint8_t mark, const struct hash *value, struct moment *moment,
			 struct refusal *why)
{
	const ProtobufCBinaryData *bytes = find_envelope(story, mark, value);
	struct hash directory = trust_directory_id(moment->head.trust[0]);

	if (bytes == NULL)
		return missing(why, "S");
	int status = unverified(why, envelope_parse(bytes->data, bytes->len, &moment->head.reg, why));
	return status != 0 ? status
			   : verify_register(&directory, verified_head_trust(&moment->head), moment->head.reg, why);
}

/* The chain of K that ends in value, from the anchor on, out of the story's envelopes; free(). */
static int collect_chain(const struct story *story, uint8_t mark, const char *name, struct hash value,
			 ProtobufCBinaryData **chain, size_t *n, struct refusal *why)
{
	ProtobufCBinaryData *list = NULL;
	uint64_t seq = 0;
	size_t length = 0;

	*chain = NULL;
	for (size_t i = 0; seq != 1; i++) {
		struct envelope *envelope = NULL;
		const ProtobufCBinaryData *bytes = find_envelope(story, mark, &value);
		int status = bytes == NULL || i == CHAIN_MAX
				 ? missing(why, name)
				 : unverified(why, envelope_parse(bytes->data, bytes->len, &envelope, why));
		if (status == 0 && i == 0) {
			length = envelope->seq <= CHAIN_MAX ? (size_t)envelope->seq : 0;
			list = calloc(length + 1, sizeof *list);
			if (list == NULL)
				status = refuse(why, STATUS_NO_MEMORY, "", "out of memory");
		}
		if (status == 0 && (i >= length || envelope->seq != length - i))
			status = missing(why, name);
		if (status != 0) {
			envelope_destroy(envelope);
			free(list);
			return status;
		}
		list[length - 1 - i] = *bytes;
		seq = envelope->seq;
		value = envelope->prev;
		envelope_destroy(envelope);
	}
	*chain = list;
	*n = length;
	return 0;
}

static int take_keys(const struct story *story, uint8_t mark, const struct name *name, const struct hash *value,
		     struct moment *moment, struct refusal *why)
{
	const Poc__Entry *entry = register_find(moment->head.reg->payload.register_, name->state);
	const Poc__Trust *trust = verified_head_trust(&moment->head)->payload.trust;
	ProtobufCBinaryData *chain;
	size_t n;
	bool replaced;

	if (entry == NULL || entry->suspended)
		return refuse(why, STATUS_UNVERIFIED, name->state, "%s was %s then", name->state,
			      entry == NULL ? "not in the register" : "suspended");
	int status = collect_chain(story, mark, name->text, *value, &chain, &n, why);
	if (status == 0)
		status = verify_keys(&moment->head, name, value, chain, n, &moment->keys, &replaced, why);
	free(chain);
	if (status == 0 && trust_replacement(trust, name->state) != NULL && !replaced)
		status = refuse(why, STATUS_UNVERIFIED, name->state, "%s was suspended then", name->state);
	return status;
}

static int take_users(const struct story *story, uint8_t mark, const struct name *name, const struct hash *value,
		      struct moment *moment, struct refusal *why)
{
	const ProtobufCBinaryData *bytes = find_envelope(story, mark, value);

	/* one that has lapsed lists nobody: what is signed by it is as false as any other */
	return bytes == NULL ? missing(why, name->text)
			     : unverified(why, verify_users(&moment->head, moment->keys, name, value, bytes,
							    &moment->users, why));
}

static int take_moment(const struct verified_head *head, const struct story *story, uint8_t mark,
		       const Poc__Evidence *e, const struct leaf *state, const struct name *users,
		       struct moment *moment, struct refusal *why)
{
	struct name keys;
	struct hash value;

	*moment = (struct moment){.head.leaf = *state};
	if (!name_make(NAME_KEYS, users->state, NULL, &keys))
		return bad(why, "the signer's place is none");
	int status = item_value(moment, e, "T", &value, why);
	if (status == 0)
		status = take_trust(head, &value, moment, why);
	if (status == 0)
		status = item_value(moment, e, "S", &value, why);
	if (status == 0)
		status = take_register(story, mark, &value, moment, why);
	if (status == 0)
		status = item_value(moment, e, keys.text, &value, why);
	if (status == 0)
		status = take_keys(story, mark, &keys, &value, moment, why);
	if (status == 0)
		status = item_value(moment, e, users->text, &value, why);
	if (status == 0)
		status = take_users(story, mark, users, &value, moment, why);
	return status;
}

/* ---- Steps */

static uint8_t need_of(const struct story_step *step)
{
	if (step->is_notice)
		return NEED_PUBLIC | NEED_NOTICE;
	return step_is_private(step->step) ? NEED_PRIVATE : NEED_PUBLIC;
}

/* A signed item: what its signer was worth at its publication. */
static int judge_signer(const struct verified_head *head, const struct story *story, const Poc__Evidence *e,
			const struct leaf *anchor, struct story_step *step, struct refusal *why)
{
	const struct name *users = step->is_notice ? &story->notice->users : &step->receipt->users;
	const Poc__User *user = NULL;
	struct moment moment = {0};
	struct leaf state;
	int status = check_state(head, e, anchor, &state, why);

	if (status == 0)
		status = take_moment(head, story, need_of(step), e, &state, users, &moment, why);
	if (status == 0) {
		unsigned allowed = trust_algorithms(verified_head_trust(&moment.head)->payload.trust);
		int64_t time = (int64_t)(state.time_ms / 1000);
		status =
		    step->is_notice
			? notice_authorised(story->notice, moment.users->payload.users, allowed, time, &user, why)
			: receipt_authorised(step->receipt, moment.users->payload.users, allowed, time, &user, why);
		status = unverified(why, status);
	}
	if (status == 0) {
		step->automatic = user->service;
		step->signer = value_of(&user->spki);
		step->published = (int64_t)(state.time_ms / 1000);
	}
	moment_finish(&moment);
	return status;
}

static int judge_fact(const struct verified_head *head, const Poc__Evidence *e, const struct leaf *anchor,
		      struct refusal *why)
{
	struct leaf state;

	return check_state(head, e, anchor, &state, why);
}

static int prove_step(const struct verified_head *head, const struct story *story, const Poc__StoryStep *source,
		      struct story_step *step, struct refusal *why)
{
	struct leaf anchor;
	int status = check_anchor(head, source, &anchor, why);

	if (status == 0)
		status = step->fact != NULL ? judge_fact(head, source->evidence, &anchor, why)
					    : judge_signer(head, story, source->evidence, &anchor, step, why);
	step->proven = status == 0;
	step->anchored = (int64_t)(anchor.time_ms / 1000);
	return status;
}

static int read_notice(struct story *story, const struct hash *directory, struct story_step *step, struct refusal *why)
{
	const ProtobufCBinaryData *item = &story->message->steps[0]->item;
	int status = unverified(why, notice_parse(item->data, item->len, &story->notice, why));

	if (status != 0)
		return status;
	const Poc__Core *core = story->notice->core;
	if (memcmp(core->directory_id.data, directory->bytes, HASH_SIZE) != 0)
		return bad(why, "the notice is of another directory");
	*step = (struct story_step){.is_notice = true,
				    .place = core->from->place,
				    .kind = core->from->kind,
				    .handle = core->handle,
				    .time = core->created};
	return 0;
}

static int read_fact(const struct story *story, const ProtobufCBinaryData *item, struct story_step *step,
		     struct refusal *why)
{
	int status = unverified(why, fact_parse(item->data, item->len, &step->fact, why));

	if (status == 0)
		status = unverified(why, fact_fits(step->fact, story->notice, why));
	if (status != 0)
		return status;
	const Poc__Fact *f = step->fact;
	step->step = f->step;
	step->place = f->place;
	step->kind = f->kind;
	step->handle = "";
	step->time = f->time_ms / 1000;
	return 0;
}

static int read_receipt(const struct story *story, const ProtobufCBinaryData *item, struct story_step *step,
			struct refusal *why)
{
	int status = unverified(why, receipt_parse(item->data, item->len, &step->receipt, why));

	if (status == 0)
		status = unverified(why, receipt_fits(step->receipt, story->notice, why));
	if (status != 0)
		return status;
	const Poc__Receipt *r = step->receipt->receipt;
	step->step = r->step;
	step->place = r->place;
	step->kind = r->kind;
	step->handle = r->handle;
	step->time = r->time;
	return 0;
}

/* Says which step it was. */
static int name_step(struct refusal *why, int status, size_t i, const struct story_step *step)
{
	if (status == 0 || why == NULL || status == STATUS_NO_MEMORY)
		return status;
	char said[sizeof why->message];
	/* rules speak of their field: "signature", "is not that of ..." */
	bool verb = strncmp(why->message, "is ", 3) == 0 || strncmp(why->message, "must ", 5) == 0 ||
		    strncmp(why->message, "lies ", 5) == 0 || strncmp(why->message, "has ", 4) == 0;
	snprintf(said, sizeof said, "%.100s%s%.290s", verb ? why->field : "", verb ? " " : "", why->message);
	why->field[0] = '\0';
	if (step->is_notice || i == 0)
		snprintf(why->message, sizeof why->message, "the notice itself: %.300s", said);
	else if (step->place == NULL)
		snprintf(why->message, sizeof why->message, "step %zu: %.300s", i, said);
	else
		snprintf(why->message, sizeof why->message, "step %zu, %s%s%.60s: %.260s", i, step_name(step->step),
			 step->place[0] != '\0' ? " " : "", step->place, said);
	return status;
}

static bool seen_before(const Poc__NoticeStory *message, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (message->steps[j]->item.len == message->steps[i]->item.len &&
		    memcmp(message->steps[j]->item.data, message->steps[i]->item.data, message->steps[i]->item.len) ==
			0)
			return true;
	}
	return false;
}

/* An escalation's desk has nothing to say before the notice was released to it, and that is as well proven. */
static int check_released(const struct story *story, const struct story_step *step, struct refusal *why)
{
	if (step->is_notice || step->step == POC__STEP__STEP_ESCALATED ||
	    notice_side(story->notice, step->place, step->kind) != SIDE_ESCALATION)
		return 0;
	for (const struct story_step *earlier = story->steps; earlier < step; earlier++) {
		if (earlier->step == POC__STEP__STEP_ESCALATED && earlier->kind == step->kind &&
		    strcmp(earlier->place, step->place) == 0 && (earlier->proven || !step->proven))
			return 0;
	}
	return bad(why, "nothing shows that the notice was released to this desk before");
}

static int take_step(const struct verified_head *head, struct story *story, const struct hash *directory, size_t i,
		     struct refusal *why)
{
	const Poc__StoryStep *source = story->message->steps[i];
	struct story_step *step = &story->steps[i];
	int status;

	if (i == 0)
		status = read_notice(story, directory, step, why);
	else if (seen_before(story->message, i))
		status = bad(why, "the same step twice");
	else
		status = source->fact ? read_fact(story, &source->item, step, why)
				      : read_receipt(story, &source->item, step, why);
	if (status == 0 && source->evidence != NULL)
		status = prove_step(head, story, source, step, why);
	if (status == 0)
		status = check_released(story, step, why);
	if (status == 0 && !step->proven && !step_is_private(step->step)) /* those never come with evidence */
		story->unproven++;
	return name_step(why, status, i, step);
}

/* The Inner's last field, put back: tag, length, zeros. */
static int check_unpadded(const struct story *story, struct refusal *why)
{
	enum { TAG = 4 << 3 | 2, VARINT_MAX = 5 };
	const ProtobufCBinaryData *body = &story->message->body;
	const uint32_t padding = story->message->padding;
	uint8_t start[1 + VARINT_MAX] = {TAG};
	size_t used = 1;

	if (padding > NOTICE_BODY_MAX || body->len == 0)
		return bad(why, "padding of a body that has none");
	uint8_t *zeros = calloc(padding, 1);
	if (zeros == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	for (uint32_t rest = padding; rest > 0; rest >>= 7)
		start[used++] = (uint8_t)((rest & 0x7F) | (rest > 0x7F ? 0x80 : 0));
	const struct hash_part parts[] = {{body->data, body->len}, {start, used}, {zeros, padding}};
	const struct hash hash = hash_parts(parts, 3);
	free(zeros);
	return memcmp(hash.bytes, story->notice->header->inner_hash.data, HASH_SIZE) == 0
		   ? 0
		   : bad(why, "the body is not, with its padding, what the header was signed for");
}

/* The encrypted body, or what it decrypts to: the header's signature covers the hashes of both. */
static int check_body(const struct story *story, struct refusal *why)
{
	const ProtobufCBinaryData *body = &story->message->body;
	struct hash hash = value_of(body);

	if (story->message->padding != 0)
		return check_unpadded(story, why);
	if (body->len > 0 && memcmp(hash.bytes, story->notice->header->inner_hash.data, HASH_SIZE) == 0)
		return 0;
	return body->len == 0 ? 0 : unverified(why, notice_check_body(story->notice, body->data, body->len, why));
}

int story_verify(const struct verified_head *head, Poc__NoticeStory *message, struct story **out, struct refusal *why)
{
	struct story *story = calloc(1, sizeof *story);
	struct hash directory = trust_directory_id(head->trust[0]);
	int status = 0;

	*out = NULL;
	if (story != NULL) {
		story->steps = calloc(message->n_steps, sizeof *story->steps);
		story->used = calloc(message->n_envelopes + 1, 1);
	}
	if (story == NULL || story->steps == NULL || story->used == NULL) {
		story_destroy(story);
		message_free(message);
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	}
	story->message = message;
	story->n = message->n_steps;
	for (size_t i = 0; i < story->n && status == 0; i++)
		status = take_step(head, story, &directory, i, why);
	if (status == 0)
		status = check_body(story, why);
	if (status != 0) {
		story_destroy(story);
		return status;
	}
	*out = story;
	return 0;
}

void story_destroy(struct story *story)
{
	if (story == NULL)
		return;
	for (size_t i = 0; i < story->n; i++) {
		receipt_destroy(story->steps[i].receipt);
		message_free(story->steps[i].fact);
	}
	free(story->steps);
	free(story->used);
	notice_destroy(story->notice);
	message_free(story->message);
	free(story);
}

/* ---- Saved files */

/* The log that the file is of: its trust roots and checkpoint, as a proof without items.  The story keeps both. */
static int saved_log(const struct verify_pins *pins, const Poc__NoticeStory *message, struct verified_head **head,
		     struct refusal *why)
{
	Poc__Proof proof = POC__PROOF__INIT;
	ProtobufCMessage *copy;
	uint8_t *bytes;
	size_t size;

	if (message->checkpoint == NULL)
		return bad(why, "the file has no checkpoint");
	proof.version = 1;
	proof.trust = message->trust;
	proof.n_trust = message->n_trust;
	proof.checkpoint = message->checkpoint;
	if (message_encode(&proof, &bytes, &size) != 0)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	int status = proof_decode(bytes, size, (Poc__Proof **)&copy, why);
	free(bytes);
	return status != 0 ? status : verify_log(pins, (Poc__Proof *)copy, head, why);
}

/* Of a file, also what an answer may leave to the directory's word. */
static int check_saved(const struct story *story, struct refusal *why)
{
	const Poc__NoticeStory *message = story->message;

	for (size_t i = 0; i < story->n; i++) {
		if (message->steps[i]->stored_ms != 0)
			return bad(why, "a saved step has no time of storage but that of its evidence");
		if (step_is_private(story->steps[i].step))
			return bad(why, "a saved story holds no step that is private to a desk");
		if (!story->steps[i].proven)
			return bad(why, "a saved story holds no step that nothing proves");
		if (i > 0 &&
		    message->steps[i]->evidence->anchor->index < message->steps[i - 1]->evidence->anchor->index)
			return bad(why, "the steps are not in the order of the log");
	}
	for (size_t i = 0; i < message->n_envelopes; i++) {
		if (story->used[i] == 0)
			return bad(why, "the file holds an envelope that no step needs");
	}
	return 0;
}

int story_verify_saved(const struct verify_pins *pins, const uint8_t *bytes, size_t size, struct verified_head **head,
		       struct story **out, struct refusal *why)
{
	Poc__NoticeStory *message;
	int status = story_decode(bytes, size, &message, why);

	*head = NULL;
	*out = NULL;
	if (status != 0)
		return status;
	status = saved_log(pins, message, head, why);
	if (status != 0)
		message_free(message);
	else
		status = story_verify(*head, message, out, why);
	if (status == 0)
		status = check_saved(*out, why);
	if (status != 0) {
		story_destroy(*out);
		verified_head_unref(*head);
		*out = NULL;
		*head = NULL;
	}
	return status;
}

static bool keep_step(const struct story *story, size_t i, bool alone)
{
	return alone ? i == 0 : story->steps[i].proven && !step_is_private(story->steps[i].step);
}

static bool has_answer_by(const struct story_step *step)
{
	return step->receipt != NULL && step->receipt->receipt->answer_by != 0;
}

bool story_replaced(const struct story *story, size_t step)
{
	const struct story_step *given = &story->steps[step];

	for (size_t i = step + 1; has_answer_by(given) && i < story->n; i++) {
		const struct story_step *later = &story->steps[i];
		if (has_answer_by(later) && later->proven && later->kind == given->kind &&
		    strcmp(later->place, given->place) == 0)
			return true;
	}
	return false;
}

static size_t count_left_out(const struct story *story, bool alone)
{
	size_t n = 0;

	for (size_t i = 0; i < story->n; i++)
		n += !step_is_private(story->steps[i].step) && !keep_step(story, i, alone);
	return n;
}

int story_encode(const struct verified_head *head, const struct story *story, const struct story_with *with,
		 uint8_t **bytes, size_t *size, size_t *left_out, struct refusal *why)
{
	Poc__NoticeStory saved = POC__NOTICE_STORY__INIT;
	ProtobufCBinaryData *trust = calloc(head->n_trust, sizeof *trust);
	ProtobufCBinaryData *envelopes = calloc(story->message->n_envelopes + 1, sizeof *envelopes);
	Poc__StoryStep *steps = calloc(story->n, sizeof *steps), **pointers = calloc(story->n, sizeof *pointers);
	int status = 0;

	*bytes = NULL;
	*left_out = count_left_out(story, with->alone);
	if (trust == NULL || envelopes == NULL || steps == NULL || pointers == NULL) {
		status = refuse(why, STATUS_NO_MEMORY, "", "out of memory");
		goto done;
	}
	if (!story->steps[0].proven) {
		status = refuse(why, STATUS_QUEUED, "", "the notice is not yet anchored: nothing can be proven");
		goto done;
	}
	for (size_t i = 0; i < head->n_trust; i++)
		trust[i] = (ProtobufCBinaryData){head->trust[i]->size, (uint8_t *)head->trust[i]->bytes};
	for (size_t i = 0; i < story->n; i++) {
		if (!keep_step(story, i, with->alone))
			continue;
		steps[i] = *story->message->steps[i];
		steps[i].stored_ms = 0;
		pointers[saved.n_steps++] = &steps[i];
	}
	saved.version = 1;
	saved.trust = trust;
	saved.n_trust = head->n_trust;
	saved.checkpoint = head->proof->checkpoint;
	saved.steps = pointers;
	saved.envelopes = envelopes;
	for (size_t i = 0; i < story->message->n_envelopes; i++) {
		if ((story->used[i] & (with->alone ? NEED_NOTICE : NEED_PUBLIC)) != 0)
			envelopes[saved.n_envelopes++] = story->message->envelopes[i];
	}
	saved.body = (ProtobufCBinaryData){with->body != NULL ? with->size : 0, (uint8_t *)with->body};
	saved.padding = with->padding;
	if (message_encode(&saved, bytes, size) != 0)
		status = refuse(why, STATUS_NO_MEMORY, "", "out of memory");
done:
	free(trust);
	free(envelopes);
	free(steps);
	free(pointers);
	return status;
}
