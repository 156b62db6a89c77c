/* world: a whole directory in memory for tests: keys, T, S, and states with K, U, R and sections, as envelope bytes.
 * Makers abort on failure: a test cannot go on without its world.  Nothing here is for production use. */
#ifndef TESTS_LIB_WORLD_H
#define TESTS_LIB_WORLD_H

#include "proto/keys/keystore.h"
#include "proto/rules/envelope.h"

/* The current version of one name. */
struct world_item {
	char name[NAME_MAX_LENGTH + 1];
	uint8_t *bytes; /* envelope; NULL: none yet */
	size_t size;
	uint64_t seq;
	struct hash value;
};

enum { WORLD_SECTIONS = 3 };

struct world_state {
	char code[STATE_MAX_LENGTH + 1];
	struct keystore_key *authority, *coordinator; /* coordinator is also the key of the user "coordinator" */
	struct keystore_key *reader, *operator_;      /* users "reader", "operator"; of @directory: "admin", "server" */
	struct keystore_key *alert;                   /* user "alert" of a state; operator and alert serve all desks */
	struct keystore_key *reading;                 /* P-384: the reading key of all its desks */
	struct hash anchor;
	bool suspended;
	int64_t operator_until; /* not_after of "operator" in the next U; 0: none */
	struct world_item keys, users, record;
	ProtobufCBinaryData sections[WORLD_SECTIONS]; /* office GREEN, persons AMBER, internal AMBER+STRICT */
};

struct world {
	int64_t now; /* seconds: issued of what is made next */
	struct hash directory_id;
	struct keystore_key *root, *enrolment, *log;
	struct world_item trust, reg;
	size_t n_states;
	struct world_state states[300]; /* [0] is @directory */
};

struct world *world_create(int64_t now); /* T(1), S(1), K/@directory, U/@directory */
void world_destroy(struct world *world);

/* Adds a state with K(1), U(1), R(1) and makes the next S, which lists it. */
struct world_state *world_add_state(struct world *world, const char *code);

struct world_state *world_state(struct world *world, const char *code); /* aborts if there is none */

/* Makes the next version of ...; the item is updated.  The old bytes are freed unless keep takes them. */
void world_next_register(struct world *world, struct world_item *keep);
void world_next_users(struct world *world, struct world_state *state, bool with_reader, struct world_item *keep);
void world_next_record(struct world *world, struct world_state *state, bool withdrawn, struct world_item *keep);
void world_next_keys(struct world *world, struct world_state *state, struct keystore_key *new_coordinator,
		     struct world_item *keep);
void world_next_large_keys(struct world *world, struct world_state *state); /* more than 7 KiB, nothing else is new */
void world_item_finish(struct world_item *item);

/* What a T says, as far as tests change it.  The rest is as in T(1). */
struct world_trust {
	struct keystore_key *root, *log;
	size_t n_auditors;
	struct keystore_key *auditors[4];
	const char *auditor_names[4];
	unsigned quorum;
	uint32_t least_protocol; /* 0: 1 */
	size_t n_replaced;
	struct world_replacement {
		const char *state;
		struct hash keys; /* payload of the K that is to come */
		int64_t not_before;
	} replaced[2];
};

struct world_trust world_usual_trust(const struct world *world); /* the world's keys, no auditors */
void world_next_trust(struct world *world, const struct world_trust *form, struct keystore_key *const *signers,
		      size_t n, struct world_item *keep);

struct hash world_payload_hash(const struct world_item *item); /* what an anchor or a replacement is */

/* A record of a unit (R/<cc>/<unit>), seq 1, signed by the coordinator; and any single-channel section. */
void world_unit_record(struct world *world, struct world_state *state, const char *unit, struct world_item *out,
		       ProtobufCBinaryData *section);

/* The version after item's seq and value; its bytes are freed.  Zeroed: the first. */
void world_next_unit_record(struct world *world, struct world_state *state, const char *unit, struct world_item *item,
			    ProtobufCBinaryData *section);

/* Signs a payload with n keys into item (seq and prev are taken from the payload's head). */
void world_sign(const ProtobufCMessage *payload, struct keystore_key *const *keys, size_t n, struct world_item *item);

/* Bytes of a section with one phone channel. */
ProtobufCBinaryData world_section(const struct world *world, const char *record, const char *poc, const char *name,
				  const char *phone);

#endif
