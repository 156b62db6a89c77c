/* disk: a shim (LD_PRELOAD) between pocd and its data file.  CRASH_JOURNAL=FILE records every write and sync of the
 * file named data.mdb in the order of their return; CRASH_FAULT=FILE makes calls fail while FILE exists, in the way
 * that its first word says:
 *
 *     stall   fdatasync and fsync wait until it says something else
 *     sync    fdatasync and fsync fail with EIO
 *     write   writes of pages fail with EIO
 *     short   writes of pages stop half-way
 *     full    writes of pages fail with ENOSPC
 *     meta    writes by the O_DSYNC descriptor, of LMDB's meta pages, fail with EIO, undone
 *     meta-done   the same, but done
 */
/* the calls under their own names, not those that large files or checked buffers give them */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/crash/disk.h"

enum { DESCRIPTORS = 4096 };

enum role { NOT_OURS, PAGES, META };

static unsigned char roles[DESCRIPTORS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

typedef int (*open_fn)(const char *, int, ...);
typedef int (*close_fn)(int);
typedef int (*sync_fn)(int);
typedef ssize_t (*write_fn)(int, const void *, size_t);
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);
typedef ssize_t (*writev_fn)(int, const struct iovec *, int);
typedef int (*ftruncate_fn)(int, off_t);

static enum role role_of(int fd)
{
	return fd >= 0 && fd < DESCRIPTORS ? (enum role)roles[fd] : NOT_OURS;
}

/* ---- Faults */

static bool faulty(const char *way)
{
	const char *path = getenv("CRASH_FAULT");
	char word[16] = "";

	int fd = path != NULL ? REAL("open", open_fn)(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return false;
	ssize_t n = read(fd, word, sizeof word - 1);
	REAL("close", close_fn)(fd);
	word[n > 0 ? n : 0] = '\0';
	word[strcspn(word, " \n")] = '\0';
	return strcmp(word, way) == 0;
}

/* Whether a write must fail: sets errno. */
static bool write_fails(enum role role)
{
	if (role == META) {
		errno = EIO;
		return faulty("meta");
	}
	if (faulty("full")) {
		errno = ENOSPC;
		return true;
	}
	errno = EIO;
	return faulty("write");
}

/* ---- The journal */

static void put(const void *bytes, size_t size)
{
	const char *at = bytes;

	while (size > 0) {
		ssize_t n = REAL("write", write_fn)(journal, at, size);
		if (n <= 0)
			abort(); /* a journal with a hole proves nothing */
		at += n;
		size -= (size_t)n;
	}
}

static void record(enum disk_kind kind, off_t offset, const struct iovec *parts, int n_parts, size_t size)
{
	struct timespec now;

	if (journal < 0)
		return;
	pthread_mutex_lock(&lock);
	clock_gettime(CLOCK_MONOTONIC, &now);
	struct disk_record r = {kind, (uint32_t)size, (uint64_t)offset,
				(uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec};
	put(&r, sizeof r);
	for (int i = 0; i < n_parts && size > 0; i++) {
		size_t part = parts[i].iov_len < size ? parts[i].iov_len : size;
		put(parts[i].iov_base, part);
		size -= part;
	}
	pthread_mutex_unlock(&lock);
}

static void record_write(int fd, off_t offset, const struct iovec *parts, int n_parts, ssize_t done)
{
	if (done > 0)
		record(role_of(fd) == META ? DISK_DURABLE : DISK_WRITE, offset, parts, n_parts, (size_t)done);
}

/* ---- The calls */

static void opened(int fd, const char *path, int flags)
{
	const char *name = strrchr(path, '/');

	if (fd < 0 || fd >= DESCRIPTORS)
		return;
	roles[fd] = NOT_OURS;
	if (strcmp(name != NULL ? name + 1 : path, "data.mdb") != 0 || (flags & O_ACCMODE) == O_RDONLY)
		return;
	roles[fd] = (flags & O_DSYNC) != 0 ? META : PAGES;
	const char *journal_path = getenv("CRASH_JOURNAL");
	if (journal < 0 && journal_path != NULL)
		journal = REAL("open", open_fn)(journal_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

int open(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
	va_end(args);
	int fd = REAL("open", open_fn)(path, flags, mode);
	opened(fd, path, flags);
	return fd;
}

int open64(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
	va_end(args);
	return open(path, flags, mode);
}

int close(int fd)
{
	if (fd >= 0 && fd < DESCRIPTORS)
		roles[fd] = NOT_OURS;
	return REAL("close", close_fn)(fd);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	enum role role = role_of(fd);
	struct iovec part = {(void *)bytes, size};

	if (role != NOT_OURS && write_fails(role))
		return -1;
	if (role == PAGES && faulty("short"))
		size /= 2;
	ssize_t n = REAL("pwrite", pwrite_fn)(fd, bytes, size, offset);
	if (role != NOT_OURS)
		record_write(fd, offset, &part, 1, n);
	if (role == META && faulty("meta-done")) {
		errno = EIO;
		return -1;
	}
	return n;
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
	return pwrite(fd, bytes, size, offset);
}

/* LMDB seeks first. */
ssize_t writev(int fd, const struct iovec *parts, int n_parts)
{
	enum role role = role_of(fd);

	if (role == NOT_OURS)
		return REAL("writev", writev_fn)(fd, parts, n_parts);
	if (write_fails(role))
		return -1;
	off_t offset = lseek(fd, 0, SEEK_CUR);
	if (faulty("short"))
		n_parts = n_parts > 1 ? n_parts / 2 : 1;
	ssize_t n = REAL("writev", writev_fn)(fd, parts, n_parts);
	record_write(fd, offset, parts, n_parts, n);
	return n;
}

static int sync_by(const char *name, int fd)
{
	while (role_of(fd) != NOT_OURS && faulty("stall"))
		usleep(10000);
	if (role_of(fd) != NOT_OURS && faulty("sync")) {
		errno = EIO;
		return -1;
	}
	int rc = REAL(name, sync_fn)(fd);
	if (rc == 0 && role_of(fd) != NOT_OURS)
		record(DISK_SYNC, 0, NULL, 0, 0);
	return rc;
}

int fdatasync(int fd)
{
	return sync_by("fdatasync", fd);
}

int fsync(int fd)
{
	return sync_by("fsync", fd);
}

int ftruncate(int fd, off_t size)
{
	int rc = REAL("ftruncate", ftruncate_fn)(fd, size);

	if (rc == 0 && role_of(fd) != NOT_OURS)
		record(DISK_SIZE, size, NULL, 0, 0);
	return rc;
}
