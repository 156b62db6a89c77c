/* proof: the form of a Proof message (payload.proto): strict decoding, finding items, and putting saved ones together.
 * What a proof proves is verify's business. */
#ifndef CLIENTS_LIBPOC_PROOF_H
#define CLIENTS_LIBPOC_PROOF_H

#include "proto/rules/envelope.h"

/* Decodes Proof bytes strictly: canonical encoding, version, order and form of items.  Every refusal is
 * STATUS_UNVERIFIED but STATUS_NO_MEMORY.  0 and *out (message_free). */
int proof_decode(const uint8_t *bytes, size_t size, Poc__Proof **out, struct refusal *why);

/* The item of a name, or NULL. */
const Poc__Item *proof_item(const Poc__Proof *proof, const char *name);

/* Makes refusals of proofs alike: any status but 0 and STATUS_NO_MEMORY becomes STATUS_UNVERIFIED, its words kept. */
int unverified(struct refusal *why, int status);

#endif
