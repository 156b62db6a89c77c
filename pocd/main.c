/* pocd: the daemon.  Signals are waited for on the main thread, so that nothing runs inside a signal handler. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "pocd/running.h"
#include "pocd/server.h"
#include "pocd/signer.h"

enum { DRAIN_MS = 10000, FAILED_DRAIN_MS = 1000 };

static void usage(FILE *out)
{
	fputs("usage: pocd -c FILE [--check-config] [--passphrase-fd N]\n"
	      "  -c, --config FILE      configuration, see pocd.conf(5)\n"
	      "      --check-config     read it, check certificate and keys, and end\n"
	      "      --passphrase-fd N  the passphrase of the log keys comes on this descriptor\n"
	      "      --signer           what pocd starts by itself: the process that holds the log keys\n"
	      "  -h, --help             this text\n"
	      "  -V, --version          the version\n"
	      "SIGHUP reloads certificate, log keys, limits and diagnostics; SIGTERM ends after what was asked is "
	      "answered.\n",
	      out);
}

/* sd_notify(3) by hand: one datagram to the socket that systemd names. */
static void notify(const char *message)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path)
		return;
	strcpy(address.sun_path, path);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	ssize_t n = sendto(fd, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&address, size);
	(void)n; /* nobody listens: not our concern */
	close(fd);
}

static int fail(const struct refusal *why)
{
	fprintf(stderr, "pocd: %s\n", why->message);
	return status_exit(why->code);
}

_Static_assert((int)RUNNING_RESTART >= (int)CONFIG_RESTART_TEXT, "a daemon can note all that needs a restart");

/* restart: what needs one. */
static enum running_reload reload(struct server *server, const char *path, char restart[RUNNING_RESTART])
{
	struct config config;
	struct refusal why = {0};

	restart[0] = '\0';
	if (config_read(path, &config, &why) == 0 && server_reload(server, &config, &why) == 0) {
		server_restart_keys(server, &config, restart);
		const bool partly = restart[0] != '\0';
		diag(DIAG_INFO, "server.reload", "config", path, "restart_needed", partly ? "yes" : "no",
		     partly ? "keys" : NULL, restart, NULL);
		return partly ? RUNNING_PARTLY : RUNNING_GOOD;
	}
	diag(DIAG_ERROR, "server.reload_failed", "error", why.message, "kept", "the settings before", NULL);
	return RUNNING_REFUSED;
}

/* sd_watchdog_enabled(3) by hand: half of the time in which systemd wants to hear of us, ms; 0: it does not. */
static uint64_t watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	if (usec == NULL || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid()))
		return 0;
	return strtoull(usec, NULL, 10) / 2000;
}

/* The next signal.  Until it comes systemd is told that all is well, as long as it is. */
static int next_signal(const struct server *server, const sigset_t *signals, uint64_t ping_ms)
{
	struct timespec ping = {(time_t)(ping_ms / 1000), (long)(ping_ms % 1000) * 1000000};

	for (;;) {
		int number = ping_ms > 0 ? sigtimedwait(signals, NULL, &ping) : sigwaitinfo(signals, NULL);
		if (number > 0)
			return number;
		if (errno != EAGAIN)
			continue;
		if (server_alive(server, ping_ms))
			notify("WATCHDOG=1");
		else
			diag(DIAG_ERROR, "server.stalled", "for_ms", diag_number(ping_ms), NULL);
	}
}

/* store: the data folder, which does not change while the daemon runs; running: as it is noted there. */
static void wait_for_signals(struct server *server, const char *path, const char *store, struct running *running,
			     const sigset_t *signals)
{
	uint64_t ping_ms = watchdog_ms();

	while (next_signal(server, signals, ping_ms) == SIGHUP) {
		notify("RELOADING=1");
		running->last = reload(server, path, running->restart);
		running->reloads++;
		running_note(store, running);
		notify("READY=1");
	}
}

static int run_signer(const char *path, int passphrase_fd)
{
	struct config config;
	struct refusal why = {0};

	config_read(path, &config, &why);
	struct signer_options options = {.keys = &config.log_keys,
					 .passphrase_file = config.log_passphrase_file,
					 .passphrase_fd = passphrase_fd,
					 .memory = config.log_signed};
	return signer_run(&options, &why);
}

static int serve(const char *path, const struct config *config, int passphrase_fd)
{
	struct diag_options diagnostics = {config->level, config->json, config->file[0] != '\0' ? config->file : NULL};
	struct running running = {.pid = getpid()};
	struct refusal why = {0};
	struct server *server;
	sigset_t signals;

	if (diag_configure(&diagnostics) != 0) {
		fprintf(stderr, "pocd: %s: %s\n", config->file, strerror(errno));
		return 1;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is an error like any other */
	/* before the threads, which inherit it */
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	diag(DIAG_INFO, "server.start", "config", path, "version", POCD_VERSION, NULL);
	if (server_create(config, passphrase_fd, &server, &why) != 0 || server_start(server, &why) != 0) {
		diag(DIAG_ERROR, "server.failed", "error", why.message, NULL);
		server_destroy(server);
		return fail(&why);
	}
	running_note(config->path, &running);
	diag(DIAG_INFO, "server.ready", "listen", server_address(server), "version", POCD_VERSION, NULL);
	printf("ready on %s\n", server_address(server));
	fflush(stdout);
	notify("READY=1");
	wait_for_signals(server, path, config->path, &running, &signals);
	notify("STOPPING=1");
	bool failed = server_failed(server);
	diag(failed ? DIAG_ERROR : DIAG_INFO, failed ? "server.disk_failed" : "server.drain", NULL);
	server_drain(server, failed ? FAILED_DRAIN_MS : DRAIN_MS);
	server_destroy(server);
	diag(DIAG_INFO, "server.end", NULL);
	if (failed)
		fputs("pocd: the disk failed; what is stored is found out at the next start\n", stderr);
	return failed ? 1 : 0;
}

/* A descriptor that is open, from 3 on; -1, said. */
static int descriptor(const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);

	if (*text != '\0' && *end == '\0' && number >= 3 && number <= 1 << 20 && fcntl((int)number, F_GETFD) >= 0)
		return (int)number;
	fprintf(stderr, "pocd: --passphrase-fd %.20s: not an open descriptor from 3 on\n", text);
	return -1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
						{"check-config", no_argument, NULL, 'k'},
						{"passphrase-fd", required_argument, NULL, 'p'},
						{"signer", no_argument, NULL, 's'},
						{"help", no_argument, NULL, 'h'},
						{"version", no_argument, NULL, 'V'},
						{NULL, 0, NULL, 0}};
	const char *path = NULL;
	bool check = false, signer = false;
	int passphrase_fd = -1;
	struct config config;
	struct refusal why = {0};
	struct rlimit no_core = {0, 0}, files;

	for (int c; (c = getopt_long(argc, argv, "c:hV", options, NULL)) != -1;) {
		switch (c) {
		case 'c':
			path = optarg;
			break;
		case 'k':
			check = true;
			break;
		case 'p':
			passphrase_fd = descriptor(optarg);
			if (passphrase_fd < 0)
				return 2;
			break;
		case 's':
			signer = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			puts("pocd " POCD_VERSION);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (path == NULL || optind < argc) {
		usage(stderr);
		return 2;
	}
	if (signer)
		return run_signer(path, passphrase_fd);
	setrlimit(RLIMIT_CORE, &no_core); /* a core would hold keys */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (config_read(path, &config, &why) != 0 || (check && config_check(&config, &why) != 0))
		return fail(&why);
	if (check) {
		printf("%s: good\n", path);
		return 0;
	}
	return serve(path, &config, passphrase_fd);
}
