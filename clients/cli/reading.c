#include "clients/cli/reading.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/key.h"
#include "proto/wire/prescan.h"

int reading_make(struct cli *cli, const char *folder, const char *name, struct public_key *out)
{
	char path[CONF_PATH_MAX + 300];
	struct keystore_key *key;

	snprintf(path, sizeof path, "%s/%s.key", folder, name);
	int status = key_make(cli, KEY_P384, path, false, &key);
	if (status != 0)
		return status;
	*out = *keystore_public(key);
	keystore_close(key);
	return 0;
}

static bool fill(Poc__ReadingKey *entry, const struct public_key *key, const char *handle, const Poc__PocKind *kinds,
		 size_t n_kinds)
{
	entry->spki.data = malloc(key->spki_size);
	entry->kinds = malloc((n_kinds + 1) * sizeof *entry->kinds);
	if (handle[0] != '\0')
		entry->handle = strdup(handle);
	if (entry->spki.data == NULL || entry->kinds == NULL || entry->handle == NULL)
		return false;
	memcpy(entry->spki.data, key->spki, key->spki_size);
	entry->spki.len = key->spki_size;
	memcpy(entry->kinds, kinds, n_kinds * sizeof *kinds);
	entry->n_kinds = n_kinds;
	return true;
}

bool reading_add(Poc__Users *users, const struct public_key *key, Poc__Holder holder, const char *handle,
		 const Poc__PocKind *kinds, size_t n_kinds, int64_t not_after)
{
	Poc__ReadingKey **list = realloc(users->reading_keys, (users->n_reading_keys + 1) * sizeof *list);
	Poc__ReadingKey *entry = malloc(sizeof *entry);

	if (list != NULL)
		users->reading_keys = list;
	if (list == NULL || entry == NULL) {
		free(entry);
		return false;
	}
	poc__reading_key__init(entry);
	entry->holder = holder;
	entry->not_after = not_after;
	users->reading_keys[users->n_reading_keys++] = entry;
	return fill(entry, key, handle, kinds, n_kinds);
}

void reading_drop(Poc__Users *users, const char *handle)
{
	size_t kept = 0;

	for (size_t i = 0; i < users->n_reading_keys; i++) {
		Poc__ReadingKey *key = users->reading_keys[i];
		if (key->holder == POC__HOLDER__HOLDER_USER && strcmp(key->handle, handle) == 0)
			message_free(key);
		else
			users->reading_keys[kept++] = key;
	}
	users->n_reading_keys = kept;
}

size_t reading_kinds(const Poc__Role *roles, size_t n_roles, const Poc__PocKind *kinds, size_t n_kinds,
		     Poc__PocKind out[4])
{
	bool coordinator = false;
	size_t n = 0;

	for (size_t i = 0; i < n_roles; i++)
		coordinator =
		    coordinator || roles[i] == POC__ROLE__ROLE_COORDINATOR || roles[i] == POC__ROLE__ROLE_SERVICE;
	for (size_t i = 0; i < n_kinds && n < 3; i++) {
		if (kinds[i] != POC__POC_KIND__POC_KIND_COORDINATOR)
			out[n++] = kinds[i];
		else
			coordinator = true;
	}
	if (coordinator) /* the highest number: the list stays ascending */
		out[n++] = POC__POC_KIND__POC_KIND_COORDINATOR;
	return n;
}

static const char *const names[] = {"", "user", "desk", "archive"};

const char *holder_name(Poc__Holder holder)
{
	return holder >= 1 && holder <= 3 ? names[holder] : "unknown";
}

bool holder_parse(const char *text, Poc__Holder *out)
{
	for (int i = 1; i <= 3; i++) {
		if (strcmp(text, names[i]) == 0) {
			*out = (Poc__Holder)i;
			return true;
		}
	}
	return false;
}
