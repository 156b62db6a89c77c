/* lmdb_disk: the on-disk form of LMDB 0.9 (data version 1) on 64-bit hosts, as far as it is checked before LMDB maps a
 * file. */
#ifndef POCD_STORE_LMDB_DISK_H
#define POCD_STORE_LMDB_DISK_H

#include <stdint.h>

struct disk_db {
	uint32_t pad;
	uint16_t flags, depth;
	uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
};

struct disk_page {
	uint64_t number;
	uint16_t pad, flags;
	union {
		struct {
			uint16_t lower, upper; /* end of the offsets, start of the nodes */
		};
		uint32_t count; /* of an overflow page: how many there are */
	};
};

struct disk_meta {
	struct disk_page page;
	uint32_t magic, version;
	uint64_t address, map_size;
	struct disk_db dbs[2]; /* free list, main */
	uint64_t last_page, transaction;
};

/* key and data follow; in a branch, low, high and flags are the number of the child */
struct disk_node {
	uint16_t low, high, flags, key_size;
};

enum {
	DISK_BRANCH = 0x01,
	DISK_LEAF = 0x02,
	DISK_OVERFLOW = 0x04,
	DISK_META = 0x08,
	DISK_NODE_BIG = 0x01,   /* the data is the number of an overflow page */
	DISK_NODE_TABLE = 0x02, /* the data is a struct disk_db */
	DISK_INTEGER_KEYS = 0x08
};

#define DISK_MAGIC 0xbeefc0deu
#define DISK_NO_PAGE UINT64_MAX

#endif
