#include "pocd/directory/history.h"

#include <stdlib.h>
#include <string.h>

#include "pocd/directory/judge.h"
#include "pocd/directory/replay.h"
#include "pocd/directory/scan.h"

struct checking {
	struct store_view *view;
	struct refusal *why;
	struct replay replay;
	struct history_report report;
};

static int read_envelope(struct checking *r, const struct hash *value, struct envelope **out)
{
	const uint8_t *bytes;
	size_t size;
	int status = ledger_read_envelope(r->view, value, &bytes, &size, NULL, NULL);

	*out = NULL;
	return status != 0 ? STATUS_DAMAGED : envelope_parse(bytes, size, out, r->why);
}

static int count_erased(void *ctx, const struct scanned_section *section)
{
	struct checking *r = ctx;
	struct hash digest;
	const uint8_t *bytes;
	size_t size;

	memcpy(digest.bytes, section->digest, HASH_SIZE);
	int status = ledger_read_section(r->view, &digest, &bytes, &size);
	r->report.erased_sections += status == STATUS_NOT_FOUND;
	return status == STATUS_NOT_FOUND ? 0 : status;
}

static int at_leaf(struct checking *r, uint64_t index, int status)
{
	char message[sizeof r->why->message];

	if (r->why == NULL)
		return status;
	snprintf(message, sizeof message, "leaf %llu: %.360s", (unsigned long long)index,
		 r->why->message[0] != '\0' ? r->why->message : status_text(status));
	memcpy(r->why->message, message, sizeof message);
	r->why->code = status;
	return status;
}

static int check_put(struct checking *r, uint64_t index, const struct leaf *leaf, const char *text)
{
	struct name name;
	const uint8_t *bytes;
	size_t size;
	int status = ledger_read_envelope(r->view, &leaf->value, &bytes, &size, NULL, NULL);

	status = status != 0 ? STATUS_DAMAGED : replay_put(&r->replay, leaf, text, bytes, size, &name, r->why);
	if (status == 0 && name.kind == NAME_RECORD)
		status = scan_sections(bytes, size, count_erased, r);
	if (status != 0)
		return at_leaf(r, index, status);
	changes_find(&r->replay.names, &leaf->key)->leaf = index;
	r->report.judged++;
	r->report.states += name.kind == NAME_KEYS && leaf->seq == 1;
	r->report.records += name.kind == NAME_RECORD && leaf->seq == 1;
	return 0;
}

static int check_state(struct checking *r, uint64_t index, const struct leaf *leaf)
{
	const char *text;
	size_t size;
	uint64_t log_size;
	int status = ledger_read_publication(r->view, leaf->seq, &log_size, &text, &size) != 0
			 ? refuse(r->why, STATUS_DAMAGED, "", "its checkpoint cannot be read")
			 : replay_signed(&r->replay, text, size, r->why);

	r->report.checkpoints += status == 0;
	return status == 0 ? 0 : at_leaf(r, index, status);
}

static int check_all(struct checking *r, uint64_t *n)
{
	char name[NAME_MAX_LENGTH + 2];
	struct leaf leaf;
	int status;

	for (*n = 0; (status = ledger_read_leaf(r->view, *n, &leaf, name, sizeof name)) == 0; ++*n) {
		if (leaf.kind == LEAF_PUT)
			status = check_put(r, *n, &leaf, name);
		else if (leaf.kind == LEAF_STATE)
			status = check_state(r, *n, &leaf);
		if (status != 0)
			return status;
	}
	return status == STATUS_NOT_FOUND ? 0 : at_leaf(r, *n, status);
}

/* ---- The end: what K dropped must have been signed anew, except after an emergency */

static int check_left(struct checking *r, const struct change *known, const struct envelope *envelope)
{
	const struct name *name = &envelope->name;
	struct hash keys_name;
	struct name keys;

	if (!name_make(NAME_KEYS, name->state, NULL, &keys))
		return STATUS_DAMAGED;
	keys_name = hash_name(keys.text);
	const struct change *under = changes_find(&r->replay.names, &keys_name);
	const struct envelope *k = replay_version(&r->replay, NAME_KEYS, name->state, NULL);
	const struct envelope *unit =
	    name->kind == NAME_RECORD ? replay_version(&r->replay, NAME_USERS, name->state, name->unit) : NULL;
	if (under == NULL || k == NULL)
		return STATUS_DAMAGED;
	if (judge_authorised(replay_version(&r->replay, NAME_TRUST, NULL, NULL), k, name->unit[0] != '\0' ? unit : NULL,
			     envelope))
		return 0;
	bool emergency = false;
	for (uint64_t seq = k->seq; seq > 0 && !emergency; seq--) {
		struct hash value;
		struct envelope *old;
		uint64_t leaf;
		if (ledger_read_version(r->view, keys.text, seq, &value, &leaf) != 0 || leaf < known->leaf ||
		    read_envelope(r, &value, &old) != 0)
			break;
		emergency = old->payload.keys->emergency;
		envelope_destroy(old);
	}
	if (!emergency)
		return refuse(r->why, STATUS_UNVERIFIED, name->text, "%s is current without a valid signature",
			      name->text);
	r->report.orphans++;
	return 0;
}

static int check_end(struct checking *r)
{
	int status = 0;

	for (size_t i = 0; i < r->replay.names.n && status == 0; i++) {
		const struct change *known = &r->replay.names.items[i];
		struct envelope *read = NULL, *envelope = r->replay.envelopes[i];
		if (envelope == NULL) {
			status = read_envelope(r, &known->value, &read);
			envelope = read;
		}
		/* a P whose key was dropped counts for nothing, and stays */
		if (status == 0 && envelope->name.kind >= NAME_USERS && envelope->name.kind != NAME_PINGS)
			status = check_left(r, known, envelope);
		envelope_destroy(read);
	}
	return status;
}

int history_check(struct store *store, struct history_report *report, struct refusal *why)
{
	struct refusal unused;
	struct checking r = {.why = why != NULL ? why : &unused};
	uint64_t n;

	*r.why = (struct refusal){0};
	int status = store_view_begin(store, &r.view);
	if (status != 0)
		return refuse(why, status, "", "the store cannot be read: %s", status_text(status));
	status = check_all(&r, &n);
	if (status == 0)
		status = check_end(&r);
	const struct envelope *trust = replay_version(&r.replay, NAME_TRUST, NULL, NULL);
	r.report.quorum = trust != NULL ? trust->payload.trust->quorum : 0;
	store_view_end(r.view);
	replay_finish(&r.replay);
	if (report != NULL)
		*report = r.report;
	if (status != 0 && r.why->code == 0)
		refuse(r.why, status, "", "the check cannot go on: %s", status_text(status));
	return status;
}
