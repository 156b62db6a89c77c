/* pins: which user of which state a TLS key is: a hash table from (state, SHA-256 of SPKI) over all valid U. */
#ifndef POCD_DIRECTORY_PINS_H
#define POCD_DIRECTORY_PINS_H

#include <stdatomic.h>

#include "proto/rules/envelope.h"

struct pin {
	struct hash id;
	char state[STATE_MAX_LENGTH + 1];
	bool editor;           /* holds an editor key of the unit */
	const Poc__User *user; /* NULL for a mere editor; borrowed from the U that the table's maker keeps alive */
	const char *unit;      /* of the U that lists it, empty for the state's own; borrowed likewise */
};

/* Immutable once filled; counted references. */
struct pins;

struct pins *pins_create(size_t most); /* room for so many; NULL when out of memory */
struct pins *pins_ref(struct pins *pins);
void pins_unref(struct pins *pins); /* NULL allowed */

/* What the table borrows from is kept by an object that it owns. */
void pins_keep(struct pins *pins, void *owner, void (*release)(void *owner));

/* Adds all users and editors of a U.  The first entry of a pair (state, key) stays. */
void pins_add(struct pins *pins, const struct envelope *users);
size_t pins_count(const struct envelope *users); /* how many pins_add may add */

const struct pin *pins_find(const struct pins *pins, const char *state, const struct hash *id); /* NULL: not listed */
size_t pins_size(const struct pins *pins);

#endif
