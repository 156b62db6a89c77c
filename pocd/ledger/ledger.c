#include "pocd/ledger/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "pocd/ledger/ledger_internal.h"
#include "pocd/store/schema.h"
#include "proto/wire/encode.h"

enum { META_LOG_SIZE = 8 + 8 + HASH_SIZE, CURRENT_SIZE = HASH_SIZE + 8 + 8 };

uint64_t ledger_next_time(struct ledger *ledger)
{
	uint64_t now = ledger->options.now_ms(ledger->options.now_ctx);

	if (now > ledger->last_time_ms)
		ledger->last_time_ms = now;
	return ledger->last_time_ms;
}

int ledger_put_meta(struct store_batch *batch, uint64_t size, uint64_t publications, const struct hash *root)
{
	uint8_t value[META_LOG_SIZE];

	schema_put_u64(value, size);
	schema_put_u64(value + 8, publications);
	memcpy(value + 16, root->bytes, HASH_SIZE);
	return store_batch_put(batch, TABLE_META, META_LOG, sizeof META_LOG - 1, value, sizeof value);
}

int ledger_changes_add(struct ledger_changes *changes, const struct ledger_change *change)
{
	if (changes->n == changes->capacity) {
		size_t capacity = changes->capacity > 0 ? 2 * changes->capacity : 64;
		struct ledger_change *items = realloc(changes->items, capacity * sizeof *items);
		if (items == NULL)
			return STATUS_NO_MEMORY;
		changes->items = items;
		changes->capacity = capacity;
	}
	changes->items[changes->n++] = *change;
	return 0;
}

const char *ledger_store_reason(int status)
{
	switch (status) {
	case STATUS_STORAGE:
		return "there is no room, the disk or the quota is full; try again later";
	case STATUS_IO:
		return "the disk failed, and what became of the write is not known; send the same again later";
	default:
		return status_text(status);
	}
}

/* ---- Snapshots */

static int by_key(const void *a, const void *b)
{
	return hash_compare(&((const struct prefix_entry *)a)->key, &((const struct prefix_entry *)b)->key);
}

struct keyed_name {
	struct prefix_entry entry; /* first, so that by_key sorts these too */
	struct snapshot_name name;
};

static int by_leaf(const void *a, const void *b)
{
	uint64_t x = ((const struct keyed_name *)a)->name.leaf, y = ((const struct keyed_name *)b)->name.leaf;

	return x < y ? -1 : x > y;
}

/* Fills entries, sorted by key, names beside them, and their order by leaf; keyed is room for the work. */
static void sort_names(struct keyed_name *keyed, struct snapshot_name *names, struct prefix_entry *entries,
		       uint32_t *order, size_t n)
{
	for (size_t i = 0; i < n; i++)
		keyed[i] = (struct keyed_name){{hash_name(names[i].name), names[i].value}, names[i]};
	qsort(keyed, n, sizeof *keyed, by_key);
	for (size_t i = 0; i < n; i++) {
		entries[i] = keyed[i].entry;
		names[i] = keyed[i].name;
		keyed[i].name.seq = i; /* from here on: its place */
	}
	qsort(keyed, n, sizeof *keyed, by_leaf);
	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)keyed[i].name.seq;
}

struct snapshot *ledger_snapshot_create(struct snapshot_name *names, size_t n)
{
	struct snapshot *snapshot = calloc(1, sizeof *snapshot);
	struct keyed_name *keyed = malloc((n > 0 ? n : 1) * sizeof *keyed);
	struct prefix_entry *entries = malloc((n > 0 ? n : 1) * sizeof *entries);
	uint32_t *order = malloc((n > 0 ? n : 1) * sizeof *order);

	if (snapshot != NULL && keyed != NULL && entries != NULL && order != NULL) {
		sort_names(keyed, names, entries, order, n);
		atomic_init(&snapshot->references, 1);
		snapshot->n_names = n;
		snapshot->map = prefix_create(entries, n);
	}
	free(keyed);
	if (snapshot == NULL || snapshot->map == NULL) {
		free(entries);
		free(order);
		free(snapshot);
		free(names);
		return NULL;
	}
	snapshot->entries = entries;
	snapshot->names = names;
	snapshot->by_leaf = order;
	return snapshot;
}

static size_t put_field(uint8_t *out, unsigned number, const void *bytes, size_t size)
{
	if (size == 0)
		return 0; /* canonical: a default value is left out */
	size_t n = varint_put(out, (uint64_t)number << 3 | 2);
	n += varint_put(out + n, size);
	memcpy(out + n, bytes, size);
	return n + size;
}

int ledger_snapshot_seal(struct snapshot *snapshot, const struct checkpoint *checkpoint, const char *note,
			 size_t note_size, const uint8_t leaf[LEAF_SIZE], const struct merkle_proof *path)
{
	struct leaf state;

	if (leaf_read(leaf, &state) != 0 || state.kind != LEAF_STATE || note_size > sizeof snapshot->note)
		return STATUS_DAMAGED;
	snapshot->checkpoint = *checkpoint;
	snapshot->number = state.seq;
	snapshot->time_ms = state.time_ms;
	snapshot->path = *path;
	memcpy(snapshot->leaf, leaf, LEAF_SIZE);
	memcpy(snapshot->note, note, note_size);
	snapshot->note_size = note_size;
	uint8_t *head = malloc(note_size + LEAF_SIZE + path->length * HASH_SIZE + 32);
	if (head == NULL)
		return STATUS_NO_MEMORY;
	size_t n = put_field(head, 1, note, note_size);
	n += put_field(head + n, 2, leaf, LEAF_SIZE);
	n += put_field(head + n, 3, path->hashes, path->length * HASH_SIZE);
	snapshot->head = head;
	snapshot->head_size = n;
	return 0;
}

int ledger_attach(struct ledger *ledger, struct snapshot *snapshot)
{
	if (ledger->options.attach == NULL || snapshot->base != NULL)
		return 0;
	return ledger->options.attach(ledger->options.attach_ctx, ledger, ledger->tip, snapshot);
}

bool ledger_serves(const struct ledger *ledger, const struct snapshot *next)
{
	return ledger->options.cosigned == NULL ||
	       ledger->options.cosigned(ledger->options.cosigned_ctx, ledger->snapshot, next);
}

void ledger_adopt(struct ledger *ledger, struct snapshot *snapshot)
{
	bool serve = ledger_serves(ledger, snapshot);
	struct snapshot *served = NULL;

	pthread_mutex_lock(&ledger->lock);
	struct snapshot *tip = ledger->tip;
	ledger->tip = snapshot;
	if (serve) {
		served = ledger->snapshot;
		ledger->snapshot = snapshot_ref(snapshot);
	}
	pthread_mutex_unlock(&ledger->lock);
	snapshot_unref(tip);
	snapshot_unref(served);
}

int ledger_put_served(struct ledger *ledger, struct store_batch *batch, bool serve)
{
	uint8_t value[8];

	if (serve || ledger->snapshot == NULL) {
		if (!ledger->served_noted)
			return 0;
		ledger->served_noted = false;
		return store_batch_delete(batch, TABLE_META, META_SERVED, sizeof META_SERVED - 1);
	}
	ledger->served_noted = true;
	schema_put_u64(value, ledger->snapshot->number);
	return store_batch_put(batch, TABLE_META, META_SERVED, sizeof META_SERVED - 1, value, sizeof value);
}

struct snapshot *ledger_tip(struct ledger *ledger)
{
	pthread_mutex_lock(&ledger->lock);
	struct snapshot *snapshot = ledger->tip != NULL ? snapshot_ref(ledger->tip) : NULL;
	pthread_mutex_unlock(&ledger->lock);
	return snapshot;
}

bool ledger_waits(struct ledger *ledger)
{
	pthread_mutex_lock(&ledger->lock);
	bool waits =
	    ledger->tip != NULL && (ledger->snapshot == NULL || ledger->snapshot->number != ledger->tip->number);
	pthread_mutex_unlock(&ledger->lock);
	return waits;
}

struct snapshot *ledger_snapshot(struct ledger *ledger)
{
	pthread_mutex_lock(&ledger->lock);
	struct snapshot *snapshot = ledger->snapshot != NULL ? snapshot_ref(ledger->snapshot) : NULL;
	pthread_mutex_unlock(&ledger->lock);
	return snapshot;
}

/* ---- Opening */

struct loading {
	struct ledger *ledger;
	struct snapshot_name *names;
	size_t n, capacity;
};

static char *intern(struct ledger *ledger, const char *name, size_t length)
{
	char *copy = strndup(name, length);

	if (copy != NULL && ledger->names.n == ledger->names.capacity) {
		size_t capacity = ledger->names.capacity > 0 ? 2 * ledger->names.capacity : 256;
		char **items = realloc(ledger->names.items, capacity * sizeof *items);
		if (items == NULL) {
			free(copy);
			return NULL;
		}
		ledger->names.items = items;
		ledger->names.capacity = capacity;
	}
	if (copy != NULL)
		ledger->names.items[ledger->names.n++] = copy;
	return copy;
}

static int load_name(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct loading *loading = ctx;

	if (value->size != CURRENT_SIZE || key_size == 0 || key_size > 64)
		return STATUS_DAMAGED;
	if (loading->n == loading->capacity) {
		size_t capacity = loading->capacity > 0 ? 2 * loading->capacity : 1024;
		struct snapshot_name *names = realloc(loading->names, capacity * sizeof *names);
		if (names == NULL)
			return STATUS_NO_MEMORY;
		loading->names = names;
		loading->capacity = capacity;
	}
	struct snapshot_name *name = &loading->names[loading->n++];
	name->name = intern(loading->ledger, (const char *)key, key_size);
	memcpy(name->value.bytes, value->bytes, HASH_SIZE);
	name->seq = schema_get_u64(value->bytes + HASH_SIZE);
	name->leaf = schema_get_u64(value->bytes + HASH_SIZE + 8);
	return name->name != NULL ? 0 : STATUS_NO_MEMORY;
}

struct publication {
	uint64_t size;
	const uint8_t *leaf;
	const char *note;
	size_t note_size;
};

static int read_publication(struct store_view *view, uint64_t number, struct publication *out)
{
	uint8_t key[8];
	struct store_value value;

	schema_put_u64(key, number);
	int status = store_get(view, TABLE_PUBLICATION, key, sizeof key, &value);
	if (status != 0)
		return status;
	if (value.size <= 8 + LEAF_SIZE)
		return STATUS_DAMAGED;
	*out = (struct publication){schema_get_u64(value.bytes), value.bytes + 8,
				    (const char *)value.bytes + 8 + LEAF_SIZE, value.size - 8 - LEAF_SIZE};
	return 0;
}

/* Compares a stored publication with the tiles, and the snapshot's map with its root; seals the snapshot. */
static int check_publication(struct ledger *ledger, struct store_view *view, const struct publication *p,
			     struct snapshot *snapshot, struct refusal *why)
{
	struct tlog_reader reader = {&ledger->tlog, view};
	struct checkpoint checkpoint;
	struct merkle_proof path;
	struct note note;
	struct leaf leaf;
	struct hash root;

	if (note_parse(p->note, p->note_size, &note, why) != 0 ||
	    checkpoint_parse(note.text, note.text_size, &checkpoint, why) != 0 || checkpoint.size != p->size ||
	    p->size > ledger->tlog.size || leaf_read(p->leaf, &leaf) != 0)
		return refuse(why, STATUS_DAMAGED, "publication", "the last stored checkpoint is damaged");
	int status = merkle_root(tlog_read, &reader, p->size, &root);
	if (status != 0 || hash_compare(&root, &checkpoint.root) != 0)
		return refuse(why, STATUS_DAMAGED, "tile", "the log does not lead to the last stored checkpoint");
	struct hash leaf_hash = merkle_leaf(p->leaf, LEAF_SIZE);
	if (merkle_inclusion(tlog_read, &reader, p->size - 1, p->size, &path) != 0 ||
	    !merkle_verify_inclusion(p->size - 1, p->size, &leaf_hash, path.hashes, path.length, &root))
		return refuse(why, STATUS_DAMAGED, "publication", "the last STATE leaf is not in the log");
	if (ledger->last_time_ms < leaf.time_ms)
		ledger->last_time_ms = leaf.time_ms;
	prefix_root(snapshot->map, &root);
	if (hash_compare(&root, &leaf.value) != 0)
		return refuse(why, STATUS_DAMAGED, "current",
			      "the current values do not lead to the last published map");
	return ledger_snapshot_seal(snapshot, &checkpoint, p->note, p->note_size, p->leaf, &path);
}

/* What was committed after a publication of that size waits for the next one. */
static int keep_unpublished(struct ledger *ledger, const struct loading *names, uint64_t size)
{
	int status = 0;

	for (size_t i = 0; i < names->n && status == 0; i++) {
		const struct snapshot_name *n = &names->names[i];
		struct ledger_change change = {.name = (char *)n->name,
					       .key = hash_name(n->name),
					       .value = n->value,
					       .seq = n->seq,
					       .leaf = n->leaf};
		if (n->leaf >= size)
			status = ledger_changes_add(&ledger->pending, &change);
	}
	return status;
}

/* The names as they stood in the log of a size: newer versions go, and names that are younger. */
static int names_at(struct store_view *view, const struct loading *now, uint64_t size, struct loading *out)
{
	out->n = 0;
	out->names = malloc((now->n > 0 ? now->n : 1) * sizeof *out->names);
	if (out->names == NULL)
		return STATUS_NO_MEMORY;
	for (size_t i = 0; i < now->n; i++) {
		struct snapshot_name name = now->names[i];
		while (name.leaf >= size && name.seq > 1) {
			name.seq--;
			int status = ledger_read_version(view, name.name, name.seq, &name.value, &name.leaf);
			if (status != 0)
				return STATUS_DAMAGED;
		}
		if (name.leaf < size)
			out->names[out->n++] = name;
	}
	return 0;
}

/* The snapshot of a stored publication, sealed and checked. */
static int load_snapshot(struct ledger *ledger, struct store_view *view, const struct loading *now, uint64_t number,
			 struct snapshot **out, struct refusal *why)
{
	struct publication publication;
	struct loading then = {0};

	*out = NULL;
	if (read_publication(view, number, &publication) != 0)
		return refuse(why, STATUS_DAMAGED, "publication", "the last checkpoint is gone");
	int status = names_at(view, now, publication.size, &then);
	if (status != 0) {
		free(then.names);
		return refuse(why, status, "history", "the names of the last checkpoint cannot be read");
	}
	struct snapshot *snapshot = ledger_snapshot_create(then.names, then.n);
	if (snapshot == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	status = check_publication(ledger, view, &publication, snapshot, why);
	if (status != 0) {
		snapshot_unref(snapshot);
		return status;
	}
	*out = snapshot;
	return 0;
}

/* The one that was served when later ones were stored, which their auditors may not have signed. */
static int load_served(struct ledger *ledger, struct store_view *view, const struct loading *now, struct refusal *why)
{
	struct store_value stored;
	int status = store_get(view, TABLE_META, META_SERVED, sizeof META_SERVED - 1, &stored);

	if (status == STATUS_NOT_FOUND)
		return 0;
	ledger->served_noted = true;
	uint64_t number = status == 0 && stored.size == 8 ? schema_get_u64(stored.bytes) : 0;
	if (number == 0 || number > ledger->publications)
		return refuse(why, STATUS_DAMAGED, "meta", "the number of the served publication is damaged");
	if (number == ledger->publications)
		return 0;
	status = load_snapshot(ledger, view, now, number, &ledger->snapshot, why);
	return status != 0 ? status : ledger_attach(ledger, ledger->snapshot);
}

/* The last publication becomes the tip. */
static int load_published(struct ledger *ledger, struct store_view *view, const struct loading *now,
			  struct refusal *why)
{
	struct snapshot *tip;
	int status = load_served(ledger, view, now, why);

	if (status == 0)
		status = load_snapshot(ledger, view, now, ledger->publications, &tip, why);
	if (status == 0)
		status = keep_unpublished(ledger, now, tip->checkpoint.size);
	if (status != 0)
		return status;
	ledger->anchored = ledger->tlog.size != tip->checkpoint.size; /* perhaps; publishing once more is no harm */
	ledger->published_ms = tip->time_ms;
	status = ledger_attach(ledger, tip);
	if (status == 0)
		ledger_adopt(ledger, tip);
	else
		snapshot_unref(tip);
	return status;
}

/* No leaf may be older than the last one, even if the clock was set back since. */
static int read_last_time(struct ledger *ledger, struct store_view *view)
{
	struct leaf leaf;
	char name[65];

	if (ledger->tlog.size == 0)
		return 0;
	int status = ledger_read_leaf(view, ledger->tlog.size - 1, &leaf, name, sizeof name);
	if (status == 0)
		ledger->last_time_ms = leaf.time_ms;
	return status;
}

static int load(struct ledger *ledger, struct store_view *view, struct refusal *why)
{
	struct store_value meta;
	struct loading loading = {.ledger = ledger};
	int status = store_get(view, TABLE_META, META_LOG, sizeof META_LOG - 1, &meta);

	if (status == STATUS_NOT_FOUND)
		return 0; /* empty */
	if (status != 0 || meta.size != META_LOG_SIZE)
		return refuse(why, STATUS_DAMAGED, "meta", "the log's size is gone");
	ledger->publications = schema_get_u64(meta.bytes + 8);
	status = tlog_load(&ledger->tlog, view, schema_get_u64(meta.bytes));
	struct hash root = tlog_root(&ledger->tlog);
	if (status != 0 || memcmp(root.bytes, meta.bytes + 16, HASH_SIZE) != 0)
		return refuse(why, STATUS_DAMAGED, "tile", "the log's tiles do not lead to its root");
	if (read_last_time(ledger, view) != 0)
		return refuse(why, STATUS_DAMAGED, "leaf", "the last leaf cannot be read");
	status = ledger_load_waiting(ledger, view);
	if (status != 0)
		return refuse(why, status, "evidence", "what waits for evidence cannot be read");
	status = store_walk(view, TABLE_CURRENT, NULL, 0, load_name, &loading);
	if (status != 0) {
		free(loading.names);
		return refuse(why, status, "current", "the current values cannot be read");
	}
	if (loading.names == NULL)
		return refuse(why, STATUS_DAMAGED, "current", "there are no current values");
	status = ledger->publications > 0 ? load_published(ledger, view, &loading, why)
					  : keep_unpublished(ledger, &loading, 0);
	free(loading.names);
	return status;
}

static int ask_signer(struct ledger *ledger, struct refusal *why)
{
	static const struct checkpoint none;
	const struct ledger_signer *signer = &ledger->options.signer;
	const struct snapshot *tip = ledger->tip;

	return signer->start == NULL
		   ? 0
		   : signer->start(signer->ctx, tip != NULL ? &tip->checkpoint : &none, tip != NULL ? tip->time_ms : 0,
				   ledger->tlog.size, &ledger->signed_size, &ledger->signed_ms, why);
}

int ledger_open(const struct ledger_options *options, struct ledger **out, struct refusal *why)
{
	struct ledger *ledger = calloc(1, sizeof *ledger);
	struct store_view *view;

	*out = NULL;
	if (ledger == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	pthread_mutex_init(&ledger->lock, NULL);
	ledger->options = *options;
	ledger->origin = strdup(options->origin);
	int status = ledger->origin != NULL ? store_view_begin(options->store, &view) : STATUS_NO_MEMORY;
	if (status == 0) {
		if (why != NULL)
			why->code = 0;
		status = load(ledger, view, why);
		store_view_end(view);
		if (status != 0 && why != NULL && why->code == 0)
			refuse(why, status, "", "the ledger cannot be opened: %s", status_text(status));
	}
	if (status == 0)
		status = ask_signer(ledger, why);
	if (status != 0) {
		ledger_close(ledger);
		return status;
	}
	ledger->staged_tlog = ledger->tlog;
	*out = ledger;
	return 0;
}

static void finish_changes(struct ledger_changes *changes, bool owned)
{
	for (size_t i = 0; owned && i < changes->n; i++) {
		free(changes->items[i].name);
		free(changes->items[i].envelope);
	}
	free(changes->items);
}

void ledger_close(struct ledger *ledger)
{
	if (ledger == NULL)
		return;
	snapshot_unref(ledger->snapshot);
	snapshot_unref(ledger->tip);
	snapshot_unref(ledger->state);
	growing_map_finish(&ledger->map);
	store_batch_destroy(ledger->batch);
	finish_changes(&ledger->staged, true);
	finish_changes(&ledger->pending, false);
	changes_finish(&ledger->staged_events);
	ledger_signers_finish(&ledger->staged_signers);
	ledger_signers_finish(&ledger->waiting);
	free(ledger->staged_sections.items);
	for (size_t i = 0; i < ledger->names.n; i++)
		free(ledger->names.items[i]);
	free(ledger->names.items);
	pthread_mutex_destroy(&ledger->lock);
	free(ledger->origin);
	free(ledger);
}

/* ---- Staging and commit */

int ledger_put_section(struct ledger *ledger, const struct ledger_section *section)
{
	struct ledger_digests *digests = &ledger->staged_sections;

	if (ledger_has_section(ledger, &section->digest))
		return 0;
	if (digests->n == digests->capacity) {
		size_t capacity = digests->capacity > 0 ? 2 * digests->capacity : 64;
		struct hash *items = realloc(digests->items, capacity * sizeof *items);
		if (items == NULL)
			return STATUS_NO_MEMORY;
		digests->items = items;
		digests->capacity = capacity;
	}
	digests->items[digests->n++] = section->digest;
	return store_batch_put(ledger->batch, TABLE_SECTION, section->digest.bytes, HASH_SIZE, section->bytes,
			       section->size);
}

int ledger_put_leaf(struct ledger *ledger, const struct leaf *leaf, uint64_t index, const char *name)
{
	uint8_t key[8], value[LEAF_SIZE + 64];
	size_t length = strlen(name);

	schema_put_u64(key, index);
	leaf_write(leaf, value);
	memcpy(value + LEAF_SIZE, name, length);
	struct hash hash = merkle_leaf(value, LEAF_SIZE);
	int status = store_batch_put(ledger->batch, TABLE_LEAF, key, sizeof key, value, LEAF_SIZE + length);
	return status != 0 ? status : tlog_append(&ledger->staged_tlog, &hash, ledger->batch);
}

int ledger_put_values(struct store_batch *batch, const struct ledger_put *put)
{
	uint8_t current[CURRENT_SIZE], history_key[SCHEMA_HISTORY_KEY_MAX];
	uint8_t *envelope = malloc(16 + put->envelope_size);

	if (envelope == NULL)
		return STATUS_NO_MEMORY;
	schema_put_u64(envelope, put->leaf);
	schema_put_u64(envelope + 8, put->time_ms);
	memcpy(envelope + 16, put->envelope, put->envelope_size);
	memcpy(current, put->value.bytes, HASH_SIZE);
	schema_put_u64(current + HASH_SIZE, put->seq);
	schema_put_u64(current + HASH_SIZE + 8, put->leaf);
	size_t key_size = schema_history_key(history_key, put->name, put->seq);
	int status =
	    store_batch_put(batch, TABLE_ENVELOPE, put->value.bytes, HASH_SIZE, envelope, 16 + put->envelope_size);
	if (status == 0)
		status = store_batch_put(batch, TABLE_CURRENT, put->name, strlen(put->name), current, sizeof current);
	if (status == 0) {
		schema_put_u64(current + HASH_SIZE, put->leaf);
		status = store_batch_put(batch, TABLE_HISTORY, history_key, key_size, current, HASH_SIZE + 8);
	}
	free(envelope);
	return status;
}

static int stage_put(struct ledger *ledger, struct ledger_put *put)
{
	struct ledger_change change = {.key = hash_name(put->name), .value = put->value, .seq = put->seq};

	put->leaf = ledger->staged_tlog.size;
	put->time_ms = ledger_next_time(ledger);
	struct leaf leaf = {LEAF_PUT, change.key, put->seq, put->value, put->time_ms};
	int status = ledger_put_leaf(ledger, &leaf, put->leaf, put->name);
	if (status == 0)
		status = ledger_put_values(ledger->batch, put);
	for (size_t i = 0; status == 0 && i < put->n_sections; i++)
		status = ledger_put_section(ledger, &put->sections[i]);
	if (status != 0)
		return status;
	change.leaf = put->leaf;
	change.time_ms = put->time_ms;
	change.name = strdup(put->name);
	change.envelope = malloc(put->envelope_size);
	change.envelope_size = put->envelope_size;
	if (change.name != NULL && change.envelope != NULL) {
		memcpy(change.envelope, put->envelope, put->envelope_size);
		status = ledger_changes_add(&ledger->staged, &change);
		if (status == 0) {
			ledger->staged_bytes += put->envelope_size;
			return 0;
		}
	}
	free(change.name);
	free(change.envelope);
	return STATUS_NO_MEMORY;
}

void ledger_drop_staged(struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->staged.n; i++) {
		free(ledger->staged.items[i].name);
		free(ledger->staged.items[i].envelope);
	}
	ledger->staged.n = 0;
	ledger->staged_sections.n = 0;
	ledger->staged_bytes = 0;
	changes_clear(&ledger->staged_events);
	ledger_signers_clear(&ledger->staged_signers);
	store_batch_destroy(ledger->batch);
	ledger->batch = NULL;
	tlog_copy(&ledger->staged_tlog, &ledger->tlog);
}

int ledger_stage(struct ledger *ledger, struct ledger_put *puts, size_t n, struct refusal *why)
{
	int status = 0;

	if (ledger->batch == NULL)
		ledger->batch = store_batch_create();
	if (ledger->batch == NULL)
		status = STATUS_NO_MEMORY;
	for (size_t i = 0; status == 0 && i < n; i++)
		status = stage_put(ledger, &puts[i]);
	/* Out of memory is the only way to fail; then the whole group is given up: the caller reports it to all. */
	if (status != 0) {
		ledger_drop_staged(ledger);
		return refuse(why, status, "", "cannot stage the change: %s", status_text(status));
	}
	return 0;
}

int ledger_stage_row(struct ledger *ledger, enum store_table table, const void *key, size_t key_size, const void *value,
		     size_t value_size, struct refusal *why)
{
	int status = 0;

	if (ledger->batch == NULL)
		ledger->batch = store_batch_create();
	if (ledger->batch == NULL)
		status = STATUS_NO_MEMORY;
	else if (value != NULL)
		status = store_batch_put(ledger->batch, table, key, key_size, value, value_size);
	else
		status = store_batch_delete(ledger->batch, table, key, key_size);
	if (status != 0) {
		ledger_drop_staged(ledger);
		return refuse(why, status, "", "cannot stage the change: %s", status_text(status));
	}
	return 0;
}

static int keep_committed(struct ledger *ledger, struct ledger_change *change)
{
	const struct snapshot_name *known = ledger->tip != NULL ? snapshot_find_key(ledger->tip, &change->key) : NULL;
	char *name = known != NULL ? (char *)known->name : intern(ledger, change->name, strlen(change->name));

	free(change->name);
	free(change->envelope);
	change->name = name;
	change->envelope = NULL;
	return name == NULL ? STATUS_NO_MEMORY : ledger_changes_add(&ledger->pending, change);
}

int ledger_commit(struct ledger *ledger, struct refusal *why)
{
	if (ledger->batch == NULL)
		return 0;
	int status = ledger_put_events(ledger);
	struct hash root = tlog_root(&ledger->staged_tlog);
	if (status == 0)
		status = tlog_flush(&ledger->staged_tlog, ledger->batch);
	if (status == 0)
		status = ledger_put_meta(ledger->batch, ledger->staged_tlog.size, ledger->publications, &root);
	if (status == 0) {
		status = store_commit_wait(ledger->options.store, ledger->batch);
		ledger->batch = NULL;
	}
	if (status != 0) {
		ledger_drop_staged(ledger);
		return refuse(why, status, "", "cannot store: %s", ledger_store_reason(status));
	}
	tlog_copy(&ledger->tlog, &ledger->staged_tlog);
	for (size_t i = 0; i < ledger->staged.n && status == 0; i++)
		status = keep_committed(ledger, &ledger->staged.items[i]);
	if (status == 0)
		status = ledger_keep_events(ledger);
	if (status != 0)
		abort(); /* durable but not remembered: only a restart gets this right */
	ledger->staged.n = 0;
	ledger_drop_staged(ledger);
	return 0;
}

bool ledger_staged(const struct ledger *ledger)
{
	return ledger->batch != NULL;
}

static bool has_change(const struct ledger_changes *changes, const struct hash *key)
{
	for (size_t i = 0; i < changes->n; i++) {
		if (hash_compare(&changes->items[i].key, key) == 0)
			return true;
	}
	return false;
}

bool ledger_unserved(const struct ledger *ledger, const char *name)
{
	if (ledger->snapshot == NULL || ledger->tip == NULL || ledger->snapshot->number == ledger->tip->number)
		return false;
	struct hash key = hash_name(name);
	const struct snapshot_name *served = snapshot_find_key(ledger->snapshot, &key),
				   *next = snapshot_find_key(ledger->tip, &key);
	return next != NULL && (served == NULL || hash_compare(&served->value, &next->value) != 0);
}

bool ledger_moved(const struct ledger *ledger, const char *name)
{
	if (ledger->staged.n == 0 && ledger->pending.n == 0)
		return false; /* nearly always: spares the hash */

	struct hash key = hash_name(name);

	return has_change(&ledger->staged, &key) || has_change(&ledger->pending, &key);
}

void ledger_abandon(struct ledger *ledger)
{
	ledger_drop_staged(ledger);
}

uint64_t ledger_anchor(const struct ledger *ledger)
{
	return ledger->staged_tlog.size;
}

uint64_t ledger_time_ms(struct ledger *ledger)
{
	return ledger_next_time(ledger);
}

/* ---- Reading on the writer's side */

static const struct ledger_change *find_staged(const struct ledger *ledger, const char *name)
{
	for (size_t i = ledger->staged.n; i-- > 0;) {
		if (strcmp(ledger->staged.items[i].name, name) == 0)
			return &ledger->staged.items[i];
	}
	return NULL;
}

static int copy_out(const uint8_t *bytes, size_t size, uint8_t **out, size_t *out_size)
{
	if (out == NULL)
		return 0;
	*out = malloc(size > 0 ? size : 1);
	if (*out == NULL)
		return STATUS_NO_MEMORY;
	memcpy(*out, bytes, size);
	*out_size = size;
	return 0;
}

static int read_current(struct store_view *view, const char *name, struct hash *value, uint64_t *seq,
			uint8_t **envelope, size_t *envelope_size)
{
	struct store_value current;
	const uint8_t *bytes;
	size_t size;
	int status = store_get(view, TABLE_CURRENT, name, strlen(name), &current);

	if (status != 0)
		return status;
	if (current.size != CURRENT_SIZE)
		return STATUS_DAMAGED;
	memcpy(value->bytes, current.bytes, HASH_SIZE);
	*seq = schema_get_u64(current.bytes + HASH_SIZE);
	if (envelope == NULL)
		return 0;
	status = ledger_read_envelope(view, value, &bytes, &size, NULL, NULL);
	if (status != 0)
		return STATUS_DAMAGED;
	return copy_out(bytes, size, envelope, envelope_size);
}

int ledger_current(struct ledger *ledger, const char *name, struct hash *value, uint64_t *seq, uint8_t **envelope,
		   size_t *envelope_size)
{
	const struct ledger_change *staged = find_staged(ledger, name);
	struct store_view *view;

	if (staged != NULL) {
		*value = staged->value;
		*seq = staged->seq;
		return copy_out(staged->envelope, staged->envelope_size, envelope, envelope_size);
	}
	int status = store_view_begin(ledger->options.store, &view);
	if (status != 0)
		return status;
	status = read_current(view, name, value, seq, envelope, envelope_size);
	store_view_end(view);
	return status;
}

bool ledger_has_section(struct ledger *ledger, const struct hash *digest)
{
	struct store_view *view;
	const uint8_t *bytes;
	size_t size;

	for (size_t i = 0; i < ledger->staged_sections.n; i++) {
		if (hash_compare(&ledger->staged_sections.items[i], digest) == 0)
			return true;
	}
	if (store_view_begin(ledger->options.store, &view) != 0)
		return false;
	int status = ledger_read_section(view, digest, &bytes, &size);
	store_view_end(view);
	return status == 0;
}

static const struct store_op *find_staged_section(const struct ledger *ledger, const struct hash *digest)
{
	size_t n = ledger->batch != NULL && ledger->staged_sections.n > 0 ? store_batch_count(ledger->batch) : 0;

	while (n-- > 0) {
		const struct store_op *op = store_batch_op(ledger->batch, n);
		if (op->table == TABLE_SECTION && op->value != NULL && memcmp(op->key, digest->bytes, HASH_SIZE) == 0)
			return op;
	}
	return NULL;
}

int ledger_section(struct ledger *ledger, const struct hash *digest, uint8_t **bytes, size_t *size)
{
	struct store_view *view;
	const uint8_t *stored;
	size_t stored_size;

	int status = store_view_begin(ledger->options.store, &view);
	if (status != 0)
		return status;
	status = ledger_read_section(view, digest, &stored, &stored_size);
	if (status == 0)
		status = copy_out(stored, stored_size, bytes, size);
	store_view_end(view);
	if (status != STATUS_NOT_FOUND)
		return status;
	const struct store_op *op = find_staged_section(ledger, digest);
	return op != NULL ? copy_out(op->value, op->value_size, bytes, size) : STATUS_NOT_FOUND;
}

int ledger_first_answer(struct ledger *ledger, const struct hash *value, uint64_t *leaf, uint64_t *time_ms)
{
	struct store_view *view;
	const uint8_t *bytes;
	size_t size;

	for (size_t i = 0; i < ledger->staged.n; i++) {
		const struct ledger_change *staged = &ledger->staged.items[i];
		if (hash_compare(&staged->value, value) == 0) {
			*leaf = staged->leaf;
			*time_ms = staged->time_ms;
			return 0;
		}
	}
	int status = store_view_begin(ledger->options.store, &view);
	if (status != 0)
		return status;
	status = ledger_read_envelope(view, value, &bytes, &size, leaf, time_ms);
	store_view_end(view);
	return status;
}

bool ledger_unpublished(const struct ledger *ledger)
{
	return ledger->pending.n > 0 || ledger->anchored || ledger->signed_size == ledger->tlog.size + 1;
}

uint64_t ledger_published_ms(const struct ledger *ledger)
{
	return ledger->published_ms;
}

uint64_t ledger_size(const struct ledger *ledger)
{
	return ledger->tlog.size;
}

/* ---- Reading on any thread */

int ledger_consistency(struct ledger *ledger, uint64_t old_size, uint64_t size, struct merkle_proof *out)
{
	struct store_view *view;
	int status = store_view_begin(ledger->options.store, &view);

	if (status != 0)
		return status;
	struct tlog_reader reader = {NULL, view};
	status = merkle_consistency(tlog_read, &reader, old_size, size, out);
	store_view_end(view);
	return status;
}

int ledger_read_envelope(struct store_view *view, const struct hash *value, const uint8_t **bytes, size_t *size,
			 uint64_t *leaf, uint64_t *time_ms)
{
	struct store_value stored;
	int status = store_get(view, TABLE_ENVELOPE, value->bytes, HASH_SIZE, &stored);

	if (status != 0)
		return status;
	if (stored.size <= 16)
		return STATUS_DAMAGED;
	*bytes = stored.bytes + 16;
	*size = stored.size - 16;
	if (leaf != NULL)
		*leaf = schema_get_u64(stored.bytes);
	if (time_ms != NULL)
		*time_ms = schema_get_u64(stored.bytes + 8);
	return 0;
}

int ledger_read_version(struct store_view *view, const char *name, uint64_t seq, struct hash *value, uint64_t *leaf)
{
	uint8_t key[SCHEMA_HISTORY_KEY_MAX];
	struct store_value stored;
	int status = store_get(view, TABLE_HISTORY, key, schema_history_key(key, name, seq), &stored);

	if (status != 0)
		return status;
	if (stored.size != HASH_SIZE + 8)
		return STATUS_DAMAGED;
	memcpy(value->bytes, stored.bytes, HASH_SIZE);
	if (leaf != NULL)
		*leaf = schema_get_u64(stored.bytes + HASH_SIZE);
	return 0;
}

int ledger_read_section(struct store_view *view, const struct hash *digest, const uint8_t **bytes, size_t *size)
{
	struct store_value stored;
	int status = store_get(view, TABLE_SECTION, digest->bytes, HASH_SIZE, &stored);

	if (status != 0)
		return status;
	*bytes = stored.bytes;
	*size = stored.size;
	return 0;
}

int ledger_read_leaf(struct store_view *view, uint64_t index, struct leaf *leaf, char *name, size_t name_size)
{
	uint8_t key[8];
	struct store_value stored;

	schema_put_u64(key, index);
	int status = store_get(view, TABLE_LEAF, key, sizeof key, &stored);
	if (status != 0)
		return status;
	if (stored.size < LEAF_SIZE || stored.size - LEAF_SIZE >= name_size || leaf_read(stored.bytes, leaf) != 0)
		return STATUS_DAMAGED;
	memcpy(name, stored.bytes + LEAF_SIZE, stored.size - LEAF_SIZE);
	name[stored.size - LEAF_SIZE] = '\0';
	return 0;
}

int ledger_read_publication(struct store_view *view, uint64_t number, uint64_t *size, const char **note,
			    size_t *note_size)
{
	struct publication publication;
	int status = read_publication(view, number, &publication);

	if (status != 0)
		return status;
	*size = publication.size;
	*note = publication.note;
	*note_size = publication.note_size;
	return 0;
}

int ledger_read_path(struct store_view *view, uint64_t leaf, uint64_t size, struct merkle_proof *out)
{
	struct tlog_reader reader = {NULL, view};

	return merkle_inclusion(tlog_read, &reader, leaf, size, out);
}

int ledger_read_state_after(struct store_view *view, uint64_t leaf, uint64_t last, uint64_t *number, uint64_t *index)
{
	struct publication publication = {0};
	uint64_t low = 1, high = last + 1; /* sizes grow: the first publication that is larger than leaf + 1 */

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		int status = read_publication(view, middle, &publication);
		if (status != 0)
			return status == STATUS_NOT_FOUND ? STATUS_DAMAGED : status;
		if (publication.size > leaf + 1)
			high = middle;
		else
			low = middle + 1;
	}
	if (low > last)
		return STATUS_NOT_FOUND;
	int status = read_publication(view, low, &publication);
	*number = low;
	*index = publication.size - 1;
	return status;
}
