/* ini: INI files, strictly: a line that is too long for the parser, an indented line, a key that nobody knows is an
 * error that names the line (inih by itself splits long lines and reads the rest as another key).  A section may be
 * taken up again further down: a key belongs to the heading last seen. */
#ifndef POCD_BASE_INI_H
#define POCD_BASE_INI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire/status.h"

/* Called for each key.  Returns 0, or a status with *why (message only): the line is added. */
typedef int (*ini_key_fn)(void *ctx, const char *section, const char *key, const char *value, struct refusal *why);

/* Reads a file.  0, STATUS_IO, STATUS_NOT_FOUND, STATUS_INVALID; *why->message reads "FILE, line N: ...". */
int ini_read(const char *path, ini_key_fn each, void *ctx, struct refusal *why);

/* Values.  False if the text is none. */
bool ini_duration_ms(const char *text, uint64_t *out); /* 100ms, 5s, 10m, 24h, 7d; a plain 0 */
bool ini_size(const char *text, uint64_t *out);        /* bytes, or with K, M, G, T (1024) */
bool ini_unsigned(const char *text, uint64_t max, uint64_t *out);
bool ini_bool(const char *text, bool *out); /* yes, no, true, false, 1, 0 */

#endif
