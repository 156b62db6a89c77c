/* events: what was stated (notices, receipts, facts): one ANCHOR leaf a commit over all of them, and at the publication
 * that follows the evidence of what their signers were worth. */
#include <stdlib.h>
#include <string.h>

#include "pocd/ledger/ledger_internal.h"
#include "pocd/store/schema.h"

/* ---- Names of U */

static bool has_signer(const struct ledger_signers *signers, const char *name)
{
	for (size_t i = 0; i < signers->n; i++) {
		if (strcmp(signers->items[i], name) == 0)
			return true;
	}
	return false;
}

int ledger_signers_add(struct ledger_signers *signers, const char *name)
{
	if (has_signer(signers, name))
		return 0;
	if (signers->n == signers->capacity) {
		size_t capacity = signers->capacity > 0 ? 2 * signers->capacity : 16;
		char **items = realloc(signers->items, capacity * sizeof *items);
		if (items == NULL)
			return STATUS_NO_MEMORY;
		signers->items = items;
		signers->capacity = capacity;
	}
	char *copy = strdup(name);
	if (copy == NULL)
		return STATUS_NO_MEMORY;
	signers->items[signers->n++] = copy;
	return 0;
}

void ledger_signers_clear(struct ledger_signers *signers)
{
	while (signers->n > 0)
		free(signers->items[--signers->n]);
}

void ledger_signers_finish(struct ledger_signers *signers)
{
	ledger_signers_clear(signers);
	free(signers->items);
}

/* The names whose proofs are the evidence for a U, ascending.  False if it is no name of a U. */
static bool evidence_names(const char *users, char names[LEDGER_EVIDENCE_ITEMS][SNAPSHOT_NAME_ROOM])
{
	size_t length = strlen(users), state = 0;

	if (strncmp(users, "U/", 2) != 0 || length >= SNAPSHOT_NAME_ROOM)
		return false;
	while (users[2 + state] != '\0' && users[2 + state] != '/')
		state++;
	if (state == 0)
		return false;
	memcpy(names[0], "K/", 2);
	memcpy(names[0] + 2, users + 2, state);
	names[0][2 + state] = '\0';
	strcpy(names[1], "S");
	strcpy(names[2], "T");
	memcpy(names[3], users, length + 1);
	return true;
}

/* Whether a name stands in the evidence for one of these U. */
static bool is_evidence(const struct ledger_signers *signers, const char *name)
{
	char names[LEDGER_EVIDENCE_ITEMS][SNAPSHOT_NAME_ROOM];

	for (size_t i = 0; i < signers->n; i++) {
		for (size_t k = 0; evidence_names(signers->items[i], names) && k < LEDGER_EVIDENCE_ITEMS; k++) {
			if (strcmp(names[k], name) == 0)
				return true;
		}
	}
	return false;
}

bool ledger_testifies(const struct ledger *ledger, const char *name)
{
	return is_evidence(&ledger->waiting, name) || is_evidence(&ledger->staged_signers, name);
}

/* ---- Staging */

/* Names never vanish: what is published now can be proven at the next publication as well. */
static bool signer_published(const struct ledger *ledger, const char *users)
{
	char names[LEDGER_EVIDENCE_ITEMS][SNAPSHOT_NAME_ROOM];

	if (ledger->tip == NULL || !evidence_names(users, names))
		return false;
	for (size_t i = 0; i < LEDGER_EVIDENCE_ITEMS; i++) {
		if (snapshot_find(ledger->tip, names[i]) == NULL)
			return false;
	}
	return true;
}

static int check_event(const struct ledger *ledger, const struct ledger_event *events, size_t i, struct refusal *why)
{
	struct hash key = hash_event(events[i].item, events[i].size);

	if (events[i].signer != NULL && !signer_published(ledger, events[i].signer))
		return refuse(why, STATUS_INVALID, "event", "%s is not published", events[i].signer);
	bool twice = changes_find(&ledger->staged_events, &key) != NULL;
	for (size_t k = 0; k < i && !twice; k++)
		twice = events[k].size == events[i].size && memcmp(events[k].item, events[i].item, events[i].size) == 0;
	return twice ? refuse(why, STATUS_INVALID, "event", "the same event twice") : 0;
}

static int stage_event(struct ledger *ledger, struct ledger_event *event)
{
	struct change change = {
	    .key = hash_event(event->item, event->size), .bytes = (uint8_t *)event->item, .size = event->size};

	event->place = (uint32_t)ledger->staged_events.n;
	if (event->signer != NULL) {
		if (ledger_signers_add(&ledger->staged_signers, event->signer) != 0)
			return STATUS_NO_MEMORY;
		/* the list keeps its strings until the group is committed or dropped */
		for (size_t i = 0; i < ledger->staged_signers.n && change.name == NULL; i++) {
			if (strcmp(ledger->staged_signers.items[i], event->signer) == 0)
				change.name = ledger->staged_signers.items[i];
		}
	}
	return changes_put(&ledger->staged_events, &change);
}

int ledger_stage_events(struct ledger *ledger, struct ledger_event *events, size_t n, struct refusal *why)
{
	int status = 0;

	for (size_t i = 0; i < n; i++) {
		if (check_event(ledger, events, i, why) != 0)
			return STATUS_INVALID;
	}
	if (ledger->batch == NULL)
		ledger->batch = store_batch_create();
	if (ledger->batch == NULL)
		status = STATUS_NO_MEMORY;
	for (size_t i = 0; status == 0 && i < n; i++)
		status = stage_event(ledger, &events[i]);
	if (status != 0) {
		ledger_drop_staged(ledger);
		return refuse(why, status, "", "cannot stage the events: %s", status_text(status));
	}
	return 0;
}

/* ---- Commit */

static int by_key(const void *a, const void *b)
{
	return hash_compare(&((const struct prefix_entry *)a)->key, &((const struct prefix_entry *)b)->key);
}

static struct prefix_entry *sorted_entries(const struct changes *events)
{
	struct prefix_entry *entries = malloc((events->n + 1) * sizeof *entries);

	for (size_t i = 0; entries != NULL && i < events->n; i++)
		entries[i] = (struct prefix_entry){events->items[i].key, events->items[i].key};
	if (entries != NULL)
		qsort(entries, events->n, sizeof *entries, by_key);
	return entries;
}

static int put_event(struct ledger *ledger, const struct prefix_tree *tree, const struct change *event, uint64_t leaf,
		     uint32_t place)
{
	uint8_t key[SCHEMA_EVENT_KEY], siblings[PREFIX_DEPTH_MAX * HASH_SIZE];
	enum prefix_terminal terminal;
	const struct prefix_entry *other;
	size_t length = event->name != NULL ? strlen(event->name) : 0;
	unsigned depth = prefix_prove_bytes(tree, &event->key, siblings, &terminal, &other);
	size_t size = 1 + length + 2 + (size_t)depth * HASH_SIZE + event->size;
	uint8_t *value = malloc(size), *at = value;

	if (value == NULL)
		return STATUS_NO_MEMORY;
	*at++ = (uint8_t)length;
	if (length > 0)
		memcpy(at, event->name, length);
	schema_put_u16(at + length, depth);
	at += length + 2;
	memcpy(at, siblings, (size_t)depth * HASH_SIZE);
	memcpy(at + (size_t)depth * HASH_SIZE, event->bytes, event->size);
	schema_event_key(key, leaf, place);
	int status = store_batch_put(ledger->batch, TABLE_EVENT, key, sizeof key, value, size);
	free(value);
	return status;
}

/* Those whose row is not there yet. */
static int put_waiting(struct ledger *ledger)
{
	uint8_t key[SCHEMA_EVIDENCE_KEY_MAX];
	int status = 0;

	for (size_t i = 0; i < ledger->staged_signers.n && status == 0; i++) {
		const char *name = ledger->staged_signers.items[i];
		if (!has_signer(&ledger->waiting, name))
			status = store_batch_put(ledger->batch, TABLE_EVIDENCE, key, schema_evidence_key(key, 0, name),
						 NULL, 0);
	}
	return status;
}

static int put_anchor(struct ledger *ledger, const struct prefix_tree *tree)
{
	const struct changes *events = &ledger->staged_events;
	struct leaf anchor = {.kind = LEAF_ANCHOR, .time_ms = ledger_next_time(ledger)};
	uint64_t index = ledger->staged_tlog.size;

	prefix_root(tree, &anchor.value);
	int status = ledger_put_leaf(ledger, &anchor, index, "");
	for (size_t i = 0; i < events->n && status == 0; i++)
		status = put_event(ledger, tree, &events->items[i], index, (uint32_t)i);
	return status != 0 ? status : put_waiting(ledger);
}

int ledger_put_events(struct ledger *ledger)
{
	const struct changes *events = &ledger->staged_events;

	if (events->n == 0)
		return 0;
	struct prefix_entry *entries = sorted_entries(events);
	struct prefix_tree *tree = entries != NULL ? prefix_create(entries, events->n) : NULL;
	int status = tree != NULL ? put_anchor(ledger, tree) : STATUS_NO_MEMORY;
	prefix_destroy(tree);
	free(entries);
	return status;
}

int ledger_keep_events(struct ledger *ledger)
{
	int status = 0;

	ledger->anchored |= ledger->staged_events.n > 0;
	for (size_t i = 0; i < ledger->staged_signers.n && status == 0; i++)
		status = ledger_signers_add(&ledger->waiting, ledger->staged_signers.items[i]);
	return status;
}

/* ---- Evidence */

enum { LOAD_ENOUGH = -1 };

static int load_waiting(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct ledger *ledger = ctx;
	char name[SNAPSHOT_NAME_ROOM];

	(void)value;
	if (key_size <= 8 || key_size - 8 >= sizeof name)
		return STATUS_DAMAGED;
	if (schema_get_u64(key) != 0)
		return LOAD_ENOUGH;
	memcpy(name, key + 8, key_size - 8);
	name[key_size - 8] = '\0';
	return ledger_signers_add(&ledger->waiting, name);
}

int ledger_load_waiting(struct ledger *ledger, struct store_view *view)
{
	int status = store_walk(view, TABLE_EVIDENCE, NULL, 0, load_waiting, ledger);

	return status == LOAD_ENOUGH ? 0 : status;
}

/* The proofs for one U, or less if they do not fit. */
static size_t prove(const struct snapshot *next, char names[LEDGER_EVIDENCE_ITEMS][SNAPSHOT_NAME_ROOM], uint8_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < LEDGER_EVIDENCE_ITEMS; i++) {
		struct hash key = hash_name(names[i]);
		enum prefix_terminal terminal;
		const struct prefix_entry *found;
		unsigned depth = prefix_prove_bytes(next->map, &key, out + n + 2, &terminal, &found);
		if (terminal != PREFIX_FOUND)
			return 0;
		schema_put_u16(out + n, depth);
		n += 2 + (size_t)depth * HASH_SIZE;
		memcpy(out + n, found->value.bytes, HASH_SIZE);
		n += HASH_SIZE;
	}
	return n;
}

int ledger_put_evidence(struct ledger *ledger, const struct snapshot *next, uint64_t number, struct store_batch *batch)
{
	static const size_t room = LEDGER_EVIDENCE_ITEMS * (2 + (PREFIX_DEPTH_MAX + 1) * HASH_SIZE);
	char names[LEDGER_EVIDENCE_ITEMS][SNAPSHOT_NAME_ROOM];
	uint8_t key[SCHEMA_EVIDENCE_KEY_MAX], *value = malloc(room);
	int status = value != NULL ? 0 : STATUS_NO_MEMORY;

	for (size_t i = 0; i < ledger->waiting.n && status == 0; i++) {
		const char *users = ledger->waiting.items[i];
		size_t size = evidence_names(users, names) ? prove(next, names, value) : 0;
		size_t key_size = schema_evidence_key(key, number, users);
		status = size > 0 ? store_batch_put(batch, TABLE_EVIDENCE, key, key_size, value, size) : STATUS_DAMAGED;
		if (status == 0)
			status = store_batch_delete(batch, TABLE_EVIDENCE, key, schema_evidence_key(key, 0, users));
	}
	free(value);
	return status;
}

/* ---- Reading */

int ledger_read_event(struct store_view *view, uint64_t leaf, uint32_t place, struct ledger_event_row *out)
{
	uint8_t key[SCHEMA_EVENT_KEY];
	struct store_value value;

	schema_event_key(key, leaf, place);
	int status = store_get(view, TABLE_EVENT, key, sizeof key, &value);
	if (status != 0)
		return status;
	size_t length = value.size > 0 ? value.bytes[0] : 0;
	if (length >= sizeof out->signer || value.size < 1 + length + 2)
		return STATUS_DAMAGED;
	memcpy(out->signer, value.bytes + 1, length);
	out->signer[length] = '\0';
	const uint8_t *at = value.bytes + 1 + length;
	out->depth = schema_get_u16(at);
	out->siblings = at + 2;
	size_t left = value.size - 1 - length - 2, siblings = (size_t)out->depth * HASH_SIZE;
	if (out->depth > PREFIX_DEPTH_MAX || left <= siblings)
		return STATUS_DAMAGED;
	out->item = out->siblings + siblings;
	out->size = left - siblings;
	return 0;
}

static bool cut_item(struct store_value *value, struct ledger_evidence_item *item)
{
	if (value->size < 2)
		return false;
	item->depth = schema_get_u16(value->bytes);
	item->siblings = value->bytes + 2;
	size_t size = 2 + ((size_t)item->depth + 1) * HASH_SIZE;
	if (item->depth > PREFIX_DEPTH_MAX || value->size < size)
		return false;
	memcpy(item->value.bytes, value->bytes + size - HASH_SIZE, HASH_SIZE);
	value->bytes += size;
	value->size -= size;
	return true;
}

int ledger_read_evidence(struct store_view *view, uint64_t publication, const char *users, struct ledger_evidence *out)
{
	char names[LEDGER_EVIDENCE_ITEMS][SNAPSHOT_NAME_ROOM];
	uint8_t key[SCHEMA_EVIDENCE_KEY_MAX];
	struct store_value value;

	if (publication == 0 || !evidence_names(users, names))
		return STATUS_NOT_FOUND;
	int status = store_get(view, TABLE_EVIDENCE, key, schema_evidence_key(key, publication, users), &value);
	if (status != 0)
		return status;
	for (size_t i = 0; i < LEDGER_EVIDENCE_ITEMS; i++) {
		memcpy(out->items[i].name, names[i], SNAPSHOT_NAME_ROOM);
		if (!cut_item(&value, &out->items[i]))
			return STATUS_DAMAGED;
	}
	return value.size == 0 ? 0 : STATUS_DAMAGED;
}
