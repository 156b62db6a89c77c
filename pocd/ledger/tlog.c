#include "pocd/ledger/tlog.h"

#include <stddef.h>
#include <string.h>

#include "pocd/store/schema.h"

static int load_tile(struct store_view *view, unsigned level, uint64_t index, unsigned at_least,
		     struct hash out[TILE_WIDTH], unsigned *n)
{
	uint8_t key[SCHEMA_TILE_KEY];
	struct store_value value;

	schema_tile_key(key, level, index);
	int status = store_get(view, TABLE_TILE, key, sizeof key, &value);
	if (status != 0)
		return status == STATUS_NOT_FOUND ? STATUS_DAMAGED : status;
	if (value.size % HASH_SIZE != 0 || value.size > TILE_WIDTH * HASH_SIZE || value.size / HASH_SIZE < at_least)
		return STATUS_DAMAGED;
	memcpy(out, value.bytes, value.size);
	*n = (unsigned)(value.size / HASH_SIZE);
	return 0;
}

/* Root over 2^depth hashes. */
static struct hash fold(const struct hash *hashes, unsigned depth)
{
	if (depth == 0)
		return hashes[0];
	struct hash left = fold(hashes, depth - 1), right = fold(hashes + ((size_t)1 << (depth - 1)), depth - 1);
	return merkle_node(&left, &right);
}

int tlog_read(void *ctx, unsigned level, uint64_t index, struct hash *out)
{
	const struct tlog_reader *reader = ctx;
	unsigned tile_level = level / 8, depth = level % 8;
	uint64_t first = index << depth; /* of the hashes in the tile row */
	unsigned offset = (unsigned)(first % TILE_WIDTH), n;
	struct hash hashes[TILE_WIDTH];

	if (tile_level >= TILE_LEVELS)
		return STATUS_DAMAGED;
	if (reader->tlog != NULL) {
		const struct tlog_tile *tile = &reader->tlog->tiles[tile_level];
		if (tile->index == first / TILE_WIDTH && tile->n >= offset + (1u << depth)) {
			*out = fold(tile->hashes + offset, depth);
			return 0;
		}
	}
	int status = load_tile(reader->view, tile_level, first / TILE_WIDTH, offset + (1u << depth), hashes, &n);
	if (status == 0)
		*out = fold(hashes + offset, depth);
	return status;
}

int tlog_load(struct tlog *tlog, struct store_view *view, uint64_t size)
{
	struct tlog_reader reader = {NULL, view};
	int status = 0;

	memset(tlog, 0, sizeof *tlog);
	tlog->size = size;
	for (unsigned level = 0; status == 0 && level < TILE_LEVELS; level++) {
		uint64_t count = size >> (8 * level);
		struct tlog_tile *tile = &tlog->tiles[level];
		tile->index = count / TILE_WIDTH;
		tile->n = (unsigned)(count % TILE_WIDTH);
		unsigned stored;
		if (tile->n > 0)
			status = load_tile(view, level, tile->index, tile->n, tile->hashes, &stored);
	}
	for (unsigned bit = 0; status == 0 && bit < 64; bit++) {
		if ((size >> bit & 1) != 0)
			status = tlog_read(&reader, bit, (size >> bit) - 1, &tlog->frontier[bit]);
	}
	return status;
}

static bool never_used(const struct tlog_tile *tile)
{
	return tile->index == 0 && tile->n == 0;
}

void tlog_copy(struct tlog *to, const struct tlog *from)
{
	size_t levels = TILE_LEVELS;

	while (levels > 0 && never_used(&to->tiles[levels - 1]) && never_used(&from->tiles[levels - 1]))
		levels--;
	memcpy(to, from, offsetof(struct tlog, tiles) + levels * sizeof to->tiles[0]);
}

static int put_tile(struct tlog_tile *tile, unsigned level, struct store_batch *batch)
{
	uint8_t key[SCHEMA_TILE_KEY];

	tile->dirty = false;
	schema_tile_key(key, level, tile->index);
	return store_batch_put(batch, TABLE_TILE, key, sizeof key, tile->hashes, (size_t)tile->n * HASH_SIZE);
}

static int tile_append(struct tlog *tlog, unsigned level, const struct hash *hash, struct store_batch *batch)
{
	if (level >= TILE_LEVELS)
		return STATUS_TOO_LARGE;
	struct tlog_tile *tile = &tlog->tiles[level];
	if (tile->n == TILE_WIDTH) { /* a full tile stays readable until the next append */
		tile->index++;
		tile->n = 0;
	}
	tile->hashes[tile->n++] = *hash;
	tile->dirty = true;
	if (tile->n < TILE_WIDTH)
		return 0;
	int status = put_tile(tile, level, batch);
	struct hash root = fold(tile->hashes, 8);
	return status != 0 ? status : tile_append(tlog, level + 1, &root, batch);
}

int tlog_append(struct tlog *tlog, const struct hash *leaf_hash, struct store_batch *batch)
{
	struct hash node = *leaf_hash;
	unsigned bit = 0;

	for (; (tlog->size >> bit & 1) != 0; bit++)
		node = merkle_node(&tlog->frontier[bit], &node);
	tlog->frontier[bit] = node;
	tlog->size++;
	return tile_append(tlog, 0, leaf_hash, batch);
}

int tlog_flush(struct tlog *tlog, struct store_batch *batch)
{
	int status = 0;

	for (unsigned level = 0; status == 0 && level < TILE_LEVELS; level++) {
		if (tlog->tiles[level].dirty)
			status = put_tile(&tlog->tiles[level], level, batch);
	}
	return status;
}

struct hash tlog_root(const struct tlog *tlog)
{
	struct hash root = merkle_empty_root();
	bool any = false;

	for (unsigned bit = 0; bit < 64; bit++) {
		if ((tlog->size >> bit & 1) == 0)
			continue;
		root = any ? merkle_node(&tlog->frontier[bit], &root) : tlog->frontier[bit];
		any = true;
	}
	return root;
}

void tlog_next_path(const struct tlog *tlog, struct merkle_proof *out)
{
	/* left siblings only: the complete subtrees of the tree before it */
	out->length = 0;
	for (unsigned bit = 0; bit < 64; bit++) {
		if ((tlog->size >> bit & 1) != 0)
			out->hashes[out->length++] = tlog->frontier[bit];
	}
}
