#include "pocd/directory/item.h"

enum { MAP_SIBLINGS = 1, MAP_TERMINAL = 2, MAP_OTHER_KEY = 3, MAP_OTHER_VALUE = 4 };

static const struct snapshot_name *encode_map(struct encoder *encoder, const struct snapshot *snapshot,
					      const struct hash *key)
{
	uint8_t siblings[PREFIX_DEPTH_MAX * HASH_SIZE];
	enum prefix_terminal terminal;
	const struct prefix_entry *other;
	size_t map = encode_begin(encoder, ITEM_MAP);
	unsigned depth = prefix_prove_bytes(snapshot->map, key, siblings, &terminal, &other);

	encode_bytes(encoder, MAP_SIBLINGS, siblings, (size_t)depth * HASH_SIZE);
	encode_uint(encoder, MAP_TERMINAL, terminal); /* the numbers are the same in payload.proto */
	if (terminal == PREFIX_OTHER) {
		encode_bytes(encoder, MAP_OTHER_KEY, other->key.bytes, HASH_SIZE);
		encode_bytes(encoder, MAP_OTHER_VALUE, other->value.bytes, HASH_SIZE);
	}
	encode_end(encoder, map);
	return terminal == PREFIX_FOUND ? &snapshot->names[other - snapshot->entries] : NULL;
}

const struct snapshot_name *item_begin(struct encoder *encoder, const struct snapshot *snapshot, const char *name,
				       const struct hash *key, size_t *begin)
{
	*begin = encode_begin(encoder, PROOF_ITEMS);
	encode_text(encoder, ITEM_NAME, name);
	return encode_map(encoder, snapshot, key);
}

void item_value(struct encoder *encoder, const struct snapshot *snapshot, const char *name)
{
	struct hash key = hash_name(name);
	size_t begin;
	const struct snapshot_name *known = item_begin(encoder, snapshot, name, &key, &begin);

	if (known != NULL)
		encode_bytes(encoder, ITEM_VALUE, known->value.bytes, HASH_SIZE);
	encode_end(encoder, begin);
}
