#include "pocd/store/lmdb_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pocd/store/lmdb_disk.h"

static bool db_sane(const struct disk_db *db, uint64_t last_page)
{
	if (db->root == DISK_NO_PAGE)
		return db->entries == 0 && db->depth == 0;
	return db->root >= 2 && db->root <= last_page && db->depth >= 1 && db->depth <= 64 && db->leaf_pages >= 1 &&
	       db->branch_pages + db->leaf_pages + db->overflow_pages <= last_page;
}

/* Of either meta page. */
static const char *meta_fault(const struct disk_meta *meta, uint64_t page_number, uint64_t page_size)
{
	if (meta->magic != DISK_MAGIC || meta->version != 1)
		return "it is not an LMDB database of this version";
	if (meta->page.number != page_number || meta->page.flags != DISK_META)
		return "a meta page is not where it belongs";
	if (meta->dbs[0].pad != page_size)
		return "its meta pages disagree on the page size";
	return NULL;
}

/* Of the meta page that LMDB will use, the newer one.  What the older one says of the trees need not make sense: after
 * a failed write of a meta page LMDB puts the old transaction number back, and leaves new numbers beside it. */
static const char *newer_fault(const struct disk_meta *meta, uint64_t page_size, uint64_t file_size)
{
	if (meta->last_page > file_size / page_size)
		return "it is shorter than its meta page says: truncated";
	if ((meta->last_page + 1) * page_size > file_size)
		return "it is shorter than its meta page says: truncated";
	if (!db_sane(&meta->dbs[0], meta->last_page) || !db_sane(&meta->dbs[1], meta->last_page))
		return "a meta page holds impossible numbers";
	return NULL;
}

/* Commits write the two meta pages in turn, transaction n into page n % 2: a number that was altered would make LMDB
 * take the older page, and so an older state, for the current one. */
static bool transactions_sane(uint64_t even, uint64_t odd)
{
	return even == odd + 1 || odd == even + 1 || (even == 0 && odd == 0);
}

static const char *file_fault(int fd, uint64_t size)
{
	struct disk_meta meta, newer = {.transaction = 0};
	uint64_t transactions[2];

	if (size < 2 * 4096)
		return "it is too short";
	if (pread(fd, &meta, sizeof meta, 0) != (ssize_t)sizeof meta)
		return "its first page cannot be read";
	uint64_t page_size = meta.dbs[0].pad;
	if (meta.magic != DISK_MAGIC)
		return "it is not an LMDB database";
	if (page_size < 512 || page_size > 65536 || (page_size & (page_size - 1)) != 0)
		return "its page size is impossible";
	for (uint64_t page = 0; page < 2; page++) {
		if (pread(fd, &meta, sizeof meta, (off_t)(page * page_size)) != (ssize_t)sizeof meta)
			return "a meta page cannot be read";
		const char *fault = meta_fault(&meta, page, page_size);
		if (fault != NULL)
			return fault;
		transactions[page] = meta.transaction;
		if (page == 0 || meta.transaction > newer.transaction)
			newer = meta;
	}
	if (transactions[0] % 2 != 0 || !transactions_sane(transactions[0], transactions[1]))
		return "its meta pages are not those of two commits in a row";
	return newer_fault(&newer, page_size, size);
}

int lmdb_file_check(const char *path, struct refusal *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return refuse(why, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "store", "%s: %s", path,
			      strerror(errno));
	const char *fault = NULL;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		fault = "it is not a regular file";
	else
		fault = file_fault(fd, (uint64_t)st.st_size);
	close(fd);
	return fault == NULL ? 0 : refuse(why, STATUS_DAMAGED, "store", "%s is damaged: %s", path, fault);
}

/* The child must not outlive who waits for its answer: nobody would want it any more. */
static void end_with(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(1);
}

static void run_child(int (*probe)(void *ctx, struct refusal *why), void *ctx, unsigned seconds, int fd)
{
	struct refusal why = {0};
	struct rlimit no_core = {0, 0};

	static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
	for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
		signal(fatal[i], SIG_DFL);
	setrlimit(RLIMIT_CORE, &no_core);
	alarm(seconds);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null >= 0)
		dup2(null, STDERR_FILENO); /* a failed assertion of LMDB speaks there */
	why.code = probe(ctx, &why);
	ssize_t n = write(fd, &why, sizeof why);
	_exit(n == (ssize_t)sizeof why ? 0 : 1);
}

static bool read_all(int fd, void *out, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = read(fd, (char *)out + got, size - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	return true;
}

int lmdb_file_probe(int (*probe)(void *ctx, struct refusal *why), void *ctx, unsigned seconds, struct refusal *why)
{
	int pipes[2];
	struct refusal result;

	if (pipe2(pipes, O_CLOEXEC) != 0)
		return refuse(why, STATUS_IO, "store", "cannot make a pipe: %s", strerror(errno));
	pid_t parent = getpid(), child = fork();
	if (child < 0) {
		close(pipes[0]);
		close(pipes[1]);
		return refuse(why, STATUS_IO, "store", "cannot fork: %s", strerror(errno));
	}
	if (child == 0) {
		end_with(parent);
		run_child(probe, ctx, seconds, pipes[1]);
	}
	close(pipes[1]);
	bool answered = read_all(pipes[0], &result, sizeof result);
	close(pipes[0]);
	int wait_status = 0;
	while (waitpid(child, &wait_status, 0) < 0 && errno == EINTR)
		;
	if (!answered)
		return refuse(why, STATUS_DAMAGED, "store", "the database is damaged: reading it %s",
			      WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGALRM ? "does not end"
											   : "crashes");
	if (result.code != 0 && why != NULL)
		*why = result;
	return result.code;
}
