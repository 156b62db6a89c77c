/* threads: the notices of our desks by thread, and what a duty officer wants to know of each at a glance. */
#ifndef CLIENTS_POC_THREADS_H
#define CLIENTS_POC_THREADS_H

#include "clients/poc/duty.h"

struct thread {
	const struct desk *desk;         /* that has the first one; borrowed, like what follows */
	const struct desk_notice *first; /* the oldest that we have, a private note only if there is nothing else */
	size_t n, notes;                 /* notices, each once though several desks have it; private notes apart */
	int64_t activity;                /* when something was last sent or said in it */
	const char *taken_by;            /* who took one of them last; "": nobody has one */
	int64_t taken_at;
	int64_t reply_by; /* the first answer that is wanted of one that is open and has none; 0: none is */
	bool open;        /* the first one is, or one that we have received */
	bool overdue, alarm, wanted;
};

/* Which notices make their thread be listed. */
typedef bool (*threads_wanted)(const void *ctx, const struct desk *desk, const struct desk_notice *notice);

/* The threads with a notice that is wanted, the one of the newest activity last: at most limit, beside those with an
 * open emergency; *left_out: how many more.  0 and *out (free), or NO_MEMORY. */
int threads_list(const struct duty *duty, threads_wanted wanted, const void *ctx, size_t limit, struct thread **out,
		 size_t *n, size_t *left_out);

/* What our desks have of one thread, each notice once, oldest first: at the desk that received it, if one did.  0 and
 * *out (free), or NO_MEMORY. */
struct thread_member {
	struct desk *desk;
	struct desk_notice *notice;
};
int threads_members(const struct duty *duty, const struct notice_id *thread, struct thread_member **out, size_t *n);

void threads_print_head(void);

/* inner: of the first one; may be NULL. */
void threads_print(const struct thread *thread, const Poc__Inner *inner);
json_t *threads_json(const struct thread *thread, const Poc__Inner *inner);

#endif
