#include "pocd/directory/history.h"

#include <stdlib.h>
#include <string.h>

#include "pocd/directory/judge.h"
#include "pocd/directory/scan.h"
#include "pocd/ledger/changes.h"
#include "proto/proof/note.h"
#include "proto/rules/register.h"
#include "proto/rules/trust.h"

enum { LOG_KEYS_MAX = 4 };

struct replay {
	struct store_view *view;
	struct refusal *why;
	struct changes names;        /* by map key */
	struct envelope **envelopes; /* beside names.items: parsed T, S, K, U; NULL for R */
	size_t capacity;
	struct changes replaced; /* the council's replacements that stand in a chain of K, by hash of their payload */
	struct history_report report;
};

static struct envelope *version(struct replay *r, enum name_kind kind, const char *state, const char *unit)
{
	struct name name;

	if (!name_make(kind, state, unit, &name))
		return NULL;
	struct hash key = hash_name(name.text);
	const struct change *known = changes_find(&r->names, &key);
	return known != NULL ? r->envelopes[known - r->names.items] : NULL;
}

static int read_envelope(struct replay *r, const struct hash *value, struct envelope **out)
{
	const uint8_t *bytes;
	size_t size;
	int status = ledger_read_envelope(r->view, value, &bytes, &size, NULL, NULL);

	*out = NULL;
	return status != 0 ? STATUS_DAMAGED : envelope_parse(bytes, size, out, r->why);
}

/* Takes the envelope over. */
static int keep(struct replay *r, const struct hash *key, uint64_t leaf, struct envelope *envelope)
{
	struct change change = {.key = *key, .value = envelope->value, .seq = envelope->seq, .leaf = leaf};
	/* nothing is judged by these, and of records there are many */
	bool leaf_only = envelope->name.kind >= NAME_RECORD;

	if (r->names.n == r->capacity) {
		size_t capacity = r->capacity > 0 ? 2 * r->capacity : 256;
		struct envelope **envelopes = realloc(r->envelopes, capacity * sizeof *envelopes);
		if (envelopes == NULL) {
			envelope_destroy(envelope);
			return STATUS_NO_MEMORY;
		}
		memset(envelopes + r->capacity, 0, (capacity - r->capacity) * sizeof *envelopes);
		r->envelopes = envelopes;
		r->capacity = capacity;
	}
	int status = changes_put(&r->names, &change);
	if (status != 0 || leaf_only) {
		r->report.records += status == 0 && envelope->name.kind == NAME_RECORD && envelope->seq == 1;
		envelope_destroy(envelope);
		return status;
	}
	size_t at = (size_t)(changes_find(&r->names, key) - r->names.items);
	envelope_destroy(r->envelopes[at]);
	r->envelopes[at] = envelope;
	return 0;
}

static bool came(struct replay *r, const Poc__Replacement *replacement)
{
	struct hash key;

	memcpy(key.bytes, replacement->keys.data, HASH_SIZE);
	return changes_find(&r->replaced, &key) != NULL;
}

static int note_replacement(struct replay *r, const struct envelope *trust, const struct envelope *keys)
{
	struct change change = {.key = keys->payload_hash};

	if (trust_replaces(trust->payload.trust, keys->name.state, keys->payload_hash.bytes) == NULL)
		return 0;
	return changes_put(&r->replaced, &change);
}

static void look_at_state(struct replay *r, const struct name *name, struct judge_facts *facts)
{
	const char *state = name_authority(name);

	if (facts->trust == NULL || facts->reg == NULL || name->kind < NAME_KEYS)
		return;
	const Poc__Entry *entry = register_find(facts->reg->payload.register_, state);
	const Poc__Replacement *replacement = trust_replacement(facts->trust->payload.trust, state);

	facts->replacing = replacement != NULL && !came(r, replacement);
	facts->suspended = (entry != NULL && entry->suspended) || facts->replacing ||
			   (replacement != NULL && facts->time < replacement->not_before);
}

static int count_erased(void *ctx, const struct scanned_section *section)
{
	struct replay *r = ctx;
	struct hash digest;
	const uint8_t *bytes;
	size_t size;

	memcpy(digest.bytes, section->digest, HASH_SIZE);
	int status = ledger_read_section(r->view, &digest, &bytes, &size);
	r->report.erased_sections += status == STATUS_NOT_FOUND;
	return status == STATUS_NOT_FOUND ? 0 : status;
}

static int judge_version(struct replay *r, const struct envelope *next, const struct leaf *leaf)
{
	const struct name *name = &next->name;
	const struct change *known = changes_find(&r->names, &leaf->key);
	struct envelope outline = {.name = *name};
	struct judge_facts facts = {.trust = version(r, NAME_TRUST, NULL, NULL),
				    .reg = version(r, NAME_REGISTER, NULL, NULL),
				    .time = (int64_t)(leaf->time_ms / 1000)};

	if (name->kind >= NAME_KEYS)
		facts.keys = version(r, NAME_KEYS, name_authority(name), NULL);
	if (name->kind == NAME_RECORD && name->unit[0] != '\0')
		facts.unit_users = version(r, NAME_USERS, name->state, name->unit);
	if (known != NULL) {
		outline.seq = known->seq;
		outline.value = known->value;
		facts.prev = r->envelopes[known - r->names.items];
		if (facts.prev == NULL)
			facts.prev = &outline;
	}
	look_at_state(r, name, &facts);
	return judge(&facts, next, r->why);
}

static int at_leaf(struct replay *r, uint64_t index, int status)
{
	char message[sizeof r->why->message];

	if (r->why == NULL)
		return status;
	snprintf(message, sizeof message, "leaf %llu: %.360s", (unsigned long long)index,
		 r->why->message[0] != '\0' ? r->why->message : status_text(status));
	memcpy(r->why->message, message, sizeof message);
	r->why->code = status;
	return status;
}

static int replay_put(struct replay *r, uint64_t index, const struct leaf *leaf, const char *text)
{
	struct envelope *next;
	int status = read_envelope(r, &leaf->value, &next);

	if (status == 0 && (strcmp(next->name.text, text) != 0 || next->seq != leaf->seq))
		status = refuse(r->why, STATUS_DAMAGED, "head.name", "the envelope is of another name or version");
	if (status == 0)
		status = judge_version(r, next, leaf);
	if (status == 0 && next->name.kind == NAME_RECORD)
		status = scan_sections(next->bytes, next->size, count_erased, r);
	if (status == 0 && next->name.kind == NAME_KEYS)
		status = note_replacement(r, version(r, NAME_TRUST, NULL, NULL), next);
	if (status != 0) {
		envelope_destroy(next);
		return at_leaf(r, index, status);
	}
	r->report.judged++;
	r->report.states += next->name.kind == NAME_KEYS && next->seq == 1;
	return keep(r, &leaf->key, index, next);
}

/* At least one log key of the T that the checkpoint covers signed it, and none of them badly. */
static int replay_state(struct replay *r, uint64_t index, const struct leaf *leaf)
{
	const struct envelope *trust = version(r, NAME_TRUST, NULL, NULL);
	struct note_key keys[LOG_KEYS_MAX];
	struct note note;
	const char *text;
	size_t size, good = 0;
	uint64_t log_size;

	if (trust == NULL || ledger_read_publication(r->view, leaf->seq, &log_size, &text, &size) != 0 ||
	    note_parse(text, size, &note, NULL) != 0)
		return at_leaf(r, index, refuse(r->why, STATUS_DAMAGED, "", "its checkpoint cannot be read"));
	size_t n = trust_log_keys(trust->payload.trust, keys, LOG_KEYS_MAX);
	for (size_t i = 0; i < n; i++) {
		enum note_result result = note_verify(&note, &keys[i], NULL);
		if (result == NOTE_BAD)
			return at_leaf(r, index,
				       refuse(r->why, STATUS_UNVERIFIED, "", "its checkpoint has a bad signature"));
		good += result == NOTE_GOOD;
	}
	if (good == 0)
		return at_leaf(
		    r, index,
		    refuse(r->why, STATUS_UNVERIFIED, "", "its checkpoint is signed by no log key of the trust root"));
	r->report.checkpoints++;
	return 0;
}

static int replay_all(struct replay *r, uint64_t *n)
{
	char name[NAME_MAX_LENGTH + 2];
	struct leaf leaf;
	int status;

	for (*n = 0; (status = ledger_read_leaf(r->view, *n, &leaf, name, sizeof name)) == 0; ++*n) {
		if (leaf.kind == LEAF_PUT)
			status = replay_put(r, *n, &leaf, name);
		else if (leaf.kind == LEAF_STATE)
			status = replay_state(r, *n, &leaf);
		if (status != 0)
			return status;
	}
	return status == STATUS_NOT_FOUND ? 0 : at_leaf(r, *n, status);
}

/* ---- The end: what K dropped must have been signed anew, except after an emergency */

static int check_left(struct replay *r, const struct change *known, const struct envelope *envelope)
{
	const struct name *name = &envelope->name;
	struct hash keys_name;
	struct name keys;

	if (!name_make(NAME_KEYS, name->state, NULL, &keys))
		return STATUS_DAMAGED;
	keys_name = hash_name(keys.text);
	const struct change *under = changes_find(&r->names, &keys_name);
	const struct envelope *k = version(r, NAME_KEYS, name->state, NULL);
	const struct envelope *unit =
	    name->kind == NAME_RECORD ? version(r, NAME_USERS, name->state, name->unit) : NULL;
	if (under == NULL || k == NULL)
		return STATUS_DAMAGED;
	if (judge_authorised(version(r, NAME_TRUST, NULL, NULL), k, name->unit[0] != '\0' ? unit : NULL, envelope))
		return 0;
	bool emergency = false;
	for (uint64_t seq = k->seq; seq > 0 && !emergency; seq--) {
		struct hash value;
		struct envelope *old;
		uint64_t leaf;
		if (ledger_read_version(r->view, keys.text, seq, &value, &leaf) != 0 || leaf < known->leaf ||
		    read_envelope(r, &value, &old) != 0)
			break;
		emergency = old->payload.keys->emergency;
		envelope_destroy(old);
	}
	if (!emergency)
		return refuse(r->why, STATUS_UNVERIFIED, name->text, "%s is current without a valid signature",
			      name->text);
	r->report.orphans++;
	return 0;
}

static int check_end(struct replay *r)
{
	int status = 0;

	for (size_t i = 0; i < r->names.n && status == 0; i++) {
		const struct change *known = &r->names.items[i];
		struct envelope *read = NULL, *envelope = r->envelopes[i];
		if (envelope == NULL) {
			status = read_envelope(r, &known->value, &read);
			envelope = read;
		}
		/* a P whose key was dropped counts for nothing, and stays */
		if (status == 0 && envelope->name.kind >= NAME_USERS && envelope->name.kind != NAME_PINGS)
			status = check_left(r, known, envelope);
		envelope_destroy(read);
	}
	return status;
}

int history_check(struct store *store, struct history_report *report, struct refusal *why)
{
	struct refusal unused;
	struct replay r = {.why = why != NULL ? why : &unused};
	uint64_t n;

	*r.why = (struct refusal){0};
	int status = store_view_begin(store, &r.view);
	if (status != 0)
		return refuse(why, status, "", "the store cannot be read: %s", status_text(status));
	status = replay_all(&r, &n);
	if (status == 0)
		status = check_end(&r);
	store_view_end(r.view);
	for (size_t i = 0; i < r.names.n; i++)
		envelope_destroy(r.envelopes[i]);
	free(r.envelopes);
	changes_finish(&r.names);
	changes_finish(&r.replaced);
	if (report != NULL)
		*report = r.report;
	if (status != 0 && r.why->code == 0)
		refuse(r.why, status, "", "the check cannot go on: %s", status_text(status));
	return status;
}
