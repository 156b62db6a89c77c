#include "clients/libpoc/verify_head.h"

#include <stdlib.h>
#include <string.h>

#include "proto/proof/merkle.h"
#include "proto/rules/chain.h"
#include "proto/rules/register.h"
#include "proto/rules/rules.h"
#include "proto/rules/trust.h"
#include "proto/wire/prescan.h"

enum { AUDITORS_MAX = 16, LOG_KEYS_MAX = 4, ENROLMENT_KEYS_MAX = 16 };

struct verified_head *verified_head_ref(struct verified_head *head)
{
	head->references++;
	return head;
}

void verified_head_unref(struct verified_head *head)
{
	if (head == NULL || --head->references > 0)
		return;
	for (size_t i = 0; i < head->n_trust; i++)
		envelope_destroy(head->trust[i]);
	free(head->trust);
	envelope_destroy(head->reg);
	envelope_destroy(head->keys);
	envelope_destroy(head->staff);
	message_free(head->proof);
	free(head);
}

const struct envelope *verified_head_trust(const struct verified_head *head)
{
	return head->trust[head->n_trust - 1];
}

/* ---- Step 1: T walks forward by its own signatures */

static int add_trust(const struct verify_pins *pins, struct verified_head *head, struct envelope *next, bool known,
		     struct refusal *why)
{
	const struct envelope *prev = head->n_trust > 0 ? verified_head_trust(head) : NULL;
	int status = 0;

	if (prev == NULL && (next->name.kind != NAME_TRUST || next->seq != 1))
		status = refuse(why, STATUS_UNVERIFIED, "trust", "the trust root does not begin with T(1)");
	else if (prev == NULL && hash_compare(&next->payload_hash, &pins->directory) != 0)
		status = refuse(why, STATUS_UNVERIFIED, "trust", "this is another directory's trust root");
	else if (!known) /* a known one was checked when it was new */
		status = trust_continues(prev, next, why);
	if (status != 0) {
		envelope_destroy(next);
		return unverified(why, status);
	}
	head->trust[head->n_trust++] = next;
	return 0;
}

/* Who has signed those that are new.  Of those that the same keys sign the last one tells: by its prev it is signed on
 * top of those before it. */
static int check_trust_signers(const struct verified_head *head, size_t n_known, struct refusal *why)
{
	int status = 0;

	for (size_t i = n_known; i < head->n_trust && status == 0; i++) {
		const struct envelope *prev = i > 0 ? head->trust[i - 1] : NULL, *next = head->trust[i];
		if (prev == NULL || i + 1 == head->n_trust || !trust_same_signers(prev, next))
			status = unverified(why, trust_accepts(prev, next, why));
	}
	return status;
}

static int walk_trust(const struct verify_pins *pins, struct envelope *const *known, size_t n_known,
		      struct verified_head *head, struct refusal *why)
{
	const Poc__Proof *proof = head->proof;
	int status = 0;

	head->trust = calloc(n_known + proof->n_trust + 1, sizeof(struct envelope *));
	if (head->trust == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	for (size_t i = 0; i < n_known + proof->n_trust && status == 0; i++) {
		bool is_known = i < n_known;
		struct envelope *next;
		const uint8_t *bytes = is_known ? known[i]->bytes : proof->trust[i - n_known].data;
		size_t size = is_known ? known[i]->size : proof->trust[i - n_known].len;
		status = unverified(why, envelope_parse(bytes, size, &next, why));
		if (status == 0)
			status = add_trust(pins, head, next, is_known, why);
	}
	if (status == 0 && head->n_trust == 0)
		status = refuse(why, STATUS_UNVERIFIED, "trust", "the proof has no trust root");
	return status == 0 ? check_trust_signers(head, n_known, why) : status;
}

/* ---- Step 2: the note */

static int check_log_lines(const struct note *note, const Poc__Trust *trust, struct refusal *why)
{
	struct note_key keys[LOG_KEYS_MAX];
	size_t n = trust_log_keys(trust, keys, LOG_KEYS_MAX), good = 0;

	for (size_t i = 0; i < n; i++) {
		enum note_result result = note_verify(note, &keys[i], NULL);
		if (result == NOTE_BAD)
			return refuse(why, STATUS_UNVERIFIED, "checkpoint",
				      "the log's signature on the checkpoint is wrong");
		good += result == NOTE_GOOD;
	}
	if (good == 0)
		return refuse(why, STATUS_UNVERIFIED, "checkpoint",
			      "no log key of the trust root signed the checkpoint");
	return 0;
}

/* Collects the times of valid cosignatures by a T's auditors, newest first. */
static int count_cosigners(const struct note *note, const Poc__Trust *trust, const char *own_auditor,
			   uint64_t times[AUDITORS_MAX], size_t *count, bool *own, struct refusal *why)
{
	struct note_key keys[AUDITORS_MAX];
	size_t n = trust_auditor_keys(trust, keys, AUDITORS_MAX);

	*count = 0;
	*own = false;
	for (size_t i = 0; i < n; i++) {
		uint64_t time = 0;
		enum note_result result = note_verify(note, &keys[i], &time);
		if (result == NOTE_BAD || time > INT64_MAX / 1000)
			return refuse(why, STATUS_UNVERIFIED, "checkpoint", "the cosignature of auditor %s is wrong",
				      keys[i].name);
		if (result != NOTE_GOOD)
			continue;
		size_t at = (*count)++;
		for (; at > 0 && times[at - 1] < time; at--)
			times[at] = times[at - 1];
		times[at] = time;
		*own = *own || (own_auditor != NULL && strcmp(own_auditor, keys[i].name) == 0);
	}
	return 0;
}

/* The first checkpoint that holds a new T needs the quorum of the T before as well, or thieves of root keys could bring
 * auditors of their own. */
static int check_old_quorum(const struct note *note, const Poc__Trust *old, struct refusal *why)
{
	uint64_t times[AUDITORS_MAX];
	size_t count;
	bool own;
	int status = count_cosigners(note, old, NULL, times, &count, &own, why);

	if (status == 0 && count < old->quorum)
		status =
		    refuse(why, STATUS_UNVERIFIED, "checkpoint",
			   "%zu of the %u auditors that the earlier trust root asks for signed", count, old->quorum);
	return status;
}

static int check_quorum(const struct verify_pins *pins, const struct note *note, struct verified_head *head,
			struct refusal *why)
{
	const Poc__Trust *trust = verified_head_trust(head)->payload.trust;
	uint64_t times[AUDITORS_MAX];
	size_t count;
	bool own;
	int status = count_cosigners(note, trust, pins->own_auditor, times, &count, &own, why);

	if (status != 0)
		return status;
	head->auditors = (unsigned)trust->n_auditors;
	head->cosigners = (unsigned)count;
	head->quorum = trust->quorum > pins->quorum ? trust->quorum : pins->quorum;
	if (count < head->quorum)
		return refuse(why, STATUS_UNVERIFIED, "checkpoint", "%zu auditors signed the checkpoint, %u are needed",
			      count, head->quorum);
	if (pins->own_auditor != NULL && !own)
		return refuse(why, STATUS_UNVERIFIED, "checkpoint", "the auditor %.80s has not signed the checkpoint",
			      pins->own_auditor);
	head->time_ms = head->quorum > 0 ? (int64_t)times[head->quorum - 1] * 1000 : (int64_t)head->leaf.time_ms;
	return 0;
}

/* A checkpoint of T's log. */
static int read_note(const ProtobufCBinaryData *bytes, const Poc__Trust *trust, struct note *note,
		     struct checkpoint *checkpoint, struct refusal *why)
{
	int status = note_parse((const char *)bytes->data, bytes->len, note, why);

	if (status == 0)
		status = checkpoint_parse(note->text, note->text_size, checkpoint, why);
	if (status != 0)
		return unverified(why, status);
	if (strcmp(checkpoint->origin, trust->origin) != 0)
		return refuse(why, STATUS_UNVERIFIED, "checkpoint", "the checkpoint is of another log");
	return check_log_lines(note, trust, why);
}

static int check_note(const struct verify_pins *pins, const struct envelope *held, struct verified_head *head,
		      struct refusal *why)
{
	struct note note;
	int status = read_note(&head->proof->checkpoint->note, verified_head_trust(head)->payload.trust, &note,
			       &head->checkpoint, why);

	if (status == 0)
		status = check_quorum(pins, &note, head, why);
	if (status == 0 && held != NULL && held->seq != verified_head_trust(head)->seq)
		status = check_old_quorum(&note, held->payload.trust, why);
	return status;
}

/* ---- A T that an earlier checkpoint shows */

/* The leaf is that of this T, and stands in the checkpoint's log. */
static int check_trust_leaf(const Poc__Transition *transition, const struct envelope *trust,
			    const struct checkpoint *checkpoint, struct refusal *why)
{
	const struct hash key = hash_name("T");
	struct hash path[MERKLE_PATH_MAX], hash;
	struct leaf leaf;
	size_t n = transition->path.len / HASH_SIZE;

	if (transition->leaf.len != LEAF_SIZE || leaf_read(transition->leaf.data, &leaf) != 0 ||
	    leaf.kind != LEAF_PUT || hash_compare(&leaf.key, &key) != 0 || leaf.seq != trust->seq ||
	    hash_compare(&leaf.value, &trust->value) != 0)
		return refuse(why, STATUS_UNVERIFIED, "transitions.leaf", "not the leaf of this trust root");
	if (transition->path.len % HASH_SIZE != 0 || n > MERKLE_PATH_MAX)
		return refuse(why, STATUS_UNVERIFIED, "transitions.path", "not an audit path");
	if (n > 0)
		memcpy(path, transition->path.data, transition->path.len);
	hash = merkle_leaf(transition->leaf.data, transition->leaf.len);
	if (!merkle_verify_inclusion(transition->index, checkpoint->size, &hash, path, n, &checkpoint->root))
		return refuse(why, STATUS_UNVERIFIED, "transitions.path",
			      "the checkpoint's log does not hold this trust root");
	return 0;
}

static int check_both_quorums(const Poc__Transition *transition, const struct envelope *old,
			      const struct envelope *trust, struct checkpoint *checkpoint, struct refusal *why)
{
	uint64_t times[AUDITORS_MAX];
	struct note note;
	size_t count = 0;
	bool own;
	int status = read_note(&transition->note, trust->payload.trust, &note, checkpoint, why);

	if (status == 0)
		status = count_cosigners(&note, trust->payload.trust, NULL, times, &count, &own, why);
	if (status == 0 && count < trust->payload.trust->quorum)
		status =
		    refuse(why, STATUS_UNVERIFIED, "transitions.note",
			   "%zu auditors signed the checkpoint, %u are needed", count, trust->payload.trust->quorum);
	return status == 0 ? check_old_quorum(&note, old->payload.trust, why) : status;
}

int verify_transition(const struct envelope *known, const Poc__Transition *transition, struct envelope **trust,
		      struct checkpoint *checkpoint, struct refusal *why)
{
	const struct envelope *last = known;
	size_t n = 0;
	int status = 0;

	for (; n < transition->n_trust && status == 0; n++) {
		const ProtobufCBinaryData *bytes = &transition->trust[n];
		trust[n] = NULL;
		status = envelope_parse(bytes->data, bytes->len, &trust[n], why);
		if (status == 0)
			status = trust_accepts(last, trust[n], why);
		last = trust[n];
	}
	status = status != 0 ? unverified(why, status) : status;
	if (status == 0 && n == 0)
		status = refuse(why, STATUS_UNVERIFIED, "transitions.trust", "it leads to no trust root");
	if (status == 0)
		status = check_both_quorums(transition, known, last, checkpoint, why);
	if (status == 0)
		status = check_trust_leaf(transition, last, checkpoint, why);
	if (status != 0) {
		for (size_t i = 0; i < n; i++)
			envelope_destroy(trust[i]);
	}
	return status;
}

/* ---- Step 5: the STATE leaf; T and S in the map */

static int read_leaf(struct verified_head *head, struct refusal *why)
{
	const Poc__Checkpoint *checkpoint = head->proof->checkpoint;

	if (leaf_read(checkpoint->leaf.data, &head->leaf) != 0 || head->leaf.kind != LEAF_STATE ||
	    head->leaf.time_ms > INT64_MAX)
		return refuse(why, STATUS_UNVERIFIED, "checkpoint.leaf", "not a STATE leaf");
	return 0;
}

static int check_leaf(const struct verified_head *head, struct refusal *why)
{
	const Poc__Checkpoint *checkpoint = head->proof->checkpoint;
	struct hash path[MERKLE_PATH_MAX], leaf = merkle_leaf(checkpoint->leaf.data, checkpoint->leaf.len);
	size_t n = checkpoint->path.len / HASH_SIZE;

	if (n > 0)
		memcpy(path, checkpoint->path.data, checkpoint->path.len);
	if (head->checkpoint.size == 0 || !merkle_verify_inclusion(head->checkpoint.size - 1, head->checkpoint.size,
								   &leaf, path, n, &head->checkpoint.root))
		return refuse(why, STATUS_UNVERIFIED, "checkpoint.path",
			      "the STATE leaf is not the last leaf of the checkpoint's log");
	return 0;
}

int verify_map(const struct hash *root, const Poc__Item *item, bool *absent, struct hash *value, struct refusal *why)
{
	const Poc__MapProof *map = item->map;
	struct hash key = hash_name(item->name);
	struct prefix_entry other = {0};
	const ProtobufCBinaryData *last = item->n_envelopes > 0 ? &item->envelopes[item->n_envelopes - 1] : NULL;

	*absent = map->terminal != POC__TERMINAL__TERMINAL_FOUND;
	*value = hash_zero;
	if (last != NULL)
		*value = hash_of(last->data, last->len);
	else if (item->value.len == HASH_SIZE)
		memcpy(value->bytes, item->value.data, HASH_SIZE);
	if (map->terminal == POC__TERMINAL__TERMINAL_OTHER) {
		memcpy(other.key.bytes, map->other_key.data, HASH_SIZE);
		memcpy(other.value.bytes, map->other_value.data, HASH_SIZE);
	}
	if (!prefix_verify(root, &key, value, map->siblings.data, (unsigned)(map->siblings.len / HASH_SIZE),
			   (enum prefix_terminal)map->terminal, &other))
		return refuse(why, STATUS_UNVERIFIED, item->name,
			      "the map proof of %.64s does not lead to the checkpoint", item->name);
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	return hash_compare(&((const struct prefix_entry *)a)->key, &((const struct prefix_entry *)b)->key);
}

static struct prefix_entry entry_of(const Poc__Item *item)
{
	struct prefix_entry entry = {.key = hash_name(item->name)};

	if (item->n_envelopes > 0) {
		const ProtobufCBinaryData *last = &item->envelopes[item->n_envelopes - 1];
		entry.value = hash_of(last->data, last->len);
	} else {
		memcpy(entry.value.bytes, item->value.data, HASH_SIZE);
	}
	return entry;
}

/* Recomputes the map root of a complete proof: its items and T. */
static int check_complete(const struct verified_head *head, struct refusal *why)
{
	const Poc__Proof *proof = head->proof;
	size_t n = proof->n_items + 1;
	struct prefix_entry *entries = calloc(n, sizeof *entries);
	struct hash root;

	if (entries == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	for (size_t i = 0; i < proof->n_items; i++)
		entries[i] = entry_of(proof->items[i]);
	entries[n - 1] = (struct prefix_entry){hash_name("T"), verified_head_trust(head)->value};
	qsort(entries, n, sizeof *entries, compare_entries);
	struct prefix_tree *tree = prefix_create(entries, n);
	if (tree == NULL) {
		free(entries);
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	}
	prefix_root(tree, &root);
	prefix_destroy(tree);
	free(entries);
	if (hash_compare(&root, &head->leaf.value) != 0)
		return refuse(why, STATUS_UNVERIFIED, "items", "the names do not add up to the checkpoint's map root");
	return 0;
}

static int check_trust_item(const struct verified_head *head, struct refusal *why)
{
	const Poc__Item *item = proof_item(head->proof, "T");
	struct hash value;
	bool absent;

	if (item == NULL || item->n_envelopes > 0)
		return refuse(why, STATUS_UNVERIFIED, "T", "no map proof of the trust root");
	int status = verify_map(&head->leaf.value, item, &absent, &value, why);
	if (status == 0 && (absent || hash_compare(&value, &verified_head_trust(head)->value) != 0))
		status = refuse(why, STATUS_UNVERIFIED, "T", "the checkpoint holds another trust root");
	return status;
}

int verify_register(const struct hash *directory, const struct envelope *trust, const struct envelope *reg,
		    struct refusal *why)
{
	const Poc__Trust *t = trust->payload.trust;
	struct public_key *keys;

	if (reg->name.kind != NAME_REGISTER || hash_compare(&reg->directory_id, directory) != 0)
		return refuse(why, STATUS_UNVERIFIED, "S", "not this directory's register");
	int status =
	    key_list_parse(t->enrolment_keys, t->n_enrolment_keys, ENROLMENT_KEYS_MAX, "enrolment_keys", &keys, why);
	if (status != 0)
		return unverified(why, status);
	struct key_list list = {keys, t->n_enrolment_keys, t->enrolment_threshold};
	if (!envelope_signed_by(reg, &list, trust_algorithms(t)))
		status = refuse(why, STATUS_UNVERIFIED, "S", "too few enrolment keys signed the register");
	free(keys);
	return status;
}

/* Entries never vanish and anchors never change between the register that is known and this one. */
static int check_register_kept(const struct envelope *known, const struct envelope *reg, struct refusal *why)
{
	const Poc__Register *old = known->payload.register_;

	if (reg->seq < known->seq || (reg->seq == known->seq && hash_compare(&reg->value, &known->value) != 0))
		return refuse(why, STATUS_UNVERIFIED, "S", "the register went back");
	for (size_t i = 0; i < old->n_entries; i++) {
		const Poc__Entry *now = register_find(reg->payload.register_, old->entries[i]->state);
		if (now == NULL || memcmp(now->anchor.data, old->entries[i]->anchor.data, HASH_SIZE) != 0)
			return refuse(why, STATUS_UNVERIFIED, "S", "the register dropped %.16s or changed its anchor",
				      old->entries[i]->state);
	}
	return 0;
}

static int take_register(const struct verify_pins *pins, const struct envelope *known, struct verified_head *head,
			 struct refusal *why)
{
	const Poc__Item *item = proof_item(head->proof, "S");
	struct hash value;
	bool absent = false;
	int status = 0;

	if (item == NULL || item->n_envelopes > 1)
		return refuse(why, STATUS_UNVERIFIED, "S", "no map proof of the register");
	if (head->proof->complete)
		value = entry_of(item).value;
	else
		status = verify_map(&head->leaf.value, item, &absent, &value, why);
	if (status != 0)
		return status;
	if (absent)
		return refuse(why, STATUS_UNVERIFIED, "S", "the checkpoint holds no register");
	if (item->n_envelopes == 1)
		status = envelope_parse(item->envelopes[0].data, item->envelopes[0].len, &head->reg, why);
	else if (known != NULL && hash_compare(&known->value, &value) == 0)
		status = envelope_parse(known->bytes, known->size, &head->reg, why);
	else
		status = refuse(why, STATUS_UNVERIFIED, "S", "the register is missing");
	if (status != 0)
		return unverified(why, status);
	status = verify_register(&pins->directory, verified_head_trust(head), head->reg, why);
	if (status == 0 && known != NULL)
		status = check_register_kept(known, head->reg, why);
	return status;
}

static int check_log(const struct verify_pins *pins, struct envelope *const *known, size_t n_known,
		     struct verified_head *head, struct refusal *why)
{
	int status = walk_trust(pins, known, n_known, head, why);

	if (status == 0 && head->proof->checkpoint == NULL)
		status = refuse(why, STATUS_UNVERIFIED, "checkpoint", "the proof has no checkpoint");
	if (status == 0)
		status = read_leaf(head, why);
	if (status == 0)
		status = check_note(pins, n_known > 0 ? known[n_known - 1] : NULL, head, why);
	if (status == 0)
		status = check_leaf(head, why);
	return status;
}

static int check_head(const struct verify_pins *pins, struct envelope *const *known, size_t n_known,
		      const struct envelope *known_register, struct verified_head *head, struct refusal *why)
{
	int status = check_log(pins, known, n_known, head, why);

	if (status == 0)
		status = head->proof->complete ? check_complete(head, why) : check_trust_item(head, why);
	if (status == 0)
		status = take_register(pins, known_register, head, why);
	return status;
}

/* Takes proof over in any case. */
static struct verified_head *head_of(Poc__Proof *proof, struct refusal *why)
{
	struct verified_head *head = calloc(1, sizeof *head);

	if (head == NULL) {
		message_free(proof);
		refuse(why, STATUS_NO_MEMORY, "", "out of memory");
		return NULL;
	}
	head->references = 1;
	head->proof = proof;
	return head;
}

static int done(int status, struct verified_head *head, struct verified_head **out)
{
	if (status != 0)
		verified_head_unref(head);
	*out = status == 0 ? head : NULL;
	return status;
}

int verify_head(const struct verify_pins *pins, struct envelope *const *known, size_t n_known,
		const struct envelope *known_register, Poc__Proof *proof, struct verified_head **out,
		struct refusal *why)
{
	struct verified_head *head = head_of(proof, why);

	*out = NULL;
	if (head == NULL)
		return STATUS_NO_MEMORY;
	return done(check_head(pins, known, n_known, known_register, head, why), head, out);
}

int verify_log(const struct verify_pins *pins, Poc__Proof *proof, struct verified_head **out, struct refusal *why)
{
	struct verified_head *head = head_of(proof, why);

	*out = NULL;
	if (head == NULL)
		return STATUS_NO_MEMORY;
	return done(check_log(pins, NULL, 0, head, why), head, out);
}
