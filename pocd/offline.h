/* offline: what can be done with a directory's folder while no daemon holds it: the full check. */
#ifndef POCD_OFFLINE_H
#define POCD_OFFLINE_H

#include "pocd/directory/history.h"
#include "pocd/directory/notices_check.h"
#include "pocd/ledger/ledger.h"

struct offline_report {
	uint64_t values; /* whose checksum was read */
	struct ledger_report ledger;
	struct history_report history;
	struct notices_report notices;
	uint64_t size;    /* of the last checkpoint; 0: none */
	uint64_t time_ms; /* of its STATE leaf */
	bool unpublished; /* leaves stand behind the last checkpoint: the next start publishes them */
};

/* Checks a folder from the first byte up, reading only: checksums, tiles, log roots, map roots, histories, digests,
 * checkpoints' signatures, every version by the rules that held for it, and that notices, steps, bodies and feeds are
 * all there.  STATUS_BUSY when a daemon holds the
 * folder; STATUS_NOT_FOUND when there is no directory in it; STATUS_DAMAGED or STATUS_UNVERIFIED with *why naming the
 * first thing that is wrong. */
int offline_check(const char *path, struct offline_report *report, struct refusal *why);

/* The same for a data file by itself, as store_lmdb_copy writes it. */
int offline_check_file(const char *path, struct offline_report *report, struct refusal *why);

/* The same for a store that is open. */
int offline_check_store(struct store *store, struct offline_report *report, struct refusal *why);

#endif
