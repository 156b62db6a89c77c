/* toll: how many signatures somebody has had verified, and the CPU time of the calling threads that this took. */
#ifndef PROTO_KEYS_TOLL_H
#define PROTO_KEYS_TOLL_H

#include <stdint.h>

/* Zeroed memory is none. */
struct toll {
	uint64_t signatures, cpu_ns;
};

/* CPU time of the calling thread so far, in nanoseconds. */
uint64_t toll_clock(void);

/* Around the verifying of a signature: begin returns what end is to be given.  NULL allowed: nobody counts, and
 * neither costs anything. */
uint64_t toll_begin(const struct toll *toll);
void toll_end(struct toll *toll, uint64_t begun);

#endif
