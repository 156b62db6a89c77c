#include "pocd/store/schema.h"

#include <string.h>

void schema_put_u16(uint8_t out[2], unsigned value)
{
	out[0] = (uint8_t)(value >> 8);
	out[1] = (uint8_t)value;
}

unsigned schema_get_u16(const uint8_t in[2])
{
	return (unsigned)in[0] << 8 | in[1];
}

void schema_put_u32(uint8_t out[4], uint32_t value)
{
	for (int i = 3; i >= 0; i--, value >>= 8)
		out[i] = (uint8_t)value;
}

uint32_t schema_get_u32(const uint8_t in[4])
{
	return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

void schema_put_u64(uint8_t out[8], uint64_t value)
{
	for (int i = 7; i >= 0; i--, value >>= 8)
		out[i] = (uint8_t)value;
}

uint64_t schema_get_u64(const uint8_t in[8])
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | in[i];
	return value;
}

size_t schema_history_key(uint8_t out[SCHEMA_HISTORY_KEY_MAX], const char *name, uint64_t seq)
{
	size_t length = strnlen(name, SCHEMA_HISTORY_KEY_MAX - 9);

	memcpy(out, name, length);
	out[length] = 0;
	schema_put_u64(out + length + 1, seq);
	return length + 9;
}

void schema_tile_key(uint8_t out[SCHEMA_TILE_KEY], unsigned level, uint64_t index)
{
	out[0] = (uint8_t)level;
	schema_put_u64(out + 1, index);
}

void schema_event_key(uint8_t out[SCHEMA_EVENT_KEY], uint64_t leaf, uint32_t place)
{
	schema_put_u64(out, leaf);
	schema_put_u32(out + 8, place);
}

size_t schema_evidence_key(uint8_t out[SCHEMA_EVIDENCE_KEY_MAX], uint64_t publication, const char *name)
{
	size_t length = strnlen(name, SCHEMA_EVIDENCE_KEY_MAX - 8);

	schema_put_u64(out, publication);
	memcpy(out + 8, name, length);
	return length + 8;
}
