#include "tests/liar/book.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct copied {
	struct copied *next;
	uint8_t bytes[];
} * all_copied;

static void check(bool good, const char *what)
{
	if (!good) {
		fprintf(stderr, "book: %s\n", what);
		abort();
	}
}

static uint8_t *copy_bytes(const uint8_t *bytes, size_t size)
{
	struct copied *copied = malloc(sizeof *copied + size);

	check(copied != NULL, "memory");
	memcpy(copied->bytes, bytes, size);
	copied->next = all_copied;
	all_copied = copied;
	return copied->bytes;
}

void book_free_bytes(void)
{
	while (all_copied != NULL) {
		struct copied *next = all_copied->next;
		free(all_copied);
		all_copied = next;
	}
}

void book_init(struct book *book, struct world *world)
{
	*book = (struct book){0};
	scene_init(&book->scene, world);
	book->scene.number = 0;
}

void book_finish(struct book *book)
{
	scene_finish(&book->scene);
	*book = (struct book){0};
}

void book_fork(const struct book *from, struct book *to)
{
	book_finish(to);
	*to = *from;
	to->scene.tree = NULL; /* it is the other's */
}

struct book_entry *book_find(struct book *book, const char *name)
{
	for (size_t i = 0; i < book->n_entries; i++) {
		if (strcmp(book->entries[i].name, name) == 0)
			return &book->entries[i];
	}
	return NULL;
}

static size_t add_leaf(struct book *book, const struct leaf *leaf)
{
	check(book->n_leaves < SCENE_LEAVES, "too many leaves");
	uint8_t *bytes = book->leaf_bytes[book->n_leaves];
	leaf_write(leaf, bytes);
	book->leaves[book->n_leaves] = merkle_leaf(bytes, LEAF_SIZE);
	return book->n_leaves++;
}

void book_put(struct book *book, const struct world_item *item, const ProtobufCBinaryData *sections, size_t n_sections)
{
	struct book_entry *entry = book_find(book, item->name);

	if (entry == NULL) {
		check(book->n_entries < SCENE_NAMES, "too many names");
		entry = &book->entries[book->n_entries++];
		*entry = (struct book_entry){0};
		strcpy(entry->name, item->name);
	}
	check(entry->n < BOOK_VERSIONS && n_sections <= BOOK_SECTIONS, "too many versions or sections");
	struct world_item *version = &entry->versions[entry->n++];
	*version = *item;
	version->bytes = copy_bytes(item->bytes, item->size);
	entry->n_sections = n_sections;
	for (size_t i = 0; i < n_sections; i++)
		entry->sections[i] =
		    (ProtobufCBinaryData){sections[i].len, copy_bytes(sections[i].data, sections[i].len)};
	struct leaf leaf = {.kind = LEAF_PUT,
			    .key = hash_name(item->name),
			    .seq = item->seq,
			    .value = item->value,
			    .time_ms = book->scene.time_ms};
	entry->leaf = add_leaf(book, &leaf);
}

size_t book_anchor(struct book *book, const uint8_t *item, size_t size)
{
	const struct hash event = hash_event(item, size);
	struct prefix_entry entry = {event, event};
	struct prefix_tree *batch = prefix_create(&entry, 1);
	struct leaf leaf = {.kind = LEAF_ANCHOR, .time_ms = book->scene.time_ms};

	check(batch != NULL, "memory");
	prefix_root(batch, &leaf.value);
	prefix_destroy(batch);
	return add_leaf(book, &leaf);
}

void book_forget(struct book *book, const char *name)
{
	struct book_entry *entry = book_find(book, name);

	check(entry != NULL, name);
	*entry = book->entries[--book->n_entries];
}

void book_publish(struct book *book)
{
	struct scene *scene = &book->scene;

	prefix_destroy(scene->tree);
	scene->tree = NULL;
	scene->n = 0;
	scene->number++;
	for (size_t i = 0; i < book->n_entries; i++)
		scene_put(scene, book->entries[i].name, &book->entries[i].versions[book->entries[i].n - 1].value);
	scene->before = book->leaves;
	scene->n_before = book->n_leaves;
	scene_close(scene);
	struct leaf leaf;
	check(leaf_read(scene->leaf, &leaf) == 0, "STATE leaf");
	book->last_state = add_leaf(book, &leaf);
}

void book_keep(const struct book *from, struct book *to)
{
	book_fork(from, to);
	to->n_leaves--; /* the same STATE leaf again, and the same signatures: Ed25519 has no randomness */
	to->scene.number--;
	book_publish(to);
}

/* ---- Answers */

Poc__Item *book_answer_item(struct book_answer *answer, const char *name)
{
	for (size_t i = 0; i < answer->proof.n_items; i++) {
		if (strcmp(answer->proof.items[i]->name, name) == 0)
			return answer->proof.items[i];
	}
	return NULL;
}

static void begin(struct book *book, uint64_t checkpoint_size, struct book_answer *out)
{
	memset(out, 0, sizeof *out);
	poc__proof__init(&out->proof);
	out->proof.version = 1;
	out->proof.items = out->pointers;
	out->checkpoint = book->scene.checkpoint;
	if (checkpoint_size != book->n_leaves)
		out->proof.checkpoint = &out->checkpoint;
}

/* Adds the item of a name, in its place; versions from this one on, none: its value. */
static void add(struct book *book, const char *name, size_t from, struct book_answer *out)
{
	size_t n = out->proof.n_items, at = n;
	struct scene_item *item = &out->items[n];
	struct book_entry *entry = book_find(book, name);

	check(n < SCENE_NAMES, "too many items");
	scene_item(&book->scene, name, item);
	for (size_t i = from; entry != NULL && i < entry->n; i++)
		scene_envelope(item, &entry->versions[i]);
	for (; at > 0 && strcmp(out->pointers[at - 1]->name, name) > 0; at--)
		out->pointers[at] = out->pointers[at - 1];
	out->pointers[at] = &item->item;
	out->proof.n_items++;
}

static void add_record(struct book *book, const char *name, struct book_answer *out)
{
	struct book_entry *entry = book_find(book, name);

	add(book, name, entry != NULL ? entry->n - 1 : 0, out);
	if (entry != NULL) {
		Poc__Item *item = book_answer_item(out, name);
		item->sections = entry->sections;
		item->n_sections = entry->n_sections;
	}
}

void book_head(struct book *book, const Poc__GetHead *get, struct book_answer *out)
{
	struct book_entry *trust = book_find(book, "T"), *reg = book_find(book, "S");
	struct scene_log log = {book->leaves, book->n_leaves};

	begin(book, 0, out);
	for (size_t i = get->trust_seq; trust != NULL && i < trust->n; i++)
		out->trust[out->proof.n_trust++] =
		    (ProtobufCBinaryData){trust->versions[i].size, trust->versions[i].bytes};
	out->proof.trust = out->trust;
	bool same = reg != NULL && get->register_value.len == HASH_SIZE &&
		    memcmp(get->register_value.data, reg->versions[reg->n - 1].value.bytes, HASH_SIZE) == 0;
	add(book, "S", reg == NULL || same ? BOOK_VERSIONS : reg->n - 1, out);
	add(book, "T", BOOK_VERSIONS, out);
	poc__head_answer__init(&out->head);
	out->head.behind = get->held_size > book->n_leaves;
	if (get->held_size > 0 && get->held_size < book->n_leaves) {
		check(merkle_consistency(scene_read_log, &log, get->held_size, book->n_leaves, &out->path) == 0,
		      "consistency");
		out->head.consistency =
		    (ProtobufCBinaryData){out->path.length * HASH_SIZE, (uint8_t *)out->path.hashes};
	}
}

void book_lookup(struct book *book, const Poc__Lookup *lookup, struct book_answer *out)
{
	char keys[NAME_MAX_LENGTH + 1], record[NAME_MAX_LENGTH + 1];
	struct book_entry *entry;

	begin(book, lookup->checkpoint_size, out);
	snprintf(keys, sizeof keys, "K/%.2s", lookup->place);
	snprintf(record, sizeof record, "R/%.2s", lookup->place);
	entry = book_find(book, keys);
	add(book, entry != NULL ? entry->name : (const char *)copy_bytes((uint8_t *)keys, sizeof keys), BOOK_VERSIONS,
	    out);
	entry = book_find(book, record);
	add_record(book, entry != NULL ? entry->name : (const char *)copy_bytes((uint8_t *)record, sizeof record), out);
}

void book_envelopes(struct book *book, const Poc__GetEnvelopes *get, struct book_answer *out)
{
	begin(book, get->checkpoint_size, out);
	for (size_t i = 0; i < get->n_names; i++) {
		const struct book_entry *entry = book_find(book, get->names[i]);
		bool all = get->names[i][0] == 'K';
		add(book, get->names[i], entry == NULL || all ? 0 : entry->n - 1, out);
	}
}

void book_changes(struct book *book, const Poc__Changes *changes, struct book_page *out)
{
	memset(out, 0, sizeof *out);
	poc__changes_answer__init(&out->answer);
	for (size_t leaf = changes->from_leaf; leaf < book->n_leaves; leaf++) {
		for (size_t i = 0; i < book->n_entries; i++) {
			struct book_entry *entry = &book->entries[i];
			if (entry->leaf != leaf)
				continue;
			size_t n = out->answer.n_changes++;
			Poc__Change *change = &out->changes[n];
			poc__change__init(change);
			poc__item__init(&out->items[n].item);
			out->items[n].item.name = entry->name;
			for (size_t k = entry->name[0] == 'K' ? 0 : entry->n - 1; k < entry->n; k++)
				scene_envelope(&out->items[n], &entry->versions[k]);
			out->items[n].item.sections = entry->sections;
			out->items[n].item.n_sections = entry->n_sections;
			change->item = &out->items[n].item;
			change->seq = entry->versions[entry->n - 1].seq;
			change->leaf = leaf;
			out->pointers[n] = change;
		}
	}
	out->answer.changes = out->pointers;
	out->answer.next_leaf = out->answer.checkpoint_size = book->n_leaves;
}
