#include "pocd/directory/scan.h"

#include "proto/proof/hash.h"
#include "proto/wire/status.h"

enum {
	ENVELOPE_PAYLOAD = 1,
	RECORD_POCS = 5,
	RECORD_SECTIONS = 6,
	RECORD_WITHDRAWN = 7,
	POC_SECTIONS = 3,
	REF_NAME = 1,
	REF_TLP = 2,
	REF_DIGEST = 3
};
enum { WIRE_VARINT = 0, WIRE_BYTES = 2 };

struct cursor {
	const uint8_t *at, *end;
};

struct field {
	unsigned number, type;
	uint64_t value; /* varints */
	struct cursor bytes;
};

static bool get_varint(struct cursor *cursor, uint64_t *out)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64 && cursor->at < cursor->end; shift += 7) {
		uint8_t byte = *cursor->at++;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*out = value;
			return true;
		}
	}
	return false;
}

/* 1: a field; 0: the end; -1: something that a record does not have. */
static int next_field(struct cursor *cursor, struct field *out)
{
	uint64_t tag;

	if (cursor->at == cursor->end)
		return 0;
	if (!get_varint(cursor, &tag) || !get_varint(cursor, &out->value))
		return -1;
	out->number = (unsigned)(tag >> 3);
	out->type = tag & 7;
	out->bytes = (struct cursor){cursor->at, cursor->at};
	if (out->type == WIRE_VARINT)
		return 1;
	if (out->type != WIRE_BYTES || out->value > (uint64_t)(cursor->end - cursor->at))
		return -1;
	out->bytes = (struct cursor){cursor->at, cursor->at + out->value};
	cursor->at += out->value;
	return 1;
}

struct scan {
	int (*each)(void *ctx, const struct scanned_section *section);
	void *ctx;
};

static int scan_ref(const struct scan *scan, struct cursor cursor, bool own)
{
	struct scanned_section section = {.own = own};
	struct field field;
	int more;

	while ((more = next_field(&cursor, &field)) > 0) {
		if (field.number == REF_NAME && field.type == WIRE_BYTES) {
			section.name = (const char *)field.bytes.at;
			section.name_size = (size_t)field.value;
		} else if (field.number == REF_TLP && field.type == WIRE_VARINT) {
			section.tlp = (Poc__Tlp)field.value;
		} else if (field.number == REF_DIGEST && field.type == WIRE_BYTES && field.value == HASH_SIZE) {
			section.digest = field.bytes.at;
		}
	}
	if (more < 0 || section.digest == NULL || section.name == NULL)
		return STATUS_DAMAGED;
	return scan->each(scan->ctx, &section);
}

static int scan_poc(const struct scan *scan, struct cursor cursor)
{
	struct field field;
	int more, status = 0;

	while (status == 0 && (more = next_field(&cursor, &field)) != 0) {
		if (more < 0)
			return STATUS_DAMAGED;
		if (field.number == POC_SECTIONS && field.type == WIRE_BYTES)
			status = scan_ref(scan, field.bytes, false);
	}
	return status;
}

static int scan_record(const struct scan *scan, struct cursor cursor)
{
	struct field field;
	int more, status = 0;

	while (status == 0 && (more = next_field(&cursor, &field)) != 0) {
		if (more < 0)
			return STATUS_DAMAGED;
		if (field.number == RECORD_POCS && field.type == WIRE_BYTES)
			status = scan_poc(scan, field.bytes);
		else if (field.number == RECORD_SECTIONS && field.type == WIRE_BYTES)
			status = scan_ref(scan, field.bytes, true);
	}
	return status;
}

int scan_sections(const uint8_t *envelope, size_t size, int (*each)(void *ctx, const struct scanned_section *section),
		  void *ctx)
{
	struct cursor cursor = {envelope, envelope + size};
	struct scan scan = {each, ctx};
	struct field payload;

	if (next_field(&cursor, &payload) <= 0 || payload.number != ENVELOPE_PAYLOAD || payload.type != WIRE_BYTES)
		return STATUS_DAMAGED;
	return scan_record(&scan, payload.bytes);
}

bool scan_withdrawn(const uint8_t *envelope, size_t size)
{
	struct cursor cursor = {envelope, envelope + size};
	struct field payload, field;

	if (next_field(&cursor, &payload) <= 0 || payload.number != ENVELOPE_PAYLOAD || payload.type != WIRE_BYTES)
		return false;
	while (next_field(&payload.bytes, &field) > 0) {
		if (field.number == RECORD_WITHDRAWN && field.type == WIRE_VARINT)
			return field.value != 0;
	}
	return false;
}
