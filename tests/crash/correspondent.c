/* correspondent DIR LOG: the operators of DIR/correspondents exchange notices by libpoc, each on a connection of its
 * own, without a pause.  Senders post sealed notices to one or two receivers, every third of a thread of its own;
 * receivers follow their feed, open each body, and post receipts.  What is sent, answered and seen goes to LOG, outside
 * the server, one line each:
 *
 *     sent   DESK SEQ HASH ID TO[,TO]          a notice is about to be posted
 *     said   DESK STEP HASH ID                 a receipt is about to be posted
 *     posted HASH ID STORED_MS REPEATED NANOSECONDS
 *     entry  DESK CURSOR HASH ID NANOSECONDS   read from the desk's feed; SHA-256 of the item
 *     opened DESK HASH                         a receiver has opened the notice's body
 *     refused WHAT CODE MESSAGE                an error; sent again if it may be
 *     fault  TEXT                              what must never happen
 *
 * HASH is SHA-256 of the envelope, ID the notice's.  What was not answered is posted again until it is; what was is
 * posted again now and then, and must get its first answer.  SIGTERM ends after all is answered and every feed is read.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/libpoc/notice.h"
#include "proto/keys/keystore_open.h"
#include "proto/wire/prescan.h"
#include "tests/crash/journal.h"

enum { PARTIES_MAX = 32, KEPT = 16, PAUSE_MS = 5, REPEAT_EVERY = 8, THREAD_LENGTH = 3, TIMEOUT_MS = 10000 };

/* What one Post carries, and its first answer. */
struct letter {
	uint8_t *envelope, *body;
	size_t size, body_size;
	struct hash hash;
	struct notice_id id, thread;
	bool answered;
	int64_t stored_ms;
};

struct party {
	pthread_t thread;
	struct client_desk desk;
	bool sends;
	struct poc *poc;
	struct keystore_key *reading;
	uint64_t cursor;
	unsigned made;
	struct letter kept[KEPT];
	size_t n_arrived; /* notices of the last pages, not yet opened */
	struct notice **arrived;
};

static char address[100], directory_id[65], server_pin[65];
static struct party parties[PARTIES_MAX];
static size_t n_parties;
static atomic_bool all_read;
static atomic_uint sending;

struct words {
	char hash[65], id[NOTICE_ID_TEXT];
};

static struct words words_of(const struct hash *hash, const struct notice_id *id)
{
	struct words words;

	hash_to_hex(hash, words.hash);
	notice_id_print(id, words.id);
	return words;
}

/* ---- Posting */

/* Whether the same may be tried again; what no kill explains is a fault. */
static bool may_retry(const struct party *party, const char *what, int status)
{
	const bool retry = status == STATUS_UNREACHABLE || status == STATUS_TLS || status == STATUS_BUSY;

	say("%s %s %s %d %.400s\n", retry ? "refused" : "fault", party->desk.place, what, status,
	    poc_error(party->poc));
	pause_ms(PAUSE_MS);
	return retry;
}

static void take_answer(struct letter *letter, const struct client_posted *posted)
{
	const struct words words = words_of(&letter->hash, &letter->id);

	if (memcmp(posted->id.bytes, letter->id.bytes, NOTICE_ID_SIZE) != 0 ||
	    (letter->answered && (!posted->repeated || posted->stored_ms != letter->stored_ms)))
		say("fault %s got another answer than its first\n", words.hash);
	letter->answered = true;
	letter->stored_ms = posted->stored_ms;
	say("posted %s %s %lld %d %llu\n", words.hash, words.id, (long long)posted->stored_ms, posted->repeated,
	    nanoseconds());
}

/* Posts until it is answered. */
static void deliver(struct party *party, struct letter *letter)
{
	struct client_posted posted;
	int status;

	do {
		status =
		    client_post(party->poc, letter->envelope, letter->size, letter->body, letter->body_size, &posted);
		if (status == 0)
			take_answer(letter, &posted);
	} while (status != 0 && may_retry(party, "post", status));
}

static void letter_finish(struct letter *letter)
{
	free(letter->envelope);
	free(letter->body);
	*letter = (struct letter){0};
}

/* ---- Senders */

static struct party *receiver(unsigned n)
{
	size_t first = 0;

	while (parties[first].sends)
		first++;
	return &parties[first + n % (n_parties - first)];
}

static int by_place(const void *a, const void *b)
{
	return strcmp((*(struct party *const *)a)->desk.place, (*(struct party *const *)b)->desk.place);
}

/* Every fourth goes to two. */
static size_t choose(const struct party *party, struct party *to[2])
{
	to[0] = receiver(party->made);
	to[1] = receiver(party->made + 1);
	const size_t n = party->made % 4 == 3 && to[0] != to[1] ? 2 : 1;
	qsort(to, n, sizeof *to, by_place);
	return n;
}

static void say_sent(const struct party *party, const struct letter *letter, struct party *const to[2], size_t n)
{
	const struct words words = words_of(&letter->hash, &letter->id);

	say("sent %s %u %s %s %s%s%s\n", party->desk.place, party->made, words.hash, words.id, to[0]->desk.place,
	    n > 1 ? "," : "", n > 1 ? to[1]->desk.place : "");
}

static void fill_desk(Poc__Desk *desk, struct notice_keys *keys, struct party *party)
{
	poc__desk__init(desk);
	desk->place = party->desk.place;
	desk->kind = party->desk.kind;
	*keys = (struct notice_keys){keystore_public(party->reading), 1};
}

static struct letter *write_letter(struct party *party)
{
	const struct letter *last = &party->kept[(party->made + KEPT - 1) % KEPT];
	struct letter *letter = &party->kept[party->made % KEPT];
	struct party *to[2];
	Poc__Desk from, desks[2], *list[2] = {&desks[0], &desks[1]};
	struct notice_keys keys[3];
	Poc__Core core = POC__CORE__INIT;
	Poc__NoticeContent content = POC__NOTICE_CONTENT__INIT;
	struct hash directory;
	struct refusal why = {0};
	char subject[100];

	letter_finish(letter);
	must(notice_new_id(&letter->id) == 0 && hash_from_hex(directory_id, &directory) == 0, "no id");
	letter->thread = party->made % THREAD_LENGTH == 0 ? letter->id : last->thread;
	fill_desk(&from, &keys[0], party);
	core.n_to = choose(party, to);
	for (size_t i = 0; i < core.n_to; i++)
		fill_desk(&desks[i], &keys[1 + i], to[i]);
	core.directory_id = (ProtobufCBinaryData){HASH_SIZE, directory.bytes};
	core.id = (ProtobufCBinaryData){NOTICE_ID_SIZE, letter->id.bytes};
	core.thread = (ProtobufCBinaryData){NOTICE_ID_SIZE, letter->thread.bytes};
	if (party->made % THREAD_LENGTH != 0)
		core.answers = (ProtobufCBinaryData){NOTICE_ID_SIZE, (uint8_t *)last->id.bytes};
	core.from = &from;
	core.handle = "operator";
	core.to = list;
	core.category = POC__CATEGORY__CATEGORY_NOTIFICATION;
	core.urgency = POC__URGENCY__URGENCY_ROUTINE;
	core.tlp = POC__NOTICE_TLP__NOTICE_TLP_AMBER;
	core.created = (int64_t)time(NULL);
	snprintf(subject, sizeof subject, "%s %u", party->desk.place, party->made);
	content.subject = subject;
	must(notice_make(&core, &content, keys, client_key(party->poc), &letter->envelope, &letter->size, &letter->body,
			 &letter->body_size, &why) == 0,
	     why.message);
	letter->hash = hash_of(letter->envelope, letter->size);
	say_sent(party, letter, to, core.n_to);
	party->made++;
	return letter;
}

/* ---- Feeds */

static int take_entry(void *ctx, const struct client_entry *entry)
{
	struct party *party = ctx;
	const struct hash hash = hash_of(entry->item, entry->size);
	struct notice *notice = NULL;
	struct receipt *receipt = NULL;
	Poc__Fact *fact = NULL;
	struct notice_id id = {0};

	if (entry->fact && fact_parse(entry->item, entry->size, &fact, NULL) == 0)
		memcpy(id.bytes, fact->notice_id.data, NOTICE_ID_SIZE);
	else if (!entry->fact && notice_parse(entry->item, entry->size, &notice, NULL) == 0)
		id = notice->id;
	else if (!entry->fact && receipt_parse(entry->item, entry->size, &receipt, NULL) == 0)
		id = receipt->notice_id;
	else
		say("fault %s was given an item that is none\n", party->desk.place);
	const struct words words = words_of(&hash, &id);
	if (entry->cursor <= party->cursor)
		say("fault the feed of %s went back\n", party->desk.place);
	party->cursor = entry->cursor;
	say("entry %s %llu %s %s %llu\n", party->desk.place, (unsigned long long)entry->cursor, words.hash, words.id,
	    nanoseconds());
	if (notice != NULL && !party->sends) {
		party->arrived = realloc(party->arrived, (party->n_arrived + 1) * sizeof(struct notice *));
		must(party->arrived != NULL, "out of memory");
		party->arrived[party->n_arrived++] = notice;
	} else {
		notice_destroy(notice);
	}
	receipt_destroy(receipt);
	message_free(fact);
	return 0;
}

/* Reads on; true if there was anything. */
static bool read_feed(struct party *party)
{
	const uint64_t before = party->cursor;
	int status;

	do
		status = client_feed(party->poc, &party->desk, party->cursor, take_entry, party);
	while (status != 0 && may_retry(party, "feed", status));
	return party->cursor > before;
}

static void *send_on(void *ctx)
{
	struct party *party = ctx;

	while (!atomic_load(&journal_stop)) {
		deliver(party, write_letter(party));
		if (party->made % REPEAT_EVERY == 0)
			deliver(party, &party->kept[(party->made * 7u) % KEPT % party->made]);
		read_feed(party);
	}
	for (unsigned i = 0; i < KEPT && i < party->made; i++)
		deliver(party, &party->kept[i]);
	atomic_fetch_sub(&sending, 1);
	while (!atomic_load(&all_read)) {
		read_feed(party);
		pause_ms(10 * PAUSE_MS);
	}
	read_feed(party);
	return NULL;
}

/* ---- Receivers */

static void open_body(struct party *party, const struct notice *notice)
{
	const struct words words = words_of(&notice->hash, &notice->id);
	Poc__Inner *inner;
	struct refusal why = {0};
	uint8_t *body;
	size_t size;
	int status;

	do
		status = client_body(party->poc, &party->desk, notice, &body, &size);
	while (status != 0 && may_retry(party, "body", status));
	if (status != 0)
		return;
	if (notice_open(notice, body, size, party->reading, &inner, &why) == 0) {
		say("opened %s %s\n", party->desk.place, words.hash);
		message_free(inner);
	} else {
		say("fault %s cannot open %s: %.300s\n", party->desk.place, words.hash, why.message);
	}
	free(body);
}

static void state(struct party *party, const struct notice *notice, Poc__Step step)
{
	Poc__Receipt receipt = POC__RECEIPT__INIT;
	struct letter *letter = &party->kept[party->made++ % KEPT];
	struct refusal why = {0};

	letter_finish(letter);
	receipt.directory_id = notice->core->directory_id;
	receipt.notice_id = notice->core->id;
	receipt.notice_hash = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)notice->hash.bytes};
	receipt.step = step;
	receipt.place = party->desk.place;
	receipt.kind = party->desk.kind;
	receipt.handle = "operator";
	receipt.time = (int64_t)time(NULL);
	must(receipt_make(&receipt, client_key(party->poc), &letter->envelope, &letter->size, &why) == 0, why.message);
	letter->id = notice->id;
	letter->hash = hash_of(letter->envelope, letter->size);
	const struct words words = words_of(&letter->hash, &letter->id);
	say("said %s %s %s %s\n", party->desk.place, step_name(step), words.hash, words.id);
	deliver(party, letter);
	if (party->made % REPEAT_EVERY == 0)
		deliver(party, &party->kept[(party->made * 7u) % KEPT % party->made]);
}

static void *receive_on(void *ctx)
{
	struct party *party = ctx;
	bool last = false;

	for (;;) {
		const bool over = atomic_load(&journal_stop) && atomic_load(&sending) == 0;
		const bool any = read_feed(party);
		for (size_t i = 0; i < party->n_arrived; i++) {
			const struct notice *notice = party->arrived[i];
			open_body(party, notice);
			state(party, notice, POC__STEP__STEP_ACKNOWLEDGED);
			if (notice->id.bytes[0] % 2 == 0)
				state(party, notice, POC__STEP__STEP_ACCEPTED);
			notice_destroy(party->arrived[i]);
		}
		party->n_arrived = 0;
		if (over && !any && last)
			return NULL;
		last = over && !any;
		if (!any)
			pause_ms(PAUSE_MS);
	}
}

/* ---- Setting up */

static void open_party(struct party *party, const char *role, const char *code)
{
	char certificate[4200], key[4200], reading[4200], held[4200], message[400];
	struct refusal why = {0};

	party->sends = strcmp(role, "sender") == 0;
	snprintf(party->desk.place, sizeof party->desk.place, "%s", code);
	party->desk.kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	snprintf(certificate, sizeof certificate, "%s/%s-operator.crt", journal_folder, code);
	snprintf(key, sizeof key, "%s/%s-operator.key", journal_folder, code);
	snprintf(reading, sizeof reading, "%s/%s-reading.key", journal_folder, code);
	snprintf(held, sizeof held, "%s/%s-held", journal_folder, code);
	const struct poc_options options = {.servers = address,
					    .server_pin = server_pin,
					    .directory_id = directory_id,
					    .user_state = party->desk.place,
					    .certificate = certificate,
					    .key = key,
					    .state_dir = held,
					    .timeout_ms = TIMEOUT_MS};
	must(poc_open(&options, &party->poc, message, sizeof message) == 0, message);
	must(keystore_open(reading, NULL, &party->reading, &why) == 0, why.message);
}

static void close_party(struct party *party)
{
	for (size_t i = 0; i < KEPT; i++)
		letter_finish(&party->kept[i]);
	free(party->arrived);
	keystore_close(party->reading);
	poc_close(party->poc);
}

/* Senders first, then receivers. */
static void open_parties(void)
{
	char role[16], code[3];
	FILE *list = open_list("directory");

	must(fscanf(list, "%99s %64s %64s", address, directory_id, server_pin) == 3, "directory");
	fclose(list);
	list = open_list("correspondents");
	while (n_parties < PARTIES_MAX && fscanf(list, "%15s %2s", role, code) == 2)
		open_party(&parties[n_parties++], role, code);
	fclose(list);
	must(n_parties > 1 && parties[0].sends && !parties[n_parties - 1].sends, "correspondents");
}

static void join(bool senders)
{
	for (size_t i = 0; i < n_parties; i++) {
		if (parties[i].sends == senders)
			pthread_join(parties[i].thread, NULL);
	}
}

int main(int argc, char **argv)
{
	if (!journal_begin(argc, argv))
		return 2;
	open_parties();
	for (size_t i = 0; i < n_parties; i++)
		atomic_fetch_add(&sending, parties[i].sends);
	for (size_t i = 0; i < n_parties; i++)
		must(pthread_create(&parties[i].thread, NULL, parties[i].sends ? send_on : receive_on, &parties[i]) ==
			 0,
		     "a thread cannot start");
	journal_wait();
	join(false);
	atomic_store(&all_read, true);
	join(true);
	for (size_t i = 0; i < n_parties; i++)
		close_party(&parties[i]);
	journal_end();
	return 0;
}
