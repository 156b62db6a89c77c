#include "clients/cli/due.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/reading.h"
#include "clients/cli/strings.h"
#include "proto/rules/record.h"
#include "proto/rules/register.h"
#include "proto/rules/users.h"

enum { DAY = 86400, WARNED_BEFORE = (RECORD_STALE - RECORD_DUE) / DAY };

static const int record_days[] = {WARNED_BEFORE, 0, DUE_ENDED}, user_days[] = {30, 7, 1, DUE_ENDED},
		 trust_days[] = {90, 30, 7, 1, DUE_ENDED};

void due_finish(struct due_list *list)
{
	free(list->list);
	*list = (struct due_list){0};
}

int64_t due_day(int64_t seconds)
{
	return seconds / DAY;
}

int64_t due_now(struct poc *poc)
{
	int64_t now = client_now(poc);
	struct poc_facts facts;

	return poc_facts(poc, &facts) == 0 && facts.have_head && facts.time_ms / 1000 > now ? facts.time_ms / 1000
											    : now;
}

/* ---- Finding */

/* The lowest of descending thresholds that has been reached.  False: none yet. */
static bool reached(const int *thresholds, int64_t at, int64_t now, int *days)
{
	int64_t left = due_day(at) - due_day(now);

	if (left > thresholds[0])
		return false;
	for (const int *each = thresholds; *each != DUE_ENDED && left <= *each; each++)
		*days = *each;
	if (left < 0 && *days > 0)
		*days = DUE_ENDED;
	return true;
}

static int add(struct due_list *list, enum due_kind kind, const char *place, const char *what, int64_t at, int days)
{
	if (list->n == list->room) {
		size_t room = 2 * list->room + 16;
		struct due *grown = realloc(list->list, room * sizeof *grown);
		if (grown == NULL)
			return STATUS_NO_MEMORY;
		list->list = grown;
		list->room = room;
	}
	struct due *due = &list->list[list->n++];
	*due = (struct due){.kind = kind, .at = at, .days = days};
	snprintf(due->place, sizeof due->place, "%s", place);
	snprintf(due->what, sizeof due->what, "%s", what);
	return 0;
}

int due_of_record(const char *place, const Poc__Record *record, int64_t now, struct due_list *out)
{
	int64_t stale = record->confirmed + RECORD_STALE;
	int days = 0;

	if (record->withdrawn)
		return 0;
	if (record->expires < stale)
		stale = record->expires;
	return reached(record_days, stale, now, &days) ? add(out, DUE_CONFIRMATION, place, "", stale, days) : 0;
}

static void name_key(const Poc__ReadingKey *key, char out[80])
{
	struct hash id = hash_of(key->spki.data, key->spki.len);
	char fingerprint[40];

	public_key_fingerprint(&id, fingerprint);
	if (key->handle[0] != '\0')
		snprintf(out, 80, "%.40s", key->handle);
	else
		snprintf(out, 80, "%s %.40s", holder_name(key->holder), fingerprint);
}

int due_of_users(const char *place, const Poc__Users *users, int64_t now, struct due_list *out)
{
	int days = 0, status = 0;

	for (size_t i = 0; i < users->n_users && status == 0; i++) {
		const Poc__User *user = users->users[i];
		if (user->not_after != 0 && reached(user_days, user->not_after, now, &days))
			status = add(out, DUE_USER, place, user->handle, user->not_after, days);
	}
	for (size_t i = 0; i < users->n_reading_keys && status == 0; i++) {
		const Poc__ReadingKey *key = users->reading_keys[i];
		char what[80];
		const Poc__User *user = users_find_handle(users, key->handle);
		if (key->not_after == 0 || !reached(user_days, key->not_after, now, &days))
			continue;
		if (user != NULL && user->not_after == key->not_after)
			continue; /* it ends with its user, who has been named */
		name_key(key, what);
		status = add(out, DUE_READING_KEY, place, what, key->not_after, days);
	}
	return status;
}

int due_of_trust(const Poc__Trust *trust, int64_t now, struct due_list *out)
{
	int days = 0;

	return reached(trust_days, trust->expires, now, &days)
		   ? add(out, DUE_TRUST, STATE_DIRECTORY, "", trust->expires, days)
		   : 0;
}

/* ---- A state */

struct finding {
	struct poc *poc;
	enum client_mode mode;
	int64_t now;
	struct due_list *out;
};

/* U of a place; one that is absent, or not shown to this user, ends nowhere. */
static int find_users(struct finding *f, const char *place)
{
	char text[NAME_MAX_LENGTH + 3];
	const char *names[] = {text};
	struct client_envelope users;

	snprintf(text, sizeof text, "U/%s", place);
	int status = client_envelopes(f->poc, f->mode, names, 1, &users);
	if (status == 0 && users.envelope != NULL)
		status = due_of_users(place, users.envelope->payload.users, f->now, f->out);
	client_envelopes_finish(&users, 1);
	return status;
}

static int find_record(struct finding *f, const struct client_record *record)
{
	const struct verified_record *v = &record->verified;

	return v->record != NULL && !v->suspended
		   ? due_of_record(v->name.text + 2, v->record->payload.record, f->now, f->out)
		   : 0;
}

static int find_unit(void *ctx, const struct client_record *record)
{
	struct finding *f = ctx;
	int status = find_record(f, record);

	return status == 0 ? find_users(f, record->verified.name.text + 2) : status;
}

static int find_trust(struct finding *f)
{
	static const char *const names[] = {"T"};
	struct client_envelope trust;
	int status = client_envelopes(f->poc, f->mode, names, 1, &trust);

	if (status == 0)
		status = due_of_trust(trust.envelope->payload.trust, f->now, f->out);
	client_envelopes_finish(&trust, 1);
	return status;
}

int due_of_state(struct poc *poc, enum client_mode mode, const char *state, int64_t now, struct due_list *out)
{
	struct finding f = {poc, mode, now, out};
	struct client_record record = {0};
	struct name name;
	int status = find_users(&f, state);

	if (status == 0 && strcmp(state, STATE_DIRECTORY) == 0)
		return find_trust(&f);
	if (status != 0 || !place_parse(state, &name))
		return status;
	/* its status speaks of the verdict; what was verified is there all the same */
	client_lookup(poc, mode, &name, NULL, 0, &record);
	status = find_record(&f, &record);
	client_record_finish(&record);
	f.mode = CLIENT_OFFLINE;
	if (status == 0 && client_copy_synced(poc) != 0)
		status = client_walk_units(poc, state, find_unit, &f);
	return status;
}

/* ---- All */

/* U of units is asked after the walk over all records. */
struct units {
	struct finding f;
	size_t n, room;
	struct name *list; /* owned */
};

static int see_record(void *ctx, const struct client_record *record)
{
	struct units *units = ctx;
	const struct name *name = &record->verified.name;

	if (name->unit[0] != '\0') {
		if (units->n == units->room) {
			size_t room = 2 * units->room + 64;
			struct name *grown = realloc(units->list, room * sizeof *grown);
			if (grown == NULL)
				return STATUS_NO_MEMORY;
			units->list = grown;
			units->room = room;
		}
		units->list[units->n++] = *name;
	}
	return find_record(&units->f, record);
}

static int find_all_users(struct finding *f, const Poc__Register *reg)
{
	int status = 0;

	for (size_t i = 0; i < reg->n_entries && status == 0; i++) {
		if (!reg->entries[i]->suspended)
			status = find_users(f, reg->entries[i]->state);
	}
	return status;
}

static size_t state_length(const char *place)
{
	return strcspn(place, "/");
}

static int by_state(const void *a, const void *b)
{
	const struct due *x = a, *y = b;
	size_t length = state_length(x->place), other = state_length(y->place);
	int order = strncmp(x->place, y->place, length < other ? length : other);

	if (order == 0)
		order = (int)length - (int)other;
	if (order == 0)
		order = (int)x->kind - (int)y->kind;
	if (order == 0)
		order = due_day(x->at) < due_day(y->at) ? -1 : due_day(x->at) > due_day(y->at);
	if (order == 0)
		order = strcmp(x->place, y->place);
	return order != 0 ? order : strcmp(x->what, y->what);
}

int due_of_all(struct poc *poc, int64_t now, struct due_list *out)
{
	static const char *const names[] = {"S"};
	struct units units = {.f = {poc, CLIENT_OFFLINE, now, out}};
	struct client_envelope reg;
	int status = client_envelopes(poc, CLIENT_OFFLINE, names, 1, &reg);

	if (status == 0)
		status = client_walk(poc, see_record, &units);
	if (status == 0)
		status = find_all_users(&units.f, reg.envelope->payload.register_);
	for (size_t i = 0; i < units.n && status == 0; i++) {
		const Poc__Entry *entry = register_find(reg.envelope->payload.register_, units.list[i].state);
		if (entry != NULL && !entry->suspended)
			status = find_users(&units.f, units.list[i].text + 2);
	}
	if (status == 0)
		status = find_trust(&units.f);
	client_envelopes_finish(&reg, 1);
	free(units.list);
	if (out->n > 0)
		qsort(out->list, out->n, sizeof *out->list, by_state);
	return status;
}

/* ---- Words */

const char *due_kind_name(enum due_kind kind)
{
	static const char *const names[] = {"confirmation", "user", "reading-key", "trust-root"};

	return names[kind];
}

char *due_text(const struct due *due)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	if (due->kind == DUE_CONFIRMATION)
		fprintf(out, due->days > 0 ? tr("%s: its confirmation is due, by %s") : tr("%s: stale from %s on"),
			due->place, time_text(due->at));
	else if (due->kind == DUE_TRUST)
		fprintf(out, due->days >= 0 ? tr("the trust root expires %s") : tr("the trust root expired %s"),
			time_text(due->at));
	else
		fprintf(out, due->days >= 0 ? tr("%s: %s %s ends %s") : tr("%s: %s %s ended %s"), due->place,
			due->kind == DUE_USER ? tr("user") : tr("reading key of"), due->what, time_text(due->at));
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

json_t *due_json(const struct due *due)
{
	return json_pack("{s:s,s:s,s:s,s:o,s:i}", "matter", due_kind_name(due->kind), "place", due->place, "what",
			 due->what, "at", json_string(time_text(due->at)), "days", due->days);
}
