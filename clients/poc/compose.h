/* compose: what a notice is to say, put together from template, standard input, files, flags and $EDITOR. */
#ifndef CLIENTS_POC_COMPOSE_H
#define CLIENTS_POC_COMPOSE_H

#include "clients/poc/duty.h"

struct compose {
	json_t *given;               /* owned: fields of header and content, as JSON on standard input has them */
	Poc__NoticeContent *content; /* owned: message_free */
};
void compose_finish(struct compose *compose); /* zeroed memory allowed */

/* Reads the fields: template, then JSON on standard input, then flags (--text, --file, --subject, --ref).  subject:
 * where none is given; NULL: one is needed.  Text comes from standard input, or on a terminal from a form in $EDITOR,
 * where no flag gives it and asks is set.  0 or a status, printed. */
int compose_read(struct cli *cli, const char *subject, bool asks, struct compose *out);

/* A field of the header by its flag, else as it was given: NULL if it was not. */
const char *compose_field(const struct cli *cli, const struct compose *compose, const char *name);

/* category, urgency, tlp, exercise, reply_by: from their fields, where they are given.  0 or a status, printed. */
int compose_header(struct duty *duty, const struct compose *compose, struct client_notice *notice);

/* Desks named by a list of places and a kind.  0 or a status, printed. */
int compose_desks(struct cli *cli, const char *places, const char *kind, struct client_desk *out, size_t max,
		  size_t *n);

/* The desk that we speak for: ours of that kind, else our first.  0 or a status, printed. */
int compose_from(struct duty *duty, Poc__PocKind kind, struct client_desk *out);

#endif
