/* check: recomputes log, map and publications from the leaves up and compares them with everything that is stored. What
 * the envelopes say is the directory's matter (pocd/directory/history). */
#include <stdlib.h>
#include <string.h>

#include "pocd/ledger/changes.h"
#include "pocd/ledger/growing_map.h"
#include "pocd/ledger/ledger.h"
#include "pocd/ledger/tlog.h"
#include "pocd/store/schema.h"
#include "proto/proof/note.h"

enum { NAME_ROOM = 80 };

/* ---- The walk */

struct check {
	struct store_view *view;
	struct tlog_reader tiles;
	struct refusal *why;
	uint64_t size, publications; /* as META says */
	uint64_t followed;           /* likewise: leaves without events */
	struct hash root;
	struct hash peaks[64];
	struct changes names; /* by map key; name is kept in a chunk of its own */
	struct growing_map map;
	struct changes signers; /* U of events since the last STATE leaf, by map key, with their names as bytes */
	uint64_t last_time, puts, evidence;
	struct ledger_report report;
};

/* The first thing that is wrong, with one number in its text. */
#define wrong(check, field, format, number)                                                                            \
	refuse((check)->why, STATUS_DAMAGED, (field), format, (unsigned long long)(number))

/* 0 if it is not there. */
static int read_number(const struct check *check, const char *name, uint64_t *out)
{
	struct store_value value;
	int status = store_get(check->view, TABLE_META, name, strlen(name), &value);

	*out = 0;
	if (status == STATUS_NOT_FOUND)
		return 0;
	if (status != 0 || value.size != 8)
		return STATUS_DAMAGED;
	*out = schema_get_u64(value.bytes);
	return *out > 0 ? 0 : STATUS_DAMAGED;
}

static int read_meta(struct check *check)
{
	struct store_value meta;
	uint64_t served;
	int status = store_get(check->view, TABLE_META, META_LOG, sizeof META_LOG - 1, &meta);

	if (status == STATUS_NOT_FOUND)
		return 0; /* an empty ledger */
	if (status != 0 || meta.size != 16 + HASH_SIZE)
		return refuse(check->why, STATUS_DAMAGED, "meta", "the log's size is gone");
	check->size = schema_get_u64(meta.bytes);
	check->publications = schema_get_u64(meta.bytes + 8);
	memcpy(check->root.bytes, meta.bytes + 16, HASH_SIZE);
	status = read_number(check, META_FOLLOWED, &check->followed);
	if (status != 0 || check->followed > check->size)
		return refuse(check->why, STATUS_DAMAGED, "meta", "how much was taken over is damaged");
	status = read_number(check, META_SERVED, &served);
	if (status != 0 || served > check->publications)
		return refuse(check->why, STATUS_DAMAGED, "meta", "the number of the served publication is damaged");
	return 0;
}

/* Adds a leaf to the tree and compares what its completion completes with the stored tiles. */
static int add_to_tree(struct check *check, uint64_t index, const uint8_t leaf[LEAF_SIZE])
{
	struct hash hash = merkle_leaf(leaf, LEAF_SIZE), stored;
	unsigned level = 0;

	for (;; level++) {
		if (level % 8 == 0 && (tlog_read(&check->tiles, level, index >> level, &stored) != 0 ||
				       hash_compare(&stored, &hash) != 0))
			return wrong(check, "tile", "the tiles do not match leaf %llu", index);
		if ((index >> level & 1) == 0)
			break;
		hash = merkle_node(&check->peaks[level], &hash);
	}
	check->peaks[level] = hash;
	return 0;
}

static struct hash tree_root(const struct check *check, uint64_t size)
{
	struct hash root = merkle_empty_root();
	bool first = true;

	for (unsigned level = 0; level < 64; level++) {
		if ((size >> level & 1) == 0)
			continue;
		root = first ? check->peaks[level] : merkle_node(&check->peaks[level], &root);
		first = false;
	}
	return root;
}

static int check_envelope(struct check *check, uint64_t index, const struct leaf *leaf)
{
	const uint8_t *bytes;
	size_t size;
	uint64_t stored_leaf, time_ms;

	if (ledger_read_envelope(check->view, &leaf->value, &bytes, &size, &stored_leaf, &time_ms) != 0)
		return wrong(check, "envelope", "the envelope of leaf %llu is gone", index);
	struct hash value = hash_of(bytes, size);
	if (hash_compare(&value, &leaf->value) != 0)
		return wrong(check, "envelope", "the envelope of leaf %llu has another hash", index);
	if (stored_leaf != index || time_ms != leaf->time_ms)
		return wrong(check, "envelope", "the envelope of leaf %llu says another leaf or time", index);
	return 0;
}

static int check_put(struct check *check, uint64_t index, const struct leaf *leaf, const char *name)
{
	struct hash key = hash_name(name), value;
	const struct change *before = changes_find(&check->names, &key);
	uint64_t history_leaf;

	if (hash_compare(&key, &leaf->key) != 0)
		return wrong(check, "leaf", "leaf %llu is of another name than it says", index);
	if (leaf->seq != (before != NULL ? before->seq + 1 : 1))
		return wrong(check, "leaf", "leaf %llu is out of sequence", index);
	if (ledger_read_version(check->view, name, leaf->seq, &value, &history_leaf) != 0 || history_leaf != index ||
	    hash_compare(&value, &leaf->value) != 0)
		return wrong(check, "history", "the history does not have leaf %llu", index);
	int status = check_envelope(check, index, leaf);
	struct change change = {.key = key, .value = leaf->value, .seq = leaf->seq, .leaf = index};
	if (status == 0)
		status = changes_put(&check->names, &change);
	if (status == 0)
		status = growing_map_put(&check->map, &key, &leaf->value);
	check->puts++;
	return status;
}

static int check_state(struct check *check, uint64_t index, const struct leaf *leaf, const uint8_t bytes[LEAF_SIZE])
{
	struct hash root = growing_map_root(&check->map);
	struct checkpoint checkpoint;
	struct note note;
	uint64_t size;
	const char *text;
	size_t text_size;

	if (leaf->seq != ++check->report.publications)
		return wrong(check, "leaf", "STATE leaf %llu is out of sequence", index);
	if (hash_compare(&root, &leaf->value) != 0)
		return wrong(check, "leaf", "the map does not lead to the root in STATE leaf %llu", index);
	if (ledger_read_publication(check->view, leaf->seq, &size, &text, &text_size) != 0 || size != index + 1)
		return wrong(check, "publication", "publication %llu is gone or of another size", leaf->seq);
	if (note_parse(text, text_size, &note, NULL) != 0 ||
	    checkpoint_parse(note.text, note.text_size, &checkpoint, NULL) != 0 || checkpoint.size != size)
		return wrong(check, "publication", "the checkpoint of publication %llu is damaged", leaf->seq);
	root = tree_root(check, size);
	if (hash_compare(&root, &checkpoint.root) != 0)
		return wrong(check, "publication", "the log does not lead to checkpoint %llu", leaf->seq);
	/* the stored copy of the STATE leaf stands before the note */
	if (memcmp(text - LEAF_SIZE, bytes, LEAF_SIZE) != 0)
		return wrong(check, "publication", "publication %llu has another STATE leaf", leaf->seq);
	return 0;
}

/* ---- Events */

/* All events of one batch. */
struct batch {
	struct check *check;
	uint64_t leaf;
	size_t n, capacity;
	struct prefix_entry *entries;
};

enum { BATCH_ENDS = -1 };

static int add_event(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct batch *batch = ctx;
	struct ledger_event_row row;

	(void)value;
	if (key_size != SCHEMA_EVENT_KEY)
		return STATUS_DAMAGED;
	if (schema_get_u64(key) != batch->leaf)
		return BATCH_ENDS;
	if (schema_get_u32(key + 8) != batch->n ||
	    ledger_read_event(batch->check->view, batch->leaf, (uint32_t)batch->n, &row) != 0)
		return STATUS_DAMAGED;
	if (batch->n == batch->capacity) {
		size_t capacity = batch->capacity > 0 ? 2 * batch->capacity : 64;
		struct prefix_entry *entries = realloc(batch->entries, capacity * sizeof *entries);
		if (entries == NULL)
			return STATUS_NO_MEMORY;
		batch->entries = entries;
		batch->capacity = capacity;
	}
	struct hash event = hash_event(row.item, row.size);
	batch->entries[batch->n++] = (struct prefix_entry){event, event};
	if (row.signer[0] == '\0')
		return 0;
	struct change signer = {
	    .key = hash_name(row.signer), .bytes = (uint8_t *)row.signer, .size = strlen(row.signer) + 1};
	return changes_put(&batch->check->signers, &signer);
}

static int entries_by_key(const void *a, const void *b)
{
	return hash_compare(&((const struct prefix_entry *)a)->key, &((const struct prefix_entry *)b)->key);
}

static int check_siblings(const struct batch *batch, const struct hash *root)
{
	struct ledger_event_row row;

	for (uint32_t i = 0; i < batch->n; i++) {
		if (ledger_read_event(batch->check->view, batch->leaf, i, &row) != 0)
			return STATUS_DAMAGED;
		struct hash event = hash_event(row.item, row.size);
		if (!prefix_verify(root, &event, &event, row.siblings, row.depth, PREFIX_FOUND, NULL))
			return STATUS_DAMAGED;
	}
	return 0;
}

/* Every item leads by its siblings to the leaf's root, and there is no other item: its M is that root. */
static int check_batch(struct batch *batch, const struct leaf *leaf)
{
	uint8_t key[SCHEMA_EVENT_KEY];
	struct hash root;

	schema_event_key(key, batch->leaf, 0);
	int status = store_walk(batch->check->view, TABLE_EVENT, key, sizeof key, add_event, batch);
	if ((status != 0 && status != BATCH_ENDS) || batch->n == 0)
		return STATUS_DAMAGED;
	status = check_siblings(batch, &leaf->value);
	if (status != 0)
		return status;
	qsort(batch->entries, batch->n, sizeof *batch->entries, entries_by_key);
	struct prefix_tree *tree = prefix_create(batch->entries, batch->n);
	if (tree == NULL)
		return STATUS_DAMAGED;
	prefix_root(tree, &root);
	prefix_destroy(tree);
	return hash_compare(&root, &leaf->value) == 0 ? 0 : STATUS_DAMAGED;
}

static int check_anchor(struct check *check, uint64_t index, const struct leaf *leaf)
{
	struct batch batch = {.check = check, .leaf = index};
	int status = check_batch(&batch, leaf);

	check->report.events += batch.n;
	free(batch.entries);
	return status == 0 ? 0
			   : wrong(check, "event", "the events of ANCHOR leaf %llu do not lead to its value", index);
}

static int check_proofs(const struct check *check, const struct leaf *state, const char *users)
{
	struct ledger_evidence evidence;
	int status = ledger_read_evidence(check->view, state->seq, users, &evidence);

	for (size_t i = 0; i < LEDGER_EVIDENCE_ITEMS && status == 0; i++) {
		const struct ledger_evidence_item *item = &evidence.items[i];
		struct hash key = hash_name(item->name);
		const struct change *known = changes_find(&check->names, &key);
		if (known == NULL || hash_compare(&known->value, &item->value) != 0 ||
		    !prefix_verify(&state->value, &key, &item->value, item->siblings, item->depth, PREFIX_FOUND, NULL))
			status = STATUS_DAMAGED;
	}
	return status;
}

/* Of each U that signed events since the last STATE leaf there is evidence under this one. */
static int check_evidence(struct check *check, const struct leaf *state)
{
	for (size_t i = 0; i < check->signers.n; i++) {
		const char *users = (const char *)check->signers.items[i].bytes;
		if (check_proofs(check, state, users) != 0)
			return refuse(check->why, STATUS_DAMAGED, "evidence",
				      "the evidence for %s at publication %llu is damaged or gone", users,
				      (unsigned long long)state->seq);
		check->evidence++;
	}
	changes_clear(&check->signers);
	return 0;
}

/* What was signed since the last publication is remembered for the next. */
static int check_waiting(struct check *check)
{
	uint8_t key[SCHEMA_EVIDENCE_KEY_MAX];
	struct store_value value;

	for (size_t i = 0; i < check->signers.n; i++) {
		const char *users = (const char *)check->signers.items[i].bytes;
		if (store_get(check->view, TABLE_EVIDENCE, key, schema_evidence_key(key, 0, users), &value) != 0 ||
		    value.size != 0)
			return refuse(check->why, STATUS_DAMAGED, "evidence", "that %s waits for evidence is forgotten",
				      users);
	}
	check->evidence += check->signers.n;
	return 0;
}

static int check_leaf(struct check *check, uint64_t index)
{
	uint8_t bytes[LEAF_SIZE];
	char name[NAME_ROOM];
	struct leaf leaf;

	if (ledger_read_leaf(check->view, index, &leaf, name, sizeof name) != 0)
		return wrong(check, "leaf", "leaf %llu cannot be read", index);
	leaf_write(&leaf, bytes);
	if (leaf.time_ms < check->last_time)
		return wrong(check, "leaf", "leaf %llu is older than the one before it", index);
	check->last_time = leaf.time_ms;
	int status = add_to_tree(check, index, bytes);
	if (status != 0)
		return status;
	check->report.leaves++;
	switch (leaf.kind) {
	case LEAF_PUT:
		return check_put(check, index, &leaf, name);
	case LEAF_STATE:
		status = check_state(check, index, &leaf, bytes);
		return status != 0 ? status : check_evidence(check, &leaf);
	default:
		return index < check->followed ? 0 : check_anchor(check, index, &leaf);
	}
}

/* ---- Tables as a whole: nothing is there that no leaf speaks of */

static int check_current(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct check *check = ctx;
	char name[NAME_ROOM];

	if (key_size >= sizeof name || value->size != HASH_SIZE + 16)
		return wrong(check, "current", "entry %llu of current is damaged", check->report.names);
	memcpy(name, key, key_size);
	name[key_size] = '\0';
	struct hash hash = hash_name(name);
	const struct change *known = changes_find(&check->names, &hash);
	check->report.names++;
	if (known == NULL || memcmp(known->value.bytes, value->bytes, HASH_SIZE) != 0 ||
	    schema_get_u64(value->bytes + HASH_SIZE) != known->seq ||
	    schema_get_u64(value->bytes + HASH_SIZE + 8) != known->leaf)
		return refuse(check->why, STATUS_DAMAGED, "current", "current says something else of %s than the log",
			      name);
	return 0;
}

static int check_section(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct check *check = ctx;
	struct hash digest = hash_section(value->bytes, value->size);

	check->report.sections++;
	if (key_size != HASH_SIZE || memcmp(key, digest.bytes, HASH_SIZE) != 0)
		return wrong(check, "section", "section %llu does not match its digest", check->report.sections);
	return 0;
}

static int check_count(struct check *check, enum store_table table, uint64_t expected)
{
	uint64_t n;
	int status = store_count(check->view, table, &n);

	if (status != 0)
		return refuse(check->why, STATUS_DAMAGED, store_table_name(table), "the table %s cannot be read",
			      store_table_name(table));
	return n == expected ? 0 : wrong(check, store_table_name(table), "%llu entries, not as many as the log has", n);
}

static int check_tables(struct check *check)
{
	int status = store_walk(check->view, TABLE_CURRENT, NULL, 0, check_current, check);

	if (status == 0 && check->report.names != check->names.n)
		status = wrong(check, "current", "%llu current names, not as many as the log has", check->report.names);
	if (status == 0)
		status = store_walk(check->view, TABLE_SECTION, NULL, 0, check_section, check);
	if (status == 0)
		status = check_count(check, TABLE_ENVELOPE, check->puts);
	if (status == 0)
		status = check_count(check, TABLE_HISTORY, check->puts);
	if (status == 0)
		status = check_count(check, TABLE_LEAF, check->size);
	if (status == 0)
		status = check_count(check, TABLE_PUBLICATION, check->publications);
	if (status == 0)
		status = check_count(check, TABLE_EVENT, check->report.events);
	if (status == 0)
		status = check_waiting(check);
	if (status == 0)
		status = check_count(check, TABLE_EVIDENCE, check->evidence);
	check->report.envelopes = check->puts;
	return status;
}

static int check_all(struct check *check)
{
	int status = read_meta(check);

	for (uint64_t i = 0; status == 0 && i < check->size; i++)
		status = check_leaf(check, i);
	if (status != 0)
		return status;
	struct hash root = tree_root(check, check->size);
	if (check->size > 0 && hash_compare(&root, &check->root) != 0)
		return wrong(check, "meta", "the log of %llu leaves does not lead to its stored root", check->size);
	if (check->report.publications != check->publications)
		return wrong(check, "meta", "%llu publications are said to be there, not as many as the log has",
			     check->publications);
	return check_tables(check);
}

int ledger_check(struct store *store, struct ledger_report *report, struct refusal *why)
{
	struct check check = {.why = why};

	int status = store_view_begin(store, &check.view);
	if (status != 0)
		return refuse(why, status, "", "the store cannot be read: %s", status_text(status));
	check.tiles.view = check.view;
	if (why != NULL)
		why->code = 0;
	status = check_all(&check);
	store_view_end(check.view);
	changes_finish(&check.names);
	changes_finish(&check.signers);
	growing_map_finish(&check.map);
	if (report != NULL)
		*report = check.report;
	if (status != 0 && why != NULL && why->code == 0)
		refuse(why, status, "", "the check cannot go on: %s", status_text(status));
	return status;
}
