#include "proto/rules/keys.h"

#include <stdlib.h>
#include <string.h>

#include "proto/rules/rules.h"

enum { KEYS_MAX = 16 };

int keys_check(const Poc__Keys *keys, struct refusal *why)
{
	struct public_key *list;
	size_t known = 0;

	if (keys->issued <= 0)
		return refuse(why, STATUS_INVALID, "issued", "missing");
	int status = key_list_parse(keys->authority, keys->n_authority, KEYS_MAX, "authority", &list, why);
	if (status != 0)
		return status;
	for (size_t i = 0; i < keys->n_authority; i++)
		known += list[i].algorithm != KEY_UNKNOWN;
	free(list);
	if (keys->authority_threshold == 0 || keys->authority_threshold > known)
		return refuse(why, STATUS_INVALID, "authority_threshold", "%u cannot be met by %zu usable keys",
			      keys->authority_threshold, known);
	status = key_list_parse(keys->coordinators, keys->n_coordinators, KEYS_MAX, "coordinators", &list, why);
	if (status == 0)
		free(list);
	return status;
}

static int by_hash(const void *a, const void *b)
{
	return hash_compare(a, b);
}

struct hash keys_authority(const Poc__Keys *keys)
{
	static const char domain[] = "pocd-authority-v1\n";
	struct hash ids[KEYS_MAX];
	const size_t n = keys->n_authority < KEYS_MAX ? keys->n_authority : KEYS_MAX;
	const uint8_t threshold = (uint8_t)keys->authority_threshold;

	for (size_t i = 0; i < n; i++)
		ids[i] = hash_of(keys->authority[i]->spki.data, keys->authority[i]->spki.len);
	qsort(ids, n, sizeof *ids, by_hash);
	struct hash_part parts[] = {
	    {domain, sizeof domain - 1}, {&threshold, sizeof threshold}, {ids, n * sizeof *ids}};
	return hash_parts(parts, 3);
}
