#include "tests/lib/unit.h"

#include "proto/wire/frame.h"
#include "proto/wire/poc.pb-c.h"

static void test_header(void **state)
{
	uint8_t header[FRAME_HEADER];
	(void)state;
	frame_put_header(header, 0x00012345);
	assert_memory_equal(header, "\x00\x01\x23\x45", 4);
	assert_int_equal(frame_get_header(header, 0x12345), 0x12345);
	assert_int_equal(frame_get_header(header, 0x12344), -1);
	frame_put_header(header, 0);
	assert_int_equal(frame_get_header(header, FRAME_MAX), -1);
	frame_put_header(header, UINT32_MAX);
	assert_int_equal(frame_get_header(header, UINT32_MAX), -1);
}

/* Every body is recognised from its first six bytes, and never from fewer. */
static void test_request_type(void **state)
{
	Poc__Lookup lookup = POC__LOOKUP__INIT;
	Poc__Submit submit = POC__SUBMIT__INIT;
	Poc__Request request = POC__REQUEST__INIT;
	uint8_t bytes[64];
	(void)state;
	request.id = 7;
	request.body_case = POC__REQUEST__BODY_LOOKUP;
	request.lookup = &lookup;
	size_t size = poc__request__pack(&request, bytes);
	assert_int_equal(frame_request_type(bytes, size), POC__REQUEST__BODY_LOOKUP);
	request.body_case = POC__REQUEST__BODY_SUBMIT;
	request.submit = &submit;
	size = poc__request__pack(&request, bytes);
	assert_int_equal(frame_request_type(bytes, size), POC__REQUEST__BODY_SUBMIT);
	for (size_t n = 0; n < 6; n++)
		assert_int_equal(frame_request_type(bytes, n), 0);
	bytes[5] = 0xb2;
	assert_int_equal(frame_request_type(bytes, size), 0);
	bytes[5] = 6 << 3;
	assert_int_equal(frame_request_type(bytes, size), 0);
	bytes[0] = 0x0a;
	assert_int_equal(frame_request_type(bytes, size), 0);
}

static void test_request_max(void **state)
{
	(void)state;
	for (uint32_t type = 0; type < 20; type++) {
		uint32_t most = type == POC__REQUEST__BODY_SUBMIT ? FRAME_MAX_SUBMIT
				: type == POC__REQUEST__BODY_POST ? FRAME_MAX_POST
								  : FRAME_MAX;
		assert_int_equal(frame_request_max(type), most);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_header),
	    cmocka_unit_test(test_request_type),
	    cmocka_unit_test(test_request_max),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
