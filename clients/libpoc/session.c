#include "clients/libpoc/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/libpoc/advance.h"
#include "proto/rules/notice.h"
#include "proto/rules/users.h"
#include "proto/wire/prescan.h"

enum { ROUNDS_MAX = 10, QUESTIONS_MAX = 8, SERVERS_MAX = 8, KEYS_CACHE_MAX = 1024 * 1024 };

/* ---- Rounds */

static int send_question(struct poc *poc, const struct question *q, uint64_t named, uint32_t *id)
{
	Poc__Lookup lookup = POC__LOOKUP__INIT;
	Poc__GetEnvelopes get = POC__GET_ENVELOPES__INIT;
	Poc__Request request = POC__REQUEST__INIT;

	if (q->place != NULL) {
		lookup.place = (char *)q->place;
		lookup.checkpoint_size = named;
		lookup.sections = (char **)q->names;
		lookup.n_sections = q->n_names;
		request.body_case = POC__REQUEST__BODY_LOOKUP;
		request.lookup = &lookup;
	} else {
		get.names = (char **)q->names;
		get.n_names = q->n_names;
		get.checkpoint_size = named;
		get.from_seq = q->from_seq;
		request.body_case = POC__REQUEST__BODY_GET_ENVELOPES;
		request.get_envelopes = &get;
	}
	return transport_send(poc->transport, &request, id, poc->deadline, &poc->why);
}

static int receive_proof(struct poc *poc, uint32_t id, Poc__Proof **proof)
{
	Poc__Response *answer;
	int status = connection_receive(poc, id, &answer);

	if (status == 0 && answer->body_case != POC__RESPONSE__BODY_PROOF)
		status = refuse(&poc->why, STATUS_MALFORMED, "", "the server answers something else");
	if (status == 0)
		status = proof_decode(answer->proof.data, answer->proof.len, proof, &poc->why);
	if (status == 0 && ((*proof)->complete || (*proof)->n_trust > 0)) {
		message_free(*proof);
		*proof = NULL;
		status = refuse(&poc->why, STATUS_UNVERIFIED, "proof", "not a proof of single names");
	}
	message_free(answer);
	return status;
}

/* Whether an answer is of the session's head: it leaves the checkpoint out, which stands for the one that the request
 * named, or it repeats the head's. */
static bool of_head(const struct poc *poc, const Poc__Proof *proof, uint64_t named)
{
	struct note note;
	struct checkpoint checkpoint;

	if (proof->checkpoint == NULL)
		return named != 0 && named == poc->head->checkpoint.size;
	return note_parse((const char *)proof->checkpoint->note.data, proof->checkpoint->note.len, &note, NULL) == 0 &&
	       checkpoint_parse(note.text, note.text_size, &checkpoint, NULL) == 0 &&
	       checkpoint.size == poc->head->checkpoint.size &&
	       hash_compare(&checkpoint.root, &poc->head->checkpoint.root) == 0;
}

void session_free_answers(struct question *questions, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		message_free(questions[i].proof);
		questions[i].proof = NULL;
	}
}

/* ---- The head */

static int ask_head(struct poc *poc)
{
	Poc__GetHead get;
	Poc__Request request = POC__REQUEST__INIT;
	Poc__Response *answer;

	advance_request(poc, &get);
	request.body_case = POC__REQUEST__BODY_GET_HEAD;
	request.get_head = &get;
	int status = connection_call(poc, &request, &answer);
	if (status == 0 && answer->body_case != POC__RESPONSE__BODY_HEAD)
		status = refuse(&poc->why, STATUS_MALFORMED, "", "the server answers something else");
	if (status == 0)
		status = advance_head(poc, answer->head);
	message_free(answer);
	return status;
}

/* T in pages, from what is held to the newest, for an answer with all of it is too large. */
static int fetch_trust(struct poc *poc)
{
	const char *names[] = {"T"};
	size_t before;
	int status = 0;

	advance_drop(poc);
	do {
		struct question q = {.names = names, .n_names = 1, .from_seq = poc->held.n_trust + poc->n_ahead + 1};
		Poc__Proof *page;
		uint32_t id;
		before = poc->n_ahead;
		connection_begin(poc); /* each page has the whole time limit */
		status = send_question(poc, &q, 0, &id);
		if (status == 0)
			status = receive_proof(poc, id, &page);
		if (status != 0)
			break;
		const Poc__Item *item = proof_item(page, "T");
		status = item != NULL ? advance_trust(poc, item)
				      : refuse(&poc->why, STATUS_UNVERIFIED, "T", "the answer lacks T");
		message_free(page);
	} while (status == 0 && poc->n_ahead > before);
	return status;
}

int session_move(struct poc *poc)
{
	int status = advance_begin(poc);

	if (status != 0)
		return status;
	status = STATUS_CONFLICT;
	for (int i = 0; i < ROUNDS_MAX && status == STATUS_CONFLICT; i++) {
		status = ask_head(poc);
		if (status == STATUS_TOO_LARGE) {
			status = fetch_trust(poc);
			if (status == 0)
				status = ask_head(poc);
			advance_drop(poc);
		}
	}
	return status != STATUS_CONFLICT
		   ? status
		   : refuse(&poc->why, STATUS_BUSY, "state.dir", "other processes keep moving the held state");
}

/* ---- Flights of questions */

/* One flight of questions; *moved: the server's head is not ours. */
static int ask_once(struct poc *poc, struct question *questions, size_t n, bool *moved)
{
	uint64_t named = poc->head->checkpoint.size;
	uint32_t ids[QUESTIONS_MAX];
	int status = 0, first = 0;
	size_t sent = 0;
	struct refusal why;

	*moved = false;
	for (; sent < n && status == 0; sent++)
		status = send_question(poc, &questions[sent], named, &ids[sent]);
	if (status != 0)
		return status;
	for (size_t i = 0; i < n; i++) { /* every answer is taken off the stream, whatever the first one said */
		status = receive_proof(poc, ids[i], &questions[i].proof);
		if (status != 0 && first == 0) {
			first = status;
			why = poc->why;
		}
		if (!transport_usable(poc->transport))
			break;
		if (status == 0 && !of_head(poc, questions[i].proof, named))
			*moved = true;
	}
	if (first != 0)
		poc->why = why;
	return first;
}

static int ask_rounds(struct poc *poc, struct question *questions, size_t n)
{
	const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};

	for (int i = 0; i < ROUNDS_MAX; i++) {
		bool moved;
		int status = ask_once(poc, questions, n, &moved);
		if (status == 0 && !moved)
			return 0;
		session_free_answers(questions, n);
		if (status != 0)
			return status;
		if (i > 2)
			nanosleep(&pause, NULL);
		status = session_move(poc);
		if (status != 0)
			return status;
	}
	return refuse(&poc->why, STATUS_BUSY, "", "the directory's head moves faster than it can be read");
}

int session_item(struct poc *poc, const Poc__Proof *proof, const char *name, const Poc__Item **item,
		 struct verified_item *proven)
{
	*item = proof_item(proof, name);
	if (*item == NULL)
		return refuse(&poc->why, STATUS_UNVERIFIED, name, "the answer lacks %s", name);
	return verify_item(poc->head, *item, false, proven, &poc->why);
}

/* ---- Chains of K */

static struct keys_entry *find_keys(struct poc *poc, const struct name *name)
{
	for (size_t i = 0; i < poc->n_keys; i++) {
		if (strcmp(poc->keys[i].name.text, name->text) == 0)
			return &poc->keys[i];
	}
	return NULL;
}

static void cache_name(const struct name *name, char out[STATE_MAX_LENGTH + 8])
{
	snprintf(out, STATE_MAX_LENGTH + 8, "K-%s", name->state);
}

/* The cache is no more than a saved request: whatever is wrong with a file, the server is asked. */
static Poc__Item *read_cache(struct poc *poc, const struct name *name)
{
	char file[STATE_MAX_LENGTH + 8];
	uint8_t *bytes;
	size_t size;
	ProtobufCMessage *message = NULL;

	if (poc->folder == NULL)
		return NULL;
	cache_name(name, file);
	if (held_read_file(poc->folder, file, KEYS_CACHE_MAX, &bytes, &size, NULL) != 0)
		return NULL;
	if (message_decode(&poc__item__descriptor, bytes, size, NULL, &message, NULL) != 0)
		message = NULL;
	free(bytes);
	return (Poc__Item *)message;
}

static Poc__Item *copy_chain(const struct name *name, const ProtobufCBinaryData *chain, size_t n, uint8_t **bytes,
			     size_t *size)
{
	Poc__Item item = POC__ITEM__INIT;
	ProtobufCMessage *message = NULL;
	struct prescan_limits limits = {.depth = 2, .fields = 65536, .memory = 64 * 1024 * 1024};

	item.name = (char *)name->text;
	item.envelopes = (ProtobufCBinaryData *)chain;
	item.n_envelopes = n;
	if (message_encode(&item, bytes, size) != 0)
		return NULL;
	if (message_decode(&poc__item__descriptor, *bytes, *size, &limits, &message, NULL) != 0) {
		free(*bytes);
		*bytes = NULL;
	}
	return (Poc__Item *)message;
}

static int remember_keys(struct poc *poc, const struct name *name, const struct hash *value,
			 const ProtobufCBinaryData *chain, size_t n, bool write, const Poc__Item **out)
{
	struct keys_entry *entry = find_keys(poc, name);
	char file[STATE_MAX_LENGTH + 8];
	uint8_t *bytes = NULL;
	size_t size;

	if (entry == NULL) {
		struct keys_entry *grown = realloc(poc->keys, (poc->n_keys + 1) * sizeof *grown);
		if (grown == NULL)
			return refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
		poc->keys = grown;
		entry = &grown[poc->n_keys++];
		*entry = (struct keys_entry){.name = *name};
	}
	Poc__Item *item = copy_chain(name, chain, n, &bytes, &size);
	if (item == NULL)
		return refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
	message_free(entry->item);
	entry->item = item;
	entry->value = *value;
	*out = item;
	cache_name(name, file);
	if (write && poc->folder != NULL)
		held_write_file(poc->folder, file, bytes, size, NULL); /* lost: asked for again */
	free(bytes);
	return 0;
}

static int fetch_keys(struct poc *poc, const struct name *name, Poc__Proof **proof)
{
	const char *names[] = {name->text};
	struct question q = {.names = names, .n_names = 1};
	uint32_t id;
	int status = send_question(poc, &q, poc->head->checkpoint.size, &id);

	/* Only the chain is wanted: its end is the value that is proven already, whatever head this answer is of. */
	return status != 0 ? status : receive_proof(poc, id, proof);
}

static bool ends_at(const Poc__Item *item, const struct hash *value)
{
	if (item == NULL || item->n_envelopes == 0)
		return false;
	const ProtobufCBinaryData *last = &item->envelopes[item->n_envelopes - 1];
	struct hash hash = hash_of(last->data, last->len);
	return hash_compare(&hash, value) == 0;
}

/* Verifies a chain, remembers it, notes it as seen. */
static int take_keys(struct poc *poc, const struct verified_head *head, const struct verified_item *proven,
		     const Poc__Item *chain, bool write, const Poc__Item **item, struct envelope **keys, bool *replaced)
{
	int status = verify_keys(head, &proven->name, &proven->value, chain->envelopes, chain->n_envelopes, keys,
				 replaced, &poc->why);

	if (status == 0)
		status = advance_note_key(poc, proven->name.state, (*keys)->seq, &(*keys)->value);
	if (status == 0)
		status = remember_keys(poc, &proven->name, &proven->value, chain->envelopes, chain->n_envelopes, write,
				       item);
	if (status != 0) {
		envelope_destroy(*keys);
		*keys = NULL;
	}
	return status;
}

int session_keys(struct poc *poc, const struct verified_head *head, const struct verified_item *proven,
		 const Poc__Item *chain, const Poc__Item **item, struct envelope **keys, bool *replaced)
{
	const struct keys_entry *entry = find_keys(poc, &proven->name);
	Poc__Proof *proof = NULL;

	*keys = NULL;
	if (entry != NULL && hash_compare(&entry->value, &proven->value) == 0) {
		*item = entry->item;
		return verify_keys(head, &proven->name, &proven->value, entry->item->envelopes,
				   entry->item->n_envelopes, keys, replaced, &poc->why);
	}
	if (ends_at(chain, &proven->value))
		return take_keys(poc, head, proven, chain, true, item, keys, replaced);
	Poc__Item *cached = read_cache(poc, &proven->name);
	if (ends_at(cached, &proven->value)) {
		struct refusal before = poc->why;
		int status = take_keys(poc, head, proven, cached, false, item, keys, replaced);
		if (status != STATUS_UNVERIFIED) {
			message_free(cached);
			return status;
		}
		poc->why = before; /* a meddled file is not the directory's fault: ask */
	}
	message_free(cached);
	int status = fetch_keys(poc, &proven->name, &proof);
	if (status != 0)
		return status;
	chain = proof_item(proof, proven->name.text);
	if (chain == NULL || chain->n_envelopes == 0)
		status = refuse(&poc->why, STATUS_UNVERIFIED, proven->name.text, "the server does not give %s",
				proven->name.text);
	else
		status = take_keys(poc, head, proven, chain, true, item, keys, replaced);
	message_free(proof);
	return status;
}

/* ---- Who we are, and who the server is */

/* U of a place from an answer to GetEnvelopes for it and the K of its state; *users NULL if absent or lapsed. */
static int users_of(struct poc *poc, const Poc__Proof *proof, const struct name *u, struct envelope **users)
{
	struct name k;
	struct verified_item keys_proven, users_proven;
	const Poc__Item *keys_item, *users_item, *chain;
	struct envelope *keys = NULL;
	bool replaced;

	*users = NULL;
	if (!name_make(NAME_KEYS, u->state, NULL, &k))
		return refuse(&poc->why, STATUS_USAGE, "user.state", "\"%.20s\" is not a state", u->state);
	int status = session_item(poc, proof, k.text, &keys_item, &keys_proven);
	if (status == 0)
		status = session_item(poc, proof, u->text, &users_item, &users_proven);
	if (status != 0 || keys_proven.absent || users_proven.absent)
		return status;
	if (users_item->n_envelopes == 0) /* whoever may not read it is told so, and gets no proof */
		return refuse(&poc->why, STATUS_UNVERIFIED, u->text, "the server keeps back %s", u->text);
	status = session_keys(poc, poc->head, &keys_proven, keys_item, &chain, &keys, &replaced);
	if (status == 0)
		status =
		    verify_users(poc->head, keys, u, &users_proven.value, &users_item->envelopes[0], users, &poc->why);
	envelope_destroy(keys);
	return status == STATUS_ORPHANS ? 0 : status; /* it has lapsed: nobody is listed */
}

static int ask_users(struct poc *poc, const char *place, struct envelope **users)
{
	struct name u;
	char k[NAME_MAX_LENGTH + 1];
	const char *names[] = {k, u.text};
	struct question q = {.names = names, .n_names = 2};

	*users = NULL;
	if (!desk_users(place, &u))
		return refuse(&poc->why, STATUS_USAGE, "user.state", "\"%.60s\" is not a place", place);
	snprintf(k, sizeof k, "K/%s", u.state);
	int status = ask_rounds(poc, &q, 1);
	if (status == 0)
		status = users_of(poc, q.proof, &u, users);
	session_free_answers(&q, 1);
	return status;
}

/* Our entry in the U of our place, under the session's head. */
static int refresh_own(struct poc *poc)
{
	struct envelope *users = NULL;

	if (poc->own_size == poc->head->checkpoint.size)
		return 0;
	int status = ask_users(poc, poc->user_place, &users);
	bool denied = status == STATUS_DENIED || status == STATUS_SUSPENDED || status == STATUS_EXPIRED;
	if (denied)
		status = 0; /* whoever is not listed may not read U: then this is what we know */
	if (status != 0)
		return status;
	poc->own_denied = denied;
	envelope_destroy(poc->own_users);
	poc->own_users = users;
	poc->own = users != NULL ? users_find(users->payload.users, &keystore_public(poc->key)->id) : NULL;
	if (poc->own != NULL && user_expired(poc->own, (int64_t)(poc->head->leaf.time_ms / 1000)))
		poc->own = NULL;
	poc->own_size = poc->head->checkpoint.size;
	return 0;
}

enum reader_class session_reader(const struct poc *poc, const char *state)
{
	return poc->own != NULL ? reader_class_of(poc->own, poc->user_state, state) : READER_PLAIN;
}

int session_withheld(struct poc *poc, const struct verified_record *record)
{
	if (!poc->own_denied || record->withheld == 0)
		return 0;
	return refuse(&poc->why, STATUS_UNVERIFIED, record->name.text,
		      "the server does not show U/%s, which says what this user may see, and keeps back %zu section%s "
		      "of %s",
		      poc->user_place, record->withheld, record->withheld == 1 ? "" : "s", record->name.text);
}

static bool has_role_here(const struct poc *poc, const struct envelope *users, Poc__Role role)
{
	const Poc__User *user = users != NULL ? users_find(users->payload.users, transport_pin(poc->transport)) : NULL;

	return user != NULL && user_has_role(user, role) &&
	       !user_expired(user, (int64_t)(poc->head->leaf.time_ms / 1000));
}

/* A server is accepted by its configured pin, or because the directory lists it; nothing else is asked of one that is
 * not accepted yet. */
static int accept_server(struct poc *poc)
{
	struct envelope *users = NULL;
	char pin[2 * HASH_SIZE + 1];

	if (poc->have_server_pin && hash_compare(&poc->server_pin, transport_pin(poc->transport)) == 0) {
		poc->accepted = true;
		return 0;
	}
	int status = ask_users(poc, STATE_DIRECTORY, &users);
	if (status != 0)
		return status;
	poc->accepted = has_role_here(poc, users, POC__ROLE__ROLE_SERVER);
	envelope_destroy(users);
	if (poc->accepted)
		return 0;
	status = ask_users(poc, poc->user_state, &users); /* our own state's mirror */
	if (status == STATUS_DENIED || status == STATUS_SUSPENDED || status == STATUS_EXPIRED)
		status = 0; /* we are not listed ourselves */
	if (status != 0)
		return status;
	poc->accepted = has_role_here(poc, users, POC__ROLE__ROLE_MIRROR);
	envelope_destroy(users);
	if (poc->accepted)
		return 0;
	hash_to_hex(transport_pin(poc->transport), pin);
	return refuse(&poc->why, STATUS_TLS, "",
		      "%s shows the key %s, which is neither the pinned one nor in U/@directory, nor a mirror's of %s",
		      transport_server(poc->transport), pin, poc->user_state);
}

/* ---- Connecting */

/* Keys of the user are rotated by listing the new one in the place of the old one: whichever the server lists. */
static void swap_keys(struct poc *poc)
{
	struct keystore_key *key = poc->key;
	struct transport_context *context = poc->context;

	poc->key = poc->next_key;
	poc->context = poc->next_context;
	poc->next_key = key;
	poc->next_context = context;
	poc->uses_next = !poc->uses_next;
	poc->own_size = 0;
	poc->own = NULL;
}

static int start_as(struct poc *poc, const char *server)
{
	int status = connection_open(poc, server);
	if (status == 0)
		status = session_move(poc);
	if (status == 0)
		status = accept_server(poc);
	if (status == 0)
		status = refresh_own(poc);
	if (status != 0)
		connection_close(poc);
	return status;
}

static int start(struct poc *poc, const char *server)
{
	int status = start_as(poc, server);

	if (status != 0 || poc->own != NULL || poc->next_key == NULL)
		return status;
	swap_keys(poc);
	status = start_as(poc, server);
	if (status == 0 && poc->own != NULL)
		return 0;
	swap_keys(poc); /* neither is listed: what there is to say is said of the first */
	return start_as(poc, server);
}

static size_t split_servers(char *list, const char *servers[SERVERS_MAX])
{
	size_t n = 0;
	char *rest = list;

	for (char *at = strsep(&rest, ", \t"); at != NULL && n < SERVERS_MAX; at = strsep(&rest, ", \t")) {
		if (*at != '\0')
			servers[n++] = at;
	}
	return n;
}

/* What another server may do better. */
static bool try_next(int status)
{
	return status == STATUS_UNREACHABLE || status == STATUS_TLS || status == STATUS_BEHIND ||
	       status == STATUS_BUSY || status == STATUS_DIRECTORY || status == STATUS_PROTOCOL ||
	       status == STATUS_MALFORMED;
}

int session_connect(struct poc *poc)
{
	const char *servers[SERVERS_MAX];
	int status, worst = 0;
	struct refusal why;

	if (poc->transport != NULL && transport_usable(poc->transport) && poc->accepted)
		return 0;
	if (poc->context == NULL)
		return refuse(&poc->why, STATUS_USAGE, "user", "the configuration names no user: offline use only");
	char *list = strdup(poc->servers != NULL ? poc->servers : "");
	if (list == NULL)
		return refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
	size_t n = split_servers(list, servers);
	int64_t end = poc->deadline;
	status = n == 0 ? refuse(&poc->why, STATUS_USAGE, "directory.server", "the configuration names no server") : 0;
	for (size_t i = 0; i < n; i++) {
		/* a silent server must not eat the time of those after it */
		int64_t now = transport_clock();
		poc->deadline = now + (end - now) / (int64_t)(n - i);
		status = start(poc, servers[i]);
		if (status == 0 || !try_next(status))
			break;
		if (worst != STATUS_BEHIND) {
			worst = status;
			why = poc->why;
		}
	}
	poc->deadline = end;
	free(list);
	if (status != 0 && try_next(status) && worst != 0) {
		poc->why = why;
		status = worst;
	}
	poc->lost = status != 0 ? poc->why : (struct refusal){0};
	return status;
}

static int ask_connected(struct poc *poc, struct question *questions, size_t n)
{
	for (int i = 0; i < ROUNDS_MAX; i++) {
		int status = refresh_own(poc);
		if (status == 0)
			status = ask_rounds(poc, questions, n);
		if (status != 0 || poc->own_size == poc->head->checkpoint.size)
			return status;
		session_free_answers(questions, n); /* the head moved: who we are has to be looked at again */
	}
	return refuse(&poc->why, STATUS_BUSY, "", "the directory's head moves faster than it can be read");
}

int session_ask(struct poc *poc, struct question *questions, size_t n)
{
	bool fresh = poc->transport == NULL;
	int status = session_connect(poc);

	if (n > QUESTIONS_MAX)
		return refuse(&poc->why, STATUS_USAGE, "", "too many questions");
	if (status == 0)
		status = ask_connected(poc, questions, n);
	if (status == STATUS_UNREACHABLE && !fresh) { /* an idle connection that the server had closed */
		connection_close(poc);
		status = session_connect(poc);
		if (status == 0)
			status = ask_connected(poc, questions, n);
	}
	return status;
}
