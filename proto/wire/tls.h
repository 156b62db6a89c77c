/* tls: what both ends ask of TLS alike. */
#ifndef PROTO_WIRE_TLS_H
#define PROTO_WIRE_TLS_H

/* Key exchanges, best first, for SSL_CTX_set1_groups_list: whoever records today and has a quantum computer later reads
 * nothing where both ends know X25519MLKEM768.  Key shares of the first two are sent at once, so that a peer without it
 * costs no further round trip.  Before OpenSSL 3.5, which cannot read this list, the library's own stays. */
#define TLS_GROUPS "?*X25519MLKEM768/?*X25519/?secp256r1:?secp384r1"

#endif
