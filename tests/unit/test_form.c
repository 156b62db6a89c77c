#include "clients/cli/form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/libpoc/content.h"
#include "proto/rules/notice.h"
#include "proto/wire/prescan.h"
#include "tests/lib/unit.h"

static json_t *read_form(const char *text, const json_t *declared)
{
	struct refusal why = {0};
	json_t *form = NULL;

	if (form_parse(text, strlen(text), declared, &form, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	return form;
}

static void refused(const char *text, const json_t *declared, const char *said)
{
	struct refusal why = {0};
	json_t *form;

	assert_int_equal(form_parse(text, strlen(text), declared, &form, &why), STATUS_INVALID);
	assert_null(form);
	if (strstr(why.message, said) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", said, why.message);
}

static void is(json_t *got, const char *want)
{
	json_t *json = json_loads(want, JSON_DECODE_ANY, NULL);
	char *text = json_dumps(got, JSON_ENCODE_ANY | JSON_SORT_KEYS);

	assert_non_null(json);
	if (!json_equal(got, json))
		fail_msg("%s instead of %s", text, want);
	free(text);
	json_decref(json);
	json_decref(got);
}

static void test_every_kind(void **state)
{
	(void)state;
	is(read_form("# a comment\r\n"
		     "to = XB, XC\r\n"
		     "urgency = urgent\n"
		     "reply_by=24h\n"
		     "separately = no\n"
		     "subject =   two words  \n"
		     "stage = final\n"
		     "states = FR, BR FR\n"
		     "malicious = yes\n"
		     "started = 2026-11-24T12:00:00Z\n"
		     "template_version = 7\n"
		     "sector =\n"
		     "indicators =\n"
		     "\tip 192.0.2.1 -- at the border -- twice\n"
		     "\n"
		     "  domain a.example\n"
		     "assistance = one\n"
		     "\n"
		     "# not in it\n"
		     "\t  two\n"
		     "\n"
		     "[fields]\n"
		     "zeta = z\n"
		     "alpha =\n"
		     "[text]\n"
		     "# in it\n"
		     "\n"
		     "[fields] = too\n\n",
		     NULL),
	   "{\"to\": \"XB, XC\", \"urgency\": \"urgent\", \"reply_by\": \"24h\", \"separately\": false, \"subject\": "
	   "\"two words\","
	   " \"stage\": \"final\", \"states\": [\"BR\", \"FR\"], \"malicious\": true, \"started\": "
	   "\"2026-11-24T12:00:00Z\","
	   " \"template_version\": 7, \"indicators\": [{\"type\": \"ip\", \"value\": \"192.0.2.1\", \"note\": \"at the "
	   "border -- twice\"},"
	   " {\"type\": \"domain\", \"value\": \"a.example\"}], \"assistance\": \"one\\n\\n  two\","
	   " \"fields\": [{\"name\": \"alpha\", \"value\": \"\"}, {\"name\": \"zeta\", \"value\": \"z\"}],"
	   " \"text\": \"# in it\\n\\n[fields] = too\"}");
	is(read_form(" {\"schema\": \"x\", \"to\": [\"XB\"], \"subject\": \"s\", \"fields\": [{\"name\": \"b\", "
		     "\"value\": \"1\"}, {\"name\": "
		     "\"a\"}], \"asks\": [\"a\"]}",
		     NULL),
	   "{\"to\": [\"XB\"], \"subject\": \"s\", \"fields\": [{\"name\": \"a\", \"value\": \"\"}, {\"name\": \"b\", "
	   "\"value\": \"1\"}], "
	   "\"asks\": [\"a\"]}");
	is(read_form("", NULL), "{}");
}

static void test_refused(void **state)
{
	json_t *declared = json_pack("[{s:s,s:s}]", "name", "impact", "value", "");

	(void)state;
	refused("subject = s\n\ncolour = red\n", NULL, "line 3: unknown template field \"colour\"");
	refused("{\"colour\": \"red\"}", NULL, "unknown template field \"colour\"");
	refused("[fields]\nimpact = x\ncolour = red\n", declared, "line 3: unknown template field \"colour\"");
	refused("{\"fields\": [{\"name\": \"colour\", \"value\": \"red\"}]}", declared,
		"unknown template field \"colour\"");
	refused("asks = subject, colour\n", NULL, "unknown template field \"colour\"");
	refused("subject = s\nsubject = t\n", NULL, "line 2: \"subject\" is given twice");
	refused("subject = s\nno equals\n", NULL, "line 2");
	refused("\n  begins with a blank\n", NULL, "line 2");
	refused("urgency = asap\n", NULL, "line 1: urgency");
	refused("category = note\n", NULL, "category");
	refused("reply_by = soon\n", NULL, "reply_by");
	refused("malicious = perhaps\n", NULL, "yes or no");
	refused("template_version = -1\n", NULL, "number");
	refused("started = yesterday\n", NULL, "line 1: started");
	refused("states = BRA\n", NULL, "states");
	refused("stage = middle\n", NULL, "stage");
	refused("indicators =\n\tip\n", NULL, "line 1: indicators[0]");
	refused("attachments = x\n", NULL, "unknown template field");
	refused("forwarded = AAAA\n", NULL, "unknown template field");
	refused("{\"forwarded\": \"AAAA\"}", NULL, "unknown template field");
	refused("[fields]\nsubject = s\n", NULL, "line 2");
	refused("[fields]\nTwo Words = s\n", NULL, "line 2");
	refused("[field]\n", NULL, "line 1");
	refused("[fields]\n[fields]\n", NULL, "line 2");
	refused("{\"subject\": 1}", NULL, "text");
	refused("{\"subject\": \"a\"", NULL, "line 1");
	refused("{\"to\": [1]}", NULL, "places");
	refused("subject = \xff\n", NULL, "UTF-8");
	refused("[text]\na\x1b[31mred\n", NULL, "line 1: text");
	struct refusal why = {0};
	json_t *form;
	assert_int_equal(form_parse("a\0b", 3, NULL, &form, &why), STATUS_INVALID);
	json_decref(declared);
}

static void test_set_and_merge(void **state)
{
	json_t *form = read_form("subject = s\nsector = energy\n[fields]\nimpact = x\nother =\n", NULL);
	json_t *over = read_form("subject = t\n[fields]\nother = y\n", json_object_get(form, "fields"));
	struct refusal why = {0};

	(void)state;
	assert_int_equal(form_merge(form, over), 0);
	assert_int_equal(form_set(form, "states", "XB,XA", NULL, &why), 0);
	assert_int_equal(form_set(form, "sector", "", NULL, &why), 0);
	assert_int_equal(form_set(form, "impact", "", json_object_get(form, "fields"), &why), 0);
	assert_int_equal(form_set(form, "colour", "red", json_object_get(form, "fields"), &why), STATUS_INVALID);
	assert_int_equal(form_set(form, "asks", "subject", NULL, &why), STATUS_INVALID);
	assert_int_equal(form_set(form, "subject", "\xff", NULL, &why), STATUS_INVALID);
	is(form_content(form),
	   "{\"subject\": \"t\", \"states\": [\"XA\", \"XB\"], \"fields\": [{\"name\": \"other\", \"value\": \"y\"}]}");
	assert_string_equal(form_foreign(form, FORM_NOTE), "states");
	assert_null(form_foreign(form, FORM_SEND));
	json_decref(form);
	json_decref(over);
}

/* A name that is near a known one's is a slip of the hand, unless it is said to be an own field's. */
static void test_slips(void **state)
{
	json_t *form = read_form("subject = s\n", NULL);
	json_t *declared = json_pack("[{s:s,s:s}]", "name", "impact", "value", "");
	static const char *const slips[][2] = {{"sectr", "sector"},
					       {"reply-by", "reply_by"},
					       {"Urgency", "urgency"},
					       {"critical", "critical_infrastructure"},
					       {"sates", "states"}};
	struct refusal why = {0};

	(void)state;
	for (size_t i = 0; i < sizeof slips / sizeof *slips; i++) {
		char said[80];
		snprintf(said, sizeof said, "did you mean \"%s\"?", slips[i][1]);
		assert_int_equal(form_set(form, slips[i][0], "x", NULL, &why), STATUS_INVALID);
		assert_non_null(strstr(why.message, said));
	}
	assert_int_equal(form_set(form, "impcat", "x", declared, &why), STATUS_INVALID);
	assert_non_null(strstr(why.message, "unknown template field \"impcat\": did you mean \"impact\"?"));
	assert_int_equal(form_set(form, "fields.sector", "x", NULL, &why), STATUS_INVALID);
	assert_int_equal(form_set(form, "fields.Sector", "x", NULL, &why), STATUS_INVALID);
	assert_int_equal(form_set(form, "fields.sectr", "x", declared, &why), STATUS_INVALID);
	assert_int_equal(form_set(form, "fields.sectr", "x", NULL, &why), 0);
	assert_int_equal(form_set(form, "vessel", "y", NULL, &why), 0);
	is(form_content(form), "{\"subject\": \"s\", \"fields\": [{\"name\": \"sectr\", \"value\": \"x\"}, "
			       "{\"name\": \"vessel\", \"value\": \"y\"}]}");
	refused("sectr = x\n", NULL, "line 1: unknown template field \"sectr\": did you mean \"sector\"?");
	json_decref(declared);
	json_decref(form);
}

static void test_missing(void **state)
{
	json_t *form =
	    read_form("asks = subject, sector, impact, other\nsector = energy\n[fields]\nimpact =\nother = x\n", NULL);

	(void)state;
	is(form_missing(form), "[\"subject\", \"impact\"]");
	json_decref(form);
}

/* What is written for the editor says the same when nothing is changed in it. */
static void test_round(void **state)
{
	static const char text[] =
	    "to = XB\nkind = diplomatic\nsubject = s\nmalicious = yes\nstates = BR, FR\n"
	    "indicators =\n\tip 192.0.2.1 -- note\n\turl https://a.example/\n"
	    "assistance = a\n\t\n\t  b\n[fields]\nimpact = x\n\ty\n[text]\n\n# text\n  of two lines";
	json_t *form = read_form(text, NULL);
	char *written = form_write(form, FORM_SEND);
	json_t *again = read_form(written, json_object_get(form, "fields"));

	(void)state;
	assert_true(json_equal(form, again));
	free(written);
	json_decref(again);
	/* a form for less holds less */
	written = form_write(form, FORM_NOTE);
	again = read_form(written, NULL);
	assert_null(json_object_get(again, "to"));
	assert_null(form_foreign(again, FORM_NOTE));
	free(written);
	json_decref(again);
	json_decref(form);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_kind), cmocka_unit_test(test_refused), cmocka_unit_test(test_set_and_merge),
	    cmocka_unit_test(test_slips),      cmocka_unit_test(test_missing), cmocka_unit_test(test_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
