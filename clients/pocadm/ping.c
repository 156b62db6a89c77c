/* Communications checks: starting a round, cancelling it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/place.h"
#include "clients/cli/show.h"
#include "clients/cli/strings.h"
#include "clients/libpoc/content.h"
#include "clients/pocadm/commands.h"
#include "clients/pocadm/ping_round.h"
#include "pocd/base/ini.h"
#include "proto/rules/register.h"

#define DEADLINE "48h"

struct starting {
	struct ping_desk desk;
	int64_t round, deadline;
	size_t sent, asked_before, left_out;
	json_t *list;
};

static void tell(struct starting *s, const char *place, const char *kind, const char *what, const char *detail)
{
	if (s->desk.cli->json)
		json_array_append_new(s->list, json_pack("{s:s,s:s*,s:s,s:s*}", "place", place, "kind", kind, "result",
							 what, "detail", detail));
	else if (!s->desk.cli->quiet) {
		cli_line("%-3s %-11s %-15s %s", place, kind != NULL ? kind : "", tr(what),
			 detail != NULL ? detail : "");
		fflush(stdout); /* it takes a while: each as it comes */
	}
}

/* Failures that will meet every other state as well: then the round stops, to be gone on with. */
static bool stops_all(int status)
{
	return status == STATUS_QUEUED || status == STATUS_UNREACHABLE || status == STATUS_TLS ||
	       status == STATUS_NO_MEMORY || status == STATUS_IO;
}

static int ask_desk(struct starting *s, const char *state, Poc__PocKind kind)
{
	char subject[120], text[700], id_text[NOTICE_ID_TEXT], until[32], round[32];
	struct notice_id id;

	if (ping_find(&s->desk, s->round, true, state, kind) != NULL) {
		s->asked_before++;
		tell(s, state, poc_kind_name(kind), "asked before", NULL);
		return 0;
	}
	time_to_text(s->round, round);
	time_to_text(s->deadline, until);
	snprintf(subject, sizeof subject, "Communications check of %s", round);
	snprintf(
	    text, sizeof text,
	    "This is a communications check of the directory: it asks whether the %s point of contact of %s can be "
	    "reached.\nPlease acknowledge it by %s: poc notice ack ID.\nNothing else is asked, and an "
	    "acknowledgement implies neither agreement nor responsibility.",
	    poc_kind_name(kind), state, until);
	if (s->desk.cli->dry_run) {
		tell(s, state, poc_kind_name(kind), "would be asked", NULL);
		s->sent++;
		return 0;
	}
	int status = ping_send(&s->desk, s->round, s->deadline, POC__CATEGORY__CATEGORY_COMMUNICATIONS_CHECK, state,
			       kind, subject, text, &id);
	if (stops_all(status))
		return link_fail(s->desk.cli, s->desk.poc, status);
	notice_id_print(&id, id_text);
	s->sent += status == 0;
	s->left_out += status != 0;
	tell(s, state, poc_kind_name(kind), status == 0 ? "asked" : "cannot be asked",
	     status == 0 ? id_text : client_why(s->desk.poc)->message);
	return 0;
}

/* A state's kinds of points of contact, by its record. */
static int ask_state(struct starting *s, const char *state)
{
	struct client_record record = {0};
	struct name name;
	bool kinds[3] = {false};

	if (!name_make(NAME_RECORD, state, NULL, &name))
		return 0;
	int status = client_lookup(s->desk.poc, CLIENT_ONLINE, &name, NULL, 0, &record);
	const struct envelope *e = record.verified.record;
	bool listed = e != NULL && !record.verified.suspended && e->payload.record->n_pocs > 0;
	for (size_t i = 0; listed && i < e->payload.record->n_pocs; i++)
		kinds[e->payload.record->pocs[i]->kind] = true; /* 1 or 2, by record_check */
	if (!listed && stops_all(status)) {
		client_record_finish(&record);
		return link_fail(s->desk.cli, s->desk.poc, status);
	}
	if (!listed) {
		s->left_out++;
		tell(s, state, NULL, "cannot be asked",
		     status != 0 ? client_why(s->desk.poc)->message : tr("it has no point of contact"));
	}
	client_record_finish(&record);
	status = 0;
	for (int kind = POC__POC_KIND__POC_KIND_TECHNICAL; kind <= POC__POC_KIND__POC_KIND_DIPLOMATIC && status == 0;
	     kind++) {
		if (kinds[kind])
			status = ask_desk(s, state, (Poc__PocKind)kind);
	}
	return status;
}

static int ask_all(struct starting *s)
{
	static const char *const names[] = {"S"};
	struct client_envelope reg;
	int status = client_envelopes(s->desk.poc, CLIENT_ONLINE, names, 1, &reg);

	if (status != 0)
		return link_fail(s->desk.cli, s->desk.poc, status);
	for (size_t i = 0; reg.envelope != NULL && i < reg.envelope->payload.register_->n_entries && status == 0; i++) {
		const char *state = reg.envelope->payload.register_->entries[i]->state;
		if (strcmp(state, STATE_DIRECTORY) != 0)
			status = ask_state(s, state);
	}
	client_envelopes_finish(&reg, 1);
	return status;
}

static int read_deadline(struct starting *s)
{
	struct cli *cli = s->desk.cli;
	const char *text = cli_value(cli, "deadline");
	uint64_t span;
	int64_t now = client_now(s->desk.poc);

	if (time_from_text(text != NULL ? text : DEADLINE, &s->deadline) != 0) {
		if (!ini_duration_ms(text != NULL ? text : DEADLINE, &span) || span < 1000)
			return cli_fail(cli, STATUS_USAGE, tr("--deadline takes a time or a span such as 48h"));
		s->deadline = now + (int64_t)(span / 1000);
	}
	return s->deadline > now ? 0 : cli_fail(cli, STATUS_USAGE, tr("--deadline lies in the past"));
}

/* A new round, or one that was begun, whose deadline stays. */
static int choose_round(struct starting *s)
{
	struct cli *cli = s->desk.cli;
	const char *text = cli_value(cli, "round");

	if (text != NULL && !ping_round_parse(text, &s->round))
		return cli_fail(cli, STATUS_USAGE, tr("--round takes a round's time, as ping start printed it"));
	if (text == NULL) {
		int status = read_deadline(s);
		s->round = client_now(s->desk.poc);
		if (status == 0 && ping_deadline(&s->desk, s->round) != 0)
			status = cli_fail(cli, STATUS_CONFLICT, tr("a round began this very second"));
		return status;
	}
	s->deadline = ping_deadline(&s->desk, s->round);
	if (s->deadline == 0)
		return cli_fail(cli, STATUS_NOT_FOUND, tr("no round began at %s"), text);
	if (cli_has(cli, "deadline"))
		return cli_fail(cli, STATUS_USAGE, tr("a round's deadline never changes"));
	for (size_t i = 0; i < s->desk.desk->n; i++) {
		if (ping_asks(s->desk.desk->notices[i], s->round) && ping_closed(&s->desk, s->desk.desk->notices[i]))
			return cli_fail(cli, STATUS_CONFLICT, tr("the round %s was cancelled"), text);
	}
	return 0;
}

static int check_arguments(struct cli *cli)
{
	struct name name;

	if (cli_has(cli, "all") == (cli->argc > 0))
		return cli_fail(cli, STATUS_USAGE, tr("either --all or the states to ask"));
	for (int i = 0; i < cli->argc; i++) {
		int status = place_read(cli, cli->argv[i], &name);
		if (status == 0 && name.unit[0] != '\0')
			status = cli_fail(cli, STATUS_USAGE, tr("%s is a unit: states are asked"), cli->argv[i]);
		if (status != 0)
			return status;
	}
	return 0;
}

/* What came of it.  Where nobody could be asked at all, that is an error, beside the document. */
static int tell_started(struct starting *s, const char *round)
{
	struct cli *cli = s->desk.cli;
	const bool nobody = s->left_out > 0 && s->sent == 0 && s->asked_before == 0;

	if (!cli->json && cli->dry_run)
		cli_note(cli, tr("dry run: nothing was sent"));
	else if (!cli->json)
		cli_line(tr("%zu asked, %zu asked before, %zu cannot be asked"), s->sent, s->asked_before, s->left_out);
	cli->collecting = true; /* the document holds the error */
	const int status = nobody ? cli_fail(cli, STATUS_NOT_FOUND, tr("nobody was asked")) : 0;
	if (!cli->json)
		return status;
	json_t *document = json_pack("{s:s,s:o,s:O,s:b}", "round", round, "deadline", cli_time_json(s->deadline),
				     "results", s->list, "dry_run", (int)cli->dry_run);
	if (nobody)
		json_object_set_new(document, "error", cli_error_json(cli));
	cli_document(cli, "poc.ping-start/1", document);
	return status;
}

int pocadm_cmd_ping_start(struct cli *cli)
{
	struct starting s = {.list = json_array()};
	struct name name;
	char round[32];
	int status = check_arguments(cli);

	if (status == 0)
		status = ping_desk_open(cli, &s.desk);
	if (status == 0)
		status = choose_round(&s);
	if (status == 0) {
		time_to_text(s.round, round);
		if (!cli->json)
			cli_line(tr("round %s, answers wanted by %s"), round, time_text(s.deadline));
		fflush(stdout); /* whoever interrupts it needs the number */
		status = cli_has(cli, "all") ? ask_all(&s) : 0;
		for (int i = 0; i < cli->argc && status == 0; i++) {
			if (place_read(cli, cli->argv[i], &name) == 0)
				status = ask_state(&s, name.state);
		}
		if (status != 0)
			cli_note(cli, tr("interrupted; go on with: pocadm ping start --round %s ..."), round);
		else
			status = tell_started(&s, round);
	}
	json_decref(s.list);
	ping_desk_close(&s.desk);
	return status;
}

int pocadm_cmd_ping_cancel(struct cli *cli)
{
	struct ping_desk desk = {0};
	int64_t round;
	size_t closed = 0;
	int status = ping_round_parse(cli->argv[0], &round)
			 ? ping_desk_open(cli, &desk)
			 : cli_fail(cli, STATUS_USAGE, tr("\"%s\" is not a round's time"), cli->argv[0]);

	if (status == 0 && ping_deadline(&desk, round) == 0)
		status = cli_fail(cli, STATUS_NOT_FOUND, tr("no round began at %s"), cli->argv[0]);
	if (status == 0 && !cli->dry_run)
		status = cli_confirm(cli, tr("Cancel the round?"));
	for (size_t i = 0; status == 0 && i < desk.desk->n; i++) {
		const struct desk_notice *n = desk.desk->notices[i];
		if (!ping_asks(n, round) || ping_closed(&desk, n))
			continue;
		if (!cli->dry_run && (status = ping_close(&desk, n)) != 0)
			link_fail(cli, desk.poc, status);
		closed += status == 0;
	}
	if (status == 0 && cli->json)
		cli_document(cli, "poc.ping-cancel/1",
			     json_pack("{s:s,s:I,s:b}", "round", cli->argv[0], cli->dry_run ? "would_close" : "closed",
				       (json_int_t)closed, "dry_run", (int)cli->dry_run));
	else if (status == 0)
		cli_line(cli->dry_run ? tr("round %s: %zu checks would be closed") : tr("round %s: %zu checks closed"),
			 cli->argv[0], closed);
	if (status == 0 && cli->dry_run)
		cli_note(cli, tr("dry run: nothing was sent"));
	ping_desk_close(&desk);
	return status;
}
