#include "clients/libpoc/saved.h"

#include <stdlib.h>
#include <string.h>

#include "proto/wire/prescan.h"

static int compare_items(const void *a, const void *b)
{
	return strcmp((*(Poc__Item *const *)a)->name, (*(Poc__Item *const *)b)->name);
}

/* S as it stands in a saved file: with its envelope, which a head's answer leaves out when it is known. */
static void fill_register(const struct verified_head *head, Poc__Item *item, ProtobufCBinaryData *envelope)
{
	const Poc__Item *proven = proof_item(head->proof, "S");

	poc__item__init(item);
	*envelope = (ProtobufCBinaryData){head->reg->size, (uint8_t *)head->reg->bytes};
	item->name = (char *)"S";
	item->map = proven != NULL ? proven->map : NULL;
	item->envelopes = envelope;
	item->n_envelopes = 1;
}

int saved_encode(const struct verified_head *head, const Poc__Item *const *items, size_t n, bool complete,
		 uint8_t **bytes, size_t *size, struct refusal *why)
{
	Poc__Proof proof = POC__PROOF__INIT;
	Poc__Item reg;
	ProtobufCBinaryData reg_envelope;
	Poc__Item **all = calloc(n + 2, sizeof *all);
	ProtobufCBinaryData *trust = calloc(head->n_trust, sizeof *trust);
	size_t count = 0;
	int status = 0;

	*bytes = NULL;
	if (all == NULL || trust == NULL) {
		status = refuse(why, STATUS_NO_MEMORY, "", "out of memory");
		goto done;
	}
	for (size_t i = 0; i < n; i++)
		all[count++] = (Poc__Item *)items[i];
	if (!complete) {
		fill_register(head, &reg, &reg_envelope);
		all[count++] = &reg;
		all[count++] = (Poc__Item *)proof_item(head->proof, "T");
	}
	qsort(all, count, sizeof *all, compare_items);
	for (size_t i = 0; i < head->n_trust; i++)
		trust[i] = (ProtobufCBinaryData){head->trust[i]->size, (uint8_t *)head->trust[i]->bytes};
	proof.version = 1;
	proof.trust = trust;
	proof.n_trust = head->n_trust;
	proof.checkpoint = head->proof->checkpoint;
	proof.items = all;
	proof.n_items = count;
	proof.complete = complete;
	if (message_encode(&proof, bytes, size) != 0)
		status = refuse(why, STATUS_NO_MEMORY, "", "out of memory");
done:
	free(all);
	free(trust);
	return status;
}
