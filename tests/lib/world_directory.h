/* world_directory: the directory of a world, as tests begin with it.  Aborts on failure, as the world's makers do. */
#ifndef TESTS_LIB_WORLD_DIRECTORY_H
#define TESTS_LIB_WORLD_DIRECTORY_H

#include "pocd/directory/directory.h"
#include "tests/lib/world.h"

/* The time in all directories of a program, and what tells them so. */
extern uint64_t world_clock_ms;
uint64_t world_read_clock(void *ctx); /* ctx: not used */

/* Of a directory in a store, which publishes a second after the last time, signed by the world's log key, by the clock
 * above.  Points into the world. */
struct directory_options world_directory_options(const struct world *world, struct store *store);

struct change_write world_write(const struct world_item *item); /* without sections; points into the item */

/* Puts the world's T, S, K/@directory and U/@directory into a store that is empty. */
void world_directory_create(const struct world *world, const struct directory_options *options);

struct directory *world_directory_open(const struct directory_options *options);

#endif
