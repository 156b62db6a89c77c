#include "clients/cli/strings.h"

#include <stdio.h>
#include <time.h>

enum { BUFFERS = 4, BUFFER_SIZE = 48 };

static char *next_buffer(void)
{
	static _Thread_local char buffers[BUFFERS][BUFFER_SIZE];
	static _Thread_local unsigned next;

	return buffers[next++ % BUFFERS];
}

const char *tr(const char *text)
{
	return text;
}

const char *span_text(long long seconds)
{
	char *out = next_buffer();

	if (seconds < 0)
		seconds = -seconds;
	if (seconds < 120)
		snprintf(out, BUFFER_SIZE, tr("%lld s"), seconds);
	else if (seconds < 7200)
		snprintf(out, BUFFER_SIZE, tr("%lld min"), seconds / 60);
	else if (seconds < 2LL * 86400)
		snprintf(out, BUFFER_SIZE, tr("%lld h"), seconds / 3600);
	else
		snprintf(out, BUFFER_SIZE, tr("%lld days"), seconds / 86400);
	return out;
}

const char *time_text(long long seconds)
{
	char *out = next_buffer();
	time_t at = (time_t)seconds;
	struct tm tm;

	if (seconds == 0 || gmtime_r(&at, &tm) == NULL)
		return "-";
	strftime(out, BUFFER_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return out;
}

void base32_text(const unsigned char *data, unsigned bytes, char *out)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	unsigned used = 0, digits = bytes * 8 / 5;

	for (unsigned i = 0; i < digits; i++) {
		unsigned bit = i * 5,
			 pair = (unsigned)data[bit / 8] << 8 | (bit / 8 + 1 < bytes ? data[bit / 8 + 1] : 0);
		if (i > 0 && i % 4 == 0)
			out[used++] = '-';
		out[used++] = alphabet[pair >> (11 - bit % 8) & 31];
	}
	out[used] = '\0';
}
