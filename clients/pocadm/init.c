/* A new directory: keys, the first batch, configurations.  Built in a folder beside the wanted one and renamed at the
 * end, so that nothing is half made. */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clients/cli/key.h"
#include "clients/cli/strings.h"
#include "clients/pocadm/commands.h"
#include "pocd/base/address.h"
#include "pocd/base/clock.h"
#include "pocd/base/ini.h"
#include "pocd/directory/directory.h"
#include "proto/keys/keystore_file.h"
#include "proto/rules/rules.h"

enum { KEYS_MAX = 16, TRUST_LIFE_DAYS = 730, MAX_AGE = 86400, REPLACEMENT_DELAY = 259200 };

struct key_set {
	size_t n;
	unsigned threshold;
	struct keystore_key *keys[KEYS_MAX];
	Poc__Key messages[KEYS_MAX], *pointers[KEYS_MAX];
};

struct founding {
	struct cli *cli;
	char folder[CONF_PATH_MAX]; /* where it grows */
	const char *origin, *listen;
	const char *server_address; /* what clients connect to */
	int64_t now;
	struct key_set root, enrolment, log, authority, coordinator, admin, server, service;
	struct key_set admin_reading, service_reading;
	struct hash directory;
	struct change_write writes[4];
	size_t n_writes;
};

static int path_in(const struct founding *f, char out[CONF_PATH_MAX], const char *name)
{
	int n = snprintf(out, CONF_PATH_MAX, "%s/%s", f->folder, name);

	return n >= 0 && n < CONF_PATH_MAX ? 0 : cli_fail(f->cli, STATUS_INVALID, tr("path too long"));
}

static int make_keys(struct founding *f, struct key_set *set, const char *name, enum key_algorithm algorithm)
{
	char file[120], path[CONF_PATH_MAX];

	for (size_t i = 0; i < set->n; i++) {
		if (set->n == 1)
			snprintf(file, sizeof file, "keys/%s.key", name);
		else
			snprintf(file, sizeof file, "keys/%s-%zu.key", name, i + 1);
		if (path_in(f, path, file) != 0)
			return STATUS_INVALID;
		int status = key_make(f->cli, algorithm, path, false, &set->keys[i]);
		if (status != 0)
			return status;
		const struct public_key *public_key = keystore_public(set->keys[i]);
		poc__key__init(&set->messages[i]);
		set->messages[i].spki = (ProtobufCBinaryData){public_key->spki_size, (uint8_t *)public_key->spki};
		set->pointers[i] = &set->messages[i];
	}
	return 0;
}

static int add(struct founding *f, const ProtobufCMessage *payload, const struct key_set *by, size_t n_sign)
{
	struct refusal why = {0};
	uint8_t *bytes;
	size_t size;

	if (envelope_make(payload, by->keys, n_sign, &bytes, &size, &why) != 0)
		return cli_refused(f->cli, &why);
	f->writes[f->n_writes++] = (struct change_write){bytes, size, 0, NULL};
	return 0;
}

static int make_trust(struct founding *f)
{
	Poc__Trust trust = POC__TRUST__INIT;
	Poc__Head head;
	char *algorithms[] = {(char *)"ecdsa-p256-sha256", (char *)"ecdsa-p384-sha384", (char *)"ed25519"};
	struct envelope *parsed;
	struct refusal why = {0};

	head_fill(&head, NULL, "T", 1, NULL);
	trust.head = &head;
	trust.issued = f->now;
	trust.expires = f->now + (int64_t)TRUST_LIFE_DAYS * 86400;
	trust.origin = (char *)f->origin;
	trust.log_keys = f->log.pointers;
	trust.n_log_keys = f->log.n;
	trust.root_keys = f->root.pointers;
	trust.n_root_keys = f->root.n;
	trust.root_threshold = f->root.threshold;
	trust.enrolment_keys = f->enrolment.pointers;
	trust.n_enrolment_keys = f->enrolment.n;
	trust.enrolment_threshold = f->enrolment.threshold;
	trust.max_age = MAX_AGE;
	trust.algorithms = algorithms;
	trust.n_algorithms = 3;
	trust.least_protocol = 1;
	trust.replacement_delay = REPLACEMENT_DELAY;
	int status = add(f, &trust.base, &f->root, f->root.threshold);
	if (status != 0)
		return status;
	if (envelope_parse(f->writes[0].envelope, f->writes[0].envelope_size, &parsed, &why) != 0)
		return cli_refused(f->cli, &why);
	f->directory = parsed->payload_hash;
	envelope_destroy(parsed);
	return 0;
}

static int make_directory_keys(struct founding *f, struct hash *anchor)
{
	Poc__Keys keys = POC__KEYS__INIT;
	Poc__Head head;
	struct envelope *parsed;
	struct refusal why = {0};

	head_fill(&head, &f->directory, "K/" STATE_DIRECTORY, 1, NULL);
	keys.head = &head;
	keys.issued = f->now;
	keys.authority = f->authority.pointers;
	keys.n_authority = 1;
	keys.authority_threshold = 1;
	keys.coordinators = f->coordinator.pointers;
	keys.n_coordinators = 1;
	int status = add(f, &keys.base, &f->authority, 1);
	if (status != 0)
		return status;
	const struct change_write *write = &f->writes[f->n_writes - 1];
	if (envelope_parse(write->envelope, write->envelope_size, &parsed, &why) != 0)
		return cli_refused(f->cli, &why);
	*anchor = parsed->payload_hash;
	envelope_destroy(parsed);
	return 0;
}

static int make_register(struct founding *f, const struct hash *anchor)
{
	Poc__Register reg = POC__REGISTER__INIT;
	Poc__Entry entry = POC__ENTRY__INIT, *entries[] = {&entry};
	Poc__Head head;
	char date[16];
	time_t at = (time_t)f->now;
	struct tm tm;

	gmtime_r(&at, &tm);
	strftime(date, sizeof date, "%Y-%m-%d", &tm);
	head_fill(&head, &f->directory, "S", 1, NULL);
	entry.state = (char *)STATE_DIRECTORY;
	entry.anchor = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)anchor->bytes};
	entry.reference = (char *)"founding";
	entry.date = date;
	reg.head = &head;
	reg.issued = f->now;
	reg.entries = entries;
	reg.n_entries = 1;
	return add(f, &reg.base, &f->enrolment, f->enrolment.threshold);
}

/* What channel reports, and whatever else comes to the directory's desk, is encrypted to. */
static void fill_reading(Poc__ReadingKey *out, const struct key_set *key, const Poc__User *user, Poc__PocKind *kind)
{
	poc__reading_key__init(out);
	out->spki = key->messages[0].spki;
	out->holder = POC__HOLDER__HOLDER_USER;
	out->handle = user->handle;
	out->kinds = kind;
	out->n_kinds = 1;
}

static int make_users(struct founding *f)
{
	Poc__Users users = POC__USERS__INIT;
	Poc__User admin = POC__USER__INIT, server = POC__USER__INIT, service = POC__USER__INIT;
	Poc__User *list[] = {&admin, &server, &service};
	Poc__ReadingKey reading[2], *readers[] = {&reading[0], &reading[1]};
	Poc__Role admin_roles[] = {POC__ROLE__ROLE_COORDINATOR, POC__ROLE__ROLE_ADMIN},
		  server_role = POC__ROLE__ROLE_SERVER, service_role = POC__ROLE__ROLE_SERVICE;
	Poc__PocKind kind = POC__POC_KIND__POC_KIND_COORDINATOR;
	Poc__Head head;

	head_fill(&head, &f->directory, "U/" STATE_DIRECTORY, 1, NULL);
	admin.handle = (char *)"admin";
	admin.spki = f->admin.messages[0].spki;
	admin.roles = admin_roles;
	admin.n_roles = 2;
	server.handle = (char *)"server";
	server.spki = f->server.messages[0].spki;
	server.service = 1;
	server.roles = &server_role;
	server.n_roles = 1;
	/* in whose name reminders and communications checks are sent, by timers */
	service.handle = (char *)"service";
	service.spki = f->service.messages[0].spki;
	service.service = 1;
	service.roles = &service_role;
	service.n_roles = 1;
	fill_reading(&reading[0], &f->admin_reading, &admin, &kind);
	fill_reading(&reading[1], &f->service_reading, &service, &kind);
	users.head = &head;
	users.issued = f->now;
	users.users = list;
	users.n_users = 3;
	users.reading_keys = readers;
	users.n_reading_keys = 2;
	return add(f, &users.base, &f->coordinator, 1);
}

static int make_batch(struct founding *f)
{
	struct hash anchor;
	int status = make_trust(f);

	if (status == 0)
		status = make_directory_keys(f, &anchor);
	if (status == 0)
		status = make_register(f, &anchor);
	if (status == 0)
		status = make_users(f);
	if (status != 0)
		return status;
	/* the order of dependence: T, S, K, U */
	struct change_write keys = f->writes[1];
	f->writes[1] = f->writes[2];
	f->writes[2] = keys;
	return 0;
}

static int make_store(struct founding *f)
{
	char path[CONF_PATH_MAX];
	struct refusal why = {0};
	struct store *store;

	if (path_in(f, path, "data") != 0)
		return STATUS_INVALID;
	struct store_lmdb_options options = {.path = path, .create = 1};
	int status = store_lmdb_open(&options, &store, &why);
	if (status != 0)
		return cli_refused(f->cli, &why);
	struct directory_options directory = {
	    .store = store, .log_keys = f->log.keys, .n_log_keys = 1, .now_ms = clock_now_ms};
	status = directory_create(&directory, f->writes, f->n_writes, &why);
	store_close(store);
	return status == 0 ? 0 : cli_refused(f->cli, &why);
}

/* "keys/root-1.key, keys/root-2.key" */
static void key_list(char out[CONF_TEXT_MAX], const struct key_set *set, const char *name)
{
	size_t used = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < set->threshold && used < CONF_TEXT_MAX - 60; i++)
		used += (size_t)snprintf(out + used, CONF_TEXT_MAX - used,
					 set->n == 1 ? "%skeys/%s.key" : "%skeys/%s-%u.key", i > 0 ? ", " : "", name,
					 i + 1);
}

static int write_text(struct founding *f, const char *name, unsigned mode, const char *text)
{
	char path[CONF_PATH_MAX];
	struct refusal why = {0};

	if (path_in(f, path, name) != 0)
		return STATUS_INVALID;
	return cli_write_file(path, text, strlen(text), mode, true, &why) == 0 ? 0 : cli_refused(f->cli, &why);
}

static int write_files(struct founding *f)
{
	char text[6000], id[65], pin[65], enrolment[CONF_TEXT_MAX], path[CONF_PATH_MAX];
	struct refusal why = {0};

	hash_to_hex(&f->directory, id);
	hash_to_hex(&keystore_public(f->server.keys[0])->id, pin);
	key_list(enrolment, &f->enrolment, "enrolment");
	snprintf(text, sizeof text,
		 "; made by pocadm init; pocd.conf(5) lists all keys\n[server]\nlisten = %s\ncert = server.crt\nkey = "
		 "keys/server.key\n\n"
		 "[store]\npath = data\n\n[log]\nkey = keys/log.key\n",
		 f->listen);
	int status = write_text(f, "pocd.conf", 0600, text);
	snprintf(text, sizeof text,
		 "; what a state needs to know to join: poc state new CC --directory "
		 "directory.info\n[directory]\nserver = %s\n"
		 "id = %s\nserver_pin = %s\norigin = %s\n",
		 f->server_address, id, pin, f->origin);
	if (status == 0)
		status = write_text(f, "directory.info", 0644, text);
	snprintf(text, sizeof text,
		 "; the directory's staff\n[directory]\nserver = %s\nid = %s\nserver_pin = %s\n\n[user]\nstate = %s\n"
		 "cert = admin.crt\nkey = keys/admin.key\n\n[coordinator]\nkey = "
		 "keys/coordinator.key\n\n[enrolment]\nkey = %s\n\n[notices]\nreading_key = keys/admin-reading.key\n\n"
		 "[state]\ndir = admin.state\n",
		 f->server_address, id, pin, STATE_DIRECTORY, enrolment);
	if (status == 0)
		status = write_text(f, "directory-admin.conf", 0600, text);
	snprintf(text, sizeof text,
		 "; a service of the directory's staff: pocadm remind, pocadm ping\n[directory]\nserver = %s\nid = %s\n"
		 "server_pin = %s\n\n[user]\nstate = %s\ncert = service.crt\nkey = keys/service.key\n\n"
		 "[notices]\nreading_key = keys/service-reading.key\n\n[state]\ndir = service.state\n",
		 f->server_address, id, pin, STATE_DIRECTORY);
	if (status == 0)
		status = write_text(f, "directory-service.conf", 0600, text);
	if (status == 0 && (status = path_in(f, path, "server.crt")) == 0 &&
	    (status = keystore_write_certificate(f->server.keys[0], "pocd", path, &why)) != 0)
		cli_refused(f->cli, &why);
	if (status == 0 && (status = path_in(f, path, "admin.crt")) == 0 &&
	    (status = keystore_write_certificate(f->admin.keys[0], "admin", path, &why)) != 0)
		cli_refused(f->cli, &why);
	if (status == 0 && (status = path_in(f, path, "service.crt")) == 0 &&
	    (status = keystore_write_certificate(f->service.keys[0], "service", path, &why)) != 0)
		cli_refused(f->cli, &why);
	return status;
}

static int read_count(struct cli *cli, const char *name, uint64_t fallback, uint64_t max, uint64_t *out)
{
	*out = fallback;
	if (!cli_has(cli, name) || (ini_unsigned(cli_value(cli, name), max, out) && *out > 0))
		return 0;
	return cli_fail(cli, STATUS_USAGE, tr("--%s takes 1 to %llu"), name, (unsigned long long)max);
}

static int read_options(struct founding *f)
{
	struct cli *cli = f->cli;
	uint64_t roots, root_threshold, enrolments, enrolment_threshold;
	struct sockaddr_storage address;
	struct refusal why = {0};
	socklen_t size;

	f->origin = cli_value(cli, "origin");
	f->listen = cli_has(cli, "listen") ? cli_value(cli, "listen") : "127.0.0.1:7437";
	f->now = (int64_t)time(NULL);
	if (f->origin == NULL)
		return cli_fail(cli, STATUS_USAGE, tr("--origin NAME is needed, e.g. pocd.example.int/2026a"));
	if (address_parse(f->listen, &address, &size, &why) != 0)
		return cli_fail(cli, STATUS_USAGE, tr("--listen: %s"), why.message);
	f->server_address = cli->servers != NULL ? cli->servers : f->listen;
	if (cli->servers == NULL && address_is_any(&address))
		return cli_fail(cli, STATUS_USAGE,
				tr("%s is nothing that others can connect to: --server HOST:PORT says what they use"),
				f->listen);
	if (read_count(cli, "roots", 1, KEYS_MAX, &roots) != 0 ||
	    read_count(cli, "root-threshold", roots / 2 + 1, roots, &root_threshold) != 0 ||
	    read_count(cli, "enrolments", 1, KEYS_MAX, &enrolments) != 0 ||
	    read_count(cli, "enrolment-threshold", enrolments / 2 + 1, enrolments, &enrolment_threshold) != 0)
		return STATUS_USAGE;
	f->root.n = (size_t)roots;
	f->root.threshold = (unsigned)root_threshold;
	f->enrolment.n = (size_t)enrolments;
	f->enrolment.threshold = (unsigned)enrolment_threshold;
	f->log.n = f->authority.n = f->coordinator.n = f->admin.n = f->server.n = f->service.n = 1;
	f->admin_reading.n = f->service_reading.n = 1;
	return 0;
}

static int make_folders(struct founding *f, const char *wanted)
{
	char path[CONF_PATH_MAX];

	if (access(wanted, F_OK) == 0 && rmdir(wanted) != 0)
		return cli_fail(f->cli, STATUS_CONFLICT, tr("%s exists already and is not empty"), wanted);
	snprintf(f->folder, sizeof f->folder, "%.4000s.new", wanted);
	if (mkdir(f->folder, 0700) != 0)
		return cli_fail(f->cli, STATUS_IO, "%s: %s", f->folder, strerror(errno));
	if (path_in(f, path, "keys") != 0 || mkdir(path, 0700) != 0)
		return cli_fail(f->cli, STATUS_IO, "%s: %s", f->folder, strerror(errno));
	return 0;
}

static int make_all(struct founding *f)
{
	int status = make_keys(f, &f->root, "root", KEY_P384);

	if (status == 0)
		status = make_keys(f, &f->enrolment, "enrolment", KEY_P384);
	if (status == 0)
		status = make_keys(f, &f->log, "log", KEY_ED25519);
	if (status == 0)
		status = make_keys(f, &f->authority, "authority", KEY_P384);
	if (status == 0)
		status = make_keys(f, &f->coordinator, "coordinator", KEY_ED25519);
	if (status == 0)
		status = make_keys(f, &f->admin, "admin", KEY_ED25519);
	if (status == 0)
		status = make_keys(f, &f->server, "server", KEY_ED25519);
	if (status == 0)
		status = make_keys(f, &f->service, "service", KEY_ED25519);
	if (status == 0)
		status = make_keys(f, &f->admin_reading, "admin-reading", KEY_P384);
	if (status == 0)
		status = make_keys(f, &f->service_reading, "service-reading", KEY_P384);
	if (status == 0)
		status = make_batch(f);
	if (status == 0)
		status = make_store(f);
	return status != 0 ? status : write_files(f);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st;
	(void)type;
	(void)walk;
	return remove(path);
}

static void close_keys(struct key_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		keystore_close(set->keys[i]);
}

int pocadm_cmd_init(struct cli *cli)
{
	struct founding f = {.cli = cli};
	char id[65];
	int status = read_options(&f);

	if (status == 0 && cli->dry_run) {
		return cli_would(cli, tr("a directory with the origin %s would be made in %s"), f.origin, cli->argv[0]);
	}
	if (status == 0)
		status = make_folders(&f, cli->argv[0]);
	if (status != 0)
		return status;
	status = make_all(&f);
	if (status == 0 && rename(f.folder, cli->argv[0]) != 0)
		status = cli_fail(cli, STATUS_IO, "%s: %s", cli->argv[0], strerror(errno));
	if (status != 0)
		nftw(f.folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	for (size_t i = 0; i < f.n_writes; i++)
		free((void *)f.writes[i].envelope);
	close_keys(&f.root);
	close_keys(&f.enrolment);
	close_keys(&f.log);
	close_keys(&f.authority);
	close_keys(&f.coordinator);
	close_keys(&f.admin);
	close_keys(&f.server);
	close_keys(&f.service);
	close_keys(&f.admin_reading);
	close_keys(&f.service_reading);
	if (status != 0)
		return status;
	hash_to_hex(&f.directory, id);
	if (cli->json) {
		cli_document(cli, "poc.init/1",
			     json_pack("{s:s,s:s,s:s}", "folder", cli->argv[0], "directory", id, "origin", f.origin));
		return 0;
	}
	printf(tr("directory %s\n"), id);
	cli_line(tr("start it: pocd -c %s/pocd.conf"), cli->argv[0]);
	cli_line(tr("give to states: %s/directory.info; take offline: %s/keys/root*.key, keys/authority.key"),
		 cli->argv[0], cli->argv[0]);
	cli_line(
	    tr("no auditors yet: as soon as states run some, list them (pocadm trust draft --auditor-add, --quorum)"));
	return 0;
}
