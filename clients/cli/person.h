/* person: invitations and requests: how a person joins without writing a file by hand. */
#ifndef CLIENTS_CLI_PERSON_H
#define CLIENTS_CLI_PERSON_H

#include "clients/cli/command.h"
#include "proto/keys/crypto.h"
#include "proto/rules/users.h"

enum { PERSON_ROLES_MAX = 8, PERSON_KINDS_MAX = 3 };

/* What invitation and request say of a user. */
struct person {
	char servers[CONF_TEXT_MAX], directory_id[65], server_pin[65];
	char state[16], unit[48], handle[48]; /* unit: empty for a user of the state itself */
	bool service;
	size_t n_roles, n_kinds;
	Poc__Role roles[PERSON_ROLES_MAX];
	Poc__PocKind kinds[PERSON_KINDS_MAX];
	int64_t not_after;
	bool has_key; /* a request */
	struct public_key key;
	bool has_reading; /* a request of somebody who reads notices */
	struct public_key reading;
};

int person_write(struct cli *cli, const struct person *person, const char *path);

/* Reads an invitation, or a request.  0, or a status with *why; person_read prints it. */
int person_load(const char *path, bool request, struct person *out, struct refusal *why);
int person_read(struct cli *cli, const char *path, bool request, struct person *out);

/* Whether both say the same of the user; a request's keys are not looked at. */
bool person_same_invitation(const struct person *a, const struct person *b);

/* Code to read out: binds key, handle, place, roles and directory. */
void person_code(const struct person *person, char out[40]);

/* The place whose U is to list the user: "FR", or "FR/bretagne". */
void person_place(const struct person *person, char out[72]);

bool person_has_role(const struct person *person, Poc__Role role);

/* Whether such a user reads notices: operators, coordinators, services. */
bool person_reads(const struct person *person);

/* Adds a role or kind in order; false if it is unknown or there are too many. */
bool person_add_role(struct person *person, const char *text);
bool person_add_kind(struct person *person, const char *text);

/* Writes a client configuration that uses NAME.key and NAME.crt beside it; location: another key, or NULL.
 * extra: further lines, may be NULL. */
int person_write_conf(struct cli *cli, const struct person *person, const char *path, const char *key_name,
		      const char *location, const char *extra);

#endif
