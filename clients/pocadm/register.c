/* The register of states. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/cli/make.h"
#include "clients/cli/place.h"
#include "clients/cli/replacing.h"
#include "clients/cli/strings.h"
#include "clients/libpoc/enrolment.h"
#include "clients/pocadm/commands.h"
#include "proto/rules/register.h"
#include "proto/rules/rules.h"

enum { ENROLMENT_FILE_MAX = 128 * 1024, GROUP_MAX = 60 };

static int read_enrolment(struct cli *cli, struct poc *poc, const char *path, struct enrolment *out)
{
	struct refusal why = {0};
	size_t size;
	uint8_t *bytes = (uint8_t *)cli_read_file(path, ENROLMENT_FILE_MAX, &size, &why);

	if (bytes == NULL)
		return cli_refused(cli, &why);
	int status = enrolment_decode(bytes, size, client_directory_id(poc), out, &why);
	free(bytes);
	return status == 0 ? 0 : cli_fail(cli, status, "%s: %s", path, why.message);
}

static void show_enrolment(struct cli *cli, const struct enrolment *e)
{
	const Poc__Keys *keys = e->keys->payload.keys;
	char fingerprint[40];

	if (cli->json || cli->quiet)
		return;
	cli_line(tr("%s (%s): %u of %zu authority keys"), e->keys->name.state, place_state_name(e->keys->name.state),
		 keys->authority_threshold, keys->n_authority);
	for (size_t i = 0; i < keys->n_authority; i++) {
		struct hash id = hash_of(keys->authority[i]->spki.data, keys->authority[i]->spki.len);
		public_key_fingerprint(&id, fingerprint);
		cli_line("  %s", fingerprint);
	}
}

/* States that were enrolled by these very files: there is nothing to do for them. */
static void drop_enrolled(struct cli *cli, const Poc__Register *reg, struct enrolment *enrolments, size_t *n)
{
	size_t kept = 0;

	for (size_t i = 0; i < *n; i++) {
		struct enrolment *e = &enrolments[i];
		const Poc__Entry *entry = register_find(reg, e->keys->name.state);
		if (entry == NULL || memcmp(entry->anchor.data, e->keys->payload_hash.bytes, HASH_SIZE) != 0) {
			enrolments[kept++] = *e;
			continue;
		}
		if (!cli->json)
			cli_note(cli, tr("%s is enrolled already by this file: nothing to do"), entry->state);
		enrolment_finish(e);
	}
	*n = kept;
}

static int by_state(const void *a, const void *b)
{
	return strcmp((*(Poc__Entry *const *)a)->state, (*(Poc__Entry *const *)b)->state);
}

/* The day of a time, YYYY-MM-DD. */
static void day_of(time_t at, char out[16])
{
	struct tm tm;

	gmtime_r(&at, &tm);
	strftime(out, 16, "%Y-%m-%d", &tm);
}

/* S with the new entries, signed, first into the group. */
static int add_register(struct cli *cli, struct poc *poc, const struct link_keys *keys, const struct envelope *current,
			const struct enrolment *enrolments, size_t n, struct make_group *group)
{
	const Poc__Register *old = current->payload.register_;
	Poc__Register reg = POC__REGISTER__INIT;
	Poc__Head head;
	Poc__Entry *fresh = calloc(n, sizeof *fresh), **entries = calloc(old->n_entries + n, sizeof *entries);
	struct refusal why = {0};
	char date[16];
	time_t now = (time_t)client_now(poc);
	uint8_t *bytes;
	size_t size;

	day_of(now, date);
	head_fill(&head, client_directory_id(poc), "S", current->seq + 1, &current->value);
	reg.head = &head;
	reg.issued = (int64_t)now;
	reg.entries = entries;
	int status = fresh == NULL || entries == NULL ? refuse(&why, STATUS_NO_MEMORY, "", "out of memory") : 0;
	for (size_t i = 0; status == 0 && i < old->n_entries; i++)
		entries[reg.n_entries++] = old->entries[i];
	for (size_t i = 0; status == 0 && i < n; i++) {
		poc__entry__init(&fresh[i]);
		fresh[i].state = enrolments[i].keys->name.state;
		fresh[i].anchor = (ProtobufCBinaryData){HASH_SIZE, enrolments[i].keys->payload_hash.bytes};
		fresh[i].reference = (char *)cli_value(cli, "reference");
		fresh[i].date = cli_has(cli, "date") ? (char *)cli_value(cli, "date") : date;
		if (register_find(old, fresh[i].state) != NULL)
			status = refuse(&why, STATUS_CONFLICT, "", "%s is enrolled already", fresh[i].state);
		for (size_t j = 0; status == 0 && j < i; j++) {
			if (strcmp(fresh[j].state, fresh[i].state) == 0)
				status =
				    refuse(&why, STATUS_INVALID, "", "%s: two enrolments of one state", fresh[i].state);
		}
		entries[reg.n_entries++] = &fresh[i];
	}
	if (status == 0) {
		qsort(entries, reg.n_entries, sizeof *entries, by_state);
		status = envelope_make(&reg.base, keys->keys, keys->n, &bytes, &size, &why);
	}
	if (status == 0 && make_group_add(group, &current->name, bytes, size, NULL) != 0)
		status = refuse(&why, STATUS_NO_MEMORY, "", "out of memory");
	free(fresh);
	free(entries);
	return status == 0 ? 0 : cli_refused(cli, &why);
}

static int add_copy(struct cli *cli, struct make_group *group, const struct envelope *e)
{
	uint8_t *bytes = malloc(e->size);

	if (bytes == NULL)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	memcpy(bytes, e->bytes, e->size);
	return make_group_add(group, &e->name, bytes, e->size, NULL) == 0
		   ? 0
		   : cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
}

/* What the flags say of the nomination. */
static int check_nomination(struct cli *cli)
{
	const char *reference = cli_value(cli, "reference"), *date = cli_value(cli, "date");
	struct refusal why = {0};
	char today[16];

	if (reference == NULL || reference[0] == '\0')
		return cli_fail(cli, STATUS_USAGE, tr("--reference R: which note verbale nominated it?"));
	if (text_check(reference, REGISTER_REFERENCE_MAX, false, "--reference", &why) != 0)
		return cli_fail(cli, STATUS_USAGE, "--reference: %s", why.message);
	if (date != NULL && !date_valid(date))
		return cli_fail(cli, STATUS_USAGE, tr("--date takes YYYY-MM-DD"));
	day_of(time(NULL) + 14 * 3600, today); /* where a day begins first: UTC+14 */
	if (date != NULL && strcmp(date, today) > 0)
		return cli_fail(cli, STATUS_USAGE, tr("--date %s: that day is still to come"), date);
	return 0;
}

int pocadm_cmd_state_enrol(struct cli *cli)
{
	static const char *const names[] = {"S"};
	struct link_keys keys = {0};
	struct poc *poc = NULL;
	struct client_envelope reg = {0};
	struct make_group group = {0};
	struct enrolment *enrolments = calloc((size_t)cli->argc, sizeof *enrolments);
	size_t n = 0;
	int status = enrolments == NULL ? STATUS_NO_MEMORY : 0;

	if (status == 0)
		status = check_nomination(cli);
	if (status == 0 && cli->argc > GROUP_MAX / 2 - 1)
		status = cli_fail(cli, STATUS_USAGE, tr("at most %d states at once"), GROUP_MAX / 2 - 1);
	if (status == 0)
		status = link_keys_open(cli, &cli->conf.enrolment, "enrolment", &keys);
	if (status == 0)
		status = link_open(cli, true, &poc);
	for (int i = 0; i < cli->argc && status == 0; i++) {
		status = read_enrolment(cli, poc, cli->argv[i], &enrolments[n]);
		n += status == 0;
	}
	if (status == 0 && (status = client_envelopes(poc, CLIENT_ONLINE, names, 1, &reg)) != 0)
		link_fail(cli, poc, status);
	if (status == 0 && reg.envelope == NULL)
		status = cli_fail(cli, STATUS_NOT_FOUND, tr("the directory has no register"));
	if (status == 0)
		drop_enrolled(cli, reg.envelope->payload.register_, enrolments, &n);
	for (size_t i = 0; i < n && status == 0; i++)
		show_enrolment(cli, &enrolments[i]);
	if (status == 0 && n > 0)
		status = add_register(cli, poc, &keys, reg.envelope, enrolments, n, &group);
	for (size_t i = 0; i < n && status == 0; i++) {
		status = add_copy(cli, &group, enrolments[i].keys);
		if (status == 0)
			status = add_copy(cli, &group, enrolments[i].users);
	}
	if (status == 0)
		status = make_finish(cli, poc, &group,
				     tr("Do the fingerprints match the nominations? Sign and publish?"), NULL);
	for (size_t i = 0; i < n; i++)
		enrolment_finish(&enrolments[i]);
	free(enrolments);
	make_group_finish(&group);
	client_envelopes_finish(&reg, 1);
	link_keys_close(&keys);
	link_close(cli, poc);
	return status;
}

/* replacing: from when on the council's new K of the state counts; 0: none is awaited. */
static void list_entry(struct cli *cli, json_t *list, const Poc__Entry *e, int64_t replacing)
{
	const bool suspended = e->suspended || replacing != 0;
	char by[100] = "";

	if (cli->json) {
		json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:b,s:s,s:o}", "state", e->state, "reference",
						      e->reference, "date", e->date, "suspended", (int)suspended,
						      "reason", e->reason, "replaced_from", cli_time_json(replacing)));
		return;
	}
	if (replacing != 0)
		snprintf(by, sizeof by, tr("by the council, whose new keys count from %s on; "), time_text(replacing));
	cli_line("%-10s  %s  %s%s%s%s%s  %s", e->state, e->date, suspended ? tr("SUSPENDED ") : "", by, e->reason,
		 e->reason[0] != '\0' ? "; " : "", e->reference, place_state_name(e->state));
}

int pocadm_cmd_state_list(struct cli *cli)
{
	static const char *const names[] = {"S", "T"};
	struct poc *poc = NULL;
	struct client_envelope now[2] = {0};
	int status = link_open(cli, true, &poc);

	if (status == 0 && (status = client_envelopes(poc, CLIENT_ONLINE, names, 2, now)) != 0)
		link_fail(cli, poc, status);
	json_t *list = json_array();
	const bool known = status == 0 && now[0].envelope != NULL && now[1].envelope != NULL;
	for (size_t i = 0; known && i < now[0].envelope->payload.register_->n_entries; i++) {
		const Poc__Entry *e = now[0].envelope->payload.register_->entries[i];
		list_entry(cli, list, e, replacing_from(poc, CLIENT_ONLINE, now[1].envelope->payload.trust, e->state));
	}
	if (status == 0 && cli->json)
		cli_document(cli, "poc.state-list/1", json_pack("{s:O}", "states", list));
	json_decref(list);
	client_envelopes_finish(now, 2);
	link_close(cli, poc);
	return status;
}
