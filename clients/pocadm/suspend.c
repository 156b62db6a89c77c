/* Suspending a state, and lifting that: S with its flag. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/make.h"
#include "clients/cli/place.h"
#include "clients/cli/replacing.h"
#include "clients/cli/strings.h"
#include "clients/pocadm/commands.h"
#include "proto/rules/register.h"
#include "proto/rules/rules.h"
#include "proto/rules/trust.h"
#include "proto/wire/prescan.h"

struct suspending {
	struct cli *cli;
	struct poc *poc;
	const char *state, *reason; /* reason: NULL where it is lifted */
	struct client_envelope reg;
	Poc__Register *next; /* owned: a copy of the current one, to be changed */
};

/* What the arguments say, before anything is asked. */
static int check_arguments(struct suspending *s, struct name *place)
{
	struct cli *cli = s->cli;
	struct refusal why = {0};

	if (strcmp(cli->argv[0], STATE_DIRECTORY) == 0)
		return cli_fail(cli, STATUS_DENIED,
				tr("%s is the directory's own staff: suspended, nobody could ever lift it"),
				STATE_DIRECTORY);
	int status = place_read(cli, cli->argv[0], place);
	if (status != 0)
		return status;
	if (place->unit[0] != '\0')
		return cli_fail(cli, STATUS_USAGE, tr("a state is suspended with all its units: %s"), place->state);
	s->state = place->state;
	if (s->reason == NULL)
		return 0;
	return text_check(s->reason, REGISTER_REFERENCE_MAX, false, "--reason", &why) == 0
		   ? 0
		   : cli_fail(cli, STATUS_USAGE, "--reason: %s", why.message);
}

static int fetch_register(struct suspending *s)
{
	static const char *const names[] = {"S"};
	struct refusal why = {0};
	ProtobufCMessage *copy;
	int status = client_envelopes(s->poc, CLIENT_ONLINE, names, 1, &s->reg);

	if (status != 0)
		return link_fail(s->cli, s->poc, status);
	if (s->reg.envelope == NULL)
		return cli_fail(s->cli, STATUS_NOT_FOUND, tr("the directory has no register"));
	const ProtobufCBinaryData *payload = &s->reg.envelope->outer->payload;
	status = message_decode(&poc__register__descriptor, payload->data, payload->len, NULL, &copy, &why);
	if (status != 0)
		return cli_refused(s->cli, &why);
	s->next = (Poc__Register *)copy;
	return 0;
}

/* In words, what follows from it. */
static void show_change(struct suspending *s, const Poc__Entry *entry)
{
	const Poc__Trust *trust = verified_head_trust(client_head(s->poc))->payload.trust;

	if (s->cli->json || s->cli->quiet)
		return;
	if (s->reason != NULL) {
		cli_line(tr("%s (%s) will be SUSPENDED at once: %s"), s->state, place_state_name(s->state), s->reason);
		cli_line("%s", tr("  its sessions end within a second, and none of its users is let in"));
		cli_line("%s", tr("  its auditors are still heard, by the trust root: they count towards the quorum"));
		cli_line("%s", tr("  its records and those of its units are shown as suspended (exit status 7)"));
		cli_line(
		    "%s",
		    tr("  nothing that it signs is taken: records, users, notices, receipts; no notice goes to it"));
		cli_line(tr("  its keys stay its own; pocadm state lift %s ends it"), s->state);
		return;
	}
	cli_line(tr("the suspension of %s (%s) will be lifted at once%s%s"), s->state, place_state_name(s->state),
		 entry->reason[0] != '\0' ? tr("; it was for: ") : "", entry->reason);
	cli_line("%s", tr("  its users, records, notices and receipts count again, by the keys that are current now"));
	if (replacing_from(s->poc, CLIENT_ONLINE, trust, s->state) != 0)
		cli_line(
		    "%s",
		    tr("  ATTENTION  the council is replacing its keys: until those are published it stays suspended"));
}

/* *nothing: it is so already. */
static int change_entry(struct suspending *s, bool *nothing)
{
	Poc__Entry *entry = (Poc__Entry *)register_find(s->next, s->state);
	const bool suspends = s->reason != NULL;

	if (entry == NULL)
		return cli_fail(s->cli, STATUS_NOT_FOUND, tr("%s is not in the register; proven"), s->state);
	*nothing = suspends == (entry->suspended != 0);
	if (*nothing) {
		const Poc__Trust *trust = verified_head_trust(client_head(s->poc))->payload.trust;
		cli_note(s->cli,
			 suspends ? tr("%s is suspended already: nothing to do")
			 : replacing_from(s->poc, CLIENT_ONLINE, trust, s->state) != 0
			     ? tr("%s is not suspended in the register, but by the council, until it has replaced its "
				  "authority: "
				  "nothing to do")
			     : tr("%s is not suspended: nothing to do"),
			 s->state);
		return 0;
	}
	show_change(s, entry);
	char *reason = strdup(suspends ? s->reason : "");
	if (reason == NULL)
		return cli_fail(s->cli, STATUS_NO_MEMORY, tr("out of memory"));
	if (entry->reason != protobuf_c_empty_string)
		free(entry->reason);
	entry->reason = reason;
	entry->suspended = suspends;
	return 0;
}

static int sign_register(struct suspending *s, const struct link_keys *keys, struct make_group *group)
{
	const struct envelope *current = s->reg.envelope;
	struct refusal why = {0};
	Poc__Head head, *old_head = s->next->head;
	uint8_t *bytes;
	size_t size;

	head_fill(&head, client_directory_id(s->poc), "S", current->seq + 1, &current->value);
	s->next->head = &head;
	s->next->issued = client_now(s->poc);
	int status = envelope_make(&s->next->base, keys->keys, keys->n, &bytes, &size, &why);
	s->next->head = old_head;
	if (status == 0 && make_group_add(group, &current->name, bytes, size, NULL) != 0)
		status = refuse(&why, STATUS_NO_MEMORY, "", "out of memory");
	return status == 0 ? 0 : cli_refused(s->cli, &why);
}

static int change_state(struct cli *cli, const char *reason, const char *question)
{
	struct suspending s = {.cli = cli, .reason = reason};
	struct link_keys keys = {0};
	struct make_group group = {0};
	struct name place;
	bool nothing = false;
	int status = check_arguments(&s, &place);

	if (status == 0)
		status = link_keys_open(cli, &cli->conf.enrolment, "enrolment", &keys);
	if (status == 0)
		status = link_open(cli, true, &s.poc);
	if (status == 0)
		status = fetch_register(&s);
	if (status == 0)
		status = change_entry(&s, &nothing);
	if (status == 0 && !nothing)
		status = sign_register(&s, &keys, &group);
	if (status == 0)
		status = make_finish(cli, s.poc, &group, question, NULL);
	make_group_finish(&group);
	message_free(s.next);
	client_envelopes_finish(&s.reg, 1);
	link_keys_close(&keys);
	link_close(cli, s.poc);
	return status;
}

int pocadm_cmd_state_suspend(struct cli *cli)
{
	const char *reason = cli_value(cli, "reason");

	if (reason == NULL || reason[0] == '\0')
		return cli_fail(cli, STATUS_USAGE, tr("--reason TEXT: every state can read it"));
	return change_state(cli, reason, tr("Suspend it? Sign and publish?"));
}

int pocadm_cmd_state_lift(struct cli *cli)
{
	return change_state(cli, NULL, tr("Lift it? Sign and publish?"));
}
