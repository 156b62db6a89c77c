#include "pocd/config.h"

#include <libgen.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pocd/base/address.h"
#include "pocd/net/tls.h"
#include "proto/keys/keystore.h"
#include "proto/keys/passphrase.h"
#include "proto/rules/names.h"

static int parse_listen(const char *value, void *member, size_t room, struct refusal *why)
{
	struct sockaddr_storage address;
	socklen_t size;
	int status = strlen(value) < room ? address_parse(value, &address, &size, why)
					  : refuse(why, STATUS_INVALID, "", "too long");

	if (status == 0)
		strcpy(member, value);
	return status;
}

static int parse_level(const char *value, void *member, size_t room, struct refusal *why)
{
	(void)room;
	return diag_level_parse(value, member)
		   ? 0
		   : refuse(why, STATUS_INVALID, "", "must be debug, info, warning or error");
}

static int parse_format(const char *value, void *member, size_t room, struct refusal *why)
{
	bool json = strcmp(value, "json") == 0;

	(void)room;
	*(bool *)member = json;
	return json || strcmp(value, "text") == 0 ? 0 : refuse(why, STATUS_INVALID, "", "must be text or json");
}

static int parse_hash(const char *value, void *member, size_t room, struct refusal *why)
{
	(void)room;
	return hash_from_hex(value, member) == 0 ? 0 : refuse(why, STATUS_INVALID, "", "must be 64 hexadecimal digits");
}

static int parse_state(const char *value, void *member, size_t room, struct refusal *why)
{
	if (!state_valid(value) || strlen(value) >= room)
		return refuse(why, STATUS_INVALID, "", "must be two capital letters, or @directory");
	strcpy(member, value);
	return 0;
}

#define AT(member) offsetof(struct config, member)
#define ROOM(member) sizeof(((struct config *)0)->member)

static const struct setting rows[] = {
    {"server", "listen", SETTING_OTHER, AT(listen), ROOM(listen), parse_listen},
    {"server", "threads", SETTING_NUMBER32, AT(threads), 0, NULL},
    {"server", "cert", SETTING_PATH, AT(cert), 0, NULL},
    {"server", "key", SETTING_PATH, AT(key), 0, NULL},
    {"server", "passphrase_file", SETTING_PATH, AT(passphrase_file), 0, NULL},
    {"store", "path", SETTING_PATH, AT(path), 0, NULL},
    {"store", "map_size", SETTING_SIZE, AT(map_size), 1 << 20, NULL},
    {"store", "quota", SETTING_SIZE, AT(quota), 0, NULL},
    {"log", "key", SETTING_PATHS, AT(log_keys), CONFIG_LOG_KEYS_MAX, NULL},
    {"log", "passphrase_file", SETTING_PATH, AT(log_passphrase_file), 0, NULL},
    {"log", "signed", SETTING_PATH, AT(log_signed), 0, NULL},
    {"log", "checkpoint_interval", SETTING_DURATION, AT(checkpoint_interval_ms), 0, NULL},
    {"log", "heartbeat", SETTING_DURATION, AT(heartbeat_ms), 1000, NULL},
    {"follow", "server", SETTING_TEXT, AT(follow_server), ROOM(follow_server), NULL},
    {"follow", "server_pin", SETTING_OTHER, AT(follow_pin), 0, parse_hash},
    {"follow", "id", SETTING_OTHER, AT(follow_id), 0, parse_hash},
    {"follow", "state", SETTING_OTHER, AT(follow_state), ROOM(follow_state), parse_state},
    {"follow", "key", SETTING_PATH, AT(follow_key), 0, NULL},
    {"notices", "retention", SETTING_DURATION, AT(retention_ms), 3600000, NULL},
    {"notices", "per_hour", SETTING_NUMBER, AT(notices_per_hour), 0, NULL},
    {"notices", "backlog", SETTING_SIZE, AT(backlog), 0, NULL},
    {"limits", "connections", SETTING_NUMBER, AT(connections), 1, NULL},
    {"limits", "connections_per_address", SETTING_NUMBER, AT(connections_per_address), 1, NULL},
    {"limits", "changes_per_hour", SETTING_NUMBER, AT(changes_per_hour), 0, NULL},
    {"limits", "handshakes", SETTING_NUMBER32, AT(conn.handshakes), 1, NULL},
    {"limits", "handshake_time", SETTING_DURATION32, AT(conn.handshake_ms), 100, NULL},
    {"limits", "frame_time", SETTING_DURATION32, AT(conn.frame_ms), 100, NULL},
    {"limits", "idle_time", SETTING_DURATION32, AT(conn.idle_ms), 100, NULL},
    {"limits", "lifetime", SETTING_DURATION32, AT(conn.lifetime_ms), 100, NULL},
    {"limits", "queue_pause", SETTING_SIZE, AT(conn.queue_pause), 4096, NULL},
    {"limits", "queue_max", SETTING_SIZE, AT(conn.queue_max), 65536, NULL},
    {"limits", "answer_cache", SETTING_SIZE, AT(answer_cache), 0, NULL},
    {"diagnostics", "level", SETTING_OTHER, AT(level), 0, parse_level},
    {"diagnostics", "format", SETTING_OTHER, AT(json), 0, parse_format},
    {"diagnostics", "file", SETTING_PATH, AT(file), 0, NULL},
};

static void set_defaults(struct config *config)
{
	memset(config, 0, sizeof *config);
	strcpy(config->listen, "127.0.0.1:7437");
	config->map_size = (uint64_t)16 << 30;
	config->checkpoint_interval_ms = 1000;
	config->heartbeat_ms = 600000;
	config->retention_ms = (uint64_t)400 * 86400 * 1000;
	config->notices_per_hour = 3600;
	config->backlog = (uint64_t)64 << 20;
	config->connections = 10000;
	config->changes_per_hour = 10000;
	config->connections_per_address = 1000;
	config->answer_cache = (uint64_t)64 << 20;
	config->conn = (struct conn_limits){.handshake_ms = 10000,
					    .frame_ms = 15000,
					    .idle_ms = 300000,
					    .lifetime_ms = 8 * 3600000,
					    .queue_pause = 256 << 10,
					    .queue_max = 2 << 20, /* the largest answer and what may wait before it */
					    .handshakes = 1000};
	config->level = DIAG_INFO;
}

/* Either it signs a log of its own, or it follows another's. */
static int check_follow(const char *path, const struct config *config, struct refusal *why)
{
	if (config->follow_server[0] == '\0')
		return config->log_keys.n > 0 ? 0 : refuse(why, STATUS_INVALID, "", "%s: [log] needs key", path);
	if (config->log_keys.n > 0)
		return refuse(why, STATUS_INVALID, "", "%s: [follow] and [log] key: a follower signs no log of its own",
			      path);
	if (hash_compare(&config->follow_id, &hash_zero) == 0 || config->follow_state[0] == '\0')
		return refuse(why, STATUS_INVALID, "", "%s: [follow] needs id and state", path);
	return 0;
}

/* Beside the configuration, where it stays when a database is replaced by another. */
static int default_signed(const char *path, char out[SETTINGS_PATH_MAX], struct refusal *why)
{
	const char *slash = strrchr(path, '/');
	int n = slash == NULL ? snprintf(out, SETTINGS_PATH_MAX, "./log.signed")
			      : snprintf(out, SETTINGS_PATH_MAX, "%.*s/log.signed", (int)(slash - path), path);

	return n >= 0 && n < SETTINGS_PATH_MAX ? 0 : refuse(why, STATUS_INVALID, "", "%s: path too long", path);
}

int config_read(const char *path, struct config *out, struct refusal *why)
{
	set_defaults(out);
	int status = settings_read(path, rows, sizeof rows / sizeof rows[0], out, why);

	if (status == 0 && out->log_signed[0] == '\0')
		status = default_signed(path, out->log_signed, why);
	if (status != 0)
		return status;
	snprintf(out->source, sizeof out->source, "%s", path);
	if (out->cert[0] == '\0' || out->key[0] == '\0')
		return refuse(why, STATUS_INVALID, "", "%s: [server] needs cert and key", path);
	if (out->path[0] == '\0')
		return refuse(why, STATUS_INVALID, "", "%s: [store] needs path", path);
	status = check_follow(path, out, why);
	if (status != 0)
		return status;
	if (out->threads > CONFIG_THREADS_MAX)
		return refuse(why, STATUS_INVALID, "", "%s: at most %d threads", path, CONFIG_THREADS_MAX);
	if (out->conn.queue_max <= out->conn.queue_pause)
		return refuse(why, STATUS_INVALID, "", "%s: queue_max must be above queue_pause", path);
	return 0;
}

void config_restart_keys(const struct config *a, const struct config *b, char out[CONFIG_RESTART_TEXT])
{
	const struct {
		const char *key;
		bool same;
	} keys[] = {
	    {"server.listen", strcmp(a->listen, b->listen) == 0},
	    {"server.threads", a->threads == b->threads},
	    {"store.path", strcmp(a->path, b->path) == 0},
	    {"store.map_size", a->map_size == b->map_size},
	    {"store.quota", a->quota == b->quota},
	    {"log.checkpoint_interval", a->checkpoint_interval_ms == b->checkpoint_interval_ms},
	    {"log.heartbeat", a->heartbeat_ms == b->heartbeat_ms},
	    {"follow.server", strcmp(a->follow_server, b->follow_server) == 0},
	    {"follow.server_pin", hash_compare(&a->follow_pin, &b->follow_pin) == 0},
	    {"follow.id", hash_compare(&a->follow_id, &b->follow_id) == 0},
	    {"follow.state", strcmp(a->follow_state, b->follow_state) == 0},
	    {"follow.key", strcmp(a->follow_key, b->follow_key) == 0},
	    {"notices.retention", a->retention_ms == b->retention_ms},
	    {"notices.per_hour", a->notices_per_hour == b->notices_per_hour},
	    {"notices.backlog", a->backlog == b->backlog},
	    {"limits.changes_per_hour", a->changes_per_hour == b->changes_per_hour},
	    {"limits.answer_cache", a->answer_cache == b->answer_cache},
	};

	out[0] = '\0';
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		size_t used = strlen(out);
		if (!keys[i].same)
			snprintf(out + used, CONFIG_RESTART_TEXT - used, "%s%s", used > 0 ? "," : "", keys[i].key);
	}
}

static bool same_files(const struct settings_paths *a, const struct settings_paths *b)
{
	for (size_t i = 0; i < a->n && i < b->n; i++) {
		if (strcmp(a->paths[i], b->paths[i]) != 0)
			return false;
	}
	return a->n == b->n;
}

bool config_signer_differs(const struct config *a, const struct config *b)
{
	return !same_files(&a->log_keys, &b->log_keys) || strcmp(a->log_passphrase_file, b->log_passphrase_file) != 0 ||
	       strcmp(a->log_signed, b->log_signed) != 0;
}

static int check_log_keys(const struct config *config, struct refusal *why)
{
	struct passphrase passphrase = {.file = config->log_passphrase_file, .fd = -1, .ask = true};
	struct keystore_key *key;
	int status = 0;

	for (size_t i = 0; status == 0 && i < config->log_keys.n; i++) {
		status = passphrase_open(&passphrase, config->log_keys.paths[i], &key, why);
		if (status == 0)
			keystore_close(key);
	}
	passphrase_finish(&passphrase);
	return status;
}

static int check_follow_key(const struct config *config, struct refusal *why)
{
	struct passphrase passphrase = {.file = config->passphrase_file, .fd = -1};
	struct keystore_key *key;

	if (config->follow_key[0] == '\0')
		return 0;
	int status = passphrase_open(&passphrase, config->follow_key, &key, why);
	passphrase_finish(&passphrase);
	if (status == 0)
		keystore_close(key);
	return status;
}

/* A follower makes its own at its first start, where it may. */
static int check_folder(const struct config *config, struct refusal *why)
{
	char above[SETTINGS_PATH_MAX];
	struct stat st;

	if (stat(config->path, &st) == 0)
		return S_ISDIR(st.st_mode)
			   ? 0
			   : refuse(why, STATUS_NOT_FOUND, "store", "%s: this is no folder", config->path);
	if (config->follow_server[0] == '\0')
		return refuse(why, STATUS_NOT_FOUND, "store", "%s: there is no such folder; pocadm init makes one",
			      config->path);
	snprintf(above, sizeof above, "%s", config->path);
	if (access(dirname(above), W_OK | X_OK) != 0)
		return refuse(why, STATUS_NOT_FOUND, "store", "%s: there is no such folder, and it cannot be made",
			      config->path);
	return 0;
}

int config_check(const struct config *config, struct refusal *why)
{
	struct passphrase passphrase = {.file = config->passphrase_file, .fd = -1, .ask = true};
	struct keystore_key *key;
	int status = passphrase_open(&passphrase, config->key, &key, why);

	passphrase_finish(&passphrase);
	if (status != 0)
		return status;
	SSL_CTX *tls = tls_server_create(config->cert, keystore_pkey(key), why);
	SSL_CTX_free(tls);
	keystore_close(key);
	if (tls == NULL)
		return STATUS_INVALID;
	if (config->log_keys.n > 0)
		status = check_log_keys(config, why);
	else
		status = check_follow_key(config, why);
	if (status != 0)
		return status;
	return check_folder(config, why);
}
