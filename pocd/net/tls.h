/* tls: the server side of TLS as pocd wants it: 1.3 only, ALPN "poc/1", a client certificate that only carries a key,
 * no tickets, no resumption, no early data. */
#ifndef POCD_NET_TLS_H
#define POCD_NET_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "proto/wire/status.h"

/* Makes a context from a certificate file (PEM, one leaf) and its private key (borrowed; its reference is counted up).
 * NULL with *why when they do not fit together. */
SSL_CTX *tls_server_create(const char *cert_path, EVP_PKEY *key, struct refusal *why);

/* Whether a client has sent more key updates than an honest one needs. */
bool tls_flooded(SSL *ssl);

/* The peer's SPKI in DER: malloc'ed by OpenSSL (OPENSSL_free), its size returned; -1 when there is none. */
int tls_peer_spki(SSL *ssl, unsigned char **spki);

/* The last error of OpenSSL in words, for the log; empties its queue. */
const char *tls_error(void);

#endif
