#include "proto/proof/note.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "proto/proof/base64.h"
#include "proto/proof/hash.h"
#include "proto/wire/utf8.h"

#define DASH "\xe2\x80\x94 " /* em dash, space */

/* As the specification has it: not empty, UTF-8, no plus and no white space of Unicode. */
static bool name_ok(const char *name, size_t length)
{
	if (length == 0 || length > NOTE_NAME_MAX)
		return false;
	for (size_t i = 0; i < length;) {
		uint32_t c;
		size_t n = utf8_next(name + i, length - i, &c);
		utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)(n > 0 ? c : 0));
		if (n == 0 || c == ' ' || c == '+' || category == UTF8PROC_CATEGORY_CC ||
		    category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
		    category == UTF8PROC_CATEGORY_ZP)
			return false;
		i += n;
	}
	return true;
}

int note_key_init(struct note_key *out, const char *name, enum note_algorithm algorithm, const uint8_t key[32])
{
	size_t length = strlen(name);

	if (!name_ok(name, length))
		return -1;
	memset(out, 0, sizeof *out);
	memcpy(out->name, name, length);
	out->algorithm = (uint8_t)algorithm;
	memcpy(out->key, key, 32);
	struct hash_part parts[] = {{name, length}, {"\n", 1}, {&out->algorithm, 1}, {key, 32}};
	struct hash id = hash_parts(parts, 4);
	memcpy(out->hash, id.bytes, 4);
	return 0;
}

int note_key_parse(const char *vkey, struct note_key *out)
{
	const char *first = strchr(vkey, '+');
	const char *second = first != NULL ? strchr(first + 1, '+') : NULL;
	char name[NOTE_NAME_MAX + 1];
	uint8_t key[33];
	char hex[9];

	if (second == NULL || second - first != 9 || !name_ok(vkey, (size_t)(first - vkey)))
		return STATUS_INVALID;
	snprintf(name, sizeof name, "%.*s", (int)(first - vkey), vkey);
	if (base64_decode(second + 1, strlen(second + 1), key, sizeof key) != sizeof key ||
	    (key[0] != NOTE_ED25519 && key[0] != NOTE_COSIGNATURE) || note_key_init(out, name, key[0], key + 1) != 0)
		return STATUS_INVALID;
	snprintf(hex, sizeof hex, "%02x%02x%02x%02x", out->hash[0], out->hash[1], out->hash[2], out->hash[3]);
	return memcmp(hex, first + 1, 8) == 0 ? 0 : STATUS_INVALID;
}

/* One signature line without its newline. */
static bool parse_line(const char *line, size_t size, struct note_line *out)
{
	size_t dash = sizeof DASH - 1;

	if (size < dash || memcmp(line, DASH, dash) != 0)
		return false;
	out->name = line + dash;
	const char *space = memchr(out->name, ' ', size - dash);
	if (space == NULL)
		return false;
	out->name_length = (size_t)(space - out->name);
	uint8_t decoded[4 + NOTE_SIGNATURE_MAX];
	ssize_t n = base64_decode(space + 1, (size_t)(line + size - space - 1), decoded, sizeof decoded);
	if (!name_ok(out->name, out->name_length) || n < 5)
		return false;
	memcpy(out->key_hash, decoded, 4);
	out->signature_size = (size_t)n - 4;
	memcpy(out->signature, decoded + 4, out->signature_size);
	return true;
}

static bool text_ok(const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if ((unsigned char)bytes[i] < 0x20 && bytes[i] != '\n')
			return false;
	}
	return utf8_valid(bytes, size);
}

/* The last blank line parts text and signatures. */
static const char *find_split(const char *bytes, size_t size)
{
	for (size_t i = size - 1; i > 0; i--) {
		if (bytes[i] == '\n' && bytes[i - 1] == '\n')
			return bytes + i;
	}
	return NULL;
}

int note_parse(const char *bytes, size_t size, struct note *out, struct refusal *why)
{
	memset(out, 0, sizeof *out);
	if (size < 4 || size > NOTE_MAX || bytes[size - 1] != '\n' || !text_ok(bytes, size))
		return refuse(why, STATUS_MALFORMED, "note", "not a signed note");
	const char *split = find_split(bytes, size);
	if (split == NULL)
		return refuse(why, STATUS_MALFORMED, "note", "no blank line before the signatures");
	out->text = bytes;
	out->text_size = (size_t)(split - bytes);
	for (const char *line = split + 1; line < bytes + size;) {
		const char *end = memchr(line, '\n', (size_t)(bytes + size - line));
		if (out->n_lines == NOTE_LINES_MAX)
			return refuse(why, STATUS_MALFORMED, "note", "more than %d signature lines", NOTE_LINES_MAX);
		if (!parse_line(line, (size_t)(end - line), &out->lines[out->n_lines++]))
			return refuse(why, STATUS_MALFORMED, "note", "signature line %zu is malformed", out->n_lines);
		line = end + 1;
	}
	if (out->n_lines == 0)
		return refuse(why, STATUS_MALFORMED, "note", "no signature line");
	return 0;
}

static bool ed25519_verify(const uint8_t key[32], const uint8_t *bytes, size_t size, const uint8_t signature[64])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, 32);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = pkey != NULL && ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
		    EVP_DigestVerify(ctx, signature, 64, bytes, size) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return good;
}

static uint64_t get_u64(const uint8_t *in)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | in[i];
	return value;
}

static bool line_good(const struct note *note, const struct note_key *key, const struct note_line *line, uint64_t *time)
{
	char message[NOTE_MAX + 64];

	*time = 0;
	if (key->algorithm == NOTE_ED25519)
		return line->signature_size == 64 &&
		       ed25519_verify(key->key, (const uint8_t *)note->text, note->text_size, line->signature);
	if (line->signature_size != 72)
		return false;
	*time = get_u64(line->signature);
	long size = note_cosignature_message(*time, note->text, note->text_size, message, sizeof message);
	return size > 0 && ed25519_verify(key->key, (const uint8_t *)message, (size_t)size, line->signature + 8);
}

static bool is_line_of(const struct note_line *line, const struct note_key *key)
{
	const size_t length = strlen(key->name);

	return line->name_length == length && memcmp(line->name, key->name, length) == 0 &&
	       memcmp(line->key_hash, key->hash, 4) == 0;
}

bool note_has_line(const struct note *note, const struct note_key *key)
{
	for (size_t i = 0; i < note->n_lines; i++) {
		if (is_line_of(&note->lines[i], key))
			return true;
	}
	return false;
}

enum note_result note_verify(const struct note *note, const struct note_key *key, uint64_t *time)
{
	enum note_result result = NOTE_ABSENT;
	uint64_t newest = 0;

	for (size_t i = 0; i < note->n_lines; i++) {
		const struct note_line *line = &note->lines[i];
		uint64_t at;
		if (!is_line_of(line, key))
			continue;
		if (!line_good(note, key, line, &at))
			return NOTE_BAD;
		result = NOTE_GOOD;
		if (at > newest)
			newest = at;
	}
	if (time != NULL)
		*time = newest;
	return result;
}

long note_cosignature_message(uint64_t time, const char *text, size_t text_size, char *out, size_t out_size)
{
	int head = snprintf(out, out_size, "cosignature/v1\ntime %llu\n", (unsigned long long)time);

	if (head < 0 || (size_t)head > out_size || out_size - (size_t)head < text_size)
		return -1;
	memcpy(out + head, text, text_size);
	return head + (long)text_size;
}

int note_append_line(char *note, size_t *size, size_t capacity, const struct note_key *key, const uint8_t *signature,
		     size_t signature_size)
{
	uint8_t raw[4 + NOTE_SIGNATURE_MAX];
	char text[BASE64_LENGTH(sizeof raw) + 1];

	if (signature_size > NOTE_SIGNATURE_MAX)
		return -1;
	memcpy(raw, key->hash, 4);
	memcpy(raw + 4, signature, signature_size);
	if (base64_encode(raw, 4 + signature_size, text, sizeof text) < 0)
		return -1;
	int n = snprintf(note + *size, capacity - *size, DASH "%s %s\n", key->name, text);
	if (n < 0 || (size_t)n >= capacity - *size)
		return -1;
	*size += (size_t)n;
	return 0;
}
