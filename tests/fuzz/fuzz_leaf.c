/* Leaves, and proofs of tree and map, from arbitrary bytes: none leads to a root that was made up. */
#include <string.h>

#include "proto/proof/checkpoint.h"
#include "proto/proof/merkle.h"
#include "proto/proof/prefix.h"
#include "tests/fuzz/fuzz.h"

static void check_leaf(const uint8_t *bytes, size_t size)
{
	struct leaf leaf;
	uint8_t again[LEAF_SIZE];
	if (size < LEAF_SIZE || leaf_read(bytes, &leaf) != 0)
		return;
	leaf_write(&leaf, again);
	MUST(memcmp(again, bytes, LEAF_SIZE) == 0);
}

static void check_proofs(const uint8_t *bytes, size_t size)
{
	const struct hash root = hash_of("nobody has this root", 20);
	static struct hash path[MERKLE_CONSISTENCY_MAX];
	uint64_t numbers[3];
	struct prefix_entry other;

	if (size < sizeof numbers + sizeof other)
		return;
	memcpy(numbers, bytes, sizeof numbers);
	memcpy(&other, bytes + sizeof numbers, sizeof other);
	if (hash_compare(&other.key, &root) == 0)
		return; /* a tree of one leaf has its hash as root, and a tree is consistent with itself */
	bytes += sizeof numbers + sizeof other;
	size -= sizeof numbers + sizeof other;
	const size_t n = size / HASH_SIZE < MERKLE_CONSISTENCY_MAX ? size / HASH_SIZE : MERKLE_CONSISTENCY_MAX;
	memcpy(path, bytes, n * HASH_SIZE);
	MUST(!merkle_verify_inclusion(numbers[0], numbers[1], &other.key, path, n, &root));
	MUST(!merkle_verify_consistency(numbers[0], &other.key, numbers[1], &root, path, n));
	MUST(!merkle_verify_subtree_inclusion(numbers[0], numbers[1], numbers[2], &other.key, path, n, &root));
	merkle_verify_subtree_consistency(numbers[0], numbers[1], &root, numbers[2], &other.key, path, n);
	for (int terminal = PREFIX_FOUND; terminal <= PREFIX_OTHER + 1; terminal++)
		MUST(!prefix_verify(&root, &other.value, &other.key, path[0].bytes, (unsigned)n,
				    (enum prefix_terminal)terminal, &other));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	check_leaf(bytes, size);
	check_proofs(bytes, size);
	return 0;
}
