/* A state's authority: drafts of the next K, which the holders of authority keys sign offline, and its submission, with
 * whatever a dropped coordinator key had signed signed anew in the same bundle. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/ceremony_show.h"
#include "clients/cli/key.h"
#include "clients/cli/make.h"
#include "clients/cli/place.h"
#include "clients/cli/strings.h"
#include "clients/poc/commands.h"
#include "proto/keys/keystore_pkcs11.h"
#include "proto/rules/chain.h"
#include "proto/rules/keys.h"
#include "proto/rules/rules.h"
#include "proto/rules/trust.h"

enum { GROUP_WRITES = 64, GROUP_BYTES = 180 * 1024, NAMES_A_QUESTION = 12, NAMES_SHOWN = 12 };

/* ---- draft */

/* Whose authority: --state, else the configuration's own. */
static int read_state(struct cli *cli, char out[STATE_MAX_LENGTH + 1])
{
	const char *text = cli_has(cli, "state") ? cli_value(cli, "state") : cli->conf.state;
	const struct country *country = NULL;

	if (strcmp(text, STATE_DIRECTORY) != 0) {
		int status = place_country(cli, text, &country);
		if (status != 0)
			return status;
	}
	snprintf(out, STATE_MAX_LENGTH + 1, "%.10s", country != NULL ? country->code : text);
	return state_valid(out) ? 0 : cli_fail(cli, STATUS_USAGE, tr("\"%s\" is not a state's code"), text);
}

/* Lists large enough to be off the stack. */
struct drafting {
	struct ceremony_list authority, coordinators;
};

static int propose_keys(struct cli *cli, struct poc *poc, const struct envelope *old, ProtobufCBinaryData *out)
{
	Poc__Keys next = *old->payload.keys;
	Poc__Head head;
	struct refusal why = {0};
	struct drafting *d = calloc(1, sizeof *d);

	if (d == NULL)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	int status =
	    ceremony_list_edit(cli, &d->authority, next.authority, next.n_authority, "authority-add", "authority-drop");
	if (status == 0)
		status = ceremony_list_edit(cli, &d->coordinators, next.coordinators, next.n_coordinators,
					    "coordinator-add", "coordinator-drop");
	if (status == 0)
		status = ceremony_number(cli, "threshold", CEREMONY_KEYS_MAX, &next.authority_threshold);
	if (status == 0) {
		head_fill(&head, client_directory_id(poc), old->name.text, old->seq + 1, &old->value);
		next.head = &head;
		next.issued = client_now(poc);
		next.authority = d->authority.keys;
		next.n_authority = d->authority.n;
		next.coordinators = d->coordinators.keys;
		next.n_coordinators = d->coordinators.n;
		next.emergency = 0; /* orphans would shut the whole state out */
		status = envelope_propose(&next.base, &out->data, &out->len, &why);
		if (status != 0)
			cli_refused_as(cli, status, &why);
	}
	free(d);
	return status;
}

int poc_cmd_state_draft(struct cli *cli)
{
	char state[STATE_MAX_LENGTH + 1];
	struct name name;
	const char *names[] = {name.text};
	struct client_envelope keys = {0};
	ProtobufCBinaryData proposal = {0, NULL};
	struct poc *poc = NULL;
	uint8_t *proof = NULL;
	size_t size;
	int status = read_state(cli, state);

	if (status == 0 && !name_make(NAME_KEYS, state, NULL, &name))
		status = cli_fail(cli, STATUS_USAGE, tr("\"%s\" is not a state's code"), state);
	if (status == 0)
		status = link_open(cli, true, &poc);
	if (status == 0 && (status = client_envelopes(poc, CLIENT_ONLINE, names, 1, &keys)) != 0)
		link_fail(cli, poc, status);
	if (status == 0 && keys.envelope == NULL)
		status = cli_fail(cli, STATUS_NOT_FOUND, tr("%s has no keys"), state);
	if (status == 0 && keys.envelope != NULL)
		status = propose_keys(cli, poc, keys.envelope, &proposal);
	if (status == 0 && (status = client_prove(poc, state, &proof, &size)) != 0)
		link_fail(cli, poc, status);
	if (status == 0) {
		const struct verify_pins pins = {.directory = *client_directory_id(poc), .quorum = cli->conf.quorum};
		status = ceremony_save_new(cli, &pins, proof, size, &proposal, 1, client_now(poc));
	}
	free(proposal.data);
	free(proof);
	client_envelopes_finish(&keys, 1);
	link_close(cli, poc);
	return status;
}

/* ---- submit */

struct submitting {
	struct cli *cli;
	struct poc *poc;
	struct ceremony ceremony;
	struct client_envelope now[3]; /* K, S, T as they stand */
	const struct envelope *next;   /* the proposed K */
	struct keystore_key *signer;   /* a coordinator key of it; NULL: none at hand */
	/* what a dropped key had signed, in the order of judging */
	size_t n, capacity;
	struct envelope **old;
	struct make_group anew; /* the same, signed anew; K is its first when it all goes at once */
	char list[400];
};

static const struct envelope *trust_of(const struct submitting *s)
{
	return s->now[2].envelope;
}

/* Asked of the rules themselves, under what stands now. */
static int check_all(struct submitting *s)
{
	struct cli *cli = s->cli;
	const Poc__Replacement *r = trust_replacement(trust_of(s)->payload.trust, s->next->name.state);
	const struct envelope *current = s->now[0].envelope;
	const int64_t now = client_now(s->poc);
	struct refusal why = {0};
	const bool waived = r != NULL && memcmp(r->keys.data, s->next->payload_hash.bytes, HASH_SIZE) == 0;

	if (hash_compare(&s->next->prev, &current->value) != 0)
		return cli_fail(cli, STATUS_CONFLICT,
				tr("drafted when %s version %llu was current, which is version %llu now: draft anew"),
				s->next->name.text, (unsigned long long)s->next->seq - 1,
				(unsigned long long)current->seq);
	if (waived && now < r->not_before)
		return cli_fail(cli, STATUS_DENIED,
				tr("the council's replacement of %s counts from %s on: submit it then"),
				s->next->name.state, time_text(r->not_before));
	int status = ceremony_refuse_missing(cli, &s->ceremony, waived);
	if (status != 0)
		return status;
	status = ceremony_check(&s->ceremony, now, &why);
	if (status == 0)
		status = keys_accepts(trust_of(s), s->now[1].envelope, current, s->next, now, &why);
	return status == 0 ? 0 : cli_refused(cli, &why);
}

static bool is_coordinator(const struct envelope *keys, const struct hash *id)
{
	for (size_t i = 0; i < keys->payload.keys->n_coordinators; i++) {
		const ProtobufCBinaryData *spki = &keys->payload.keys->coordinators[i]->spki;
		const struct hash own = hash_of(spki->data, spki->len);
		if (hash_compare(&own, id) == 0)
			return true;
	}
	return false;
}

/* --key, else the first of [coordinator] that the proposed K lists. */
static int open_signer(struct submitting *s)
{
	struct cli *cli = s->cli;
	int status;

	if (cli_has(cli, "key")) {
		status = key_named(cli, cli_value(cli, "key"));
		if (status == 0)
			status = key_open(cli, cli_value(cli, "key"), &s->signer);
		if (status != 0)
			return status;
		return is_coordinator(s->next, &keystore_public(s->signer)->id)
			   ? 0
			   : cli_fail(cli, STATUS_DENIED, tr("--key %.*s: no coordinator key of the proposed K"),
				      keystore_pkcs11_shown(cli_value(cli, "key")), cli_value(cli, "key"));
	}
	for (size_t i = 0; i < cli->conf.coordinator.n && s->signer == NULL; i++) {
		status = key_open(cli, cli->conf.coordinator.paths[i], &s->signer);
		if (status != 0)
			return status;
		if (is_coordinator(s->next, &keystore_public(s->signer)->id))
			break;
		keystore_close(s->signer);
		s->signer = NULL;
	}
	return 0;
}

/* Notes an envelope, by its bytes, that the proposed K would leave without a valid signature. */
static int consider(struct submitting *s, const struct envelope *e, const struct envelope *unit_users)
{
	const struct envelope before = {.name = e->name, .seq = e->seq - 1, .value = e->prev};

	if (keys_coordinator_signed(trust_of(s), s->next, e) ||
	    (unit_users != NULL &&
	     record_accepts(trust_of(s), s->next, unit_users, e->seq > 1 ? &before : NULL, e, NULL) == 0))
		return 0;
	if (s->n == s->capacity) {
		const size_t capacity = s->capacity > 0 ? 2 * s->capacity : 16;
		struct envelope **old = realloc(s->old, capacity * sizeof *old);
		if (old == NULL)
			return STATUS_NO_MEMORY;
		s->old = old;
		s->capacity = capacity;
	}
	const int status = envelope_parse(e->bytes, e->size, &s->old[s->n], NULL);
	s->n += status == 0;
	return status;
}

/* U, D and P by their names, as the server has them. */
static int consider_names(struct submitting *s, const char *const *names, size_t n)
{
	struct client_envelope found[NAMES_A_QUESTION];
	int status = client_envelopes(s->poc, CLIENT_ONLINE, names, n, found);

	if (status != 0)
		return link_fail(s->cli, s->poc, status);
	for (size_t i = 0; i < n && status == 0; i++) {
		if (found[i].envelope != NULL)
			status = consider(s, found[i].envelope, NULL);
	}
	client_envelopes_finish(found, n);
	return status == 0 ? 0 : cli_fail(s->cli, status, tr("out of memory"));
}

static int consider_record(struct submitting *s, const char *state)
{
	struct client_record record = {0};
	struct name name;

	if (!name_make(NAME_RECORD, state, NULL, &name))
		return 0;
	int status = client_lookup(s->poc, CLIENT_ONLINE, &name, NULL, 0, &record);
	if (record.verified.record != NULL)
		status = consider(s, record.verified.record, NULL);
	else if (status == STATUS_NOT_FOUND)
		status = 0;
	if (status != 0)
		link_fail(s->cli, s->poc, status);
	client_record_finish(&record);
	return status;
}

/* Units: their records come from the local copy, which tells which there are; their U from the server. */
struct units {
	size_t n, capacity;
	struct envelope **records;
};

static int note_unit(void *ctx, const struct client_record *record)
{
	struct units *units = ctx;

	if (record->verified.record == NULL)
		return 0;
	if (units->n == units->capacity) {
		const size_t capacity = units->capacity > 0 ? 2 * units->capacity : 16;
		struct envelope **records = realloc(units->records, capacity * sizeof *records);
		if (records == NULL)
			return STATUS_NO_MEMORY;
		units->records = records;
		units->capacity = capacity;
	}
	const struct envelope *e = record->verified.record;
	const int status = envelope_parse(e->bytes, e->size, &units->records[units->n], NULL);
	units->n += status == 0;
	return status;
}

static int consider_unit(struct submitting *s, const struct envelope *record)
{
	struct client_envelope users = {0};
	struct name name;
	const char *names[] = {name.text};

	if (!name_make(NAME_USERS, record->name.state, record->name.unit, &name))
		return STATUS_INVALID;
	int status = client_envelopes(s->poc, CLIENT_ONLINE, names, 1, &users);
	if (status == 0 && users.envelope != NULL)
		status = consider(s, users.envelope, NULL);
	if (status == 0)
		status = consider(s, record, users.envelope);
	client_envelopes_finish(&users, 1);
	return status;
}

static int consider_units(struct submitting *s, const char *state)
{
	struct units units = {0};
	int status = client_walk_units(s->poc, state, note_unit, &units);

	for (size_t i = 0; i < units.n; i++) {
		if (status == 0)
			status = consider_unit(s, units.records[i]);
		envelope_destroy(units.records[i]);
	}
	free(units.records);
	return status == 0 ? 0 : link_fail(s->cli, s->poc, status);
}

static int note_document(void *ctx, const struct envelope *document)
{
	return consider(ctx, document, NULL);
}

/* What the directory's staff signs: documents, and the results of communications checks. */
static int consider_staff(struct submitting *s)
{
	const Poc__Register *reg = s->now[1].envelope->payload.register_;
	struct name names[NAMES_A_QUESTION];
	const char *texts[NAMES_A_QUESTION];
	size_t n = 0;
	int status = client_walk_documents(s->poc, note_document, s);

	if (status != 0)
		return link_fail(s->cli, s->poc, status);
	for (size_t i = 0; i < reg->n_entries && status == 0; i++) {
		if (name_make(NAME_PINGS, reg->entries[i]->state, NULL, &names[n]))
			texts[n] = names[n].text, n++;
		if (n == NAMES_A_QUESTION || (n > 0 && i + 1 == reg->n_entries)) {
			status = consider_names(s, texts, n);
			n = 0;
		}
	}
	return status;
}

static int find_orphans(struct submitting *s)
{
	const char *state = s->next->name.state;
	struct name users;
	const char *names[] = {users.text};

	if (!name_make(NAME_USERS, state, NULL, &users))
		return STATUS_INVALID;
	int status = poc_sync(s->poc, NULL, NULL);
	if (status != 0)
		return link_fail(s->cli, s->poc, status);
	status = consider_names(s, names, 1);
	if (status == 0)
		status = strcmp(state, STATE_DIRECTORY) == 0 ? consider_staff(s) : consider_record(s, state);
	if (status == 0 && strcmp(state, STATE_DIRECTORY) != 0)
		status = consider_units(s, state);
	for (size_t i = 0, used = 0; i < s->n && i < NAMES_SHOWN && status == 0; i++)
		used +=
		    (size_t)snprintf(s->list + used, sizeof s->list - used, "%s%.64s%s", i > 0 ? ", " : "",
				     s->old[i]->name.text, i + 1 == NAMES_SHOWN && s->n > NAMES_SHOWN ? " ..." : "");
	return status;
}

/* The next version that says the same: of a record the confirmation stays that of whoever confirmed it. */
static int sign_anew(struct submitting *s, const struct envelope *e)
{
	union {
		ProtobufCMessage base;
		Poc__Users users;
		Poc__Record record;
		Poc__Document document;
		Poc__Pings pings;
	} next;
	Poc__Head head;
	struct refusal why = {0};
	uint8_t *bytes;
	size_t size;

	head_fill(&head, client_directory_id(s->poc), e->name.text, e->seq + 1, &e->value);
	switch (e->name.kind) {
	case NAME_USERS:
		next.users = *e->payload.users;
		next.users.head = &head;
		break;
	case NAME_RECORD:
		next.record = *e->payload.record;
		next.record.head = &head;
		break;
	case NAME_DOCUMENT:
		next.document = *e->payload.document;
		next.document.head = &head;
		break;
	default:
		next.pings = *e->payload.pings;
		next.pings.head = &head;
		break;
	}
	int status = envelope_make(&next.base, &s->signer, 1, &bytes, &size, &why);
	if (status == 0 && make_group_add(&s->anew, &e->name, bytes, size, NULL) != 0)
		status = refuse(&why, STATUS_NO_MEMORY, "", "out of memory");
	return status == 0 ? 0 : cli_refused(s->cli, &why);
}

static int sign_all(struct submitting *s)
{
	char fingerprint[40];
	int status = 0;

	if (s->n == 0)
		return 0;
	if (s->signer == NULL)
		return cli_fail(
		    s->cli, STATUS_ORPHANS,
		    tr("%zu would be left without a valid signature: %s; --key FILE: a coordinator key of the "
		       "proposed K signs them anew"),
		    s->n, s->list);
	public_key_fingerprint(&keystore_public(s->signer)->id, fingerprint);
	if (!s->cli->json && !s->cli->quiet)
		cli_line(tr("signed anew by the coordinator key %s: %s"), fingerprint, s->list);
	for (size_t i = 0; i < s->n && status == 0; i++)
		status = sign_anew(s, s->old[i]);
	return status;
}

/* ---- Sending */

static int add_keys(struct submitting *s, struct make_group *group)
{
	uint8_t *bytes = malloc(s->next->size);

	if (bytes == NULL)
		return cli_fail(s->cli, STATUS_NO_MEMORY, tr("out of memory"));
	memcpy(bytes, s->next->bytes, s->next->size);
	return make_group_add(group, &s->next->name, bytes, s->next->size, NULL) == 0
		   ? 0
		   : cli_fail(s->cli, STATUS_NO_MEMORY, tr("out of memory"));
}

/* More than one bundle holds: as many as needed go before K, which the key that signed them must allow already. */
static int send_before(struct submitting *s, size_t *sent)
{
	while (*sent < s->anew.n) {
		struct client_submitted done;
		size_t n = 0, bytes = 0;
		while (*sent + n < s->anew.n && n < GROUP_WRITES &&
		       (n == 0 || bytes + s->anew.writes[*sent + n].size < GROUP_BYTES))
			bytes += s->anew.writes[*sent + n++].size;
		int status = client_submit(s->poc, s->anew.writes + *sent, n, true, &done);
		client_submitted_finish(&done);
		if (status != 0)
			return link_fail(s->cli, s->poc, status);
		*sent += n;
		cli_note(s->cli, tr("%zu of %zu are signed anew"), *sent, s->anew.n);
	}
	return 0;
}

static bool fits(const struct submitting *s)
{
	size_t bytes = s->next->size;

	for (size_t i = 0; i < s->anew.n; i++)
		bytes += s->anew.writes[i].size;
	return s->anew.n < GROUP_WRITES && bytes < GROUP_BYTES;
}

static int send(struct submitting *s)
{
	struct make_group only = {0};
	size_t sent = 0;
	int status = 0;

	if (fits(s)) {
		status = add_keys(s, &s->anew);
		return status != 0 ? status : make_finish(s->cli, s->poc, &s->anew, tr("Submit these keys?"), NULL);
	}
	if (!is_coordinator(s->now[0].envelope, &keystore_public(s->signer)->id))
		return cli_fail(s->cli, STATUS_TOO_LARGE,
				tr("%zu are to be signed anew, more than one bundle holds: first a K that adds the new "
				   "coordinator key, then one that drops the old"),
				s->anew.n);
	status = add_keys(s, &only);
	if (status == 0 && !s->cli->dry_run) {
		status = cli_confirm(s->cli, tr("Submit these keys?"));
		s->cli->yes = true; /* asked once */
		if (status == 0)
			status = send_before(s, &sent);
	}
	if (status == 0)
		status = make_finish(s->cli, s->poc, &only, tr("Submit these keys?"), NULL);
	make_group_finish(&only);
	return status;
}

static int begin(struct submitting *s)
{
	struct cli *cli = s->cli;
	int status = ceremony_open(cli, &s->ceremony);

	if (status != 0)
		return status;
	s->next = s->ceremony.proposals[0].envelope;
	if (s->next->name.kind != NAME_KEYS)
		return cli_fail(cli, STATUS_INVALID, tr("%s: proposes no K (pocadm trust publish is for a T)"),
				cli->argv[0]);
	const char *names[] = {s->next->name.text, "S", "T"};
	status = link_open(cli, true, &s->poc);
	if (status == 0 && (status = client_envelopes(s->poc, CLIENT_ONLINE, names, 3, s->now)) != 0)
		link_fail(cli, s->poc, status);
	if (status == 0 && s->now[0].envelope == NULL)
		status = cli_fail(cli, STATUS_NOT_FOUND, tr("%s has no keys"), s->next->name.state);
	return status;
}

/* Who compared the old keys with the state is told KEYS CHANGED from now on, and may not know why. */
static void tell_changed_authority(const struct submitting *s)
{
	const struct hash before = keys_authority(s->now[0].envelope->payload.keys),
			  now = keys_authority(s->next->payload.keys);

	if (hash_compare(&before, &now) != 0)
		cli_note(s->cli,
			 tr("the authority of %s has other keys now: its people run poc key announce, once at each "
			    "desk, so that every state that wrote to that desk within 90 days is told"),
			 s->next->name.state);
}

int poc_cmd_state_submit(struct cli *cli)
{
	struct submitting s = {.cli = cli};
	bool done = false;
	int status = begin(&s);

	if (status == 0)
		done = hash_compare(&s.now[0].envelope->payload_hash, &s.next->payload_hash) == 0;
	if (status == 0 && done && !cli->json)
		cli_note(cli, tr("this K is published already: nothing to do"));
	if (status == 0 && !done)
		status = check_all(&s);
	if (status == 0 && !done)
		status = open_signer(&s);
	if (status == 0 && !done)
		ceremony_tell(cli, &s.ceremony);
	if (status == 0 && !done)
		status = find_orphans(&s);
	if (status == 0 && !done)
		status = sign_all(&s);
	if (status == 0)
		status = done ? make_finish(cli, s.poc, &s.anew, "", NULL) : send(&s);
	if (status == 0 && !done && !cli->dry_run)
		tell_changed_authority(&s);
	for (size_t i = 0; i < s.n; i++)
		envelope_destroy(s.old[i]);
	free(s.old);
	make_group_finish(&s.anew);
	keystore_close(s.signer);
	client_envelopes_finish(s.now, 3);
	ceremony_finish(&s.ceremony);
	link_close(cli, s.poc);
	return status;
}
