#include "tests/lib/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "clients/libpoc/proof.h"
#include "clients/libpoc/verify.h"
#include "pocd/directory/directory.h"
#include "pocd/offline.h"
#include "proto/keys/keystore_file.h"
#include "proto/keys/toll.h"
#include "proto/rules/record.h"
#include "proto/rules/rules.h"
#include "proto/wire/poc.pb-c.h"
#include "proto/wire/prescan.h"
#include "tests/lib/world_directory.h"

enum { START = 1790000000 };

struct house {
	struct world *world;
	struct store *store;
	struct directory *directory;
};

/* What a group of writes gave. */
struct told {
	bool called;
	struct change_outcome outcome;
	struct refusal why;
	struct change_result results[64];
};

static void take_outcome(void *ctx, const struct change_outcome *outcome)
{
	struct told *told = ctx;

	assert_false(told->called);
	told->called = true;
	told->outcome = *outcome;
	told->why = *outcome->why;
	for (size_t i = 0; i < outcome->n; i++)
		told->results[i] = outcome->results[i];
}

static struct change_write record_of(const struct world_state *state)
{
	struct change_write write = world_write(&state->record);

	write.n_sections = WORLD_SECTIONS;
	write.sections = state->sections;
	return write;
}

static struct told submit(struct house *house, const struct change_write *writes, size_t n)
{
	struct told told = {0};
	struct refusal why = {0};

	if (directory_submit(house->directory, NULL, writes, n, true, take_outcome, &told, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	assert_int_equal(directory_run_once(house->directory), 0);
	assert_true(told.called);
	return told;
}

static void expect(const struct told *told, int status)
{
	if (told->outcome.status != status)
		fail_msg("%s instead of %s: %s: %s", status_name(told->outcome.status), status_name(status),
			 told->why.field, told->why.message);
}

static struct directory_options options_of(struct house *house)
{
	struct directory_options options = world_directory_options(house->world, house->store);

	options.answer_cache = 1 << 20;
	return options;
}

static void reopen(struct house *house)
{
	struct directory_options options = options_of(house);

	directory_close(house->directory);
	house->directory = world_directory_open(&options);
}

static void publish_state(struct house *house, const char *code)
{
	struct world_state *state = world_add_state(house->world, code);
	struct change_write writes[] = {record_of(state), world_write(&state->users), world_write(&state->keys),
					world_write(&house->world->reg)};
	struct told told = submit(house, writes, 4);

	expect(&told, 0);
}

static int setup(void **context)
{
	struct house *house = calloc(1, sizeof *house);

	world_clock_ms = (uint64_t)START * 1000;
	house->world = world_create(START);
	house->store = store_mem_create();
	struct directory_options options = options_of(house);
	world_directory_create(house->world, &options);
	reopen(house);
	publish_state(house, "XA");
	publish_state(house, "XB");
	*context = house;
	return 0;
}

/* Whatever a test did, the whole history stands up to the full check. */
static int teardown(void **context)
{
	struct house *house = *context;
	struct offline_report report;
	struct refusal why = {0};

	if (offline_check_store(house->store, &report, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	assert_int_equal(report.history.judged, report.ledger.envelopes);
	assert_int_equal(report.history.checkpoints, report.ledger.publications);
	assert_int_equal(report.history.orphans, 0);
	assert_int_equal(report.history.erased_sections, 0);
	assert_false(report.unpublished);

	directory_close(house->directory);
	store_close(house->store);
	world_destroy(house->world);
	free(house);
	return 0;
}

static struct principal user(struct house *house, const char *state, struct keystore_key *key)
{
	struct principal who;

	assert_int_equal(directory_principal(house->directory, state, &keystore_public(key)->id, &who), 0);
	return who;
}

/* ---- Reading as a client does */

static Poc__Proof *decode(const struct answer *answer)
{
	Poc__Proof *proof;
	struct refusal why = {0};

	if (proof_decode(answer->bytes, answer->size, &proof, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	return proof;
}

static Poc__HeadAnswer *get_head(struct house *house, uint64_t held, uint64_t trust, const uint8_t *reg)
{
	struct answer answer;
	ProtobufCMessage *message;
	struct refusal why = {0};

	assert_int_equal(directory_head(house->directory, held, trust, reg, &answer, &why), 0);
	if (message_decode(&poc__head_answer__descriptor, answer.bytes, answer.size, NULL, &message, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	answer_finish(&answer);
	return (Poc__HeadAnswer *)message;
}

static struct verified_head *head(struct house *house)
{
	struct verify_pins pins = {.directory = house->world->directory_id};
	Poc__HeadAnswer *message = get_head(house, 0, 0, NULL);
	struct answer inner = {.bytes = message->proof.data, .size = message->proof.len};
	struct verified_head *out;
	struct refusal why = {0};

	if (verify_head(&pins, NULL, 0, NULL, decode(&inner), &out, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	message_free(message);
	return out;
}

static struct envelope *get_keys(struct house *house, const struct verified_head *at, const char *state)
{
	struct name name;
	struct principal who = user(house, "XA", world_state(house->world, "XA")->reader);
	struct answer answer;
	struct verified_item item;
	struct envelope *keys;
	struct refusal why = {0};

	assert_true(name_make(NAME_KEYS, state, NULL, &name));
	const char *names[] = {name.text};
	assert_int_equal(directory_envelopes(house->directory, &who, names, 1, at->checkpoint.size, 0, &answer, &why),
			 0);
	Poc__Proof *proof = decode(&answer);
	assert_null(proof->checkpoint);
	assert_int_equal(verify_item(at, proof->items[0], false, &item, &why), 0);
	if (verify_keys(at, &name, &item.value, proof->items[0]->envelopes, proof->items[0]->n_envelopes, &keys, NULL,
			&why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	message_free(proof);
	answer_finish(&answer);
	return keys;
}

static struct verified_record look_up(struct house *house, const struct principal *who, const char *place,
				      enum reader_class reader, int status)
{
	struct verified_head *at = head(house);
	struct verified_record record = {0};
	struct answer answer;
	struct refusal why = {0};
	struct name name;

	assert_true(place_parse(place, &name));
	assert_int_equal(directory_lookup(house->directory, who, place, at->checkpoint.size, NULL, 0, &answer, &why),
			 0);
	Poc__Proof *proof = decode(&answer);
	struct envelope *keys =
	    strcmp(name.state, "XA") == 0 || strcmp(name.state, "XB") == 0 ? get_keys(house, at, name.state) : NULL;
	struct record_facts facts = {.keys = keys, .reader = reader};
	const Poc__Item *item = NULL;
	for (size_t i = 0; i < proof->n_items; i++) {
		if (strcmp(proof->items[i]->name, name.text) == 0)
			item = proof->items[i];
	}
	assert_non_null(item);
	int got = verify_record(at, item, &facts, &record, &why);
	if (got != status)
		fail_msg("%d %s: %s", got, why.field, why.message);
	envelope_destroy(keys);
	message_free(proof);
	answer_finish(&answer);
	verified_head_unref(at);
	return record;
}

static void test_lookup(void **context)
{
	struct house *house = *context;
	struct principal reader = user(house, "XA", world_state(house->world, "XA")->reader);
	struct principal operator_ = user(house, "XA", world_state(house->world, "XA")->operator_);
	struct principal admin = user(house, "@directory", house->world->states[0].reader);
	struct {
		const struct principal *who;
		const char *place;
		enum reader_class class;
		size_t sections, withheld;
	} cases[] = {{&reader, "XB", READER_PLAIN, 1, 2},
		     {&operator_, "XB", READER_OPERATOR, 2, 1},
		     {&reader, "XA", READER_OWN, 3, 0},
		     {&admin, "XA", READER_OWN, 3, 0}};

	for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) { /* fresh, then from the cache */
		size_t k = i % 4;
		struct verified_record r = look_up(house, cases[k].who, cases[k].place, cases[k].class, 0);
		assert_false(r.absent);
		assert_int_equal(r.n_sections, cases[k].sections);
		assert_int_equal(r.withheld, cases[k].withheld);
		verified_record_finish(&r);
	}
	struct verified_record absent = look_up(house, &reader, "ZZ", READER_PLAIN, 0);
	assert_true(absent.absent);
	verified_record_finish(&absent);
}

static void test_checkpoint_part(void **context)
{
	struct house *house = *context;
	struct principal reader = user(house, "XA", world_state(house->world, "XA")->reader);
	struct answer with, cached, without;
	struct snapshot *snapshot = ledger_snapshot(directory_ledger(house->directory));
	uint64_t size = snapshot->checkpoint.size;

	assert_int_equal(directory_lookup(house->directory, &reader, "XB", 0, NULL, 0, &with, NULL), 0);
	assert_int_equal(directory_lookup(house->directory, &reader, "XB", size, NULL, 0, &without, NULL), 0);
	assert_int_equal(directory_lookup(house->directory, &reader, "XB", 1, NULL, 0, &cached, NULL), 0);
	assert_int_equal(with.size, cached.size);
	assert_memory_equal(with.bytes, cached.bytes, with.size);
	Poc__Proof *a = decode(&with), *b = decode(&without);
	assert_non_null(a->checkpoint);
	assert_null(b->checkpoint);
	assert_int_equal(a->n_items, b->n_items);
	assert_int_equal(a->checkpoint->note.len, snapshot->note_size);
	message_free(a);
	message_free(b);
	answer_finish(&with);
	answer_finish(&without);
	answer_finish(&cached);
	snapshot_unref(snapshot);
}

/* ---- Writing */

static void test_publish_and_repeat(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA");

	world_clock_ms += 5000;
	world_next_record(house->world, xa, false, NULL);
	struct change_write write = record_of(xa);
	struct told first = submit(house, &write, 1);
	expect(&first, 0);
	assert_int_equal(first.outcome.n, 1);
	assert_string_equal(first.results[0].name, "R/XA");
	assert_int_equal(first.results[0].seq, 2);
	assert_int_equal(first.results[0].stored_ms, world_clock_ms);
	assert_false(first.results[0].repeated);
	assert_true(first.outcome.checkpoint_size > first.results[0].leaf);
	world_clock_ms += 5000;
	struct told again = submit(house, &write, 1);
	expect(&again, 0);
	assert_true(again.results[0].repeated);
	assert_int_equal(again.results[0].leaf, first.results[0].leaf);
	assert_int_equal(again.results[0].stored_ms, first.results[0].stored_ms);
	assert_int_equal(again.outcome.checkpoint_size, first.outcome.checkpoint_size);
	/* the same twice before either is committed */
	world_next_record(house->world, xa, false, NULL);
	write = record_of(xa);
	struct told one = {0}, two = {0};
	assert_int_equal(directory_submit(house->directory, NULL, &write, 1, false, take_outcome, &one, NULL), 0);
	assert_int_equal(directory_submit(house->directory, NULL, &write, 1, false, take_outcome, &two, NULL), 0);
	assert_int_equal(directory_run_once(house->directory), 0);
	expect(&one, 0);
	expect(&two, 0);
	assert_true(two.results[0].repeated);
	assert_int_equal(one.results[0].leaf, two.results[0].leaf);
}

static void test_conflict(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA");
	struct world_item base = xa->record;

	/* two editors change the same version; both ask at once */
	base.bytes = NULL;
	struct world_item first = {0};
	world_next_record(house->world, xa, false, NULL);
	struct change_write a = record_of(xa);
	uint8_t *kept = malloc(a.envelope_size);
	memcpy(kept, a.envelope, a.envelope_size);
	a.envelope = kept;
	ProtobufCBinaryData sections[WORLD_SECTIONS];
	for (size_t i = 0; i < WORLD_SECTIONS; i++) {
		sections[i] = xa->sections[i];
		xa->sections[i] = (ProtobufCBinaryData){0};
	}
	a.sections = sections;
	first = xa->record;
	first.bytes = NULL;
	free(xa->record.bytes);
	xa->record = base;
	world_next_record(house->world, xa, false, NULL);
	struct change_write b = record_of(xa);
	struct told one = {0}, two = {0};
	assert_int_equal(directory_submit(house->directory, NULL, &a, 1, true, take_outcome, &one, NULL), 0);
	assert_int_equal(directory_submit(house->directory, NULL, &b, 1, true, take_outcome, &two, NULL), 0);
	assert_int_equal(directory_run_once(house->directory), 0);
	expect(&one, 0);
	expect(&two, STATUS_CONFLICT);
	assert_memory_equal(two.outcome.current.bytes, first.value.bytes, HASH_SIZE);
	assert_int_equal(two.outcome.current_seq, 2);
	assert_int_equal(strncmp(two.why.field, "writes[0]", 9), 0);
	for (size_t i = 0; i < WORLD_SECTIONS; i++)
		free(sections[i].data);
	free(kept);
}

static void test_sections_rules(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA"), *xb = world_state(house->world, "XB");

	world_next_record(house->world, xa, false, NULL);
	struct change_write write = record_of(xa);
	write.n_sections = 2; /* one is missing */
	struct told told = submit(house, &write, 1);
	expect(&told, STATUS_INVALID);
	assert_string_equal(told.why.field, "writes[0].pocs[0].sections[2]");
	ProtobufCBinaryData more[WORLD_SECTIONS + 1];
	memcpy(more, xa->sections, sizeof xa->sections);
	more[WORLD_SECTIONS] = xb->sections[0]; /* one too many */
	write.sections = more;
	write.n_sections = WORLD_SECTIONS + 1;
	told = submit(house, &write, 1);
	expect(&told, STATUS_INVALID);
	more[0] = xb->sections[0]; /* another's in its place */
	write.n_sections = WORLD_SECTIONS;
	told = submit(house, &write, 1);
	expect(&told, STATUS_INVALID);
	write = record_of(xa);
	told = submit(house, &write, 1);
	expect(&told, 0);
}

static struct told submit_one(struct house *house, const struct world_item *item)
{
	struct change_write write = world_write(item);

	return submit(house, &write, 1);
}

static void test_suspended(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA");

	xa->suspended = true;
	world_next_register(house->world, NULL);
	struct told told = submit_one(house, &house->world->reg);
	expect(&told, 0);
	struct principal who = user(house, "XA", xa->reader);
	assert_true(who.facts.suspended);
	struct answer answer;
	struct refusal why = {0};
	assert_int_equal(directory_lookup(house->directory, &who, "XB", 0, NULL, 0, &answer, &why), STATUS_DENIED);
	world_next_record(house->world, xa, false, NULL);
	struct change_write write = record_of(xa);
	told = submit(house, &write, 1);
	expect(&told, STATUS_SUSPENDED);
	/* lifted in the same bundle */
	xa->suspended = false;
	world_next_register(house->world, NULL);
	struct change_write both[] = {write, world_write(&house->world->reg)};
	told = submit(house, both, 2);
	expect(&told, 0);
	assert_int_equal(told.outcome.n, 2);
	assert_string_equal(told.results[0].name, "R/XA");
	assert_string_equal(told.results[1].name, "S");
	assert_true(told.results[1].leaf < told.results[0].leaf);
}

static void test_orphans(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA");
	struct keystore_key *old = xa->coordinator, *next = keystore_ephemeral(KEY_ED25519);

	world_next_keys(house->world, xa, next, NULL);
	struct told told = submit_one(house, &xa->keys);
	expect(&told, STATUS_ORPHANS);
	assert_non_null(strstr(told.why.message, "U/XA"));
	assert_non_null(strstr(told.why.message, "R/XA"));
	/* with U and R signed anew it is one bundle */
	world_next_users(house->world, xa, true, NULL);
	struct change_write writes[3] = {world_write(&xa->users), world_write(&xa->keys)};
	told = submit(house, writes, 2);
	expect(&told, STATUS_ORPHANS);
	assert_null(strstr(told.why.message, "U/XA"));
	world_next_record(house->world, xa, false, NULL);
	writes[2] = record_of(xa);
	told = submit(house, writes, 3);
	expect(&told, 0);
	struct principal who = user(house, "XA", xa->reader);
	struct verified_record r = look_up(house, &who, "XA", READER_OWN, 0);
	assert_int_equal(r.n_sections, 3);
	verified_record_finish(&r);
	/* the dropped key signs no more */
	xa->coordinator = old;
	world_next_record(house->world, xa, false, NULL);
	struct change_write late = record_of(xa);
	told = submit(house, &late, 1);
	expect(&told, STATUS_UNVERIFIED);
	xa->coordinator = next;
	keystore_close(old);
}

/* Nobody could talk to the directory any more. */
static void test_least_protocol(void **context)
{
	struct house *house = *context;
	struct world *world = house->world;
	struct world_trust trust = world_usual_trust(world);
	struct world_item current;

	trust.least_protocol = 2;
	world_next_trust(world, &trust, &world->root, 1, &current);
	struct told told = submit_one(house, &world->trust);
	expect(&told, STATUS_INVALID);
	assert_non_null(strstr(told.why.field, "least_protocol"));
	world_item_finish(&world->trust);
	world->trust = current;
}

/* While the council's replacement is due, whoever stole the authority cannot put another K before it. */
static void test_replacement_cannot_be_held_up(void **context)
{
	struct house *house = *context;
	struct world *world = house->world;
	struct world_trust trust = world_usual_trust(world);

	struct world_state *state = world_state(world, "XA");
	struct world_item before = state->keys, stolen, unused;
	state->keys.bytes = NULL;
	world_next_keys(world, state, NULL, NULL); /* K(2) by the authority that was stolen */
	stolen = state->keys;
	state->keys = before;
	struct keystore_key *thief = state->authority, *old = state->coordinator;
	state->authority = keystore_ephemeral(KEY_ED25519);
	world_next_keys(world, state, keystore_ephemeral(KEY_ED25519), &unused); /* K(2) by the council's choice */
	world_item_finish(&unused);
	const int64_t first = world->now + 4 * 86400, second = first + 8 * 86400;
	trust.replaced[trust.n_replaced++] = (struct world_replacement){"XA", world_payload_hash(&state->keys), first};
	world_next_trust(world, &trust, &world->root, 1, NULL);
	struct told told = submit_one(house, &world->trust);
	expect(&told, 0);
	told = submit_one(house, &stolen);
	expect(&told, STATUS_SUSPENDED);
	told = submit_one(house, &state->keys);
	expect(&told, STATUS_UNVERIFIED); /* not yet */
	world_clock_ms = (uint64_t)first * 1000;
	told = submit_one(house, &stolen);
	expect(&told, STATUS_SUSPENDED);
	told = submit_one(house, &state->keys);
	expect(&told, STATUS_ORPHANS); /* U and R come with it */
	world_next_users(world, state, true, NULL);
	world_next_record(world, state, false, NULL);
	struct change_write all[] = {world_write(&state->keys), world_write(&state->users), record_of(state)};
	told = submit(house, all, 3);
	expect(&told, 0);
	world_next_keys(world, state, NULL, NULL); /* and on it goes */
	told = submit_one(house, &state->keys);
	expect(&told, 0);
	/* what came stays in T, or nobody could follow the chain any more */
	struct world_trust without = world_usual_trust(world);
	struct world_item current;
	world_next_trust(world, &without, &world->root, 1, &current);
	told = submit_one(house, &world->trust);
	expect(&told, STATUS_ORPHANS);
	/* and it may be stolen again */
	world_item_finish(&world->trust);
	world->trust = current;
	struct keystore_key *thief2 = state->authority;
	state->authority = keystore_ephemeral(KEY_ED25519);
	world_next_keys(world, state, NULL, NULL);
	trust.replaced[trust.n_replaced++] = (struct world_replacement){"XA", world_payload_hash(&state->keys), second};
	world_next_trust(world, &trust, &world->root, 1, NULL);
	told = submit_one(house, &world->trust);
	expect(&told, 0);
	told = submit_one(house, &state->keys);
	expect(&told, STATUS_UNVERIFIED);
	world_clock_ms = (uint64_t)second * 1000;
	told = submit_one(house, &state->keys);
	expect(&told, 0);
	struct verified_head *at = head(house);
	envelope_destroy(get_keys(house, at, "XA")); /* a client follows the chain through both */
	verified_head_unref(at);
	world_item_finish(&stolen);
	keystore_close(thief);
	keystore_close(thief2);
	keystore_close(old);
}

static void make_document_at(struct house *house, const char *title, int64_t issued, struct keystore_key *signer,
			     struct world_item *item)
{
	Poc__Document document = POC__DOCUMENT__INIT;
	Poc__Head head;
	struct hash prev = item->value;

	head_fill(&head, &house->world->directory_id, "D/early-warning", item->seq + 1, item->seq > 0 ? &prev : NULL);
	document.head = &head;
	document.issued = issued;
	document.kind = POC__DOCUMENT_KIND__DOCUMENT_KIND_TEMPLATE;
	document.title = (char *)title;
	document.text = (char *)"{}";
	world_sign(&document.base, &signer, 1, item);
}

static void make_document(struct house *house, const char *title, struct keystore_key *signer, struct world_item *item)
{
	make_document_at(house, title, START, signer, item);
}

/* Only the directory's coordinator signs documents, and cannot go without signing them anew. */
static void test_documents(void **context)
{
	struct house *house = *context;
	struct world_state *staff = &house->world->states[0], *xa = world_state(house->world, "XA");
	struct world_item item = {0}, bad = {0}, ahead = {0};
	struct keystore_key *old = staff->coordinator, *next = keystore_ephemeral(KEY_ED25519);

	make_document(house, "Early warning", xa->coordinator, &bad);
	struct told told = submit_one(house, &bad);
	expect(&told, STATUS_UNVERIFIED);
	assert_non_null(strstr(told.why.message, "K/@directory"));
	make_document_at(house, "Early warning", START + 4000, staff->coordinator, &ahead);
	told = submit_one(house, &ahead);
	expect(&told, STATUS_CLOCK);
	assert_non_null(strstr(told.why.field, "issued"));
	make_document(house, "Early warning", staff->coordinator, &item);
	told = submit_one(house, &item);
	expect(&told, 0);
	told = submit_one(house, &item); /* again: the first answer */
	expect(&told, 0);
	make_document(house, "Early warning, shorter", staff->coordinator, &item);
	told = submit_one(house, &item);
	expect(&told, 0);
	assert_int_equal(told.results[0].seq, 2);
	world_next_keys(house->world, staff, next, NULL);
	world_next_users(house->world, staff, true, NULL);
	struct change_write writes[3] = {world_write(&staff->keys), world_write(&staff->users)};
	told = submit(house, writes, 2);
	expect(&told, STATUS_ORPHANS);
	assert_non_null(strstr(told.why.message, "D/early-warning"));
	make_document(house, "Early warning", next, &item);
	writes[2] = world_write(&item);
	told = submit(house, writes, 3);
	expect(&told, 0);
	world_item_finish(&item);
	world_item_finish(&bad);
	world_item_finish(&ahead);
	keystore_close(old);
}

static void test_bundle_all_or_nothing(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA"), *xb = world_state(house->world, "XB");
	uint64_t before = ledger_size(directory_ledger(house->directory));

	world_next_record(house->world, xa, false, NULL);
	world_next_record(house->world, xb, false, NULL);
	xb->record.bytes[xb->record.size - 50] ^= 1; /* in the signature */
	struct change_write writes[] = {record_of(xa), record_of(xb)};
	struct told told = submit(house, writes, 2);
	assert_int_not_equal(told.outcome.status, 0);
	assert_int_equal(told.outcome.write, 1);
	assert_int_equal(ledger_size(directory_ledger(house->directory)), before);
	xb->record.bytes[xb->record.size - 50] ^= 1;
	told = submit(house, writes, 2);
	expect(&told, 0);
}

static void test_sessions(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA"), *xb = world_state(house->world, "XB");
	struct principal who = user(house, "XA", xa->reader);

	assert_string_equal(who.handle, "reader");
	assert_int_equal(who.facts.roles, 1 << POC__ROLE__ROLE_READER);
	assert_false(who.facts.directory);
	/* the key of another state's user is nobody here */
	who = user(house, "XA", xb->reader);
	assert_string_equal(who.handle, "");
	assert_int_equal(who.facts.roles, 0);
	struct hash pin = keystore_public(xa->reader)->id;
	assert_int_equal(directory_principal(house->directory, "ZZ", &pin, &who), STATUS_NOT_FOUND);
	/* dropped */
	world_next_users(house->world, xa, false, NULL);
	struct told told = submit_one(house, &xa->users);
	expect(&told, 0);
	who = user(house, "XA", xa->reader);
	assert_int_equal(who.facts.roles, 0);
	who = user(house, "XA", xa->operator_);
	assert_string_equal(who.handle, "operator");
	reopen(house);
	who = user(house, "XA", xa->reader);
	assert_int_equal(who.facts.roles, 0);
}

static void test_units(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA");
	struct world_item unit;
	ProtobufCBinaryData section;

	world_unit_record(house->world, xa, "bretagne", &unit, &section);
	struct change_write write = world_write(&unit);
	write.sections = &section;
	write.n_sections = 1;
	struct told told = submit(house, &write, 1);
	expect(&told, 0);
	struct principal who = user(house, "XB", world_state(house->world, "XB")->reader);
	struct verified_record r = look_up(house, &who, "XA/bretagne", READER_PLAIN, 0);
	assert_int_equal(r.n_sections, 1);
	verified_record_finish(&r);
	r = look_up(house, &who, "XA/normandie", READER_PLAIN, 0);
	assert_true(r.absent);
	verified_record_finish(&r);
	/* a K that drops its signer names the unit */
	struct keystore_key *old = xa->coordinator, *next = keystore_ephemeral(KEY_ED25519);
	world_next_keys(house->world, xa, next, NULL);
	world_next_users(house->world, xa, true, NULL);
	world_next_record(house->world, xa, false, NULL);
	struct change_write writes[] = {world_write(&xa->keys), world_write(&xa->users), record_of(xa)};
	told = submit(house, writes, 3);
	expect(&told, STATUS_ORPHANS);
	assert_non_null(strstr(told.why.message, "R/XA/bretagne"));
	keystore_close(old);
	world_item_finish(&unit);
	free(section.data);
}

static void test_head(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA");
	struct verified_head *old = head(house);

	world_next_record(house->world, xa, false, NULL);
	struct change_write write = record_of(xa);
	struct told told = submit(house, &write, 1);
	expect(&told, 0);
	struct verified_head *new = head(house);
	Poc__HeadAnswer *answer = get_head(house, old->checkpoint.size, 1, house->world->reg.value.bytes);
	assert_false(answer->behind);
	assert_true(merkle_verify_consistency(old->checkpoint.size, &old->checkpoint.root, new->checkpoint.size,
					      &new->checkpoint.root, (const struct hash *)answer->consistency.data,
					      answer->consistency.len / HASH_SIZE));
	struct answer inner = {.bytes = answer->proof.data, .size = answer->proof.len};
	Poc__Proof *proof = decode(&inner);
	assert_int_equal(proof->n_trust, 0);
	assert_int_equal(proof->n_items, 2);
	assert_string_equal(proof->items[0]->name, "S");
	assert_int_equal(proof->items[0]->n_envelopes, 0);
	message_free(proof);
	message_free(answer);
	answer = get_head(house, new->checkpoint.size + 10, 1, NULL);
	assert_true(answer->behind);
	assert_int_equal(answer->consistency.len, 0);
	message_free(answer);
	verified_head_unref(old);
	verified_head_unref(new);
}

static Poc__Key key_of(const struct keystore_key *key)
{
	Poc__Key message = POC__KEY__INIT;
	const struct public_key *public_key = keystore_public(key);

	message.spki = (ProtobufCBinaryData){public_key->spki_size, (uint8_t *)public_key->spki};
	return message;
}

/* K with another coordinator, marked emergency. */
static void emergency_keys(struct house *house, struct world_state *state, const struct keystore_key *coordinator)
{
	Poc__Keys keys = POC__KEYS__INIT;
	Poc__Head head;
	Poc__Key authority = key_of(state->authority), next = key_of(coordinator);
	Poc__Key *authorities[] = {&authority}, *coordinators[] = {&next};
	struct hash prev = state->keys.value;

	head_fill(&head, &house->world->directory_id, state->keys.name, state->keys.seq + 1, &prev);
	keys.head = &head;
	keys.issued = START;
	keys.authority = authorities;
	keys.n_authority = 1;
	keys.authority_threshold = 1;
	keys.coordinators = coordinators;
	keys.n_coordinators = 1;
	keys.emergency = true;
	world_sign(&keys.base, &state->authority, 1, &state->keys);
}

/* Makes the versions of a K come to so many bytes at least. */
static void lengthen_chain(struct house *house, struct world_state *state, size_t bytes)
{
	for (size_t total = 0; total < bytes; total += state->keys.size) {
		world_next_large_keys(house->world, state);
		struct told told = submit_one(house, &state->keys);
		expect(&told, 0);
	}
}

/* CPU time that a group of so many versions of K/XA takes, the last of which lists fewer coordinators. */
static uint64_t time_of_keys(struct house *house, size_t n)
{
	struct world_state *xa = world_state(house->world, "XA");
	struct world_item kept[32 + 1];
	struct change_write writes[32];

	world_next_large_keys(house->world, xa);
	struct told told = submit_one(house, &xa->keys);
	expect(&told, 0);
	for (size_t i = 0; i < n; i++)
		world_next_keys(house->world, xa, NULL, &kept[i]);
	for (size_t i = 0; i + 1 < n; i++)
		writes[i] = world_write(&kept[i + 1]);
	writes[n - 1] = world_write(&xa->keys);
	const uint64_t begun = toll_clock();
	told = submit(house, writes, n);
	const uint64_t taken = toll_clock() - begun;
	expect(&told, 0);
	for (size_t i = 0; i < n; i++)
		world_item_finish(&kept[i]);
	return taken;
}

/* What a K leaves behind is looked for once a group, not once a version: one Submit keeps the writer from others for a
 * moment, not for minutes. */
static void test_orphans_are_looked_for_once(void **context)
{
	enum { UNITS = 200 };
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA");

	for (int i = 0; i < UNITS; i++) {
		struct world_item unit = {.seq = 0};
		ProtobufCBinaryData section;
		char name[16];
		snprintf(name, sizeof name, "unit-%d", i);
		world_unit_record(house->world, xa, name, &unit, &section);
		struct change_write write = world_write(&unit);
		write.sections = &section;
		write.n_sections = 1;
		struct told told = submit(house, &write, 1);
		expect(&told, 0);
		world_item_finish(&unit);
		free(section.data);
	}
	const uint64_t one = time_of_keys(house, 1), many = time_of_keys(house, 32);
	assert_true(!test_times_count() || many < 8 * one);
}

/* All versions of a K come at once: a page that holds something already ends before them, or nobody would get past. */
static void test_changes_end_before_a_long_chain(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA"), *xb = world_state(house->world, "XB");
	struct principal who = user(house, "XA", xa->reader);
	Poc__ChangesAnswer *page;
	ProtobufCMessage *message;
	struct answer answer;
	struct refusal why = {0};
	uint64_t from = 0, end;

	lengthen_chain(house, xb, 230 * 1024);
	lengthen_chain(house, xa, 780 * 1024);
	char seen[2][NAME_MAX_LENGTH + 1] = {"", ""};
	do {
		if (directory_changes(house->directory, &who, from, true, &answer, &why) != 0)
			fail_msg("from %llu: %s", (unsigned long long)from, why.message);
		if (message_decode(&poc__changes_answer__descriptor, answer.bytes, answer.size, NULL, &message, &why) !=
		    0)
			fail_msg("%s: %s", why.field, why.message);
		answer_finish(&answer);
		page = (Poc__ChangesAnswer *)message;
		assert_true(page->next_leaf > from);
		for (size_t i = 0; i < page->n_changes; i++) {
			assert_true(page->changes[i]->leaf >= from && page->changes[i]->leaf < page->next_leaf);
			memcpy(seen[0], seen[1], sizeof seen[0]);
			snprintf(seen[1], sizeof seen[1], "%s", page->changes[i]->item->name);
		}
		from = page->next_leaf;
		end = page->checkpoint_size;
		message_free(page);
	} while (from < end);
	assert_string_equal(seen[0], "K/XB");
	assert_string_equal(seen[1], "K/XA");
}

/* A state that changes what is its own without end is stopped for a while; others are not, nor its keys. */
static void test_quota(void **context)
{
	enum { PER_HOUR = 4 };
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA"), *xb = world_state(house->world, "XB");
	struct directory_options options = options_of(house);
	struct world_item last;

	options.changes_per_hour = PER_HOUR;
	directory_close(house->directory);
	house->directory = world_directory_open(&options);
	for (int i = 0; i < PER_HOUR; i++) {
		world_next_record(house->world, xa, false, NULL);
		struct change_write write = record_of(xa);
		struct told told = submit(house, &write, 1);
		expect(&told, 0);
		told = submit(house, &write, 1); /* again: that costs nothing */
		expect(&told, 0);
	}
	world_next_record(house->world, xa, false, &last);
	struct change_write one = record_of(xa);
	struct told told = submit(house, &one, 1);
	expect(&told, STATUS_QUOTA);
	assert_string_equal(told.why.message, "XA has changed as much as it may in an hour");
	assert_in_range(told.why.retry_ms, 1, 3600 * 1000 / PER_HOUR + 1);
	/* one in a group stops the group */
	world_next_record(house->world, xb, false, NULL);
	struct change_write both[] = {record_of(xb), record_of(xa)};
	told = submit(house, both, 2);
	expect(&told, STATUS_QUOTA);
	assert_int_equal(told.outcome.write, 1);
	told = submit(house, both, 1);
	expect(&told, 0);
	world_next_keys(house->world, xa, NULL, NULL);
	told = submit_one(house, &xa->keys);
	expect(&told, 0);
	world_next_users(house->world, &house->world->states[0], true, NULL);
	for (int i = 0; i < 2 * PER_HOUR; i++) {
		told = submit_one(house, &house->world->states[0].users);
		expect(&told, 0);
		world_next_users(house->world, &house->world->states[0], true, NULL);
	}
	world_clock_ms += 3600 * 1000 / PER_HOUR + 1000;
	told = submit(house, &one, 1);
	expect(&told, 0);
	world_item_finish(&last);
}

static void test_emergency(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA");
	struct keystore_key *old = xa->coordinator, *next = keystore_ephemeral(KEY_ED25519);
	struct offline_report report;

	emergency_keys(house, xa, next);
	struct told told = submit_one(house, &xa->keys);
	expect(&told, 0);
	/* U was signed by a key that is no coordinator any more: it lists nobody */
	struct principal who = user(house, "XA", xa->operator_);
	assert_int_equal(who.facts.roles, 0);
	assert_int_equal(offline_check_store(house->store, &report, NULL), 0);
	assert_int_equal(report.history.orphans, 2);
	reopen(house);
	who = user(house, "XA", xa->operator_);
	assert_int_equal(who.facts.roles, 0);
	/* signed anew, all is well again */
	xa->coordinator = next;
	world_next_users(house->world, xa, true, NULL);
	world_next_record(house->world, xa, false, NULL);
	struct change_write writes[] = {world_write(&xa->users), record_of(xa)};
	told = submit(house, writes, 2);
	expect(&told, 0);
	who = user(house, "XA", xa->operator_);
	assert_string_equal(who.handle, "operator");
	keystore_close(old);
}

static void unit_users(struct house *house, struct world_state *state, const struct keystore_key *editor,
		       struct world_item *item)
{
	Poc__Users users = POC__USERS__INIT;
	Poc__Head head;
	Poc__Key message, *editors[] = {&message};
	struct hash prev = item->value;

	head_fill(&head, &house->world->directory_id, "U/XA/bretagne", item->seq + 1, item->seq > 0 ? &prev : NULL);
	users.head = &head;
	users.issued = START;
	if (editor != NULL) {
		message = key_of(editor);
		users.editors = editors;
		users.n_editors = 1;
	}
	world_sign(&users.base, &state->coordinator, 1, item);
}

static void test_editors(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA");
	struct keystore_key *editor = keystore_ephemeral(KEY_P256), *coordinator = xa->coordinator;
	struct world_item users = {0}, record;
	ProtobufCBinaryData section;

	unit_users(house, xa, editor, &users);
	struct told told = submit_one(house, &users);
	expect(&told, 0);
	struct principal who = user(house, "XA", editor);
	assert_true(who.facts.editor);
	assert_string_equal(who.handle, "bretagne");
	xa->coordinator = editor; /* signs the unit's record */
	world_unit_record(house->world, xa, "bretagne", &record, &section);
	struct change_write write = world_write(&record);
	write.sections = &section;
	write.n_sections = 1;
	told = submit(house, &write, 1);
	expect(&told, 0);
	/* but not the state's own, nor another unit's */
	world_next_record(house->world, xa, false, NULL);
	struct change_write own = record_of(xa);
	told = submit(house, &own, 1);
	expect(&told, STATUS_UNVERIFIED);
	xa->coordinator = coordinator;
	unit_users(house, xa, NULL, &users);
	told = submit_one(house, &users);
	expect(&told, STATUS_ORPHANS);
	assert_non_null(strstr(told.why.message, "R/XA/bretagne"));
	world_item_finish(&users);
	world_item_finish(&record);
	free(section.data);
	keystore_close(editor);
}

static void test_clock_of_signer(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA");

	house->world->now += 3600;
	world_next_record(house->world, xa, false, NULL);
	struct change_write write = record_of(xa);
	struct told told = submit(house, &write, 1);
	expect(&told, STATUS_CLOCK);
	world_clock_ms += (uint64_t)3000 * 1000; /* ten minutes ahead of us is let pass */
	told = submit(house, &write, 1);
	expect(&told, 0);
}

/* ---- Readers on other threads while the writer publishes */

struct reader {
	struct house *house;
	struct principal who;
	atomic_bool *stop;
	uint64_t answers;
};

static void *read_on(void *ctx)
{
	struct reader *reader = ctx;
	const char *places[] = {"XA", "XB", "ZZ"};
	struct answer answer;
	struct refusal why;

	while (!atomic_load(reader->stop)) {
		if (directory_lookup(reader->house->directory, &reader->who, places[reader->answers % 3], 0, NULL, 0,
				     &answer, &why) != 0)
			break;
		answer_finish(&answer);
		if (directory_changes(reader->house->directory, &reader->who, 0, true, &answer, &why) != 0)
			break;
		answer_finish(&answer);
		reader->answers++;
	}
	return NULL;
}

static void count_outcome(void *ctx, const struct change_outcome *outcome)
{
	if (outcome->status == 0 && outcome->checkpoint_size > outcome->results[0].leaf)
		atomic_fetch_add((atomic_uint *)ctx, 1);
}

static void count_publication(void *ctx)
{
	atomic_fetch_add((atomic_uint *)ctx, 1);
}

static void test_threads(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA");
	atomic_uint proven = 0, published = 0;
	atomic_bool stop = false;
	pthread_t threads[2];
	struct reader readers[2];
	struct directory_options options = options_of(house);

	directory_close(house->directory);
	options.interval_ms = 20;
	options.published = count_publication;
	options.published_ctx = &published;
	assert_int_equal(directory_open(&options, &house->directory, NULL), 0);
	assert_int_equal(directory_start(house->directory), 0);
	for (int i = 0; i < 2; i++) {
		readers[i] = (struct reader){house, user(house, "XA", i == 0 ? xa->reader : xa->operator_), &stop, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
	}
	for (int i = 0; i < 50; i++) {
		world_next_record(house->world, xa, false, NULL);
		struct change_write write = record_of(xa);
		assert_int_equal(
		    directory_submit(house->directory, NULL, &write, 1, true, count_outcome, &proven, NULL), 0);
		usleep(2000);
	}
	for (int i = 0; i < 1000 && atomic_load(&proven) < 50; i++)
		usleep(10000);
	assert_int_equal(atomic_load(&proven), 50);
	assert_true(atomic_load(&published) >= 2);
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_true(readers[i].answers > 0);
	}
	/* what is submitted last is stored before the end */
	world_next_record(house->world, xa, false, NULL);
	struct change_write write = record_of(xa);
	assert_int_equal(directory_submit(house->directory, NULL, &write, 1, true, count_outcome, &proven, NULL), 0);
	directory_close(house->directory);
	assert_int_equal(atomic_load(&proven), 51);
	house->directory = NULL;
}

/* ---- A store that is full, or fails */

static int commit_fails; /* with this status */
static const struct store_ops *real_ops;
static struct store_ops failing_ops;

static void failing_commit(struct store *store, struct store_batch *batch, store_done_fn done, void *ctx)
{
	if (commit_fails == 0) {
		real_ops->commit(store, batch, done, ctx);
		return;
	}
	store_batch_destroy(batch);
	done(ctx, commit_fails);
}

static void count_failure(void *ctx)
{
	++*(unsigned *)ctx;
}

/* Puts the failing store under the directory, which is opened anew. */
static void wrap_store(struct house *house, unsigned *failures)
{
	struct directory_options options = options_of(house);

	real_ops = house->store->ops;
	failing_ops = *real_ops;
	failing_ops.commit = failing_commit;
	house->store->ops = &failing_ops;
	options.failed = count_failure;
	options.failed_ctx = failures;
	directory_close(house->directory);
	assert_int_equal(directory_open(&options, &house->directory, NULL), 0);
}

static void queue(struct house *house, const struct change_write *write, struct told *told)
{
	*told = (struct told){0};
	assert_int_equal(directory_submit(house->directory, NULL, write, 1, true, take_outcome, told, NULL), 0);
}

/* One commit with a new version, the one after it, a conflict with the first, and a write that was stored long ago. */
static void submit_four(struct house *house, struct told told[4], struct change_write *last)
{
	struct world_state *xa = world_state(house->world, "XA");
	struct world_item before, rival;

	world_next_record(house->world, xa, false, &before);
	struct change_write one = record_of(xa);
	queue(house, &one, &told[0]);
	world_next_record(house->world, xa, false, &rival);
	struct change_write two = record_of(xa);
	queue(house, &two, &told[1]);
	struct change_write old = world_write(&before);
	queue(house, &old, &told[3]);
	/* signed anew over the same version: another value */
	world_item_finish(&xa->record);
	xa->record = before;
	world_next_record(house->world, xa, true, NULL);
	struct change_write three = world_write(&xa->record);
	queue(house, &three, &told[2]);
	*last = three;
	world_item_finish(&rival);
}

static void test_full_store(void **context)
{
	struct house *house = *context;
	unsigned failures = 0;
	struct told told[4];
	struct change_write again;

	wrap_store(house, &failures);
	commit_fails = STATUS_STORAGE;
	submit_four(house, told, &again);
	directory_run_once(house->directory);
	expect(&told[0], STATUS_STORAGE);
	expect(&told[1], STATUS_STORAGE);
	/* not a conflict with what was never stored */
	expect(&told[2], STATUS_STORAGE);
	/* what is stored needs no room to get its first answer */
	expect(&told[3], 0);
	assert_true(told[3].results[0].repeated);
	assert_non_null(strstr(told[0].why.message, "no room"));
	commit_fails = 0;
	struct told later = submit(house, &again, 1);
	expect(&later, 0);
	assert_int_equal(failures, 0);
}

static void test_failed_disk(void **context)
{
	struct house *house = *context;
	struct world_state *xa = world_state(house->world, "XA");
	unsigned failures = 0;
	struct told told;

	wrap_store(house, &failures);
	commit_fails = STATUS_IO;
	world_next_record(house->world, xa, false, NULL);
	struct change_write write = record_of(xa);
	queue(house, &write, &told);
	directory_run_once(house->directory);
	expect(&told, STATUS_STORAGE); /* may be sent again; the text says what is known */
	assert_non_null(strstr(told.why.message, "not known"));
	assert_int_equal(failures, 1);
	/* nothing more is tried, though it might succeed */
	commit_fails = 0;
	queue(house, &write, &told);
	directory_run_once(house->directory);
	expect(&told, STATUS_STORAGE);
	assert_int_equal(failures, 1);
	reopen(house);
	told = submit(house, &write, 1);
	expect(&told, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_full_store, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_failed_disk, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lookup, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_checkpoint_part, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_publish_and_repeat, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_conflict, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sections_rules, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_suspended, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_orphans, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_least_protocol, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_replacement_cannot_be_held_up, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_documents, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bundle_all_or_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sessions, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_units, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_head, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_orphans_are_looked_for_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_changes_end_before_a_long_chain, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_quota, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_emergency, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_editors, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_clock_of_signer, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
