#include "tests/lib/unit.h"

#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clients/libpoc/known.h"
#include "proto/rules/keys.h"

enum { AT = 1790000000, WRITERS = 8, EACH = 20 };

struct place {
	char dir[64];
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int setup(void **context)
{
	struct place *p = calloc(1, sizeof *p);

	snprintf(p->dir, sizeof p->dir, "/tmp/test_known.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	*context = p;
	return 0;
}

static int teardown(void **context)
{
	struct place *p = *context;

	nftw(p->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(p);
	return 0;
}

static struct known known_of(const char *state, uint64_t seq, const char *authority)
{
	struct known known = {.seq = seq, .authority = hash_of(authority, strlen(authority)), .at = AT};

	snprintf(known.state, sizeof known.state, "%s", state);
	return known;
}

static void note(const struct place *p, const char *state, uint64_t seq, const char *authority)
{
	struct known known = known_of(state, seq, authority);
	struct refusal why = {0};

	if (known_note(p->dir, &known, &why) != 0)
		fail_msg("%s", why.message);
}

static enum poc_keys judged(const struct place *p, const char *state, const char *authority)
{
	struct hash hash = hash_of(authority, strlen(authority));
	struct poc_verdict verdict = {0};

	known_judge(p->dir, state, &hash, &verdict);
	assert_int_equal(verdict.keys_verified,
			 verdict.keys == POC_KEYS_VERIFIED || verdict.keys == POC_KEYS_CHANGED ? AT : 0);
	return verdict.keys;
}

static void test_remembered(void **context)
{
	struct place *p = *context;
	struct known known;

	assert_int_equal(judged(p, "XB", "one"), POC_KEYS_NEVER);
	note(p, "XB", 1, "one");
	note(p, "@directory", 3, "staff");
	note(p, "AD", 2, "two");
	assert_int_equal(judged(p, "XB", "one"), POC_KEYS_VERIFIED);
	assert_int_equal(judged(p, "XB", "other"), POC_KEYS_CHANGED);
	assert_int_equal(judged(p, "XA", "one"), POC_KEYS_NEVER);
	assert_int_equal(judged(p, "@directory", "staff"), POC_KEYS_VERIFIED);
	note(p, "XB", 2, "other");
	assert_int_equal(judged(p, "XB", "other"), POC_KEYS_VERIFIED);
	assert_int_equal(known_find(p->dir, "XB", &known, NULL), 0);
	assert_int_equal(known.seq, 2);
	assert_int_equal(known_find(p->dir, "AD", &known, NULL), 0);
	assert_int_equal(known_find(p->dir, "XC", &known, NULL), STATUS_NOT_FOUND);
}

/* Each byte of the file changed, and each shorter one: never taken for what it was, nor for nothing. */
static void test_damaged(void **context)
{
	struct place *p = *context;
	struct refusal why = {0};
	struct known known;
	uint8_t *bytes;
	size_t size;

	note(p, "XA", 1, "one");
	note(p, "XB", 1, "one");
	assert_int_equal(held_read_file(p->dir, "known", 65536, &bytes, &size, &why), 0);
	for (size_t i = 0; i < size; i++) {
		bytes[i] ^= 0x01;
		assert_int_equal(held_write_file(p->dir, "known", bytes, size, &why), 0);
		assert_int_equal(known_find(p->dir, "XA", &known, NULL), STATUS_DAMAGED);
		assert_int_equal(judged(p, "XA", "one"), POC_KEYS_UNKNOWN);
		bytes[i] ^= 0x01;
		assert_int_equal(held_write_file(p->dir, "known", bytes, i, &why), 0);
		assert_int_equal(known_find(p->dir, "XA", &known, NULL), STATUS_DAMAGED);
	}
	known = known_of("XC", 1, "one"); /* nothing is written over what cannot be read */
	assert_int_equal(known_note(p->dir, &known, &why), STATUS_DAMAGED);
	assert_int_equal(held_write_file(p->dir, "known", bytes, size, &why), 0);
	assert_int_equal(judged(p, "XB", "one"), POC_KEYS_VERIFIED);
	free(bytes);
}

static void test_many_writers(void **context)
{
	struct place *p = *context;
	struct known known;
	char state[3] = "AA";

	for (int i = 0; i < WRITERS; i++) {
		if (fork() != 0)
			continue;
		for (int j = 0; j < EACH; j++) {
			known = known_of("AA", 1, "one");
			known.state[0] = (char)('A' + i);
			known.state[1] = (char)('A' + j);
			if (known_note(p->dir, &known, NULL) != 0)
				_exit(1);
		}
		_exit(0);
	}
	for (int i = 0, status; i < WRITERS; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	for (int i = 0; i < WRITERS * EACH; i++) {
		state[0] = (char)('A' + i / EACH);
		state[1] = (char)('A' + i % EACH);
		assert_int_equal(known_find(p->dir, state, &known, NULL), 0);
	}
}

/* The order of keys says nothing; a key or the threshold does. */
static void test_authority(void **context)
{
	Poc__Key keys[3], *list[] = {&keys[0], &keys[1], &keys[2]}, *turned[] = {&keys[2], &keys[0], &keys[1]};
	uint8_t bytes[3] = {1, 2, 3};
	Poc__Keys k = POC__KEYS__INIT;

	(void)context;
	for (size_t i = 0; i < 3; i++) {
		poc__key__init(&keys[i]);
		keys[i].spki = (ProtobufCBinaryData){1, &bytes[i]};
	}
	k.authority = list;
	k.n_authority = 3;
	k.authority_threshold = 2;
	struct hash first = keys_authority(&k);
	k.authority = turned;
	struct hash same = keys_authority(&k);
	assert_int_equal(hash_compare(&first, &same), 0);
	k.authority_threshold = 3;
	struct hash threshold = keys_authority(&k);
	assert_int_not_equal(hash_compare(&first, &threshold), 0);
	k.authority_threshold = 2;
	k.n_authority = 2;
	struct hash fewer = keys_authority(&k);
	assert_int_not_equal(hash_compare(&first, &fewer), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_remembered, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_many_writers, setup, teardown),
	    cmocka_unit_test(test_authority),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
