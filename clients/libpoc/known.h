/* known: which states' authority keys were compared with the state itself, on the telephone or face to face, and when:
 * the file "known" in the folder of the held state, under its lock and written as it is.  Losing a line says no more
 * than that nobody compared; a file that cannot be read is an error, and never passes for that. */
#ifndef CLIENTS_LIBPOC_KNOWN_H
#define CLIENTS_LIBPOC_KNOWN_H

#include "clients/libpoc/held.h"
#include "clients/libpoc/poc.h"

struct known {
	char state[STATE_MAX_LENGTH + 1];
	uint64_t seq;          /* of the K that was looked at */
	struct hash authority; /* keys_authority of it */
	int64_t at;            /* when, seconds */
};

/* What is remembered of a state.  0, STATUS_NOT_FOUND (nothing), STATUS_DAMAGED, STATUS_IO. */
int known_find(const char *folder, const char *state, struct known *out, struct refusal *why);

/* Remembers it, in the place of what was remembered of that state.  0 when it is durable; TOO_LARGE, else as above. */
int known_note(const char *folder, const struct known *known, struct refusal *why);

/* Sets keys and keys_verified of a verdict about a record of the state, whose authority that is now. */
void known_judge(const char *folder, const char *state, const struct hash *authority, struct poc_verdict *verdict);

#endif
