/* ceremony: a file that travels on media while several key holders sign, one after another, on machines without network
 * (protocol.md, "Ceremony files").  It explains itself: a saved Proof shows what stands now, checked against the pinned
 * directory id alone, and beside it stand the proposed versions with the signatures collected so far.
 *
 * Whatever is in a struct ceremony has been verified: the proof, that each proposal continues what the proof shows, and
 * every signature, each of a key that is asked. */
#ifndef CLIENTS_CLI_CEREMONY_H
#define CLIENTS_CLI_CEREMONY_H

#include "clients/libpoc/verify.h"
#include "proto/keys/keystore.h"

enum {
	CEREMONY_MAX = 4 * 1024 * 1024, /* bytes of a file */
	CEREMONY_PROPOSALS_MAX = 2,
	CEREMONY_GROUPS_MAX = 2,
	CEREMONY_KEYS_MAX = 16
};

enum ceremony_role {
	CEREMONY_ROOT,      /* root keys of a T */
	CEREMONY_ENROLMENT, /* enrolment keys of a T */
	CEREMONY_AUTHORITY  /* authority keys of a K */
};

struct ceremony_key {
	struct public_key key;
	bool usable; /* of an algorithm that counts */
	bool has_signed;
};

/* Keys of which `threshold` must sign. */
struct ceremony_group {
	enum ceremony_role role;
	uint64_t version; /* of the T or K that lists them */
	unsigned threshold;
	size_t n;
	struct ceremony_key keys[CEREMONY_KEYS_MAX];
};

/* One proposed version. */
struct ceremony_proposal {
	struct envelope *envelope;   /* owned; may have no signature yet */
	const struct envelope *prev; /* what it replaces, by the proof: borrowed from the ceremony */
	size_t n_groups;
	struct ceremony_group groups[CEREMONY_GROUPS_MAX];
};

struct ceremony {
	struct verified_head *head; /* T, S and the checkpoint of the proof */
	struct envelope *keys;      /* the current K, where a K is proposed; owned */
	uint8_t *proof;             /* the very bytes; owned */
	size_t proof_size;
	size_t n;
	struct ceremony_proposal proposals[CEREMONY_PROPOSALS_MAX];
};

void ceremony_finish(struct ceremony *ceremony); /* zeroed memory allowed */

/* Reads a file's bytes.  pins: the directory and quorum that the reader brings.  0 and *out, or UNVERIFIED, INVALID,
 * TOO_LARGE, NO_MEMORY with *why. */
int ceremony_read(const struct verify_pins *pins, const uint8_t *bytes, size_t size, struct ceremony *out,
		  struct refusal *why);

/* Proof bytes and proposed envelopes as a file: *bytes is malloc'ed.  Nothing is checked: ceremony_read does that. */
int ceremony_encode(const uint8_t *proof, size_t proof_size, const ProtobufCBinaryData *proposals, size_t n,
		    uint8_t **bytes, size_t *size);

/* A ceremony as a file. */
int ceremony_write(const struct ceremony *ceremony, uint8_t **bytes, size_t *size, struct refusal *why);

/* Signatures that a group lacks; 0: it is complete. */
unsigned ceremony_lacks(const struct ceremony_group *group);

/* Signatures that all groups lack.  waived: the old authority of a K need not have signed, since the council named this
 * very K in its place. */
unsigned ceremony_missing(const struct ceremony *ceremony, bool waived);

/* Adds a key's signature to each proposal that asks for it.  DENIED: it is not asked, has signed already, or its groups
 * are complete without it. */
int ceremony_sign(struct ceremony *ceremony, const struct keystore_key *key, struct refusal *why);

/* Takes over signatures that another copy of the same ceremony has.  INVALID: it proposes something else. */
int ceremony_merge(struct ceremony *ceremony, const struct ceremony *other, struct refusal *why);

/* Whether what is proposed can stand at a time at all, whoever signs: a T that has not expired, thresholds that keys of
 * accepted algorithms can meet, a register that stays valid.  0 or INVALID, ORPHANS. */
int ceremony_check(const struct ceremony *ceremony, int64_t now, struct refusal *why);

/* Whether S stands under a T: its enrolment threshold signed it, by keys and algorithms that T lists. */
bool ceremony_enrolled(const struct envelope *trust, const struct envelope *reg);

#endif
