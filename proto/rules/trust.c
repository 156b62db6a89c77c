#include "proto/rules/trust.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/rules/rules.h"

enum { LOG_KEYS_MAX = 4, ROOT_KEYS_MAX = 16, AUDITORS_MAX = 16, ALGORITHMS_MAX = 16, REPLACED_MAX = 64 };

static int check_origin(const char *origin, struct refusal *why)
{
	size_t length = strlen(origin);

	if (length == 0 || length > NOTE_NAME_MAX)
		return refuse(why, STATUS_INVALID, "origin", "must have 1 to %d bytes", NOTE_NAME_MAX);
	for (size_t i = 0; i < length; i++) {
		if (origin[i] <= ' ' || origin[i] > '~' || origin[i] == '+')
			return refuse(why, STATUS_INVALID, "origin", "must be printable ASCII without space or plus");
	}
	return 0;
}

static int check_keys(Poc__Key *const *keys, size_t n, size_t max, bool only_ed25519, unsigned threshold,
		      const char *field, struct refusal *why)
{
	struct public_key *list;
	size_t known = 0;
	int status = key_list_parse(keys, n, max, field, &list, why);

	if (status != 0)
		return status;
	for (size_t i = 0; i < n && status == 0; i++) {
		if (only_ed25519 && list[i].algorithm != KEY_ED25519)
			status = refuse(why, STATUS_INVALID, field, "must be Ed25519");
		known += list[i].algorithm != KEY_UNKNOWN;
	}
	free(list);
	if (status == 0 && (threshold == 0 || threshold > known))
		status = refuse(why, STATUS_INVALID, field, "a threshold of %u cannot be met by %zu usable keys",
				threshold, known);
	return status;
}

static int check_auditors(const Poc__Trust *trust, struct refusal *why)
{
	char field[40];
	struct public_key key;
	struct note_key line;

	if (trust->n_auditors > AUDITORS_MAX)
		return refuse(why, STATUS_INVALID, "auditors", "at most %d", AUDITORS_MAX);
	for (size_t i = 0; i < trust->n_auditors; i++) {
		const Poc__Auditor *a = trust->auditors[i];
		snprintf(field, sizeof field, "auditors[%zu]", i);
		int status = public_key_parse(a->spki.data, a->spki.len, &key, why);
		if (status != 0)
			return status;
		if (key.algorithm != KEY_ED25519 || !state_valid(a->state) ||
		    note_key_init(&line, a->name, NOTE_COSIGNATURE, public_key_raw_ed25519(&key)) != 0)
			return refuse(why, STATUS_INVALID, field,
				      "needs a name without space or plus, an Ed25519 key and a state");
		for (size_t j = 0; j < i; j++) {
			const Poc__Auditor *b = trust->auditors[j];
			if (strcmp(a->name, b->name) == 0 ||
			    (a->spki.len == b->spki.len && memcmp(a->spki.data, b->spki.data, a->spki.len) == 0))
				return refuse(why, STATUS_INVALID, field, "the same name or key twice");
		}
	}
	if (trust->quorum > trust->n_auditors)
		return refuse(why, STATUS_INVALID, "quorum", "more than there are auditors");
	return 0;
}

static int check_replaced(const Poc__Trust *trust, struct refusal *why)
{
	char field[40];

	if (trust->n_replaced > REPLACED_MAX)
		return refuse(why, STATUS_INVALID, "replaced", "at most %d", REPLACED_MAX);
	for (size_t i = 0; i < trust->n_replaced; i++) {
		const Poc__Replacement *r = trust->replaced[i];
		snprintf(field, sizeof field, "replaced[%zu]", i);
		if (!state_valid(r->state) || r->keys.len != HASH_SIZE || r->not_before <= 0)
			return refuse(why, STATUS_INVALID, field, "needs a state, a hash of 32 bytes and a time");
		const Poc__Replacement *before = i > 0 ? trust->replaced[i - 1] : NULL;
		const int order = before != NULL ? strcmp(before->state, r->state) : -1;
		if (order > 0 || (order == 0 && before->not_before >= r->not_before))
			return refuse(why, STATUS_INVALID, field, "must be ascending by state and not_before");
		for (size_t k = 0; k < i; k++) {
			if (memcmp(trust->replaced[k]->keys.data, r->keys.data, HASH_SIZE) == 0)
				return refuse(why, STATUS_INVALID, field, "one K replaces twice");
		}
	}
	return 0;
}

static int check_algorithms(const Poc__Trust *trust, struct refusal *why)
{
	if (trust->n_algorithms == 0 || trust->n_algorithms > ALGORITHMS_MAX)
		return refuse(why, STATUS_INVALID, "algorithms", "1 to %d", ALGORITHMS_MAX);
	for (size_t i = 0; i < trust->n_algorithms; i++) {
		if (strlen(trust->algorithms[i]) == 0 || strlen(trust->algorithms[i]) > 64)
			return refuse(why, STATUS_INVALID, "algorithms", "a name has 1 to 64 characters");
		if (i > 0 && strcmp(trust->algorithms[i - 1], trust->algorithms[i]) >= 0)
			return refuse(why, STATUS_INVALID, "algorithms", "must be ascending");
	}
	if (trust_algorithms(trust) == 0)
		return refuse(why, STATUS_INVALID, "algorithms", "none of them is known");
	return 0;
}

int trust_check(const Poc__Trust *trust, struct refusal *why)
{
	int status = check_origin(trust->origin, why);

	if (status == 0)
		status = check_keys(trust->log_keys, trust->n_log_keys, LOG_KEYS_MAX, true, 1, "log_keys", why);
	if (status == 0)
		status = check_keys(trust->root_keys, trust->n_root_keys, ROOT_KEYS_MAX, false, trust->root_threshold,
				    "root_keys", why);
	if (status == 0)
		status = check_keys(trust->enrolment_keys, trust->n_enrolment_keys, ROOT_KEYS_MAX, false,
				    trust->enrolment_threshold, "enrolment_keys", why);
	if (status == 0)
		status = check_auditors(trust, why);
	if (status == 0)
		status = check_algorithms(trust, why);
	if (status == 0)
		status = check_replaced(trust, why);
	if (status != 0)
		return status;
	if (trust->issued <= 0 || trust->expires <= trust->issued)
		return refuse(why, STATUS_INVALID, "expires", "must lie after issued");
	if (trust->max_age < 60)
		return refuse(why, STATUS_INVALID, "max_age", "must be at least 60 seconds");
	if (trust->least_protocol == 0)
		return refuse(why, STATUS_INVALID, "least_protocol", "counts from 1");
	return 0;
}

unsigned trust_algorithms(const Poc__Trust *trust)
{
	unsigned set = 0;

	for (size_t i = 0; i < trust->n_algorithms; i++) {
		for (enum key_algorithm a = KEY_ED25519; a <= KEY_P384; a++) {
			if (strcmp(trust->algorithms[i], key_algorithm_name(a)) == 0)
				set |= 1u << a;
		}
	}
	return set;
}

size_t trust_log_keys(const Poc__Trust *trust, struct note_key *out, size_t max)
{
	size_t n = 0;
	struct public_key key;

	for (size_t i = 0; i < trust->n_log_keys && n < max; i++) {
		const ProtobufCBinaryData *spki = &trust->log_keys[i]->spki;
		if (public_key_parse(spki->data, spki->len, &key, NULL) == 0 && key.algorithm == KEY_ED25519 &&
		    note_key_init(&out[n], trust->origin, NOTE_ED25519, public_key_raw_ed25519(&key)) == 0)
			n++;
	}
	return n;
}

size_t trust_auditor_keys(const Poc__Trust *trust, struct note_key *out, size_t max)
{
	size_t n = 0;
	struct public_key key;

	for (size_t i = 0; i < trust->n_auditors && n < max; i++) {
		const Poc__Auditor *a = trust->auditors[i];
		if (public_key_parse(a->spki.data, a->spki.len, &key, NULL) == 0 && key.algorithm == KEY_ED25519 &&
		    note_key_init(&out[n], a->name, NOTE_COSIGNATURE, public_key_raw_ed25519(&key)) == 0)
			n++;
	}
	return n;
}

const Poc__Replacement *trust_replacement(const Poc__Trust *trust, const char *state)
{
	for (size_t i = trust->n_replaced; i-- > 0;) {
		if (strcmp(trust->replaced[i]->state, state) == 0)
			return trust->replaced[i];
	}
	return NULL;
}

const Poc__Replacement *trust_replaces(const Poc__Trust *trust, const char *state, const uint8_t keys[HASH_SIZE])
{
	for (size_t i = 0; i < trust->n_replaced; i++) {
		if (strcmp(trust->replaced[i]->state, state) == 0 &&
		    memcmp(trust->replaced[i]->keys.data, keys, HASH_SIZE) == 0)
			return trust->replaced[i];
	}
	return NULL;
}
