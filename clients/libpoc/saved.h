/* saved: puts self-contained Proof bytes together, for `lookup --save` and for the local copy. */
#ifndef CLIENTS_LIBPOC_SAVED_H
#define CLIENTS_LIBPOC_SAVED_H

#include "clients/libpoc/verify_head.h"

/* A Proof with the T chain, checkpoint, and map proofs of T and S of a head, and these items (borrowed, in any order,
 * none of them T or S).  complete: the items are all names but T and carry no map proofs (S is among them).  0 and
 * *bytes (malloc). */
int saved_encode(const struct verified_head *head, const Poc__Item *const *items, size_t n, bool complete,
		 uint8_t **bytes, size_t *size, struct refusal *why);

#endif
