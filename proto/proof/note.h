/* note: signed notes (C2SP signed-note): text, blank line, signature lines "— name base64(keyid4 || signature)". */
#ifndef PROTO_PROOF_NOTE_H
#define PROTO_PROOF_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire/status.h"

enum {
	NOTE_MAX = 8 * 1024, /* bytes of a whole note */
	NOTE_LINES_MAX = 32, /* signature lines */
	NOTE_NAME_MAX = 128,
	NOTE_SIGNATURE_MAX = 128
};

enum note_algorithm {
	NOTE_ED25519 = 0x01,    /* signature over the text */
	NOTE_COSIGNATURE = 0x04 /* C2SP tlog-cosignature v1: u64 time || Ed25519 */
};

struct note_line {
	const char *name; /* within the note's bytes, not terminated */
	size_t name_length;
	uint8_t key_hash[4];
	uint8_t signature[NOTE_SIGNATURE_MAX];
	size_t signature_size;
};

struct note {
	const char *text; /* the signed text with its last newline, within the note's bytes */
	size_t text_size;
	size_t n_lines;
	struct note_line lines[NOTE_LINES_MAX];
};

/* A verifier key: name, algorithm and public key; hash = SHA-256(name || 0A || algorithm || key)[:4]. */
struct note_key {
	char name[NOTE_NAME_MAX + 1];
	uint8_t algorithm;
	uint8_t key[32];
	uint8_t hash[4];
};

/* Fills *out from a name (no space, no plus, UTF-8, 1 to NOTE_NAME_MAX bytes) and a raw Ed25519 key.  0 or -1. */
int note_key_init(struct note_key *out, const char *name, enum note_algorithm algorithm, const uint8_t key[32]);

/* Reads a vkey "name+hash+base64(algorithm || key)".  0 or STATUS_INVALID. */
int note_key_parse(const char *vkey, struct note_key *out);

/* Parses strictly.  *out points into bytes.  0 or STATUS_MALFORMED with *why. */
int note_parse(const char *bytes, size_t size, struct note *out, struct refusal *why);

enum note_result { NOTE_ABSENT, NOTE_GOOD, NOTE_BAD };

/* Whether a key has a line in a note, good or not: what costs little is asked first. */
bool note_has_line(const struct note *note, const struct note_key *key);

/* Looks for a line by key (name and key hash) and checks it.  NOTE_BAD: at least one line by this key does not verify.
 * For cosignatures *time (NULL allowed) is the newest valid line's time, seconds. */
enum note_result note_verify(const struct note *note, const struct note_key *key, uint64_t *time);

/* The bytes that a cosignature signs: "cosignature/v1\ntime <seconds>\n" || text.  Returns the length, or -1 when out
 * is too small. */
long note_cosignature_message(uint64_t time, const char *text, size_t text_size, char *out, size_t out_size);

/* Appends a signature line for key to text of *size bytes in note (room: capacity).  0 or -1 when it does not fit. */
int note_append_line(char *note, size_t *size, size_t capacity, const struct note_key *key, const uint8_t *signature,
		     size_t signature_size);

#endif
