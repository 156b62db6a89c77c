/* conn: one client's connection: frames in, frames out, deadlines; and the event loop that carries connections.
 *
 * Everything of a conn happens on its loop's thread, except where it says "any thread". */
#ifndef POCD_NET_CONN_H
#define POCD_NET_CONN_H

#include <sys/socket.h>

#include "pocd/base/mailbox.h"
#include "pocd/net/limit.h"
#include "pocd/net/stream.h"

struct conn;
struct loop;

struct conn_limits {
	uint32_t handshake_ms; /* from accept to the end of the handshake; six times that for all, until trusted */
	uint32_t frame_ms;     /* from a frame's first byte to its last */
	uint32_t idle_ms;      /* without a frame */
	uint32_t lifetime_ms;
	size_t queue_pause;  /* bytes waiting to be sent: stop reading above */
	size_t queue_max;    /* close above */
	uint32_t handshakes; /* under way at once, on one loop */
};

/* What the upper floor does with a connection. */
struct conn_ops {
	void (*opened)(struct conn *conn); /* the handshake is done */
	/* One whole frame (without its header), valid during the call.  Writes (types whose ceiling is above FRAME_MAX)
	 * come one at a time, after whatever else the loop has to do; a connection's frames stay in their order. */
	void (*frame)(struct conn *conn, const uint8_t *message, size_t size);
	/* A frame that cannot be one: the upper floor may send an error; the connection is closed after it. */
	void (*malformed)(struct conn *conn, const char *why);
	void (*closed)(struct conn *conn, const char *reason); /* once, if opened was called */
	void (*tick)(struct loop *loop);                       /* every LOOP_TICK_MS */
};

enum { LOOP_TICK_MS = 250 };

/* ---- Loop */

struct loop *loop_create(const struct conn_ops *ops, void *ctx, const struct conn_limits *limits);
void loop_destroy(struct loop *loop); /* stopped; closes what is left; NULL allowed */
int loop_start(struct loop *loop);    /* a thread that runs it */
void loop_stop(struct loop *loop);    /* any thread: ends the thread and waits for it */
void *loop_ctx(const struct loop *loop);
struct mailbox *loop_mailbox(struct loop *loop);
struct event_base *loop_base(struct loop *loop);
unsigned loop_load(const struct loop *loop);   /* any thread: connections */
uint64_t loop_now_ms(const struct loop *loop); /* monotonic, as of the last tick */

/* New limits for what comes; on the loop's thread. */
void loop_configure(struct loop *loop, const struct conn_limits *limits);

/* Calls each for every open connection. */
void loop_each(struct loop *loop, void (*each)(struct conn *conn, void *arg), void *arg);

/* Stops reading on all connections, sends what is queued, closes those that wait for nothing. */
void loop_drain(struct loop *loop);

/* ---- Connection */

/* Closes fd, which is not to become a connection; counts and logs that. */
void conn_refuse(int fd, const struct sockaddr_storage *peer, const char *reason);

/* Takes fd, counted in by limit (released when it closes). */
void conn_accept(struct loop *loop, SSL_CTX *tls, int fd, const struct sockaddr_storage *peer, struct limit *limit);

/* Whether frames above FRAME_MAX are taken, by type, and the connection may stay: not before the upper floor knows who
 * it is.  A stranger cannot make the server hold more than a small frame, nor keep a place that others need. */
void conn_trust(struct conn *conn, bool trusted);

void conn_set_user(struct conn *conn, void *user);
void *conn_user(const struct conn *conn);
struct loop *conn_loop(const struct conn *conn);
const char *conn_peer(const struct conn *conn); /* address and port, for the log */
SSL *conn_ssl(const struct conn *conn);
bool conn_open(const struct conn *conn);

/* References keep the memory, not the connection: for answers that come later.  Loop's thread only. */
void conn_ref(struct conn *conn);
void conn_unref(struct conn *conn);

/* Sends one frame made of parts (the header is added).  Nothing happens if the connection is closed. */
void conn_send(struct conn *conn, const struct iovec *parts, int n);

/* Sends at once what conn_send collected outside of a frame callback. */
void conn_flush(struct conn *conn);

void conn_close(struct conn *conn, const char *reason); /* at once */
void conn_close_after_output(struct conn *conn);

/* Work that this connection waits for (writes under way): a draining server closes it only at 0. */
void conn_work(struct conn *conn, int change);

#endif
