/* Writing a notice's attachments, and those of what it carries, to files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clients/cli/strings.h"
#include "clients/poc/carried.h"
#include "clients/poc/notice.h"
#include "clients/poc/waiting.h"
#include "proto/wire/prescan.h"
#include "proto/wire/utf8.h"

enum { NAME_BYTES = 4 * 120, SAFE_NAME_MAX = 200, ENDING_MAX = 20, NUMBERS_MAX = 1000 };

/* Cuts a name that is too long for many file systems before its ending, between two characters. */
static void cut_name(const char *whole, char out[SAFE_NAME_MAX + 1])
{
	const char *ending = strrchr(whole, '.');
	size_t left = ending != NULL && ending != whole ? strlen(ending) : 0;

	if (left == 0 || left > ENDING_MAX) {
		ending = "";
		left = 0;
	}
	size_t stem = strlen(whole) - left;
	if (stem > SAFE_NAME_MAX - left) {
		stem = SAFE_NAME_MAX - left;
		while (stem > 0 && ((unsigned char)whole[stem] & 0xC0) == 0x80)
			stem--;
	}
	snprintf(out, SAFE_NAME_MAX + 1, "%.*s%s", (int)stem, whole, ending);
}

/* A name that is safe below any folder: no slash, no leading dot or hyphen, nothing that a terminal or shell could
 * trip over; UTF-8 letters stay. */
static void safe_name(const char *name, size_t number, char out[SAFE_NAME_MAX + 1])
{
	char whole[NAME_BYTES + 1] = "";
	size_t used = 0, left = strlen(name);
	uint32_t cp;

	for (size_t n; left > 0 && used + 4 <= NAME_BYTES; name += n, left -= n) {
		n = utf8_next(name, left, &cp);
		if (n == 0)
			n = 1;
		bool good = cp >= 0x80 || (cp >= '0' && cp <= '9') || (cp >= 'A' && cp <= 'Z') ||
			    (cp >= 'a' && cp <= 'z') || (used > 0 && (cp == '.' || cp == '-')) || cp == '_';
		if (good)
			memcpy(whole + used, name, n);
		else
			whole[used] = '_';
		used += good ? n : 1;
	}
	whole[used] = '\0';
	if (used == 0)
		snprintf(whole, sizeof whole, "attachment-%zu", number);
	cut_name(whole, out);
}

/* "a.txt", then "a-2.txt", "a-3.txt": the first that is free. */
static int create_free(int folder, const char *name, char out[SAFE_NAME_MAX + 20])
{
	const char *dot = strrchr(name, '.');
	int stem = dot != NULL && dot != name ? (int)(dot - name) : (int)strlen(name);

	for (int i = 1; i < NUMBERS_MAX; i++) {
		if (i == 1)
			snprintf(out, SAFE_NAME_MAX + 20, "%s", name);
		else
			snprintf(out, SAFE_NAME_MAX + 20, "%.*s-%d%s", stem, name, i, name + stem);
		int fd = openat(folder, out, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0 || errno != EEXIST)
			return fd;
	}
	return -1;
}

static int write_whole(int fd, const ProtobufCBinaryData *data)
{
	for (size_t at = 0; at < data->len;) {
		ssize_t n = write(fd, data->data + at, data->len - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += (size_t)n;
	}
	return fsync(fd);
}

/* ---- One of them */

struct saving {
	struct duty *duty;
	int folder;
	size_t number;               /* of the attachment at hand, as show counts them */
	char notice[NOTICE_ID_TEXT]; /* whose it is */
	bool carried;                /* that is not the notice itself */
	json_t *list;
};

static void tell_saved(struct saving *s, const Poc__Attachment *attachment, const char *file)
{
	const struct cli *cli = s->duty->cli;

	if (cli->json)
		json_array_append_new(s->list, json_pack("{s:I,s:s,s:s,s:I,s:s}", "number", (json_int_t)s->number,
							 "name", attachment->name, "file", file, "size",
							 (json_int_t)attachment->data.len, "notice", s->notice));
	else
		cli_line("%s%s/%s  %zu%s%s", cli->dry_run ? tr("would be written: ") : "", cli->argv[1], file,
			 attachment->data.len, s->carried ? tr(", of notice ") : "", s->carried ? s->notice : "");
}

static int save_one(struct saving *s, const Poc__Attachment *attachment)
{
	char safe[SAFE_NAME_MAX + 1], name[SAFE_NAME_MAX + 20];
	struct cli *cli = s->duty->cli;

	s->number++;
	safe_name(attachment->name, s->number, safe);
	if (cli->dry_run) {
		tell_saved(s, attachment, safe);
		return 0;
	}
	int fd = create_free(s->folder, safe, name);
	if (fd < 0)
		return cli_fail(cli, STATUS_IO, "%s/%s: %s", cli->argv[1], name, strerror(errno));
	int written = write_whole(fd, &attachment->data), error = errno;
	if (close(fd) != 0 || written != 0) {
		unlinkat(s->folder, name, 0);
		return cli_fail(cli, STATUS_IO, "%s/%s: %s", cli->argv[1], name, strerror(error));
	}
	tell_saved(s, attachment, name);
	return 0;
}

/* ---- All of them */

static int save_content(struct saving *s, const struct notice_id *id, const Poc__NoticeContent *content)
{
	int status = 0;

	duty_id(id, s->notice);
	for (size_t i = 0; content != NULL && i < content->n_attachments && status == 0; i++)
		status = save_one(s, content->attachments[i]);
	return status;
}

static int save_carried(void *ctx, const struct carried *carried)
{
	struct saving *s = ctx;

	s->carried = true;
	return save_content(s, &carried->story->notice->id, carried->content);
}

/* What could be saved is; what does not verify is named, and its status is the command's. */
static int save_all(struct saving *s, const struct notice *notice, const Poc__NoticeContent *content)
{
	struct cli *cli = s->duty->cli;
	int status = save_content(s, &notice->id, content);

	if (status != 0)
		return status;
	status = carried_walk(s->duty, content, save_carried, s);
	if (status != 0 && !cli->failed) {
		cli_alert(cli, tr("attachments of a forwarded notice are not saved: %s"),
			  client_why(s->duty->poc)->message);
		cli->failed = true;
	} else if (status == 0 && s->number == 0 && !cli->json) {
		cli_note(cli, tr("it has no attachments"));
	}
	return status;
}

/* What the outbox has and nobody else: as a form too, to be sent anew. */
static int save_form(struct saving *s, const struct waiting_notice *w)
{
	char name[NOTICE_ID_TEXT + sizeof ".json"], *form = w->refused ? waiting_form(w) : NULL;
	Poc__Attachment as = POC__ATTACHMENT__INIT;

	if (form == NULL)
		return 0;
	duty_id(&w->notice->id, s->notice);
	snprintf(name, sizeof name, "%s.json", s->notice);
	as.name = name;
	as.data = (ProtobufCBinaryData){strlen(form), (uint8_t *)form};
	const int status = save_one(s, &as);
	free(form);
	return status;
}

/* w: where the outbox has it, or NULL. */
static int save(struct duty *duty, const struct notice *notice, const Poc__NoticeContent *content,
		const struct waiting_notice *w)
{
	struct cli *cli = duty->cli;
	struct saving s = {
	    .duty = duty, .folder = open(cli->argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC), .list = json_array()};
	const char *exercise = notice->core->exercise;
	char id[NOTICE_ID_TEXT];
	int status = s.folder >= 0 ? save_all(&s, notice, content)
				   : cli_fail(cli, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "%s: %s",
					      cli->argv[1], strerror(errno));

	if (status == 0 && w != NULL)
		status = save_form(&s, w);
	if (s.folder >= 0)
		close(s.folder);
	duty_id(&notice->id, id);
	const bool partly = status == STATUS_UNVERIFIED || status == STATUS_TOO_LARGE;
	json_t *error = partly && cli->json ? duty_error_json(s.duty, status) : NULL;
	if (cli->json && (status == 0 || partly))
		cli_document(cli, "poc.notice-save/1",
			     json_pack("{s:s,s:o,s:O,s:b,s:o*}", "id", id, "exercise",
				       exercise[0] != '\0' ? json_string(exercise) : json_null(), "files", s.list,
				       "dry_run", (int)cli->dry_run, "error", error));
	if (status == 0 && cli->dry_run)
		cli_note(cli, tr("dry run: nothing was written"));
	json_decref(s.list);
	return status;
}

static int save_waiting(struct duty *duty, const struct waiting_notice *w)
{
	if (w->inner == NULL)
		return cli_fail(duty->cli, STATUS_DENIED, tr("no reading key of ours opens it"));
	if (!duty->cli->json)
		duty_exercise_line(w->notice);
	return save(duty, w->notice, w->inner->content, w);
}

int poc_cmd_notice_save(struct cli *cli)
{
	struct waiting_notice waiting = {0};
	struct desk_notice *n;
	struct desk *desk;
	struct duty duty;
	Poc__Inner *inner = NULL;
	int status = duty_open(cli, &duty);

	if (status != 0)
		return status;
	if (waiting_find(&duty, cli->argv[0], &waiting) == 0) {
		status = save_waiting(&duty, &waiting);
		waiting_finish(&waiting);
		duty_close(&duty);
		return status;
	}
	status = duty_find(&duty, cli->argv[0], &desk, &n);
	if (status == 0 && (status = duty_open_notice(&duty, desk, n, &inner)) != 0)
		duty_fail(&duty, status);
	if (status == 0) {
		if (!cli->json)
			duty_exercise_line(n->notice);
		status = save(&duty, n->notice, inner->content, NULL);
	}
	message_free(inner);
	duty_close(&duty);
	return status;
}
