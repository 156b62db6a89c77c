#include "tests/lib/unit.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pocd/store/store.h"

enum { VALUE = 256 * 1024, VALUES = 8, COMMITS = 100 };

static struct store *open_store(const char *folder)
{
	struct store_lmdb_options options = {.path = folder, .create = 1, .map_size = 256 << 20};
	struct store *store;
	struct refusal why = {0};

	if (store_lmdb_open(&options, &store, &why) != 0)
		fail_msg("%s", why.message);
	return store;
}

static void put(struct store *store, uint8_t key)
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
static void test_killed_backup(void **context)
{
	char folder[] = "/tmp/pocd-test-XXXXXX", data[64], command[80];

	(void)context;
	assert_non_null(mkdtemp(folder));
	snprintf(data, sizeof data, "%s/data", folder);
	struct store *store = open_store(data);
	for (uint8_t i = 0; i < VALUES; i++)
		put(store, i);
	kill_backup(data);
	for (int i = 0; i < COMMITS; i++)
		put(store, (uint8_t)(i % VALUES));
	assert_true(file_size(data) < (off_t)4 * VALUES * VALUE);
	store_close(store);
	snprintf(command, sizeof command, "rm -rf %s", folder);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_killed_backup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
