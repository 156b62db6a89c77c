/* signed: envelopes that are no version of a name: notices and receipts, signed by one user. */
#ifndef PROTO_RULES_SIGNED_H
#define PROTO_RULES_SIGNED_H

#include "proto/keys/keystore.h"
#include "proto/rules/payload.pb-c.h"
#include "proto/wire/status.h"

/* Decodes an envelope of this type with exactly one signature.  0 and *out (message_free), or a status with *why. */
int signed_parse(const uint8_t *bytes, size_t size, const char *type, Poc__Envelope **out, struct refusal *why);

/* Whether this key signed.  allowed: algorithms of T, a bit set of 1 << enum key_algorithm; 0: all known. */
bool signed_by(const Poc__Envelope *envelope, const struct public_key *key, unsigned allowed);

/* Whether the user of that handle signed, may act for a kind of desk and is not past not_after at a time.  0,
 * STATUS_UNVERIFIED (not listed, or another's signature) or STATUS_DENIED.  *user (NULL allowed) is borrowed. */
int signed_authorised(const Poc__Envelope *envelope, const Poc__Users *users, const char *handle, Poc__PocKind kind,
		      unsigned allowed, int64_t time, const Poc__User **user, struct refusal *why);

/* Whether a user serves a kind of desk: one of its kinds; coordinators and services also the coordinator's. */
bool user_serves(const Poc__User *user, Poc__PocKind kind);

/* Packs and signs.  0 and *bytes (malloc). */
int signed_make(const ProtobufCMessage *payload, const char *type, const struct keystore_key *signer, uint8_t **bytes,
		size_t *size, struct refusal *why);

#endif
