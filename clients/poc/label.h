/* label: whether something would travel further than the sender's TLP label of a notice says; who goes on is asked. */
#ifndef CLIENTS_POC_LABEL_H
#define CLIENTS_POC_LABEL_H

#include "clients/poc/duty.h"

/* Whether a desk is none of those that the label is for: of TLP:RED the sender's, the recipients' and those of
 * escalations that were released, of TLP:AMBER+STRICT any desk of their places; wider labels are for whoever needs it.
 */
bool label_excludes(const struct desk_notice *notice, const struct client_desk *desk);

/* Asks whether a notice is to be passed on to desks that its label excludes; a dry run only says it.  0: go on; else a
 * status, printed. */
int label_pass_on(struct duty *duty, const struct desk_notice *notice, const struct client_desk *desks, size_t n);

/* The same of an answer with a wider label than that of a notice from others. */
int label_answer(struct duty *duty, const struct desk_notice *notice, Poc__NoticeTlp tlp);

#endif
