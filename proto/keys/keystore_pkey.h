/* keystore_pkey: a keystore key around an OpenSSL key, whichever provider it comes from. */
#ifndef PROTO_KEYS_KEYSTORE_PKEY_H
#define PROTO_KEYS_KEYSTORE_PKEY_H

#include "proto/keys/keystore.h"

/* Takes pkey in any case.  0 and *out, STATUS_INVALID (not Ed25519, P-256 or P-384), STATUS_NO_MEMORY with *why. */
int keystore_pkey_wrap(EVP_PKEY *pkey, struct keystore_key **out, struct refusal *why);

#endif
