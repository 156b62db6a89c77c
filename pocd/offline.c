#include "pocd/offline.h"

#include <string.h>

#include "pocd/directory/readings.h"

static int find_end(struct store *store, struct offline_report *report, struct refusal *why)
{
	struct store_view *view;
	struct leaf leaf;
	char name[80];
	const char *note;
	size_t note_size;

	int status = store_view_begin(store, &view);
	if (status == 0 && report->ledger.publications > 0)
		status = ledger_read_publication(view, report->ledger.publications, &report->size, &note, &note_size);
	if (status == 0 && report->size > 0)
		status = ledger_read_leaf(view, report->size - 1, &leaf, name, sizeof name);
	if (status == 0 && report->size > 0)
		report->time_ms = leaf.time_ms;
	report->unpublished = report->ledger.leaves > report->size;
	store_view_end(view);
	return status == 0 ? 0 : refuse(why, status, "", "the last checkpoint cannot be read");
}

int offline_check_store(struct store *store, struct offline_report *report, struct refusal *why)
{
	struct offline_report unused;

	if (report == NULL)
		report = &unused;
	*report = (struct offline_report){0};
	int status = store_scrub(store, &report->values, why);
	if (status == 0)
		status = ledger_check(store, &report->ledger, why);
	if (status == 0 && report->ledger.leaves == 0)
		status = refuse(why, STATUS_NOT_FOUND, "", "there is no directory in it");
	if (status == 0)
		status = history_check(store, &report->history, why);
	if (status == 0)
		status = notices_check(store, &report->notices, why);
	if (status == 0)
		status = readings_check(store, why);
	if (status == 0)
		status = find_end(store, report, why);
	report->ledger.erased_sections = report->history.erased_sections;
	return status;
}

static int open_and_check(const struct store_lmdb_options *options, struct offline_report *report, struct refusal *why)
{
	struct store *store;
	int status = store_lmdb_open(options, &store, why);

	if (status != 0)
		return status;
	status = offline_check_store(store, report, why);
	store_close(store);
	return status;
}

int offline_check(const char *path, struct offline_report *report, struct refusal *why)
{
	const struct store_lmdb_options options = {.path = path, .read_only = 1};

	return open_and_check(&options, report, why);
}

int offline_check_file(const char *path, struct offline_report *report, struct refusal *why)
{
	const struct store_lmdb_options options = {.path = path, .read_only = 1, .single_file = 1};

	return open_and_check(&options, report, why);
}
