#include "clients/poc/own_users.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clients/cli/strings.h"
#include "proto/rules/rules.h"

/* ---- What flags say */

static bool read_date(const char *text, int64_t *out)
{
	struct tm tm = {0};

	if (!date_valid(text) || strptime(text, "%Y-%m-%d", &tm) == NULL)
		return false;
	*out = (int64_t)timegm(&tm);
	return true;
}

int own_users_not_after(struct cli *cli, int64_t *out)
{
	const char *date = cli_value(cli, "not-after");

	if (date == NULL)
		return 0;
	if (!read_date(date, out))
		return cli_fail(cli, STATUS_USAGE, tr("--not-after takes a date, YYYY-MM-DD"));
	if (*out <= (int64_t)time(NULL))
		return cli_fail(cli, STATUS_USAGE, tr("--not-after %s: that day has begun already (UTC)"), date);
	return 0;
}

int own_users_unit(struct cli *cli, char out[OWN_UNIT])
{
	const char *unit = cli_has(cli, "unit") ? cli_value(cli, "unit") : cli->conf.unit;

	snprintf(out, OWN_UNIT, "%s", unit);
	if (!cli_has(cli, "unit"))
		return 0;
	if (!handle_valid(unit))
		return cli_fail(cli, STATUS_USAGE, tr("\"%s\" is not a unit's name: [a-z0-9-], 1 to 40 characters"),
				unit);
	if (!state_code_valid(cli->conf.state))
		return cli_fail(cli, STATUS_USAGE, tr("%s has no units"), cli->conf.state);
	return 0;
}

int own_users_place(struct cli *cli, char out[OWN_PLACE])
{
	char unit[OWN_UNIT];
	int status = own_users_unit(cli, unit);

	snprintf(out, OWN_PLACE, "%s%s%s", cli->conf.state, unit[0] != '\0' ? "/" : "", unit);
	return status;
}

/* ---- Changing */

static bool has_coordinator(const Poc__Users *users, int64_t now)
{
	for (size_t i = 0; i < users->n_users; i++) {
		const Poc__User *user = users->users[i];
		if (user_has_role(user, POC__ROLE__ROLE_COORDINATOR) && !user_expired(user, now))
			return true;
	}
	return false;
}

/* One change for each argument.  Without a coordinator nobody of the state could publish or let anybody in, so the last
 * one stays, whether it would be dropped or added anew with lesser roles.  A unit's users are the state's matter. */
static int apply_changes(struct own_users *c, own_users_one change)
{
	struct cli *cli = c->cli;
	int64_t now = client_now(c->poc);
	bool had = c->users.name.unit[0] == '\0' && has_coordinator(c->users.users, now);
	int status = 0;

	for (int i = 0; i < cli->argc && status == 0; i++)
		status = change(c, cli->argv[i]);
	if (status == 0 && had && !has_coordinator(c->users.users, now))
		status = cli_fail(cli, STATUS_DENIED,
				  tr("%s would be left without a coordinator: add another one first"), c->place);
	return status;
}

/* Whoever gives a unit its first users should know that nobody can find it, or write to it, without a record. */
static void tell_no_record(struct own_users *c)
{
	struct client_record record = {0};
	struct name name;

	if (!place_parse(c->place, &name))
		return;
	client_lookup(c->poc, CLIENT_ONLINE, &name, NULL, 0, &record);
	if (record.verified.absent)
		cli_note(c->cli, tr("%s has no record yet: until poc publish it is not found, and not written to"),
			 c->place);
	client_record_finish(&record);
}

int own_users_change(struct cli *cli, const char *place, bool first, own_users_one change, const char *question)
{
	struct link_keys keys = {0};
	struct own_users c = {.cli = cli};
	struct make_group group = {0};
	int status = link_keys_open(cli, &cli->conf.coordinator, "coordinator", &keys);

	snprintf(c.place, sizeof c.place, "%s", place);
	if (status == 0)
		status = link_open(cli, true, &c.poc);
	if (status == 0)
		status = make_users_open(cli, c.poc, place, first, &c.users);
	if (status == 0 && c.users.current.envelope == NULL)
		tell_no_record(&c);
	if (status == 0)
		status = apply_changes(&c, change);
	if (status == 0 && c.changes > 0)
		status = make_users_sign(cli, c.poc, &c.users, &keys, &group);
	if (status == 0)
		status = make_finish(cli, c.poc, &group, question, NULL);
	make_group_finish(&group);
	make_users_close(&c.users);
	link_keys_close(&keys);
	link_close(cli, c.poc);
	return status;
}
