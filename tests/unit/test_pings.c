/* Rules of P/<cc>, and when it says that a state last answered. */
#include <string.h>

#include "proto/proof/hash.h"
#include "proto/rules/pings.h"
#include "tests/lib/unit.h"

static uint8_t receipt[HASH_SIZE];

static Poc__Ping ping_of(int64_t round, Poc__PocKind kind, int64_t answered, bool automatic)
{
	Poc__Ping ping = POC__PING__INIT;

	ping.round = round;
	ping.poc = kind;
	ping.channel = (char *)PING_CHANNEL_NOTICE;
	ping.asked = round + 1;
	ping.answered = answered;
	ping.automatic = automatic;
	if (answered != 0)
		ping.receipt = (ProtobufCBinaryData){HASH_SIZE, receipt};
	return ping;
}

static int check(Poc__Ping *a, Poc__Ping *b)
{
	Poc__Ping *list[] = {a, b};
	Poc__Pings pings = POC__PINGS__INIT;

	pings.issued = 1;
	pings.pings = list;
	pings.n_pings = b != NULL ? 2 : 1;
	return pings_check(&pings, NULL);
}

static void rules(void **state)
{
	Poc__Ping a = ping_of(100, POC__POC_KIND__POC_KIND_TECHNICAL, 0, false), b = a, bad;
	Poc__Pings none = POC__PINGS__INIT;

	(void)state;
	none.issued = 1;
	b.poc = POC__POC_KIND__POC_KIND_DIPLOMATIC;
	assert_int_equal(check(&a, NULL), 0);
	assert_int_equal(check(&a, &b), 0);
	assert_int_equal(pings_check(&none, NULL), STATUS_INVALID);
	assert_int_equal(check(&b, &a), STATUS_INVALID); /* not ascending */
	assert_int_equal(check(&a, &a), STATUS_INVALID);
	bad = a, bad.poc = POC__POC_KIND__POC_KIND_COORDINATOR;
	assert_int_equal(check(&bad, NULL), STATUS_INVALID);
	bad = a, bad.channel = (char *)"No id";
	assert_int_equal(check(&bad, NULL), STATUS_INVALID);
	bad = a, bad.round = 0;
	assert_int_equal(check(&bad, NULL), STATUS_INVALID);
	bad = a, bad.asked = 0;
	assert_int_equal(check(&bad, NULL), STATUS_INVALID);
	bad = a, bad.automatic = true;
	assert_int_equal(check(&bad, NULL), STATUS_INVALID);
	bad = ping_of(100, POC__POC_KIND__POC_KIND_TECHNICAL, 100, false); /* before it was asked */
	assert_int_equal(check(&bad, NULL), STATUS_INVALID);
	bad = ping_of(100, POC__POC_KIND__POC_KIND_TECHNICAL, 200, false);
	assert_int_equal(check(&bad, NULL), 0);
	bad.receipt.len = 31;
	assert_int_equal(check(&bad, NULL), STATUS_INVALID);
}

static void last_answer(void **state)
{
	Poc__Ping person = ping_of(100, POC__POC_KIND__POC_KIND_TECHNICAL, 150, false),
		  program = ping_of(200, POC__POC_KIND__POC_KIND_TECHNICAL, 250, true),
		  silent = ping_of(300, POC__POC_KIND__POC_KIND_TECHNICAL, 0, false),
		  later = ping_of(400, POC__POC_KIND__POC_KIND_TECHNICAL, 450, false);
	Poc__Ping *list[] = {&person, &program, &silent, &later};
	Poc__Pings pings = POC__PINGS__INIT;

	(void)state;
	pings.pings = list;
	pings.n_pings = 3;
	assert_ptr_equal(pings_last_answered(&pings), &person); /* a person's answer before a newer one by a program */
	pings.n_pings = 4;
	assert_ptr_equal(pings_last_answered(&pings), &later);
	pings.pings = list + 1;
	pings.n_pings = 2;
	assert_ptr_equal(pings_last_answered(&pings), &program);
	pings.pings = list + 2;
	pings.n_pings = 1;
	assert_null(pings_last_answered(&pings));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(rules), cmocka_unit_test(last_answer)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
