#include "tests/lib/unit.h"

#include "proto/proof/checkpoint.h"

#define ROOT "Wqx3HImawpLnS/Gv4ubjAvi1WIOy0b8Ze0amvqbavKk="

static void test_round(void **state)
{
	static const char text[] = "pocd.example.int/2026a\n123\n" ROOT "\n";
	struct checkpoint checkpoint;
	char again[256];
	(void)state;
	assert_int_equal(checkpoint_parse(text, sizeof text - 1, &checkpoint, NULL), 0);
	assert_string_equal(checkpoint.origin, "pocd.example.int/2026a");
	assert_int_equal(checkpoint.size, 123);
	assert_int_equal(checkpoint_format(&checkpoint, again, sizeof again), sizeof text - 1);
	assert_string_equal(again, text);
	assert_int_equal(checkpoint_format(&checkpoint, again, sizeof text - 1), -1);
}

static void test_malformed(void **state)
{
	static const char *const texts[] = {
	    "",
	    "\n",
	    "origin\n",
	    "origin\n1\n",
	    "origin\n1\n" ROOT,
	    "\n1\n" ROOT "\n",
	    "origin\n\n" ROOT "\n",
	    "origin\n01\n" ROOT "\n",
	    "origin\n+1\n" ROOT "\n",
	    "origin\n-1\n" ROOT "\n",
	    "origin\n 1\n" ROOT "\n",
	    "origin\n1x\n" ROOT "\n",
	    "origin\n18446744073709551616\n" ROOT "\n",
	    "origin\n1\n\n",
	    "origin\n1\nAAAA\n",
	    "origin\n1\nWqx3HImawpLnS/Gv4ubjAvi1WIOy0b8Ze0amvqbavKl=\n",
	    "origin\n1\n" ROOT "AAAA\n",
	    "origin\n1\n" ROOT "\nextension\n",
	    "origin\n1\n" ROOT "\n\n",
	};
	struct checkpoint checkpoint;
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct refusal why = {0};
		assert_int_equal(checkpoint_parse(texts[i], strlen(texts[i]), &checkpoint, &why), STATUS_MALFORMED);
		assert_string_not_equal(why.message, "");
	}
	assert_int_equal(checkpoint_parse("origin\n0\n" ROOT "\n", 7 + 2 + 45, &checkpoint, NULL), 0);
	assert_int_equal(checkpoint.size, 0);
}

static void test_leaf(void **state)
{
	struct leaf leaf = {LEAF_PUT, hash_name("R/BR"), 0x0102030405060708, hash_of("a", 1), 0x1112131415161718},
		    again;
	uint8_t bytes[LEAF_SIZE];
	(void)state;
	leaf_write(&leaf, bytes);
	assert_int_equal(bytes[0], 1);
	assert_int_equal(bytes[1], 1);
	assert_memory_equal(bytes + 2, leaf.key.bytes, 32);
	assert_memory_equal(bytes + 34, "\1\2\3\4\5\6\7\10", 8);
	assert_memory_equal(bytes + 42, leaf.value.bytes, 32);
	assert_memory_equal(bytes + 74, "\x11\x12\x13\x14\x15\x16\x17\x18", 8);
	assert_int_equal(leaf_read(bytes, &again), 0);
	assert_int_equal(again.kind, LEAF_PUT);
	assert_int_equal(again.seq, leaf.seq);
	assert_int_equal(again.time_ms, leaf.time_ms);
	bytes[0] = 2;
	assert_int_equal(leaf_read(bytes, &again), -1);
	bytes[0] = 1;
	for (int kind = 0; kind < 256; kind++) {
		bytes[1] = (uint8_t)kind;
		assert_int_equal(leaf_read(bytes, &again), kind == LEAF_PUT ? 0 : -1);
	}
	/* STATE and ANCHOR have no key; an ANCHOR has no seq, the others have one. */
	leaf = (struct leaf){LEAF_STATE, hash_zero, 7, leaf.value, 1};
	leaf_write(&leaf, bytes);
	assert_int_equal(leaf_read(bytes, &again), 0);
	bytes[1] = LEAF_ANCHOR;
	assert_int_equal(leaf_read(bytes, &again), -1);
	bytes[41] = 0;
	assert_int_equal(leaf_read(bytes, &again), 0);
	bytes[1] = LEAF_STATE;
	assert_int_equal(leaf_read(bytes, &again), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round),
	    cmocka_unit_test(test_malformed),
	    cmocka_unit_test(test_leaf),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
