#include "proto/rules/receipt.h"

#include <stdlib.h>
#include <string.h>

#include "proto/rules/signed.h"
#include "proto/wire/prescan.h"

static const struct prescan_limits limits = {.depth = 1, .fields = 32, .memory = 16 * 1024};

static const char *const step_names[] = {"unknown",  "stored", "delivered", "acknowledged", "accepted", "declined",
					 "answered", "closed", "escalated", "taken",        "released"};
static const char *const reason_names[] = {
    "unknown", "not-competent", "wrong-recipient", "cannot-read", "no-capacity", "duplicate", "other"};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

const char *step_name(Poc__Step step)
{
	return step_names[step > 0 && (size_t)step < COUNT(step_names) ? step : 0];
}

bool step_parse(const char *text, Poc__Step *out)
{
	for (size_t i = 1; i < COUNT(step_names); i++) {
		if (strcmp(text, step_names[i]) == 0) {
			*out = (Poc__Step)i;
			return true;
		}
	}
	return false;
}

bool step_is_private(Poc__Step step)
{
	return step == POC__STEP__STEP_TAKEN || step == POC__STEP__STEP_RELEASED;
}

bool step_is_stand(Poc__Step step)
{
	return step == POC__STEP__STEP_ACCEPTED || step == POC__STEP__STEP_DECLINED || step == POC__STEP__STEP_CLOSED;
}

static bool step_is_fact(Poc__Step step)
{
	return step == POC__STEP__STEP_STORED || step == POC__STEP__STEP_DELIVERED || step == POC__STEP__STEP_ESCALATED;
}

const char *reason_name(Poc__Reason reason)
{
	return reason_names[reason > 0 && (size_t)reason < COUNT(reason_names) ? reason : 0];
}

bool reason_parse(const char *text, Poc__Reason *out)
{
	for (size_t i = 1; i < COUNT(reason_names); i++) {
		if (strcmp(text, reason_names[i]) == 0) {
			*out = (Poc__Reason)i;
			return true;
		}
	}
	return false;
}

/* ---- Receipts */

static int check(const Poc__Receipt *receipt, struct refusal *why)
{
	const Poc__Step step = receipt->step;

	if (receipt->directory_id.len != HASH_SIZE || receipt->notice_hash.len != HASH_SIZE ||
	    receipt->notice_id.len != NOTICE_ID_SIZE)
		return refuse(why, STATUS_INVALID, "notice_id", "directory, notice or its hash has the wrong length");
	if (step == 0 || step_is_fact(step))
		return refuse(why, STATUS_INVALID, "step", "is none that a user states");
	if (!desk_valid(receipt->place, receipt->kind))
		return refuse(why, STATUS_INVALID, "place", "no place and kind of a point of contact");
	if (!handle_valid(receipt->handle))
		return refuse(why, STATUS_INVALID, "handle", "no handle of a user");
	if ((step == POC__STEP__STEP_DECLINED) != (receipt->reason != 0))
		return refuse(why, STATUS_INVALID, "reason", "is given with declined, and only there");
	if (receipt->answer_by != 0 && (receipt->answer_by <= receipt->time ||
					(step != POC__STEP__STEP_ACKNOWLEDGED && step != POC__STEP__STEP_ACCEPTED)))
		return refuse(why, STATUS_INVALID, "answer_by", "lies after the receipt, of acknowledged or accepted");
	if (receipt->answer_by != 0 && receipt->time > 0 && receipt->answer_by - receipt->time > NOTICE_AHEAD_MAX)
		return refuse(why, STATUS_INVALID, "answer_by", "lies more than ten years ahead");
	if (receipt->answer.len != (step == POC__STEP__STEP_ANSWERED ? NOTICE_ID_SIZE : 0))
		return refuse(why, STATUS_INVALID, "answer", "is the id of the answer with answered, and only there");
	return receipt->time > 0 ? 0 : refuse(why, STATUS_INVALID, "time", "missing");
}

static int parse(struct receipt *r, struct refusal *why)
{
	ProtobufCMessage *message;
	int status = signed_parse(r->bytes, r->size, RECEIPT_TYPE, &r->outer, why);

	if (status == 0)
		status = message_decode(&poc__receipt__descriptor, r->outer->payload.data, r->outer->payload.len,
					&limits, &message, why);
	if (status != 0)
		return status;
	r->receipt = (Poc__Receipt *)message;
	status = check(r->receipt, why);
	if (status != 0)
		return status;
	memcpy(r->notice_id.bytes, r->receipt->notice_id.data, NOTICE_ID_SIZE);
	memcpy(r->notice_hash.bytes, r->receipt->notice_hash.data, HASH_SIZE);
	return desk_users(r->receipt->place, &r->users) ? 0 : refuse(why, STATUS_INVALID, "place", "no place");
}

int receipt_parse(const uint8_t *bytes, size_t size, struct receipt **out, struct refusal *why)
{
	*out = NULL;
	if (size == 0 || size > RECEIPT_MAX)
		return refuse(why, STATUS_TOO_LARGE, "envelope", "a receipt has 1 to %d bytes", RECEIPT_MAX);
	struct receipt *r = calloc(1, sizeof *r + size);
	if (r == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	memcpy(r + 1, bytes, size);
	r->bytes = (const uint8_t *)(r + 1);
	r->size = size;
	r->hash = hash_of(bytes, size);
	r->event = hash_event(bytes, size);
	const int status = parse(r, why);
	if (status != 0) {
		receipt_destroy(r);
		return status;
	}
	*out = r;
	return 0;
}

void receipt_destroy(struct receipt *receipt)
{
	if (receipt == NULL)
		return;
	message_free(receipt->receipt);
	message_free(receipt->outer);
	free(receipt);
}

int receipt_authorised(const struct receipt *receipt, const Poc__Users *users, unsigned allowed, int64_t time,
		       const Poc__User **user, struct refusal *why)
{
	return signed_authorised(receipt->outer, users, receipt->receipt->handle, receipt->receipt->kind, allowed, time,
				 user, why);
}

int receipt_fits(const struct receipt *receipt, const struct notice *notice, struct refusal *why)
{
	const Poc__Receipt *r = receipt->receipt;

	if (memcmp(receipt->notice_id.bytes, notice->id.bytes, NOTICE_ID_SIZE) != 0 ||
	    hash_compare(&receipt->notice_hash, &notice->hash) != 0 ||
	    memcmp(r->directory_id.data, notice->core->directory_id.data, HASH_SIZE) != 0)
		return refuse(why, STATUS_INVALID, "notice_id", "the receipt is about another notice");
	const enum notice_side side = notice_side(notice, r->place, r->kind);
	const bool any = step_is_private(r->step) || r->step == POC__STEP__STEP_CLOSED;
	if (side == SIDE_NONE || (side == SIDE_FROM && !any))
		return refuse(why, STATUS_INVALID, "place", "%s cannot say that it has %s this notice", r->place,
			      step_name(r->step));
	return 0;
}

int receipt_make(Poc__Receipt *payload, const struct keystore_key *signer, uint8_t **bytes, size_t *size,
		 struct refusal *why)
{
	*bytes = NULL;
	const int status = check(payload, why);
	return status != 0 ? status : signed_make(&payload->base, RECEIPT_TYPE, signer, bytes, size, why);
}

/* ---- Facts */

static int check_fact(const Poc__Fact *fact, struct refusal *why)
{
	if (fact->directory_id.len != HASH_SIZE || fact->notice_hash.len != HASH_SIZE ||
	    fact->notice_id.len != NOTICE_ID_SIZE)
		return refuse(why, STATUS_INVALID, "notice_id", "directory, notice or its hash has the wrong length");
	if (!step_is_fact(fact->step))
		return refuse(why, STATUS_INVALID, "step", "is none that the directory states");
	if (fact->step == POC__STEP__STEP_STORED ? fact->place[0] != '\0' || fact->kind != 0
						 : !desk_valid(fact->place, fact->kind))
		return refuse(why, STATUS_INVALID, "place", "a desk with delivered and escalated, none with stored");
	return fact->time_ms > 0 ? 0 : refuse(why, STATUS_INVALID, "time_ms", "missing");
}

int fact_parse(const uint8_t *bytes, size_t size, Poc__Fact **out, struct refusal *why)
{
	ProtobufCMessage *message;

	*out = NULL;
	if (size == 0 || size > FACT_MAX)
		return refuse(why, STATUS_TOO_LARGE, "fact", "a fact has 1 to %d bytes", FACT_MAX);
	int status = message_decode(&poc__fact__descriptor, bytes, size, &limits, &message, why);
	if (status != 0)
		return status;
	status = check_fact((const Poc__Fact *)message, why);
	if (status != 0) {
		message_free(message);
		return status;
	}
	*out = (Poc__Fact *)message;
	return 0;
}

int fact_fits(const Poc__Fact *fact, const struct notice *notice, struct refusal *why)
{
	if (memcmp(fact->notice_id.data, notice->id.bytes, NOTICE_ID_SIZE) != 0 ||
	    memcmp(fact->notice_hash.data, notice->hash.bytes, HASH_SIZE) != 0 ||
	    memcmp(fact->directory_id.data, notice->core->directory_id.data, HASH_SIZE) != 0)
		return refuse(why, STATUS_INVALID, "notice_id", "the fact is about another notice");
	if (fact->step == POC__STEP__STEP_STORED)
		return 0;
	const enum notice_side side = notice_side(notice, fact->place, fact->kind);
	if (side != SIDE_ESCALATION && (side != SIDE_TO || fact->step == POC__STEP__STEP_ESCALATED))
		return refuse(why, STATUS_INVALID, "place", "the notice was not for %s to be %s", fact->place,
			      step_name(fact->step));
	return 0;
}

int fact_make(const Poc__Fact *fact, uint8_t **bytes, size_t *size, struct refusal *why)
{
	const int status = check_fact(fact, why);

	*bytes = NULL;
	if (status != 0)
		return status;
	return message_encode(fact, bytes, size) == 0 ? 0 : refuse(why, STATUS_NO_MEMORY, "", "out of memory");
}
