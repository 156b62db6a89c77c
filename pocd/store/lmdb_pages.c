#include "pocd/store/lmdb_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pocd/store/lmdb_disk.h"

enum { FIRST_PAGE = 2 /* after the meta pages */ };

struct file {
	const uint8_t *bytes;
	uint64_t pages; /* in use or free: up to the last one of the meta page */
	size_t page_size;
	uint8_t *seen; /* a bit a page */
	uint64_t at;   /* the page at which the fault was found */
	const char *fault;
};

struct key {
	const uint8_t *bytes;
	size_t size;
};

struct tree {
	const struct disk_db *db;
	bool integers;     /* keys are native u64: the free list */
	bool tables;       /* data may be a table: the main tree */
	struct disk_db is; /* what was counted */
	struct key last;   /* of the leaves so far */
	struct key floor;  /* the next key must not be below */
};

static bool walk_tree(struct file *file, const struct disk_db *db, bool integers, bool tables);
static bool visit(struct file *file, struct tree *tree, uint64_t number, unsigned level);

static bool fail(struct file *file, uint64_t page, const char *fault)
{
	file->at = page;
	file->fault = fault;
	return false;
}

/* Takes count pages from number on, none of which was taken before. */
static bool claim(struct file *file, uint64_t number, uint64_t count)
{
	if (number < FIRST_PAGE || number >= file->pages || count > file->pages - number)
		return fail(file, number, "it lies outside of the file");
	for (uint64_t page = number; page < number + count; page++) {
		if ((file->seen[page / 8] >> (page % 8) & 1) != 0)
			return fail(file, page, "it is used twice");
		file->seen[page / 8] |= (uint8_t)(1 << (page % 8));
	}
	return true;
}

static const uint8_t *page_bytes(const struct file *file, uint64_t number)
{
	return file->bytes + number * file->page_size;
}

static int compare(const struct tree *tree, struct key a, struct key b)
{
	if (tree->integers) {
		uint64_t left, right;
		memcpy(&left, a.bytes, sizeof left);
		memcpy(&right, b.bytes, sizeof right);
		return (left > right) - (left < right);
	}
	int order = memcmp(a.bytes, b.bytes, a.size < b.size ? a.size : b.size);
	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* The data of a leaf's node: in the page or, if large, on overflow pages.  NULL: faulty. */
static const uint8_t *node_data(struct file *file, struct tree *tree, uint64_t number, const struct disk_node *node,
				const uint8_t *inside, size_t room, size_t size)
{
	struct disk_page page;
	uint64_t overflow;

	if ((node->flags & DISK_NODE_BIG) == 0) {
		if (size <= room)
			return inside;
		fail(file, number, "a value goes beyond it");
		return NULL;
	}
	if (room < sizeof overflow) {
		fail(file, number, "a value goes beyond it");
		return NULL;
	}
	memcpy(&overflow, inside, sizeof overflow);
	const uint64_t count = (sizeof page - 1 + size) / file->page_size + 1;
	if (!claim(file, overflow, count))
		return NULL;
	memcpy(&page, page_bytes(file, overflow), sizeof page);
	if (page.number != overflow || page.flags != DISK_OVERFLOW || page.count != count) {
		fail(file, overflow, "its header is wrong");
		return NULL;
	}
	tree->is.overflow_pages += count;
	return page_bytes(file, overflow) + sizeof page;
}

/* One entry of the free list: a count and so many page numbers. */
static bool take_free(struct file *file, uint64_t number, const uint8_t *data, size_t size)
{
	uint64_t count, page;

	if (size < sizeof count)
		return fail(file, number, "the free list is damaged");
	memcpy(&count, data, sizeof count);
	if (count > size / sizeof page - 1)
		return fail(file, number, "the free list is damaged");
	for (uint64_t i = 1; i <= count; i++) {
		memcpy(&page, data + i * sizeof page, sizeof page);
		if (!claim(file, page, 1))
			return false;
	}
	return true;
}

static bool take_key(struct file *file, struct tree *tree, uint64_t number, struct key key)
{
	if (tree->last.bytes != NULL && compare(tree, key, tree->last) <= 0)
		return fail(file, number, "its keys are out of order");
	if (tree->floor.bytes != NULL && compare(tree, key, tree->floor) < 0)
		return fail(file, number, "its keys are out of order");
	tree->last = key;
	tree->floor = (struct key){NULL, 0};
	tree->is.entries++;
	return true;
}

/* key: of the node, followed by room bytes up to the end of the page. */
static bool leaf_node(struct file *file, struct tree *tree, uint64_t number, const struct disk_node *node,
		      struct key key, size_t room)
{
	const size_t size = node->low | (size_t)node->high << 16;

	if ((node->flags & ~(tree->tables ? DISK_NODE_BIG | DISK_NODE_TABLE : DISK_NODE_BIG)) != 0 ||
	    node->flags == (DISK_NODE_BIG | DISK_NODE_TABLE))
		return fail(file, number, "a value of it is of an impossible kind");
	if (!take_key(file, tree, number, key))
		return false;
	const uint8_t *data = node_data(file, tree, number, node, key.bytes + key.size, room, size);
	if (data == NULL)
		return false;
	if (tree->integers)
		return take_free(file, number, data, size);
	if ((node->flags & DISK_NODE_TABLE) == 0)
		return true;
	struct disk_db table;
	if (size != sizeof table)
		return fail(file, number, "a table of it is damaged");
	memcpy(&table, data, sizeof table);
	return walk_tree(file, &table, false, false);
}

static bool branch_node(struct file *file, struct tree *tree, uint64_t number, unsigned level, unsigned place,
			const struct disk_node *node, struct key key)
{
	const uint64_t child = node->low | (uint64_t)node->high << 16 | (uint64_t)node->flags << 32;

	/* the first key of a branch stands for "anything below the second" */
	if (place > 0) {
		if (tree->last.bytes == NULL || compare(tree, key, tree->last) <= 0)
			return fail(file, number, "its keys are out of order");
		tree->floor = key;
	}
	return visit(file, tree, child, level + 1);
}

static bool visit_node(struct file *file, struct tree *tree, uint64_t number, unsigned level, unsigned place)
{
	const uint8_t *bytes = page_bytes(file, number);
	struct disk_page page;
	struct disk_node node;
	uint16_t offset;

	memcpy(&page, bytes, sizeof page);
	memcpy(&offset, bytes + sizeof page + (size_t)place * sizeof offset, sizeof offset);
	if (offset < page.upper || offset + sizeof node > file->page_size)
		return fail(file, number, "a node goes beyond it");
	memcpy(&node, bytes + offset, sizeof node);
	if (node.key_size > file->page_size - offset - sizeof node)
		return fail(file, number, "a key goes beyond it");
	const bool branch = level < tree->db->depth, named = !branch || place > 0;
	const struct key key = {bytes + offset + sizeof node, node.key_size};
	if (named && (tree->integers ? key.size != sizeof(uint64_t) : key.size == 0))
		return fail(file, number, "a key has an impossible size");
	if (branch)
		return branch_node(file, tree, number, level, place, &node, key);
	return leaf_node(file, tree, number, &node, key, file->page_size - offset - sizeof node - node.key_size);
}

/* level: 1 at the root, the tree's depth at the leaves. */
static bool visit(struct file *file, struct tree *tree, uint64_t number, unsigned level)
{
	const bool branch = level < tree->db->depth;
	struct disk_page page;

	if (!claim(file, number, 1))
		return false;
	memcpy(&page, page_bytes(file, number), sizeof page);
	if (page.number != number || page.flags != (branch ? DISK_BRANCH : DISK_LEAF) || page.lower < sizeof page ||
	    page.lower > page.upper || page.upper > file->page_size || page.lower % 2 != 0)
		return fail(file, number, "its header is wrong");
	const unsigned nodes = (unsigned)(page.lower - sizeof page) / 2;
	if (nodes < (branch ? 2 : 1))
		return fail(file, number, "it is empty");
	*(branch ? &tree->is.branch_pages : &tree->is.leaf_pages) += 1;
	for (unsigned place = 0; place < nodes; place++) {
		if (!visit_node(file, tree, number, level, place))
			return false;
	}
	return true;
}

static bool walk_tree(struct file *file, const struct disk_db *db, bool integers, bool tables)
{
	struct tree tree = {.db = db, .integers = integers, .tables = tables};
	const bool empty = db->root == DISK_NO_PAGE;

	if (db->flags != (integers ? DISK_INTEGER_KEYS : 0) || (empty ? db->depth != 0 : db->depth < 1) ||
	    db->depth > 64)
		return fail(file, empty ? 0 : db->root, "its tree cannot be one");
	if (!empty && !visit(file, &tree, db->root, 1))
		return false;
	if (tree.is.branch_pages != db->branch_pages || tree.is.leaf_pages != db->leaf_pages ||
	    tree.is.overflow_pages != db->overflow_pages || tree.is.entries != db->entries)
		return fail(file, empty ? 0 : db->root, "its tree does not hold as much as it says");
	return true;
}

static int walk_file(struct file *file, const char *path, struct refusal *why)
{
	struct disk_meta meta, other;

	memcpy(&meta, file->bytes, sizeof meta);
	file->page_size = meta.dbs[0].pad;
	memcpy(&other, file->bytes + file->page_size, sizeof other);
	if (other.transaction > meta.transaction)
		meta = other;
	file->pages = meta.last_page + 1;
	file->seen = calloc(1, file->pages / 8 + 1);
	if (file->seen == NULL)
		return refuse(why, STATUS_NO_MEMORY, "store", "out of memory");
	const bool good = walk_tree(file, &meta.dbs[0], true, false) && walk_tree(file, &meta.dbs[1], false, true);
	free(file->seen);
	return good ? 0
		    : refuse(why, STATUS_DAMAGED, "store", "%s is damaged: page %llu: %s", path,
			     (unsigned long long)file->at, file->fault);
}

int lmdb_pages_check(const char *path, struct refusal *why)
{
	struct file file = {.bytes = MAP_FAILED};
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, &st) == 0)
		file.bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	int error = errno;
	if (fd >= 0)
		close(fd);
	if (file.bytes == MAP_FAILED)
		return refuse(why, STATUS_IO, "store", "%s: %s", path, strerror(error));
	int status = walk_file(&file, path, why);
	munmap((void *)file.bytes, (size_t)st.st_size);
	return status;
}
