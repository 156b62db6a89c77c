#include "clients/poc/label.h"

#include <stdio.h>
#include <string.h>

#include "clients/cli/strings.h"

enum { QUESTION_MAX = 2048 };

static int ask(struct duty *duty, const char *question)
{
	if (!duty->cli->dry_run)
		return cli_confirm(duty->cli, question);
	if (!duty->cli->yes)
		cli_note(duty->cli, "%s", question);
	return 0;
}

static bool has_it(const struct desk_party *party)
{
	return party->side != SIDE_ESCALATION || party->times[POC__STEP__STEP_ESCALATED] != 0;
}

bool label_excludes(const struct desk_notice *notice, const struct client_desk *desk)
{
	const Poc__NoticeTlp tlp = notice->notice->core->tlp;
	bool of_place = false, of_desk = false;

	for (size_t i = 0; i < notice->n_parties; i++) {
		const struct desk_party *party = &notice->parties[i];
		const bool same = has_it(party) && strcmp(party->desk.place, desk->place) == 0;
		of_place = of_place || same;
		of_desk = of_desk || (same && party->desk.kind == desk->kind);
	}
	return tlp == POC__NOTICE_TLP__NOTICE_TLP_RED ? !of_desk
						      : tlp == POC__NOTICE_TLP__NOTICE_TLP_AMBER_STRICT && !of_place;
}

int label_pass_on(struct duty *duty, const struct desk_notice *notice, const struct client_desk *desks, size_t n)
{
	char question[QUESTION_MAX];
	size_t excluded = 0;
	int used = snprintf(question, sizeof question, "%s:", notice_tlp_name(notice->notice->core->tlp));

	for (size_t i = 0; i < n; i++) {
		if (label_excludes(notice, &desks[i]))
			used += snprintf(question + used, sizeof question - (size_t)used, "%s %s %s",
					 excluded++ > 0 ? "," : "", desks[i].place, poc_kind_name(desks[i].kind));
	}
	if (excluded == 0)
		return 0;
	snprintf(question + used, sizeof question - (size_t)used, "%s",
		 excluded == 1 ? tr(" was not among its recipients. Pass it on?")
			       : tr(" were not among its recipients. Pass it on?"));
	return ask(duty, question);
}

int label_answer(struct duty *duty, const struct desk_notice *notice, Poc__NoticeTlp tlp)
{
	const Poc__NoticeTlp given = notice->notice->core->tlp;
	char question[QUESTION_MAX];

	if (tlp >= given || notice->side == SIDE_FROM)
		return 0;
	snprintf(question, sizeof question, tr("%s lets the answer travel further than the notice's %s. Send it so?"),
		 notice_tlp_name(tlp), notice_tlp_name(given));
	return ask(duty, question);
}
