/* directory_internal: what directory.c and lookup.c share of a struct directory.  Nobody else includes it. */
#ifndef POCD_DIRECTORY_DIRECTORY_INTERNAL_H
#define POCD_DIRECTORY_DIRECTORY_INTERNAL_H

#include "pocd/directory/auditors.h"
#include "pocd/directory/directory.h"
#include "pocd/directory/holders.h"
#include "pocd/directory/writer.h"

struct directory {
	struct directory_options options;
	struct hash id;
	struct ledger *ledger;
	struct writer *writer;
	struct signers *signers;
	struct quota *quota;
	struct auditors *auditors;
	atomic_ullong lookups, cache_hits;
};

#endif
