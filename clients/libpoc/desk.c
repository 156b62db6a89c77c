#include "clients/libpoc/desk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clients/libpoc/connection.h"
#include "proto/rules/signed.h"
#include "proto/rules/trust.h"
#include "proto/wire/prescan.h"

/* An entry in the file: u32be length of what follows but the sum; u64be cursor, u64be stored_ms, fact (2, 3: the entry
 * is here already, and stands at this cursor of a feed that has begun anew), good (2: signed by a program), item; the
 * first 8 bytes of the SHA-256 of all that.  A torn end is cut off: the feed gives it again.
 */
enum { ENTRY_HEAD = 4, ENTRY_FIXED = 18, ENTRY_SUM = 8, ENTRY_MAX = NOTICE_HEADER_MAX, FILE_NAME = 128 };
enum { GOOD_AUTOMATIC = 2, FACT_KNOWN = 2 };

static const size_t file_max = (size_t)1 << 30;

static void file_name(const struct client_desk *id, char out[FILE_NAME])
{
	snprintf(out, FILE_NAME, "desk-%s-%s", id->place, poc_kind_name(id->kind));
	for (char *at = out; *at != '\0'; at++) {
		if (*at == '/')
			*at = '+';
	}
}

/* ---- The model */

static void copy_desk(struct client_desk *out, const Poc__Desk *desk)
{
	snprintf(out->place, sizeof out->place, "%s", desk->place);
	out->kind = desk->kind;
}

static int add_parties(struct desk_notice *n)
{
	const Poc__Core *core = n->notice->core;

	n->parties = calloc(core->n_to + core->n_escalations + 1, sizeof *n->parties);
	if (n->parties == NULL)
		return STATUS_NO_MEMORY;
	for (size_t i = 0; i < core->n_to; i++) {
		copy_desk(&n->parties[n->n_parties].desk, core->to[i]);
		n->parties[n->n_parties++].side = SIDE_TO;
	}
	for (size_t i = 0; i < core->n_escalations; i++) {
		copy_desk(&n->parties[n->n_parties].desk, core->escalations[i]->to);
		n->parties[n->n_parties].escalates_at = core->escalations[i]->at;
		n->parties[n->n_parties++].side = SIDE_ESCALATION;
	}
	copy_desk(&n->parties[n->n_parties].desk, core->from);
	n->parties[n->n_parties++].side = SIDE_FROM;
	return 0;
}

struct desk_notice *desk_find(const struct desk *desk, const struct notice_id *id)
{
	for (size_t i = desk->n; i-- > 0;) {
		if (memcmp(desk->notices[i]->notice->id.bytes, id->bytes, NOTICE_ID_SIZE) == 0)
			return desk->notices[i];
	}
	return NULL;
}

struct desk_party *desk_party(const struct desk_notice *notice, const char *place, Poc__PocKind kind)
{
	for (size_t i = 0; i < notice->n_parties; i++) {
		if (notice->parties[i].desk.kind == kind && strcmp(notice->parties[i].desk.place, place) == 0)
			return &notice->parties[i];
	}
	return NULL;
}

struct desk_party *desk_own_party(const struct desk *desk, const struct desk_notice *notice)
{
	struct desk_party *party = desk_party(notice, desk->id.place, desk->id.kind);

	return party != NULL && party->side != SIDE_FROM ? party : NULL;
}

static int apply_notice(struct desk *desk, const struct desk_entry *entry)
{
	struct notice *notice;
	struct desk_notice *n, **grown;

	if (notice_parse(entry->item, entry->size, &notice, NULL) != 0 || desk_find(desk, &notice->id) != NULL) {
		notice_destroy(notice);
		return 0;
	}
	grown = realloc(desk->notices, (desk->n + 1) * sizeof *grown);
	if (grown != NULL)
		desk->notices = grown;
	n = calloc(1, sizeof *n);
	if (grown == NULL || n == NULL) {
		free(n);
		notice_destroy(notice);
		return STATUS_NO_MEMORY;
	}
	n->notice = notice;
	n->side = notice_side(notice, desk->id.place, desk->id.kind);
	n->good = entry->good;
	n->order = desk->n_entries;
	n->stored = entry->stored_ms / 1000;
	desk->notices[desk->n++] = n;
	return add_parties(n);
}

static bool is_automatic(const struct desk_party *party, Poc__Step step)
{
	return (party->automatic >> step & 1) != 0;
}

/* The first word counts, but a person's more than a program's. */
static void note_step(struct desk_party *party, Poc__Step step, int64_t time, bool automatic)
{
	if (party == NULL || step <= 0 || (int)step >= DESK_STEPS)
		return;
	const uint16_t bit = (uint16_t)(1U << step);
	if (party->times[step] != 0 && (!is_automatic(party, step) || automatic))
		return;
	party->times[step] = time;
	party->automatic = (uint16_t)(automatic ? party->automatic | bit : party->automatic & ~bit);
}

/* Where a party stands from now on: what it had said of that before, and has taken back meanwhile, is forgotten. */
static void note_stand(struct desk_party *party, const Poc__Receipt *r, bool automatic)
{
	if (automatic && party->stand != 0 && !is_automatic(party, party->stand))
		return;
	if (party->stand != r->step || party->reason != r->reason)
		party->times[r->step] = 0;
	party->stand = r->step;
	party->reason = r->reason;
	party->answered = party->answered && r->step != POC__STEP__STEP_DECLINED;
}

/* Whatever is said or taken back later, it was heard then. */
static void note_heard(struct desk_party *party, const Poc__Receipt *r, bool automatic)
{
	const bool counts = !automatic && r->step >= POC__STEP__STEP_ACKNOWLEDGED && r->step <= POC__STEP__STEP_CLOSED;

	if (!counts || (party->heard != 0 && party->heard <= r->time))
		return;
	party->heard = r->time;
	party->heard_as = r->step;
}

static void apply_fact(struct desk *desk, const struct desk_entry *entry)
{
	Poc__Fact *fact;
	struct notice_id id;

	if (fact_parse(entry->item, entry->size, &fact, NULL) != 0)
		return;
	memcpy(id.bytes, fact->notice_id.data, NOTICE_ID_SIZE);
	struct desk_notice *n = desk_find(desk, &id);
	if (n != NULL && memcmp(fact->notice_hash.data, n->notice->hash.bytes, HASH_SIZE) == 0 &&
	    fact->place[0] != '\0')
		note_step(desk_party(n, fact->place, fact->kind), fact->step, fact->time_ms / 1000, false);
	message_free(fact);
}

static void apply_private(struct desk_notice *n, const Poc__Receipt *r)
{
	if (r->time < n->taken_at)
		return;
	n->taken_at = r->time;
	snprintf(n->taken_by, sizeof n->taken_by, "%s", r->step == POC__STEP__STEP_TAKEN ? r->handle : "");
}

static void apply_receipt(struct desk *desk, const struct desk_entry *entry)
{
	struct receipt *receipt;

	if (receipt_parse(entry->item, entry->size, &receipt, NULL) != 0)
		return;
	const Poc__Receipt *r = receipt->receipt;
	if (!entry->good) {
		/* what a colleague took who has left since comes without proof, and holds nothing any more */
		desk->bad += !step_is_private(r->step);
		receipt_destroy(receipt);
		return;
	}
	struct desk_notice *n = desk_find(desk, &receipt->notice_id);
	struct desk_party *party = n != NULL ? desk_party(n, r->place, r->kind) : NULL;
	if (party != NULL && receipt_fits(receipt, n->notice, NULL) == 0) {
		if (step_is_private(r->step)) {
			if (strcmp(r->place, desk->id.place) == 0 && r->kind == desk->id.kind)
				apply_private(n, r);
		} else {
			if (step_is_stand(r->step))
				note_stand(party, r, entry->automatic);
			note_step(party, r->step, r->time, entry->automatic);
			note_heard(party, r, entry->automatic);
			snprintf(party->handle, sizeof party->handle, "%s", r->handle);
			if (r->answer_by != 0)
				party->answer_by = r->answer_by;
			if (r->answer.len == NOTICE_ID_SIZE) {
				party->has_answer = party->answered = true;
				memcpy(party->answer.bytes, r->answer.data, NOTICE_ID_SIZE);
			}
		}
	}
	receipt_destroy(receipt);
}

enum item_kind { ITEM_NOTICE, ITEM_RECEIPT, ITEM_FACT, ITEM_OTHER };

static enum item_kind kind_of(const struct desk_entry *entry)
{
	struct receipt *receipt;

	if (entry->fact)
		return ITEM_FACT;
	if (receipt_parse(entry->item, entry->size, &receipt, NULL) != 0)
		return ITEM_NOTICE;
	receipt_destroy(receipt);
	return ITEM_RECEIPT;
}

/* Takes the entry over. */
static int apply(struct poc *poc, struct desk *desk, const struct desk_entry *entry)
{
	struct desk_entry *grown = realloc(desk->entries, (desk->n_entries + 1) * sizeof *grown);
	int status = 0;

	if (grown == NULL) {
		free(entry->item);
		return refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
	}
	desk->entries = grown;
	grown[desk->n_entries++] = *entry;
	switch (kind_of(entry)) {
	case ITEM_FACT:
		desk->bad += !entry->good;
		apply_fact(desk, entry);
		break;
	case ITEM_RECEIPT:
		apply_receipt(desk, entry);
		break;
	default:
		desk->bad += !entry->good;
		status = apply_notice(desk, entry);
		break;
	}
	return status == 0 ? 0 : refuse(&poc->why, status, "", "out of memory");
}

/* ---- What the model says */

Poc__Step desk_party_step(const struct desk_party *party)
{
	if (party->answered && party->stand != POC__STEP__STEP_CLOSED)
		return POC__STEP__STEP_ANSWERED;
	if (party->stand != 0)
		return party->stand;
	if (party->times[POC__STEP__STEP_ACKNOWLEDGED] != 0)
		return POC__STEP__STEP_ACKNOWLEDGED;
	return party->times[POC__STEP__STEP_DELIVERED] != 0 ? POC__STEP__STEP_DELIVERED : POC__STEP__STEP_STORED;
}

bool desk_party_received(const struct desk_party *party)
{
	return party->side == SIDE_TO ||
	       (party->side == SIDE_ESCALATION && party->times[POC__STEP__STEP_ESCALATED] != 0);
}

int64_t desk_sender_closed(const struct desk_notice *notice)
{
	return notice->parties[notice->n_parties - 1].times[POC__STEP__STEP_CLOSED];
}

bool desk_party_heard(const struct desk_party *party)
{
	return party->heard != 0;
}

/* How far those are who received what our desk has sent: the recipient who is least far, or a desk that was brought in
 * by an escalation, which stands in for them, if that is further and does not decline. */
static Poc__Step step_of_sent(const struct desk_notice *notice)
{
	Poc__Step least = POC__STEP__STEP_CLOSED, best = POC__STEP__STEP_STORED;

	for (size_t i = 0; i < notice->n_parties; i++) {
		const struct desk_party *p = &notice->parties[i];
		const Poc__Step step = desk_party_received(p) ? desk_party_step(p) : POC__STEP__STEP_UNSPECIFIED;
		if (p->side == SIDE_TO && step < least)
			least = step;
		if (p->side == SIDE_ESCALATION && step > best && step != POC__STEP__STEP_DECLINED)
			best = step;
	}
	const bool turned_to = least == POC__STEP__STEP_DECLINED && best >= POC__STEP__STEP_ACKNOWLEDGED;
	return best > least || turned_to ? best : least;
}

bool desk_closed_unseen(const struct desk *desk, const struct desk_notice *notice)
{
	const struct desk_party *own = desk_own_party(desk, notice);

	return desk_sender_closed(notice) != 0 && own != NULL && !desk_party_heard(own);
}

Poc__Step desk_step(const struct desk *desk, const struct desk_notice *notice)
{
	const struct desk_party *own = desk_own_party(desk, notice);

	if (desk_sender_closed(notice) != 0 && !desk_closed_unseen(desk, notice))
		return POC__STEP__STEP_CLOSED;
	return own != NULL ? desk_party_step(own) : step_of_sent(notice);
}

bool desk_is_note(const struct desk_notice *notice)
{
	return notice->notice->core->category == POC__CATEGORY__CATEGORY_NOTE;
}

bool desk_is_open(const struct desk *desk, const struct desk_notice *notice)
{
	const Poc__Step step = desk_step(desk, notice);

	return !desk_is_note(notice) && step != POC__STEP__STEP_CLOSED && step != POC__STEP__STEP_DECLINED;
}

bool desk_is_alarm(const struct desk *desk, const struct desk_notice *notice)
{
	return notice->notice->core->urgency == POC__URGENCY__URGENCY_EMERGENCY && notice->side != SIDE_FROM &&
	       desk_is_open(desk, notice);
}

int64_t desk_activity(const struct desk_notice *notice)
{
	int64_t last = notice->taken_at > notice->stored ? notice->taken_at : notice->stored;

	for (size_t i = 0; i < notice->n_parties; i++) {
		for (int step = 0; step < DESK_STEPS; step++) {
			if (notice->parties[i].times[step] > last)
				last = notice->parties[i].times[step];
		}
	}
	return last;
}

int64_t desk_wanted_by(const struct desk *desk, const struct desk_notice *notice)
{
	const bool over = desk_is_note(notice) || desk_sender_closed(notice) != 0 ||
			  desk_step(desk, notice) >= POC__STEP__STEP_DECLINED;

	return over ? 0 : notice->notice->core->reply_by;
}

bool desk_overdue(const struct desk *desk, const struct desk_notice *notice, int64_t now)
{
	const int64_t by = desk_wanted_by(desk, notice);

	return by != 0 && now > by;
}

/* ---- The file */

static uint64_t get_u64(const uint8_t *at)
{
	uint64_t value = 0;

	for (size_t i = 0; i < 8; i++)
		value = value << 8 | at[i];
	return value;
}

static void put_u64(uint8_t *at, uint64_t value)
{
	for (size_t i = 0; i < 8; i++)
		at[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* Reads one entry; 0 when the rest is no whole entry.  *known: it only says where the feed is. */
static size_t read_entry(const uint8_t *at, size_t left, struct desk_entry *out, bool *known)
{
	if (left < ENTRY_HEAD + ENTRY_FIXED + ENTRY_SUM)
		return 0;
	size_t size = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
	if (size < ENTRY_FIXED || size > ENTRY_FIXED + ENTRY_MAX || left < ENTRY_HEAD + size + ENTRY_SUM)
		return 0;
	struct hash sum = hash_of(at, ENTRY_HEAD + size);
	if (memcmp(sum.bytes, at + ENTRY_HEAD + size, ENTRY_SUM) != 0)
		return 0;
	const uint8_t *body = at + ENTRY_HEAD;
	*out = (struct desk_entry){.cursor = get_u64(body),
				   .stored_ms = (int64_t)get_u64(body + 8),
				   .fact = (body[16] & 1) != 0,
				   .good = body[17] != 0,
				   .automatic = body[17] == GOOD_AUTOMATIC,
				   .size = size - ENTRY_FIXED};
	*known = (body[16] & FACT_KNOWN) != 0;
	out->item = malloc(out->size + 1);
	if (out->item == NULL)
		return 0;
	memcpy(out->item, body + ENTRY_FIXED, out->size);
	return ENTRY_HEAD + size + ENTRY_SUM;
}

static void set_end(struct desk *desk, const struct desk_entry *entry)
{
	desk->begun_anew = desk->begun_anew || entry->cursor <= desk->end.cursor;
	desk->end = (struct desk_end){entry->cursor, entry->stored_ms, entry->fact, hash_of(entry->item, entry->size)};
}

static bool is_end(const struct desk *desk, const struct desk_entry *entry)
{
	struct hash item = hash_of(entry->item, entry->size);

	return entry->cursor == desk->end.cursor && entry->stored_ms == desk->end.stored_ms &&
	       entry->fact == desk->end.fact && hash_compare(&item, &desk->end.item) == 0;
}

static bool has_item(const struct desk *desk, bool fact, const uint8_t *bytes, size_t size)
{
	for (size_t i = desk->n_entries; i-- > 0;) {
		const struct desk_entry *e = &desk->entries[i];
		if (e->size == size && e->fact == fact && memcmp(e->item, bytes, size) == 0)
			return true;
	}
	return false;
}

static bool has_entry(const struct desk *desk, const struct desk_entry *entry)
{
	return has_item(desk, entry->fact, entry->item, entry->size);
}

bool desk_has_item(const struct desk *desk, const uint8_t *bytes, size_t size)
{
	return has_item(desk, false, bytes, size);
}

/* Applies what the file holds after what the model has. */
static int load(struct poc *poc, struct desk *desk)
{
	char name[FILE_NAME];
	uint8_t *bytes;
	size_t size;

	file_name(&desk->id, name);
	int status = held_read_file(poc->folder, name, file_max, &bytes, &size, &poc->why);
	if (status == STATUS_NOT_FOUND) {
		desk->read = 0;
		return 0;
	}
	bool again = status == 0 && size < desk->read; /* it was deleted meanwhile */
	if (again)
		desk->read = 0;
	while (status == 0 && desk->read < size) {
		struct desk_entry entry;
		bool known;
		size_t length = read_entry(bytes + desk->read, size - desk->read, &entry, &known);
		if (length == 0)
			break;
		desk->read += length;
		set_end(desk, &entry);
		if (known || (again && has_entry(desk, &entry)))
			free(entry.item);
		else
			status = apply(poc, desk, &entry);
	}
	free(bytes);
	return status;
}

static int append(struct poc *poc, struct desk *desk, int fd, const struct desk_entry *entry, bool known)
{
	size_t size = ENTRY_FIXED + entry->size, whole = ENTRY_HEAD + size + ENTRY_SUM;
	uint8_t *bytes = malloc(whole);

	if (bytes == NULL)
		return refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
	for (int i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(size >> (24 - 8 * i));
	put_u64(bytes + ENTRY_HEAD, entry->cursor);
	put_u64(bytes + ENTRY_HEAD + 8, (uint64_t)entry->stored_ms);
	bytes[ENTRY_HEAD + 16] = (uint8_t)(entry->fact | (known ? FACT_KNOWN : 0));
	bytes[ENTRY_HEAD + 17] = entry->good && entry->automatic ? GOOD_AUTOMATIC : entry->good;
	memcpy(bytes + ENTRY_HEAD + ENTRY_FIXED, entry->item, entry->size);
	struct hash sum = hash_of(bytes, ENTRY_HEAD + size);
	memcpy(bytes + ENTRY_HEAD + size, sum.bytes, ENTRY_SUM);
	ssize_t n = write(fd, bytes, whole);
	free(bytes);
	if (n != (ssize_t)whole)
		return refuse(&poc->why, STATUS_IO, "state.dir", "cannot keep what the desk was told: %s",
			      strerror(errno));
	desk->read += whole;
	set_end(desk, entry);
	return 0;
}

int desk_open(struct poc *poc, const struct client_desk *id, struct desk **out)
{
	struct desk *desk = calloc(1, sizeof *desk);

	*out = NULL;
	connection_begin(poc);
	if (desk == NULL)
		return refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
	desk->id = *id;
	int status =
	    poc->folder != NULL ? load(poc, desk) : refuse(&poc->why, STATUS_IO, "state.dir", "no state folder");
	if (status != 0) {
		desk_close(desk);
		return status;
	}
	*out = desk;
	return 0;
}

void desk_close(struct desk *desk)
{
	if (desk == NULL)
		return;
	for (size_t i = 0; i < desk->n_entries; i++)
		free(desk->entries[i].item);
	free(desk->entries);
	for (size_t i = 0; i < desk->n; i++) {
		notice_destroy(desk->notices[i]->notice);
		free(desk->notices[i]->parties);
		free(desk->notices[i]);
	}
	free(desk->notices);
	envelope_destroy(desk->users);
	free(desk);
}

/* ---- Verifying what is new */

enum { KNOWN_MAX = 32, STORY_TRIES = 12 };

/* U of the places whose users have signed something, as it stands now. */
struct known {
	char place[NAME_MAX_LENGTH + 1];
	bool suspended;         /* the state is: nothing that its users sign counts */
	struct envelope *users; /* NULL: there is none */
};

struct syncing {
	struct poc *poc;
	struct desk *desk;
	int fd;
	size_t n_new, capacity;
	struct desk_entry *new_ones; /* as they came, before they are judged */
	size_t n_known;
	struct known known[KNOWN_MAX];
};

static int known_users(struct syncing *s, const char *place, const struct known **out)
{
	for (size_t i = 0; i < s->n_known; i++) {
		if (strcmp(s->known[i].place, place) == 0) {
			*out = &s->known[i];
			return 0;
		}
	}
	if (s->n_known == KNOWN_MAX)
		envelope_destroy(s->known[--s->n_known].users);
	struct known *k = &s->known[s->n_known];
	k->suspended = false;
	int status = client_users(s->poc, CLIENT_ONLINE, place, &k->users, &k->suspended);
	if (status != 0 && status != STATUS_NOT_FOUND)
		return status;
	snprintf(k->place, sizeof k->place, "%s", place);
	s->n_known++;
	*out = k;
	return 0;
}

/* By the U of today: enough for what was signed just now.  entry->good stays false where only the story can tell. */
static int judge_today(struct syncing *s, const struct notice *notice, const struct receipt *receipt,
		       struct desk_entry *entry)
{
	const Poc__User *user = NULL;
	const struct known *known;
	int status = known_users(s, notice != NULL ? notice->core->from->place : receipt->receipt->place, &known);

	entry->good = false;
	if (status != 0 || known->users == NULL || known->suspended)
		return status;
	const Poc__Users *users = known->users->payload.users;
	unsigned allowed = trust_algorithms(verified_head_trust(s->poc->head)->payload.trust);
	int64_t time = (int64_t)(s->poc->head->leaf.time_ms / 1000);
	entry->good = notice != NULL ? notice_authorised(notice, users, allowed, time, &user, NULL) == 0
				     : receipt_authorised(receipt, users, allowed, time, &user, NULL) == 0;
	entry->automatic = entry->good && user->service;
	return 0;
}

static const struct story_step *proven_in(const struct story *story, const struct desk_entry *entry)
{
	for (size_t i = 0; i < story->n; i++) {
		const ProtobufCBinaryData *item = &story->message->steps[i]->item;
		if (story->steps[i].proven && item->len == entry->size &&
		    memcmp(item->data, entry->item, entry->size) == 0)
			return &story->steps[i];
	}
	return NULL;
}

/* By what its signer was worth then.  It is anchored within the interval of publication. */
static int judge_story(struct syncing *s, const struct notice_id *id, struct desk_entry *entry)
{
	const struct timespec pause = {.tv_nsec = 250 * 1000 * 1000};

	for (int i = 0; i < STORY_TRIES && !entry->good; i++) {
		struct story *story;
		if (i > 0)
			nanosleep(&pause, NULL);
		/* of this entry alone: another step that is forged must not spoil what is genuine */
		int status = client_story_of(s->poc, &s->desk->id, id, entry->item, entry->size, &story);
		if (status == STATUS_UNVERIFIED)
			return 0;
		if (status != 0)
			return status;
		const struct story_step *step = proven_in(story, entry);
		entry->good = step != NULL;
		entry->automatic = step != NULL && step->automatic;
		bool waiting = story->unproven > 0;
		story_destroy(story);
		if (!waiting)
			break;
	}
	return 0;
}

static int judge(struct syncing *s, struct desk_entry *entry)
{
	struct notice *notice = NULL;
	struct receipt *receipt = NULL;
	Poc__Fact *fact = NULL;
	int status = 0;

	entry->good = false;
	if (entry->fact) {
		entry->good = fact_parse(entry->item, entry->size, &fact, NULL) == 0;
	} else if (receipt_parse(entry->item, entry->size, &receipt, NULL) == 0 ||
		   notice_parse(entry->item, entry->size, &notice, NULL) == 0) {
		const struct hash *directory = &s->poc->pins.directory;
		const uint8_t *id =
		    notice != NULL ? notice->core->directory_id.data : receipt->receipt->directory_id.data;
		status = judge_today(s, notice, receipt, entry);
		if (status == 0 && !entry->good)
			status = judge_story(s, notice != NULL ? &notice->id : &receipt->notice_id, entry);
		entry->good = entry->good && memcmp(id, directory->bytes, HASH_SIZE) == 0;
	}
	message_free(fact);
	receipt_destroy(receipt);
	notice_destroy(notice);
	return status;
}

/* ---- Sync */

static int collect(void *ctx, const struct client_entry *entry)
{
	struct syncing *s = ctx;

	if (entry->size == 0 || entry->size > ENTRY_MAX)
		return refuse(&s->poc->why, STATUS_MALFORMED, "", "the server's feed has an impossible entry");
	if (s->n_new == s->capacity) {
		size_t capacity = s->capacity > 0 ? 2 * s->capacity : 64;
		struct desk_entry *grown = realloc(s->new_ones, capacity * sizeof *grown);
		if (grown == NULL)
			return refuse(&s->poc->why, STATUS_NO_MEMORY, "", "out of memory");
		s->new_ones = grown;
		s->capacity = capacity;
	}
	struct desk_entry *e = &s->new_ones[s->n_new];
	*e = (struct desk_entry){
	    .cursor = entry->cursor, .stored_ms = entry->stored_ms, .fact = entry->fact, .size = entry->size};
	e->item = malloc(entry->size);
	if (e->item == NULL)
		return refuse(&s->poc->why, STATUS_NO_MEMORY, "", "out of memory");
	memcpy(e->item, entry->item, entry->size);
	s->n_new++;
	return 0;
}

/* Keeps an entry, which the model takes over.  Of those that are here already only the last one of the feed is noted,
 * to go on from. */
static int take_entry(struct syncing *s, struct desk_entry *e, bool last)
{
	if (s->desk->begun_anew && has_entry(s->desk, e))
		return last ? append(s->poc, s->desk, s->fd, e, true) : 0;
	int status = judge(s, e);
	if (status == 0)
		status = append(s->poc, s->desk, s->fd, e, false);
	if (status == 0) {
		status = apply(s->poc, s->desk, e);
		e->item = NULL;
	}
	return status;
}

/* Judged and kept one by one: what comes after a failure comes again with the next sync. */
static int take_new(struct syncing *s)
{
	int status = 0;

	for (size_t i = 0; i < s->n_new && status == 0; i++)
		status = take_entry(s, &s->new_ones[i], i + 1 == s->n_new);
	return status;
}

static void drop_new(struct syncing *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(s->new_ones[i].item);
	s->n_new -= n;
	memmove(s->new_ones, s->new_ones + n, s->n_new * sizeof *s->new_ones);
}

/* That the feed has begun anew, and has nothing yet: an entry without an item at cursor 0. */
static int note_empty(struct syncing *s)
{
	uint8_t none = 0;
	const struct desk_entry nowhere = {.item = &none};

	return append(s->poc, s->desk, s->fd, &nowhere, true);
}

/* What follows the end of the local copy.  That entry comes along: if it does not stand there any more, the directory
 * has lost it, and what stands at lower cursors may be new as well. */
static int fetch(struct syncing *s)
{
	struct desk *desk = s->desk;

	if (desk->end.cursor == 0)
		return client_feed(s->poc, &desk->id, 0, collect, s);
	int status = client_feed(s->poc, &desk->id, desk->end.cursor - 1, collect, s);
	if (status != 0)
		return status;
	if (s->n_new > 0 && is_end(desk, &s->new_ones[0])) {
		drop_new(s, 1);
		return 0;
	}
	if (s->n_new > 0)
		drop_new(s, s->n_new);
	desk->begun_anew = desk->lost = true;
	status = client_feed(s->poc, &desk->id, 0, collect, s);
	return status == 0 && s->n_new == 0 ? note_empty(s) : status;
}

static int open_file(struct poc *poc, const struct desk *desk, int *fd)
{
	char name[FILE_NAME], *path = NULL;

	file_name(&desk->id, name);
	if (poc->folder == NULL || asprintf(&path, "%s/%s", poc->folder, name) < 0)
		return refuse(&poc->why, STATUS_IO, "state.dir", "no state folder");
	*fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = *fd < 0 ? -1 : flock(*fd, LOCK_EX);
	while (rc != 0 && *fd >= 0 && errno == EINTR)
		rc = flock(*fd, LOCK_EX);
	int status =
	    rc == 0 ? 0 : refuse(&poc->why, STATUS_IO, "state.dir", "cannot open %.200s: %s", path, strerror(errno));
	free(path);
	return status;
}

static void take_users(struct syncing *s)
{
	const struct known *known;

	if (known_users(s, s->desk->id.place, &known) != 0 || known->users == NULL)
		return;
	envelope_destroy(s->desk->users);
	s->desk->users = NULL;
	envelope_parse(known->users->bytes, known->users->size, &s->desk->users, NULL);
}

/* Whoever left the state holds nothing any more. */
static void release_absent(struct desk *desk)
{
	for (size_t i = 0; i < desk->n && desk->users != NULL; i++) {
		if (desk->notices[i]->taken_by[0] != '\0' &&
		    users_find_handle(desk->users->payload.users, desk->notices[i]->taken_by) == NULL)
			desk->notices[i]->taken_by[0] = '\0';
	}
}

int desk_sync(struct poc *poc, struct desk *desk)
{
	struct syncing s = {.poc = poc, .desk = desk, .fd = -1};
	int status = open_file(poc, desk, &s.fd);

	desk->lost = false;
	/* other commands may have fetched meanwhile; a torn end goes */
	if (status == 0)
		status = load(poc, desk);
	if (status == 0 && ftruncate(s.fd, (off_t)desk->read) != 0)
		status = refuse(&poc->why, STATUS_IO, "state.dir", "%s", strerror(errno));
	if (status == 0)
		status = fetch(&s);
	if (status == 0)
		status = take_new(&s);
	if (status == 0 && s.n_new > 0 && fsync(s.fd) != 0)
		status = refuse(&poc->why, STATUS_IO, "state.dir", "%s", strerror(errno));
	if (status == 0) {
		take_users(&s);
		release_absent(desk);
	}
	for (size_t i = 0; i < s.n_new; i++)
		free(s.new_ones[i].item);
	free(s.new_ones);
	for (size_t i = 0; i < s.n_known; i++)
		envelope_destroy(s.known[i].users);
	if (s.fd >= 0)
		close(s.fd);
	return status;
}

/* ---- Bodies: as they came, encrypted, under their notice's id */

static int read_kept(struct poc *poc, const char *folder, const char *name, const struct desk_notice *notice,
		     uint8_t **body, size_t *size)
{
	int status = held_read_file(folder, name, NOTICE_BODY_MAX, body, size, &poc->why);

	if (status == 0 && notice_check_body(notice->notice, *body, *size, NULL) != 0) {
		free(*body);
		*body = NULL;
		status = STATUS_NOT_FOUND;
	}
	return status;
}

/* Kept by another desk of ours, and not fetched for this one. */
static bool undelivered(const struct desk *desk, const struct desk_notice *notice)
{
	const struct desk_party *own = desk_own_party(desk, notice);

	return own != NULL && own->times[POC__STEP__STEP_DELIVERED] == 0;
}

/* Fetches what is kept already, so that it is delivered to this desk too; that it cannot be keeps nobody from reading.
 */
static void deliver(struct poc *poc, const struct desk *desk, const struct desk_notice *notice)
{
	uint8_t *body = NULL;
	size_t size;

	if (client_body(poc, &desk->id, notice->notice, &body, &size) == 0)
		free(body);
	connection_begin(poc);
}

int desk_body(struct poc *poc, const struct desk *desk, const struct desk_notice *notice, bool offline, uint8_t **body,
	      size_t *size)
{
	char name[2 * HASH_SIZE + 1], *folder = NULL;

	*body = NULL;
	connection_begin(poc);
	hash_to_hex(&notice->notice->hash, name);
	if (poc->folder == NULL || asprintf(&folder, "%s/bodies", poc->folder) < 0)
		return refuse(&poc->why, STATUS_IO, "state.dir", "no state folder");
	int status = read_kept(poc, folder, name, notice, body, size);
	const bool kept = status == 0;
	if (!kept && offline)
		status = refuse(&poc->why, STATUS_UNREACHABLE, "", "the text is not in the local copy");
	else if (!kept)
		status = client_body(poc, &desk->id, notice->notice, body, size);
	else if (!offline && undelivered(desk, notice))
		deliver(poc, desk, notice);
	if (status == 0 && !kept && (mkdir(folder, 0700) == 0 || errno == EEXIST))
		held_write_file(folder, name, *body, *size, NULL); /* lost: asked for again */
	free(folder);
	return status;
}
