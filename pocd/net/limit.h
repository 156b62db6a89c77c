/* limit: how many connections there may be, in all and from one address.  Thread-safe. */
#ifndef POCD_NET_LIMIT_H
#define POCD_NET_LIMIT_H

#include <stdbool.h>
#include <sys/socket.h>

struct limit;

struct limit *limit_create(unsigned total, unsigned per_address); /* NULL when out of memory */
void limit_destroy(struct limit *limit);                          /* NULL allowed */
void limit_configure(struct limit *limit, unsigned total, unsigned per_address);

/* Counts a connection in; false (and nothing counted) when a limit is reached.  IPv6 addresses count by their /64, IPv4
 * ones alike in both notations. */
bool limit_acquire(struct limit *limit, const struct sockaddr_storage *peer);
void limit_release(struct limit *limit, const struct sockaddr_storage *peer);

unsigned limit_total(struct limit *limit);

#endif
