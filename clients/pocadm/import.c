/* Lists of teams into drafts. */
#include "clients/cli/import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "clients/cli/place.h"
#include "clients/cli/strings.h"
#include "clients/pocadm/commands.h"

enum { LIST_FILE_MAX = 64 << 20, MAPS_MAX = 32 };

struct reporting {
	struct cli *cli;
	json_t *rows;
};

static void report_row(void *ctx, const struct import_row *row)
{
	struct reporting *r = ctx;

	if (r->cli->json) {
		json_t *one = json_pack("{s:I,s:s,s:s,s:s,s:s}", "line", (json_int_t)row->line, "outcome",
					import_outcome_name(row->outcome), "places", row->places, "team", row->team,
					"reason", row->reason);
		if (one != NULL)
			json_array_append_new(r->rows, one);
		return;
	}
	cli_line(tr("line %zu: %-10s %s  %s%s%s"), row->line, import_outcome_name(row->outcome), row->places, row->team,
		 row->reason[0] != '\0' ? ": " : "", row->reason);
}

/* BR.json, FR_bretagne.json */
static int write_draft(struct cli *cli, const char *folder, const struct draft *draft)
{
	char path[CONF_PATH_MAX], file[80];
	struct refusal why = {0};
	json_t *json = draft_to_json(draft);
	char *text = json != NULL ? json_dumps(json, JSON_INDENT(2)) : NULL;

	json_decref(json);
	if (text == NULL)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	snprintf(file, sizeof file, "%s", place_text(&draft->name));
	for (char *at = file; *at != '\0'; at++) {
		if (*at == '/')
			*at = '_';
	}
	snprintf(path, sizeof path, "%s/%s.json", folder, file);
	int status = cli_write_file(path, text, strlen(text), 0644, false, &why);
	free(text);
	return status == 0 ? 0 : cli_refused(cli, &why);
}

static int finish(struct cli *cli, const struct import_result *result, struct reporting *r)
{
	const char *folder = cli_has(cli, "out") ? cli_value(cli, "out") : "drafts";
	json_t *counts = json_object();

	if (result->n_drafts == 0) {
		json_decref(counts);
		return cli_fail(cli, STATUS_INVALID, tr("no draft was made: none of the %zu rows could be used"),
				result->counts[IMPORT_SKIPPED]);
	}
	if (!cli->dry_run && mkdir(folder, 0700) != 0 && errno != EEXIST) {
		json_decref(counts);
		return cli_fail(cli, STATUS_IO, "%s: %s", folder, strerror(errno));
	}
	for (size_t i = 0; i < result->n_drafts && !cli->dry_run; i++) {
		int status = write_draft(cli, folder, result->drafts[i]);
		if (status != 0) {
			json_decref(counts);
			return status;
		}
	}
	for (size_t i = 0; i < result->n_ignored; i++)
		cli_note(cli, tr("column \"%s\" is not used; --map gives it a meaning"), result->ignored[i]);
	for (int o = 0; o < IMPORT_OUTCOMES; o++)
		json_object_set_new(counts, import_outcome_name((enum import_outcome)o),
				    json_integer((json_int_t)result->counts[o]));
	if (cli->json) {
		cli_document(cli, "pocadm.import/1",
			     json_pack("{s:I,s:O,s:o}", "drafts", (json_int_t)result->n_drafts, "rows", r->rows,
				       "counts", counts));
		return 0;
	}
	printf(tr("%zu drafts%s%s"), result->n_drafts, cli->dry_run ? "" : tr(" in "), cli->dry_run ? "" : folder);
	for (int o = 0; o < IMPORT_OUTCOMES; o++)
		printf("%s %zu %s", o > 0 ? "," : ":", result->counts[o], import_outcome_name((enum import_outcome)o));
	putchar('\n');
	json_decref(counts);
	return 0;
}

int pocadm_cmd_import(struct cli *cli)
{
	const char *maps[MAPS_MAX];
	struct import_options options = {.charset = cli_value(cli, "charset"),
					 .source = cli_value(cli, "source"),
					 .source_date = cli_value(cli, "source-date"),
					 .state = cli_value(cli, "state"),
					 .maps = maps};
	struct reporting reporting = {cli, json_array()};
	struct import_result result;
	struct refusal why = {0};
	const char *slash = strrchr(cli->argv[0], '/');
	size_t size;

	while (options.n_maps < MAPS_MAX && (maps[options.n_maps] = cli_nth(cli, "map", options.n_maps)) != NULL)
		options.n_maps++;
	char *bytes = cli_read_file(cli->argv[0], LIST_FILE_MAX, &size, &why);
	int status = bytes == NULL ? why.code
				   : import_run(bytes, size, slash != NULL ? slash + 1 : cli->argv[0], &options,
						report_row, &reporting, &result, &why);
	free(bytes);
	if (status != 0) {
		cli_refused(cli, &why);
	} else {
		status = finish(cli, &result, &reporting);
		import_result_finish(&result);
	}
	json_decref(reporting.rows);
	return status;
}
