/* Keys: making them, showing their fingerprints, and which states' keys were compared with the states themselves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/cli/key.h"
#include "clients/cli/link.h"
#include "clients/cli/person.h"
#include "clients/cli/place.h"
#include "clients/cli/reading.h"
#include "clients/cli/replacing.h"
#include "clients/cli/show.h"
#include "clients/cli/strings.h"
#include "clients/libpoc/known.h"
#include "clients/poc/commands.h"
#include "clients/poc/own_users.h"
#include "proto/keys/keystore_open.h"
#include "proto/rules/keys.h"
#include "proto/rules/trust.h"

/* ---- new */

static int make_key_file(struct cli *cli, enum key_algorithm algorithm, struct public_key *out)
{
	struct keystore_key *key;
	int status = key_make(cli, algorithm, cli->argv[0], true, &key);

	if (status != 0)
		return status;
	*out = *keystore_public(key);
	keystore_close(key);
	return 0;
}

/* What --holder, --kind and --not-after say of a reading key. */
static int read_holder(struct cli *cli, Poc__Holder *holder, struct person *kinds)
{
	if (!holder_parse(cli_value(cli, "holder"), holder) || *holder == POC__HOLDER__HOLDER_USER)
		return cli_fail(cli, STATUS_USAGE,
				tr("--holder is desk, archive or editor; a user's own comes with poc setup"));
	for (size_t i = 0; cli_nth(cli, "kind", i) != NULL; i++) {
		if (!person_add_kind(kinds, cli_nth(cli, "kind", i)))
			return cli_fail(cli, STATUS_USAGE, tr("unknown kind \"%s\""), cli_nth(cli, "kind", i));
	}
	if (kinds->n_kinds == 0)
		return cli_fail(cli, STATUS_USAGE, tr("whose notices? --kind technical, diplomatic, coordinator"));
	int status = own_users_not_after(cli, &kinds->not_after);
	if (status != 0)
		return status;
	if (cli->conf.coordinator.n == 0)
		return cli_fail(cli, STATUS_DENIED, tr("the configuration holds no [coordinator] key"));
	return 0;
}

/* An editor signs the record of its unit. */
static bool append_editor(Poc__Users *users, const struct public_key *key)
{
	Poc__Key **list = realloc(users->editors, (users->n_editors + 1) * sizeof *list);
	Poc__Key *entry = malloc(sizeof *entry);
	uint8_t *spki = malloc(key->spki_size);

	if (list != NULL)
		users->editors = list;
	if (list == NULL || entry == NULL || spki == NULL) {
		free(entry);
		free(spki);
		return false;
	}
	poc__key__init(entry);
	memcpy(spki, key->spki, key->spki_size);
	entry->spki = (ProtobufCBinaryData){key->spki_size, spki};
	users->editors[users->n_editors++] = entry;
	return true;
}

/* own_users_change gives the file's name, which is the key's. */
static int add_reading_key(struct own_users *c, const char *path)
{
	struct cli *cli = c->cli;
	struct person kinds = {0};
	struct public_key key;
	char fingerprint[40];
	Poc__Holder holder;
	int status = read_holder(cli, &holder, &kinds);

	if (status == 0)
		status = make_key_file(cli, KEY_P384, &key);
	if (status != 0)
		return status;
	if (!reading_add(c->users.users, &key, holder, "", kinds.kinds, kinds.n_kinds, kinds.not_after))
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	c->changes++;
	public_key_fingerprint(&key.id, fingerprint);
	if (!cli->json)
		cli_line(tr("%s  %s, to be named in [notices] reading_key of those who read with it"), fingerprint,
			 path);
	return 0;
}

static bool is_editor(const struct cli *cli)
{
	return cli_has(cli, "holder") && strcmp(cli_value(cli, "holder"), "editor") == 0;
}

/* What --type says; a reading key is P-384, and nothing else. */
static int read_type(struct cli *cli, enum key_algorithm *out)
{
	const bool reads = cli_has(cli, "holder") && !is_editor(cli);
	const char *type = cli_has(cli, "type") ? cli_value(cli, "type") : reads ? "p384" : "ed25519";

	*out = strcmp(type, "ed25519") == 0 ? KEY_ED25519
	       : strcmp(type, "p256") == 0  ? KEY_P256
	       : strcmp(type, "p384") == 0  ? KEY_P384
					    : KEY_UNKNOWN;
	if (*out == KEY_UNKNOWN)
		return cli_fail(cli, STATUS_USAGE, tr("--type is ed25519, p256 or p384"));
	if (!cli_has(cli, "holder") && cli_has(cli, "unit"))
		return cli_fail(cli, STATUS_USAGE,
				tr("--unit is of a key that U lists: --holder desk, archive or editor"));
	if (is_editor(cli) && cli->conf.unit[0] == '\0' && !cli_has(cli, "unit"))
		return cli_fail(cli, STATUS_USAGE, tr("an editor is a unit's: --unit NAME"));
	if (!reads && (cli_has(cli, "kind") || cli_has(cli, "not-after")))
		return cli_fail(cli, STATUS_USAGE,
				tr("--kind and --not-after are of a reading key: --holder desk or archive"));
	if (reads && *out != KEY_P384)
		return cli_fail(cli, STATUS_USAGE, tr("a reading key is a P-384 key: --type %s goes without --holder"),
				type);
	return 0;
}

static int add_editor_key(struct own_users *c, const char *path)
{
	struct cli *cli = c->cli;
	struct public_key key;
	char fingerprint[40];
	enum key_algorithm algorithm;
	int status = read_type(cli, &algorithm);

	if (status == 0)
		status = make_key_file(cli, algorithm, &key);
	if (status != 0)
		return status;
	if (!append_editor(c->users.users, &key))
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	c->changes++;
	public_key_fingerprint(&key.id, fingerprint);
	if (!cli->json)
		cli_line(tr("%s  %s, to be named in [editor] key of those who publish the record of %s"), fingerprint,
			 path, c->place);
	return 0;
}

/* A key that the users of the own place are to list. */
static int new_listed(struct cli *cli)
{
	char place[OWN_PLACE];
	int status = own_users_place(cli, place);

	if (status == 0 && cli->conf.coordinator.n == 0)
		status = cli_fail(cli, STATUS_DENIED, tr("the configuration holds no [%s] key"), "coordinator");
	if (status == 0 && cli->dry_run)
		return cli_would(cli, tr("%s would be made, and published in the users of %s, its holder %s"),
				 cli->argv[0], place, cli_value(cli, "holder"));
	return status == 0 ? own_users_change(cli, place, true, is_editor(cli) ? add_editor_key : add_reading_key,
					      tr("Sign and publish?"))
			   : status;
}

int poc_cmd_key_new(struct cli *cli)
{
	enum key_algorithm algorithm;
	struct public_key key;
	char fingerprint[40];
	int status = read_type(cli, &algorithm);

	if (status != 0)
		return status;
	if (cli_has(cli, "holder"))
		return new_listed(cli);
	if (cli->dry_run)
		return cli_would(cli, tr("%s would be made"), cli->argv[0]);
	status = make_key_file(cli, algorithm, &key);
	if (status != 0)
		return status;
	public_key_fingerprint(&key.id, fingerprint);
	if (cli->json)
		cli_document(cli, "poc.key-new/1",
			     json_pack("{s:s,s:s}", "file", cli->argv[0], "fingerprint", fingerprint));
	else
		printf("%s\n", fingerprint);
	return 0;
}

/* ---- show */

static void show_key(struct cli *cli, json_t *list, const char *what, const ProtobufCBinaryData *spki, bool counts)
{
	struct hash id = hash_of(spki->data, spki->len);
	char fingerprint[40];

	public_key_fingerprint(&id, fingerprint);
	json_array_append_new(
	    list, json_pack("{s:s,s:s,s:b}", "key", what, "fingerprint", fingerprint, "counts", (int)counts));
	if (!cli->json)
		cli_line("%-15s %s%s", what, fingerprint,
			 counts ? "" : tr("  of an algorithm that does not count: it signs nothing"));
}

/* Keys as K lists them. */
static void show_keys_of(struct cli *cli, json_t *list, const char *what, Poc__Key *const *keys, size_t n,
			 unsigned allowed)
{
	for (size_t i = 0; i < n; i++)
		show_key(cli, list, what, &keys[i]->spki, key_counts(keys[i], allowed));
}

/* By the T of the session's head. */
static unsigned algorithms(const struct poc *poc)
{
	return trust_algorithms(verified_head_trust(client_head(poc))->payload.trust);
}

static int show_file(struct cli *cli, const char *path)
{
	struct public_key key;
	int status = key_read_public(cli, path, &key);

	if (status != 0)
		return status;
	json_t *list = json_array();
	ProtobufCBinaryData spki = {key.spki_size, key.spki};
	const char *algorithm = key_algorithm_name(key.algorithm);
	show_key(cli, list, algorithm != NULL ? algorithm : tr("unknown algorithm"), &spki, algorithm != NULL);
	if (cli->json)
		cli_document(cli, "poc.key-show/1", json_pack("{s:O}", "keys", list));
	json_decref(list);
	return 0;
}

/* What the directory says of the own place: K of the state, U of the place; NULL: not to be had. */
struct own_lists {
	struct poc *poc;
	struct client_envelope found[2];
	const Poc__Keys *keys;
	const Poc__Users *users;
};

static void close_own_lists(struct cli *cli, struct own_lists *own)
{
	client_envelopes_finish(own->found, 2);
	link_close(cli, own->poc);
}

/* From a server, else from the copy; what neither has is missing.  0, or a status, printed, where nothing can be asked
 * for at all. */
static int open_own_lists(struct cli *cli, struct own_lists *own)
{
	struct name keys, users;
	const char *names[] = {keys.text, users.text};

	if (cli->conf.id[0] == '\0' || !name_make(NAME_KEYS, cli->conf.state, NULL, &keys) ||
	    !name_make(NAME_USERS, cli->conf.state, cli->conf.unit[0] != '\0' ? cli->conf.unit : NULL, &users))
		return 0;
	int status = link_open(cli, false, &own->poc);
	if (status != 0)
		return status;
	client_only_reads(own->poc);
	client_any_clock(own->poc);
	if (cli->offline || client_envelopes(own->poc, CLIENT_ONLINE, names, 2, own->found) != 0)
		client_envelopes(own->poc, CLIENT_OFFLINE, names, 2, own->found);
	if (own->found[0].envelope != NULL)
		own->keys = own->found[0].envelope->payload.keys;
	if (own->found[1].envelope != NULL)
		own->users = own->found[1].envelope->payload.users;
	return 0;
}

/* "desk technical" of a reading key that U lists as such; else "reading". */
static void reading_label(const Poc__Users *users, const struct public_key *key, char out[80])
{
	snprintf(out, 80, "reading");
	for (size_t i = 0; users != NULL && i < users->n_reading_keys; i++) {
		const Poc__ReadingKey *entry = users->reading_keys[i];
		if (entry->spki.len != key->spki_size || memcmp(entry->spki.data, key->spki, key->spki_size) != 0 ||
		    entry->holder == POC__HOLDER__HOLDER_USER)
			continue;
		size_t used = (size_t)snprintf(out, 80, "%s", holder_name(entry->holder));
		for (size_t k = 0; k < entry->n_kinds && used < 60; k++)
			used += (size_t)snprintf(out + used, 80 - used, "%c%s", k == 0 ? ' ' : '+',
						 poc_kind_name(entry->kinds[k]));
	}
}

static int show_files(struct cli *cli, json_t *list, const char *what, const struct settings_paths *paths,
		      const Poc__Users *users)
{
	struct public_key key;
	char label[80];
	int status = 0;

	for (size_t i = 0; i < paths->n && status == 0; i++) {
		status = key_read_public(cli, paths->paths[i], &key);
		if (status != 0)
			break;
		if (users != NULL)
			reading_label(users, &key, label);
		show_key(cli, list, users != NULL ? label : what, &(ProtobufCBinaryData){key.spki_size, key.spki},
			 true);
	}
	return status;
}

/* The own keys, as far as the configuration names them, and the own state's authority as the directory lists it. */
static int show_own(struct cli *cli)
{
	const struct conf *conf = &cli->conf;
	struct own_lists own = {0};
	json_t *list = json_array();
	struct public_key key;
	int status = key_read_public(cli, conf->key, &key);

	if (status == 0)
		status = open_own_lists(cli, &own);
	if (status == 0)
		show_key(cli, list, "user", &(ProtobufCBinaryData){key.spki_size, key.spki}, true);
	if (status == 0)
		status = show_files(cli, list, "reading", &conf->reading, own.users);
	if (status == 0)
		status = show_files(cli, list, "coordinator", &conf->coordinator, NULL);
	if (status == 0 && own.keys != NULL) {
		const struct verified_head *head = client_head(own.poc);
		const unsigned allowed = head != NULL ? algorithms(own.poc) : ~0U; /* of the copy: by the kind alone */
		show_keys_of(cli, list, "authority", own.keys->authority, own.keys->n_authority, allowed);
	} else if (status == 0) {
		status = show_files(cli, list, "authority", &conf->authority, NULL);
		if (status == 0 && conf->id[0] != '\0')
			cli_note(cli,
				 tr("which authority keys %s has is not known here: no server answers, and "
				    "there is no local copy"),
				 conf->state);
	}
	if (status == 0 && cli->json)
		cli_document(cli, "poc.key-show/1", json_pack("{s:O}", "keys", list));
	json_decref(list);
	close_own_lists(cli, &own);
	return status;
}

static int show_state(struct cli *cli, const char *state)
{
	struct poc *poc = NULL;
	struct client_envelope keys = {0};
	struct name name;
	json_t *list = json_array();
	int status = name_make(NAME_KEYS, state, NULL, &name)
			 ? link_open(cli, true, &poc)
			 : cli_fail(cli, STATUS_USAGE, tr("\"%s\" is not a state"), state);
	const char *names[] = {name.text};

	if (status == 0)
		status = link_connect_reader(cli, poc);
	if (status == 0 && (status = client_envelopes(poc, CLIENT_ONLINE, names, 1, &keys)) != 0)
		link_fail(cli, poc, status);
	if (status == 0 && keys.envelope == NULL)
		status = cli_fail(cli, STATUS_NOT_FOUND, tr("%s is not in the directory; proven"), state);
	if (status == 0) {
		const Poc__Keys *k = keys.envelope->payload.keys;
		if (!cli->json)
			printf(tr("%s, version %llu: %u of %zu authority keys sign\n"), state,
			       (unsigned long long)keys.envelope->seq, k->authority_threshold,
			       key_counting(k->authority, k->n_authority, algorithms(poc)));
		show_keys_of(cli, list, "authority", k->authority, k->n_authority, algorithms(poc));
		show_keys_of(cli, list, "coordinator", k->coordinators, k->n_coordinators, algorithms(poc));
		struct poc_verdict verdict = {0};
		struct hash authority = keys_authority(k);
		known_judge(client_state_dir(poc), state, &authority, &verdict);
		if (!cli->json)
			show_keys(&verdict);
		json_t *document = json_pack("{s:s,s:O,s:o}", "state", state, "keys", list, "authority_keys",
					     show_keys_json(&verdict));
		replacing_tell(cli, poc, state, keys.suspended, document);
		status = link_tell_clock(cli, poc, 0, document);
		if (cli->json)
			cli_document(cli, "poc.key-show/1", json_incref(document));
		json_decref(document);
	}
	json_decref(list);
	client_envelopes_finish(&keys, 1);
	link_close(cli, poc);
	return status;
}

int poc_cmd_key_show(struct cli *cli)
{
	struct name name;

	if (cli->argc == 0)
		return cli->conf.key[0] != '\0' ? show_own(cli)
						: cli_fail(cli, STATUS_USAGE, tr("which key? STATE or FILE"));
	if (strcmp(cli->argv[0], STATE_DIRECTORY) == 0)
		return show_state(cli, STATE_DIRECTORY);
	if (keystore_is_token(cli->argv[0]) || access(cli->argv[0], F_OK) == 0)
		return show_file(cli, cli->argv[0]);
	int status = place_read(cli, cli->argv[0], &name);
	return status != 0 ? status : show_state(cli, name.state);
}

/* ---- verified */

/* K/STATE as it is now.  0, or a status, printed. */
static int fetch_keys(struct cli *cli, struct poc *poc, const char *state, struct client_envelope *out)
{
	struct name name;

	if (!name_make(NAME_KEYS, state, NULL, &name))
		return cli_fail(cli, STATUS_USAGE, tr("\"%s\" is not a state"), state);
	const char *names[] = {name.text};
	int status = client_envelopes(poc, CLIENT_ONLINE, names, 1, out);
	if (status != 0)
		return link_fail(cli, poc, status);
	return out->envelope != NULL ? 0
				     : cli_fail(cli, STATUS_NOT_FOUND, tr("%s is not in the directory; proven"), state);
}

static json_t *fingerprints(const Poc__Keys *keys, unsigned allowed, bool print)
{
	json_t *list = json_array();
	char fingerprint[40];

	for (size_t i = 0; i < keys->n_authority; i++) {
		struct hash id = hash_of(keys->authority[i]->spki.data, keys->authority[i]->spki.len);
		public_key_fingerprint(&id, fingerprint);
		json_array_append_new(list, json_string(fingerprint));
		if (print)
			cli_line("  %s%s", fingerprint,
				 key_counts(keys->authority[i], allowed) ? ""
									 : tr("  of an algorithm that does not count"));
	}
	return list;
}

static int remember(struct cli *cli, struct poc *poc, const struct client_envelope *k)
{
	struct known known = {
	    .seq = k->envelope->seq, .authority = keys_authority(k->envelope->payload.keys), .at = client_now(poc)};
	struct refusal why = {0};

	snprintf(known.state, sizeof known.state, "%s", k->name.state);
	return known_note(client_state_dir(poc), &known, &why) == 0 ? 0 : cli_refused(cli, &why);
}

/* What will be remembered, before the question. */
static json_t *show_question(struct cli *cli, struct poc *poc, const struct client_envelope *k)
{
	const Poc__Keys *keys = k->envelope->payload.keys;
	struct hash authority = keys_authority(keys);
	struct poc_verdict verdict = {0};

	if (!cli->json)
		cli_line(tr("%s, version %llu: %u of %zu authority keys sign:"), k->name.state,
			 (unsigned long long)k->envelope->seq, keys->authority_threshold,
			 key_counting(keys->authority, keys->n_authority, algorithms(poc)));
	json_t *list = fingerprints(keys, algorithms(poc), !cli->json);
	known_judge(client_state_dir(poc), k->name.state, &authority, &verdict);
	if (!cli->json)
		show_keys(&verdict);
	replacing_tell(cli, poc, k->name.state, k->suspended, NULL);
	return list;
}

int poc_cmd_key_verified(struct cli *cli)
{
	struct poc *poc = NULL;
	struct client_envelope k = {0};
	struct name place;
	json_t *list = NULL;
	const bool staff = strcmp(cli->argv[0], STATE_DIRECTORY) == 0;
	int status = staff ? 0 : place_read(cli, cli->argv[0], &place);

	if (status == 0 && !staff && place.unit[0] != '\0')
		status = cli_fail(cli, STATUS_USAGE, tr("authority keys are a state's, not a unit's: %s"), place.state);
	if (status == 0)
		status = link_open(cli, true, &poc);
	if (status == 0)
		status = fetch_keys(cli, poc, staff ? STATE_DIRECTORY : place.state, &k);
	if (status == 0 && k.envelope != NULL)
		list = show_question(cli, poc, &k);
	if (status == 0 && cli->dry_run)
		cli_note(cli,
			 tr("dry run: these %zu fingerprints would be remembered as compared with %s; nothing is "
			    "remembered"),
			 json_array_size(list), k.name.state);
	else if (status == 0)
		status =
		    cli_confirm(cli, tr("Did the state itself read out these very fingerprints, on a line that you "
					"know from elsewhere?"));
	if (status == 0 && k.envelope != NULL && !cli->dry_run)
		status = remember(cli, poc, &k);
	if (status == 0 && k.envelope != NULL && cli->json)
		cli_document(cli, "poc.key-verified/1",
			     json_pack("{s:s,s:b,s:I,s:O,s:o,s:b}", "state", k.name.state, "suspended",
				       (int)k.suspended, "seq", (json_int_t)k.envelope->seq, "fingerprints", list,
				       "verified_at", cli->dry_run ? json_null() : cli_time_json(client_now(poc)),
				       "dry_run", (int)cli->dry_run));
	else if (status == 0 && !cli->dry_run)
		cli_note(cli, tr("remembered: lookup and notice send will say so when these keys change"));
	json_decref(list);
	client_envelopes_finish(&k, 1);
	link_close(cli, poc);
	return status;
}
