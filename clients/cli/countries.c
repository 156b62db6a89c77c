#include "clients/cli/countries.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static int compare_country(const void *code, const void *country)
{
	return strcmp(code, ((const struct country *)country)->code);
}

const struct country *country_by_code(const char *code)
{
	return bsearch(code, country_table, country_count, sizeof country_table[0], compare_country);
}

static int compare_key(const void *text, const void *key)
{
	return strcmp(text, ((const struct country_key *)key)->key);
}

static bool keeps(utf8proc_int32_t code_point)
{
	switch (utf8proc_category(code_point)) {
	case UTF8PROC_CATEGORY_LU:
	case UTF8PROC_CATEGORY_LL:
	case UTF8PROC_CATEGORY_LT:
	case UTF8PROC_CATEGORY_LM:
	case UTF8PROC_CATEGORY_LO:
	case UTF8PROC_CATEGORY_ND:
	case UTF8PROC_CATEGORY_NL:
	case UTF8PROC_CATEGORY_NO:
		return true;
	default:
		return false;
	}
}

char *country_key_of(const char *text)
{
	utf8proc_uint8_t *folded = NULL;
	const utf8proc_option_t how = UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE |
				      UTF8PROC_CASEFOLD | UTF8PROC_STRIPMARK;
	const utf8proc_ssize_t size = utf8proc_map((const utf8proc_uint8_t *)text, 0, &folded, how);
	size_t used = 0;

	if (size < 0)
		return NULL;
	for (utf8proc_ssize_t i = 0; i < size;) {
		utf8proc_int32_t code_point;
		const utf8proc_ssize_t n = utf8proc_iterate(folded + i, size - i, &code_point);
		if (n <= 0)
			break;
		if (keeps(code_point)) {
			memmove(folded + used, folded + i, (size_t)n);
			used += (size_t)n;
		}
		i += n;
	}
	folded[used] = '\0';
	return (char *)folded;
}

size_t country_candidates(const char *text, const struct country *out[COUNTRIES_ALIKE])
{
	char *key = country_key_of(text);
	const struct country_key *end = country_keys + country_key_count;
	const struct country_key *at =
	    key ? bsearch(key, country_keys, country_key_count, sizeof country_keys[0], compare_key) : NULL;
	size_t n = 0;

	while (at && at > country_keys && strcmp(at[-1].key, key) == 0)
		at--;
	for (; at && at < end && n < COUNTRIES_ALIKE && strcmp(at->key, key) == 0; at++)
		out[n++] = country_by_code(at->code);
	free(key);
	return n;
}

const struct country *country_find(const char *text)
{
	const struct country *found[COUNTRIES_ALIKE];

	return country_candidates(text, found) == 1 ? found[0] : NULL;
}
