/* letters: notices of one sender for the bench, sealed and signed as a client would; and Post frames of them. */
#ifndef TESTS_BENCH_LETTERS_H
#define TESTS_BENCH_LETTERS_H

#include <stdio.h>

#include "tests/lib/world.h"

/* Makes n notices from the operator of one state, in turn to the technical desks of n_to states, and calls each with
 * header and body, which live for the call.  Each has an id, a thread and a signature of its own; those to one desk
 * share their body, which a server cannot see.  Ends at the first non-zero of each, which it returns with *why. */
typedef int (*letters_each_fn)(void *ctx, const uint8_t *envelope, size_t size, const uint8_t *body, size_t body_size,
			       struct refusal *why);
int letters_make(struct world *world, struct world_state *from, struct world_state *to, size_t n_to, size_t n,
		 letters_each_fn each, void *ctx, struct refusal *why);

/* Appends them to a file as ready frames.  0, or a status with the reason in *why. */
int letters_write(FILE *file, struct world *world, struct world_state *from, struct world_state *to, size_t n_to,
		  size_t n, struct refusal *why);

#endif
