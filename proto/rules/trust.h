/* trust: rules of T, the trust root (protocol.md sections 7 and 8). */
#ifndef PROTO_RULES_TRUST_H
#define PROTO_RULES_TRUST_H

#include "proto/keys/crypto.h"
#include "proto/proof/note.h"
#include "proto/rules/names.h"
#include "proto/rules/payload.pb-c.h"
#include "proto/wire/status.h"

/* Rules that need only the payload: counts, thresholds that can be met by known keys, origin, quorum <= auditors. */
int trust_check(const Poc__Trust *trust, struct refusal *why);

unsigned trust_algorithms(const Poc__Trust *trust); /* bit set for envelope_count */

/* Note keys of log (algorithm 0x01, name = origin) and auditors (0x04).  Returns how many were written, at most max. */
size_t trust_log_keys(const Poc__Trust *trust, struct note_key *out, size_t max);
size_t trust_auditor_keys(const Poc__Trust *trust, struct note_key *out, size_t max);

/* The newest Replacement for a state, or NULL. */
const Poc__Replacement *trust_replacement(const Poc__Trust *trust, const char *state);

/* The Replacement of a state by the K whose payload has this hash, or NULL. */
const Poc__Replacement *trust_replaces(const Poc__Trust *trust, const char *state, const uint8_t keys[HASH_SIZE]);

#endif
