/* readings: which states have read the records of which, by day: what a state may know of who reads its entry.  Whoever
 * answers counts in memory; the writer stores it every few seconds, so that a lookup waits for no disk.  What was
 * counted since is lost in a crash.  It is what this server saw, and proves nothing: copies and mirrors are read
 * unseen. */
#ifndef POCD_DIRECTORY_READINGS_H
#define POCD_DIRECTORY_READINGS_H

#include "pocd/store/store.h"
#include "proto/rules/names.h"

enum {
	READINGS_DAYS = 400,       /* how long they are kept */
	READINGS_STORE_MS = 10000, /* how often they are stored */
	READING_STATE = STATE_MAX_LENGTH + 1
};

struct readings;

struct readings *readings_create(void);           /* NULL when out of memory */
void readings_destroy(struct readings *readings); /* NULL allowed; what is not stored is gone */

enum reading_way {
	READING_LOOKUP, /* a lookup's answer */
	READING_COPY    /* a part of a copy: a client's, a mirror's or an auditor's */
};

/* Any thread: a record of the state `of` was given to a user of the state `by`.  There is a row in memory for each pair
 * of states since the last readings_store.  Where there is no memory for it nothing is counted. */
void readings_note(struct readings *readings, const char *of, const char *by, enum reading_way way, uint64_t now_ms);

/* The committing thread, with no view open: makes durable what was counted, and deletes rows that are older than
 * READINGS_DAYS.  0 or a status; what is not stored then stays for the next time. */
int readings_store(struct readings *readings, struct store *store, uint64_t now_ms);

/* A row: what users of one state have read of another's records on a day. */
struct readings_row {
	uint32_t day; /* since 1970-01-01 UTC */
	char of[READING_STATE], by[READING_STATE];
	uint64_t lookups, copied; /* answers; records, in any version, that went into copies */
	uint64_t last_ms;         /* of the newest of either */
};

/* Calls each for what is stored of a state's readers: ascending by day and reading state, above (day, after), up to the
 * day of now_ms.  each: non-zero stops the walk, and is returned.  0, STATUS_DAMAGED or STATUS_IO. */
int readings_walk(struct store_view *view, const char *of, uint32_t day, const char *after, uint64_t now_ms,
		  int (*each)(void *ctx, const struct readings_row *reading), void *ctx);

/* The first day of which anything is kept, of any state; 0: nothing is. */
int readings_first_day(struct store_view *view, uint32_t *out);

/* Whether every row has the form of one.  0 or STATUS_DAMAGED with *why. */
int readings_check(struct store *store, struct refusal *why);

uint32_t readings_day(uint64_t now_ms);

#endif
