/* compose: what a notice is to say, put together from template, standard input, files, flags and $EDITOR. */
#ifndef CLIENTS_POC_COMPOSE_H
#define CLIENTS_POC_COMPOSE_H

#include "clients/cli/form.h"
#include "clients/poc/duty.h"

struct compose {
	json_t *given;               /* owned: fields of header and content, as form.h has them */
	json_t *declared;            /* owned: the template's own fields; NULL: there is no template */
	Poc__NoticeContent *content; /* owned: message_free */
	int64_t now;
	bool note;     /* a private one */
	char *written; /* owned: the file that was edited; NULL: none */
};

/* Zeroed memory allowed.  What was written in the editor goes when the notice is sent; else its file stays. */
void compose_finish(struct cli *cli, struct compose *compose, int status);

/* Reads the fields: template, then standard input, then flags, then the form in $EDITOR, where it is wanted.  subject:
 * where none is given; NULL: one is needed.  asks: standard input is read, unless it is a terminal, a flag names it
 * as a file, or --no-input is given: a form, or, where no flag gives it, the text alone; on a terminal the text comes
 * from the form.  A text beside that of a flag is refused, and an input that stays open and silent beside it, so that
 * nothing is sent without what was meant to go with it; so is what says nothing.  0 or a status, printed. */
int compose_read(struct duty *duty, enum form_use use, const char *subject, bool asks, struct compose *out);

/* A field of the header: NULL if it was not given. */
const char *compose_field(const struct compose *compose, const char *name);

/* category, urgency, tlp, exercise, reply_by: from their fields, where they are given.  0 or a status, printed. */
int compose_header(struct duty *duty, const struct compose *compose, struct client_notice *notice);

/* Desks named by a list of places and a kind.  0 or a status, printed. */
int compose_desks(struct cli *cli, const char *places, const char *kind, struct client_desk *out, size_t max,
		  size_t *n);

/* The desk that we speak for: ours of that kind, else our first.  0 or a status, printed. */
int compose_from(struct duty *duty, Poc__PocKind kind, struct client_desk *out);

#endif
