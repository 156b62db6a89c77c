/* settings: a configuration file, read by a table into a struct.  An unknown key, a key given twice, a value that is
 * none is an error that names file, line and key. */
#ifndef POCD_BASE_SETTINGS_H
#define POCD_BASE_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/wire/status.h"

enum { SETTINGS_PATH_MAX = 4096, SETTINGS_PATHS_MAX = 16, SETTINGS_ROWS_MAX = 64 };

/* A list of files, separated by commas. */
struct settings_paths {
	size_t n;
	char paths[SETTINGS_PATHS_MAX][SETTINGS_PATH_MAX];
};

/* What a value is, and the type of the member that it goes to. */
enum setting_kind {
	SETTING_TEXT,   /* char[room] */
	SETTING_PATH,   /* char[SETTINGS_PATH_MAX]; a relative one is taken from the file's folder; or a pkcs11: URI */
	SETTING_PATHS,  /* struct settings_paths; at most room files, none if the value is empty */
	SETTING_NUMBER, /* uint64_t, room to 2^32 - 1 */
	SETTING_NUMBER32,   /* unsigned, likewise */
	SETTING_SIZE,       /* uint64_t, bytes, at least room */
	SETTING_DURATION,   /* uint64_t, ms, at least room */
	SETTING_DURATION32, /* uint32_t, ms, likewise */
	SETTING_OTHER,      /* what parse makes of it */
};

struct setting {
	const char *section, *key;
	enum setting_kind kind;
	size_t offset; /* of the member */
	size_t room;
	int (*parse)(const char *value, void *member, size_t room, struct refusal *why);
};

/* Reads a file over what *into holds; n is at most SETTINGS_ROWS_MAX.  0, STATUS_NOT_FOUND, STATUS_IO, STATUS_INVALID;
 * *why->message reads "FILE, line N: section.key: ...".  After a refusal *into is part old, part new. */
int settings_read(const char *path, const struct setting *rows, size_t n, void *into, struct refusal *why);

#endif
