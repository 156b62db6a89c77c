/* The trust root: drafts of the next T, which the holders of root keys sign offline, and its publication. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/cli/ceremony_show.h"
#include "clients/cli/key.h"
#include "clients/cli/make.h"
#include "clients/cli/place.h"
#include "clients/cli/strings.h"
#include "clients/pocadm/commands.h"
#include "pocd/base/clock.h"
#include "pocd/base/ini.h"
#include "pocd/directory/directory.h"
#include "proto/keys/keystore_open.h"
#include "proto/rules/chain.h"
#include "proto/rules/register.h"
#include "proto/rules/rules.h"
#include "proto/rules/trust.h"

enum { DAY_SECONDS = 86400, LIFE_DAYS = 730, AUDITORS_MAX = 16, REPLACED_MAX = 64, SLACK_SECONDS = 60 };

/* The next T while it is drafted: a shallow copy of the current one with lists of its own. */
struct drafting {
	struct cli *cli;
	struct poc *poc;
	struct client_envelope trust;
	Poc__Trust next;
	Poc__Head head;
	struct ceremony_list root, enrolment, log;
	Poc__Auditor *auditors[2 * AUDITORS_MAX], fresh_auditors[AUDITORS_MAX];
	char auditor_texts[AUDITORS_MAX][512];
	struct public_key auditor_keys[AUDITORS_MAX];
	Poc__Replacement *replaced[REPLACED_MAX + 1], replacement;
	struct hash replacement_keys;
};

static int read_span(struct cli *cli, const char *flag, uint32_t *seconds)
{
	uint64_t ms;

	if (!cli_has(cli, flag))
		return 0;
	if (!ini_duration_ms(cli_value(cli, flag), &ms) || ms / 1000 > UINT32_MAX)
		return cli_fail(cli, STATUS_USAGE, tr("--%s takes a span such as 24h or 3d"), flag);
	*seconds = (uint32_t)(ms / 1000);
	return 0;
}

/* --expires: a span from now, or what every ceremony renews. */
static int read_expiry(struct drafting *d)
{
	uint32_t seconds = LIFE_DAYS * DAY_SECONDS;
	int status = read_span(d->cli, "expires", &seconds);

	d->next.expires = d->next.issued + (int64_t)seconds;
	return status;
}

static int drop_auditors(struct drafting *d)
{
	const char *name;

	for (size_t i = 0; (name = cli_nth(d->cli, "auditor-drop", i)) != NULL; i++) {
		size_t at = 0;
		while (at < d->next.n_auditors && strcmp(d->auditors[at]->name, name) != 0)
			at++;
		if (at == d->next.n_auditors)
			return cli_fail(d->cli, STATUS_NOT_FOUND, tr("--auditor-drop %s: T lists no such auditor"),
					name);
		d->next.n_auditors--;
		memmove(&d->auditors[at], &d->auditors[at + 1], (d->next.n_auditors - at) * sizeof d->auditors[0]);
	}
	return 0;
}

/* NAME,STATE,FILE */
static int add_auditor(struct drafting *d, size_t i, const char *value)
{
	char *text = d->auditor_texts[i], *state, *file;

	snprintf(text, sizeof d->auditor_texts[i], "%s", value);
	state = strchr(text, ',');
	file = state != NULL ? strchr(state + 1, ',') : NULL;
	if (file == NULL)
		return cli_fail(d->cli, STATUS_USAGE, tr("--auditor-add takes NAME,STATE,FILE"));
	*state++ = '\0';
	*file++ = '\0';
	const struct envelope *reg = client_head(d->poc)->reg;
	if (strcmp(state, STATE_DIRECTORY) != 0 && register_find(reg->payload.register_, state) == NULL)
		return cli_fail(d->cli, STATUS_NOT_FOUND, tr("--auditor-add %s: %s is not in the register of states"),
				text, state);
	int status = key_named(d->cli, file);
	if (status == 0)
		status = key_read_public(d->cli, file, &d->auditor_keys[i]);
	if (status != 0)
		return status;
	Poc__Auditor *a = &d->fresh_auditors[i];
	poc__auditor__init(a);
	a->name = text;
	a->state = state;
	a->spki = (ProtobufCBinaryData){d->auditor_keys[i].spki_size, d->auditor_keys[i].spki};
	d->auditors[d->next.n_auditors++] = a;
	return 0;
}

static int edit_auditors(struct drafting *d)
{
	const char *value;

	for (size_t i = 0; i < d->next.n_auditors; i++)
		d->auditors[i] = d->next.auditors[i];
	d->next.auditors = d->auditors;
	int status = drop_auditors(d);
	for (size_t i = 0; status == 0 && (value = cli_nth(d->cli, "auditor-add", i)) != NULL; i++)
		status = i < AUDITORS_MAX ? add_auditor(d, i, value)
					  : cli_fail(d->cli, STATUS_USAGE, tr("at most %d auditors"), AUDITORS_MAX);
	return status;
}

static int edit_keys(struct drafting *d)
{
	Poc__Trust *t = &d->next;
	int status = ceremony_list_edit(d->cli, &d->root, t->root_keys, t->n_root_keys, "root-add", "root-drop");

	if (status == 0)
		status = ceremony_list_edit(d->cli, &d->enrolment, t->enrolment_keys, t->n_enrolment_keys,
					    "enrolment-add", "enrolment-drop");
	if (status == 0)
		status = ceremony_list_edit(d->cli, &d->log, t->log_keys, t->n_log_keys, "log-add", "log-drop");
	t->root_keys = d->root.keys;
	t->n_root_keys = d->root.n;
	t->enrolment_keys = d->enrolment.keys;
	t->n_enrolment_keys = d->enrolment.n;
	t->log_keys = d->log.keys;
	t->n_log_keys = d->log.n;
	return status;
}

static int edit_numbers(struct drafting *d)
{
	int status = ceremony_number(d->cli, "root-threshold", CEREMONY_KEYS_MAX, &d->next.root_threshold);

	if (status == 0)
		status =
		    ceremony_number(d->cli, "enrolment-threshold", CEREMONY_KEYS_MAX, &d->next.enrolment_threshold);
	if (status == 0)
		status = ceremony_number(d->cli, "quorum", AUDITORS_MAX, &d->next.quorum);
	if (status == 0)
		status = read_span(d->cli, "max-age", &d->next.max_age);
	if (status == 0)
		status = read_span(d->cli, "replacement-delay", &d->next.replacement_delay);
	if (status == 0 && d->next.replacement_delay == 0)
		status = cli_fail(d->cli, STATUS_USAGE,
				  tr("--replacement-delay 0s: whose authority is replaced must have time to object"));
	return status != 0 ? status : read_expiry(d);
}

static int begin(struct drafting *d)
{
	static const char *const names[] = {"T"};
	int status = link_open(d->cli, true, &d->poc);

	if (status == 0 && (status = client_envelopes(d->poc, CLIENT_ONLINE, names, 1, &d->trust)) != 0)
		link_fail(d->cli, d->poc, status);
	if (status != 0)
		return status;
	const struct envelope *old = d->trust.envelope;
	d->next = *old->payload.trust;
	head_fill(&d->head, client_directory_id(d->poc), "T", old->seq + 1, &old->value);
	d->next.head = &d->head;
	d->next.issued = client_now(d->poc);
	return 0;
}

/* S goes along, to be signed by the enrolment keys of the next T, where it would not stand under that T. */
static int propose_register(struct drafting *d, const ProtobufCBinaryData *trust, ProtobufCBinaryData *out)
{
	const struct envelope *reg = client_head(d->poc)->reg;
	struct refusal why = {0};
	struct envelope *next;
	Poc__Register copy = *reg->payload.register_;
	Poc__Head head;
	int status = envelope_parse_proposed(trust->data, trust->len, &next, &why);

	if (status != 0)
		return cli_refused(d->cli, &why);
	if (!ceremony_enrolled(next, reg)) {
		head_fill(&head, client_directory_id(d->poc), "S", reg->seq + 1, &reg->value);
		copy.head = &head;
		copy.issued = d->next.issued;
		status = envelope_propose(&copy.base, &out->data, &out->len, &why);
		if (status != 0)
			cli_refused(d->cli, &why);
	}
	envelope_destroy(next);
	return status;
}

/* Proof, T and if needed S, as a file. */
static int finish(struct drafting *d)
{
	ProtobufCBinaryData proposals[CEREMONY_PROPOSALS_MAX] = {{0, NULL}, {0, NULL}};
	const struct verify_pins pins = {.directory = *client_directory_id(d->poc), .quorum = d->cli->conf.quorum};
	struct refusal why = {0};
	uint8_t *proof = NULL;
	size_t size;
	int status = client_prove(d->poc, NULL, &proof, &size);

	if (status != 0)
		return link_fail(d->cli, d->poc, status);
	if (hash_compare(&verified_head_trust(client_head(d->poc))->value, &d->trust.value) != 0)
		status = cli_fail(d->cli, STATUS_CONFLICT, tr("another T was published this very moment: try again"));
	if (status == 0 && (status = envelope_propose(&d->next.base, &proposals[0].data, &proposals[0].len, &why)) != 0)
		cli_refused_as(d->cli, status, &why);
	if (status == 0)
		status = propose_register(d, &proposals[0], &proposals[1]);
	if (status == 0)
		status = ceremony_save_new(d->cli, &pins, proof, size, proposals, proposals[1].len > 0 ? 2 : 1,
					   client_now(d->poc));
	for (size_t i = 0; i < CEREMONY_PROPOSALS_MAX; i++)
		free(proposals[i].data);
	free(proof);
	return status;
}

static void end(struct drafting *d)
{
	client_envelopes_finish(&d->trust, 1);
	link_close(d->cli, d->poc);
	free(d);
}

int pocadm_cmd_trust_draft(struct cli *cli)
{
	struct drafting *d = calloc(1, sizeof *d);

	if (d == NULL)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	d->cli = cli;
	int status = begin(d);
	if (status == 0)
		status = edit_keys(d);
	if (status == 0)
		status = edit_auditors(d);
	if (status == 0)
		status = edit_numbers(d);
	if (status == 0)
		status = finish(d);
	end(d);
	return status;
}

/* ---- Replacement of a state's authority */

/* The K that is to count: of a state of the register, signed by its own threshold, following what stands now. */
static int read_replacing(struct cli *cli, struct poc *poc, const char *path, struct ceremony *out)
{
	const struct verify_pins pins = {.directory = *client_directory_id(poc), .quorum = cli->conf.quorum};
	struct refusal why = {0};
	size_t size;
	uint8_t *bytes = (uint8_t *)cli_read_file(path, CEREMONY_MAX, &size, &why);

	if (bytes == NULL)
		return cli_refused(cli, &why);
	int status = ceremony_read(&pins, bytes, size, out, &why);
	free(bytes);
	if (status != 0)
		return cli_fail(cli, status, "%s: %s", path, why.message);
	const struct envelope *next = out->proposals[0].envelope;
	const char *names[] = {next->name.text};
	struct client_envelope current = {0};
	if (next->name.kind != NAME_KEYS || strcmp(next->name.state, STATE_DIRECTORY) == 0)
		return cli_fail(cli, STATUS_INVALID, tr("%s: proposes no K of a state"), path);
	status = ceremony_refuse_missing(cli, out, true);
	if (status == 0 && (status = client_envelopes(poc, CLIENT_ONLINE, names, 1, &current)) != 0)
		link_fail(cli, poc, status);
	if (status == 0 && hash_compare(&current.value, &next->prev) != 0)
		status =
		    cli_fail(cli, STATUS_CONFLICT, tr("%s has changed since %s was drafted: it must be drafted anew"),
			     next->name.text, path);
	client_envelopes_finish(&current, 1);
	return status;
}

static int by_state_and_time(const void *a, const void *b)
{
	const Poc__Replacement *one = *(Poc__Replacement *const *)a, *two = *(Poc__Replacement *const *)b;
	int order = strcmp(one->state, two->state);

	return order != 0 ? order : (one->not_before > two->not_before) - (one->not_before < two->not_before);
}

static int add_replacement(struct drafting *d, struct envelope *next)
{
	Poc__Trust *t = &d->next;
	uint32_t signing = DAY_SECONDS; /* the delay counts from publication on, which comes after it */
	size_t n = 0;
	int status = read_span(d->cli, "signing", &signing);

	if (status != 0)
		return status;
	/* what came by a replacement before is authorised by it for ever; the state's newest one is what counts now */
	for (size_t i = 0; i < t->n_replaced; i++) {
		if (memcmp(t->replaced[i]->keys.data, next->payload_hash.bytes, HASH_SIZE) != 0)
			d->replaced[n++] = t->replaced[i];
	}
	if (n == REPLACED_MAX)
		return cli_fail(d->cli, STATUS_QUOTA, tr("T names %d replacements already"), REPLACED_MAX);
	poc__replacement__init(&d->replacement);
	d->replacement_keys = next->payload_hash;
	d->replacement.state = next->name.state;
	d->replacement.keys = (ProtobufCBinaryData){HASH_SIZE, d->replacement_keys.bytes};
	d->replacement.not_before =
	    t->issued + (int64_t)signing + (int64_t)d->trust.envelope->payload.trust->replacement_delay;
	d->replaced[n++] = &d->replacement;
	qsort(d->replaced, n, sizeof d->replaced[0], by_state_and_time);
	t->replaced = d->replaced;
	t->n_replaced = n;
	return 0;
}

int pocadm_cmd_state_replace(struct cli *cli)
{
	struct drafting *d = calloc(1, sizeof *d);
	struct ceremony keys = {0};

	if (d == NULL)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	d->cli = cli;
	int status = begin(d);
	if (status == 0)
		status = read_replacing(cli, d->poc, cli->argv[1], &keys);
	if (status == 0 && keys.n > 0)
		status = add_replacement(d, keys.proposals[0].envelope);
	if (status == 0)
		status = read_expiry(d);
	if (status == 0)
		status = finish(d);
	ceremony_finish(&keys);
	end(d);
	return status;
}

/* ---- Publishing */

/* What the server will ask, asked before anything is sent: by the same rules, under what stands now. */
static int check_all(struct cli *cli, const struct ceremony *c, const struct envelope *trust,
		     const struct envelope *reg, int64_t now)
{
	const struct envelope *next = c->proposals[0].envelope;
	struct refusal why = {0};

	if (next->name.kind != NAME_TRUST)
		return cli_fail(cli, STATUS_INVALID, tr("%s: proposes no T (poc state submit is for a K)"),
				cli->argv[0]);
	if (hash_compare(&next->prev, &trust->value) != 0)
		return cli_fail(cli, STATUS_CONFLICT,
				tr("drafted when T version %llu was current, which is version %llu now: draft anew"),
				(unsigned long long)next->seq - 1, (unsigned long long)trust->seq);
	if (c->n > 1 && hash_compare(&c->proposals[1].envelope->prev, &reg->value) != 0)
		return cli_fail(cli, STATUS_CONFLICT, tr("S has changed since this was drafted: draft anew"));
	int status = ceremony_refuse_missing(cli, c, false);
	if (status != 0)
		return status;
	status = ceremony_check(c, now, &why);
	if (status == 0)
		status = trust_accepts(trust, next, &why);
	if (status == 0 && (status = trust_delays(trust, next, now, &why)) != 0)
		return cli_fail(cli, status,
				tr("%s: the signing took too long: draft anew, with more time (--signing)"),
				why.message);
	if (status == 0 && c->n > 1)
		status = register_accepts(next, reg, c->proposals[1].envelope, &why);
	if (status == 0 && c->n == 1 && !ceremony_enrolled(next, reg))
		status = refuse(&why, STATUS_ORPHANS, "S", "S is not valid under this T any more: draft anew");
	return status == 0 ? 0 : cli_refused(cli, &why);
}

/* Whether one of the --keys files proposes the K that a replacement names, still in the place of the current one. */
static int check_replacement(struct cli *cli, struct poc *poc, const Poc__Replacement *r)
{
	const char *path;

	for (size_t i = 0; (path = cli_nth(cli, "keys", i)) != NULL; i++) {
		struct ceremony keys = {0};
		int status = read_replacing(cli, poc, path, &keys);
		bool named =
		    status == 0 && memcmp(r->keys.data, keys.proposals[0].envelope->payload_hash.bytes, HASH_SIZE) == 0;
		ceremony_finish(&keys);
		if (status != 0 || named)
			return status;
	}
	return cli_fail(
	    cli, STATUS_USAGE,
	    tr("this T puts a new authority of %s in place: --keys FILE, the state's ceremony file, shows that "
	       "K/%s has not changed since that was drafted, or it would be in vain"),
	    r->state, r->state);
}

static int check_replacements(struct cli *cli, struct poc *poc, const Poc__Trust *old, const Poc__Trust *next)
{
	int status = 0;

	for (size_t i = 0; i < next->n_replaced && status == 0; i++) {
		const Poc__Replacement *r = next->replaced[i];
		if (trust_replaces(old, r->state, r->keys.data) == NULL)
			status = check_replacement(cli, poc, r);
	}
	return status;
}

static int add_proposals(struct cli *cli, const struct ceremony *c, struct make_group *group)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct envelope *e = c->proposals[i].envelope;
		uint8_t *bytes = malloc(e->size);
		if (bytes == NULL)
			return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
		memcpy(bytes, e->bytes, e->size);
		if (make_group_add(group, &e->name, bytes, e->size, NULL) != 0)
			return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	}
	return 0;
}

/* Without a server: no daemon can start whose log keys are lost. */
static int publish_offline(struct cli *cli, struct ceremony *c)
{
	struct change_write writes[CEREMONY_PROPOSALS_MAX];
	const struct store_lmdb_options where = {.path = cli_value(cli, "data")};
	struct directory_options options = {.n_log_keys = 1, .now_ms = clock_now_ms};
	struct keystore_key *key = NULL;
	struct refusal why = {0};
	int status = ceremony_refuse_missing(cli, c, false);

	if (status != 0)
		return status;
	if (!cli_has(cli, "log-key"))
		return cli_fail(cli, STATUS_USAGE, tr("--log-key FILE: which log key signs?"));
	if (c->proposals[0].envelope->name.kind != NAME_TRUST)
		return cli_fail(cli, STATUS_INVALID, tr("%s: proposes no T (poc state submit is for a K)"),
				cli->argv[0]);
	status = ceremony_check(c, (int64_t)time(NULL), &why);
	if (status != 0)
		return cli_refused(cli, &why);
	status = key_named(cli, cli_value(cli, "log-key"));
	if (status == 0)
		status = key_open(cli, cli_value(cli, "log-key"), &key);
	if (status != 0)
		return status;
	for (size_t i = 0; i < c->n; i++)
		writes[i] =
		    (struct change_write){c->proposals[i].envelope->bytes, c->proposals[i].envelope->size, 0, NULL};
	options.log_keys = &key;
	ceremony_tell(cli, c);
	if (cli->dry_run)
		cli_note(cli, tr("dry run: this would be published into %s; nothing was written"),
			 cli_value(cli, "data"));
	else
		status = cli_confirm(cli, tr("Publish this trust root into the data folder?"));
	if (status == 0 && !cli->dry_run) {
		status = store_lmdb_open(&where, &options.store, &why);
		if (status == 0) {
			status = directory_publish_trust(&options, writes, c->n, &why);
			store_close(options.store);
		}
		if (status != 0)
			cli_refused(cli, &why);
	}
	if (status == 0 && cli->json)
		cli_document(cli, cli->schema, ceremony_json(c));
	keystore_close(key);
	return status;
}

int pocadm_cmd_trust_publish(struct cli *cli)
{
	static const char *const names[] = {"S", "T"};
	struct ceremony ceremony = {0};
	struct client_envelope current[2] = {{.absent = false}};
	struct make_group group = {0};
	struct poc *poc = NULL;
	bool done = false;
	int status = ceremony_open(cli, &ceremony);

	if (status == 0 && cli_has(cli, "data")) {
		status = publish_offline(cli, &ceremony);
		ceremony_finish(&ceremony);
		return status;
	}
	if (status == 0)
		status = link_open(cli, true, &poc);
	if (status == 0 && (status = client_envelopes(poc, CLIENT_ONLINE, names, 2, current)) != 0)
		link_fail(cli, poc, status);
	if (status == 0)
		done = hash_compare(&current[1].envelope->payload_hash,
				    &ceremony.proposals[0].envelope->payload_hash) == 0;
	if (status == 0 && !done)
		status = check_all(cli, &ceremony, current[1].envelope, current[0].envelope, client_now(poc));
	if (status == 0 && !done)
		status = check_replacements(cli, poc, current[1].envelope->payload.trust,
					    ceremony.proposals[0].envelope->payload.trust);
	if (status == 0 && !done)
		ceremony_tell(cli, &ceremony);
	if (status == 0 && !done)
		status = add_proposals(cli, &ceremony, &group);
	if (status == 0 && done && !cli->json)
		cli_note(cli, tr("this T is published already: nothing to do"));
	if (status == 0)
		status = make_finish(cli, poc, &group, tr("Publish this trust root?"), NULL);
	make_group_finish(&group);
	client_envelopes_finish(current, 2);
	ceremony_finish(&ceremony);
	link_close(cli, poc);
	return status;
}
