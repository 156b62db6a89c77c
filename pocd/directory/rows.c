#include "pocd/directory/rows.h"

#include <string.h>

/* ---- Writing */

static uint8_t *put(uint8_t *at, const void *bytes, size_t size)
{
	memcpy(at, bytes, size);
	return at + size;
}

static uint8_t *put_u64(uint8_t *at, uint64_t value)
{
	schema_put_u64(at, value);
	return at + 8;
}

static uint8_t *put_u32(uint8_t *at, uint32_t value)
{
	schema_put_u32(at, value);
	return at + 4;
}

size_t row_notice_write(const struct row_notice *row, uint8_t out[ROW_NOTICE_MAX])
{
	uint8_t *at = put(out, row->id.bytes, NOTICE_ID_SIZE);

	at = put(at, row->hash.bytes, HASH_SIZE);
	at = put_u32(at, row->body_size);
	at = put_u64(at, row->stored_ms);
	at = put_u32(at, row->n_steps);
	*at++ = (uint8_t)row->n_desks;
	for (unsigned i = 0; i < row->n_desks; i++, at += 2)
		schema_put_u16(at, row->done[i]);
	return (size_t)(at - out);
}

enum { MARK_FACT = 1, MARK_PROGRAM = 2 };

size_t row_step_write(const struct row_step *row, uint8_t out[ROW_STEP_MAX])
{
	size_t length = strlen(row->place);
	uint8_t *at = out;

	*at++ = (uint8_t)row->step;
	*at++ = row->fact ? MARK_FACT : row->by_program ? MARK_PROGRAM : 0;
	*at++ = (uint8_t)row->kind;
	*at++ = (uint8_t)length;
	at = put(at, row->place, length);
	at = put(at, row->hash.bytes, HASH_SIZE);
	at = put(at, row->answer.bytes, NOTICE_ID_SIZE);
	at = put_u64(at, row->stored_ms);
	if (row->item != NULL)
		at = put(at, row->item, row->size);
	else
		at = put_u32(put_u64(at, row->leaf), row->at);
	return (size_t)(at - out);
}

size_t row_feed_write(const struct row_feed *row, uint8_t out[ROW_FEED])
{
	uint8_t *at = put(out, row->id.bytes, NOTICE_ID_SIZE);

	at = put_u32(put_u64(at, row->number), row->step);
	return (size_t)(at - out);
}

size_t row_desk_key(uint8_t out[ROW_KEY_MAX], const char *place, Poc__PocKind kind)
{
	size_t length = strnlen(place, PLACE_ROOM - 1);

	memcpy(out, place, length);
	out[length] = 0;
	out[length + 1] = (uint8_t)kind;
	return length + 2;
}

size_t row_feed_key(uint8_t out[ROW_KEY_MAX], const char *place, Poc__PocKind kind, uint64_t cursor)
{
	size_t size = row_desk_key(out, place, kind);

	schema_put_u64(out + size, cursor);
	return size + 8;
}

size_t row_step_key(uint8_t out[ROW_KEY_MAX], uint64_t number, uint32_t step)
{
	schema_put_u64(out, number);
	schema_put_u32(out + 8, step);
	return 12;
}

size_t row_timer_key(uint8_t out[ROW_KEY_MAX], uint64_t at_ms, uint64_t number, unsigned what)
{
	schema_put_u64(out, at_ms);
	schema_put_u64(out + 8, number);
	out[16] = (uint8_t)what;
	return 17;
}

size_t row_backlog_key(uint8_t out[ROW_KEY_MAX], const char *from, const char *to)
{
	size_t a = strnlen(from, STATE_MAX_LENGTH), b = strnlen(to, STATE_MAX_LENGTH);

	memcpy(out, from, a);
	out[a] = 0;
	memcpy(out + a + 1, to, b);
	return a + 1 + b;
}

/* ---- Reading */

int row_find_notice(struct store_view *view, const struct notice_id *id, uint64_t *number)
{
	struct store_value value;
	int status = store_get(view, TABLE_NOTICE_ID, id->bytes, NOTICE_ID_SIZE, &value);

	if (status != 0)
		return status;
	if (value.size != 8)
		return STATUS_DAMAGED;
	*number = schema_get_u64(value.bytes);
	return 0;
}

int row_read_notice(struct store_view *view, uint64_t number, struct row_notice *out)
{
	enum { FIXED = NOTICE_ID_SIZE + HASH_SIZE + 4 + 8 + 4 + 1 };
	struct store_value value;
	uint8_t key[8];

	schema_put_u64(key, number);
	int status = store_get(view, TABLE_NOTICE, key, sizeof key, &value);
	if (status != 0)
		return status == STATUS_NOT_FOUND ? STATUS_DAMAGED : status;
	const uint8_t *at = value.bytes;
	if (value.size < FIXED || at[FIXED - 1] > ROW_DESKS_MAX || value.size != FIXED + 2 * (size_t)at[FIXED - 1])
		return STATUS_DAMAGED;
	memcpy(out->id.bytes, at, NOTICE_ID_SIZE);
	at += NOTICE_ID_SIZE;
	memcpy(out->hash.bytes, at, HASH_SIZE);
	at += HASH_SIZE;
	out->body_size = schema_get_u32(at);
	out->stored_ms = schema_get_u64(at + 4);
	out->n_steps = schema_get_u32(at + 12);
	out->n_desks = at[16];
	at += 17;
	for (unsigned i = 0; i < out->n_desks; i++, at += 2)
		out->done[i] = (uint16_t)schema_get_u16(at);
	return 0;
}

int row_read_step(struct store_view *view, uint64_t number, uint32_t step, struct row_step *out)
{
	enum { FIXED = HASH_SIZE + NOTICE_ID_SIZE + 8 };
	struct store_value value;
	uint8_t key[ROW_KEY_MAX];
	int status = store_get(view, TABLE_STEP, key, row_step_key(key, number, step), &value);

	if (status != 0)
		return status == STATUS_NOT_FOUND ? STATUS_DAMAGED : status;
	const uint8_t *at = value.bytes;
	if (value.size < 4 || at[1] > MARK_PROGRAM || at[3] >= PLACE_ROOM || value.size < 4 + (size_t)at[3] + FIXED + 1)
		return STATUS_DAMAGED;
	*out = (struct row_step){.step = (Poc__Step)at[0],
				 .fact = at[1] == MARK_FACT,
				 .by_program = at[1] == MARK_PROGRAM,
				 .kind = (Poc__PocKind)at[2]};
	memcpy(out->place, at + 4, at[3]);
	size_t left = value.size - 4 - at[3] - FIXED;
	at += 4 + at[3];
	memcpy(out->hash.bytes, at, HASH_SIZE);
	memcpy(out->answer.bytes, at + HASH_SIZE, NOTICE_ID_SIZE);
	out->stored_ms = schema_get_u64(at + HASH_SIZE + NOTICE_ID_SIZE);
	at += FIXED;
	if (step_is_private(out->step)) {
		out->item = at;
		out->size = left;
		return 0;
	}
	if (left != 12)
		return STATUS_DAMAGED;
	out->leaf = schema_get_u64(at);
	out->at = schema_get_u32(at + 8);
	return 0;
}

int row_read_feed(const uint8_t *key, size_t key_size, const struct store_value *value, struct row_feed *out)
{
	if (key_size < 8 || value->size != ROW_FEED)
		return STATUS_DAMAGED;
	out->cursor = schema_get_u64(key + key_size - 8);
	memcpy(out->id.bytes, value->bytes, NOTICE_ID_SIZE);
	out->number = schema_get_u64(value->bytes + NOTICE_ID_SIZE);
	out->step = schema_get_u32(value->bytes + NOTICE_ID_SIZE + 8);
	return 0;
}

int row_read_cursor(struct store_view *view, const char *place, Poc__PocKind kind, uint64_t *out)
{
	uint8_t key[ROW_KEY_MAX];
	struct store_value value;
	int status = store_get(view, TABLE_DESK, key, row_desk_key(key, place, kind), &value);

	*out = 0;
	if (status != 0)
		return status == STATUS_NOT_FOUND ? 0 : status;
	if (value.size != 8)
		return STATUS_DAMAGED;
	*out = schema_get_u64(value.bytes);
	return 0;
}

int row_read_backlog(struct store_view *view, const char *from, const char *to, uint64_t *notices, uint64_t *bytes)
{
	uint8_t key[ROW_KEY_MAX];
	struct store_value value;
	int status = store_get(view, TABLE_BACKLOG, key, row_backlog_key(key, from, to), &value);

	*notices = *bytes = 0;
	if (status != 0)
		return status == STATUS_NOT_FOUND ? 0 : status;
	if (value.size != 16)
		return STATUS_DAMAGED;
	*notices = schema_get_u64(value.bytes);
	*bytes = schema_get_u64(value.bytes + 8);
	return 0;
}

int row_read_timer(const uint8_t *key, size_t key_size, uint64_t *at_ms, uint64_t *number, unsigned *what)
{
	if (key_size != 17)
		return STATUS_DAMAGED;
	*at_ms = schema_get_u64(key);
	*number = schema_get_u64(key + 8);
	*what = key[16];
	return 0;
}

int row_read_item(struct store_view *view, const struct row_step *row, const uint8_t **item, size_t *size)
{
	struct ledger_event_row event;

	if (row->item != NULL) {
		*item = row->item;
		*size = row->size;
		return 0;
	}
	int status = ledger_read_event(view, row->leaf, row->at, &event);
	if (status != 0)
		return status == STATUS_NOT_FOUND ? STATUS_DAMAGED : status;
	*item = event.item;
	*size = event.size;
	return 0;
}

int row_read_header(struct store_view *view, uint64_t number, struct notice **out)
{
	struct row_step step;
	const uint8_t *item;
	size_t size;
	int status = row_read_step(view, number, 0, &step);

	if (status == 0)
		status = row_read_item(view, &step, &item, &size);
	if (status != 0)
		return status;
	status = notice_parse(item, size, out, NULL);
	return status == 0 || status == STATUS_NO_MEMORY ? status : STATUS_DAMAGED;
}

/* ---- Desks */

const Poc__Desk *core_desk(const Poc__Core *core, unsigned i)
{
	if (i == 0)
		return core->from;
	return i <= core->n_to ? core->to[i - 1] : core->escalations[i - 1 - core->n_to]->to;
}

unsigned core_desks(const Poc__Core *core)
{
	return (unsigned)(1 + core->n_to + core->n_escalations);
}

static bool is_desk(const Poc__Desk *desk, const char *place, Poc__PocKind kind)
{
	return desk->kind == kind && strcmp(desk->place, place) == 0;
}

int core_find(const Poc__Core *core, const char *place, Poc__PocKind kind)
{
	for (unsigned i = 1; i <= core->n_to; i++) {
		if (is_desk(core_desk(core, i), place, kind))
			return (int)i;
	}
	if (is_desk(core->from, place, kind))
		return 0;
	for (unsigned i = (unsigned)core->n_to + 1; i < core_desks(core); i++) {
		if (is_desk(core_desk(core, i), place, kind))
			return (int)i;
	}
	return -1;
}

bool row_received(const struct row_notice *row, const Poc__Core *core, int desk)
{
	if (desk <= 0 || (unsigned)desk >= row->n_desks)
		return false;
	return (size_t)desk <= core->n_to || (row->done[desk] >> POC__STEP__STEP_ESCALATED & 1) != 0;
}

bool row_party(const struct row_notice *row, const Poc__Core *core, int desk)
{
	return desk == 0 || row_received(row, core, desk);
}

/* ---- Backlogs */

void row_state(const char *place, char out[STATE_MAX_LENGTH + 1])
{
	size_t length = strcspn(place, "/");

	if (length > STATE_MAX_LENGTH)
		length = STATE_MAX_LENGTH;
	memcpy(out, place, length);
	out[length] = '\0';
}

static bool same_state(const char *place, const char *other)
{
	char a[STATE_MAX_LENGTH + 1], b[STATE_MAX_LENGTH + 1];

	row_state(place, a);
	row_state(other, b);
	return strcmp(a, b) == 0;
}

bool core_counts(const Poc__Core *core, unsigned i)
{
	if (same_state(core->to[i - 1]->place, core->from->place))
		return false;
	for (unsigned k = 1; k < i; k++) {
		if (same_state(core->to[k - 1]->place, core->to[i - 1]->place))
			return false;
	}
	return true;
}

bool row_weighs(const struct row_notice *row, const Poc__Core *core, const char *place)
{
	if (row->body_size == 0 || same_state(place, core->from->place))
		return false;
	for (unsigned i = 1; i <= core->n_to; i++) {
		if (same_state(core->to[i - 1]->place, place) && (row->done[i] >> POC__STEP__STEP_DELIVERED & 1) != 0)
			return false;
	}
	return true;
}
