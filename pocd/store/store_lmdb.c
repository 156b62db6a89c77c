/* The backend that runs: one LMDB environment, one named database per table. */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pocd/store/crc32c.h"
#include "pocd/store/lmdb_file.h"
#include "pocd/store/lmdb_pages.h"
#include "pocd/store/schema.h"
#include "pocd/store/store.h"

#define DEFAULT_MAP_SIZE ((size_t)16 << 30)

enum {
	IDLE_VIEWS = 64,
	YIELD_OPS = 32, /* of a batch, between two looks at whether others want the core */
	PROBE_SECONDS = 60,
	PROBE_PER_SECOND = 32 << 20, /* bytes, on a slow disk */
	ROOM_STEP = 1 << 20,         /* of the file that is asked of the filesystem ahead of need */
	ROOM_RESERVE = 1 << 18,      /* kept back for batches that use the reserve */
	ROOM_LEAST = 1 << 16,        /* for the trees' upper pages and LMDB's own list of free pages */
	LOCK_READER = 64,            /* bytes of the lock file for each reader */
	SCHEMA_1_TABLES = TABLE_READING
};

struct view_lmdb {
	struct store_view base;
	MDB_txn *txn;
	struct view_lmdb *next;
};

struct store_lmdb {
	struct store base;
	MDB_env *env;
	MDB_dbi dbis[TABLE_COUNT]; /* 0: a table that this version of the schema did not have */
	uint64_t quota, map_size;
	size_t page_size;
	int lock_fd, data_fd; /* the latter is LMDB's own */
	uint64_t room;        /* bytes of the file that the filesystem has promised */
	atomic_int broken; /* a status after an I/O error: its commit's fate is unknown, so nothing more is written */
	pthread_mutex_t lock;
	struct view_lmdb *idle; /* views whose reader slot is kept */
	unsigned n_idle;
};

static int status_of(int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case MDB_NOTFOUND:
		return STATUS_NOT_FOUND;
	case MDB_MAP_FULL:
	case ENOSPC:
	case EDQUOT:
	case EFBIG: /* RLIMIT_FSIZE */
		return STATUS_STORAGE;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
		return STATUS_DAMAGED;
	case MDB_READERS_FULL:
		return STATUS_BUSY;
	case ENOMEM:
		return STATUS_NO_MEMORY;
	default:
		return STATUS_IO;
	}
}

/* LMDB takes no more reads after a meta page that it could not write: the service is about to end, and a client may
 * ask again later. */
static int view_status_of(int rc)
{
	return rc == MDB_PANIC ? STATUS_BUSY : status_of(rc);
}

/* ---- Views */

static int lmdb_view_begin(struct store *store, struct store_view **out)
{
	struct store_lmdb *lmdb = (struct store_lmdb *)store;

	pthread_mutex_lock(&lmdb->lock);
	struct view_lmdb *view = lmdb->idle;
	if (view != NULL) {
		lmdb->idle = view->next;
		lmdb->n_idle--;
	}
	pthread_mutex_unlock(&lmdb->lock);
	if (view == NULL) {
		view = calloc(1, sizeof *view);
		if (view == NULL)
			return STATUS_NO_MEMORY;
		view->base.store = store;
		int rc = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &view->txn);
		if (rc != 0) {
			free(view);
			return view_status_of(rc);
		}
	} else {
		int rc = mdb_txn_renew(view->txn);
		if (rc != 0) {
			mdb_txn_abort(view->txn);
			free(view);
			return view_status_of(rc);
		}
	}
	*out = &view->base;
	return 0;
}

static void lmdb_view_end(struct store_view *base)
{
	struct view_lmdb *view = (struct view_lmdb *)base;
	struct store_lmdb *lmdb = (struct store_lmdb *)base->store;

	mdb_txn_reset(view->txn);
	pthread_mutex_lock(&lmdb->lock);
	bool keep = lmdb->n_idle < IDLE_VIEWS;
	if (keep) {
		view->next = lmdb->idle;
		lmdb->idle = view;
		lmdb->n_idle++;
	}
	pthread_mutex_unlock(&lmdb->lock);
	if (!keep) {
		mdb_txn_abort(view->txn);
		free(view);
	}
}

static int lmdb_get(struct store_view *base, enum store_table table, const void *key, size_t key_size,
		    struct store_value *out)
{
	struct store_lmdb *lmdb = (struct store_lmdb *)base->store;
	MDB_val k = {key_size, (void *)key}, v;

	if (lmdb->dbis[table] == 0)
		return STATUS_NOT_FOUND;
	int rc = mdb_get(((struct view_lmdb *)base)->txn, lmdb->dbis[table], &k, &v);
	if (rc != 0)
		return status_of(rc);
	*out = (struct store_value){v.mv_data, v.mv_size};
	return 0;
}

static int lmdb_walk(struct store_view *base, enum store_table table, const void *from, size_t from_size,
		     int (*each)(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value),
		     void *ctx)
{
	struct store_lmdb *lmdb = (struct store_lmdb *)base->store;
	MDB_cursor *cursor;
	MDB_val k = {from_size, (void *)from}, v;

	if (lmdb->dbis[table] == 0)
		return 0;
	int rc = mdb_cursor_open(((struct view_lmdb *)base)->txn, lmdb->dbis[table], &cursor);
	if (rc != 0)
		return status_of(rc);
	int stop = 0;
	rc = mdb_cursor_get(cursor, &k, &v, from_size > 0 ? MDB_SET_RANGE : MDB_FIRST);
	while (rc == 0 && stop == 0) {
		struct store_value value = {v.mv_data, v.mv_size};
		stop = each(ctx, k.mv_data, k.mv_size, &value);
		if (stop == 0)
			rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	if (stop != 0)
		return stop;
	return rc == MDB_NOTFOUND ? 0 : status_of(rc);
}

/* ---- Commit */

/* How many keys each table has, kept beside them: a table that lost pages cannot pass for a smaller one. */
static int put_counts(struct store_lmdb *lmdb, MDB_txn *txn)
{
	uint8_t counts[8 * TABLE_COUNT];
	struct store_batch *batch = store_batch_create();
	MDB_stat stat;
	int rc = batch == NULL ? ENOMEM : 0;

	for (int t = 0; rc == 0 && t < TABLE_COUNT; t++) {
		rc = mdb_stat(txn, lmdb->dbis[t], &stat);
		schema_put_u64(counts + 8 * t, rc == 0 ? stat.ms_entries : 0);
	}
	MDB_val k = {sizeof META_COUNTS - 1, (void *)META_COUNTS}, v;
	if (rc == 0 && mdb_get(txn, lmdb->dbis[TABLE_META], &k, &v) == MDB_NOTFOUND)
		schema_put_u64(counts + (size_t)8 * TABLE_META, schema_get_u64(counts + (size_t)8 * TABLE_META) + 1);
	/* through a batch, for its checksum */
	if (rc == 0 &&
	    store_batch_put(batch, TABLE_META, META_COUNTS, sizeof META_COUNTS - 1, counts, sizeof counts) == 0) {
		const struct store_op *op = store_batch_op(batch, 0);
		v = (MDB_val){op->value_size, (void *)op->value};
		rc = mdb_put(txn, lmdb->dbis[TABLE_META], &k, &v, 0);
	}
	store_batch_destroy(batch);
	return rc;
}

static int apply(struct store_lmdb *lmdb, MDB_txn *txn, const struct store_op *op)
{
	MDB_val k = {op->key_size, (void *)op->key};

	if (op->value == NULL) {
		int rc = mdb_del(txn, lmdb->dbis[op->table], &k, NULL);
		return rc == MDB_NOTFOUND ? 0 : rc;
	}
	MDB_val v = {op->value_size, (void *)op->value};
	return mdb_put(txn, lmdb->dbis[op->table], &k, &v, 0);
}

/* ---- Room
 *
 * LMDB takes a write that a full filesystem cut short for a failed disk (EIO).  So the room that a batch may need is
 * asked of the filesystem before, and a batch that it has no room for is refused before anything is written. */

/* Bytes up to the highest page in use: pages freed below it are used again. */
static uint64_t bytes_used(const struct store_lmdb *lmdb)
{
	MDB_envinfo info;

	return mdb_env_info(lmdb->env, &info) == 0 ? (uint64_t)(info.me_last_pgno + 1) * lmdb->page_size : 0;
}

/* By how much the file may grow for a batch: its values, and a copy of each page that an operation may touch. */
static uint64_t growth(const struct store_lmdb *lmdb, const struct store_batch *batch, uint64_t used)
{
	uint64_t bytes = 0, copies = (uint64_t)store_batch_count(batch) * lmdb->page_size;

	for (size_t i = 0; i < store_batch_count(batch); i++)
		bytes += store_batch_op(batch, i)->value_size;
	return 2 * bytes + (copies < used ? copies : used) + ROOM_LEAST;
}

static bool only_deletes(const struct store_batch *batch)
{
	for (size_t i = 0; i < store_batch_count(batch); i++) {
		if (store_batch_op(batch, i)->value != NULL)
			return false;
	}
	return true;
}

/* Asks the filesystem for the file's room up to `end`, without changing the file's size. */
static int promise_room(struct store_lmdb *lmdb, uint64_t used, uint64_t end)
{
	struct rlimit limit;
	int rc;

	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && end > limit.rlim_cur)
		return STATUS_STORAGE;
	do
		rc = fallocate(lmdb->data_fd, FALLOC_FL_KEEP_SIZE, (off_t)used, (off_t)(end - used));
	while (rc != 0 && errno == EINTR);
	if (rc != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
		return STATUS_STORAGE;
	/* a filesystem that cannot promise is found full when it is */
	lmdb->room = end;
	return 0;
}

/* A backup that was killed left its place among the readers, and no page that it could read is used again: where the
 * file is about to grow, and where it must not, the dead are looked for. */
static void forget_dead_readers(struct store_lmdb *lmdb)
{
	int dead;

	(void)mdb_reader_check(lmdb->env, &dead); /* where it fails the file grows */
}

/* times: how much more than the estimate is wanted. */
static int make_room(struct store_lmdb *lmdb, const struct store_batch *batch, unsigned times)
{
	uint64_t used = bytes_used(lmdb), end = used + times * growth(lmdb, batch, used);
	bool reserve = store_batch_uses_reserve(batch) || only_deletes(batch);

	if (!reserve)
		end += ROOM_RESERVE;
	if (used >= lmdb->quota || end > lmdb->room)
		forget_dead_readers(lmdb); /* what they held is free from the next batch on */
	if (!reserve && (used >= lmdb->quota || end > lmdb->map_size))
		return STATUS_STORAGE;
	if (end > lmdb->map_size) /* LMDB itself refuses what is beyond */
		end = lmdb->map_size;
	if (end <= lmdb->room || promise_room(lmdb, used, end + ROOM_STEP) == 0)
		return 0;
	return promise_room(lmdb, used, end);
}

static int write_batch(struct store_lmdb *lmdb, const struct store_batch *batch)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(lmdb->env, NULL, 0, &txn);

	if (rc != 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < store_batch_count(batch); i++) {
		rc = apply(lmdb, txn, store_batch_op(batch, i));
		if (i % YIELD_OPS == YIELD_OPS - 1)
			sched_yield(); /* answers come first */
	}
	if (rc == 0)
		rc = put_counts(lmdb, txn);
	if (rc != 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn); /* writes the pages, syncs, writes the meta page, syncs */
}

/* LMDB has given up after a meta page that it could not write: it does not even read any more. */
static bool gave_up(struct store_lmdb *lmdb)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &txn);

	if (rc == 0)
		mdb_txn_abort(txn);
	return rc == MDB_PANIC;
}

static int commit(struct store_lmdb *lmdb, const struct store_batch *batch)
{
	int status = atomic_load(&lmdb->broken);

	if (status != 0)
		return status;
	/* a batch that uses the reserve may fit even where the estimate does not */
	status = make_room(lmdb, batch, 1);
	if (status != 0 && !store_batch_uses_reserve(batch))
		return status;
	status = status_of(write_batch(lmdb, batch));
	if (status == 0)
		return 0;
	if (gave_up(lmdb))
		status = STATUS_IO;
	else if (status == STATUS_IO && make_room(lmdb, batch, 2) != 0)
		status = STATUS_STORAGE; /* a write cut short, see above */
	if (status == STATUS_IO)
		atomic_store(&lmdb->broken, STATUS_IO);
	return status;
}

static void lmdb_commit(struct store *store, struct store_batch *batch, store_done_fn done, void *ctx)
{
	int status = commit((struct store_lmdb *)store, batch);

	store_batch_destroy(batch);
	done(ctx, status);
}

/* ---- Opening */

static void lmdb_close(struct store *store)
{
	struct store_lmdb *lmdb = (struct store_lmdb *)store;

	while (lmdb->idle != NULL) {
		struct view_lmdb *view = lmdb->idle;
		lmdb->idle = view->next;
		mdb_txn_abort(view->txn);
		free(view);
	}
	if (lmdb->env != NULL)
		mdb_env_close(lmdb->env);
	if (lmdb->lock_fd >= 0)
		close(lmdb->lock_fd);
	pthread_mutex_destroy(&lmdb->lock);
	free(lmdb);
}

static const struct store_ops lmdb_ops = {
    .view_begin = lmdb_view_begin,
    .view_end = lmdb_view_end,
    .get = lmdb_get,
    .walk = lmdb_walk,
    .commit = lmdb_commit,
    .close = lmdb_close,
};

static int sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return STATUS_IO;
	int rc = fsync(fd);
	close(fd);
	return rc == 0 ? 0 : STATUS_IO;
}

/* One process per folder: LMDB allows several, the log allows one writer.  -1 with *why on failure. */
static int lock_folder(const struct store_lmdb_options *options, struct refusal *why)
{
	char path[4200];

	snprintf(path, sizeof path, "%s/pocd.lock", options->path);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		refuse(why, STATUS_IO, "store", "%s: %s", path, strerror(errno));
		return -1;
	}
	if (flock(fd, (options->read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
		refuse(why, STATUS_BUSY, "store", "%s is in use by another process", options->path);
		close(fd);
		return -1;
	}
	/* whoever held it before may have written there who it was (pocd/running.h) */
	if (!options->read_only && ftruncate(fd, 0) != 0) {
		refuse(why, STATUS_IO, "store", "%s: %s", path, strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

/* LMDB writes to its lock file through a map: a page of it that the disk has no room for would kill the process. */
static int promise_lock_file(const struct store_lmdb_options *options, unsigned readers)
{
	char path[4200];
	int rc = 0;

	snprintf(path, sizeof path, "%s/lock.mdb", options->path);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno;
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)readers * LOCK_READER + ROOM_LEAST) != 0 &&
	    (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
		rc = errno;
	close(fd);
	return rc;
}

static int open_env(struct store_lmdb *lmdb, const struct store_lmdb_options *options)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t map = options->map_size > 0 ? (options->map_size + page - 1) / page * page : DEFAULT_MAP_SIZE;
	unsigned flags =
	    MDB_NOTLS | (options->read_only ? MDB_RDONLY | MDB_NOLOCK : 0) | (options->single_file ? MDB_NOSUBDIR : 0);
	unsigned readers = options->max_readers > 0 ? options->max_readers : 126;
	MDB_stat stat;
	int rc = mdb_env_create(&lmdb->env);

	if (rc == 0)
		rc = mdb_env_set_mapsize(lmdb->env, map);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(lmdb->env, TABLE_COUNT);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(lmdb->env, readers);
	if (rc == 0 && !options->read_only)
		rc = promise_lock_file(options, readers);
	if (rc == 0)
		rc = mdb_env_open(lmdb->env, options->path, flags, 0600);
	if (rc == 0)
		rc = mdb_env_stat(lmdb->env, &stat);
	if (rc != 0)
		return rc;
	lmdb->page_size = stat.ms_psize;
	lmdb->quota = options->quota > 0 ? options->quota : map / 5 * 4;
	lmdb->map_size = map;
	if (mdb_env_get_fd(lmdb->env, &lmdb->data_fd) == 0)
		fcntl(lmdb->data_fd, F_SETFD, FD_CLOEXEC);
	int dead;
	return options->read_only ? 0 : mdb_reader_check(lmdb->env, &dead);
}

/* Tables that came with a later version of the schema are made where they are missing; whether they may be is seen by
 * the probe. */
static int open_table(struct store_lmdb *lmdb, MDB_txn *txn, enum store_table table, bool create, bool read_only)
{
	bool later = (int)table >= SCHEMA_1_TABLES;
	int rc = mdb_dbi_open(txn, store_table_name(table), create || (later && !read_only) ? MDB_CREATE : 0,
			      &lmdb->dbis[table]);

	return later && read_only && rc == MDB_NOTFOUND ? 0 : rc;
}

static int open_tables(struct store_lmdb *lmdb, bool create, bool read_only)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(lmdb->env, NULL, read_only ? MDB_RDONLY : 0, &txn);

	if (rc != 0)
		return rc;
	for (int t = 0; rc == 0 && t < TABLE_COUNT; t++)
		rc = open_table(lmdb, txn, (enum store_table)t, create, read_only);
	if (rc != 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

static int put_schema(struct store *store, struct refusal *why)
{
	struct store_batch *batch = store_batch_create();
	uint8_t version[8];

	schema_put_u64(version, SCHEMA_VERSION);
	if (batch == NULL || store_batch_put(batch, TABLE_META, META_SCHEMA, sizeof META_SCHEMA - 1, version, 8) != 0) {
		store_batch_destroy(batch);
		return refuse(why, STATUS_NO_MEMORY, "store", "out of memory");
	}
	int status = store_commit_wait(store, batch);
	return status == 0 ? 0 : refuse(why, status, "store", "cannot write to the database: %s", status_text(status));
}

/* 0: none that can be read. */
static uint64_t schema_version(struct store *store)
{
	struct store_view *view;
	struct store_value value;

	if (store_view_begin(store, &view) != 0)
		return 0;
	int status = store_get(view, TABLE_META, META_SCHEMA, sizeof META_SCHEMA - 1, &value);
	uint64_t version = status == 0 && value.size == 8 ? schema_get_u64(value.bytes) : 0;
	store_view_end(view);
	return version;
}

static int check_schema(struct store_lmdb *lmdb, const char *path, struct refusal *why)
{
	uint64_t version = schema_version(&lmdb->base);

	if (version == 0)
		return refuse(why, STATUS_DAMAGED, "store", "%s is damaged or no database of pocd: it has no version",
			      path);
	if (version > SCHEMA_VERSION)
		return refuse(why, STATUS_INVALID, "store", "%s was written by a newer version of pocd (schema %llu)",
			      path, (unsigned long long)version);
	for (int t = SCHEMA_1_TABLES; version > 1 && t < TABLE_COUNT; t++) {
		if (lmdb->dbis[t] == 0)
			return refuse(why, STATUS_DAMAGED, "store", "%s is damaged: it lacks the table %s", path,
				      store_table_name((enum store_table)t));
	}
	return 0;
}

/* Owns lock_fd (-1: none) from here on. */
static int open_raw(const struct store_lmdb_options *options, int lock_fd, struct store_lmdb **out, struct refusal *why)
{
	struct store_lmdb *lmdb = calloc(1, sizeof *lmdb);

	*out = NULL;
	if (lmdb == NULL) {
		if (lock_fd >= 0)
			close(lock_fd);
		return refuse(why, STATUS_NO_MEMORY, "store", "out of memory");
	}
	lmdb->base.ops = &lmdb_ops;
	lmdb->lock_fd = lock_fd;
	pthread_mutex_init(&lmdb->lock, NULL);
	int rc = open_env(lmdb, options);
	if (rc == 0)
		rc = open_tables(lmdb, options->create, options->read_only);
	if (rc == 0) {
		*out = lmdb;
		return 0;
	}
	lmdb_close(&lmdb->base);
	if (rc == MDB_NOTFOUND)
		return refuse(why, STATUS_DAMAGED, "store", "%s lacks a table: damaged, or no database of pocd",
			      options->path);
	return refuse(why, status_of(rc), "store", "%s: %s", options->path, mdb_strerror(rc));
}

static int count_one(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	(void)key;
	(void)key_size;
	(void)value;
	++*(uint64_t *)ctx;
	return 0;
}

static int check_counts(struct store *store, uint64_t version, struct refusal *why)
{
	struct store_view *view;
	struct store_value value;
	uint64_t expected[TABLE_COUNT] = {0};
	int status = store_view_begin(store, &view);

	if (status != 0)
		return status;
	status = store_get(view, TABLE_META, META_COUNTS, sizeof META_COUNTS - 1, &value);
	int n = version > 1 ? TABLE_COUNT : SCHEMA_1_TABLES;
	if (status == 0 && value.size != 8 * (size_t)n)
		status = STATUS_DAMAGED;
	for (int t = 0; status == 0 && t < n; t++)
		expected[t] = schema_get_u64(value.bytes + 8 * t);
	for (int t = 0; status == 0 && t < TABLE_COUNT; t++) {
		uint64_t count = 0;
		/* keys only: the scrub has looked at the values */
		status = store->ops->walk(view, (enum store_table)t, NULL, 0, count_one, &count);
		if (status == 0 && count != expected[t]) {
			store_view_end(view);
			return refuse(why, STATUS_DAMAGED, "store",
				      "the database is damaged: table %s has %llu keys, %llu are recorded",
				      store_table_name((enum store_table)t), (unsigned long long)count,
				      (unsigned long long)expected[t]);
		}
	}
	store_view_end(view);
	return status == 0 ? 0
			   : refuse(why, STATUS_DAMAGED, "store", "the database is damaged: the key counts are gone");
}

static void data_file(const struct store_lmdb_options *options, char out[4200])
{
	snprintf(out, 4200, "%s%s", options->path, options->single_file ? "" : "/data.mdb");
}

struct probed {
	const struct store_lmdb_options *options;
	int lock_fd;
};

/* Runs in the child: reads every page that is in use. */
static int probe(void *ctx, struct refusal *why)
{
	const struct probed *probed = ctx;
	struct store_lmdb_options options = *probed->options;
	struct store_lmdb *lmdb;
	char file[4200];

	/* the lock is the parent's: were the child to hold it as well, a killed parent could not start again at once */
	if (probed->lock_fd >= 0)
		close(probed->lock_fd);
	options.read_only = 1;
	options.create = 0;
	data_file(&options, file);
	int status = lmdb_pages_check(file, why);
	if (status != 0)
		return status;
	status = open_raw(&options, -1, &lmdb, why);
	if (status != 0)
		return status;
	status = check_schema(lmdb, options.path, why);
	if (status == 0)
		status = store_scrub(&lmdb->base, NULL, why);
	return status != 0 ? status : check_counts(&lmdb->base, schema_version(&lmdb->base), why);
}

/* How long the child may look: a large database takes longer. */
static unsigned probe_seconds(const char *file)
{
	struct stat st;

	return PROBE_SECONDS + (stat(file, &st) == 0 ? (unsigned)(st.st_size / PROBE_PER_SECOND) : 0);
}

static int prepare_folder(const struct store_lmdb_options *options, const char *file, struct refusal *why)
{
	if (!options->create)
		return access(file, F_OK) == 0 || errno == EACCES
			   ? 0
			   : refuse(why, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "store", "%s: %s", file,
				    strerror(errno));
	if (mkdir(options->path, 0700) != 0 && errno != EEXIST)
		return refuse(why, STATUS_IO, "store", "%s: %s", options->path, strerror(errno));
	if (access(file, F_OK) == 0)
		return refuse(why, STATUS_CONFLICT, "store", "%s holds a database already", options->path);
	return 0;
}

int store_lmdb_open(const struct store_lmdb_options *options, struct store **out, struct refusal *why)
{
	char file[4200];
	struct store_lmdb *lmdb;

	*out = NULL;
	if (strlen(options->path) > 4000)
		return refuse(why, STATUS_INVALID, "store", "path too long");
	data_file(options, file);
	int status = prepare_folder(options, file, why);
	if (status != 0)
		return status;
	/* locked before it is read: nobody writes while the child looks */
	int lock_fd = options->single_file ? -1 : lock_folder(options, why);
	if (lock_fd < 0 && !options->single_file)
		return why != NULL ? why->code : STATUS_BUSY;
	if (!options->create)
		status = lmdb_file_check(file, why);
	struct probed probed = {options, lock_fd};
	if (!options->create && status == 0)
		status = lmdb_file_probe(probe, &probed, probe_seconds(file), why);
	if (status != 0) {
		if (lock_fd >= 0)
			close(lock_fd);
		return status;
	}
	status = open_raw(options, lock_fd, &lmdb, why);
	if (status != 0)
		return status;
	if (options->create || (!options->read_only && schema_version(&lmdb->base) < SCHEMA_VERSION))
		status = put_schema(&lmdb->base, why);
	if (status == 0 && options->create && sync_folder(options->path) != 0)
		status = refuse(why, STATUS_IO, "store", "%s: %s", options->path, strerror(errno));
	if (status != 0) {
		lmdb_close(&lmdb->base);
		return status;
	}
	*out = &lmdb->base;
	return 0;
}

/* ---- Copying */

struct copying {
	const char *folder;
	int fd;
	bool locked; /* by us: no daemon writes */
};

/* Runs in a child, for a damaged file can crash LMDB. */
static int copy(void *ctx, struct refusal *why)
{
	const struct copying *c = ctx;
	MDB_env *env;
	int rc = mdb_env_create(&env);

	if (rc != 0)
		return refuse(why, status_of(rc), "store", "%s", mdb_strerror(rc));
	/* beside a daemon as one of its readers, whose pages stay while it reads */
	rc = mdb_env_open(env, c->folder, MDB_RDONLY | MDB_NOTLS | (c->locked ? MDB_NOLOCK : 0), 0600);
	if (rc == 0)
		rc = mdb_env_copyfd2(env, c->fd, MDB_CP_COMPACT);
	mdb_env_close(env);
	return rc == 0 ? 0 : refuse(why, status_of(rc), "store", "%s: %s", c->folder, mdb_strerror(rc));
}

int store_lmdb_copy(const char *folder, int fd, struct refusal *why)
{
	enum { SLOWER = 8 }; /* than reading */
	const struct store_lmdb_options options = {.path = folder, .read_only = 1};
	struct refusal busy = {0};
	char file[4200];

	if (strlen(folder) > 4000)
		return refuse(why, STATUS_INVALID, "store", "path too long");
	data_file(&options, file);
	int status = prepare_folder(&options, file, why);
	if (status != 0)
		return status;
	int lock_fd = lock_folder(&options, &busy);
	if (lock_fd < 0 && busy.code != STATUS_BUSY)
		return refuse(why, busy.code, "store", "%s", busy.message);
	struct copying copying = {folder, fd, lock_fd >= 0};
	/* a daemon's meta pages may be read half written; it has looked at them itself */
	if (lock_fd >= 0)
		status = lmdb_file_check(file, why);
	if (status == 0)
		status = lmdb_file_probe(copy, &copying, SLOWER * probe_seconds(file), why);
	if (lock_fd >= 0)
		close(lock_fd);
	return status;
}
