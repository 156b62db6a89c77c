/* The database in one file, and back. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clients/cli/strings.h"
#include "clients/pocadm/check.h"
#include "clients/pocadm/commands.h"
#include "pocd/backup.h"

/* --data, else the folder "data" beside the configuration, where pocadm init puts both, or one folder further up. */
static int data_folder(struct cli *cli, char out[CONF_PATH_MAX])
{
	static const char *const places[] = {"data", "../data"};
	const char *given = cli_value(cli, "data"), *conf = cli->conf.path, *slash = strrchr(conf, '/');
	char file[CONF_PATH_MAX + 10];

	if (given != NULL && strlen(given) < CONF_PATH_MAX) {
		strcpy(out, given);
		return 0;
	}
	for (size_t i = 0; given == NULL && conf[0] != '\0' && i < sizeof places / sizeof *places; i++) {
		int n = snprintf(out, CONF_PATH_MAX, "%.*s%s", slash != NULL ? (int)(slash - conf + 1) : 0, conf,
				 places[i]);
		snprintf(file, sizeof file, "%s/data.mdb", out);
		if (n < CONF_PATH_MAX && access(file, F_OK) == 0)
			return 0;
	}
	return cli_fail(cli, STATUS_USAGE,
			tr("which data folder? There is none beside the configuration: --data FOLDER"));
}

int pocadm_cmd_backup(struct cli *cli)
{
	struct offline_report report = {0};
	struct refusal why = {0};
	char folder[CONF_PATH_MAX];
	int status = data_folder(cli, folder);

	if (status == 0 && cli->dry_run) {
		return cli_would(cli, tr("%s would be copied to %s"), folder, cli->argv[0]);
	}
	if (status != 0)
		return status;
	if (backup_write(folder, cli->argv[0], &report, &why) != 0)
		return cli_refused(cli, &why);
	check_print(cli, &report);
	return 0;
}

/* Auditors would notice that they have seen more, and nothing would be signed.  Where there are none a person has to
 * know. */
static int ask_newest(struct cli *cli)
{
	struct offline_report report = {0};
	struct refusal why = {0};
	char question[400];

	if (backup_check(cli->argv[0], &report, &why) != 0)
		return cli_refused(cli, &why);
	if (report.history.quorum > 0)
		return 0;
	snprintf(question, sizeof question,
		 tr("No auditor watches this directory. Is its checkpoint of size %llu, %s, the newest that was ever "
		    "published? If not, it will be a fork that clients refuse. Restore it?"),
		 (unsigned long long)report.size, time_text((long long)(report.time_ms / 1000)));
	return cli_confirm(cli, question);
}

int pocadm_cmd_restore(struct cli *cli)
{
	struct offline_report report = {0};
	struct refusal why = {0};
	int status;

	if (cli->dry_run) {
		if (backup_check(cli->argv[0], &report, &why) != 0)
			return cli_refused(cli, &why);
		return cli_would(cli, tr("the backup is good; %s was not written"), cli->argv[1]);
	}
	if (!cli->yes && (status = ask_newest(cli)) != 0)
		return status;
	if (backup_restore(cli->argv[0], cli->argv[1], &report, &why) != 0)
		return cli_refused(cli, &why);
	check_print(cli, &report);
	cli_note(
	    cli,
	    tr("to clients that have seen a checkpoint larger than %llu this directory is behind (exit status 7), and "
	       "once it has grown past that, a fork (6)"),
	    (unsigned long long)report.size);
	return 0;
}
