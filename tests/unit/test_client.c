#include "tests/lib/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clients/libpoc/advance.h"
#include "clients/libpoc/client.h"
#include "clients/libpoc/outbox.h"
#include "pocd/directory/directory.h"
#include "proto/keys/keystore_file.h"
#include "proto/rules/receipt.h"
#include "proto/rules/record.h"
#include "proto/wire/frame.h"
#include "proto/wire/prescan.h"
#include "tests/lib/tiny_server.h"
#include "tests/lib/world.h"
#include "tests/lib/world_directory.h"

enum { START = 1790000000, BATCHES_MAX = 64, DIRECTORIES_MAX = 8 };

/* A batch of writes as it was made, so that another directory can be given the same past. */
struct batch {
	size_t n;
	struct change_write writes[4];
	ProtobufCBinaryData sections[4][WORLD_SECTIONS];
};

struct house {
	struct world *world;
	char dir[64];
	size_t n_batches;
	struct batch batches[BATCHES_MAX];
	size_t n_directories;
	struct directory *directories[DIRECTORIES_MAX];
	struct store *stores[DIRECTORIES_MAX];
	struct tiny_server *server;
};

/* ---- The directories */

static uint8_t *copy_bytes(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size);

	assert_non_null(copy);
	return memcpy(copy, bytes, size);
}

static struct batch *new_batch(struct house *h)
{
	assert_true(h->n_batches < BATCHES_MAX);
	return &h->batches[h->n_batches++];
}

static void batch_add(struct batch *batch, const struct world_item *item, const ProtobufCBinaryData *sections)
{
	struct change_write *write = &batch->writes[batch->n];

	*write = (struct change_write){.envelope = copy_bytes(item->bytes, item->size), .envelope_size = item->size};
	if (sections != NULL) {
		for (size_t i = 0; i < WORLD_SECTIONS; i++)
			batch->sections[batch->n][i] =
			    (ProtobufCBinaryData){sections[i].len, copy_bytes(sections[i].data, sections[i].len)};
		write->sections = batch->sections[batch->n];
		write->n_sections = WORLD_SECTIONS;
	}
	batch->n++;
}

static void batch_finish(struct batch *batch)
{
	for (size_t i = 0; i < batch->n; i++) {
		free((void *)batch->writes[i].envelope);
		for (size_t j = 0; j < batch->writes[i].n_sections; j++)
			free(batch->sections[i][j].data);
	}
	*batch = (struct batch){0};
}

static void batch_state(struct house *h, const char *code)
{
	struct world_state *state = world_add_state(h->world, code);
	struct batch *batch = new_batch(h);

	batch_add(batch, &state->record, state->sections);
	batch_add(batch, &state->users, NULL);
	batch_add(batch, &state->keys, NULL);
	batch_add(batch, &h->world->reg, NULL);
}

static void batch_record(struct house *h, const char *code, bool withdrawn)
{
	struct world_state *state = world_state(h->world, code);

	world_next_record(h->world, state, withdrawn, NULL);
	batch_add(new_batch(h), &state->record, withdrawn ? NULL : state->sections);
}

static void take_outcome(void *ctx, const struct change_outcome *outcome)
{
	int *status = ctx;

	if (outcome->status != 0)
		fprintf(stderr, "%s: %s\n", outcome->why->field, outcome->why->message);
	*status = outcome->status;
}

static void apply(struct directory *directory, const struct batch *batch, size_t number)
{
	int status = -1;
	struct refusal why = {0};

	world_clock_ms = ((uint64_t)START + 10 * number) * 1000;
	assert_int_equal(directory_submit(directory, NULL, batch->writes, batch->n, true, take_outcome, &status, &why),
			 0);
	assert_int_equal(directory_run_once(directory), 0);
	assert_int_equal(status, 0);
}

/* A directory with the first n batches in its past; skip: a bit set of those left out. */
static struct directory *make_directory(struct house *h, size_t n, unsigned skip)
{
	struct store *store = store_mem_create();
	struct directory_options options = world_directory_options(h->world, store);
	struct directory *directory;
	struct refusal why = {0};

	world_clock_ms = (uint64_t)START * 1000;
	assert_int_equal(directory_create(&options, h->batches[0].writes, h->batches[0].n, &why), 0);
	assert_int_equal(directory_open(&options, &directory, &why), 0);
	for (size_t i = 1; i < n; i++) {
		if ((skip >> i & 1) == 0)
			apply(directory, &h->batches[i], i);
	}
	assert_true(h->n_directories < DIRECTORIES_MAX);
	h->stores[h->n_directories] = store;
	h->directories[h->n_directories++] = directory;
	world_clock_ms = ((uint64_t)START + 1000) * 1000;
	return directory;
}

/* ---- The clients */

static void write_key(const struct house *h, const char *name, const struct keystore_key *key)
{
	char path[128];
	struct refusal why = {0};

	snprintf(path, sizeof path, "%s/%s.key", h->dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	FILE *file = fdopen(fd, "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_PrivateKey(file, keystore_pkey(key), NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
	snprintf(path, sizeof path, "%s/%s.pem", h->dir, name);
	assert_int_equal(keystore_write_certificate(key, name, path, &why), 0);
}

struct client {
	char id[65], key[128], certificate[128], state_dir[128], servers[200];
	struct poc_options options;
};

static void client_init(const struct house *h, struct client *c, const char *state, const char *user)
{
	hash_to_hex(&h->world->directory_id, c->id);
	snprintf(c->key, sizeof c->key, "%s/%s.key", h->dir, user);
	snprintf(c->certificate, sizeof c->certificate, "%s/%s.pem", h->dir, user);
	snprintf(c->state_dir, sizeof c->state_dir, "%s/state", h->dir);
	snprintf(c->servers, sizeof c->servers, "%s", tiny_server_address(h->server));
	c->options = (struct poc_options){.servers = c->servers,
					  .directory_id = c->id,
					  .user_state = state,
					  .certificate = c->certificate,
					  .key = c->key,
					  .state_dir = c->state_dir,
					  .timeout_ms = test_limit_ms(5000),
					  .now = START + 1000};
}

static struct poc *open_client(const struct client *c)
{
	struct poc *poc;
	char message[400];

	if (poc_open(&c->options, &poc, message, sizeof message) != 0)
		fail_msg("%s", message);
	return poc;
}

static struct poc *open_user(const struct house *h, const char *state, const char *user)
{
	struct client c;

	client_init(h, &c, state, user);
	return open_client(&c);
}

static void good(struct poc *poc, int status)
{
	if (status != 0)
		fail_msg("%s: %s: %s", status_name(status), poc_error_field(poc), poc_error(poc));
}

static void gives(struct poc *poc, int status, int expected, const char *words)
{
	if (status != expected || strstr(poc_error(poc), words) == NULL)
		fail_msg("%s instead of %s: %s", status_name(status), status_name(expected), poc_error(poc));
}

static int setup(void **context)
{
	struct house *h = calloc(1, sizeof *h);
	char certificate[128];

	h->world = world_create(START);
	struct world_state *staff = &h->world->states[0];
	snprintf(h->dir, sizeof h->dir, "/tmp/test_client.XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	struct batch *first = new_batch(h);
	batch_add(first, &h->world->trust, NULL);
	batch_add(first, &h->world->reg, NULL);
	batch_add(first, &staff->keys, NULL);
	batch_add(first, &staff->users, NULL);
	batch_state(h, "XA");
	batch_state(h, "XB");
	write_key(h, "server", staff->operator_);
	write_key(h, "xa-reader", world_state(h->world, "XA")->reader);
	write_key(h, "xa-operator", world_state(h->world, "XA")->operator_);
	snprintf(certificate, sizeof certificate, "%s/server.pem", h->dir);
	h->server = tiny_server_start(certificate, staff->operator_, make_directory(h, h->n_batches, 0));
	*context = h;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **context)
{
	struct house *h = *context;

	tiny_server_stop(h->server);
	for (size_t i = 0; i < h->n_directories; i++) {
		directory_close(h->directories[i]);
		store_close(h->stores[i]);
	}
	for (size_t i = 0; i < h->n_batches; i++)
		batch_finish(&h->batches[i]);
	world_destroy(h->world);
	nftw(h->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(h);
	return 0;
}

/* ---- Looking up */

static void test_lookup(void **context)
{
	struct house *h = *context;
	struct poc *poc = open_user(h, "XA", "xa-reader");
	struct poc_record record, again;
	struct poc_facts facts;

	good(poc, poc_lookup(poc, "XB", &record));
	assert_string_equal(record.place, "XB");
	assert_string_equal(record.verdict.signed_by, "coordinator of XB");
	assert_int_equal(record.verdict.withheld, 2);
	assert_int_equal(record.verdict.freshness, FRESH);
	assert_false(record.verdict.offline || record.verdict.checkpoint_stale);
	assert_non_null(strstr(record.record_json, "+99"));
	/* the saved file proves itself, to anybody, without a network */
	good(poc, poc_verify(poc, record.proof, record.proof_size, NULL, 0, &again));
	assert_true(again.verdict.offline);
	assert_string_equal(again.record_json, record.record_json);
	poc_record_finish(&again);
	gives(poc, poc_verify(poc, record.proof, record.proof_size, "XA", 0, &again), STATUS_NOT_FOUND, "nothing");
	gives(poc, poc_verify(poc, record.proof, record.proof_size, NULL, START + 400 * 86400, &again), STATUS_STALE,
	      "");
	poc_record_finish(&again);
	record.proof[record.proof_size / 2] ^= 1;
	gives(poc, poc_verify(poc, record.proof, record.proof_size, NULL, 0, &again), STATUS_UNVERIFIED, "");
	poc_record_finish(&record);
	/* one's own record shows all */
	good(poc, poc_lookup(poc, "XA", &record));
	assert_int_equal(record.verdict.withheld, 0);
	poc_record_finish(&record);
	assert_int_equal(poc_facts(poc, &facts), 0);
	assert_true(facts.connected && facts.have_head && !facts.have_copy);
	assert_string_equal(facts.handle, "reader");
	assert_int_equal(facts.roles, 1u << POC__ROLE__ROLE_READER);
	assert_string_equal(facts.tls_version, "TLSv1.3");
	assert_int_equal(facts.states, 2);
	poc_close(poc);
	poc = open_user(h, "XA", "xa-operator");
	good(poc, poc_lookup(poc, "XB", &record));
	assert_int_equal(record.verdict.withheld, 1);
	poc_record_finish(&record);
	poc_close(poc);
}

static void test_absent(void **context)
{
	struct house *h = *context;
	struct poc *poc = open_user(h, "XA", "xa-reader");
	struct poc_record record, again;

	gives(poc, poc_lookup(poc, "XC", &record), STATUS_NOT_FOUND, "proven");
	assert_null(record.record_json);
	assert_non_null(record.proof);
	assert_true(record.verdict.size > 0);
	gives(poc, poc_verify(poc, record.proof, record.proof_size, NULL, 0, &again), STATUS_NOT_FOUND, "proven");
	poc_record_finish(&again);
	poc_record_finish(&record);
	gives(poc, poc_lookup(poc, "XB/unit", &record), STATUS_NOT_FOUND, "proven");
	poc_record_finish(&record);
	gives(poc, poc_lookup(poc, "nowhere", &record), STATUS_USAGE, "place");
	poc_close(poc);
}

static void test_withdrawn(void **context)
{
	struct house *h = *context;
	struct poc *poc = open_user(h, "XA", "xa-reader");
	struct poc_record record;

	batch_record(h, "XB", true);
	tiny_server_exchange(h->server, make_directory(h, h->n_batches, 0));
	gives(poc, poc_lookup(poc, "XB", &record), STATUS_WITHDRAWN, "withdrawn");
	assert_int_equal(record.verdict.status, POC_WITHDRAWN);
	assert_non_null(record.proof);
	poc_record_finish(&record);
	poc_close(poc);
}

/* ---- The server and the clock */

static void test_server_key(void **context)
{
	struct house *h = *context;
	struct client c;
	char pin[65], certificate[128];
	struct poc *poc;
	struct keystore_key *stranger = keystore_ephemeral(KEY_ED25519);

	/* by its pin */
	client_init(h, &c, "XA", "xa-reader");
	hash_to_hex(&keystore_public(h->world->states[0].operator_)->id, pin);
	c.options.server_pin = pin;
	poc = open_client(&c);
	good(poc, poc_connect(poc));
	poc_close(poc);
	/* a key that is neither pinned nor listed */
	write_key(h, "stranger", stranger);
	snprintf(certificate, sizeof certificate, "%s/stranger.pem", h->dir);
	struct tiny_server *other = tiny_server_start(certificate, stranger, h->directories[0]);
	client_init(h, &c, "XA", "xa-reader");
	snprintf(c.servers, sizeof c.servers, "%s", tiny_server_address(other));
	poc = open_client(&c);
	gives(poc, poc_connect(poc), STATUS_TLS, "neither the pinned one nor");
	poc_close(poc);
	/* the next server of the list will do */
	snprintf(c.servers, sizeof c.servers, "127.0.0.1:1, %s,%s", tiny_server_address(other),
		 tiny_server_address(h->server));
	poc = open_client(&c);
	good(poc, poc_connect(poc));
	poc_close(poc);
	/* a client whose key is not the certificate's */
	snprintf(c.key, sizeof c.key, "%s/stranger.key", h->dir);
	char message[400];
	assert_int_equal(poc_open(&c.options, &poc, message, sizeof message), STATUS_INVALID);
	assert_non_null(strstr(message, "does not belong"));
	/* nobody there */
	client_init(h, &c, "XA", "xa-reader");
	snprintf(c.servers, sizeof c.servers, "127.0.0.1:1");
	poc = open_client(&c);
	gives(poc, poc_connect(poc), STATUS_UNREACHABLE, "127.0.0.1:1");
	poc_close(poc);
	tiny_server_stop(other);
	keystore_close(stranger);
}

static void test_clock(void **context)
{
	struct house *h = *context;
	struct client c;
	struct poc_record record;

	client_init(h, &c, "XA", "xa-reader");
	c.options.now = START - 3600;
	struct poc *poc = open_client(&c);
	gives(poc, poc_connect(poc), STATUS_CLOCK, "future");
	/* who only reads is answered, and told */
	gives(poc, poc_lookup(poc, "XB", &record), STATUS_CLOCK, "clock is before");
	assert_non_null(record.record_json);
	assert_in_range(record.verdict.clock_behind, 3600, 3700);
	assert_in_range(record.verdict.judged, START, START + 100);
	assert_int_equal(record.verdict.freshness, 0);
	poc_record_finish(&record);
	gives(poc, poc_sync(poc, NULL, NULL), STATUS_CLOCK, "future"); /* and nothing of it is kept */
	poc_close(poc);
	c.options.now = START + 86400 + 7200;
	poc = open_client(&c);
	gives(poc, poc_lookup(poc, "XB", &record), STATUS_STALE, "older than allowed");
	assert_true(record.verdict.checkpoint_stale);
	poc_record_finish(&record);
	poc_close(poc);
}

static void test_not_listed(void **context)
{
	struct house *h = *context;
	struct keystore_key *stranger = keystore_ephemeral(KEY_P256);
	struct poc_record record;
	struct poc_facts facts;

	write_key(h, "nobody", stranger);
	struct poc *poc = open_user(h, "XA", "nobody");
	good(poc, poc_connect(poc));
	poc_facts(poc, &facts);
	assert_string_equal(facts.handle, "");
	gives(poc, poc_lookup(poc, "XB", &record), STATUS_DENIED, "");
	poc_close(poc);
	keystore_close(stranger);
}

/* ---- Never back */

static void test_never_back(void **context)
{
	struct house *h = *context;
	struct poc *poc = open_user(h, "XA", "xa-reader");
	struct poc_record record;

	for (int i = 0; i < 6; i++)
		batch_record(h, i % 2 == 0 ? "XA" : "XB", false);
	batch_record(h, "XB", false);
	struct directory *newest = make_directory(h, 10, 0), *middle = make_directory(h, 6, 0);
	struct directory *between = make_directory(h, 8, 0);
	/* without XA's changes: as long as the middle one, and one longer than it */
	const unsigned without_xa = 1u << 3 | 1u << 5 | 1u << 7;
	struct directory *fork_same = make_directory(h, 9, without_xa), *fork_other = make_directory(h, 10, without_xa);

	good(poc, poc_lookup(poc, "XB", &record)); /* three batches */
	poc_record_finish(&record);
	tiny_server_exchange(h->server, middle);
	good(poc, poc_lookup(poc, "XB", &record));
	poc_record_finish(&record);
	tiny_server_exchange(h->server, newest);
	good(poc, poc_connect(poc));
	uint64_t size = client_head(poc)->checkpoint.size;
	/* merely older: a head that is remembered, and one that is not but follows one that is */
	tiny_server_exchange(h->server, middle);
	gives(poc, poc_connect(poc), STATUS_BEHIND, "behind");
	tiny_server_exchange(h->server, between);
	gives(poc, poc_connect(poc), STATUS_BEHIND, "behind");
	tiny_server_exchange(h->server, h->directories[0]);
	gives(poc, poc_connect(poc), STATUS_BEHIND, "behind");
	gives(poc, poc_lookup(poc, "XB", &record), STATUS_BEHIND, "behind");
	/* inconsistent: with a head that is remembered, and with the largest remembered one before it */
	tiny_server_exchange(h->server, fork_same);
	gives(poc, poc_connect(poc), STATUS_UNVERIFIED, "contradicts");
	tiny_server_exchange(h->server, fork_other);
	gives(poc, poc_connect(poc), STATUS_UNVERIFIED, "contradicts");
	poc_close(poc);
	/* another process remembers the same */
	poc = open_user(h, "XA", "xa-operator");
	gives(poc, poc_connect(poc), STATUS_UNVERIFIED, "");
	tiny_server_exchange(h->server, middle);
	gives(poc, poc_connect(poc), STATUS_BEHIND, "");
	tiny_server_exchange(h->server, newest);
	good(poc, poc_lookup(poc, "XB", &record));
	assert_int_equal(record.verdict.size, size);
	poc_record_finish(&record);
	poc_close(poc);
}

static void test_fork_ahead(void **context)
{
	struct house *h = *context;
	struct poc *poc = open_user(h, "XA", "xa-reader");

	for (int i = 0; i < 5; i++)
		batch_record(h, "XA", false);
	batch_record(h, "XB", false);
	batch_record(h, "XB", false);
	tiny_server_exchange(h->server, make_directory(h, 8, 0));
	good(poc, poc_connect(poc));
	/* longer than what is held, but without XA's last version */
	tiny_server_exchange(h->server, make_directory(h, 10, 1u << 7));
	gives(poc, poc_connect(poc), STATUS_UNVERIFIED, "contradicts");
	poc_close(poc);
}

static void test_damaged_state(void **context)
{
	struct house *h = *context;
	struct client c;
	struct poc *poc = open_user(h, "XA", "xa-reader");
	char path[300], message[400];

	good(poc, poc_connect(poc));
	snprintf(path, sizeof path, "%s/held", client_state_dir(poc));
	poc_close(poc);
	client_init(h, &c, "XA", "xa-reader");
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(poc_open(&c.options, &poc, message, sizeof message), STATUS_DAMAGED);
	assert_non_null(strstr(message, "damaged"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(poc_open(&c.options, &poc, message, sizeof message), STATUS_DAMAGED);
	assert_non_null(strstr(message, "missing"));
}

/* Damaged while a handle is open: the handle says so as often as it is asked, and holds nothing until it can be read.
 */
static void test_damaged_under_way(void **context)
{
	struct house *h = *context;
	struct poc *poc = open_user(h, "XA", "xa-reader");
	struct poc_facts facts;
	char path[300], aside[310];

	good(poc, poc_connect(poc));
	snprintf(path, sizeof path, "%s/held", client_state_dir(poc));
	snprintf(aside, sizeof aside, "%s.aside", path);
	assert_int_equal(rename(path, aside), 0);
	batch_record(h, "XB", false);
	tiny_server_exchange(h->server, make_directory(h, h->n_batches, 0));
	for (int i = 0; i < 2; i++) {
		gives(poc, poc_connect(poc), STATUS_DAMAGED, "missing");
		assert_int_equal(poc_facts(poc, &facts), 0);
	}
	gives(poc, poc_sync(poc, NULL, NULL), STATUS_DAMAGED, "missing");
	assert_int_equal(rename(aside, path), 0);
	good(poc, poc_connect(poc));
	good(poc, poc_sync(poc, NULL, NULL));
	poc_close(poc);
}

/* What comes in pages is looked at once all of it is there: no more of it is taken than could be held. */
static void test_trust_without_end(void **context)
{
	enum { PAGE = 18, ENVELOPE = 52 * 1024 };
	ProtobufCBinaryData envelopes[PAGE];
	Poc__Item page = POC__ITEM__INIT;
	struct poc *poc = calloc(1, sizeof *poc);
	size_t bytes = 0;

	(void)context;
	assert_non_null(poc);
	for (size_t i = 0; i < PAGE; i++)
		envelopes[i] = (ProtobufCBinaryData){ENVELOPE, calloc(1, ENVELOPE)};
	page.envelopes = envelopes;
	page.n_envelopes = PAGE;
	while (advance_trust(poc, &page) == 0) {
		bytes += (size_t)PAGE * ENVELOPE;
		assert_true(bytes <= HELD_FILE_MAX);
	}
	assert_int_equal(poc->why.code, STATUS_TOO_LARGE);
	advance_drop(poc);
	assert_int_equal(advance_trust(poc, &page), 0); /* counted anew */
	advance_drop(poc);
	for (size_t i = 0; i < PAGE; i++)
		free(envelopes[i].data);
	free(poc);
}

/* Without a state folder all works, and is remembered only as long as the handle lives. */
static void test_no_state_dir(void **context)
{
	struct house *h = *context;
	struct client c;
	struct poc_record record;

	batch_record(h, "XB", false);
	client_init(h, &c, "XA", "xa-reader");
	c.options.state_dir = NULL;
	struct poc *poc = open_client(&c);
	tiny_server_exchange(h->server, make_directory(h, h->n_batches, 0));
	good(poc, poc_lookup(poc, "XB", &record));
	poc_record_finish(&record);
	tiny_server_exchange(h->server, h->directories[0]);
	gives(poc, poc_connect(poc), STATUS_BEHIND, "");
	gives(poc, poc_sync(poc, NULL, NULL), STATUS_USAGE, "no state folder");
	poc_close(poc);
	poc = open_client(&c);
	good(poc, poc_connect(poc));
	poc_close(poc);
}

/* Whatever byte of the answers is changed, nothing false comes out. */
static void test_spoiled_answers(void **context)
{
	struct house *h = *context;
	struct client c;

	client_init(h, &c, "XA", "xa-reader");
	c.options.timeout_ms = test_limit_ms(400);
	struct poc *first = open_client(&c);
	good(first, poc_connect(first));
	poc_close(first);
	for (long offset = 5; offset < 1200; offset += 17) {
		struct poc_record record = {0};
		struct poc *poc = open_client(&c);
		good(poc, poc_connect(poc));
		unsigned before = tiny_server_spoiled(h->server);
		tiny_server_spoil(h->server, offset);
		int status = poc_lookup(poc, "XB", &record);
		if (tiny_server_spoiled(h->server) > before &&
		    (status == 0 || status == STATUS_NOT_FOUND || status == STATUS_WITHDRAWN ||
		     record.record_json != NULL))
			fail_msg("byte %ld of an answer can be changed: %s", offset, status_name(status));
		poc_record_finish(&record);
		tiny_server_spoil(h->server, -1);
		poc_close(poc);
	}
}

/* ---- The local copy */

struct seen {
	size_t n;
	char text[2000];
};

static void see_change(void *ctx, const char *name, uint64_t seq, const char *change)
{
	struct seen *seen = ctx;
	size_t at = strlen(seen->text);

	seen->n++;
	snprintf(seen->text + at, sizeof seen->text - at, "%s %llu %s\n", name, (unsigned long long)seq, change);
}

static int see_record(void *ctx, const struct client_record *record)
{
	struct seen *seen = ctx;
	size_t at = strlen(seen->text);

	seen->n++;
	snprintf(seen->text + at, sizeof seen->text - at, "%s %zu\n", record->verified.name.text,
		 record->verified.n_sections);
	return 0;
}

static void test_sync(void **context)
{
	struct house *h = *context;
	struct poc *poc = open_user(h, "XA", "xa-operator");
	struct poc_record record;
	struct seen seen = {0};
	struct client_record found;
	uint8_t *bundle;
	size_t size;

	gives(poc, poc_lookup_offline(poc, "XB", &record), STATUS_UNREACHABLE, "no local copy");
	good(poc, poc_sync(poc, see_change, &seen));
	assert_int_equal(seen.n, 9); /* S, three K, three U, two R */
	assert_non_null(strstr(seen.text, "R/XB 1 added\n"));
	good(poc, poc_lookup_offline(poc, "XB", &record));
	assert_true(record.verdict.offline);
	assert_int_equal(record.verdict.withheld, 1);
	poc_record_finish(&record);
	gives(poc, poc_lookup_offline(poc, "XC", &record), STATUS_NOT_FOUND, "proven");
	poc_record_finish(&record);
	/* changes only, and nothing the second time */
	batch_record(h, "XB", false);
	batch_record(h, "XA", true);
	batch_state(h, "XC");
	tiny_server_exchange(h->server, make_directory(h, h->n_batches, 0));
	seen = (struct seen){0};
	good(poc, poc_sync(poc, see_change, &seen));
	assert_non_null(strstr(seen.text, "R/XB 2 changed\n"));
	assert_non_null(strstr(seen.text, "R/XA 2 withdrawn\n"));
	assert_non_null(strstr(seen.text, "R/XC 1 added\n"));
	assert_int_equal(seen.n, 6);
	seen = (struct seen){0};
	good(poc, poc_sync(poc, see_change, &seen));
	assert_int_equal(seen.n, 0);
	seen = (struct seen){0};
	good(poc, client_walk(poc, see_record, &seen));
	assert_string_equal(seen.text, "R/XA 0\nR/XB 2\nR/XC 2\n");
	/* the bundle verifies anywhere */
	good(poc, poc_export(poc, &bundle, &size));
	poc_close(poc);
	poc = open_user(h, "XA", "xa-reader");
	struct name name;
	assert_true(place_parse("XC", &name));
	good(poc, client_verify(poc, bundle, size, &name, 0, &found));
	client_record_finish(&found);
	seen = (struct seen){0};
	good(poc, client_verify_walk(poc, bundle, size, 0, see_record, &seen));
	assert_int_equal(seen.n, 3);
	gives(poc, client_verify(poc, bundle, size, NULL, 0, &found), STATUS_USAGE, "several");
	bundle[size / 3] ^= 4;
	gives(poc, client_verify(poc, bundle, size, &name, 0, &found), STATUS_UNVERIFIED, "");
	free(bundle);
	poc_close(poc);
}

/* Who only reads is shown what changed; nothing of it is kept. */
static void test_sync_by_a_slow_clock(void **context)
{
	struct house *h = *context;
	struct client c;
	struct poc_verdict head;
	struct poc_record record;
	struct seen seen = {0};

	client_init(h, &c, "XA", "xa-reader");
	c.options.now = START - 3600;
	struct poc *poc = open_client(&c);
	client_any_clock(poc);
	good(poc, poc_sync(poc, see_change, &seen));
	assert_non_null(strstr(seen.text, "R/XB 1 added\n"));
	client_judge_head(poc, &head);
	assert_in_range(head.clock_behind, 3600, 3700);
	assert_in_range(head.judged, START, START + 100);
	gives(poc, poc_lookup_offline(poc, "XB", &record), STATUS_UNREACHABLE, "no local copy");
	poc_close(poc);
	/* the folder is still one of a first contact; once a head is held, a clock before it is known without a server
	 */
	c.options.now = START;
	poc = open_client(&c);
	client_judge_head(poc, &head);
	assert_int_equal(head.clock_behind, 0);
	good(poc, poc_sync(poc, NULL, NULL));
	poc_close(poc);
	c.options.now = START - 7200;
	poc = open_client(&c);
	client_judge_head(poc, &head);
	assert_in_range(head.clock_behind, 7200, 7300);
	poc_close(poc);
}

static void test_meddled_copy(void **context)
{
	struct house *h = *context;
	struct poc *poc = open_user(h, "XA", "xa-operator");
	struct poc_record record;
	char path[600];
	struct dirent *entry;

	good(poc, poc_sync(poc, NULL, NULL));
	DIR *folder = opendir(client_state_dir(poc));
	path[0] = '\0';
	while ((entry = readdir(folder)) != NULL) {
		if (strncmp(entry->d_name, "copy", 4) == 0)
			snprintf(path, sizeof path, "%s/%s", client_state_dir(poc), entry->d_name);
	}
	closedir(folder);
	poc_close(poc);
	int fd = open(path, O_RDWR);
	uint8_t byte;
	assert_int_equal(pread(fd, &byte, 1, 3000), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, 3000), 1);
	close(fd);
	poc = open_user(h, "XA", "xa-operator");
	gives(poc, poc_lookup_offline(poc, "XB", &record), STATUS_UNVERIFIED, "");
	good(poc, poc_sync(poc, NULL, NULL));
	good(poc, poc_lookup_offline(poc, "XB", &record));
	poc_record_finish(&record);
	poc_close(poc);
}

/* ---- Writing */

static int see_version(void *ctx, const struct client_version *version)
{
	struct seen *seen = ctx;
	size_t at = strlen(seen->text);

	seen->n++;
	snprintf(seen->text + at, sizeof seen->text - at, "%llu %s\n", (unsigned long long)version->envelope->seq,
		 version->signed_by);
	return 0;
}

static void test_submit(void **context)
{
	struct house *h = *context;
	struct poc *poc = open_user(h, "XA", "xa-reader");
	struct world_state *xa = world_state(h->world, "XA");
	struct client_submitted done;
	struct seen seen = {0};
	struct world_item old;

	world_next_record(h->world, xa, false, &old);
	struct client_write write = {xa->record.bytes, xa->record.size, xa->sections, WORLD_SECTIONS};
	world_clock_ms += 1000;
	good(poc, client_submit(poc, &write, 1, true, &done));
	assert_true(done.proven && done.n == 1 && !done.results[0].repeated);
	assert_string_equal(done.results[0].name, "R/XA");
	assert_int_equal(done.results[0].seq, 2);
	client_submitted_finish(&done);
	/* the same again gives the first answer */
	good(poc, client_submit(poc, &write, 1, false, &done));
	assert_true(done.results[0].repeated);
	client_submitted_finish(&done);
	/* built on a version that is not current any more */
	struct world_item second = xa->record;
	xa->record = (struct world_item){.seq = old.seq, .value = old.value};
	world_next_record(h->world, xa, false, NULL);
	write = (struct client_write){xa->record.bytes, xa->record.size, xa->sections, WORLD_SECTIONS};
	gives(poc, client_submit(poc, &write, 1, true, &done), STATUS_CONFLICT, "");
	assert_int_equal(done.current_seq, 2);
	assert_memory_equal(&done.current, &second.value, HASH_SIZE);
	client_submitted_finish(&done);
	struct name name;
	assert_true(name_parse("R/XA", &name));
	good(poc, client_history(poc, &name, see_version, &seen));
	assert_string_equal(seen.text, "1 coordinator of XA\n2 coordinator of XA\n");
	assert_true(name_parse("R/XC", &name));
	gives(poc, client_history(poc, &name, see_version, &seen), STATUS_NOT_FOUND, "proven");
	world_item_finish(&second);
	world_item_finish(&old);
	poc_close(poc);
}

static void test_envelopes(void **context)
{
	struct house *h = *context;
	struct poc *poc = open_user(h, "XA", "xa-reader");
	static const char *const names[] = {"U/XB", "T", "K/XA", "S", "K/XC", "U/@directory"};
	struct client_envelope got[6];

	good(poc, client_envelopes(poc, CLIENT_ONLINE, names, 6, got));
	assert_memory_equal(&got[0].envelope->value, &world_state(h->world, "XB")->users.value, HASH_SIZE);
	assert_int_equal(got[1].envelope->name.kind, NAME_TRUST);
	assert_memory_equal(&got[2].value, &world_state(h->world, "XA")->keys.value, HASH_SIZE);
	assert_int_equal(got[3].envelope->seq, h->world->reg.seq);
	assert_true(got[4].absent && got[4].envelope == NULL);
	assert_int_equal(got[5].envelope->payload.users->n_users, 3);
	client_envelopes_finish(got, 6);
	good(poc, poc_sync(poc, NULL, NULL));
	good(poc, client_envelopes(poc, CLIENT_OFFLINE, names, 6, got));
	assert_memory_equal(&got[0].envelope->value, &world_state(h->world, "XB")->users.value, HASH_SIZE);
	assert_true(got[4].absent);
	client_envelopes_finish(got, 6);
	static const char *const bad[] = {"R/XA"};
	gives(poc, client_envelopes(poc, CLIENT_ONLINE, bad, 1, got), STATUS_USAGE, "");
	poc_close(poc);
}

/* ---- Several at once */

enum { LOOKUPS = 40, WRITES = 25 };

struct runner {
	struct house *house;
	const char *user;
	int status;
	char message[400];
};

static void *run_lookups(void *arg)
{
	struct runner *runner = arg;
	uint64_t size = 0;

	for (int i = 0; i < LOOKUPS && runner->status == 0; i++) {
		struct poc_record record = {0};
		struct client c;
		struct poc *poc;
		client_init(runner->house, &c, "XA", runner->user);
		runner->status = poc_open(&c.options, &poc, runner->message, sizeof runner->message);
		if (runner->status != 0)
			break;
		runner->status = poc_lookup(poc, i % 2 == 0 ? "XA" : "XB", &record);
		snprintf(runner->message, sizeof runner->message, "%s", poc_error(poc));
		if (runner->status == 0 && record.verdict.size < size)
			runner->status = STATUS_FAILED;
		size = record.verdict.size;
		poc_record_finish(&record);
		poc_close(poc);
	}
	hash_thread_finish();
	return NULL;
}

static void test_several_at_once(void **context)
{
	struct house *h = *context;
	struct runner runners[2] = {{.house = h, .user = "xa-reader"}, {.house = h, .user = "xa-operator"}};
	struct poc *poc = open_user(h, "XA", "xa-reader");
	struct world_state *xa = world_state(h->world, "XA");
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_lookups, &runners[i]), 0);
	for (int i = 0; i < WRITES; i++) {
		struct client_submitted done;
		world_next_record(h->world, xa, false, NULL);
		struct client_write write = {xa->record.bytes, xa->record.size, xa->sections, WORLD_SECTIONS};
		good(poc, client_submit(poc, &write, 1, true, &done));
		assert_true(done.proven);
		client_submitted_finish(&done);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		if (runners[i].status != 0)
			fail_msg("%s: %s", status_name(runners[i].status), runners[i].message);
	}
	poc_close(poc);
}

/* ---- Readers */

struct told_readings {
	char text[400];
	int stop_at; /* rows; 0: never */
};

static int see_reading(void *ctx, const struct client_reading *row)
{
	struct told_readings *told = ctx;
	size_t at = strlen(told->text);

	snprintf(told->text + at, sizeof told->text - at, "%u %s %llu+%llu %lld\n", row->day, row->state,
		 (unsigned long long)row->lookups, (unsigned long long)row->copied, (long long)row->last);
	return told->stop_at > 0 && --told->stop_at == 0 ? STATUS_FAILED : 0;
}

static Poc__Reading reading(uint32_t day, const char *state, uint64_t lookups, uint64_t copied, int64_t last_ms)
{
	Poc__Reading row = POC__READING__INIT;

	row.day = day;
	row.state = (char *)state;
	row.lookups = lookups;
	row.copied = copied;
	row.last_ms = last_ms;
	return row;
}

#define ON(day) ((int64_t)(day)*86400000 + 5000)

static void test_readers(void **context)
{
	struct house *h = *context;
	struct poc *poc = open_user(h, "XA", "xa-operator");
	Poc__Reading rows[] = {reading(20, "@directory", 0, 3, ON(20)), reading(20, "XB", 1, 0, ON(20)),
			       reading(21, "XB", 7, 2, ON(21))};
	Poc__Reading *pointers[] = {&rows[0], &rows[1], &rows[2]};
	Poc__ReadersAnswer pages[] = {POC__READERS_ANSWER__INIT, POC__READERS_ANSWER__INIT};
	struct told_readings told = {.stop_at = 0};
	uint32_t kept_from;

	pages[0].readings = pointers;
	pages[0].n_readings = 2;
	pages[0].more = true;
	pages[1].readings = pointers + 2;
	pages[1].n_readings = 1;
	pages[0].kept_from = pages[1].kept_from = 19;
	tiny_server_readers(h->server, pages, 2);
	good(poc, client_readers(poc, 20, &kept_from, see_reading, &told));
	assert_string_equal(told.text, "20 @directory 0+3 1728005\n20 XB 1+0 1728005\n21 XB 7+2 1814405\n");
	assert_int_equal(kept_from, 19);
	/* whoever is told may stop */
	told = (struct told_readings){.stop_at = 1};
	tiny_server_readers(h->server, pages, 2);
	assert_int_equal(client_readers(poc, 20, &kept_from, see_reading, &told), STATUS_FAILED);
	assert_string_equal(told.text, "20 @directory 0+3 1728005\n");
	poc_close(poc);
}

/* Rows that protocol.md does not allow, and pages without end, are refused. */
static void test_readers_that_are_none(void **context)
{
	struct house *h = *context;
	struct poc *poc = open_user(h, "XA", "xa-operator");
	const Poc__Reading bad[] = {
	    reading(19, "XB", 1, 0, ON(19)),        reading(20, "XB\033[2J", 1, 0, ON(20)),
	    reading(20, "", 1, 0, ON(20)),          reading(20, "XC", 0, 0, ON(20)),
	    reading(20, "XC", 1, 0, ON(21)),        reading(20, "XC", 1, 0, -5),
	    reading(20, "XB", 1, 0, ON(20)),        reading(20, "XAAAAAAAAAAAAAAA", 1, 0, ON(20)),
	    reading(UINT32_MAX, "XC", 1, 0, ON(20))};
	Poc__Reading rows[] = {reading(20, "XB", 1, 0, ON(20)), reading(20, "XC", 1, 0, ON(20))};
	Poc__Reading *pointers[] = {&rows[0], &rows[1]};
	Poc__ReadersAnswer pages[] = {POC__READERS_ANSWER__INIT, POC__READERS_ANSWER__INIT};
	struct told_readings told = {.stop_at = 0};
	uint32_t kept_from;

	pages[0].readings = pointers;
	pages[0].n_readings = 2;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		rows[1] = bad[i];
		tiny_server_readers(h->server, pages, 1);
		gives(poc, client_readers(poc, 20, &kept_from, see_reading, &told), STATUS_MALFORMED, "no such rows");
	}
	pages[0].n_readings = 1;
	pages[0].more = pages[1].more = true;
	tiny_server_readers(h->server, pages, 2);
	gives(poc, client_readers(poc, 20, &kept_from, see_reading, &told), STATUS_MALFORMED, "an empty page");
	pages[1] = pages[0]; /* the same again */
	tiny_server_readers(h->server, pages, 2);
	gives(poc, client_readers(poc, 20, &kept_from, see_reading, &told), STATUS_MALFORMED, "no such rows");
	poc_close(poc);
}

/* ---- The outbox */

struct posts {
	size_t n;
	Poc__Step steps[8]; /* of receipts, in the order in which they came */
};

/* The first one is put off, the others are stored. */
static void answer_post(void *ctx, const char *state, const Poc__Request *request, uint8_t **bytes, size_t *size)
{
	struct posts *posts = ctx;
	Poc__Response response = POC__RESPONSE__INIT;
	Poc__Error error = POC__ERROR__INIT;
	Poc__PostAnswer answer = POC__POST_ANSWER__INIT;
	struct receipt *receipt;
	uint8_t *message;
	size_t length;

	(void)state;
	assert_int_equal(request->body_case, POC__REQUEST__BODY_POST);
	const ProtobufCBinaryData *envelope = &request->post->envelope;
	struct hash hash = hash_of(envelope->data, envelope->len);
	assert_int_equal(receipt_parse(envelope->data, envelope->len, &receipt, NULL), 0);
	posts->steps[posts->n++] = receipt->receipt->step;
	response.id = request->id;
	if (posts->n == 1) {
		error.code = STATUS_BUSY;
		error.message = (char *)"too much to do";
		response.body_case = POC__RESPONSE__BODY_ERROR;
		response.error = &error;
	} else {
		answer.id = (ProtobufCBinaryData){NOTICE_ID_SIZE, receipt->notice_id.bytes};
		answer.hash = (ProtobufCBinaryData){HASH_SIZE, hash.bytes};
		answer.stored_ms = START * 1000LL;
		response.body_case = POC__RESPONSE__BODY_POST;
		response.post = &answer;
	}
	assert_int_equal(message_encode(&response, &message, &length), 0);
	*size = FRAME_HEADER + length;
	*bytes = malloc(*size);
	assert_non_null(*bytes);
	frame_put_header(*bytes, (uint32_t)length);
	memcpy(*bytes + FRAME_HEADER, message, length);
	free(message);
	receipt_destroy(receipt);
}

static void put_receipt(const struct house *h, struct poc *poc, Poc__Step step, uint8_t notice)
{
	Poc__Receipt receipt = POC__RECEIPT__INIT;
	uint8_t id[NOTICE_ID_SIZE] = {notice}, hash[HASH_SIZE] = {notice}, *bytes;
	char name[OUTBOX_NAME];
	size_t size;

	receipt.directory_id = (ProtobufCBinaryData){HASH_SIZE, h->world->directory_id.bytes};
	receipt.notice_id = (ProtobufCBinaryData){sizeof id, id};
	receipt.notice_hash = (ProtobufCBinaryData){sizeof hash, hash};
	receipt.step = step;
	receipt.reason = step == POC__STEP__STEP_DECLINED ? POC__REASON__REASON_OTHER : 0;
	receipt.place = (char *)"XA";
	receipt.kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	receipt.handle = (char *)"operator";
	receipt.time = START + 1000;
	assert_int_equal(receipt_make(&receipt, client_key(poc), &bytes, &size, NULL), 0);
	good(poc, outbox_put(poc, bytes, size, NULL, 0, name));
	free(bytes);
}

/* What a desk has said last counts: so what it said later of a notice does not overtake what waits. */
static void test_outbox_keeps_order(void **context)
{
	struct house *h = *context;
	struct poc *poc = open_user(h, "XA", "xa-operator");
	struct posts posts = {0};
	size_t waiting;

	good(poc, poc_connect(poc));
	tiny_server_answer(h->server, answer_post, &posts);
	put_receipt(h, poc, POC__STEP__STEP_ACCEPTED, 1);
	put_receipt(h, poc, POC__STEP__STEP_DECLINED, 1);
	put_receipt(h, poc, POC__STEP__STEP_CLOSED, 2);
	assert_int_equal(outbox_flush(poc, NULL, 0, NULL, NULL, &waiting), STATUS_BUSY);
	assert_int_equal(waiting, 2);
	assert_int_equal(posts.n, 2);
	assert_int_equal(posts.steps[1], POC__STEP__STEP_CLOSED);
	good(poc, outbox_flush(poc, NULL, 0, NULL, NULL, &waiting));
	assert_int_equal(waiting, 0);
	assert_int_equal(posts.steps[2], POC__STEP__STEP_ACCEPTED);
	assert_int_equal(posts.steps[3], POC__STEP__STEP_DECLINED);
	poc_close(poc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_lookup, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_absent, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_withdrawn, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_server_key, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_clock, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_not_listed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_never_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fork_ahead, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_damaged_state, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_damaged_under_way, setup, teardown),
	    cmocka_unit_test(test_trust_without_end),
	    cmocka_unit_test_setup_teardown(test_no_state_dir, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_spoiled_answers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sync, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sync_by_a_slow_clock, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_meddled_copy, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_submit, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_envelopes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_several_at_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_readers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_readers_that_are_none, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_outbox_keeps_order, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
