/* unit: what every unit test program includes: cmocka with its prerequisites, and a small repeatable random source. */
#ifndef TESTS_LIB_UNIT_H
#define TESTS_LIB_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* xorshift64*: the same sequence in every run, so that a failure can be repeated. */
static inline uint64_t test_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

/* A time limit, ms: longer where POCD_SLOW says that everything is (valgrind). */
static inline int test_limit_ms(int ms)
{
	return getenv("POCD_SLOW") != NULL ? 6 * ms : ms;
}

/* Whether times can be compared with one another: a sanitizer or valgrind slows some code down more than other. */
static inline int test_times_count(void)
{
	return getenv("POCD_SLOW") == NULL;
}

#endif
