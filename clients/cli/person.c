#include "clients/cli/person.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/strings.h"
#include "pocd/base/ini.h"
#include "proto/proof/base64.h"
#include "proto/rules/names.h"
#include "proto/wire/utf8.h"

enum { PERSON_FILE_MAX = 128 * 1024 };

static void print_common(FILE *out, const struct person *person)
{
	fprintf(out, "server = %s\nid = %s\n", person->servers, person->directory_id);
	if (person->server_pin[0] != '\0')
		fprintf(out, "server_pin = %s\n", person->server_pin);
	fprintf(out, "state = %s\n", person->state);
	if (person->unit[0] != '\0')
		fprintf(out, "unit = %s\n", person->unit);
	fprintf(out, "handle = %s\n", person->handle);
	for (size_t i = 0; i < person->n_roles; i++)
		fprintf(out, "role = %s\n", role_name(person->roles[i]));
	for (size_t i = 0; i < person->n_kinds; i++)
		fprintf(out, "kind = %s\n", poc_kind_name(person->kinds[i]));
	if (person->service)
		fputs("service = yes\n", out);
	if (person->not_after != 0)
		fprintf(out, "not_after = %lld\n", (long long)person->not_after);
}

/* A P-384 key fits one line of 200 bytes in base64. */
static void print_key(FILE *out, const char *name, const struct public_key *key)
{
	char text[BASE64_LENGTH(SPKI_MAX) + 1];

	if (base64_encode(key->spki, key->spki_size, text, sizeof text) > 0)
		fprintf(out, "%s = %s\n", name, text);
}

int person_write(struct cli *cli, const struct person *person, const char *path)
{
	struct refusal why = {0};
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	fputs(person->has_key ? "; request to the coordinator: poc user add FILE\n[request]\n"
			      : "; invitation: poc setup FILE\n[invite]\n",
	      out);
	print_common(out, person);
	if (person->has_key)
		print_key(out, "key", &person->key);
	if (person->has_reading)
		print_key(out, "reading_key", &person->reading);
	int status = fclose(out) == 0 ? cli_write_file(path, text, size, 0644, true, &why)
				      : refuse(&why, STATUS_NO_MEMORY, "", "out of memory");
	free(text);
	if (status != 0)
		return cli_refused(cli, &why);
	made_add(&cli->made, path);
	return 0;
}

void person_place(const struct person *person, char out[72])
{
	snprintf(out, 72, "%s%s%s", person->state, person->unit[0] != '\0' ? "/" : "", person->unit);
}

bool person_has_role(const struct person *person, Poc__Role role)
{
	for (size_t i = 0; i < person->n_roles; i++) {
		if (person->roles[i] == role)
			return true;
	}
	return false;
}

bool person_reads(const struct person *person)
{
	return person_has_role(person, POC__ROLE__ROLE_OPERATOR) ||
	       person_has_role(person, POC__ROLE__ROLE_COORDINATOR) || person_has_role(person, POC__ROLE__ROLE_SERVICE);
}

bool person_add_role(struct person *person, const char *text)
{
	Poc__Role role;

	if (!role_parse(text, &role) || person->n_roles == PERSON_ROLES_MAX)
		return false;
	size_t i = person->n_roles;
	while (i > 0 && person->roles[i - 1] > role)
		i--;
	if (i > 0 && person->roles[i - 1] == role)
		return true;
	memmove(person->roles + i + 1, person->roles + i, (person->n_roles - i) * sizeof *person->roles);
	person->roles[i] = role;
	person->n_roles++;
	return true;
}

bool person_add_kind(struct person *person, const char *text)
{
	Poc__PocKind kind;

	if (!poc_kind_parse(text, &kind) || person->n_kinds == PERSON_KINDS_MAX)
		return false;
	size_t i = person->n_kinds;
	while (i > 0 && person->kinds[i - 1] > kind)
		i--;
	if (i > 0 && person->kinds[i - 1] == kind)
		return true;
	memmove(person->kinds + i + 1, person->kinds + i, (person->n_kinds - i) * sizeof *person->kinds);
	person->kinds[i] = kind;
	person->n_kinds++;
	return true;
}

struct person_reading {
	struct person *person;
	const char *section;
};

static int copy_text(const char *value, char *out, size_t size, struct refusal *why)
{
	if (strlen(value) >= size)
		return refuse(why, STATUS_INVALID, "", "too long");
	strcpy(out, value);
	return 0;
}

static int take_key_line(const char *value, struct public_key *out, bool *has, struct refusal *why)
{
	uint8_t spki[SPKI_MAX];
	ssize_t n = base64_decode(value, strlen(value), spki, sizeof spki);

	if (n <= 0 || public_key_parse(spki, (size_t)n, out, NULL) != 0 || out->algorithm == KEY_UNKNOWN)
		return refuse(why, STATUS_INVALID, "key", "not a public key");
	*has = true;
	return 0;
}

static int take(void *ctx, const char *section, const char *key, const char *value, struct refusal *why)
{
	struct person_reading *r = ctx;
	struct person *p = r->person;
	uint64_t number;

	if (strcmp(r->section, "invite") == 0 && strcmp(section, "request") == 0)
		return refuse(why, STATUS_INVALID, "", "this is a request, for the coordinator's poc user add");
	if (strcmp(r->section, "request") == 0 && strcmp(section, "invite") == 0)
		return refuse(why, STATUS_INVALID, "", "this is an invitation; poc setup makes a request of it");
	if (strcmp(section, r->section) != 0)
		return refuse(why, STATUS_INVALID, "", "expected a section [%s]", r->section);
	if (strcmp(key, "server") == 0)
		return copy_text(value, p->servers, sizeof p->servers, why);
	if (strcmp(key, "id") == 0)
		return copy_text(value, p->directory_id, sizeof p->directory_id, why);
	if (strcmp(key, "server_pin") == 0)
		return copy_text(value, p->server_pin, sizeof p->server_pin, why);
	if (strcmp(key, "state") == 0)
		return copy_text(value, p->state, sizeof p->state, why);
	if (strcmp(key, "unit") == 0)
		return copy_text(value, p->unit, sizeof p->unit, why);
	if (strcmp(key, "handle") == 0)
		return copy_text(value, p->handle, sizeof p->handle, why);
	if (strcmp(key, "role") == 0)
		return person_add_role(p, value) ? 0
						 : refuse(why, STATUS_INVALID, "role", "unknown role \"%.40s\"", value);
	if (strcmp(key, "kind") == 0)
		return person_add_kind(p, value) ? 0
						 : refuse(why, STATUS_INVALID, "kind", "unknown kind \"%.40s\"", value);
	if (strcmp(key, "service") == 0)
		return ini_bool(value, &p->service) ? 0 : refuse(why, STATUS_INVALID, "service", "yes or no");
	if (strcmp(key, "not_after") == 0 && ini_unsigned(value, INT64_MAX, &number)) {
		p->not_after = (int64_t)number;
		return 0;
	}
	if (strcmp(key, "key") == 0)
		return take_key_line(value, &p->key, &p->has_key, why);
	if (strcmp(key, "reading_key") == 0)
		return take_key_line(value, &p->reading, &p->has_reading, why);
	return refuse(why, STATUS_INVALID, "", "unknown or bad key \"%.40s\"", key);
}

/* CC.enrol, a saved answer: what is no text has no line whose mistake could be named. */
static bool is_binary(const char *path)
{
	struct refusal why = {0};
	size_t size;
	char *text = cli_read_file(path, PERSON_FILE_MAX, &size, &why);
	bool binary = text != NULL && !utf8_valid(text, size);

	free(text);
	return binary;
}

int person_load(const char *path, bool request, struct person *out, struct refusal *why)
{
	struct person_reading reading = {out, request ? "request" : "invite"};
	struct hash id;

	memset(out, 0, sizeof *out);
	if (is_binary(path))
		return refuse(why, STATUS_INVALID, "",
			      request ? tr("%s: not a request; poc setup makes one of an invitation")
				      : tr("%s: not an invitation; the coordinator's poc user invite makes one"),
			      path);
	int status = ini_read(path, take, &reading, why);
	if (status != 0)
		return status;
	if (out->has_reading && (!request || out->reading.algorithm != KEY_P384))
		return refuse(why, STATUS_INVALID, "", tr("%s: a reading key is a P-384 key"), path);
	if (hash_from_hex(out->directory_id, &id) != 0 || !state_valid(out->state) ||
	    (out->unit[0] != '\0' && !(state_code_valid(out->state) && handle_valid(out->unit))) ||
	    !handle_valid(out->handle) || out->n_roles == 0 || request != out->has_key)
		return refuse(why, STATUS_INVALID, "", tr("%s: not a complete %s"), path, reading.section);
	return 0;
}

int person_read(struct cli *cli, const char *path, bool request, struct person *out)
{
	struct refusal why = {0};

	return person_load(path, request, out, &why) == 0 ? 0 : cli_refused(cli, &why);
}

bool person_same_invitation(const struct person *a, const struct person *b)
{
	return strcmp(a->servers, b->servers) == 0 && strcmp(a->directory_id, b->directory_id) == 0 &&
	       strcmp(a->server_pin, b->server_pin) == 0 && strcmp(a->state, b->state) == 0 &&
	       strcmp(a->unit, b->unit) == 0 && strcmp(a->handle, b->handle) == 0 && a->service == b->service &&
	       a->not_after == b->not_after && a->n_roles == b->n_roles &&
	       memcmp(a->roles, b->roles, a->n_roles * sizeof *a->roles) == 0 && a->n_kinds == b->n_kinds &&
	       memcmp(a->kinds, b->kinds, a->n_kinds * sizeof *a->kinds) == 0;
}

void person_code(const struct person *person, char out[40])
{
	char text[512], place[72];

	person_place(person, place);
	size_t used =
	    (size_t)snprintf(text, sizeof text, "pocd-request-v1\n%s\n%s\n%s\n%d\n%lld\n", person->directory_id, place,
			     person->handle, person->service, (long long)person->not_after);

	for (size_t i = 0; i < person->n_roles; i++)
		used += (size_t)snprintf(text + used, sizeof text - used, "r%d\n", (int)person->roles[i]);
	for (size_t i = 0; i < person->n_kinds; i++)
		used += (size_t)snprintf(text + used, sizeof text - used, "k%d\n", (int)person->kinds[i]);
	struct hash_part parts[] = {{text, used},
				    {person->key.spki, person->key.spki_size},
				    {person->reading.spki, person->has_reading ? person->reading.spki_size : 0}};
	struct hash hash = hash_parts(parts, 3);
	base32_text(hash.bytes, 10, out); /* 80 bits: four groups to read out */
}

int person_write_conf(struct cli *cli, const struct person *person, const char *path, const char *key_name,
		      const char *location, const char *extra)
{
	struct refusal why = {0};
	char *text;

	if (asprintf(&text,
		     "; made by %s; poc.conf(5) lists all keys\n[directory]\nserver = %s\nid = "
		     "%s\n%s%s%s\n[user]\nstate = %s\n%s%s%s"
		     "cert = %s.crt\nkey = %s%s\n\n[state]\ndir = %s.state\n%s",
		     cli->program, person->servers, person->directory_id,
		     person->server_pin[0] != '\0' ? "server_pin = " : "", person->server_pin,
		     person->server_pin[0] != '\0' ? "\n" : "", person->state, person->unit[0] != '\0' ? "unit = " : "",
		     person->unit, person->unit[0] != '\0' ? "\n" : "", key_name,
		     location != NULL ? location : key_name, location != NULL ? "" : ".key", key_name,
		     extra != NULL ? extra : "") < 0)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	int status = cli_write_file(path, text, strlen(text), 0600, true, &why);
	free(text);
	if (status != 0)
		return cli_refused(cli, &why);
	made_add(&cli->made, path);
	return 0;
}
