#include "tests/lib/unit.h"

#include <unistd.h>

#include "pocd/signed.h"

enum { COPY = 512 };

static void advance(struct signed_file *file, uint64_t size, uint8_t root)
{
	struct signed_head head = {.head = {.origin = "example.test/1", .size = size}, .state_ms = size * 1000};
	struct refusal why = {0};

	memset(head.head.root.bytes, root, HASH_SIZE);
	if (signed_advance(file, &head, &why) != 0)
		fail_msg("%s", why.message);
}

static void read_copies(const char *path, char copies[2][COPY])
{
	FILE *in = fopen(path, "re");

	assert_non_null(in);
	assert_int_equal(fread(copies, COPY, 2, in), 2);
	fclose(in);
}

/* Where a head could not be made durable the next try does not find it in the kernel's memory, where it was left, and
 * take it for durable: it is written again, and the other copy stays as it is meanwhile. */
static void test_again(void **context)
{
	char path[] = "/tmp/pocd-test-XXXXXX", copies[2][COPY], before[2][COPY];
	struct signed_file *file;
	struct signed_head last;
	struct refusal why = {0};

	(void)context;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	if (signed_open(path, &file, &why) != 0)
		fail_msg("%s", why.message);
	advance(file, 10, 1);
	advance(file, 20, 2);
	read_copies(path, before);
	assert_memory_not_equal(before[0], before[1], COPY);
	advance(file, 20, 2);
	read_copies(path, copies);
	assert_memory_equal(copies[0], copies[1], COPY);
	assert_true(memcmp(copies[0], before[0], COPY) == 0 || memcmp(copies[0], before[1], COPY) == 0);
	advance(file, 30, 3);
	assert_int_equal(signed_last(file, &last, &why), 0);
	assert_int_equal(last.head.size, 30);
	signed_close(file);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
