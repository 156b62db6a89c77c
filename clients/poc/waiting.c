#include "clients/poc/waiting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/strings.h"
#include "clients/libpoc/content.h"
#include "proto/wire/prescan.h"

void waiting_finish(struct waiting_notice *w)
{
	message_free(w->inner);
	notice_destroy(w->notice);
	*w = (struct waiting_notice){0};
}

/* We are among those whom it is encrypted to.  NULL: with none of these keys. */
static Poc__Inner *open_with(const struct link_keys *keys, const struct notice *notice,
			     const struct outbox_result *result)
{
	Poc__Inner *inner = NULL;

	for (size_t i = 0; i < keys->n && inner == NULL; i++)
		notice_open(notice, result->body.data, result->body.len, keys->keys[i], &inner, NULL);
	return inner;
}

struct walk {
	struct duty *duty;
	waiting_each each;
	void *ctx;
};

static void open_one(void *ctx, const struct outbox_result *result)
{
	struct walk *walk = ctx;
	struct waiting_notice w = {.since = result->since, .status = result->status, .refused = !result->waits};

	if (!result->is_notice || notice_parse(result->envelope.data, result->envelope.len, &w.notice, NULL) != 0)
		return;
	snprintf(w.why, sizeof w.why, "%s", result->message);
	w.inner = open_with(&walk->duty->keys, w.notice, result);
	walk->each(walk->ctx, &w);
	waiting_finish(&w);
}

void waiting_walk(struct duty *duty, waiting_each each, void *ctx)
{
	struct walk walk = {duty, each, ctx};

	outbox_list(duty->poc, open_one, &walk);
	outbox_refused(duty->poc, open_one, &walk);
}

struct finding {
	const char *prefix;
	size_t n;
	struct waiting_notice found;
};

static void find_one(void *ctx, struct waiting_notice *w)
{
	struct finding *f = ctx;

	if (!notice_id_matches(&w->notice->id, f->prefix))
		return;
	f->n++;
	waiting_finish(&f->found);
	f->found = *w;
	*w = (struct waiting_notice){0};
}

int waiting_find(struct duty *duty, const char *prefix, struct waiting_notice *out)
{
	struct finding f = {.prefix = prefix};

	waiting_walk(duty, find_one, &f);
	*out = f.found;
	if (f.n == 1)
		return 0;
	waiting_finish(out);
	return f.n == 0 ? STATUS_NOT_FOUND : STATUS_USAGE;
}

json_t *waiting_code(int status, const char *why)
{
	return why[0] != '\0' ? json_string(status_name(status)) : json_null();
}

/* ---- To be said anew */

static void put_text(json_t *form, const char *name, const char *value)
{
	if (value[0] != '\0')
		json_object_set_new(form, name, json_string(value));
}

/* The one kind that was said of all: the directory's staff is a coordinator whatever that was. */
static Poc__PocKind said_kind(const Poc__Core *core)
{
	for (size_t i = 0; i < core->n_to; i++) {
		if (strcmp(core->to[i]->place, STATE_DIRECTORY) != 0)
			return core->to[i]->kind;
	}
	return POC__POC_KIND__POC_KIND_COORDINATOR;
}

/* An escalation to another desk is to that of the first place. */
static void put_whom(json_t *form, const Poc__Core *core)
{
	const Poc__Desk *later = core->n_escalations > 0 ? core->escalations[0]->to : NULL;
	const Poc__PocKind kind = said_kind(core);
	json_t *to = json_array();

	for (size_t i = 0; i < core->n_to; i++) {
		const bool first = later != NULL && strcmp(core->to[i]->place, later->place) == 0;
		json_array_insert_new(to, first ? 0 : json_array_size(to), json_string(core->to[i]->place));
	}
	json_object_set_new(form, "to", to);
	put_text(form, "kind", poc_kind_name(kind));
	put_text(form, "exercise", core->exercise);
	if (later != NULL)
		put_text(form, "escalate", later->kind != kind ? poc_kind_name(later->kind) : later->place);
}

static bool is_note(const struct waiting_notice *w)
{
	return w->notice->core->category == POC__CATEGORY__CATEGORY_NOTE;
}

char *waiting_form(const struct waiting_notice *w)
{
	const Poc__Core *core = w->notice->core;

	if (w->inner == NULL || w->inner->content->forwarded.len > 0)
		return NULL;
	json_t *form = notice_content_to_json(w->inner->content);
	if (form == NULL)
		return NULL;
	if (core->answers.len == 0)
		put_whom(form, core);
	if (!is_note(w)) {
		put_text(form, "category", category_name(core->category));
		put_text(form, "urgency", urgency_name(core->urgency));
		put_text(form, "tlp", notice_tlp_name(core->tlp));
	}
	char *text = json_dumps(form, JSON_INDENT(2));
	json_decref(form);
	return text;
}

void waiting_command(const struct waiting_notice *w, char out[WAITING_COMMAND])
{
	const Poc__Core *core = w->notice->core;
	const bool forwards = w->inner != NULL && w->inner->content->forwarded.len > 0;
	const char *verb = core->answers.len == 0 ? "send" : forwards ? "forward" : is_note(w) ? "note" : "reply";
	char id[NOTICE_ID_TEXT] = "";
	struct notice_id of;

	if (core->answers.len == NOTICE_ID_SIZE) {
		memcpy(of.bytes, core->answers.data, NOTICE_ID_SIZE);
		notice_id_print(&of, id);
	}
	snprintf(out, WAITING_COMMAND, "poc notice %s%s%s%s", verb, id[0] != '\0' ? " " : "", id,
		 forwards              ? " --to PLACE"
		 : core->reply_by != 0 ? " --reply-by TIME"
				       : "");
}

/* ---- Lists */

struct listing {
	bool lines;
	json_t *list;
};

/* Of a notice: its places. */
static json_t *places_of(const struct outbox_result *result)
{
	json_t *to = json_array();
	struct notice *notice;

	if (!result->is_notice || notice_parse(result->envelope.data, result->envelope.len, &notice, NULL) != 0)
		return to;
	for (size_t i = 0; i < notice->core->n_to; i++)
		json_array_append_new(to, json_string(notice->core->to[i]->place));
	notice_destroy(notice);
	return to;
}

static json_t *desk_json(const char *place, Poc__PocKind kind)
{
	return json_pack("{s:s,s:s}", "place", place, "kind", poc_kind_name(kind));
}

/* That it is of; null of a damaged file. */
static json_t *desk_of(const struct outbox_result *result)
{
	json_t *desk = json_null();
	struct receipt *receipt;
	struct notice *notice;

	if (result->is_notice && notice_parse(result->envelope.data, result->envelope.len, &notice, NULL) == 0) {
		desk = desk_json(notice->core->from->place, notice->core->from->kind);
		notice_destroy(notice);
	} else if (result->step != 0 &&
		   receipt_parse(result->envelope.data, result->envelope.len, &receipt, NULL) == 0) {
		desk = desk_json(receipt->receipt->place, receipt->receipt->kind);
		receipt_destroy(receipt);
	}
	return desk;
}

static const char *what_of(const struct outbox_result *result)
{
	return result->is_notice ? "notice" : result->step != 0 ? step_name(result->step) : "damaged";
}

static void list_one(void *ctx, const struct outbox_result *result)
{
	struct listing *l = ctx;
	char id[NOTICE_ID_TEXT], what[DUTY_WHAT];
	const bool damaged = !result->is_notice && result->step == 0;

	notice_id_print(&result->id, id);
	duty_what(result, what);
	if (l->lines)
		cli_line(tr("%s%s%sin the outbox since %s: %s%s%s"), result->exercise[0] != '\0' ? tr("EXERCISE ") : "",
			 result->exercise, result->exercise[0] != '\0' ? ": " : "", time_text(result->since), what,
			 result->message[0] != '\0' ? ": " : "", result->message);
	json_array_append_new(
	    l->list, json_pack("{s:o,s:s,s:o,s:o,s:o,s:o,s:s,s:o,s:o}", "id", damaged ? json_null() : json_string(id),
			       "what", what_of(result), "desk", desk_of(result), "to", places_of(result), "exercise",
			       result->exercise[0] != '\0' ? json_string(result->exercise) : json_null(), "since",
			       cli_time_json(result->since), "file", result->name, "code",
			       waiting_code(result->status, result->message), "message",
			       result->message[0] != '\0' ? json_string(result->message) : json_null()));
}

json_t *waiting_list(struct cli *cli, struct poc *poc, bool lines)
{
	struct listing l = {lines && !cli->json, json_array()};

	if (l.list != NULL)
		outbox_list(poc, list_one, &l);
	return l.list;
}

static bool is_at(const json_t *one, const struct client_desk *desk)
{
	const char *place = NULL, *kind = NULL;

	return json_unpack((json_t *)one, "{s:{s:s,s:s}}", "desk", "place", &place, "kind", &kind) == 0 &&
	       strcmp(place, desk->place) == 0 && strcmp(kind, poc_kind_name(desk->kind)) == 0;
}

json_t *waiting_receipts(const json_t *list, const struct notice *notice, const struct client_desk *desk)
{
	json_t *out = json_array(), *each;
	char id[NOTICE_ID_TEXT];
	size_t i;

	duty_id(&notice->id, id);
	json_array_foreach(list, i, each)
	{
		const char *of = json_string_value(json_object_get(each, "id"));
		if (of != NULL && strcmp(of, id) == 0 && (desk == NULL || is_at(each, desk)) &&
		    strcmp(json_string_value(json_object_get(each, "what")), "notice") != 0)
			json_array_append(out, each);
	}
	return out;
}

char *waiting_since(const json_t *one)
{
	const char *why = json_string_value(json_object_get(one, "message"));
	char *text = NULL;

	return asprintf(&text, tr("%s, since %s: not stored yet%s%s"), json_string_value(json_object_get(one, "what")),
			json_string_value(json_object_get(one, "since")), why != NULL ? ": " : "",
			why != NULL ? why : "") < 0
		   ? NULL
		   : text;
}

/* ---- What was refused */

struct refusals {
	struct cli *cli;
	const struct link_keys *keys; /* NULL: not opened yet */
	struct link_keys own;
	json_t *list;
	int status;
};

/* A key that cannot be opened is no reason not to say what was refused. */
static const struct link_keys *keys_of(struct refusals *r)
{
	const bool failed = r->cli->failed;

	if (r->keys == NULL) {
		if (r->cli->conf.reading.n > 0)
			(void)link_keys_open(r->cli, &r->cli->conf.reading, "notices", &r->own);
		r->cli->failed = failed;
		r->keys = &r->own;
	}
	return r->keys;
}

static Poc__Inner *open_refused(struct refusals *r, const struct outbox_result *result)
{
	struct notice *notice;

	if (!result->is_notice || notice_parse(result->envelope.data, result->envelope.len, &notice, NULL) != 0)
		return NULL;
	Poc__Inner *inner = open_with(keys_of(r), notice, result);
	notice_destroy(notice);
	return inner;
}

static void tell_refused(const struct outbox_result *result, const Poc__Inner *inner, const char *what)
{
	struct notice *notice = NULL;
	char *to = NULL;

	if (result->is_notice && notice_parse(result->envelope.data, result->envelope.len, &notice, NULL) == 0)
		to = duty_recipients(notice);
	cli_line(tr("%s%s%srefused: %s%s%s%s%s%s: %s"), result->exercise[0] != '\0' ? tr("EXERCISE ") : "",
		 result->exercise, result->exercise[0] != '\0' ? ": " : "", what, inner != NULL ? ", \"" : "",
		 inner != NULL ? inner->content->subject : "", inner != NULL ? "\"" : "", to != NULL ? tr(", to ") : "",
		 to != NULL ? to : "", result->message);
	free(to);
	notice_destroy(notice);
}

static void list_refused(void *ctx, const struct outbox_result *result)
{
	struct refusals *r = ctx;
	char id[NOTICE_ID_TEXT], what[DUTY_WHAT];
	const bool damaged = !result->is_notice && result->step == 0;
	Poc__Inner *inner = open_refused(r, result);

	notice_id_print(&result->id, id);
	duty_what(result, what);
	if (r->status == 0)
		r->status = result->status;
	if (!r->cli->json)
		tell_refused(result, inner, what);
	if (r->list != NULL)
		json_array_append_new(
		    r->list,
		    json_pack("{s:o,s:s,s:o,s:o,s:s,s:o,s:s,s:s}", "id", damaged ? json_null() : json_string(id),
			      "what", what_of(result), "to", places_of(result), "subject",
			      inner != NULL ? json_string(inner->content->subject) : json_null(), "file", result->name,
			      "exercise", result->exercise[0] != '\0' ? json_string(result->exercise) : json_null(),
			      "code", status_name(result->status), "message", result->message));
	message_free(inner);
}

int waiting_refused(struct cli *cli, struct poc *poc, const struct link_keys *keys, json_t *list)
{
	struct refusals r = {.cli = cli, .keys = keys, .list = list};

	outbox_refused(poc, list_refused, &r);
	link_keys_close(&r.own);
	if (r.status != 0 && !cli->json)
		cli_line(tr("(refused ones were not sent; poc notice show ID has what one says, poc notice flush "
			    "--discard ID forgets it)"));
	return r.status;
}
