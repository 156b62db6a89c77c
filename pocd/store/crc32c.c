#include "pocd/store/crc32c.h"

#include <pthread.h>
#include <string.h>

static uint32_t table[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t value = i;
		for (int bit = 0; bit < 8; bit++)
			value = value >> 1 ^ ((value & 1) != 0 ? 0x82f63b78 : 0);
		table[i] = value;
	}
}

static uint32_t by_table(uint32_t crc, const uint8_t *at, size_t size)
{
	pthread_once(&once, fill);
	while (size-- > 0)
		crc = crc >> 8 ^ table[(crc ^ *at++) & 0xff];
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *at, size_t size)
{
	uint64_t wide = crc;

	for (; size >= 8; size -= 8, at += 8) {
		uint64_t word;
		memcpy(&word, at, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	while (size-- > 0)
		crc = __builtin_ia32_crc32qi(crc, *at++);
	return crc;
}
#endif

uint32_t crc32c(uint32_t crc, const void *bytes, size_t size)
{
	crc = ~crc;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return ~by_instruction(crc, bytes, size);
#endif
	return ~by_table(crc, bytes, size);
}
