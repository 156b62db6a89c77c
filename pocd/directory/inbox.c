#include "pocd/directory/inbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pocd/base/diag.h"
#include "pocd/base/metrics.h"
#include "pocd/directory/batch.h"

enum { TIMERS_AT_ONCE = 64, BACKLOG_RETRY_MS = 60000, UNPROVEN_RETRY_MS = 30000 };

struct inbox {
	struct inbox_options options;
	struct batch *batch;
	uint64_t due_ms; /* of the first timer, as committed and staged */
	bool due_unknown;
	unsigned stored, receipts, delivered, escalated; /* in this commit */
};

int inbox_create(const struct inbox_options *options, struct inbox **out)
{
	struct inbox *inbox = calloc(1, sizeof *inbox);

	*out = NULL;
	if (inbox == NULL)
		return STATUS_NO_MEMORY;
	inbox->options = *options;
	inbox->due_unknown = true;
	inbox->batch = batch_create(options->ledger, options->store);
	int status = inbox->batch != NULL ? batch_load(inbox->batch) : STATUS_NO_MEMORY;
	if (status != 0) {
		inbox_destroy(inbox);
		return status;
	}
	*out = inbox;
	return 0;
}

void inbox_destroy(struct inbox *inbox)
{
	if (inbox == NULL)
		return;
	batch_destroy(inbox->batch);
	free(inbox);
}

/* After a step that went wrong half way. */
static int give_up(struct inbox *inbox, int status, struct refusal *why, bool *lost)
{
	*lost = true;
	ledger_abandon(inbox->options.ledger);
	inbox_settle(inbox, status);
	return refuse(why, status, "", "cannot store: %s", status_text(status));
}

/* ---- Who hears of it */

struct ears {
	size_t n;
	const Poc__Desk *desks[ROW_DESKS_MAX + 1];
};

static void add_ear(struct ears *ears, const Poc__Desk *desk)
{
	for (size_t i = 0; i < ears->n; i++) {
		if (ears->desks[i]->kind == desk->kind && strcmp(ears->desks[i]->place, desk->place) == 0)
			return;
	}
	ears->desks[ears->n++] = desk;
}

static void add_all(struct ears *ears, const struct batch_file *file)
{
	const Poc__Core *core = file->notice->core;

	for (unsigned i = 0; i < core_desks(core); i++) {
		if (row_party(&file->row, core, (int)i))
			add_ear(ears, core_desk(core, i));
	}
}

static struct ears ears_of(const struct batch_file *file, const struct row_step *step, int desk)
{
	const Poc__Core *core = file->notice->core;
	struct ears ears = {.n = 0};

	if (step_is_private(step->step)) {
		add_ear(&ears, core_desk(core, (unsigned)desk));
		return ears;
	}
	add_ear(&ears, core->from);
	if (step->step == 0 || step->step == POC__STEP__STEP_ESCALATED || desk == 0)
		add_all(&ears, file);
	else if (desk > 0)
		add_ear(&ears, core_desk(core, (unsigned)desk));
	return ears;
}

/* Adds a step and tells the desks that it concerns.  desk: the one that speaks or is spoken of; -1: none. */
static int add_step(struct inbox *inbox, struct batch_file *file, const struct row_step *step, int desk)
{
	uint32_t n;

	if (desk >= 0)
		file->row.done[desk] |= (uint16_t)(1U << step->step);
	int status = batch_step(inbox->batch, file, step, &n);
	struct ears ears = ears_of(file, step, desk);
	for (size_t i = 0; i < ears.n && status == 0; i++)
		status = batch_feed(inbox->batch, ears.desks[i]->place, ears.desks[i]->kind, file, n);
	return status;
}

static void set_desk(struct row_step *step, const Poc__Desk *desk)
{
	step->kind = desk->kind;
	memcpy(step->place, desk->place, strnlen(desk->place, PLACE_ROOM - 1));
}

/* ---- Facts */

struct fact_item {
	uint8_t *bytes;
	size_t size;
};

static int make_fact(const struct notice *notice, Poc__Step step, const Poc__Desk *desk, uint64_t now_ms,
		     struct fact_item *out)
{
	Poc__Fact fact = POC__FACT__INIT;

	fact.directory_id = notice->core->directory_id;
	fact.notice_id = (ProtobufCBinaryData){NOTICE_ID_SIZE, (uint8_t *)notice->id.bytes};
	fact.notice_hash = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)notice->hash.bytes};
	fact.step = step;
	if (desk != NULL) {
		fact.place = desk->place;
		fact.kind = desk->kind;
	}
	fact.time_ms = (int64_t)now_ms;
	return fact_make(&fact, &out->bytes, &out->size, NULL);
}

/* States a fact about a desk of a notice. */
static int state_fact(struct inbox *inbox, struct batch_file *file, Poc__Step step, int desk)
{
	const Poc__Desk *about = core_desk(file->notice->core, (unsigned)desk);
	struct row_step row = {.step = step, .fact = true, .stored_ms = ledger_time_ms(inbox->options.ledger)};
	struct fact_item fact;
	int status = make_fact(file->notice, step, about, row.stored_ms, &fact);

	if (status != 0)
		return status;
	struct ledger_event event = {fact.bytes, fact.size, NULL, 0};
	status = ledger_stage_events(inbox->options.ledger, &event, 1, NULL);
	free(fact.bytes);
	if (status != 0)
		return status;
	row.at = event.place;
	set_desk(&row, about);
	return add_step(inbox, file, &row, desk);
}

/* ---- Backlog: what a state has not fetched yet */

static int find_backlog(struct inbox *inbox, const Poc__Core *core, unsigned i, struct batch_backlog **out)
{
	char from[STATE_MAX_LENGTH + 1], to[STATE_MAX_LENGTH + 1];

	row_state(core->from->place, from);
	row_state(core->to[i - 1]->place, to);
	return batch_backlog(inbox->batch, from, to, out);
}

static int refuse_full(const struct batch_backlog *full, struct refusal *why)
{
	refuse(why, STATUS_QUOTA, "core.to", "%s has not fetched %llu notice%s of %s yet: no more until it does",
	       full->to, (unsigned long long)full->notices, full->notices == 1 ? "" : "s", full->from);
	if (why != NULL)
		why->retry_ms = BACKLOG_RETRY_MS;
	return STATUS_QUOTA;
}

/* An absent recipient holds nothing back from the others: one state that has room is enough. */
static int check_backlogs(struct inbox *inbox, const struct post *post, struct refusal *why)
{
	const Poc__Core *core = post->notice->core;
	struct batch_backlog *backlog, *full = NULL;
	bool room = false;

	for (unsigned i = 1; i <= core->n_to && inbox->options.backlog_bytes > 0; i++) {
		if (!core_counts(core, i))
			continue;
		int status = find_backlog(inbox, core, i, &backlog);
		if (status != 0)
			return refuse(why, status, "", "cannot read: %s", status_text(status));
		if (post->body_size > inbox->options.backlog_bytes)
			return refuse(why, STATUS_TOO_LARGE, "core.to",
				      "of %s to %s that it has not fetched at most %llu bytes are kept, and this one "
				      "has %zu",
				      backlog->from, backlog->to, (unsigned long long)inbox->options.backlog_bytes,
				      post->body_size);
		if (backlog->bytes + post->body_size <= inbox->options.backlog_bytes)
			room = true;
		else if (full == NULL)
			full = backlog;
	}
	return full == NULL || room ? 0 : refuse_full(full, why);
}

static int add_backlogs(struct inbox *inbox, const struct batch_file *file)
{
	const Poc__Core *core = file->notice->core;
	struct batch_backlog *backlog;
	int status = 0;

	for (unsigned i = 1; i <= core->n_to && status == 0; i++) {
		if (!core_counts(core, i))
			continue;
		status = find_backlog(inbox, core, i, &backlog);
		if (status == 0) {
			backlog->notices++;
			backlog->bytes += file->row.body_size;
		}
	}
	return status;
}

static int drop_backlog(struct inbox *inbox, const struct batch_file *file, unsigned i)
{
	struct batch_backlog *backlog;
	int status = find_backlog(inbox, file->notice->core, i, &backlog);

	if (status != 0)
		return status;
	uint64_t bytes = file->row.body_size;
	backlog->notices -= backlog->notices > 0;
	backlog->bytes -= backlog->bytes > bytes ? bytes : backlog->bytes;
	return 0;
}

/* ---- First answers */

/* What a statement says beside its step: the notice that answers, or why the desk declines; else zeros. */
static struct notice_id detail_of(const Poc__Receipt *receipt)
{
	struct notice_id detail = {{0}};

	if (receipt->answer.len != 0)
		memcpy(detail.bytes, receipt->answer.data, NOTICE_ID_SIZE);
	else
		detail.bytes[0] = (uint8_t)receipt->reason;
	return detail;
}

static bool is_of_desk(const struct row_step *row, const Poc__Receipt *receipt)
{
	return !row->fact && row->step != 0 && row->kind == receipt->kind && strcmp(row->place, receipt->place) == 0;
}

/* Whether a step of the same desk makes the statement of a receipt.  taken and released come again and again, and so
 * does a time that an answer may be expected by: the last one counts.  What a program said leaves a person's word to be
 * said. */
static bool says_the_same(const struct row_step *row, const struct post *post)
{
	const Poc__Receipt *receipt = post->receipt->receipt;
	const struct notice_id detail = detail_of(receipt);

	return (post->service || !row->by_program) && receipt->answer_by == 0 && !step_is_private(row->step) &&
	       row->step == receipt->step && memcmp(row->answer.bytes, detail.bytes, NOTICE_ID_SIZE) == 0;
}

static void first_answer(const struct notice_id *id, const struct row_step *row, struct post_result *out)
{
	*out = (struct post_result){.id = *id, .hash = row->hash, .stored_ms = row->stored_ms, .repeated = true};
}

static int answer_notice(const struct row_notice *row, const struct post *post, struct post_result *out)
{
	if (hash_compare(&row->hash, &post->notice->hash) != 0)
		return STATUS_CONFLICT;
	*out = (struct post_result){.id = row->id, .hash = row->hash, .stored_ms = row->stored_ms, .repeated = true};
	return 0;
}

int inbox_first_answer(struct store_view *view, const struct post *post, struct post_result *out)
{
	struct row_notice row;
	struct row_step step;
	uint64_t number;
	int status = row_find_notice(view, post_id(post), &number);

	if (status == 0)
		status = row_read_notice(view, number, &row);
	if (status != 0)
		return status;
	if (post->notice != NULL)
		return answer_notice(&row, post, out);
	for (uint32_t n = 1; n < row.n_steps; n++) {
		status = row_read_step(view, number, n, &step);
		if (status != 0)
			return status;
		if (hash_compare(&step.hash, &post->receipt->hash) == 0) {
			first_answer(&row.id, &step, out);
			return 0;
		}
	}
	return STATUS_NOT_FOUND;
}

/* ---- Notices */

static int conflict(const struct post *post, struct refusal *why)
{
	(void)post;
	return refuse(why, STATUS_CONFLICT, "core.id", "another notice has this id");
}

/* What the sender's desk must know: the notice that is answered, of this thread, or of a notice that answers none the
 * thread's first.  Whoever was brought in later, by forwarding, was no party of the first, and still answers. */
static int check_references(struct inbox *inbox, const struct post *post, struct refusal *why)
{
	const struct notice *notice = post->notice;
	const Poc__Core *core = notice->core;
	const bool answers = core->answers.len > 0;
	const char *field = answers ? "core.answers" : "core.thread";
	struct notice_id id = notice->thread;
	struct batch_file *file;

	if (memcmp(notice->thread.bytes, notice->id.bytes, NOTICE_ID_SIZE) == 0)
		return 0;
	if (answers)
		memcpy(id.bytes, core->answers.data, NOTICE_ID_SIZE);
	int status = batch_find(inbox->batch, &id, &file);
	if (status != 0 && status != STATUS_NOT_FOUND)
		return refuse(why, status, field, "cannot read: %s", status_text(status));
	int desk = status == 0 ? core_find(file->notice->core, core->from->place, core->from->kind) : -1;
	if (status != 0 || !row_party(&file->row, file->notice->core, desk))
		return refuse(why, STATUS_INVALID, field, "is no notice that %s %s has sent or received",
			      core->from->place, poc_kind_name(core->from->kind));
	if (memcmp(file->notice->thread.bytes, notice->thread.bytes, NOTICE_ID_SIZE) == 0)
		return 0;
	return refuse(why, STATUS_INVALID, field,
		      answers ? "is of another thread" : "is not the first notice of a thread");
}

static uint64_t wall_ms(const struct inbox *inbox)
{
	return inbox->options.now_ms(inbox->options.now_ctx);
}

/* Judges anew if the snapshot (taken over) is another than the one that the post was judged by. */
static int judge_by(struct inbox *inbox, struct post *post, struct snapshot *snapshot, struct refusal *why)
{
	struct store_view *view;
	int status = snapshot != NULL ? 0 : refuse(why, STATUS_BUSY, "", "nothing has been published yet");

	if (status == 0 && post->judged != snapshot->number) {
		status = batch_view(inbox->batch, &view);
		if (status != 0)
			refuse(why, status, "", "cannot read: %s", status_text(status));
		else
			status = post_judge(post, snapshot, view, (int64_t)(wall_ms(inbox) / 1000),
					    (int64_t)(inbox->options.retention_ms / 1000), why);
	}
	snapshot_unref(snapshot);
	return status;
}

static int refuse_unproven(struct refusal *why)
{
	refuse(why, STATUS_BUSY, "",
	       "a change of keys, users or records that it depends on is stored, but not yet proven: the directory's "
	       "signer or its auditors do not sign");
	if (why != NULL)
		why->retry_ms = UNPROVEN_RETRY_MS;
	return STATUS_BUSY;
}

/* By what is served, and where that is about to change by what waits for its quorum too: it may be published under
 * either.  INBOX_WAIT as inbox_post. */
static int judge(struct inbox *inbox, struct post *post, struct refusal *why)
{
	enum desk_motion moved = post_moved(post, inbox->options.ledger);

	if (moved >= DESK_RECORD_MOVED && !post->waited)
		return INBOX_WAIT;
	if (moved == DESK_MOVED)
		return refuse_unproven(why);
	int status = judge_by(inbox, post, ledger_snapshot(inbox->options.ledger), why);
	if (status != 0 || moved == DESK_STILL)
		return status;
	status = judge_by(inbox, post, ledger_tip(inbox->options.ledger), NULL);
	return status == 0 ? 0 : refuse_unproven(why);
}

static int set_timers(struct inbox *inbox, const struct batch_file *file)
{
	const Poc__Core *core = file->notice->core;
	uint64_t first = file->row.stored_ms + inbox->options.retention_ms;
	int status = batch_timer(inbox->batch, first, file->number, TIMER_EXPIRY, true);

	for (unsigned i = 0; i < core->n_escalations && status == 0; i++) {
		uint64_t at = (uint64_t)core->escalations[i]->at * 1000;
		status = batch_timer(inbox->batch, at, file->number, i, true);
		first = at < first ? at : first;
	}
	if (first < inbox->due_ms)
		inbox->due_ms = first;
	return status;
}

static int stage_notice_events(struct inbox *inbox, const struct notice *notice, uint64_t now_ms,
			       struct ledger_event events[2])
{
	struct fact_item fact;
	int status = make_fact(notice, POC__STEP__STEP_STORED, NULL, now_ms, &fact);

	if (status != 0)
		return status;
	events[0] = (struct ledger_event){notice->bytes, notice->size, notice->users.text, 0};
	events[1] = (struct ledger_event){fact.bytes, fact.size, NULL, 0};
	status = ledger_stage_events(inbox->options.ledger, events, 2, NULL);
	free(fact.bytes);
	return status;
}

static int stage_notice(struct inbox *inbox, struct post *post, struct post_result *out)
{
	struct row_step first = {.hash = post->notice->hash, .stored_ms = ledger_time_ms(inbox->options.ledger)};
	struct row_step stored = {.step = POC__STEP__STEP_STORED, .fact = true, .stored_ms = first.stored_ms};
	struct ledger_event events[2];
	struct batch_file *file;
	int status = stage_notice_events(inbox, post->notice, first.stored_ms, events);

	if (status != 0)
		return status;
	*out = (struct post_result){.id = post->notice->id, .hash = first.hash, .stored_ms = first.stored_ms};
	set_desk(&first, post->notice->core->from);
	first.at = events[0].place;
	stored.at = events[1].place;
	status = batch_add(inbox->batch, post->notice, post->body, post->body_size, first.stored_ms, &file);
	post->notice = NULL; /* the batch has it */
	if (status == 0)
		status = add_step(inbox, file, &first, -1);
	if (status == 0)
		status = add_step(inbox, file, &stored, -1);
	if (status == 0)
		status = add_backlogs(inbox, file);
	return status != 0 ? status : set_timers(inbox, file);
}

void inbox_count_refused(int status)
{
	if (status == STATUS_QUOTA)
		metric_add(METRIC_POSTS_OVER_QUOTA, 1);
	if (status > 0)
		metric_add(METRIC_POSTS_REFUSED, 1);
}

static void account_of(const struct post *post, char out[QUOTA_ACCOUNT])
{
	const bool note = post->notice->core->category == POC__CATEGORY__CATEGORY_NOTE;

	snprintf(out, QUOTA_ACCOUNT, "%s%s", post->state, note ? " note" : "");
}

int inbox_check_quota(struct quota *quota, const struct post *post, uint64_t now_ms, struct refusal *why)
{
	char account[QUOTA_ACCOUNT];
	uint32_t retry_ms;

	if (post->notice == NULL)
		return 0;
	account_of(post, account);
	if (quota_left(quota, account, now_ms, &retry_ms))
		return 0;
	refuse(why, STATUS_QUOTA, "", "%s has sent as many notices as it may in an hour", post->state);
	if (why != NULL)
		why->retry_ms = retry_ms;
	return STATUS_QUOTA;
}

static int post_notice(struct inbox *inbox, struct post *post, struct post_result *out, struct refusal *why, bool *lost)
{
	uint64_t now_ms = wall_ms(inbox);
	char account[QUOTA_ACCOUNT];
	struct batch_file *file;
	int status = batch_find(inbox->batch, &post->notice->id, &file);

	account_of(post, account); /* before the notice is the batch's */
	if (status == 0)
		return answer_notice(&file->row, post, out) == 0 ? 0 : conflict(post, why);
	if (status != STATUS_NOT_FOUND)
		return refuse(why, status, "", "cannot read: %s", status_text(status));
	status = inbox_check_quota(inbox->options.quota, post, now_ms, why);
	if (status != 0)
		return status;
	status = judge(inbox, post, why);
	if (status == 0)
		status = check_references(inbox, post, why);
	if (status == 0)
		status = check_backlogs(inbox, post, why);
	if (status != 0)
		return status;
	status = stage_notice(inbox, post, out);
	if (status != 0)
		return give_up(inbox, status, why, lost);
	quota_take(inbox->options.quota, account, now_ms);
	inbox->stored++;
	return 0;
}

/* ---- Receipts */

/* The same envelope again. */
static int find_envelope(struct inbox *inbox, const struct batch_file *file, const struct post *post, int desk,
			 struct post_result *out)
{
	struct row_step row;

	if (desk < 0 || (file->row.done[desk] >> post->receipt->receipt->step & 1) == 0)
		return STATUS_NOT_FOUND;
	for (uint32_t n = 1; n < file->row.n_steps; n++) {
		int status = batch_read_step(inbox->batch, file, n, &row);
		if (status != 0)
			return status;
		if (hash_compare(&row.hash, &post->receipt->hash) == 0) {
			first_answer(&file->row.id, &row, out);
			return 0;
		}
	}
	return STATUS_NOT_FOUND;
}

/* The same statement by another envelope: any that the desk has made before; of where it stands only the last one, for
 * what was taken back may be said again. */
static int find_statement(struct inbox *inbox, const struct batch_file *file, const struct post *post, int desk,
			  struct post_result *out)
{
	const Poc__Receipt *receipt = post->receipt->receipt;
	struct row_step row;
	bool found = false;

	if ((file->row.done[desk] >> receipt->step & 1) == 0)
		return STATUS_NOT_FOUND;
	for (uint32_t n = 1; n < file->row.n_steps; n++) {
		int status = batch_read_step(inbox->batch, file, n, &row);
		if (status != 0)
			return status;
		if (!is_of_desk(&row, receipt))
			continue;
		if (says_the_same(&row, post)) {
			if (!found)
				first_answer(&file->row.id, &row, out);
			found = true;
		} else if (step_is_stand(receipt->step) && step_is_stand(row.step)) {
			found = false;
		}
	}
	return found ? 0 : STATUS_NOT_FOUND;
}

/* What answered names is a notice of the same thread that this desk has sent. */
static int check_answer(struct inbox *inbox, const struct batch_file *file, const Poc__Receipt *receipt,
			struct refusal *why)
{
	struct batch_file *answer;
	struct notice_id id;

	if (receipt->answer.len == 0)
		return 0;
	memcpy(id.bytes, receipt->answer.data, NOTICE_ID_SIZE);
	int status = batch_find(inbox->batch, &id, &answer);
	if (status != 0 && status != STATUS_NOT_FOUND)
		return refuse(why, status, "answer", "cannot read: %s", status_text(status));
	if (status != 0 || answer->notice->core->from->kind != receipt->kind ||
	    strcmp(answer->notice->core->from->place, receipt->place) != 0 ||
	    memcmp(answer->notice->thread.bytes, file->notice->thread.bytes, NOTICE_ID_SIZE) != 0)
		return refuse(why, STATUS_INVALID, "answer", "is no notice of %s in this thread", receipt->place);
	return 0;
}

static int stage_receipt(struct inbox *inbox, struct batch_file *file, const struct post *post, int desk,
			 struct post_result *out)
{
	const struct receipt *receipt = post->receipt;
	const Poc__Receipt *r = receipt->receipt;
	struct row_step row = {.step = r->step,
			       .by_program = post->service,
			       .hash = receipt->hash,
			       .answer = detail_of(r),
			       .stored_ms = ledger_time_ms(inbox->options.ledger)};

	set_desk(&row, core_desk(file->notice->core, (unsigned)desk));
	if (step_is_private(r->step)) {
		row.item = receipt->bytes;
		row.size = receipt->size;
	} else {
		struct ledger_event event = {receipt->bytes, receipt->size, receipt->users.text, 0};
		int status = ledger_stage_events(inbox->options.ledger, &event, 1, NULL);
		if (status != 0)
			return status;
		row.at = event.place;
	}
	*out = (struct post_result){.id = file->row.id, .hash = row.hash, .stored_ms = row.stored_ms};
	return add_step(inbox, file, &row, desk);
}

/* Whether a notice has room for what a desk says. */
static int check_room(struct inbox *inbox, const struct batch_file *file, const Poc__Receipt *receipt,
		      struct refusal *why)
{
	struct row_step row;
	unsigned own = 0;

	if (file->row.n_steps < ROW_STEPS_MAX)
		return 0;
	for (uint32_t n = 1; n < file->row.n_steps; n++) {
		int status = batch_read_step(inbox->batch, file, n, &row);
		if (status != 0)
			return refuse(why, status, "", "cannot read: %s", status_text(status));
		own += is_of_desk(&row, receipt);
	}
	return own < ROW_STEPS_OF_DESK
		   ? 0
		   : refuse(why, STATUS_TOO_LARGE, "notice_id", "the notice has %d steps already", ROW_STEPS_MAX);
}

static int check_receipt(struct inbox *inbox, const struct post *post, const struct batch_file *file, int desk,
			 struct refusal *why)
{
	/* to whom the notice is none of its business there is no such notice */
	if (!row_party(&file->row, file->notice->core, desk))
		return refuse(why, STATUS_NOT_FOUND, "notice_id", "there is no such notice at this desk");
	int status = receipt_fits(post->receipt, file->notice, why);
	if (status == 0)
		status = check_room(inbox, file, post->receipt->receipt, why);
	return status != 0 ? status : check_answer(inbox, file, post->receipt->receipt, why);
}

static int post_receipt(struct inbox *inbox, struct post *post, struct post_result *out, struct refusal *why,
			bool *lost)
{
	const Poc__Receipt *r = post->receipt->receipt;
	struct batch_file *file;
	int status = batch_find(inbox->batch, &post->receipt->notice_id, &file);

	if (status == STATUS_NOT_FOUND)
		return refuse(why, status, "notice_id", "there is no such notice at this desk");
	if (status != 0)
		return refuse(why, status, "", "cannot read: %s", status_text(status));
	int desk = core_find(file->notice->core, r->place, r->kind);
	status = find_envelope(inbox, file, post, desk, out);
	if (status == STATUS_NOT_FOUND) {
		status = judge(inbox, post, why);
		if (status == 0)
			status = check_receipt(inbox, post, file, desk, why);
		if (status != 0)
			return status;
		status = find_statement(inbox, file, post, desk, out);
	}
	if (status != STATUS_NOT_FOUND)
		return status == 0 ? 0 : refuse(why, status, "", "cannot read: %s", status_text(status));
	status = stage_receipt(inbox, file, post, desk, out);
	if (status != 0)
		return give_up(inbox, status, why, lost);
	inbox->receipts++;
	return 0;
}

int inbox_post(struct inbox *inbox, struct post *post, struct post_result *out, struct refusal *why, bool *lost)
{
	*lost = false;
	*out = (struct post_result){.stored_ms = 0};
	int status =
	    post->notice != NULL ? post_notice(inbox, post, out, why, lost) : post_receipt(inbox, post, out, why, lost);
	inbox_count_refused(status);
	return status;
}

/* ---- Delivery */

int inbox_deliver(struct inbox *inbox, const struct notice_id *id, const char *place, Poc__PocKind kind, bool *lost)
{
	struct batch_file *file;
	int status = batch_find(inbox->batch, id, &file);

	*lost = false;
	if (status != 0)
		return status;
	const Poc__Core *core = file->notice->core;
	int desk = core_find(core, place, kind);
	if (!row_received(&file->row, core, desk) || (file->row.done[desk] >> POC__STEP__STEP_DELIVERED & 1) != 0)
		return 0;
	if ((size_t)desk <= core->n_to && row_weighs(&file->row, core, place))
		status = drop_backlog(inbox, file, (unsigned)desk);
	if (status == 0)
		status = state_fact(inbox, file, POC__STEP__STEP_DELIVERED, desk);
	if (status != 0)
		return give_up(inbox, status, NULL, lost);
	inbox->delivered++;
	return 0;
}

/* ---- Timers */

static int first_timer(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	uint64_t number;
	unsigned what;

	(void)value;
	return row_read_timer(key, key_size, ctx, &number, &what) == 0 ? -1 : STATUS_DAMAGED;
}

uint64_t inbox_due_ms(struct inbox *inbox)
{
	struct store_view *view;

	if (!inbox->due_unknown)
		return inbox->due_ms;
	inbox->due_ms = UINT64_MAX;
	if (store_view_begin(inbox->options.store, &view) != 0)
		return UINT64_MAX; /* tried again next time */
	inbox->due_unknown = store_walk(view, TABLE_TIMER, NULL, 0, first_timer, &inbox->due_ms) > 0;
	store_view_end(view);
	return inbox->due_ms;
}

struct due {
	uint64_t now_ms;
	size_t n;
	struct timer {
		uint64_t at_ms, number;
		unsigned what;
	} timers[TIMERS_AT_ONCE];
};

static int take_due(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct due *due = ctx;
	struct timer *timer = &due->timers[due->n];

	(void)value;
	if (row_read_timer(key, key_size, &timer->at_ms, &timer->number, &timer->what) != 0)
		return STATUS_DAMAGED;
	if (timer->at_ms > due->now_ms)
		return -1;
	return ++due->n == TIMERS_AT_ONCE ? -1 : 0;
}

/* Whether a person of those who received it has taken notice, or the sender has closed it: then nobody else need be
 * troubled.  What a program says is no sign that somebody looked. */
static int is_settled(struct inbox *inbox, const struct batch_file *file, bool *out)
{
	const unsigned said = 1U << POC__STEP__STEP_ACKNOWLEDGED | 1U << POC__STEP__STEP_ACCEPTED |
			      1U << POC__STEP__STEP_DECLINED | 1U << POC__STEP__STEP_ANSWERED |
			      1U << POC__STEP__STEP_CLOSED;
	struct row_step row;

	*out = (file->row.done[0] >> POC__STEP__STEP_CLOSED & 1) != 0;
	for (uint32_t n = 1; n < file->row.n_steps && !*out; n++) {
		int status = batch_read_step(inbox->batch, file, n, &row);
		if (status != 0)
			return status;
		*out = (said >> row.step & 1) != 0 && !row.by_program;
	}
	return 0;
}

static int escalate(struct inbox *inbox, struct batch_file *file, unsigned which)
{
	const Poc__Core *core = file->notice->core;

	if (which >= core->n_escalations)
		return STATUS_DAMAGED;
	const Poc__Desk *to = core->escalations[which]->to;
	int desk = core_find(core, to->place, to->kind);
	bool settled;
	int status = is_settled(inbox, file, &settled);
	if (status != 0 || settled || (file->row.done[desk] >> POC__STEP__STEP_ESCALATED & 1) != 0)
		return status;
	status = batch_feed(inbox->batch, to->place, to->kind, file, 0);
	if (status == 0)
		status = state_fact(inbox, file, POC__STEP__STEP_ESCALATED, desk);
	if (status == 0)
		inbox->escalated++;
	return status;
}

static int expire(struct inbox *inbox, struct batch_file *file)
{
	const Poc__Core *core = file->notice->core;
	int status = 0;

	if (file->row.body_size == 0)
		return 0;
	for (unsigned i = 1; i <= core->n_to && status == 0; i++) {
		if (core_counts(core, i) && row_weighs(&file->row, core, core->to[i - 1]->place))
			status = drop_backlog(inbox, file, i);
	}
	return status != 0 ? status : batch_drop_body(inbox->batch, file);
}

static int run_timer(struct inbox *inbox, const struct timer *timer)
{
	struct batch_file *file;
	int status = batch_find_number(inbox->batch, timer->number, &file);

	if (status == 0)
		status = timer->what == TIMER_EXPIRY ? expire(inbox, file) : escalate(inbox, file, timer->what);
	/* gone with the same commit: a clock that is set back does not bring it again */
	return status != 0 ? status : batch_timer(inbox->batch, timer->at_ms, timer->number, timer->what, false);
}

int inbox_run_timers(struct inbox *inbox, uint64_t now_ms, bool *lost)
{
	struct due due = {.now_ms = now_ms};
	struct store_view *view;
	int status = batch_view(inbox->batch, &view);

	*lost = false;
	if (status == 0)
		status = store_walk(view, TABLE_TIMER, NULL, 0, take_due, &due);
	if (status > 0)
		return status;
	inbox->due_unknown = true;
	status = 0;
	for (size_t i = 0; i < due.n && status == 0; i++)
		status = run_timer(inbox, &due.timers[i]);
	return status == 0 ? 0 : give_up(inbox, status, NULL, lost);
}

/* ---- Commit */

int inbox_flush(struct inbox *inbox, struct refusal *why)
{
	return batch_flush(inbox->batch, why);
}

void inbox_settle(struct inbox *inbox, int status)
{
	if (status == 0) {
		metric_add(METRIC_NOTICES_STORED, inbox->stored);
		metric_add(METRIC_RECEIPTS_STORED, inbox->receipts);
		metric_add(METRIC_NOTICES_DELIVERED, inbox->delivered);
		metric_add(METRIC_NOTICES_ESCALATED, inbox->escalated);
	} else {
		inbox->due_unknown = true; /* timers that were set are not */
	}
	inbox->stored = inbox->receipts = inbox->delivered = inbox->escalated = 0;
	batch_forget(inbox->batch, status == 0, inbox->options.grown, inbox->options.grown_ctx);
}
