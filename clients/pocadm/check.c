/* The full check of a folder or a backup; a server's counters, and what is due in the directory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clients/cli/due.h"
#include "clients/cli/link.h"
#include "clients/cli/strings.h"
#include "clients/pocadm/check.h"
#include "clients/pocadm/commands.h"
#include "pocd/backup.h"

void check_print(struct cli *cli, const struct offline_report *r)
{
	if (cli->json) {
		cli_document(cli, cli->schema,
			     json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:b}", "leaves", (json_int_t)r->ledger.leaves,
				       "publications", (json_int_t)r->ledger.publications, "names",
				       (json_int_t)r->ledger.names, "envelopes", (json_int_t)r->ledger.envelopes,
				       "sections", (json_int_t)r->ledger.sections, "size", (json_int_t)r->size, "time",
				       time_text((long long)(r->time_ms / 1000)), "unpublished", (int)r->unpublished));
		return;
	}
	printf(tr("good: %llu leaves, %llu checkpoints, %llu names, %llu envelopes, %llu sections (%llu erased)\n"),
	       (unsigned long long)r->ledger.leaves, (unsigned long long)r->ledger.publications,
	       (unsigned long long)r->ledger.names, (unsigned long long)r->ledger.envelopes,
	       (unsigned long long)r->ledger.sections, (unsigned long long)r->ledger.erased_sections);
	printf(tr("checkpoint of size %llu, %s%s\n"), (unsigned long long)r->size,
	       time_text((long long)(r->time_ms / 1000)),
	       r->unpublished ? tr("; leaves behind it are published at the next start") : "");
}

/* The data folder itself, or that of the folder that pocadm init made. */
static const char *data_folder(const char *folder, char room[CONF_PATH_MAX])
{
	int n = snprintf(room, CONF_PATH_MAX, "%s/data.mdb", folder);

	if (n < 0 || n >= CONF_PATH_MAX || access(room, F_OK) == 0)
		return folder;
	n = snprintf(room, CONF_PATH_MAX, "%s/data/data.mdb", folder);
	if (n < 0 || n >= CONF_PATH_MAX || access(room, F_OK) != 0)
		return folder;
	snprintf(room, CONF_PATH_MAX, "%s/data", folder);
	return room;
}

int pocadm_cmd_check(struct cli *cli)
{
	char room[CONF_PATH_MAX];
	struct offline_report report = {0};
	struct refusal why = {0};
	struct stat st;
	const bool file = stat(cli->argv[0], &st) == 0 && !S_ISDIR(st.st_mode);
	int status = file ? backup_check(cli->argv[0], &report, &why)
			  : offline_check(data_folder(cli->argv[0], room), &report, &why);

	if (file && status == STATUS_INVALID)
		return cli_fail(
		    cli, STATUS_USAGE,
		    tr("%s; a data folder can be checked too, and poc verify checks saved answers and bundles"),
		    why.message);
	if (status != 0)
		return cli_refused(cli, &why);
	check_print(cli, &report);
	return 0;
}

struct listing {
	struct cli *cli;
	json_t *counters;
	uint64_t auditors, needed, signed_, below, time_ms; /* of the quorum, as the counters say */
	uint64_t passed; /* size of a checkpoint that a follower has and this log does not lead to; 0: none */
};

static void list_counter(void *ctx, const char *name, uint64_t value)
{
	struct listing *listing = ctx;
	struct {
		const char *name;
		uint64_t *value;
	} noted[] = {
	    {"quorum_auditors", &listing->auditors},
	    {"quorum_needed", &listing->needed},
	    {"quorum_signed", &listing->signed_},
	    {"directory_below_quorum", &listing->below},
	    {"directory_checkpoint_time_ms", &listing->time_ms},
	    {"auditors_passed_size", &listing->passed},
	};

	for (size_t i = 0; i < sizeof noted / sizeof noted[0]; i++) {
		if (strcmp(name, noted[i].name) == 0)
			*noted[i].value = value;
	}
	if (listing->cli->json)
		json_object_set_new(listing->counters, name, json_integer((json_int_t)value));
	else
		cli_line("%-32s %llu", name, (unsigned long long)value);
}

static void tell_quorum(const struct listing *listing, int64_t now)
{
	const unsigned long long auditors = listing->auditors, needed = listing->needed, have = listing->signed_;

	if (!listing->cli->json && listing->passed != 0)
		cli_line(tr("%-32s FORK: an auditor or a mirror has a checkpoint of size %llu of this directory to "
			    "which this log does not lead: nothing is signed (pocd(8), AFTER A RESTORE)"),
			 tr("log"), (unsigned long long)listing->passed);
	if (listing->cli->json || needed == 0)
		return;
	cli_line(tr("%-32s %llu of %llu auditors signed the newest checkpoint, %llu needed"), tr("quorum"), have,
		 auditors, needed);
	if (listing->below != 0)
		cli_line(tr("%-32s BELOW QUORUM: what is served stands still, %s old"), "",
			 span_text(now - (int64_t)(listing->time_ms / 1000)));
}

/* The same as pocadm remind speaks of, from a copy that is brought up to date for it. */
static int list_due(struct cli *cli, struct poc *poc, json_t *out)
{
	struct due_list list = {0};
	int status = poc_sync(poc, NULL, NULL);

	if (status == 0)
		status = due_of_all(poc, due_now(poc), &list);
	for (size_t i = 0; i < list.n && status == 0; i++) {
		if (cli->json) {
			json_array_append_new(out, due_json(&list.list[i]));
			continue;
		}
		char *line = due_text(&list.list[i]);
		cli_line("%-32s %s", i == 0 ? tr("due") : "", line != NULL ? line : "");
		free(line);
	}
	due_finish(&list);
	return status;
}

int pocadm_cmd_stats(struct cli *cli)
{
	struct listing listing = {.cli = cli, .counters = json_object()};
	json_t *due = json_array();
	struct poc *poc = NULL;
	int status = link_open(cli, true, &poc);

	if (status == 0 && (status = poc_stats(poc, list_counter, &listing)) != 0)
		link_fail(cli, poc, status);
	if (status == 0)
		tell_quorum(&listing, client_now(poc));
	if (status == 0 && (status = list_due(cli, poc, due)) != 0)
		link_fail(cli, poc, status);
	if (status == 0 && cli->json)
		cli_document(cli, "poc.stats/1", json_pack("{s:O,s:O}", "counters", listing.counters, "due", due));
	json_decref(listing.counters);
	json_decref(due);
	link_close(cli, poc);
	return status;
}
