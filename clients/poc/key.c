/* Which states' keys were compared with the states themselves. */
#include <stdio.h>
#include <string.h>

#include "clients/cli/link.h"
#include "clients/cli/place.h"
#include "clients/cli/show.h"
#include "clients/cli/strings.h"
#include "clients/libpoc/known.h"
#include "clients/poc/commands.h"
#include "proto/keys/crypto.h"
#include "proto/rules/keys.h"

/* K/STATE as it is now.  0, or a status, printed. */
static int fetch_keys(struct cli *cli, struct poc *poc, const char *state, struct client_envelope *out)
{
	struct name name;

	if (!name_make(NAME_KEYS, state, NULL, &name))
		return cli_fail(cli, STATUS_USAGE, tr("\"%s\" is not a state"), state);
	const char *names[] = {name.text};
	int status = client_envelopes(poc, CLIENT_ONLINE, names, 1, out);
	if (status != 0)
		return link_fail(cli, poc, status);
	return out->envelope != NULL ? 0
				     : cli_fail(cli, STATUS_NOT_FOUND, tr("%s is not in the directory; proven"), state);
}

static json_t *fingerprints(const Poc__Keys *keys, bool print)
{
	json_t *list = json_array();
	char fingerprint[40];

	for (size_t i = 0; i < keys->n_authority; i++) {
		struct hash id = hash_of(keys->authority[i]->spki.data, keys->authority[i]->spki.len);
		public_key_fingerprint(&id, fingerprint);
		json_array_append_new(list, json_string(fingerprint));
		if (print)
			cli_line("  %s", fingerprint);
	}
	return list;
}

static int remember(struct cli *cli, struct poc *poc, const struct client_envelope *k)
{
	struct known known = {
	    .seq = k->envelope->seq, .authority = keys_authority(k->envelope->payload.keys), .at = client_now(poc)};
	struct refusal why = {0};

	snprintf(known.state, sizeof known.state, "%s", k->name.state);
	return known_note(client_state_dir(poc), &known, &why) == 0 ? 0 : cli_refused(cli, &why);
}

/* What will be remembered, before the question. */
static json_t *show_question(struct cli *cli, struct poc *poc, const struct client_envelope *k)
{
	const Poc__Keys *keys = k->envelope->payload.keys;
	struct hash authority = keys_authority(keys);
	struct poc_verdict verdict = {0};

	if (!cli->json)
		cli_line(tr("%s, version %llu: %u of %zu authority keys sign:"), k->name.state,
			 (unsigned long long)k->envelope->seq, keys->authority_threshold, keys->n_authority);
	json_t *list = fingerprints(keys, !cli->json);
	known_judge(client_state_dir(poc), k->name.state, &authority, &verdict);
	if (!cli->json)
		show_keys(&verdict);
	return list;
}

int poc_cmd_key_verified(struct cli *cli)
{
	struct poc *poc = NULL;
	struct client_envelope k = {0};
	struct name place;
	json_t *list = NULL;
	const bool staff = strcmp(cli->argv[0], STATE_DIRECTORY) == 0;
	int status = staff ? 0 : place_read(cli, cli->argv[0], &place);

	if (status == 0 && !staff && place.unit[0] != '\0')
		status = cli_fail(cli, STATUS_USAGE, tr("authority keys are a state's, not a unit's: %s"), place.state);
	if (status == 0)
		status = link_open(cli, true, &poc);
	if (status == 0)
		status = fetch_keys(cli, poc, staff ? STATE_DIRECTORY : place.state, &k);
	if (status == 0 && k.envelope != NULL)
		list = show_question(cli, poc, &k);
	if (status == 0 && cli->dry_run)
		cli_note(cli,
			 tr("dry run: these %zu fingerprints would be remembered as compared with %s; nothing is "
			    "remembered"),
			 json_array_size(list), k.name.state);
	else if (status == 0)
		status =
		    cli_confirm(cli, tr("Did the state itself read out these very fingerprints, on a line that you "
					"know from elsewhere?"));
	if (status == 0 && k.envelope != NULL && !cli->dry_run)
		status = remember(cli, poc, &k);
	if (status == 0 && k.envelope != NULL && cli->json)
		cli_document(cli, "poc.key-verified/1",
			     json_pack("{s:s,s:I,s:O,s:o,s:b}", "state", k.name.state, "seq",
				       (json_int_t)k.envelope->seq, "fingerprints", list, "verified_at",
				       cli->dry_run ? json_null() : cli_time_json(client_now(poc)), "dry_run",
				       (int)cli->dry_run));
	else if (status == 0 && !cli->dry_run)
		cli_note(cli, tr("remembered: lookup and notice send will say so when these keys change"));
	json_decref(list);
	client_envelopes_finish(&k, 1);
	link_close(cli, poc);
	return status;
}
