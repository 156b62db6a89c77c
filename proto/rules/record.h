/* record: rules of R/<state> and R/<state>/<unit>, and of their freshness. */
#ifndef PROTO_RULES_RECORD_H
#define PROTO_RULES_RECORD_H

#include "proto/rules/names.h"
#include "proto/rules/payload.pb-c.h"
#include "proto/wire/status.h"

enum {
	RECORD_POCS_MAX = 16,
	RECORD_SECTIONS_MAX = 16, /* per POC */
	RECORD_LIFE_MAX = 400 * 86400,
	RECORD_DUE = 90 * 86400, /* after this age a confirmation is due */
	RECORD_STALE = 120 * 86400
};

int record_check(const Poc__Record *record, struct refusal *why);

enum freshness { FRESH, FRESH_DUE, FRESH_STALE };

/* Freshness at a time (seconds): stale after RECORD_STALE or past expires; due after RECORD_DUE. */
enum freshness record_freshness(const Poc__Record *record, int64_t now);
const char *freshness_name(enum freshness freshness); /* "fresh", "due", "stale" */

#endif
