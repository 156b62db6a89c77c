#include "clients/pocadm/ping_round.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/strings.h"
#include "clients/libpoc/content.h"
#include "clients/libpoc/outbox.h"

enum { ROUND_AT = 8 }; /* where in an id the number begins */

static const struct client_desk our_desk = {STATE_DIRECTORY, POC__POC_KIND__POC_KIND_COORDINATOR};

static void tell_sent(void *ctx, const struct outbox_result *result)
{
	struct cli *cli = ctx;
	char id[NOTICE_ID_TEXT];

	notice_id_print(&result->id, id);
	const char *what = result->is_notice || result->step != 0 ? id : result->name;
	if (result->status == 0)
		cli_note(cli, tr("sent from the outbox: %s"), what);
	else if (!result->waits)
		cli_alert(cli, tr("refused, and set aside in the outbox: %s: %s"), what, result->message);
}

int ping_desk_open(struct cli *cli, struct ping_desk *out)
{
	size_t waiting;

	*out = (struct ping_desk){.cli = cli};
	if (strcmp(cli->conf.state, STATE_DIRECTORY) != 0)
		return cli_fail(cli, STATUS_DENIED, tr("communications checks are for the directory's staff"));
	int status = link_open(cli, true, &out->poc);
	if (status == 0 && cli->conf.reading.n > 0)
		status = link_keys_open(cli, &cli->conf.reading, "notices", &out->keys);
	if (status != 0)
		goto fail;
	status = client_own_handle(out->poc, CLIENT_ONLINE, out->handle);
	if (status == 0 && !cli->dry_run && outbox_waiting(out->poc) > 0)
		status = outbox_flush(out->poc, out->keys.keys, out->keys.n, tell_sent, cli, &waiting);
	if (status == 0)
		status = desk_open(out->poc, &our_desk, &out->desk);
	if (status == 0)
		status = desk_sync(out->poc, out->desk);
	if (status == 0)
		return 0;
	link_fail(cli, out->poc, status);
fail:
	ping_desk_close(out);
	return status;
}

void ping_desk_close(struct ping_desk *desk)
{
	desk_close(desk->desk);
	link_keys_close(&desk->keys);
	if (desk->cli != NULL)
		link_close(desk->cli, desk->poc);
	*desk = (struct ping_desk){0};
}

bool ping_round_parse(const char *text, int64_t *round)
{
	return time_from_text(text, round) == 0 && *round > 0;
}

int64_t ping_round_of(const struct notice_id *id)
{
	uint64_t number = 0;

	for (size_t i = ROUND_AT; i < NOTICE_ID_SIZE; i++)
		number = number << 8 | id->bytes[i];
	return (int64_t)number;
}

int ping_round_id(int64_t round, struct notice_id *out)
{
	int status = notice_new_id(out);

	for (size_t i = 0; i < NOTICE_ID_SIZE - ROUND_AT; i++)
		out->bytes[NOTICE_ID_SIZE - 1 - i] = (uint8_t)((uint64_t)round >> 8 * i);
	return status;
}

static bool is_of(const struct desk_notice *notice, int64_t round, bool ask)
{
	const Poc__Core *core = notice->notice->core;
	bool coordinator = core->to[0]->kind == POC__POC_KIND__POC_KIND_COORDINATOR;

	return notice->good && notice->side == SIDE_FROM && core->n_to == 1 && core->reply_by != 0 &&
	       core->category ==
		   (ask ? POC__CATEGORY__CATEGORY_COMMUNICATIONS_CHECK : POC__CATEGORY__CATEGORY_NOTIFICATION) &&
	       coordinator != ask && (round == 0 || ping_round_of(&notice->notice->id) == round);
}

bool ping_asks(const struct desk_notice *notice, int64_t round)
{
	return is_of(notice, round, true);
}

const struct desk_notice *ping_find(const struct ping_desk *desk, int64_t round, bool ask, const char *place,
				    Poc__PocKind kind)
{
	for (size_t i = 0; i < desk->desk->n; i++) {
		const struct desk_notice *n = desk->desk->notices[i];
		if (is_of(n, round, ask) && n->notice->core->to[0]->kind == kind &&
		    strcmp(n->notice->core->to[0]->place, place) == 0)
			return n;
	}
	return NULL;
}

/* Only checks by this program have a time of the past or of now there; one that a person sent by hand has random bytes.
 */
int64_t ping_newest(const struct ping_desk *desk)
{
	int64_t newest = 0;

	for (size_t i = 0; i < desk->desk->n; i++) {
		const struct desk_notice *n = desk->desk->notices[i];
		int64_t round = ping_round_of(&n->notice->id);
		if (ping_asks(n, 0) && round > newest && round <= client_now(desk->poc))
			newest = round;
	}
	return newest;
}

int64_t ping_deadline(const struct ping_desk *desk, int64_t round)
{
	for (size_t i = 0; i < desk->desk->n; i++) {
		if (ping_asks(desk->desk->notices[i], round))
			return desk->desk->notices[i]->notice->core->reply_by;
	}
	return 0;
}

bool ping_closed(const struct ping_desk *desk, const struct desk_notice *notice)
{
	(void)desk;
	const struct desk_party *own = desk_party(notice, our_desk.place, our_desk.kind);

	return own != NULL && own->times[POC__STEP__STEP_CLOSED] != 0;
}

int ping_send(struct ping_desk *desk, int64_t round, int64_t deadline, Poc__Category category, const char *place,
	      Poc__PocKind kind, const char *subject, const char *text, struct notice_id *id)
{
	Poc__NoticeContent content = POC__NOTICE_CONTENT__INIT;
	struct client_notice notice = {.from = our_desk,
				       .n_to = 1,
				       .category = category,
				       .urgency = POC__URGENCY__URGENCY_ROUTINE,
				       .tlp = POC__NOTICE_TLP__NOTICE_TLP_GREEN,
				       .exercise = "",
				       .created = client_now(desk->poc),
				       .reply_by = deadline,
				       .content = &content};
	struct client_sealed sealed;
	struct client_posted posted;

	content.subject = (char *)subject;
	content.text = (char *)text;
	content.language = (char *)"en";
	snprintf(notice.to[0].place, sizeof notice.to[0].place, "%s", place);
	notice.to[0].kind = kind;
	if (ping_round_id(round, &notice.id) != 0)
		return STATUS_FAILED;
	notice.thread = notice.id;
	*id = notice.id;
	int status = outbox_send(desk->poc, false, &notice, &sealed, &posted);
	client_sealed_finish(&sealed);
	return status;
}

int ping_close(struct ping_desk *desk, const struct desk_notice *n)
{
	Poc__Receipt receipt = POC__RECEIPT__INIT;
	struct client_posted posted;
	char name[OUTBOX_NAME];
	uint8_t *bytes;
	size_t size;

	receipt.directory_id = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)client_directory_id(desk->poc)->bytes};
	receipt.notice_id = (ProtobufCBinaryData){NOTICE_ID_SIZE, n->notice->id.bytes};
	receipt.notice_hash = (ProtobufCBinaryData){HASH_SIZE, n->notice->hash.bytes};
	receipt.step = POC__STEP__STEP_CLOSED;
	receipt.place = (char *)our_desk.place;
	receipt.kind = our_desk.kind;
	receipt.handle = desk->handle;
	receipt.time = client_now(desk->poc);
	int status =
	    receipt_make(&receipt, client_key(desk->poc), &bytes, &size, (struct refusal *)client_why(desk->poc));
	if (status != 0)
		return status;
	status = outbox_put(desk->poc, bytes, size, NULL, 0, name);
	if (status == 0)
		status = outbox_post(desk->poc, name, bytes, size, NULL, 0, &posted);
	free(bytes);
	return status;
}
