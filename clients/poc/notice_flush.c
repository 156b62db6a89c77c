/* The outbox: sending what waits, or withdrawing it, and forgetting what was refused. */
#include <stdio.h>
#include <string.h>

#include "clients/cli/strings.h"
#include "clients/poc/duty.h"
#include "clients/poc/notice.h"
#include "clients/poc/waiting.h"

struct discarding {
	struct cli *cli;
	struct poc *poc;
	const char *which; /* start of an id, or the name of a damaged file */
	bool found, several;
	size_t n_waiting; /* of what is meant */
	char last[DUTY_WHAT];
	struct notice_id id;
	json_t *discarded, *withdrawn;
	int status;
};

/* The id by which it is meant; NULL: it is not.  A receipt "answered" goes with the answer that it speaks of as well.
 */
static const struct notice_id *meant_by(const struct discarding *d, const struct outbox_result *result)
{
	static const struct notice_id none;
	const bool speaks = memcmp(result->answer.bytes, none.bytes, NOTICE_ID_SIZE) != 0;

	if (strcmp(result->name, d->which) == 0 ||
	    ((result->is_notice || result->step != 0) && notice_id_matches(&result->id, d->which)))
		return &result->id;
	return speaks && notice_id_matches(&result->answer, d->which) ? &result->answer : NULL;
}

static void seek(void *ctx, const struct outbox_result *result)
{
	struct discarding *d = ctx;
	const struct notice_id *id = meant_by(d, result);

	if (id == NULL)
		return;
	d->several = d->several || (d->found && memcmp(d->id.bytes, id->bytes, NOTICE_ID_SIZE) != 0);
	d->found = true;
	d->id = *id;
	d->n_waiting += result->waits;
	if (result->waits)
		duty_what(result, d->last);
}

static void discard_one(void *ctx, const struct outbox_result *result)
{
	struct discarding *d = ctx;
	const bool waits = result->waits;
	char what[DUTY_WHAT];

	if (meant_by(d, result) == NULL || d->status != 0)
		return;
	if (!d->cli->dry_run)
		d->status = waits ? outbox_withdraw(d->poc, result->name) : outbox_discard(d->poc, result->name);
	if (d->status != 0)
		return;
	duty_what(result, what);
	json_array_append_new(waits ? d->withdrawn : d->discarded, json_string(what));
	if (d->cli->json || d->cli->quiet)
		return;
	if (waits)
		cli_line(d->cli->dry_run ? tr("would be withdrawn: %s") : tr("withdrawn: %s"), what);
	else
		cli_line(d->cli->dry_run ? tr("would be discarded: %s") : tr("discarded: %s"), what);
}

/* What was promised to be sent later is not forgotten without a word. */
static int ask(const struct discarding *d)
{
	char question[DUTY_WHAT + 100];

	if (d->n_waiting == 0 || d->cli->dry_run)
		return 0;
	if (d->n_waiting == 1)
		snprintf(question, sizeof question, tr("Withdraw %s, which waits to be sent?"), d->last);
	else
		snprintf(question, sizeof question, tr("Withdraw %zu that wait to be sent, the last %s?"), d->n_waiting,
			 d->last);
	return cli_confirm(d->cli, question);
}

static int seek_meant(struct discarding *d)
{
	outbox_refused(d->poc, seek, d);
	outbox_list(d->poc, seek, d);
	if (d->several)
		return cli_fail(d->cli, STATUS_USAGE, tr("\"%s\" is the start of several ids: give more of it"),
				d->which);
	if (!d->found)
		return cli_fail(d->cli, STATUS_NOT_FOUND,
				tr("nothing in the outbox has the id %s: it neither waits nor was refused"), d->which);
	return ask(d);
}

/* Forgets what was refused or waits, by the start of its id; a receipt and its notice go together, and so
 * do an answer and what says that it is one.  Sends nothing. */
static int discard(struct cli *cli, const char *which)
{
	struct discarding d = {.cli = cli, .which = which};
	int status = link_open(cli, false, &d.poc);

	if (status != 0)
		return status;
	d.discarded = json_array();
	d.withdrawn = json_array();
	status = seek_meant(&d);
	if (status == 0) {
		outbox_list(d.poc, discard_one, &d);
		outbox_refused(d.poc, discard_one, &d);
		status = d.status == 0 ? 0 : link_fail(cli, d.poc, d.status);
	}
	if (status == 0 && cli->json)
		cli_document(cli, "poc.notice-flush/1",
			     json_pack("{s:O,s:O,s:b}", cli->dry_run ? "would_discard" : "discarded", d.discarded,
				       cli->dry_run ? "would_withdraw" : "withdrawn", d.withdrawn, "dry_run",
				       (int)cli->dry_run));
	json_decref(d.discarded);
	json_decref(d.withdrawn);
	link_close(cli, d.poc);
	return status;
}

struct waiting {
	struct cli *cli;
	json_t *list;
};

static void would_flush(void *ctx, const struct outbox_result *result)
{
	struct waiting *waiting = ctx;
	char what[DUTY_WHAT];

	duty_what(result, what);
	json_array_append_new(waiting->list, json_string(what));
	if (!waiting->cli->json)
		cli_line(tr("would be sent: %s%s%s%s, waiting since %s%s%s"),
			 result->exercise[0] != '\0' ? tr("EXERCISE ") : "", result->exercise,
			 result->exercise[0] != '\0' ? ": " : "", what, time_text(result->since),
			 result->message[0] != '\0' ? ": " : "", result->message);
}

/* What waits, which is not sent. */
static int flush_dry(struct cli *cli)
{
	struct waiting waiting = {cli, NULL};
	struct poc *poc;
	int status = link_open(cli, false, &poc);

	if (status != 0)
		return status;
	waiting.list = json_array();
	outbox_list(poc, would_flush, &waiting);
	if (cli->json)
		cli_document(cli, "poc.notice-flush/1",
			     json_pack("{s:b,s:O,s:o}", "dry_run", 1, "would_send", waiting.list, "in_outbox",
				       waiting_list(cli, poc, false)));
	else if (json_array_size(waiting.list) == 0)
		cli_line(tr("nothing waits in the outbox"));
	cli_note(cli, tr("dry run: nothing was sent"));
	json_decref(waiting.list);
	link_close(cli, poc);
	return 0;
}

int poc_cmd_notice_flush(struct cli *cli)
{
	struct duty duty;
	size_t sent, waiting;

	if (cli_has(cli, "discard"))
		return discard(cli, cli_value(cli, "discard"));
	if (cli->dry_run)
		return flush_dry(cli);
	if (cli->offline)
		return cli_fail(cli, STATUS_USAGE,
				tr("flush sends: it does not go with --offline (poc -n notice flush says what waits)"));
	int status = duty_open_sender(cli, &duty);
	if (status != 0)
		return status;
	json_t *refused = json_array();
	status = duty_flush(&duty, &sent, &waiting);
	if (status != 0 && waiting > 0) /* for whatever reason: it goes later */
		status = STATUS_QUEUED;
	if (status != 0 && !cli->json) /* the field that it names is of what was sent, not of this command */
		cli_fail(cli, status, "%s", client_why(duty.poc)->message);
	/* what was refused needs somebody, and what waits only time */
	const int refusal = waiting_refused(cli, duty.poc, &duty.keys, refused);
	status = refusal != 0 ? refusal : status;
	if (cli->json)
		cli_document(cli, "poc.notice-flush/1",
			     json_pack("{s:I,s:I,s:O}", "sent", (json_int_t)sent, "waiting", (json_int_t)waiting,
				       "refused", refused));
	else if (!cli->quiet)
		cli_line(tr("%zu sent, %zu waiting, %zu refused"), sent, waiting, json_array_size(refused));
	json_decref(refused);
	cli->failed = cli->failed || status != 0;
	duty_close(&duty);
	return status;
}
