#include "pocd/directory/writer.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pocd/base/clock.h"
#include "pocd/base/diag.h"
#include "pocd/base/mailbox.h"
#include "pocd/base/metrics.h"
#include "pocd/directory/change.h"
#include "pocd/directory/rows.h"

enum {
	QUEUE_GROUPS = 4096,
	QUEUE_BYTES = 64 * 1024 * 1024,
	COMMIT_WRITES = 1000, /* of one store batch: more gain nothing and cost waiting */
	COMMIT_BYTES = 8 * 1024 * 1024,
	SHARE_GROUPS = QUEUE_GROUPS / 4, /* of the queue, for what one state asks: no flood shuts others out */
	SHARE_BYTES = QUEUE_BYTES / 4,
	CLOCK_LOOK_MS = 1000, /* how soon a wall clock that was set is seen by timers */
	RETRY_MS = 1000,      /* after a publication, or timers, that failed */
	HOLD_MS = 5000, /* how long the next publication waits for the signatures on the last one: a head that moves
			   faster than auditors sign would never have a quorum */
	POSTS_HOLD_MS = 2000, /* while posts wait for it: shorter than they do, and longer than auditors at work take */
	REFRESH_MS = 60000, /* auditors sign no head that is older than two minutes: one without a quorum is renewed */
	AWAY_MS = 10000,    /* after a start, if the last checkpoint is older than the heartbeat lets it become: nothing
			       that time alone brings at once, for a clock that is wrong is often set right within
			       seconds */
	PROVEN_MS = 3000 /* how long a write that wants to be proven waits for them, and a post for the publication of
			    what it depends on: its client gives up after 5 s */
};

enum group_kind { GROUP_CHANGE, GROUP_POST, GROUP_DELIVERY, GROUP_COSIGN };

/* A submitted group of writes: one block of memory with its bytes behind it; or a post; or a delivery. */
struct group {
	struct group *next;
	enum group_kind kind;
	size_t bytes;
	struct post *post; /* owned */
	post_done_fn post_done;
	uint64_t waits_since; /* monotonic ms: for a publication; 0: not */
	struct post_result posted;
	struct notice_id id; /* of a delivery, with its desk */
	char place[PLACE_ROOM];
	Poc__PocKind desk;
	uint64_t number; /* of a cosignature: its publication */
	struct cosigned_line line;
	bool wait_proven;
	change_done_fn done;
	void *ctx;
	size_t n;
	struct change_write *writes;
	/* what became of it */
	bool built_on; /* judged on top of what was staged and not yet durable */
	bool durable;  /* all of it was stored before: it needs no commit */
	struct change_result *results;
	struct change_outcome outcome;
	struct refusal why;
};

struct list {
	struct group *first, **last;
};

/* What a state takes of the queue. */
struct share {
	char state[STATE_MAX_LENGTH + 1];
	size_t n, bytes;
};

struct writer {
	struct writer_options options;
	struct changer *changer;
	struct inbox *inbox;
	pthread_t thread;
	bool running;
	atomic_ullong busy_since; /* monotonic ms; 0: waits.  Read by any thread */

	pthread_mutex_t lock; /* of queue and stop */
	pthread_cond_t wake;
	struct list queue;
	size_t n_queued, queued_bytes;
	size_t n_shares, shares_capacity;
	struct share *shares;
	bool stop;

	/* the thread's own */
	struct list judged;   /* in the commit that is being put together, or refused meanwhile */
	struct list unproven; /* stored, waiting for a publication */
	struct list waiting;  /* for the publication of what is committed, which concerns them */
	size_t n_staged, staged_bytes, waiting_bytes;
	uint64_t published_at, retry_at, timers_retry_at; /* monotonic ms */
	uint64_t readings_at;                             /* monotonic ms: when to store them */
	int trouble;                                      /* status of the last commit or publication, for the log */
	bool overdue;                                     /* since before the start; see is_overdue */
	bool failed;                                      /* the disk has failed */
	uint64_t waits_since;                             /* monotonic ms: below quorum; 0: not */
	uint64_t unheard_since;                           /* monotonic ms: nothing may be signed yet; 0: it may */
	bool alarmed;                                     /* the log says so */
	bool cosigned;                                    /* note has lines that are not stored yet */
	uint64_t note_number;                             /* publication that note is of */
	size_t note_size;
	char note[NOTE_MAX];
};

static void list_init(struct list *list)
{
	*list = (struct list){.last = &list->first};
}

static void list_add(struct list *list, struct group *group)
{
	group->next = NULL;
	*list->last = group;
	list->last = &group->next;
}

static struct group *list_take(struct list *list)
{
	struct group *first = list->first;

	list_init(list);
	return first;
}

/* ---- Submitting (any thread) */

static size_t align(size_t size)
{
	return (size + 15) & ~(size_t)15;
}

static size_t group_size(const struct change_write *writes, size_t n)
{
	size_t size = align(sizeof(struct group)) + align(n * sizeof *writes) + align(n * sizeof(struct change_result));

	for (size_t i = 0; i < n; i++) {
		size += align(writes[i].envelope_size) + align(writes[i].n_sections * sizeof(ProtobufCBinaryData));
		for (size_t k = 0; k < writes[i].n_sections; k++)
			size += align(writes[i].sections[k].len);
	}
	return size;
}

static void *take(uint8_t **at, size_t size)
{
	void *taken = *at;

	*at += align(size);
	return taken;
}

static void *take_copy(uint8_t **at, const void *bytes, size_t size)
{
	void *taken = take(at, size);

	if (size > 0)
		memcpy(taken, bytes, size);
	return taken;
}

static struct group *group_create(const struct change_write *writes, size_t n)
{
	size_t size = group_size(writes, n);
	struct group *group = calloc(1, size);

	if (group == NULL)
		return NULL;
	uint8_t *at = (uint8_t *)group;
	take(&at, sizeof *group);
	group->bytes = size;
	group->n = n;
	group->writes = take(&at, n * sizeof *writes);
	group->results = take(&at, n * sizeof *group->results);
	for (size_t i = 0; i < n; i++) {
		ProtobufCBinaryData *sections = take(&at, writes[i].n_sections * sizeof *sections);
		group->writes[i] =
		    (struct change_write){.envelope = take_copy(&at, writes[i].envelope, writes[i].envelope_size),
					  .envelope_size = writes[i].envelope_size,
					  .n_sections = writes[i].n_sections,
					  .sections = sections};
		for (size_t k = 0; k < writes[i].n_sections; k++)
			sections[k] =
			    (ProtobufCBinaryData){writes[i].sections[k].len, take_copy(&at, writes[i].sections[k].data,
										       writes[i].sections[k].len)};
	}
	return group;
}

/* The share of a state, made if need be; NULL when out of memory. */
static struct share *share_of(struct writer *writer, const char *state)
{
	for (size_t i = 0; i < writer->n_shares; i++) {
		if (strcmp(writer->shares[i].state, state) == 0)
			return &writer->shares[i];
	}
	if (writer->n_shares == writer->shares_capacity) {
		size_t capacity = writer->shares_capacity > 0 ? 2 * writer->shares_capacity : 16;
		struct share *shares = realloc(writer->shares, capacity * sizeof *shares);
		if (shares == NULL)
			return NULL;
		writer->shares = shares;
		writer->shares_capacity = capacity;
	}
	struct share *share = &writer->shares[writer->n_shares++];
	*share = (struct share){.n = 0};
	strncpy(share->state, state, STATE_MAX_LENGTH);
	return share;
}

/* With the lock held: adds a group unless the queue is full, or the state's share of it. */
static bool add_to_queue(struct writer *writer, struct group *group, const char *state)
{
	struct share *share = state != NULL ? share_of(writer, state) : NULL;

	if (writer->stop || writer->n_queued >= QUEUE_GROUPS || writer->queued_bytes + group->bytes > QUEUE_BYTES)
		return false;
	if (state != NULL && (share == NULL || share->n >= SHARE_GROUPS || share->bytes + group->bytes > SHARE_BYTES))
		return false;
	if (share != NULL) {
		share->n++;
		share->bytes += group->bytes;
	}
	list_add(&writer->queue, group);
	writer->n_queued++;
	writer->queued_bytes += group->bytes;
	pthread_cond_signal(&writer->wake);
	return true;
}

/* state: whose share of the queue it takes; NULL: nobody's.  A group that is refused is freed, without its post. */
static int enqueue(struct writer *writer, struct group *group, const char *state, struct refusal *why)
{
	pthread_mutex_lock(&writer->lock);
	bool added = add_to_queue(writer, group, state);
	pthread_mutex_unlock(&writer->lock);
	if (added)
		return 0;
	free(group);
	return refuse(why, STATUS_BUSY, "", "too many changes are waiting");
}

int writer_submit(struct writer *writer, const char *state, const struct change_write *writes, size_t n,
		  bool wait_proven, change_done_fn done, void *ctx, struct refusal *why)
{
	if (n == 0 || n > CHANGE_WRITES_MAX)
		return refuse(why, STATUS_INVALID, "writes", "1 to %d writes", CHANGE_WRITES_MAX);
	struct group *group = group_create(writes, n);
	if (group == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	group->wait_proven = wait_proven;
	group->done = done;
	group->ctx = ctx;
	return enqueue(writer, group, state, why);
}

static void group_destroy(struct group *group)
{
	post_destroy(group->post);
	free(group);
}

static size_t post_size(const struct post *post)
{
	size_t envelope = post->notice != NULL ? post->notice->size : post->receipt->size;

	/* about what the parsed message takes beside the bytes */
	return sizeof(struct group) + 4 * envelope + post->body_size;
}

int writer_post(struct writer *writer, struct post *post, post_done_fn done, void *ctx, struct refusal *why)
{
	struct group *group = calloc(1, sizeof *group);

	if (group == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	group->kind = GROUP_POST;
	group->bytes = post_size(post);
	group->n = 1;
	group->post = post;
	group->post_done = done;
	group->ctx = ctx;
	return enqueue(writer, group, post->state, why);
}

int writer_cosign(struct writer *writer, const char *state, uint64_t number, const struct cosigned_line *line,
		  struct refusal *why)
{
	struct group *group = calloc(1, sizeof *group);

	if (group == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	group->kind = GROUP_COSIGN;
	group->bytes = sizeof *group;
	group->number = number;
	group->line = *line;
	return enqueue(writer, group, state, why);
}

int writer_deliver(struct writer *writer, const struct notice_id *id, const char *place, Poc__PocKind kind)
{
	struct group *group = calloc(1, sizeof *group);
	char state[STATE_MAX_LENGTH + 1];

	if (group == NULL)
		return STATUS_NO_MEMORY;
	row_state(place, state);
	group->kind = GROUP_DELIVERY;
	group->bytes = sizeof *group;
	group->n = 1;
	group->id = *id;
	strncpy(group->place, place, PLACE_ROOM - 1);
	group->desk = kind;
	return enqueue(writer, group, state, NULL);
}

/* ---- Acknowledging */

static void finish_post(struct group *group)
{
	group->post_done(group->ctx, group->outcome.status, &group->posted, &group->why);
	group_destroy(group);
}

static void finish_group(struct group *group, uint64_t checkpoint_size)
{
	if (group->kind == GROUP_POST) {
		finish_post(group);
		return;
	}
	if (group->kind == GROUP_DELIVERY || group->kind == GROUP_COSIGN) {
		free(group);
		return;
	}
	group->outcome.n = group->outcome.status == 0 ? group->n : 0;
	group->outcome.results = group->results;
	group->outcome.why = &group->why;
	group->outcome.checkpoint_size = checkpoint_size;
	metric_add(group->outcome.status == 0 ? METRIC_WRITES_STORED : METRIC_WRITES_REFUSED, (int64_t)group->n);
	if (group->done != NULL)
		group->done(group->ctx, &group->outcome);
	free(group);
}

static void fail_group(struct group *group, int status, const struct refusal *why)
{
	group->outcome = (struct change_outcome){.status = status};
	if (why != NULL)
		group->why = *why;
	group->why.code = status;
}

/* Whether a failed commit takes a group's outcome with it: what it stored, or what it was judged against. */
static bool undone(const struct group *group)
{
	return group->outcome.status == 0 ? !group->durable : group->built_on;
}

/* Sends out what a commit decided; those that want proof wait for the next publication. */
static void settle(struct writer *writer, int status, const struct refusal *why)
{
	struct group *next;

	for (struct group *group = list_take(&writer->judged); group != NULL; group = next) {
		next = group->next;
		if (status != 0 && undone(group))
			fail_group(group, status, why);
		if (group->outcome.status == 0 && group->wait_proven)
			list_add(&writer->unproven, group);
		else
			finish_group(group, 0);
	}
	writer->n_staged = writer->staged_bytes = 0;
}

/* Logs trouble with the store when it begins, changes and ends, not with each attempt: the disk may be full. */
static void note_trouble(struct writer *writer, int status, const char *event, const struct refusal *why)
{
	if (status == writer->trouble || writer->failed)
		return;
	writer->trouble = status;
	if (status != 0)
		diag(DIAG_ERROR, event, "error", why->message, NULL);
	else
		diag(DIAG_INFO, "store.recovered", NULL);
	writer->failed = status == STATUS_IO;
	if (writer->failed && writer->options.failed != NULL)
		writer->options.failed(writer->options.failed_ctx);
}

static int commit(struct writer *writer)
{
	struct refusal why = {0};
	bool any = ledger_staged(writer->options.ledger);
	int status = inbox_flush(writer->inbox, &why);

	if (status == 0)
		status = ledger_commit(writer->options.ledger, &why);
	if (status != 0 || any)
		note_trouble(writer, status, "commit.failed", &why);
	if (status == 0 && any)
		metric_add(METRIC_COMMITS, 1);
	mailbox_gather();
	inbox_settle(writer->inbox, status);
	/* for a client both are "the server cannot store": sent again, the same write gets its answer */
	settle(writer, status == STATUS_IO ? STATUS_STORAGE : status, &why);
	mailbox_deliver();
	return status;
}

static uint64_t proven_size(struct writer *writer)
{
	struct snapshot *snapshot = ledger_snapshot(writer->options.ledger);
	uint64_t size = snapshot != NULL ? snapshot->checkpoint.size : 0;

	snapshot_unref(snapshot);
	return size;
}

static void settle_unproven(struct writer *writer, uint64_t checkpoint_size)
{
	struct group *next;

	for (struct group *group = list_take(&writer->unproven); group != NULL; group = next) {
		next = group->next;
		finish_group(group, checkpoint_size);
	}
}

static bool covered(const struct group *group, uint64_t checkpoint_size)
{
	for (size_t i = 0; i < group->n; i++) {
		if (group->results[i].leaf >= checkpoint_size)
			return false;
	}
	return true;
}

/* Those whose leaves are in what is served now. */
static void settle_proven(struct writer *writer)
{
	uint64_t size = proven_size(writer);
	struct group *next;

	mailbox_gather();
	for (struct group *group = list_take(&writer->unproven); group != NULL; group = next) {
		next = group->next;
		if (covered(group, size))
			finish_group(group, size);
		else
			list_add(&writer->unproven, group);
	}
	mailbox_deliver();
}

/* Below quorum what was served goes on being served; whoever waits for proof is told after a while that there is none
 * yet. */
static void look_at_quorum(struct writer *writer)
{
	uint64_t now = clock_monotonic_ms();

	if (!ledger_waits(writer->options.ledger)) {
		if (writer->alarmed)
			diag(DIAG_INFO, "quorum.reached", NULL);
		writer->waits_since = 0;
		writer->alarmed = false;
		return;
	}
	if (writer->waits_since == 0)
		writer->waits_since = now;
	if (!writer->alarmed && now >= writer->waits_since + HOLD_MS) {
		writer->alarmed = true;
		diag(DIAG_ERROR, "quorum.missing", "served", diag_number(proven_size(writer)), "error",
		     "too few auditors have signed: the last checkpoint with a quorum goes on being served", NULL);
	}
	if (now >= writer->waits_since + PROVEN_MS)
		settle_unproven(writer, 0);
}

static void tell_published(struct writer *writer)
{
	look_at_quorum(writer);
	settle_proven(writer);
	if (writer->options.published != NULL)
		writer->options.published(writer->options.published_ctx);
}

/* Whether the log's key may sign. */
static int may_sign(struct writer *writer, struct refusal *why)
{
	struct snapshot *tip = ledger_tip(writer->options.ledger);
	int status = writer->options.auditors != NULL ? auditors_allow(writer->options.auditors, tip, why) : 0;

	snapshot_unref(tip);
	return status;
}

static int publish(struct writer *writer)
{
	struct refusal why = {0};
	int status = may_sign(writer, &why);

	if (status == 0)
		status = signers_publish(writer->options.signers, writer->options.ledger, &why);
	if (status != 0) {
		/* The changes are durable: that much can be said.  Their proof comes with a later publication. */
		uint64_t now = clock_monotonic_ms();
		writer->retry_at = now + RETRY_MS;
		if (writer->unheard_since == 0)
			writer->unheard_since = now;
		/* auditors that are to be heard after a start come within seconds */
		if (status == STATUS_BUSY && now < writer->unheard_since + PROVEN_MS)
			return status;
		note_trouble(writer, status, "publish.failed", &why);
		settle_unproven(writer, 0);
		return status;
	}
	writer->unheard_since = 0;
	writer->published_at = clock_monotonic_ms();
	writer->overdue = false;
	metric_add(METRIC_PUBLICATIONS, 1);
	uint64_t size = proven_size(writer);
	diag(DIAG_DEBUG, "checkpoint.published", "size", diag_number(size), NULL);
	changer_published(writer->changer);
	tell_published(writer);
	return 0;
}

/* ---- Cosignatures */

/* Collects a line for the tip; it is stored after what is being put together. */
static void take_cosignature(struct writer *writer, struct group *group)
{
	struct snapshot *tip = ledger_tip(writer->options.ledger);

	if (tip != NULL && tip->number == group->number) {
		if (!writer->cosigned || writer->note_number != tip->number) {
			memcpy(writer->note, tip->note, tip->note_size);
			writer->note_size = tip->note_size;
			writer->note_number = tip->number;
		}
		if (quorum_add_line(writer->note, &writer->note_size, &group->line))
			writer->cosigned = true;
	}
	snapshot_unref(tip);
	list_add(&writer->judged, group);
}

static void store_cosignatures(struct writer *writer)
{
	struct refusal why = {0};

	if (!writer->cosigned)
		return;
	writer->cosigned = false;
	int status = ledger_renote(writer->options.ledger, writer->note, writer->note_size, &why);
	if (status != 0 && status != STATUS_CONFLICT) /* another tip has come meanwhile */
		note_trouble(writer, status, "publish.failed", &why);
	if (status == 0)
		tell_published(writer);
}

/* ---- Working off the queue */

static bool all_durable(const struct writer *writer, const struct group *group)
{
	for (size_t i = 0; i < group->n; i++) {
		if (!group->results[i].repeated || group->results[i].leaf >= ledger_size(writer->options.ledger))
			return false;
	}
	return true;
}

/* The ledger has given up what was staged: so has everybody else. */
static void lose(struct writer *writer, int status, const struct refusal *why)
{
	inbox_settle(writer->inbox, status);
	settle(writer, status, why);
}

/* Puts a group aside for the next publication, unless too much waits for it. */
static bool let_wait(struct writer *writer, struct group *group)
{
	if (writer->waiting_bytes + group->bytes > QUEUE_BYTES)
		return false;
	if (group->waits_since == 0)
		group->waits_since = clock_monotonic_ms();
	list_add(&writer->waiting, group);
	writer->waiting_bytes += group->bytes;
	return true;
}

static bool has_waited(const struct group *group)
{
	return group->waits_since != 0 && clock_monotonic_ms() >= group->waits_since + PROVEN_MS;
}

static void judge_change(struct writer *writer, struct group *group)
{
	struct change_group *parsed;
	bool lost = false;

	int status =
	    change_parse(writer->changer, group->writes, group->n, &parsed, &group->outcome.write, &group->why);
	if (status == 0 && change_must_wait(writer->changer, parsed)) {
		if (!has_waited(group) && let_wait(writer, group)) {
			change_group_destroy(parsed);
			return;
		}
		status = refuse(&group->why, STATUS_BUSY, "",
				"what was signed under it is stored, and not yet proven: the directory's signer or its "
				"auditors do not sign");
	}
	if (status == 0) {
		if (change_needs_commit(parsed) && ledger_staged(writer->options.ledger))
			commit(writer);
		group->built_on = ledger_staged(writer->options.ledger);
		status = change_apply(writer->changer, parsed, group->results, &group->outcome, &group->why, &lost);
	}
	change_group_destroy(parsed);
	if (lost)
		lose(writer, status, &group->why);
	group->outcome.status = status;
	group->why.code = status;
	group->durable = status == 0 && all_durable(writer, group);
	list_add(&writer->judged, group);
}

static void judge_post(struct writer *writer, struct group *group)
{
	bool lost;
	group->post->waited = has_waited(group);
	int status = inbox_post(writer->inbox, group->post, &group->posted, &group->why, &lost);

	if (status == INBOX_WAIT && let_wait(writer, group))
		return;
	if (status == INBOX_WAIT)
		status = refuse(&group->why, STATUS_BUSY, "", "too many notices are waiting for a publication");
	if (lost)
		lose(writer, status, &group->why);
	group->outcome.status = status;
	list_add(&writer->judged, group);
}

static void judge_delivery(struct writer *writer, struct group *group)
{
	static struct diag_rate rate;
	bool lost;
	int status = inbox_deliver(writer->inbox, &group->id, group->place, group->desk, &lost);
	unsigned n = status != 0 ? diag_rate(&rate) : 0;

	if (n > 0)
		diag(DIAG_ERROR, "delivery.failed", "error", status_text(status), "count", diag_number(n), NULL);
	if (lost) {
		struct refusal why;
		refuse(&why, status, "", "cannot store: %s", status_text(status));
		lose(writer, status, &why);
	}
	list_add(&writer->judged, group);
}

static void judge_group(struct writer *writer, struct group *group)
{
	writer->n_staged += group->n;
	writer->staged_bytes += group->bytes;
	switch (group->kind) {
	case GROUP_POST:
		judge_post(writer, group);
		break;
	case GROUP_DELIVERY:
		judge_delivery(writer, group);
		break;
	case GROUP_COSIGN:
		take_cosignature(writer, group);
		break;
	default:
		judge_change(writer, group);
	}
}

/* After a failed disk: what the group would be judged against is not known. */
static void turn_away(struct writer *writer, struct group *group)
{
	refuse(&group->why, STATUS_STORAGE, "", "the disk failed: nothing is stored before the next start");
	group->outcome.status = STATUS_STORAGE;
	list_add(&writer->judged, group);
}

/* The thread has done one thing and begins another: a long queue is no writer that hangs. */
static void go_on(struct writer *writer)
{
	if (atomic_load(&writer->busy_since) != 0)
		atomic_store(&writer->busy_since, clock_monotonic_ms());
}

static void work_off(struct writer *writer, struct group *groups)
{
	struct group *next;

	for (; groups != NULL; groups = next) {
		next = groups->next;
		go_on(writer);
		if (writer->failed)
			turn_away(writer, groups);
		else
			judge_group(writer, groups);
		sched_yield(); /* see give_way */
		if (writer->n_staged >= COMMIT_WRITES || writer->staged_bytes >= COMMIT_BYTES)
			commit(writer);
	}
	commit(writer);
	store_cosignatures(writer);
}

static struct group *take_queue(struct writer *writer)
{
	writer->n_queued = 0;
	writer->queued_bytes = 0;
	writer->n_shares = 0;
	return list_take(&writer->queue);
}

/* What waited for a publication: changes first, or posts of one state could keep the council's from ever coming. */
static void work_off_waiting(struct writer *writer)
{
	struct list changes, posts;
	struct group *next;

	list_init(&changes);
	list_init(&posts);
	for (struct group *group = list_take(&writer->waiting); group != NULL; group = next) {
		next = group->next;
		list_add(group->kind == GROUP_CHANGE ? &changes : &posts, group);
	}
	writer->waiting_bytes = 0;
	work_off(writer, changes.first);
	work_off(writer, posts.first);
}

/* Does a part of what is due and says whether more may be: what has arrived meanwhile comes first, for after a long
 * time without the daemon, or a jump of the clock, a million may be due at once. */
static bool run_timers(struct writer *writer)
{
	uint64_t now_ms = writer->options.now_ms(writer->options.now_ctx);
	struct refusal why;
	bool lost;

	if (inbox_due_ms(writer->inbox) > now_ms)
		return false;
	int status = inbox_run_timers(writer->inbox, now_ms, &lost);
	if (lost) {
		refuse(&why, status, "", "cannot store: %s", status_text(status));
		lose(writer, status, &why);
	}
	if (status == 0)
		status = commit(writer);
	if (status == 0)
		return true;
	diag(DIAG_ERROR, "timers.failed", "error", status_text(status), NULL);
	writer->timers_retry_at = clock_monotonic_ms() + RETRY_MS;
	return false;
}

/* Who has read what.  A failure is the store's own, which whoever writes is told; it stays counted for the next time.
 */
static void store_readings(struct writer *writer)
{
	writer->readings_at = clock_monotonic_ms() + READINGS_STORE_MS;
	if (writer->options.readings != NULL && !writer->failed)
		(void)readings_store(writer->options.readings, writer->options.store,
				     writer->options.now_ms(writer->options.now_ctx));
}

/* Publishes what waits, and what then no longer waits, until nothing does. */
static int publish_all(struct writer *writer)
{
	int status = 0;

	while (status == 0 && (ledger_unpublished(writer->options.ledger) || writer->waiting.first != NULL)) {
		if (ledger_unpublished(writer->options.ledger))
			status = publish(writer);
		if (status != 0)
			break; /* what waits for it goes on waiting */
		work_off_waiting(writer);
	}
	return status;
}

int writer_run_once(struct writer *writer)
{
	do {
		pthread_mutex_lock(&writer->lock);
		struct group *groups = take_queue(writer);
		pthread_mutex_unlock(&writer->lock);
		work_off(writer, groups);
	} while (run_timers(writer));
	int status = publish_all(writer);
	if (status == 0)
		settle_proven(writer);
	return status;
}

/* When the next publication is due, monotonic ms. */
static uint64_t due_at(const struct writer *writer)
{
	bool waiting = ledger_unpublished(writer->options.ledger);
	uint64_t pause = waiting ? writer->options.interval_ms : writer->options.heartbeat_ms;
	if (writer->overdue && pause > AWAY_MS)
		pause = AWAY_MS;
	uint64_t due = writer->published_at + pause;

	if (writer->waits_since != 0) {
		uint64_t hold_ms = writer->waiting.first != NULL ? POSTS_HOLD_MS : HOLD_MS;
		uint64_t hold = writer->published_at + hold_ms, refresh = writer->published_at + REFRESH_MS;
		due = due < hold ? hold : due < refresh ? due : refresh;
	}
	return due > writer->retry_at ? due : writer->retry_at;
}

/* When to look at the timers, monotonic ms.  They go by the wall clock, which may be set at any time. */
static uint64_t timers_at(struct writer *writer)
{
	uint64_t due = inbox_due_ms(writer->inbox), now = clock_monotonic_ms();
	uint64_t wall = writer->options.now_ms(writer->options.now_ctx);

	if (due == UINT64_MAX)
		return UINT64_MAX;
	uint64_t wait = due > wall ? due - wall : 0, at = now + (wait < CLOCK_LOOK_MS ? wait : CLOCK_LOOK_MS);
	return at > writer->timers_retry_at ? at : writer->timers_retry_at;
}

/* When to look at the quorum again, monotonic ms. */
static uint64_t quorum_at(const struct writer *writer)
{
	if (writer->waits_since == 0)
		return UINT64_MAX;
	uint64_t alarm = writer->alarmed ? UINT64_MAX : writer->waits_since + HOLD_MS;
	uint64_t proven = writer->unproven.first != NULL ? writer->waits_since + PROVEN_MS : UINT64_MAX;
	return alarm < proven ? alarm : proven;
}

/* When the first of those that wait for a publication has waited long enough, monotonic ms. */
static uint64_t waited_at(const struct writer *writer)
{
	uint64_t first = UINT64_MAX;

	for (const struct group *group = writer->waiting.first; group != NULL; group = group->next)
		first = group->waits_since < first ? group->waits_since : first;
	return first != UINT64_MAX ? first + PROVEN_MS : UINT64_MAX;
}

static void wait_until(struct writer *writer, uint64_t due)
{
	struct timespec at = {.tv_sec = (time_t)(due / 1000), .tv_nsec = (long)(due % 1000) * 1000000};

	while (writer->queue.first == NULL && !writer->stop) {
		if (pthread_cond_timedwait(&writer->wake, &writer->lock, &at) == ETIMEDOUT)
			break;
	}
}

/* One turn: what has arrived, what time brings, and a publication if one is due. */
static void turn(struct writer *writer, struct group *groups, bool stop)
{
	work_off(writer, groups);
	if (clock_monotonic_ms() >= writer->timers_retry_at)
		run_timers(writer);
	if (stop || clock_monotonic_ms() >= writer->readings_at)
		store_readings(writer);
	look_at_quorum(writer);
	if (writer->unproven.first != NULL && !ledger_unpublished(writer->options.ledger))
		settle_proven(writer); /* repeated writes, proven long ago */
	if (stop)
		publish_all(writer);
	else if (clock_monotonic_ms() >= due_at(writer))
		publish(writer);
	if (writer->waiting.first != NULL &&
	    (!ledger_unpublished(writer->options.ledger) || clock_monotonic_ms() >= waited_at(writer)))
		work_off_waiting(writer);
}

/* What sched_setattr(2) takes; glibc declares it from 2.41 on. */
struct scheduling {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

/* Answers come first: where cores are short, a commit or a publication lets the event loops go before it, yet keeps a
 * tenth of a core against any load of lookups (the idle policy would starve it).  A loop that is busy with posts does
 * not sleep, so it does not take the core back by waking up: it waits for the end of the writer's slice, which is as
 * short as the kernel allows (from 6.12 on; those before have another way, and ignore it).  And a writer that has slept
 * over a sync may run for many slices: so it yields between the pieces of its work, which with a slice that short costs
 * it little.  On Linux all this is a thread's own. */
static void give_way(void)
{
	enum { NICE = 10, SLICE_NS = 100 * 1000 };
	struct scheduling own = {.size = sizeof own, .policy = SCHED_BATCH, .nice = NICE, .runtime = SLICE_NS};

	if (syscall(SYS_sched_setattr, 0, &own, 0) != 0)
		diag(DIAG_WARNING, "writer.priority_failed", "error", strerror(errno), NULL);
}

static void *run(void *ctx)
{
	struct writer *writer = ctx;
	bool stop = false;

	(void)pthread_setname_np(pthread_self(), "pocd-writer"); /* for top -H and the like */
	give_way();

	while (!stop) {
		uint64_t due = due_at(writer), timers = timers_at(writer), quorum = quorum_at(writer);
		uint64_t waited = waited_at(writer);
		due = quorum < due ? quorum : due;
		due = waited < due ? waited : due;
		due = writer->readings_at < due ? writer->readings_at : due;
		pthread_mutex_lock(&writer->lock);
		wait_until(writer, due < timers ? due : timers);
		struct group *groups = take_queue(writer);
		stop = writer->stop;
		pthread_mutex_unlock(&writer->lock);
		atomic_store(&writer->busy_since, clock_monotonic_ms());
		turn(writer, groups, stop);
		atomic_store(&writer->busy_since, 0);
	}
	settle_unproven(writer, 0);
	return NULL;
}

/* ---- Lifetime */

static int make_parts(struct writer *writer)
{
	const struct writer_options *o = &writer->options;
	struct inbox_options inbox = {.ledger = o->ledger,
				      .store = o->store,
				      .quota = o->quota,
				      .now_ms = o->now_ms,
				      .now_ctx = o->now_ctx,
				      .retention_ms = o->retention_ms,
				      .backlog_bytes = o->backlog_bytes,
				      .grown = o->grown,
				      .grown_ctx = o->grown_ctx};

	const struct changer_options changer = {.ledger = o->ledger,
						.store = o->store,
						.signers = o->signers,
						.auditors = o->auditors,
						.quota = o->changes,
						.now_ms = o->now_ms,
						.now_ctx = o->now_ctx};

	writer->changer = changer_create(&changer);
	return writer->changer != NULL ? inbox_create(&inbox, &writer->inbox) : STATUS_NO_MEMORY;
}

/* Whether the daemon was away for longer than its heartbeat. */
static bool is_overdue(const struct writer *writer)
{
	uint64_t wall = writer->options.now_ms(writer->options.now_ctx);
	uint64_t last = ledger_published_ms(writer->options.ledger);

	return wall > last && wall - last >= writer->options.heartbeat_ms;
}

int writer_create(const struct writer_options *options, struct writer **out)
{
	struct writer *writer = calloc(1, sizeof *writer);
	pthread_condattr_t monotonic;

	*out = NULL;
	if (writer == NULL)
		return STATUS_NO_MEMORY;
	writer->options = *options;
	int status = make_parts(writer);
	if (status != 0) {
		changer_destroy(writer->changer);
		free(writer);
		return status;
	}
	list_init(&writer->queue);
	list_init(&writer->judged);
	list_init(&writer->unproven);
	list_init(&writer->waiting);
	writer->published_at = clock_monotonic_ms();
	writer->readings_at = writer->published_at + READINGS_STORE_MS;
	writer->overdue = is_overdue(writer);
	if (writer->overdue)
		writer->timers_retry_at = writer->published_at + AWAY_MS;
	pthread_mutex_init(&writer->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&writer->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	*out = writer;
	return 0;
}

int writer_start(struct writer *writer)
{
	if (pthread_create(&writer->thread, NULL, run, writer) != 0)
		return STATUS_FAILED;
	writer->running = true;
	return 0;
}

uint64_t writer_busy_ms(const struct writer *writer)
{
	uint64_t since = atomic_load(&writer->busy_since), now = clock_monotonic_ms();

	return since != 0 && now > since ? now - since : 0;
}

/* What still waits when no publication can be had: nothing of it is stored. */
static void fail_waiting(struct writer *writer)
{
	struct group *next;
	struct refusal why;

	refuse(&why, STATUS_BUSY, "", "the server stops");
	for (struct group *group = list_take(&writer->waiting); group != NULL; group = next) {
		next = group->next;
		fail_group(group, STATUS_BUSY, &why);
		finish_group(group, 0);
	}
}

void writer_destroy(struct writer *writer)
{
	if (writer == NULL)
		return;
	pthread_mutex_lock(&writer->lock);
	writer->stop = true;
	pthread_cond_signal(&writer->wake);
	pthread_mutex_unlock(&writer->lock);
	if (writer->running)
		pthread_join(writer->thread, NULL);
	else if (writer->queue.first != NULL)
		writer_run_once(writer);
	fail_waiting(writer);
	changer_destroy(writer->changer);
	inbox_destroy(writer->inbox);
	free(writer->shares);
	pthread_cond_destroy(&writer->wake);
	pthread_mutex_destroy(&writer->lock);
	free(writer);
}
