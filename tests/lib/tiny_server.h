/* tiny_server: the least server that speaks poc/1 over a directory in memory, for tests of the client: one thread a
 * connection, and a directory that can be exchanged under its clients' feet, as a lying or restored server would. */
#ifndef TESTS_LIB_TINY_SERVER_H
#define TESTS_LIB_TINY_SERVER_H

#include "pocd/directory/directory.h"
#include "proto/keys/keystore.h"

struct tiny_server;

/* Listens on a free port of 127.0.0.1 with this certificate file and key.  Aborts on failure. */
struct tiny_server *tiny_server_start(const char *certificate, const struct keystore_key *key,
				      struct directory *directory);
void tiny_server_stop(struct tiny_server *server); /* ends every connection */

/* From the next request on, another directory answers. */
void tiny_server_exchange(struct tiny_server *server, struct directory *directory);

/* From now on every answer frame's byte at this offset is changed (-1: none). */
void tiny_server_spoil(struct tiny_server *server, long offset);

const char *tiny_server_address(const struct tiny_server *server); /* 127.0.0.1:port */
unsigned tiny_server_spoiled(const struct tiny_server *server);    /* frames changed so far */

#endif
