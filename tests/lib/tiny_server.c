#include "tests/lib/tiny_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/wire/frame.h"
#include "proto/wire/prescan.h"

enum { CONNECTIONS_MAX = 1024 };

struct tiny_server {
	SSL_CTX *ctx;
	int listener;
	char address[32];
	pthread_t thread;
	pthread_mutex_t mutex; /* over the directory: one request at a time */
	struct directory *directory;
	tiny_answer_fn answer; /* NULL: the directory answers */
	const Poc__ReadersAnswer *readers;
	size_t n_readers;
	void *answer_ctx;
	atomic_long spoil;
	atomic_uint spoiled;
	atomic_bool stopping;
	size_t n;
	pthread_t threads[CONNECTIONS_MAX];
	int fds[CONNECTIONS_MAX];
};

struct visit {
	struct tiny_server *server;
	SSL *ssl;
	int fd;
	struct hash pin;
	char state[STATE_MAX_LENGTH + 1];
};

static void check(bool good, const char *what)
{
	if (!good) {
		fprintf(stderr, "tiny_server: %s\n", what);
		abort();
	}
}

static int accept_any(X509_STORE_CTX *store, void *arg)
{
	(void)store;
	(void)arg;
	return 1;
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *length, const unsigned char *in,
		       unsigned in_length, void *arg)
{
	static const unsigned char name[] = "poc/1";

	(void)ssl;
	(void)in;
	(void)in_length;
	(void)arg;
	*out = name;
	*length = 5;
	return SSL_TLSEXT_ERR_OK;
}

static bool read_exactly(SSL *ssl, void *bytes, size_t size)
{
	for (size_t done = 0, n; done < size; done += n) {
		if (SSL_read_ex(ssl, (uint8_t *)bytes + done, size - done, &n) != 1)
			return false;
	}
	return true;
}

static bool send_response(struct visit *visit, const Poc__Response *response)
{
	size_t size, n;
	uint8_t *bytes, *frame;
	long spoil = atomic_load(&visit->server->spoil);

	check(message_encode(response, &bytes, &size) == 0, "encode");
	if (spoil >= 0 && (size_t)spoil < size) {
		bytes[spoil] ^= 0x01;
		atomic_fetch_add(&visit->server->spoiled, 1);
	}
	frame = malloc(FRAME_HEADER + size);
	check(frame != NULL, "memory");
	frame_put_header(frame, (uint32_t)size);
	memcpy(frame + FRAME_HEADER, bytes, size);
	bool good = SSL_write_ex(visit->ssl, frame, FRAME_HEADER + size, &n) == 1;
	free(frame);
	free(bytes);
	return good;
}

static bool send_error(struct visit *visit, uint32_t id, const struct refusal *why,
		       const struct change_outcome *outcome)
{
	Poc__Response response = POC__RESPONSE__INIT;
	Poc__Error error = POC__ERROR__INIT;

	error.code = (uint32_t)why->code;
	error.message = (char *)why->message;
	error.field = (char *)why->field;
	if (outcome != NULL && outcome->status == STATUS_CONFLICT) {
		error.current = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)outcome->current.bytes};
		error.current_seq = outcome->current_seq;
		error.write = (uint32_t)outcome->write;
	}
	response.id = id;
	response.body_case = POC__RESPONSE__BODY_ERROR;
	response.error = &error;
	return send_response(visit, &response);
}

struct told {
	struct visit *visit;
	uint32_t id;
	bool sent;
};

static void send_outcome(void *ctx, const struct change_outcome *outcome)
{
	struct told *told = ctx;
	Poc__Response response = POC__RESPONSE__INIT;
	Poc__SubmitAnswer answer = POC__SUBMIT_ANSWER__INIT;
	Poc__WriteResult list[64], *pointers[64];

	if (outcome->status != 0) {
		told->sent = send_error(told->visit, told->id, outcome->why, outcome);
		return;
	}
	for (size_t i = 0; i < outcome->n; i++) {
		const struct change_result *r = &outcome->results[i];
		poc__write_result__init(&list[i]);
		list[i].name = (char *)r->name;
		list[i].seq = r->seq;
		list[i].value = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)r->value.bytes};
		list[i].leaf = r->leaf;
		list[i].stored_ms = (int64_t)r->stored_ms;
		list[i].repeated = r->repeated;
		pointers[i] = &list[i];
	}
	answer.results = pointers;
	answer.n_results = outcome->n;
	answer.checkpoint_size = outcome->checkpoint_size;
	response.id = told->id;
	response.body_case = POC__RESPONSE__BODY_SUBMIT;
	response.submit = &answer;
	told->sent = send_response(told->visit, &response);
}

static bool submit(struct visit *visit, const struct principal *who, const Poc__Request *request)
{
	struct change_write writes[64];
	struct told told = {.visit = visit, .id = request->id};
	struct refusal why = {0};
	size_t n = request->submit->n_writes;

	check(n <= 64, "writes");
	for (size_t i = 0; i < n; i++) {
		const Poc__Write *w = request->submit->writes[i];
		writes[i] = (struct change_write){w->envelope.data, w->envelope.len, w->n_sections, w->sections};
	}
	int status = directory_submit(visit->server->directory, who, writes, n, request->submit->wait_proven,
				      send_outcome, &told, &why);
	if (status != 0)
		return send_error(visit, request->id, &why, NULL);
	check(directory_run_once(visit->server->directory) == 0, "writer");
	return told.sent;
}

static int decode(const ProtobufCMessageDescriptor *type, const struct answer *answer, void *out)
{
	struct prescan_limits limits = {.depth = 8, .fields = 1 << 20, .memory = 64 << 20};

	return message_decode(type, answer->bytes, answer->size, &limits, out, NULL);
}

static bool send_answer(struct visit *visit, const Poc__Request *request, int status, struct answer *answer,
			const struct refusal *why)
{
	Poc__Response response = POC__RESPONSE__INIT;
	ProtobufCMessage *inner = NULL;

	if (status != 0)
		return send_error(visit, request->id, why, NULL);
	response.id = request->id;
	if (request->body_case == POC__REQUEST__BODY_GET_HEAD) {
		check(decode(&poc__head_answer__descriptor, answer, &inner) == 0, "head");
		response.body_case = POC__RESPONSE__BODY_HEAD;
		response.head = (Poc__HeadAnswer *)inner;
	} else if (request->body_case == POC__REQUEST__BODY_CHANGES) {
		check(decode(&poc__changes_answer__descriptor, answer, &inner) == 0, "changes");
		response.body_case = POC__RESPONSE__BODY_CHANGES;
		response.changes = (Poc__ChangesAnswer *)inner;
	} else {
		response.body_case = POC__RESPONSE__BODY_PROOF;
		response.proof = (ProtobufCBinaryData){answer->size, (uint8_t *)answer->bytes};
	}
	bool good = send_response(visit, &response);
	message_free(inner);
	answer_finish(answer);
	return good;
}

static bool hello(struct visit *visit, const Poc__Request *request)
{
	Poc__Response response = POC__RESPONSE__INIT;
	Poc__HelloAnswer answer = POC__HELLO_ANSWER__INIT;

	snprintf(visit->state, sizeof visit->state, "%s", request->hello->state);
	answer.protocol = 1;
	answer.software = (char *)"tiny";
	answer.handle = (char *)"somebody";
	response.id = request->id;
	response.body_case = POC__RESPONSE__BODY_HELLO;
	response.hello = &answer;
	return send_response(visit, &response);
}

static bool serve_other(struct visit *visit, const Poc__Request *request)
{
	uint8_t *bytes = NULL;
	size_t size = 0, n;

	if (request->body_case == POC__REQUEST__BODY_HELLO)
		snprintf(visit->state, sizeof visit->state, "%s", request->hello->state);
	visit->server->answer(visit->server->answer_ctx, visit->state, request, &bytes, &size);
	bool good = size > 0 && SSL_write_ex(visit->ssl, bytes, size, &n) == 1;
	free(bytes);
	return good;
}

static bool serve_readers(struct visit *visit, const Poc__Request *request)
{
	struct tiny_server *server = visit->server;
	Poc__Response response = POC__RESPONSE__INIT;

	if (server->n_readers == 0)
		return false;
	server->n_readers--;
	response.id = request->id;
	response.body_case = POC__RESPONSE__BODY_READERS;
	response.readers = (Poc__ReadersAnswer *)server->readers++;
	return send_response(visit, &response);
}

static bool serve(struct visit *visit, const Poc__Request *request)
{
	struct directory *directory = visit->server->directory;
	struct principal who;
	struct answer answer = {0};
	struct refusal why = {0};
	int status;

	if (visit->server->answer != NULL)
		return serve_other(visit, request);
	if (request->body_case == POC__REQUEST__BODY_HELLO)
		return hello(visit, request);
	status = directory_principal(directory, visit->state, &visit->pin, &who);
	if (status != 0) {
		refuse(&why, STATUS_DENIED, "", "no such state");
		return send_error(visit, request->id, &why, NULL);
	}
	switch (request->body_case) {
	case POC__REQUEST__BODY_GET_HEAD: {
		const Poc__GetHead *g = request->get_head;
		status =
		    directory_head(directory, g->held_size, g->trust_seq,
				   g->register_value.len == HASH_SIZE ? g->register_value.data : NULL, &answer, &why);
		break;
	}
	case POC__REQUEST__BODY_LOOKUP: {
		const Poc__Lookup *l = request->lookup;
		status = directory_lookup(directory, &who, l->place, l->checkpoint_size,
					  (const char *const *)l->sections, l->n_sections, &answer, &why);
		break;
	}
	case POC__REQUEST__BODY_GET_ENVELOPES: {
		const Poc__GetEnvelopes *g = request->get_envelopes;
		status = directory_envelopes(directory, &who, (const char *const *)g->names, g->n_names,
					     g->checkpoint_size, g->from_seq, &answer, &why);
		break;
	}
	case POC__REQUEST__BODY_CHANGES:
		status = directory_changes(directory, &who, request->changes->from_leaf,
					   request->changes->with_envelopes, &answer, &why);
		break;
	case POC__REQUEST__BODY_SUBMIT:
		return submit(visit, &who, request);
	case POC__REQUEST__BODY_READERS:
		return serve_readers(visit, request);
	default:
		status = refuse(&why, STATUS_INVALID, "", "not here");
	}
	return send_answer(visit, request, status, &answer, &why);
}

static bool serve_one(struct visit *visit)
{
	uint8_t header[FRAME_HEADER];
	ProtobufCMessage *message;
	struct prescan_limits limits = {.depth = 8, .fields = 1 << 16, .memory = 16 << 20};

	if (!read_exactly(visit->ssl, header, sizeof header))
		return false;
	int32_t size = frame_get_header(header, FRAME_MAX_SUBMIT);
	uint8_t *bytes = size > 0 ? malloc((size_t)size) : NULL;
	if (bytes == NULL || !read_exactly(visit->ssl, bytes, (size_t)size)) {
		free(bytes);
		return false;
	}
	int status = message_decode(&poc__request__descriptor, bytes, (size_t)size, &limits, &message, NULL);
	free(bytes);
	if (status != 0)
		return false;
	pthread_mutex_lock(&visit->server->mutex);
	bool good = serve(visit, (Poc__Request *)message);
	pthread_mutex_unlock(&visit->server->mutex);
	message_free(message);
	return good;
}

static bool welcome(struct visit *visit)
{
	uint8_t *spki = NULL;

	pthread_mutex_lock(&visit->server->mutex);
	visit->ssl = SSL_new(visit->server->ctx);
	pthread_mutex_unlock(&visit->server->mutex);
	check(visit->ssl != NULL && SSL_set_fd(visit->ssl, visit->fd) == 1, "memory");
	if (SSL_accept(visit->ssl) != 1)
		return false;
	X509 *leaf = SSL_get0_peer_certificate(visit->ssl);
	int size = leaf != NULL ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &spki) : 0;
	if (size > 0)
		visit->pin = hash_of(spki, (size_t)size);
	OPENSSL_free(spki);
	return size > 0;
}

static void *run_visit(void *arg)
{
	struct visit *visit = arg;

	if (welcome(visit)) {
		while (serve_one(visit))
			continue;
	}
	SSL_free(visit->ssl);
	shutdown(visit->fd, SHUT_RDWR);
	free(visit);
	hash_thread_finish();
	OPENSSL_thread_stop();
	return NULL;
}

static void *run_listener(void *arg)
{
	struct tiny_server *server = arg;

	for (;;) {
		int one = 1, fd = accept(server->listener, NULL, NULL);
		if (atomic_load(&server->stopping) || fd < 0 || server->n == CONNECTIONS_MAX) {
			if (fd >= 0)
				close(fd);
			return NULL;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		struct visit *visit = calloc(1, sizeof *visit);
		check(visit != NULL, "memory");
		visit->server = server;
		visit->fd = fd;
		server->fds[server->n] = fd;
		check(pthread_create(&server->threads[server->n++], NULL, run_visit, visit) == 0, "thread");
	}
}

static void listen_somewhere(struct tiny_server *server)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof address;

	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(server->listener >= 0 && bind(server->listener, (struct sockaddr *)&address, size) == 0 &&
		  listen(server->listener, 16) == 0 &&
		  getsockname(server->listener, (struct sockaddr *)&address, &size) == 0,
	      "listen");
	snprintf(server->address, sizeof server->address, "127.0.0.1:%u", ntohs(address.sin_port));
}

static SSL_CTX *make_context(const char *certificate, const struct keystore_key *key)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	check(ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
		  SSL_CTX_use_certificate_file(ctx, certificate, SSL_FILETYPE_PEM) == 1 &&
		  SSL_CTX_use_PrivateKey(ctx, keystore_pkey(key)) == 1,
	      "certificate");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, accept_any, NULL);
	SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
	SSL_CTX_set_num_tickets(ctx, 0);
	return ctx;
}

struct tiny_server *tiny_server_start(const char *certificate, const struct keystore_key *key,
				      struct directory *directory)
{
	struct tiny_server *server = calloc(1, sizeof *server);

	check(server != NULL, "memory");
	signal(SIGPIPE, SIG_IGN); /* it writes to clients that have gone */
	server->ctx = make_context(certificate, key);
	server->directory = directory;
	atomic_store(&server->spoil, -1);
	pthread_mutex_init(&server->mutex, NULL);
	listen_somewhere(server);
	check(pthread_create(&server->thread, NULL, run_listener, server) == 0, "thread");
	return server;
}

void tiny_server_stop(struct tiny_server *server)
{
	if (server == NULL)
		return;
	atomic_store(&server->stopping, true);
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listener);
	for (size_t i = 0; i < server->n; i++) {
		shutdown(server->fds[i], SHUT_RDWR);
		pthread_join(server->threads[i], NULL);
		close(server->fds[i]);
	}
	SSL_CTX_free(server->ctx);
	pthread_mutex_destroy(&server->mutex);
	free(server);
}

void tiny_server_exchange(struct tiny_server *server, struct directory *directory)
{
	pthread_mutex_lock(&server->mutex);
	server->directory = directory;
	pthread_mutex_unlock(&server->mutex);
}

void tiny_server_answer(struct tiny_server *server, tiny_answer_fn answer, void *ctx)
{
	pthread_mutex_lock(&server->mutex);
	server->answer = answer;
	server->answer_ctx = ctx;
	pthread_mutex_unlock(&server->mutex);
}

void tiny_server_readers(struct tiny_server *server, const Poc__ReadersAnswer *pages, size_t n)
{
	pthread_mutex_lock(&server->mutex);
	server->readers = pages;
	server->n_readers = n;
	pthread_mutex_unlock(&server->mutex);
}

void tiny_server_show(struct tiny_server *server, const char *certificate, const struct keystore_key *key)
{
	pthread_mutex_lock(&server->mutex);
	SSL_CTX_free(server->ctx); /* connections keep theirs */
	server->ctx = make_context(certificate, key);
	pthread_mutex_unlock(&server->mutex);
}

void tiny_server_spoil(struct tiny_server *server, long offset)
{
	atomic_store(&server->spoil, offset);
}

const char *tiny_server_address(const struct tiny_server *server)
{
	return server->address;
}

unsigned tiny_server_spoiled(const struct tiny_server *server)
{
	return atomic_load(&server->spoiled);
}
