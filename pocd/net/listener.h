/* listener: accepts connections on the first loop and hands each to the loop with fewest. */
#ifndef POCD_NET_LISTENER_H
#define POCD_NET_LISTENER_H

#include "pocd/net/conn.h"
#include "proto/wire/status.h"

struct listener;

struct listener_options {
	const char *address;       /* as address_parse takes it; ignored when fd >= 0 */
	int fd;                    /* a listening socket inherited from systemd; -1: none */
	struct loop *const *loops; /* borrowed; [0] accepts */
	unsigned n_loops;
	struct limit *limit;        /* borrowed */
	SSL_CTX *(*tls)(void *ctx); /* the context for a new connection, with a reference for the caller */
	void *tls_ctx;
};

/* Binds and begins to accept when the first loop runs.  NULL with *why. */
struct listener *listener_create(const struct listener_options *options, struct refusal *why);

/* Accepts no more; on the first loop's thread, or when it is stopped. */
void listener_stop(struct listener *listener);
void listener_destroy(struct listener *listener); /* NULL allowed */

/* The address that it is bound to, as text: an inherited socket's own. */
const char *listener_address(const struct listener *listener);

#endif
