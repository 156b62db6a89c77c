/* tiny_server: the least server that speaks poc/1 over a directory in memory, for tests of the client: one thread a
 * connection, and a directory that can be exchanged under its clients' feet, as a lying or restored server would. */
#ifndef TESTS_LIB_TINY_SERVER_H
#define TESTS_LIB_TINY_SERVER_H

#include "pocd/directory/directory.h"
#include "proto/keys/keystore.h"
#include "proto/wire/poc.pb-c.h"

struct tiny_server;

/* Listens on a free port of 127.0.0.1 with this certificate file and key.  directory: NULL if something else answers
 * (tiny_server_answer).  Aborts on failure. */
struct tiny_server *tiny_server_start(const char *certificate, const struct keystore_key *key,
				      struct directory *directory);
void tiny_server_stop(struct tiny_server *server); /* ends every connection */

/* From the next request on, another directory answers. */
void tiny_server_exchange(struct tiny_server *server, struct directory *directory);

/* From now on every answer frame's byte at this offset is changed (-1: none). */
void tiny_server_spoil(struct tiny_server *server, long offset);

/* From now on this answers in place of the directory: it makes the bytes that go out (frames, or what looks like some)
 * into fresh memory (malloc), for one request at a time.  *size 0: the connection is closed.  state: what the client's
 * Hello named. */
typedef void (*tiny_answer_fn)(void *ctx, const char *state, const Poc__Request *request, uint8_t **bytes,
			       size_t *size);
void tiny_server_answer(struct tiny_server *server, tiny_answer_fn answer, void *ctx);

/* From now on these pages (borrowed) answer Readers, one after another, and then nothing does. */
void tiny_server_readers(struct tiny_server *server, const Poc__ReadersAnswer *pages, size_t n);

/* From the next connection on, the server shows this certificate and key. */
void tiny_server_show(struct tiny_server *server, const char *certificate, const struct keystore_key *key);

const char *tiny_server_address(const struct tiny_server *server); /* 127.0.0.1:port */
unsigned tiny_server_spoiled(const struct tiny_server *server);    /* frames changed so far */

#endif
