#include "clients/poc/parties.h"

#include <stdio.h>
#include <string.h>

#include "clients/cli/command.h"
#include "clients/cli/strings.h"

/* ---- What we are told */

static bool is_desk(const struct client_desk *a, const struct client_desk *b)
{
	return a->kind == b->kind && strcmp(a->place, b->place) == 0;
}

/* A party as a desk of ours has it that is told how far it is; NULL: none is. */
static const struct desk_party *told_of(const struct parties *v, const struct desk_party *p)
{
	for (size_t i = 0; i < v->n_own; i++) {
		const struct desk_notice *n = desk_find(v->own[i], &v->notice->notice->id);
		if (n != NULL &&
		    (is_desk(&v->own[i]->id, &p->desk) || is_desk(&v->own[i]->id, &n->parties[n->n_parties - 1].desk)))
			return desk_party(n, p->desk.place, p->desk.kind);
	}
	return NULL;
}

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
static int64_t heard_at(const struct parties *v, const struct desk_party *p)
{
	const struct desk_party *told = told_of(v, p);

	if (p->side == SIDE_FROM)
		return desk_sender_closed(v->notice);
	return told != NULL && desk_party_received(p) ? told->heard : 0;
}

/* Who was heard first, by the time of an escalation, so that nobody else need be troubled; NULL: nobody that we are
 * told of. */
static const struct desk_party *who_heard(const struct parties *v, int64_t by)
{
	const struct desk_notice *n = v->notice;
	const struct desk_party *first = NULL;

	for (size_t i = 0; i < n->n_parties; i++) {
		const struct desk_party *p = &n->parties[i];
		const int64_t at = heard_at(v, p);
		if (at != 0 && at <= by && (first == NULL || at < heard_at(v, first)))
			first = p;
	}
	return first;
}

static enum escalation state_of(const struct parties *v, const struct desk_party *p)
{
	if (released_at(v->notice, p) != 0)
		return RELEASED;
	if (who_heard(v, p->escalates_at) != NULL)
		return NOT_NEEDED;
	return p->escalates_at > v->now ? WAITS : DUE;
}

/* Of one that has not been released. */
static void text_of(const struct parties *v, const struct desk_party *p, char out[TEXT])
{
	const struct desk_party *heard = who_heard(v, p->escalates_at);
	const char *place = p->desk.place, *kind = poc_kind_name(p->desk.kind), *at = time_text(p->escalates_at);

	switch (state_of(v, p)) {
	case WAITS:
		snprintf(out, TEXT,
			 tr("escalates to %.64s %s at %s unless a person acknowledges, declines or "
			    "closes it before"),
			 place, kind, at);
		break;
	case NOT_NEEDED:
		if (heard->side != SIDE_FROM)
			snprintf(out, TEXT, tr("escalation to %.64s %s not needed: %s in time by %.64s %s%s"), place,
				 kind, step_name(told_of(v, heard)->heard_as), heard->desk.place,
				 poc_kind_name(heard->desk.kind),
				 told_of(v, heard)->heard_as == POC__STEP__STEP_DECLINED ? tr(", which cancels it too")
											 : "");
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

static void print_step(const struct desk_party *told, const char *before, const char *escalated)
{
	const Poc__Step step = desk_party_step(told);

	cli_line("%s%s%s%s%s%s%s%s%s%s", before, step_name(step),
		 (told->automatic >> step & 1) != 0 ? tr(" (a program)") : "", told->times[step] != 0 ? ", " : "",
		 told->times[step] != 0 ? time_text(told->times[step]) : "", told->reason != 0 ? ", " : "",
		 told->reason != 0 ? reason_name(told->reason) : "",
		 told->answer_by != 0 ? tr(", answer expected by ") : "",
		 told->answer_by != 0 ? time_text(told->answer_by) : "", escalated);
}

static void print_party(const struct parties *v, const struct desk_party *p)
{
	const struct desk_party *told = told_of(v, p);
	const int64_t at = p->side == SIDE_ESCALATION ? released_at(v->notice, p) : 0;
	char before[TEXT], escalated[TEXT] = "";

	snprintf(before, sizeof before, "%-14s %.64s %s: ", p->side == SIDE_ESCALATION ? tr("escalation") : tr("to"),
		 p->desk.place, poc_kind_name(p->desk.kind));
	if (at != 0)
		snprintf(escalated, sizeof escalated, tr(", escalated %s"), time_text(at));
	if (told != NULL)
		print_step(told, before, escalated);
	else
		cli_line("%s%s%s", before, tr("not told"), escalated);
}

static bool is_to_come(const struct desk_notice *n, const struct desk_party *p)
{
	return p->side == SIDE_ESCALATION && released_at(n, p) == 0;
}

void parties_print(const struct parties *v)
{
	const struct desk_notice *notice = v->notice;
	char text[TEXT];

	for (size_t i = 0; i < notice->n_parties; i++) {
		const struct desk_party *p = &notice->parties[i];
		if (p->side == SIDE_FROM)
			continue;
		if (!is_to_come(notice, p)) {
			print_party(v, p);
			continue;
		}
		text_of(v, p, text);
		cli_line("%-14s %s", "", text);
	}
}

void parties_print_escalations(const struct parties *v)
{
	const struct desk_notice *notice = v->notice;
	char text[TEXT];

	for (size_t i = 0; i < notice->n_parties; i++) {
		if (!is_to_come(notice, &notice->parties[i]))
			continue;
		text_of(v, &notice->parties[i], text);
		cli_line("  %s", text);
	}
}

/* ---- JSON */

static json_t *party_json(const struct parties *v, const struct desk_party *p)
{
	const struct desk_notice *n = v->notice;
	const struct desk_party *told = is_to_come(n, p) ? NULL : told_of(v, p);
	const Poc__Step step = told != NULL ? desk_party_step(told) : POC__STEP__STEP_UNSPECIFIED;
	json_t *one = json_pack("{s:s,s:s,s:o}", "place", p->desk.place, "kind", poc_kind_name(p->desk.kind), "step",
				told == NULL ? json_null() : json_string(step_name(step)));

	if (told != NULL && (told->automatic >> step & 1) != 0)
		json_object_set_new(one, "automatic", json_true());
	if (told != NULL && told->answer_by != 0)
		json_object_set_new(one, "answer_by", cli_time_json(told->answer_by));
	if (told != NULL && told->reason != 0)
		json_object_set_new(one, "reason", json_string(reason_name(told->reason)));
	if (p->side != SIDE_ESCALATION)
		return one;
	json_object_set_new(one, "escalation", json_true());
	json_object_set_new(one, "at", cli_time_json(p->escalates_at));
	json_object_set_new(one, "state", json_string(escalation_names[state_of(v, p)]));
	json_object_set_new(one, "escalated", cli_time_json(released_at(n, p)));
	return one;
}

json_t *parties_json(const struct parties *v, bool only_escalations)
{
	const struct desk_notice *notice = v->notice;
	json_t *list = json_array();

	for (size_t i = 0; i < notice->n_parties; i++) {
		const struct desk_party *p = &notice->parties[i];
		if (p->side == SIDE_ESCALATION || (p->side == SIDE_TO && !only_escalations))
			json_array_append_new(list, party_json(v, p));
	}
	return list;
}
