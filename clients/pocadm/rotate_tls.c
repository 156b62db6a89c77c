/* A new key for the server's TLS: U/@directory lists the old and the new one, the daemon takes the new one without
 * dropping a connection, then U lists it alone.
 *
 * Each step is durable before the next one.  Where an earlier run came to is seen from what there is: the key files
 * beside the one that pocd.conf names, numbered in the order in which they were made, and which of them U lists. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/cli/conf_edit.h"
#include "clients/cli/make.h"
#include "clients/cli/reading.h"
#include "clients/cli/strings.h"
#include "clients/pocadm/commands.h"
#include "clients/pocadm/reload.h"
#include "pocd/config.h"
#include "proto/keys/keystore_file.h"
#include "proto/keys/passphrase.h"
#include "proto/rules/rules.h"
#include "proto/wire/prescan.h"

enum { VALUE_MAX = 400, NUMBERS_MAX = 1000, OLD_MAX = 16 };

struct rotating {
	struct cli *cli;
	struct poc *poc;
	struct link_keys keys; /* of the coordinator */
	struct make_users users;
	char conf[CONF_PATH_MAX];            /* pocd.conf */
	char passphrase_file[CONF_PATH_MAX]; /* that it names for the server's key; or empty */
	struct passphrase passphrase;
	char stem[VALUE_MAX];  /* of the new key's file, as pocd.conf writes it */
	struct public_key now; /* the key that pocd.conf names */
	struct public_key fresh;
	bool published, switched; /* U lists the new one; pocd.conf names it */
	size_t n_old;             /* keys of this server that U lists still, though they are not its key any more */
	struct public_key old[OLD_MAX];
};

static bool is_key(const Poc__User *user, const struct public_key *key)
{
	return user->spki.len == key->spki_size && memcmp(user->spki.data, key->spki, key->spki_size) == 0;
}

static Poc__User *find_server(Poc__Users *users, const struct public_key *key)
{
	for (size_t i = 0; i < users->n_users; i++) {
		if (is_key(users->users[i], key) && user_has_role(users->users[i], POC__ROLE__ROLE_SERVER))
			return users->users[i];
	}
	return NULL;
}

/* ---- Where we stand */

/* "keys/server-3.key" -> "keys/server", 3; without a number 1. */
static size_t split_number(const char *file, char base[VALUE_MAX])
{
	const char *dot = strrchr(file, '.'), *slash = strrchr(file, '/');
	const char *end = dot != NULL && (slash == NULL || dot > slash) ? dot : file + strlen(file), *digits = end;

	while (digits > file && digits[-1] >= '0' && digits[-1] <= '9' && end - digits < 4)
		digits--;
	const bool numbered = digits < end && digits > file + 1 && digits[-1] == '-';
	snprintf(base, VALUE_MAX, "%.*s", (int)((numbered ? digits - 1 : end) - file), file);
	return numbered ? strtoul(digits, NULL, 10) : 1;
}

static bool read_numbered(struct rotating *r, const char *base, size_t number, struct public_key *out)
{
	char name[VALUE_MAX + 32], path[CONF_PATH_MAX];
	struct keystore_key *key;

	if (number == 1)
		snprintf(name, sizeof name, "%s.key", base);
	else
		snprintf(name, sizeof name, "%s-%zu.key", base, number);
	if (!conf_resolve(r->conf, name, path) || access(path, F_OK) != 0 ||
	    passphrase_open(&r->passphrase, path, &key, NULL) != 0)
		return false;
	*out = *keystore_public(key);
	keystore_close(key);
	return true;
}

/* What the files and U say: see struct rotating. */
static int find_place(struct rotating *r)
{
	char file[VALUE_MAX], base[VALUE_MAX];
	Poc__Users *users = r->users.users;
	struct public_key key;

	if (conf_value(r->conf, "server", "passphrase_file", file, sizeof file) &&
	    !conf_resolve(r->conf, file, r->passphrase_file))
		return cli_fail(r->cli, STATUS_INVALID, tr("path too long"));
	r->passphrase = (struct passphrase){.file = r->passphrase_file, .fd = -1, .ask = true};
	if (!conf_value(r->conf, "server", "key", file, sizeof file))
		return cli_fail(r->cli, STATUS_INVALID, tr("%s: it names no [server] key"), r->conf);
	const size_t number = split_number(file, base);
	if (!read_numbered(r, base, number, &r->now))
		return cli_fail(r->cli, STATUS_INVALID, tr("%s: %s cannot be opened"), r->conf, file);
	if (find_server(users, &r->now) == NULL)
		return cli_fail(r->cli, STATUS_DENIED, tr("U/%s does not list the key that %s names as a server's"),
				STATE_DIRECTORY, r->conf);
	for (size_t i = 1; i < number && r->n_old < OLD_MAX - 1; i++) {
		if (read_numbered(r, base, i, &key) && find_server(users, &key) != NULL)
			r->old[r->n_old++] = key;
	}
	for (size_t i = number + 1; i < number + 20 && !r->published; i++) {
		r->published = read_numbered(r, base, i, &r->fresh) && find_server(users, &r->fresh) != NULL;
		if (r->published)
			snprintf(r->stem, sizeof r->stem, "%.360s-%zu", base, i);
	}
	r->switched = !r->published && r->n_old > 0;
	if (r->switched) {
		r->published = true;
		r->fresh = r->now;
	} else {
		r->old[r->n_old++] = r->now;
	}
	return 0;
}

static void tell_plan(struct rotating *r)
{
	char now[40], fresh[40];

	if (r->cli->json || r->cli->quiet)
		return;
	public_key_fingerprint(&r->now.id, now);
	public_key_fingerprint(&r->fresh.id, fresh);
	if (r->switched) {
		cli_line(tr("the server's key is %s; the one before it will be dropped from U/%s"), now,
			 STATE_DIRECTORY);
		return;
	}
	cli_line(tr("the server's key is %s"), now);
	if (r->published)
		cli_line(tr("its new key %s is listed already, by a run before"), fresh);
	cli_line(tr("  1. U/%s lists a new key beside it: every client takes either for the server's"),
		 STATE_DIRECTORY);
	cli_line(tr("  2. %s names the new one, and the daemon takes it: no connection is dropped"), r->conf);
	cli_line(tr("  3. U/%s lists the new one alone"), STATE_DIRECTORY);
}

/* ---- U */

static int submit_users(struct rotating *r)
{
	struct make_group group = {0};
	struct client_submitted done = {0};
	int status = make_users_sign(r->cli, r->poc, &r->users, &r->keys, &group);

	if (status == 0 && (status = client_submit(r->poc, group.writes, group.n, true, &done)) != 0) {
		if (done.maybe_stored)
			made_finish(&r->cli->made, true);
		link_fail(r->cli, r->poc, status);
	}
	client_submitted_finish(&done);
	make_group_finish(&group);
	return status;
}

/* "server" -> "server-2": the first that is free. */
static void next_handle(const Poc__Users *users, const char *handle, char out[UNIT_MAX_LENGTH + 1])
{
	char base[VALUE_MAX];
	const size_t number = split_number(handle, base);

	for (size_t i = number + 1; i < NUMBERS_MAX; i++) {
		snprintf(out, UNIT_MAX_LENGTH + 1, "%.35s-%zu", base, i);
		if (users_find_handle(users, out) == NULL)
			return;
	}
}

static int append_server(struct rotating *r)
{
	Poc__Users *users = r->users.users;
	const Poc__User *before = find_server(users, &r->now);
	Poc__User **list = realloc(users->users, (users->n_users + 1) * sizeof *list), *user = NULL;
	ProtobufCMessage *copy = NULL;
	uint8_t *bytes = NULL, *spki = malloc(r->fresh.spki_size);
	char handle[UNIT_MAX_LENGTH + 1] = "";
	size_t size;

	if (list != NULL)
		users->users = list;
	if (before != NULL)
		next_handle(users, before->handle, handle);
	if (before != NULL && message_encode(before, &bytes, &size) == 0 &&
	    message_decode(&poc__user__descriptor, bytes, size, NULL, &copy, NULL) == 0)
		user = (Poc__User *)copy;
	free(bytes);
	char *name = strdup(handle);
	if (list == NULL || user == NULL || spki == NULL || name == NULL) {
		message_free(user);
		free(spki);
		free(name);
		return cli_fail(r->cli, STATUS_NO_MEMORY, tr("out of memory"));
	}
	free(user->handle);
	free(user->spki.data);
	memcpy(spki, r->fresh.spki, r->fresh.spki_size);
	user->handle = name;
	user->spki = (ProtobufCBinaryData){r->fresh.spki_size, spki};
	users->users[users->n_users++] = user;
	return 0;
}

static int make_key(struct rotating *r)
{
	struct cli *cli = r->cli;
	char file[VALUE_MAX], name[VALUE_MAX + 8], path[CONF_PATH_MAX], crt[CONF_PATH_MAX];
	struct keystore_key *key;
	struct refusal why = {0};

	if (!conf_value(r->conf, "server", "key", file, sizeof file) ||
	    !conf_next_stem(r->conf, file, r->stem, sizeof r->stem))
		return cli_fail(cli, STATUS_INVALID, tr("%s: no name for the new key"), r->conf);
	snprintf(name, sizeof name, "%s.key", r->stem);
	if (!conf_resolve(r->conf, name, path))
		return cli_fail(cli, STATUS_INVALID, tr("path too long"));
	snprintf(name, sizeof name, "%s.crt", r->stem);
	if (!conf_resolve(r->conf, name, crt))
		return cli_fail(cli, STATUS_INVALID, tr("path too long"));
	const char *passphrase;
	int status = passphrase_new(&r->passphrase, false, path, &passphrase, &why);
	if (status == 0)
		status = keystore_generate(KEY_ED25519, path, passphrase, &key, &why);
	if (status != 0)
		return cli_refused(cli, &why);
	made_add(&cli->made, path);
	r->fresh = *keystore_public(key);
	status = keystore_write_certificate(key, "pocd", crt, &why);
	keystore_close(key);
	if (status != 0)
		return cli_refused(cli, &why);
	made_add(&cli->made, crt);
	return 0;
}

/* Step 1. */
static int publish_both(struct rotating *r)
{
	int status = r->published ? 0 : make_key(r);

	if (status == 0 && !r->published)
		status = append_server(r);
	if (status == 0 && !r->published)
		status = submit_users(r);
	if (status == 0)
		made_finish(&r->cli->made, true);
	return status;
}

/* ---- The daemon */

/* Whether who answers shows the new key.  Of several servers another one may answer, which says nothing. */
static int check_server(struct rotating *r)
{
	struct poc *poc = NULL;
	int status = link_open(r->cli, true, &poc);

	if (status == 0 && (status = poc_connect(poc)) != 0)
		link_fail(r->cli, poc, status);
	if (status == 0 && hash_compare(client_server_pin(poc), &r->now.id) == 0)
		status = cli_fail(r->cli, STATUS_FAILED, tr("the server still shows its old key, which stays listed"));
	poc_close(poc);
	return status;
}

/* Step 2. */
static int switch_key(struct rotating *r)
{
	char key[VALUE_MAX + 8], cert[VALUE_MAX + 8], old_key[VALUE_MAX], old_cert[VALUE_MAX];
	struct refusal why = {0};
	struct running running;

	if (r->switched)
		return 0;
	snprintf(key, sizeof key, "%s.key", r->stem);
	snprintf(cert, sizeof cert, "%s.crt", r->stem);
	if (!conf_value(r->conf, "server", "key", old_key, sizeof old_key) ||
	    !conf_value(r->conf, "server", "cert", old_cert, sizeof old_cert))
		return cli_fail(r->cli, STATUS_INVALID, tr("%s names no [server] cert and key"), r->conf);
	const struct conf_change changes[] = {{"server", "cert", cert}, {"server", "key", key}};
	const struct conf_change back[] = {{"server", "cert", old_cert}, {"server", "key", old_key}};
	if (conf_edit(r->conf, changes, 2, &why) != 0)
		return cli_refused(r->cli, &why);
	int status = reload_daemon(r->cli, r->conf, &running);
	if (status == STATUS_INVALID) /* it has not taken it, so neither has the file */
		conf_edit(r->conf, back, 2, NULL);
	return status == 0 ? check_server(r) : status;
}

/* The pins that newcomers and this configuration begin with: those who have the old one go on, by U. */
static void update_pins(struct rotating *r)
{
	char path[CONF_PATH_MAX], pin[2 * HASH_SIZE + 1], before[80], is[80];
	const char *files[] = {path, r->cli->conf.path};

	hash_to_hex(&r->fresh.id, pin);
	hash_to_hex(&r->now.id, before);
	const struct conf_change change = {"directory", "server_pin", pin};
	if (!conf_resolve(r->conf, "directory.info", path))
		return;
	for (size_t i = 0; i < 2; i++) {
		struct refusal why = {0};
		if (!conf_value(files[i], "directory", "server_pin", is, sizeof is) || strcmp(is, before) != 0)
			continue;
		if (conf_edit(files[i], &change, 1, &why) != 0)
			cli_note(r->cli, tr("its pin was not changed: %s"), why.message);
	}
}

/* ---- All of it */

/* Step 3. */
static int drop_old(struct rotating *r)
{
	make_users_close(&r->users); /* another may have changed it meanwhile */
	int status = make_users_open(r->cli, r->poc, STATE_DIRECTORY, false, &r->users);

	if (status != 0)
		return status;
	Poc__Users *users = r->users.users;
	size_t kept = 0;
	for (size_t i = 0; i < users->n_users; i++) {
		bool old = false;
		for (size_t j = 0; j < r->n_old; j++)
			old = old || is_key(users->users[i], &r->old[j]);
		if (old)
			message_free(users->users[i]);
		else
			users->users[kept++] = users->users[i];
	}
	users->n_users = kept;
	return find_server(users, &r->fresh) != NULL
		   ? submit_users(r)
		   : cli_fail(r->cli, STATUS_CONFLICT, tr("U/%s does not list the new key any more"), STATE_DIRECTORY);
}

/* What would hinder the second step is found before the first one. */
static int check_daemon(struct rotating *r)
{
	const bool dry_run = r->cli->dry_run;
	struct running running;

	r->cli->dry_run = true; /* asked nothing: checked only */
	int status = reload_daemon(r->cli, r->conf, &running);
	r->cli->dry_run = dry_run;
	return status;
}

static int rotate(struct rotating *r)
{
	int status = check_daemon(r);

	if (status == 0)
		status = find_place(r);
	if (status != 0)
		return status;
	tell_plan(r);
	if (r->cli->dry_run) {
		cli_note(r->cli, tr("dry run: nothing was changed"));
		return 0;
	}
	status = cli_confirm(r->cli, tr("Go on? Sign and publish?"));
	if (status == 0)
		status = publish_both(r);
	if (status == 0)
		status = switch_key(r);
	if (status == 0)
		update_pins(r);
	return status == 0 ? drop_old(r) : status;
}

static void tell_end(struct rotating *r)
{
	char fingerprint[40], pin[2 * HASH_SIZE + 1];

	public_key_fingerprint(&r->fresh.id, fingerprint);
	hash_to_hex(&r->fresh.id, pin);
	if (r->cli->json)
		cli_document(r->cli, r->cli->schema,
			     json_pack("{s:s,s:s,s:b}", "fingerprint", fingerprint, "server_pin", pin, "dry_run",
				       (int)r->cli->dry_run));
	else if (!r->cli->dry_run && !r->cli->quiet)
		cli_line(tr("the server's key is %s now (server_pin %s); nothing takes the old one any more"),
			 fingerprint, pin);
}

int pocadm_cmd_key_rotate(struct cli *cli)
{
	struct rotating r = {.cli = cli};

	if (strcmp(cli->argv[0], "tls") != 0)
		return cli_fail(cli, STATUS_USAGE, tr("which key? tls, that of the server"));
	if (cli->conf.id[0] != '\0' && strcmp(cli->conf.state, STATE_DIRECTORY) != 0)
		return cli_fail(cli, STATUS_DENIED,
				tr("the server's key is the directory's staff's to rotate, not that of %s"),
				cli->conf.state);
	int status = link_keys_open(cli, &cli->conf.coordinator, "coordinator", &r.keys);
	if (status == 0)
		status = reload_find_conf(cli, cli->argc > 1 ? cli->argv[1] : NULL, r.conf);
	if (status == 0)
		status = link_open(cli, true, &r.poc);
	if (status == 0)
		status = make_users_open(cli, r.poc, STATE_DIRECTORY, false, &r.users);
	if (status == 0)
		status = rotate(&r);
	if (status == 0)
		tell_end(&r);
	passphrase_finish(&r.passphrase);
	make_users_close(&r.users);
	link_keys_close(&r.keys);
	link_close(cli, r.poc);
	return status;
}
