/* story: a notice's story proves itself step by step; whatever is forged, moved or left out is refused, and named. */
#include "tests/lib/unit.h"

#include "clients/libpoc/story.h"
#include "proto/keys/keystore_file.h"
#include "proto/proof/merkle.h"
#include "proto/rules/rules.h"
#include "proto/wire/prescan.h"
#include "tests/lib/scene.h"

enum { START = 1790000000, LEAVES = 16, STEPS = 8, MOMENTS = 4, BATCH = 4 };

/* A publication: the map of the world as it was then, and where its STATE leaf stands. */
struct moment {
	struct scene scene;
	uint64_t index;
};

/* A step with its place in the log, of which the evidence is made. */
struct told {
	ProtobufCBinaryData item; /* owned */
	bool fact;
	const char *users; /* U/XA; NULL of a fact */
	uint64_t anchor;
	size_t moment;
	size_t before; /* 1 + the moment that is said to be the one before, where that is a lie; 0: the true one */
	bool silent;   /* without evidence */
	/* made: */
	Poc__StoryStep step;
	Poc__Evidence evidence;
	struct logged {
		Poc__LoggedLeaf leaf;
		struct merkle_proof path;
	} anchor_leaf, previous, state;
	struct prefix_tree *batch;
	struct prefix_entry entries[BATCH];
	uint8_t siblings[PREFIX_DEPTH_MAX * HASH_SIZE];
	struct scene_item items[4];
	struct hash values[4];
	Poc__Item *pointers[4];
};

struct stage {
	struct world *world;
	struct verify_pins pins;
	struct keystore_key *reading_a, *reading_b;
	uint8_t *header, *body;
	size_t header_size, body_size;
	struct notice_id id;
	size_t n_leaves, n_moments, n_told;
	uint8_t leaves[LEAVES][LEAF_SIZE];
	struct moment moments[MOMENTS];
	struct told told[STEPS];
	bool with_body;
	size_t n_kept; /* U versions that are not current any more */
	struct world_item kept[4];
};

/* ---- The world's part */

static Poc__User user_of(char *handle, struct keystore_key *key, Poc__Role *role, Poc__PocKind *kind)
{
	Poc__User user = POC__USER__INIT;
	const struct public_key *public_key = keystore_public(key);

	user.handle = handle;
	user.spki = (ProtobufCBinaryData){public_key->spki_size, (uint8_t *)public_key->spki};
	user.roles = role;
	user.n_roles = 1;
	user.kinds = kind;
	user.n_kinds = kind != NULL ? 1 : 0;
	return user;
}

/* U with a coordinator, an operator of the technical desk (unless he left) and a reader. */
static void next_users(struct stage *s, struct world_state *state, bool with_operator)
{
	static Poc__Role coordinator = POC__ROLE__ROLE_COORDINATOR, operator_ = POC__ROLE__ROLE_OPERATOR;
	static Poc__Role reader = POC__ROLE__ROLE_READER;
	static Poc__PocKind kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	Poc__Users users = POC__USERS__INIT;
	Poc__User list[3], *pointers[3];
	Poc__Head head;
	struct hash prev = state->users.value;
	size_t n = 0;

	list[n++] = user_of("coordinator", state->coordinator, &coordinator, NULL);
	if (with_operator)
		list[n++] = user_of("operator", state->operator_, &operator_, &kind);
	list[n++] = user_of("reader", state->reader, &reader, &kind);
	for (size_t i = 0; i < n; i++)
		pointers[i] = &list[i];
	head_fill(&head, &s->world->directory_id, state->users.name, state->users.seq + 1, &prev);
	users.head = &head;
	users.issued = s->world->now;
	users.users = pointers;
	users.n_users = n;
	s->kept[s->n_kept++] = state->users;
	state->users.bytes = NULL;
	world_sign(&users.base, &state->coordinator, 1, &state->users);
}

/* ---- The log */

static uint64_t add_leaf(struct stage *s, enum leaf_kind kind, const struct hash *value, uint64_t seq)
{
	struct leaf leaf = {
	    .kind = kind, .seq = seq, .value = *value, .time_ms = (uint64_t)s->world->now * 1000 + s->n_leaves};

	leaf_write(&leaf, s->leaves[s->n_leaves]);
	return s->n_leaves++;
}

static size_t publish(struct stage *s)
{
	struct moment *m = &s->moments[s->n_moments];

	scene_init(&m->scene, s->world);
	scene_put_world(&m->scene);
	scene_close(&m->scene);
	m->index = add_leaf(s, LEAF_STATE, &m->scene.map_root, s->n_moments + 1);
	return s->n_moments++;
}

static int read_hash(void *ctx, unsigned level, uint64_t index, struct hash *out)
{
	const struct stage *s = ctx;

	if (level == 0) {
		*out = merkle_leaf(s->leaves[index], LEAF_SIZE);
		return 0;
	}
	struct hash left, right;
	read_hash(ctx, level - 1, 2 * index, &left);
	read_hash(ctx, level - 1, 2 * index + 1, &right);
	*out = merkle_node(&left, &right);
	return 0;
}

/* Items of one batch under one ANCHOR leaf; told steps from first on. */
static void anchor(struct stage *s, size_t first, size_t n)
{
	struct prefix_entry entries[BATCH];
	struct hash root;

	for (size_t i = 0; i < n; i++) {
		const ProtobufCBinaryData *item = &s->told[first + i].item;
		struct hash event = hash_event(item->data, item->len);
		size_t at = i;
		for (; at > 0 && hash_compare(&entries[at - 1].key, &event) > 0; at--)
			entries[at] = entries[at - 1];
		entries[at] = (struct prefix_entry){event, event};
	}
	for (size_t i = 0; i < n; i++) {
		struct told *t = &s->told[first + i];
		memcpy(t->entries, entries, sizeof entries);
		t->batch = prefix_create(t->entries, n);
		assert_non_null(t->batch);
		prefix_root(t->batch, &root);
		t->anchor = s->n_leaves;
	}
	add_leaf(s, LEAF_ANCHOR, &root, 0);
}

/* ---- Steps */

static struct told *tell(struct stage *s, uint8_t *bytes, size_t size, const char *users)
{
	struct told *t = &s->told[s->n_told++];

	t->item = (ProtobufCBinaryData){size, bytes};
	t->users = users;
	t->fact = users == NULL;
	return t;
}

static void fill_core(struct stage *s, Poc__Core *core, Poc__Desk *from, Poc__Desk *to, Poc__Desk **list)
{
	poc__desk__init(from);
	poc__desk__init(to);
	poc__core__init(core);
	from->place = "XA";
	to->place = "XB";
	from->kind = to->kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	list[0] = to;
	core->directory_id = (ProtobufCBinaryData){HASH_SIZE, s->world->directory_id.bytes};
	core->id = core->thread = (ProtobufCBinaryData){NOTICE_ID_SIZE, s->id.bytes};
	core->from = from;
	core->handle = "operator";
	core->to = list;
	core->n_to = 1;
	core->category = POC__CATEGORY__CATEGORY_NOTIFICATION;
	core->urgency = POC__URGENCY__URGENCY_ROUTINE;
	core->tlp = POC__NOTICE_TLP__NOTICE_TLP_AMBER;
	core->created = s->world->now;
}

static void make_notice(struct stage *s, struct keystore_key *signer, char *handle)
{
	Poc__Core core;
	Poc__Desk from, to, *list[1];
	Poc__NoticeContent content = POC__NOTICE_CONTENT__INIT;
	struct notice_keys keys[2] = {{keystore_public(s->reading_a), 1}, {keystore_public(s->reading_b), 1}};
	struct refusal why = {0};

	assert_int_equal(notice_new_id(&s->id), 0);
	fill_core(s, &core, &from, &to, list);
	core.handle = handle;
	content.subject = "Scans";
	if (notice_make(&core, &content, keys, signer, &s->header, &s->header_size, &s->body, &s->body_size, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	uint8_t *copy = malloc(s->header_size);
	memcpy(copy, s->header, s->header_size);
	tell(s, copy, s->header_size, "U/XA");
}

static struct told *make_receipt(struct stage *s, Poc__Step step, char *place, char *handle,
				 struct keystore_key *signer, const struct hash *about)
{
	Poc__Receipt receipt = POC__RECEIPT__INIT;
	struct hash hash = about != NULL ? *about : hash_of(s->header, s->header_size);
	struct refusal why = {0};
	uint8_t *bytes;
	size_t size;

	receipt.directory_id = (ProtobufCBinaryData){HASH_SIZE, s->world->directory_id.bytes};
	receipt.notice_id = (ProtobufCBinaryData){NOTICE_ID_SIZE, s->id.bytes};
	receipt.notice_hash = (ProtobufCBinaryData){HASH_SIZE, hash.bytes};
	receipt.step = step;
	receipt.place = place;
	receipt.kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	receipt.handle = handle;
	receipt.time = s->world->now + 60;
	if (receipt_make(&receipt, signer, &bytes, &size, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	return tell(s, bytes, size, strcmp(place, "XA") == 0 ? "U/XA" : "U/XB");
}

static void make_fact(struct stage *s, Poc__Step step)
{
	Poc__Fact fact = POC__FACT__INIT;
	struct hash hash = hash_of(s->header, s->header_size);
	struct refusal why = {0};
	uint8_t *bytes;
	size_t size;

	fact.directory_id = (ProtobufCBinaryData){HASH_SIZE, s->world->directory_id.bytes};
	fact.notice_id = (ProtobufCBinaryData){NOTICE_ID_SIZE, s->id.bytes};
	fact.notice_hash = (ProtobufCBinaryData){HASH_SIZE, hash.bytes};
	fact.step = step;
	if (step != POC__STEP__STEP_STORED) {
		fact.place = "XB";
		fact.kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	}
	fact.time_ms = (int64_t)s->world->now * 1000;
	if (fact_make(&fact, &bytes, &size, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	tell(s, bytes, size, NULL);
}

/* ---- The stage: sent, stored; delivered, acknowledged; accepted; each in a publication of its own */

static void begin(struct stage *s)
{
	publish(s);
	make_notice(s, world_state(s->world, "XA")->operator_, "operator");
	make_fact(s, POC__STEP__STEP_STORED);
}

static void play(struct stage *s)
{
	struct keystore_key *theirs = world_state(s->world, "XB")->operator_;

	begin(s);
	anchor(s, 0, 2);
	size_t first = publish(s);
	make_fact(s, POC__STEP__STEP_DELIVERED);
	make_receipt(s, POC__STEP__STEP_ACKNOWLEDGED, "XB", "operator", theirs, NULL);
	anchor(s, 2, 2);
	size_t second = publish(s);
	make_receipt(s, POC__STEP__STEP_ACCEPTED, "XB", "operator", theirs, NULL);
	anchor(s, 4, 1);
	size_t third = publish(s);
	s->told[0].moment = s->told[1].moment = first;
	s->told[2].moment = s->told[3].moment = second;
	s->told[4].moment = third;
}

static int setup(void **context)
{
	struct stage *s = calloc(1, sizeof *s);

	s->world = world_create(START);
	world_add_state(s->world, "XA");
	world_add_state(s->world, "XB");
	next_users(s, world_state(s->world, "XA"), true);
	next_users(s, world_state(s->world, "XB"), true);
	s->pins.directory = s->world->directory_id;
	s->reading_a = keystore_ephemeral(KEY_P384);
	s->reading_b = keystore_ephemeral(KEY_P384);
	*context = s;
	return 0;
}

static int setup_played(void **context)
{
	setup(context);
	play(*context);
	return 0;
}

static int teardown(void **context)
{
	struct stage *s = *context;

	for (size_t i = 0; i < s->n_told; i++) {
		free(s->told[i].item.data);
		prefix_destroy(s->told[i].batch);
	}
	for (size_t i = 0; i < s->n_moments; i++)
		scene_finish(&s->moments[i].scene);
	for (size_t i = 0; i < s->n_kept; i++)
		world_item_finish(&s->kept[i]);
	free(s->header);
	free(s->body);
	keystore_close(s->reading_a);
	keystore_close(s->reading_b);
	world_destroy(s->world);
	free(s);
	return 0;
}

/* ---- Evidence and file */

static void make_items(struct stage *s, struct told *t)
{
	char keys[16];
	const struct scene *scene = &s->moments[t->moment].scene;

	snprintf(keys, sizeof keys, "K/%.2s", t->users + 2);
	const char *names[] = {strcmp(keys, "K/XA") == 0 ? "K/XA" : "K/XB", "S", "T", t->users};
	for (size_t i = 0; i < 4; i++) {
		scene_item(scene, names[i], &t->items[i]);
		for (size_t j = 0; j < scene->n; j++) {
			if (strcmp(scene->names[j], names[i]) == 0)
				t->values[i] = scene->entries[j].value;
		}
		t->items[i].item.value = (ProtobufCBinaryData){HASH_SIZE, t->values[i].bytes};
		t->pointers[i] = &t->items[i].item;
	}
	t->evidence.items = t->pointers;
	t->evidence.n_items = 4;
}

static Poc__LoggedLeaf *make_logged(struct stage *s, struct logged *logged, uint64_t index)
{
	poc__logged_leaf__init(&logged->leaf);
	merkle_inclusion(read_hash, s, index, s->n_leaves, &logged->path);
	logged->leaf.leaf = (ProtobufCBinaryData){LEAF_SIZE, s->leaves[index]};
	logged->leaf.index = index;
	logged->leaf.path = (ProtobufCBinaryData){logged->path.length * HASH_SIZE, logged->path.hashes[0].bytes};
	return &logged->leaf;
}

static void make_evidence(struct stage *s, struct told *t)
{
	Poc__Evidence *e = &t->evidence;
	struct hash event = hash_event(t->item.data, t->item.len);
	enum prefix_terminal terminal;
	const struct prefix_entry *other;

	poc__evidence__init(e);
	unsigned depth = prefix_prove_bytes(t->batch, &event, t->siblings, &terminal, &other);
	e->siblings = (ProtobufCBinaryData){depth * HASH_SIZE, t->siblings};
	e->anchor = make_logged(s, &t->anchor_leaf, t->anchor);
	e->state = make_logged(s, &t->state, s->moments[t->moment].index);
	size_t before = t->before > 0 ? t->before : t->moment;
	if (before > 0)
		e->previous = make_logged(s, &t->previous, s->moments[before - 1].index);
	if (t->users != NULL)
		make_items(s, t);
	poc__story_step__init(&t->step);
	t->step.item = t->item;
	t->step.fact = t->fact;
	t->step.evidence = t->silent ? NULL : e;
}

struct file {
	Poc__NoticeStory story;
	Poc__Checkpoint checkpoint;
	char note[NOTE_MAX];
	uint8_t leaf[LEAF_SIZE];
	struct merkle_proof path;
	ProtobufCBinaryData trust[1], envelopes[16];
	Poc__StoryStep *steps[STEPS];
};

static void make_checkpoint(struct stage *s, struct file *f)
{
	struct checkpoint checkpoint = {.origin = "pocd.test/2026", .size = s->n_leaves};
	struct note_key key;
	uint8_t signature[SIGNATURE_MAX];
	size_t size, signature_size;

	merkle_root(read_hash, s, s->n_leaves, &checkpoint.root);
	long length = checkpoint_format(&checkpoint, f->note, sizeof f->note);
	assert_true(length > 0);
	size = (size_t)length;
	assert_int_equal(keystore_sign(s->world->log, (uint8_t *)f->note, size, signature, &signature_size), 0);
	f->note[size++] = '\n';
	assert_int_equal(note_key_init(&key, checkpoint.origin, NOTE_ED25519,
				       public_key_raw_ed25519(keystore_public(s->world->log))),
			 0);
	assert_int_equal(note_append_line(f->note, &size, sizeof f->note, &key, signature, signature_size), 0);
	merkle_inclusion(read_hash, s, s->n_leaves - 1, s->n_leaves, &f->path);
	poc__checkpoint__init(&f->checkpoint);
	f->checkpoint.note = (ProtobufCBinaryData){size, (uint8_t *)f->note};
	f->checkpoint.leaf = (ProtobufCBinaryData){LEAF_SIZE, s->leaves[s->n_leaves - 1]};
	f->checkpoint.path = (ProtobufCBinaryData){f->path.length * HASH_SIZE, f->path.hashes[0].bytes};
}

static void add_envelope(struct file *f, const struct world_item *item)
{
	size_t at = f->story.n_envelopes++;

	for (; at > 0; at--) {
		struct hash before = hash_of(f->envelopes[at - 1].data, f->envelopes[at - 1].len);
		if (hash_compare(&before, &item->value) < 0)
			break;
		f->envelopes[at] = f->envelopes[at - 1];
	}
	f->envelopes[at] = (ProtobufCBinaryData){item->size, item->bytes};
}

static void make_file(struct stage *s, struct file *f)
{
	struct world_state *xa = world_state(s->world, "XA"), *xb = world_state(s->world, "XB");

	memset(f, 0, sizeof *f);
	poc__notice_story__init(&f->story);
	f->story.version = 1;
	f->trust[0] = (ProtobufCBinaryData){s->world->trust.size, s->world->trust.bytes};
	f->story.trust = f->trust;
	f->story.n_trust = 1;
	make_checkpoint(s, f);
	f->story.checkpoint = &f->checkpoint;
	for (size_t i = 0; i < s->n_told; i++) {
		make_evidence(s, &s->told[i]);
		f->steps[i] = &s->told[i].step;
	}
	f->story.steps = f->steps;
	f->story.n_steps = s->n_told;
	f->story.envelopes = f->envelopes;
	add_envelope(f, &s->world->reg);
	add_envelope(f, &xa->keys);
	add_envelope(f, &xb->keys);
	add_envelope(f, &xa->users);
	add_envelope(f, &xb->users);
	if (s->with_body)
		f->story.body = (ProtobufCBinaryData){s->body_size, s->body};
}

static int verify_bytes(const struct stage *s, const uint8_t *bytes, size_t size, struct refusal *why)
{
	struct verified_head *head;
	struct story *story;
	int status = story_verify_saved(&s->pins, bytes, size, &head, &story, why);

	if (status == 0)
		verified_head_unref(head);
	story_destroy(story);
	return status;
}

static int verify_file(struct stage *s, struct file *f, struct refusal *why)
{
	uint8_t *bytes;
	size_t size;

	assert_int_equal(message_encode(&f->story, &bytes, &size), 0);
	int status = verify_bytes(s, bytes, size, why);
	free(bytes);
	return status;
}

static void accepted(struct stage *s, struct file *f)
{
	struct refusal why = {0};

	if (verify_file(s, f, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
}

static void refused_by(struct stage *s, struct file *f, const char *words)
{
	struct refusal why = {0};

	assert_int_equal(verify_file(s, f, &why), STATUS_UNVERIFIED);
	if (strstr(why.message, words) == NULL)
		fail_msg("refused for another reason: %s: %s", why.field, why.message);
}

/* ---- Tests */

static void test_genuine(void **context)
{
	struct stage *s = *context;
	struct file f;
	struct verified_head *head;
	struct story *story;
	uint8_t *bytes;
	size_t size;

	make_file(s, &f);
	assert_int_equal(message_encode(&f.story, &bytes, &size), 0);
	assert_true(story_recognised(bytes, size));
	assert_int_equal(story_verify_saved(&s->pins, bytes, size, &head, &story, NULL), 0);
	assert_int_equal(story->n, 5);
	assert_int_equal(story->unproven, 0);
	assert_true(story->steps[0].is_notice && story->steps[0].proven);
	assert_int_equal(story->steps[3].step, POC__STEP__STEP_ACKNOWLEDGED);
	assert_string_equal(story->steps[3].handle, "operator");
	assert_memory_equal(&story->steps[3].signer, &keystore_public(world_state(s->world, "XB")->operator_)->id,
			    HASH_SIZE);
	assert_int_equal(story->steps[3].published, START);
	story_destroy(story);
	verified_head_unref(head);
	free(bytes);
}

static void test_every_byte(void **context)
{
	struct stage *s = *context;
	struct file f;
	uint8_t *bytes;
	size_t size;

	make_file(s, &f);
	assert_int_equal(message_encode(&f.story, &bytes, &size), 0);
	for (size_t i = 0; i < size; i += 7) { /* every one takes a minute */
		bytes[i] ^= (uint8_t)(1u << (i % 8));
		if (verify_bytes(s, bytes, size, NULL) != STATUS_UNVERIFIED)
			fail_msg("byte %zu of %zu can be changed", i, size);
		bytes[i] ^= (uint8_t)(1u << (i % 8));
	}
	for (size_t i = 0; i < size; i += 61)
		assert_int_equal(verify_bytes(s, bytes, i, NULL), STATUS_UNVERIFIED);
	free(bytes);
}

static void test_saved_again(void **context)
{
	struct stage *s = *context;
	struct file f;
	struct verified_head *head;
	struct story *story;
	struct refusal why = {0};
	uint8_t *bytes, *again;
	size_t size, again_size, left_out;

	make_file(s, &f);
	assert_int_equal(message_encode(&f.story, &bytes, &size), 0);
	assert_int_equal(story_verify_saved(&s->pins, bytes, size, &head, &story, &why), 0);
	struct story_with with = {.body = s->body, .size = s->body_size};
	assert_int_equal(story_encode(head, story, &with, &again, &again_size, &left_out, &why), 0);
	assert_int_equal(left_out, 0);
	assert_int_equal(verify_bytes(s, again, again_size, &why), 0);
	free(again);
	with.alone = true; /* and only the envelopes that the notice needs */
	assert_int_equal(story_encode(head, story, &with, &again, &again_size, &left_out, &why), 0);
	assert_int_equal(left_out, s->n_told - 1);
	assert_int_equal(verify_bytes(s, again, again_size, &why), 0);
	assert_true(again_size < size);
	story_destroy(story);
	verified_head_unref(head);
	free(again);
	free(bytes);
}

/* The header with another core under the old signature; the liar's log has it anchored as it is. */
static void alter_core(struct stage *s, void (*alter)(Poc__Core *core))
{
	struct notice *notice;
	struct told *t = &s->told[0];
	uint8_t *core, *payload;
	size_t core_size, payload_size;

	assert_int_equal(notice_parse(t->item.data, t->item.len, &notice, NULL), 0);
	alter(notice->core);
	assert_int_equal(message_encode(notice->core, &core, &core_size), 0);
	Poc__Notice header = *notice->header;
	header.core = (ProtobufCBinaryData){core_size, core};
	assert_int_equal(message_encode(&header, &payload, &payload_size), 0);
	Poc__Envelope outer = *notice->outer;
	outer.payload = (ProtobufCBinaryData){payload_size, payload};
	free(t->item.data);
	assert_int_equal(message_encode(&outer, &t->item.data, &t->item.len), 0);
	free(payload);
	free(core);
	notice_destroy(notice);
}

static void forged_header(struct stage *s, const char *words)
{
	struct file f;

	anchor(s, 0, 1);
	s->told[0].moment = publish(s);
	make_file(s, &f);
	refused_by(s, &f, words);
	refused_by(s, &f, "the notice itself");
}

static void to_another(Poc__Core *core)
{
	free(core->to[0]->place);
	core->to[0]->place = strdup("XC");
}

static void another_time(Poc__Core *core)
{
	core->created++;
}

static void another_thread(Poc__Core *core)
{
	core->thread.data[0] ^= 1;
}

static void other_keys(Poc__Core *core)
{
	ProtobufCBinaryData *list = core->to[0]->keys;

	core->to[0]->keys = core->from->keys;
	core->from->keys = list;
}

static void test_altered_header(void **context)
{
	static void (*const alters[])(Poc__Core *) = {to_another, another_time, another_thread, other_keys};
	(void)context;

	for (size_t i = 0; i < sizeof alters / sizeof *alters; i++) {
		void *each;
		setup(&each);
		struct stage *s = each;
		publish(s);
		make_notice(s, world_state(s->world, "XA")->operator_, "operator");
		alter_core(s, alters[i]);
		forged_header(s, "signature");
		teardown(&each);
	}
}

static void test_signed_by_another(void **context)
{
	struct stage *s = *context;

	publish(s);
	make_notice(s, world_state(s->world, "XA")->reader, "operator");
	forged_header(s, "is not that of operator");
}

static void test_signed_by_another_state(void **context)
{
	struct stage *s = *context;

	publish(s);
	make_notice(s, world_state(s->world, "XB")->operator_, "operator");
	forged_header(s, "is not that of operator");
}

static void test_signer_without_role(void **context)
{
	struct stage *s = *context;

	publish(s);
	make_notice(s, world_state(s->world, "XA")->reader, "reader");
	forged_header(s, "does not act for");
}

static void test_body(void **context)
{
	struct stage *s = *context;
	struct file f;

	s->with_body = true;
	make_file(s, &f);
	accepted(s, &f);
	f.story.body.len--; /* cut */
	refused_by(s, &f, "bytes");
	f.story.body.len++;
	s->body[s->body_size - 1] ^= 1; /* its MAC */
	refused_by(s, &f, "not the one that the header was signed for");
	s->body[s->body_size - 1] ^= 1;
}

/* The bytes that the header has the hash of, and how many of them at the end are zeros. */
static size_t open_inner(struct stage *s, uint8_t **bytes, size_t *size)
{
	const struct told *t = &s->told[0];
	struct notice *notice;
	Poc__Inner *inner;

	assert_int_equal(notice_parse(t->item.data, t->item.len, &notice, NULL), 0);
	assert_int_equal(notice_open(notice, s->body, s->body_size, s->reading_b, &inner, NULL), 0);
	assert_int_equal(message_encode(inner, bytes, size), 0);
	size_t padding = inner->padding.len;
	message_free(inner);
	notice_destroy(notice);
	return padding;
}

/* A forwarded notice may travel without the zeros at its end: their number says what the header's hash is of. */
static void test_padding_left_out(void **context)
{
	struct stage *s = *context;
	struct file f;
	uint8_t *inner;
	size_t size, padding = open_inner(s, &inner, &size);

	assert_in_range(padding, 128, 16383); /* tag and two bytes of length before it */
	make_file(s, &f);
	f.story.body = (ProtobufCBinaryData){size, inner};
	accepted(s, &f);
	f.story.padding = (uint32_t)padding; /* of what is whole */
	refused_by(s, &f, "padding");
	f.story.body.len = size - padding - 3;
	accepted(s, &f);
	f.story.padding--;
	refused_by(s, &f, "padding");
	f.story.padding = UINT32_MAX;
	refused_by(s, &f, "padding");
	f.story.padding = (uint32_t)padding;
	f.story.body.len = 0;
	refused_by(s, &f, "padding");
	f.story.body = (ProtobufCBinaryData){s->body_size, s->body};
	refused_by(s, &f, "padding");
	free(inner);
}

static void test_evidence_of_another_step(void **context)
{
	struct stage *s = *context;
	struct file f;

	make_file(s, &f);
	s->told[3].step.evidence = &s->told[4].evidence;
	refused_by(s, &f, "step 3, acknowledged XB: the item is not in the batch");
	make_file(s, &f);
	s->told[0].step.evidence = &s->told[4].evidence;
	refused_by(s, &f, "the notice itself");
	make_file(s, &f); /* another signer's U */
	s->told[3].evidence.items = s->told[0].evidence.items;
	refused_by(s, &f, "step 3, acknowledged XB");
}

/* The operator of XB has left before what he signed was published; an earlier publication still listed him. */
static void test_removed_signer(void **context)
{
	struct stage *s = *context;
	struct world_state *xb = world_state(s->world, "XB");
	struct file f;

	begin(s);
	anchor(s, 0, 2);
	s->told[0].moment = s->told[1].moment = publish(s);
	next_users(s, xb, false);
	make_receipt(s, POC__STEP__STEP_ACKNOWLEDGED, "XB", "operator", xb->operator_, NULL);
	anchor(s, 2, 1);
	s->told[2].moment = publish(s);
	make_file(s, &f);
	refused_by(s, &f, "operator is no user of U/XB");
	s->told[2].moment = s->told[0].moment; /* where he was listed */
	make_file(s, &f);
	for (size_t i = 0; i < s->n_kept; i++) {
		if (s->kept[i].seq == 2 && strcmp(s->kept[i].name, "U/XB") == 0)
			add_envelope(&f, &s->kept[i]);
	}
	refused_by(s, &f, "before it was stored");
}

/* The operator of XB is not listed when what he signed is published, but again after that: it is the first publication
 * that judges, whatever the directory shows. */
static void test_later_publication(void **context)
{
	struct stage *s = *context;
	struct world_state *xb = world_state(s->world, "XB");
	struct told *receipt;
	struct file f;

	begin(s);
	anchor(s, 0, 2);
	s->told[0].moment = s->told[1].moment = publish(s);
	receipt = make_receipt(s, POC__STEP__STEP_ACKNOWLEDGED, "XB", "operator", xb->operator_, NULL);
	anchor(s, 2, 1);
	next_users(s, xb, false);
	size_t first = publish(s);
	next_users(s, xb, true);
	receipt->moment = publish(s);
	make_file(s, &f);
	refused_by(s, &f, "an earlier publication than the one by which it is judged covers it");
	receipt->before = first; /* the one before that */
	make_file(s, &f);
	refused_by(s, &f, "do not follow one another");
	receipt->before = receipt->moment + 1; /* itself */
	make_file(s, &f);
	refused_by(s, &f, "do not follow one another");
	make_file(s, &f);
	receipt->evidence.previous = NULL;
	refused_by(s, &f, "nothing proves that no earlier publication covers it");
	make_file(s, &f);
	receipt->evidence.previous = &receipt->anchor_leaf.leaf;
	refused_by(s, &f, "not a STATE leaf");
	receipt->before = 0;
	make_file(s, &f);
	receipt->evidence.previous->index--;
	refused_by(s, &f, "not in the checkpoint's log");
}

/* Of the first publication there is none before. */
static void test_first_publication(void **context)
{
	struct stage *s = *context;
	struct file f;

	make_notice(s, world_state(s->world, "XA")->operator_, "operator");
	anchor(s, 0, 1);
	s->told[0].moment = publish(s);
	make_receipt(s, POC__STEP__STEP_ACKNOWLEDGED, "XB", "operator", world_state(s->world, "XB")->operator_, NULL);
	anchor(s, 1, 1);
	s->told[1].moment = publish(s);
	make_file(s, &f);
	accepted(s, &f);
	s->told[0].evidence.previous = &s->told[0].state.leaf;
	refused_by(s, &f, "do not follow one another");
}

/* What is said of a notice stands in the log no earlier than the notice. */
static void test_notice_after_its_receipt(void **context)
{
	struct stage *s = *context;
	struct keystore_key *theirs = world_state(s->world, "XB")->operator_;
	struct file f;

	begin(s);
	make_receipt(s, POC__STEP__STEP_ACKNOWLEDGED, "XB", "operator", theirs, NULL);
	anchor(s, 1, 2);
	anchor(s, 0, 1);
	size_t first = publish(s);
	for (size_t i = 0; i < s->n_told; i++)
		s->told[i].moment = first;
	make_file(s, &f);
	refused_by(s, &f, "order of the log");
}

static void test_altered_fact(void **context)
{
	struct stage *s = *context;
	struct file f;
	Poc__Fact *fact;

	make_file(s, &f);
	assert_int_equal(fact_parse(s->told[2].item.data, s->told[2].item.len, &fact, NULL), 0);
	fact->time_ms -= 1000;
	uint8_t *bytes;
	size_t size;
	assert_int_equal(fact_make(fact, &bytes, &size, NULL), 0);
	s->told[2].step.item = (ProtobufCBinaryData){size, bytes};
	refused_by(s, &f, "step 2, delivered XB: the item is not in the batch");
	message_free(fact);
	free(bytes);
}

static void test_receipt_of_another_notice(void **context)
{
	struct stage *s = *context;
	struct world_state *xb = world_state(s->world, "XB");
	struct hash other = hash_of("other", 5);
	struct file f;

	begin(s);
	anchor(s, 0, 2);
	s->told[0].moment = s->told[1].moment = publish(s);
	make_receipt(s, POC__STEP__STEP_ACKNOWLEDGED, "XB", "operator", xb->operator_, &other);
	anchor(s, 2, 1);
	s->told[2].moment = publish(s);
	make_file(s, &f);
	refused_by(s, &f, "about another notice");
}

static void test_forged_receipt(void **context)
{
	struct stage *s = *context;
	struct world_state *xa = world_state(s->world, "XA");
	struct file f;

	begin(s);
	anchor(s, 0, 2);
	s->told[0].moment = s->told[1].moment = publish(s);
	make_receipt(s, POC__STEP__STEP_ACKNOWLEDGED, "XB", "operator", xa->operator_, NULL); /* by the sender */
	anchor(s, 2, 1);
	s->told[2].moment = publish(s);
	make_file(s, &f);
	refused_by(s, &f, "step 2, acknowledged XB: signature is not that of operator in U/XB");
}

static void test_suspended(void **context)
{
	struct stage *s = *context;
	struct world_state *xb = world_state(s->world, "XB");
	struct world_item old;
	struct file f;

	begin(s);
	anchor(s, 0, 2);
	s->told[0].moment = s->told[1].moment = publish(s);
	xb->suspended = true;
	world_next_register(s->world, &old);
	make_receipt(s, POC__STEP__STEP_ACKNOWLEDGED, "XB", "operator", xb->operator_, NULL);
	anchor(s, 2, 1);
	s->told[2].moment = publish(s);
	make_file(s, &f);
	add_envelope(&f, &old);
	refused_by(s, &f, "XB was suspended then");
	world_item_finish(&old);
}

/* The authority of XB has dropped the key that signed U/XB, in an emergency: then U lists nobody, and a receipt by it
 * is no more than a false one. */
static void test_lapsed_users(void **context)
{
	struct stage *s = *context;
	struct world_state *xb = world_state(s->world, "XB");
	struct keystore_key *fresh = keystore_ephemeral(KEY_ED25519);
	const struct public_key *public_key = keystore_public(fresh);
	Poc__Key key = POC__KEY__INIT, *list[] = {&key};
	struct world_item old = xb->keys;
	struct envelope *keys;
	struct file f;
	Poc__Head head;

	begin(s);
	anchor(s, 0, 2);
	s->told[0].moment = s->told[1].moment = publish(s);
	assert_int_equal(envelope_parse(old.bytes, old.size, &keys, NULL), 0);
	Poc__Keys next = *keys->payload.keys;
	head_fill(&head, &s->world->directory_id, old.name, old.seq + 1, &old.value);
	key.spki = (ProtobufCBinaryData){public_key->spki_size, (uint8_t *)public_key->spki};
	next.head = &head;
	next.coordinators = list;
	next.n_coordinators = 1;
	next.emergency = 1;
	xb->keys.bytes = NULL;
	world_sign(&next.base, &xb->authority, 1, &xb->keys);
	envelope_destroy(keys);
	make_receipt(s, POC__STEP__STEP_ACKNOWLEDGED, "XB", "operator", xb->operator_, NULL);
	anchor(s, 2, 1);
	s->told[2].moment = publish(s);
	make_file(s, &f);
	add_envelope(&f, &old);
	refused_by(s, &f, "U/XB has lapsed");
	world_item_finish(&old);
	keystore_close(fresh);
}

static void test_file_rules(void **context)
{
	struct stage *s = *context;
	struct file f;

	make_file(s, &f);
	s->told[3].step.stored_ms = 1; /* nothing covers it */
	refused_by(s, &f, "time of storage");
	make_file(s, &f);
	f.story.n_steps = 4; /* the last may be left out */
	accepted(s, &f);
	f.steps[0] = f.steps[1]; /* the first may not */
	refused_by(s, &f, "begins with its notice");
	make_file(s, &f);
	f.steps[4] = f.steps[3];
	refused_by(s, &f, "the same step twice");
	make_file(s, &f);
	f.steps[3] = &s->told[4].step;
	f.steps[4] = &s->told[3].step;
	refused_by(s, &f, "order of the log");
	make_file(s, &f); /* the fact, by the batch alone */
	s->told[1].evidence.state = NULL;
	refused_by(s, &f, "wrong form");
	make_file(s, &f);
	add_envelope(&f, &world_state(s->world, "XA")->record);
	refused_by(s, &f, "no step needs");
	make_file(s, &f);
	for (size_t i = 0; i + 1 < f.story.n_envelopes; i++)
		f.envelopes[i] = f.envelopes[i + 1];
	f.story.n_envelopes--;
	refused_by(s, &f, "of that time, which a step is judged by, is missing or was altered");
}

/* Nobody looks at the signature of a step without evidence: a file has none, or anybody could add it. */
static void test_without_evidence(void **context)
{
	struct stage *s = *context;
	struct file f;

	for (size_t i = 0; i < s->n_told; i++) {
		s->told[i].silent = true;
		make_file(s, &f);
		refused_by(s, &f, "nothing proves");
		s->told[i].silent = false;
	}
}

static void test_other_directory(void **context)
{
	struct stage *s = *context;
	struct file f;

	make_file(s, &f);
	s->pins.directory.bytes[0] ^= 1;
	refused_by(s, &f, "another directory");
}

/* No bytes are a proof and a story. */
static void test_told_apart(void **context)
{
	struct stage *s = *context;
	struct scene *scene = &s->moments[0].scene;
	struct scene_item trust, reg;
	struct scene_item *items[] = {&trust, &reg};
	struct file f;
	Poc__Proof *proof;
	uint8_t *bytes;
	size_t size;

	scene_item(scene, "T", &trust);
	scene_item(scene, "S", &reg);
	scene_envelope(&reg, &s->world->reg);
	scene_proof(scene, items, 2, false, &bytes, &size);
	assert_int_equal(proof_decode(bytes, size, &proof, NULL), 0);
	message_free(proof);
	assert_false(story_recognised(bytes, size));
	free(bytes);
	make_file(s, &f);
	assert_int_equal(message_encode(&f.story, &bytes, &size), 0);
	assert_true(story_recognised(bytes, size));
	assert_int_not_equal(proof_decode(bytes, size, &proof, NULL), 0);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_genuine, setup_played, teardown),
	    cmocka_unit_test_setup_teardown(test_every_byte, setup_played, teardown),
	    cmocka_unit_test_setup_teardown(test_saved_again, setup_played, teardown),
	    cmocka_unit_test(test_altered_header),
	    cmocka_unit_test_setup_teardown(test_signed_by_another, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_signed_by_another_state, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_signer_without_role, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_body, setup_played, teardown),
	    cmocka_unit_test_setup_teardown(test_padding_left_out, setup_played, teardown),
	    cmocka_unit_test_setup_teardown(test_evidence_of_another_step, setup_played, teardown),
	    cmocka_unit_test_setup_teardown(test_removed_signer, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_later_publication, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_first_publication, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_notice_after_its_receipt, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_altered_fact, setup_played, teardown),
	    cmocka_unit_test_setup_teardown(test_receipt_of_another_notice, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_forged_receipt, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_suspended, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lapsed_users, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_file_rules, setup_played, teardown),
	    cmocka_unit_test_setup_teardown(test_without_evidence, setup_played, teardown),
	    cmocka_unit_test_setup_teardown(test_other_directory, setup_played, teardown),
	    cmocka_unit_test_setup_teardown(test_told_apart, setup_played, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
