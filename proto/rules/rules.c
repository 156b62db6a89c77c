#include "proto/rules/rules.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void head_fill(Poc__Head *head, const struct hash *directory, const char *name, uint64_t seq, const struct hash *prev)
{
	poc__head__init(head);
	if (directory != NULL)
		head->directory_id = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)directory->bytes};
	head->name = (char *)name;
	head->seq = seq;
	head->prev = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)(prev != NULL ? prev : &hash_zero)->bytes};
}

int key_list_parse(Poc__Key *const *keys, size_t n, size_t max, const char *field, struct public_key **out,
		   struct refusal *why)
{
	char path[80];

	*out = NULL;
	if (n > max)
		return refuse(why, STATUS_INVALID, field, "at most %zu keys", max);
	struct public_key *list = calloc(n > 0 ? n : 1, sizeof *list);
	if (list == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	for (size_t i = 0; i < n; i++) {
		struct refusal inner = {0};
		snprintf(path, sizeof path, "%s[%zu]", field, i);
		int status = public_key_parse(keys[i]->spki.data, keys[i]->spki.len, &list[i], &inner);
		for (size_t j = 0; j < i && status == 0; j++) {
			if (hash_compare(&list[i].id, &list[j].id) == 0)
				status = refuse(&inner, STATUS_INVALID, path, "the same key twice");
		}
		if (status != 0) {
			free(list);
			return refuse(why, status, path, "%s", inner.message);
		}
	}
	*out = list;
	return 0;
}

struct public_key *key_list_again(Poc__Key *const *keys, size_t n)
{
	struct public_key *list = malloc((n > 0 ? n : 1) * sizeof *list);

	for (size_t i = 0; list != NULL && i < n; i++)
		public_key_again(keys[i]->spki.data, keys[i]->spki.len, &list[i]);
	return list;
}

static bool code_point_allowed(int32_t cp, enum text_form form)
{
	if (cp == '\n')
		return form != TEXT_LINE;
	if (cp == '\t')
		return form == TEXT_LOGS;
	if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0))
		return false;
	/* bidi controls, line and paragraph separators, invisible operators, byte order mark, tags */
	if (cp == 0x061c || cp == 0x200e || cp == 0x200f || (cp >= 0x2028 && cp <= 0x202e) ||
	    (cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff || (cp >= 0xe0000 && cp <= 0xe007f))
		return false;
	if ((cp & 0xfffe) == 0xfffe || (cp >= 0xfdd0 && cp <= 0xfdef) || (cp >= 0xfff9 && cp <= 0xfffb))
		return false;
	return true;
}

int text_check(const char *text, size_t max_code_points, enum text_form form, const char *field, struct refusal *why)
{
	const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
	size_t count = 0;
	bool blank = true;

	while (*at != '\0') {
		utf8proc_int32_t cp;
		utf8proc_ssize_t n = utf8proc_iterate(at, -1, &cp);
		if (n <= 0)
			return refuse(why, STATUS_INVALID, field, "not valid UTF-8");
		if (!code_point_allowed(cp, form))
			return refuse(why, STATUS_INVALID, field,
				      "U+%04X is not allowed (control or direction character)", (unsigned)cp);
		blank = blank && (cp == '\t' || utf8proc_category(cp) == UTF8PROC_CATEGORY_ZS);
		at += n;
		if (++count > max_code_points)
			return refuse(why, STATUS_INVALID, field, "longer than %zu characters", max_code_points);
	}
	return blank ? refuse(why, STATUS_INVALID, field, "empty") : 0;
}

bool text_has_latin(const char *text)
{
	const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;

	while (*at != '\0') {
		utf8proc_int32_t cp;
		utf8proc_ssize_t n = utf8proc_iterate(at, -1, &cp);
		if (n <= 0)
			return false;
		bool letter = (cp >= 'A' && cp <= 'Z') || (cp >= 'a' && cp <= 'z') || (cp >= '0' && cp <= '9') ||
			      (cp >= 0xc0 && cp <= 0x24f && cp != 0xd7 && cp != 0xf7) || (cp >= 0x1e00 && cp <= 0x1eff);
		if (letter)
			return true;
		at += n;
	}
	return false;
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_alpha(c) || is_digit(c);
}

/* Length of the subtag at text; its characters are checked by the caller through all_alpha. */
static size_t subtag(const char *text, bool *all_alpha)
{
	size_t n = 0;

	*all_alpha = true;
	while (is_alnum(text[n])) {
		*all_alpha = *all_alpha && is_alpha(text[n]);
		n++;
	}
	return n;
}

bool language_tag_valid(const char *tag)
{
	bool alpha;
	size_t n = subtag(tag, &alpha);
	bool private_use = n == 1 && (tag[0] == 'x' || tag[0] == 'X');

	if (strlen(tag) > 35 || !alpha || (!private_use && (n < 2 || n > 8)))
		return false;
	bool singleton = private_use; /* a subtag must follow a singleton */
	for (const char *at = tag + n; *at != '\0'; at += n) {
		if (*at++ != '-')
			return false;
		n = subtag(at, &alpha);
		if (n == 0 || n > 8 || (n == 1 && singleton && !private_use))
			return false;
		singleton = n == 1 && !private_use;
		private_use = private_use || (n == 1 && (at[0] == 'x' || at[0] == 'X'));
		if (private_use && at[0] != '\0' && n == 1)
			singleton = true;
	}
	return !singleton;
}

static bool digits(const char *text, size_t n, int *out)
{
	*out = 0;
	for (size_t i = 0; i < n; i++) {
		if (!is_digit(text[i]))
			return false;
		*out = *out * 10 + (text[i] - '0');
	}
	return true;
}

static int days_in(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

static bool date_parts(const char *text, size_t length)
{
	int year, month = 1, day = 1;

	if (strlen(text) != length || !digits(text, 4, &year) || year == 0)
		return false;
	if (length >= 7 && (text[4] != '-' || !digits(text + 5, 2, &month) || month < 1 || month > 12))
		return false;
	return length < 10 || (text[7] == '-' && digits(text + 8, 2, &day) && day >= 1 && day <= days_in(year, month));
}

bool date_valid(const char *text)
{
	return date_parts(text, 10);
}

bool partial_date_valid(const char *text)
{
	return date_parts(text, 4) || date_parts(text, 7) || date_parts(text, 10);
}

bool e164_valid(const char *text)
{
	size_t n = strlen(text);

	if (n < 5 || n > 16 || text[0] != '+' || text[1] == '0')
		return false;
	for (size_t i = 1; i < n; i++) {
		if (!is_digit(text[i]))
			return false;
	}
	return true;
}

static bool ldh_labels(const char *text, bool lower_only, size_t least)
{
	size_t labels = 0, length = strlen(text), n = 0;

	if (length == 0 || length > 253)
		return false;
	for (size_t i = 0; i <= length; i++) {
		char c = text[i];
		if (c == '.' || c == '\0') {
			if (n == 0 || n > 63 || text[i - 1] == '-')
				return false;
			labels++;
			n = 0;
		} else if (is_alnum(c) || (c == '-' && n > 0)) {
			if (lower_only && c >= 'A' && c <= 'Z')
				return false;
			n++;
		} else {
			return false;
		}
	}
	return labels >= least;
}

bool domain_valid(const char *text)
{
	return ldh_labels(text, true, 2);
}

bool top_domain_valid(const char *text)
{
	return ldh_labels(text, true, 1) && strchr(text, '.') == NULL &&
	       (text[strspn(text, "abcdefghijklmnopqrstuvwxyz")] == '\0' || strncmp(text, "xn--", 4) == 0);
}

bool mailbox_valid(const char *text)
{
	const char *at = strrchr(text, '@');
	size_t local = at != NULL ? (size_t)(at - text) : 0;

	if (local == 0 || local > 64 || strlen(text) > 254 || text[0] == '.' || text[local - 1] == '.')
		return false;
	for (size_t i = 0; i < local; i++) {
		char c = text[i];
		if (!is_alnum(c) && strchr("!#$%&'*+/=?^_`{|}~-.", c) == NULL)
			return false;
		if (c == '.' && text[i + 1] == '.')
			return false;
	}
	return ldh_labels(at + 1, false, 2);
}

bool url_valid(const char *text)
{
	size_t length = strlen(text);
	const char *host = strncmp(text, "https://", 8) == 0  ? text + 8
			   : strncmp(text, "http://", 7) == 0 ? text + 7
							      : NULL;

	if (host == NULL || length > 500 || *host == '\0' || *host == '/' || *host == ':')
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] <= ' ' || text[i] > '~' || strchr("\"<>\\^`{|}", text[i]) != NULL)
			return false;
	}
	char name[254];
	size_t n = strcspn(host, "/:?#");
	if (n >= sizeof name || memchr(host, '@', strcspn(host, "/?#")) != NULL)
		return false;
	memcpy(name, host, n);
	name[n] = '\0';
	return ldh_labels(name, false, 2);
}

bool cidr_valid(const char *text)
{
	char address[64], back[64];
	uint8_t bytes[16];
	const char *slash = strchr(text, '/');
	size_t length = slash != NULL ? (size_t)(slash - text) : 0;
	int bits;

	if (length == 0 || length >= sizeof address || strlen(slash + 1) == 0 || strlen(slash + 1) > 3 ||
	    (slash[1] == '0' && slash[2] != '\0') || !digits(slash + 1, strlen(slash + 1), &bits))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	int family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
	int width = family == AF_INET6 ? 128 : 32;
	if (bits > width || inet_pton(family, address, bytes) != 1 ||
	    inet_ntop(family, bytes, back, sizeof back) == NULL || strcmp(back, address) != 0)
		return false;
	for (int i = bits; i < width; i++) {
		if ((bytes[i / 8] >> (7 - i % 8) & 1) != 0)
			return false;
	}
	return true;
}

bool zone_valid(const char *text)
{
	size_t length = strlen(text), part = 0;

	if (length == 0 || length > 64 || !is_alpha(text[0]))
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '/') {
			if (part == 0)
				return false;
			part = 0;
		} else if (is_alnum(text[i]) || strchr("_+-", text[i]) != NULL) {
			part++;
		} else {
			return false;
		}
	}
	return part > 0;
}
