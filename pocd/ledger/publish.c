#include <stdlib.h>
#include <string.h>

#include "pocd/ledger/ledger_internal.h"
#include "pocd/store/schema.h"

static int by_key_then_leaf(const void *a, const void *b)
{
	const struct ledger_change *x = a, *y = b;
	int order = hash_compare(&x->key, &y->key);

	return order != 0 ? order : x->leaf < y->leaf ? -1 : x->leaf > y->leaf;
}

/* Keeps the newest change of each key. */
static void settle(struct ledger_changes *pending)
{
	size_t kept = 0;

	if (pending->n > 1)
		qsort(pending->items, pending->n, sizeof *pending->items, by_key_then_leaf);
	for (size_t i = 0; i < pending->n; i++) {
		if (kept > 0 && hash_compare(&pending->items[kept - 1].key, &pending->items[i].key) == 0)
			kept--;
		pending->items[kept++] = pending->items[i];
	}
	pending->n = kept;
}

static struct snapshot_name name_of(const struct ledger_change *change)
{
	return (struct snapshot_name){change->name, change->value, change->seq, change->leaf};
}

/* The next snapshot's names: the last one's with the pending changes merged in, both sorted by key. */
struct merge {
	struct snapshot_name *names;
	struct prefix_entry *entries;
	uint32_t *by_leaf;
	uint32_t *changed; /* indices of what changed */
	size_t n_changed;
	uint32_t *moved; /* of the last snapshot's names: their new index, or GONE where a change took their place */
	size_t n;
};

#define GONE UINT32_MAX

static void merge_names(struct merge *m, const struct snapshot *old, const struct ledger_changes *new)
{
	size_t n_old = old != NULL ? old->n_names : 0, i = 0, j = 0;

	while (i < n_old || j < new->n) {
		int order = i == n_old ? 1 : j == new->n ? -1 : hash_compare(&old->entries[i].key, &new->items[j].key);
		if (order < 0) {
			m->moved[i] = (uint32_t)m->n;
			m->entries[m->n] = old->entries[i];
			m->names[m->n++] = old->names[i++];
			continue;
		}
		if (order == 0)
			m->moved[i++] = GONE;
		m->changed[m->n_changed++] = (uint32_t)m->n;
		m->entries[m->n] = (struct prefix_entry){new->items[j].key, new->items[j].value};
		m->names[m->n++] = name_of(&new->items[j++]);
	}
}

struct placed {
	uint64_t leaf;
	uint32_t index;
};

static int placed_by_leaf(const void *a, const void *b)
{
	uint64_t x = ((const struct placed *)a)->leaf, y = ((const struct placed *)b)->leaf;

	return x < y ? -1 : x > y;
}

/* What has changed has later leaves than all that has not. */
static int merge_order(struct merge *m, const struct snapshot *old)
{
	struct placed *placed = malloc((m->n + 1) * sizeof *placed);
	size_t n = 0, n_placed = 0;

	if (placed == NULL)
		return STATUS_NO_MEMORY;
	for (size_t i = 0; old != NULL && i < old->n_names; i++) {
		if (m->moved[old->by_leaf[i]] != GONE)
			m->by_leaf[n++] = m->moved[old->by_leaf[i]];
	}
	uint64_t first = old != NULL ? old->checkpoint.size : 0;
	for (size_t i = 0; i < m->n; i++) {
		if (m->names[i].leaf >= first)
			placed[n_placed++] = (struct placed){m->names[i].leaf, (uint32_t)i};
	}
	if (n_placed > 1)
		qsort(placed, n_placed, sizeof *placed, placed_by_leaf);
	for (size_t i = 0; i < n_placed; i++)
		m->by_leaf[n++] = placed[i].index;
	free(placed);
	return 0;
}

struct snapshot *ledger_merge(struct ledger *ledger)
{
	const struct snapshot *old = ledger->tip;

	settle(&ledger->pending);
	size_t n_old = old != NULL ? old->n_names : 0, most = n_old + ledger->pending.n + 1;
	struct snapshot *next = calloc(1, sizeof *next);
	struct merge m = {.names = malloc(most * sizeof *m.names),
			  .entries = malloc(most * sizeof *m.entries),
			  .by_leaf = malloc(most * sizeof *m.by_leaf),
			  .changed = malloc((ledger->pending.n + 1) * sizeof *m.changed),
			  .moved = malloc((n_old + 1) * sizeof *m.moved)};
	if (next == NULL || m.names == NULL || m.entries == NULL || m.by_leaf == NULL || m.changed == NULL ||
	    m.moved == NULL)
		goto fail;
	merge_names(&m, old, &ledger->pending);
	if (merge_order(&m, old) == 0)
		next->map = prefix_create_next(m.entries, m.n, old != NULL ? old->map : NULL, m.changed, m.n_changed);
	if (next->map == NULL)
		goto fail;
	free(m.changed);
	free(m.moved);
	atomic_init(&next->references, 1);
	next->n_names = m.n;
	next->entries = m.entries;
	next->names = m.names;
	next->by_leaf = m.by_leaf;
	return next;
fail:
	free(next);
	free(m.names);
	free(m.entries);
	free(m.by_leaf);
	free(m.changed);
	free(m.moved);
	return NULL;
}

/* Refuses to sign a head that does not contain the last one. */
static int check_consistent(struct ledger *ledger, const struct tlog *next, const struct hash *root)
{
	const struct snapshot *last = ledger->tip;
	struct merkle_proof proof;
	struct store_view *view;

	if (last == NULL)
		return 0;
	int status = store_view_begin(ledger->options.store, &view);
	if (status != 0)
		return status;
	struct tlog_reader reader = {next, view};
	status = merkle_consistency(tlog_read, &reader, last->checkpoint.size, next->size, &proof);
	store_view_end(view);
	if (status != 0)
		return status;
	return merkle_verify_consistency(last->checkpoint.size, &last->checkpoint.root, next->size, root, proof.hashes,
					 proof.length)
		   ? 0
		   : STATUS_DAMAGED;
}

static int sign(struct ledger *ledger, const struct checkpoint *checkpoint, char note[NOTE_MAX], size_t *size)
{
	long text = checkpoint_format(checkpoint, note, NOTE_MAX - 1);

	if (text < 0)
		return STATUS_TOO_LARGE;
	*size = (size_t)text;
	note[(*size)++] = '\n';
	for (size_t i = 0; i < ledger->options.n_log_keys; i++) {
		const struct keystore_key *key = ledger->options.log_keys[i];
		const uint8_t *raw = public_key_raw_ed25519(keystore_public(key));
		struct note_key line;
		uint8_t signature[SIGNATURE_MAX];
		size_t signature_size;
		if (raw == NULL || note_key_init(&line, checkpoint->origin, NOTE_ED25519, raw) != 0)
			return STATUS_INVALID;
		int status = keystore_sign(key, (const uint8_t *)note, (size_t)text, signature, &signature_size);
		if (status == 0 && note_append_line(note, size, NOTE_MAX, &line, signature, signature_size) != 0)
			status = STATUS_TOO_LARGE;
		if (status != 0)
			return status;
	}
	return 0;
}

void ledger_set_log_keys(struct ledger *ledger, struct keystore_key *const *keys, size_t n,
			 const struct ledger_signer *signer)
{
	ledger->options.log_keys = keys;
	ledger->options.n_log_keys = n;
	ledger->options.signer = *signer;
}

/* The STATE leaf's time: the clock's, or that of the head of this size which was signed and not stored. */
static uint64_t state_time(struct ledger *ledger, uint64_t size)
{
	if (ledger->signed_size != size)
		return ledger_next_time(ledger);
	if (ledger->last_time_ms < ledger->signed_ms)
		ledger->last_time_ms = ledger->signed_ms;
	return ledger->signed_ms;
}

static int prepare_and_sign(struct ledger *ledger, const struct checkpoint *checkpoint, uint64_t state_ms,
			    char note[NOTE_MAX], size_t *size, struct refusal *why)
{
	const struct ledger_signer *signer = &ledger->options.signer;
	int status = signer->prepare != NULL ? signer->prepare(signer->ctx, checkpoint, state_ms, why) : 0;

	if (status != 0)
		return status;
	ledger->signed_size = checkpoint->size;
	ledger->signed_ms = state_ms;
	return sign(ledger, checkpoint, note, size);
}

struct draft {
	struct tlog tlog;
	struct store_batch *batch;
	struct snapshot *snapshot;
};

int ledger_put_publication(struct store_batch *batch, const struct snapshot *s)
{
	uint8_t key[8], leaf_key[8], value[8 + LEAF_SIZE + NOTE_MAX];

	schema_put_u64(key, s->number);
	schema_put_u64(leaf_key, s->checkpoint.size - 1);
	schema_put_u64(value, s->checkpoint.size);
	memcpy(value + 8, s->leaf, LEAF_SIZE);
	memcpy(value + 8 + LEAF_SIZE, s->note, s->note_size);
	int status = store_batch_put(batch, TABLE_LEAF, leaf_key, sizeof leaf_key, s->leaf, LEAF_SIZE);
	return status != 0
		   ? status
		   : store_batch_put(batch, TABLE_PUBLICATION, key, sizeof key, value, 8 + LEAF_SIZE + s->note_size);
}

static int write_draft(struct ledger *ledger, struct draft *draft, struct refusal *why)
{
	uint8_t leaf[LEAF_SIZE];
	char note[NOTE_MAX];
	size_t note_size = 0;
	struct merkle_proof path;
	struct leaf state = {
	    .kind = LEAF_STATE, .seq = ledger->publications + 1, .time_ms = state_time(ledger, draft->tlog.size + 1)};

	prefix_root(draft->snapshot->map, &state.value);
	leaf_write(&state, leaf);
	tlog_next_path(&draft->tlog, &path);
	struct hash leaf_hash = merkle_leaf(leaf, LEAF_SIZE);
	int status = tlog_append(&draft->tlog, &leaf_hash, draft->batch);
	struct checkpoint checkpoint = {.size = draft->tlog.size, .root = tlog_root(&draft->tlog)};
	strcpy(checkpoint.origin, ledger->origin);
	if (status == 0)
		status = check_consistent(ledger, &draft->tlog, &checkpoint.root);
	if (status == 0)
		status = prepare_and_sign(ledger, &checkpoint, state.time_ms, note, &note_size, why);
	if (status == 0)
		status = ledger_snapshot_seal(draft->snapshot, &checkpoint, note, note_size, leaf, &path);
	if (status == 0)
		status = ledger_put_publication(draft->batch, draft->snapshot);
	if (status == 0)
		status = ledger_attach(ledger, draft->snapshot);
	if (status == 0)
		status = ledger_put_served(ledger, draft->batch, ledger_serves(ledger, draft->snapshot));
	if (status == 0)
		status = ledger_put_evidence(ledger, draft->snapshot, state.seq, draft->batch);
	if (status == 0)
		status = tlog_flush(&draft->tlog, draft->batch);
	if (status == 0)
		status = ledger_put_meta(draft->batch, draft->tlog.size, state.seq, &checkpoint.root);
	return status;
}

int ledger_publish(struct ledger *ledger, struct refusal *why)
{
	struct draft draft = {.tlog = ledger->tlog};
	struct refusal refused = {0}; /* by the signer */

	if (ledger->options.n_log_keys == 0 || strlen(ledger->origin) > NOTE_NAME_MAX)
		return refuse(why, STATUS_DENIED, "log", "no log key: cannot publish");
	if (ledger_staged(ledger))
		return refuse(why, STATUS_FAILED, "log", "a commit is under way");
	draft.batch = store_batch_create();
	if (draft.batch != NULL)
		store_batch_use_reserve(draft.batch); /* what was acknowledged as stored is owed its proof */
	draft.snapshot = ledger_merge(ledger);
	int status =
	    draft.batch == NULL || draft.snapshot == NULL ? STATUS_NO_MEMORY : write_draft(ledger, &draft, &refused);
	if (status == 0) {
		status = store_commit_wait(ledger->options.store, draft.batch);
		draft.batch = NULL;
	}
	if (status != 0) {
		store_batch_destroy(draft.batch);
		snapshot_unref(draft.snapshot);
		return refuse(why, status, "log", "cannot publish: %s",
			      refused.code != 0 ? refused.message : ledger_store_reason(status));
	}
	ledger->tlog = draft.tlog;
	ledger->staged_tlog = draft.tlog;
	ledger->publications = draft.snapshot->number;
	ledger->published_ms = ledger->options.now_ms(ledger->options.now_ctx);
	ledger->pending.n = 0;
	ledger->anchored = false;
	ledger_signers_clear(&ledger->waiting);
	ledger_adopt(ledger, draft.snapshot);
	return 0;
}

/* ---- More signatures */

/* The signed text, up to the blank line before the signatures, is the same. */
static bool same_text(const struct snapshot *tip, const char *note, size_t note_size)
{
	struct note ours, theirs;

	return note_parse(tip->note, tip->note_size, &ours, NULL) == 0 &&
	       note_parse(note, note_size, &theirs, NULL) == 0 && ours.text_size == theirs.text_size &&
	       memcmp(ours.text, theirs.text, ours.text_size) == 0;
}

static int store_again(struct ledger *ledger, struct snapshot *again)
{
	struct store_batch *batch = store_batch_create();

	if (batch == NULL)
		return STATUS_NO_MEMORY;
	store_batch_use_reserve(batch);
	int status = ledger_put_publication(batch, again);
	if (status == 0)
		status = ledger_put_served(ledger, batch, ledger_serves(ledger, again));
	if (status == 0)
		return store_commit_wait(ledger->options.store, batch);
	store_batch_destroy(batch);
	return status;
}

int ledger_renote(struct ledger *ledger, const char *note, size_t note_size, struct refusal *why)
{
	struct snapshot *tip = ledger->tip;

	if (tip == NULL || note_size > NOTE_MAX || !same_text(tip, note, note_size))
		return refuse(why, STATUS_CONFLICT, "note", "not the newest checkpoint");
	if (ledger_staged(ledger))
		return refuse(why, STATUS_FAILED, "log", "a commit is under way");
	struct snapshot *again = snapshot_again(tip);
	int status = again == NULL
			 ? STATUS_NO_MEMORY
			 : ledger_snapshot_seal(again, &tip->checkpoint, note, note_size, tip->leaf, &tip->path);
	if (status == 0)
		status = store_again(ledger, again);
	if (status == 0)
		ledger_adopt(ledger, again);
	else
		snapshot_unref(again);
	return status == 0 ? 0 : refuse(why, status, "note", "cannot keep signatures: %s", ledger_store_reason(status));
}
