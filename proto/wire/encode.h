/* encode: canonical protobuf bytes written field by field, for what is encoded often or shared (answers, snapshot
 * heads), where building a tree of messages first would cost more than the answer.
 *
 * The caller writes fields in ascending order and leaves out defaults, as payload.proto asks; encode_uint and
 * encode_bytes leave out 0 and empty by themselves. */
#ifndef PROTO_WIRE_ENCODE_H
#define PROTO_WIRE_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VARINT_MAX = 10 };

/* Writes a varint of at most VARINT_MAX bytes and returns how many. */
size_t varint_put(uint8_t *out, uint64_t value);

struct encoder {
	uint8_t *bytes; /* malloc; taken by the caller or freed by encode_finish */
	size_t size, capacity;
	bool failed; /* out of memory: what was written is incomplete */
};

/* Starts with room for so many bytes. */
void encode_init(struct encoder *encoder, size_t room);
void encode_finish(struct encoder *encoder);

void encode_varint(struct encoder *encoder, uint64_t value);
void encode_raw(struct encoder *encoder, const void *bytes, size_t size);

void encode_uint(struct encoder *encoder, unsigned field, uint64_t value);
void encode_bytes(struct encoder *encoder, unsigned field, const void *bytes, size_t size);
void encode_text(struct encoder *encoder, unsigned field, const char *text);
/* An element of a repeated field: written even if it is empty. */
void encode_element(struct encoder *encoder, unsigned field, const void *bytes, size_t size);

/* Takes back what was written since the encoder had this size. */
void encode_back(struct encoder *encoder, size_t size);

/* A submessage, or bytes put together in place: begin, write its inside, end with what begin gave. */
size_t encode_begin(struct encoder *encoder, unsigned field);
void encode_end(struct encoder *encoder, size_t begin);

#endif
