#include "proto/wire/utf8.h"

#include <string.h>
#include <utf8proc.h>

size_t utf8_next(const void *bytes, size_t size, uint32_t *code_point)
{
	utf8proc_int32_t value;

	if (size == 0)
		return 0;
	/* A code point has at most four bytes; the cut keeps the size within the library's signed type. */
	const utf8proc_ssize_t n = utf8proc_iterate(bytes, size < 4 ? (utf8proc_ssize_t)size : 4, &value);
	if (n <= 0)
		return 0;
	*code_point = (uint32_t)value;
	return (size_t)n;
}

bool utf8_valid(const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < size;) {
		uint32_t code_point = at[i];
		const size_t n = at[i] < 0x80 ? 1 : utf8_next(at + i, size - i, &code_point);
		if (n == 0 || code_point == 0)
			return false;
		i += n;
	}
	return true;
}

void utf8_mend(char *text)
{
	uint32_t code_point;

	for (size_t left = strlen(text); left > 0;) {
		size_t length = utf8_next(text, left, &code_point);
		if (length == 0) {
			*text = '?';
			length = 1;
		}
		text += length;
		left -= length;
	}
}
