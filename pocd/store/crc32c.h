/* crc32c: the Castagnoli checksum (RFC 3720 section 12.1), by the processor's instruction where it has one. */
#ifndef POCD_STORE_CRC32C_H
#define POCD_STORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues crc (0 at first) over bytes. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);

#endif
