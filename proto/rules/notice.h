/* notice: an incident-notification message: its header envelope, which travels in the clear, and its body, which only
 * the desks' reading keys open (docs/protocol.md, "Notices").
 *
 * The order in which a reader trusts: header signature, body hash, form of the CMS, inner hash, core, content. */
#ifndef PROTO_RULES_NOTICE_H
#define PROTO_RULES_NOTICE_H

#include "proto/keys/keystore.h"
#include "proto/proof/hash.h"
#include "proto/rules/names.h"
#include "proto/rules/notice.pb-c.h"
#include "proto/wire/status.h"

enum {
	NOTICE_ID_SIZE = 16,
	NOTICE_HEADER_MAX = 64 * 1024, /* the envelope's bytes */
	NOTICE_BODY_MAX = 1000 * 1024,
	NOTICE_DESKS_MAX = 16,
	NOTICE_DESK_KEYS_MAX = 32,
	NOTICE_ESCALATIONS_MAX = 4,
	NOTICE_AHEAD_MAX =
	    3653 * 86400 /* seconds: no time that is wanted or promised lies further ahead than ten years */
};

#define NOTICE_TYPE "application/vnd.pocd.notice.v1+protobuf"

struct notice_id {
	uint8_t bytes[NOTICE_ID_SIZE];
};

/* A parsed header envelope; header and core obey all rules that need nothing else. */
struct notice {
	struct hash hash;  /* SHA-256 of the envelope bytes */
	struct hash event; /* what ANCHOR leaves hold: hash_event of the envelope bytes */
	struct notice_id id, thread;
	const uint8_t *bytes; /* the very bytes received; owned */
	size_t size;
	struct name users; /* U/<from.place>: who may have signed */
	Poc__Envelope *outer;
	Poc__Notice *header;
	Poc__Core *core;
};

/* 0 and *out (notice_destroy), or STATUS_MALFORMED, STATUS_INVALID, STATUS_TOO_LARGE, STATUS_NO_MEMORY with *why. */
int notice_parse(const uint8_t *bytes, size_t size, struct notice **out, struct refusal *why);
void notice_destroy(struct notice *notice); /* NULL allowed */

/* Whether this key signed it.  allowed: algorithms of T, as in envelope_count. */
bool notice_signed_by(const struct notice *notice, const struct public_key *key, unsigned allowed);

/* Whether U lists the signer: the user of core.handle, whose key signed, who is an operator or coordinator (service of
 * @directory), serves from.kind and is not past not_after at a time.  0, STATUS_UNVERIFIED or STATUS_DENIED with *why.
 * *user (NULL allowed) is borrowed from users. */
int notice_authorised(const struct notice *notice, const Poc__Users *users, unsigned allowed, int64_t time,
		      const Poc__User **user, struct refusal *why);

/* Whether a desk is the sender's, a recipient or an escalation's. */
enum notice_side { SIDE_NONE, SIDE_FROM, SIDE_TO, SIDE_ESCALATION };
enum notice_side notice_side(const struct notice *notice, const char *place, Poc__PocKind kind);

/* Whether a place and kind can be a desk (@directory has the coordinator's only), and the U that lists its users. */
bool desk_valid(const char *place, Poc__PocKind kind);
bool desk_users(const char *place, struct name *out);

/* Whether the body is the header's: size, hash, and the form of its CMS with exactly the keys of all desks.  0 or
 * STATUS_INVALID. */
int notice_check_body(const struct notice *notice, const uint8_t *body, size_t size, struct refusal *why);

/* Opens the body with a reading key and checks it against the header: notice_check_body, decryption, inner hash, core,
 * rules of the content.  0 and *out (message_free), or STATUS_UNVERIFIED. */
int notice_open(const struct notice *notice, const uint8_t *body, size_t size, const struct keystore_key *key,
		Poc__Inner **out, struct refusal *why);

/* Rules of the content alone (drafts). */
int notice_content_check(const Poc__NoticeContent *content, struct refusal *why);

/* ---- Making */

/* A desk with the public reading keys behind core's hashes. */
struct notice_keys {
	const struct public_key *keys;
	size_t n;
};

/* Seals the content, fills core's key lists from keys (from, then to in order, then escalations in order: 1 +
 * core->n_to + core->n_escalations entries), pads, signs.  core->id and core->thread are given by the caller
 * (notice_new_id).  0 and header and body bytes (malloc). */
int notice_make(Poc__Core *core, const Poc__NoticeContent *content, const struct notice_keys *keys,
		const struct keystore_key *signer, uint8_t **header, size_t *header_size, uint8_t **body,
		size_t *body_size, struct refusal *why);

int notice_new_id(struct notice_id *out); /* random; 0 or STATUS_FAILED */

/* Ids as people see them: base32 in groups of four (26 digits).  A prefix of four digits or more, with or without
 * hyphens, any case, is matched by notice_id_matches. */
enum { NOTICE_ID_TEXT = 26 + 6 + 1 };
void notice_id_print(const struct notice_id *id, char out[NOTICE_ID_TEXT]);
bool notice_id_matches(const struct notice_id *id, const char *prefix);

const char *category_name(Poc__Category category); /* "notification", "request-information" ... */
bool category_parse(const char *text, Poc__Category *out);
const char *urgency_name(Poc__Urgency urgency);
bool urgency_parse(const char *text, Poc__Urgency *out);
const char *notice_tlp_name(Poc__NoticeTlp tlp); /* "TLP:AMBER" ... */
bool notice_tlp_parse(const char *text, Poc__NoticeTlp *out);
const char *stage_name(Poc__Stage stage); /* "early-warning" ... */
bool stage_parse(const char *text, Poc__Stage *out);

#endif
