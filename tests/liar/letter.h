/* letter: a notice in a liar's book, from XA's technical desk to XB's: its steps under ANCHOR leaves, each with
 * evidence from the publication after it, as a server gives them to the sender's desk.  Aborts on failure. */
#ifndef TESTS_LIAR_LETTER_H
#define TESTS_LIAR_LETTER_H

#include "proto/rules/receipt.h"
#include "tests/liar/book.h"

enum { LETTER_STEPS = 6, LETTER_MOMENTS = 6 };

struct letter_step {
	uint8_t item[4096];
	size_t size;
	const char *users; /* U/XA: by which it is judged; NULL: a fact */
	size_t anchor;     /* its leaf */
	size_t moment;     /* the publication that it is judged by */
};

/* A publication, and where its STATE leaf stands. */
struct letter_moment {
	struct book book;
	size_t index, previous;
};

struct letter {
	struct notice_id id;
	struct hash hash;
	size_t n;
	struct letter_step steps[LETTER_STEPS];
	size_t n_moments;
	struct letter_moment moments[LETTER_MOMENTS];
	size_t repeated; /* how often the feed has the notice once more */
};

void letter_finish(struct letter *letter); /* zeroed memory allowed */
void letter_fork(const struct letter *from, struct letter *to);

/* Each says one thing, in a batch of its own; letter_publish publishes the book, and what was said is judged by that.
 */
void letter_notice(struct letter *letter, struct book *book);
void letter_stored(struct letter *letter, struct book *book);
void letter_receipt(struct letter *letter, struct book *book, Poc__Step step, int64_t time,
		    const struct keystore_key *signer);
void letter_publish(struct letter *letter, struct book *book);

/* Moves the time of the last step, a receipt, and leaves its signature as it was; before anything else is said. */
void letter_alter_last(struct letter *letter, struct book *book, int64_t time);

/* ---- Answers: Feed of XA's technical desk, and the story with evidence under the book's checkpoint. */
struct letter_feed {
	Poc__FeedAnswer answer;
	Poc__FeedEntry entries[3 * LETTER_STEPS], *pointers[3 * LETTER_STEPS];
};
void letter_feed(const struct letter *letter, const Poc__Feed *feed, struct letter_feed *out);
void letter_feed_more(const struct letter *letter, const Poc__Feed *feed, struct letter_feed *out); /* and this one */

struct letter_logged {
	Poc__LoggedLeaf leaf;
	struct merkle_proof path;
};

struct letter_story {
	Poc__NoticeStory story;
	Poc__StoryStep steps[LETTER_STEPS], *step_pointers[LETTER_STEPS];
	Poc__Evidence evidence[LETTER_STEPS];
	struct letter_logged logged[LETTER_STEPS][3]; /* anchor, previous, state */
	struct scene_item items[LETTER_STEPS][4];
	Poc__Item *item_pointers[LETTER_STEPS][4];
	ProtobufCBinaryData envelopes[64];
	Poc__Checkpoint checkpoint;
};
void letter_story(const struct letter *letter, struct book *book, uint64_t checkpoint_size, struct letter_story *out);

#endif
