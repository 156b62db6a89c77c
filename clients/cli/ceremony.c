#include "clients/cli/ceremony.h"

#include <stdlib.h>
#include <string.h>

#include "clients/libpoc/proof.h"
#include "proto/rules/ceremony.pb-c.h"
#include "proto/rules/chain.h"
#include "proto/rules/rules.h"
#include "proto/rules/trust.h"
#include "proto/wire/prescan.h"

/* The proof and the envelopes are bytes here; each is pre-scanned by itself. */
static const struct prescan_limits limits = {.depth = 1, .fields = 8, .memory = 2 * CEREMONY_MAX};

void ceremony_finish(struct ceremony *ceremony)
{
	for (size_t i = 0; i < ceremony->n; i++)
		envelope_destroy(ceremony->proposals[i].envelope);
	envelope_destroy(ceremony->keys);
	verified_head_unref(ceremony->head);
	free(ceremony->proof);
	memset(ceremony, 0, sizeof *ceremony);
}

/* ---- Groups */

static int fill_group(struct ceremony_proposal *p, enum ceremony_role role, const struct envelope *of,
		      const struct envelope *trust, struct refusal *why)
{
	struct ceremony_group *group = &p->groups[p->n_groups++];
	const unsigned allowed = trust_algorithms(trust->payload.trust);
	Poc__Key *const *keys;
	struct public_key *list;

	*group = (struct ceremony_group){.role = role, .version = of->seq};
	if (role == CEREMONY_AUTHORITY) {
		keys = of->payload.keys->authority;
		group->n = of->payload.keys->n_authority;
		group->threshold = of->payload.keys->authority_threshold;
	} else if (role == CEREMONY_ROOT) {
		keys = of->payload.trust->root_keys;
		group->n = of->payload.trust->n_root_keys;
		group->threshold = of->payload.trust->root_threshold;
	} else {
		keys = of->payload.trust->enrolment_keys;
		group->n = of->payload.trust->n_enrolment_keys;
		group->threshold = of->payload.trust->enrolment_threshold;
	}
	int status = key_list_parse(keys, group->n, CEREMONY_KEYS_MAX, "keys", &list, why);
	if (status != 0)
		return status;
	for (size_t i = 0; i < group->n; i++) {
		struct key_list one = {&list[i], 1, 1};
		group->keys[i].key = list[i];
		group->keys[i].usable = list[i].algorithm != KEY_UNKNOWN && (allowed >> list[i].algorithm & 1) != 0;
		group->keys[i].has_signed = group->keys[i].usable && envelope_count(p->envelope, &one, allowed) == 1;
	}
	free(list);
	return 0;
}

/* Who is asked; afterwards every signature must be one of theirs: a file carries nothing that nobody has checked. */
static int fill_groups(struct ceremony *c, struct ceremony_proposal *p, struct refusal *why)
{
	const struct envelope *trust = verified_head_trust(c->head);
	int status;

	p->n_groups = 0;
	if (p->envelope->name.kind == NAME_TRUST) {
		status = fill_group(p, CEREMONY_ROOT, p->prev, trust, why);
		if (status == 0)
			status = fill_group(p, CEREMONY_ROOT, p->envelope, p->envelope, why);
	} else if (p->envelope->name.kind == NAME_REGISTER) {
		status = fill_group(p, CEREMONY_ENROLMENT, c->proposals[0].envelope, c->proposals[0].envelope, why);
	} else {
		status = fill_group(p, CEREMONY_AUTHORITY, p->prev, trust, why);
		if (status == 0)
			status = fill_group(p, CEREMONY_AUTHORITY, p->envelope, trust, why);
	}
	for (size_t i = 0; status == 0 && i < p->envelope->outer->n_signatures; i++) {
		const ProtobufCBinaryData *id = &p->envelope->outer->signatures[i]->key_id;
		bool good = false;
		for (size_t g = 0; g < p->n_groups && !good; g++) {
			for (size_t k = 0; k < p->groups[g].n && !good; k++)
				good = p->groups[g].keys[k].has_signed &&
				       memcmp(p->groups[g].keys[k].key.id.bytes, id->data, HASH_SIZE) == 0;
		}
		if (!good)
			status =
			    refuse(why, STATUS_UNVERIFIED, "signatures",
				   "a signature on %s is wrong, or by a key that is not asked", p->envelope->name.text);
	}
	return status;
}

unsigned ceremony_lacks(const struct ceremony_group *group)
{
	unsigned have = 0;

	for (size_t i = 0; i < group->n; i++)
		have += group->keys[i].has_signed;
	return have < group->threshold ? group->threshold - have : 0;
}

unsigned ceremony_missing(const struct ceremony *ceremony, bool waived)
{
	unsigned missing = 0;

	for (size_t i = 0; i < ceremony->n; i++) {
		const struct ceremony_proposal *p = &ceremony->proposals[i];
		for (size_t g = 0; g < p->n_groups; g++) {
			const bool old_authority = p->groups[g].role == CEREMONY_AUTHORITY && g == 0;
			missing += waived && old_authority ? 0 : ceremony_lacks(&p->groups[g]);
		}
	}
	return missing;
}

/* ---- Reading */

static bool same_entry(const Poc__Entry *a, const Poc__Entry *b)
{
	uint8_t *x = NULL, *y = NULL;
	size_t x_size = 0, y_size = 0;
	const bool same = message_encode(a, &x, &x_size) == 0 && message_encode(b, &y, &y_size) == 0 &&
			  x_size == y_size && memcmp(x, y, x_size) == 0;

	free(x);
	free(y);
	return same;
}

/* S goes with a T only to be signed anew: that it says the same needs no trust in whoever drafted it. */
static int check_same_register(const struct envelope *old, const struct envelope *new, struct refusal *why)
{
	const Poc__Register *a = old->payload.register_, *b = new->payload.register_;
	bool same = a->n_entries == b->n_entries;

	for (size_t i = 0; i < a->n_entries && same; i++)
		same = same_entry(a->entries[i], b->entries[i]);
	return same ? 0 : refuse(why, STATUS_INVALID, "S", "the proposed S is not the current one signed anew");
}

static int check_continues(const struct ceremony *c, const struct ceremony_proposal *p, struct refusal *why)
{
	const struct envelope *first = c->head->trust[0], *next = p->envelope, *prev = p->prev;
	const struct hash directory = trust_directory_id(first);

	if (hash_compare(&next->directory_id, &directory) != 0)
		return refuse(why, STATUS_UNVERIFIED, "head.directory_id", "%s belongs to another directory",
			      next->name.text);
	if (next->seq != prev->seq + 1 || hash_compare(&next->prev, &prev->value) != 0)
		return refuse(why, STATUS_CONFLICT, "head.prev",
			      "%s does not follow the version %llu that the file shows as current", next->name.text,
			      (unsigned long long)prev->seq);
	if (next->name.kind == NAME_TRUST)
		return trust_continues(prev, next, why);
	return next->name.kind == NAME_REGISTER ? check_same_register(prev, next, why) : 0;
}

/* The proof holds T and S, and of a K ceremony that K: nothing that nobody looks at. */
static int read_keys(struct ceremony *c, const struct name *name, struct refusal *why)
{
	struct verified_item item;
	const size_t wanted = name != NULL ? 3 : 2;

	if (c->head->proof->complete || c->head->proof->n_items != wanted)
		return refuse(why, STATUS_INVALID, "proof", "the proof is of more or less than the proposals need");
	if (name == NULL)
		return 0;
	int status = verify_saved_envelope(c->head, name, &item, &c->keys, why);
	if (status == 0 && c->keys == NULL)
		status = refuse(why, STATUS_INVALID, "proof", "there is no %s yet", name->text);
	return status;
}

static int read_proposal(struct ceremony *c, const ProtobufCBinaryData *bytes, struct refusal *why)
{
	struct ceremony_proposal *p = &c->proposals[c->n];
	int status = envelope_parse_proposed(bytes->data, bytes->len, &p->envelope, why);

	if (status != 0)
		return status;
	c->n++;
	const enum name_kind kind = p->envelope->name.kind;
	if (!(c->n == 1 && (kind == NAME_TRUST || kind == NAME_KEYS)) &&
	    !(c->n == 2 && kind == NAME_REGISTER && c->proposals[0].envelope->name.kind == NAME_TRUST))
		return refuse(why, STATUS_INVALID, "proposals", "a ceremony is of T, of T and S, or of one K");
	if (c->n == 1)
		status = read_keys(c, kind == NAME_KEYS ? &p->envelope->name : NULL, why);
	if (status != 0)
		return status;
	p->prev = kind == NAME_TRUST ? verified_head_trust(c->head) : kind == NAME_REGISTER ? c->head->reg : c->keys;
	status = check_continues(c, p, why);
	return status != 0 ? status : fill_groups(c, p, why);
}

static int read_parts(const struct verify_pins *pins, const Poc__Ceremony *message, struct ceremony *c,
		      struct refusal *why)
{
	if (message->version != 1)
		return refuse(why, STATUS_INVALID, "version", "version %u is not known here", message->version);
	if (message->n_proposals == 0 || message->n_proposals > CEREMONY_PROPOSALS_MAX)
		return refuse(why, STATUS_INVALID, "proposals", "1 to %d proposals", CEREMONY_PROPOSALS_MAX);
	int status = verify_saved(pins, message->proof.data, message->proof.len, &c->head, why);
	if (status != 0)
		return status;
	c->proof = malloc(message->proof.len);
	if (c->proof == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	memcpy(c->proof, message->proof.data, message->proof.len);
	c->proof_size = message->proof.len;
	for (size_t i = 0; i < message->n_proposals && status == 0; i++)
		status = read_proposal(c, &message->proposals[i], why);
	return status;
}

int ceremony_read(const struct verify_pins *pins, const uint8_t *bytes, size_t size, struct ceremony *out,
		  struct refusal *why)
{
	ProtobufCMessage *message;

	memset(out, 0, sizeof *out);
	if (size == 0 || size > CEREMONY_MAX)
		return refuse(why, STATUS_TOO_LARGE, "", "a ceremony file has 1 to %d bytes", CEREMONY_MAX);
	if (message_decode(&poc__ceremony__descriptor, bytes, size, &limits, &message, why) != 0)
		return refuse(why, STATUS_INVALID, "", "not a ceremony file");
	const int status = read_parts(pins, (const Poc__Ceremony *)message, out, why);
	message_free(message);
	if (status != 0)
		ceremony_finish(out);
	return status;
}

/* ---- Writing */

int ceremony_encode(const uint8_t *proof, size_t proof_size, const ProtobufCBinaryData *proposals, size_t n,
		    uint8_t **bytes, size_t *size)
{
	Poc__Ceremony message = POC__CEREMONY__INIT;

	message.version = 1;
	message.proof = (ProtobufCBinaryData){proof_size, (uint8_t *)proof};
	message.proposals = (ProtobufCBinaryData *)proposals;
	message.n_proposals = n;
	return message_encode(&message, bytes, size);
}

int ceremony_write(const struct ceremony *ceremony, uint8_t **bytes, size_t *size, struct refusal *why)
{
	ProtobufCBinaryData list[CEREMONY_PROPOSALS_MAX];

	for (size_t i = 0; i < ceremony->n; i++)
		list[i] = (ProtobufCBinaryData){ceremony->proposals[i].envelope->size,
						(uint8_t *)ceremony->proposals[i].envelope->bytes};
	return ceremony_encode(ceremony->proof, ceremony->proof_size, list, ceremony->n, bytes, size) == 0
		   ? 0
		   : refuse(why, STATUS_NO_MEMORY, "", "out of memory");
}

/* ---- Signing */

/* What a proposal wants of a key. */
enum wanted { NOT_ASKED, HAS_SIGNED, NOT_NEEDED, WANTED };

static enum wanted wanted_of(const struct ceremony_proposal *p, const struct hash *id)
{
	enum wanted wanted = NOT_ASKED;

	for (size_t g = 0; g < p->n_groups; g++) {
		for (size_t k = 0; k < p->groups[g].n; k++) {
			const struct ceremony_key *key = &p->groups[g].keys[k];
			if (!key->usable || hash_compare(&key->key.id, id) != 0)
				continue;
			if (key->has_signed)
				return HAS_SIGNED;
			if (wanted != WANTED)
				wanted = ceremony_lacks(&p->groups[g]) > 0 ? WANTED : NOT_NEEDED;
		}
	}
	return wanted;
}

/* Puts an envelope with more signatures in the place of a proposal's. */
static int replace_envelope(struct ceremony *c, size_t i, const uint8_t *bytes, size_t size, struct refusal *why)
{
	struct ceremony_proposal *p = &c->proposals[i];
	struct envelope *next;
	int status = envelope_parse_proposed(bytes, size, &next, why);

	if (status != 0)
		return status;
	envelope_destroy(p->envelope);
	p->envelope = next;
	for (size_t k = i; k < c->n && status == 0; k++) /* S is judged by the keys of the T before it */
		status = fill_groups(c, &c->proposals[k], why);
	return status;
}

int ceremony_sign(struct ceremony *ceremony, const struct keystore_key *key, struct refusal *why)
{
	const struct hash *id = &keystore_public(key)->id;
	enum wanted best = NOT_ASKED;
	int status = 0;

	for (size_t i = 0; i < ceremony->n && status == 0; i++) {
		const struct envelope *e = ceremony->proposals[i].envelope;
		const enum wanted wanted = wanted_of(&ceremony->proposals[i], id);
		uint8_t *bytes;
		size_t size;
		if (wanted > best)
			best = wanted;
		if (wanted != WANTED)
			continue;
		status = envelope_add_signature(e->bytes, e->size, key, &bytes, &size, why);
		if (status == 0)
			status = replace_envelope(ceremony, i, bytes, size, why);
		free(bytes);
	}
	if (status != 0 || best == WANTED)
		return status;
	return refuse(why, STATUS_DENIED, "",
		      best == HAS_SIGNED   ? "this key has signed already"
		      : best == NOT_NEEDED ? "enough keys of its group have signed: this one is not needed"
					   : "this key is not one that is asked to sign");
}

static int merge_one(struct ceremony *c, size_t i, const struct envelope *other, struct refusal *why)
{
	Poc__Envelope outer = *c->proposals[i].envelope->outer;
	Poc__Signature *all[2 * ENVELOPE_SIGNATURES_MAX];
	uint8_t *bytes;
	size_t size;

	for (size_t k = 0; k < outer.n_signatures; k++)
		all[k] = outer.signatures[k];
	for (size_t k = 0; k < other->outer->n_signatures; k++) {
		Poc__Signature *s = other->outer->signatures[k];
		struct hash id;
		memcpy(id.bytes, s->key_id.data, HASH_SIZE);
		if (wanted_of(&c->proposals[i], &id) != HAS_SIGNED && outer.n_signatures < ENVELOPE_SIGNATURES_MAX)
			all[outer.n_signatures++] = s;
	}
	outer.signatures = all;
	if (message_encode(&outer, &bytes, &size) != 0)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	const int status = replace_envelope(c, i, bytes, size, why);
	free(bytes);
	return status;
}

int ceremony_merge(struct ceremony *ceremony, const struct ceremony *other, struct refusal *why)
{
	bool same = ceremony->n == other->n;
	int status = 0;

	for (size_t i = 0; i < ceremony->n && same; i++)
		same = hash_compare(&ceremony->proposals[i].envelope->payload_hash,
				    &other->proposals[i].envelope->payload_hash) == 0;
	if (!same)
		return refuse(why, STATUS_INVALID, "", "the copies propose different things");
	for (size_t i = 0; i < ceremony->n && status == 0; i++)
		status = merge_one(ceremony, i, other->proposals[i].envelope, why);
	return status;
}

/* ---- Judging */

bool ceremony_enrolled(const struct envelope *trust, const struct envelope *reg)
{
	const Poc__Trust *t = trust->payload.trust;
	struct public_key *keys;

	if (key_list_parse(t->enrolment_keys, t->n_enrolment_keys, CEREMONY_KEYS_MAX, "enrolment_keys", &keys, NULL) !=
	    0)
		return false;
	const struct key_list list = {keys, t->n_enrolment_keys, t->enrolment_threshold};
	const bool good = envelope_signed_by(reg, &list, trust_algorithms(t));
	free(keys);
	return good;
}

static int check_thresholds(const struct ceremony_group *group, const char *what, struct refusal *why)
{
	unsigned usable = 0;

	for (size_t i = 0; i < group->n; i++)
		usable += group->keys[i].usable;
	return group->threshold <= usable
		   ? 0
		   : refuse(why, STATUS_INVALID, what, "nobody could meet %s: %u of %u keys that count", what,
			    group->threshold, usable);
}

int ceremony_check(const struct ceremony *ceremony, int64_t now, struct refusal *why)
{
	const struct ceremony_proposal *p = &ceremony->proposals[0];
	struct ceremony_proposal enrolment = {.envelope = ceremony->head->reg};
	const struct envelope *next = p->envelope;
	int status = check_thresholds(
	    &p->groups[1], next->name.kind == NAME_TRUST ? "the root threshold" : "the authority threshold", why);

	if (status != 0 || next->name.kind != NAME_TRUST)
		return status;
	if (next->payload.trust->expires <= now)
		return refuse(why, STATUS_INVALID, "expires", "the proposed T has expired: draft another");
	status = fill_group(&enrolment, CEREMONY_ENROLMENT, next, next, why);
	if (status == 0)
		status = check_thresholds(&enrolment.groups[0], "the enrolment threshold", why);
	if (status == 0 && ceremony->n == 1 && !ceremony_enrolled(next, ceremony->head->reg))
		status = refuse(why, STATUS_ORPHANS, "S",
				"T would leave S without enough enrolment signatures: S must be signed anew with it");
	return status;
}
