/* reading: reading keys (P-384) in U: which notices are encrypted to which key. */
#ifndef CLIENTS_CLI_READING_H
#define CLIENTS_CLI_READING_H

#include "clients/cli/command.h"
#include "proto/keys/crypto.h"
#include "proto/rules/users.h"

/* Makes FOLDER/NAME.key, a reading key.  0 or a status, printed. */
int reading_make(struct cli *cli, const char *folder, const char *name, struct public_key *out);

/* Adds an entry to an unpacked U.  handle: of the user, for HOLDER_USER; else "".  False when out of memory. */
bool reading_add(Poc__Users *users, const struct public_key *key, Poc__Holder holder, const char *handle,
		 const Poc__PocKind *kinds, size_t n_kinds, int64_t not_after);

/* Takes out a user's entries. */
void reading_drop(Poc__Users *users, const char *handle);

/* The kinds of a user's reading key: those served, and the coordinator's of coordinators and
 * services.  Returns how many; out holds 4. */
size_t reading_kinds(const Poc__Role *roles, size_t n_roles, const Poc__PocKind *kinds, size_t n_kinds,
		     Poc__PocKind out[4]);

const char *holder_name(Poc__Holder holder); /* "user", "desk", "archive" */
bool holder_parse(const char *text, Poc__Holder *out);

#endif
