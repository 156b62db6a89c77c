#include "clients/libpoc/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/libpoc/advance.h"
#include "clients/libpoc/copy.h"
#include "clients/libpoc/session.h"
#include "clients/libpoc/verdict.h"
#include "proto/keys/keystore_open.h"
#include "proto/rules/register.h"
#include "proto/wire/prescan.h"

enum { DEFAULT_TIMEOUT_MS = 5000 };

/* ---- Opening */

static char *copy_text(const char *text, bool *failed)
{
	char *copy = text != NULL ? strdup(text) : NULL;

	*failed = *failed || (text != NULL && copy == NULL);
	return copy;
}

/* Whose U lists us. */
static int take_place(struct poc *poc, const char *unit)
{
	const bool of_unit = unit != NULL && unit[0] != '\0';

	if (of_unit && !(state_code_valid(poc->user_state) && handle_valid(unit)))
		return refuse(&poc->why, STATUS_USAGE, "user.unit", "\"%.60s\" is not a unit of a state", unit);
	snprintf(poc->user_place, sizeof poc->user_place, "%s%s%s", poc->user_state, of_unit ? "/" : "",
		 of_unit ? unit : "");
	return 0;
}

static int take_options(struct poc *poc, const struct poc_options *o)
{
	bool failed = false;

	poc->max_age = o->max_age;
	poc->fixed_now = o->now;
	poc->timeout_ms = o->timeout_ms != 0 ? o->timeout_ms : DEFAULT_TIMEOUT_MS;
	poc->servers = copy_text(o->servers, &failed);
	poc->certificate = copy_text(o->certificate, &failed);
	poc->own_auditor = copy_text(o->own_auditor, &failed);
	if (failed)
		return refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
	poc->pins.quorum = o->quorum;
	poc->pins.own_auditor = poc->own_auditor;
	if (o->directory_id == NULL || hash_from_hex(o->directory_id, &poc->pins.directory) != 0)
		return refuse(&poc->why, STATUS_USAGE, "directory.id",
			      "the directory id is missing or not 64 hexadecimal digits");
	if (o->server_pin != NULL && hash_from_hex(o->server_pin, &poc->server_pin) != 0)
		return refuse(&poc->why, STATUS_USAGE, "directory.server_pin",
			      "the server's pin is not 64 hexadecimal digits");
	poc->have_server_pin = o->server_pin != NULL;
	if (o->user_state != NULL) {
		if (!state_valid(o->user_state))
			return refuse(&poc->why, STATUS_USAGE, "user.state", "\"%.20s\" is not a state's code",
				      o->user_state);
		snprintf(poc->user_state, sizeof poc->user_state, "%s", o->user_state);
	}
	return take_place(poc, o->user_unit);
}

static int open_plainly(void *ctx, const char *location, struct keystore_key **out, struct refusal *why)
{
	return keystore_open(location, ctx, out, why);
}

static int open_key(struct poc *poc, const struct poc_options *o, client_key_fn open, void *ctx)
{
	int status = o->key != NULL ? open(ctx, o->key, &poc->key, &poc->why) : 0;

	if (status == 0 && poc->key != NULL && poc->certificate != NULL && poc->user_state[0] != '\0')
		status = transport_context_create(poc->certificate, poc->key, &poc->context, &poc->why);
	if (status == 0 && poc->context != NULL && o->next_key != NULL && o->next_certificate != NULL)
		status = open(ctx, o->next_key, &poc->next_key, &poc->why);
	if (status == 0 && poc->next_key != NULL)
		status = transport_context_create(o->next_certificate, poc->next_key, &poc->next_context, &poc->why);
	return status;
}

static int open_state(struct poc *poc, const struct poc_options *o)
{
	if (o->state_dir == NULL) {
		poc->held.empty = true;
		return 0;
	}
	int status = held_prepare(o->state_dir, &poc->pins.directory, &poc->folder, &poc->why);
	return status != 0 ? status : held_load(poc->folder, &poc->pins.directory, &poc->held, &poc->why);
}

int poc_open(const struct poc_options *options, struct poc **out, char *message, size_t message_size)
{
	return client_open(options, open_plainly, (void *)options->passphrase, out, message, message_size);
}

int client_open(const struct poc_options *options, client_key_fn open, void *ctx, struct poc **out, char *message,
		size_t message_size)
{
	struct poc *poc = calloc(1, sizeof *poc);

	*out = NULL;
	if (poc == NULL) {
		if (message != NULL)
			snprintf(message, message_size, "out of memory");
		return STATUS_NO_MEMORY;
	}
	int status = take_options(poc, options);
	if (status == 0)
		status = open_state(poc, options);
	if (status == 0)
		status = open_key(poc, options, open, ctx);
	if (status != 0) {
		if (message != NULL)
			snprintf(message, message_size, "%s", poc->why.message);
		poc_close(poc);
		return status;
	}
	*out = poc;
	return 0;
}

void poc_close(struct poc *poc)
{
	if (poc == NULL)
		return;
	connection_close(poc);
	transport_context_destroy(poc->context);
	transport_context_destroy(poc->next_context);
	keystore_close(poc->key);
	keystore_close(poc->next_key);
	verified_head_unref(poc->head);
	verified_head_unref(poc->copy);
	envelope_destroy(poc->own_users);
	advance_drop(poc);
	held_finish(&poc->held);
	for (size_t i = 0; i < poc->n_keys; i++)
		message_free(poc->keys[i].item);
	free(poc->keys);
	free(poc->folder);
	free(poc->servers);
	free(poc->certificate);
	free(poc->own_auditor);
	free(poc);
}

const char *poc_error(const struct poc *poc)
{
	return poc->why.message;
}

const char *poc_error_field(const struct poc *poc)
{
	return poc->why.field;
}

const struct refusal *client_why(const struct poc *poc)
{
	return &poc->why;
}

const struct verified_head *client_head(const struct poc *poc)
{
	return poc->head;
}

struct keystore_key *client_key(const struct poc *poc)
{
	return poc->key;
}

bool client_uses_next(const struct poc *poc)
{
	return poc->uses_next;
}

const struct hash *client_directory_id(const struct poc *poc)
{
	return &poc->pins.directory;
}

const char *client_state_dir(const struct poc *poc)
{
	return poc->folder;
}

int64_t client_now(const struct poc *poc)
{
	return connection_now_ms(poc) / 1000;
}

void client_only_reads(struct poc *poc)
{
	poc->only_reads = true;
}

void client_any_clock(struct poc *poc)
{
	poc->any_clock = true;
}

void client_judge_head(const struct poc *poc, struct poc_verdict *out)
{
	const struct verdict_by by = {
	    .now = connection_now_ms(poc) / 1000, .max_age = poc->max_age, .clock_ahead = poc->clock_ahead};

	*out = (struct poc_verdict){.judged = by.now};
	if (poc->head != NULL)
		verdict_head(poc->head, &by, out);
	else if (!poc->held.empty && poc->held.time_ms / 1000 > by.now + CLOCK_TOLERANCE)
		*out = (struct poc_verdict){.judged = poc->held.time_ms / 1000,
					    .clock_behind = poc->held.time_ms / 1000 - by.now};
}

const struct refusal *client_unheld(const struct poc *poc)
{
	return poc->unheld.code != 0 ? &poc->unheld : NULL;
}

int64_t client_copy_synced(const struct poc *poc)
{
	return copy_synced(poc);
}

void client_progress(struct poc *poc, void (*each)(void *ctx, uint64_t done, uint64_t all), void *ctx)
{
	poc->progress = each;
	poc->progress_ctx = ctx;
}

const struct hash *client_server_pin(const struct poc *poc)
{
	return poc->transport != NULL ? transport_pin(poc->transport) : NULL;
}

bool client_connected(const struct poc *poc)
{
	return poc->transport != NULL && poc->accepted;
}

int64_t client_not_after(const struct poc *poc)
{
	return poc->own != NULL ? poc->own->not_after : 0;
}

int poc_connect(struct poc *poc)
{
	connection_begin(poc);
	int status = session_connect(poc);
	return status != 0 ? status : session_move(poc);
}

const char *poc_handle(const struct poc *poc)
{
	return poc->claimed_handle;
}

/* ---- Facts */

static void head_facts(const struct poc *poc, struct poc_facts *out)
{
	const struct verified_head *head = poc->head;
	const struct envelope *trust = verified_head_trust(head);
	struct poc_verdict verdict;

	client_judge_head(poc, &verdict);
	memcpy(out->origin, verdict.origin, sizeof out->origin);
	hash_to_hex(&head->checkpoint.root, out->root);
	out->size = verdict.size;
	out->time_ms = verdict.time_ms;
	out->stale = verdict.checkpoint_stale;
	out->late = verdict.judged - verdict.time_ms / 1000 > CHECKPOINT_LATE;
	out->cosigners = verdict.cosigners;
	out->quorum = verdict.quorum;
	out->auditors = verdict.auditors;
	out->trust_seq = verdict.trust_seq;
	out->trust_expires = trust->payload.trust->expires;
	out->trust_expired = verdict.trust_expired;
}

/* Without a session: what is held from the last one. */
static void held_facts(const struct poc *poc, struct poc_facts *out)
{
	const struct envelope *trust = poc->held.trust[poc->held.n_trust - 1];
	const Poc__Trust *t = trust->payload.trust;
	int64_t now = connection_now_ms(poc) / 1000;

	snprintf(out->origin, sizeof out->origin, "%s", t->origin);
	hash_to_hex(&poc->held.root, out->root);
	out->size = poc->held.size;
	out->time_ms = poc->held.time_ms;
	out->stale = now - poc->held.time_ms / 1000 > (poc->max_age != 0 ? poc->max_age : (int64_t)t->max_age);
	out->quorum = t->quorum > poc->pins.quorum ? t->quorum : poc->pins.quorum;
	out->auditors = (unsigned)t->n_auditors;
	out->trust_seq = trust->seq;
	out->trust_expires = t->expires;
	out->trust_expired = now >= t->expires;
}

const Poc__Entry *client_entry(const struct poc *poc, const char *state)
{
	const struct envelope *reg = poc->head != NULL ? poc->head->reg : poc->held.empty ? NULL : poc->held.reg;

	return reg != NULL ? register_find(reg->payload.register_, state) : NULL;
}

static void register_facts(const struct poc *poc, struct poc_facts *out)
{
	const struct envelope *reg = poc->head != NULL ? poc->head->reg : poc->held.reg;
	const Poc__Register *r = reg->payload.register_;
	const Poc__Entry *own = client_entry(poc, poc->user_state);

	for (size_t i = 0; i < r->n_entries; i++) {
		out->states += strcmp(r->entries[i]->state, STATE_DIRECTORY) != 0;
		out->suspended += r->entries[i]->suspended;
	}
	if (own != NULL && own->suspended)
		out->suspended_for = own->reason;
}

static void session_facts(const struct poc *poc, struct poc_facts *out)
{
	out->connected = true;
	out->server = transport_server(poc->transport);
	out->tls_version = transport_tls_version(poc->transport);
	out->tls_group = transport_tls_group(poc->transport);
	out->software = poc->software;
	if (poc->own == NULL)
		return;
	out->handle = poc->own->handle;
	out->not_after = poc->own->not_after;
	for (size_t i = 0; i < poc->own->n_roles; i++)
		out->roles |= 1u << poc->own->roles[i];
}

int poc_facts(struct poc *poc, struct poc_facts *out)
{
	*out = (struct poc_facts){
	    .server = "", .tls_version = "", .tls_group = "", .software = "", .handle = "", .copy_damage = ""};
	poc->why = (struct refusal){0};
	out->state = poc->user_state;
	out->refused_size = poc->refused_size;
	out->refused_time_ms = poc->refused_time_ms;
	const char *slash = strchr(poc->user_place, '/');
	out->unit = slash != NULL ? slash + 1 : "";
	hash_to_hex(&poc->pins.directory, out->directory_id);
	if (client_connected(poc))
		session_facts(poc, out);
	out->have_head = poc->head != NULL || !poc->held.empty;
	if (poc->head != NULL)
		head_facts(poc, out);
	else if (!poc->held.empty)
		held_facts(poc, out);
	if (out->have_head) {
		register_facts(poc, out);
		out->age = (connection_now_ms(poc) - out->time_ms) / 1000;
	}
	if (copy_load(poc) == 0) {
		out->have_copy = true;
		out->copy_size = poc->copy->checkpoint.size;
		out->copy_time_ms = poc->copy->time_ms;
		out->copy_synced = copy_synced(poc);
	}
	out->copy_damage = poc->copy_damage;
	poc->why = (struct refusal){0};
	return 0;
}
