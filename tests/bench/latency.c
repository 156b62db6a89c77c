#include "tests/bench/latency.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint64_t latency_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

void latency_add(struct latency *latency, uint64_t ns)
{
	if (latency->n == latency->capacity) {
		size_t capacity = latency->capacity > 0 ? 2 * latency->capacity : 65536;
		uint64_t *grown = realloc(latency->ns, capacity * sizeof *grown);
		if (grown == NULL) {
			fputs("load: out of memory\n", stderr);
			exit(1);
		}
		latency->ns = grown;
		latency->capacity = capacity;
	}
	latency->ns[latency->n++] = ns;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void latency_sort(struct latency *latency)
{
	if (latency->n > 0)
		qsort(latency->ns, latency->n, sizeof *latency->ns, ascending);
}

uint64_t latency_percentile(const struct latency *latency, double percentile)
{
	if (latency->n == 0)
		return 0;
	size_t at = (size_t)((double)latency->n * percentile / 100);
	return latency->ns[at < latency->n ? at : latency->n - 1];
}

void latency_finish(struct latency *latency)
{
	free(latency->ns);
	*latency = (struct latency){0};
}
