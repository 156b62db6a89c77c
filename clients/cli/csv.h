/* csv: writing CSV (RFC 4180) that is safe to open: no field is a formula to a spreadsheet. */
#ifndef CLIENTS_CLI_CSV_H
#define CLIENTS_CLI_CSV_H

#include <stdbool.h>
#include <stdio.h>

/* A field in quotes, and what ends it: the line's last one a line feed, others a comma.  What would be a formula gets
 * an apostrophe before it, as spreadsheets do themselves; a telephone number (+ and digits) is none. */
void csv_field(FILE *out, const char *text, bool last);

#endif
