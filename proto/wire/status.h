/* status: the one list of outcomes: code on the wire, text, exit status, whether a retry may help.
 *
 * Every function of pocd that can fail for a reason that a person or a peer should learn returns 0 or one of these
 * codes.  Codes are stable: they travel in Error.code. */
#ifndef PROTO_WIRE_STATUS_H
#define PROTO_WIRE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>

/* X(symbol, code, "json-code", exit status, may retry, "text") */
#define STATUS_LIST(X)                                                                                                 \
	X(OK, 0, "ok", 0, false, "done")                                                                               \
	X(FAILED, 1, "failed", 1, false, "failed")                                                                     \
	X(USAGE, 2, "usage", 2, false, "wrong usage")                                                                  \
	X(UNREACHABLE, 3, "unreachable", 3, true, "no server can be reached")                                          \
	X(TLS, 4, "tls", 3, false, "the TLS connection failed")                                                        \
	X(DENIED, 5, "denied", 4, false, "not allowed")                                                                \
	X(NOT_FOUND, 6, "not-found", 5, false, "no such thing")                                                        \
	X(WITHDRAWN, 7, "withdrawn", 5, false, "withdrawn")                                                            \
	X(UNVERIFIED, 8, "unverified", 6, false, "a signature or proof does not verify")                               \
	X(STALE, 9, "stale", 7, false, "verified but stale")                                                           \
	X(SUSPENDED, 10, "suspended", 7, false, "the state is suspended")                                              \
	X(BEHIND, 11, "behind", 7, true, "the server is behind what is already known")                                 \
	X(QUEUED, 12, "queued", 8, false, "accepted for later, not yet confirmed")                                     \
	X(MALFORMED, 13, "malformed", 1, false, "malformed message")                                                   \
	X(INVALID, 14, "invalid", 1, false, "invalid value")                                                           \
	X(TOO_LARGE, 15, "too-large", 1, false, "too large")                                                           \
	X(CONFLICT, 16, "conflict", 1, false, "changed meanwhile by another")                                          \
	X(ORPHANS, 17, "orphans", 1, false, "would orphan what is signed by the dropped keys")                         \
	X(BUSY, 18, "busy", 1, true, "the server is busy")                                                             \
	X(STORAGE, 19, "storage", 1, true, "the server cannot store")                                                  \
	X(QUOTA, 20, "quota", 4, true, "quota reached")                                                                \
	X(EXPIRED, 21, "expired", 4, false, "expired")                                                                 \
	X(PROTOCOL, 22, "protocol", 3, false, "protocol version not supported")                                        \
	X(DIRECTORY, 23, "wrong-directory", 3, false, "the server serves another directory")                           \
	X(NO_MEMORY, 24, "no-memory", 1, true, "out of memory")                                                        \
	X(IO, 25, "io", 1, false, "input or output failed")                                                            \
	X(DAMAGED, 26, "damaged", 1, false, "stored data is damaged")                                                  \
	X(CLOCK, 27, "clock", 7, false, "the clock cannot be right")                                                   \
	X(STALE_KEY, 28, "stale-key", 1, true, "a reading key is not current")                                         \
	X(NO_READING_KEY, 29, "no-reading-key", 1, false, "the point of contact has no reading key")                   \
	X(MIRROR, 30, "mirror", 4, false, "the server is a mirror")

enum status {
#define STATUS_ENUM(sym, code, json, exit_status, retry, text) STATUS_##sym = (code),
	STATUS_LIST(STATUS_ENUM)
#undef STATUS_ENUM
};

/* Short stable name for JSON, e.g. "not-found".  Never NULL; "failed" for an unknown code. */
const char *status_name(int code);

/* Text for people, e.g. "no such thing".  Never NULL. */
const char *status_text(int code);

/* Exit status of the command-line programs, 0 to 8.  1 for an unknown code. */
int status_exit(int code);

/* Whether the same request may succeed later without change. */
bool status_may_retry(int code);

/* Why something was refused: what, where, in words.  Filled by validating functions; message and field are always
 * terminated, cut if need be.  Text from outside in them is not yet escaped for a terminal. */
struct refusal {
	int code;        /* enum status */
	char field[120]; /* path of the wrong field, e.g. pocs[0].sections[1].tlp; may be empty */
	char message[400];
	unsigned retry_ms; /* when trying again makes sense, where that is known; else 0 */
};

/* Fills *why (NULL allowed; always valid UTF-8, whatever it quotes) and returns code, so that `return refuse(why,
 * STATUS_INVALID, "tlp", "...")` reads well. */
int refuse(struct refusal *why, int code, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
