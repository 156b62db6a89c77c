/* keys: rules of K/<state>: authority and coordinator keys. */
#ifndef PROTO_RULES_KEYS_H
#define PROTO_RULES_KEYS_H

#include "proto/proof/hash.h"
#include "proto/rules/names.h"
#include "proto/rules/payload.pb-c.h"
#include "proto/wire/status.h"

int keys_check(const Poc__Keys *keys, struct refusal *why);

/* What tells one authority from another: a hash over its threshold and the ids of its keys, in whatever order they
 * stand.  Of a K that keys_check has passed. */
struct hash keys_authority(const Poc__Keys *keys);

#endif
