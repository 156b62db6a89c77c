/* table: a list as people keep them, CSV or JSON, as rows of text cells under headers. */
#ifndef CLIENTS_CLI_TABLE_H
#define CLIENTS_CLI_TABLE_H

#include <stddef.h>

#include "proto/wire/status.h"

enum { TABLE_COLUMNS_MAX = 200, TABLE_ROWS_MAX = 20000, TABLE_SIZE_MAX = 32 * 1024 * 1024 };

/* Between the values of a cell that held a JSON list. */
#define TABLE_LIST_SEPARATOR "\n"

struct table_row {
	size_t line;  /* where it begins in the file, from 1; of JSON: its number in the list */
	size_t cells; /* how many the file had, possibly more or fewer than headers */
	char **cell;  /* one per header, never NULL; empty where the file had none */
};

struct table {
	size_t n_columns;
	char **headers;
	size_t n_rows;
	struct table_row *rows;
};

/* Reads CSV (RFC 4180: quotes, doubled quotes, line breaks within quotes; comma, semicolon or tab, whichever the header
 * line has most of), or JSON (a list of objects, or one object; the keys of inner objects are joined by dots, lists of
 * texts become one cell with TABLE_LIST_SEPARATOR).  A byte order mark is skipped.  charset names the encoding of CSV
 * as iconv knows it (NULL: UTF-8, or UTF-16 if the byte order mark says so).  Lines without any text are no rows.
 * 0 and *out (table_destroy), or STATUS_INVALID, STATUS_TOO_LARGE, STATUS_NO_MEMORY with *why. */
int table_read(const void *bytes, size_t size, const char *charset, struct table **out, struct refusal *why);
void table_destroy(struct table *table); /* NULL allowed */

#endif
