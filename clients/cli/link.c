#include "clients/cli/link.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clients/cli/key.h"
#include "clients/cli/show.h"
#include "clients/cli/strings.h"

/* A line that is written over itself, once a second at most, and gone at the end. */
static void show_progress(void *ctx, uint64_t done, uint64_t all)
{
	static time_t begun, last;
	static bool shown;
	time_t now = time(NULL);

	(void)ctx;
	begun = begun != 0 ? begun : now;
	if (done < all && now > begun && now != last) {
		fprintf(stderr, tr("\r%llu of %llu leaves"), (unsigned long long)done, (unsigned long long)all);
		last = now;
		shown = true;
	} else if (done >= all && shown) {
		fputs("\r\033[K", stderr);
		shown = false;
	}
}

static int open_user_key(void *ctx, const char *location, struct keystore_key **out, struct refusal *why)
{
	struct cli *cli = ctx;

	cli->passphrase.file = cli->conf.passphrase_file;
	return passphrase_open(&cli->passphrase, location, out, why);
}

int link_open(struct cli *cli, bool with_user, struct poc **out)
{
	const struct conf *conf = &cli->conf;
	char message[512] = "";

	*out = NULL;
	if (conf->id[0] == '\0')
		return cli_fail(cli, STATUS_USAGE, tr("no directory is configured (%s); %s"),
				conf->path[0] != '\0' ? conf->path : tr("no configuration file found"),
				strcmp(cli->program, "poc") == 0 ? tr("poc setup INVITE does it")
								 : tr("-c FILE names it"));
	if (with_user && cli->offline)
		return cli_fail(cli, STATUS_USAGE, tr("%s asks a server: it does not go with --offline"),
				cli->command->name);
	if (with_user && (conf->state[0] == '\0' || conf->key[0] == '\0'))
		return cli_fail(cli, STATUS_DENIED, tr("%s names no user key; poc setup INVITE makes one"), conf->path);
	struct poc_options options = {
	    .servers = cli->servers != NULL ? cli->servers : conf->servers,
	    .server_pin = conf->server_pin[0] != '\0' ? conf->server_pin : NULL,
	    .directory_id = conf->id,
	    .user_state = conf->state[0] != '\0' ? conf->state : NULL,
	    .user_unit = conf->unit[0] != '\0' ? conf->unit : NULL,
	    .certificate = conf->cert[0] != '\0' ? conf->cert : NULL,
	    .key = conf->key[0] != '\0' ? conf->key : NULL,
	    .next_certificate = conf->next_cert[0] != '\0' ? conf->next_cert : NULL,
	    .next_key = conf->next_key[0] != '\0' ? conf->next_key : NULL,
	    .state_dir = conf->state_dir,
	    .quorum = conf->quorum,
	    .own_auditor = conf->own_auditor[0] != '\0' ? conf->own_auditor : NULL,
	    .max_age = (int64_t)(conf->max_age_ms / 1000),
	    .timeout_ms = cli->timeout_ms,
	};
	int status = client_open(&options, open_user_key, cli, out, message, sizeof message);
	if (status == 0 && !cli->quiet && isatty(STDERR_FILENO))
		client_progress(*out, show_progress, NULL);
	return status == 0 ? 0 : cli_fail(cli, status, "%s", message);
}

/* ---- Reading by any clock */

int link_connect_reader(struct cli *cli, struct poc *poc)
{
	struct poc_verdict head;

	client_any_clock(poc);
	int status = poc_connect(poc);
	if (status != 0)
		return link_fail(cli, poc, status);
	client_judge_head(poc, &head);
	if (!cli->json)
		show_clock(&head);
	return 0;
}

int link_tell_clock(struct cli *cli, const struct poc *poc, int status, json_t *document)
{
	struct poc_verdict head;

	client_judge_head(poc, &head);
	if (document != NULL) {
		json_object_set_new(document, "clock_behind", json_integer((json_int_t)head.clock_behind));
		json_object_set_new(document, "clock_ahead", json_integer((json_int_t)head.clock_ahead));
	}
	if (status != 0 || head.clock_behind == 0)
		return status;
	cli_note(cli, tr("this machine's clock is before the verified checkpoint"));
	return STATUS_CLOCK;
}

/* ---- In passing */

enum { PASSING_SECONDS = 3600, DAY_SECONDS = 86400, WARN_DAYS = 30 };

/* Whether a try is due; leaves a mark that it was made, so that a failing one costs no more than one an hour either. */
static bool passing_due(const struct poc *poc)
{
	char path[CONF_PATH_MAX];
	struct stat st;
	int64_t now = client_now(poc), since = now - client_copy_synced(poc);
	const char *folder = client_state_dir(poc);

	if (folder == NULL || (since >= 0 && since < PASSING_SECONDS))
		return false;
	int n = snprintf(path, sizeof path, "%s/passing", folder);
	if (n < 0 || (size_t)n >= sizeof path)
		return false;
	since = stat(path, &st) == 0 ? now - (int64_t)st.st_mtime : PASSING_SECONDS;
	if (since >= 0 && since < PASSING_SECONDS)
		return false;
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* not worth a sync: lost, it costs one more try */
	bool marked = fd >= 0 && futimens(fd, NULL) == 0;
	if (fd >= 0)
		close(fd);
	return marked;
}

static void sync_in_passing(struct cli *cli, struct poc *poc)
{
	if (cli->dry_run || client_unheld(poc) != NULL || !passing_due(poc))
		return;
	fflush(stdout); /* the answer does not wait for this */
	int status = poc_sync(poc, NULL, NULL);
	const struct refusal *why = status != 0 ? client_why(poc) : client_unheld(poc);
	if (why == NULL)
		cli_detail(cli, tr("the local copy was brought up to date in passing"));
	else
		cli_detail(cli, tr("the local copy was not brought up to date: %s"), why->message);
}

static void warn_of_end(struct cli *cli, const struct poc *poc)
{
	int64_t end = client_not_after(poc), left = end - client_now(poc);

	if (end == 0 || left <= 0 || left > (int64_t)WARN_DAYS * DAY_SECONDS)
		return;
	cli_note(cli, tr("this user's entry ends in %s, at %s: ask the coordinator for a new one in time"),
		 span_text(left), time_text(end));
}

void link_close(struct cli *cli, struct poc *poc)
{
	if (poc == NULL)
		return;
	if (client_connected(poc)) {
		const struct verified_head *head = client_head(poc);
		if (head != NULL)
			cli_detail(cli, tr("checkpoint of size %llu verified"),
				   (unsigned long long)head->checkpoint.size);
		warn_of_end(cli, poc);
		if (client_uses_next(poc) && cli->conf.next_key[0] != '\0')
			cli_note(cli,
				 tr("the user's new key is listed and in use: poc key rotate user ends the change"));
		sync_in_passing(cli, poc);
	}
	poc_close(poc);
}

int link_fail(struct cli *cli, const struct poc *poc, int code)
{
	const struct refusal *why = client_why(poc);

	if (code == STATUS_DENIED) /* who may not ask need not be told what was asked */
		return cli_fail(cli, code, "%s", why->message[0] != '\0' ? why->message : status_text(code));
	return cli_refused_as(cli, code, why);
}

int link_tell_unheld(struct cli *cli, const struct poc *poc, int status, json_t *document)
{
	const struct refusal *why = client_unheld(poc);

	if (why == NULL)
		return status;
	cli->failed = false; /* another error is no reason not to say this one */
	cli->collecting = true;
	cli_fail(
	    cli, STATUS_IO,
	    tr("NOT REMEMBERED: what was verified now could not be kept (%s): a later rollback of the server to before "
	       "it could go unnoticed"),
	    why->message);
	if (document != NULL && json_object_get(document, "error") == NULL)
		json_object_set_new(document, "error", cli_error_json(cli));
	return status != 0 ? status : STATUS_IO;
}

int link_keys_open(struct cli *cli, const struct settings_paths *paths, const char *section, struct link_keys *out)
{
	memset(out, 0, sizeof *out);
	if (paths->n == 0)
		return cli_fail(cli, STATUS_DENIED, tr("the configuration holds no [%s] key"), section);
	for (unsigned i = 0; i < paths->n; i++) {
		int status = key_open(cli, paths->paths[i], &out->keys[i]);
		if (status != 0) {
			link_keys_close(out);
			return status;
		}
		out->n++;
	}
	return 0;
}

void link_keys_close(struct link_keys *keys)
{
	for (size_t i = 0; i < keys->n; i++)
		keystore_close(keys->keys[i]);
	keys->n = 0;
}
