/* key: private keys of a command: opened and made, with the passphrase that they need. */
#ifndef CLIENTS_CLI_KEY_H
#define CLIENTS_CLI_KEY_H

#include "clients/cli/command.h"
#include "proto/keys/keystore.h"
#include "proto/rules/payload.pb-c.h"

/* Opens a key.  Its passphrase is that of --passphrase-fd, else of the configuration's passphrase_file; where that is
 * missing or another, the terminal is asked.  0 and *out (keystore_close), or a status, printed. */
int key_open(struct cli *cli, const char *location, struct keystore_key **out);

/* 0, or NOT_FOUND, printed, where a key that the command line names is a file that is not there: as of any other file
 * so named. */
int key_named(struct cli *cli, const char *location);

/* Makes a key file, noted in cli->made: encrypted under the passphrase of --passphrase-fd, or with --seal under what
 * is typed twice; file: else under that of the configuration's passphrase_file too.  0 and *out, or a status, printed.
 */
int key_make(struct cli *cli, enum key_algorithm algorithm, const char *path, bool file, struct keystore_key **out);

/* The public half of a private key, which is opened as above, or of a public key or certificate, which needs no
 * passphrase.  0 or a status, printed. */
int key_read_public(struct cli *cli, const char *path, struct public_key *out);

/* Whether signatures of a listed key count: it is of an algorithm among those allowed (trust_algorithms); and how many
 * of a list do. */
bool key_counts(const Poc__Key *key, unsigned allowed);
size_t key_counting(Poc__Key *const *keys, size_t n, unsigned allowed);

#endif
