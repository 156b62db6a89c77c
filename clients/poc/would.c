#include "clients/poc/would.h"

#include <stdio.h>

#include "clients/cli/strings.h"
#include "clients/poc/reach.h"
#include "proto/wire/prescan.h"

static json_t *desk_json(const Poc__Desk *desk, int64_t at)
{
	json_t *one = json_pack("{s:s,s:s,s:I}", "place", desk->place, "kind", poc_kind_name(desk->kind), "keys",
				(json_int_t)desk->n_keys);

	if (at != 0)
		json_object_set_new(one, "at", cli_time_json(at));
	return one;
}

/* How the desk can be called now, or that its place has no such point of contact, as when the notice is sent; of a note
 * nothing.  one: in JSON mode gets the same. */
static void tell_reach(struct duty *duty, const struct notice *notice, const Poc__Desk *desk, json_t *one)
{
	struct client_desk to = {.kind = desk->kind};
	json_t *reach = one != NULL ? json_array() : NULL;

	snprintf(to.place, sizeof to.place, "%s", desk->place);
	if (notice->core->category != POC__CATEGORY__CATEGORY_NOTE)
		reach_tell(duty, &to, true, reach);
	json_object_update_missing(one, json_array_get(reach, 0));
	json_decref(reach);
}

static json_t *told_json(struct duty *duty, const struct notice *notice, const Poc__Desk *desk, int64_t at)
{
	json_t *one = desk_json(desk, at);

	tell_reach(duty, notice, desk, one);
	return one;
}

static json_t *notice_json(struct duty *duty, const struct notice *notice, const Poc__NoticeContent *content)
{
	const Poc__Core *core = notice->core;
	json_t *to = json_array(), *later = json_array();

	for (size_t i = 0; i < core->n_to; i++)
		json_array_append_new(to, told_json(duty, notice, core->to[i], 0));
	for (size_t i = 0; i < core->n_escalations; i++)
		json_array_append_new(later,
				      told_json(duty, notice, core->escalations[i]->to, core->escalations[i]->at));
	return json_pack("{s:b,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:I,s:I,s:o,s:o}", "dry_run", 1, "subject",
			 content->subject, "from", core->from->place, "from_kind", poc_kind_name(core->from->kind),
			 "category", category_name(core->category), "urgency", urgency_name(core->urgency), "tlp",
			 notice_tlp_name(core->tlp), "exercise",
			 core->exercise[0] != '\0' ? json_string(core->exercise) : json_null(), "reply_by",
			 cli_time_json(core->reply_by), "size", (json_int_t)notice->header->body_size, "attachments",
			 (json_int_t)content->n_attachments, "recipients", to, "escalations", later);
}

static void print_desk(const char *indent, const Poc__Desk *desk)
{
	char keys[40];

	snprintf(keys, sizeof keys, desk->n_keys == 1 ? tr("1 reading key") : tr("%zu reading keys"), desk->n_keys);
	cli_line(tr("%sto %s %s, %s"), indent, desk->place, poc_kind_name(desk->kind), keys);
}

static void print_notice(struct duty *duty, const struct notice *notice, const Poc__NoticeContent *content)
{
	const Poc__Core *core = notice->core;

	duty_exercise_line(notice);
	cli_line(tr("would be sent: \"%s\", from %s %s"), content->subject, core->from->place,
		 poc_kind_name(core->from->kind));
	cli_line("  %s, %s, %s", category_name(core->category), urgency_name(core->urgency),
		 notice_tlp_name(core->tlp));
	for (size_t i = 0; i < core->n_to; i++)
		print_desk("  ", core->to[i]);
	if (core->reply_by != 0)
		cli_line(tr("  answer wanted by %s"), time_text(core->reply_by));
	for (size_t i = 0; i < core->n_escalations; i++) {
		cli_line(tr("  if nobody has acknowledged it by %s:"), time_text(core->escalations[i]->at));
		print_desk("    ", core->escalations[i]->to);
	}
	if (content->n_attachments > 0)
		cli_line(content->n_attachments == 1 ? tr("  1 attachment") : tr("  %zu attachments"),
			 content->n_attachments);
	cli_line(tr("  %u bytes, padded and encrypted"), notice->header->body_size);
	for (size_t i = 0; i < core->n_to; i++)
		tell_reach(duty, notice, core->to[i], NULL);
	for (size_t i = 0; i < core->n_escalations; i++)
		tell_reach(duty, notice, core->escalations[i]->to, NULL);
}

int would_send(struct duty *duty, const struct client_notice *n, const struct client_sealed *sealed, json_t **json)
{
	struct notice *notice;
	int status =
	    notice_parse(sealed->header, sealed->header_size, &notice, (struct refusal *)client_why(duty->poc));

	if (status != 0)
		return status;
	if (duty->cli->json)
		*json = notice_json(duty, notice, n->content);
	else
		print_notice(duty, notice, n->content);
	notice_destroy(notice);
	return 0;
}

void would_end(const struct duty *duty)
{
	cli_note(duty->cli,
		 duty->offline ? tr("dry run: nothing was put into the outbox") : tr("dry run: nothing was sent"));
}
