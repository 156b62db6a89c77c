/* Which key files are taken: nobody else may read them, but for what systemd hands over. */
#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/keys/keystore_file.h"
#include "proto/keys/keystore_open.h"

static char folder[] = "/tmp/pocd-test-keystore-XXXXXX";
static char path[64], link_path[64];

static int make_key(void **state)
{
	struct keystore_key *key = NULL;

	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/a.key", folder);
	snprintf(link_path, sizeof link_path, "%s/link.key", folder);
	int status = keystore_generate(KEY_ED25519, path, NULL, &key, NULL);
	keystore_close(key);
	return status != 0 ? -1 : symlink(path, link_path);
}

static int remove_key(void **state)
{
	(void)state;
	unlink(link_path);
	unlink(path);
	return rmdir(folder);
}

static int open_with(const char *file, mode_t mode)
{
	struct keystore_key *key = NULL;

	assert_int_equal(chmod(path, mode), 0);
	int status = keystore_open(file, NULL, &key, NULL);
	keystore_close(key);
	return status;
}

static void test_modes(void **state)
{
	(void)state;
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_int_equal(open_with(path, 0600), 0);
	assert_int_equal(open_with(path, 0400), 0);
	assert_int_equal(open_with(path, 0440), STATUS_DENIED);
	assert_int_equal(open_with(path, 0604), STATUS_DENIED);
	assert_int_equal(open_with(link_path, 0600), STATUS_DENIED);
}

static void test_credential(void **state)
{
	(void)state;
	setenv("CREDENTIALS_DIRECTORY", folder, 1);
	assert_int_equal(open_with(path, 0440), 0);
	assert_int_equal(open_with(path, 0460), STATUS_DENIED);
	assert_int_equal(open_with(path, 0444), STATUS_DENIED);
	assert_int_equal(open_with(link_path, 0440), STATUS_DENIED);
	setenv("CREDENTIALS_DIRECTORY", "/tmp", 1); /* not of the folder itself */
	assert_int_equal(open_with(path, 0440), STATUS_DENIED);
	setenv("CREDENTIALS_DIRECTORY", "", 1);
	assert_int_equal(open_with(path, 0440), STATUS_DENIED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_modes), cmocka_unit_test(test_credential)};

	return cmocka_run_group_tests(tests, make_key, remove_key);
}
