#include "clients/poc/escalated.h"

#include <string.h>

#include "proto/wire/prescan.h"

bool escalated_maybe(const Poc__Core *core, const struct notice *of)
{
	return strcmp(core->from->place, of->core->from->place) == 0 && core->category == of->core->category &&
	       core->answers.len == NOTICE_ID_SIZE && memcmp(core->answers.data, of->id.bytes, NOTICE_ID_SIZE) == 0;
}

static bool had_it(const struct desk_notice *of, const Poc__Desk *to)
{
	const struct desk_party *party = desk_party(of, to->place, to->kind);

	return party != NULL && party->side != SIDE_ESCALATION;
}

static bool says_so(struct duty *duty, const struct desk *desk, const struct desk_notice *by)
{
	Poc__Inner *inner;

	if (duty_open_notice(duty, desk, by, &inner) != 0)
		return false;
	const bool says = strncmp(inner->content->subject, ESCALATED_SUBJECT, strlen(ESCALATED_SUBJECT)) == 0;
	message_free(inner);
	return says;
}

bool escalated_by(struct duty *duty, const struct desk *desk, const struct desk_notice *of,
		  const struct desk_notice *by)
{
	const Poc__Core *core = by->notice->core;

	if (!by->good || by->side != SIDE_FROM || of->side != SIDE_FROM || !escalated_maybe(core, of->notice))
		return false;
	for (size_t i = 0; i < core->n_to; i++) {
		if (had_it(of, core->to[i]))
			return false;
	}
	return core->category != POC__CATEGORY__CATEGORY_UPDATE || says_so(duty, desk, by);
}
