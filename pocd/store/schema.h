/* schema: how keys and values of the tables are laid out (docs/storage.md shows them all). */
#ifndef POCD_STORE_SCHEMA_H
#define POCD_STORE_SCHEMA_H

#include <stddef.h>
#include <stdint.h>

#include "pocd/store/store.h"

/* Version 1 had no TABLE_READING: a store of it gets one when it is opened for writing. */
enum { SCHEMA_VERSION = 2 };

/* Names in TABLE_META. */
#define META_SCHEMA "schema"     /* u64: SCHEMA_VERSION */
#define META_COUNTS "counts"     /* u64 per table: how many keys it has; kept by the backend */
#define META_LOG "log"           /* u64 leaves committed, u64 publications, 32 bytes log root */
#define META_FOLLOWED "followed" /* u64: leaves taken over from another's log, without events */
#define META_SERVED "served"     /* u64: number of the publication that was served when a later one was stored */

void schema_put_u16(uint8_t out[2], unsigned value);
unsigned schema_get_u16(const uint8_t in[2]);
void schema_put_u32(uint8_t out[4], uint32_t value);
uint32_t schema_get_u32(const uint8_t in[4]);
void schema_put_u64(uint8_t out[8], uint64_t value); /* big endian, so that keys sort by number */
uint64_t schema_get_u64(const uint8_t in[8]);

enum {
	SCHEMA_HISTORY_KEY_MAX = 64 + 1 + 8,
	SCHEMA_TILE_KEY = 9,
	SCHEMA_EVENT_KEY = 8 + 4,
	SCHEMA_EVIDENCE_KEY_MAX = 8 + 64
};

/* name 00 seq.  Returns the key's size. */
size_t schema_history_key(uint8_t out[SCHEMA_HISTORY_KEY_MAX], const char *name, uint64_t seq);

void schema_tile_key(uint8_t out[SCHEMA_TILE_KEY], unsigned level, uint64_t index);

/* TABLE_EVENT: events stand beside their batch, not under a hash: a commit then touches one edge of the table, whatever
 * it holds.  Value: u8 length of the signer's name, name, u16be number of siblings, siblings, item. */
void schema_event_key(uint8_t out[SCHEMA_EVENT_KEY], uint64_t leaf, uint32_t place);

/* TABLE_EVIDENCE: publication, name.  Returns the key's size.  Value: for each of K/<state>, S, T and the U, in this
 * order: u16be number of siblings, siblings, map value. */
size_t schema_evidence_key(uint8_t out[SCHEMA_EVIDENCE_KEY_MAX], uint64_t publication, const char *name);

/* ---- Notices (written and read in pocd/directory/rows.h)
 *
 * A notice has a number, in the order of arrival from 1; TABLE_META "notices" (u64) is that of the newest.
 * What belongs to new notices thus stands together at the edge of each table, and a commit of many touches
 * few pages beside the one of each id.
 *
 * TABLE_NOTICE_ID  id (16) -> u64 number
 * TABLE_NOTICE     u64 number -> id (16), SHA-256 of the header envelope (32), u32 size of the body (0: past its
 *                  retention, erased), u64 stored_ms, u32 number of steps, u8 number of desks, u16 for each desk:
 *                  bits 1 << Step of what it has done.  Desks: the sender's, the recipients in the core's order,
 *                  the escalations.
 * TABLE_BODY       u64 number -> the CMS bytes
 * TABLE_STEP       u64 number, u32 step -> u8 Step (0: the notice itself, step 0), u8 1 of a fact and 2 of what a
 *                  program said, u8 PocKind, u8 length of the place, place, SHA-256 of the envelope (32; of a fact
 *                  zeros), id of the answer (16, or zeros), u64 stored_ms; then where the item stands: u64 index of
 *                  the ANCHOR leaf, u32 place in its batch; or, of taken and released, which are not anchored, the
 *                  envelope itself.
 * TABLE_FEED       place, 00, u8 PocKind, u64 cursor -> notice id (16), u64 number, u32 step
 * TABLE_DESK       place, 00, u8 PocKind -> u64 newest cursor
 * TABLE_TIMER      u64 due, ms; u64 number; u8 what (0 to 3: that escalation, 255: the body's retention ends)
 *                  -> empty.  Deleted in the commit that does it.
 * TABLE_BACKLOG    sending state, 00, receiving state -> u64 notices, u64 bytes of bodies that no desk there has
 *                  fetched; no row: none */

/* ---- Readers (written and read in pocd/directory/readings.h)
 *
 * TABLE_READING    u32 day since 1970-01-01 UTC, state, 00, reading state -> u64 lookups, u64 records given for copies,
 *                  u64 ms of the last time */

#endif
