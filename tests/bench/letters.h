/* letters: ready Post frames for the bench: notices of one sender, sealed and signed as a client would. */
#ifndef TESTS_BENCH_LETTERS_H
#define TESTS_BENCH_LETTERS_H

#include <stdio.h>

#include "tests/lib/world.h"

/* Appends n frames to a file: notices from the operator of one state, in turn to the technical desks of n_to states.
 * Each has an id, a thread and a signature of its own; those to one desk share their body, which a server cannot see.
 * 0, or -1 with the reason in *why. */
int letters_write(FILE *file, struct world *world, struct world_state *from, struct world_state *to, size_t n_to,
		  size_t n, struct refusal *why);

#endif
