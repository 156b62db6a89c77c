#include "clients/libpoc/advance.h"

#include <stdlib.h>
#include <string.h>

#include "clients/libpoc/verdict.h"
#include "proto/proof/merkle.h"
#include "proto/wire/frame.h"
#include "proto/wire/prescan.h"

enum { FUTURE_MAX_MS = CLOCK_TOLERANCE * 1000, STORE_TRIES = 20, TRANSITIONS_MAX = 16 };

void advance_request(const struct poc *poc, Poc__GetHead *request)
{
	const struct held *held = &poc->held;

	poc__get_head__init(request);
	request->trust_seq = held->n_trust + poc->n_ahead;
	if (held->empty)
		return;
	request->held_size = held->size;
	request->register_value = (ProtobufCBinaryData){HASH_SIZE, held->reg->value.bytes};
}

/* ---- T that came before the head */

int advance_trust(struct poc *poc, const Poc__Item *page)
{
	if (page->n_envelopes == 0)
		return 0;
	size_t bytes = poc->ahead_bytes; /* nobody has signed them yet, as far as is known */
	for (size_t i = 0; i < page->n_envelopes; i++)
		bytes += page->envelopes[i].len;
	if (poc->held.n_trust + poc->n_ahead + page->n_envelopes > HELD_TRUST_MAX || bytes > HELD_FILE_MAX)
		return refuse(&poc->why, STATUS_TOO_LARGE, "trust", "the trust root has too many versions");
	ProtobufCBinaryData *grown = realloc(poc->ahead, (poc->n_ahead + page->n_envelopes) * sizeof *grown);
	if (grown == NULL)
		return refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
	poc->ahead = grown;
	for (size_t i = 0; i < page->n_envelopes; i++) {
		const ProtobufCBinaryData *from = &page->envelopes[i];
		ProtobufCBinaryData *to = &poc->ahead[poc->n_ahead];
		*to = (ProtobufCBinaryData){from->len, malloc(from->len + 1)};
		if (to->data == NULL)
			return refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
		memcpy(to->data, from->data, from->len);
		poc->n_ahead++;
		poc->ahead_bytes += from->len;
	}
	return 0;
}

void advance_drop(struct poc *poc)
{
	for (size_t i = 0; i < poc->n_ahead; i++)
		free(poc->ahead[i].data);
	free(poc->ahead);
	poc->ahead = NULL;
	poc->n_ahead = poc->ahead_bytes = 0;
}

/* Puts them before the T of a head's proof, which takes them over. */
static int join_trust(struct poc *poc, Poc__Proof *proof)
{
	if (poc->n_ahead == 0)
		return 0;
	ProtobufCBinaryData *all = realloc(poc->ahead, (poc->n_ahead + proof->n_trust) * sizeof *all);
	if (all == NULL)
		return refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
	if (proof->n_trust > 0)
		memcpy(all + poc->n_ahead, proof->trust, proof->n_trust * sizeof *all);
	free(proof->trust);
	proof->trust = all;
	proof->n_trust += poc->n_ahead;
	poc->ahead = NULL;
	poc->n_ahead = poc->ahead_bytes = 0;
	return 0;
}

/* What cannot be read is not taken for a first contact: the handle holds nothing, and knows that it does not know. */
static int reload(struct poc *poc)
{
	held_finish(&poc->held);
	int status = held_load(poc->folder, &poc->pins.directory, &poc->held, &poc->why);
	poc->held_lost = status != 0;
	poc->held.empty = poc->held.empty || poc->held_lost;
	return status;
}

int advance_begin(struct poc *poc)
{
	return poc->held_lost ? reload(poc) : 0;
}

static bool consistent(const struct held_head *old, const struct verified_head *head, const ProtobufCBinaryData *proof)
{
	struct hash path[MERKLE_CONSISTENCY_MAX];
	size_t n = proof->len / HASH_SIZE;

	if (proof->len % HASH_SIZE != 0 || n > MERKLE_CONSISTENCY_MAX)
		return false;
	if (n > 0)
		memcpy(path, proof->data, proof->len);
	return merkle_verify_consistency(old->size, &old->root, head->checkpoint.size, &head->checkpoint.root, path, n);
}

/* By its size and time the directory's staff says whether it is the one of a backup. */
static void note_refused(struct poc *poc, const struct verified_head *head)
{
	poc->refused_size = head->checkpoint.size;
	poc->refused_time_ms = head->time_ms;
}

static int contradicts(struct poc *poc, const struct verified_head *head)
{
	note_refused(poc, head);
	return refuse(
	    &poc->why, STATUS_UNVERIFIED, "checkpoint",
	    "the server's checkpoint of size %llu contradicts what was verified before (size %llu): the log "
	    "is not the same.  Tell the directory's staff and other states; --offline answers from the verified "
	    "copy.  If the staff says, by another way, that it goes on from a backup: poc(1), GOING BACK",
	    (unsigned long long)head->checkpoint.size, (unsigned long long)poc->held.size);
}

/* ---- A head that is older than the held one */

static int is_behind(struct poc *poc, const struct verified_head *head)
{
	note_refused(poc, head);
	return refuse(
	    &poc->why, STATUS_BEHIND, "checkpoint",
	    "the server is behind: its checkpoint has size %llu, one of size %llu is known.  If that lasts, tell "
	    "the directory's staff; --offline answers from the verified copy.  If the staff says, by another way, "
	    "that it goes on from a backup: poc(1), GOING BACK",
	    (unsigned long long)head->checkpoint.size, (unsigned long long)poc->held.size);
}

/* Verifies an older head under that T of the held chain which its map proof names. */
static int verify_older(struct poc *poc, const Poc__HeadAnswer *answer, struct verified_head **head)
{
	Poc__Proof *proof;
	size_t n = poc->held.n_trust;
	int status = proof_decode(answer->proof.data, answer->proof.len, &proof, &poc->why);

	*head = NULL;
	if (status != 0)
		return status;
	const Poc__Item *item = proof_item(proof, "T");
	while (item != NULL && item->value.len == HASH_SIZE && n > 1 &&
	       memcmp(poc->held.trust[n - 1]->value.bytes, item->value.data, HASH_SIZE) != 0)
		n--;
	/* the register may be an older one too; then its envelope came along */
	const Poc__Item *reg = proof_item(proof, "S");
	bool same = reg != NULL && reg->value.len == HASH_SIZE &&
		    memcmp(reg->value.data, poc->held.reg->value.bytes, HASH_SIZE) == 0;
	return verify_head(&poc->pins, poc->held.trust, n, same ? poc->held.reg : NULL, proof, head, &poc->why);
}

/* Asks for the consistency of the server's head with an older one that is remembered. */
static int ask_from(struct poc *poc, const struct held_head *remembered, Poc__Response **answer)
{
	Poc__GetHead get = POC__GET_HEAD__INIT;
	Poc__Request request = POC__REQUEST__INIT;

	get.held_size = remembered->size;
	get.trust_seq = poc->held.n_trust;
	request.body_case = POC__REQUEST__BODY_GET_HEAD;
	request.get_head = &get;
	int status = connection_call(poc, &request, answer);
	if (status == 0 && (*answer)->body_case != POC__RESPONSE__BODY_HEAD)
		status = refuse(&poc->why, STATUS_MALFORMED, "", "the server answers something else");
	return status;
}

static int judge_remembered(struct poc *poc, const struct held_head *remembered)
{
	Poc__Response *answer = NULL;
	struct verified_head *head = NULL;
	int status = ask_from(poc, remembered, &answer);

	if (status == 0)
		status = verify_older(poc, answer->head, &head);
	if (status == 0)
		status = consistent(remembered, head, &answer->head->consistency) ? is_behind(poc, head)
										  : contradicts(poc, head);
	verified_head_unref(head);
	message_free(answer);
	return status;
}

static int judge_older(struct poc *poc, const Poc__HeadAnswer *answer)
{
	struct verified_head *head;
	struct held_head remembered;
	int status = verify_older(poc, answer, &head);

	if (status != 0)
		return status;
	const struct hash *root = held_root_of(&poc->held, head->checkpoint.size);
	if (head->checkpoint.size >= poc->held.size) /* the flag lies, or it caught up: the next answer will tell */
		status = refuse(&poc->why, STATUS_CONFLICT, "checkpoint", "the server's head moved");
	else if (root != NULL)
		status =
		    hash_compare(root, &head->checkpoint.root) == 0 ? is_behind(poc, head) : contradicts(poc, head);
	else if (held_largest(&poc->held, head->checkpoint.size, &remembered))
		status = judge_remembered(poc, &remembered);
	else
		status = is_behind(poc, head); /* older than all that is remembered */
	verified_head_unref(head);
	return status;
}

/* ---- A head that is not older */

static int check_clock(struct poc *poc, const struct verified_head *head)
{
	int64_t now = connection_now_ms(poc);

	if (head->time_ms > now + FUTURE_MAX_MS || (int64_t)head->leaf.time_ms > now + FUTURE_MAX_MS)
		return refuse(&poc->why, STATUS_CLOCK, "checkpoint",
			      "the checkpoint lies %lld minutes in the future: the server's clock or this one is wrong",
			      (long long)((head->time_ms - now) / 60000));
	if (!poc->held.empty && poc->held.time_ms > now + FUTURE_MAX_MS)
		return refuse(&poc->why, STATUS_CLOCK, "clock",
			      "this machine's clock is behind: a checkpoint verified earlier is %lld minutes later",
			      (long long)((poc->held.time_ms - now) / 60000));
	return 0;
}

static int copy_trust(const struct verified_head *head, struct held *held, struct refusal *why)
{
	struct envelope **trust = calloc(head->n_trust + 1, sizeof(struct envelope *)), *reg = NULL;
	size_t n = 0;
	int status = trust == NULL ? refuse(why, STATUS_NO_MEMORY, "", "out of memory") : 0;

	for (; status == 0 && n < head->n_trust; n++) {
		status = envelope_parse(head->trust[n]->bytes, head->trust[n]->size, &trust[n], why);
		if (status != 0)
			break;
	}
	if (status == 0)
		status = envelope_parse(head->reg->bytes, head->reg->size, &reg, why);
	if (status != 0) {
		for (size_t i = 0; i < n; i++)
			envelope_destroy(trust[i]);
		free(trust);
		return status;
	}
	for (size_t i = 0; i < held->n_trust; i++)
		envelope_destroy(held->trust[i]);
	free(held->trust);
	envelope_destroy(held->reg);
	held->trust = trust;
	held->n_trust = head->n_trust;
	held->reg = reg;
	return 0;
}

int advance_unheld(struct poc *poc, int status)
{
	if (status != STATUS_IO || !poc->only_reads)
		return status;
	if (poc->unheld.code == 0)
		poc->unheld = poc->why;
	poc->why = (struct refusal){0};
	return 0;
}

static int store(struct poc *poc)
{
	return advance_unheld(poc, held_store(poc->folder, &poc->pins.directory, &poc->held, &poc->why));
}

static int store_head(struct poc *poc, const struct verified_head *head)
{
	int status = copy_trust(head, &poc->held, &poc->why);

	if (status != 0)
		return status;
	held_advance(&poc->held, head->checkpoint.size, &head->checkpoint.root, head->time_ms);
	if (poc->folder == NULL) /* opened without a state folder: remembered as long as this handle lives */
		return 0;
	status = store(poc);
	if (status != 0) { /* what is in memory was never stored: go back to what is */
		struct refusal why = poc->why;
		int again = reload(poc);
		if (again == 0)
			poc->why = why;
		else
			status = again;
	}
	return status;
}

static int take_head(struct poc *poc, const Poc__HeadAnswer *answer, struct verified_head *head)
{
	const struct held_head old = {poc->held.size, poc->held.root};
	int clock = check_clock(poc, head);

	if (clock != 0 && !poc->any_clock)
		return clock;
	if (!poc->held.empty && head->checkpoint.size < old.size)
		return refuse(&poc->why, STATUS_UNVERIFIED, "checkpoint", "the server hides that its head is older");
	if (!poc->held.empty && !consistent(&old, head, &answer->consistency))
		return contradicts(poc, head);
	if (clock != 0) {
		/* to hold it could shut this client out until that time comes */
		poc->why = (struct refusal){0};
		return 0;
	}
	if (!poc->held.empty && head->checkpoint.size == old.size)
		return 0;
	return store_head(poc, head);
}

/* ---- The way to a T whose auditors are others */

/* The T chain that is held, and what an answer's transitions add to it. */
struct way {
	struct envelope **trust; /* those that are held are borrowed */
	size_t n_held, n;
	struct held_head heads[TRANSITIONS_MAX]; /* by which it goes */
};

static void way_finish(struct way *way)
{
	for (size_t i = way->n_held; i < way->n; i++)
		envelope_destroy(way->trust[i]);
	free(way->trust);
}

/* Whatever it returns, *way is the caller's (way_finish). */
static int walk_way(struct poc *poc, const Poc__HeadAnswer *answer, struct way *way)
{
	size_t n = poc->held.n_trust;
	int status = 0;

	*way = (struct way){.n_held = n, .n = n};
	if (answer->n_transitions > TRANSITIONS_MAX || (n == 0 && answer->n_transitions > 0))
		return refuse(&poc->why, STATUS_UNVERIFIED, "transitions", "there is no such way");
	for (size_t i = 0; i < answer->n_transitions; i++)
		n += answer->transitions[i]->n_trust;
	way->trust = calloc(n + 1, sizeof(struct envelope *));
	if (way->trust == NULL)
		return refuse(&poc->why, STATUS_NO_MEMORY, "", "out of memory");
	if (way->n_held > 0)
		memcpy(way->trust, poc->held.trust, way->n_held * sizeof(struct envelope *));
	for (size_t i = 0; i < answer->n_transitions && status == 0; i++) {
		struct checkpoint checkpoint;
		status = verify_transition(way->trust[way->n - 1], answer->transitions[i], way->trust + way->n,
					   &checkpoint, &poc->why);
		if (status == 0) {
			way->n += answer->transitions[i]->n_trust;
			way->heads[i] = (struct held_head){checkpoint.size, checkpoint.root};
		}
	}
	return status;
}

static bool leads_here(const struct way *way, const Poc__HeadAnswer *answer, const struct verified_head *head)
{
	for (size_t i = 0; i < answer->n_transitions; i++) {
		if (way->heads[i].size > head->checkpoint.size ||
		    !consistent(&way->heads[i], head, &answer->transitions[i]->consistency))
			return false;
	}
	return true;
}

/* Whoever speaks no version that the council still wants stops here. */
static int check_protocol(struct poc *poc, const struct verified_head *head)
{
	const uint32_t least = verified_head_trust(head)->payload.trust->least_protocol;

	return least <= PROTOCOL_VERSION
		   ? 0
		   : refuse(&poc->why, STATUS_PROTOCOL, "trust",
			    "the directory asks for version %u of the protocol, this program speaks %d: it is too old",
			    least, PROTOCOL_VERSION);
}

static int verify_answer(struct poc *poc, const Poc__HeadAnswer *answer, struct verified_head **head)
{
	Poc__Proof *proof;
	struct way way;
	int status = proof_decode(answer->proof.data, answer->proof.len, &proof, &poc->why);

	*head = NULL;
	if (status != 0)
		return status;
	if (proof->complete) {
		message_free(proof);
		return refuse(&poc->why, STATUS_UNVERIFIED, "proof", "not a proof of a head");
	}
	status = walk_way(poc, answer, &way);
	if (status == 0)
		status = join_trust(poc, proof);
	if (status == 0)
		status = verify_head(&poc->pins, way.trust, way.n, poc->held.reg, proof, head, &poc->why);
	else
		message_free(proof);
	if (status == 0 && !leads_here(&way, answer, *head))
		status = contradicts(poc, *head);
	way_finish(&way);
	return status;
}

int advance_head(struct poc *poc, const Poc__HeadAnswer *answer)
{
	struct verified_head *head;

	if (!poc->held.empty && answer->behind)
		return judge_older(poc, answer);
	int status = verify_answer(poc, answer, &head);
	if (status == 0)
		status = check_protocol(poc, head);
	if (status == 0)
		status = take_head(poc, answer, head);
	if (status != 0) {
		verified_head_unref(head);
		return status;
	}
	verified_head_unref(poc->head);
	poc->head = head;
	return 0;
}

int advance_note_key(struct poc *poc, const char *state, uint64_t seq, const struct hash *value)
{
	int status = advance_begin(poc);

	for (int i = 0; i < STORE_TRIES && status == 0; i++) {
		bool changed;
		status = held_note_key(&poc->held, state, seq, value, &changed, &poc->why);
		/* empty still: no head could be held, by this clock, so nothing is stored */
		if (status != 0 || !changed || poc->folder == NULL || poc->held.empty)
			return status;
		status = store(poc);
		if (status != STATUS_CONFLICT)
			return status;
		status = reload(poc);
	}
	return status != 0 ? status
			   : refuse(&poc->why, STATUS_BUSY, "state.dir", "other processes keep moving the held state");
}
