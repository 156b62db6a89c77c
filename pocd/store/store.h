/* store: the contract of durable storage: reads in a consistent view, and atomic batches that complete by callback
 * after they are on stable storage.  Backends: store_lmdb (the one that runs), store_mem (reference, tests).
 *
 * Every value carries a checksum bound to its table and key; a value that does not match is STATUS_DAMAGED, never
 * handed out.  Version 1 of this contract. */
#ifndef POCD_STORE_STORE_H
#define POCD_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire/status.h"

enum store_table {
	TABLE_META,        /* short names -> small values (schema.h) */
	TABLE_ENVELOPE,    /* envelope hash -> leaf index, time, envelope bytes */
	TABLE_SECTION,     /* section digest -> section bytes */
	TABLE_CURRENT,     /* name -> value, seq, leaf index: read by the writer and at start only */
	TABLE_HISTORY,     /* name 00 seq(u64be) -> envelope hash, leaf index */
	TABLE_LEAF,        /* index(u64be) -> leaf, and its name if it is a PUT */
	TABLE_TILE,        /* level(u8) index(u64be) -> up to 256 hashes */
	TABLE_PUBLICATION, /* number(u64be) -> checkpoint note, STATE leaf, size */
	TABLE_EVENT,       /* index of its ANCHOR leaf(u64be) place in the batch(u32be) -> signer, siblings, item */
	TABLE_EVIDENCE,    /* publication(u64be) name of a U -> proofs of what its signatures were worth; publication 0:
			      the U waits for the next one */
	TABLE_NOTICE_ID,   /* notice id -> its number, in the order of arrival */
	TABLE_NOTICE,      /* number(u64be) -> hash, sizes, what its desks have done */
	TABLE_BODY,        /* number(u64be) -> body */
	TABLE_STEP,        /* number(u64be) step(u32be) -> what was stated, by whom, and where its item stands */
	TABLE_FEED,        /* place 00 kind(u8) cursor(u64be) -> notice id, number, step */
	TABLE_DESK,        /* place 00 kind(u8) -> its last cursor */
	TABLE_TIMER,       /* ms(u64be) number(u64be) what(u8) -> nothing: what is due then */
	TABLE_BACKLOG,     /* sending state 00 receiving state -> notices and bytes not fetched yet */
	TABLE_READING,     /* day(u32be) state 00 reading state -> how often it was read */
	TABLE_COUNT
};

const char *store_table_name(enum store_table table);

enum { STORE_KEY_MAX = 480, STORE_VALUE_MAX = 1024 * 1024 };

struct store;
struct store_view;  /* a consistent view for reading */
struct store_batch; /* puts and deletes that become durable together */

/* Bytes inside the view: valid until it is ended. */
struct store_value {
	const uint8_t *bytes;
	size_t size;
};

/* Called once with 0 or a status when the batch is durable or has failed, on the thread that ran store_commit.
 * STATUS_STORAGE: there is no room; nothing has changed, and a later batch may find room.  STATUS_IO: the disk failed;
 * whether the batch is durable is not known before the store is opened anew, and it takes no more batches. */
typedef void (*store_done_fn)(void *ctx, int status);

struct store_ops {
	int (*view_begin)(struct store *store, struct store_view **out);
	void (*view_end)(struct store_view *view);
	/* 0, STATUS_NOT_FOUND, STATUS_DAMAGED, STATUS_IO */
	int (*get)(struct store_view *view, enum store_table table, const void *key, size_t key_size,
		   struct store_value *out);
	/* Walks keys from `from` (size 0: the first) in ascending byte order until each returns non-zero, which is then
	 * returned; 0 at the end. */
	int (*walk)(struct store_view *view, enum store_table table, const void *from, size_t from_size,
		    int (*each)(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value),
		    void *ctx);
	/* Takes the batch, makes it durable (fsynced) or fails as a whole, calls done, frees the batch. */
	void (*commit)(struct store *store, struct store_batch *batch, store_done_fn done, void *ctx);
	void (*close)(struct store *store);
};

/* First member of each backend's store; and of its view. */
struct store {
	const struct store_ops *ops;
};

struct store_view {
	struct store *store;
};

/* ---- What callers use.  Thread rules: views may be used on any thread, each by one thread at a time, and are ended
 * soon (no network writes while one is open); one thread commits. */
int store_view_begin(struct store *store, struct store_view **out);
void store_view_end(struct store_view *view); /* NULL allowed */
int store_get(struct store_view *view, enum store_table table, const void *key, size_t key_size,
	      struct store_value *out);
int store_walk(struct store_view *view, enum store_table table, const void *from, size_t from_size,
	       int (*each)(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value), void *ctx);
int store_count(struct store_view *view, enum store_table table, uint64_t *n); /* walks the table: its rows, so far */

struct store_batch *store_batch_create(void);        /* NULL when out of memory */
void store_batch_destroy(struct store_batch *batch); /* for one that is not committed; NULL allowed */
/* Both copy.  0 or STATUS_NO_MEMORY, STATUS_TOO_LARGE.  A later put or delete of the same key wins. */
int store_batch_put(struct store_batch *batch, enum store_table table, const void *key, size_t key_size,
		    const void *value, size_t value_size);
int store_batch_delete(struct store_batch *batch, enum store_table table, const void *key, size_t key_size);

/* Lets the batch use the room that is kept back from others, of the disk and of the quota: for what completes a promise
 * that was given, as a publication does. */
void store_batch_use_reserve(struct store_batch *batch);
bool store_batch_uses_reserve(const struct store_batch *batch); /* for backends */

/* For backends: the operations of a batch in order. */
struct store_op {
	enum store_table table;
	size_t key_size, value_size;
	const uint8_t *key, *value; /* value NULL: delete */
};
size_t store_batch_count(const struct store_batch *batch);
const struct store_op *store_batch_op(const struct store_batch *batch, size_t i);

void store_commit(struct store *store, struct store_batch *batch, store_done_fn done, void *ctx);

/* store_commit for callers that may block: returns the status given to done. */
int store_commit_wait(struct store *store, struct store_batch *batch);

void store_close(struct store *store); /* NULL allowed; no view may be open */

/* ---- Backends */
struct store_lmdb_options {
	const char *path; /* a folder, mode 0700 */
	size_t map_size;  /* bytes; rounded up to pages; default 16 GiB of address space */
	uint64_t quota; /* bytes of the data file above which puts are refused (STATUS_STORAGE); 0: 80 % of map_size */
	unsigned max_readers; /* default 126 */
	int create;           /* 1: the folder must not hold a database yet; 0: it must */
	int read_only;
	int single_file; /* path is a data file by itself, as store_lmdb_copy writes it: read_only too; not locked */
};

/* Opens the database.  Checks the data file's size and meta pages before LMDB maps it, takes an exclusive lock on the
 * folder (a second opener gets STATUS_BUSY, unless read_only), and refuses what is damaged or foreign
 * (STATUS_DAMAGED with *why saying what). */
int store_lmdb_open(const struct store_lmdb_options *options, struct store **out, struct refusal *why);

/* Copies what a folder's database holds, as one commit left it and without free pages, to a file that is open for
 * writing; also while a daemon writes to it, which meanwhile uses no page again that was freed.  Nothing is synced.  0,
 * or STATUS_NOT_FOUND, STATUS_BUSY, STATUS_DAMAGED, STATUS_STORAGE, STATUS_IO with *why.  Call it while the process has
 * one thread. */
int store_lmdb_copy(const char *folder, int fd, struct refusal *why);

struct store *store_mem_create(void); /* NULL when out of memory */

/* Reads every value of every table once, so that all checksums are checked (start-up, pocadm check), and counts them if
 * values is not NULL.  0 or STATUS_DAMAGED with *why naming table and key. */
int store_scrub(struct store *store, uint64_t *values, struct refusal *why);

#endif
