#include "clients/poc/waiting.h"

#include <stdio.h>

#include "clients/cli/strings.h"
#include "proto/wire/prescan.h"

void waiting_finish(struct waiting_notice *w)
{
	message_free(w->inner);
	notice_destroy(w->notice);
	*w = (struct waiting_notice){0};
}

struct walk {
	struct duty *duty;
	waiting_each each;
	void *ctx;
};

/* We are among those whom it is encrypted to. */
static void open_one(void *ctx, const struct outbox_result *result)
{
	struct walk *walk = ctx;
	struct waiting_notice w = {.since = result->since, .status = result->status};

	if (!result->is_notice || notice_parse(result->envelope.data, result->envelope.len, &w.notice, NULL) != 0)
		return;
	snprintf(w.why, sizeof w.why, "%s", result->message);
	for (size_t i = 0; i < walk->duty->keys.n && w.inner == NULL; i++)
		notice_open(w.notice, result->body.data, result->body.len, walk->duty->keys.keys[i], &w.inner, NULL);
	walk->each(walk->ctx, &w);
	waiting_finish(&w);
}

void waiting_walk(struct duty *duty, waiting_each each, void *ctx)
{
	struct walk walk = {duty, each, ctx};

	outbox_list(duty->poc, open_one, &walk);
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
	json_array_append_new(l->list,
			      json_pack("{s:o,s:s,s:o,s:o,s:o,s:s,s:o,s:o}", "id",
					damaged ? json_null() : json_string(id), "what",
					damaged             ? "damaged"
					: result->is_notice ? "notice"
							    : step_name(result->step),
					"to", places_of(result), "exercise",
					result->exercise[0] != '\0' ? json_string(result->exercise) : json_null(),
					"since", cli_time_json(result->since), "file", result->name, "code",
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
