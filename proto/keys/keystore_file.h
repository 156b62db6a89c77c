/* keystore_file: keys in PEM files (PKCS#8), the default backend of keystore. */
#ifndef PROTO_KEYS_KEYSTORE_FILE_H
#define PROTO_KEYS_KEYSTORE_FILE_H

#include "proto/keys/keystore.h"

/* As keystore_open, for a path. */
int keystore_file_open(const char *path, const char *passphrase, struct keystore_key **out, struct refusal *why);

/* The public key in a PEM file, a certificate or a bare one: nothing secret is kept.  0, or a
 * status: there is none; NOT_FOUND: nor is there a private key. */
int keystore_file_public(const char *path, struct public_key *out);

/* A key that lives in memory only (tests, throw-away worlds).  NULL when it cannot be made. */
struct keystore_key *keystore_ephemeral(enum key_algorithm algorithm);

/* Makes a new key and writes it to path (mode 0600, must not exist; fsynced) as PKCS#8 PEM, encrypted if passphrase is
 * not NULL. */
int keystore_generate(enum key_algorithm algorithm, const char *path, const char *passphrase, struct keystore_key **out,
		      struct refusal *why);

/* Writes a self-signed certificate for the key, without expiry (notAfter 99991231235959Z), as PEM to path (must not
 * exist).  It only carries the key: nobody reads its other fields. */
int keystore_write_certificate(const struct keystore_key *key, const char *common_name, const char *path,
			       struct refusal *why);

#endif
