#include "pocd/directory/directory.h"

#include <stdlib.h>
#include <string.h>

#include "pocd/directory/directory_internal.h"
#include "pocd/directory/transitions.h"
#include "proto/rules/chain.h"
#include "proto/rules/record.h"
#include "proto/rules/trust.h"
#include "proto/rules/users.h"

enum { RETENTION_DAYS = 400 };

/* ---- Opening */

static int attach(void *ctx, struct ledger *ledger, const struct snapshot *prev, struct snapshot *next)
{
	struct directory *directory = ctx;

	return holders_attach(ledger, directory->options.store, directory->options.answer_cache, prev, next);
}

/* One of the log keys at least must be one that T lists: else clients would refuse each checkpoint. */
static int check_log_keys(struct keystore_key *const *keys, size_t n, const Poc__Trust *trust, struct refusal *why)
{
	return n == 0 || signers_listed(keys, n, trust)
		   ? 0
		   : refuse(why, STATUS_INVALID, "log.key", "the log key is not one that the trust root lists");
}

static int open_ledger(struct directory *directory, const struct envelope *trust, struct refusal *why)
{
	struct ledger_options ledger = {.store = directory->options.store,
					.origin = trust != NULL ? trust->payload.trust->origin : "",
					.log_keys = directory->options.log_keys,
					.n_log_keys = directory->options.n_log_keys,
					.signer = directory->options.signer,
					.now_ms = directory->options.now_ms,
					.now_ctx = directory->options.now_ctx,
					.attach = attach,
					.attach_ctx = directory,
					.cosigned = transitions_serve,
					.cosigned_ctx = directory->options.store};
	int status = trust != NULL ? check_log_keys(ledger.log_keys, ledger.n_log_keys, trust->payload.trust, why) : 0;

	return status != 0 ? status : ledger_open(&ledger, &directory->ledger, why);
}

static int make_writer(struct directory *directory, struct refusal *why)
{
	const struct directory_options *o = &directory->options;
	struct writer_options writer = {.ledger = directory->ledger,
					.store = o->store,
					.signers = directory->signers,
					.interval_ms = o->interval_ms,
					.heartbeat_ms = o->heartbeat_ms,
					.now_ms = o->now_ms,
					.now_ctx = o->now_ctx,
					.published = o->published,
					.published_ctx = o->published_ctx,
					.failed = o->failed,
					.failed_ctx = o->failed_ctx,
					.retention_ms = o->retention_ms,
					.backlog_bytes = o->backlog_bytes,
					.grown = o->grown,
					.grown_ctx = o->grown_ctx,
					.auditors = directory->auditors,
					.readings = directory->readings};

	directory->quota = writer.quota = quota_create(o->notices_per_hour);
	directory->changes = writer.changes = quota_create(o->changes_per_hour);
	int status = directory->quota != NULL && directory->changes != NULL ? writer_create(&writer, &directory->writer)
									    : STATUS_NO_MEMORY;
	return status == 0 ? 0 : refuse(why, status, "", "the writer cannot be made: %s", status_text(status));
}

static int open_with(const struct directory_options *options, const struct envelope *trust, struct directory **out,
		     struct refusal *why)
{
	struct directory *directory = calloc(1, sizeof *directory);

	if (directory == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	directory->options = *options;
	if (options->retention_ms == 0)
		directory->options.retention_ms = (uint64_t)RETENTION_DAYS * 86400 * 1000;
	if (trust == NULL)
		directory->id = *options->follows;
	else
		directory->id = trust->seq > 1 ? trust->directory_id : trust_directory_id(trust);
	directory->auditors = auditors_create();
	directory->signers = signers_create(options->log_keys, options->n_log_keys, &options->signer);
	directory->readings = options->follows == NULL ? readings_create() : NULL;
	int status = directory->auditors != NULL && directory->signers != NULL &&
			     (directory->readings != NULL || options->follows != NULL)
			 ? open_ledger(directory, trust, why)
			 : refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	if (status == 0 && options->follows != NULL && hash_compare(options->follows, &directory->id) != 0)
		status = refuse(why, STATUS_DIRECTORY, "follow.id", "the folder holds another directory");
	if (status == 0)
		status = make_writer(directory, why);
	if (status != 0) {
		directory_close(directory);
		return status;
	}
	*out = directory;
	return 0;
}

/* The newest T, found by its history: what the ledger says of it is checked when the ledger opens. */
static int read_trust(struct store *store, struct envelope **out, struct refusal *why)
{
	struct store_view *view;
	struct hash value, last;
	const uint8_t *bytes;
	size_t size;
	uint64_t seq = 0;

	int status = store_view_begin(store, &view);
	if (status != 0)
		return refuse(why, status, "", "the store cannot be read: %s", status_text(status));
	while ((status = ledger_read_version(view, "T", seq + 1, &last, NULL)) == 0) {
		value = last;
		seq++;
	}
	if (status == STATUS_NOT_FOUND && seq == 0)
		status = refuse(why, STATUS_NOT_FOUND, "", "there is no trust root in it: no directory (pocadm init)");
	else if (status == STATUS_NOT_FOUND)
		status = ledger_read_envelope(view, &value, &bytes, &size, NULL, NULL);
	if (status == 0)
		status = envelope_parse(bytes, size, out, why);
	else if (seq > 0)
		status = refuse(why, STATUS_DAMAGED, "", "the trust root cannot be read");
	store_view_end(view);
	return status;
}

static bool may_sign(struct directory *directory)
{
	struct snapshot *tip = ledger_tip(directory->ledger);
	int status = auditors_allow(directory->auditors, tip, NULL);

	snapshot_unref(tip);
	return status == 0;
}

int directory_open(const struct directory_options *options, struct directory **out, struct refusal *why)
{
	struct envelope *trust = NULL;

	*out = NULL;
	int status = read_trust(options->store, &trust, why);
	if (status == STATUS_NOT_FOUND && options->follows != NULL)
		status = 0; /* a copy that begins with nothing */
	if (status == 0)
		status = open_with(options, trust, out, why);
	envelope_destroy(trust);
	/* What was committed before a crash is published before anything is served; where auditors must be heard before
	 * anything is signed, it waits for them. */
	if (status == 0 && options->n_log_keys > 0 && ledger_unpublished((*out)->ledger) && may_sign(*out)) {
		status = signers_publish((*out)->signers, (*out)->ledger, why);
		if (status != 0) {
			directory_close(*out);
			*out = NULL;
		}
	}
	return status;
}

void directory_close(struct directory *directory)
{
	if (directory == NULL)
		return;
	writer_destroy(directory->writer);
	quota_destroy(directory->quota);
	quota_destroy(directory->changes);
	ledger_close(directory->ledger);
	signers_destroy(directory->signers);
	auditors_destroy(directory->auditors);
	readings_destroy(directory->readings);
	free(directory);
}

struct ledger *directory_ledger(struct directory *directory)
{
	return directory->ledger;
}

const struct hash *directory_id(const struct directory *directory)
{
	return &directory->id;
}

int directory_use_log_keys(struct directory *directory, struct keystore_key *const *log_keys, size_t n,
			   const struct ledger_signer *signer, struct refusal *why)
{
	struct snapshot *snapshot = ledger_snapshot(directory->ledger);
	int status = snapshot == NULL
			 ? refuse(why, STATUS_BUSY, "log.key", "nothing is published yet")
			 : check_log_keys(log_keys, n, holders_of(snapshot)->trust->envelope->payload.trust, why);

	snapshot_unref(snapshot);
	if (status == 0)
		signers_use(directory->signers, log_keys, n, signer);
	return status;
}

/* ---- Creating */

static void keep_outcome(void *ctx, const struct change_outcome *outcome)
{
	struct refusal *why = ctx;

	if (outcome->status != 0)
		*why = *outcome->why;
}

static int find_trust(const struct change_write *writes, size_t n, struct envelope **out, struct refusal *why)
{
	for (size_t i = 0; i < n; i++) {
		int status = envelope_parse(writes[i].envelope, writes[i].envelope_size, out, why);
		if (status != 0 || ((*out)->name.kind == NAME_TRUST && (*out)->seq == 1))
			return status;
		envelope_destroy(*out);
		*out = NULL;
	}
	return refuse(why, STATUS_INVALID, "writes", "a new directory begins with T(1)");
}

static int check_empty(struct store *store, struct refusal *why)
{
	struct store_view *view;
	struct hash value;

	int status = store_view_begin(store, &view);
	if (status != 0)
		return refuse(why, status, "", "the store cannot be read: %s", status_text(status));
	status = ledger_read_version(view, "T", 1, &value, NULL);
	store_view_end(view);
	if (status == STATUS_NOT_FOUND)
		return 0;
	return refuse(why, STATUS_CONFLICT, "", "there is a directory in it already");
}

/* One group, published at once. */
static int publish_group(struct directory *directory, const struct change_write *writes, size_t n, struct refusal *why)
{
	struct refusal refused = {0};
	int status = writer_submit(directory->writer, NULL, writes, n, true, keep_outcome, &refused, why);

	if (status != 0)
		return status;
	status = writer_run_once(directory->writer);
	if (refused.code != 0) {
		status = refused.code;
		if (why != NULL)
			*why = refused;
	} else if (status != 0) {
		refuse(why, status, "", "the publication failed: %s", status_text(status));
	}
	return status;
}

int directory_create(const struct directory_options *options, const struct change_write *writes, size_t n,
		     struct refusal *why)
{
	struct directory *directory = NULL;
	struct envelope *trust = NULL;

	int status = check_empty(options->store, why);
	if (status == 0)
		status = find_trust(writes, n, &trust, why);
	if (status == 0)
		status = open_with(options, trust, &directory, why);
	if (status == 0)
		status = publish_group(directory, writes, n, why);
	envelope_destroy(trust);
	directory_close(directory);
	return status;
}

int directory_publish_trust(const struct directory_options *options, const struct change_write *writes, size_t n,
			    struct refusal *why)
{
	struct directory *directory = NULL;
	struct envelope *trust = NULL, *current = NULL;

	int status = read_trust(options->store, &current, why);
	if (status == 0)
		status = envelope_parse(writes[0].envelope, writes[0].envelope_size, &trust, why);
	if (status == 0 && trust->name.kind != NAME_TRUST)
		status = refuse(why, STATUS_INVALID, "writes", "the first must be a T");
	/* before the log is opened under it; all else the writer asks */
	if (status == 0)
		status = trust_accepts(current, trust, why);
	if (status == 0)
		status = open_with(options, trust, &directory, why);
	if (status == 0)
		status = publish_group(directory, writes, n, why);
	envelope_destroy(trust);
	envelope_destroy(current);
	directory_close(directory);
	return status;
}

/* ---- Sessions */

static unsigned bits(const int *numbers, size_t n)
{
	unsigned set = 0;

	for (size_t i = 0; i < n; i++)
		set |= 1U << (unsigned)numbers[i];
	return set;
}

static void fill_user(const struct pin *pin, int64_t now, struct principal *out)
{
	const Poc__User *user = pin->user;

	out->facts.editor = pin->editor;
	if (user == NULL) {
		/* an editor without an entry of its own speaks for the unit */
		snprintf(out->handle, sizeof out->handle, "%s", pin->unit);
		return;
	}
	out->not_after = user->not_after;
	if (user_expired(user, now)) {
		out->facts.editor = false;
		return;
	}
	snprintf(out->handle, sizeof out->handle, "%s", user->handle);
	out->facts.roles = bits((const int *)user->roles, user->n_roles);
	out->kinds = bits((const int *)user->kinds, user->n_kinds);
}

int directory_principal(struct directory *directory, const char *state, const struct hash *pin, struct principal *out)
{
	struct snapshot *snapshot = ledger_snapshot(directory->ledger);

	*out = (struct principal){.pin = *pin};
	if (snapshot == NULL)
		return STATUS_BUSY;
	const struct held_state *held = holders_state(holders_of(snapshot), state);
	int status = held != NULL && held->registered ? 0 : STATUS_NOT_FOUND;
	if (status == 0) {
		snprintf(out->state, sizeof out->state, "%s", held->code);
		out->facts.directory = strcmp(held->code, STATE_DIRECTORY) == 0;
		out->facts.suspended = held->suspended;
		const struct pin *found = pins_find(holders_of(snapshot)->pins, held->code, pin);
		if (found != NULL)
			fill_user(found, (int64_t)(snapshot->time_ms / 1000), out);
	}
	snapshot_unref(snapshot);
	return status;
}

/* ---- Writes */

int directory_submit(struct directory *directory, const struct principal *who, const struct change_write *writes,
		     size_t n, bool wait_proven, change_done_fn done, void *ctx, struct refusal *why)
{
	if (directory->options.n_log_keys == 0)
		return refuse(why, STATUS_MIRROR, "",
			      "this server is a mirror: it takes no changes; send them to the directory itself");
	if (who != NULL) {
		struct verdict verdict = policy_decide(&who->facts, OP_SUBMIT, OBJECT_OTHER);
		if (!verdict.allowed)
			return refuse(why, STATUS_DENIED, "", "%s", verdict.rule);
	}
	return writer_submit(directory->writer, who != NULL ? who->state : NULL, writes, n, wait_proven, done, ctx,
			     why);
}

/* ---- Notices: what goes to the writer */

static int judge_post(struct directory *directory, const struct principal *who, struct post *post,
		      struct store_view *view, struct refusal *why)
{
	Poc__PocKind kind;
	const char *place = post_desk(post, &kind);
	int64_t now = (int64_t)(directory->options.now_ms(directory->options.now_ctx) / 1000);
	int status = directory_at_desk(directory, who, place, kind, OP_NOTICE_POST, why);

	if (status == 0)
		status = post_check_body(post, why);
	if (status != 0)
		return status;
	struct snapshot *snapshot = ledger_snapshot(directory->ledger); /* there is one, since the desk was found */
	status = post_judge(post, snapshot, view, now, (int64_t)(directory->options.retention_ms / 1000), why);
	snapshot_unref(snapshot);
	return status;
}

/* What can be said without the writer.  0: the post is good and new; *first says that it is none: it has its answer. */
static int look_at(struct directory *directory, const struct principal *who, struct post *post,
		   struct post_result *answer, bool *first, struct refusal *why)
{
	struct store_view *view;
	int status = store_view_begin(directory->options.store, &view);

	*first = false;
	if (status != 0)
		return refuse(why, status, "", "cannot read: %s", status_text(status));
	status = inbox_first_answer(view, post, answer);
	*first = status != STATUS_NOT_FOUND;
	if (status == STATUS_CONFLICT)
		refuse(why, status, "core.id", "another notice has this id");
	else if (*first && status != 0)
		refuse(why, status, "", "cannot read: %s", status_text(status));
	if (!*first)
		status = inbox_check_quota(directory->quota, post,
					   directory->options.now_ms(directory->options.now_ctx), why);
	if (!*first && status == 0)
		status = judge_post(directory, who, post, view, why);
	store_view_end(view);
	return status;
}

int directory_post(struct directory *directory, const struct principal *who, const struct post_in *in,
		   post_done_fn done, void *ctx, struct refusal *why)
{
	struct post_result answer;
	struct post *post;
	bool first;

	if (directory->options.n_log_keys == 0)
		return refuse(why, STATUS_MIRROR, "",
			      "this server is a mirror: it takes no notices; send them to the directory itself");
	int status = post_parse(in, who->state, &who->pin, &directory->id, &post, why);
	if (status == 0) {
		status = look_at(directory, who, post, &answer, &first, why);
		if (status != 0)
			post_destroy(post);
	}
	if (status != 0) {
		inbox_count_refused(status);
		return status;
	}
	if (first)
		done(ctx, 0, &answer, NULL);
	else
		status = writer_post(directory->writer, post, done, ctx, why);
	if (status != 0 || first)
		post_destroy(post);
	return status;
}

void directory_deliver(struct directory *directory, const struct story_query *query)
{
	/* if the queue is full, the next who fetches it tells it */
	(void)writer_deliver(directory->writer, &query->id, query->place, query->kind);
}

int directory_start(struct directory *directory)
{
	return directory->options.n_log_keys > 0 ? writer_start(directory->writer) : STATUS_DENIED;
}

int directory_run_once(struct directory *directory)
{
	return writer_run_once(directory->writer);
}

uint64_t directory_busy_ms(const struct directory *directory)
{
	return writer_busy_ms(directory->writer);
}

/* ---- Counters */

/* How far the newest checkpoint is from being served, by its own T. */
static void quorum_stats(struct directory *directory, void (*each)(void *ctx, const char *name, uint64_t value),
			 void *ctx)
{
	struct snapshot *tip = ledger_tip(directory->ledger);

	if (tip == NULL)
		return;
	const Poc__Trust *trust = holders_of(tip)->trust->envelope->payload.trust;
	each(ctx, "quorum_auditors", trust->n_auditors);
	each(ctx, "quorum_needed", trust->quorum);
	each(ctx, "quorum_signed", quorum_count(trust, tip->note, tip->note_size));
	snapshot_unref(tip);
}

void directory_stats(struct directory *directory, void (*each)(void *ctx, const char *name, uint64_t value), void *ctx)
{
	struct snapshot *snapshot = ledger_snapshot(directory->ledger);

	if (snapshot == NULL)
		return;
	const struct holders *holders = holders_of(snapshot);
	size_t records = 0, suspended = 0;
	for (size_t i = 0; i < snapshot->n_names; i++)
		records += snapshot->names[i].name[0] == 'R';
	for (size_t i = 0; i < holders->n_states; i++)
		suspended += holders->states[i].suspended;
	each(ctx, "auditors_heard", auditors_count(directory->auditors));
	each(ctx, "auditors_passed_size", auditors_passed_size(directory->auditors));
	each(ctx, "directory_below_quorum", ledger_waits(directory->ledger));
	each(ctx, "directory_answers_cached", atomic_load(&directory->cache_hits));
	each(ctx, "directory_checkpoint_size", snapshot->checkpoint.size);
	each(ctx, "directory_checkpoint_time_ms", snapshot->time_ms);
	each(ctx, "directory_lookups", atomic_load(&directory->lookups));
	each(ctx, "directory_names", snapshot->n_names);
	each(ctx, "directory_pins", pins_size(holders->pins));
	each(ctx, "directory_publications", snapshot->number);
	each(ctx, "directory_records", records);
	each(ctx, "directory_states", holders->n_states);
	each(ctx, "directory_states_suspended", suspended);
	quorum_stats(directory, each, ctx);
	snapshot_unref(snapshot);
}
