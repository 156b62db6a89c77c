/* Passing notices on, with their proofs: forward and escalate. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/strings.h"
#include "clients/poc/notice.h"
#include "clients/poc/sending.h"
#include "proto/wire/prescan.h"

/* The story of a notice with what its body held, as bytes. */
static int pack_forwarded(struct duty *duty, const struct desk *desk, const struct desk_notice *of,
			  Poc__NoticeContent *content)
{
	struct refusal why = {0};
	struct story *story = NULL;
	Poc__Inner *inner = NULL;
	uint8_t *bytes = NULL, *packed;
	size_t size, packed_size, left_out;
	int status = duty->offline ? refuse((struct refusal *)client_why(duty->poc), STATUS_UNREACHABLE, "",
					    "the proofs that go with it need a server")
				   : duty_open_notice(duty, desk, of, &inner);

	if (status == 0)
		status = client_story(duty->poc, &desk->id, &of->notice->id, &story);
	if (status != 0) {
		message_free(inner);
		return duty_fail(duty, status);
	}
	if (message_encode(inner, &bytes, &size) != 0)
		status = refuse(&why, STATUS_NO_MEMORY, "", "out of memory");
	if (status == 0)
		status =
		    story_encode(client_head(duty->poc), story, bytes, size, &packed, &packed_size, &left_out, &why);
	if (status == 0)
		content->forwarded = (ProtobufCBinaryData){packed_size, packed};
	free(bytes);
	story_destroy(story);
	message_free(inner);
	return status == 0 ? 0 : cli_refused(duty->cli, &why);
}

static int pass_on(struct cli *cli, const char *before, bool escalates)
{
	struct compose compose = {0};
	struct client_notice n = {0};
	struct desk_notice *of;
	struct desk *desk;
	struct duty duty;
	char subject[SENDING_SUBJECT];
	json_t *json = NULL;

	if (!cli_has(cli, "to"))
		return cli_fail(cli, STATUS_USAGE, tr("to whom? --to PLACE"));
	int status = duty_open(cli, &duty);
	if (status != 0)
		return status;
	status = duty_find(&duty, cli->argv[0], &desk, &of);
	if (status == 0 && escalates && of->side != SIDE_FROM)
		status = cli_fail(cli, STATUS_DENIED, tr("only who sent a notice escalates it"));
	if (status == 0)
		status = sending_follow(&duty, desk, of, &n);
	char *to = cli_joined(cli, "to");
	if (status == 0)
		status = to != NULL ? compose_desks(cli, to, cli_value(cli, "kind"), n.to, NOTICE_DESKS_MAX, &n.n_to)
				    : STATUS_NO_MEMORY;
	free(to);
	if (status == 0) {
		sending_subject(&duty, desk, of, before, subject);
		status = compose_read(&duty, FORM_NOTE, subject, false, &compose);
	}
	if (status == 0)
		status = pack_forwarded(&duty, desk, of, compose.content);
	if (status == 0 && escalates)
		n.category = of->notice->core->category;
	n.content = compose.content;
	if (status == 0)
		status = sending_one(&duty, &n, &json);
	sending_finish(&duty, &compose, json, "poc.notice-send/1", status);
	return status;
}

int poc_cmd_notice_forward(struct cli *cli)
{
	return pass_on(cli, "Fwd:", false);
}

int poc_cmd_notice_escalate(struct cli *cli)
{
	return pass_on(cli, "Escalated:", true);
}
