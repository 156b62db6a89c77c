#include "clients/libpoc/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/rules/chain.h"
#include "proto/rules/keys.h"
#include "proto/rules/pings.h"
#include "proto/rules/record.h"
#include "proto/rules/register.h"
#include "proto/rules/rules.h"
#include "proto/rules/trust.h"
#include "proto/wire/prescan.h"

enum { KEYS_MAX = 16 };

static struct hash directory_of(const struct verified_head *head)
{
	return trust_directory_id(head->trust[0]);
}

int verify_item(const struct verified_head *head, const Poc__Item *item, bool complete, struct verified_item *out,
		struct refusal *why)
{
	*out = (struct verified_item){0};
	if (!name_parse(item->name, &out->name))
		return refuse(why, STATUS_UNVERIFIED, item->name, "not a name of the directory");
	if (out->name.kind != NAME_KEYS && item->n_envelopes > 1)
		return refuse(why, STATUS_UNVERIFIED, item->name, "%.64s comes in several versions", item->name);
	if (!complete && item->map == NULL)
		return refuse(why, STATUS_UNVERIFIED, item->name, "%.64s comes without map proof", item->name);
	if (item->map != NULL)
		return verify_map(&head->leaf.value, item, &out->absent, &out->value, why);
	if (item->n_envelopes > 0)
		out->value =
		    hash_of(item->envelopes[item->n_envelopes - 1].data, item->envelopes[item->n_envelopes - 1].len);
	else
		memcpy(out->value.bytes, item->value.data, HASH_SIZE);
	return 0;
}

/* An envelope of this name and directory; its value is checked by the caller. */
static int parse_of(const struct verified_head *head, const struct name *name, const ProtobufCBinaryData *bytes,
		    struct envelope **out, struct refusal *why)
{
	struct hash directory = directory_of(head);
	int status = envelope_parse(bytes->data, bytes->len, out, why);

	if (status != 0)
		return unverified(why, status);
	if (strcmp((*out)->name.text, name->text) != 0)
		status = refuse(why, STATUS_UNVERIFIED, name->text, "the envelope is of %s, not of %s",
				(*out)->name.text, name->text);
	else if (hash_compare(&(*out)->directory_id, &directory) != 0)
		status = refuse(why, STATUS_UNVERIFIED, name->text, "%s is of another directory", name->text);
	if (status != 0) {
		envelope_destroy(*out);
		*out = NULL;
	}
	return status;
}

int verify_envelope(const struct verified_head *head, const struct name *name, const struct hash *value,
		    const ProtobufCBinaryData *bytes, struct envelope **out, struct refusal *why)
{
	int status = parse_of(head, name, bytes, out, why);

	if (status == 0 && hash_compare(&(*out)->value, value) != 0) {
		envelope_destroy(*out);
		*out = NULL;
		status =
		    refuse(why, STATUS_UNVERIFIED, name->text, "the envelope of %s is not the current one", name->text);
	}
	return status;
}

/* A chain of K under a head. */
struct chain {
	const struct verified_head *head;
	size_t n;
	struct envelope **keys;
};

static void chain_finish(struct chain *chain)
{
	for (size_t i = 0; i < chain->n; i++)
		envelope_destroy(chain->keys[i]);
	free(chain->keys);
}

/* Whatever it returns, *chain is the caller's (chain_finish). */
static int parse_chain(const struct name *name, const ProtobufCBinaryData *bytes, size_t n, struct chain *chain,
		       struct refusal *why)
{
	int status = 0;

	chain->keys = calloc(n + 1, sizeof(struct envelope *));
	if (chain->keys == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	for (size_t i = 0; i < n && status == 0; i++) {
		status = parse_of(chain->head, name, &bytes[i], &chain->keys[i], why);
		if (status == 0)
			chain->n++;
	}
	return status;
}

/* Each version by the rules.  Of those that the same keys sign the last one's signatures tell: by its prev it is signed
 * on top of those before it. */
static int check_chain(const struct chain *chain, struct refusal *why)
{
	const struct verified_head *head = chain->head;
	const struct envelope *trust = verified_head_trust(head);
	const int64_t now = (int64_t)(head->leaf.time_ms / 1000);
	int status = 0;

	for (size_t i = 0; i < chain->n && status == 0; i++) {
		const struct envelope *prev = i > 0 ? chain->keys[i - 1] : NULL, *next = chain->keys[i];
		bool later =
		    prev != NULL && i + 1 < chain->n && keys_same_signers(trust, prev, next, chain->keys[i + 1]);
		status = later ? keys_continues(trust, head->reg, prev, next, now, why)
			       : keys_accepts(trust, head->reg, prev, next, now, why);
	}
	return unverified(why, status);
}

static bool came_by_replacement(const struct chain *chain, const struct name *name)
{
	const Poc__Replacement *replacement =
	    trust_replacement(verified_head_trust(chain->head)->payload.trust, name->state);
	bool seen = false;

	for (size_t i = 0; i < chain->n && replacement != NULL && !seen; i++)
		seen = memcmp(replacement->keys.data, chain->keys[i]->payload_hash.bytes, HASH_SIZE) == 0;
	return seen;
}

int verify_keys(const struct verified_head *head, const struct name *name, const struct hash *value,
		const ProtobufCBinaryData *bytes, size_t n, struct envelope **out, bool *replaced, struct refusal *why)
{
	struct chain chain = {.head = head};
	int status = parse_chain(name, bytes, n, &chain, why);

	*out = NULL;
	if (status == 0)
		status = check_chain(&chain, why);
	if (status == 0 && (chain.n == 0 || hash_compare(&chain.keys[chain.n - 1]->value, value) != 0))
		status = refuse(why, STATUS_UNVERIFIED, name->text, "the chain of %s does not end at the current one",
				name->text);
	if (status == 0) {
		if (replaced != NULL)
			*replaced = came_by_replacement(&chain, name);
		*out = chain.keys[--chain.n];
	}
	chain_finish(&chain);
	return status;
}

/* Signed by no key of K: a forgery, unless K has let it lapse. */
static int not_signed(const struct envelope *keys, const struct name *name, struct refusal *why)
{
	if (keys->payload.keys->emergency && strcmp(keys->name.state, name->state) == 0)
		return refuse(why, STATUS_ORPHANS, name->text,
			      "%s has lapsed: the authority of %s dropped the key that signed it, in an emergency",
			      name->text, name->state);
	return refuse(why, STATUS_UNVERIFIED, name->text, "%s is not signed by a key of the current K/%s%s", name->text,
		      name->state,
		      name->kind == NAME_RECORD && name->unit[0] != '\0' ? " or an editor key of the unit" : "");
}

int verify_users(const struct verified_head *head, const struct envelope *keys, const struct name *name,
		 const struct hash *value, const ProtobufCBinaryData *bytes, struct envelope **out, struct refusal *why)
{
	int status = verify_envelope(head, name, value, bytes, out, why);

	if (status == 0 && (strcmp(keys->name.state, name->state) != 0 ||
			    !keys_coordinator_signed(verified_head_trust(head), keys, *out))) {
		envelope_destroy(*out);
		*out = NULL;
		status = not_signed(keys, name, why);
	}
	return status;
}

/* ---- Records */

void verified_record_finish(struct verified_record *record)
{
	envelope_destroy(record->record);
	free(record->sections);
	*record = (struct verified_record){0};
}

/* The first of these keys that signed. */
static bool find_signer(const struct verified_head *head, Poc__Key *const *keys, size_t n,
			const struct envelope *envelope, struct hash *signer)
{
	unsigned allowed = trust_algorithms(verified_head_trust(head)->payload.trust);
	struct public_key *list;
	bool found = false;

	if (key_list_parse(keys, n, KEYS_MAX, "keys", &list, NULL) != 0)
		return false;
	for (size_t i = 0; i < n && !found; i++) {
		struct key_list one = {&list[i], 1, 1};
		found = envelope_signed_by(envelope, &one, allowed);
		if (found)
			*signer = list[i].id;
	}
	free(list);
	return found;
}

bool verify_signer(const struct verified_head *head, const Poc__Keys *keys, const struct envelope *envelope,
		   struct hash *signer)
{
	return find_signer(head, keys->coordinators, keys->n_coordinators, envelope, signer);
}

static int check_signer(const struct verified_head *head, const struct record_facts *facts, struct verified_record *out,
			struct refusal *why)
{
	const struct name *name = &out->name;

	if (verify_signer(head, facts->keys->payload.keys, out->record, &out->signer)) {
		snprintf(out->signed_by, sizeof out->signed_by, "coordinator of %s", name->state);
		return 0;
	}
	if (name->unit[0] != '\0' && facts->unit_users != NULL) {
		const Poc__Users *users = facts->unit_users->payload.users;
		if (find_signer(head, users->editors, users->n_editors, out->record, &out->signer)) {
			snprintf(out->signed_by, sizeof out->signed_by, "editor of %s/%s", name->state, name->unit);
			return 0;
		}
	}
	return not_signed(facts->keys, name, why);
}

static bool asked_for(const struct record_facts *facts, const char *section)
{
	for (size_t i = 0; i < facts->n_asked; i++) {
		if (strcmp(facts->asked[i], section) == 0)
			return true;
	}
	return facts->complete;
}

struct section_walk {
	const struct record_facts *facts;
	struct verified_record *out;
	struct hash directory;
	const Poc__Item *item;
	size_t next; /* of item->sections */
	struct refusal *why;
};

static int check_section_bytes(struct section_walk *walk, const char *poc_id, const Poc__SectionRef *ref,
			       const struct hash *digest)
{
	const ProtobufCBinaryData *bytes = &walk->item->sections[walk->next];
	Poc__Section *section;
	int status = section_parse(bytes->data, bytes->len, &section, walk->why);

	if (status != 0)
		return unverified(walk->why, status);
	if (!section_matches(section, digest, &walk->directory, walk->out->name.text, poc_id, ref))
		status =
		    refuse(walk->why, STATUS_UNVERIFIED, ref->name,
			   "section %s of %s is not the one that the record names", ref->name, walk->out->name.text);
	message_free(section);
	walk->next++;
	return status;
}

/* One reference of the record: its section is the next of those that came, or it is rightly missing. */
static int check_reference(struct section_walk *walk, const char *poc_id, const Poc__SectionRef *ref)
{
	if (walk->next < walk->item->n_sections) {
		const ProtobufCBinaryData *bytes = &walk->item->sections[walk->next];
		struct hash digest = hash_section(bytes->data, bytes->len);
		if (memcmp(digest.bytes, ref->digest.data, HASH_SIZE) == 0)
			return check_section_bytes(walk, poc_id, ref, &digest);
	}
	if (poc_id[0] == '\0' && !asked_for(walk->facts, ref->name))
		return 0;
	if (section_entitled(ref->tlp, walk->facts->reader))
		return refuse(walk->why, STATUS_UNVERIFIED, ref->name,
			      "section %s of %s is missing, though this reader may see it", ref->name,
			      walk->out->name.text);
	walk->out->withheld++;
	return 0;
}

static int check_sections(const struct verified_head *head, const Poc__Item *item, const struct record_facts *facts,
			  struct verified_record *out, struct refusal *why)
{
	const Poc__Record *record = out->record->payload.record;
	struct section_walk walk = {facts, out, directory_of(head), item, 0, why};
	int status = 0;

	for (size_t i = 0; i < record->n_pocs && status == 0; i++) {
		const Poc__PointOfContact *poc = record->pocs[i];
		for (size_t j = 0; j < poc->n_sections && status == 0; j++)
			status = check_reference(&walk, poc->id, poc->sections[j]);
	}
	for (size_t i = 0; i < record->n_sections && status == 0; i++)
		status = check_reference(&walk, "", record->sections[i]);
	if (status == 0 && walk.next != item->n_sections)
		status = refuse(why, STATUS_UNVERIFIED, item->name,
				"%s has a section that its record does not name in this place", item->name);
	return status;
}

static int keep_sections(const Poc__Item *item, struct verified_record *out, struct refusal *why)
{
	size_t bytes = 0;

	for (size_t i = 0; i < item->n_sections; i++)
		bytes += item->sections[i].len;
	out->sections = malloc(item->n_sections * sizeof *out->sections + bytes + 1);
	if (out->sections == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	uint8_t *at = (uint8_t *)(out->sections + item->n_sections);
	for (size_t i = 0; i < item->n_sections; i++) {
		memcpy(at, item->sections[i].data, item->sections[i].len);
		out->sections[i] = (ProtobufCBinaryData){item->sections[i].len, at};
		at += item->sections[i].len;
	}
	out->n_sections = item->n_sections;
	return 0;
}

bool verify_suspended(const struct verified_head *head, const char *state, bool replaced)
{
	const Poc__Entry *entry = register_find(head->reg->payload.register_, state);

	return entry != NULL &&
	       (entry->suspended ||
		(trust_replacement(verified_head_trust(head)->payload.trust, state) != NULL && !replaced));
}

/* The state in S and T: known, suspended, replaced. */
static int check_state(const struct verified_head *head, const struct record_facts *facts, struct verified_record *out,
		       struct refusal *why)
{
	const char *state = out->name.state;
	const Poc__Entry *entry = register_find(head->reg->payload.register_, state);
	const Poc__Replacement *replacement = trust_replacement(verified_head_trust(head)->payload.trust, state);

	if (entry == NULL && (facts->keys != NULL || !out->absent))
		return refuse(why, STATUS_UNVERIFIED, out->name.text, "%s is not in the register of states", state);
	if (facts->keys != NULL && strcmp(facts->keys->name.state, state) != 0)
		return refuse(why, STATUS_UNVERIFIED, out->name.text, "the keys are of another state");
	if (facts->keys == NULL && !out->absent)
		return refuse(why, STATUS_UNVERIFIED, out->name.text, "a record without keys of %s", state);
	out->authority = facts->keys != NULL ? keys_authority(facts->keys->payload.keys) : (struct hash){{0}};
	out->enrolled = entry != NULL;
	out->replaced = replacement != NULL && facts->keys_replaced;
	out->suspended = verify_suspended(head, state, facts->keys_replaced);
	return 0;
}

static int take_record(const struct verified_head *head, const Poc__Item *item, const struct record_facts *facts,
		       struct verified_record *out, struct refusal *why)
{
	if (item->n_envelopes != 1)
		return refuse(why, STATUS_UNVERIFIED, item->name, "the record %s is missing", item->name);
	int status = verify_envelope(head, &out->name, &out->value, &item->envelopes[0], &out->record, why);
	if (status == 0)
		status = check_signer(head, facts, out, why);
	if (status == 0)
		status = check_sections(head, item, facts, out, why);
	if (status == 0)
		status = keep_sections(item, out, why);
	if (status == 0)
		out->withdrawn = out->record->payload.record->withdrawn;
	return status;
}

int verify_record(const struct verified_head *head, const Poc__Item *item, const struct record_facts *facts,
		  struct verified_record *out, struct refusal *why)
{
	struct verified_item proven;
	int status = verify_item(head, item, facts->complete, &proven, why);

	*out = (struct verified_record){0};
	if (status != 0)
		return status;
	out->name = proven.name;
	out->absent = proven.absent;
	out->value = proven.value;
	if (proven.name.kind != NAME_RECORD)
		return refuse(why, STATUS_UNVERIFIED, item->name, "not a record");
	status = check_state(head, facts, out, why);
	if (status == 0 && !out->absent)
		status = take_record(head, item, facts, out, why);
	if (status != 0)
		verified_record_finish(out);
	return status;
}

enum reader_class reader_class_of(const Poc__User *user, const char *own_state, const char *record_state)
{
	bool coordinator = user_has_role(user, POC__ROLE__ROLE_COORDINATOR);
	bool acts = coordinator || user_has_role(user, POC__ROLE__ROLE_OPERATOR);
	enum reader_class abroad = acts ? READER_OPERATOR : READER_PLAIN;

	if (strcmp(own_state, STATE_DIRECTORY) == 0)
		return user_has_role(user, POC__ROLE__ROLE_ADMIN) ? READER_OWN
		       : coordinator                              ? READER_OPERATOR
								  : READER_PLAIN;
	if (strcmp(own_state, record_state) == 0 && (acts || user_has_role(user, POC__ROLE__ROLE_READER)))
		return READER_OWN;
	return abroad;
}

/* ---- Pings */

int verify_pings(const struct verified_head *head, const struct envelope *staff, const struct verified_item *proven,
		 const ProtobufCBinaryData *bytes, struct verified_record *out, struct refusal *why)
{
	struct envelope *pings;
	int status = verify_envelope(head, &proven->name, &proven->value, bytes, &pings, why);

	if (status != 0)
		return status;
	/* Its key may be gone since: then it is no forgery, and nothing to rely on. */
	const Poc__Ping *last = staff != NULL && keys_coordinator_signed(verified_head_trust(head), staff, pings)
				    ? pings_last_answered(pings->payload.pings)
				    : NULL;
	if (last != NULL) {
		out->answered = last->answered;
		out->answered_automatically = last->automatic;
	}
	envelope_destroy(pings);
	return 0;
}

/* ---- Self-contained proofs */

int verify_saved(const struct verify_pins *pins, const uint8_t *bytes, size_t size, struct verified_head **head,
		 struct refusal *why)
{
	Poc__Proof *proof;
	int status = proof_decode(bytes, size, &proof, why);

	*head = NULL;
	return status != 0 ? status : verify_head(pins, NULL, 0, NULL, proof, head, why);
}

/* K of a state from the proof; *keys is borrowed from head until the next state's, NULL: absent. */
static int saved_keys(struct verified_head *head, const char *state, const struct envelope **keys, bool *replaced,
		      struct refusal *why)
{
	struct name name;
	struct verified_item proven;

	*keys = NULL;
	*replaced = false;
	if (!name_make(NAME_KEYS, state, NULL, &name))
		return refuse(why, STATUS_UNVERIFIED, state, "not a state");
	const Poc__Item *item = proof_item(head->proof, name.text);
	if (item == NULL && head->proof->complete)
		return 0;
	if (item == NULL)
		return refuse(why, STATUS_UNVERIFIED, name.text, "the proof lacks %s", name.text);
	if (head->keys == NULL || strcmp(head->keys->name.text, name.text) != 0) {
		int status = verify_item(head, item, head->proof->complete, &proven, why);
		if (status != 0 || proven.absent)
			return status;
		envelope_destroy(head->keys);
		status = verify_keys(head, &name, &proven.value, item->envelopes, item->n_envelopes, &head->keys,
				     &head->keys_replaced, why);
		if (status != 0)
			return status;
	}
	*keys = head->keys;
	*replaced = head->keys_replaced;
	return 0;
}

/* K/@directory from the proof, kept in head; stays NULL where it is absent. */
static int saved_staff(struct verified_head *head, struct refusal *why)
{
	struct name name;
	struct verified_item proven;
	const Poc__Item *item =
	    name_make(NAME_KEYS, STATE_DIRECTORY, NULL, &name) ? proof_item(head->proof, name.text) : NULL;

	if (head->staff != NULL || (item == NULL && head->proof->complete))
		return 0;
	if (item == NULL)
		return refuse(why, STATUS_UNVERIFIED, name.text, "the proof lacks %s", name.text);
	int status = verify_item(head, item, head->proof->complete, &proven, why);
	if (status != 0 || proven.absent)
		return status;
	return verify_keys(head, &name, &proven.value, item->envelopes, item->n_envelopes, &head->staff, NULL, why);
}

/* What P of the record's state says, where the proof has it. */
static int saved_pings(struct verified_head *head, const char *state, struct verified_record *out, struct refusal *why)
{
	struct name name;
	struct verified_item proven;
	const Poc__Item *item = name_make(NAME_PINGS, state, NULL, &name) ? proof_item(head->proof, name.text) : NULL;

	if (item == NULL)
		return 0;
	int status = verify_item(head, item, head->proof->complete, &proven, why);
	if (status != 0 || proven.absent)
		return status;
	if (item->n_envelopes == 0) /* or a state that answered would seem never to have */
		return refuse(why, STATUS_UNVERIFIED, name.text, "%s is missing", name.text);
	status = saved_staff(head, why);
	return status != 0 ? status : verify_pings(head, head->staff, &proven, &item->envelopes[0], out, why);
}

int verify_saved_envelope(struct verified_head *head, const struct name *name, struct verified_item *proven,
			  struct envelope **out, struct refusal *why)
{
	const Poc__Item *item = proof_item(head->proof, name->text);
	const struct envelope *keys;
	bool replaced;

	*out = NULL;
	*proven = (struct verified_item){.name = *name, .absent = true};
	if (item == NULL)
		return head->proof->complete
			   ? 0
			   : refuse(why, STATUS_NOT_FOUND, name->text, "the proof says nothing of %s", name->text);
	int status = verify_item(head, item, head->proof->complete, proven, why);
	if (status != 0 || proven->absent || item->n_envelopes == 0)
		return status;
	if (name->kind == NAME_REGISTER) /* verify_head has checked its signatures */
		return verify_envelope(head, name, &proven->value, &item->envelopes[0], out, why);
	if (name->kind != NAME_KEYS && name->kind != NAME_USERS && name->kind != NAME_DOCUMENT)
		return refuse(why, STATUS_UNVERIFIED, name->text, "%s cannot be in a proof", name->text);
	status = saved_keys(head, name->state, &keys, &replaced, why);
	if (status == 0 && keys == NULL)
		status = refuse(why, STATUS_UNVERIFIED, name->text, "%s without keys of its state", name->text);
	if (status != 0)
		return status;
	proven->suspended = verify_suspended(head, name->state, replaced);
	if (name->kind == NAME_KEYS)
		return envelope_parse(keys->bytes, keys->size, out, why);
	return verify_users(head, keys, name, &proven->value, &item->envelopes[0], out, why);
}

static int saved_unit_users(struct verified_head *head, const struct name *record, struct envelope **out,
			    struct refusal *why)
{
	struct name name;
	struct verified_item proven;

	*out = NULL;
	if (record->unit[0] == '\0' || !name_make(NAME_USERS, record->state, record->unit, &name) ||
	    proof_item(head->proof, name.text) == NULL)
		return 0;
	int status = verify_saved_envelope(head, &name, &proven, out, why);
	return status == STATUS_ORPHANS ? 0 : status; /* it has lapsed: nobody's signature counts by it */
}

int verify_saved_record(struct verified_head *head, const struct name *name, enum reader_class reader,
			struct verified_record *out, struct refusal *why)
{
	struct record_facts facts = {.reader = reader, .complete = head->proof->complete};
	const struct envelope *keys;
	struct envelope *unit_users = NULL;
	const Poc__Item *item = proof_item(head->proof, name->text);

	*out = (struct verified_record){.name = *name, .absent = true};
	if (item == NULL && !head->proof->complete)
		return refuse(why, STATUS_NOT_FOUND, name->text, "the proof says nothing of %s", name->text);
	int status = saved_keys(head, name->state, &keys, &facts.keys_replaced, why);
	facts.keys = keys;
	if (status == 0 && item == NULL) { /* the map was recomputed: a name that is not there is not registered */
		status = check_state(head, &facts, out, why);
		goto done;
	}
	if (status == 0)
		status = saved_unit_users(head, name, &unit_users, why);
	facts.unit_users = unit_users;
	if (status == 0)
		status = verify_record(head, item, &facts, out, why);
	if (status == 0 && name->unit[0] == '\0')
		status = saved_pings(head, name->state, out, why);
	if (status != 0)
		verified_record_finish(out);
done:
	envelope_destroy(unit_users);
	return status;
}

static int verify_one(struct verified_head *head, const Poc__Item *item, enum reader_class reader, struct refusal *why)
{
	struct verified_item proven;
	struct verified_record record;
	struct envelope *envelope;
	struct name name;

	if (!name_parse(item->name, &name))
		return refuse(why, STATUS_UNVERIFIED, item->name, "not a name of the directory");
	if (name.kind == NAME_TRUST || name.kind == NAME_REGISTER)
		return 0; /* by verify_head */
	if (name.kind == NAME_RECORD) {
		int status = verify_saved_record(head, &name, reader, &record, why);
		verified_record_finish(&record);
		return status == STATUS_ORPHANS ? 0 : status;
	}
	if (name.kind == NAME_PINGS) {
		record = (struct verified_record){0};
		return saved_pings(head, name.state, &record, why);
	}
	int status = verify_saved_envelope(head, &name, &proven, &envelope, why);
	envelope_destroy(envelope);
	return status == STATUS_ORPHANS ? 0 : status;
}

int verify_saved_all(struct verified_head *head, enum reader_class reader, struct refusal *why)
{
	int status = 0;

	for (size_t i = 0; i < head->proof->n_items && status == 0; i++)
		status = unverified(why, verify_one(head, head->proof->items[i], reader, why));
	return status;
}
