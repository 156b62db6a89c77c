/* conf: the client's configuration, poc.conf(5). */
#ifndef CLIENTS_CLI_CONF_H
#define CLIENTS_CLI_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "pocd/base/settings.h"
#include "proto/wire/status.h"

enum { CONF_TEXT_MAX = 512, CONF_PATH_MAX = SETTINGS_PATH_MAX, CONF_KEYS_MAX = SETTINGS_PATHS_MAX };

struct conf {
	char path[CONF_PATH_MAX]; /* of the file; empty: none was found */
	/* [directory] */
	char servers[CONF_TEXT_MAX], server_pin[65], id[65], own_auditor[CONF_TEXT_MAX];
	unsigned quorum;
	uint64_t max_age_ms;
	/* [user] */
	char state[16], unit[48]; /* unit: empty for the state itself */
	char cert[CONF_PATH_MAX], key[CONF_PATH_MAX], passphrase_file[CONF_PATH_MAX];
	char next_cert[CONF_PATH_MAX], next_key[CONF_PATH_MAX]; /* while the key is rotated */
	/* [authority], [coordinator], [editor], [enrolment], [root] key = FILE[, FILE] */
	struct settings_paths authority, coordinator, editor, enrolment, root;
	struct settings_paths reading;     /* [notices] reading_key = FILE[, FILE] */
	struct settings_paths old_reading; /* likewise old_reading_key; conf_read puts them behind those of reading */
	char next_reading[CONF_PATH_MAX];  /* which of them U does not list yet, while it is rotated */
	/* [state] */
	char state_dir[CONF_PATH_MAX];
};

/* Reads `path`, or if NULL /etc/poc/poc.conf and over it $XDG_CONFIG_HOME/poc/poc.conf, as far as they exist.  Relative
 * paths are taken from the file's folder.  0, or a status with *why naming file and line. */
int conf_read(const char *path, struct conf *out, struct refusal *why);

/* The place whose U lists the user: "FR", or "FR/bretagne"; empty: the configuration names no state.  Of one thread. */
const char *conf_place(const struct conf *conf);

/* Where conf_read looks by itself for the user's file: the path that setup writes to. */
int conf_default_path(char out[CONF_PATH_MAX]);

#endif
