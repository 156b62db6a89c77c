#include "tests/lib/unit.h"

#include "clients/libpoc/verify.h"
#include "proto/keys/keystore_file.h"
#include "proto/rules/rules.h"
#include "proto/wire/prescan.h"
#include "tests/lib/scene.h"

/* A proof of XA's record as a lookup saves it, in parts, so that each test can put other parts in their place. */
struct stage {
	struct world *world;
	struct scene scene;
	struct scene_item trust, reg, keys, record;
	ProtobufCBinaryData sections[4];
	struct verify_pins pins;
};

enum { START = 1790000000 };

static struct name name_of(const char *text)
{
	struct name name;

	assert_true(name_parse(text, &name));
	return name;
}

/* Fills the items from the scene as it is. */
static void stage_items(struct stage *s)
{
	struct world_state *xa = world_state(s->world, "XA");

	scene_item(&s->scene, "T", &s->trust);
	scene_item(&s->scene, "S", &s->reg);
	scene_envelope(&s->reg, &s->world->reg);
	scene_item(&s->scene, "K/XA", &s->keys);
	scene_envelope(&s->keys, &xa->keys);
	scene_item(&s->scene, "R/XA", &s->record);
	scene_envelope(&s->record, &xa->record);
	memcpy(s->sections, xa->sections, sizeof xa->sections);
	s->record.item.sections = s->sections;
	s->record.item.n_sections = 1; /* the office's, GREEN */
}

static void stage_scene(struct stage *s)
{
	scene_finish(&s->scene);
	scene_init(&s->scene, s->world);
	scene_put_world(&s->scene);
	scene_close(&s->scene);
	stage_items(s);
}

static int setup(void **context)
{
	struct stage *s = calloc(1, sizeof *s);

	s->world = world_create(START);
	world_add_state(s->world, "XA");
	world_add_state(s->world, "XB");
	s->pins.directory = s->world->directory_id;
	stage_scene(s);
	*context = s;
	return 0;
}

static int teardown(void **context)
{
	struct stage *s = *context;

	scene_finish(&s->scene);
	world_destroy(s->world);
	free(s);
	return 0;
}

static void encode(struct stage *s, uint8_t **bytes, size_t *size)
{
	struct scene_item *items[] = {&s->trust, &s->reg, &s->keys, &s->record};

	scene_proof(&s->scene, items, 4, false, bytes, size);
}

/* Everything in the bytes, as poc verify checks it. */
static int verify_bytes(const struct stage *s, const uint8_t *bytes, size_t size, enum reader_class reader,
			struct refusal *why)
{
	struct verified_head *head;
	int status = verify_saved(&s->pins, bytes, size, &head, why);

	if (status == 0)
		status = verify_saved_all(head, reader, why);
	verified_head_unref(head);
	return status;
}

static int verify_stage(struct stage *s, enum reader_class reader, struct refusal *why)
{
	uint8_t *bytes;
	size_t size;

	encode(s, &bytes, &size);
	int status = verify_bytes(s, bytes, size, reader, why);
	free(bytes);
	return status;
}

static void accept(struct stage *s, enum reader_class reader)
{
	struct refusal why = {0};

	if (verify_stage(s, reader, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
}

/* Refused, for a reason whose words contain this. */
static void refused_by(struct stage *s, enum reader_class reader, const char *words)
{
	struct refusal why = {0};

	assert_int_equal(verify_stage(s, reader, &why), STATUS_UNVERIFIED);
	assert_int_equal(why.code, STATUS_UNVERIFIED);
	if (strstr(why.message, words) == NULL)
		fail_msg("refused for another reason: %s", why.message);
}

static void test_record(void **context)
{
	struct stage *s = *context;
	struct verified_head *head;
	struct verified_record record;
	struct name name = name_of("R/XA"), other = name_of("R/XB");
	struct refusal why = {0};
	uint8_t *bytes;
	size_t size;

	encode(s, &bytes, &size);
	assert_int_equal(verify_saved(&s->pins, bytes, size, &head, &why), 0);
	assert_int_equal(verify_saved_all(head, READER_PLAIN, &why), 0);
	assert_int_equal(verify_saved_record(head, &name, READER_PLAIN, &record, &why), 0);
	assert_false(record.absent || record.suspended || record.withdrawn || record.replaced);
	assert_string_equal(record.signed_by, "coordinator of XA");
	assert_memory_equal(&record.signer, &keystore_public(world_state(s->world, "XA")->coordinator)->id, HASH_SIZE);
	assert_int_equal(record.n_sections, 1);
	assert_int_equal(record.withheld, 2);
	assert_int_equal(head->time_ms, (int64_t)START * 1000);
	assert_int_equal(head->quorum, 0);
	verified_record_finish(&record);
	assert_int_equal(verify_saved_record(head, &other, READER_PLAIN, &record, &why), STATUS_NOT_FOUND);
	verified_head_unref(head);
	free(bytes);
}

static void test_every_byte(void **context)
{
	struct stage *s = *context;
	uint8_t *bytes;
	size_t size;

	s->record.item.n_sections = 3;
	encode(s, &bytes, &size);
	assert_int_equal(verify_bytes(s, bytes, size, READER_OWN, NULL), 0);
	for (size_t i = 0; i < size; i++) {
		bytes[i] ^= (uint8_t)(1u << (i % 8));
		if (verify_bytes(s, bytes, size, READER_OWN, NULL) != STATUS_UNVERIFIED)
			fail_msg("byte %zu of %zu can be changed", i, size);
		bytes[i] ^= (uint8_t)(1u << (i % 8));
	}
	free(bytes);
}

static void test_truncated_and_extended(void **context)
{
	struct stage *s = *context;
	uint8_t *bytes;
	size_t size;

	encode(s, &bytes, &size);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(verify_bytes(s, bytes, i, READER_PLAIN, NULL), STATUS_UNVERIFIED);
	static const struct {
		size_t size;
		uint8_t bytes[8];
	} tails[] = {
	    {1, {0}},                /* a zero byte */
	    {2, {0x28, 0x00}},       /* complete = false, which is left out */
	    {2, {0x08, 0x01}},       /* the version again */
	    {2, {0x78, 0x01}},       /* an unknown field */
	    {2, {0x22, 0x00}},       /* an empty item */
	    {3, {0x28, 0x80, 0x00}}, /* a varint longer than needed */
	};
	uint8_t *longer = malloc(size + 8);
	memcpy(longer, bytes, size);
	for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
		memcpy(longer + size, tails[i].bytes, tails[i].size);
		assert_int_equal(verify_bytes(s, longer, size + tails[i].size, READER_PLAIN, NULL), STATUS_UNVERIFIED);
	}
	/* the version as a longer varint: the same message, encoded otherwise */
	memmove(longer + 3, bytes + 2, size - 2);
	longer[1] = 0x81;
	longer[2] = 0x00;
	assert_int_equal(verify_bytes(s, longer, size + 1, READER_PLAIN, NULL), STATUS_UNVERIFIED);
	free(longer);
	free(bytes);
}

static void test_another_states_record(void **context)
{
	struct stage *s = *context;
	struct world_state *xb = world_state(s->world, "XB");

	/* its envelope under XA's name and proof */
	s->record.envelopes[0] = (ProtobufCBinaryData){xb->record.size, xb->record.bytes};
	s->sections[0] = xb->sections[0];
	refused_by(s, READER_PLAIN, "map proof");
	/* even where a lying log has put it there */
	scene_finish(&s->scene);
	scene_init(&s->scene, s->world);
	scene_put_world(&s->scene);
	scene_put(&s->scene, "R/XA", &xb->record.value);
	scene_close(&s->scene);
	stage_items(s);
	s->record.envelopes[0] = (ProtobufCBinaryData){xb->record.size, xb->record.bytes};
	s->sections[0] = xb->sections[0];
	refused_by(s, READER_PLAIN, "is of R/XB");
}

static void test_older_record(void **context)
{
	struct stage *s = *context;
	struct world_state *xa = world_state(s->world, "XA");
	struct world_item old;
	struct scene_item before;
	ProtobufCBinaryData old_section = xa->sections[0];

	memcpy(&before, &s->record, sizeof before);
	old_section.data = malloc(old_section.len);
	memcpy(old_section.data, xa->sections[0].data, old_section.len);
	uint8_t *siblings = malloc(sizeof before.siblings);
	memcpy(siblings, s->record.siblings, sizeof before.siblings);
	world_next_record(s->world, xa, false, &old);
	stage_scene(s);
	accept(s, READER_PLAIN);
	/* the older envelope beside the newer proof */
	s->record.envelopes[0] = (ProtobufCBinaryData){old.size, old.bytes};
	s->sections[0] = old_section;
	refused_by(s, READER_PLAIN, "map proof");
	/* and with the proof that it had then */
	s->record.map.siblings = (ProtobufCBinaryData){before.map.siblings.len, siblings};
	refused_by(s, READER_PLAIN, "map proof");
	free(siblings);
	free(old_section.data);
	world_item_finish(&old);
}

static void test_sections(void **context)
{
	struct stage *s = *context;
	struct world_state *xa = world_state(s->world, "XA"), *xb = world_state(s->world, "XB");

	s->record.item.n_sections = 0;
	refused_by(s, READER_PLAIN, "is missing");
	s->record.item.n_sections = 1;
	accept(s, READER_PLAIN);
	refused_by(s, READER_OPERATOR, "section persons of R/XA is missing");
	s->record.item.n_sections = 2;
	accept(s, READER_OPERATOR);
	refused_by(s, READER_OWN, "section internal of R/XA is missing");
	s->record.item.n_sections = 3;
	accept(s, READER_OWN);
	accept(s, READER_PLAIN); /* more than the reader could ask for is no lie */
	s->sections[0] = xa->sections[1];
	s->sections[1] = xa->sections[0];
	refused_by(s, READER_OWN, "is missing"); /* swapped */
	s->sections[0] = xa->sections[0];
	s->sections[1] = xb->sections[1];
	refused_by(s, READER_OWN, "is missing"); /* another state's */
	s->sections[1] = xa->sections[0];
	refused_by(s, READER_PLAIN, "does not name"); /* the same twice */
}

static void test_presence_and_absence(void **context)
{
	struct stage *s = *context;
	struct world_state *xa = world_state(s->world, "XA");
	struct scene_item absent;
	struct refusal why = {0};

	/* absence is proven */
	scene_item(&s->scene, "K/XC", &s->keys);
	scene_item(&s->scene, "R/XC", &s->record);
	accept(s, READER_PLAIN);
	/* presence for an absent name */
	scene_item(&s->scene, "R/XC", &absent);
	stage_items(s);
	s->record.item.name = (char *)"R/XC";
	refused_by(s, READER_PLAIN, "");
	stage_items(s);
	absent.item.name = (char *)"R/XC";
	s->record = absent;
	s->record.map.siblings.data = s->record.siblings;
	s->record.map.terminal = POC__TERMINAL__TERMINAL_FOUND;
	s->record.map.other_key = s->record.map.other_value = (ProtobufCBinaryData){0};
	s->record.item.map = &s->record.map;
	scene_envelope(&s->record, &xa->record);
	refused_by(s, READER_PLAIN, "");
	/* absence for a present one: each terminal */
	for (int i = 0; i < 2; i++) {
		stage_items(s);
		struct hash other = hash_name("R/XB");
		s->record.item.n_envelopes = s->record.item.n_sections = 0;
		s->record.map.terminal = i == 0 ? POC__TERMINAL__TERMINAL_EMPTY : POC__TERMINAL__TERMINAL_OTHER;
		if (i == 1) {
			s->record.map.other_key = (ProtobufCBinaryData){HASH_SIZE, other.bytes};
			s->record.map.other_value = (ProtobufCBinaryData){HASH_SIZE, other.bytes};
		}
		assert_int_equal(verify_stage(s, READER_PLAIN, &why), STATUS_UNVERIFIED);
	}
}

static void test_key_dropped(void **context)
{
	struct stage *s = *context;
	struct world_state *xa = world_state(s->world, "XA");
	struct keystore_key *dropped = xa->coordinator;
	struct world_item old_keys, old_record;

	/* K(2) lists a new coordinator; R is still signed by the dropped one */
	world_next_keys(s->world, xa, keystore_ephemeral(KEY_ED25519), &old_keys);
	stage_scene(s);
	s->keys.item.n_envelopes = 0;
	scene_envelope(&s->keys, &old_keys);
	scene_envelope(&s->keys, &xa->keys);
	refused_by(s, READER_PLAIN, "not signed by a key of the current K/XA");
	/* the chain cut before K(2) */
	s->keys.item.n_envelopes = 1;
	refused_by(s, READER_PLAIN, "map proof");
	/* the chain without its anchor */
	s->keys.envelopes[0] = s->keys.envelopes[1];
	refused_by(s, READER_PLAIN, "");
	/* R signed by the new one */
	world_next_record(s->world, xa, false, &old_record);
	stage_scene(s);
	s->keys.item.n_envelopes = 0;
	scene_envelope(&s->keys, &old_keys);
	scene_envelope(&s->keys, &xa->keys);
	accept(s, READER_PLAIN);
	/* K(2) of another authority, though the coordinator's signature is right */
	struct keystore_key *authority = xa->authority;
	xa->authority = keystore_ephemeral(KEY_P256);
	struct world_item good = xa->keys;
	xa->keys = old_keys;
	struct world_item ignored;
	world_next_keys(s->world, xa, NULL, &ignored);
	stage_scene(s);
	s->keys.item.n_envelopes = 0;
	scene_envelope(&s->keys, &ignored);
	scene_envelope(&s->keys, &xa->keys);
	refused_by(s, READER_PLAIN, "");
	keystore_close(xa->authority);
	xa->authority = authority;
	world_item_finish(&good);
	world_item_finish(&old_record);
	world_item_finish(&ignored);
	keystore_close(dropped);
}

static void test_state_not_in_register(void **context)
{
	struct stage *s = *context;

	/* a log that holds K and R of XC while S does not list it (any more) */
	struct world_state *xc = world_add_state(s->world, "XC");
	s->world->n_states--;
	world_next_register(s->world, NULL);
	s->world->n_states++;
	stage_scene(s);
	scene_item(&s->scene, "K/XC", &s->keys);
	scene_envelope(&s->keys, &xc->keys);
	scene_item(&s->scene, "R/XC", &s->record);
	scene_envelope(&s->record, &xc->record);
	s->record.item.sections = s->sections;
	s->record.item.n_sections = 1;
	s->sections[0] = xc->sections[0];
	refused_by(s, READER_PLAIN, "not in the register");
}

static void test_other_directory(void **context)
{
	struct stage *s = *context;
	struct world *other = world_create(START);
	struct world_state *xa = world_state(s->world, "XA"), *foreign = world_add_state(other, "XA");

	/* the whole proof, read by someone who pinned another directory */
	struct verify_pins pins = s->pins;
	s->pins.directory = other->directory_id;
	refused_by(s, READER_PLAIN, "another directory");
	s->pins = pins;
	/* another directory's record in this map, with the same keys listed here */
	struct world_item own = xa->record;
	struct keystore_key *coordinator = foreign->coordinator;
	foreign->coordinator = xa->coordinator;
	world_next_record(other, foreign, false, NULL);
	foreign->coordinator = coordinator;
	xa->record = foreign->record;
	stage_scene(s);
	s->sections[0] = foreign->sections[0];
	refused_by(s, READER_PLAIN, "of another directory");
	xa->record = own;
	world_destroy(other);
}

static void test_checkpoint_key(void **context)
{
	struct stage *s = *context;
	struct keystore_key *thief = keystore_ephemeral(KEY_ED25519);

	scene_finish(&s->scene);
	scene_init(&s->scene, s->world);
	scene_put_world(&s->scene);
	s->scene.log = thief;
	scene_close(&s->scene);
	stage_items(s);
	refused_by(s, READER_PLAIN, "no log key");
	scene_finish(&s->scene);
	scene_init(&s->scene, s->world);
	scene_put_world(&s->scene);
	s->scene.origin = "pocd.other/2026";
	scene_close(&s->scene);
	stage_items(s);
	refused_by(s, READER_PLAIN, "of another log");
	keystore_close(thief);
}

static void test_suspended_and_withdrawn(void **context)
{
	struct stage *s = *context;
	struct world_state *xa = world_state(s->world, "XA");
	struct name name = name_of("R/XA");
	struct verified_head *head;
	struct verified_record record;
	uint8_t *bytes;
	size_t size;

	xa->suspended = true;
	world_next_register(s->world, NULL);
	world_next_record(s->world, xa, true, NULL);
	stage_scene(s);
	s->record.item.n_sections = 0;
	encode(s, &bytes, &size);
	assert_int_equal(verify_saved(&s->pins, bytes, size, &head, NULL), 0);
	assert_int_equal(verify_saved_record(head, &name, READER_PLAIN, &record, NULL), 0);
	assert_true(record.suspended && record.withdrawn);
	verified_record_finish(&record);
	verified_head_unref(head);
	free(bytes);
}

/* ---- Complete proofs */

static size_t complete_items(struct stage *s, struct scene_item *items, struct scene_item **pointers)
{
	size_t n = 0;

	for (size_t i = 0; i < s->scene.n; i++) {
		if (strcmp(s->scene.names[i], "T") == 0)
			continue;
		scene_item(&s->scene, s->scene.names[i], &items[n]);
		pointers[n] = &items[n];
		n++;
	}
	for (size_t i = 0; i < n; i++) {
		struct world_state *state = NULL;
		const char *name = items[i].item.name;
		if (strcmp(name, "S") == 0)
			scene_envelope(&items[i], &s->world->reg);
		else
			state = world_state(s->world, name + 2);
		if (state != NULL)
			scene_envelope(&items[i], name[0] == 'K'   ? &state->keys
						  : name[0] == 'U' ? &state->users
								   : &state->record);
		if (state != NULL && name[0] == 'R') {
			items[i].item.sections = state->sections;
			items[i].item.n_sections = 2;
		}
	}
	return n;
}

static int verify_complete(struct stage *s, struct scene_item **pointers, size_t n, struct refusal *why)
{
	uint8_t *bytes;
	size_t size;

	scene_proof(&s->scene, pointers, n, true, &bytes, &size);
	int status = verify_bytes(s, bytes, size, READER_OPERATOR, why);
	free(bytes);
	return status;
}

static void test_complete(void **context)
{
	struct stage *s = *context;
	struct scene_item *items = calloc(SCENE_NAMES, sizeof *items), *pointers[SCENE_NAMES];
	struct verified_head *head;
	struct verified_record record;
	struct refusal why = {0};
	struct name absent = name_of("R/XC"), present = name_of("R/XB");
	uint8_t *bytes;
	size_t size, n = complete_items(s, items, pointers);

	if (verify_complete(s, pointers, n, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	scene_proof(&s->scene, pointers, n, true, &bytes, &size);
	assert_int_equal(verify_saved(&s->pins, bytes, size, &head, &why), 0);
	assert_int_equal(verify_saved_record(head, &absent, READER_OPERATOR, &record, &why), 0);
	assert_true(record.absent);
	assert_int_equal(verify_saved_record(head, &present, READER_OPERATOR, &record, &why), 0);
	assert_false(record.absent);
	verified_record_finish(&record);
	assert_int_equal(verify_saved_record(head, &present, READER_OWN, &record, &why), STATUS_UNVERIFIED);
	verified_head_unref(head);
	free(bytes);
	/* one name left out */
	for (size_t i = 0; i < n; i++) {
		struct scene_item *fewer[SCENE_NAMES];
		memcpy(fewer, pointers, n * sizeof *fewer);
		fewer[i] = pointers[n - 1];
		assert_int_equal(verify_complete(s, fewer, n - 1, &why), STATUS_UNVERIFIED);
	}
	/* one name added, by its value alone */
	struct hash value = hash_of("x", 1);
	poc__item__init(&items[n].item);
	items[n].item.name = (char *)"R/XC";
	items[n].item.value = (ProtobufCBinaryData){HASH_SIZE, value.bytes};
	pointers[n] = &items[n];
	assert_int_equal(verify_complete(s, pointers, n + 1, &why), STATUS_UNVERIFIED);
	free(items);
}

/* By its value alone a U may come, which this reader may not see, and nothing else. */
static void test_complete_kept_back(void **context)
{
	struct stage *s = *context;
	struct scene_item *items = calloc(SCENE_NAMES + 1, sizeof *items), *pointers[SCENE_NAMES];
	struct refusal why = {0};
	size_t n = complete_items(s, items, pointers), users = 0;

	for (size_t i = 0; i < n; i++) {
		struct scene_item *whole = pointers[i];
		const char *name = whole->item.name;
		const bool may = name[0] == 'U';
		scene_item(&s->scene, name, &items[n]);
		pointers[i] = &items[n];
		if ((verify_complete(s, pointers, n, &why) == 0) != may)
			fail_msg("%s", name);
		pointers[i] = whole;
		users += may;
	}
	assert_int_equal(users, 3);
	free(items);
}

/* ---- Communications checks */

/* P/XA, of which the proof may keep back the envelope, or the keys of those who sign it. */
static int verify_with_pings(struct stage *s, bool with_envelope, bool with_staff)
{
	struct scene_item pings, staff, *items[6] = {&s->trust, &s->reg, &s->keys, &s->record, &pings, &staff};
	struct world_state *directory = world_state(s->world, "@directory");
	Poc__Ping ping = POC__PING__INIT, *list[] = {&ping};
	Poc__Pings payload = POC__PINGS__INIT;
	struct world_item item = {0};
	struct refusal why = {0};
	uint8_t receipt[HASH_SIZE] = {1}, *bytes;
	Poc__Head head;
	size_t size;

	head_fill(&head, &s->world->directory_id, "P/XA", 1, NULL);
	ping.round = ping.asked = START;
	ping.poc = POC__POC_KIND__POC_KIND_TECHNICAL;
	ping.channel = (char *)"notice";
	ping.answered = START + 1;
	ping.receipt = (ProtobufCBinaryData){HASH_SIZE, receipt};
	payload.head = &head;
	payload.issued = START;
	payload.pings = list;
	payload.n_pings = 1;
	world_sign(&payload.base, &directory->coordinator, 1, &item);
	scene_finish(&s->scene);
	scene_init(&s->scene, s->world);
	scene_put_world(&s->scene);
	scene_put(&s->scene, "P/XA", &item.value);
	scene_close(&s->scene);
	stage_items(s);
	scene_item(&s->scene, "P/XA", &pings);
	if (with_envelope)
		scene_envelope(&pings, &item);
	scene_item(&s->scene, "K/@directory", &staff);
	scene_envelope(&staff, &directory->keys);
	scene_proof(&s->scene, items, with_staff ? 6 : 5, false, &bytes, &size);
	int status = verify_bytes(s, bytes, size, READER_PLAIN, &why);
	free(bytes);
	world_item_finish(&item);
	return status;
}

static void test_pings_kept_back(void **context)
{
	struct stage *s = *context;

	assert_int_equal(verify_with_pings(s, true, true), 0);
	assert_int_equal(verify_with_pings(s, false, true), STATUS_UNVERIFIED);
	assert_int_equal(verify_with_pings(s, true, false), STATUS_UNVERIFIED);
}

/* ---- Auditors */

static struct keystore_key *auditors[3];
static const char *const auditor_names[] = {"audit.xa", "audit.xb", "audit.xc"};

/* T(2) with three auditors, two of whom must have signed. */
static void trust_with_auditors(struct stage *s, struct world_item *out)
{
	struct envelope *first;
	Poc__Auditor list[3], *pointers[3];
	Poc__Head head;

	assert_int_equal(envelope_parse(s->world->trust.bytes, s->world->trust.size, &first, NULL), 0);
	Poc__Trust trust = *first->payload.trust;
	head_fill(&head, &s->world->directory_id, "T", 2, &first->value);
	for (size_t i = 0; i < 3; i++) {
		auditors[i] = keystore_ephemeral(KEY_ED25519);
		const struct public_key *key = keystore_public(auditors[i]);
		poc__auditor__init(&list[i]);
		list[i].name = (char *)auditor_names[i];
		list[i].spki = (ProtobufCBinaryData){key->spki_size, (uint8_t *)key->spki};
		list[i].state = (char *)"XA";
		pointers[i] = &list[i];
	}
	trust.head = &head;
	trust.auditors = pointers;
	trust.n_auditors = 3;
	trust.quorum = 2;
	*out = (struct world_item){0};
	world_sign(&trust.base, &s->world->root, 1, out);
	envelope_destroy(first);
}

static int verify_audited(struct stage *s, const struct world_item *second, size_t cosigners, bool spoil, size_t held,
			  unsigned quorum, const char *own, int64_t *time_ms)
{
	struct scene scene;
	struct scene_item t, reg;
	Poc__Proof message = POC__PROOF__INIT, *proof;
	Poc__Item *items[] = {&reg.item, &t.item};
	ProtobufCBinaryData trust[] = {{s->world->trust.size, s->world->trust.bytes}, {second->size, second->bytes}};
	struct verify_pins pins = {s->pins.directory, quorum, own};
	struct envelope *known[2];
	struct verified_head *head;
	uint8_t *bytes;
	size_t size;

	scene_init(&scene, s->world);
	scene_put_world(&scene);
	scene_put(&scene, "T", &second->value);
	scene.n_auditors = cosigners;
	scene.spoil_auditor = spoil;
	for (size_t i = 0; i < cosigners; i++) {
		scene.auditors[i] = auditors[i];
		scene.auditor_names[i] = auditor_names[i];
		scene.auditor_times[i] = START + 10 + i;
	}
	scene_close(&scene);
	scene_item(&scene, "T", &t);
	scene_item(&scene, "S", &reg);
	scene_envelope(&reg, &s->world->reg);
	message.version = 1;
	message.trust = trust + held;
	message.n_trust = 2 - held;
	message.checkpoint = &scene.checkpoint;
	message.items = items;
	message.n_items = 2;
	for (size_t i = 0; i < held; i++)
		assert_int_equal(envelope_parse(trust[i].data, trust[i].len, &known[i], NULL), 0);
	assert_int_equal(message_encode(&message, &bytes, &size), 0);
	assert_int_equal(proof_decode(bytes, size, &proof, NULL), 0);
	int status = verify_head(&pins, known, held, NULL, proof, &head, NULL);
	if (status == 0 && time_ms != NULL)
		*time_ms = head->time_ms;
	verified_head_unref(head);
	for (size_t i = 0; i < held; i++)
		envelope_destroy(known[i]);
	free(bytes);
	scene_finish(&scene);
	return status;
}

static void test_quorum(void **context)
{
	struct stage *s = *context;
	struct world_item second;
	int64_t time_ms = 0;

	trust_with_auditors(s, &second);
	for (size_t held = 0; held <= 2; held++) {
		assert_int_equal(verify_audited(s, &second, 0, false, held, 0, NULL, NULL), STATUS_UNVERIFIED);
		assert_int_equal(verify_audited(s, &second, 1, false, held, 0, NULL, NULL), STATUS_UNVERIFIED);
		assert_int_equal(verify_audited(s, &second, 2, false, held, 0, NULL, &time_ms), 0);
		assert_int_equal(time_ms, (int64_t)(START + 10) * 1000); /* the second newest of two */
		assert_int_equal(verify_audited(s, &second, 3, false, held, 0, NULL, &time_ms), 0);
		assert_int_equal(time_ms, (int64_t)(START + 11) * 1000);
	}
	assert_int_equal(verify_audited(s, &second, 3, true, 0, 0, NULL, NULL), STATUS_UNVERIFIED);
	assert_int_equal(verify_audited(s, &second, 2, false, 0, 3, NULL, NULL), STATUS_UNVERIFIED);
	assert_int_equal(verify_audited(s, &second, 3, false, 0, 3, NULL, NULL), 0);
	assert_int_equal(verify_audited(s, &second, 2, false, 0, 0, "audit.xb", NULL), 0);
	assert_int_equal(verify_audited(s, &second, 2, false, 0, 0, "audit.xc", NULL), STATUS_UNVERIFIED);
	for (size_t i = 0; i < 3; i++)
		keystore_close(auditors[i]);
	world_item_finish(&second);
}

static void test_reader_class(void **context)
{
	Poc__Role roles[] = {POC__ROLE__ROLE_READER};
	Poc__User user = POC__USER__INIT;

	(void)context;
	user.roles = roles;
	user.n_roles = 1;
	assert_int_equal(reader_class_of(&user, "XA", "XB"), READER_PLAIN);
	assert_int_equal(reader_class_of(&user, "XA", "XA"), READER_OWN);
	roles[0] = POC__ROLE__ROLE_OPERATOR;
	assert_int_equal(reader_class_of(&user, "XA", "XB"), READER_OPERATOR);
	roles[0] = POC__ROLE__ROLE_MIRROR;
	assert_int_equal(reader_class_of(&user, "XA", "XA"), READER_PLAIN);
	roles[0] = POC__ROLE__ROLE_ADMIN;
	assert_int_equal(reader_class_of(&user, STATE_DIRECTORY, "XB"), READER_OWN);
	roles[0] = POC__ROLE__ROLE_SERVER;
	assert_int_equal(reader_class_of(&user, STATE_DIRECTORY, "XB"), READER_PLAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_record, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_every_byte, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_truncated_and_extended, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_another_states_record, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_older_record, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sections, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_presence_and_absence, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_key_dropped, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_state_not_in_register, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_other_directory, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_checkpoint_key, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_suspended_and_withdrawn, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_complete, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_complete_kept_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pings_kept_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_quorum, setup, teardown),
	    cmocka_unit_test(test_reader_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
