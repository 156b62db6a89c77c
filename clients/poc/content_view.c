#include "clients/poc/content_view.h"

#include <stdio.h>

#include "clients/cli/strings.h"
#include "clients/libpoc/content.h"
#include "clients/poc/duty.h"

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

void content_view_print(const Poc__NoticeContent *c, bool ours, size_t *number)
{
	cli_line("%-14s %s", tr("subject"), c->subject);
	print_facts(c, ours);
	if (c->text[0] != '\0') {
		cli_line("%s", "");
		cli_lines("  ", c->text);
		cli_line("%s", "");
	}
	for (size_t i = 0; i < c->n_attachments; i++)
		cli_line(tr("attachment %zu   %s (%zu bytes)"), ++*number, c->attachments[i]->name,
			 c->attachments[i]->data.len);
}

json_t *content_view_json(const Poc__NoticeContent *content, size_t *number)
{
	json_t *json = notice_content_to_json(content), *each;
	size_t i;

	if (json == NULL)
		return NULL;
	json_object_del(json, "forwarded");
	json_array_foreach(json_object_get(json, "attachments"), i, each)
	{
		json_object_del(each, "data");
		json_object_set_new(each, "number", json_integer((json_int_t)++ * number));
		json_object_set_new(each, "size", json_integer((json_int_t)content->attachments[i]->data.len));
	}
	return json;
}
