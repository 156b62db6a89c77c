#include "pocd/base/settings.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "pocd/base/ini.h"

struct reading {
	const struct setting *rows;
	size_t n;
	void *into;
	uint64_t seen; /* a bit a row */
	char folder[SETTINGS_PATH_MAX];
};

/* Of a file beside the folder what is told and opened is "states/a.key", not "users/../states/a.key": but where "users"
 * is a link, ".." is somewhere else. */
static int join(const char *folder, const char *value, char out[SETTINGS_PATH_MAX])
{
	char base[SETTINGS_PATH_MAX];
	struct stat st;

	strcpy(base, folder);
	while (strncmp(value, "../", 3) == 0) {
		char *slash = strrchr(base, '/'), *name = slash != NULL ? slash + 1 : base;
		if (slash == base || name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		    lstat(base, &st) != 0 || !S_ISDIR(st.st_mode))
			break;
		*(slash != NULL ? slash : base) = '\0';
		value += 3;
	}
	return snprintf(out, SETTINGS_PATH_MAX, "%s%s%s", base, base[0] != '\0' ? "/" : "", value);
}

static int put_path(const struct reading *reading, const char *value, char out[SETTINGS_PATH_MAX], struct refusal *why)
{
	bool whole = value[0] == '/' || strncmp(value, "pkcs11:", 7) == 0;
	int n = whole ? snprintf(out, SETTINGS_PATH_MAX, "%s", value) : join(reading->folder, value, out);

	return n >= 0 && n < SETTINGS_PATH_MAX ? 0 : refuse(why, STATUS_INVALID, "", "path too long");
}

static int put_paths(const struct reading *reading, const char *value, size_t max, struct settings_paths *out,
		     struct refusal *why)
{
	char one[SETTINGS_PATH_MAX];

	out->n = 0;
	while (*value != '\0') {
		size_t length = strcspn(value, ","), end = length;
		while (end > 0 && value[end - 1] == ' ')
			end--;
		if (end == 0 || end >= sizeof one || out->n == max)
			return refuse(why, STATUS_INVALID, "", "1 to %zu files, separated by commas", max);
		memcpy(one, value, end);
		one[end] = '\0';
		int status = put_path(reading, one, out->paths[out->n++], why);
		if (status != 0)
			return status;
		value += length + (value[length] == ',');
		value += strspn(value, " ");
	}
	return 0;
}

static int put_number(const struct setting *row, const char *value, void *at, struct refusal *why)
{
	bool narrow = row->kind == SETTING_NUMBER32 || row->kind == SETTING_DURATION32;
	const char *what;
	uint64_t number;
	bool good;

	if (row->kind == SETTING_SIZE) {
		what = "size (e.g. 64M)";
		good = ini_size(value, &number);
	} else if (row->kind == SETTING_NUMBER || row->kind == SETTING_NUMBER32) {
		what = "number";
		good = ini_unsigned(value, UINT32_MAX, &number);
	} else {
		what = "duration (e.g. 100ms, 5s, 10m, 24h)";
		good = ini_duration_ms(value, &number);
	}
	if (!good)
		return refuse(why, STATUS_INVALID, "", "\"%.60s\" is not a %s", value, what);
	if (number < row->room || (narrow && number > UINT32_MAX))
		return refuse(why, STATUS_INVALID, "", "out of range");
	if (narrow) {
		uint32_t small = (uint32_t)number;
		memcpy(at, &small, sizeof small);
	} else {
		memcpy(at, &number, sizeof number);
	}
	return 0;
}

static int put(const struct reading *reading, const struct setting *row, const char *value, struct refusal *why)
{
	void *at = (char *)reading->into + row->offset;

	switch (row->kind) {
	case SETTING_TEXT:
		if (strlen(value) >= row->room)
			return refuse(why, STATUS_INVALID, "", "too long");
		strcpy(at, value);
		return 0;
	case SETTING_PATH:
		return put_path(reading, value, at, why);
	case SETTING_PATHS:
		return put_paths(reading, value, row->room, at, why);
	case SETTING_OTHER:
		return row->parse(value, at, row->room, why);
	default:
		return put_number(row, value, at, why);
	}
}

static int take(void *ctx, const char *section, const char *key, const char *value, struct refusal *why)
{
	struct reading *reading = ctx;
	struct refusal inner = {0};
	size_t i = 0;

	while (i < reading->n &&
	       (strcmp(reading->rows[i].section, section) != 0 || strcmp(reading->rows[i].key, key) != 0))
		i++;
	if (i == reading->n)
		return refuse(why, STATUS_INVALID, key, "unknown key \"%.60s\" in section [%.40s]", key, section);
	const struct setting *row = &reading->rows[i];
	int status = (reading->seen >> i & 1) != 0 ? refuse(&inner, STATUS_INVALID, "", "given a second time")
						   : put(reading, row, value, &inner);
	reading->seen |= (uint64_t)1 << i;
	return status == 0 ? 0 : refuse(why, status, row->key, "%s.%s: %s", section, key, inner.message);
}

int settings_read(const char *path, const struct setting *rows, size_t n, void *into, struct refusal *why)
{
	struct reading reading = {.rows = rows, .n = n, .into = into};
	const char *slash = strrchr(path, '/');
	int length = slash == NULL ? snprintf(reading.folder, sizeof reading.folder, ".")
				   : snprintf(reading.folder, sizeof reading.folder, "%.*s", (int)(slash - path), path);

	if (length < 0 || (size_t)length >= sizeof reading.folder)
		return refuse(why, STATUS_INVALID, "", "path too long");
	return ini_read(path, take, &reading, why);
}
