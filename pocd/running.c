#include "pocd/running.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { LINE_SIZE = 512, PATH_SIZE = 4200 };

static int open_lock(const char *folder, int flags)
{
	char path[PATH_SIZE];
	int n = snprintf(path, sizeof path, "%s/pocd.lock", folder);

	if (n < 0 || (size_t)n >= sizeof path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(path, flags | O_CLOEXEC | O_NOFOLLOW);
}

void running_note(const char *folder, const struct running *running)
{
	char line[LINE_SIZE];
	int fd = open_lock(folder, O_WRONLY);

	if (fd < 0)
		return;
	/* of one length, in one write: whoever reads meanwhile sees the one line or the other */
	memset(line, ' ', sizeof line);
	int n = snprintf(line, sizeof line, "%ld %" PRIu64 " %d %s", (long)running->pid, running->reloads,
			 (int)running->last, running->restart);
	line[n] = ' ';
	line[sizeof line - 1] = '\n';
	ssize_t written = pwrite(fd, line, sizeof line, 0);
	(void)written;
	close(fd);
}

static int read_line(int fd, const char *folder, struct running *out, struct refusal *why)
{
	char line[LINE_SIZE + 1];
	ssize_t n = pread(fd, line, LINE_SIZE, 0);
	long pid;
	int last;

	line[n > 0 ? n : 0] = '\0';
	/* %399s: RUNNING_RESTART, which may be empty */
	if (n != LINE_SIZE || sscanf(line, "%ld %" SCNu64 " %d %399s", &pid, &out->reloads, &last, out->restart) < 3 ||
	    pid <= 1 || last < RUNNING_GOOD || last > RUNNING_REFUSED)
		return refuse(why, STATUS_BUSY, "store",
			      "%s is in use by another program, or by a pocd that is still starting", folder);
	out->pid = (pid_t)pid;
	out->last = (enum running_reload)last;
	return 0;
}

int running_find(const char *folder, struct running *out, struct refusal *why)
{
	int fd = open_lock(folder, O_RDONLY), status;

	*out = (struct running){0};
	if (fd < 0)
		return errno == ENOENT ? refuse(why, STATUS_NOT_FOUND, "store", "no pocd serves %s", folder)
				       : refuse(why, STATUS_IO, "store", "%s/pocd.lock: %s", folder, strerror(errno));
	if (flock(fd, LOCK_SH | LOCK_NB) == 0)
		status = refuse(why, STATUS_NOT_FOUND, "store", "no pocd serves %s", folder);
	else if (errno == EWOULDBLOCK)
		status = read_line(fd, folder, out, why);
	else
		status = refuse(why, STATUS_IO, "store", "%s/pocd.lock: %s", folder, strerror(errno));
	close(fd);
	return status;
}
