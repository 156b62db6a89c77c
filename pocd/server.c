#include "pocd/server.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pocd/base/clock.h"
#include "pocd/base/metrics.h"
#include "pocd/follow.h"
#include "pocd/handlers/session.h"
#include "pocd/net/listener.h"
#include "pocd/net/tls.h"
#include "pocd/signer_link.h"
#include "proto/keys/passphrase.h"

struct peer;

struct server_loop {
	struct server *server;
	struct loop *loop;
	unsigned epoch; /* of the snapshot under which sessions were last checked */
	struct peer *watchers;
	atomic_ullong ticked_ms; /* monotonic; any thread */
	atomic_uint n_watchers;  /* any thread: spares loops that nobody watches on */
};

struct server {
	struct config config;
	struct store *store;
	struct signer_link *signer;         /* NULL of a follower */
	struct keystore_key *key, *auditor; /* of a follower: TLS key, auditor's */
	struct directory *directory;
	struct follow *follow; /* NULL: this is the directory itself */
	struct limit *limit;
	struct listener *listener;
	unsigned n_loops;
	struct server_loop *loops;
	struct loop **loop_pointers;
	pthread_mutex_t lock; /* guards tls */
	SSL_CTX *tls;
	atomic_uint epoch; /* counts publications */
	atomic_bool failed;
	bool started;
};

/* ---- A connection's upper end */

struct peer {
	struct conn *conn;
	struct session session;
	int holds; /* answers that come later */
	bool closed, watching;
	struct peer *prev_watcher, *next_watcher;
};

static void peer_send(void *arg, const struct iovec *parts, int n)
{
	conn_send(((struct peer *)arg)->conn, parts, n);
}

static void peer_finish(void *arg)
{
	conn_close_after_output(((struct peer *)arg)->conn);
}

static void peer_free_if_done(struct peer *peer)
{
	if (peer->closed && peer->holds == 0)
		free(peer);
}

static void peer_hold(void *arg, int change)
{
	struct peer *peer = arg;
	struct conn *conn = peer->conn;

	if (change > 0) {
		peer->holds++;
		conn_ref(conn);
	}
	conn_flush(conn);        /* an answer that came from the writer leaves now */
	conn_work(conn, change); /* closes, when draining: the hold still keeps peer */
	if (change < 0) {
		peer->holds--;
		peer_free_if_done(peer);
		conn_unref(conn);
	}
}

static int peer_post(void *arg, void (*run)(void *arg), void *run_arg)
{
	struct peer *peer = arg;

	return mailbox_post(loop_mailbox(conn_loop(peer->conn)), run, run_arg);
}

static bool peer_open(void *arg)
{
	return !((struct peer *)arg)->closed;
}

static const char *peer_name(void *arg)
{
	return conn_peer(((struct peer *)arg)->conn);
}

static struct server_loop *loop_of(const struct peer *peer)
{
	return loop_ctx(conn_loop(peer->conn));
}

static void peer_watch(void *arg)
{
	struct peer *peer = arg;
	struct server_loop *loop = loop_of(peer);

	if (peer->watching)
		return;
	peer->watching = true;
	peer->next_watcher = loop->watchers;
	if (loop->watchers != NULL)
		loop->watchers->prev_watcher = peer;
	loop->watchers = peer;
	atomic_fetch_add(&loop->n_watchers, 1);
	metric_add(METRIC_WATCHERS, 1);
}

static void stop_watching(struct peer *peer)
{
	struct server_loop *loop = loop_of(peer);

	if (!peer->watching)
		return;
	peer->watching = false;
	if (peer->prev_watcher != NULL)
		peer->prev_watcher->next_watcher = peer->next_watcher;
	else
		loop->watchers = peer->next_watcher;
	if (peer->next_watcher != NULL)
		peer->next_watcher->prev_watcher = peer->prev_watcher;
	peer->prev_watcher = peer->next_watcher = NULL;
	atomic_fetch_sub(&loop->n_watchers, 1);
	metric_add(METRIC_WATCHERS, -1);
}

static const struct session_ops session_ops = {peer_send, peer_finish, peer_hold, peer_post,
					       peer_open, peer_watch,  peer_name};

/* ---- Callbacks of net */

static void on_opened(struct conn *conn)
{
	struct server_loop *loop = loop_ctx(conn_loop(conn));
	struct peer *peer = calloc(1, sizeof *peer);
	unsigned char *spki;
	int size = tls_peer_spki(conn_ssl(conn), &spki);

	if (peer == NULL || size <= 0) {
		OPENSSL_free(spki);
		free(peer);
		conn_close(conn, "no key");
		return;
	}
	struct hash pin = hash_of(spki, (size_t)size);
	OPENSSL_free(spki);
	peer->conn = conn;
	session_init(&peer->session, loop->server->directory, &session_ops, peer, &pin);
	conn_set_user(conn, peer);
}

static void on_frame(struct conn *conn, const uint8_t *message, size_t size)
{
	struct peer *peer = conn_user(conn);

	if (peer == NULL)
		return;
	session_frame(&peer->session, message, size);
	peer = conn_user(conn); /* NULL if that closed it */
	if (peer != NULL)
		conn_trust(conn, session_listed(&peer->session));
}

static void on_malformed(struct conn *conn, const char *why)
{
	struct peer *peer = conn_user(conn);

	if (peer != NULL)
		session_malformed(&peer->session, why);
}

static void on_closed(struct conn *conn, const char *reason)
{
	struct peer *peer = conn_user(conn);

	if (peer == NULL)
		return;
	diag(peer->session.greeted ? DIAG_INFO : DIAG_DEBUG, "session.close", "peer", conn_peer(conn), "state",
	     peer->session.principal.state, "handle", peer->session.principal.handle, "reason", reason, NULL);
	conn_set_user(conn, NULL);
	stop_watching(peer);
	peer->closed = true;
	peer_free_if_done(peer);
}

static void recheck(struct conn *conn, void *arg)
{
	struct peer *peer = conn_user(conn);

	(void)arg;
	if (peer == NULL || session_recheck(&peer->session))
		return;
	metric_add(METRIC_SESSIONS_ENDED, 1);
	conn_close(conn, "no longer listed in U");
}

/* Sessions are looked at again soon after each publication, whatever changed: a dropped user is out within a second. */
static void on_tick(struct loop *net_loop)
{
	struct server_loop *loop = loop_ctx(net_loop);
	unsigned epoch = atomic_load(&loop->server->epoch);

	atomic_store(&loop->ticked_ms, loop_now_ms(net_loop));
	if (loop->epoch == epoch)
		return;
	loop->epoch = epoch;
	loop_each(net_loop, recheck, NULL);
}

static const struct conn_ops conn_ops = {on_opened, on_frame, on_malformed, on_closed, on_tick};

/* On the loop's thread. */
static void tell_followers(void *arg)
{
	struct server_loop *loop = arg;

	for (struct peer *peer = loop->watchers, *next; peer != NULL; peer = next) {
		next = peer->next_watcher;
		struct conn *conn = peer->conn;
		conn_ref(conn);
		session_published(&peer->session);
		conn_flush(conn);
		conn_unref(conn);
	}
}

/* On the writer's thread, or a follower's. */
static void on_published(void *ctx)
{
	struct server *server = ctx;

	atomic_fetch_add(&server->epoch, 1);
	for (unsigned i = 0; i < server->n_loops; i++) {
		struct server_loop *loop = &server->loops[i];
		if (atomic_load(&loop->n_watchers) > 0) /* lost for want of memory: the next one tells of it too */
			(void)mailbox_post(loop_mailbox(loop->loop), tell_followers, loop);
	}
}

/* On the writer's thread.  The main thread waits for signals. */
static void on_failed(void *ctx)
{
	atomic_store(&((struct server *)ctx)->failed, true);
	kill(getpid(), SIGTERM);
}

bool server_failed(const struct server *server)
{
	return atomic_load(&server->failed);
}

/* ---- Watching: the writer tells each loop on which somebody watches that a desk's feed grew */

struct growth {
	struct server_loop *loop;
	char place[PLACE_ROOM];
	Poc__PocKind kind;
	uint64_t cursor;
};

/* On the loop's thread. */
static void tell_watchers(void *arg)
{
	struct growth *growth = arg;

	for (struct peer *peer = growth->loop->watchers, *next; peer != NULL; peer = next) {
		next = peer->next_watcher;
		struct conn *conn = peer->conn;
		conn_ref(conn);
		session_grown(&peer->session, growth->place, growth->kind, growth->cursor);
		conn_flush(conn);
		conn_unref(conn);
	}
	free(growth);
}

/* On the writer's thread. */
static void on_grown(void *ctx, const char *place, Poc__PocKind kind, uint64_t cursor)
{
	struct server *server = ctx;

	for (unsigned i = 0; i < server->n_loops; i++) {
		struct server_loop *loop = &server->loops[i];
		if (atomic_load(&loop->n_watchers) == 0)
			continue;
		struct growth *growth = malloc(sizeof *growth);
		if (growth == NULL)
			return; /* the next entry tells of this one too */
		*growth = (struct growth){.loop = loop, .kind = kind, .cursor = cursor};
		strncpy(growth->place, place, sizeof growth->place - 1);
		if (mailbox_post(loop_mailbox(loop->loop), tell_watchers, growth) != 0)
			free(growth);
	}
}

static SSL_CTX *current_tls(void *ctx)
{
	struct server *server = ctx;

	pthread_mutex_lock(&server->lock);
	SSL_CTX *tls = server->tls;
	SSL_CTX_up_ref(tls);
	pthread_mutex_unlock(&server->lock);
	return tls;
}

/* ---- Building */

static bool follows(const struct config *config)
{
	return config->follow_server[0] != '\0';
}

/* ask: for a passphrase, where there is a terminal. */
static int open_key(const struct config *config, const char *path, bool ask, struct keystore_key **out,
		    struct refusal *why)
{
	struct passphrase passphrase = {.file = config->passphrase_file, .fd = -1, .ask = ask};
	int status = passphrase_open(&passphrase, path, out, why);

	passphrase_finish(&passphrase);
	return status;
}

static SSL_CTX *load_tls(const struct config *config, bool ask, struct refusal *why)
{
	struct keystore_key *key;

	if (open_key(config, config->key, ask, &key, why) != 0)
		return NULL;
	SSL_CTX *tls = tls_server_create(config->cert, keystore_pkey(key), why);
	keystore_close(key); /* the context holds its own reference */
	return tls;
}

/* Time never goes back in the log: after a publication under a clock that was ahead it stands still until the clock has
 * caught up, and meanwhile clients whose clock is right sign nothing. */
static void look_at_clock(struct directory *directory)
{
	enum { BEHIND_MS = 10 * 1000 };
	struct snapshot *snapshot = ledger_snapshot(directory_ledger(directory));
	uint64_t now = clock_now_ms(NULL);

	if (snapshot != NULL && now + BEHIND_MS < snapshot->time_ms)
		diag(DIAG_ERROR, "clock.behind", "seconds", diag_number((snapshot->time_ms - now) / 1000), "than",
		     "the last checkpoint", NULL);
	snapshot_unref(snapshot);
}

/* Without a pin the server is known by the U/@directory of the copy, so not before there is one. */
static int check_pin(const struct server *server, struct refusal *why)
{
	struct snapshot *copy = ledger_snapshot(directory_ledger(server->directory));
	const bool known = copy != NULL || hash_compare(&server->config.follow_pin, &hash_zero) != 0;

	snapshot_unref(copy);
	return known ? 0
		     : refuse(why, STATUS_INVALID, "follow.server_pin",
			      "[follow] server_pin is missing: nothing is copied yet by which %s could be known "
			      "(directory.info has its pin)",
			      server->config.follow_server);
}

static int make_follow(struct server *server, struct refusal *why)
{
	const struct config *config = &server->config;
	int status = check_pin(server, why);

	if (status == 0)
		status = open_key(config, config->key, true, &server->key, why);
	if (status == 0 && config->follow_key[0] != '\0')
		status = open_key(config, config->follow_key, true, &server->auditor, why);
	if (status != 0)
		return status;
	struct follow_options options = {
	    .directory = server->directory,
	    .store = server->store,
	    .server = config->follow_server,
	    .server_pin = hash_compare(&config->follow_pin, &hash_zero) != 0 ? &config->follow_pin : NULL,
	    .state = config->follow_state,
	    .certificate = config->cert,
	    .key = server->key,
	    .auditor = server->auditor,
	    .moved = on_published,
	    .moved_ctx = server};
	return follow_create(&options, &server->follow, why);
}

/* A follower's folder is made at its first start. */
static int open_store(struct server *server, struct refusal *why)
{
	const struct config *config = &server->config;
	struct store_lmdb_options store = {
	    .path = config->path, .map_size = config->map_size, .quota = config->quota, .max_readers = 1024};
	char file[SETTINGS_PATH_MAX + 10];

	snprintf(file, sizeof file, "%s/data.mdb", config->path);
	store.create = follows(config) && access(file, F_OK) != 0;
	return store_lmdb_open(&store, &server->store, why);
}

static int open_directory(struct server *server, struct refusal *why)
{
	const struct config *config = &server->config;
	int status = open_store(server, why);

	if (status != 0)
		return status;
	struct directory_options options = {
	    .store = server->store,
	    .interval_ms = config->checkpoint_interval_ms,
	    .heartbeat_ms = config->heartbeat_ms,
	    .answer_cache = config->answer_cache,
	    .now_ms = clock_now_ms,
	    .published = on_published,
	    .published_ctx = server,
	    .failed = on_failed,
	    .failed_ctx = server,
	    .changes_per_hour = config->changes_per_hour,
	    .retention_ms = config->retention_ms,
	    .notices_per_hour = config->notices_per_hour,
	    .backlog_bytes = config->backlog,
	    .grown = on_grown,
	    .grown_ctx = server,
	    .follows = follows(config) ? &config->follow_id : NULL,
	    .state = config->follow_state,
	};
	if (server->signer != NULL) {
		options.log_keys = signer_link_keys(server->signer, &options.n_log_keys);
		options.signer = signer_link_ledger(server->signer);
	}
	status = directory_open(&options, &server->directory, why);
	if (status == 0)
		look_at_clock(server->directory);
	if (status == 0 && follows(config))
		status = make_follow(server, why);
	return status;
}

static int make_loops(struct server *server)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	server->n_loops = server->config.threads > 0 ? server->config.threads : cores > 0 ? (unsigned)cores : 1;
	server->loops = calloc(server->n_loops, sizeof *server->loops);
	server->loop_pointers = calloc(server->n_loops, sizeof(struct loop *));
	if (server->loops == NULL || server->loop_pointers == NULL)
		return STATUS_NO_MEMORY;
	for (unsigned i = 0; i < server->n_loops; i++) {
		server->loops[i].server = server;
		server->loops[i].loop = loop_create(&conn_ops, &server->loops[i], &server->config.conn);
		server->loops[i].ticked_ms = clock_monotonic_ms();
		server->loop_pointers[i] = server->loops[i].loop;
		if (server->loops[i].loop == NULL)
			return STATUS_NO_MEMORY;
	}
	return 0;
}

/* systemd's socket activation: one listening socket as descriptor 3 (sd_listen_fds(3)). */
static int inherited_socket(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");

	if (pid == NULL || fds == NULL || strtol(pid, NULL, 10) != (long)getpid() || strcmp(fds, "1") != 0)
		return -1;
	return 3;
}

static int build(struct server *server, int passphrase_fd, struct refusal *why)
{
	int status = 0;

	/* first, while there is nothing open that it could inherit: the log key never comes into this process */
	if (!follows(&server->config))
		status = signer_link_open(server->config.source, passphrase_fd, &server->signer, why);

	if (status == 0)
		status = open_directory(server, why);
	if (status != 0)
		return status;
	server->tls = load_tls(&server->config, true, why);
	if (server->tls == NULL)
		return why->code != 0 ? why->code : STATUS_INVALID;
	server->limit =
	    limit_create((unsigned)server->config.connections, (unsigned)server->config.connections_per_address);
	if (server->limit == NULL || make_loops(server) != 0)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	struct listener_options options = {.address = server->config.listen,
					   .fd = inherited_socket(),
					   .loops = server->loop_pointers,
					   .n_loops = server->n_loops,
					   .limit = server->limit,
					   .tls = current_tls,
					   .tls_ctx = server};
	server->listener = listener_create(&options, why);
	return server->listener != NULL ? 0 : why->code;
}

int server_create(const struct config *config, int passphrase_fd, struct server **out, struct refusal *why)
{
	struct server *server = calloc(1, sizeof *server);
	struct refusal reason = {0};

	*out = NULL;
	if (server == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	pthread_mutex_init(&server->lock, NULL);
	server->config = *config;
	int status = build(server, passphrase_fd, &reason);
	if (status != 0) {
		if (why != NULL)
			*why = reason;
		server_destroy(server);
		return status;
	}
	*out = server;
	return 0;
}

void server_destroy(struct server *server)
{
	if (server == NULL)
		return;
	for (unsigned i = 0; i < server->n_loops && server->loops != NULL; i++)
		loop_stop(server->loops[i].loop);
	listener_destroy(server->listener);
	follow_destroy(server->follow);
	directory_close(
	    server->directory); /* its last answers are posted to the mailboxes, which loop_destroy empties */
	for (unsigned i = 0; i < server->n_loops && server->loops != NULL; i++)
		loop_destroy(server->loops[i].loop);
	store_close(server->store);
	keystore_close(server->key);
	keystore_close(server->auditor);
	signer_link_close(server->signer);
	limit_destroy(server->limit);
	SSL_CTX_free(server->tls);
	free(server->loops);
	free(server->loop_pointers);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

int server_start(struct server *server, struct refusal *why)
{
	int status = server->follow != NULL ? follow_start(server->follow) : directory_start(server->directory);

	if (status != 0)
		return refuse(why, status, "",
			      server->follow != NULL ? "the follower cannot start" : "the writer cannot start");
	for (unsigned i = 0; i < server->n_loops; i++) {
		if (loop_start(server->loops[i].loop) != 0)
			return refuse(why, STATUS_NO_MEMORY, "", "a thread cannot start");
	}
	server->started = true;
	return 0;
}

bool server_alive(const struct server *server, uint64_t limit_ms)
{
	uint64_t now = clock_monotonic_ms();

	for (unsigned i = 0; i < server->n_loops; i++) {
		if (atomic_load(&server->loops[i].ticked_ms) + limit_ms <= now)
			return false;
	}
	return directory_busy_ms(server->directory) < limit_ms;
}

/* ---- Reload and drain */

struct reconfigure {
	struct loop *loop;
	struct conn_limits limits;
};

static void apply_limits(void *arg)
{
	struct reconfigure *change = arg;

	loop_configure(change->loop, &change->limits);
	free(change);
}

/* Other log keys, or another memory of them: another signer, which takes the place of the running one between two
 * publications, if T lists one of its keys at least. */
static int reload_signer(struct server *server, const struct config *config, struct refusal *why)
{
	struct signer_link *next;
	size_t n;

	if (follows(config) || !config_signer_differs(&server->config, config))
		return 0;
	int status = signer_link_open(config->source, -1, &next, why);
	if (status != 0)
		return status;
	struct keystore_key *const *keys = signer_link_keys(next, &n);
	const struct ledger_signer ledger = signer_link_ledger(next);
	status = directory_use_log_keys(server->directory, keys, n, &ledger, why);
	if (status != 0) {
		signer_link_close(next);
		return status;
	}
	signer_link_close(server->signer);
	server->signer = next;
	server->config.log_keys = config->log_keys;
	strcpy(server->config.log_passphrase_file, config->log_passphrase_file);
	strcpy(server->config.log_signed, config->log_signed);
	return 0;
}

static int reload_limits(struct server *server, const struct config *config, struct refusal *why)
{
	limit_configure(server->limit, (unsigned)config->connections, (unsigned)config->connections_per_address);
	for (unsigned i = 0; i < server->n_loops; i++) {
		struct reconfigure *change = malloc(sizeof *change);
		if (change == NULL)
			return refuse(why, STATUS_NO_MEMORY, "", "out of memory: the limits stay as they were");
		*change = (struct reconfigure){server->loops[i].loop, config->conn};
		if (mailbox_post(loop_mailbox(change->loop), apply_limits, change) != 0)
			free(change);
	}
	return 0;
}

int server_reload(struct server *server, const struct config *config, struct refusal *why)
{
	struct diag_options diagnostics = {config->level, config->json, config->file[0] != '\0' ? config->file : NULL};
	SSL_CTX *tls = load_tls(config, false, why);

	if (tls == NULL)
		return STATUS_INVALID;
	int status = reload_signer(server, config, why);
	if (status == 0 && diag_configure(&diagnostics) != 0)
		status = refuse(why, STATUS_IO, "diagnostics.file", "%s: cannot be opened", config->file);
	if (status != 0) {
		SSL_CTX_free(tls);
		return status;
	}
	pthread_mutex_lock(&server->lock);
	SSL_CTX *old = server->tls;
	server->tls = tls;
	pthread_mutex_unlock(&server->lock);
	SSL_CTX_free(old);
	return reload_limits(server, config, why);
}

void server_restart_keys(const struct server *server, const struct config *config, char out[CONFIG_RESTART_TEXT])
{
	config_restart_keys(&server->config, config, out);
}

static void stop_listening(void *arg)
{
	listener_stop(arg);
}

static void drain_loop(void *arg)
{
	loop_drain(arg);
}

void server_drain(struct server *server, unsigned limit_ms)
{
	uint64_t end = clock_monotonic_ms() + limit_ms;

	mailbox_post(loop_mailbox(server->loops[0].loop), stop_listening, server->listener);
	for (unsigned i = 0; i < server->n_loops; i++)
		mailbox_post(loop_mailbox(server->loops[i].loop), drain_loop, server->loops[i].loop);
	while (limit_total(server->limit) > 0 && clock_monotonic_ms() < end)
		usleep(10000);
}

const char *server_address(const struct server *server)
{
	return listener_address(server->listener);
}
