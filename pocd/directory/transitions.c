#include "pocd/directory/transitions.h"

#include <string.h>

#include "pocd/directory/holders.h"
#include "pocd/directory/quorum.h"
#include "proto/rules/envelope.h"

/* What one search may cost: a T whose auditors were late has many checkpoints without a signature. */
enum { TRUSTS_MAX = 256, CHECKPOINTS_MAX = 5000, COSIGNED_MAX = 64 };

struct search {
	struct store_view *view;
	const struct snapshot *to;
	uint64_t last_seq; /* of to's T */
};

/* T of a version (envelope_destroy) and its leaf. */
static int read_trust(const struct search *search, uint64_t seq, struct envelope **out, uint64_t *leaf)
{
	struct hash value;
	const uint8_t *bytes;
	size_t size;
	int status = ledger_read_version(search->view, "T", seq, &value, leaf);

	*out = NULL;
	if (status == 0)
		status = ledger_read_envelope(search->view, &value, &bytes, &size, NULL, NULL);
	if (status == 0)
		status = envelope_parse(bytes, size, out, NULL);
	return status == 0 ? 0 : STATUS_DAMAGED;
}

/* The publications whose map has T(seq): from *first up to, not with, *end. */
static int find_range(const struct search *search, uint64_t seq, uint64_t leaf, uint64_t *first, uint64_t *end)
{
	struct hash value;
	uint64_t index, next = 0;
	int status = ledger_read_state_after(search->view, leaf, search->to->number, first, &index);

	*end = search->to->number + 1;
	if (status == 0 && seq < search->last_seq)
		status = ledger_read_version(search->view, "T", seq + 1, &value, &next);
	if (status == 0 && seq < search->last_seq)
		status = ledger_read_state_after(search->view, next, search->to->number, end, &index);
	return status == 0 ? 0 : STATUS_DAMAGED;
}

/* Which lines a note must have, before it is worth while to verify them. */
struct wanted {
	size_t n, quorum;
	struct note_key keys[AUDITORS_OF_T_MAX];
};

static void want(const Poc__Trust *trust, struct wanted *wanted)
{
	wanted->n = trust_auditor_keys(trust, wanted->keys, AUDITORS_OF_T_MAX);
	wanted->quorum = trust->quorum;
}

static bool has_lines(const struct note *note, const struct wanted *wanted)
{
	size_t found = 0;

	for (size_t i = 0; i < wanted->n; i++)
		found += note_has_line(note, &wanted->keys[i]);
	return found >= wanted->quorum;
}

/* The first of a T's checkpoints that has its quorum and that of an older T; 0: none. */
static int find_checkpoint(const struct search *search, const struct envelope *old, const struct envelope *trust,
			   uint64_t leaf, uint64_t *number)
{
	const Poc__Trust *before = old->payload.trust, *now = trust->payload.trust;
	struct wanted lines, lines_before;
	uint64_t first, end;
	unsigned cosigned = 0;
	int status = find_range(search, trust->seq, leaf, &first, &end);

	*number = 0;
	want(now, &lines);
	want(before, &lines_before);
	if (status == 0 && end - first > CHECKPOINTS_MAX)
		end = first + CHECKPOINTS_MAX;
	for (uint64_t at = first; status == 0 && at < end && cosigned < COSIGNED_MAX; at++) {
		uint64_t size;
		const char *note;
		size_t note_size;
		struct note parsed;
		if (ledger_read_publication(search->view, at, &size, &note, &note_size) != 0 ||
		    note_parse(note, note_size, &parsed, NULL) != 0)
			return STATUS_DAMAGED;
		if (!has_lines(&parsed, &lines))
			continue;
		cosigned++;
		if (has_lines(&parsed, &lines_before) && quorum_count(now, note, note_size) >= now->quorum &&
		    quorum_count(before, note, note_size) >= before->quorum) {
			*number = at;
			return 0;
		}
	}
	return status;
}

/* The newest T to which an older one leads by one checkpoint: *next (envelope_destroy), NULL: none. */
static int find_step(const struct search *search, const struct envelope *old, struct envelope **next,
		     struct transition *step)
{
	int status = 0;

	*next = NULL;
	for (uint64_t seq = old->seq + 1; seq <= search->last_seq && seq <= old->seq + TRUSTS_MAX && status == 0;
	     seq++) {
		struct envelope *trust;
		uint64_t leaf, number = 0;
		status = read_trust(search, seq, &trust, &leaf);
		if (status == 0)
			status = find_checkpoint(search, old, trust, leaf, &number);
		if (status != 0 || number == 0) {
			envelope_destroy(trust);
			if (*next != NULL)
				break;
			continue;
		}
		envelope_destroy(*next);
		*next = trust;
		*step = (struct transition){seq, leaf, number};
	}
	return status;
}

/* Whether a T leads to the checkpoint itself. */
static bool arrives(const struct search *search, const struct envelope *trust)
{
	return trust->seq >= search->last_seq || quorum_count(trust->payload.trust, search->to->note,
							      search->to->note_size) >= trust->payload.trust->quorum;
}

int transitions_find(struct store_view *view, uint64_t held_seq, const struct snapshot *to,
		     struct transition out[TRANSITIONS_MAX], size_t *n)
{
	struct search search = {view, to, holders_of(to)->trust->envelope->seq};
	struct envelope *at;
	uint64_t leaf;
	size_t found = 0;

	*n = 0;
	if (held_seq == 0 || held_seq >= search.last_seq)
		return 0;
	int status = read_trust(&search, held_seq, &at, &leaf);
	while (status == 0 && !arrives(&search, at)) {
		struct envelope *next = NULL;
		if (found == TRANSITIONS_MAX)
			break;
		status = find_step(&search, at, &next, &out[found]);
		if (status != 0 || next == NULL) {
			envelope_destroy(next);
			break;
		}
		found++;
		envelope_destroy(at);
		at = next;
	}
	if (status == 0 && arrives(&search, at))
		*n = found;
	envelope_destroy(at);
	return status;
}

bool transitions_serve(void *ctx, const struct snapshot *served, const struct snapshot *next)
{
	const Poc__Trust *trust = holders_of(next)->trust->envelope->payload.trust;
	struct transition way[TRANSITIONS_MAX];
	struct store_view *view;
	size_t n = 0;

	if (quorum_serves(served, next))
		return true;
	if (served == NULL || quorum_count(trust, next->note, next->note_size) < trust->quorum)
		return false;
	if (store_view_begin(ctx, &view) != 0)
		return false;
	int status = transitions_find(view, holders_of(served)->trust->envelope->seq, next, way, &n);
	store_view_end(view);
	return status == 0 && n > 0;
}
