#include "pocd/base/diag.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pocd/base/clock.h"

static const char *const level_names[] = {"debug", "info", "warning", "error"};

/* The lock guards fd; level and json are read before a line is made, so that a level that is off costs no lock. */
static struct {
	pthread_mutex_t lock;
	_Atomic(enum diag_level) level;
	atomic_bool json;
	int fd;
} sink = {PTHREAD_MUTEX_INITIALIZER, DIAG_INFO, false, STDERR_FILENO};

struct line {
	char text[4096];
	size_t used;
};

int diag_configure(const struct diag_options *options)
{
	int fd = STDERR_FILENO;

	if (options->file != NULL) {
		fd = open(options->file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
		if (fd < 0)
			return -1;
	}
	pthread_mutex_lock(&sink.lock);
	int old = sink.fd;
	sink.fd = fd;
	sink.level = options->level;
	sink.json = options->json;
	pthread_mutex_unlock(&sink.lock);
	if (old != STDERR_FILENO)
		close(old);
	return 0;
}

bool diag_level_parse(const char *text, enum diag_level *out)
{
	for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*out = (enum diag_level)i;
			return true;
		}
	}
	return false;
}

unsigned diag_rate(struct diag_rate *rate)
{
	unsigned long long last = atomic_load(&rate->last_ms), now = clock_monotonic_ms();

	atomic_fetch_add(&rate->n, 1);
	if (last != 0 && now < last + 1000)
		return 0;
	if (!atomic_compare_exchange_strong(&rate->last_ms, &last, now))
		return 0; /* another thread says it */
	return atomic_exchange(&rate->n, 0);
}

const char *diag_number(unsigned long long value)
{
	static _Thread_local char buffers[4][24];
	static _Thread_local unsigned next;
	char *out = buffers[next++ % 4];

	snprintf(out, sizeof buffers[0], "%llu", value);
	return out;
}

static void put(struct line *line, char c)
{
	if (line->used < sizeof line->text - 8)
		line->text[line->used++] = c;
}

static void put_text(struct line *line, const char *text)
{
	while (*text != '\0')
		put(line, *text++);
}

/* Printable ASCII as it is; anything else as \u00XX, byte by byte, which is valid in JSON and harmless in a terminal.
 */
static void put_escaped(struct line *line, const char *text)
{
	static const char digits[] = "0123456789abcdef";

	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
			put(line, (char)c);
		} else if (c == '"' || c == '\\') {
			put(line, '\\');
			put(line, (char)c);
		} else {
			put_text(line, "\\u00");
			put(line, digits[c >> 4]);
			put(line, digits[c & 15]);
		}
	}
}

static void put_pair(struct line *line, bool json, const char *key, const char *value)
{
	if (json) {
		put_text(line, line->used > 1 ? ",\"" : "\"");
		put_text(line, key);
		put_text(line, "\":\"");
		put_escaped(line, value);
		put(line, '"');
		return;
	}
	bool plain = *value != '\0' && strpbrk(value, " =\"\\\t\n") == NULL;
	put(line, ' ');
	put_text(line, key);
	put(line, '=');
	if (!plain)
		put(line, '"');
	put_escaped(line, value);
	if (!plain)
		put(line, '"');
}

static void put_time(char out[32])
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, 32 - n, ".%03ldZ", now.tv_nsec / 1000000);
}

void diag(enum diag_level level, const char *event, ...)
{
	struct line line = {.used = 0};
	char time[32];
	va_list args;

	if (level < atomic_load_explicit(&sink.level, memory_order_relaxed))
		return;
	put_time(time);
	bool json = atomic_load_explicit(&sink.json, memory_order_relaxed);
	if (json) {
		put(&line, '{');
		put_pair(&line, true, "time", time);
		put_pair(&line, true, "level", level_names[level]);
		put_pair(&line, true, "event", event);
	} else {
		put_text(&line, time);
		put(&line, ' ');
		put_text(&line, level_names[level]);
		put(&line, ' ');
		put_text(&line, event);
	}
	va_start(args, event);
	for (const char *key; (key = va_arg(args, const char *)) != NULL;) {
		const char *value = va_arg(args, const char *);
		if (value != NULL)
			put_pair(&line, json, key, value);
	}
	va_end(args);
	if (json)
		line.text[line.used++] = '}';
	line.text[line.used++] = '\n';
	pthread_mutex_lock(&sink.lock);
	/* one write a line; a full disk must not stop the service, so a failure is let pass */
	ssize_t n = write(sink.fd, line.text, line.used);
	(void)n;
	pthread_mutex_unlock(&sink.lock);
}
