#include "proto/rules/names.h"

#include <stdio.h>
#include <string.h>

struct kind {
	enum name_kind kind;
	char letter;
	const char *type;
	size_t payload_max;
};

static const struct kind kinds[] = {
    {NAME_TRUST, 'T', "application/vnd.pocd.trust.v1+protobuf", 16 * 1024},
    {NAME_REGISTER, 'S', "application/vnd.pocd.register.v1+protobuf", 48 * 1024},
    {NAME_KEYS, 'K', "application/vnd.pocd.keys.v1+protobuf", 8 * 1024},
    {NAME_USERS, 'U', "application/vnd.pocd.users.v1+protobuf", 48 * 1024},
    {NAME_RECORD, 'R', "application/vnd.pocd.record.v1+protobuf", 16 * 1024},
    {NAME_PINGS, 'P', "application/vnd.pocd.pings.v1+protobuf", 16 * 1024},
    {NAME_DOCUMENT, 'D', "application/vnd.pocd.document.v1+protobuf", 16 * 1024},
};

static const struct kind *kind_of(enum name_kind kind)
{
	return &kinds[kind >= NAME_TRUST && kind <= NAME_DOCUMENT ? kind - NAME_TRUST : 0];
}

const char *name_type(enum name_kind kind)
{
	return kind_of(kind)->type;
}

size_t name_payload_max(enum name_kind kind)
{
	return kind_of(kind)->payload_max;
}

const char *name_authority(const struct name *name)
{
	return name->kind == NAME_PINGS ? STATE_DIRECTORY : name->state;
}

bool state_code_valid(const char *text)
{
	return text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' && text[1] <= 'Z' && text[2] == '\0';
}

bool state_valid(const char *text)
{
	return state_code_valid(text) || strcmp(text, STATE_DIRECTORY) == 0;
}

bool state_is_fictional(const char *text)
{
	return state_code_valid(text) && text[0] == 'X';
}

static bool letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool id_valid(const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++) {
		if (!letter_or_digit(text[i]) && text[i] != '-')
			return false;
	}
	return length >= 1 && length <= UNIT_MAX_LENGTH;
}

bool handle_valid(const char *text)
{
	return id_valid(text) && text[0] != '-' && text[strlen(text) - 1] != '-';
}

/* Whether a name of this kind may have this state and unit. */
static bool parts_valid(enum name_kind kind, const char *state, const char *unit)
{
	bool has_unit = unit[0] != '\0';

	if (has_unit && !handle_valid(unit))
		return false;
	switch (kind) {
	case NAME_TRUST:
	case NAME_REGISTER:
		return state[0] == '\0' && !has_unit;
	case NAME_KEYS:
		return state_valid(state) && !has_unit;
	case NAME_USERS:
		return has_unit ? state_code_valid(state) : state_valid(state);
	case NAME_RECORD:
		return state_code_valid(state);
	case NAME_PINGS:
		return state_code_valid(state) && !has_unit;
	case NAME_DOCUMENT:
		return strcmp(state, STATE_DIRECTORY) == 0 && has_unit;
	}
	return false;
}

bool name_make(enum name_kind kind, const char *state, const char *unit, struct name *out)
{
	if (kind == NAME_DOCUMENT && (state == NULL || state[0] == '\0'))
		state = STATE_DIRECTORY;
	if (state == NULL)
		state = "";
	if (unit == NULL)
		unit = "";
	if (kind < NAME_TRUST || kind > NAME_DOCUMENT || !parts_valid(kind, state, unit))
		return false;
	/* Plain copies, whose lengths parts_valid has bounded: every lookup passes here. */
	*out = (struct name){.kind = kind};
	strcpy(out->state, state);
	strcpy(out->unit, unit);
	char *end = out->text;
	*end++ = kind_of(kind)->letter;
	if (state[0] != '\0' && kind != NAME_DOCUMENT) {
		*end++ = '/';
		end = stpcpy(end, state);
	}
	if (unit[0] != '\0') {
		*end++ = '/';
		stpcpy(end, unit);
	}
	return true;
}

/* Splits "a" or "a/b" into state and unit buffers. */
static bool split_place(const char *text, char state[STATE_MAX_LENGTH + 1], char unit[UNIT_MAX_LENGTH + 1])
{
	const char *slash = strchr(text, '/');
	size_t length = slash != NULL ? (size_t)(slash - text) : strlen(text);

	unit[0] = '\0';
	if (length == 0 || length > STATE_MAX_LENGTH)
		return false;
	memcpy(state, text, length);
	state[length] = '\0';
	if (slash == NULL)
		return true;
	if (slash[1] == '\0' || strlen(slash + 1) > UNIT_MAX_LENGTH)
		return false;
	strcpy(unit, slash + 1);
	return true;
}

bool name_parse(const char *text, struct name *out)
{
	char state[STATE_MAX_LENGTH + 1] = "", unit[UNIT_MAX_LENGTH + 1] = "";

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		if (text[0] != kinds[i].letter)
			continue;
		if (text[1] == '\0')
			return name_make(kinds[i].kind, "", "", out);
		if (text[1] != '/')
			return false;
		if (kinds[i].kind == NAME_DOCUMENT)
			return name_make(NAME_DOCUMENT, "", text + 2, out);
		return split_place(text + 2, state, unit) && name_make(kinds[i].kind, state, unit, out);
	}
	return false;
}

bool place_parse(const char *text, struct name *record)
{
	char state[STATE_MAX_LENGTH + 1] = "", unit[UNIT_MAX_LENGTH + 1] = "";

	return split_place(text, state, unit) && name_make(NAME_RECORD, state, unit, record);
}
