/* liar --list | --attack NAME DIR: a server that tells the truth until it is told to lie.
 *
 * Writes keys, certificates and configurations of XA's reader and operator into the empty folder DIR, says "ready",
 * then obeys lines on standard input: "lie", "truth"; answers each with the same word; ends at the end of input. --list
 * prints the attacks as rows of a Markdown table. */
#include <fcntl.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/keys/keystore_file.h"
#include "proto/wire/frame.h"
#include "proto/wire/prescan.h"
#include "tests/liar/liar.h"
#include "tests/lib/tiny_server.h"

enum { PATH_ROOM = 512 };

static void check(bool good, const char *what)
{
	if (!good) {
		fprintf(stderr, "liar: %s\n", what);
		exit(1);
	}
}

static void list(void)
{
	for (size_t i = 0; i < n_attacks; i++)
		printf("| `%s` | %s | %s | %s | %d |\n", attacks[i].name, attacks[i].what, attacks[i].who,
		       attacks[i].when, attacks[i].exit);
}

/* ---- Files */

static void path_of(char out[PATH_ROOM], const char *dir, const char *name, const char *kind)
{
	check((size_t)snprintf(out, PATH_ROOM, "%s/%s.%s", dir, name, kind) < PATH_ROOM, "DIR is too long");
}

static FILE *new_file(const char *dir, const char *name, const char *kind)
{
	char path[PATH_ROOM];

	path_of(path, dir, name, kind);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
	check(file != NULL, path);
	return file;
}

static void write_key(const char *dir, const char *name, const struct keystore_key *key)
{
	char path[PATH_ROOM];
	FILE *file = new_file(dir, name, "key");

	check(PEM_write_PrivateKey(file, keystore_pkey(key), NULL, NULL, 0, NULL, NULL) == 1 && fclose(file) == 0,
	      "cannot write a key");
	path_of(path, dir, name, "pem");
	check(keystore_write_certificate(key, name, path, NULL) == 0, "cannot write a certificate");
}

static void write_user(const char *dir, const char *name, const struct keystore_key *key, const struct liar *liar,
		       const char *address)
{
	char id[2 * HASH_SIZE + 1], pin[2 * HASH_SIZE + 1];

	write_key(dir, name, key);
	hash_to_hex(&liar->world->directory_id, id);
	hash_to_hex(&keystore_public(liar->world->states[0].operator_)->id, pin);
	FILE *file = new_file(dir, name, "conf");
	fprintf(file, "[directory]\nserver = %s\nserver_pin = %s\nid = %s\n", address, pin, id);
	fprintf(file, "[user]\nstate = XA\ncert = %s.pem\nkey = %s.key\n[state]\ndir = %s.state\n", name, name, name);
	check(fclose(file) == 0, "cannot write a configuration");
}

/* ---- Answers */

static void frame(Poc__Response *response, uint32_t id, uint8_t **bytes, size_t *size)
{
	uint8_t *packed;
	size_t packed_size;

	response->id = id;
	check(message_encode(response, &packed, &packed_size) == 0, "encode");
	*size = FRAME_HEADER + packed_size;
	*bytes = malloc(*size);
	check(*bytes != NULL, "memory");
	frame_put_header(*bytes, (uint32_t)packed_size);
	memcpy(*bytes + FRAME_HEADER, packed, packed_size);
	free(packed);
}

static void answer_hello(const Poc__Request *request, uint8_t **bytes, size_t *size)
{
	Poc__Response response = POC__RESPONSE__INIT;
	Poc__HelloAnswer hello = POC__HELLO_ANSWER__INIT;

	hello.protocol = 1;
	hello.software = (char *)"liar";
	hello.handle = (char *)"somebody";
	response.body_case = POC__RESPONSE__BODY_HELLO;
	response.hello = &hello;
	frame(&response, request->id, bytes, size);
}

static void answer_changes(struct book *book, const Poc__Request *request, uint8_t **bytes, size_t *size)
{
	static struct book_page page;
	Poc__Response response = POC__RESPONSE__INIT;

	book_changes(book, request->changes, &page);
	response.body_case = POC__RESPONSE__BODY_CHANGES;
	response.changes = &page.answer;
	frame(&response, request->id, bytes, size);
}

static void answer_proof(struct liar *liar, struct book *book, const Poc__Request *request, uint8_t **bytes,
			 size_t *size)
{
	static struct book_answer answer;
	Poc__Response response = POC__RESPONSE__INIT;
	uint8_t *proof;
	size_t proof_size;

	if (request->body_case == POC__REQUEST__BODY_GET_HEAD)
		book_head(book, request->get_head, &answer);
	else if (request->body_case == POC__REQUEST__BODY_LOOKUP)
		book_lookup(book, request->lookup, &answer);
	else
		book_envelopes(book, request->get_envelopes, &answer);
	if (liar->lying && liar->attack->bend != NULL)
		liar->attack->bend(liar, request, &answer);
	check(message_encode(&answer.proof, &proof, &proof_size) == 0, "encode");
	ProtobufCBinaryData packed = {proof_size, proof};
	if (request->body_case == POC__REQUEST__BODY_GET_HEAD) {
		answer.head.proof = packed;
		response.body_case = POC__RESPONSE__BODY_HEAD;
		response.head = &answer.head;
	} else {
		response.body_case = POC__RESPONSE__BODY_PROOF;
		response.proof = packed;
	}
	frame(&response, request->id, bytes, size);
	free(proof);
}

static void answer_feed(struct liar *liar, const Poc__Request *request, uint8_t **bytes, size_t *size)
{
	static struct letter_feed feed;
	Poc__Response response = POC__RESPONSE__INIT;

	letter_feed(liar->lying ? &liar->false_letter : &liar->letter, request->feed, &feed);
	if (liar->lying)
		letter_feed_more(&liar->foreign, request->feed, &feed);
	response.body_case = POC__RESPONSE__BODY_FEED;
	response.feed = &feed.answer;
	frame(&response, request->id, bytes, size);
}

static const struct letter *told_letter(const struct liar *liar, const Poc__GetNotice *get)
{
	if (!liar->lying)
		return &liar->letter;
	return liar->foreign.n > 0 && memcmp(get->id.data, liar->foreign.id.bytes, NOTICE_ID_SIZE) == 0
		   ? &liar->foreign
		   : &liar->false_letter;
}

static void answer_story(struct liar *liar, struct book *book, const Poc__Request *request, uint8_t **bytes,
			 size_t *size)
{
	static struct letter_story story;
	Poc__Response response = POC__RESPONSE__INIT;
	Poc__StoryAnswer answer = POC__STORY_ANSWER__INIT;

	letter_story(told_letter(liar, request->get_notice), book, request->get_notice->checkpoint_size, &story);
	if (liar->lying && liar->attack->bend_story != NULL)
		liar->attack->bend_story(liar, &story);
	check(message_encode(&story.story, &answer.story.data, &answer.story.len) == 0, "encode");
	answer.steps = (uint32_t)story.story.n_steps;
	response.body_case = POC__RESPONSE__BODY_STORY;
	response.story = &answer;
	frame(&response, request->id, bytes, size);
	free(answer.story.data);
}

/* Answers are made one after the other, and not while the liar thinks of another story. */
static pthread_mutex_t thought = PTHREAD_MUTEX_INITIALIZER;

static void answer_one(struct liar *liar, const Poc__Request *request, uint8_t **bytes, size_t *size)
{
	struct book *book = liar->lying ? &liar->lie : liar->has_lied ? &liar->after : &liar->truth;

	if (liar->lying && liar->attack->raw != NULL && liar->attack->raw(liar, request, bytes, size))
		return;
	switch (request->body_case) {
	case POC__REQUEST__BODY_HELLO:
		answer_hello(request, bytes, size);
		break;
	case POC__REQUEST__BODY_CHANGES:
		answer_changes(book, request, bytes, size);
		break;
	case POC__REQUEST__BODY_FEED:
		answer_feed(liar, request, bytes, size);
		break;
	case POC__REQUEST__BODY_GET_NOTICE:
		answer_story(liar, book, request, bytes, size);
		break;
	case POC__REQUEST__BODY_GET_HEAD:
	case POC__REQUEST__BODY_LOOKUP:
	case POC__REQUEST__BODY_GET_ENVELOPES:
		answer_proof(liar, book, request, bytes, size);
		break;
	default:
		break; /* the connection is closed */
	}
}

static void answer(void *ctx, const char *state, const Poc__Request *request, uint8_t **bytes, size_t *size)
{
	(void)state;
	pthread_mutex_lock(&thought);
	answer_one(ctx, request, bytes, size);
	pthread_mutex_unlock(&thought);
}

/* ---- */

struct shown {
	char certificate[PATH_ROOM], other_certificate[PATH_ROOM];
};

static void obey(struct liar *liar, struct tiny_server *server, const struct shown *shown, const char *word)
{
	bool lie = strcmp(word, "lie") == 0;

	check(lie || strcmp(word, "truth") == 0, "say lie or truth");
	pthread_mutex_lock(&thought);
	if (!lie && liar->has_lied)
		liar_repent(liar);
	liar->has_lied = liar->has_lied || lie;
	liar->lying = lie;
	pthread_mutex_unlock(&thought);
	if (liar->attack->other_key)
		tiny_server_show(server, lie ? shown->other_certificate : shown->certificate,
				 lie ? liar->stranger : liar->world->states[0].operator_);
	printf("%s\n", word);
	fflush(stdout);
}

static void serve(const struct attack *attack, const char *dir)
{
	struct liar *liar = liar_create(attack);
	const struct world_state *xa = world_state(liar->world, "XA");
	struct shown shown;
	char line[32];

	write_key(dir, "server", liar->world->states[0].operator_);
	write_key(dir, "stranger", liar->stranger);
	path_of(shown.certificate, dir, "server", "pem");
	path_of(shown.other_certificate, dir, "stranger", "pem");
	struct tiny_server *server = tiny_server_start(shown.certificate, liar->world->states[0].operator_, NULL);
	tiny_server_answer(server, answer, liar);
	write_user(dir, "reader", xa->reader, liar, tiny_server_address(server));
	write_user(dir, "operator", xa->operator_, liar, tiny_server_address(server));
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		obey(liar, server, &shown, line);
	}
	tiny_server_stop(server);
	liar_destroy(liar);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		list();
		return 0;
	}
	check(argc == 4 && strcmp(argv[1], "--attack") == 0, "usage: liar --list | liar --attack NAME DIR");
	const struct attack *attack = attack_find(argv[2]);
	check(attack != NULL, "there is no such attack");
	serve(attack, argv[3]);
	return 0;
}
