/* scan: goes through the sections that a stored record calls for, straight from its envelope's bytes.  They were
 * checked when they were accepted, so this reads no more than it needs; it still never leaves the bytes. */
#ifndef POCD_DIRECTORY_SCAN_H
#define POCD_DIRECTORY_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rules/payload.pb-c.h"

struct scanned_section {
	const char *name; /* not terminated */
	size_t name_size;
	Poc__Tlp tlp;
	const uint8_t *digest; /* 32 bytes */
	bool own;              /* of the record itself, not of a POC */
};

/* Calls each for every section, in the order of the digests in the record, until it returns non-zero, which is then
 * returned.  0 at the end, STATUS_DAMAGED if the bytes are no record's envelope. */
int scan_sections(const uint8_t *envelope, size_t size, int (*each)(void *ctx, const struct scanned_section *section),
		  void *ctx);

/* Whether a stored record's envelope says that the record is withdrawn. */
bool scan_withdrawn(const uint8_t *envelope, size_t size);

#endif
