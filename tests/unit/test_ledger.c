#include "tests/lib/unit.h"

#include <unistd.h>

#include "pocd/ledger/ledger.h"
#include "tests/lib/world.h"

static uint64_t now = 1790000000000;

static uint64_t read_now(void *ctx)
{
	(void)ctx;
	return now;
}

static struct ledger *open_ledger(struct store *store, struct world *world)
{
	struct ledger_options options = {
	    .store = store, .origin = "pocd.test/2026", .log_keys = &world->log, .n_log_keys = 1, .now_ms = read_now};
	struct ledger *ledger;
	struct refusal why = {0};

	if (ledger_open(&options, &ledger, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	return ledger;
}

static void stage(struct ledger *ledger, const struct world_item *item)
{
	struct ledger_put put = {.name = item->name,
				 .value = item->value,
				 .seq = item->seq,
				 .envelope = item->bytes,
				 .envelope_size = item->size};

	assert_int_equal(ledger_stage(ledger, &put, 1, NULL), 0);
}

static void stage_state(struct ledger *ledger, struct world_state *state)
{
	stage(ledger, &state->keys);
	stage(ledger, &state->users);
	if (state->record.bytes != NULL)
		stage(ledger, &state->record);
}

/* What the snapshot proves is what it says, for present and absent names. */
static void check_snapshot(const struct snapshot *s)
{
	struct note note;
	struct checkpoint checkpoint;
	struct leaf leaf;
	struct hash leaf_hash = merkle_leaf(s->leaf, LEAF_SIZE);

	assert_int_equal(note_parse(s->note, s->note_size, &note, NULL), 0);
	assert_int_equal(checkpoint_parse(note.text, note.text_size, &checkpoint, NULL), 0);
	assert_true(merkle_verify_inclusion(checkpoint.size - 1, checkpoint.size, &leaf_hash, s->path.hashes,
					    s->path.length, &checkpoint.root));
	assert_int_equal(leaf_read(s->leaf, &leaf), 0);
	for (size_t i = 0; i < s->n_names; i++) {
		struct prefix_proof proof;
		struct hash key = hash_name(s->names[i].name);
		prefix_prove(s->map, &key, &proof);
		assert_int_equal(proof.terminal, PREFIX_FOUND);
		assert_true(prefix_verify(&leaf.value, &key, &s->names[i].value, proof.siblings[0].bytes, proof.depth,
					  proof.terminal, &proof.other));
	}
	struct prefix_proof proof;
	struct hash key = hash_name("R/ZZ");
	prefix_prove(s->map, &key, &proof);
	assert_int_not_equal(proof.terminal, PREFIX_FOUND);
	assert_true(
	    prefix_verify(&leaf.value, &key, NULL, proof.siblings[0].bytes, proof.depth, proof.terminal, &proof.other));
}

static void run_history(struct store *store)
{
	struct world *world = world_create(1790000000);
	struct ledger *ledger = open_ledger(store, world);
	struct checkpoint seen[80];
	size_t n = 0;

	stage(ledger, &world->trust);
	stage(ledger, &world->reg);
	stage_state(ledger, world_state(world, "@directory"));
	assert_int_equal(ledger_commit(ledger, NULL), 0);
	assert_null(ledger_snapshot(ledger));
	assert_int_equal(ledger_publish(ledger, NULL), 0);
	for (int i = 0; i < 60; i++) {
		char code[3] = {(char)('A' + i % 26), (char)('A' + i / 26), 0};
		struct world_state *state = world_add_state(world, code);
		now += 1000;
		stage(ledger, &world->reg);
		stage_state(ledger, state);
		assert_int_equal(ledger_commit(ledger, NULL), 0);
		if (i % 7 == 3) { /* a crash between commit and publication */
			ledger_close(ledger);
			ledger = open_ledger(store, world);
			struct snapshot *last = ledger_snapshot(ledger);
			assert_int_equal(last->checkpoint.size, seen[n - 1].size); /* goes on being served */
			snapshot_unref(last);
			assert_true(ledger_unpublished(ledger));
		}
		assert_int_equal(ledger_publish(ledger, NULL), 0);
		if (i % 5 == 2) {
			ledger_close(ledger);
			ledger = open_ledger(store, world);
		}
		struct snapshot *s = ledger_snapshot(ledger);
		assert_non_null(s);
		check_snapshot(s);
		assert_int_equal(s->n_names, 4 + 3 * (i + 1));
		seen[n++] = s->checkpoint;
		snapshot_unref(s);
	}
	for (size_t i = 0; i < n; i++) {
		struct merkle_proof proof;
		assert_int_equal(ledger_consistency(ledger, seen[i].size, seen[n - 1].size, &proof), 0);
		assert_true(merkle_verify_consistency(seen[i].size, &seen[i].root, seen[n - 1].size, &seen[n - 1].root,
						      proof.hashes, proof.length));
	}
	/* heartbeat: nothing changed, still a new head */
	assert_int_equal(ledger_publish(ledger, NULL), 0);
	struct hash value;
	uint64_t seq, leaf, time_ms;
	assert_int_equal(ledger_current(ledger, "S", &value, &seq, NULL, NULL), 0);
	assert_int_equal(seq, 61);
	assert_memory_equal(value.bytes, world->reg.value.bytes, HASH_SIZE);
	assert_int_equal(ledger_first_answer(ledger, &value, &leaf, &time_ms), 0);
	assert_int_equal(ledger_current(ledger, "R/ZZ", &value, &seq, NULL, NULL), STATUS_NOT_FOUND);
	struct ledger_report report;
	struct refusal why = {0};
	if (ledger_check(store, &report, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	assert_int_equal(report.leaves, ledger_size(ledger));
	assert_int_equal(report.publications, 62);
	assert_int_equal(report.names, 4 + 3 * 60);
	assert_int_equal(report.envelopes, 4 + 4 * 60);
	ledger_close(ledger);
	world_destroy(world);
}

static void in_memory(void (*run)(struct store *store))
{
	struct store *store = store_mem_create();

	run(store);
	store_close(store);
}

static void in_lmdb(void (*run)(struct store *store))
{
	char folder[] = "/tmp/pocd-test-XXXXXX", path[64], command[80];
	struct store *store;
	struct refusal why = {0};

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/data", folder);
	struct store_lmdb_options options = {.path = path, .create = 1, .map_size = 64 << 20};
	if (store_lmdb_open(&options, &store, &why) != 0)
		fail_msg("%s", why.message);
	run(store);
	store_close(store);
	options.create = 0;
	if (store_lmdb_open(&options, &store, &why) != 0)
		fail_msg("%s", why.message);
	store_close(store);
	snprintf(command, sizeof command, "rm -rf %s", folder);
	assert_int_equal(system(command), 0);
}

/* ---- Events */

enum { STATED_MAX = 4000 };

/* What was stated, and where it must stand. */
struct stated {
	size_t n;
	struct one {
		char item[32];
		size_t size;
		const char *signer;
		uint64_t leaf;
		uint32_t place;
	} items[STATED_MAX];
};

static const char *const signers[] = {NULL, "U/@directory", "U/XA", "U/XB"};

/* Stages and commits some events, and now and then a put and a row beside them. */
static void state_some(struct ledger *ledger, struct stated *stated, uint64_t *random, struct world *world)
{
	size_t n = 1 + test_random(random) % 9;
	uint64_t before = ledger_size(ledger), stamp = ledger_time_ms(ledger);

	if (test_random(random) % 3 == 0) {
		world_next_register(world, NULL);
		stage(ledger, &world->reg);
		assert_true(ledger_moved(ledger, "S"));
		assert_false(ledger_moved(ledger, "T"));
		before++;
	}
	for (size_t i = 0; i < n; i++) {
		struct one *one = &stated->items[stated->n++];
		one->size = (size_t)snprintf(one->item, sizeof one->item, "item %zu", stated->n);
		one->signer = signers[test_random(random) % 4];
		struct ledger_event event = {(const uint8_t *)one->item, one->size, one->signer, 99};
		assert_int_equal(ledger_stage_events(ledger, &event, 1, NULL), 0);
		assert_int_equal(event.place, i);
		assert_int_equal(ledger_stage_events(ledger, &event, 1, NULL), STATUS_INVALID); /* twice */
		one->place = event.place;
		one->leaf = ledger_anchor(ledger);
	}
	struct ledger_event stranger = {(const uint8_t *)"x", 1, "U/ZZ", 0};
	assert_int_equal(ledger_stage_events(ledger, &stranger, 1, NULL), STATUS_INVALID);
	assert_int_equal(ledger_stage_row(ledger, TABLE_BODY, "row", 3, "value", 5, NULL), 0);
	assert_true(ledger_staged(ledger));
	assert_int_equal(ledger_commit(ledger, NULL), 0);
	assert_false(ledger_staged(ledger));
	assert_true(ledger_unpublished(ledger));
	assert_int_equal(ledger_size(ledger), before + 1);
	assert_true(ledger_time_ms(ledger) >= stamp);
}

static void check_evidence(struct store_view *view, uint64_t number, const struct leaf *state, const char *signer)
{
	static const char *const names[] = {NULL, "S", "T"};
	struct ledger_evidence evidence;
	char keys[SNAPSHOT_NAME_ROOM];

	assert_int_equal(ledger_read_evidence(view, number, signer, &evidence), 0);
	snprintf(keys, sizeof keys, "K/%.50s", signer + 2);
	for (size_t i = 0; i < LEDGER_EVIDENCE_ITEMS; i++) {
		const struct ledger_evidence_item *item = &evidence.items[i];
		struct hash key = hash_name(item->name);
		assert_string_equal(item->name, i == 0 ? keys : i == 3 ? signer : names[i]);
		assert_true(
		    prefix_verify(&state->value, &key, &item->value, item->siblings, item->depth, PREFIX_FOUND, NULL));
	}
}

/* Whatever was stated is proven under the snapshot's checkpoint, as a reader would check it. */
static void check_stated(struct store *store, struct ledger *ledger, const struct stated *stated)
{
	struct snapshot *s = ledger_snapshot(ledger);
	struct store_view *view;
	char name[SNAPSHOT_NAME_ROOM];

	assert_int_equal(store_view_begin(store, &view), 0);
	for (size_t i = 0; i < stated->n; i++) {
		const struct one *one = &stated->items[i];
		struct ledger_event_row row;
		struct leaf anchor, state;
		struct merkle_proof path;
		uint64_t number, index;
		uint8_t bytes[LEAF_SIZE];
		assert_int_equal(ledger_read_event(view, one->leaf, one->place, &row), 0);
		assert_int_equal(row.size, one->size);
		assert_memory_equal(row.item, one->item, one->size);
		assert_string_equal(row.signer, one->signer != NULL ? one->signer : "");
		assert_int_equal(ledger_read_leaf(view, one->leaf, &anchor, name, sizeof name), 0);
		assert_int_equal(anchor.kind, LEAF_ANCHOR);
		struct hash event = hash_event(row.item, row.size);
		assert_true(prefix_verify(&anchor.value, &event, &event, row.siblings, row.depth, PREFIX_FOUND, NULL));
		assert_int_equal(ledger_read_state_after(view, one->leaf, s->number, &number, &index), 0);
		assert_true(index > one->leaf && number <= s->number);
		assert_int_equal(ledger_read_leaf(view, index, &state, name, sizeof name), 0);
		assert_int_equal(state.kind, LEAF_STATE);
		assert_int_equal(state.seq, number);
		leaf_write(&anchor, bytes);
		struct hash leaf = merkle_leaf(bytes, sizeof bytes);
		assert_int_equal(ledger_read_path(view, one->leaf, s->checkpoint.size, &path), 0);
		assert_true(merkle_verify_inclusion(one->leaf, s->checkpoint.size, &leaf, path.hashes, path.length,
						    &s->checkpoint.root));
		if (one->signer != NULL)
			check_evidence(view, number, &state, one->signer);
	}
	uint64_t number, index;
	assert_int_equal(ledger_read_state_after(view, s->checkpoint.size - 1, s->number, &number, &index),
			 STATUS_NOT_FOUND);
	store_view_end(view);
	snapshot_unref(s);
}

static void run_events(struct store *store)
{
	struct world *world = world_create(1790000000);
	struct stated *stated = calloc(1, sizeof *stated);
	struct ledger *ledger = open_ledger(store, world);
	struct ledger_event early = {(const uint8_t *)"x", 1, "U/XA", 0};
	uint64_t random = 77;

	assert_int_equal(ledger_stage_events(ledger, &early, 1, NULL), STATUS_INVALID); /* nothing is published */
	stage(ledger, &world->trust);
	stage_state(ledger, world_state(world, "@directory"));
	stage_state(ledger, world_add_state(world, "XA"));
	stage_state(ledger, world_add_state(world, "XB"));
	world->reg.seq = 0;
	world_next_register(world, NULL);
	stage(ledger, &world->reg);
	assert_int_equal(ledger_commit(ledger, NULL), 0);
	assert_int_equal(ledger_publish(ledger, NULL), 0);
	for (int i = 0; i < 120; i++) {
		now += test_random(&random) % 2000;
		state_some(ledger, stated, &random, world);
		if (test_random(&random) % 4 == 0) { /* a crash before the publication: who waits is not forgotten */
			ledger_close(ledger);
			ledger = open_ledger(store, world);
			assert_true(ledger_unpublished(ledger));
			assert_int_equal(ledger_publish(ledger, NULL), 0);
		}
		if (test_random(&random) % 3 == 0)
			assert_int_equal(ledger_publish(ledger, NULL), 0);
	}
	struct ledger_report report;
	struct refusal why = {0};
	if (ledger_check(store, &report, &why) != 0) /* whatever waits, waits rightly */
		fail_msg("%s: %s", why.field, why.message);
	assert_int_equal(ledger_publish(ledger, NULL), 0);
	assert_false(ledger_unpublished(ledger));
	check_stated(store, ledger, stated);
	if (ledger_check(store, &report, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	assert_int_equal(report.events, stated->n);
	ledger_close(ledger);
	free(stated);
	world_destroy(world);
}

/* ---- Random histories against a naive model: the list of leaves, and all roots recomputed from it */

enum { MODEL_NAMES = 12, MODEL_STEPS = 250, MODEL_LEAVES = 4000 };

struct model {
	size_t n_leaves;
	struct hash leaves[MODEL_LEAVES]; /* leaf hashes */
	uint64_t seq[MODEL_NAMES];
	struct hash value[MODEL_NAMES];
};

static struct hash naive_root(const struct hash *leaves, size_t n)
{
	if (n == 1)
		return leaves[0];
	size_t left = 1;
	while (2 * left < n)
		left *= 2;
	struct hash l = naive_root(leaves, left), r = naive_root(leaves + left, n - left);
	return merkle_node(&l, &r);
}

/* A store whose commits fail when told to. */
static bool commits_fail;
static const struct store_ops *real_ops;

static void failing_commit(struct store *store, struct store_batch *batch, store_done_fn done, void *ctx)
{
	if (!commits_fail) {
		real_ops->commit(store, batch, done, ctx);
		return;
	}
	store_batch_destroy(batch);
	done(ctx, STATUS_STORAGE);
}

static void model_append(struct model *model, const struct leaf *leaf)
{
	uint8_t bytes[LEAF_SIZE];

	leaf_write(leaf, bytes);
	assert_true(model->n_leaves < MODEL_LEAVES);
	model->leaves[model->n_leaves++] = merkle_leaf(bytes, sizeof bytes);
}

/* Stages up to eight puts of random names, commits them, and tells the model if that worked. */
static void random_commit(struct ledger *ledger, struct model *model, uint64_t *random, bool fail)
{
	struct model next = *model;
	size_t n = 1 + test_random(random) % 8;
	uint64_t seq;
	struct hash value;

	for (size_t i = 0; i < n; i++) {
		size_t which = test_random(random) % MODEL_NAMES;
		char name[8] = "R/AA", envelope[64];
		name[2] = (char)('A' + which);
		int size = snprintf(envelope, sizeof envelope, "%s %llu %llu", name,
				    (unsigned long long)next.seq[which] + 1, (unsigned long long)test_random(random));
		struct ledger_put put = {.name = name,
					 .value = hash_of(envelope, (size_t)size),
					 .seq = ++next.seq[which],
					 .envelope = (const uint8_t *)envelope,
					 .envelope_size = (size_t)size};
		assert_int_equal(ledger_stage(ledger, &put, 1, NULL), 0);
		next.value[which] = put.value;
		struct leaf leaf = {LEAF_PUT, hash_name(name), put.seq, put.value, put.time_ms};
		assert_int_equal(put.leaf, next.n_leaves);
		model_append(&next, &leaf);
		assert_int_equal(ledger_current(ledger, name, &value, &seq, NULL, NULL), 0); /* staged ones show */
		assert_memory_equal(value.bytes, put.value.bytes, HASH_SIZE);
	}
	commits_fail = fail;
	assert_int_equal(ledger_commit(ledger, NULL), fail ? STATUS_STORAGE : 0);
	commits_fail = false;
	if (!fail)
		*model = next;
}

static void check_names(struct ledger *ledger, const struct model *model)
{
	for (size_t i = 0; i < MODEL_NAMES; i++) {
		char name[8] = "R/AA";
		struct hash value;
		uint64_t seq;
		name[2] = (char)('A' + i);
		int status = ledger_current(ledger, name, &value, &seq, NULL, NULL);
		assert_int_equal(status, model->seq[i] == 0 ? STATUS_NOT_FOUND : 0);
		if (status != 0)
			continue;
		assert_int_equal(seq, model->seq[i]);
		assert_memory_equal(value.bytes, model->value[i].bytes, HASH_SIZE);
	}
}

static void random_publish(struct ledger *ledger, struct model *model)
{
	struct leaf leaf;

	assert_int_equal(ledger_publish(ledger, NULL), 0);
	struct snapshot *s = ledger_snapshot(ledger);
	assert_int_equal(leaf_read(s->leaf, &leaf), 0);
	model_append(model, &leaf);
	struct hash root = naive_root(model->leaves, model->n_leaves);
	assert_int_equal(s->checkpoint.size, model->n_leaves);
	assert_memory_equal(s->checkpoint.root.bytes, root.bytes, HASH_SIZE);
	check_snapshot(s);
	for (size_t i = 1; i < s->n_names; i++)
		assert_true(s->names[s->by_leaf[i - 1]].leaf < s->names[s->by_leaf[i]].leaf);
	snapshot_unref(s);
}

static void random_history(struct store *store, uint64_t random)
{
	struct world *world = world_create(1790000000);
	struct model *model = calloc(1, sizeof *model);
	struct ledger *ledger = open_ledger(store, world);
	struct refusal why = {0};

	for (int step = 0; step < MODEL_STEPS; step++) {
		now += test_random(&random) % 3000;
		if (test_random(&random) % 20 == 0)
			now -= 5000; /* a clock that is set back */
		switch (test_random(&random) % 8) {
		case 0:
			ledger_close(ledger);
			ledger = open_ledger(store, world);
			break;
		case 1:
		case 2:
			if (model->n_leaves > 0)
				random_publish(ledger, model);
			break;
		case 3:
			random_commit(ledger, model, &random, true);
			break;
		default:
			random_commit(ledger, model, &random, false);
		}
		assert_int_equal(ledger_size(ledger), model->n_leaves);
		check_names(ledger, model);
	}
	random_publish(ledger, model);
	if (ledger_check(store, NULL, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	ledger_close(ledger);
	free(model);
	world_destroy(world);
}

static void test_histories(void **state)
{
	(void)state;
	in_memory(run_history);
	in_lmdb(run_history);
}

static void test_events(void **state)
{
	(void)state;
	in_memory(run_events);
	in_lmdb(run_events);
}

static void test_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct store *store = store_mem_create();
		struct store_ops ops = *store->ops;
		real_ops = store->ops;
		ops.commit = failing_commit;
		store->ops = &ops;
		random_history(store, seed * 7919);
		store->ops = real_ops;
		store_close(store);
	}
}

/* ---- What waits for evidence is written once, not with each commit */

static unsigned waiting_rows;

static void counting_commit(struct store *store, struct store_batch *batch, store_done_fn done, void *ctx)
{
	for (size_t i = 0; i < store_batch_count(batch); i++)
		waiting_rows += store_batch_op(batch, i)->table == TABLE_EVIDENCE;
	real_ops->commit(store, batch, done, ctx);
}

static void state_as(struct ledger *ledger, const char *item, const char *signer)
{
	struct ledger_event event = {(const uint8_t *)item, strlen(item), signer, 0};

	assert_int_equal(ledger_stage_events(ledger, &event, 1, NULL), 0);
	assert_int_equal(ledger_commit(ledger, NULL), 0);
}

static void test_waiting_once(void **state)
{
	struct world *world = world_create(1790000000);
	struct store *store = store_mem_create();
	struct store_ops ops = *store->ops;
	struct ledger *ledger = open_ledger(store, world);

	(void)state;
	stage(ledger, &world->trust);
	stage_state(ledger, world_state(world, "@directory"));
	stage_state(ledger, world_add_state(world, "XA"));
	stage(ledger, &world->reg);
	assert_int_equal(ledger_commit(ledger, NULL), 0);
	assert_int_equal(ledger_publish(ledger, NULL), 0);
	real_ops = store->ops;
	ops.commit = counting_commit;
	store->ops = &ops;
	waiting_rows = 0;
	state_as(ledger, "one", "U/XA");
	assert_int_equal(waiting_rows, 1);
	state_as(ledger, "two", "U/XA");
	assert_int_equal(waiting_rows, 1);
	ledger_close(ledger); /* a start finds it */
	ledger = open_ledger(store, world);
	state_as(ledger, "three", "U/XA");
	assert_int_equal(waiting_rows, 1);
	state_as(ledger, "four", "U/@directory");
	assert_int_equal(waiting_rows, 2);
	assert_int_equal(ledger_publish(ledger, NULL), 0);
	waiting_rows = 0;
	state_as(ledger, "five", "U/XA"); /* the publication took it away */
	assert_int_equal(waiting_rows, 1);
	ledger_close(ledger);
	store->ops = real_ops;
	store_close(store);
	world_destroy(world);
}

/* ---- A signer, and heads that were signed and not stored */

static struct memory {
	struct checkpoint head;
	uint64_t state_ms;
	unsigned again;
} memory;

static int remember(void *ctx, const struct checkpoint *head, uint64_t state_ms, struct refusal *why)
{
	struct memory *last = ctx;

	(void)why;
	assert_true(head->size >= last->head.size);
	if (head->size == last->head.size) { /* never two of one size */
		assert_memory_equal(&head->root, &last->head.root, sizeof head->root);
		assert_int_equal(state_ms, last->state_ms);
		last->again++;
	}
	last->head = *head;
	last->state_ms = state_ms;
	return 0;
}

static int remind(void *ctx, const struct checkpoint *published, uint64_t state_ms, uint64_t size,
		  uint64_t *signed_size, uint64_t *signed_ms, struct refusal *why)
{
	const struct memory *last = ctx;

	assert_true(published->size <= size && (published->size == 0) == (state_ms == 0));
	*signed_size = last->head.size;
	*signed_ms = last->state_ms;
	return last->head.size <= size + 1 ? 0 : refuse(why, STATUS_CONFLICT, "", "older");
}

static int open_signed(struct store *store, struct world *world, struct ledger **out)
{
	struct ledger_options options = {.store = store,
					 .origin = "pocd.test/2026",
					 .log_keys = &world->log,
					 .n_log_keys = 1,
					 .signer = {remind, remember, &memory},
					 .now_ms = read_now};
	struct refusal why = {0};

	return ledger_open(&options, out, &why);
}

/* Fails to store a head that was signed, as on a full disk; the clock goes on. */
static void fail_to_publish(struct store *store, struct ledger *ledger)
{
	struct store_ops ops = *store->ops;

	real_ops = store->ops;
	ops.commit = failing_commit;
	commits_fail = true;
	store->ops = &ops;
	assert_int_equal(ledger_publish(ledger, NULL), STATUS_STORAGE);
	store->ops = real_ops;
	commits_fail = false;
	assert_true(ledger_unpublished(ledger));
	now += 5000;
}

static void test_signed_and_not_stored(void **state)
{
	struct world *world = world_create(1790000000);
	struct store *store = store_mem_create();
	struct ledger *ledger;

	(void)state;
	memset(&memory, 0, sizeof memory);
	assert_int_equal(open_signed(store, world, &ledger), 0);
	stage(ledger, &world->trust);
	stage(ledger, &world->reg);
	stage_state(ledger, world_state(world, "@directory"));
	assert_int_equal(ledger_commit(ledger, NULL), 0);
	for (unsigned i = 1; i <= 3; i++) { /* the first with changes, the others without */
		fail_to_publish(store, ledger);
		const uint64_t size = memory.head.size;
		if (i == 2) { /* or the daemon died between */
			ledger_close(ledger);
			assert_int_equal(open_signed(store, world, &ledger), 0);
			assert_true(ledger_unpublished(ledger));
		}
		assert_int_equal(ledger_publish(ledger, NULL), 0);
		assert_int_equal(memory.head.size, size);
		assert_int_equal(memory.again, i);
		assert_false(ledger_unpublished(ledger));
	}
	/* leaves that come in between make it another size */
	fail_to_publish(store, ledger);
	world_add_state(world, "XC");
	stage(ledger, &world->reg);
	assert_int_equal(ledger_commit(ledger, NULL), 0);
	assert_int_equal(ledger_publish(ledger, NULL), 0);
	assert_int_equal(memory.again, 3);
	memory.head.size += 2; /* and a store that is older is not opened */
	ledger_close(ledger);
	assert_int_equal(open_signed(store, world, &ledger), STATUS_CONFLICT);
	store_close(store);
	world_destroy(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_histories), cmocka_unit_test(test_events),
					   cmocka_unit_test(test_model), cmocka_unit_test(test_waiting_once),
					   cmocka_unit_test(test_signed_and_not_stored)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
