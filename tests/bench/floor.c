/* floor: the least TLS server on the daemon's own libraries, as the measure of what an answer costs at best: libevent
 * events, raw SSL_read and SSL_write, TLS 1.3 with the client's certificate asked for, no tickets, no read-ahead.  It
 * answers each request frame with the same bytes, the request's id patched in, and looks at nothing else.
 *
 *   floor --cert FILE --key FILE --size BYTES [--append FILE]     prints "ready on ADDRESS"; ends when its stdin does
 *
 * With --append it is the durable floor: what a turn of the loop read is appended to the file and synced once before it
 * is answered. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/util.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER = 4, ID_AT = 1, ID_SIZE = 4, ID_FIELD = 0x0d, PROOF_FIELD = 0x2a, POST_FIELD = 0x4a };
enum { READ_SIZE = 16 * 1024, OUT_SIZE = 64 * 1024, ANSWER_LEAST = 16, ANSWER_MOST = 16 * 1024, BACKLOG = 1024 };
enum { START = HEADER + ID_AT + ID_SIZE, IDS_MAX = 64, TURN_MAX = 8 * 1024 * 1024 };

struct connection {
	int fd;
	SSL *ssl;
	struct event *event;
	bool handshaken;
	uint8_t *rest; /* what the socket did not take */
	size_t rest_size;
	/* with --append */
	uint8_t start[START]; /* of the frame that is coming */
	size_t started, to_come;
	uint8_t ids[IDS_MAX][ID_SIZE]; /* of the frames that came whole in this turn */
	size_t n_ids;
	struct connection *next; /* with something to answer */
};

static struct event_base *base;
static SSL_CTX *tls;
static uint8_t in[READ_SIZE], out[OUT_SIZE], answer[ANSWER_MOST];
static size_t answer_size;
static int append_fd = -1;
static uint8_t turn[TURN_MAX]; /* what is to be appended */
static size_t turn_size;
static struct connection *answerable;
static bool ended;

static void on_event(evutil_socket_t fd, short what, void *arg);

static void drop(struct connection *connection)
{
	event_free(connection->event);
	SSL_free(connection->ssl);
	close(connection->fd);
	free(connection->rest);
	free(connection);
}

static bool watch(struct connection *connection, short what)
{
	event_del(connection->event);
	event_assign(connection->event, base, connection->fd, (short)(what | EV_PERSIST), on_event, connection);
	return event_add(connection->event, NULL) == 0;
}

/* Sends; what the socket does not take waits until it does.  False: the connection is of no use any more. */
static bool send_bytes(struct connection *connection, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		int n = SSL_write(connection->ssl, bytes, (int)size);
		if (n <= 0) {
			if (SSL_get_error(connection->ssl, n) != SSL_ERROR_WANT_WRITE)
				return false;
			break;
		}
		bytes += n;
		size -= (size_t)n;
	}
	uint8_t *rest = NULL;
	if (size > 0) {
		rest = malloc(size);
		if (rest == NULL || !watch(connection, EV_WRITE)) {
			free(rest);
			return false;
		}
		memcpy(rest, bytes, size);
	}
	free(connection->rest);
	connection->rest = rest;
	connection->rest_size = size;
	return true;
}

/* ---- The durable floor */

/* Notes the ids of frames that are whole with these bytes. */
static bool follow_frames(struct connection *connection, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		size_t take = START - connection->started < size ? START - connection->started : size;
		if (connection->started < START) {
			memcpy(connection->start + connection->started, bytes, take);
			connection->started += take;
			if (connection->started == START) {
				uint32_t length;
				memcpy(&length, connection->start, sizeof length);
				if (ntohl(length) < START - HEADER)
					return false;
				connection->to_come = ntohl(length) - (START - HEADER);
			}
		} else {
			take = connection->to_come < size ? connection->to_come : size;
			connection->to_come -= take;
		}
		bytes += take;
		size -= take;
		if (connection->started == START && connection->to_come == 0) {
			if (connection->n_ids == IDS_MAX)
				return false;
			memcpy(connection->ids[connection->n_ids++], connection->start + HEADER + ID_AT, ID_SIZE);
			connection->started = 0;
		}
	}
	return true;
}

static bool append_later(struct connection *connection, size_t size)
{
	size_t before = connection->n_ids;

	if (size > TURN_MAX - turn_size || !follow_frames(connection, in, size))
		return false;
	memcpy(turn + turn_size, in, size);
	turn_size += size;
	if (before == 0 && connection->n_ids > 0) {
		connection->next = answerable;
		answerable = connection;
	}
	return true;
}

static bool answer_ids(struct connection *connection)
{
	size_t waiting = 0;

	for (size_t i = 0; i < connection->n_ids; i++) {
		memcpy(answer + HEADER + ID_AT, connection->ids[i], ID_SIZE);
		memcpy(out + waiting, answer, answer_size);
		waiting += answer_size;
	}
	connection->n_ids = 0;
	return connection->rest == NULL && send_bytes(connection, out, waiting);
}

static void give_up(void)
{
	fputs("floor: cannot append or answer\n", stderr);
	exit(1);
}

static void end_turn(void)
{
	if (turn_size > 0 && (write(append_fd, turn, turn_size) != (ssize_t)turn_size || fdatasync(append_fd) != 0))
		give_up();
	turn_size = 0;
	while (answerable != NULL) {
		struct connection *connection = answerable;
		answerable = connection->next;
		if (!answer_ids(connection))
			give_up();
	}
}

/* ---- Connections */

/* The load generator sends whole frames in one TLS record each time; so no partial frame is ever kept. */
static bool answer_frames(struct connection *connection, size_t size)
{
	size_t waiting = 0;

	for (size_t at = 0; at < size;) {
		uint32_t length;
		if (size - at < HEADER + ID_AT + ID_SIZE)
			return false;
		memcpy(&length, in + at, sizeof length);
		length = ntohl(length);
		if (length > size - at - HEADER || connection->rest != NULL)
			return false;
		memcpy(answer + HEADER + ID_AT, in + at + HEADER + ID_AT, ID_SIZE);
		if (waiting + answer_size > OUT_SIZE) {
			if (!send_bytes(connection, out, waiting))
				return false;
			waiting = 0;
		}
		memcpy(out + waiting, answer, answer_size);
		waiting += answer_size;
		at += HEADER + length;
	}
	return send_bytes(connection, out, waiting);
}

static bool shake_hands(struct connection *connection)
{
	int rc = SSL_accept(connection->ssl);

	connection->handshaken = rc == 1;
	return rc == 1 || SSL_get_error(connection->ssl, rc) == SSL_ERROR_WANT_READ;
}

static bool read_some(struct connection *connection)
{
	int n = SSL_read(connection->ssl, in, sizeof in);

	if (n > 0)
		return append_fd >= 0 ? append_later(connection, (size_t)n) : answer_frames(connection, (size_t)n);
	return SSL_get_error(connection->ssl, n) == SSL_ERROR_WANT_READ;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct connection *connection = arg;
	bool good;

	(void)fd;
	if (!connection->handshaken) {
		good = shake_hands(connection);
	} else if ((what & EV_WRITE) != 0) {
		uint8_t *rest = connection->rest;
		connection->rest = NULL;
		good = send_bytes(connection, rest, connection->rest_size);
		free(rest);
		good = good && (connection->rest != NULL || watch(connection, EV_READ));
	} else {
		good = read_some(connection);
	}
	if (!good)
		drop(connection);
}

static void take(int fd)
{
	struct connection *connection = calloc(1, sizeof *connection);
	int on = 1;

	if (connection == NULL) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	connection->fd = fd;
	connection->ssl = SSL_new(tls);
	connection->event = event_new(base, fd, EV_READ | EV_PERSIST, on_event, connection);
	if (connection->ssl == NULL || connection->event == NULL || SSL_set_fd(connection->ssl, fd) != 1 ||
	    event_add(connection->event, NULL) != 0) {
		fputs("floor: out of memory\n", stderr);
		exit(1);
	}
	SSL_set_accept_state(connection->ssl);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	(void)arg;
	for (;;) {
		int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client < 0)
			return;
		take(client);
	}
}

static void on_stdin(evutil_socket_t fd, short what, void *arg)
{
	char byte;

	(void)what;
	(void)arg;
	if (read(fd, &byte, 1) <= 0)
		ended = true;
}

static int listen_on_loopback(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, BACKLOG) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
		fprintf(stderr, "floor: cannot listen: %s\n", strerror(errno));
		exit(1);
	}
	printf("ready on 127.0.0.1:%u\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

static int accept_any(X509_STORE_CTX *ctx, void *arg)
{
	(void)arg;
	X509_STORE_CTX_set_error(ctx, X509_V_OK);
	return 1;
}

/* The settings of pocd's own context (pocd/net/tls.c), as far as they cost or save anything. */
static SSL_CTX *make_tls(const char *cert, const char *key)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL || SSL_CTX_use_certificate_file(ctx, cert, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		fputs("floor: certificate or key cannot be used\n", stderr);
		exit(1);
	}
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 0);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, accept_any, NULL);
	return ctx;
}

/* A Response of which the load generator sees header, id and field. */
static void make_answer(size_t size)
{
	uint32_t length = htonl((uint32_t)(size - HEADER));

	answer_size = size;
	memcpy(answer, &length, HEADER);
	answer[HEADER] = ID_FIELD;
	answer[HEADER + ID_AT + ID_SIZE] = append_fd >= 0 ? POST_FIELD : PROOF_FIELD;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"cert", required_argument, NULL, 'c'},
						{"key", required_argument, NULL, 'k'},
						{"size", required_argument, NULL, 's'},
						{"append", required_argument, NULL, 'a'},
						{0}};
	const char *cert = NULL, *key = NULL, *append = NULL;
	size_t size = 0;

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == 'c')
			cert = optarg;
		else if (c == 'k')
			key = optarg;
		else if (c == 's')
			size = strtoul(optarg, NULL, 10) + HEADER;
		else if (c == 'a')
			append = optarg;
	}
	if (cert == NULL || key == NULL || size < ANSWER_LEAST || size > ANSWER_MOST) {
		fputs("usage: floor --cert FILE --key FILE --size BYTES [--append FILE]\n", stderr);
		return 2;
	}
	if (append != NULL && (append_fd = open(append, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0) {
		fprintf(stderr, "floor: %s: %s\n", append, strerror(errno));
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	tls = make_tls(cert, key);
	make_answer(size);
	base = event_base_new();
	struct event *listener = event_new(base, listen_on_loopback(), EV_READ | EV_PERSIST, on_accept, NULL);
	struct event *end = event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_stdin, NULL);
	if (listener == NULL || end == NULL || event_add(listener, NULL) != 0 || event_add(end, NULL) != 0)
		return 1;
	while (!ended && event_base_loop(base, EVLOOP_ONCE) >= 0)
		end_turn();
	return 0;
}
