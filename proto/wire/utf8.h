/* utf8: whether bytes are well-formed UTF-8 (RFC 3629: shortest form, no surrogates, nothing above U+10FFFF). */
#ifndef PROTO_WIRE_UTF8_H
#define PROTO_WIRE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True if the bytes are UTF-8 and hold no NUL, so that they can be a C string.  Linear; no allocation. */
bool utf8_valid(const void *bytes, size_t size);

/* Reads the code point at the start of size bytes.  Returns its length, or 0 if there is none or it is malformed. */
size_t utf8_next(const void *bytes, size_t size, uint32_t *code_point);

/* Puts ? in the place of each byte of a string that is no UTF-8, as where a quotation was cut within a character: what
 * travels, is printed or stands in JSON must be. */
void utf8_mend(char *text);

#endif
