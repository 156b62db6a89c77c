/* The full check of a folder or a backup, and a server's counters. */
#include <stdio.h>
#include <sys/stat.h>

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

int pocadm_cmd_check(struct cli *cli)
{
	struct offline_report report = {0};
	struct refusal why = {0};
	struct stat st;
	const bool file = stat(cli->argv[0], &st) == 0 && !S_ISDIR(st.st_mode);
	int status = file ? backup_check(cli->argv[0], &report, &why) : offline_check(cli->argv[0], &report, &why);

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
};

static void list_counter(void *ctx, const char *name, uint64_t value)
{
	struct listing *listing = ctx;

	if (listing->cli->json)
		json_object_set_new(listing->counters, name, json_integer((json_int_t)value));
	else
		cli_line("%-32s %llu", name, (unsigned long long)value);
}

int pocadm_cmd_stats(struct cli *cli)
{
	struct listing listing = {cli, json_object()};
	struct poc *poc = NULL;
	int status = link_open(cli, true, &poc);

	if (status == 0 && (status = poc_stats(poc, list_counter, &listing)) != 0)
		link_fail(cli, poc, status);
	else if (status == 0 && cli->json)
		cli_document(cli, "poc.stats/1", json_pack("{s:O}", "counters", listing.counters));
	json_decref(listing.counters);
	link_close(cli, poc);
	return status;
}
