/* publish: what publish and edit share. */
#ifndef CLIENTS_POC_PUBLISH_H
#define CLIENTS_POC_PUBLISH_H

#include "clients/cli/command.h"
#include "clients/libpoc/draft.h"

/* Reads and checks a draft file: JSON, or a whole lookup document; lines that begin with # are comments.  NULL when it
 * is none: the error is printed, cli->code says which. */
struct draft *publish_read(struct cli *cli, const char *path);

/* DENIED, printed, if the configuration speaks for another state. */
int publish_own_place(struct cli *cli, const struct name *name);

/* Shows the change, asks, signs, publishes.  CONFLICT if the record is no longer the version that the draft was made
 * from. */
int publish_draft(struct cli *cli, struct draft *draft);

#endif
