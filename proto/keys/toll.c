#include "proto/keys/toll.h"

#include <stddef.h>
#include <time.h>

uint64_t toll_clock(void)
{
	struct timespec now;

	/* of this clock it cannot fail */
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t toll_begin(const struct toll *toll)
{
	return toll != NULL ? toll_clock() : 0;
}

void toll_end(struct toll *toll, uint64_t begun)
{
	if (toll == NULL)
		return;
	toll->signatures++;
	toll->cpu_ns += toll_clock() - begun;
}
