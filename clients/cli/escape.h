/* escape: text from others, made harmless for a terminal: controls, direction controls, invisible characters and bytes
 * that are not UTF-8 become visible escapes. */
#ifndef CLIENTS_CLI_ESCAPE_H
#define CLIENTS_CLI_ESCAPE_H

#include <stddef.h>

/* malloc'ed; NULL when out of memory.  Newlines are kept if multi_line, else escaped. */
char *escape_text(const char *text, int multi_line);

/* The same for JSON text, whose own layout stays: what is escaped in its strings is escaped as JSON does. */
char *escape_json(const char *text);

/* A text made harmless, of so many columns: filled up with blanks, or cut with "…" at its end.  malloc'ed; NULL when
 * out of memory. */
char *escape_column(const char *text, size_t width);

/* Columns that a text takes on a terminal (wide characters count two). */
size_t escape_width(const char *text);

#endif
