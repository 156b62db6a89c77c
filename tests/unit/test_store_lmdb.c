/* The backend that runs: databases of an older schema, and readers that were killed. */
#include <lmdb.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pocd/store/crc32c.h"
#include "pocd/store/schema.h"
#include "tests/lib/unit.h"

enum { VALUE = 256 * 1024, VALUES = 8, COMMITS = 100 };

struct folder {
	char path[64];
};

static int setup(void **state)
{
	struct folder *folder = calloc(1, sizeof *folder);

	strcpy(folder->path, "/tmp/pocd-store-XXXXXX");
	assert_non_null(mkdtemp(folder->path));
	*state = folder;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"data.mdb", "lock.mdb", "pocd.lock"};
	struct folder *folder = *state;
	char path[100];

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		snprintf(path, sizeof path, "%s/%s", folder->path, names[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(folder->path), 0);
	free(folder);
	return 0;
}

static struct store *open_store(const struct folder *folder, bool create, bool read_only)
{
	const struct store_lmdb_options options = {.path = folder->path, .create = create, .read_only = read_only};
	struct refusal why = {0};
	struct store *store = NULL;

	if (store_lmdb_open(&options, &store, &why) != 0)
		fail_msg("%s", why.message);
	return store;
}

static void refused(const struct folder *folder, bool read_only, const char *words)
{
	const struct store_lmdb_options options = {.path = folder->path, .read_only = read_only};
	struct refusal why = {0};
	struct store *store;

	assert_int_not_equal(store_lmdb_open(&options, &store, &why), 0);
	if (strstr(why.message, words) == NULL)
		fail_msg("%s", why.message);
}

static void put(struct store *store, enum store_table table, const char *key, const char *value)
{
	struct store_batch *batch = store_batch_create();

	assert_int_equal(store_batch_put(batch, table, key, strlen(key), value, strlen(value)), 0);
	assert_int_equal(store_commit_wait(store, batch), 0);
}

static void is(struct store *store, enum store_table table, const char *key, const char *value)
{
	struct store_view *view;
	struct store_value got;
	uint64_t n = 0;

	assert_int_equal(store_view_begin(store, &view), 0);
	int status = store_get(view, table, key, strlen(key), &got);
	assert_int_equal(status, value != NULL ? 0 : STATUS_NOT_FOUND);
	if (value != NULL) {
		assert_int_equal(got.size, strlen(value));
		assert_memory_equal(got.bytes, value, got.size);
	}
	assert_int_equal(store_count(view, table, &n), 0);
	assert_int_equal(n, value != NULL);
	store_view_end(view);
}

static uint64_t version_of(struct store *store)
{
	struct store_view *view;
	struct store_value value;

	assert_int_equal(store_view_begin(store, &view), 0);
	assert_int_equal(store_get(view, TABLE_META, META_SCHEMA, strlen(META_SCHEMA), &value), 0);
	uint64_t version = schema_get_u64(value.bytes);
	store_view_end(view);
	return version;
}

/* ---- A database as it was before */

static void put_meta(MDB_txn *txn, MDB_dbi meta, const char *name, uint8_t *value, size_t size)
{
	uint8_t head[3] = {TABLE_META, 0, (uint8_t)strlen(name)};
	uint32_t sum = crc32c(crc32c(crc32c(0, head, 3), name, strlen(name)), value, size);
	MDB_val k = {strlen(name), (void *)name}, v = {size + 4, value};

	schema_put_u32(value + size, sum);
	assert_int_equal(mdb_put(txn, meta, &k, &v, 0), 0);
}

/* Rewrites a database's version and counts, without a later table if drop. */
static void make_version(const struct folder *folder, uint64_t version, bool drop)
{
	uint8_t number[12], counts[8 * TABLE_COUNT + 4] = {0};
	int tables = version > 1 ? TABLE_COUNT : TABLE_READING;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi, meta;
	MDB_stat stat;

	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, TABLE_COUNT), 0);
	assert_int_equal(mdb_env_open(env, folder->path, 0, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, "meta", 0, &meta), 0);
	if (drop) {
		assert_int_equal(mdb_dbi_open(txn, "reading", 0, &dbi), 0);
		assert_int_equal(mdb_drop(txn, dbi, 1), 0);
	}
	for (int t = 0; t < tables; t++) {
		if (mdb_dbi_open(txn, store_table_name((enum store_table)t), 0, &dbi) == 0) {
			assert_int_equal(mdb_stat(txn, dbi, &stat), 0);
			schema_put_u64(counts + 8 * t, stat.ms_entries);
		}
	}
	schema_put_u64(number, version);
	put_meta(txn, meta, META_SCHEMA, number, 8);
	put_meta(txn, meta, META_COUNTS, counts, 8 * (size_t)tables);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

/* Version 1 had no table of readers: it can be read as it is, and gets one when it is opened for writing. */
static void test_version_1(void **state)
{
	struct folder *folder = *state;
	struct store *store = open_store(folder, true, false);

	assert_int_equal(version_of(store), SCHEMA_VERSION);
	put(store, TABLE_ENVELOPE, "key", "value");
	store_close(store);
	make_version(folder, 1, true);

	store = open_store(folder, false, true);
	assert_int_equal(version_of(store), 1);
	is(store, TABLE_ENVELOPE, "key", "value");
	is(store, TABLE_READING, "key", NULL);
	assert_int_equal(store_scrub(store, NULL, NULL), 0);
	store_close(store);

	store = open_store(folder, false, false);
	assert_int_equal(version_of(store), SCHEMA_VERSION);
	is(store, TABLE_ENVELOPE, "key", "value");
	is(store, TABLE_READING, "key", NULL);
	put(store, TABLE_READING, "key", "read");
	store_close(store);
	store = open_store(folder, false, true);
	is(store, TABLE_READING, "key", "read");
	store_close(store);
}

/* Killed when the table was made and the version not yet written: the next start goes on. */
static void test_half_way(void **state)
{
	struct folder *folder = *state;

	store_close(open_store(folder, true, false));
	make_version(folder, 1, false);
	struct store *store = open_store(folder, false, false);
	assert_int_equal(version_of(store), SCHEMA_VERSION);
	store_close(store);
}

/* What a version has may not be missing, and one of the future is not guessed at. */
static void test_not_that_version(void **state)
{
	struct folder *folder = *state;

	store_close(open_store(folder, true, false));
	make_version(folder, SCHEMA_VERSION, true);
	refused(folder, false, "lacks the table reading");
	refused(folder, true, "lacks the table reading");
	make_version(folder, SCHEMA_VERSION + 1, false);
	refused(folder, false, "was written by a newer version of pocd (schema 3)");
}

/* ---- A backup that was killed */

static void put_large(struct store *store, uint8_t key)
{
	static uint8_t value[VALUE];
	struct store_batch *batch = store_batch_create();

	assert_non_null(batch);
	assert_int_equal(store_batch_put(batch, TABLE_BODY, &key, 1, value, sizeof value), 0);
	assert_int_equal(store_commit_wait(store, batch), 0);
}

static off_t file_size(const char *folder)
{
	char file[80];
	struct stat st;

	snprintf(file, sizeof file, "%s/data.mdb", folder);
	assert_int_equal(stat(file, &st), 0);
	return st.st_size;
}

/* Begins a backup beside the store into a pipe that is full soon, and kills it. */
static void kill_backup(const char *folder)
{
	struct refusal why;
	char byte;
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(pipes[0]);
		_exit(store_lmdb_copy(folder, pipes[1], &why));
	}
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &byte, 1), 1); /* it reads the database, and writes */
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	while (read(pipes[0], &byte, 1) > 0) /* so does the process that it had reading */
		;
	close(pipes[0]);
}

/* A reader that was killed keeps no page from being used again. */
static void test_killed_backup(void **state)
{
	struct folder *folder = *state;
	struct store *store = open_store(folder, true, false);

	for (uint8_t i = 0; i < VALUES; i++)
		put_large(store, i);
	kill_backup(folder->path);
	for (int i = 0; i < COMMITS; i++)
		put_large(store, (uint8_t)(i % VALUES));
	assert_true(file_size(folder->path) < (off_t)4 * VALUES * VALUE);
	store_close(store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(version_1), TEST(half_way), TEST(not_that_version),
					   TEST(killed_backup)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
