/* directory_internal: what directory.c and lookup.c share of a struct directory.  Nobody else includes it. */
#ifndef POCD_DIRECTORY_DIRECTORY_INTERNAL_H
#define POCD_DIRECTORY_DIRECTORY_INTERNAL_H

#include "pocd/directory/auditors.h"
#include "pocd/directory/directory.h"
#include "pocd/directory/holders.h"
#include "pocd/directory/readings.h"
#include "pocd/directory/writer.h"

struct directory {
	struct directory_options options;
	struct hash id;
	struct ledger *ledger;
	struct writer *writer;
	struct signers *signers;
	struct quota *quota, *changes; /* of notices, of changes */
	struct auditors *auditors;
	struct readings *readings; /* NULL in a copy of another server's directory */
	atomic_ullong lookups, cache_hits;
};

/* A record of a state was given to somebody: counted unless it is of the own state. */
void directory_note_reading(struct directory *directory, const struct principal *who, const char *state,
			    enum reading_way way);

#endif
