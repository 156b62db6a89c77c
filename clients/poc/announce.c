/* Telling those who wrote to us that our authority has other keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/strings.h"
#include "clients/poc/commands.h"
#include "clients/poc/duty.h"
#include "proto/keys/crypto.h"
#include "proto/rules/keys.h"
#include "proto/rules/names.h"

enum { DAYS = 90, DAY_SECONDS = 86400, STATES_MAX = 700 };

/* The version of K with which the authority became what it is, and what it was before. */
struct change {
	uint64_t versions, seq; /* seen; of the change, 0: it is what it has been from the start */
	int64_t issued;
	struct hash value, authority;
	char *before, *now; /* owned: fingerprints, a line each */
};

struct addressee {
	char state[STATE_MAX_LENGTH + 1];
	struct client_desk desk, ours; /* that wrote last, and to which of ours */
	int64_t at;
};

struct announcing {
	struct cli *cli;
	struct duty duty;
	struct change change;
	size_t n;
	struct addressee *list; /* owned */
	size_t sent, before, refused;
	json_t *results;
};

/* ---- What changed */

static char *fingerprint_lines(const Poc__Keys *keys)
{
	char *text = NULL, fingerprint[40];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < keys->n_authority; i++) {
		struct hash id = hash_of(keys->authority[i]->spki.data, keys->authority[i]->spki.len);
		public_key_fingerprint(&id, fingerprint);
		fprintf(out, "  %s\n", fingerprint);
	}
	fprintf(out, tr("  %u of them sign\n"), keys->authority_threshold);
	return fclose(out) == 0 ? text : NULL;
}

static int see_version(void *ctx, const struct client_version *version)
{
	struct change *change = ctx;
	const Poc__Keys *keys = version->envelope->payload.keys;
	const struct hash authority = keys_authority(keys);

	if (change->versions++ > 0 && hash_compare(&authority, &change->authority) == 0)
		return 0;
	free(change->before);
	change->before = change->now;
	change->now = fingerprint_lines(keys);
	change->seq = change->versions > 1 ? version->envelope->seq : 0;
	change->issued = keys->issued;
	change->value = version->envelope->value;
	change->authority = authority;
	return change->now != NULL ? 0 : STATUS_NO_MEMORY;
}

static int find_change(struct announcing *a)
{
	struct name name;

	if (!name_make(NAME_KEYS, a->cli->conf.state, NULL, &name))
		return cli_fail(a->cli, STATUS_USAGE, tr("\"%s\" is not a state"), a->cli->conf.state);
	int status = client_history(a->duty.poc, &name, see_version, &a->change);
	return status == 0 ? 0 : link_fail(a->cli, a->duty.poc, status);
}

/* ---- Who wrote to us */

static int by_state(const void *a, const void *b)
{
	return strcmp(((const struct addressee *)a)->state, ((const struct addressee *)b)->state);
}

static void note_sender(struct announcing *a, const struct desk *desk, const struct desk_notice *n)
{
	const Poc__Desk *from = n->notice->core->from;
	struct addressee one = {.ours = desk->id, .at = n->stored};
	struct name place;

	if (!place_parse(from->place, &place) || strcmp(place.state, a->cli->conf.state) == 0 ||
	    strcmp(place.state, STATE_DIRECTORY) == 0)
		return;
	snprintf(one.state, sizeof one.state, "%s", place.state);
	snprintf(one.desk.place, sizeof one.desk.place, "%s", from->place);
	one.desk.kind = from->kind;
	for (size_t i = 0; i < a->n; i++) {
		if (strcmp(a->list[i].state, one.state) != 0)
			continue;
		if (one.at > a->list[i].at)
			a->list[i] = one;
		return;
	}
	if (a->n < STATES_MAX)
		a->list[a->n++] = one;
}

static int find_senders(struct announcing *a)
{
	const int64_t since = client_now(a->duty.poc) - (int64_t)DAYS * DAY_SECONDS;

	a->list = calloc(STATES_MAX, sizeof *a->list);
	if (a->list == NULL)
		return cli_fail(a->cli, STATUS_NO_MEMORY, tr("out of memory"));
	for (size_t i = 0; i < a->duty.n_desks; i++) {
		const struct desk *desk = a->duty.desks[i];
		for (size_t j = 0; j < desk->n; j++) {
			const struct desk_notice *n = desk->notices[j];
			if (n->good && n->side != SIDE_FROM && n->stored >= since)
				note_sender(a, desk, n);
		}
	}
	qsort(a->list, a->n, sizeof *a->list, by_state);
	return 0;
}

/* ---- Sending */

/* One change is told once to one state: the id says so, whoever of us runs this, and how often. */
static void derive_id(const struct announcing *a, const struct addressee *to, struct notice_id *out)
{
	static const char domain[] = "pocd-announce-v1\n";
	struct hash_part parts[] = {{domain, sizeof domain - 1},
				    {client_directory_id(a->duty.poc)->bytes, HASH_SIZE},
				    {a->change.value.bytes, HASH_SIZE},
				    {to->state, strlen(to->state)}};
	struct hash hash = hash_parts(parts, 4);

	memcpy(out->bytes, hash.bytes, NOTICE_ID_SIZE);
}

static bool sent_before(const struct announcing *a, const struct notice_id *id)
{
	for (size_t i = 0; i < a->duty.n_desks; i++) {
		const struct desk_notice *n = desk_find(a->duty.desks[i], id);
		if (n != NULL && n->good && n->side == SIDE_FROM)
			return true;
	}
	return false;
}

static char *text_of(const struct announcing *a)
{
	const char *state = a->cli->conf.state;
	char *text;

	if (asprintf(
		&text,
		tr("The authority keys of %s have changed, with version %llu of K/%s, signed %s.\n\nUntil "
		   "then:\n%s\nNow:"
		   "\n%s\nPlease compare the new ones with us, on a line that you know from elsewhere (poc key show %s "
		   "prints them from the directory), and have that remembered: poc key verified %s. This notice alone "
		   "is no proof: it is signed with a user's key."),
		state, (unsigned long long)a->change.seq, state, time_text(a->change.issued), a->change.before,
		a->change.now, state, state) < 0)
		return NULL;
	return text;
}

/* Sealed anew when a desk's keys changed meanwhile.  Not kept for later when it cannot be posted: the next run comes to
 * the same. */
static int post(struct announcing *a, const struct client_notice *notice)
{
	int status = 0;

	for (int i = 0; i < 2; i++) {
		struct client_sealed sealed;
		struct client_posted posted;
		status = client_seal(a->duty.poc, CLIENT_ONLINE, notice, &sealed);
		if (status == 0)
			status = client_post(a->duty.poc, sealed.header, sealed.header_size, sealed.body,
					     sealed.body_size, &posted);
		client_sealed_finish(&sealed);
		if (status != STATUS_STALE_KEY || poc_connect(a->duty.poc) != 0)
			break;
	}
	return status;
}

static int send(struct announcing *a, const struct addressee *to, const struct notice_id *id)
{
	Poc__NoticeContent content = POC__NOTICE_CONTENT__INIT;
	struct client_notice notice = {.from = to->ours,
				       .n_to = 1,
				       .id = *id,
				       .thread = *id,
				       .category = POC__CATEGORY__CATEGORY_NOTIFICATION,
				       .urgency = POC__URGENCY__URGENCY_ROUTINE,
				       .tlp = POC__NOTICE_TLP__NOTICE_TLP_CLEAR,
				       .exercise = "",
				       .created = client_now(a->duty.poc),
				       .content = &content};
	char subject[80];

	snprintf(subject, sizeof subject, tr("The authority keys of %s have changed"), a->cli->conf.state);
	notice.to[0] = to->desk;
	content.subject = subject;
	content.language = (char *)"en";
	content.text = text_of(a);
	if (content.text == NULL)
		return cli_fail(a->cli, STATUS_NO_MEMORY, tr("out of memory"));
	int status = post(a, &notice);
	free(content.text);
	return status;
}

/* It is this state that cannot be told: others may be. */
static bool is_theirs(int status, const struct refusal *why)
{
	return status == STATUS_NO_READING_KEY || status == STATUS_STALE_KEY || status == STATUS_CONFLICT ||
	       strcmp(why->field, "to") == 0 || strncmp(why->field, "core.to", 7) == 0;
}

static void tell(struct announcing *a, const struct addressee *to, const struct notice_id *id, const char *result,
		 const char *error)
{
	char text[NOTICE_ID_TEXT];

	duty_id(id, text);
	if (a->cli->json)
		json_array_append_new(a->results,
				      json_pack("{s:s,s:s,s:s,s:s,s:o}", "to", to->desk.place, "kind",
						poc_kind_name(to->desk.kind), "id", text, "result", result, "error",
						error[0] != '\0' ? json_string(error) : json_null()));
	else
		cli_line("%-10s %-12s  %-13s  %s%s%s", to->desk.place, poc_kind_name(to->desk.kind), result, text,
			 error[0] != '\0' ? "  " : "", error);
}

static int announce(struct announcing *a, const struct addressee *to)
{
	struct notice_id id;

	derive_id(a, to, &id);
	if (sent_before(a, &id)) {
		a->before++;
		tell(a, to, &id, "sent-before", "");
		return 0;
	}
	if (a->cli->dry_run) {
		tell(a, to, &id, "would-be-sent", "");
		return 0;
	}
	int status = send(a, to, &id);
	const struct refusal *why = client_why(a->duty.poc);
	if (status == 0) {
		a->sent++;
		tell(a, to, &id, "sent", "");
		return 0;
	}
	if (!is_theirs(status, why))
		return link_fail(a->cli, a->duty.poc, status);
	a->refused++;
	tell(a, to, &id, "not-sent",
	     status == STATUS_CONFLICT
		 ? tr("a notice with its id is there already: of another desk of ours, or of somebody who took the id")
		 : why->message);
	return 0;
}

/* ---- The command */

static void tell_all(struct announcing *a)
{
	if (a->cli->json)
		cli_document(a->cli, a->cli->schema,
			     json_pack("{s:s,s:I,s:I,s:I,s:I,s:b,s:O}", "state", a->cli->conf.state, "seq",
				       (json_int_t)a->change.seq, "sent", (json_int_t)a->sent, "sent_before",
				       (json_int_t)a->before, "not_sent", (json_int_t)a->refused, "dry_run",
				       (int)a->cli->dry_run, "notices", a->results));
	else if (a->change.seq == 0)
		cli_note(a->cli, tr("the authority of %s has the keys that it began with: nothing to announce"),
			 a->cli->conf.state);
	else if (a->cli->dry_run)
		cli_note(a->cli, tr("dry run: nothing was sent"));
	else
		cli_line(tr("%zu sent, %zu sent before, %zu not sent"), a->sent, a->before, a->refused);
}

int poc_cmd_key_announce(struct cli *cli)
{
	struct announcing a = {.cli = cli};
	int status;

	if (cli->offline)
		return cli_fail(cli, STATUS_USAGE, tr("announce asks a server: it does not go with --offline"));
	status = duty_open(cli, &a.duty);
	if (status != 0)
		return status;
	a.results = json_array();
	if (a.duty.offline)
		status = cli_fail(cli, STATUS_UNREACHABLE, tr("no server could be reached: nothing was sent"));
	if (status == 0)
		status = find_change(&a);
	if (status == 0 && a.change.seq != 0)
		status = find_senders(&a);
	for (size_t i = 0; a.list != NULL && i < a.n && status == 0; i++)
		status = announce(&a, &a.list[i]);
	if (status == 0)
		tell_all(&a);
	json_decref(a.results);
	free(a.list);
	free(a.change.before);
	free(a.change.now);
	duty_close(&a.duty);
	return status;
}
