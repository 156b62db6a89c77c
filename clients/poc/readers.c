/* poc readers: which states have read our state's records, as the server counts it. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/cli/link.h"
#include "clients/cli/place.h"
#include "clients/cli/strings.h"
#include "clients/poc/commands.h"
#include "clients/poc/since.h"

enum { DAY_SECONDS = 86400 };

/* A state, over all days. */
struct reader {
	char state[STATE_MAX_LENGTH + 1];
	uint64_t lookups, copied;
	unsigned days;
	int64_t last;
};

struct readers {
	struct cli *cli;
	size_t n;
	struct reader *list; /* owned */
	json_t *days;
};

static const char *day_text(uint32_t day, char out[11])
{
	const time_t at = (time_t)day * DAY_SECONDS;
	struct tm tm;

	if (gmtime_r(&at, &tm) == NULL || strftime(out, 11, "%Y-%m-%d", &tm) != 10)
		out[0] = '\0';
	return out;
}

static struct reader *reader_of(struct readers *readers, const char *state)
{
	for (size_t i = 0; i < readers->n; i++) {
		if (strcmp(readers->list[i].state, state) == 0)
			return &readers->list[i];
	}
	struct reader *list = realloc(readers->list, (readers->n + 1) * sizeof *list);
	if (list == NULL)
		return NULL;
	readers->list = list;
	struct reader *reader = &list[readers->n++];
	*reader = (struct reader){.days = 0};
	snprintf(reader->state, sizeof reader->state, "%s", state);
	return reader;
}

static int add(void *ctx, const struct client_reading *row)
{
	struct readers *readers = ctx;
	struct reader *reader = reader_of(readers, row->state);
	char day[11];

	if (reader == NULL)
		return cli_fail(readers->cli, STATUS_NO_MEMORY, tr("out of memory"));
	reader->lookups += row->lookups;
	reader->copied += row->copied;
	reader->days++;
	reader->last = row->last;
	json_array_append_new(readers->days,
			      json_pack("{s:s,s:s,s:I,s:I}", "day", day_text(row->day, day), "state", row->state,
					"lookups", (json_int_t)row->lookups, "copied", (json_int_t)row->copied));
	return 0;
}

/* Who read last comes first. */
static int by_last(const void *a, const void *b)
{
	const struct reader *x = a, *y = b;

	return x->last != y->last ? (x->last < y->last) - (x->last > y->last) : strcmp(x->state, y->state);
}

static void show(const struct readers *readers, const char *state, uint32_t from)
{
	char day[11];

	if (readers->n > 0)
		cli_line("%-10s  %8s  %8s  %4s  %-20s  %s", tr("STATE"), tr("LOOKUPS"), tr("COPIED"), tr("DAYS"),
			 tr("LAST"), tr("NAME"));
	for (size_t i = 0; i < readers->n; i++) {
		const struct reader *r = &readers->list[i];
		cli_line("%-10s  %8llu  %8llu  %4u  %-20s  %s", r->state, (unsigned long long)r->lookups,
			 (unsigned long long)r->copied, r->days, time_text(r->last), place_state_name(r->state));
	}
	if (readers->n == 0)
		cli_line(tr("no other state has read a record of %s since %s"), state, day_text(from, day));
}

static json_t *readers_json(const struct readers *readers)
{
	json_t *list = json_array();

	for (size_t i = 0; i < readers->n; i++) {
		const struct reader *r = &readers->list[i];
		json_array_append_new(list, json_pack("{s:s,s:I,s:I,s:i,s:o}", "state", r->state, "lookups",
						      (json_int_t)r->lookups, "copied", (json_int_t)r->copied, "days",
						      (int)r->days, "last", cli_time_json(r->last)));
	}
	return list;
}

/* What the figures are worth, and from which day on there are any. */
static void tell(const struct readers *readers, const char *state, uint32_t from, uint32_t kept_from)
{
	struct cli *cli = readers->cli;
	const uint32_t counted = kept_from > from ? kept_from : from;
	char day[11];

	if (cli->json) {
		cli_document(cli, cli->schema,
			     json_pack("{s:s,s:s,s:o,s:O}", "place", state, "since", day_text(counted, day), "readers",
				       readers_json(readers), "days", readers->days));
		return;
	}
	show(readers, state, counted);
	cli_line(tr("as the server counts it since %s; copies and mirrors are read unseen"), day_text(counted, day));
}

int poc_cmd_readers(struct cli *cli)
{
	struct readers readers = {.cli = cli, .days = json_array()};
	uint32_t kept_from = 0, from = 0;
	struct poc *poc = NULL;
	int64_t since, now = 0;
	int status = link_open(cli, true, &poc);

	if (status == 0)
		status = since_read(cli, "30d", now = client_now(poc), &since);
	if (status == 0) {
		from = since > 0 ? (uint32_t)(since / DAY_SECONDS) : 0;
		status = client_readers(poc, from, &kept_from, add, &readers);
		if (status != 0 && !cli->failed)
			link_fail(cli, poc, status);
	}
	if (status == 0) {
		if (readers.n > 0)
			qsort(readers.list, readers.n, sizeof *readers.list, by_last);
		tell(&readers, cli->conf.state, from, kept_from > 0 ? kept_from : (uint32_t)(now / DAY_SECONDS));
	}
	free(readers.list);
	json_decref(readers.days);
	link_close(cli, poc);
	return status;
}
