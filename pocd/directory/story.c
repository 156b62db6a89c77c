/* story: notices as their desks read them: feeds, stories with evidence, bodies; encoded directly from the store.  Its
 * functions are declared in directory.h.
 *
 * A desk sees of a notice's steps: the notice, stored, escalated; what its own desk states or is spoken of; what the
 * sender's desk states; as the sender's desk, and of desks of its own state, all.  Private steps only at their desk. */
#include <stdlib.h>
#include <string.h>

#include "pocd/directory/directory_internal.h"
#include "pocd/directory/rows.h"
#include "proto/wire/encode.h"
#include "proto/wire/frame.h"

enum {
	STORY_VERSION = 1,
	PAGE_MAX = 256 * 1024,
	STORY_PAGE_MAX = 512 * 1024,
	FEED_PER_PAGE = 2000,
	FEED_WALK_MAX = 20000,  /* rows looked at for one page: an alert sees few of them */
	FEED_HEADER_COST = 100, /* in rows: of one whose notice has to be read as well */
	STORY_MOST = FRAME_MAX_ANSWER - 1024,
	ELEMENT_HEAD = 4, /* of an envelope: tag and length */
	VALUES_MAX = 4096,
	VALUE_SLOTS = 2 * VALUES_MAX
};

/* Fields of poc.proto and notice.proto. */
enum {
	FEED_ENTRIES = 1,
	FEED_END = 2,
	ENTRY_CURSOR = 1,
	ENTRY_NOTICE = 2,
	ENTRY_ITEM = 3,
	ENTRY_FACT = 4,
	ENTRY_STORED = 5,
	ANSWER_STORY = 1,
	ANSWER_STEPS = 2,
	STORY_VERSION_FIELD = 1,
	STORY_CHECKPOINT = 3,
	STORY_STEPS = 4,
	STORY_ENVELOPES = 5,
	STORY_BODY = 6,
	STEP_ITEM = 1,
	STEP_FACT = 2,
	STEP_EVIDENCE = 3,
	STEP_STORED_MS = 4,
	EVIDENCE_SIBLINGS = 1,
	EVIDENCE_ANCHOR = 2,
	EVIDENCE_PREVIOUS = 3,
	EVIDENCE_STATE = 4,
	EVIDENCE_ITEMS = 5,
	LOGGED_LEAF = 1,
	LOGGED_INDEX = 2,
	LOGGED_PATH = 3,
	ITEM_NAME = 1,
	ITEM_MAP = 2,
	ITEM_VALUE = 4,
	MAP_SIBLINGS = 1
};

/* ---- Whose desk it is */

static int at_desk(const struct snapshot *snapshot, const struct principal *who, const char *place, Poc__PocKind kind,
		   enum operation operation, struct refusal *why)
{
	struct principal_facts facts;

	if (!desk_user(snapshot, who->state, &who->pin, place, kind, &facts))
		return refuse(why, STATUS_DENIED, operation_name(operation),
			      "this desk is for the users whom U of %s lists for it", place);
	struct verdict verdict = policy_decide(&facts, operation, OBJECT_OWN);
	if (verdict.allowed)
		return 0;
	return refuse(why, facts.suspended ? STATUS_SUSPENDED : STATUS_DENIED, operation_name(operation), "%s",
		      verdict.rule);
}

static int not_a_mirror(const struct directory *directory, struct refusal *why)
{
	return directory->options.follows == NULL ? 0
						  : refuse(why, STATUS_MIRROR, "",
							   "this server is a mirror: it has no notices; ask the "
							   "directory itself");
}

int directory_at_desk(struct directory *directory, const struct principal *who, const char *place, Poc__PocKind kind,
		      enum operation operation, struct refusal *why)
{
	if (not_a_mirror(directory, why) != 0)
		return STATUS_MIRROR;
	struct snapshot *snapshot = ledger_snapshot(directory->ledger);
	if (snapshot == NULL)
		return refuse(why, STATUS_BUSY, "", "nothing has been published yet");
	int status = at_desk(snapshot, who, place, kind, operation, why);
	snapshot_unref(snapshot);
	return status;
}

/* ---- What readers share */

struct reading {
	struct directory *directory;
	struct snapshot *snapshot; /* before the view: all that it covers is in the view */
	struct store_view *view;
	struct encoder encoder;
	struct refusal *why;
};

static int reading_begin(struct reading *reading, struct directory *directory, struct refusal *why)
{
	*reading = (struct reading){.directory = directory, .why = why};
	if (not_a_mirror(directory, why) != 0)
		return STATUS_MIRROR;
	reading->snapshot = ledger_snapshot(directory->ledger);
	if (reading->snapshot == NULL)
		return refuse(why, STATUS_BUSY, "", "nothing has been published yet");
	int status = store_view_begin(directory->options.store, &reading->view);
	if (status != 0) {
		snapshot_unref(reading->snapshot);
		return refuse(why, status, "", "cannot read: %s", status_text(status));
	}
	encode_init(&reading->encoder, 4096);
	return 0;
}

static int reading_end(struct reading *reading, int status, struct answer *out)
{
	enum { ROOM_FOR_HEAD = 64 };

	store_view_end(reading->view);
	snapshot_unref(reading->snapshot);
	if (status == 0 && reading->encoder.failed)
		status = refuse(reading->why, STATUS_NO_MEMORY, "", "out of memory");
	if (status == 0 && reading->encoder.size > FRAME_MAX_ANSWER - ROOM_FOR_HEAD)
		status = refuse(reading->why, STATUS_TOO_LARGE, "", "the answer is too large");
	if (status != 0) {
		encode_finish(&reading->encoder);
		return status;
	}
	*out = (struct answer){reading->encoder.bytes, reading->encoder.size, reading->encoder.bytes, free};
	return 0;
}

static int damaged(struct reading *reading, int status)
{
	return refuse(reading->why, status == STATUS_NOT_FOUND ? STATUS_DAMAGED : status, "", "cannot read: %s",
		      status_text(status));
}

/* ---- Feeds */

struct feed {
	struct reading *reading;
	const char *place;
	Poc__PocKind kind;
	bool headers_only; /* notices received, nothing else */
	uint8_t prefix[ROW_KEY_MAX];
	size_t prefix_size, n, looked;
	uint64_t last; /* cursor of the last row looked at */
};

enum { FEED_ENOUGH = -1, FEED_TIRED = -2 };

/* Whether the desk received the notice. */
static int is_received(struct feed *feed, const struct row_feed *row, bool *out)
{
	struct row_notice notice;
	struct notice *header;
	int status = row_read_notice(feed->reading->view, row->number, &notice);

	if (status == 0)
		status = row_read_header(feed->reading->view, row->number, &header);
	if (status != 0)
		return status;
	*out = row_received(&notice, header->core, core_find(header->core, feed->place, feed->kind));
	notice_destroy(header);
	return 0;
}

static int put_entry(struct feed *feed, const struct row_feed *row)
{
	struct encoder *encoder = &feed->reading->encoder;
	struct row_step step;
	const uint8_t *item;
	size_t size;
	int status = row_read_step(feed->reading->view, row->number, row->step, &step);

	if (status == 0)
		status = row_read_item(feed->reading->view, &step, &item, &size);
	if (status != 0)
		return status;
	size_t entry = encode_begin(encoder, FEED_ENTRIES);
	encode_uint(encoder, ENTRY_CURSOR, row->cursor);
	encode_bytes(encoder, ENTRY_NOTICE, row->id.bytes, NOTICE_ID_SIZE);
	encode_bytes(encoder, ENTRY_ITEM, item, size);
	encode_uint(encoder, ENTRY_FACT, step.fact);
	encode_uint(encoder, ENTRY_STORED, step.stored_ms);
	encode_end(encoder, entry);
	feed->n++;
	return 0;
}

static int each_row(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct feed *feed = ctx;
	struct row_feed row;
	bool wanted = true;

	if (key_size != feed->prefix_size + 8 || memcmp(key, feed->prefix, feed->prefix_size) != 0)
		return FEED_ENOUGH;
	if (feed->n == FEED_PER_PAGE || feed->reading->encoder.size > PAGE_MAX)
		return FEED_ENOUGH;
	if (feed->looked >= FEED_WALK_MAX)
		return FEED_TIRED;
	feed->looked++;
	int status = row_read_feed(key, key_size, value, &row);
	if (status == 0)
		feed->last = row.cursor;
	if (status == 0 && feed->headers_only) {
		wanted = row.step == 0;
		feed->looked += wanted ? FEED_HEADER_COST : 0;
		if (wanted)
			status = is_received(feed, &row, &wanted);
	}
	return status != 0 ? status : wanted ? put_entry(feed, &row) : 0;
}

static int put_feed(struct reading *reading, const char *place, Poc__PocKind kind, uint64_t after, bool headers_only)
{
	struct feed feed = {.reading = reading, .place = place, .kind = kind, .headers_only = headers_only};
	uint8_t from[ROW_KEY_MAX];
	uint64_t end;

	feed.prefix_size = row_desk_key(feed.prefix, place, kind);
	if (after == UINT64_MAX)
		return refuse(reading->why, STATUS_INVALID, "feed.after", "there is no such cursor");
	size_t from_size = row_feed_key(from, place, kind, after + 1);
	int status = store_walk(reading->view, TABLE_FEED, from, from_size, each_row, &feed);
	if (status > 0)
		return damaged(reading, status);
	bool tired = status == FEED_TIRED;
	status = row_read_cursor(reading->view, place, kind, &end);
	/* who sees no more of so many rows goes on after them */
	encode_uint(&reading->encoder, FEED_END, tired && feed.n == 0 ? feed.last : end);
	return status == 0 ? 0 : damaged(reading, status);
}

int directory_feed(struct directory *directory, const struct principal *who, const char *place, Poc__PocKind kind,
		   uint64_t after, struct answer *out, struct refusal *why)
{
	struct reading reading;

	*out = (struct answer){0};
	int status = reading_begin(&reading, directory, why);
	if (status != 0)
		return status;
	bool all = at_desk(reading.snapshot, who, place, kind, OP_NOTICE_READ, NULL) == 0;
	if (!all)
		status = at_desk(reading.snapshot, who, place, kind, OP_NOTICE_HEADERS, why);
	if (status == 0)
		status = put_feed(&reading, place, kind, after, !all);
	return reading_end(&reading, status, out);
}

int directory_feed_end(struct directory *directory, const char *place, Poc__PocKind kind, uint64_t *out,
		       struct refusal *why)
{
	struct store_view *view;
	int status = store_view_begin(directory->options.store, &view);

	*out = 0;
	if (status != 0)
		return refuse(why, status, "", "cannot read: %s", status_text(status));
	status = row_read_cursor(view, place, kind, out);
	store_view_end(view);
	return status == 0 ? 0 : refuse(why, status, "", "cannot read: %s", status_text(status));
}

/* ---- Stories */

/* Values of envelopes that a page's evidence speaks of, each once, and what these take. */
struct values {
	size_t n;
	size_t bytes;
	struct hash items[VALUES_MAX];
	uint16_t slots[VALUE_SLOTS]; /* by hash: places in items, from 1 on; 0: free */
};

/* A K up to whose version the chain is among the values. */
struct chain {
	char name[SNAPSHOT_NAME_ROOM];
	uint64_t seq;
};

/* One for each state that can have signed. */
struct chains {
	size_t n;
	struct chain items[ROW_DESKS_MAX];
};

struct story {
	struct reading *reading;
	const struct story_query *query;
	uint64_t number;
	struct row_notice row;
	struct notice *header;
	int desk; /* that asks */
	struct values *values;
	struct chains chains;
};

static bool own_state(const struct story *story, const char *place)
{
	size_t length = strcspn(place, "/");

	return length == strcspn(story->query->place, "/") && strncmp(place, story->query->place, length) == 0;
}

static bool is_sender(const struct story *story, const char *place, Poc__PocKind kind)
{
	const Poc__Desk *from = story->header->core->from;

	return from->kind == kind && strcmp(from->place, place) == 0;
}

static bool visible(const struct story *story, const struct row_step *step)
{
	bool own = step->kind == story->query->kind && strcmp(step->place, story->query->place) == 0;

	if (step_is_private(step->step))
		return own;
	return own || step->step <= POC__STEP__STEP_STORED || step->step == POC__STEP__STEP_ESCALATED ||
	       is_sender(story, story->query->place, story->query->kind) || is_sender(story, step->place, step->kind) ||
	       own_state(story, step->place);
}

/* ---- Evidence */

/* Where a value is, or belongs. */
static uint16_t *value_slot(struct values *values, const struct hash *value)
{
	uint64_t at;

	memcpy(&at, value->bytes, sizeof at);
	while (values->slots[at % VALUE_SLOTS] != 0 &&
	       hash_compare(&values->items[values->slots[at % VALUE_SLOTS] - 1], value) != 0)
		at++;
	return &values->slots[at % VALUE_SLOTS];
}

static int add_value(struct story *story, const struct hash *value)
{
	struct values *values = story->values;
	uint16_t *slot = value_slot(values, value);
	const uint8_t *bytes;
	size_t size;

	if (*slot != 0)
		return 0;
	if (values->n == VALUES_MAX)
		return STATUS_TOO_LARGE;
	int status = ledger_read_envelope(story->reading->view, value, &bytes, &size, NULL, NULL);
	if (status != 0)
		return status;
	values->items[values->n++] = *value;
	*slot = (uint16_t)values->n;
	values->bytes += size + ELEMENT_HEAD;
	return 0;
}

/* That of a K, new if need be. */
static struct chain *chain_of(struct story *story, const char *name)
{
	struct chains *chains = &story->chains;

	for (size_t i = 0; i < chains->n; i++) {
		if (strcmp(chains->items[i].name, name) == 0)
			return &chains->items[i];
	}
	if (chains->n == ROW_DESKS_MAX)
		return NULL;
	struct chain *chain = &chains->items[chains->n++];
	*chain = (struct chain){.seq = 0};
	strncpy(chain->name, name, sizeof chain->name - 1);
	return chain;
}

/* K is authorised by the versions before it, from the anchor on: they come along, each read once. */
static int add_chain(struct story *story, const char *name, const struct hash *last)
{
	struct chain *chain = chain_of(story, name);
	struct hash value;

	if (chain == NULL)
		return STATUS_DAMAGED;
	if (*value_slot(story->values, last) != 0)
		return 0;
	for (;;) {
		int status = ledger_read_version(story->reading->view, name, chain->seq + 1, &value, NULL);
		if (status == 0)
			status = add_value(story, &value);
		if (status != 0)
			return status;
		chain->seq++;
		if (hash_compare(&value, last) == 0)
			return 0;
	}
}

static int put_items(struct story *story, uint64_t publication, const char *signer)
{
	struct encoder *encoder = &story->reading->encoder;
	struct ledger_evidence evidence;
	int status = ledger_read_evidence(story->reading->view, publication, signer, &evidence);

	for (size_t i = 0; i < LEDGER_EVIDENCE_ITEMS && status == 0; i++) {
		const struct ledger_evidence_item *item = &evidence.items[i];
		size_t begin = encode_begin(encoder, EVIDENCE_ITEMS);
		encode_text(encoder, ITEM_NAME, item->name);
		size_t map = encode_begin(encoder, ITEM_MAP);
		encode_bytes(encoder, MAP_SIBLINGS, item->siblings, (size_t)item->depth * HASH_SIZE);
		encode_end(encoder, map);
		encode_bytes(encoder, ITEM_VALUE, item->value.bytes, HASH_SIZE);
		encode_end(encoder, begin);
		status =
		    item->name[0] == 'K' ? add_chain(story, item->name, &item->value) : add_value(story, &item->value);
	}
	return status;
}

/* A leaf, its index and its path in the log of the snapshot's checkpoint. */
static int put_leaf(struct story *story, uint64_t index, unsigned field)
{
	struct encoder *encoder = &story->reading->encoder;
	struct merkle_proof path;
	uint8_t bytes[LEAF_SIZE];
	char name[SNAPSHOT_NAME_ROOM];
	struct leaf leaf;
	int status = ledger_read_leaf(story->reading->view, index, &leaf, name, sizeof name);

	if (status == 0)
		status =
		    ledger_read_path(story->reading->view, index, story->reading->snapshot->checkpoint.size, &path);
	if (status != 0)
		return status;
	leaf_write(&leaf, bytes);
	size_t logged = encode_begin(encoder, field);
	encode_bytes(encoder, LOGGED_LEAF, bytes, sizeof bytes);
	encode_uint(encoder, LOGGED_INDEX, index);
	encode_bytes(encoder, LOGGED_PATH, path.hashes, path.length * HASH_SIZE);
	encode_end(encoder, logged);
	return 0;
}

/* The STATE leaf before a publication's; nothing before the first. */
static int put_previous(struct story *story, uint64_t publication)
{
	uint64_t size;
	const char *note;
	size_t note_size;

	if (publication == 1)
		return 0;
	int status = ledger_read_publication(story->reading->view, publication - 1, &size, &note, &note_size);
	return status != 0 ? status : put_leaf(story, size - 1, EVIDENCE_PREVIOUS);
}

/* Nothing if the item is not under the snapshot's checkpoint. */
static int put_evidence(struct story *story, const struct row_step *step)
{
	const struct snapshot *snapshot = story->reading->snapshot;
	struct encoder *encoder = &story->reading->encoder;
	struct ledger_event_row event;
	uint64_t publication, state;
	int status = ledger_read_state_after(story->reading->view, step->leaf, snapshot->number, &publication, &state);

	if (status == STATUS_NOT_FOUND)
		return 0;
	if (status == 0)
		status = ledger_read_event(story->reading->view, step->leaf, step->at, &event);
	if (status != 0)
		return status;
	size_t evidence = encode_begin(encoder, STEP_EVIDENCE);
	encode_bytes(encoder, EVIDENCE_SIBLINGS, event.siblings, (size_t)event.depth * HASH_SIZE);
	status = put_leaf(story, step->leaf, EVIDENCE_ANCHOR);
	if (status == 0)
		status = put_previous(story, publication);
	if (status == 0)
		status = put_leaf(story, state, EVIDENCE_STATE);
	if (status == 0 && event.signer[0] != '\0')
		status = put_items(story, publication, event.signer);
	encode_end(encoder, evidence);
	return status;
}

/* ---- The answer */

static int put_step(struct story *story, const struct row_step *step)
{
	struct encoder *encoder = &story->reading->encoder;
	const uint8_t *item;
	size_t size;
	int status = row_read_item(story->reading->view, step, &item, &size);

	if (status != 0)
		return status;
	size_t begin = encode_begin(encoder, STORY_STEPS);
	encode_bytes(encoder, STEP_ITEM, item, size);
	encode_uint(encoder, STEP_FACT, step->fact);
	if (story->query->with_evidence && !step_is_private(step->step))
		status = put_evidence(story, step);
	encode_uint(encoder, STEP_STORED_MS, step->stored_ms);
	encode_end(encoder, begin);
	return status;
}

/* How far a page had come before a step. */
struct mark {
	size_t size, n, bytes;
	struct chains chains;
};

static struct mark mark_of(const struct story *story)
{
	return (struct mark){story->reading->encoder.size, story->values->n, story->values->bytes, story->chains};
}

/* Takes a step back, with what only it needed. */
static void back_to(struct story *story, const struct mark *mark)
{
	struct values *values = story->values;

	encode_back(&story->reading->encoder, mark->size);
	values->n = 0;
	values->bytes = mark->bytes;
	memset(values->slots, 0, sizeof values->slots);
	while (values->n < mark->n) {
		uint16_t *slot = value_slot(values, &values->items[values->n]);
		*slot = (uint16_t)++values->n;
	}
	story->chains = mark->chains;
}

static size_t page_size(const struct story *story)
{
	return story->reading->encoder.size + story->values->bytes;
}

/* One more step, unless the page has no room for it and its signer's chain: then *full.  The first has. */
static int put_one_more(struct story *story, const struct row_step *step, bool first, bool *full)
{
	struct mark mark = mark_of(story);

	*full = !first && page_size(story) > STORY_PAGE_MAX;
	if (*full)
		return 0;
	int status = put_step(story, step);
	if (first || (status != STATUS_TOO_LARGE && page_size(story) <= STORY_MOST))
		return status;
	*full = true;
	back_to(story, &mark);
	return 0;
}

/* As many steps as fit, from the one that was asked for; *whole is how many the desk sees in all. */
static int put_steps(struct story *story, uint32_t *whole)
{
	uint32_t last = story->query->with_body ? 1 : story->row.n_steps;
	bool full = false, first = true;
	struct row_step step;
	int status = 0;

	*whole = 0;
	for (uint32_t n = 0; n < story->row.n_steps && status == 0; n++) {
		status = row_read_step(story->reading->view, story->number, n, &step);
		if (status != 0 || !visible(story, &step))
			continue;
		if ((*whole)++ >= story->query->from_step && !full && n < last) {
			status = put_one_more(story, &step, first, &full);
			first = false;
		}
	}
	return status;
}

static int by_value(const void *a, const void *b)
{
	return hash_compare(a, b);
}

/* Ascending; nothing is added after that. */
static int put_envelopes(struct story *story)
{
	const uint8_t *bytes;
	size_t size;
	int status = 0;

	if (story->values->n > 1)
		qsort(story->values->items, story->values->n, sizeof *story->values->items, by_value);
	for (size_t i = 0; i < story->values->n && status == 0; i++) {
		status =
		    ledger_read_envelope(story->reading->view, &story->values->items[i], &bytes, &size, NULL, NULL);
		if (status == 0)
			encode_element(&story->reading->encoder, STORY_ENVELOPES, bytes, size);
	}
	return status;
}

static int put_body(struct story *story)
{
	struct store_value body;
	uint8_t key[8];

	schema_put_u64(key, story->number);
	int status = store_get(story->reading->view, TABLE_BODY, key, sizeof key, &body);
	if (status == 0)
		encode_bytes(&story->reading->encoder, STORY_BODY, body.bytes, body.size);
	return status;
}

static int put_story(struct story *story)
{
	const struct snapshot *snapshot = story->reading->snapshot;
	struct encoder *encoder = &story->reading->encoder;
	uint32_t whole;

	if (story->query->with_body && story->row.body_size == 0)
		return refuse(story->reading->why, STATUS_EXPIRED, "get_notice.id",
			      "its body is past the time that the directory keeps it");
	size_t begin = encode_begin(encoder, ANSWER_STORY);
	encode_uint(encoder, STORY_VERSION_FIELD, STORY_VERSION);
	if (story->query->with_evidence && story->query->checkpoint_size != snapshot->checkpoint.size)
		encode_element(encoder, STORY_CHECKPOINT, snapshot->head, snapshot->head_size);
	int status = put_steps(story, &whole);
	if (status == 0)
		status = put_envelopes(story);
	if (status == 0 && story->query->with_body)
		status = put_body(story);
	encode_end(encoder, begin);
	encode_uint(encoder, ANSWER_STEPS, whole);
	return status == 0 ? 0 : damaged(story->reading, status);
}

/* STATUS_NOT_FOUND: there is no such notice, or it is none of this desk's business. */
static int find(struct story *story)
{
	int status = row_find_notice(story->reading->view, &story->query->id, &story->number);

	if (status == 0)
		status = row_read_notice(story->reading->view, story->number, &story->row);
	if (status == 0)
		status = row_read_header(story->reading->view, story->number, &story->header);
	if (status == 0) {
		story->desk = core_find(story->header->core, story->query->place, story->query->kind);
		if (!row_party(&story->row, story->header->core, story->desk))
			status = STATUS_NOT_FOUND;
	}
	if (status == STATUS_NOT_FOUND)
		return refuse(story->reading->why, status, "get_notice.id", "there is no such notice at this desk");
	return status == 0 ? 0 : damaged(story->reading, status);
}

static int tell(struct reading *reading, const struct story_query *query, bool *fetched)
{
	struct story story = {.reading = reading, .query = query, .values = calloc(1, sizeof(struct values))};
	int status = story.values != NULL ? find(&story) : refuse(reading->why, STATUS_NO_MEMORY, "", "out of memory");

	if (status == 0)
		status = put_story(&story);
	if (status == 0 && query->with_body)
		*fetched = row_received(&story.row, story.header->core, story.desk) &&
			   (story.row.done[story.desk] >> POC__STEP__STEP_DELIVERED & 1) == 0;
	notice_destroy(story.header);
	free(story.values);
	return status;
}

int directory_story(struct directory *directory, const struct principal *who, const struct story_query *query,
		    struct answer *out, bool *fetched, struct refusal *why)
{
	struct reading reading;

	*out = (struct answer){0};
	*fetched = false;
	int status = reading_begin(&reading, directory, why);
	if (status != 0)
		return status;
	status = at_desk(reading.snapshot, who, query->place, query->kind, OP_NOTICE_READ, why);
	if (status == 0)
		status = tell(&reading, query, fetched);
	return reading_end(&reading, status, out);
}
