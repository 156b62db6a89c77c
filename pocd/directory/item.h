/* item: the parts of Proof.items, encoded directly from a snapshot. */
#ifndef POCD_DIRECTORY_ITEM_H
#define POCD_DIRECTORY_ITEM_H

#include "pocd/ledger/snapshot.h"
#include "proto/wire/encode.h"

/* Field numbers of payload.proto. */
enum {
	PROOF_VERSION = 1,
	PROOF_TRUST = 2,
	PROOF_CHECKPOINT = 3,
	PROOF_ITEMS = 4,
	ITEM_NAME = 1,
	ITEM_MAP = 2,
	ITEM_ENVELOPES = 3,
	ITEM_VALUE = 4,
	ITEM_SECTIONS = 5
};

/* Begins an item: name and map proof; the caller goes on with envelopes, value, sections and ends it with
 * encode_end(begin).  Returns the name's current data, or NULL where the proof shows absence. */
const struct snapshot_name *item_begin(struct encoder *encoder, const struct snapshot *snapshot, const char *name,
				       const struct hash *key, size_t *begin);

/* A whole item that has no envelope: its value stands in its place, if it has one. */
void item_value(struct encoder *encoder, const struct snapshot *snapshot, const char *name);

#endif
