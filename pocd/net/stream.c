#include "pocd/net/stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pocd/net/tls.h"

enum { READS_PER_EVENT = 4 };

static void on_event(evutil_socket_t fd, short what, void *arg);

static void watch(struct stream *stream, short what)
{
	if (stream->watching == what || stream->closed)
		return;
	event_del(stream->event);
	stream->watching = what;
	if (what == 0)
		return;
	event_assign(stream->event, stream->shared->base, stream->fd, (short)(what | EV_PERSIST), on_event, stream);
	if (event_add(stream->event, NULL) != 0)
		stream_close(stream, "out of memory");
}

/* What the stream waits for when nothing special is under way.  A pause costs nothing before something comes: most are
 * over by then. */
static void watch_usual(struct stream *stream)
{
	short what = stream->finishing ? 0 : stream->paused ? stream->watching & EV_READ : EV_READ;

	watch(stream, (short)(what | (stream->queue_size > 0 ? EV_WRITE : 0)));
}

int stream_init(struct stream *stream, struct stream_shared *shared, SSL_CTX *tls, int fd, const struct stream_ops *ops,
		void *ctx)
{
	memset(stream, 0, sizeof *stream);
	*stream = (struct stream){.shared = shared, .ops = ops, .ctx = ctx, .fd = fd, .ssl = SSL_new(tls)};
	stream->event = event_new(shared->base, fd, EV_READ | EV_PERSIST, on_event, stream);
	if (stream->ssl != NULL && stream->event != NULL && SSL_set_fd(stream->ssl, fd) == 1 &&
	    event_add(stream->event, NULL) == 0) {
		SSL_set_accept_state(stream->ssl);
		stream->watching = EV_READ;
		return 0;
	}
	if (stream->event != NULL)
		event_free(stream->event);
	SSL_free(stream->ssl);
	close(fd);
	return -1;
}

static void drop_scratch(struct stream *stream)
{
	if (stream->shared->out_owner == stream) {
		stream->shared->out_owner = NULL;
		stream->shared->out_size = 0;
		stream->shared->out_writes = 0;
	}
}

void stream_close(struct stream *stream, const char *reason)
{
	if (stream->closed)
		return;
	stream->closed = true;
	drop_scratch(stream);
	event_del(stream->event);
	if (stream->handshaken && ERR_peek_error() == 0)
		SSL_shutdown(stream->ssl); /* one try to say goodbye */
	ERR_clear_error();
	close(stream->fd);
	stream->ops->closed(stream->ctx, reason);
}

void stream_finish(struct stream *stream)
{
	if (stream->event != NULL)
		event_free(stream->event);
	SSL_free(stream->ssl);
	free(stream->queue);
}

/* ---- Writing */

/* Appends to the stream's own queue. */
static int enqueue(struct stream *stream, const uint8_t *bytes, size_t size)
{
	if (stream->queue_start + stream->queue_size + size > stream->queue_capacity) {
		size_t need = stream->queue_size + size;
		size_t capacity = need < 4096 ? 4096 : need + need / 2;
		uint8_t *queue = malloc(capacity);
		if (queue == NULL) {
			stream_close(stream, "out of memory");
			return -1;
		}
		if (stream->queue_size > 0)
			memcpy(queue, stream->queue + stream->queue_start, stream->queue_size);
		free(stream->queue);
		stream->queue = queue;
		stream->queue_start = 0;
		stream->queue_capacity = capacity;
	}
	memcpy(stream->queue + stream->queue_start + stream->queue_size, bytes, size);
	stream->queue_size += size;
	return 0;
}

/* Sends as much as the socket takes; returns how much, or -1 when the stream was closed. */
static ssize_t send_some(struct stream *stream, const uint8_t *bytes, size_t size)
{
	size_t sent = 0;

	while (sent < size) {
		ERR_clear_error();
		int n = SSL_write(stream->ssl, bytes + sent, (int)(size - sent));
		if (n > 0) {
			sent += (size_t)n;
			continue;
		}
		int error = SSL_get_error(stream->ssl, n);
		if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ)
			break;
		stream_close(stream, tls_error());
		return -1;
	}
	return (ssize_t)sent;
}

static void free_queue(struct stream *stream)
{
	free(stream->queue);
	stream->queue = NULL;
	stream->queue_capacity = stream->queue_start = stream->queue_size = 0;
}

static void send_queue(struct stream *stream)
{
	ssize_t sent = send_some(stream, stream->queue + stream->queue_start, stream->queue_size);

	if (sent < 0)
		return;
	stream->queue_start += (size_t)sent;
	stream->queue_size -= (size_t)sent;
	if (stream->queue_size > 0)
		return;
	free_queue(stream);
	if (stream->finishing) {
		stream_close(stream, "done");
		return;
	}
	stream->in_callback = true;
	stream->ops->drained(stream->ctx);
	stream->in_callback = false;
}

void stream_flush(struct stream *stream)
{
	struct stream_shared *shared = stream->shared;

	if (stream->closed)
		return;
	if (shared->out_owner == stream) {
		size_t size = shared->out_size;
		/* the order of bytes is kept: nothing goes past a queue */
		ssize_t sent = stream->queue_size > 0 ? 0 : send_some(stream, shared->out, size);
		if (sent < 0)
			return;
		shared->out_owner = NULL;
		shared->out_size = 0;
		shared->out_writes = 0;
		if ((size_t)sent < size && enqueue(stream, shared->out + sent, size - (size_t)sent) != 0)
			return;
	}
	if (stream->finishing && stream->queue_size == 0)
		stream_close(stream, "done");
	else
		watch_usual(stream);
}

int stream_write(struct stream *stream, const struct iovec *parts, int n)
{
	struct stream_shared *shared = stream->shared;
	size_t size = 0;

	if (stream->closed)
		return -1;
	for (int i = 0; i < n; i++)
		size += parts[i].iov_len;
	if (shared->out_owner != NULL && (shared->out_owner != stream || shared->out_size + size > sizeof shared->out))
		stream_flush(shared->out_owner);
	if (stream->closed)
		return -1;
	bool scratch = stream->queue_size == 0 && size <= sizeof shared->out;
	shared->out_writes += scratch;
	for (int i = 0; i < n; i++) {
		if (scratch) {
			memcpy(shared->out + shared->out_size, parts[i].iov_base, parts[i].iov_len);
			shared->out_size += parts[i].iov_len;
			shared->out_owner = stream;
		} else if (enqueue(stream, parts[i].iov_base, parts[i].iov_len) != 0) {
			return -1;
		}
	}
	return 0;
}

void stream_finish_output(struct stream *stream)
{
	stream->finishing = true;
	if (!stream->in_callback)
		stream_flush(stream);
}

void stream_pause(struct stream *stream, bool paused)
{
	stream->paused = paused;
	if (!stream->closed && stream->handshaken)
		watch_usual(stream);
}

/* ---- Events */

static void handshake(struct stream *stream)
{
	ERR_clear_error();
	int rc = SSL_accept(stream->ssl);

	if (rc == 1) {
		stream->handshaken = true;
		watch_usual(stream);
		stream->ops->ready(stream->ctx);
		return;
	}
	switch (SSL_get_error(stream->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		watch(stream, EV_READ);
		break;
	case SSL_ERROR_WANT_WRITE:
		watch(stream, EV_WRITE);
		break;
	default:
		stream_close(stream, tls_error());
	}
}

/* Reads once; true if more may be waiting: inside OpenSSL, or in the socket of a client that sends several requests at
 * a time.  Asking costs a call; but answers to all that has come then leave together. */
static bool read_once(struct stream *stream)
{
	ERR_clear_error();
	int n = SSL_read(stream->ssl, stream->shared->in, STREAM_READ_SIZE);

	if (n > 0) {
		stream->in_callback = true;
		stream->ops->bytes(stream->ctx, stream->shared->in, (size_t)n);
		stream->in_callback = false;
		return !stream->closed && (SSL_pending(stream->ssl) > 0 || stream->shared->out_writes > 1);
	}
	switch (SSL_get_error(stream->ssl, n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		if (tls_flooded(stream->ssl))
			stream_close(stream, "too many key updates");
		break;
	case SSL_ERROR_ZERO_RETURN:
		stream_close(stream, "closed by peer");
		break;
	default:
		stream_close(stream, tls_error());
	}
	return false;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct stream *stream = arg;

	(void)fd;
	if (!stream->handshaken) {
		handshake(stream);
		return;
	}
	if ((what & EV_READ) != 0 && stream->paused)
		watch(stream, (short)(stream->watching & ~EV_READ));
	if ((what & EV_WRITE) != 0 && stream->queue_size > 0)
		send_queue(stream);
	if ((what & EV_READ) != 0 && !stream->closed) {
		for (int i = 0; i < READS_PER_EVENT && !stream->paused && !stream->finishing && read_once(stream); i++)
			;
	}
	if (!stream->closed)
		stream_flush(stream);
}
