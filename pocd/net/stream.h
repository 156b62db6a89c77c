/* stream: bytes over TLS over a libevent event: handshake, reading, coalesced writing, clean shutdown.  Upper code sees
 * "ready", "bytes" and "closed".
 *
 * Idle streams hold no buffers: reading uses the loop's shared buffer, and what is written goes to the loop's shared
 * buffer first; only what the socket does not take at once is copied into a queue of the stream's own.  So answers that
 * wait together leave in one SSL_write. */
#ifndef POCD_NET_STREAM_H
#define POCD_NET_STREAM_H

#include <event2/event.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { STREAM_READ_SIZE = 16 * 1024, STREAM_SCRATCH_SIZE = 64 * 1024 };

/* What the streams of one loop share. */
struct stream_shared {
	struct event_base *base;
	uint8_t in[STREAM_READ_SIZE];
	uint8_t out[STREAM_SCRATCH_SIZE];
	size_t out_size;
	unsigned out_writes;      /* calls of stream_write since something was sent */
	struct stream *out_owner; /* whose bytes are in out; NULL: none */
};

struct stream_ops {
	void (*ready)(void *ctx);                                    /* the handshake is done */
	void (*bytes)(void *ctx, const uint8_t *bytes, size_t size); /* may close the stream */
	void (*drained)(void *ctx);                                  /* the queue became empty */
	void (*closed)(void *ctx, const char *reason);               /* once; the stream may be destroyed from now on */
};

struct stream {
	struct stream_shared *shared;
	const struct stream_ops *ops;
	void *ctx;
	SSL *ssl;
	int fd;
	struct event *event;
	short watching; /* EV_READ, EV_WRITE */
	bool handshaken, closed, paused, in_callback, finishing;
	uint8_t *queue; /* what the socket has not taken */
	size_t queue_size, queue_start, queue_capacity;
};

/* Takes fd and starts the handshake.  -1: fd is closed, nothing else happens. */
int stream_init(struct stream *stream, struct stream_shared *shared, SSL_CTX *tls, int fd, const struct stream_ops *ops,
		void *ctx);

/* Appends bytes to what is to be sent; they leave when stream_flush is called or when the current bytes callback
 * returns.  -1 when out of memory: the stream is closed. */
int stream_write(struct stream *stream, const struct iovec *parts, int n);
void stream_flush(struct stream *stream);

/* Stops and resumes reading (backpressure). */
void stream_pause(struct stream *stream, bool paused);

/* Sends what is queued, then closes. */
void stream_finish_output(struct stream *stream);

/* Closes at once: closed is called if it was not. */
void stream_close(struct stream *stream, const char *reason);

/* Frees what the stream holds; closed already. */
void stream_finish(struct stream *stream);

#endif
