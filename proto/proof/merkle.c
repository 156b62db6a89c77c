#include "proto/proof/merkle.h"

#include "proto/wire/status.h"

struct hash merkle_leaf(const void *leaf, size_t size)
{
	struct hash_part parts[] = {{"\x00", 1}, {leaf, size}};

	return hash_parts(parts, 2);
}

struct hash merkle_node(const struct hash *left, const struct hash *right)
{
	struct hash_part parts[] = {{"\x01", 1}, {left->bytes, HASH_SIZE}, {right->bytes, HASH_SIZE}};

	return hash_parts(parts, 3);
}

struct hash merkle_empty_root(void)
{
	return hash_of("", 0);
}

static unsigned trailing_zeros(uint64_t n)
{
	return (unsigned)__builtin_ctzll(n);
}

static unsigned highest_bit(uint64_t n)
{
	return 63 - (unsigned)__builtin_clzll(n);
}

/* Hash of leaves [begin, end), where begin is a multiple of the next power of two at or above the width: its complete
 * subtrees, from the right end inwards. */
static int range_hash(merkle_read_fn read, void *ctx, uint64_t begin, uint64_t end, struct hash *out)
{
	unsigned level = trailing_zeros(end - begin);
	uint64_t at = end - ((uint64_t)1 << level);
	int status = read(ctx, level, at >> level, out);

	while (status == 0 && at > begin) {
		struct hash left;
		level = trailing_zeros(at - begin);
		at -= (uint64_t)1 << level;
		status = read(ctx, level, at >> level, &left);
		if (status == 0)
			*out = merkle_node(&left, out);
	}
	return status;
}

int merkle_root(merkle_read_fn read, void *ctx, uint64_t size, struct hash *out)
{
	if (size == 0) {
		*out = merkle_empty_root();
		return 0;
	}
	return range_hash(read, ctx, 0, size, out);
}

/* End of the subtree of that level at begin, which may be cut off by the tree's end. */
static uint64_t subtree_end(uint64_t begin, unsigned level, uint64_t size)
{
	uint64_t width = (uint64_t)1 << level;

	return size - begin < width ? size : begin + width;
}

int merkle_inclusion(merkle_read_fn read, void *ctx, uint64_t index, uint64_t size, struct merkle_proof *out)
{
	out->length = 0;
	if (index >= size)
		return STATUS_INVALID;
	for (unsigned level = 0; level < 64 && (size - 1) >> level > 0; level++) {
		uint64_t sibling = (index >> level) ^ 1;
		uint64_t begin = sibling << level;
		if (begin >= size)
			continue; /* no sibling: the node moves up unchanged */
		int status = range_hash(read, ctx, begin, subtree_end(begin, level, size), &out->hashes[out->length++]);
		if (status != 0)
			return status;
	}
	return 0;
}

int merkle_consistency(merkle_read_fn read, void *ctx, uint64_t old_size, uint64_t size, struct merkle_proof *out)
{
	out->length = 0;
	if (old_size == 0 || old_size > size)
		return STATUS_INVALID;
	if (old_size == size)
		return 0;
	/* The path of the last complete subtree of the old tree, preceded by its hash unless it is the whole old tree.
	 */
	unsigned level = trailing_zeros(old_size);
	uint64_t node = (old_size - 1) >> level;
	if (node > 0) {
		int status = read(ctx, level, node, &out->hashes[out->length++]);
		if (status != 0)
			return status;
	}
	for (; level < 64 && (size - 1) >> level > 0; level++, node >>= 1) {
		uint64_t begin = (node ^ 1) << level;
		if (begin >= size)
			continue;
		int status = range_hash(read, ctx, begin, subtree_end(begin, level, size), &out->hashes[out->length++]);
		if (status != 0)
			return status;
	}
	return 0;
}

bool merkle_verify_inclusion(uint64_t index, uint64_t size, const struct hash *leaf_hash, const struct hash *path,
			     size_t length, const struct hash *root)
{
	if (index >= size)
		return false;
	/* RFC 9162 section 2.1.3.2 */
	uint64_t fn = index, sn = size - 1;
	struct hash r = *leaf_hash;
	for (size_t i = 0; i < length; i++) {
		if (sn == 0)
			return false;
		if ((fn & 1) == 1 || fn == sn) {
			r = merkle_node(&path[i], &r);
			while ((fn & 1) == 0 && fn != 0) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			r = merkle_node(&r, &path[i]);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && hash_compare(&r, root) == 0;
}

static bool subtree_valid(uint64_t start, uint64_t end)
{
	if (start >= end)
		return false;
	uint64_t width = end - start;
	if (width == 1)
		return true;
	unsigned bits = highest_bit(width - 1) + 1;
	return bits < 64 && (start & (((uint64_t)1 << bits) - 1)) == 0;
}

bool merkle_verify_subtree_consistency(uint64_t start, uint64_t end, const struct hash *subtree_root, uint64_t size,
				       const struct hash *root, const struct hash *proof, size_t length)
{
	if (start == end && end <= size) {
		struct hash empty = merkle_empty_root();
		return length == 0 && hash_compare(subtree_root, &empty) == 0 &&
		       (size > 0 || hash_compare(root, &empty) == 0);
	}
	if (!subtree_valid(start, end) || end > size)
		return false;
	uint64_t fn = start, sn = end - 1, tn = size - 1;
	bool last = sn == tn;
	while (fn != sn && (last || (sn & 1) == 1)) {
		fn >>= 1;
		sn >>= 1;
		tn >>= 1;
	}
	struct hash fr = *subtree_root, sr = *subtree_root;
	size_t i = 0;
	if (fn != sn) {
		if (length == 0)
			return false;
		fr = sr = proof[i++];
	}
	for (; i < length; i++) {
		if (tn == 0)
			return false;
		if ((sn & 1) == 1 || sn == tn) {
			if (fn < sn)
				fr = merkle_node(&proof[i], &fr);
			sr = merkle_node(&proof[i], &sr);
			while ((sn & 1) == 0 && sn != 0) {
				fn >>= 1;
				sn >>= 1;
				tn >>= 1;
			}
		} else {
			sr = merkle_node(&sr, &proof[i]);
		}
		fn >>= 1;
		sn >>= 1;
		tn >>= 1;
	}
	return tn == 0 && hash_compare(&fr, subtree_root) == 0 && hash_compare(&sr, root) == 0;
}

bool merkle_verify_consistency(uint64_t old_size, const struct hash *old_root, uint64_t size, const struct hash *root,
			       const struct hash *proof, size_t length)
{
	if (old_size == 0 && size > 0)
		return false;
	return merkle_verify_subtree_consistency(0, old_size, old_root, size, root, proof, length);
}

bool merkle_verify_subtree_inclusion(uint64_t index, uint64_t start, uint64_t end, const struct hash *leaf_hash,
				     const struct hash *path, size_t length, const struct hash *root)
{
	return subtree_valid(start, end) && index >= start &&
	       merkle_verify_inclusion(index - start, end - start, leaf_hash, path, length, root);
}
