#include "clients/cli/table.h"

#include <errno.h>
#include <iconv.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/utf8.h"

static int no_memory(struct refusal *why)
{
	return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
}

/* ---- The table ----------------------------------------------------------------------------------------------------
 */

/* What all cells share that the file left out or empty: lists may have many. */
static char nothing[1];

static char *cell_text(const char *text)
{
	return text[0] ? strdup(text) : nothing;
}

static void row_finish(struct table_row *row, size_t n)
{
	for (size_t i = 0; row->cell && i < n; i++)
		if (row->cell[i] != nothing)
			free(row->cell[i]);
	free(row->cell);
}

void table_destroy(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->n_rows; i++)
		row_finish(&table->rows[i], table->n_columns);
	for (size_t i = 0; i < table->n_columns; i++)
		free(table->headers[i]);
	free(table->headers);
	free(table->rows);
	free(table);
}

/* Room for one more of size bytes each, when the count reaches a power of two. */
static void *grow(void *list, size_t n, size_t size)
{
	if (n > 0 && (n & (n - 1)) != 0)
		return list;
	return realloc(list, (n > 0 ? 2 * n : 1) * size);
}

/* Adds an empty row.  NULL when out of memory. */
static struct table_row *add_row(struct table *table, size_t line)
{
	struct table_row *rows = grow(table->rows, table->n_rows, sizeof *rows);
	if (!rows)
		return NULL;
	table->rows = rows;
	struct table_row *row = &rows[table->n_rows];
	*row = (struct table_row){line, 0, calloc(table->n_columns + 1, sizeof *row->cell)};
	if (!row->cell)
		return NULL;
	table->n_rows++;
	return row;
}

/* Cells that were not given become empty texts. */
static void fill_rows(struct table *table)
{
	for (size_t i = 0; i < table->n_rows; i++)
		for (size_t j = 0; j < table->n_columns; j++)
			if (!table->rows[i].cell[j])
				table->rows[i].cell[j] = nothing;
}

/* ---- CSV ----------------------------------------------------------------------------------------------------------
 */

struct csv {
	const char *at, *end;
	size_t line;
	char delimiter;
	char *field; /* room for the longest */
	size_t used;
};

/* The one of comma, semicolon and tab that stands most often in the first line, outside quotes. */
static char detect_delimiter(const char *at, const char *end)
{
	static const char candidates[] = ",;\t";
	size_t counts[3] = {0}, best = 0;
	bool quoted = false;

	for (; at < end && (quoted || *at != '\n'); at++) {
		quoted ^= *at == '"';
		const char *c = quoted || *at == '\0' ? NULL : strchr(candidates, *at);
		if (c && ++counts[c - candidates] > counts[best])
			best = (size_t)(c - candidates);
	}
	return candidates[best];
}

/* Reads the rest of a quoted field.  False if its end is missing. */
static bool read_quoted(struct csv *csv)
{
	while (csv->at < csv->end) {
		const char c = *csv->at++;
		if (c == '"') {
			if (csv->at == csv->end || *csv->at != '"')
				return true;
			csv->at++;
		}
		if (c == '\n')
			csv->line++;
		csv->field[csv->used++] = c;
	}
	return false;
}

/* Reads one field into csv->field.  False if a quote is not closed. */
static bool read_field(struct csv *csv)
{
	bool quoted = false;

	csv->used = 0;
	if (csv->at < csv->end && *csv->at == '"') {
		csv->at++;
		quoted = true;
		if (!read_quoted(csv))
			return false;
	}
	/* What follows a closed quote, against the rules, is kept. */
	while (csv->at < csv->end && *csv->at != csv->delimiter && *csv->at != '\n')
		csv->field[csv->used++] = *csv->at++;
	if (!quoted && csv->used > 0 && csv->field[csv->used - 1] == '\r')
		csv->used--;
	while (quoted && csv->used > 0 && csv->field[csv->used - 1] == '\r')
		csv->used--;
	csv->field[csv->used] = '\0';
	return true;
}

/* After a field: true if another of the same record follows. */
static bool more_fields(struct csv *csv)
{
	if (csv->at == csv->end)
		return false;
	const bool more = *csv->at == csv->delimiter;
	if (!more)
		csv->line++;
	csv->at++;
	return more;
}

static int read_headers(struct csv *csv, struct table *table, struct refusal *why)
{
	do {
		if (table->n_columns == TABLE_COLUMNS_MAX)
			return refuse(why, STATUS_TOO_LARGE, "line 1", "more than %d columns", TABLE_COLUMNS_MAX);
		if (!read_field(csv))
			return refuse(why, STATUS_INVALID, "line 1", "a quote is not closed");
		char **headers = grow(table->headers, table->n_columns, sizeof *headers);
		if (!headers)
			return no_memory(why);
		table->headers = headers;
		headers[table->n_columns] = strdup(csv->field);
		if (!headers[table->n_columns])
			return no_memory(why);
		table->n_columns++;
	} while (more_fields(csv));
	return 0;
}

static int read_row(struct csv *csv, struct table *table, struct refusal *why)
{
	const size_t line = csv->line;
	struct table_row *row = add_row(table, line);
	bool empty = true, more;

	if (!row)
		return no_memory(why);
	do {
		if (!read_field(csv)) {
			char where[40];
			snprintf(where, sizeof where, "line %zu", line);
			return refuse(why, STATUS_INVALID, where, "a quote is not closed");
		}
		empty = empty && csv->used == 0;
		if (row->cells < table->n_columns && !(row->cell[row->cells] = cell_text(csv->field)))
			return no_memory(why);
		row->cells++;
		more = more_fields(csv);
	} while (more);
	if (empty) {
		row_finish(row, table->n_columns);
		table->n_rows--;
	}
	return 0;
}

static int read_csv(const char *text, size_t size, struct table *table, struct refusal *why)
{
	struct csv csv = {text, text + size, 1, detect_delimiter(text, text + size), malloc(size + 1), 0};
	if (!csv.field)
		return no_memory(why);
	int status = read_headers(&csv, table, why);
	while (!status && csv.at < csv.end) {
		status = table->n_rows == TABLE_ROWS_MAX
			     ? refuse(why, STATUS_TOO_LARGE, "", "more than %d rows", TABLE_ROWS_MAX)
			     : read_row(&csv, table, why);
	}
	free(csv.field);
	return status;
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------
 */

static size_t column_of(struct table *table, const char *name)
{
	size_t i = 0;
	while (i < table->n_columns && strcmp(table->headers[i], name) != 0)
		i++;
	return i;
}

/* Text of a value that is neither list nor object; malloc. */
static char *scalar_text(const json_t *json)
{
	char number[40];
	if (json_is_string(json))
		return strdup(json_string_value(json));
	if (json_is_integer(json)) {
		snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
		return strdup(number);
	}
	if (json_is_real(json)) {
		snprintf(number, sizeof number, "%g", json_real_value(json));
		return strdup(number);
	}
	return strdup(json_is_true(json) ? "true" : json_is_false(json) ? "false" : "");
}

/* Lists of scalars, joined; inner lists and objects of a list are left out. */
static char *list_text(const json_t *list)
{
	char *all = strdup("");
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *)list, i, item)
	{
		char *one = json_is_array(item) || json_is_object(item) ? strdup("") : scalar_text(item);
		char *longer = all && one ? malloc(strlen(all) + strlen(one) + sizeof TABLE_LIST_SEPARATOR) : NULL;
		if (longer) {
			strcpy(longer, all);
			if (all[0] && one[0])
				strcat(longer, TABLE_LIST_SEPARATOR);
			strcat(longer, one);
		}
		free(all);
		free(one);
		all = longer;
		if (!all)
			return NULL;
	}
	return all;
}

typedef int (*visit_fn)(void *ctx, const char *path, const json_t *value);

/* Calls visit for every value of an object that is no object itself. */
static int walk_object(const json_t *object, const char *prefix, unsigned depth, visit_fn visit, void *ctx)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		char path[200];
		int status;
		if (snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "." : "", key) >= (int)sizeof path)
			continue;
		if (json_is_object(value))
			status = depth < 4 ? walk_object(value, path, depth + 1, visit, ctx) : 0;
		else
			status = visit(ctx, path, value);
		if (status)
			return status;
	}
	return 0;
}

static int add_column(void *ctx, const char *path, const json_t *value)
{
	struct table *table = ctx;
	(void)value;
	if (column_of(table, path) < table->n_columns)
		return 0;
	if (table->n_columns == TABLE_COLUMNS_MAX)
		return STATUS_TOO_LARGE;
	char **headers = grow(table->headers, table->n_columns, sizeof *headers);
	if (!headers)
		return STATUS_NO_MEMORY;
	table->headers = headers;
	headers[table->n_columns] = strdup(path);
	if (!headers[table->n_columns])
		return STATUS_NO_MEMORY;
	table->n_columns++;
	return 0;
}

static int set_cell(void *ctx, const char *path, const json_t *value)
{
	struct table *table = ctx;
	struct table_row *row = &table->rows[table->n_rows - 1];
	const size_t column = column_of(table, path);
	char *text = json_is_array(value) ? list_text(value) : scalar_text(value);

	if (!text)
		return STATUS_NO_MEMORY;
	row->cell[column] = text;
	row->cells++;
	return 0;
}

static int read_objects(const json_t *list, struct table *table)
{
	const json_t *item;
	size_t i;
	int status = 0;

	json_array_foreach((json_t *)list, i, item)
	{
		status = json_is_object(item) ? walk_object(item, "", 0, add_column, table) : STATUS_INVALID;
		if (status)
			return status;
	}
	json_array_foreach((json_t *)list, i, item)
	{
		if (!add_row(table, i + 1))
			return STATUS_NO_MEMORY;
		status = walk_object(item, "", 0, set_cell, table);
		if (status)
			return status;
	}
	return 0;
}

static int read_json(const char *text, size_t size, struct table *table, struct refusal *why)
{
	json_error_t error;
	json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);

	if (!json)
		return refuse(why, STATUS_INVALID, "", "not JSON: line %d: %s", error.line, error.text);
	if (json_is_object(json)) {
		json_t *list = json_pack("[o]", json);
		if (!list)
			return no_memory(why);
		json = list;
	}
	int status = json_array_size(json) > TABLE_ROWS_MAX ? STATUS_TOO_LARGE : read_objects(json, table);
	json_decref(json);
	if (status == STATUS_INVALID)
		return refuse(why, status, "", "must be a list of objects");
	return status ? refuse(why, status, "", "%s", status_text(status)) : 0;
}

/* ---- Encoding -----------------------------------------------------------------------------------------------------
 */

/* Text in UTF-8 of bytes in that charset; malloc, terminated. */
static int convert(const void *bytes, size_t size, const char *charset, char **out, size_t *out_size,
		   struct refusal *why)
{
	iconv_t converter = iconv_open("UTF-8", charset);
	if (converter == (iconv_t)-1)
		return refuse(why, STATUS_INVALID, "charset", "\"%.40s\" is not a known encoding", charset);
	const size_t room = 4 * size + 4;
	char *in = (char *)bytes, *at = malloc(room + 1);
	size_t left = size, room_left = room;
	*out = at;
	const size_t failed = at ? iconv(converter, &in, &left, &at, &room_left) : 0;
	const int error = errno;
	iconv_close(converter);
	if (!*out)
		return no_memory(why);
	if (failed == (size_t)-1 || left > 0) {
		free(*out);
		*out = NULL;
		return refuse(why, STATUS_INVALID, "charset", "not %s: byte %zu%s", charset, size - left,
			      error == EINVAL ? " is the start of a character that is cut off" : "");
	}
	*out_size = room - room_left;
	(*out)[*out_size] = '\0';
	return 0;
}

static bool starts_with(const uint8_t *bytes, size_t size, const char *mark, size_t n)
{
	return size >= n && memcmp(bytes, mark, n) == 0;
}

static int decode(const uint8_t *bytes, size_t size, const char *charset, char **text, size_t *text_size,
		  struct refusal *why)
{
	if (!charset && (starts_with(bytes, size, "\xff\xfe", 2) || starts_with(bytes, size, "\xfe\xff", 2)))
		charset = "UTF-16";
	int status = convert(bytes, size, charset ? charset : "UTF-8", text, text_size, why);
	if (status)
		return status;
	if (!utf8_valid(*text, *text_size)) {
		free(*text);
		*text = NULL;
		return refuse(why, STATUS_INVALID, "charset", "the file holds a NUL or is not text in %s",
			      charset ? charset : "UTF-8");
	}
	if (starts_with((const uint8_t *)*text, *text_size, "\xef\xbb\xbf", 3)) {
		*text_size -= 3;
		memmove(*text, *text + 3, *text_size + 1);
	}
	return 0;
}

int table_read(const void *bytes, size_t size, const char *charset, struct table **out, struct refusal *why)
{
	char *text = NULL;
	size_t text_size = 0;

	*out = NULL;
	if (size > TABLE_SIZE_MAX)
		return refuse(why, STATUS_TOO_LARGE, "", "the file has more than %d bytes", TABLE_SIZE_MAX);
	int status = decode(bytes, size, charset, &text, &text_size, why);
	if (status)
		return status;
	struct table *table = calloc(1, sizeof *table);
	const char first = text[strspn(text, " \t\r\n")];
	if (!table)
		status = no_memory(why);
	else if (first == '[' || first == '{')
		status = read_json(text, text_size, table, why);
	else
		status = read_csv(text, text_size, table, why);
	free(text);
	if (status) {
		table_destroy(table);
		return status;
	}
	fill_rows(table);
	*out = table;
	return 0;
}
