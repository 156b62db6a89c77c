#include "clients/cli/conf.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pocd/base/ini.h"

enum { QUORUM_MAX = 1000 };

static int parse_quorum(const char *value, void *member, size_t room, struct refusal *why)
{
	uint64_t number;

	(void)room;
	if (!ini_unsigned(value, QUORUM_MAX, &number))
		return refuse(why, STATUS_INVALID, "", "\"%.60s\" is not a number up to %d", value, QUORUM_MAX);
	*(unsigned *)member = (unsigned)number;
	return 0;
}

#define AT(member) offsetof(struct conf, member)
#define ROOM(member) sizeof(((struct conf *)0)->member)

static const struct setting rows[] = {
    {"directory", "server", SETTING_TEXT, AT(servers), ROOM(servers), NULL},
    {"directory", "server_pin", SETTING_TEXT, AT(server_pin), ROOM(server_pin), NULL},
    {"directory", "id", SETTING_TEXT, AT(id), ROOM(id), NULL},
    {"directory", "quorum", SETTING_OTHER, AT(quorum), 0, parse_quorum},
    {"directory", "own_auditor", SETTING_TEXT, AT(own_auditor), ROOM(own_auditor), NULL},
    {"directory", "max_age", SETTING_DURATION, AT(max_age_ms), 0, NULL},
    {"user", "state", SETTING_TEXT, AT(state), ROOM(state), NULL},
    {"user", "unit", SETTING_TEXT, AT(unit), ROOM(unit), NULL},
    {"user", "cert", SETTING_PATH, AT(cert), 0, NULL},
    {"user", "key", SETTING_PATH, AT(key), 0, NULL},
    {"user", "next_cert", SETTING_PATH, AT(next_cert), 0, NULL},
    {"user", "next_key", SETTING_PATH, AT(next_key), 0, NULL},
    {"user", "passphrase_file", SETTING_PATH, AT(passphrase_file), 0, NULL},
    {"authority", "key", SETTING_PATHS, AT(authority), CONF_KEYS_MAX, NULL},
    {"coordinator", "key", SETTING_PATHS, AT(coordinator), CONF_KEYS_MAX, NULL},
    {"editor", "key", SETTING_PATHS, AT(editor), CONF_KEYS_MAX, NULL},
    {"enrolment", "key", SETTING_PATHS, AT(enrolment), CONF_KEYS_MAX, NULL},
    {"root", "key", SETTING_PATHS, AT(root), CONF_KEYS_MAX, NULL},
    {"notices", "reading_key", SETTING_PATHS, AT(reading), CONF_KEYS_MAX, NULL},
    {"notices", "old_reading_key", SETTING_PATHS, AT(old_reading), CONF_KEYS_MAX, NULL},
    {"notices", "next_reading_key", SETTING_PATH, AT(next_reading), 0, NULL},
    {"state", "dir", SETTING_PATH, AT(state_dir), 0, NULL},
};

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

const char *conf_place(const struct conf *conf)
{
	static char place[sizeof conf->state + sizeof conf->unit];

	snprintf(place, sizeof place, "%s%s%s", conf->state, conf->unit[0] != '\0' ? "/" : "", conf->unit);
	return place;
}

int conf_default_path(char out[CONF_PATH_MAX])
{
	return xdg(out, "XDG_CONFIG_HOME", ".config", "poc/poc.conf") ? 0 : -1;
}

/* Reads one file over what is there already. */
static int read_file(const char *path, struct conf *out, struct refusal *why)
{
	if (strlen(path) >= sizeof out->path)
		return refuse(why, STATUS_INVALID, "", "path too long");
	strcpy(out->path, path);
	int status = settings_read(path, rows, sizeof rows / sizeof rows[0], out, why);
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
	for (size_t i = 0; i < out->old_reading.n && out->reading.n < CONF_KEYS_MAX; i++)
		strcpy(out->reading.paths[out->reading.n++], out->old_reading.paths[i]);
	if (out->state_dir[0] == '\0' && !xdg(out->state_dir, "XDG_STATE_HOME", ".local/state", "poc"))
		return refuse(why, STATUS_USAGE, "", "no place for the held state: set [state] dir");
	return 0;
}
