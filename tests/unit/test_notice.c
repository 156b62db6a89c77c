/* notice, receipt, sealed: what is made opens and verifies; whatever is altered, re-addressed or weaker is refused. */
#include "tests/lib/unit.h"

#include <openssl/cms.h>
#include <openssl/ec.h>

#include "proto/keys/keystore_file.h"
#include "proto/keys/sealed.h"
#include "proto/rules/receipt.h"
#include "proto/rules/signed.h"
#include "proto/rules/users.h"
#include "proto/wire/prescan.h"

enum { NOW = 1767225600 };

static struct keystore_key *signer, *stranger, *reader, *colleague, *abroad;
static uint8_t directory[HASH_SIZE] = {7};

static int setup(void **state)
{
	(void)state;
	signer = keystore_ephemeral(KEY_ED25519);
	stranger = keystore_ephemeral(KEY_ED25519);
	reader = keystore_ephemeral(KEY_P384);
	colleague = keystore_ephemeral(KEY_P384);
	abroad = keystore_ephemeral(KEY_P384);
	return signer && stranger && reader && colleague && abroad ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	keystore_close(signer);
	keystore_close(stranger);
	keystore_close(reader);
	keystore_close(colleague);
	keystore_close(abroad);
	return 0;
}

struct made {
	struct notice_id id;
	uint8_t *header, *body;
	size_t header_size, body_size;
};

static void made_finish(struct made *made)
{
	free(made->header);
	free(made->body);
}

/* From XA technical (key colleague) to XB technical (key reader). */
struct draft {
	Poc__Desk from, to, *tos[1];
	Poc__Core core;
	Poc__NoticeContent content;
	struct made made;
};

static void draft_init(struct draft *d)
{
	poc__desk__init(&d->from);
	poc__desk__init(&d->to);
	poc__core__init(&d->core);
	poc__notice_content__init(&d->content);
	d->from.place = "XA";
	d->to.place = "XB";
	d->from.kind = d->to.kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	d->tos[0] = &d->to;
	assert_int_equal(notice_new_id(&d->made.id), 0);
	d->core.directory_id = (ProtobufCBinaryData){HASH_SIZE, directory};
	d->core.id = d->core.thread = (ProtobufCBinaryData){NOTICE_ID_SIZE, d->made.id.bytes};
	d->core.from = &d->from;
	d->core.handle = "duty-1";
	d->core.to = d->tos;
	d->core.n_to = 1;
	d->core.category = POC__CATEGORY__CATEGORY_NOTIFICATION;
	d->core.urgency = POC__URGENCY__URGENCY_URGENT;
	d->core.tlp = POC__NOTICE_TLP__NOTICE_TLP_AMBER;
	d->core.created = NOW;
	d->content.subject = "Scans from AS64500";
	d->content.text = "We see scans.\nPlease look.";
}

static int draft_make(struct draft *d, struct refusal *why)
{
	struct notice_keys keys[2] = {{keystore_public(colleague), 1}, {keystore_public(reader), 1}};

	return notice_make(&d->core, &d->content, keys, signer, &d->made.header, &d->made.header_size, &d->made.body,
			   &d->made.body_size, why);
}

static struct notice *draft_notice(struct draft *d)
{
	struct refusal why = {0};
	struct notice *notice = NULL;

	draft_init(d);
	if (draft_make(d, &why) != 0 || notice_parse(d->made.header, d->made.header_size, &notice, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	return notice;
}

static void opens(const struct notice *notice, const struct made *made, struct keystore_key *key)
{
	struct refusal why = {0};
	Poc__Inner *inner;

	if (notice_open(notice, made->body, made->body_size, key, &inner, &why) != 0)
		fail_msg("%s: %s", why.field, why.message);
	assert_string_equal(inner->content->subject, "Scans from AS64500");
	message_free(inner);
}

static void test_round(void **state)
{
	struct draft d;
	struct refusal why = {0};
	Poc__Inner *inner;

	(void)state;
	struct notice *notice = draft_notice(&d);
	assert_true(notice_signed_by(notice, keystore_public(signer), 0));
	assert_false(notice_signed_by(notice, keystore_public(stranger), 0));
	assert_string_equal(notice->users.text, "U/XA");
	assert_int_equal(notice_side(notice, "XB", POC__POC_KIND__POC_KIND_TECHNICAL), SIDE_TO);
	assert_int_equal(notice_side(notice, "XA", POC__POC_KIND__POC_KIND_TECHNICAL), SIDE_FROM);
	assert_int_equal(notice_side(notice, "XB", POC__POC_KIND__POC_KIND_DIPLOMATIC), SIDE_NONE);
	opens(notice, &d.made, reader);
	opens(notice, &d.made, colleague);
	assert_int_equal(notice_open(notice, d.made.body, d.made.body_size, abroad, &inner, &why), STATUS_UNVERIFIED);
	assert_null(memmem(d.made.header, d.made.header_size, "AS64500", 7));
	assert_null(memmem(d.made.body, d.made.body_size, "AS64500", 7));
	notice_destroy(notice);
	made_finish(&d.made);
}

/* Bodies of one size class have one size, whatever they say. */
static void test_padding(void **state)
{
	static const size_t lengths[] = {1, 100, 500, 640};
	char text[2001];
	size_t first = 0;

	(void)state;
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		struct draft d;
		draft_init(&d);
		memset(text, 'x', sizeof text);
		text[lengths[i]] = '\0';
		d.content.text = text;
		assert_int_equal(draft_make(&d, NULL), 0);
		first = i == 0 ? d.made.body_size : first;
		assert_in_range(d.made.body_size, first - 2, first + 2); /* lengths of lengths */
		made_finish(&d.made);
	}
	struct draft d;
	draft_init(&d);
	text[lengths[3]] = 'x';
	text[2000] = '\0';
	d.content.text = text;
	assert_int_equal(draft_make(&d, NULL), 0);
	assert_true(d.made.body_size > first + 500);
	made_finish(&d.made);
}

/* Every byte of header and body counts. */
static void test_changed_bytes(void **state)
{
	struct draft d;
	struct refusal why;
	Poc__Inner *inner;

	(void)state;
	struct notice *notice = draft_notice(&d), *other;
	for (size_t i = 0; i < d.made.body_size; i += 1 + i % 7) {
		d.made.body[i] ^= 1;
		assert_int_not_equal(notice_check_body(notice, d.made.body, d.made.body_size, &why), 0);
		assert_int_equal(notice_open(notice, d.made.body, d.made.body_size, reader, &inner, &why),
				 STATUS_UNVERIFIED);
		d.made.body[i] ^= 1;
	}
	for (size_t i = 0; i < d.made.header_size; i++) {
		d.made.header[i] ^= 1;
		if (notice_parse(d.made.header, d.made.header_size, &other, &why) == 0) {
			assert_false(notice_signed_by(other, keystore_public(signer), 0));
			notice_destroy(other);
		}
		d.made.header[i] ^= 1;
	}
	for (size_t i = 0; i < d.made.header_size; i++)
		assert_int_not_equal(notice_parse(d.made.header, i, &other, NULL), 0);
	notice_destroy(notice);
	made_finish(&d.made);
}

/* A body that a header of another core is signed for (re-addressed, another time or thread) does not open. */
static void test_swapped_core(void **state)
{
	struct draft d, e;
	struct refusal why = {0};
	Poc__Notice forged = POC__NOTICE__INIT;
	Poc__Inner *inner;
	uint8_t *bytes;
	size_t size;

	(void)state;
	struct notice *first = draft_notice(&d), *second = draft_notice(&e), *mixed;
	forged = *second->header;
	forged.body_hash = first->header->body_hash;
	forged.body_size = first->header->body_size;
	forged.inner_hash = first->header->inner_hash;
	assert_int_equal(signed_make(&forged.base, NOTICE_TYPE, signer, &bytes, &size, &why), 0);
	assert_int_equal(notice_parse(bytes, size, &mixed, &why), 0);
	assert_int_equal(notice_check_body(mixed, d.made.body, d.made.body_size, &why), 0);
	assert_int_equal(notice_open(mixed, d.made.body, d.made.body_size, reader, &inner, &why), STATUS_UNVERIFIED);
	assert_non_null(strstr(why.message, "another header"));
	notice_destroy(first);
	notice_destroy(second);
	notice_destroy(mixed);
	free(bytes);
	made_finish(&d.made);
	made_finish(&e.made);
}

/* What OpenSSL would decrypt but the one form forbids. */
static void test_weak_cms(void **state)
{
	struct refusal why = {0};
	uint8_t *sealed;
	size_t size;
	struct hash id = keystore_public(reader)->id;

	(void)state;
	assert_int_equal(sealed_make((const uint8_t *)"text", 4, keystore_public(reader), 1, &sealed, &size, &why), 0);
	assert_int_equal(sealed_check(sealed, size, &id, 1, &why), 0);
	/* a MAC of 12 bytes in place of 16, lengths put right */
	uint8_t *cut = malloc(size);
	memcpy(cut, sealed, size - 4);
	assert_int_equal(cut[size - 17], 16);
	cut[size - 17] = 12;
	cut[3] = (uint8_t)(cut[3] - 4); /* two-byte lengths: outer, explicit, data */
	cut[20] = (uint8_t)(cut[20] - 4);
	cut[24] = (uint8_t)(cut[24] - 4);
	assert_int_equal(sealed_check(cut, size - 4, &id, 1, &why), STATUS_INVALID);
	assert_non_null(strstr(why.message, "MAC of 16"));
	free(cut);
	/* something after it, something missing */
	uint8_t *longer = malloc(size + 1);
	memcpy(longer, sealed, size);
	longer[size] = 0;
	assert_int_equal(sealed_check(longer, size + 1, &id, 1, &why), STATUS_INVALID);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(sealed_check(sealed, i, &id, 1, &why), STATUS_INVALID);
	free(longer);
	/* another recipient, none, one too many */
	struct hash ids[2] = {id, id};
	assert_int_equal(sealed_check(sealed, size, &keystore_public(abroad)->id, 1, &why), STATUS_INVALID);
	assert_int_equal(sealed_check(sealed, size, ids, 2, &why), STATUS_INVALID);
	assert_int_equal(sealed_check(sealed, size, ids, 0, &why), STATUS_INVALID);
	free(sealed);
}

/* Two recipients: wrapped keys swapped between them open for nobody. */
static void test_swapped_recipients(void **state)
{
	struct refusal why = {0};
	struct public_key keys[2] = {*keystore_public(reader), *keystore_public(colleague)};
	uint8_t *sealed, *out, room[40];
	size_t size, out_size;

	(void)state;
	assert_int_equal(sealed_make((const uint8_t *)"text", 4, keys, 2, &sealed, &size, &why), 0);
	uint8_t *first = memmem(sealed, size, keys[0].id.bytes, HASH_SIZE);
	uint8_t *second = memmem(sealed, size, keys[1].id.bytes, HASH_SIZE);
	assert_non_null(first);
	assert_non_null(second);
	memcpy(room, first + 34, 40);
	memcpy(first + 34, second + 34, 40);
	memcpy(second + 34, room, 40);
	assert_int_equal(sealed_open(sealed, size, reader, &out, &out_size, &why), STATUS_UNVERIFIED);
	assert_int_equal(sealed_open(sealed, size, colleague, &out, &out_size, &why), STATUS_UNVERIFIED);
	free(sealed);
}

static void test_many_recipients(void **state)
{
	enum { MANY = 40 };
	struct keystore_key *keys[MANY];
	struct public_key public[MANY];
	struct hash ids[MANY];
	struct refusal why = {0};
	uint8_t *sealed, *out;
	size_t size, out_size;

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		keys[i] = keystore_ephemeral(KEY_P384);
		public[i] = *keystore_public(keys[i]);
		size_t at = i;
		for (; at > 0 && hash_compare(&ids[at - 1], &public[i].id) > 0; at--)
			ids[at] = ids[at - 1];
		ids[at] = public[i].id;
	}
	assert_int_equal(sealed_make((const uint8_t *)"text", 4, public, MANY, &sealed, &size, &why), 0);
	assert_int_equal(sealed_check(sealed, size, ids, MANY, &why), 0);
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(sealed_open(sealed, size, keys[i], &out, &out_size, &why), 0);
		assert_int_equal(out_size, 4);
		assert_memory_equal(out, "text", 4);
		sealed_free(out, out_size);
		keystore_close(keys[i]);
	}
	free(sealed);
}

static void refused(struct draft *d, int status, const char *field)
{
	struct refusal why = {0};

	assert_int_equal(draft_make(d, &why), status);
	assert_string_equal(why.field, field);
	assert_null(d->made.header);
	assert_null(d->made.body);
}

static void test_rules(void **state)
{
	struct draft d;
	Poc__Attachment attachment = POC__ATTACHMENT__INIT, *attachments[] = {&attachment};
	static const char *const names[] = {"../x", "a/b", "a\\b", "..", ".", "", "a\x1b[2J", "a\nb"};

	(void)state;
	draft_init(&d);
	d.core.category = 0;
	refused(&d, STATUS_INVALID, "core.category");
	draft_init(&d);
	d.core.reply_by = NOW;
	refused(&d, STATUS_INVALID, "core.reply_by");
	draft_init(&d);
	d.core.reply_by = d.core.created + NOTICE_AHEAD_MAX + 1;
	refused(&d, STATUS_INVALID, "core.reply_by");
	draft_init(&d);
	d.core.exercise = "Not An Id";
	refused(&d, STATUS_INVALID, "core.exercise");
	draft_init(&d);
	d.core.category = POC__CATEGORY__CATEGORY_NOTE;
	refused(&d, STATUS_INVALID, "core.to");
	draft_init(&d);
	d.to.place = "xb";
	refused(&d, STATUS_INVALID, "core.to[0]");
	draft_init(&d);
	d.to.place = STATE_DIRECTORY; /* has a coordinator's desk only */
	refused(&d, STATUS_INVALID, "core.to[0]");
	draft_init(&d);
	d.content.subject = "";
	refused(&d, STATUS_INVALID, "subject");
	draft_init(&d);
	d.content.subject = "a\xe2\x80\xae"
			    "b"; /* right-to-left override */
	refused(&d, STATUS_INVALID, "subject");
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		draft_init(&d);
		attachment.name = (char *)names[i];
		d.content.attachments = attachments;
		d.content.n_attachments = 1;
		refused(&d, STATUS_INVALID, "attachments[0]");
	}
	draft_init(&d);
	attachment.name = "big";
	attachment.data.len = NOTICE_BODY_MAX;
	attachment.data.data = calloc(1, NOTICE_BODY_MAX);
	d.content.attachments = attachments;
	d.content.n_attachments = 1;
	refused(&d, STATUS_TOO_LARGE, "content");
	attachment.data.len = NOTICE_BODY_MAX - 4000; /* the largest: padding must not push it over */
	assert_int_equal(draft_make(&d, NULL), 0);
	made_finish(&d.made);
	free(attachment.data.data);
}

static void test_no_reading_key(void **state)
{
	struct draft d;
	struct refusal why = {0};
	struct notice_keys keys[2] = {{keystore_public(colleague), 1}, {NULL, 0}};

	(void)state;
	draft_init(&d);
	assert_int_equal(notice_make(&d.core, &d.content, keys, signer, &d.made.header, &d.made.header_size,
				     &d.made.body, &d.made.body_size, &why),
			 STATUS_NO_READING_KEY);
	assert_non_null(strstr(why.message, "XB technical"));
}

static void test_authorised(void **state)
{
	Poc__Head head = POC__HEAD__INIT;
	Poc__User user = POC__USER__INIT, *users[] = {&user};
	Poc__Users list = POC__USERS__INIT;
	Poc__Role roles[] = {POC__ROLE__ROLE_OPERATOR}, reads[] = {POC__ROLE__ROLE_READER};
	Poc__PocKind kinds[] = {POC__POC_KIND__POC_KIND_TECHNICAL}, other[] = {POC__POC_KIND__POC_KIND_DIPLOMATIC};
	struct refusal why = {0};
	struct draft d;

	(void)state;
	struct notice *notice = draft_notice(&d);
	head.name = "U/XA";
	list.head = &head;
	list.users = users;
	list.n_users = 1;
	user.handle = "duty-1";
	user.spki = (ProtobufCBinaryData){keystore_public(signer)->spki_size, (uint8_t *)keystore_public(signer)->spki};
	user.roles = roles;
	user.n_roles = 1;
	user.kinds = kinds;
	user.n_kinds = 1;
	assert_int_equal(notice_authorised(notice, &list, 0, NOW, NULL, &why), 0);
	user.not_after = NOW;
	assert_int_equal(notice_authorised(notice, &list, 0, NOW, NULL, &why), STATUS_UNVERIFIED);
	user.not_after = 0;
	user.kinds = other;
	assert_int_equal(notice_authorised(notice, &list, 0, NOW, NULL, &why), STATUS_DENIED);
	user.kinds = kinds;
	user.roles = reads;
	assert_int_equal(notice_authorised(notice, &list, 0, NOW, NULL, &why), STATUS_DENIED);
	user.roles = roles;
	user.handle = "duty-2";
	assert_int_equal(notice_authorised(notice, &list, 0, NOW, NULL, &why), STATUS_UNVERIFIED);
	user.handle = "duty-1";
	user.spki =
	    (ProtobufCBinaryData){keystore_public(stranger)->spki_size, (uint8_t *)keystore_public(stranger)->spki};
	assert_int_equal(notice_authorised(notice, &list, 0, NOW, NULL, &why), STATUS_UNVERIFIED);
	notice_destroy(notice);
	made_finish(&d.made);
}

static void test_receipts(void **state)
{
	Poc__Receipt payload = POC__RECEIPT__INIT;
	struct refusal why = {0};
	struct receipt *receipt;
	struct draft d, e;
	uint8_t *bytes;
	size_t size;

	(void)state;
	struct notice *notice = draft_notice(&d), *other = draft_notice(&e);
	payload.directory_id = notice->core->directory_id;
	payload.notice_id = notice->core->id;
	payload.notice_hash = (ProtobufCBinaryData){HASH_SIZE, notice->hash.bytes};
	payload.step = POC__STEP__STEP_ACKNOWLEDGED;
	payload.place = "XB";
	payload.kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	payload.handle = "duty-9";
	payload.time = NOW + 60;
	payload.answer_by = NOW + 7200;
	assert_int_equal(receipt_make(&payload, signer, &bytes, &size, &why), 0);
	assert_int_equal(receipt_parse(bytes, size, &receipt, &why), 0);
	assert_int_equal(receipt_fits(receipt, notice, &why), 0);
	assert_int_equal(receipt_fits(receipt, other, &why), STATUS_INVALID);
	assert_string_equal(receipt->users.text, "U/XB");
	receipt_destroy(receipt);
	free(bytes);
	payload.place = "XA"; /* the sender cannot acknowledge, but close */
	payload.answer_by = 0;
	assert_int_equal(receipt_make(&payload, signer, &bytes, &size, &why), 0);
	assert_int_equal(receipt_parse(bytes, size, &receipt, &why), 0);
	assert_int_equal(receipt_fits(receipt, notice, &why), STATUS_INVALID);
	receipt_destroy(receipt);
	free(bytes);
	payload.step = POC__STEP__STEP_CLOSED;
	assert_int_equal(receipt_make(&payload, signer, &bytes, &size, &why), 0);
	assert_int_equal(receipt_parse(bytes, size, &receipt, &why), 0);
	assert_int_equal(receipt_fits(receipt, notice, &why), 0);
	for (size_t i = 0; i < size; i++) {
		struct receipt *changed;
		bytes[i] ^= 1;
		if (receipt_parse(bytes, size, &changed, &why) == 0) {
			assert_false(signed_by(changed->outer, keystore_public(signer), 0));
			receipt_destroy(changed);
		}
		bytes[i] ^= 1;
	}
	receipt_destroy(receipt);
	free(bytes);
	payload.step = POC__STEP__STEP_DECLINED; /* without a reason */
	assert_int_equal(receipt_make(&payload, signer, &bytes, &size, &why), STATUS_INVALID);
	payload.step = POC__STEP__STEP_STORED; /* the directory's to say */
	assert_int_equal(receipt_make(&payload, signer, &bytes, &size, &why), STATUS_INVALID);
	notice_destroy(notice);
	notice_destroy(other);
	made_finish(&d.made);
	made_finish(&e.made);
}

static void test_ids(void **state)
{
	struct notice_id id = {
	    {0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf, 0x84, 0x65, 0x3a, 0x56, 0xd7, 0xc6}};
	char text[NOTICE_ID_TEXT];

	(void)state;
	notice_id_print(&id, text);
	assert_string_equal(text, "ABCD-EFGH-IJKL-MNOP-QRST-UVWX-YY");
	assert_true(notice_id_matches(&id, text));
	assert_true(notice_id_matches(&id, "abcd"));
	assert_true(notice_id_matches(&id, "abcde-f"));
	assert_false(notice_id_matches(&id, "abc"));
	assert_false(notice_id_matches(&id, "abce"));
	assert_false(notice_id_matches(&id, "ABCD-EFGH-IJKL-MNOP-QRST-UVWX-YYA"));
}

static void test_words(void **state)
{
	Poc__Category category;
	Poc__Urgency urgency;
	Poc__NoticeTlp tlp;
	Poc__Step step;

	(void)state;
	assert_true(category_parse("request-assistance", &category));
	assert_string_equal(category_name(category), "request-assistance");
	assert_false(category_parse("unknown", &category));
	assert_true(urgency_parse("emergency", &urgency));
	assert_true(notice_tlp_parse("tlp:amber+strict", &tlp));
	assert_string_equal(notice_tlp_name(tlp), "TLP:AMBER+STRICT");
	assert_true(notice_tlp_parse("WHITE", &tlp));
	assert_string_equal(notice_tlp_name(tlp), "TLP:CLEAR");
	assert_false(notice_tlp_parse("PURPLE", &tlp));
	assert_true(step_parse("declined", &step));
	assert_int_equal(step, POC__STEP__STEP_DECLINED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round),           cmocka_unit_test(test_padding),
	    cmocka_unit_test(test_changed_bytes),   cmocka_unit_test(test_swapped_core),
	    cmocka_unit_test(test_weak_cms),        cmocka_unit_test(test_swapped_recipients),
	    cmocka_unit_test(test_many_recipients), cmocka_unit_test(test_rules),
	    cmocka_unit_test(test_no_reading_key),  cmocka_unit_test(test_authorised),
	    cmocka_unit_test(test_receipts),        cmocka_unit_test(test_ids),
	    cmocka_unit_test(test_words),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
