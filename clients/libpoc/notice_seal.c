#include "clients/libpoc/notice_seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/libpoc/copy.h"
#include "clients/libpoc/session.h"
#include "proto/rules/signed.h"

enum { PLACES_MAX = 1 + NOTICE_DESKS_MAX + NOTICE_ESCALATIONS_MAX, ROUND_PLACES = 7, ROUNDS_MAX = 5 };

void client_sealed_finish(struct client_sealed *sealed)
{
	free(sealed->header);
	free(sealed->body);
	*sealed = (struct client_sealed){0};
}

/* ---- U of the places */

struct places {
	size_t n;
	struct name names[PLACES_MAX]; /* U/... */
	struct client_envelope users[PLACES_MAX];
};

static int add_place(struct poc *poc, struct places *places, const char *place)
{
	struct name name;

	if (!desk_users(place, &name))
		return refuse(&poc->why, STATUS_USAGE, "to", "\"%.64s\" is not a place", place);
	for (size_t i = 0; i < places->n; i++) {
		if (strcmp(places->names[i].text, name.text) == 0)
			return 0;
	}
	places->names[places->n++] = name;
	return 0;
}

static const struct verified_head *head_of(const struct poc *poc, enum client_mode mode)
{
	return mode == CLIENT_OFFLINE ? poc->copy : poc->head;
}

static void places_finish(struct places *places)
{
	client_envelopes_finish(places->users, places->n);
}

/* All under one head: asked again when it moved between two questions. */
static int fetch_places(struct poc *poc, enum client_mode mode, struct places *places)
{
	for (int round = 0; round < ROUNDS_MAX; round++) {
		uint64_t size = 0;
		bool moved = false;
		for (size_t i = 0; i < places->n && !moved; i += ROUND_PLACES) {
			const char *names[ROUND_PLACES];
			size_t n = 0;
			for (; n < ROUND_PLACES && i + n < places->n; n++)
				names[n] = places->names[i + n].text;
			int status = client_envelopes(poc, mode, names, n, &places->users[i]);
			if (status != 0)
				return status;
			moved = i > 0 && head_of(poc, mode)->checkpoint.size != size;
			size = head_of(poc, mode)->checkpoint.size;
		}
		if (!moved)
			return 0;
		places_finish(places);
	}
	return refuse(&poc->why, STATUS_BUSY, "", "the directory's head moves faster than it can be read");
}

static int check_places(struct poc *poc, const struct places *places)
{
	for (size_t i = 0; i < places->n; i++) {
		const struct name *name = &places->names[i];
		if (places->users[i].suspended)
			return refuse(&poc->why, STATUS_SUSPENDED, "to", "%s is suspended", name->state);
		if (places->users[i].envelope == NULL)
			return refuse(&poc->why, STATUS_NOT_FOUND, "to", "%s has no users in the directory%s",
				      name->text + 2, places->users[i].absent ? " (proven)" : "");
	}
	return 0;
}

/* ---- Reading keys */

static bool key_serves(const Poc__ReadingKey *key, Poc__PocKind kind)
{
	for (size_t i = 0; i < key->n_kinds; i++) {
		if (key->kinds[i] == kind)
			return true;
	}
	return false;
}

static bool key_current(const Poc__Users *users, const Poc__ReadingKey *key, int64_t now)
{
	const Poc__User *user = key->handle[0] != '\0' ? users_find_handle(users, key->handle) : NULL;

	return (key->not_after == 0 || now < key->not_after) && (user == NULL || !user_expired(user, now));
}

/* Desks and archives first: were there more keys than fit, those that outlive a person stay. */
static size_t pick_keys(const Poc__Users *users, Poc__PocKind kind, int64_t now,
			struct public_key out[NOTICE_DESK_KEYS_MAX])
{
	size_t n = 0;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < users->n_reading_keys && n < NOTICE_DESK_KEYS_MAX; i++) {
			const Poc__ReadingKey *key = users->reading_keys[i];
			if ((key->holder == POC__HOLDER__HOLDER_USER) == (round == 1) && key_serves(key, kind) &&
			    key_current(users, key, now) &&
			    public_key_parse(key->spki.data, key->spki.len, &out[n], NULL) == 0)
				n++;
		}
	}
	return n;
}

static int keys_of_desk(struct poc *poc, const struct places *places, const struct client_desk *desk, int64_t now,
			struct public_key *room, struct notice_keys *out)
{
	struct name name;

	if (!desk_users(desk->place, &name))
		return refuse(&poc->why, STATUS_USAGE, "to", "\"%.64s\" is not a place", desk->place);
	for (size_t i = 0; i < places->n; i++) {
		if (strcmp(places->names[i].text, name.text) != 0)
			continue;
		*out = (struct notice_keys){room,
					    pick_keys(places->users[i].envelope->payload.users, desk->kind, now, room)};
		if (out->n > 0)
			return 0;
	}
	return refuse(&poc->why, STATUS_NO_READING_KEY, "",
		      "%s %s has no reading key: nothing can be encrypted to it; use another channel (poc lookup %s)",
		      desk->place, poc_kind_name(desk->kind), desk->place);
}

/* ---- Who we are */

static int own_user(struct poc *poc, enum client_mode mode, struct envelope **users, const Poc__User **user)
{
	int status = poc->user_state[0] != '\0' && poc->key != NULL
			 ? client_users(poc, mode, poc->user_place, users, NULL)
			 : refuse(&poc->why, STATUS_DENIED, "user", "the configuration names no user");

	if (status != 0)
		return status;
	*user = users_find((*users)->payload.users, &keystore_public(poc->key)->id);
	if (*user != NULL && !user_expired(*user, (int64_t)(head_of(poc, mode)->leaf.time_ms / 1000)))
		return 0;
	envelope_destroy(*users);
	*users = NULL;
	return refuse(&poc->why, STATUS_DENIED, "user", "our key is not listed in U/%s", poc->user_place);
}

int client_users(struct poc *poc, enum client_mode mode, const char *place, struct envelope **out, bool *suspended)
{
	struct name name;
	struct client_envelope found;

	*out = NULL;
	if (!desk_users(place, &name))
		return refuse(&poc->why, STATUS_USAGE, "", "\"%.64s\" is not a place", place);
	const char *names[] = {name.text};
	int status = client_envelopes(poc, mode, names, 1, &found);
	if (status != 0)
		return status;
	*out = found.envelope;
	if (suspended != NULL)
		*suspended = found.suspended;
	return found.envelope != NULL
		   ? 0
		   : refuse(&poc->why, STATUS_NOT_FOUND, "", "%s has no users in the directory", place);
}

int client_own_handle(struct poc *poc, enum client_mode mode, char *out)
{
	struct envelope *users = NULL;
	const Poc__User *user;
	int status = own_user(poc, mode, &users, &user);

	if (status == 0)
		snprintf(out, UNIT_MAX_LENGTH + 1, "%s", user->handle);
	envelope_destroy(users);
	return status;
}

int client_own_desks(struct poc *poc, enum client_mode mode, struct client_desk *out, size_t *n)
{
	static const Poc__PocKind kinds[] = {POC__POC_KIND__POC_KIND_TECHNICAL, POC__POC_KIND__POC_KIND_DIPLOMATIC,
					     POC__POC_KIND__POC_KIND_COORDINATOR};
	struct envelope *users = NULL;
	const Poc__User *user;
	int status = own_user(poc, mode, &users, &user);

	*n = 0;
	for (size_t i = 0; i < 3 && status == 0; i++) {
		if (!user_serves(user, kinds[i]) || !desk_valid(poc->user_place, kinds[i]))
			continue;
		snprintf(out[*n].place, sizeof out[*n].place, "%s", poc->user_place);
		out[(*n)++].kind = kinds[i];
	}
	if (status == 0 && *n == 0)
		status = refuse(&poc->why, STATUS_DENIED, "user",
				"%s of %s serves no point of contact: notices are for those who do", user->handle,
				poc->user_place);
	envelope_destroy(users);
	return status;
}

/* ---- Sealing */

static int by_desk(const void *a, const void *b)
{
	const struct client_desk *x = a, *y = b;
	int order = strcmp(x->place, y->place);

	return order != 0 ? order : (int)x->kind - (int)y->kind;
}

/* What notice_make takes, with room for the keys of every desk. */
struct sealing {
	struct places places;
	struct client_desk to[NOTICE_DESKS_MAX];
	Poc__Core core;
	Poc__Desk from, desks[NOTICE_DESKS_MAX], targets[NOTICE_ESCALATIONS_MAX];
	Poc__Desk *to_list[NOTICE_DESKS_MAX];
	Poc__Escalation escalations[NOTICE_ESCALATIONS_MAX], *escalation_list[NOTICE_ESCALATIONS_MAX];
	struct notice_keys keys[PLACES_MAX];
	struct public_key room[PLACES_MAX][NOTICE_DESK_KEYS_MAX];
	char handle[UNIT_MAX_LENGTH + 1];
};

static void fill_desk(Poc__Desk *out, const struct client_desk *desk)
{
	poc__desk__init(out);
	out->place = (char *)desk->place;
	out->kind = desk->kind;
}

static void fill_core(const struct poc *poc, const struct client_notice *n, struct sealing *s)
{
	Poc__Core *core = &s->core;

	poc__core__init(core);
	core->directory_id = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)poc->pins.directory.bytes};
	core->id = (ProtobufCBinaryData){NOTICE_ID_SIZE, (uint8_t *)n->id.bytes};
	core->thread = (ProtobufCBinaryData){NOTICE_ID_SIZE, (uint8_t *)n->thread.bytes};
	core->answers = (ProtobufCBinaryData){n->has_answers ? NOTICE_ID_SIZE : 0, (uint8_t *)n->answers.bytes};
	fill_desk(&s->from, &n->from);
	core->from = &s->from;
	core->handle = s->handle;
	for (size_t i = 0; i < n->n_to; i++) {
		fill_desk(&s->desks[i], &s->to[i]);
		s->to_list[i] = &s->desks[i];
	}
	core->to = s->to_list;
	core->n_to = n->n_to;
	for (size_t i = 0; i < n->n_escalations; i++) {
		poc__escalation__init(&s->escalations[i]);
		fill_desk(&s->targets[i], &n->escalations[i].to);
		s->escalations[i].to = &s->targets[i];
		s->escalations[i].at = n->escalations[i].at;
		s->escalation_list[i] = &s->escalations[i];
	}
	core->escalations = s->escalation_list;
	core->n_escalations = n->n_escalations;
	core->category = n->category;
	core->urgency = n->urgency;
	core->tlp = n->tlp;
	core->exercise = (char *)n->exercise;
	core->created = n->created;
	core->reply_by = n->reply_by;
}

static int gather(struct poc *poc, enum client_mode mode, const struct client_notice *n, struct sealing *s)
{
	int status = add_place(poc, &s->places, n->from.place);

	for (size_t i = 0; i < n->n_to && status == 0; i++)
		status = add_place(poc, &s->places, n->to[i].place);
	for (size_t i = 0; i < n->n_escalations && status == 0; i++)
		status = add_place(poc, &s->places, n->escalations[i].to.place);
	if (status == 0)
		status = fetch_places(poc, mode, &s->places);
	if (status == 0)
		status = check_places(poc, &s->places);
	if (status != 0)
		return status;
	int64_t now = (int64_t)(head_of(poc, mode)->leaf.time_ms / 1000);
	size_t at = 0;
	status = keys_of_desk(poc, &s->places, &n->from, now, s->room[at], &s->keys[at]);
	for (size_t i = 0; i < n->n_to && status == 0; i++) {
		at++;
		status = keys_of_desk(poc, &s->places, &s->to[i], now, s->room[at], &s->keys[at]);
	}
	for (size_t i = 0; i < n->n_escalations && status == 0; i++) {
		at++;
		status = keys_of_desk(poc, &s->places, &n->escalations[i].to, now, s->room[at], &s->keys[at]);
	}
	return status;
}

/* Our entry is in our own U, which is among those fetched, for it is the sender's. */
static int take_handle(struct poc *poc, struct sealing *s)
{
	for (size_t i = 0; i < s->places.n; i++) {
		const struct envelope *users = s->places.users[i].envelope;
		const Poc__User *user = strcmp(s->places.names[i].text + 2, poc->user_place) == 0
					    ? users_find(users->payload.users, &keystore_public(poc->key)->id)
					    : NULL;
		if (user != NULL) {
			snprintf(s->handle, sizeof s->handle, "%s", user->handle);
			return 0;
		}
	}
	return refuse(&poc->why, STATUS_DENIED, "user", "our key is not listed in U/%s", poc->user_place);
}

/* What is said for the first time leaves room for the proofs with which it may be passed on. */
static int check_size(struct poc *poc, const Poc__NoticeContent *content)
{
	const size_t size = poc__notice_content__get_packed_size(content);

	return content->forwarded.len > 0 || size <= CLIENT_CONTENT_MAX
		   ? 0
		   : refuse(&poc->why, STATUS_TOO_LARGE, "content",
			    "the notice has %zu bytes with attachments: at most %d, so that it can be forwarded", size,
			    CLIENT_CONTENT_MAX);
}

int client_seal(struct poc *poc, enum client_mode mode, const struct client_notice *notice, struct client_sealed *out)
{
	struct sealing *s = calloc(1, sizeof *s);

	*out = (struct client_sealed){0};
	connection_begin(poc);
	if (s == NULL)
		return refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
	memcpy(s->to, notice->to, notice->n_to * sizeof *s->to);
	qsort(s->to, notice->n_to, sizeof *s->to, by_desk);
	int status = poc->key != NULL ? check_size(poc, notice->content)
				      : refuse(&poc->why, STATUS_DENIED, "user", "the configuration names no user");
	if (status == 0)
		status = gather(poc, mode, notice, s);
	if (status == 0)
		status = take_handle(poc, s);
	if (status == 0) {
		fill_core(poc, notice, s);
		status = notice_make(&s->core, notice->content, s->keys, poc->key, &out->header, &out->header_size,
				     &out->body, &out->body_size, &poc->why);
	}
	if (status != 0)
		client_sealed_finish(out);
	places_finish(&s->places);
	free(s);
	return status;
}

int client_desk_keys(struct poc *poc, enum client_mode mode, const struct client_desk *desk, struct hash *out,
		     size_t *n)
{
	struct places *places = calloc(1, sizeof *places);
	struct public_key room[NOTICE_DESK_KEYS_MAX];
	struct notice_keys keys = {0};

	*n = 0;
	connection_begin(poc);
	if (places == NULL)
		return refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
	int status = add_place(poc, places, desk->place);
	if (status == 0)
		status = fetch_places(poc, mode, places);
	if (status == 0)
		status = check_places(poc, places);
	if (status == 0)
		status =
		    keys_of_desk(poc, places, desk, (int64_t)(head_of(poc, mode)->leaf.time_ms / 1000), room, &keys);
	for (size_t i = 0; status == 0 && i < keys.n; i++)
		out[(*n)++] = keys.keys[i].id;
	places_finish(places);
	free(places);
	return status;
}
