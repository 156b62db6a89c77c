/* waiting: what the outbox holds, for those who ask what became of it: signed and kept here, and not stored in the
 * directory yet, or refused and not discarded yet. */
#ifndef CLIENTS_POC_WAITING_H
#define CLIENTS_POC_WAITING_H

#include "clients/poc/duty.h"

enum { WAITING_WHY = 512 };

struct waiting_notice {
	struct notice *notice;
	Poc__Inner *inner; /* NULL: no reading key of ours opens it */
	bool refused;      /* it waits for nothing any more */
	int64_t since;
	int status; /* of the last attempt; QUEUED and "": there was none yet */
	char why[WAITING_WHY];
};
void waiting_finish(struct waiting_notice *w); /* zeroed memory allowed */

/* The notice that waits, or was refused, under an id, or the start of one.  0 and *out; NOT_FOUND or USAGE (several),
 * not printed. */
int waiting_find(struct duty *duty, const char *prefix, struct waiting_notice *out);

/* Each notice that waits, oldest first, then each that was refused, with its content where a key of ours opens it; each
 * may take it and leave zeros. */
typedef void (*waiting_each)(void *ctx, struct waiting_notice *w);
void waiting_walk(struct duty *duty, waiting_each each, void *ctx);

/* What it says as a form in JSON, with its attachments, and the command that takes it, to be said anew: malloc; NULL
 * when no key of ours opens it, when it passes another notice on, which only its own command does, or out of memory. */
enum { WAITING_COMMAND = 120 };
char *waiting_form(const struct waiting_notice *w);
void waiting_command(const struct waiting_notice *w, char out[WAITING_COMMAND]);

/* The "code" of why one waits: null where it was not tried yet. */
json_t *waiting_code(int status, const char *why);

/* {"id", "what", "desk", "to", "exercise", "since", "file", "code", "message"} of all that waits, receipts too; in text
 * mode, if asked, a line of each on stdout as well.  The caller's. */
json_t *waiting_list(struct cli *cli, struct poc *poc, bool lines);

/* Those of such a list that are receipts of a notice, by one desk (NULL: by any): it does not stand where they will
 * bring it.  A list of its own, the caller's.  waiting_since: "accepted, since TIME: not stored yet: WHY" of one;
 * malloc, NULL when out of memory. */
json_t *waiting_receipts(const json_t *list, const struct notice *notice, const struct client_desk *desk);
char *waiting_since(const json_t *one);

/* What was refused and not discarded yet: a line of each on stdout, or in JSON mode none; list (NULL allowed) gets
 * {"id", "what", "to", "subject", "file", "exercise", "code", "message"} of each.  keys: NULL where none are open: then
 * they are opened if something was refused.  0: nothing was; else the status of the first. */
int waiting_refused(struct cli *cli, struct poc *poc, const struct link_keys *keys, json_t *list);

#endif
