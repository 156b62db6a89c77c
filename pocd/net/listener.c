#include "pocd/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pocd/base/address.h"
#include "pocd/base/diag.h"

enum { ACCEPTS_PER_EVENT = 64, BACKLOG = 1024, PAUSE_MS = 100 };

struct listener {
	struct listener_options options;
	int fd, spare_fd; /* spare: given up for a moment when descriptors run out */
	struct event *event, *resume;
	char address[80];
};

struct delivery {
	struct loop *loop;
	SSL_CTX *tls;
	int fd;
	struct sockaddr_storage peer;
	struct limit *limit;
};

static void deliver(void *arg)
{
	struct delivery *delivery = arg;

	conn_accept(delivery->loop, delivery->tls, delivery->fd, &delivery->peer, delivery->limit);
	SSL_CTX_free(delivery->tls);
	free(delivery);
}

static struct loop *least_loaded(const struct listener *listener)
{
	struct loop *best = listener->options.loops[0];

	for (unsigned i = 1; i < listener->options.n_loops; i++) {
		if (loop_load(listener->options.loops[i]) < loop_load(best))
			best = listener->options.loops[i];
	}
	return best;
}

static void hand_over(struct listener *listener, int fd, const struct sockaddr_storage *peer)
{
	int on = 1;

	if (!limit_acquire(listener->options.limit, peer)) {
		conn_refuse(fd, peer, "too many connections");
		return;
	}
	struct delivery *delivery = malloc(sizeof *delivery);
	if (delivery == NULL) {
		limit_release(listener->options.limit, peer);
		conn_refuse(fd, peer, "out of memory");
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	*delivery = (struct delivery){least_loaded(listener), listener->options.tls(listener->options.tls_ctx), fd,
				      *peer, listener->options.limit};
	if (delivery->loop == listener->options.loops[0]) {
		deliver(delivery);
	} else if (mailbox_post(loop_mailbox(delivery->loop), deliver, delivery) != 0) {
		limit_release(delivery->limit, peer);
		SSL_CTX_free(delivery->tls);
		close(fd);
		free(delivery);
	}
}

/* Out of descriptors: turn the next one away with the spare, then rest, so that the loop does not spin. */
static void run_dry(struct listener *listener)
{
	static struct diag_rate rate;
	struct timeval pause = {0, PAUSE_MS * 1000};
	int error = errno;
	unsigned n = diag_rate(&rate);

	if (n > 0)
		diag(DIAG_WARNING, "listener.descriptors", "error", strerror(error), "count", diag_number(n), NULL);
	if (listener->spare_fd >= 0) {
		close(listener->spare_fd);
		int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			close(fd);
		listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	event_del(listener->event);
	event_add(listener->resume, &pause);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_add(((struct listener *)arg)->event, NULL);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	(void)what;
	for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
		struct sockaddr_storage peer = {0};
		socklen_t size = sizeof peer;
		int client = accept4(fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client >= 0) {
			hand_over(listener, client, &peer);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			run_dry(listener);
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

static int bind_address(const char *text, struct refusal *why)
{
	struct sockaddr_storage address;
	socklen_t size;
	int on = 1;

	if (address_parse(text, &address, &size, why) != 0)
		return -1;
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
	    bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, BACKLOG) != 0) {
		refuse(why, STATUS_IO, "listen", "%s: %s", text, strerror(errno));
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	return fd;
}

static void print_address(struct listener *listener)
{
	struct sockaddr_storage own;
	socklen_t size = sizeof own;
	char host[64] = "?", port[8] = "?";

	if (getsockname(listener->fd, (struct sockaddr *)&own, &size) == 0)
		getnameinfo((struct sockaddr *)&own, size, host, sizeof host, port, sizeof port,
			    NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(listener->address, sizeof listener->address, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host,
		 port);
}

struct listener *listener_create(const struct listener_options *options, struct refusal *why)
{
	struct listener *listener = calloc(1, sizeof *listener);

	if (listener == NULL) {
		refuse(why, STATUS_NO_MEMORY, "listen", "out of memory");
		return NULL;
	}
	listener->options = *options;
	listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	listener->fd = options->fd >= 0 ? options->fd : bind_address(options->address, why);
	if (listener->fd >= 0) {
		evutil_make_socket_nonblocking(listener->fd);
		print_address(listener);
		struct event_base *base = loop_base(options->loops[0]);
		listener->event = event_new(base, listener->fd, EV_READ | EV_PERSIST, on_accept, listener);
		listener->resume = event_new(base, -1, 0, on_resume, listener);
		if (listener->event != NULL && listener->resume != NULL && event_add(listener->event, NULL) == 0)
			return listener;
		refuse(why, STATUS_NO_MEMORY, "listen", "out of memory");
	}
	listener_destroy(listener);
	return NULL;
}

void listener_stop(struct listener *listener)
{
	if (listener->event != NULL) {
		event_free(listener->event);
		event_free(listener->resume);
	}
	listener->event = listener->resume = NULL;
	if (listener->fd >= 0)
		close(listener->fd);
	listener->fd = -1;
}

void listener_destroy(struct listener *listener)
{
	if (listener == NULL)
		return;
	listener_stop(listener);
	if (listener->spare_fd >= 0)
		close(listener->spare_fd);
	free(listener);
}

const char *listener_address(const struct listener *listener)
{
	return listener->address;
}
