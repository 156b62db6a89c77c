/* transport: a connection to a server: blocking calls with absolute deadlines over TLS 1.3 (ALPN poc/1), frames,
 * request ids.  OpenSSL's SSL API stays in here.  Knows nothing of what requests mean, and trusts nobody: the caller
 * decides by the server's pin. */
#ifndef CLIENTS_LIBPOC_TRANSPORT_H
#define CLIENTS_LIBPOC_TRANSPORT_H

#include <stdint.h>

#include "proto/keys/keystore.h"
#include "proto/wire/poc.pb-c.h"

struct transport_context; /* certificate and key, shared by connections */
struct transport;

/* Milliseconds of the monotonic clock, in which deadlines are given. */
int64_t transport_clock(void);

/* Reads the certificate file (PEM, one leaf) and joins it with the key (borrowed: it must outlive the context).
 * STATUS_INVALID when they do not belong together, STATUS_IO. */
int transport_context_create(const char *certificate, const struct keystore_key *key, struct transport_context **out,
			     struct refusal *why);
void transport_context_destroy(struct transport_context *context); /* NULL allowed */

/* Connects to "host:port", "host" or "[address]:port" (default port 7437) and shakes hands.  STATUS_UNREACHABLE or
 * STATUS_TLS, with the server's name in *why. */
int transport_open(struct transport_context *context, const char *server, int64_t deadline, struct transport **out,
		   struct refusal *why);
void transport_close(struct transport *transport); /* NULL allowed */

const struct hash *transport_pin(const struct transport *transport); /* SHA-256 of the server's SPKI */
const char *transport_server(const struct transport *transport);     /* as given to transport_open */
const char *transport_tls_version(const struct transport *transport);
const char *transport_tls_group(const struct transport *transport);

/* Sends a request; sets its id, which is also returned in *id.  Several may be under way. */
int transport_send(struct transport *transport, Poc__Request *request, uint32_t *id, int64_t deadline,
		   struct refusal *why);

/* Waits for the answer to id; answers to others that arrive first are kept for their callers.  0 and *out
 * (message_free); an Error answer is returned as its status, its words in *why and itself in *out (message_free).
 * Any other failure leaves the connection useless, and *out NULL: STATUS_UNREACHABLE, STATUS_TLS, STATUS_MALFORMED. */
int transport_receive(struct transport *transport, uint32_t id, int64_t deadline, Poc__Response **out,
		      struct refusal *why);

/* Waits at most until deadline for an Event; *seen: one came (now or unasked during an earlier call).  No event is no
 * failure. */
int transport_wait_event(struct transport *transport, int64_t deadline, bool *seen, struct refusal *why);

/* False once a call has failed in a way that leaves the stream useless. */
bool transport_usable(const struct transport *transport);

#endif
