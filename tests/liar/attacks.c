#include <stdlib.h>
#include <string.h>

#include "proto/keys/keystore_file.h"
#include "proto/rules/envelope.h"
#include "proto/rules/rules.h"
#include "proto/wire/frame.h"
#include "proto/wire/prescan.h"
#include "tests/liar/liar.h"

enum { DAY = 86400 };

static struct world_state *xb(struct liar *liar)
{
	return world_state(liar->world, "XB");
}

static bool about(const Poc__Request *request, const char *place)
{
	return request->body_case == POC__REQUEST__BODY_LOOKUP && strcmp(request->lookup->place, place) == 0;
}

/* ---- Forged envelopes: all that the log key can do */

/* The next R/XB, signed by this key. */
static void put_record_by(struct liar *liar, struct keystore_key *signer)
{
	struct world_state *state = xb(liar);
	struct keystore_key *own = state->coordinator;

	state->coordinator = signer;
	world_next_record(liar->world, state, false, NULL);
	state->coordinator = own;
	liar_put_record(&liar->lie, state);
}

static void tell_forged_record(struct liar *liar)
{
	put_record_by(liar, liar->stranger);
}

static void tell_authority_record(struct liar *liar)
{
	put_record_by(liar, xb(liar)->authority);
}

static void tell_dropped_key(struct liar *liar)
{
	put_record_by(liar, liar->dropped);
}

static void tell_directory_record(struct liar *liar)
{
	struct hash own = liar->world->directory_id;

	liar->world->directory_id = hash_of("another directory", 17);
	world_next_record(liar->world, xb(liar), false, NULL);
	liar->world->directory_id = own;
	liar_put_record(&liar->lie, xb(liar));
}

static void tell_usurped_keys(struct liar *liar)
{
	struct world_state *state = xb(liar);

	liar_spare(liar, state->authority);
	liar_spare(liar, state->coordinator);
	state->authority = keystore_ephemeral(KEY_ED25519);
	world_next_keys(liar->world, state, keystore_ephemeral(KEY_ED25519), NULL);
	book_put(&liar->lie, &state->keys, NULL, 0);
	put_record_by(liar, state->coordinator);
}

/* K(1), which the log has left behind, stands in the map again. */
static void tell_older_keys(struct liar *liar)
{
	struct book_entry *entry = book_find(&liar->lie, "K/XB");
	struct world_item first = entry->versions[0];

	book_put(&liar->lie, &first, NULL, 0);
	entry->n = 1;
}

/* The council replaces the authority of XB: by T, and by a K that counts only after the delay. */
static void put_replacement(struct liar *liar, int64_t not_before)
{
	struct world_trust trust = liar_usual_trust(liar);

	tell_usurped_keys(liar);
	trust.replaced[trust.n_replaced++] =
	    (struct world_replacement){"XB", world_payload_hash(&xb(liar)->keys), not_before};
	world_next_trust(liar->world, &trust, &liar->world->root, 1, NULL);
	book_put(&liar->lie, &liar->world->trust, NULL, 0);
}

static void tell_early_replacement(struct liar *liar)
{
	put_replacement(liar, liar->world->now + 4 * DAY);
}

static void tell_short_delay(struct liar *liar)
{
	put_replacement(liar, liar->world->now + DAY / 24);
}

/* ---- The register of states */

static void tell_unlisted_state(struct liar *liar)
{
	struct world_state *state = world_add_state(liar->world, "XD");

	book_put(&liar->lie, &state->keys, NULL, 0);
	liar_put_record(&liar->lie, state);
}

static void put_register(struct liar *liar)
{
	world_next_register(liar->world, NULL);
	book_put(&liar->lie, &liar->world->reg, NULL, 0);
}

static void tell_forged_register(struct liar *liar)
{
	struct keystore_key *own = liar->world->enrolment;

	world_state(liar->world, "XC")->suspended = false;
	liar->world->enrolment = liar->stranger;
	put_register(liar);
	liar->world->enrolment = own;
}

/* The register from before the suspension of XC. */
static void tell_older_register(struct liar *liar)
{
	struct book_entry *entry = book_find(&liar->lie, "S");
	struct world_item before = entry->versions[entry->n - 2];

	book_put(&liar->lie, &before, NULL, 0);
}

/* Thieves of enrolment keys list an authority of their own for XB. */
static void tell_other_anchor(struct liar *liar)
{
	struct world_state *state = xb(liar);
	struct book_entry *entry = book_find(&liar->lie, "K/XB");

	liar_spare(liar, state->authority);
	liar_spare(liar, state->coordinator);
	state->authority = keystore_ephemeral(KEY_ED25519);
	state->keys.seq = 0;
	world_next_keys(liar->world, state, keystore_ephemeral(KEY_ED25519), NULL);
	state->anchor = world_payload_hash(&state->keys);
	entry->n = 0;
	book_put(&liar->lie, &state->keys, NULL, 0);
	put_register(liar);
	put_record_by(liar, state->coordinator);
}

static void tell_state_struck(struct liar *liar)
{
	struct world *world = liar->world;
	size_t at = (size_t)(xb(liar) - world->states), last = --world->n_states;
	struct world_state struck = world->states[at];

	world->states[at] = world->states[last];
	put_register(liar);
	world->states[last] = world->states[at];
	world->states[at] = struck;
	world->n_states++;
	book_forget(&liar->lie, "K/XB");
	book_forget(&liar->lie, "R/XB");
}

/* ---- The trust root */

static void put_trust(struct liar *liar, const struct world_trust *trust, struct keystore_key *signer)
{
	world_next_trust(liar->world, trust, &signer, 1, NULL);
	book_put(&liar->lie, &liar->world->trust, NULL, 0);
}

static void tell_trust_by_stranger(struct liar *liar)
{
	struct world_trust trust = liar_usual_trust(liar);

	trust.root = liar->stranger;
	put_trust(liar, &trust, liar->stranger);
}

/* Signed by the old root, not by the one that it names. */
static void tell_trust_half_signed(struct liar *liar)
{
	struct world_trust trust = liar_usual_trust(liar);

	trust.root = liar->stranger;
	put_trust(liar, &trust, liar->world->root);
}

/* Thieves of the root keys bring auditors of their own. */
static void tell_trust_own_auditors(struct liar *liar)
{
	struct world_trust trust = liar_usual_trust(liar);

	for (size_t i = 0; i < LIAR_AUDITORS; i++)
		trust.auditors[i] = liar->lie.scene.auditors[i] = liar_spare(liar, keystore_ephemeral(KEY_ED25519));
	put_trust(liar, &trust, liar->world->root);
}

static void tell_dropped_log_key(struct liar *liar)
{
	struct world_trust trust = liar_usual_trust(liar);

	trust.log = liar_spare(liar, keystore_ephemeral(KEY_ED25519));
	put_trust(liar, &trust, liar->world->root);
}

static void tell_next_trust(struct liar *liar)
{
	struct world_trust trust = liar_usual_trust(liar);

	put_trust(liar, &trust, liar->world->root);
}

static void bend_trust_withheld(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	(void)liar;
	(void)request;
	answer->proof.n_trust = 0;
}

static void tell_next_protocol(struct liar *liar)
{
	struct world_trust trust = liar_usual_trust(liar);

	trust.least_protocol = 2;
	put_trust(liar, &trust, liar->world->root);
}

static void tell_other_log_key(struct liar *liar)
{
	liar->lie.scene.log = liar->stranger;
}

static void tell_elsewhere(struct liar *liar)
{
	liar->elsewhere = world_create(liar->world->now);
	book_finish(&liar->lie);
	book_init(&liar->lie, liar->elsewhere);
	const struct world_state *staff = &liar->elsewhere->states[0], *state = world_add_state(liar->elsewhere, "XB");
	book_put(&liar->lie, &liar->elsewhere->trust, NULL, 0);
	book_put(&liar->lie, &liar->elsewhere->reg, NULL, 0);
	book_put(&liar->lie, &staff->keys, NULL, 0);
	book_put(&liar->lie, &staff->users, NULL, 0);
	book_put(&liar->lie, &state->keys, NULL, 0);
	liar_put_record(&liar->lie, state);
}

/* ---- Transitions, for whoever was away while auditors were replaced */

/* What an answer points into. */
struct way {
	Poc__Transition transition, *list[1];
	ProtobufCBinaryData trust[1];
	struct merkle_proof path;
};

/* The head comes with a transition: to the last T of a book, by the note of another. */
static void bend_way(struct book *book, const struct book *shown_by, const Poc__Request *request,
		     struct book_answer *answer)
{
	static struct way way;
	const struct book_entry *trust = book_find(book, "T");
	const struct world_item *last = &trust->versions[trust->n - 1];
	struct scene_log log = {book->leaves, book->n_leaves};

	if (request->body_case != POC__REQUEST__BODY_GET_HEAD || request->get_head->trust_seq == 0)
		return;
	if (merkle_inclusion(scene_read_log, &log, trust->leaf, book->n_leaves, &way.path) != 0)
		abort();
	way.trust[0] = (ProtobufCBinaryData){last->size, last->bytes};
	poc__transition__init(&way.transition);
	way.transition.trust = way.trust;
	way.transition.n_trust = 1;
	way.transition.note = (ProtobufCBinaryData){shown_by->scene.note_size, (uint8_t *)shown_by->scene.note};
	way.transition.leaf = (ProtobufCBinaryData){LEAF_SIZE, book->leaf_bytes[trust->leaf]};
	way.transition.index = trust->leaf;
	way.transition.path = (ProtobufCBinaryData){way.path.length * HASH_SIZE, (uint8_t *)way.path.hashes};
	way.list[0] = &way.transition;
	answer->head.transitions = way.list;
	answer->head.n_transitions = 1;
	answer->proof.n_trust = 0; /* the head's T is the one that the way leads to */
}

static void bend_way_of_thieves(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	bend_way(&liar->lie, &liar->lie, request, answer);
}

/* The auditors that the client knows signed the note, and T(3) lists them too; but it is no note of that T. */
static void tell_unlogged_trust(struct liar *liar)
{
	struct world_trust trust = liar_usual_trust(liar);

	trust.n_auditors = 4;
	for (size_t i = 0; i < 2; i++) {
		trust.auditors[2 + i] = liar->lie.scene.auditors[i] = liar_spare(liar, keystore_ephemeral(KEY_ED25519));
		trust.auditor_names[2 + i] = liar->lie.scene.auditor_names[i] =
		    i == 0 ? "thief-1.example" : "thief-2.example";
	}
	put_trust(liar, &trust, liar->world->root);
}

static void bend_unlogged_trust(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	bend_way(&liar->lie, &liar->truth, request, answer);
}

static void tell_way_elsewhere(struct liar *liar)
{
	tell_elsewhere(liar);
	for (int i = 0; i < 2; i++) {
		struct world_trust trust = world_usual_trust(liar->elsewhere);
		world_next_trust(liar->elsewhere, &trust, &liar->elsewhere->root, 1, NULL);
		book_put(&liar->lie, &liar->elsewhere->trust, NULL, 0);
	}
	while (liar->lie.n_leaves <= liar->truth.n_leaves) /* or it would be an older head */
		book_publish(&liar->lie);
}

/* ---- The log */

static void tell_older(struct liar *liar)
{
	book_keep(&liar->older, &liar->lie);
}

static void bend_hide_age(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	(void)liar;
	(void)request;
	answer->head.behind = 0;
}

/* From the older head on another story, longer than the truth. */
static void tell_split(struct liar *liar)
{
	struct world_state *state = xb(liar);

	book_fork(&liar->older, &liar->lie);
	liar->lie.scene.time_ms = (uint64_t)(liar->now - 30) * 1000;
	const struct book_entry *before = book_find(&liar->older, "R/XB");
	state->record.seq = before->versions[before->n - 1].seq;
	state->record.value = before->versions[before->n - 1].value;
	for (int i = 0; i < 6; i++) {
		world_next_record(liar->world, state, false, NULL);
		liar_put_record(&liar->lie, state);
	}
}

static void tell_split_same_size(struct liar *liar)
{
	book_fork(&liar->older, &liar->lie);
	while (liar->lie.n_leaves + 1 < liar->truth.n_leaves)
		liar->lie.leaves[liar->lie.n_leaves++] = hash_zero;
}

/* The other view has a quorum, but not the auditor whom the client's own state runs. */
static void tell_split_without_own(struct liar *liar)
{
	tell_split(liar);
	liar_cosign(liar, &liar->lie, 1, 2, liar->now);
}

static void tell_dropped_entry(struct liar *liar)
{
	struct book *lie = &liar->lie;
	size_t at = lie->n_leaves / 2;

	memmove(&lie->leaves[at], &lie->leaves[at + 1], (lie->n_leaves - at - 1) * sizeof lie->leaves[0]);
	lie->n_leaves--;
	book_publish(lie);
	book_publish(lie); /* and longer than the truth all the same */
}

static void tell_rewritten(struct liar *liar)
{
	liar->lie.leaves[liar->lie.n_leaves / 2] = hash_of("another past", 12);
}

/* ---- Time */

static void tell_at(struct liar *liar, int64_t leaf, int64_t cosigned)
{
	liar->lie.scene.time_ms = (uint64_t)leaf * 1000;
	liar_cosign(liar, &liar->lie, 0, 2, cosigned);
}

static void tell_past(struct liar *liar)
{
	tell_at(liar, liar->now - 30 * DAY, liar->now - 30 * DAY);
}

static void tell_future(struct liar *liar)
{
	tell_at(liar, liar->now + 30 * DAY, liar->now + 30 * DAY);
}

static void tell_future_leaf(struct liar *liar)
{
	tell_at(liar, liar->now + 30 * DAY, liar->now);
}

/* ---- Cosignatures */

static void tell_one_auditor(struct liar *liar)
{
	liar_cosign(liar, &liar->lie, 0, 1, liar->now);
}

static void tell_one_twice(struct liar *liar)
{
	liar_cosign(liar, &liar->lie, 0, 2, liar->now);
	liar->lie.scene.auditors[1] = liar->lie.scene.auditors[0];
	liar->lie.scene.auditor_names[1] = liar->lie.scene.auditor_names[0];
	liar->lie.scene.auditor_times[1]--;
}

static void tell_unlisted_auditor(struct liar *liar)
{
	liar_cosign(liar, &liar->lie, 0, 2, liar->now);
	liar->lie.scene.auditors[1] = liar->stranger;
	liar->lie.scene.auditor_names[1] = "auditor-xq.example";
}

static void tell_impostor(struct liar *liar)
{
	liar_cosign(liar, &liar->lie, 0, 2, liar->now);
	liar->lie.scene.auditors[1] = liar->stranger;
}

/* The auditors' lines of the true note under the text of the false one. */
static void tell_replayed_lines(struct liar *liar)
{
	struct scene *scene = &liar->lie.scene;
	const struct scene *truth = &liar->truth.scene;

	liar_cosign(liar, &liar->lie, 0, 0, 0);
	book_publish(&liar->lie);
	const char *line = strstr(truth->note, "\n\n") + 2;
	line = strchr(line, '\n') + 1; /* past the log's own */
	size_t size = truth->note_size - (size_t)(line - truth->note);
	memcpy(scene->note + scene->note_size, line, size);
	scene->note_size += size;
	scene->checkpoint.note.len = scene->note_size;
}

/* ---- Map proofs, records and sections: a carrier's means */

static void bend_present(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	if (!about(request, "XD"))
		return;
	struct book_entry *other = book_find(&liar->lie, "R/XB");
	Poc__Item *item = book_answer_item(answer, "R/XD");
	struct scene_item *scene_item = (struct scene_item *)item; /* its first member */

	item->map->terminal = POC__TERMINAL__TERMINAL_FOUND;
	item->map->other_key = item->map->other_value = (ProtobufCBinaryData){0};
	scene_envelope(scene_item, &other->versions[other->n - 1]);
}

static void make_absent(struct book_answer *answer, const char *name)
{
	Poc__Item *item = book_answer_item(answer, name);

	item->map->terminal = POC__TERMINAL__TERMINAL_EMPTY;
	item->n_envelopes = item->n_sections = 0;
	item->value = (ProtobufCBinaryData){0};
}

static void bend_absent(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	(void)liar;
	if (about(request, "XB"))
		make_absent(answer, "R/XB");
}

/* The proof of another absent name's place in the map. */
static void bend_absent_elsewhere(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	static struct scene_item other;

	if (!about(request, "XB"))
		return;
	Poc__Item *item = book_answer_item(answer, "R/XB");
	scene_item(&liar->lie.scene, "R/XD", &other);
	item->map = &other.map;
	item->n_envelopes = item->n_sections = 0;
	item->value = (ProtobufCBinaryData){0};
}

static void bend_changed_byte(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	static uint8_t changed[ENVELOPE_MAX];

	(void)liar;
	if (!about(request, "XB"))
		return;
	ProtobufCBinaryData *envelope = &book_answer_item(answer, "R/XB")->envelopes[0];
	memcpy(changed, envelope->data, envelope->len);
	changed[envelope->len / 2] ^= 1;
	envelope->data = changed;
}

static void bend_older_record(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	if (!about(request, "XB"))
		return;
	const struct world_item *before = &book_find(&liar->lie, "R/XB")->versions[0];
	book_answer_item(answer, "R/XB")->envelopes[0] = (ProtobufCBinaryData){before->size, before->bytes};
}

static void bend_other_record(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	if (!about(request, "XB"))
		return;
	const struct book_entry *other = book_find(&liar->lie, "R/XA");
	book_answer_item(answer, "R/XB")->envelopes[0] =
	    (ProtobufCBinaryData){other->versions[0].size, other->versions[0].bytes};
}

static void bend_record_kept_back(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	if (!about(request, "XB"))
		return;
	struct book_entry *entry = book_find(&liar->lie, "R/XB");
	Poc__Item *item = book_answer_item(answer, "R/XB");
	item->n_envelopes = item->n_sections = 0;
	item->value = (ProtobufCBinaryData){HASH_SIZE, entry->versions[entry->n - 1].value.bytes};
}

static void bend_section_withheld(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	(void)liar;
	if (!about(request, "XB"))
		return;
	Poc__Item *item = book_answer_item(answer, "R/XB");
	item->sections++; /* the first one, which every user may see */
	item->n_sections--;
}

static void bend_section_exchanged(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	if (!about(request, "XB"))
		return;
	book_answer_item(answer, "R/XB")->sections = book_find(&liar->lie, "R/XA")->sections;
}

/* U/XB lists the key of XA's operator too, as a reader's: whoever serves him so keeps AMBER back. */
static void tell_two_states(struct liar *liar)
{
	struct world_state *state = xb(liar);
	struct keystore_key *own = state->reader;

	state->reader = world_state(liar->world, "XA")->operator_;
	world_next_users(liar->world, state, true, NULL);
	state->reader = own;
	book_put(&liar->lie, &state->users, NULL, 0);
}

static void bend_two_states(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	(void)liar;
	if (!about(request, "XB"))
		return;
	book_answer_item(answer, "R/XB")->n_sections = 1; /* GREEN */
}

/* The reader's own U is not shown, as to somebody whom it does not list; he is served as such a one. */
static bool asks_own_users(const Poc__Request *request)
{
	const Poc__GetEnvelopes *get = request->get_envelopes;

	return request->body_case == POC__REQUEST__BODY_GET_ENVELOPES && get->n_names == 2 &&
	       strcmp(get->names[1], "U/XA") == 0;
}

static void bend_own_users(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	Poc__Item *item = asks_own_users(request) ? book_answer_item(answer, "U/XA") : NULL;

	bend_two_states(liar, request, answer);
	if (item == NULL)
		return;
	struct book_entry *entry = book_find(&liar->lie, "U/XA");
	item->n_envelopes = 0;
	item->value = (ProtobufCBinaryData){HASH_SIZE, entry->versions[entry->n - 1].value.bytes};
}

static void bend_keys_kept_back(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	if (request->body_case != POC__REQUEST__BODY_GET_ENVELOPES)
		return;
	Poc__Item *item = book_answer_item(answer, "K/XB");
	if (item == NULL)
		return;
	struct book_entry *entry = book_find(&liar->lie, "K/XB");
	item->n_envelopes = 0;
	item->value = (ProtobufCBinaryData){HASH_SIZE, entry->versions[entry->n - 1].value.bytes};
}

/* ---- Notices */

/* One more receipt of XB's: accepted. */
static void accept(struct liar *liar, int64_t time, const struct keystore_key *signer)
{
	letter_receipt(&liar->false_letter, &liar->lie, POC__STEP__STEP_ACCEPTED, time, signer);
}

static void tell_altered_receipt(struct liar *liar)
{
	accept(liar, liar->now - 50, xb(liar)->operator_);
	letter_alter_last(&liar->false_letter, &liar->lie, liar->now - 3000);
	letter_publish(&liar->false_letter, &liar->lie);
}

/* U/XB gives the operator's place to somebody else; the old key signs on, and says that it was before. */
static void tell_backdated_receipt(struct liar *liar)
{
	struct world_state *state = xb(liar);
	struct keystore_key *left = liar_spare(liar, state->operator_);

	state->operator_ = keystore_ephemeral(KEY_ED25519);
	world_next_users(liar->world, state, true, NULL);
	book_put(&liar->lie, &state->users, NULL, 0);
	book_publish(&liar->lie);
	accept(liar, liar->now - 3000, left);
	letter_publish(&liar->false_letter, &liar->lie);
}

static void tell_receipt_of_another(struct liar *liar)
{
	accept(liar, liar->now - 50, world_state(liar->world, "XC")->operator_);
	letter_publish(&liar->false_letter, &liar->lie);
}

/* The receipt of the one who left, said to be judged by the publication before he left. */
static void tell_judged_before(struct liar *liar)
{
	tell_backdated_receipt(liar);
	struct letter *letter = &liar->false_letter;
	letter->steps[letter->n - 1].moment = letter->n_moments - 2;
}

static void bend_fact(struct liar *liar, struct letter_story *story)
{
	static uint8_t *bytes; /* until the next one */
	struct letter_step *stored = &liar->false_letter.steps[1];
	Poc__Fact *fact;

	free(bytes);
	if (fact_parse(stored->item, stored->size, &fact, NULL) != 0)
		abort();
	fact->time_ms -= 3600 * 1000;
	if (fact_make(fact, &bytes, &story->steps[1].item.len, NULL) != 0)
		abort();
	story->steps[1].item.data = bytes;
	message_free(fact);
}

static void bend_anchor_of_another(struct liar *liar, struct letter_story *story)
{
	(void)liar;
	story->evidence[2].anchor = story->evidence[1].anchor;
}

/* What XA's operator signed for another directory, in which the same key serves; everything else about it is right. */
static void tell_directory_notice(struct liar *liar)
{
	struct hash own = liar->world->directory_id;

	liar->world->directory_id = hash_of("another directory", 17);
	letter_notice(&liar->foreign, &liar->lie);
	liar->world->directory_id = own;
	letter_publish(&liar->foreign, &liar->lie);
}

static void tell_repeated(struct liar *liar)
{
	liar->false_letter.repeated = 3;
	book_publish(&liar->lie);
}

/* ---- Endless and oversize */

static uint8_t zeros[(PREFIX_DEPTH_MAX + 1) * HASH_SIZE];

static void bend_long_proof(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	(void)liar;
	if (about(request, "XB"))
		book_answer_item(answer, "R/XB")->map->siblings = (ProtobufCBinaryData){sizeof zeros, zeros};
}

static void bend_long_path(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	(void)liar;
	(void)request;
	answer->checkpoint.path = (ProtobufCBinaryData){(MERKLE_PATH_MAX + 1) * (size_t)HASH_SIZE, zeros};
}

static void bend_long_chain(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	enum { MANY = 4000 };
	static ProtobufCBinaryData chain[MANY];

	if (request->body_case != POC__REQUEST__BODY_GET_ENVELOPES)
		return;
	Poc__Item *item = book_answer_item(answer, "K/XB");
	if (item == NULL)
		return;
	const struct world_item *last = &book_find(&liar->lie, "K/XB")->versions[1];
	for (size_t i = 0; i < MANY; i++)
		chain[i] = i > 0 ? (ProtobufCBinaryData){last->size, last->bytes} : item->envelopes[0];
	item->envelopes = chain;
	item->n_envelopes = MANY * (size_t)200 / last->size;
}

/* Each answer is of another head. */
static void bend_moving_head(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	if (request->body_case == POC__REQUEST__BODY_GET_HEAD || liar->lie.n_leaves > SCENE_LEAVES - 4)
		return;
	book_publish(&liar->lie);
	answer->checkpoint = liar->lie.scene.checkpoint;
	answer->proof.checkpoint = &answer->checkpoint;
}

/* The version after *item, which says nothing: withdrawn, and signed by a key that is nobody's. */
static void next_fabricated(struct liar *liar, struct world_item *item)
{
	Poc__Record record = POC__RECORD__INIT;
	Poc__Head head;

	head_fill(&head, &liar->world->directory_id, "R/XB", item->seq + 1, item->bytes != NULL ? &item->value : NULL);
	record.head = &head;
	record.issued = record.confirmed = liar->now;
	record.expires = liar->now + DAY;
	record.withdrawn = 1;
	world_sign(&record.base, &liar->stranger, 1, item);
}

static void bend_endless_history(struct liar *liar, const Poc__Request *request, struct book_answer *answer)
{
	static struct world_item made; /* until the next page */
	static ProtobufCBinaryData bytes;

	if (request->body_case != POC__REQUEST__BODY_GET_ENVELOPES || request->get_envelopes->from_seq == 0)
		return;
	Poc__Item *item = book_answer_item(answer, "R/XB");
	if (item == NULL)
		return;
	if (request->get_envelopes->from_seq == 1)
		world_item_finish(&made);
	next_fabricated(liar, &made);
	bytes = (ProtobufCBinaryData){made.size, made.bytes};
	item->envelopes = &bytes;
	item->n_envelopes = 1;
}

static void make_bytes(const void *start, size_t start_size, size_t size, uint8_t **out, size_t *out_size)
{
	*out = calloc(1, size);
	if (*out == NULL)
		abort();
	memcpy(*out, start, start_size);
	*out_size = size;
}

static bool raw_oversize(struct liar *liar, const Poc__Request *request, uint8_t **bytes, size_t *size)
{
	uint8_t header[FRAME_HEADER];

	(void)liar;
	if (!about(request, "XB"))
		return false;
	frame_put_header(header, 0x7fffffff);
	make_bytes(header, sizeof header, 65536, bytes, size);
	return true;
}

static bool raw_never_ends(struct liar *liar, const Poc__Request *request, uint8_t **bytes, size_t *size)
{
	uint8_t header[FRAME_HEADER];

	(void)liar;
	if (!about(request, "XB"))
		return false;
	frame_put_header(header, FRAME_MAX_ANSWER);
	make_bytes(header, sizeof header, 1024, bytes, size);
	return true;
}

/* Nothing but events, which a client reads past. */
static bool raw_events(struct liar *liar, const Poc__Request *request, uint8_t **bytes, size_t *size)
{
	static const uint8_t event[] = {0, 0, 0, 2, 0x08, 1};

	(void)liar;
	if (!about(request, "XB"))
		return false;
	make_bytes(event, sizeof event, sizeof event * 200000, bytes, size);
	for (size_t at = 0; at < *size; at += sizeof event)
		memcpy(*bytes + at, event, sizeof event);
	return true;
}

static void frame_response(const Poc__Response *response, uint8_t **bytes, size_t *size)
{
	uint8_t *packed;
	size_t packed_size;

	if (message_encode(response, &packed, &packed_size) != 0)
		abort();
	*size = FRAME_HEADER + packed_size;
	*bytes = malloc(*size);
	if (*bytes == NULL)
		abort();
	frame_put_header(*bytes, (uint32_t)packed_size);
	memcpy(*bytes + FRAME_HEADER, packed, packed_size);
	free(packed);
}

/* Pages of changes, each of one more leaf of a log that goes on and on. */
static bool raw_pages(struct liar *liar, const Poc__Request *request, uint8_t **bytes, size_t *size)
{
	static struct book_page page;
	Poc__Response response = POC__RESPONSE__INIT;
	Poc__Changes all = POC__CHANGES__INIT;

	if (request->body_case != POC__REQUEST__BODY_CHANGES)
		return false;
	book_changes(&liar->lie, &all, &page);
	page.answer.n_changes = 1;
	page.changes[0].leaf = request->changes->from_leaf;
	page.answer.next_leaf = request->changes->from_leaf + 1;
	page.answer.checkpoint_size = UINT64_C(1) << 40;
	response.id = request->id;
	response.body_case = POC__RESPONSE__BODY_CHANGES;
	response.changes = &page.answer;
	frame_response(&response, bytes, size);
	return true;
}

static void tell_next_users(struct liar *liar)
{
	struct world_state *state = world_state(liar->world, "XA");

	world_next_users(liar->world, state, true, NULL);
	book_put(&liar->lie, &state->users, NULL, 0);
}

/* The copy comes without the reader's own U, so that nothing tells what may be missing in it. */
static bool raw_copy_without_users(struct liar *liar, const Poc__Request *request, uint8_t **bytes, size_t *size)
{
	static struct book_page page;
	Poc__Response response = POC__RESPONSE__INIT;

	if (request->body_case != POC__REQUEST__BODY_CHANGES)
		return false;
	book_changes(&liar->lie, request->changes, &page);
	for (size_t i = 0; i < page.answer.n_changes; i++) {
		Poc__Item *item = page.changes[i].item;
		struct book_entry *entry = book_find(&liar->lie, item->name);
		if (strcmp(item->name, "U/XA") != 0)
			continue;
		item->n_envelopes = 0;
		item->value = (ProtobufCBinaryData){HASH_SIZE, entry->versions[entry->n - 1].value.bytes};
	}
	response.id = request->id;
	response.body_case = POC__RESPONSE__BODY_CHANGES;
	response.changes = &page.answer;
	frame_response(&response, bytes, size);
	return true;
}

static bool say_error(const Poc__Request *request, int code, const char *message, uint8_t **bytes, size_t *size)
{
	Poc__Response response = POC__RESPONSE__INIT;
	Poc__Error error = POC__ERROR__INIT;

	error.code = (uint32_t)code;
	error.message = (char *)message;
	response.id = request->id;
	response.body_case = POC__RESPONSE__BODY_ERROR;
	response.error = &error;
	frame_response(&response, bytes, size);
	return true;
}

static bool raw_error(const Poc__Request *request, int code, const char *message, uint8_t **bytes, size_t *size)
{
	return about(request, "XB") && say_error(request, code, message, bytes, size);
}

static bool raw_denied_users(struct liar *liar, const Poc__Request *request, uint8_t **bytes, size_t *size)
{
	(void)liar;
	return asks_own_users(request) &&
	       say_error(request, STATUS_DENIED, "reading users is for listed users", bytes, size);
}

static bool raw_not_found(struct liar *liar, const Poc__Request *request, uint8_t **bytes, size_t *size)
{
	(void)liar;
	return raw_error(request, STATUS_NOT_FOUND, "there is no such record", bytes, size);
}

static bool raw_withdrawn(struct liar *liar, const Poc__Request *request, uint8_t **bytes, size_t *size)
{
	(void)liar;
	return raw_error(request, STATUS_WITHDRAWN, "the state has withdrawn its record", bytes, size);
}

/* ---- The table.  docs/keys.md shows the same rows. */

#define ANY "every `poc`, at its first contact too"
#define SEEN "every `poc` that has seen the truth"
#define NEW "every `poc` that has not verified that K before"
#define DESK "the `poc` of the sender's desk"
#define STORY "when the story comes (`poc notice status`)"
#define HEAD "before anything is asked"
#define ANSWER "when the answer comes"

/* The means of a liar: T a book of his own that clients refuse; KEPT one whose checkpoint is good by itself; B a bent
 * answer; R raw bytes; N the story of a notice. */
#define ROW(n, w, by, at, code) .name = (n), .what = (w), .who = (by), .when = (at), .exit = (code)
#define T(n, w, by, at, code, f)                                                                                       \
	{                                                                                                              \
		ROW(n, w, by, at, code), .tell = (f)                                                                   \
	}
#define KEPT(n, w, by, at, code, f, g)                                                                                 \
	{                                                                                                              \
		ROW(n, w, by, at, code), .tell = (f), .bend = (g), .kept = true                                        \
	}
#define B(n, w, by, at, code, f, g)                                                                                    \
	{                                                                                                              \
		ROW(n, w, by, at, code), .tell = (f), .bend = (g)                                                      \
	}
#define R(n, w, by, at, code, f)                                                                                       \
	{                                                                                                              \
		ROW(n, w, by, at, code), .raw = (f)                                                                    \
	}
#define N(n, w, at, code, f, g)                                                                                        \
	{                                                                                                              \
		ROW(n, w, DESK, at, code), .tell = (f), .bend_story = (g), .kept = true                                \
	}

const struct attack attacks[] = {
    /* what the log key can do */
    KEPT("forged-record", "a record signed by a key that is nobody's, in the map and under a good checkpoint", ANY,
	 ANSWER, 6, tell_forged_record, NULL),
    KEPT("authority-record", "a record signed by the state's authority in place of its coordinator", ANY, ANSWER, 6,
	 tell_authority_record, NULL),
    KEPT("dropped-key", "a record signed by a coordinator key that the state's K has dropped", ANY, ANSWER, 6,
	 tell_dropped_key, NULL),
    KEPT("directory-record", "a record that its state signed for another directory", ANY, ANSWER, 6,
	 tell_directory_record, NULL),
    KEPT("usurped-keys", "a K with another authority, which the authority before did not sign", ANY, ANSWER, 6,
	 tell_usurped_keys, NULL),
    KEPT("older-keys", "an earlier K of a state stands in the map again", SEEN, ANSWER, 6, tell_older_keys, NULL),
    B("keys-kept-back", "the server does not hand out a state's K", NEW, ANSWER, 6, NULL, bend_keys_kept_back),
    KEPT("early-replacement", "the council's replacement of an authority is used before its time", ANY, ANSWER, 6,
	 tell_early_replacement, NULL),
    T("short-delay", "a T that replaces an authority sooner than the delay allows", ANY, HEAD, 6, tell_short_delay),
    /* the register */
    KEPT("unlisted-state", "a state with keys and a record that the register does not list", ANY, ANSWER, 6,
	 tell_unlisted_state, NULL),
    T("forged-register", "a register that lifts a suspension, signed by no enrolment key", ANY, HEAD, 6,
      tell_forged_register),
    T("older-register", "the register from before a suspension stands in the map again", SEEN, HEAD, 6,
      tell_older_register),
    T("other-anchor", "stolen enrolment keys give a state another anchor", SEEN, HEAD, 6, tell_other_anchor),
    T("state-struck", "a register in which a state is missing", SEEN, HEAD, 6, tell_state_struck),
    /* the trust root */
    T("trust-by-stranger", "a T that names and is signed by a root key of the liar's", ANY, HEAD, 6,
      tell_trust_by_stranger),
    T("trust-half-signed", "a T signed by the root key before, not by the one that it names", ANY, HEAD, 6,
      tell_trust_half_signed),
    T("trust-own-auditors", "stolen root keys bring auditors of the thieves', who sign alone", SEEN, HEAD, 6,
      tell_trust_own_auditors),
    B("transition-by-thieves", "stolen root keys bring auditors of the thieves', by a transition that they alone sign",
      SEEN, HEAD, 6, tell_trust_own_auditors, bend_way_of_thieves),
    B("transition-unlogged", "a transition to a T that was never in the log, under a checkpoint with both quorums",
      SEEN, HEAD, 6, tell_unlogged_trust, bend_unlogged_trust),
    B("transition-of-another", "a transition of another directory, to a head of it", SEEN, HEAD, 6, tell_way_elsewhere,
      bend_way_of_thieves),
    B("trust-withheld", "a newer T stands in the map and is not handed out", ANY, HEAD, 6, tell_next_trust,
      bend_trust_withheld),
    T("protocol-of-tomorrow", "a T that asks for a protocol that nobody speaks yet", ANY, HEAD, 3, tell_next_protocol),
    T("dropped-log-key", "a checkpoint by a log key that T has dropped", ANY, HEAD, 6, tell_dropped_log_key),
    T("other-log-key", "a checkpoint by a log key that no T ever named", ANY, HEAD, 6, tell_other_log_key),
    T("other-directory", "another directory as a whole, with keys of its own", ANY, HEAD, 6, tell_elsewhere),
    /* the log */
    T("stale-checkpoint", "an older checkpoint, shown as what it is", SEEN, HEAD, 7, tell_older),
    B("hidden-rollback", "an older checkpoint, said to be the newest", SEEN, HEAD, 6, tell_older, bend_hide_age),
    T("split-view", "another continuation of the log, shown to some clients only", SEEN, HEAD, 6, tell_split),
    T("split-same-size", "another log of the very same size", SEEN, HEAD, 6, tell_split_same_size),
    T("split-other-auditors", "a split view that a quorum signs, without the auditor of the client's own state",
      "a `poc` with `own_auditor`, at its first contact too", HEAD, 6, tell_split_without_own),
    T("dropped-entry", "an entry taken out of the log", SEEN, HEAD, 6, tell_dropped_entry),
    T("rewritten-history", "an entry of the past exchanged for another", SEEN, HEAD, 6, tell_rewritten),
    /* time */
    KEPT("far-past", "a checkpoint made and cosigned thirty days ago", ANY, "in the verdict; the answer is shown", 7,
	 tell_past, NULL),
    T("far-future", "a checkpoint made and cosigned thirty days ahead", ANY,
      "in the verdict, said first; the answer is shown, nothing is held", 7, tell_future),
    T("future-leaf", "a STATE leaf thirty days ahead under cosignatures of now", ANY,
      "in the verdict, said first; the answer is shown, nothing is held", 7, tell_future_leaf),
    /* cosignatures */
    T("below-quorum", "a checkpoint that one auditor signed where two are needed", ANY, HEAD, 6, tell_one_auditor),
    T("one-auditor-twice", "two lines of one auditor", ANY, HEAD, 6, tell_one_twice),
    T("unlisted-auditor", "an auditor whom T does not list makes up the quorum", ANY, HEAD, 6, tell_unlisted_auditor),
    T("impostor-auditor", "a stranger signs under an auditor's name", ANY, HEAD, 6, tell_impostor),
    T("replayed-cosignatures", "auditors' lines from an earlier checkpoint under a new one", ANY, HEAD, 6,
      tell_replayed_lines),
    /* proofs and sections */
    B("present", "a proof of presence for a name that is not there", ANY, ANSWER, 6, NULL, bend_present),
    B("absent", "a proof of absence for a record that is there", ANY, ANSWER, 6, NULL, bend_absent),
    B("absent-elsewhere", "the proof of absence of another name", ANY, ANSWER, 6, NULL, bend_absent_elsewhere),
    R("claimed-not-found", "an error in place of a proof: there is no such record", ANY, ANSWER, 1, raw_not_found),
    R("claimed-withdrawn", "an error in place of a proof: the record is withdrawn", ANY, ANSWER, 1, raw_withdrawn),
    B("changed-byte", "one byte of a record changed", ANY, ANSWER, 6, NULL, bend_changed_byte),
    B("older-record", "the version of a record before the current one", ANY, ANSWER, 6, NULL, bend_older_record),
    B("other-record", "the record of another state", ANY, ANSWER, 6, NULL, bend_other_record),
    B("record-kept-back", "the proof that there is a record, without the record", ANY, ANSWER, 6, NULL,
      bend_record_kept_back),
    B("section-withheld", "a section kept back from a reader who may see it", ANY, ANSWER, 6, NULL,
      bend_section_withheld),
    B("section-exchanged", "sections of another state's record", ANY, ANSWER, 6, NULL, bend_section_exchanged),
    KEPT("two-states", "another state lists the user too, as less than he is at home, and he is served as that",
	 "the `poc` of that user", ANSWER, 6, tell_two_states, bend_two_states),
    B("users-kept-back", "the user's own U is kept back, and he is served as somebody whom it does not list",
      "the `poc` of that user", ANSWER, 6, NULL, bend_own_users),
    {ROW("users-denied", "the same, with an error in the place of U", "the `poc` of that user", ANSWER, 6),
     .raw = raw_denied_users, .bend = bend_own_users},
    {ROW("users-not-copied", "a copy without the U that says what its owner may see", ANY,
	 "when the copy is fetched (`poc sync`)", 6),
     .tell = tell_next_users, .raw = raw_copy_without_users, .kept = true},
    /* notices */
    N("altered-receipt", "the time of a receipt changed, and the changed one anchored", STORY, 6, tell_altered_receipt,
      NULL),
    N("backdated-receipt", "a receipt with an earlier date, by a key that U has dropped since", STORY, 6,
      tell_backdated_receipt, NULL),
    N("judged-before", "the same, with evidence from the publication before the key was dropped", STORY, 6,
      tell_judged_before, NULL),
    N("receipt-of-another", "a receipt in one state's name by the operator of another", STORY, 6,
      tell_receipt_of_another, NULL),
    N("anchor-of-another", "a receipt with the anchor of another item", STORY, 6, NULL, bend_anchor_of_another),
    N("backdated-fact", "the directory's own word, stored, an hour earlier than it was anchored", STORY, 6, NULL,
      bend_fact),
    N("directory-notice", "a notice that was sent in another directory, anchored in this one",
      "in the list, as not verified; and when the story comes (`poc notice status`)", 6, tell_directory_notice, NULL),
    N("replayed-notice", "a notice handed out again, as if it were new",
      "when the feed comes: it is listed once (`poc notice list`)", 0, tell_repeated, NULL),
    /* without end */
    B("endless-proof", "a map proof deeper than a map can be", ANY, ANSWER, 6, NULL, bend_long_proof),
    B("endless-path", "a path in the log longer than a log can be", ANY, HEAD, 6, NULL, bend_long_path),
    B("endless-chain", "a chain of K that repeats itself", NEW, ANSWER, 6, NULL, bend_long_chain),
    KEPT("moving-head", "each answer is of another head than the one before", ANY, "after ten rounds", 1, NULL,
	 bend_moving_head),
    B("endless-history", "versions of a record without end, which nobody signed", ANY,
      "when they come (`poc history`), at the number of the version that is proven", 6, NULL, bend_endless_history),
    R("endless-pages", "pages of changes without end, of a log without end", ANY,
      "when the copy is fetched (`poc sync`), at the end of the log that is proven", 6, raw_pages),
    R("oversize-answer", "an answer of two gigabytes, says its length", ANY, ANSWER, 1, raw_oversize),
    R("unfinished-answer", "an answer that never ends", ANY, "at the time limit", 3, raw_never_ends),
    R("flood-of-events", "events in place of an answer", ANY, "at the time limit", 3, raw_events),
    /* in between */
    {ROW("other-tls-key", "a man in the middle, with a TLS key that is neither pinned nor listed", ANY,
	 "before anything but heads is asked", 3),
     .other_key = true},
};

const size_t n_attacks = sizeof attacks / sizeof attacks[0];

const struct attack *attack_find(const char *name)
{
	for (size_t i = 0; i < n_attacks; i++) {
		if (strcmp(attacks[i].name, name) == 0)
			return &attacks[i];
	}
	return NULL;
}
