#include "pocd/directory/change.h"

#include <stdlib.h>
#include <string.h>

#include "pocd/directory/holders.h"
#include "pocd/directory/judge.h"
#include "proto/rules/record.h"
#include "proto/rules/register.h"
#include "proto/rules/section.h"
#include "proto/rules/trust.h"
#include "proto/wire/frame.h"
#include "proto/wire/prescan.h"

enum {
	VERSIONS_KEPT = 512,
	CHAIN_MAX = 800 * 1024 /* of an answer of 1,000 KiB: there is room for what the council names */
};

struct changer {
	struct changer_options options;
	/* versions of T, S, K, U that no snapshot holds yet, or no longer */
	size_t n_versions, capacity;
	struct holder **versions;
};

struct changer *changer_create(const struct changer_options *options)
{
	struct changer *changer = calloc(1, sizeof *changer);

	if (changer != NULL)
		changer->options = *options;
	return changer;
}

void changer_published(struct changer *changer)
{
	while (changer->n_versions > 0)
		holder_unref(changer->versions[--changer->n_versions]);
}

void changer_destroy(struct changer *changer)
{
	if (changer == NULL)
		return;
	changer_published(changer);
	free(changer->versions);
	free(changer);
}

/* Between groups, when nobody looks at them: drops the oldest if there are many. */
static void trim_versions(struct changer *changer)
{
	if (changer->n_versions <= VERSIONS_KEPT)
		return;
	size_t drop = changer->n_versions - VERSIONS_KEPT / 2;
	for (size_t i = 0; i < drop; i++)
		holder_unref(changer->versions[i]);
	changer->n_versions -= drop;
	memmove(changer->versions, changer->versions + drop, changer->n_versions * sizeof changer->versions[0]);
}

/* ---- A group */

struct section_in {
	struct hash digest;
	Poc__Section *parsed;
	bool used;
};

struct candidate {
	size_t write; /* its place in the group */
	const struct change_write *in;
	struct holder *holder; /* the parsed envelope */
	size_t n_sections;
	struct section_in *sections;
	bool repeated; /* stored before: only its first answer is given */
};

struct change_group {
	size_t n;
	struct candidate *items; /* in the order of judging */
	struct candidate **by_write;
};

static const struct envelope *envelope_of(const struct candidate *c)
{
	return c->holder->envelope;
}

void change_group_destroy(struct change_group *group)
{
	if (group == NULL)
		return;
	for (size_t i = 0; i < group->n; i++) {
		for (size_t j = 0; j < group->items[i].n_sections; j++)
			message_free(group->items[i].sections[j].parsed);
		free(group->items[i].sections);
		holder_unref(group->items[i].holder);
	}
	free(group->items);
	free(group);
}

/* Puts "writes[i]." before the field that a rule named. */
static int at_write(struct refusal *why, size_t write, int status)
{
	char field[sizeof why->field];

	if (why == NULL)
		return status;
	snprintf(field, sizeof field, "writes[%zu]%s%.90s", write, why->field[0] != '\0' ? "." : "", why->field);
	memcpy(why->field, field, sizeof field);
	why->code = status;
	return status;
}

static int parse_sections(struct candidate *c, struct refusal *why)
{
	const size_t most = RECORD_POCS_MAX * RECORD_SECTIONS_MAX + 4;

	if (c->in->n_sections == 0)
		return 0;
	if (envelope_of(c)->name.kind != NAME_RECORD)
		return refuse(why, STATUS_INVALID, "sections", "only records have sections");
	if (c->in->n_sections > most)
		return refuse(why, STATUS_TOO_LARGE, "sections", "at most %zu", most);
	c->sections = calloc(c->in->n_sections, sizeof *c->sections);
	if (c->sections == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	for (; c->n_sections < c->in->n_sections; c->n_sections++) {
		const ProtobufCBinaryData *bytes = &c->in->sections[c->n_sections];
		struct section_in *section = &c->sections[c->n_sections];
		int status = section_parse(bytes->data, bytes->len, &section->parsed, why);
		if (status != 0)
			return status;
		section->digest = hash_section(bytes->data, bytes->len);
	}
	return 0;
}

static int parse_write(struct candidate *c, struct refusal *why)
{
	struct envelope *envelope;
	int status = envelope_parse(c->in->envelope, c->in->envelope_size, &envelope, why);

	if (status != 0)
		return status;
	c->holder = holder_create(envelope);
	if (c->holder == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	return parse_sections(c, why);
}

/* T, S, K, U, R; then by name, so that U/FR comes before U/FR/x; then by version. */
static int by_rank(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	const struct envelope *p = envelope_of(x), *q = envelope_of(y);

	if (p->name.kind != q->name.kind)
		return p->name.kind < q->name.kind ? -1 : 1;
	int order = strcmp(p->name.text, q->name.text);
	if (order != 0)
		return order;
	if (p->seq != q->seq)
		return p->seq < q->seq ? -1 : 1;
	return x->write < y->write ? -1 : x->write > y->write;
}

static int check_distinct(const struct change_group *group, size_t *write, struct refusal *why)
{
	for (size_t i = 1; i < group->n; i++) {
		const struct envelope *before = envelope_of(&group->items[i - 1]), *e = envelope_of(&group->items[i]);
		if (hash_compare(&before->value, &e->value) == 0) {
			*write = group->items[i].write;
			refuse(why, STATUS_INVALID, "", "the same envelope twice in one group");
			return at_write(why, *write, STATUS_INVALID);
		}
	}
	return 0;
}

int change_parse(struct changer *changer, const struct change_write *writes, size_t n, struct change_group **out,
		 size_t *write, struct refusal *why)
{
	(void)changer;
	*out = NULL;
	*write = 0;
	if (n == 0 || n > CHANGE_WRITES_MAX)
		return refuse(why, STATUS_INVALID, "writes", "1 to %d writes", CHANGE_WRITES_MAX);
	struct change_group *group = calloc(1, sizeof *group);
	if (group != NULL)
		group->items = calloc(n, sizeof *group->items);
	if (group == NULL || group->items == NULL) {
		free(group);
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	}
	int status = 0;
	while (status == 0 && group->n < n) {
		struct candidate *c = &group->items[group->n];
		*c = (struct candidate){.write = group->n, .in = &writes[group->n]};
		*write = group->n++;
		status = parse_write(c, why);
		if (status != 0)
			at_write(why, *write, status);
	}
	if (status == 0) {
		qsort(group->items, n, sizeof *group->items, by_rank);
		status = check_distinct(group, write, why);
	}
	if (status != 0) {
		change_group_destroy(group);
		return status;
	}
	*out = group;
	return 0;
}

bool change_needs_commit(const struct change_group *group)
{
	for (size_t i = 0; i < group->n; i++) {
		const struct name *name = &envelope_of(&group->items[i])->name;
		if (name->kind == NAME_KEYS || (name->kind == NAME_USERS && name->unit[0] != '\0'))
			return true;
	}
	return false;
}

bool change_must_wait(const struct changer *changer, const struct change_group *group)
{
	uint64_t leaf, time_ms;

	for (size_t i = 0; i < group->n; i++) {
		const struct envelope *e = envelope_of(&group->items[i]);
		const bool judges =
		    e->name.kind == NAME_REGISTER || e->name.kind == NAME_KEYS || e->name.kind == NAME_USERS;
		/* what is stored already gets its first answer at once */
		if (judges && ledger_testifies(changer->options.ledger, e->name.text) &&
		    ledger_first_answer(changer->options.ledger, &e->value, &leaf, &time_ms) == STATUS_NOT_FOUND)
			return true;
	}
	return false;
}

/* ---- What stands: the group's own versions before those of the ledger */

struct judging {
	struct changer *changer;
	struct change_group *group;
	size_t done; /* items before this one have been judged */
	struct snapshot *snapshot;
	int64_t now;
	struct refusal *why;
	int status; /* of a failed read */
};

static const struct candidate *in_group(const struct judging *j, const char *name, size_t before)
{
	for (size_t i = before; i-- > 0;) {
		const struct candidate *c = &j->group->items[i];
		if (!c->repeated && strcmp(envelope_of(c)->name.text, name) == 0)
			return c;
	}
	return NULL;
}

static struct holder *kept_version(struct changer *changer, const struct hash *value)
{
	for (size_t i = changer->n_versions; i-- > 0;) {
		if (hash_compare(&changer->versions[i]->envelope->value, value) == 0)
			return changer->versions[i];
	}
	return NULL;
}

/* Keeps a version, which the changer owns from then on.  0 or STATUS_NO_MEMORY, then it is gone. */
static int keep_version(struct changer *changer, struct holder *holder)
{
	if (changer->n_versions == changer->capacity) {
		size_t capacity = changer->capacity > 0 ? 2 * changer->capacity : 64;
		struct holder **versions = realloc(changer->versions, capacity * sizeof(struct holder *));
		if (versions == NULL) {
			holder_unref(holder);
			return STATUS_NO_MEMORY;
		}
		changer->versions = versions;
		changer->capacity = capacity;
	}
	changer->versions[changer->n_versions++] = holder;
	return 0;
}

static struct holder *read_version(struct judging *j, const char *name)
{
	struct envelope *envelope = NULL;
	struct hash value;
	uint64_t seq;
	uint8_t *bytes = NULL;
	size_t size;

	j->status = ledger_current(j->changer->options.ledger, name, &value, &seq, &bytes, &size);
	if (j->status == 0)
		j->status = envelope_parse(bytes, size, &envelope, NULL) == 0 ? 0 : STATUS_DAMAGED;
	free(bytes);
	if (j->status != 0)
		return NULL;
	struct holder *holder = holder_create(envelope);
	if (holder == NULL)
		j->status = STATUS_NO_MEMORY;
	return holder;
}

/* The current version in the ledger of a T, S, K or U: borrowed; valid while the group is judged.  NULL: none, or
 * j->status says why it cannot be had. */
static const struct envelope *ledger_version(struct judging *j, const struct name *name)
{
	struct hash value;
	uint64_t seq;
	int status = ledger_current(j->changer->options.ledger, name->text, &value, &seq, NULL, NULL);

	if (status == STATUS_NOT_FOUND)
		return NULL;
	if (status != 0) {
		j->status = status;
		return NULL;
	}
	struct holder *holder = j->snapshot != NULL ? holders_version(holders_of(j->snapshot), name, &value) : NULL;
	if (holder == NULL)
		holder = kept_version(j->changer, &value);
	if (holder == NULL) {
		holder = read_version(j, name->text);
		if (holder == NULL)
			return NULL;
		j->status = keep_version(j->changer, holder);
		if (j->status != 0)
			return NULL;
	}
	return holder->envelope;
}

static const struct envelope *current(struct judging *j, enum name_kind kind, const char *state, const char *unit)
{
	struct name name;

	if (!name_make(kind, state, unit, &name))
		return NULL;
	const struct candidate *c = in_group(j, name.text, j->done);
	return c != NULL ? envelope_of(c) : ledger_version(j, &name);
}

/* What a version replaces.  Of U and R only name, seq and value are needed: outline is room for these. */
static const struct envelope *replaced(struct judging *j, const struct envelope *next, struct envelope *outline)
{
	const struct candidate *c = in_group(j, next->name.text, j->done);

	if (c != NULL)
		return envelope_of(c);
	if (next->name.kind <= NAME_KEYS)
		return ledger_version(j, &next->name);
	*outline = (struct envelope){.name = next->name};
	int status =
	    ledger_current(j->changer->options.ledger, next->name.text, &outline->value, &outline->seq, NULL, NULL);
	if (status != 0 && status != STATUS_NOT_FOUND)
		j->status = status;
	return status == 0 ? outline : NULL;
}

/* Whether the council's replacement of a state's authority stands in its chain, or comes with this group. */
static bool replacement_came(struct judging *j, const Poc__Replacement *replacement, const struct envelope *keys)
{
	bool came = false;

	for (size_t i = 0; i < j->group->n && !came; i++) {
		const struct envelope *e = envelope_of(&j->group->items[i]);
		came = e->name.kind == NAME_KEYS && strcmp(e->name.state, replacement->state) == 0 &&
		       memcmp(e->payload_hash.bytes, replacement->keys.data, HASH_SIZE) == 0;
	}
	if (came || keys == NULL)
		return came;
	int status = replacement_done(j->changer->options.store, replacement, keys->seq, &came);
	if (status != 0 && status != STATUS_NOT_FOUND)
		j->status = status;
	return came;
}

/* Most directories never see a replacement; only then is the chain of K read. */
static void look_at_state(struct judging *j, const struct envelope *next, struct judge_facts *facts)
{
	const char *state = name_authority(&next->name);

	if (facts->trust == NULL || facts->reg == NULL || next->name.kind < NAME_KEYS)
		return;
	const Poc__Entry *entry = register_find(facts->reg->payload.register_, state);
	const Poc__Replacement *replacement = trust_replacement(facts->trust->payload.trust, state);
	bool came = replacement == NULL || replacement_came(j, replacement, facts->keys);

	facts->replacing = !came;
	facts->suspended = (entry != NULL && entry->suspended) || replacement_bars(facts->trust, state, came, j->now);
}

/* ---- Sections */

struct ref_check {
	struct judging *j;
	struct candidate *c;
	const struct envelope *prev; /* the parsed record before, NULL: none */
	struct hash directory;
	size_t total; /* bytes of all sections but the list of units */
};

static struct section_in *supplied(struct judging *j, struct candidate *c, const struct hash *digest)
{
	for (size_t i = 0; i < c->n_sections; i++) {
		if (hash_compare(&c->sections[i].digest, digest) == 0)
			return &c->sections[i];
	}
	/* an earlier version of the same record in this bundle may have brought it */
	for (size_t i = 0; i < j->done; i++) {
		struct candidate *other = &j->group->items[i];
		for (size_t k = 0; k < other->n_sections; k++) {
			if (hash_compare(&other->sections[k].digest, digest) == 0)
				return &other->sections[k];
		}
	}
	return NULL;
}

/* A section that the directory holds already.  Its bytes say whose they are, so nobody can refer to another's. */
static int check_stored(struct ref_check *check, const struct hash *digest, const char *poc, const Poc__SectionRef *ref,
			const char *field, size_t *size)
{
	struct envelope *record = check->c->holder->envelope;
	uint8_t *bytes;
	Poc__Section *section;

	int status = ledger_section(check->j->changer->options.ledger, digest, &bytes, size);
	if (status == STATUS_NOT_FOUND)
		return refuse(check->j->why, STATUS_INVALID, field, "its section was not sent and is not stored here");
	if (status != 0)
		return refuse(check->j->why, status, field, "its section cannot be read");
	status = section_parse(bytes, *size, &section, check->j->why);
	free(bytes);
	if (status != 0)
		return status;
	bool good = section_matches(section, digest, &check->directory, record->name.text, poc, ref);
	message_free(section);
	return good ? 0 : refuse(check->j->why, STATUS_INVALID, field, "its digest belongs to another section");
}

static int check_ref(struct ref_check *check, const char *poc, const Poc__SectionRef *ref, const char *field)
{
	struct hash digest;
	size_t size;

	memcpy(digest.bytes, ref->digest.data, HASH_SIZE);
	struct section_in *in = supplied(check->j, check->c, &digest);
	if (in == NULL) {
		int status = check_stored(check, &digest, poc, ref, field, &size);
		if (status != 0)
			return status;
	} else {
		in->used = true;
		size = poc__section__get_packed_size(in->parsed);
		if (!section_matches(in->parsed, &digest, &check->directory, envelope_of(check->c)->name.text, poc,
				     ref))
			return refuse(check->j->why, STATUS_INVALID, field,
				      "the section sent is not the one that the record calls for");
	}
	if (poc[0] != '\0' || strcmp(ref->name, "units") != 0)
		check->total += size;
	return 0;
}

static int check_sections(struct judging *j, struct candidate *c, const struct envelope *trust)
{
	const Poc__Record *record = envelope_of(c)->payload.record;
	struct ref_check check = {.j = j, .c = c};
	char field[80];
	int status = 0;

	check.directory = trust->seq == 1 ? trust->payload_hash : trust->directory_id;
	for (size_t i = 0; i < record->n_pocs; i++) {
		for (size_t k = 0; k < record->pocs[i]->n_sections && status == 0; k++) {
			snprintf(field, sizeof field, "pocs[%zu].sections[%zu]", i, k);
			status = check_ref(&check, record->pocs[i]->id, record->pocs[i]->sections[k], field);
		}
	}
	for (size_t k = 0; k < record->n_sections && status == 0; k++) {
		snprintf(field, sizeof field, "sections[%zu]", k);
		status = check_ref(&check, "", record->sections[k], field);
	}
	if (status != 0)
		return status;
	if (check.total > SECTIONS_TOTAL_MAX)
		return refuse(j->why, STATUS_TOO_LARGE, "sections",
			      "all sections have %zu bytes, at most %d are allowed", check.total, SECTIONS_TOTAL_MAX);
	for (size_t i = 0; i < c->n_sections; i++) {
		if (!c->sections[i].used)
			return refuse(j->why, STATUS_INVALID, "sections", "section %zu is not called for by the record",
				      i);
	}
	return 0;
}

/* ---- Judging one version */

static int check_times(struct judging *j, const struct candidate *c)
{
	const Poc__Record *record = envelope_of(c)->payload.record;

	/* A record from the future would stay fresh for longer than its state can vouch for. */
	if (record->issued > j->now + SIGNER_CLOCK_LEEWAY || record->confirmed > j->now + SIGNER_CLOCK_LEEWAY)
		return refuse(j->why, STATUS_CLOCK, "confirmed", "lies in the future: check the signer's clock");
	return 0;
}

/* A T that lists none of the log keys at hand would end all publication here. */
static int check_log_keys(struct judging *j, const struct envelope *trust)
{
	return signers_serve(j->changer->options.signers, trust->payload.trust)
		   ? 0
		   : refuse(j->why, STATUS_INVALID, "log_keys",
			    "this server has none of the log keys that this T lists: give it one first ([log] key, "
			    "reload)");
}

/* A T that asks for more than anybody here speaks would send everybody away. */
static int check_protocol(struct judging *j, const struct envelope *trust)
{
	return trust->payload.trust->least_protocol <= PROTOCOL_VERSION
		   ? 0
		   : refuse(j->why, STATUS_INVALID, "least_protocol",
			    "this server speaks version %d of the protocol and no later one", PROTOCOL_VERSION);
}

static bool same_auditors(const Poc__Trust *a, const Poc__Trust *b)
{
	bool same = a->quorum == b->quorum && a->n_auditors == b->n_auditors;

	for (size_t i = 0; i < a->n_auditors && same; i++) {
		const Poc__Auditor *x = a->auditors[i], *y = b->auditors[i];
		same = strcmp(x->name, y->name) == 0 && strcmp(x->state, y->state) == 0 && x->spki.len == y->spki.len &&
		       memcmp(x->spki.data, y->spki.data, x->spki.len) == 0;
	}
	return same;
}

/* An auditor of a state that nobody knows is nobody's. */
static int check_auditor_states(struct judging *j, const Poc__Register *reg, const Poc__Trust *trust)
{
	for (size_t i = 0; i < trust->n_auditors; i++) {
		const Poc__Auditor *a = trust->auditors[i];
		if (strcmp(a->state, STATE_DIRECTORY) != 0 && register_find(reg, a->state) == NULL)
			return refuse(j->why, STATUS_INVALID, "auditors",
				      "%s is said to be of %s, which is not in the register of states", a->name,
				      a->state);
	}
	return 0;
}

/* A quorum that nobody can meet would end it too, and nothing could be taken back. */
static int check_auditors(struct judging *j, const struct judge_facts *facts, const Poc__Trust *trust)
{
	const Poc__Trust *old = facts->trust != NULL ? facts->trust->payload.trust : NULL;

	if (old != NULL && same_auditors(old, trust))
		return 0;
	int status = facts->reg != NULL ? check_auditor_states(j, facts->reg->payload.register_, trust) : 0;
	if (status != 0 || trust->quorum == 0 || j->changer->options.auditors == NULL)
		return status;
	size_t ready = auditors_count_ready(j->changer->options.auditors, trust);
	return ready >= trust->quorum
		   ? 0
		   : refuse(j->why, STATUS_INVALID, "auditors",
			    "%zu of the %zu auditors that this T lists follow this directory with the keys that it "
			    "says, and %u must sign, or nothing would be proven any more: start them first",
			    ready, trust->n_auditors, trust->quorum);
}

/* How many bytes all versions of a K in the ledger have. */
static int chain_size(struct judging *j, const char *name, size_t *total)
{
	struct store_view *view;
	struct hash value;
	const uint8_t *bytes;
	size_t size;
	int status = store_view_begin(j->changer->options.store, &view);

	if (status != 0)
		return status;
	for (uint64_t seq = 1; (status = ledger_read_version(view, name, seq, &value, NULL)) == 0; seq++) {
		status = ledger_read_envelope(view, &value, &bytes, &size, NULL, NULL);
		if (status != 0)
			break;
		*total += size;
	}
	store_view_end(view);
	return status == STATUS_NOT_FOUND ? 0 : status;
}

/* All versions of a K go into one answer, and into everybody's copy: one state's must not become too many.  What is
 * left then is the council's. */
static int check_chain(struct judging *j, const struct candidate *c, const struct envelope *trust)
{
	const struct envelope *next = envelope_of(c);
	size_t total = c->in->envelope_size;

	if (trust_replaces(trust->payload.trust, next->name.state, next->payload_hash.bytes) != NULL)
		return 0;
	for (size_t i = 0; i < j->done; i++) {
		const struct candidate *before = &j->group->items[i];
		if (!before->repeated && strcmp(envelope_of(before)->name.text, next->name.text) == 0)
			total += before->in->envelope_size;
	}
	int status = chain_size(j, next->name.text, &total);
	if (status != 0)
		return refuse(j->why, status, "", "the versions of %s cannot be read: %s", next->name.text,
			      status_text(status));
	return total <= CHAIN_MAX
		   ? 0
		   : refuse(j->why, STATUS_TOO_LARGE, "",
			    "the versions of %s would come to more than %d KiB: only one that the council "
			    "names in T may follow",
			    next->name.text, CHAIN_MAX / 1024);
}

/* Whoever reads a document goes by when it was said. */
static int check_document(struct judging *j, const struct candidate *c)
{
	return envelope_of(c)->payload.document->issued > j->now + SIGNER_CLOCK_LEEWAY
		   ? refuse(j->why, STATUS_CLOCK, "issued", "lies in the future: check the signer's clock")
		   : 0;
}

static int judge_item(struct judging *j, struct candidate *c)
{
	const struct envelope *next = envelope_of(c);
	struct envelope outline;
	struct judge_facts facts = {.time = j->now};

	facts.trust = current(j, NAME_TRUST, NULL, NULL);
	facts.reg = current(j, NAME_REGISTER, NULL, NULL);
	if (next->name.kind >= NAME_KEYS)
		facts.keys = current(j, NAME_KEYS, name_authority(&next->name), NULL);
	if (next->name.kind == NAME_RECORD && next->name.unit[0] != '\0')
		facts.unit_users = current(j, NAME_USERS, next->name.state, next->name.unit);
	facts.prev = replaced(j, next, &outline);
	look_at_state(j, next, &facts);
	if (j->status != 0)
		return refuse(j->why, j->status, "", "the current values cannot be read: %s", status_text(j->status));
	int status = judge(&facts, next, j->why);
	if (status == 0 && next->name.kind == NAME_TRUST) {
		status = check_log_keys(j, next);
		if (status == 0)
			status = check_protocol(j, next);
		return status != 0 ? status : check_auditors(j, &facts, next->payload.trust);
	}
	if (status == 0 && next->name.kind == NAME_KEYS && facts.prev != NULL)
		return check_chain(j, c, facts.trust);
	if (status == 0 && next->name.kind == NAME_DOCUMENT)
		return check_document(j, c);
	if (status != 0 || next->name.kind != NAME_RECORD)
		return status;
	status = check_times(j, c);
	return status != 0 ? status : check_sections(j, c, facts.trust);
}

/* ---- Orphans: what was authorised before the group and is not after it; after an emergency, what is not after it */

struct orphans {
	struct judging *j;
	bool lapsed; /* what was not authorised before counts too */
	const struct envelope *trust_before, *trust_after, *keys_before, *keys_after;
	const char *state;
	size_t n;
	char list[300];
};

static void add_orphan(struct orphans *o, const char *name)
{
	size_t length = strlen(o->list);

	if (length + strlen(name) + 6 < sizeof o->list)
		snprintf(o->list + length, sizeof o->list - length, "%s%s", length > 0 ? ", " : "", name);
	else if (length + 5 < sizeof o->list && o->list[length - 1] != '.')
		snprintf(o->list + length, sizeof o->list - length, " ...");
	o->n++;
}

static const struct envelope *unit_users(struct orphans *o, const struct name *name, bool after)
{
	struct name users;

	if (name->kind != NAME_RECORD || name->unit[0] == '\0' ||
	    !name_make(NAME_USERS, name->state, name->unit, &users))
		return NULL;
	const struct candidate *c = after ? in_group(o->j, users.text, o->j->group->n) : NULL;
	return c != NULL ? envelope_of(c) : ledger_version(o->j, &users);
}

static int check_orphan(struct orphans *o, const char *text)
{
	struct name name;

	if (!name_parse(text, &name) || in_group(o->j, text, o->j->group->n) != NULL)
		return 0; /* replaced by the group, and judged under its end */
	struct holder *holder = read_version(o->j, text);
	if (holder == NULL)
		return o->j->status == STATUS_NOT_FOUND ? o->j->status = 0 : o->j->status;
	bool after = judge_authorised(o->trust_after, o->keys_after, unit_users(o, &name, true), holder->envelope);
	if (!after && (o->lapsed || judge_authorised(o->trust_before, o->keys_before, unit_users(o, &name, false),
						     holder->envelope)))
		add_orphan(o, text);
	holder_unref(holder);
	return o->j->status;
}

enum { WALK_ENOUGH = -1 };

/* Names that begin with prefix: the name itself and its units. */
struct name_walk {
	struct orphans *orphans;
	char prefix[NAME_MAX_LENGTH + 1];
	size_t n, capacity;
	char (*names)[NAME_MAX_LENGTH + 1];
};

static int collect_name(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct name_walk *walk = ctx;
	size_t length = strlen(walk->prefix);

	(void)value;
	if (key_size < length || key_size > NAME_MAX_LENGTH || memcmp(key, walk->prefix, length) != 0)
		return WALK_ENOUGH;
	if (key_size > length && key[length] != '/')
		return 0;
	if (walk->n == walk->capacity) {
		size_t capacity = walk->capacity > 0 ? 2 * walk->capacity : 64;
		void *names = realloc(walk->names, capacity * sizeof *walk->names);
		if (names == NULL)
			return STATUS_NO_MEMORY;
		walk->names = names;
		walk->capacity = capacity;
	}
	memcpy(walk->names[walk->n], key, key_size);
	walk->names[walk->n++][key_size] = '\0';
	return 0;
}

static int check_orphans_below(struct orphans *o, enum name_kind kind)
{
	struct name_walk walk = {.orphans = o};
	struct store_view *view;
	struct name name;

	if (kind == NAME_DOCUMENT && strcmp(o->state, STATE_DIRECTORY) == 0)
		strcpy(walk.prefix, "D");
	else if (name_make(kind, o->state, NULL, &name))
		strcpy(walk.prefix, name.text);
	else
		return 0; /* @directory has no record, states have no documents */
	int status = store_view_begin(o->j->changer->options.store, &view);
	if (status != 0)
		return status;
	status = store_walk(view, TABLE_CURRENT, walk.prefix, strlen(walk.prefix), collect_name, &walk);
	store_view_end(view);
	if (status == WALK_ENOUGH)
		status = 0;
	for (size_t i = 0; i < walk.n && status == 0; i++)
		status = check_orphan(o, walk.names[i]);
	free(walk.names);
	return status;
}

static int refuse_orphans(struct orphans *o, int status)
{
	if (status != 0)
		return refuse(o->j->why, status, "", "the current values cannot be read: %s", status_text(status));
	if (o->n > 0)
		return refuse(o->j->why, STATUS_ORPHANS, "", "would leave %zu without a valid signature: %s", o->n,
			      o->list);
	return 0;
}

static void orphans_init(struct orphans *o, struct judging *j, const char *state)
{
	struct name trust, keys;

	name_make(NAME_TRUST, NULL, NULL, &trust);
	name_make(NAME_KEYS, state, NULL, &keys);
	*o = (struct orphans){.j = j, .state = state};
	j->done = j->group->n;
	o->trust_before = ledger_version(j, &trust);
	o->keys_before = ledger_version(j, &keys);
	o->trust_after = current(j, NAME_TRUST, NULL, NULL);
	o->keys_after = current(j, NAME_KEYS, state, NULL);
}

/* Coordinators that the state loses are the only way to lose a signature. */
static bool drops_coordinator(const struct envelope *before, const struct envelope *after)
{
	const Poc__Keys *old = before->payload.keys, *new = after->payload.keys;

	for (size_t i = 0; i < old->n_coordinators; i++) {
		const ProtobufCBinaryData *key = &old->coordinators[i]->spki;
		bool kept = false;
		for (size_t k = 0; k < new->n_coordinators && !kept; k++)
			kept = new->coordinators[k]->spki.len ==
			       key->len &&memcmp(new->coordinators[k]->spki.data, key->data, key->len) == 0;
		if (!kept)
			return true;
	}
	return false;
}

static int check_keys_orphans(struct judging *j, const struct candidate *c)
{
	struct orphans o;

	orphans_init(&o, j, envelope_of(c)->name.state);
	if (o.keys_before == NULL || o.keys_after == NULL || o.keys_after->payload.keys->emergency)
		return refuse_orphans(&o, j->status);
	/* What has lapsed may stand under an emergency only: under any other K it is a forgery, for every reader. */
	o.lapsed = o.keys_before->payload.keys->emergency;
	if (!o.lapsed && !drops_coordinator(o.keys_before, o.keys_after))
		return refuse_orphans(&o, j->status);
	int status = check_orphans_below(&o, NAME_USERS);
	if (status == 0)
		status = check_orphans_below(&o, NAME_RECORD);
	if (status == 0)
		status = check_orphans_below(&o, NAME_DOCUMENT);
	return refuse_orphans(&o, status);
}

/* A unit's U that drops an editor must not leave the unit's record behind. */
static int check_unit_orphan(struct judging *j, const struct candidate *c)
{
	const struct name *users = &envelope_of(c)->name;
	struct orphans o;
	struct name record;

	orphans_init(&o, j, users->state);
	if (o.keys_before == NULL || o.keys_after == NULL || o.keys_after->payload.keys->emergency ||
	    !name_make(NAME_RECORD, users->state, users->unit, &record))
		return refuse_orphans(&o, j->status);
	return refuse_orphans(&o, check_orphan(&o, record.text));
}

/* The chain of K of a state that the council replaced holds only as long as T says so. */
static int check_replacements_kept(struct judging *j, const struct envelope *before, const struct envelope *after)
{
	for (size_t i = 0; before != NULL && i < before->payload.trust->n_replaced; i++) {
		const Poc__Replacement *old = before->payload.trust->replaced[i];
		const Poc__Replacement *kept = trust_replaces(after->payload.trust, old->state, old->keys.data);
		struct name name;
		bool came = false;
		if ((kept != NULL && kept->not_before == old->not_before) ||
		    !name_make(NAME_KEYS, old->state, NULL, &name))
			continue;
		const struct envelope *keys = ledger_version(j, &name);
		int status =
		    keys != NULL ? replacement_done(j->changer->options.store, old, keys->seq, &came) : j->status;
		if (status != 0)
			return refuse(j->why, status, "", "the current values cannot be read");
		if (came)
			return refuse(
			    j->why, STATUS_ORPHANS, "replaced",
			    "would leave K/%s without valid signature: its replacement has come, and stays in T",
			    old->state);
	}
	return 0;
}

static int check_trust_orphans(struct judging *j)
{
	j->done = j->group->n;
	const struct envelope *trust = current(j, NAME_TRUST, NULL, NULL), *reg = current(j, NAME_REGISTER, NULL, NULL);

	if (j->status != 0)
		return refuse(j->why, j->status, "", "the current values cannot be read");
	if (reg != NULL && !judge_enrolled(trust, reg))
		return refuse(j->why, STATUS_ORPHANS, "", "would leave S without valid enrolment signatures");
	struct name name;
	name_make(NAME_TRUST, NULL, NULL, &name);
	return check_replacements_kept(j, ledger_version(j, &name), trust);
}

/* Whether a later version of the same name stands in the group. */
static bool is_replaced(const struct judging *j, size_t i)
{
	const struct candidate *items = j->group->items;

	return i + 1 < j->group->n && !items[i + 1].repeated &&
	       strcmp(envelope_of(&items[i])->name.text, envelope_of(&items[i + 1])->name.text) == 0;
}

/* What the group leaves behind, by the last version of each name: to look costs much. */
static int check_end(struct judging *j, size_t i)
{
	const struct candidate *c = &j->group->items[i];
	const struct name *name = &envelope_of(c)->name;

	if (c->repeated || is_replaced(j, i))
		return 0;
	if (name->kind == NAME_TRUST)
		return check_trust_orphans(j);
	if (name->kind == NAME_KEYS)
		return check_keys_orphans(j, c);
	if (name->kind == NAME_USERS && name->unit[0] != '\0')
		return check_unit_orphan(j, c);
	return 0;
}

/* ---- Staging */

static int first_answers(struct judging *j, struct change_result *results)
{
	for (size_t i = 0; i < j->group->n; i++) {
		struct candidate *c = &j->group->items[i];
		const struct envelope *e = envelope_of(c);
		struct change_result *result = &results[c->write];
		*result = (struct change_result){.seq = e->seq, .value = e->value};
		strcpy(result->name, e->name.text);
		int status =
		    ledger_first_answer(j->changer->options.ledger, &e->value, &result->leaf, &result->stored_ms);
		if (status != 0 && status != STATUS_NOT_FOUND)
			return refuse(j->why, status, "", "cannot read: %s", status_text(status));
		c->repeated = result->repeated = status == 0;
	}
	return 0;
}

static int stage(struct judging *j, struct change_result *results)
{
	struct ledger_put puts[CHANGE_WRITES_MAX];
	struct ledger_section *sections;
	size_t n = 0, n_sections = 0;
	const struct candidate *of[CHANGE_WRITES_MAX];

	for (size_t i = 0; i < j->group->n; i++)
		n_sections += j->group->items[i].n_sections;
	sections = calloc(n_sections + 1, sizeof *sections);
	if (sections == NULL)
		return refuse(j->why, STATUS_NO_MEMORY, "", "out of memory");
	n_sections = 0;
	for (size_t i = 0; i < j->group->n; i++) {
		const struct candidate *c = &j->group->items[i];
		const struct envelope *e = envelope_of(c);
		if (c->repeated)
			continue;
		of[n] = c;
		puts[n++] = (struct ledger_put){.name = e->name.text,
						.value = e->value,
						.seq = e->seq,
						.envelope = e->bytes,
						.envelope_size = e->size,
						.n_sections = c->n_sections,
						.sections = sections + n_sections};
		for (size_t k = 0; k < c->n_sections; k++)
			sections[n_sections++] = (struct ledger_section){c->sections[k].digest, c->in->sections[k].data,
									 c->in->sections[k].len};
	}
	int status = n > 0 ? ledger_stage(j->changer->options.ledger, puts, n, j->why) : 0;
	for (size_t i = 0; i < n && status == 0; i++) {
		results[of[i]->write].leaf = puts[i].leaf;
		results[of[i]->write].stored_ms = puts[i].time_ms;
		/* spares the next group the parsing; without memory it parses */
		if (envelope_of(of[i])->name.kind <= NAME_USERS)
			(void)keep_version(j->changer, holder_ref(of[i]->holder));
	}
	free(sections);
	return status;
}

static void tell_current(struct judging *j, const struct candidate *c, struct change_outcome *outcome)
{
	/* On a conflict the writer needs what stands, to put its change on top of it. */
	if (ledger_current(j->changer->options.ledger, envelope_of(c)->name.text, &outcome->current,
			   &outcome->current_seq, NULL, NULL) != 0) {
		outcome->current = hash_zero;
		outcome->current_seq = 0;
	}
}

static int judge_all(struct judging *j, struct change_outcome *outcome)
{
	int status = 0;

	for (j->done = 0; j->done < j->group->n; j->done++) {
		struct candidate *c = &j->group->items[j->done];
		status = c->repeated ? 0 : judge_item(j, c);
		if (status != 0) {
			if (status == STATUS_CONFLICT)
				tell_current(j, c, outcome);
			outcome->write = c->write;
			return at_write(j->why, c->write, status);
		}
	}
	for (size_t i = 0; i < j->group->n; i++) {
		status = check_end(j, i);
		if (status != 0) {
			outcome->write = j->group->items[i].write;
			return at_write(j->why, outcome->write, status);
		}
	}
	return 0;
}

/* ---- Quota: a state that changes its users and records without end would fill the store for all.  Its keys are apart:
 * their chain has a bound of its own, and whoever has stolen a coordinator's key must not be able to keep them from
 * changing.  So is what the directory signs. */

static const char *payer_of(const struct candidate *c)
{
	const struct name *name = &envelope_of(c)->name;
	bool pays = !c->repeated && (name->kind == NAME_USERS || name->kind == NAME_RECORD) &&
		    strcmp(name->state, STATE_DIRECTORY) != 0;

	return pays ? name->state : NULL;
}

static int check_quota(const struct judging *j, uint64_t now_ms, struct change_outcome *outcome)
{
	uint32_t retry_ms;

	for (size_t i = 0; i < j->group->n; i++) {
		const char *state = payer_of(&j->group->items[i]);
		if (state == NULL || quota_left(j->changer->options.quota, state, now_ms, &retry_ms))
			continue;
		outcome->write = j->group->items[i].write;
		refuse(j->why, STATUS_QUOTA, "", "%s has changed as much as it may in an hour", state);
		j->why->retry_ms = retry_ms;
		return STATUS_QUOTA;
	}
	return 0;
}

static void take_quota(const struct judging *j, uint64_t now_ms)
{
	for (size_t i = 0; i < j->group->n; i++) {
		const char *state = payer_of(&j->group->items[i]);
		if (state != NULL)
			quota_take(j->changer->options.quota, state, now_ms);
	}
}

int change_apply(struct changer *changer, struct change_group *group, struct change_result *results,
		 struct change_outcome *outcome, struct refusal *why, bool *lost)
{
	struct judging j = {.changer = changer, .group = group, .why = why};

	const uint64_t now_ms = changer->options.now_ms(changer->options.now_ctx);

	*lost = false;
	trim_versions(changer);
	j.now = (int64_t)(now_ms / 1000);
	j.snapshot = ledger_snapshot(changer->options.ledger);
	int status = first_answers(&j, results);
	if (status == 0)
		status = check_quota(&j, now_ms, outcome);
	if (status == 0)
		status = judge_all(&j, outcome);
	if (status == 0) {
		take_quota(&j, now_ms);
		status = stage(&j, results);
		*lost = status != 0;
	}
	snapshot_unref(j.snapshot);
	return status;
}
