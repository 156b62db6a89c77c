#include "proto/rules/zone.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/rules/rules.h"

#define ZONE_FOLDER "/usr/share/zoneinfo/"

enum { FILE_MAX = 256 * 1024, HEADER_SIZE = 44 };

/* One end of daylight saving time in a POSIX TZ string: Mm.w.d/time. */
struct rule {
	int month, week, day;
	int32_t seconds; /* after local midnight; may be negative or past a day (RFC 8536 section 3.3.1) */
};

struct zone {
	uint8_t *file;
	uint32_t n_times, n_types;
	const uint8_t *times;   /* n_times * i64be */
	const uint8_t *indexes; /* n_times * u8 */
	const uint8_t *types;   /* n_types * (i32be, u8, u8) */
	bool has_footer, has_dst;
	int32_t standard, daylight; /* offsets of the footer */
	struct rule starts, ends;
};

static uint32_t get_u32(const uint8_t *in)
{
	return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

static int64_t get_i64(const uint8_t *in)
{
	return (int64_t)((uint64_t)get_u32(in) << 32 | get_u32(in + 4));
}

int64_t civil_days(int year, int month, int day)
{
	/* years from March, so that the leap day comes last */
	int64_t y = month <= 2 ? (int64_t)year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int year_of(int64_t at)
{
	time_t seconds = (time_t)at;
	struct tm tm;

	return gmtime_r(&seconds, &tm) != NULL ? tm.tm_year + 1900 : 1970;
}

/* ---- Footer: std offset dst [offset],start[/time],end[/time] */

static const char *skip_name(const char *at)
{
	const char *start = at;

	if (*at == '<') {
		at = strchr(at, '>');
		return at != NULL ? at + 1 : NULL;
	}
	while (isalpha((unsigned char)*at))
		at++;
	return at - start >= 3 ? at : NULL;
}

static const char *read_number(const char *at, int max, int *out)
{
	*out = 0;
	if (!isdigit((unsigned char)*at))
		return NULL;
	while (isdigit((unsigned char)*at)) {
		*out = *out * 10 + (*at++ - '0');
		if (*out > max)
			return NULL;
	}
	return at;
}

/* [+-]hh[:mm[:ss]] */
static const char *read_time(const char *at, int32_t *out)
{
	int sign = 1, part[3] = {0, 0, 0};

	if (*at == '-' || *at == '+')
		sign = *at++ == '-' ? -1 : 1;
	for (int i = 0; i < 3; i++) {
		if (i > 0 && *at != ':')
			break;
		at = read_number(i > 0 ? at + 1 : at, i == 0 ? 167 : 59, &part[i]);
		if (at == NULL)
			return NULL;
	}
	*out = sign * (part[0] * 3600 + part[1] * 60 + part[2]);
	return at;
}

static const char *read_rule(const char *at, struct rule *out)
{
	if (at == NULL || at[0] != ',' || at[1] != 'M' || (at = read_number(at + 2, 12, &out->month)) == NULL ||
	    *at != '.' || (at = read_number(at + 1, 5, &out->week)) == NULL || *at != '.' ||
	    (at = read_number(at + 1, 6, &out->day)) == NULL || out->month < 1 || out->week < 1)
		return NULL;
	out->seconds = 7200;
	return *at == '/' ? read_time(at + 1, &out->seconds) : at;
}

static bool read_footer(struct zone *zone, const char *text)
{
	const char *at = skip_name(text);
	int32_t west;

	if (at == NULL || (at = read_time(at, &west)) == NULL)
		return false;
	zone->standard = -west;
	if (*at == '\0')
		return true;
	zone->has_dst = true;
	zone->daylight = zone->standard + 3600;
	at = skip_name(at);
	if (at != NULL && *at != ',' && *at != '\0') {
		at = read_time(at, &west);
		zone->daylight = -west;
	}
	at = read_rule(read_rule(at, &zone->starts), &zone->ends);
	return at != NULL && *at == '\0';
}

/* Local seconds since 1970 at which a rule takes effect in a year. */
static int64_t rule_at(const struct rule *rule, int year)
{
	int64_t first = civil_days(year, rule->month, 1);
	int64_t weekday = (first % 7 + 11) % 7; /* 1970-01-01 was a Thursday; Sunday is 0 */
	int64_t day = first + (rule->day - weekday + 7) % 7 + 7 * ((int64_t)rule->week - 1);
	int64_t next = rule->month == 12 ? civil_days(year + 1, 1, 1) : civil_days(year, rule->month + 1, 1);

	while (day >= next)
		day -= 7;
	return day * 86400 + rule->seconds;
}

static int32_t footer_offset(const struct zone *zone, int64_t at)
{
	if (!zone->has_dst)
		return zone->standard;
	int year = year_of(at + zone->standard);
	int64_t starts = rule_at(&zone->starts, year) - zone->standard;
	int64_t ends = rule_at(&zone->ends, year) - zone->daylight;
	bool summer = starts < ends ? at >= starts && at < ends : at >= starts || at < ends;
	return summer ? zone->daylight : zone->standard;
}

/* ---- File */

/* Sizes of one data block after its header. */
static bool block_size(const uint8_t *header, size_t time_size, size_t room, size_t *out)
{
	uint64_t isut = get_u32(header + 20), isstd = get_u32(header + 24), leaps = get_u32(header + 28);
	uint64_t times = get_u32(header + 32), types = get_u32(header + 36), chars = get_u32(header + 40);

	if (isut > 256 || isstd > 256 || leaps > 1000 || times > 10000 || types == 0 || types > 256 || chars > 4096)
		return false;
	*out = times * (time_size + 1) + types * 6 + chars + leaps * (time_size + 4) + isstd + isut;
	return *out <= room;
}

static bool parse(struct zone *zone, size_t size)
{
	const uint8_t *file = zone->file;
	size_t first, second;

	if (size < HEADER_SIZE || memcmp(file, "TZif", 4) != 0 || file[4] < '2' ||
	    !block_size(file, 4, size - HEADER_SIZE, &first))
		return false;
	const uint8_t *header = file + HEADER_SIZE + first;
	size_t left = size - HEADER_SIZE - first;
	if (left < HEADER_SIZE || memcmp(header, "TZif", 4) != 0 || !block_size(header, 8, left - HEADER_SIZE, &second))
		return false;
	zone->n_times = get_u32(header + 32);
	zone->n_types = get_u32(header + 36);
	zone->times = header + HEADER_SIZE;
	zone->indexes = zone->times + (size_t)zone->n_times * 8;
	zone->types = zone->indexes + zone->n_times;
	for (uint32_t i = 0; i < zone->n_times; i++) {
		if (zone->indexes[i] >= zone->n_types)
			return false;
	}
	const char *footer = (const char *)header + HEADER_SIZE + second;
	left -= HEADER_SIZE + second;
	char text[128];
	if (left < 2 || footer[0] != '\n' || footer[left - 1] != '\n' || left - 2 >= sizeof text)
		return false;
	memcpy(text, footer + 1, left - 2);
	text[left - 2] = '\0';
	zone->has_footer = text[0] != '\0';
	return !zone->has_footer || read_footer(zone, text);
}

static uint8_t *read_file(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *bytes = NULL;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= FILE_MAX &&
	    (bytes = malloc((size_t)st.st_size)) != NULL) {
		*size = (size_t)st.st_size;
		size_t got = 0;
		for (ssize_t n; got < *size && (n = read(fd, bytes + got, *size - got)) > 0;)
			got += (size_t)n;
		if (got != *size) {
			free(bytes);
			bytes = NULL;
		}
	}
	close(fd);
	return bytes;
}

struct zone *zone_open(const char *name)
{
	char path[sizeof ZONE_FOLDER + 64];
	size_t size = 0;

	if (!zone_valid(name))
		return NULL;
	snprintf(path, sizeof path, ZONE_FOLDER "%s", name);
	struct zone *zone = calloc(1, sizeof *zone);
	if (zone == NULL)
		return NULL;
	zone->file = read_file(path, &size);
	if (zone->file == NULL || !parse(zone, size)) {
		zone_close(zone);
		return NULL;
	}
	return zone;
}

static bool opens(const char *name)
{
	struct zone *zone = zone_open(name);

	zone_close(zone);
	return zone != NULL;
}

bool zone_known(const char *name)
{
	return opens(name) || !opens("Etc/UTC");
}

void zone_close(struct zone *zone)
{
	if (zone != NULL)
		free(zone->file);
	free(zone);
}

static int32_t type_offset(const struct zone *zone, uint32_t type)
{
	return (int32_t)get_u32(zone->types + (size_t)type * 6);
}

int32_t zone_offset(const struct zone *zone, int64_t at)
{
	uint32_t low = 0, high = zone->n_times;

	while (low < high) { /* first transition after at */
		uint32_t middle = low + (high - low) / 2;
		if (get_i64(zone->times + (size_t)middle * 8) <= at)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == zone->n_times && zone->has_footer)
		return footer_offset(zone, at);
	return type_offset(zone, low > 0 ? zone->indexes[low - 1] : 0);
}

void zone_local(const struct zone *zone, int64_t at, struct tm *out)
{
	int32_t offset = zone_offset(zone, at);
	time_t local = (time_t)(at + offset);

	memset(out, 0, sizeof *out);
	gmtime_r(&local, out);
	out->tm_gmtoff = offset;
}

int64_t zone_moment(const struct zone *zone, int64_t day, int minute)
{
	int64_t local = day * 86400 + (int64_t)minute * 60;
	int32_t before = zone_offset(zone, local - 86400), after = zone_offset(zone, local + 86400);
	int64_t first = local - before;

	if (zone_offset(zone, first) == before)
		return first;
	int64_t second = local - after;
	if (zone_offset(zone, second) == after)
		return second;
	/* in a gap: the moment of the transition itself, found between the two readings */
	int64_t low = second < first ? second : first, high = second < first ? first : second;
	while (high - low > 1) {
		int64_t middle = low + floor_div(high - low, 2);
		if (zone_offset(zone, middle) == before)
			low = middle;
		else
			high = middle;
	}
	return high;
}
