/* private_file: opens files that nobody else may read: private keys, passphrases. */
#ifndef PROTO_KEYS_PRIVATE_FILE_H
#define PROTO_KEYS_PRIVATE_FILE_H

#include <stddef.h>

#include "proto/wire/status.h"

/* Opens once and judges the opened file, so that nobody can swap it between check and use.  what: "key", "passphrase",
 * of the refusal.  The descriptor, or -1 with *why: STATUS_IO; STATUS_DENIED for a symbolic link, a
 * file that belongs to neither the caller nor root, or that group or others may touch (but the group may read what
 * systemd handed over in $CREDENTIALS_DIRECTORY); STATUS_INVALID: not a regular file, more than max bytes. */
int private_file_open(const char *path, size_t max, const char *what, struct refusal *why);

#endif
