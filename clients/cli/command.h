/* command: the frame of poc and pocadm: tables of commands and flags, help at every level, one way to fail. */
#ifndef CLIENTS_CLI_COMMAND_H
#define CLIENTS_CLI_COMMAND_H

#include <jansson.h>
#include <stdbool.h>

#include "clients/cli/conf.h"
#include "clients/cli/made.h"
#include "proto/keys/passphrase.h"
#include "proto/wire/status.h"

struct cli;

struct flag {
	const char *name;  /* long, without dashes */
	char letter;       /* 0: none */
	const char *value; /* what stands for the value in help, e.g. "FILE"; NULL: the flag has none */
	const char *help;
	bool several; /* its value may be given again and again; else twice is a wrong use */
};

struct command {
	const char *name;
	const char *arguments; /* for help: "PLACE..." */
	const char *help;
	int least, most;             /* positional arguments; most -1: any number */
	const struct flag *flags;    /* ended by a NULL name; NULL: none */
	int (*run)(struct cli *cli); /* returns a status; it has printed what went wrong through cli_fail */
	const struct command *below; /* subcommands, ended by a NULL name; then run is NULL */
	bool without_config;         /* -c may name a file that does not exist yet */
};

enum { CLI_VALUES_MAX = 64 };

struct cli {
	const char *program;
	const struct command *command;
	/* global flags */
	const char *config;
	const char *servers;
	bool insist; /* on a server: --online, or -s on the command line */
	bool json, offline, online, dry_run, yes, quiet, verbose;
	unsigned timeout_ms;
	struct passphrase passphrase; /* of keys, see key.h */
	/* what was given */
	int argc;
	char **argv;
	struct {
		const struct flag *flag;
		const char *value;
	} values[CLI_VALUES_MAX];
	size_t n_values;
	char schema[80];  /* of the command's document, also where it is an error: "poc.user-list/1" */
	struct conf conf; /* read before the command runs */
	bool failed;      /* an error was printed */
	struct made made; /* files and folders that a command makes: they go again when it fails */
	/* Where one command asks for several things, each may fail by itself: then an error's document is not printed
	 * but kept here, for the command to put where it belongs. */
	bool collecting;
	int code;
	char message[1024];
};

/* Parses, runs, returns the exit status.  program: "poc" or "pocadm". */
int cli_main(const char *program, const char *about, const struct command *commands, int argc, char **argv);

/* The value (of several the last) of a command's flag, or NULL; whether it was given; the nth of several. */
const char *cli_value(const struct cli *cli, const char *name);
bool cli_has(const struct cli *cli, const char *name);
const char *cli_nth(const struct cli *cli, const char *name, size_t n);

/* The values of a flag that may be given several times, in order, with commas between them: malloc; NULL when out of
 * memory. */
char *cli_joined(const struct cli *cli, const char *name);

/* Prints the error (a line on stderr; in JSON mode also the error document on stdout, of the command's schema, or
 * "poc.error/1" before a command is known), once.  Returns code. */
int cli_fail(struct cli *cli, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
int cli_refused(struct cli *cli, const struct refusal *why);
int cli_refused_as(struct cli *cli, int code, const struct refusal *why);

/* "--reply-by: " of the path of a refused field, where that flag was typed, else "reply_by: " as the form has it, or
 * "". */
enum { CLI_FIELD = 136 };
void cli_field(const struct cli *cli, const char *path, char out[CLI_FIELD]);

/* {"code": ..., "exit_status": ..., "message": ...} of the last error. */
json_t *cli_error_json(const struct cli *cli);

/* A diagnostic for people on stderr, unless quiet; cli_detail: only if verbose. */
void cli_note(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cli_detail(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What a dry run does not do, in words: "FILE would be written"; in JSON mode {"dry_run": true, "would": ...}.  Returns
 * 0. */
int cli_would(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What went wrong beside what was asked for: on stderr, quiet or not. */
void cli_alert(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints a JSON document; takes the reference.  schema: mostly cli->schema, "poc.lookup/1". */
void cli_document(struct cli *cli, const char *schema, json_t *document);

/* Asks "QUESTION [y/N]" on a terminal; elsewhere --yes is needed.  0: go on; else a status, printed. */
int cli_confirm(struct cli *cli, const char *question);

/* A time in a JSON document: RFC 3339 UTC, null for 0. */
json_t *cli_time_json(long long seconds);

/* Prints a line of text on stdout whose arguments came from others: escaped, so that it stays one line. */
void cli_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A text of several lines behind a label: each of its lines begins below its first one, so that nothing in it can pass
 * for a line of ours.  Tabs stay tabs; label is ours. */
void cli_lines(const char *label, const char *text);

/* Reads a whole file of at most max bytes, malloc'ed with a NUL behind it.  NULL with *why. */
char *cli_read_file(const char *path, size_t max, size_t *size, struct refusal *why);

/* Writes a file: beside it first, fsynced, renamed.  A symbolic link is followed; a device or a pipe takes the bytes
 * and stays.  must_not_exist: never over an existing one. */
int cli_write_file(const char *path, const void *bytes, size_t size, unsigned mode, bool must_not_exist,
		   struct refusal *why);

/* Opens $VISUAL or $EDITOR on a file, or vi on a terminal.  0 or a status, printed: USAGE where there is no editor. */
int cli_edit(struct cli *cli, const char *path);

/* Whether a form was emptied: nothing but blank lines and lines that begin with #. */
bool cli_edit_empty(const char *text);

/* Asks whether the form that was refused is to be edited again; false where nobody can be asked. */
bool cli_edit_again(struct cli *cli);

#endif
