/* verify: pure verification of a Proof (payload.proto), as docs/protocol.md section "What a client verifies" says.  No
 * network, no files, no clock: bytes and pins in, facts or a named refusal out.
 *
 * STATUS_UNVERIFIED is the answer to everything that does not verify, malformed bytes included: whoever changed a byte
 * of a proof made a forgery.  STATUS_NO_MEMORY is the only other failure. */
#ifndef CLIENTS_LIBPOC_VERIFY_H
#define CLIENTS_LIBPOC_VERIFY_H

#include "clients/libpoc/verify_head.h"
#include "proto/rules/envelope.h"
#include "proto/rules/section.h"
#include "proto/rules/users.h"

/* What an item says of its name under a head: its value, or that it was never registered. */
struct verified_item {
	struct name name;
	bool absent;
	bool suspended; /* of a K or U that verify_saved_envelope found: the state is (verify_suspended) */
	struct hash value;
};

/* Checks an item's map proof.  In a complete proof (complete: no map proofs) the value is that of the item itself,
 * which verify_head has proven by recomputing the map root. */
int verify_item(const struct verified_head *head, const Poc__Item *item, bool complete, struct verified_item *out,
		struct refusal *why);

/* Step 6: a chain of K envelopes from the anchor on, the last of which has this value (proven by verify_item).  0 and
 * *out, the last one; *replaced (NULL allowed): the chain holds the K by which the council replaced the state's. */
int verify_keys(const struct verified_head *head, const struct name *name, const struct hash *value,
		const ProtobufCBinaryData *chain, size_t n, struct envelope **out, bool *replaced, struct refusal *why);

/* Whether the state is suspended: in S, or by a replacement of its authority that T lists and that has not taken place
 * (replaced: verify_keys' of its K). */
bool verify_suspended(const struct verified_head *head, const char *state, bool replaced);

/* Parses an envelope and checks value, directory id and name. */
int verify_envelope(const struct verified_head *head, const struct name *name, const struct hash *value,
		    const ProtobufCBinaryData *bytes, struct envelope **out, struct refusal *why);

/* Step 7 for U and D: signed by a coordinator key of keys (the state's verified current K). */
int verify_users(const struct verified_head *head, const struct envelope *keys, const struct name *name,
		 const struct hash *value, const ProtobufCBinaryData *bytes, struct envelope **out,
		 struct refusal *why);

/* Step 8: P/<cc> under staff, the verified current K/@directory (NULL: absent).  The envelope must be the current one;
 * if no key of staff signed it, it counts for nothing.  0, and out's answered is set. */
struct verified_record;
int verify_pings(const struct verified_head *head, const struct envelope *staff, const struct verified_item *proven,
		 const ProtobufCBinaryData *bytes, struct verified_record *out, struct refusal *why);

/* A record under a head.  absent, suspended, withdrawn, replaced are facts, not failures. */
struct verified_record {
	struct name name;
	bool enrolled;           /* S lists the state, whether or not it has this record */
	bool absent;             /* proven: never registered */
	bool withdrawn;          /* proven: withdrawn by its state */
	bool suspended;          /* its state is, in S or by a replacement that is not complete */
	bool replaced;           /* "replaced by the council" */
	struct envelope *record; /* owned; NULL if absent */
	struct hash value;
	size_t n_sections;
	ProtobufCBinaryData *sections; /* owned, with their bytes: as many as came, in the order of their digests */
	size_t withheld;               /* sections that this reader is not entitled to */
	char signed_by[80];            /* "coordinator of BR", "editor of FR/bretagne" */
	struct hash signer;            /* key id */
	struct hash authority;         /* keys_authority of the state's K; zeros where it has none */
	int64_t answered;              /* last answered communications check, seconds; 0: none known */
	bool answered_automatically;   /* by a program: no person's answer is known */
};
void verified_record_finish(struct verified_record *record); /* zeroed memory allowed */

/* What a record is judged by. */
struct record_facts {
	const struct envelope *keys;       /* verified current K of the state; NULL: proven absent */
	bool keys_replaced;                /* verify_keys' replaced */
	const struct envelope *unit_users; /* verified U/<cc>/<unit>; NULL if none */
	enum reader_class reader;
	const char *const *asked; /* the record's own sections that were asked for */
	size_t n_asked;
	bool complete; /* the item is of a complete proof: no map proof, and all of its sections are there */
};

/* Step 7 for R.  0 and *out also where it is absent, withdrawn or suspended.  STATUS_ORPHANS: no key of the current K
 * signed it, and K was made in an emergency, which lets such lapse: nothing to rely on, and no forgery. */
int verify_record(const struct verified_head *head, const Poc__Item *item, const struct record_facts *facts,
		  struct verified_record *out, struct refusal *why);

/* Whether a coordinator key of keys signed the envelope, and which. */
bool verify_signer(const struct verified_head *head, const Poc__Keys *keys, const struct envelope *envelope,
		   struct hash *signer);

/* Who may see what: the class that U gives a user for records of a state. */
enum reader_class reader_class_of(const Poc__User *user, const char *own_state, const char *record_state);

/* ---- Self-contained proofs: saved files, bundles, local copies */

/* Decodes and verifies the head of a self-contained Proof (trust from T(1) on, checkpoint, S).  Its items are verified
 * by verify_saved_record, one at a time, or by verify_saved_all.  0 and *head. */
int verify_saved(const struct verify_pins *pins, const uint8_t *bytes, size_t size, struct verified_head **head,
		 struct refusal *why);

/* Verifies everything in head->proof, so that nothing in the bytes is unauthenticated.  reader: sections up to this
 * class must be there. */
int verify_saved_all(struct verified_head *head, enum reader_class reader, struct refusal *why);

/* The record of a name.  STATUS_NOT_FOUND when the proof says nothing of it; STATUS_ORPHANS as verify_record. */
int verify_saved_record(struct verified_head *head, const struct name *name, enum reader_class reader,
			struct verified_record *out, struct refusal *why);

/* K (kind NAME_KEYS) or U of a name: *out NULL if absent, or if only its value is there.  STATUS_ORPHANS as
 * verify_record. */
int verify_saved_envelope(struct verified_head *head, const struct name *name, struct verified_item *item,
			  struct envelope **out, struct refusal *why);

#endif
