/* envelope: DSSE envelopes (secure-systems-lab/dsse protocol.md) with typed, named, versioned payloads. */
#ifndef PROTO_RULES_ENVELOPE_H
#define PROTO_RULES_ENVELOPE_H

#include <stdint.h>

#include "proto/keys/crypto.h"
#include "proto/keys/keystore.h"
#include "proto/keys/toll.h"
#include "proto/proof/hash.h"
#include "proto/rules/names.h"
#include "proto/rules/payload.pb-c.h"

enum { ENVELOPE_SIGNATURES_MAX = 16, ENVELOPE_MAX = 52 * 1024 };

/* A parsed envelope whose payload has been read and checked by the rules of its type. */
struct envelope {
	struct hash value;        /* SHA-256 of the envelope bytes */
	struct hash payload_hash; /* SHA-256 of the payload bytes: anchors, directory id */
	struct name name;
	uint64_t seq;
	struct hash prev;
	struct hash directory_id; /* zero in T(1) */
	const uint8_t *bytes;     /* the very bytes received; owned by the envelope */
	size_t size;
	Poc__Envelope *outer; /* signatures, payload bytes */
	union {               /* by name.kind; owned by the envelope */
		Poc__Trust *trust;
		Poc__Register *register_;
		Poc__Keys *keys;
		Poc__Users *users;
		Poc__Record *record;
		Poc__Document *document;
		Poc__Pings *pings;
		void *any;
	} payload;
	struct toll *toll; /* counts the signatures that envelope_count verifies; borrowed; NULL after parsing: nobody
			      does */
};

/* Parses and validates an envelope: canonical bytes, type that the name asks for, head, sizes, and all rules of the
 * payload that need nothing but the payload.  Does not check signatures.  The bytes are copied.  0 and *out
 * (envelope_destroy), or STATUS_MALFORMED, STATUS_INVALID, STATUS_TOO_LARGE, STATUS_NO_MEMORY with *why. */
int envelope_parse(const uint8_t *bytes, size_t size, struct envelope **out, struct refusal *why);
void envelope_destroy(struct envelope *envelope); /* NULL allowed */

/* The same for an envelope that collects signatures: it may have none yet.  Nobody but a ceremony takes one. */
int envelope_parse_proposed(const uint8_t *bytes, size_t size, struct envelope **out, struct refusal *why);

/* A set of trusted keys and how many of them must have signed. */
struct key_list {
	const struct public_key *keys;
	size_t n;
	unsigned threshold; /* at least 1 */
};

/* How many distinct keys of the list have a valid signature on the envelope.  Keys of unknown algorithm never count;
 * nor do those whose algorithm is not in allowed (a bit set of 1 << enum key_algorithm; 0: all known). */
unsigned envelope_count(const struct envelope *envelope, const struct key_list *list, unsigned allowed);

/* True if at least threshold keys of the list signed. */
bool envelope_signed_by(const struct envelope *envelope, const struct key_list *list, unsigned allowed);

/* The signed bytes: "DSSEv1 " len(type) " " type " " len(payload) " " payload.  malloc; NULL when out of memory. */
uint8_t *envelope_pae(const char *type, const uint8_t *payload, size_t payload_size, size_t *size);

/* ---- Making envelopes */

/* Packs a payload message (its head filled in by the caller), checks it by its rules, signs it with n keys and packs
 * the envelope.  0 and *bytes (malloc), or a status with *why. */
int envelope_make(const ProtobufCMessage *payload, struct keystore_key *const *keys, size_t n, uint8_t **bytes,
		  size_t *size, struct refusal *why);

/* The same without a signature, for a ceremony. */
int envelope_propose(const ProtobufCMessage *payload, uint8_t **bytes, size_t *size, struct refusal *why);

/* Adds one signature to envelope bytes (a ceremony's next signer), which may have none yet. */
int envelope_add_signature(const uint8_t *bytes, size_t size, const struct keystore_key *key, uint8_t **out,
			   size_t *out_size, struct refusal *why);

#endif
