#include "pocd/directory/quota.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { HOUR_MS = 3600 * 1000 };

/* What a state has left, counted in notices times milliseconds of the hour, so that whole numbers are enough. */
struct account {
	char state[QUOTA_ACCOUNT];
	uint64_t left, at_ms;
};

struct quota {
	uint64_t per_hour;
	pthread_mutex_t lock;
	size_t n, capacity;
	struct account *accounts;
};

struct quota *quota_create(uint64_t per_hour)
{
	struct quota *quota = calloc(1, sizeof *quota);

	if (quota == NULL)
		return NULL;
	quota->per_hour = per_hour < UINT32_MAX ? per_hour : UINT32_MAX;
	pthread_mutex_init(&quota->lock, NULL);
	return quota;
}

void quota_destroy(struct quota *quota)
{
	if (quota == NULL)
		return;
	pthread_mutex_destroy(&quota->lock);
	free(quota->accounts);
	free(quota);
}

static struct account *find(struct quota *quota, const char *state)
{
	for (size_t i = 0; i < quota->n; i++) {
		if (strcmp(quota->accounts[i].state, state) == 0)
			return &quota->accounts[i];
	}
	return NULL;
}

static struct account *open_account(struct quota *quota, const char *state, uint64_t now_ms)
{
	if (quota->n == quota->capacity) {
		size_t capacity = quota->capacity > 0 ? 2 * quota->capacity : 16;
		struct account *accounts = realloc(quota->accounts, capacity * sizeof *accounts);
		if (accounts == NULL)
			return NULL;
		quota->accounts = accounts;
		quota->capacity = capacity;
	}
	struct account *account = &quota->accounts[quota->n++];
	*account = (struct account){.left = quota->per_hour * HOUR_MS, .at_ms = now_ms};
	strncpy(account->state, state, sizeof account->state - 1);
	return account;
}

/* A clock that was set back gives nothing and takes nothing. */
static void refill(const struct quota *quota, struct account *account, uint64_t now_ms)
{
	uint64_t passed = now_ms > account->at_ms ? now_ms - account->at_ms : 0, full = quota->per_hour * HOUR_MS;

	account->at_ms = now_ms;
	if (passed >= HOUR_MS || account->left + passed * quota->per_hour > full)
		account->left = full;
	else
		account->left += passed * quota->per_hour;
}

bool quota_left(struct quota *quota, const char *state, uint64_t now_ms, uint32_t *retry_ms)
{
	bool left = true;

	*retry_ms = 0;
	if (quota->per_hour == 0)
		return true;
	pthread_mutex_lock(&quota->lock);
	struct account *account = find(quota, state);
	if (account != NULL) {
		refill(quota, account, now_ms);
		left = account->left >= HOUR_MS;
		if (!left)
			*retry_ms = (uint32_t)((HOUR_MS - account->left) / quota->per_hour + 1);
	}
	pthread_mutex_unlock(&quota->lock);
	return left;
}

void quota_take(struct quota *quota, const char *state, uint64_t now_ms)
{
	if (quota->per_hour == 0)
		return;
	pthread_mutex_lock(&quota->lock);
	struct account *account = find(quota, state);
	if (account == NULL)
		account = open_account(quota, state, now_ms);
	if (account != NULL) {
		refill(quota, account, now_ms);
		account->left -= account->left >= HOUR_MS ? HOUR_MS : account->left;
	}
	pthread_mutex_unlock(&quota->lock);
}
