#include "tests/lib/unit.h"

#include "clients/libpoc/content.h"
#include "clients/libpoc/draft.h"
#include "proto/wire/prescan.h"

enum { NOW = 1790000000 };

static const char full[] =
    "{'schema':'poc.record/1','place':'BR','pocs':[{'id':'team','kind':'technical','sections':["
    "{'name':'office','tlp':'TLP:CLEAR','content':{"
    "'names':[{'lang':'pt','text':'CERT.br'},{'lang':'ru','text':'\\u0411\\u0420'}],"
    "'channels':[{'id':'phone','type':'phone','value':'+551155093511','languages':['pt','en'],"
    "'valid_from':'2026-01-01T00:00:00Z','valid_until':'2027-01-01T00:00:00Z',"
    "'notes':[{'lang':'en','text':'duty desk'}],'out_of_hours':true,'source':'list','source_date':'2026-02'}],"
    "'hours':{'zone':'America/Sao_Paulo','weekly':[{'day':1,'open':'00:00','close':'12:30'},"
    "{'day':1,'open':'13:00','close':'24:00'}],'exceptions':[{'date':'2026-12-25','note':'Natal'},"
    "{'date':'2026-12-31','intervals':[{'open':'08:00','close':'12:00'}]}]},"
    "'pgp_keys':[{'fingerprint':'0123456789ABCDEF0123456789ABCDEF01234567','key':'AAEC'}],"
    "'constituency':{'asns':[1,4294967295],'prefixes':['192.0.2.0/24'],'domains':['rnp.br','br','xn--p1ai']}}},"
    "{'name':'staff','content':{'persons':[{'id':'head','names':[{'lang':'pt','text':'A'}]}]}}]},"
    "{'id':'mfa','kind':'diplomatic','sections':[{'name':'office','content':{'names':[{'lang':'en','text':'MFA'}]}}]}],"
    "'sections':[{'name':'units','content':{'units':['campinas','rnp']}}]}";

/* JSON written with single quotes, for legibility. */
static json_t *load(const char *text)
{
	char *copy = strdup(text);
	json_error_t error;
	for (char *c = copy; *c; c++)
		if (*c == '\'')
			*c = '"';
	json_t *json = json_loads(copy, 0, &error);
	if (!json)
		fail_msg("%s: %s", error.text, copy);
	free(copy);
	return json;
}

static struct draft *read_draft(const char *text)
{
	json_t *json = load(text);
	struct draft *draft;
	struct refusal why = {0};
	if (draft_from_json(json, &draft, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	json_decref(json);
	return draft;
}

static void test_round(void **state)
{
	struct draft *draft = read_draft(full);
	struct refusal why = {0};
	(void)state;
	if (draft_check(draft, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	assert_string_equal(draft->name.text, "R/BR");
	assert_int_equal(draft->n_pocs, 2);
	const struct draft_poc *team = &draft->pocs[0];
	assert_int_equal(team->sections[0].tlp, POC__TLP__TLP_CLEAR);
	assert_int_equal(team->sections[1].tlp, POC__TLP__TLP_AMBER);
	assert_int_equal(draft->pocs[1].sections[0].tlp, POC__TLP__TLP_GREEN);
	assert_int_equal(draft->sections[0].tlp, POC__TLP__TLP_CLEAR);
	const Poc__Content *content = team->sections[0].content;
	assert_int_equal(content->hours->weekly[1]->close, 1440);
	assert_int_equal(content->channels[0]->valid_from, 1767225600);
	assert_int_equal(content->pgp_keys[0]->key.len, 3);
	/* The JSON form of what was read is what was read, with the labels filled in. */
	json_t *json = draft_to_json(draft);
	struct draft *again;
	assert_int_equal(draft_from_json(json, &again, &why), 0);
	json_t *json_again = draft_to_json(again);
	assert_true(json_equal(json, json_again));
	json_t *wanted = load(full);
	assert_true(json_equal(
	    json_object_get(
		json_array_get(json_object_get(json_array_get(json_object_get(json, "pocs"), 0), "sections"), 0),
		"content"),
	    json_object_get(
		json_array_get(json_object_get(json_array_get(json_object_get(wanted, "pocs"), 0), "sections"), 0),
		"content")));
	json_decref(wanted);
	json_decref(json);
	json_decref(json_again);
	draft_destroy(again);
	draft_destroy(draft);
}

static void test_lookup_document(void **state)
{
	struct draft *draft =
	    read_draft("{'schema':'poc.lookup/1','place':'BR','record':{'place':'BR','pocs':[]},'open_now':null}");
	(void)state;
	assert_string_equal(draft->name.text, "R/BR");
	draft_destroy(draft);
}

#define POC(content)                                                                                                   \
	"{'place':'BR','pocs':[{'id':'a','kind':'technical','sections':[{'name':'b','content':{" content "}}]}]}"

static void test_refused(void **state)
{
	static const struct {
		const char *text, *field;
	} rows[] = {
	    {"[]", ""},
	    {"{}", "place"},
	    {"{'place':'br'}", "place"},
	    {"{'place':'BR/'}", "place"},
	    {"{'place':7}", "place"},
	    {"{'place':'BR','schema':'poc.record/2'}", "schema"},
	    {"{'place':'BR','colour':1}", "colour"},
	    {"{'record':{'place':'BR','pocs':[]},'pocs':[]}", "pocs"},
	    {"{'place':'BR','based_on':1}", "based_on."},
	    {"{'place':'BR','based_on':{'seq':-1}}", "based_on.seq"},
	    {"{'place':'BR','based_on':{'seq':1}}", "based_on.value"},
	    {"{'place':'BR','based_on':{'seq':0,'value':'00'}}", "based_on.value"},
	    {"{'place':'BR','based_on':{'seq':0,'version':1}}", "based_on.version"},
	    {"{'place':'BR','withdrawn':'yes'}", "withdrawn"},
	    {"{'place':'BR','expires':'tomorrow'}", "expires"},
	    {"{'place':'BR','expires':'2026-02-30T00:00:00Z'}", "expires"},
	    {"{'place':'BR','expires':'2026-02-01T00:00:00+01:00'}", "expires"},
	    {"{'place':'BR','pocs':{}}", "pocs"},
	    {"{'place':'BR','pocs':[1]}", "pocs[0]."},
	    {"{'place':'BR','pocs':[{}]}", "pocs[0].id"},
	    {"{'place':'BR','pocs':[{'id':'A'}]}", "pocs[0].id"},
	    {"{'place':'BR','pocs':[{'id':'a','kind':'good'}]}", "pocs[0].kind"},
	    {"{'place':'BR','pocs':[{'id':'a','kind':'technical','sections':[{'name':'b'}]}]}",
	     "pocs[0].sections[0].content"},
	    {"{'place':'BR','pocs':[{'id':'a','kind':'technical','sections':[{'name':'b','content':null}]}]}",
	     "pocs[0].sections[0].content"},
	    {"{'place':'BR','pocs':[{'id':'a','kind':'technical','sections':[{'name':'b','tlp':'RED','content':{}}]}]}",
	     "pocs[0].sections[0].tlp"},
	    {POC("'name':'x'"), "pocs[0].sections[0].content.name"},
	    {POC("'names':'x'"), "pocs[0].sections[0].content.names"},
	    {POC("'names':['x']"), "pocs[0].sections[0].content.names[0]"},
	    {POC("'names':[{'lang':'en','text':'a','more':1}]"), "pocs[0].sections[0].content.names[0].more"},
	    {POC("'languages':['en','']"), "pocs[0].sections[0].content.languages[1]"},
	    {POC("'languages':[null]"), "pocs[0].sections[0].content.languages[0]"},
	    {POC("'pgp_keys':[{'key':'AA='}]"), "pocs[0].sections[0].content.pgp_keys[0].key"},
	    {POC("'pgp_keys':[{'key':5}]"), "pocs[0].sections[0].content.pgp_keys[0].key"},
	    {POC("'hours':{'always':1}"), "pocs[0].sections[0].content.hours.always"},
	    {POC("'hours':{'weekly':[{'day':1,'open':'8:00'}]}"), "pocs[0].sections[0].content.hours.weekly[0].open"},
	    {POC("'hours':{'weekly':[{'day':-1}]}"), "pocs[0].sections[0].content.hours.weekly[0].day"},
	    {POC("'hours':{'weekly':[{'close':'24:01'}]}"), "pocs[0].sections[0].content.hours.weekly[0].close"},
	    {POC("'constituency':{'asns':[4294967296]}"), "pocs[0].sections[0].content.constituency.asns[0]"},
	    {POC("'constituency':{'asns':[1.5]}"), "pocs[0].sections[0].content.constituency.asns[0]"},
	    {POC("'channels':[{'valid_from':1}]"), "pocs[0].sections[0].content.channels[0].valid_from"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		json_t *json = load(rows[i].text);
		struct refusal why = {0};
		struct draft *draft;
		assert_int_equal(draft_from_json(json, &draft, &why), STATUS_INVALID);
		assert_null(draft);
		if (strcmp(why.field, rows[i].field) != 0)
			fail_msg("%s: %s", rows[i].text, why.field);
		json_decref(json);
	}
}

static void test_check(void **state)
{
	static const struct {
		const char *text, *field;
	} rows[] = {
	    {"{'place':'BR'}", "pocs"},
	    {"{'place':'BR','withdrawn':true,'sections':[{'name':'units','content':{}}]}", "withdrawn"},
	    {"{'place':'BR','pocs':[{'id':'a','kind':'technical','sections':[{'name':'b','content':{}}]}],"
	     "'sections':[{'name':'units','content':{'units':['a'],'websites':['https://a.example']}}]}",
	     "sections[0].content.units"},
	    {POC("'persons':[{'id':'p','names':[{'lang':'en','text':'A'}]},{'id':'p','names':[{'lang':'en','text':'B'}]"
		 "}]"),
	     "pocs[0].sections[0].content.persons[1].id"},
	    {"{'place':'BR','pocs':[{'id':'a','kind':'technical'}]}", "pocs[0].sections"},
	    {POC("'names':[{'lang':'ru','text':'\\u0411'}]"), "pocs[0].sections[0].content.names"},
	    {POC("'descriptions':[{'lang':'ru','text':'\\u0411'}]"), "pocs[0].sections[0].content.descriptions"},
	    {POC("'constituency':{'descriptions':[{'lang':'ru','text':'\\u0411'}]}"),
	     "pocs[0].sections[0].content.constituency.descriptions"},
	    {POC("'constituency':{'domains':['br','xn--p1ai','BR']}"),
	     "pocs[0].sections[0].content.constituency.domains"},
	    {POC("'constituency':{'domains':['xn--p1ai','gov.br','b2']}"),
	     "pocs[0].sections[0].content.constituency.domains"},
	    {POC("'constituency':{'domains':['br','br.']}"), "pocs[0].sections[0].content.constituency.domains"},
	    {POC("'persons':[{'id':'p','names':[{'lang':'ru','text':'\\u0411'}]}]"),
	     "pocs[0].sections[0].content.persons[0].names"},
	    {"{'place':'BR','pocs':[{'id':'a','kind':'coordinator'}]}", "pocs[0].kind"},
	    {POC("'channels':[{'id':'p','type':'phone','value':'123'}]"),
	     "pocs[0].sections[0].content.channels[0].value"},
	    {"{'place':'BR','pocs':[{'id':'a','kind':'technical','sections':[{'name':'b','content':{}},"
	     "{'name':'b','content':{}}]}]}",
	     "pocs[0].sections[1].name"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct draft *draft = read_draft(rows[i].text);
		struct refusal why = {0};
		assert_int_equal(draft_check(draft, &why), STATUS_INVALID);
		if (strcmp(why.field, rows[i].field) != 0)
			fail_msg("%s: %s", rows[i].text, why.field);
		draft_destroy(draft);
	}
}

#define MAIL "'id':'e','type':'email','value':'a@b.example'"

/* What the rules allow and nobody could use. */
static void test_check_use(void **state)
{
	static const struct {
		const char *text, *field; /* NULL: good */
	} rows[] = {
	    {POC("'names':[{'lang':'en','text':'a'}]"), "pocs[0].channels"},
	    {POC("'channels':[{" MAIL "}]"), NULL},
	    {POC("'websites':['https://a.example']"), NULL},
	    {POC("'persons':[{'id':'p','names':[{'lang':'en','text':'A'}],'channels':[{" MAIL "}]}]"), NULL},
	    {"{'place':'BR','pocs':[{'id':'a','kind':'technical','sections':[{'name':'b','content':{}},{'name':'c',"
	     "'digest':'0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef','content':null}]}]}",
	     NULL},
	    {POC("'channels':[{" MAIL "}],'hours':{'zone':'Europe/Paris','always':true}"), NULL},
	    {POC("'channels':[{" MAIL "}],'hours':{'zone':'Europe/Brazil','always':true}"),
	     "pocs[0].sections[0].content.hours.zone"},
	    {POC("'channels':[{" MAIL ",'hours':{'zone':'Mars/Base','always':true}}]"),
	     "pocs[0].sections[0].content.channels[0].hours.zone"},
	    {POC("'persons':[{'id':'p','names':[{'lang':'en','text':'A'}],'channels':[{" MAIL
		 ",'hours':{'zone':'Mars/Base','always':true}}]}]"),
	     "pocs[0].sections[0].content.persons[0].channels[0].hours.zone"},
	    {POC("'channels':[{" MAIL "}],'languages':['en','pt-BR','fil','zh-Hant']"), NULL},
	    {POC("'channels':[{" MAIL "}],'languages':['en','english']"), "pocs[0].sections[0].content.languages[1]"},
	    {POC("'channels':[{" MAIL "}],'names':[{'lang':'french','text':'a'}]"),
	     "pocs[0].sections[0].content.names[0].lang"},
	    {POC("'persons':[{'id':'p','names':[{'lang':'en','text':'A'}],'languages':['german'],'channels':[{" MAIL
		 "}]}]"),
	     "pocs[0].sections[0].content.persons[0].languages[0]"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct draft *draft = read_draft(rows[i].text);
		struct refusal why = {0};
		if (draft_check(draft, &why) != 0)
			fail_msg("%s: %s", rows[i].text, why.field);
		assert_int_equal(draft_check_use(draft, &why), rows[i].field ? STATUS_INVALID : 0);
		if (strcmp(why.field, rows[i].field ? rows[i].field : "") != 0)
			fail_msg("%s: %s", rows[i].text, why.field);
		draft_destroy(draft);
	}
}

struct built {
	Poc__Record *record;
	struct draft_sections sections;
	ProtobufCBinaryData bytes[8];
};

static void build(const struct draft *draft, const struct built *prev, int64_t now, struct built *out)
{
	const struct hash directory = hash_of("directory", 9), value = hash_of("prev", 4);
	struct refusal why = {0};
	if (draft_build(draft, &directory, prev ? 2 : 1, prev ? &value : NULL, prev ? prev->record : NULL,
			prev ? prev->bytes : NULL, prev ? prev->sections.n : 0, now, &out->record, &out->sections,
			&why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	for (size_t i = 0; i < out->sections.n; i++)
		out->bytes[i] = (ProtobufCBinaryData){out->sections.items[i].size, out->sections.items[i].bytes};
}

static void built_finish(struct built *built)
{
	message_free(built->record);
	draft_sections_free(&built->sections);
}

static void test_build(void **state)
{
	struct draft *draft = read_draft(full), *again;
	struct built first, second, third;
	struct refusal why = {0};
	(void)state;
	build(draft, NULL, NOW, &first);
	assert_int_equal(first.sections.n, 4);
	assert_string_equal(first.record->head->name, "R/BR");
	assert_int_equal(first.record->issued, NOW);
	assert_int_equal(record_check(first.record, &why), 0);
	/* Said again, nothing changes but the confirmation. */
	assert_int_equal(draft_from_record(first.record, first.bytes, 4, &again, &why), 0);
	build(again, &first, NOW + 1000, &second);
	assert_int_equal(second.record->issued, NOW);
	assert_int_equal(second.record->confirmed, NOW + 1000);
	assert_int_equal(second.record->expires - second.record->confirmed,
			 first.record->expires - first.record->confirmed);
	for (size_t i = 0; i < 4; i++)
		assert_memory_equal(first.bytes[i].data, second.bytes[i].data, first.bytes[i].len);
	/* One changed section has new bytes and a new salt, the others keep theirs. */
	again->pocs[0].sections[0].content->channels[0]->out_of_hours = 0;
	build(again, &first, NOW + 2000, &third);
	assert_int_equal(third.record->issued, NOW + 2000);
	assert_memory_not_equal(third.record->pocs[0]->sections[0]->digest.data,
				first.record->pocs[0]->sections[0]->digest.data, 32);
	assert_memory_equal(third.record->pocs[0]->sections[1]->digest.data,
			    first.record->pocs[0]->sections[1]->digest.data, 32);
	built_finish(&third);
	/* A digest that is given is that of the current record, or is refused. */
	const struct hash directory = hash_of("directory", 9);
	for (int at = 0; at < 2; at++) {
		struct draft_section *section = at == 0 ? &again->pocs[0].sections[0] : &again->sections[0];
		section->digest.bytes[0] ^= 1;
		assert_int_equal(draft_build(again, &directory, 2, &directory, first.record, first.bytes, 4, NOW + 2000,
					     &third.record, &third.sections, &why),
				 STATUS_INVALID);
		assert_string_equal(why.field, at == 0 ? "pocs[0].sections[0].digest" : "sections[0].digest");
		section->digest.bytes[0] ^= 1;
	}
	again->pocs[0].sections[0].digest.bytes[0] ^= 1;
	draft_forget_digests(again);
	build(again, &first, NOW + 2000, &third);
	built_finish(&first);
	built_finish(&second);
	built_finish(&third);
	draft_destroy(draft);
	draft_destroy(again);
}

/* A section that is not at hand stays as it is; it cannot be invented. */
static void test_withheld(void **state)
{
	struct draft *draft = read_draft(full), *partial;
	const struct hash directory = hash_of("directory", 9);
	struct built first, second;
	struct refusal why = {0};
	(void)state;
	build(draft, NULL, NOW, &first);
	assert_int_equal(draft_from_record(first.record, first.bytes, 1, &partial, &why), 0);
	assert_non_null(partial->pocs[0].sections[0].content);
	assert_null(partial->pocs[0].sections[1].content);
	json_t *json = draft_to_json(partial);
	draft_destroy(partial);
	assert_int_equal(draft_from_json(json, &partial, &why), 0);
	json_decref(json);
	build(partial, &first, NOW + 5, &second);
	assert_int_equal(second.sections.n, 1);
	assert_memory_equal(second.record->pocs[0]->sections[1]->digest.data,
			    first.record->pocs[0]->sections[1]->digest.data, 32);
	built_finish(&second);
	partial->pocs[0].sections[1].digest.bytes[0] ^= 1;
	assert_int_equal(draft_build(partial, &directory, 2, &directory, first.record, first.bytes, 4, NOW + 5,
				     &second.record, &second.sections, &why),
			 STATUS_INVALID);
	assert_null(second.record);
	built_finish(&first);
	draft_destroy(draft);
	draft_destroy(partial);
}

/* What a draft was made from goes with it. */
static void test_base(void **state)
{
	struct draft *draft = read_draft("{'place':'BR','expires':'2027-01-01T00:00:00Z','based_on':{'seq':7,'value':"
					 "'0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}}");
	struct draft *none = read_draft("{'place':'BR'}"), *first = read_draft("{'place':'BR','based_on':{'seq':0}}");
	struct hash value;
	(void)state;
	hash_from_hex("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", &value);
	assert_true(draft->base.known && draft->base.seq == 7 && hash_compare(&draft->base.value, &value) == 0);
	assert_false(none->base.known);
	assert_true(first->base.known && first->base.seq == 0);
	json_t *json = draft_to_json(draft), *json_none = draft_to_json(none), *json_first = draft_to_json(first);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "based_on"), "seq")), 7);
	assert_null(json_object_get(json_none, "based_on"));
	assert_int_equal(json_object_size(json_object_get(json_first, "based_on")), 1);
	draft_forget_base(draft); /* and its expiry */
	assert_false(draft->base.known);
	assert_int_equal(draft->expires, 0);
	json_decref(json);
	json_decref(json_none);
	json_decref(json_first);
	draft_destroy(draft);
	draft_destroy(none);
	draft_destroy(first);
}

static void test_times(void **state)
{
	char text[32];
	int64_t seconds;
	(void)state;
	time_to_text(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00Z");
	assert_int_equal(time_from_text("2026-11-24T12:34:56Z", &seconds), 0);
	time_to_text(seconds, text);
	assert_string_equal(text, "2026-11-24T12:34:56Z");
	assert_int_equal(time_from_text("2038-01-19T03:14:08Z", &seconds), 0);
	assert_int_equal(seconds, INT64_C(2147483648));
	assert_int_equal(time_from_text("1969-12-31T23:59:59Z", &seconds), -1);
	assert_int_equal(time_from_text("2026-11-24T24:00:00Z", &seconds), -1);
	assert_int_equal(time_from_text("2026-11-24T12:34:56Z ", &seconds), -1);
	assert_int_equal(time_from_text("2026-11-24 12:34:56Z", &seconds), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round), cmocka_unit_test(test_lookup_document), cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_check), cmocka_unit_test(test_build),           cmocka_unit_test(test_withheld),
	    cmocka_unit_test(test_base),  cmocka_unit_test(test_check_use),       cmocka_unit_test(test_times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
