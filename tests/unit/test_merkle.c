/* merkle against the definitions of RFC 6962, written down recursively. */
#include "tests/lib/unit.h"

#include "proto/proof/merkle.h"

enum { LEAVES = 70 };

static struct hash leaves[LEAVES];

/* ---- The model: MTH, PATH and SUBPROOF of RFC 6962 section 2.1 -------------------------------------------------- */

static uint64_t split(uint64_t n)
{
	uint64_t k = 1;
	while (2 * k < n)
		k *= 2;
	return k;
}

static struct hash model_root(uint64_t begin, uint64_t end)
{
	if (begin == end)
		return merkle_empty_root();
	if (end - begin == 1)
		return leaves[begin];
	const uint64_t k = split(end - begin);
	const struct hash left = model_root(begin, begin + k), right = model_root(begin + k, end);
	return merkle_node(&left, &right);
}

static void model_path(uint64_t index, uint64_t begin, uint64_t end, struct merkle_proof *out)
{
	if (end - begin == 1)
		return;
	const uint64_t k = split(end - begin);
	if (index < begin + k) {
		model_path(index, begin, begin + k, out);
		out->hashes[out->length++] = model_root(begin + k, end);
	} else {
		model_path(index, begin + k, end, out);
		out->hashes[out->length++] = model_root(begin, begin + k);
	}
}

static void model_subproof(uint64_t m, uint64_t begin, uint64_t end, bool whole, struct merkle_proof *out)
{
	if (m == end - begin) {
		if (!whole)
			out->hashes[out->length++] = model_root(begin, end);
		return;
	}
	const uint64_t k = split(end - begin);
	if (m <= k) {
		model_subproof(m, begin, begin + k, whole, out);
		out->hashes[out->length++] = model_root(begin + k, end);
	} else {
		model_subproof(m - k, begin + k, end, false, out);
		out->hashes[out->length++] = model_root(begin, begin + k);
	}
}

/* ---- Tests ---------------------------------------------------------------------------------------------------------
 */

static int read_node(void *ctx, unsigned level, uint64_t index, struct hash *out)
{
	(void)ctx;
	*out = model_root(index << level, (index + 1) << level);
	return 0;
}

static int read_fails(void *ctx, unsigned level, uint64_t index, struct hash *out)
{
	(void)ctx, (void)level, (void)index, (void)out;
	return 26;
}

static int setup(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < LEAVES; i++)
		leaves[i] = merkle_leaf(&i, sizeof i);
	return 0;
}

static void assert_proof_equal(const struct merkle_proof *a, const struct merkle_proof *b)
{
	assert_int_equal(a->length, b->length);
	assert_memory_equal(a->hashes, b->hashes, a->length * sizeof a->hashes[0]);
}

static void test_root(void **state)
{
	(void)state;
	for (uint64_t size = 0; size <= LEAVES; size++) {
		const struct hash wanted = model_root(0, size);
		struct hash root;
		assert_int_equal(merkle_root(read_node, NULL, size, &root), 0);
		assert_memory_equal(&root, &wanted, sizeof root);
	}
	struct hash root;
	assert_int_equal(merkle_root(read_fails, NULL, 3, &root), 26);
}

static void test_inclusion(void **state)
{
	(void)state;
	for (uint64_t size = 1; size <= LEAVES; size++) {
		const struct hash root = model_root(0, size);
		for (uint64_t i = 0; i < size; i++) {
			struct merkle_proof wanted = {0}, proof;
			model_path(i, 0, size, &wanted);
			assert_int_equal(merkle_inclusion(read_node, NULL, i, size, &proof), 0);
			assert_proof_equal(&proof, &wanted);
			assert_true(merkle_verify_inclusion(i, size, &leaves[i], proof.hashes, proof.length, &root));
			assert_false(
			    merkle_verify_inclusion(i ^ 1, size, &leaves[i], proof.hashes, proof.length, &root));
			assert_false(
			    merkle_verify_inclusion(i, size, &leaves[i], proof.hashes, proof.length + 1, &root));
			if (proof.length == 0)
				continue;
			assert_false(
			    merkle_verify_inclusion(i, size, &leaves[i], proof.hashes, proof.length - 1, &root));
			proof.hashes[proof.length / 2].bytes[7] ^= 1;
			assert_false(merkle_verify_inclusion(i, size, &leaves[i], proof.hashes, proof.length, &root));
		}
	}
	struct merkle_proof proof;
	assert_int_not_equal(merkle_inclusion(read_node, NULL, 0, 0, &proof), 0);
	assert_int_not_equal(merkle_inclusion(read_node, NULL, 5, 5, &proof), 0);
	assert_int_equal(merkle_inclusion(read_fails, NULL, 0, 5, &proof), 26);
	assert_false(merkle_verify_inclusion(0, 0, &leaves[0], NULL, 0, &leaves[0]));
}

static void test_consistency(void **state)
{
	(void)state;
	for (uint64_t size = 1; size <= LEAVES; size++) {
		const struct hash root = model_root(0, size);
		for (uint64_t old = 1; old <= size; old++) {
			const struct hash old_root = model_root(0, old);
			struct merkle_proof wanted = {0}, proof;
			model_subproof(old, 0, size, true, &wanted);
			assert_int_equal(merkle_consistency(read_node, NULL, old, size, &proof), 0);
			assert_proof_equal(&proof, &wanted);
			assert_true(merkle_verify_consistency(old, &old_root, size, &root, proof.hashes, proof.length));
			assert_false(
			    merkle_verify_consistency(old, &leaves[69], size, &root, proof.hashes, proof.length));
			assert_false(
			    merkle_verify_consistency(old, &old_root, size, &leaves[69], proof.hashes, proof.length));
			assert_false(
			    merkle_verify_consistency(old, &old_root, size, &root, proof.hashes, proof.length + 1));
			if (proof.length == 0)
				continue;
			assert_false(
			    merkle_verify_consistency(size, &old_root, old, &root, proof.hashes, proof.length));
			proof.hashes[0].bytes[31] ^= 0x80;
			assert_false(
			    merkle_verify_consistency(old, &old_root, size, &root, proof.hashes, proof.length));
		}
	}
}

static void test_consistency_empty(void **state)
{
	const struct hash empty = merkle_empty_root();
	struct merkle_proof proof;
	(void)state;
	assert_true(merkle_verify_consistency(0, &empty, 0, &empty, NULL, 0));
	assert_false(merkle_verify_consistency(0, &empty, 1, &leaves[0], NULL, 0));
	assert_false(merkle_verify_consistency(0, &leaves[0], 0, &leaves[0], NULL, 0));
	assert_false(merkle_verify_consistency(0, &leaves[0], 1, &leaves[0], NULL, 0));
	assert_false(merkle_verify_consistency(0, &empty, 0, &leaves[0], NULL, 0));
	assert_false(merkle_verify_consistency(0, &empty, 1, &leaves[0], &leaves[1], 1));
	assert_false(merkle_verify_consistency(1, &leaves[0], 0, &empty, NULL, 0));
	assert_int_not_equal(merkle_consistency(read_node, NULL, 0, 5, &proof), 0);
	assert_int_not_equal(merkle_consistency(read_node, NULL, 6, 5, &proof), 0);
	assert_int_equal(merkle_consistency(read_node, NULL, 5, 5, &proof), 0);
	assert_int_equal(proof.length, 0);
}

/* A proof of the largest sizes is refused or accepted, but always ends. */
static void test_far_sizes(void **state)
{
	struct hash path[MERKLE_PATH_MAX] = {{{0}}};
	(void)state;
	assert_false(merkle_verify_inclusion(0, UINT64_MAX, &leaves[0], path, MERKLE_PATH_MAX, &leaves[0]));
	assert_false(merkle_verify_inclusion(UINT64_MAX - 1, UINT64_MAX, &leaves[0], path, 3, &leaves[0]));
	assert_false(merkle_verify_consistency(1, &leaves[0], UINT64_MAX, &leaves[1], path, MERKLE_PATH_MAX));
	assert_false(merkle_verify_consistency(UINT64_MAX - 1, &leaves[0], UINT64_MAX, &leaves[1], path, 9));
	assert_false(merkle_verify_subtree_consistency(1, UINT64_MAX, &leaves[0], UINT64_MAX, &leaves[0], path, 9));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_root),        cmocka_unit_test(test_inclusion),
	    cmocka_unit_test(test_consistency), cmocka_unit_test(test_consistency_empty),
	    cmocka_unit_test(test_far_sizes),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
