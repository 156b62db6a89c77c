/* Notices in a directory: what is let in, who hears of it, in which order, once; against a naive model of the rules. */
#include "tests/lib/unit.h"

#include <unistd.h>

#include "pocd/base/metrics.h"
#include "pocd/directory/directory.h"
#include "pocd/directory/rows.h"
#include "pocd/handlers/session.h"
#include "pocd/offline.h"
#include "proto/keys/keystore_file.h"
#include "proto/proof/note.h"
#include "proto/rules/users.h"
#include "proto/wire/poc.pb-c.h"
#include "proto/wire/prescan.h"
#include "tests/lib/world_directory.h"

enum { START = 1790000000 };

#define TECHNICAL POC__POC_KIND__POC_KIND_TECHNICAL
#define DIPLOMATIC POC__POC_KIND__POC_KIND_DIPLOMATIC

struct house {
	struct world *world;
	struct store *store;
	struct directory *directory;
	struct directory_options options;
	char folder[64];                                         /* of a store on disk; empty: in memory */
	void (*growing)(struct house *house, Poc__PocKind kind); /* NULL allowed */
	size_t n_grown;
	struct grown {
		char place[PLACE_ROOM];
		Poc__PocKind kind;
		uint64_t cursor;
	} grown[64];
};

static void note_growth(void *ctx, const char *place, Poc__PocKind kind, uint64_t cursor)
{
	struct house *house = ctx;

	if (house->growing != NULL)
		house->growing(house, kind);
	if (house->n_grown == 64)
		return;
	struct grown *grown = &house->grown[house->n_grown++];
	*grown = (struct grown){.kind = kind, .cursor = cursor};
	snprintf(grown->place, sizeof grown->place, "%s", place);
}

static void must_be_done(void *ctx, const struct change_outcome *outcome)
{
	(void)ctx;
	if (outcome->status != 0)
		fail_msg("%s: %s", outcome->why->field, outcome->why->message);
}

/* Queues; the next turn of the writer takes it. */
static void queue(struct house *house, const struct change_write *writes, size_t n)
{
	struct refusal why = {0};

	if (directory_submit(house->directory, NULL, writes, n, false, must_be_done, NULL, &why) != 0)
		fail_msg("%s", why.message);
}

static void turn(struct house *house)
{
	assert_int_equal(directory_run_once(house->directory), 0);
}

static void reopen(struct house *house)
{
	struct refusal why = {0};

	directory_close(house->directory);
	if (directory_open(&house->options, &house->directory, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
}

static void open_on_disk(struct house *house)
{
	char path[80];
	struct store_lmdb_options options = {.path = path, .create = 1, .map_size = 256 << 20};
	struct refusal why = {0};

	strcpy(house->folder, "/tmp/pocd-test-XXXXXX");
	assert_non_null(mkdtemp(house->folder));
	snprintf(path, sizeof path, "%s/data", house->folder);
	if (store_lmdb_open(&options, &house->store, &why) != 0)
		fail_msg("%s", why.message);
}

static int setup_in(void **context, bool on_disk)
{
	struct house *house = calloc(1, sizeof *house);

	world_clock_ms = (uint64_t)START * 1000;
	house->world = world_create(START);
	if (on_disk)
		open_on_disk(house);
	else
		house->store = store_mem_create();
	house->options = world_directory_options(house->world, house->store);
	house->options.retention_ms = (uint64_t)30 * 86400 * 1000;
	house->options.grown = note_growth;
	house->options.grown_ctx = house;
	world_directory_create(house->world, &house->options);
	reopen(house);
	for (int i = 0; i < 4; i++) {
		const char *codes[] = {"XA", "XB", "XC", "XD"};
		struct world_state *state = world_add_state(house->world, codes[i]);
		struct change_write writes[] = {world_write(&house->world->reg), world_write(&state->keys),
						world_write(&state->users), world_write(&state->record)};
		writes[3].sections = state->sections;
		writes[3].n_sections = WORLD_SECTIONS;
		queue(house, writes, 4);
		turn(house);
	}
	*context = house;
	return 0;
}

static int setup(void **context)
{
	return setup_in(context, false);
}

static int setup_on_disk(void **context)
{
	return setup_in(context, true);
}

static int teardown(void **context)
{
	struct house *house = *context;
	struct refusal why = {0};

	if (offline_check_store(house->store, NULL, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	directory_close(house->directory);
	store_close(house->store);
	world_destroy(house->world);
	if (house->folder[0] != '\0') {
		char command[80];
		snprintf(command, sizeof command, "rm -rf %s", house->folder);
		assert_int_equal(system(command), 0);
	}
	free(house);
	return 0;
}

static struct principal user(struct house *house, const char *state, const struct keystore_key *key)
{
	struct principal who;

	assert_int_equal(directory_principal(house->directory, state, &keystore_public(key)->id, &who), 0);
	return who;
}

static struct principal operator_of(struct house *house, const char *state)
{
	return user(house, state, world_state(house->world, state)->operator_);
}

/* ---- Making notices and receipts */

struct spot {
	const char *place;
	Poc__PocKind kind;
};

struct letter {
	struct notice_id id, thread, answers; /* answers zero: none */
	struct spot from, to[3], escalation;
	size_t n_to;
	int64_t created, escalate_at; /* 0: no escalation */
	int64_t escalate_again;       /* to the same desk; 0: once */
	Poc__Category category;
	const struct keystore_key *stale;  /* instead of the first recipient's reading key */
	const struct keystore_key *signer; /* NULL: the operator */
	uint8_t *header, *body;
	size_t header_size, body_size;
};

static char own_code[3];

static struct world_state *state_of(struct house *house, const char *place)
{
	if (place[0] == '@')
		return world_state(house->world, place);
	memcpy(own_code, place, 2);
	return world_state(house->world, own_code);
}

static void letter_finish(struct letter *letter)
{
	free(letter->header);
	free(letter->body);
	letter->header = letter->body = NULL;
}

static void seal(struct house *house, struct letter *letter)
{
	Poc__Core core = POC__CORE__INIT;
	Poc__Desk desks[5], *to[3];
	Poc__Escalation escalation = POC__ESCALATION__INIT, second = POC__ESCALATION__INIT,
			*escalations[] = {&escalation, &second};
	Poc__NoticeContent content = POC__NOTICE_CONTENT__INIT;
	struct notice_keys keys[6];
	struct refusal why = {0};
	static const struct notice_id none;
	struct world_state *sender = state_of(house, letter->from.place);

	for (size_t i = 0; i < 5; i++)
		poc__desk__init(&desks[i]);
	desks[0].place = (char *)letter->from.place;
	desks[0].kind = letter->from.kind;
	keys[0] = (struct notice_keys){keystore_public(sender->reading), 1};
	for (size_t i = 0; i < letter->n_to; i++) {
		desks[i + 1].place = (char *)letter->to[i].place;
		desks[i + 1].kind = letter->to[i].kind;
		to[i] = &desks[i + 1];
		keys[i + 1] = (struct notice_keys){keystore_public(state_of(house, letter->to[i].place)->reading), 1};
	}
	if (letter->stale != NULL)
		keys[1].keys = keystore_public(letter->stale);
	if (letter->escalate_at != 0) {
		desks[4].place = (char *)letter->escalation.place;
		desks[4].kind = letter->escalation.kind;
		escalation.at = letter->escalate_at;
		escalation.to = &desks[4];
		core.escalations = escalations;
		core.n_escalations = letter->escalate_again != 0 ? 2 : 1;
		second.at = letter->escalate_again;
		second.to = &desks[4];
		keys[letter->n_to + 1] = keys[letter->n_to + 2] =
		    (struct notice_keys){keystore_public(state_of(house, letter->escalation.place)->reading), 1};
	}
	if (memcmp(&letter->id, &none, sizeof none) == 0)
		assert_int_equal(notice_new_id(&letter->id), 0);
	if (memcmp(&letter->thread, &none, sizeof none) == 0)
		letter->thread = letter->id;
	core.directory_id = (ProtobufCBinaryData){HASH_SIZE, house->world->directory_id.bytes};
	core.id = (ProtobufCBinaryData){NOTICE_ID_SIZE, letter->id.bytes};
	core.thread = (ProtobufCBinaryData){NOTICE_ID_SIZE, letter->thread.bytes};
	if (memcmp(&letter->answers, &none, sizeof none) != 0)
		core.answers = (ProtobufCBinaryData){NOTICE_ID_SIZE, letter->answers.bytes};
	core.from = &desks[0];
	core.handle = "operator";
	core.to = to;
	core.n_to = letter->n_to;
	core.category = letter->category != 0 ? letter->category : POC__CATEGORY__CATEGORY_NOTIFICATION;
	core.urgency = POC__URGENCY__URGENCY_ROUTINE;
	core.tlp = POC__NOTICE_TLP__NOTICE_TLP_AMBER;
	core.created = letter->created != 0 ? letter->created : (int64_t)(world_clock_ms / 1000);
	content.subject = "Scans";
	letter_finish(letter);
	if (notice_make(&core, &content, keys, letter->signer != NULL ? letter->signer : sender->operator_,
			&letter->header, &letter->header_size, &letter->body, &letter->body_size, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
}

/* What became of a post. */
struct told {
	bool called;
	int status;
	struct post_result result;
	struct refusal why;
};

static void take(void *ctx, int status, const struct post_result *result, const struct refusal *why)
{
	struct told *told = ctx;

	assert_false(told->called);
	told->called = true;
	told->status = status;
	if (status == 0)
		told->result = *result;
	else
		told->why = *why;
}

static void hand_in(struct house *house, const struct principal *who, const struct post_in *in, struct told *told)
{
	*told = (struct told){.called = false};
	int status = directory_post(house->directory, who, in, take, told, &told->why);
	if (status != 0) {
		told->called = true;
		told->status = status;
	}
}

static void expect(const struct told *told, int status)
{
	assert_true(told->called);
	if (told->status != status)
		fail_msg("%s instead of %s: %s: %s", status_name(told->status), status_name(status), told->why.field,
			 told->why.message);
}

static void send_as(struct house *house, const struct principal *who, const struct letter *letter, struct told *told)
{
	struct post_in in = {letter->header, letter->body, letter->header_size, letter->body_size};

	hand_in(house, who, &in, told);
}

static struct told send_letter(struct house *house, const struct letter *letter)
{
	struct principal who = operator_of(house, state_of(house, letter->from.place)->code);
	struct told told;

	send_as(house, &who, letter, &told);
	turn(house);
	return told;
}

struct said {
	struct spot desk;
	Poc__Step step;
	struct notice_id answer;
	int64_t time, answer_by;
	Poc__Reason reason; /* of declined; 0: other */
};

static void sign_receipt(struct house *house, const struct letter *letter, const struct said *note, uint8_t **bytes,
			 size_t *size)
{
	Poc__Receipt receipt = POC__RECEIPT__INIT;
	struct hash hash = hash_of(letter->header, letter->header_size);
	struct refusal why = {0};

	receipt.directory_id = (ProtobufCBinaryData){HASH_SIZE, house->world->directory_id.bytes};
	receipt.notice_id = (ProtobufCBinaryData){NOTICE_ID_SIZE, (uint8_t *)letter->id.bytes};
	receipt.notice_hash = (ProtobufCBinaryData){HASH_SIZE, hash.bytes};
	receipt.step = note->step;
	receipt.place = (char *)note->desk.place;
	receipt.kind = note->desk.kind;
	receipt.handle = "operator";
	if (note->step == POC__STEP__STEP_DECLINED)
		receipt.reason = note->reason != 0 ? note->reason : POC__REASON__REASON_OTHER;
	receipt.time = note->time != 0 ? note->time : (int64_t)(world_clock_ms / 1000);
	receipt.answer_by = note->answer_by;
	if (note->step == POC__STEP__STEP_ANSWERED)
		receipt.answer = (ProtobufCBinaryData){NOTICE_ID_SIZE, (uint8_t *)note->answer.bytes};
	if (receipt_make(&receipt, state_of(house, note->desk.place)->operator_, bytes, size, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
}

static struct told receive(struct house *house, const struct letter *letter, const struct said *note)
{
	struct principal who = operator_of(house, state_of(house, note->desk.place)->code);
	uint8_t *bytes;
	size_t size;
	struct told told;

	sign_receipt(house, letter, note, &bytes, &size);
	struct post_in in = {bytes, NULL, size, 0};
	hand_in(house, &who, &in, &told);
	turn(house);
	free(bytes);
	return told;
}

/* ---- Reading */

static Poc__FeedAnswer *read_feed(struct house *house, const struct principal *who, struct spot desk, uint64_t after)
{
	struct answer answer;
	struct refusal why = {0};
	ProtobufCMessage *message;
	struct prescan_limits limits = {.depth = 4, .fields = 100000, .memory = 64 << 20};

	if (directory_feed(house->directory, who, desk.place, desk.kind, after, &answer, &why) != 0)
		fail_msg("%s", why.message);
	if (message_decode(&poc__feed_answer__descriptor, answer.bytes, answer.size, &limits, &message, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	answer_finish(&answer);
	return (Poc__FeedAnswer *)message;
}

static int read_story(struct house *house, const struct principal *who, struct story_query query,
		      Poc__NoticeStory **out, uint32_t *steps)
{
	struct answer answer;
	struct refusal why = {0};
	ProtobufCMessage *message, *story;
	struct prescan_limits limits = {.depth = 8, .fields = 100000, .memory = 64 << 20};
	bool fetched;

	int status = directory_story(house->directory, who, &query, &answer, &fetched, &why);
	if (status != 0)
		return status;
	if (message_decode(&poc__story_answer__descriptor, answer.bytes, answer.size, &limits, &message, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	const Poc__StoryAnswer *told = (const Poc__StoryAnswer *)message;
	*steps = told->steps;
	if (message_decode(&poc__notice_story__descriptor, told->story.data, told->story.len, &limits, &story, &why) !=
	    0)
		fail_msg("%s: %s", why.field, why.message);
	message_free(message);
	answer_finish(&answer);
	*out = (Poc__NoticeStory *)story;
	if (fetched)
		directory_deliver(house->directory, &query);
	return 0;
}

static size_t feed_length(struct house *house, struct spot desk)
{
	struct principal who = operator_of(house, state_of(house, desk.place)->code);
	Poc__FeedAnswer *feed = read_feed(house, &who, desk, 0);
	size_t n = feed->n_entries;

	message_free(feed);
	return n;
}

/* Reads the body as the desk's operator. */
static int fetch(struct house *house, const struct letter *letter, struct spot desk)
{
	struct principal who = operator_of(house, state_of(house, desk.place)->code);
	struct story_query query = {.id = letter->id, .place = desk.place, .kind = desk.kind, .with_body = true};
	Poc__NoticeStory *story;
	uint32_t steps;
	int status = read_story(house, &who, query, &story, &steps);

	if (status != 0)
		return status;
	assert_int_equal(story->n_steps, 1);
	assert_int_equal(story->steps[0]->item.len, letter->header_size);
	assert_memory_equal(story->steps[0]->item.data, letter->header, letter->header_size);
	assert_int_equal(story->body.len, letter->body_size);
	assert_memory_equal(story->body.data, letter->body, letter->body_size);
	message_free(story);
	turn(house);
	return 0;
}

#define XA                                                                                                             \
	{                                                                                                              \
		"XA", TECHNICAL                                                                                        \
	}
#define XB                                                                                                             \
	{                                                                                                              \
		"XB", TECHNICAL                                                                                        \
	}

static struct letter from_xa_to_xb(struct house *house)
{
	struct letter letter = {.from = XA, .to = {XB}, .n_to = 1};

	seal(house, &letter);
	return letter;
}

/* ---- Tests */

static void test_main_path(void **context)
{
	struct house *house = *context;
	struct letter letter = from_xa_to_xb(house);
	struct spot xa = XA, xb = XB;

	house->n_grown = 0;
	struct told told = send_letter(house, &letter);
	expect(&told, 0);
	assert_false(told.result.repeated);
	assert_int_equal(house->n_grown, 2);
	assert_int_equal(feed_length(house, xa), 2); /* the notice, stored */
	assert_int_equal(feed_length(house, xb), 1);
	struct told again = send_letter(house, &letter);
	expect(&again, 0);
	assert_true(again.result.repeated);
	assert_int_equal(again.result.stored_ms, told.result.stored_ms);
	assert_int_equal(fetch(house, &letter, xb), 0);
	assert_int_equal(feed_length(house, xb), 2); /* delivered */
	assert_int_equal(fetch(house, &letter, xb), 0);
	assert_int_equal(fetch(house, &letter, xa), 0);
	assert_int_equal(feed_length(house, xb), 2); /* once */
	struct said ack = {.desk = XB, .step = POC__STEP__STEP_ACKNOWLEDGED};
	told = receive(house, &letter, &ack);
	expect(&told, 0);
	world_clock_ms += 5000;
	again = receive(house, &letter, &ack); /* another envelope, the same statement */
	expect(&again, 0);
	assert_true(again.result.repeated);
	assert_memory_equal(again.result.hash.bytes, told.result.hash.bytes, HASH_SIZE);
	struct said more = {.desk = XB, .step = POC__STEP__STEP_ACCEPTED};
	told = receive(house, &letter, &more);
	expect(&told, 0);
	assert_false(told.result.repeated);
	struct said closed = {.desk = XA, .step = POC__STEP__STEP_CLOSED};
	told = receive(house, &letter, &closed);
	expect(&told, 0);
	assert_int_equal(feed_length(house, xa), 6);
	assert_int_equal(feed_length(house, xb), 5);
	reopen(house);
	again = send_letter(house, &letter);
	expect(&again, 0);
	assert_true(again.result.repeated);
	letter_finish(&letter);
}

static void refused(struct house *house, struct letter *letter, int status)
{
	seal(house, letter);
	struct told told = send_letter(house, letter);
	expect(&told, status);
	letter_finish(letter);
}

/* Who was brought into a thread by a later notice answers that one; nothing else there, and in no other thread. */
static void test_brought_in(void **context)
{
	struct house *house = *context;
	struct letter first = from_xa_to_xb(house), other = from_xa_to_xb(house);
	struct told told = send_letter(house, &first);

	expect(&told, 0);
	told = send_letter(house, &other);
	expect(&told, 0);
	struct letter passed = {
	    .from = XB, .to = {{"XC", TECHNICAL}}, .n_to = 1, .thread = first.id, .answers = first.id};
	seal(house, &passed);
	told = send_letter(house, &passed);
	expect(&told, 0);
	struct letter reply = {
	    .from = {"XC", TECHNICAL}, .to = {XB}, .n_to = 1, .thread = first.id, .answers = passed.id};
	seal(house, &reply);
	told = send_letter(house, &reply);
	expect(&told, 0);
	struct letter before = {
	    .from = {"XC", TECHNICAL}, .to = {XB}, .n_to = 1, .thread = first.id, .answers = first.id};
	refused(house, &before, STATUS_INVALID);
	struct letter nothing = {.from = {"XC", TECHNICAL}, .to = {XB}, .n_to = 1, .thread = first.id};
	refused(house, &nothing, STATUS_INVALID);
	struct letter elsewhere = {.from = XB, .to = {XA}, .n_to = 1, .thread = other.id, .answers = first.id};
	refused(house, &elsewhere, STATUS_INVALID);
	struct letter later = {
	    .from = {"XC", TECHNICAL}, .to = {XB}, .n_to = 1, .thread = passed.id, .answers = passed.id};
	refused(house, &later, STATUS_INVALID);
	letter_finish(&first);
	letter_finish(&other);
	letter_finish(&passed);
	letter_finish(&reply);
}

static void test_refusals(void **context)
{
	struct house *house = *context;
	struct world_state *xb = world_state(house->world, "XB");
	struct letter letter = from_xa_to_xb(house),
		      other = {.id = letter.id, .from = XA, .to = {{"XC", TECHNICAL}}, .n_to = 1};
	struct told told = send_letter(house, &letter);

	expect(&told, 0);
	refused(house, &other, STATUS_CONFLICT);
	struct letter future = {.from = XA, .to = {XB}, .n_to = 1, .created = START + 700};
	refused(house, &future, STATUS_CLOCK);
	struct letter old = {.from = XA, .to = {XB}, .n_to = 1, .created = START - 31 * 86400};
	refused(house, &old, STATUS_EXPIRED);
	struct letter stale = {.from = XA, .to = {XB}, .n_to = 1, .stale = world_state(house->world, "XC")->reading};
	refused(house, &stale, STATUS_STALE_KEY);
	struct letter nowhere = {.from = XA, .to = {{"XB/unit", TECHNICAL}}, .n_to = 1};
	refused(house, &nowhere, STATUS_NOT_FOUND);
	struct letter thread = {.from = XA, .to = {XB}, .n_to = 1, .thread = {{1}}};
	refused(house, &thread, STATUS_INVALID);
	struct letter alien = {.from = {"XC", TECHNICAL}, .to = {XB}, .n_to = 1, .thread = letter.id};
	refused(house, &alien, STATUS_INVALID); /* not a party of that thread */
	struct letter forged = {.from = XA, .to = {XB}, .n_to = 1, .signer = xb->operator_};
	refused(house, &forged, STATUS_DENIED); /* not the session's key */
	struct letter reader = {.from = XA, .to = {XB}, .n_to = 1, .signer = world_state(house->world, "XA")->reader};
	seal(house, &reader);
	struct principal who = user(house, "XA", world_state(house->world, "XA")->reader);
	send_as(house, &who, &reader, &told);
	expect(&told, STATUS_DENIED);
	letter_finish(&reader);
	letter.body[letter.body_size - 1] ^= 1; /* a known envelope gets its first answer, whatever comes with it */
	told = send_letter(house, &letter);
	expect(&told, 0);
	struct letter cut = from_xa_to_xb(house);
	cut.body[cut.body_size - 1] ^= 1;
	told = send_letter(house, &cut);
	expect(&told, STATUS_INVALID);
	letter_finish(&cut);
	/* receipts */
	struct said mine = {.desk = XA, .step = POC__STEP__STEP_ACKNOWLEDGED};
	told = receive(house, &letter, &mine);
	expect(&told, STATUS_INVALID);
	struct said stranger = {.desk = {"XC", TECHNICAL}, .step = POC__STEP__STEP_ACKNOWLEDGED};
	told = receive(house, &letter, &stranger);
	expect(&told, STATUS_NOT_FOUND);
	struct said early = {.desk = XB, .step = POC__STEP__STEP_ACKNOWLEDGED, .time = START + 700};
	told = receive(house, &letter, &early);
	expect(&told, STATUS_CLOCK);
	struct said answered = {.desk = XB, .step = POC__STEP__STEP_ANSWERED, .answer = letter.id};
	told = receive(house, &letter, &answered);
	expect(&told, STATUS_INVALID);
	letter_finish(&letter);
	struct spot to = XB;
	assert_int_equal(feed_length(house, to), 1);
}

/* Whoever is not of the desk learns nothing. */
static void test_secrecy(void **context)
{
	struct house *house = *context;
	struct letter letter = from_xa_to_xb(house);
	struct told told = send_letter(house, &letter);
	struct story_query query = {.id = letter.id, .place = "XC", .kind = TECHNICAL, .with_body = true};
	struct principal xc = operator_of(house, "XC"), xb = operator_of(house, "XB"),
			 alert = user(house, "XB", world_state(house->world, "XB")->alert),
			 reader = user(house, "XB", world_state(house->world, "XB")->reader);
	Poc__NoticeStory *story;
	uint32_t steps;
	struct answer answer;
	struct spot desk = XB;

	expect(&told, 0);
	assert_int_equal(read_story(house, &xc, query, &story, &steps), STATUS_NOT_FOUND);
	query.place = "XB";
	assert_int_equal(read_story(house, &xc, query, &story, &steps), STATUS_DENIED);
	assert_int_equal(read_story(house, &alert, query, &story, &steps), STATUS_DENIED);
	assert_int_equal(read_story(house, &reader, query, &story, &steps), STATUS_DENIED);
	query.kind = DIPLOMATIC;
	assert_int_equal(read_story(house, &xb, query, &story, &steps), STATUS_NOT_FOUND);
	assert_int_equal(directory_feed(house->directory, &xc, "XB", TECHNICAL, 0, &answer, NULL), STATUS_DENIED);
	assert_int_equal(directory_feed(house->directory, &reader, "XB", TECHNICAL, 0, &answer, NULL), STATUS_DENIED);
	/* taken stays within the desk */
	struct said taken = {.desk = XB, .step = POC__STEP__STEP_TAKEN};
	told = receive(house, &letter, &taken);
	expect(&told, 0);
	struct spot xa = XA;
	assert_int_equal(feed_length(house, xa), 2);
	assert_int_equal(feed_length(house, desk), 2);
	/* an alert sees the headers of what the desk received, and of that nothing else */
	Poc__FeedAnswer *feed = read_feed(house, &alert, desk, 0);
	assert_int_equal(feed->n_entries, 1);
	assert_int_equal(feed->entries[0]->item.len, letter.header_size);
	assert_int_equal(feed->end, 2);
	message_free(feed);
	struct principal sender_alert = user(house, "XA", world_state(house->world, "XA")->alert);
	feed = read_feed(house, &sender_alert, xa, 0);
	assert_int_equal(feed->n_entries, 0);
	message_free(feed);
	letter_finish(&letter);
}

static struct leaf check_logged(const Poc__LoggedLeaf *logged, enum leaf_kind kind, const struct checkpoint *checkpoint)
{
	struct hash path[MERKLE_PATH_MAX];
	struct leaf leaf;

	assert_non_null(logged);
	assert_int_equal(logged->leaf.len, LEAF_SIZE);
	assert_int_equal(leaf_read(logged->leaf.data, &leaf), 0);
	assert_int_equal(leaf.kind, kind);
	struct hash hash = merkle_leaf(logged->leaf.data, LEAF_SIZE);
	memcpy(path, logged->path.data, logged->path.len);
	assert_true(merkle_verify_inclusion(logged->index, checkpoint->size, &hash, path, logged->path.len / HASH_SIZE,
					    &checkpoint->root));
	return leaf;
}

/* A story proves each step: item, batch, log, and the signer's U, K, S and T in the map of the first STATE leaf after.
 */
static void check_proof(const Poc__NoticeStory *story, const Poc__StoryStep *step)
{
	const Poc__Evidence *e = step->evidence;
	struct hash event = hash_event(step->item.data, step->item.len);
	struct note note;
	struct checkpoint checkpoint;

	assert_non_null(e);
	assert_int_equal(
	    note_parse((const char *)story->checkpoint->note.data, story->checkpoint->note.len, &note, NULL), 0);
	assert_int_equal(checkpoint_parse(note.text, note.text_size, &checkpoint, NULL), 0);
	struct leaf anchor = check_logged(e->anchor, LEAF_ANCHOR, &checkpoint),
		    previous = check_logged(e->previous, LEAF_STATE, &checkpoint),
		    state = check_logged(e->state, LEAF_STATE, &checkpoint);
	assert_true(e->previous->index < e->anchor->index && e->anchor->index < e->state->index);
	assert_int_equal(previous.seq + 1, state.seq);
	assert_true(prefix_verify(&anchor.value, &event, &event, e->siblings.data,
				  (unsigned)(e->siblings.len / HASH_SIZE), PREFIX_FOUND, NULL));
	assert_int_equal(e->n_items, step->fact ? 0 : 4);
	for (size_t i = 0; i < e->n_items; i++) {
		struct hash key = hash_name(e->items[i]->name), value;
		bool found = false;
		memcpy(value.bytes, e->items[i]->value.data, HASH_SIZE);
		assert_true(prefix_verify(&state.value, &key, &value, e->items[i]->map->siblings.data,
					  (unsigned)(e->items[i]->map->siblings.len / HASH_SIZE), PREFIX_FOUND, NULL));
		for (size_t k = 0; k < story->n_envelopes; k++) {
			struct hash hash = hash_of(story->envelopes[k].data, story->envelopes[k].len);
			found |= hash_compare(&hash, &value) == 0;
		}
		assert_true(found);
	}
}

static void test_story(void **context)
{
	struct house *house = *context;
	struct letter letter = from_xa_to_xb(house);
	struct told told = send_letter(house, &letter);
	struct principal who = operator_of(house, "XA");
	struct story_query query = {.id = letter.id, .place = "XA", .kind = TECHNICAL, .with_evidence = true};
	struct said ack = {.desk = XB, .step = POC__STEP__STEP_ACKNOWLEDGED};
	struct world_state *xb = world_state(house->world, "XB");
	Poc__NoticeStory *story;
	uint32_t steps;

	expect(&told, 0);
	/* K of XB is at its second version when it acknowledges: the chain comes along */
	world_next_keys(house->world, xb, NULL, NULL);
	struct change_write keys = world_write(&xb->keys);
	queue(house, &keys, 1);
	told = receive(house, &letter, &ack);
	expect(&told, 0);
	assert_int_equal(read_story(house, &who, query, &story, &steps), 0);
	assert_int_equal(steps, 3);
	assert_int_equal(story->n_steps, 3);
	for (size_t i = 0; i < story->n_steps; i++)
		check_proof(story, story->steps[i]);
	assert_int_equal(story->n_envelopes, 1 + 1 + 2 + 3); /* T, S; K and U of XA and XB, K(1) of XB */
	message_free(story);
	struct snapshot *snapshot = ledger_snapshot(directory_ledger(house->directory));
	query.checkpoint_size = snapshot->checkpoint.size;
	snapshot_unref(snapshot);
	query.from_step = 2;
	assert_int_equal(read_story(house, &who, query, &story, &steps), 0);
	assert_int_equal(steps, 3);
	assert_int_equal(story->n_steps, 1);
	assert_null(story->checkpoint);
	message_free(story);
	letter_finish(&letter);
}

/* Makes the versions of a K come to so many bytes at least. */
static void lengthen_chain(struct house *house, struct world_state *state, size_t bytes)
{
	for (size_t total = 0; total < bytes; total += state->keys.size) {
		world_next_large_keys(house->world, state);
		struct change_write keys = world_write(&state->keys);
		queue(house, &keys, 1);
		turn(house);
	}
}

/* A part of a story ends before the step whose signer's chain it has no room for: no state can keep others from their
 * evidence. */
static void test_story_with_long_chains(void **context)
{
	struct house *house = *context;
	struct letter letter = {.from = XA, .to = {XB, {"XC", TECHNICAL}}, .n_to = 2};
	struct said ack = {.desk = XB, .step = POC__STEP__STEP_ACKNOWLEDGED};
	struct said other = {.desk = {"XC", TECHNICAL}, .step = POC__STEP__STEP_ACKNOWLEDGED};
	struct principal who = operator_of(house, "XA");
	struct story_query query = {.id = letter.id, .place = "XA", .kind = TECHNICAL, .with_evidence = true};
	Poc__NoticeStory *story;
	uint32_t steps = 1, had = 0;
	unsigned parts = 0;

	lengthen_chain(house, world_state(house->world, "XB"), 400 * 1024);
	lengthen_chain(house, world_state(house->world, "XC"), 780 * 1024);
	seal(house, &letter);
	struct told told = send_letter(house, &letter);
	expect(&told, 0);
	told = receive(house, &letter, &ack);
	expect(&told, 0);
	told = receive(house, &letter, &other);
	expect(&told, 0);
	told = receive(house, &letter, &(struct said){.desk = XB, .step = POC__STEP__STEP_ACCEPTED});
	expect(&told, 0);
	query.id = letter.id;
	for (; had < steps; parts++) {
		query.from_step = had;
		assert_int_equal(read_story(house, &who, query, &story, &steps), 0);
		assert_true(story->n_steps > 0);
		for (size_t i = 0; i < story->n_steps; i++)
			check_proof(story, story->steps[i]);
		for (size_t i = 1; i < story->n_envelopes; i++) {
			struct hash one = hash_of(story->envelopes[i - 1].data, story->envelopes[i - 1].len),
				    next = hash_of(story->envelopes[i].data, story->envelopes[i].len);
			assert_true(hash_compare(&one, &next) < 0);
		}
		had += (uint32_t)story->n_steps;
		message_free(story);
	}
	assert_int_equal(had, 5);
	assert_int_equal(parts, 3);
	letter_finish(&letter);
}

/* Whether what the evidence of a notice's first step says of U lists a key. */
static bool testifies(struct house *house, const struct letter *letter, const struct hash *key)
{
	struct principal who = operator_of(house, "XB");
	struct story_query query = {.id = letter->id, .place = "XB", .kind = TECHNICAL, .with_evidence = true};
	Poc__NoticeStory *story;
	uint32_t steps;
	bool listed = false;

	assert_int_equal(read_story(house, &who, query, &story, &steps), 0);
	check_proof(story, story->steps[0]);
	const Poc__Item *item = story->steps[0]->evidence->items[3];
	assert_string_equal(item->name, "U/XA");
	for (size_t i = 0; i < story->n_envelopes; i++) {
		struct envelope *users;
		struct hash value = hash_of(story->envelopes[i].data, story->envelopes[i].len);
		if (memcmp(value.bytes, item->value.data, HASH_SIZE) != 0)
			continue;
		assert_int_equal(envelope_parse(story->envelopes[i].data, story->envelopes[i].len, &users, NULL), 0);
		listed = users_find(users->payload.users, key) != NULL;
		envelope_destroy(users);
	}
	message_free(story);
	return listed;
}

/* What is signed is judged at its publication: a change of the signer's U that comes between waits for it, or the story
 * could never be verified.  A post that comes after that change waits for its publication, and is judged by it. */
static void test_judged_at_publication(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA");
	struct letter letter = from_xa_to_xb(house), late = from_xa_to_xb(house);
	struct principal who = operator_of(house, "XA");
	struct told first, second;
	struct keystore_key *dropped = xa->operator_;

	send_as(house, &who, &letter, &first);
	xa->operator_ = keystore_ephemeral(KEY_P256); /* the next U lists another operator */
	world_next_users(house->world, xa, true, NULL);
	struct change_write users = world_write(&xa->users);
	queue(house, &users, 1);
	turn(house);
	expect(&first, 0);
	assert_true(testifies(house, &letter, &keystore_public(dropped)->id));
	struct principal now = operator_of(house, "XA");
	assert_string_equal(now.handle, "operator"); /* it came all the same */
	keystore_close(dropped);
	dropped = xa->operator_;
	who = operator_of(house, "XA");
	xa->operator_ = keystore_ephemeral(KEY_P256);
	world_next_users(house->world, xa, true, NULL);
	users = world_write(&xa->users);
	queue(house, &users, 1);
	late.signer = dropped;
	seal(house, &late);
	send_as(house, &who, &late, &second);
	turn(house);
	assert_true(second.called);
	assert_int_not_equal(second.status, 0);
	struct spot to = XB;
	assert_int_equal(feed_length(house, to), 1);
	letter_finish(&letter);
	letter_finish(&late);
	keystore_close(dropped);
}

/* However a state's posts and changes follow one another, the council's S comes with the next publication. */
static void test_register_is_not_held_up(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA");
	struct principal who = operator_of(house, "XA");
	struct letter letters[3];
	struct told told[3];

	for (int i = 0; i < 3; i++) {
		letters[i] = from_xa_to_xb(house);
		send_as(house, &who, &letters[i], &told[i]);
		world_next_users(house->world, xa, true, NULL);
		struct change_write users = world_write(&xa->users);
		queue(house, &users, 1);
	}
	world_next_register(house->world, NULL);
	struct change_write reg = world_write(&house->world->reg);
	queue(house, &reg, 1);
	turn(house);
	struct snapshot *snapshot = ledger_snapshot(directory_ledger(house->directory));
	assert_memory_equal(snapshot_find(snapshot, "S")->value.bytes, house->world->reg.value.bytes, HASH_SIZE);
	assert_memory_equal(snapshot_find(snapshot, "U/XA")->value.bytes, xa->users.value.bytes, HASH_SIZE);
	snapshot_unref(snapshot);
	for (int i = 0; i < 3; i++) {
		expect(&told[i], 0);
		assert_true(testifies(house, &letters[i], &keystore_public(xa->operator_)->id));
		letter_finish(&letters[i]);
	}
}

/* What is signed is judged at the STATE time of its publication: by then the signer must not have expired, or the story
 * could never be verified. */
static void test_signer_about_to_expire(void **context)
{
	struct house *house = *context;
	struct world_state *xb = world_state(house->world, "XB");
	struct letter letter = from_xa_to_xb(house), late = {.from = XB, .to = {XA}, .n_to = 1};
	struct said ack = {.desk = XB, .step = POC__STEP__STEP_ACKNOWLEDGED};
	struct told told = send_letter(house, &letter);

	expect(&told, 0);
	xb->operator_until = (int64_t)(world_clock_ms / 1000) + 600;
	world_next_users(house->world, xb, true, NULL);
	struct change_write users = world_write(&xb->users);
	queue(house, &users, 1);
	turn(house);
	told = receive(house, &letter, &ack);
	expect(&told, 0);
	world_clock_ms += (uint64_t)599 * 1000;
	ack.step = POC__STEP__STEP_ACCEPTED;
	told = receive(house, &letter, &ack);
	expect(&told, STATUS_UNVERIFIED);
	seal(house, &late);
	told = send_letter(house, &late);
	expect(&told, STATUS_UNVERIFIED);
	letter_finish(&letter);
	letter_finish(&late);
}

/* One desk that says something again and again takes no other's word. */
static void test_steps_of_one_desk(void **context)
{
	struct house *house = *context;
	struct letter letter = {.from = XA, .to = {XB, {"XC", TECHNICAL}}, .n_to = 2};
	struct said much = {.desk = XB, .time = (int64_t)(world_clock_ms / 1000)};
	struct said other = {.desk = {"XC", TECHNICAL}, .step = POC__STEP__STEP_ACKNOWLEDGED};
	struct said end = {.desk = XA, .step = POC__STEP__STEP_CLOSED};

	seal(house, &letter);
	struct told told = send_letter(house, &letter);
	expect(&told, 0);
	unsigned said = 0;
	do {
		much.step = said % 2 == 0 ? POC__STEP__STEP_TAKEN : POC__STEP__STEP_RELEASED;
		much.time++;
		world_clock_ms += 1000;
		told = receive(house, &letter, &much);
	} while (told.status == 0 && said++ < 1000);
	expect(&told, STATUS_TOO_LARGE);
	assert_int_equal(said, 200 - 2);
	for (int i = 0; i < 10; i++) {
		told = receive(house, &letter, &other);
		expect(&told, i < 8 ? 0 : STATUS_TOO_LARGE);
		other.step = i % 2 == 0 ? POC__STEP__STEP_ACCEPTED : POC__STEP__STEP_DECLINED;
	}
	told = receive(house, &letter, &end);
	expect(&told, 0);
	told = receive(house, &letter, &much);
	expect(&told, STATUS_TOO_LARGE);
	letter_finish(&letter);
}

/* To look for what an alert may see costs the same, whatever its desk has sent: it goes on from where a page ends. */
static void test_alert_of_who_sends_much(void **context)
{
	enum { SENT = 210, A_PAGE = 195 };
	struct house *house = *context;
	struct principal who = operator_of(house, "XA"),
			 alert = user(house, "XA", world_state(house->world, "XA")->alert);
	struct letter back = {.from = XB, .to = {XA}, .n_to = 1};
	struct spot desk = XA;
	struct told told[SENT];
	uint64_t after = 0, end;

	for (int i = 0; i < SENT; i++) {
		struct letter letter = from_xa_to_xb(house);
		send_as(house, &who, &letter, &told[i]);
		letter_finish(&letter);
	}
	turn(house);
	for (int i = 0; i < SENT; i++)
		expect(&told[i], 0);
	seal(house, &back);
	told[0] = send_letter(house, &back);
	expect(&told[0], 0);
	Poc__FeedAnswer *feed = read_feed(house, &alert, desk, after);
	assert_int_equal(feed->n_entries, 0);
	assert_in_range(feed->end, A_PAGE, 2 * A_PAGE + 20);
	after = feed->end;
	message_free(feed);
	feed = read_feed(house, &alert, desk, after);
	end = feed->end;
	assert_int_equal(feed->n_entries, 1);
	assert_int_equal(feed->entries[0]->cursor, end);
	assert_int_equal(end, 2 * SENT + 1);
	message_free(feed);
	letter_finish(&back);
}

static void test_escalation(void **context)
{
	struct house *house = *context;
	struct spot diplomats = {"XB", DIPLOMATIC};
	struct letter quiet = {.from = XA, .to = {XB}, .n_to = 1, .escalation = diplomats, .escalate_at = START + 3600};
	struct letter heard = quiet;
	struct said ack = {.desk = XB, .step = POC__STEP__STEP_ACKNOWLEDGED},
		    ours = {.desk = diplomats, .step = POC__STEP__STEP_ACKNOWLEDGED};

	seal(house, &quiet);
	seal(house, &heard);
	struct told told = send_letter(house, &quiet);
	expect(&told, 0);
	told = send_letter(house, &heard);
	expect(&told, 0);
	told = receive(house, &heard, &ack);
	expect(&told, 0);
	told = receive(house, &quiet, &ours);
	expect(&told, STATUS_NOT_FOUND);
	assert_int_equal(fetch(house, &quiet, diplomats), STATUS_NOT_FOUND);
	world_clock_ms += 3599000;
	turn(house);
	assert_int_equal(feed_length(house, diplomats), 0);
	reopen(house);
	world_clock_ms += 1000;
	turn(house);
	assert_int_equal(feed_length(house, diplomats), 2); /* the notice, escalated */
	world_clock_ms -= 7200000;                          /* the clock is set back, and comes again */
	turn(house);
	reopen(house);
	world_clock_ms += 7200000;
	turn(house);
	assert_int_equal(feed_length(house, diplomats), 2);
	assert_int_equal(fetch(house, &quiet, diplomats), 0);
	assert_int_equal(fetch(house, &heard, diplomats), STATUS_NOT_FOUND);
	told = receive(house, &quiet, &ours);
	expect(&told, 0);
	letter_finish(&quiet);
	letter_finish(&heard);
}

/* Runs the writer's thread for a moment. */
static void run_shortly(struct house *house)
{
	assert_int_equal(directory_start(house->directory), 0);
	usleep(300 * 1000);
	reopen(house);
}

/* A clock that is wrong at the start is often set right within seconds: what it brings is not done at once, for neither
 * an escalation nor the end of a retention can be taken back. */
static void test_clock_ahead_at_start(void **context)
{
	enum { DAY = 86400 };
	struct house *house = *context;
	struct spot diplomats = {"XB", DIPLOMATIC}, desk = XB;
	struct letter letter = {
	    .from = XA, .to = {XB}, .n_to = 1, .escalation = diplomats, .escalate_at = START + 3600};

	seal(house, &letter);
	struct told told = send_letter(house, &letter);
	expect(&told, 0);
	reopen(house);
	world_clock_ms += (uint64_t)100 * DAY * 1000;
	reopen(house);
	run_shortly(house);
	assert_int_equal(feed_length(house, diplomats), 0);
	world_clock_ms -= (uint64_t)100 * DAY * 1000;
	assert_int_equal(fetch(house, &letter, desk), 0);
	reopen(house);
	run_shortly(house);
	assert_int_equal(feed_length(house, diplomats), 0);
	/* one that was away for a moment goes on at once */
	world_clock_ms += (uint64_t)3590 * 1000;
	turn(house);
	struct letter next = from_xa_to_xb(house);
	told = send_letter(house, &next);
	expect(&told, 0);
	world_clock_ms += (uint64_t)20 * 1000;
	reopen(house);
	run_shortly(house);
	assert_int_equal(feed_length(house, diplomats), 2);
	letter_finish(&letter);
	letter_finish(&next);
}

/* Of where a desk stands the last counts: it may be taken back, and said again. */
static void test_changed_mind(void **context)
{
	struct house *house = *context;
	struct letter letter = from_xa_to_xb(house);
	static const struct {
		Poc__Step step;
		Poc__Reason reason;
		bool repeated;
	} says[] = {{POC__STEP__STEP_ACKNOWLEDGED, 0, false},
		    {POC__STEP__STEP_ACCEPTED, 0, false},
		    {POC__STEP__STEP_ACCEPTED, 0, true},
		    {POC__STEP__STEP_DECLINED, POC__REASON__REASON_OTHER, false},
		    {POC__STEP__STEP_ACKNOWLEDGED, 0, true},
		    {POC__STEP__STEP_ACCEPTED, 0, false},
		    {POC__STEP__STEP_DECLINED, POC__REASON__REASON_OTHER, false},
		    {POC__STEP__STEP_DECLINED, POC__REASON__REASON_DUPLICATE, false},
		    {POC__STEP__STEP_DECLINED, POC__REASON__REASON_DUPLICATE, true},
		    {POC__STEP__STEP_CLOSED, 0, false},
		    {POC__STEP__STEP_CLOSED, 0, true},
		    {POC__STEP__STEP_ACCEPTED, 0, false}};
	struct told told = send_letter(house, &letter);
	size_t stored = 1;
	struct spot desk = XB;

	expect(&told, 0);
	for (size_t i = 0; i < sizeof says / sizeof *says; i++) {
		struct said said = {.desk = XB, .step = says[i].step, .reason = says[i].reason};
		world_clock_ms += 1000;
		told = receive(house, &letter, &said);
		expect(&told, 0);
		assert_int_equal(told.result.repeated, says[i].repeated);
		stored += !says[i].repeated;
	}
	assert_int_equal(feed_length(house, desk), stored);
	letter_finish(&letter);
}

/* Two escalations to one desk release it once; the second finds it done, or is the first that finds nobody. */
static void test_escalation_twice(void **context)
{
	struct house *house = *context;
	struct spot diplomats = {"XB", DIPLOMATIC};
	struct letter letter = {.from = XA,
				.to = {XB},
				.n_to = 1,
				.escalation = diplomats,
				.escalate_at = START + 3600,
				.escalate_again = START + 7200};

	seal(house, &letter);
	struct told told = send_letter(house, &letter);
	expect(&told, 0);
	world_clock_ms += 3601000;
	turn(house);
	assert_int_equal(feed_length(house, diplomats), 2); /* the notice, escalated */
	world_clock_ms += 3600000;
	turn(house);
	assert_int_equal(feed_length(house, diplomats), 2);
	struct said ack = {.desk = diplomats, .step = POC__STEP__STEP_ACKNOWLEDGED};
	told = receive(house, &letter, &ack);
	expect(&told, 0);
	letter_finish(&letter);
}

/* What the test of many timers posts while they run, and how often a part of them came after it was answered. */
static struct letter between;
static struct told told_between;
static bool sent_between;
static size_t parts_after;

static void post_between(struct house *house, Poc__PocKind kind)
{
	struct principal who = operator_of(house, "XA");

	if (kind != DIPLOMATIC)
		return;
	parts_after += told_between.called;
	if (!sent_between)
		send_as(house, &who, &between, &told_between);
	sent_between = true;
}

/* However many are due at once, whoever sends a notice waits for a part of them. */
static void test_many_timers(void **context)
{
	enum { MANY = 200 };
	struct house *house = *context;
	struct spot diplomats = {"XB", DIPLOMATIC};

	for (int i = 0; i < MANY; i++) {
		struct letter letter = {
		    .from = XA, .to = {XB}, .n_to = 1, .escalation = diplomats, .escalate_at = START + 3600};
		seal(house, &letter);
		struct told told = send_letter(house, &letter);
		expect(&told, 0);
		letter_finish(&letter);
	}
	world_clock_ms += 3601000;
	between = from_xa_to_xb(house);
	house->growing = post_between;
	turn(house);
	expect(&told_between, 0);
	assert_true(parts_after > 0);
	assert_int_equal(feed_length(house, diplomats), 2 * MANY);
	letter_finish(&between);
}

/* A new time for the answer is a new statement; without one it is the same. */
static void test_answer_by(void **context)
{
	struct house *house = *context;
	struct letter letter = from_xa_to_xb(house);
	struct said ack = {.desk = XB, .step = POC__STEP__STEP_ACKNOWLEDGED, .time = START, .answer_by = START + 3600};
	struct spot xa = XA;

	struct told told = send_letter(house, &letter);
	expect(&told, 0);
	told = receive(house, &letter, &ack);
	expect(&told, 0);
	assert_false(told.result.repeated);
	size_t before = feed_length(house, xa);
	ack.answer_by += 3600;
	told = receive(house, &letter, &ack);
	expect(&told, 0);
	assert_false(told.result.repeated);
	assert_int_equal(feed_length(house, xa), before + 1);
	ack.answer_by = 0;
	told = receive(house, &letter, &ack);
	expect(&told, 0);
	assert_true(told.result.repeated);
	assert_int_equal(feed_length(house, xa), before + 1);
	reopen(house);
	letter_finish(&letter);
}

static void test_quotas(void **context)
{
	struct house *house = *context;
	struct letter one = from_xa_to_xb(house), other = {.from = XA, .to = {{"XC", TECHNICAL}}, .n_to = 1},
		      back = {.from = XB, .to = {XA}, .n_to = 1};

	seal(house, &other);
	seal(house, &back);
	house->options.backlog_bytes = 2 * one.body_size + 10;
	house->options.notices_per_hour = 4;
	reopen(house);
	for (int i = 0; i < 2; i++) {
		struct letter letter = from_xa_to_xb(house);
		struct told told = send_letter(house, &letter);
		expect(&told, 0);
		if (i == 1)
			letter_finish(&one), one = letter;
		else
			letter_finish(&letter);
	}
	struct letter third = from_xa_to_xb(house);
	struct told told = send_letter(house, &third);
	expect(&told, STATUS_QUOTA); /* XB has not fetched */
	assert_true(told.why.retry_ms > 0);
	told = send_letter(house, &other); /* others get theirs */
	expect(&told, 0);
	struct spot to = XB;
	assert_int_equal(fetch(house, &one, to), 0);
	told = send_letter(house, &third);
	expect(&told, 0);
	struct letter fifth = {.from = XA, .to = {{"XC", TECHNICAL}}, .n_to = 1};
	seal(house, &fifth);
	uint64_t over = metric_get(METRIC_POSTS_OVER_QUOTA), refused = metric_get(METRIC_POSTS_REFUSED);
	told = send_letter(house, &fifth);
	expect(&told, STATUS_QUOTA); /* of the hour */
	assert_int_equal(metric_get(METRIC_POSTS_OVER_QUOTA), over + 1);
	assert_int_equal(metric_get(METRIC_POSTS_REFUSED), refused + 1);
	assert_true(told.why.retry_ms > 800000 && told.why.retry_ms <= 900001);
	struct letter note = {.from = XA, .to = {XA}, .n_to = 1, .category = POC__CATEGORY__CATEGORY_NOTE};
	seal(house, &note);
	told = send_letter(house, &note); /* what stays at its own desk has an account of its own */
	expect(&told, 0);
	letter_finish(&note);
	told = send_letter(house, &one); /* a repetition costs nothing */
	expect(&told, 0);
	told = send_letter(house, &back);
	expect(&told, 0);
	world_clock_ms += told.why.retry_ms + 900001;
	told = send_letter(house, &fifth);
	expect(&told, 0);
	letter_finish(&one);
	letter_finish(&other);
	letter_finish(&back);
	letter_finish(&third);
	letter_finish(&fifth);
}

static void queue_record(struct house *house, const char *code)
{
	struct world_state *state = world_state(house->world, code);
	struct change_write write;

	world_next_record(house->world, state, false, NULL);
	write = world_write(&state->record);
	write.sections = state->sections;
	write.n_sections = WORLD_SECTIONS;
	queue(house, &write, 1);
}

/* After a publication under a clock that was ahead the log's time stands still.  Who is let in, and how much, goes by
 * the clock as it is. */
static void test_clock_was_ahead(void **context)
{
	enum { DAY = 86400 };
	struct house *house = *context;
	struct principal who = operator_of(house, "XA");
	struct told told;

	house->options.notices_per_hour = 2;
	reopen(house);
	world_clock_ms += (uint64_t)DAY * 1000;
	queue_record(house, "XD");
	turn(house);
	world_clock_ms -= (uint64_t)DAY * 1000;
	for (int i = 0; i < 3; i++) {
		struct letter letter = {.from = XA,
					.to = {XB},
					.n_to = 1,
					.escalation = {"XB", DIPLOMATIC},
					.escalate_at = (int64_t)(world_clock_ms / 1000) + DAY / 2};
		seal(house, &letter);
		queue_record(house, "XB"); /* for whose publication it waits, to be judged anew */
		send_as(house, &who, &letter, &told);
		turn(house);
		expect(&told, i < 2 ? 0 : STATUS_QUOTA);
		letter_finish(&letter);
	}
}

static void ignore(void *ctx, const struct change_outcome *outcome)
{
	(void)ctx;
	(void)outcome;
}

/* Whatever one state makes the writer do, others have room in the queue. */
static void test_one_state_fills_the_queue(void **context)
{
	enum { MANY = 5000 };
	struct house *house = *context;
	struct letter letter = from_xa_to_xb(house), back = {.from = {"XC", TECHNICAL}, .to = {XA}, .n_to = 1};
	struct story_query query = {.id = letter.id, .place = "XB", .kind = TECHNICAL};
	struct principal xb = operator_of(house, "XB"), xc = operator_of(house, "XC");
	struct world_state *of = world_state(house->world, "XB");
	struct change_write write = world_write(&of->users);
	struct refusal why = {0};
	struct told told = send_letter(house, &letter), other;
	int busy = 0;

	expect(&told, 0);
	seal(house, &back);
	for (int i = 0; i < MANY; i++)
		directory_deliver(house->directory, &query);
	send_as(house, &xc, &back, &other);
	turn(house);
	expect(&other, 0);
	struct spot from = XA;
	assert_int_equal(feed_length(house, from), 4); /* delivered once */
	for (int i = 0; i < MANY; i++)
		busy += directory_submit(house->directory, &xb, &write, 1, false, ignore, NULL, &why) == STATUS_BUSY;
	assert_true(busy > 0);
	letter_finish(&back);
	back = (struct letter){.from = {"XC", TECHNICAL}, .to = {XA}, .n_to = 1};
	seal(house, &back);
	send_as(house, &xc, &back, &other);
	write = world_write(&world_state(house->world, "XC")->users);
	assert_int_equal(directory_submit(house->directory, &xc, &write, 1, false, ignore, NULL, &why), 0);
	turn(house);
	expect(&other, 0);
	letter_finish(&letter);
	letter_finish(&back);
}

static uint64_t busy_ms;

/* The first commit takes long; the second says how long the writer is at what it does. */
static void watch_writer(struct house *house, Poc__PocKind kind)
{
	if (kind == TECHNICAL)
		usleep(200 * 1000);
	else
		busy_ms = directory_busy_ms(house->directory);
}

/* A long queue is no writer that hangs. */
static void test_busy_with_one_thing(void **context)
{
	struct house *house = *context;
	struct letter first = from_xa_to_xb(house),
		      second = {.from = {"XA", DIPLOMATIC}, .to = {{"XB", DIPLOMATIC}}, .n_to = 1};
	struct principal who = operator_of(house, "XA");
	struct world_state *xd = world_state(house->world, "XD");
	struct told told[2];

	seal(house, &second);
	send_as(house, &who, &first, &told[0]);
	world_next_keys(house->world, xd, NULL, NULL);
	struct change_write keys = world_write(&xd->keys);
	queue(house, &keys, 1); /* before which what is staged is committed */
	send_as(house, &who, &second, &told[1]);
	house->growing = watch_writer;
	busy_ms = UINT64_MAX;
	assert_int_equal(directory_start(house->directory), 0);
	reopen(house); /* waits for it */
	expect(&told[0], 0);
	expect(&told[1], 0);
	assert_true(busy_ms < 200);
	letter_finish(&first);
	letter_finish(&second);
}

static void weighs(struct house *house, const char *to, uint64_t n, uint64_t size)
{
	struct store_view *view;
	uint64_t notices, bytes;

	assert_int_equal(store_view_begin(house->store, &view), 0);
	assert_int_equal(row_read_backlog(view, "XA", to, &notices, &bytes), 0);
	store_view_end(view);
	assert_int_equal(notices, n);
	assert_int_equal(bytes, size);
}

/* One absent recipient holds a notice back from nobody else; it weighs for each of them. */
static void test_backlog_of_one_recipient(void **context)
{
	struct house *house = *context;
	struct letter one = from_xa_to_xb(house), again = from_xa_to_xb(house),
		      both = {.from = XA, .to = {XB, {"XC", TECHNICAL}}, .n_to = 2},
		      own = {.from = XA, .to = {{"XA", DIPLOMATIC}, XB}, .n_to = 2};
	struct letter next = both;

	seal(house, &both);
	seal(house, &own);
	seal(house, &next);
	house->options.backlog_bytes = both.body_size + 10;
	reopen(house);
	struct told told = send_letter(house, &one);
	expect(&told, 0);
	told = send_letter(house, &again);
	expect(&told, STATUS_QUOTA);
	told = send_letter(house, &own); /* the own state's room is none */
	expect(&told, STATUS_QUOTA);
	told = send_letter(house, &both); /* XC has room */
	expect(&told, 0);
	weighs(house, "XB", 2, one.body_size + both.body_size);
	weighs(house, "XC", 1, both.body_size);
	told = send_letter(house, &next); /* now neither has */
	expect(&told, STATUS_QUOTA);
	assert_string_equal(told.why.message, "XB has not fetched 2 notices of XA yet: no more until it does");
	assert_true(told.why.retry_ms > 0);
	letter_finish(&one);
	letter_finish(&again);
	letter_finish(&both);
	letter_finish(&own);
	letter_finish(&next);
}

static void test_retention(void **context)
{
	struct house *house = *context;
	struct letter letter = from_xa_to_xb(house);
	struct told told;
	struct spot to = XB;

	house->options.backlog_bytes = letter.body_size;
	reopen(house);
	told = send_letter(house, &letter);
	expect(&told, 0);
	world_clock_ms += (uint64_t)31 * 86400 * 1000;
	turn(house);
	assert_int_equal(fetch(house, &letter, to), STATUS_EXPIRED);
	assert_int_equal(feed_length(house, to), 1);
	struct letter next = from_xa_to_xb(house);
	told = send_letter(house, &next); /* what is gone weighs nothing */
	expect(&told, 0);
	letter_finish(&letter);
	letter_finish(&next);
}

/* A body is handed out, and past its time before that is stated as delivered. */
static void test_delivered_too_late(void **context)
{
	struct house *house = *context;
	struct letter first = from_xa_to_xb(house), second = from_xa_to_xb(house);
	struct principal who = operator_of(house, "XB");
	struct spot to = XB;
	struct story_query query = {.id = first.id, .place = to.place, .kind = to.kind, .with_body = true};
	struct told told = send_letter(house, &first);
	struct refusal why = {0};
	struct answer answer;
	struct store_view *view;
	uint64_t notices, bytes;
	bool fetched;

	expect(&told, 0);
	world_clock_ms += (uint64_t)29 * 86400 * 1000;
	seal(house, &second);
	told = send_letter(house, &second);
	expect(&told, 0);
	assert_int_equal(directory_story(house->directory, &who, &query, &answer, &fetched, &why), 0);
	answer_finish(&answer);
	assert_true(fetched);
	world_clock_ms += (uint64_t)2 * 86400 * 1000;
	turn(house);
	directory_deliver(house->directory, &query);
	turn(house);
	assert_int_equal(store_view_begin(house->store, &view), 0);
	assert_int_equal(row_read_backlog(view, "XA", "XB", &notices, &bytes), 0);
	store_view_end(view);
	assert_int_equal(notices, 1); /* the second */
	assert_int_equal(bytes, second.body_size);
	letter_finish(&first);
	letter_finish(&second);
}

/* ---- On the wire: sessions without a network */

enum { FRAMES_MAX = 32 };

struct peer {
	struct session session;
	struct house *house;
	bool watches;
	int holds;
	size_t n_frames, n_jobs;
	struct {
		uint8_t *bytes;
		size_t size;
	} frames[FRAMES_MAX];
	struct {
		void (*run)(void *arg);
		void *arg;
	} jobs[FRAMES_MAX];
};

static void peer_send(void *arg, const struct iovec *parts, int n)
{
	struct peer *peer = arg;
	size_t size = 0;

	assert_true(peer->n_frames < FRAMES_MAX);
	for (int i = 0; i < n; i++)
		size += parts[i].iov_len;
	uint8_t *bytes = malloc(size), *at = bytes;
	for (int i = 0; i < n; at += parts[i++].iov_len)
		memcpy(at, parts[i].iov_base, parts[i].iov_len);
	peer->frames[peer->n_frames].bytes = bytes;
	peer->frames[peer->n_frames++].size = size;
}

static void peer_finish(void *arg)
{
	(void)arg;
}

static void peer_hold(void *arg, int change)
{
	((struct peer *)arg)->holds += change;
}

static int peer_post(void *arg, void (*run)(void *arg), void *job)
{
	struct peer *peer = arg;

	assert_true(peer->n_jobs < FRAMES_MAX);
	peer->jobs[peer->n_jobs].run = run;
	peer->jobs[peer->n_jobs++].arg = job;
	return 0;
}

static bool peer_open(void *arg)
{
	(void)arg;
	return true;
}

static void peer_watch(void *arg)
{
	((struct peer *)arg)->watches = true;
}

static const char *peer_name(void *arg)
{
	(void)arg;
	return "test";
}

static const struct session_ops peer_ops = {peer_send, peer_finish, peer_hold, peer_post,
					    peer_open, peer_watch,  peer_name};

static void ask(struct peer *peer, Poc__Request__BodyCase type, void *body)
{
	Poc__Request request = POC__REQUEST__INIT;
	uint8_t *bytes;
	size_t size;

	request.id = 7;
	request.body_case = type;
	request.hello = body;
	assert_int_equal(message_encode(&request, &bytes, &size), 0);
	session_frame(&peer->session, bytes, size);
	free(bytes);
}

/* Does what the loop would: runs what was posted to it, and tells the session of desks that grew. */
static void run_loop(struct peer *peer)
{
	for (size_t i = 0; i < peer->n_jobs; i++)
		peer->jobs[i].run(peer->jobs[i].arg);
	peer->n_jobs = 0;
	for (size_t i = 0; i < peer->house->n_grown && peer->watches; i++)
		session_grown(&peer->session, peer->house->grown[i].place, peer->house->grown[i].kind,
			      peer->house->grown[i].cursor);
}

static Poc__Response *take_answer(struct peer *peer, Poc__Response__BodyCase type)
{
	ProtobufCMessage *message;
	struct refusal why = {0};

	assert_true(peer->n_frames > 0);
	if (message_decode(&poc__response__descriptor, peer->frames[0].bytes, peer->frames[0].size, NULL, &message,
			   &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	free(peer->frames[0].bytes);
	memmove(peer->frames, peer->frames + 1, --peer->n_frames * sizeof peer->frames[0]);
	Poc__Response *response = (Poc__Response *)message;
	assert_int_equal(response->id, 7);
	if (response->body_case != type && response->body_case == POC__RESPONSE__BODY_ERROR)
		fail_msg("%s: %s", response->error->field, response->error->message);
	assert_int_equal(response->body_case, type);
	return response;
}

static void expect_event(struct peer *peer, uint64_t cursor)
{
	ProtobufCMessage *message;

	assert_int_equal(peer->n_frames, 1);
	assert_int_equal(peer->frames[0].bytes[0], 8); /* tells it from a Response */
	assert_int_equal(
	    message_decode(&poc__event__descriptor, peer->frames[0].bytes, peer->frames[0].size, NULL, &message, NULL),
	    0);
	const Poc__Event *event = (const Poc__Event *)message;
	assert_int_equal(event->cursor, cursor);
	assert_string_equal(event->place, "XB");
	assert_int_equal(event->kind, TECHNICAL);
	message_free(message);
	free(peer->frames[0].bytes);
	peer->n_frames = 0;
}

static void greet(struct house *house, struct peer *peer, const char *state, const struct keystore_key *key)
{
	Poc__Hello hello = POC__HELLO__INIT;

	*peer = (struct peer){.house = house};
	session_init(&peer->session, house->directory, &peer_ops, peer, &keystore_public(key)->id);
	hello.directory_id = (ProtobufCBinaryData){HASH_SIZE, house->world->directory_id.bytes};
	hello.protocol = 1;
	hello.state = (char *)state;
	ask(peer, POC__REQUEST__BODY_HELLO, &hello);
	message_free(take_answer(peer, POC__RESPONSE__BODY_HELLO));
}

static void post_on(struct house *house, struct peer *peer, const struct letter *letter)
{
	Poc__Post post = POC__POST__INIT;

	post.envelope = (ProtobufCBinaryData){letter->header_size, letter->header};
	post.body = (ProtobufCBinaryData){letter->body_size, letter->body};
	ask(peer, POC__REQUEST__BODY_POST, &post);
	house->n_grown = 0;
	turn(house);
	run_loop(peer);
	assert_int_equal(peer->holds, 0);
	assert_int_equal(peer->session.writes, 0);
}

static void watch_on(struct peer *peer, Poc__PocKind kind, uint64_t end)
{
	Poc__Watch watch = POC__WATCH__INIT;

	watch.place = "XB";
	watch.kind = kind;
	ask(peer, POC__REQUEST__BODY_WATCH, &watch);
	Poc__Response *response = take_answer(peer, POC__RESPONSE__BODY_WATCH);
	assert_int_equal(response->watch->end, end);
	message_free(response);
}

/* What is answered with 4,294,967,295 is about bytes that were no request: none has that number. */
static void test_request_ids(void **context)
{
	struct house *house = *context;
	struct prescan_limits limits = {.depth = 4, .fields = 100, .memory = 1 << 20};
	Poc__GetHead head = POC__GET_HEAD__INIT;
	Poc__Request request = POC__REQUEST__INIT;
	const uint32_t ids[] = {0, UINT32_MAX, UINT32_MAX - 1};
	struct peer peer;

	greet(house, &peer, "XA", world_state(house->world, "XA")->operator_);
	for (size_t i = 0; i < 3; i++) {
		ProtobufCMessage *message;
		uint8_t *bytes;
		size_t size;
		request.id = ids[i];
		request.body_case = POC__REQUEST__BODY_GET_HEAD;
		request.get_head = &head;
		assert_int_equal(message_encode(&request, &bytes, &size), 0);
		session_frame(&peer.session, bytes, size);
		free(bytes);
		assert_int_equal(peer.n_frames, 1);
		assert_int_equal(message_decode(&poc__response__descriptor, peer.frames[0].bytes, peer.frames[0].size,
						&limits, &message, NULL),
				 0);
		free(peer.frames[--peer.n_frames].bytes);
		const Poc__Response *response = (const Poc__Response *)message;
		assert_int_equal(response->body_case, i < 2 ? POC__RESPONSE__BODY_ERROR : POC__RESPONSE__BODY_HEAD);
		assert_int_equal(response->id, i < 2 ? UINT32_MAX : ids[i]);
		message_free(message);
	}
}

static void test_sessions(void **context)
{
	struct house *house = *context;
	struct peer sender, watcher, alert;
	struct letter letter = from_xa_to_xb(house), next = from_xa_to_xb(house);
	Poc__GetNotice get = POC__GET_NOTICE__INIT;
	Poc__Feed feed = POC__FEED__INIT;

	greet(house, &sender, "XA", world_state(house->world, "XA")->operator_);
	greet(house, &watcher, "XB", world_state(house->world, "XB")->operator_);
	greet(house, &alert, "XB", world_state(house->world, "XB")->alert);
	watch_on(&watcher, TECHNICAL, 0);
	watch_on(&alert, TECHNICAL, 0);
	post_on(house, &sender, &letter);
	Poc__Response *response = take_answer(&sender, POC__RESPONSE__BODY_POST);
	assert_memory_equal(response->post->id.data, letter.id.bytes, NOTICE_ID_SIZE);
	assert_false(response->post->repeated);
	message_free(response);
	run_loop(&watcher);
	expect_event(&watcher, 1);
	run_loop(&watcher); /* told once */
	assert_int_equal(watcher.n_frames, 0);
	run_loop(&alert);
	expect_event(&alert, 1);
	post_on(house, &sender, &letter);
	response = take_answer(&sender, POC__RESPONSE__BODY_POST);
	assert_true(response->post->repeated);
	message_free(response);
	feed.place = get.place = "XB";
	feed.kind = get.kind = TECHNICAL;
	ask(&watcher, POC__REQUEST__BODY_FEED, &feed);
	response = take_answer(&watcher, POC__RESPONSE__BODY_FEED);
	assert_int_equal(response->feed->n_entries, 1);
	message_free(response);
	get.id = (ProtobufCBinaryData){NOTICE_ID_SIZE, letter.id.bytes};
	get.with_body = true;
	ask(&alert, POC__REQUEST__BODY_GET_NOTICE, &get);
	message_free(take_answer(&alert, POC__RESPONSE__BODY_ERROR));
	ask(&watcher, POC__REQUEST__BODY_GET_NOTICE, &get);
	message_free(take_answer(&watcher, POC__RESPONSE__BODY_STORY));
	house->n_grown = 0;
	turn(house);
	run_loop(&watcher);
	expect_event(&watcher, 2); /* delivered */
	/* who is no longer listed hears no more, even before the session ends */
	struct world_state *xb = world_state(house->world, "XB");
	struct keystore_key *dropped = xb->operator_;
	xb->operator_ = keystore_ephemeral(KEY_P256);
	world_next_users(house->world, xb, true, NULL);
	struct change_write users = world_write(&xb->users);
	queue(house, &users, 1);
	turn(house);
	post_on(house, &sender, &next);
	message_free(take_answer(&sender, POC__RESPONSE__BODY_POST));
	run_loop(&watcher);
	assert_int_equal(watcher.n_frames, 0);
	assert_false(session_recheck(&watcher.session));
	keystore_close(dropped);
	letter_finish(&letter);
	letter_finish(&next);
}

/* ---- The full check finds what is missing */

struct row {
	uint8_t key[STORE_KEY_MAX], value[8192];
	size_t key_size, size;
	unsigned skip;
};

static int take_row(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct row *row = ctx;

	if (row->skip-- > 0)
		return 0;
	assert_true(value->size <= sizeof row->value);
	memcpy(row->key, key, key_size);
	memcpy(row->value, value->bytes, value->size);
	row->key_size = key_size;
	row->size = value->size;
	return 1;
}

static bool get_row(struct house *house, enum store_table table, unsigned n, struct row *row)
{
	struct store_view *view;

	row->skip = n;
	assert_int_equal(store_view_begin(house->store, &view), 0);
	int found = store_walk(view, table, NULL, 0, take_row, row);
	store_view_end(view);
	return found == 1;
}

static void put_row(struct house *house, enum store_table table, const struct row *row, bool there)
{
	struct store_batch *batch = store_batch_create();

	if (there)
		assert_int_equal(store_batch_put(batch, table, row->key, row->key_size, row->value, row->size), 0);
	else
		assert_int_equal(store_batch_delete(batch, table, row->key, row->key_size), 0);
	assert_int_equal(store_commit_wait(house->store, batch), 0);
}

static void test_check(void **context)
{
	static const enum store_table tables[] = {TABLE_NOTICE_ID, TABLE_NOTICE, TABLE_BODY,   TABLE_STEP,
						  TABLE_FEED,      TABLE_DESK,   TABLE_BACKLOG};
	struct house *house = *context;
	struct letter first = from_xa_to_xb(house), second = {.from = XB, .to = {XA}, .n_to = 1};
	struct said ack = {.desk = XB, .step = POC__STEP__STEP_ACKNOWLEDGED},
		    taken = {.desk = XB, .step = POC__STEP__STEP_TAKEN};
	struct spot to = XB;
	struct told told = send_letter(house, &first);
	static struct row row;

	expect(&told, 0);
	seal(house, &second);
	told = send_letter(house, &second);
	expect(&told, 0);
	assert_int_equal(fetch(house, &first, to), 0);
	told = receive(house, &first, &ack);
	expect(&told, 0);
	told = receive(house, &first, &taken);
	expect(&told, 0);
	for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
		for (unsigned n = 0; get_row(house, tables[t], n, &row); n++) {
			struct refusal why = {0};
			put_row(house, tables[t], &row, false);
			assert_int_equal(offline_check_store(house->store, NULL, &why), STATUS_DAMAGED);
			row.value[0] ^= 1;
			put_row(house, tables[t], &row, true);
			assert_int_equal(offline_check_store(house->store, NULL, &why), STATUS_DAMAGED);
			row.value[0] ^= 1;
			put_row(house, tables[t], &row, true);
		}
	}
	struct offline_report report;
	assert_int_equal(offline_check_store(house->store, &report, NULL), 0);
	assert_int_equal(report.notices.notices, 2);
	assert_int_equal(report.notices.steps, 2 + 2 + 3);
	letter_finish(&first);
	letter_finish(&second);
}

/* ---- A random history against a naive model */

enum {
	DESKS = 6,
	MODEL_NOTICES = 120,
	MODEL_ENTRIES = 4000,
	MODEL_ROUNDS = 300,
	MODEL_BACKLOG = 12000,             /* some six bodies */
	MODEL_PAUSE_MS = 8 * 86400 * 1000, /* of the retention's 30 days */
};

static const struct spot desks[DESKS] = {{"XA", TECHNICAL},  {"XA", DIPLOMATIC}, {"XB", TECHNICAL},
					 {"XB", DIPLOMATIC}, {"XC", TECHNICAL},  {"XD", TECHNICAL}};

/* What a desk's feed must hold: notice and step, in order. */
struct expected {
	size_t n;
	struct {
		size_t notice;
		Poc__Step step;
		size_t about; /* desk, or DESKS */
	} entries[MODEL_ENTRIES];
};

struct model {
	size_t n;
	struct letter letters[MODEL_NOTICES];
	size_t from[MODEL_NOTICES], to[MODEL_NOTICES][2], n_to[MODEL_NOTICES];
	bool done[MODEL_NOTICES][DESKS][11];
	Poc__Step stand[MODEL_NOTICES][DESKS];             /* the last of accepted, declined, closed */
	bool there[MODEL_NOTICES], expired[MODEL_NOTICES]; /* taken in; its body erased */
	uint64_t made_ms[MODEL_NOTICES], stored_ms[MODEL_NOTICES];
	struct expected feeds[DESKS];
	uint64_t random;
	unsigned over_quota, n_expired, released; /* so that it is seen that they happen */
};

static void model_tell(struct model *model, size_t desk, size_t notice, Poc__Step step, size_t about)
{
	struct expected *feed = &model->feeds[desk];

	assert_true(feed->n < MODEL_ENTRIES);
	feed->entries[feed->n].notice = notice;
	feed->entries[feed->n].step = step;
	feed->entries[feed->n++].about = about;
}

static bool is_recipient(const struct model *model, size_t notice, size_t desk)
{
	for (size_t i = 0; i < model->n_to[notice]; i++) {
		if (model->to[notice][i] == desk)
			return true;
	}
	return false;
}

static bool same_state(size_t a, size_t b)
{
	return strncmp(desks[a].place, desks[b].place, 2) == 0;
}

/* Whether none of the desks of a recipient's state, which is another's than the sender's, has fetched a notice that can
 * still be fetched. */
static bool waits(const struct model *model, size_t notice, size_t desk)
{
	bool to = false;

	if (!model->there[notice] || model->expired[notice] || same_state(model->from[notice], desk))
		return false;
	for (size_t i = 0; i < model->n_to[notice]; i++) {
		size_t each = model->to[notice][i];
		if (!same_state(each, desk))
			continue;
		if (model->done[notice][each][POC__STEP__STEP_DELIVERED])
			return false;
		to = true;
	}
	return to;
}

/* Whether each of the other states that it goes to has too much to fetch. */
static bool over_quota(const struct model *model, size_t notice)
{
	bool full = false;

	for (size_t i = 0; i < model->n_to[notice]; i++) {
		size_t desk = model->to[notice][i], bytes = model->letters[notice].body_size;
		if (same_state(desk, model->from[notice]))
			continue;
		for (size_t n = 0; n < model->n; n++) {
			if (n != notice && same_state(model->from[n], model->from[notice]) && waits(model, n, desk))
				bytes += model->letters[n].body_size;
		}
		if (bytes <= MODEL_BACKLOG)
			return false;
		full = true;
	}
	return full;
}

/* Hands a notice in that is not there yet, without a turn of the writer; returns how that will end. */
static int model_hand_in(struct house *house, struct model *model, size_t n, struct told *told)
{
	const struct letter *letter = &model->letters[n];
	struct principal who = operator_of(house, state_of(house, letter->from.place)->code);

	send_as(house, &who, letter, told);
	if (model->made_ms[n] / 1000 + house->options.retention_ms / 1000 < world_clock_ms / 1000)
		return STATUS_EXPIRED;
	if (over_quota(model, n)) {
		model->over_quota++;
		return STATUS_QUOTA;
	}
	model->there[n] = true;
	model_tell(model, model->from[n], n, 0, model->from[n]);
	for (size_t i = 0; i < letter->n_to; i++) {
		if (model->to[n][i] != model->from[n])
			model_tell(model, model->to[n][i], n, 0, model->from[n]);
	}
	model_tell(model, model->from[n], n, POC__STEP__STEP_STORED, DESKS);
	return 0;
}

static void model_told(struct model *model, size_t n, const struct told *told, int status)
{
	expect(told, status);
	if (status == 0)
		model->stored_ms[n] = (uint64_t)told->result.stored_ms;
}

/* Makes a notice between random desks. */
static int model_send(struct house *house, struct model *model, struct told *told)
{
	size_t n = model->n++, from = test_random(&model->random) % DESKS;
	struct letter *letter = &model->letters[n];

	*letter = (struct letter){.from = desks[from]};
	model->from[n] = from;
	for (size_t i = 0; i < DESKS && letter->n_to < 2; i++) {
		if (i != from && test_random(&model->random) % 3 == 0) {
			model->to[n][letter->n_to] = i;
			letter->to[letter->n_to++] = desks[i];
		}
	}
	if (letter->n_to == 0) { /* a note to itself */
		model->to[n][0] = from;
		letter->to[0] = desks[from];
		letter->n_to = 1;
		letter->category = POC__CATEGORY__CATEGORY_NOTE;
	}
	model->n_to[n] = letter->n_to;
	model->made_ms[n] = world_clock_ms;
	seal(house, letter);
	return model_hand_in(house, model, n, told);
}

/* Several in one commit. */
static void model_send_some(struct house *house, struct model *model)
{
	size_t n = 1 + test_random(&model->random) % 4, first = model->n;
	struct told told[4];
	int status[4];

	for (size_t i = 0; i < n; i++)
		status[i] = model_send(house, model, &told[i]);
	turn(house);
	for (size_t i = 0; i < n; i++)
		model_told(model, first + i, &told[i], status[i]);
}

/* The same again: its first answer, or another try. */
static void model_repeat(struct house *house, struct model *model)
{
	size_t n = test_random(&model->random) % model->n;
	struct told told;

	if (!model->there[n]) {
		int status = model_hand_in(house, model, n, &told);
		turn(house);
		model_told(model, n, &told, status);
		return;
	}
	told = send_letter(house, &model->letters[n]);
	expect(&told, 0);
	assert_true(told.result.repeated);
	assert_int_equal(told.result.stored_ms, model->stored_ms[n]);
}

/* Some days go by. */
static void model_pause(struct house *house, struct model *model)
{
	world_clock_ms += MODEL_PAUSE_MS;
	turn(house);
	for (size_t n = 0; n < model->n; n++) {
		bool over = model->there[n] && model->stored_ms[n] + house->options.retention_ms <= world_clock_ms;
		model->n_expired += over && !model->expired[n];
		model->expired[n] = over;
	}
}

static void model_receive(struct house *house, struct model *model)
{
	static const Poc__Step steps[] = {POC__STEP__STEP_ACKNOWLEDGED, POC__STEP__STEP_ACCEPTED,
					  POC__STEP__STEP_DECLINED,     POC__STEP__STEP_CLOSED,
					  POC__STEP__STEP_TAKEN,        POC__STEP__STEP_RELEASED};
	size_t n = test_random(&model->random) % model->n, desk = test_random(&model->random) % DESKS;
	struct said note = {.desk = desks[desk], .step = steps[test_random(&model->random) % 6]};
	bool to = model->there[n] && is_recipient(model, n, desk), from = model->there[n] && model->from[n] == desk;
	bool hidden = step_is_private(note.step), any = note.step == POC__STEP__STEP_CLOSED || hidden;

	world_clock_ms += 1000; /* so that no two receipts are the same bytes */
	struct told told = receive(house, &model->letters[n], &note);
	if (!to && !from) {
		expect(&told, STATUS_NOT_FOUND);
		return;
	}
	if (!to && !any) {
		expect(&told, STATUS_INVALID);
		return;
	}
	expect(&told, 0);
	bool again =
	    step_is_stand(note.step) ? model->stand[n][desk] == note.step : model->done[n][desk][note.step] && !hidden;
	assert_int_equal(told.result.repeated, again);
	model->done[n][desk][note.step] = true;
	if (step_is_stand(note.step))
		model->stand[n][desk] = note.step;
	if (again)
		return;
	if (hidden) {
		model->released += note.step == POC__STEP__STEP_RELEASED;
		model_tell(model, desk, n, note.step, desk);
		return;
	}
	model_tell(model, model->from[n], n, note.step, desk);
	/* a recipient's statement is for the sender and itself; the sender's for all */
	for (size_t i = 0; i < DESKS; i++) {
		if (i != model->from[n] && (from && !to ? is_recipient(model, n, i) : i == desk))
			model_tell(model, i, n, note.step, desk);
	}
}

static void model_fetch(struct house *house, struct model *model)
{
	size_t n = test_random(&model->random) % model->n, desk = test_random(&model->random) % DESKS;
	bool to = model->there[n] && is_recipient(model, n, desk), from = model->there[n] && model->from[n] == desk;

	assert_int_equal(fetch(house, &model->letters[n], desks[desk]), !to && !from        ? STATUS_NOT_FOUND
									: model->expired[n] ? STATUS_EXPIRED
											    : 0);
	if (!to || model->expired[n] || model->done[n][desk][POC__STEP__STEP_DELIVERED])
		return;
	model->done[n][desk][POC__STEP__STEP_DELIVERED] = true;
	model_tell(model, model->from[n], n, POC__STEP__STEP_DELIVERED, desk);
	if (desk != model->from[n])
		model_tell(model, desk, n, POC__STEP__STEP_DELIVERED, desk);
}

static void check_entry(struct house *house, const struct model *model, const Poc__FeedEntry *entry,
			const struct expected *feed, size_t i)
{
	const struct letter *letter = &model->letters[feed->entries[i].notice];
	Poc__Step step = feed->entries[i].step;

	(void)house;
	assert_memory_equal(entry->notice_id.data, letter->id.bytes, NOTICE_ID_SIZE);
	if (step == 0) {
		assert_false(entry->fact);
		assert_int_equal(entry->item.len, letter->header_size);
		assert_memory_equal(entry->item.data, letter->header, letter->header_size);
	} else if (entry->fact) {
		Poc__Fact *fact;
		assert_int_equal(fact_parse(entry->item.data, entry->item.len, &fact, NULL), 0);
		assert_int_equal(fact->step, step);
		assert_string_equal(fact->place,
				    step == POC__STEP__STEP_STORED ? "" : desks[feed->entries[i].about].place);
		message_free(fact);
	} else {
		struct receipt *receipt;
		assert_int_equal(receipt_parse(entry->item.data, entry->item.len, &receipt, NULL), 0);
		assert_int_equal(receipt->receipt->step, step);
		assert_string_equal(receipt->receipt->place, desks[feed->entries[i].about].place);
		assert_int_equal(receipt->receipt->kind, desks[feed->entries[i].about].kind);
		receipt_destroy(receipt);
	}
}

static void check_feeds(struct house *house, struct model *model)
{
	for (size_t d = 0; d < DESKS; d++) {
		struct principal who = operator_of(house, state_of(house, desks[d].place)->code);
		uint64_t after = model->feeds[d].n > 0 ? test_random(&model->random) % model->feeds[d].n : 0;
		Poc__FeedAnswer *feed = read_feed(house, &who, desks[d], after);
		assert_int_equal(feed->end, model->feeds[d].n);
		for (size_t i = 0; i < feed->n_entries; i++) {
			assert_int_equal(feed->entries[i]->cursor, after + i + 1);
			check_entry(house, model, feed->entries[i], &model->feeds[d], (size_t)after + i);
		}
		if (feed->n_entries < 100)
			assert_int_equal(after + feed->n_entries, model->feeds[d].n);
		message_free(feed);
	}
}

static void test_model(void **context)
{
	struct house *house = *context;
	struct model *model = calloc(1, sizeof *model);

	house->options.backlog_bytes = MODEL_BACKLOG;
	reopen(house);
	model->random = 4711;
	for (int round = 0; round < MODEL_ROUNDS; round++) {
		uint64_t what = test_random(&model->random) % 10;
		if (model->n == 0 || (what < 3 && model->n + 4 <= MODEL_NOTICES))
			model_send_some(house, model);
		else if (what < 5)
			model_fetch(house, model);
		else if (what < 6)
			model_repeat(house, model);
		else if (what == 6 && test_random(&model->random) % 3 == 0)
			reopen(house);
		else if (what == 7 && test_random(&model->random) % 3 == 0)
			model_pause(house, model);
		else
			model_receive(house, model);
		if (round % 10 == 0)
			check_feeds(house, model);
	}
	check_feeds(house, model);
	assert_int_equal(offline_check_store(house->store, NULL, NULL), 0);
	assert_true(model->over_quota > 0 && model->n_expired > 0 && model->released > 0);
	for (size_t i = 0; i < model->n; i++)
		letter_finish(&model->letters[i]);
	free(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_main_path, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_brought_in, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_secrecy, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_story, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_story_with_long_chains, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_judged_at_publication, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_register_is_not_held_up, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_signer_about_to_expire, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_steps_of_one_desk, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_alert_of_who_sends_much, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_escalation, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_clock_ahead_at_start, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_changed_mind, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_escalation_twice, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_many_timers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_answer_by, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_quotas, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_one_state_fills_the_queue, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_busy_with_one_thing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_clock_was_ahead, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_backlog_of_one_recipient, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_retention, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_delivered_too_late, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_request_ids, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sessions, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_check, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_model, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_model, setup_on_disk, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
