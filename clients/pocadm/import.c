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

enum { LIST_FILE_MAX = 64 << 20, DRAFT_FILE_MAX = 1 << 20, MAPS_MAX = 32 };

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

/* DIR/BR.json, DIR/FR_bretagne.json */
static void draft_path(const char *folder, const struct draft *draft, char out[CONF_PATH_MAX])
{
	size_t used = (size_t)snprintf(out, CONF_PATH_MAX, "%.3900s/", folder);

	snprintf(out + used, CONF_PATH_MAX - used, "%s.json", place_text(&draft->name));
	for (char *at = out + used; *at != '\0'; at++) {
		if (*at == '/')
			*at = '_';
	}
}

/* The text of a draft's file, malloc'ed; NULL when out of memory. */
static char *draft_text(const struct draft *draft)
{
	json_t *json = draft_to_json(draft);
	char *text = json != NULL ? json_dumps(json, JSON_INDENT(2)) : NULL;

	json_decref(json);
	return text;
}

/* Whether a file is there that says something else: somebody edited it, or it is of another list. */
static bool is_another(const char *path, const char *text)
{
	struct refusal why = {0};
	size_t size;
	char *there = cli_read_file(path, DRAFT_FILE_MAX, &size, &why);
	bool another = there != NULL ? strcmp(there, text) != 0 : why.code != STATUS_NOT_FOUND;

	free(there);
	return another;
}

/* What is there and is no draft of this very list is somebody's work: listed, and not written over unless forced. */
static int check_kept(struct cli *cli, const char *folder, const struct import_result *result, json_t *kept)
{
	char path[CONF_PATH_MAX];

	for (size_t i = 0; i < result->n_drafts && !cli_has(cli, "force"); i++) {
		char *text = draft_text(result->drafts[i]);
		if (text == NULL)
			return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
		draft_path(folder, result->drafts[i], path);
		if (is_another(path, text)) {
			cli_note(cli, tr("%s was edited since, or comes from another list"), path);
			json_array_append_new(kept, json_string(path));
		}
		free(text);
	}
	size_t n = json_array_size(kept);
	if (n == 0)
		return 0;
	return cli_fail(cli, STATUS_CONFLICT,
			tr("nothing was written: %zu %s would be lost; --out another folder, or --force"), n,
			n == 1 ? tr("draft") : tr("drafts"));
}

static int write_drafts(struct cli *cli, const char *folder, const struct import_result *result)
{
	char path[CONF_PATH_MAX];
	struct refusal why = {0};
	int status = 0;

	if (mkdir(folder, 0700) != 0 && errno != EEXIST)
		return cli_fail(cli, STATUS_IO, "%s: %s", folder, strerror(errno));
	for (size_t i = 0; i < result->n_drafts && status == 0; i++) {
		char *text = draft_text(result->drafts[i]);
		draft_path(folder, result->drafts[i], path);
		status = text != NULL ? cli_write_file(path, text, strlen(text), 0644, false, &why)
				      : refuse(&why, STATUS_NO_MEMORY, "", "out of memory");
		free(text);
	}
	return status == 0 ? 0 : cli_refused(cli, &why);
}

static void tell_counts(const struct import_result *result, const char *folder, bool written)
{
	printf(tr("%zu drafts%s%s"), result->n_drafts, written ? tr(" in ") : "", written ? folder : "");
	for (int o = 0; o < IMPORT_OUTCOMES; o++)
		printf("%s %zu %s", o > 0 ? "," : ":", result->counts[o], import_outcome_name((enum import_outcome)o));
	putchar('\n');
}

/* The rows are accounted for, whatever came of the drafts. */
static void print_document(struct cli *cli, const struct import_result *result, json_t *rows, json_t *kept)
{
	json_t *counts = json_object();

	for (int o = 0; o < IMPORT_OUTCOMES; o++)
		json_object_set_new(counts, import_outcome_name((enum import_outcome)o),
				    json_integer((json_int_t)result->counts[o]));
	json_t *document =
	    json_pack("{s:I,s:O,s:o}", "drafts", (json_int_t)result->n_drafts, "rows", rows, "counts", counts);
	if (json_array_size(kept) > 0)
		json_object_set(document, "kept", kept);
	if (cli->dry_run)
		json_object_set_new(document, "dry_run", json_true());
	if (cli->failed)
		json_object_set_new(document, "error", cli_error_json(cli));
	cli_document(cli, "poc.import/1", document);
}

static int finish(struct cli *cli, const struct import_result *result, struct reporting *r)
{
	const char *folder = cli_has(cli, "out") ? cli_value(cli, "out") : "drafts";
	json_t *kept = json_array();
	int status = 0;

	cli->collecting = true;
	for (size_t i = 0; i < result->n_ignored; i++)
		cli_note(cli, tr("column \"%s\" is not used; --map gives it a meaning"), result->ignored[i]);
	if (result->n_drafts == 0)
		status = cli_fail(cli, STATUS_INVALID, tr("no draft was made: none of the %zu rows could be used"),
				  result->counts[IMPORT_SKIPPED]);
	if (status == 0)
		status = check_kept(cli, folder, result, kept);
	if (status == 0 && !cli->dry_run)
		status = write_drafts(cli, folder, result);
	if (cli->json)
		print_document(cli, result, r->rows, kept);
	else if (status == 0)
		tell_counts(result, folder, !cli->dry_run);
	if (status == 0 && cli->dry_run)
		cli_note(cli, tr("dry run: %zu drafts would be written to %s"), result->n_drafts, folder);
	json_decref(kept);
	return status;
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
