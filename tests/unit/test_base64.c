#include "tests/lib/unit.h"

#include "proto/proof/base64.h"

static void test_known(void **state)
{
	static const struct {
		const char *plain, *text;
	} rows[] = {{"", ""},
		    {"f", "Zg=="},
		    {"fo", "Zm8="},
		    {"foo", "Zm9v"},
		    {"foob", "Zm9vYg=="},
		    {"fooba", "Zm9vYmE="},
		    {"foobar", "Zm9vYmFy"}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char text[16];
		uint8_t bytes[16];
		const size_t size = strlen(rows[i].plain), length = strlen(rows[i].text);
		assert_int_equal(base64_encode((const uint8_t *)rows[i].plain, size, text, sizeof text), length);
		assert_string_equal(text, rows[i].text);
		assert_int_equal(base64_decode(text, length, bytes, sizeof bytes), size);
		assert_memory_equal(bytes, rows[i].plain, size);
	}
}

static void test_refused(void **state)
{
	static const char *const texts[] = {
	    "Z",     "Zg",     "Zg=",    "Zg===", "=",    "====", "Zh==", "Zm9=",     "Zm8=Zm8=", " Zm9v",
	    "Zm9v ", "Zm9v\n", "Zm\n9v", "Zm-v",  "Zm_v", "Z=9v", "Zg=a", "Zm9v====", "Zg==Zm9v", "Zm9vZh=="};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		uint8_t bytes[16];
		assert_int_equal(base64_decode(texts[i], strlen(texts[i]), bytes, sizeof bytes), -1);
	}
}

static void test_room(void **state)
{
	uint8_t bytes[6];
	char text[9];
	(void)state;
	assert_int_equal(base64_decode("Zm9vYmFy", 8, bytes, 5), -1);
	assert_int_equal(base64_decode("Zm9vYmFy", 8, bytes, 6), 6);
	assert_int_equal(base64_decode("Zm9vYg==", 8, bytes, 4), 4);
	assert_int_equal(base64_encode((const uint8_t *)"foobar", 6, text, 8), -1);
	assert_int_equal(base64_encode((const uint8_t *)"foobar", 6, text, 9), 8);
	assert_int_equal(base64_encode((const uint8_t *)"", 0, text, 0), -1);
}

/* Of all four-character texts over a small alphabet exactly those decode that encode back to themselves. */
static void test_canonical(void **state)
{
	static const char alphabet[] = "AQgwZ9+/= -";
	const size_t n = sizeof alphabet - 1;
	(void)state;
	for (size_t i = 0; i < n * n * n * n; i++) {
		const char text[4] = {alphabet[i % n], alphabet[i / n % n], alphabet[i / n / n % n],
				      alphabet[i / n / n / n]};
		uint8_t bytes[3];
		char again[5];
		const ssize_t size = base64_decode(text, 4, bytes, sizeof bytes);
		if (size < 0)
			continue;
		assert_int_equal(base64_encode(bytes, (size_t)size, again, sizeof again), 4);
		assert_memory_equal(again, text, 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_known),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_room),
	    cmocka_unit_test(test_canonical),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
