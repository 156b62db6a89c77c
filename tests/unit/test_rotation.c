/* Who may make which version when: every transition of a small universe is put to judge(), the rule of the writer and
 * of the check of a whole history, and its answers are compared with a model that was written from docs/protocol.md
 * section 8 alone.  The rules look at what stands and at what comes, at nothing before; so all pairs are all walks.
 * What judge() does not see, orphans, emergencies and what becomes of a state step by step, is walked in test_change.c.
 *
 * The universe: three keys that are roots or authorities, two that are enrolment keys, coordinators or editors, and one
 * that is nobody's; each version signed by every subset of them.  A key that is in the universe and not in what stands
 * is a dropped one. */
#include "pocd/directory/judge.h"
#include "proto/keys/keystore_file.h"
#include "proto/rules/rules.h"
#include "tests/lib/unit.h"

enum { TRIO = 7, FOURTH = 8, FIFTH = 16, STRANGER = 32, KEYS = 6, SEEN_MAX = 40000 };
enum { NOW = 1790000000, DELAY = 259200, NOT_BEFORE = NOW + 3 * DELAY };

/* Some of the keys, and how many of them must sign. */
struct holders {
	unsigned set, threshold;
};

enum replacement { NOT_REPLACED, REPLACED_IN_TIME, REPLACED_TOO_EARLY, ANOTHER_REPLACES };

/* One transition and what became of it. */
struct seen {
	enum name_kind kind;
	unsigned signers;
	struct holders old, new; /* T, K: of what stands and what comes; S: old, of enrolment keys */
	bool first;              /* nothing stands */
	bool anchored;           /* first K: it is the one in S */
	bool listed;             /* the state is in S */
	bool struck, moved;      /* S: an entry vanished, an anchor changed */
	enum replacement replacement;
	bool pending;   /* K: T lists a replacement that has not come yet */
	bool suspended; /* U, R */
	bool has_keys;
	unsigned coordinators, editors;
	bool unit;
	bool allowed; /* what judge said */
};

static struct seen *seen;
static size_t n_seen;
static struct keystore_key *keys[KEYS];
static struct hash directory_id;

/* ---- The model */

enum wrong {
	RIGHT,
	ONE_SIGNATURE_IS_ENOUGH,
	OLD_NEED_NOT_SIGN,
	NEW_NEED_NOT_SIGN,
	BOTH_TOGETHER_ARE_ENOUGH,
	ANY_FIRST_KEYS,
	ANY_STATE,
	REPLACEMENT_NEEDS_THE_OLD,
	REPLACEMENT_AT_ANY_TIME,
	WHILE_REPLACED_ANYBODY,
	ENTRIES_MAY_VANISH,
	ANCHORS_MAY_CHANGE,
	SUSPENDED_MAY_WRITE,
	NO_KEYS_NEEDED,
	AUTHORITY_MAY_WRITE,
	EDITOR_MAY_WRITE_ALL,
	EDITOR_MAY_NOT_WRITE,
	LAPSED_EDITOR_MAY_WRITE,
	WRONG_MODELS
};

static bool signed_by_enough(unsigned signers, struct holders holders, enum wrong wrong)
{
	unsigned count = (unsigned)__builtin_popcount(signers & holders.set);

	return count >= (wrong == ONE_SIGNATURE_IS_ENOUGH ? 1 : holders.threshold);
}

static bool both_signed(const struct seen *s, enum wrong wrong)
{
	bool old = s->first || wrong == OLD_NEED_NOT_SIGN || signed_by_enough(s->signers, s->old, wrong);
	bool new = wrong == NEW_NEED_NOT_SIGN || signed_by_enough(s->signers, s->new, wrong);

	if (wrong == BOTH_TOGETHER_ARE_ENOUGH && !s->first) {
		struct holders both = {s->old.set | s->new.set, s->old.threshold};
		return signed_by_enough(s->signers, both, wrong);
	}
	return old && new;
}

static bool model_keys(const struct seen *s, enum wrong wrong)
{
	if (!s->listed && wrong != ANY_STATE)
		return false;
	if (s->first)
		return signed_by_enough(s->signers, s->new, wrong) && (s->anchored || wrong == ANY_FIRST_KEYS);
	if (s->replacement == REPLACED_IN_TIME ||
	    (s->replacement == REPLACED_TOO_EARLY && wrong == REPLACEMENT_AT_ANY_TIME))
		return wrong == REPLACEMENT_NEEDS_THE_OLD ? both_signed(s, wrong)
							  : signed_by_enough(s->signers, s->new, wrong);
	if (s->pending && wrong != WHILE_REPLACED_ANYBODY)
		return false;
	return both_signed(s, wrong);
}

static bool model_written(const struct seen *s, enum wrong wrong)
{
	unsigned may = s->coordinators;

	if ((!s->listed && wrong != ANY_STATE) || (s->suspended && wrong != SUSPENDED_MAY_WRITE))
		return false;
	if (!s->has_keys)
		return wrong == NO_KEYS_NEEDED;
	if (wrong == AUTHORITY_MAY_WRITE)
		may |= TRIO;
	/* every key has signed the unit's U: it counts where K lists one */
	if (s->kind == NAME_RECORD && (s->unit || wrong == EDITOR_MAY_WRITE_ALL) && wrong != EDITOR_MAY_NOT_WRITE &&
	    (s->coordinators != 0 || wrong == LAPSED_EDITOR_MAY_WRITE))
		may |= s->editors;
	return (s->signers & may) != 0;
}

static bool model(const struct seen *s, enum wrong wrong)
{
	switch (s->kind) {
	case NAME_TRUST:
		return both_signed(s, wrong);
	case NAME_REGISTER:
		return signed_by_enough(s->signers, s->old, wrong) && (!s->struck || wrong == ENTRIES_MAY_VANISH) &&
		       (!s->moved || wrong == ANCHORS_MAY_CHANGE);
	case NAME_KEYS:
		return model_keys(s, wrong);
	default:
		return model_written(s, wrong);
	}
}

/* ---- Versions */

static struct Poc__Key *key_list(unsigned set, Poc__Key *room, Poc__Key **pointers, size_t *n)
{
	*n = 0;
	for (unsigned i = 0; i < KEYS; i++) {
		if ((set >> i & 1) == 0)
			continue;
		const struct public_key *public_key = keystore_public(keys[i]);
		poc__key__init(&room[*n]);
		room[*n].spki = (ProtobufCBinaryData){public_key->spki_size, (uint8_t *)public_key->spki};
		pointers[*n] = &room[*n];
		++*n;
	}
	return room;
}

/* A version that every key has signed; which of these signatures count is chosen later. */
struct version {
	struct envelope *envelope;
	Poc__Signature *all[KEYS], **own;
};

static void version_init(struct version *v, const ProtobufCMessage *payload)
{
	struct refusal why = {0};
	uint8_t *bytes;
	size_t size;

	if (envelope_make(payload, keys, KEYS, &bytes, &size, &why) != 0 ||
	    envelope_parse(bytes, size, &v->envelope, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	free(bytes);
	v->own = v->envelope->outer->signatures;
	assert_int_equal(v->envelope->outer->n_signatures, KEYS);
	for (unsigned i = 0; i < KEYS; i++) {
		for (unsigned k = 0; k < KEYS; k++) {
			if (memcmp(v->own[k]->key_id.data, keystore_public(keys[i])->id.bytes, HASH_SIZE) == 0)
				v->all[i] = v->own[k];
		}
	}
}

static void version_finish(struct version *v)
{
	if (v->envelope == NULL)
		return;
	v->envelope->outer->signatures = v->own;
	v->envelope->outer->n_signatures = KEYS;
	envelope_destroy(v->envelope);
	v->envelope = NULL;
}

/* judge() of the version with these signatures alone. */
static bool judged(const struct judge_facts *facts, struct version *next, unsigned signers)
{
	Poc__Signature *some[KEYS];
	size_t n = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		if ((signers >> i & 1) != 0)
			some[n++] = next->all[i];
	}
	next->envelope->outer->signatures = some;
	next->envelope->outer->n_signatures = n;
	return judge(facts, next->envelope, NULL) == 0;
}

static void note(struct seen what, const struct judge_facts *facts, struct version *next)
{
	assert_true(n_seen < SEEN_MAX);
	what.allowed = judged(facts, next, what.signers);
	seen[n_seen++] = what;
}

static void head_of(Poc__Head *head, const char *name, const struct envelope *prev)
{
	const bool first = strcmp(name, "T") == 0 && prev == NULL;

	head_fill(head, first ? NULL : &directory_id, name, prev != NULL ? prev->seq + 1 : 1,
		  prev != NULL ? &prev->value : NULL);
}

struct trust_form {
	struct holders root, enrolment;
	const struct hash *replaces; /* payload of a K of XA; NULL: none */
};

static const struct trust_form plain_trust = {.root = {TRIO, 2}, .enrolment = {FOURTH, 1}};

static void make_trust(struct version *v, const struct envelope *prev, struct trust_form form)
{
	Poc__Trust trust = POC__TRUST__INIT;
	Poc__Head head;
	Poc__Key roots[KEYS], enrolments[KEYS], logs[KEYS];
	Poc__Key *root_list[KEYS], *enrolment_list[KEYS], *log_list[KEYS];
	Poc__Replacement replacement = POC__REPLACEMENT__INIT, *replaced[] = {&replacement};
	char *algorithms[] = {"ed25519"};

	head_of(&head, "T", prev);
	trust.head = &head;
	trust.issued = NOW;
	trust.expires = NOW + 1000;
	trust.origin = "pocd.test/2026";
	key_list(form.root.set, roots, root_list, &trust.n_root_keys);
	key_list(form.enrolment.set, enrolments, enrolment_list, &trust.n_enrolment_keys);
	key_list(STRANGER, logs, log_list, &trust.n_log_keys);
	trust.root_keys = root_list;
	trust.root_threshold = form.root.threshold;
	trust.enrolment_keys = enrolment_list;
	trust.enrolment_threshold = form.enrolment.threshold;
	trust.log_keys = log_list;
	trust.max_age = 86400;
	trust.algorithms = algorithms;
	trust.n_algorithms = 1;
	trust.least_protocol = 1;
	trust.replacement_delay = DELAY;
	if (form.replaces != NULL) {
		replacement.state = "XA";
		replacement.keys = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)form.replaces->bytes};
		replacement.not_before = NOT_BEFORE;
		trust.replaced = replaced;
		trust.n_replaced = 1;
	}
	version_init(v, &trust.base);
}

static void make_keys(struct version *v, const struct envelope *prev, struct holders authority, unsigned coordinators,
		      int64_t issued)
{
	Poc__Keys k = POC__KEYS__INIT;
	Poc__Head head;
	Poc__Key authorities[KEYS], coordinator_keys[KEYS], *authority_list[KEYS], *coordinator_list[KEYS];

	head_of(&head, "K/XA", prev);
	k.head = &head;
	k.issued = issued;
	key_list(authority.set, authorities, authority_list, &k.n_authority);
	key_list(coordinators, coordinator_keys, coordinator_list, &k.n_coordinators);
	k.authority = authority_list;
	k.authority_threshold = authority.threshold;
	k.coordinators = coordinator_list;
	version_init(v, &k.base);
}

struct register_form {
	bool xa, xb, suspended;
	struct hash anchor; /* of XA */
};

static void make_register(struct version *v, const struct envelope *prev, struct register_form form)
{
	Poc__Register reg = POC__REGISTER__INIT;
	Poc__Head head;
	Poc__Entry entries[2], *pointers[2];
	struct hash other = hash_of("XB", 2);

	head_of(&head, "S", prev);
	reg.head = &head;
	reg.issued = NOW;
	for (int i = 0; i < 2; i++) {
		if (!(i == 0 ? form.xa : form.xb))
			continue;
		Poc__Entry *entry = &entries[reg.n_entries];
		poc__entry__init(entry);
		entry->state = i == 0 ? "XA" : "XB";
		entry->anchor = (ProtobufCBinaryData){HASH_SIZE, i == 0 ? form.anchor.bytes : other.bytes};
		entry->reference = "note verbale 1/2026";
		entry->date = "2026-01-15";
		entry->suspended = form.suspended;
		pointers[reg.n_entries++] = entry;
	}
	reg.entries = pointers;
	version_init(v, &reg.base);
}

/* ---- Every transition */

/* Of a list of three: every choice of keys with every threshold that they can meet. */
static size_t all_holders(unsigned keys_in_all, struct holders out[16])
{
	size_t n = 0;

	for (unsigned set = 1; set <= keys_in_all; set++) {
		if ((set & ~keys_in_all) != 0)
			continue;
		for (unsigned k = 1; k <= (unsigned)__builtin_popcount(set); k++)
			out[n++] = (struct holders){set, k};
	}
	return n;
}

/* Every subset of a set, the empty one too: for (unsigned s = set;; s = (s - 1) & set) { ...; if (s == 0) break; } */
#define EACH_SUBSET(s, set) (unsigned s = (set), more_##s = 1; more_##s; more_##s = (s) != 0, s = ((s)-1) & (set))

static void walk_trust_after(const struct envelope *prev, struct holders old)
{
	struct holders all[16];
	size_t n = all_holders(TRIO, all);

	for (size_t i = 0; i < n; i++) {
		struct version next;
		struct judge_facts facts = {.trust = prev, .prev = prev, .time = NOW};
		make_trust(&next, prev, (struct trust_form){all[i], {FOURTH, 1}, NULL});
		for
			EACH_SUBSET(signers, TRIO | STRANGER)
		note(
		    (struct seen){
			.kind = NAME_TRUST, .signers = signers, .old = old, .new = all[i], .first = prev == NULL},
		    &facts, &next);
		version_finish(&next);
	}
}

static void walk_trust(void)
{
	struct holders all[16], none = {0};
	size_t n = all_holders(TRIO, all);

	walk_trust_after(NULL, none);
	for (size_t i = 0; i < n; i++) {
		struct version first, second;
		make_trust(&first, NULL, (struct trust_form){all[i], {FOURTH, 1}, NULL});
		struct hash real = directory_id;
		directory_id = first.envelope->payload_hash;
		walk_trust_after(first.envelope, all[i]);
		make_trust(&second, first.envelope, (struct trust_form){all[i], {FOURTH, 1}, NULL});
		walk_trust_after(second.envelope, all[i]);
		directory_id = real;
		version_finish(&second);
		version_finish(&first);
	}
}

static void walk_register(const struct envelope *first_trust)
{
	const struct hash here = hash_of("here", 4), there = hash_of("there", 5);
	const struct register_form forms[] = {{true, false, false, here},
					      {true, true, false, here},
					      {true, true, false, there},
					      {false, true, false, here},
					      {true, true, true, here}};
	struct holders all[16];
	size_t n_forms = sizeof forms / sizeof forms[0], n = all_holders(FOURTH | FIFTH, all);

	for (size_t t = 0; t < n; t++) {
		struct version trust;
		make_trust(&trust, first_trust, (struct trust_form){{TRIO, 2}, all[t], NULL});
		for (size_t i = 0; i < n_forms; i++) {
			struct version prev;
			make_register(&prev, NULL, forms[i]);
			for (size_t k = 0; k < n_forms; k++) {
				struct version next;
				struct judge_facts facts = {
				    .trust = trust.envelope, .reg = prev.envelope, .prev = prev.envelope};
				struct seen what = {.kind = NAME_REGISTER, .old = all[t]};
				what.struck = (forms[i].xa && !forms[k].xa) || (forms[i].xb && !forms[k].xb);
				what.moved =
				    forms[i].xa && forms[k].xa && hash_compare(&forms[i].anchor, &forms[k].anchor) != 0;
				make_register(&next, prev.envelope, forms[k]);
				for
					EACH_SUBSET(signers, FOURTH | FIFTH | STRANGER | 1)
					{
						what.signers = signers;
						note(what, &facts, &next);
					}
				version_finish(&next);
			}
			version_finish(&prev);
		}
		version_finish(&trust);
	}
}

static void walk_first_keys(const struct envelope *trust)
{
	struct holders all[16];
	size_t n = all_holders(TRIO, all);

	for (size_t i = 0; i < n; i++) {
		struct version next, listing, other, without;
		make_keys(&next, NULL, all[i], FOURTH, NOW);
		make_register(&listing, NULL, (struct register_form){true, true, false, next.envelope->payload_hash});
		make_register(&other, NULL, (struct register_form){true, true, false, hash_of("other", 5)});
		make_register(&without, NULL, (struct register_form){false, true, false, hash_zero});
		for
			EACH_SUBSET(signers, TRIO | FOURTH)
			{
				struct seen what = {
				    .kind = NAME_KEYS, .signers = signers, .new = all[i], .first = true};
				struct judge_facts facts = {.trust = trust, .reg = without.envelope, .time = NOW};
				note(what, &facts, &next);
				what.listed = true;
				facts.reg = other.envelope;
				note(what, &facts, &next);
				what.anchored = true;
				facts.reg = listing.envelope;
				note(what, &facts, &next);
			}
		version_finish(&next);
		version_finish(&listing);
		version_finish(&other);
		version_finish(&without);
	}
}

/* What T says of a replacement of XA's authority, and whether the K at hand is it. */
static void walk_keys_under(const struct envelope *first_trust, const struct envelope *reg, const struct envelope *prev,
			    struct holders old, struct holders new, enum replacement replacement)
{
	struct version next, trust;
	const struct hash another = hash_of("another", 7);
	struct trust_form form = plain_trust;

	make_keys(&next, prev, new, FOURTH, NOW + 1);
	if (replacement != NOT_REPLACED)
		form.replaces = replacement == ANOTHER_REPLACES ? &another : &next.envelope->payload_hash;
	make_trust(&trust, first_trust, form);
	struct judge_facts facts = {.trust = trust.envelope,
				    .reg = reg,
				    .keys = prev,
				    .prev = prev,
				    .time = NOT_BEFORE - (replacement == REPLACED_TOO_EARLY)};
	struct seen what = {.kind = NAME_KEYS,
			    .old = old,
			    .new = new,
			    .listed = true,
			    .replacement = replacement,
			    .pending = replacement != NOT_REPLACED};
	facts.replacing = what.pending;
	for
		EACH_SUBSET(signers, replacement == NOT_REPLACED ? TRIO | FOURTH : TRIO)
		{
			what.signers = signers;
			note(what, &facts, &next);
		}
	version_finish(&next);
	version_finish(&trust);
}

static void walk_keys(const struct envelope *trust)
{
	struct holders all[16];
	size_t n = all_holders(TRIO, all);

	for (size_t i = 0; i < n; i++) {
		struct version prev, reg;
		make_keys(&prev, NULL, all[i], FOURTH, NOW);
		make_register(&reg, NULL, (struct register_form){true, true, false, prev.envelope->payload_hash});
		for (size_t k = 0; k < n; k++) {
			for (int replacement = NOT_REPLACED; replacement <= ANOTHER_REPLACES; replacement++)
				walk_keys_under(trust, reg.envelope, prev.envelope, all[i], all[k], replacement);
		}
		version_finish(&prev);
		version_finish(&reg);
	}
}

static void make_users(struct version *v, const char *name, unsigned editors)
{
	Poc__Users users = POC__USERS__INIT;
	Poc__Head head;
	Poc__Key room[KEYS], *list[KEYS];

	head_of(&head, name, NULL);
	users.head = &head;
	users.issued = NOW;
	key_list(editors, room, list, &users.n_editors);
	users.editors = list;
	version_init(v, &users.base);
}

static void make_record(struct version *v, const char *name)
{
	Poc__Record record = POC__RECORD__INIT;
	Poc__Head head;

	head_of(&head, name, NULL);
	record.head = &head;
	record.issued = record.confirmed = NOW;
	record.expires = NOW + 1000;
	record.withdrawn = true;
	version_init(v, &record.base);
}

/* U and R under K with these coordinators, and a unit's R with these editors. */
static void walk_writers(const struct envelope *trust, unsigned coordinators, unsigned editors)
{
	struct version k, listing, without, users, unit_users, record, unit_record;

	make_keys(&k, NULL, (struct holders){TRIO, 2}, coordinators, NOW);
	make_register(&listing, NULL, (struct register_form){true, true, false, k.envelope->payload_hash});
	make_register(&without, NULL, (struct register_form){false, true, false, hash_zero});
	make_users(&users, "U/XA", 0);
	make_users(&unit_users, "U/XA/harbour", editors);
	make_record(&record, "R/XA");
	make_record(&unit_record, "R/XA/harbour");
	struct version *each[] = {&users, &record, &unit_record};
	for (int i = 0; i < 3; i++) {
		for (unsigned how = 0; how < 8; how++) {
			struct seen what = {.kind = i == 0 ? NAME_USERS : NAME_RECORD,
					    .unit = i == 2,
					    .listed = (how & 1) == 0,
					    .suspended = (how & 2) != 0,
					    .has_keys = (how & 4) == 0,
					    .coordinators = coordinators,
					    .editors = editors};
			struct judge_facts facts = {.trust = trust,
						    .reg = what.listed ? listing.envelope : without.envelope,
						    .keys = what.has_keys ? k.envelope : NULL,
						    .unit_users = unit_users.envelope,
						    .suspended = what.suspended,
						    .time = NOW};
			for
				EACH_SUBSET(signers, 1 | FOURTH | FIFTH | STRANGER)
				{
					what.signers = signers;
					note(what, &facts, each[i]);
				}
		}
	}
	version_finish(&k);
	version_finish(&listing);
	version_finish(&without);
	version_finish(&users);
	version_finish(&unit_users);
	version_finish(&record);
	version_finish(&unit_record);
}

static int walk_everything(void **state)
{
	struct version trust;

	(void)state;
	seen = calloc(SEEN_MAX, sizeof *seen);
	assert_non_null(seen);
	for (unsigned i = 0; i < KEYS; i++)
		assert_non_null(keys[i] = keystore_ephemeral(KEY_ED25519));
	make_trust(&trust, NULL, plain_trust);
	directory_id = trust.envelope->payload_hash;
	walk_trust();
	walk_register(trust.envelope);
	walk_first_keys(trust.envelope);
	walk_keys(trust.envelope);
	for (unsigned coordinators = 0; coordinators <= (FOURTH | FIFTH); coordinators += FOURTH)
		walk_writers(trust.envelope, coordinators, FIFTH);
	version_finish(&trust);
	return 0;
}

static int forget_everything(void **state)
{
	(void)state;
	for (unsigned i = 0; i < KEYS; i++)
		keystore_close(keys[i]);
	free(seen);
	return 0;
}

/* ---- What must hold */

static size_t differences(enum wrong wrong)
{
	size_t n = 0;

	for (size_t i = 0; i < n_seen; i++)
		n += seen[i].allowed != model(&seen[i], wrong);
	return n;
}

static void test_judge_is_what_the_document_says(void **state)
{
	size_t allowed = 0;

	(void)state;
	for (size_t i = 0; i < n_seen; i++) {
		const struct seen *s = &seen[i];
		allowed += s->allowed;
		if (s->allowed != model(s, RIGHT))
			fail_msg("kind %d, signers %#x, old %#x/%u, new %#x/%u, replacement %d, first %d: %s", s->kind,
				 s->signers, s->old.set, s->old.threshold, s->new.set, s->new.threshold, s->replacement,
				 s->first, s->allowed ? "allowed" : "refused");
	}
	assert_true(allowed > n_seen / 20 && allowed < n_seen / 2);
}

/* The comparison would see each of these. */
static void test_wrong_rules_are_found(void **state)
{
	(void)state;
	for (int wrong = RIGHT + 1; wrong < WRONG_MODELS; wrong++) {
		if (differences((enum wrong)wrong) == 0)
			fail_msg("wrong model %d is not found", wrong);
	}
}

static bool within(unsigned some, unsigned all)
{
	return (some & ~all) == 0;
}

/* Whatever was done, those did it who stand: no dropped key, nobody's key, no minority. */
static void test_nothing_by_a_dropped_key(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_seen; i++) {
		const struct seen *s = &seen[i];
		unsigned by = s->signers & s->old.set;
		if (!s->allowed)
			continue;
		if (s->kind == NAME_REGISTER || ((s->kind == NAME_TRUST || s->kind == NAME_KEYS) && !s->first &&
						 s->replacement != REPLACED_IN_TIME))
			assert_true((unsigned)__builtin_popcount(by) >= s->old.threshold);
		if (s->kind == NAME_USERS || s->kind == NAME_RECORD)
			assert_true((s->signers & (s->coordinators | (s->unit ? s->editors : 0))) != 0 &&
				    s->coordinators != 0);
	}
}

/* A transition of T or K from old to new that these signers can make. */
static bool possible(enum name_kind kind, struct holders old, struct holders new, unsigned held)
{
	for (size_t i = 0; i < n_seen; i++) {
		const struct seen *s = &seen[i];
		if (s->kind == kind && !s->first && s->allowed && s->replacement == NOT_REPLACED &&
		    within(s->signers, held) && s->old.set == old.set && s->old.threshold == old.threshold &&
		    s->new.set == new.set && s->new.threshold == new.threshold)
			return true;
	}
	return false;
}

/* Wherever a walk has led, there is a next step with the keys that are held; while the rest still make the threshold, a
 * key that was stolen or lost goes without its own help, for any other or for none. */
static void check_ways_on(enum name_kind kind)
{
	struct holders all[16];
	size_t n = all_holders(TRIO, all);

	for (size_t i = 0; i < n; i++) {
		assert_true(possible(kind, all[i], all[i], all[i].set));
		for (unsigned lost = 1; lost <= TRIO; lost <<= 1) {
			unsigned rest = all[i].set & ~lost;
			if ((all[i].set & lost) == 0 || (unsigned)__builtin_popcount(rest) < all[i].threshold)
				continue;
			assert_true(possible(kind, all[i], (struct holders){rest, all[i].threshold}, rest));
			for (unsigned other = 1; other <= TRIO; other <<= 1) {
				if ((all[i].set & other) == 0)
					assert_true(possible(kind, all[i],
							     (struct holders){rest | other, all[i].threshold},
							     rest | other));
			}
		}
	}
}

static void test_nobody_is_locked_out(void **state)
{
	(void)state;
	check_ways_on(NAME_TRUST);
	check_ways_on(NAME_KEYS);
}

/* Below the threshold the council replaces an authority; from that day on, and not with the thieves' help or against
 * it. */
static void test_replacement_cannot_be_held_up(void **state)
{
	size_t replaced = 0;

	(void)state;
	for (size_t i = 0; i < n_seen; i++) {
		const struct seen *s = &seen[i];
		if (s->kind != NAME_KEYS || !s->pending)
			continue;
		assert_false(s->allowed && s->replacement != REPLACED_IN_TIME);
		replaced += s->allowed;
	}
	assert_true(replaced > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_judge_is_what_the_document_says), cmocka_unit_test(test_wrong_rules_are_found),
	    cmocka_unit_test(test_nothing_by_a_dropped_key),        cmocka_unit_test(test_nobody_is_locked_out),
	    cmocka_unit_test(test_replacement_cannot_be_held_up),
	};

	return cmocka_run_group_tests(tests, walk_everything, forget_everything);
}
