#include "pocd/directory/judge.h"

#include <stdlib.h>
#include <string.h>

#include "proto/rules/chain.h"
#include "proto/rules/register.h"
#include "proto/rules/rules.h"
#include "proto/rules/trust.h"

/* What every kind shares: the version replaces the current one. */
static int check_place(const struct judge_facts *facts, const struct envelope *next, struct refusal *why)
{
	uint64_t seq = facts->prev != NULL ? facts->prev->seq : 0;

	if (next->seq != seq + 1)
		return refuse(why, STATUS_CONFLICT, "head.seq", "%s is at version %llu, this is version %llu",
			      next->name.text, (unsigned long long)seq, (unsigned long long)next->seq);
	if (facts->prev != NULL && hash_compare(&next->prev, &facts->prev->value) != 0)
		return refuse(why, STATUS_CONFLICT, "head.prev", "%s does not replace the current version",
			      next->name.text);
	return 0;
}

/* Whoever stole an authority could put one K after the other before the council's, which then would never follow. */
static int check_replacing(const struct judge_facts *facts, const struct envelope *next, struct refusal *why)
{
	const Poc__Replacement *replacement = trust_replacement(facts->trust->payload.trust, next->name.state);

	if (!facts->replacing || replacement == NULL ||
	    memcmp(replacement->keys.data, next->payload_hash.bytes, HASH_SIZE) == 0)
		return 0;
	return refuse(why, STATUS_SUSPENDED, "head.name",
		      "the council replaces the authority of %s: until then %s does not change", next->name.state,
		      next->name.text);
}

static int check_state(const struct judge_facts *facts, const struct envelope *next, struct refusal *why)
{
	if (facts->reg == NULL || register_find(facts->reg->payload.register_, next->name.state) == NULL)
		return refuse(why, STATUS_UNVERIFIED, "head.name", "%s is not in the register", next->name.state);
	if (next->name.kind == NAME_KEYS)
		return check_replacing(facts, next, why);
	if (facts->suspended)
		return refuse(why, STATUS_SUSPENDED, "head.name", "%s is suspended", name_authority(&next->name));
	if (facts->keys == NULL)
		return refuse(why, STATUS_UNVERIFIED, "head.name", "%s has no keys yet", name_authority(&next->name));
	return 0;
}

/* A unit's U that has lapsed lists no editors. */
static int judge_record(const struct envelope *trust, const struct envelope *keys, const struct envelope *unit_users,
			const struct envelope *prev, const struct envelope *next, struct refusal *why)
{
	if (record_accepts(trust, keys, NULL, prev, next, NULL) == 0)
		return 0;
	if (unit_users != NULL && !keys_coordinator_signed(trust, keys, unit_users))
		unit_users = NULL;
	return record_accepts(trust, keys, unit_users, prev, next, why);
}

int judge(const struct judge_facts *facts, const struct envelope *next, struct refusal *why)
{
	int status = check_place(facts, next, why);

	if (status != 0)
		return status;
	if (next->name.kind == NAME_TRUST) {
		status = trust_accepts(facts->prev, next, why);
		/* who signs T says when it was issued; the log says when it came */
		return status != 0 || facts->prev == NULL ? status : trust_delays(facts->prev, next, facts->time, why);
	}
	if (facts->trust == NULL)
		return refuse(why, STATUS_UNVERIFIED, "head.name", "there is no trust root yet");
	if (next->name.kind == NAME_REGISTER)
		return register_accepts(facts->trust, facts->prev, next, why);
	status = check_state(facts, next, why);
	if (status != 0)
		return status;
	switch (next->name.kind) {
	case NAME_KEYS:
		return keys_accepts(facts->trust, facts->reg, facts->prev, next, facts->time, why);
	case NAME_USERS:
	case NAME_DOCUMENT:
		return users_accepts(facts->trust, facts->keys, facts->prev, next, why);
	case NAME_RECORD:
		return judge_record(facts->trust, facts->keys, facts->unit_users, facts->prev, next, why);
	case NAME_PINGS:
		return pings_accepts(facts->trust, facts->keys, facts->prev, next, why);
	default:
		return refuse(why, STATUS_INVALID, "head.name", "reserved");
	}
}

bool judge_authorised(const struct envelope *trust, const struct envelope *keys, const struct envelope *unit_users,
		      const struct envelope *envelope)
{
	struct envelope prev = {.name = envelope->name, .seq = envelope->seq - 1, .value = envelope->prev};
	const struct envelope *before = envelope->seq > 1 ? &prev : NULL;

	if (keys == NULL)
		return false;
	if (envelope->name.kind == NAME_USERS || envelope->name.kind == NAME_DOCUMENT)
		return users_accepts(trust, keys, before, envelope, NULL) == 0;
	return judge_record(trust, keys, unit_users, before, envelope, NULL) == 0;
}

bool judge_enrolled(const struct envelope *trust, const struct envelope *reg)
{
	const Poc__Trust *t = trust->payload.trust;
	struct public_key *keys;

	if (key_list_parse(t->enrolment_keys, t->n_enrolment_keys, ENVELOPE_SIGNATURES_MAX, "enrolment_keys", &keys,
			   NULL) != 0)
		return false;
	struct key_list list = {keys, t->n_enrolment_keys, t->enrolment_threshold};
	bool good = envelope_signed_by(reg, &list, trust_algorithms(t));
	free(keys);
	return good;
}
