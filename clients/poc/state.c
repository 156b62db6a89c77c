/* A state's authority: first keys and the enrolment file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clients/cli/key.h"
#include "clients/cli/person.h"
#include "clients/cli/place.h"
#include "clients/cli/reading.h"
#include "clients/cli/strings.h"
#include "clients/libpoc/enrolment.h"
#include "clients/poc/commands.h"
#include "pocd/base/ini.h"
#include "proto/keys/keystore_file.h"
#include "proto/rules/envelope.h"
#include "proto/rules/rules.h"

enum { AUTHORITIES_MAX = 16, DESKS = 3 };

struct founding {
	struct cli *cli;
	const char *folder;
	struct person person;
	struct hash directory;
	size_t n_authority;
	unsigned threshold;
	struct keystore_key *authority[AUTHORITIES_MAX], *coordinator, *user;
	struct public_key reading, desks[DESKS]; /* the first user's, and of the desk of each kind */
};

static int take_info(void *ctx, const char *section, const char *key, const char *value, struct refusal *why)
{
	struct person *person = ctx;

	if (strcmp(section, "directory") != 0)
		return refuse(why, STATUS_INVALID, "", "expected a section [directory]");
	if (strcmp(key, "server") == 0 && strlen(value) < sizeof person->servers)
		strcpy(person->servers, value);
	else if (strcmp(key, "id") == 0 && strlen(value) < sizeof person->directory_id)
		strcpy(person->directory_id, value);
	else if (strcmp(key, "server_pin") == 0 && strlen(value) < sizeof person->server_pin)
		strcpy(person->server_pin, value);
	else if (strcmp(key, "origin") != 0)
		return refuse(why, STATUS_INVALID, "", "unknown or bad key \"%.40s\"", key);
	return 0;
}

/* Which directory: --directory FILE, else the configuration. */
static int read_directory(struct founding *f)
{
	struct cli *cli = f->cli;
	struct refusal why = {0};

	if (cli_has(cli, "directory")) {
		if (ini_read(cli_value(cli, "directory"), take_info, &f->person, &why) != 0)
			return cli_refused(cli, &why);
	} else {
		snprintf(f->person.servers, sizeof f->person.servers, "%s", cli->conf.servers);
		snprintf(f->person.directory_id, sizeof f->person.directory_id, "%s", cli->conf.id);
		snprintf(f->person.server_pin, sizeof f->person.server_pin, "%s", cli->conf.server_pin);
	}
	return hash_from_hex(f->person.directory_id, &f->directory) == 0
		   ? 0
		   : cli_fail(cli, STATUS_USAGE,
			      tr("which directory? --directory FILE (the directory.info of its staff)"));
}

static int read_options(struct founding *f)
{
	struct cli *cli = f->cli;
	uint64_t number = 1;
	const struct country *country;
	int status = place_country(cli, cli->argv[0], &country);
	if (status != 0)
		return status;
	const char *code = country != NULL ? country->code : cli->argv[0];

	if (!state_code_valid(code))
		return cli_fail(cli, STATUS_USAGE, tr("\"%s\" is not a state's code (two capital letters)"),
				cli->argv[0]);
	snprintf(f->person.state, sizeof f->person.state, "%s", code);
	if (cli_has(cli, "authorities") &&
	    (!ini_unsigned(cli_value(cli, "authorities"), AUTHORITIES_MAX, &number) || number == 0))
		return cli_fail(cli, STATUS_USAGE, tr("--authorities takes 1 to %d"), AUTHORITIES_MAX);
	f->n_authority = (size_t)number;
	if (cli_has(cli, "threshold") &&
	    (!ini_unsigned(cli_value(cli, "threshold"), f->n_authority, &number) || number == 0))
		return cli_fail(cli, STATUS_USAGE, tr("--threshold takes 1 to the number of authority keys"));
	f->threshold = (unsigned)number;
	f->folder = cli_has(cli, "out") ? cli_value(cli, "out") : f->person.state;
	return read_directory(f);
}

/* Keys of an earlier time are never mixed with new ones. */
static int make_folder(struct founding *f)
{
	char path[CONF_PATH_MAX];

	snprintf(path, sizeof path, "%s/%s-coordinator.conf", f->folder, f->person.state);
	if (access(path, F_OK) == 0)
		return cli_fail(f->cli, STATUS_CONFLICT, tr("%s holds the keys of %s already: nothing was made"),
				f->folder, f->person.state);
	if (f->cli->dry_run)
		return 0;
	if (mkdir(f->folder, 0700) == 0)
		made_add(&f->cli->made, f->folder);
	else if (errno != EEXIST || access(f->folder, W_OK | X_OK) != 0)
		return cli_fail(f->cli, STATUS_IO, tr("%s: cannot be made or written to: %s"), f->folder,
				strerror(errno));
	return 0;
}

static int make_key(struct founding *f, enum key_algorithm algorithm, const char *name, struct keystore_key **out)
{
	char path[CONF_PATH_MAX];

	snprintf(path, sizeof path, "%s/%s.key", f->folder, name);
	return key_make(f->cli, algorithm, path, false, out);
}

static int make_keys(struct founding *f)
{
	char name[80], path[CONF_PATH_MAX];
	struct refusal why = {0};
	int status = 0;

	for (size_t i = 0; i < f->n_authority && status == 0; i++) {
		if (f->n_authority == 1)
			snprintf(name, sizeof name, "%s-authority", f->person.state);
		else
			snprintf(name, sizeof name, "%s-authority-%zu", f->person.state, i + 1);
		status = make_key(f, KEY_P384, name, &f->authority[i]);
	}
	snprintf(name, sizeof name, "%s-signing", f->person.state);
	if (status == 0)
		status = make_key(f, KEY_ED25519, name, &f->coordinator);
	snprintf(name, sizeof name, "%s-coordinator", f->person.state);
	if (status == 0)
		status = make_key(f, KEY_ED25519, name, &f->user);
	snprintf(path, sizeof path, "%s/%s.crt", f->folder, name);
	if (status != 0)
		return status;
	if (keystore_write_certificate(f->user, "coordinator", path, &why) != 0)
		return cli_refused(f->cli, &why);
	made_add(&f->cli->made, path);
	return 0;
}

static const Poc__PocKind desk_kinds[DESKS] = {POC__POC_KIND__POC_KIND_TECHNICAL, POC__POC_KIND__POC_KIND_DIPLOMATIC,
					       POC__POC_KIND__POC_KIND_COORDINATOR};

static void desk_name(const struct founding *f, size_t i, char out[80])
{
	snprintf(out, 80, "%s-desk-%s", f->person.state, poc_kind_name(desk_kinds[i]));
}

/* From the first day on a notice to any desk of the state can be encrypted, and be read. */
static int make_reading_keys(struct founding *f)
{
	char name[80];

	snprintf(name, sizeof name, "%s-coordinator-reading", f->person.state);
	int status = reading_make(f->cli, f->folder, name, &f->reading);
	for (size_t i = 0; i < DESKS && status == 0; i++) {
		desk_name(f, i, name);
		status = reading_make(f->cli, f->folder, name, &f->desks[i]);
	}
	return status;
}

static void fill_reading_key(Poc__ReadingKey *entry, const struct public_key *key, Poc__Holder holder,
			     const Poc__PocKind *kind)
{
	poc__reading_key__init(entry);
	entry->spki = (ProtobufCBinaryData){key->spki_size, (uint8_t *)key->spki};
	entry->holder = holder;
	entry->kinds = (Poc__PocKind *)kind;
	entry->n_kinds = 1;
}

static Poc__Key key_of(const struct keystore_key *key)
{
	Poc__Key message = POC__KEY__INIT;
	const struct public_key *public_key = keystore_public(key);

	message.spki = (ProtobufCBinaryData){public_key->spki_size, (uint8_t *)public_key->spki};
	return message;
}

static int make_k(struct founding *f, int64_t now, uint8_t **bytes, size_t *size, struct refusal *why)
{
	Poc__Keys keys = POC__KEYS__INIT;
	Poc__Head head;
	Poc__Key authority[AUTHORITIES_MAX], *authorities[AUTHORITIES_MAX];
	Poc__Key coordinator = key_of(f->coordinator), *coordinators[] = {&coordinator};
	struct name name;

	if (!name_make(NAME_KEYS, f->person.state, NULL, &name))
		return refuse(why, STATUS_INVALID, "state", "not a state");
	head_fill(&head, &f->directory, name.text, 1, NULL);
	for (size_t i = 0; i < f->n_authority; i++) {
		authority[i] = key_of(f->authority[i]);
		authorities[i] = &authority[i];
	}
	keys.head = &head;
	keys.issued = now;
	keys.authority = authorities;
	keys.n_authority = f->n_authority;
	keys.authority_threshold = f->threshold;
	keys.coordinators = coordinators;
	keys.n_coordinators = 1;
	return envelope_make(&keys.base, f->authority, f->n_authority, bytes, size, why);
}

static int make_u(struct founding *f, int64_t now, uint8_t **bytes, size_t *size, struct refusal *why)
{
	Poc__Users users = POC__USERS__INIT;
	Poc__User user = POC__USER__INIT, *list[] = {&user};
	Poc__ReadingKey reading[DESKS + 1], *readings[DESKS + 1];
	Poc__Head head;
	Poc__Role role = POC__ROLE__ROLE_COORDINATOR;
	const struct public_key *public_key = keystore_public(f->user);
	struct name name;

	if (!name_make(NAME_USERS, f->person.state, NULL, &name))
		return refuse(why, STATUS_INVALID, "state", "not a state");
	head_fill(&head, &f->directory, name.text, 1, NULL);
	user.handle = (char *)"coordinator";
	user.spki = (ProtobufCBinaryData){public_key->spki_size, (uint8_t *)public_key->spki};
	user.roles = &role;
	user.n_roles = 1;
	users.head = &head;
	users.issued = now;
	users.users = list;
	users.n_users = 1;
	fill_reading_key(&reading[0], &f->reading, POC__HOLDER__HOLDER_USER, &desk_kinds[DESKS - 1]);
	reading[0].handle = user.handle;
	for (size_t i = 0; i < DESKS; i++)
		fill_reading_key(&reading[i + 1], &f->desks[i], POC__HOLDER__HOLDER_DESK, &desk_kinds[i]);
	for (size_t i = 0; i <= DESKS; i++)
		readings[i] = &reading[i];
	users.reading_keys = readings;
	users.n_reading_keys = DESKS + 1;
	return envelope_make(&users.base, &f->coordinator, 1, bytes, size, why);
}

static int write_enrolment(struct founding *f, int64_t now)
{
	ProtobufCBinaryData keys = {0}, users = {0};
	struct refusal why = {0};
	char path[CONF_PATH_MAX];
	uint8_t *bytes = NULL;
	size_t size;
	int status = make_k(f, now, &keys.data, &keys.len, &why);

	if (status == 0)
		status = make_u(f, now, &users.data, &users.len, &why);
	if (status == 0 && enrolment_encode(&keys, &users, &bytes, &size) != 0)
		status = refuse(&why, STATUS_NO_MEMORY, "", "out of memory");
	snprintf(path, sizeof path, "%s/%s.enrol", f->folder, f->person.state);
	if (status == 0)
		status = cli_write_file(path, bytes, size, 0644, true, &why);
	free(bytes);
	free(keys.data);
	free(users.data);
	if (status != 0)
		return cli_refused(f->cli, &why);
	made_add(&f->cli->made, path);
	return 0;
}

static int write_conf(struct founding *f)
{
	char path[CONF_PATH_MAX], stem[80], extra[2048];

	snprintf(stem, sizeof stem, "%s-coordinator", f->person.state);
	snprintf(path, sizeof path, "%s/%s.conf", f->folder, stem);
	int used = snprintf(extra, sizeof extra,
			    "\n[coordinator]\nkey = %s-signing.key\n\n[notices]\nreading_key = %s-reading.key",
			    f->person.state, stem);
	for (size_t i = 0; i < DESKS; i++) {
		char name[80];
		desk_name(f, i, name);
		used += snprintf(extra + used, sizeof extra - (size_t)used, ", %s.key", name);
	}
	snprintf(extra + used, sizeof extra - (size_t)used, "\n");
	return person_write_conf(f->cli, &f->person, path, stem, NULL, extra);
}

int poc_cmd_state_new(struct cli *cli)
{
	struct founding f = {.cli = cli};
	int64_t now = (int64_t)time(NULL);
	char fingerprint[40];
	int status = read_options(&f);

	if (status == 0)
		status = make_folder(&f);
	if (status == 0 && cli->dry_run) {
		return cli_would(cli, tr("keys, configuration and %s.enrol would be made in %s"), f.person.state,
				 f.folder);
	}
	if (status == 0)
		status = make_keys(&f);
	if (status == 0)
		status = make_reading_keys(&f);
	if (status == 0)
		status = write_enrolment(&f, now);
	if (status == 0)
		status = write_conf(&f);
	if (status == 0 && !cli->json)
		cli_line(tr("%s/%s.enrol: send it to the directory's staff with the nomination"), f.folder,
			 f.person.state);
	for (size_t i = 0; i < f.n_authority && f.authority[i] != NULL; i++) {
		public_key_fingerprint(&keystore_public(f.authority[i])->id, fingerprint);
		if (status == 0 && !cli->json)
			printf(tr("authority key %zu, to be kept offline: %s\n"), i + 1, fingerprint);
		keystore_close(f.authority[i]);
	}
	if (status == 0 && cli->json)
		cli_document(cli, "poc.state-new/1",
			     json_pack("{s:s,s:s}", "state", f.person.state, "folder", f.folder));
	keystore_close(f.coordinator);
	keystore_close(f.user);
	return status;
}
