/* judge: whether a version may follow what stands: one pure function over facts, the same for the writer, who judges
 * what arrives, and for the check of a whole history. */
#ifndef POCD_DIRECTORY_JUDGE_H
#define POCD_DIRECTORY_JUDGE_H

#include "proto/rules/envelope.h"

enum { SIGNER_CLOCK_LEEWAY = 600 }; /* seconds that a signer's clock may be ahead of ours, in whatever is submitted */

struct judge_facts {
	const struct envelope *trust;      /* current T; NULL only for T(1) */
	const struct envelope *reg;        /* current S; NULL before S(1) */
	const struct envelope *keys;       /* current K of the name's authority; NULL: none */
	const struct envelope *unit_users; /* current U/<cc>/<unit>, for a unit's R; NULL: none */
	const struct envelope *prev; /* what the version replaces; only name, seq and value are read of U, R, D and P;
					NULL: nothing */
	int64_t time;                /* seconds: of the leaf */
	bool suspended;              /* the authority is */
	bool
	    replacing; /* T lists a replacement of the authority that has not come yet: no other K may come before it */
};

/* 0, STATUS_CONFLICT (seq or prev), STATUS_UNVERIFIED, STATUS_SUSPENDED, STATUS_INVALID with *why. */
int judge(const struct judge_facts *facts, const struct envelope *next, struct refusal *why);

/* Whether a U, R or D is authorised by these keys, whatever it replaces. */
bool judge_authorised(const struct envelope *trust, const struct envelope *keys, const struct envelope *unit_users,
		      const struct envelope *envelope);

/* Whether an S carries the enrolment signatures that T asks for. */
bool judge_enrolled(const struct envelope *trust, const struct envelope *reg);

#endif
