#include "clients/libpoc/proof.h"

#include <stdio.h>
#include <string.h>

#include "proto/proof/checkpoint.h"
#include "proto/proof/merkle.h"
#include "proto/proof/prefix.h"
#include "proto/wire/prescan.h"

int unverified(struct refusal *why, int status)
{
	if (status == 0 || status == STATUS_NO_MEMORY)
		return status;
	if (why != NULL)
		why->code = STATUS_UNVERIFIED;
	return STATUS_UNVERIFIED;
}

static int bad_item(struct refusal *why, const Poc__Item *item, const char *message)
{
	return refuse(why, STATUS_UNVERIFIED, item->name, "%s", message);
}

static int check_map(const Poc__Item *item, struct refusal *why)
{
	const Poc__MapProof *map = item->map;
	bool other = map->terminal == POC__TERMINAL__TERMINAL_OTHER;

	if (map->siblings.len % HASH_SIZE != 0 || map->siblings.len / HASH_SIZE > PREFIX_DEPTH_MAX)
		return bad_item(why, item, "its map proof has a wrong length");
	if (map->other_key.len != (other ? HASH_SIZE : 0) || map->other_value.len != (other ? HASH_SIZE : 0))
		return bad_item(why, item, "its map proof has a wrong form");
	return 0;
}

static int check_item(const Poc__Item *item, bool complete, struct refusal *why)
{
	struct name name;
	bool found = complete || item->map == NULL || item->map->terminal == POC__TERMINAL__TERMINAL_FOUND;

	if (!name_parse(item->name, &name))
		return bad_item(why, item, "not a name of the directory");
	if (complete && (item->map != NULL || name.kind == NAME_TRUST))
		return bad_item(why, item, "does not belong into a complete proof");
	if (!complete && item->map == NULL)
		return bad_item(why, item, "comes without map proof");
	if (complete && item->n_envelopes == 0 && name.kind != NAME_USERS)
		return bad_item(why, item, "its envelope is kept back");
	if (item->map != NULL && check_map(item, why) != 0)
		return STATUS_UNVERIFIED;
	if (item->value.len != (found && item->n_envelopes == 0 ? HASH_SIZE : 0))
		return bad_item(why, item, "the value stands where no envelope is given, and only there");
	if (!found && item->n_envelopes > 0)
		return bad_item(why, item, "an absent name has no envelope");
	if (item->n_sections > 0 && (name.kind != NAME_RECORD || item->n_envelopes != 1))
		return bad_item(why, item, "sections stand beside the envelope of a record only");
	return 0;
}

static int check_checkpoint(const Poc__Checkpoint *checkpoint, struct refusal *why)
{
	if (checkpoint->note.len == 0 || checkpoint->note.len > NOTE_MAX || checkpoint->leaf.len != LEAF_SIZE ||
	    checkpoint->path.len % HASH_SIZE != 0 || checkpoint->path.len / HASH_SIZE > MERKLE_PATH_MAX)
		return refuse(why, STATUS_UNVERIFIED, "checkpoint", "the checkpoint has a wrong form");
	return 0;
}

static int check_form(const Poc__Proof *proof, struct refusal *why)
{
	if (proof->version != 1)
		return refuse(why, STATUS_UNVERIFIED, "version", "not a proof of version 1");
	if (proof->checkpoint != NULL && check_checkpoint(proof->checkpoint, why) != 0)
		return STATUS_UNVERIFIED;
	for (size_t i = 0; i < proof->n_items; i++) {
		if (check_item(proof->items[i], proof->complete, why) != 0)
			return STATUS_UNVERIFIED;
		if (i > 0 && strcmp(proof->items[i - 1]->name, proof->items[i]->name) >= 0)
			return bad_item(why, proof->items[i], "items must be ascending by name");
	}
	return 0;
}

int proof_decode(const uint8_t *bytes, size_t size, Poc__Proof **out, struct refusal *why)
{
	/* A local copy of a hundred thousand records has a few hundred MB: budgets grow with the bytes at hand, so
	 * that they bound the multiplication, not the size. */
	struct prescan_limits limits = {.depth = 4, .fields = UINT32_MAX, .memory = 16 * size + 1024 * 1024};
	ProtobufCMessage *message;

	*out = NULL;
	int status = message_decode(&poc__proof__descriptor, bytes, size, &limits, &message, why);
	if (status != 0)
		return unverified(why, status);
	status = check_form((Poc__Proof *)message, why);
	if (status != 0) {
		message_free(message);
		return status;
	}
	*out = (Poc__Proof *)message;
	return 0;
}

const Poc__Item *proof_item(const Poc__Proof *proof, const char *name)
{
	size_t low = 0, high = proof->n_items;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(proof->items[middle]->name, name);
		if (order == 0)
			return proof->items[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
