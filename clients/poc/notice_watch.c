/* Live events as JSON lines; each of several named cursors shows everything once. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clients/cli/escape.h"
#include "clients/cli/strings.h"
#include "clients/libpoc/held.h"
#include "clients/poc/carried.h"
#include "clients/poc/content_view.h"
#include "clients/poc/duty.h"
#include "clients/poc/notice.h"
#include "proto/wire/prescan.h"

enum { CURSOR_FILE = 200, CURSOR_TEXT = 96, EVENT_WAIT_MS = 20000, PAUSE_LEAST_MS = 500, PAUSE_MOST_MS = 30000 };

/* How far a desk has been shown.  The entry is found again by what it says: the cursors of a directory that was
 * restored begin anew. */
struct shown {
	bool found;      /* next is right */
	bool taken;      /* that entry has been shown, and the file does not say so yet */
	size_t next;     /* entry of the desk */
	uint64_t cursor; /* of the last one shown; 0: none */
	bool has_item;   /* files of older versions have none */
	struct hash item;
};

struct watching {
	struct duty *duty;
	const char *name, *command;
	bool headers, once;
	int interrupted; /* what kept the notice at hand from being opened, and passes; 0: nothing */
	int pause_ms;    /* before the next try, doubled up to the most */
	struct shown shown[DUTY_DESKS];
};

/* ---- Cursors: how far each desk has been shown, durably */

static void cursor_file(const struct watching *w, const struct desk *desk, char out[CURSOR_FILE])
{
	snprintf(out, CURSOR_FILE, "cursor-%.40s-%.64s-%s", w->name, desk->id.place, poc_kind_name(desk->id.kind));
	for (char *at = out; *at != '\0'; at++) {
		if (*at == '/')
			*at = '+';
	}
}

/* The cursor is ours alone, or two would show each event twice.  *fd holds the lock; its end is the process's, so that
 * whoever is started anew is let in at once. */
static int lock_cursor(const struct watching *w, int *fd)
{
	struct cli *cli = w->duty->cli;
	char *path = NULL;

	*fd = -1;
	if (asprintf(&path, "%s/cursor-%.40s.lock", client_state_dir(w->duty->poc), w->name) < 0)
		return cli_fail(cli, STATUS_NO_MEMORY, tr("out of memory"));
	int status = 0;
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd < 0)
		status = cli_fail(cli, STATUS_IO, tr("cannot open %s: %s"), path, strerror(errno));
	else if (flock(*fd, LOCK_EX | LOCK_NB) != 0)
		status = errno == EWOULDBLOCK
			     ? cli_fail(cli, STATUS_BUSY,
					tr("the cursor \"%s\" is in use by another watch: give this one its own by "
					   "--cursor"),
					w->name)
			     : cli_fail(cli, STATUS_IO, tr("cannot lock %s: %s"), path, strerror(errno));
	free(path);
	return status;
}

static int parse_cursor(const char *text, struct shown *out)
{
	char *end, hex[2 * HASH_SIZE + 1];

	errno = 0;
	out->cursor = strtoull(text, &end, 10);
	if (errno != 0 || end == text)
		return STATUS_DAMAGED;
	if (*end != ' ')
		return 0;
	out->has_item = true;
	snprintf(hex, sizeof hex, "%s", end + 1);
	return hash_from_hex(hex, &out->item) == 0 ? 0 : STATUS_DAMAGED;
}

static int read_cursor(struct watching *w, size_t i)
{
	char name[CURSOR_FILE], text[CURSOR_TEXT];
	struct refusal why = {0};
	uint8_t *bytes;
	size_t size;

	cursor_file(w, w->duty->desks[i], name);
	w->shown[i] = (struct shown){.found = false};
	int status = held_read_file(client_state_dir(w->duty->poc), name, sizeof text - 1, &bytes, &size, &why);
	if (status == STATUS_NOT_FOUND)
		return 0;
	if (status != 0)
		return cli_refused(w->duty->cli, &why);
	snprintf(text, sizeof text, "%.*s", (int)size, (const char *)bytes);
	free(bytes);
	status = parse_cursor(text, &w->shown[i]);
	return status == 0 ? 0
			   : cli_fail(w->duty->cli, status,
				      tr("the cursor %s is damaged: remove it to see everything again"), name);
}

static bool is_shown(const struct shown *shown, const struct desk_entry *entry)
{
	if (!shown->has_item)
		return entry->cursor == shown->cursor;
	struct hash item = hash_of(entry->item, entry->size);
	return hash_compare(&item, &shown->item) == 0;
}

/* Goes on after the last entry that was shown; from the beginning, if the desk does not have it. */
static void find_next(struct shown *shown, const struct desk *desk)
{
	if (shown->found || desk->n_entries == 0)
		return;
	shown->found = true;
	shown->next = 0;
	for (size_t i = 0; i < desk->n_entries && shown->cursor != 0 && shown->next == 0; i++) {
		if (is_shown(shown, &desk->entries[i]))
			shown->next = i + 1;
	}
}

/* Kept from being shown again as long as this watch lives: where the disk is full, by whoever starts it anew every few
 * seconds, too. */
static int cursor_stays(const struct watching *w, const struct refusal *why)
{
	if (w->once)
		return cli_refused(w->duty->cli, why);
	cli_alert(w->duty->cli, tr("%s: no further event is shown until this one's cursor is kept"), why->message);
	return STATUS_BUSY;
}

/* The next entry of a desk has been shown. */
static int move_cursor(struct watching *w, size_t i, const struct desk_entry *entry)
{
	char name[CURSOR_FILE], text[CURSOR_TEXT], hex[2 * HASH_SIZE + 1];
	struct hash item = hash_of(entry->item, entry->size);
	struct refusal why = {0};

	if (!w->duty->cli->dry_run) {
		cursor_file(w, w->duty->desks[i], name);
		hash_to_hex(&item, hex);
		int n = snprintf(text, sizeof text, "%llu %s\n", (unsigned long long)entry->cursor, hex);
		int status = held_write_file(client_state_dir(w->duty->poc), name, text, (size_t)n, &why);
		if (status != 0)
			return cursor_stays(w, &why);
	}
	w->shown[i].taken = false;
	w->shown[i].next++;
	return 0;
}

/* ---- Events */

/* What an event's reader needs of its notice (NULL: not at this desk). */
static void add_notice(json_t *json, const struct desk_notice *n)
{
	char thread[NOTICE_ID_TEXT];
	struct notice_id id;

	if (n == NULL)
		return;
	memcpy(id.bytes, n->notice->core->thread.data, NOTICE_ID_SIZE);
	duty_id(&id, thread);
	json_object_set_new(json, "thread", json_string(thread));
	if (n->notice->core->exercise[0] != '\0')
		json_object_set_new(json, "exercise", json_string(n->notice->core->exercise));
}

static json_t *receipt_event(const struct desk *desk, const struct desk_entry *entry)
{
	struct receipt *receipt;
	char id[NOTICE_ID_TEXT];

	if (receipt_parse(entry->item, entry->size, &receipt, NULL) != 0)
		return NULL;
	const Poc__Receipt *r = receipt->receipt;
	const struct desk_notice *n = desk_find(desk, &receipt->notice_id);
	duty_id(&receipt->notice_id, id);
	json_t *json = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:b}", "event", step_name(r->step), "id", id, "place",
				 r->place, "kind", poc_kind_name(r->kind), "handle", r->handle, "time",
				 time_text(r->time), "verified", (int)entry->good);
	if (r->reason != 0)
		json_object_set_new(json, "reason", json_string(reason_name(r->reason)));
	if (r->answer_by != 0)
		json_object_set_new(json, "answer_by", json_string(time_text(r->answer_by)));
	if (!step_is_private(r->step))
		json_object_set_new(json, "implies", json_string(duty_disclaimer()));
	add_notice(json, n);
	receipt_destroy(receipt);
	return json;
}

static json_t *fact_event(const struct desk *desk, const struct desk_entry *entry)
{
	struct notice_id id;
	char text[NOTICE_ID_TEXT];
	Poc__Fact *fact;

	if (fact_parse(entry->item, entry->size, &fact, NULL) != 0)
		return NULL;
	memcpy(id.bytes, fact->notice_id.data, NOTICE_ID_SIZE);
	const struct desk_notice *n = desk_find(desk, &id);
	duty_id(&id, text);
	json_t *json = json_pack("{s:s,s:s,s:s,s:s}", "event", step_name(fact->step), "id", text, "place", fact->place,
				 "time", time_text(fact->time_ms / 1000));
	if (fact->place[0] != '\0') /* stored speaks of the whole notice */
		json_object_set_new(json, "kind", json_string(poc_kind_name(fact->kind)));
	add_notice(json, n);
	message_free(fact);
	return json;
}

static bool passing(int status)
{
	return status_may_retry(status) || status == STATUS_TLS;
}

/* What it says and carries, as poc notice show has it. */
static void add_content(struct duty *duty, const Poc__NoticeContent *content, json_t *json)
{
	size_t number = 0;

	json_object_set_new(json, "text", json_string(content->text));
	json_object_set_new(json, "content", content_view_json(content, &number));
	carried_json(duty, content, json, &number);
}

static void add_error(struct duty *duty, const struct desk_notice *n, int status, json_t *json)
{
	char id[NOTICE_ID_TEXT];

	duty_id(&n->notice->id, id);
	cli_note(duty->cli, tr("notice %s: %s"), id, client_why(duty->poc)->message);
	json_object_set_new(json, "error", duty_error_json(duty, status));
}

static json_t *notice_event(struct watching *w, const struct desk *desk, const struct desk_entry *entry)
{
	struct notice *notice;
	Poc__Inner *inner = NULL;

	if (notice_parse(entry->item, entry->size, &notice, NULL) != 0)
		return NULL;
	const struct desk_notice *n = desk_find(desk, &notice->id);
	notice_destroy(notice);
	if (n == NULL)
		return NULL;
	int status = w->headers ? 0 : duty_open_notice(w->duty, desk, n, &inner);
	/* a connection that broke just now: it is shown whole by the next one, not without its words by this one */
	w->interrupted = !w->once && passing(status) ? status : 0;
	json_t *json = duty_notice_json(w->duty, desk, n, inner);
	json_object_set_new(json, "event", json_string(n->side == SIDE_FROM ? "sent" : "notice"));
	if (inner != NULL)
		add_content(w->duty, inner->content, json);
	else if (status != 0 && w->interrupted == 0)
		add_error(w->duty, n, status, json);
	message_free(inner);
	return json;
}

static json_t *event_of(struct watching *w, const struct desk *desk, const struct desk_entry *entry)
{
	json_t *json = entry->fact ? fact_event(desk, entry) : receipt_event(desk, entry);

	if (json == NULL && !entry->fact)
		json = notice_event(w, desk, entry);
	if (json == NULL)
		json = json_pack("{s:s,s:b}", "event", "unreadable", "verified", 0);
	json_object_set_new(json, "schema", json_string("poc.notice-watch/1"));
	json_object_set_new(json, "cursor", json_integer((json_int_t)entry->cursor));
	json_object_set_new(json, "desk",
			    json_pack("{s:s,s:s}", "place", desk->id.place, "kind", poc_kind_name(desk->id.kind)));
	return json;
}

/* ---- The command */

/* Writes what the command may not read to its end: a closed pipe is its own business. */
static bool feed(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		ssize_t n = write(fd, text, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		left -= (size_t)n;
	}
	return true;
}

static void child(const char *command, int in, const char *event, const char *id)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(in, STDIN_FILENO);
	setenv("POC_EVENT", event, 1);
	setenv("POC_NOTICE", id, 1);
	signal(SIGPIPE, SIG_DFL);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

/* 0 when the command took the event. */
static int run(const struct watching *w, const json_t *json, const char *line)
{
	const char *event = json_string_value(json_object_get(json, "event"));
	const char *id = json_string_value(json_object_get(json, "id"));
	int ends[2], wait_status = 0;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -1;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		child(w->command, ends[0], event != NULL ? event : "", id != NULL ? id : "");
	close(ends[0]);
	if (pid > 0)
		(void)(feed(ends[1], line) && feed(ends[1], "\n")); /* a whole line, as read -r of the shell wants it */
	close(ends[1]);
	while (pid > 0 && waitpid(pid, &wait_status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0 ? 0 : -1;
}

/* Shows one event; moves on only when it has been taken. */
static int show_event(struct watching *w, size_t i, const struct desk_entry *entry)
{
	if (w->shown[i].taken)
		return move_cursor(w, i, entry);
	w->interrupted = 0;
	json_t *json = event_of(w, w->duty->desks[i], entry);
	if (w->interrupted != 0) {
		json_decref(json);
		return STATUS_UNREACHABLE;
	}
	char *raw = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	char *line = raw != NULL ? escape_json(raw) : NULL;
	int status = line != NULL ? 0 : cli_fail(w->duty->cli, STATUS_NO_MEMORY, tr("out of memory"));

	if (status == 0 && w->command != NULL && run(w, json, line) != 0) {
		cli_note(w->duty->cli, tr("the command did not take event %llu: it will be shown to it again"),
			 (unsigned long long)entry->cursor);
		status = STATUS_BUSY;
	} else if (status == 0 && w->command == NULL) {
		printf("%s\n", line);
		if (fflush(stdout) != 0) { /* which is said at the end, as of every command */
			w->duty->cli->failed = true;
			status = STATUS_IO;
		}
	}
	w->shown[i].taken = status == 0;
	if (status == 0)
		status = move_cursor(w, i, entry);
	free(raw);
	free(line);
	json_decref(json);
	return status;
}

/* Whoever ends us does so between events: none is shown without its cursor moving. */
static int show_whole(struct watching *w, size_t i, const struct desk_entry *entry)
{
	sigset_t ends, before;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_BLOCK, &ends, &before);
	int status = show_event(w, i, entry);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return status;
}

static int show_new(struct watching *w)
{
	for (size_t i = 0; i < w->duty->n_desks; i++) {
		const struct desk *desk = w->duty->desks[i];
		find_next(&w->shown[i], desk);
		while (w->shown[i].next < desk->n_entries) {
			int status = show_whole(w, i, &desk->entries[w->shown[i].next]);
			if (status != 0)
				return status;
		}
	}
	return 0;
}

/* ---- The loop */

static int sync_all(struct watching *w)
{
	int status = 0;

	if (outbox_waiting(w->duty->poc) > 0)
		duty_flush(w->duty, NULL, NULL);
	for (size_t i = 0; i < w->duty->n_desks && status == 0; i++)
		status = desk_sync(w->duty->poc, w->duty->desks[i]);
	return status;
}

static int watch_all(struct watching *w)
{
	int status = 0;

	for (size_t i = 0; i < w->duty->n_desks && status == 0; i++)
		status = client_watch(w->duty->poc, &w->duty->desks[i]->id);
	return status;
}

static void rest(struct watching *w)
{
	const struct timespec pause = {.tv_sec = w->pause_ms / 1000, .tv_nsec = (long)(w->pause_ms % 1000) * 1000000L};

	nanosleep(&pause, NULL);
	w->pause_ms = 2 * w->pause_ms < PAUSE_MOST_MS ? 2 * w->pause_ms : PAUSE_MOST_MS;
}

/* Until a connection fails.  One that died without a word is found dead at the next question, so at most EVENT_WAIT_MS
 * and the time limit of a call later. */
static int watch_on(struct watching *w)
{
	bool seen;
	int status = watch_all(w);
	unsigned connection = client_connection(w->duty->poc);

	while (status == 0) {
		/* after Watch, so that nothing can come between */
		status = sync_all(w);
		if (status == 0 && client_connection(w->duty->poc) != connection) {
			/* the old one was found dead and replaced on the way: the new one is not watched yet */
			rest(w);
			status = watch_all(w);
			connection = client_connection(w->duty->poc);
			continue;
		}
		if (status == 0)
			status = show_new(w);
		if (status == STATUS_BUSY) { /* the command or the disk, not the server */
			rest(w);
			status = 0;
			continue;
		}
		if (status != 0)
			return status;
		w->pause_ms = PAUSE_LEAST_MS;
		status = client_wait_event(w->duty->poc, EVENT_WAIT_MS, &seen);
	}
	return status;
}

static int watch_for_ever(struct watching *w)
{
	for (;;) {
		int status = watch_on(w);
		if (!passing(status))
			return duty_fail(w->duty, status);
		cli_note(w->duty->cli, tr("%s: trying again in %s"), client_why(w->duty->poc)->message,
			 span_text((w->pause_ms + 999) / 1000));
		client_disconnect(w->duty->poc);
		w->duty->cli->failed = false;
		rest(w);
	}
}

/* Without a server: what the local copies of the feeds have, and unless that was asked for, the status of a server that
 * is not there: who calls us from time to time would else never learn it. */
static int watch_once(struct watching *w)
{
	int status = w->duty->offline ? 0 : sync_all(w);

	if (status != 0)
		return duty_fail(w->duty, status);
	status = show_new(w);
	if (status == STATUS_BUSY)
		return cli_fail(w->duty->cli, STATUS_FAILED, tr("the command did not take the event"));
	if (status == 0 && w->duty->offline && !w->duty->cli->offline) {
		w->duty->cli->failed = true; /* said when it was opened */
		status = STATUS_UNREACHABLE;
	}
	return status;
}

int poc_cmd_notice_watch(struct cli *cli)
{
	struct duty duty;
	struct watching w = {.duty = &duty,
			     .name = cli_has(cli, "cursor") ? cli_value(cli, "cursor") : "default",
			     .command = cli->dry_run ? NULL : cli_value(cli, "exec"),
			     .headers = cli_has(cli, "headers") || cli->dry_run,
			     .once = cli_has(cli, "once"),
			     .pause_ms = PAUSE_LEAST_MS};

	if (!id_valid(w.name))
		return cli_fail(cli, STATUS_USAGE, tr("a cursor's name is [a-z0-9-], 1 to 40 characters"));
	if (cli->offline && !w.once)
		return cli_fail(cli, STATUS_USAGE, tr("watch asks a server: with --offline it needs --once"));
	signal(SIGPIPE, SIG_IGN);
	int status = duty_open(cli, &duty);
	if (status != 0)
		return status;
	int lock;
	status = lock_cursor(&w, &lock);
	for (size_t i = 0; i < duty.n_desks && status == 0; i++)
		status = read_cursor(&w, i);
	if (status == 0)
		status = w.once ? watch_once(&w) : watch_for_ever(&w);
	if (lock >= 0)
		close(lock);
	duty_close(&duty);
	return status;
}
