/* vectors DIR: checks pocd's proofs and signatures against published test vectors below DIR.
 *
 * A file is recognised by what it holds, a signed log by its vkey.txt; other files are named on stderr and passed over.
 * One line a file, then the count.  Exit status 0 if all passed and there was at least one. */
#include <ctype.h>
#include <ftw.h>
#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/keys/crypto.h"
#include "proto/proof/base64.h"
#include "proto/proof/checkpoint.h"
#include "proto/proof/merkle.h"
#include "proto/proof/note.h"
#include "proto/rules/envelope.h"

enum { FILE_MAX = 16 * 1024 * 1024, LOG_LEAVES_MAX = 1024, BYTES_MAX = 1 << 17 };

/* What became of one file. */
struct outcome {
	bool recognised;
	size_t cases;
	char failure[300]; /* the first; empty: none */
};

static void failed(struct outcome *outcome, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void failed(struct outcome *outcome, const char *format, ...)
{
	if (outcome->failure[0])
		return;
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(outcome->failure, sizeof outcome->failure, format, arguments);
	va_end(arguments);
}

/* Counts a case that must hold exactly if wanted says so. */
static void expect(struct outcome *outcome, bool holds, bool wanted, const char *name)
{
	outcome->cases++;
	if (holds != wanted)
		failed(outcome, "%s: %s, but must %s", name, holds ? "holds" : "does not hold",
		       wanted ? "hold" : "not");
}

/* ---- Reading ------------------------------------------------------------------------------------------------------
 */

/* A whole file with a NUL after it; NULL if it cannot be read. */
static char *read_file(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	char *bytes = file ? malloc(FILE_MAX + 1) : NULL;

	*size = 0;
	if (bytes) {
		*size = fread(bytes, 1, FILE_MAX, file);
		bytes[*size] = '\0';
		if (ferror(file) || *size == FILE_MAX) {
			free(bytes);
			bytes = NULL;
		}
	}
	if (file)
		fclose(file);
	return bytes;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "";
}

static bool hash_from_base64(const char *text, struct hash *out)
{
	return base64_decode(text, strlen(text), out->bytes, HASH_SIZE) == HASH_SIZE;
}

struct bytes {
	uint8_t *at; /* malloc'ed */
	size_t size;
};

/* Hexadecimal of a JSON member. */
static struct bytes bytes_of(const json_t *object, const char *key)
{
	const char *text = text_of(object, key);
	struct bytes out = {calloc(1, strlen(text) / 2 + 1), strlen(text) / 2};

	for (size_t i = 0; out.at && i < out.size; i++) {
		const char digits[] = {text[2 * i], text[2 * i + 1], '\0'};
		out.at[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return out;
}

/* ---- merkle/<kind>.jsonl --------------------------------------------------------------------------------------------
 */

enum { PROOF_MAX = 128 };

struct merkle_case {
	uint64_t index, start, end, size, size1;
	struct hash root, root1, leaf, proof[PROOF_MAX];
	size_t length;
	bool sound; /* hashes have the right size */
};

/* Numbers reach 2^64 - 1, beyond JSON libraries: they are read from the text. */
static uint64_t number_of(const char *line, const char *key)
{
	char pattern[40];
	snprintf(pattern, sizeof pattern, "\"%s\":", key);
	const char *at = strstr(line, pattern);
	return at ? strtoull(at + strlen(pattern), NULL, 10) : 0;
}

/* Some cases have arbitrary words in place of roots and want to see them compared only: any other size than that of a
 * hash becomes the hash of the word. */
static bool merkle_hash(const json_t *object, const char *key, struct hash *out)
{
	uint8_t word[64];
	const char *text = text_of(object, key);
	const ssize_t size = base64_decode(text, strlen(text), word, sizeof word);
	if (size == HASH_SIZE)
		memcpy(out->bytes, word, HASH_SIZE);
	else if (size > 0)
		*out = hash_of(word, (size_t)size);
	return size > 0 || !json_object_get(object, key);
}

static void merkle_read(const char *line, const json_t *object, struct merkle_case *out)
{
	const json_t *proof = json_object_get(object, "proof"), *item;
	size_t i;

	memset(out, 0, sizeof *out);
	out->index = number_of(line, "leafIdx");
	out->start = number_of(line, "start");
	out->end = number_of(line, "end");
	out->size1 = number_of(line, "size1");
	out->size = number_of(line, json_object_get(object, "treeSize") ? "treeSize"
				    : json_object_get(object, "size2")  ? "size2"
									: "size");
	out->sound = merkle_hash(object, "root", &out->root) && merkle_hash(object, "root1", &out->root1) &&
		     merkle_hash(object, "leafHash", &out->leaf) && json_array_size(proof) <= PROOF_MAX;
	if (json_object_get(object, "root2"))
		out->sound = merkle_hash(object, "root2", &out->root) && out->sound;
	json_array_foreach(proof, i, item)
	{
		if (out->sound)
			out->sound = json_is_string(item) && hash_from_base64(json_string_value(item), &out->proof[i]);
	}
	out->length = json_array_size(proof);
}

static bool merkle_holds(const json_t *object, const struct merkle_case *c)
{
	if (!c->sound)
		return false;
	if (json_object_get(object, "size1"))
		return merkle_verify_consistency(c->size1, &c->root1, c->size, &c->root, c->proof, c->length);
	if (json_object_get(object, "treeSize"))
		return merkle_verify_inclusion(c->index, c->size, &c->leaf, c->proof, c->length, &c->root);
	if (json_object_get(object, "leafIdx"))
		return merkle_verify_subtree_inclusion(c->index, c->start, c->end, &c->leaf, c->proof, c->length,
						       &c->root);
	return merkle_verify_subtree_consistency(c->start, c->end, &c->root1, c->size, &c->root, c->proof, c->length);
}

static void check_merkle_line(const char *line, struct outcome *outcome)
{
	json_error_t error;
	struct merkle_case c;
	json_t *object = json_loads(line, JSON_DECODE_INT_AS_REAL | JSON_REJECT_DUPLICATES, &error);
	const json_t *refused = json_object_get(object, "wantErr");

	if (!json_is_boolean(refused)) {
		failed(outcome, "case %zu is no Merkle vector: %s", outcome->cases + 1, object ? "" : error.text);
	} else {
		outcome->recognised = true;
		merkle_read(line, object, &c);
		expect(outcome, merkle_holds(object, &c), !json_is_true(refused), text_of(object, "file"));
	}
	json_decref(object);
}

static void check_jsonl(char *bytes, struct outcome *outcome)
{
	char *rest = NULL;
	outcome->recognised = strstr(bytes, "\"wantErr\":") != NULL;
	if (!outcome->recognised)
		return;
	for (char *line = strtok_r(bytes, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		check_merkle_line(line, outcome);
}

/* ---- merkle/rfc6962_tree8.json -------------------------------------------------------------------------------------
 */

struct leaves {
	size_t n;
	struct hash hashes[LOG_LEAVES_MAX];
};

static int read_leaves(void *ctx, unsigned level, uint64_t index, struct hash *out)
{
	const struct leaves *leaves = ctx;
	if (level == 0) {
		if (index >= leaves->n)
			return STATUS_NOT_FOUND;
		*out = leaves->hashes[index];
		return 0;
	}
	struct hash left, right;
	int status = read_leaves(ctx, level - 1, 2 * index, &left);
	if (!status)
		status = read_leaves(ctx, level - 1, 2 * index + 1, &right);
	if (!status)
		*out = merkle_node(&left, &right);
	return status;
}

static void check_nodes(const json_t *levels, struct leaves *leaves, struct outcome *outcome)
{
	const json_t *level, *node;
	size_t i, j;
	json_array_foreach(levels, i, level)
	{
		json_array_foreach(level, j, node)
		{
			struct hash wanted, found;
			const bool holds = hash_from_hex(json_string_value(node), &wanted) == 0 &&
					   read_leaves(leaves, (unsigned)i, j, &found) == 0 &&
					   hash_compare(&wanted, &found) == 0;
			expect(outcome, holds, true, "node");
		}
	}
}

static void check_tree(const json_t *tree, struct outcome *outcome)
{
	struct leaves *leaves = calloc(1, sizeof *leaves);
	const json_t *inputs = json_object_get(tree, "leaf_inputs_hex"), *roots = json_object_get(tree, "roots_hex"),
		     *item;
	size_t i;

	outcome->recognised = true;
	if (!leaves || json_array_size(inputs) > LOG_LEAVES_MAX) {
		failed(outcome, "too many leaves");
		free(leaves);
		return;
	}
	json_array_foreach(inputs, i, item)
	{
		json_t *holder = json_pack("{sO}", "leaf", item);
		const struct bytes leaf = bytes_of(holder, "leaf");
		leaves->hashes[leaves->n++] = merkle_leaf(leaf.at, leaf.size);
		free(leaf.at);
		json_decref(holder);
	}
	check_nodes(json_object_get(tree, "nodes_hex"), leaves, outcome);
	if (json_array_size(roots) != leaves->n + 1)
		failed(outcome, "not one root for each size");
	json_array_foreach(roots, i, item)
	{
		struct hash wanted, root;
		const bool holds = json_is_string(item) && hash_from_hex(json_string_value(item), &wanted) == 0 &&
				   merkle_root(read_leaves, leaves, i, &root) == 0 && hash_compare(&wanted, &root) == 0;
		expect(outcome, holds, true, "root");
	}
	free(leaves);
}

/* ---- notes/signed_notes.json ----------------------------------------------------------------------------------------
 */

static void check_notes(const json_t *notes, struct outcome *outcome)
{
	const json_t *item;
	size_t i;
	outcome->recognised = true;
	json_array_foreach(notes, i, item)
	{
		const char *bytes = text_of(item, "note");
		const char *why = json_object_get(item, "why") ? text_of(item, "why") : text_of(item, "source");
		struct note_key key;
		struct note note;
		const bool holds = note_key_parse(text_of(item, "vkey"), &key) == 0 &&
				   note_parse(bytes, strlen(bytes), &note, NULL) == 0 &&
				   note_verify(&note, &key, NULL) == NOTE_GOOD;
		expect(outcome, holds, json_is_true(json_object_get(item, "valid")), why);
	}
}

/* ---- dsse/example.json
 * ------------------------------------------------------------------------------------------------ */

/* SPKI of a P-256 key from its coordinates in decimal. */
static bool p256_key(const json_t *json, struct public_key *out)
{
	static const uint8_t head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
				       0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
				       0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
	uint8_t spki[sizeof head + 64];
	BIGNUM *x = NULL, *y = NULL;
	const bool read = BN_dec2bn(&x, text_of(json, "x_dec")) && BN_dec2bn(&y, text_of(json, "y_dec"));

	memcpy(spki, head, sizeof head);
	const bool fits =
	    read && BN_bn2binpad(x, spki + sizeof head, 32) == 32 && BN_bn2binpad(y, spki + sizeof head + 32, 32) == 32;
	BN_free(x);
	BN_free(y);
	return fits && public_key_parse(spki, sizeof spki, out, NULL) == 0;
}

static void check_dsse(const json_t *example, struct outcome *outcome)
{
	const char *payload = text_of(example, "payload"), *pae = text_of(example, "pae");
	const json_t *envelope = json_object_get(example, "envelope");
	const char *encoded = text_of(envelope, "payload");
	const char *sig = text_of(json_array_get(json_object_get(envelope, "signatures"), 0), "sig");
	uint8_t signature[SIGNATURE_MAX], decoded[1024];
	struct public_key key;
	size_t size = 0;

	outcome->recognised = true;
	uint8_t *bytes =
	    envelope_pae(text_of(example, "payload_type"), (const uint8_t *)payload, strlen(payload), &size);
	const ssize_t n = base64_decode(sig, strlen(sig), signature, sizeof signature);
	const ssize_t m = base64_decode(encoded, strlen(encoded), decoded, sizeof decoded);
	expect(outcome, bytes && size == strlen(pae) && memcmp(bytes, pae, size) == 0, true, "signed bytes");
	expect(outcome, m == (ssize_t)strlen(payload) && memcmp(decoded, payload, (size_t)m) == 0, true, "payload");
	const bool known = p256_key(json_object_get(example, "public_key"), &key);
	expect(outcome, known && n > 0 && public_key_verify(&key, bytes, size, signature, (size_t)n), true,
	       "signature");
	expect(outcome, known && n > 0 && size > 0 && public_key_verify(&key, bytes, size - 1, signature, (size_t)n),
	       false, "signature over less");
	free(bytes);
}

/* ---- wycheproof/<name>_test.json
 * ---------------------------------------------------------------------------------------- */

static void case_name(const json_t *test, char out[120])
{
	snprintf(out, 120, "tcId %d (%s)", (int)json_integer_value(json_object_get(test, "tcId")),
		 text_of(test, "comment"));
}

static void check_signatures(const json_t *group, struct outcome *outcome)
{
	const struct bytes spki = bytes_of(group, "publicKeyDer");
	const json_t *test;
	struct public_key key;
	size_t i;

	const bool usable = public_key_parse(spki.at, spki.size, &key, NULL) == 0;
	json_array_foreach(json_object_get(group, "tests"), i, test)
	{
		const struct bytes message = bytes_of(test, "msg"), signature = bytes_of(test, "sig");
		char name[120];
		case_name(test, name);
		expect(outcome,
		       usable && public_key_verify(&key, message.at, message.size, signature.at, signature.size),
		       strcmp(text_of(test, "result"), "valid") == 0, name);
		free(message.at);
		free(signature.at);
	}
	free(spki.at);
}

static bool hkdf(const json_t *test, size_t size, uint8_t *out)
{
	struct bytes ikm = bytes_of(test, "ikm"), salt = bytes_of(test, "salt"), info = bytes_of(test, "info");
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
	    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, ikm.at, ikm.size),
	    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt.at, salt.size),
	    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.at, info.size),
	    OSSL_PARAM_construct_end(),
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
	const bool good = context && EVP_KDF_derive(context, out, size, params) == 1;

	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
	free(ikm.at);
	free(salt.at);
	free(info.at);
	return good;
}

static void check_hkdf(const json_t *group, struct outcome *outcome)
{
	const json_t *test;
	size_t i;
	json_array_foreach(json_object_get(group, "tests"), i, test)
	{
		const json_int_t size = json_integer_value(json_object_get(test, "size"));
		const struct bytes wanted = bytes_of(test, "okm");
		uint8_t *out = size > 0 && size < BYTES_MAX ? malloc((size_t)size) : NULL;
		char name[120];
		case_name(test, name);
		const bool valid = strcmp(text_of(test, "result"), "valid") == 0;
		const bool derived = out && hkdf(test, (size_t)size, out);
		expect(outcome,
		       derived && (!valid || (wanted.size == (size_t)size && memcmp(out, wanted.at, wanted.size) == 0)),
		       valid, name);
		free(out);
		free(wanted.at);
	}
}

static void check_wycheproof(const json_t *file, struct outcome *outcome)
{
	const json_t *group;
	size_t i;
	json_array_foreach(json_object_get(file, "testGroups"), i, group)
	{
		const char *type = text_of(group, "type");
		if (strcmp(type, "EddsaVerify") == 0 || strcmp(type, "EcdsaP1363Verify") == 0)
			check_signatures(group, outcome);
		else if (strcmp(type, "HkdfTest") == 0)
			check_hkdf(group, outcome);
		else
			return;
		outcome->recognised = true;
	}
	const json_t *count = json_object_get(file, "numberOfTests");
	if (outcome->recognised && (json_int_t)outcome->cases != json_integer_value(count))
		failed(outcome, "%zu cases, but the file announces %d", outcome->cases, (int)json_integer_value(count));
}

static void check_json(const char *bytes, size_t size, struct outcome *outcome)
{
	json_error_t error;
	json_t *json = json_loadb(bytes, size, JSON_ALLOW_NUL, &error);

	if (!json) {
		outcome->recognised = true;
		failed(outcome, "not JSON: line %d: %s", error.line, error.text);
	} else if (json_object_get(json, "nodes_hex")) {
		check_tree(json, outcome);
	} else if (json_object_get(json, "pae")) {
		check_dsse(json, outcome);
	} else if (json_object_get(json, "testGroups")) {
		check_wycheproof(json, outcome);
	} else if (json_object_get(json_array_get(json, 0), "vkey")) {
		check_notes(json, outcome);
	}
	json_decref(json);
}

/* ---- A signed log: vkey.txt, entries.txt, checkpoint.N, tile/
 * ---------------------------------------------------------- */

static char *read_beside(const char *folder, const char *name, size_t *size)
{
	char path[4096];
	if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
		return NULL;
	return read_file(path, size);
}

/* Whether the checkpoint is by that key, of that size and over the first leaves. */
static bool checkpoint_holds(const char *bytes, size_t size, const struct note_key *key, struct leaves *leaves,
			     uint64_t *tree_size)
{
	struct note note;
	struct checkpoint checkpoint;
	struct hash root;

	if (!bytes || note_parse(bytes, size, &note, NULL) || note_verify(&note, key, NULL) != NOTE_GOOD ||
	    checkpoint_parse(note.text, note.text_size, &checkpoint, NULL) || checkpoint.size > leaves->n ||
	    merkle_root(read_leaves, leaves, checkpoint.size, &root))
		return false;
	*tree_size = checkpoint.size;
	return strcmp(checkpoint.origin, key->name) == 0 && hash_compare(&root, &checkpoint.root) == 0;
}

static void check_tile(const char *folder, struct leaves *leaves, size_t n, struct outcome *outcome)
{
	char name[80];
	size_t size;
	snprintf(name, sizeof name, "tile/0/000.p/%zu", n);
	char *bytes = read_beside(folder, name, &size);
	if (!bytes)
		return; /* a log need not keep every partial tile */
	expect(outcome, size == n * HASH_SIZE && memcmp(bytes, leaves->hashes, size) == 0, true, name);
	free(bytes);
}

/* An entry bundle: for each entry its length in two bytes and itself. */
static void check_bundle(const char *folder, const struct leaves *leaves, size_t n, struct outcome *outcome)
{
	char name[80];
	size_t size, at = 0, count = 0;
	bool holds = true;
	snprintf(name, sizeof name, "tile/entries/000.p/%zu", n);
	char *bytes = read_beside(folder, name, &size);
	if (!bytes)
		return;
	while (holds && at + 2 <= size) {
		const size_t length = (size_t)(uint8_t)bytes[at] << 8 | (uint8_t)bytes[at + 1];
		holds = length <= size - at - 2 && count < leaves->n;
		if (!holds)
			break;
		const struct hash leaf = merkle_leaf(bytes + at + 2, length);
		holds = hash_compare(&leaf, &leaves->hashes[count++]) == 0;
		at += 2 + length;
	}
	expect(outcome, holds && at == size && count == n, true, name);
	free(bytes);
}

static void check_checkpoints(const char *folder, const struct note_key *key, struct leaves *leaves,
			      struct outcome *outcome)
{
	for (size_t n = 0; n <= leaves->n; n++) {
		char name[40];
		size_t size;
		uint64_t tree_size = 0;
		snprintf(name, sizeof name, "checkpoint.%zu", n);
		char *bytes = read_beside(folder, name, &size);
		if (bytes)
			expect(outcome, checkpoint_holds(bytes, size, key, leaves, &tree_size) && tree_size == n, true,
			       name);
		free(bytes);
		check_tile(folder, leaves, n, outcome);
		check_bundle(folder, leaves, n, outcome);
	}
}

static void check_log(const char *folder, char *vkey, struct outcome *outcome)
{
	struct leaves *leaves = calloc(1, sizeof *leaves);
	size_t size;
	char *entries = read_beside(folder, "entries.txt", &size), *rest = NULL;
	struct note_key key;

	outcome->recognised = entries != NULL;
	vkey[strcspn(vkey, "\n")] = '\0';
	if (entries && leaves && note_key_parse(vkey, &key) == 0) {
		for (char *line = strtok_r(entries, "\n", &rest); line && leaves->n < LOG_LEAVES_MAX;
		     line = strtok_r(NULL, "\n", &rest))
			leaves->hashes[leaves->n++] = merkle_leaf(line, strlen(line));
		check_checkpoints(folder, &key, leaves, outcome);
		char *last = read_beside(folder, "checkpoint", &size);
		uint64_t tree_size = 0;
		expect(outcome, checkpoint_holds(last, size, &key, leaves, &tree_size) && tree_size == leaves->n, true,
		       "checkpoint");
		free(last);
	} else if (entries) {
		failed(outcome, "vkey.txt holds no key");
	}
	free(entries);
	free(leaves);
}

/* ---- Walk
 * ---------------------------------------------------------------------------------------------------------------- */

static size_t n_passed, n_failed;

static bool ends_with(const char *text, const char *end)
{
	const size_t n = strlen(text), m = strlen(end);
	return n >= m && strcmp(text + n - m, end) == 0;
}

static void report(const char *name, const struct outcome *outcome)
{
	if (outcome->failure[0] || outcome->cases == 0) {
		printf("FAILED %s: %s\n", name, outcome->failure[0] ? outcome->failure : "no cases");
		n_failed++;
	} else {
		printf("ok %s (%zu cases)\n", name, outcome->cases);
		n_passed++;
	}
}

/* Files of a signed log are checked with its vkey.txt. */
static bool belongs_to_log(const char *path)
{
	return strstr(path, "/tile/") || strstr(path, "/checkpoint") || ends_with(path, "/entries.txt");
}

static int visit(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	static size_t root_length;
	struct outcome outcome = {0};
	size_t size;
	(void)status;

	if (walk->level == 0)
		root_length = strlen(path);
	if (kind != FTW_F || belongs_to_log(path))
		return 0;
	const char *name = walk->level == 0 ? path + walk->base : path + root_length + strspn(path + root_length, "/");
	char *bytes = read_file(path, &size);
	if (!bytes) {
		outcome.recognised = true;
		failed(&outcome, "cannot be read");
	} else if (ends_with(path, ".jsonl")) {
		check_jsonl(bytes, &outcome);
	} else if (ends_with(path, ".json")) {
		check_json(bytes, size, &outcome);
	} else if (ends_with(path, "/vkey.txt")) {
		char folder[4096];
		snprintf(folder, sizeof folder, "%.*s", walk->base - 1, path);
		check_log(folder, bytes, &outcome);
	}
	if (outcome.recognised)
		report(name, &outcome);
	else
		fprintf(stderr, "passed over: %s\n", name);
	free(bytes);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: vectors DIR\n");
		return 2;
	}
	if (nftw(argv[1], visit, 16, FTW_PHYS) != 0) {
		perror(argv[1]);
		return 1;
	}
	printf("%zu passed, %zu failed\n", n_passed, n_failed);
	return n_failed > 0 || n_passed == 0;
}
