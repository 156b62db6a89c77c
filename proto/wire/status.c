#include "proto/wire/status.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "proto/wire/utf8.h"

struct row {
	int code;
	const char *name;
	int exit_status;
	bool retry;
	const char *text;
};

static const struct row rows[] = {
#define STATUS_ROW(sym, code, json, exit_status, retry, text) {code, json, exit_status, retry, text},
    STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
};

static const struct row *find(int code)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (rows[i].code == code)
			return &rows[i];
	}
	return &rows[STATUS_FAILED];
}

const char *status_name(int code)
{
	return find(code)->name;
}

const char *status_text(int code)
{
	return find(code)->text;
}

int status_exit(int code)
{
	return find(code)->exit_status;
}

bool status_may_retry(int code)
{
	return find(code)->retry;
}

int refuse(struct refusal *why, int code, const char *field, const char *format, ...)
{
	if (why == NULL)
		return code;
	why->code = code;
	why->retry_ms = 0;
	snprintf(why->field, sizeof why->field, "%s", field != NULL ? field : "");
	va_list args;
	va_start(args, format);
	vsnprintf(why->message, sizeof why->message, format, args);
	va_end(args);
	/* what a message quotes may be no UTF-8, or be cut within a character */
	utf8_mend(why->field);
	utf8_mend(why->message);
	return code;
}
