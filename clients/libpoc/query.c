#include "clients/libpoc/client.h"

#include <stdlib.h>
#include <string.h>

#include "clients/libpoc/copy.h"
#include "clients/libpoc/known.h"
#include "clients/libpoc/saved.h"
#include "clients/libpoc/session.h"
#include "clients/libpoc/verdict.h"

/* ---- Records online */

void client_record_finish(struct client_record *record)
{
	verified_record_finish(&record->verified);
	free(record->proof);
	*record = (struct client_record){0};
}

/* The answers to one lookup, and what was made of them. */
struct looking {
	const struct name *name, *keys, *unit_users; /* unit_users NULL for a state's own record */
	const struct name *staff, *pings;            /* K/@directory, P of the state; NULL for a unit's record */
	struct question questions[2];                /* Lookup; of a state also its P */
	const Poc__Item *record_item, *unit_item;
	const Poc__Item *pings_item;       /* NULL: there is no P */
	Poc__Item keys_whole, staff_whole; /* K with map proof and chain, as it is saved */
	struct record_facts facts;
	struct envelope *keys_envelope, *unit_envelope;
};

/* A K of an answer: *whole as it is saved, *keys the current one (NULL: absent). */
static int take_keys(struct poc *poc, const Poc__Proof *proof, const struct name *name, Poc__Item *whole,
		     struct envelope **keys, bool *replaced)
{
	struct verified_item proven;
	const Poc__Item *item, *chain;
	int status = session_item(poc, proof, name->text, &item, &proven);

	*whole = (Poc__Item)POC__ITEM__INIT;
	if (status != 0)
		return status;
	whole->name = item->name;
	whole->map = item->map;
	if (proven.absent)
		return 0;
	status = session_keys(poc, poc->head, &proven, item, &chain, keys, replaced);
	if (status != 0)
		return status;
	whole->envelopes = chain->envelopes;
	whole->n_envelopes = chain->n_envelopes;
	return 0;
}

static int take_keys_answer(struct poc *poc, struct looking *l)
{
	int status =
	    take_keys(poc, l->questions[0].proof, l->keys, &l->keys_whole, &l->keys_envelope, &l->facts.keys_replaced);

	l->facts.keys = l->keys_envelope;
	return status;
}

/* When the state last answered: a separate question, so that lookups of those who do not ask stay as small as they are.
 */
static int take_pings_answer(struct poc *poc, struct looking *l, struct verified_record *out)
{
	struct verified_item proven;
	const Poc__Item *item;
	struct envelope *staff = NULL;
	bool replaced;

	if (l->pings == NULL || out->absent)
		return 0;
	int status = session_item(poc, l->questions[1].proof, l->pings->text, &item, &proven);
	if (status != 0 || proven.absent)
		return status;
	if (item->n_envelopes != 1)
		return refuse(&poc->why, STATUS_UNVERIFIED, l->pings->text, "%s is missing", l->pings->text);
	status = take_keys(poc, l->questions[1].proof, l->staff, &l->staff_whole, &staff, &replaced);
	if (status == 0)
		status = verify_pings(poc->head, staff, &proven, &item->envelopes[0], out, &poc->why);
	if (status == 0)
		l->pings_item = item;
	envelope_destroy(staff);
	return status;
}

/* U of the unit comes along where there is one: its editors may have signed. */
static int take_unit_answer(struct poc *poc, struct looking *l)
{
	struct verified_item proven;

	l->unit_item = l->unit_users != NULL ? proof_item(l->questions[0].proof, l->unit_users->text) : NULL;
	if (l->unit_item == NULL)
		return 0;
	int status = verify_item(poc->head, l->unit_item, false, &proven, &poc->why);
	if (status != 0 || proven.absent || l->unit_item->n_envelopes == 0 || l->keys_envelope == NULL)
		return status;
	status = verify_users(poc->head, l->keys_envelope, l->unit_users, &proven.value, &l->unit_item->envelopes[0],
			      &l->unit_envelope, &poc->why);
	l->facts.unit_users = l->unit_envelope;
	return status == STATUS_ORPHANS ? 0 : status; /* lapsed: nobody's signature counts by it */
}

/* An answer may hold what was asked for and nothing else. */
static int check_extra(struct poc *poc, const struct looking *l)
{
	const Poc__Proof *proof = l->questions[0].proof;

	for (size_t i = 0; i < proof->n_items; i++) {
		const char *name = proof->items[i]->name;
		if (strcmp(name, l->name->text) != 0 && strcmp(name, l->keys->text) != 0 && strcmp(name, "T") != 0 &&
		    strcmp(name, "S") != 0 && (l->unit_users == NULL || strcmp(name, l->unit_users->text) != 0))
			return refuse(&poc->why, STATUS_UNVERIFIED, name,
				      "the answer holds %s, which was not asked for", name);
	}
	return 0;
}

static int save_answer(struct poc *poc, const struct looking *l, struct client_record *out)
{
	const Poc__Item *items[4] = {&l->keys_whole, l->record_item};
	size_t n = 2;

	if (l->unit_item != NULL)
		items[n++] = l->unit_item;
	if (l->pings_item != NULL) {
		items[n++] = &l->staff_whole;
		items[n++] = l->pings_item;
	}
	return saved_encode(poc->head, items, n, false, &out->proof, &out->proof_size, &poc->why);
}

static int take_answers(struct poc *poc, struct looking *l, struct client_record *out)
{
	struct verified_item proven;
	struct verdict_by by = {
	    .now = connection_now_ms(poc) / 1000, .max_age = poc->max_age, .clock_ahead = poc->clock_ahead};
	int status = check_extra(poc, l);

	if (status == 0)
		status = session_item(poc, l->questions[0].proof, l->name->text, &l->record_item, &proven);
	if (status == 0)
		status = take_keys_answer(poc, l);
	if (status == 0)
		status = take_unit_answer(poc, l);
	if (status == 0) {
		l->facts.reader = session_reader(poc, l->name->state);
		status = verify_record(poc->head, l->record_item, &l->facts, &out->verified, &poc->why);
		if (status == STATUS_ORPHANS)
			status = unverified(&poc->why, status);
	}
	if (status == 0)
		status = session_withheld(poc, &out->verified);
	if (status == 0)
		status = take_pings_answer(poc, l, &out->verified);
	if (status == 0)
		status = save_answer(poc, l, out);
	if (status != 0)
		return status;
	return verdict_record(poc->head, &out->verified, &by, &out->verdict, &poc->why);
}

static int lookup_online(struct poc *poc, const struct name *name, const char *const *sections, size_t n_sections,
			 struct client_record *out)
{
	struct name keys, unit_users, staff, pings;
	struct looking l = {.name = name, .keys = &keys};
	const char *asked[2] = {staff.text, pings.text};

	if (!name_make(NAME_KEYS, name->state, NULL, &keys) ||
	    (name->unit[0] != '\0' && !name_make(NAME_USERS, name->state, name->unit, &unit_users)))
		return refuse(&poc->why, STATUS_USAGE, "", "\"%s\" is not a place", name->text);
	l.facts.asked = sections;
	l.facts.n_asked = n_sections;
	l.questions[0] = (struct question){.place = name->text + 2, .names = sections, .n_names = n_sections};
	l.questions[1] = (struct question){.names = asked, .n_names = 2};
	l.unit_users = name->unit[0] != '\0' ? &unit_users : NULL;
	if (name->unit[0] == '\0' && name_make(NAME_KEYS, STATE_DIRECTORY, NULL, &staff) &&
	    name_make(NAME_PINGS, name->state, NULL, &pings)) {
		l.staff = &staff;
		l.pings = &pings;
	}
	size_t n = l.pings != NULL ? 2 : 1;
	/* whom to call is told also to somebody whose clock is wrong: the verdict says so */
	const bool any_clock = poc->any_clock;
	poc->any_clock = true;
	int status = session_ask(poc, l.questions, n);
	poc->any_clock = any_clock;
	if (status == 0)
		status = take_answers(poc, &l, out);
	session_free_answers(l.questions, n);
	envelope_destroy(l.keys_envelope);
	envelope_destroy(l.unit_envelope);
	return status;
}

int client_lookup(struct poc *poc, enum client_mode mode, const struct name *name, const char *const *sections,
		  size_t n_sections, struct client_record *out)
{
	*out = (struct client_record){0};
	connection_begin(poc);
	if (name->kind != NAME_RECORD)
		return refuse(&poc->why, STATUS_USAGE, "", "\"%s\" is not a place", name->text);
	int status;
	do
		status = mode == CLIENT_OFFLINE ? copy_lookup(poc, name, out)
						: lookup_online(poc, name, sections, n_sections, out);
	while (connection_passes_on(poc, status)); /* a mirror does not have all that we may see */
	if (out->verified.name.state[0] != '\0')
		known_judge(poc->folder, name->state, &out->verified.authority, &out->verdict);
	return status;
}

/* ---- Saved files */

static int only_record(struct poc *poc, const struct verified_head *head, struct name *name)
{
	size_t found = 0;

	for (size_t i = 0; i < head->proof->n_items; i++) {
		struct name each;
		if (name_parse(head->proof->items[i]->name, &each) && each.kind == NAME_RECORD) {
			*name = each;
			found++;
		}
	}
	if (found == 1)
		return 0;
	return refuse(&poc->why, found == 0 ? STATUS_NOT_FOUND : STATUS_USAGE, "",
		      found == 0 ? "the directory has no record at all; proven"
				 : "the proof is of several records: say which one");
}

/* An answer out of which the record was cut still verifies, item by item, and must not pass for proven absence.  A
 * complete proof tells of every name. */
static int check_purpose(struct poc *poc, const struct verified_head *head)
{
	struct name each;

	for (size_t i = 0; i < head->proof->n_items; i++) {
		if (name_parse(head->proof->items[i]->name, &each) && each.kind == NAME_RECORD)
			return 0;
	}
	return head->proof->complete
		   ? 0
		   : refuse(&poc->why, STATUS_UNVERIFIED, "items", "the file proves nothing about any record");
}

static int verify_bytes(struct poc *poc, const uint8_t *bytes, size_t size, struct verified_head **head)
{
	connection_begin(poc);
	int status = verify_saved(&poc->pins, bytes, size, head, &poc->why);
	/* whoever the reader is, what every reader may see must be there */
	if (status == 0)
		status = verify_saved_all(*head, READER_PLAIN, &poc->why);
	if (status == 0)
		status = check_purpose(poc, *head);
	if (status != 0) {
		verified_head_unref(*head);
		*head = NULL;
	}
	return status;
}

static int saved_record(struct poc *poc, struct verified_head *head, const struct name *name, int64_t at,
			struct client_record *out)
{
	struct verdict_by by = verdict_saved(head, at, poc->max_age);
	int status = verify_saved_record(head, name, READER_PLAIN, &out->verified, &poc->why);

	if (status == STATUS_ORPHANS)
		return unverified(&poc->why, status);
	return status != 0 ? status : verdict_record(head, &out->verified, &by, &out->verdict, &poc->why);
}

int client_verify(struct poc *poc, const uint8_t *bytes, size_t size, const struct name *name, int64_t at,
		  struct client_record *out)
{
	struct verified_head *head;
	struct name only;

	*out = (struct client_record){0};
	int status = verify_bytes(poc, bytes, size, &head);
	if (status != 0)
		return status;
	if (name == NULL) {
		status = only_record(poc, head, &only);
		name = &only;
	}
	if (status == 0)
		status = saved_record(poc, head, name, at, out);
	verified_head_unref(head);
	return status;
}

int client_verify_walk(struct poc *poc, const uint8_t *bytes, size_t size, int64_t at,
		       int (*each)(void *ctx, const struct client_record *record), void *ctx)
{
	struct verified_head *head;
	int status = verify_bytes(poc, bytes, size, &head);

	if (status != 0)
		return status;
	status = copy_walk_head(poc, head, at, READER_PLAIN, each, ctx);
	verified_head_unref(head);
	return status;
}

/* ---- Envelopes */

void client_envelopes_finish(struct client_envelope *envelopes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		envelope_destroy(envelopes[i].envelope);
		envelopes[i].envelope = NULL;
	}
}

/* T and S are part of every head. */
static int from_head(struct poc *poc, const struct verified_head *head, struct client_envelope *out)
{
	const struct envelope *source = out->name.kind == NAME_TRUST ? verified_head_trust(head) : head->reg;

	out->value = source->value;
	return envelope_parse(source->bytes, source->size, &out->envelope, &poc->why);
}

static int keys_from(struct poc *poc, const Poc__Proof *proof, const char *state, struct envelope **keys,
		     bool *suspended)
{
	struct name name;
	struct verified_item proven;
	const Poc__Item *item, *chain;
	bool replaced;

	*keys = NULL;
	*suspended = false;
	if (!name_make(NAME_KEYS, state, NULL, &name))
		return refuse(&poc->why, STATUS_USAGE, "", "\"%s\" is not a state", state);
	int status = session_item(poc, proof, name.text, &item, &proven);
	if (status != 0 || proven.absent)
		return status;
	status = session_keys(poc, poc->head, &proven, item, &chain, keys, &replaced);
	if (status == 0)
		*suspended = verify_suspended(poc->head, state, replaced);
	return status;
}

static int envelope_from(struct poc *poc, const Poc__Proof *proof, struct client_envelope *out)
{
	struct verified_item proven;
	const Poc__Item *item;
	struct envelope *keys;

	if (out->name.kind == NAME_TRUST || out->name.kind == NAME_REGISTER)
		return from_head(poc, poc->head, out);
	int status = session_item(poc, proof, out->name.text, &item, &proven);
	out->absent = proven.absent;
	out->value = proven.value;
	if (status != 0 || proven.absent)
		return status;
	if (out->name.kind == NAME_KEYS)
		return keys_from(poc, proof, out->name.state, &out->envelope, &out->suspended);
	if (item->n_envelopes == 0)
		return 0;
	status = keys_from(poc, proof, name_authority(&out->name), &keys, &out->suspended);
	if (status == 0 && keys == NULL)
		status = refuse(&poc->why, STATUS_UNVERIFIED, out->name.text, "%s without keys of its state",
				out->name.text);
	if (status == 0 && out->name.kind == NAME_PINGS)
		status = verify_envelope(poc->head, &out->name, &proven.value, &item->envelopes[0], &out->envelope,
					 &poc->why);
	else if (status == 0)
		status = verify_users(poc->head, keys, &out->name, &proven.value, &item->envelopes[0], &out->envelope,
				      &poc->why);
	envelope_destroy(keys);
	return status == STATUS_ORPHANS ? 0 : status; /* lapsed: nothing to show */
}

static bool listed(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

enum { ENVELOPES_MAX = 16 };

/* The names to ask for: those wanted, and K of each whose U or D is wanted. */
static int names_to_ask(struct poc *poc, struct client_envelope *out, size_t n, struct name keys[ENVELOPES_MAX],
			const char *ask[2 * ENVELOPES_MAX], size_t *n_ask)
{
	*n_ask = 0;
	for (size_t i = 0; i < n; i++) {
		enum name_kind kind = out[i].name.kind;
		if (kind == NAME_TRUST || kind == NAME_REGISTER)
			continue;
		if (kind != NAME_KEYS && kind != NAME_USERS && kind != NAME_DOCUMENT && kind != NAME_PINGS)
			return refuse(&poc->why, STATUS_USAGE, "", "%s is not asked for this way", out[i].name.text);
		if (!name_make(NAME_KEYS, name_authority(&out[i].name), NULL, &keys[i]))
			return refuse(&poc->why, STATUS_USAGE, "", "\"%s\" is not a name", out[i].name.text);
		if (!listed(ask, *n_ask, keys[i].text))
			ask[(*n_ask)++] = keys[i].text;
		if (!listed(ask, *n_ask, out[i].name.text))
			ask[(*n_ask)++] = out[i].name.text;
	}
	if (*n_ask > ENVELOPES_MAX)
		return refuse(&poc->why, STATUS_USAGE, "", "too many names at once");
	return 0;
}

static int envelopes_online(struct poc *poc, struct client_envelope *out, size_t n)
{
	struct name keys[ENVELOPES_MAX];
	const char *ask[2 * ENVELOPES_MAX];
	struct question q = {.names = ask};
	int status = names_to_ask(poc, out, n, keys, ask, &q.n_names);

	if (status == 0 && q.n_names == 0) {
		status = session_connect(poc);
		if (status == 0)
			status = session_move(poc);
	} else if (status == 0) {
		status = session_ask(poc, &q, 1);
	}
	for (size_t i = 0; i < n && status == 0; i++)
		status = envelope_from(poc, q.proof, &out[i]);
	session_free_answers(&q, 1);
	return status;
}

static int envelopes_offline(struct poc *poc, struct client_envelope *out, size_t n)
{
	int status = copy_load(poc);

	for (size_t i = 0; i < n && status == 0; i++) {
		struct verified_item proven;
		if (out[i].name.kind == NAME_TRUST || out[i].name.kind == NAME_REGISTER) {
			status = from_head(poc, poc->copy, &out[i]);
			continue;
		}
		status = copy_judge(
		    poc, verify_saved_envelope(poc->copy, &out[i].name, &proven, &out[i].envelope, &poc->why));
		if (status == STATUS_ORPHANS) /* lapsed: nothing to show */
			status = 0;
		out[i].absent = proven.absent;
		out[i].suspended = proven.suspended;
		out[i].value = proven.value;
	}
	return status;
}

int client_envelopes(struct poc *poc, enum client_mode mode, const char *const *names, size_t n,
		     struct client_envelope *out)
{
	connection_begin(poc);
	memset(out, 0, n * sizeof *out);
	if (n > ENVELOPES_MAX)
		return refuse(&poc->why, STATUS_USAGE, "", "too many names at once");
	for (size_t i = 0; i < n; i++) {
		if (!name_parse(names[i], &out[i].name))
			return refuse(&poc->why, STATUS_USAGE, "", "\"%.60s\" is not a name", names[i]);
	}
	int status = mode == CLIENT_OFFLINE ? envelopes_offline(poc, out, n) : envelopes_online(poc, out, n);
	if (status != 0)
		client_envelopes_finish(out, n);
	return status;
}

/* ---- Proofs of keys */

int client_prove(struct poc *poc, const char *state, uint8_t **bytes, size_t *size)
{
	struct name name;
	const char *names[] = {name.text};
	struct question q = {.names = names, .n_names = 1};
	Poc__Item whole;
	const Poc__Item *items[] = {&whole};
	struct envelope *keys = NULL;
	bool replaced;

	*bytes = NULL;
	connection_begin(poc);
	if (state != NULL && !name_make(NAME_KEYS, state, NULL, &name))
		return refuse(&poc->why, STATUS_USAGE, "", "\"%s\" is not a state", state);
	int status = session_connect(poc);
	if (status == 0)
		status = state != NULL ? session_ask(poc, &q, 1) : session_move(poc);
	if (status == 0 && state != NULL)
		status = take_keys(poc, q.proof, &name, &whole, &keys, &replaced);
	if (status == 0 && state != NULL && keys == NULL)
		status = refuse(&poc->why, STATUS_NOT_FOUND, "", "%s has no keys", state);
	if (status == 0)
		status = saved_encode(poc->head, items, state != NULL, false, bytes, size, &poc->why);
	session_free_answers(&q, 1);
	envelope_destroy(keys);
	return status;
}
