/* signer_link: the daemon's end of the signer: starts it, asks it, and starts it again should it die.
 *
 * A request that finds it dead, or gets no answer in time, starts it anew, at most once a minute, and asks again;
 * between that requests are refused (STATUS_FAILED).  Any thread; one request at a time. */
#ifndef POCD_SIGNER_LINK_H
#define POCD_SIGNER_LINK_H

#include "pocd/ledger/ledger.h"

struct signer_link;

/* Starts `pocd --signer -c config` and has it open its keys.  passphrase_fd: a descriptor that only the signer reads,
 * closed here; -1: none.  0 and *out, or a status with *why, which are the signer's own if it has said any. */
int signer_link_open(const char *config, int passphrase_fd, struct signer_link **out, struct refusal *why);
void signer_link_close(struct signer_link *link); /* NULL allowed; ends the signer */

/* Its keys, as long as the link: they have no pkey. */
struct keystore_key *const *signer_link_keys(const struct signer_link *link, size_t *n);

/* What the ledger asks before it signs; ctx is the link. */
struct ledger_signer signer_link_ledger(struct signer_link *link);

#endif
