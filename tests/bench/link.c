#include "tests/bench/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "proto/wire/frame.h"
#include "proto/wire/poc.pb-c.h"
#include "proto/wire/prescan.h"

enum { READ_SIZE = 32 * 1024, PATIENCE_S = 30, HELLO_ID = 1, PATH_SIZE = 4096 };

static const unsigned char alpn[] = "\x05poc/1";

void link_fail(const char *what, const char *detail)
{
	fprintf(stderr, "load: %s%s%s\n", what, detail[0] != '\0' ? ": " : "", detail);
	exit(1);
}

static void *grow(void *bytes, size_t *capacity, size_t need)
{
	if (need <= *capacity)
		return bytes;
	*capacity = need + need / 2;
	bytes = realloc(bytes, *capacity);
	if (bytes == NULL)
		link_fail("out of memory", "");
	return bytes;
}

/* ---- Whom to call, and as whom */

static SSL_CTX *user_tls(const char *folder, const char *cert, const char *key)
{
	char cert_path[PATH_SIZE], key_path[PATH_SIZE];
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	snprintf(cert_path, sizeof cert_path, "%s/%s", folder, cert);
	snprintf(key_path, sizeof key_path, "%s/%s", folder, key);
	if (tls == NULL || SSL_CTX_use_certificate_file(tls, cert_path, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(tls, key_path, SSL_FILETYPE_PEM) != 1)
		link_fail("certificate or key cannot be used", cert_path);
	SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
	SSL_CTX_set_alpn_protos(tls, alpn, sizeof alpn - 1);
	SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL); /* the bench's own server */
	return tls;
}

static FILE *open_in(const char *folder, const char *name)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *file = fopen(path, "r");
	if (file == NULL)
		link_fail(path, strerror(errno));
	return file;
}

static void read_id(struct link_target *target, const char *folder)
{
	FILE *file = open_in(folder, "directory.id");

	if (fread(target->directory_id, 1, sizeof target->directory_id, file) != sizeof target->directory_id)
		link_fail("directory.id cannot be read", "");
	fclose(file);
}

static void read_users(struct link_target *target, const char *folder, const char *clients)
{
	FILE *file = open_in(folder, clients);
	char state[16], cert[128], key[128];
	size_t capacity = 0;

	while (fscanf(file, "%15s %127s %127s", state, cert, key) == 3) {
		target->users = grow(target->users, &capacity, (target->n_users + 1) * sizeof *target->users);
		struct link_user *user = &target->users[target->n_users++];
		snprintf(user->state, sizeof user->state, "%s", state);
		user->tls = user_tls(folder, cert, key);
	}
	fclose(file);
	if (target->n_users == 0)
		link_fail(clients, "names nobody");
}

void link_target_init(struct link_target *target, const char *address, const char *folder, const char *clients,
		      bool floor)
{
	*target = (struct link_target){.address = address, .floor = floor};
	read_id(target, folder);
	read_users(target, folder, clients);
}

void link_target_finish(struct link_target *target)
{
	for (size_t i = 0; i < target->n_users; i++)
		SSL_CTX_free(target->users[i].tls);
	free(target->users);
}

/* ---- Opening */

static int connect_to(const char *address)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct timeval patience = {.tv_sec = PATIENCE_S};
	const char *colon = strchr(address, ':');
	char host[64];
	int on = 1;

	if (colon == NULL || (size_t)(colon - address) >= sizeof host)
		link_fail("no HOST:PORT", address);
	snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
	to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || inet_pton(AF_INET, host, &to.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
		link_fail(address, strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	return fd;
}

static void put_hello(struct link *link, const struct link_target *target, const struct link_user *user)
{
	Poc__Request request = POC__REQUEST__INIT;
	Poc__Hello hello = POC__HELLO__INIT;
	uint8_t *bytes;
	size_t size;

	hello.directory_id = (ProtobufCBinaryData){sizeof target->directory_id, (uint8_t *)target->directory_id};
	hello.protocol = 1;
	hello.state = (char *)user->state;
	hello.software = (char *)"load";
	request.id = HELLO_ID;
	request.body_case = POC__REQUEST__BODY_HELLO;
	request.hello = &hello;
	if (message_encode(&request, &bytes, &size) != 0)
		link_fail("out of memory", "");
	link_put(link, bytes, size);
	free(bytes);
}

struct greeting {
	struct link *link;
	bool floor, done;
};

static void on_greeting(void *ctx, const uint8_t *message, size_t size)
{
	struct greeting *greeting = ctx;

	greeting->done = true;
	if (greeting->floor)
		return;
	link_check(message, size, ANSWER_HELLO);
	Poc__Response *response = poc__response__unpack(NULL, size, message);
	if (response == NULL || response->hello->n_roles == 0)
		link_fail("the server does not know this user", "");
	greeting->link->checkpoint_size = response->hello->checkpoint_size;
	poc__response__free_unpacked(response, NULL);
}

void link_open(struct link *link, const struct link_target *target, const struct link_user *user)
{
	struct greeting greeting = {link, target->floor, false};

	*link = (struct link){.fd = connect_to(target->address), .ssl = SSL_new(user->tls)};
	if (link->ssl == NULL || SSL_set_fd(link->ssl, link->fd) != 1 || SSL_connect(link->ssl) != 1)
		link_fail("handshake failed", "");
	put_hello(link, target, user);
	link_send(link);
	while (!greeting.done)
		link_read(link, on_greeting, &greeting);
}

void link_close(struct link *link)
{
	SSL_shutdown(link->ssl);
	SSL_free(link->ssl);
	close(link->fd);
	free(link->in);
	free(link->out);
	*link = (struct link){.fd = -1};
}

/* ---- Frames */

void link_put(struct link *link, const uint8_t *message, size_t size)
{
	link->out = grow(link->out, &link->out_capacity, link->out_size + FRAME_HEADER + size);
	frame_put_header(link->out + link->out_size, (uint32_t)size);
	memcpy(link->out + link->out_size + FRAME_HEADER, message, size);
	link->out_size += FRAME_HEADER + size;
}

void link_send(struct link *link)
{
	if (link->out_size > 0 && SSL_write(link->ssl, link->out, (int)link->out_size) != (int)link->out_size)
		link_fail("the server does not take requests", "");
	link->out_size = 0;
}

/* Hands the whole frames over; returns how many bytes they took. */
static size_t take_frames(const uint8_t *bytes, size_t size, void (*frame)(void *, const uint8_t *, size_t), void *ctx)
{
	size_t used = 0;

	while (size - used >= FRAME_HEADER) {
		int32_t length = frame_get_header(bytes + used, FRAME_MAX_ANSWER);
		if (length < 0)
			link_fail("no frame", "");
		if ((size_t)length > size - used - FRAME_HEADER)
			break;
		frame(ctx, bytes + used + FRAME_HEADER, (size_t)length);
		used += FRAME_HEADER + (size_t)length;
	}
	return used;
}

void link_read(struct link *link, void (*frame)(void *ctx, const uint8_t *message, size_t size), void *ctx)
{
	link->in = grow(link->in, &link->in_capacity, link->in_size + READ_SIZE);
	int n = SSL_read(link->ssl, link->in + link->in_size, READ_SIZE);
	if (n <= 0)
		link_fail("the server closed a connection", "");
	link->in_size += (size_t)n;
	size_t used = take_frames(link->in, link->in_size, frame, ctx);
	link->in_size -= used;
	memmove(link->in, link->in + used, link->in_size);
}

uint32_t link_check(const uint8_t *message, size_t size, enum link_answer wanted)
{
	if (size <= LINK_ID_SIZE || message[0] != (1 << 3 | 5))
		link_fail("no answer", "");
	bool refused = message[LINK_ID_SIZE] == ANSWER_ERROR, flood = wanted == ANSWER_ERROR;
	if (refused && !flood) {
		Poc__Response *response = poc__response__unpack(NULL, size, message);
		link_fail("an error came", response != NULL ? response->error->message : "that cannot be read");
	}
	/* an hour's share comes back bit by bit: now and then a flood's notice is stored */
	if (message[LINK_ID_SIZE] != wanted && !(flood && message[LINK_ID_SIZE] == ANSWER_POST))
		link_fail("an answer of another kind came", "");
	return (uint32_t)message[1] | (uint32_t)message[2] << 8 | (uint32_t)message[3] << 16 |
	       (uint32_t)message[4] << 24;
}
