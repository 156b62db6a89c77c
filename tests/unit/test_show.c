#include "clients/cli/show.h"

#include <unistd.h>

#include "proto/wire/prescan.h"
#include "tests/lib/unit.h"

/* A record with one POC of one section, which a state's own check need not have let through: other machines publish
 * too.
 */
struct record {
	Poc__Content content;
	Poc__Hours hours;
	Poc__Channel channel;
	Poc__Channel *channels[1];
	char *websites[1];
	struct draft_section section;
	struct draft_poc poc;
	struct draft draft;
	struct poc_verdict verdict;
};

static struct record *record_make(void)
{
	struct record *r = calloc(1, sizeof *r);

	assert_non_null(r);
	poc__content__init(&r->content);
	poc__hours__init(&r->hours);
	poc__channel__init(&r->channel);
	r->hours.zone = (char *)"Mars/Olympus";
	r->hours.always = 1;
	r->content.hours = &r->hours;
	r->channel.id = (char *)"e";
	r->channel.type = (char *)"email";
	r->channel.value = (char *)"desk@xb.example";
	r->channels[0] = &r->channel;
	r->content.channels = r->channels;
	r->content.n_channels = 1;
	r->websites[0] = (char *)"https://xb.example";
	r->content.websites = r->websites;
	snprintf(r->section.name, sizeof r->section.name, "office");
	r->section.tlp = POC__TLP__TLP_GREEN;
	r->section.content = &r->content;
	snprintf(r->poc.id, sizeof r->poc.id, "t");
	r->poc.kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	r->poc.n_sections = 1;
	r->poc.sections = &r->section;
	assert_true(name_make(NAME_RECORD, "XB", NULL, &r->draft.name));
	r->draft.n_pocs = 1;
	r->draft.pocs = &r->poc;
	r->verdict.judged = 1800000000;
	return r;
}

/* What show_record prints. */
static char *printed(const struct record *r)
{
	static char text[8192];
	const struct show_filter all = {0};
	FILE *file = tmpfile();

	assert_non_null(file);
	fflush(stdout);
	int before = dup(STDOUT_FILENO);
	dup2(fileno(file), STDOUT_FILENO);
	show_record(&r->draft, &all, r->verdict.judged);
	fflush(stdout);
	dup2(before, STDOUT_FILENO);
	close(before);
	rewind(file);
	text[fread(text, 1, sizeof text - 1, file)] = '\0';
	fclose(file);
	return text;
}

static void says(const char *text, const char *words)
{
	if (strstr(text, words) == NULL)
		fail_msg("\"%s\" is not in:\n%s", words, text);
}

/* The codes of the remarks, one after another. */
static void remarks_are(const struct record *r, const char *codes)
{
	char got[200] = "";
	json_t *document = show_json(&r->draft, &r->verdict), *remark;
	size_t i;

	assert_non_null(document);
	json_array_foreach(json_object_get(document, "remarks"), i, remark)
	{
		size_t used = strlen(got);
		snprintf(got + used, sizeof got - used, "%s ", json_string_value(json_object_get(remark, "code")));
		assert_string_equal(json_string_value(json_object_get(remark, "poc")), "t");
		assert_true(strlen(json_string_value(json_object_get(remark, "message"))) > 10);
	}
	json_decref(document);
	assert_string_equal(got, codes);
}

static void test_unknown_zone(void **state)
{
	struct record *r = record_make();
	char *text = printed(r);

	(void)state;
	says(text, "hours unknown: this machine does not know the time zone Mars/Olympus");
	assert_null(strstr(text, "not given"));
	assert_int_equal(show_open_now(&r->poc, r->verdict.judged), -1);
	remarks_are(r, "unknown-zone ");
	r->channel.hours = &r->hours;
	r->content.hours = NULL;
	text = printed(r);
	says(text, "hours not given");
	says(text, "time zone Mars/Olympus");
	remarks_are(r, "unknown-zone ");
	r->hours.zone = (char *)"Europe/Paris";
	assert_null(strstr(printed(r), "time zone"));
	remarks_are(r, "");
	free(r);
}

/* An opening a week away is not that of today, which has passed. */
static void test_far_opening(void **state)
{
	struct record *r = record_make();
	Poc__Interval interval = POC__INTERVAL__INIT, *intervals[] = {&interval};

	(void)state;
	r->hours.zone = (char *)"Europe/Paris";
	r->hours.always = 0;
	r->hours.weekly = intervals;
	r->hours.n_weekly = 1;
	interval.day = 5; /* it is Friday, 09:00 in Paris */
	interval.open = 0;
	interval.close = 480;
	says(printed(r), "CLOSED until Fri 2027-01-22 00:00 (09:00 there)");
	interval.day = 4;
	says(printed(r), "CLOSED until Thu 00:00 (09:00 there)");
	free(r);
}

static void test_no_channel(void **state)
{
	struct record *r = record_make();

	(void)state;
	r->hours.zone = (char *)"Europe/Paris";
	r->content.n_channels = 0;
	says(printed(r), "NO CHANNEL is given\n");
	remarks_are(r, "no-channel ");
	r->content.n_websites = 1;
	says(printed(r), "NO CHANNEL is given; web site https://xb.example\n");
	r->content.n_channels = 1;
	r->channel.valid_from = r->verdict.judged + 1;
	says(printed(r), "NO CHANNEL is valid now; web site");
	r->channel.valid_from = 0;
	assert_null(strstr(printed(r), "NO CHANNEL"));
	r->section.content = NULL;
	says(printed(r), "no channel that this reader may see\n");
	remarks_are(r, "no-channel ");
	free(r);
}

/* Two desks stand apart, and a web site that is among the calls is not told twice. */
static void test_layout(void **state)
{
	struct record *r = record_make();
	struct draft_poc two[2] = {r->poc, r->poc};

	(void)state;
	r->hours.zone = (char *)"Europe/Paris";
	snprintf(two[1].id, sizeof two[1].id, "u");
	r->draft.pocs = two;
	r->draft.n_pocs = 2;
	r->content.n_websites = 1;
	r->channel.type = (char *)"web";
	r->channel.value = r->websites[0];
	const char *text = printed(r);
	says(text, "call 1  web    https://xb.example\n\nXB technical  u");
	assert_null(strstr(text, "web site"));
	r->channel.value = (char *)"https://other.example";
	says(printed(r), "web site      https://xb.example\n");
	free(r);
}

/* What the text says of auditors and of the trust root, a program can tell too. */
static void test_verdict_in_json(void **state)
{
	const struct poc_verdict verdict = {.cosigners = 2, .auditors = 3, .quorum = 0, .trust_expired = true};
	json_t *json = show_verdict_json(&verdict), *checkpoint = json_object_get(json, "checkpoint");

	(void)state;
	assert_non_null(checkpoint);
	assert_true(json_is_true(json_object_get(json, "trust_expired")));
	assert_int_equal(json_integer_value(json_object_get(checkpoint, "cosigners")), 2);
	assert_int_equal(json_integer_value(json_object_get(checkpoint, "auditors")), 3);
	assert_true(json_is_integer(json_object_get(checkpoint, "quorum"))); /* 0: the operator's word only */
	assert_int_equal(json_integer_value(json_object_get(checkpoint, "quorum")), 0);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_verdict_in_json), cmocka_unit_test(test_unknown_zone),
					   cmocka_unit_test(test_far_opening), cmocka_unit_test(test_no_channel),
					   cmocka_unit_test(test_layout)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
