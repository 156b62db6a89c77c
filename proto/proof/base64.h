/* base64: strict standard base64 (RFC 4648 section 4): padding required, no white space, spare bits zero, so that each
 * byte string has exactly one text. */
#ifndef PROTO_PROOF_BASE64_H
#define PROTO_PROOF_BASE64_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BASE64_LENGTH(bytes) (((bytes) + 2) / 3 * 4)

/* Writes BASE64_LENGTH(size) characters and a NUL into out, which holds out_size bytes.  Returns the length without the
 * NUL, or -1 if out is too small. */
ssize_t base64_encode(const uint8_t *bytes, size_t size, char *out, size_t out_size);

/* Decodes length characters.  Returns the number of bytes, or -1 if the text is not canonical or out is too small. */
ssize_t base64_decode(const char *text, size_t length, uint8_t *out, size_t out_size);

#endif
