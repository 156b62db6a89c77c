#include "clients/cli/field.h"

#include <string.h>

#include "tests/lib/unit.h"

static void test_words(void **state)
{
	static const char *const pairs[][2] = {
	    {"core.to", "to"},
	    {"core.to[15]", "to"},
	    {"core.escalations[0].to", "escalate"},
	    {"core.reply_by", "reply_by"},
	    {"core.exercise", "exercise"},
	    {"core.created", "the notice's time"},
	    {"head.seq", "seq"},
	    {"writes[1].expires", "expires"},
	    {"writes[0].head.prev", "prev"},
	    {"state.dir", "[state] dir"},
	    {"user.key", "[user] key"},
	    {"content", ""},
	    {"", ""},
	    /* what people know already */
	    {"pocs[0].sections[1].tlp", "pocs[0].sections[1].tlp"},
	    {"indicators[0]", "indicators[0]"},
	    {"total", "total"},
	    {"contents", "contents"},
	    {"line 3", "line 3"},
	};
	char out[FIELD_WORDS], path[300];

	(void)state;
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		field_words(pairs[i][0], out);
		assert_string_equal(out, pairs[i][1]);
	}
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	field_words(path, out);
	assert_int_equal(strlen(out), FIELD_WORDS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_words)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
