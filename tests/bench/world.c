/* world: makes a directory for the bench, in-process: a folder that pocd can serve and that load can ask.
 *
 *   world FOLDER [--port N] [--states N] [--units N] [--users N] [--leaves N] [--publish N] [--notices N] [--stored N]
 *         [--alerts N] [--rounds N] [--mirror PORT]
 *
 * N states, each with so many users in its U and so many units, all with a record.  --leaves fills the log up to at
 * least so many leaves with earlier versions of the units' records: only their hashes matter, so their bytes are no
 * envelopes and `pocadm check` refuses such a folder.  --publish also writes files of ready Submit frames, publish-1,
 * publish-2, ...: each has the next versions of the first so many units' records, and follows the one before.
 * --notices writes files of ready Post frames, notices-1, notices-2, ...: each so many notices from the operator of the
 * first state to the others' desks; and alerts, --alerts of them or a tenth as many, all
 * to the second state's.
 * --stored puts so many of these into the directory, past the judging of their signatures.
 * --mirror writes mirror.conf too, of a mirror of the first state that has nothing yet, and then the earlier versions
 * are real ones, signed, with a checkpoint after each thousand, so that it can judge them.
 *
 * FOLDER gets pocd.conf, server.crt, keys/, data/, and for load: directory.id, clients.txt (state, certificate, key),
 * places.txt; posters.txt and watchers.txt (as clients.txt) name the operators of the first and the second state. */
#include <errno.h>
#include <getopt.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "pocd/base/clock.h"
#include "pocd/directory/inbox.h"
#include "pocd/ledger/ledger.h"
#include "proto/keys/keystore_file.h"
#include "proto/rules/rules.h"
#include "proto/rules/users.h"
#include "proto/wire/frame.h"
#include "proto/wire/poc.pb-c.h"
#include "proto/wire/prescan.h"
#include "tests/bench/letters.h"
#include "tests/lib/world.h"

enum {
	PATH_SIZE = 4096,
	CLIENTS = 8,
	COMMIT_PUTS = 100000,
	COMMIT_SECTIONS = 10000 /* staged ones are searched */,
	STATES_MAX = 280,
	UNITS_MAX = 1000,
	USERS_MAX = 150,
	COMMIT_POSTS = 2000,
	CHECKPOINT_PUTS = 1000 /* of a log that is mirrored */
};

struct options {
	const char *folder;
	size_t states, units, users, leaves, publish, notices, alerts, stored, rounds, port, mirror;
};

struct making {
	struct options options;
	struct world *world;
	struct store *store;
	struct ledger *ledger;
	size_t staged, staged_sections;
	struct world_item *units;    /* the current version of each unit's record, without bytes */
	struct keystore_key *mirror; /* NULL: none */
};

static void fail(const char *what, const char *detail)
{
	fprintf(stderr, "world: %s%s%s\n", what, detail[0] != '\0' ? ": " : "", detail);
	exit(1);
}

static void check(int status, const struct refusal *why)
{
	if (status != 0)
		fail(status_text(status), why->message);
}

/* ---- Files */

static const char *path_in(const struct making *making, const char *name)
{
	static char path[PATH_SIZE];

	snprintf(path, sizeof path, "%s/%s", making->options.folder, name);
	return path;
}

static FILE *create(const struct making *making, const char *name)
{
	FILE *file = fopen(path_in(making, name), "wb");

	if (file == NULL)
		fail(path_in(making, name), strerror(errno));
	return file;
}

static void finish_file(FILE *file)
{
	if (ferror(file) != 0 || fclose(file) != 0)
		fail("cannot write", strerror(errno));
}

static void make_folders(const struct making *making)
{
	if (mkdir(making->options.folder, 0700) != 0 || mkdir(path_in(making, "keys"), 0700) != 0)
		fail(making->options.folder, strerror(errno));
}

static void write_key(const struct making *making, const char *name, const struct keystore_key *key)
{
	FILE *file = create(making, name);

	if (PEM_write_PrivateKey(file, keystore_pkey(key), NULL, NULL, 0, NULL, NULL) != 1 ||
	    fchmod(fileno(file), 0600) != 0)
		fail("a key cannot be written", name);
	finish_file(file);
}

static void write_certificate(const struct making *making, const char *name, const struct keystore_key *key)
{
	struct refusal why = {0};

	check(keystore_write_certificate(key, "bench", path_in(making, name), &why), &why);
}

static void write_client(const struct making *making, FILE *file, const char *state, const char *role,
			 const struct keystore_key *user)
{
	char cert[64], key[64];

	snprintf(cert, sizeof cert, "%s-%s.crt", state, role);
	snprintf(key, sizeof key, "keys/%s-%s.key", state, role);
	write_certificate(making, cert, user);
	write_key(making, key, user);
	fprintf(file, "%s %s %s\n", state, cert, key);
}

/* Readers of the first states, or of the mirror's alone, which gives others less. */
static void write_clients(const struct making *making)
{
	FILE *file = create(making, "clients.txt");
	const size_t n = making->mirror != NULL ? 1 : CLIENTS;

	for (size_t i = 0; i < n && i < making->options.states; i++) {
		const struct world_state *state = &making->world->states[1 + i];
		write_client(making, file, state->code, "reader", state->reader);
	}
	finish_file(file);
}

static void write_operator(const struct making *making, const char *name, const struct world_state *state)
{
	FILE *file = create(making, name);

	write_client(making, file, state->code, "operator", state->operator_);
	finish_file(file);
}

static const char *unit_name(size_t unit)
{
	static char name[UNIT_MAX_LENGTH];

	snprintf(name, sizeof name, "unit-%03zu", unit % UNITS_MAX);
	return name;
}

static void write_places(const struct making *making)
{
	FILE *file = create(making, "places.txt");

	for (size_t i = 0; i < making->options.states; i++) {
		fprintf(file, "%s\n", making->world->states[1 + i].code);
		for (size_t unit = 0; unit < making->options.units; unit++)
			fprintf(file, "%s/%s\n", making->world->states[1 + i].code, unit_name(unit));
	}
	finish_file(file);
}

static void write_mirror(const struct making *making, const struct hash *server)
{
	char pin[2 * HASH_SIZE + 1], id[2 * HASH_SIZE + 1];

	hash_to_hex(server, pin);
	hash_to_hex(&making->world->directory_id, id);
	write_key(making, "keys/mirror.key", making->mirror);
	write_certificate(making, "mirror.crt", making->mirror);
	FILE *conf = create(making, "mirror.conf");
	fprintf(conf,
		"[server]\nlisten = 127.0.0.1:%zu\nthreads = 1\ncert = mirror.crt\nkey = keys/mirror.key\n\n"
		"[store]\npath = mirror\n\n[follow]\nserver = 127.0.0.1:%zu\nserver_pin = %s\nid = %s\nstate = %s\n\n"
		"[limits]\nconnections_per_address = 10000\nhandshakes = 10000\n\n"
		"[diagnostics]\nlevel = info\nfile = mirror.log\n",
		making->options.mirror, making->options.port, pin, id, making->world->states[1].code);
	finish_file(conf);
}

static void write_server(const struct making *making)
{
	struct keystore_key *server = keystore_ephemeral(KEY_ED25519);

	if (server == NULL)
		fail("no key", "");
	write_key(making, "keys/server.key", server);
	write_certificate(making, "server.crt", server);
	if (making->mirror != NULL)
		write_mirror(making, &keystore_public(server)->id);
	keystore_close(server);
	write_key(making, "keys/log.key", making->world->log);
	FILE *conf = create(making, "pocd.conf");
	fprintf(conf, "[server]\nlisten = 127.0.0.1:%zu\n", making->options.port);
	fputs("threads = 1\ncert = server.crt\nkey = keys/server.key\n\n[store]\npath = data\n\n[log]\nkey = "
	      "keys/log.key\n\n"
	      "[notices]\nper_hour = 0\nbacklog = 0\n\n"
	      "[limits]\nchanges_per_hour = 0\nconnections_per_address = 10000\nhandshakes = 10000\n\n"
	      "[diagnostics]\nlevel = warning\n",
	      conf);
	finish_file(conf);
	FILE *id = create(making, "directory.id");
	fwrite(making->world->directory_id.bytes, 1, HASH_SIZE, id);
	finish_file(id);
}

/* ---- States */

/* U with so many readers, so that pins are looked up among many; and a mirror, if there is one. */
static void add_users(struct making *making, struct world_state *state, size_t n, struct keystore_key *mirror)
{
	const size_t readers = n;
	Poc__Users users = POC__USERS__INIT;
	Poc__User list[USERS_MAX + 1], *pointers[USERS_MAX + 1];
	Poc__Role reads = POC__ROLE__ROLE_READER, mirrors = POC__ROLE__ROLE_MIRROR;
	Poc__Head head;
	char name[16], handles[USERS_MAX + 1][16];
	struct keystore_key *keys[USERS_MAX + 1];

	snprintf(name, sizeof name, "U/%s", state->code);
	head_fill(&head, &making->world->directory_id, name, 1, NULL);
	for (size_t i = 0; i < readers; i++) {
		keys[i] = i == 0 ? state->reader : keystore_ephemeral(KEY_ED25519);
		snprintf(handles[i], sizeof handles[i], "reader-%03zu", i % 1000);
	}
	if (mirror != NULL) {
		strcpy(handles[n], "site");
		keys[n++] = mirror;
	}
	for (size_t i = 0; i < n; i++) {
		if (keys[i] == NULL)
			fail("no key", "");
		const struct public_key *key = keystore_public(keys[i]);
		poc__user__init(&list[i]);
		list[i].handle = handles[i];
		list[i].spki = (ProtobufCBinaryData){key->spki_size, (uint8_t *)key->spki};
		list[i].roles = i < readers ? &reads : &mirrors;
		list[i].n_roles = 1;
		pointers[i] = &list[i];
	}
	users.head = &head;
	users.issued = making->world->now;
	users.users = pointers;
	users.n_users = n;
	world_sign(&users.base, &state->coordinator, 1, &state->users);
	for (size_t i = 1; i < readers; i++)
		keystore_close(keys[i]);
}

static void make_states(struct making *making)
{
	making->world = world_create((int64_t)time(NULL));
	for (size_t i = 0; i < making->options.states; i++) {
		char code[3] = {(char)('A' + i / 26), (char)('A' + i % 26), '\0'};
		struct world_state *state = world_add_state(making->world, code);
		if (making->options.users > 0)
			add_users(making, state, making->options.users, NULL);
	}
	if (making->options.mirror > 0) {
		making->mirror = keystore_ephemeral(KEY_ED25519);
		add_users(making, &making->world->states[1], making->options.users > 0 ? making->options.users : 1,
			  making->mirror);
	}
	/* of all versions of S only the last one goes into the log: so it is the first */
	world_item_finish(&making->world->reg);
	world_next_register(making->world, NULL);
}

/* ---- The ledger */

static void commit(struct making *making)
{
	struct refusal why = {0};

	check(ledger_commit(making->ledger, &why), &why);
	making->staged = making->staged_sections = 0;
}

static void stage(struct making *making, struct ledger_put *put)
{
	struct refusal why = {0};

	check(ledger_stage(making->ledger, put, 1, &why), &why);
	making->staged++;
	making->staged_sections += put->n_sections;
	if (making->staged >= COMMIT_PUTS || making->staged_sections >= COMMIT_SECTIONS)
		commit(making);
}

static void put_item(struct making *making, const struct world_item *item, const ProtobufCBinaryData *sections,
		     size_t n)
{
	struct ledger_section list[WORLD_SECTIONS];
	struct ledger_put put = {.name = item->name,
				 .value = item->value,
				 .seq = item->seq,
				 .envelope = item->bytes,
				 .envelope_size = item->size,
				 .n_sections = n,
				 .sections = list};

	for (size_t i = 0; i < n; i++)
		list[i] = (struct ledger_section){hash_section(sections[i].data, sections[i].len), sections[i].data,
						  sections[i].len};
	stage(making, &put);
}

static void put_states(struct making *making)
{
	put_item(making, &making->world->trust, NULL, 0);
	put_item(making, &making->world->reg, NULL, 0);
	for (size_t i = 0; i < making->world->n_states; i++) {
		const struct world_state *state = &making->world->states[i];
		put_item(making, &state->keys, NULL, 0);
		put_item(making, &state->users, NULL, 0);
		if (state->record.bytes != NULL)
			put_item(making, &state->record, state->sections, WORLD_SECTIONS);
	}
}

/* An earlier version, of which only the hash counts. */
static void put_filler(struct making *making, const char *unit, const struct world_state *state,
		       struct world_item *item)
{
	char bytes[128];
	int size;

	snprintf(item->name, sizeof item->name, "R/%.2s/%.40s", state->code, unit);
	item->seq++;
	size = snprintf(bytes, sizeof bytes, "%s version %llu", item->name, (unsigned long long)item->seq);
	item->value = hash_of(bytes, (size_t)size);
	struct ledger_put put = {.name = item->name,
				 .value = item->value,
				 .seq = item->seq,
				 .envelope = (const uint8_t *)bytes,
				 .envelope_size = (size_t)size};
	stage(making, &put);
}

static void forget_bytes(struct world_item *item, ProtobufCBinaryData *section)
{
	free(section->data);
	free(item->bytes);
	item->bytes = NULL;
}

static void put_version(struct making *making, size_t i)
{
	const size_t units = making->options.units;
	struct world_state *state = &making->world->states[1 + i / units];
	struct world_item *item = &making->units[i];
	ProtobufCBinaryData section;

	world_next_unit_record(making->world, state, unit_name(i % units), item, &section);
	put_item(making, item, &section, 1);
	forget_bytes(item, &section);
}

/* All units' versions in turn. */
static void put_mirrored(struct making *making, size_t n, size_t versions)
{
	struct refusal why = {0};

	for (size_t i = 0; i < n * versions; i++) {
		put_version(making, i % n);
		if (i % CHECKPOINT_PUTS == 0) {
			commit(making);
			check(ledger_publish(making->ledger, &why), &why);
		}
	}
}

static void put_units(struct making *making)
{
	const struct options *options = &making->options;
	size_t n = options->states * options->units, fillers = n > 0 ? options->leaves / n : 0;

	making->units = calloc(n + 1, sizeof *making->units);
	if (making->units == NULL)
		fail("out of memory", "");
	if (making->mirror != NULL) {
		put_mirrored(making, n, fillers + 1);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < fillers; k++)
			put_filler(making, unit_name(i % options->units),
				   &making->world->states[1 + i / options->units], &making->units[i]);
		put_version(making, i);
	}
}

static void make_ledger(struct making *making)
{
	struct refusal why = {0};
	struct envelope *trust;
	char path[PATH_SIZE];

	snprintf(path, sizeof path, "%s/data", making->options.folder);
	struct store_lmdb_options store = {.path = path, .create = 1};
	check(store_lmdb_open(&store, &making->store, &why), &why);
	check(envelope_parse(making->world->trust.bytes, making->world->trust.size, &trust, &why), &why);
	struct ledger_options ledger = {.store = making->store,
					.origin = trust->payload.trust->origin,
					.log_keys = &making->world->log,
					.n_log_keys = 1,
					.now_ms = clock_now_ms};
	check(ledger_open(&ledger, &making->ledger, &why), &why);
	envelope_destroy(trust);
	put_states(making);
	put_units(making);
	commit(making);
	check(ledger_publish(making->ledger, &why), &why);
}

/* ---- What will be published */

static void write_frame(FILE *file, const struct world_item *item, const ProtobufCBinaryData *section)
{
	Poc__Request request = POC__REQUEST__INIT;
	Poc__Submit submit = POC__SUBMIT__INIT;
	Poc__Write write = POC__WRITE__INIT, *writes[] = {&write};
	ProtobufCBinaryData sections[] = {*section};
	uint8_t header[FRAME_HEADER], *bytes;
	size_t size;

	write.envelope = (ProtobufCBinaryData){item->size, item->bytes};
	write.sections = sections;
	write.n_sections = 1;
	submit.writes = writes;
	submit.n_writes = 1;
	request.id = 1;
	request.body_case = POC__REQUEST__BODY_SUBMIT;
	request.submit = &submit;
	if (message_encode(&request, &bytes, &size) != 0)
		fail("out of memory", "");
	frame_put_header(header, (uint32_t)size);
	fwrite(header, 1, sizeof header, file);
	fwrite(bytes, 1, size, file);
	free(bytes);
}

static void write_publish(struct making *making, size_t round)
{
	const struct options *options = &making->options;
	ProtobufCBinaryData section;
	char name[32];

	snprintf(name, sizeof name, "publish-%zu", round);
	FILE *file = create(making, name);
	for (size_t i = 0; i < options->publish && i < options->states * options->units; i++) {
		struct world_state *state = &making->world->states[1 + i / options->units];
		struct world_item *item = &making->units[i];
		world_next_unit_record(making->world, state, unit_name(i % options->units), item, &section);
		write_frame(file, item, &section);
		forget_bytes(item, &section);
	}
	finish_file(file);
}

static void write_letters(struct making *making, const char *name, size_t n_to, size_t n)
{
	struct world_state *states = making->world->states;
	struct refusal why = {0};
	FILE *file = create(making, name);

	if (letters_write(file, making->world, &states[1], &states[2], n_to, n, &why) != 0)
		fail(name, why.message);
	finish_file(file);
}

/* ---- Notices that are there already */

struct storing {
	struct making *making;
	struct inbox *inbox;
	uint64_t publication; /* by which all of them pass as judged */
	size_t staged;
};

static void commit_posts(struct storing *storing)
{
	struct refusal why = {0};

	check(inbox_flush(storing->inbox, &why), &why);
	commit(storing->making);
	inbox_settle(storing->inbox, 0);
	storing->staged = 0;
}

static int store_post(void *ctx, const uint8_t *envelope, size_t size, const uint8_t *body, size_t body_size,
		      struct refusal *why)
{
	struct storing *storing = ctx;
	const struct world *world = storing->making->world;
	const struct world_state *from = &world->states[1];
	const struct post_in in = {.envelope = envelope, .envelope_size = size, .body = body, .body_size = body_size};
	struct post *post;
	struct post_result result;
	bool lost = false;
	int status =
	    post_parse(&in, from->code, &keystore_public(from->operator_)->id, &world->directory_id, &post, why);

	if (status != 0)
		return status;
	post->judged = storing->publication;
	status = inbox_post(storing->inbox, post, &result, why, &lost);
	post_destroy(post);
	if (status == 0 && ++storing->staged == COMMIT_POSTS)
		commit_posts(storing);
	return status;
}

static void store_notices(struct making *making)
{
	const struct options *options = &making->options;
	struct world_state *states = making->world->states;
	struct storing storing = {.making = making};
	struct snapshot *snapshot = ledger_snapshot(making->ledger);
	struct inbox_options inbox = {.ledger = making->ledger,
				      .store = making->store,
				      .quota = quota_create(0),
				      .now_ms = clock_now_ms,
				      .retention_ms = (uint64_t)400 * 86400 * 1000};
	struct refusal why = {0};

	if (options->states < 2 || snapshot == NULL || inbox.quota == NULL)
		fail("notices want two states", "");
	storing.publication = snapshot->number;
	snapshot_unref(snapshot);
	check(inbox_create(&inbox, &storing.inbox), &why);
	check(letters_make(making->world, &states[1], &states[2], options->states - 1, options->stored, store_post,
			   &storing, &why),
	      &why);
	commit_posts(&storing);
	inbox_destroy(storing.inbox);
	quota_destroy(inbox.quota);
	check(ledger_publish(making->ledger, &why), &why);
}

static void write_notices(struct making *making)
{
	const struct options *options = &making->options;
	char name[32];

	if (options->states < 2)
		fail("notices want two states", "");
	write_operator(making, "posters.txt", &making->world->states[1]);
	write_operator(making, "watchers.txt", &making->world->states[2]);
	write_letters(making, "alerts", 1, options->alerts > 0 ? options->alerts : (options->notices + 9) / 10);
	for (size_t round = 1; round <= options->rounds; round++) {
		snprintf(name, sizeof name, "notices-%zu", round);
		write_letters(making, name, options->states - 1, options->notices);
	}
}

/* ---- Main */

static size_t number(const char *text, size_t least, size_t most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end != '\0' || value < least || value > most)
		fail("out of range", text);
	return value;
}

static void read_options(int argc, char **argv, struct options *options)
{
	static const struct option list[] = {
	    {"states", required_argument, NULL, 's'},  {"units", required_argument, NULL, 'u'},
	    {"users", required_argument, NULL, 'p'},   {"leaves", required_argument, NULL, 'l'},
	    {"publish", required_argument, NULL, 'w'}, {"port", required_argument, NULL, 'o'},
	    {"rounds", required_argument, NULL, 'r'},  {"notices", required_argument, NULL, 'n'},
	    {"alerts", required_argument, NULL, 'a'},  {"stored", required_argument, NULL, 't'},
	    {"mirror", required_argument, NULL, 'm'},  {0}};

	*options = (struct options){.states = 250, .rounds = 1, .port = 7437};
	for (int c; (c = getopt_long(argc, argv, "", list, NULL)) != -1;) {
		if (c == 's')
			options->states = number(optarg, 1, STATES_MAX);
		else if (c == 'u')
			options->units = number(optarg, 0, UNITS_MAX);
		else if (c == 'p')
			options->users = number(optarg, 0, USERS_MAX);
		else if (c == 'l')
			options->leaves = number(optarg, 0, 10000000);
		else if (c == 'w')
			options->publish = number(optarg, 0, 1000000);
		else if (c == 'n')
			options->notices = number(optarg, 0, 10000000);
		else if (c == 'a')
			options->alerts = number(optarg, 1, 10000000);
		else if (c == 't')
			options->stored = number(optarg, 0, 10000000);
		else if (c == 'o')
			options->port = number(optarg, 1, 65535);
		else if (c == 'm')
			options->mirror = number(optarg, 1, 65535);
		else if (c == 'r')
			options->rounds = number(optarg, 1, 100);
		else
			exit(2);
	}
	if (optind + 1 != argc)
		fail("usage: world FOLDER [--port N] [--states N] [--units N] [--users N] [--leaves N] [--publish N] "
		     "[--notices N] [--alerts N] [--stored N] [--rounds N] [--mirror PORT]",
		     "");
	options->folder = argv[optind];
}

int main(int argc, char **argv)
{
	struct making making = {0};

	read_options(argc, argv, &making.options);
	make_folders(&making);
	make_states(&making);
	make_ledger(&making);
	if (making.options.stored > 0)
		store_notices(&making);
	write_server(&making);
	write_clients(&making);
	write_places(&making);
	for (size_t round = 1; making.options.publish > 0 && round <= making.options.rounds; round++)
		write_publish(&making, round);
	if (making.options.notices > 0)
		write_notices(&making);
	printf("%llu leaves\n", (unsigned long long)ledger_size(making.ledger));
	ledger_close(making.ledger);
	store_close(making.store);
	world_destroy(making.world);
	keystore_close(making.mirror);
	free(making.units);
	return 0;
}
