#include "pocd/directory/signers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "pocd/base/diag.h"

struct signers {
	pthread_mutex_t lock; /* of everything but chosen and trust */
	size_t n, n_offered;
	struct keystore_key *keys[SIGNERS_MAX], *offered[SIGNERS_MAX];
	bool owned; /* keys are ours to close */
	/* the writer's own */
	struct keystore_key *chosen[SIGNERS_MAX];
	struct hash trust; /* value of the T by which they were chosen; zero: none yet */
};

struct signers *signers_create(struct keystore_key *const *keys, size_t n)
{
	struct signers *signers = calloc(1, sizeof *signers);

	if (signers == NULL)
		return NULL;
	pthread_mutex_init(&signers->lock, NULL);
	for (size_t i = 0; i < n && i < SIGNERS_MAX; i++)
		signers->keys[signers->n++] = keys[i];
	return signers;
}

static void close_keys(struct keystore_key **keys, size_t *n)
{
	while (*n > 0)
		keystore_close(keys[--*n]);
}

void signers_destroy(struct signers *signers)
{
	if (signers == NULL)
		return;
	if (signers->owned)
		close_keys(signers->keys, &signers->n);
	close_keys(signers->offered, &signers->n_offered);
	pthread_mutex_destroy(&signers->lock);
	free(signers);
}

void signers_offer(struct signers *signers, struct keystore_key *const *keys, size_t n)
{
	pthread_mutex_lock(&signers->lock);
	close_keys(signers->offered, &signers->n_offered); /* nobody has used them */
	for (size_t i = 0; i < n && i < SIGNERS_MAX; i++)
		signers->offered[signers->n_offered++] = keys[i];
	pthread_mutex_unlock(&signers->lock);
}

static bool is_listed(const struct keystore_key *key, const Poc__Trust *trust)
{
	const struct public_key *public_key = keystore_public(key);

	for (size_t i = 0; i < trust->n_log_keys; i++) {
		if (trust->log_keys[i]->spki.len == public_key->spki_size &&
		    memcmp(trust->log_keys[i]->spki.data, public_key->spki, public_key->spki_size) == 0)
			return true;
	}
	return false;
}

bool signers_listed(struct keystore_key *const *keys, size_t n, const Poc__Trust *trust)
{
	for (size_t i = 0; i < n; i++) {
		if (is_listed(keys[i], trust))
			return true;
	}
	return false;
}

bool signers_serve(struct signers *signers, const Poc__Trust *trust)
{
	pthread_mutex_lock(&signers->lock);
	const bool serve = signers->n_offered > 0 ? signers_listed(signers->offered, signers->n_offered, trust)
						  : signers_listed(signers->keys, signers->n, trust);
	pthread_mutex_unlock(&signers->lock);
	return serve;
}

/* Takes what was offered; *changed: the keys are others now. */
static void take_offered(struct signers *signers, bool *changed)
{
	pthread_mutex_lock(&signers->lock);
	*changed = signers->n_offered > 0;
	if (*changed) {
		if (signers->owned)
			close_keys(signers->keys, &signers->n);
		memcpy(signers->keys, signers->offered, sizeof signers->keys);
		signers->n = signers->n_offered;
		signers->n_offered = 0;
		signers->owned = true;
	}
	pthread_mutex_unlock(&signers->lock);
}

static int choose(struct signers *signers, struct ledger *ledger)
{
	struct envelope *trust;
	struct hash value;
	uint64_t seq;
	uint8_t *bytes = NULL;
	size_t size, n = 0;
	int status = ledger_current(ledger, "T", &value, &seq, &bytes, &size);

	if (status == 0)
		status = envelope_parse(bytes, size, &trust, NULL) == 0 ? 0 : STATUS_DAMAGED;
	free(bytes);
	if (status != 0)
		return status;
	for (size_t i = 0; i < signers->n; i++) {
		if (is_listed(signers->keys[i], trust->payload.trust))
			signers->chosen[n++] = signers->keys[i];
	}
	envelope_destroy(trust);
	const bool first = hash_compare(&signers->trust, &hash_zero) == 0;
	signers->trust = value;
	ledger_set_log_keys(ledger, signers->chosen, n);
	if (!first || n < signers->n)
		diag(n > 0 ? DIAG_INFO : DIAG_ERROR, "log.keys", "sign", diag_number(n), "wait",
		     diag_number(signers->n - n), NULL);
	return 0;
}

int signers_choose(struct signers *signers, struct ledger *ledger)
{
	struct hash value;
	uint64_t seq;
	bool changed;

	take_offered(signers, &changed);
	int status = ledger_current(ledger, "T", &value, &seq, NULL, NULL);
	if (status != 0)
		return status;
	return changed || hash_compare(&value, &signers->trust) != 0 ? choose(signers, ledger) : 0;
}
