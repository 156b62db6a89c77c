/* lookup: answers about records, envelopes, head and changes, encoded directly from one snapshot and the store.  Its
 * functions are declared in directory.h. */
#include <stdlib.h>
#include <string.h>

#include "pocd/directory/directory_internal.h"
#include "pocd/directory/item.h"
#include "pocd/directory/scan.h"
#include "pocd/directory/transitions.h"

enum {
	PROOF_VERSION_1 = 1,
	PAGE_MAX = 256 * 1024,
	ANSWER_MAX = 1000 * 1024, /* clients take frames of 1 MiB */
	CHANGES_PER_PAGE = 4000,
	CHANGES_TAIL = 2 * (1 + VARINT_MAX) /* what comes after a page's changes */
};

/* Fields of HeadAnswer, Transition, ChangesAnswer, Change (poc.proto). */
enum {
	HEAD_PROOF = 1,
	HEAD_CONSISTENCY = 2,
	HEAD_BEHIND = 3,
	HEAD_TRANSITIONS = 4,
	TRANSITION_TRUST = 1,
	TRANSITION_NOTE = 2,
	TRANSITION_LEAF = 3,
	TRANSITION_INDEX = 4,
	TRANSITION_PATH = 5,
	TRANSITION_CONSISTENCY = 6,
	CHANGES_CHANGES = 1,
	CHANGES_NEXT = 2,
	CHANGES_SIZE = 3,
	CHANGE_ITEM = 1,
	CHANGE_SEQ = 2,
	CHANGE_LEAF = 3
};

void answer_finish(struct answer *answer)
{
	if (answer->release != NULL)
		answer->release(answer->owner);
	*answer = (struct answer){0};
}

/* ---- What all answers share */

struct asking {
	struct directory *directory;
	const struct principal *who;
	struct snapshot *snapshot;
	const struct holders *holders;
	struct store_view *view; /* opened when first needed */
	struct encoder encoder;
	struct refusal *why;
};

static int asking_begin(struct asking *asking, struct directory *directory, const struct principal *who,
			struct refusal *why)
{
	*asking = (struct asking){.directory = directory, .who = who, .why = why};
	asking->snapshot = ledger_snapshot(directory->ledger);
	if (asking->snapshot == NULL)
		return refuse(why, STATUS_BUSY, "", "nothing has been published yet");
	asking->holders = holders_of(asking->snapshot);
	return 0;
}

static void release_snapshot(void *owner)
{
	snapshot_unref(owner);
}

/* Turns what was encoded into the answer. */
static int asking_end(struct asking *asking, int status, struct answer *out)
{
	store_view_end(asking->view);
	snapshot_unref(asking->snapshot);
	if (status == 0 && asking->encoder.failed)
		status = refuse(asking->why, STATUS_NO_MEMORY, "", "out of memory");
	if (status == 0 && asking->encoder.size > ANSWER_MAX)
		status = refuse(asking->why, STATUS_TOO_LARGE, "", "the answer is too large: ask for less");
	if (status != 0) {
		encode_finish(&asking->encoder);
		return status;
	}
	*out = (struct answer){asking->encoder.bytes, asking->encoder.size, asking->encoder.bytes, free};
	return 0;
}

static int need_view(struct asking *asking)
{
	if (asking->view != NULL)
		return 0;
	int status = store_view_begin(asking->directory->options.store, &asking->view);
	return status == 0 ? 0 : refuse(asking->why, status, "", "cannot read: %s", status_text(status));
}

static int allowed(struct asking *asking, enum operation operation, enum relation relation)
{
	struct verdict verdict = policy_decide(&asking->who->facts, operation, relation);

	return verdict.allowed ? 0 : refuse(asking->why, STATUS_DENIED, "", "%s", verdict.rule);
}

/* A mirror gives what is above GREEN to its own state's users, and to nobody from a copy that is older than T allows.
 */
static enum reader_class given(const struct asking *asking, enum reader_class entitled)
{
	const struct directory_options *o = &asking->directory->options;

	if (o->follows == NULL)
		return entitled;
	uint64_t now = o->now_ms(o->now_ctx), max_age = asking->holders->trust->envelope->payload.trust->max_age;
	bool stale = now > asking->snapshot->time_ms + max_age * 1000;
	return stale || strcmp(asking->who->state, o->state) != 0 ? READER_PLAIN : entitled;
}

static enum relation relation_to(const struct principal *who, const char *state)
{
	return strcmp(who->state, state) == 0 ? OBJECT_OWN : OBJECT_OTHER;
}

static void put_version(struct asking *asking)
{
	encode_uint(&asking->encoder, PROOF_VERSION, PROOF_VERSION_1);
}

static void put_checkpoint(struct asking *asking, uint64_t held_size)
{
	if (held_size != asking->snapshot->checkpoint.size)
		encode_element(&asking->encoder, PROOF_CHECKPOINT, asking->snapshot->head, asking->snapshot->head_size);
}

static int damaged(struct asking *asking, int status, const char *name)
{
	return refuse(asking->why, status == STATUS_NOT_FOUND ? STATUS_DAMAGED : status, "", "%s cannot be read", name);
}

static int put_envelope(struct asking *asking, const char *name, const struct hash *value, const uint8_t **bytes,
			size_t *size)
{
	int status = need_view(asking);

	if (status == 0)
		status = ledger_read_envelope(asking->view, value, bytes, size, NULL, NULL);
	if (status != 0)
		return damaged(asking, status, name);
	encode_element(&asking->encoder, ITEM_ENVELOPES, *bytes, *size);
	return 0;
}

/* ---- Sections */

struct section_choice {
	struct asking *asking;
	enum reader_class reader;   /* what is given */
	enum reader_class entitled; /* what the reader may see */
	const char *const *asked;   /* the record's own sections that are wanted */
	size_t n_asked;
	bool all_own; /* all of them are */
};

static bool is_asked(const struct section_choice *choice, const struct scanned_section *section)
{
	if (!section->own || choice->all_own)
		return true;
	for (size_t i = 0; i < choice->n_asked; i++) {
		if (strlen(choice->asked[i]) == section->name_size &&
		    memcmp(choice->asked[i], section->name, section->name_size) == 0)
			return true;
	}
	return false;
}

static int put_section(void *ctx, const struct scanned_section *section)
{
	struct section_choice *choice = ctx;
	struct hash digest;
	const uint8_t *bytes;
	size_t size;

	if (!section_entitled(section->tlp, choice->entitled) || !is_asked(choice, section))
		return 0;
	if (!section_entitled(section->tlp, choice->reader))
		return refuse(choice->asking->why, STATUS_MIRROR, "",
			      "this mirror gives %s to users of %.16s alone, while its copy is not too old: ask the "
			      "directory itself",
			      tlp_name(section->tlp), choice->asking->directory->options.state);
	memcpy(digest.bytes, section->digest, HASH_SIZE);
	int status = ledger_read_section(choice->asking->view, &digest, &bytes, &size);
	if (status == STATUS_NOT_FOUND)
		return 0; /* erased */
	if (status == 0)
		encode_element(&choice->asking->encoder, ITEM_SECTIONS, bytes, size);
	return status;
}

/* ---- Lookup of a record */

/* One lookup on its way. */
struct lookup {
	struct asking *asking;
	const struct name *record;
	struct hash key;
	struct section_choice choice;
	uint64_t held_size;
	bool present;               /* there is a record, and it is in the answer */
	struct answer_cache *cache; /* NULL: this answer is not cached */
	size_t place;               /* of the record among the snapshot's names, with a cache */
};

static enum cache_class cache_class_of(enum reader_class reader)
{
	return reader == READER_OPERATOR ? CACHE_OPERATOR : CACHE_PLAIN;
}

static void put_keys_item(struct asking *asking, const struct name *record)
{
	const struct held_state *state = holders_state(asking->holders, record->state);
	struct name keys;

	if (state != NULL)
		encode_raw(&asking->encoder, state->keys_item, state->keys_item_size);
	else if (name_make(NAME_KEYS, record->state, NULL, &keys))
		item_value(&asking->encoder, asking->snapshot, keys.text);
}

/* Envelope and sections. */
static int put_record_body(struct lookup *lookup, const struct snapshot_name *known)
{
	struct asking *asking = lookup->asking;
	const char *name = lookup->record->text;
	bool bodies = lookup->cache != NULL && !cache_keeps_whole(lookup->cache);
	enum cache_class class = cache_class_of(lookup->choice.reader);
	size_t before = asking->encoder.size, size;
	struct cached_bytes cached;
	const uint8_t *bytes;

	if (bodies && cache_get(lookup->cache, lookup->place, class, &cached)) {
		atomic_fetch_add_explicit(&asking->directory->cache_hits, 1, memory_order_relaxed);
		encode_raw(&asking->encoder, cached.bytes, cached.size);
		return 0;
	}
	int status = put_envelope(asking, name, &known->value, &bytes, &size);
	if (status != 0)
		return status;
	status = scan_sections(bytes, size, put_section, &lookup->choice);
	if (status == STATUS_MIRROR)
		return status;
	if (status != 0)
		return damaged(asking, status, name);
	if (bodies && !asking->encoder.failed)
		cache_put(lookup->cache, lookup->place, class, asking->encoder.bytes + before,
			  asking->encoder.size - before);
	return 0;
}

static int put_record_item(struct lookup *lookup)
{
	struct encoder *encoder = &lookup->asking->encoder;
	size_t begin;
	const struct snapshot_name *known =
	    item_begin(encoder, lookup->asking->snapshot, lookup->record->text, &lookup->key, &begin);

	lookup->present = known != NULL;
	if (known != NULL)
		lookup->place = (size_t)(known - lookup->asking->snapshot->names);
	int status = known != NULL ? put_record_body(lookup, known) : 0;
	encode_end(encoder, begin);
	return status;
}

/* A unit's record may be signed by an editor that U of the unit lists. */
static int put_unit_users(struct asking *asking, const struct name *record)
{
	struct name users;
	size_t begin, size;
	const uint8_t *bytes;
	int status = 0;

	if (!name_make(NAME_USERS, record->state, record->unit, &users))
		return 0;
	struct hash key = hash_name(users.text);
	const struct snapshot_name *known = item_begin(&asking->encoder, asking->snapshot, users.text, &key, &begin);
	if (known != NULL)
		status = put_envelope(asking, users.text, &known->value, &bytes, &size);
	encode_end(&asking->encoder, begin);
	return status;
}

/* A whole cached answer is the one without checkpoint part: version and items.  The version's two bytes stand before
 * the place of the checkpoint. */
enum { VERSION_BYTES = 2, ANSWER_ROOM = 6144 };

static int answer_cached(struct lookup *lookup, const struct cached_bytes *cached, struct answer *out)
{
	struct asking *asking = lookup->asking;

	lookup->present = true;
	atomic_fetch_add_explicit(&asking->directory->cache_hits, 1, memory_order_relaxed);
	if (lookup->held_size == asking->snapshot->checkpoint.size) {
		*out = (struct answer){cached->bytes, cached->size, asking->snapshot, release_snapshot};
		return 0;
	}
	encode_init(&asking->encoder, cached->size + asking->snapshot->head_size + 16);
	encode_raw(&asking->encoder, cached->bytes, VERSION_BYTES);
	put_checkpoint(asking, lookup->held_size);
	encode_raw(&asking->encoder, cached->bytes + VERSION_BYTES, cached->size - VERSION_BYTES);
	return asking_end(asking, 0, out);
}

static int answer_fresh(struct lookup *lookup, struct answer *out)
{
	struct asking *asking = lookup->asking;

	encode_init(&asking->encoder, ANSWER_ROOM);
	put_version(asking);
	put_checkpoint(asking, lookup->held_size);
	size_t before = asking->encoder.size;
	put_keys_item(asking, lookup->record);
	int status = put_record_item(lookup);
	if (status == 0 && lookup->present && lookup->record->unit[0] != '\0')
		status = put_unit_users(asking, lookup->record);
	if (status == 0 && lookup->present && before == VERSION_BYTES && lookup->cache != NULL &&
	    cache_keeps_whole(lookup->cache) && !asking->encoder.failed)
		cache_put(lookup->cache, lookup->place, cache_class_of(lookup->choice.reader), asking->encoder.bytes,
			  asking->encoder.size);
	return asking_end(asking, status, out);
}

static int answer_lookup(struct lookup *lookup, struct answer *out)
{
	struct cached_bytes cached;

	if (lookup->cache != NULL && cache_keeps_whole(lookup->cache)) {
		long place = prefix_find(lookup->asking->snapshot->map, &lookup->key);
		if (place >= 0 &&
		    cache_get(lookup->cache, (size_t)place, cache_class_of(lookup->choice.reader), &cached))
			return answer_cached(lookup, &cached, out);
	}
	return answer_fresh(lookup, out);
}

int directory_lookup(struct directory *directory, const struct principal *who, const char *place,
		     uint64_t checkpoint_size, const char *const *sections, size_t n_sections, struct answer *out,
		     struct refusal *why)
{
	struct asking asking;
	struct name record;

	*out = (struct answer){0};
	if (!place_parse(place, &record))
		return refuse(why, STATUS_INVALID, "place", "no place: two capital letters, or those and /unit");
	int status = asking_begin(&asking, directory, who, why);
	if (status != 0)
		return status;
	atomic_fetch_add_explicit(&directory->lookups, 1, memory_order_relaxed);
	enum relation relation = relation_to(who, record.state);
	status = allowed(&asking, OP_LOOKUP, relation);
	if (status != 0)
		return asking_end(&asking, status, out);
	struct lookup lookup = {.asking = &asking,
				.record = &record,
				.key = hash_name(record.text),
				.choice = {.asking = &asking,
					   .reader = given(&asking, policy_reader_class(&who->facts, relation)),
					   .entitled = policy_reader_class(&who->facts, relation),
					   .asked = sections,
					   .n_asked = n_sections},
				.held_size = checkpoint_size};
	/* What only the own state sees is not kept in memory. */
	if (n_sections == 0 && lookup.choice.reader != READER_OWN && lookup.choice.reader == lookup.choice.entitled)
		lookup.cache = asking.holders->cache;
	status = answer_lookup(&lookup, out);
	if (status == 0 && lookup.present)
		directory_note_reading(directory, who, record.state, READING_LOOKUP);
	return status;
}

/* ---- Envelopes by name */

/* Versions first to last of a name, oldest first, as many as go into so many bytes (at least one).  Of more than an
 * answer can hold not all are read: asking_end refuses it. */
static int put_versions(struct asking *asking, const char *name, uint64_t first, uint64_t last, size_t most)
{
	size_t start = asking->encoder.size;
	int status = need_view(asking);

	for (uint64_t seq = first; status == 0 && seq <= last && asking->encoder.size <= ANSWER_MAX; seq++) {
		struct hash value;
		const uint8_t *bytes;
		size_t size;
		status = ledger_read_version(asking->view, name, seq, &value, NULL);
		if (status == 0)
			status = ledger_read_envelope(asking->view, &value, &bytes, &size, NULL, NULL);
		if (status != 0)
			return damaged(asking, status, name);
		if (seq > first && asking->encoder.size - start + size > most)
			return 0;
		encode_element(&asking->encoder, ITEM_ENVELOPES, bytes, size);
	}
	return status;
}

/* The current envelope; of K all from the anchor on, since each is authorised by the one before: a part of them proves
 * nothing. */
static int put_current(struct asking *asking, const struct snapshot_name *known)
{
	const uint8_t *bytes;
	size_t size;

	if (known->name[0] == 'K')
		return put_versions(asking, known->name, 1, known->seq, SIZE_MAX);
	return put_envelope(asking, known->name, &known->value, &bytes, &size);
}

static int may_read(struct asking *asking, const struct name *name, bool history)
{
	enum relation relation = relation_to(asking->who, name->state);

	switch (name->kind) {
	case NAME_TRUST:
	case NAME_REGISTER:
	case NAME_KEYS:
		return allowed(asking, OP_TRUST_READ, relation);
	case NAME_USERS:
		if (strcmp(name->state, STATE_DIRECTORY) == 0)
			return allowed(asking, OP_TRUST_READ, relation);
		return allowed(asking, history ? OP_HISTORY : OP_USERS_READ, relation);
	default:
		return allowed(asking, history ? OP_HISTORY : OP_LOOKUP, relation);
	}
}

static int put_named(struct asking *asking, const struct name *name, uint64_t from_seq)
{
	struct hash key = hash_name(name->text);
	size_t begin;

	int status = may_read(asking, name, from_seq > 0);
	if (status != 0)
		return status;
	const struct snapshot_name *known = item_begin(&asking->encoder, asking->snapshot, name->text, &key, &begin);
	size_t before = asking->encoder.size;
	if (known != NULL)
		status = from_seq > 0 ? put_versions(asking, name->text, from_seq, known->seq, PAGE_MAX)
				      : put_current(asking, known);
	if (known != NULL && asking->encoder.size == before)
		encode_bytes(&asking->encoder, ITEM_VALUE, known->value.bytes, HASH_SIZE);
	encode_end(&asking->encoder, begin);
	return status;
}

enum { NAMES_MAX = 16 };

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static int parse_names(const char *const *names, size_t n, struct name parsed[NAMES_MAX], struct refusal *why)
{
	if (n == 0 || n > NAMES_MAX)
		return refuse(why, STATUS_INVALID, "names", "1 to %d names", NAMES_MAX);
	for (size_t i = 0; i < n; i++) {
		if (!name_parse(names[i], &parsed[i]))
			return refuse(why, STATUS_INVALID, "names", "%s is no name", names[i]);
	}
	qsort(parsed, n, sizeof *parsed, by_name);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(parsed[i - 1].text, parsed[i].text) == 0)
			return refuse(why, STATUS_INVALID, "names", "%s twice", parsed[i].text);
	}
	return 0;
}

int directory_envelopes(struct directory *directory, const struct principal *who, const char *const *names, size_t n,
			uint64_t checkpoint_size, uint64_t from_seq, struct answer *out, struct refusal *why)
{
	struct name parsed[NAMES_MAX];
	struct asking asking;

	*out = (struct answer){0};
	int status = parse_names(names, n, parsed, why);
	if (status == 0 && from_seq > 0 && n != 1)
		status = refuse(why, STATUS_INVALID, "from_seq", "the history of one name at a time");
	if (status == 0)
		status = asking_begin(&asking, directory, who, why);
	if (status != 0)
		return status;
	encode_init(&asking.encoder, 16 * 1024);
	put_version(&asking);
	put_checkpoint(&asking, checkpoint_size);
	for (size_t i = 0; i < n && status == 0; i++) {
		status = put_named(&asking, &parsed[i], from_seq);
		if (asking.encoder.size > ANSWER_MAX)
			break;
	}
	return asking_end(&asking, status, out);
}

/* ---- Head */

/* T envelopes after that of held_seq, up to that of last_seq; as put_versions, no more than an answer can hold. */
static int put_trust(struct asking *asking, unsigned field, uint64_t held_seq, uint64_t last_seq)
{
	int status = 0;

	for (uint64_t seq = held_seq + 1;
	     status == 0 && held_seq < last_seq && seq <= last_seq && asking->encoder.size <= ANSWER_MAX; seq++) {
		struct hash value;
		const uint8_t *bytes;
		size_t size;
		status = ledger_read_version(asking->view, "T", seq, &value, NULL);
		if (status == 0)
			status = ledger_read_envelope(asking->view, &value, &bytes, &size, NULL, NULL);
		if (status != 0)
			return damaged(asking, status, "T");
		encode_element(&asking->encoder, field, bytes, size);
	}
	return status;
}

static int put_register(struct asking *asking, const uint8_t *held_value)
{
	struct hash key = hash_name("S");
	const uint8_t *bytes;
	size_t begin, size;
	int status = 0;
	const struct snapshot_name *known = item_begin(&asking->encoder, asking->snapshot, "S", &key, &begin);

	if (known != NULL && held_value != NULL && memcmp(known->value.bytes, held_value, HASH_SIZE) == 0)
		encode_bytes(&asking->encoder, ITEM_VALUE, known->value.bytes, HASH_SIZE);
	else if (known != NULL)
		status = put_envelope(asking, "S", &known->value, &bytes, &size);
	encode_end(&asking->encoder, begin);
	return status;
}

static int put_consistency(struct asking *asking, uint64_t held_size)
{
	uint64_t size = asking->snapshot->checkpoint.size;
	struct merkle_proof proof;

	if (held_size == 0 || held_size == size)
		return 0;
	if (held_size > size) {
		encode_uint(&asking->encoder, HEAD_BEHIND, 1);
		return 0;
	}
	int status = ledger_consistency(asking->directory->ledger, held_size, size, &proof);
	if (status != 0)
		return damaged(asking, status, "the log");
	encode_bytes(&asking->encoder, HEAD_CONSISTENCY, proof.hashes, proof.length * HASH_SIZE);
	return 0;
}

static int put_transition(struct asking *asking, uint64_t held_seq, const struct transition *transition)
{
	uint8_t bytes[LEAF_SIZE];
	char name[SNAPSHOT_NAME_ROOM];
	struct leaf leaf;
	const char *note;
	size_t note_size, begin = encode_begin(&asking->encoder, HEAD_TRANSITIONS);
	uint64_t size = 0, whole = asking->snapshot->checkpoint.size;
	struct merkle_proof path, consistency;
	int status = put_trust(asking, TRANSITION_TRUST, held_seq, transition->trust_seq);

	if (status != 0)
		return status;
	status = ledger_read_publication(asking->view, transition->number, &size, &note, &note_size);
	if (status == 0)
		status = ledger_read_leaf(asking->view, transition->trust_leaf, &leaf, name, sizeof name);
	if (status == 0)
		status = ledger_read_path(asking->view, transition->trust_leaf, size, &path);
	if (status == 0)
		status = ledger_consistency(asking->directory->ledger, size, whole, &consistency);
	if (status != 0)
		return damaged(asking, status, "the log");
	leaf_write(&leaf, bytes);
	encode_bytes(&asking->encoder, TRANSITION_NOTE, note, note_size);
	encode_bytes(&asking->encoder, TRANSITION_LEAF, bytes, LEAF_SIZE);
	encode_uint(&asking->encoder, TRANSITION_INDEX, transition->trust_leaf);
	encode_bytes(&asking->encoder, TRANSITION_PATH, path.hashes, path.length * HASH_SIZE);
	encode_bytes(&asking->encoder, TRANSITION_CONSISTENCY, consistency.hashes, consistency.length * HASH_SIZE);
	encode_end(&asking->encoder, begin);
	return 0;
}

static int find_way(struct asking *asking, uint64_t held_seq, struct transition way[TRANSITIONS_MAX], size_t *n)
{
	int status = need_view(asking);

	*n = 0;
	if (status == 0 && transitions_find(asking->view, held_seq, asking->snapshot, way, n) != 0)
		status = damaged(asking, STATUS_DAMAGED, "T");
	return status;
}

int directory_head(struct directory *directory, uint64_t held_size, uint64_t trust_seq, const uint8_t *register_value,
		   struct answer *out, struct refusal *why)
{
	struct transition way[TRANSITIONS_MAX];
	struct asking asking;
	size_t n = 0;

	*out = (struct answer){0};
	int status = asking_begin(&asking, directory, NULL, why);
	if (status != 0)
		return status;
	encode_init(&asking.encoder, 16 * 1024);
	status = find_way(&asking, trust_seq, way, &n);
	size_t proof = encode_begin(&asking.encoder, HEAD_PROOF);
	put_version(&asking);
	if (status == 0)
		status = put_trust(&asking, PROOF_TRUST, n > 0 ? way[n - 1].trust_seq : trust_seq,
				   asking.holders->trust->envelope->seq);
	put_checkpoint(&asking, 0);
	if (status == 0)
		status = put_register(&asking, register_value);
	item_value(&asking.encoder, asking.snapshot, "T");
	encode_end(&asking.encoder, proof);
	if (status == 0)
		status = put_consistency(&asking, held_size);
	for (size_t i = 0; i < n && status == 0; i++)
		status = put_transition(&asking, i > 0 ? way[i - 1].trust_seq : trust_seq, &way[i]);
	return asking_end(&asking, status, out);
}

/* ---- Changes */

static int put_change_sections(struct asking *asking, const struct name *name, const uint8_t *bytes, size_t size)
{
	enum relation relation = relation_to(asking->who, name->state);
	enum reader_class entitled = policy_reader_class(&asking->who->facts, relation);
	struct section_choice choice = {asking, given(asking, entitled), entitled, NULL, 0, true};
	int status = scan_sections(bytes, size, put_section, &choice);

	return status == 0 || status == STATUS_MIRROR ? status : damaged(asking, status, name->text);
}

/* The item of a change: envelope and sections if they were asked for and may be read, else the value. */
static int put_change_item(struct asking *asking, const struct snapshot_name *known, bool with_envelopes)
{
	struct name name;
	size_t item = encode_begin(&asking->encoder, CHANGE_ITEM), size;
	const uint8_t *bytes;
	int status = 0;

	if (!name_parse(known->name, &name))
		return damaged(asking, STATUS_DAMAGED, known->name);
	encode_text(&asking->encoder, ITEM_NAME, known->name);
	if (!with_envelopes || may_read(asking, &name, false) != 0) {
		encode_bytes(&asking->encoder, ITEM_VALUE, known->value.bytes, HASH_SIZE);
	} else if (name.kind == NAME_RECORD) {
		status = put_envelope(asking, known->name, &known->value, &bytes, &size);
		if (status == 0)
			status = put_change_sections(asking, &name, bytes, size);
		if (status == 0)
			directory_note_reading(asking->directory, asking->who, name.state, READING_COPY);
	} else {
		status = put_current(asking, known);
	}
	encode_end(&asking->encoder, item);
	return status;
}

static int put_change(struct asking *asking, const struct snapshot_name *known, bool with_envelopes)
{
	size_t change = encode_begin(&asking->encoder, CHANGES_CHANGES);
	int status = put_change_item(asking, known, with_envelopes);

	encode_uint(&asking->encoder, CHANGE_SEQ, known->seq);
	encode_uint(&asking->encoder, CHANGE_LEAF, known->leaf);
	encode_end(&asking->encoder, change);
	return status;
}

static size_t first_at(const struct snapshot *snapshot, uint64_t leaf)
{
	size_t low = 0, high = snapshot->n_names;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (snapshot->names[snapshot->by_leaf[middle]].leaf < leaf)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int directory_changes(struct directory *directory, const struct principal *who, uint64_t from_leaf, bool with_envelopes,
		      struct answer *out, struct refusal *why)
{
	struct asking asking;
	const struct snapshot *snapshot;

	*out = (struct answer){0};
	int status = asking_begin(&asking, directory, who, why);
	if (status != 0)
		return status;
	snapshot = asking.snapshot;
	encode_init(&asking.encoder, 64 * 1024);
	status = allowed(&asking, OP_CHANGES, relation_to(who, STATE_DIRECTORY));
	if (status == 0)
		status = need_view(&asking);
	uint64_t next = snapshot->checkpoint.size;
	size_t i = first_at(snapshot, from_leaf), n = 0;
	for (; status == 0 && i < snapshot->n_names; i++, n++) {
		const struct snapshot_name *known = &snapshot->names[snapshot->by_leaf[i]];
		if (n == CHANGES_PER_PAGE || asking.encoder.size > PAGE_MAX) {
			next = known->leaf;
			break;
		}
		size_t before = asking.encoder.size;
		status = put_change(&asking, known, with_envelopes);
		/* all versions of a K: what stood before them is an answer of its own */
		if (status == 0 && n > 0 && asking.encoder.size > ANSWER_MAX - CHANGES_TAIL) {
			encode_back(&asking.encoder, before);
			next = known->leaf;
			break;
		}
	}
	encode_uint(&asking.encoder, CHANGES_NEXT, next);
	encode_uint(&asking.encoder, CHANGES_SIZE, snapshot->checkpoint.size);
	return asking_end(&asking, status, out);
}
