/* The pre-scan against protobuf-c itself: what it accepts must unpack and pack to the very same bytes. */
#include "tests/lib/unit.h"

#include <time.h>

#include "proto/rules/payload.pb-c.h"
#include "proto/wire/frame.h"
#include "proto/wire/poc.pb-c.h"
#include "proto/wire/prescan.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOW 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SLOW 1
#endif
#endif

static const ProtobufCMessageDescriptor *const tops[] = {
    &poc__envelope__descriptor, &poc__trust__descriptor,    &poc__register__descriptor, &poc__keys__descriptor,
    &poc__users__descriptor,    &poc__record__descriptor,   &poc__section__descriptor,  &poc__proof__descriptor,
    &poc__request__descriptor,  &poc__response__descriptor, &poc__event__descriptor,
};
enum { TOPS = sizeof tops / sizeof tops[0], TYPES_MAX = 100 };

/* All message types, found from the outermost ones. */
static const ProtobufCMessageDescriptor *types[TYPES_MAX];
static size_t n_types;

static void add_type(const ProtobufCMessageDescriptor *type)
{
	for (size_t i = 0; i < n_types; i++)
		if (types[i] == type)
			return;
	assert_true(n_types < TYPES_MAX);
	types[n_types++] = type;
	for (unsigned i = 0; i < type->n_fields; i++)
		if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
			add_type(type->fields[i].descriptor);
}

static int setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < TOPS; i++)
		add_type(tops[i]);
	return 0;
}

/* ---- A writer of bytes --------------------------------------------------------------------------------------------
 */

struct buffer {
	uint8_t bytes[FRAME_MAX];
	size_t size;
};

static void put(struct buffer *out, const void *bytes, size_t size)
{
	if (size > sizeof out->bytes - out->size)
		return;
	if (size > 0)
		memcpy(out->bytes + out->size, bytes, size);
	out->size += size;
}

static void put_varint(struct buffer *out, uint64_t value)
{
	uint8_t bytes[10];
	size_t n = 0;
	for (; value > 0x7f; value >>= 7)
		bytes[n++] = (uint8_t)(value | 0x80);
	bytes[n++] = (uint8_t)value;
	put(out, bytes, n);
}

static void put_tag(struct buffer *out, uint32_t number, unsigned wire)
{
	put_varint(out, (uint64_t)number << 3 | wire);
}

static unsigned wire_of(const ProtobufCFieldDescriptor *field)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return 2;
	case PROTOBUF_C_TYPE_FIXED32:
		return field->label == PROTOBUF_C_LABEL_REPEATED ? 2 : 5;
	default:
		return field->label == PROTOBUF_C_LABEL_REPEATED ? 2 : 0;
	}
}

static void put_number(struct buffer *out, const ProtobufCFieldDescriptor *field, uint64_t *seed)
{
	const uint64_t r = test_random(seed);
	if (field->type == PROTOBUF_C_TYPE_ENUM) {
		const ProtobufCEnumDescriptor *values = field->descriptor;
		put_varint(out, (uint64_t)values->values[1 + r % (values->n_values - 1)].value);
	} else if (field->type == PROTOBUF_C_TYPE_BOOL) {
		put_varint(out, 1);
	} else if (field->type == PROTOBUF_C_TYPE_UINT32) {
		put_varint(out, r % 3 ? 1 + r % 1000 : UINT32_MAX);
	} else {
		put_varint(out, r % 3 ? 1 + r % 1000 : r | 1);
	}
}

static void put_message(struct buffer *out, const ProtobufCMessageDescriptor *type, uint64_t *seed);

static void put_value(struct buffer *out, const ProtobufCFieldDescriptor *field, uint64_t *seed)
{
	static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
	struct buffer *inner = calloc(1, sizeof *inner);
	assert_non_null(inner);
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		put_message(inner, field->descriptor, seed);
	else if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_BYTES)
		put(inner, text, sizeof text - 1);
	else
		for (uint64_t n = 1 + test_random(seed) % 3; n > 0; n--)
			put_number(inner, field, seed);
	put_tag(out, field->id, 2);
	put_varint(out, inner->size);
	put(out, inner->bytes, inner->size);
	free(inner);
}

/* Canonical bytes of a random message. */
static void put_message(struct buffer *out, const ProtobufCMessageDescriptor *type, uint64_t *seed)
{
	bool oneof_taken = false;
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		const bool oneof = field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
		if (test_random(seed) % 3 == 0 || (oneof && oneof_taken))
			continue;
		oneof_taken |= oneof;
		const unsigned wire = wire_of(field);
		const bool list = field->label == PROTOBUF_C_LABEL_REPEATED;
		if (wire == 2) {
			put_value(out, field, seed);
			if (list && field->type != PROTOBUF_C_TYPE_ENUM && field->type != PROTOBUF_C_TYPE_UINT32)
				put_value(out, field, seed);
			continue;
		}
		put_tag(out, field->id, wire);
		if (wire == 5)
			put(out, "\1\2\3\4", 4);
		else
			put_number(out, field, seed);
	}
}

/* ---- Oracle ---------------------------------------------------------------------------------------------------------
 */

/* The same in room of the caller's own, whether it suffices or not. */
static void check_in_room(const ProtobufCMessageDescriptor *type, const struct buffer *in)
{
	struct message_room room;
	ProtobufCMessage *message;
	uint8_t *again;
	size_t size;

	assert_int_equal(message_decode_in(&room, type, in->bytes, in->size, NULL, &message, NULL), 0);
	assert_int_equal(message_encode(message, &again, &size), 0);
	assert_int_equal(size, in->size);
	assert_memory_equal(again, in->bytes, size);
	if (in->size < 64)
		assert_true(room.used > 0);
	free(again);
	message_free_in(&room, message);
}

/* Accepted bytes unpack, and pack to themselves.  Returns whether they were accepted. */
static bool check_canonical(const ProtobufCMessageDescriptor *type, const struct buffer *in)
{
	struct refusal why = {0};
	ProtobufCMessage *message;
	uint8_t *again;
	size_t size;
	const int status = message_decode(type, in->bytes, in->size, &prescan_default, &message, &why);
	if (status) {
		assert_null(message);
		assert_true(status == STATUS_MALFORMED || status == STATUS_TOO_LARGE);
		assert_string_not_equal(why.message, "");
		return false;
	}
	assert_int_equal(message_encode(message, &again, &size), 0);
	assert_int_equal(size, in->size);
	assert_memory_equal(again, in->bytes, size);
	free(again);
	message_free(message);
	check_in_room(type, in);
	return true;
}

static void test_random_messages(void **state)
{
	struct buffer *in = calloc(1, sizeof *in);
	uint64_t seed = 42;
	(void)state;
	for (int round = 0; round < 40; round++) {
		for (size_t i = 0; i < n_types; i++) {
			in->size = 0;
			put_message(in, types[i], &seed);
			if (!check_canonical(types[i], in))
				fail_msg("%s round %d refused", types[i]->name, round);
		}
	}
	free(in);
}

/* Changed bytes are refused or are canonical as well; there is nothing between. */
static void test_mutations(void **state)
{
	struct buffer *in = calloc(1, sizeof *in), *changed = calloc(1, sizeof *changed);
	uint64_t seed = 4711;
	unsigned accepted = 0, refused = 0;
	(void)state;
	for (int round = 0; round < 400; round++) {
		const ProtobufCMessageDescriptor *type = tops[round % TOPS];
		in->size = 0;
		put_message(in, type, &seed);
		for (int change = 0; change < 50 && in->size > 0; change++) {
			*changed = *in;
			const size_t at = test_random(&seed) % in->size;
			const uint64_t how = test_random(&seed);
			if (how % 4 == 0)
				changed->size = at;
			else if (how % 4 == 1)
				memmove(changed->bytes + at, in->bytes + at / 2, in->size - at);
			else
				changed->bytes[at] = (uint8_t)(how >> 8);
			if (check_canonical(type, changed))
				accepted++;
			else
				refused++;
		}
	}
	print_message("%u accepted, %u refused\n", accepted, refused);
	assert_true(accepted > 100 && refused > 1000);
	free(in);
	free(changed);
}

/* ---- Single rules -------------------------------------------------------------------------------------------------
 */

struct row {
	const char *what;
	const ProtobufCMessageDescriptor *type;
	const char *bytes;
	size_t size;
	int status;
	const char *field;
};
#define ROW(type, bytes, status, field)                                                                                \
	{                                                                                                              \
#type " " #bytes, &poc__##type##__descriptor, bytes, sizeof(bytes) - 1, status, field                  \
	}
#define BAD STATUS_MALFORMED

static const struct row rows[] = {
    ROW(event, "", 0, ""),
    ROW(event, "\x08\x01", 0, ""),
    ROW(event, "\x08\x00", BAD, "cursor"),         /* default */
    ROW(event, "\x08\x81\x00", BAD, "cursor"),     /* not minimal */
    ROW(event, "\x88\x00\x01", BAD, ""),           /* tag not minimal */
    ROW(event, "\x08", BAD, "cursor"),             /* cut off */
    ROW(event, "\x08\x01\x08\x01", BAD, "cursor"), /* twice */
    ROW(event, "\x28\x01", BAD, ""),               /* unknown */
    ROW(event, "\x00\x01", BAD, ""),               /* number 0 */
    ROW(event, "\x0a\x01\x01", BAD, "cursor"),     /* wire type */
    ROW(event, "\x0b\x0c", BAD, "cursor"),         /* group */
    ROW(event, "\x0f", BAD, "cursor"),             /* no wire type at all */
    ROW(event, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0, ""),
    ROW(event, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", BAD, "cursor"),
    ROW(event, "\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", BAD, "cursor"),
    ROW(request, "\x0d\x01\x00\x00\x00\x42\x00", 0, ""), /* an empty message is something in a oneof */
    ROW(request, "\x0d\x00\x00\x00\x00\x42\x00", BAD, "id"),
    ROW(request, "\x0d\x01\x00\x00", BAD, "id"),
    ROW(request, "\x12\x00\x42\x00", BAD, "get_stats"), /* two bodies */
    ROW(request, "\x42\x00\x42\x00", BAD, "get_stats"),
    ROW(request, "\x42\x00\x12\x00", BAD, "get_stats"), /* descending */
    ROW(response, "\x2a\x00", 0, ""),                   /* an empty bytes member is something, too */
    ROW(key, "\x0a\x00", BAD, "spki"),
    ROW(key, "\x0a\x02\x01", BAD, "spki"), /* length beyond the end */
    ROW(key, "\x0a\x81\x00\x01", BAD, "spki"),
    ROW(key, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", BAD, "spki"),
    ROW(entry, "\x28\x01", 0, ""),
    ROW(entry, "\x28\x02", BAD, "suspended"), /* bool */
    ROW(entry, "\x0a\x01\x00", BAD, "state"), /* NUL */
    ROW(entry, "\x0a\x01\x80", BAD, "state"),
    ROW(entry, "\x0a\x02\xc0\x80", BAD, "state"),         /* overlong */
    ROW(entry, "\x0a\x03\xed\xa0\x80", BAD, "state"),     /* surrogate */
    ROW(entry, "\x0a\x04\xf4\x90\x80\x80", BAD, "state"), /* above the last code point */
    ROW(entry, "\x0a\x03\xe2\x82\xac", 0, ""),
    ROW(entry, "\x0a\x02\xe2\x82", BAD, "state"),
    ROW(interval, "\x08\xff\xff\xff\xff\x0f", 0, ""),
    ROW(interval, "\x08\xff\xff\xff\xff\x1f", BAD, "day"), /* 33 bits */
    ROW(section_ref, "\x10\x04", 0, ""),
    ROW(section_ref, "\x10\x05", BAD, "tlp"), /* no such enum value */
    ROW(section_ref, "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", BAD, "tlp"),
    ROW(user, "\x22\x02\x01\x02", 0, ""),
    ROW(user, "\x22\x00", BAD, "roles[0]"),                 /* empty list */
    ROW(user, "\x20\x01", BAD, "roles[0]"),                 /* not packed */
    ROW(user, "\x22\x01\x01\x22\x01\x02", BAD, "roles[1]"), /* packed in two parts */
    ROW(user, "\x22\x02\x01\x63", BAD, "roles[1]"),
    ROW(user, "\x22\x02\x81\x00", BAD, "roles[0]"),
    ROW(user, "\x22\x01\x00", 0, ""),                        /* elements may be 0 for the encoding */
    ROW(proof, "\x12\x00\x12\x00", 0, ""),                   /* so may elements be empty */
    ROW(proof, "\x12\x00\x28\x01\x12\x00", BAD, "complete"), /* elements apart */
    ROW(record, "\x2a\x00\x2a\x04\x1a\x02\x10\x09", BAD, "pocs[1].sections[0].tlp"),
};

static void test_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct refusal why = {0};
		const int status =
		    prescan(rows[i].type, (const uint8_t *)rows[i].bytes, rows[i].size, &prescan_default, &why);
		if (status != rows[i].status || strcmp(why.field, rows[i].field) != 0)
			fail_msg("%s: %d in '%s' (%s)", rows[i].what, status, why.field, why.message);
	}
	assert_int_equal(prescan(&poc__event__descriptor, NULL, 0, NULL, NULL), 0);
}

static void test_limits(void **state)
{
	const struct prescan_limits flat = {.depth = 1, .fields = 100, .memory = 100000};
	const struct prescan_limits few = {.depth = 8, .fields = 2, .memory = 100000};
	const struct prescan_limits small = {.depth = 8, .fields = 100, .memory = 200};
	static const uint8_t nested[] = {0x2a, 0x04, 0x1a, 0x02, 0x10, 0x01}, three[] = {0x2a, 0, 0x2a, 0, 0x2a, 0};
	struct refusal why;
	(void)state;
	assert_int_equal(prescan(&poc__record__descriptor, nested, 6, &flat, &why), STATUS_TOO_LARGE);
	assert_int_equal(prescan(&poc__record__descriptor, three, 4, &few, &why), 0);
	assert_int_equal(prescan(&poc__record__descriptor, three, 6, &few, &why), STATUS_TOO_LARGE);
	assert_int_equal(prescan(&poc__record__descriptor, three, 6, &small, &why), STATUS_TOO_LARGE);
}

/* ---- Worst cases --------------------------------------------------------------------------------------------------
 */

static double cpu_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double worst_ms;
static char worst_name[200];

/* Time of decoding, the least of three, so that a busy machine does not spoil it. */
static void measure(const ProtobufCMessageDescriptor *type, const struct buffer *in, const char *shape,
		    const char *field)
{
	double least = 1e9;
	for (int i = 0; i < 3; i++) {
		ProtobufCMessage *message;
		const double start = cpu_ms();
		const int status = message_decode(type, in->bytes, in->size, &prescan_default, &message, NULL);
		if (status == 0)
			message_free(message);
		const double took = cpu_ms() - start;
		least = took < least ? took : least;
		assert_int_not_equal(status, STATUS_NO_MEMORY);
	}
	if (least > worst_ms) {
		worst_ms = least;
		snprintf(worst_name, sizeof worst_name, "%s, %s of %s", type->name, shape, field);
	}
}

static void fill(struct buffer *out, const void *pattern, size_t size, size_t total)
{
	while (size > 0 && out->size + size <= total)
		put(out, pattern, size);
}

/* The field with this content in every element, as often as it goes into a frame. */
static void worst_elements(struct buffer *in, const ProtobufCMessageDescriptor *type,
			   const ProtobufCFieldDescriptor *field, const void *content, size_t size, const char *shape)
{
	struct buffer *one = calloc(1, sizeof *one);
	put_tag(one, field->id, 2);
	put_varint(one, size);
	put(one, content, size);
	in->size = 0;
	fill(in, one->bytes, one->size, sizeof in->bytes);
	measure(type, in, shape, field->name);
	free(one);
}

/* One element that fills the frame with a repeated pattern. */
static void worst_content(struct buffer *in, const ProtobufCMessageDescriptor *type,
			  const ProtobufCFieldDescriptor *field, const void *pattern, size_t size, const char *shape)
{
	const size_t total = sizeof in->bytes - 8;
	in->size = 0;
	put_tag(in, field->id, 2);
	put_varint(in, total / size * size);
	fill(in, pattern, size, in->size + total / size * size);
	measure(type, in, shape, field->name);
}

static void worst_of_field(struct buffer *in, const ProtobufCMessageDescriptor *type,
			   const ProtobufCFieldDescriptor *field)
{
	uint64_t seed = 1;
	struct buffer *inner = calloc(1, sizeof *inner);

	worst_elements(in, type, field, "", 0, "empty elements");
	worst_elements(in, type, field, "a", 1, "short elements");
	worst_content(in, type, field, "a", 1, "one long element");
	worst_content(in, type, field, "\xf0\x9f\x98\x80", 4, "one long text");
	worst_content(in, type, field, "\x01", 1, "one long list");
	worst_content(in, type, field, "\xff\xff\xff\xff\x0f", 5, "one list of long numbers");
	if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		const ProtobufCMessageDescriptor *sub = field->descriptor;
		put_message(inner, sub, &seed);
		worst_elements(in, type, field, inner->bytes, inner->size, "full elements");
		for (unsigned i = 0; i < sub->n_fields; i++) {
			inner->size = 0;
			put_tag(inner, sub->fields[i].id, wire_of(&sub->fields[i]));
			put_varint(inner, wire_of(&sub->fields[i]) == 2 ? 0 : 1);
			worst_elements(in, type, field, inner->bytes, inner->size, "elements with one field");
			worst_content(in, type, field, inner->bytes, inner->size, "an element with one field repeated");
		}
	}
	in->size = 0;
	inner->size = 0;
	put_tag(inner, field->id, 0);
	put_varint(inner, 1);
	fill(in, inner->bytes, inner->size, sizeof in->bytes);
	measure(type, in, "repeated numbers", field->name);
	free(inner);
}

static void test_worst_cases(void **state)
{
	struct buffer *in = calloc(1, sizeof *in);
	(void)state;
	for (size_t i = 0; i < n_types; i++) {
		for (unsigned j = 0; j < types[i]->n_fields; j++)
			worst_of_field(in, types[i], &types[i]->fields[j]);
		memset(in->bytes, 0x7a, sizeof in->bytes);
		in->size = sizeof in->bytes;
		measure(types[i], in, "unknown fields", "it");
	}
	print_message("worst of %zu types: %.2f ms (%s)\n", n_types, worst_ms, worst_name);
	free(in);
#ifndef SLOW
	if (getenv("POCD_SLOW") == NULL)
		assert_true(worst_ms < 5.0);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_random_messages), cmocka_unit_test(test_mutations),   cmocka_unit_test(test_rules),
	    cmocka_unit_test(test_limits),          cmocka_unit_test(test_worst_cases),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
