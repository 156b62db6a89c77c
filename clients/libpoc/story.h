/* story: pure verification of a NoticeStory (notice.proto): a notice and what its parties and the directory said of it,
 * each step proven as docs/protocol.md says: the item under an ANCHOR leaf, its signer, role, U, K, S and T in the map
 * root of the first STATE leaf after it, these leaves in the log of a verified checkpoint.  No network, no files, no
 * clock.
 *
 * STATUS_UNVERIFIED is the answer to everything that does not verify; the refusal names the step. */
#ifndef CLIENTS_LIBPOC_STORY_H
#define CLIENTS_LIBPOC_STORY_H

#include "clients/libpoc/verify_head.h"
#include "proto/rules/receipt.h"

enum { STORY_MAX = 8 * 1024 * 1024, STORY_STEPS_MAX = 4096 };

struct story_step {
	/* one of the three: */
	bool is_notice;          /* the story's notice itself */
	struct receipt *receipt; /* owned */
	Poc__Fact *fact;         /* owned */
	Poc__Step step;          /* of receipt or fact */
	const char *place;       /* who speaks, or whom a fact concerns; "" with stored */
	Poc__PocKind kind;
	const char *handle; /* of the signer; "" of a fact */
	int64_t time;       /* seconds: by the signer's clock, or the directory's */
	/* what verification found */
	bool proven;        /* false: not yet anchored, so nothing is proven */
	bool automatic;     /* signed by a program, not by a person */
	int64_t anchored;   /* seconds: time of the ANCHOR leaf */
	int64_t published;  /* seconds: time of the STATE leaf by which the signer was judged; 0: a fact's */
	struct hash signer; /* key id */
};

enum story_need { NEED_PRIVATE = 1, NEED_PUBLIC = 2, NEED_NOTICE = 4 };

struct story {
	Poc__NoticeStory *message; /* owned */
	struct notice *notice;     /* owned */
	size_t n, unproven;
	struct story_step *steps; /* owned; the notice first */
	uint8_t *used;            /* owned: which envelopes steps need: enum story_need */
};

void story_destroy(struct story *story); /* NULL allowed */

/* Whether bytes are a story and not a Proof: decides by the form of both, of which no bytes can have two. */
bool story_recognised(const uint8_t *bytes, size_t size);

/* Decodes strictly and checks the form; *out: message_free. */
int story_decode(const uint8_t *bytes, size_t size, Poc__NoticeStory **out, struct refusal *why);

/* Verifies an answer's story under a head.  Takes message over in any case.  0 and *out (story_destroy). */
int story_verify(const struct verified_head *head, Poc__NoticeStory *message, struct story **out, struct refusal *why);

/* Verifies a saved story from the pins alone, and that nothing in it is unauthenticated: every step is proven.  0,
 * *head and *out. */
int story_verify_saved(const struct verify_pins *pins, const uint8_t *bytes, size_t size, struct verified_head **head,
		       struct story **out, struct refusal *why);

/* Whether a step's answer_by counts no more: a later proven step of the same desk gives another. */
bool story_replaced(const struct story *story, size_t step);

/* What a saved story holds beside the steps. */
struct story_with {
	const uint8_t *body; /* the CMS bytes, or the Inner's; NULL: none */
	size_t size;
	uint32_t padding; /* zero bytes of the Inner's padding that body lacks, with its tag and length; 0: none is left
			     out */
	bool alone;       /* only the notice, of the steps */
};

/* Bytes of a saved story: the proven steps that may leave the desk, under the head they were verified by.  0 and *bytes
 * (malloc); *left_out: how many public steps are not in it. */
int story_encode(const struct verified_head *head, const struct story *story, const struct story_with *with,
		 uint8_t **bytes, size_t *size, size_t *left_out, struct refusal *why);

#endif
