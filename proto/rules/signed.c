#include "proto/rules/signed.h"

#include <stdlib.h>
#include <string.h>

#include "proto/rules/envelope.h"
#include "proto/rules/users.h"
#include "proto/wire/prescan.h"

static const struct prescan_limits limits = {.depth = 2, .fields = 16, .memory = 256 * 1024};

int signed_parse(const uint8_t *bytes, size_t size, const char *type, Poc__Envelope **out, struct refusal *why)
{
	ProtobufCMessage *message;
	const int status = message_decode(&poc__envelope__descriptor, bytes, size, &limits, &message, why);

	*out = NULL;
	if (status != 0)
		return status;
	Poc__Envelope *envelope = (Poc__Envelope *)message;
	if (strcmp(envelope->type, type) != 0 || envelope->payload.len == 0 || envelope->n_signatures != 1 ||
	    envelope->signatures[0]->key_id.len != HASH_SIZE || envelope->signatures[0]->signature.len == 0 ||
	    envelope->signatures[0]->signature.len > SIGNATURE_MAX) {
		message_free(envelope);
		return refuse(why, STATUS_INVALID, "envelope", "must be of type %s with one signature", type);
	}
	*out = envelope;
	return 0;
}

bool signed_by(const Poc__Envelope *envelope, const struct public_key *key, unsigned allowed)
{
	const Poc__Signature *signature = envelope->signatures[0];
	size_t size;

	if (key->algorithm == KEY_UNKNOWN || (allowed != 0 && (allowed >> key->algorithm & 1) == 0) ||
	    memcmp(signature->key_id.data, key->id.bytes, HASH_SIZE) != 0)
		return false;
	uint8_t *pae = envelope_pae(envelope->type, envelope->payload.data, envelope->payload.len, &size);
	const bool good =
	    pae != NULL && public_key_verify(key, pae, size, signature->signature.data, signature->signature.len);
	free(pae);
	return good;
}

bool user_serves(const Poc__User *user, Poc__PocKind kind)
{
	if (user_has_role(user, POC__ROLE__ROLE_COORDINATOR) && kind == POC__POC_KIND__POC_KIND_COORDINATOR)
		return true;
	if (user_has_role(user, POC__ROLE__ROLE_SERVICE) && kind == POC__POC_KIND__POC_KIND_COORDINATOR)
		return true;
	for (size_t i = 0; i < user->n_kinds; i++) {
		if (user->kinds[i] == kind)
			return true;
	}
	return false;
}

static bool acts(const Poc__User *user)
{
	return user_has_role(user, POC__ROLE__ROLE_OPERATOR) || user_has_role(user, POC__ROLE__ROLE_COORDINATOR) ||
	       user_has_role(user, POC__ROLE__ROLE_SERVICE);
}

int signed_authorised(const Poc__Envelope *envelope, const Poc__Users *users, const char *handle, Poc__PocKind kind,
		      unsigned allowed, int64_t time, const Poc__User **out, struct refusal *why)
{
	const Poc__User *user = users_find_handle(users, handle);
	struct public_key key;

	if (user == NULL)
		return refuse(why, STATUS_UNVERIFIED, "handle", "%s is no user of %s", handle, users->head->name);
	if (public_key_parse(user->spki.data, user->spki.len, &key, why) != 0 || !signed_by(envelope, &key, allowed))
		return refuse(why, STATUS_UNVERIFIED, "signature", "is not that of %s in %s", handle,
			      users->head->name);
	if (user_expired(user, time))
		return refuse(why, STATUS_UNVERIFIED, "handle", "%s of %s had expired", handle, users->head->name);
	if (!acts(user) || !user_serves(user, kind))
		return refuse(why, STATUS_DENIED, "handle", "%s of %s does not act for the %s point of contact", handle,
			      users->head->name, poc_kind_name(kind));
	if (out != NULL)
		*out = user;
	return 0;
}

int signed_make(const ProtobufCMessage *payload, const char *type, const struct keystore_key *signer, uint8_t **bytes,
		size_t *size, struct refusal *why)
{
	Poc__Envelope envelope = POC__ENVELOPE__INIT;
	Poc__Signature signature = POC__SIGNATURE__INIT, *list = &signature;
	uint8_t room[SIGNATURE_MAX], *packed = NULL, *pae = NULL;
	size_t packed_size, pae_size;
	int status = 0;

	*bytes = NULL;
	if (message_encode(payload, &packed, &packed_size) != 0 ||
	    (pae = envelope_pae(type, packed, packed_size, &pae_size)) == NULL)
		status = refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	else if (keystore_sign(signer, pae, pae_size, room, &signature.signature.len) != 0)
		status = refuse(why, STATUS_FAILED, "key", "signing failed");
	if (status == 0) {
		signature.signature.data = room;
		signature.key_id = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)keystore_public(signer)->id.bytes};
		envelope.payload = (ProtobufCBinaryData){packed_size, packed};
		envelope.type = (char *)type;
		envelope.signatures = &list;
		envelope.n_signatures = 1;
		if (message_encode(&envelope, bytes, size) != 0)
			status = refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	}
	free(pae);
	free(packed);
	return status;
}
