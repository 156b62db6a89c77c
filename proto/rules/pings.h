/* pings: rules of P/<cc>, what became of communications checks, and what they say of when a state last answered. */
#ifndef PROTO_RULES_PINGS_H
#define PROTO_RULES_PINGS_H

#include "proto/rules/payload.pb-c.h"
#include "proto/wire/status.h"

enum { PINGS_MAX = 96 }; /* of one P: with every field full they stay below its 16 KiB */

#define PING_CHANNEL_NOTICE "notice" /* the desk's inbox in the directory */

int pings_check(const Poc__Pings *pings, struct refusal *why);

/* Their order: by round, POC and channel.  Negative, 0 or positive. */
int ping_compare(const Poc__Ping *a, const Poc__Ping *b);

/* The latest answer by a person; where none is known, by a program.  NULL: none. */
const Poc__Ping *pings_last_answered(const Poc__Pings *pings);

#endif
