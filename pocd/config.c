#include "pocd/config.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "pocd/base/ini.h"
#include "pocd/net/tls.h"
#include "proto/keys/keystore.h"
#include "proto/keys/keystore_open.h"

enum kind { TEXT, PATH, NUMBER, NUMBER32, SIZE, DURATION, DURATION32, LEVEL, FORMAT, LOG_KEYS };

struct row {
	const char *section, *key;
	enum kind kind;
	size_t offset, room; /* room of texts; least value of numbers */
};

#define AT(member) offsetof(struct config, member)
#define ROOM(member) sizeof(((struct config *)0)->member)

static const struct row rows[] = {
    {"server", "listen", TEXT, AT(listen), ROOM(listen)},
    {"server", "threads", NUMBER32, AT(threads), 0},
    {"server", "cert", PATH, AT(cert), ROOM(cert)},
    {"server", "key", PATH, AT(key), ROOM(key)},
    {"store", "path", PATH, AT(path), ROOM(path)},
    {"store", "map_size", SIZE, AT(map_size), 1 << 20},
    {"store", "quota", SIZE, AT(quota), 0},
    {"log", "key", LOG_KEYS, AT(log_keys), 0},
    {"log", "checkpoint_interval", DURATION, AT(checkpoint_interval_ms), 0},
    {"log", "heartbeat", DURATION, AT(heartbeat_ms), 1000},
    {"notices", "retention", DURATION, AT(retention_ms), 3600000},
    {"notices", "per_hour", NUMBER, AT(notices_per_hour), 0},
    {"notices", "backlog", SIZE, AT(backlog), 0},
    {"limits", "connections", NUMBER, AT(connections), 1},
    {"limits", "connections_per_address", NUMBER, AT(connections_per_address), 1},
    {"limits", "handshakes", NUMBER32, AT(conn.handshakes), 1},
    {"limits", "handshake_time", DURATION32, AT(conn.handshake_ms), 100},
    {"limits", "frame_time", DURATION32, AT(conn.frame_ms), 100},
    {"limits", "idle_time", DURATION32, AT(conn.idle_ms), 100},
    {"limits", "lifetime", DURATION32, AT(conn.lifetime_ms), 100},
    {"limits", "queue_pause", SIZE, AT(conn.queue_pause), 4096},
    {"limits", "queue_max", SIZE, AT(conn.queue_max), 65536},
    {"limits", "answer_cache", SIZE, AT(answer_cache), 0},
    {"diagnostics", "level", LEVEL, AT(level), 0},
    {"diagnostics", "format", FORMAT, AT(json), 0},
    {"diagnostics", "file", PATH, AT(file), ROOM(file)},
};

struct reading {
	struct config *config;
	char folder[CONFIG_PATH_MAX];
};

static int put_path(const struct reading *reading, const char *value, char *out, size_t room, struct refusal *why)
{
	int n =
	    value[0] == '/' ? snprintf(out, room, "%s", value) : snprintf(out, room, "%s/%s", reading->folder, value);

	return n >= 0 && (size_t)n < room ? 0 : refuse(why, STATUS_INVALID, "", "path too long");
}

/* key = FILE[, FILE]: old and new log key while one replaces the other. */
static int put_log_keys(const struct reading *reading, const char *value, struct refusal *why)
{
	struct config *config = reading->config;
	char one[CONFIG_PATH_MAX];

	config->n_log_keys = 0;
	while (*value != '\0') {
		size_t length = strcspn(value, ",");
		size_t end = length;
		while (end > 0 && value[end - 1] == ' ')
			end--;
		if (end == 0 || end >= sizeof one || config->n_log_keys == CONFIG_LOG_KEYS_MAX)
			return refuse(why, STATUS_INVALID, "", "1 to %d files, separated by commas",
				      CONFIG_LOG_KEYS_MAX);
		memcpy(one, value, end);
		one[end] = '\0';
		int status = put_path(reading, one, config->log_keys[config->n_log_keys++], CONFIG_PATH_MAX, why);
		if (status != 0)
			return status;
		value += length + (value[length] == ',');
		value += strspn(value, " ");
	}
	return 0;
}

static int put_number(const struct row *row, void *at, uint64_t number, struct refusal *why)
{
	bool narrow = row->kind == NUMBER32 || row->kind == DURATION32;

	if (number < row->room || (narrow && number > UINT32_MAX))
		return refuse(why, STATUS_INVALID, row->key, "%s.%s is out of range", row->section, row->key);
	if (narrow) {
		uint32_t value = (uint32_t)number;
		memcpy(at, &value, sizeof value);
	} else {
		memcpy(at, &number, sizeof number);
	}
	return 0;
}

static int put(const struct reading *reading, const struct row *row, const char *value, struct refusal *why)
{
	void *at = (char *)reading->config + row->offset;
	uint64_t number = 0;
	bool good;

	switch (row->kind) {
	case TEXT:
		if (strlen(value) >= row->room)
			return refuse(why, STATUS_INVALID, row->key, "%s.%s is too long", row->section, row->key);
		strcpy(at, value);
		return 0;
	case PATH:
		return put_path(reading, value, at, row->room, why);
	case LOG_KEYS:
		return put_log_keys(reading, value, why);
	case LEVEL:
		good = diag_level_parse(value, at);
		return good ? 0 : refuse(why, STATUS_INVALID, row->key, "level must be debug, info, warning or error");
	case FORMAT:
		*(bool *)at = strcmp(value, "json") == 0;
		good = *(bool *)at || strcmp(value, "text") == 0;
		return good ? 0 : refuse(why, STATUS_INVALID, row->key, "format must be text or json");
	case NUMBER:
	case NUMBER32:
		good = ini_unsigned(value, UINT32_MAX, &number);
		break;
	case SIZE:
		good = ini_size(value, &number);
		break;
	default:
		good = ini_duration_ms(value, &number);
	}
	if (!good)
		return refuse(why, STATUS_INVALID, row->key, "%s.%s: \"%.60s\" is not a %s", row->section, row->key,
			      value,
			      row->kind == SIZE                              ? "size (e.g. 64M)"
			      : row->kind == NUMBER || row->kind == NUMBER32 ? "number"
									     : "duration (e.g. 100ms, 5s, 10m)");
	return put_number(row, at, number, why);
}

static int take(void *ctx, const char *section, const char *key, const char *value, struct refusal *why)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (strcmp(rows[i].section, section) == 0 && strcmp(rows[i].key, key) == 0)
			return put(ctx, &rows[i], value, why);
	}
	return refuse(why, STATUS_INVALID, key, "unknown key \"%.60s\" in section [%.40s]", key, section);
}

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

int config_read(const char *path, struct config *out, struct refusal *why)
{
	struct reading reading = {.config = out};
	const char *slash = strrchr(path, '/');
	int n = slash == NULL ? snprintf(reading.folder, sizeof reading.folder, ".")
			      : snprintf(reading.folder, sizeof reading.folder, "%.*s", (int)(slash - path), path);

	if (n < 0 || (size_t)n >= sizeof reading.folder)
		return refuse(why, STATUS_INVALID, "", "path too long");
	set_defaults(out);
	int status = ini_read(path, take, &reading, why);
	if (status != 0)
		return status;
	if (out->cert[0] == '\0' || out->key[0] == '\0')
		return refuse(why, STATUS_INVALID, "", "%s: [server] needs cert and key", path);
	if (out->path[0] == '\0')
		return refuse(why, STATUS_INVALID, "", "%s: [store] needs path", path);
	if (out->n_log_keys == 0)
		return refuse(why, STATUS_INVALID, "", "%s: [log] needs key", path);
	if (out->threads > CONFIG_THREADS_MAX)
		return refuse(why, STATUS_INVALID, "", "%s: at most %d threads", path, CONFIG_THREADS_MAX);
	if (out->conn.queue_max <= out->conn.queue_pause)
		return refuse(why, STATUS_INVALID, "", "%s: queue_max must be above queue_pause", path);
	return 0;
}

int config_check(const struct config *config, struct refusal *why)
{
	struct keystore_key *key;
	struct stat st;
	int status = keystore_open(config->key, NULL, &key, why);

	if (status != 0)
		return status;
	SSL_CTX *tls = tls_server_create(config->cert, keystore_pkey(key), why);
	SSL_CTX_free(tls);
	keystore_close(key);
	if (tls == NULL)
		return STATUS_INVALID;
	for (size_t i = 0; i < config->n_log_keys; i++) {
		status = keystore_open(config->log_keys[i], NULL, &key, why);
		if (status != 0)
			return status;
		keystore_close(key);
	}
	if (stat(config->path, &st) != 0 || !S_ISDIR(st.st_mode))
		return refuse(why, STATUS_NOT_FOUND, "store", "%s: there is no such folder; pocadm init makes one",
			      config->path);
	return 0;
}
