/* transitions: the way from an older T to the current one where T's auditors have changed meanwhile (protocol.md
 * section 15): checkpoints of the past that have the quorum of the T that leads to them and of the one they lead to. */
#ifndef POCD_DIRECTORY_TRANSITIONS_H
#define POCD_DIRECTORY_TRANSITIONS_H

#include "pocd/ledger/ledger.h"

enum { TRANSITIONS_MAX = 16 };

struct transition {
	uint64_t trust_seq; /* the T that it leads to */
	uint64_t trust_leaf;
	uint64_t number; /* its publication */
};

/* The way from T(held_seq) to a snapshot, which has its holders: *n of them.  None is needed where the checkpoint
 * itself has the quorum of the T that is held; none is given where there is no way.  0 or STATUS_DAMAGED. */
int transitions_find(struct store_view *view, uint64_t held_seq, const struct snapshot *to,
		     struct transition out[TRANSITIONS_MAX], size_t *n);

/* For ledger_options.cosigned, ctx the store: quorum_serves, or the checkpoint has its own quorum and there is a way to
 * it from the T of what is served: so for a mirror that was away when the auditors changed. */
bool transitions_serve(void *ctx, const struct snapshot *served, const struct snapshot *next);

#endif
