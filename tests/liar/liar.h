/* liar: a directory that lies, for tests of unmodified clients.  It keeps two books: the truth, and one that the attack
 * of this run has made of it.  Told to lie it answers from the other book, and bends answers, as the attack wants.
 *
 * The truth: T(1); T(2) with three auditors of which two must sign; the states XA (the client's), XB, XC (suspended in
 * the newest S).  K/XB(2) has dropped the coordinator key of K/XB(1); R/XB is at version 3.  XD is not there. */
#ifndef TESTS_LIAR_LIAR_H
#define TESTS_LIAR_LIAR_H

#include <stdatomic.h>

#include "tests/liar/letter.h"

enum { LIAR_AUDITORS = 3, LIAR_SPARES = 12 };

struct liar {
	struct world *world;
	struct book truth, lie;
	struct book older; /* the truth as it was before the last publication */
	struct book after; /* the truth again, after the lie: a log that holds the lie can only go on from it */
	struct letter letter,
	    false_letter;      /* a notice in the truth: stored, acknowledged; and what the lie makes of it */
	struct letter foreign; /* one of another directory, anchored in the lie; nothing said: none */
	atomic_bool lying, has_lied;
	const struct attack *attack;
	struct keystore_key *auditors[LIAR_AUDITORS];
	struct keystore_key *dropped;             /* was XB's coordinator key until K/XB(2) */
	struct keystore_key *stranger;            /* listed nowhere */
	struct keystore_key *spares[LIAR_SPARES]; /* keys that were replaced: closed at the end */
	size_t n_spares;
	struct world *elsewhere; /* another directory, NULL: none */
	int64_t now;             /* seconds, the real clock */
};

extern const char *const liar_auditor_names[LIAR_AUDITORS];

struct liar *liar_create(const struct attack *attack); /* makes the truth; the attack then makes its book */
void liar_destroy(struct liar *liar);

/* Makes liar->after, if it is not there yet. */
void liar_repent(struct liar *liar);

struct world_trust liar_usual_trust(const struct liar *liar); /* with the three auditors */

struct keystore_key *liar_spare(struct liar *liar, struct keystore_key *key); /* remembers it for the end */

/* Puts the current versions of the world into a book. */
void liar_put_record(struct book *book, const struct world_state *state);
void liar_cosign(const struct liar *liar, struct book *book, unsigned first, unsigned n, int64_t time);

/* ---- One attack */
struct attack {
	const char *name;
	const char *what, *who, *when; /* columns of docs/keys.md */
	int exit;                      /* of poc */
	/* Makes liar->lie, a fork of the truth, into what the attack wants; it is then published.  NULL allowed. */
	void (*tell)(struct liar *liar);
	/* Bends an answer that was made from liar->lie.  NULL allowed. */
	void (*bend)(struct liar *liar, const Poc__Request *request, struct book_answer *answer);
	/* Makes the bytes that go out in place of an answer; false: the answer goes out.  NULL allowed. */
	bool (*raw)(struct liar *liar, const Poc__Request *request, uint8_t **bytes, size_t *size);
	/* Bends the story of the letter.  NULL allowed. */
	void (*bend_story)(struct liar *liar, struct letter_story *story);
	bool kept;      /* clients keep the lie's checkpoint, which is good by itself: the log goes on from it */
	bool other_key; /* the lie is told under another TLS key */
};

extern const struct attack attacks[];
extern const size_t n_attacks;
const struct attack *attack_find(const char *name); /* NULL: there is none */

#endif
