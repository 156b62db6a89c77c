/* users: rules of U/<state> and U/<state>/<unit>. */
#ifndef PROTO_RULES_USERS_H
#define PROTO_RULES_USERS_H

#include "proto/keys/crypto.h"
#include "proto/rules/names.h"
#include "proto/rules/payload.pb-c.h"
#include "proto/wire/status.h"

enum { READING_KEYS_MAX = 200 }; /* of one U */

int users_check(const Poc__Users *users, const struct name *name, struct refusal *why);

const Poc__User *users_find(const Poc__Users *users, const struct hash *key_id); /* NULL if not listed */
const Poc__User *users_find_handle(const Poc__Users *users, const char *handle);

bool user_has_role(const Poc__User *user, Poc__Role role);
bool user_expired(const Poc__User *user, int64_t state_time);

const char *role_name(Poc__Role role); /* "reader" ...; "unknown" */
bool role_parse(const char *text, Poc__Role *out);
const char *poc_kind_name(Poc__PocKind kind); /* "technical" ... */
bool poc_kind_parse(const char *text, Poc__PocKind *out);

#endif
