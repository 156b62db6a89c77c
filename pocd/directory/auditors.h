/* auditors: what is known of those who follow this log, since the start: a log's key must sign nothing that contradicts
 * what they have seen, as it would after the restore of an old copy.  Any thread. */
#ifndef POCD_DIRECTORY_AUDITORS_H
#define POCD_DIRECTORY_AUDITORS_H

#include "pocd/ledger/ledger.h"
#include "proto/rules/trust.h"

struct auditors;

struct auditors *auditors_create(void);           /* NULL when out of memory */
void auditors_destroy(struct auditors *auditors); /* NULL allowed */

/* An auditor's log is a prefix of ours. */
void auditors_heard(struct auditors *auditors, const char *name);

/* A follower of that state has a key to sign with, which T lists or not yet. */
void auditors_ready(struct auditors *auditors, const char *state, const uint8_t *spki, size_t size);

/* How many of the auditors that a T lists have been ready since the start. */
size_t auditors_count_ready(struct auditors *auditors, const Poc__Trust *trust);

/* Somebody has shown a checkpoint that our log key signed and that our log does not lead to.  Logged once for each
 * size. */
void auditors_passed(struct auditors *auditors, uint64_t size, const char *by);

/* Whether the log's key may sign the next checkpoint: nobody has passed us and, where the tip's T asks for a quorum of
 * auditors, as many have been heard since the start.  0, STATUS_BUSY (not heard yet), STATUS_CONFLICT (passed). */
int auditors_allow(struct auditors *auditors, const struct snapshot *tip, struct refusal *why);

size_t auditors_count(struct auditors *auditors);         /* heard */
uint64_t auditors_passed_size(struct auditors *auditors); /* 0: nobody has passed us */

#endif
