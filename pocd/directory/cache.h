/* cache: encoded answers, or the parts of them that come from the store, by the place of a name in a snapshot and a
 * reader class.  Bounded; entries are added until it is full and live as long as the snapshot, so nothing is ever taken
 * out while somebody reads.  Any thread reads and adds.
 *
 * A small directory keeps whole answers, which hold for one snapshot.  A large one keeps bodies (envelope and sections,
 * without proofs): more fit in, and the next snapshot carries over those whose name has not changed. */
#ifndef POCD_DIRECTORY_CACHE_H
#define POCD_DIRECTORY_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cache_class { CACHE_PLAIN, CACHE_OPERATOR, CACHE_CLASSES };

struct cached_bytes {
	const uint8_t *bytes;
	size_t size;
};

struct answer_cache;

/* For so many names and bytes; prev (NULL: none) shares its account of bytes.  NULL when out of memory. */
struct answer_cache *cache_create(size_t n_names, size_t limit, const struct answer_cache *prev);
void cache_destroy(struct answer_cache *cache); /* NULL allowed */

/* Whether this cache keeps whole answers. */
bool cache_keeps_whole(const struct answer_cache *cache);

/* False if there is none. */
bool cache_get(const struct answer_cache *cache, size_t name, enum cache_class class, struct cached_bytes *out);

/* Keeps a copy if there is room. */
void cache_put(struct answer_cache *cache, size_t name, enum cache_class class, const uint8_t *bytes, size_t size);

/* Takes over what prev keeps of a name that stood at prev_name in its snapshot and has not changed.  Both keep bodies.
 * Before the new cache is seen by others. */
void cache_carry(struct answer_cache *cache, size_t name, const struct answer_cache *prev, size_t prev_name);

#endif
