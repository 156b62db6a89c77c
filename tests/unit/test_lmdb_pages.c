/* The walk over an LMDB file's pages: accepts whatever LMDB wrote, refuses or survives whatever else. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pocd/store/lmdb_file.h"
#include "pocd/store/lmdb_pages.h"
#include "pocd/store/store.h"
#include "tests/lib/unit.h"

enum { COMMITS = 150, KEYS = 3000, MUTATIONS = 10000 };

struct folder {
	char path[64], file[80];
};

static int setup(void **state)
{
	struct folder *folder = calloc(1, sizeof *folder);

	strcpy(folder->path, "/tmp/pocd-pages-XXXXXX");
	assert_non_null(mkdtemp(folder->path));
	snprintf(folder->file, sizeof folder->file, "%s/data.mdb", folder->path);
	*state = folder;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"data.mdb", "lock.mdb", "pocd.lock", "altered.mdb"};
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

/* Puts and deletes at random: small values, and large ones on overflow pages; first more puts, then more deletes. */
static void random_commit(struct store *store, uint64_t *seed, unsigned round)
{
	static uint8_t value[40000];
	struct store_batch *batch = store_batch_create();
	char key[32];

	assert_non_null(batch);
	for (unsigned i = 0; i < 1 + test_random(seed) % 60; i++) {
		enum store_table table = test_random(seed) % TABLE_COUNT;
		snprintf(key, sizeof key, "key %u", (unsigned)(test_random(seed) % KEYS));
		if (table == TABLE_META)
			continue;
		if (test_random(seed) % COMMITS < round)
			assert_int_equal(store_batch_delete(batch, table, key, strlen(key)), 0);
		else
			assert_int_equal(
			    store_batch_put(batch, table, key, strlen(key), value,
					    test_random(seed) % (test_random(seed) % 8 == 0 ? sizeof value : 300)),
			    0);
	}
	assert_int_equal(store_commit_wait(store, batch), 0);
}

static void check_good(const char *file)
{
	struct refusal why = {0};

	if (lmdb_file_check(file, &why) != 0 || lmdb_pages_check(file, &why) != 0)
		fail_msg("%s", why.message);
}

static void test_whatever_lmdb_wrote(void **state)
{
	struct folder *folder = *state;
	struct store_lmdb_options options = {.path = folder->path, .map_size = 256 << 20, .create = 1};
	struct store *store;
	uint64_t seed = 1;

	assert_int_equal(store_lmdb_open(&options, &store, NULL), 0);
	check_good(folder->file);
	for (unsigned round = 0; round < COMMITS; round++) {
		random_commit(store, &seed, round);
		check_good(folder->file);
	}
	store_close(store);
	options.create = 0;
	assert_int_equal(store_lmdb_open(&options, &store, NULL), 0);
	store_close(store);
}

static void write_file(const char *path, const uint8_t *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

/* Changes up to eight bytes in a row, half of the times of a page's header or first offsets; true if that is refused.
 */
static bool altered_refused(const char *path, int fd, const uint8_t *bytes, size_t size, uint64_t *seed)
{
	uint8_t bad[8];
	size_t at = test_random(seed) % (size - sizeof bad), count = 1 + test_random(seed) % sizeof bad;

	if (test_random(seed) % 2 == 0)
		at = at / 4096 * 4096 + test_random(seed) % 40;
	for (size_t i = 0; i < count; i++)
		bad[i] = test_random(seed) % 4 == 0 ? 0xff : (uint8_t)test_random(seed);
	assert_int_equal(pwrite(fd, bad, count, (off_t)at), count);
	bool refused = lmdb_file_check(path, NULL) != 0 || lmdb_pages_check(path, NULL) != 0;
	assert_int_equal(pwrite(fd, bytes + at, count, (off_t)at), count);
	return refused;
}

static void test_whatever_else(void **state)
{
	struct folder *folder = *state;
	struct store_lmdb_options options = {.path = folder->path, .map_size = 256 << 20, .create = 1};
	struct store *store;
	struct stat st;
	char altered[100];
	uint64_t seed = 2;
	unsigned refused = 0;

	assert_int_equal(store_lmdb_open(&options, &store, NULL), 0);
	for (unsigned round = 0; round < COMMITS / 2; round++)
		random_commit(store, &seed, round);
	store_close(store);
	int fd = open(folder->file, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	size_t size = (size_t)st.st_size;
	uint8_t *bytes = malloc(size);
	assert_non_null(bytes);
	assert_int_equal(read(fd, bytes, size), size);
	close(fd);
	snprintf(altered, sizeof altered, "%s/altered.mdb", folder->path);
	write_file(altered, bytes, size);
	fd = open(altered, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (unsigned i = 0; i < MUTATIONS; i++)
		refused += altered_refused(altered, fd, bytes, size, &seed);
	close(fd);
	free(bytes);
	check_good(altered);
	assert_in_range(refused, MUTATIONS / 40, MUTATIONS);
}

/* Tells that it runs by a byte; its end of the pipe closes when it ends. */
static int slow_probe(void *ctx, struct refusal *why)
{
	const int *fd = ctx;

	(void)why;
	if (write(*fd, "x", 1) == 1)
		sleep(60);
	return 0;
}

/* Whoever waits for the probe is killed: the probe ends too, so that nothing of it is in the way of the next start. */
static void test_killed_while_probing(void **state)
{
	int ends[2], status;
	char byte;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(lmdb_file_probe(slow_probe, &ends[1], 60, NULL));
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	struct pollfd closed = {.fd = ends[0], .events = POLLIN};
	assert_int_equal(poll(&closed, 1, 10000), 1);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_whatever_lmdb_wrote, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_whatever_else, setup, teardown),
	    cmocka_unit_test(test_killed_while_probing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
