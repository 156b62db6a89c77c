/* rows: how notices lie in the store's tables.  A notice has a number in the order of arrival, so that all that belongs
 * to new notices stands together at the edge of each table.  Reading functions: any thread, within a view. */
#ifndef POCD_DIRECTORY_ROWS_H
#define POCD_DIRECTORY_ROWS_H

#include "pocd/directory/desk.h"
#include "pocd/store/schema.h"
#include "proto/rules/receipt.h"

enum {
	ROW_DESKS_MAX = 1 + NOTICE_DESKS_MAX + NOTICE_ESCALATIONS_MAX,
	ROW_KEY_MAX = PLACE_ROOM + 2 + 8,
	ROW_STEPS_MAX = 200,   /* of a notice, facts apart */
	ROW_STEPS_OF_DESK = 8, /* that each desk has even then: none can take the word from the others */
	TIMER_EXPIRY = 255     /* else: the number of the escalation */
};

/* TABLE_META: u64, the number of the newest notice. */
#define META_NOTICES "notices"

/* TABLE_NOTICE: id (16), hash (32), u32 size of the body (0: past its retention), u64 stored_ms, u32 number of steps,
 * u8 number of desks, u16 for each: 1 << Step of what it has done. */
struct row_notice {
	struct notice_id id;
	struct hash hash; /* of the header envelope */
	uint32_t body_size;
	uint64_t stored_ms;
	uint32_t n_steps;
	unsigned n_desks; /* the sender's, the recipients, the escalations, in the core's order */
	uint16_t done[ROW_DESKS_MAX];
};

/* TABLE_STEP: u8 Step (0: the notice itself), u8 1 of a fact and 2 of what a program said, u8 kind, u8 length of the
 * place, place, hash (32), answer (16), u64 stored_ms; then of a private step its envelope, else u64 ANCHOR leaf, u32
 * place in the batch. */
struct row_step {
	Poc__Step step;
	bool fact;
	bool by_program;   /* of a receipt: a service user signed it, no person */
	Poc__PocKind kind; /* with place: the desk that speaks, or of which a fact speaks */
	char place[PLACE_ROOM];
	struct hash hash;        /* of the envelope; of a fact zero */
	struct notice_id answer; /* of answered; of declined the reason in the first byte; else zero */
	uint64_t stored_ms;
	uint64_t leaf;
	uint32_t at;
	const uint8_t *item; /* private steps; else NULL */
	size_t size;
};

/* TABLE_FEED: notice id (16), u64 number, u32 step. */
struct row_feed {
	uint64_t cursor;
	struct notice_id id;
	uint64_t number;
	uint32_t step;
};

enum { ROW_NOTICE_MAX = 16 + 32 + 4 + 8 + 4 + 1 + 2 * ROW_DESKS_MAX, ROW_FEED = 16 + 8 + 4 };
enum { ROW_STEP_HEAD = 4 + PLACE_ROOM + 32 + 16 + 8, ROW_STEP_MAX = ROW_STEP_HEAD + RECEIPT_MAX };

/* Each returns the size written. */
size_t row_notice_write(const struct row_notice *row, uint8_t out[ROW_NOTICE_MAX]);
size_t row_step_write(const struct row_step *row, uint8_t out[ROW_STEP_MAX]);
size_t row_feed_write(const struct row_feed *row, uint8_t out[ROW_FEED]);

/* Keys. */
size_t row_desk_key(uint8_t out[ROW_KEY_MAX], const char *place, Poc__PocKind kind);
size_t row_feed_key(uint8_t out[ROW_KEY_MAX], const char *place, Poc__PocKind kind, uint64_t cursor);
size_t row_step_key(uint8_t out[ROW_KEY_MAX], uint64_t number, uint32_t step);
size_t row_timer_key(uint8_t out[ROW_KEY_MAX], uint64_t at_ms, uint64_t number, unsigned what);
size_t row_backlog_key(uint8_t out[ROW_KEY_MAX], const char *from, const char *to);

/* 0, STATUS_NOT_FOUND or STATUS_DAMAGED. */
int row_find_notice(struct store_view *view, const struct notice_id *id, uint64_t *number);
int row_read_notice(struct store_view *view, uint64_t number, struct row_notice *out);
int row_read_step(struct store_view *view, uint64_t number, uint32_t step, struct row_step *out);
int row_read_feed(const uint8_t *key, size_t key_size, const struct store_value *value, struct row_feed *out);
int row_read_cursor(struct store_view *view, const char *place, Poc__PocKind kind, uint64_t *out); /* none: 0 */
int row_read_backlog(struct store_view *view, const char *from, const char *to, uint64_t *notices, uint64_t *bytes);
int row_read_timer(const uint8_t *key, size_t key_size, uint64_t *at_ms, uint64_t *number, unsigned *what);

/* The item of a step: the header envelope, receipt envelope or fact. */
int row_read_item(struct store_view *view, const struct row_step *row, const uint8_t **item, size_t *size);

/* A stored notice's header, parsed: 0 and *out (notice_destroy). */
int row_read_header(struct store_view *view, uint64_t number, struct notice **out);

/* ---- Desks of a notice, as row_notice.done numbers them */

/* The desk of a number. */
const Poc__Desk *core_desk(const Poc__Core *core, unsigned i);
unsigned core_desks(const Poc__Core *core);

/* The number of a desk (a recipient before the sender), or -1. */
int core_find(const Poc__Core *core, const char *place, Poc__PocKind kind);

/* Whether a desk may know of the notice: not an escalation's before its time. */
bool row_party(const struct row_notice *row, const Poc__Core *core, int desk);

/* Whether a desk of these numbers received it: recipients, and escalations once released. */
bool row_received(const struct row_notice *row, const Poc__Core *core, int desk);

/* ---- Backlogs: what one state has sent to another */

/* The state of a place. */
void row_state(const char *place, char out[STATE_MAX_LENGTH + 1]);

/* Whether recipient i (from 1) is the first of its state, and that is not the sender's: each state counts once. */
bool core_counts(const Poc__Core *core, unsigned i);

/* Whether a notice weighs in the backlog of a recipient's state: not if that is the sender's; until a recipient's desk
 * there has fetched the body, or it is past its retention. */
bool row_weighs(const struct row_notice *row, const Poc__Core *core, const char *place);

#endif
