/* Reminders to coordinators of what is due, sent by a program: systemd's timer runs this once a day. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/due.h"
#include "clients/cli/link.h"
#include "clients/cli/strings.h"
#include "clients/libpoc/desk.h"
#include "clients/pocadm/commands.h"
#include "proto/rules/notice.h"

enum { LINES_MAX = 500 };

struct reminding {
	struct cli *cli;
	struct poc *poc;
	struct desk *desk; /* ours: what was sent before is in its feed */
	json_t *list;
	size_t sent, before, refused;
};

/* What ends on one day, of one state and of one kind: one notice. */
struct group {
	const struct due *first;
	size_t n;
	char state[STATE_MAX_LENGTH + 1];
};

/* ---- Which notice it is */

static void take_state(const struct due *due, char out[STATE_MAX_LENGTH + 1])
{
	snprintf(out, STATE_MAX_LENGTH + 1, "%.*s", (int)strcspn(due->place, "/"), due->place);
}

static struct group group_at(const struct due_list *list, size_t i)
{
	struct group group = {.first = &list->list[i]};
	char state[STATE_MAX_LENGTH + 1];

	take_state(group.first, group.state);
	for (; i < list->n; i++, group.n++) {
		const struct due *due = &list->list[i];
		take_state(due, state);
		if (strcmp(state, group.state) != 0 || due->kind != group.first->kind ||
		    due_day(due->at) != due_day(group.first->at))
			break;
	}
	return group;
}

/* From what is due and the threshold alone: whoever runs this again, wherever, comes to the same id, and the directory
 * stores a notice once. */
static void derive_id(const struct reminding *r, const struct group *group, struct notice_id *out)
{
	static const char domain[] = "pocd-reminder-v1\n";
	char matter[120];
	int n = snprintf(matter, sizeof matter, "%s %s %lld %d", group->state, due_kind_name(group->first->kind),
			 (long long)due_day(group->first->at), group->first->days);
	struct hash_part parts[] = {
	    {domain, sizeof domain - 1}, {client_directory_id(r->poc)->bytes, HASH_SIZE}, {matter, (size_t)n}};
	struct hash hash = hash_parts(parts, 3);

	memcpy(out->bytes, hash.bytes, NOTICE_ID_SIZE);
}

static bool sent_before(const struct reminding *r, const struct notice_id *id)
{
	const struct desk_notice *n = desk_find(r->desk, id);

	return n != NULL && n->good && strcmp(n->notice->core->from->place, r->desk->id.place) == 0;
}

/* ---- What it says */

static const char *subject_of(const struct due *due)
{
	switch (due->kind) {
	case DUE_CONFIRMATION:
		return due->days > 0 ? tr("Please confirm your contacts")
				     : tr("Your contacts are stale: please confirm them");
	case DUE_USER:
		return tr("Users of yours will be refused soon");
	case DUE_READING_KEY:
		return tr("Reading keys of yours end soon");
	default:
		return tr("The trust root expires soon");
	}
}

static const char *advice_of(const struct due *due)
{
	switch (due->kind) {
	case DUE_CONFIRMATION:
		return tr("poc confirm says that a record is still right, poc edit changes it. Until then readers are "
			  "told how "
			  "old it is; nothing is deleted.");
	case DUE_USER:
		return tr("poc user invite and poc user add give somebody a new time.");
	case DUE_READING_KEY:
		return tr("poc key new makes another reading key; without one nothing can be encrypted to the desk.");
	default:
		return tr("The council signs the next one. Answers under one that has expired are shown as stale.");
	}
}

static char *text_of(const struct group *group)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < group->n && i < LINES_MAX; i++) {
		char *line = due_text(&group->first[i]);
		fprintf(out, "%s\n", line != NULL ? line : "");
		free(line);
	}
	if (group->n > LINES_MAX)
		fprintf(out, tr("and %zu more: poc status lists them all\n"), group->n - LINES_MAX);
	fprintf(out, "\n%s\n\n%s", advice_of(group->first),
		tr("This is said by a program of the directory's staff; nobody waits for an answer."));
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

/* ---- Sending */

/* Sealed anew when a desk's keys changed meanwhile.  It is not kept for later when it cannot be posted: the next run
 * comes to the same. */
static int post(struct reminding *r, const struct client_notice *notice, int64_t *stored_ms)
{
	int status = 0;

	for (int i = 0; i < 2; i++) {
		struct client_sealed sealed;
		struct client_posted posted;
		status = client_seal(r->poc, CLIENT_ONLINE, notice, &sealed);
		if (status == 0)
			status = client_post(r->poc, sealed.header, sealed.header_size, sealed.body, sealed.body_size,
					     &posted);
		client_sealed_finish(&sealed);
		*stored_ms = status == 0 ? posted.stored_ms : 0;
		if (status != STATUS_STALE_KEY || poc_connect(r->poc) != 0)
			break;
	}
	return status;
}

static int send(struct reminding *r, const struct group *group, const struct notice_id *id, int64_t *stored_ms)
{
	Poc__NoticeContent content = POC__NOTICE_CONTENT__INIT;
	struct client_notice notice = {.from = r->desk->id,
				       .n_to = 1,
				       .id = *id,
				       .thread = *id,
				       .category = POC__CATEGORY__CATEGORY_NOTIFICATION,
				       .urgency = POC__URGENCY__URGENCY_ROUTINE,
				       .tlp = POC__NOTICE_TLP__NOTICE_TLP_AMBER,
				       .exercise = "",
				       .created = client_now(r->poc),
				       .content = &content};

	snprintf(notice.to[0].place, sizeof notice.to[0].place, "%s", group->state);
	notice.to[0].kind = POC__POC_KIND__POC_KIND_COORDINATOR;
	content.subject = (char *)subject_of(group->first);
	content.language = (char *)"en";
	content.text = text_of(group);
	if (content.text == NULL)
		return cli_fail(r->cli, STATUS_NO_MEMORY, tr("out of memory"));
	int status = post(r, &notice, stored_ms);
	free(content.text);
	/* another run of this was quicker; or somebody took the id, which does not pass for ours */
	if (status == STATUS_CONFLICT && desk_sync(r->poc, r->desk) == 0)
		status = sent_before(r, id) ? 0 : STATUS_CONFLICT;
	return status;
}

/* It is this coordinator who cannot be reached: others may be. */
static bool is_theirs(int status, const struct refusal *why)
{
	return status == STATUS_NO_READING_KEY || status == STATUS_STALE_KEY || status == STATUS_CONFLICT ||
	       strcmp(why->field, "to") == 0 || strncmp(why->field, "core.to", 7) == 0;
}

static void tell(struct reminding *r, const struct group *group, const struct notice_id *id, const char *result,
		 int64_t stored_ms, const char *error)
{
	char text[NOTICE_ID_TEXT];

	notice_id_print(id, text);
	if (r->cli->json) {
		json_t *items = json_array();
		for (size_t i = 0; i < group->n; i++)
			json_array_append_new(items, due_json(&group->first[i]));
		json_array_append_new(r->list,
				      json_pack("{s:s,s:s,s:s,s:i,s:s,s:o,s:o,s:o}", "to", group->state, "id", text,
						"matter", due_kind_name(group->first->kind), "days", group->first->days,
						"result", result, "stored", cli_time_json(stored_ms / 1000), "error",
						error[0] != '\0' ? json_string(error) : json_null(), "items", items));
		return;
	}
	cli_line("%-10s %-12s  %-13s  %s%s%s", group->state, due_kind_name(group->first->kind), result, text,
		 error[0] != '\0' ? "  " : "", error);
	for (size_t i = 0; i < group->n; i++) {
		char *line = due_text(&group->first[i]);
		cli_line("    %s", line != NULL ? line : "");
		free(line);
	}
}

static int remind(struct reminding *r, const struct group *group)
{
	struct notice_id id;
	int64_t stored_ms = 0;
	int status = 0;

	derive_id(r, group, &id);
	if (sent_before(r, &id)) {
		r->before++;
		tell(r, group, &id, "sent-before", desk_find(r->desk, &id)->stored * 1000, "");
		return 0;
	}
	if (r->cli->dry_run) {
		tell(r, group, &id, "would-be-sent", 0, "");
		return 0;
	}
	status = send(r, group, &id, &stored_ms);
	if (status == 0) {
		r->sent++;
		tell(r, group, &id, "sent", stored_ms, "");
	} else if (is_theirs(status, client_why(r->poc))) {
		r->refused++;
		tell(r, group, &id, "not-sent", 0, client_why(r->poc)->message);
		status = 0;
	} else {
		link_fail(r->cli, r->poc, status);
	}
	return status;
}

static int remind_all(struct reminding *r, const struct due_list *list)
{
	int status = 0;

	for (size_t i = 0; i < list->n && status == 0;) {
		struct group group = group_at(list, i);
		if (group.first->days != DUE_ENDED)
			status = remind(r, &group);
		i += group.n;
	}
	return status;
}

/* ---- The command */

/* The desk that the reminders come from, with all that it has sent. */
static int open_desk(struct reminding *r)
{
	struct client_desk desks[3];
	size_t n;
	int status = client_own_desks(r->poc, CLIENT_ONLINE, desks, &n);

	if (status == 0)
		status = desk_open(r->poc, &desks[0], &r->desk);
	if (status == 0)
		status = desk_sync(r->poc, r->desk);
	return status == 0 ? 0 : link_fail(r->cli, r->poc, status);
}

static void tell_all(struct reminding *r)
{
	if (r->cli->json)
		cli_document(r->cli, "poc.remind/1",
			     json_pack("{s:I,s:I,s:I,s:b,s:O}", "sent", (json_int_t)r->sent, "sent_before",
				       (json_int_t)r->before, "not_sent", (json_int_t)r->refused, "dry_run",
				       (int)r->cli->dry_run, "reminders", r->list));
	else if (r->cli->dry_run)
		cli_note(r->cli, tr("dry run: nothing was sent"));
	else
		cli_line(tr("%zu sent, %zu sent before, %zu not sent"), r->sent, r->before, r->refused);
}

int pocadm_cmd_remind(struct cli *cli)
{
	struct reminding r = {.cli = cli};
	struct due_list list = {0};

	if (cli->conf.state[0] != '\0' && strcmp(cli->conf.state, STATE_DIRECTORY) != 0)
		return cli_fail(cli, STATUS_DENIED, tr("reminders come from the directory's staff, not from %s"),
				cli->conf.state);
	int status = link_open(cli, true, &r.poc);
	if (status != 0)
		return status;
	r.list = json_array();
	status = open_desk(&r);
	if (status == 0 &&
	    ((status = poc_sync(r.poc, NULL, NULL)) != 0 || (status = due_of_all(r.poc, due_now(r.poc), &list)) != 0))
		link_fail(cli, r.poc, status);
	if (status == 0)
		status = remind_all(&r, &list);
	if (status == 0)
		tell_all(&r);
	json_decref(r.list);
	due_finish(&list);
	desk_close(r.desk);
	link_close(cli, r.poc);
	return status;
}
