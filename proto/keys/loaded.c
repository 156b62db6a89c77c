#include "proto/keys/loaded.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 64, KEPT_MAX = 128 /* the longest SPKI, of P-384, has 120 bytes */ };

struct slot {
	struct loaded loaded;
	size_t size;
	uint8_t spki[KEPT_MAX];
};

static pthread_key_t slots_key; /* its only job is to free a thread's slots when that ends */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local struct slot *slots;

static void empty(struct slot *slot)
{
	EVP_PKEY_CTX_free(slot->loaded.verify);
	EVP_PKEY_free(slot->loaded.pkey);
	*slot = (struct slot){.size = 0};
}

static void free_slots(void *arg)
{
	struct slot *of_thread = arg;

	for (size_t i = 0; i < SLOTS; i++)
		empty(&of_thread[i]);
	free(of_thread);
}

static void start(void)
{
	if (pthread_key_create(&slots_key, free_slots) != 0)
		abort();
}

static struct slot *slots_of_thread(void)
{
	if (slots != NULL)
		return slots;
	pthread_once(&once, start);
	slots = calloc(SLOTS, sizeof *slots);
	if (slots != NULL && pthread_setspecific(slots_key, slots) != 0) {
		free(slots);
		slots = NULL;
	}
	return slots;
}

/* The last byte is of a coordinate: as good as random. */
static struct slot *slot_of(struct slot *of_thread, const uint8_t *spki, size_t size)
{
	return &of_thread[spki[size - 1] % SLOTS];
}

const struct loaded *loaded_find(const uint8_t *spki, size_t size)
{
	if (slots == NULL || size == 0)
		return NULL;
	const struct slot *slot = slot_of(slots, spki, size);
	return slot->size == size && memcmp(slot->spki, spki, size) == 0 ? &slot->loaded : NULL;
}

static EVP_PKEY_CTX *verifier(EVP_PKEY *pkey)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);

	if (ctx != NULL && EVP_PKEY_verify_init(ctx) != 1) {
		EVP_PKEY_CTX_free(ctx);
		ctx = NULL;
	}
	return ctx;
}

const struct loaded *loaded_keep(const uint8_t *spki, size_t size, EVP_PKEY *pkey)
{
	struct slot *of_thread = size > 0 && size <= KEPT_MAX ? slots_of_thread() : NULL;
	struct slot *slot = of_thread != NULL ? slot_of(of_thread, spki, size) : NULL;
	bool ecdsa = EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC;
	EVP_PKEY_CTX *verify = slot != NULL && ecdsa ? verifier(pkey) : NULL;

	if (slot == NULL || (ecdsa && verify == NULL)) {
		EVP_PKEY_free(pkey);
		return NULL;
	}
	empty(slot);
	slot->loaded = (struct loaded){pkey, verify};
	slot->size = size;
	memcpy(slot->spki, spki, size);
	return &slot->loaded;
}
