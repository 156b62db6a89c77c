#include "clients/libpoc/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proto/wire/frame.h"
#include "proto/wire/prescan.h"
#include "proto/wire/tls.h"

#define DEFAULT_PORT "7437"

/* The id of an answer to bytes that the server could not read as a request; it closes after it. */
#define UNREAD_ID UINT32_MAX

enum { KEPT_MAX = 32, SERVER_MAX = 300 };

struct transport_context {
	SSL_CTX *ctx;
};

struct transport {
	int fd;
	SSL *ssl;
	char server[SERVER_MAX];
	struct hash pin;
	bool usable;
	bool event; /* an Event has come that nobody has waited for yet */
	uint32_t last_id;
	size_t n_kept;
	Poc__Response *kept[KEPT_MAX]; /* answers that came before somebody waited for them */
};

int64_t transport_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static const char *ssl_reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	return reason != NULL ? reason : "the connection was closed";
}

/* ---- Context */

/* No chain is built: the caller looks at the pin.  Only the kind of key is judged here. */
static int accept_leaf(X509_STORE_CTX *store, void *arg)
{
	X509 *leaf = X509_STORE_CTX_get0_cert(store);
	EVP_PKEY *key = leaf != NULL ? X509_get0_pubkey(leaf) : NULL;

	(void)arg;
	return key != NULL && (EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "EC"));
}

static int load_certificate(SSL_CTX *ctx, const char *path, struct refusal *why)
{
	BIO *file = BIO_new_file(path, "r");
	X509 *certificate = file != NULL ? PEM_read_bio_X509(file, NULL, NULL, NULL) : NULL;
	int status = 0;

	if (file == NULL)
		status = refuse(why, STATUS_IO, "user.cert", "cannot read the certificate %.200s", path);
	else if (certificate == NULL || SSL_CTX_use_certificate(ctx, certificate) != 1)
		status = refuse(why, STATUS_INVALID, "user.cert", "%.200s holds no usable certificate", path);
	X509_free(certificate);
	BIO_free(file);
	return status;
}

static int set_up(SSL_CTX *ctx, const char *certificate, const struct keystore_key *key, struct refusal *why)
{
	static const unsigned char alpn[] = "\x05poc/1";
	EVP_PKEY *pkey = keystore_pkey(key);

	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, accept_leaf, NULL);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
	if (SSL_CTX_set1_groups_list(ctx, TLS_GROUPS) != 1)
		ERR_clear_error();
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_alpn_protos(ctx, alpn, sizeof alpn - 1) != 0)
		return refuse(why, STATUS_FAILED, "", "OpenSSL cannot do TLS 1.3");
	int status = load_certificate(ctx, certificate, why);
	if (status != 0)
		return status;
	if (pkey == NULL)
		return refuse(why, STATUS_INVALID, "user.key", "this key cannot be used for TLS");
	if (SSL_CTX_use_PrivateKey(ctx, pkey) != 1 || SSL_CTX_check_private_key(ctx) != 1)
		return refuse(why, STATUS_INVALID, "user.key", "the key does not belong to the certificate %.200s",
			      certificate);
	return 0;
}

int transport_context_create(const char *certificate, const struct keystore_key *key, struct transport_context **out,
			     struct refusal *why)
{
	struct transport_context *context = calloc(1, sizeof *context);

	*out = NULL;
	if (context == NULL || (context->ctx = SSL_CTX_new(TLS_client_method())) == NULL) {
		free(context);
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	}
	ERR_clear_error();
	int status = set_up(context->ctx, certificate, key, why);
	ERR_clear_error();
	if (status != 0) {
		transport_context_destroy(context);
		return status;
	}
	*out = context;
	return 0;
}

void transport_context_destroy(struct transport_context *context)
{
	if (context == NULL)
		return;
	SSL_CTX_free(context->ctx);
	free(context);
}

/* ---- Sockets */

static bool is_port(const char *text)
{
	size_t n = strlen(text);

	return n >= 1 && n <= 5 && strspn(text, "0123456789") == n && atoi(text) >= 1 && atoi(text) <= 65535;
}

/* "host:port" into its parts, within server's copy.  False if it is none. */
static bool split_server(char *server, char **host, const char **port)
{
	char *colon;

	*port = DEFAULT_PORT;
	if (server[0] == '[') {
		char *end = strchr(server, ']');
		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return false;
		*host = server + 1;
		if (end[1] == ':')
			*port = end + 2;
		*end = '\0';
		return **host != '\0' && is_port(*port);
	}
	*host = server;
	colon = strchr(server, ':');
	if (colon != NULL && strchr(colon + 1, ':') == NULL) { /* more colons: a bare IPv6 address */
		*colon = '\0';
		*port = colon + 1;
	}
	return **host != '\0' && is_port(*port);
}

/* Waits for events on fd.  0; -1 with errno, ETIMEDOUT when the deadline has passed. */
static int wait_for(int fd, short events, int64_t deadline)
{
	for (;;) {
		int64_t left = deadline - transport_clock();
		struct pollfd item = {.fd = fd, .events = events};
		if (left <= 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		int n = poll(&item, 1, left > 60000 ? 60000 : (int)left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -1;
	}
}

static int connect_one(const struct addrinfo *address, int64_t deadline)
{
	int one = 1, error = 0;
	socklen_t size = sizeof error;
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, address->ai_protocol);

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
		return fd;
	if (errno == EINPROGRESS && wait_for(fd, POLLOUT, deadline) == 0) {
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0)
			return fd;
		if (error != 0)
			errno = error;
	}
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static int connect_any(const char *server, int64_t deadline, int *fd, struct refusal *why)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *list;
	char copy[SERVER_MAX], *host;
	const char *port;

	snprintf(copy, sizeof copy, "%s", server);
	if (strlen(server) >= sizeof copy || !split_server(copy, &host, &port))
		return refuse(why, STATUS_USAGE, "directory.server", "\"%.200s\" is not host:port", server);
	int error = getaddrinfo(host, port, &hints, &list);
	if (error == EAI_NONAME || error == EAI_ADDRFAMILY) { /* AI_ADDRCONFIG hides 127.0.0.1 on lonely machines */
		hints.ai_flags = 0;
		error = getaddrinfo(host, port, &hints, &list);
	}
	if (error != 0)
		return refuse(why, STATUS_UNREACHABLE, "", "%.200s: %s", server, gai_strerror(error));
	*fd = -1;
	for (const struct addrinfo *at = list; at != NULL && *fd < 0; at = at->ai_next)
		*fd = connect_one(at, deadline);
	int saved = errno;
	freeaddrinfo(list);
	if (*fd < 0)
		return refuse(why, STATUS_UNREACHABLE, "", "%.200s: %s", server, strerror(saved));
	return 0;
}

/* ---- TLS */

/* OpenSSL writes alerts without MSG_NOSIGNAL; a library must neither die of SIGPIPE nor change the program's handlers,
 * so it is blocked for the time of a call and swallowed if it came. */
struct pipe_guard {
	sigset_t old;
	bool was_pending;
};

static void guard_begin(struct pipe_guard *guard)
{
	sigset_t set, pending;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigpending(&pending);
	guard->was_pending = sigismember(&pending, SIGPIPE) == 1;
	pthread_sigmask(SIG_BLOCK, &set, &guard->old);
}

static void guard_end(const struct pipe_guard *guard)
{
	const struct timespec now = {0};
	sigset_t set;
	int saved = errno;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	if (!guard->was_pending) {
		while (sigtimedwait(&set, NULL, &now) < 0 && errno == EINTR)
			continue;
	}
	pthread_sigmask(SIG_SETMASK, &guard->old, NULL);
	errno = saved;
}

/* After an SSL call returned result: 0 to call again, else a status.  A call that neither moves nor waits is met with
 * the deadline too. */
static int ssl_wait(struct transport *t, int result, int64_t deadline, struct refusal *why)
{
	int error = SSL_get_error(t->ssl, result), saved = errno;
	short events = error == SSL_ERROR_WANT_READ ? POLLIN : error == SSL_ERROR_WANT_WRITE ? POLLOUT : 0;

	if (events != 0 && wait_for(t->fd, events, deadline) == 0)
		return 0;
	t->usable = false;
	if (events != 0)
		return refuse(why, STATUS_UNREACHABLE, "", "%s: %s", t->server,
			      errno == ETIMEDOUT ? "no answer within the time limit" : strerror(errno));
	if (error == SSL_ERROR_SYSCALL)
		return refuse(why, STATUS_UNREACHABLE, "", "%s: %s", t->server,
			      saved != 0 ? strerror(saved) : "the connection was closed");
	if (error == SSL_ERROR_ZERO_RETURN ||
	    ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return refuse(why, STATUS_UNREACHABLE, "", "%s closed the connection", t->server);
	return refuse(why, STATUS_TLS, "", "%s: TLS failed: %s", t->server, ssl_reason());
}

enum ssl_call { CALL_CONNECT, CALL_READ, CALL_WRITE };

static int ssl_do(struct transport *t, enum ssl_call call, void *bytes, size_t size, int64_t deadline,
		  struct refusal *why)
{
	size_t done = 0;

	do {
		struct pipe_guard guard;
		size_t moved = 0;
		guard_begin(&guard);
		ERR_clear_error();
		errno = 0;
		int result = call == CALL_CONNECT ? SSL_connect(t->ssl)
			     : call == CALL_READ
				 ? SSL_read_ex(t->ssl, (uint8_t *)bytes + done, size - done, &moved)
				 : SSL_write_ex(t->ssl, (const uint8_t *)bytes + done, size - done, &moved);
		int status = result == 1 ? 0 : ssl_wait(t, result, deadline, why);
		guard_end(&guard);
		if (status != 0)
			return status;
		if (result == 1 && call == CALL_CONNECT)
			return 0;
		done += moved;
	} while (done < size || call == CALL_CONNECT);
	return 0;
}

static int read_pin(struct transport *t, struct refusal *why)
{
	struct public_key key;
	uint8_t *spki = NULL;
	X509 *leaf = SSL_get0_peer_certificate(t->ssl);
	int size = leaf != NULL ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &spki) : -1;
	int status = size > 0 ? public_key_parse(spki, (size_t)size, &key, NULL) : STATUS_TLS;

	OPENSSL_free(spki);
	if (status != 0 || key.algorithm == KEY_UNKNOWN)
		return refuse(why, STATUS_TLS, "", "%s shows a key of a kind that is not accepted", t->server);
	t->pin = key.id;
	return 0;
}

static int handshake(struct transport *t, SSL_CTX *ctx, int64_t deadline, struct refusal *why)
{
	const unsigned char *alpn;
	unsigned length;

	t->ssl = SSL_new(ctx);
	if (t->ssl == NULL || SSL_set_fd(t->ssl, t->fd) != 1)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	int status = ssl_do(t, CALL_CONNECT, NULL, 0, deadline, why);
	if (status != 0)
		return status;
	SSL_get0_alpn_selected(t->ssl, &alpn, &length);
	if (length != 5 || memcmp(alpn, "poc/1", 5) != 0)
		return refuse(why, STATUS_TLS, "", "%s does not speak poc/1", t->server);
	return read_pin(t, why);
}

int transport_open(struct transport_context *context, const char *server, int64_t deadline, struct transport **out,
		   struct refusal *why)
{
	struct transport *t = calloc(1, sizeof *t);

	*out = NULL;
	if (t == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	t->fd = -1;
	t->usable = true;
	snprintf(t->server, sizeof t->server, "%s", server);
	int status = connect_any(server, deadline, &t->fd, why);
	if (status == 0)
		status = handshake(t, context->ctx, deadline, why);
	if (status != 0) {
		t->usable = false;
		transport_close(t);
		return status;
	}
	*out = t;
	return 0;
}

void transport_close(struct transport *transport)
{
	if (transport == NULL)
		return;
	for (size_t i = 0; i < transport->n_kept; i++)
		message_free(transport->kept[i]);
	if (transport->ssl != NULL && transport->usable) {
		struct pipe_guard guard;
		guard_begin(&guard);
		SSL_shutdown(transport->ssl); /* one close_notify, not waited for */
		guard_end(&guard);
	}
	SSL_free(transport->ssl);
	ERR_clear_error();
	if (transport->fd >= 0)
		close(transport->fd);
	free(transport);
}

const struct hash *transport_pin(const struct transport *transport)
{
	return &transport->pin;
}

const char *transport_server(const struct transport *transport)
{
	return transport->server;
}

const char *transport_tls_version(const struct transport *transport)
{
	return SSL_get_version(transport->ssl);
}

const char *transport_tls_group(const struct transport *transport)
{
	const char *name = SSL_group_to_name(transport->ssl, (int)SSL_get_negotiated_group(transport->ssl));

	return name != NULL ? name : "unknown";
}

bool transport_usable(const struct transport *transport)
{
	return transport->usable;
}

/* ---- Frames */

int transport_send(struct transport *transport, Poc__Request *request, uint32_t *id, int64_t deadline,
		   struct refusal *why)
{
	if (++transport->last_id == UNREAD_ID)
		transport->last_id = 1;
	request->id = *id = transport->last_id;
	size_t size = protobuf_c_message_get_packed_size(&request->base);
	size_t max = request->body_case == POC__REQUEST__BODY_SUBMIT ? FRAME_MAX_SUBMIT
		     : request->body_case == POC__REQUEST__BODY_POST ? FRAME_MAX_POST
								     : FRAME_MAX;
	if (size > max)
		return refuse(why, STATUS_TOO_LARGE, "", "the request has %zu bytes, at most %zu are allowed", size,
			      max);
	uint8_t *frame = malloc(FRAME_HEADER + size);
	if (frame == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	frame_put_header(frame, (uint32_t)size);
	protobuf_c_message_pack(&request->base, frame + FRAME_HEADER);
	int status = ssl_do(transport, CALL_WRITE, frame, FRAME_HEADER + size, deadline, why);
	free(frame);
	return status;
}

static int broken(struct transport *t, struct refusal *why, const char *what)
{
	t->usable = false;
	return refuse(why, STATUS_MALFORMED, "", "%s sent %s", t->server, what);
}

/* One frame off the stream; *out NULL for an event. */
static int read_frame(struct transport *t, int64_t deadline, Poc__Response **out, struct refusal *why)
{
	uint8_t header[FRAME_HEADER];
	ProtobufCMessage *message = NULL;
	int status = ssl_do(t, CALL_READ, header, sizeof header, deadline, why);

	*out = NULL;
	if (status != 0)
		return status;
	int32_t size = frame_get_header(header, FRAME_MAX_ANSWER);
	if (size < 0)
		return broken(t, why, "a frame of impossible size");
	uint8_t *bytes = malloc((size_t)size);
	if (bytes == NULL) {
		t->usable = false;
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	}
	status = ssl_do(t, CALL_READ, bytes, (size_t)size, deadline, why);
	/* an Event's first field is a varint, a Response's id a fixed32 */
	if (status == 0 && bytes[0] == 0x08)
		t->event = true;
	if (status == 0 && bytes[0] != 0x08) {
		struct prescan_limits limits = {
		    .depth = 8, .fields = 1u << 20, .memory = 16 * (size_t)size + 1024 * 1024};
		if (message_decode(&poc__response__descriptor, bytes, (size_t)size, &limits, &message, NULL) != 0)
			status = broken(t, why, "a malformed answer");
	}
	free(bytes);
	*out = (Poc__Response *)message;
	return status;
}

static int take_answer(struct transport *t, Poc__Response *response, Poc__Response **out, struct refusal *why)
{
	*out = response;
	if (response->body_case != POC__RESPONSE__BODY_ERROR)
		return 0;
	const Poc__Error *error = response->error;
	int code = error->code != 0 && error->code <= STATUS_MIRROR ? (int)error->code : STATUS_FAILED;
	const char *message = error->message[0] != '\0' ? error->message : status_text(code);
	if (error->field[0] != '\0') /* it is about what was asked or written, whichever server says it */
		refuse(why, code, error->field, "%s", message);
	else
		refuse(why, code, "", "%s: %s", t->server, message);
	if (why != NULL && error->may_retry)
		why->retry_ms = error->retry_after_ms;
	return code;
}

int transport_receive(struct transport *transport, uint32_t id, int64_t deadline, Poc__Response **out,
		      struct refusal *why)
{
	Poc__Response *response;

	*out = NULL;
	for (size_t i = 0; i < transport->n_kept; i++) {
		if (transport->kept[i]->id == id) {
			response = transport->kept[i];
			transport->kept[i] = transport->kept[--transport->n_kept];
			return take_answer(transport, response, out, why);
		}
	}
	for (;;) {
		int status = read_frame(transport, deadline, &response, why);
		if (status != 0)
			return status;
		if (response == NULL)
			continue;
		if (response->id == id || response->id == UNREAD_ID) {
			transport->usable = transport->usable && response->id != UNREAD_ID;
			return take_answer(transport, response, out, why);
		}
		if (transport->n_kept == KEPT_MAX) {
			message_free(response);
			return broken(transport, why, "answers to questions that nobody asked");
		}
		transport->kept[transport->n_kept++] = response;
	}
}

int transport_wait_event(struct transport *transport, int64_t deadline, bool *seen, struct refusal *why)
{
	enum { FRAME_TIME_MS = 15000 }; /* once it has begun */
	Poc__Response *response;

	while (!transport->event) {
		if (SSL_pending(transport->ssl) == 0 && wait_for(transport->fd, POLLIN, deadline) != 0) {
			*seen = false;
			if (errno == ETIMEDOUT)
				return 0;
			transport->usable = false;
			return refuse(why, STATUS_UNREACHABLE, "", "%s: %s", transport->server, strerror(errno));
		}
		int status = read_frame(transport, transport_clock() + FRAME_TIME_MS, &response, why);
		if (status != 0)
			return status;
		if (response != NULL) {
			message_free(response);
			return broken(transport, why, "an answer to a question that nobody asked");
		}
	}
	transport->event = false;
	*seen = true;
	return 0;
}
