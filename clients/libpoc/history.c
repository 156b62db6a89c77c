#include "clients/libpoc/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/libpoc/session.h"
#include "proto/rules/chain.h"

struct history {
	struct poc *poc;
	const struct name *name;
	struct hash current; /* proven */
	uint64_t end;        /* its number: what a server says of versions could go on without end */
	size_t n, room;
	struct envelope **versions; /* owned */
};

static int not_ending(struct history *h)
{
	return refuse(&h->poc->why, STATUS_UNVERIFIED, h->name->text,
		      "the history of %s does not end at the current version", h->name->text);
}

static int add_version(struct history *h, const ProtobufCBinaryData *bytes)
{
	const struct envelope *prev = h->n > 0 ? h->versions[h->n - 1] : NULL;
	struct envelope *next;

	if (h->n == h->room) {
		size_t room = 2 * h->room + 16;
		struct envelope **grown = realloc(h->versions, room * sizeof(struct envelope *));
		if (grown == NULL)
			return refuse(&h->poc->why, STATUS_NO_MEMORY, "", "out of memory");
		h->versions = grown;
		h->room = room;
	}
	if (h->n >= h->end)
		return not_ending(h);
	int status = envelope_parse(bytes->data, bytes->len, &next, &h->poc->why);
	if (status != 0)
		return unverified(&h->poc->why, status);
	struct hash directory = next->directory_id;
	bool first_trust = h->name->kind == NAME_TRUST && next->seq == 1;
	if (first_trust)
		directory = trust_directory_id(next);
	if (strcmp(next->name.text, h->name->text) != 0 || next->seq != h->n + 1 ||
	    hash_compare(&directory, &h->poc->pins.directory) != 0 ||
	    (prev != NULL && hash_compare(&next->prev, &prev->value) != 0)) {
		envelope_destroy(next);
		return refuse(&h->poc->why, STATUS_UNVERIFIED, h->name->text,
			      "the history of %s does not hang together", h->name->text);
	}
	h->versions[h->n++] = next;
	return 0;
}

static bool at_end(const struct history *h)
{
	return h->n > 0 && hash_compare(&h->versions[h->n - 1]->value, &h->current) == 0;
}

/* One page of versions. */
static int fetch_versions(struct history *h)
{
	const char *names[] = {h->name->text};
	struct question q = {.names = names, .n_names = 1, .from_seq = h->n + 1};
	size_t before = h->n;

	int status = session_ask(h->poc, &q, 1);
	const Poc__Item *item = status == 0 ? proof_item(q.proof, h->name->text) : NULL;
	for (size_t i = 0; item != NULL && i < item->n_envelopes && status == 0 && !at_end(h); i++)
		status = add_version(h, &item->envelopes[i]);
	if (status == 0 && h->n == before)
		status = not_ending(h);
	session_free_answers(&q, 1);
	return status;
}

/* The number of the current version; T and S are part of every head. */
static int find_end(struct history *h, const Poc__Item *item)
{
	const struct verified_head *head = h->poc->head;
	struct envelope *last;

	if (h->name->kind == NAME_TRUST || h->name->kind == NAME_REGISTER) {
		h->end = h->name->kind == NAME_TRUST ? verified_head_trust(head)->seq : head->reg->seq;
		return 0;
	}
	if (item->n_envelopes == 0)
		return refuse(&h->poc->why, STATUS_UNVERIFIED, h->name->text, "the server keeps back the current %s",
			      h->name->text);
	const ProtobufCBinaryData *bytes = &item->envelopes[item->n_envelopes - 1];
	int status = envelope_parse(bytes->data, bytes->len, &last, &h->poc->why);
	if (status != 0)
		return unverified(&h->poc->why, status);
	h->end = last->seq;
	envelope_destroy(last);
	return 0;
}

/* The current value, proven; NOT_FOUND when it is proven that there is none. */
static int current_value(struct history *h)
{
	const char *names[] = {h->name->text};
	struct question q = {.names = names, .n_names = 1};
	struct verified_item proven = {0};
	const Poc__Item *item;

	int status = session_ask(h->poc, &q, 1);
	if (status == 0)
		status = session_item(h->poc, q.proof, h->name->text, &item, &proven);
	if (status == 0 && proven.absent)
		status =
		    refuse(&h->poc->why, STATUS_NOT_FOUND, "", "%s is not in the directory (proven)", h->name->text);
	if (status == 0)
		status = find_end(h, item);
	h->current = proven.value;
	session_free_answers(&q, 1);
	return status;
}

/* Names whoever signed, as far as the K chain that is known tells: best effort, for keys come and go. */
static void name_signer(const struct history *h, const Poc__Item *chain, struct client_version *version)
{
	const struct envelope *e = version->envelope;

	for (size_t i = chain != NULL ? chain->n_envelopes : 0; i > 0 && version->signed_by[0] == '\0'; i--) {
		struct envelope *keys;
		if (envelope_parse(chain->envelopes[i - 1].data, chain->envelopes[i - 1].len, &keys, NULL) != 0)
			return;
		if (verify_signer(h->poc->head, keys->payload.keys, e, &version->signer))
			snprintf(version->signed_by, sizeof version->signed_by, "coordinator of %s", e->name.state);
		envelope_destroy(keys);
	}
}

static const Poc__Item *signer_chain(struct history *h, struct question *q)
{
	char keys[NAME_MAX_LENGTH + 1];
	const char *names[] = {keys};
	struct verified_item proven;
	struct envelope *envelope = NULL;
	const Poc__Item *item, *chain = NULL;
	bool replaced;

	if (h->name->kind != NAME_RECORD && h->name->kind != NAME_USERS && h->name->kind != NAME_DOCUMENT)
		return NULL;
	snprintf(keys, sizeof keys, "K/%s", h->name->state);
	*q = (struct question){.names = names, .n_names = 1};
	if (session_ask(h->poc, q, 1) == 0 && session_item(h->poc, q->proof, keys, &item, &proven) == 0 &&
	    !proven.absent && session_keys(h->poc, h->poc->head, &proven, item, &chain, &envelope, &replaced) != 0)
		chain = NULL;
	envelope_destroy(envelope);
	return chain;
}

int client_history(struct poc *poc, const struct name *name,
		   int (*each)(void *ctx, const struct client_version *version), void *ctx)
{
	struct history h = {.poc = poc, .name = name};
	struct question q = {0};

	connection_begin(poc);
	int status = current_value(&h);
	while (status == 0 && !at_end(&h)) {
		connection_begin(poc);
		status = fetch_versions(&h);
	}
	const Poc__Item *chain = status == 0 ? signer_chain(&h, &q) : NULL;
	for (size_t i = 0; i < h.n && status == 0; i++) {
		struct client_version version = {.envelope = h.versions[i]};
		name_signer(&h, chain, &version);
		status = each(ctx, &version);
	}
	session_free_answers(&q, 1);
	for (size_t i = 0; i < h.n; i++)
		envelope_destroy(h.versions[i]);
	free(h.versions);
	return status;
}
