/* facts DATA [FROM]: recomputes log and map of a directory's folder up to the stored checkpoint and prints what is in
 * it, for tests that compare it with what a server acknowledged:
 *
 *     put LEAF NAME SEQ VALUE TIME_MS MISSING     of each PUT leaf; sections that it calls for and that are not there
 *     sections STORED REFERENCED                  with FROM 0 only
 *     entry PLACE CURSOR HASH ID WHAT             of each desk's feed: notice, receipt or fact; SHA-256 of the item
 *     size LEAVES PUBLISHED
 *
 * The sections of leaves before FROM are not looked at again.  What is wrong goes to stderr, with exit status 1. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pocd/directory/notices_check.h"
#include "pocd/directory/rows.h"
#include "pocd/ledger/ledger.h"
#include "proto/rules/envelope.h"

struct facts {
	struct store_view *view;
	uint64_t from, stored;
	size_t n, capacity;
	struct hash *referenced; /* digests of sections */
};

static int fail(const char *what)
{
	fprintf(stderr, "facts: %s\n", what);
	return 1;
}

static void keep_digest(struct facts *facts, const struct hash *digest)
{
	if (facts->n == facts->capacity) {
		facts->capacity = facts->capacity > 0 ? 2 * facts->capacity : 1024;
		facts->referenced = realloc(facts->referenced, facts->capacity * sizeof *facts->referenced);
		if (facts->referenced == NULL)
			abort();
	}
	facts->referenced[facts->n++] = *digest;
}

static int by_bytes(const void *a, const void *b)
{
	return hash_compare(a, b);
}

/* A confirmed record calls for the sections of the one before. */
static uint64_t count_distinct(struct facts *facts)
{
	uint64_t distinct = 0;

	if (facts->n > 0)
		qsort(facts->referenced, facts->n, sizeof *facts->referenced, by_bytes);
	for (size_t i = 0; i < facts->n; i++)
		distinct += i == 0 || hash_compare(&facts->referenced[i - 1], &facts->referenced[i]) != 0;
	return distinct;
}

static unsigned missing_refs(struct facts *facts, Poc__SectionRef *const *refs, size_t n)
{
	unsigned missing = 0;

	for (size_t i = 0; i < n; i++) {
		const uint8_t *bytes;
		size_t size;
		struct hash digest;
		memcpy(digest.bytes, refs[i]->digest.data, HASH_SIZE);
		keep_digest(facts, &digest);
		missing += ledger_read_section(facts->view, &digest, &bytes, &size) != 0;
	}
	return missing;
}

/* -1: the envelope itself is not whole. */
static int missing_sections(struct facts *facts, const struct leaf *leaf)
{
	const uint8_t *bytes;
	size_t size;
	struct envelope *envelope;

	if (ledger_read_envelope(facts->view, &leaf->value, &bytes, &size, NULL, NULL) != 0 ||
	    envelope_parse(bytes, size, &envelope, NULL) != 0)
		return -1;
	unsigned missing = 0;
	if (envelope->name.kind == NAME_RECORD) {
		const Poc__Record *record = envelope->payload.record;
		missing = missing_refs(facts, record->sections, record->n_sections);
		for (size_t i = 0; i < record->n_pocs; i++)
			missing += missing_refs(facts, record->pocs[i]->sections, record->pocs[i]->n_sections);
	}
	envelope_destroy(envelope);
	return (int)missing;
}

static int print_leaf(struct facts *facts, uint64_t index)
{
	struct leaf leaf;
	char name[80], hex[65];

	if (ledger_read_leaf(facts->view, index, &leaf, name, sizeof name) != 0)
		return fail("a leaf cannot be read");
	if (leaf.kind != LEAF_PUT)
		return 0;
	int missing = index >= facts->from ? missing_sections(facts, &leaf) : 0;
	if (missing < 0)
		return fail("an envelope cannot be read");
	hash_to_hex(&leaf.value, hex);
	printf("put %" PRIu64 " %s %" PRIu64 " %s %" PRIu64 " %d\n", index, name, leaf.seq, hex, leaf.time_ms, missing);
	return 0;
}

static int count(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	(void)key;
	(void)key_size;
	(void)value;
	++*(uint64_t *)ctx;
	return 0;
}

/* Desks are told apart by their place alone: the writers have one each. */
static int print_entry(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct store_view *view = ctx;
	struct row_feed row;
	struct row_step step;
	const uint8_t *item;
	size_t size;
	char hex[65], id[NOTICE_ID_TEXT];

	if (row_read_feed(key, key_size, value, &row) != 0 || row_read_step(view, row.number, row.step, &step) != 0 ||
	    row_read_item(view, &step, &item, &size) != 0)
		return STATUS_DAMAGED;
	const struct hash hash = hash_of(item, size);
	hash_to_hex(&hash, hex);
	notice_id_print(&row.id, id);
	printf("entry %s %" PRIu64 " %s %s %s\n", (const char *)key, row.cursor, hex, id,
	       step.step == 0 ? "notice" : step_name(step.step));
	return 0;
}

static int print_all(struct facts *facts, const struct ledger_report *report)
{
	uint64_t published = 0;
	const char *note;
	size_t note_size;

	for (uint64_t i = 0; i < report->leaves; i++) {
		if (print_leaf(facts, i) != 0)
			return 1;
	}
	if (store_walk(facts->view, TABLE_FEED, NULL, 0, print_entry, facts->view) != 0)
		return fail("the feeds cannot be read");
	if (store_walk(facts->view, TABLE_SECTION, NULL, 0, count, &facts->stored) != 0)
		return fail("the sections cannot be read");
	if (facts->from == 0)
		printf("sections %" PRIu64 " %" PRIu64 "\n", facts->stored, count_distinct(facts));
	if (report->publications > 0 &&
	    ledger_read_publication(facts->view, report->publications, &published, &note, &note_size) != 0)
		return fail("the last publication cannot be read");
	printf("size %" PRIu64 " %" PRIu64 "\n", report->leaves, published);
	return 0;
}

int main(int argc, char **argv)
{
	struct store_lmdb_options options = {.path = argc > 1 ? argv[1] : "", .read_only = 1};
	struct facts facts = {.from = argc > 2 ? strtoull(argv[2], NULL, 10) : 0};
	struct ledger_report report;
	struct notices_report notices;
	struct store *store;
	struct refusal why = {0};

	if (argc < 2 || argc > 3) {
		fputs("usage: facts DATA [FROM]\n", stderr);
		return 2;
	}
	if (store_lmdb_open(&options, &store, &why) != 0)
		return fail(why.message);
	int result = ledger_check(store, &report, &why) != 0 || notices_check(store, &notices, &why) != 0
			 ? fail(why.message)
			 : 0;
	if (result == 0 && store_view_begin(store, &facts.view) == 0) {
		result = print_all(&facts, &report);
		store_view_end(facts.view);
		free(facts.referenced);
	}
	store_close(store);
	return result;
}
