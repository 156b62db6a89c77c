#include "tests/crash/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

const char *journal_folder;
atomic_bool journal_stop;
static int log_fd;

void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
	exit(1);
}

unsigned long long nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned long long)now.tv_sec * 1000000000ull + (unsigned long long)now.tv_nsec;
}

void pause_ms(long ms)
{
	const struct timespec time = {.tv_nsec = ms * 1000000};

	nanosleep(&time, NULL);
}

void say(const char *format, ...)
{
	char text[1000];
	va_list args;

	va_start(args, format);
	const int n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	must(n > 0 && n < (int)sizeof text && write(log_fd, text, (size_t)n) == n, "the log cannot be written");
}

FILE *open_list(const char *name)
{
	char path[4200];

	snprintf(path, sizeof path, "%s/%s", journal_folder, name);
	FILE *file = fopen(path, "re");
	must(file != NULL, path);
	return file;
}

static sigset_t only_term(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	return signals;
}

bool journal_begin(int argc, char **argv)
{
	const sigset_t signals = only_term();

	if (argc != 3) {
		fprintf(stderr, "usage: %s DIR LOG\n", program_invocation_short_name);
		return false;
	}
	journal_folder = argv[1];
	log_fd = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	must(log_fd >= 0, argv[2]);
	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	return true;
}

void journal_wait(void)
{
	const sigset_t signals = only_term();
	int number;

	puts("writing");
	fflush(stdout);
	sigwait(&signals, &number);
	atomic_store(&journal_stop, true);
}

void journal_end(void)
{
	close(log_fd);
}
