#include "pocd/directory/notices_check.h"

#include <stdlib.h>
#include <string.h>

#include "pocd/directory/rows.h"
#include "proto/wire/prescan.h"

/* A body that weighs in the backlog between two states. */
struct weight {
	char from[STATE_MAX_LENGTH + 1], to[STATE_MAX_LENGTH + 1];
	uint32_t bytes;
};

struct check {
	struct store_view *view;
	struct refusal *why;
	struct notices_report report;
	uint64_t bodies;
	/* the feed that is walked: the desk's part of the key, and the last cursor in it */
	uint8_t desk[ROW_KEY_MAX];
	size_t desk_size;
	uint64_t cursor, desks;
	size_t n_weights, weights_room;
	struct weight *weights;
};

/* The first thing that is wrong, with one number in its text. */
#define wrong(check, field, format, number)                                                                            \
	refuse((check)->why, STATUS_DAMAGED, (field), format, (unsigned long long)(number))

/* ---- Notices with their steps and bodies */

/* Whether the row of a fact or receipt says what its item says. */
static bool says_so(const struct row_step *step, const uint8_t *item, size_t size)
{
	struct receipt *receipt = NULL;
	Poc__Fact *fact = NULL;
	bool good;

	if (step->fact)
		good = fact_parse(item, size, &fact, NULL) == 0 && fact->step == step->step &&
		       fact->kind == step->kind && strcmp(fact->place, step->place) == 0;
	else
		good = receipt_parse(item, size, &receipt, NULL) == 0 && receipt->receipt->step == step->step &&
		       receipt->receipt->kind == step->kind && strcmp(receipt->receipt->place, step->place) == 0;
	message_free(fact);
	receipt_destroy(receipt);
	return good;
}

static bool step_holds(struct check *check, const struct row_notice *row, const struct notice *header, uint64_t number,
		       uint32_t n)
{
	struct row_step step;
	const uint8_t *item;
	size_t size;

	if (row_read_step(check->view, number, n, &step) != 0 || row_read_item(check->view, &step, &item, &size) != 0 ||
	    (step.step == 0) != (n == 0) || step.stored_ms < row->stored_ms)
		return false;
	if (n > 0 && !says_so(&step, item, size))
		return false;
	int desk = step.place[0] != '\0' ? core_find(header->core, step.place, step.kind) : -1;
	if (n > 1 && (desk < 0 || (row->done[desk] >> step.step & 1) == 0))
		return false;
	struct hash hash = step.fact ? hash_zero : hash_of(item, size);
	return hash_compare(&hash, &step.hash) == 0;
}

static bool body_holds(struct check *check, const struct row_notice *row, const struct notice *header, uint64_t number)
{
	struct store_value body;
	uint8_t key[8];

	schema_put_u64(key, number);
	int status = store_get(check->view, TABLE_BODY, key, sizeof key, &body);
	if (row->body_size == 0) {
		check->report.erased_bodies++;
		return status == STATUS_NOT_FOUND;
	}
	check->bodies++;
	if (status != 0 || body.size != row->body_size)
		return false;
	struct hash hash = hash_of(body.bytes, body.size);
	return memcmp(hash.bytes, header->header->body_hash.data, HASH_SIZE) == 0;
}

static int check_parts(struct check *check, const struct row_notice *row, const struct notice *header, uint64_t number)
{
	uint64_t indexed;

	if (row_find_notice(check->view, &row->id, &indexed) != 0 || indexed != number ||
	    memcmp(row->id.bytes, header->id.bytes, NOTICE_ID_SIZE) != 0 ||
	    hash_compare(&row->hash, &header->hash) != 0 || row->n_desks != core_desks(header->core) ||
	    row->n_steps < 2)
		return wrong(check, "notice", "notice %llu is not what its header says", number);
	for (uint32_t n = 0; n < row->n_steps; n++) {
		if (!step_holds(check, row, header, number, n))
			return wrong(check, "step", "a step of notice %llu is gone or another", number);
	}
	check->report.steps += row->n_steps;
	return body_holds(check, row, header, number)
		   ? 0
		   : wrong(check, "body", "the body of notice %llu is gone or another", number);
}

static int add_weights(struct check *check, const struct row_notice *row, const Poc__Core *core)
{
	for (unsigned i = 1; i <= core->n_to; i++) {
		if (!core_counts(core, i) || !row_weighs(row, core, core->to[i - 1]->place))
			continue;
		if (check->n_weights == check->weights_room) {
			size_t room = check->weights_room > 0 ? 2 * check->weights_room : 64;
			struct weight *grown = realloc(check->weights, room * sizeof *grown);
			if (grown == NULL)
				return STATUS_NO_MEMORY;
			check->weights = grown;
			check->weights_room = room;
		}
		struct weight *weight = &check->weights[check->n_weights++];
		row_state(core->from->place, weight->from);
		row_state(core->to[i - 1]->place, weight->to);
		weight->bytes = row->body_size;
	}
	return 0;
}

static int check_notice(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct check *check = ctx;
	uint64_t number = ++check->report.notices;
	struct row_notice row;
	struct notice *header;

	(void)value;
	if (key_size != 8 || schema_get_u64(key) != number)
		return wrong(check, "notice", "notice %llu is gone", number);
	if (row_read_notice(check->view, number, &row) != 0 || row_read_header(check->view, number, &header) != 0)
		return wrong(check, "notice", "notice %llu cannot be read", number);
	int status = check_parts(check, &row, header, number);
	if (status == 0)
		status = add_weights(check, &row, header->core);
	notice_destroy(header);
	return status;
}

/* ---- Feeds */

/* The feed that was walked ends where its desk says. */
static int end_feed(struct check *check)
{
	struct store_value value;

	if (check->desk_size == 0)
		return 0;
	check->desks++;
	if (store_get(check->view, TABLE_DESK, check->desk, check->desk_size, &value) != 0 || value.size != 8 ||
	    schema_get_u64(value.bytes) != check->cursor)
		return wrong(check, "desk", "a desk has another newest cursor than its feed, %llu", check->cursor);
	return 0;
}

static int check_entry(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct check *check = ctx;
	struct row_notice notice;
	struct row_feed row;

	check->report.entries++;
	if (key_size < 8 + 2 || key_size > ROW_KEY_MAX || row_read_feed(key, key_size, value, &row) != 0)
		return wrong(check, "feed", "feed entry %llu cannot be read", check->report.entries);
	if (key_size - 8 != check->desk_size || memcmp(key, check->desk, check->desk_size) != 0) {
		if (end_feed(check) != 0)
			return STATUS_DAMAGED;
		check->desk_size = key_size - 8;
		memcpy(check->desk, key, check->desk_size);
		check->cursor = 0;
	}
	if (row.cursor != ++check->cursor)
		return wrong(check, "feed", "a feed lacks its entry %llu", check->cursor);
	if (row_read_notice(check->view, row.number, &notice) != 0 || row.step >= notice.n_steps ||
	    memcmp(notice.id.bytes, row.id.bytes, NOTICE_ID_SIZE) != 0)
		return wrong(check, "feed", "feed entry %llu is of no notice", check->report.entries);
	return 0;
}

/* ---- Backlogs */

static int by_states(const void *a, const void *b)
{
	const struct weight *x = a, *y = b;
	int order = strcmp(x->from, y->from);

	return order != 0 ? order : strcmp(x->to, y->to);
}

/* Every backlog is the sum of what weighs in it; *n: how many there are. */
static int check_backlogs(struct check *check, uint64_t *n)
{
	*n = 0;
	if (check->n_weights > 1)
		qsort(check->weights, check->n_weights, sizeof *check->weights, by_states);
	for (size_t i = 0, next; i < check->n_weights; i = next, ++*n) {
		const struct weight *first = &check->weights[i];
		uint64_t bytes = 0, notices, said;
		for (next = i; next < check->n_weights && by_states(first, &check->weights[next]) == 0; next++)
			bytes += check->weights[next].bytes;
		if (row_read_backlog(check->view, first->from, first->to, &notices, &said) != 0 ||
		    notices != next - i || said != bytes)
			return refuse(check->why, STATUS_DAMAGED, "backlog",
				      "the backlog from %s to %s is not what has not been fetched", first->from,
				      first->to);
	}
	return 0;
}

/* ---- Nothing is there that no notice speaks of */

static int check_count(struct check *check, enum store_table table, uint64_t expected)
{
	uint64_t n;

	if (store_count(check->view, table, &n) != 0)
		return wrong(check, store_table_name(table), "cannot be read after row %llu", n);
	return n == expected ? 0 : wrong(check, store_table_name(table), "%llu rows, not as many as notices need", n);
}

static int check_newest(struct check *check)
{
	struct store_value value;
	int status = store_get(check->view, TABLE_META, META_NOTICES, sizeof META_NOTICES - 1, &value);
	uint64_t newest = status == 0 && value.size == 8 ? schema_get_u64(value.bytes) : 0;

	if (status != 0 && status != STATUS_NOT_FOUND)
		return wrong(check, "meta", "the number of the newest notice cannot be read (%llu)", newest);
	return newest == check->report.notices
		   ? 0
		   : wrong(check, "meta", "%llu notices are said to be there, not as many as there are", newest);
}

static int check_all(struct check *check)
{
	int status = store_walk(check->view, TABLE_NOTICE, NULL, 0, check_notice, check);

	if (status == 0)
		status = check_newest(check);
	if (status == 0)
		status = store_walk(check->view, TABLE_FEED, NULL, 0, check_entry, check);
	if (status == 0)
		status = end_feed(check);
	if (status == 0)
		status = check_count(check, TABLE_NOTICE_ID, check->report.notices);
	if (status == 0)
		status = check_count(check, TABLE_STEP, check->report.steps);
	if (status == 0)
		status = check_count(check, TABLE_BODY, check->bodies);
	if (status == 0)
		status = check_count(check, TABLE_DESK, check->desks);
	uint64_t backlogs = 0;
	if (status == 0)
		status = check_backlogs(check, &backlogs);
	return status != 0 ? status : check_count(check, TABLE_BACKLOG, backlogs);
}

int notices_check(struct store *store, struct notices_report *report, struct refusal *why)
{
	struct check check = {.why = why};
	int status = store_view_begin(store, &check.view);

	if (status != 0)
		return refuse(why, status, "", "the store cannot be read: %s", status_text(status));
	if (why != NULL)
		why->code = 0;
	status = check_all(&check);
	store_view_end(check.view);
	free(check.weights);
	if (report != NULL)
		*report = check.report;
	if (status != 0 && why != NULL && why->code == 0)
		refuse(why, status, "", "the check of notices cannot go on: %s", status_text(status));
	return status;
}
