#include "proto/rules/chain.h"

#include <stdlib.h>
#include <string.h>

#include "proto/rules/keys.h"
#include "proto/rules/record.h"
#include "proto/rules/register.h"
#include "proto/rules/rules.h"
#include "proto/rules/trust.h"
#include "proto/rules/users.h"

static int follows(const struct envelope *trust, const struct envelope *prev, const struct envelope *next,
		   struct refusal *why)
{
	struct hash directory = trust->seq == 1 ? trust_directory_id(trust) : trust->directory_id;

	if (hash_compare(&next->directory_id, &directory) != 0)
		return refuse(why, STATUS_UNVERIFIED, "head.directory_id", "%s belongs to another directory",
			      next->name.text);
	if (next->seq != (prev != NULL ? prev->seq + 1 : 1))
		return refuse(why, STATUS_CONFLICT, "head.seq", "%s is version %llu, the next one is %llu",
			      next->name.text, (unsigned long long)next->seq,
			      (unsigned long long)(prev != NULL ? prev->seq + 1 : 1));
	if (prev != NULL &&
	    (hash_compare(&next->prev, &prev->value) != 0 || strcmp(next->name.text, prev->name.text) != 0))
		return refuse(why, STATUS_CONFLICT, "head.prev", "%s does not replace the current version",
			      next->name.text);
	return 0;
}

static bool signed_by_root(const struct envelope *by, const struct envelope *envelope)
{
	const Poc__Trust *trust = by->payload.trust;
	struct public_key *keys = key_list_again(trust->root_keys, trust->n_root_keys);

	if (keys == NULL)
		return false;
	struct key_list list = {keys, trust->n_root_keys, trust->root_threshold};
	bool good = envelope_signed_by(envelope, &list, trust_algorithms(trust));
	free(keys);
	return good;
}

int trust_delays(const struct envelope *prev, const struct envelope *next, int64_t now, struct refusal *why)
{
	const Poc__Trust *trust = next->payload.trust;

	for (size_t i = 0; i < trust->n_replaced; i++) {
		const Poc__Replacement *r = trust->replaced[i];
		const Poc__Replacement *old =
		    prev != NULL ? trust_replaces(prev->payload.trust, r->state, r->keys.data) : NULL;
		if (old != NULL && old->not_before == r->not_before)
			continue;
		uint32_t delay = prev != NULL ? prev->payload.trust->replacement_delay : trust->replacement_delay;
		if (r->not_before - now < (int64_t)delay)
			return refuse(why, STATUS_INVALID, "replaced", "%s: not_before lies less than %u s ahead",
				      r->state, delay);
	}
	return 0;
}

int trust_continues(const struct envelope *prev, const struct envelope *next, struct refusal *why)
{
	if (next->name.kind != NAME_TRUST || next->seq != (prev != NULL ? prev->seq + 1 : 1))
		return refuse(why, STATUS_UNVERIFIED, "head.seq", "T does not follow the one before");
	if (prev != NULL && hash_compare(&next->prev, &prev->value) != 0)
		return refuse(why, STATUS_UNVERIFIED, "head.prev", "T does not follow the one before");
	if (prev != NULL) {
		struct hash id = prev->seq == 1 ? trust_directory_id(prev) : prev->directory_id;
		if (hash_compare(&next->directory_id, &id) != 0)
			return refuse(why, STATUS_UNVERIFIED, "head.directory_id", "T of another directory");
		if (strcmp(prev->payload.trust->origin, next->payload.trust->origin) != 0)
			return refuse(why, STATUS_UNVERIFIED, "origin", "the origin never changes");
	}
	return trust_delays(prev, next, next->payload.trust->issued, why);
}

int trust_accepts(const struct envelope *prev, const struct envelope *next, struct refusal *why)
{
	int status = trust_continues(prev, next, why);

	if (status != 0)
		return status;
	if (prev != NULL && !signed_by_root(prev, next))
		return refuse(why, STATUS_UNVERIFIED, "signatures", "too few root signatures of T(%llu)",
			      (unsigned long long)prev->seq);
	if (!signed_by_root(next, next))
		return refuse(why, STATUS_UNVERIFIED, "signatures", "too few root signatures of T(%llu)",
			      (unsigned long long)next->seq);
	return 0;
}

static bool same_keys(Poc__Key *const *a, size_t n_a, Poc__Key *const *b, size_t n_b)
{
	bool same = n_a == n_b;

	for (size_t i = 0; i < n_a && same; i++)
		same =
		    a[i]->spki.len == b[i]->spki.len && memcmp(a[i]->spki.data, b[i]->spki.data, a[i]->spki.len) == 0;
	return same;
}

bool trust_same_signers(const struct envelope *prev, const struct envelope *next)
{
	const Poc__Trust *a = prev->payload.trust, *b = next->payload.trust;

	return a->root_threshold == b->root_threshold && trust_algorithms(a) == trust_algorithms(b) &&
	       same_keys(a->root_keys, a->n_root_keys, b->root_keys, b->n_root_keys);
}

struct hash trust_directory_id(const struct envelope *first)
{
	return first->payload_hash;
}

static int check_kept(const Poc__Register *old, const Poc__Register *new, struct refusal *why)
{
	for (size_t i = 0; i < old->n_entries; i++) {
		const Poc__Entry *before = old->entries[i];
		const Poc__Entry *after = register_find(new, before->state);
		if (after == NULL)
			return refuse(why, STATUS_UNVERIFIED, "entries", "%s vanished", before->state);
		if (memcmp(before->anchor.data, after->anchor.data, HASH_SIZE) != 0)
			return refuse(why, STATUS_UNVERIFIED, "entries", "the anchor of %s changed", before->state);
	}
	return 0;
}

int register_accepts(const struct envelope *trust, const struct envelope *prev, const struct envelope *next,
		     struct refusal *why)
{
	const Poc__Trust *t = trust->payload.trust;
	int status = follows(trust, prev, next, why);

	if (status != 0)
		return status;
	struct public_key *keys = key_list_again(t->enrolment_keys, t->n_enrolment_keys);
	if (keys == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	struct key_list list = {keys, t->n_enrolment_keys, t->enrolment_threshold};
	if (!envelope_signed_by(next, &list, trust_algorithms(t)))
		status = refuse(why, STATUS_UNVERIFIED, "signatures", "too few signatures by enrolment keys");
	free(keys);
	if (status == 0 && prev != NULL)
		status = check_kept(prev->payload.register_, next->payload.register_, why);
	return status;
}

static bool authority_signed(const struct envelope *trust, const struct envelope *keys, const struct envelope *envelope)
{
	const Poc__Keys *k = keys->payload.keys;
	struct public_key *list = key_list_again(k->authority, k->n_authority);

	if (list == NULL)
		return false;
	struct key_list authority = {list, k->n_authority, k->authority_threshold};
	bool good = envelope_signed_by(envelope, &authority, trust_algorithms(trust->payload.trust));
	free(list);
	return good;
}

static const Poc__Replacement *replacement_by(const struct envelope *trust, const struct envelope *next)
{
	return trust_replaces(trust->payload.trust, next->name.state, next->payload_hash.bytes);
}

int keys_continues(const struct envelope *trust, const struct envelope *reg, const struct envelope *prev,
		   const struct envelope *next, int64_t state_time, struct refusal *why)
{
	const Poc__Entry *entry = register_find(reg->payload.register_, next->name.state);
	const Poc__Replacement *replaced = replacement_by(trust, next);
	int status = follows(trust, prev, next, why);

	if (status != 0)
		return status;
	if (entry == NULL)
		return refuse(why, STATUS_UNVERIFIED, "head.name", "%s is not in the register", next->name.state);
	if (prev == NULL && memcmp(entry->anchor.data, next->payload_hash.bytes, HASH_SIZE) != 0)
		return refuse(why, STATUS_UNVERIFIED, "head.name", "K(1) is not the one that the register anchors");
	if (prev != NULL && replaced != NULL && state_time < replaced->not_before)
		return refuse(why, STATUS_UNVERIFIED, "head.name", "the council's replacement does not count yet");
	return 0;
}

int keys_accepts(const struct envelope *trust, const struct envelope *reg, const struct envelope *prev,
		 const struct envelope *next, int64_t state_time, struct refusal *why)
{
	int status = keys_continues(trust, reg, prev, next, state_time, why);

	if (status != 0)
		return status;
	if (!authority_signed(trust, next, next))
		return refuse(why, STATUS_UNVERIFIED, "signatures",
			      "too few signatures by the authority keys that K lists");
	if (prev != NULL && replacement_by(trust, next) == NULL && !authority_signed(trust, prev, next))
		return refuse(why, STATUS_UNVERIFIED, "signatures", "too few signatures by the authority keys before");
	return 0;
}

bool keys_same_signers(const struct envelope *trust, const struct envelope *prev, const struct envelope *next,
		       const struct envelope *after)
{
	const Poc__Keys *a = prev->payload.keys, *b = next->payload.keys;

	return a->authority_threshold == b->authority_threshold && replacement_by(trust, next) == NULL &&
	       replacement_by(trust, after) == NULL &&
	       same_keys(a->authority, a->n_authority, b->authority, b->n_authority);
}

bool keys_coordinator_signed(const struct envelope *trust, const struct envelope *keys, const struct envelope *envelope)
{
	const Poc__Keys *k = keys->payload.keys;
	struct public_key *list = key_list_again(k->coordinators, k->n_coordinators);

	if (list == NULL)
		return false;
	struct key_list coordinators = {list, k->n_coordinators, 1};
	bool good = envelope_signed_by(envelope, &coordinators, trust_algorithms(trust->payload.trust));
	free(list);
	return good;
}

int users_accepts(const struct envelope *trust, const struct envelope *keys, const struct envelope *prev,
		  const struct envelope *next, struct refusal *why)
{
	int status = follows(trust, prev, next, why);

	if (status != 0)
		return status;
	if (!keys_coordinator_signed(trust, keys, next))
		return refuse(why, STATUS_UNVERIFIED, "signatures",
			      "not signed by a coordinator key in the current K/%s", next->name.state);
	return 0;
}

int pings_accepts(const struct envelope *trust, const struct envelope *staff, const struct envelope *prev,
		  const struct envelope *next, struct refusal *why)
{
	int status = follows(trust, prev, next, why);

	if (status != 0)
		return status;
	if (!keys_coordinator_signed(trust, staff, next))
		return refuse(why, STATUS_UNVERIFIED, "signatures",
			      "not signed by a coordinator key in the current K/%s", STATE_DIRECTORY);
	return 0;
}

static bool editor_signed(const struct envelope *trust, const struct envelope *unit_users,
			  const struct envelope *envelope)
{
	const Poc__Users *users = unit_users->payload.users;
	struct public_key *list = key_list_again(users->editors, users->n_editors);

	if (list == NULL)
		return false;
	struct key_list editors = {list, users->n_editors, 1};
	bool good = envelope_signed_by(envelope, &editors, trust_algorithms(trust->payload.trust));
	free(list);
	return good;
}

int record_accepts(const struct envelope *trust, const struct envelope *keys, const struct envelope *unit_users,
		   const struct envelope *prev, const struct envelope *next, struct refusal *why)
{
	int status = follows(trust, prev, next, why);

	if (status != 0)
		return status;
	if (keys_coordinator_signed(trust, keys, next))
		return 0;
	if (next->name.unit[0] != '\0' && unit_users != NULL && editor_signed(trust, unit_users, next))
		return 0;
	return refuse(why, STATUS_UNVERIFIED, "signatures", "not signed by a coordinator key in the current K/%s%s",
		      next->name.state, next->name.unit[0] != '\0' ? " or an editor key of the unit" : "");
}
