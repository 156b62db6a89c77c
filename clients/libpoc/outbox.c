#include "clients/libpoc/outbox.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clients/libpoc/connection.h"
#include "clients/libpoc/content.h"
#include "clients/libpoc/desk.h"
#include "clients/libpoc/session.h"
#include "proto/wire/prescan.h"
#include "proto/wire/utf8.h"

enum { LEFT_OVER_AFTER = 10 * 60 /* seconds */, HOLD_TRIES = 20, TURN_TRIES = 100, HOLD_NAP_MS = 100 };
enum { FILE_MAX = NOTICE_BODY_MAX + NOTICE_HEADER_MAX + 1024, WAITING_MAX = 100000, REASON_MAX = 1024 };

#define REFUSED ".refused"
#define REASON ".reason"

/* ---- Files: each is a Post message */

static char *folder_of(const struct poc *poc)
{
	char *path = NULL;

	return poc->folder == NULL || asprintf(&path, "%s/outbox", poc->folder) < 0 ? NULL : path;
}

static int open_folder(struct poc *poc, char **out)
{
	*out = folder_of(poc);
	if (*out == NULL)
		return refuse(&poc->why, STATUS_IO, "state.dir", "no place for the outbox");
	if (mkdir(*out, 0700) == 0 || errno == EEXIST)
		return 0;
	int status = refuse(&poc->why, STATUS_IO, "state.dir", "cannot make %.200s: %s", *out, strerror(errno));
	free(*out);
	*out = NULL;
	return status;
}

/* Whoever sends holds the folder, together with others who do; whoever withdraws something holds it alone.  -1: it
 * cannot be held, which is no reason not to send. */
static int hold(const struct poc *poc, int how)
{
	char *folder = folder_of(poc);
	int fd = folder != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	free(folder);
	if (fd >= 0 && flock(fd, how) != 0) {
		const int error = errno;
		close(fd);
		errno = error;
		fd = -1;
	}
	return fd;
}

static void let_go(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* One command flushes at a time: what two sealed anew would be two notices under one id, and the one that came later
 * refused for what was stored.  BUSY: another one does, which is waited for a while; -1 and 0: it cannot be known,
 * which is no reason not to send. */
static int take_turn(struct poc *poc, int *fd)
{
	const struct timespec pause = {.tv_nsec = HOLD_NAP_MS * 1000000L};
	char *path = NULL;

	*fd = -1;
	if (poc->folder == NULL || asprintf(&path, "%s/outbox.lock", poc->folder) < 0)
		return 0;
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	free(path);
	for (int i = 0; *fd >= 0 && flock(*fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; i++) {
		if (i == TURN_TRIES) {
			let_go(*fd);
			*fd = -1;
			return refuse(&poc->why, STATUS_BUSY, "", "another command is sending what waits");
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* NAME.XXXXXX, or NAME.reason.XXXXXX, that a command was killed over before it became NAME: it has promised nothing. */
static bool is_left_over(const char *file)
{
	const char *rest = file + strspn(file, "0123456789abcdef-");
	size_t ending = strlen(REASON);

	if (rest == file)
		return false;
	if (strncmp(rest, REASON ".", ending + 1) == 0)
		rest += ending;
	if (rest[0] != '.' || strlen(rest) != 7 || strcmp(rest, REASON) == 0)
		return false;
	for (rest++; *rest != '\0'; rest++) {
		if (!isalnum((unsigned char)*rest))
			return false;
	}
	return true;
}

/* Not what somebody writes just now. */
static void drop_left_over(DIR *dir, const char *file)
{
	struct stat st;

	if (is_left_over(file) && fstatat(dirfd(dir), file, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    st.st_mtime < time(NULL) - LEFT_OVER_AFTER)
		unlinkat(dirfd(dir), file, 0);
}

/* Names of the files with that ending ("": of what waits), without it, oldest first: list and names are malloc'ed. */
static size_t list_names(const char *folder, const char *ending, char ***out)
{
	struct dirent *entry;
	char **list = NULL;
	size_t n = 0;
	DIR *dir = opendir(folder);

	while (dir != NULL && n < WAITING_MAX && (entry = readdir(dir)) != NULL) {
		drop_left_over(dir, entry->d_name);
		size_t length = strspn(entry->d_name, "0123456789abcdef-");
		if (length == 0 || length >= OUTBOX_NAME || strcmp(entry->d_name + length, ending) != 0)
			continue;
		char **grown = realloc(list, (n + 1) * sizeof *grown);
		char *copy = strndup(entry->d_name, length);
		if (grown != NULL)
			list = grown;
		if (grown == NULL || copy == NULL) {
			free(copy);
			break;
		}
		list[n++] = copy;
	}
	if (dir != NULL)
		closedir(dir);
	if (n > 0)
		qsort(list, n, sizeof *list, by_name);
	*out = list;
	return n;
}

static void free_names(char **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

/* What was said first arrives first, and what is said last counts: so names, which sort by the time of their beginning,
 * never go back among those that wait, though the clock does. */
static unsigned long long next_time(const struct poc *poc, const char *folder)
{
	const unsigned long long now = (unsigned long long)connection_now_ms(poc);
	char **list;
	const size_t n = list_names(folder, "", &list);
	const unsigned long long last = n > 0 ? strtoull(list[n - 1], NULL, 16) : 0;

	free_names(list, n);
	return now > last ? now : last + 1;
}

/* Under that name, in the place of what stands there. */
static int write_post(struct poc *poc, const char *folder, const char *name, const uint8_t *envelope, size_t size,
		      const uint8_t *body, size_t body_size)
{
	Poc__Post post = POC__POST__INIT;
	uint8_t *bytes;
	size_t length;

	post.envelope = (ProtobufCBinaryData){size, (uint8_t *)envelope};
	post.body = (ProtobufCBinaryData){body_size, (uint8_t *)body};
	if (message_encode(&post, &bytes, &length) != 0)
		return refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
	int status = held_write_file(folder, name, bytes, length, &poc->why);
	free(bytes);
	return status;
}

int outbox_put(struct poc *poc, const uint8_t *envelope, size_t size, const uint8_t *body, size_t body_size,
	       char name[OUTBOX_NAME])
{
	struct hash hash = hash_of(envelope, size);
	char digits[2 * HASH_SIZE + 1], *folder;
	int status = open_folder(poc, &folder);

	if (status != 0)
		return status;
	hash_to_hex(&hash, digits);
	snprintf(name, OUTBOX_NAME, "%014llx-%.32s", next_time(poc, folder), digits);
	status = write_post(poc, folder, name, envelope, size, body, body_size);
	free(folder);
	return status;
}

static int remove_file(const struct poc *poc, const char *name, const char *ending)
{
	char *folder = folder_of(poc), *path = NULL;
	int result = -1;

	if (folder != NULL && asprintf(&path, "%s/%s%s", folder, name, ending) >= 0)
		result = unlink(path);
	free(path);
	free(folder);
	return result;
}

static void take_away(struct poc *poc, const char *name)
{
	/* one that comes back after a crash is only posted again, under the same id; a reason is none without it */
	remove_file(poc, name, REASON);
	remove_file(poc, name, "");
}

/* ---- Why one waits, or was refused: "CODE MESSAGE", beside it */

static void reason_file(const char *name, char out[OUTBOX_NAME + sizeof REASON])
{
	snprintf(out, OUTBOX_NAME + sizeof REASON, "%s" REASON, name);
}

/* text holds the message, out borrows it.  False: nothing is kept. */
static bool read_reason(const char *folder, const char *name, char text[REASON_MAX], struct outbox_result *out)
{
	char file[OUTBOX_NAME + sizeof REASON], *end;
	uint8_t *bytes;
	size_t size;

	reason_file(name, file);
	int status = held_read_file(folder, file, REASON_MAX - 1, &bytes, &size, NULL);
	if (status == STATUS_NOT_FOUND)
		return false;
	out->status = STATUS_FAILED;
	out->message = "the reason is not known any more";
	if (status != 0)
		return true;
	const bool valid = utf8_valid(bytes, size);
	memcpy(text, bytes, size);
	text[size] = '\0';
	free(bytes);
	long code = valid ? strtol(text, &end, 10) : 0;
	if (code <= 0 || code > INT_MAX || *end != ' ')
		return true;
	out->status = (int)code;
	out->message = end + 1;
	return true;
}

/* Lost, it is not known why: no reason to fail.  Not written again where it stands there already. */
static void keep_reason(const char *folder, const char *name, int status, const char *message)
{
	char reason[REASON_MAX], text[REASON_MAX], file[OUTBOX_NAME + sizeof REASON];
	struct outbox_result known = {0};

	if (read_reason(folder, name, text, &known) && known.status == status && strcmp(known.message, message) == 0)
		return;
	snprintf(reason, sizeof reason, "%d %s", status, message);
	reason_file(name, file);
	held_write_file(folder, file, reason, strlen(reason), NULL);
}

/* The same of one that waits, which another command may have sent meanwhile. */
static void note_waiting(const struct poc *poc, const char *name, int status, const char *message)
{
	char *folder = folder_of(poc), *path = NULL;

	if (folder != NULL && asprintf(&path, "%s/%s", folder, name) >= 0) {
		keep_reason(folder, name, status, message);
		if (access(path, F_OK) != 0)
			remove_file(poc, name, REASON);
	}
	free(path);
	free(folder);
}

/* No server could be reached, for the reason that why has. */
static void note_unreached(const struct poc *poc, const char *name, const struct refusal *why)
{
	char words[sizeof why->message + 20];

	snprintf(words, sizeof words, "no connection: %s", why->message);
	note_waiting(poc, name, why->code, words);
}

static void set_aside(const char *folder, const char *name, int status, const char *message)
{
	char *from = NULL, *to = NULL;

	keep_reason(folder, name, status, message);
	if (asprintf(&from, "%s/%s", folder, name) >= 0 && asprintf(&to, "%s/%s" REFUSED, folder, name) >= 0)
		(void)!rename(from, to);
	free(to);
	free(from);
}

/* ---- Posting */

static bool unreached(int status)
{
	return status == STATUS_UNREACHABLE || status == STATUS_TLS || status == STATUS_BEHIND;
}

/* Nobody has judged what was posted: there was no connection, or none to a server that can be believed and followed
 * from here (another directory, a clock that is wrong, a disk that is full).  That says nothing of what waits. */
static bool unasked(const struct poc *poc, int status)
{
	return status != 0 && (unreached(status) || poc->lost.code != 0);
}

int outbox_wait(struct poc *poc, const char *name, const char *reason)
{
	if (reason == NULL && poc->lost.code != 0)
		note_unreached(poc, name, &poc->lost);
	else
		note_waiting(poc, name, STATUS_QUEUED, reason != NULL ? reason : "no server was asked: --offline");
	return refuse(&poc->why, STATUS_QUEUED, "", "kept in the outbox, sent by the next command or poc notice flush");
}

/* Our own state's; what a recipient has not fetched is named by its field. */
static bool is_own_quota(const struct refusal *why)
{
	return why->code == STATUS_QUOTA && why->field[0] == '\0';
}

/* When our state may send again, in the words of poc->why. */
static void tell_when(struct poc *poc)
{
	const struct refusal said = poc->why;
	char when[32];

	if (!is_own_quota(&said) || said.retry_ms == 0)
		return;
	time_to_text((connection_now_ms(poc) + said.retry_ms) / 1000 + 1, when);
	refuse(&poc->why, said.code, "", "%.300s; again from %s, in %u min", said.message, when,
	       (said.retry_ms + 59999) / 60000);
	poc->why.retry_ms = said.retry_ms;
}

static int post_held(struct poc *poc, const char *name, const uint8_t *envelope, size_t size, const uint8_t *body,
		     size_t body_size, struct client_posted *out)
{
	int status = client_post(poc, envelope, size, body, body_size, out);

	if (unasked(poc, status)) {
		note_unreached(poc, name, &poc->why);
		return refuse(
		    &poc->why, STATUS_QUEUED, "",
		    "no server can be reached: kept in the outbox, sent by the next command or poc notice flush");
	}
	if (status == STATUS_BUSY || status == STATUS_QUOTA) {
		tell_when(poc);
		const struct refusal said = poc->why;
		note_waiting(poc, name, status, said.message);
		refuse(&poc->why, STATUS_QUEUED, "",
		       "%.330s: kept in the outbox, sent by the next command or poc notice flush", said.message);
		poc->why.retry_ms = said.retry_ms > 0 ? said.retry_ms : 1;
		return STATUS_QUEUED;
	}
	if (status != STATUS_STALE_KEY)
		take_away(poc, name);
	return status;
}

int outbox_post(struct poc *poc, const char *name, const uint8_t *envelope, size_t size, const uint8_t *body,
		size_t body_size, struct client_posted *out)
{
	const int held = hold(poc, LOCK_SH);
	int status = post_held(poc, name, envelope, size, body, body_size, out);

	let_go(held);
	return status;
}

static int seal_somehow(struct poc *poc, const struct client_notice *notice, struct client_sealed *sealed)
{
	int status = client_seal(poc, CLIENT_ONLINE, notice, sealed);

	if (!unreached(status))
		return status;
	struct refusal before = poc->why;
	int offline = client_seal(poc, CLIENT_OFFLINE, notice, sealed);
	if (offline != STATUS_UNREACHABLE)
		return offline;
	poc->why = before; /* there is no copy either: the network is what is wrong */
	return status;
}

/* Seals by the local copy and keeps. */
static int keep_for_later(struct poc *poc, const struct client_notice *notice, struct client_sealed *sealed)
{
	char name[OUTBOX_NAME];
	int status = client_seal(poc, CLIENT_OFFLINE, notice, sealed);

	if (status == 0)
		status = outbox_put(poc, sealed->header, sealed->header_size, sealed->body, sealed->body_size, name);
	return status != 0 ? status : outbox_wait(poc, name, NULL);
}

int outbox_try(struct poc *poc, bool offline, const struct client_notice *notice)
{
	struct client_sealed sealed = {0};
	int status = offline ? client_seal(poc, CLIENT_OFFLINE, notice, &sealed) : seal_somehow(poc, notice, &sealed);

	client_sealed_finish(&sealed);
	return status;
}

/* Held from before it is there until it is known what became of it. */
static int put_and_post(struct poc *poc, const struct client_sealed *sealed, char name[OUTBOX_NAME],
			struct client_posted *out)
{
	char *folder;
	int status = open_folder(poc, &folder);

	if (status != 0)
		return status;
	free(folder);
	const int held = hold(poc, LOCK_SH);
	status = outbox_put(poc, sealed->header, sealed->header_size, sealed->body, sealed->body_size, name);
	if (status == 0)
		status =
		    post_held(poc, name, sealed->header, sealed->header_size, sealed->body, sealed->body_size, out);
	let_go(held);
	return status;
}

int outbox_send(struct poc *poc, bool offline, const struct client_notice *notice, struct client_sealed *sealed,
		struct client_posted *out)
{
	char name[OUTBOX_NAME];

	*sealed = (struct client_sealed){0};
	if (offline)
		return keep_for_later(poc, notice, sealed);
	for (int i = 0;; i++) {
		int status = seal_somehow(poc, notice, sealed);
		if (status == 0)
			status = put_and_post(poc, sealed, name, out);
		if (status != STATUS_STALE_KEY)
			return status;
		struct refusal stale = poc->why;
		take_away(poc, name);
		connection_begin(poc);
		if (i > 0 || session_move(poc) != 0) {
			poc->why = stale;
			return STATUS_STALE_KEY;
		}
		client_sealed_finish(sealed);
	}
}

/* ---- Flushing */

size_t outbox_waiting(const struct poc *poc)
{
	char *folder = folder_of(poc), **list = NULL;
	size_t n = folder != NULL ? list_names(folder, "", &list) : 0;

	free_names(list, n);
	free(folder);
	return n;
}

static void take_desk(struct client_desk *out, const Poc__Desk *desk)
{
	snprintf(out->place, sizeof out->place, "%s", desk->place);
	out->kind = desk->kind;
}

/* The notice as it was meant, from what was sealed. */
static void unseal(const struct notice *notice, const Poc__Inner *inner, struct client_notice *out)
{
	const Poc__Core *core = notice->core;

	*out = (struct client_notice){.id = notice->id,
				      .thread = notice->thread,
				      .has_answers = core->answers.len > 0,
				      .category = core->category,
				      .urgency = core->urgency,
				      .tlp = core->tlp,
				      .exercise = core->exercise,
				      .created = core->created,
				      .reply_by = core->reply_by,
				      .content = inner->content};
	if (core->answers.len > 0)
		memcpy(out->answers.bytes, core->answers.data, NOTICE_ID_SIZE);
	take_desk(&out->from, core->from);
	for (size_t i = 0; i < core->n_to; i++)
		take_desk(&out->to[out->n_to++], core->to[i]);
	for (size_t i = 0; i < core->n_escalations; i++) {
		take_desk(&out->escalations[i].to, core->escalations[i]->to);
		out->escalations[out->n_escalations++].at = core->escalations[i]->at;
	}
}

/* Sealed by the directory as it stands now, in the place of what waited: it keeps its turn before what is said of it,
 * and never waits twice under one id. */
static int seal_in_place(struct poc *poc, const char *folder, const char *name, const struct client_notice *notice,
			 struct client_posted *out)
{
	struct client_sealed sealed = {0};

	connection_begin(poc);
	int status = session_move(poc);
	if (status == 0)
		status = client_seal(poc, CLIENT_ONLINE, notice, &sealed);
	if (status == 0)
		status =
		    write_post(poc, folder, name, sealed.header, sealed.header_size, sealed.body, sealed.body_size);
	if (status == 0)
		status = client_post(poc, sealed.header, sealed.header_size, sealed.body, sealed.body_size, out);
	client_sealed_finish(&sealed);
	return status;
}

/* A recipient's key went out of use while the notice waited: opened with our own desk's key and sealed anew. */
static int reseal(struct poc *poc, const char *folder, const char *name, const Poc__Post *post,
		  struct keystore_key *const *keys, size_t n_keys, struct client_posted *out)
{
	struct client_notice again;
	struct notice *notice;
	Poc__Inner *inner = NULL;
	int status = notice_parse(post->envelope.data, post->envelope.len, &notice, &poc->why);

	if (status != 0)
		return status;
	for (size_t i = 0; i < n_keys && inner == NULL; i++)
		notice_open(notice, post->body.data, post->body.len, keys[i], &inner, NULL);
	if (inner == NULL) {
		status = refuse(&poc->why, STATUS_STALE_KEY, "",
				"a recipient's reading key is no longer current, and no key of ours opens the notice "
				"to encrypt it anew");
	} else {
		unseal(notice, inner, &again);
		status = seal_in_place(poc, folder, name, &again, out);
	}
	message_free(inner);
	notice_destroy(notice);
	return status;
}

/* A receipt does not say that its notice is of an exercise; the copy of the desk's feed has the notice. */
static void find_exercise(struct poc *poc, const struct receipt *receipt, struct outbox_result *out)
{
	struct client_desk id = {.kind = receipt->receipt->kind};
	struct desk *desk;

	snprintf(id.place, sizeof id.place, "%s", receipt->receipt->place);
	if (desk_open(poc, &id, &desk) != 0)
		return;
	const struct desk_notice *about = desk_find(desk, &receipt->notice_id);
	if (about != NULL)
		snprintf(out->exercise, sizeof out->exercise, "%s", about->notice->core->exercise);
	desk_close(desk);
}

/* Of a file whose content is not known yet: its name begins with when it was put there. */
static struct outbox_result result_of(const char *name)
{
	return (struct outbox_result){.name = name, .message = "", .since = (int64_t)(strtoull(name, NULL, 16) / 1000)};
}

static void describe(struct poc *poc, const Poc__Post *post, struct outbox_result *out)
{
	struct notice *notice;
	struct receipt *receipt;

	out->envelope = post->envelope;
	out->body = post->body;
	if (notice_parse(post->envelope.data, post->envelope.len, &notice, NULL) == 0) {
		out->is_notice = true;
		out->id = notice->id;
		snprintf(out->exercise, sizeof out->exercise, "%s", notice->core->exercise);
		notice_destroy(notice);
	} else if (receipt_parse(post->envelope.data, post->envelope.len, &receipt, NULL) == 0) {
		out->id = receipt->notice_id;
		out->step = receipt->receipt->step;
		if (receipt->receipt->answer.len == NOTICE_ID_SIZE)
			memcpy(out->answer.bytes, receipt->receipt->answer.data, NOTICE_ID_SIZE);
		find_exercise(poc, receipt, out);
		receipt_destroy(receipt);
	}
}

/* Whether the same bytes may be taken later: IO is this machine's, which no server says, and of a MIRROR others are. */
static bool passing(int status)
{
	return status == STATUS_QUEUED || status == STATUS_BUSY || status == STATUS_STORAGE || status == STATUS_QUOTA ||
	       status == STATUS_NO_MEMORY || status == STATUS_IO || status == STATUS_MIRROR;
}

/* Reads a file and says what it holds.  NOT_FOUND: another command has taken it meanwhile. */
static int read_post(struct poc *poc, const char *folder, const char *file, struct outbox_result *result,
		     ProtobufCMessage **message)
{
	struct prescan_limits limits = {.depth = 1, .fields = 8, .memory = 2 * FILE_MAX};
	uint8_t *bytes;
	size_t size;
	int status = held_read_file(folder, file, FILE_MAX, &bytes, &size, &poc->why);

	*message = NULL;
	if (status != 0)
		return status;
	status = message_decode(&poc__post__descriptor, bytes, size, &limits, message, &poc->why);
	free(bytes);
	if (status == 0)
		describe(poc, (Poc__Post *)*message, result);
	return status;
}

struct flushing {
	struct poc *poc;
	const char *folder;
	struct keystore_key *const *keys;
	size_t n_keys;
	bool spent;                /* our state may send no more notices for now */
	struct refusal first;      /* of what is not taken for now */
	size_t n_waiting;          /* notices that are not taken for now, or receipts of them */
	struct notice_id *waiting; /* owned; their ids */
};

static void add_waiting(struct flushing *f, const struct notice_id *id)
{
	struct notice_id *grown = realloc(f->waiting, (f->n_waiting + 1) * sizeof *grown);

	if (grown == NULL)
		return;
	f->waiting = grown;
	f->waiting[f->n_waiting++] = *id;
}

static bool speaks(const struct outbox_result *result)
{
	static const struct notice_id none;

	return memcmp(result->answer.bytes, none.bytes, NOTICE_ID_SIZE) != 0;
}

static bool waits(const struct flushing *f, const struct notice_id *id)
{
	for (size_t i = 0; i < f->n_waiting; i++) {
		if (memcmp(f->waiting[i].bytes, id->bytes, NOTICE_ID_SIZE) == 0)
			return true;
	}
	return false;
}

/* A receipt "answered" is not said before its answer is there, nor any before what was said earlier of the same notice:
 * what comes last counts. */
static bool comes_after_waiting(const struct flushing *f, const struct outbox_result *result)
{
	return waits(f, &result->id) || (speaks(result) && waits(f, &result->answer));
}

struct answer_sought {
	const struct notice_id *id;
	bool found;
};

static void seek_answer(void *ctx, const struct outbox_result *result)
{
	struct answer_sought *sought = ctx;

	sought->found =
	    sought->found || (result->is_notice && memcmp(result->id.bytes, sought->id->bytes, NOTICE_ID_SIZE) == 0);
}

/* Its answer will never be there: sent anew that is another notice, and so is what is said of it. */
static bool speaks_of_refused(const struct flushing *f, const struct outbox_result *result)
{
	struct answer_sought sought = {.id = &result->answer};

	if (speaks(result))
		outbox_refused(f->poc, seek_answer, &sought);
	return sought.found;
}

/* A private note, which has a quota of its own. */
static bool is_note(const Poc__Post *post)
{
	struct notice *notice;

	if (notice_parse(post->envelope.data, post->envelope.len, &notice, NULL) != 0)
		return false;
	const bool note = notice->core->category == POC__CATEGORY__CATEGORY_NOTE;
	notice_destroy(notice);
	return note;
}

/* Not tried: the server would say again what it has just said. */
static bool is_held_back(const struct flushing *f, const Poc__Post *post, const struct outbox_result *result)
{
	return result->is_notice ? f->spent && !is_note(post) : comes_after_waiting(f, result);
}

static int post_again(struct flushing *f, const char *name, const Poc__Post *post, const struct outbox_result *result)
{
	struct client_posted posted;
	struct poc *poc = f->poc;
	int status =
	    client_post(poc, post->envelope.data, post->envelope.len, post->body.data, post->body.len, &posted);

	if (status == STATUS_STALE_KEY && result->is_notice)
		status = reseal(poc, f->folder, name, post, f->keys, f->n_keys, &posted);
	if (unasked(poc, status)) {
		note_unreached(poc, name, &poc->why);
		return STATUS_QUEUED;
	}
	f->spent = f->spent || (is_own_quota(&poc->why) && !is_note(post));
	if (passing(status)) {
		tell_when(poc);
		note_waiting(poc, name, status, poc->why.message);
	}
	return status;
}

/* *tried: not held back, nor dropped. */
static int flush_one(struct flushing *f, const char *name, struct outbox_result *result, bool *tried)
{
	struct poc *poc = f->poc;
	ProtobufCMessage *message;

	*result = result_of(name);
	*tried = true;
	int status = read_post(poc, f->folder, name, result, &message);
	if (status == STATUS_NOT_FOUND)
		return 0;
	const Poc__Post *post = (Poc__Post *)message;
	if (status == 0 && is_held_back(f, post, result)) {
		*tried = false;
		status = f->first.code;
	} else if (status == 0 && speaks_of_refused(f, result)) {
		*tried = false;
	} else if (status == 0) {
		status = post_again(f, name, post, result);
	}
	if (status == 0)
		take_away(poc, name);
	else if (!passing(status))
		set_aside(f->folder, name, status, poc->why.message);
	result->waits = passing(status);
	result->status = status;
	result->message = poc->why.message;
	if (result->waits && (result->is_notice || result->step != 0))
		add_waiting(f, &result->id);
	if (result->waits && f->first.code == 0)
		f->first = poc->why;
	message_free(message);
	result->envelope = result->body = (ProtobufCBinaryData){0};
	return status;
}

static int flush_list(struct flushing *f, char *const *list, size_t n, outbox_each each, void *ctx, size_t *waiting)
{
	int status = 0;

	for (size_t i = 0; i < n; i++) {
		struct outbox_result result;
		bool tried;
		int one = flush_one(f, list[i], &result, &tried);
		if (each != NULL && tried && (one != 0 || result.is_notice || result.step != 0))
			each(ctx, &result);
		*waiting += passing(one);
		if (one == STATUS_QUEUED &&
		    f->poc->why.retry_ms == 0) { /* nobody can be reached: the others would wait in vain */
			*waiting = n - i;
			return one;
		}
		if (passing(one) && status == 0)
			status = one;
	}
	if (status != 0) /* what came after it has said other things */
		f->poc->why = f->first;
	return status;
}

int outbox_flush(struct poc *poc, struct keystore_key *const *keys, size_t n_keys, outbox_each each, void *ctx,
		 size_t *waiting)
{
	int turn, status;

	*waiting = outbox_waiting(poc);
	if (*waiting == 0 || (status = take_turn(poc, &turn)) != 0)
		return *waiting == 0 ? 0 : status;
	const int held = hold(poc, LOCK_SH);
	char *folder = folder_of(poc), **list = NULL;
	struct flushing f = {.poc = poc, .folder = folder, .keys = keys, .n_keys = n_keys};
	size_t n = folder != NULL ? list_names(folder, "", &list) : 0;

	*waiting = 0;
	status = flush_list(&f, list, n, each, ctx, waiting);
	let_go(held);
	let_go(turn);
	free(f.waiting);
	free_names(list, n);
	free(folder);
	return status;
}

void outbox_list(struct poc *poc, outbox_each each, void *ctx)
{
	char *folder = folder_of(poc), **list = NULL;
	size_t n = folder != NULL ? list_names(folder, "", &list) : 0;

	for (size_t i = 0; i < n; i++) {
		struct outbox_result result = result_of(list[i]);
		ProtobufCMessage *message;
		char reason[REASON_MAX];
		result.waits = true;
		result.status = STATUS_QUEUED;
		(void)read_reason(folder, list[i], reason, &result);
		if (read_post(poc, folder, list[i], &result, &message) != STATUS_NOT_FOUND)
			each(ctx, &result);
		message_free(message);
	}
	free_names(list, n);
	free(folder);
}

/* A command that sends is soon done, unless its server does not answer. */
static int hold_alone(struct poc *poc, int *fd)
{
	const struct timespec pause = {.tv_nsec = HOLD_NAP_MS * 1000000L};

	for (int i = 0; (*fd = hold(poc, LOCK_EX | LOCK_NB)) < 0; i++) {
		if (errno != EWOULDBLOCK)
			return refuse(&poc->why, STATUS_IO, "state.dir", "cannot lock the outbox: %s", strerror(errno));
		if (i == HOLD_TRIES)
			return refuse(&poc->why, STATUS_BUSY, "",
				      "it is being sent, or something else of the outbox is");
		nanosleep(&pause, NULL);
	}
	return 0;
}

int outbox_withdraw(struct poc *poc, const char *name)
{
	int held, status = hold_alone(poc, &held);

	if (status != 0)
		return status;
	if (remove_file(poc, name, "") == 0)
		remove_file(poc, name, REASON);
	else
		status = errno == ENOENT ? refuse(&poc->why, STATUS_NOT_FOUND, "", "it does not wait any more")
					 : refuse(&poc->why, STATUS_IO, "state.dir",
						  "cannot remove it from the outbox: %s", strerror(errno));
	let_go(held);
	return status;
}

/* ---- What was refused */

void outbox_refused(struct poc *poc, outbox_each each, void *ctx)
{
	char *folder = folder_of(poc), **list = NULL;
	size_t n = folder != NULL ? list_names(folder, REFUSED, &list) : 0;

	for (size_t i = 0; i < n; i++) {
		struct outbox_result result = result_of(list[i]);
		char file[OUTBOX_NAME + sizeof REFUSED], reason[REASON_MAX];
		ProtobufCMessage *message;
		snprintf(file, sizeof file, "%s" REFUSED, list[i]);
		bool there = read_post(poc, folder, file, &result, &message) != STATUS_NOT_FOUND;
		if (!read_reason(folder, list[i], reason, &result)) {
			result.status = STATUS_FAILED;
			result.message = "the reason is not known any more";
		}
		if (there)
			each(ctx, &result);
		message_free(message);
	}
	free_names(list, n);
	free(folder);
}

int outbox_discard(struct poc *poc, const char *name)
{
	if (remove_file(poc, name, REFUSED) != 0 && errno != ENOENT)
		return refuse(&poc->why, STATUS_IO, "state.dir", "cannot remove it from the outbox: %s",
			      strerror(errno));
	remove_file(poc, name, REASON);
	return 0;
}
