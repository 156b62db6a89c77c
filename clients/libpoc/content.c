#include "clients/libpoc/content.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/proof/base64.h"
#include "proto/rules/notice.h"
#include "proto/wire/prescan.h"
#include "proto/wire/utf8.h"

enum { LIST_MAX = 2000, MINUTES_A_DAY = 1440 };

/* ---- Times --------------------------------------------------------------------------------------------------------
 */

void time_to_text(int64_t seconds, char out[32])
{
	const time_t time = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&time, &tm) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(out, 32, "?");
}

int time_from_text(const char *text, int64_t *seconds)
{
	struct tm tm = {0};
	char again[32];
	int end = 0;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
		   &tm.tm_sec, &end) != 6 ||
	    tm.tm_year < 1970)
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*seconds = timegm(&tm);
	/* Whatever the lenient reading made of it, only the one form is taken. */
	time_to_text(*seconds, again);
	return strcmp(again, text) == 0 ? 0 : -1;
}

static bool is_time(const ProtobufCFieldDescriptor *field)
{
	return field->type == PROTOBUF_C_TYPE_INT64;
}

static bool is_minutes(const ProtobufCFieldDescriptor *field)
{
	return field->type == PROTOBUF_C_TYPE_UINT32 &&
	       (strcmp(field->name, "open") == 0 || strcmp(field->name, "close") == 0);
}

/* ---- To JSON ------------------------------------------------------------------------------------------------------
 */

static json_t *message_to_json(const ProtobufCMessage *message);

static json_t *bytes_to_json(const ProtobufCBinaryData *bytes)
{
	const size_t room = BASE64_LENGTH(bytes->len) + 1;
	char *text = malloc(room);
	json_t *json = text && base64_encode(bytes->data, bytes->len, text, room) >= 0 ? json_string(text) : NULL;
	free(text);
	return json;
}

static json_t *number_to_json(const ProtobufCFieldDescriptor *field, uint32_t value)
{
	char text[32];
	if (!is_minutes(field))
		return json_integer(value);
	snprintf(text, sizeof text, "%02u:%02u", value / 60, value % 60);
	return json_string(text);
}

static json_t *time_to_json(int64_t seconds)
{
	char text[32];
	time_to_text(seconds, text);
	return json_string(text);
}

/* One value of the field's type, at member. */
static json_t *value_to_json(const ProtobufCFieldDescriptor *field, const void *member)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return json_string(*(char *const *)member);
	case PROTOBUF_C_TYPE_BYTES:
		return bytes_to_json(member);
	case PROTOBUF_C_TYPE_MESSAGE:
		return message_to_json(*(ProtobufCMessage *const *)member);
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)member);
	case PROTOBUF_C_TYPE_UINT32:
		return number_to_json(field, *(const uint32_t *)member);
	case PROTOBUF_C_TYPE_INT64:
		return time_to_json(*(const int64_t *)member);
	case PROTOBUF_C_TYPE_UINT64:
		return json_integer((json_int_t) * (const uint64_t *)member);
	case PROTOBUF_C_TYPE_ENUM: /* the one enum of contents */
		return json_string(stage_name(*(const Poc__Stage *)member));
	default:
		return NULL;
	}
}

static size_t value_size(const ProtobufCFieldDescriptor *field)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_UINT32:
		return sizeof(uint32_t);
	default:
		return sizeof(void *); /* strings and messages; no list has other elements */
	}
}

static bool is_default(const ProtobufCFieldDescriptor *field, const void *member)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return (*(char *const *)member)[0] == '\0';
	case PROTOBUF_C_TYPE_BYTES:
		return ((const ProtobufCBinaryData *)member)->len == 0;
	case PROTOBUF_C_TYPE_MESSAGE:
		return *(ProtobufCMessage *const *)member == NULL;
	case PROTOBUF_C_TYPE_BOOL:
		return !*(const protobuf_c_boolean *)member;
	case PROTOBUF_C_TYPE_UINT32:
		/* Midnight is a time of the day like others. */
		return *(const uint32_t *)member == 0 && !is_minutes(field);
	case PROTOBUF_C_TYPE_ENUM:
		return *(const Poc__Stage *)member == POC__STAGE__STAGE_UNSPECIFIED;
	default:
		return *(const int64_t *)member == 0;
	}
}

static json_t *list_to_json(const ProtobufCFieldDescriptor *field, const uint8_t *items, size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; list && i < n; i++) {
		if (json_array_append_new(list, value_to_json(field, items + i * value_size(field))) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *message_to_json(const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	const uint8_t *base = (const uint8_t *)message;
	json_t *object = json_object();

	for (unsigned i = 0; object && i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		const void *member = base + field->offset;
		json_t *value;
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			const void *count = base + field->quantifier_offset;
			const size_t n = *(const size_t *)count;
			if (n == 0)
				continue;
			value = list_to_json(field, *(const uint8_t *const *)member, n);
		} else {
			if (is_default(field, member))
				continue;
			value = value_to_json(field, member);
		}
		if (json_object_set_new(object, field->name, value) != 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

json_t *content_to_json(const Poc__Content *content)
{
	return message_to_json(&content->base);
}

/* ---- From JSON ----------------------------------------------------------------------------------------------------
 */

/* Where the reading stands, for refusals. */
struct place {
	const struct place *up;
	const char *key;
	size_t index; /* LIST_MAX + 1: not in a list */
};

struct reader {
	const char *path;
	struct refusal *why;
};

static size_t place_write(const struct place *place, char *out, size_t room)
{
	size_t used = place->up ? place_write(place->up, out, room) : 0;
	if (!place->key || used >= room)
		return used;
	const char *dot = used > 0 ? "." : "";
	const int n = place->index <= LIST_MAX
			  ? snprintf(out + used, room - used, "%s%s[%zu]", dot, place->key, place->index)
			  : snprintf(out + used, room - used, "%s%s", dot, place->key);
	return n < 0 ? used : used + (size_t)n;
}

static int bad(const struct reader *reader, const struct place *place, const char *message)
{
	char path[240], field[160] = "";
	place_write(place, field, sizeof field);
	snprintf(path, sizeof path, "%s%s", reader->path, field);
	return refuse(reader->why, STATUS_INVALID, path, "%s", message);
}

static int no_memory(const struct reader *reader)
{
	return refuse(reader->why, STATUS_NO_MEMORY, "", "out of memory");
}

static int message_from_json(const struct reader *reader, const struct place *place,
			     const ProtobufCMessageDescriptor *type, const json_t *json, ProtobufCMessage **out);

static int text_from_json(const struct reader *reader, const struct place *place, const json_t *json, char **out)
{
	if (!json_is_string(json))
		return bad(reader, place, "must be a text");
	if (!utf8_valid(json_string_value(json), json_string_length(json)))
		return bad(reader, place, "must be a text without NUL");
	/* An empty text is the default: protobuf-c's own, which it does not free. */
	if (json_string_length(json) == 0)
		return 0;
	*out = strdup(json_string_value(json));
	return *out ? 0 : no_memory(reader);
}

static int bytes_from_json(const struct reader *reader, const struct place *place, const json_t *json,
			   ProtobufCBinaryData *out)
{
	const size_t length = json_string_length(json);
	uint8_t *bytes = malloc(length + 1);

	if (!bytes)
		return no_memory(reader);
	const ssize_t size = json_is_string(json) ? base64_decode(json_string_value(json), length, bytes, length) : -1;
	if (size < 0) {
		free(bytes);
		return bad(reader, place, "must be base64");
	}
	*out = (ProtobufCBinaryData){(size_t)size, bytes};
	return 0;
}

static int minutes_from_json(const struct reader *reader, const struct place *place, const json_t *json, uint32_t *out)
{
	const char *text = json_is_string(json) ? json_string_value(json) : "";
	unsigned hours, minutes;

	if (strlen(text) != 5 || strspn(text, "0123456789") != 2 || text[2] != ':' ||
	    strspn(text + 3, "0123456789") != 2 || sscanf(text, "%2u:%2u", &hours, &minutes) != 2 || minutes > 59 ||
	    60 * hours + minutes > MINUTES_A_DAY)
		return bad(reader, place, "must be a time of the day, HH:MM, up to 24:00");
	*out = 60 * hours + minutes;
	return 0;
}

static int number_from_json(const struct reader *reader, const struct place *place, const json_t *json, uint32_t *out)
{
	const json_int_t value = json_integer_value(json);
	if (!json_is_integer(json) || value < 0 || value > UINT32_MAX)
		return bad(reader, place, "must be a number of 0 to 4294967295");
	*out = (uint32_t)value;
	return 0;
}

static int stage_from_json(const struct reader *reader, const struct place *place, const json_t *json, Poc__Stage *out)
{
	return json_is_string(json) && stage_parse(json_string_value(json), out)
		   ? 0
		   : bad(reader, place, "must be early-warning, notification, intermediate or final");
}

static int version_from_json(const struct reader *reader, const struct place *place, const json_t *json, uint64_t *out)
{
	if (!json_is_integer(json) || json_integer_value(json) < 0)
		return bad(reader, place, "must be a number");
	*out = (uint64_t)json_integer_value(json);
	return 0;
}

static int value_from_json(const struct reader *reader, const struct place *place,
			   const ProtobufCFieldDescriptor *field, const json_t *json, void *member)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return text_from_json(reader, place, json, member);
	case PROTOBUF_C_TYPE_BYTES:
		return bytes_from_json(reader, place, json, member);
	case PROTOBUF_C_TYPE_MESSAGE:
		return message_from_json(reader, place, field->descriptor, json, member);
	case PROTOBUF_C_TYPE_BOOL:
		if (!json_is_boolean(json))
			return bad(reader, place, "must be true or false");
		*(protobuf_c_boolean *)member = json_is_true(json);
		return 0;
	case PROTOBUF_C_TYPE_UINT32:
		return is_minutes(field) ? minutes_from_json(reader, place, json, member)
					 : number_from_json(reader, place, json, member);
	case PROTOBUF_C_TYPE_UINT64:
		return version_from_json(reader, place, json, member);
	case PROTOBUF_C_TYPE_ENUM:
		return stage_from_json(reader, place, json, member);
	default:
		if (!is_time(field) || !json_is_string(json) || time_from_text(json_string_value(json), member) != 0)
			return bad(reader, place, "must be a time like 2026-11-24T12:00:00Z");
		return 0;
	}
}

/* Fills a list field.  The count grows with the items, so that a half-filled message can be freed. */
static int list_from_json(const struct reader *reader, struct place *place, const ProtobufCFieldDescriptor *field,
			  const json_t *json, uint8_t *base)
{
	const size_t n = json_array_size(json), size = value_size(field);
	void *list = base + field->offset, *count = base + field->quantifier_offset;

	if (!json_is_array(json) || n > LIST_MAX)
		return bad(reader, place, "must be a list of at most 2000 items");
	if (n == 0)
		return 0;
	uint8_t *items = calloc(n, size);
	if (!items)
		return no_memory(reader);
	*(uint8_t **)list = items;
	for (size_t i = 0; i < n; i++) {
		void *item = items + i * size;
		place->index = i;
		int status = value_from_json(reader, place, field, json_array_get(json, i), item);
		if (!status && field->type == PROTOBUF_C_TYPE_STRING && !*(char **)item)
			status = bad(reader, place, "must not be empty");
		if (status)
			return status;
		*(size_t *)count = i + 1;
	}
	return 0;
}

static int field_from_json(const struct reader *reader, const struct place *up, const char *key, const json_t *json,
			   ProtobufCMessage *message)
{
	const ProtobufCFieldDescriptor *field =
	    protobuf_c_message_descriptor_get_field_by_name(message->descriptor, key);
	struct place place = {up, key, LIST_MAX + 1};
	uint8_t *base = (uint8_t *)message;

	if (!field)
		return bad(reader, &place, "unknown key");
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return list_from_json(reader, &place, field, json, base);
	return value_from_json(reader, &place, field, json, base + field->offset);
}

static int message_from_json(const struct reader *reader, const struct place *place,
			     const ProtobufCMessageDescriptor *type, const json_t *json, ProtobufCMessage **out)
{
	const char *key;
	json_t *value;

	if (!json_is_object(json))
		return bad(reader, place, "must be an object");
	ProtobufCMessage *message = malloc(type->sizeof_message);
	if (!message)
		return no_memory(reader);
	type->message_init(message);
	json_object_foreach((json_t *)json, key, value)
	{
		const int status = field_from_json(reader, place, key, value, message);
		if (status) {
			message_free(message);
			return status;
		}
	}
	*out = message;
	return 0;
}

int content_from_json(const json_t *json, const char *path, Poc__Content **out, struct refusal *why)
{
	const struct reader reader = {path, why};
	const struct place top = {NULL, NULL, 0};
	ProtobufCMessage *message = NULL;
	const int status = message_from_json(&reader, &top, &poc__content__descriptor, json, &message);

	*out = (Poc__Content *)message;
	return status;
}

json_t *notice_content_to_json(const Poc__NoticeContent *content)
{
	return message_to_json(&content->base);
}

int notice_content_from_json(const json_t *json, Poc__NoticeContent **out, struct refusal *why)
{
	const struct reader reader = {"", why};
	const struct place top = {NULL, NULL, 0};
	ProtobufCMessage *message = NULL;
	const int status = message_from_json(&reader, &top, &poc__notice_content__descriptor, json, &message);

	*out = (Poc__NoticeContent *)message;
	return status;
}
