#include "proto/proof/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

ssize_t base64_encode(const uint8_t *bytes, size_t size, char *out, size_t out_size)
{
	size_t used = 0;

	if (out_size == 0 || size > (out_size - 1) / 4 * 3)
		return -1;
	for (size_t i = 0; i < size; i += 3) {
		size_t left = size - i;
		uint32_t group = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
				 (left > 2 ? bytes[i + 2] : 0);
		out[used++] = alphabet[group >> 18];
		out[used++] = alphabet[group >> 12 & 63];
		out[used++] = left > 1 ? alphabet[group >> 6 & 63] : '=';
		out[used++] = left > 2 ? alphabet[group & 63] : '=';
	}
	out[used] = '\0';
	return (ssize_t)used;
}

static int value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ssize_t base64_decode(const char *text, size_t length, uint8_t *out, size_t out_size)
{
	size_t used = 0;

	if (length % 4 != 0)
		return -1;
	for (size_t i = 0; i < length; i += 4) {
		size_t pad = 0;
		if (i + 4 == length && text[i + 3] == '=')
			pad = text[i + 2] == '=' ? 2 : 1;
		uint32_t group = 0;
		for (size_t j = 0; j < 4; j++) {
			int bits = j < 4 - pad ? value(text[i + j]) : 0;
			if (bits < 0)
				return -1;
			group = group << 6 | (uint32_t)bits;
		}
		/* spare bits must be zero: each byte string has one text */
		if ((pad == 1 && (group & 0xff) != 0) || (pad == 2 && (group & 0xffff) != 0))
			return -1;
		if (out_size - used < 3 - pad)
			return -1;
		for (size_t j = 0; j < 3 - pad; j++)
			out[used++] = (uint8_t)(group >> (16 - 8 * j));
	}
	return (ssize_t)used;
}
