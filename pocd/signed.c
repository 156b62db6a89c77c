#include "pocd/signed.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Two copies, written in turn: a write that the power cuts short leaves the other one.  A copy is text, filled up with
 * line feeds: "pocd-signed/1 TIME", the three lines of the checkpoint (none: nothing was signed), "sha256 HEX" over all
 * before it. */
enum { COPY_SIZE = 512, N_COPIES = 2 };
static const char magic[] = "pocd-signed/1 ", seal[] = "\nsha256 ";

struct signed_file {
	int fd;
	char path[];
};

static int copy_write(const struct signed_head *head, char copy[COPY_SIZE])
{
	char hex[2 * HASH_SIZE + 1];
	int n = snprintf(copy, COPY_SIZE, "%s%" PRIu64 "\n", magic, head->state_ms);
	long body = head->head.size > 0 ? checkpoint_format(&head->head, copy + n, COPY_SIZE - (size_t)n) : 0;

	if (body < 0)
		return STATUS_TOO_LARGE;
	n += (int)body;
	struct hash hash = hash_of(copy, (size_t)n);
	hash_to_hex(&hash, hex);
	int sealed = snprintf(copy + n, COPY_SIZE - (size_t)n, "%s%s", seal + 1, hex);
	if (sealed < 0 || n + sealed >= COPY_SIZE)
		return STATUS_TOO_LARGE;
	memset(copy + n + sealed, '\n', (size_t)(COPY_SIZE - n - sealed));
	return 0;
}

static bool copy_read(const char copy[COPY_SIZE], struct signed_head *out)
{
	const char *end = memmem(copy, COPY_SIZE, seal, sizeof seal - 1);
	char text[COPY_SIZE + 1], hex[2 * HASH_SIZE + 1] = "";
	struct hash stated, real;

	memset(out, 0, sizeof *out);
	if (end == NULL || end + sizeof seal - 1 + 2 * HASH_SIZE > copy + COPY_SIZE)
		return false;
	memcpy(hex, end + sizeof seal - 1, 2 * HASH_SIZE);
	size_t size = (size_t)(end + 1 - copy);
	real = hash_of(copy, size);
	if (hash_from_hex(hex, &stated) != 0 || hash_compare(&stated, &real) != 0 ||
	    memcmp(copy, magic, sizeof magic - 1) != 0)
		return false;
	memcpy(text, copy, size);
	text[size] = '\0';
	char *line_end;
	out->state_ms = strtoull(text + sizeof magic - 1, &line_end, 10);
	if (*line_end != '\n')
		return false;
	size_t begin = (size_t)(line_end + 1 - text);
	return begin == size || checkpoint_parse(text + begin, size - begin, &out->head, NULL) == 0;
}

/* Reads both copies; *newest is the one that counts. */
static int read_copies(const struct signed_file *file, struct signed_head *out, int *newest, struct refusal *why)
{
	char copies[N_COPIES * COPY_SIZE];
	struct signed_head head;
	ssize_t n = pread(file->fd, copies, sizeof copies, 0);

	if (n < 0)
		return refuse(why, STATUS_IO, "log.signed", "%s: %s", file->path, strerror(errno));
	*newest = -1;
	for (int i = 0; i < N_COPIES && n >= (i + 1) * COPY_SIZE; i++) {
		if (!copy_read(copies + (size_t)i * COPY_SIZE, &head) ||
		    (*newest >= 0 && head.head.size < out->head.size))
			continue;
		*out = head;
		*newest = i;
	}
	return *newest >= 0 ? 0
			    : refuse(why, STATUS_DAMAGED, "log.signed",
				     "%s is damaged: what the log key signed last is not known; pocd(8), THE SIGNER",
				     file->path);
}

static int sync_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
	int fd = folder != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int failed = fd < 0 || fsync(fd) != 0;

	if (fd >= 0)
		close(fd);
	free(folder);
	return failed ? -1 : 0;
}

/* A new file appears under its name whole: one that is there is never taken for one in which nothing was signed. */
static int make(const char *path, struct refusal *why)
{
	static const struct signed_head nothing;
	char copies[N_COPIES * COPY_SIZE], *temporary;

	if (copy_write(&nothing, copies) != 0 || asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return refuse(why, STATUS_NO_MEMORY, "log.signed", "out of memory");
	memcpy(copies + COPY_SIZE, copies, COPY_SIZE);
	int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
	bool good = fd >= 0 && write(fd, copies, sizeof copies) == (ssize_t)sizeof copies && fsync(fd) == 0 &&
		    (link(temporary, path) == 0 || errno == EEXIST);
	int error = errno;
	if (fd >= 0) {
		close(fd);
		unlink(temporary);
	}
	free(temporary);
	if (good && sync_folder_of(path) == 0)
		return 0;
	return refuse(why, STATUS_IO, "log.signed", "%s: %s", path, strerror(good ? errno : error));
}

static int judge_file(int fd, const char *path, struct refusal *why)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return refuse(why, STATUS_INVALID, "log.signed", "%s: not a regular file", path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return refuse(why, STATUS_DENIED, "log.signed", "%s: belongs to another user", path);
	if ((st.st_mode & 022) != 0)
		return refuse(why, STATUS_DENIED, "log.signed", "%s: others may write it (mode %04o); chmod 600 it",
			      path, (unsigned)st.st_mode & 07777);
	return 0;
}

int signed_open(const char *path, struct signed_file **out, struct refusal *why)
{
	enum { FLAGS = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK };
	struct signed_head head;
	int fd = open(path, FLAGS);

	*out = NULL;
	if (fd < 0 && errno == ENOENT) {
		int status = make(path, why);
		if (status != 0)
			return status;
		fd = open(path, FLAGS);
	}
	if (fd < 0)
		return refuse(why, errno == EACCES || errno == ELOOP ? STATUS_DENIED : STATUS_IO, "log.signed",
			      "%s: %s", path, errno == ELOOP ? "must not be a symbolic link" : strerror(errno));
	struct signed_file *file = calloc(1, sizeof *file + strlen(path) + 1);
	if (file == NULL) {
		close(fd);
		return refuse(why, STATUS_NO_MEMORY, "log.signed", "out of memory");
	}
	file->fd = fd;
	strcpy(file->path, path);
	int status = judge_file(fd, path, why);
	if (status == 0)
		status = signed_last(file, &head, why);
	if (status != 0) {
		signed_close(file);
		return status;
	}
	*out = file;
	return 0;
}

void signed_close(struct signed_file *file)
{
	if (file == NULL)
		return;
	close(file->fd);
	free(file);
}

static int lock(const struct signed_file *file, struct refusal *why)
{
	while (flock(file->fd, LOCK_EX) != 0) {
		if (errno != EINTR)
			return refuse(why, STATUS_IO, "log.signed", "%s: %s", file->path, strerror(errno));
	}
	return 0;
}

int signed_last(struct signed_file *file, struct signed_head *out, struct refusal *why)
{
	int newest, status = lock(file, why);

	if (status != 0)
		return status;
	status = read_copies(file, out, &newest, why);
	flock(file->fd, LOCK_UN);
	return status;
}

static int advance(struct signed_file *file, const struct signed_head *next, struct refusal *why)
{
	struct signed_head last;
	char copy[COPY_SIZE];
	int newest, status = read_copies(file, &last, &newest, why);

	if (status == 0)
		status = signed_judge(&last, &next->head, why);
	if (status != 0)
		return status;
	/* the same head again, too: that it is read here does not say that it reached the disk the last time */
	if (copy_write(next, copy) != 0)
		return refuse(why, STATUS_TOO_LARGE, "log.signed", "the head is too long to be remembered");
	off_t place = (off_t)((newest + 1) % N_COPIES) * COPY_SIZE;
	if (pwrite(file->fd, copy, sizeof copy, place) != (ssize_t)sizeof copy || fdatasync(file->fd) != 0)
		return refuse(why, STATUS_IO, "log.signed", "%s: %s", file->path, strerror(errno));
	return 0;
}

int signed_advance(struct signed_file *file, const struct signed_head *next, struct refusal *why)
{
	int status = lock(file, why);

	if (status != 0)
		return status;
	status = advance(file, next, why);
	flock(file->fd, LOCK_UN);
	return status;
}

/* ---- The rule */

static const char *when(uint64_t ms, char text[32])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL || strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		strcpy(text, "?");
	return text;
}

static int judge_origin(const struct signed_head *last, const struct checkpoint *next, struct refusal *why)
{
	return last->head.size == 0 || strcmp(last->head.origin, next->origin) == 0
		   ? 0
		   : refuse(why, STATUS_CONFLICT, "log.signed",
			    "the log key signs for %s, not for %s: one key and one memory for each directory",
			    last->head.origin, next->origin);
}

int signed_judge(const struct signed_head *last, const struct checkpoint *next, struct refusal *why)
{
	char text[32];
	int status = judge_origin(last, next, why);

	if (status != 0)
		return status;
	if (next->size < last->head.size)
		return refuse(why, STATUS_CONFLICT, "log.signed",
			      "the log key has signed size %" PRIu64 " (%s) and will not sign size %" PRIu64
			      ": that would take entries back; pocd(8), THE SIGNER",
			      last->head.size, when(last->state_ms, text), next->size);
	if (next->size == last->head.size && last->head.size > 0 && hash_compare(&next->root, &last->head.root) != 0)
		return refuse(why, STATUS_CONFLICT, "log.signed",
			      "the log key has signed another head of size %" PRIu64
			      " (%s) and will not sign a second one; pocd(8), THE SIGNER",
			      last->head.size, when(last->state_ms, text));
	return 0;
}

int signed_judge_start(const struct signed_head *last, const struct checkpoint *published, uint64_t size,
		       struct refusal *why)
{
	char text[32];
	int status = published->size > 0 ? judge_origin(last, published, why) : 0;

	if (status != 0)
		return status;
	if (last->head.size > size + 1)
		return refuse(why, STATUS_CONFLICT, "log.signed",
			      "this database is older than what the log key has signed: it ends at size %" PRIu64
			      ", signed is size %" PRIu64 " of %s; was a backup restored? pocd(8), THE SIGNER",
			      size, last->head.size, when(last->state_ms, text));
	if (last->head.size == published->size && last->head.size > 0 &&
	    hash_compare(&last->head.root, &published->root) != 0)
		return refuse(why, STATUS_CONFLICT, "log.signed",
			      "this database has another head of size %" PRIu64
			      " than the one that the log key has signed (%s); pocd(8), THE SIGNER",
			      published->size, when(last->state_ms, text));
	return 0;
}
