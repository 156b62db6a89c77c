/* leaves: the log as followers ask for it, and what auditors hand back.  Its functions are declared in directory.h. */
#include <stdlib.h>
#include <string.h>

#include "pocd/directory/directory_internal.h"
#include "pocd/directory/quorum.h"
#include "pocd/directory/scan.h"
#include "pocd/ledger/tlog.h"
#include "proto/wire/encode.h"

enum { PAGE_MAX = 512 * 1024, LEAVES_PER_PAGE = 4000, SLACK = 128 * 1024 };

/* Fields of FollowAnswer and FollowedLeaf (poc.proto). */
enum {
	ANSWER_LEAVES = 1,
	ANSWER_SIZE = 2,
	ANSWER_NOTE = 3,
	LEAF_BYTES = 1,
	LEAF_NAME = 2,
	LEAF_ENVELOPE = 3,
	LEAF_SECTIONS = 4,
	LEAF_NOTE = 5
};

/* ---- Whether the follower's log is a prefix of ours */

static int root_at(struct directory *directory, uint64_t size, struct hash *root)
{
	struct store_view *view;
	int status = store_view_begin(directory->options.store, &view);

	if (status != 0)
		return status;
	struct tlog_reader reader = {NULL, view};
	status = merkle_root(tlog_read, &reader, size, root);
	store_view_end(view);
	return status;
}

/* What it holds says something only if our log's key signed it. */
static void look_at_note(struct directory *directory, const struct principal *who, const struct follow_query *query,
			 const struct snapshot *tip)
{
	struct checkpoint checkpoint;
	struct note note;

	if (query->note == NULL || note_parse(query->note, query->note_size, &note, NULL) != 0 ||
	    checkpoint_parse(note.text, note.text_size, &checkpoint, NULL) != 0 ||
	    strcmp(checkpoint.origin, tip->checkpoint.origin) != 0 || checkpoint.size != query->size ||
	    memcmp(checkpoint.root.bytes, query->root, HASH_SIZE) != 0 ||
	    !quorum_log_signed(holders_of(tip)->trust->envelope->payload.trust, query->note, query->note_size))
		return;
	auditors_passed(directory->auditors, query->size, query->auditor[0] != '\0' ? query->auditor : who->state);
}

static int check_prefix(struct directory *directory, const struct principal *who, const struct follow_query *query,
			const struct snapshot *tip, struct refusal *why)
{
	struct hash root;
	int status = 0;

	if (query->size == 0)
		return 0;
	if (query->size < tip->checkpoint.size)
		status = root_at(directory, query->size, &root);
	else if (query->size == tip->checkpoint.size)
		root = tip->checkpoint.root;
	if (status != 0)
		return refuse(why, status, "", "the log cannot be read: %s", status_text(status));
	if (query->size <= tip->checkpoint.size && memcmp(root.bytes, query->root, HASH_SIZE) == 0)
		return 0;
	look_at_note(directory, who, query, tip);
	return refuse(why, STATUS_CONFLICT, "follow.root",
		      "the log of this server, of size %llu, does not lead to the follower's of size %llu",
		      (unsigned long long)tip->checkpoint.size, (unsigned long long)query->size);
}

/* An auditor counts as heard if it speaks for the state that runs it. */
static void hear(struct directory *directory, const struct principal *who, const struct follow_query *query,
		 const struct snapshot *tip)
{
	const Poc__Auditor *auditor = query->auditor[0] != '\0' ? quorum_auditor(tip, query->auditor) : NULL;

	if (query->key_size > 0)
		auditors_ready(directory->auditors, who->state, query->key, query->key_size);
	if (auditor != NULL && strcmp(auditor->state, who->state) == 0)
		auditors_heard(directory->auditors, auditor->name);
}

/* ---- A page */

struct page {
	struct directory *directory;
	struct store_view *view;
	struct encoder *encoder;
	const struct principal *who;
	enum reader_class reader; /* of the record at hand */
};

static int put_section(void *ctx, const struct scanned_section *section)
{
	struct page *page = ctx;
	struct hash digest;
	const uint8_t *bytes;
	size_t size;

	if (!section_entitled(section->tlp, page->reader))
		return 0;
	memcpy(digest.bytes, section->digest, HASH_SIZE);
	int status = ledger_read_section(page->view, &digest, &bytes, &size);
	if (status == 0)
		encode_element(page->encoder, LEAF_SECTIONS, bytes, size);
	return status == STATUS_NOT_FOUND ? 0 : status; /* erased */
}

static int put_version(struct page *page, const struct leaf *leaf, const char *text)
{
	struct name name;
	const uint8_t *bytes;
	size_t size;
	int status = ledger_read_envelope(page->view, &leaf->value, &bytes, &size, NULL, NULL);

	if (status != 0 || !name_parse(text, &name))
		return STATUS_DAMAGED;
	encode_text(page->encoder, LEAF_NAME, text);
	encode_bytes(page->encoder, LEAF_ENVELOPE, bytes, size);
	if (name.kind != NAME_RECORD)
		return 0;
	page->reader = policy_mirror_class(&page->who->facts,
					   strcmp(page->who->state, name.state) == 0 ? OBJECT_OWN : OBJECT_OTHER);
	status = scan_sections(bytes, size, put_section, page);
	if (status == 0)
		directory_note_reading(page->directory, page->who, name.state, READING_COPY);
	return status;
}

static int put_leaf(struct page *page, uint64_t index, enum leaf_kind *kind)
{
	uint8_t bytes[LEAF_SIZE];
	char name[SNAPSHOT_NAME_ROOM];
	struct leaf leaf;
	uint64_t size;
	const char *note;
	size_t note_size;
	int status = ledger_read_leaf(page->view, index, &leaf, name, sizeof name);

	if (status != 0)
		return STATUS_DAMAGED;
	*kind = leaf.kind;
	leaf_write(&leaf, bytes);
	size_t begin = encode_begin(page->encoder, ANSWER_LEAVES);
	encode_bytes(page->encoder, LEAF_BYTES, bytes, LEAF_SIZE);
	if (leaf.kind == LEAF_PUT)
		status = put_version(page, &leaf, name);
	else if (leaf.kind == LEAF_STATE)
		status = ledger_read_publication(page->view, leaf.seq, &size, &note, &note_size);
	if (leaf.kind == LEAF_STATE && status == 0)
		encode_bytes(page->encoder, LEAF_NOTE, note, note_size);
	encode_end(page->encoder, begin);
	return status == STATUS_NOT_FOUND ? STATUS_DAMAGED : status;
}

/* A page ends with a checkpoint where it can: up to there the follower keeps it. */
static int put_page(struct page *page, const struct snapshot *tip, uint64_t from)
{
	enum leaf_kind kind = LEAF_STATE;
	uint64_t index = from;
	int status = 0;

	for (size_t n = 0; index < tip->checkpoint.size && status == 0; index++, n++) {
		bool half = page->encoder->size > PAGE_MAX / 2 || n > LEAVES_PER_PAGE / 2;
		if ((half && kind == LEAF_STATE) || page->encoder->size > PAGE_MAX || n == LEAVES_PER_PAGE)
			break;
		status = put_leaf(page, index, &kind);
	}
	encode_uint(page->encoder, ANSWER_SIZE, tip->checkpoint.size);
	if (index >= tip->checkpoint.size)
		encode_bytes(page->encoder, ANSWER_NOTE, tip->note, tip->note_size);
	return status;
}

static int answer(struct directory *directory, const struct principal *who, const struct snapshot *tip, uint64_t from,
		  struct answer *out, struct refusal *why)
{
	struct encoder encoder;
	struct page page = {.directory = directory, .encoder = &encoder, .who = who};
	int status = store_view_begin(directory->options.store, &page.view);

	if (status != 0)
		return refuse(why, status, "", "cannot read: %s", status_text(status));
	encode_init(&encoder, from < tip->checkpoint.size ? 64 * 1024 : NOTE_MAX);
	status = put_page(&page, tip, from);
	store_view_end(page.view);
	if (status == 0 && encoder.failed)
		status = STATUS_NO_MEMORY;
	if (status != 0) {
		encode_finish(&encoder);
		return refuse(why, status, "", "the log cannot be read: %s", status_text(status));
	}
	*out = (struct answer){encoder.bytes, encoder.size, encoder.bytes, free};
	return 0;
}

int directory_follow(struct directory *directory, const struct principal *who, const struct follow_query *query,
		     struct tip_told *told, struct answer *out, struct refusal *why)
{
	struct snapshot *tip = ledger_tip(directory->ledger);

	*out = (struct answer){0};
	if (tip == NULL)
		return refuse(why, STATUS_BUSY, "", "nothing has been published yet");
	uint64_t from = query->from > query->size ? query->from : query->size;
	int status = check_prefix(directory, who, query, tip, why);
	if (status == 0) {
		hear(directory, who, query, tip);
		status = answer(directory, who, tip, from, out, why);
		*told = (struct tip_told){tip->number, tip->note_size};
	}
	snapshot_unref(tip);
	return status;
}

bool directory_tip_moved(struct directory *directory, const struct tip_told *told, uint64_t *size)
{
	struct snapshot *tip = ledger_tip(directory->ledger);
	bool moved = tip != NULL && (tip->number != told->number || tip->note_size != told->note_size);

	if (moved)
		*size = tip->checkpoint.size;
	snapshot_unref(tip);
	return moved;
}

/* ---- Cosignatures */

int directory_cosign(struct directory *directory, const struct principal *who, const char *auditor, uint64_t size,
		     const uint8_t *signature, struct refusal *why)
{
	struct snapshot *tip = ledger_tip(directory->ledger), *served = ledger_snapshot(directory->ledger);
	struct cosigned_line line;
	int64_t now = (int64_t)(directory->options.now_ms(directory->options.now_ctx) / 1000);
	int status = 0;

	if (directory->options.n_log_keys == 0)
		status = refuse(why, STATUS_MIRROR, "", "this server is a mirror: hand it to the directory itself");
	else if (tip == NULL)
		status = refuse(why, STATUS_BUSY, "", "nothing has been published yet");
	if (status == 0)
		status = quorum_line(tip, served, auditor, size, signature, now, &line, why);
	if (status == 0)
		status = writer_cosign(directory->writer, who->state, tip->number, &line, why);
	snapshot_unref(tip);
	snapshot_unref(served);
	return status;
}
