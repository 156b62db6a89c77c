#include "clients/cli/indicator.h"

#include "tests/lib/unit.h"

static void test_fits(void **context)
{
	static const struct {
		const char *type, *value;
		bool fits;
	} cases[] = {
	    {"ip", "192.0.2.1", true},
	    {"ip", "2001:db8::1", true},
	    {"ip", "192.0.2.0/24", true},
	    {"ip", "2001:db8::/32", true},
	    {"ip", "999.1.1.1", false},
	    {"ip", "192.0.2.0/33", false},
	    {"ip", "192.0.2.0/", false},
	    {"ip", "192.0.2.0/-1", false},
	    {"ip", "", false},
	    {"ip", "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", false},
	    {"ipv4", "2001:db8::1", false},
	    {"ipv4", "192.0.2.1", true},
	    {"ipv6", "192.0.2.1", false},
	    {"ipv6", "2001:db8::/128", true},
	    {"ipv6", "2001:db8::/129", false},
	    {"md5", "0123456789abcdefABCDEF0123456789", true},
	    {"md5", "0123456789abcdefABCDEF012345678g", false},
	    {"sha1", "0123456789abcdefABCDEF0123456789", false},
	    {"sha1", "0123456789abcdefABCDEF012345678901234567", true},
	    {"sha256", "0a", false},
	    {"domain", "999.1.1.1", true},
	    {"x-own", "", true},
	};

	(void)context;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(indicator_fits(cases[i].type, cases[i].value), cases[i].fits);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_fits)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
