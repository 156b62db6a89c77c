/* Reading a notice, and writing its attachments to files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clients/cli/strings.h"
#include "clients/libpoc/content.h"
#include "clients/poc/duty.h"
#include "clients/poc/notice.h"
#include "clients/poc/parties.h"
#include "clients/poc/story_view.h"
#include "clients/poc/waiting.h"
#include "proto/wire/prescan.h"
#include "proto/wire/utf8.h"

enum { INNER_FIELDS = 4096, FORWARDED_DEPTH = 8 };

/* ---- Content */

static void line_if(const char *label, const char *value)
{
	if (value[0] != '\0')
		cli_line("%-14s %s", label, value);
}

static void lines_if(const char *label, const char *value)
{
	char padded[64];

	if (value[0] == '\0')
		return;
	snprintf(padded, sizeof padded, "%-14s ", label);
	cli_lines(padded, value);
}

static void print_facts(const Poc__NoticeContent *c, bool ours)
{
	if (c->template_version != 0)
		cli_line(tr("%-14s %s, version %llu"), tr("template"), c->template_,
			 (unsigned long long)c->template_version);
	else
		line_if(tr("template"), c->template_);
	if (c->rsit_class[0] != '\0')
		cli_line("%-14s %s%s%s", tr("class"), c->rsit_class, c->rsit_version[0] != '\0' ? ", RSIT " : "",
			 c->rsit_version);
	if (c->stage != 0)
		line_if(tr("stage"), stage_name(c->stage));
	line_if(tr("language"), c->language);
	line_if(tr("sector"), c->sector);
	if (c->critical_infrastructure)
		cli_line("%-14s %s", tr("infrastructure"), tr("critical"));
	if (c->started != 0)
		line_if(tr("started"), time_text(c->started));
	if (c->detected != 0)
		line_if(tr("detected"), time_text(c->detected));
	for (size_t i = 0; i < c->n_states; i++)
		line_if(i == 0 ? tr("affected") : "", c->states[i]);
	if (c->cross_border)
		cli_line("%-14s %s", tr("cross-border"), tr("yes"));
	if (c->malicious)
		cli_line("%-14s %s", tr("malicious"), tr("suspected"));
	lines_if(tr("assistance"), c->assistance);
	line_if(tr("reply channel"), c->reply_channel);
	line_if(ours ? tr("our ref") : tr("their ref"), c->our_reference);
	line_if(tr("earlier"), c->earlier_contact);
	for (size_t i = 0; i < c->n_indicators; i++)
		cli_line("%-14s %s %s  %s", i == 0 ? tr("indicators") : "", c->indicators[i]->type,
			 c->indicators[i]->value, c->indicators[i]->note);
	for (size_t i = 0; i < c->n_fields; i++)
		lines_if(c->fields[i]->name, c->fields[i]->value);
}

/* ours: we sent it. */
static void print_content(const Poc__NoticeContent *c, bool ours)
{
	cli_line("%-14s %s", tr("subject"), c->subject);
	print_facts(c, ours);
	if (c->text[0] != '\0') {
		cli_line("%s", "");
		cli_lines("  ", c->text);
		cli_line("%s", "");
	}
	for (size_t i = 0; i < c->n_attachments; i++)
		cli_line(tr("attachment %zu   %s (%zu bytes)"), i + 1, c->attachments[i]->name,
			 c->attachments[i]->data.len);
}

static json_t *content_json(const Poc__NoticeContent *content)
{
	json_t *json = notice_content_to_json(content), *each;
	size_t i;

	if (json == NULL)
		return NULL;
	json_object_del(json, "forwarded");
	json_array_foreach(json_object_get(json, "attachments"), i, each)
	{
		json_object_del(each, "data");
		json_object_set_new(each, "size", json_integer((json_int_t)content->attachments[i]->data.len));
	}
	return json;
}

/* ---- What a notice forwards */

static void print_forwarded(struct duty *duty, const struct story *story, const struct verified_head *head,
			    const Poc__NoticeContent *content)
{
	cli_line("%s", tr("---- forwarded, with its proofs:"));
	story_view_print(story, head);
	if (content != NULL && notice_content_check(content, NULL) == 0)
		print_content(content, strcmp(story->notice->core->from->place, conf_place(&duty->cli->conf)) == 0);
}

/* Its proofs, and the content under the hash that its sender signed; so what that forwards in turn. */
static json_t *show_forwarded(struct duty *duty, const Poc__NoticeContent *content, unsigned depth)
{
	struct prescan_limits limits = {.depth = 4, .fields = INNER_FIELDS, .memory = 4 * 1024 * 1024};
	struct story *story;
	struct verified_head *head;
	ProtobufCMessage *inner = NULL;
	json_t *json = NULL;

	if (content->forwarded.len == 0)
		return NULL;
	if (depth == FORWARDED_DEPTH) {
		cli_note(duty->cli, tr("it forwards more, which is not shown: it was passed on too often"));
		return NULL;
	}
	if (client_verify_story(duty->poc, content->forwarded.data, content->forwarded.len, &story, &head) != 0) {
		cli_note(duty->cli, tr("the forwarded notice does not verify: %s"), client_why(duty->poc)->message);
		return json_pack("{s:b}", "verified", 0);
	}
	const ProtobufCBinaryData *body = &story->message->body;
	message_decode(&poc__inner__descriptor, body->data, body->len, &limits, &inner, NULL);
	const Poc__NoticeContent *of = inner != NULL ? ((Poc__Inner *)inner)->content : NULL;
	if (!duty->cli->json)
		print_forwarded(duty, story, head, of);
	else if ((json = story_view_json(story, head)) != NULL) {
		if (of != NULL)
			json_object_set_new(json, "content", content_json(of));
		json_object_set_new(json, "verified", json_true());
	}
	json_t *further = of != NULL ? show_forwarded(duty, of, depth + 1) : NULL;
	if (further != NULL)
		json_object_set_new(json, "forwarded", further);
	message_free(inner);
	story_destroy(story);
	verified_head_unref(head);
	return json;
}

/* ---- show */

/* It has come to the desk, and nobody there has said yet what they do about it. */
static bool waits_at(const struct duty_at *at)
{
	return desk_own_party(at->desk, at->notice) != NULL &&
	       desk_step(at->desk, at->notice) < POC__STEP__STEP_ACCEPTED;
}

/* How far each of several desks of ours is with it. */
static void print_own(const struct duty_at *at, size_t n)
{
	for (size_t i = 0; i < n && n > 1; i++) {
		const struct desk_notice *notice = at[i].notice;
		cli_line("%-14s %s %s: %s%s%s%s", i == 0 ? tr("our desks") : "", at[i].desk->id.place,
			 poc_kind_name(at[i].desk->id.kind), step_name(desk_step(at[i].desk, notice)),
			 waits_at(&at[i]) ? tr(", waits") : "", notice->taken_by[0] != '\0' ? tr(", taken by ") : "",
			 notice->taken_by);
	}
}

static json_t *own_json(const struct duty_at *at, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		const char *taken_by = at[i].notice->taken_by;
		json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:b,s:b,s:o}", "place", at[i].desk->id.place,
						      "kind", poc_kind_name(at[i].desk->id.kind), "step",
						      step_name(desk_step(at[i].desk, at[i].notice)), "open",
						      (int)desk_is_open(at[i].desk, at[i].notice), "waits",
						      (int)waits_at(&at[i]), "taken_by",
						      taken_by[0] != '\0' ? json_string(taken_by) : json_null()));
	}
	return list;
}

/* at: our desks that have it, the first one that which shows it. */
static void print_header(const struct duty *duty, const struct duty_at *at, size_t n_at)
{
	const struct desk *desk = at[0].desk;
	const struct desk_notice *n = at[0].notice;
	const Poc__Core *core = n->notice->core;
	char id[NOTICE_ID_TEXT], thread[NOTICE_ID_TEXT];

	duty_id(&n->notice->id, id);
	duty_id(&n->notice->thread, thread);
	cli_line("%-14s %s", tr("notice"), id);
	if (memcmp(n->notice->id.bytes, n->notice->thread.bytes, NOTICE_ID_SIZE) != 0)
		cli_line("%-14s %s", tr("thread"), thread);
	cli_line(n->good ? tr("%-14s %s %s, signed by %s")
			 : tr("%-14s %s %s, NOT VERIFIED: the signature is not that of %s"),
		 tr("from"), core->from->place, poc_kind_name(core->from->kind), core->handle);
	parties_print(n, client_now(duty->poc));
	print_own(at, n_at);
	cli_line("%-14s %s, %s, %s", tr("category"), category_name(core->category), urgency_name(core->urgency),
		 notice_tlp_name(core->tlp));
	cli_line("%-14s %s", tr("created"), time_text(core->created));
	if (core->reply_by != 0)
		cli_line("%-14s %s%s", tr("answer by"), time_text(core->reply_by),
			 desk_overdue(desk, n, client_now(duty->poc)) ? tr("  OVERDUE") : "");
	if (desk_sender_closed(n) != 0)
		cli_line(tr("%-14s by its sender, %s"), tr("closed"), time_text(desk_sender_closed(n)));
	if (n->taken_by[0] != '\0' && n_at == 1)
		cli_line("%-14s %s, %s", tr("taken by"), n->taken_by, time_text(n->taken_at));
}

/* ---- What waits in the outbox */

static json_t *waiting_json(const struct waiting_notice *w)
{
	const Poc__Core *core = w->notice->core;
	char id[NOTICE_ID_TEXT], thread[NOTICE_ID_TEXT];
	json_t *to = json_array();

	duty_id(&w->notice->id, id);
	duty_id(&w->notice->thread, thread);
	for (size_t i = 0; i < core->n_to; i++)
		json_array_append_new(to, json_string(core->to[i]->place));
	json_t *json =
	    json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "id", id, "thread", thread,
		      "from", core->from->place, "from_kind", poc_kind_name(core->from->kind), "handle", core->handle,
		      "to", to, "category", category_name(core->category), "urgency", urgency_name(core->urgency),
		      "tlp", notice_tlp_name(core->tlp), "created", cli_time_json(core->created), "reply_by",
		      cli_time_json(core->reply_by), "exercise",
		      core->exercise[0] != '\0' ? json_string(core->exercise) : json_null(), "in_outbox_since",
		      cli_time_json(w->since), "step", json_null(), "subject",
		      w->inner != NULL ? json_string(w->inner->content->subject) : json_null(), "text",
		      w->inner != NULL ? json_string(w->inner->content->text) : json_null());
	json_object_set_new(json, "in_outbox_code", waiting_code(w->status, w->why));
	json_object_set_new(json, "in_outbox_message", w->why[0] != '\0' ? json_string(w->why) : json_null());
	if (json != NULL && w->inner != NULL)
		json_object_set_new(json, "content", content_json(w->inner->content));
	return json;
}

static void print_waiting(const struct waiting_notice *w)
{
	const Poc__Core *core = w->notice->core;
	char id[NOTICE_ID_TEXT], thread[NOTICE_ID_TEXT];

	duty_id(&w->notice->id, id);
	duty_id(&w->notice->thread, thread);
	duty_exercise_line(w->notice);
	cli_line("%-14s %s", tr("notice"), id);
	cli_line(tr("%-14s since %s: not stored yet, the next command that reaches a server sends it"),
		 tr("in the outbox"), time_text(w->since));
	line_if(tr("waits"), w->why);
	if (strcmp(id, thread) != 0)
		cli_line("%-14s %s", tr("thread"), thread);
	cli_line(tr("%-14s %s %s, signed by %s"), tr("from"), core->from->place, poc_kind_name(core->from->kind),
		 core->handle);
	for (size_t i = 0; i < core->n_to; i++)
		cli_line("%-14s %s %s", tr("to"), core->to[i]->place, poc_kind_name(core->to[i]->kind));
	cli_line("%-14s %s, %s, %s", tr("category"), category_name(core->category), urgency_name(core->urgency),
		 notice_tlp_name(core->tlp));
	cli_line("%-14s %s", tr("created"), time_text(core->created));
	if (core->reply_by != 0)
		cli_line("%-14s %s", tr("answer by"), time_text(core->reply_by));
	if (w->inner != NULL)
		print_content(w->inner->content, true);
	duty_exercise_line(w->notice);
}

/* Whether it was one that waits, and none that the desks have. */
static bool show_waiting(struct duty *duty)
{
	struct waiting_notice w;
	bool stored = false;

	if (waiting_find(duty, duty->cli->argv[0], &w) != 0)
		return false;
	for (size_t i = 0; i < duty->n_desks; i++)
		stored = stored || desk_find(duty->desks[i], &w.notice->id) != NULL;
	if (!stored && duty->cli->json)
		cli_document(duty->cli, "poc.notice-show/1", waiting_json(&w));
	else if (!stored)
		print_waiting(&w);
	waiting_finish(&w);
	return !stored;
}

/* What is read is delivered to each of the desks that it is read for. */
static void deliver_further(struct duty *duty, const struct duty_at *at, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		Poc__Inner *inner;
		if (duty_open_notice(duty, at[i].desk, at[i].notice, &inner) == 0)
			message_free(inner);
	}
}

static int show_notice(struct duty *duty)
{
	struct duty_at at[DUTY_DESKS];
	Poc__Inner *inner = NULL;
	Poc__PocKind kind;
	size_t n_at;
	int status = duty_kind(duty->cli, &kind);

	if (status == 0 && show_waiting(duty))
		return 0;
	if (status == 0)
		status = duty_desks(duty, duty->cli->argv[0], kind, at, &n_at);
	if (status != 0)
		return status;
	const struct desk *desk = at[0].desk;
	const struct desk_notice *n = at[0].notice;
	deliver_further(duty, at, n_at);
	int opened = duty_open_notice(duty, desk, n, &inner);
	char reason[400];
	snprintf(reason, sizeof reason, "%s", client_why(duty->poc)->message);
	if (duty->cli->json && opened == 0) {
		json_t *json = duty_notice_json(duty, desk, n, inner);
		json_object_set_new(json, "content", content_json(inner->content));
		json_object_set_new(json, "text", json_string(inner->content->text));
		json_object_set_new(json, "desks", own_json(at, n_at));
		json_t *forwarded = show_forwarded(duty, inner->content, 0);
		if (forwarded != NULL)
			json_object_set_new(json, "forwarded", forwarded);
		cli_document(duty->cli, "poc.notice-show/1", json);
	} else if (!duty->cli->json) {
		duty_exercise_line(n->notice);
		print_header(duty, at, n_at);
		if (inner != NULL) {
			print_content(inner->content, n->side == SIDE_FROM);
			json_decref(show_forwarded(duty, inner->content, 0));
		}
		duty_exercise_line(n->notice);
	}
	message_free(inner);
	return opened == 0 ? 0 : cli_fail(duty->cli, opened, "%s", reason);
}

static int show_file(struct cli *cli)
{
	struct refusal why = {0};
	struct poc *poc;
	size_t size;
	char *bytes = cli_read_file(cli->argv[0], STORY_MAX, &size, &why);

	if (bytes == NULL)
		return cli_refused(cli, &why);
	int status = link_open(cli, false, &poc);
	if (status == 0)
		status = story_view_file(cli, poc, (const uint8_t *)bytes, size, 0);
	link_close(cli, poc);
	free(bytes);
	return status;
}

int poc_cmd_notice_show(struct cli *cli)
{
	struct duty duty;

	if (access(cli->argv[0], F_OK) == 0)
		return show_file(cli);
	int status = duty_open(cli, &duty);
	if (status != 0)
		return status;
	status = show_notice(&duty);
	duty_close(&duty);
	return status;
}

/* ---- save */

enum { SAFE_NAME_MAX = 200, NUMBERS_MAX = 1000 };

/* A name that is safe below any folder: no slash, no leading dot or hyphen, nothing that a terminal or shell could
 * trip over; UTF-8 letters stay. */
static void safe_name(const char *name, size_t number, char out[SAFE_NAME_MAX + 1])
{
	size_t used = 0, left = strlen(name);
	uint32_t cp;

	for (size_t n; left > 0 && used + 4 < SAFE_NAME_MAX; name += n, left -= n) {
		n = utf8_next(name, left, &cp);
		if (n == 0)
			n = 1;
		bool good = cp >= 0x80 || (cp >= '0' && cp <= '9') || (cp >= 'A' && cp <= 'Z') ||
			    (cp >= 'a' && cp <= 'z') || (used > 0 && (cp == '.' || cp == '-')) || cp == '_';
		if (good)
			memcpy(out + used, name, n);
		else
			out[used] = '_';
		used += good ? n : 1;
	}
	out[used] = '\0';
	if (used == 0)
		snprintf(out, SAFE_NAME_MAX, "attachment-%zu", number);
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

static int save_one(struct duty *duty, int folder, const Poc__Attachment *attachment, size_t number, json_t *list)
{
	char safe[SAFE_NAME_MAX + 1], name[SAFE_NAME_MAX + 20];

	safe_name(attachment->name, number, safe);
	if (duty->cli->dry_run) {
		if (duty->cli->json)
			json_array_append_new(list, json_pack("{s:s,s:s,s:I}", "name", attachment->name, "file", safe,
							      "size", (json_int_t)attachment->data.len));
		else
			cli_line(tr("would be written: %s/%s  %zu"), duty->cli->argv[1], safe, attachment->data.len);
		return 0;
	}
	int fd = create_free(folder, safe, name);
	if (fd < 0)
		return cli_fail(duty->cli, STATUS_IO, "%s/%s: %s", duty->cli->argv[1], name, strerror(errno));
	int written = write_whole(fd, &attachment->data), error = errno;
	if (close(fd) != 0 || written != 0) {
		unlinkat(folder, name, 0);
		return cli_fail(duty->cli, STATUS_IO, "%s/%s: %s", duty->cli->argv[1], name, strerror(error));
	}
	if (duty->cli->json)
		json_array_append_new(list, json_pack("{s:s,s:s,s:I}", "name", attachment->name, "file", name, "size",
						      (json_int_t)attachment->data.len));
	else
		cli_line("%s/%s  %zu", duty->cli->argv[1], name, attachment->data.len);
	return 0;
}

static int save_all(struct duty *duty, const Poc__NoticeContent *content, const char *id, const char *exercise)
{
	json_t *list = json_array();
	int status = 0, folder = open(duty->cli->argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (folder < 0)
		status = cli_fail(duty->cli, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "%s: %s",
				  duty->cli->argv[1], strerror(errno));
	for (size_t i = 0; i < content->n_attachments && status == 0; i++)
		status = save_one(duty, folder, content->attachments[i], i + 1, list);
	if (folder >= 0)
		close(folder);
	if (status == 0 && duty->cli->json)
		cli_document(duty->cli, "poc.notice-save/1",
			     json_pack("{s:s,s:o,s:O,s:b}", "id", id, "exercise",
				       exercise[0] != '\0' ? json_string(exercise) : json_null(), "files", list,
				       "dry_run", (int)duty->cli->dry_run));
	else if (status == 0 && content->n_attachments == 0)
		cli_note(duty->cli, tr("it has no attachments"));
	if (status == 0 && duty->cli->dry_run)
		cli_note(duty->cli, tr("dry run: nothing was written"));
	json_decref(list);
	return status;
}

int poc_cmd_notice_save(struct cli *cli)
{
	struct desk_notice *n;
	struct desk *desk;
	struct duty duty;
	Poc__Inner *inner = NULL;
	char id[NOTICE_ID_TEXT];
	int status = duty_open(cli, &duty);

	if (status != 0)
		return status;
	status = duty_find(&duty, cli->argv[0], &desk, &n);
	if (status == 0 && (status = duty_open_notice(&duty, desk, n, &inner)) != 0)
		duty_fail(&duty, status);
	if (status == 0) {
		duty_id(&n->notice->id, id);
		if (!cli->json)
			duty_exercise_line(n->notice);
		status = save_all(&duty, inner->content, id, n->notice->core->exercise);
	}
	message_free(inner);
	duty_close(&duty);
	return status;
}
