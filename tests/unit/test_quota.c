#include "tests/lib/unit.h"

#include "pocd/directory/quota.h"

enum { HOUR_MS = 3600 * 1000 };

/* However long the state's name is: what stays at its desks is counted, and apart from what goes abroad. */
static void test_accounts(void **context)
{
	const char *states[] = {"XA", STATE_DIRECTORY};
	uint32_t retry_ms;

	(void)context;
	for (int i = 0; i < 2; i++) {
		struct quota *quota = quota_create(2);
		char notes[QUOTA_ACCOUNT];
		snprintf(notes, sizeof notes, "%s note", states[i]);
		for (int n = 0; n < 2; n++) {
			assert_true(quota_left(quota, notes, HOUR_MS, &retry_ms));
			quota_take(quota, notes, HOUR_MS);
		}
		assert_false(quota_left(quota, notes, HOUR_MS, &retry_ms));
		assert_int_equal(retry_ms, HOUR_MS / 2 + 1);
		assert_true(quota_left(quota, states[i], HOUR_MS, &retry_ms));
		quota_destroy(quota);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_accounts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
