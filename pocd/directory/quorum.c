#include "pocd/directory/quorum.h"

#include <string.h>

#include "pocd/directory/holders.h"
#include "proto/proof/note.h"

enum { LOG_KEYS_MAX = 4 };

static const Poc__Trust *trust_of(const struct snapshot *snapshot)
{
	return holders_of(snapshot)->trust->envelope->payload.trust;
}

size_t quorum_count(const Poc__Trust *trust, const char *bytes, size_t size)
{
	struct note_key keys[AUDITORS_OF_T_MAX];
	struct note note;
	size_t n = trust_auditor_keys(trust, keys, AUDITORS_OF_T_MAX), good = 0;

	if (note_parse(bytes, size, &note, NULL) != 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		enum note_result result = note_verify(&note, &keys[i], NULL);
		if (result == NOTE_BAD)
			return 0; /* every reader would refuse it */
		good += result == NOTE_GOOD;
	}
	return good;
}

bool quorum_serves(const struct snapshot *served, const struct snapshot *next)
{
	const Poc__Trust *trust = trust_of(next);

	if (trust->quorum > 0 && quorum_count(trust, next->note, next->note_size) < trust->quorum)
		return false;
	if (served == NULL ||
	    hash_compare(&holders_of(served)->trust->envelope->value, &holders_of(next)->trust->envelope->value) == 0)
		return true;
	/* the first that holds a new T: thieves of root keys could bring auditors of their own */
	trust = trust_of(served);
	return trust->quorum == 0 || quorum_count(trust, next->note, next->note_size) >= trust->quorum;
}

bool quorum_log_signed(const Poc__Trust *trust, const char *bytes, size_t size)
{
	struct note_key keys[LOG_KEYS_MAX];
	struct note note;
	size_t n = trust_log_keys(trust, keys, LOG_KEYS_MAX), good = 0;

	if (note_parse(bytes, size, &note, NULL) != 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		enum note_result result = note_verify(&note, &keys[i], NULL);
		if (result == NOTE_BAD)
			return false;
		good += result == NOTE_GOOD;
	}
	return good > 0;
}

const Poc__Auditor *quorum_auditor(const struct snapshot *snapshot, const char *name)
{
	const Poc__Trust *trust = trust_of(snapshot);

	for (size_t i = 0; i < trust->n_auditors; i++) {
		if (strcmp(trust->auditors[i]->name, name) == 0)
			return trust->auditors[i];
	}
	return NULL;
}

const Poc__Auditor *quorum_auditor_by_key(const Poc__Trust *trust, const struct public_key *key)
{
	for (size_t i = 0; i < trust->n_auditors; i++) {
		const ProtobufCBinaryData *spki = &trust->auditors[i]->spki;
		if (spki->len == key->spki_size && memcmp(spki->data, key->spki, key->spki_size) == 0)
			return trust->auditors[i];
	}
	return NULL;
}

static bool find_key(const struct snapshot *snapshot, const char *auditor, struct note_key *out)
{
	struct note_key keys[AUDITORS_OF_T_MAX];
	size_t n = trust_auditor_keys(trust_of(snapshot), keys, AUDITORS_OF_T_MAX);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(keys[i].name, auditor) == 0) {
			*out = keys[i];
			return true;
		}
	}
	return false;
}

/* The text of a snapshot's note with one line, checked as any reader would. */
static int make_line(const struct snapshot *tip, const struct note_key *key, const uint8_t signature[COSIGNATURE_SIZE],
		     uint64_t *time, struct cosigned_line *line)
{
	char bytes[NOTE_MAX];
	struct note note;
	long text = checkpoint_format(&tip->checkpoint, bytes, sizeof bytes - 1);

	if (text < 0)
		return STATUS_TOO_LARGE;
	size_t size = (size_t)text + 1, before = size;
	bytes[text] = '\n';
	if (note_append_line(bytes, &size, sizeof bytes, key, signature, COSIGNATURE_SIZE) != 0 ||
	    size - before > sizeof line->text)
		return STATUS_TOO_LARGE;
	line->size = size - before;
	memcpy(line->text, bytes + before, line->size);
	return note_parse(bytes, size, &note, NULL) == 0 && note_verify(&note, key, time) == NOTE_GOOD
		   ? 0
		   : STATUS_UNVERIFIED;
}

int quorum_line(const struct snapshot *tip, const struct snapshot *served, const char *auditor, uint64_t size,
		const uint8_t signature[COSIGNATURE_SIZE], int64_t now, struct cosigned_line *line, struct refusal *why)
{
	struct note_key key;
	uint64_t time = 0;

	if (size != tip->checkpoint.size)
		return refuse(why, STATUS_CONFLICT, "cosign.size", "the newest checkpoint has size %llu",
			      (unsigned long long)tip->checkpoint.size);
	/* a key that was replaced may have stood under the same name, and has to sign once more */
	const bool listed = find_key(tip, auditor, &key);
	bool good = listed && make_line(tip, &key, signature, &time, line) == 0;
	const bool was_listed = !good && served != NULL && find_key(served, auditor, &key);
	if (!listed && !was_listed)
		return refuse(why, STATUS_UNVERIFIED, "cosign.auditor", "the trust root lists no auditor of this name");
	good = good || (was_listed && make_line(tip, &key, signature, &time, line) == 0);
	if (!good)
		return refuse(why, STATUS_UNVERIFIED, "cosign.signature", "the signature does not verify");
	/* clients refuse a checkpoint whose time lies ahead of their clock */
	if (time > INT64_MAX || (int64_t)time > now + COSIGNATURE_TOLERANCE ||
	    (int64_t)time < now - COSIGNATURE_TOLERANCE)
		return refuse(why, STATUS_INVALID, "cosign.signature",
			      "its time is off by more than %d s: one of the clocks is wrong", COSIGNATURE_TOLERANCE);
	return 0;
}

bool quorum_add_line(char note[NOTE_MAX], size_t *size, const struct cosigned_line *line)
{
	struct note parsed;

	if (*size + line->size > NOTE_MAX)
		return false;
	memcpy(note + *size, line->text, line->size);
	if (note_parse(note, *size + line->size, &parsed, NULL) != 0)
		return false;
	const struct note_line *added = &parsed.lines[parsed.n_lines - 1];
	for (size_t i = 0; i + 1 < parsed.n_lines; i++) {
		const struct note_line *other = &parsed.lines[i];
		if (other->name_length == added->name_length &&
		    memcmp(other->name, added->name, added->name_length) == 0 &&
		    memcmp(other->key_hash, added->key_hash, sizeof added->key_hash) == 0)
			return false;
	}
	*size += line->size;
	return true;
}
