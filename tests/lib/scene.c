#include "tests/lib/scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/prescan.h"

#define ORIGIN "pocd.test/2026"

static void check(bool good, const char *what)
{
	if (!good) {
		fprintf(stderr, "scene: %s\n", what);
		abort();
	}
}

void scene_init(struct scene *scene, struct world *world)
{
	*scene = (struct scene){.world = world, .time_ms = (uint64_t)world->now * 1000, .number = 1};
}

void scene_put(struct scene *scene, const char *name, const struct hash *value)
{
	size_t i = 0;
	struct hash key = hash_name(name);

	for (; i < scene->n && hash_compare(&scene->entries[i].key, &key) < 0; i++)
		continue;
	if (i < scene->n && hash_compare(&scene->entries[i].key, &key) == 0) {
		scene->entries[i].value = *value;
		return;
	}
	check(scene->n < SCENE_NAMES, "too many names");
	memmove(&scene->entries[i + 1], &scene->entries[i], (scene->n - i) * sizeof *scene->entries);
	memmove(&scene->names[i + 1], &scene->names[i], (scene->n - i) * sizeof *scene->names);
	scene->entries[i] = (struct prefix_entry){key, *value};
	scene->names[i] = name;
	scene->n++;
}

static void put_item(struct scene *scene, const struct world_item *item)
{
	if (item->bytes != NULL)
		scene_put(scene, item->name, &item->value);
}

void scene_put_world(struct scene *scene)
{
	put_item(scene, &scene->world->trust);
	put_item(scene, &scene->world->reg);
	for (size_t i = 0; i < scene->world->n_states; i++) {
		put_item(scene, &scene->world->states[i].keys);
		put_item(scene, &scene->world->states[i].users);
		put_item(scene, &scene->world->states[i].record);
	}
}

static void add_line(struct scene *scene, const struct keystore_key *key, const char *name,
		     enum note_algorithm algorithm, const char *message, size_t size, uint64_t time, bool spoil)
{
	struct note_key line;
	uint8_t signature[8 + SIGNATURE_MAX];
	size_t signature_size, before = algorithm == NOTE_COSIGNATURE ? 8 : 0;

	for (size_t i = 0; i < before; i++)
		signature[i] = (uint8_t)(time >> (56 - 8 * i));
	check(keystore_sign(key, (const uint8_t *)message, size, signature + before, &signature_size) == 0, "sign");
	signature[before] ^= spoil;
	check(note_key_init(&line, name, algorithm, public_key_raw_ed25519(keystore_public(key))) == 0, "note key");
	check(note_append_line(scene->note, &scene->note_size, sizeof scene->note, &line, signature,
			       before + signature_size) == 0,
	      "note line");
}

int scene_read_log(void *ctx, unsigned level, uint64_t index, struct hash *out)
{
	const struct scene_log *log = ctx;

	if (level == 0) {
		check(index < log->n, "a leaf beyond the log");
		*out = log->leaves[index];
		return 0;
	}
	struct hash left, right;
	scene_read_log(ctx, level - 1, 2 * index, &left);
	scene_read_log(ctx, level - 1, 2 * index + 1, &right);
	*out = merkle_node(&left, &right);
	return 0;
}

static void put_into_log(struct scene *scene)
{
	struct hash leaves[SCENE_LEAVES];
	struct scene_log log = {leaves, scene->n_before + 1};

	check(log.n <= SCENE_LEAVES, "too many leaves");
	if (scene->n_before > 0)
		memcpy(leaves, scene->before, scene->n_before * sizeof *leaves);
	leaves[scene->n_before] = merkle_leaf(scene->leaf, LEAF_SIZE);
	check(merkle_root(scene_read_log, &log, log.n, &scene->root) == 0 &&
		  merkle_inclusion(scene_read_log, &log, log.n - 1, log.n, &scene->path) == 0,
	      "log");
}

void scene_close(struct scene *scene)
{
	const char *origin = scene->origin != NULL ? scene->origin : ORIGIN;
	struct leaf leaf = {.kind = LEAF_STATE, .seq = scene->number, .time_ms = scene->time_ms};
	struct checkpoint checkpoint = {.size = scene->n_before + 1};
	char text[NOTE_MAX], message[NOTE_MAX + 64];

	scene->tree = prefix_create(scene->entries, scene->n);
	check(scene->tree != NULL, "map");
	prefix_root(scene->tree, &scene->map_root);
	leaf.value = scene->map_root;
	leaf_write(&leaf, scene->leaf);
	put_into_log(scene);
	checkpoint.root = scene->root;
	snprintf(checkpoint.origin, sizeof checkpoint.origin, "%s", origin);
	long size = checkpoint_format(&checkpoint, text, sizeof text);
	check(size > 0, "checkpoint");
	memcpy(scene->note, text, (size_t)size);
	scene->note_size = (size_t)size;
	scene->note[scene->note_size++] = '\n';
	add_line(scene, scene->log != NULL ? scene->log : scene->world->log, origin, NOTE_ED25519, text, (size_t)size,
		 0, false);
	for (size_t i = 0; i < scene->n_auditors; i++) {
		long n = note_cosignature_message(scene->auditor_times[i], text, (size_t)size, message, sizeof message);
		check(n > 0, "cosignature");
		add_line(scene, scene->auditors[i], scene->auditor_names[i], NOTE_COSIGNATURE, message, (size_t)n,
			 scene->auditor_times[i], scene->spoil_auditor && i + 1 == scene->n_auditors);
	}
	poc__checkpoint__init(&scene->checkpoint);
	scene->checkpoint.note = (ProtobufCBinaryData){scene->note_size, (uint8_t *)scene->note};
	scene->checkpoint.leaf = (ProtobufCBinaryData){LEAF_SIZE, scene->leaf};
	scene->checkpoint.path = (ProtobufCBinaryData){scene->path.length * HASH_SIZE, (uint8_t *)scene->path.hashes};
}

void scene_finish(struct scene *scene)
{
	prefix_destroy(scene->tree);
	*scene = (struct scene){0};
}

void scene_item(const struct scene *scene, const char *name, struct scene_item *out)
{
	struct hash key = hash_name(name);
	enum prefix_terminal terminal;
	const struct prefix_entry *other = NULL;

	memset(out, 0, sizeof *out);
	poc__item__init(&out->item);
	poc__map_proof__init(&out->map);
	unsigned depth = prefix_prove_bytes(scene->tree, &key, out->siblings, &terminal, &other);
	out->item.name = (char *)name;
	out->item.map = &out->map;
	out->map.siblings = (ProtobufCBinaryData){(size_t)depth * HASH_SIZE, out->siblings};
	out->map.terminal = (Poc__Terminal)terminal;
	if (other != NULL)
		out->other = *other;
	if (terminal == PREFIX_OTHER) {
		out->map.other_key = (ProtobufCBinaryData){HASH_SIZE, out->other.key.bytes};
		out->map.other_value = (ProtobufCBinaryData){HASH_SIZE, out->other.value.bytes};
	} else if (terminal == PREFIX_FOUND) {
		out->item.value = (ProtobufCBinaryData){HASH_SIZE, out->other.value.bytes};
	}
}

void scene_envelope(struct scene_item *item, const struct world_item *envelope)
{
	check(item->item.n_envelopes < SCENE_ENVELOPES, "too many envelopes");
	item->envelopes[item->item.n_envelopes++] = (ProtobufCBinaryData){envelope->size, envelope->bytes};
	item->item.envelopes = item->envelopes;
	item->item.value = (ProtobufCBinaryData){0};
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(Poc__Item *const *)a)->name, (*(Poc__Item *const *)b)->name);
}

void scene_proof(const struct scene *scene, struct scene_item *const *items, size_t n, bool complete, uint8_t **bytes,
		 size_t *size)
{
	Poc__Proof proof = POC__PROOF__INIT;
	ProtobufCBinaryData trust = {scene->world->trust.size, scene->world->trust.bytes};
	Poc__Item *pointers[SCENE_NAMES];

	check(n <= SCENE_NAMES, "too many items");
	for (size_t i = 0; i < n; i++) {
		pointers[i] = &items[i]->item;
		if (complete)
			items[i]->item.map = NULL;
	}
	qsort(pointers, n, sizeof *pointers, by_name);
	proof.version = 1;
	proof.trust = &trust;
	proof.n_trust = 1;
	proof.checkpoint = (Poc__Checkpoint *)&scene->checkpoint;
	proof.items = pointers;
	proof.n_items = n;
	proof.complete = complete;
	check(message_encode(&proof, bytes, size) == 0, "encode");
}
