#include "pocd/net/limit.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096 };

struct entry {
	struct entry *next;
	uint64_t address;
	unsigned count;
};

struct limit {
	pthread_mutex_t lock;
	unsigned total, max_total, max_per_address;
	struct entry *buckets[BUCKETS];
};

struct limit *limit_create(unsigned total, unsigned per_address)
{
	struct limit *limit = calloc(1, sizeof *limit);

	if (limit == NULL)
		return NULL;
	pthread_mutex_init(&limit->lock, NULL);
	limit_configure(limit, total, per_address);
	return limit;
}

void limit_destroy(struct limit *limit)
{
	if (limit == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (limit->buckets[i] != NULL) {
			struct entry *entry = limit->buckets[i];
			limit->buckets[i] = entry->next;
			free(entry);
		}
	}
	pthread_mutex_destroy(&limit->lock);
	free(limit);
}

void limit_configure(struct limit *limit, unsigned total, unsigned per_address)
{
	pthread_mutex_lock(&limit->lock);
	limit->max_total = total;
	limit->max_per_address = per_address;
	pthread_mutex_unlock(&limit->lock);
}

/* An IPv4 address, also where it came over a socket for both (::ffff:1.2.3.4), or an IPv6 network of 64 bits. */
static uint64_t address_of(const struct sockaddr_storage *peer)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)peer;
	uint64_t address = 0;
	uint32_t four;

	if (peer->ss_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
		memcpy(&address, six->sin6_addr.s6_addr, sizeof address);
		return address;
	}
	if (peer->ss_family == AF_INET6)
		memcpy(&four, six->sin6_addr.s6_addr + 12, sizeof four);
	else if (peer->ss_family == AF_INET)
		four = ((const struct sockaddr_in *)peer)->sin_addr.s_addr;
	else
		return 0;
	return (uint64_t)1 << 63 | four;
}

static struct entry **find(struct limit *limit, uint64_t address)
{
	struct entry **at = &limit->buckets[(address ^ address >> 32 ^ address >> 13) % BUCKETS];

	while (*at != NULL && (*at)->address != address)
		at = &(*at)->next;
	return at;
}

bool limit_acquire(struct limit *limit, const struct sockaddr_storage *peer)
{
	bool good = false;

	pthread_mutex_lock(&limit->lock);
	if (limit->total < limit->max_total) {
		struct entry **at = find(limit, address_of(peer));
		if (*at == NULL && (*at = calloc(1, sizeof **at)) != NULL)
			(*at)->address = address_of(peer);
		if (*at != NULL && (*at)->count < limit->max_per_address) {
			(*at)->count++;
			limit->total++;
			good = true;
		}
	}
	pthread_mutex_unlock(&limit->lock);
	return good;
}

void limit_release(struct limit *limit, const struct sockaddr_storage *peer)
{
	pthread_mutex_lock(&limit->lock);
	struct entry **at = find(limit, address_of(peer));
	if (*at != NULL) {
		limit->total--;
		if (--(*at)->count == 0) {
			struct entry *gone = *at;
			*at = gone->next;
			free(gone);
		}
	}
	pthread_mutex_unlock(&limit->lock);
}

unsigned limit_total(struct limit *limit)
{
	pthread_mutex_lock(&limit->lock);
	unsigned total = limit->total;
	pthread_mutex_unlock(&limit->lock);
	return total;
}
