/* import: lists of teams, as others keep them, made into unsigned drafts of records, one a state.
 *
 * A team is told from others of its state by its normalised name; a row without a name (or with nothing but an address
 * in its place) belongs to the team with its mailbox or the host of its web site.  Each team becomes a technical POC
 * with one section "office", TLP:CLEAR, that keeps source and date.  Of differing values the one with the newest source
 * date comes first, the others are further channels.  Retired teams are left out unless their state would have no
 * other.  What does not fit into a record (16 POCs, 24 KiB) becomes units of the state; so do the teams of a list with
 * a column of regions. */
#ifndef CLIENTS_CLI_IMPORT_H
#define CLIENTS_CLI_IMPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "clients/libpoc/draft.h"

struct import_options {
	const char *charset;     /* of the file; NULL: UTF-8 */
	const char *source;      /* name of the list, where its rows name none; NULL: the file's name */
	const char *source_date; /* likewise: YYYY, YYYY-MM or YYYY-MM-DD; NULL: none */
	const char *state;       /* country of rows that name none; NULL: they are skipped */
	const char *const *maps; /* "HEADER=field", fields as pocadm(1) names them */
	size_t n_maps;
};

enum import_outcome {
	IMPORT_IMPORTED,   /* a new team, complete */
	IMPORT_MERGED,     /* agrees with a team of an earlier row, or adds to it */
	IMPORT_CONFLICT,   /* differs from a team's earlier row in a field; both values are kept */
	IMPORT_INCOMPLETE, /* a new team that lacks name, mailbox or any channel */
	IMPORT_SKIPPED     /* not imported: reason says why */
};
enum { IMPORT_OUTCOMES = 5 };

/* What became of a row.  Texts are valid during the call only; they come from the file and are not escaped. */
struct import_row {
	size_t line; /* where the row begins in the file; of JSON: its number */
	enum import_outcome outcome;
	const char *places; /* "BR", "FR, CA", "FR/bretagne"; empty when skipped */
	const char *team;
	const char *reason; /* may be empty */
};

typedef void (*import_row_fn)(void *ctx, const struct import_row *row);

struct import_result {
	size_t n_drafts;
	struct draft **drafts; /* by place, ascending; each passes draft_check */
	size_t counts[IMPORT_OUTCOMES];
	size_t n_ignored;
	char **ignored; /* headers that no field was found for */
};

/* Imports a list (formats: table.h).  Calls report for every row, in the order of the file, when all are known.  0 and
 * *out (import_result_finish), or a status with *why and nothing in *out. */
int import_run(const void *bytes, size_t size, const char *file_name, const struct import_options *options,
	       import_row_fn report, void *ctx, struct import_result *out, struct refusal *why);
void import_result_finish(struct import_result *result);

const char *import_outcome_name(enum import_outcome outcome); /* "imported" ... */

#endif
