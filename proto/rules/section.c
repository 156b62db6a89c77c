#include "proto/rules/section.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/rules/rules.h"
#include "proto/rules/zone.h"
#include "proto/wire/prescan.h"

enum {
	TEXTS_MAX = 12,
	LINE_MAX_POINTS = 200,
	DESCRIPTION_MAX = 2000,
	CHANNELS_MAX = 40,
	LANGUAGES_MAX = 20,
	INTERVALS_MAX = 42,
	EXCEPTIONS_MAX = 100,
	LIST_MAX = 64,
	UNITS_MAX = 1100,
	VALUE_MAX = 300
};

/* A path that grows and shrinks as the checks descend; refusals carry it. */
struct path {
	char text[120];
	struct refusal *why;
};

static size_t push(struct path *path, const char *format, ...) __attribute__((format(printf, 2, 3)));

static size_t push(struct path *path, const char *format, ...)
{
	size_t old = strlen(path->text);
	va_list args;

	va_start(args, format);
	vsnprintf(path->text + old, sizeof path->text - old, format, args);
	va_end(args);
	return old;
}

static int bad(struct path *path, const char *field, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int bad(struct path *path, const char *field, const char *format, ...)
{
	char message[sizeof path->why->message], where[160];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	snprintf(where, sizeof where, "%s%s", path->text, field);
	return refuse(path->why, STATUS_INVALID, where, "%s", message);
}

static int check_text(struct path *path, const char *field, const char *text, size_t max, bool multi_line)
{
	char where[160];

	snprintf(where, sizeof where, "%s%s", path->text, field);
	return text_check(text, max, multi_line, where, path->why);
}

static int check_texts(struct path *path, const char *field, Poc__Text *const *texts, size_t n, size_t max,
		       bool multi_line)
{
	if (n > TEXTS_MAX)
		return bad(path, field, "at most %d texts", TEXTS_MAX);
	for (size_t i = 0; i < n; i++) {
		size_t old = push(path, "%s[%zu].", field, i);
		if (!language_tag_valid(texts[i]->lang))
			return bad(path, "lang", "\"%.40s\" is not a language tag (BCP 47)", texts[i]->lang);
		for (size_t j = 0; j < i; j++) {
			if (strcasecmp(texts[i]->lang, texts[j]->lang) == 0)
				return bad(path, "lang", "%s twice", texts[i]->lang);
		}
		int status = check_text(path, "text", texts[i]->text, max, multi_line);
		if (status != 0)
			return status;
		path->text[old] = '\0';
	}
	return 0;
}

/* Names and descriptions: whoever reads no other script must be able to read one of the texts. */
static int check_latin(struct path *path, const char *field, Poc__Text *const *texts, size_t n)
{
	bool latin = n == 0;

	for (size_t i = 0; i < n; i++)
		latin = latin || text_has_latin(texts[i]->text);
	return latin ? 0 : bad(path, field, "one of the %s must be in Latin script", field);
}

static int check_languages(struct path *path, const char *field, char *const *languages, size_t n)
{
	if (n > LANGUAGES_MAX)
		return bad(path, field, "at most %d", LANGUAGES_MAX);
	for (size_t i = 0; i < n; i++) {
		if (!language_tag_valid(languages[i]))
			return bad(path, field, "\"%.40s\" is not a language tag (BCP 47)", languages[i]);
		for (size_t j = 0; j < i; j++) {
			if (strcasecmp(languages[i], languages[j]) == 0)
				return bad(path, field, "%s twice", languages[i]);
		}
	}
	return 0;
}

static int check_interval(struct path *path, const Poc__Interval *interval, bool in_week)
{
	if (in_week ? interval->day < 1 || interval->day > 7 : interval->day != 0)
		return bad(path, "day",
			   in_week ? "must be 1 (Monday) to 7 (Sunday)" : "a dated exception has no weekday");
	if (interval->open > 1439 || interval->close > 1440 || interval->close <= interval->open)
		return bad(
		    path, "close",
		    "must lie after open, within the day: hours past midnight are two intervals, one until 24:00 and "
		    "one from 00:00 of the next day");
	return 0;
}

static int check_intervals(struct path *path, const char *field, Poc__Interval *const *list, size_t n, bool in_week)
{
	if (n > INTERVALS_MAX)
		return bad(path, field, "at most %d", INTERVALS_MAX);
	for (size_t i = 0; i < n; i++) {
		size_t old = push(path, "%s[%zu].", field, i);
		int status = check_interval(path, list[i], in_week);
		if (status != 0)
			return status;
		if (i > 0 && (list[i - 1]->day > list[i]->day ||
			      (list[i - 1]->day == list[i]->day && list[i - 1]->close > list[i]->open)))
			return bad(path, "open", "intervals must ascend and not overlap");
		path->text[old] = '\0';
	}
	return 0;
}

static int check_hours(struct path *path, const Poc__Hours *hours)
{
	size_t old = push(path, "hours.");

	if (hours == NULL) {
		path->text[old] = '\0';
		return 0;
	}
	if (!zone_valid(hours->zone))
		return bad(path, "zone", "\"%.64s\" is not an IANA time zone name", hours->zone);
	if (hours->always && hours->n_weekly > 0)
		return bad(path, "weekly", "always open and weekly hours exclude each other");
	int status = check_intervals(path, "weekly", hours->weekly, hours->n_weekly, true);
	if (status != 0)
		return status;
	if (hours->n_exceptions > EXCEPTIONS_MAX)
		return bad(path, "exceptions", "at most %d", EXCEPTIONS_MAX);
	for (size_t i = 0; i < hours->n_exceptions; i++) {
		const Poc__Exception *e = hours->exceptions[i];
		size_t here = push(path, "exceptions[%zu].", i);
		if (!date_valid(e->date) || (i > 0 && strcmp(hours->exceptions[i - 1]->date, e->date) >= 0))
			return bad(path, "date", "must be YYYY-MM-DD, ascending");
		if (e->note[0] != '\0' && (status = check_text(path, "note", e->note, LINE_MAX_POINTS, false)) != 0)
			return status;
		if ((status = check_intervals(path, "intervals", e->intervals, e->n_intervals, false)) != 0)
			return status;
		path->text[here] = '\0';
	}
	path->text[old] = '\0';
	return 0;
}

static bool type_is(const Poc__Channel *channel, const char *const *types)
{
	for (; *types != NULL; types++) {
		if (strcmp(channel->type, *types) == 0)
			return true;
	}
	return false;
}

static int check_value(struct path *path, const Poc__Channel *c)
{
	static const char *const numbers[] = {"phone", "fax", "sms", NULL};
	static const char *const links[] = {"web", "portal", NULL};

	if (type_is(c, numbers) && !e164_valid(c->value))
		return bad(path, "value", "\"%.40s\" is not an E.164 number (+ and 4 to 15 digits)", c->value);
	if (strcmp(c->type, "email") == 0 && !mailbox_valid(c->value))
		return bad(path, "value", "\"%.60s\" is not an ASCII mailbox", c->value);
	if (type_is(c, links) && !url_valid(c->value))
		return bad(path, "value", "\"%.60s\" is not a URL", c->value);
	return check_text(path, "value", c->value, VALUE_MAX, false);
}

static int check_channel(struct path *path, const Poc__Channel *c)
{
	int status;

	if (!id_valid(c->id))
		return bad(path, "id", "must match [a-z0-9-]{1,40}");
	if (!id_valid(c->type))
		return bad(path, "type", "must match [a-z0-9-]{1,40}");
	if ((status = check_value(path, c)) != 0 ||
	    (status = check_languages(path, "languages", c->languages, c->n_languages)) != 0 ||
	    (status = check_hours(path, c->hours)) != 0 ||
	    (status = check_texts(path, "notes", c->notes, c->n_notes, LINE_MAX_POINTS, false)) != 0)
		return status;
	if (c->valid_from < 0 || c->valid_until < 0 || (c->valid_until != 0 && c->valid_until <= c->valid_from))
		return bad(path, "valid_until", "must lie after valid_from");
	if (c->source[0] != '\0' && (status = check_text(path, "source", c->source, LINE_MAX_POINTS, false)) != 0)
		return status;
	if (c->source_date[0] != '\0' && !partial_date_valid(c->source_date))
		return bad(path, "source_date", "must be YYYY, YYYY-MM or YYYY-MM-DD");
	return 0;
}

static int check_channels(struct path *path, Poc__Channel *const *channels, size_t n)
{
	if (n > CHANNELS_MAX)
		return bad(path, "channels", "at most %d", CHANNELS_MAX);
	for (size_t i = 0; i < n; i++) {
		size_t old = push(path, "channels[%zu].", i);
		int status = check_channel(path, channels[i]);
		if (status != 0)
			return status;
		for (size_t j = 0; j < i; j++) {
			if (strcmp(channels[i]->id, channels[j]->id) == 0)
				return bad(path, "id", "%s twice", channels[i]->id);
		}
		path->text[old] = '\0';
	}
	return 0;
}

static int check_pgp(struct path *path, const Poc__Content *content)
{
	if (content->n_pgp_keys > LIST_MAX)
		return bad(path, "pgp_keys", "at most %d", LIST_MAX);
	for (size_t i = 0; i < content->n_pgp_keys; i++) {
		const char *f = content->pgp_keys[i]->fingerprint;
		size_t n = strlen(f);
		if ((n != 8 && n != 16 && n != 40 && n != 64) || strspn(f, "0123456789ABCDEF") != n)
			return bad(path, "pgp_keys", "[%zu].fingerprint must be 40 or 64 upper-case hexadecimal digits",
				   i);
	}
	return 0;
}

static int check_constituency(struct path *path, const Poc__Constituency *c)
{
	if (c == NULL)
		return 0;
	size_t old = push(path, "constituency.");
	int status = check_texts(path, "descriptions", c->descriptions, c->n_descriptions, DESCRIPTION_MAX, true);
	if (status == 0)
		status = check_latin(path, "descriptions", c->descriptions, c->n_descriptions);
	if (status != 0)
		return status;
	for (size_t i = 0; i < c->n_asns; i++) {
		if (c->asns[i] == 0 || (i > 0 && c->asns[i] <= c->asns[i - 1]))
			return bad(path, "asns", "must be ascending, distinct, not 0");
	}
	for (size_t i = 0; i < c->n_prefixes; i++) {
		if (!cidr_valid(c->prefixes[i]))
			return bad(path, "prefixes", "[%zu]: \"%.60s\" is not a canonical address prefix", i,
				   c->prefixes[i]);
	}
	for (size_t i = 0; i < c->n_domains; i++) {
		/* a national team's is all of its top-level domain */
		if (!domain_valid(c->domains[i]) && !top_domain_valid(c->domains[i]))
			return bad(path, "domains", "[%zu]: \"%.60s\" is not a lower-case ASCII domain", i,
				   c->domains[i]);
	}
	path->text[old] = '\0';
	return 0;
}

static int check_persons(struct path *path, const Poc__Content *content)
{
	if (content->n_persons > LIST_MAX)
		return bad(path, "persons", "at most %d", LIST_MAX);
	for (size_t i = 0; i < content->n_persons; i++) {
		const Poc__Person *p = content->persons[i];
		size_t old = push(path, "persons[%zu].", i);
		int status;
		if (!id_valid(p->id))
			return bad(path, "id", "must match [a-z0-9-]{1,40}");
		for (size_t j = 0; j < i; j++) {
			if (strcmp(content->persons[j]->id, p->id) == 0)
				return bad(path, "id", "is that of another person already");
		}
		if (p->n_names == 0)
			return bad(path, "names", "missing");
		if ((status = check_texts(path, "names", p->names, p->n_names, LINE_MAX_POINTS, false)) != 0 ||
		    (status = check_latin(path, "names", p->names, p->n_names)) != 0 ||
		    (status = check_texts(path, "positions", p->positions, p->n_positions, LINE_MAX_POINTS, false)) !=
			0 ||
		    (status = check_channels(path, p->channels, p->n_channels)) != 0 ||
		    (status = check_languages(path, "languages", p->languages, p->n_languages)) != 0)
			return status;
		path->text[old] = '\0';
	}
	return 0;
}

static int check_memberships(struct path *path, const Poc__Content *content)
{
	int status = 0;

	if (content->n_memberships > LIST_MAX)
		return bad(path, "memberships", "at most %d", LIST_MAX);
	for (size_t i = 0; i < content->n_memberships && status == 0; i++) {
		const Poc__Membership *m = content->memberships[i];
		status = check_text(path, "memberships", m->organisation, 60, false);
		if (status == 0 && m->reference[0] != '\0')
			status = check_text(path, "memberships", m->reference, LINE_MAX_POINTS, false);
	}
	return status;
}

static int check_lists(struct path *path, const Poc__Content *content)
{
	int status = 0;

	if (content->n_websites > LIST_MAX || content->n_team_types > LIST_MAX || content->n_sources > LIST_MAX ||
	    content->n_incomplete > LIST_MAX)
		return bad(path, "websites", "a list has at most %d entries", LIST_MAX);
	for (size_t i = 0; i < content->n_websites; i++) {
		if (!url_valid(content->websites[i]))
			return bad(path, "websites", "[%zu]: \"%.60s\" is not a URL", i, content->websites[i]);
	}
	for (size_t i = 0; i < content->n_team_types && status == 0; i++)
		status = check_text(path, "team_types", content->team_types[i], 60, false);
	for (size_t i = 0; i < content->n_sources && status == 0; i++) {
		const Poc__Source *s = content->sources[i];
		status = check_text(path, "sources", s->name, LINE_MAX_POINTS, false);
		if (status == 0 && s->date[0] != '\0' && !partial_date_valid(s->date))
			status = bad(path, "sources", "[%zu].date must be YYYY, YYYY-MM or YYYY-MM-DD", i);
		if (status == 0 && s->note[0] != '\0')
			status = check_text(path, "sources", s->note, DESCRIPTION_MAX, false);
	}
	for (size_t i = 0; i < content->n_incomplete && status == 0; i++) {
		if (!id_valid(content->incomplete[i]))
			status = bad(path, "incomplete", "[%zu] must be a field's name", i);
	}
	if (status == 0 && content->established[0] != '\0' && !partial_date_valid(content->established))
		status = bad(path, "established", "must be YYYY, YYYY-MM or YYYY-MM-DD");
	return status;
}

static int check_units(struct path *path, const Poc__Content *content)
{
	Poc__Content alone = POC__CONTENT__INIT;

	alone.n_units = content->n_units;
	alone.units = content->units;
	if (poc__content__get_packed_size(content) != poc__content__get_packed_size(&alone))
		return bad(path, "units", "the section \"units\" holds nothing else");
	if (content->n_units > UNITS_MAX)
		return bad(path, "units", "at most %d", UNITS_MAX);
	for (size_t i = 0; i < content->n_units; i++) {
		if (!handle_valid(content->units[i]) ||
		    (i > 0 && strcmp(content->units[i - 1], content->units[i]) >= 0))
			return bad(path, "units", "[%zu] must be a unit's name, ascending", i);
	}
	return 0;
}

int content_check(const Poc__Content *content, bool is_units, struct refusal *why)
{
	struct path path = {.why = why};
	int status;

	if (is_units)
		return check_units(&path, content);
	if (content->n_units > 0)
		return bad(&path, "units", "belong in the record's section \"units\"");
	if ((status = check_texts(&path, "names", content->names, content->n_names, LINE_MAX_POINTS, false)) != 0 ||
	    (status = check_latin(&path, "names", content->names, content->n_names)) != 0 ||
	    (status = check_texts(&path, "institutions", content->institutions, content->n_institutions,
				  LINE_MAX_POINTS, false)) != 0 ||
	    (status = check_texts(&path, "descriptions", content->descriptions, content->n_descriptions,
				  DESCRIPTION_MAX, true)) != 0 ||
	    (status = check_latin(&path, "descriptions", content->descriptions, content->n_descriptions)) != 0 ||
	    (status = check_channels(&path, content->channels, content->n_channels)) != 0 ||
	    (status = check_hours(&path, content->hours)) != 0 ||
	    (status = check_languages(&path, "languages", content->languages, content->n_languages)) != 0 ||
	    (status = check_texts(&path, "addresses", content->addresses, content->n_addresses, DESCRIPTION_MAX,
				  true)) != 0 ||
	    (status = check_pgp(&path, content)) != 0 || (status = check_memberships(&path, content)) != 0 ||
	    (status = check_constituency(&path, content->constituency)) != 0 ||
	    (status = check_persons(&path, content)) != 0)
		return status;
	return check_lists(&path, content);
}

static int check_section(const Poc__Section *section, struct refusal *why)
{
	struct name record;
	bool own = section->poc[0] == '\0';

	if (section->directory_id.len != HASH_SIZE)
		return refuse(why, STATUS_INVALID, "directory_id", "must be 32 bytes");
	if (!name_parse(section->record, &record) || record.kind != NAME_RECORD)
		return refuse(why, STATUS_INVALID, "record", "not the name of a record");
	if ((!own && !id_valid(section->poc)) || !id_valid(section->name))
		return refuse(why, STATUS_INVALID, "name", "ids must match [a-z0-9-]{1,40}");
	if (section->salt.len != HASH_SIZE)
		return refuse(why, STATUS_INVALID, "salt", "must be 32 bytes");
	if (section->content == NULL)
		return refuse(why, STATUS_INVALID, "content", "missing");
	return content_check(section->content, own && strcmp(section->name, "units") == 0, why);
}

int section_parse(const uint8_t *bytes, size_t size, Poc__Section **out, struct refusal *why)
{
	static const struct prescan_limits limits = {.depth = 6, .fields = 8192, .memory = 1024 * 1024};
	ProtobufCMessage *message;

	*out = NULL;
	if (size > SECTION_UNITS_MAX)
		return refuse(why, STATUS_TOO_LARGE, "section", "a section has at most %d bytes", SECTION_UNITS_MAX);
	int status = message_decode(&poc__section__descriptor, bytes, size, &limits, &message, why);
	if (status != 0)
		return status;
	Poc__Section *section = (Poc__Section *)message;
	status = check_section(section, why);
	bool units = section->poc[0] == '\0' && strcmp(section->name, "units") == 0;
	if (status == 0 && size > SECTION_MAX && !units)
		status = refuse(why, STATUS_TOO_LARGE, section->name, "a section has at most %d bytes, this one %zu",
				SECTION_MAX, size);
	if (status != 0) {
		message_free(section);
		return status;
	}
	*out = section;
	return 0;
}

bool section_matches(const Poc__Section *section, const struct hash *digest, const struct hash *directory,
		     const char *record, const char *poc_id, const Poc__SectionRef *ref)
{
	return memcmp(section->directory_id.data, directory->bytes, HASH_SIZE) == 0 &&
	       strcmp(section->record, record) == 0 && strcmp(section->poc, poc_id) == 0 &&
	       strcmp(section->name, ref->name) == 0 && ref->digest.len == HASH_SIZE &&
	       memcmp(ref->digest.data, digest->bytes, HASH_SIZE) == 0;
}

int section_make(const struct hash *directory, const char *record, const char *poc_id, const char *name,
		 const Poc__Content *content, uint8_t **bytes, size_t *size, struct refusal *why)
{
	Poc__Section section = POC__SECTION__INIT, *parsed;
	uint8_t salt[HASH_SIZE];

	*bytes = NULL;
	if (RAND_bytes(salt, sizeof salt) != 1)
		return refuse(why, STATUS_FAILED, "salt", "no random bytes");
	section.directory_id = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)directory->bytes};
	section.record = (char *)record;
	section.poc = (char *)poc_id;
	section.name = (char *)name;
	section.salt = (ProtobufCBinaryData){sizeof salt, salt};
	section.content = (Poc__Content *)content;
	if (message_encode(&section, bytes, size) != 0)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	int status = section_parse(*bytes, *size, &parsed, why);
	message_free(parsed);
	if (status != 0) {
		free(*bytes);
		*bytes = NULL;
	}
	return status;
}

bool section_entitled(Poc__Tlp tlp, enum reader_class reader)
{
	switch (tlp) {
	case POC__TLP__TLP_CLEAR:
	case POC__TLP__TLP_GREEN:
		return true;
	case POC__TLP__TLP_AMBER:
		return reader == READER_OPERATOR || reader == READER_OWN;
	case POC__TLP__TLP_AMBER_STRICT:
		return reader == READER_OWN;
	default:
		return false;
	}
}

static const char *const tlp_names[] = {"TLP:?", "TLP:CLEAR", "TLP:GREEN", "TLP:AMBER", "TLP:AMBER+STRICT"};

const char *tlp_name(Poc__Tlp tlp)
{
	return tlp > 0 && (size_t)tlp < sizeof tlp_names / sizeof tlp_names[0] ? tlp_names[tlp] : tlp_names[0];
}

bool tlp_parse(const char *text, Poc__Tlp *out)
{
	if (strncasecmp(text, "TLP:", 4) == 0)
		text += 4;
	*out = POC__TLP__TLP_CLEAR;
	if (strcasecmp(text, "WHITE") == 0)
		return true;
	for (size_t i = 1; i < sizeof tlp_names / sizeof tlp_names[0]; i++) {
		if (strcasecmp(text, tlp_names[i] + 4) == 0) {
			*out = (Poc__Tlp)i;
			return true;
		}
	}
	return false;
}

/* ---- Hours */

/* The intervals of a civil day: the exception for its date, or those of its weekday. */
static void day_intervals(const Poc__Hours *hours, int64_t day, Poc__Interval *const **list, size_t *n, bool *whole_day)
{
	time_t noon = (time_t)(day * 86400 + 43200);
	struct tm tm;
	char date[32];

	*whole_day = false;
	gmtime_r(&noon, &tm);
	snprintf(date, sizeof date, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
	for (size_t i = 0; i < hours->n_exceptions; i++) {
		if (strcmp(hours->exceptions[i]->date, date) == 0) {
			*list = hours->exceptions[i]->intervals;
			*n = hours->exceptions[i]->n_intervals;
			return;
		}
	}
	*whole_day = hours->always;
	uint32_t weekday = tm.tm_wday == 0 ? 7 : (uint32_t)tm.tm_wday;
	size_t first = 0;
	while (first < hours->n_weekly && hours->weekly[first]->day < weekday)
		first++;
	size_t last = first;
	while (last < hours->n_weekly && hours->weekly[last]->day == weekday)
		last++;
	*list = hours->weekly + first;
	*n = last - first;
}

/* Takes one open span [from, until) into account; spans come in ascending order and may touch. */
static bool take_span(struct opening *out, int64_t now, int64_t from, int64_t until)
{
	if (until <= now)
		return false;
	if (from <= now || (out->open && from <= out->changes_at)) {
		out->open = true;
		out->changes_at = until;
		return false;
	}
	if (!out->open)
		out->changes_at = from;
	return true; /* the first span that begins later decides */
}

bool hours_at(const Poc__Hours *hours, int64_t now, struct opening *out)
{
	memset(out, 0, sizeof *out);
	if (hours == NULL)
		return true;
	struct zone *zone = zone_open(hours->zone);
	if (zone == NULL)
		return false;
	out->known = hours->always || hours->n_weekly > 0 || hours->n_exceptions > 0;
	zone_local(zone, now, &out->local);
	int64_t today = civil_days(out->local.tm_year + 1900, out->local.tm_mon + 1, out->local.tm_mday);
	bool done = false;
	for (int64_t day = today; !done && day <= today + 14; day++) {
		Poc__Interval *const *list;
		size_t n;
		bool whole_day;
		day_intervals(hours, day, &list, &n, &whole_day);
		if (whole_day)
			done = take_span(out, now, zone_moment(zone, day, 0), zone_moment(zone, day, 1440));
		for (size_t i = 0; !done && !whole_day && i < n; i++)
			done = take_span(out, now, zone_moment(zone, day, (int)list[i]->open),
					 zone_moment(zone, day, (int)list[i]->close));
	}
	if (out->open && out->changes_at > now + 14 * 86400)
		out->changes_at = 0; /* open beyond the horizon */
	zone_close(zone);
	return true;
}
