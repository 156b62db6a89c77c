/* keystore_pkcs11: keys in tokens, by PKCS#11 URI (RFC 7512), through OpenSSL's provider "pkcs11". */
#ifndef PROTO_KEYS_KEYSTORE_PKCS11_H
#define PROTO_KEYS_KEYSTORE_PKCS11_H

#include "proto/keys/keystore.h"

/* As keystore_open, for a URI that names one private key.  Its PIN comes from the file that pin-source=file:PATH in the
 * URI names, under the same rules as a key file; else it is pin (NULL: none); pin-value= is refused, before anything
 * else.  STATUS_INVALID with *why, too, where the platform has no such provider.  No message holds more of the URI than
 * keystore_pkcs11_shown. */
int keystore_pkcs11_open(const char *uri, const char *pin, struct keystore_key **out, struct refusal *why);

/* How many bytes of a key's location may be printed: of a URI what stands before its query, and before anything of a
 * PIN; of a path all. */
int keystore_pkcs11_shown(const char *location);

#endif
