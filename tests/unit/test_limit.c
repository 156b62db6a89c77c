/* Connections are counted by IPv4 address, however it is written, and by IPv6 network. */
#include "tests/lib/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "pocd/net/limit.h"

static struct sockaddr_storage peer_of(const char *text)
{
	struct sockaddr_storage peer = {0};
	struct sockaddr_in *four = (struct sockaddr_in *)&peer;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&peer;

	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &six->sin6_addr), 1);
		six->sin6_family = AF_INET6;
	}
	return peer;
}

static bool enter(struct limit *limit, const char *text)
{
	struct sockaddr_storage peer = peer_of(text);

	return limit_acquire(limit, &peer);
}

static void leave(struct limit *limit, const char *text)
{
	struct sockaddr_storage peer = peer_of(text);

	limit_release(limit, &peer);
}

static void test_addresses(void **state)
{
	struct limit *limit = limit_create(100, 2);

	(void)state;
	assert_true(enter(limit, "192.0.2.1"));
	assert_true(enter(limit, "::ffff:192.0.2.1"));
	assert_false(enter(limit, "192.0.2.1"));
	assert_false(enter(limit, "::ffff:192.0.2.1"));
	assert_true(enter(limit, "::ffff:192.0.2.2")); /* another one */
	assert_true(enter(limit, "2001:db8::1"));
	assert_true(enter(limit, "2001:db8::ffff:2"));
	assert_false(enter(limit, "2001:db8::3")); /* the same network */
	assert_true(enter(limit, "2001:db8:0:1::1"));
	assert_int_equal(limit_total(limit), 6);
	leave(limit, "::ffff:192.0.2.1");
	assert_true(enter(limit, "192.0.2.1"));
	limit_destroy(limit);
}

static void test_total(void **state)
{
	struct limit *limit = limit_create(2, 10);

	(void)state;
	assert_true(enter(limit, "192.0.2.1"));
	assert_true(enter(limit, "192.0.2.2"));
	assert_false(enter(limit, "192.0.2.3"));
	limit_configure(limit, 3, 10);
	assert_true(enter(limit, "192.0.2.3"));
	leave(limit, "192.0.2.9"); /* was never in */
	assert_int_equal(limit_total(limit), 3);
	leave(limit, "192.0.2.1");
	leave(limit, "192.0.2.2");
	leave(limit, "192.0.2.3");
	assert_int_equal(limit_total(limit), 0);
	limit_destroy(limit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_addresses), cmocka_unit_test(test_total)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
