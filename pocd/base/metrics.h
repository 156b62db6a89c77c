/* metrics: named counters and gauges, one array for the process, updated without locks. */
#ifndef POCD_BASE_METRICS_H
#define POCD_BASE_METRICS_H

#include <stdint.h>

#define METRICS(X)                                                                                                     \
	X(CONNECTIONS, "connections")                                                                                  \
	X(CONNECTIONS_ACCEPTED, "connections_accepted")                                                                \
	X(CONNECTIONS_REFUSED, "connections_refused")                                                                  \
	X(HANDSHAKES_FAILED, "handshakes_failed")                                                                      \
	X(DEADLINES, "deadlines_missed")                                                                               \
	X(REQUESTS, "requests")                                                                                        \
	X(REQUESTS_REFUSED, "requests_refused")                                                                        \
	X(MALFORMED, "frames_malformed")                                                                               \
	X(SESSIONS_ENDED, "sessions_ended_by_policy")                                                                  \
	X(WRITES_STORED, "writes_stored")                                                                              \
	X(WRITES_REFUSED, "writes_refused")                                                                            \
	X(COMMITS, "commits")                                                                                          \
	X(PUBLICATIONS, "publications")                                                                                \
	X(NOTICES_STORED, "notices_stored")                                                                            \
	X(NOTICES_DELIVERED, "notices_delivered")                                                                      \
	X(NOTICES_ESCALATED, "notices_escalated")                                                                      \
	X(RECEIPTS_STORED, "receipts_stored")                                                                          \
	X(POSTS_REFUSED, "posts_refused")                                                                              \
	X(POSTS_OVER_QUOTA, "posts_over_quota")                                                                        \
	X(WATCHERS, "watchers")                                                                                        \
	X(EVENTS_SENT, "events_sent")                                                                                  \
	X(COSIGNATURES, "cosignatures_given")                                                                          \
	X(FOLLOW_REFUSED, "follow_refused")

enum metric {
#define METRIC_ENUM(sym, name) METRIC_##sym,
	METRICS(METRIC_ENUM)
#undef METRIC_ENUM
	    METRIC_COUNT
};

void metric_add(enum metric metric, int64_t n);
uint64_t metric_get(enum metric metric);
const char *metric_name(enum metric metric);

#endif
