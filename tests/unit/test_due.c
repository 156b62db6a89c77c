#include "clients/cli/due.h"

#include "proto/rules/record.h"
#include "tests/lib/unit.h"

enum { DAY = 86400 };
static const int64_t noon = 20000 * (int64_t)DAY + DAY / 2;

/* The threshold that a record has reached so many days after it was confirmed; -2: none. */
static int record_days(int64_t age, int64_t life)
{
	Poc__Record record = POC__RECORD__INIT;
	struct due_list list = {0};

	record.confirmed = noon;
	record.expires = noon + life * DAY;
	assert_int_equal(due_of_record("XA", &record, noon + age * DAY, &list), 0);
	int days = list.n > 0 ? list.list[0].days : -2;
	due_finish(&list);
	return days;
}

static void test_record(void **state)
{
	(void)state;
	assert_int_equal(record_days(0, 400), -2);
	assert_int_equal(record_days(89, 400), -2);
	assert_int_equal(record_days(90, 400), 30);
	assert_int_equal(record_days(119, 400), 30);
	assert_int_equal(record_days(120, 400), 0);
	assert_int_equal(record_days(3000, 400), 0);
	/* its own expiry, where that comes first */
	assert_int_equal(record_days(9, 40), -2);
	assert_int_equal(record_days(10, 40), 30);
	assert_int_equal(record_days(40, 40), 0);
}

static void test_withdrawn(void **state)
{
	Poc__Record record = POC__RECORD__INIT;
	struct due_list list = {0};

	(void)state;
	record.confirmed = noon;
	record.expires = noon + DAY;
	record.withdrawn = 1;
	assert_int_equal(due_of_record("XA", &record, noon + 500 * (int64_t)DAY, &list), 0);
	assert_int_equal(list.n, 0);
}

/* The same of a user, so many days before its time ends. */
static int user_days(int64_t left)
{
	Poc__User user = POC__USER__INIT, *users[] = {&user};
	Poc__Users all = POC__USERS__INIT;
	struct due_list list = {0};

	user.handle = (char *)"duty-1";
	user.not_after = noon;
	all.users = users;
	all.n_users = 1;
	assert_int_equal(due_of_users("XA", &all, noon - left * DAY, &list), 0);
	int days = list.n > 0 ? list.list[0].days : -2;
	due_finish(&list);
	return days;
}

static void test_users(void **state)
{
	(void)state;
	assert_int_equal(user_days(31), -2);
	assert_int_equal(user_days(30), 30);
	assert_int_equal(user_days(8), 30);
	assert_int_equal(user_days(7), 7);
	assert_int_equal(user_days(2), 7);
	assert_int_equal(user_days(1), 1);
	assert_int_equal(user_days(0), 1);
	assert_int_equal(user_days(-1), DUE_ENDED);
}

static void test_reading_keys(void **state)
{
	Poc__User user = POC__USER__INIT, *users[] = {&user};
	Poc__ReadingKey own = POC__READING_KEY__INIT, desk = POC__READING_KEY__INIT, *keys[] = {&own, &desk};
	Poc__Users all = POC__USERS__INIT;
	struct due_list list = {0};

	(void)state;
	user.handle = own.handle = (char *)"duty-1";
	user.not_after = own.not_after = desk.not_after = noon;
	own.holder = POC__HOLDER__HOLDER_USER;
	desk.holder = POC__HOLDER__HOLDER_DESK;
	all.users = users;
	all.n_users = 1;
	all.reading_keys = keys;
	all.n_reading_keys = 2;
	assert_int_equal(due_of_users("XA", &all, noon, &list), 0);
	/* a user's own key that ends with the user is not told apart */
	assert_int_equal(list.n, 2);
	assert_int_equal(list.list[1].kind, DUE_READING_KEY);
	assert_int_equal(strncmp(list.list[1].what, "desk ", 5), 0);
	due_finish(&list);
	own.not_after = noon - DAY;
	assert_int_equal(due_of_users("XA", &all, noon - DAY, &list), 0);
	assert_int_equal(list.n, 3);
	due_finish(&list);
	user.not_after = own.not_after = desk.not_after = 0;
	assert_int_equal(due_of_users("XA", &all, noon, &list), 0);
	assert_int_equal(list.n, 0);
	due_finish(&list);
}

static void test_trust(void **state)
{
	static const struct {
		int64_t left;
		int days;
	} cases[] = {{90, 90}, {31, 90}, {30, 30}, {7, 7}, {1, 1}, {-5, DUE_ENDED}};
	Poc__Trust trust = POC__TRUST__INIT;
	struct due_list list = {0};

	(void)state;
	trust.expires = noon;
	assert_int_equal(due_of_trust(&trust, noon - 91 * (int64_t)DAY, &list), 0);
	assert_int_equal(list.n, 0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(due_of_trust(&trust, noon - cases[i].left * DAY, &list), 0);
		assert_int_equal(list.list[i].days, cases[i].days);
	}
	due_finish(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_record),       cmocka_unit_test(test_withdrawn), cmocka_unit_test(test_users),
	    cmocka_unit_test(test_reading_keys), cmocka_unit_test(test_trust),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
