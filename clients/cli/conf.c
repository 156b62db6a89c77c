#include "clients/cli/conf.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pocd/base/ini.h"

enum kind { TEXT, PATH, KEYS, NUMBER, DURATION };

struct row {
	const char *section, *key;
	enum kind kind;
	size_t offset, room;
};

#define ROW(section, key, kind, member)                                                                                \
	{                                                                                                              \
		section, key, kind, offsetof(struct conf, member), sizeof(((struct conf *)0)->member)                  \
	}

static const struct row rows[] = {
    ROW("directory", "server", TEXT, servers),
    ROW("directory", "server_pin", TEXT, server_pin),
    ROW("directory", "id", TEXT, id),
    ROW("directory", "quorum", NUMBER, quorum),
    ROW("directory", "own_auditor", TEXT, own_auditor),
    ROW("directory", "max_age", DURATION, max_age_ms),
    ROW("user", "state", TEXT, state),
    ROW("user", "cert", PATH, cert),
    ROW("user", "key", PATH, key),
    ROW("user", "passphrase_file", PATH, passphrase_file),
    ROW("authority", "key", KEYS, authority),
    ROW("coordinator", "key", KEYS, coordinator),
    ROW("editor", "key", KEYS, editor),
    ROW("enrolment", "key", KEYS, enrolment),
    ROW("root", "key", KEYS, root),
    ROW("notices", "reading_key", KEYS, reading),
    ROW("state", "dir", PATH, state_dir),
};

struct reading {
	struct conf *conf;
	char folder[CONF_PATH_MAX];
};

static int put_path(const struct reading *reading, const char *value, char *out, struct refusal *why)
{
	int n = value[0] == '/' ? snprintf(out, CONF_PATH_MAX, "%s", value)
				: snprintf(out, CONF_PATH_MAX, "%s/%s", reading->folder, value);

	return n >= 0 && n < CONF_PATH_MAX ? 0 : refuse(why, STATUS_INVALID, "", "path too long");
}

static int put_keys(const struct reading *reading, const char *value, struct conf_keys *out, struct refusal *why)
{
	char one[CONF_TEXT_MAX];

	out->n = 0;
	while (*value != '\0') {
		size_t length = strcspn(value, ","), end = length;
		while (end > 0 && value[end - 1] == ' ')
			end--;
		if (end == 0 || end >= sizeof one || out->n == CONF_KEYS_MAX)
			return refuse(why, STATUS_INVALID, "", "1 to %d key files, separated by commas", CONF_KEYS_MAX);
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

static int put(const struct reading *reading, const struct row *row, const char *value, struct refusal *why)
{
	void *at = (char *)reading->conf + row->offset;
	uint64_t number;

	switch (row->kind) {
	case TEXT:
		if (strlen(value) >= row->room)
			return refuse(why, STATUS_INVALID, row->key, "%s.%s is too long", row->section, row->key);
		strcpy(at, value);
		return 0;
	case PATH:
		return put_path(reading, value, at, why);
	case KEYS:
		return put_keys(reading, value, at, why);
	case NUMBER:
		if (!ini_unsigned(value, 1000, &number))
			return refuse(why, STATUS_INVALID, row->key, "%s.%s: \"%.60s\" is not a number", row->section,
				      row->key, value);
		*(unsigned *)at = (unsigned)number;
		return 0;
	default:
		if (!ini_duration_ms(value, at))
			return refuse(why, STATUS_INVALID, row->key, "%s.%s: \"%.60s\" is not a duration (e.g. 24h)",
				      row->section, row->key, value);
		return 0;
	}
}

static int take(void *ctx, const char *section, const char *key, const char *value, struct refusal *why)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (strcmp(rows[i].section, section) == 0 && strcmp(rows[i].key, key) == 0)
			return put(ctx, &rows[i], value, why);
	}
	return refuse(why, STATUS_INVALID, key, "unknown key \"%.60s\" in section [%.40s]", key, section);
}

static bool xdg(char out[CONF_PATH_MAX], const char *variable, const char *below_home, const char *rest)
{
	const char *base = getenv(variable), *home = getenv("HOME");
	int n = -1;

	if (base != NULL && base[0] == '/')
		n = snprintf(out, CONF_PATH_MAX, "%s/%s", base, rest);
	else if (home != NULL && home[0] == '/')
		n = snprintf(out, CONF_PATH_MAX, "%s/%s/%s", home, below_home, rest);
	return n >= 0 && n < CONF_PATH_MAX;
}

int conf_default_path(char out[CONF_PATH_MAX])
{
	return xdg(out, "XDG_CONFIG_HOME", ".config", "poc/poc.conf") ? 0 : -1;
}

/* Reads one file over what is there already. */
static int read_file(const char *path, struct conf *out, struct refusal *why)
{
	struct reading reading = {.conf = out};
	const char *slash = strrchr(path, '/');
	int n = slash == NULL ? snprintf(reading.folder, sizeof reading.folder, ".")
			      : snprintf(reading.folder, sizeof reading.folder, "%.*s", (int)(slash - path), path);

	if (n < 0 || (size_t)n >= sizeof reading.folder || strlen(path) >= sizeof out->path)
		return refuse(why, STATUS_INVALID, "", "path too long");
	strcpy(out->path, path);
	int status = ini_read(path, take, &reading, why);
	return status == STATUS_NOT_FOUND ? refuse(why, STATUS_USAGE, "", "%s: there is no such file", path) : status;
}

/* The user's file over the system's: what the user does not say stays as the system has it. */
static int read_usual_files(struct conf *out, struct refusal *why)
{
	static const char system[] = "/etc/poc/poc.conf";
	char user[CONF_PATH_MAX];
	int status = access(system, F_OK) == 0 ? read_file(system, out, why) : 0;

	if (status == 0 && conf_default_path(user) == 0 && access(user, F_OK) == 0)
		status = read_file(user, out, why);
	return status;
}

int conf_read(const char *path, struct conf *out, struct refusal *why)
{
	memset(out, 0, sizeof *out);
	int status = path != NULL ? read_file(path, out, why) : read_usual_files(out, why);
	if (status != 0)
		return status;
	if (out->state_dir[0] == '\0' && !xdg(out->state_dir, "XDG_STATE_HOME", ".local/state", "poc"))
		return refuse(why, STATUS_USAGE, "", "no place for the held state: set [state] dir");
	return 0;
}
