#include "clients/cli/make.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/key.h"
#include "clients/cli/place.h"
#include "clients/cli/strings.h"
#include "proto/rules/notice.h"
#include "proto/rules/rules.h"
#include "proto/wire/prescan.h"

/* What a write of the group points at. */
struct make_owned {
	struct name name;
	uint8_t *envelope;
	struct draft_sections sections;
	ProtobufCBinaryData *list;
};

void make_group_finish(struct make_group *group)
{
	for (size_t i = 0; i < group->n; i++) {
		free(group->owned[i].envelope);
		draft_sections_free(&group->owned[i].sections);
		free(group->owned[i].list);
	}
	free(group->owned);
	free(group->writes);
	memset(group, 0, sizeof *group);
}

static int grow(struct make_group *group)
{
	size_t capacity = group->capacity > 0 ? 2 * group->capacity : 8;
	struct client_write *writes = realloc(group->writes, capacity * sizeof *writes);

	if (writes == NULL)
		return STATUS_NO_MEMORY;
	group->writes = writes;
	struct make_owned *owned = realloc(group->owned, capacity * sizeof *owned);
	if (owned == NULL)
		return STATUS_NO_MEMORY;
	group->owned = owned;
	group->capacity = capacity;
	return 0;
}

int make_group_add(struct make_group *group, const struct name *name, uint8_t *envelope, size_t size,
		   struct draft_sections *sections)
{
	struct make_owned owned = {.name = *name, .envelope = envelope};

	if (sections != NULL)
		owned.sections = *sections;
	owned.list = calloc(owned.sections.n > 0 ? owned.sections.n : 1, sizeof *owned.list);
	if (owned.list == NULL || (group->n == group->capacity && grow(group) != 0)) {
		free(owned.list);
		free(envelope);
		draft_sections_free(&owned.sections);
		return STATUS_NO_MEMORY;
	}
	for (size_t i = 0; i < owned.sections.n; i++)
		owned.list[i] = (ProtobufCBinaryData){owned.sections.items[i].size, owned.sections.items[i].bytes};
	group->owned[group->n] = owned;
	group->writes[group->n] = (struct client_write){envelope, size, owned.list, owned.sections.n};
	group->n++;
	return 0;
}

static json_t *results_json(const struct client_submitted *done)
{
	json_t *list = json_array();

	for (size_t i = 0; i < done->n; i++) {
		char value[2 * HASH_SIZE + 1];
		hash_to_hex(&done->results[i].value, value);
		json_array_append_new(list, json_pack("{s:s,s:I,s:s,s:s,s:b}", "name", done->results[i].name, "seq",
						      (json_int_t)done->results[i].seq, "value", value, "stored",
						      time_text(done->results[i].stored_ms / 1000), "repeated",
						      (int)done->results[i].repeated));
	}
	return list;
}

static void print_document(struct cli *cli, json_t *document, json_t *more)
{
	if (document != NULL && more != NULL)
		json_object_update(document, more);
	cli_document(cli, cli->schema, document);
}

static void tell_results(struct cli *cli, const struct client_submitted *done, json_t *more)
{
	if (cli->json) {
		print_document(cli,
			       json_pack("{s:o,s:b,s:I}", "results", results_json(done), "proven", (int)done->proven,
					 "checkpoint_size", (json_int_t)done->checkpoint_size),
			       more);
		return;
	}
	for (size_t i = 0; i < done->n && !cli->quiet; i++)
		cli_line(tr("%s version %llu: stored %s, %s"), done->results[i].name,
			 (unsigned long long)done->results[i].seq, time_text(done->results[i].stored_ms / 1000),
			 done->proven ? tr("proven") : tr("not yet proven"));
}

static bool is_listed(const Poc__Keys *keys, const struct public_key *key)
{
	for (size_t i = 0; i < keys->n_coordinators; i++) {
		const ProtobufCBinaryData *spki = &keys->coordinators[i]->spki;
		if (spki->len == key->spki_size && memcmp(spki->data, key->spki, spki->len) == 0)
			return true;
	}
	return false;
}

/* Whether the configuration names coordinator keys, and the K that judges a name lists none of them. */
static bool names_dropped(struct cli *cli, struct poc *poc, const struct name *name, char fingerprint[40])
{
	const struct settings_paths *paths = &cli->conf.coordinator;
	struct client_envelope found = {0};
	struct name k;
	const char *names[] = {k.text};

	if (paths->n == 0 || !name_make(NAME_KEYS, name_authority(name), NULL, &k) ||
	    client_envelopes(poc, CLIENT_ONLINE, names, 1, &found) != 0)
		return false;
	bool dropped = found.envelope != NULL;
	for (size_t i = 0; i < paths->n && dropped; i++) {
		struct public_key key;
		dropped =
		    key_read_public(cli, paths->paths[i], &key) == 0 && !is_listed(found.envelope->payload.keys, &key);
		if (dropped && i == 0)
			public_key_fingerprint(&key.id, fingerprint);
	}
	client_envelopes_finish(&found, 1);
	return dropped;
}

/* A signature that the directory refuses: whose, where the configuration tells.  Returns the status to end with. */
static int fail_unsigned(struct cli *cli, struct poc *poc, const struct name *name)
{
	const struct refusal why = *client_why(poc);
	char fingerprint[40];

	if (!names_dropped(cli, poc, name, fingerprint))
		return cli_refused(cli, &why);
	return cli_fail(cli, STATUS_DENIED,
			tr("%s: the [coordinator] key of the configuration, %s, is not one of K/%s (any more): another "
			   "is to be named there (poc key show %s)"),
			name->text, fingerprint, name_authority(name), name_authority(name));
}

static void fail_refused(struct cli *cli, const struct poc *poc, const struct make_group *group,
			 const struct client_submitted *done, int status)
{
	const struct refusal *why = client_why(poc);
	char field[CLI_FIELD];

	if (strncmp(why->field, "writes[", 7) != 0 || strchr(why->field, '.') == NULL || done->write >= group->n ||
	    status == STATUS_DENIED) {
		link_fail(cli, poc, status);
		return;
	}
	cli_field(cli, why->field, field);
	cli_fail(cli, status, tr("%s, %s%s"), group->owned[done->write].name.text, field, why->message);
}

/* The version that is served; 0: it cannot be told. */
static uint64_t served_seq(struct poc *poc, const struct name *name)
{
	const char *const names[] = {name->text};
	struct client_envelope found = {0};
	struct client_record record = {0};
	uint64_t seq = 0;

	if (name->kind == NAME_RECORD) {
		client_lookup(poc, CLIENT_ONLINE, name, NULL, 0, &record);
		seq = record.verified.record != NULL ? record.verified.record->seq : 0;
		client_record_finish(&record);
	} else if (client_envelopes(poc, CLIENT_ONLINE, names, 1, &found) == 0) {
		seq = found.envelope != NULL ? found.envelope->seq : 0;
		client_envelopes_finish(&found, 1);
	}
	return seq;
}

/* Another version was first.  One that is not served yet may be our own, and cannot be looked at. */
static void fail_conflict(struct cli *cli, struct poc *poc, const struct name *name, uint64_t current)
{
	const uint64_t served = served_seq(poc, name);

	if (served != 0 && served < current)
		cli_fail(cli, STATUS_CONFLICT,
			 tr("version %llu of %s is stored already, by you or another a moment ago, and waits for its "
			    "proof: try again when it is proven"),
			 (unsigned long long)current, name->text);
	else
		cli_fail(cli, STATUS_CONFLICT,
			 tr("%s was changed by another a moment ago; its version %llu is current now: look at it and "
			    "try again"),
			 name->text, (unsigned long long)current);
}

static int submit(struct cli *cli, struct poc *poc, const struct make_group *group, json_t *more)
{
	struct client_submitted done = {0};
	bool connected = client_connected(poc);
	int status = client_submit(poc, group->writes, group->n, true, &done);
	bool maybe_stored = done.maybe_stored;

	if (status == STATUS_UNREACHABLE && connected) { /* stored or not?  Sent again, the first answer comes again. */
		cli_detail(cli, tr("%s: sending it again"), client_why(poc)->message);
		client_submitted_finish(&done);
		status = client_submit(poc, group->writes, group->n, true, &done);
		maybe_stored = done.maybe_stored || (maybe_stored && status == STATUS_UNREACHABLE);
	}
	if (maybe_stored) /* the key that it lists, and whatever else was made for it, is needed from now on */
		made_finish(&cli->made, true);
	if (done.n > 0) {
		tell_results(cli, &done, more);
		cli->collecting = true; /* the document is out */
	}
	if (status == STATUS_CONFLICT && done.current_seq > 0 && done.write < group->n)
		fail_conflict(cli, poc, &group->owned[done.write].name, done.current_seq);
	else if (status == STATUS_QUEUED)
		cli_fail(cli, status, "%s", client_why(poc)->message);
	else if (status == STATUS_UNVERIFIED && done.n == 0 && done.write < group->n)
		status = fail_unsigned(cli, poc, &group->owned[done.write].name);
	else if (status != 0)
		fail_refused(cli, poc, group, &done, status);
	client_submitted_finish(&done);
	return status;
}

/* What a dry run does not send, by name and version: a line each, unless in JSON mode. */
static json_t *would_publish(struct cli *cli, const struct make_group *group)
{
	json_t *list = json_array();

	for (size_t i = 0; i < group->n; i++) {
		struct envelope *envelope;
		if (envelope_parse(group->writes[i].envelope, group->writes[i].size, &envelope, NULL) != 0)
			continue;
		json_array_append_new(
		    list, json_pack("{s:s,s:I}", "name", envelope->name.text, "seq", (json_int_t)envelope->seq));
		if (!cli->json)
			cli_line(tr("would be published: %s version %llu"), envelope->name.text,
				 (unsigned long long)envelope->seq);
		envelope_destroy(envelope);
	}
	return list;
}

int make_finish(struct cli *cli, struct poc *poc, const struct make_group *group, const char *question, json_t *more)
{
	if (group->n == 0 || cli->dry_run) {
		json_t *list = would_publish(cli, group);
		if (cli->json)
			print_document(
			    cli,
			    json_pack("{s:[],s:b,s:O}", "results", "dry_run", (int)cli->dry_run, "would_publish", list),
			    more);
		else if (cli->dry_run)
			cli_note(cli, group->n > 0 ? tr("dry run: nothing was sent")
						   : tr("dry run: there is nothing to send"));
		json_decref(list);
		return 0;
	}
	int status = cli_confirm(cli, question);
	return status != 0 ? status : submit(cli, poc, group, more);
}

int make_current(struct cli *cli, struct poc *poc, const struct name *name, struct client_record *out, bool *exists)
{
	static const char *const sections[] = {"units"};
	int status = client_lookup(poc, CLIENT_ONLINE, name, sections, 1, out);

	*exists = out->verified.record != NULL;
	if (out->verdict.clock_behind > 0)
		return cli_fail(
		    cli, STATUS_CLOCK,
		    tr("this machine's clock is %s behind the directory's checkpoint: nothing is signed by it"),
		    span_text(out->verdict.clock_behind));
	if (status == STATUS_NOT_FOUND || status == STATUS_WITHDRAWN || status == STATUS_STALE)
		return 0;
	return status == 0 ? 0 : link_fail(cli, poc, status);
}

int make_record(struct cli *cli, struct poc *poc, const struct draft *draft, const struct name *name,
		const struct client_record *current, bool exists, const struct link_keys *keys,
		struct make_group *group)
{
	const struct envelope *old = exists ? current->verified.record : NULL;
	struct draft *copy = NULL;
	struct refusal why = {0};
	Poc__Record *record = NULL;
	struct draft_sections sections = {0};
	uint8_t *bytes;
	size_t size;
	int status = 0;

	if (draft == NULL) {
		if (current->verified.withheld > 0) /* confirmed as it stands: the sections stay under their digests */
			cli_note(cli, tr("%zu sections are withheld from this reader and stay as they are"),
				 current->verified.withheld);
		status = draft_from_record(old->payload.record, current->verified.sections,
					   current->verified.n_sections, &copy, &why);
	}
	if (status == 0)
		status =
		    draft_build(draft != NULL ? draft : copy, client_directory_id(poc), old != NULL ? old->seq + 1 : 1,
				old != NULL ? &old->value : NULL, old != NULL ? old->payload.record : NULL,
				exists ? current->verified.sections : NULL, exists ? current->verified.n_sections : 0,
				client_now(poc), &record, &sections, &why);
	draft_destroy(copy);
	if (status == 0 && draft == NULL) /* confirmed: nothing else changes */
		record->issued = old->payload.record->issued;
	if (status == 0) {
		status = envelope_make(&record->base, keys->keys, keys->n, &bytes, &size, &why);
		if (status != 0)
			draft_sections_free(&sections);
		else
			status = make_group_add(group, name, bytes, size, &sections);
	}
	message_free(record);
	if (status == 0)
		return 0;
	char field[CLI_FIELD];
	cli_field(cli, why.field, field);
	return cli_fail(cli, status, "%s: %s%s", place_text(name), field,
			why.message[0] != '\0' ? why.message : status_text(status));
}

/* ---- Users */

static int empty_users(struct cli *cli, struct make_users *out)
{
	out->users = malloc(sizeof *out->users);
	if (out->users == NULL)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	poc__users__init(out->users);
	return 0;
}

int make_users_open(struct cli *cli, struct poc *poc, const char *place, bool first, struct make_users *out)
{
	struct refusal why = {0};
	ProtobufCMessage *copy;

	memset(out, 0, sizeof *out);
	if (!desk_users(place, &out->name))
		return cli_fail(cli, STATUS_USAGE, tr("\"%s\" is neither a state's code nor a unit of one"), place);
	const char *names[] = {out->name.text};
	int status = client_envelopes(poc, CLIENT_ONLINE, names, 1, &out->current);
	if (status != 0)
		return link_fail(cli, poc, status);
	if (out->current.envelope == NULL && first && out->name.unit[0] != '\0')
		return empty_users(cli, out);
	if (out->current.envelope == NULL)
		return cli_fail(cli, STATUS_NOT_FOUND, tr("%s has no users"), place);
	const ProtobufCBinaryData *payload = &out->current.envelope->outer->payload;
	status = message_decode(&poc__users__descriptor, payload->data, payload->len, NULL, &copy, &why);
	if (status != 0)
		return cli_refused(cli, &why);
	out->users = (Poc__Users *)copy;
	return 0;
}

void make_users_close(struct make_users *users)
{
	message_free(users->users);
	client_envelopes_finish(&users->current, 1);
	memset(users, 0, sizeof *users);
}

static int by_handle(const void *a, const void *b)
{
	return strcmp((*(Poc__User *const *)a)->handle, (*(Poc__User *const *)b)->handle);
}

int make_users_sign(struct cli *cli, struct poc *poc, struct make_users *users, const struct link_keys *keys,
		    struct make_group *group)
{
	struct refusal why = {0};
	uint8_t *bytes;
	size_t size;
	Poc__Head head, *old_head = users->users->head;
	const struct envelope *current = users->current.envelope;

	head_fill(&head, client_directory_id(poc), users->name.text, current != NULL ? current->seq + 1 : 1,
		  current != NULL ? &current->value : NULL);
	if (users->users->n_users > 0)
		qsort(users->users->users, users->users->n_users, sizeof(Poc__User *), by_handle);
	users->users->head = &head;
	users->users->issued = client_now(poc);
	int status = envelope_make(&users->users->base, keys->keys, keys->n, &bytes, &size, &why);
	users->users->head = old_head;
	if (status == 0 && make_group_add(group, &users->name, bytes, size, NULL) != 0)
		status = refuse(&why, STATUS_NO_MEMORY, "", "out of memory");
	return status == 0 ? 0 : cli_refused(cli, &why);
}
