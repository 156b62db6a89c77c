/* conf_edit: changes single values of a configuration file, and leaves every other line as it is. */
#ifndef CLIENTS_CLI_CONF_EDIT_H
#define CLIENTS_CLI_CONF_EDIT_H

#include <stdbool.h>
#include <stddef.h>

#include "clients/cli/conf.h"

struct conf_change {
	const char *section, *key;
	const char *value; /* NULL: the line goes */
};

/* The value as it is written in the file: relative paths stay so.  False if the file has no such line, or it does not
 * fit. */
bool conf_value(const char *path, const char *section, const char *key, char *out, size_t size);

/* Writes the file anew with all changes, or not at all: beside it first, fsynced, renamed; its mode stays.  0 or a
 * status with *why. */
int conf_edit(const char *path, const struct conf_change *changes, size_t n, struct refusal *why);

/* The name for the successor of a key file: "keys/duty.key" -> "keys/duty-2", "keys/duty-2.key" -> "keys/duty-3": the
 * first for which no file of either ending is there, looked for from the configuration's folder.  False: too long. */
bool conf_next_stem(const char *path, const char *file, char *out, size_t size);

/* A path as the configuration in file `path` means it: relative ones are taken from its folder.  False: too long. */
bool conf_resolve(const char *path, const char *file, char out[CONF_PATH_MAX]);

#endif
