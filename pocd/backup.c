#include "pocd/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK "pocd-backup-v1 "

enum { MARK_SIZE = sizeof MARK - 1, LINE_SIZE = MARK_SIZE + 2 * HASH_SIZE + 1, CHUNK = 1 << 18, PATH_SIZE = 4200 };

static int failed(struct refusal *why, const char *path)
{
	const int error = errno;

	return refuse(why,
		      error == ENOENT                                        ? STATUS_NOT_FOUND
		      : error == ENOSPC || error == EDQUOT || error == EFBIG ? STATUS_STORAGE
									     : STATUS_IO,
		      "", "%s: %s", path, strerror(error));
}

static bool write_whole(int fd, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, bytes, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		size -= (size_t)n;
	}
	return true;
}

/* Reads so many bytes from the start, hashes them, and passes them on to a file (-1: none). */
static int pass_image(int from, uint64_t size, int to, struct hash *out)
{
	uint8_t *chunk = malloc(CHUNK);
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool good = chunk != NULL && digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;

	for (uint64_t at = 0; good && at < size;) {
		size_t want = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
		ssize_t n = pread(from, chunk, want, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO; /* it became shorter */
		good = n > 0 && EVP_DigestUpdate(digest, chunk, (size_t)n) == 1 &&
		       (to < 0 || write_whole(to, chunk, (size_t)n));
		at += n > 0 ? (uint64_t)n : 0;
	}
	good = good && EVP_DigestFinal_ex(digest, out->bytes, NULL) == 1;
	EVP_MD_CTX_free(digest);
	free(chunk);
	return good ? 0 : -1;
}

/* The image's size and what its hash has to be; not compared yet. */
static int read_line(int fd, const char *path, uint64_t *size, struct hash *expected, struct refusal *why)
{
	char line[LINE_SIZE + 1];
	struct stat st;

	if (fstat(fd, &st) != 0)
		return failed(why, path);
	if (!S_ISREG(st.st_mode) || st.st_size <= LINE_SIZE ||
	    pread(fd, line, LINE_SIZE, st.st_size - LINE_SIZE) != LINE_SIZE)
		return refuse(why, STATUS_INVALID, "", "%s is no backup of pocadm, or it was cut short", path);
	const bool ends = line[LINE_SIZE - 1] == '\n' && memcmp(line, MARK, MARK_SIZE) == 0;
	line[LINE_SIZE - 1] = '\0';
	if (!ends || hash_from_hex(line + MARK_SIZE, expected) != 0)
		return refuse(why, STATUS_INVALID, "", "%s is no backup of pocadm, or it was cut short", path);
	*size = (uint64_t)(st.st_size - LINE_SIZE);
	return 0;
}

/* Opens a backup, compares its hash, and copies the image to a file (-1: none). */
static int read_backup(const char *path, int to, const char *to_path, struct refusal *why)
{
	struct hash expected, hash;
	uint64_t size = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return failed(why, path);
	int status = read_line(fd, path, &size, &expected, why);
	if (status == 0 && pass_image(fd, size, to, &hash) != 0)
		status = failed(why, to >= 0 ? to_path : path);
	else if (status == 0 && hash_compare(&hash, &expected) != 0)
		status =
		    refuse(why, STATUS_DAMAGED, "", "%s is damaged: its SHA-256 is not the one in its last line", path);
	close(fd);
	return status;
}

int backup_check(const char *path, struct offline_report *report, struct refusal *why)
{
	int status = read_backup(path, -1, NULL, why);

	return status == 0 ? offline_check_file(path, report, why) : status;
}

static int sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd >= 0 ? fsync(fd) : -1;

	if (fd >= 0)
		close(fd);
	return rc;
}

/* ---- Writing */

static int append_line(int fd, const char *path, struct refusal *why)
{
	char line[LINE_SIZE + 1] = MARK;
	struct hash hash;
	struct stat st;

	if (fstat(fd, &st) != 0 || pass_image(fd, (uint64_t)st.st_size, -1, &hash) != 0)
		return failed(why, path);
	hash_to_hex(&hash, line + MARK_SIZE);
	line[LINE_SIZE - 1] = '\n';
	if (lseek(fd, 0, SEEK_END) < 0 || !write_whole(fd, (const uint8_t *)line, LINE_SIZE) || fsync(fd) != 0)
		return failed(why, path);
	return 0;
}

/* Its name last: a file that has it is whole. */
static int take_name(const char *temporary, const char *path, struct refusal *why)
{
	char folder[PATH_SIZE];
	const char *slash = strrchr(path, '/');

	snprintf(folder, sizeof folder, "%.*s",
		 slash == NULL   ? 1
		 : slash == path ? 1
				 : (int)(slash - path),
		 slash == NULL ? "." : path);
	if (link(temporary, path) != 0)
		return errno == EEXIST ? refuse(why, STATUS_CONFLICT, "", "%s exists already", path)
				       : failed(why, path);
	if (sync_folder(folder) == 0)
		return 0;
	int status = failed(why, folder);
	unlink(path);
	return status;
}

int backup_write(const char *folder, const char *path, struct offline_report *report, struct refusal *why)
{
	char temporary[PATH_SIZE];

	if (access(path, F_OK) == 0)
		return refuse(why, STATUS_CONFLICT, "", "%s exists already", path);
	int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
	if (n < 0 || n >= (int)sizeof temporary)
		return refuse(why, STATUS_INVALID, "", "path too long");
	int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
	if (fd < 0)
		return failed(why, path);
	int status = store_lmdb_copy(folder, fd, why);
	if (status == 0)
		status = append_line(fd, path, why);
	close(fd);
	if (status == 0)
		status = offline_check_file(temporary, report, why);
	if (status == 0)
		status = take_name(temporary, path, why);
	unlink(temporary);
	return status;
}

/* ---- Restoring */

static int check_empty(const char *folder, struct refusal *why)
{
	struct dirent *entry;
	DIR *dir = opendir(folder);
	bool empty = true;

	if (dir == NULL)
		return failed(why, folder);
	while (empty && (entry = readdir(dir)) != NULL)
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	closedir(dir);
	return empty ? 0
		     : refuse(why, STATUS_CONFLICT, "", "%s is not empty: nothing is restored over what is there",
			      folder);
}

static int fill_folder(const char *path, const char *folder, const char *file, struct refusal *why)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return failed(why, file);
	int status = read_backup(path, fd, file, why);
	if (status == 0 && (fsync(fd) != 0 || sync_folder(folder) != 0))
		status = failed(why, file);
	close(fd);
	return status;
}

static void empty_folder(const char *folder, bool made)
{
	static const char *const names[] = {"data.mdb", "lock.mdb", "pocd.lock"};
	char file[PATH_SIZE];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(file, sizeof file, "%s/%s", folder, names[i]);
		unlink(file);
	}
	if (made)
		rmdir(folder);
}

int backup_restore(const char *path, const char *folder, struct offline_report *report, struct refusal *why)
{
	char file[PATH_SIZE];
	int n = snprintf(file, sizeof file, "%s/data.mdb", folder);

	if (n < 0 || n >= (int)sizeof file)
		return refuse(why, STATUS_INVALID, "", "path too long");
	const bool made = mkdir(folder, 0700) == 0;
	if (!made && errno != EEXIST)
		return failed(why, folder);
	int status = made ? 0 : check_empty(folder, why);
	if (status != 0)
		return status;
	status = fill_folder(path, folder, file, why);
	if (status == 0)
		status = offline_check(folder, report, why);
	if (status != 0)
		empty_folder(folder, made);
	return status;
}
