#include "pocd/signer_link.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pocd/base/clock.h"
#include "pocd/base/diag.h"
#include "pocd/signer_message.h"

enum {
	HELLO_MS = 120 * 1000, /* somebody may have to type a passphrase */
	ANSWER_MS = 20 * 1000, /* a token, a slow disk */
	RESTART_MS = 60 * 1000 /* between two restarts */
};

struct remote_key {
	struct signer_link *link;
	uint8_t number;
};

struct signer_link {
	pthread_mutex_t lock; /* guards all below while a request is under way */
	int fd;               /* -1: it is dead */
	pid_t pid;
	uint64_t restart_at; /* monotonic ms: not before */
	size_t n;
	struct public_key public_keys[SIGNER_KEYS_MAX];
	struct keystore_key *keys[SIGNER_KEYS_MAX];
	struct remote_key remote[SIGNER_KEYS_MAX];
	char config[]; /* path */
};

extern char **environ;

/* ---- The process */

static int spawn(const char *config, int socket, int passphrase_fd, pid_t *pid)
{
	char descriptor[] = {'0' + SIGNER_PASSPHRASE, '\0'};
	char *const arguments[] = {
	    "pocd", "--signer", "-c", (char *)config, passphrase_fd >= 0 ? "--passphrase-fd" : NULL, descriptor, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;

	if (posix_spawn_file_actions_init(&files) != 0)
		return -1;
	if (posix_spawnattr_init(&attributes) != 0) {
		posix_spawn_file_actions_destroy(&files);
		return -1;
	}
	sigemptyset(&none);
	sigfillset(&all);
	/* both are beyond their places before they take them, see beyond() */
	bool good =
	    posix_spawn_file_actions_adddup2(&files, socket, SIGNER_SOCKET) == 0 &&
	    (passphrase_fd < 0 || posix_spawn_file_actions_adddup2(&files, passphrase_fd, SIGNER_PASSPHRASE) == 0) &&
	    posix_spawnattr_setsigmask(&attributes, &none) == 0 &&
	    posix_spawnattr_setsigdefault(&attributes, &all) == 0 &&
	    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) == 0 &&
	    posix_spawn(pid, "/proc/self/exe", &files, &attributes, arguments, environ) == 0;
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return good ? 0 : -1;
}

/* A descriptor beyond those that the signer expects; closes the one given. */
static int beyond(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, SIGNER_PASSPHRASE + 1);

	close(fd);
	return copy;
}

static int start_process(struct signer_link *link, int passphrase_fd, struct refusal *why)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return refuse(why, STATUS_FAILED, "", "the signer cannot be started: %s", strerror(errno));
	pair[0] = beyond(pair[0]);
	pair[1] = beyond(pair[1]);
	int failed = pair[0] < 0 || pair[1] < 0 || spawn(link->config, pair[1], passphrase_fd, &link->pid) != 0;
	int error = errno;
	if (pair[1] >= 0)
		close(pair[1]);
	if (failed) {
		if (pair[0] >= 0)
			close(pair[0]);
		return refuse(why, STATUS_FAILED, "", "the signer cannot be started: %s", strerror(error));
	}
	link->fd = pair[0];
	return 0;
}

static void end_process(struct signer_link *link, bool at_once)
{
	int ended;

	if (link->fd < 0)
		return;
	close(link->fd); /* which is what it waits for */
	link->fd = -1;
	if (at_once)
		kill(link->pid, SIGKILL);
	while (waitpid(link->pid, &ended, 0) < 0 && errno == EINTR)
		;
}

/* ---- Requests */

/* One exchange.  0: *message is its answer, after the type; a status with *why: refused; -1: it is dead. */
static int exchange(struct signer_link *link, struct signer_message *message, int limit_ms, struct refusal *why)
{
	size_t size;

	if (link->fd < 0 || signer_send(link->fd, message) != 0)
		return -1;
	int type = signer_receive(link->fd, message, limit_ms);
	if (type == SIGNER_DONE)
		return 0;
	if (type != SIGNER_REFUSED)
		return -1;
	int status = (int)signer_get_number(message, 1);
	const uint8_t *text = signer_get_bytes(message, &size);
	return message->bad || status == 0 ? -1 : refuse(why, status, "log.key", "%.*s", (int)size, (const char *)text);
}

static int hello(struct signer_link *link, struct public_key keys[SIGNER_KEYS_MAX], size_t *n, struct refusal *why)
{
	struct signer_message message;

	signer_begin(&message, SIGNER_HELLO);
	int status = exchange(link, &message, HELLO_MS, why);
	if (status < 0)
		return refuse(why, STATUS_FAILED, "", "the signer ended before it was ready");
	if (status != 0)
		return status;
	*n = (size_t)signer_get_number(&message, 1);
	bool good = *n > 0 && *n <= SIGNER_KEYS_MAX;
	for (size_t i = 0; good && i < *n; i++) {
		size_t size;
		const uint8_t *spki = signer_get_bytes(&message, &size);
		good = !message.bad && public_key_parse(spki, size, &keys[i], NULL) == 0;
	}
	return good ? 0 : refuse(why, STATUS_FAILED, "", "the signer said what makes no sense");
}

static bool same_keys(const struct signer_link *link, const struct public_key *keys, size_t n)
{
	bool same = n == link->n;

	for (size_t i = 0; same && i < n; i++)
		same = hash_compare(&keys[i].id, &link->public_keys[i].id) == 0;
	return same;
}

static int restart(struct signer_link *link, struct refusal *why)
{
	struct public_key keys[SIGNER_KEYS_MAX];
	size_t n;

	link->restart_at = clock_monotonic_ms() + RESTART_MS;
	int status = start_process(link, -1, why);
	if (status == 0)
		status = hello(link, keys, &n, why);
	if (status == 0 && !same_keys(link, keys, n))
		status = refuse(why, STATUS_FAILED, "log.key",
				"the log keys are others than before: a new start or SIGHUP takes them over");
	if (status != 0)
		end_process(link, true);
	return status;
}

/* With the lock held: asks, and once more after a restart. */
static int ask(struct signer_link *link, const struct signer_message *request, struct signer_message *message,
	       struct refusal *why)
{
	struct refusal reason = {0};

	*message = *request;
	int status = exchange(link, message, ANSWER_MS, why);
	if (status >= 0)
		return status;
	if (link->fd >= 0) {
		diag(DIAG_ERROR, "signer.died", "pid", diag_number((unsigned long long)link->pid), NULL);
		end_process(link, true);
	}
	if (clock_monotonic_ms() < link->restart_at)
		return refuse(why, STATUS_FAILED, "log.key",
			      "the signer is dead and was started again less than a minute ago");
	if (restart(link, &reason) != 0) {
		diag(DIAG_ERROR, "signer.failed", "error", reason.message, NULL);
		return refuse(why, STATUS_FAILED, "log.key", "the signer is dead and does not start: %s",
			      reason.message);
	}
	diag(DIAG_WARNING, "signer.restarted", "pid", diag_number((unsigned long long)link->pid), NULL);
	*message = *request;
	status = exchange(link, message, ANSWER_MS, why);
	return status >= 0 ? status : refuse(why, STATUS_FAILED, "log.key", "the signer died again");
}

/* ---- What keystore and ledger call */

static int remote_sign(void *impl, const uint8_t *bytes, size_t size, uint8_t signature[SIGNATURE_MAX],
		       size_t *signature_size)
{
	const struct remote_key *key = impl;
	struct signer_message request, message;

	signer_begin(&request, SIGNER_SIGN);
	signer_put_number(&request, 1, key->number);
	signer_put_bytes(&request, bytes, size);
	if (request.bad)
		return STATUS_TOO_LARGE;
	pthread_mutex_lock(&key->link->lock);
	int status = ask(key->link, &request, &message, NULL);
	pthread_mutex_unlock(&key->link->lock);
	if (status != 0)
		return status;
	const uint8_t *made = signer_get_bytes(&message, signature_size);
	if (message.bad || *signature_size == 0 || *signature_size > SIGNATURE_MAX)
		return STATUS_FAILED;
	memcpy(signature, made, *signature_size);
	return 0;
}

static EVP_PKEY *remote_pkey(void *impl)
{
	(void)impl;
	return NULL;
}

static void remote_erase(void *impl)
{
	(void)impl; /* the link's */
}

static const struct keystore_ops remote_ops = {remote_sign, remote_pkey, remote_erase};

static int start(void *ctx, const struct checkpoint *published, uint64_t state_ms, uint64_t size, uint64_t *signed_size,
		 uint64_t *signed_ms, struct refusal *why)
{
	struct signer_link *link = ctx;
	struct signer_message request, message;
	struct signed_head last;

	signer_begin(&request, SIGNER_START);
	signer_put_head(&request, &(struct signed_head){*published, state_ms});
	signer_put_number(&request, 8, size);
	pthread_mutex_lock(&link->lock);
	int status = ask(link, &request, &message, why);
	pthread_mutex_unlock(&link->lock);
	if (status != 0)
		return status;
	signer_get_head(&message, &last);
	if (message.bad)
		return refuse(why, STATUS_FAILED, "", "the signer said what makes no sense");
	*signed_size = last.head.size;
	*signed_ms = last.state_ms;
	return 0;
}

static int prepare(void *ctx, const struct checkpoint *head, uint64_t state_ms, struct refusal *why)
{
	struct signer_link *link = ctx;
	struct signer_message request, message;

	signer_begin(&request, SIGNER_PREPARE);
	signer_put_head(&request, &(struct signed_head){*head, state_ms});
	pthread_mutex_lock(&link->lock);
	int status = ask(link, &request, &message, why);
	pthread_mutex_unlock(&link->lock);
	return status;
}

struct ledger_signer signer_link_ledger(struct signer_link *link)
{
	return (struct ledger_signer){start, prepare, link};
}

struct keystore_key *const *signer_link_keys(const struct signer_link *link, size_t *n)
{
	*n = link->n;
	return link->keys;
}

/* ---- Opening */

static int wrap_keys(struct signer_link *link)
{
	for (size_t i = 0; i < link->n; i++) {
		link->remote[i] = (struct remote_key){link, (uint8_t)i};
		link->keys[i] = keystore_wrap(&remote_ops, &link->remote[i], &link->public_keys[i]);
		if (link->keys[i] == NULL)
			return STATUS_NO_MEMORY;
	}
	return 0;
}

static struct signer_link *create(const char *config)
{
	size_t size = strlen(config) + 1;
	struct signer_link *link = calloc(1, sizeof *link + size);

	if (link == NULL)
		return NULL;
	memcpy(link->config, config, size);
	link->fd = -1;
	pthread_mutex_init(&link->lock, NULL);
	return link;
}

int signer_link_open(const char *config, int passphrase_fd, struct signer_link **out, struct refusal *why)
{
	struct signer_link *link = create(config);
	int passphrase = passphrase_fd >= 0 ? beyond(passphrase_fd) : -1;
	int status =
	    link != NULL ? start_process(link, passphrase, why) : refuse(why, STATUS_NO_MEMORY, "", "out of memory");

	*out = NULL;
	if (passphrase >= 0)
		close(passphrase); /* not even the passphrase stays */
	if (status == 0)
		status = hello(link, link->public_keys, &link->n, why);
	if (status == 0 && wrap_keys(link) != 0)
		status = refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	if (status != 0) {
		signer_link_close(link);
		return status;
	}
	*out = link;
	return 0;
}

void signer_link_close(struct signer_link *link)
{
	if (link == NULL)
		return;
	end_process(link, false);
	for (size_t i = 0; i < link->n; i++)
		keystore_close(link->keys[i]);
	pthread_mutex_destroy(&link->lock);
	free(link);
}
