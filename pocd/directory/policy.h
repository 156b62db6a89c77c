/* policy: who may do what: one pure function over facts.  docs/policy.md shows its whole table;
 * tests/unit/test_policy.c walks it. */
#ifndef POCD_DIRECTORY_POLICY_H
#define POCD_DIRECTORY_POLICY_H

#include <stdbool.h>

#include "proto/rules/section.h"
#include "proto/rules/users.h"

enum operation {
	OP_TRUST_READ, /* T, S, K, U/@directory, head: whoever has connected */
	OP_LOOKUP,     /* records and sections by label */
	OP_USERS_READ, /* U of a state: handles, keys */
	OP_HISTORY,
	OP_CHANGES, /* sync */
	OP_SUBMIT,  /* relay signed envelopes */
	OP_FOLLOW,  /* the log itself, and cosignatures */
	OP_STATS,
	OP_SECTION_CLEAR,
	OP_SECTION_GREEN,
	OP_SECTION_AMBER,
	OP_SECTION_AMBER_STRICT,
	OP_NOTICE_POST,    /* notices and receipts in the name of an own desk */
	OP_NOTICE_READ,    /* an own desk's feed, stories and bodies */
	OP_NOTICE_HEADERS, /* headers of what an own desk receives */
	OP_READERS,        /* who has read the state's records */
	OP_COUNT
};

enum relation {
	OBJECT_OWN,
	OBJECT_OTHER
}; /* of the principal's state; @directory's objects are OTHER to states.  A
      desk is OWN to those whom the U of its place lists for its kind */

struct verdict {
	bool allowed;
	const char *rule; /* for log and message, e.g. "AMBER is for operators, coordinators and editors" */
};

/* roles: bit set of 1 << Role; 0: not listed in the U of the state it names. directory: of @directory. editor: holds an
 * editor key of a unit. suspended: its state is. */
struct principal_facts {
	unsigned roles;
	bool directory;
	bool editor;
	bool suspended;
};

struct verdict policy_decide(const struct principal_facts *who, enum operation operation, enum relation relation);

const char *operation_name(enum operation operation);

/* The sections of own or another state's records that a follower is given, for those whom it serves: what an operator
 * of its state may see; while the state is suspended CLEAR and GREEN. */
enum reader_class policy_mirror_class(const struct principal_facts *who, enum relation relation);

/* The reader class for sections of a record of own or another state. */
enum reader_class policy_reader_class(const struct principal_facts *who, enum relation relation);

#endif
