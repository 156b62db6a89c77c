/* book: a log operator's whole power: whatever is put into it stands in its log and map, published under the log key
 * and as many auditors as are given, with honest proofs.  No rule is asked.  Beside the truth an operator keeps other
 * books: a fork has the same past and may then tell another story.
 *
 * Aborts on failure: this is for tests alone. */
#ifndef TESTS_LIAR_BOOK_H
#define TESTS_LIAR_BOOK_H

#include "proto/wire/poc.pb-c.h"
#include "tests/lib/scene.h"

enum { BOOK_VERSIONS = SCENE_ENVELOPES, BOOK_SECTIONS = 4 };

struct book_entry {
	char name[NAME_MAX_LENGTH + 1];
	size_t n;
	struct world_item versions[BOOK_VERSIONS]; /* oldest first */
	size_t n_sections;                         /* of the last version */
	ProtobufCBinaryData sections[BOOK_SECTIONS];
	size_t leaf; /* index of its last version in the log */
};

struct book {
	size_t n_entries;
	struct book_entry entries[SCENE_NAMES];
	size_t n_leaves;
	struct hash leaves[SCENE_LEAVES]; /* their hashes: what counts */
	uint8_t leaf_bytes[SCENE_LEAVES][LEAF_SIZE];
	size_t last_state; /* index of the last STATE leaf */
	/* As published.  Before book_publish its log key, origin, auditors and time may be chosen. */
	struct scene scene;
};

void book_init(struct book *book, struct world *world);
void book_finish(struct book *book); /* zeroed memory allowed */
void book_free_bytes(void);          /* of all books: what book_put copied */

/* Makes *to a copy of from that is not published yet; what it was is finished. */
void book_fork(const struct book *from, struct book *to);

/* Makes *to the same book, published as it stands. */
void book_keep(const struct book *from, struct book *to);

/* The version becomes the current one of its name; its bytes are copied. */
void book_put(struct book *book, const struct world_item *item, const ProtobufCBinaryData *sections, size_t n_sections);

/* An ANCHOR leaf of a batch with one item; its index. */
size_t book_anchor(struct book *book, const uint8_t *item, size_t size);

/* Takes a name out of the map, as if it had never been there; its leaves stay. */
void book_forget(struct book *book, const char *name);

struct book_entry *book_find(struct book *book, const char *name); /* NULL: absent */

/* Appends a STATE leaf and makes the checkpoint. */
void book_publish(struct book *book);

/* ---- Answers, as a server gives them.  What is in one may be changed before it is packed: it points into itself, into
 * the book, and into whatever the changer puts there. */
struct book_answer {
	Poc__Proof proof;
	struct scene_item items[SCENE_NAMES];
	Poc__Item *pointers[SCENE_NAMES];
	ProtobufCBinaryData trust[BOOK_VERSIONS];
	Poc__Checkpoint checkpoint;
	struct merkle_proof path; /* of a HeadAnswer */
	Poc__HeadAnswer head;
};

void book_head(struct book *book, const Poc__GetHead *get, struct book_answer *out);
void book_lookup(struct book *book, const Poc__Lookup *lookup, struct book_answer *out); /* all sections to everybody */
void book_envelopes(struct book *book, const Poc__GetEnvelopes *get, struct book_answer *out);

/* One page with everything. */
struct book_page {
	Poc__ChangesAnswer answer;
	Poc__Change changes[SCENE_NAMES], *pointers[SCENE_NAMES];
	struct scene_item items[SCENE_NAMES];
};
void book_changes(struct book *book, const Poc__Changes *changes, struct book_page *out);

Poc__Item *book_answer_item(struct book_answer *answer, const char *name); /* NULL: not in it */

#endif
