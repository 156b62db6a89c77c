/* section: rules of section bytes: the labelled, salted parts of a record that travel beside it. */
#ifndef PROTO_RULES_SECTION_H
#define PROTO_RULES_SECTION_H

#include <time.h>

#include "proto/proof/hash.h"
#include "proto/rules/envelope.h"

enum { SECTION_MAX = 8 * 1024, SECTION_UNITS_MAX = 48 * 1024, SECTIONS_TOTAL_MAX = 24 * 1024 };

/* Parses and validates section bytes of a record (its name, directory id).  0 and *out (message_free). */
int section_parse(const uint8_t *bytes, size_t size, Poc__Section **out, struct refusal *why);

/* Whether a parsed section is the one that ref of a POC (poc_id; "" for the record itself) asks for: directory, record
 * name, POC, section name, digest. */
bool section_matches(const Poc__Section *section, const struct hash *digest, const struct hash *directory,
		     const char *record, const char *poc_id, const Poc__SectionRef *ref);

/* Validates the content alone (drafts). kind of names as *why names fields: "channels[2].value". */
int content_check(const Poc__Content *content, bool is_units, struct refusal *why);

/* Packs a section with a fresh random salt.  0 and *bytes (malloc). */
int section_make(const struct hash *directory, const char *record, const char *poc_id, const char *name,
		 const Poc__Content *content, uint8_t **bytes, size_t *size, struct refusal *why);

/* Who may see a section (protocol.md section 9). */
enum reader_class {
	READER_PLAIN,    /* any user: CLEAR, GREEN */
	READER_OPERATOR, /* operators, coordinators, editors of any state: AMBER too */
	READER_OWN       /* own state's users and directory's staff: AMBER+STRICT too */
};

bool section_entitled(Poc__Tlp tlp, enum reader_class reader);
const char *tlp_name(Poc__Tlp tlp);              /* "TLP:CLEAR" ... */
bool tlp_parse(const char *text, Poc__Tlp *out); /* with or without "TLP:", any case; WHITE is CLEAR */

/* ---- Hours */

struct opening {
	bool known; /* false: no hours given */
	bool open;
	int64_t changes_at; /* next opening or closing, seconds; 0: not within 14 days */
	struct tm local;    /* the time there */
};

/* State of hours at now (seconds), by the system's time zone database.  False if the zone is unknown there. */
bool hours_at(const Poc__Hours *hours, int64_t now, struct opening *out);

#endif
