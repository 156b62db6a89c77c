#include "clients/pocadm/reload.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clients/cli/strings.h"
#include "clients/pocadm/commands.h"
#include "pocd/config.h"
#include "pocd/running.h"

enum { WAIT_MS = 10000, PAUSE_MS = 20 };

int reload_find_conf(struct cli *cli, const char *given, char out[CONF_PATH_MAX])
{
	static const char *const places[] = {"pocd.conf", "../pocd.conf"};
	const char *conf = cli->conf.path, *slash = strrchr(conf, '/');

	if (given != NULL) {
		int n = snprintf(out, CONF_PATH_MAX, "%s", given);
		return n < CONF_PATH_MAX ? 0 : cli_fail(cli, STATUS_INVALID, tr("path too long"));
	}
	for (size_t i = 0; conf[0] != '\0' && i < sizeof places / sizeof *places; i++) {
		int n = snprintf(out, CONF_PATH_MAX, "%.*s%s", slash != NULL ? (int)(slash - conf + 1) : 0, conf,
				 places[i]);
		if (n < CONF_PATH_MAX && access(out, F_OK) == 0)
			return 0;
	}
	return cli_fail(cli, STATUS_USAGE, tr("which pocd.conf? There is none beside the configuration: name it"));
}

/* Until the daemon says that it has reloaded once more. */
static int wait_for(struct cli *cli, const char *folder, const struct running *before, bool *partly)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
	struct running now;
	struct refusal why = {0};

	for (int waited = 0; waited < WAIT_MS; waited += PAUSE_MS) {
		if (running_find(folder, &now, &why) != 0 || now.pid != before->pid)
			return cli_fail(cli, STATUS_FAILED, tr("the daemon (process %ld) has ended; its log says why"),
					(long)before->pid);
		*partly = now.last == RUNNING_PARTLY;
		if (now.reloads != before->reloads)
			return now.last != RUNNING_REFUSED
				   ? 0
				   : cli_fail(
					 cli, STATUS_INVALID,
					 tr("the daemon refused it and kept the settings before; its log says why"));
		nanosleep(&pause, NULL);
	}
	return cli_fail(cli, STATUS_BUSY, tr("the daemon (process %ld) has not said yet that it took it; its log will"),
			(long)before->pid);
}

int reload_daemon(struct cli *cli, const char *conf, long *pid, bool *partly)
{
	struct config config;
	struct running running;
	struct refusal why = {0};

	*partly = false;
	*pid = 0;
	if (config_read(conf, &config, &why) != 0 || config_check(&config, &why) != 0 ||
	    running_find(config.path, &running, &why) != 0)
		return cli_refused(cli, &why);
	*pid = (long)running.pid;
	if (cli->dry_run)
		return 0;
	if (kill(running.pid, SIGHUP) != 0)
		return cli_fail(cli, errno == EPERM ? STATUS_DENIED : STATUS_FAILED, tr("process %ld: %s"), *pid,
				strerror(errno));
	return wait_for(cli, config.path, &running, partly);
}

int pocadm_cmd_reload(struct cli *cli)
{
	char conf[CONF_PATH_MAX];
	bool partly;
	long pid;
	int status = reload_find_conf(cli, cli->argc > 0 ? cli->argv[0] : NULL, conf);

	if (status == 0)
		status = reload_daemon(cli, conf, &pid, &partly);
	if (status != 0)
		return status;
	if (cli->json)
		cli_document(cli, "poc.reload/1",
			     json_pack("{s:s,s:I,s:b,s:b}", "config", conf, "pid", (json_int_t)pid, "restart_needed",
				       (int)partly, "dry_run", (int)cli->dry_run));
	else if (cli->dry_run)
		cli_note(cli, tr("dry run: %s is good; the daemon (process %ld) would take it"), conf, pid);
	else if (!cli->quiet)
		cli_line(tr("the daemon (process %ld) has taken %s%s"), pid, conf,
			 partly ? tr("; some of it needs a restart") : "");
	return 0;
}
