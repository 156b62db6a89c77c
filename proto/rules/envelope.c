#include "proto/rules/envelope.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/rules/document.h"
#include "proto/rules/keys.h"
#include "proto/rules/pings.h"
#include "proto/rules/record.h"
#include "proto/rules/register.h"
#include "proto/rules/rules.h"
#include "proto/rules/trust.h"
#include "proto/rules/users.h"
#include "proto/wire/prescan.h"

static const struct prescan_limits envelope_limits = {.depth = 6, .fields = 8192, .memory = 1024 * 1024};

static const ProtobufCMessageDescriptor *descriptor_of(enum name_kind kind)
{
	switch (kind) {
	case NAME_TRUST:
		return &poc__trust__descriptor;
	case NAME_REGISTER:
		return &poc__register__descriptor;
	case NAME_KEYS:
		return &poc__keys__descriptor;
	case NAME_USERS:
		return &poc__users__descriptor;
	case NAME_RECORD:
		return &poc__record__descriptor;
	case NAME_DOCUMENT:
		return &poc__document__descriptor;
	case NAME_PINGS:
		return &poc__pings__descriptor;
	default:
		return NULL;
	}
}

static bool kind_of_type(const char *type, enum name_kind *kind)
{
	for (int k = NAME_TRUST; k <= NAME_DOCUMENT; k++) {
		if (strcmp(type, name_type((enum name_kind)k)) == 0) {
			*kind = (enum name_kind)k;
			return true;
		}
	}
	return false;
}

/* Every payload message begins with its head. */
struct payload_base {
	ProtobufCMessage base;
	Poc__Head *head;
};

static int check_signatures(const Poc__Envelope *outer, size_t least, struct refusal *why)
{
	char field[40];

	if (outer->n_signatures < least || outer->n_signatures > ENVELOPE_SIGNATURES_MAX)
		return refuse(why, STATUS_INVALID, "signatures", "an envelope has 1 to %d signatures",
			      ENVELOPE_SIGNATURES_MAX);
	for (size_t i = 0; i < outer->n_signatures; i++) {
		const Poc__Signature *s = outer->signatures[i];
		snprintf(field, sizeof field, "signatures[%zu]", i);
		if (s->key_id.len != HASH_SIZE || s->signature.len == 0 || s->signature.len > SIGNATURE_MAX)
			return refuse(why, STATUS_INVALID, field, "key id or signature has the wrong length");
		for (size_t j = 0; j < i; j++) {
			if (memcmp(outer->signatures[j]->key_id.data, s->key_id.data, HASH_SIZE) == 0)
				return refuse(why, STATUS_INVALID, field, "two signatures by one key");
		}
	}
	return 0;
}

static int check_head(struct envelope *e, enum name_kind kind, const Poc__Head *head, struct refusal *why)
{
	bool first_trust = kind == NAME_TRUST && head != NULL && head->seq == 1;

	if (head == NULL)
		return refuse(why, STATUS_INVALID, "head", "missing");
	if (!name_parse(head->name, &e->name) || e->name.kind != kind)
		return refuse(why, STATUS_INVALID, "head.name", "no name that this type of payload can have");
	if (head->directory_id.len != (first_trust ? 0 : HASH_SIZE))
		return refuse(why, STATUS_INVALID, "head.directory_id", "must be 32 bytes (none in T(1))");
	if (head->prev.len != HASH_SIZE)
		return refuse(why, STATUS_INVALID, "head.prev", "must be 32 bytes");
	if (head->seq == 0)
		return refuse(why, STATUS_INVALID, "head.seq", "counts from 1");
	memcpy(e->prev.bytes, head->prev.data, HASH_SIZE);
	if (head->directory_id.len > 0)
		memcpy(e->directory_id.bytes, head->directory_id.data, HASH_SIZE);
	e->seq = head->seq;
	if ((e->seq == 1) != (hash_compare(&e->prev, &hash_zero) == 0))
		return refuse(why, STATUS_INVALID, "head.prev", "is zero at seq 1 and only there");
	return 0;
}

static int check_payload(const struct envelope *e, struct refusal *why)
{
	switch (e->name.kind) {
	case NAME_TRUST:
		return trust_check(e->payload.trust, why);
	case NAME_REGISTER:
		return register_check(e->payload.register_, why);
	case NAME_KEYS:
		return keys_check(e->payload.keys, why);
	case NAME_USERS:
		return users_check(e->payload.users, &e->name, why);
	case NAME_RECORD:
		return record_check(e->payload.record, why);
	case NAME_DOCUMENT:
		return document_check(e->payload.document, why);
	case NAME_PINGS:
		return pings_check(e->payload.pings, why);
	default:
		return refuse(why, STATUS_INVALID, "type", "reserved");
	}
}

static int parse(struct envelope *e, size_t least, struct refusal *why)
{
	enum name_kind kind;
	ProtobufCMessage *message;
	int status = message_decode(&poc__envelope__descriptor, e->bytes, e->size, &envelope_limits, &message, why);

	if (status != 0)
		return status;
	e->outer = (Poc__Envelope *)message;
	if (!kind_of_type(e->outer->type, &kind) || descriptor_of(kind) == NULL)
		return refuse(why, STATUS_INVALID, "type", "unknown payload type");
	if (e->outer->payload.len == 0 || e->outer->payload.len > name_payload_max(kind))
		return refuse(why, STATUS_TOO_LARGE, "payload", "payload has %zu bytes, at most %zu are allowed",
			      e->outer->payload.len, name_payload_max(kind));
	status = check_signatures(e->outer, least, why);
	if (status != 0)
		return status;
	e->payload_hash = hash_of(e->outer->payload.data, e->outer->payload.len);
	status = message_decode(descriptor_of(kind), e->outer->payload.data, e->outer->payload.len, &envelope_limits,
				&message, why);
	if (status != 0)
		return status;
	e->payload.any = message;
	status = check_head(e, kind, ((struct payload_base *)message)->head, why);
	return status != 0 ? status : check_payload(e, why);
}

static int parse_bytes(const uint8_t *bytes, size_t size, size_t least, struct envelope **out, struct refusal *why)
{
	*out = NULL;
	if (size == 0 || size > ENVELOPE_MAX)
		return refuse(why, STATUS_TOO_LARGE, "envelope", "an envelope has 1 to %d bytes", ENVELOPE_MAX);
	struct envelope *e = calloc(1, sizeof *e + size);
	if (e == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	memcpy(e + 1, bytes, size);
	e->bytes = (const uint8_t *)(e + 1);
	e->size = size;
	e->value = hash_of(bytes, size);
	int status = parse(e, least, why);
	if (status != 0) {
		envelope_destroy(e);
		return status;
	}
	*out = e;
	return 0;
}

int envelope_parse(const uint8_t *bytes, size_t size, struct envelope **out, struct refusal *why)
{
	return parse_bytes(bytes, size, 1, out, why);
}

int envelope_parse_proposed(const uint8_t *bytes, size_t size, struct envelope **out, struct refusal *why)
{
	return parse_bytes(bytes, size, 0, out, why);
}

void envelope_destroy(struct envelope *envelope)
{
	if (envelope == NULL)
		return;
	message_free(envelope->payload.any);
	message_free(envelope->outer);
	free(envelope);
}

uint8_t *envelope_pae(const char *type, const uint8_t *payload, size_t payload_size, size_t *size)
{
	char head[160];
	int n = snprintf(head, sizeof head, "DSSEv1 %zu %s %zu ", strlen(type), type, payload_size);

	if (n < 0 || (size_t)n >= sizeof head)
		return NULL;
	uint8_t *pae = malloc((size_t)n + payload_size);
	if (pae == NULL)
		return NULL;
	memcpy(pae, head, (size_t)n);
	memcpy(pae + n, payload, payload_size);
	*size = (size_t)n + payload_size;
	return pae;
}

static bool key_signed(const struct envelope *envelope, const struct public_key *key, const uint8_t *pae, size_t size)
{
	const Poc__Envelope *outer = envelope->outer;

	for (size_t i = 0; i < outer->n_signatures; i++) {
		const Poc__Signature *s = outer->signatures[i];
		if (memcmp(s->key_id.data, key->id.bytes, HASH_SIZE) != 0)
			continue;
		uint64_t begun = toll_begin(envelope->toll);
		bool good = public_key_verify(key, pae, size, s->signature.data, s->signature.len);
		toll_end(envelope->toll, begun);
		return good;
	}
	return false;
}

/* Counts no further than enough. */
static unsigned count_up_to(const struct envelope *envelope, const struct key_list *list, unsigned allowed,
			    unsigned enough)
{
	size_t size;
	unsigned count = 0;
	uint8_t *pae =
	    envelope_pae(envelope->outer->type, envelope->outer->payload.data, envelope->outer->payload.len, &size);

	if (pae == NULL)
		return 0;
	/* keys of a list are distinct, so each counts at most once */
	for (size_t i = 0; i < list->n && count < enough; i++) {
		const struct public_key *key = &list->keys[i];
		if (key->algorithm != KEY_UNKNOWN && (allowed == 0 || (allowed >> key->algorithm & 1) != 0) &&
		    key_signed(envelope, key, pae, size))
			count++;
	}
	free(pae);
	return count;
}

unsigned envelope_count(const struct envelope *envelope, const struct key_list *list, unsigned allowed)
{
	return count_up_to(envelope, list, allowed, UINT_MAX);
}

bool envelope_signed_by(const struct envelope *envelope, const struct key_list *list, unsigned allowed)
{
	return list->threshold > 0 && count_up_to(envelope, list, allowed, list->threshold) >= list->threshold;
}

/* ---- Making envelopes */

static int sign_into(const struct keystore_key *key, const uint8_t *pae, size_t size, Poc__Signature *out,
		     uint8_t *room, struct refusal *why)
{
	size_t signature_size;
	int status = keystore_sign(key, pae, size, room, &signature_size);

	if (status != 0)
		return refuse(why, status, "key", "signing failed");
	poc__signature__init(out);
	out->signature = (ProtobufCBinaryData){signature_size, room};
	out->key_id = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)keystore_public(key)->id.bytes};
	return 0;
}

static int pack_checked(const Poc__Envelope *outer, size_t least, uint8_t **bytes, size_t *size, struct refusal *why)
{
	struct envelope *parsed;

	if (message_encode(outer, bytes, size) != 0)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	int status = parse_bytes(*bytes, *size, least, &parsed, why);
	envelope_destroy(parsed);
	if (status != 0) {
		free(*bytes);
		*bytes = NULL;
	}
	return status;
}

static int make(const ProtobufCMessage *payload, struct keystore_key *const *keys, size_t n, size_t least,
		uint8_t **bytes, size_t *size, struct refusal *why)
{
	Poc__Signature signatures[ENVELOPE_SIGNATURES_MAX], *pointers[ENVELOPE_SIGNATURES_MAX];
	uint8_t rooms[ENVELOPE_SIGNATURES_MAX][SIGNATURE_MAX];
	const Poc__Head *head = ((const struct payload_base *)payload)->head;
	struct name name;
	uint8_t *packed = NULL, *pae = NULL;
	size_t packed_size = 0, pae_size = 0;
	int status = 0;

	*bytes = NULL;
	if (n < least || n > ENVELOPE_SIGNATURES_MAX)
		return refuse(why, STATUS_INVALID, "signatures", "an envelope has 1 to %d signatures",
			      ENVELOPE_SIGNATURES_MAX);
	if (head == NULL || !name_parse(head->name, &name) || descriptor_of(name.kind) != payload->descriptor)
		return refuse(why, STATUS_INVALID, "head.name", "no name that this type of payload can have");
	if (message_encode(payload, &packed, &packed_size) != 0 ||
	    (pae = envelope_pae(name_type(name.kind), packed, packed_size, &pae_size)) == NULL)
		status = refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	for (size_t i = 0; status == 0 && i < n; i++) {
		status = sign_into(keys[i], pae, pae_size, &signatures[i], rooms[i], why);
		pointers[i] = &signatures[i];
	}
	if (status == 0) {
		Poc__Envelope outer = POC__ENVELOPE__INIT;
		outer.payload = (ProtobufCBinaryData){packed_size, packed};
		outer.type = (char *)name_type(name.kind);
		outer.signatures = pointers;
		outer.n_signatures = n;
		status = pack_checked(&outer, least, bytes, size, why);
	}
	free(pae);
	free(packed);
	return status;
}

int envelope_make(const ProtobufCMessage *payload, struct keystore_key *const *keys, size_t n, uint8_t **bytes,
		  size_t *size, struct refusal *why)
{
	return make(payload, keys, n, 1, bytes, size, why);
}

int envelope_propose(const ProtobufCMessage *payload, uint8_t **bytes, size_t *size, struct refusal *why)
{
	return make(payload, NULL, 0, 0, bytes, size, why);
}

int envelope_add_signature(const uint8_t *bytes, size_t size, const struct keystore_key *key, uint8_t **out,
			   size_t *out_size, struct refusal *why)
{
	Poc__Signature signature, *pointers[ENVELOPE_SIGNATURES_MAX + 1];
	uint8_t room[SIGNATURE_MAX];
	struct envelope *old;
	size_t pae_size;

	*out = NULL;
	int status = envelope_parse_proposed(bytes, size, &old, why);
	if (status != 0)
		return status;
	Poc__Envelope outer = *old->outer;
	uint8_t *pae = envelope_pae(outer.type, outer.payload.data, outer.payload.len, &pae_size);
	status = pae == NULL ? refuse(why, STATUS_NO_MEMORY, "", "out of memory")
			     : sign_into(key, pae, pae_size, &signature, room, why);
	if (status == 0) {
		if (outer.n_signatures > 0)
			memcpy(pointers, outer.signatures, outer.n_signatures * sizeof *pointers);
		pointers[outer.n_signatures++] = &signature;
		outer.signatures = pointers;
		status = pack_checked(&outer, 1, out, out_size, why);
	}
	free(pae);
	envelope_destroy(old);
	return status;
}
