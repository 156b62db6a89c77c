#include "tests/lib/unit.h"

#include "proto/wire/status.h"

static void test_list(void **state)
{
	(void)state;
#define CHECK(sym, code, json, exit_status, retry, text)                                                               \
	assert_int_equal(STATUS_##sym, code);                                                                          \
	assert_string_equal(status_name(code), json);                                                                  \
	assert_string_equal(status_text(code), text);                                                                  \
	assert_int_equal(status_exit(code), exit_status);                                                              \
	assert_true(status_may_retry(code) == (retry));                                                                \
	assert_in_range(status_exit(code), 0, 8);
	STATUS_LIST(CHECK)
#undef CHECK
}

static void test_unknown(void **state)
{
	(void)state;
	assert_string_equal(status_name(-1), "failed");
	assert_int_equal(status_exit(9999), 1);
	assert_false(status_may_retry(9999));
}

static void test_refuse(void **state)
{
	struct refusal why;
	char text[1000];
	(void)state;
	assert_int_equal(refuse(NULL, STATUS_INVALID, "field", "text"), STATUS_INVALID);
	assert_int_equal(refuse(&why, STATUS_INVALID, "tlp", "not %d", 5), STATUS_INVALID);
	assert_int_equal(why.code, STATUS_INVALID);
	assert_string_equal(why.field, "tlp");
	assert_string_equal(why.message, "not 5");
	memset(text, 'a', sizeof text);
	text[sizeof text - 1] = '\0';
	refuse(&why, STATUS_INVALID, text, "%s", text);
	assert_int_equal(strlen(why.field), sizeof why.field - 1);
	assert_int_equal(strlen(why.message), sizeof why.message - 1);
	/* quoted bytes that are no UTF-8, and a character that the ceiling cuts */
	refuse(&why, STATUS_INVALID, "a\xff", "%s", "\xc3\xa9\xc3 \xed\xa0\x80");
	assert_string_equal(why.field, "a?");
	assert_string_equal(why.message, "\xc3\xa9? ???");
	text[sizeof why.message - 2] = '\xc3';
	text[sizeof why.message - 1] = '\xa9';
	refuse(&why, STATUS_INVALID, NULL, "%s", text);
	assert_int_equal(strlen(why.message), sizeof why.message - 1);
	assert_int_equal(why.message[sizeof why.message - 2], '?');
	refuse(&why, STATUS_INVALID, NULL, "x");
	assert_string_equal(why.field, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_list),
	    cmocka_unit_test(test_unknown),
	    cmocka_unit_test(test_refuse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
