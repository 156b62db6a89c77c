/* frame: the 4-byte big-endian length before each message; and the version of the protocol that they are of. */
#ifndef PROTO_WIRE_FRAME_H
#define PROTO_WIRE_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum { PROTOCOL_VERSION = 1 };

enum {
	FRAME_HEADER = 4,
	FRAME_MAX = 64 * 1024,         /* a request */
	FRAME_MAX_SUBMIT = 192 * 1024, /* a Submit */
	FRAME_MAX_POST = 1016 * 1024,  /* a Post */
	FRAME_MAX_ANSWER = 1024 * 1024 /* an answer, as clients accept it */
};

/* Writes the header for a message of size bytes into out[4]. */
void frame_put_header(uint8_t out[FRAME_HEADER], uint32_t size);

/* Reads a header.  Returns the message's size, or -1 if it is 0 or above max. */
int32_t frame_get_header(const uint8_t in[FRAME_HEADER], uint32_t max);

/* Peeks at the start of a Request (as much of it as has arrived): the number of its body field, or 0 if that cannot be
 * told yet or the bytes are no request. */
uint32_t frame_request_type(const uint8_t *message, size_t size);

/* The most bytes that a Request of this type may have: lets the receiver hold each to its own ceiling before it has
 * arrived whole. */
uint32_t frame_request_max(uint32_t type);

#endif
