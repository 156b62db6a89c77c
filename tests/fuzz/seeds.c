/* seeds DIR: writes the seed corpora that are real encodings; run by hand when a message changes. */
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>

#include "clients/libpoc/draft.h"
#include "proto/keys/keystore_file.h"
#include "proto/proof/checkpoint.h"
#include "proto/proof/merkle.h"
#include "proto/rules/receipt.h"
#include "proto/rules/rules.h"
#include "proto/wire/poc.pb-c.h"
#include "proto/wire/prescan.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/world.h"

static const char *root;

static void write_seed(const char *target, const char *name, const void *bytes, size_t size)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", root, target);
	MUST(mkdir(path, 0777) == 0 || errno == EEXIST);
	snprintf(path, sizeof path, "%s/%s/%s", root, target, name);
	FILE *file = fopen(path, "wb");
	MUST(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

static void write_message(const char *name, const void *message)
{
	uint8_t *bytes;
	size_t size;
	MUST(message_encode(message, &bytes, &size) == 0);
	write_seed("request", name, bytes, size);
	free(bytes);
}

static void write_requests(const struct world *world)
{
	static char place[] = "BR", name[] = "K/BR", *names[] = {name}, software[] = "poc 0.1";
	Poc__Hello hello = POC__HELLO__INIT;
	Poc__GetHead head = POC__GET_HEAD__INIT;
	Poc__Lookup lookup = POC__LOOKUP__INIT;
	Poc__GetEnvelopes envelopes = POC__GET_ENVELOPES__INIT;
	Poc__Write write = POC__WRITE__INIT, *writes[] = {&write};
	Poc__Submit submit = POC__SUBMIT__INIT;
	Poc__Changes changes = POC__CHANGES__INIT;
	Poc__GetStats stats = POC__GET_STATS__INIT;
	Poc__Request request = POC__REQUEST__INIT;

	request.id = 1;
	hello.directory_id = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)world->directory_id.bytes};
	hello.protocol = 1;
	hello.state = place;
	hello.software = software;
	request.body_case = POC__REQUEST__BODY_HELLO;
	request.hello = &hello;
	write_message("hello", &request);
	head.held_size = head.trust_seq = 1;
	request.body_case = POC__REQUEST__BODY_GET_HEAD;
	request.get_head = &head;
	write_message("get-head", &request);
	lookup.place = place;
	lookup.checkpoint_size = 300;
	request.body_case = POC__REQUEST__BODY_LOOKUP;
	request.lookup = &lookup;
	write_message("lookup", &request);
	envelopes.n_names = 1;
	envelopes.names = names;
	request.body_case = POC__REQUEST__BODY_GET_ENVELOPES;
	request.get_envelopes = &envelopes;
	write_message("get-envelopes", &request);
	write.envelope = (ProtobufCBinaryData){world->trust.size, world->trust.bytes};
	submit.n_writes = 1;
	submit.writes = writes;
	request.body_case = POC__REQUEST__BODY_SUBMIT;
	request.submit = &submit;
	write_message("submit", &request);
	changes.with_envelopes = 1;
	request.body_case = POC__REQUEST__BODY_CHANGES;
	request.changes = &changes;
	write_message("changes", &request);
	request.body_case = POC__REQUEST__BODY_GET_STATS;
	request.get_stats = &stats;
	write_message("get-stats", &request);
}

/* What goes between a directory and its desks. */
static void write_desk_requests(const struct world *world)
{
	static char place[] = "BR";
	static uint8_t id[16] = {1};
	Poc__Post post = POC__POST__INIT;
	Poc__Feed feed = POC__FEED__INIT;
	Poc__GetNotice notice = POC__GET_NOTICE__INIT;
	Poc__Watch watch = POC__WATCH__INIT;
	Poc__Request request = POC__REQUEST__INIT;

	request.id = 1;
	post.envelope = (ProtobufCBinaryData){world->trust.size, world->trust.bytes};
	post.body = (ProtobufCBinaryData){sizeof id, id};
	request.body_case = POC__REQUEST__BODY_POST;
	request.post = &post;
	write_message("post", &request);
	feed.place = notice.place = watch.place = place;
	feed.kind = notice.kind = watch.kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	feed.after = 300;
	request.body_case = POC__REQUEST__BODY_FEED;
	request.feed = &feed;
	write_message("feed", &request);
	notice.id = (ProtobufCBinaryData){sizeof id, id};
	notice.with_evidence = 1;
	notice.checkpoint_size = 300;
	request.body_case = POC__REQUEST__BODY_GET_NOTICE;
	request.get_notice = &notice;
	write_message("get-notice", &request);
	request.body_case = POC__REQUEST__BODY_WATCH;
	request.watch = &watch;
	write_message("watch", &request);
}

/* What goes between a directory and its followers, and the answer that has most in it. */
static void write_follow(const struct world *world)
{
	static char auditor[] = "auditor.xa.example", name[] = "T",
		    note[] = "pocd.test/2026\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n";
	static uint8_t zeros[LEAF_SIZE];
	Poc__Follow follow = POC__FOLLOW__INIT;
	Poc__Cosign cosign = POC__COSIGN__INIT;
	Poc__FollowedLeaf put = POC__FOLLOWED_LEAF__INIT, state = POC__FOLLOWED_LEAF__INIT, *leaves[] = {&put, &state};
	Poc__FollowAnswer answer = POC__FOLLOW_ANSWER__INIT;
	Poc__Request request = POC__REQUEST__INIT;
	Poc__Response response = POC__RESPONSE__INIT;
	ProtobufCBinaryData section = {sizeof zeros, zeros};
	const ProtobufCBinaryData note_bytes = {sizeof note - 1, (uint8_t *)note};

	request.id = response.id = 1;
	follow.size = 3;
	follow.root = (ProtobufCBinaryData){HASH_SIZE, zeros};
	follow.note = note_bytes;
	follow.auditor = auditor;
	follow.from = 300;
	request.body_case = POC__REQUEST__BODY_FOLLOW;
	request.follow = &follow;
	write_message("follow", &request);
	cosign.auditor = auditor;
	cosign.size = 3;
	cosign.signature = (ProtobufCBinaryData){72, zeros};
	request.body_case = POC__REQUEST__BODY_COSIGN;
	request.cosign = &cosign;
	write_message("cosign", &request);
	put.leaf = state.leaf = (ProtobufCBinaryData){LEAF_SIZE, zeros};
	put.name = name;
	put.envelope = (ProtobufCBinaryData){world->trust.size, world->trust.bytes};
	put.sections = &section;
	put.n_sections = 1;
	state.note = answer.note = note_bytes;
	answer.leaves = leaves;
	answer.n_leaves = 2;
	answer.size = 3;
	response.body_case = POC__RESPONSE__BODY_FOLLOW;
	response.follow = &answer;
	write_message("follow-answer", &response);
}

static void write_responses(void)
{
	static char message[] = "no such thing", handle[] = "duty-1";
	uint32_t roles[] = {1, 2};
	Poc__Error error = POC__ERROR__INIT;
	Poc__HelloAnswer hello = POC__HELLO_ANSWER__INIT;
	Poc__WriteResult result = POC__WRITE_RESULT__INIT, *results[] = {&result};
	Poc__SubmitAnswer submit = POC__SUBMIT_ANSWER__INIT;
	Poc__Response response = POC__RESPONSE__INIT;

	response.id = 1;
	error.code = 6;
	error.message = message;
	response.body_case = POC__RESPONSE__BODY_ERROR;
	response.error = &error;
	write_message("error", &response);
	hello.handle = handle;
	hello.n_roles = 2;
	hello.roles = roles;
	hello.server_time_ms = 1790000000000;
	response.body_case = POC__RESPONSE__BODY_HELLO;
	response.hello = &hello;
	write_message("hello-answer", &response);
	result.seq = result.leaf = 7;
	submit.n_results = 1;
	submit.results = results;
	response.body_case = POC__RESPONSE__BODY_SUBMIT;
	response.submit = &submit;
	write_message("submit-answer", &response);
}

static void write_item(const struct world_item *item)
{
	char name[80];
	snprintf(name, sizeof name, "%s", item->name);
	for (char *c = name; *c; c++)
		if (*c == '/' || *c == '@')
			*c = '-';
	write_seed("envelope", name, item->bytes, item->size);
}

static void write_document(const struct world *world)
{
	struct world_item item = {0};
	Poc__Document document = POC__DOCUMENT__INIT;
	Poc__Head head;

	head_fill(&head, &world->directory_id, "D/early-warning", 1, NULL);
	document.head = &head;
	document.issued = world->now;
	document.kind = POC__DOCUMENT_KIND__DOCUMENT_KIND_TEMPLATE;
	document.title = (char *)"Early warning";
	document.text = (char *)"{\"asks\":[\"text\"],\"stage\":\"early-warning\"}";
	world_sign(&document.base, &world->states[0].coordinator, 1, &item);
	write_item(&item);
	world_item_finish(&item);
}

static void write_draft(const struct world_state *state)
{
	struct envelope *envelope;
	struct draft *draft;
	MUST(envelope_parse(state->record.bytes, state->record.size, &envelope, NULL) == 0);
	MUST(draft_from_record(envelope->payload.record, state->sections, WORLD_SECTIONS, &draft, NULL) == 0);
	json_t *json = draft_to_json(draft);
	char *text = json_dumps(json, JSON_PRESERVE_ORDER | JSON_INDENT(1));
	MUST(text != NULL);
	write_seed("draft", "record.json", text, strlen(text));
	free(text);
	json_decref(json);
	draft_destroy(draft);
	envelope_destroy(envelope);
}

static void write_state(const struct world_state *state)
{
	write_item(&state->keys);
	write_item(&state->users);
	write_item(&state->record);
	for (int i = 0; i < WORLD_SECTIONS; i++) {
		char name[40];
		snprintf(name, sizeof name, "section-%d", i);
		write_seed("section", name, state->sections[i].data, state->sections[i].len);
	}
	write_draft(state);
	const struct public_key *key = keystore_public(state->reader);
	write_seed("key", "reader", key->spki, key->spki_size);
}

static void write_leaves(void)
{
	struct leaf leaf = {LEAF_PUT, hash_name("R/BR"), 1, hash_of("a", 1), 1790000000000};
	uint8_t bytes[LEAF_SIZE];
	leaf_write(&leaf, bytes);
	write_seed("leaf", "put", bytes, sizeof bytes);
	leaf = (struct leaf){LEAF_STATE, hash_zero, 1, hash_of("b", 1), 1790000000000};
	leaf_write(&leaf, bytes);
	write_seed("leaf", "state", bytes, sizeof bytes);
}

static void write_inner(const Poc__Notice *header, const Poc__NoticeContent *content)
{
	static uint8_t salt[HASH_SIZE] = {1}, padding[100];
	Poc__Inner inner = POC__INNER__INIT;
	uint8_t *bytes;
	size_t size;

	inner.core = header->core;
	inner.salt = (ProtobufCBinaryData){sizeof salt, salt};
	inner.content = (Poc__NoticeContent *)content;
	inner.padding = (ProtobufCBinaryData){sizeof padding, padding};
	MUST(message_encode(&inner, &bytes, &size) == 0);
	write_seed("inner", "notice", bytes, size);
	free(bytes);
}

static void write_receipt(const struct notice *notice, const struct keystore_key *signer)
{
	Poc__Receipt receipt = POC__RECEIPT__INIT;
	Poc__Fact fact = POC__FACT__INIT;
	uint8_t *bytes;
	size_t size;

	receipt.directory_id = notice->core->directory_id;
	receipt.notice_id = notice->core->id;
	receipt.notice_hash = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)notice->hash.bytes};
	receipt.step = POC__STEP__STEP_DECLINED;
	receipt.reason = POC__REASON__REASON_WRONG_RECIPIENT;
	receipt.place = "FR/bretagne";
	receipt.kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	receipt.handle = "duty-1";
	receipt.time = 1790000060;
	MUST(receipt_make(&receipt, signer, &bytes, &size, NULL) == 0);
	write_seed("receipt", "declined", bytes, size);
	free(bytes);
	fact.directory_id = receipt.directory_id;
	fact.notice_id = receipt.notice_id;
	fact.notice_hash = receipt.notice_hash;
	fact.step = POC__STEP__STEP_DELIVERED;
	fact.place = "FR/bretagne";
	fact.kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	fact.time_ms = 1790000050000;
	MUST(fact_make(&fact, &bytes, &size, NULL) == 0);
	write_seed("receipt", "delivered", bytes, size);
	free(bytes);
}

static void write_notice(const struct world *world, const struct keystore_key *signer)
{
	static uint8_t id[NOTICE_ID_SIZE] = {1, 2, 3};
	static char text[] = "Scans of our hospitals.", subject[] = "Scans", word[] = "ip", value[] = "192.0.2.1";
	Poc__Desk from = POC__DESK__INIT, to = POC__DESK__INIT, *tos[] = {&to};
	Poc__Core core = POC__CORE__INIT;
	Poc__Indicator indicator = POC__INDICATOR__INIT, *indicators[] = {&indicator};
	Poc__Attachment attachment = POC__ATTACHMENT__INIT, *attachments[] = {&attachment};
	Poc__NoticeContent content = POC__NOTICE_CONTENT__INIT;
	struct keystore_key *reading = keystore_ephemeral(KEY_P384);
	struct notice_keys keys[2];
	uint8_t *header, *body;
	size_t header_size, body_size;
	struct notice *notice;

	MUST(reading != NULL);
	keys[0] = keys[1] = (struct notice_keys){keystore_public(reading), 1};
	from.place = "BR";
	to.place = "FR/bretagne";
	from.kind = to.kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	core.directory_id = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)world->directory_id.bytes};
	core.id = core.thread = (ProtobufCBinaryData){sizeof id, id};
	core.from = &from;
	core.handle = "duty-1";
	core.to = tos;
	core.n_to = 1;
	core.category = POC__CATEGORY__CATEGORY_NOTIFICATION;
	core.urgency = POC__URGENCY__URGENCY_URGENT;
	core.tlp = POC__NOTICE_TLP__NOTICE_TLP_AMBER;
	core.created = 1790000000;
	core.reply_by = 1790086400;
	content.subject = subject;
	content.text = text;
	indicator.type = word;
	indicator.value = value;
	content.indicators = indicators;
	content.n_indicators = 1;
	attachment.name = value;
	attachment.data = (ProtobufCBinaryData){sizeof id, id};
	content.attachments = attachments;
	content.n_attachments = 1;
	MUST(notice_make(&core, &content, keys, signer, &header, &header_size, &body, &body_size, NULL) == 0);
	write_seed("notice", "header", header, header_size);
	write_seed("sealed", "body", body, body_size);
	MUST(notice_parse(header, header_size, &notice, NULL) == 0);
	write_inner(notice->header, &content);
	write_receipt(notice, signer);
	notice_destroy(notice);
	keystore_close(reading);
	free(header);
	free(body);
}

static void write_readers(void)
{
	Poc__Request request = POC__REQUEST__INIT;
	Poc__Response response = POC__RESPONSE__INIT;
	Poc__Readers readers = POC__READERS__INIT;
	Poc__ReadersAnswer answer = POC__READERS_ANSWER__INIT;
	Poc__Reading row = POC__READING__INIT, *rows[] = {&row};
	static char state[] = "@directory";

	request.id = response.id = 7;
	readers.from_day = 20000;
	readers.after = state;
	request.body_case = POC__REQUEST__BODY_READERS;
	request.readers = &readers;
	write_message("readers", &request);
	row.day = 20000;
	row.state = state;
	row.lookups = 300;
	row.copied = 1;
	row.last_ms = INT64_C(1728000000000);
	answer.readings = rows;
	answer.n_readings = 1;
	answer.more = true;
	answer.kept_from = 19600;
	response.body_case = POC__RESPONSE__BODY_READERS;
	response.readers = &answer;
	write_message("readers-answer", &response);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	root = argv[1];
	struct world *world = world_create(1790000000);
	struct world_state *state = world_add_state(world, "BR");
	write_requests(world);
	write_desk_requests(world);
	write_follow(world);
	write_readers();
	write_responses();
	write_item(&world->trust);
	write_item(&world->reg);
	write_state(state);
	write_document(world);
	write_notice(world, state->reader);
	write_leaves();
	world_destroy(world);
	return 0;
}
