/* What the log key has signed last, and the way on for who has to go back behind it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clients/cli/strings.h"
#include "clients/pocadm/commands.h"
#include "pocd/config.h"
#include "pocd/signed.h"

static void print(struct cli *cli, const struct signed_head *last, const char *kept)
{
	const bool any = last->head.size > 0;

	if (cli->json)
		cli_document(cli, cli->schema,
			     json_pack("{s:s?,s:I,s:o,s:s?}", "origin", any ? last->head.origin : NULL, "size",
				       (json_int_t)last->head.size, "time",
				       cli_time_json((long long)(last->state_ms / 1000)), "kept_as", kept));
	else if (!any)
		cli_line(tr("the log key has signed nothing that is remembered"));
	else
		cli_line(tr("the log key of %s has signed up to size %llu, %s"), last->head.origin,
			 (unsigned long long)last->head.size, time_text((int64_t)(last->state_ms / 1000)));
	if (!cli->json && kept != NULL)
		cli_line(tr("forgotten; what was remembered is in %s"), kept);
}

static int forget(struct cli *cli, const char *path, const struct signed_head *last, char kept[SETTINGS_PATH_MAX + 40])
{
	snprintf(kept, SETTINGS_PATH_MAX + 40, "%s.forgotten-%llu", path, (unsigned long long)last->head.size);
	if (cli->dry_run) {
		return cli_would(cli, tr("%s would become %s"), path, kept);
	}
	cli_note(cli,
		 tr("The key will sign a history that lacks what came after the database's last checkpoint, be it "
		    "size %llu or less. Clients and auditors that have seen more will call it a fork (6), and are "
		    "right. Do it only if no later copy is left, neither a backup nor a mirror's."),
		 (unsigned long long)last->head.size);
	int status = cli_confirm(cli, tr("Forget what the log key has signed?"));
	if (status != 0)
		return status;
	return rename(path, kept) == 0 ? 0 : cli_fail(cli, STATUS_IO, "%s: %s", path, strerror(errno));
}

int pocadm_cmd_signed(struct cli *cli)
{
	static struct config config;
	char kept[SETTINGS_PATH_MAX + 40];
	struct signed_file *file;
	struct signed_head last;
	struct refusal why = {0};

	if (config_read(cli->argv[0], &config, &why) != 0)
		return cli_refused(cli, &why);
	if (access(config.log_signed, F_OK) != 0)
		return cli_fail(cli, STATUS_NOT_FOUND, tr("%s: nothing was signed yet, as far as is remembered"),
				config.log_signed);
	if (signed_open(config.log_signed, &file, &why) != 0)
		return cli_refused(cli, &why);
	int status = signed_last(file, &last, &why);
	signed_close(file);
	if (status != 0)
		return cli_refused(cli, &why);
	const bool forgets = cli_has(cli, "forget");
	status = forgets ? forget(cli, config.log_signed, &last, kept) : 0;
	if (status == 0 && !(forgets && cli->dry_run))
		print(cli, &last, forgets ? kept : NULL);
	return status;
}
