#include "clients/cli/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clients/cli/escape.h"
#include "clients/cli/field.h"
#include "clients/cli/strings.h"
#include "pocd/base/ini.h"

static const struct flag global_flags[] = {
    {"config", 'c', "FILE", "configuration file"},
    {"server", 's', "HOST:PORT[,...]", "servers to ask, instead of those of the configuration"},
    {"output", 'o', "text|json", "form of the answer"},
    {"timeout", 't', "SECONDS", "for each call to a server (5); the last counts", true},
    {"offline", 0, NULL, "use the local copy only"},
    {"online", 0, NULL, "insist on a server"},
    {"passphrase-fd", 0, "N", "the passphrase of key files comes on this descriptor"},
    {"dry-run", 'n', NULL, "show what would be done, change nothing"},
    {"yes", 'y', NULL, "do not ask"},
    {"quiet", 'q', NULL, "no diagnostics but errors"},
    {"verbose", 'v', NULL, "more diagnostics"},
    {"help", 'h', NULL, "this text"},
    {"version", 'V', NULL, "the version"},
    {NULL, 0, NULL, NULL},
};

/* ---- Help */

static void print_flags(FILE *out, const struct flag *flags)
{
	for (; flags != NULL && flags->name != NULL; flags++) {
		char left[80];
		snprintf(left, sizeof left, "%c%c%s --%s%s%s", flags->letter != 0 ? '-' : ' ',
			 flags->letter != 0 ? flags->letter : ' ', flags->letter != 0 ? "," : " ", flags->name,
			 flags->value != NULL ? " " : "", flags->value != NULL ? flags->value : "");
		fprintf(out, "  %-34s %s\n", left, tr(flags->help));
	}
}

static void print_commands(FILE *out, const struct command *commands)
{
	for (; commands->name != NULL; commands++)
		fprintf(out, "  %-12s %s\n", commands->name, tr(commands->help));
}

static void print_help(FILE *out, const char *program, const char *trail, const char *about,
		       const struct command *command, const struct command *below)
{
	if (command != NULL)
		about = tr(command->help);
	if (command != NULL && below == NULL) {
		fprintf(out, tr("usage: %s %s%s%s\n%s\n"), program, trail, command->arguments != NULL ? " " : "",
			command->arguments != NULL ? command->arguments : "", about);
		print_flags(out, command->flags);
		fputs(tr("flags of every command:\n"), out);
		print_flags(out, global_flags);
		return;
	}
	fprintf(out, tr("usage: %s [flags] %s%sCOMMAND ...\n%s\ncommands:\n"), program, trail,
		trail[0] != '\0' ? " " : "", about);
	print_commands(out, below);
	fputs(tr("flags:\n"), out);
	print_flags(out, global_flags);
}

/* ---- Parsing */

static const struct flag *find_flag(const struct flag *flags, const char *name, size_t length, char letter)
{
	for (; flags != NULL && flags->name != NULL; flags++) {
		if (letter != 0 ? flags->letter == letter
				: strlen(flags->name) == length && memcmp(flags->name, name, length) == 0)
			return flags;
	}
	return NULL;
}

struct parsing {
	struct cli *cli;
	const struct command *commands; /* of this level */
	char trail[80];
	int argc, at;
	char **argv;
	bool help, version;
	bool given[sizeof global_flags / sizeof global_flags[0]]; /* which global ones were, with a value */
};

static int apply_global(struct cli *cli, const struct flag *flag, const char *value, struct parsing *parsing)
{
	uint64_t number;

	switch (flag->letter != 0 ? flag->letter : flag->name[1]) {
	case 'c':
		cli->config = value;
		break;
	case 's':
		cli->servers = value;
		cli->insist = true;
		break;
	case 'o':
		cli->json = strcmp(value, "json") == 0;
		if (!cli->json && strcmp(value, "text") != 0)
			return cli_fail(cli, STATUS_USAGE, tr("--output is text or json"));
		break;
	case 't':
		if (!ini_unsigned(value, 3600, &number) || number == 0)
			return cli_fail(cli, STATUS_USAGE, tr("--timeout takes seconds, 1 to 3600"));
		cli->timeout_ms = (unsigned)number * 1000;
		break;
	case 'a': /* passphrase-fd */
		if (!ini_unsigned(value, 1 << 20, &number) || number < 3 || fcntl((int)number, F_GETFD) < 0)
			return cli_fail(cli, STATUS_USAGE,
					tr("--passphrase-fd %.20s: not an open descriptor from 3 on"), value);
		cli->passphrase.fd = (int)number;
		break;
	case 'f': /* offline */
		cli->offline = true;
		break;
	case 'n':
		if (flag->letter == 'n')
			cli->dry_run = true;
		else
			cli->online = true;
		break;
	case 'y':
		cli->yes = true;
		break;
	case 'q':
		cli->quiet = true;
		break;
	case 'v':
		cli->verbose = true;
		break;
	case 'h':
		parsing->help = true;
		break;
	case 'V':
		parsing->version = true;
		break;
	default:
		break;
	}
	return 0;
}

/* What the environment says, before any flag: as if it stood before the first of them. */
static int take_environment(struct parsing *p)
{
	static const struct {
		const char *variable;
		char letter;
	} known[] = {{"POC_CONFIG", 'c'}, {"POC_SERVER", 's'}, {"POC_OUTPUT", 'o'}, {"POC_TIMEOUT", 't'}};
	int status = 0;

	for (size_t i = 0; i < sizeof known / sizeof known[0] && status == 0; i++) {
		const char *value = getenv(known[i].variable);
		const struct flag *flag = find_flag(global_flags, "", 0, known[i].letter);
		if (value == NULL || value[0] == '\0' || flag == NULL)
			continue;
		status = apply_global(p->cli, flag, value, p);
		if (status != 0)
			fprintf(stderr, tr("%s: (that was %s in the environment)\n"), p->cli->program,
				known[i].variable);
	}
	p->cli->insist = false; /* only a server on the command line insists */
	return status;
}

/* Whether a flag comes twice whose value one of the two would lose. */
static bool is_again(struct parsing *p, const struct flag *flag, bool global)
{
	if (flag->value == NULL || flag->several)
		return false;
	if (!global)
		return cli_has(p->cli, flag->name);
	bool before = p->given[flag - global_flags];
	p->given[flag - global_flags] = true;
	return before;
}

static int take_flag(struct parsing *p, const struct flag *flag, bool global, const char *value)
{
	struct cli *cli = p->cli;

	if (is_again(p, flag, global))
		return cli_fail(cli, STATUS_USAGE, tr("--%s can be given once only"), flag->name);
	if (flag->value != NULL && value == NULL) {
		if (p->at >= p->argc)
			return cli_fail(cli, STATUS_USAGE, tr("--%s needs a value"), flag->name);
		value = p->argv[p->at++];
	}
	if (flag->value != NULL && value[0] == '\0') /* a variable of a script that was never set */
		return cli_fail(cli, STATUS_USAGE,
				tr("--%s: the value is empty; leave the flag out where none is meant"), flag->name);
	if (global)
		return apply_global(cli, flag, value, p);
	if (cli->n_values == CLI_VALUES_MAX)
		return cli_fail(cli, STATUS_USAGE, tr("too many flags"));
	cli->values[cli->n_values].flag = flag;
	cli->values[cli->n_values++].value = value != NULL ? value : "";
	return 0;
}

static const struct flag *look_up_flag(const struct cli *cli, const char *name, size_t length, char letter,
				       bool *global)
{
	const struct flag *flag = cli->command != NULL ? find_flag(cli->command->flags, name, length, letter) : NULL;

	*global = flag == NULL;
	return flag != NULL ? flag : find_flag(global_flags, name, length, letter);
}

static int take_long(struct parsing *p, const char *text)
{
	const char *equals = strchr(text, '=');
	bool global;
	const struct flag *flag =
	    look_up_flag(p->cli, text, equals != NULL ? (size_t)(equals - text) : strlen(text), 0, &global);

	if (flag == NULL || (equals != NULL && flag->value == NULL))
		return cli_fail(p->cli, STATUS_USAGE, tr("unknown flag --%s"), text);
	return take_flag(p, flag, global, equals != NULL ? equals + 1 : NULL);
}

static int take_letters(struct parsing *p, const char *text)
{
	for (; *text != '\0'; text++) {
		bool global;
		const struct flag *flag = look_up_flag(p->cli, "", 0, *text, &global);
		if (flag == NULL)
			return cli_fail(p->cli, STATUS_USAGE, tr("unknown flag -%c"), *text);
		const char *rest = flag->value != NULL && text[1] != '\0' ? text + 1 : NULL;
		int status = take_flag(p, flag, global, rest);
		if (status != 0 || rest != NULL)
			return status;
	}
	return 0;
}

/* "poc.user-list/1" of the words "user list". */
static void name_schema(struct cli *cli, const char *words)
{
	snprintf(cli->schema, sizeof cli->schema, "poc.%.60s/1", words);
	for (char *at = cli->schema; *at != '\0'; at++)
		*at = *at == ' ' ? '-' : *at;
}

/* A word: the next command, or an argument of it. */
static int take_word(struct parsing *p, char *word)
{
	struct cli *cli = p->cli;

	if (p->commands == NULL) {
		cli->argv[cli->argc++] = word;
		return 0;
	}
	for (const struct command *c = p->commands; c->name != NULL; c++) {
		if (strcmp(c->name, word) != 0)
			continue;
		size_t used = strlen(p->trail);
		snprintf(p->trail + used, sizeof p->trail - used, "%s%s", used > 0 ? " " : "", word);
		cli->command = c;
		p->commands = c->below;
		if (p->commands == NULL)
			name_schema(cli, p->trail);
		return 0;
	}
	return cli_fail(cli, STATUS_USAGE, tr("unknown command \"%s%s%s\"; %s --help lists them"), p->trail,
			p->trail[0] != '\0' ? " " : "", word, cli->program);
}

static int parse(struct parsing *p)
{
	bool words_only = false;
	int status = 0;

	while (status == 0 && p->at < p->argc) {
		char *word = p->argv[p->at++];
		if (words_only || word[0] != '-' || word[1] == '\0')
			status = take_word(p, word);
		else if (strcmp(word, "--") == 0)
			words_only = true;
		else
			status = word[1] == '-' ? take_long(p, word + 2) : take_letters(p, word + 1);
	}
	return status;
}

static int check_arguments(struct cli *cli, const struct parsing *p)
{
	const struct command *c = cli->command;

	if (c == NULL || c->run == NULL)
		return cli_fail(cli, STATUS_USAGE, tr("which command? %s %s%s--help lists them"), cli->program,
				p->trail, p->trail[0] != '\0' ? " " : "");
	if (cli->argc < c->least || (c->most >= 0 && cli->argc > c->most))
		return cli_fail(cli, STATUS_USAGE, tr("usage: %s %s%s%s"), cli->program, p->trail,
				c->arguments[0] != '\0' ? " " : "", c->arguments);
	if (cli->offline && cli->online)
		return cli_fail(cli, STATUS_USAGE, tr("--offline and --online exclude each other"));
	cli->insist = cli->online || (cli->insist && !cli->offline);
	return 0;
}

static int run_command(struct cli *cli, const struct parsing *p)
{
	struct refusal why = {0};
	int status = check_arguments(cli, p);

	if (status != 0)
		return status;
	bool missing = cli->config != NULL && access(cli->config, F_OK) != 0;
	if (!(missing && cli->command->without_config) && conf_read(cli->config, &cli->conf, &why) != 0)
		return cli_refused(cli, &why);
	return cli->command->run(cli);
}

int cli_main(const char *program, const char *about, const struct command *commands, int argc, char **argv)
{
	struct cli cli = {.program = program, .passphrase = {.fd = -1, .ask = true}};
	struct parsing p = {.cli = &cli, .commands = commands, .argc = argc, .at = 1, .argv = argv};

	name_schema(&cli, "error");
	umask(077);
	/* closed ones: no file or connection of ours may take their place; of standard output it is still said that it
	 * cannot be written */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
	}
	signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is an error like any other */
	cli.argv = calloc((size_t)argc + 1, sizeof *cli.argv);
	if (cli.argv == NULL)
		return 1;
	const char *output = getenv("POC_OUTPUT");
	cli.json = output != NULL && strcmp(output, "json") == 0;
	for (int i = 1; i < argc; i++) /* errors honour the mode wherever it stands */
		cli.json = cli.json || strcmp(argv[i], "-ojson") == 0 || strcmp(argv[i], "--output=json") == 0 ||
			   ((strcmp(argv[i], "-o") == 0 || strcmp(argv[i], "--output") == 0) && i + 1 < argc &&
			    strcmp(argv[i + 1], "json") == 0);
	int status = take_environment(&p);
	if (status == 0)
		status = parse(&p);
	if (status == 0 && p.version)
		printf("%s %s\n", program, POCD_VERSION);
	else if (status == 0 && p.help)
		print_help(stdout, program, p.trail, about, cli.command, p.commands);
	else if (status == 0)
		status = run_command(&cli, &p);
	if (status != 0 && !cli.failed && status_exit(status) != 7)
		cli_fail(&cli, status, "%s", status_text(status));
	passphrase_finish(&cli.passphrase);
	free(cli.argv);
	const bool told = fflush(stdout) == 0 && !ferror(stdout);
	made_finish(&cli.made, status == 0 && told);
	if (!told) {
		fprintf(stderr, "%s: %s\n", program, tr("the output cannot be written"));
		return status != 0 ? status_exit(status) : 1;
	}
	return status_exit(status);
}

/* ---- What commands use */

const char *cli_nth(const struct cli *cli, const char *name, size_t n)
{
	for (size_t i = 0; i < cli->n_values; i++) {
		if (strcmp(cli->values[i].flag->name, name) == 0 && n-- == 0)
			return cli->values[i].value;
	}
	return NULL;
}

const char *cli_value(const struct cli *cli, const char *name)
{
	const char *value = NULL;

	for (size_t i = 0; i < cli->n_values; i++) {
		if (strcmp(cli->values[i].flag->name, name) == 0)
			value = cli->values[i].value;
	}
	return value;
}

char *cli_joined(const struct cli *cli, const char *name)
{
	const char *value;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	for (size_t i = 0; (value = cli_nth(cli, name, i)) != NULL; i++)
		fprintf(out, "%s%s", i > 0 ? "," : "", value);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

bool cli_has(const struct cli *cli, const char *name)
{
	return cli_value(cli, name) != NULL;
}

/* Prints a document, and frees it.  Harmful characters are escaped, as JSON allows, whoever the reader is. */
static void print_document(json_t *document)
{
	char *text = document != NULL ? json_dumps(document, JSON_SORT_KEYS | JSON_INDENT(2)) : NULL;
	char *safe = text != NULL ? escape_json(text) : NULL;

	if (safe != NULL)
		puts(safe);
	free(safe);
	free(text);
	json_decref(document);
}

json_t *cli_error_json(const struct cli *cli)
{
	json_t *error = json_pack("{s:s,s:i,s:s}", "code", status_name(cli->code), "exit_status",
				  status_exit(cli->code), "message", cli->message);

	if (error == NULL) /* the message is not UTF-8 */
		error = json_pack("{s:s,s:i,s:s}", "code", status_name(cli->code), "exit_status",
				  status_exit(cli->code), "message", status_text(cli->code));
	return error;
}

int cli_fail(struct cli *cli, int code, const char *format, ...)
{
	va_list args;

	if (cli->failed)
		return code;
	cli->failed = true;
	cli->code = code;
	va_start(args, format);
	vsnprintf(cli->message, sizeof cli->message, format, args);
	va_end(args);
	char *safe = escape_text(cli->message, 0);
	fflush(stdout); /* what was found before comes before */
	fprintf(stderr, "%s: %s\n", cli->program, safe != NULL ? safe : "out of memory");
	free(safe);
	if (cli->json && !cli->collecting)
		cli_document(cli, cli->schema, json_pack("{s:o}", "error", cli_error_json(cli)));
	return code;
}

/* The flag that gives a field, where another than its own name does. */
static const char *flag_of(const char *field)
{
	return strcmp(field, "our_reference") == 0 ? "ref" : field;
}

void cli_field(const struct cli *cli, const char *path, char out[CLI_FIELD])
{
	char words[FIELD_WORDS], flag[FIELD_WORDS];

	field_words(path, words);
	snprintf(flag, sizeof flag, "%s", flag_of(words));
	for (char *at = flag; *at != '\0'; at++)
		*at = *at == '_' ? '-' : *at;
	bool typed = words[0] != '\0' && cli_has(cli, flag);
	snprintf(out, CLI_FIELD, "%s%s%s", typed ? "--" : "", typed ? flag : words, words[0] != '\0' ? ": " : "");
}

int cli_refused_as(struct cli *cli, int code, const struct refusal *why)
{
	const char *message = why->message[0] != '\0' ? why->message : status_text(code);
	char field[CLI_FIELD] = "";

	if (why->field[0] != '\0' && strstr(message, why->field) == NULL)
		cli_field(cli, why->field, field);
	return cli_fail(cli, code, "%s%s", field, message);
}

int cli_refused(struct cli *cli, const struct refusal *why)
{
	return cli_refused_as(cli, why->code, why);
}

__attribute__((format(printf, 2, 0))) static void print_escaped(FILE *out, const char *format, va_list args)
{
	char *text;

	if (vasprintf(&text, format, args) < 0)
		return;
	char *safe = escape_text(text, 0);
	fputs(safe != NULL ? safe : "", out);
	free(safe);
	free(text);
}

__attribute__((format(printf, 2, 0))) static void print_note(const struct cli *cli, const char *format, va_list args)
{
	fflush(stdout);
	fprintf(stderr, "%s: ", cli->program);
	print_escaped(stderr, format, args);
	fputc('\n', stderr);
}

void cli_note(const struct cli *cli, const char *format, ...)
{
	va_list args;

	if (cli->quiet)
		return;
	va_start(args, format);
	print_note(cli, format, args);
	va_end(args);
}

void cli_detail(const struct cli *cli, const char *format, ...)
{
	va_list args;

	if (!cli->verbose || cli->quiet)
		return;
	va_start(args, format);
	print_note(cli, format, args);
	va_end(args);
}

int cli_would(struct cli *cli, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	cli_note(cli, tr("dry run: %s"), text);
	if (cli->json) {
		json_t *would = json_string(text); /* NULL: a path in it is not UTF-8 */
		cli_document(cli, cli->schema,
			     json_pack("{s:b,s:o}", "dry_run", 1, "would", would != NULL ? would : json_null()));
	}
	return 0;
}

void cli_alert(const struct cli *cli, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_note(cli, format, args);
	va_end(args);
}

void cli_line(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_escaped(stdout, format, args);
	putchar('\n');
	va_end(args);
}

void cli_lines(const char *label, const char *text)
{
	const int width = (int)escape_width(label);

	for (const char *at = text; at != NULL;) {
		const char *end = strchr(at, '\n');
		char *line = strndup(at, end != NULL ? (size_t)(end - at) : strlen(at));
		char *safe = line != NULL ? escape_text(line, 1) : NULL; /* a line of several: its tabs stay */
		printf("%-*s%s\n", width, label, safe != NULL ? safe : "");
		free(safe);
		free(line);
		label = "";
		at = end != NULL ? end + 1 : NULL;
	}
}

void cli_document(struct cli *cli, const char *schema, json_t *document)
{
	(void)cli;
	if (document == NULL)
		return;
	json_object_set_new(document, "schema", json_string(schema));
	print_document(document);
}

json_t *cli_time_json(long long seconds)
{
	return seconds != 0 ? json_string(time_text(seconds)) : json_null();
}

int cli_confirm(struct cli *cli, const char *question)
{
	char answer[16];

	if (cli->yes)
		return 0;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return cli_fail(cli, STATUS_USAGE, tr("not a terminal, so --yes is needed: %s"), question);
	fflush(stdout);
	fprintf(stderr, "%s [y/N] ", question);
	if (fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y'))
		return 0;
	return cli_fail(cli, STATUS_FAILED, tr("not done"));
}

char *cli_read_file(const char *path, size_t max, size_t *size, struct refusal *why)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char *bytes = NULL;
	size_t used = 0, capacity = 0;

	if (file == NULL) {
		refuse(why, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "", "%s: %s", path, strerror(errno));
		return NULL;
	}
	for (bool more = true; more;) {
		if (used + 65536 + 1 > capacity) {
			capacity = capacity > 0 ? 2 * capacity : 128 * 1024;
			char *grown = realloc(bytes, capacity);
			if (grown == NULL) {
				refuse(why, STATUS_NO_MEMORY, "", "out of memory");
				goto fail;
			}
			bytes = grown;
		}
		size_t n = fread(bytes + used, 1, 65536, file);
		used += n;
		more = n > 0;
		if (used > max) {
			refuse(why, STATUS_TOO_LARGE, "", "%s: larger than %zu bytes", path, max);
			goto fail;
		}
	}
	if (ferror(file)) {
		refuse(why, STATUS_IO, "", "%s: %s", path, strerror(errno));
		goto fail;
	}
	if (file != stdin)
		fclose(file);
	bytes[used] = '\0';
	*size = used;
	return bytes;
fail:
	if (file != stdin)
		fclose(file);
	free(bytes);
	return NULL;
}

static int sync_folder_of(const char *path)
{
	char folder[CONF_PATH_MAX];
	const char *slash = strrchr(path, '/');

	snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - path + 1) : 1,
		 slash != NULL ? path : ".");
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int rc = fsync(fd);
	close(fd);
	return rc;
}

static bool write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, bytes, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		size -= (size_t)n;
	}
	return true;
}

/* A new file beside it takes its place, whole or not at all. */
static int replace_file(const char *path, const void *bytes, size_t size, unsigned mode, bool must_not_exist,
			struct refusal *why)
{
	char temporary[CONF_PATH_MAX];

	int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
	if (n < 0 || (size_t)n >= sizeof temporary)
		return refuse(why, STATUS_INVALID, "", "path too long");
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return refuse(why, STATUS_IO, "", "%s: %s", path, strerror(errno));
	bool good = write_all(fd, bytes, size) && fchmod(fd, mode) == 0 && fsync(fd) == 0;
	int error = errno;
	good = close(fd) == 0 && good;
	if (good && (must_not_exist ? link(temporary, path) : rename(temporary, path)) != 0) {
		good = false;
		error = errno;
	}
	if (!good || must_not_exist)
		unlink(temporary);
	if (good && sync_folder_of(path) == 0)
		return 0;
	return refuse(why, STATUS_IO, "", "%s: %s", path, strerror(good ? errno : error));
}

/* A device, a pipe: what is there stays, and takes the bytes. */
static int write_through(const char *path, int flags, const void *bytes, size_t size, struct refusal *why)
{
	int fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC | flags);

	if (fd < 0)
		return refuse(why, STATUS_IO, "", "%s: %s", path, strerror(errno));
	void (*before)(int) = signal(SIGPIPE, SIG_IGN); /* a reader that leaves is an error like any other */
	bool good = write_all(fd, bytes, size);
	int error = errno;
	signal(SIGPIPE, before);
	if (close(fd) != 0 && good) {
		good = false;
		error = errno;
	}
	return good ? 0 : refuse(why, STATUS_IO, "", "%s: %s", path, strerror(error));
}

/* What a path leads to, through any symbolic links, is what is written. */
static int write_over(const char *path, const void *bytes, size_t size, unsigned mode, struct refusal *why)
{
	struct stat st;

	if (lstat(path, &st) != 0 || S_ISREG(st.st_mode))
		return replace_file(path, bytes, size, mode, false, why);
	if (stat(path, &st) != 0)
		return refuse(why, STATUS_IO, "", "%s: %s", path, strerror(errno));
	char *real = realpath(path, NULL);
	int status;
	if (S_ISREG(st.st_mode))
		status = real != NULL ? replace_file(real, bytes, size, mode, false, why)
				      : refuse(why, STATUS_IO, "", "%s: %s", path, strerror(errno));
	else /* a pipe without a name has no real path: /dev/stdout */
		status = write_through(real != NULL ? real : path, real != NULL ? O_NOFOLLOW : 0, bytes, size, why);
	free(real);
	return status;
}

int cli_write_file(const char *path, const void *bytes, size_t size, unsigned mode, bool must_not_exist,
		   struct refusal *why)
{
	if (!must_not_exist)
		return write_over(path, bytes, size, mode, why);
	if (access(path, F_OK) == 0)
		return refuse(why, STATUS_CONFLICT, "", "%s exists already", path);
	return replace_file(path, bytes, size, mode, true, why);
}

int cli_edit(struct cli *cli, const char *path)
{
	const char *editor = getenv("VISUAL");
	char *line;
	int wait_status = 0;

	if (editor == NULL || editor[0] == '\0')
		editor = getenv("EDITOR");
	if (editor == NULL || editor[0] == '\0') {
		if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
			return cli_fail(cli, STATUS_USAGE,
					tr("no terminal to edit on, and neither VISUAL nor EDITOR names an editor"));
		editor = "vi";
	}
	if (asprintf(&line, "%s \"$1\"", editor) < 0)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	pid_t child = fork();
	if (child == 0) {
		execl("/bin/sh", "sh", "-c", line, "sh", path, (char *)NULL);
		_exit(127);
	}
	free(line);
	while (child > 0 && waitpid(child, &wait_status, 0) < 0 && errno == EINTR)
		;
	if (child < 0 || !WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0)
		return cli_fail(cli, STATUS_FAILED, tr("the editor (%s) failed"), editor);
	return 0;
}

bool cli_edit_empty(const char *text)
{
	while (*text != '\0') {
		text += strspn(text, " \t\r\n");
		if (*text != '#')
			break;
		text += strcspn(text, "\n");
	}
	return *text == '\0';
}

bool cli_edit_again(struct cli *cli)
{
	char answer[16];

	if (cli->yes || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return false;
	fputs(tr("Edit again? [Y/n] "), stderr);
	if (fgets(answer, sizeof answer, stdin) == NULL || answer[0] == 'n' || answer[0] == 'N')
		return false;
	cli->failed = false;
	return true;
}
