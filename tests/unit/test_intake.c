/* intake and append: what a follower takes, and the lies that it does not. */
#include "tests/lib/unit.h"

#include "pocd/directory/directory.h"
#include "pocd/directory/holders.h"
#include "pocd/directory/intake.h"
#include "pocd/directory/quorum.h"
#include "pocd/offline.h"
#include "proto/keys/keystore_file.h"
#include "proto/keys/toll.h"
#include "proto/rules/rules.h"
#include "proto/wire/prescan.h"
#include "tests/lib/world_directory.h"

enum { START = 1790000000 };

/* A directory, and a follower that has nothing yet. */
struct house {
	struct world *world;
	struct store *store, *copy;
	struct directory *directory, *mirror;
	struct intake *intake;
	struct principal who;
};

static void take_outcome(void *ctx, const struct change_outcome *outcome)
{
	*(int *)ctx = outcome->status;
	if (outcome->status != 0)
		print_message("%s: %s\n", outcome->why->field, outcome->why->message);
}

static int submit(struct house *house, const struct change_write *writes, size_t n)
{
	struct refusal why = {0};
	int status = -1;

	if (directory_submit(house->directory, NULL, writes, n, true, take_outcome, &status, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	assert_int_equal(directory_run_once(house->directory), 0);
	return status;
}

static void add_state(struct house *house, const char *code)
{
	struct world_state *state = world_add_state(house->world, code);
	struct change_write record = world_write(&state->record);

	record.n_sections = WORLD_SECTIONS;
	record.sections = state->sections;
	struct change_write writes[] = {record, world_write(&state->users), world_write(&state->keys),
					world_write(&house->world->reg)};
	world_clock_ms += 1000;
	assert_int_equal(submit(house, writes, 4), 0);
}

static void open_mirror(struct house *house)
{
	struct directory_options options = {
	    .store = house->copy, .follows = &house->world->directory_id, .state = "XA", .now_ms = world_read_clock};
	struct refusal why = {0};

	intake_destroy(house->intake);
	directory_close(house->mirror);
	if (directory_open(&options, &house->mirror, &why) != 0 ||
	    intake_create(directory_ledger(house->mirror), house->copy, &house->world->directory_id, &house->intake,
			  &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
}

static int setup(void **context)
{
	struct house *house = calloc(1, sizeof *house);

	world_clock_ms = (uint64_t)START * 1000;
	house->world = world_create(START);
	house->store = store_mem_create();
	house->copy = store_mem_create();
	struct directory_options options = world_directory_options(house->world, house->store);
	world_directory_create(house->world, &options);
	house->directory = world_directory_open(&options);
	add_state(house, "XA");
	add_state(house, "XB");
	strcpy(house->who.state, "XA");
	house->who.facts.roles = 1U << POC__ROLE__ROLE_MIRROR;
	open_mirror(house);
	*context = house;
	return 0;
}

static int teardown(void **context)
{
	struct house *house = *context;

	intake_destroy(house->intake);
	directory_close(house->mirror);
	directory_close(house->directory);
	store_close(house->store);
	store_close(house->copy);
	world_destroy(house->world);
	free(house);
	return 0;
}

/* The page that an honest server gives. */
static Poc__FollowAnswer *ask(struct house *house)
{
	struct snapshot *tip = ledger_tip(directory_ledger(house->mirror));
	struct follow_query query = {.auditor = ""};
	struct tip_told told;
	struct answer answer;
	struct refusal why = {0};
	ProtobufCMessage *page;

	if (tip != NULL) {
		query.size = tip->checkpoint.size;
		query.root = tip->checkpoint.root.bytes;
	}
	if (directory_follow(house->directory, &house->who, &query, &told, &answer, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	snapshot_unref(tip);
	assert_int_equal(message_decode(&poc__follow_answer__descriptor, answer.bytes, answer.size, NULL, &page, &why),
			 0);
	answer_finish(&answer);
	return (Poc__FollowAnswer *)page;
}

static int take(struct house *house, const Poc__FollowAnswer *page, struct refusal *why)
{
	bool moved;

	return intake_page(house->intake, page, &moved, why);
}

static void take_honest(struct house *house)
{
	Poc__FollowAnswer *page = ask(house);
	struct refusal why = {0};

	if (take(house, page, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	message_free(page);
}

static void same_tip(struct house *house)
{
	struct snapshot *ours = ledger_snapshot(directory_ledger(house->mirror)),
			*theirs = ledger_snapshot(directory_ledger(house->directory));

	assert_non_null(ours);
	assert_int_equal(ours->checkpoint.size, theirs->checkpoint.size);
	assert_memory_equal(ours->checkpoint.root.bytes, theirs->checkpoint.root.bytes, HASH_SIZE);
	assert_int_equal(ours->note_size, theirs->note_size);
	assert_int_equal(ours->n_names, theirs->n_names);
	snapshot_unref(ours);
	snapshot_unref(theirs);
}

/* ---- What is true is taken, in steps, and over restarts */

static void test_follows(void **context)
{
	struct house *house = *context;
	struct offline_report report;
	struct refusal why = {0};

	take_honest(house);
	same_tip(house);
	add_state(house, "XC");
	take_honest(house);
	same_tip(house);
	open_mirror(house);
	same_tip(house);
	world_next_record(house->world, world_state(house->world, "XC"), true, NULL);
	struct change_write write = world_write(&world_state(house->world, "XC")->record);
	world_clock_ms += 5000;
	assert_int_equal(submit(house, &write, 1), 0);
	assert_int_equal(directory_run_once(house->directory), 0);
	take_honest(house);
	same_tip(house);
	if (offline_check_store(house->copy, &report, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	/* AMBER of others is there, AMBER+STRICT of XA alone */
	assert_int_equal(report.history.erased_sections, 2);
	assert_int_equal(ledger_size(directory_ledger(house->mirror)), ledger_size(directory_ledger(house->directory)));
}

static void spoil(ProtobufCBinaryData *bytes, size_t at)
{
	assert_true(at < bytes->len);
	bytes->data[at] ^= 1;
}

/* How many leaves up to the first checkpoint. */
static size_t first_checkpoint(const Poc__FollowAnswer *page)
{
	struct leaf leaf = {0};
	size_t n = 0;

	while (n < page->n_leaves && leaf.kind != LEAF_STATE)
		assert_int_equal(leaf_read(page->leaves[n++]->leaf.data, &leaf), 0);
	return n;
}

static uint64_t tip_size(struct house *house)
{
	struct snapshot *tip = ledger_tip(directory_ledger(house->mirror));
	uint64_t size = tip != NULL ? tip->checkpoint.size : 0;

	snapshot_unref(tip);
	return size;
}

/* A long log: what does not reach its newest checkpoint yet is made durable later, or when no more comes. */
static void test_pages(void **context)
{
	struct house *house = *context;
	struct refusal why = {0};
	bool moved = false;
	Poc__FollowAnswer *page = ask(house), first = *page, rest = *page;
	size_t n = first_checkpoint(page);

	first.n_leaves = n;
	first.note.len = 0;
	rest.leaves += n;
	rest.n_leaves -= n;
	assert_int_equal(take(house, &first, &why), 0);
	assert_int_equal(intake_size(house->intake), n);
	assert_int_equal(tip_size(house), 0);
	/* with a page that is refused all goes that was not durable */
	spoil(&rest.leaves[0]->leaf, 45);
	assert_int_equal(take(house, &rest, &why), STATUS_UNVERIFIED);
	spoil(&rest.leaves[0]->leaf, 45);
	assert_int_equal(intake_size(house->intake), 0);
	assert_int_equal(take(house, &first, &why), 0);
	assert_int_equal(intake_settle(house->intake, &moved, &why), 0);
	assert_true(moved);
	assert_int_equal(tip_size(house), n);
	moved = false;
	assert_int_equal(intake_settle(house->intake, &moved, &why), 0);
	assert_false(moved);
	/* leaves that no checkpoint covers are not settled */
	first = rest;
	first.n_leaves = 1;
	first.note.len = 0;
	assert_int_equal(take(house, &first, &why), 0);
	assert_int_equal(intake_settle(house->intake, &moved, &why), 0);
	assert_false(moved);
	assert_int_equal(intake_size(house->intake), n + 1);
	rest.leaves++;
	rest.n_leaves--;
	assert_int_equal(take(house, &rest, &why), 0);
	same_tip(house);
	/* each leaf was judged, some twice, one in vain; and each has a signature here */
	struct intake_work work = intake_work(house->intake);
	assert_int_equal(work.leaves, page->n_leaves + n + 1);
	assert_true(work.toll.signatures >= work.leaves - 1);
	message_free(page);
}

/* ---- Lies.  Each changes a page; none is taken, and the honest page still is. */

static Poc__FollowedLeaf *last(const Poc__FollowAnswer *page)
{
	return page->leaves[page->n_leaves - 1];
}

static Poc__FollowedLeaf *put_of(const Poc__FollowAnswer *page, const char *name)
{
	for (size_t i = 0; i < page->n_leaves; i++) {
		if (strcmp(page->leaves[i]->name, name) == 0)
			return page->leaves[i];
	}
	fail_msg("no %s", name);
	return NULL;
}

enum lie {
	LIE_ENVELOPE,
	LIE_NAME,
	LIE_VALUE,
	LIE_SEQ,
	LIE_TIME,
	LIE_KIND,
	LIE_SECTION,
	LIE_FOREIGN_SECTION,
	LIE_STATE_NUMBER,
	LIE_MAP_ROOT,
	LIE_NOTE_SIGNATURE,
	LIE_NOTE_ROOT,
	LIE_LEFT_OUT,
	LIE_TWICE,
	LIE_ORDER,
	LIE_NO_NOTE,
	LIE_SHORT_LEAF,
	LIE_COUNT
};

static void remove_leaf(Poc__FollowAnswer *page, size_t at)
{
	message_free(page->leaves[at]);
	memmove(&page->leaves[at], &page->leaves[at + 1], (page->n_leaves - at - 1) * sizeof page->leaves[0]);
	page->n_leaves--;
}

static void tell_lie(Poc__FollowAnswer *page, enum lie lie)
{
	Poc__FollowedLeaf *record = put_of(page, "R/XC"), *state = last(page), *swap;

	switch (lie) {
	case LIE_ENVELOPE:
		spoil(&record->envelope, record->envelope.len - 40);
		break;
	case LIE_NAME:
		record->name[3] = 'D';
		break;
	case LIE_VALUE:
		spoil(&record->leaf, 45);
		break;
	case LIE_SEQ:
		spoil(&record->leaf, 41);
		break;
	case LIE_TIME: /* far back */
		spoil(&record->leaf, 77);
		record->leaf.data[76] = 0;
		break;
	case LIE_KIND:
		state->leaf.data[1] = 3;
		break;
	case LIE_SECTION:
		spoil(&record->sections[0], 60);
		break;
	case LIE_FOREIGN_SECTION: {
		Poc__FollowedLeaf *users = put_of(page, "U/XC");
		users->sections = record->sections;
		users->n_sections = record->n_sections;
		record->sections = NULL;
		record->n_sections = 0;
		break;
	}
	case LIE_STATE_NUMBER:
		state->leaf.data[41]++;
		break;
	case LIE_MAP_ROOT:
		spoil(&state->leaf, 45);
		break;
	case LIE_NOTE_SIGNATURE:
		state->note.data[state->note.len - 20] ^= 1;
		break;
	case LIE_NOTE_ROOT:
		state->note.data[40] ^= 1;
		break;
	case LIE_LEFT_OUT:
		remove_leaf(page, 0);
		break;
	case LIE_TWICE:
		swap = page->leaves[0];
		memcpy(swap->leaf.data, page->leaves[1]->leaf.data, LEAF_SIZE);
		break;
	case LIE_ORDER:
		swap = page->leaves[0];
		page->leaves[0] = page->leaves[1];
		page->leaves[1] = swap;
		break;
	case LIE_NO_NOTE:
		state->note.len = 0;
		break;
	default:
		record->leaf.len--;
	}
}

static void test_lies(void **context)
{
	struct house *house = *context;

	take_honest(house);
	add_state(house, "XC");
	for (int lie = 0; lie < LIE_COUNT; lie++) {
		Poc__FollowAnswer *page = ask(house);
		struct snapshot *before = ledger_tip(directory_ledger(house->mirror));
		struct refusal why = {0};
		tell_lie(page, (enum lie)lie);
		if (take(house, page, &why) == 0)
			fail_msg("lie %d was taken", lie);
		assert_string_not_equal(why.message, "");
		struct snapshot *after = ledger_tip(directory_ledger(house->mirror));
		assert_ptr_equal(before, after);
		assert_int_equal(intake_size(house->intake), after->checkpoint.size);
		snapshot_unref(before);
		snapshot_unref(after);
		message_free(page);
	}
	take_honest(house);
	same_tip(house);
}

/* What a key of the log signed for another log, and what nobody of the state signed. */
static void test_foreign(void **context)
{
	struct house *house = *context;
	struct hash other = house->world->directory_id;
	struct refusal why = {0};
	Poc__FollowAnswer *page = ask(house);

	other.bytes[0] ^= 1;
	intake_destroy(house->intake);
	assert_int_equal(intake_create(directory_ledger(house->mirror), house->copy, &other, &house->intake, &why), 0);
	assert_int_equal(take(house, page, &why), STATUS_UNVERIFIED);
	message_free(page);
	open_mirror(house);
	take_honest(house);
}

/* ---- Quorum */

struct auditor {
	const char *name;
	struct keystore_key *key;
};

static unsigned repeated; /* how often each signature is handed in again */

static void cosign(struct house *house, const struct auditor *auditor, int64_t time, int wanted)
{
	struct snapshot *tip = ledger_tip(directory_ledger(house->directory));
	char text[NOTE_MAX], message[NOTE_MAX + 64];
	uint8_t bytes[COSIGNATURE_SIZE], signature[SIGNATURE_MAX];
	size_t size;
	struct refusal why = {0};
	long n = checkpoint_format(&tip->checkpoint, text, sizeof text);

	n = note_cosignature_message((uint64_t)time, text, (size_t)n, message, sizeof message);
	assert_true(n > 0);
	for (unsigned i = 0; i < 8; i++)
		bytes[i] = (uint8_t)((uint64_t)time >> (56 - 8 * i));
	assert_int_equal(keystore_sign(auditor->key, (const uint8_t *)message, (size_t)n, signature, &size), 0);
	memcpy(bytes + 8, signature, COSIGNATURE_SIZE - 8);
	int status = directory_cosign(house->directory, &house->who, auditor->name, tip->checkpoint.size, bytes, &why);
	if (status != wanted)
		fail_msg("%s instead of %s: %s", status_name(status), status_name(wanted), why.message);
	if (status == 0) /* the same twice is no second one */
		assert_int_equal(
		    directory_cosign(house->directory, &house->who, auditor->name, tip->checkpoint.size, bytes, &why),
		    0);
	for (unsigned i = 0; i < repeated; i++)
		(void)directory_cosign(house->directory, &house->who, auditor->name, tip->checkpoint.size, bytes, &why);
	struct change_write write = world_write(&house->world->trust);
	int other = -1; /* whatever comes of it: there is room for it */
	assert_int_equal(directory_submit(house->directory, NULL, &write, 1, false, take_outcome, &other, &why), 0);
	bytes[20] ^= 1;
	assert_int_equal(
	    directory_cosign(house->directory, &house->who, auditor->name, tip->checkpoint.size, bytes, &why),
	    STATUS_UNVERIFIED);
	assert_int_equal(
	    directory_cosign(house->directory, &house->who, auditor->name, tip->checkpoint.size - 1, bytes, &why),
	    STATUS_CONFLICT);
	snapshot_unref(tip);
	directory_run_once(house->directory);
}

/* An auditor comes to the directory with its key, under no name yet. */
static void attend(struct house *house, const struct auditor *auditor)
{
	const struct public_key *key = keystore_public(auditor->key);
	struct follow_query query = {.auditor = "", .key = key->spki, .key_size = key->spki_size};
	struct tip_told told;
	struct answer answer;

	assert_int_equal(directory_follow(house->directory, &house->who, &query, &told, &answer, NULL), 0);
	answer_finish(&answer);
}

static void submit_trust(struct house *house, const struct world_item *trust, int expect)
{
	struct change_write write = world_write(trust);
	int status = -1;
	struct refusal why = {0};

	assert_int_equal(directory_submit(house->directory, NULL, &write, 1, false, take_outcome, &status, &why), 0);
	directory_run_once(house->directory);
	assert_int_equal(status, expect);
}

/* One that nobody could prove is refused until enough auditors are at work. */
static void next_trust(struct house *house, const struct auditor *auditors, size_t n_auditors, unsigned quorum)
{
	struct envelope *before;
	Poc__Auditor list[3], *pointers[3];
	Poc__Head head;
	struct world_item next = {0};

	assert_int_equal(envelope_parse(house->world->trust.bytes, house->world->trust.size, &before, NULL), 0);
	Poc__Trust trust = *before->payload.trust;
	head_fill(&head, &house->world->directory_id, "T", before->seq + 1, &before->value);
	for (size_t i = 0; i < n_auditors; i++) {
		const struct public_key *key = keystore_public(auditors[i].key);
		poc__auditor__init(&list[i]);
		list[i].name = (char *)auditors[i].name;
		list[i].spki = (ProtobufCBinaryData){key->spki_size, (uint8_t *)key->spki};
		list[i].state = (char *)"XA";
		pointers[i] = &list[i];
	}
	trust.head = &head;
	trust.auditors = pointers;
	trust.n_auditors = n_auditors;
	trust.quorum = quorum;
	world_sign(&trust.base, &house->world->root, 1, &next);
	envelope_destroy(before);
	world_clock_ms += 1000;
	for (size_t i = 0; i < quorum; i++) {
		submit_trust(house, &next, STATUS_INVALID);
		attend(house, &auditors[i]);
	}
	submit_trust(house, &next, 0);
	world_item_finish(&house->world->trust);
	house->world->trust = next;
}

static uint64_t served(struct house *house)
{
	struct snapshot *snapshot = ledger_snapshot(directory_ledger(house->directory));
	uint64_t size = snapshot->checkpoint.size;

	snapshot_unref(snapshot);
	return size;
}

/* The first checkpoint that holds a new T needs the quorum of both. */
static void test_two_quorums(void **context)
{
	struct house *house = *context;
	struct auditor old[] = {{"old.1", keystore_ephemeral(KEY_ED25519)}, {"old.2", keystore_ephemeral(KEY_ED25519)}},
		       new[] = {{"new.1", keystore_ephemeral(KEY_ED25519)}, {"new.2", keystore_ephemeral(KEY_ED25519)}},
		       stranger = {"old.1", new[0].key};
	uint64_t before = served(house);
	struct follow_query query = {.auditor = ""};
	struct tip_told told;
	struct answer answer;

	repeated = 5000; /* more than the queue has room for: an auditor's state fills only its share */
	next_trust(house, old, 2, 2);
	assert_int_equal(served(house), before);
	assert_true(ledger_waits(directory_ledger(house->directory)));
	cosign(house, &stranger, (int64_t)(world_clock_ms / 1000), STATUS_UNVERIFIED);
	cosign(house, &old[0], (int64_t)(world_clock_ms / 1000) - 121, STATUS_INVALID);
	cosign(house, &old[0], (int64_t)(world_clock_ms / 1000) + 121, STATUS_INVALID);
	cosign(house, &old[0], (int64_t)(world_clock_ms / 1000), 0);
	assert_int_equal(served(house), before);
	cosign(house, &old[1], (int64_t)(world_clock_ms / 1000), 0);
	repeated = 0;
	assert_true(served(house) > before);
	/* a follower serves what the directory serves */
	take_honest(house);
	same_tip(house);
	before = served(house);
	/* whoever is to sign must have been heard; the auditors of both count for their state */
	query.auditor = "old.1";
	assert_int_equal(directory_follow(house->directory, &house->who, &query, &told, &answer, NULL), 0);
	answer_finish(&answer);
	query.auditor = "old.2";
	assert_int_equal(directory_follow(house->directory, &house->who, &query, &told, &answer, NULL), 0);
	answer_finish(&answer);
	next_trust(house, new, 2, 1);
	cosign(house, &new[0], (int64_t)(world_clock_ms / 1000), 0);
	cosign(house, &new[1], (int64_t)(world_clock_ms / 1000), 0);
	assert_int_equal(served(house), before); /* not by the new ones alone */
	take_honest(house);
	struct snapshot *mirrored = ledger_snapshot(directory_ledger(house->mirror));
	assert_int_equal(mirrored->checkpoint.size, before);
	snapshot_unref(mirrored);
	open_mirror(house); /* also from its folder */
	mirrored = ledger_snapshot(directory_ledger(house->mirror));
	assert_int_equal(mirrored->checkpoint.size, before);
	snapshot_unref(mirrored);
	cosign(house, &old[0], (int64_t)(world_clock_ms / 1000), 0);
	assert_int_equal(served(house), before);
	cosign(house, &old[1], (int64_t)(world_clock_ms / 1000), 0);
	assert_true(served(house) > before);
	take_honest(house);
	same_tip(house);
	for (size_t i = 0; i < 2; i++) {
		keystore_close(old[i].key);
		keystore_close(new[i].key);
	}
}

/* An auditor's key is replaced under its name: the first checkpoint that holds that T needs both keys' signatures. */
static void test_new_key_of_an_auditor(void **context)
{
	struct house *house = *context;
	struct auditor old = {"a.example", keystore_ephemeral(KEY_ED25519)},
		       new = {"a.example", keystore_ephemeral(KEY_ED25519)},
		       stranger = {"a.example", keystore_ephemeral(KEY_ED25519)};
	struct follow_query query = {.auditor = "a.example"};
	struct tip_told told;
	struct answer answer;

	next_trust(house, &old, 1, 1);
	cosign(house, &old, (int64_t)(world_clock_ms / 1000), 0);
	uint64_t before = served(house);
	assert_int_equal(directory_follow(house->directory, &house->who, &query, &told, &answer, NULL), 0);
	answer_finish(&answer);
	next_trust(house, &new, 1, 1);
	assert_int_equal(served(house), before);
	cosign(house, &stranger, (int64_t)(world_clock_ms / 1000), STATUS_UNVERIFIED);
	cosign(house, &new, (int64_t)(world_clock_ms / 1000), 0);
	assert_int_equal(served(house), before);
	cosign(house, &old, (int64_t)(world_clock_ms / 1000), 0);
	assert_true(served(house) > before);
	take_honest(house);
	same_tip(house);
	keystore_close(old.key);
	keystore_close(new.key);
	keystore_close(stranger.key);
}

static void hear(struct house *house, const struct auditor *auditor)
{
	struct follow_query query = {.auditor = auditor->name};
	struct tip_told told;
	struct answer answer;

	assert_int_equal(directory_follow(house->directory, &house->who, &query, &told, &answer, NULL), 0);
	answer_finish(&answer);
}

/* So many checkpoints that auditors have signed. */
static void publish_signed(struct house *house, const struct auditor *auditors, unsigned n_auditors, unsigned n)
{
	struct world_state *xb = world_state(house->world, "XB");

	for (unsigned i = 0; i < n; i++) {
		world_clock_ms += 1000;
		world_next_record(house->world, xb, false, NULL);
		struct change_write record = world_write(&xb->record);
		int status = -1;
		record.n_sections = WORLD_SECTIONS;
		record.sections = xb->sections;
		assert_int_equal(
		    directory_submit(house->directory, NULL, &record, 1, false, take_outcome, &status, NULL), 0);
		directory_run_once(house->directory);
		assert_int_equal(status, 0);
		for (unsigned k = 0; k < n_auditors; k++)
			cosign(house, &auditors[k], (int64_t)(world_clock_ms / 1000), 0);
	}
}

enum { TIMES = 20 };

static uint64_t time_of_heads(struct house *house, uint64_t trust_seq)
{
	const uint64_t begun = toll_clock();
	struct answer answer;

	for (int i = 0; i < TIMES; i++) {
		assert_int_equal(directory_head(house->directory, 0, trust_seq, NULL, &answer, NULL), 0);
		answer_finish(&answer);
	}
	return toll_clock() - begun;
}

/* Of verifying the newest checkpoint's two signatures. */
static uint64_t time_of_signatures(struct house *house)
{
	struct snapshot *tip = ledger_tip(directory_ledger(house->directory));
	const Poc__Trust *trust = holders_of(tip)->trust->envelope->payload.trust;
	const uint64_t begun = toll_clock();

	for (int i = 0; i < TIMES; i++)
		assert_int_equal(quorum_count(trust, tip->note, tip->note_size), 2);
	snapshot_unref(tip);
	return toll_clock() - begun;
}

/* The way to a new T is found without many signatures being verified: everybody may ask for it, as often as he likes.
 */
static void test_way_costs_little(void **context)
{
	struct house *house = *context;
	struct auditor old = {"old.1", keystore_ephemeral(KEY_ED25519)},
		       new[] = {{"new.1", keystore_ephemeral(KEY_ED25519)}, {"new.2", keystore_ephemeral(KEY_ED25519)}};

	next_trust(house, &old, 1, 1);
	cosign(house, &old, (int64_t)(world_clock_ms / 1000), 0);
	hear(house, &old);
	next_trust(house, new, 1, 1);
	cosign(house, &new[0], (int64_t)(world_clock_ms / 1000), 0);
	cosign(house, &old, (int64_t)(world_clock_ms / 1000), 0);
	hear(house, &new[0]);
	next_trust(house, new, 2, 2);
	for (int i = 0; i < 2; i++) {
		cosign(house, &new[i], (int64_t)(world_clock_ms / 1000), 0);
		hear(house, &new[i]);
	}
	publish_signed(house, new, 2, 80);
	assert_true(!test_times_count() || time_of_heads(house, 2) < 10 * time_of_signatures(house));
	keystore_close(old.key);
	keystore_close(new[0].key);
	keystore_close(new[1].key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_follows, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lies, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_foreign, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_two_quorums, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_way_costs_little, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_new_key_of_an_auditor, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
