#include "pocd/net/conn.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pocd/base/clock.h"
#include "pocd/base/diag.h"
#include "pocd/base/metrics.h"
#include "proto/wire/frame.h"

enum { PRIORITIES = 3, PRIORITY_TURN = 2 }; /* of events */
enum { STRANGER_TIMES = 6 };                /* the time of a handshake: how long nobody whom U lists may keep a place */
enum { PARTS_MAX = 8, TYPE_BYTES = 6 /* of a request, that show its type */, PEER_TEXT = 64 };

struct conn {
	struct conn *prev, *next; /* in the loop's list; next also in its graveyard */
	struct loop *loop;
	struct stream stream;
	struct limit *limit;
	struct sockaddr_storage peer;
	char peer_text[PEER_TEXT];
	void *user;
	int references, working;
	bool opened, closed, refusing, trusted;
	bool in_line, its_turn; /* with a write to be taken */
	struct conn *behind;    /* in line */
	uint8_t *in;            /* a frame that has not arrived whole, and what was read before reading was paused */
	size_t in_size, in_capacity;
	uint64_t accepted_ms, active_ms, frame_ms; /* frame_ms 0: no partial frame */
};

struct loop {
	struct stream_shared shared;
	struct mailbox *mailbox;
	struct event *ticker;
	const struct conn_ops *ops;
	void *ctx;
	struct conn_limits limits;
	struct conn *conns, *graveyard;
	struct conn *line_first, *line_last; /* whose next frame is a write; each is referenced */
	struct event *turn;                  /* takes one of them */
	struct event *burial;
	atomic_uint load;
	unsigned handshakes;
	uint64_t now_ms;
	bool draining, started;
	pthread_t thread;
};

/* ---- Frames */

static void refuse_frame(struct conn *conn, const char *why)
{
	conn->refusing = true;
	metric_add(METRIC_MALFORMED, 1);
	conn->loop->ops->malformed(conn, why);
	if (!conn->closed)
		stream_finish_output(&conn->stream);
}

/* Size of the frame that begins at bytes: header and message; 0 if that cannot be told yet, -1 if it is none. */
static int64_t frame_size(const struct conn *conn, const uint8_t *bytes, size_t have)
{
	if (have < FRAME_HEADER)
		return 0;
	int32_t size = frame_get_header(bytes, conn->trusted ? FRAME_MAX_POST : FRAME_MAX);
	if (size < 0)
		return -1;
	if (size > FRAME_MAX) {
		/* only some requests may be that large: the type shows in the first bytes */
		if (have < FRAME_HEADER + TYPE_BYTES)
			return 0;
		uint32_t type = frame_request_type(bytes + FRAME_HEADER, have - FRAME_HEADER);
		if ((uint32_t)size > frame_request_max(type))
			return -1;
	}
	return (int64_t)size + FRAME_HEADER;
}

/* Keeps the bytes of a partial frame.  Grows with what arrives, not with what a header promises. */
static int keep(struct conn *conn, const uint8_t *bytes, size_t size)
{
	if (conn->in_size + size > conn->in_capacity) {
		size_t capacity = conn->in_capacity > 0 ? 2 * conn->in_capacity : 512;
		while (capacity < conn->in_size + size)
			capacity *= 2;
		uint8_t *in = realloc(conn->in, capacity);
		if (in == NULL) {
			stream_close(&conn->stream, "out of memory");
			return -1;
		}
		conn->in = in;
		conn->in_capacity = capacity;
	}
	memcpy(conn->in + conn->in_size, bytes, size);
	conn->in_size += size;
	if (conn->frame_ms == 0)
		conn->frame_ms = conn->loop->now_ms;
	return 0;
}

static void forget_partial(struct conn *conn)
{
	free(conn->in);
	conn->in = NULL;
	conn->in_size = conn->in_capacity = 0;
	conn->frame_ms = 0;
}

static bool usable(const struct conn *conn)
{
	return !conn->closed && !conn->refusing && !conn->stream.finishing;
}

/* Writes cost much more than anything else: each waits in line for its turn, so that those who only ask wait for one
 * write at most, however many come. */
static bool must_wait(const struct conn *conn, const uint8_t *message, size_t size)
{
	return !conn->its_turn && conn->trusted && frame_request_max(frame_request_type(message, size)) > FRAME_MAX;
}

static void join_line(struct conn *conn)
{
	struct loop *loop = conn->loop;

	stream_pause(&conn->stream, true);
	conn_ref(conn);
	conn->in_line = true;
	conn->behind = NULL;
	if (loop->line_first == NULL) {
		loop->line_first = conn;
		event_active(loop->turn, EV_TIMEOUT, 0);
	} else {
		loop->line_last->behind = conn;
	}
	loop->line_last = conn;
}

static struct conn *leave_line(struct loop *loop)
{
	struct conn *conn = loop->line_first;

	loop->line_first = conn->behind;
	conn->in_line = false;
	return conn;
}

/* Handles the whole frames at bytes, until a write comes or too many answers wait to be sent; returns how many bytes
 * they took. */
static size_t take_frames(struct conn *conn, const uint8_t *bytes, size_t size)
{
	size_t used = 0;

	while (usable(conn) && !conn->stream.paused) {
		int64_t frame = frame_size(conn, bytes + used, size - used);
		if (frame < 0) {
			refuse_frame(conn, "frame of impossible size");
			break;
		}
		if (frame == 0 || (size_t)frame > size - used)
			break;
		conn->active_ms = conn->loop->now_ms;
		if (must_wait(conn, bytes + used + FRAME_HEADER, (size_t)frame - FRAME_HEADER)) {
			join_line(conn);
			break;
		}
		conn->its_turn = false;
		conn->loop->ops->frame(conn, bytes + used + FRAME_HEADER, (size_t)frame - FRAME_HEADER);
		used += (size_t)frame;
	}
	return used;
}

/* Handles what is kept, as far as it goes now. */
static void take_kept(struct conn *conn)
{
	size_t used = take_frames(conn, conn->in, conn->in_size);

	if (!usable(conn) || used == 0)
		return;
	conn->in_size -= used;
	memmove(conn->in, conn->in + used, conn->in_size);
	conn->frame_ms = conn->loop->now_ms;
	if (conn->in_size == 0)
		forget_partial(conn);
}

static void on_bytes(void *ctx, const uint8_t *bytes, size_t size)
{
	struct conn *conn = ctx;

	conn_ref(conn);
	if (conn->in_size == 0) {
		size_t used = take_frames(conn, bytes, size);
		if (usable(conn) && used < size)
			keep(conn, bytes + used, size - used);
	} else if (usable(conn) && keep(conn, bytes, size) == 0) {
		take_kept(conn);
	}
	conn_unref(conn);
}

/* ---- Life */

static void on_ready(void *ctx)
{
	struct conn *conn = ctx;

	conn->loop->handshakes--;
	conn->opened = true;
	conn->active_ms = conn->loop->now_ms;
	conn->loop->ops->opened(conn);
}

/* Reads on. */
static void resume(struct conn *conn)
{
	stream_pause(&conn->stream, false);
	if (conn->in_size > 0) {
		conn->frame_ms = conn->loop->now_ms;
		take_kept(conn);
	}
}

static void on_drained(void *ctx)
{
	struct conn *conn = ctx;

	if (!conn->stream.paused || conn->in_line || conn->loop->draining)
		return;
	conn_ref(conn);
	resume(conn);
	conn_unref(conn);
}

/* Takes the write of the first in line.  Of a lower priority than all else: whatever came meanwhile goes first. */
static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;
	struct conn *conn = leave_line(loop);

	(void)fd;
	(void)what;
	if (loop->line_first != NULL)
		event_active(loop->turn, EV_TIMEOUT, 0);
	if (!conn->closed && !loop->draining) {
		conn->its_turn = true;
		resume(conn);
		conn->its_turn = false;
		conn_flush(conn);
	}
	conn_unref(conn);
}

static void on_closed(void *ctx, const char *reason)
{
	struct conn *conn = ctx;
	struct loop *loop = conn->loop;

	conn->closed = true;
	if (conn->opened) {
		loop->ops->closed(conn, reason);
	} else {
		loop->handshakes--;
		metric_add(METRIC_HANDSHAKES_FAILED, 1);
		diag(DIAG_DEBUG, "handshake.failed", "peer", conn->peer_text, "reason", reason, NULL);
	}
	metric_add(METRIC_CONNECTIONS, -1);
	limit_release(conn->limit, &conn->peer);
	atomic_fetch_sub(&loop->load, 1);
	if (conn->prev != NULL)
		conn->prev->next = conn->next;
	else
		loop->conns = conn->next;
	if (conn->next != NULL)
		conn->next->prev = conn->prev;
	conn->prev = conn->next = NULL;
	conn_unref(conn); /* the loop's own */
}

static const struct stream_ops stream_ops = {on_ready, on_bytes, on_drained, on_closed};

static void print_peer(const struct sockaddr_storage *peer, char out[PEER_TEXT])
{
	char address[INET6_ADDRSTRLEN] = "?";
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)peer;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)peer;

	if (peer->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &v6->sin6_addr, address, sizeof address);
		snprintf(out, PEER_TEXT, "[%s]:%u", address, ntohs(v6->sin6_port));
	} else {
		inet_ntop(AF_INET, &v4->sin_addr, address, sizeof address);
		snprintf(out, PEER_TEXT, "%s:%u", address, ntohs(v4->sin_port));
	}
}

void conn_refuse(int fd, const struct sockaddr_storage *peer, const char *reason)
{
	static struct diag_rate rate;
	char text[PEER_TEXT];

	close(fd);
	metric_add(METRIC_CONNECTIONS_REFUSED, 1);
	unsigned n = diag_rate(&rate);
	if (n == 0)
		return;
	print_peer(peer, text);
	diag(DIAG_WARNING, "connection.refused", "peer", text, "reason", reason, "count", diag_number(n), NULL);
}

void conn_accept(struct loop *loop, SSL_CTX *tls, int fd, const struct sockaddr_storage *peer, struct limit *limit)
{
	struct conn *conn =
	    loop->draining || loop->handshakes >= loop->limits.handshakes ? NULL : calloc(1, sizeof *conn);

	if (conn == NULL) {
		conn_refuse(fd, peer, loop->draining ? "server stops" : "too many handshakes");
		limit_release(limit, peer);
		return;
	}
	conn->loop = loop;
	conn->limit = limit;
	conn->peer = *peer;
	conn->references = 1;
	conn->accepted_ms = conn->active_ms = clock_monotonic_ms();
	print_peer(&conn->peer, conn->peer_text);
	if (stream_init(&conn->stream, &loop->shared, tls, fd, &stream_ops, conn) != 0) {
		free(conn);
		limit_release(limit, peer);
		return;
	}
	conn->next = loop->conns;
	if (loop->conns != NULL)
		loop->conns->prev = conn;
	loop->conns = conn;
	loop->handshakes++;
	atomic_fetch_add(&loop->load, 1);
	metric_add(METRIC_CONNECTIONS, 1);
	metric_add(METRIC_CONNECTIONS_ACCEPTED, 1);
}

void conn_ref(struct conn *conn)
{
	conn->references++;
}

void conn_unref(struct conn *conn)
{
	if (--conn->references > 0)
		return;
	/* callers up the stack may still look at it: freed by an event of its own, and soon, for strangers can make
	 * many */
	if (conn->loop->graveyard == NULL)
		event_active(conn->loop->burial, EV_TIMEOUT, 0);
	conn->next = conn->loop->graveyard;
	conn->loop->graveyard = conn;
}

void conn_trust(struct conn *conn, bool trusted)
{
	conn->trusted = trusted;
}

void conn_set_user(struct conn *conn, void *user)
{
	conn->user = user;
}

void *conn_user(const struct conn *conn)
{
	return conn->user;
}

struct loop *conn_loop(const struct conn *conn)
{
	return conn->loop;
}

const char *conn_peer(const struct conn *conn)
{
	return conn->peer_text;
}

SSL *conn_ssl(const struct conn *conn)
{
	return conn->stream.ssl;
}

bool conn_open(const struct conn *conn)
{
	return conn->opened && !conn->closed;
}

void conn_send(struct conn *conn, const struct iovec *parts, int n)
{
	uint8_t header[FRAME_HEADER];
	struct iovec all[PARTS_MAX] = {{header, sizeof header}};
	size_t size = 0;

	if (conn->closed || n >= PARTS_MAX)
		return;
	for (int i = 0; i < n; i++) {
		all[i + 1] = parts[i];
		size += parts[i].iov_len;
	}
	frame_put_header(header, (uint32_t)size);
	if (stream_write(&conn->stream, all, n + 1) != 0)
		return;
	if (conn->stream.queue_size > conn->loop->limits.queue_max)
		stream_close(&conn->stream, "reads too slowly");
	else if (conn->stream.queue_size > conn->loop->limits.queue_pause && !conn->stream.paused)
		stream_pause(&conn->stream, true);
}

void conn_flush(struct conn *conn)
{
	if (!conn->closed)
		stream_flush(&conn->stream);
}

void conn_close(struct conn *conn, const char *reason)
{
	stream_close(&conn->stream, reason);
}

void conn_close_after_output(struct conn *conn)
{
	stream_finish_output(&conn->stream);
}

void conn_work(struct conn *conn, int change)
{
	conn->working += change;
	if (conn->working == 0 && conn->loop->draining && !conn->closed)
		stream_finish_output(&conn->stream);
}

/* ---- Loop */

static const char *missed(const struct conn *conn, uint64_t now)
{
	const struct conn_limits *limits = &conn->loop->limits;

	if (!conn->opened)
		return now > conn->accepted_ms + limits->handshake_ms ? "handshake takes too long" : NULL;
	if (conn->frame_ms != 0 && !conn->stream.paused && now > conn->frame_ms + limits->frame_ms)
		return "frame takes too long";
	if (conn->stream.queue_size > 0 && now > conn->active_ms + limits->frame_ms + limits->idle_ms)
		return "does not read";
	if (conn->working == 0 && now > conn->active_ms + limits->idle_ms)
		return "idle";
	if (!conn->trusted && now > conn->accepted_ms + (uint64_t)STRANGER_TIMES * limits->handshake_ms)
		return "not listed, and open for too long";
	return now > conn->accepted_ms + limits->lifetime_ms ? "open for too long" : NULL;
}

static void bury(struct loop *loop)
{
	while (loop->graveyard != NULL) {
		struct conn *conn = loop->graveyard;
		loop->graveyard = conn->next;
		stream_finish(&conn->stream);
		free(conn->in);
		free(conn);
	}
}

static void on_burial(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	bury(arg);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;

	(void)fd;
	(void)what;
	loop->now_ms = clock_monotonic_ms();
	for (struct conn *conn = loop->conns, *next; conn != NULL; conn = next) {
		next = conn->next;
		const char *reason = missed(conn, loop->now_ms);
		if (reason != NULL) {
			metric_add(METRIC_DEADLINES, 1);
			stream_close(&conn->stream, reason);
		}
	}
	if (loop->ops->tick != NULL)
		loop->ops->tick(loop);
}

/* Events have the middle priority if nothing else is said; of the last one the base takes one at a time, then looks
 * what else has come. */
static struct event_base *make_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config != NULL && event_config_set_max_dispatch_interval(config, NULL, 1, PRIORITY_TURN) == 0)
		base = event_base_new_with_config(config);
	if (config != NULL)
		event_config_free(config);
	if (base != NULL && event_base_priority_init(base, PRIORITIES) != 0) {
		event_base_free(base);
		base = NULL;
	}
	return base;
}

struct loop *loop_create(const struct conn_ops *ops, void *ctx, const struct conn_limits *limits)
{
	struct loop *loop = calloc(1, sizeof *loop);
	struct timeval tick = {0, LOOP_TICK_MS * 1000};

	if (loop == NULL)
		return NULL;
	loop->ops = ops;
	loop->ctx = ctx;
	loop->limits = *limits;
	loop->now_ms = clock_monotonic_ms();
	loop->shared.base = make_base();
	if (loop->shared.base != NULL) {
		loop->mailbox = mailbox_create(loop->shared.base);
		loop->ticker = event_new(loop->shared.base, -1, EV_PERSIST, on_tick, loop);
		loop->turn = event_new(loop->shared.base, -1, 0, on_turn, loop);
		loop->burial = event_new(loop->shared.base, -1, 0, on_burial, loop);
	}
	if (loop->mailbox == NULL || loop->ticker == NULL || loop->turn == NULL || loop->burial == NULL ||
	    event_priority_set(loop->turn, PRIORITY_TURN) != 0 || event_add(loop->ticker, &tick) != 0) {
		loop_destroy(loop);
		return NULL;
	}
	return loop;
}

void loop_destroy(struct loop *loop)
{
	if (loop == NULL)
		return;
	if (loop->mailbox != NULL)
		mailbox_destroy(loop->mailbox);
	while (loop->conns != NULL)
		stream_close(&loop->conns->stream, "server stops");
	while (loop->line_first != NULL)
		conn_unref(leave_line(loop));
	bury(loop);
	if (loop->ticker != NULL)
		event_free(loop->ticker);
	if (loop->turn != NULL)
		event_free(loop->turn);
	if (loop->burial != NULL)
		event_free(loop->burial);
	if (loop->shared.base != NULL)
		event_base_free(loop->shared.base);
	free(loop);
}

static void *run(void *arg)
{
	struct loop *loop = arg;

	(void)pthread_setname_np(pthread_self(), "pocd-loop"); /* for top -H and the like */
	event_base_loop(loop->shared.base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

int loop_start(struct loop *loop)
{
	loop->started = pthread_create(&loop->thread, NULL, run, loop) == 0;
	return loop->started ? 0 : -1;
}

static void leave(void *arg)
{
	event_base_loopbreak(((struct loop *)arg)->shared.base);
}

void loop_stop(struct loop *loop)
{
	if (loop == NULL || !loop->started)
		return;
	mailbox_post(loop->mailbox, leave, loop);
	pthread_join(loop->thread, NULL);
	loop->started = false;
}

void *loop_ctx(const struct loop *loop)
{
	return loop->ctx;
}

struct mailbox *loop_mailbox(struct loop *loop)
{
	return loop->mailbox;
}

struct event_base *loop_base(struct loop *loop)
{
	return loop->shared.base;
}

unsigned loop_load(const struct loop *loop)
{
	return atomic_load(&loop->load);
}

uint64_t loop_now_ms(const struct loop *loop)
{
	return loop->now_ms;
}

void loop_configure(struct loop *loop, const struct conn_limits *limits)
{
	loop->limits = *limits;
}

void loop_each(struct loop *loop, void (*each)(struct conn *conn, void *arg), void *arg)
{
	for (struct conn *conn = loop->conns, *next; conn != NULL; conn = next) {
		next = conn->next;
		if (conn_open(conn))
			each(conn, arg);
	}
}

static void drain_one(struct conn *conn, void *arg)
{
	(void)arg;
	stream_pause(&conn->stream, true);
	if (conn->working == 0)
		stream_finish_output(&conn->stream);
}

void loop_drain(struct loop *loop)
{
	loop->draining = true;
	loop_each(loop, drain_one, NULL);
}
