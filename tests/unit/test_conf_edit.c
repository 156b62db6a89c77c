#include "tests/lib/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "clients/cli/conf_edit.h"

static char folder[] = "/tmp/test_conf_edit.XXXXXX", path[64];

static void write_text(const char *name, const char *text)
{
	FILE *out = fopen(name, "we");

	assert_non_null(out);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
}

static void expect_text(const char *text)
{
	char is[4096] = "";
	FILE *in = fopen(path, "re");

	assert_non_null(in);
	size_t n = fread(is, 1, sizeof is - 1, in);
	fclose(in);
	is[n] = '\0';
	assert_string_equal(is, text);
}

static int setup(void **context)
{
	(void)context;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/poc.conf", folder);
	return 0;
}

static int teardown(void **context)
{
	char command[128];

	(void)context;
	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command);
}

static void test_edit(void **context)
{
	struct refusal why = {0};
	const struct conf_change changes[] = {
	    {"user", "key", "b.key"}, {"user", "next_key", NULL}, {"user", "next", "x"}, {"new", "one", "1"}};

	(void)context;
	write_text(path,
		   "; key = a comment\nkey = of no section\n[directory]\nkey = stays\n\n[user]\n; said\nkey = a.key\n"
		   "next_key = c.key\nkeys = other\n\n[state]\ndir = d");
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(conf_edit(path, changes, 4, &why), 0);
	expect_text("; key = a comment\nkey = of no section\n[directory]\nkey = stays\n\n[user]\n; said\nkey = b.key\n"
		    "keys = other\nnext = x\n\n[state]\ndir = d\n\n[new]\none = 1\n");
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
}

/* A section that is taken up again further down: a key belongs to the heading last seen. */
static void test_again(void **context)
{
	struct refusal why = {0};
	const struct conf_change change = {"user", "key", "b.key"};
	char value[20];

	(void)context;
	write_text(path, "[user]\ncert = c\n[state]\nkey = not this\n[user]\nkey=a.key \n");
	assert_true(conf_value(path, "user", "key", value, sizeof value));
	assert_string_equal(value, "a.key");
	assert_false(conf_value(path, "user", "ke", value, sizeof value));
	assert_false(conf_value(path, "user", "key", value, 5)); /* does not fit */
	assert_int_equal(conf_edit(path, &change, 1, &why), 0);
	assert_true(conf_value(path, "user", "key", value, sizeof value));
	assert_string_equal(value, "b.key");
	assert_true(conf_value(path, "state", "key", value, sizeof value));
	assert_string_equal(value, "not this");
}

static void test_refused(void **context)
{
	struct refusal why = {0};
	char longer[300];
	struct conf_change change = {"user", "key", longer};

	(void)context;
	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	write_text(path, "[user]\nkey = a\n");
	assert_int_equal(conf_edit(path, &change, 1, &why), STATUS_TOO_LARGE);
	change.value = "a\nb = c";
	assert_int_equal(conf_edit(path, &change, 1, &why), STATUS_TOO_LARGE);
	expect_text("[user]\nkey = a\n");
	change.value = "b";
	assert_int_equal(conf_edit("/nowhere/at/all", &change, 1, &why), STATUS_NOT_FOUND);
}

static void expect_stem(const char *file, const char *stem)
{
	char out[100];

	assert_true(conf_next_stem(path, file, out, sizeof out));
	assert_string_equal(out, stem);
}

static void test_names(void **context)
{
	char taken[128], out[10], resolved[CONF_PATH_MAX];

	(void)context;
	expect_stem("duty.key", "duty-2");
	expect_stem("duty-2.key", "duty-3");
	expect_stem("keys.d/duty", "keys.d/duty-2");
	expect_stem("XA-7.key", "XA-8");
	expect_stem("7.key", "7-2");
	snprintf(taken, sizeof taken, "%s/duty-2.crt", folder);
	write_text(taken, "");
	expect_stem("duty.key", "duty-3");
	assert_false(conf_next_stem(path, "a-rather-long-name.key", out, sizeof out));
	assert_true(conf_resolve(path, "a.key", resolved));
	assert_int_equal(strncmp(resolved, folder, strlen(folder)), 0);
	assert_true(conf_resolve(path, "/a.key", resolved));
	assert_string_equal(resolved, "/a.key");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_edit),
	    cmocka_unit_test(test_again),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
