#include "proto/rules/users.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/rules/rules.h"

enum { USERS_MAX = 150, EDITORS_MAX = 16, SPKI_LIST_MAX = 400 };

static const char *const role_names[] = {"unknown", "reader", "operator", "coordinator", "alert",
					 "mirror",  "admin",  "server",   "service"};
static const char *const kind_names[] = {"unknown", "technical", "diplomatic", "coordinator"};

const char *role_name(Poc__Role role)
{
	return role > 0 && (size_t)role < sizeof role_names / sizeof role_names[0] ? role_names[role] : role_names[0];
}

bool role_parse(const char *text, Poc__Role *out)
{
	for (size_t i = 1; i < sizeof role_names / sizeof role_names[0]; i++) {
		if (strcmp(text, role_names[i]) == 0) {
			*out = (Poc__Role)i;
			return true;
		}
	}
	return false;
}

const char *poc_kind_name(Poc__PocKind kind)
{
	return kind > 0 && (size_t)kind < sizeof kind_names / sizeof kind_names[0] ? kind_names[kind] : kind_names[0];
}

bool poc_kind_parse(const char *text, Poc__PocKind *out)
{
	for (size_t i = 1; i < sizeof kind_names / sizeof kind_names[0]; i++) {
		if (strcmp(text, kind_names[i]) == 0) {
			*out = (Poc__PocKind)i;
			return true;
		}
	}
	return false;
}

static bool role_fits(Poc__Role role, bool of_directory)
{
	if (role == POC__ROLE__ROLE_COORDINATOR)
		return true;
	return of_directory == (role >= POC__ROLE__ROLE_ADMIN);
}

static int check_kinds(const Poc__PocKind *kinds, size_t n, const char *field, struct refusal *why)
{
	for (size_t i = 0; i < n; i++) {
		if (kinds[i] == 0 || (i > 0 && kinds[i] <= kinds[i - 1]))
			return refuse(why, STATUS_INVALID, field, "kinds must be known, ascending and distinct");
	}
	return 0;
}

static int check_user(const Poc__User *user, const struct name *name, const char *field, struct refusal *why)
{
	char path[80];
	struct public_key key;

	snprintf(path, sizeof path, "%s.handle", field);
	if (!handle_valid(user->handle))
		return refuse(why, STATUS_INVALID, path, "must match [a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?");
	snprintf(path, sizeof path, "%s.spki", field);
	if (public_key_parse(user->spki.data, user->spki.len, &key, why) != 0)
		return refuse(why, STATUS_INVALID, path, "no canonical public key");
	if (key.algorithm == KEY_UNKNOWN)
		return refuse(why, STATUS_INVALID, path, "must be Ed25519, P-256 or P-384");
	snprintf(path, sizeof path, "%s.roles", field);
	if (user->n_roles == 0)
		return refuse(why, STATUS_INVALID, path, "at least one role");
	for (size_t i = 0; i < user->n_roles; i++) {
		if (user->roles[i] == 0 || (i > 0 && user->roles[i] <= user->roles[i - 1]))
			return refuse(why, STATUS_INVALID, path, "roles must be known, ascending and distinct");
		if (!role_fits(user->roles[i], strcmp(name->state, STATE_DIRECTORY) == 0))
			return refuse(why, STATUS_INVALID, path, "%s is no role of %s", role_name(user->roles[i]),
				      name->state);
	}
	snprintf(path, sizeof path, "%s.not_after", field);
	if (user->not_after < 0)
		return refuse(why, STATUS_INVALID, path, "negative time");
	snprintf(path, sizeof path, "%s.kinds", field);
	return check_kinds(user->kinds, user->n_kinds, path, why);
}

static int check_reading_key(const Poc__Users *users, size_t i, struct refusal *why)
{
	const Poc__ReadingKey *key = users->reading_keys[i];
	struct public_key parsed;
	char field[60];

	snprintf(field, sizeof field, "reading_keys[%zu]", i);
	if (public_key_parse(key->spki.data, key->spki.len, &parsed, why) != 0 || parsed.algorithm != KEY_P384)
		return refuse(why, STATUS_INVALID, field, "must be a P-384 key");
	if (key->holder == 0 || key->not_after < 0)
		return refuse(why, STATUS_INVALID, field, "needs a holder");
	if ((key->holder == POC__HOLDER__HOLDER_USER) != (key->handle[0] != '\0'))
		return refuse(why, STATUS_INVALID, field, "a user's key names its handle, others none");
	if (key->handle[0] != '\0' && users_find_handle(users, key->handle) == NULL)
		return refuse(why, STATUS_INVALID, field, "no user has the handle %s", key->handle);
	return check_kinds(key->kinds, key->n_kinds, field, why);
}

/* Users', reading and editor keys of one U are all distinct. */
static int check_distinct(const Poc__Users *users, struct refusal *why)
{
	const ProtobufCBinaryData *all[SPKI_LIST_MAX];
	size_t n = 0;

	for (size_t i = 0; i < users->n_users; i++)
		all[n++] = &users->users[i]->spki;
	for (size_t i = 0; i < users->n_reading_keys; i++)
		all[n++] = &users->reading_keys[i]->spki;
	for (size_t i = 0; i < users->n_editors; i++)
		all[n++] = &users->editors[i]->spki;
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (all[i]->len == all[j]->len && memcmp(all[i]->data, all[j]->data, all[i]->len) == 0)
				return refuse(why, STATUS_INVALID, "users", "the same key twice");
		}
	}
	return 0;
}

int users_check(const Poc__Users *users, const struct name *name, struct refusal *why)
{
	char field[40];
	struct public_key *editors;
	int status;

	if (users->issued <= 0)
		return refuse(why, STATUS_INVALID, "issued", "missing");
	if (users->n_users > USERS_MAX)
		return refuse(why, STATUS_INVALID, "users", "at most %d", USERS_MAX);
	for (size_t i = 0; i < users->n_users; i++) {
		snprintf(field, sizeof field, "users[%zu]", i);
		status = check_user(users->users[i], name, field, why);
		if (status != 0)
			return status;
		if (i > 0 && strcmp(users->users[i - 1]->handle, users->users[i]->handle) >= 0)
			return refuse(why, STATUS_INVALID, field, "must be ascending by handle");
	}
	if (users->n_reading_keys > READING_KEYS_MAX)
		return refuse(why, STATUS_INVALID, "reading_keys", "at most %d", READING_KEYS_MAX);
	for (size_t i = 0; i < users->n_reading_keys; i++) {
		status = check_reading_key(users, i, why);
		if (status != 0)
			return status;
	}
	if (users->n_editors > 0 && name->unit[0] == '\0')
		return refuse(why, STATUS_INVALID, "editors", "only a unit has editors");
	status = key_list_parse(users->editors, users->n_editors, EDITORS_MAX, "editors", &editors, why);
	if (status != 0)
		return status;
	free(editors);
	return check_distinct(users, why);
}

const Poc__User *users_find(const Poc__Users *users, const struct hash *key_id)
{
	for (size_t i = 0; i < users->n_users; i++) {
		struct hash id = hash_of(users->users[i]->spki.data, users->users[i]->spki.len);
		if (hash_compare(&id, key_id) == 0)
			return users->users[i];
	}
	return NULL;
}

const Poc__User *users_find_handle(const Poc__Users *users, const char *handle)
{
	for (size_t i = 0; i < users->n_users; i++) {
		if (strcmp(users->users[i]->handle, handle) == 0)
			return users->users[i];
	}
	return NULL;
}

bool user_has_role(const Poc__User *user, Poc__Role role)
{
	for (size_t i = 0; i < user->n_roles; i++) {
		if (user->roles[i] == role)
			return true;
	}
	return false;
}

bool user_expired(const Poc__User *user, int64_t state_time)
{
	return user->not_after != 0 && state_time >= user->not_after;
}
