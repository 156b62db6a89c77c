/* alert: from a notice being sent until a watcher of its desk is told, one after the other. */
#ifndef TESTS_BENCH_ALERT_H
#define TESTS_BENCH_ALERT_H

#include "tests/bench/latency.h"
#include "tests/bench/link.h"

/* Posts the frames one by one and waits for each one's Event at a watcher of the technical desk of watchers' first
 * user, who is the recipient of all of them.  Returns how many; ends the program on any error. */
size_t alert_measure(const struct link_target *posters, const struct link_target *watchers, const uint8_t *frames,
		     size_t size, struct latency *latency);

#endif
