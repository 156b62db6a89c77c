#include "clients/cli/escape.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"

static void same(char *got, const char *want)
{
	assert_non_null(got);
	assert_string_equal(got, want);
	free(got);
}

static void test_text(void **state)
{
	(void)state;
	same(escape_text("CERT.br, \xc3\x89quipe \xe4\xb8\xad", 0), "CERT.br, \xc3\x89quipe \xe4\xb8\xad");
	same(escape_text("\x1b[31mred\x07", 0), "\\u001b[31mred\\u0007");
	same(escape_text("a\nb", 1), "a\nb");
	same(escape_text("a\nb", 0), "a\\u000ab");
	same(escape_text("a\tb", 1), "a\tb");
	same(escape_text("a\tb", 0), "a\\u0009b");
	same(escape_text("c1 \xc2\x9b", 0), "c1 \\u009b");
	same(escape_text("\xe2\x80\xaerev", 0), "\\u202erev");
	same(escape_text("\xf3\xa0\x81\x81", 0), "\\U000e0041");
	same(escape_text("\xff\xc3", 0), "\\xff\\xc3");
}

static void test_json(void **state)
{
	(void)state;
	same(escape_json("{\n \"a\": \"\xc3\xa9\"\n}"), "{\n \"a\": \"\xc3\xa9\"\n}");
	same(escape_json("\"\xc2\x9b\xe2\x80\xae\""), "\"\\u009b\\u202e\"");
	same(escape_json("\"\xf3\xa0\x81\x81\""), "\"\\udb40\\udc41\"");
}

static void test_column(void **state)
{
	(void)state;
	same(escape_column("abc", 5), "abc  ");
	same(escape_column("abcde", 5), "abcde");
	same(escape_column("abcdef", 5), "abcd\xe2\x80\xa6");
	same(escape_column("\xc3\xa9\xc3\xa9\xc3\xa9", 4), "\xc3\xa9\xc3\xa9\xc3\xa9 ");
	/* wide characters take two columns, and are never cut in half */
	same(escape_column("\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad", 4), "\xe4\xb8\xad\xe2\x80\xa6 ");
	same(escape_column("\x1b", 7), "\\u001b ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_json),
	    cmocka_unit_test(test_column),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
