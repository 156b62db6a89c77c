/* draft: a record before it is signed, or after it was verified: places, POCs, sections with their content; and its
 * JSON form, schema poc.record/1, which lookup prints and publish takes. */
#ifndef CLIENTS_LIBPOC_DRAFT_H
#define CLIENTS_LIBPOC_DRAFT_H

#include <jansson.h>

#include "proto/rules/record.h"
#include "proto/rules/section.h"

struct draft_section {
	char name[41];
	Poc__Tlp tlp;
	Poc__Content *content; /* owned (message_free); NULL: withheld or erased */
	struct hash digest;    /* known when it came from a record */
	bool has_digest;
};

struct draft_poc {
	char id[41];
	Poc__PocKind kind;
	size_t n_sections;
	struct draft_section *sections;
};

/* The version of the record that a draft was made from. */
struct draft_base {
	bool known;        /* false: the draft does not say */
	uint64_t seq;      /* 0: from nothing, there was no record */
	struct hash value; /* of the envelope; zeros for seq 0 */
};

struct draft {
	struct name name; /* R/BR */
	bool withdrawn;
	int64_t issued, confirmed, expires; /* of a verified record; 0 in a draft: expires may be wished for */
	struct draft_base base;
	size_t n_pocs;
	struct draft_poc *pocs;
	size_t n_sections; /* of the record itself */
	struct draft_section *sections;
};

struct draft *draft_create(void);
void draft_destroy(struct draft *draft); /* NULL allowed */

/* Takes a POC out.  False if the draft has none of that id. */
bool draft_remove_poc(struct draft *draft, const char *id);

/* From a verified record and the section bytes that came with it (in any order; missing ones become NULL content). */
int draft_from_record(const Poc__Record *record, const ProtobufCBinaryData *sections, size_t n, struct draft **out,
		      struct refusal *why);

/* The same from a verified envelope of a record, which becomes the draft's base. */
int draft_from_envelope(const struct envelope *envelope, const ProtobufCBinaryData *sections, size_t n,
			struct draft **out, struct refusal *why);

/* Forgets the digests of sections whose content is at hand. */
void draft_forget_digests(struct draft *draft);

/* Forgets the base, and what goes with it: those digests, and an expiry, which is that of the base. */
void draft_forget_base(struct draft *draft);

/* JSON (schema poc.record/1), owned by the caller (json_decref).  NULL when out of memory. */
json_t *draft_to_json(const struct draft *draft);

/* Reads the JSON form; also a whole lookup document ("record" inside).  Strict: an unknown key, a wrong type, a bad
 * value is refused with its path, in either.  Applies the default labels where "tlp" is missing: persons AMBER, else
 * GREEN. */
int draft_from_json(const json_t *json, struct draft **out, struct refusal *why);

/* Checks the whole draft by the rules of record and section. */
int draft_check(const struct draft *draft, struct refusal *why);

/* Checks what the rules leave open and a person who publishes would rather know: that each POC can be reached (a
 * channel or a web site, at hand or withheld), that languages are tags and not their names, and that this machine knows
 * the time zones.  INVALID, with the field. */
int draft_check_use(const struct draft *draft, struct refusal *why);

/* Makes the record payload and its section bytes.  A section whose content equals that of prev (the current record with
 * its section bytes, NULL: none) keeps its old bytes and digest, so that nothing changes that did not change.  A digest
 * that the draft gives and that is not the present one of that section is refused.  head is
 * filled in: seq, prev by the caller's values.  On 0 *record (message_free) and *sections (n of malloc'ed bytes, freed
 * with draft_sections_free) are the caller's. */
struct draft_sections {
	size_t n;
	struct {
		uint8_t *bytes;
		size_t size;
	} * items;
};
void draft_sections_free(struct draft_sections *sections);
int draft_build(const struct draft *draft, const struct hash *directory, uint64_t seq, const struct hash *prev,
		const Poc__Record *prev_record, const ProtobufCBinaryData *prev_sections, size_t n_prev_sections,
		int64_t now, Poc__Record **record, struct draft_sections *sections, struct refusal *why);

#endif
