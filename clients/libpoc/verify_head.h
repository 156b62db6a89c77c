/* verify_head: steps 1 to 5 of verification (docs/protocol.md): the trust root's own chain, the checkpoint, its STATE
 * leaf, and trust root and register proven in its map root. */
#ifndef CLIENTS_LIBPOC_VERIFY_HEAD_H
#define CLIENTS_LIBPOC_VERIFY_HEAD_H

#include "clients/libpoc/proof.h"
#include "proto/proof/checkpoint.h"
#include "proto/proof/prefix.h"

/* What the reader brings. */
struct verify_pins {
	struct hash directory;   /* directory id */
	unsigned quorum;         /* at least so many auditors, beside what T asks */
	const char *own_auditor; /* must have signed; NULL: none */
};

/* A verified checkpoint with the trust root and register proven in its map root.  Counted references. */
struct verified_head {
	unsigned references;
	struct checkpoint checkpoint;
	struct leaf leaf;        /* STATE leaf: value = map root, time_ms */
	int64_t time_ms;         /* t of protocol.md section 14 */
	unsigned cosigners;      /* auditors whose line is valid */
	unsigned quorum;         /* as asked: T's or the reader's, whichever is more */
	unsigned auditors;       /* as T lists */
	size_t n_trust;          /* the T chain that this head was reached by, T(1) first */
	struct envelope **trust; /* owned; the last one is current */
	struct envelope *reg;    /* owned */
	Poc__Proof *proof;       /* the proof that showed it, owned: checkpoint, map proofs of T and S */
	/* verify's own: the K that was verified last from proof, for a state's records stand together */
	struct envelope *keys;
	bool keys_replaced;
	struct envelope *staff; /* likewise K/@directory; NULL: not yet, or the proof lacks it */
};

struct verified_head *verified_head_ref(struct verified_head *head);
void verified_head_unref(struct verified_head *head);                         /* NULL allowed */
const struct envelope *verified_head_trust(const struct verified_head *head); /* the current T */

/* Steps 1 to 5.  known, n_known: the T chain that the reader holds, T(1) first (0: none; then the proof begins with
 * T(1), whose payload's hash is the pinned directory id); the proof's trust goes on after it.  known_register: the S
 * envelope the reader holds, NULL if none.  A complete proof's map root is recomputed here.  Takes proof over in any
 * case.  0 and *out. */
int verify_head(const struct verify_pins *pins, struct envelope *const *known, size_t n_known,
		const struct envelope *known_register, Poc__Proof *proof, struct verified_head **out,
		struct refusal *why);

/* A T that follows the known one by the quorums of both (section 15): the envelopes of transition->trust as trust[0 ...
 * n_trust - 1], the caller's (envelope_destroy), and the checkpoint that shows the last of them, whose consistency with
 * the head at hand is the caller's to check.  On failure there is nothing to free. */
int verify_transition(const struct envelope *known, const Poc__Transition *transition, struct envelope **trust,
		      struct checkpoint *checkpoint, struct refusal *why);

/* Steps 1 and 2, and that the STATE leaf is the log's last, of a proof without items: a verified log, whose map nobody
 * asks about (saved notices bring the maps of their own publications).  reg is NULL.  Takes proof over in any case. */
int verify_log(const struct verify_pins *pins, Poc__Proof *proof, struct verified_head **out, struct refusal *why);

/* S as such: of this directory, signed under a T. */
int verify_register(const struct hash *directory, const struct envelope *trust, const struct envelope *reg,
		    struct refusal *why);

/* Whether an item's map proof leads to root for its name; absent or *value. 0 or STATUS_UNVERIFIED. */
int verify_map(const struct hash *root, const Poc__Item *item, bool *absent, struct hash *value, struct refusal *why);

#endif
