/* latency: samples of time taken, and their percentiles. */
#ifndef TESTS_BENCH_LATENCY_H
#define TESTS_BENCH_LATENCY_H

#include <stddef.h>
#include <stdint.h>

struct latency {
	uint64_t *ns;
	size_t n, capacity;
};

uint64_t latency_now(void); /* monotonic, ns */
void latency_add(struct latency *latency, uint64_t ns);
/* Sorts the samples; percentile 50 is the median.  0 without samples. */
void latency_sort(struct latency *latency);
uint64_t latency_percentile(const struct latency *latency, double percentile);
void latency_finish(struct latency *latency);

#endif
