#include "clients/cli/field.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "clients/cli/strings.h"

/* Paths, without a place in a list behind them, and what people call them. */
static const struct {
	const char *path, *words;
} known[] = {
    {"core.to", "to"},
    {"core.escalations", "escalate"},
    {"core.created", "the notice's time"},
    {"core.from", "the own desk"},
    {"core.handle", "the own user"},
    {"core.answers", "the notice that is answered"},
    {"body_size", "text and attachments"},
    {"content", ""},
    {"store", "the database"},
};

/* Messages in messages, whose names nobody but a programmer has seen. */
static const char *const inner[] = {"core.", "head."};

static const char *const sections[] = {"authority", "coordinator", "diagnostics", "directory", "editor",
				       "enrolment", "follow",      "limits",      "log",       "notices",
				       "root",      "server",      "state",       "store",     "user"};

/* "writes[1].expires": one of several that were sent together, which is told by its name. */
static const char *without_write(const char *path)
{
	const char *dot = strncmp(path, "writes[", 7) == 0 ? strchr(path, '.') : NULL;

	return dot != NULL ? dot + 1 : path;
}

/* A key of a configuration: "state.dir". */
static bool is_setting(const char *path, char out[FIELD_WORDS])
{
	const char *dot = strchr(path, '.');

	if (dot == NULL || strspn(dot + 1, "abcdefghijklmnopqrstuvwxyz_") != strlen(dot + 1))
		return false;
	for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
		if (strlen(sections[i]) == (size_t)(dot - path) &&
		    strncmp(sections[i], path, (size_t)(dot - path)) == 0) {
			snprintf(out, FIELD_WORDS, "[%s] %s", sections[i], dot + 1);
			return true;
		}
	}
	return false;
}

void field_words(const char *path, char out[FIELD_WORDS])
{
	path = without_write(path);
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		size_t length = strlen(known[i].path);
		if (strncmp(path, known[i].path, length) == 0 && (path[length] == '\0' || path[length] == '[')) {
			snprintf(out, FIELD_WORDS, "%s", tr(known[i].words));
			return;
		}
	}
	for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
		if (strncmp(path, inner[i], strlen(inner[i])) == 0)
			path += strlen(inner[i]);
	}
	if (!is_setting(path, out))
		snprintf(out, FIELD_WORDS, "%s", path);
}
