/* prefix against its definition (protocol.md section 11), written down recursively. */
#include "tests/lib/unit.h"

#include <time.h>

#include "proto/proof/prefix.h"

enum { MANY = 100000 };

static uint64_t seed = 0x9e3779b97f4a7c15;

static unsigned bit_of(const struct hash *key, unsigned depth)
{
	return key->bytes[depth / 8] >> (7 - depth % 8) & 1;
}

static struct hash model_root(const struct prefix_entry *entries, size_t n, unsigned depth)
{
	if (n == 0)
		return hash_zero;
	if (n == 1)
		return hash_parts((struct hash_part[]){{"\x02", 1}, {&entries->key, 32}, {&entries->value, 32}}, 3);
	size_t ones = 0;
	while (ones < n && bit_of(&entries[ones].key, depth) == 0)
		ones++;
	const struct hash zero = model_root(entries, ones, depth + 1);
	const struct hash one = model_root(entries + ones, n - ones, depth + 1);
	return hash_parts((struct hash_part[]){{"\x03", 1}, {&zero, 32}, {&one, 32}}, 3);
}

static int compare(const void *a, const void *b)
{
	return hash_compare(&((const struct prefix_entry *)a)->key, &((const struct prefix_entry *)b)->key);
}

/* n sorted entries; clustered keys share a long prefix, so that deep trees occur. */
static struct prefix_entry *make(size_t n, bool clustered)
{
	struct prefix_entry *entries = calloc(n + 1, sizeof *entries);
	assert_non_null(entries);
	for (size_t i = 0; i < n; i++) {
		const uint64_t key = test_random(&seed), value = test_random(&seed);
		entries[i].key = hash_of(&key, sizeof key);
		entries[i].value = hash_of(&value, sizeof value);
		if (!clustered)
			continue;
		const size_t shared = key % 31;
		memset(entries[i].key.bytes, 0x55, shared);
	}
	qsort(entries, n, sizeof *entries, compare);
	return entries;
}

static bool verify(const struct hash *root, const struct hash *key, const struct hash *value,
		   const struct prefix_proof *proof)
{
	return prefix_verify(root, key, value, proof->siblings[0].bytes, proof->depth, proof->terminal, &proof->other);
}

static void test_check_value(void **state)
{
	static const char *const names[] = {"T", "K/AA", "R/AA/1", "R/AA/2"}, *const values[] = {"a", "b", "c", "d"};
	struct prefix_entry entries[4];
	struct hash root;
	char hex[65];
	(void)state;
	for (size_t i = 0; i < 4; i++)
		entries[i] = (struct prefix_entry){hash_name(names[i]), hash_of(values[i], 1)};
	qsort(entries, 4, sizeof entries[0], compare);
	struct prefix_tree *tree = prefix_create(entries, 4);
	assert_non_null(tree);
	prefix_root(tree, &root);
	hash_to_hex(&root, hex);
	assert_string_equal(hex, "6a4e17c586a4320122d13d620924bd48da464d758fc70bfa4d92f26727cd0f6b");
	prefix_destroy(tree);
}

static void check_present(const struct prefix_tree *tree, const struct hash *root, const struct prefix_entry *entry)
{
	struct prefix_proof proof;
	prefix_prove(tree, &entry->key, &proof);
	assert_int_equal(proof.terminal, PREFIX_FOUND);
	assert_true(verify(root, &entry->key, &entry->value, &proof));
	assert_false(verify(root, &entry->key, &entry->key, &proof));
	assert_false(verify(&entry->key, &entry->key, &entry->value, &proof));
	/* Presence never turns into absence, with whatever terminal. */
	proof.terminal = PREFIX_EMPTY;
	assert_false(verify(root, &entry->key, &entry->value, &proof));
	proof.terminal = PREFIX_OTHER;
	proof.other = *entry;
	assert_false(verify(root, &entry->key, &entry->value, &proof));
	proof.terminal = PREFIX_FOUND;
	if (proof.depth == 0)
		return;
	proof.siblings[proof.depth / 2].bytes[3] ^= 4;
	assert_false(verify(root, &entry->key, &entry->value, &proof));
	proof.siblings[proof.depth / 2].bytes[3] ^= 4;
	proof.depth--;
	assert_false(verify(root, &entry->key, &entry->value, &proof));
}

static void check_absent(const struct prefix_tree *tree, const struct hash *root, const struct hash *key)
{
	struct prefix_proof proof;
	prefix_prove(tree, key, &proof);
	assert_int_not_equal(proof.terminal, PREFIX_FOUND);
	assert_true(verify(root, key, NULL, &proof));
	const struct hash value = proof.other.value;
	proof.terminal = PREFIX_FOUND;
	assert_false(verify(root, key, &value, &proof));
}

static void check_tree(size_t n, bool clustered)
{
	struct prefix_entry *entries = make(n, clustered);
	struct prefix_tree *tree = prefix_create(entries, n);
	const struct hash wanted = model_root(entries, n, 0);
	struct hash root;

	assert_non_null(tree);
	prefix_root(tree, &root);
	assert_memory_equal(&root, &wanted, sizeof root);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(prefix_find(tree, &entries[i].key), i);
		check_present(tree, &root, &entries[i]);
		struct hash near = entries[i].key;
		near.bytes[i % 32] ^= (uint8_t)(1 << i % 8);
		if (prefix_find(tree, &near) < 0)
			check_absent(tree, &root, &near);
	}
	const struct hash far = hash_of("far", 3);
	check_absent(tree, &root, &far);
	prefix_destroy(tree);
	free(entries);
}

static void test_model(void **state)
{
	(void)state;
	for (size_t n = 0; n < 40; n++) {
		check_tree(n, false);
		check_tree(n, true);
	}
	check_tree(1000, false);
	check_tree(1000, true);
}

static void test_last_bit(void **state)
{
	struct prefix_entry entries[2] = {{hash_zero, hash_zero}, {hash_zero, hash_zero}};
	struct prefix_proof proof;
	struct hash root;
	(void)state;
	entries[1].key.bytes[31] = 1;
	struct prefix_tree *tree = prefix_create(entries, 2);
	assert_non_null(tree);
	prefix_root(tree, &root);
	prefix_prove(tree, &entries[1].key, &proof);
	assert_int_equal(proof.depth, PREFIX_DEPTH_MAX);
	assert_true(verify(&root, &entries[1].key, &entries[1].value, &proof));
	proof.depth++;
	assert_false(verify(&root, &entries[1].key, &entries[1].value, &proof));
	prefix_destroy(tree);
}

/* OTHER must speak of a leaf that stands where the asked key would: one that shares the way to it, and is not it. */
static void test_foreign_other(void **state)
{
	struct prefix_entry *entries = make(64, false);
	struct prefix_tree *tree = prefix_create(entries, 64);
	struct prefix_proof proof;
	struct hash root;
	(void)state;
	prefix_root(tree, &root);
	prefix_prove(tree, &entries[5].key, &proof);
	proof.terminal = PREFIX_OTHER;
	proof.other = entries[5];
	assert_false(verify(&root, &entries[40].key, NULL, &proof));
	assert_false(verify(&root, &entries[5].key, NULL, &proof));
	prefix_destroy(tree);
	free(entries);
}

static void test_order(void **state)
{
	struct prefix_entry *entries = make(3, false), swap = entries[0];
	(void)state;
	entries[0] = entries[1];
	assert_null(prefix_create(entries, 3));
	entries[1] = swap;
	assert_null(prefix_create(entries, 3));
	free(entries);
	prefix_destroy(NULL);
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Shows the speed; the bounds are loose, for slow machines and sanitizers. */
/* The entries with some values changed and some keys added; changed gets their indices. */
static struct prefix_entry *change(const struct prefix_entry *old, size_t n_old, size_t n_new, uint32_t *changed,
				   size_t *n_changed, bool clustered)
{
	struct prefix_entry *next = make(n_old + n_new, clustered);

	/* the random ones that are left over become the new keys */
	memcpy(next, old, n_old * sizeof *next);
	for (size_t i = 0; i < n_old && n_old > 0 && test_random(&seed) % 4 != 0; i += 1 + test_random(&seed) % n_old)
		next[i].value.bytes[0] ^= 1;
	qsort(next, n_old + n_new, sizeof *next, compare);
	*n_changed = 0;
	for (size_t i = 0, j = 0; i < n_old + n_new; i++) {
		bool same = j < n_old && hash_compare(&next[i].key, &old[j].key) == 0;
		if (!same || hash_compare(&next[i].value, &old[j].value) != 0)
			changed[(*n_changed)++] = (uint32_t)i;
		j += same;
	}
	return next;
}

static void assert_same_tree(const struct prefix_tree *a, const struct prefix_tree *b,
			     const struct prefix_entry *entries, size_t n)
{
	struct hash x, y;
	struct prefix_proof p, q;

	prefix_root(a, &x);
	prefix_root(b, &y);
	assert_memory_equal(&x, &y, sizeof x);
	for (size_t i = 0; i < n; i++) {
		struct hash beside = entries[i].key;
		beside.bytes[31] ^= 1;
		assert_int_equal(prefix_find(a, &entries[i].key), (long)i);
		prefix_prove(a, &entries[i].key, &p);
		assert_true(verify(&y, &entries[i].key, &entries[i].value, &p));
		prefix_prove(a, &beside, &p);
		prefix_prove(b, &beside, &q);
		assert_int_equal(p.depth, q.depth);
		assert_int_equal(p.terminal, q.terminal);
		assert_true(verify(&y, &beside, NULL, &p));
	}
}

/* A tree made from the one before is the tree made anew. */
static void test_next(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 3, 10, 300, 2000};

	(void)state;
	for (size_t round = 0; round < 60; round++) {
		const bool clustered = round % 2 != 0;
		size_t n = sizes[round % 7], n_changed;
		struct prefix_entry *entries = make(n, clustered);
		struct prefix_tree *tree = prefix_create(entries, n);
		for (size_t step = 0; step < 5; step++) {
			const size_t more = test_random(&seed) % 4 * (1 + step % 2 * n / 100);
			uint32_t *changed = calloc(n + more + 1, sizeof *changed);
			struct prefix_entry *next = change(entries, n, more, changed, &n_changed, clustered);
			struct prefix_tree *made = prefix_create_next(next, n + more, tree, changed, n_changed);
			struct prefix_tree *anew = prefix_create(next, n + more);
			assert_non_null(made);
			assert_same_tree(made, anew, next, n + more);
			assert_int_equal(prefix_memory(made), prefix_memory(anew));
			prefix_destroy(anew);
			prefix_destroy(tree);
			free(entries);
			free(changed);
			entries = next;
			tree = made;
			n += more;
		}
		prefix_destroy(tree);
		free(entries);
	}
}

static void test_speed(void **state)
{
	struct prefix_entry *entries = make(MANY, false);
	uint8_t siblings[PREFIX_DEPTH_MAX * HASH_SIZE];
	enum prefix_terminal terminal;
	const struct prefix_entry *other;
	unsigned depths = 0;
	(void)state;
	double start = seconds();
	struct prefix_tree *tree = prefix_create(entries, MANY);
	const double build = seconds() - start;
	assert_non_null(tree);
	start = seconds();
	for (size_t i = 0; i < MANY; i++)
		depths += prefix_prove_bytes(tree, &entries[i * 7919 % MANY].key, siblings, &terminal, &other);
	const double prove = (seconds() - start) / MANY;
	print_message("%d names: built in %.0f ms, %.1f MB; a proof of %.1f levels takes %.2f us\n", MANY, build * 1e3,
		      (double)prefix_memory(tree) / 1e6, (double)depths / MANY, prove * 1e6);
	const uint32_t one = MANY / 2;
	entries[one].value = hash_zero;
	start = seconds();
	struct prefix_tree *next = prefix_create_next(entries, MANY, tree, &one, 1);
	print_message("after one change made in %.0f ms\n", (seconds() - start) * 1e3);
	assert_non_null(next);
	prefix_destroy(next);
	assert_true(build < 5.0);
	assert_true(prove < 100e-6);
	prefix_destroy(tree);
	free(entries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_check_value),   cmocka_unit_test(test_model), cmocka_unit_test(test_last_bit),
	    cmocka_unit_test(test_foreign_other), cmocka_unit_test(test_order), cmocka_unit_test(test_next),
	    cmocka_unit_test(test_speed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
