#include "pocd/directory/pins.h"

#include <stdlib.h>
#include <string.h>

struct pins {
	atomic_uint references;
	size_t n, n_slots; /* a power of two, at least twice n */
	void *owner;
	void (*release)(void *owner);
	struct pin slots[];
};

struct pins *pins_create(size_t most)
{
	size_t n_slots = 16;

	while (n_slots < 2 * most)
		n_slots *= 2;
	struct pins *pins = calloc(1, sizeof *pins + n_slots * sizeof pins->slots[0]);
	if (pins == NULL)
		return NULL;
	atomic_init(&pins->references, 1);
	pins->n_slots = n_slots;
	return pins;
}

struct pins *pins_ref(struct pins *pins)
{
	atomic_fetch_add_explicit(&pins->references, 1, memory_order_relaxed);
	return pins;
}

void pins_unref(struct pins *pins)
{
	if (pins == NULL || atomic_fetch_sub_explicit(&pins->references, 1, memory_order_acq_rel) != 1)
		return;
	if (pins->release != NULL)
		pins->release(pins->owner);
	free(pins);
}

void pins_keep(struct pins *pins, void *owner, void (*release)(void *owner))
{
	pins->owner = owner;
	pins->release = release;
}

/* Where (state, id) is or would go.  Free slots have an empty state. */
static size_t find_slot(const struct pins *pins, const char *state, const struct hash *id)
{
	uint64_t start;

	memcpy(&start, id->bytes, sizeof start);
	for (size_t at = start & (pins->n_slots - 1);; at = (at + 1) & (pins->n_slots - 1)) {
		const struct pin *pin = &pins->slots[at];
		if (pin->state[0] == '\0' || (hash_compare(&pin->id, id) == 0 && strcmp(pin->state, state) == 0))
			return at;
	}
}

static struct pin *add(struct pins *pins, const struct envelope *users, const ProtobufCBinaryData *spki)
{
	struct hash id = hash_of(spki->data, spki->len);
	struct pin *pin = &pins->slots[find_slot(pins, users->name.state, &id)];

	if (pin->state[0] == '\0') {
		pin->id = id;
		strcpy(pin->state, users->name.state);
		pin->unit = users->name.unit;
		pins->n++;
	}
	return pin;
}

void pins_add(struct pins *pins, const struct envelope *users)
{
	const Poc__Users *u = users->payload.users;

	for (size_t i = 0; i < u->n_users; i++) {
		struct pin *pin = add(pins, users, &u->users[i]->spki);
		if (pin->user == NULL)
			pin->user = u->users[i];
	}
	for (size_t i = 0; i < u->n_editors; i++)
		add(pins, users, &u->editors[i]->spki)->editor = true;
}

size_t pins_count(const struct envelope *users)
{
	return users->payload.users->n_users + users->payload.users->n_editors;
}

const struct pin *pins_find(const struct pins *pins, const char *state, const struct hash *id)
{
	const struct pin *pin = &pins->slots[find_slot(pins, state, id)];

	return pin->state[0] != '\0' ? pin : NULL;
}

size_t pins_size(const struct pins *pins)
{
	return pins->n;
}
