/* receipt: what a recipient's user says of a notice (acknowledged, accepted ...), and the facts that the directory
 * states (stored, delivered, escalated). */
#ifndef PROTO_RULES_RECEIPT_H
#define PROTO_RULES_RECEIPT_H

#include "proto/rules/notice.h"

enum { RECEIPT_MAX = 2 * 1024, FACT_MAX = 256 };

#define RECEIPT_TYPE "application/vnd.pocd.receipt.v1+protobuf"

/* A parsed receipt envelope. */
struct receipt {
	struct hash hash, event;
	struct notice_id notice_id;
	struct hash notice_hash;
	const uint8_t *bytes; /* owned */
	size_t size;
	struct name users; /* U/<place> */
	Poc__Envelope *outer;
	Poc__Receipt *receipt;
};

int receipt_parse(const uint8_t *bytes, size_t size, struct receipt **out, struct refusal *why);
void receipt_destroy(struct receipt *receipt); /* NULL allowed */

/* As notice_authorised: the user of receipt.handle signed, serves the kind, is not past not_after. */
int receipt_authorised(const struct receipt *receipt, const Poc__Users *users, unsigned allowed, int64_t time,
		       const Poc__User **user, struct refusal *why);

/* Whether the receipt is about this notice: id, hash, and a desk that may say so: closed by the sender's or a
 * recipient's, taken and released by any desk of the notice, the others by a recipient's or an escalation's.  0 or
 * STATUS_INVALID. */
int receipt_fits(const struct receipt *receipt, const struct notice *notice, struct refusal *why);

/* Packs and signs. */
int receipt_make(Poc__Receipt *payload, const struct keystore_key *signer, uint8_t **bytes, size_t *size,
		 struct refusal *why);

/* A fact's bytes: rules checked.  0 and *out (message_free). */
int fact_parse(const uint8_t *bytes, size_t size, Poc__Fact **out, struct refusal *why);
int fact_make(const Poc__Fact *fact, uint8_t **bytes, size_t *size, struct refusal *why);

/* Whether the fact is about this notice: id, hash, and of delivered a desk that receives it, of escalated one that an
 * escalation names.  0 or STATUS_INVALID. */
int fact_fits(const Poc__Fact *fact, const struct notice *notice, struct refusal *why);

const char *step_name(Poc__Step step); /* "stored" ... */
bool step_parse(const char *text, Poc__Step *out);
bool step_is_private(Poc__Step step);        /* taken, released: never leaves the desk */
bool step_is_stand(Poc__Step step);          /* accepted, declined, closed: of a desk's the last counts */
const char *reason_name(Poc__Reason reason); /* "not-competent" ... */
bool reason_parse(const char *text, Poc__Reason *out);

#endif
