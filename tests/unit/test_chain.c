#include "tests/lib/unit.h"

#include "clients/libpoc/verify.h"
#include "proto/keys/keystore_file.h"
#include "proto/rules/chain.h"
#include "proto/rules/record.h"
#include "proto/rules/rules.h"
#include "proto/wire/prescan.h"
#include "tests/lib/scene.h"

enum { START = 1790000000, VERSIONS = 4 };

/* Who stands in a list or signs: the keys of the beginning, others, somebody whom no list names. */
enum who { FIRST, SECOND, STRANGER, N_WHO };

/* Versions 2 to 4 of a chain: the one key that each lists, and who has signed it (a bit set). */
struct version {
	enum who lists;
	unsigned signs;
};
#define BY(who) (1u << (who))

struct chain_case {
	const char *what;
	bool good;
	struct version versions[VERSIONS - 1];
};

static const struct chain_case cases[] = {
    {"all signed", true, {{FIRST, BY(FIRST)}, {FIRST, BY(FIRST)}, {FIRST, BY(FIRST)}}},
    {"a stranger signed the last", false, {{FIRST, BY(FIRST)}, {FIRST, BY(FIRST)}, {FIRST, BY(STRANGER)}}},
    {"the same keys signed on top of it", true, {{FIRST, BY(STRANGER)}, {FIRST, BY(FIRST)}, {FIRST, BY(FIRST)}}},
    {"two versions later", true, {{FIRST, BY(STRANGER)}, {FIRST, BY(STRANGER)}, {FIRST, BY(FIRST)}}},
    {"keys change, by both", true, {{FIRST, BY(FIRST)}, {SECOND, BY(FIRST) | BY(SECOND)}, {SECOND, BY(SECOND)}}},
    {"keys change, by the new alone", false, {{SECOND, BY(SECOND)}, {SECOND, BY(SECOND)}, {SECOND, BY(SECOND)}}},
    {"keys change, by the old alone",
     false,
     {{SECOND, BY(FIRST)}, {FIRST, BY(SECOND) | BY(FIRST)}, {FIRST, BY(FIRST)}}},
    {"keys change, by nobody, and the new go on",
     false,
     {{SECOND, BY(STRANGER)}, {SECOND, BY(SECOND)}, {SECOND, BY(SECOND)}}},
    {"the change signs for what is below",
     true,
     {{FIRST, BY(STRANGER)}, {SECOND, BY(FIRST) | BY(SECOND)}, {SECOND, BY(SECOND)}}},
    {"a change by the new alone signs for nothing",
     false,
     {{FIRST, BY(STRANGER)}, {SECOND, BY(SECOND)}, {SECOND, BY(SECOND)}}},
    {"keys come back, and vouch for others' time",
     false,
     {{SECOND, BY(STRANGER)}, {FIRST, BY(FIRST)}, {FIRST, BY(FIRST)}}},
};

struct stage {
	struct world *world;
	struct keystore_key *who[N_WHO];
	struct world_item kept[VERSIONS]; /* of the chain that is built */
};

static void begin(struct stage *s, const struct world_state **xa)
{
	*s = (struct stage){.world = world_create(START)};
	struct world_state *state = world_add_state(s->world, "XA");
	if (xa != NULL)
		*xa = state;
	s->who[SECOND] = keystore_ephemeral(KEY_P384);
	s->who[STRANGER] = keystore_ephemeral(KEY_P256);
}

static void end(struct stage *s)
{
	for (size_t i = 0; i < VERSIONS; i++)
		world_item_finish(&s->kept[i]);
	keystore_close(s->who[SECOND]);
	keystore_close(s->who[STRANGER]);
	world_destroy(s->world);
}

static size_t signers_of(const struct stage *s, unsigned signs, struct keystore_key *out[N_WHO])
{
	size_t n = 0;

	for (enum who i = FIRST; i < N_WHO; i++) {
		if ((signs & BY(i)) != 0)
			out[n++] = s->who[i];
	}
	return n;
}

/* A head of these T, and the items S and T. */
static int head_of(const struct stage *s, const ProtobufCBinaryData *trust, size_t n, struct verified_head **head,
		   struct refusal *why)
{
	const struct verify_pins pins = {.directory = s->world->directory_id};
	Poc__Proof message = POC__PROOF__INIT;
	struct scene scene;
	struct scene_item t, reg;
	Poc__Item *items[] = {&reg.item, &t.item};
	uint8_t *bytes;
	size_t size;

	scene_init(&scene, s->world);
	scene_put_world(&scene);
	scene_close(&scene);
	scene_item(&scene, "T", &t);
	scene_item(&scene, "S", &reg);
	scene_envelope(&reg, &s->world->reg);
	message.version = 1;
	message.trust = (ProtobufCBinaryData *)trust;
	message.n_trust = n;
	message.checkpoint = &scene.checkpoint;
	message.items = items;
	message.n_items = 2;
	assert_int_equal(message_encode(&message, &bytes, &size), 0);
	int status = verify_saved(&pins, bytes, size, head, why);
	free(bytes);
	scene_finish(&scene);
	return status;
}

static void expect(const struct chain_case *c, int status, const struct refusal *why)
{
	if ((status == 0) != c->good)
		fail_msg("%s: %d %s", c->what, status, why->message);
	if (!c->good && (status != STATUS_UNVERIFIED || strstr(why->message, "too few signatures") == NULL) &&
	    strstr(why->message, "too few root signatures") == NULL)
		fail_msg("%s: refused for another reason: %s", c->what, why->message);
}

static void test_trust(void **context)
{
	(void)context;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct stage s;
		struct verified_head *head;
		struct refusal why = {0};
		ProtobufCBinaryData chain[VERSIONS];
		begin(&s, NULL);
		s.who[FIRST] = s.world->root;
		for (size_t v = 0; v < VERSIONS - 1; v++) {
			struct world_trust form = world_usual_trust(s.world);
			struct keystore_key *signers[N_WHO];
			size_t n = signers_of(&s, cases[i].versions[v].signs, signers);
			form.root = s.who[cases[i].versions[v].lists];
			world_next_trust(s.world, &form, signers, n, &s.kept[v]);
			chain[v] = (ProtobufCBinaryData){s.kept[v].size, s.kept[v].bytes};
		}
		chain[VERSIONS - 1] = (ProtobufCBinaryData){s.world->trust.size, s.world->trust.bytes};
		expect(&cases[i], head_of(&s, chain, VERSIONS, &head, &why), &why);
		verified_head_unref(head);
		end(&s);
	}
}

static Poc__Key message_of(const struct keystore_key *key)
{
	Poc__Key message = POC__KEY__INIT;

	message.spki = (ProtobufCBinaryData){keystore_public(key)->spki_size, (uint8_t *)keystore_public(key)->spki};
	return message;
}

/* The version of K/XA after the last that is kept. */
static void next_keys(struct stage *s, size_t v, const struct world_item *before, const struct version *version,
		      struct world_item *out)
{
	Poc__Keys keys = POC__KEYS__INIT;
	Poc__Key authority = message_of(s->who[version->lists]), *authorities[] = {&authority};
	Poc__Head head;
	struct keystore_key *signers[N_WHO];
	size_t n = signers_of(s, version->signs, signers);

	head_fill(&head, &s->world->directory_id, "K/XA", v + 2, &before->value);
	keys.head = &head;
	keys.issued = START + (int64_t)v;
	keys.authority = authorities;
	keys.n_authority = 1;
	keys.authority_threshold = 1;
	*out = (struct world_item){0};
	world_sign(&keys.base, signers, n, out);
}

/* replaces: the version, of 3 and 4, that the council's T puts in place; 0: none. */
static int judge_keys(const struct chain_case *c, uint64_t replaces, struct refusal *why)
{
	struct stage s;
	const struct world_state *xa;
	struct verified_head *head;
	struct envelope *keys = NULL;
	struct name name;
	ProtobufCBinaryData chain[VERSIONS], trust[2];
	bool replaced = false;

	begin(&s, &xa);
	s.who[FIRST] = xa->authority;
	chain[0] = (ProtobufCBinaryData){xa->keys.size, xa->keys.bytes};
	for (size_t v = 0; v < VERSIONS - 1; v++) {
		next_keys(&s, v, v == 0 ? &xa->keys : &s.kept[v - 1], &c->versions[v], &s.kept[v]);
		chain[v + 1] = (ProtobufCBinaryData){s.kept[v].size, s.kept[v].bytes};
	}
	struct world_trust form = world_usual_trust(s.world);
	if (replaces > 0) {
		form.n_replaced = 1;
		form.replaced[0].state = "XA";
		form.replaced[0].keys = world_payload_hash(&s.kept[replaces - 2]);
		form.replaced[0].not_before = START + 10 * 86400;
	}
	world_next_trust(s.world, &form, &s.world->root, 1, &s.kept[VERSIONS - 1]);
	trust[0] = (ProtobufCBinaryData){s.kept[VERSIONS - 1].size, s.kept[VERSIONS - 1].bytes};
	trust[1] = (ProtobufCBinaryData){s.world->trust.size, s.world->trust.bytes};
	s.world->now = START + 20 * 86400;
	assert_int_equal(head_of(&s, trust, 2, &head, why), 0);
	head->leaf.time_ms = (uint64_t)s.world->now * 1000;
	assert_true(name_parse("K/XA", &name));
	int status = verify_keys(head, &name, &s.kept[VERSIONS - 2].value, chain, VERSIONS, &keys, &replaced, why);
	if (status == 0) {
		assert_int_equal(keys->seq, VERSIONS);
		assert_int_equal(replaced, replaces > 0);
	}
	envelope_destroy(keys);
	verified_head_unref(head);
	end(&s);
	return status;
}

static void test_keys(void **context)
{
	(void)context;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct refusal why = {0};
		int status = judge_keys(&cases[i], 0, &why);
		expect(&cases[i], status, &why);
	}
}

/* A replacement stands by its own signatures: it vouches for nothing below it, and what follows does not for it. */
static void test_replacement(void **context)
{
	static const struct {
		struct chain_case c;
		uint64_t replaces;
	} replacing[] = {
	    {{"by its own keys", true, {{FIRST, BY(FIRST)}, {SECOND, BY(SECOND)}, {SECOND, BY(SECOND)}}}, 3},
	    {{"it vouches for nothing below", false, {{FIRST, BY(STRANGER)}, {FIRST, BY(FIRST)}, {FIRST, BY(FIRST)}}},
	     3},
	    {{"nor does the last", false, {{FIRST, BY(FIRST)}, {FIRST, BY(STRANGER)}, {FIRST, BY(FIRST)}}}, 4},
	    {{"it is signed itself", false, {{FIRST, BY(FIRST)}, {FIRST, BY(STRANGER)}, {FIRST, BY(FIRST)}}}, 3},
	};
	(void)context;
	for (size_t i = 0; i < sizeof replacing / sizeof *replacing; i++) {
		struct refusal why = {0};
		int status = judge_keys(&replacing[i].c, replacing[i].replaces, &why);
		expect(&replacing[i].c, status, &why);
	}
}

/* Whoever signs may write any time: no sum of times wraps round. */
static void test_times_at_the_edge(void **context)
{
	Poc__Trust trust = POC__TRUST__INIT;
	Poc__Replacement replacement = POC__REPLACEMENT__INIT, *list[] = {&replacement};
	Poc__Record record = POC__RECORD__INIT;
	struct envelope next = {.payload.trust = &trust};
	struct refusal why;

	(void)context;
	replacement.state = "XA";
	replacement.keys = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)hash_zero.bytes};
	replacement.not_before = 1;
	trust.replacement_delay = 3600;
	trust.replaced = list;
	trust.n_replaced = 1;
	assert_int_equal(trust_delays(NULL, &next, INT64_MAX, &why), STATUS_INVALID);
	assert_int_equal(trust_delays(NULL, &next, INT64_MAX - 1, &why), STATUS_INVALID);
	record.issued = 1;
	record.confirmed = INT64_MAX - 1;
	record.expires = INT64_MAX;
	assert_int_equal(record_check(&record, &why), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_trust),
	    cmocka_unit_test(test_keys),
	    cmocka_unit_test(test_replacement),
	    cmocka_unit_test(test_times_at_the_edge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
