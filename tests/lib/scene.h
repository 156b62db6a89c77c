/* scene: a log operator's whole power for tests: any map under any checkpoint, signed by the log key of a world.  What
 * a liar could build, a test can build with it.  Makers abort on failure. */
#ifndef TESTS_LIB_SCENE_H
#define TESTS_LIB_SCENE_H

#include "proto/proof/checkpoint.h"
#include "proto/proof/merkle.h"
#include "proto/proof/prefix.h"
#include "tests/lib/world.h"

enum { SCENE_NAMES = 64, SCENE_LEAVES = 256, SCENE_ENVELOPES = 8 };

struct scene {
	struct world *world;
	uint64_t time_ms;         /* of the STATE leaf */
	uint64_t number;          /* of the publication */
	struct keystore_key *log; /* signs; NULL: the world's */
	const char *origin;       /* NULL: the world's */
	size_t n_auditors;        /* cosign, with these names and times */
	struct keystore_key *auditors[4];
	const char *auditor_names[4];
	uint64_t auditor_times[4]; /* seconds */
	bool spoil_auditor;        /* the last one's signature is wrong */
	const struct hash *before; /* leaf hashes of the log so far, on top of which the STATE leaf stands */
	size_t n_before;
	size_t n;
	struct prefix_entry entries[SCENE_NAMES];
	const char *names[SCENE_NAMES];
	/* made by scene_close: */
	struct prefix_tree *tree;
	struct hash map_root;
	uint8_t leaf[LEAF_SIZE];
	struct hash root; /* of the log */
	struct merkle_proof path;
	char note[NOTE_MAX];
	size_t note_size;
	Poc__Checkpoint checkpoint;
};

void scene_init(struct scene *scene, struct world *world);
void scene_put(struct scene *scene, const char *name, const struct hash *value);
void scene_put_world(struct scene *scene); /* T, S and everything of every state */
void scene_close(struct scene *scene);     /* map, leaf, note */
void scene_finish(struct scene *scene);

/* merkle_read_fn over a struct scene_log: any log that is an array of leaf hashes. */
struct scene_log {
	const struct hash *leaves;
	size_t n;
};
int scene_read_log(void *ctx, unsigned level, uint64_t index, struct hash *out);

/* One item with its map proof; the pointers in it live as long as the scene and what was given. */
struct scene_item {
	Poc__Item item;
	Poc__MapProof map;
	uint8_t siblings[PREFIX_DEPTH_MAX * HASH_SIZE];
	struct prefix_entry other;
	ProtobufCBinaryData envelopes[SCENE_ENVELOPES];
};

/* The item of a name: found with value, or absent. */
void scene_item(const struct scene *scene, const char *name, struct scene_item *out);
void scene_envelope(struct scene_item *item, const struct world_item *envelope); /* adds one; the value goes */

/* A Proof of this scene with the world's T(1) and these items (sorted here).  *bytes malloc'ed. */
void scene_proof(const struct scene *scene, struct scene_item *const *items, size_t n, bool complete, uint8_t **bytes,
		 size_t *size);

#endif
