/* New keys for a user, the user's reading key, or a desk's, while everybody goes on.
 *
 * Each step is durable before the next one, and a run that finds an earlier one interrupted goes on where that was:
 *   user     the new key is made; the configuration names it as next_key, and is good from then on whichever of the two
 *            U lists; U lists it, by this coordinator or by another one who is given the request; the configuration
 *            names it alone.
 *   reading, desk
 *            the new key is made; the configuration reads with both; U lists it. The old key stays in the
 *            configuration: what was sent until now is encrypted to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clients/cli/conf_edit.h"
#include "clients/cli/key.h"
#include "clients/cli/make.h"
#include "clients/cli/person.h"
#include "clients/cli/reading.h"
#include "clients/cli/strings.h"
#include "clients/poc/commands.h"
#include "clients/poc/duty.h"
#include "pocd/base/ini.h"
#include "proto/keys/keystore_file.h"
#include "proto/keys/keystore_open.h"
#include "proto/keys/keystore_pkcs11.h"
#include "proto/rules/rules.h"
#include "proto/wire/prescan.h"

enum { OVERLAP_DAYS = 7, DAY_SECONDS = 86400, VALUE_MAX = 400 };

struct rotating {
	struct cli *cli;
	struct duty duty;
	struct poc *poc; /* duty's */
	struct make_users users;
	const Poc__User *own;     /* our entry in the current U */
	struct public_key user;   /* the key of that entry */
	struct public_key fresh;  /* the new one */
	char path[CONF_PATH_MAX]; /* of its file */
	int64_t overlap;          /* seconds */
};

static bool is_key(const ProtobufCBinaryData *spki, const struct public_key *key)
{
	return spki->len == key->spki_size && memcmp(spki->data, key->spki, spki->len) == 0;
}

static const char *fingerprint(const struct public_key *key)
{
	static char text[40];

	public_key_fingerprint(&key->id, text);
	return text;
}

/* ---- Opening */

static int open_all(struct rotating *r)
{
	struct cli *cli = r->cli;
	int status = duty_open_sender(cli, &r->duty);

	r->poc = r->duty.poc;
	if (status == 0 && cli->offline)
		status = cli_fail(cli, STATUS_USAGE, tr("rotate asks a server: it does not go with --offline"));
	if (status == 0)
		status = make_users_open(cli, r->poc, conf_place(&cli->conf), false, &r->users);
	if (status != 0)
		return status;
	r->user = *keystore_public(client_key(r->poc));
	r->own = users_find(r->users.current.envelope->payload.users, &r->user.id);
	return r->own != NULL ? 0
			      : cli_fail(cli, STATUS_DENIED, tr("U/%s does not list the key of %s"),
					 conf_place(&cli->conf), cli->conf.path);
}

static void close_all(struct rotating *r)
{
	make_users_close(&r->users);
	duty_close(&r->duty);
}

/* Anew, as the configuration is now. */
static int reopen(struct rotating *r)
{
	struct cli *cli = r->cli;
	struct refusal why = {0};

	close_all(r);
	if (conf_read(cli->config, &cli->conf, &why) != 0)
		return cli_refused(cli, &why);
	return open_all(r);
}

/* ---- Making the key, and telling the configuration */

/* stem: as the configuration writes it, without ending. */
static int make_key(struct rotating *r, const char *stem, enum key_algorithm algorithm, bool certificate)
{
	struct cli *cli = r->cli;
	char name[CONF_PATH_MAX], crt[CONF_PATH_MAX];
	struct keystore_key *key;
	struct refusal why = {0};

	if (snprintf(name, sizeof name, "%s.key", stem) >= (int)sizeof name ||
	    !conf_resolve(cli->conf.path, name, r->path) ||
	    snprintf(name, sizeof name, "%s.crt", stem) >= (int)sizeof name || !conf_resolve(cli->conf.path, name, crt))
		return cli_fail(cli, STATUS_INVALID, tr("path too long"));
	int status = key_make(cli, algorithm, r->path, true, &key);
	if (status != 0)
		return status;
	r->fresh = *keystore_public(key);
	if (certificate) {
		status = keystore_write_certificate(key, r->own->handle, crt, &why);
		if (status == 0)
			made_add(&cli->made, crt);
	}
	keystore_close(key);
	return status == 0 ? 0 : cli_refused(cli, &why);
}

/* From here on the configuration names what was made: it stays, whatever comes. */
static int edit_conf(struct rotating *r, const struct conf_change *changes, size_t n)
{
	struct refusal why = {0};

	if (conf_edit(r->cli->conf.path, changes, n, &why) != 0)
		return cli_refused(r->cli, &why);
	made_finish(&r->cli->made, true);
	return 0;
}

/* ---- U, or a request to whoever signs it */

/* "duty.conf" -> "duty.rotate.request" beside it. */
static int request_path(struct rotating *r, char out[CONF_PATH_MAX])
{
	const char *conf = r->cli->conf.path, *dot = strrchr(conf, '.'), *slash = strrchr(conf, '/');
	const bool ending = dot != NULL && (slash == NULL || dot > slash + 1);
	int n = cli_has(r->cli, "request") ? snprintf(out, CONF_PATH_MAX, "%s", cli_value(r->cli, "request"))
					   : snprintf(out, CONF_PATH_MAX, "%.*s.rotate.request",
						      (int)(ending ? dot - conf : (long)strlen(conf)), conf);

	return n < CONF_PATH_MAX ? 0 : cli_fail(r->cli, STATUS_INVALID, tr("path too long"));
}

static const Poc__ReadingKey *own_reading(const struct rotating *r)
{
	const Poc__Users *users = r->users.current.envelope->payload.users;

	for (size_t i = 0; i < users->n_reading_keys; i++) {
		const Poc__ReadingKey *key = users->reading_keys[i];
		if (key->holder == POC__HOLDER__HOLDER_USER && strcmp(key->handle, r->own->handle) == 0 &&
		    (key->not_after == 0 || key->not_after > client_now(r->poc)))
			return key;
	}
	return NULL;
}

/* What U says of us, with the keys as they are to be. */
static int fill_request(struct rotating *r, const struct public_key *user, const struct public_key *reading,
			struct person *out)
{
	const struct conf *conf = &r->cli->conf;
	const Poc__ReadingKey *current = own_reading(r);

	*out =
	    (struct person){.service = r->own->service, .not_after = r->own->not_after, .has_key = true, .key = *user};
	snprintf(out->servers, sizeof out->servers, "%s", conf->servers);
	snprintf(out->directory_id, sizeof out->directory_id, "%s", conf->id);
	snprintf(out->server_pin, sizeof out->server_pin, "%s", conf->server_pin);
	snprintf(out->state, sizeof out->state, "%s", conf->state);
	snprintf(out->unit, sizeof out->unit, "%s", conf->unit);
	snprintf(out->handle, sizeof out->handle, "%s", r->own->handle);
	for (size_t i = 0; i < r->own->n_roles && out->n_roles < PERSON_ROLES_MAX; i++)
		out->roles[out->n_roles++] = r->own->roles[i];
	for (size_t i = 0; i < r->own->n_kinds && out->n_kinds < PERSON_KINDS_MAX; i++)
		out->kinds[out->n_kinds++] = r->own->kinds[i];
	if (reading != NULL) {
		out->reading = *reading;
		out->has_reading = true;
	} else if (current != NULL) {
		out->has_reading = true;
		if (public_key_parse(current->spki.data, current->spki.len, &out->reading, NULL) != 0)
			return cli_fail(r->cli, STATUS_INVALID, tr("the reading key in U is none"));
	}
	return 0;
}

/* A key whose own rotation was begun and waits for a coordinator goes into the same request: there is one file for
 * both. next: as the configuration names it; *key stays where it names none. */
static int take_begun(struct rotating *r, const char *next, const struct public_key **key, struct public_key *begun)
{
	if (next[0] == '\0')
		return 0;
	*key = begun;
	return key_read_public(r->cli, next, begun);
}

/* Writes the request, or finds it written by the run before. */
static int write_request(struct rotating *r, const struct public_key *user, const struct public_key *reading)
{
	struct cli *cli = r->cli;
	struct person person, there;
	char path[CONF_PATH_MAX], code[40];
	int status = fill_request(r, user, reading, &person);

	if (status == 0)
		status = request_path(r, path);
	if (status != 0)
		return status;
	const bool same =
	    access(path, F_OK) == 0 && person_load(path, true, &there, NULL) == 0 &&
	    person_same_invitation(&there, &person) && memcmp(there.key.id.bytes, user->id.bytes, HASH_SIZE) == 0 &&
	    there.has_reading == person.has_reading &&
	    (!person.has_reading || memcmp(there.reading.id.bytes, person.reading.id.bytes, HASH_SIZE) == 0);
	if (!same && access(path, F_OK) == 0 && !cli_has(cli, "request"))
		unlink(path); /* of a rotation before: its name says that it is ours */
	if (!same)
		status = person_write(cli, &person, path);
	if (status != 0)
		return status;
	person_code(&person, code);
	if (cli->json)
		cli_document(cli, cli->schema,
			     json_pack("{s:s,s:s,s:s,s:s}", "step", "requested", "fingerprint", fingerprint(&r->fresh),
				       "request", path, "check_code", code));
	else {
		cli_line(tr("give this request to your coordinator, who runs poc user add: %s"), path);
		cli_line(tr("and read out the check code: %s"), code);
	}
	return 0;
}

static int publish(struct rotating *r)
{
	struct cli *cli = r->cli;
	struct link_keys keys;
	struct make_group group = {0};
	int status = link_keys_open(cli, &cli->conf.coordinator, "coordinator", &keys);

	if (status == 0)
		status = make_users_sign(cli, r->poc, &r->users, &keys, &group);
	json_t *more = json_pack("{s:s,s:s}", "step", "published", "fingerprint", fingerprint(&r->fresh));
	if (status == 0)
		status = make_finish(cli, r->poc, &group, tr("Sign and publish?"), more);
	json_decref(more);
	make_group_finish(&group);
	link_keys_close(&keys);
	return status;
}

/* ---- The user's key */

/* What is signed with the old key and not posted yet would be refused once that is dropped. */
static int empty_outbox(struct rotating *r)
{
	size_t waiting = 0;

	if (outbox_waiting(r->poc) == 0)
		return 0;
	duty_flush(&r->duty, NULL, &waiting);
	return waiting == 0
		   ? 0
		   : cli_fail(r->cli, STATUS_QUEUED,
			      waiting == 1 ? tr("%zu notice or receipt waits in the outbox, signed with the old key: "
						"poc notice flush first")
					   : tr("%zu notices or receipts wait in the outbox, signed with the old key: "
						"poc notice flush first"),
			      waiting);
}

/* The first step, where no earlier run has taken it. */
static int begin_user(struct rotating *r)
{
	struct cli *cli = r->cli;
	char key[VALUE_MAX], stem[VALUE_MAX], next_key[VALUE_MAX + 8], next_cert[VALUE_MAX + 8];
	int status = empty_outbox(r);

	if (status != 0)
		return status;
	if (!conf_value(cli->conf.path, "user", "key", key, sizeof key) ||
	    !conf_value(cli->conf.path, "user", "cert", stem, sizeof stem))
		return cli_fail(cli, STATUS_INVALID, tr("%s does not name the user's key and certificate itself"),
				cli->conf.path);
	if (keystore_is_token(key))
		return cli_fail(
		    cli, STATUS_INVALID,
		    tr("the user's key is in a token, where only its own tools make another: name that as next_key "
		       "in %s, and its certificate as next_cert"),
		    cli->conf.path);
	if (!conf_next_stem(cli->conf.path, key, stem, sizeof stem))
		return cli_fail(cli, STATUS_INVALID, tr("%s: no name for the new key"), key);
	snprintf(next_key, sizeof next_key, "%s.key", stem);
	snprintf(next_cert, sizeof next_cert, "%s.crt", stem);
	if (cli->dry_run) {
		return cli_would(cli, tr("%s would be made, and take the place of %s in U/%s and in %s"), next_key, key,
				 conf_place(&cli->conf), cli->conf.path);
	}
	status = make_key(r, stem, KEY_ED25519, true);
	const struct conf_change changes[] = {{"user", "next_cert", next_cert}, {"user", "next_key", next_key}};
	return status == 0 ? edit_conf(r, changes, 2) : status;
}

/* The last step: U lists the new key. */
static int end_user(struct rotating *r)
{
	struct cli *cli = r->cli;
	char key[VALUE_MAX], next_key[VALUE_MAX], next_cert[VALUE_MAX];

	if (!conf_value(cli->conf.path, "user", "key", key, sizeof key) ||
	    !conf_value(cli->conf.path, "user", "next_key", next_key, sizeof next_key) ||
	    !conf_value(cli->conf.path, "user", "next_cert", next_cert, sizeof next_cert))
		return cli_fail(cli, STATUS_INVALID, tr("%s does not name both keys itself"), cli->conf.path);
	const struct conf_change changes[] = {{"user", "cert", next_cert},
					      {"user", "key", next_key},
					      {"user", "next_cert", NULL},
					      {"user", "next_key", NULL}};
	int status = edit_conf(r, changes, 4);
	if (status != 0)
		return status;
	cli->conf.next_key[0] = '\0'; /* nothing is left to be ended */
	if (!cli->json && !cli->quiet)
		cli_line(tr("%s  %.*s is the user's key now; %.*s opens nothing any more"), fingerprint(&r->fresh),
			 keystore_pkcs11_shown(next_key), next_key, keystore_pkcs11_shown(key), key);
	if (reopen(r) != 0 || poc_sync(r->poc, NULL, NULL) != 0) /* the copy is kept for each key apart */
		cli_note(cli, tr("the local copy is not there yet: poc sync makes it"));
	return 0;
}

static Poc__User *find_user(Poc__Users *users, const char *handle)
{
	for (size_t i = 0; i < users->n_users; i++) {
		if (strcmp(users->users[i]->handle, handle) == 0)
			return users->users[i];
	}
	return NULL;
}

/* U with the new key in the place of the old one, signed. */
static int publish_user(struct rotating *r)
{
	Poc__User *user = find_user(r->users.users, r->own->handle);
	uint8_t *spki = malloc(r->fresh.spki_size);

	if (user == NULL || spki == NULL) {
		free(spki);
		return cli_fail(r->cli, STATUS_NO_MEMORY, tr("out of memory"));
	}
	memcpy(spki, r->fresh.spki, r->fresh.spki_size);
	free(user->spki.data);
	user->spki = (ProtobufCBinaryData){r->fresh.spki_size, spki};
	if (!r->cli->json && !r->cli->quiet)
		cli_line(
		    tr("%s/%s: the new key %s takes the place of the old one; sessions with that end within a second"),
		    conf_place(&r->cli->conf), r->own->handle, fingerprint(&r->fresh));
	return publish(r);
}

static int rotate_user(struct rotating *r)
{
	struct cli *cli = r->cli;
	const bool begun = cli->conf.next_key[0] != '\0';
	int status = begun ? key_read_public(cli, cli->conf.next_key, &r->fresh) : begin_user(r);

	if (status == 0 && !begun && !cli->dry_run)
		status = reopen(r); /* with both keys: that under way may be the last request with the old one */
	if (status != 0 || (cli->dry_run && !begun))
		return status;
	const bool listed = is_key(&r->own->spki, &r->fresh);
	if (cli->dry_run) {
		return cli_would(cli,
				 listed ? tr("the new key is listed; %s would name it alone")
					: tr("the new key of %s would be published"),
				 cli->conf.path);
	}
	if (!listed && cli->conf.coordinator.n == 0) {
		const struct public_key *reading = NULL;
		struct public_key begun_reading;
		status = take_begun(r, cli->conf.next_reading, &reading, &begun_reading);
		if (status == 0)
			status = write_request(r, &r->fresh, reading);
		if (status == 0 && !cli->json)
			cli_note(cli,
				 tr("both keys are good here until then; poc key rotate user, once more, ends it"));
		return status;
	}
	if (!listed)
		status = publish_user(r);
	else if (cli->json)
		cli_document(cli, cli->schema,
			     json_pack("{s:s,s:s}", "step", "ended", "fingerprint", fingerprint(&r->fresh)));
	return status == 0 ? end_user(r) : status;
}

/* ---- Reading keys */

/* Where a name begins that is the nth of a list, counted from 0; *size: its length.  NULL: there are not so many. */
static const char *nth_name(const char *list, size_t n, size_t *size)
{
	const char *at = list;

	for (;; n--) {
		at += strspn(at, " \t");
		*size = strcspn(at, ", \t");
		if (n == 0 || *at == '\0')
			return *at != '\0' ? at : NULL;
		at += strcspn(at, ",");
		at += *at == ',';
	}
}

/* The new key stands where the old one stood, and that among those that only read what is there already. */
static int note_reading(struct rotating *r, const char *list, const char *old, size_t old_size, const char *stem)
{
	char before[VALUE_MAX] = "", reading[2 * VALUE_MAX], olds[2 * VALUE_MAX], fresh[VALUE_MAX + 8];
	struct cli *cli = r->cli;

	if (cli->conf.reading.n == CONF_KEYS_MAX)
		return cli_fail(
		    cli, STATUS_TOO_LARGE,
		    tr("%s names %d reading keys already: take out the oldest, with which nothing is kept any "
		       "more"),
		    cli->conf.path, CONF_KEYS_MAX);
	conf_value(cli->conf.path, "notices", "old_reading_key", before, sizeof before);
	snprintf(fresh, sizeof fresh, "%s.key", stem);
	snprintf(reading, sizeof reading, "%.*s%s%s", (int)(old - list), list, fresh, old + old_size);
	snprintf(olds, sizeof olds, "%.*s%s%s", (int)old_size, old, before[0] != '\0' ? ", " : "", before);
	const struct conf_change changes[] = {{"notices", "reading_key", reading},
					      {"notices", "old_reading_key", olds},
					      {"notices", "next_reading_key", fresh}};
	return edit_conf(r, changes, 3);
}

static Poc__ReadingKey *find_reading(Poc__Users *users, const struct public_key *key)
{
	for (size_t i = 0; i < users->n_reading_keys; i++) {
		if (is_key(&users->reading_keys[i]->spki, key))
			return users->reading_keys[i];
	}
	return NULL;
}

static bool serves(const Poc__ReadingKey *key, const char *kind)
{
	for (size_t i = 0; i < key->n_kinds; i++) {
		if (kind == NULL || strcmp(poc_kind_name(key->kinds[i]), kind) == 0)
			return true;
	}
	return false;
}

/* The entry that is to be replaced: one whose private key this configuration has; *place: which of them. */
static int find_old(struct rotating *r, Poc__Holder holder, Poc__ReadingKey **out, size_t *place)
{
	const struct settings_paths *paths = &r->cli->conf.reading;
	const char *kind = cli_value(r->cli, "kind");
	const int64_t now = client_now(r->poc);
	size_t endless = 0;

	*out = NULL;
	for (size_t i = 0; i < paths->n; i++) {
		struct public_key key = {0};
		int status = key_read_public(r->cli, paths->paths[i], &key);
		if (status != 0)
			return status;
		Poc__ReadingKey *entry = find_reading(r->users.users, &key);
		/* one that has an end was replaced before, unless there is no other */
		if (entry == NULL || entry->holder != holder || (entry->not_after != 0 && entry->not_after <= now) ||
		    !serves(entry, kind))
			continue;
		endless += entry->not_after == 0;
		if (*out != NULL && ((*out)->not_after == 0 || entry->not_after != 0))
			continue;
		*out = entry;
		*place = i;
	}
	if (endless > 1 && holder == POC__HOLDER__HOLDER_DESK && kind == NULL) {
		*out = NULL;
		return cli_fail(r->cli, STATUS_USAGE,
				tr("which desk's? %zu keys of desks are among the reading keys of this configuration: "
				   "--kind technical, diplomatic or coordinator"),
				endless);
	}
	return *out != NULL
		   ? 0
		   : cli_fail(
			 r->cli, STATUS_NOT_FOUND,
			 holder == POC__HOLDER__HOLDER_DESK
			     ? tr("no key of a desk in U/%s is among the reading keys of this configuration; poc key "
				  "new --holder desk makes one")
			     : tr("no key of this user in U/%s is among the reading keys of this configuration"),
			 conf_place(&r->cli->conf));
}

static bool share_kinds(const Poc__ReadingKey *a, const Poc__ReadingKey *b)
{
	for (size_t i = 0; i < a->n_kinds; i++) {
		if (serves(b, poc_kind_name(a->kinds[i])))
			return true;
	}
	return false;
}

/* Without an overlap: whether a key of the same holder goes too.  A user's all do; of desks' those in an overlap of
 * their own, since one without an end may be another desk's: that is said. */
static bool goes_too(struct rotating *r, const Poc__ReadingKey *key, const Poc__ReadingKey *fresh)
{
	char text[40];

	if (key->holder == POC__HOLDER__HOLDER_USER)
		return true;
	if (!share_kinds(key, fresh))
		return false;
	if (key->not_after != 0)
		return true;
	const struct hash id = hash_of(key->spki.data, key->spki.len);
	public_key_fingerprint(&id, text);
	cli_note(r->cli, tr("U/%s lists another key of a desk, which stays; poc user remove %s takes it out"),
		 conf_place(&r->cli->conf), text);
	return false;
}

/* The new one without end, the old one for the overlap.  Without an overlap nothing is encrypted any more to any that
 * was replaced, not even where an earlier overlap goes on. */
static int replace_reading(struct rotating *r, Poc__ReadingKey *old)
{
	Poc__Users *users = r->users.users;
	const int64_t now = client_now(r->poc), until = now + r->overlap;
	const int64_t end = old->holder == POC__HOLDER__HOLDER_USER ? r->own->not_after : 0;
	size_t kept = 0;

	if (!reading_add(users, &r->fresh, old->holder, old->handle, old->kinds, old->n_kinds, end))
		return cli_fail(r->cli, STATUS_NO_MEMORY, tr("out of memory"));
	const Poc__ReadingKey *fresh = users->reading_keys[users->n_reading_keys - 1];
	if (old->not_after == 0 || old->not_after > until)
		old->not_after = until;
	for (size_t i = 0; i < users->n_reading_keys; i++) {
		Poc__ReadingKey *key = users->reading_keys[i];
		const bool over = key->not_after != 0 && key->not_after <= now;
		if (key != fresh && key->holder == fresh->holder && strcmp(key->handle, fresh->handle) == 0 &&
		    (over || (r->overlap == 0 && goes_too(r, key, fresh))))
			message_free(key);
		else
			users->reading_keys[kept++] = key;
	}
	users->n_reading_keys = kept;
	return 0;
}

static void tell_reading(struct rotating *r, Poc__Holder holder, const char *old_path)
{
	if (r->cli->json || r->cli->quiet)
		return;
	cli_line(tr("notices are encrypted to %s  %s now"), fingerprint(&r->fresh), r->path);
	if (r->overlap == 0)
		cli_line(tr("%s, and any that it had replaced, opens nothing that is sent from now on"), old_path);
	cli_line(tr("keep %s, with which what came until now is read, for as long as the directory keeps notices (400 "
		    "days, unless its operator says otherwise)"),
		 old_path);
	if (holder != POC__HOLDER__HOLDER_DESK)
		return;
	if (r->overlap == 0)
		cli_line(tr("bring %s to all who read with the desk now, and name it first in their [notices] "
			    "reading_key: without it they read nothing that is sent from now on"),
			 r->path);
	else
		cli_line(tr("bring %s to all who read with the desk, and name it first in their [notices] reading_key, "
			    "before %s: until then the old key reads too"),
			 r->path, time_text(client_now(r->poc) + r->overlap));
}

static int read_overlap(struct rotating *r, Poc__Holder holder)
{
	const char *text = cli_value(r->cli, "overlap");
	uint64_t ms;

	r->overlap = holder == POC__HOLDER__HOLDER_DESK ? (int64_t)OVERLAP_DAYS * DAY_SECONDS : 0;
	if (text == NULL)
		return 0;
	if (!ini_duration_ms(text, &ms) || ms / 1000 > 400ULL * DAY_SECONDS)
		return cli_fail(r->cli, STATUS_USAGE, tr("--overlap takes a span, such as 24h or 7d"));
	r->overlap = (int64_t)(ms / 1000);
	return 0;
}

/* The first step: the key is made, and the configuration reads with it. */
static int begin_reading(struct rotating *r, size_t place)
{
	struct cli *cli = r->cli;
	char list[VALUE_MAX], stem[VALUE_MAX], name[VALUE_MAX];
	size_t size = 0;
	const char *old = conf_value(cli->conf.path, "notices", "reading_key", list, sizeof list)
			      ? nth_name(list, place, &size)
			      : NULL;

	if (old == NULL)
		return cli_fail(cli, STATUS_INVALID, tr("%s does not name %s as reading_key itself"), cli->conf.path,
				cli->conf.reading.paths[place]);
	snprintf(name, sizeof name, "%.*s", (int)size, old);
	if (!conf_next_stem(cli->conf.path, name, stem, sizeof stem))
		return cli_fail(cli, STATUS_INVALID, tr("%s: no name for the new key"), name);
	if (cli->dry_run) {
		return cli_would(cli, tr("%s.key would take the place of %s in U/%s; %s would read with both"), stem,
				 name, conf_place(&cli->conf), cli->conf.path);
	}
	int status = make_key(r, stem, KEY_P384, false);
	return status == 0 ? note_reading(r, list, old, size, stem) : status;
}

/* The last step: U lists the new key. */
static int end_reading(struct rotating *r)
{
	const struct conf_change change = {"notices", "next_reading_key", NULL};

	return edit_conf(r, &change, 1);
}

/* Where the run before came to its end but for U, or for the last step. */
static int resume_reading(struct rotating *r, bool *listed)
{
	struct cli *cli = r->cli;
	int status = key_read_public(cli, cli->conf.next_reading, &r->fresh);

	snprintf(r->path, sizeof r->path, "%s", cli->conf.next_reading);
	*listed = status == 0 && find_reading(r->users.users, &r->fresh) != NULL;
	if (status != 0 || !*listed || cli->dry_run)
		return status;
	status = end_reading(r);
	if (status == 0 && cli->json)
		cli_document(cli, cli->schema,
			     json_pack("{s:s,s:s}", "step", "ended", "fingerprint", fingerprint(&r->fresh)));
	else if (status == 0 && !cli->quiet)
		cli_line(tr("notices are encrypted to %s  %s now"), fingerprint(&r->fresh), r->path);
	return status;
}

static int rotate_reading(struct rotating *r, Poc__Holder holder)
{
	struct cli *cli = r->cli;
	const bool begun = cli->conf.next_reading[0] != '\0';
	char old_path[CONF_PATH_MAX];
	Poc__ReadingKey *old;
	size_t place = 0;
	bool listed = false;
	int status = begun ? resume_reading(r, &listed) : 0;

	if (status != 0 || listed)
		return status;
	status = find_old(r, holder, &old, &place);
	if (status != 0 || old == NULL)
		return status;
	snprintf(old_path, sizeof old_path, "%s", cli->conf.reading.paths[place]);
	if (!begun)
		status = begin_reading(r, place);
	if (status != 0 || cli->dry_run)
		return status;
	if (cli->conf.coordinator.n == 0) {
		const struct public_key *user = &r->user;
		struct public_key begun_user;
		status = take_begun(r, cli->conf.next_key, &user, &begun_user);
		if (status == 0)
			status = write_request(r, user, &r->fresh);
		if (status == 0 && !cli->json)
			cli_note(cli, tr("both keys read here; poc key rotate reading, once more, ends it"));
		return status;
	}
	status = replace_reading(r, old);
	if (status == 0)
		status = publish(r);
	if (status == 0)
		status = end_reading(r);
	if (status == 0)
		tell_reading(r, holder, old_path);
	return status;
}

/* ---- The command */

int poc_cmd_key_rotate(struct cli *cli)
{
	struct rotating r = {.cli = cli};
	const char *what = cli->argv[0];
	const bool user = strcmp(what, "user") == 0, reading = strcmp(what, "reading") == 0;
	const Poc__Holder holder = reading ? POC__HOLDER__HOLDER_USER : POC__HOLDER__HOLDER_DESK;

	if (!user && !reading && strcmp(what, "desk") != 0)
		return cli_fail(cli, STATUS_USAGE, tr("which key? user, reading or desk"));
	if (!user && !reading && cli->conf.id[0] != '\0' && cli->conf.coordinator.n == 0)
		return cli_fail(cli, STATUS_DENIED, tr("the configuration holds no [coordinator] key"));
	if (user && (cli_has(cli, "overlap") || cli_has(cli, "kind")))
		return cli_fail(cli, STATUS_USAGE, tr("--overlap and --kind are of reading keys"));
	int status = user ? 0 : read_overlap(&r, holder);
	if (status == 0)
		status = open_all(&r);
	if (status == 0)
		status = user ? rotate_user(&r) : rotate_reading(&r, holder);
	close_all(&r);
	return status;
}
