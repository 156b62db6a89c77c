#include "pocd/base/ini.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
	const char *path;
	FILE *file;
	unsigned line;
	const char *fault; /* of the reader */
	int status;        /* of the handler */
	unsigned status_line;
	ini_key_fn each;
	void *ctx;
	struct refusal *why;
	struct refusal inner;
};

/* As fgets, but counts lines and ends the reading at one that the parser would misread. */
static char *read_line(char *out, int size, void *stream)
{
	struct reading *reading = stream;

	if (reading->fault != NULL || reading->status != 0 || fgets(out, size, reading->file) == NULL)
		return NULL;
	reading->line++;
	size_t length = strlen(out);
	bool whole = length > 0 && out[length - 1] == '\n';
	if (!whole && !feof(reading->file))
		reading->fault = "too long";
	else if ((out[0] == ' ' || out[0] == '\t') && out[strspn(out, " \t\r\n")] != '\0')
		reading->fault = "begins with white space";
	return reading->fault == NULL ? out : NULL;
}

static int take_key(void *ctx, const char *section, const char *key, const char *value)
{
	struct reading *reading = ctx;

	if (reading->status == 0) {
		reading->status =
		    reading->each(reading->ctx, section, key, value != NULL ? value : "", &reading->inner);
		reading->status_line = reading->line;
	}
	return reading->status == 0;
}

int ini_read(const char *path, ini_key_fn each, void *ctx, struct refusal *why)
{
	struct reading reading = {.path = path, .each = each, .ctx = ctx};

	reading.file = fopen(path, "re");
	if (reading.file == NULL)
		return refuse(why, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "", "%s: %s", path, strerror(errno));
	int line = ini_parse_stream(read_line, &reading, take_key, &reading);
	bool failed = ferror(reading.file) != 0;
	fclose(reading.file);
	if (failed)
		return refuse(why, STATUS_IO, "", "%s: cannot be read", path);
	if (reading.fault != NULL)
		return refuse(why, STATUS_INVALID, "", "%s, line %u: %s", path, reading.line, reading.fault);
	if (reading.status != 0)
		return refuse(why, reading.status, reading.inner.field, "%s, line %u: %s", path, reading.status_line,
			      reading.inner.message);
	if (line != 0)
		return refuse(why, STATUS_INVALID, "", "%s, line %d: neither [section] nor key = value", path, line);
	return 0;
}

static bool number_with_unit(const char *text, uint64_t *number, const char **unit)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno != 0)
		return false;
	*number = value;
	*unit = end;
	return true;
}

bool ini_duration_ms(const char *text, uint64_t *out)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	const char *unit;
	uint64_t number;

	if (!number_with_unit(text, &number, &unit) || number > 1000000000)
		return false;
	if (*unit == '\0' && number == 0) {
		*out = 0;
		return true;
	}
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (strcmp(unit, units[i].unit) == 0) {
			*out = number * units[i].ms;
			return true;
		}
	}
	return false;
}

bool ini_size(const char *text, uint64_t *out)
{
	const char *unit;
	uint64_t number;

	if (!number_with_unit(text, &number, &unit))
		return false;
	const char *all = "KMGT";
	const char *at = *unit != '\0' ? strchr(all, *unit) : NULL;
	unsigned shift = at != NULL ? 10 * (unsigned)(at - all + 1) : 0;
	if ((*unit != '\0' && (at == NULL || unit[1] != '\0')) || number > UINT64_MAX >> shift)
		return false;
	*out = number << shift;
	return true;
}

bool ini_unsigned(const char *text, uint64_t max, uint64_t *out)
{
	const char *unit;

	return number_with_unit(text, out, &unit) && *unit == '\0' && *out <= max;
}

bool ini_bool(const char *text, bool *out)
{
	*out = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
	return *out || strcmp(text, "no") == 0 || strcmp(text, "false") == 0 || strcmp(text, "0") == 0;
}
