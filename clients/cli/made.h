/* made: what a run has made so far, so that one which fails leaves nothing half done behind. */
#ifndef CLIENTS_CLI_MADE_H
#define CLIENTS_CLI_MADE_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed: nothing was made. */
struct made {
	size_t n;
	char **paths;
};

/* Notes a file or a folder that this run has just made; copies the path.  Without memory it is not noted, and stays. */
void made_add(struct made *made, const char *path);

/* Forgets all; unless keep, first takes it away again, the newest first.  A folder goes only if nothing else is in it.
 */
void made_finish(struct made *made, bool keep);

#endif
