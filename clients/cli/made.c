#include "clients/cli/made.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void made_add(struct made *made, const char *path)
{
	char **paths = realloc(made->paths, (made->n + 1) * sizeof *paths);

	if (paths == NULL)
		return;
	made->paths = paths;
	paths[made->n] = strdup(path);
	if (paths[made->n] != NULL)
		made->n++;
}

void made_finish(struct made *made, bool keep)
{
	while (made->n > 0) {
		char *path = made->paths[--made->n];
		if (!keep)
			remove(path);
		free(path);
	}
	free(made->paths);
	made->paths = NULL;
}
