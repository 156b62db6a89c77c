/* names: what a name of the directory looks like, and which payload type and limit belong to it.
 *
 *   T | S | K/<cc> | U/<cc> | U/<cc>/<unit> | R/<cc> | R/<cc>/<unit> | P/<cc> | D/<name>
 * cc = two capital letters, or @directory for K and U; unit and handle = [a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?. */
#ifndef PROTO_RULES_NAMES_H
#define PROTO_RULES_NAMES_H

#include <stdbool.h>
#include <stddef.h>

enum { NAME_MAX_LENGTH = 64, STATE_MAX_LENGTH = 10, UNIT_MAX_LENGTH = 40 };

#define STATE_DIRECTORY "@directory"

enum name_kind { NAME_TRUST = 1, NAME_REGISTER, NAME_KEYS, NAME_USERS, NAME_RECORD, NAME_PINGS, NAME_DOCUMENT };

struct name {
	enum name_kind kind;
	char text[NAME_MAX_LENGTH + 1];
	char state[STATE_MAX_LENGTH + 1]; /* empty for T, S; of D @directory, whose keys sign it */
	char unit[UNIT_MAX_LENGTH + 1];   /* or the document's name; empty if none */
};

/* Parses a name.  False if it is none. */
bool name_parse(const char *text, struct name *out);

/* Puts a name together; unit may be NULL or empty, state of D too.  False if the parts do not make one. */
bool name_make(enum name_kind kind, const char *state, const char *unit, struct name *out);

const char *name_type(enum name_kind kind);   /* application/vnd.pocd.keys.v1+protobuf ... */
size_t name_payload_max(enum name_kind kind); /* bytes: T, R 16 KiB; K 8; U, S 48; P 16 */

/* The state whose K says who may sign a version of the name: of P @directory, else the name's own.  Empty for T and S.
 */
const char *name_authority(const struct name *name);

bool state_code_valid(const char *text);   /* two capital letters */
bool state_valid(const char *text);        /* or @directory */
bool state_is_fictional(const char *text); /* XA to XZ */
bool handle_valid(const char *text);       /* handles, units, document names */
bool id_valid(const char *text);           /* [a-z0-9-]{1,40}: POC, channel, section ids */

/* A place as people write it on the wire: BR or BR/unit.  False if it is none. */
bool place_parse(const char *text, struct name *record);

#endif
