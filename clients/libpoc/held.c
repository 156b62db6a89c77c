#include "clients/libpoc/held.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/rules/chain.h"
#include "proto/rules/trust.h"

enum { STATE_FIELD = STATE_MAX_LENGTH + 1, LOCK_WAIT_MS = 10000 };

static const char magic[16] = "pocd-held-1\n";

/* ---- The file's bytes: magic, directory id, fields in fixed order, numbers big-endian, SHA-256 of all before */

struct writer {
	uint8_t *bytes;
	size_t size, capacity;
	bool failed;
};

static void put(struct writer *w, const void *bytes, size_t size)
{
	if (size == 0)
		return;
	if (w->size + size > w->capacity) {
		size_t capacity = 2 * (w->size + size) + 4096;
		uint8_t *grown = realloc(w->bytes, capacity);
		if (grown == NULL) {
			w->failed = true;
			return;
		}
		w->bytes = grown;
		w->capacity = capacity;
	}
	memcpy(w->bytes + w->size, bytes, size);
	w->size += size;
}

static void put_u64(struct writer *w, uint64_t value)
{
	uint8_t out[8];

	for (size_t i = 0; i < 8; i++)
		out[i] = (uint8_t)(value >> (56 - 8 * i));
	put(w, out, sizeof out);
}

static void put_envelope(struct writer *w, const struct envelope *envelope)
{
	put_u64(w, envelope != NULL ? envelope->size : 0);
	if (envelope != NULL)
		put(w, envelope->bytes, envelope->size);
}

static int encode(const struct hash *directory, const struct held *held, uint8_t **bytes, size_t *size,
		  struct refusal *why)
{
	struct writer w = {0};

	put(&w, magic, sizeof magic);
	put(&w, directory->bytes, HASH_SIZE);
	put_u64(&w, held->size);
	put(&w, held->root.bytes, HASH_SIZE);
	put_u64(&w, (uint64_t)held->time_ms);
	put_u64(&w, held->n_trust);
	for (size_t i = 0; i < held->n_trust; i++)
		put_envelope(&w, held->trust[i]);
	put_envelope(&w, held->reg);
	put_u64(&w, held->n_heads);
	for (size_t i = 0; i < held->n_heads; i++) {
		put_u64(&w, held->heads[i].size);
		put(&w, held->heads[i].root.bytes, HASH_SIZE);
	}
	put_u64(&w, held->n_keys);
	for (size_t i = 0; i < held->n_keys; i++) {
		put(&w, held->keys[i].state, STATE_FIELD);
		put_u64(&w, held->keys[i].seq);
		put(&w, held->keys[i].value.bytes, HASH_SIZE);
	}
	struct hash sum = hash_of(w.bytes != NULL ? w.bytes : (const uint8_t *)"", w.size);
	put(&w, sum.bytes, HASH_SIZE);
	bool large =
	    held->n_trust > HELD_TRUST_MAX || w.size > HELD_FILE_MAX; /* never written what could not be read */
	if (w.failed || large) {
		free(w.bytes);
		return large ? refuse(why, STATUS_TOO_LARGE, "state.dir", "the trust root has too many versions")
			     : refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	}
	*bytes = w.bytes;
	*size = w.size;
	return 0;
}

struct reader {
	const uint8_t *at;
	size_t left;
	bool failed;
};

static void take(struct reader *r, void *out, size_t size)
{
	if (r->failed || r->left < size) {
		r->failed = true;
		memset(out, 0, size);
		return;
	}
	memcpy(out, r->at, size);
	r->at += size;
	r->left -= size;
}

static uint64_t take_u64(struct reader *r)
{
	uint8_t in[8];
	uint64_t value = 0;

	take(r, in, sizeof in);
	for (size_t i = 0; i < 8; i++)
		value = value << 8 | in[i];
	return value;
}

static struct envelope *take_envelope(struct reader *r)
{
	uint64_t size = take_u64(r);
	struct envelope *envelope = NULL;

	if (r->failed || size > r->left || envelope_parse(r->at, (size_t)size, &envelope, NULL) != 0) {
		r->failed = true;
		return NULL;
	}
	r->at += size;
	r->left -= (size_t)size;
	return envelope;
}

static uint64_t take_count(struct reader *r, uint64_t max)
{
	uint64_t n = take_u64(r);

	if (n > max)
		r->failed = true;
	return r->failed ? 0 : n;
}

static void take_trust(struct reader *r, const struct hash *directory, struct held *out)
{
	size_t n = (size_t)take_count(r, HELD_TRUST_MAX);

	out->trust = calloc(n + 1, sizeof(struct envelope *));
	if (out->trust == NULL || n == 0)
		r->failed = true;
	for (size_t i = 0; i < n && !r->failed; i++) {
		struct envelope *trust = take_envelope(r);
		if (trust == NULL)
			return;
		out->trust[out->n_trust++] = trust;
		struct hash id = i == 0 ? trust_directory_id(trust) : trust->directory_id;
		if (trust->name.kind != NAME_TRUST || trust->seq != i + 1 || hash_compare(&id, directory) != 0)
			r->failed = true;
	}
}

static void take_lists(struct reader *r, struct held *out)
{
	out->n_heads = (size_t)take_count(r, HELD_HEADS_MAX);
	for (size_t i = 0; i < out->n_heads; i++) {
		out->heads[i].size = take_u64(r);
		take(r, out->heads[i].root.bytes, HASH_SIZE);
	}
	out->n_keys = (size_t)take_count(r, HELD_KEYS_MAX);
	out->keys = calloc(out->n_keys + 1, sizeof *out->keys);
	if (out->keys == NULL) {
		out->n_keys = 0;
		r->failed = true;
	}
	for (size_t i = 0; i < out->n_keys; i++) {
		take(r, out->keys[i].state, STATE_FIELD);
		if (out->keys[i].state[STATE_MAX_LENGTH] != '\0' || !state_valid(out->keys[i].state))
			r->failed = true;
		out->keys[i].seq = take_u64(r);
		take(r, out->keys[i].value.bytes, HASH_SIZE);
	}
}

/* Whether the file is whole, and of this directory; *r: what comes after that. */
static bool is_whole(const uint8_t *bytes, size_t size, const struct hash *directory, struct reader *r,
		     struct hash *version)
{
	char start[sizeof magic];
	struct hash id;

	if (size < sizeof magic + 2 * HASH_SIZE)
		return false;
	*r = (struct reader){bytes, size - HASH_SIZE, false};
	*version = hash_of(bytes, size - HASH_SIZE);
	take(r, start, sizeof start);
	take(r, id.bytes, HASH_SIZE);
	return memcmp(version->bytes, bytes + size - HASH_SIZE, HASH_SIZE) == 0 &&
	       memcmp(start, magic, sizeof magic) == 0 && hash_compare(&id, directory) == 0;
}

static int decode(const uint8_t *bytes, size_t size, const struct hash *directory, struct held *out)
{
	struct reader r;
	struct hash sum;

	if (!is_whole(bytes, size, directory, &r, &sum))
		return STATUS_DAMAGED;
	out->size = take_u64(&r);
	take(&r, out->root.bytes, HASH_SIZE);
	out->time_ms = (int64_t)take_u64(&r);
	take_trust(&r, directory, out);
	if (!r.failed)
		out->reg = take_envelope(&r);
	if (!r.failed)
		take_lists(&r, out);
	out->version = sum;
	return r.failed || r.left != 0 || out->size == 0 ? STATUS_DAMAGED : 0;
}

void held_finish(struct held *held)
{
	for (size_t i = 0; i < held->n_trust; i++)
		envelope_destroy(held->trust[i]);
	free(held->trust);
	envelope_destroy(held->reg);
	free(held->keys);
	*held = (struct held){0};
}

/* ---- Files */

static char *join(const char *folder, const char *name)
{
	char *path = NULL;

	return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* " (/x has mode 0700 and belongs to user 0, this is user 1000)": the nearest to path that can be looked at. */
static void permission_text(const char *path, char *out, size_t size)
{
	char *at = strdup(path), *slash;
	struct stat st;

	out[0] = '\0';
	while (at != NULL && stat(at, &st) != 0 && (slash = strrchr(at, '/')) != NULL && slash != at)
		*slash = '\0';
	if (at != NULL && stat(at, &st) == 0)
		snprintf(out, size, " (%.120s has mode %04o and belongs to user %u, this is user %u)", at,
			 (unsigned)(st.st_mode & 07777), (unsigned)st.st_uid, (unsigned)geteuid());
	free(at);
}

static int io_error(struct refusal *why, const char *path, const char *doing)
{
	const int error = errno;
	char permission[240] = "";

	if (error == EACCES || error == EPERM)
		permission_text(path, permission, sizeof permission);
	return refuse(why, STATUS_IO, "state.dir", "%s %.120s: %s%s", doing, path, strerror(error), permission);
}

static int write_all(int fd, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, bytes, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

static int sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = fd < 0 ? -1 : fsync(fd);

	if (fd >= 0)
		close(fd);
	return result;
}

int held_write_file(const char *folder, const char *name, const void *bytes, size_t size, struct refusal *why)
{
	char *path = join(folder, name), *temporary = NULL;
	int status = 0, fd = -1;

	if (path == NULL || asprintf(&temporary, "%s.XXXXXX", path) < 0) {
		free(path);
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0) {
		status = io_error(why, temporary, "cannot create");
	} else {
		if (write_all(fd, bytes, size) != 0 || fsync(fd) != 0)
			status = io_error(why, temporary, "cannot write");
		close(fd);
		if (status == 0 && (rename(temporary, path) != 0 || sync_folder(folder) != 0))
			status = io_error(why, path, "cannot write");
		if (status != 0)
			unlink(temporary);
	}
	free(temporary);
	free(path);
	return status;
}

static int read_open(int fd, size_t max, const char *path, uint8_t **bytes, size_t *size, struct refusal *why)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return refuse(why, STATUS_IO, "state.dir", "%.200s is not a file", path);
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return refuse(why, STATUS_TOO_LARGE, "state.dir", "%.200s has more than %zu bytes", path, max);
	*size = (size_t)st.st_size;
	*bytes = malloc(*size + 1);
	if (*bytes == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	for (size_t at = 0; at < *size;) {
		ssize_t n = read(fd, *bytes + at, *size - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			free(*bytes);
			*bytes = NULL;
			return n < 0 ? io_error(why, path, "cannot read")
				     : refuse(why, STATUS_IO, "state.dir", "%.200s shrank while it was read", path);
		}
		at += (size_t)n;
	}
	return 0;
}

int held_read_file(const char *folder, const char *name, size_t max, uint8_t **bytes, size_t *size, struct refusal *why)
{
	char *path = join(folder, name);

	*bytes = NULL;
	if (path == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	int status, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		status = errno == ENOENT ? refuse(why, STATUS_NOT_FOUND, "state.dir", "%.200s does not exist", path)
					 : io_error(why, path, "cannot open");
	else
		status = read_open(fd, max, path, bytes, size, why);
	if (fd >= 0)
		close(fd);
	free(path);
	return status;
}

int held_lock(const char *folder, struct refusal *why)
{
	char *path = join(folder, "lock");
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

	if (path == NULL) {
		refuse(why, STATUS_NO_MEMORY, "", "out of memory");
		return -1;
	}
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	for (int waited = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0; waited += 10) {
		if (errno != EINTR && (errno != EWOULDBLOCK || waited >= LOCK_WAIT_MS)) {
			int saved = errno;
			close(fd);
			errno = saved;
			fd = -1;
		} else {
			nanosleep(&pause, NULL);
		}
	}
	if (fd < 0)
		io_error(why, path, "cannot lock");
	free(path);
	return fd;
}

/* ---- Loading and storing */

static int make_folders(char *path)
{
	int denied = 0; /* why a folder above was not made: what is missing below it says less */

	for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		int made = mkdir(path, 0700);
		*slash = '/';
		if (made != 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
			return -1;
		if (made != 0 && errno != EEXIST)
			denied = errno;
	}
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	errno = errno == ENOENT && denied != 0 ? denied : errno;
	return -1;
}

int held_prepare(const char *state_dir, const struct hash *directory, char **path, struct refusal *why)
{
	char digits[2 * HASH_SIZE + 1];
	struct stat st;

	hash_to_hex(directory, digits);
	digits[16] = '\0';
	*path = join(state_dir, digits);
	if (*path == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	int status = 0;
	if (make_folders(*path) != 0 || stat(*path, &st) != 0)
		status = io_error(why, *path, "cannot use the state folder");
	else if (!S_ISDIR(st.st_mode))
		status = refuse(why, STATUS_IO, "state.dir", "%.200s is not a folder", *path);
	else if ((st.st_mode & 022) != 0)
		status = refuse(why, STATUS_DENIED, "state.dir", "others may write to the state folder %.200s", *path);
	if (status != 0) {
		free(*path);
		*path = NULL;
	}
	return status;
}

/* Whether the folder shows that there has been held state: a marked lock file, or a local copy. */
static bool was_used(const char *path)
{
	struct dirent *entry;
	bool used = false;
	DIR *folder = opendir(path);

	while (folder != NULL && !used && (entry = readdir(folder)) != NULL) {
		struct stat st;
		used = strncmp(entry->d_name, "copy", 4) == 0 ||
		       (strcmp(entry->d_name, "lock") == 0 && fstatat(dirfd(folder), "lock", &st, 0) == 0 &&
			st.st_size > 0);
	}
	if (folder != NULL)
		closedir(folder);
	return used;
}

static int damaged(struct refusal *why, const char *path, const char *what)
{
	return refuse(why, STATUS_DAMAGED, "state.dir",
		      "%s in %.200s: what was verified before is lost.  Find out why; then move the folder away to "
		      "begin anew as at first contact",
		      what, path);
}

/* The file's bytes (free()); NULL with 0: there has been no held state.  Absent in a folder that has had some it is
 * looked for twice, for it may have been written between the two looks (it is there before the lock is marked). */
static int read_held(const char *path, uint8_t **bytes, size_t *size, struct refusal *why)
{
	int status = held_read_file(path, "held", HELD_FILE_MAX, bytes, size, why);

	if (status == STATUS_NOT_FOUND && !was_used(path))
		return 0;
	if (status == STATUS_NOT_FOUND)
		status = held_read_file(path, "held", HELD_FILE_MAX, bytes, size, why);
	if (status == STATUS_NOT_FOUND)
		return damaged(why, path, "the held state is missing");
	if (status == STATUS_TOO_LARGE)
		return damaged(why, path, "the held state is damaged");
	return status;
}

int held_load(const char *path, const struct hash *directory, struct held *out, struct refusal *why)
{
	uint8_t *bytes;
	size_t size;
	int status = read_held(path, &bytes, &size, why);

	*out = (struct held){.empty = status == 0 && bytes == NULL};
	if (status != 0 || bytes == NULL)
		return status;
	status = decode(bytes, size, directory, out);
	free(bytes);
	if (status != 0) {
		held_finish(out);
		return damaged(why, path, "the held state is damaged");
	}
	return 0;
}

/* The version of the file that is there now; zero if none.  Its sum says that it is whole: what it says is not looked
 * at. */
static int current_version(const char *path, const struct hash *directory, struct hash *version, struct refusal *why)
{
	struct reader r;
	uint8_t *bytes;
	size_t size;
	int status = read_held(path, &bytes, &size, why);

	*version = hash_zero;
	if (status != 0 || bytes == NULL)
		return status;
	if (!is_whole(bytes, size, directory, &r, version))
		status = damaged(why, path, "the held state is damaged");
	free(bytes);
	return status;
}

int held_store(const char *path, const struct hash *directory, struct held *next, struct refusal *why)
{
	uint8_t *bytes = NULL;
	size_t size = 0;
	struct hash version;
	struct stat st;
	int lock = held_lock(path, why);

	if (lock < 0)
		return STATUS_IO;
	int status = current_version(path, directory, &version, why);
	if (status == 0 && hash_compare(&version, &next->version) != 0)
		status = refuse(why, STATUS_CONFLICT, "state.dir", "another process has moved the held state");
	if (status == 0)
		status = encode(directory, next, &bytes, &size, why);
	if (status == 0)
		status = held_write_file(path, "held", bytes, size, why);
	/* marked only once the held state is there: a crash between leaves an unmarked lock beside it, which is mended
	 * here at the next time */
	if (status == 0 &&
	    (fstat(lock, &st) != 0 || (st.st_size == 0 && write_all(lock, (const uint8_t *)"\n", 1) != 0)))
		status = io_error(why, path, "cannot mark the lock in");
	if (status == 0) {
		next->empty = false;
		memcpy(next->version.bytes, bytes + size - HASH_SIZE, HASH_SIZE);
	}
	free(bytes);
	close(lock);
	return status;
}

/* ---- Heads and keys */

void held_advance(struct held *held, uint64_t size, const struct hash *root, int64_t time_ms)
{
	if (!held->empty && held->size > 0 && held->size < size) {
		if (held->n_heads == HELD_HEADS_MAX) {
			/* forget every other one of the older half: recent ones matter most, old ones thin out */
			size_t kept = 0;
			for (size_t i = 0; i < held->n_heads; i++) {
				if (i >= HELD_HEADS_MAX / 2 || i % 2 == 0)
					held->heads[kept++] = held->heads[i];
			}
			held->n_heads = kept;
		}
		held->heads[held->n_heads++] = (struct held_head){held->size, held->root};
	}
	held->size = size;
	held->root = *root;
	if (time_ms > held->time_ms)
		held->time_ms = time_ms;
	held->empty = false;
}

const struct hash *held_root_of(const struct held *held, uint64_t size)
{
	if (!held->empty && held->size == size)
		return &held->root;
	for (size_t i = 0; i < held->n_heads; i++) {
		if (held->heads[i].size == size)
			return &held->heads[i].root;
	}
	return NULL;
}

bool held_largest(const struct held *held, uint64_t size, struct held_head *out)
{
	bool found = false;

	for (size_t i = 0; i < held->n_heads; i++) {
		if (held->heads[i].size <= size && (!found || held->heads[i].size > out->size)) {
			*out = held->heads[i];
			found = true;
		}
	}
	return found;
}

static size_t key_place(const struct held *held, const char *state, bool *found)
{
	size_t i = 0;

	*found = false;
	for (; i < held->n_keys; i++) {
		int order = strcmp(held->keys[i].state, state);
		*found = order == 0;
		if (order >= 0)
			break;
	}
	return i;
}

const struct held_key *held_find_key(const struct held *held, const char *state)
{
	bool found;
	size_t i = key_place(held, state, &found);

	return found ? &held->keys[i] : NULL;
}

int held_note_key(struct held *held, const char *state, uint64_t seq, const struct hash *value, bool *changed,
		  struct refusal *why)
{
	bool found;
	size_t i = key_place(held, state, &found);

	*changed = false;
	if (found) {
		struct held_key *key = &held->keys[i];
		if (seq < key->seq || (seq == key->seq && hash_compare(value, &key->value) != 0))
			return refuse(why, STATUS_UNVERIFIED, state,
				      "the keys of %s went back: K/%s was seen as version %llu", state, state,
				      (unsigned long long)key->seq);
		*changed = seq > key->seq;
		key->seq = seq;
		key->value = *value;
		return 0;
	}
	if (held->n_keys >= HELD_KEYS_MAX)
		return refuse(why, STATUS_TOO_LARGE, state, "more than %d states", HELD_KEYS_MAX);
	struct held_key *grown = realloc(held->keys, (held->n_keys + 1) * sizeof *grown);
	if (grown == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	held->keys = grown;
	memmove(&grown[i + 1], &grown[i], (held->n_keys - i) * sizeof *grown);
	grown[i] = (struct held_key){.seq = seq, .value = *value};
	snprintf(grown[i].state, sizeof grown[i].state, "%s", state);
	held->n_keys++;
	*changed = true;
	return 0;
}
