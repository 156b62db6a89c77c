/* make_world DIR ADDRESS STATES WRITERS: a directory for crash tests, made in-process: STATES states with keys, users
 * and records in DIR/data; server and writers' keys and certificates, pocd.conf, reader.conf, DIR/directory with
 * address, id and server's pin, and DIR/writers with a line for each writer: state, the seq and value of its users' and
 * of its record's current envelope.
 *
 * The operators of the writers' states and of up to four after the reader's, who are to exchange notices, have
 * CC-operator.conf with their keys; DIR/correspondents names them, as "sender CC" and "receiver CC". */
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pocd/base/clock.h"
#include "pocd/directory/directory.h"
#include "proto/keys/keystore_file.h"
#include "tests/lib/world.h"

enum { RECEIVERS = 4 };

static const char *folder;

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "make_world: %s\n", what);
	exit(1);
}

static FILE *create(const char *name)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	must(fd >= 0, path);
	FILE *file = fdopen(fd, "w");
	must(file != NULL, path);
	return file;
}

static void write_key(const struct keystore_key *key, const char *name)
{
	char path[4096], file_name[200];
	struct refusal why = {0};

	snprintf(file_name, sizeof file_name, "%s.key", name);
	FILE *file = create(file_name);
	must(PEM_write_PKCS8PrivateKey(file, keystore_pkey(key), NULL, NULL, 0, NULL, NULL) == 1, file_name);
	must(fclose(file) == 0, file_name);
	snprintf(path, sizeof path, "%s/%s.crt", folder, name);
	must(keystore_write_certificate(key, "test", path, &why) == 0, why.message);
}

static struct change_write write_of(const struct world_item *item)
{
	return (struct change_write){.envelope = item->bytes, .envelope_size = item->size};
}

static void on_stored(void *ctx, const struct change_outcome *outcome)
{
	(void)ctx;
	must(outcome->status == 0, outcome->why->message);
}

static void submit_state(struct directory *directory, struct world *world, struct world_state *state)
{
	struct change_write writes[] = {write_of(&world->reg), write_of(&state->keys), write_of(&state->users),
					write_of(&state->record)};
	struct refusal why = {0};

	writes[3].n_sections = WORLD_SECTIONS;
	writes[3].sections = state->sections;
	must(directory_submit(directory, NULL, writes, 4, false, on_stored, NULL, &why) == 0, why.message);
}

/* Two letters: AA, AB, ... */
static void add_states(struct directory *directory, struct world *world, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char code[3] = {(char)('A' + i / 26), (char)('A' + i % 26), '\0'};
		submit_state(directory, world, world_add_state(world, code));
	}
	must(directory_run_once(directory) == 0, "cannot publish");
}

static void fill_store(struct world *world, unsigned states)
{
	char path[4096];
	struct refusal why = {0};
	struct store *store;
	struct directory *directory;
	const struct world_state *own = &world->states[0];
	struct change_write first[] = {write_of(&world->trust), write_of(&world->reg), write_of(&own->keys),
				       write_of(&own->users)};

	snprintf(path, sizeof path, "%s/data", folder);
	struct store_lmdb_options where = {.path = path, .create = 1};
	must(store_lmdb_open(&where, &store, &why) == 0, why.message);
	struct directory_options options = {
	    .store = store, .log_keys = &world->log, .n_log_keys = 1, .now_ms = clock_now_ms};
	must(directory_create(&options, first, 4, &why) == 0, why.message);
	must(directory_open(&options, &directory, &why) == 0, why.message);
	add_states(directory, world, states);
	directory_close(directory);
	store_close(store);
}

static void write_client_conf(const struct world *world, const char *address, const char *state, const char *name,
			      const char *more)
{
	char id[65], pin[65], file[80];

	snprintf(file, sizeof file, "%s.conf", name);
	FILE *conf = create(file);
	hash_to_hex(&world->directory_id, id);
	hash_to_hex(&keystore_public(world->states[0].operator_)->id, pin);
	fprintf(conf,
		"[directory]\nserver = %s\nid = %s\nserver_pin = %s\n\n[user]\nstate = %s\ncert = %s.crt\n"
		"key = %s.key\n\n%s",
		address, id, pin, state, name, name, more);
	must(fclose(conf) == 0, file);
}

static void write_conf(const struct world *world, const char *address, const struct world_state *reader)
{
	char id[65], pin[65];
	FILE *conf = create("pocd.conf");

	fprintf(conf,
		"[server]\nlisten = %s\ncert = server.crt\nkey = server.key\n\n[store]\npath = data\n\n"
		"[log]\nkey = log.key\ncheckpoint_interval = 20ms\n\n[notices]\nper_hour = 1000000\n\n"
		"[diagnostics]\nfile = pocd.log\n",
		address);
	must(fclose(conf) == 0, "pocd.conf");
	hash_to_hex(&world->directory_id, id);
	hash_to_hex(&keystore_public(world->states[0].operator_)->id, pin);
	conf = create("directory");
	fprintf(conf, "%s %s %s %s\n", address, id, pin, reader->code);
	must(fclose(conf) == 0, "directory");
	write_client_conf(world, address, reader->code, "reader",
			  "[coordinator]\nkey = reader.key\n\n[state]\ndir = state\n");
}

static void write_correspondent(const struct world *world, const char *address, const char *role,
				const struct world_state *state, FILE *list)
{
	char name[40], more[200];

	snprintf(name, sizeof name, "%s-reading", state->code);
	write_key(state->reading, name);
	snprintf(more, sizeof more, "[notices]\nreading_key = %s-reading.key\n\n[state]\ndir = %s-state\n", state->code,
		 state->code);
	snprintf(name, sizeof name, "%s-operator", state->code);
	write_key(state->operator_, name);
	write_client_conf(world, address, state->code, name, more);
	fprintf(list, "%s %s\n", role, state->code);
}

static void write_correspondents(const struct world *world, const char *address, unsigned writers)
{
	FILE *list = create("correspondents");

	for (unsigned i = 1; i <= writers; i++)
		write_correspondent(world, address, "sender", &world->states[i], list);
	for (unsigned i = writers + 2; i < world->n_states && i < writers + 2 + RECEIVERS; i++)
		write_correspondent(world, address, "receiver", &world->states[i], list);
	must(fclose(list) == 0, "correspondents");
}

static void write_writers(const struct world *world, unsigned writers)
{
	char users[65], record[65];
	FILE *list = create("writers");

	for (unsigned i = 1; i <= writers; i++) {
		const struct world_state *state = &world->states[i];
		hash_to_hex(&state->users.value, users);
		hash_to_hex(&state->record.value, record);
		fprintf(list, "%s %llu %s %llu %s\n", state->code, (unsigned long long)state->users.seq, users,
			(unsigned long long)state->record.seq, record);
		write_key(state->coordinator, state->code);
	}
	must(fclose(list) == 0, "writers");
}

int main(int argc, char **argv)
{
	unsigned states = argc == 5 ? (unsigned)atoi(argv[3]) : 0, writers = argc == 5 ? (unsigned)atoi(argv[4]) : 0;

	if (argc != 5 || states <= writers || states > 290) {
		fputs("usage: make_world DIR ADDRESS STATES WRITERS\n", stderr);
		return 2;
	}
	folder = argv[1];
	must(mkdir(folder, 0700) == 0, "the folder exists already");
	struct world *world = world_create((int64_t)(clock_now_ms(NULL) / 1000));
	write_key(world->log, "log");
	write_key(world->states[0].operator_, "server");
	fill_store(world, states);
	write_writers(world, writers);
	const struct world_state *reader = &world->states[1 + writers];
	write_key(reader->coordinator, "reader");
	write_conf(world, argv[2], reader);
	write_correspondents(world, argv[2], writers);
	world_destroy(world);
	return 0;
}
