/* chain: which version may stand after which: sequence, previous value, directory, and the signatures that each kind of
 * payload needs (protocol.md section 8).  Works on parsed envelopes; the rules of a payload by itself are in its
 * module.
 */
#ifndef PROTO_RULES_CHAIN_H
#define PROTO_RULES_CHAIN_H

#include "proto/rules/envelope.h"

/* Each of these returns 0, or STATUS_CONFLICT (seq or prev does not continue the current version) or
 * STATUS_UNVERIFIED with *why. */

/* Whether next may stand after prev (prev NULL: next is T(1), signed by its own root threshold): seq, prev, directory
 * id, root thresholds of both, replacement delays against issued.  0 or a status with *why. */
int trust_accepts(const struct envelope *prev, const struct envelope *next, struct refusal *why);

/* The same but for the signatures: what a ceremony looks at before anybody signs. */
int trust_continues(const struct envelope *prev, const struct envelope *next, struct refusal *why);

/* Whether whoever may sign the version after next, a T, has by its prev signed next too: prev and next, which follows
 * it, ask for the same root keys by the same rules.  A reader of a chain that looks at the later version's signatures
 * need not look at next's. */
bool trust_same_signers(const struct envelope *prev, const struct envelope *next);

/* Whether each replacement that next adds to prev, or changes, still lies the delay ahead at a time: what its signers
 * said at `issued` may be long ago.  0 or INVALID. */
int trust_delays(const struct envelope *prev, const struct envelope *next, int64_t now, struct refusal *why);

/* Directory id: SHA-256 of the payload of T(1). */
struct hash trust_directory_id(const struct envelope *first);

/* Whether next may stand after prev (NULL for S(1)): seq, prev, enrolment threshold of trust, no entry vanished, no
 * anchor changed.  trust is the current T's envelope. */
int register_accepts(const struct envelope *trust, const struct envelope *prev, const struct envelope *next,
		     struct refusal *why);

/* Whether next may stand after prev.  prev NULL: K(1), its payload's hash is the anchor that reg lists and its own
 * authority threshold signed; else seq, prev and the authority thresholds of both.  A K that T lists as replacement
 * (payload hash equal, state_time >= not_before) needs only its own threshold; then K(n+1) follows the replaced one.
 * state_time: seconds, the time of the STATE leaf that it will be judged by. */
int keys_accepts(const struct envelope *trust, const struct envelope *reg, const struct envelope *prev,
		 const struct envelope *next, int64_t state_time, struct refusal *why);

/* The same but for the signatures. */
int keys_continues(const struct envelope *trust, const struct envelope *reg, const struct envelope *prev,
		   const struct envelope *next, int64_t state_time, struct refusal *why);

/* As trust_same_signers, of a K and `after`, the version that follows it: false also where one of the two is a
 * replacement, which stands by its own signatures alone. */
bool keys_same_signers(const struct envelope *trust, const struct envelope *prev, const struct envelope *next,
		       const struct envelope *after);

/* Whether a coordinator key of keys signed the envelope. */
bool keys_coordinator_signed(const struct envelope *trust, const struct envelope *keys,
			     const struct envelope *envelope);

/* Whether next, a U or a D, may stand after prev (NULL: seq 1): seq, prev, signed by a coordinator key of the current K
 * of its state. */
int users_accepts(const struct envelope *trust, const struct envelope *keys, const struct envelope *prev,
		  const struct envelope *next, struct refusal *why);

/* Whether next may stand after prev (NULL: seq 1): seq, prev, signed by a coordinator key of K, or for a unit also by
 * an editor key of unit_users (U/<cc>/<unit>, NULL if there is none). */
int record_accepts(const struct envelope *trust, const struct envelope *keys, const struct envelope *unit_users,
		   const struct envelope *prev, const struct envelope *next, struct refusal *why);

/* Whether next, a P/<cc>, may stand after prev (NULL: seq 1): seq, prev, signed by a coordinator key of staff, the
 * current K/@directory. */
int pings_accepts(const struct envelope *trust, const struct envelope *staff, const struct envelope *prev,
		  const struct envelope *next, struct refusal *why);

#endif
