#include "pocd/directory/policy.h"

#include <stddef.h>

#define BIT(role) (1U << (role))

enum {
	STATE_READERS = BIT(POC__ROLE__ROLE_READER) | BIT(POC__ROLE__ROLE_OPERATOR) | BIT(POC__ROLE__ROLE_COORDINATOR) |
			BIT(POC__ROLE__ROLE_MIRROR),
	STAFF = BIT(POC__ROLE__ROLE_ADMIN) | BIT(POC__ROLE__ROLE_COORDINATOR) | BIT(POC__ROLE__ROLE_SERVICE),
	OF_DIRECTORY = STAFF | BIT(POC__ROLE__ROLE_SERVER),
	DUTY = BIT(POC__ROLE__ROLE_OPERATOR) | BIT(POC__ROLE__ROLE_COORDINATOR),
	OWN_PEOPLE = BIT(POC__ROLE__ROLE_READER) | DUTY,
	STAFF_DESK = BIT(POC__ROLE__ROLE_COORDINATOR) | BIT(POC__ROLE__ROLE_SERVICE)
};

/* Role bits of a state's users and of @directory's users that an operation asks for: one of them is enough.  An editor
 * of a unit counts as a reader whose AMBER sections are open. */
struct rule {
	unsigned state_own, state_other, directory;
	bool editor;
	const char *refused; /* the rule in words */
	bool desk;           /* also of @directory's users only the own */
	bool no_editor;      /* not for editors, who are their state's people otherwise */
};

static const struct rule rules[OP_COUNT] = {
    [OP_LOOKUP] = {STATE_READERS, STATE_READERS, OF_DIRECTORY, true, "looking up is for listed users"},
    [OP_USERS_READ] = {STATE_READERS, STATE_READERS, OF_DIRECTORY, true, "reading users is for listed users"},
    [OP_HISTORY] = {STATE_READERS, STATE_READERS, OF_DIRECTORY, true, "history is for listed users"},
    [OP_CHANGES] = {STATE_READERS, STATE_READERS, OF_DIRECTORY, true, "changes are for listed users"},
    [OP_SUBMIT] = {STATE_READERS, STATE_READERS, OF_DIRECTORY, true, "submitting is for listed users"},
    [OP_FOLLOW] = {BIT(POC__ROLE__ROLE_MIRROR), BIT(POC__ROLE__ROLE_MIRROR), BIT(POC__ROLE__ROLE_SERVER), false,
		   "the log is for mirrors and auditors: users with the role mirror, of @directory server", false,
		   true},
    [OP_STATS] = {0, 0, STAFF, false, "statistics are for the directory's staff"},
    [OP_SECTION_CLEAR] = {STATE_READERS, STATE_READERS, OF_DIRECTORY, true, "CLEAR is for listed users"},
    [OP_SECTION_GREEN] = {STATE_READERS, STATE_READERS, OF_DIRECTORY, true, "GREEN is for listed users"},
    [OP_SECTION_AMBER] = {OWN_PEOPLE, DUTY, BIT(POC__ROLE__ROLE_ADMIN) | BIT(POC__ROLE__ROLE_COORDINATOR), true,
			  "AMBER is for operators, coordinators and editors, and the own state"},
    [OP_SECTION_AMBER_STRICT] = {OWN_PEOPLE, 0, BIT(POC__ROLE__ROLE_ADMIN), false,
				 "AMBER+STRICT is for the own state and the directory's staff"},
    [OP_NOTICE_POST] = {DUTY, 0, STAFF_DESK, false, "notices and receipts come from operators of the own desk", true},
    [OP_NOTICE_READ] = {DUTY, 0, STAFF_DESK, false, "notices are for the operators of their desks", true},
    [OP_NOTICE_HEADERS] = {DUTY | BIT(POC__ROLE__ROLE_ALERT), 0, STAFF_DESK, false,
			   "headers of notices are for the operators and alerts of their desks", true},
    [OP_READERS] = {DUTY, 0, 0, false, "who has read a state's records is for its operators and coordinators", false,
		    true},
};

struct verdict policy_decide(const struct principal_facts *who, enum operation operation, enum relation relation)
{
	if ((unsigned)operation >= OP_COUNT)
		return (struct verdict){false, "no such operation"};
	if (operation == OP_TRUST_READ)
		return (struct verdict){true, "whoever has connected may read what proves the directory"};
	/* its auditors are heard by T: without them the quorum, and so the end of the suspension, may be out of reach
	 */
	bool heard = operation == OP_FOLLOW && !who->directory && (who->roles & BIT(POC__ROLE__ROLE_MIRROR)) != 0;
	if (who->suspended && !heard)
		return (struct verdict){false, "the state is suspended"};
	if (who->roles == 0 && !who->editor)
		return (struct verdict){
		    false, "the key is not listed in the users of the state that it names, or its time there is over"};
	const struct rule *rule = &rules[operation];
	if (rule->desk && relation != OBJECT_OWN)
		return (struct verdict){false, rule->refused};
	unsigned asked = who->directory           ? rule->directory
			 : relation == OBJECT_OWN ? rule->state_own
						  : rule->state_other;
	/* An editor is one of its state's people, so the own state's AMBER+STRICT is open to it like to them. */
	bool editor = who->editor && !who->directory && !rule->desk && !rule->no_editor &&
		      (rule->editor || (relation == OBJECT_OWN && rule->state_own != 0));
	if ((who->roles & asked) == 0 && !editor)
		return (struct verdict){false, rule->refused};
	return (struct verdict){true, "allowed"};
}

static const char *const names[OP_COUNT] = {
    [OP_TRUST_READ] = "trust-read",
    [OP_LOOKUP] = "lookup",
    [OP_USERS_READ] = "users-read",
    [OP_HISTORY] = "history",
    [OP_CHANGES] = "changes",
    [OP_SUBMIT] = "submit",
    [OP_FOLLOW] = "follow",
    [OP_STATS] = "stats",
    [OP_SECTION_CLEAR] = "section-clear",
    [OP_SECTION_GREEN] = "section-green",
    [OP_SECTION_AMBER] = "section-amber",
    [OP_SECTION_AMBER_STRICT] = "section-amber-strict",
    [OP_NOTICE_POST] = "notice-post",
    [OP_NOTICE_READ] = "notice-read",
    [OP_NOTICE_HEADERS] = "notice-headers",
    [OP_READERS] = "readers",
};

const char *operation_name(enum operation operation)
{
	return (unsigned)operation < OP_COUNT ? names[operation] : "unknown";
}

enum reader_class policy_mirror_class(const struct principal_facts *who, enum relation relation)
{
	if (who->suspended || !policy_decide(who, OP_FOLLOW, relation).allowed)
		return READER_PLAIN;
	return relation == OBJECT_OWN ? READER_OWN : READER_OPERATOR;
}

enum reader_class policy_reader_class(const struct principal_facts *who, enum relation relation)
{
	if (policy_decide(who, OP_SECTION_AMBER_STRICT, relation).allowed)
		return READER_OWN;
	if (policy_decide(who, OP_SECTION_AMBER, relation).allowed)
		return READER_OPERATOR;
	return READER_PLAIN;
}
