/* enrolment: the file by which a state joins: a Submit message (poc.proto) with its K(1) and U(1). */
#ifndef CLIENTS_LIBPOC_ENROLMENT_H
#define CLIENTS_LIBPOC_ENROLMENT_H

#include "proto/rules/envelope.h"

struct enrolment {
	struct envelope *keys, *users; /* owned */
};

/* malloc'ed bytes of the file.  0 or NO_MEMORY. */
int enrolment_encode(const ProtobufCBinaryData *keys, const ProtobufCBinaryData *users, uint8_t **out, size_t *size);

/* Reads and checks: K(1) and U(1) of one state, of this directory.  0, or a status with *why. */
int enrolment_decode(const uint8_t *bytes, size_t size, const struct hash *directory, struct enrolment *out,
		     struct refusal *why);
void enrolment_finish(struct enrolment *enrolment); /* zeroed memory allowed */

#endif
