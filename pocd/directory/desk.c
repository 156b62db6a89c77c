#include "pocd/directory/desk.h"

#include <string.h>

#include "pocd/directory/holders.h"
#include "pocd/directory/scan.h"
#include "proto/rules/signed.h"
#include "proto/rules/trust.h"
#include "proto/rules/users.h"

static const struct held_state *state_of(const struct snapshot *snapshot, const char *place)
{
	char state[STATE_MAX_LENGTH + 1];
	size_t length = strcspn(place, "/");

	if (length >= sizeof state)
		return NULL;
	memcpy(state, place, length);
	state[length] = '\0';
	return holders_state(holders_of(snapshot), state);
}

const Poc__Users *desk_list(const struct snapshot *snapshot, const struct name *users)
{
	const struct held_users *held = holders_users(holders_of(snapshot), users->text);

	return held != NULL && held->valid ? held->users->envelope->payload.users : NULL;
}

unsigned desk_algorithms(const struct snapshot *snapshot)
{
	return trust_algorithms(holders_of(snapshot)->trust->envelope->payload.trust);
}

bool desk_suspended(const struct snapshot *snapshot, const char *place)
{
	const struct held_state *state = state_of(snapshot, place);

	return state == NULL || !state->registered || state->suspended;
}

bool desk_user(const struct snapshot *snapshot, const char *state, const struct hash *pin, const char *place,
	       Poc__PocKind kind, struct principal_facts *facts)
{
	struct name name;

	*facts = (struct principal_facts){0};
	if (!desk_valid(place, kind) || !desk_users(place, &name) || strcmp(name.state, state) != 0)
		return false;
	const Poc__Users *users = desk_list(snapshot, &name);
	const Poc__User *user = users != NULL ? users_find(users, pin) : NULL;
	if (user == NULL || user_expired(user, (int64_t)(snapshot->time_ms / 1000)) || !user_serves(user, kind))
		return false;
	facts->directory = strcmp(state, STATE_DIRECTORY) == 0;
	facts->suspended = desk_suspended(snapshot, place);
	for (size_t i = 0; i < user->n_roles; i++)
		facts->roles |= 1U << user->roles[i];
	return true;
}

/* ---- Whether a notice may go there */

static int check_record(const struct snapshot *snapshot, struct store_view *view, const Poc__Desk *desk,
			const char *field, struct refusal *why)
{
	struct name record;
	const uint8_t *bytes;
	size_t size;

	if (strcmp(desk->place, STATE_DIRECTORY) == 0)
		return 0;
	const struct snapshot_name *known =
	    place_parse(desk->place, &record) ? snapshot_find(snapshot, record.text) : NULL;
	if (known == NULL)
		return refuse(why, STATUS_NOT_FOUND, field, "there is no record of %s", desk->place);
	int status = ledger_read_envelope(view, &known->value, &bytes, &size, NULL, NULL);
	if (status != 0)
		return refuse(why, STATUS_DAMAGED, field, "the record of %s cannot be read", desk->place);
	return scan_withdrawn(bytes, size)
		   ? refuse(why, STATUS_NOT_FOUND, field, "the record of %s is withdrawn", desk->place)
		   : 0;
}

static bool key_serves(const Poc__ReadingKey *key, Poc__PocKind kind, int64_t time)
{
	if (key->not_after != 0 && time >= key->not_after)
		return false;
	for (size_t i = 0; i < key->n_kinds; i++) {
		if (key->kinds[i] == kind)
			return true;
	}
	return false;
}

/* The ids of a U's keys that serve a kind now; how many. */
static size_t serving_ids(const Poc__Users *users, Poc__PocKind kind, int64_t time, struct hash ids[READING_KEYS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; users != NULL && i < users->n_reading_keys && n < READING_KEYS_MAX; i++) {
		const Poc__ReadingKey *key = users->reading_keys[i];
		if (key_serves(key, kind, time))
			ids[n++] = hash_of(key->spki.data, key->spki.len);
	}
	return n;
}

static bool is_among(const struct hash *ids, size_t n, const ProtobufCBinaryData *id)
{
	for (size_t i = 0; i < n; i++) {
		if (memcmp(ids[i].bytes, id->data, HASH_SIZE) == 0)
			return true;
	}
	return false;
}

static int check_keys(const Poc__Users *users, const Poc__Desk *desk, int64_t time, const char *field,
		      struct refusal *why)
{
	struct hash ids[READING_KEYS_MAX];
	const size_t n = serving_ids(users, desk->kind, time, ids);

	if (n == 0)
		return refuse(why, STATUS_NO_READING_KEY, field, "%s has no reading key for its %s point of contact",
			      desk->place, poc_kind_name(desk->kind));
	for (size_t i = 0; i < desk->n_keys; i++) {
		if (!is_among(ids, n, &desk->keys[i]))
			return refuse(why, STATUS_STALE_KEY, field,
				      "key %zu is no current reading key of the %s point of contact of %s", i,
				      poc_kind_name(desk->kind), desk->place);
	}
	return 0;
}

int desk_check(const struct snapshot *snapshot, struct store_view *view, const Poc__Desk *desk, bool sender,
	       int64_t time, const char *field, struct refusal *why)
{
	struct name users;

	if (!desk_users(desk->place, &users))
		return refuse(why, STATUS_INVALID, field, "no place");
	int status = sender ? 0 : check_record(snapshot, view, desk, field, why);
	if (status != 0)
		return status;
	if (desk_suspended(snapshot, desk->place))
		return refuse(why, STATUS_SUSPENDED, field, "%s is suspended", users.state);
	return check_keys(desk_list(snapshot, &users), desk, time, field, why);
}

enum desk_motion desk_moved(const struct ledger *ledger, const char *place)
{
	struct name users, keys, record;
	enum desk_motion most = DESK_STILL;

	if (!desk_users(place, &users))
		return DESK_STILL;
	const char *names[] = {"T", "S", users.text, name_make(NAME_KEYS, users.state, NULL, &keys) ? keys.text : NULL,
			       place_parse(place, &record) ? record.text : NULL};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		enum desk_motion motion = DESK_STILL;
		if (names[i] != NULL && ledger_moved(ledger, names[i]))
			motion = names[i] == record.text ? DESK_RECORD_MOVED : DESK_MOVED;
		else if (names[i] != NULL && ledger_unserved(ledger, names[i]))
			motion = DESK_UNSERVED;
		most = motion > most ? motion : most;
	}
	return most;
}
