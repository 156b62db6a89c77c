#include "clients/libpoc/verdict.h"

#include <stdio.h>
#include <string.h>

#include "proto/rules/record.h"
#include "proto/rules/register.h"

struct verdict_by verdict_saved(const struct verified_head *head, int64_t at, int64_t max_age)
{
	return (struct verdict_by){
	    .now = at != 0 ? at : head->time_ms / 1000, .max_age = max_age, .offline = true, .chosen = at != 0};
}

/* A time before the checkpoint's cannot be now: then the checkpoint's is the best that is known. */
static void judge_clock(const struct verified_head *head, const struct verdict_by *by, struct poc_verdict *out)
{
	int64_t leaf_ms = (int64_t)head->leaf.time_ms;
	int64_t newest = (leaf_ms > head->time_ms ? leaf_ms : head->time_ms) / 1000;
	int64_t behind = newest - by->now;

	out->judged = behind > 0 ? newest : by->now;
	out->clock_behind = behind > (by->chosen ? 0 : CLOCK_TOLERANCE) ? behind : 0;
	out->clock_ahead = out->clock_behind == 0 && by->clock_ahead > CLOCK_TOLERANCE ? by->clock_ahead : 0;
}

void verdict_head(const struct verified_head *head, const struct verdict_by *by, struct poc_verdict *out)
{
	const struct envelope *trust = verified_head_trust(head);
	int64_t max_age = by->max_age != 0 ? by->max_age : (int64_t)trust->payload.trust->max_age;

	*out = (struct poc_verdict){.offline = by->offline};
	judge_clock(head, by, out);
	snprintf(out->origin, sizeof out->origin, "%s", head->checkpoint.origin);
	out->size = head->checkpoint.size;
	out->time_ms = head->time_ms;
	out->cosigners = head->cosigners;
	out->quorum = head->quorum;
	out->auditors = head->auditors;
	out->trust_seq = trust->seq;
	out->trust_expired = out->judged >= trust->payload.trust->expires;
	out->checkpoint_stale = out->judged - head->time_ms / 1000 > max_age;
}

static int judge(const struct verified_record *record, const struct poc_verdict *verdict, bool chosen,
		 struct refusal *why)
{
	const char *place = record->name.text + 2;

	if (record->absent && record->enrolled && record->name.unit[0] == '\0')
		return refuse(why, STATUS_NOT_FOUND, "", "%s is enrolled and has published no contacts (proven)",
			      place);
	if (record->absent)
		return refuse(why, STATUS_NOT_FOUND, "", "%s is not in the directory (proven)", place);
	if (record->suspended)
		return refuse(why, STATUS_SUSPENDED, "", "%s is suspended: %s", record->name.state,
			      verdict->suspended_for[0] != '\0' ? verdict->suspended_for
								: "the council is replacing its authority");
	if (record->withdrawn)
		return refuse(why, STATUS_WITHDRAWN, "", "%s has withdrawn its record", place);
	if (verdict->clock_behind > 0)
		return refuse(why, STATUS_CLOCK, "", "%s",
			      chosen ? "the time asked for is before the proof's own"
				     : "this machine's clock is before the verified checkpoint");
	if (verdict->checkpoint_stale)
		return refuse(why, STATUS_STALE, "", "the checkpoint is older than allowed");
	if (verdict->trust_expired)
		return refuse(why, STATUS_STALE, "", "the trust root has expired");
	if (verdict->freshness == FRESH_STALE)
		return refuse(why, STATUS_STALE, "", "%s has not been confirmed for too long", place);
	return 0;
}

/* Where S has the flag; else it is T that suspends, which gives no reason. */
static void note_reason(const struct verified_head *head, const char *state, struct poc_verdict *out)
{
	const Poc__Entry *entry = register_find(head->reg->payload.register_, state);

	if (entry != NULL && entry->suspended)
		snprintf(out->suspended_for, sizeof out->suspended_for, "%s", entry->reason);
}

int verdict_record(const struct verified_head *head, const struct verified_record *record, const struct verdict_by *by,
		   struct poc_verdict *out, struct refusal *why)
{
	verdict_head(head, by, out);
	out->status = record->suspended ? POC_SUSPENDED : record->withdrawn ? POC_WITHDRAWN : POC_VALID;
	if (record->suspended)
		note_reason(head, record->name.state, out);
	out->withheld = record->withheld;
	out->enrolled = record->enrolled;
	if (record->record != NULL) {
		const Poc__Record *r = record->record->payload.record;
		out->issued = r->issued;
		out->confirmed = r->confirmed;
		out->expires = r->expires;
		out->answered = record->answered;
		out->answered_automatically = record->answered_automatically;
		out->freshness = (int)record_freshness(r, out->judged);
		snprintf(out->signed_by, sizeof out->signed_by, "%s", record->signed_by);
		out->replaced = record->replaced;
		hash_to_hex(&record->signer, out->signer);
	}
	return judge(record, out, by->chosen, why);
}
