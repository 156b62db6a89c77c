#include "pocd/directory/replay.h"

#include <stdlib.h>
#include <string.h>

#include "pocd/directory/holders.h"
#include "pocd/directory/judge.h"
#include "proto/proof/note.h"
#include "proto/rules/register.h"
#include "proto/rules/trust.h"

enum { LOG_KEYS_MAX = 4 };

struct envelope *replay_version(const struct replay *r, enum name_kind kind, const char *state, const char *unit)
{
	struct name name;

	if (!name_make(kind, state, unit, &name))
		return NULL;
	struct hash key = hash_name(name.text);
	const struct change *known = changes_find(&r->names, &key);
	return known != NULL ? r->envelopes[known - r->names.items] : NULL;
}

/* For one more name. */
static int make_room(struct replay *r)
{
	if (r->names.n < r->capacity)
		return 0;
	size_t capacity = r->capacity > 0 ? 2 * r->capacity : 256;
	struct envelope **envelopes = realloc(r->envelopes, capacity * sizeof *envelopes);
	if (envelopes == NULL)
		return STATUS_NO_MEMORY;
	memset(envelopes + r->capacity, 0, (capacity - r->capacity) * sizeof *envelopes);
	r->envelopes = envelopes;
	r->capacity = capacity;
	return 0;
}

/* Takes the envelope over. */
static int keep(struct replay *r, const struct hash *key, struct envelope *envelope)
{
	struct change change = {.key = *key, .value = envelope->value, .seq = envelope->seq};
	/* nothing is judged by these, and of records there are many */
	bool leaf_only = envelope->name.kind >= NAME_RECORD;

	int status = make_room(r);
	if (status == 0)
		status = changes_put(&r->names, &change);
	if (status != 0 || leaf_only) {
		envelope_destroy(envelope);
		return status;
	}
	size_t at = (size_t)(changes_find(&r->names, key) - r->names.items);
	envelope_destroy(r->envelopes[at]);
	r->envelopes[at] = envelope;
	return 0;
}

static bool came(const struct replay *r, const Poc__Replacement *replacement)
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

static void look_at_state(const struct replay *r, const struct name *name, struct judge_facts *facts)
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

static int judge_version(const struct replay *r, const struct envelope *next, const struct leaf *leaf,
			 struct refusal *why)
{
	const struct name *name = &next->name;
	const struct change *known = changes_find(&r->names, &leaf->key);
	struct envelope outline = {.name = *name};
	struct judge_facts facts = {.trust = replay_version(r, NAME_TRUST, NULL, NULL),
				    .reg = replay_version(r, NAME_REGISTER, NULL, NULL),
				    .time = (int64_t)(leaf->time_ms / 1000)};

	if (name->kind >= NAME_KEYS)
		facts.keys = replay_version(r, NAME_KEYS, name_authority(name), NULL);
	if (name->kind == NAME_RECORD && name->unit[0] != '\0')
		facts.unit_users = replay_version(r, NAME_USERS, name->state, name->unit);
	if (known != NULL) {
		outline.seq = known->seq;
		outline.value = known->value;
		facts.prev = r->envelopes[known - r->names.items];
		if (facts.prev == NULL)
			facts.prev = &outline;
	}
	look_at_state(r, name, &facts);
	return judge(&facts, next, why);
}

int replay_put(struct replay *r, const struct leaf *leaf, const char *text, const uint8_t *bytes, size_t size,
	       struct name *name, struct refusal *why)
{
	struct envelope *next;
	int status = envelope_parse(bytes, size, &next, why);

	if (status != 0)
		return status;
	next->toll = r->toll;
	if (strcmp(next->name.text, text) != 0 || next->seq != leaf->seq)
		status = refuse(why, STATUS_DAMAGED, "head.name", "the envelope is of another name or version");
	if (status == 0)
		status = judge_version(r, next, leaf, why);
	if (status == 0 && next->name.kind == NAME_KEYS)
		status = note_replacement(r, replay_version(r, NAME_TRUST, NULL, NULL), next);
	if (status != 0) {
		envelope_destroy(next);
		return status;
	}
	*name = next->name;
	return keep(r, &leaf->key, next);
}

int replay_signed(const struct replay *r, const char *text, size_t size, struct refusal *why)
{
	const struct envelope *trust = replay_version(r, NAME_TRUST, NULL, NULL);
	struct note_key keys[LOG_KEYS_MAX];
	struct note note;
	size_t good = 0;

	if (trust == NULL || note_parse(text, size, &note, NULL) != 0)
		return refuse(why, STATUS_DAMAGED, "", "its checkpoint cannot be read");
	size_t n = trust_log_keys(trust->payload.trust, keys, LOG_KEYS_MAX);
	for (size_t i = 0; i < n; i++) {
		uint64_t begun = toll_begin(r->toll);
		enum note_result result = note_verify(&note, &keys[i], NULL);
		if (result != NOTE_ABSENT)
			toll_end(r->toll, begun);
		if (result == NOTE_BAD)
			return refuse(why, STATUS_UNVERIFIED, "", "its checkpoint has a bad signature");
		good += result == NOTE_GOOD;
	}
	return good > 0
		   ? 0
		   : refuse(why, STATUS_UNVERIFIED, "", "its checkpoint is signed by no log key of the trust root");
}

/* ---- Going on */

static int load_name(struct replay *r, struct store_view *view, const struct snapshot_name *known)
{
	struct envelope *envelope;
	const uint8_t *bytes;
	size_t size;
	struct hash key = hash_name(known->name);
	struct change change = {.key = key, .value = known->value, .seq = known->seq};

	int status = make_room(r);

	if (status != 0)
		return status;
	if (known->name[0] != 'T' && known->name[0] != 'S' && known->name[0] != 'K' && known->name[0] != 'U')
		return changes_put(&r->names, &change);
	status = ledger_read_envelope(view, &known->value, &bytes, &size, NULL, NULL);
	if (status == 0)
		status = envelope_parse(bytes, size, &envelope, NULL);
	return status != 0 ? STATUS_DAMAGED : keep(r, &key, envelope);
}

static int load_replaced(struct replay *r, struct store *store)
{
	const struct envelope *trust = replay_version(r, NAME_TRUST, NULL, NULL);
	int status = 0;

	for (size_t i = 0; trust != NULL && i < trust->payload.trust->n_replaced && status == 0; i++) {
		const Poc__Replacement *replacement = trust->payload.trust->replaced[i];
		const struct envelope *keys = replay_version(r, NAME_KEYS, replacement->state, NULL);
		struct change change = {0};
		bool done = false;
		memcpy(change.key.bytes, replacement->keys.data, HASH_SIZE);
		if (keys != NULL)
			status = replacement_done(store, replacement, keys->seq, &done);
		if (status == 0 && done)
			status = changes_put(&r->replaced, &change);
	}
	return status;
}

int replay_load(struct replay *r, struct store *store, const struct snapshot *tip, struct refusal *why)
{
	struct store_view *view;
	int status = store_view_begin(store, &view);

	if (status != 0)
		return refuse(why, status, "", "the store cannot be read: %s", status_text(status));
	for (size_t i = 0; i < tip->n_names && status == 0; i++)
		status = load_name(r, view, &tip->names[i]);
	store_view_end(view);
	if (status == 0)
		status = load_replaced(r, store);
	return status == 0 ? 0 : refuse(why, status, "", "what stands cannot be read: %s", status_text(status));
}

void replay_finish(struct replay *r)
{
	for (size_t i = 0; i < r->names.n; i++)
		envelope_destroy(r->envelopes[i]);
	free(r->envelopes);
	changes_finish(&r->names);
	changes_finish(&r->replaced);
	*r = (struct replay){.toll = r->toll};
}
