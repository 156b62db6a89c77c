/* hash: SHA-256 with a reused context (one-shot SHA256() is three times slower), and the domain-separated hashes of
 * protocol.md.  Thread-safe: each thread has a context of its own. */
#ifndef PROTO_PROOF_HASH_H
#define PROTO_PROOF_HASH_H

#include <stddef.h>
#include <stdint.h>

enum { HASH_SIZE = 32 };

struct hash {
	uint8_t bytes[HASH_SIZE];
};

extern const struct hash hash_zero;

struct hash_part {
	const void *bytes;
	size_t size;
};

/* SHA-256 of bytes.  Cannot fail: aborts the process if OpenSSL cannot give SHA-256 at all. */
struct hash hash_of(const void *bytes, size_t size);

/* SHA-256 over the concatenation of n parts. */
struct hash hash_parts(const struct hash_part *parts, size_t n);

/* Key of a name in map and leaves: SHA-256("pocd-name-v1\n" || name). */
struct hash hash_name(const char *name);

/* Digest of section bytes: SHA-256("pocd-section-v1\n" || bytes). */
struct hash hash_section(const void *bytes, size_t size);

/* Key and value of a batch event: SHA-256("pocd-event-v1\n" || item). */
struct hash hash_event(const void *bytes, size_t size);

int hash_compare(const struct hash *a, const struct hash *b); /* as memcmp */

/* 64 lower-case hexadecimal digits and NUL; and back (exactly 64 digits of either case; 0 or -1). */
void hash_to_hex(const struct hash *hash, char out[2 * HASH_SIZE + 1]);
int hash_from_hex(const char *text, struct hash *out);

/* Frees the calling thread's context now; without it, that happens when the thread ends.  For the main thread, which
 * does not end before the process, under leak checkers. */
void hash_thread_finish(void);

#endif
