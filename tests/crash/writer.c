/* writer DIR LOG: as many clients as DIR/writers has lines, each publishing for its state over TLS without a pause:
 * signed records, and now and then bundles of users and record.  What is sent and what is acknowledged goes to LOG,
 * outside the server, one line a write:
 *
 *     sent  GROUP NAME SEQ VALUE
 *     ack   GROUP NAME SEQ VALUE LEAF STORED_MS CHECKPOINT_SIZE REPEATED NANOSECONDS
 *     refused GROUP CODE RETRY_AFTER_MS MESSAGE      an error answer; sent again if it may be
 *     head  SIZE NANOSECONDS              a verifying client has moved to this head
 *     fault TEXT                          what must never happen
 *
 * A group that was not acknowledged is sent again until it is, whatever happens to the server meanwhile; one that was
 * is sent again now and then, and must get its first answer.  SIGTERM ends after all that is under way is acknowledged.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/libpoc/client.h"
#include "clients/libpoc/transport.h"
#include "proto/keys/keystore_file.h"
#include "proto/keys/keystore_open.h"
#include "proto/wire/prescan.h"
#include "tests/crash/journal.h"
#include "tests/lib/world.h"

enum { WRITERS_MAX = 32, GROUP_MAX = 2, KEPT = 32, CALL_MS = 10000, PAUSE_MS = 5, BUNDLE_EVERY = 4, REPEAT_EVERY = 8 };

/* What one Submit carries, and its first answer. */
struct group {
	char label[40]; /* "AA.17" */
	size_t n;
	struct world_item items[GROUP_MAX];
	ProtobufCBinaryData sections[WORLD_SECTIONS]; /* of the last item, the record */
	bool acknowledged;
	uint64_t leaf[GROUP_MAX];
	int64_t stored_ms[GROUP_MAX];
};

struct writer {
	pthread_t thread;
	struct world *world; /* of one state */
	struct world_state *state;
	struct transport_context *context;
	struct transport *transport;
	unsigned made;
	struct group kept[KEPT];
};

static char address[100], directory_id[65], server_pin[65], reader_state[3];

/* ---- Making groups */

static void group_finish(struct group *group)
{
	for (size_t i = 0; i < group->n; i++)
		world_item_finish(&group->items[i]);
	for (size_t i = 0; i < WORLD_SECTIONS; i++)
		free(group->sections[i].data);
	*group = (struct group){.n = 0};
}

static void take_item(struct group *group, const struct world_item *current)
{
	struct world_item *item = &group->items[group->n++];

	*item = *current;
	item->bytes = malloc(current->size);
	must(item->bytes != NULL, "out of memory");
	memcpy(item->bytes, current->bytes, current->size);
}

static void say_sent(const struct group *group)
{
	for (size_t i = 0; i < group->n; i++) {
		char hex[65];
		hash_to_hex(&group->items[i].value, hex);
		say("sent %s %s %llu %s\n", group->label, group->items[i].name, (unsigned long long)group->items[i].seq,
		    hex);
	}
}

static struct group *make_group(struct writer *writer)
{
	struct group *group = &writer->kept[writer->made % KEPT];
	struct world_state *state = writer->state;

	group_finish(group);
	snprintf(group->label, sizeof group->label, "%s.%u", state->code, writer->made);
	writer->world->now = (int64_t)time(NULL);
	if (writer->made % BUNDLE_EVERY == BUNDLE_EVERY - 1) {
		world_next_users(writer->world, state, true, NULL);
		take_item(group, &state->users);
	}
	world_next_record(writer->world, state, false, NULL);
	take_item(group, &state->record);
	for (size_t i = 0; i < WORLD_SECTIONS; i++) {
		group->sections[i] = state->sections[i];
		state->sections[i] = (ProtobufCBinaryData){0};
	}
	writer->made++;
	say_sent(group);
	return group;
}

/* ---- Sending */

static int call(struct writer *writer, Poc__Request *request, Poc__Response **answer, struct refusal *why)
{
	uint32_t id;
	int64_t deadline = transport_clock() + CALL_MS;

	*answer = NULL;
	int status = transport_send(writer->transport, request, &id, deadline, why);
	return status != 0 ? status : transport_receive(writer->transport, id, deadline, answer, why);
}

static void disconnect(struct writer *writer)
{
	transport_close(writer->transport);
	writer->transport = NULL;
}

static int greet(struct writer *writer, struct refusal *why)
{
	Poc__Hello hello = POC__HELLO__INIT;
	Poc__Request request = POC__REQUEST__INIT;
	Poc__Response *answer;

	hello.directory_id = (ProtobufCBinaryData){HASH_SIZE, writer->world->directory_id.bytes};
	hello.protocol = 1;
	hello.state = writer->state->code;
	hello.software = "crash";
	request.body_case = POC__REQUEST__BODY_HELLO;
	request.hello = &hello;
	int status = call(writer, &request, &answer, why);
	message_free(answer);
	return status;
}

static int connect_server(struct writer *writer, struct refusal *why)
{
	if (writer->transport != NULL)
		return 0;
	int status = transport_open(writer->context, address, transport_clock() + CALL_MS, &writer->transport, why);
	if (status == 0)
		status = greet(writer, why);
	if (status != 0)
		disconnect(writer);
	return status;
}

static int submit(struct writer *writer, const struct group *group, bool wait_proven, Poc__Response **answer,
		  struct refusal *why)
{
	Poc__Write writes[GROUP_MAX], *pointers[GROUP_MAX];
	Poc__Submit message = POC__SUBMIT__INIT;
	Poc__Request request = POC__REQUEST__INIT;

	for (size_t i = 0; i < group->n; i++) {
		poc__write__init(&writes[i]);
		writes[i].envelope = (ProtobufCBinaryData){group->items[i].size, group->items[i].bytes};
		pointers[i] = &writes[i];
	}
	writes[group->n - 1].sections = (ProtobufCBinaryData *)group->sections;
	writes[group->n - 1].n_sections = WORLD_SECTIONS;
	message.writes = pointers;
	message.n_writes = group->n;
	message.wait_proven = wait_proven;
	request.body_case = POC__REQUEST__BODY_SUBMIT;
	request.submit = &message;
	return call(writer, &request, answer, why);
}

/* ---- Answers */

static bool right_result(const struct group *group, size_t i, const Poc__WriteResult *result)
{
	if (strcmp(result->name, group->items[i].name) != 0 || result->seq != group->items[i].seq ||
	    result->value.len != HASH_SIZE || memcmp(result->value.data, group->items[i].value.bytes, HASH_SIZE) != 0)
		return false;
	return !group->acknowledged ||
	       (result->repeated && result->leaf == group->leaf[i] && result->stored_ms == group->stored_ms[i]);
}

static void take_answer(struct group *group, const Poc__SubmitAnswer *answer)
{
	for (size_t i = 0; i < group->n; i++) {
		const Poc__WriteResult *result = i < answer->n_results ? answer->results[i] : NULL;
		char hex[65];
		if (result == NULL || !right_result(group, i, result)) {
			say("fault %s got another answer than its first\n", group->label);
			return;
		}
		group->leaf[i] = result->leaf;
		group->stored_ms[i] = result->stored_ms;
		hash_to_hex(&group->items[i].value, hex);
		say("ack %s %s %llu %s %llu %lld %llu %d %llu\n", group->label, group->items[i].name,
		    (unsigned long long)group->items[i].seq, hex, (unsigned long long)result->leaf,
		    (long long)result->stored_ms, (unsigned long long)answer->checkpoint_size, result->repeated,
		    nanoseconds());
	}
	group->acknowledged = true;
}

/* An error answer; true if the same may be sent again. */
static bool take_refusal(const struct group *group, const Poc__Response *answer)
{
	if (answer->body_case != POC__RESPONSE__BODY_ERROR) {
		say("fault %s got something else than an answer to a write\n", group->label);
		return false;
	}
	const Poc__Error *error = answer->error;
	say("refused %s %u %u %.400s\n", group->label, error->code, error->retry_after_ms, error->message);
	return error->may_retry;
}

/* One attempt; true when there is nothing left to try. */
static bool attempt(struct writer *writer, struct group *group, bool wait_proven)
{
	Poc__Response *answer = NULL;
	struct refusal why = {0};
	bool done = false;

	int status = connect_server(writer, &why);
	if (status == 0)
		status = submit(writer, group, wait_proven, &answer, &why);
	if (status == 0 && answer->body_case == POC__RESPONSE__BODY_SUBMIT) {
		take_answer(group, answer->submit);
		done = true;
	} else if (answer != NULL && !take_refusal(group, answer)) {
		say("fault %s cannot be stored: %.400s\n", group->label, why.message);
		done = true;
	} else {
		pause_ms(answer != NULL ? 10 * PAUSE_MS : PAUSE_MS);
	}
	message_free(answer);
	if (writer->transport != NULL && !transport_usable(writer->transport))
		disconnect(writer);
	return done;
}

/* Sends a group until it is acknowledged. */
static void deliver(struct writer *writer, struct group *group, bool wait_proven)
{
	while (!attempt(writer, group, wait_proven))
		;
}

static void *write_on(void *ctx)
{
	struct writer *writer = ctx;

	while (!atomic_load(&journal_stop)) {
		unsigned turn = writer->made;
		deliver(writer, make_group(writer), turn % 2 == 0);
		if (turn % REPEAT_EVERY == REPEAT_EVERY - 1)
			deliver(writer, &writer->kept[(turn * 7u) % KEPT % writer->made], turn % 3 == 0);
	}
	for (unsigned i = 0; i < KEPT && i < writer->made; i++)
		deliver(writer, &writer->kept[i], true);
	disconnect(writer);
	return NULL;
}

/* ---- A client that verifies and never goes back */

static struct poc *open_reader(void)
{
	char certificate[4200], key[4200], state[4200], message[400];
	struct poc *poc;

	snprintf(certificate, sizeof certificate, "%s/reader.crt", journal_folder);
	snprintf(key, sizeof key, "%s/reader.key", journal_folder);
	snprintf(state, sizeof state, "%s/state", journal_folder);
	struct poc_options options = {.servers = address,
				      .server_pin = server_pin,
				      .directory_id = directory_id,
				      .user_state = reader_state,
				      .certificate = certificate,
				      .key = key,
				      .state_dir = state};
	must(poc_open(&options, &poc, message, sizeof message) == 0, message);
	return poc;
}

static void *follow(void *ctx)
{
	struct poc *poc = open_reader();
	uint64_t size = 0;

	(void)ctx;
	while (!atomic_load(&journal_stop)) {
		struct poc_facts facts;
		int status = poc_connect(poc);
		if (status == 0 && poc_facts(poc, &facts) == 0) {
			if (facts.size < size)
				say("fault the head went back from %llu to %llu\n", (unsigned long long)size,
				    (unsigned long long)facts.size);
			if (facts.size != size)
				say("head %llu %llu\n", (unsigned long long)facts.size, nanoseconds());
			size = facts.size;
		} else if (status == STATUS_UNVERIFIED || status == STATUS_BEHIND || status == STATUS_DAMAGED) {
			say("fault a reader: %s\n", poc_error(poc));
		}
		pause_ms(2 * PAUSE_MS);
	}
	poc_close(poc);
	return NULL;
}

/* ---- Setting up */

static struct keystore_key *open_key(const char *path)
{
	struct keystore_key *key;
	struct refusal why = {0};

	must(keystore_open(path, NULL, &key, &why) == 0, why.message);
	return key;
}

static void make_writer(struct writer *writer, const char *line)
{
	struct world *world = calloc(1, sizeof *world);
	char path[4200], users[65], record[65], code[STATE_MAX_LENGTH + 1];
	unsigned long long users_seq, record_seq;
	struct refusal why = {0};

	must(world != NULL, "out of memory");
	must(sscanf(line, "%2s %llu %64s %llu %64s", code, &users_seq, users, &record_seq, record) == 5, "writers");
	must(hash_from_hex(directory_id, &world->directory_id) == 0, "directory");
	struct world_state *state = &world->states[0];
	world->n_states = 1;
	strcpy(state->code, code);
	state->users.seq = users_seq;
	state->record.seq = record_seq;
	must(hash_from_hex(users, &state->users.value) == 0 && hash_from_hex(record, &state->record.value) == 0,
	     "writers");
	snprintf(path, sizeof path, "%s/%s.key", journal_folder, code);
	state->coordinator = open_key(path);
	state->reader = keystore_ephemeral(KEY_ED25519);
	state->operator_ = keystore_ephemeral(KEY_P256);
	state->alert = keystore_ephemeral(KEY_ED25519);
	state->reading = keystore_ephemeral(KEY_P384);
	snprintf(path, sizeof path, "%s/%s.crt", journal_folder, code);
	must(transport_context_create(path, state->coordinator, &writer->context, &why) == 0, why.message);
	writer->world = world;
	writer->state = state;
}

static void free_writer(struct writer *writer)
{
	struct world_state *state = writer->state;

	for (size_t i = 0; i < KEPT; i++)
		group_finish(&writer->kept[i]);
	world_item_finish(&state->users);
	world_item_finish(&state->record);
	transport_context_destroy(writer->context);
	keystore_close(state->coordinator);
	keystore_close(state->reader);
	keystore_close(state->operator_);
	keystore_close(state->alert);
	keystore_close(state->reading);
	free(writer->world);
}

static size_t make_writers(struct writer *writers)
{
	char line[400];
	size_t n = 0;
	FILE *list = open_list("directory");

	must(fscanf(list, "%99s %64s %64s %2s", address, directory_id, server_pin, reader_state) == 4, "directory");
	fclose(list);
	list = open_list("writers");
	while (n < WRITERS_MAX && fgets(line, sizeof line, list) != NULL)
		make_writer(&writers[n++], line);
	fclose(list);
	return n;
}

int main(int argc, char **argv)
{
	static struct writer writers[WRITERS_MAX];
	pthread_t follower;

	if (!journal_begin(argc, argv))
		return 2;
	size_t n = make_writers(writers);
	must(pthread_create(&follower, NULL, follow, NULL) == 0, "a thread cannot start");
	for (size_t i = 0; i < n; i++)
		must(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]) == 0, "a thread cannot start");
	journal_wait();
	for (size_t i = 0; i < n; i++) {
		pthread_join(writers[i].thread, NULL);
		free_writer(&writers[i]);
	}
	pthread_join(follower, NULL);
	journal_end();
	return 0;
}
