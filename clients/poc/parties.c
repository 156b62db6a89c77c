#include "clients/poc/parties.h"

#include <stdio.h>
#include <string.h>

#include "clients/cli/command.h"
#include "clients/cli/strings.h"

/* ---- Escalations */

enum { TEXT = 300 };
enum escalation { WAITS, NOT_NEEDED, DUE, RELEASED };

static const char *const escalation_names[] = {"waits", "not-needed", "due", "escalated"};

/* When it was released to that desk, which two escalations may name; 0: it was not. */
static int64_t released_at(const struct desk_notice *n, const struct desk_party *p)
{
	const struct desk_party *first = desk_party(n, p->desk.place, p->desk.kind);

	return first != NULL ? first->times[POC__STEP__STEP_ESCALATED] : 0;
}

/* When a person of a desk that it came to has first said anything of it, or its sender has closed it; 0: not. */
static int64_t heard_at(const struct desk_notice *n, const struct desk_party *p)
{
	if (p->side == SIDE_FROM)
		return desk_sender_closed(n);
	return desk_party_received(p) ? p->heard : 0;
}

/* Who was heard first, by the time of an escalation, so that nobody else need be troubled; NULL: nobody that we are
 * told of. */
static const struct desk_party *who_heard(const struct desk_notice *n, int64_t by)
{
	const struct desk_party *first = NULL;

	for (size_t i = 0; i < n->n_parties; i++) {
		const struct desk_party *p = &n->parties[i];
		const int64_t at = heard_at(n, p);
		if (at != 0 && at <= by && (first == NULL || at < heard_at(n, first)))
			first = p;
	}
	return first;
}

static enum escalation state_of(const struct desk_notice *n, const struct desk_party *p, int64_t now)
{
	if (released_at(n, p) != 0)
		return RELEASED;
	if (who_heard(n, p->escalates_at) != NULL)
		return NOT_NEEDED;
	return p->escalates_at > now ? WAITS : DUE;
}

/* Of one that has not been released. */
static void text_of(const struct desk_notice *n, const struct desk_party *p, int64_t now, char out[TEXT])
{
	const struct desk_party *heard = who_heard(n, p->escalates_at);
	const char *place = p->desk.place, *kind = poc_kind_name(p->desk.kind), *at = time_text(p->escalates_at);

	switch (state_of(n, p, now)) {
	case WAITS:
		snprintf(out, TEXT,
			 tr("escalates to %.64s %s at %s unless a person acknowledges, declines or "
			    "closes it before"),
			 place, kind, at);
		break;
	case NOT_NEEDED:
		if (heard->side != SIDE_FROM)
			snprintf(out, TEXT, tr("escalation to %.64s %s not needed: %s in time by %.64s %s%s"), place,
				 kind, step_name(heard->heard_as), heard->desk.place, poc_kind_name(heard->desk.kind),
				 heard->heard_as == POC__STEP__STEP_DECLINED ? tr(", which cancels it too") : "");
		else
			snprintf(out, TEXT, tr("escalation to %.64s %s not needed: closed by its sender"), place, kind);
		break;
	default:
		snprintf(out, TEXT, tr("escalation to %.64s %s was due at %s, and is not known to have come"), place,
			 kind, at);
		break;
	}
}

/* ---- Text */

static void print_party(const struct desk_notice *n, const struct desk_party *p)
{
	const Poc__Step step = desk_party_step(p);
	const int64_t escalated = p->side == SIDE_ESCALATION ? released_at(n, p) : 0;

	cli_line("%-14s %s %s: %s%s%s%s%s%s%s%s%s%s", p->side == SIDE_ESCALATION ? tr("escalation") : tr("to"),
		 p->desk.place, poc_kind_name(p->desk.kind), step_name(step),
		 (p->automatic >> step & 1) != 0 ? tr(" (a program)") : "", p->times[step] != 0 ? ", " : "",
		 p->times[step] != 0 ? time_text(p->times[step]) : "", p->reason != 0 ? ", " : "",
		 p->reason != 0 ? reason_name(p->reason) : "", p->answer_by != 0 ? tr(", answer expected by ") : "",
		 p->answer_by != 0 ? time_text(p->answer_by) : "", escalated != 0 ? tr(", escalated ") : "",
		 escalated != 0 ? time_text(escalated) : "");
}

static bool is_to_come(const struct desk_notice *n, const struct desk_party *p)
{
	return p->side == SIDE_ESCALATION && released_at(n, p) == 0;
}

void parties_print(const struct desk_notice *notice, int64_t now)
{
	char text[TEXT];

	for (size_t i = 0; i < notice->n_parties; i++) {
		const struct desk_party *p = &notice->parties[i];
		if (p->side == SIDE_FROM)
			continue;
		if (!is_to_come(notice, p)) {
			print_party(notice, p);
			continue;
		}
		text_of(notice, p, now, text);
		cli_line("%-14s %s", "", text);
	}
}

void parties_print_escalations(const struct desk_notice *notice, int64_t now)
{
	char text[TEXT];

	for (size_t i = 0; i < notice->n_parties; i++) {
		if (!is_to_come(notice, &notice->parties[i]))
			continue;
		text_of(notice, &notice->parties[i], now, text);
		cli_line("  %s", text);
	}
}

/* ---- JSON */

static json_t *party_json(const struct desk_notice *n, const struct desk_party *p, int64_t now)
{
	const Poc__Step step = desk_party_step(p);
	json_t *one = json_pack("{s:s,s:s,s:o}", "place", p->desk.place, "kind", poc_kind_name(p->desk.kind), "step",
				is_to_come(n, p) ? json_null() : json_string(step_name(step)));

	if ((p->automatic >> step & 1) != 0)
		json_object_set_new(one, "automatic", json_true());
	if (p->answer_by != 0)
		json_object_set_new(one, "answer_by", cli_time_json(p->answer_by));
	if (p->reason != 0)
		json_object_set_new(one, "reason", json_string(reason_name(p->reason)));
	if (p->side != SIDE_ESCALATION)
		return one;
	json_object_set_new(one, "escalation", json_true());
	json_object_set_new(one, "at", cli_time_json(p->escalates_at));
	json_object_set_new(one, "state", json_string(escalation_names[state_of(n, p, now)]));
	json_object_set_new(one, "escalated", cli_time_json(released_at(n, p)));
	return one;
}

json_t *parties_json(const struct desk_notice *notice, int64_t now, bool only_escalations)
{
	json_t *list = json_array();

	for (size_t i = 0; i < notice->n_parties; i++) {
		const struct desk_party *p = &notice->parties[i];
		if (p->side == SIDE_ESCALATION || (p->side == SIDE_TO && !only_escalations))
			json_array_append_new(list, party_json(notice, p, now));
	}
	return list;
}
