#include "proto/keys/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file that systemd handed to this service (LoadCredential=): root's, with an access list that lets the service read,
 * which shows as a right of the group. */
static bool is_credential(const char *path, mode_t mode)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY"), *slash = strrchr(path, '/');

	return folder != NULL && slash != NULL && strlen(folder) == (size_t)(slash - path) &&
	       strncmp(path, folder, (size_t)(slash - path)) == 0 && (mode & 037) == 0;
}

static int judge(const struct stat *st, const char *path, size_t max, const char *what, struct refusal *why)
{
	if (!S_ISREG(st->st_mode))
		return refuse(why, STATUS_INVALID, what, "%s: not a regular file", path);
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return refuse(why, STATUS_DENIED, what, "%s: belongs to another user", path);
	if ((st->st_mode & 077) != 0 && !is_credential(path, st->st_mode))
		return refuse(why, STATUS_DENIED, what, "%s: others may read or write it (mode %04o); chmod 600 it",
			      path, (unsigned)st->st_mode & 07777);
	if ((size_t)st->st_size > max)
		return refuse(why, STATUS_INVALID, what, "%s: too large for a %s file", path, what);
	return 0;
}

int private_file_open(const char *path, size_t max, const char *what, struct refusal *why)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0) {
		if (errno == ELOOP)
			refuse(why, STATUS_DENIED, what, "%s: a %s file must not be a symbolic link", path, what);
		else
			refuse(why, errno == EACCES ? STATUS_DENIED : STATUS_IO, what, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (fstat(fd, &st) != 0)
		refuse(why, STATUS_IO, what, "%s: %s", path, strerror(errno));
	else if (judge(&st, path, max, what, why) == 0)
		return fd;
	close(fd);
	return -1;
}
