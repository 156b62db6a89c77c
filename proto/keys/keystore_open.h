/* keystore_open: opens a private key by where it is. */
#ifndef PROTO_KEYS_KEYSTORE_OPEN_H
#define PROTO_KEYS_KEYSTORE_OPEN_H

#include "proto/keys/keystore.h"

/* Opens a key by location: a path to a PEM file, or a pkcs11: URI, see keystore_pkcs11.h.
 * passphrase may be NULL.  A file is refused when it is a symlink, is not owned by the caller or root, or lets group or
 * others read (STATUS_DENIED), unless systemd handed it over in $CREDENTIALS_DIRECTORY, where the group may read.  0
 * and *out (destroy with keystore_close), or a status with *why. */
int keystore_open(const char *location, const char *passphrase, struct keystore_key **out, struct refusal *why);

/* Whether a location is a pkcs11: URI rather than a path. */
bool keystore_is_token(const char *location);

#endif
