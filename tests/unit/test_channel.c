#include "clients/cli/channel.h"

#include <string.h>

#include "tests/lib/unit.h"

static void test_meant(void **state)
{
	static const struct {
		const char *type, *meant;
	} cases[] = {
	    {"phone", NULL},           {"email", NULL},       {"threema", NULL},   {"e-mail", "email"},
	    {"emial", "email"},        {"emails", "email"},   {"mail", "email"},   {"tel", "phone"},
	    {"telephone", "phone"},    {"tel-2", "phone"},    {"phone2", "phone"}, {"phon", "phone"},
	    {"mobile-phone", "phone"}, {"fone", NULL},        {"xmpp", NULL},      {"whatsapp", NULL},
	    {"pager", NULL},           {"website", "web"},    {"faxe", NULL},      {"tele-fax", "fax"},
	    {"matrxi", "matrix"},      {"signals", "signal"}, {"sip", NULL},       {"1", NULL},
	    {"matters", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *meant = channel_meant(cases[i].type);
		if ((meant == NULL) != (cases[i].meant == NULL) ||
		    (meant != NULL && strcmp(meant, cases[i].meant) != 0))
			fail_msg("%s: %s", cases[i].type, meant != NULL ? meant : "nothing");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_meant)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
