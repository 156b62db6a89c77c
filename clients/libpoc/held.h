/* held: what a client keeps of a directory between runs (protocol.md section 15): the head it has verified, T, S, each
 * K it has seen, and earlier heads.  One file with a checksum, replaced atomically; losing it is an error, never a
 * first contact.
 *
 * The folder (mode 0700) holds: "lock" (flock; not empty once there has been held state), "held", and what other
 * modules keep there. */
#ifndef CLIENTS_LIBPOC_HELD_H
#define CLIENTS_LIBPOC_HELD_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/rules/envelope.h"

enum {
	HELD_HEADS_MAX = 64, /* earlier heads remembered */
	HELD_TRUST_MAX = 8192,
	HELD_FILE_MAX = 32 * 1024 * 1024, /* bytes of all */
	HELD_KEYS_MAX = 1024
};

struct held_head {
	uint64_t size;
	struct hash root;
};

struct held_key {
	char state[STATE_MAX_LENGTH + 1];
	uint64_t seq;
	struct hash value;
};

struct held {
	bool empty; /* first contact: nothing below is set */
	uint64_t size;
	struct hash root;
	int64_t time_ms; /* t of the head; only checks the local clock */
	size_t n_trust;
	struct envelope **trust; /* owned: T(1) to the current */
	struct envelope *reg;    /* owned */
	size_t n_heads;
	struct held_head heads[HELD_HEADS_MAX]; /* earlier verified ones, ascending by size, without the current */
	size_t n_keys;
	struct held_key *keys; /* owned, ascending by state: the newest K seen */
	struct hash version;   /* of the file that this was read from; zero: none */
};
void held_finish(struct held *held); /* zeroed memory allowed */

/* Makes path ready: <state_dir>/<first 16 digits of the directory id>, made 0700 with its parents where missing.  A
 * folder that others may write to is refused (STATUS_DENIED).  0, STATUS_IO.  *path is malloc'ed. */
int held_prepare(const char *state_dir, const struct hash *directory, char **path, struct refusal *why);

/* Reads what is held.  0 (*out: held_finish; out->empty at first contact), STATUS_DAMAGED, STATUS_IO. */
int held_load(const char *path, const struct hash *directory, struct held *out, struct refusal *why);

/* Writes next if the file still is the one that next->version names: lock, compare, write, fsync, rename, fsync folder.
 * STATUS_CONFLICT when another process moved meanwhile: load again, prove against that, try again.  On 0
 * next->version is the new file's. */
int held_store(const char *path, const struct hash *directory, struct held *next, struct refusal *why);

/* Moves to a head: remembers the current one among the earlier.  The caller has proven that it is consistent. */
void held_advance(struct held *held, uint64_t size, const struct hash *root, int64_t time_ms);

/* The remembered root of a size (the current included), or NULL; and the largest remembered head of at most size. */
const struct hash *held_root_of(const struct held *held, uint64_t size);
bool held_largest(const struct held *held, uint64_t size, struct held_head *out);

/* K as seen last, or NULL; and noting a newer one.  STATUS_UNVERIFIED if it went back: a lower seq than was seen, or
 * the same with another value. */
const struct held_key *held_find_key(const struct held *held, const char *state);
int held_note_key(struct held *held, const char *state, uint64_t seq, const struct hash *value, bool *changed,
		  struct refusal *why);

/* ---- Files of the state folder */

/* Writes bytes to folder/name atomically and durably: tmp, fsync, rename, fsync of the folder. */
int held_write_file(const char *folder, const char *name, const void *bytes, size_t size, struct refusal *why);

/* Reads folder/name, at most max bytes; *bytes is malloc'ed.  STATUS_NOT_FOUND, STATUS_IO, STATUS_TOO_LARGE. */
int held_read_file(const char *folder, const char *name, size_t max, uint8_t **bytes, size_t *size,
		   struct refusal *why);

/* Takes the folder's exclusive lock, waiting at most 10 s; -1 with *why.  Released by close(). */
int held_lock(const char *folder, struct refusal *why);

#endif
