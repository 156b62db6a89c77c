/* Joining, and the users of one's own place. */
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
#include "clients/poc/commands.h"
#include "clients/poc/own_users.h"
#include "proto/keys/keystore_file.h"
#include "proto/keys/keystore_open.h"
#include "proto/rules/rules.h"
#include "proto/wire/prescan.h"

/* ---- setup */

/* "dir/fr-reader.conf" -> folder "dir", stem "fr-reader". */
static int split_conf_path(struct cli *cli, char path[CONF_PATH_MAX], char folder[CONF_PATH_MAX], char stem[256])
{
	if (cli->config != NULL)
		snprintf(path, CONF_PATH_MAX, "%s", cli->config);
	else if (conf_default_path(path) != 0)
		return cli_fail(cli, STATUS_USAGE, tr("no place for the configuration: use -c FILE"));
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	const char *dot = strrchr(name, '.');
	size_t length = dot != NULL && dot != name ? (size_t)(dot - name) : strlen(name);
	if (length == 0 || length > 200)
		return cli_fail(cli, STATUS_USAGE, tr("%s: not the name of a configuration file"), path);
	snprintf(folder, CONF_PATH_MAX, "%.*s", slash != NULL ? (int)(slash - path) : 1, slash != NULL ? path : ".");
	snprintf(stem, 256, "%.*s", (int)length, name);
	return 0;
}

/* Makes a folder and those above it, for oneself only. */
static int make_folder(struct cli *cli, const char *path)
{
	char part[CONF_PATH_MAX];

	snprintf(part, sizeof part, "%s", path);
	for (char *at = part + 1; *at != '\0'; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		if (mkdir(part, 0700) == 0)
			made_add(&cli->made, part);
		*at = '/';
	}
	if (mkdir(part, 0700) == 0)
		made_add(&cli->made, part);
	if (access(part, W_OK | X_OK) == 0)
		return 0;
	return cli_fail(cli, STATUS_IO, tr("%s: cannot be written to: %s"), path, strerror(errno));
}

/* The user's own key, or the one that --key names, with a certificate. */
static int make_key(struct cli *cli, const char *folder, const char *stem, const char *common_name,
		    enum key_algorithm algorithm, struct public_key *out)
{
	char path[CONF_PATH_MAX + 300];
	struct keystore_key *key;
	struct refusal why = {0};

	snprintf(path, sizeof path, "%s/%s.key", folder, stem);
	int status = cli_has(cli, "key") ? key_open(cli, cli_value(cli, "key"), &key)
					 : key_make(cli, algorithm, path, false, &key);
	if (status != 0)
		return status;
	*out = *keystore_public(key);
	snprintf(path, sizeof path, "%s/%s.crt", folder, stem);
	status = keystore_write_certificate(key, common_name, path, &why);
	keystore_close(key);
	if (status != 0)
		return cli_refused(cli, &why);
	made_add(&cli->made, path);
	return 0;
}

/* Whoever reads notices gets a reading key beside the user's own; extra: the lines that name it. */
static int make_reading_key(struct cli *cli, struct person *person, const char *folder, const char *stem,
			    char extra[400])
{
	char name[300];

	extra[0] = '\0';
	if (!person_reads(person))
		return 0;
	snprintf(name, sizeof name, "%s-reading", stem);
	int status = reading_make(cli, folder, name, &person->reading);
	person->has_reading = status == 0;
	snprintf(extra, 400, "\n[notices]\nreading_key = %s.key\n", name);
	return status;
}

/* "duty-2.invite" asks for "duty-2.request" beside it; else HANDLE.request in the invitation's folder. */
static int request_path(struct cli *cli, const struct person *person, char out[CONF_PATH_MAX])
{
	const char *invite = cli->argv[0], *slash = strrchr(invite, '/');
	size_t length = strlen(invite), suffix = strlen(".invite");
	bool named = length > suffix && strcmp(invite + length - suffix, ".invite") == 0;
	int n;

	if (cli_has(cli, "request"))
		n = snprintf(out, CONF_PATH_MAX, "%s", cli_value(cli, "request"));
	else if (named)
		n = snprintf(out, CONF_PATH_MAX, "%.*s.request", (int)(length - suffix), invite);
	else
		n = snprintf(out, CONF_PATH_MAX, "%.*s%s.request", slash != NULL ? (int)(slash - invite + 1) : 0,
			     invite, person->handle);
	return n >= 0 && n < CONF_PATH_MAX ? 0 : cli_fail(cli, STATUS_INVALID, tr("path too long"));
}

struct setting_up {
	struct person person; /* of the invitation, then of the request */
	char path[CONF_PATH_MAX], folder[CONF_PATH_MAX], stem[256], request[CONF_PATH_MAX];
	bool done; /* by an earlier run, of the same invitation */
};

static bool same_key(const struct public_key *a, const struct public_key *b)
{
	return a->spki_size == b->spki_size && memcmp(a->spki, b->spki, a->spki_size) == 0;
}

/* Whether the configuration, as it is now, uses the keys that the request asks for, in the same directory. */
static bool is_configured(const struct setting_up *s, const struct person *asked)
{
	struct conf conf;
	struct public_key own;
	struct keystore_key *reading = NULL;

	if (conf_read(s->path, &conf, NULL) != 0 || strcmp(conf.id, asked->directory_id) != 0 ||
	    strcmp(conf.state, asked->state) != 0 || strcmp(conf.unit, asked->unit) != 0 ||
	    access(conf.key, R_OK) != 0 || keystore_file_public(conf.cert, &own) != 0 || !same_key(&own, &asked->key))
		return false;
	if (!asked->has_reading)
		return true;
	bool same = conf.reading.n > 0 && keystore_open(conf.reading.paths[0], NULL, &reading, NULL) == 0 &&
		    same_key(keystore_public(reading), &asked->reading);
	keystore_close(reading);
	return same;
}

/* Something is there already: what this invitation led to, all of it, is as good as done; anything else stays. */
static int check_done(struct cli *cli, struct setting_up *s)
{
	const bool configured = access(s->path, F_OK) == 0, requested = access(s->request, F_OK) == 0;
	struct person asked;

	if (!configured && !requested)
		return 0;
	if (configured && requested && person_load(s->request, true, &asked, NULL) == 0 &&
	    person_same_invitation(&asked, &s->person) && is_configured(s, &asked)) {
		s->person = asked;
		s->done = true;
		return 0;
	}
	return configured ? cli_fail(cli, STATUS_CONFLICT,
				     tr("%s exists already, and is not what this invitation leads to: this machine is "
					"set up; -c FILE sets up another user beside it"),
				     s->path)
			  : cli_fail(cli, STATUS_CONFLICT, tr("%s exists already"), s->request);
}

static int check_setup(struct cli *cli, struct setting_up *s)
{
	int status = person_read(cli, cli->argv[0], false, &s->person);

	if (status == 0)
		status = split_conf_path(cli, s->path, s->folder, s->stem);
	if (status == 0)
		status = request_path(cli, &s->person, s->request);
	return status == 0 ? check_done(cli, s) : status;
}

static int make_setup(struct cli *cli, struct setting_up *s)
{
	char extra[400];
	int status = make_folder(cli, s->folder);

	if (status == 0)
		status = make_key(cli, s->folder, s->stem, s->person.handle, KEY_ED25519, &s->person.key);
	if (status == 0)
		status = make_reading_key(cli, &s->person, s->folder, s->stem, extra);
	if (status == 0)
		status = person_write_conf(cli, &s->person, s->path, s->stem, cli_value(cli, "key"), extra);
	s->person.has_key = true;
	return status == 0 ? person_write(cli, &s->person, s->request) : status;
}

int poc_cmd_setup(struct cli *cli)
{
	struct setting_up s = {0};
	char code[40];
	const char *key = cli_value(cli, "key");
	int status = check_setup(cli, &s);

	if (status == 0 && key != NULL && key[0] != '/' && !keystore_is_token(key))
		return cli_fail(cli, STATUS_USAGE, tr("--key takes an absolute path or a pkcs11: URI"));
	if (status == 0 && key != NULL)
		status = key_named(cli, key);
	if (status == 0 && cli->dry_run && !s.done) {
		return cli_would(cli, tr("%s, keys beside it, and %s would be made"), s.path, s.request);
	}
	if (status == 0 && s.done)
		cli_note(cli, tr("this machine is set up by this invitation already: nothing to do"));
	else if (status == 0)
		status = make_setup(cli, &s);
	if (status != 0)
		return status;
	person_code(&s.person, code);
	if (cli->json) {
		cli_document(cli, "poc.setup/1",
			     json_pack("{s:s,s:s,s:s}", "config", s.path, "request", s.request, "check_code", code));
		return 0;
	}
	printf(tr("keys and configuration: %s\nsend this request to your coordinator: %s\n"), s.path, s.request);
	printf(tr("and read out the check code: %s\n"), code);
	return 0;
}

/* ---- user invite */

/* What the flags say of the user. */
static int read_invitation(struct cli *cli, struct person *person)
{
	const struct conf *conf = &cli->conf;

	snprintf(person->servers, sizeof person->servers, "%s", conf->servers);
	snprintf(person->directory_id, sizeof person->directory_id, "%s", conf->id);
	snprintf(person->server_pin, sizeof person->server_pin, "%s", conf->server_pin);
	snprintf(person->state, sizeof person->state, "%s", conf->state);
	snprintf(person->handle, sizeof person->handle, "%s", cli->argv[0]);
	person->service = cli_has(cli, "service");
	for (size_t i = 0; cli_nth(cli, "role", i) != NULL; i++) {
		if (!person_add_role(person, cli_nth(cli, "role", i)))
			return cli_fail(cli, STATUS_USAGE, tr("unknown role \"%s\""), cli_nth(cli, "role", i));
	}
	for (size_t i = 0; cli_nth(cli, "kind", i) != NULL; i++) {
		if (!person_add_kind(person, cli_nth(cli, "kind", i)))
			return cli_fail(cli, STATUS_USAGE, tr("unknown kind \"%s\""), cli_nth(cli, "kind", i));
	}
	if (person->n_kinds == 0 && person_has_role(person, POC__ROLE__ROLE_OPERATOR))
		person_add_kind(person, "technical"); /* else there would be no notice to act on */
	if (person->n_roles == 0)
		return cli_fail(cli, STATUS_USAGE, tr("which role? --role reader, operator, coordinator ..."));
	int status = own_users_unit(cli, person->unit);
	return status == 0 ? own_users_not_after(cli, &person->not_after) : status;
}

int poc_cmd_user_invite(struct cli *cli)
{
	struct person person = {0};
	char path[CONF_PATH_MAX];
	int status = 0;

	if (cli->conf.id[0] == '\0' || cli->conf.state[0] == '\0')
		return cli_fail(cli, STATUS_USAGE, tr("no directory is configured"));
	if (cli->conf.coordinator.n == 0) /* nor could what comes of it be published */
		return cli_fail(cli, STATUS_DENIED, tr("the configuration holds no [coordinator] key"));
	if (!handle_valid(cli->argv[0]))
		return cli_fail(cli, STATUS_USAGE,
				tr("a handle is an office or number: [a-z0-9-], 1 to 40 characters"));
	status = read_invitation(cli, &person);
	if (cli_has(cli, "out"))
		snprintf(path, sizeof path, "%s", cli_value(cli, "out"));
	else
		snprintf(path, sizeof path, "%s.invite", cli->argv[0]);
	if (status == 0 && cli->dry_run) {
		return cli_would(cli, tr("%s would be written"), path);
	}
	if (status == 0)
		status = person_write(cli, &person, path);
	if (status != 0)
		return status;
	if (cli->json)
		cli_document(cli, "poc.user-invite/1",
			     json_pack("{s:s,s:s,s:s,s:s}", "file", path, "state", person.state, "unit", person.unit,
				       "handle", person.handle));
	else
		cli_note(cli, tr("%s: give it to %s, who runs: poc setup %s"), path, person.handle, path);
	return 0;
}

/* ---- user add, remove, list */

/* Makes room for one more user in an unpacked message. */
static Poc__User *append_user(Poc__Users *users)
{
	Poc__User **list = realloc(users->users, (users->n_users + 1) * sizeof *list);
	Poc__User *user = calloc(1, sizeof *user);

	if (list != NULL)
		users->users = list;
	if (list == NULL || user == NULL) {
		free(user);
		return NULL;
	}
	poc__user__init(user);
	users->users[users->n_users++] = user;
	return user;
}

/* The message owns what it points at: protobuf-c frees it with free(). */
static bool fill_user(Poc__User *user, const struct person *person)
{
	user->handle = strdup(person->handle);
	user->spki.data = malloc(person->key.spki_size);
	user->roles = malloc(person->n_roles * sizeof *user->roles);
	user->kinds = malloc((person->n_kinds + 1) * sizeof *user->kinds);
	if (user->handle == NULL || user->spki.data == NULL || user->roles == NULL || user->kinds == NULL)
		return false;
	memcpy(user->spki.data, person->key.spki, person->key.spki_size);
	user->spki.len = person->key.spki_size;
	memcpy(user->roles, person->roles, person->n_roles * sizeof *user->roles);
	user->n_roles = person->n_roles;
	memcpy(user->kinds, person->kinds, person->n_kinds * sizeof *user->kinds);
	user->n_kinds = person->n_kinds;
	user->service = person->service;
	user->not_after = person->not_after;
	return true;
}

static void drop_user(Poc__Users *users, size_t i)
{
	message_free(users->users[i]);
	memmove(users->users + i, users->users + i + 1, (--users->n_users - i) * sizeof *users->users);
}

enum { NAMES_MAX = 200 };

/* "operator,coordinator"; "none" of none. */
static const char *roles_text(const Poc__Role *roles, size_t n, char out[NAMES_MAX])
{
	size_t used = 0;

	snprintf(out, NAMES_MAX, "%s", tr("none"));
	for (size_t i = 0; i < n && used < NAMES_MAX - 20; i++)
		used += (size_t)snprintf(out + used, NAMES_MAX - used, "%s%s", i > 0 ? "," : "", role_name(roles[i]));
	return out;
}

static const char *kinds_text(const Poc__PocKind *kinds, size_t n, char out[NAMES_MAX])
{
	size_t used = 0;

	snprintf(out, NAMES_MAX, "%s", tr("none"));
	for (size_t i = 0; i < n && used < NAMES_MAX - 20; i++)
		used +=
		    (size_t)snprintf(out + used, NAMES_MAX - used, "%s%s", i > 0 ? "," : "", poc_kind_name(kinds[i]));
	return out;
}

static const Poc__ReadingKey *own_reading_key(const Poc__Users *users, const char *handle)
{
	for (size_t i = 0; i < users->n_reading_keys; i++) {
		if (strcmp(users->reading_keys[i]->handle, handle) == 0)
			return users->reading_keys[i];
	}
	return NULL;
}

/* "  role        operator -> coordinator"; before: NULL where there was nobody, or it is what it was. */
static void show_line(const char *label, const char *before, const char *after)
{
	const bool changed = before != NULL && strcmp(before, after) != 0;

	cli_line("  %-11s %s%s%s", label, changed ? before : "", changed ? " -> " : "", after);
}

static const char *until_text(int64_t not_after)
{
	return not_after != 0 ? time_text(not_after) : tr("no end");
}

/* What else is unlike the entry under this handle: lines that say nothing of a new and ordinary user are left out. */
static void show_rest(const struct person *person, const Poc__User *known, const Poc__ReadingKey *reading)
{
	char before[64], after[64];

	snprintf(before, sizeof before, "%s", known != NULL ? until_text(known->not_after) : "");
	snprintf(after, sizeof after, "%s%s", until_text(person->not_after),
		 person->not_after != 0 && person->not_after <= (int64_t)time(NULL) ? tr(", which is over already")
										    : "");
	if (person->service || (known != NULL && known->service))
		show_line(tr("is"),
			  known == NULL    ? NULL
			  : known->service ? tr("a program")
					   : tr("a person"),
			  person->service ? tr("a program") : tr("a person"));
	if (person->not_after != 0 || (known != NULL && known->not_after != 0))
		show_line(tr("until"), known != NULL ? before : NULL, after);
	if (person->has_reading || reading != NULL)
		show_line(tr("reads"), reading != NULL && !person->has_reading ? tr("notices") : NULL,
			  person->has_reading ? tr("notices, with a key of its own") : tr("none"));
}

/* now: U as it is. */
static void show_request(const struct person *person, const Poc__Users *now)
{
	const Poc__User *known = users_find_handle(now, person->handle);
	char code[40], place[72], before[NAMES_MAX], after[NAMES_MAX];
	bool same_key = known != NULL && known->spki.len == person->key.spki_size &&
			memcmp(known->spki.data, person->key.spki, person->key.spki_size) == 0;

	person_code(person, code);
	person_place(person, place);
	cli_line("%s/%s%s", place, person->handle,
		 known == NULL ? ""
		 : same_key    ? tr(": listed already with this key; now as follows")
			       : tr(": a new key for a user that is listed"));
	show_line(tr("role"), known != NULL ? roles_text(known->roles, known->n_roles, before) : NULL,
		  roles_text(person->roles, person->n_roles, after));
	if (person->n_kinds > 0 || (known != NULL && known->n_kinds > 0))
		show_line(tr("serves"), known != NULL ? kinds_text(known->kinds, known->n_kinds, before) : NULL,
			  kinds_text(person->kinds, person->n_kinds, after));
	show_rest(person, known, own_reading_key(now, person->handle));
	show_line(tr("check code"), NULL, code);
	/* the one role that gives the state away must not be overread */
	if (person_has_role(person, POC__ROLE__ROLE_COORDINATOR) &&
	    !(same_key && user_has_role(known, POC__ROLE__ROLE_COORDINATOR)))
		cli_line(tr("  ATTENTION   this makes %s/%s a COORDINATOR, who speaks for %s"), place, person->handle,
			 place);
}

static bool fill_reading_key(Poc__Users *users, const struct person *person)
{
	Poc__PocKind kinds[4];
	size_t n = reading_kinds(person->roles, person->n_roles, person->kinds, person->n_kinds, kinds);

	return !person->has_reading || reading_add(users, &person->reading, POC__HOLDER__HOLDER_USER, person->handle,
						   kinds, n, person->not_after);
}

static bool same_message(const void *a, const void *b)
{
	uint8_t *packed_a = NULL, *packed_b = NULL;
	size_t size_a, size_b;
	bool same = message_encode(a, &packed_a, &size_a) == 0 && message_encode(b, &packed_b, &size_b) == 0 &&
		    size_a == size_b && memcmp(packed_a, packed_b, size_a) == 0;

	free(packed_a);
	free(packed_b);
	return same;
}

/* Whether two U have the same entry and the same reading key under a handle. */
static bool same_user(const Poc__Users *a, const Poc__Users *b, const char *handle)
{
	const Poc__User *user_a = users_find_handle(a, handle), *user_b = users_find_handle(b, handle);
	const Poc__ReadingKey *key_a = own_reading_key(a, handle), *key_b = own_reading_key(b, handle);

	return user_a != NULL && user_b != NULL && same_message(user_a, user_b) &&
	       (key_a == NULL || key_b == NULL ? key_a == key_b : same_message(key_a, key_b));
}

static int read_request(struct cli *cli, const char *path, struct person *person)
{
	int status = person_read(cli, path, true, person);

	if (status == 0 &&
	    (strcmp(person->directory_id, cli->conf.id) != 0 || strcmp(person->state, cli->conf.state) != 0))
		return cli_fail(cli, STATUS_DENIED, tr("%s: a request for another state or directory"), path);
	return status;
}

/* U as it is; of a unit that has none an empty one. */
static const Poc__Users *users_before(const struct own_users *c)
{
	static const Poc__Users none = POC__USERS__INIT;

	return c->users.current.envelope != NULL ? c->users.current.envelope->payload.users : &none;
}

static int add_request(struct own_users *c, const char *path)
{
	struct cli *cli = c->cli;
	Poc__Users *users = c->users.users;
	struct person person;
	char place[OWN_PLACE];
	int status = read_request(cli, path, &person);

	if (status != 0)
		return status;
	person_place(&person, place);
	if (strcmp(place, c->place) != 0) /* one U at a time */
		return cli_fail(cli, STATUS_USAGE,
				tr("%s is for %s, those before it for %s: add them one after the other"), path, place,
				c->place);
	const Poc__Users *current = users_before(c);
	for (size_t i = users->n_users; i-- > 0;) {
		if (strcmp(users->users[i]->handle, person.handle) == 0)
			drop_user(users, i);
	}
	reading_drop(users, person.handle);
	Poc__User *user = append_user(users);
	if (user == NULL || !fill_user(user, &person) || !fill_reading_key(users, &person))
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	if (same_user(current, users, person.handle)) {
		if (!cli->json)
			cli_note(cli, tr("%s/%s is listed already, just so: nothing to do"), c->place, person.handle);
		return 0;
	}
	c->changes++;
	if (!cli->json)
		show_request(&person, current);
	return 0;
}

/* Whoever drops the own entry cannot undo it: an explicit flag says that no slip of the hand did it. */
static int check_oneself(const struct own_users *c, const char *handle)
{
	struct cli *cli = c->cli;

	if (cli_has(cli, "myself") || strcmp(poc_handle(c->poc), handle) != 0 ||
	    strcmp(conf_place(&cli->conf), c->place) != 0)
		return 0;
	return cli_fail(cli, STATUS_USAGE, tr("%s/%s is you, who could not come back by yourself: --myself means it"),
			c->place, handle);
}

/* Fingerprints have capital letters, handles none. */
static bool has_fingerprint(const ProtobufCBinaryData *spki, const char *text)
{
	struct hash id = hash_of(spki->data, spki->len);
	char fingerprint[40];

	public_key_fingerprint(&id, fingerprint);
	return strcmp(fingerprint, text) == 0;
}

/* A key that U lists under no handle: a desk's or archive's reading key, an editor's. */
static bool remove_key(Poc__Users *users, const char *fingerprint)
{
	for (size_t i = 0; i < users->n_reading_keys; i++) {
		Poc__ReadingKey *key = users->reading_keys[i];
		if (key->holder == POC__HOLDER__HOLDER_USER || !has_fingerprint(&key->spki, fingerprint))
			continue;
		message_free(key);
		memmove(users->reading_keys + i, users->reading_keys + i + 1,
			(--users->n_reading_keys - i) * sizeof(Poc__ReadingKey *));
		return true;
	}
	for (size_t i = 0; i < users->n_editors; i++) {
		if (!has_fingerprint(&users->editors[i]->spki, fingerprint))
			continue;
		message_free(users->editors[i]);
		memmove(users->editors + i, users->editors + i + 1, (--users->n_editors - i) * sizeof(Poc__Key *));
		return true;
	}
	return false;
}

static int remove_handle(struct own_users *c, const char *handle)
{
	Poc__Users *users = c->users.users;
	int status = check_oneself(c, handle);

	if (status == 0 && remove_key(users, handle)) {
		c->changes++;
		if (!c->cli->json)
			cli_line(tr("%s: key %s will be dropped"), c->place, handle);
		return 0;
	}
	for (size_t i = 0; i < users->n_users && status == 0; i++) {
		if (strcmp(users->users[i]->handle, handle) != 0)
			continue;
		drop_user(users, i);
		reading_drop(users, handle);
		c->changes++;
		if (!c->cli->json)
			cli_line(tr("%s/%s will be dropped; its sessions end within a second"), c->place, handle);
		return 0;
	}
	return status != 0 ? status : cli_fail(c->cli, STATUS_NOT_FOUND, tr("%s has no user %s"), c->place, handle);
}

int poc_cmd_user_add(struct cli *cli)
{
	struct person first;
	char place[OWN_PLACE];

	/* without the key to publish with, nothing is read */
	int status = cli->conf.coordinator.n > 0
			 ? read_request(cli, cli->argv[0], &first)
			 : cli_fail(cli, STATUS_DENIED, tr("the configuration holds no [%s] key"), "coordinator");
	if (status != 0)
		return status;
	person_place(&first, place);
	return own_users_change(cli, place, true, add_request,
				tr("Do the check codes match what was read out? Sign and publish?"));
}

int poc_cmd_user_remove(struct cli *cli)
{
	char place[OWN_PLACE];
	int status = own_users_place(cli, place);

	return status == 0 ? own_users_change(cli, place, false, remove_handle, tr("Sign and publish?")) : status;
}

static json_t *kinds_json(const Poc__PocKind *kinds, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(poc_kind_name(kinds[i])));
	return list;
}

static json_t *reading_key_json(const Poc__ReadingKey *key)
{
	struct hash id = hash_of(key->spki.data, key->spki.len);
	char fingerprint[40];

	public_key_fingerprint(&id, fingerprint);
	return json_pack("{s:s,s:s,s:o,s:s,s:s}", "holder", holder_name(key->holder), "handle", key->handle, "kinds",
			 kinds_json(key->kinds, key->n_kinds), "not_after", time_text(key->not_after), "fingerprint",
			 fingerprint);
}

static void print_reading_key(const Poc__ReadingKey *key)
{
	char what[100], kinds[NAMES_MAX], fingerprint[40];
	struct hash id = hash_of(key->spki.data, key->spki.len);

	snprintf(what, sizeof what, "%s %s", holder_name(key->holder), key->handle);
	public_key_fingerprint(&id, fingerprint);
	cli_line(tr("reads %-21s  %-47s %s%s%s"), what, kinds_text(key->kinds, key->n_kinds, kinds), fingerprint,
		 key->not_after != 0 ? tr("  until ") : "", key->not_after != 0 ? time_text(key->not_after) : "");
}

static json_t *user_json(const Poc__User *user)
{
	json_t *roles = json_array();
	struct hash id = hash_of(user->spki.data, user->spki.len);
	char fingerprint[40];

	for (size_t i = 0; i < user->n_roles; i++)
		json_array_append_new(roles, json_string(role_name(user->roles[i])));
	public_key_fingerprint(&id, fingerprint);
	return json_pack("{s:s,s:o,s:o,s:b,s:o,s:s}", "handle", user->handle, "roles", roles, "kinds",
			 kinds_json(user->kinds, user->n_kinds), "service", (int)user->service, "not_after",
			 cli_time_json(user->not_after), "fingerprint", fingerprint);
}

static void print_user(const Poc__User *user)
{
	char roles[NAMES_MAX], kinds[NAMES_MAX], fingerprint[40];
	struct hash id = hash_of(user->spki.data, user->spki.len);

	public_key_fingerprint(&id, fingerprint);
	cli_line("%-20s %-7s %-24s %-22s %s%s%s", user->handle, user->service ? tr("service") : tr("person"),
		 roles_text(user->roles, user->n_roles, roles),
		 user->n_kinds > 0 ? kinds_text(user->kinds, user->n_kinds, kinds) : "-", fingerprint,
		 user->not_after != 0 ? tr("  until ") : "", user->not_after != 0 ? time_text(user->not_after) : "");
}

static json_t *key_json(const Poc__Key *key)
{
	struct hash id = hash_of(key->spki.data, key->spki.len);
	char fingerprint[40];

	public_key_fingerprint(&id, fingerprint);
	return json_pack("{s:s}", "fingerprint", fingerprint);
}

static void print_editor(const Poc__Key *key)
{
	struct hash id = hash_of(key->spki.data, key->spki.len);
	char fingerprint[40];

	public_key_fingerprint(&id, fingerprint);
	cli_line(tr("signs the unit's record %32s %s"), "", fingerprint);
}

static json_t *users_json(const struct name *name, const Poc__Users *users)
{
	json_t *list = json_array(), *keys = json_array(), *editors = json_array();

	for (size_t i = 0; i < users->n_editors; i++)
		json_array_append_new(editors, key_json(users->editors[i]));
	for (size_t i = 0; i < users->n_users; i++)
		json_array_append_new(list, user_json(users->users[i]));
	for (size_t i = 0; i < users->n_reading_keys; i++)
		json_array_append_new(keys, reading_key_json(users->reading_keys[i]));
	return json_pack("{s:s,s:s,s:o,s:o,s:o}", "state", name->state, "unit", name->unit, "users", list,
			 "reading_keys", keys, "editors", editors);
}

int poc_cmd_user_list(struct cli *cli)
{
	struct poc *poc = NULL;
	struct make_users users = {0};
	struct name name;
	char place[OWN_PLACE];
	int status = 0;

	if (cli->argc == 0)
		status = own_users_place(cli, place);
	else if (cli_has(cli, "unit"))
		status = cli_fail(cli, STATUS_USAGE,
				  tr("--unit is of the own state: of another it is PLACE, e.g. FR/bretagne"));
	else if (strcmp(cli->argv[0], STATE_DIRECTORY) == 0)
		snprintf(place, sizeof place, "%s", STATE_DIRECTORY);
	else if ((status = place_read(cli, cli->argv[0], &name)) == 0)
		snprintf(place, sizeof place, "%s", place_text(&name));
	if (status == 0)
		status = link_open(cli, true, &poc);
	if (status == 0)
		status = link_connect_reader(cli, poc);
	if (status == 0)
		status = make_users_open(cli, poc, place, false, &users);
	if (status == 0 && cli->json) {
		json_t *document = users_json(&users.name, users.users);
		status = link_tell_clock(cli, poc, 0, document);
		cli_document(cli, "poc.user-list/1", document);
	} else if (status == 0) {
		for (size_t i = 0; i < users.users->n_users; i++)
			print_user(users.users->users[i]);
		for (size_t i = 0; i < users.users->n_reading_keys; i++)
			print_reading_key(users.users->reading_keys[i]);
		for (size_t i = 0; i < users.users->n_editors; i++)
			print_editor(users.users->editors[i]);
		status = link_tell_clock(cli, poc, 0, NULL);
	}
	make_users_close(&users);
	link_close(cli, poc);
	return status;
}
