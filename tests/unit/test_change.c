/* Everything that can become of one state, by the real writer (change, judge) over a store in memory: from each
 * situation every action is tried, whatever is accepted leads to the next, until nothing new turns up.  In each new one
 * a reader (libpoc) verifies the whole directory.
 *
 * The universe: keys A and B that are authorities, c and d that are coordinators, e that is a unit's editor, z that is
 * nobody's.  A situation says whose K stands, which of c and d it lists, whether it is an emergency's, who signed
 * U/XA and R/XA, U/XA/unit and R/XA/unit, whether e is listed, whether S suspends the state, and what the council's
 * replacement of A by B has come to.  Two walks: one with the unit, one with register and council.  Of each only what
 * differs counts, so versions may go on for ever.
 *
 * What must hold:
 * - whatever is accepted was done by who may do it under what stands: never by a key that was dropped, of a state that
 * is suspended, or before the council's time;
 * - nobody else is harmed: a proof of all names verifies in every situation, and what it shows of U and R is signed
 *   by a key that counts, or has lapsed by an emergency;
 * - nobody is locked out: from every situation the rightful holders reach one in which all is well, whichever one of
 *   the keys c, d, e was stolen or lost, and, with the council, both A and c. */
#include "clients/libpoc/verify.h"
#include "pocd/directory/directory.h"
#include "pocd/offline.h"
#include "proto/keys/keystore_file.h"
#include "proto/rules/rules.h"
#include "proto/wire/poc.pb-c.h"
#include "proto/wire/prescan.h"
#include "tests/lib/unit.h"
#include "tests/lib/world_directory.h"

enum { START = 1790000000, DELAY = 259200, SITUATIONS = 4096, ACTIONS = 64, CHAIN_MAX = 24, NOWHERE = -1 };

enum key { KEY_A, KEY_B, KEY_C, KEY_D, KEY_E, KEY_Z, N_KEYS, NO_KEY = N_KEYS };

#define BIT(key) (1U << (key))

/* What a T says of a replacement of A. */
enum council { NOT_NAMED, NAMED, DUE, CAME };

struct situation {
	enum key authority;
	unsigned coordinators; /* bits of KEY_C, KEY_D */
	bool emergency;
	enum key own;         /* signed U/XA and R/XA */
	enum key unit_users;  /* signed U/XA/unit */
	enum key unit_record; /* signed R/XA/unit */
	bool editor;          /* U/XA/unit lists e */
	bool suspended;       /* by S */
	enum council council;
};

enum what { KEYS, COUNCIL_KEYS, OWN, UNIT_USERS, UNIT_RECORD, REGISTER, TRUST, WAIT };

struct action {
	enum what what;
	enum key by; /* signs; of S and T KEY_Z or NO_KEY: the rightful one */
	/* KEYS, UNIT_USERS: what comes with it is signed by this one (NO_KEY: nothing comes) */
	enum key with;
	unsigned coordinators;
	bool emergency;
	bool on; /* REGISTER: suspends; TRUST: names the replacement; UNIT_USERS: lists e */
};

struct house {
	struct world *world;
	struct store *store;
	struct directory *directory;
	struct keystore_key *keys[N_KEYS];
	struct world_item chain[CHAIN_MAX]; /* of K/XA */
	size_t n_chain;
	struct world_item users, record, unit_users, unit_record;
	struct world_item council; /* the K that T names */
	int64_t not_before;
	struct situation now;
};

/* What has been found out. */
struct walk {
	bool unit; /* with the unit; else with register and council */
	size_t n_actions;
	struct action actions[ACTIONS];
	bool known[SITUATIONS];
	struct situation situations[SITUATIONS];
	int to[SITUATIONS][ACTIONS]; /* NOWHERE: refused */
	bool tried[SITUATIONS][ACTIONS];
	size_t n_situations, n_steps;
};

static int number_of(const struct situation *s)
{
	return (int)((unsigned)(s->authority == KEY_B) | (s->coordinators >> KEY_C) << 1 | (unsigned)s->emergency << 3 |
		     (unsigned)(s->own == KEY_D) << 4 | (unsigned)(s->unit_users == KEY_D) << 5 |
		     (s->unit_record - KEY_C) << 6 | (unsigned)s->editor << 8 | (unsigned)s->suspended << 9 |
		     (unsigned)s->council << 10);
}

/* ---- Versions */

static void fill_head(const struct house *house, Poc__Head *head, const char *name, const struct world_item *prev)
{
	head_fill(head, &house->world->directory_id, name, prev->seq + 1, prev->seq > 0 ? &prev->value : NULL);
}

static Poc__Key key_message(const struct keystore_key *key)
{
	Poc__Key message = POC__KEY__INIT;

	message.spki = (ProtobufCBinaryData){keystore_public(key)->spki_size, (uint8_t *)keystore_public(key)->spki};
	return message;
}

static const struct world_item none;

static struct world_item make_keys(const struct house *house, enum key authority, unsigned coordinators, bool emergency)
{
	Poc__Keys keys = POC__KEYS__INIT;
	Poc__Head head;
	Poc__Key own = key_message(house->keys[authority]), list[2], *pointers[2], *owns[] = {&own};
	struct world_item out = {0};

	fill_head(house, &head, "K/XA", house->n_chain > 0 ? &house->chain[house->n_chain - 1] : &none);
	keys.head = &head;
	keys.issued = (int64_t)(world_clock_ms / 1000);
	keys.authority = owns;
	keys.n_authority = keys.authority_threshold = 1;
	keys.coordinators = pointers;
	for (enum key key = KEY_C; key <= KEY_D; key++) {
		if ((coordinators & BIT(key)) == 0)
			continue;
		list[keys.n_coordinators] = key_message(house->keys[key]);
		pointers[keys.n_coordinators] = &list[keys.n_coordinators];
		keys.n_coordinators++;
	}
	keys.emergency = emergency;
	world_sign(&keys.base, &house->keys[authority], 1, &out);
	return out;
}

static struct world_item make_users(const struct house *house, const char *name, const struct world_item *prev,
				    bool editor, enum key by)
{
	Poc__Users users = POC__USERS__INIT;
	Poc__Head head;
	Poc__Key message = key_message(house->keys[KEY_E]), *list[] = {&message};
	struct world_item out = {0};

	fill_head(house, &head, name, prev);
	users.head = &head;
	users.issued = (int64_t)(world_clock_ms / 1000);
	users.editors = list;
	users.n_editors = editor;
	world_sign(&users.base, &house->keys[by], 1, &out);
	return out;
}

static struct world_item make_record(const struct house *house, const char *name, const struct world_item *prev,
				     enum key by)
{
	Poc__Record record = POC__RECORD__INIT;
	Poc__Head head;
	struct world_item out = {0};

	fill_head(house, &head, name, prev);
	record.head = &head;
	record.issued = record.confirmed = (int64_t)(world_clock_ms / 1000);
	record.expires = record.issued + 1000;
	record.withdrawn = true;
	world_sign(&record.base, &house->keys[by], 1, &out);
	return out;
}

static struct world_item copy_item(const struct world_item *item)
{
	struct world_item copy = *item;

	copy.bytes = malloc(item->size);
	assert_non_null(copy.bytes);
	memcpy(copy.bytes, item->bytes, item->size);
	return copy;
}

/* ---- A bundle: versions, and where they stand once they are accepted */

struct bundle {
	size_t n;
	struct world_item items[8], *places[8];
};

static void put(struct bundle *bundle, struct world_item item, struct world_item *place)
{
	bundle->items[bundle->n] = item;
	bundle->places[bundle->n++] = place;
}

static void put_own(struct house *house, struct bundle *bundle, enum key by)
{
	put(bundle, make_users(house, "U/XA", &house->users, false, by), &house->users);
	put(bundle, make_record(house, "R/XA", &house->record, by), &house->record);
}

static void put_unit_users(struct house *house, struct bundle *bundle, bool editor, enum key by)
{
	put(bundle, make_users(house, "U/XA/unit", &house->unit_users, editor, by), &house->unit_users);
}

static void put_unit_record(struct house *house, struct bundle *bundle, enum key by)
{
	put(bundle, make_record(house, "R/XA/unit", &house->unit_record, by), &house->unit_record);
}

static void take_status(void *ctx, const struct change_outcome *outcome)
{
	*(int *)ctx = outcome->status;
}

static bool submit(struct house *house, struct bundle *bundle)
{
	struct change_write writes[8] = {{0}};
	struct refusal why = {0};
	int status = -1;

	for (size_t i = 0; i < bundle->n; i++)
		writes[i] =
		    (struct change_write){.envelope = bundle->items[i].bytes, .envelope_size = bundle->items[i].size};
	if (directory_submit(house->directory, NULL, writes, bundle->n, true, take_status, &status, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	assert_int_equal(directory_run_once(house->directory), 0);
	assert_true(status >= 0);
	for (size_t i = 0; i < bundle->n; i++) {
		if (status != 0) {
			world_item_finish(&bundle->items[i]);
			continue;
		}
		world_item_finish(bundle->places[i]);
		*bundle->places[i] = bundle->items[i];
	}
	return status == 0;
}

/* ---- Actions */

static bool do_keys(struct house *house, const struct walk *walk, const struct action *a)
{
	struct bundle bundle = {0};
	struct world_item keys;

	if (a->what == COUNCIL_KEYS)
		keys = copy_item(&house->council);
	else
		keys = make_keys(house, a->by, a->coordinators, a->emergency);
	put(&bundle, keys, &house->chain[house->n_chain]);
	if (a->with != NO_KEY) {
		put_own(house, &bundle, a->with);
		if (walk->unit) {
			put_unit_users(house, &bundle, house->now.editor, a->with);
			put_unit_record(house, &bundle, a->with);
		}
	}
	if (!submit(house, &bundle))
		return false;
	house->n_chain++;
	house->now.authority = a->what == COUNCIL_KEYS ? KEY_B : a->by;
	house->now.coordinators = a->what == COUNCIL_KEYS ? BIT(KEY_D) : a->coordinators;
	house->now.emergency = a->what == KEYS && a->emergency;
	if (a->what == COUNCIL_KEYS)
		house->now.council = CAME;
	if (a->with != NO_KEY) {
		house->now.own = a->with;
		if (walk->unit)
			house->now.unit_users = house->now.unit_record = a->with;
	}
	return true;
}

static bool do_written(struct house *house, const struct action *a)
{
	struct bundle bundle = {0};

	if (a->what == OWN)
		put_own(house, &bundle, a->by);
	if (a->what == UNIT_USERS)
		put_unit_users(house, &bundle, a->on, a->by);
	if (a->what == UNIT_RECORD)
		put_unit_record(house, &bundle, a->by);
	else if (a->with != NO_KEY)
		put_unit_record(house, &bundle, a->with);
	if (!submit(house, &bundle))
		return false;
	if (a->what == OWN)
		house->now.own = a->by;
	if (a->what == UNIT_USERS) {
		house->now.unit_users = a->by;
		house->now.editor = a->on;
	}
	if (a->what == UNIT_RECORD)
		house->now.unit_record = a->by;
	else if (a->with != NO_KEY)
		house->now.unit_record = a->with;
	return true;
}

/* world makes S and T in place: what is refused is taken back. */
static bool do_register(struct house *house, const struct action *a)
{
	struct world *world = house->world;
	struct keystore_key *own = world->enrolment;
	struct world_item before, next;
	struct bundle bundle = {0};

	world_state(world, "XA")->suspended = a->on;
	if (a->by != NO_KEY)
		world->enrolment = house->keys[a->by];
	world_next_register(world, &before);
	world->enrolment = own;
	next = world->reg;
	world->reg = before;
	put(&bundle, next, &world->reg);
	if (!submit(house, &bundle))
		return false;
	house->now.suspended = a->on;
	return true;
}

static bool do_trust(struct house *house, const struct action *a)
{
	struct world *world = house->world;
	struct world_trust form = world_usual_trust(world);
	struct keystore_key *signer = a->by != NO_KEY ? house->keys[a->by] : world->root;
	struct world_item before, next, keys = {0};
	struct bundle bundle = {0};
	const int64_t not_before = (int64_t)(world_clock_ms / 1000) + DELAY;

	world->now = (int64_t)(world_clock_ms / 1000);
	if (a->on) {
		keys = make_keys(house, KEY_B, BIT(KEY_D), false);
		form.replaced[form.n_replaced++] =
		    (struct world_replacement){"XA", world_payload_hash(&keys), not_before};
	}
	world_next_trust(world, &form, &signer, 1, &before);
	next = world->trust;
	world->trust = before;
	put(&bundle, next, &world->trust);
	if (!submit(house, &bundle)) {
		world_item_finish(&keys);
		return false;
	}
	world_item_finish(&house->council);
	house->council = keys;
	house->not_before = not_before;
	house->now.council = a->on ? NAMED : NOT_NAMED;
	return true;
}

/* Whether the action makes sense at all.  What comes with a K changes nothing of who may sign it. */
static bool applies(const struct situation *s, const struct action *a)
{
	switch (a->what) {
	case KEYS:
		return a->by == s->authority || a->with == NO_KEY;
	case COUNCIL_KEYS:
		return s->council == NAMED || s->council == DUE;
	case REGISTER:
		return s->suspended != a->on;
	case TRUST: /* a second one is not in this universe */
		return a->on ? s->council == NOT_NAMED : s->council != NOT_NAMED;
	case WAIT:
		return s->council == NAMED;
	default:
		return true;
	}
}

static bool act(struct house *house, const struct walk *walk, const struct action *a)
{
	if (!applies(&house->now, a))
		return false;
	switch (a->what) {
	case KEYS:
	case COUNCIL_KEYS:
		return do_keys(house, walk, a);
	case REGISTER:
		return do_register(house, a);
	case TRUST:
		return do_trust(house, a);
	case WAIT:
		world_clock_ms = (uint64_t)house->not_before * 1000;
		house->now.council = DUE;
		return true;
	default:
		return do_written(house, a);
	}
}

/* ---- What must hold of each step and in each situation */

static bool counts(const struct situation *s, enum key coordinator)
{
	return coordinator == KEY_E ? s->editor && counts(s, s->unit_users)
				    : coordinator <= KEY_D && (s->coordinators & BIT(coordinator)) != 0;
}

static bool replacing(const struct situation *s)
{
	return s->council == NAMED || s->council == DUE;
}

static bool suspended(const struct situation *s)
{
	return s->suspended || replacing(s);
}

/* Who acted might: by what stood, and of what is signed by what stands then. */
static void check_step(const struct situation *before, const struct action *a, const struct situation *after)
{
	const bool writes = a->what == OWN || a->what == UNIT_USERS || a->what == UNIT_RECORD || a->with != NO_KEY;

	if (a->what == KEYS)
		assert_true(a->by == before->authority && !replacing(before));
	if (a->what == COUNCIL_KEYS)
		assert_int_equal(before->council, DUE);
	if (a->what == REGISTER || a->what == TRUST)
		assert_int_equal(a->by, NO_KEY);
	if (a->what == TRUST)
		assert_int_not_equal(before->council, CAME);
	if (!writes)
		return;
	assert_false(suspended(after));
	if (a->what == OWN || a->what == UNIT_USERS)
		assert_true(a->by != KEY_E && counts(after, a->by));
	if (a->what == UNIT_RECORD)
		assert_true(counts(after, a->by));
	if (a->with != NO_KEY)
		assert_true(counts(after, a->with));
}

static void add_item(Poc__Item *item, const char *name, const struct world_item *versions, size_t n,
		     ProtobufCBinaryData *room)
{
	poc__item__init(item);
	item->name = (char *)name;
	item->envelopes = room;
	item->n_envelopes = n;
	for (size_t i = 0; i < n; i++)
		room[i] = (ProtobufCBinaryData){versions[i].size, versions[i].bytes};
}

/* A proof of all names, as whoever has a copy would save it. */
static void prove_all(const struct house *house, const struct walk *walk, uint8_t **bytes, size_t *size)
{
	const struct world_state *staff = &house->world->states[0];
	Poc__Item items[8], *pointers[8];
	ProtobufCBinaryData room[8][CHAIN_MAX];
	struct answer answer;
	ProtobufCMessage *message, *head;
	struct refusal why = {0};
	size_t n = 0;

	assert_int_equal(directory_head(house->directory, 0, 0, NULL, &answer, &why), 0);
	assert_int_equal(message_decode(&poc__head_answer__descriptor, answer.bytes, answer.size, NULL, &message, &why),
			 0);
	const ProtobufCBinaryData *inner = &((Poc__HeadAnswer *)message)->proof;
	assert_int_equal(message_decode(&poc__proof__descriptor, inner->data, inner->len, NULL, &head, &why), 0);
	Poc__Proof proof = *(Poc__Proof *)head;
	add_item(&items[n], "K/@directory", &staff->keys, 1, room[n]), n++;
	add_item(&items[n], "K/XA", house->chain, house->n_chain, room[n]), n++;
	add_item(&items[n], "R/XA", &house->record, 1, room[n]), n++;
	if (walk->unit)
		add_item(&items[n], "R/XA/unit", &house->unit_record, 1, room[n]), n++;
	add_item(&items[n], "S", &house->world->reg, 1, room[n]), n++;
	add_item(&items[n], "U/@directory", &staff->users, 1, room[n]), n++;
	add_item(&items[n], "U/XA", &house->users, 1, room[n]), n++;
	if (walk->unit)
		add_item(&items[n], "U/XA/unit", &house->unit_users, 1, room[n]), n++;
	for (size_t i = 0; i < n; i++)
		pointers[i] = &items[i];
	proof.items = pointers;
	proof.n_items = n;
	proof.complete = true;
	assert_int_equal(message_encode(&proof, bytes, size), 0);
	message_free(head);
	message_free(message);
	answer_finish(&answer);
}

static void check_users(struct verified_head *head, const char *text, bool good)
{
	struct name name;
	struct verified_item item;
	struct envelope *envelope;

	assert_true(name_parse(text, &name));
	assert_int_equal(verify_saved_envelope(head, &name, &item, &envelope, NULL), good ? 0 : STATUS_ORPHANS);
	envelope_destroy(envelope);
}

static void check_record(struct verified_head *head, const char *text, bool good, const struct situation *now)
{
	struct name name;
	struct verified_record record;

	assert_true(name_parse(text, &name));
	assert_int_equal(verify_saved_record(head, &name, READER_PLAIN, &record, NULL), good ? 0 : STATUS_ORPHANS);
	if (good) {
		assert_int_equal(record.suspended, suspended(now));
		assert_int_equal(record.replaced, now->council == CAME);
	}
	verified_record_finish(&record);
}

static bool all_count(const struct situation *s, bool unit)
{
	return counts(s, s->own) && (!unit || (counts(s, s->unit_users) && counts(s, s->unit_record)));
}

/* What a reader finds. */
static void check_situation(const struct house *house, const struct walk *walk)
{
	const struct situation *now = &house->now;
	struct verify_pins pins = {.directory = house->world->directory_id};
	struct verified_head *head;
	struct refusal why = {0};
	uint8_t *bytes;
	size_t size;

	prove_all(house, walk, &bytes, &size);
	if (verify_saved(&pins, bytes, size, &head, &why) != 0 || verify_saved_all(head, READER_PLAIN, &why) != 0)
		fail_msg("situation %#x: %s: %s", (unsigned)number_of(now), why.field, why.message);
	check_users(head, "U/XA", counts(now, now->own));
	check_record(head, "R/XA", counts(now, now->own), now);
	if (walk->unit) {
		check_users(head, "U/XA/unit", counts(now, now->unit_users));
		check_record(head, "R/XA/unit", counts(now, now->unit_record), now);
	}
	assert_true(now->emergency || all_count(now, walk->unit));
	verified_head_unref(head);
	free(bytes);
}

/* ---- A directory with the state */

static void open_directory(struct house *house)
{
	struct directory_options options = world_directory_options(house->world, house->store);

	world_directory_create(house->world, &options);
	house->directory = world_directory_open(&options);
}

/* K(1) by A, which lists c; all is signed by c, and nobody edits the unit. */
static void found(struct house *house, struct keystore_key *const keys[N_KEYS], const struct walk *walk)
{
	struct bundle bundle = {0};

	world_clock_ms = (uint64_t)START * 1000;
	*house = (struct house){.world = world_create(START), .store = store_mem_create()};
	memcpy(house->keys, keys, sizeof house->keys);
	open_directory(house);
	house->now = (struct situation){
	    .authority = KEY_A, .coordinators = BIT(KEY_C), .own = KEY_C, .unit_users = KEY_C, .unit_record = KEY_C};
	struct world *world = house->world;
	struct world_item first = copy_item(&world->reg), before;
	struct world_item own = make_keys(house, KEY_A, BIT(KEY_C), false);
	world_add_state(world, "XA")->anchor = world_payload_hash(&own);
	world_item_finish(&world->reg);
	world->reg = first;
	world_next_register(world, &before);
	struct world_item next = world->reg;
	world->reg = before;
	put(&bundle, next, &world->reg);
	put(&bundle, own, &house->chain[0]);
	put_own(house, &bundle, KEY_C);
	if (walk->unit) {
		put_unit_users(house, &bundle, false, KEY_C);
		put_unit_record(house, &bundle, KEY_C);
	}
	assert_true(submit(house, &bundle));
	house->n_chain = 1;
}

/* whole: its history is to stand up to the full check. */
static void leave(struct house *house, bool whole)
{
	struct world_item *items[] = {&house->users, &house->record, &house->unit_users, &house->unit_record,
				      &house->council};
	struct offline_report report;
	struct refusal why = {0};

	if (whole && offline_check_store(house->store, &report, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	directory_close(house->directory);
	store_close(house->store);
	for (size_t i = 0; i < sizeof items / sizeof items[0]; i++)
		world_item_finish(items[i]);
	for (size_t i = 0; i < house->n_chain; i++)
		world_item_finish(&house->chain[i]);
	world_destroy(house->world);
}

/* ---- The walk */

static void add_action(struct walk *walk, struct action action)
{
	assert_true(walk->n_actions < ACTIONS);
	walk->actions[walk->n_actions++] = action;
}

/* Every K by this authority, with nothing, as an emergency or not; or with all that c or d signs.  One without
 * coordinators is in the council's walk alone. */
static void add_keys(struct walk *walk, enum key by)
{
	const enum key with[] = {NO_KEY, NO_KEY, KEY_C, KEY_D};

	for (unsigned list = walk->unit ? 1 : 0; list < 4; list++) {
		for (int i = 0; i < 4; i++)
			add_action(walk, (struct action){.what = KEYS,
							 .by = by,
							 .with = with[i],
							 .coordinators = list << KEY_C,
							 .emergency = i == 0});
	}
}

static void add_unit_actions(struct walk *walk)
{
	const enum key with[] = {NO_KEY, KEY_C, KEY_D, KEY_E};

	for (enum key by = KEY_C; by <= KEY_Z; by++)
		add_action(walk, (struct action){.what = UNIT_RECORD, .by = by, .with = NO_KEY});
	for (enum key by = KEY_C; by <= KEY_E; by++) {
		for (int i = 0; i < (by == KEY_E ? 2 : 8); i++)
			add_action(walk, (struct action){
					     .what = UNIT_USERS, .by = by, .with = with[i / 2], .on = (i & 1) != 0});
	}
}

static void add_council_actions(struct walk *walk)
{
	const enum key by[] = {NO_KEY, KEY_Z};

	add_keys(walk, KEY_B);
	add_action(walk, (struct action){.what = COUNCIL_KEYS, .by = KEY_B, .with = NO_KEY});
	add_action(walk, (struct action){.what = COUNCIL_KEYS, .by = KEY_B, .with = KEY_D});
	for (int i = 0; i < 4; i++) {
		add_action(walk,
			   (struct action){.what = REGISTER, .by = by[i / 2], .with = NO_KEY, .on = (i & 1) != 0});
		add_action(walk, (struct action){.what = TRUST, .by = by[i / 2], .with = NO_KEY, .on = (i & 1) != 0});
	}
	add_action(walk, (struct action){.what = WAIT, .by = NO_KEY, .with = NO_KEY});
}

static void add_actions(struct walk *walk)
{
	add_keys(walk, KEY_A);
	add_action(walk, (struct action){.what = KEYS, .by = KEY_Z, .with = NO_KEY, .coordinators = BIT(KEY_C)});
	if (walk->unit)
		add_unit_actions(walk);
	else
		add_council_actions(walk);
	for (enum key key = KEY_C; key <= KEY_D; key++)
		add_action(walk, (struct action){.what = OWN, .by = key, .with = NO_KEY});
}

static void step(struct house *house, struct walk *walk, size_t action)
{
	const struct situation before = house->now;
	const int from = number_of(&before);
	const bool done = act(house, walk, &walk->actions[action]);
	const int to = number_of(&house->now);

	walk->n_steps++;
	if (walk->tried[from][action]) /* a situation is all that counts */
		assert_int_equal(walk->to[from][action], done ? to : NOWHERE);
	walk->tried[from][action] = true;
	walk->to[from][action] = done ? to : NOWHERE;
	if (!done)
		return;
	check_step(&before, &walk->actions[action], &house->now);
	if (walk->known[to])
		return;
	walk->known[to] = true;
	walk->situations[to] = house->now;
	walk->n_situations++;
	check_situation(house, walk);
}

static size_t untried(const struct walk *walk, int at)
{
	size_t action = 0;

	while (action < walk->n_actions && walk->tried[at][action])
		action++;
	return action;
}

/* The first action of a shortest way from here to a situation with something untried, itself included; n_actions:
 * there is none. */
static size_t next_action(const struct walk *walk, int from)
{
	static int queue[SITUATIONS];
	static size_t first[SITUATIONS];
	static bool seen[SITUATIONS];
	size_t head = 0, tail = 0;

	if (untried(walk, from) < walk->n_actions)
		return untried(walk, from);
	memset(seen, 0, sizeof seen);
	seen[from] = true;
	queue[tail++] = from;
	while (head < tail) {
		const int at = queue[head++];
		if (untried(walk, at) < walk->n_actions)
			return first[at];
		for (size_t a = 0; a < walk->n_actions; a++) {
			const int to = walk->to[at][a];
			if (to == NOWHERE || seen[to])
				continue;
			seen[to] = true;
			first[to] = at == from ? a : first[at];
			queue[tail++] = to;
		}
	}
	return walk->n_actions;
}

static void walk_all(struct walk *walk, struct keystore_key *const keys[N_KEYS])
{
	struct house house;
	bool more = true;

	add_actions(walk);
	do {
		found(&house, keys, walk);
		const int home = number_of(&house.now);
		if (!walk->known[home]) {
			walk->known[home] = true;
			walk->situations[home] = house.now;
			walk->n_situations++;
			check_situation(&house, walk);
		}
		size_t action = next_action(walk, home);
		while (action < walk->n_actions && house.n_chain < CHAIN_MAX) {
			step(&house, walk, action);
			action = next_action(walk, number_of(&house.now));
		}
		more = next_action(walk, home) < walk->n_actions;
		leave(&house, !more);
	} while (more);
}

/* ---- Ways */

/* Whether an action needs one of these keys. */
static bool needs(const struct action *a, unsigned keys)
{
	return (a->by < N_KEYS && (keys & BIT(a->by)) != 0) || (a->with < N_KEYS && (keys & BIT(a->with)) != 0);
}

/* All is well, and none of these keys stands for anything. */
static bool well(const struct walk *walk, const struct situation *s, unsigned lost)
{
	const unsigned listed = BIT(s->authority) | s->coordinators | (s->editor ? BIT(KEY_E) : 0);

	return !suspended(s) && !s->emergency && all_count(s, walk->unit) && (listed & lost) == 0;
}

/* How many situations there are from which no way leads to one where all is well, without these keys. */
static size_t locked(const struct walk *walk, unsigned lost)
{
	static bool good[SITUATIONS];
	size_t n = 0;
	bool more = true;

	for (int i = 0; i < SITUATIONS; i++)
		good[i] = walk->known[i] && well(walk, &walk->situations[i], lost);
	while (more) {
		more = false;
		for (int i = 0; i < SITUATIONS; i++) {
			for (size_t a = 0; a < walk->n_actions && walk->known[i] && !good[i]; a++) {
				const int to = walk->to[i][a];
				if (to != NOWHERE && good[to] && !needs(&walk->actions[a], lost))
					more = good[i] = true;
			}
		}
	}
	for (int i = 0; i < SITUATIONS; i++)
		n += walk->known[i] && !good[i];
	return n;
}

static struct keystore_key *all_keys[N_KEYS];
static struct walk units = {.unit = true}, councils;

static int walk_everything(void **state)
{
	(void)state;
	for (int i = 0; i < N_KEYS; i++)
		assert_non_null(all_keys[i] = keystore_ephemeral(KEY_ED25519));
	walk_all(&units, all_keys);
	walk_all(&councils, all_keys);
	print_message("%zu and %zu situations, %zu and %zu steps\n", units.n_situations, councils.n_situations,
		      units.n_steps, councils.n_steps);
	return 0;
}

static int forget_keys(void **state)
{
	(void)state;
	for (int i = 0; i < N_KEYS; i++)
		keystore_close(all_keys[i]);
	return 0;
}

static size_t accepted(const struct walk *walk, enum what what, enum key by)
{
	size_t n = 0;

	for (int i = 0; i < SITUATIONS; i++) {
		for (size_t a = 0; a < walk->n_actions; a++)
			n += walk->known[i] && walk->to[i][a] != NOWHERE && walk->actions[a].what == what &&
			     walk->actions[a].by == by;
	}
	return n;
}

/* The walks were everywhere: a walk that is refused everything would prove everything. */
static void test_all_was_tried(void **state)
{
	(void)state;
	assert_true(accepted(&units, KEYS, KEY_A) > 0 && accepted(&units, UNIT_RECORD, KEY_E) > 0);
	assert_true(accepted(&units, UNIT_USERS, KEY_D) > 0 && accepted(&councils, OWN, KEY_C) > 0);
	assert_true(accepted(&councils, KEYS, KEY_B) > 0 && accepted(&councils, COUNCIL_KEYS, KEY_B) > 0);
	assert_true(accepted(&councils, REGISTER, NO_KEY) > 0 && accepted(&councils, TRUST, NO_KEY) > 0);
	assert_int_equal(accepted(&units, KEYS, KEY_Z) + accepted(&councils, REGISTER, KEY_Z), 0);
	assert_true(units.n_situations > 80 && councils.n_situations > 80);
	for (int i = 0; i < SITUATIONS; i++) {
		assert_true(!units.known[i] || untried(&units, i) == units.n_actions);
		assert_true(!councils.known[i] || untried(&councils, i) == councils.n_actions);
	}
}

static void test_nobody_is_locked_out(void **state)
{
	(void)state;
	for (enum key key = KEY_C; key <= KEY_Z; key++) { /* z: none is lost */
		assert_int_equal(locked(&units, BIT(key)), 0);
		assert_int_equal(locked(&councils, BIT(key)), 0);
	}
}

/* A stolen authority and a stolen coordinator, whatever the thief has done with them. */
static void test_the_council_helps(void **state)
{
	(void)state;
	assert_int_equal(locked(&councils, BIT(KEY_A) | BIT(KEY_C)), 0);
	assert_true(locked(&units, BIT(KEY_A)) > 0); /* without it there is no way */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_all_was_tried),
	    cmocka_unit_test(test_nobody_is_locked_out),
	    cmocka_unit_test(test_the_council_helps),
	};

	return cmocka_run_group_tests(tests, walk_everything, forget_keys);
}
