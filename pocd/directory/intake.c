#include "pocd/directory/intake.h"

#include <stdlib.h>
#include <string.h>

#include "pocd/directory/quorum.h"
#include "pocd/directory/replay.h"
#include "pocd/directory/scan.h"
#include "proto/rules/names.h"
#include "proto/rules/trust.h"

enum {
	SECTIONS_MAX = 16 * 16 + 4,
	/* Of a long log so much is made durable at a time: each time costs a copy of every page of the store that it
	 * touches, and a walk over all names. */
	DURABLE_BYTES = 32 * 1024 * 1024
};

struct intake {
	struct ledger *ledger;
	struct store *store;
	struct hash directory;
	struct replay replay;
	struct intake_work work;
};

static int load(struct intake *intake, struct refusal *why)
{
	struct snapshot *tip = ledger_tip(intake->ledger);
	int status = 0;

	replay_finish(&intake->replay);
	if (tip != NULL)
		status = replay_load(&intake->replay, intake->store, tip, why);
	snapshot_unref(tip);
	return status;
}

int intake_create(struct ledger *ledger, struct store *store, const struct hash *directory, struct intake **out,
		  struct refusal *why)
{
	struct intake *intake = calloc(1, sizeof *intake);

	*out = NULL;
	if (intake == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	intake->ledger = ledger;
	intake->store = store;
	intake->directory = *directory;
	intake->replay.toll = &intake->work.toll;
	int status = load(intake, why);
	if (status != 0) {
		intake_destroy(intake);
		return status;
	}
	*out = intake;
	return 0;
}

void intake_destroy(struct intake *intake)
{
	if (intake == NULL)
		return;
	replay_finish(&intake->replay);
	free(intake);
}

uint64_t intake_size(const struct intake *intake)
{
	return ledger_appended_size(intake->ledger);
}

struct intake_work intake_work(const struct intake *intake)
{
	return intake->work;
}

/* ---- Sections */

struct wanted {
	const struct hash *digest;
	bool found;
};

static int look_for(void *ctx, const struct scanned_section *section)
{
	struct wanted *wanted = ctx;

	wanted->found = memcmp(section->digest, wanted->digest->bytes, HASH_SIZE) == 0;
	return wanted->found;
}

/* Only what the record calls for. */
static int take_sections(const Poc__FollowedLeaf *in, bool is_record, struct ledger_section *out, struct refusal *why)
{
	if (in->n_sections > 0 && (!is_record || in->n_sections > SECTIONS_MAX))
		return refuse(why, STATUS_UNVERIFIED, "leaves.sections", "sections of what has none");
	for (size_t i = 0; i < in->n_sections; i++) {
		out[i] = (struct ledger_section){hash_section(in->sections[i].data, in->sections[i].len),
						 in->sections[i].data, in->sections[i].len};
		struct wanted wanted = {.digest = &out[i].digest};
		int status = scan_sections(in->envelope.data, in->envelope.len, look_for, &wanted);
		if (!wanted.found || (status != 0 && status != 1))
			return refuse(why, STATUS_UNVERIFIED, "leaves.sections", "%.64s does not call for a section",
				      in->name);
	}
	return 0;
}

/* ---- Leaves */

static int judge_put(struct intake *intake, const Poc__FollowedLeaf *in, const struct leaf *leaf, struct name *name,
		     struct refusal *why)
{
	int status = replay_put(&intake->replay, leaf, in->name, in->envelope.data, in->envelope.len, name, why);

	if (status != 0 || name->kind != NAME_TRUST || leaf->seq != 1)
		return status;
	const struct envelope *trust = replay_version(&intake->replay, NAME_TRUST, NULL, NULL);
	if (hash_compare(&trust->payload_hash, &intake->directory) != 0)
		return refuse(why, STATUS_UNVERIFIED, "T", "this is another directory's trust root");
	return 0;
}

static int judge_state(const struct intake *intake, const Poc__FollowedLeaf *in, struct refusal *why)
{
	const struct envelope *trust = replay_version(&intake->replay, NAME_TRUST, NULL, NULL);
	struct note note;
	struct checkpoint checkpoint;
	int status = replay_signed(&intake->replay, (const char *)in->note.data, in->note.len, why);

	if (status != 0)
		return status;
	if (note_parse((const char *)in->note.data, in->note.len, &note, NULL) != 0 ||
	    checkpoint_parse(note.text, note.text_size, &checkpoint, NULL) != 0 ||
	    strcmp(checkpoint.origin, trust->payload.trust->origin) != 0)
		return refuse(why, STATUS_UNVERIFIED, "note", "the checkpoint is of another log");
	return 0;
}

static int take_leaf(struct intake *intake, const Poc__FollowedLeaf *in, struct leaf *leaf, struct refusal *why)
{
	struct ledger_section sections[SECTIONS_MAX];
	struct name name = {.kind = NAME_TRUST};
	int status = 0;

	if (in->leaf.len != LEAF_SIZE || leaf_read(in->leaf.data, leaf) != 0)
		return refuse(why, STATUS_UNVERIFIED, "leaves.leaf", "not a leaf");
	if ((leaf->kind == LEAF_PUT) != (in->envelope.len > 0) || (leaf->kind == LEAF_PUT) != (in->name[0] != '\0') ||
	    (leaf->kind == LEAF_STATE) != (in->note.len > 0))
		return refuse(why, STATUS_UNVERIFIED, "leaves", "a leaf without what it speaks of");
	if (leaf->kind == LEAF_PUT)
		status = judge_put(intake, in, leaf, &name, why);
	else if (leaf->kind == LEAF_STATE)
		status = judge_state(intake, in, why);
	if (status == 0)
		status = take_sections(in, name.kind == NAME_RECORD, sections, why);
	if (status != 0)
		return status;
	struct ledger_appended appended = {.name = in->name,
					   .envelope = in->envelope.data,
					   .envelope_size = in->envelope.len,
					   .n_sections = in->n_sections,
					   .sections = sections,
					   .note = (const char *)in->note.data,
					   .note_size = in->note.len};
	memcpy(appended.leaf, in->leaf.data, LEAF_SIZE);
	return ledger_append(intake->ledger, &appended, why);
}

static int at_leaf(const struct intake *intake, int status, struct refusal *why)
{
	char message[sizeof why->message];

	snprintf(message, sizeof message, "leaf %llu: %.360s", (unsigned long long)intake_size(intake), why->message);
	memcpy(why->message, message, sizeof message);
	return status;
}

static int take_leaves(struct intake *intake, const Poc__FollowAnswer *page, struct refusal *why)
{
	struct leaf leaf;
	int status = 0;

	for (size_t i = 0; i < page->n_leaves && status == 0; i++) {
		status = take_leaf(intake, page->leaves[i], &leaf, why);
		intake->work.leaves++;
		if (status != 0)
			return at_leaf(intake, status, why);
	}
	return status;
}

int intake_settle(struct intake *intake, bool *moved, struct refusal *why)
{
	if (!ledger_appended_whole(intake->ledger))
		return 0;
	int status = ledger_append_commit(intake->ledger, why);
	*moved = status == 0;
	return status;
}

/* What comes after a page's last checkpoint stays staged: only its end is looked at. */
static bool is_time(const struct intake *intake, const Poc__FollowAnswer *page)
{
	return intake_size(intake) >= page->size || ledger_appended_bytes(intake->ledger) >= DURABLE_BYTES;
}

/* More signatures on the tip: what counts is looked at when it is served; that it is the same checkpoint, here. */
static int take_note(struct intake *intake, const ProtobufCBinaryData *bytes, bool *moved, struct refusal *why)
{
	struct snapshot *tip = ledger_tip(intake->ledger);
	int status = 0;

	if (tip != NULL && bytes->len > 0 &&
	    (bytes->len != tip->note_size || memcmp(bytes->data, tip->note, bytes->len) != 0)) {
		status = replay_signed(&intake->replay, (const char *)bytes->data, bytes->len, why);
		if (status == 0)
			status = ledger_renote(intake->ledger, (const char *)bytes->data, bytes->len, why);
		*moved = *moved || status == 0;
	}
	snapshot_unref(tip);
	return status;
}

int intake_page(struct intake *intake, const Poc__FollowAnswer *page, bool *moved, struct refusal *why)
{
	struct refusal ignored;

	*moved = false;
	why->message[0] = '\0';
	int status = take_leaves(intake, page, why);
	if (status == 0 && is_time(intake, page))
		status = intake_settle(intake, moved, why);
	if (status == 0 && !ledger_staged(intake->ledger) && page->note.len > 0 && page->size == intake_size(intake))
		status = take_note(intake, &page->note, moved, why);
	if (status != 0) {
		ledger_append_abandon(intake->ledger);
		if (load(intake, &ignored) != 0)
			*why = ignored;
	}
	return status;
}

const char *intake_auditor(const struct intake *intake, const struct public_key *key)
{
	const struct envelope *trust = replay_version(&intake->replay, NAME_TRUST, NULL, NULL);

	const Poc__Auditor *auditor = trust != NULL ? quorum_auditor_by_key(trust->payload.trust, key) : NULL;

	return auditor != NULL ? auditor->name : NULL;
}
