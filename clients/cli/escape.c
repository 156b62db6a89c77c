#include "clients/cli/escape.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static bool harmless(utf8proc_int32_t cp, int multi_line)
{
	if (cp == '\n' || cp == '\t')
		return multi_line != 0;
	switch (utf8proc_category(cp)) {
	case UTF8PROC_CATEGORY_CC:
	case UTF8PROC_CATEGORY_CF:
	case UTF8PROC_CATEGORY_CS:
	case UTF8PROC_CATEGORY_CO:
	case UTF8PROC_CATEGORY_CN:
	case UTF8PROC_CATEGORY_ZL:
	case UTF8PROC_CATEGORY_ZP:
		return false;
	default:
		return true;
	}
}

char *escape_text(const char *text, int multi_line)
{
	size_t length = strlen(text), used = 0;
	char *out = malloc(length * 10 + 1); /* the longest escape is \U0010ffff */

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < length;) {
		utf8proc_int32_t cp;
		utf8proc_ssize_t n =
		    utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(length - i), &cp);
		if (n <= 0) {
			used += (size_t)sprintf(out + used, "\\x%02x", (unsigned char)text[i++]);
			continue;
		}
		if (harmless(cp, multi_line)) {
			memcpy(out + used, text + i, (size_t)n);
			used += (size_t)n;
		} else {
			used += (size_t)sprintf(out + used, cp > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)cp);
		}
		i += (size_t)n;
	}
	out[used] = '\0';
	return out;
}

char *escape_json(const char *text)
{
	size_t length = strlen(text), used = 0;
	char *out = malloc(length * 6 + 1); /* \uxxxx, or two of them for four bytes */

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < length;) {
		utf8proc_int32_t cp;
		utf8proc_ssize_t n =
		    utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(length - i), &cp);
		if (n <= 0) { /* JSON made here is UTF-8: never */
			out[used++] = '?';
			i++;
			continue;
		}
		if (harmless(cp, 1)) {
			memcpy(out + used, text + i, (size_t)n);
			used += (size_t)n;
		} else if (cp <= 0xffff) {
			used += (size_t)sprintf(out + used, "\\u%04x", (unsigned)cp);
		} else {
			unsigned rest = (unsigned)cp - 0x10000;
			used += (size_t)sprintf(out + used, "\\u%04x\\u%04x", 0xd800 + (rest >> 10),
						0xdc00 + (rest & 0x3ff));
		}
		i += (size_t)n;
	}
	out[used] = '\0';
	return out;
}

size_t escape_width(const char *text)
{
	size_t width = 0;

	while (*text != '\0') {
		utf8proc_int32_t cp;
		utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text, -1, &cp);
		if (n <= 0)
			return width;
		int w = utf8proc_charwidth(cp);
		width += w > 0 ? (size_t)w : 0;
		text += n;
	}
	return width;
}

/* Bytes of the text's head that take at most so many columns. */
static size_t head_of(const char *text, size_t width)
{
	size_t used = 0;

	while (text[used] != '\0') {
		utf8proc_int32_t cp;
		utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + used, -1, &cp);
		int w = n > 0 ? utf8proc_charwidth(cp) : 0;
		if (n <= 0 || (size_t)(w > 0 ? w : 0) > width)
			break;
		width -= (size_t)(w > 0 ? w : 0);
		used += (size_t)n;
	}
	return used;
}

char *escape_column(const char *text, size_t width)
{
	char *safe = escape_text(text, 0), *out = NULL;

	if (safe == NULL)
		return NULL;
	size_t wide = escape_width(safe);
	if (wide <= width) {
		if (asprintf(&out, "%s%*s", safe, (int)(width - wide), "") < 0)
			out = NULL;
	} else {
		size_t head = head_of(safe, width - 1);
		char shown[1024];
		snprintf(shown, sizeof shown, "%.*s…", (int)head, safe);
		size_t missing = width - escape_width(shown); /* half of a wide character */
		if (asprintf(&out, "%s%*s", shown, (int)missing, "") < 0)
			out = NULL;
	}
	free(safe);
	return out;
}
