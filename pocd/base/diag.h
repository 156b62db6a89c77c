/* diag: the log: one line an event, as text (time level event key=value ...) or JSON.  Thread-safe.  Values are
 * escaped, so that nothing from outside can forge or break a line. */
#ifndef POCD_BASE_DIAG_H
#define POCD_BASE_DIAG_H

#include <stdatomic.h>
#include <stdbool.h>

enum diag_level { DIAG_DEBUG, DIAG_INFO, DIAG_WARNING, DIAG_ERROR };

struct diag_options {
	enum diag_level level; /* lines below it are dropped */
	bool json;
	const char *file; /* appended to, mode 0640; NULL: stderr */
};

/* Applies options; may be called again at any time (reload; reopens the file).  0, or -1 when the file cannot be
 * opened: then everything stays as it was. */
int diag_configure(const struct diag_options *options);

/* Logs an event: name, then pairs of const char * key and value, ended by NULL.  A NULL value is left out.
 *   diag(DIAG_INFO, "conn.open", "peer", address, NULL); */
void diag(enum diag_level level, const char *event, ...) __attribute__((sentinel));

bool diag_level_parse(const char *text, enum diag_level *out); /* debug, info, warning, error */

/* For events that strangers can cause at will: at most one line a second, which says how many there were.  Counts one;
 * returns how many since the last line if another is due, else 0.  Zeroed at first; any thread. */
struct diag_rate {
	atomic_ullong last_ms;
	atomic_uint n;
};
unsigned diag_rate(struct diag_rate *rate);

/* Renders a number for diag in a buffer of the calling thread; four calls per line. */
const char *diag_number(unsigned long long value);

#endif
