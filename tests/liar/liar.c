#include "tests/liar/liar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/keys/keystore_file.h"

const char *const liar_auditor_names[LIAR_AUDITORS] = {"auditor-xa.example", "auditor-xb.example",
						       "auditor-xc.example"};

static struct keystore_key *new_key(void)
{
	struct keystore_key *key = keystore_ephemeral(KEY_ED25519);

	if (key == NULL)
		abort();
	return key;
}

struct keystore_key *liar_spare(struct liar *liar, struct keystore_key *key)
{
	if (liar->n_spares == LIAR_SPARES)
		abort();
	return liar->spares[liar->n_spares++] = key;
}

struct world_trust liar_usual_trust(const struct liar *liar)
{
	struct world_trust trust = world_usual_trust(liar->world);

	trust.quorum = 2;
	trust.n_auditors = LIAR_AUDITORS;
	memcpy(trust.auditors, liar->auditors, sizeof liar->auditors);
	memcpy(trust.auditor_names, liar_auditor_names, sizeof liar_auditor_names);
	return trust;
}

void liar_put_record(struct book *book, const struct world_state *state)
{
	book_put(book, &state->record, state->sections, WORLD_SECTIONS);
}

void liar_cosign(const struct liar *liar, struct book *book, unsigned first, unsigned n, int64_t time)
{
	struct scene *scene = &book->scene;

	scene->n_auditors = n;
	for (unsigned i = 0; i < n; i++) {
		scene->auditors[i] = liar->auditors[(first + i) % LIAR_AUDITORS];
		scene->auditor_names[i] = liar_auditor_names[(first + i) % LIAR_AUDITORS];
		scene->auditor_times[i] = (uint64_t)time;
	}
}

static void put_state(struct liar *liar, const char *code)
{
	const struct world_state *state = world_add_state(liar->world, code);

	book_put(&liar->truth, &liar->world->reg, NULL, 0);
	book_put(&liar->truth, &state->keys, NULL, 0);
	book_put(&liar->truth, &state->users, NULL, 0);
	liar_put_record(&liar->truth, state);
}

/* XC is suspended; XB drops its coordinator's key, and signs its U and R with another. */
static void put_changes(struct liar *liar)
{
	struct world *world = liar->world;
	struct world_state *xb = world_state(world, "XB");

	world_state(world, "XC")->suspended = true;
	world_next_register(world, NULL);
	book_put(&liar->truth, &world->reg, NULL, 0);
	liar->dropped = liar_spare(liar, xb->coordinator);
	world_next_keys(world, xb, new_key(), NULL);
	world_next_users(world, xb, true, NULL);
	world_next_record(world, xb, false, NULL);
	book_put(&liar->truth, &xb->keys, NULL, 0);
	book_put(&liar->truth, &xb->users, NULL, 0);
	liar_put_record(&liar->truth, xb);
}

static void make_truth(struct liar *liar)
{
	struct world *world = liar->world;
	struct book *truth = &liar->truth;

	book_init(truth, world);
	truth->scene.time_ms = (uint64_t)(liar->now - 120) * 1000;
	book_put(truth, &world->trust, NULL, 0);
	book_put(truth, &world->reg, NULL, 0);
	book_put(truth, &world->states[0].keys, NULL, 0);
	book_put(truth, &world->states[0].users, NULL, 0);
	book_publish(truth);
	struct world_trust trust = liar_usual_trust(liar);
	world_next_trust(world, &trust, &world->root, 1, NULL);
	book_put(truth, &world->trust, NULL, 0);
	liar_cosign(liar, truth, 0, 2, liar->now - 60);
	put_state(liar, "XA");
	put_state(liar, "XB");
	put_state(liar, "XC");
	book_publish(truth);
	put_changes(liar);
	book_publish(truth);
	book_keep(truth, &liar->older);
	world_next_record(world, world_state(world, "XB"), false, NULL);
	liar_put_record(truth, world_state(world, "XB"));
	letter_notice(&liar->letter, truth);
	letter_stored(&liar->letter, truth);
	letter_publish(&liar->letter, truth);
	letter_receipt(&liar->letter, truth, POC__STEP__STEP_ACKNOWLEDGED, liar->now - 100,
		       world_state(world, "XB")->operator_);
	letter_publish(&liar->letter, truth);
}

void liar_repent(struct liar *liar)
{
	struct book *after = &liar->after;

	if (after->n_entries > 0)
		return;
	book_fork(liar->attack->kept ? &liar->lie : &liar->truth, after);
	for (size_t i = 0; i < liar->truth.n_entries; i++) {
		const struct book_entry *true_entry = &liar->truth.entries[i];
		struct book_entry *entry = book_find(after, true_entry->name);
		if (strcmp(true_entry->name, "T") == 0) /* it never goes back */
			continue;
		if (entry != NULL)
			entry->n = 0;
		for (size_t k = 0; k < true_entry->n; k++)
			book_put(after, &true_entry->versions[k], true_entry->sections, true_entry->n_sections);
	}
	after->scene.time_ms = (uint64_t)liar->now * 1000;
	liar_cosign(liar, after, 0, 2, liar->now);
	book_publish(after);
}

struct liar *liar_create(const struct attack *attack)
{
	struct liar *liar = calloc(1, sizeof *liar);

	if (liar == NULL)
		abort();
	liar->attack = attack;
	liar->now = (int64_t)time(NULL);
	liar->world = world_create(liar->now - 3600);
	for (size_t i = 0; i < LIAR_AUDITORS; i++)
		liar->auditors[i] = new_key();
	liar->stranger = new_key();
	make_truth(liar);
	letter_fork(&liar->letter, &liar->false_letter);
	if (attack->tell == NULL) {
		book_keep(&liar->truth, &liar->lie);
		return liar;
	}
	book_fork(&liar->truth, &liar->lie);
	liar->lie.scene.time_ms = (uint64_t)(liar->now - 30) * 1000;
	attack->tell(liar);
	if (liar->lie.scene.tree == NULL)
		book_publish(&liar->lie);
	return liar;
}

void liar_destroy(struct liar *liar)
{
	if (liar == NULL)
		return;
	book_finish(&liar->truth);
	book_finish(&liar->lie);
	book_finish(&liar->older);
	book_finish(&liar->after);
	letter_finish(&liar->letter);
	letter_finish(&liar->false_letter);
	letter_finish(&liar->foreign);
	book_free_bytes();
	for (size_t i = 0; i < LIAR_AUDITORS; i++)
		keystore_close(liar->auditors[i]);
	keystore_close(liar->stranger);
	for (size_t i = 0; i < liar->n_spares; i++)
		keystore_close(liar->spares[i]);
	world_destroy(liar->world);
	world_destroy(liar->elsewhere);
	free(liar);
}
