#include "tests/lib/unit.h"

#include "pocd/directory/auditors.h"

enum { MADE_UP = 10000 };

static size_t count_ready(struct auditors *auditors, const char *state, const char *key)
{
	Poc__Trust trust = POC__TRUST__INIT;
	Poc__Auditor auditor = POC__AUDITOR__INIT, *list[] = {&auditor};

	auditor.state = (char *)state;
	auditor.spki = (ProtobufCBinaryData){strlen(key), (uint8_t *)key};
	trust.auditors = list;
	trust.n_auditors = 1;
	return auditors_count_ready(auditors, &trust);
}

/* However many keys the mirrors of some states make up, those of others are remembered, and their own newest ones. */
static void test_ready(void **context)
{
	const char *flooding[] = {"XA", "XB", STATE_DIRECTORY};
	struct auditors *auditors = auditors_create();
	char key[16];

	(void)context;
	auditors_ready(auditors, "XC", (const uint8_t *)"early", 5);
	for (int i = 0; i < MADE_UP; i++) {
		snprintf(key, sizeof key, "key %d", i);
		auditors_ready(auditors, flooding[i % 3], (const uint8_t *)key, strlen(key));
	}
	auditors_ready(auditors, "XD", (const uint8_t *)"late", 4);
	assert_int_equal(count_ready(auditors, "XC", "early"), 1);
	assert_int_equal(count_ready(auditors, "XD", "late"), 1);
	assert_int_equal(count_ready(auditors, flooding[(MADE_UP - 1) % 3], key), 1);
	assert_int_equal(count_ready(auditors, "XC", "late"), 0);
	assert_int_equal(count_ready(auditors, "XE", "late"), 0);
	auditors_destroy(auditors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ready),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
