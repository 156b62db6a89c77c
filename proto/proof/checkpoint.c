#include "proto/proof/checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "proto/proof/base64.h"

/* Takes the next line of [*at, end) without its newline; false if there is none. */
static bool next_line(const char **at, const char *end, const char **line, size_t *length)
{
	const char *newline = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;

	if (newline == NULL)
		return false;
	*line = *at;
	*length = (size_t)(newline - *at);
	*at = newline + 1;
	return true;
}

static bool parse_size(const char *line, size_t length, uint64_t *out)
{
	if (length == 0 || length > 19 || (line[0] == '0' && length > 1))
		return false;
	*out = 0;
	for (size_t i = 0; i < length; i++) {
		if (line[i] < '0' || line[i] > '9')
			return false;
		*out = *out * 10 + (uint64_t)(line[i] - '0');
	}
	return true;
}

int checkpoint_parse(const char *text, size_t size, struct checkpoint *out, struct refusal *why)
{
	const char *at = text, *end = text + size, *line;
	size_t length;

	if (!next_line(&at, end, &line, &length) || length == 0 || length > NOTE_NAME_MAX || memchr(line, 0, length))
		return refuse(why, STATUS_MALFORMED, "checkpoint", "no origin");
	memcpy(out->origin, line, length);
	out->origin[length] = '\0';
	if (!next_line(&at, end, &line, &length) || !parse_size(line, length, &out->size))
		return refuse(why, STATUS_MALFORMED, "checkpoint", "no tree size");
	if (!next_line(&at, end, &line, &length) ||
	    base64_decode(line, length, out->root.bytes, HASH_SIZE) != HASH_SIZE)
		return refuse(why, STATUS_MALFORMED, "checkpoint", "no root hash");
	if (at != end)
		return refuse(why, STATUS_MALFORMED, "checkpoint", "more than three lines");
	return 0;
}

long checkpoint_format(const struct checkpoint *checkpoint, char *out, size_t out_size)
{
	char root[BASE64_LENGTH(HASH_SIZE) + 1];

	if (base64_encode(checkpoint->root.bytes, HASH_SIZE, root, sizeof root) < 0)
		return -1;
	int n =
	    snprintf(out, out_size, "%s\n%llu\n%s\n", checkpoint->origin, (unsigned long long)checkpoint->size, root);
	return n < 0 || (size_t)n >= out_size ? -1 : n;
}

static void put_u64(uint8_t *out, uint64_t value)
{
	for (int i = 7; i >= 0; i--, value >>= 8)
		out[i] = (uint8_t)value;
}

static uint64_t get_u64(const uint8_t *in)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | in[i];
	return value;
}

void leaf_write(const struct leaf *leaf, uint8_t out[LEAF_SIZE])
{
	out[0] = 1;
	out[1] = (uint8_t)leaf->kind;
	memcpy(out + 2, leaf->key.bytes, HASH_SIZE);
	put_u64(out + 34, leaf->seq);
	memcpy(out + 42, leaf->value.bytes, HASH_SIZE);
	put_u64(out + 74, leaf->time_ms);
}

int leaf_read(const uint8_t bytes[LEAF_SIZE], struct leaf *out)
{
	if (bytes[0] != 1 || bytes[1] < LEAF_PUT || bytes[1] > LEAF_ANCHOR)
		return -1;
	out->kind = bytes[1];
	memcpy(out->key.bytes, bytes + 2, HASH_SIZE);
	out->seq = get_u64(bytes + 34);
	memcpy(out->value.bytes, bytes + 42, HASH_SIZE);
	out->time_ms = get_u64(bytes + 74);
	if (out->kind != LEAF_PUT && hash_compare(&out->key, &hash_zero) != 0)
		return -1;
	if (out->kind == LEAF_ANCHOR ? out->seq != 0 : out->seq == 0)
		return -1;
	return 0;
}
