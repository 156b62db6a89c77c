#include "pocd/base/metrics.h"

#include <stdatomic.h>

static atomic_int_fast64_t values[METRIC_COUNT];

static const char *const names[] = {
#define METRIC_NAME(sym, name) name,
    METRICS(METRIC_NAME)
#undef METRIC_NAME
};

void metric_add(enum metric metric, int64_t n)
{
	atomic_fetch_add_explicit(&values[metric], n, memory_order_relaxed);
}

uint64_t metric_get(enum metric metric)
{
	int64_t value = atomic_load_explicit(&values[metric], memory_order_relaxed);

	return value > 0 ? (uint64_t)value : 0;
}

const char *metric_name(enum metric metric)
{
	return names[metric];
}
