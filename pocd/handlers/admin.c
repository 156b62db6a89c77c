/* Counters for directory's staff. */
#include <stdlib.h>
#include <string.h>

#include "pocd/base/metrics.h"
#include "pocd/handlers/dispatch.h"

enum { COUNTERS_MAX = 64 };

struct counters {
	size_t n;
	Poc__Counter items[COUNTERS_MAX], *pointers[COUNTERS_MAX];
};

static void add(void *ctx, const char *name, uint64_t value)
{
	struct counters *counters = ctx;

	if (counters->n == COUNTERS_MAX)
		return;
	Poc__Counter *counter = &counters->items[counters->n];
	poc__counter__init(counter);
	counter->name = (char *)name;
	counter->value = value;
	counters->pointers[counters->n++] = counter;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(Poc__Counter *const *)a)->name, (*(Poc__Counter *const *)b)->name);
}

int handle_get_stats(struct session *session, uint32_t id, struct refusal *why)
{
	struct counters counters = {.n = 0};
	Poc__StatsAnswer answer = POC__STATS_ANSWER__INIT;

	(void)why;
	for (enum metric m = 0; m < METRIC_COUNT; m++)
		add(&counters, metric_name(m), metric_get(m));
	directory_stats(session->directory, add, &counters);
	qsort(counters.pointers, counters.n, sizeof counters.pointers[0], by_name);
	answer.counters = counters.pointers;
	answer.n_counters = counters.n;
	dispatch_message(session, id, RESPONSE_STATS, &answer);
	return 0;
}
