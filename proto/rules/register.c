#include "proto/rules/register.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/rules/rules.h"

enum { ENTRIES_MAX = 700 };

static int check_entry(const Poc__Entry *entry, const char *field, struct refusal *why)
{
	char path[80];

	snprintf(path, sizeof path, "%s.state", field);
	if (!state_valid(entry->state))
		return refuse(why, STATUS_INVALID, path, "not a state's code");
	snprintf(path, sizeof path, "%s.anchor", field);
	if (entry->anchor.len != HASH_SIZE)
		return refuse(why, STATUS_INVALID, path, "must be 32 bytes");
	snprintf(path, sizeof path, "%s.date", field);
	if (!date_valid(entry->date))
		return refuse(why, STATUS_INVALID, path, "must be YYYY-MM-DD");
	snprintf(path, sizeof path, "%s.reference", field);
	int status = text_check(entry->reference, REGISTER_REFERENCE_MAX, false, path, why);
	if (status != 0 || entry->reason[0] == '\0')
		return status;
	snprintf(path, sizeof path, "%s.reason", field);
	return entry->suspended ? text_check(entry->reason, REGISTER_REFERENCE_MAX, false, path, why)
				: refuse(why, STATUS_INVALID, path, "only of a suspension");
}

int register_check(const Poc__Register *reg, struct refusal *why)
{
	char field[40];

	if (reg->issued <= 0)
		return refuse(why, STATUS_INVALID, "issued", "missing");
	if (reg->n_entries == 0 || reg->n_entries > ENTRIES_MAX)
		return refuse(why, STATUS_INVALID, "entries", "1 to %d", ENTRIES_MAX);
	for (size_t i = 0; i < reg->n_entries; i++) {
		snprintf(field, sizeof field, "entries[%zu]", i);
		int status = check_entry(reg->entries[i], field, why);
		if (status != 0)
			return status;
		if (i > 0 && strcmp(reg->entries[i - 1]->state, reg->entries[i]->state) >= 0)
			return refuse(why, STATUS_INVALID, field, "must be ascending by state");
	}
	return 0;
}

const Poc__Entry *register_find(const Poc__Register *reg, const char *state)
{
	size_t low = 0, high = reg->n_entries;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(reg->entries[middle]->state, state);
		if (order == 0)
			return reg->entries[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
