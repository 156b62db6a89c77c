/* append: what a follower's ledger takes over from another's log.  Its functions are declared in ledger.h. */
#include <stdlib.h>
#include <string.h>

#include "pocd/ledger/ledger_internal.h"
#include "pocd/store/schema.h"

enum { APPENDED_MAX = 256 * 1024 * 1024 };

static void give_up(struct ledger *ledger)
{
	ledger_drop_staged(ledger);
	ledger->last_time_ms = ledger->tip != NULL ? ledger->tip->time_ms : 0;
	growing_map_finish(&ledger->map);
	snapshot_unref(ledger->state);
	ledger->state = NULL;
	ledger->appended = ledger->covered = 0;
}

static int begin(struct ledger *ledger)
{
	int status = 0;

	if (ledger->batch == NULL)
		ledger->batch = store_batch_create();
	if (ledger->batch == NULL)
		return STATUS_NO_MEMORY;
	size_t n = ledger->map.n == 0 && ledger->tip != NULL ? ledger->tip->n_names : 0;
	for (size_t i = 0; i < n && status == 0; i++)
		status = growing_map_put(&ledger->map, &ledger->tip->entries[i].key, &ledger->tip->entries[i].value);
	return status;
}

static int keep_change(struct ledger *ledger, const struct ledger_put *put, const struct leaf *leaf)
{
	struct ledger_change change = {.name = strdup(put->name),
				       .key = leaf->key,
				       .value = leaf->value,
				       .seq = leaf->seq,
				       .leaf = put->leaf,
				       .time_ms = leaf->time_ms};
	int status = change.name != NULL ? ledger_changes_add(&ledger->staged, &change) : STATUS_NO_MEMORY;

	if (status != 0)
		free(change.name);
	return status;
}

static int append_put(struct ledger *ledger, const struct ledger_appended *in, const struct leaf *leaf,
		      struct refusal *why)
{
	struct hash key = in->name != NULL && in->name[0] != '\0' ? hash_name(in->name) : hash_zero;
	struct hash value = hash_of(in->envelope, in->envelope_size);
	struct ledger_put put = {.name = in->name,
				 .value = value,
				 .seq = leaf->seq,
				 .envelope = in->envelope,
				 .envelope_size = in->envelope_size,
				 .leaf = ledger->staged_tlog.size,
				 .time_ms = leaf->time_ms};

	if (in->envelope_size == 0 || hash_compare(&key, &leaf->key) != 0 || hash_compare(&value, &leaf->value) != 0)
		return refuse(why, STATUS_UNVERIFIED, "leaf", "leaf %llu is of another name or envelope than it says",
			      (unsigned long long)put.leaf);
	int status = ledger_put_leaf(ledger, leaf, put.leaf, in->name);
	if (status == 0)
		status = ledger_put_values(ledger->batch, &put);
	/* one that is there already is put again, the same bytes: looking for each would take longer */
	for (size_t i = 0; status == 0 && i < in->n_sections; i++)
		status = store_batch_put(ledger->batch, TABLE_SECTION, in->sections[i].digest.bytes, HASH_SIZE,
					 in->sections[i].bytes, in->sections[i].size);
	if (status == 0)
		status = growing_map_put(&ledger->map, &key, &value);
	return status != 0 ? status : keep_change(ledger, &put, leaf);
}

/* The note is of the log as it stands with its STATE leaf. */
static int check_note(const struct ledger *ledger, const struct ledger_appended *in, struct checkpoint *out,
		      struct refusal *why)
{
	struct note note;
	struct hash root = tlog_root(&ledger->staged_tlog);

	if (note_parse(in->note, in->note_size, &note, why) != 0 ||
	    checkpoint_parse(note.text, note.text_size, out, why) != 0)
		return refuse(why, STATUS_UNVERIFIED, "note", "not a checkpoint");
	if (out->size != ledger->staged_tlog.size || hash_compare(&root, &out->root) != 0)
		return refuse(why, STATUS_UNVERIFIED, "note", "the log does not lead to its checkpoint of size %llu",
			      (unsigned long long)out->size);
	return 0;
}

static int append_state(struct ledger *ledger, const struct ledger_appended *in, const struct leaf *leaf,
			struct refusal *why)
{
	uint64_t last = ledger->state != NULL ? ledger->state->number : ledger->publications;
	struct hash root = growing_map_root(&ledger->map), leaf_hash = merkle_leaf(in->leaf, LEAF_SIZE);
	struct checkpoint checkpoint;
	struct merkle_proof path;

	if (leaf->seq != last + 1)
		return refuse(why, STATUS_UNVERIFIED, "leaf", "publication %llu does not follow publication %llu",
			      (unsigned long long)leaf->seq, (unsigned long long)last);
	if (hash_compare(&root, &leaf->value) != 0)
		return refuse(why, STATUS_UNVERIFIED, "leaf", "publication %llu has another map than its names",
			      (unsigned long long)leaf->seq);
	tlog_next_path(&ledger->staged_tlog, &path);
	int status = tlog_append(&ledger->staged_tlog, &leaf_hash, ledger->batch);
	if (status == 0)
		status = check_note(ledger, in, &checkpoint, why);
	struct snapshot *state = status == 0 ? calloc(1, sizeof *state) : NULL;
	if (status != 0 || state == NULL)
		return status != 0 ? status : STATUS_NO_MEMORY;
	atomic_init(&state->references, 1);
	status = ledger_snapshot_seal(state, &checkpoint, in->note, in->note_size, in->leaf, &path);
	if (status == 0)
		status = ledger_put_publication(ledger->batch, state);
	snapshot_unref(ledger->state);
	ledger->state = state;
	ledger->covered = ledger->appended;
	return status;
}

static int append(struct ledger *ledger, const struct ledger_appended *in, struct refusal *why)
{
	struct leaf leaf;
	int status = begin(ledger);

	if (status != 0)
		return status;
	if (leaf_read(in->leaf, &leaf) != 0 || leaf.time_ms < ledger->last_time_ms || leaf.time_ms > INT64_MAX)
		return refuse(why, STATUS_UNVERIFIED, "leaf", "leaf %llu is none, or older than the one before it",
			      (unsigned long long)ledger->staged_tlog.size);
	ledger->last_time_ms = leaf.time_ms;
	ledger->appended += in->envelope_size + in->note_size + 512;
	for (size_t i = 0; i < in->n_sections; i++)
		ledger->appended += in->sections[i].size;
	if (ledger->appended - ledger->covered > APPENDED_MAX)
		return refuse(why, STATUS_TOO_LARGE, "leaf", "too much comes without a checkpoint");
	switch (leaf.kind) {
	case LEAF_PUT:
		return append_put(ledger, in, &leaf, why);
	case LEAF_STATE:
		return append_state(ledger, in, &leaf, why);
	default:
		return ledger_put_leaf(ledger, &leaf, ledger->staged_tlog.size, "");
	}
}

int ledger_append(struct ledger *ledger, const struct ledger_appended *in, struct refusal *why)
{
	struct refusal own = {0};
	int status = append(ledger, in, &own);

	if (status == 0)
		return 0;
	give_up(ledger);
	if (own.code == 0)
		return refuse(why, status, "", "cannot take leaves over: %s", status_text(status));
	if (why != NULL)
		*why = own;
	return status;
}

void ledger_append_abandon(struct ledger *ledger)
{
	give_up(ledger);
}

uint64_t ledger_appended_size(const struct ledger *ledger)
{
	return ledger->staged_tlog.size;
}

size_t ledger_appended_bytes(const struct ledger *ledger)
{
	return ledger->appended;
}

bool ledger_appended_whole(const struct ledger *ledger)
{
	return ledger->state != NULL && ledger->state->checkpoint.size == ledger->staged_tlog.size;
}

/* The tip's snapshot, of which so far there is only what the STATE leaf says. */
static int make_tip(struct ledger *ledger, const struct snapshot *state)
{
	struct snapshot *next = ledger_merge(ledger);

	if (next == NULL)
		return STATUS_NO_MEMORY;
	int status =
	    ledger_snapshot_seal(next, &state->checkpoint, state->note, state->note_size, state->leaf, &state->path);
	if (status == 0)
		status = ledger_attach(ledger, next);
	if (status == 0)
		ledger_adopt(ledger, next);
	else
		snapshot_unref(next);
	return status;
}

static int put_followed(struct ledger *ledger, uint64_t size)
{
	uint8_t value[8];

	schema_put_u64(value, size);
	return store_batch_put(ledger->batch, TABLE_META, META_FOLLOWED, sizeof META_FOLLOWED - 1, value, sizeof value);
}

int ledger_append_commit(struct ledger *ledger, struct refusal *why)
{
	struct snapshot *state = ledger->state;

	if (!ledger_appended_whole(ledger))
		return refuse(why, STATUS_FAILED, "", "what is appended does not end with a checkpoint");
	ledger->state = NULL;
	int status = ledger_put_served(ledger, ledger->batch, false);
	if (status == 0)
		status = put_followed(ledger, state->checkpoint.size);
	uint64_t before = ledger->publications;
	ledger->publications = state->number; /* ledger_commit writes it */
	if (status == 0)
		status = ledger_commit(ledger, why);
	if (status != 0) {
		ledger->publications = before;
		snapshot_unref(state);
		give_up(ledger);
		return status;
	}
	ledger->appended = ledger->covered = 0;
	ledger->published_ms = state->time_ms;
	if (make_tip(ledger, state) != 0)
		abort(); /* durable but not remembered: only a restart gets this right */
	snapshot_unref(state);
	ledger->pending.n = 0;
	return 0;
}
