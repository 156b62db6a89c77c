#include "proto/rules/pings.h"

#include <stdio.h>
#include <string.h>

#include "proto/proof/hash.h"
#include "proto/rules/names.h"

int ping_compare(const Poc__Ping *a, const Poc__Ping *b)
{
	if (a->round != b->round)
		return a->round < b->round ? -1 : 1;
	if (a->poc != b->poc)
		return a->poc < b->poc ? -1 : 1;
	return strcmp(a->channel, b->channel);
}

static int check_ping(const Poc__Ping *ping, const char *field, struct refusal *why)
{
	if (ping->poc != POC__POC_KIND__POC_KIND_TECHNICAL && ping->poc != POC__POC_KIND__POC_KIND_DIPLOMATIC)
		return refuse(why, STATUS_INVALID, field, "poc must be technical or diplomatic");
	if (!id_valid(ping->channel))
		return refuse(why, STATUS_INVALID, field, "channel must match [a-z0-9-]{1,40}");
	if (ping->round <= 0 || ping->asked <= 0)
		return refuse(why, STATUS_INVALID, field, "round and asked must be given");
	if (ping->answered != 0 && ping->answered < ping->asked)
		return refuse(why, STATUS_INVALID, field, "answered lies before asked");
	if (ping->receipt.len != (ping->answered != 0 ? HASH_SIZE : 0))
		return refuse(why, STATUS_INVALID, field, "receipt has 32 bytes where answered is set, and only there");
	if (ping->automatic && ping->answered == 0)
		return refuse(why, STATUS_INVALID, field, "automatic says how it was answered, and it was not");
	return 0;
}

int pings_check(const Poc__Pings *pings, struct refusal *why)
{
	char field[40];

	if (pings->issued <= 0)
		return refuse(why, STATUS_INVALID, "issued", "missing");
	if (pings->n_pings == 0 || pings->n_pings > PINGS_MAX)
		return refuse(why, STATUS_INVALID, "pings", "1 to %d", PINGS_MAX);
	for (size_t i = 0; i < pings->n_pings; i++) {
		snprintf(field, sizeof field, "pings[%zu]", i);
		int status = check_ping(pings->pings[i], field, why);
		if (status != 0)
			return status;
		if (i > 0 && ping_compare(pings->pings[i - 1], pings->pings[i]) >= 0)
			return refuse(why, STATUS_INVALID, field, "not ascending by round, poc and channel");
	}
	return 0;
}

const Poc__Ping *pings_last_answered(const Poc__Pings *pings)
{
	const Poc__Ping *last = NULL;

	for (size_t i = 0; i < pings->n_pings; i++) {
		const Poc__Ping *each = pings->pings[i];
		if (each->answered == 0 || (last != NULL && !last->automatic && each->automatic))
			continue;
		if (last == NULL || (last->automatic && !each->automatic) || each->answered >= last->answered)
			last = each;
	}
	return last;
}
