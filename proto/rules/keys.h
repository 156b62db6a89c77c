/* keys: rules of K/<state>: authority and coordinator keys. */
#ifndef PROTO_RULES_KEYS_H
#define PROTO_RULES_KEYS_H

#include "proto/rules/names.h"
#include "proto/rules/payload.pb-c.h"
#include "proto/wire/status.h"

int keys_check(const Poc__Keys *keys, struct refusal *why);

#endif
