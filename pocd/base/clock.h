/* clock: the time, injectable for tests. */
#ifndef POCD_BASE_CLOCK_H
#define POCD_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since 1970-01-01T00:00:00Z.  The argument is ignored; the signature suits option structs. */
uint64_t clock_now_ms(void *ctx);

/* Milliseconds of a clock that never jumps. */
uint64_t clock_monotonic_ms(void);

#endif
