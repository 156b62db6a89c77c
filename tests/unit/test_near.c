#include "clients/cli/near.h"

#include <string.h>

#include "tests/lib/unit.h"

static void test_distances(void **state)
{
	static const struct {
		const char *typed, *meant;
		unsigned far;
	} pairs[] = {
	    {"sector", "sector", 0},
	    {"Reply-By", "reply_by", 0},
	    {"sectr", "sector", 1},
	    {"secttor", "sector", 1},
	    {"sectot", "sector", 1},
	    {"sbuject", "subject", 1},
	    {"tpl", "tlp", 1},
	    {"asistanc", "assistance", 2},
	    {"state", "states", 1},
	    {"crit", "critical_infrastructure", NEAR_MOST},
	    {"ind", "indicators", NEAR_MOST},
	    {"in", "indicators", NEAR_NOT},
	    {"sectorial", "sector", NEAR_NOT},
	    {"impact", "subject", NEAR_NOT},
	    {"end", "kind", NEAR_NOT},
	    {"top", "tlp", 1},
	    {"ab", "to", NEAR_NOT},
	    {"bcd", "asks", NEAR_NOT},
	    {"", "to", NEAR_NOT},
	};
	char endless[200];

	(void)state;
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		assert_int_equal(near_distance(pairs[i].typed, pairs[i].meant), pairs[i].far);
	memset(endless, 'x', sizeof endless - 1);
	endless[sizeof endless - 1] = '\0';
	assert_int_equal(near_distance(endless, "to"), NEAR_NOT);
	assert_int_equal(near_distance("to", endless), NEAR_NOT);
	endless[64] = '\0';
	assert_int_equal(near_distance(endless, endless), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_distances)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
