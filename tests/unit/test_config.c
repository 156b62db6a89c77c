/* pocd.conf and poc.conf: what is refused, by line; and every default that the manual pages give is the one that holds
 * (tests/integration/test_docs.py sees to it that each key has its line there). */
#include "tests/lib/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "clients/cli/conf.h"
#include "pocd/config.h"

#define MAN TEST_DATA "/../../docs/man/"

static const char needed[] = "[server]\ncert = a.crt\nkey = a.key\n[store]\npath = data\n[log]\nkey = log.key\n";

static char path[] = "/tmp/pocd-test-config-XXXXXX";

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

static void write_file(const char *first, const char *rest)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fprintf(file, "%s%s", first, rest) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* The structs are compared as bytes: both readers clear them first. */
static struct config *read_daemon(const char *more)
{
	static struct config configs[2];
	static unsigned next;
	struct config *config = &configs[next++ % 2];
	struct refusal why = {0};

	write_file(needed, more);
	assert_int_equal(config_read(path, config, &why), 0);
	return config;
}

static struct conf *read_client(const char *more)
{
	static struct conf confs[2];
	static unsigned next;
	struct conf *conf = &confs[next++ % 2];
	struct refusal why = {0};

	write_file("", more);
	assert_int_equal(conf_read(path, conf, &why), 0);
	return conf;
}

/* ---- Defaults of the manual pages */

struct entry {
	char section[40], key[40];
};

/* .Ss [section] and .It Cm key Ns = ... stand before Default: and .Ql value . */
static bool read_entry(const char *line, struct entry *entry)
{
	return sscanf(line, ".Ss [%39[a-z]]", entry->section) == 1 || sscanf(line, ".It Cm %39[a-z_]", entry->key) == 1;
}

static unsigned walk_defaults(const char *page, void (*each)(const struct entry *entry, const char *value))
{
	FILE *file = fopen(page, "re");
	struct entry entry = {"", ""};
	char line[500], value[100];
	bool default_next = false;
	unsigned n = 0;

	assert_non_null(file);
	while (fgets(line, sizeof line, file) != NULL) {
		if (default_next && sscanf(line, ".Ql %99s", value) == 1) {
			each(&entry, value);
			n++;
		}
		default_next = strcmp(line, "Default:\n") == 0;
		read_entry(line, &entry);
	}
	fclose(file);
	return n;
}

static void daemon_default(const struct entry *entry, const char *value)
{
	char more[300];

	print_message("[%s] %s = %s\n", entry->section, entry->key, value);
	snprintf(more, sizeof more, "[%s]\n%s = %s\n", entry->section, entry->key, value);
	const struct config *with = read_daemon(more), *without = read_daemon("");
	assert_memory_equal(with, without, sizeof *with);
}

static void client_default(const struct entry *entry, const char *value)
{
	char more[300];

	print_message("[%s] %s = %s\n", entry->section, entry->key, value);
	snprintf(more, sizeof more, "[%s]\n%s = %s\n", entry->section, entry->key, value);
	const struct conf *with = read_client(more), *without = read_client("");
	assert_memory_equal(with, without, sizeof *with);
}

static void test_defaults(void **state)
{
	(void)state;
	setenv("XDG_STATE_HOME", "/nowhere", 1);
	assert_int_equal(walk_defaults(MAN "pocd.conf.5", daemon_default), 23);
	assert_int_equal(walk_defaults(MAN "poc.conf.5", client_default), 2);
	/* the comparison sees a difference */
	const struct config *other = read_daemon("[limits]\nidle_time = 301s\n"), *plain = read_daemon("");
	assert_memory_not_equal(other, plain, sizeof *plain);
}

/* ---- Refusals */

static void test_refused(void **state)
{
	static const struct {
		const char *more, *text;
	} cases[] = {
	    {"[limits]\nconections = 7\n", "line 9: unknown key \"conections\" in section [limits]"},
	    {"[limit]\nconnections = 7\n", "line 9: unknown key \"connections\" in section [limit]"},
	    {"[limits]\nconnections = 0\n", "line 9: limits.connections: out of range"},
	    {"[limits]\nconnections = seven\n", "line 9: limits.connections: \"seven\" is not a number"},
	    {"[limits]\nidle_time = 5\n", "line 9: limits.idle_time: \"5\" is not a duration"},
	    {"[limits]\nidle_time = 99ms\n", "out of range"},
	    {"[limits]\nidle_time = 50d\n", "out of range"},
	    {"[limits]\nqueue_max = 1KB\n", "line 9: limits.queue_max: \"1KB\" is not a size"},
	    {"[limits]\nqueue_max = 128K\n", "queue_max must be above queue_pause"},
	    {"[store]\nmap_size = 1000K\n", "line 9: store.map_size: out of range"},
	    {"[server]\nthreads = 65\n", "at most 64 threads"},
	    {"[log]\nkey = other.key\n", "line 9: log.key: given a second time"},
	    {"[limits]\nidle_time = 1s\nidle_time = 1s\n", "line 10: limits.idle_time: given a second time"},
	    {"[diagnostics]\nlevel = loud\n", "line 9: diagnostics.level: must be debug"},
	    {"[diagnostics]\nformat = xml\n", "line 9: diagnostics.format: must be text or json"},
	    {"nonsense\n", "line 8: neither [section] nor key = value"},
	    {"[limits]\n  idle_time = 1s\n", "line 9: begins with white space"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		static struct config config;
		struct refusal why = {0};
		write_file(needed, cases[i].more);
		assert_int_equal(config_read(path, &config, &why), STATUS_INVALID);
		if (strstr(why.message, cases[i].text) == NULL)
			fail_msg("\"%s\" is not in \"%s\"", cases[i].text, why.message);
	}
}

/* A section is one, however often its heading stands. */
static void test_section_again(void **state)
{
	static struct config config;
	struct refusal why = {0};

	(void)state;
	write_file(needed, "[limits]\nidle_time = 7s\n[store]\nquota = 2M\n[limits]\nconnections = 9\n");
	if (config_read(path, &config, &why) != 0)
		fail_msg("%s", why.message);
	assert_int_equal(config.conn.idle_ms, 7000);
	assert_int_equal(config.connections, 9);
	write_file(needed, "[limits]\nidle_time = 7s\n[store]\nquota = 2M\n[limits]\nidle_time = 7s\n");
	assert_int_equal(config_read(path, &config, &why), STATUS_INVALID);
	assert_non_null(strstr(why.message, "line 13: limits.idle_time: given a second time"));
}

static void test_log_keys(void **state)
{
	static const char before[] = "[server]\ncert = a\nkey = b\n[store]\npath = c\n";
	static struct config config;
	struct refusal why = {0};

	(void)state;
	write_file(before, "[log]\nkey = a, b, c, d, e\n");
	assert_int_equal(config_read(path, &config, &why), STATUS_INVALID);
	assert_non_null(strstr(why.message, "line 7: log.key: 1 to 4 files"));
	write_file(before, "[log]\nkey =\n");
	assert_int_equal(config_read(path, &config, &why), STATUS_INVALID);
	assert_non_null(strstr(why.message, "[log] needs key"));
	write_file("[server]\ncert = a.crt\nkey = a.key\n[store]\npath = data\n",
		   "[follow]\nserver = a.example:7437\n");
	assert_int_equal(config_read(path, &config, &why), STATUS_INVALID);
	assert_non_null(strstr(why.message, "[follow] needs id and state"));
	write_file(needed, "[follow]\nserver = a.example:7437\n");
	assert_int_equal(config_read(path, &config, &why), STATUS_INVALID);
	assert_non_null(strstr(why.message, "signs no log of its own"));
}

static void test_listen(void **state)
{
	static const char *const good[] = {"127.0.0.1:7437", "0.0.0.0:1", "[::]:65535", "[2001:db8::1]:7437"},
				 *const bad[] = {"",
						 "127.0.0.1",
						 "7437",
						 ":7437",
						 "127.0.0.1:",
						 "127.0.0.1:0",
						 "127.0.0.1:65536",
						 "127.0.0.1:70000",
						 "127.0.0.1:abc",
						 "127.0.0.1:74x",
						 "127.0.0.1:+1",
						 "127.0.0.256:7437",
						 "pocd.example.int:7437",
						 "::1:7437",
						 "[127.0.0.1]:7437",
						 "[::1]",
						 "[]:7437",
						 "[::1:7437",
						 "127.0.0.1:7437, [::1]:7437"};
	static struct config config;
	char line[100];

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		snprintf(line, sizeof line, "[server]\nlisten = %s\n", good[i]);
		assert_string_equal(read_daemon(line)->listen, good[i]);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct refusal why = {0};
		snprintf(line, sizeof line, "[server]\nlisten = %s\n", bad[i]);
		write_file(needed, line);
		assert_int_equal(config_read(path, &config, &why), STATUS_INVALID);
		if (strstr(why.message, "line 9: server.listen: ") == NULL)
			fail_msg("\"%s\": \"%s\"", bad[i], why.message);
	}
}

/* What pocd.conf(5) says of SIGHUP. */
static void test_needs_restart(void **state)
{
	static const struct {
		const char *more, *restart;
	} cases[] = {
	    {"", ""},
	    {"[limits]\nconnections = 7\nidle_time = 7s\n", ""},
	    {"[diagnostics]\nlevel = debug\nformat = json\nfile = a.log\n", ""},
	    {"[server]\nlisten = 127.0.0.1:7438\n", "server.listen"},
	    {"[server]\nthreads = 3\n", "server.threads"},
	    {"[store]\nmap_size = 1G\n", "store.map_size"},
	    {"[store]\nquota = 1G\n", "store.quota"},
	    {"[log]\ncheckpoint_interval = 2s\n", "log.checkpoint_interval"},
	    {"[log]\nheartbeat = 2s\n", "log.heartbeat"},
	    {"[notices]\nretention = 2d\n", "notices.retention"},
	    {"[notices]\nper_hour = 2\n", "notices.per_hour"},
	    {"[notices]\nbacklog = 2M\n", "notices.backlog"},
	    {"[limits]\nanswer_cache = 2M\n", "limits.answer_cache"},
	    {"[notices]\nbacklog = 2M\nper_hour = 2\n[server]\nthreads = 3\n",
	     "server.threads,notices.per_hour,notices.backlog"},
	};
	char keys[CONFIG_RESTART_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		print_message("%s", cases[i].more);
		const struct config *with = read_daemon(cases[i].more), *without = read_daemon("");
		config_restart_keys(without, with, keys);
		assert_string_equal(keys, cases[i].restart);
	}
	struct config *other = read_daemon(""), *plain = read_daemon("");
	strcpy(other->cert, "/other.crt");
	strcpy(other->key, "/other.key");
	config_restart_keys(plain, other, keys);
	assert_string_equal(keys, "");
	strcpy(other->path, "/other");
	config_restart_keys(plain, other, keys);
	assert_string_equal(keys, "store.path");
	strcpy(other->path, plain->path);
	config_restart_keys(plain, other, keys);
	assert_string_equal(keys, "");
	/* a new signer takes these over */
	assert_false(config_signer_differs(plain, other));
	strcpy(other->log_keys.paths[0], "/other.key");
	assert_true(config_signer_differs(plain, other));
	strcpy(other->log_keys.paths[0], plain->log_keys.paths[0]);
	other->log_keys.n = 2;
	assert_true(config_signer_differs(plain, other));
	other->log_keys.n = 1;
	assert_false(config_signer_differs(plain, other));
	strcpy(other->log_signed, "/other.signed");
	assert_true(config_signer_differs(plain, other));
	config_restart_keys(plain, other, keys);
	assert_string_equal(keys, "");
}

static void test_client_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
	    {"[directory]\nserver = a:1\n[user]\nstate = BR\nstate = FR\n", "line 5: user.state: given a second time"},
	    {"[directory]\nquorum = 1001\n", "line 2: directory.quorum: \"1001\" is not a number up to 1000"},
	    {"[directory]\nmax_age = 24\n", "line 2: directory.max_age: \"24\" is not a duration"},
	    {"[user]\nstate = brazil-and-more-text\n", "line 2: user.state: too long"},
	    {"[user]\nname = x\n", "line 2: unknown key \"name\" in section [user]"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		static struct conf conf;
		struct refusal why = {0};
		write_file("", cases[i].text);
		assert_int_equal(conf_read(path, &conf, &why), STATUS_INVALID);
		if (strstr(why.message, cases[i].why) == NULL)
			fail_msg("\"%s\" is not in \"%s\"", cases[i].why, why.message);
	}
}

static void test_missing(void **state)
{
	static struct config config;
	struct refusal why = {0};

	(void)state;
	write_file("[server]\ncert = a\n", "");
	assert_int_equal(config_read(path, &config, &why), STATUS_INVALID);
	assert_non_null(strstr(why.message, "[server] needs cert and key"));
	assert_int_equal(config_read("/nowhere/pocd.conf", &config, &why), STATUS_NOT_FOUND);
}

/* The manual pages say from how many bytes on a line is refused. */
static void test_long_line(void **state)
{
	static struct config config;
	char line[220];
	struct refusal why = {0};

	(void)state;
	memset(line, 'x', sizeof line);
	memcpy(line, "file = ", 7);
	strcpy(line + 198, "\n");
	write_file(needed, "[diagnostics]\n");
	FILE *file = fopen(path, "ae");
	assert_non_null(file);
	assert_true(fputs(line, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(config_read(path, &config, &why), 0);
	assert_int_equal(strlen(strrchr(config.file, '/') + 1), 191);
	line[198] = 'x';
	strcpy(line + 199, "\n");
	file = fopen(path, "ae");
	assert_non_null(file);
	assert_true(fputs(line, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(config_read(path, &config, &why), STATUS_INVALID);
	assert_non_null(strstr(why.message, "line 10: too long"));
}

static void test_paths(void **state)
{
	(void)state;
	const struct config *config = read_daemon("[diagnostics]\nfile = /var/log/pocd.log\n");
	assert_string_equal(config->cert, "/tmp/a.crt");
	assert_string_equal(config->path, "/tmp/data");
	assert_string_equal(config->file, "/var/log/pocd.log");
	const struct conf *conf = read_client("[coordinator]\nkey = one.key, /two.key\n[state]\ndir = here\n");
	assert_int_equal(conf->coordinator.n, 2);
	assert_string_equal(conf->coordinator.paths[0], "/tmp/one.key");
	assert_string_equal(conf->coordinator.paths[1], "/two.key");
	assert_string_equal(conf->state_dir, "/tmp/here");
}

/* "../" of a folder that is one leads beside it; of a link to one it does not. */
static void test_path_beside(void **state)
{
	static const char text[] = "[coordinator]\nkey = ../states/a.key, ../../b.key\n";
	static struct conf conf;
	char root[] = "/tmp/pocd-test-beside-XXXXXX", folder[80], link[80], file[120], expected[120];
	struct refusal why = {0};

	(void)state;
	assert_non_null(mkdtemp(root));
	snprintf(folder, sizeof folder, "%s/users", root);
	snprintf(link, sizeof link, "%s/link", root);
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_int_equal(symlink("users", link), 0);
	snprintf(file, sizeof file, "%s/x.conf", folder);
	FILE *out = fopen(file, "we");
	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(conf_read(file, &conf, &why), 0);
	snprintf(expected, sizeof expected, "%s/states/a.key", root);
	assert_string_equal(conf.coordinator.paths[0], expected);
	assert_string_equal(conf.coordinator.paths[1], "/tmp/b.key");
	snprintf(file, sizeof file, "%s/x.conf", link);
	assert_int_equal(conf_read(file, &conf, &why), 0);
	snprintf(expected, sizeof expected, "%s/../states/a.key", link);
	assert_string_equal(conf.coordinator.paths[0], expected);
	/* from inside, without a folder's name */
	char *before = getcwd(NULL, 0);
	assert_non_null(before);
	assert_int_equal(chdir(root), 0);
	assert_int_equal(conf_read("users/x.conf", &conf, &why), 0);
	assert_string_equal(conf.coordinator.paths[0], "states/a.key");
	assert_string_equal(conf.coordinator.paths[1], "../b.key");
	assert_int_equal(chdir(before), 0);
	free(before);
	snprintf(file, sizeof file, "%s/x.conf", folder);
	unlink(file);
	unlink(link);
	rmdir(folder);
	rmdir(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),       cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_missing),        cmocka_unit_test(test_long_line),
	    cmocka_unit_test(test_paths),          cmocka_unit_test(test_section_again),
	    cmocka_unit_test(test_log_keys),       cmocka_unit_test(test_listen),
	    cmocka_unit_test(test_client_refused), cmocka_unit_test(test_needs_restart),
	    cmocka_unit_test(test_path_beside),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
