#include "tests/liar/letter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/prescan.h"

static void check(bool good, const char *what)
{
	if (!good) {
		fprintf(stderr, "letter: %s\n", what);
		abort();
	}
}

void letter_finish(struct letter *letter)
{
	for (size_t i = 0; i < letter->n_moments; i++)
		book_finish(&letter->moments[i].book);
	*letter = (struct letter){0};
}

void letter_fork(const struct letter *from, struct letter *to)
{
	letter_finish(to);
	*to = *from;
	for (size_t i = 0; i < from->n_moments; i++) {
		to->moments[i].book = (struct book){0};
		book_keep(&from->moments[i].book, &to->moments[i].book);
	}
}

/* ---- Steps */

static void say(struct letter *letter, struct book *book, const uint8_t *bytes, size_t size, const char *users)
{
	struct letter_step *step = &letter->steps[letter->n];

	check(letter->n < LETTER_STEPS && size <= sizeof step->item, "too much is said");
	memcpy(step->item, bytes, size);
	step->size = size;
	step->users = users;
	step->anchor = book_anchor(book, bytes, size);
	step->moment = letter->n_moments;
	letter->n++;
}

static void fill_core(const struct letter *letter, const struct world *world, Poc__Core *core, Poc__Desk *from,
		      Poc__Desk *to, Poc__Desk **list)
{
	poc__desk__init(from);
	poc__desk__init(to);
	poc__core__init(core);
	from->place = "XA";
	to->place = "XB";
	from->kind = to->kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	list[0] = to;
	core->directory_id = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)world->directory_id.bytes};
	core->id = core->thread = (ProtobufCBinaryData){NOTICE_ID_SIZE, (uint8_t *)letter->id.bytes};
	core->from = from;
	core->handle = "operator";
	core->to = list;
	core->n_to = 1;
	core->category = POC__CATEGORY__CATEGORY_NOTIFICATION;
	core->urgency = POC__URGENCY__URGENCY_ROUTINE;
	core->tlp = POC__NOTICE_TLP__NOTICE_TLP_AMBER;
	core->created = world->now;
}

void letter_notice(struct letter *letter, struct book *book)
{
	struct world *world = book->scene.world;
	const struct world_state *xa = world_state(world, "XA"), *xb = world_state(world, "XB");
	struct notice_keys keys[2] = {{keystore_public(xa->reading), 1}, {keystore_public(xb->reading), 1}};
	Poc__Core core;
	Poc__Desk from, to, *list[1];
	Poc__NoticeContent content = POC__NOTICE_CONTENT__INIT;
	uint8_t *header, *body;
	size_t header_size, body_size;

	check(notice_new_id(&letter->id) == 0, "id");
	fill_core(letter, world, &core, &from, &to, list);
	content.subject = "Scans";
	check(notice_make(&core, &content, keys, xa->operator_, &header, &header_size, &body, &body_size, NULL) == 0,
	      "notice");
	letter->hash = hash_of(header, header_size);
	say(letter, book, header, header_size, "U/XA");
	free(header);
	free(body);
}

void letter_stored(struct letter *letter, struct book *book)
{
	Poc__Fact fact = POC__FACT__INIT;
	uint8_t *bytes;
	size_t size;

	fact.directory_id = (ProtobufCBinaryData){HASH_SIZE, book->scene.world->directory_id.bytes};
	fact.notice_id = (ProtobufCBinaryData){NOTICE_ID_SIZE, letter->id.bytes};
	fact.notice_hash = (ProtobufCBinaryData){HASH_SIZE, letter->hash.bytes};
	fact.step = POC__STEP__STEP_STORED;
	fact.time_ms = (int64_t)book->scene.time_ms;
	check(fact_make(&fact, &bytes, &size, NULL) == 0, "fact");
	say(letter, book, bytes, size, NULL);
	free(bytes);
}

void letter_receipt(struct letter *letter, struct book *book, Poc__Step step, int64_t time,
		    const struct keystore_key *signer)
{
	Poc__Receipt receipt = POC__RECEIPT__INIT;
	uint8_t *bytes;
	size_t size;

	receipt.directory_id = (ProtobufCBinaryData){HASH_SIZE, book->scene.world->directory_id.bytes};
	receipt.notice_id = (ProtobufCBinaryData){NOTICE_ID_SIZE, letter->id.bytes};
	receipt.notice_hash = (ProtobufCBinaryData){HASH_SIZE, letter->hash.bytes};
	receipt.step = step;
	receipt.place = "XB";
	receipt.kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	receipt.handle = "operator";
	receipt.time = time;
	check(receipt_make(&receipt, signer, &bytes, &size, NULL) == 0, "receipt");
	say(letter, book, bytes, size, "U/XB");
	free(bytes);
}

void letter_alter_last(struct letter *letter, struct book *book, int64_t time)
{
	struct letter_step *step = &letter->steps[--letter->n];
	struct receipt *receipt;
	uint8_t *payload, *envelope;
	size_t payload_size, size;

	check(receipt_parse(step->item, step->size, &receipt, NULL) == 0, "no receipt");
	receipt->receipt->time = time;
	check(message_encode(receipt->receipt, &payload, &payload_size) == 0, "encode");
	ProtobufCBinaryData own = receipt->outer->payload;
	receipt->outer->payload = (ProtobufCBinaryData){payload_size, payload};
	check(message_encode(receipt->outer, &envelope, &size) == 0, "encode");
	receipt->outer->payload = own;
	say(letter, book, envelope, size, "U/XB");
	receipt_destroy(receipt);
	free(payload);
	free(envelope);
}

void letter_publish(struct letter *letter, struct book *book)
{
	struct letter_moment *moment = &letter->moments[letter->n_moments];

	check(letter->n_moments < LETTER_MOMENTS, "too many publications");
	moment->previous = book->last_state;
	book_publish(book);
	book_keep(book, &moment->book);
	moment->index = book->last_state;
	letter->n_moments++;
}

/* ---- Answers */

static void add_entry(const struct letter *letter, const struct letter_step *step, uint64_t after,
		      struct letter_feed *out)
{
	Poc__FeedEntry *entry = &out->entries[out->answer.n_entries];

	if (++out->answer.end <= after)
		return;
	poc__feed_entry__init(entry);
	entry->cursor = out->answer.end;
	entry->notice_id = (ProtobufCBinaryData){NOTICE_ID_SIZE, (uint8_t *)letter->id.bytes};
	entry->item = (ProtobufCBinaryData){step->size, (uint8_t *)step->item};
	entry->fact = step->users == NULL;
	entry->stored_ms = 1;
	out->pointers[out->answer.n_entries++] = entry;
}

void letter_feed(const struct letter *letter, const Poc__Feed *feed, struct letter_feed *out)
{
	memset(out, 0, sizeof *out);
	poc__feed_answer__init(&out->answer);
	out->answer.entries = out->pointers;
	letter_feed_more(letter, feed, out);
}

void letter_feed_more(const struct letter *letter, const Poc__Feed *feed, struct letter_feed *out)
{
	if (strcmp(feed->place, "XA") != 0 || feed->kind != POC__POC_KIND__POC_KIND_TECHNICAL)
		return;
	for (size_t i = 0; i < letter->n; i++)
		add_entry(letter, &letter->steps[i], feed->after, out);
	for (size_t i = 0; i < letter->repeated; i++)
		add_entry(letter, &letter->steps[0], feed->after, out);
}

static Poc__LoggedLeaf *log_leaf(struct book *book, size_t index, struct letter_logged *out)
{
	struct scene_log log = {book->leaves, book->n_leaves};

	poc__logged_leaf__init(&out->leaf);
	check(merkle_inclusion(scene_read_log, &log, index, book->n_leaves, &out->path) == 0, "path");
	out->leaf.leaf = (ProtobufCBinaryData){LEAF_SIZE, book->leaf_bytes[index]};
	out->leaf.index = index;
	out->leaf.path = (ProtobufCBinaryData){out->path.length * HASH_SIZE, (uint8_t *)out->path.hashes};
	return &out->leaf;
}

static void prove(const struct letter *letter, struct book *book, size_t i, struct letter_story *out)
{
	const struct letter_step *step = &letter->steps[i];
	const struct letter_moment *moment = &letter->moments[step->moment];
	Poc__Evidence *e = &out->evidence[i];

	poc__evidence__init(e);
	e->anchor = log_leaf(book, step->anchor, &out->logged[i][0]);
	e->previous = log_leaf(book, moment->previous, &out->logged[i][1]);
	e->state = log_leaf(book, moment->index, &out->logged[i][2]);
	if (step->users != NULL) {
		const char *names[] = {strcmp(step->users, "U/XA") == 0 ? "K/XA" : "K/XB", "S", "T", step->users};
		for (size_t k = 0; k < 4; k++) {
			scene_item(&moment->book.scene, names[k], &out->items[i][k]);
			out->item_pointers[i][k] = &out->items[i][k].item;
		}
		e->items = out->item_pointers[i];
		e->n_items = 4;
	}
	poc__story_step__init(&out->steps[i]);
	out->steps[i].item = (ProtobufCBinaryData){step->size, (uint8_t *)step->item};
	out->steps[i].fact = step->users == NULL;
	out->steps[i].evidence = e;
	out->steps[i].stored_ms = 1;
	out->step_pointers[i] = &out->steps[i];
}

static int by_value(const void *a, const void *b)
{
	const ProtobufCBinaryData *x = a, *y = b;
	struct hash p = hash_of(x->data, x->len), q = hash_of(y->data, y->len);

	return hash_compare(&p, &q);
}

void letter_story(const struct letter *letter, struct book *book, uint64_t checkpoint_size, struct letter_story *out)
{
	static const char *const names[] = {"K/XA", "K/XB", "S", "U/XA", "U/XB"};

	memset(out, 0, sizeof *out);
	poc__notice_story__init(&out->story);
	for (size_t i = 0; i < letter->n; i++)
		prove(letter, book, i, out);
	out->story.version = 1;
	out->story.steps = out->step_pointers;
	out->story.n_steps = letter->n;
	out->story.envelopes = out->envelopes;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		const struct book_entry *entry = book_find(book, names[i]);
		for (size_t k = 0; k < entry->n; k++)
			out->envelopes[out->story.n_envelopes++] =
			    (ProtobufCBinaryData){entry->versions[k].size, entry->versions[k].bytes};
	}
	qsort(out->envelopes, out->story.n_envelopes, sizeof out->envelopes[0], by_value);
	out->checkpoint = book->scene.checkpoint;
	if (checkpoint_size != book->n_leaves)
		out->story.checkpoint = &out->checkpoint;
}
