/* Looking up and verifying. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "clients/cli/due.h"
#include "clients/cli/link.h"
#include "clients/cli/place.h"
#include "clients/cli/replacing.h"
#include "clients/cli/show.h"
#include "clients/cli/strings.h"
#include "clients/libpoc/content.h"
#include "clients/poc/commands.h"
#include "clients/poc/duty.h"
#include "clients/poc/story_view.h"
#include "clients/poc/units.h"
#include "clients/poc/waiting.h"
#include "proto/rules/register.h"

enum { PROOF_FILE_MAX = 512 << 20 };

/* What is collected while several places are looked up. */
struct looking {
	struct cli *cli;
	struct poc *poc;
	struct show_filter filter;
	json_t *results;
	struct units *units; /* of the state that a bundle's walk is at; NULL: nothing to compare */
	json_t *remarks;     /* on a bundle's units */
	bool told_first;     /* the line that is said once, before all places: offline, or a wrong clock */
	bool absent;         /* the place that was looked up last has no record: proven, */
	bool member;         /* and its state is enrolled, */
	bool suspended;      /* and suspended */
	bool failed;         /* an error was told of some place */
	int worst;           /* the status to end with */
};

static void keep_worst(struct looking *looking, int status)
{
	if (status != 0 && (looking->worst == 0 || status_exit(status) != 7))
		looking->worst = status;
}

static int read_filter(struct cli *cli, struct show_filter *filter)
{
	const char *kind = cli_value(cli, "kind");

	filter->section = cli_value(cli, "section");
	if (kind != NULL &&
	    (!poc_kind_parse(kind, &filter->kind) || filter->kind == POC__POC_KIND__POC_KIND_COORDINATOR))
		return cli_fail(cli, STATUS_USAGE, tr("--kind is technical or diplomatic"));
	return 0;
}

static int save(struct looking *looking, const struct client_record *record)
{
	const char *path = cli_value(looking->cli, "save");
	struct refusal why = {0};

	if (path == NULL)
		return 0;
	if (record->proof == NULL)
		return cli_fail(
		    looking->cli, STATUS_UNREACHABLE,
		    tr("%s was not written: a server's answer is saved, not the copy's (poc export saves that)"), path);
	if (looking->cli->dry_run) {
		cli_note(looking->cli, tr("dry run: %s was not written"), path);
		return 0;
	}
	int status =
	    cli_write_file(path, record->proof, record->proof_size, 0600 /* it may hold persons */, false, &why);
	return status == 0 ? 0 : cli_refused(looking->cli, &why);
}

/* What the filter asks for must be there. */
static int check_filter(struct looking *looking, const struct draft *draft)
{
	const struct show_filter *f = &looking->filter;

	if ((f->kind == 0 && f->section == NULL) || draft->withdrawn || show_count(draft, f) > 0)
		return 0;
	return cli_fail(looking->cli, STATUS_NOT_FOUND, tr("%s has no %s%s%s%s"), place_title(&draft->name),
			f->kind != 0 ? poc_kind_name(f->kind) : "", f->kind != 0 ? tr(" point of contact") : "",
			f->section == NULL ? ""
			: f->kind != 0     ? tr(" with a section ")
					   : tr("section "),
			f->section != NULL ? f->section : "");
}

static int show_found(struct looking *looking, const struct client_record *record)
{
	struct cli *cli = looking->cli;
	struct draft *draft;
	struct refusal why = {0};
	const struct verified_record *v = &record->verified;
	int status = draft_from_envelope(v->record, v->sections, v->n_sections, &draft, &why);

	if (status != 0)
		return cli_refused(cli, &why);
	if (cli->json) {
		json_array_append_new(looking->results, show_json(draft, &record->verdict));
	} else {
		if (show_record(draft, &looking->filter, record->verdict.judged))
			putchar('\n');
		show_verdict(&record->verdict);
	}
	status = check_filter(looking, draft);
	draft_destroy(draft);
	return status;
}

/* "BR (Brazil): verified but stale: BR has not been confirmed for too long" */
static void tell_status(struct looking *looking, const struct name *name, int status)
{
	const struct refusal *why = client_why(looking->poc);
	bool more = why->code == status && why->message[0] != '\0';

	if (status == STATUS_BEHIND)
		cli_note(looking->cli, tr("%s: verified, from the local copy: what came since is not known"),
			 place_title(name));
	else if (status == STATUS_SUSPENDED) /* its verdict gives the reason */
		cli_note(looking->cli, "%s: %s", place_title(name), status_text(status));
	else if (more && status == STATUS_CLOCK) /* its words say whose clock, or which time */
		cli_note(looking->cli, "%s: %s", place_title(name), why->message);
	else
		cli_note(looking->cli, "%s: %s%s%s", place_title(name), status_text(status), more ? ": " : "",
			 more ? why->message : "");
}

static int from_copy(struct looking *looking, const struct name *name, struct client_record *out)
{
	client_record_finish(out);
	return client_lookup(looking->poc, CLIENT_OFFLINE, name, NULL, 0, out);
}

/* A server that is behind what is known already: the copy is better, but what came since is unknown. */
static int from_copy_ahead(struct looking *looking, const struct name *name, struct client_record *out)
{
	cli_note(looking->cli, tr("%s"), client_why(looking->poc)->message);
	int status = from_copy(looking, name, out);
	return status == 0 || status == STATUS_UNREACHABLE ? STATUS_BEHIND : status;
}

/* Online unless told otherwise; without an answer from any server, the local copy. */
static int fetch(struct looking *looking, const struct name *name, struct client_record *out)
{
	struct cli *cli = looking->cli;
	const char *sections[] = {looking->filter.section};

	if (cli->offline)
		return from_copy(looking, name, out);
	int status = client_lookup(looking->poc, CLIENT_ONLINE, name, sections, sections[0] != NULL, out);
	if (cli->insist || (status != STATUS_UNREACHABLE && status != STATUS_TLS && status != STATUS_BEHIND))
		return status;
	if (status == STATUS_BEHIND)
		return from_copy_ahead(looking, name, out);
	char reason[400];
	snprintf(reason, sizeof reason, "%s", client_why(looking->poc)->message);
	int offline = from_copy(looking, name, out);
	if (offline == STATUS_UNREACHABLE)
		return cli_fail(cli, status, tr("%s; and there is no local copy (poc sync makes one)"), reason);
	cli_detail(cli, "%s", reason);
	return offline;
}

static void tell_first(struct looking *looking, const struct poc_verdict *verdict)
{
	if (looking->told_first || looking->cli->json)
		return;
	looking->told_first = verdict->offline || verdict->clock_behind > 0 || verdict->clock_ahead > 0;
	if (verdict->offline)
		show_offline(verdict->time_ms / 1000, client_now(looking->poc));
	else
		show_clock(verdict);
}

static bool may_be_shown(int status)
{
	return status == 0 || status == STATUS_WITHDRAWN || status == STATUS_SUSPENDED || status == STATUS_STALE ||
	       status == STATUS_CLOCK || status == STATUS_BEHIND;
}

static void tell_lines(const json_t *remarks)
{
	for (size_t i = 0; i < json_array_size(remarks); i++)
		cli_line("%s", json_string_value(json_object_get(json_array_get(remarks, i), "message")));
}

/* What is wrong with units, as lines or in the last result's remarks.  Takes remarks. */
static void tell_units(struct looking *looking, json_t *remarks)
{
	json_t *result = json_array_get(looking->results, json_array_size(looking->results) - 1);

	if (looking->cli->json)
		json_array_extend(json_object_get(result, "remarks"), remarks);
	else
		tell_lines(remarks);
	json_decref(remarks);
}

/* A unit against its state's list; a state's list, where it was asked for, against the local copy. */
static void check_units(struct looking *looking, const struct name *name, const struct client_record *record)
{
	const enum client_mode mode = record->verdict.offline ? CLIENT_OFFLINE : CLIENT_ONLINE;
	const char *section = looking->filter.section;
	json_t *remarks = json_array();

	if (name->unit[0] != '\0' && units_listed(looking->poc, mode, name) == 0)
		units_remark(remarks, name->state, name->unit, false);
	if (name->unit[0] == '\0' && section != NULL && strcmp(section, "units") == 0 &&
	    !units_compare(looking->poc, record, remarks))
		cli_note(looking->cli,
			 tr("whether the units have records is not checked: that takes the local copy (poc sync)"));
	tell_units(looking, remarks);
}

static int found(struct looking *looking, const struct name *name, int status, const struct client_record *record)
{
	int verdict = status != 0 ? status : show_status(&record->verdict);
	int printed = show_found(looking, record);

	if (printed == 0)
		printed = save(looking, record);
	if (printed == 0 && verdict == STATUS_WITHDRAWN)
		cli_fail(looking->cli, verdict, tr("%s: withdrawn by its state (proven)"), place_title(name));
	else if (printed == 0 && verdict != 0)
		tell_status(looking, name, verdict);
	if (printed == 0 && verdict != STATUS_WITHDRAWN)
		check_units(looking, name, record);
	return printed != 0 ? printed : verdict;
}

/* A member of the directory without contacts is something else than a stranger to it. */
static const char *absence_text(const struct name *name, bool enrolled)
{
	return enrolled && name->unit[0] == '\0'
		   ? tr("a member of the directory (enrolled) which has published no contacts")
		   : tr("not in the directory");
}

/* A buffer until the next call. */
static const char *suspended_text(const struct client_record *record)
{
	static char text[900];

	snprintf(text, sizeof text, tr("; the state is SUSPENDED: %s"), show_suspended_for(&record->verdict));
	return record->verified.suspended ? text : "";
}

static int absent(struct looking *looking, const struct name *name, const struct client_record *record)
{
	int status = save(looking, record);

	looking->absent = true;
	looking->member = record->verdict.enrolled;
	looking->suspended = record->verified.suspended;
	const enum client_mode mode = record->verdict.offline ? CLIENT_OFFLINE : CLIENT_ONLINE;
	const bool listed = name->unit[0] != '\0' && units_listed(looking->poc, mode, name) == 1;
	return status != 0 ? status
			   : cli_fail(looking->cli, STATUS_NOT_FOUND,
				      tr("%s: %s%s%s; its absence is proven by checkpoint %llu"), place_title(name),
				      absence_text(name, record->verdict.enrolled),
				      listed ? tr(", though its state lists it as a unit") : "", suspended_text(record),
				      (unsigned long long)record->verdict.size);
}

static int look_up(struct looking *looking, const char *text)
{
	struct client_record record = {0};
	struct name name;
	int status = place_read(looking->cli, text, &name);

	if (status != 0)
		return status;
	status = fetch(looking, &name, &record);
	tell_first(looking, &record.verdict);
	if (may_be_shown(status) && record.verified.record != NULL)
		status = found(looking, &name, status, &record);
	else if (status == STATUS_NOT_FOUND && record.verified.absent)
		status = absent(looking, &name, &record);
	else if (status != 0)
		link_fail(looking->cli, looking->poc, status);
	client_record_finish(&record);
	return status;
}

/* One place of several: its error is told, and the next one is looked up. */
static void look_up_each(struct looking *looking, const char *text)
{
	struct cli *cli = looking->cli;
	size_t before = json_array_size(looking->results);

	cli->failed = false;
	looking->absent = looking->member = looking->suspended = false;
	keep_worst(looking, look_up(looking, text));
	looking->failed = looking->failed || cli->failed;
	if (!cli->failed || json_array_size(looking->results) != before)
		return;
	json_t *result = json_pack("{s:s,s:o}", "place", text, "error", cli_error_json(cli));
	if (looking->absent) {
		json_object_set_new(result, "enrolled", json_boolean(looking->member));
		json_object_set_new(result, "suspended", json_boolean(looking->suspended));
	}
	json_array_append_new(looking->results, result);
}

/* One document: of one place its own, of several their list. */
static json_t *looked_up(const struct looking *looking)
{
	return looking->cli->argc > 1 ? json_pack("{s:O}", "results", looking->results)
				      : json_incref(json_array_get(looking->results, 0));
}

int poc_cmd_lookup(struct cli *cli)
{
	struct looking looking = {.cli = cli};
	int status = read_filter(cli, &looking.filter);

	if (status == 0 && cli_has(cli, "save") && cli->argc > 1)
		status = cli_fail(cli, STATUS_USAGE, tr("--save takes one place"));
	if (status != 0 || (status = link_open(cli, !cli->offline, &looking.poc)) != 0)
		return status;
	client_only_reads(looking.poc);
	looking.results = json_array();
	cli->collecting = true;
	for (int i = 0; i < cli->argc; i++) {
		if (i > 0 && !cli->json)
			putchar('\n');
		look_up_each(&looking, cli->argv[i]);
	}
	cli->failed = looking.failed;
	json_t *document = cli->json ? looked_up(&looking) : NULL;
	status = link_tell_unheld(cli, looking.poc, looking.worst, document);
	if (cli->json)
		cli_document(cli, "poc.lookup/1", document);
	json_decref(looking.results);
	link_close(cli, looking.poc);
	return status;
}

/* ---- verify */

/* A proof says nothing of the time before it: said once, before all records. */
static void tell_too_early(struct looking *looking, const struct poc_verdict *verdict)
{
	if (verdict->clock_behind == 0 || looking->told_first || looking->cli->json)
		return;
	looking->told_first = true;
	show_too_early(verdict);
}

/* A bundle's remarks on units stand together, at the end. */
static void end_units(struct looking *looking)
{
	units_end(looking->units, looking->remarks);
	looking->units = NULL;
}

static int verify_each(void *ctx, const struct client_record *record)
{
	struct looking *looking = ctx;
	const struct verified_record *v = &record->verified;
	int status = show_status(&record->verdict);

	tell_too_early(looking, &record->verdict);
	if (v->name.unit[0] == '\0') { /* a state's units stand behind it */
		end_units(looking);
		looking->units = units_begin(record);
	}
	if (looking->cli->json) {
		json_array_append_new(looking->results, json_pack("{s:s,s:o}", "place", place_text(&v->name), "verdict",
								  v->absent ? json_pack("{s:s}", "status", "absent")
									    : show_verdict_json(&record->verdict)));
	} else if (v->absent) {
		printf(tr("%s: %s%s; proven\n"), place_text(&v->name), absence_text(&v->name, v->enrolled),
		       suspended_text(record));
	} else {
		printf("%s: %s\n", place_text(&v->name), record->verdict.signed_by);
	}
	units_see(looking->units, record, looking->remarks);
	keep_worst(looking, v->absent ? STATUS_NOT_FOUND : status);
	return 0;
}

static int verified(struct looking *looking, int status, const struct client_record *record)
{
	const struct poc_verdict *verdict = &record->verdict;

	tell_too_early(looking, verdict);
	int printed = show_found(looking, record);

	if (!looking->cli->json)
		printf(tr("as of %s, under T %llu; later events unknown\n"), time_text(verdict->time_ms / 1000),
		       (unsigned long long)verdict->trust_seq);
	if (status == 0)
		status = show_status(verdict);
	if (printed == 0 && status == STATUS_WITHDRAWN)
		cli_fail(looking->cli, status, tr("%s: withdrawn by its state (proven)"),
			 place_title(&record->verified.name));
	else if (printed == 0 && status != 0)
		tell_status(looking, &record->verified.name, status);
	return printed != 0 ? printed : status;
}

/* Text has no control bytes.  Whatever is saved has two of them at its start and hundreds behind: not even one that was
 * damaged is taken for a text. */
static bool is_text(const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if ((unsigned char)bytes[i] < ' ' && strchr("\t\n\r\f", bytes[i]) == NULL)
			return false;
	}
	return size > 0;
}

/* What does not even begin as what is saved does, with its version, is more likely another file than a meddled one. */
static void tell_unverified(struct looking *looking, const uint8_t *bytes, size_t size)
{
	static const uint8_t version[] = {0x08, 0x01};
	const bool begins = size >= sizeof version && memcmp(bytes, version, sizeof version) == 0;

	cli_fail(looking->cli, STATUS_UNVERIFIED,
		 begins ? tr("%s does not verify: %s")
			: tr("%s is no saved answer, bundle or story, or it is damaged: %s"),
		 looking->cli->argv[0], client_why(looking->poc)->message);
}

static int verify_one(struct looking *looking, const uint8_t *bytes, size_t size, int64_t at)
{
	struct client_record record = {0};
	int status = client_verify(looking->poc, bytes, size, NULL, at, &record);

	if (may_be_shown(status) && record.verified.record != NULL)
		status = verified(looking, status, &record);
	else if (status == STATUS_NOT_FOUND && record.verified.absent)
		cli_fail(looking->cli, status, tr("%s: %s%s as of %s; proven"), place_title(&record.verified.name),
			 absence_text(&record.verified.name, record.verdict.enrolled), suspended_text(&record),
			 time_text(record.verdict.time_ms / 1000));
	else if (status == STATUS_UNVERIFIED)
		tell_unverified(looking, bytes, size);
	else if (status != 0 && status != STATUS_USAGE)
		link_fail(looking->cli, looking->poc, status);
	client_record_finish(&record);
	return status;
}

/* What is waited for may never come: a pipe without a writer, a terminal under another name. */
static int check_regular(struct cli *cli, const char *path)
{
	struct stat st;

	if (strcmp(path, "-") == 0 || stat(path, &st) != 0 || S_ISREG(st.st_mode))
		return 0; /* one that is not there is told when it is opened */
	return cli_fail(cli, STATUS_USAGE, tr("%s is not a regular file (\"-\" reads standard input)"), path);
}

int poc_cmd_verify(struct cli *cli)
{
	struct looking looking = {.cli = cli};
	struct refusal why = {0};
	int64_t at = 0;
	size_t size;

	if (cli_has(cli, "at") && time_from_text(cli_value(cli, "at"), &at) != 0)
		return cli_fail(cli, STATUS_USAGE, tr("--at takes a time like 2026-11-24T12:00:00Z"));
	if (check_regular(cli, cli->argv[0]) != 0)
		return STATUS_USAGE;
	char *bytes = cli_read_file(cli->argv[0], PROOF_FILE_MAX, &size, &why);
	if (bytes == NULL)
		return cli_refused(cli, &why);
	int status =
	    is_text(bytes, size)
		? cli_fail(cli, STATUS_USAGE, tr("%s is a text, and no saved answer, bundle or story"), cli->argv[0])
		: link_open(cli, false, &looking.poc);
	if (status != 0) {
		free(bytes);
		return status;
	}
	if (story_recognised((const uint8_t *)bytes, size)) {
		status = story_view_file(cli, looking.poc, (const uint8_t *)bytes, size, at);
		free(bytes);
		poc_close(looking.poc);
		return status;
	}
	looking.results = json_array();
	cli->collecting = true;
	status = verify_one(&looking, (const uint8_t *)bytes, size, at);
	if (status == STATUS_USAGE) { /* more than one record: a bundle */
		looking.remarks = json_array();
		status = client_verify_walk(looking.poc, (const uint8_t *)bytes, size, at, verify_each, &looking);
		end_units(&looking);
		if (status != 0)
			link_fail(cli, looking.poc, status);
		else
			status = looking.worst;
	}
	if (cli->json && json_array_size(looking.results) == 0)
		cli_document(cli, "poc.verify/1", json_pack("{s:o}", "error", cli_error_json(cli)));
	else if (cli->json)
		cli_document(cli, "poc.verify/1",
			     json_array_size(looking.results) == 1
				 ? json_incref(json_array_get(looking.results, 0))
				 : json_pack("{s:O,s:O*}", "results", looking.results, "remarks", looking.remarks));
	else
		tell_lines(looking.remarks);
	json_decref(looking.remarks);
	json_decref(looking.results);
	free(bytes);
	link_close(cli, looking.poc);
	return status;
}

/* ---- history */

struct telling {
	struct cli *cli;
	json_t *versions;
};

static int tell_version(void *ctx, const struct client_version *version)
{
	struct telling *telling = ctx;
	const struct envelope *e = version->envelope;
	const Poc__Record *r = e->name.kind == NAME_RECORD ? e->payload.record : NULL;
	char value[2 * HASH_SIZE + 1];
	const char *what = r == NULL                  ? ""
			   : r->withdrawn             ? "withdrawn"
			   : r->confirmed > r->issued ? "confirmed"
						      : "published";

	hash_to_hex(&e->value, value);
	if (telling->cli->json)
		json_array_append_new(telling->versions,
				      json_pack("{s:I,s:s,s:s,s:o,s:o,s:s}", "seq", (json_int_t)e->seq, "value", value,
						"change", what, "issued", cli_time_json(r != NULL ? r->issued : 0),
						"confirmed", cli_time_json(r != NULL ? r->confirmed : 0), "signed_by",
						version->signed_by));
	else
		printf("%-4llu %-20s %-10s %s  %.16s\n", (unsigned long long)e->seq,
		       time_text(r != NULL ? (r->confirmed > r->issued ? r->confirmed : r->issued) : 0), what,
		       version->signed_by, value);
	return 0;
}

/* By the register of the session's head. */
static bool is_enrolled(const struct poc *poc, const struct name *name)
{
	const struct verified_head *head = client_head(poc);

	return head != NULL && register_find(head->reg->payload.register_, name->state) != NULL;
}

int poc_cmd_history(struct cli *cli)
{
	struct telling telling = {.cli = cli, .versions = json_array()};
	struct name name;
	struct poc *poc = NULL;
	int status = place_read(cli, cli->argv[0], &name);

	if (status == 0 && (status = link_open(cli, true, &poc)) == 0 &&
	    (status = link_connect_reader(cli, poc)) == 0) {
		json_t *document =
		    cli->json ? json_pack("{s:s,s:O}", "place", place_text(&name), "versions", telling.versions) : NULL;
		status = client_history(poc, &name, tell_version, &telling);
		if (status == STATUS_NOT_FOUND)
			cli_fail(cli, status, tr("%s: %s; proven"), place_title(&name),
				 absence_text(&name, is_enrolled(poc, &name)));
		else if (status != 0)
			link_fail(cli, poc, status);
		const Poc__Entry *entry = client_entry(poc, name.state);
		const bool suspended = entry != NULL && entry->suspended;
		if (!cli->failed)
			replacing_tell(cli, poc, name.state,
				       suspended || replacing_state(poc, CLIENT_ONLINE, name.state), document);
		status = link_tell_clock(cli, poc, status, document);
		if (cli->json && !cli->failed)
			cli_document(cli, "poc.history/1", json_incref(document));
		json_decref(document);
	}
	json_decref(telling.versions);
	link_close(cli, poc);
	return status;
}

/* ---- sync, status */

static void tell_change(void *ctx, const char *name, uint64_t seq, const char *change)
{
	struct telling *telling = ctx;

	json_array_append_new(telling->versions,
			      json_pack("{s:s,s:I,s:s}", "name", name, "seq", (json_int_t)seq, "change", change));
	if (!telling->cli->json)
		cli_line("%-10s %s (%llu)", change, name, (unsigned long long)seq);
}

static int would_sync(struct cli *cli, struct poc *poc)
{
	struct poc_facts facts;
	int status = poc_facts(poc, &facts);

	if (status != 0)
		return link_fail(cli, poc, status);
	if (!cli->json) {
		printf(tr("dry run: the copy is of checkpoint %llu, the directory at %llu\n"),
		       (unsigned long long)facts.copy_size, (unsigned long long)facts.size);
		return link_tell_clock(cli, poc, 0, NULL);
	}
	json_t *document = json_pack("{s:[],s:b,s:I,s:I}", "changed", "dry_run", 1, "copy_size",
				     (json_int_t)facts.copy_size, "size", (json_int_t)facts.size);
	status = link_tell_clock(cli, poc, 0, document);
	cli_document(cli, "poc.sync/1", document);
	return status;
}

/* What came of it.  By a clock that is wrong the copy stays what it was. */
static int tell_synced(struct cli *cli, struct poc *poc, json_t *changed)
{
	json_t *document = json_pack("{s:O}", "changed", changed);
	struct poc_facts facts;
	int status = link_tell_clock(cli, poc, poc_facts(poc, &facts), document);
	const bool kept = facts.have_copy && facts.copy_size == facts.size;

	json_object_set_new(document, "kept", json_boolean(kept));
	if (cli->json)
		cli_document(cli, "poc.sync/1", json_incref(document));
	else
		printf(kept ? tr("%zu changed; the copy is complete and proven\n")
			    : tr("%zu changed; proven, but by this clock the copy is NOT KEPT\n"),
		       json_array_size(changed));
	json_decref(document);
	return status;
}

int poc_cmd_sync(struct cli *cli)
{
	struct telling telling = {.cli = cli, .versions = json_array()};
	struct poc *poc = NULL;
	int status = link_open(cli, true, &poc);

	if (status == 0)
		status = link_connect_reader(cli, poc);
	if (status == 0 && cli->dry_run) {
		status = would_sync(cli, poc);
	} else if (status == 0) {
		status = poc_sync(poc, tell_change, &telling);
		status = status != 0 ? link_fail(cli, poc, status) : tell_synced(cli, poc, telling.versions);
	}
	json_decref(telling.versions);
	link_close(cli, poc);
	return status;
}

static json_t *roles_json(unsigned set)
{
	json_t *roles = json_array();

	for (Poc__Role role = 1; role < 16; role++) {
		if ((set >> role & 1) != 0)
			json_array_append_new(roles, json_string(role_name(role)));
	}
	return roles;
}

/* What there is in a server's place.  why: what came of connecting. */
static const char *no_server_text(const struct refusal *why)
{
	switch (why->code) {
	case STATUS_UNVERIFIED:
		return tr("REFUSED: what it shows does not verify");
	case STATUS_BEHIND:
		return tr("REFUSED: it is behind what was verified before");
	default:
		return tr("not connected");
	}
}

/* Heads without a quorum are shown to nobody: what a client sees of them is that nothing newer comes. */
static void print_auditors(const struct poc_facts *f)
{
	if (f->quorum == 0)
		printf(tr("auditors    none: operator's word only\n"));
	else if (f->cosigners == 0) /* of the held head, whose lines are not kept */
		printf(tr("auditors    %u, %u needed\n"), f->auditors, f->quorum);
	else
		printf(tr("auditors    %u of %u cosigned, %u needed\n"), f->cosigners, f->auditors, f->quorum);
	if (f->late)
		printf(f->quorum == 0 ? tr("            nothing newer is shown: the server stands still\n")
				      : tr("            nothing newer is shown: fewer than %u auditors sign it, or the "
					   "server stands still\n"),
		       f->quorum);
}

static void print_status(const struct poc_facts *f, const struct refusal *why, int64_t now)
{
	printf(tr("directory   %s\n"), f->directory_id);
	if (f->connected)
		cli_line(tr("server      %s (%s, %s, %s)"), f->server, f->software, f->tls_version, f->tls_group);
	else
		printf(tr("server      %s\n"), no_server_text(why));
	if (!f->connected && f->refused_size != 0)
		printf(tr("refused     checkpoint of size %llu, of %s\n"), (unsigned long long)f->refused_size,
		       time_text(f->refused_time_ms / 1000));
	if (f->handle[0] != '\0')
		printf(tr("we are      %s%s%s/%s:"), f->state, f->unit[0] != '\0' ? "/" : "", f->unit, f->handle);
	else
		printf(tr("we are      a user of %s%s%s%s"), f->state, f->unit[0] != '\0' ? "/" : "", f->unit,
		       f->connected && f->suspended_for == NULL ? tr(", not listed") : "");
	for (Poc__Role role = 1; role < 16; role++) {
		if ((f->roles >> role & 1) != 0)
			printf(" %s", role_name(role));
	}
	printf(f->not_after != 0 ? tr(", until %s\n") : "\n", time_text(f->not_after));
	if (f->have_head) {
		printf(f->age < 0 ? tr("checkpoint  %s, size %llu, of %s (%s ahead%s)\n")
				  : tr("checkpoint  %s, size %llu, of %s (%s old%s)\n"),
		       f->origin, (unsigned long long)f->size, time_text(f->time_ms / 1000), span_text(f->age),
		       f->stale  ? tr(", STALE")
		       : f->late ? tr(", LATE: more than 15 minutes")
				 : "");
		print_auditors(f);
		printf(tr("trust root  T(%llu), expires %s%s\n"), (unsigned long long)f->trust_seq,
		       time_text(f->trust_expires), f->trust_expired ? tr(" - EXPIRED") : "");
		printf(tr("states      %zu, %zu suspended\n"), f->states, f->suspended);
	}
	if (f->have_copy)
		printf(tr("local copy  of %s, synced %s ago\n"), time_text(f->copy_time_ms / 1000),
		       span_text(now - f->copy_synced));
	else if (f->copy_damage[0] != '\0')
		cli_line(tr("local copy  UNUSABLE: %s"), f->copy_damage);
	else
		printf(tr("local copy  none: poc sync makes one\n"));
}

/* What our state has to renew, printed or for the document: null where that is not known. */
static json_t *find_due(struct cli *cli, struct poc *poc, bool connected)
{
	struct due_list list = {0};

	if (cli->conf.state[0] == '\0' || due_of_state(poc, connected ? CLIENT_ONLINE : CLIENT_OFFLINE,
						       conf_place(&cli->conf), due_now(poc), &list) != 0) {
		due_finish(&list);
		return json_null();
	}
	json_t *out = json_array();
	for (size_t i = 0; i < list.n; i++) {
		json_array_append_new(out, due_json(&list.list[i]));
		if (cli->json)
			continue;
		char *line = due_text(&list.list[i]);
		cli_line("%-11s %s", i == 0 ? tr("due") : "", line != NULL ? line : "");
		free(line);
	}
	due_finish(&list);
	return out;
}

static json_t *status_json(const struct poc_facts *f)
{
	return json_pack(
	    "{s:s,s:o,s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o}", "directory", f->directory_id, "server",
	    f->connected ? json_string(f->server) : json_null(), "tls_version", f->connected ? f->tls_version : "",
	    "tls_group", f->connected ? f->tls_group : "", "state", f->state, "unit", f->unit, "handle", f->handle,
	    "roles", roles_json(f->roles), "not_after", cli_time_json(f->not_after), "checkpoint",
	    f->have_head
		? json_pack("{s:s,s:I,s:o,s:I,s:i,s:i,s:i,s:b,s:b,s:I}", "origin", f->origin, "size",
			    (json_int_t)f->size, "time", cli_time_json(f->time_ms / 1000), "age", (json_int_t)f->age,
			    "cosigners", (int)f->cosigners, "auditors", (int)f->auditors, "quorum", (int)f->quorum,
			    "stale", (int)f->stale, "late", (int)f->late, "trust", (json_int_t)f->trust_seq)
		: json_null(),
	    "copy",
	    f->have_copy ? json_pack("{s:I,s:o,s:o}", "size", (json_int_t)f->copy_size, "time",
				     cli_time_json(f->copy_time_ms / 1000), "synced", cli_time_json(f->copy_synced))
			 : json_null(),
	    "copy_damage", f->copy_damage[0] != '\0' ? json_string(f->copy_damage) : json_null(), "refused_checkpoint",
	    !f->connected && f->refused_size != 0 ? json_pack("{s:I,s:o}", "size", (json_int_t)f->refused_size, "time",
							      cli_time_json(f->refused_time_ms / 1000))
						  : json_null());
}

int poc_cmd_status(struct cli *cli)
{
	struct poc *poc = NULL;
	struct poc_facts facts;
	struct poc_verdict head;
	struct refusal why = {0};
	int status = link_open(cli, false, &poc);

	if (status != 0)
		return status;
	cli->collecting = true; /* what is known without a server is told all the same */
	client_any_clock(poc);
	int connected = cli->offline ? 0 : poc_connect(poc);
	if (connected != 0)
		why = *client_why(poc);
	const enum client_mode mode = connected == 0 && !cli->offline ? CLIENT_ONLINE : CLIENT_OFFLINE;
	const size_t replacing = cli->json ? 0 : replacing_count(poc, mode);
	const bool own_replacing = cli->conf.state[0] != '\0' && replacing_state(poc, mode, cli->conf.state);
	status = poc_facts(poc, &facts);
	facts.suspended += replacing;
	json_t *document = status == 0 ? status_json(&facts) : json_object();
	if (status == 0 && !cli->json) {
		client_judge_head(poc, &head);
		show_clock(&head);
		print_status(&facts, &why, client_now(poc));
	}
	if (status == 0 && cli->conf.state[0] != '\0')
		replacing_tell(cli, poc, cli->conf.state, facts.suspended_for != NULL || own_replacing, document);
	if (status == 0) { /* last, for what facts point at lives until the next call */
		json_object_set_new(document, "due", find_due(cli, poc, mode == CLIENT_ONLINE));
		json_object_set_new(document, "in_outbox", waiting_list(cli, poc, true));
		json_t *refused = json_array();
		waiting_refused(cli, poc, NULL, refused);
		json_object_set_new(document, "refused", refused);
	}
	if (connected != 0)
		cli_refused(cli, &why);
	else if (status != 0)
		link_fail(cli, poc, status);
	if (status == 0)
		status = connected != 0 ? connected : facts.have_head && facts.stale ? STATUS_STALE : 0;
	status = link_tell_clock(cli, poc, status, document);
	if (cli->failed)
		json_object_set_new(document, "error", cli_error_json(cli));
	if (cli->json)
		cli_document(cli, "poc.status/1", json_incref(document));
	json_decref(document);
	link_close(cli, poc);
	return status;
}
