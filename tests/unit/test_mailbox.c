#include "tests/lib/unit.h"

#include <event2/event.h>
#include <pthread.h>

#include "pocd/base/mailbox.h"

enum { LETTERS = 100, POSTERS = 4 };

/* What came out, in order. */
static struct seen {
	size_t n;
	uintptr_t values[POSTERS * LETTERS + 16];
	size_t others; /* turns of another event of the loop */
} seen;

static void note(void *arg)
{
	seen.values[seen.n++] = (uintptr_t)arg;
}

static void on_other(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	seen.others++;
}

static void post(struct mailbox *mailbox, uintptr_t value)
{
	assert_int_equal(mailbox_post(mailbox, note, (void *)value), 0);
}

static void turn(struct event_base *base)
{
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void check_order(size_t n)
{
	assert_int_equal(seen.n, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(seen.values[i], i + 1);
	memset(&seen, 0, sizeof seen);
}

/* In order, and a few at a time: another event of the loop has its turn in between. */
static void test_few_at_a_time(void **state)
{
	struct event_base *base = event_base_new();
	struct mailbox *mailbox = mailbox_create(base);
	struct event *other = event_new(base, -1, 0, on_other, NULL);
	size_t turns = 0;

	(void)state;
	for (uintptr_t i = 1; i <= LETTERS; i++)
		post(mailbox, i);
	for (; seen.n < LETTERS; turns++) {
		size_t before = seen.n;
		event_active(other, EV_TIMEOUT, 0);
		turn(base);
		assert_int_equal(seen.others, turns + 1);
		assert_true(seen.n > before && seen.n - before <= 8);
	}
	assert_true(turns >= LETTERS / 8);
	check_order(LETTERS);
	turn(base);
	assert_int_equal(seen.n, 0);
	post(mailbox, 1); /* an empty one wakes its loop again */
	turn(base);
	check_order(1);
	post(mailbox, 1);
	post(mailbox, 2);
	mailbox_destroy(mailbox); /* runs what is left */
	check_order(2);
	event_free(other);
	event_base_free(base);
}

/* What is gathered comes all together, to each mailbox in its order. */
static void test_gathered(void **state)
{
	struct event_base *bases[] = {event_base_new(), event_base_new()};
	struct mailbox *mailboxes[] = {mailbox_create(bases[0]), mailbox_create(bases[1])};

	(void)state;
	mailbox_gather();
	for (uintptr_t i = 1; i <= 6; i++) {
		post(mailboxes[0], i);
		post(mailboxes[1], i);
	}
	turn(bases[0]);
	turn(bases[1]);
	assert_int_equal(seen.n, 0);
	mailbox_deliver();
	for (size_t i = 0; i < 2; i++) {
		turn(bases[i]);
		check_order(6);
	}
	mailbox_gather();
	mailbox_deliver();
	post(mailboxes[0], 1); /* at once again */
	turn(bases[0]);
	check_order(1);
	for (size_t i = 0; i < 2; i++) {
		mailbox_destroy(mailboxes[i]);
		event_base_free(bases[i]);
	}
}

static void *post_many(void *arg)
{
	for (uintptr_t i = 1; i <= LETTERS; i++) {
		if (i % 10 == 1)
			mailbox_gather();
		post(arg, i);
		if (i % 10 == 0)
			mailbox_deliver();
	}
	return NULL;
}

/* None is lost, however threads and loop meet: nobody wakes a loop that is awake. */
static void test_from_threads(void **state)
{
	struct event_base *base = event_base_new();
	struct mailbox *mailbox = mailbox_create(base);
	pthread_t threads[POSTERS];

	(void)state;
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < POSTERS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, post_many, mailbox), 0);
		while (seen.n < (size_t)POSTERS * LETTERS)
			event_base_loop(base, EVLOOP_ONCE); /* sleeps until it is woken */
		for (size_t i = 0; i < POSTERS; i++)
			assert_int_equal(pthread_join(threads[i], NULL), 0);
		memset(&seen, 0, sizeof seen);
	}
	mailbox_destroy(mailbox);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_few_at_a_time), cmocka_unit_test(test_gathered),
					   cmocka_unit_test(test_from_threads)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
