/* signers: which log keys sign checkpoints: of those that the daemon has, the ones that the current T lists.  So a new
 * key may be given to the daemon before T names it, and stops by itself when T drops it. */
#ifndef POCD_DIRECTORY_SIGNERS_H
#define POCD_DIRECTORY_SIGNERS_H

#include <stdbool.h>

#include "pocd/ledger/ledger.h"
#include "proto/rules/envelope.h"

enum { SIGNERS_MAX = 4 };

struct signers;

/* keys are borrowed; at most SIGNERS_MAX.  signer remembers for them.  NULL: out of memory. */
struct signers *signers_create(struct keystore_key *const *keys, size_t n, const struct ledger_signer *signer);
void signers_destroy(struct signers *signers); /* NULL allowed */

/* Any thread: other keys from the next publication on.  Waits for one that is under way: when this returns the keys
 * before are no longer used. */
void signers_use(struct signers *signers, struct keystore_key *const *keys, size_t n,
		 const struct ledger_signer *signer);

/* Whether one of the keys is one that a T lists.  Any thread. */
bool signers_serve(struct signers *signers, const Poc__Trust *trust);

/* Whether one of these keys is. */
bool signers_listed(struct keystore_key *const *keys, size_t n, const Poc__Trust *trust);

/* Writer's thread: ledger_publish with the keys that the T lists which is current in it, and its outcome. */
int signers_publish(struct signers *signers, struct ledger *ledger, struct refusal *why);

#endif
