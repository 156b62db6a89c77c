/* checkpoint: the text of a signed tree head, C2SP tlog-checkpoint with exactly three lines (origin, size, root), and
 * the 82-byte log leaf (protocol.md sections 10 and 12). */
#ifndef PROTO_PROOF_CHECKPOINT_H
#define PROTO_PROOF_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "proto/proof/hash.h"
#include "proto/proof/note.h"

struct checkpoint {
	char origin[NOTE_NAME_MAX + 1];
	uint64_t size;
	struct hash root;
};

/* Reads the three lines of a note's text.  0 or STATUS_MALFORMED with *why. */
int checkpoint_parse(const char *text, size_t size, struct checkpoint *out, struct refusal *why);

/* Writes the three lines.  Returns the length, or -1 when out is too small. */
long checkpoint_format(const struct checkpoint *checkpoint, char *out, size_t out_size);

enum { LEAF_SIZE = 82 };

enum leaf_kind { LEAF_PUT = 1, LEAF_STATE = 2, LEAF_ANCHOR = 3 };

struct leaf {
	enum leaf_kind kind;
	struct hash key;   /* PUT: hash_name(name); else zero */
	uint64_t seq;      /* PUT: the payload's seq; STATE: publication number from 1; ANCHOR: 0 */
	struct hash value; /* PUT: SHA-256(envelope); STATE: map root; ANCHOR: M of the batch */
	uint64_t time_ms;
};

void leaf_write(const struct leaf *leaf, uint8_t out[LEAF_SIZE]);

/* 0, or -1 if the bytes are no leaf (version, kind, zero rules). */
int leaf_read(const uint8_t bytes[LEAF_SIZE], struct leaf *out);

#endif
