/* poc report: telling a state, and the directory's staff, that a channel of its record does not work; and what was
 * told.
 *
 * A report is a notice of small, fixed content to the coordinators of both, and the only thing that is kept of it: they
 * count what their desks have received since the record was last published or confirmed, which clears it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/place.h"
#include "clients/cli/show.h"
#include "clients/cli/strings.h"
#include "clients/poc/duty.h"
#include "clients/poc/notice.h"
#include "clients/poc/sending.h"
#include "proto/wire/prescan.h"

#define REPORT_TEMPLATE "channel-report"

enum { FIELDS = 5, REASONS = 3 };

static const char *const reasons[REASONS] = {"no-answer", "wrong", "bounced"};

static int reason_index(const char *text)
{
	for (int i = 0; i < REASONS; i++) {
		if (text != NULL && strcmp(text, reasons[i]) == 0)
			return i;
	}
	return -1;
}

/* ---- Reporting */

struct found {
	const struct draft_poc *poc;
	const Poc__Channel *channel;
};

/* A channel by its value, or as POC/id. */
static bool is_channel(const struct draft_poc *poc, const Poc__Channel *channel, const char *text)
{
	size_t length = strlen(poc->id);

	return strcmp(channel->value, text) == 0 || (strncmp(text, poc->id, length) == 0 && text[length] == '/' &&
						     strcmp(text + length + 1, channel->id) == 0);
}

static bool find_among(const struct draft_poc *poc, Poc__Channel *const *channels, size_t n, const char *text,
		       struct found *out)
{
	for (size_t i = 0; i < n; i++) {
		if (is_channel(poc, channels[i], text)) {
			*out = (struct found){poc, channels[i]};
			return true;
		}
	}
	return false;
}

/* The office's, or else a person's. */
static bool find_in(const struct draft_poc *poc, const Poc__Content *content, const char *text, struct found *out)
{
	bool found = find_among(poc, content->channels, content->n_channels, text, out);

	for (size_t i = 0; i < content->n_persons && !found; i++)
		found = find_among(poc, content->persons[i]->channels, content->persons[i]->n_channels, text, out);
	return found;
}

static bool find_channel(const struct draft *draft, const char *text, struct found *out)
{
	bool found = false;

	for (size_t i = 0; i < draft->n_pocs; i++) {
		const struct draft_poc *poc = &draft->pocs[i];
		for (size_t j = 0; j < poc->n_sections && !found; j++) {
			const Poc__Content *content = poc->sections[j].content;
			found = content != NULL && find_in(poc, content, text, out);
		}
	}
	return found;
}

/* To both coordinators; where one of them has no reading key, to the other alone. */
static int post(struct duty *duty, const struct name *place, struct client_notice *n, struct client_posted *posted)
{
	static const char *const wanted[][2] = {{NULL, STATE_DIRECTORY}, {NULL, NULL}, {STATE_DIRECTORY, NULL}};
	int status = STATUS_NO_READING_KEY;

	for (size_t i = 0; i < 3 && status == STATUS_NO_READING_KEY; i++) {
		struct client_sealed sealed;
		const char *first = wanted[i][0] != NULL ? wanted[i][0] : place->state;
		n->n_to = wanted[i][1] != NULL ? 2 : 1;
		snprintf(n->to[0].place, sizeof n->to[0].place, "%s", first);
		snprintf(n->to[1].place, sizeof n->to[1].place, "%s", STATE_DIRECTORY);
		n->to[0].kind = n->to[1].kind = POC__POC_KIND__POC_KIND_COORDINATOR;
		status = outbox_send(duty->poc, duty->offline, n, &sealed, posted);
		client_sealed_finish(&sealed);
	}
	return status;
}

static int send_report(struct duty *duty, const struct name *place, const struct found *found, const char *reason)
{
	Poc__NoticeContent content = POC__NOTICE_CONTENT__INIT;
	Poc__Field fields[FIELDS], *list[FIELDS];
	const char *values[FIELDS][2] = {{"channel", found->channel->id},
					 {"place", place_text(place)},
					 {"poc", found->poc->id},
					 {"reason", reason},
					 {"value", found->channel->value}};
	struct client_notice n = {.category = POC__CATEGORY__CATEGORY_NOTIFICATION,
				  .urgency = POC__URGENCY__URGENCY_ROUTINE,
				  .tlp = POC__NOTICE_TLP__NOTICE_TLP_AMBER,
				  .exercise = "",
				  .created = client_now(duty->poc),
				  .content = &content};
	struct client_desk desks[DUTY_DESKS];
	struct client_posted posted = {0};
	char subject[160], id[NOTICE_ID_TEXT];
	size_t n_desks;

	for (size_t i = 0; i < FIELDS; i++) {
		poc__field__init(&fields[i]);
		fields[i].name = (char *)values[i][0];
		fields[i].value = (char *)values[i][1];
		list[i] = &fields[i];
	}
	snprintf(subject, sizeof subject, "A channel of %s: %s", place_text(place), reason);
	content.subject = subject;
	content.language = (char *)"en";
	content.template_ = (char *)REPORT_TEMPLATE;
	content.fields = list;
	content.n_fields = FIELDS;
	int status = client_own_desks(duty->poc, duty->offline ? CLIENT_OFFLINE : CLIENT_ONLINE, desks, &n_desks);
	if (status == 0 && notice_new_id(&n.id) != 0)
		status = STATUS_FAILED;
	if (status == 0) {
		n.thread = n.id;
		n.from = desks[0];
		status = post(duty, place, &n, &posted);
	}
	if (status != 0 && status != STATUS_QUEUED)
		return duty_fail(duty, status);
	duty_id(&n.id, id);
	if (duty->cli->json) {
		json_t *json = json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:o}", "id", id, "place", place_text(place), "poc",
					 found->poc->id, "channel", found->channel->id, "reason", reason, "recipients",
					 (int)n.n_to, "stored", cli_time_json(posted.stored_ms / 1000));
		sending_put_why(duty, &n.id, status == STATUS_QUEUED, client_why(duty->poc)->retry_ms, json);
		cli_document(duty->cli, "poc.report/1", json);
	} else {
		cli_line(status == 0 ? tr("%s  reported to the coordinator of %s%s")
				     : tr("%s  in the outbox, for the coordinator of %s%s"),
			 id, n.to[0].place, n.n_to == 2 ? tr(" and the directory's staff") : "");
	}
	if (status == STATUS_QUEUED && !duty->cli->json)
		return duty_fail(duty, status);
	duty->cli->failed = duty->cli->failed || status == STATUS_QUEUED; /* its document says it */
	return status;
}

/* The record now, or without a server that of the local copy: a report waits like any notice. */
static int find_record(struct duty *duty, const struct name *place, struct client_record *out)
{
	int status = duty->offline ? STATUS_UNREACHABLE : client_lookup(duty->poc, CLIENT_ONLINE, place, NULL, 0, out);

	if ((status == STATUS_UNREACHABLE || status == STATUS_TLS) && !duty->cli->insist) {
		client_record_finish(out);
		int offline = client_lookup(duty->poc, CLIENT_OFFLINE, place, NULL, 0, out);
		if (offline == STATUS_UNREACHABLE)
			return cli_fail(
			    duty->cli, status,
			    tr("no server can be reached, and there is no local copy (poc sync makes one)"));
		duty->offline = true;
		status = offline;
	}
	if (out->verified.record == NULL)
		return duty_fail(duty, status != 0 ? status : STATUS_NOT_FOUND);
	return 0; /* one that is stale is the more worth a report */
}

static void would_report(struct cli *cli, const struct name *place, const struct found *found, const char *reason)
{
	if (cli->json)
		cli_document(cli, "poc.report/1",
			     json_pack("{s:b,s:s,s:s,s:s,s:s}", "dry_run", 1, "place", place_text(place), "poc",
				       found->poc->id, "channel", found->channel->id, "reason", reason));
	else
		cli_line(tr("would be reported to the coordinator of %s and the directory's staff: %s/%s, %s: %s"),
			 place->state, found->poc->id, found->channel->id, found->channel->value, reason);
	cli_note(cli, tr("dry run: nothing was sent"));
}

static int report(struct cli *cli)
{
	struct client_record record = {0};
	struct draft *draft = NULL;
	struct duty duty = {0};
	struct name place;
	struct found found = {0};
	const char *reason = cli_value(cli, "reason");
	int status = 0;

	if (cli->argc != 2)
		status = cli_fail(cli, STATUS_USAGE, tr("which place and channel?"));
	else if (reason_index(reason) < 0)
		status = cli_fail(cli, STATUS_USAGE, tr("--reason is no-answer, wrong or bounced"));
	if (status == 0)
		status = place_read(cli, cli->argv[0], &place);
	if (status == 0)
		status = duty_open_sender(cli, &duty);
	if (status != 0)
		return status;
	status = find_record(&duty, &place, &record);
	const struct verified_record *v = &record.verified;
	if (status == 0)
		status = draft_from_record(v->record->payload.record, v->sections, v->n_sections, &draft, NULL);
	if (status == 0 && !find_channel(draft, cli->argv[1], &found))
		status = cli_fail(cli, STATUS_NOT_FOUND,
				  tr("%s has no channel %s: its value as lookup shows it, or POC/ID of its record"),
				  place_text(&place), cli->argv[1]);
	if (status == 0 && !duty.offline && outbox_waiting(duty.poc) > 0)
		duty_flush(&duty, NULL, NULL);
	if (status == 0 && cli->dry_run)
		would_report(cli, &place, &found, reason);
	else if (status == 0)
		status = send_report(&duty, &place, &found, reason);
	draft_destroy(draft);
	client_record_finish(&record);
	duty_close(&duty);
	return status;
}

/* ---- What was reported */

struct tally {
	char place[NAME_MAX_LENGTH + 1], poc[UNIT_MAX_LENGTH + 1], channel[UNIT_MAX_LENGTH + 1];
	char *value; /* owned */
	int64_t confirmed, last;
	size_t counts[REASONS];
};

struct tallies {
	struct duty *duty;
	size_t n;
	struct tally *list;
	bool told;             /* a desk of ours is one that reports go to */
	size_t opened, closed; /* notices that may be reports: those we could open, and not */
	char why[512];         /* the last of those could not be opened */
};

static const char *field_of(const Poc__NoticeContent *content, const char *name)
{
	for (size_t i = 0; i < content->n_fields; i++) {
		if (strcmp(content->fields[i]->name, name) == 0)
			return content->fields[i]->value;
	}
	return "";
}

/* When the record was last confirmed; 0: not known, then nothing is cleared. */
static int64_t confirmed_at(struct tallies *t, const struct name *place)
{
	struct client_record record = {0};

	for (size_t i = 0; i < t->n; i++) {
		if (strcmp(t->list[i].place, place_text(place)) == 0)
			return t->list[i].confirmed;
	}
	client_lookup(t->duty->poc, t->duty->offline ? CLIENT_OFFLINE : CLIENT_ONLINE, place, NULL, 0, &record);
	int64_t confirmed = record.verdict.confirmed;
	client_record_finish(&record);
	return confirmed;
}

static struct tally *tally_of(struct tallies *t, const struct name *place, const Poc__NoticeContent *content)
{
	const char *poc = field_of(content, "poc"), *channel = field_of(content, "channel"),
		   *value = field_of(content, "value"); /* two persons may have a channel of that id */

	for (size_t i = 0; i < t->n; i++) {
		struct tally *each = &t->list[i];
		if (strcmp(each->place, place_text(place)) == 0 && strcmp(each->poc, poc) == 0 &&
		    strcmp(each->channel, channel) == 0 && strcmp(each->value, value) == 0)
			return each;
	}
	struct tally *grown = realloc(t->list, (t->n + 1) * sizeof *grown);
	if (grown == NULL)
		return NULL;
	t->list = grown;
	struct tally *fresh = &t->list[t->n];
	*fresh = (struct tally){.confirmed = confirmed_at(t, place), .value = strdup(value)};
	snprintf(fresh->place, sizeof fresh->place, "%s", place_text(place));
	snprintf(fresh->poc, sizeof fresh->poc, "%s", poc);
	snprintf(fresh->channel, sizeof fresh->channel, "%s", channel);
	t->n += fresh->value != NULL;
	return fresh->value != NULL ? fresh : NULL;
}

/* A report is of a place of ours, or, at the directory's desk, of any. */
static int count(struct tallies *t, const struct desk *desk, const struct desk_notice *n,
		 const Poc__NoticeContent *content)
{
	int reason = reason_index(field_of(content, "reason"));
	struct name place;

	if (strcmp(content->template_, REPORT_TEMPLATE) != 0 || reason < 0 ||
	    !place_parse(field_of(content, "place"), &place) || !id_valid(field_of(content, "poc")) ||
	    !id_valid(field_of(content, "channel")) ||
	    (strcmp(desk->id.place, STATE_DIRECTORY) != 0 && strcmp(desk->id.place, place.state) != 0))
		return 0;
	struct tally *tally = tally_of(t, &place, content);
	if (tally == NULL)
		return cli_fail(t->duty->cli, STATUS_NO_MEMORY, tr("out of memory"));
	if (n->stored < tally->confirmed) /* of the same second: rather told once too often */
		return 0;
	tally->counts[reason]++;
	tally->last = n->stored > tally->last ? n->stored : tally->last;
	return 0;
}

static int count_all(struct tallies *t)
{
	int status = 0;

	for (size_t i = 0; i < t->duty->n_desks && status == 0; i++) {
		const struct desk *desk = t->duty->desks[i];
		if (desk->id.kind != POC__POC_KIND__POC_KIND_COORDINATOR)
			continue;
		t->told = true;
		for (size_t j = 0; j < desk->n && status == 0; j++) {
			const struct desk_notice *n = desk->notices[j];
			Poc__Inner *inner;
			if (n->side != SIDE_TO || !n->good ||
			    n->notice->core->category != POC__CATEGORY__CATEGORY_NOTIFICATION ||
			    n->notice->core->reply_by != 0 || n->notice->core->n_to > 2)
				continue;
			if (duty_open_notice(t->duty, desk, n, &inner) != 0) {
				t->closed++;
				snprintf(t->why, sizeof t->why, "%s", client_why(t->duty->poc)->message);
				continue;
			}
			t->opened++;
			status = count(t, desk, n, inner->content);
			message_free(inner);
		}
	}
	return status;
}

static void show_all(const struct tallies *t)
{
	json_t *list = json_array();
	size_t shown = 0;

	for (size_t i = 0; i < t->n; i++) {
		const struct tally *each = &t->list[i];
		if (each->last == 0)
			continue;
		shown++;
		if (t->duty->cli->json)
			json_array_append_new(
			    list,
			    json_pack("{s:s,s:s,s:s,s:s,s:{s:I,s:I,s:I},s:o}", "place", each->place, "poc", each->poc,
				      "channel", each->channel, "value", each->value, "counts", reasons[0],
				      (json_int_t)each->counts[0], reasons[1], (json_int_t)each->counts[1], reasons[2],
				      (json_int_t)each->counts[2], "last", cli_time_json(each->last)));
		else
			cli_line(tr("%s  %s/%s  %s: no answer %zu, wrong %zu, bounced %zu; last %s"), each->place,
				 each->poc, each->channel, each->value, each->counts[0], each->counts[1],
				 each->counts[2], time_text(each->last));
	}
	if (t->duty->cli->json)
		cli_document(t->duty->cli, "poc.report/1",
			     json_pack("{s:O,s:I}", "channels", list, "not_opened", (json_int_t)t->closed));
	else if (shown == 0)
		cli_line(tr("nothing reported"));
	json_decref(list);
}

static int show_reports(struct cli *cli)
{
	struct duty duty = {0};
	struct tallies tallies = {.duty = &duty};
	int status = cli_has(cli, "reason")
			 ? cli_fail(cli, STATUS_USAGE, tr("--reason goes with a place and a channel"))
			 : duty_open(cli, &duty);

	if (status != 0)
		return status;
	status = count_all(&tallies);
	if (status == 0 && !tallies.told)
		status = cli_fail(cli, STATUS_DENIED,
				  tr("reports go to the coordinators of a state and to the directory's staff"));
	else if (status == 0 && tallies.closed > 0 && tallies.opened == 0)
		status = cli_fail(cli, STATUS_DENIED, tr("%zu notices that may be reports could not be opened: %s"),
				  tallies.closed, tallies.why);
	else if (status == 0 && tallies.closed > 0)
		cli_alert(cli, tr("%zu notices that may be reports could not be opened: %s"), tallies.closed,
			  tallies.why);
	if (status == 0)
		show_all(&tallies);
	for (size_t i = 0; i < tallies.n; i++)
		free(tallies.list[i].value);
	free(tallies.list);
	duty_close(&duty);
	return status;
}

int poc_cmd_report(struct cli *cli)
{
	return cli->argc == 0 ? show_reports(cli) : report(cli);
}
