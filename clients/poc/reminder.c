#include "clients/poc/reminder.h"

#include <string.h>

#include "clients/cli/strings.h"
#include "proto/wire/prescan.h"

enum { MOST_IN_TURN = 100 };

static bool same_desk(const Poc__Desk *a, const Poc__Desk *b)
{
	return a->kind == b->kind && strcmp(a->place, b->place) == 0;
}

/* By the headers: what this one answers, where the same desk sent both, and ours is on the same side of both. */
static struct desk_notice *followed_by(const struct desk *desk, const struct desk_notice *notice)
{
	const Poc__Core *core = notice->notice->core;
	struct notice_id id;

	if (!notice->good || core->category != POC__CATEGORY__CATEGORY_UPDATE || core->answers.len != NOTICE_ID_SIZE)
		return NULL;
	memcpy(id.bytes, core->answers.data, NOTICE_ID_SIZE);
	struct desk_notice *of = desk_find(desk, &id);
	if (of == NULL || of == notice || !of->good || !same_desk(core->from, of->notice->core->from))
		return NULL;
	const bool received = desk_own_party(desk, notice) != NULL;
	return received == (desk_own_party(desk, of) != NULL) ? of : NULL;
}

/* Of one that cannot be opened it is not known, which is said: what is said of it may be meant for that notice. */
static bool is_reminder(struct duty *duty, const struct desk *desk, const struct desk_notice *notice,
			const struct desk_notice *of)
{
	Poc__Inner *inner;
	char id[NOTICE_ID_TEXT], of_id[NOTICE_ID_TEXT];

	if (duty_open_notice(duty, desk, notice, &inner) == 0) {
		const bool is = strncmp(inner->content->subject, REMINDER_SUBJECT, strlen(REMINDER_SUBJECT)) == 0;
		message_free(inner);
		return is;
	}
	duty_id(&notice->notice->id, id);
	duty_id(&of->notice->id, of_id);
	cli_note(duty->cli, tr("%s cannot be opened here: if it is a reminder of %s, answer and acknowledge that"), id,
		 of_id);
	return false;
}

struct desk_notice *reminder_of(struct duty *duty, const struct desk *desk, const struct desk_notice *notice)
{
	struct desk_notice *of = NULL, *before = followed_by(desk, notice);

	for (int i = 0; i < MOST_IN_TURN && before != NULL; i++) {
		if (!is_reminder(duty, desk, of != NULL ? of : notice, before))
			break;
		of = before;
		before = followed_by(desk, of);
	}
	return of;
}
