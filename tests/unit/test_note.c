#include "tests/lib/unit.h"

#include <openssl/evp.h>

#include "proto/proof/base64.h"
#include "proto/proof/note.h"

#define TEXT "example.int/log\n3\nWqx3HImawpLnS/Gv4ubjAvi1WIOy0b8Ze0amvqbavKk=\n"

struct signer {
	EVP_PKEY *pkey;
	struct note_key key;
};

static struct signer log_signer, auditor;

static void signer_init(struct signer *signer, const char *name, enum note_algorithm algorithm)
{
	uint8_t raw[32];
	size_t size = sizeof raw;
	signer->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	assert_non_null(signer->pkey);
	assert_int_equal(EVP_PKEY_get_raw_public_key(signer->pkey, raw, &size), 1);
	assert_int_equal(note_key_init(&signer->key, name, algorithm, raw), 0);
}

static int setup(void **state)
{
	(void)state;
	signer_init(&log_signer, "example.int/log", NOTE_ED25519);
	signer_init(&auditor, "auditor.xa", NOTE_COSIGNATURE);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	EVP_PKEY_free(log_signer.pkey);
	EVP_PKEY_free(auditor.pkey);
	return 0;
}

static void sign(const struct signer *signer, const char *bytes, size_t size, uint8_t out[64])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t n = 64;
	assert_int_equal(EVP_DigestSignInit(context, NULL, NULL, NULL, signer->pkey), 1);
	assert_int_equal(EVP_DigestSign(context, out, &n, (const uint8_t *)bytes, size), 1);
	EVP_MD_CTX_free(context);
}

struct buffer {
	char bytes[NOTE_MAX + 512];
	size_t size;
};

static void start(struct buffer *note, const char *text)
{
	note->size = (size_t)snprintf(note->bytes, sizeof note->bytes, "%s\n", text);
}

static void add_log_line(struct buffer *note, const char *text)
{
	uint8_t signature[64];
	sign(&log_signer, text, strlen(text), signature);
	assert_int_equal(note_append_line(note->bytes, &note->size, sizeof note->bytes, &log_signer.key, signature, 64),
			 0);
}

static void add_cosignature(struct buffer *note, const char *text, uint64_t time)
{
	char message[1024];
	uint8_t signature[72];
	const long size = note_cosignature_message(time, text, strlen(text), message, sizeof message);
	assert_true(size > 0);
	for (int i = 0; i < 8; i++)
		signature[i] = (uint8_t)(time >> (56 - 8 * i));
	sign(&auditor, message, (size_t)size, signature + 8);
	assert_int_equal(note_append_line(note->bytes, &note->size, sizeof note->bytes, &auditor.key, signature, 72),
			 0);
}

static void parse(const struct buffer *note, struct note *out)
{
	struct refusal why;
	assert_int_equal(note_parse(note->bytes, note->size, out, &why), 0);
}

static void test_log_line(void **state)
{
	struct buffer bytes;
	struct note note;
	(void)state;
	start(&bytes, TEXT);
	add_log_line(&bytes, TEXT);
	parse(&bytes, &note);
	assert_int_equal(note.text_size, strlen(TEXT));
	assert_int_equal(note.n_lines, 1);
	assert_int_equal(note_verify(&note, &log_signer.key, NULL), NOTE_GOOD);
	assert_int_equal(note_verify(&note, &auditor.key, NULL), NOTE_ABSENT);
	/* Any changed byte of text or signature makes a bad, an absent or a malformed line; never a good one. */
	for (size_t i = 0; i < bytes.size; i++) {
		struct buffer changed = bytes;
		changed.bytes[i] ^= 1;
		if (note_parse(changed.bytes, changed.size, &note, NULL) == 0)
			assert_int_not_equal(note_verify(&note, &log_signer.key, NULL), NOTE_GOOD);
	}
}

static void test_bad_line_beside_good(void **state)
{
	struct buffer bytes;
	struct note note;
	(void)state;
	start(&bytes, TEXT);
	add_log_line(&bytes, TEXT);
	add_log_line(&bytes, "another text\n");
	parse(&bytes, &note);
	assert_int_equal(note_verify(&note, &log_signer.key, NULL), NOTE_BAD);
}

static void test_cosignatures(void **state)
{
	struct buffer bytes;
	struct note note;
	uint64_t time = 0;
	(void)state;
	start(&bytes, TEXT);
	add_log_line(&bytes, TEXT);
	add_cosignature(&bytes, TEXT, 1790000000);
	add_cosignature(&bytes, TEXT, 1790000500);
	add_cosignature(&bytes, TEXT, 1790000100);
	parse(&bytes, &note);
	assert_int_equal(note_verify(&note, &auditor.key, &time), NOTE_GOOD);
	assert_int_equal(time, 1790000500);
	/* The time is covered by the signature. */
	note.lines[1].signature[7] ^= 1;
	assert_int_equal(note_verify(&note, &auditor.key, &time), NOTE_BAD);
	/* An Ed25519 line of the same key is no cosignature: its algorithm is part of the key hash. */
	struct note_key other;
	assert_int_equal(note_key_init(&other, auditor.key.name, NOTE_ED25519, auditor.key.key), 0);
	assert_int_equal(note_verify(&note, &other, NULL), NOTE_ABSENT);
}

static void test_malformed(void **state)
{
	static const char *const notes[] = {
	    "",
	    "\n",
	    "text\n",
	    "text\n\n",
	    "\n\n",
	    "text\n\n\xe2\x80\x94 name AAAAAAAA",
	    "text\n\n- name AAAAAAAA\n",
	    "text\n\n\xe2\x80\x94 name  AAAAAAAA\n",
	    "text\n\n\xe2\x80\x94  AAAAAAAA\n",
	    "text\n\n\xe2\x80\x94 name AAAAAA==\n",
	    "text\n\n\xe2\x80\x94 name AAAAAAA\n",
	    "text\n\n\xe2\x80\x94 name AAAAAAB=\n",
	    "text\n\n\xe2\x80\x94 na+me AAAAAAAA\n",
	    "text\n\n\xe2\x80\x94 na\xc2\xa0me AAAAAAAA\n",
	    "text\n\n\xe2\x80\x94 na\xffme AAAAAAAA\n",
	    "text\n\n\xe2\x80\x94 name AAAAAAAA \n",
	    "text\n\n\xe2\x80\x94 name AAAAAAAA\r\n",
	    "te\x01xt\n\n\xe2\x80\x94 name AAAAAAAA\n",
	    "te\xffxt\n\n\xe2\x80\x94 name AAAAAAAA\n",
	    "text\n\xe2\x80\x94 name AAAAAAAA\n",
	};
	struct note note;
	struct refusal why;
	(void)state;
	for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++)
		assert_int_equal(note_parse(notes[i], strlen(notes[i]), &note, &why), STATUS_MALFORMED);
	static const char good[] = "text\n\n\xe2\x80\x94 name AAAAAAAA\n";
	assert_int_equal(note_parse(good, sizeof good - 1, &note, &why), 0);
	assert_int_equal(note_parse(good, sizeof good, &note, &why), STATUS_MALFORMED);
}

static void test_limits(void **state)
{
	struct buffer bytes;
	struct note note;
	const uint8_t signature[64] = {0};
	(void)state;
	start(&bytes, TEXT);
	for (int i = 0; i < NOTE_LINES_MAX; i++)
		assert_int_equal(
		    note_append_line(bytes.bytes, &bytes.size, sizeof bytes.bytes, &auditor.key, signature, 64), 0);
	parse(&bytes, &note);
	assert_int_equal(note_append_line(bytes.bytes, &bytes.size, bytes.size + 10, &auditor.key, signature, 64), -1);
	assert_int_equal(note_append_line(bytes.bytes, &bytes.size, sizeof bytes.bytes, &auditor.key, signature, 64),
			 0);
	assert_int_equal(note_parse(bytes.bytes, bytes.size, &note, NULL), STATUS_MALFORMED);
	memset(bytes.bytes, 'a', sizeof bytes.bytes);
	memcpy(bytes.bytes + NOTE_MAX + 1 - 26, "\n\n\xe2\x80\x94 name AAAAAAAAAAAAAAA\n", 26);
	assert_int_equal(note_parse(bytes.bytes, NOTE_MAX + 1, &note, NULL), STATUS_MALFORMED);
}

static void test_keys(void **state)
{
	static const char good[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
	static const char *const bad[] = {
	    "",
	    "+",
	    "++",
	    "PeterNeumann",
	    "PeterNeumann+c74f20a3",
	    "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
	    "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
	    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T=",
	    "PeterNeumann+c74f20a3+AhpC2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
	    "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
	    "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
	};
	struct note_key key;
	char long_name[NOTE_NAME_MAX + 2];
	(void)state;
	assert_int_equal(note_key_parse(good, &key), 0);
	assert_string_equal(key.name, "PeterNeumann");
	assert_int_equal(key.algorithm, NOTE_ED25519);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(note_key_parse(bad[i], &key), STATUS_INVALID);
	memset(long_name, 'a', sizeof long_name);
	long_name[sizeof long_name - 1] = '\0';
	assert_int_equal(note_key_init(&key, long_name, NOTE_ED25519, key.key), -1);
	assert_int_equal(note_key_init(&key, long_name + 1, NOTE_ED25519, key.key), 0);
	assert_int_equal(note_key_init(&key, "", NOTE_ED25519, key.key), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_log_line),     cmocka_unit_test(test_bad_line_beside_good),
	    cmocka_unit_test(test_cosignatures), cmocka_unit_test(test_malformed),
	    cmocka_unit_test(test_limits),       cmocka_unit_test(test_keys),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
