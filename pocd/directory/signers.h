/* signers: which log keys sign checkpoints: of those that the daemon has, the ones that the current T lists.  So a new
 * key may be given to the daemon before T names it, and stops by itself when T drops it. */
#ifndef POCD_DIRECTORY_SIGNERS_H
#define POCD_DIRECTORY_SIGNERS_H

#include <stdbool.h>

#include "pocd/ledger/ledger.h"
#include "proto/rules/envelope.h"

enum { SIGNERS_MAX = 4 };

struct signers;

/* keys are borrowed; at most SIGNERS_MAX.  NULL: out of memory. */
struct signers *signers_create(struct keystore_key *const *keys, size_t n);
void signers_destroy(struct signers *signers); /* NULL allowed */

/* Any thread: other keys from the next publication on.  They are the signers' own from then on, and closed when others
 * take their place. */
void signers_offer(struct signers *signers, struct keystore_key *const *keys, size_t n);

/* Whether one of the keys, or of those that were offered last, is one that a T lists.  Any thread. */
bool signers_serve(struct signers *signers, const Poc__Trust *trust);

/* Whether one of these keys is. */
bool signers_listed(struct keystore_key *const *keys, size_t n, const Poc__Trust *trust);

/* Writer's thread, before a publication: gives the ledger the keys that the T listed which is current in it.  0, or a
 * status: T cannot be read. */
int signers_choose(struct signers *signers, struct ledger *ledger);

#endif
