#include "pocd/directory/signers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "pocd/base/diag.h"

struct signers {
	pthread_mutex_t lock; /* held while the keys are used */
	size_t n;
	struct keystore_key *keys[SIGNERS_MAX], *chosen[SIGNERS_MAX];
	struct ledger_signer signer;
	bool changed;      /* since they were chosen */
	struct hash trust; /* value of the T by which they were; zero: none yet */
};

static void take(struct signers *signers, struct keystore_key *const *keys, size_t n,
		 const struct ledger_signer *signer)
{
	signers->n = n < SIGNERS_MAX ? n : SIGNERS_MAX;
	for (size_t i = 0; i < signers->n; i++)
		signers->keys[i] = keys[i];
	signers->signer = *signer;
	signers->changed = true;
}

struct signers *signers_create(struct keystore_key *const *keys, size_t n, const struct ledger_signer *signer)
{
	struct signers *signers = calloc(1, sizeof *signers);

	if (signers == NULL)
		return NULL;
	pthread_mutex_init(&signers->lock, NULL);
	take(signers, keys, n, signer);
	return signers;
}

void signers_destroy(struct signers *signers)
{
	if (signers == NULL)
		return;
	pthread_mutex_destroy(&signers->lock);
	free(signers);
}

void signers_use(struct signers *signers, struct keystore_key *const *keys, size_t n,
		 const struct ledger_signer *signer)
{
	pthread_mutex_lock(&signers->lock);
	take(signers, keys, n, signer);
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
	const bool serve = signers_listed(signers->keys, signers->n, trust);
	pthread_mutex_unlock(&signers->lock);
	return serve;
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
	signers->changed = false;
	ledger_set_log_keys(ledger, signers->chosen, n, &signers->signer);
	if (!first || n < signers->n)
		diag(n > 0 ? DIAG_INFO : DIAG_ERROR, "log.keys", "sign", diag_number(n), "wait",
		     diag_number(signers->n - n), NULL);
	return 0;
}

static int choose_anew(struct signers *signers, struct ledger *ledger)
{
	struct hash value;
	uint64_t seq;
	int status = ledger_current(ledger, "T", &value, &seq, NULL, NULL);

	if (status != 0)
		return status;
	return signers->changed || hash_compare(&value, &signers->trust) != 0 ? choose(signers, ledger) : 0;
}

int signers_publish(struct signers *signers, struct ledger *ledger, struct refusal *why)
{
	pthread_mutex_lock(&signers->lock);
	int status = choose_anew(signers, ledger);
	if (status != 0)
		status = refuse(why, status, "", "the trust root cannot be read: %s", status_text(status));
	else
		status = ledger_publish(ledger, why);
	pthread_mutex_unlock(&signers->lock);
	return status;
}
