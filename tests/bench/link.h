/* link: one TLS connection of the load generator: it is opened and greeted, then carries frames.
 *
 * The socket blocks: the generator reads when epoll says that something came, and a server that has begun a record ends
 * it.  Whatever goes wrong ends the program: a measurement with errors in it is none. */
#ifndef TESTS_BENCH_LINK_H
#define TESTS_BENCH_LINK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINK_ID_SIZE = 5 /* field and fixed32 */, LINK_OUT_SIZE = 512 * 1024 };

/* Fields of Response (poc.proto). */
enum link_answer {
	ANSWER_ERROR = 0x12,
	ANSWER_HELLO = 0x1a,
	ANSWER_PROOF = 0x2a,
	ANSWER_SUBMIT = 0x32,
	ANSWER_POST = 0x4a,
	ANSWER_WATCH = 0x62
};

/* Who connects: a line of the world's clients file. */
struct link_user {
	char state[16];
	SSL_CTX *tls;
};

struct link_target {
	const char *address; /* 127.0.0.1:PORT */
	uint8_t directory_id[32];
	bool floor; /* answers have no content */
	struct link_user *users;
	size_t n_users;
};

struct link {
	int fd;
	SSL *ssl;
	uint64_t checkpoint_size; /* as the HelloAnswer said */
	uint8_t *in;              /* a frame that has not arrived whole */
	size_t in_size, in_capacity;
	uint8_t *out;
	size_t out_size, out_capacity;
};

/* Reads address, folder/directory.id, folder/clients. */
void link_target_init(struct link_target *target, const char *address, const char *folder, const char *clients,
		      bool floor);
void link_target_finish(struct link_target *target);

/* Connects as a user, shakes hands, says Hello and waits for the answer. */
void link_open(struct link *link, const struct link_target *target, const struct link_user *user);
void link_close(struct link *link);

/* Appends a frame to what is to be sent; link_send sends it in one write. */
void link_put(struct link *link, const uint8_t *message, size_t size);
void link_send(struct link *link);

/* Reads what has come and hands each whole frame (without header) over. */
void link_read(struct link *link, void (*frame)(void *ctx, const uint8_t *message, size_t size), void *ctx);

/* The id of an answer; ends the program if the answer is not of the kind wanted.  Where errors are, notices that are
 * stored may come between them. */
uint32_t link_check(const uint8_t *message, size_t size, enum link_answer wanted);

/* Ends the program with a message. */
void link_fail(const char *what, const char *detail) __attribute__((noreturn));

#endif
