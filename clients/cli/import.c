#include "clients/cli/import.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clients/cli/import_value.h"
#include "clients/cli/table.h"
#include "clients/libpoc/content.h"
#include "proto/rules/rules.h"
#include "proto/wire/prescan.h"
#include "proto/wire/utf8.h"

enum {
	STATES_A_ROW = 8,
	UNITS_A_STATE = 1000, /* so that the section "units" holds their names */
	VALUES_A_KIND = 12,
	REASON_MAX = 400,
	DAILY_CELLS = 7 * 2 * 2,
	LINE_POINTS = 190,
	TEXT_POINTS = 600,
	/* What a record's sections may take together, less what surrounds the contents. */
	CONTENTS_MAX = SECTIONS_TOTAL_MAX - RECORD_POCS_MAX * 256
};

/* ---- Fields and their headers -------------------------------------------------------------------------------------
 */

enum field {
	F_COUNTRY,
	F_TEAM,
	F_OFFICIAL,
	F_MAILBOX,
	F_PHONE,
	F_WEBSITE,
	F_PORTAL,
	F_PGP,
	F_SECTOR,
	F_SOURCE,
	F_SOURCE_DATE,
	F_NOTE,
	F_HOURS,
	F_ADDRESSES,
	F_CONSTITUENCY,
	F_DESCRIPTION,
	F_LEVEL,
	F_FIRST,
	F_ESTABLISHED,
	F_RETIRED,
	F_REGION,
	F_LANGUAGES,
	F_POSTAL,
	F_INSTITUTION,
	F_DOCUMENT,
	FIELDS
};

static const char *const field_names[FIELDS + 1] = {
    "country",      "team",        "official_name", "mailbox",     "phone",       "website", "portal",
    "pgp",          "sector",      "source",        "source_date", "note",        "hours",   "addresses",
    "constituency", "description", "level",         "first",       "established", "retired", "region",
    "languages",    "postal",      "institution",   "document",    NULL};

/* Headers as country_key_of writes them, the preferred first. */
static const char *const synonyms[FIELDS][12] = {
    [F_COUNTRY] = {"iso2", "countrycode", "countryraw", "country", "iso3", "cc", "state", "pays", "pais", "land"},
    [F_TEAM] = {"team", "shortteamname", "teamname", "name", "csirt", "cert", "equipe", "nom"},
    [F_OFFICIAL] = {"officialname", "officialteamname", "fullname"},
    [F_MAILBOX] = {"mailbox", "email", "emailaddress", "mail", "courriel", "correo"},
    [F_PHONE] = {"phone", "telephone", "telephoneraw", "phonenumbers", "numerodetelephone", "emergencycontact", "tel",
		 "telefono"},
    [F_WEBSITE] = {"website", "websiteraw", "siteweb", "web", "url", "homepage", "site"},
    [F_PORTAL] = {"portal", "reportingportal", "form"},
    [F_PGP] = {"pgp", "pgpkeyfingerprint", "fingerprint", "pgpteamraw", "enckeys", "pgpkeykeyid", "pgpkey"},
    [F_SECTOR] = {"sector", "constituencytype", "certtype", "teamtype", "secteur"},
    [F_SOURCE] = {"source", "metasourcename"},
    [F_SOURCE_DATE] = {"sourcedate", "lastchanged", "lastupdated", "lastmodified", "date"},
    [F_NOTE] = {"note", "notes", "remarks", "comment", "typeappel"},
    [F_HOURS] = {"hours", "businesshoursraw", "businesshours", "operatinghoursfreetext", "disponibilite"},
    [F_ADDRESSES] = {"internetaddressesraw", "internetaddresses", "networks"},
    [F_CONSTITUENCY] = {"constituencydescription", "constituency", "zone"},
    [F_DESCRIPTION] = {"description"},
    [F_LEVEL] = {"directorylevel"},
    [F_FIRST] = {"firstmembership", "firstmembertype"},
    [F_ESTABLISHED] = {"established", "establishment"},
    [F_RETIRED] = {"retiredepoch", "retired"},
    [F_REGION] = {"region"},
    [F_LANGUAGES] = {"languages", "language", "langues"},
    [F_POSTAL] = {"postaladdress", "address", "adresse"},
    [F_INSTITUTION] = {"host", "parentorganisation", "organisation", "organization", "institution"},
    [F_DOCUMENT] = {"rfc2350", "rfc2530"},
};

const char *import_outcome_name(enum import_outcome outcome)
{
	static const char *const names[IMPORT_OUTCOMES] = {"imported", "merged", "conflict", "incomplete", "skipped"};
	return names[outcome];
}

/* ---- What is gathered ---------------------------------------------------------------------------------------------
 */

/* One value of a team. */
struct fact {
	enum field field;
	char *text;
	char *note; /* NULL: none */
	char *source;
	char date[11];
	size_t row; /* that brought it first */
};

struct team {
	char state[3];
	const struct country *country; /* NULL: fictional */
	char *key;                     /* of its name; empty: known by mailbox or host only */
	char *name;                    /* NULL: none */
	char name_date[11];
	char unit[41]; /* empty: a POC of the state itself */
	bool national;
	size_t n_facts;
	struct fact *facts;
	json_t *content;      /* made at the end */
	size_t size;          /* of it, packed */
	const char *missing;  /* in words, NULL: complete */
	const char *left_out; /* why it is in no draft */
	size_t order;
};

struct row {
	const struct table_row *cells;
	char *name;   /* NULL: none */
	char *key;    /* of the name; NULL: none */
	bool address; /* the name is only an address */
	bool retired;
	size_t n_states;
	char states[STATES_A_ROW][3];
	size_t n_teams;
	size_t teams[STATES_A_ROW];
	bool created, conflict;
	char reason[REASON_MAX];
};

struct import {
	const struct table *table;
	const struct import_options *options;
	const char *source;
	size_t columns[FIELDS][TABLE_COLUMNS_MAX]; /* columns of a field, the preferred first */
	size_t n_columns[FIELDS];
	size_t daily[DAILY_CELLS]; /* columns of opening hours by day, open and close in turn; SIZE_MAX: none */
	bool has_daily;
	struct row *rows;
	size_t n_teams;
	struct team *teams;
	bool failed; /* out of memory somewhere; looked at once per step */
};

static char *copy_text(struct import *import, const char *text)
{
	char *copy = strdup(text);
	import->failed |= !copy;
	return copy;
}

/* The first cell of a field that holds anything; empty if none does. */
static const char *cell(const struct import *import, const struct row *row, enum field field)
{
	for (size_t i = 0; i < import->n_columns[field]; i++) {
		const char *text = row->cells->cell[import->columns[field][i]];
		if (text[strspn(text, " \t\r\n")])
			return text;
	}
	return "";
}

static void remark(struct row *row, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void remark(struct row *row, const char *format, ...)
{
	const size_t used = strlen(row->reason);
	va_list arguments;

	if (used + 4 > sizeof row->reason)
		return;
	if (used > 0)
		memcpy(row->reason + used, "; ", 3);
	va_start(arguments, format);
	vsnprintf(row->reason + strlen(row->reason), sizeof row->reason - strlen(row->reason), format, arguments);
	va_end(arguments);
	utf8_mend(row->reason); /* what it quotes is cut anywhere */
}

/* ---- Columns ------------------------------------------------------------------------------------------------------
 */

static void take_column(struct import *import, enum field field, size_t column, bool *taken)
{
	import->columns[field][import->n_columns[field]++] = column;
	taken[column] = true;
}

static int take_map(struct import *import, const char *map, char **keys, bool *taken, struct refusal *why)
{
	const char *equals = strrchr(map, '=');
	char header[200];
	enum field field = 0;

	if (!equals || (size_t)(equals - map) >= sizeof header)
		return refuse(why, STATUS_USAGE, "map", "\"%.60s\" is not HEADER=field", map);
	while (field < FIELDS && strcmp(field_names[field], equals + 1) != 0)
		field++;
	if (field == FIELDS)
		return refuse(why, STATUS_USAGE, "map", "there is no field \"%.40s\"", equals + 1);
	snprintf(header, sizeof header, "%.*s", (int)(equals - map), map);
	char *key = country_key_of(header);
	bool found = false;
	for (size_t i = 0; key && i < import->table->n_columns; i++) {
		if (taken[i] || (strcmp(import->table->headers[i], header) != 0 && strcmp(keys[i], key) != 0))
			continue;
		take_column(import, field, i, taken);
		found = true;
	}
	free(key);
	return found ? 0 : refuse(why, STATUS_USAGE, "map", "the file has no header \"%.60s\"", header);
}

static void take_synonyms(struct import *import, char **keys, bool *taken)
{
	for (size_t field = 0; field < FIELDS; field++)
		for (const char *const *name = synonyms[field]; *name; name++)
			for (size_t i = 0; i < import->table->n_columns; i++)
				if (!taken[i] && strcmp(keys[i], *name) == 0)
					take_column(import, field, i, taken);
}

/* Hours by day, as in FIRST's team record: "operating-hours": {"mon_1_open": "09:00", ...}. */
static void take_daily(struct import *import, char **keys, bool *taken)
{
	static const char *const days[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
	for (size_t i = 0; i < DAILY_CELLS; i++) {
		char key[40];
		snprintf(key, sizeof key, "operatinghours%s%zu%s", days[i / 4], i / 2 % 2 + 1,
			 i % 2 ? "close" : "open");
		import->daily[i] = SIZE_MAX;
		for (size_t j = 0; j < import->table->n_columns; j++) {
			if (taken[j] || strcmp(keys[j], key) != 0)
				continue;
			import->daily[i] = j;
			import->has_daily = taken[j] = true;
		}
	}
}

/* Headers without a field, for the result. */
static int list_ignored(const struct import *import, const bool *taken, struct import_result *out)
{
	out->ignored = calloc(import->table->n_columns + 1, sizeof *out->ignored);
	if (!out->ignored)
		return STATUS_NO_MEMORY;
	for (size_t i = 0; i < import->table->n_columns; i++) {
		if (taken[i])
			continue;
		out->ignored[out->n_ignored] = strdup(import->table->headers[i]);
		if (!out->ignored[out->n_ignored])
			return STATUS_NO_MEMORY;
		out->n_ignored++;
	}
	return 0;
}

static int map_columns(struct import *import, struct import_result *out, struct refusal *why)
{
	const size_t n = import->table->n_columns;
	char **keys = calloc(n + 1, sizeof *keys);
	bool *taken = calloc(n + 1, sizeof *taken);
	int status = keys && taken ? 0 : STATUS_NO_MEMORY;

	for (size_t i = 0; !status && i < n; i++)
		if (!(keys[i] = country_key_of(import->table->headers[i])))
			status = STATUS_NO_MEMORY;
	if (status)
		refuse(why, status, "", "out of memory");
	for (size_t i = 0; !status && i < import->options->n_maps; i++)
		status = take_map(import, import->options->maps[i], keys, taken, why);
	if (!status) {
		take_synonyms(import, keys, taken);
		take_daily(import, keys, taken);
		status = list_ignored(import, taken, out);
	}
	if (!status && import->n_columns[F_TEAM] + import->n_columns[F_MAILBOX] + import->n_columns[F_WEBSITE] == 0)
		status = refuse(why, STATUS_INVALID, "line 1",
				"no column is known as team, mailbox or website: say which with --map HEADER=field");
	for (size_t i = 0; keys && i < n; i++)
		free(keys[i]);
	free(keys);
	free(taken);
	return status;
}

/* ---- Rows: whose they are -----------------------------------------------------------------------------------------
 */

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Key of a name: of its parts between " / ", in any order.  malloc; NULL when out of memory. */
static char *name_key(const char *name)
{
	char *parts[8] = {NULL}, *copy = strdup(name), *rest = copy;
	char *out = calloc(1, 4 * strlen(name) + 32);
	size_t n = 0;

	while (copy && out && rest && n < 8) {
		char *end = n < 7 ? strstr(rest, " / ") : NULL;
		if (end)
			*end = '\0';
		parts[n] = country_key_of(rest);
		if (parts[n] && parts[n][0])
			n++;
		else
			free(parts[n]);
		rest = end ? end + 3 : NULL;
	}
	qsort(parts, n, sizeof parts[0], compare_texts);
	size_t room = 4 * strlen(name) + 32;
	for (size_t i = 0; i < n; i++) {
		const size_t used = out ? strlen(out) : 0;
		if (out && used + strlen(parts[i]) + 2 < room)
			snprintf(out + used, room - used, "%s%s", used > 0 ? "|" : "", parts[i]);
		free(parts[i]);
	}
	free(copy);
	return out;
}

/* "cert.example/team" in place of a name: one word, whose part before a slash is a domain. */
static bool is_address(const char *name)
{
	char host[VALUE_MAX];
	if (strchr(name, ' ') || strlen(name) >= sizeof host)
		return false;
	snprintf(host, sizeof host, "%.*s", (int)strcspn(name, "/"), name);
	for (char *c = host; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return domain_valid(host);
}

static bool row_has_state(const struct row *row, const char *code)
{
	for (size_t i = 0; i < row->n_states; i++)
		if (strcmp(row->states[i], code) == 0)
			return true;
	return false;
}

static void add_state(struct row *row, const char *text)
{
	const struct country *country = country_find(text);
	const char *code = country ? country->code : strlen(text) == 2 && state_is_fictional(text) ? text : NULL;

	const struct country *alike[COUNTRIES_ALIKE];

	if (!code && country_candidates(text, alike) > 1)
		remark(row, "\"%.40s\" can mean several states: %s or %s", text, alike[0]->code, alike[1]->code);
	else if (!code)
		remark(row, "\"%.40s\" is no state's code or name", text);
	else if (row->n_states == STATES_A_ROW)
		remark(row, "more than %d countries: %s left out", STATES_A_ROW, code);
	else if (!row_has_state(row, code))
		snprintf(row->states[row->n_states++], 3, "%s", code);
}

static void read_states(const struct import *import, struct row *row)
{
	const char *text = cell(import, row, F_COUNTRY);
	char value[VALUE_MAX];

	if (!text[0] && import->options->state)
		text = import->options->state;
	if (!text[0])
		remark(row, "no country: say which with --state");
	while (value_next(&text, value, sizeof value))
		add_state(row, value);
}

static void read_row(struct import *import, struct row *row)
{
	const char *level = cell(import, row, F_LEVEL);
	char date[11];

	read_states(import, row);
	row->name = value_text(cell(import, row, F_TEAM), LINE_POINTS);
	if (row->name) {
		row->key = name_key(row->name);
		row->address = is_address(row->name);
		import->failed |= !row->key;
	}
	row->retired =
	    cell(import, row, F_RETIRED)[0] || strcmp(level, "Outdated") == 0 || strcmp(level, "Not Operational") == 0;
	if (row->retired && value_date(cell(import, row, F_RETIRED), date))
		remark(row, "retired since %s", date);
	else if (row->retired)
		remark(row, "listed as %s", level[0] ? level : "retired");
}

/* ---- Teams --------------------------------------------------------------------------------------------------------
 */

static void row_date(const struct import *import, const struct row *row, char out[11])
{
	const char *date = cell(import, row, F_SOURCE_DATE);
	if (!value_date(date, out) && (!import->options->source_date || !value_date(import->options->source_date, out)))
		out[0] = '\0';
}

static const char *row_source(const struct import *import, const struct row *row)
{
	const char *source = cell(import, row, F_SOURCE);
	return source[0] ? source : import->source;
}

/* Whether a team has a mailbox, or a web site's host, or mailboxes at that host. */
static bool team_has(const struct team *team, const char *mailbox, const char *host)
{
	for (size_t i = 0; i < team->n_facts; i++) {
		const struct fact *fact = &team->facts[i];
		char other[VALUE_MAX];
		const char *at = strchr(fact->text, '@');
		if (fact->field == F_MAILBOX && ((mailbox[0] && strcasecmp(fact->text, mailbox) == 0) ||
						 (host[0] && at && strcasecmp(at + 1, host) == 0)))
			return true;
		if (fact->field != F_WEBSITE || !host[0])
			continue;
		value_host(fact->text, other);
		if (strcmp(other, host) == 0)
			return true;
	}
	return false;
}

static struct team *find_by_key(struct import *import, const char *state, const char *key)
{
	for (size_t i = 0; key && key[0] && i < import->n_teams; i++)
		if (strcmp(import->teams[i].state, state) == 0 && strcmp(import->teams[i].key, key) == 0)
			return &import->teams[i];
	return NULL;
}

/* The team that a row without a name of its own belongs to: by mailbox, by site, by the mailbox's domain. */
static struct team *find_by_address(struct import *import, const struct row *row, const char *state)
{
	const char *mailboxes = cell(import, row, F_MAILBOX), *sites = cell(import, row, F_WEBSITE);
	char text[VALUE_MAX], mailbox[VALUE_MAX] = "", url[VALUE_MAX], host[VALUE_MAX] = "";

	if (value_next(&mailboxes, text, sizeof text) && !value_mailbox(text, mailbox))
		mailbox[0] = '\0';
	if (value_next(&sites, text, sizeof text) && value_url(text, url))
		value_host(url, host);
	if (!host[0] && strchr(mailbox, '@'))
		snprintf(host, sizeof host, "%s", strchr(mailbox, '@') + 1);
	for (int by_host = 0; by_host < 2; by_host++)
		for (size_t i = 0; i < import->n_teams; i++)
			if (strcmp(import->teams[i].state, state) == 0 &&
			    team_has(&import->teams[i], by_host ? "" : mailbox, by_host ? host : ""))
				return &import->teams[i];
	return NULL;
}

static struct team *create_team(struct import *import, struct row *row, const char *state)
{
	if ((import->n_teams & (import->n_teams - 1)) == 0) {
		const size_t room = import->n_teams > 0 ? 2 * import->n_teams : 1;
		struct team *teams = realloc(import->teams, room * sizeof *teams);
		if (!teams) {
			import->failed = true;
			return NULL;
		}
		import->teams = teams;
	}
	struct team *team = &import->teams[import->n_teams];
	memset(team, 0, sizeof *team);
	snprintf(team->state, sizeof team->state, "%s", state);
	team->country = country_by_code(state);
	team->key = copy_text(import, row->key ? row->key : "");
	team->order = import->n_teams++;
	row->created = true;
	return team;
}

/* Whether two values of a field are the same thing. */
static bool same_value(enum field field, const char *a, const char *b)
{
	if (field == F_WEBSITE || field == F_PORTAL)
		return value_same_url(a, b);
	if (field == F_PGP) { /* a short id is the end of the fingerprint */
		const size_t n = strlen(a), m = strlen(b), least = n < m ? n : m;
		return strcmp(a + n - least, b + m - least) == 0;
	}
	return strcasecmp(a, b) == 0;
}

static bool is_exclusive(enum field field)
{
	return field == F_MAILBOX || field == F_PHONE || field == F_WEBSITE || field == F_PORTAL || field == F_PGP;
}

/* Takes the newer date, and of a key the longer form. */
static void renew_fact(struct import *import, struct fact *fact, const char *text, const char *source, const char *date)
{
	if (strlen(text) > strlen(fact->text) && fact->field == F_PGP) {
		free(fact->text);
		fact->text = copy_text(import, text);
	}
	if (strcmp(date, fact->date) <= 0)
		return;
	free(fact->source);
	fact->source = copy_text(import, source);
	snprintf(fact->date, sizeof fact->date, "%s", date);
}

static void add_fact(struct import *import, struct team *team, struct row *row, enum field field, const char *text,
		     const char *note)
{
	const size_t number = (size_t)(row - import->rows);
	size_t count = 0;
	const struct fact *other = NULL; /* the first that another row gave */
	char date[11];

	row_date(import, row, date);
	for (size_t i = 0; i < team->n_facts; i++) {
		struct fact *fact = &team->facts[i];
		if (fact->field != field)
			continue;
		if (same_value(field, fact->text, text)) {
			renew_fact(import, fact, text, row_source(import, row), date);
			return;
		}
		count++;
		if (!other && fact->row != number)
			other = fact;
	}
	if (other && is_exclusive(field)) {
		row->conflict = true;
		remark(row, "%s differs: %.80s, line %zu has %.80s", field_names[field], text,
		       import->rows[other->row].cells->line, other->text);
	}
	if (count == VALUES_A_KIND) {
		remark(row, "more than %d values: %s %.80s left out", VALUES_A_KIND, field_names[field], text);
		return;
	}
	struct fact *facts = realloc(team->facts, (team->n_facts + 1) * sizeof *facts);
	if (!facts) {
		import->failed = true;
		return;
	}
	team->facts = facts;
	struct fact *fact = &facts[team->n_facts++];
	*fact = (struct fact){field,
			      copy_text(import, text),
			      note ? copy_text(import, note) : NULL,
			      copy_text(import, row_source(import, row)),
			      "",
			      number};
	snprintf(fact->date, sizeof fact->date, "%s", date);
}

/* A telephone cell may hold a mailbox, or words; a number that cannot be read stays as free text. */
static void add_phone(struct import *import, struct team *team, struct row *row, const char *text)
{
	char value[VALUE_MAX];

	if (value_phone(text, team->country, value)) {
		/* How it was written helps those who dial from within the country. */
		add_fact(import, team, row, F_PHONE, value, text[0] == '+' ? NULL : text);
	} else if (value_mailbox(text, value)) {
		remark(row, "the telephone field holds a mailbox");
		add_fact(import, team, row, F_MAILBOX, value, NULL);
	} else if (strpbrk(text, "0123456789")) {
		remark(row, "\"%.60s\" is no international telephone number, kept as text", text);
		add_fact(import, team, row, F_PHONE, text, NULL);
	} else {
		remark(row, "\"%.60s\" is no telephone number, left out", text);
	}
}

static void add_address(struct import *import, struct team *team, struct row *row, enum field field, const char *text)
{
	char value[VALUE_MAX];
	const bool good = field == F_MAILBOX ? value_mailbox(text, value) : value_url(text, value);

	if (good)
		add_fact(import, team, row, field, value, NULL);
	else
		remark(row, "%s \"%.60s\" is not valid, left out", field_names[field], text);
}

static void add_key(struct import *import, struct team *team, struct row *row, const char *text)
{
	char value[65];
	if (value_pgp(text, value))
		add_fact(import, team, row, F_PGP, value, NULL);
	else
		remark(row, "pgp \"%.60s\" is no fingerprint, left out", text);
}

static void add_values(struct import *import, struct team *team, struct row *row, enum field field)
{
	const char *text = cell(import, row, field);
	char value[VALUE_MAX];

	while (value_next(&text, value, sizeof value)) {
		if (field == F_PHONE)
			add_phone(import, team, row, value);
		else if (field == F_PGP)
			add_key(import, team, row, value);
		else
			add_address(import, team, row, field, value);
	}
}

/* Fields whose whole cell is one text. */
static void add_text(struct import *import, struct team *team, struct row *row, enum field field)
{
	char *text = value_text(cell(import, row, field), TEXT_POINTS);
	if (text)
		add_fact(import, team, row, field, text, NULL);
	free(text);
}

static void add_hours(struct import *import, struct team *team, struct row *row)
{
	const char *text = cell(import, row, F_HOURS);
	/* A form that was left empty has nothing but its frame. */
	if (strncmp(text, ". - Timezone GMT: +.", 20) == 0)
		text = "";
	if (text[0] || import->has_daily)
		add_fact(import, team, row, F_HOURS, text, NULL);
}

static void name_team(struct import *import, struct team *team, const struct row *row)
{
	char date[11];
	row_date(import, row, date);
	if (!row->name || (team->name && (row->address || strcmp(date, team->name_date) <= 0)))
		return;
	free(team->name);
	team->name = copy_text(import, row->name);
	snprintf(team->name_date, sizeof team->name_date, "%s", date);
}

static bool says_national(const char *text)
{
	return strcasestr(text, "national") || strcasestr(text, "government");
}

static void add_row(struct import *import, struct team *team, struct row *row)
{
	static const enum field texts[] = {F_SECTOR,       F_NOTE,        F_OFFICIAL, F_ADDRESSES,
					   F_CONSTITUENCY, F_DESCRIPTION, F_LEVEL,    F_FIRST,
					   F_ESTABLISHED,  F_LANGUAGES,   F_POSTAL,   F_INSTITUTION};
	name_team(import, team, row);
	add_values(import, team, row, F_MAILBOX);
	add_values(import, team, row, F_PHONE);
	add_values(import, team, row, F_WEBSITE);
	add_values(import, team, row, F_PORTAL);
	add_values(import, team, row, F_PGP);
	if (cell(import, row, F_DOCUMENT)[0])
		add_values(import, team, row, F_DOCUMENT);
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (texts[i] != F_OFFICIAL || !row->name || strcmp(cell(import, row, F_OFFICIAL), row->name) != 0)
			add_text(import, team, row, texts[i]);
	add_hours(import, team, row);
	add_fact(import, team, row, F_SOURCE, row_source(import, row), NULL);
	team->national |= says_national(cell(import, row, F_SECTOR));
	if (cell(import, row, F_REGION)[0])
		value_slug(cell(import, row, F_REGION), team->unit);
	row->teams[row->n_teams++] = (size_t)(team - import->teams);
}

static void place_row(struct import *import, struct row *row, const char *state)
{
	struct team *team = find_by_key(import, state, row->key);
	if (!team && (!row->key || row->address))
		team = find_by_address(import, row, state);
	if (!team)
		team = create_team(import, row, state);
	if (team)
		add_row(import, team, row);
}

/* A row must bring something to know a team by. */
static bool row_is_usable(const struct import *import, struct row *row)
{
	if (row->n_states == 0)
		return false;
	if (row->name || cell(import, row, F_MAILBOX)[0] || cell(import, row, F_WEBSITE)[0])
		return true;
	remark(row, "neither name, mailbox nor web site");
	return false;
}

static bool state_has_team(const struct import *import, const char *state, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(import->teams[i].state, state) == 0)
			return true;
	return false;
}

/* Named rows first, so that nameless ones find the teams they belong to; retired ones last, where nothing else is. */
static void place_rows(struct import *import)
{
	const size_t n = import->table->n_rows;
	for (int nameless = 0; nameless < 2; nameless++) {
		for (size_t i = 0; i < n; i++) {
			struct row *row = &import->rows[i];
			const bool named = row->name && !row->address;
			if (row->retired || named == (nameless == 1) || !row_is_usable(import, row))
				continue;
			for (size_t j = 0; j < row->n_states; j++)
				place_row(import, row, row->states[j]);
		}
	}
	const size_t active = import->n_teams;
	for (size_t i = 0; i < n; i++) {
		struct row *row = &import->rows[i];
		if (!row->retired || !row_is_usable(import, row))
			continue;
		for (size_t j = 0; j < row->n_states; j++)
			if (!state_has_team(import, row->states[j], active))
				place_row(import, row, row->states[j]);
		if (row->n_teams > 0)
			remark(row, "kept: its state has no other team");
	}
}

/* ---- Content of a team --------------------------------------------------------------------------------------------
 */

static int compare_facts(const void *a, const void *b)
{
	const struct fact *x = a, *y = b;
	if (x->field != y->field)
		return x->field < y->field ? -1 : 1;
	const int date = strcmp(y->date, x->date);
	return date ? date : x->row < y->row ? -1 : x->row > y->row;
}

static const struct fact *first_fact(const struct team *team, enum field field)
{
	for (size_t i = 0; i < team->n_facts; i++)
		if (team->facts[i].field == field)
			return &team->facts[i];
	return NULL;
}

static json_t *text_list(const char *text)
{
	return json_pack("[{s:s, s:s}]", "lang", "und", "text", text);
}

/* The same for what must have a text in Latin script too. */
static json_t *latin_list(const char *text, const char *latin)
{
	json_t *list = text_list(text);

	if (!text_has_latin(text))
		json_array_append_new(list, json_pack("{s:s, s:s}", "lang", "en", "text", latin));
	return list;
}

static void append(json_t *object, const char *key, json_t *item)
{
	json_t *list = json_object_get(object, key);
	if (!list) {
		list = json_array();
		json_object_set_new(object, key, list);
	}
	json_array_append_new(list, item);
}

static void put_texts(json_t *content, const char *key, const struct team *team, enum field field, enum field second)
{
	const struct fact *a = first_fact(team, field), *b = first_fact(team, second);
	char text[2 * VALUE_MAX * 4];

	if (!a && !b)
		return;
	snprintf(text, sizeof text, "%s%s%s", a ? a->text : "", a && b && a != b ? " - " : "",
		 b && a != b ? b->text : "");
	char *line = value_text(text, TEXT_POINTS);
	if (line)
		json_object_set_new(content, key, latin_list(line, "(in the list in another script only)"));
	free(line);
}

static void put_channel(json_t *content, const struct fact *fact, const char *type, size_t number, const char *note)
{
	char id[41];
	if (number > 1)
		snprintf(id, sizeof id, "%s-%zu", type, number);
	else
		snprintf(id, sizeof id, "%s", type);
	json_t *channel = json_pack("{s:s, s:s, s:s}", "id", id, "type", type, "value", fact->text);
	char *source = value_text(fact->source, LINE_POINTS), *line = note ? value_text(note, LINE_POINTS) : NULL;
	if (line)
		json_object_set_new(channel, "notes", text_list(line));
	if (source)
		json_object_set_new(channel, "source", json_string(source));
	if (fact->date[0])
		json_object_set_new(channel, "source_date", json_string(fact->date));
	append(content, "channels", channel);
	free(source);
	free(line);
}

static void put_channels(json_t *content, const struct team *team, enum field field, const char *type)
{
	size_t number = 0, odd = 0;
	char note[VALUE_MAX + 32];

	for (size_t i = 0; i < team->n_facts; i++) {
		const struct fact *fact = &team->facts[i];
		if (fact->field != field)
			continue;
		if (field == F_PHONE && !e164_valid(fact->text)) {
			put_channel(content, fact, "telephone", ++odd, "as listed; not an international number");
			continue;
		}
		snprintf(note, sizeof note, "listed as %s", fact->note ? fact->note : "");
		put_channel(content, fact, type, ++number, fact->note ? note : NULL);
	}
}

static void put_websites(json_t *content, const struct team *team)
{
	for (size_t i = 0; i < team->n_facts; i++)
		if (team->facts[i].field == F_WEBSITE || team->facts[i].field == F_DOCUMENT)
			append(content, "websites", json_string(team->facts[i].text));
}

static void put_keys(json_t *content, const struct team *team)
{
	for (size_t i = 0; i < team->n_facts; i++)
		if (team->facts[i].field == F_PGP)
			append(content, "pgp_keys", json_pack("{s:s}", "fingerprint", team->facts[i].text));
}

static void put_sources(json_t *content, const struct team *team)
{
	const struct fact *remarks = first_fact(team, F_NOTE);
	for (size_t i = 0; i < team->n_facts; i++) {
		const struct fact *fact = &team->facts[i];
		char *name = fact->field == F_SOURCE ? value_text(fact->text, LINE_POINTS) : NULL;
		if (!name)
			continue;
		json_t *source = json_pack("{s:s}", "name", name);
		if (fact->date[0])
			json_object_set_new(source, "date", json_string(fact->date));
		if (remarks && remarks->row == fact->row)
			json_object_set_new(source, "note", json_string(remarks->text));
		append(content, "sources", source);
		free(name);
	}
}

static void put_types(json_t *content, const struct team *team)
{
	for (size_t i = 0; i < team->n_facts; i++) {
		const struct fact *fact = &team->facts[i];
		char *type = fact->field == F_SECTOR ? value_text(fact->text, 60) : NULL;
		if (type)
			append(content, "team_types", json_string(type));
		free(type);
	}
}

static void put_memberships(json_t *content, const struct team *team)
{
	const struct fact *level = first_fact(team, F_LEVEL), *first = first_fact(team, F_FIRST);
	if (level)
		append(content, "memberships", json_pack("{s:s, s:s}", "organisation", "TI", "reference", level->text));
	if (first && strcasecmp(first->text, "No Member") != 0)
		append(content, "memberships",
		       json_pack("{s:s, s:s}", "organisation", "FIRST", "reference", first->text));
}

static void put_languages(json_t *content, const struct import *import, const struct team *team)
{
	const struct fact *fact = first_fact(team, F_LANGUAGES);
	const char *text = fact ? cell(import, &import->rows[fact->row], F_LANGUAGES) : "";
	char value[VALUE_MAX], tag[36];
	json_t *seen = json_object();

	while (seen && value_next(&text, value, sizeof value)) {
		if (!value_language(value, tag) || json_object_get(seen, tag))
			continue;
		json_object_set_new(seen, tag, json_true());
		append(content, "languages", json_string(tag));
	}
	json_decref(seen);
}

/* ---- Constituency: numbers, prefixes and domains where the text holds nothing else ---- */

struct networks {
	size_t n_asns;
	uint32_t asns[64];
	json_t *prefixes, *domains;
};

static int compare_numbers(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static bool take_network(struct networks *networks, const char *text)
{
	const char *digits = strncmp(text, "AS", 2) == 0 ? text + 2 : text;
	const char *domain = strncmp(text, "*.", 2) == 0 ? text + 2 : text;
	const unsigned long long number = strtoull(digits, NULL, 10);

	if (digits[0] && strspn(digits, "0123456789") == strlen(digits)) {
		if (number == 0 || number > UINT32_MAX || networks->n_asns == 64)
			return false;
		networks->asns[networks->n_asns++] = (uint32_t)number;
		return true;
	}
	if (cidr_valid(text))
		return json_array_append_new(networks->prefixes, json_string(text)) == 0;
	return domain_valid(domain) && json_array_append_new(networks->domains, json_string(domain)) == 0;
}

static void put_networks(json_t *constituency, struct networks *networks)
{
	qsort(networks->asns, networks->n_asns, sizeof networks->asns[0], compare_numbers);
	for (size_t i = 0; i < networks->n_asns; i++)
		if (i == 0 || networks->asns[i] != networks->asns[i - 1])
			append(constituency, "asns", json_integer(networks->asns[i]));
	if (json_array_size(networks->prefixes) > 0)
		json_object_set(constituency, "prefixes", networks->prefixes);
	if (json_array_size(networks->domains) > 0)
		json_object_set(constituency, "domains", networks->domains);
}

/* True if the list was nothing but networks, which are then in constituency. */
static bool read_networks(json_t *constituency, const char *text)
{
	struct networks networks = {.prefixes = json_array(), .domains = json_array()};
	char value[VALUE_MAX];
	bool clean = networks.prefixes && networks.domains;

	while (clean && value_next(&text, value, sizeof value))
		clean = take_network(&networks, value);
	if (clean)
		put_networks(constituency, &networks);
	json_decref(networks.prefixes);
	json_decref(networks.domains);
	return clean;
}

static void put_constituency(json_t *content, const struct import *import, const struct team *team)
{
	const struct fact *networks = first_fact(team, F_ADDRESSES), *text = first_fact(team, F_CONSTITUENCY);
	json_t *constituency = json_object();
	const bool clean =
	    !networks || read_networks(constituency, cell(import, &import->rows[networks->row], F_ADDRESSES));

	put_texts(constituency, "descriptions", team, F_CONSTITUENCY, clean ? F_CONSTITUENCY : F_ADDRESSES);
	if ((networks || text) && json_object_size(constituency) > 0)
		json_object_set(content, "constituency", constituency);
	json_decref(constituency);
}

/* ---- Hours ---- */

static const char *daily_cell(const struct import *import, const struct row *row, size_t i)
{
	return import->daily[i] == SIZE_MAX ? "" : row->cells->cell[import->daily[i]];
}

static json_t *daily_hours(const struct import *import, const struct team *team, const struct row *row)
{
	json_t *weekly = json_array();

	for (size_t i = 0; i < DAILY_CELLS; i += 2) {
		const char *open = daily_cell(import, row, i), *close = daily_cell(import, row, i + 1);
		if (strlen(open) == 5 && strlen(close) == 5 && strcmp(open, close) < 0)
			json_array_append_new(weekly, json_pack("{s:i, s:s, s:s}", "day", (int)(i / 4 + 1), "open",
								open, "close", close));
	}
	if (json_array_size(weekly) > 0 && team->country && team->country->zone[0])
		return json_pack("{s:s, s:o}", "zone", team->country->zone, "weekly", weekly);
	json_decref(weekly);
	return NULL;
}

/* The text itself stays as a note of the first channel where it says more than the hours do. */
static void note_hours(json_t *content, const char *text)
{
	json_t *channel = json_array_get(json_object_get(content, "channels"), 0);
	char whole[VALUE_MAX];
	const json_t *notes = json_object_get(channel, "notes");
	const char *old = json_string_value(json_object_get(json_array_get(notes, 0), "text"));

	snprintf(whole, sizeof whole, "%s%shours as listed: %s", old ? old : "", old ? "; " : "", text);
	char *line = value_text(whole, LINE_POINTS);
	if (channel && line)
		json_object_set_new(channel, "notes", text_list(line));
	free(line);
}

static void put_hours(json_t *content, const struct import *import, const struct team *team)
{
	const struct fact *fact = first_fact(team, F_HOURS);
	bool exact = false;

	if (!fact)
		return;
	json_t *hours = daily_hours(import, team, &import->rows[fact->row]);
	if (!hours)
		hours = value_hours(fact->text, team->country, &exact);
	if (hours)
		json_object_set_new(content, "hours", hours);
	if (!exact && fact->text[0])
		note_hours(content, fact->text);
}

/* ---- The whole ---- */

static void put_incomplete(json_t *content, struct team *team)
{
	const bool channel = json_array_size(json_object_get(content, "channels")) > 0;
	const bool latin = team->name && text_has_latin(team->name);
	if (!latin)
		append(content, "incomplete", json_string("name"));
	if (!first_fact(team, F_MAILBOX))
		append(content, "incomplete", json_string("email"));
	if (!channel)
		append(content, "incomplete", json_string("channels"));
	team->missing = !channel      ? "no channel at all"
			: !team->name ? "no name"
			: !latin      ? "no name in Latin script"
				      : NULL;
	if (!first_fact(team, F_MAILBOX) && channel)
		team->missing = team->name ? "no mailbox" : "neither name nor mailbox";
}

/* What stands for a name in Latin script where the list gives none. */
static const char *latin_name(const struct team *team)
{
	const struct fact *fact = first_fact(team, F_MAILBOX);

	if (!fact)
		fact = first_fact(team, F_WEBSITE);
	return fact ? fact->text : team->state;
}

static void make_content(struct import *import, struct team *team)
{
	json_t *content = json_object();
	char date[11];

	if (team->n_facts > 0)
		qsort(team->facts, team->n_facts, sizeof *team->facts, compare_facts);
	const struct fact *established = first_fact(team, F_ESTABLISHED);
	team->content = content;
	import->failed |= !content;
	if (team->name)
		json_object_set_new(content, "names", latin_list(team->name, latin_name(team)));
	put_texts(content, "institutions", team, F_INSTITUTION, F_INSTITUTION);
	put_texts(content, "descriptions", team, F_OFFICIAL, F_DESCRIPTION);
	put_channels(content, team, F_PHONE, "phone");
	put_channels(content, team, F_MAILBOX, "email");
	put_channels(content, team, F_PORTAL, "portal");
	put_channels(content, team, F_WEBSITE, "web");
	put_hours(content, import, team);
	put_languages(content, import, team);
	put_websites(content, team);
	put_keys(content, team);
	put_memberships(content, team);
	put_constituency(content, import, team);
	put_texts(content, "addresses", team, F_POSTAL, F_POSTAL);
	put_types(content, team);
	if (established && value_date(established->text, date))
		json_object_set_new(content, "established", json_string(date));
	put_sources(content, team);
	put_incomplete(content, team);
}

/* Leaves the part out that a refusal names, or where it names none the next of those that can be spared.  False if
 * there is none. */
static bool spare(json_t *content, const char *field, size_t *next)
{
	static const char *const optional[] = {"constituency", "hours",     "descriptions", "addresses", "institutions",
					       "pgp_keys",     "languages", "memberships",  "websites",  "team_types"};
	const size_t n = sizeof optional / sizeof optional[0];

	for (size_t i = 0; i < n; i++) {
		const size_t length = strlen(optional[i]);
		if (strncmp(field, optional[i], length) == 0 && !islower((unsigned char)field[length]) &&
		    json_object_del(content, optional[i]) == 0)
			return true;
	}
	if (*next == n)
		return false;
	json_object_del(content, optional[(*next)++]);
	return true;
}

/* The content as protobuf; what an optional part does wrong by the rules is left out rather than the team. */
static Poc__Content *pack_content(struct import *import, struct team *team)
{
	Poc__Content *content = NULL;

	for (size_t next = 0;;) {
		struct refusal why = {0};
		const int status = content_from_json(team->content, "", &content, &why);
		if (status == STATUS_NO_MEMORY)
			import->failed = true;
		if (!status && content_check(content, false, &why) == 0 &&
		    poc__content__get_packed_size(content) < SECTION_MAX - 256)
			break;
		message_free(content);
		content = NULL;
		if (import->failed || !spare(team->content, why.field, &next))
			break;
	}
	team->size = content ? poc__content__get_packed_size(content) : 0;
	return content;
}

/* ---- Drafts -------------------------------------------------------------------------------------------------------
 */

static int compare_teams(const void *a, const void *b)
{
	const struct team *x = *(struct team *const *)a, *y = *(struct team *const *)b;
	int order = strcmp(x->state, y->state);
	if (order == 0)
		order = strcmp(x->unit, y->unit);
	if (order == 0)
		order = (int)y->national - (int)x->national;
	if (order == 0)
		order = (x->missing != NULL) - (y->missing != NULL);
	return order ? order : x->order < y->order ? -1 : 1;
}

/* Among the drafts of that state, which stand together at the end. */
static struct draft *find_draft(const struct import_result *result, const char *state, const char *unit)
{
	for (size_t i = result->n_drafts; i > 0; i--) {
		struct draft *draft = result->drafts[i - 1];
		if (strcmp(draft->name.state, state) != 0)
			return NULL;
		if (strcmp(draft->name.unit, unit) == 0)
			return draft;
	}
	return NULL;
}

static struct draft *add_draft(struct import *import, struct import_result *result, const char *state, const char *unit)
{
	struct draft *draft = draft_create();
	struct draft **drafts = realloc(result->drafts, (result->n_drafts + 1) * sizeof *drafts);

	if (drafts)
		result->drafts = drafts;
	if (!draft || !drafts || !name_make(NAME_RECORD, state, unit, &draft->name)) {
		draft_destroy(draft);
		import->failed = true;
		return NULL;
	}
	drafts[result->n_drafts++] = draft;
	return draft;
}

/* An id for the team that the draft does not have yet. */
static void poc_id(const struct draft *draft, const struct team *team, char out[41])
{
	const struct fact *mailbox = first_fact(team, F_MAILBOX), *site = first_fact(team, F_WEBSITE);
	char base[41], host[VALUE_MAX];
	unsigned number = 1;

	if (team->name) {
		value_slug(team->name, base);
	} else if (mailbox) {
		value_slug(strchr(mailbox->text, '@') + 1, base);
	} else {
		value_host(site ? site->text : "", host);
		value_slug(host, base);
	}
	snprintf(out, 41, "%s", base);
	for (size_t i = 0; i < draft->n_pocs; i++) {
		if (strcmp(draft->pocs[i].id, out) != 0)
			continue;
		snprintf(out, 41, "%.36s-%u", base, ++number);
		i = (size_t)-1;
	}
}

static void add_poc(struct import *import, struct draft *draft, struct team *team, Poc__Content *content)
{
	struct draft_poc *pocs = realloc(draft->pocs, (draft->n_pocs + 1) * sizeof *pocs);
	struct draft_section *section = calloc(1, sizeof *section);

	if (pocs)
		draft->pocs = pocs;
	if (!pocs || !section) {
		import->failed = true;
		free(section);
		message_free(content);
		return;
	}
	struct draft_poc *poc = &pocs[draft->n_pocs];
	memset(poc, 0, sizeof *poc);
	poc_id(draft, team, poc->id);
	poc->kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	poc->n_sections = 1;
	poc->sections = section;
	snprintf(section->name, sizeof section->name, "office");
	section->tlp = POC__TLP__TLP_CLEAR;
	section->content = content;
	draft->n_pocs++;
}

static size_t draft_size(const struct draft *draft)
{
	size_t size = 0;
	for (size_t i = 0; i < draft->n_pocs; i++)
		size += poc__content__get_packed_size(draft->pocs[i].sections[0].content);
	return size;
}

/* Makes the team a unit of its own, with a name that no other unit of the state has. */
static void name_unit(const struct import_result *result, struct team *team)
{
	struct draft empty = {0};
	char base[41];
	unsigned number = 1;

	poc_id(&empty, team, base);
	snprintf(team->unit, sizeof team->unit, "%s", base);
	while (find_draft(result, team->state, team->unit))
		snprintf(team->unit, sizeof team->unit, "%.35s-%u", base, ++number);
}

/* Units that the state has so far: its drafts stand together at the end, as teams come ordered by state. */
static size_t count_units(const struct import_result *result, const char *state)
{
	size_t n = 0;
	for (size_t i = result->n_drafts; i > 0 && strcmp(result->drafts[i - 1]->name.state, state) == 0; i--)
		n += result->drafts[i - 1]->name.unit[0] != '\0';
	return n;
}

static const char *place_content(struct import *import, struct import_result *result, struct team *team,
				 Poc__Content **content)
{
	struct draft *draft = find_draft(result, team->state, team->unit);

	if (!*content)
		return "cannot be made to follow the rules of a record";
	if (draft && (draft->n_pocs == RECORD_POCS_MAX || draft_size(draft) + team->size > CONTENTS_MAX)) {
		name_unit(result, team);
		draft = NULL;
	}
	if (!draft && team->unit[0] && count_units(result, team->state) == UNITS_A_STATE)
		return "the state has too many units already";
	if (!draft)
		draft = add_draft(import, result, team->state, team->unit);
	if (!draft)
		return "out of memory";
	add_poc(import, draft, team, *content);
	*content = NULL;
	return NULL;
}

static void place_team(struct import *import, struct import_result *result, struct team *team)
{
	Poc__Content *content = pack_content(import, team);
	team->left_out = place_content(import, result, team, &content);
	message_free(content);
}

/* A state's own draft lists the units that were made. */
static void list_units(struct import *import, struct import_result *result, struct draft *draft)
{
	json_t *content = json_object();
	for (size_t i = 0; i < result->n_drafts; i++)
		if (result->drafts[i]->name.unit[0] && strcmp(result->drafts[i]->name.state, draft->name.state) == 0)
			append(content, "units", json_string(result->drafts[i]->name.unit));
	if (json_object_size(content) > 0) {
		draft->sections = calloc(1, sizeof *draft->sections);
		import->failed |=
		    !draft->sections || content_from_json(content, "", &draft->sections->content, NULL) != 0;
	}
	if (draft->sections && draft->sections->content) {
		snprintf(draft->sections->name, sizeof draft->sections->name, "units");
		draft->sections->tlp = POC__TLP__TLP_CLEAR;
		draft->n_sections = 1;
	}
	json_decref(content);
}

static int compare_drafts(const void *a, const void *b)
{
	return strcmp((*(struct draft *const *)a)->name.text, (*(struct draft *const *)b)->name.text);
}

static int make_drafts(struct import *import, struct import_result *result, struct refusal *why)
{
	struct team **order = calloc(import->n_teams + 1, sizeof(struct team *));
	if (!order)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	for (size_t i = 0; i < import->n_teams; i++) {
		make_content(import, &import->teams[i]);
		order[i] = &import->teams[i];
	}
	qsort(order, import->n_teams, sizeof(struct team *), compare_teams);
	for (size_t i = 0; i < import->n_teams && !import->failed; i++)
		place_team(import, result, order[i]);
	free(order);
	if (result->n_drafts > 0)
		qsort(result->drafts, result->n_drafts, sizeof(struct draft *), compare_drafts);
	for (size_t i = 0; i < result->n_drafts && !import->failed; i++)
		if (!result->drafts[i]->name.unit[0])
			list_units(import, result, result->drafts[i]);
	if (import->failed)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	for (size_t i = 0; i < result->n_drafts; i++) {
		const int status = draft_check(result->drafts[i], why);
		if (status)
			return status;
	}
	return 0;
}

/* ---- Report -------------------------------------------------------------------------------------------------------
 */

static enum import_outcome outcome_of(const struct import *import, struct row *row)
{
	bool missing = false;
	size_t placed = 0;

	for (size_t i = 0; i < row->n_teams; i++) {
		const struct team *team = &import->teams[row->teams[i]];
		placed += !team->left_out;
		if (team->left_out)
			remark(row, "%s", team->left_out);
		if (team->missing && row->created && !missing) {
			remark(row, "%s", team->missing);
			missing = true;
		}
	}
	if (placed == 0)
		return IMPORT_SKIPPED;
	if (row->conflict)
		return IMPORT_CONFLICT;
	if (!row->created)
		return IMPORT_MERGED;
	return missing ? IMPORT_INCOMPLETE : IMPORT_IMPORTED;
}

static void report_row(const struct import *import, struct row *row, import_row_fn report, void *ctx,
		       struct import_result *out)
{
	char places[STATES_A_ROW * 48] = "";
	const char *team = row->name ? row->name : cell(import, row, F_MAILBOX);
	const enum import_outcome outcome = outcome_of(import, row);

	for (size_t i = 0; i < row->n_teams; i++) {
		const struct team *at = &import->teams[row->teams[i]];
		if (at->left_out)
			continue;
		const size_t used = strlen(places);
		snprintf(places + used, sizeof places - used, "%s%s%s%s", used > 0 ? ", " : "", at->state,
			 at->unit[0] ? "/" : "", at->unit);
	}
	out->counts[outcome]++;
	if (report)
		report(ctx, &(struct import_row){row->cells->line, outcome, places, team, row->reason});
}

/* ---- Run ----------------------------------------------------------------------------------------------------------
 */

static void import_finish(struct import *import)
{
	for (size_t i = 0; import->rows && i < import->table->n_rows; i++) {
		free(import->rows[i].name);
		free(import->rows[i].key);
	}
	free(import->rows);
	for (size_t i = 0; i < import->n_teams; i++) {
		struct team *team = &import->teams[i];
		for (size_t j = 0; j < team->n_facts; j++) {
			free(team->facts[j].text);
			free(team->facts[j].note);
			free(team->facts[j].source);
		}
		free(team->facts);
		free(team->key);
		free(team->name);
		json_decref(team->content);
	}
	free(import->teams);
	free(import);
}

void import_result_finish(struct import_result *result)
{
	for (size_t i = 0; i < result->n_drafts; i++)
		draft_destroy(result->drafts[i]);
	free(result->drafts);
	for (size_t i = 0; i < result->n_ignored; i++)
		free(result->ignored[i]);
	free(result->ignored);
	memset(result, 0, sizeof *result);
}

static int run(struct import *import, import_row_fn report, void *ctx, struct import_result *out, struct refusal *why)
{
	const size_t n = import->table->n_rows;
	int status = map_columns(import, out, why);

	if (status)
		return status;
	import->rows = calloc(n + 1, sizeof *import->rows);
	if (!import->rows)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	for (size_t i = 0; i < n; i++) {
		import->rows[i].cells = &import->table->rows[i];
		read_row(import, &import->rows[i]);
	}
	if (!import->failed)
		place_rows(import);
	if (import->failed)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	status = make_drafts(import, out, why);
	for (size_t i = 0; !status && i < n; i++)
		report_row(import, &import->rows[i], report, ctx, out);
	return status;
}

int import_run(const void *bytes, size_t size, const char *file_name, const struct import_options *options,
	       import_row_fn report, void *ctx, struct import_result *out, struct refusal *why)
{
	struct table *table;
	const char *slash = strrchr(file_name, '/');

	memset(out, 0, sizeof *out);
	int status = table_read(bytes, size, options->charset, &table, why);
	if (status)
		return status;
	struct import *import = calloc(1, sizeof *import);
	if (!import) {
		table_destroy(table);
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	}
	import->table = table;
	import->options = options;
	import->source = options->source ? options->source : slash ? slash + 1 : file_name;
	status = run(import, report, ctx, out, why);
	import_finish(import);
	table_destroy(table);
	if (status)
		import_result_finish(out);
	return status;
}
