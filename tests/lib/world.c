#include "tests/lib/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/keys/keystore_file.h"
#include "proto/rules/rules.h"
#include "proto/rules/section.h"

#define ORIGIN "pocd.test/2026"

static void *must(void *pointer, const char *what)
{
	if (pointer == NULL) {
		fprintf(stderr, "world: %s\n", what);
		abort();
	}
	return pointer;
}

static struct keystore_key *new_key(enum key_algorithm algorithm)
{
	return must(keystore_ephemeral(algorithm), "no key");
}

static Poc__Key key_message(const struct keystore_key *key)
{
	Poc__Key message = POC__KEY__INIT;
	const struct public_key *public_key = keystore_public(key);

	message.spki = (ProtobufCBinaryData){public_key->spki_size, (uint8_t *)public_key->spki};
	return message;
}

void world_item_finish(struct world_item *item)
{
	free(item->bytes);
	memset(item, 0, sizeof *item);
}

void world_sign(const ProtobufCMessage *payload, struct keystore_key *const *keys, size_t n, struct world_item *item)
{
	struct refusal why = {0};
	uint8_t *bytes;
	size_t size;
	struct envelope *parsed;

	if (envelope_make(payload, keys, n, &bytes, &size, &why) != 0 ||
	    envelope_parse(bytes, size, &parsed, &why) != 0) {
		fprintf(stderr, "world: %s: %s\n", why.field, why.message);
		abort();
	}
	free(item->bytes);
	item->bytes = bytes;
	item->size = size;
	item->seq = parsed->seq;
	item->value = parsed->value;
	snprintf(item->name, sizeof item->name, "%s", parsed->name.text);
	envelope_destroy(parsed);
}

static void keep_old(struct world_item *item, struct world_item *keep)
{
	if (keep == NULL)
		return;
	*keep = *item;
	item->bytes = NULL;
}

static void next_head(const struct world *world, Poc__Head *head, const char *name, const struct world_item *item,
		      const struct hash *prev)
{
	head_fill(head, &world->directory_id, name, item->seq + 1, item->seq > 0 ? prev : NULL);
}

struct world_trust world_usual_trust(const struct world *world)
{
	return (struct world_trust){.root = world->root, .log = world->log};
}

static void fill_auditors(const struct world_trust *form, Poc__Auditor *list, Poc__Auditor **pointers)
{
	for (size_t i = 0; i < form->n_auditors; i++) {
		poc__auditor__init(&list[i]);
		list[i].name = (char *)form->auditor_names[i];
		list[i].spki = key_message(form->auditors[i]).spki;
		list[i].state = "XA";
		pointers[i] = &list[i];
	}
}

void world_next_trust(struct world *world, const struct world_trust *form, struct keystore_key *const *signers,
		      size_t n, struct world_item *keep)
{
	Poc__Trust trust = POC__TRUST__INIT;
	Poc__Head head;
	Poc__Key root = key_message(form->root), enrolment = key_message(world->enrolment),
		 log = key_message(form->log);
	Poc__Key *roots[] = {&root}, *enrolments[] = {&enrolment}, *logs[] = {&log};
	Poc__Auditor auditors[4], *auditor_pointers[4];
	Poc__Replacement replaced[2], *replaced_pointers[2];
	char *algorithms[] = {"ecdsa-p256-sha256", "ecdsa-p384-sha384", "ed25519"};
	struct hash prev = world->trust.value;

	next_head(world, &head, "T", &world->trust, &prev);
	if (world->trust.seq == 0)
		head.directory_id = (ProtobufCBinaryData){0};
	fill_auditors(form, auditors, auditor_pointers);
	trust.head = &head;
	trust.issued = world->now;
	trust.expires = world->now + (int64_t)730 * 86400;
	trust.origin = ORIGIN;
	trust.log_keys = logs;
	trust.root_keys = roots;
	trust.enrolment_keys = enrolments;
	trust.n_log_keys = trust.n_root_keys = trust.n_enrolment_keys = 1;
	trust.root_threshold = trust.enrolment_threshold = 1;
	trust.auditors = auditor_pointers;
	trust.n_auditors = form->n_auditors;
	trust.quorum = form->quorum;
	trust.max_age = 86400;
	trust.algorithms = algorithms;
	trust.n_algorithms = 3;
	trust.least_protocol = form->least_protocol != 0 ? form->least_protocol : 1;
	trust.replacement_delay = 259200;
	for (size_t i = 0; i < form->n_replaced; i++) {
		poc__replacement__init(&replaced[i]);
		replaced[i].state = (char *)form->replaced[i].state;
		replaced[i].keys = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)form->replaced[i].keys.bytes};
		replaced[i].not_before = form->replaced[i].not_before;
		replaced_pointers[i] = &replaced[i];
	}
	trust.replaced = replaced_pointers;
	trust.n_replaced = form->n_replaced;
	keep_old(&world->trust, keep);
	world_sign(&trust.base, signers, n, &world->trust);
}

struct hash world_payload_hash(const struct world_item *item)
{
	struct envelope *parsed;

	if (envelope_parse(item->bytes, item->size, &parsed, NULL) != 0)
		abort();
	struct hash hash = parsed->payload_hash;
	envelope_destroy(parsed);
	return hash;
}

static int by_code(const void *a, const void *b)
{
	return strcmp((*(Poc__Entry *const *)a)->state, (*(Poc__Entry *const *)b)->state);
}

void world_next_register(struct world *world, struct world_item *keep)
{
	Poc__Register reg = POC__REGISTER__INIT;
	Poc__Head head;
	Poc__Entry entries[300], *pointers[300];
	struct hash prev = world->reg.value;

	next_head(world, &head, "S", &world->reg, &prev);
	for (size_t i = 0; i < world->n_states; i++) {
		poc__entry__init(&entries[i]);
		entries[i].state = world->states[i].code;
		entries[i].anchor = (ProtobufCBinaryData){HASH_SIZE, world->states[i].anchor.bytes};
		entries[i].reference = "note verbale 1/2026";
		entries[i].date = "2026-01-15";
		entries[i].suspended = world->states[i].suspended;
		pointers[i] = &entries[i];
	}
	qsort(pointers, world->n_states, sizeof *pointers, by_code);
	reg.head = &head;
	reg.issued = world->now;
	reg.entries = pointers;
	reg.n_entries = world->n_states;
	keep_old(&world->reg, keep);
	world_sign(&reg.base, &world->enrolment, 1, &world->reg);
}

enum { FILLERS = 14, FILLER_SIZE = 512, COORDINATORS = 1 + FILLERS };

/* Coordinators that nobody can be: DER SEQUENCEs as large as a key may be, each another. */
static void fill_up(Poc__Key fillers[FILLERS], uint8_t room[FILLERS][FILLER_SIZE], Poc__Key **coordinators)
{
	for (size_t i = 0; i < FILLERS; i++) {
		memcpy(room[i], "\x30\x82\x01\xfc", 4);
		memset(room[i] + 4, (int)i, FILLER_SIZE - 4);
		poc__key__init(&fillers[i]);
		fillers[i].spki = (ProtobufCBinaryData){FILLER_SIZE, room[i]};
		coordinators[i] = &fillers[i];
	}
}

static void next_keys(struct world *world, struct world_state *state, bool large, struct world_item *keep)
{
	Poc__Keys keys = POC__KEYS__INIT;
	Poc__Head head;
	char name[16];
	struct hash prev = state->keys.value;
	uint8_t room[FILLERS][FILLER_SIZE];
	Poc__Key authority = key_message(state->authority), coordinator = key_message(state->coordinator);
	Poc__Key fillers[FILLERS], *authorities[] = {&authority}, *coordinators[COORDINATORS] = {&coordinator};

	if (large)
		fill_up(fillers, room, coordinators + 1);
	snprintf(name, sizeof name, "K/%s", state->code);
	next_head(world, &head, name, &state->keys, &prev);
	keys.head = &head;
	keys.issued = world->now;
	keys.authority = authorities;
	keys.n_authority = 1;
	keys.authority_threshold = 1;
	keys.coordinators = coordinators;
	keys.n_coordinators = large ? COORDINATORS : 1;
	keep_old(&state->keys, keep);
	world_sign(&keys.base, &state->authority, 1, &state->keys);
}

void world_next_keys(struct world *world, struct world_state *state, struct keystore_key *new_coordinator,
		     struct world_item *keep)
{
	if (new_coordinator != NULL)
		state->coordinator = new_coordinator;
	next_keys(world, state, false, keep);
}

void world_next_large_keys(struct world *world, struct world_state *state)
{
	next_keys(world, state, true, NULL);
}

static Poc__PocKind all_kinds[] = {POC__POC_KIND__POC_KIND_TECHNICAL, POC__POC_KIND__POC_KIND_DIPLOMATIC,
				   POC__POC_KIND__POC_KIND_COORDINATOR};

static Poc__ReadingKey reading_message(const struct keystore_key *key, bool directory)
{
	Poc__ReadingKey reading = POC__READING_KEY__INIT;
	const struct public_key *public_key = keystore_public(key);

	reading.spki = (ProtobufCBinaryData){public_key->spki_size, (uint8_t *)public_key->spki};
	reading.holder = POC__HOLDER__HOLDER_DESK;
	reading.kinds = directory ? all_kinds + 2 : all_kinds;
	reading.n_kinds = directory ? 1 : 3;
	return reading;
}

static Poc__User user_message(char *handle, struct keystore_key *key, Poc__Role *role)
{
	Poc__User user = POC__USER__INIT;
	const struct public_key *public_key = keystore_public(key);

	user.handle = handle;
	user.spki = (ProtobufCBinaryData){public_key->spki_size, (uint8_t *)public_key->spki};
	user.roles = role;
	user.n_roles = 1;
	return user;
}

void world_next_users(struct world *world, struct world_state *state, bool with_reader, struct world_item *keep)
{
	bool directory = strcmp(state->code, STATE_DIRECTORY) == 0;
	Poc__Users users = POC__USERS__INIT;
	Poc__Head head;
	Poc__Role coordinator_role = POC__ROLE__ROLE_COORDINATOR;
	Poc__Role second = directory ? POC__ROLE__ROLE_SERVER : POC__ROLE__ROLE_OPERATOR;
	Poc__Role third = directory ? POC__ROLE__ROLE_ADMIN : POC__ROLE__ROLE_READER;
	Poc__Role alert_role = POC__ROLE__ROLE_ALERT;
	Poc__User list[4], *pointers[4];
	Poc__ReadingKey reading = reading_message(state->reading, directory), *readings[] = {&reading};
	size_t n = 0;
	char name[16];
	struct hash prev = state->users.value;

	/* ascending by handle: admin, coordinator, server; alert, coordinator, operator, reader */
	if (!directory) {
		list[n] = user_message("alert", state->alert, &alert_role);
		list[n].kinds = all_kinds;
		list[n++].n_kinds = 3;
	}
	if (directory && with_reader)
		list[n++] = user_message("admin", state->reader, &third);
	list[n++] = user_message("coordinator", state->coordinator, &coordinator_role);
	list[n] = user_message(directory ? "server" : "operator", state->operator_, &second);
	list[n].not_after = state->operator_until;
	list[n].kinds = all_kinds;
	list[n++].n_kinds = directory ? 0 : 3;
	if (!directory && with_reader)
		list[n++] = user_message("reader", state->reader, &third);
	for (size_t i = 0; i < n; i++)
		pointers[i] = &list[i];
	snprintf(name, sizeof name, "U/%s", state->code);
	next_head(world, &head, name, &state->users, &prev);
	users.head = &head;
	users.issued = world->now;
	users.users = pointers;
	users.n_users = n;
	users.reading_keys = readings;
	users.n_reading_keys = 1;
	keep_old(&state->users, keep);
	world_sign(&users.base, &state->coordinator, 1, &state->users);
}

ProtobufCBinaryData world_section(const struct world *world, const char *record, const char *poc, const char *name,
				  const char *phone)
{
	Poc__Content content = POC__CONTENT__INIT;
	Poc__Channel channel = POC__CHANNEL__INIT, *channels[] = {&channel};
	Poc__Text text = POC__TEXT__INIT, *texts[] = {&text};
	ProtobufCBinaryData out;
	struct refusal why = {0};

	text.lang = "en";
	text.text = "National CERT";
	channel.id = "phone-1";
	channel.type = "phone";
	channel.value = (char *)phone;
	content.names = texts;
	content.n_names = 1;
	content.channels = channels;
	content.n_channels = 1;
	if (section_make(&world->directory_id, record, poc, name, &content, &out.data, &out.len, &why) != 0) {
		fprintf(stderr, "world: %s: %s\n", why.field, why.message);
		abort();
	}
	return out;
}

static void sign_record(struct world *world, struct world_state *state, const char *name, struct world_item *item,
			const ProtobufCBinaryData *sections, size_t n, bool withdrawn)
{
	static const char *const names[] = {"office", "persons", "internal"};
	static const Poc__Tlp labels[] = {POC__TLP__TLP_GREEN, POC__TLP__TLP_AMBER, POC__TLP__TLP_AMBER_STRICT};
	Poc__Record record = POC__RECORD__INIT;
	Poc__PointOfContact poc = POC__POINT_OF_CONTACT__INIT, *pocs[] = {&poc};
	Poc__SectionRef refs[WORLD_SECTIONS], *pointers[WORLD_SECTIONS];
	struct hash digests[WORLD_SECTIONS], prev = item->value;
	Poc__Head head;

	next_head(world, &head, name, item, &prev);
	for (size_t i = 0; i < n; i++) {
		poc__section_ref__init(&refs[i]);
		digests[i] = hash_section(sections[i].data, sections[i].len);
		refs[i].name = (char *)names[i];
		refs[i].tlp = labels[i];
		refs[i].digest = (ProtobufCBinaryData){HASH_SIZE, digests[i].bytes};
		pointers[i] = &refs[i];
	}
	poc.id = "technical-1";
	poc.kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	poc.sections = pointers;
	poc.n_sections = n;
	record.head = &head;
	record.issued = world->now;
	record.confirmed = world->now;
	record.expires = world->now + (int64_t)365 * 86400;
	record.withdrawn = withdrawn;
	if (!withdrawn) {
		record.pocs = pocs;
		record.n_pocs = 1;
	}
	world_sign(&record.base, &state->coordinator, 1, item);
}

void world_next_record(struct world *world, struct world_state *state, bool withdrawn, struct world_item *keep)
{
	static const char *const names[] = {"office", "persons", "internal"};
	char name[16], phone[24];

	snprintf(name, sizeof name, "R/%s", state->code);
	for (size_t i = 0; i < WORLD_SECTIONS; i++) {
		free(state->sections[i].data);
		snprintf(phone, sizeof phone, "+99%u%03u%03u", (unsigned)i + 1, (unsigned)(state->record.seq % 1000),
			 100u);
		state->sections[i] = world_section(world, name, "technical-1", names[i], phone);
	}
	struct world_item old = state->record;
	if (keep != NULL)
		*keep = old;
	else
		free(old.bytes);
	state->record.bytes = NULL;
	sign_record(world, state, name, &state->record, state->sections, WORLD_SECTIONS, withdrawn);
}

void world_next_unit_record(struct world *world, struct world_state *state, const char *unit, struct world_item *item,
			    ProtobufCBinaryData *section)
{
	char name[NAME_MAX_LENGTH + 1];

	snprintf(name, sizeof name, "R/%.2s/%.40s", state->code, unit);
	*section = world_section(world, name, "technical-1", "office", "+33123456789");
	sign_record(world, state, name, item, section, 1, false);
}

void world_unit_record(struct world *world, struct world_state *state, const char *unit, struct world_item *out,
		       ProtobufCBinaryData *section)
{
	memset(out, 0, sizeof *out);
	world_next_unit_record(world, state, unit, out, section);
}

static struct world_state *add(struct world *world, const char *code)
{
	if (world->n_states == sizeof world->states / sizeof world->states[0])
		abort();
	struct world_state *state = &world->states[world->n_states++];

	snprintf(state->code, sizeof state->code, "%s", code);
	state->authority = new_key(KEY_P256);
	state->coordinator = new_key(KEY_ED25519);
	state->reader = new_key(KEY_ED25519);
	state->operator_ = new_key(KEY_P256);
	state->alert = new_key(KEY_ED25519);
	state->reading = new_key(KEY_P384);
	world_next_keys(world, state, NULL, NULL);
	world_next_users(world, state, true, NULL);
	state->anchor = world_payload_hash(&state->keys);
	return state;
}

struct world *world_create(int64_t now)
{
	struct world *world = must(calloc(1, sizeof *world), "out of memory");

	world->now = now;
	world->root = new_key(KEY_P256);
	world->enrolment = new_key(KEY_ED25519);
	world->log = new_key(KEY_ED25519);
	struct world_trust trust = world_usual_trust(world);
	world_next_trust(world, &trust, &world->root, 1, NULL);
	world->directory_id = world_payload_hash(&world->trust);
	add(world, STATE_DIRECTORY);
	world_next_register(world, NULL);
	return world;
}

struct world_state *world_add_state(struct world *world, const char *code)
{
	struct world_state *state = add(world, code);

	world_next_record(world, state, false, NULL);
	world_next_register(world, NULL);
	return state;
}

struct world_state *world_state(struct world *world, const char *code)
{
	for (size_t i = 0; i < world->n_states; i++) {
		if (strcmp(world->states[i].code, code) == 0)
			return &world->states[i];
	}
	return must(NULL, code);
}

void world_destroy(struct world *world)
{
	if (world == NULL)
		return;
	for (size_t i = 0; i < world->n_states; i++) {
		struct world_state *s = &world->states[i];
		keystore_close(s->authority);
		keystore_close(s->coordinator);
		keystore_close(s->reader);
		keystore_close(s->operator_);
		keystore_close(s->alert);
		keystore_close(s->reading);
		world_item_finish(&s->keys);
		world_item_finish(&s->users);
		world_item_finish(&s->record);
		for (size_t j = 0; j < WORLD_SECTIONS; j++)
			free(s->sections[j].data);
	}
	keystore_close(world->root);
	keystore_close(world->enrolment);
	keystore_close(world->log);
	world_item_finish(&world->trust);
	world_item_finish(&world->reg);
	free(world);
}
