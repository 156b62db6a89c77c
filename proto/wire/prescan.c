#include "proto/wire/prescan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/utf8.h"

enum { DEPTH_MAX = 8, ONEOFS_MAX = 4, WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

const struct prescan_limits prescan_default = {.depth = DEPTH_MAX, .fields = 8192, .memory = 2 * 1024 * 1024};

/* What a scan has used so far, and what it may use. */
struct scan {
	const struct prescan_limits *limits;
	unsigned fields;
	size_t memory;
	struct refusal *why;
};

/* One message within the message being scanned; up is the one that holds it. */
struct level {
	const struct level *up;
	unsigned depth;
	const ProtobufCMessageDescriptor *type;
	const uint8_t *at, *end;
	unsigned cursor;                       /* index of the first field that may still come: numbers only ascend */
	const ProtobufCFieldDescriptor *field; /* the one being read, NULL before the first */
	size_t index;                          /* its element */
	unsigned n_oneofs;
	unsigned oneofs[ONEOFS_MAX]; /* those that have a member already, by their case's offset */
};

/* ---- Refusals --------------------------------------------------------------------------------------------------- */

static size_t path_write(const struct level *level, char *out, size_t room)
{
	size_t used = level->up ? path_write(level->up, out, room) : 0;
	if (!level->field || used >= room)
		return used;
	const char *dot = used > 0 ? "." : "";
	int n;
	if (level->field->label == PROTOBUF_C_LABEL_REPEATED)
		n = snprintf(out + used, room - used, "%s%s[%zu]", dot, level->field->name, level->index);
	else
		n = snprintf(out + used, room - used, "%s%s", dot, level->field->name);
	return n < 0 ? used : used + (size_t)n;
}

static int offence(const struct scan *scan, const struct level *level, int code, const char *message)
{
	char path[sizeof scan->why->field] = "";
	if (scan->why)
		path_write(level, path, sizeof path);
	return refuse(scan->why, code, path, "%s", message);
}

static int malformed(const struct scan *scan, const struct level *level, const char *message)
{
	return offence(scan, level, STATUS_MALFORMED, message);
}

static int use_memory(struct scan *scan, const struct level *level, size_t size)
{
	if (size > scan->limits->memory - scan->memory)
		return offence(scan, level, STATUS_TOO_LARGE, "the message takes too much memory");
	scan->memory += size;
	return 0;
}

/* ---- Single values ------------------------------------------------------------------------------------------------
 */

/* Reads a minimal varint of at most 64 bits from [*at, end). */
static bool varint_read(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
	uint64_t value = 0;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		if (*at == end)
			return false;
		const uint8_t byte = *(*at)++;
		if (shift == 63 && byte > 1)
			return false;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*out = value;
			return byte != 0 || shift == 0;
		}
	}
	return false;
}

/* Whether a varint is the encoding of a value of the field's type. */
static bool number_fits(const ProtobufCFieldDescriptor *field, uint64_t value)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_BOOL:
		return value <= 1;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_SINT32:
		return value <= UINT32_MAX;
	case PROTOBUF_C_TYPE_INT32: /* negative numbers are extended to 64 bits */
		return value <= INT32_MAX || value >= (uint64_t)INT32_MIN;
	case PROTOBUF_C_TYPE_ENUM:
		return value <= INT32_MAX && protobuf_c_enum_descriptor_get_value(field->descriptor, (int)value);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
		return true;
	default:
		return false;
	}
}

static int wire_type(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WIRE_BYTES;
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return WIRE_32;
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return WIRE_64;
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		return -1; /* no message of ours has them, and they have no canonical NaN */
	default:
		return WIRE_VARINT;
	}
}

static size_t element_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return sizeof(uint64_t);
	default:
		return sizeof(uint32_t);
	}
}

/* A singular field whose presence says nothing beyond its value is left out when it holds the default. */
static bool must_differ_from_default(const ProtobufCFieldDescriptor *field)
{
	return field->label == PROTOBUF_C_LABEL_NONE && !(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
	       field->type != PROTOBUF_C_TYPE_MESSAGE;
}

/* ---- Fields -------------------------------------------------------------------------------------------------------
 */

static int scan_message(struct scan *scan, struct level *level);

static int scan_varint(struct scan *scan, struct level *level)
{
	uint64_t value;
	if (!varint_read(&level->at, level->end, &value))
		return malformed(scan, level, "number is cut off, too long or not minimal");
	if (!number_fits(level->field, value))
		return malformed(scan, level, "number is out of range");
	if (value == 0 && must_differ_from_default(level->field))
		return malformed(scan, level, "default value must be left out");
	return 0;
}

static int scan_fixed(struct scan *scan, struct level *level, size_t size)
{
	static const uint8_t zero[8];
	if ((size_t)(level->end - level->at) < size)
		return malformed(scan, level, "number is cut off");
	if (must_differ_from_default(level->field) && memcmp(level->at, zero, size) == 0)
		return malformed(scan, level, "default value must be left out");
	level->at += size;
	return 0;
}

static int scan_packed(struct scan *scan, struct level *level, const uint8_t *end)
{
	const int wire = wire_type(level->field->type);
	if (level->at == end)
		return malformed(scan, level, "empty list must be left out");
	for (; level->at < end; level->index++) {
		uint64_t value;
		const int failed = use_memory(scan, level, element_size(level->field->type));
		if (failed)
			return failed;
		if (wire != WIRE_VARINT) {
			const ptrdiff_t size = wire == WIRE_32 ? 4 : 8;
			if (end - level->at < size)
				return malformed(scan, level, "number is cut off");
			level->at += size;
		} else if (!varint_read(&level->at, end, &value)) {
			return malformed(scan, level, "number is cut off, too long or not minimal");
		} else if (!number_fits(level->field, value)) {
			return malformed(scan, level, "number is out of range");
		}
	}
	return 0;
}

static int scan_submessage(struct scan *scan, struct level *level, const uint8_t *end)
{
	if (level->depth >= scan->limits->depth || level->depth >= DEPTH_MAX)
		return offence(scan, level, STATUS_TOO_LARGE, "messages are nested too deep");
	struct level inner = {
	    .up = level,
	    .depth = level->depth + 1,
	    .type = level->field->descriptor,
	    .at = level->at,
	    .end = end,
	};
	level->at = end;
	return scan_message(scan, &inner);
}

static int scan_bytes(struct scan *scan, struct level *level)
{
	const ProtobufCFieldDescriptor *field = level->field;
	uint64_t size;

	if (!varint_read(&level->at, level->end, &size) || size > (uint64_t)(level->end - level->at))
		return malformed(scan, level, "length is wrong or not minimal");
	const uint8_t *end = level->at + size;
	if (wire_type(field->type) != WIRE_BYTES)
		return scan_packed(scan, level, end);

	size_t memory = field->label == PROTOBUF_C_LABEL_REPEATED ? element_size(field->type) : 0;
	if (field->type != PROTOBUF_C_TYPE_MESSAGE)
		memory += (size_t)size + 1;
	const int failed = use_memory(scan, level, memory);
	if (failed)
		return failed;
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return scan_submessage(scan, level, end);
	if (size == 0 && must_differ_from_default(field))
		return malformed(scan, level, "default value must be left out");
	if (field->type == PROTOBUF_C_TYPE_STRING && !utf8_valid(level->at, (size_t)size))
		return malformed(scan, level, "text is not UTF-8 or holds a NUL");
	level->at = end;
	return 0;
}

static int note_oneof(struct scan *scan, struct level *level)
{
	const unsigned oneof = level->field->quantifier_offset;
	for (unsigned i = 0; i < level->n_oneofs; i++)
		if (level->oneofs[i] == oneof)
			return malformed(scan, level, "only one of the alternatives may be present");
	if (level->n_oneofs == ONEOFS_MAX)
		return malformed(scan, level, "message type has too many alternatives");
	level->oneofs[level->n_oneofs++] = oneof;
	return 0;
}

/* Moves the level to the field of that number: at or after the last one, never back. */
static int enter_field(struct scan *scan, struct level *level, uint64_t number)
{
	const ProtobufCMessageDescriptor *type = level->type;
	const bool again = level->field && level->field->id == number;

	if (again) {
		if (level->field->label != PROTOBUF_C_LABEL_REPEATED || wire_type(level->field->type) != WIRE_BYTES)
			return malformed(scan, level, "field is given more than once");
		level->index++;
		return 0;
	}
	while (level->cursor < type->n_fields && type->fields[level->cursor].id < number)
		level->cursor++;
	if (level->cursor == type->n_fields || type->fields[level->cursor].id != number)
		return malformed(scan, level, "an unknown field or one out of order follows");
	level->field = &type->fields[level->cursor++];
	level->index = 0;
	return level->field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF ? note_oneof(scan, level) : 0;
}

static int scan_field(struct scan *scan, struct level *level)
{
	uint64_t tag;

	if (!varint_read(&level->at, level->end, &tag) || tag > UINT32_MAX)
		return malformed(scan, level, "a field's tag is cut off, too long or not minimal");
	int failed = enter_field(scan, level, tag >> 3);
	if (failed)
		return failed;
	if (++scan->fields > scan->limits->fields)
		return offence(scan, level, STATUS_TOO_LARGE, "the message has too many fields");

	const ProtobufCFieldDescriptor *field = level->field;
	const int declared = wire_type(field->type);
	const int wanted = field->label == PROTOBUF_C_LABEL_REPEATED && declared >= 0 ? WIRE_BYTES : declared;
	if ((int)(tag & 7) != wanted)
		return malformed(scan, level, "field has the wrong wire type");
	if (wanted == WIRE_VARINT)
		return scan_varint(scan, level);
	if (wanted == WIRE_BYTES)
		return scan_bytes(scan, level);
	return scan_fixed(scan, level, wanted == WIRE_32 ? 4 : 8);
}

static int scan_message(struct scan *scan, struct level *level)
{
	int failed = use_memory(scan, level, level->type->sizeof_message);
	while (!failed && level->at < level->end)
		failed = scan_field(scan, level);
	return failed;
}

static int scan_all(struct scan *scan, const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size)
{
	static const uint8_t none;
	struct level level = {.type = type, .at = size > 0 ? bytes : &none};
	level.end = level.at + size;
	return scan_message(scan, &level);
}

int prescan(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size,
	    const struct prescan_limits *limits, struct refusal *why)
{
	struct scan scan = {.limits = limits ? limits : &prescan_default, .why = why};
	return scan_all(&scan, type, bytes, size);
}

/* ---- Unpacking ----------------------------------------------------------------------------------------------------
 */

/* protobuf-c notes each field in a temporary list while it unpacks, in slabs that double. */
enum { SCRATCH_PER_FIELD = 128, SCRATCH_BASE = 8192 };

struct allocation {
	struct message_room *room; /* NULL: all from malloc */
	size_t left;
};

static void *budget_alloc(void *ctx, size_t size)
{
	struct allocation *allocation = ctx;
	struct message_room *room = allocation->room;

	if (size > allocation->left)
		return NULL;
	allocation->left -= size;
	size_t step = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
	if (room != NULL && step <= sizeof room->bytes - room->used) {
		room->used += step;
		return room->bytes + room->used - step;
	}
	if (room != NULL)
		room->spilled = true;
	return malloc(size);
}

static bool is_in(const struct message_room *room, const void *pointer)
{
	uintptr_t begin = room != NULL ? (uintptr_t)room->bytes : 0;

	return room != NULL && (uintptr_t)pointer >= begin && (uintptr_t)pointer < begin + sizeof room->bytes;
}

static void budget_free(void *ctx, void *pointer)
{
	const struct allocation *allocation = ctx;

	if (!is_in(allocation->room, pointer))
		free(pointer);
}

int message_decode_in(struct message_room *room, const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
		      size_t size, const struct prescan_limits *limits, ProtobufCMessage **out, struct refusal *why)
{
	struct scan scan = {.limits = limits ? limits : &prescan_default, .why = why};

	*out = NULL;
	if (room) {
		room->used = 0;
		room->spilled = false;
	}
	const int failed = scan_all(&scan, type, bytes, size);
	if (failed)
		return failed;
	/* The second guard: were the estimate wrong, unpacking fails in place of growing. */
	struct allocation allocation = {room, scan.memory + (size_t)scan.fields * SCRATCH_PER_FIELD + SCRATCH_BASE};
	ProtobufCAllocator allocator = {budget_alloc, budget_free, &allocation};
	*out = protobuf_c_message_unpack(type, &allocator, size, bytes);
	if (!*out)
		return refuse(why, STATUS_NO_MEMORY, "", "no memory to unpack %s", type->short_name);
	return 0;
}

void message_free_in(struct message_room *room, void *message)
{
	struct allocation allocation = {.room = room};
	ProtobufCAllocator allocator = {budget_alloc, budget_free, &allocation};

	if (message && room->spilled)
		protobuf_c_message_free_unpacked(message, &allocator);
}

int message_decode(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size,
		   const struct prescan_limits *limits, ProtobufCMessage **out, struct refusal *why)
{
	return message_decode_in(NULL, type, bytes, size, limits, out, why);
}

void message_free(void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

int message_encode(const void *message, uint8_t **out, size_t *size)
{
	*size = protobuf_c_message_get_packed_size(message);
	*out = malloc(*size > 0 ? *size : 1);
	if (!*out)
		return STATUS_NO_MEMORY;
	*size = protobuf_c_message_pack(message, *out);
	return 0;
}
