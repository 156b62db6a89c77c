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

/* Until the daemon says that it has reloaded once more: *running is as it was before, and then as it is. */
static int wait_for(struct cli *cli, const char *folder, struct running *running)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
	const struct running before = *running;
	struct refusal why = {0};

	for (int waited = 0; waited < WAIT_MS; waited += PAUSE_MS) {
		if (running_find(folder, running, &why) != 0 || running->pid != before.pid)
			return cli_fail(cli, STATUS_FAILED, tr("the daemon (process %ld) has ended; its log says why"),
					(long)before.pid);
		if (running->reloads != before.reloads)
			return running->last != RUNNING_REFUSED
				   ? 0
				   : cli_fail(
					 cli, STATUS_INVALID,
					 tr("the daemon refused it and kept the settings before; its log says why"));
		nanosleep(&pause, NULL);
	}
	return cli_fail(cli, STATUS_BUSY, tr("the daemon (process %ld) has not said yet that it took it; its log will"),
			(long)before.pid);
}

int reload_daemon(struct cli *cli, const char *conf, struct running *running)
{
	struct config config;
	struct refusal why = {0};

	*running = (struct running){0};
	if (config_read(conf, &config, &why) != 0)
		return cli_refused(cli, &why);
	/* a key that is the daemon's alone, as for root, or for whom systemd gives no credentials to, is judged by the
	 * daemon, which keeps what it has if it does not like it */
	int status = config_check(&config, &why);
	if ((status != 0 && (status != STATUS_DENIED || cli->dry_run)) || running_find(config.path, running, &why) != 0)
		return cli_refused(cli, &why);
	if (cli->dry_run)
		return 0;
	if (kill(running->pid, SIGHUP) != 0)
		return cli_fail(cli, errno == EPERM ? STATUS_DENIED : STATUS_FAILED, tr("process %ld: %s"),
				(long)running->pid, strerror(errno));
	return wait_for(cli, config.path, running);
}

/* "notices.per_hour,store.path" as a list. */
static json_t *keys_json(const char *text)
{
	json_t *list = json_array();

	for (size_t n; *text != '\0'; text += n + (text[n] == ',')) {
		n = strcspn(text, ",");
		json_array_append_new(list, json_stringn(text, n));
	}
	return list;
}

int pocadm_cmd_reload(struct cli *cli)
{
	char conf[CONF_PATH_MAX];
	struct running running;
	int status = reload_find_conf(cli, cli->argc > 0 ? cli->argv[0] : NULL, conf);

	if (status == 0)
		status = reload_daemon(cli, conf, &running);
	if (status != 0)
		return status;
	const char *restart = cli->dry_run ? "" : running.restart; /* of a reload before */
	if (cli->json)
		cli_document(cli, "poc.reload/1",
			     json_pack("{s:s,s:I,s:b,s:o,s:b}", "config", conf, "pid", (json_int_t)running.pid,
				       "restart_needed", restart[0] != '\0', "restart_keys", keys_json(restart),
				       "dry_run", (int)cli->dry_run));
	else if (cli->dry_run)
		cli_note(cli, tr("dry run: %s is good; the daemon (process %ld) would take it"), conf,
			 (long)running.pid);
	else if (!cli->quiet)
		cli_line(tr("the daemon (process %ld) has taken %s%s%s"), (long)running.pid, conf,
			 restart[0] != '\0' ? tr("; a restart is needed for ") : "", restart);
	return 0;
}
