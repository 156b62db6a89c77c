#include "pocd/directory/auditors.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "pocd/base/diag.h"
#include "pocd/directory/holders.h"
#include "pocd/directory/quorum.h"

/* The keys with which followers of a state came, the newest of them: as many as T can list.  Whoever makes keys up
 * drives out those of its own state alone. */
struct ready {
	char state[STATE_MAX_LENGTH + 1];
	size_t n; /* that came so far: the last of them are in keys, in turn */
	struct hash keys[AUDITORS_OF_T_MAX];
};

struct auditors {
	pthread_mutex_t lock;
	size_t n_ready;
	struct ready *ready; /* by state, in the order in which they came */
	size_t n;
	char names[2 * AUDITORS_OF_T_MAX][NOTE_NAME_MAX + 1]; /* of an old T and a new one */
	uint64_t passed;
};

struct auditors *auditors_create(void)
{
	struct auditors *auditors = calloc(1, sizeof *auditors);

	if (auditors != NULL)
		pthread_mutex_init(&auditors->lock, NULL);
	return auditors;
}

void auditors_destroy(struct auditors *auditors)
{
	if (auditors == NULL)
		return;
	pthread_mutex_destroy(&auditors->lock);
	free(auditors->ready);
	free(auditors);
}

static bool is_heard(const struct auditors *auditors, const char *name)
{
	for (size_t i = 0; i < auditors->n; i++) {
		if (strcmp(auditors->names[i], name) == 0)
			return true;
	}
	return false;
}

void auditors_heard(struct auditors *auditors, const char *name)
{
	bool first = false;

	pthread_mutex_lock(&auditors->lock);
	if (!is_heard(auditors, name) && auditors->n < sizeof auditors->names / sizeof *auditors->names) {
		strncpy(auditors->names[auditors->n++], name, NOTE_NAME_MAX);
		first = true;
	}
	pthread_mutex_unlock(&auditors->lock);
	if (first)
		diag(DIAG_INFO, "auditor.heard", "auditor", name, NULL);
}

static struct ready *find_ready(const struct auditors *auditors, const char *state)
{
	for (size_t i = 0; i < auditors->n_ready; i++) {
		if (strcmp(auditors->ready[i].state, state) == 0)
			return &auditors->ready[i];
	}
	return NULL;
}

static bool is_ready(const struct ready *ready, const struct hash *key)
{
	for (size_t i = 0; ready != NULL && i < ready->n && i < AUDITORS_OF_T_MAX; i++) {
		if (hash_compare(&ready->keys[i], key) == 0)
			return true;
	}
	return false;
}

/* NULL when out of memory: it is not remembered, and comes again. */
static struct ready *add_ready(struct auditors *auditors, const char *state)
{
	struct ready *all = realloc(auditors->ready, (auditors->n_ready + 1) * sizeof *all);

	if (all == NULL)
		return NULL;
	auditors->ready = all;
	struct ready *ready = &all[auditors->n_ready++];
	*ready = (struct ready){.n = 0};
	strncpy(ready->state, state, STATE_MAX_LENGTH);
	return ready;
}

void auditors_ready(struct auditors *auditors, const char *state, const uint8_t *spki, size_t size)
{
	struct hash key = hash_of(spki, size);

	pthread_mutex_lock(&auditors->lock);
	struct ready *ready = find_ready(auditors, state);
	if (ready == NULL)
		ready = add_ready(auditors, state);
	if (ready != NULL && !is_ready(ready, &key))
		ready->keys[ready->n++ % AUDITORS_OF_T_MAX] = key;
	pthread_mutex_unlock(&auditors->lock);
}

size_t auditors_count_ready(struct auditors *auditors, const Poc__Trust *trust)
{
	size_t n = 0;

	pthread_mutex_lock(&auditors->lock);
	for (size_t i = 0; i < trust->n_auditors; i++) {
		const Poc__Auditor *a = trust->auditors[i];
		struct hash key = hash_of(a->spki.data, a->spki.len);
		n += is_ready(find_ready(auditors, a->state), &key);
	}
	pthread_mutex_unlock(&auditors->lock);
	return n;
}

void auditors_passed(struct auditors *auditors, uint64_t size, const char *by)
{
	pthread_mutex_lock(&auditors->lock);
	bool first = size > auditors->passed;
	if (first)
		auditors->passed = size;
	pthread_mutex_unlock(&auditors->lock);
	if (first)
		diag(DIAG_ERROR, "log.passed", "size", diag_number(size), "seen_by", by, "error",
		     "our own key has signed a checkpoint that this log does not lead to: an old or second copy of "
		     "the data folder; nothing is signed",
		     NULL);
}

int auditors_allow(struct auditors *auditors, const struct snapshot *tip, struct refusal *why)
{
	const Poc__Trust *trust = tip != NULL ? holders_of(tip)->trust->envelope->payload.trust : NULL;
	size_t heard = 0;

	pthread_mutex_lock(&auditors->lock);
	for (size_t i = 0; trust != NULL && i < trust->n_auditors; i++)
		heard += is_heard(auditors, trust->auditors[i]->name);
	uint64_t passed = auditors->passed;
	pthread_mutex_unlock(&auditors->lock);
	if (passed != 0)
		return refuse(why, STATUS_CONFLICT, "log",
			      "a checkpoint of size %llu has been seen that this log does not lead to",
			      (unsigned long long)passed);
	if (trust != NULL && heard < trust->quorum)
		return refuse(why, STATUS_BUSY, "log",
			      "%zu of %u auditors that must be heard before anything is signed", heard, trust->quorum);
	return 0;
}

size_t auditors_count(struct auditors *auditors)
{
	pthread_mutex_lock(&auditors->lock);
	size_t n = auditors->n;
	pthread_mutex_unlock(&auditors->lock);
	return n;
}

uint64_t auditors_passed_size(struct auditors *auditors)
{
	pthread_mutex_lock(&auditors->lock);
	uint64_t passed = auditors->passed;
	pthread_mutex_unlock(&auditors->lock);
	return passed;
}
