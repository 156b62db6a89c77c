#include "proto/wire/encode.h"

#include <stdlib.h>
#include <string.h>

enum { WIRE_VARINT = 0, WIRE_BYTES = 2, LENGTH_GUESS = 2 };

void encode_init(struct encoder *encoder, size_t room)
{
	*encoder = (struct encoder){.bytes = malloc(room > 0 ? room : 1), .capacity = room};
	if (encoder->bytes == NULL) {
		encoder->capacity = 0;
		encoder->failed = true;
	}
}

void encode_finish(struct encoder *encoder)
{
	free(encoder->bytes);
	*encoder = (struct encoder){.failed = true};
}

/* Room of size bytes at the end, to be filled at once; NULL when out of memory. */
static uint8_t *make_room(struct encoder *encoder, size_t size)
{
	if (encoder->failed)
		return NULL;
	if (encoder->capacity - encoder->size < size) {
		size_t capacity = encoder->capacity + encoder->capacity / 2 + size;
		uint8_t *bytes = realloc(encoder->bytes, capacity);
		if (bytes == NULL) {
			encoder->failed = true;
			return NULL;
		}
		encoder->bytes = bytes;
		encoder->capacity = capacity;
	}
	return encoder->bytes + encoder->size;
}

size_t varint_put(uint8_t *out, uint64_t value)
{
	size_t n = 0;

	for (; value >= 0x80; value >>= 7)
		out[n++] = (uint8_t)(value | 0x80);
	out[n++] = (uint8_t)value;
	return n;
}

void encode_varint(struct encoder *encoder, uint64_t value)
{
	uint8_t *out = make_room(encoder, 10);

	if (out != NULL)
		encoder->size += varint_put(out, value);
}

void encode_raw(struct encoder *encoder, const void *bytes, size_t size)
{
	uint8_t *out = make_room(encoder, size);

	if (out == NULL || size == 0)
		return;
	memcpy(out, bytes, size);
	encoder->size += size;
}

void encode_uint(struct encoder *encoder, unsigned field, uint64_t value)
{
	if (value == 0)
		return;
	encode_varint(encoder, field << 3 | WIRE_VARINT);
	encode_varint(encoder, value);
}

void encode_element(struct encoder *encoder, unsigned field, const void *bytes, size_t size)
{
	encode_varint(encoder, field << 3 | WIRE_BYTES);
	encode_varint(encoder, size);
	encode_raw(encoder, bytes, size);
}

void encode_bytes(struct encoder *encoder, unsigned field, const void *bytes, size_t size)
{
	if (size > 0)
		encode_element(encoder, field, bytes, size);
}

void encode_text(struct encoder *encoder, unsigned field, const char *text)
{
	encode_bytes(encoder, field, text, strlen(text));
}

void encode_back(struct encoder *encoder, size_t size)
{
	encoder->size = size;
}

size_t encode_begin(struct encoder *encoder, unsigned field)
{
	encode_varint(encoder, field << 3 | WIRE_BYTES);
	if (make_room(encoder, LENGTH_GUESS) != NULL)
		encoder->size += LENGTH_GUESS;
	return encoder->size;
}

void encode_end(struct encoder *encoder, size_t begin)
{
	uint8_t length[10];

	if (encoder->failed)
		return;
	size_t size = encoder->size - begin;
	size_t n = varint_put(length, size);
	/* The length stands before what it measures; most fit the guess, others move. */
	if (n > LENGTH_GUESS && make_room(encoder, n - LENGTH_GUESS) == NULL)
		return;
	if (n != LENGTH_GUESS)
		memmove(encoder->bytes + begin - LENGTH_GUESS + n, encoder->bytes + begin, size);
	memcpy(encoder->bytes + begin - LENGTH_GUESS, length, n);
	encoder->size = begin - LENGTH_GUESS + n + size;
}
