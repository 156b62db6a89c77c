#include "tests/lib/world_directory.h"

#include <stdio.h>
#include <stdlib.h>

uint64_t world_clock_ms;

static void must(int status, const struct refusal *why)
{
	if (status == 0)
		return;
	fprintf(stderr, "world_directory: %s: %s\n", why->field, why->message);
	abort();
}

uint64_t world_read_clock(void *ctx)
{
	(void)ctx;
	return world_clock_ms;
}

struct directory_options world_directory_options(const struct world *world, struct store *store)
{
	return (struct directory_options){.store = store,
					  .log_keys = &world->log,
					  .n_log_keys = 1,
					  .interval_ms = 1000,
					  .heartbeat_ms = 600000,
					  .now_ms = world_read_clock};
}

struct change_write world_write(const struct world_item *item)
{
	return (struct change_write){.envelope = item->bytes, .envelope_size = item->size};
}

void world_directory_create(const struct world *world, const struct directory_options *options)
{
	const struct world_state *staff = &world->states[0];
	struct change_write first[] = {world_write(&world->trust), world_write(&world->reg), world_write(&staff->keys),
				       world_write(&staff->users)};
	struct refusal why = {0};

	must(directory_create(options, first, 4, &why), &why);
}

struct directory *world_directory_open(const struct directory_options *options)
{
	struct directory *directory;
	struct refusal why = {0};

	must(directory_open(options, &directory, &why), &why);
	return directory;
}
