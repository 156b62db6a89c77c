#include "clients/cli/conf_edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clients/cli/command.h"

enum { CONF_FILE_MAX = 256 * 1024, LINE_LIMIT = 190 /* what the parser of INI files takes */ };

/* ---- Lines */

struct line {
	const char *at; /* in the file's text */
	size_t size;    /* with its newline, if it has one */
};

/* Whether a line is "[section]"; *same: of that name. */
static bool is_heading(const struct line *line, const char *section, bool *same)
{
	const size_t length = strlen(section);

	if (line->size == 0 || line->at[0] != '[')
		return false;
	*same = line->size >= length + 2 && memcmp(line->at + 1, section, length) == 0 && line->at[length + 1] == ']';
	return true;
}

/* Whether a line is "key = ..."; *value: the rest, without blanks around it. */
static bool is_key(const struct line *line, const char *key, struct line *value)
{
	const size_t length = strlen(key);
	const char *end = line->at + line->size, *at = line->at + length;

	if (line->size < length || memcmp(line->at, key, length) != 0)
		return false;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	if (at == end || *at != '=')
		return false;
	at++;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	while (end > at && strchr(" \t\r\n", end[-1]) != NULL)
		end--;
	*value = (struct line){at, (size_t)(end - at)};
	return true;
}

static bool next_line(const char **rest, struct line *line)
{
	if (**rest == '\0')
		return false;
	const char *end = strchr(*rest, '\n');
	line->at = *rest;
	line->size = end != NULL ? (size_t)(end + 1 - *rest) : strlen(*rest);
	*rest += line->size;
	return true;
}

bool conf_value(const char *path, const char *section, const char *key, char *out, size_t size)
{
	size_t length;
	char *text = cli_read_file(path, CONF_FILE_MAX, &length, NULL);
	const char *rest = text;
	struct line line, value;
	bool inside = false, found = false;

	while (text != NULL && !found && next_line(&rest, &line)) {
		bool same;
		if (is_heading(&line, section, &same))
			inside = same;
		else
			found = inside && is_key(&line, key, &value) && value.size < size;
	}
	if (found)
		snprintf(out, size, "%.*s", (int)value.size, value.at);
	free(text);
	return found;
}

/* ---- Changing */

/* The change that a line is replaced by; NULL: it stays. */
static const struct conf_change *change_of(const struct line *line, const char *section, const struct conf_change *list,
					   size_t n)
{
	struct line value;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(list[i].section, section) == 0 && is_key(line, list[i].key, &value))
			return &list[i];
	}
	return NULL;
}

/* What has no line yet stands at the end of its section, or in a new one at the end of the file. */
static void put_missing(FILE *out, const char *section, const struct conf_change *list, size_t n, bool *done)
{
	for (size_t i = 0; i < n; i++) {
		if (done[i] || list[i].value == NULL || strcmp(list[i].section, section) != 0)
			continue;
		fprintf(out, "%s = %s\n", list[i].key, list[i].value);
		done[i] = true;
	}
}

static void put_line(FILE *out, const struct line *line)
{
	fwrite(line->at, 1, line->size, out);
	if (line->size > 0 && line->at[line->size - 1] != '\n')
		fputc('\n', out);
}

/* The last line of a section that says something: what is added goes behind it, before blank lines. */
static void put_changed(FILE *out, const char *text, const struct conf_change *list, size_t n, bool *done)
{
	char section[64] = "";
	const char *rest = text;
	struct line line;
	size_t blanks = 0;

	while (next_line(&rest, &line)) {
		const bool heading = line.at[0] == '[';
		if (line.at[strspn(line.at, " \t\r")] == '\n') { /* kept back: it may end the section */
			blanks++;
			continue;
		}
		if (heading)
			put_missing(out, section, list, n, done);
		for (; blanks > 0; blanks--)
			fputc('\n', out);
		if (heading)
			snprintf(section, sizeof section, "%.*s", (int)strcspn(line.at + 1, "]\n"), line.at + 1);
		const struct conf_change *change = heading ? NULL : change_of(&line, section, list, n);
		if (change == NULL)
			put_line(out, &line);
		else if (change->value != NULL && !done[change - list])
			fprintf(out, "%s = %s\n", change->key, change->value);
		if (change != NULL)
			done[change - list] = true;
	}
	put_missing(out, section, list, n, done);
	for (size_t i = 0; i < n; i++) {
		if (done[i] || list[i].value == NULL)
			continue;
		fprintf(out, "\n[%s]\n", list[i].section);
		put_missing(out, list[i].section, list, n, done);
	}
}

int conf_edit(const char *path, const struct conf_change *changes, size_t n, struct refusal *why)
{
	bool done[16] = {false};
	char *made = NULL;
	size_t size, made_size = 0;
	struct stat st;

	for (size_t i = 0; i < n; i++) {
		if (changes[i].value != NULL && (strlen(changes[i].key) + strlen(changes[i].value) > LINE_LIMIT ||
						 strchr(changes[i].value, '\n') != NULL))
			return refuse(why, STATUS_TOO_LARGE, "", "%s: a line of %s would be too long", path,
				      changes[i].key);
	}
	char *text = n <= sizeof done ? cli_read_file(path, CONF_FILE_MAX, &size, why) : NULL;
	if (text == NULL)
		return why != NULL && why->code != 0 ? why->code : STATUS_IO;
	FILE *out = open_memstream(&made, &made_size);
	if (out != NULL)
		put_changed(out, text, changes, n, done);
	free(text);
	if (out == NULL || fclose(out) != 0)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	const unsigned mode = stat(path, &st) == 0 ? (unsigned)st.st_mode & 0777 : 0600;
	int status = cli_write_file(path, made, made_size, mode, false, why);
	free(made);
	return status;
}

/* ---- Names */

bool conf_resolve(const char *path, const char *file, char out[CONF_PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	int n = file[0] == '/' || slash == NULL
		    ? snprintf(out, CONF_PATH_MAX, "%s", file)
		    : snprintf(out, CONF_PATH_MAX, "%.*s%s", (int)(slash - path + 1), path, file);

	return n >= 0 && n < CONF_PATH_MAX;
}

static bool is_taken(const char *path, const char *stem)
{
	static const char *const endings[] = {".key", ".crt"};
	char name[CONF_PATH_MAX], file[CONF_PATH_MAX];

	for (size_t i = 0; i < 2; i++) {
		int n = snprintf(name, sizeof name, "%s%s", stem, endings[i]);
		if (n >= CONF_PATH_MAX || !conf_resolve(path, name, file) || access(file, F_OK) == 0)
			return true;
	}
	return false;
}

bool conf_next_stem(const char *path, const char *file, char *out, size_t size)
{
	const char *slash = strrchr(file, '/'), *name = slash != NULL ? slash + 1 : file, *dot = strrchr(name, '.');
	const char *end = dot != NULL && dot != name ? dot : file + strlen(file), *digits = end;
	unsigned long number = 1;

	while (digits > name && digits[-1] >= '0' && digits[-1] <= '9' && end - digits < 6)
		digits--;
	if (digits < end && digits > name + 1 && digits[-1] == '-') {
		number = strtoul(digits, NULL, 10);
		end = digits - 1;
	}
	for (unsigned long next = number + 1; next < number + 1000; next++) {
		int n = snprintf(out, size, "%.*s-%lu", (int)(end - file), file, next);
		if (n < 0 || (size_t)n >= size)
			return false;
		if (!is_taken(path, out))
			return true;
	}
	return false;
}
