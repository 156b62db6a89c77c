/* What everybody may know of a round, from the P of all states: counts; of the own state also each point of contact. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/show.h"
#include "clients/cli/strings.h"
#include "clients/libpoc/content.h"
#include "clients/pocadm/commands.h"
#include "clients/pocadm/ping_round.h"
#include "proto/rules/chain.h"
#include "proto/rules/pings.h"
#include "proto/rules/register.h"

enum { STATES_AT_ONCE = 14 }; /* beside K/@directory in one request */

struct counts {
	int64_t round;
	size_t asked, person, automatic;
};

struct public_report {
	struct cli *cli;
	struct poc *poc;
	size_t n;
	struct counts *rounds;
	struct client_envelope own; /* P of our state */
};

static struct counts *counts_of(struct public_report *r, int64_t round)
{
	for (size_t i = 0; i < r->n; i++) {
		if (r->rounds[i].round == round)
			return &r->rounds[i];
	}
	struct counts *grown = realloc(r->rounds, (r->n + 1) * sizeof *grown);
	if (grown == NULL)
		return NULL;
	r->rounds = grown;
	r->rounds[r->n] = (struct counts){.round = round};
	return &r->rounds[r->n++];
}

static int count(struct public_report *r, const Poc__Pings *pings)
{
	for (size_t i = 0; i < pings->n_pings; i++) {
		const Poc__Ping *ping = pings->pings[i];
		struct counts *counts = counts_of(r, ping->round);
		if (counts == NULL)
			return cli_fail(r->cli, STATUS_NO_MEMORY, tr("out of memory"));
		counts->asked++;
		counts->person += ping->answered != 0 && !ping->automatic;
		counts->automatic += ping->automatic;
	}
	return 0;
}

/* The P of some states, under one head with the K that says who may sign them. */
static int take(struct public_report *r, const char (*states)[NAME_MAX_LENGTH + 1], size_t n)
{
	struct client_envelope got[STATES_AT_ONCE + 1];
	const char *names[STATES_AT_ONCE + 1] = {"K/" STATE_DIRECTORY};

	for (size_t i = 0; i < n; i++)
		names[i + 1] = states[i];
	int status = client_envelopes(r->poc, CLIENT_ONLINE, names, n + 1, got);
	if (status != 0)
		return link_fail(r->cli, r->poc, status);
	const struct envelope *trust = verified_head_trust(client_head(r->poc));
	for (size_t i = 1; i <= n && status == 0; i++) {
		if (got[0].envelope == NULL || got[i].envelope == NULL ||
		    !keys_coordinator_signed(trust, got[0].envelope, got[i].envelope))
			continue;
		status = count(r, got[i].envelope->payload.pings);
		if (strcmp(got[i].name.state, r->cli->conf.state) == 0) {
			r->own = got[i];
			got[i].envelope = NULL;
		}
	}
	client_envelopes_finish(got, n + 1);
	return status;
}

static int gather(struct public_report *r)
{
	static const char *const names[] = {"S"};
	char states[STATES_AT_ONCE][NAME_MAX_LENGTH + 1];
	struct client_envelope reg;
	size_t n = 0;
	int status = client_envelopes(r->poc, CLIENT_ONLINE, names, 1, &reg);

	if (status != 0)
		return link_fail(r->cli, r->poc, status);
	size_t all = reg.envelope != NULL ? reg.envelope->payload.register_->n_entries : 0;
	for (size_t i = 0; i < all && status == 0; i++) {
		struct name name;
		if (name_make(NAME_PINGS, reg.envelope->payload.register_->entries[i]->state, NULL, &name))
			memcpy(states[n++], name.text, sizeof name.text);
		if (n == STATES_AT_ONCE || (n > 0 && i + 1 == all)) {
			status = take(r, states, n);
			n = 0;
		}
	}
	client_envelopes_finish(&reg, 1);
	return status;
}

static void show(const struct public_report *r, const struct counts *c)
{
	const Poc__Pings *own = r->own.envelope != NULL ? r->own.envelope->payload.pings : NULL;
	json_t *list = json_array();
	char round[32];

	time_to_text(c->round, round);
	if (!r->cli->json)
		cli_line(tr("round %s: of %zu asked %zu answered by a person, %zu by a program, %zu not"), round,
			 c->asked, c->person, c->automatic, c->asked - c->person - c->automatic);
	for (size_t i = 0; own != NULL && i < own->n_pings; i++) {
		const Poc__Ping *p = own->pings[i];
		const char *result = p->answered == 0 ? "none" : p->automatic ? "automatic" : "person";
		if (p->round != c->round)
			continue;
		if (r->cli->json)
			json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:o,s:o,s:s}", "place", r->cli->conf.state,
							      "kind", poc_kind_name(p->poc), "channel", p->channel,
							      "asked", cli_time_json(p->asked), "answered",
							      cli_time_json(p->answered), "result", result));
		else
			cli_line("%-3s %-11s %s", r->cli->conf.state, poc_kind_name(p->poc), tr(result));
	}
	if (r->cli->json)
		cli_document(r->cli, "poc.ping-report/1",
			     json_pack("{s:s,s:{s:I,s:I,s:I,s:I},s:O}", "round", round, "counts", "asked",
				       (json_int_t)c->asked, "person", (json_int_t)c->person, "automatic",
				       (json_int_t)c->automatic, "none",
				       (json_int_t)(c->asked - c->person - c->automatic), "pocs", list));
	json_decref(list);
}

int ping_report_public(struct cli *cli, int64_t round)
{
	struct public_report r = {.cli = cli};
	const struct counts *chosen = NULL;
	int status = cli_has(cli, "publish") || cli_has(cli, "csv")
			 ? cli_fail(cli, STATUS_DENIED, tr("--publish and --csv are for the directory's staff"))
			 : link_open(cli, true, &r.poc);

	if (status == 0)
		status = gather(&r);
	for (size_t i = 0; status == 0 && i < r.n; i++) {
		if (round != 0 ? r.rounds[i].round == round : chosen == NULL || r.rounds[i].round > chosen->round)
			chosen = &r.rounds[i];
	}
	if (status == 0 && chosen == NULL)
		status = cli_fail(cli, STATUS_NOT_FOUND, tr("nothing is published of such a round"));
	if (status == 0)
		show(&r, chosen);
	client_envelopes_finish(&r.own, 1);
	free(r.rounds);
	link_close(cli, r.poc);
	return status;
}
