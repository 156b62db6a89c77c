/* prescan: looks through protobuf bytes before protobuf-c sees them, without allocating.
 *
 * protobuf-c merges repeated singular submessages in quadratic time, knows no depth limit, multiplies memory and keeps
 * unknown fields.  The pre-scan walks the bytes once, in linear time, guided by the generated message descriptor, and
 * accepts only the one canonical encoding (docs/protocol.md, "Canonical bytes"):
 *   - fields in ascending order of number, every one known to the descriptor, with the wire type of its declaration;
 *   - a singular field at most once, at most one member of a oneof; elements of a repeated field next to each other;
 *   - varints minimal; bool only 1; uint32 and enum values within 32 bits and enum values known;
 *   - no singular scalar, string or bytes field (oneof members apart) that holds its default (0, false, empty);
 *   - repeated numbers packed, not empty;
 *   - strings valid UTF-8 without NUL; no group; nothing after the end. */
#ifndef PROTO_WIRE_PRESCAN_H
#define PROTO_WIRE_PRESCAN_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire/status.h"

struct prescan_limits {
	unsigned depth;  /* submessages within submessages, at most 8 */
	unsigned fields; /* fields in all, at all levels */
	size_t memory;   /* what unpacking may take: estimated from descriptor sizes during the scan */
};

extern const struct prescan_limits prescan_default; /* depth 8, 8,192 fields, 2 MiB */

/* Checks size bytes against a message type.  Returns 0, or STATUS_MALFORMED or STATUS_TOO_LARGE with *why filled (the
 * field path names the first offence).  limits NULL: prescan_default. */
int prescan(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size,
	    const struct prescan_limits *limits, struct refusal *why);

/* prescan, then unpack.  On 0 *out is owned by the caller: message_free.  STATUS_NO_MEMORY is possible as well. */
int message_decode(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size,
		   const struct prescan_limits *limits, ProtobufCMessage **out, struct refusal *why);

/* Frees what message_decode gave.  NULL allowed. */
void message_free(void *message);

/* The same with room of the caller's own (on its stack) for small messages: one that fits needs no allocation and
 * nothing to be freed.  The room must live as long as the message. */
struct message_room {
	_Alignas(max_align_t) uint8_t bytes[1024];
	size_t used;
	bool spilled; /* something did not fit */
};
int message_decode_in(struct message_room *room, const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
		      size_t size, const struct prescan_limits *limits, ProtobufCMessage **out, struct refusal *why);
void message_free_in(struct message_room *room, void *message);

/* Packs a message into fresh memory (malloc; the caller frees).  Canonical if the message's repeated fields are ordered
 * as its rules say.  Returns 0 or STATUS_NO_MEMORY. */
int message_encode(const void *message, uint8_t **out, size_t *size);

#endif
