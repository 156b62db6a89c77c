#include "clients/cli/import_value.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

#include "proto/rules/rules.h"
#include "proto/rules/zone.h"
#include "proto/wire/utf8.h"

/* ---- Cells --------------------------------------------------------------------------------------------------------
 */

/* Where the first of the separators begins in text, or its end. */
static const char *find_separator(const char *text, size_t *length)
{
	for (; *text; text++) {
		*length = *text == '\n' ? 1 : strncmp(text, ". - ", 4) == 0 ? 4 : 0;
		if (*length > 0)
			return text;
	}
	*length = 0;
	return text;
}

bool value_next(const char **cell, char *out, size_t out_size)
{
	while (**cell) {
		size_t length;
		const char *begin = *cell, *end = find_separator(begin, &length);
		*cell = end + length;
		while (begin < end && isspace((unsigned char)*begin))
			begin++;
		while (end > begin && isspace((unsigned char)end[-1]))
			end--;
		if (begin == end)
			continue;
		snprintf(out, out_size, "%.*s", (int)(end - begin), begin);
		utf8_mend(out); /* where it was cut */
		return true;
	}
	return false;
}

/* ---- Telephone numbers --------------------------------------------------------------------------------------------
 */

/* Digits of a number into out; a plus may stand first.  False if there is anything but the usual punctuation. */
static bool phone_digits(const char *text, char out[32], bool *plus)
{
	size_t n = 0;
	*plus = false;
	for (; *text; text++) {
		if (isdigit((unsigned char)*text)) {
			if (n == 31)
				return false;
			out[n++] = *text;
		} else if (*text == '+' && n == 0 && !*plus) {
			*plus = true;
		} else if (strncmp(text, "\xc2\xa0", 2) == 0) {
			text++;
		} else if (!strchr(" -./()", *text)) {
			return false;
		}
	}
	out[n] = '\0';
	return n > 0;
}

/* The number behind its country code, from national digits.  False if they are not written nationally. */
static bool national(const char *digits, const struct country *country, const char **rest)
{
	if (!country || !country->dial[0])
		return false;
	*rest = digits + 1;
	if (strcmp(country->dial, "1") == 0)
		return digits[0] == '1' && strlen(digits) == 11;
	/* Where the 0 belongs to the number it is dialled from abroad as well: such numbers are left to people. */
	static const char *const keep_zero[] = {"IT", "SM", "VA", "CI", "CG"};
	for (size_t i = 0; i < sizeof keep_zero / sizeof keep_zero[0]; i++)
		if (strcmp(country->code, keep_zero[i]) == 0)
			return false;
	return digits[0] == '0' && digits[1] != '0';
}

bool value_phone(const char *text, const struct country *country, char out[20])
{
	char digits[32], whole[64];
	const char *rest = digits;
	bool plus;

	/* "+44 (0)20 ..." shows the trunk prefix, which is not dialled from abroad. */
	char copy[VALUE_MAX];
	snprintf(copy, sizeof copy, "%s", text);
	char *trunk = strstr(copy, "(0)");
	if (trunk)
		memmove(trunk, trunk + 3, strlen(trunk + 3) + 1);
	if (!phone_digits(copy, digits, &plus))
		return false;
	const size_t dial = country ? strlen(country->dial) : 0;
	if (plus)
		snprintf(whole, sizeof whole, "+%s", digits);
	else if (strncmp(digits, "00", 2) == 0)
		snprintf(whole, sizeof whole, "+%s", digits + 2);
	else if (national(digits, country, &rest))
		snprintf(whole, sizeof whole, "+%s%s", country->dial, rest);
	else if (dial > 0 && strncmp(digits, country->dial, dial) == 0 && strlen(digits) >= dial + 8)
		snprintf(whole, sizeof whole, "+%s", digits);
	else
		return false;
	if (strlen(whole) < 8 || strlen(whole) > 16 || !e164_valid(whole))
		return false;
	memcpy(out, whole, strlen(whole) + 1);
	return true;
}

/* ---- Mailboxes, URLs ----------------------------------------------------------------------------------------------
 */

bool value_mailbox(const char *text, char out[VALUE_MAX])
{
	if (strncasecmp(text, "mailto:", 7) == 0)
		text += 7;
	snprintf(out, VALUE_MAX, "%s", text);
	char *at = strrchr(out, '@');
	for (char *c = at; c && *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return mailbox_valid(out);
}

bool value_url(const char *text, char out[VALUE_MAX])
{
	const bool bare = !strstr(text, "://");
	/* Without a scheme it must at least look like a host. */
	if (bare && (!strchr(text, '.') || strchr(text, '@')))
		return false;
	snprintf(out, VALUE_MAX, "%s%s", bare ? "http://" : "", text);
	return strlen(text) + 8 < VALUE_MAX && url_valid(out);
}

static const char *skip_scheme(const char *url)
{
	const char *host = strstr(url, "://");
	host = host ? host + 3 : url;
	return strncasecmp(host, "www.", 4) == 0 ? host + 4 : host;
}

void value_host(const char *url, char out[VALUE_MAX])
{
	static const char *const shared[] = {"github.com", "gitlab.com", "gob.mx", "gov.uk", "facebook.com"};
	const char *host = skip_scheme(url);
	size_t length = strcspn(host, "/?#:");

	for (size_t i = 0; i < sizeof shared / sizeof shared[0]; i++)
		if (strlen(shared[i]) == length && strncasecmp(host, shared[i], length) == 0 && host[length] == '/')
			length += 1 + strcspn(host + length + 1, "/?#");
	snprintf(out, VALUE_MAX, "%.*s", (int)length, host);
	for (char *c = out; *c; c++)
		*c = (char)tolower((unsigned char)*c);
}

bool value_same_url(const char *a, const char *b)
{
	a = skip_scheme(a);
	b = skip_scheme(b);
	size_t n = strlen(a), m = strlen(b);
	while (n > 0 && a[n - 1] == '/')
		n--;
	while (m > 0 && b[m - 1] == '/')
		m--;
	return n == m && strncasecmp(a, b, n) == 0;
}

/* ---- Keys, dates, texts -------------------------------------------------------------------------------------------
 */

bool value_pgp(const char *text, char out[65])
{
	size_t n = 0;

	if (strncasecmp(text, "0x", 2) == 0)
		text += 2;
	for (; *text; text++) {
		if (*text == ' ' || *text == ':')
			continue;
		if (!isxdigit((unsigned char)*text) || n == 64)
			return false;
		out[n++] = (char)toupper((unsigned char)*text);
	}
	out[n] = '\0';
	return n == 8 || n == 16 || n == 40 || n == 64;
}

bool value_date(const char *text, char out[11])
{
	const size_t n = strlen(text);
	const size_t digits = strspn(text, "0123456789");

	if (digits == n && n >= 9 && n <= 11) {
		const time_t time = (time_t)strtoll(text, NULL, 10);
		struct tm tm;
		return gmtime_r(&time, &tm) && strftime(out, 11, "%Y-%m-%d", &tm) == 10;
	}
	if (n > 10 && text[10] != 'T' && text[10] != ' ')
		return false;
	snprintf(out, 11, "%s", text);
	return partial_date_valid(out);
}

static bool is_bidi(uint32_t c)
{
	return c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

static bool is_blank(utf8proc_category_t category)
{
	return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_ZS ||
	       category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

char *value_text(const char *text, size_t max)
{
	const size_t size = strlen(text);
	char *out = malloc(size + sizeof "\xe2\x80\xa6");
	size_t used = 0, points = 0;
	bool blank = false;

	if (!out)
		return NULL;
	for (size_t i = 0; i < size;) {
		uint32_t c;
		const size_t n = utf8_next(text + i, size - i, &c);
		if (n == 0)
			break;
		const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
		const char *at = text + i;
		i += n;
		if (is_blank(category)) {
			blank = used > 0;
			continue;
		}
		if (is_bidi(c) || category == UTF8PROC_CATEGORY_CN)
			continue;
		if (points + blank + 1 >= max && i < size) {
			memcpy(out + used, "\xe2\x80\xa6", 3);
			used += 3;
			break;
		}
		if (blank)
			out[used++] = ' ';
		memcpy(out + used, at, n);
		used += n;
		points += 1 + blank;
		blank = false;
	}
	out[used] = '\0';
	if (used > 0 && text_check(out, max, false, "", NULL) == 0)
		return out;
	free(out);
	return NULL;
}

void value_slug(const char *text, char out[41])
{
	utf8proc_uint8_t *plain = NULL;
	const utf8proc_option_t how = UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE |
				      UTF8PROC_CASEFOLD | UTF8PROC_STRIPMARK;
	size_t n = 0;
	bool gap = false;

	if (utf8proc_map((const utf8proc_uint8_t *)text, 0, &plain, how) < 0)
		plain = NULL;
	for (const utf8proc_uint8_t *c = plain; c && *c && n < 40; c++) {
		if (islower(*c) || isdigit(*c)) {
			if (gap && n > 0 && n < 39)
				out[n++] = '-';
			out[n++] = (char)*c;
			gap = false;
		} else if (*c != '\'') {
			gap = true;
		}
	}
	free(plain);
	if (n == 0)
		out[n++] = 'x';
	out[n] = '\0';
}

bool value_language(const char *text, char out[36])
{
	static const struct {
		const char *code3, *tag;
	} codes[] = {{"ara", "ar"}, {"zho", "zh"}, {"chi", "zh"}, {"eng", "en"}, {"fra", "fr"}, {"fre", "fr"},
		     {"rus", "ru"}, {"spa", "es"}, {"deu", "de"}, {"ger", "de"}, {"por", "pt"}, {"ita", "it"},
		     {"nld", "nl"}, {"dut", "nl"}, {"pol", "pl"}, {"jpn", "ja"}, {"kor", "ko"}, {"ltz", "lb"},
		     {"ron", "ro"}, {"rum", "ro"}, {"tur", "tr"}, {"ukr", "uk"}, {"swe", "sv"}, {"fin", "fi"}};
	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
		if (strcasecmp(codes[i].code3, text) == 0)
			text = codes[i].tag;
	if (strlen(text) > 35 || !language_tag_valid(text))
		return false;
	snprintf(out, 36, "%s", text);
	return true;
}

/* ---- Opening hours ------------------------------------------------------------------------------------------------
 */

struct week {
	bool set[8];
	int open[8], close[8];
	bool always;
	bool has_offset;
	int offset; /* hours, in winter */
	bool exact;
};

static int weekday(const char *text, size_t *length)
{
	static const char *const days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
					   "Friday", "Saturday", "Sunday"};
	for (int i = 0; i < 7; i++) {
		*length = strlen(days[i]);
		if (strncasecmp(text, days[i], *length) == 0)
			return i + 1;
	}
	return 0;
}

/* "08:00" or "08.00" at *text; minutes, or -1. */
static int clock_time(const char **text)
{
	int hours, minutes, n = 0;
	char mark;
	if (sscanf(*text, "%2d%1[:.]%2d%n", &hours, (char[2]){0}, &minutes, &n) != 3 || n < 4)
		return -1;
	mark = (*text)[n];
	if (isdigit((unsigned char)mark) || hours < 0 || hours > 24 || minutes < 0 || minutes > 59)
		return -1;
	*text += n;
	return hours * 60 + minutes;
}

static void skip_blanks(const char **text)
{
	*text += strspn(*text, " ");
}

/* "to" or "-" between two ends. */
static bool skip_to(const char **text)
{
	skip_blanks(text);
	const size_t n = strncmp(*text, "to ", 3) == 0 ? 3 : strncmp(*text, "- ", 2) == 0 ? 2 : 0;
	*text += n;
	skip_blanks(text);
	return n > 0;
}

/* "08:00 to 17:00 Monday to Friday", then the end or an exception in words. */
static bool read_span(const char *text, struct week *week)
{
	size_t length;
	const int open = clock_time(&text);
	if (open < 0 || !skip_to(&text))
		return false;
	const int close = clock_time(&text);
	skip_blanks(&text);
	const int first = weekday(text, &length);
	if (close <= open || close > 1440 || first == 0)
		return false;
	text += length;
	int last = first;
	if (skip_to(&text)) {
		last = weekday(text, &length);
		text += length;
	}
	skip_blanks(&text);
	if (last < first ||
	    (*text && strncmp(text, "except", 6) != 0 && *text != ',' && strncmp(text, "with the exc", 12) != 0))
		return false;
	week->exact &= *text == '\0';
	for (int day = first; day <= last; day++) {
		if (week->set[day])
			return false;
		week->set[day] = true;
		week->open[day] = open;
		week->close[day] = close;
	}
	return true;
}

static bool read_part(const char *part, struct week *week)
{
	int hours, n = 0;
	if (sscanf(part, "Timezone GMT with DST: %d%n", &hours, &n) == 1 && !part[n])
		return true;
	if (sscanf(part, "Timezone GMT: %d%n", &hours, &n) == 1 && !part[n]) {
		week->has_offset = true;
		week->offset = hours;
		return true;
	}
	if (strcmp(part, "24/7") == 0 || strcmp(part, "24/7/365") == 0)
		return week->always = true;
	return read_span(part, week);
}

/* Whether the zone has that offset in a January. */
static bool zone_fits(const char *name, int offset)
{
	struct zone *zone = zone_open(name);
	const int64_t winter = INT64_C(1326628800); /* 2012-01-15 */
	const bool fits = zone && zone_offset(zone, winter) == offset * 3600;
	zone_close(zone);
	return fits;
}

static json_t *week_to_json(const struct week *week, const char *zone)
{
	if (week->always)
		return json_pack("{s:s, s:b}", "zone", zone, "always", 1);
	json_t *weekly = json_array();
	size_t n = 0;
	for (int day = 1; day <= 7; day++) {
		char open[8], close[8];
		if (!week->set[day])
			continue;
		snprintf(open, sizeof open, "%02d:%02d", week->open[day] / 60 % 100, week->open[day] % 60);
		snprintf(close, sizeof close, "%02d:%02d", week->close[day] / 60 % 100, week->close[day] % 60);
		json_array_append_new(weekly, json_pack("{s:i, s:s, s:s}", "day", day, "open", open, "close", close));
		n++;
	}
	if (n == 0) {
		json_decref(weekly);
		return NULL;
	}
	return json_pack("{s:s, s:o}", "zone", zone, "weekly", weekly);
}

json_t *value_hours(const char *text, const struct country *country, bool *exact)
{
	struct week week = {.exact = true};
	char part[VALUE_MAX];

	*exact = false;
	if (!country || !country->zone[0])
		return NULL;
	while (value_next(&text, part, sizeof part))
		if (!read_part(part, &week))
			return NULL;
	if (week.has_offset && !zone_fits(country->zone, week.offset))
		return NULL;
	*exact = week.exact;
	return week_to_json(&week, country->zone);
}
