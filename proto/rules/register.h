/* register: rules of S, the register of states. */
#ifndef PROTO_RULES_REGISTER_H
#define PROTO_RULES_REGISTER_H

#include "proto/rules/names.h"
#include "proto/rules/payload.pb-c.h"
#include "proto/wire/status.h"

enum { REGISTER_REFERENCE_MAX = 200 }; /* code points of a nomination's reference */

int register_check(const Poc__Register *reg, struct refusal *why);

const Poc__Entry *register_find(const Poc__Register *reg, const char *state); /* NULL if not listed */

#endif
