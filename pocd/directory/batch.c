#include "pocd/directory/batch.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 256 };

/* A desk whose feed grows. */
struct seat {
	struct seat *next;
	char place[PLACE_ROOM];
	Poc__PocKind kind;
	uint64_t cursor;
};

struct staged_step {
	struct staged_step *next;
	uint64_t number;
	uint32_t n;
	struct row_step row;
	uint8_t item[]; /* of a private step */
};

struct batch {
	struct ledger *ledger;
	struct store *store;
	struct store_view *view; /* NULL: not needed yet */
	uint64_t newest, committed_newest;
	struct batch_file *files[BUCKETS];
	struct staged_step *steps, **last_step;
	struct seat *seats;
	struct batch_backlog *backlogs;
	bool any;
};

struct batch *batch_create(struct ledger *ledger, struct store *store)
{
	struct batch *batch = calloc(1, sizeof *batch);

	if (batch == NULL)
		return NULL;
	batch->ledger = ledger;
	batch->store = store;
	batch->last_step = &batch->steps;
	return batch;
}

int batch_view(struct batch *batch, struct store_view **out)
{
	int status = batch->view != NULL ? 0 : store_view_begin(batch->store, &batch->view);

	*out = batch->view;
	return status;
}

int batch_load(struct batch *batch)
{
	struct store_view *view;
	struct store_value value;
	int status = batch_view(batch, &view);

	if (status == 0)
		status = store_get(view, TABLE_META, META_NOTICES, sizeof META_NOTICES - 1, &value);
	if (status == 0 && value.size != 8)
		status = STATUS_DAMAGED;
	if (status == 0)
		batch->newest = batch->committed_newest = schema_get_u64(value.bytes);
	batch_forget(batch, false, NULL, NULL);
	return status == STATUS_NOT_FOUND ? 0 : status;
}

/* ---- Forgetting */

static void forget_files(struct batch *batch)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		while (batch->files[i] != NULL) {
			struct batch_file *file = batch->files[i];
			batch->files[i] = file->next;
			notice_destroy(file->notice);
			free(file);
		}
	}
}

static void forget_steps(struct batch *batch)
{
	while (batch->steps != NULL) {
		struct staged_step *step = batch->steps;
		batch->steps = step->next;
		free(step);
	}
	batch->last_step = &batch->steps;
}

void batch_forget(struct batch *batch, bool done,
		  void (*grown)(void *ctx, const char *place, Poc__PocKind kind, uint64_t cursor), void *ctx)
{
	if (done)
		batch->committed_newest = batch->newest;
	batch->newest = batch->committed_newest;
	while (batch->seats != NULL) {
		struct seat *seat = batch->seats;
		batch->seats = seat->next;
		if (done && grown != NULL)
			grown(ctx, seat->place, seat->kind, seat->cursor);
		free(seat);
	}
	while (batch->backlogs != NULL) {
		struct batch_backlog *backlog = batch->backlogs;
		batch->backlogs = backlog->next;
		free(backlog);
	}
	forget_files(batch);
	forget_steps(batch);
	store_view_end(batch->view);
	batch->view = NULL;
	batch->any = false;
}

void batch_destroy(struct batch *batch)
{
	if (batch == NULL)
		return;
	batch_forget(batch, false, NULL, NULL);
	free(batch);
}

/* ---- Notices */

static struct batch_file **bucket(struct batch *batch, const struct notice_id *id)
{
	return &batch->files[id->bytes[0]];
}

static struct batch_file *known(struct batch *batch, const struct notice_id *id)
{
	for (struct batch_file *file = *bucket(batch, id); file != NULL; file = file->next) {
		if (memcmp(file->row.id.bytes, id->bytes, NOTICE_ID_SIZE) == 0)
			return file;
	}
	return NULL;
}

static struct batch_file *keep(struct batch *batch, const struct batch_file *file)
{
	struct batch_file *copy = malloc(sizeof *copy);

	if (copy == NULL)
		return NULL;
	*copy = *file;
	copy->next = *bucket(batch, &file->row.id);
	*bucket(batch, &file->row.id) = copy;
	return copy;
}

static int read_file(struct batch *batch, struct store_view *view, uint64_t number, struct batch_file **out)
{
	struct batch_file file = {.number = number};
	int status = row_read_notice(view, number, &file.row);

	if (status != 0)
		return status;
	*out = known(batch, &file.row.id);
	if (*out != NULL)
		return 0;
	status = row_read_header(view, number, &file.notice);
	if (status == 0 && file.row.n_desks != core_desks(file.notice->core))
		status = STATUS_DAMAGED;
	if (status == 0) {
		*out = keep(batch, &file);
		status = *out != NULL ? 0 : STATUS_NO_MEMORY;
	}
	if (status != 0)
		notice_destroy(file.notice);
	return status;
}

int batch_find(struct batch *batch, const struct notice_id *id, struct batch_file **out)
{
	struct store_view *view;
	uint64_t number;

	*out = known(batch, id);
	if (*out != NULL)
		return 0;
	int status = batch_view(batch, &view);
	if (status == 0)
		status = row_find_notice(view, id, &number);
	return status != 0 ? status : read_file(batch, view, number, out);
}

int batch_find_number(struct batch *batch, uint64_t number, struct batch_file **out)
{
	struct store_view *view;
	int status = batch_view(batch, &view);

	return status != 0 ? status : read_file(batch, view, number, out);
}

static int put_new(struct batch *batch, const struct batch_file *file, const uint8_t *body, size_t body_size)
{
	uint8_t number[8];

	schema_put_u64(number, file->number);
	int status = ledger_stage_row(batch->ledger, TABLE_NOTICE_ID, file->row.id.bytes, NOTICE_ID_SIZE, number,
				      sizeof number, NULL);
	return status != 0 ? status
			   : ledger_stage_row(batch->ledger, TABLE_BODY, number, sizeof number, body, body_size, NULL);
}

int batch_add(struct batch *batch, struct notice *notice, const uint8_t *body, size_t body_size, uint64_t now_ms,
	      struct batch_file **out)
{
	struct batch_file file = {.number = batch->newest + 1,
				  .dirty = true,
				  .notice = notice,
				  .row = {.id = notice->id,
					  .hash = notice->hash,
					  .body_size = (uint32_t)body_size,
					  .stored_ms = now_ms,
					  .n_desks = core_desks(notice->core)}};

	*out = keep(batch, &file);
	if (*out == NULL) {
		notice_destroy(notice);
		return STATUS_NO_MEMORY;
	}
	batch->any = true;
	batch->newest++;
	return put_new(batch, *out, body, body_size);
}

int batch_drop_body(struct batch *batch, struct batch_file *file)
{
	uint8_t number[8];

	schema_put_u64(number, file->number);
	file->row.body_size = 0;
	file->dirty = batch->any = true;
	return ledger_stage_row(batch->ledger, TABLE_BODY, number, sizeof number, NULL, 0, NULL);
}

/* ---- Steps and feeds */

int batch_step(struct batch *batch, struct batch_file *file, const struct row_step *row, uint32_t *n)
{
	struct staged_step *step = malloc(sizeof *step + (row->item != NULL ? row->size : 0));

	if (step == NULL)
		return STATUS_NO_MEMORY;
	*step = (struct staged_step){.number = file->number, .n = file->row.n_steps++, .row = *row};
	if (row->item != NULL) {
		memcpy(step->item, row->item, row->size);
		step->row.item = step->item;
	}
	*batch->last_step = step;
	batch->last_step = &step->next;
	file->dirty = batch->any = true;
	if (n != NULL)
		*n = step->n;
	return 0;
}

int batch_read_step(struct batch *batch, const struct batch_file *file, uint32_t n, struct row_step *out)
{
	struct store_view *view;

	for (const struct staged_step *step = batch->steps; step != NULL; step = step->next) {
		if (step->number == file->number && step->n == n) {
			*out = step->row;
			return 0;
		}
	}
	int status = batch_view(batch, &view);
	return status != 0 ? status : row_read_step(view, file->number, n, out);
}

static int take_seat(struct batch *batch, const char *place, Poc__PocKind kind, struct seat **out)
{
	struct store_view *view;

	for (*out = batch->seats; *out != NULL; *out = (*out)->next) {
		if ((*out)->kind == kind && strcmp((*out)->place, place) == 0)
			return 0;
	}
	struct seat *seat = calloc(1, sizeof *seat);
	if (seat == NULL)
		return STATUS_NO_MEMORY;
	strncpy(seat->place, place, PLACE_ROOM - 1);
	seat->kind = kind;
	int status = batch_view(batch, &view);
	if (status == 0)
		status = row_read_cursor(view, place, kind, &seat->cursor);
	if (status != 0) {
		free(seat);
		return status;
	}
	seat->next = batch->seats;
	batch->seats = *out = seat;
	return 0;
}

int batch_feed(struct batch *batch, const char *place, Poc__PocKind kind, const struct batch_file *file, uint32_t step)
{
	struct row_feed row = {.id = file->row.id, .number = file->number, .step = step};
	uint8_t key[ROW_KEY_MAX], value[ROW_FEED];
	struct seat *seat;
	int status = take_seat(batch, place, kind, &seat);

	if (status != 0)
		return status;
	size_t key_size = row_feed_key(key, place, kind, ++seat->cursor);
	return ledger_stage_row(batch->ledger, TABLE_FEED, key, key_size, value, row_feed_write(&row, value), NULL);
}

int batch_backlog(struct batch *batch, const char *from, const char *to, struct batch_backlog **out)
{
	struct store_view *view;

	for (*out = batch->backlogs; *out != NULL; *out = (*out)->next) {
		if (strcmp((*out)->from, from) == 0 && strcmp((*out)->to, to) == 0)
			return 0;
	}
	struct batch_backlog *backlog = calloc(1, sizeof *backlog);
	if (backlog == NULL)
		return STATUS_NO_MEMORY;
	strncpy(backlog->from, from, STATE_MAX_LENGTH);
	strncpy(backlog->to, to, STATE_MAX_LENGTH);
	int status = batch_view(batch, &view);
	if (status == 0)
		status = row_read_backlog(view, from, to, &backlog->notices, &backlog->bytes);
	if (status != 0) {
		free(backlog);
		return status;
	}
	backlog->next = batch->backlogs;
	batch->backlogs = *out = backlog;
	return 0;
}

int batch_timer(struct batch *batch, uint64_t at_ms, uint64_t number, unsigned what, bool set)
{
	uint8_t key[ROW_KEY_MAX];
	size_t size = row_timer_key(key, at_ms, number, what);

	batch->any = true;
	return ledger_stage_row(batch->ledger, TABLE_TIMER, key, size, set ? "" : NULL, 0, NULL);
}

/* ---- Writing */

static int put_steps(struct batch *batch, uint64_t leaf, struct refusal *why)
{
	uint8_t key[ROW_KEY_MAX], value[ROW_STEP_MAX];
	int status = 0;

	for (struct staged_step *step = batch->steps; step != NULL && status == 0; step = step->next) {
		if (step->row.item == NULL)
			step->row.leaf = leaf;
		size_t key_size = row_step_key(key, step->number, step->n);
		status = ledger_stage_row(batch->ledger, TABLE_STEP, key, key_size, value,
					  row_step_write(&step->row, value), why);
	}
	return status;
}

static int put_files(struct batch *batch, struct refusal *why)
{
	uint8_t key[8], value[ROW_NOTICE_MAX];
	int status = 0;

	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct batch_file *file = batch->files[i]; file != NULL && status == 0; file = file->next) {
			schema_put_u64(key, file->number);
			if (file->dirty)
				status = ledger_stage_row(batch->ledger, TABLE_NOTICE, key, sizeof key, value,
							  row_notice_write(&file->row, value), why);
		}
	}
	return status;
}

static int put_seats(struct batch *batch, struct refusal *why)
{
	uint8_t key[ROW_KEY_MAX], value[8];
	int status = 0;

	for (struct seat *seat = batch->seats; seat != NULL && status == 0; seat = seat->next) {
		schema_put_u64(value, seat->cursor);
		status = ledger_stage_row(batch->ledger, TABLE_DESK, key, row_desk_key(key, seat->place, seat->kind),
					  value, sizeof value, why);
	}
	return status;
}

static int put_backlogs(struct batch *batch, struct refusal *why)
{
	uint8_t key[ROW_KEY_MAX], value[16];
	int status = 0;

	for (struct batch_backlog *b = batch->backlogs; b != NULL && status == 0; b = b->next) {
		schema_put_u64(value, b->notices);
		schema_put_u64(value + 8, b->bytes);
		bool none = b->notices == 0 && b->bytes == 0;
		status = ledger_stage_row(batch->ledger, TABLE_BACKLOG, key, row_backlog_key(key, b->from, b->to),
					  none ? NULL : value, none ? 0 : sizeof value, why);
	}
	return status;
}

static int put_newest(struct batch *batch, struct refusal *why)
{
	uint8_t value[8];

	schema_put_u64(value, batch->newest);
	return batch->newest == batch->committed_newest
		   ? 0
		   : ledger_stage_row(batch->ledger, TABLE_META, META_NOTICES, sizeof META_NOTICES - 1, value,
				      sizeof value, why);
}

int batch_flush(struct batch *batch, struct refusal *why)
{
	if (!batch->any)
		return 0;
	int status = put_newest(batch, why);
	if (status == 0)
		status = put_steps(batch, ledger_anchor(batch->ledger), why);
	if (status == 0)
		status = put_files(batch, why);
	if (status == 0)
		status = put_seats(batch, why);
	if (status == 0)
		status = put_backlogs(batch, why);
	store_view_end(batch->view);
	batch->view = NULL;
	return status;
}
