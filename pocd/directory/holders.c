#include "pocd/directory/holders.h"

#include <stdlib.h>
#include <string.h>

#include "pocd/directory/item.h"
#include "proto/rules/chain.h"
#include "proto/rules/register.h"
#include "proto/rules/trust.h"

/* ---- One version */

struct holder *holder_create(struct envelope *envelope)
{
	struct holder *holder = calloc(1, sizeof *holder);

	if (holder == NULL) {
		envelope_destroy(envelope);
		return NULL;
	}
	atomic_init(&holder->references, 1);
	holder->envelope = envelope;
	return holder;
}

struct holder *holder_ref(struct holder *holder)
{
	if (holder != NULL)
		atomic_fetch_add_explicit(&holder->references, 1, memory_order_relaxed);
	return holder;
}

void holder_unref(struct holder *holder)
{
	if (holder == NULL || atomic_fetch_sub_explicit(&holder->references, 1, memory_order_acq_rel) != 1)
		return;
	envelope_destroy(holder->envelope);
	free(holder);
}

/* ---- All of them */

static void holders_destroy(void *extra)
{
	struct holders *holders = extra;

	if (holders == NULL)
		return;
	for (size_t i = 0; i < holders->n_states; i++) {
		holder_unref(holders->states[i].keys);
		free(holders->states[i].keys_item);
	}
	for (size_t i = 0; i < holders->n_users; i++)
		holder_unref(holders->users[i].users);
	holder_unref(holders->trust);
	holder_unref(holders->reg);
	pins_unref(holders->pins);
	cache_destroy(holders->cache);
	free(holders->states);
	free(holders->users);
	free(holders);
}

struct build {
	struct store_view *view;
	struct store *store;
	const struct snapshot *prev, *next;
	struct holders *made;
	bool trust_changed, users_changed; /* users_changed: the pins must be made anew */
};

/* Where code is, or belongs. */
static int state_place(const struct holders *holders, const char *code, size_t *place)
{
	size_t low = 0, high = holders->n_states;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(holders->states[middle].code, code);
		if (order == 0) {
			*place = middle;
			return 0;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*place = low;
	return STATUS_NOT_FOUND;
}

/* Finds code, or makes room for it at its place. */
static struct held_state *state_slot(struct holders *holders, const char *code)
{
	size_t place;

	if (state_place(holders, code, &place) == 0)
		return &holders->states[place];
	struct held_state *states = realloc(holders->states, (holders->n_states + 1) * sizeof *states);
	if (states == NULL)
		return NULL;
	holders->states = states;
	for (size_t i = holders->n_states++; i > place; i--)
		states[i] = states[i - 1];
	states[place] = (struct held_state){0};
	strcpy(states[place].code, code);
	return &states[place];
}

static int users_place(const struct holders *holders, const char *name, size_t *place)
{
	size_t low = 0, high = holders->n_users;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(holders->users[middle].users->envelope->name.text, name);
		if (order == 0) {
			*place = middle;
			return 0;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*place = low;
	return STATUS_NOT_FOUND;
}

const struct held_state *holders_state(const struct holders *holders, const char *code)
{
	size_t place;

	return state_place(holders, code, &place) == 0 ? &holders->states[place] : NULL;
}

const struct held_users *holders_users(const struct holders *holders, const char *name)
{
	size_t place;

	return users_place(holders, name, &place) == 0 ? &holders->users[place] : NULL;
}

struct holder *holders_version(const struct holders *holders, const struct name *name, const struct hash *value)
{
	const struct held_state *state;
	const struct held_users *users;
	struct holder *holder = NULL;

	switch (name->kind) {
	case NAME_TRUST:
		holder = holders->trust;
		break;
	case NAME_REGISTER:
		holder = holders->reg;
		break;
	case NAME_KEYS:
		state = holders_state(holders, name->state);
		holder = state != NULL ? state->keys : NULL;
		break;
	case NAME_USERS:
		users = holders_users(holders, name->text);
		holder = users != NULL ? users->users : NULL;
		break;
	default:
		break;
	}
	return holder != NULL && hash_compare(&holder->envelope->value, value) == 0 ? holder : NULL;
}

/* ---- Building */

static int take_over(struct build *build)
{
	const struct holders *old = build->prev != NULL ? holders_of(build->prev) : NULL;
	struct holders *new = build->made;

	if (old == NULL)
		return 0;
	new->states = calloc(old->n_states + 1, sizeof *new->states);
	new->users = calloc(old->n_users + 1, sizeof *new->users);
	if (new->states == NULL || new->users == NULL)
		return STATUS_NO_MEMORY;
	new->trust = holder_ref(old->trust);
	new->reg = holder_ref(old->reg);
	for (; new->n_states < old->n_states; new->n_states++) {
		struct held_state *state = &new->states[new->n_states];
		*state = old->states[new->n_states];
		state->keys = holder_ref(state->keys);
		state->keys_item = NULL; /* proves K under the old root */
		state->keys_item_size = 0;
	}
	for (; new->n_users < old->n_users; new->n_users++) {
		new->users[new->n_users] = old->users[new->n_users];
		holder_ref(new->users[new->n_users].users);
	}
	return 0;
}

static int load(struct build *build, const struct snapshot_name *name, struct holder **out)
{
	const uint8_t *bytes;
	size_t size;
	struct envelope *envelope;

	int status = ledger_read_envelope(build->view, &name->value, &bytes, &size, NULL, NULL);
	if (status == 0)
		status = envelope_parse(bytes, size, &envelope, NULL);
	if (status != 0)
		return status == STATUS_NO_MEMORY || status == STATUS_IO ? status : STATUS_DAMAGED;
	*out = holder_create(envelope);
	return *out != NULL ? 0 : STATUS_NO_MEMORY;
}

static int put_users(struct build *build, struct holder *holder)
{
	struct holders *made = build->made;
	size_t place;

	build->users_changed = true;
	if (users_place(made, holder->envelope->name.text, &place) == 0) {
		holder_unref(made->users[place].users);
		made->users[place] = (struct held_users){.users = holder};
		return 0;
	}
	struct held_users *users = realloc(made->users, (made->n_users + 1) * sizeof *users);
	if (users == NULL) {
		holder_unref(holder);
		return STATUS_NO_MEMORY;
	}
	made->users = users;
	for (size_t i = made->n_users++; i > place; i--)
		users[i] = users[i - 1];
	users[place] = (struct held_users){.users = holder};
	return 0;
}

static int put_version(struct build *build, struct holder *holder)
{
	struct holders *made = build->made;
	struct held_state *state;

	switch (holder->envelope->name.kind) {
	case NAME_TRUST:
		holder_unref(made->trust);
		made->trust = holder;
		build->trust_changed = true;
		return 0;
	case NAME_REGISTER:
		holder_unref(made->reg);
		made->reg = holder;
		return 0;
	case NAME_KEYS:
		state = state_slot(made, holder->envelope->name.state);
		if (state == NULL)
			break;
		holder_unref(state->keys);
		state->keys = holder;
		state->replaced = false; /* found out anew */
		return 0;
	default:
		return put_users(build, holder);
	}
	holder_unref(holder);
	return STATUS_NO_MEMORY;
}

/* Reads what is new among T, S, K, U: names whose leaf the snapshot before did not cover. */
static int load_changed(struct build *build)
{
	const struct snapshot *next = build->next;
	uint64_t first = build->prev != NULL && holders_of(build->prev) != NULL ? build->prev->checkpoint.size : 0;

	for (size_t i = next->n_names; i-- > 0;) {
		const struct snapshot_name *name = &next->names[next->by_leaf[i]];
		struct holder *holder;
		if (name->leaf < first)
			break;
		if (strchr("TSKU", name->name[0]) == NULL)
			continue;
		int status = load(build, name, &holder);
		if (status == 0)
			status = put_version(build, holder);
		if (status != 0)
			return status;
	}
	return build->made->trust != NULL && build->made->reg != NULL ? 0 : STATUS_DAMAGED;
}

bool replacement_bars(const struct envelope *trust, const char *state, bool done, int64_t time)
{
	const Poc__Replacement *replacement = trust_replacement(trust->payload.trust, state);

	return replacement != NULL && (time < replacement->not_before || !done);
}

int replacement_done(struct store *store, const Poc__Replacement *replacement, uint64_t seq, bool *done)
{
	struct store_view *view;
	struct name name;

	*done = false;
	if (replacement == NULL || !name_make(NAME_KEYS, replacement->state, NULL, &name))
		return 0;
	int status = store_view_begin(store, &view);
	if (status != 0)
		return status;
	for (; seq > 0 && status == 0 && !*done; seq--) {
		const uint8_t *bytes;
		size_t size;
		struct hash value;
		struct envelope *envelope = NULL;
		status = ledger_read_version(view, name.text, seq, &value, NULL);
		if (status == 0)
			status = ledger_read_envelope(view, &value, &bytes, &size, NULL, NULL);
		if (status == 0)
			status = envelope_parse(bytes, size, &envelope, NULL);
		*done = status == 0 && memcmp(envelope->payload_hash.bytes, replacement->keys.data, HASH_SIZE) == 0;
		envelope_destroy(envelope);
	}
	store_view_end(view);
	return status;
}

static int settle_state(struct build *build, struct held_state *state)
{
	const struct envelope *trust = build->made->trust->envelope;
	const Poc__Entry *entry = register_find(build->made->reg->envelope->payload.register_, state->code);

	state->registered = entry != NULL;
	if (state->keys != NULL && (!state->replaced || build->trust_changed)) {
		int status = replacement_done(build->store, trust_replacement(trust->payload.trust, state->code),
					      state->keys->envelope->seq, &state->replaced);
		if (status != 0)
			return status;
	}
	state->suspended =
	    (entry != NULL && entry->suspended) ||
	    replacement_bars(trust, state->code, state->replaced, (int64_t)(build->next->time_ms / 1000));
	return 0;
}

static int settle_states(struct build *build)
{
	const Poc__Register *reg = build->made->reg->envelope->payload.register_;

	for (size_t i = 0; i < reg->n_entries; i++) {
		if (state_slot(build->made, reg->entries[i]->state) == NULL)
			return STATUS_NO_MEMORY;
	}
	for (size_t i = 0; i < build->made->n_states; i++) {
		int status = settle_state(build, &build->made->states[i]);
		if (status != 0)
			return status;
	}
	return 0;
}

/* An emergency K may have left a U behind that none of its coordinators signed: it lists nobody then. */
static void settle_users(struct build *build)
{
	for (size_t i = 0; i < build->made->n_users; i++) {
		struct held_users *users = &build->made->users[i];
		const struct held_state *state = holders_state(build->made, users->users->envelope->name.state);
		const struct envelope *keys = state != NULL && state->keys != NULL ? state->keys->envelope : NULL;
		struct hash by = keys != NULL ? keys->value : hash_zero;
		if (hash_compare(&users->judged_by, &by) == 0 && !build->trust_changed)
			continue;
		bool valid =
		    keys != NULL && keys_coordinator_signed(build->made->trust->envelope, keys, users->users->envelope);
		build->users_changed |= valid != users->valid;
		users->valid = valid;
		users->judged_by = by;
	}
}

struct kept_users {
	size_t n;
	struct holder *users[];
};

static void kept_release(void *owner)
{
	struct kept_users *kept = owner;

	for (size_t i = 0; i < kept->n; i++)
		holder_unref(kept->users[i]);
	free(kept);
}

static int make_pins(struct build *build)
{
	struct holders *made = build->made;
	size_t most = 0;

	if (!build->users_changed && build->prev != NULL) {
		made->pins = pins_ref(holders_of(build->prev)->pins);
		return 0;
	}
	for (size_t i = 0; i < made->n_users; i++)
		most += pins_count(made->users[i].users->envelope);
	struct kept_users *kept = malloc(sizeof *kept + made->n_users * sizeof kept->users[0]);
	made->pins = kept != NULL ? pins_create(most) : NULL;
	if (made->pins == NULL) {
		free(kept);
		return STATUS_NO_MEMORY;
	}
	kept->n = 0;
	pins_keep(made->pins, kept, kept_release);
	/* U/FR sorts before U/FR/x, so the state's own list has the first word on a key. */
	for (size_t i = 0; i < made->n_users; i++) {
		if (!made->users[i].valid)
			continue;
		kept->users[kept->n++] = holder_ref(made->users[i].users);
		pins_add(made->pins, made->users[i].users->envelope);
	}
	return 0;
}

static int encode_keys_items(struct build *build)
{
	for (size_t i = 0; i < build->made->n_states; i++) {
		struct held_state *state = &build->made->states[i];
		struct encoder encoder;
		struct name name;
		if (!name_make(NAME_KEYS, state->code, NULL, &name))
			return STATUS_DAMAGED;
		encode_init(&encoder, 1024);
		item_value(&encoder, build->next, name.text);
		if (encoder.failed) {
			encode_finish(&encoder);
			return STATUS_NO_MEMORY;
		}
		state->keys_item = encoder.bytes;
		state->keys_item_size = encoder.size;
	}
	return 0;
}

/* Bodies of names that have not changed go over: both lists have them in the same order, under the same pointers. */
static void carry_bodies(struct build *build, const struct answer_cache *old)
{
	const struct snapshot *prev = build->prev, *next = build->next;

	for (size_t i = 0, j = 0; i < prev->n_names && j < next->n_names; j++) {
		if (next->names[j].leaf >= prev->checkpoint.size)
			continue;
		while (i < prev->n_names && prev->names[i].name != next->names[j].name)
			i++;
		if (i < prev->n_names)
			cache_carry(build->made->cache, j, old, i);
	}
}

static int make_cache(struct build *build, size_t limit)
{
	const struct answer_cache *old = build->prev != NULL ? holders_of(build->prev)->cache : NULL;

	build->made->cache = cache_create(build->next->n_names, limit, old);
	if (build->made->cache == NULL)
		return STATUS_NO_MEMORY;
	if (old != NULL && !cache_keeps_whole(old) && !cache_keeps_whole(build->made->cache))
		carry_bodies(build, old);
	return 0;
}

int holders_attach(struct ledger *ledger, struct store *store, size_t cache_bytes, const struct snapshot *prev,
		   struct snapshot *next)
{
	struct build build = {.store = store, .prev = prev, .next = next};

	(void)ledger;
	build.made = calloc(1, sizeof *build.made);
	if (build.made == NULL)
		return STATUS_NO_MEMORY;
	int status = store_view_begin(store, &build.view);
	if (status == 0) {
		status = take_over(&build);
		if (status == 0)
			status = load_changed(&build);
		store_view_end(build.view);
	}
	if (status == 0)
		status = settle_states(&build);
	if (status == 0) {
		settle_users(&build);
		status = make_pins(&build);
	}
	if (status == 0)
		status = encode_keys_items(&build);
	if (status == 0 && cache_bytes > 0)
		status = make_cache(&build, cache_bytes);
	if (status != 0) {
		holders_destroy(build.made);
		return status;
	}
	next->extra = build.made;
	next->extra_free = holders_destroy;
	return 0;
}
