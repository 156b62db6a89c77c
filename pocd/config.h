/* config: pocd.conf, read into the option structs of the modules.  Seen by main and server only. */
#ifndef POCD_CONFIG_H
#define POCD_CONFIG_H

#include "pocd/base/diag.h"
#include "pocd/base/settings.h"
#include "pocd/net/conn.h"
#include "proto/proof/hash.h"
#include "proto/wire/status.h"

enum { CONFIG_LOG_KEYS_MAX = 4, CONFIG_THREADS_MAX = 64 };

struct config {
	char source[SETTINGS_PATH_MAX]; /* the file */
	/* [server] */
	char listen[128];
	unsigned threads; /* 0: the cores */
	char cert[SETTINGS_PATH_MAX], key[SETTINGS_PATH_MAX], passphrase_file[SETTINGS_PATH_MAX];
	/* [store] */
	char path[SETTINGS_PATH_MAX];
	uint64_t map_size, quota;
	/* [log] */
	struct settings_paths log_keys; /* old and new while one replaces the other */
	char log_passphrase_file[SETTINGS_PATH_MAX], log_signed[SETTINGS_PATH_MAX];
	uint64_t checkpoint_interval_ms, heartbeat_ms;
	/* [follow] */
	char follow_server[128];            /* empty: this is the directory itself */
	struct hash follow_pin, follow_id;  /* a pin of zeros: none */
	char follow_state[16];              /* whose U lists our key */
	char follow_key[SETTINGS_PATH_MAX]; /* the auditor's; empty: a mirror */
	/* [notices] */
	uint64_t retention_ms, notices_per_hour, backlog;
	/* [limits] */
	uint64_t connections, connections_per_address, changes_per_hour, answer_cache;
	struct conn_limits conn;
	/* [diagnostics] */
	enum diag_level level;
	bool json;
	char file[SETTINGS_PATH_MAX]; /* empty: stderr */
};

/* Reads a file over the defaults.  Relative paths are taken from the file's folder.  0 or a status with *why naming
 * file and line. */
int config_read(const char *path, struct config *out, struct refusal *why);

enum { CONFIG_RESTART_TEXT = 400 };

/* In what they differ that a reload does not take over: "notices.per_hour,store.path"; empty: in nothing of that. */
void config_restart_keys(const struct config *running, const struct config *wanted, char out[CONFIG_RESTART_TEXT]);

/* Whether they differ in what the signer holds: its keys, their passphrase, its memory. */
bool config_signer_differs(const struct config *running, const struct config *wanted);

/* Checks what reading cannot: files are there, certificate and keys fit.  Changes nothing. */
int config_check(const struct config *config, struct refusal *why);

#endif
