/* server: builds everything, joins net to handlers, reloads and drains.  The only module that knows both towers. */
#ifndef POCD_SERVER_H
#define POCD_SERVER_H

#include "pocd/config.h"

struct server;

/* Starts the signer, which alone reads passphrase_fd (-1: none; closed here), opens store and directory, binds, makes
 * loops; starts no thread yet.  0, or a status with *why. */
int server_create(const struct config *config, int passphrase_fd, struct server **out, struct refusal *why);
void server_destroy(struct server *server); /* NULL allowed */

/* Starts writer and loops. */
int server_start(struct server *server, struct refusal *why);

/* Takes what may change at run time from a new configuration: certificate and key, log keys (a new signer), limits,
 * diagnostics.  On failure everything stays as it was. */
int server_reload(struct server *server, const struct config *config, struct refusal *why);

/* What a configuration says otherwise than the running one and a reload does not take over, as config_restart_keys. */
void server_restart_keys(const struct server *server, const struct config *config, char out[CONFIG_RESTART_TEXT]);

/* Stops accepting, answers what was asked, closes, ends the threads.  Waits at most limit_ms. */
void server_drain(struct server *server, unsigned limit_ms);

/* Whether the disk failed: then the server has asked for its own end by SIGTERM, so that a start finds out what is
 * stored. */
bool server_failed(const struct server *server);

/* Whether each loop has come round and the writer is not stuck in what it does, within limit_ms (at least a second).
 * Any thread. */
bool server_alive(const struct server *server, uint64_t limit_ms);

const char *server_address(const struct server *server);

#endif
