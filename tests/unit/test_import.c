#include "tests/lib/unit.h"

#include "clients/cli/channel.h"
#include "clients/cli/import.h"
#include "clients/cli/import_value.h"
#include "clients/cli/table.h"
#include "proto/wire/utf8.h"

enum { ROWS_MAX = 200 };

struct seen {
	size_t n;
	struct {
		size_t line;
		enum import_outcome outcome;
		char places[200], team[200], reason[500];
	} rows[ROWS_MAX];
};

static struct seen seen;
static struct import_result result;

static void note_row(void *ctx, const struct import_row *row)
{
	(void)ctx;
	assert_true(seen.n < ROWS_MAX);
	seen.rows[seen.n].line = row->line;
	seen.rows[seen.n].outcome = row->outcome;
	snprintf(seen.rows[seen.n].places, sizeof seen.rows[0].places, "%s", row->places);
	snprintf(seen.rows[seen.n].team, sizeof seen.rows[0].team, "%s", row->team);
	snprintf(seen.rows[seen.n].reason, sizeof seen.rows[0].reason, "%s", row->reason);
	assert_true(utf8_valid(row->reason, strlen(row->reason))); /* or it is in no JSON */
	seen.n++;
}

static void forget(void)
{
	import_result_finish(&result);
	seen.n = 0;
}

static void run_bytes(const char *bytes, size_t size, const struct import_options *options)
{
	struct refusal why = {0};
	forget();
	if (import_run(bytes, size, "lists/list.csv", options, note_row, NULL, &result, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	for (size_t i = 0; i < result.n_drafts; i++)
		assert_int_equal(draft_check(result.drafts[i], &why), 0);
	size_t total = 0;
	for (size_t i = 0; i < IMPORT_OUTCOMES; i++)
		total += result.counts[i];
	assert_int_equal(total, seen.n);
}

static void run_text(const char *text, const struct import_options *options)
{
	run_bytes(text, strlen(text), options);
}

static void run_file(const char *name, const struct import_options *options)
{
	static char bytes[200000];
	char path[500];
	snprintf(path, sizeof path, "%s/contacts/%s", TEST_DATA, name);
	FILE *file = fopen(path, "rb");
	assert_non_null(file);
	const size_t size = fread(bytes, 1, sizeof bytes, file);
	fclose(file);
	run_bytes(bytes, size, options);
}

static const struct draft *draft_of(const char *name)
{
	for (size_t i = 0; i < result.n_drafts; i++)
		if (strcmp(result.drafts[i]->name.text, name) == 0)
			return result.drafts[i];
	return NULL;
}

static const Poc__Content *content_of(const char *name, size_t poc)
{
	const struct draft *draft = draft_of(name);
	assert_non_null(draft);
	assert_true(poc < draft->n_pocs);
	return draft->pocs[poc].sections[0].content;
}

static const Poc__Channel *channel_of(const Poc__Content *content, const char *id)
{
	for (size_t i = 0; i < content->n_channels; i++)
		if (strcmp(content->channels[i]->id, id) == 0)
			return content->channels[i];
	fail_msg("no channel %s", id);
	return NULL;
}

static void assert_row(size_t line, enum import_outcome outcome, const char *places, const char *reason)
{
	for (size_t i = 0; i < seen.n; i++) {
		if (seen.rows[i].line != line)
			continue;
		assert_string_equal(import_outcome_name(seen.rows[i].outcome), import_outcome_name(outcome));
		assert_string_equal(seen.rows[i].places, places);
		if (!strstr(seen.rows[i].reason, reason))
			fail_msg("line %zu: \"%s\" lacks \"%s\"", line, seen.rows[i].reason, reason);
		return;
	}
	fail_msg("no row at line %zu", line);
}

static const struct import_options none;

/* The words that a list has for phone and mailbox come out as the known ones. */
static void assert_known_types(void)
{
	json_t *remarks = json_array();

	for (size_t i = 0; i < result.n_drafts; i++)
		channel_remarks(result.drafts[i], remarks);
	assert_int_equal(json_array_size(remarks), 0);
	json_decref(remarks);
}

/* ---- The five lists -----------------------------------------------------------------------------------------------
 */

static void test_national_teams(void **state)
{
	static const char states[] = "AE AT BD BG BO BY CH CL CO CZ DO EC EE EG ES FR GB GE GH GR HU IR JO KE KG LK LT "
				     "LU LV MA MO MU MX NG NO PE "
				     "PG PL PT PY RO RS RU SG TJ TO US UY UZ";
	char name[8];
	(void)state;
	run_file("national_teams.csv", &none);
	assert_known_types();
	assert_int_equal(seen.n, 116);
	assert_int_equal(result.n_drafts, sizeof states / 3);
	for (const char *code = states; code < states + sizeof states; code += 3) {
		snprintf(name, sizeof name, "R/%.2s", code);
		assert_non_null(draft_of(name));
	}
	assert_row(43, IMPORT_SKIPPED, "", "\"EU\" is no state's code");
	assert_row(5, IMPORT_IMPORTED, "AT", "");
	assert_row(6, IMPORT_MERGED, "AT", "");
	assert_row(7, IMPORT_MERGED, "AT", "");
	assert_row(2, IMPORT_INCOMPLETE, "AE", "no name");
	assert_row(3, IMPORT_INCOMPLETE, "AE", "no mailbox");
	assert_row(115, IMPORT_CONFLICT, "US", "website differs");
	/* One team under three spellings, its name the proper one. */
	assert_int_equal(draft_of("R/AT")->n_pocs, 1);
	const Poc__Content *austria = content_of("R/AT", 0);
	assert_string_equal(austria->names[0]->text, "CERT.at / GovCERT Austria");
	assert_string_equal(channel_of(austria, "email")->value, "reports@cert.at");
	assert_string_equal(channel_of(austria, "email")->source, "list-nis2-2026");
	assert_string_equal(channel_of(austria, "email")->source_date, "2026");
	assert_int_equal(austria->n_websites, 1);
	assert_int_equal(austria->n_sources, 3);
	assert_int_equal(draft_of("R/AT")->pocs[0].sections[0].tlp, POC__TLP__TLP_CLEAR);
}

/* Of differing mailboxes the newest stands first. */
static void test_newest_first(void **state)
{
	(void)state;
	run_file("national_teams.csv", &none);
	const struct draft *britain = draft_of("R/GB");
	const Poc__Content *ncsc = NULL;
	for (size_t i = 0; i < britain->n_pocs; i++)
		if (strcmp(britain->pocs[i].id, "ncsc") == 0)
			ncsc = britain->pocs[i].sections[0].content;
	assert_non_null(ncsc);
	assert_string_equal(channel_of(ncsc, "email")->value, "enquiries@ncsc.gov.uk");
	assert_string_equal(channel_of(ncsc, "email-2")->value, "incidents@ncsc.gov.uk");
	assert_string_equal(channel_of(ncsc, "phone")->value, "+443001232040");
	assert_row(50, IMPORT_CONFLICT, "GB", "mailbox differs: incidents@ncsc.gov.uk, line 49 has ");
}

static void test_european_teams(void **state)
{
	(void)state;
	run_file("european_teams_2012.csv", &none);
	assert_int_equal(seen.n, 98);
	assert_int_equal(result.n_ignored, 2);
	assert_row(4, IMPORT_SKIPPED, "", "retired since 2010-07-22");
	assert_row(19, IMPORT_SKIPPED, "", "\"EU\"");
	assert_row(24, IMPORT_IMPORTED, "FR, CA, SG", "");
	assert_row(47, IMPORT_IMPORTED, "GB", "\"00\" is no state's code");
	assert_row(48, IMPORT_IMPORTED, "LV", "kept: its state has no other team");
	assert_row(52, IMPORT_SKIPPED, "", "\"01\"");
	assert_row(68, IMPORT_IMPORTED, "IE, IT", "");
	assert_non_null(draft_of("R/CA"));
	const Poc__Content *active24 = content_of("R/CZ", 0);
	assert_string_equal(active24->hours->zone, "Europe/Prague");
	assert_int_equal(active24->hours->n_weekly, 5);
	assert_int_equal(active24->hours->weekly[4]->day, 5);
	assert_int_equal(active24->hours->weekly[4]->open, 480);
	assert_int_equal(active24->constituency->asns[0], 25234);
	assert_string_equal(active24->pgp_keys[0]->fingerprint, "6E7DFC01");
	assert_string_equal(active24->established, "2012-01-19");
}

static void test_certopedia(void **state)
{
	(void)state;
	run_file("certopedia.json", &none);
	assert_known_types();
	assert_int_equal(seen.n, 11);
	assert_int_equal(result.n_drafts, 11);
	assert_row(2, IMPORT_IMPORTED, "BR", "\"N/A (Email only)\" is no telephone number");
	assert_row(3, IMPORT_IMPORTED, "CA", "kept as text");
	assert_row(8, IMPORT_IMPORTED, "SG", "holds a mailbox");
	assert_string_equal(channel_of(content_of("R/CA", 0), "telephone")->value, "1-833-CYBER-88");
	assert_string_equal(channel_of(content_of("R/US", 0), "phone")->value, "+18882820870");
	const Poc__Content *france = content_of("R/FR", 0);
	assert_string_equal(france->pgp_keys[0]->fingerprint, "7F4C8FA6A356D1CC2E5CAB09541633B81B45CF2A");
	assert_int_equal(france->n_pgp_keys, 1);
	assert_int_equal(content_of("R/SG", 0)->n_channels, 2);
}

static void test_global_irt(void **state)
{
	(void)state;
	run_file("first_global_irt_team.json", &none);
	assert_int_equal(seen.n, 1);
	const Poc__Content *circl = content_of("R/LU", 0);
	assert_string_equal(circl->names[0]->text, "CIRCL");
	assert_int_equal(circl->hours->n_weekly, 6);
	assert_int_equal(circl->hours->weekly[1]->open, 14 * 60);
	assert_int_equal(circl->n_languages, 4);
	assert_string_equal(circl->languages[1], "fr");
	assert_string_equal(circl->pgp_keys[0]->fingerprint, "CA572205C0024E06BA70BE89EAADCFFC22BD4CD5");
	assert_string_equal(circl->sources[0]->name, "FIRST.Org");
	assert_string_equal(circl->sources[0]->date, "2015-06-03");
	assert_int_equal(circl->n_addresses, 1);
}

static void test_french_regions(void **state)
{
	const struct import_options france = {.state = "FR", .source = "CSIRT-REGIONS-FRANCE", .source_date = "2024"};
	(void)state;
	run_file("csirt_regions_france.csv", &none);
	assert_int_equal(result.counts[IMPORT_SKIPPED], 15);
	assert_int_equal(result.n_drafts, 0);
	run_file("csirt_regions_france.csv", &france);
	assert_int_equal(seen.n, 15);
	assert_int_equal(result.counts[IMPORT_SKIPPED], 0);
	assert_int_equal(result.n_drafts, 15);
	assert_row(8, IMPORT_INCOMPLETE, "FR/centre-val-de-loire", "no mailbox");
	assert_row(11, IMPORT_IMPORTED, "FR/bretagne", "");
	assert_row(17, IMPORT_IMPORTED, "FR/la-reunion", "");
	assert_string_equal(channel_of(content_of("R/FR/bretagne", 0), "phone")->value, "+33800200008");
	assert_string_equal(channel_of(content_of("R/FR/polynesie-francaise", 0), "email")->value, "csirt@terama.fr");
	assert_string_equal(channel_of(content_of("R/FR/bretagne", 0), "email")->source_date, "2024");
}

/* ---- Other lists --------------------------------------------------------------------------------------------------
 */

static void test_formats(void **state)
{
	const char *const maps[] = {"Wer=team", "Post fach=mailbox"};
	const struct import_options mapped = {.maps = maps, .n_maps = 2}, latin = {.charset = "ISO-8859-1"};
	(void)state;
	run_text("\xef\xbb\xbf"
		 "country;team;mailbox\r\nBrasil;\"CERT;br\";cert@cert.br\r\n;;\r\n\r\nUK;NCSC;a@b.uk",
		 &none);
	assert_int_equal(seen.n, 2);
	assert_row(2, IMPORT_IMPORTED, "BR", "");
	assert_row(5, IMPORT_IMPORTED, "GB", "");
	assert_string_equal(content_of("R/BR", 0)->names[0]->text, "CERT;br");
	run_text("country\tteam\tmailbox\nEL\t\"a \"\"b\"\"\n c\"\tx@y.gr\nFRA\tz\tz@z.fr\n", &none);
	assert_row(2, IMPORT_IMPORTED, "GR", "");
	assert_row(4, IMPORT_IMPORTED, "FR", "");
	assert_string_equal(content_of("R/GR", 0)->names[0]->text, "a \"b\" c");
	run_text("Land,Wer,Post fach\n\xd0\xa0\xd0\xbe\xd1\x81\xd1\x81\xd0\xb8\xd1\x8f,A,a@a.ru\n", &mapped);
	assert_row(2, IMPORT_IMPORTED, "RU", "");
	run_text("country,team,mailbox\nC\xf4te d'Ivoire,\xc9quipe,a@b.ci\n", &latin);
	assert_row(2, IMPORT_IMPORTED, "CI", "");
	assert_string_equal(content_of("R/CI", 0)->names[0]->text, "\xc3\x89quipe");
	static const char utf16[] = "\xff\xfe"
				    "t\0e\0a\0m\0,\0c\0c\0,\0w\0e\0b\0\n\0A\0,\0X\0A\0,\0a\0.\0b\0c\0\n";
	run_bytes(utf16, sizeof utf16, &none);
	assert_row(2, IMPORT_INCOMPLETE, "XA", "no mailbox");
	assert_string_equal(content_of("R/XA", 0)->websites[0], "http://a.bc");
}

static void refused(const char *text, size_t size, const struct import_options *options, int status, const char *field)
{
	struct refusal why = {0};
	struct import_result out;
	assert_int_equal(import_run(text, size, "x", options, NULL, NULL, &out, &why), status);
	assert_string_equal(why.field, field);
	assert_int_equal(out.n_drafts, 0);
}

static void test_refused(void **state)
{
	const char *const maps[] = {"team"}, *const unknown[] = {"team=colour"}, *const missing[] = {"x=team"};
	const struct import_options no_equals = {.maps = maps, .n_maps = 1}, no_field = {.maps = unknown, .n_maps = 1},
				    no_header = {.maps = missing, .n_maps = 1}, charset = {.charset = "KLINGON"};
	(void)state;
	refused("", 0, &none, STATUS_INVALID, "line 1");
	refused("a,b\n1,2\n", 8, &none, STATUS_INVALID, "line 1");
	refused("team,cc\n\"x,BR\n", 14, &none, STATUS_INVALID, "line 2");
	refused("team\n\xff\n", 7, &none, STATUS_INVALID, "charset");
	refused("team\na\0b\n", 9, &none, STATUS_INVALID, "charset");
	refused("team\n", 5, &charset, STATUS_INVALID, "charset");
	refused("[{]", 3, &none, STATUS_INVALID, "");
	refused("[1]", 3, &none, STATUS_INVALID, "");
	refused("team,cc\n", 8, &no_equals, STATUS_USAGE, "map");
	refused("team,cc\n", 8, &no_field, STATUS_USAGE, "map");
	refused("team,cc\n", 8, &no_header, STATUS_USAGE, "map");
}

/* More teams than a record holds: the rest become units that the record lists. */
static void test_many_teams(void **state)
{
	char text[8000] = "cc,team,mailbox,sector\n";
	struct name name;
	(void)state;
	for (int i = 0; i < 20; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "XA,Team %02d,t%d@a.example,%s\n", i, i,
			 i == 19 ? "National" : "");
	run_text(text, &none);
	assert_int_equal(result.n_drafts, 5);
	assert_int_equal(draft_of("R/XA")->n_pocs, 16);
	assert_string_equal(draft_of("R/XA")->pocs[0].id, "team-19");
	assert_row(21, IMPORT_IMPORTED, "XA", "");
	assert_row(20, IMPORT_IMPORTED, "XA/team-18", "");
	const struct draft_section *units = &draft_of("R/XA")->sections[0];
	assert_string_equal(units->name, "units");
	assert_int_equal(units->content->n_units, 4);
	assert_true(name_parse("R/XA/team-15", &name));
	assert_string_equal(units->content->units[0], "team-15");
}

/* A list beyond all measure: told row by row, in bounded time. */
static void test_too_many_teams(void **state)
{
	enum { TEAMS = 3000 };
	static char text[TEAMS * 40];
	struct refusal why;
	struct import_result many;
	size_t used = (size_t)snprintf(text, sizeof text, "cc,team,mailbox\n");
	(void)state;
	for (int i = 0; i < TEAMS; i++)
		used += (size_t)snprintf(text + used, sizeof text - used, "XA,T%d,t%d@a.example\n", i, i);
	assert_int_equal(import_run(text, used, "x", &none, NULL, NULL, &many, &why), 0);
	assert_int_equal(many.counts[IMPORT_IMPORTED], 1016);
	assert_int_equal(many.counts[IMPORT_SKIPPED], TEAMS - 1016);
	assert_int_equal(many.n_drafts, 1001);
	import_result_finish(&many);
}

static void test_no_channel(void **state)
{
	(void)state;
	run_text("cc,team,phone\nXA,Only name,\nXA,,+41 44 1234567\nXB,,\n", &none);
	assert_row(2, IMPORT_INCOMPLETE, "XA", "no channel");
	assert_row(3, IMPORT_SKIPPED, "", "neither name, mailbox nor web site");
}

/* Text that wants to harm: nothing of it breaks a draft's rules (run_bytes checks them all). */
static void test_naughty(void **state)
{
	static char text[300000], line[2000];
	char path[500];
	size_t used = (size_t)snprintf(text, sizeof text, "cc\tteam\tphone\twebsite\tdescription\n"), n = 0;
	(void)state;
	snprintf(path, sizeof path, "%s/hostile/naughty_strings.txt", TEST_DATA);
	FILE *file = fopen(path, "rb");
	assert_non_null(file);
	while (n < 150 && fgets(line, sizeof line, file)) {
		line[strcspn(line, "\n")] = '\0';
		if (!line[0] || line[0] == '#' || strpbrk(line, "\t\""))
			continue;
		used +=
		    (size_t)snprintf(text + used, sizeof text - used, "XA\t%s\t%s\t%s\t%s\n", line, line, line, line);
		n++;
	}
	fclose(file);
	run_text(text, &none);
	assert_int_equal(seen.n, n);
}

/* ---- Values -------------------------------------------------------------------------------------------------------
 */

static void test_phones(void **state)
{
	static const struct {
		const char *text, *country, *number;
	} rows[] = {
	    {"+33 9 70 83 32 18", "FR", "+33970833218"},
	    {"0 805 036 083", "FR", "+33805036083"},
	    {"+44 (0)20 7946 0000", "GB", "+442079460000"},
	    {"0044 20 7946 0000", NULL, "+442079460000"},
	    {"+(686) 40 455 200", "PF", "+68640455200"},
	    {"1-888-282-0870", "US", "+18882820870"},
	    {"33147346861", "FR", "+33147346861"},
	    {"02 503 16362", "IT", NULL},
	    {"1-833-CYBER-88", "CA", NULL},
	    {"112", "FR", NULL},
	    {"888 282 0870", "US", NULL},
	    {"+", "FR", NULL},
	    {"", "FR", NULL},
	    {"+1234567890123456", NULL, NULL},
	    {"0123456789", NULL, NULL},
	    {"+49 89 1\n+49 89 2", "DE", NULL},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char out[20] = "";
		const struct country *country = rows[i].country ? country_by_code(rows[i].country) : NULL;
		assert_int_equal(value_phone(rows[i].text, country, out), rows[i].number != NULL);
		if (rows[i].number)
			assert_string_equal(out, rows[i].number);
	}
}

static void test_values(void **state)
{
	char out[VALUE_MAX], slug[41], date[11];
	const char *cell = "a. - b\n\n c . - ";
	(void)state;
	assert_true(value_next(&cell, out, sizeof out) && strcmp(out, "a") == 0);
	assert_true(value_next(&cell, out, sizeof out) && strcmp(out, "b") == 0);
	assert_true(value_next(&cell, out, sizeof out) && strcmp(out, "c") == 0);
	assert_false(value_next(&cell, out, sizeof out));
	assert_true(value_mailbox("mailto:A.b@EXAMPLE.org", out));
	assert_string_equal(out, "A.b@example.org");
	assert_false(value_mailbox("a b@example.org", out));
	value_host("https://WWW.Example.org:8443/x", out);
	assert_string_equal(out, "example.org");
	value_host("https://github.com/govcert-ch/CTI", out);
	assert_string_equal(out, "github.com/govcert-ch");
	assert_true(value_same_url("http://www.a.b/c/", "https://a.b/c"));
	assert_false(value_same_url("http://a.b/c", "http://a.b/d"));
	assert_false(value_url("javascript:alert(1)", out));
	assert_false(value_url("a@b.org", out));
	value_slug("Provence Alpes C\xc3\xb4tes d'Azur", slug);
	assert_string_equal(slug, "provence-alpes-cotes-dazur");
	value_slug("\xd0\xa0\xd0\xa4", slug);
	assert_string_equal(slug, "x");
	value_slug("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbb", slug);
	assert_int_equal(strlen(slug), 40);
	assert_true(value_date("1269537227", date) && strcmp(date, "2010-03-25") == 0);
	assert_true(value_date("2015-06-03T14:05:27+00:00", date) && strcmp(date, "2015-06-03") == 0);
	assert_true(value_date("2026", date));
	assert_false(value_date("2026-02-30", date));
	assert_false(value_date("soon", date));
	char *text = value_text("  a\t\n b\xe2\x80\xae"
				"c\x07",
				10);
	assert_string_equal(text, "a bc");
	free(text);
	text = value_text("abcdefghij", 5);
	assert_string_equal(text, "abcd\xe2\x80\xa6");
	free(text);
	assert_null(value_text(" \n", 5));
}

static void test_hours(void **state)
{
	static const struct {
		const char *text, *country;
		bool known, exact;
	} rows[] = {
	    {"09:00 to 17:00 Monday to Friday. - Timezone GMT: +00. - Timezone GMT with DST: +01", "GB", true, true},
	    {"09:00 to 17:00 Monday to Friday. - Timezone GMT: +01. - Timezone GMT with DST: +02", "GB", false, false},
	    {"08.00 to 18.00 Monday - Sunday", "NL", true, true},
	    {"24/7. - Timezone GMT: +01", "FR", true, true},
	    {"09:00 to 16:00 Monday to Friday except public holidays", "HR", true, false},
	    {"08:00 to 17:00 Monday to Thursday. - 08:00 to 15:45 Friday", "FI", true, true},
	    {"08:00 to 17:00 Monday to Thursday. - 08:00 to 15:45 Thursday", "FI", false, false},
	    {"9-5 or so", "FI", false, false},
	    {"17:00 to 08:00 Monday to Friday", "FI", false, false},
	    {"09:00 to 17:00 Monday to Friday", "US", false, false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		bool exact;
		json_t *hours = value_hours(rows[i].text, country_by_code(rows[i].country), &exact);
		if ((hours != NULL) != rows[i].known || (hours && exact != rows[i].exact))
			fail_msg("%s", rows[i].text);
		json_decref(hours);
	}
}

static void test_countries(void **state)
{
	static const struct {
		const char *text, *code;
	} rows[] = {{"br", "BR"},
		    {"BRA", "BR"},
		    {"Brazil", "BR"},
		    {"Br\xc3\xa9sil (le)", "BR"},
		    {"\xd0\x91\xd1\x80\xd0\xb0\xd0\xb7\xd0\xb8\xd0\xbb\xd0\xb8\xd1\x8f", "BR"},
		    {"\xe5\xb7\xb4\xe8\xa5\xbf", "BR"},
		    {"\xd8\xa7\xd9\x84\xd8\xa8\xd8\xb1\xd8\xa7\xd8\xb2\xd9\x8a\xd9\x84", "BR"},
		    {"United States", "US"},
		    {"the United States of America", "US"},
		    {"South Korea", "KR"},
		    {"uk", "GB"},
		    {"EL", "GR"},
		    {"cote d ivoire", "CI"},
		    {"T\xc3\xbcrkiye", "TR"},
		    {"Etats-Unis", "US"},
		    {"Korea", NULL}, /* of two states */
		    {"CONGO", NULL},
		    {"Cor\xc3\xa9"
		     "e",
		     NULL},
		    {"Republic of Korea", "KR"},
		    {"North Korea", "KP"},
		    {"Congo-Brazzaville", "CG"},
		    {"Saint-Martin", NULL},
		    {"Guinea", "GN"},
		    {"EU", NULL},
		    {"00", NULL},
		    {"", NULL},
		    {"Atlantis", NULL},
		    {"\xff", NULL}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const struct country *country = country_find(rows[i].text);
		if (!country != !rows[i].code || (country && strcmp(country->code, rows[i].code) != 0))
			fail_msg("%s: %s", rows[i].text, country ? country->code : "unknown");
	}
	assert_null(country_by_code("br"));
	assert_string_equal(country_by_code("BR")->name, "Brazil");
}

/* Remarks quote what may be cut within a character. */
static void test_cut_quotations(void **state)
{
	char text[2000];

	(void)state;
	for (int n = 0; n < 4; n++) {
		const char *const wide = "\xe4\xb8\x80\xe4\xba\x8c\xe4\xb8\x89\xe5\x9b\x9b\xe4\xba\x94";
		snprintf(
		    text, sizeof text,
		    "country,team,phone,website\n%.*s%s%s%s%s%s,X,,\nBR,Y,%.*s%s%s%s%s%s%s%s%s1,%.*s%s%s%s%s%s%s%s%s\n",
		    n, "aaa", wide, wide, wide, wide, wide, n, "bbb", wide, wide, wide, wide, wide, wide, wide, wide, n,
		    "ccc", wide, wide, wide, wide, wide, wide, wide, wide);
		run_text(text, &none);
		assert_int_equal(seen.n, 2);
		assert_non_null(strstr(seen.rows[1].reason, "kept as text"));
	}
}

static int finish(void **state)
{
	(void)state;
	forget();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_national_teams), cmocka_unit_test(test_newest_first),
	    cmocka_unit_test(test_european_teams), cmocka_unit_test(test_certopedia),
	    cmocka_unit_test(test_global_irt),     cmocka_unit_test(test_french_regions),
	    cmocka_unit_test(test_formats),        cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_many_teams),     cmocka_unit_test(test_no_channel),
	    cmocka_unit_test(test_too_many_teams), cmocka_unit_test(test_naughty),
	    cmocka_unit_test(test_phones),         cmocka_unit_test(test_values),
	    cmocka_unit_test(test_hours),          cmocka_unit_test(test_countries),
	    cmocka_unit_test(test_cut_quotations),
	};
	return cmocka_run_group_tests(tests, NULL, finish);
}
