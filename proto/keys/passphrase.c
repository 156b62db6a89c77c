#include "proto/keys/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "proto/keys/keystore_open.h"
#include "proto/keys/keystore_pkcs11.h"
#include "proto/keys/private_file.h"

enum { TRIES = 3 };

/* The first line of what a descriptor gives up to its end; no byte of it stays elsewhere. */
static int read_line(int fd, char text[PASSPHRASE_MAX], const char *from, struct refusal *why)
{
	size_t size = 0;
	ssize_t n = 1;

	while (n > 0 && size < PASSPHRASE_MAX) {
		n = read(fd, text + size, PASSPHRASE_MAX - size);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			size += (size_t)n;
	}
	const char *end = memchr(text, '\n', size);
	if (n < 0)
		return refuse(why, STATUS_IO, "passphrase", "%s: %s", from, strerror(errno));
	if (end == NULL && size == PASSPHRASE_MAX)
		return refuse(why, STATUS_INVALID, "passphrase", "%s: longer than %d bytes", from, PASSPHRASE_MAX - 1);
	if (end != NULL)
		size = (size_t)(end - text);
	if (size > 0 && text[size - 1] == '\r')
		size--;
	explicit_bzero(text + size, PASSPHRASE_MAX - size);
	if (memchr(text, 0, size) != NULL)
		return refuse(why, STATUS_INVALID, "passphrase", "%s: holds a NUL byte", from);
	return size > 0 ? 0 : refuse(why, STATUS_INVALID, "passphrase", "%s: no passphrase in it", from);
}

int passphrase_read(struct passphrase *p, struct refusal *why)
{
	char from[40];
	int status = 0;

	if (p->read || (p->fd < 0 && (p->file == NULL || p->file[0] == '\0')))
		return 0;
	p->read = true;
	if (p->fd >= 0) {
		snprintf(from, sizeof from, "descriptor %d", p->fd);
		status = read_line(p->fd, p->text, from, why);
		close(p->fd);
		p->fd = -1;
	} else {
		struct refusal reason = {.code = STATUS_DENIED};
		int fd = private_file_open(p->file, PASSPHRASE_MAX * 2, "passphrase", &reason);
		if (fd < 0) {
			if (why != NULL)
				*why = reason;
			return reason.code;
		}
		status = read_line(fd, p->text, p->file, why);
		close(fd);
	}
	p->have = status == 0;
	return status;
}

/* ---- At the terminal */

static volatile sig_atomic_t interrupted;

static void note_signal(int number)
{
	interrupted = number;
}

/* Asks on the terminal, whatever stdin and stdout are, without echo.  The terminal is given back as it was, by ^C too.
 * 0, or STATUS_DENIED: there is none, or nothing was typed. */
static int ask(const char *question, const char *location, char text[PASSPHRASE_MAX])
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGQUIT};
	struct sigaction catch = {.sa_handler = note_signal}, before[5];
	struct termios as_it_was, quiet;
	sigset_t wanted, mask;
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (fd < 0 || tcgetattr(fd, &as_it_was) != 0) {
		if (fd >= 0)
			close(fd);
		return STATUS_DENIED;
	}
	interrupted = 0;
	sigemptyset(&wanted);
	for (size_t i = 0; i < 5; i++) {
		sigaction(numbers[i], &catch, &before[i]);
		sigaddset(&wanted, numbers[i]);
	}
	pthread_sigmask(SIG_UNBLOCK, &wanted, &mask);
	quiet = as_it_was;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
	tcsetattr(fd, TCSAFLUSH, &quiet);
	dprintf(fd, "%s %.*s: ", question, keystore_pkcs11_shown(location), location);
	size_t size = 0;
	while (size < PASSPHRASE_MAX - 1 && interrupted == 0 && read(fd, text + size, 1) == 1 && text[size] != '\n')
		size++;
	tcsetattr(fd, TCSAFLUSH, &as_it_was);
	dprintf(fd, "\n");
	close(fd);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	for (size_t i = 0; i < 5; i++)
		sigaction(numbers[i], &before[i], NULL);
	explicit_bzero(text + size, PASSPHRASE_MAX - size);
	if (interrupted != 0)
		raise(interrupted);
	return size > 0 && interrupted == 0 ? 0 : STATUS_DENIED;
}

int passphrase_open(struct passphrase *p, const char *location, struct keystore_key **out, struct refusal *why)
{
	struct refusal reason = {0};
	int status = passphrase_read(p, &reason);

	*out = NULL;
	if (status == 0)
		status = keystore_open(location, p->have ? p->text : NULL, out, &reason);
	for (int i = 0; i < TRIES && status == STATUS_DENIED && p->ask && strcmp(reason.field, "passphrase") == 0;
	     i++) {
		if (ask(i == 0 ? "Passphrase of" : "That was not it. Passphrase of", location, p->text) != 0)
			break;
		p->have = true;
		status = keystore_open(location, p->text, out, &reason);
	}
	if (status != 0 && why != NULL)
		*why = reason;
	return status;
}

int passphrase_new(struct passphrase *p, bool seal, const char *location, const char **out, struct refusal *why)
{
	char again[PASSPHRASE_MAX];
	int status = passphrase_read(p, why);

	*out = NULL;
	if (status == 0 && seal && !p->have) {
		if (!p->ask || ask("New passphrase of", location, p->text) != 0)
			return refuse(why, STATUS_DENIED, "passphrase",
				      "%s: no passphrase was given, and there is no terminal to ask on", location);
		status = ask("Once more, of", location, again);
		if (status != 0 || strcmp(p->text, again) != 0)
			status = refuse(why, STATUS_INVALID, "passphrase", "%s: the two are not the same", location);
		explicit_bzero(again, sizeof again);
		p->have = status == 0;
	}
	if (status == 0 && p->have)
		*out = p->text;
	return status;
}

void passphrase_finish(struct passphrase *p)
{
	explicit_bzero(p->text, sizeof p->text);
	p->have = p->read = false;
}
