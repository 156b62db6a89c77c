#include "clients/cli/ceremony_show.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/cli/key.h"
#include "clients/cli/place.h"
#include "clients/cli/strings.h"
#include "pocd/base/ini.h"
#include "proto/keys/keystore_pkcs11.h"
#include "proto/rules/trust.h"

enum { DROP_LEAST = 4, FINGERPRINT_DIGITS = 32 };

/* ---- Opening */

struct info {
	char id[65];
};

/* directory.info: of all that it says, only the id is needed here. */
static int take_info(void *ctx, const char *section, const char *key, const char *value, struct refusal *why)
{
	struct info *info = ctx;

	if (strcmp(section, "directory") != 0)
		return refuse(why, STATUS_INVALID, "", "expected a section [directory]");
	if (strcmp(key, "id") == 0)
		snprintf(info->id, sizeof info->id, "%s", value);
	return 0;
}

static int read_pins(struct cli *cli, struct verify_pins *pins)
{
	struct info info = {{0}};
	struct refusal why = {0};

	*pins = (struct verify_pins){.quorum = cli->conf.quorum};
	snprintf(info.id, sizeof info.id, "%s", cli->conf.id);
	if (cli_has(cli, "directory") && ini_read(cli_value(cli, "directory"), take_info, &info, &why) != 0)
		return cli_refused(cli, &why);
	return hash_from_hex(info.id, &pins->directory) == 0
		   ? 0
		   : cli_fail(cli, STATUS_USAGE,
			      tr("which directory? --directory FILE (the directory.info of its staff), or a "
				 "configuration with its id"));
}

static int read_one(struct cli *cli, const struct verify_pins *pins, const char *path, struct ceremony *out)
{
	struct refusal why = {0};
	size_t size;
	uint8_t *bytes = (uint8_t *)cli_read_file(path, CEREMONY_MAX, &size, &why);

	if (bytes == NULL)
		return cli_refused(cli, &why);
	const int status = ceremony_read(pins, bytes, size, out, &why);
	free(bytes);
	return status == 0 ? 0 : cli_fail(cli, status, "%s: %s", path, why.message);
}

int ceremony_open(struct cli *cli, struct ceremony *out)
{
	struct verify_pins pins;
	struct refusal why = {0};

	memset(out, 0, sizeof *out);
	int status = read_pins(cli, &pins);
	if (status == 0)
		status = read_one(cli, &pins, cli->argv[0], out);
	for (int i = 1; i < cli->argc && status == 0; i++) {
		struct ceremony copy;
		status = read_one(cli, &pins, cli->argv[i], &copy);
		if (status != 0)
			break;
		status = ceremony_merge(out, &copy, &why);
		if (status != 0)
			cli_fail(cli, status, "%s: %s", cli->argv[i], why.message);
		ceremony_finish(&copy);
	}
	if (status != 0)
		ceremony_finish(out);
	return status;
}

/* ---- Words: a list of {what, change: in | out | set, value, before} */

static void note(json_t *list, const char *change, const char *what, const char *value, const char *before)
{
	json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:o}", "change", change, "what", what, "value", value,
					      "before", before != NULL ? json_string(before) : json_null()));
}

static void note_set(json_t *list, const char *what, const char *value, const char *before)
{
	if (strcmp(value, before) != 0)
		note(list, "set", what, value, before);
}

static bool has_key(Poc__Key *const *keys, size_t n, const Poc__Key *key)
{
	for (size_t i = 0; i < n; i++) {
		if (keys[i]->spki.len == key->spki.len &&
		    memcmp(keys[i]->spki.data, key->spki.data, key->spki.len) == 0)
			return true;
	}
	return false;
}

static void note_missing(json_t *list, const char *change, const char *what, Poc__Key *const *these, size_t n_these,
			 Poc__Key *const *those, size_t n_those)
{
	char fingerprint[40];

	for (size_t i = 0; i < n_these; i++) {
		const struct hash id = hash_of(these[i]->spki.data, these[i]->spki.len);
		if (has_key(those, n_those, these[i]))
			continue;
		public_key_fingerprint(&id, fingerprint);
		note(list, change, what, fingerprint, NULL);
	}
}

static void note_keys(json_t *list, const char *what, Poc__Key *const *old, size_t n_old, Poc__Key *const *new,
		      size_t n_new)
{
	note_missing(list, "in", what, new, n_new, old, n_old);
	note_missing(list, "out", what, old, n_old, new, n_new);
}

static void note_threshold(json_t *list, const char *what, unsigned old, size_t n_old, unsigned new, size_t n_new)
{
	char value[40], before[40];

	snprintf(value, sizeof value, tr("%u of %zu"), new, n_new);
	snprintf(before, sizeof before, tr("%u of %zu"), old, n_old);
	note_set(list, what, value, before);
}

static void note_number(json_t *list, const char *what, unsigned new, unsigned old)
{
	char value[24], before[24];

	snprintf(value, sizeof value, "%u", new);
	snprintf(before, sizeof before, "%u", old);
	note_set(list, what, value, before);
}

static void auditor_text(const Poc__Auditor *a, char out[260])
{
	const struct hash id = hash_of(a->spki.data, a->spki.len);
	char fingerprint[40];

	public_key_fingerprint(&id, fingerprint);
	snprintf(out, 260, "%.128s of %.10s, %s", a->name, a->state, fingerprint);
}

static void note_auditors(json_t *list, const char *change, const Poc__Trust *these, const Poc__Trust *those)
{
	char text[260], other[260];

	for (size_t i = 0; i < these->n_auditors; i++) {
		bool found = false;
		auditor_text(these->auditors[i], text);
		for (size_t k = 0; k < those->n_auditors && !found; k++) {
			auditor_text(those->auditors[k], other);
			found = strcmp(text, other) == 0;
		}
		if (!found)
			note(list, change, tr("auditor"), text, NULL);
	}
}

/* A state that was replaced several times stands in T as often. */
static bool has_replacement(const Poc__Trust *trust, const Poc__Replacement *r)
{
	for (size_t i = 0; i < trust->n_replaced; i++) {
		const Poc__Replacement *other = trust->replaced[i];
		if (strcmp(other->state, r->state) == 0 && other->not_before == r->not_before &&
		    memcmp(other->keys.data, r->keys.data, HASH_SIZE) == 0)
			return true;
	}
	return false;
}

static void note_replaced(json_t *list, const char *change, const Poc__Trust *these, const Poc__Trust *those)
{
	char text[200], fingerprint[40];

	for (size_t i = 0; i < these->n_replaced; i++) {
		const Poc__Replacement *r = these->replaced[i];
		struct hash keys;
		if (has_replacement(those, r))
			continue;
		memcpy(keys.bytes, r->keys.data, HASH_SIZE);
		public_key_fingerprint(&keys, fingerprint);
		snprintf(text, sizeof text, tr("%s (%.40s), K with the code %s, not before %s"), r->state,
			 place_state_name(r->state), fingerprint, time_text(r->not_before));
		note(list, change, tr("authority replaced by the council"), text, NULL);
	}
}

static bool names_algorithm(const Poc__Trust *trust, const char *name)
{
	for (size_t i = 0; i < trust->n_algorithms; i++) {
		if (strcmp(trust->algorithms[i], name) == 0)
			return true;
	}
	return false;
}

/* One by one: what no verifier knows may have any name, even one with a comma in it. */
static void note_algorithms(json_t *list, const char *change, const Poc__Trust *these, const Poc__Trust *those)
{
	for (size_t i = 0; i < these->n_algorithms; i++) {
		if (!names_algorithm(those, these->algorithms[i]))
			note(list, change, tr("algorithm"), these->algorithms[i], NULL);
	}
}

/* What guards a state against a council, or thieves, in haste. */
static void note_delay(json_t *list, const Poc__Trust *old, const Poc__Trust *new)
{
	const uint32_t day = 24 * 60 * 60;
	char value[64], before[64];

	snprintf(value, sizeof value, "%s", span_text(new->replacement_delay));
	snprintf(before, sizeof before, "%s", span_text(old->replacement_delay));
	note_set(list, tr("delay of replacements"), value, before);
	if (new->replacement_delay < old->replacement_delay)
		note(list, "ATTENTION", tr("the delay of replacements is shortened"),
		     tr("from the next trust root on a state's authority can be replaced sooner than it may notice"),
		     NULL);
	if (new->replacement_delay < day)
		note(list, "ATTENTION", tr("the delay of replacements is less than 24 hours"),
		     tr("a state that sleeps cannot object before its authority is replaced"), NULL);
}

static void trust_changes(json_t *list, const Poc__Trust *old, const Poc__Trust *new)
{
	char value[64], before[64];
	const unsigned allowed_old = trust_algorithms(old), allowed_new = trust_algorithms(new);

	note_keys(list, tr("root key"), old->root_keys, old->n_root_keys, new->root_keys, new->n_root_keys);
	note_threshold(list, tr("root keys that must sign"), old->root_threshold,
		       key_counting(old->root_keys, old->n_root_keys, allowed_old), new->root_threshold,
		       key_counting(new->root_keys, new->n_root_keys, allowed_new));
	note_keys(list, tr("enrolment key"), old->enrolment_keys, old->n_enrolment_keys, new->enrolment_keys,
		  new->n_enrolment_keys);
	note_threshold(list, tr("enrolment keys that must sign"), old->enrolment_threshold,
		       key_counting(old->enrolment_keys, old->n_enrolment_keys, allowed_old), new->enrolment_threshold,
		       key_counting(new->enrolment_keys, new->n_enrolment_keys, allowed_new));
	note_keys(list, tr("log key"), old->log_keys, old->n_log_keys, new->log_keys, new->n_log_keys);
	note_auditors(list, "in", new, old);
	note_auditors(list, "out", old, new);
	note_number(list, tr("auditors that must sign"), new->quorum, old->quorum);
	snprintf(value, sizeof value, "%s", span_text(new->max_age));
	snprintf(before, sizeof before, "%s", span_text(old->max_age));
	note_set(list, tr("age at which an answer is stale"), value, before);
	note_algorithms(list, "in", new, old);
	note_algorithms(list, "out", old, new);
	note_number(list, tr("least protocol"), new->least_protocol, old->least_protocol);
	note_delay(list, old, new);
	note_replaced(list, "in", new, old);
	note_replaced(list, "out", old, new);
	snprintf(value, sizeof value, "%s", time_text(new->expires));
	note_set(list, tr("expires"), value, time_text(old->expires));
}

/* allowed: the algorithms that count. */
static void keys_changes(json_t *list, const Poc__Keys *old, const Poc__Keys *new, unsigned allowed)
{
	note_keys(list, tr("authority key"), old->authority, old->n_authority, new->authority, new->n_authority);
	note_threshold(list, tr("authority keys that must sign"), old->authority_threshold,
		       key_counting(old->authority, old->n_authority, allowed), new->authority_threshold,
		       key_counting(new->authority, new->n_authority, allowed));
	note_keys(list, tr("coordinator key"), old->coordinators, old->n_coordinators, new->coordinators,
		  new->n_coordinators);
	if (new->emergency)
		note(list, "set", tr("EMERGENCY"),
		     tr("users and records that only a dropped key signed are void until they are signed anew"), NULL);
}

static json_t *changes_json(const struct ceremony_proposal *p, const Poc__Trust *trust)
{
	json_t *list = json_array();

	if (p->envelope->name.kind == NAME_TRUST)
		trust_changes(list, p->prev->payload.trust, p->envelope->payload.trust);
	else if (p->envelope->name.kind == NAME_KEYS)
		keys_changes(list, p->prev->payload.keys, p->envelope->payload.keys, trust_algorithms(trust));
	return list;
}

static void group_title(const struct ceremony_group *group, char out[80])
{
	snprintf(out, 80,
		 group->role == CEREMONY_ROOT        ? tr("root keys of T version %llu")
		 : group->role == CEREMONY_ENROLMENT ? tr("enrolment keys of T version %llu")
						     : tr("authority keys of K version %llu"),
		 (unsigned long long)group->version);
}

static json_t *group_json(const struct ceremony_group *group)
{
	json_t *keys = json_array();
	char title[80], fingerprint[40];
	unsigned have = 0;

	for (size_t i = 0; i < group->n; i++) {
		public_key_fingerprint(&group->keys[i].key.id, fingerprint);
		have += group->keys[i].has_signed;
		json_array_append_new(keys,
				      json_pack("{s:s,s:b,s:b}", "fingerprint", fingerprint, "signed",
						(int)group->keys[i].has_signed, "usable", (int)group->keys[i].usable));
	}
	group_title(group, title);
	return json_pack("{s:s,s:i,s:i,s:i,s:o}", "group", title, "needed", (int)group->threshold, "signed", (int)have,
			 "missing", (int)ceremony_lacks(group), "keys", keys);
}

static json_t *issued_json(const struct envelope *e)
{
	return cli_time_json(e->name.kind == NAME_TRUST      ? e->payload.trust->issued
			     : e->name.kind == NAME_REGISTER ? e->payload.register_->issued
							     : e->payload.keys->issued);
}

json_t *ceremony_json(const struct ceremony *ceremony)
{
	json_t *proposals = json_array();
	const struct hash directory = ceremony->head->trust[0]->payload_hash;
	char id[2 * HASH_SIZE + 1], code[40];

	for (size_t i = 0; i < ceremony->n; i++) {
		const struct ceremony_proposal *p = &ceremony->proposals[i];
		json_t *groups = json_array();
		for (size_t g = 0; g < p->n_groups; g++)
			json_array_append_new(groups, group_json(&p->groups[g]));
		public_key_fingerprint(&p->envelope->payload_hash, code);
		json_array_append_new(
		    proposals, json_pack("{s:s,s:I,s:o,s:s,s:o,s:o}", "name", p->envelope->name.text, "seq",
					 (json_int_t)p->envelope->seq, "issued", issued_json(p->envelope), "code", code,
					 "changes", changes_json(p, verified_head_trust(ceremony->head)->payload.trust),
					 "signatures", groups));
	}
	hash_to_hex(&directory, id);
	return json_pack("{s:s,s:s,s:I,s:o,s:o,s:i}", "directory", id, "origin",
			 verified_head_trust(ceremony->head)->payload.trust->origin, "checkpoint_size",
			 (json_int_t)ceremony->head->checkpoint.size, "as_of",
			 cli_time_json(ceremony->head->time_ms / 1000), "proposals", proposals, "missing",
			 (int)ceremony_missing(ceremony, false));
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "-";
}

static void tell_proposal(const json_t *p)
{
	const json_t *changes = json_object_get(p, "changes"), *groups = json_object_get(p, "signatures");
	size_t i, k;
	json_t *each, *key;

	cli_line(tr("%s version %lld, made %s"), text_of(p, "name"),
		 (long long)json_integer_value(json_object_get(p, "seq")), text_of(p, "issued"));
	cli_line(tr("  code to compare   %s"), text_of(p, "code"));
	if (json_array_size(changes) == 0)
		cli_line("%s", tr("  says the same as the version before, signed anew"));
	json_array_foreach(changes, i, each)
	{
		const char *change = text_of(each, "change");
		const json_t *before = json_object_get(each, "before");
		cli_line("  %-4s  %s: %s%s%s", strcmp(change, "set") == 0 ? tr("now") : tr(change),
			 text_of(each, "what"), text_of(each, "value"), json_is_string(before) ? tr(", was ") : "",
			 json_is_string(before) ? json_string_value(before) : "");
	}
	json_array_foreach(groups, i, each)
	{
		cli_line(tr("  %s: %d of %d have signed"), text_of(each, "group"),
			 (int)json_integer_value(json_object_get(each, "signed")),
			 (int)json_integer_value(json_object_get(each, "needed")));
		json_array_foreach(json_object_get(each, "keys"), k, key) cli_line(
		    "    %s  %s", text_of(key, "fingerprint"),
		    json_is_true(json_object_get(key, "signed"))   ? tr("signed")
		    : json_is_true(json_object_get(key, "usable")) ? tr("open")
								   : tr("of an algorithm that does not count"));
	}
}

/* Of a K, whether all that is missing are signatures that the council's word may stand for. */
static bool only_old_authority(const struct ceremony *c)
{
	return c->proposals[0].envelope->name.kind == NAME_KEYS && ceremony_missing(c, true) == 0;
}

void ceremony_tell(const struct cli *cli, const struct ceremony *ceremony)
{
	const unsigned missing = ceremony_missing(ceremony, false);
	size_t i;
	json_t *each;

	if (cli->json || cli->quiet)
		return;
	json_t *all = ceremony_json(ceremony);
	cli_line(tr("directory %s"), text_of(all, "directory"));
	cli_line(tr("%s, as of %s, checkpoint of size %lld"), text_of(all, "origin"), text_of(all, "as_of"),
		 (long long)json_integer_value(json_object_get(all, "checkpoint_size")));
	json_array_foreach(json_object_get(all, "proposals"), i, each) tell_proposal(each);
	json_decref(all);
	if (missing == 0)
		cli_line("%s", tr("complete: all signatures are there"));
	else if (missing == 1)
		cli_line("%s", tr("1 signature is missing"));
	else
		cli_line(tr("%u signatures are missing"), missing);
	if (missing > 0 && only_old_authority(ceremony))
		cli_line("%s", tr("without them it counts only if the council names its code as a replacement"));
}

int ceremony_refuse_missing(struct cli *cli, const struct ceremony *ceremony, bool waived)
{
	const unsigned missing = ceremony_missing(ceremony, waived);
	char list[400] = "", title[80];
	size_t used = 0;

	if (missing == 0)
		return 0;
	for (size_t i = 0; i < ceremony->n; i++) {
		const struct ceremony_proposal *p = &ceremony->proposals[i];
		for (size_t g = 0; g < p->n_groups && used < sizeof list - 1; g++) {
			const unsigned lacks = ceremony_lacks(&p->groups[g]);
			if (lacks == 0 || (waived && g == 0 && p->groups[g].role == CEREMONY_AUTHORITY))
				continue;
			group_title(&p->groups[g], title);
			used += (size_t)snprintf(list + used, sizeof list - used, tr("%s%u by %s"),
						 used > 0 ? ", " : "", lacks, title);
		}
	}
	return cli_fail(cli, STATUS_UNVERIFIED,
			missing == 1 ? tr("%u signature is missing: %s") : tr("%u signatures are missing: %s"), missing,
			list);
}

/* ---- Drafting */

/* The digits of a fingerprint without hyphens, in capitals. */
static size_t digits_of(const char *text, char out[FINGERPRINT_DIGITS + 1])
{
	size_t n = 0;

	for (; *text != '\0'; text++) {
		if (*text == '-')
			continue;
		if (n == FINGERPRINT_DIGITS || !isalnum((unsigned char)*text))
			return 0;
		out[n++] = (char)toupper((unsigned char)*text);
	}
	out[n] = '\0';
	return n;
}

static bool named_by(const Poc__Key *key, const char *digits, size_t n)
{
	const struct hash id = hash_of(key->spki.data, key->spki.len);
	char fingerprint[40], own[FINGERPRINT_DIGITS + 1];

	public_key_fingerprint(&id, fingerprint);
	return digits_of(fingerprint, own) >= n && strncmp(own, digits, n) == 0;
}

static int drop_key(struct cli *cli, struct ceremony_list *list, const char *flag, const char *text)
{
	char digits[FINGERPRINT_DIGITS + 1], fingerprint[40];
	size_t n = digits_of(text, digits), found = 0, at = 0;

	if (n < DROP_LEAST) { /* no fingerprint: the key's file */
		struct public_key key;
		int status = key_named(cli, text);
		if (status == 0)
			status = key_read_public(cli, text, &key);
		if (status != 0)
			return status;
		public_key_fingerprint(&key.id, fingerprint);
		n = digits_of(fingerprint, digits);
	}
	for (size_t i = 0; i < list->n; i++) {
		if (named_by(list->keys[i], digits, n)) {
			at = i;
			found++;
		}
	}
	if (found != 1)
		return cli_fail(cli, found == 0 ? STATUS_NOT_FOUND : STATUS_USAGE,
				found == 0 ? tr("--%s %.*s: no such key is listed")
					   : tr("--%s %.*s: more than one key begins so"),
				flag, keystore_pkcs11_shown(text), text);
	memmove(&list->keys[at], &list->keys[at + 1], (list->n - at - 1) * sizeof(Poc__Key *));
	list->n--;
	return 0;
}

static int add_key(struct cli *cli, struct ceremony_list *list, const char *flag, const char *path)
{
	const size_t at = list->n_fresh;

	if (at == CEREMONY_KEYS_MAX)
		return cli_fail(cli, STATUS_USAGE, tr("--%s: at most %d keys"), flag, CEREMONY_KEYS_MAX);
	int status = key_named(cli, path);
	if (status == 0)
		status = key_read_public(cli, path, &list->fresh[at]);
	if (status != 0)
		return status;
	if (list->fresh[at].algorithm == KEY_UNKNOWN)
		return cli_fail(cli, STATUS_INVALID,
				tr("--%s %.*s: a key of an algorithm that never counts: ed25519, P-256 or P-384"), flag,
				keystore_pkcs11_shown(path), path);
	poc__key__init(&list->own[at]);
	list->own[at].spki = (ProtobufCBinaryData){list->fresh[at].spki_size, list->fresh[at].spki};
	if (has_key(list->keys, list->n, &list->own[at]))
		return cli_fail(cli, STATUS_USAGE, tr("--%s %.*s: this key is listed already"), flag,
				keystore_pkcs11_shown(path), path);
	list->keys[list->n++] = &list->own[list->n_fresh++];
	return 0;
}

int ceremony_list_edit(struct cli *cli, struct ceremony_list *list, Poc__Key *const *old, size_t n, const char *add,
		       const char *drop)
{
	const char *value;
	int status = 0;

	list->n = list->n_fresh = 0;
	for (size_t i = 0; i < n && i < CEREMONY_KEYS_MAX; i++)
		list->keys[list->n++] = old[i];
	for (size_t i = 0; status == 0 && (value = cli_nth(cli, drop, i)) != NULL; i++)
		status = drop_key(cli, list, drop, value);
	for (size_t i = 0; status == 0 && (value = cli_nth(cli, add, i)) != NULL; i++)
		status = add_key(cli, list, add, value);
	return status;
}

int ceremony_number(struct cli *cli, const char *flag, uint64_t max, uint32_t *value)
{
	uint64_t number;

	if (!cli_has(cli, flag))
		return 0;
	if (!ini_unsigned(cli_value(cli, flag), max, &number))
		return cli_fail(cli, STATUS_USAGE, tr("--%s takes a number up to %llu"), flag, (unsigned long long)max);
	*value = (uint32_t)number;
	return 0;
}

static int save(struct cli *cli, const struct ceremony *ceremony, bool fresh)
{
	struct refusal why = {0};
	uint8_t *bytes;
	size_t size;
	int status = ceremony_write(ceremony, &bytes, &size, &why);

	if (status != 0)
		return cli_refused(cli, &why);
	status = cli_write_file(cli->argv[0], bytes, size, 0644, fresh, &why);
	free(bytes);
	return status == 0 ? 0 : cli_refused(cli, &why);
}

static void print_json(struct cli *cli, const struct ceremony *ceremony)
{
	if (!cli->json)
		return;
	json_t *document = ceremony_json(ceremony);
	json_object_set_new(document, "file", json_string(cli->argv[0]));
	if (cli->dry_run)
		json_object_set_new(document, "dry_run", json_true());
	cli_document(cli, cli->schema, document);
}

int ceremony_save_new(struct cli *cli, const struct verify_pins *pins, const uint8_t *proof, size_t proof_size,
		      const ProtobufCBinaryData *proposals, size_t n, int64_t now)
{
	struct ceremony ceremony;
	struct refusal why = {0};
	uint8_t *bytes;
	size_t size;

	if (ceremony_encode(proof, proof_size, proposals, n, &bytes, &size) != 0)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	int status = ceremony_read(pins, bytes, size, &ceremony, &why);
	free(bytes);
	if (status != 0)
		return cli_refused(cli, &why);
	status = ceremony_check(&ceremony, now, &why);
	if (status != 0)
		cli_refused(cli, &why);
	else
		ceremony_tell(cli, &ceremony);
	if (status == 0 && cli->dry_run)
		cli_note(cli, tr("dry run: %s was not written"), cli->argv[0]);
	else if (status == 0)
		status = cli_confirm(cli, tr("Write this draft?"));
	if (status == 0 && !cli->dry_run)
		status = save(cli, &ceremony, true);
	if (status == 0)
		print_json(cli, &ceremony);
	ceremony_finish(&ceremony);
	return status;
}

/* ---- sign, show */

static int open_signing_key(struct cli *cli, struct keystore_key **out)
{
	const struct settings_paths *configured =
	    strcmp(cli->program, "pocadm") == 0 ? &cli->conf.root : &cli->conf.authority;
	const char *path = cli_has(cli, "key")  ? cli_value(cli, "key")
			   : configured->n == 1 ? configured->paths[0]
						: NULL;

	if (path == NULL)
		return cli_fail(cli, STATUS_USAGE, tr("--key FILE: which key signs?"));
	int status = key_named(cli, path);
	return status == 0 ? key_open(cli, path, out) : status;
}

int ceremony_cmd_sign(struct cli *cli)
{
	struct ceremony ceremony = {0};
	struct keystore_key *key = NULL;
	struct refusal why = {0};
	char question[120], fingerprint[40];
	int status = open_signing_key(cli, &key);

	if (status == 0)
		status = ceremony_open(cli, &ceremony);
	if (status == 0 && (status = ceremony_check(&ceremony, (int64_t)time(NULL), &why)) != 0)
		cli_refused(cli, &why);
	if (status == 0 && !cli->dry_run && !cli->yes)
		ceremony_tell(cli, &ceremony);
	if (status == 0 && !cli->dry_run) {
		public_key_fingerprint(&keystore_public(key)->id, fingerprint);
		snprintf(question, sizeof question, tr("Sign this with the key %s?"), fingerprint);
		status = cli_confirm(cli, question);
	}
	if (status == 0 && (status = ceremony_sign(&ceremony, key, &why)) != 0)
		cli_refused(cli, &why);
	if (status == 0)
		ceremony_tell(cli, &ceremony);
	if (status == 0 && cli->dry_run)
		cli_note(cli, tr("dry run: %s stays as it is"), cli->argv[0]);
	else if (status == 0)
		status = save(cli, &ceremony, false);
	if (status == 0)
		print_json(cli, &ceremony);
	ceremony_finish(&ceremony);
	keystore_close(key);
	return status;
}

int ceremony_cmd_show(struct cli *cli)
{
	struct ceremony ceremony;
	struct refusal why = {0};
	int status = ceremony_open(cli, &ceremony);

	if (status != 0)
		return status;
	const bool quiet = cli->quiet;
	cli->quiet = false;
	ceremony_tell(cli, &ceremony);
	cli->quiet = quiet;
	print_json(cli, &ceremony);
	if (ceremony_check(&ceremony, (int64_t)time(NULL), &why) != 0)
		cli_note(cli, tr("it would be refused: %s"), why.message);
	ceremony_finish(&ceremony);
	return 0;
}
