/* passphrase: where the passphrase of private keys comes from: a file, a descriptor, a person at the terminal. */
#ifndef PROTO_KEYS_PASSPHRASE_H
#define PROTO_KEYS_PASSPHRASE_H

#include "proto/keys/keystore.h"

enum { PASSPHRASE_MAX = 512 /* bytes, with a NUL */ };

/* Filled by the caller: file, fd, ask; the rest zeroed.  What was read or typed is kept for the next key until
 * passphrase_finish overwrites it. */
struct passphrase {
	const char *file; /* its first line, under the same rules as a key file; NULL or empty: none */
	int fd;           /* goes before file: its first line, up to its end, read once; -1: none */
	bool ask;         /* the terminal, where a key needs one that is not there, or is another */
	bool read, have;
	char text[PASSPHRASE_MAX];
};

/* As keystore_open, with the passphrase that the key needs, if it needs one. */
int passphrase_open(struct passphrase *passphrase, const char *location, struct keystore_key **out,
		    struct refusal *why);

/* The passphrase for a new key: what file or descriptor say; else, with `seal`, what is typed twice at the terminal;
 * else NULL in *out.  0, or a status with *why.  *out lives until passphrase_finish. */
int passphrase_new(struct passphrase *passphrase, bool seal, const char *location, const char **out,
		   struct refusal *why);

/* Reads file or descriptor now, if there are any and they were not read.  0, or a status with *why. */
int passphrase_read(struct passphrase *passphrase, struct refusal *why);

void passphrase_finish(struct passphrase *passphrase); /* overwrites */

#endif
