#include "clients/libpoc/copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "clients/libpoc/advance.h"
#include "clients/libpoc/saved.h"
#include "clients/libpoc/session.h"
#include "clients/libpoc/verdict.h"
#include "proto/keys/keystore.h"
#include "proto/rules/notice.h"
#include "proto/rules/users.h"
#include "proto/wire/prescan.h"

enum { FILE_NAME_MAX = 32, WALKS_MAX = 10, PAGES_MAX = 10000 };

static const size_t copy_max = (size_t)1 << 30;

static void file_name(const struct poc *poc, char out[FILE_NAME_MAX])
{
	char pin[2 * HASH_SIZE + 1] = "";

	if (poc->key != NULL)
		hash_to_hex(&keystore_public(poc->key)->id, pin);
	snprintf(out, FILE_NAME_MAX, "copy%s%.16s", pin[0] != '\0' ? "-" : "", pin);
}

/* ---- Reading */

static int read_copy(struct poc *poc, uint8_t **bytes, size_t *size)
{
	char name[FILE_NAME_MAX];

	*bytes = NULL;
	if (poc->folder == NULL)
		return refuse(&poc->why, STATUS_UNREACHABLE, "state.dir", "there is no local copy");
	file_name(poc, name);
	int status = held_read_file(poc->folder, name, copy_max, bytes, size, &poc->why);
	if (status == STATUS_NOT_FOUND)
		return refuse(&poc->why, STATUS_UNREACHABLE, "state.dir",
			      "there is no local copy: poc sync makes one when a server can be reached");
	return status;
}

int copy_judge(struct poc *poc, int status)
{
	char name[FILE_NAME_MAX], what[160];

	if (status != STATUS_UNVERIFIED || poc->folder == NULL)
		return status;
	file_name(poc, name);
	snprintf(what, sizeof what, "%.159s", poc->why.message);
	refuse(&poc->why, STATUS_UNVERIFIED, "",
	       "the local copy %.170s/%s is damaged or was altered (%s); poc sync makes it anew", poc->folder, name,
	       what);
	snprintf(poc->copy_damage, sizeof poc->copy_damage, "%s", poc->why.message);
	return status;
}

/* A copy that was good by what T asks is not damaged where the configuration asks for more since: true, and that
 * is what poc->why says. */
static bool lacks_auditors(struct poc *poc, const uint8_t *bytes, size_t size)
{
	struct verify_pins lenient = {.directory = poc->pins.directory};
	struct verified_head *head = NULL;

	if (verify_saved(&lenient, bytes, size, &head, NULL) != 0)
		return false;
	if (head->cosigners < poc->pins.quorum)
		refuse(&poc->why, STATUS_UNVERIFIED, "directory.quorum",
		       "the local copy's checkpoint, of size %llu, has the signatures of %u auditors, and the "
		       "configuration asks for %u; poc sync makes it anew, once so many sign",
		       (unsigned long long)head->checkpoint.size, head->cosigners, poc->pins.quorum);
	else
		refuse(&poc->why, STATUS_UNVERIFIED, "directory.own_auditor",
		       "the local copy's checkpoint, of size %llu, was not signed by the auditor %.80s, which the "
		       "configuration asks for; poc sync makes it anew, once that signs",
		       (unsigned long long)head->checkpoint.size,
		       poc->pins.own_auditor != NULL ? poc->pins.own_auditor : "");
	snprintf(poc->copy_damage, sizeof poc->copy_damage, "%s", poc->why.message);
	verified_head_unref(head);
	return true;
}

int copy_load(struct poc *poc)
{
	uint8_t *bytes;
	size_t size;

	if (poc->copy != NULL)
		return 0;
	poc->copy_damage[0] = '\0';
	int status = read_copy(poc, &bytes, &size);
	if (status != 0)
		return status;
	status = verify_saved(&poc->pins, bytes, size, &poc->copy, &poc->why);
	const bool lacking = status == STATUS_UNVERIFIED && lacks_auditors(poc, bytes, size);
	free(bytes);
	if (lacking)
		return status;
	if (status == 0 && !poc->copy->proof->complete) {
		verified_head_unref(poc->copy);
		poc->copy = NULL;
		status = refuse(&poc->why, STATUS_UNVERIFIED, "state.dir", "it is not a complete proof");
	}
	return copy_judge(poc, status);
}

int64_t copy_synced(const struct poc *poc)
{
	char name[FILE_NAME_MAX], path[4096];
	struct stat st;

	if (poc->folder == NULL)
		return 0;
	file_name(poc, name);
	int n = snprintf(path, sizeof path, "%s/%s", poc->folder, name);
	return n > 0 && (size_t)n < sizeof path && stat(path, &st) == 0 ? (int64_t)st.st_mtime : 0;
}

/* Our entry as the copy itself has it; NULL if there is none.  *users keeps it alive. */
static const Poc__User *copy_user(struct poc *poc, struct verified_head *head, struct envelope **users)
{
	struct verified_item proven;
	struct name name;

	*users = NULL;
	if (poc->key == NULL || !desk_users(poc->user_place, &name) ||
	    verify_saved_envelope(head, &name, &proven, users, NULL) != 0 || *users == NULL)
		return NULL;
	return users_find((*users)->payload.users, &keystore_public(poc->key)->id);
}

static enum reader_class class_for(const Poc__User *user, const struct poc *poc, const char *state)
{
	return user != NULL ? reader_class_of(user, poc->user_state, state) : READER_PLAIN;
}

int copy_lookup(struct poc *poc, const struct name *name, struct client_record *out)
{
	struct verdict_by by = {.now = connection_now_ms(poc) / 1000, .max_age = poc->max_age, .offline = true};
	struct envelope *users;
	int status = copy_load(poc);

	if (status != 0)
		return status;
	const Poc__User *user = copy_user(poc, poc->copy, &users);
	status = verify_saved_record(poc->copy, name, class_for(user, poc, name->state), &out->verified, &poc->why);
	envelope_destroy(users);
	if (status == STATUS_ORPHANS)
		return unverified(&poc->why, status);
	if (status != 0)
		return copy_judge(poc, status);
	return verdict_record(poc->copy, &out->verified, &by, &out->verdict, &poc->why);
}

static int walk_one(struct poc *poc, struct verified_head *head, const struct name *name, const struct verdict_by *by,
		    enum reader_class reader, int (*each)(void *ctx, const struct client_record *record), void *ctx)
{
	struct client_record record = {0};
	int status = verify_saved_record(head, name, reader, &record.verified, &poc->why);

	if (status == 0) {
		verdict_record(head, &record.verified, by, &record.verdict, NULL);
		status = each(ctx, &record);
	}
	client_record_finish(&record);
	return status == STATUS_ORPHANS ? 0 : status; /* one state's lapse is no other's trouble */
}

static bool is_record(const Poc__Item *item, struct name *name)
{
	return name_parse(item->name, name) && name->kind == NAME_RECORD;
}

int copy_walk_head(struct poc *poc, struct verified_head *head, int64_t at, enum reader_class reader,
		   int (*each)(void *ctx, const struct client_record *record), void *ctx)
{
	struct verdict_by by = verdict_saved(head, at, poc->max_age);
	int status = 0;

	for (size_t i = 0; i < head->proof->n_items && status == 0; i++) {
		struct name name;
		if (is_record(head->proof->items[i], &name))
			status = walk_one(poc, head, &name, &by, reader, each, ctx);
	}
	return status;
}

/* state: of its units only; NULL: every record. */
static int walk(struct poc *poc, const char *state, int (*each)(void *ctx, const struct client_record *record),
		void *ctx)
{
	struct verdict_by by = {.now = connection_now_ms(poc) / 1000, .max_age = poc->max_age, .offline = true};
	struct envelope *users;

	connection_begin(poc);
	int status = copy_load(poc);
	if (status != 0)
		return status;
	const Poc__User *user = copy_user(poc, poc->copy, &users);
	for (size_t i = 0; i < poc->copy->proof->n_items && status == 0; i++) {
		struct name name;
		if (is_record(poc->copy->proof->items[i], &name) &&
		    (state == NULL || (name.unit[0] != '\0' && strcmp(name.state, state) == 0)))
			status = copy_judge(
			    poc, walk_one(poc, poc->copy, &name, &by, class_for(user, poc, name.state), each, ctx));
	}
	envelope_destroy(users);
	return status;
}

int client_walk(struct poc *poc, int (*each)(void *ctx, const struct client_record *record), void *ctx)
{
	return walk(poc, NULL, each, ctx);
}

int client_walk_units(struct poc *poc, const char *state, int (*each)(void *ctx, const struct client_record *record),
		      void *ctx)
{
	return walk(poc, state, each, ctx);
}

int client_walk_documents(struct poc *poc, int (*each)(void *ctx, const struct envelope *document), void *ctx)
{
	connection_begin(poc);
	int status = copy_load(poc);

	for (size_t i = 0; status == 0 && i < poc->copy->proof->n_items; i++) {
		struct name name;
		struct verified_item proven;
		struct envelope *document = NULL;
		if (!name_parse(poc->copy->proof->items[i]->name, &name) || name.kind != NAME_DOCUMENT)
			continue;
		status = copy_judge(poc, verify_saved_envelope(poc->copy, &name, &proven, &document, &poc->why));
		if (status == STATUS_ORPHANS) /* lapsed */
			status = 0;
		if (status == 0 && document != NULL)
			status = each(ctx, document);
		envelope_destroy(document);
	}
	return status;
}

static int pass_over(void *ctx, const struct client_record *record)
{
	(void)ctx;
	(void)record;
	return 0;
}

int poc_export(struct poc *poc, uint8_t **bytes, size_t *size)
{
	int status = client_walk(poc, pass_over, NULL); /* checks every record */

	return status != 0 ? status : read_copy(poc, bytes, size);
}

/* ---- Bringing it up to date */

struct change {
	const Poc__Item *item; /* borrowed from answers or from the old copy */
	uint64_t seq;
	bool changed; /* since the old copy */
};

struct sync {
	struct poc *poc;
	size_t n_answers, n_changes, room;
	Poc__Response **answers; /* kept alive: changes point into them */
	struct change *changes;  /* in the order of arrival; the last of a name counts */
	uint64_t next;           /* leaf to go on from */
	size_t bytes;            /* of the answers */
};

static void sync_finish(struct sync *sync)
{
	for (size_t i = 0; i < sync->n_answers; i++)
		message_free(sync->answers[i]);
	free(sync->answers);
	free(sync->changes);
	*sync = (struct sync){.poc = sync->poc};
}

static int add_change(struct sync *sync, const Poc__Item *item, uint64_t seq, bool changed)
{
	if (sync->n_changes == sync->room) {
		size_t room = 2 * sync->room + 1024;
		struct change *grown = realloc(sync->changes, room * sizeof *grown);
		if (grown == NULL)
			return refuse(&sync->poc->why, STATUS_NO_MEMORY, "", "out of memory");
		sync->changes = grown;
		sync->room = room;
	}
	sync->changes[sync->n_changes++] = (struct change){item, seq, changed};
	return 0;
}

static int add_answer(struct sync *sync, Poc__Response *answer)
{
	Poc__Response **grown = realloc(sync->answers, (sync->n_answers + 1) * sizeof(Poc__Response *));

	if (grown == NULL) {
		message_free(answer);
		return refuse(&sync->poc->why, STATUS_NO_MEMORY, "", "out of memory");
	}
	sync->answers = grown;
	sync->answers[sync->n_answers++] = answer;
	return 0;
}

static int take_change(struct sync *sync, const Poc__Change *change, uint64_t first, uint64_t end)
{
	if (change->item == NULL || change->item->map != NULL)
		return refuse(&sync->poc->why, STATUS_UNVERIFIED, "changes", "a change of a wrong form");
	if (change->leaf < first || change->leaf >= end)
		return refuse(&sync->poc->why, STATUS_UNVERIFIED, "changes",
			      "the server's changes are not in the order of the log");
	return strcmp(change->item->name, "T") == 0 ? 0 /* heads bring it */
						    : add_change(sync, change->item, change->seq, true);
}

/* Each page comes further in the log than the one before, unless the end is reached already, and has one change a leaf
 * at most. */
static int take_page(struct sync *sync, const Poc__ChangesAnswer *page)
{
	uint64_t leaf = sync->next;
	int status = 0;

	if (page->next_leaf > page->checkpoint_size || page->next_leaf < leaf ||
	    (page->next_leaf == leaf && leaf < sync->poc->head->checkpoint.size))
		return refuse(&sync->poc->why, STATUS_UNVERIFIED, "changes", "the server's pages lead nowhere");
	for (size_t i = 0; i < page->n_changes && status == 0; i++) {
		status = take_change(sync, page->changes[i], leaf, page->next_leaf);
		if (status == 0)
			leaf = page->changes[i]->leaf + 1;
	}
	sync->next = page->next_leaf;
	return status;
}

static int fetch_page(struct sync *sync, const Poc__ChangesAnswer **page)
{
	struct poc *poc = sync->poc;
	Poc__Changes changes = POC__CHANGES__INIT;
	Poc__Request request = POC__REQUEST__INIT;
	Poc__Response *answer;

	connection_begin(poc); /* each page has the whole time limit */
	changes.from_leaf = sync->next;
	changes.with_envelopes = 1;
	request.body_case = POC__REQUEST__BODY_CHANGES;
	request.changes = &changes;
	int status = connection_call(poc, &request, &answer);
	if (status == 0 && answer->body_case != POC__RESPONSE__BODY_CHANGES)
		status = refuse(&poc->why, STATUS_MALFORMED, "", "the server answers something else");
	if (status != 0) {
		message_free(answer);
		return status;
	}
	*page = answer->changes;
	sync->bytes += protobuf_c_message_get_packed_size(&answer->base);
	status = add_answer(sync, answer);
	if (status == 0 && sync->bytes > copy_max)
		status = refuse(&poc->why, STATUS_TOO_LARGE, "", "the server sends more than a copy can hold");
	return status == 0 ? take_page(sync, *page) : status;
}

/* Fetches pages from sync->next on, as far as the session's head reaches: what a server says of its log's length, page
 * by page, could go on without end.  *size: the head that the last page speaks of. */
static int fetch_pages(struct sync *sync, uint64_t *size)
{
	const Poc__ChangesAnswer *page;

	for (int i = 0; i < PAGES_MAX; i++) {
		int status = fetch_page(sync, &page);
		if (status != 0)
			return status;
		*size = page->checkpoint_size;
		if (sync->poc->progress != NULL)
			sync->poc->progress(sync->poc->progress_ctx, sync->next, *size);
		if (sync->next >= sync->poc->head->checkpoint.size)
			return 0;
	}
	return refuse(&sync->poc->why, STATUS_UNVERIFIED, "changes", "the server's pages never end");
}

/* Fetches until the pages and the session's head speak of the same checkpoint. */
static int fetch_all(struct sync *sync)
{
	struct poc *poc = sync->poc; /* whose head moves */

	for (int i = 0; i < WALKS_MAX; i++) {
		uint64_t size = 0;
		int status = fetch_pages(sync, &size);
		if (status == 0 && size != poc->head->checkpoint.size)
			status = session_move(poc);
		if (status == 0 && size > poc->head->checkpoint.size)
			status = refuse(&poc->why, STATUS_UNVERIFIED, "changes",
					"the server's changes are of a longer log than it shows");
		if (status != 0 || (size == poc->head->checkpoint.size && sync->next == size))
			return status;
	}
	return refuse(&poc->why, STATUS_BUSY, "", "the directory changes faster than it can be copied");
}

/* By name; of one name the newest last. */
static int compare_changes(const void *a, const void *b)
{
	const struct change *x = a, *y = b;
	int order = strcmp(x->item->name, y->item->name);

	if (order != 0)
		return order;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Sorts and keeps the newest of each name. */
static void settle(struct sync *sync)
{
	size_t kept = 0;

	qsort(sync->changes, sync->n_changes, sizeof *sync->changes, compare_changes);
	for (size_t i = 0; i < sync->n_changes; i++) {
		bool newer = i + 1 < sync->n_changes &&
			     strcmp(sync->changes[i].item->name, sync->changes[i + 1].item->name) == 0;
		if (!newer)
			sync->changes[kept++] = sync->changes[i];
	}
	sync->n_changes = kept;
}

/* The old copy's items take part as versions older than any that came. */
static int add_old(struct sync *sync, const struct verified_head *old)
{
	int status = 0;

	for (size_t i = 0; i < old->proof->n_items && status == 0; i++)
		status = add_change(sync, old->proof->items[i], 0, false);
	return status;
}

static int encode_copy(struct sync *sync, uint8_t **bytes, size_t *size)
{
	const Poc__Item **items = calloc(sync->n_changes + 1, sizeof *items);

	*bytes = NULL;
	if (items == NULL)
		return refuse(&sync->poc->why, STATUS_NO_MEMORY, "", "out of memory");
	for (size_t i = 0; i < sync->n_changes; i++)
		items[i] = sync->changes[i].item;
	int status = saved_encode(sync->poc->head, items, sync->n_changes, true, bytes, size, &sync->poc->why);
	free(items);
	return status;
}

/* Verifies every record, changed or not: its keys may have moved, and what this reader may see may have grown. */
static int verify_records(struct sync *sync, struct verified_head *head)
{
	struct poc *poc = sync->poc;
	struct envelope *users;
	const Poc__User *user = copy_user(poc, head, &users);
	const Poc__Item *own = poc->own_users != NULL ? proof_item(head->proof, poc->own_users->name.text) : NULL;
	int status = 0;

	if (own != NULL && own->n_envelopes == 0) /* by which it is judged what may be missing */
		status = refuse(&poc->why, STATUS_UNVERIFIED, own->name, "the server keeps back %s", own->name);
	for (size_t i = 0; i < head->proof->n_items && status == 0; i++) {
		const Poc__Item *item = head->proof->items[i];
		struct verified_record record;
		struct name name;
		if (!is_record(item, &name))
			continue;
		status = verify_saved_record(head, &name, class_for(user, poc, name.state), &record, &poc->why);
		if (status == 0)
			status = session_withheld(poc, &record);
		verified_record_finish(&record);
		if (status == STATUS_ORPHANS)
			status = 0;
	}
	envelope_destroy(users);
	return status;
}

static int seq_of(const Poc__Item *item, uint64_t *seq)
{
	struct envelope *envelope;
	const ProtobufCBinaryData *last = &item->envelopes[item->n_envelopes - 1];
	int status = envelope_parse(last->data, last->len, &envelope, NULL);

	if (status == 0)
		*seq = envelope->seq;
	envelope_destroy(envelope);
	return status;
}

/* No name may go back to an earlier version than the old copy had. */
static int check_forward(struct sync *sync, const struct verified_head *old)
{
	for (size_t i = 0; old != NULL && i < sync->n_changes; i++) {
		const Poc__Item *item = sync->changes[i].item, *before = proof_item(old->proof, item->name);
		uint64_t seq, old_seq;
		if (!sync->changes[i].changed || before == NULL || before->n_envelopes == 0 || item->n_envelopes == 0)
			continue;
		if (seq_of(item, &seq) != 0 || seq_of(before, &old_seq) != 0 || seq < old_seq)
			return refuse(&sync->poc->why, STATUS_UNVERIFIED, item->name, "%.64s went back", item->name);
	}
	return 0;
}

static int build(struct sync *sync, const struct verified_head *old, struct verified_head **head, uint8_t **bytes,
		 size_t *size)
{
	int status = old != NULL ? add_old(sync, old) : 0;

	*head = NULL;
	*bytes = NULL;
	if (status != 0)
		return status;
	settle(sync);
	status = check_forward(sync, old);
	if (status == 0)
		status = encode_copy(sync, bytes, size);
	if (status == 0)
		status = verify_saved(&sync->poc->pins, *bytes, *size, head, &sync->poc->why);
	if (status == 0)
		status = verify_records(sync, *head);
	if (status != 0) {
		verified_head_unref(*head);
		*head = NULL;
		free(*bytes);
		*bytes = NULL;
	}
	return status;
}

static const char *kind_of_change(const struct verified_head *old, const Poc__Item *item)
{
	struct name name;
	struct envelope *envelope;
	bool withdrawn = false;

	if (is_record(item, &name) && item->n_envelopes == 1 &&
	    envelope_parse(item->envelopes[0].data, item->envelopes[0].len, &envelope, NULL) == 0) {
		withdrawn = envelope->payload.record->withdrawn;
		envelope_destroy(envelope);
	}
	if (withdrawn)
		return "withdrawn";
	return old == NULL || proof_item(old->proof, item->name) == NULL ? "added" : "changed";
}

static void report(const struct sync *sync, const struct verified_head *old,
		   void (*changed)(void *ctx, const char *name, uint64_t seq, const char *change), void *ctx)
{
	for (size_t i = 0; i < sync->n_changes && changed != NULL; i++) {
		const struct change *change = &sync->changes[i];
		if (change->changed)
			changed(ctx, change->item->name, change->seq, kind_of_change(old, change->item));
	}
}

/* A copy shows that there is held state, so one under a head that is not held is not kept. */
static int keep_copy(struct poc *poc, struct verified_head *head, const uint8_t *bytes, size_t size)
{
	char name[FILE_NAME_MAX];

	if (poc->held.empty || poc->held.size < head->checkpoint.size)
		return 0;
	file_name(poc, name);
	int status = advance_unheld(poc, held_write_file(poc->folder, name, bytes, size, &poc->why));
	if (status != 0)
		return status;
	verified_head_unref(poc->copy);
	poc->copy = verified_head_ref(head);
	return 0;
}

/* One try: from the old copy on, or from nothing. */
static int try_sync(struct poc *poc, struct verified_head *old,
		    void (*changed)(void *ctx, const char *name, uint64_t seq, const char *change), void *ctx)
{
	struct sync sync = {.poc = poc, .next = old != NULL ? old->checkpoint.size : 0};
	struct verified_head *head = NULL;
	uint8_t *bytes = NULL;
	size_t size = 0;

	int status = fetch_all(&sync);
	if (status == 0)
		status = build(&sync, old, &head, &bytes, &size);
	if (status == 0) {
		status = keep_copy(poc, head, bytes, size);
		free(bytes);
		if (status == 0)
			report(&sync, old, changed, ctx);
		verified_head_unref(head);
	}
	sync_finish(&sync);
	return status;
}

static int sync_from(struct poc *poc, void (*changed)(void *ctx, const char *name, uint64_t seq, const char *change),
		     void *ctx)
{
	struct verified_head *old = NULL;
	int status = poc_connect(poc);
	if (status != 0)
		return status;
	/* a copy that is lost or meddled with is made anew: everything in it can be fetched again */
	if (copy_load(poc) == 0 && poc->copy->checkpoint.size <= poc->head->checkpoint.size)
		old = verified_head_ref(poc->copy);
	status = try_sync(poc, old, changed, ctx);
	/* what this reader may see can have grown, which no change tells */
	if (status == STATUS_UNVERIFIED && old != NULL)
		status = try_sync(poc, NULL, changed, ctx);
	verified_head_unref(old);
	return status;
}

int poc_sync(struct poc *poc, void (*changed)(void *ctx, const char *name, uint64_t seq, const char *change), void *ctx)
{
	int status;

	connection_begin(poc);
	if (poc->folder == NULL)
		return refuse(&poc->why, STATUS_USAGE, "state.dir", "no state folder is configured");
	do
		status = sync_from(poc, changed, ctx);
	while (connection_passes_on(poc, status));
	return status;
}
