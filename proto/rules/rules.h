/* rules: small helpers that every payload's rules share: heads, key lists, texts, times. */
#ifndef PROTO_RULES_RULES_H
#define PROTO_RULES_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/keys/crypto.h"
#include "proto/rules/payload.pb-c.h"
#include "proto/wire/status.h"

/* Fills an initialised Head; directory_id, prev point into the caller's memory, which must outlive its packing.  For
 * seq 1 prev may be NULL (32 zeros); directory NULL only for T(1). */
void head_fill(Poc__Head *head, const struct hash *directory, const char *name, uint64_t seq, const struct hash *prev);

/* Parses a payload's key list into fresh memory (free()).  Refuses duplicates and more than max. */
int key_list_parse(Poc__Key *const *keys, size_t n, size_t max, const char *field, struct public_key **out,
		   struct refusal *why);

/* The same for a list of a parsed envelope's payload, which has passed key_list_parse then: nothing is checked again.
 * NULL when out of memory. */
struct public_key *key_list_again(Poc__Key *const *keys, size_t n);

/* UTF-8 text: valid, no control character but those of its form, no bidi control, no lone surrogate, no noncharacter;
 * at most max code points; not empty.  field names it in *why. */
enum text_form {
	TEXT_LINE,  /* no control character */
	TEXT_LINES, /* newlines */
	TEXT_LOGS   /* newlines and tabs: what people paste into notices */
};
int text_check(const char *text, size_t max_code_points, enum text_form form, const char *field, struct refusal *why);

bool text_has_latin(const char *text);     /* at least one Latin letter or an ASCII digit */
bool language_tag_valid(const char *tag);  /* well-formed BCP 47 (RFC 5646 section 2.1), at most 35 characters */
bool date_valid(const char *text);         /* YYYY-MM-DD of the proleptic Gregorian calendar */
bool partial_date_valid(const char *text); /* YYYY, YYYY-MM or YYYY-MM-DD */
bool e164_valid(const char *text);         /* +, then 4 to 15 digits, the first not 0 */
bool mailbox_valid(const char *text);      /* ASCII local@domain, RFC 5321 dot-string, at most 254 characters */
bool domain_valid(const char *text);       /* lower-case ASCII LDH labels, at least two, at most 253 characters */
bool top_domain_valid(const char *text);   /* one label: letters a to z ("br"), or an A-label (xn--...) */
bool url_valid(const char *text);          /* http(s)://host..., printable ASCII, at most 500 characters */
bool cidr_valid(const char *text);         /* canonical IPv4 or IPv6 prefix, host bits zero */
bool zone_valid(const char *text);         /* looks like an IANA zone name: Area/Place, UTC; no ".." */

#endif
