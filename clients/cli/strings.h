/* strings: all text for people passes tr(), so that translations have one place to attach. */
#ifndef CLIENTS_CLI_STRINGS_H
#define CLIENTS_CLI_STRINGS_H

/* The text in the user's language; today every language is English. */
const char *tr(const char *text) __attribute__((format_arg(1)));

/* "40 s", "50 min", "5 h", "3 days" of a span of seconds; a buffer of the calling thread, four calls per line. */
const char *span_text(long long seconds);

/* RFC 3339 UTC; "-" for 0.  A buffer as above. */
const char *time_text(long long seconds);

/* Grouped capital base32, for ids and codes: first `bytes` of data.  out holds 2 * bytes + 8. */
void base32_text(const unsigned char *data, unsigned bytes, char *out);

#endif
