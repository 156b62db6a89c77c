/* quorum: which signatures of auditors a checkpoint has, and whether they are enough to serve it (protocol.md sections
 * 12 and 23). */
#ifndef POCD_DIRECTORY_QUORUM_H
#define POCD_DIRECTORY_QUORUM_H

#include "pocd/ledger/ledger.h"
#include "proto/rules/trust.h"

enum {
	COSIGNATURE_SIZE = 72,       /* u64be seconds, Ed25519 */
	COSIGNATURE_TOLERANCE = 120, /* seconds that an auditor's clock and a STATE time may differ from ours */
	AUDITORS_OF_T_MAX = 16
};

/* How many of T's auditors have signed a note; 0 if a line of one of them does not verify. */
size_t quorum_count(const Poc__Trust *trust, const char *note, size_t size);

/* The quorum of the checkpoint's own T has signed and, where what is served now (NULL: nothing) has another T, that
 * one's too.  Both snapshots have their holders. */
bool quorum_serves(const struct snapshot *served, const struct snapshot *next);

/* Whether a log key of T signed a note, and none of them badly. */
bool quorum_log_signed(const Poc__Trust *trust, const char *note, size_t size);

/* The auditor of that name in the T of a snapshot; NULL: none. */
const Poc__Auditor *quorum_auditor(const struct snapshot *snapshot, const char *name);

/* The auditor of T with that key; NULL: none. */
const Poc__Auditor *quorum_auditor_by_key(const Poc__Trust *trust, const struct public_key *key);

/* Checks a cosignature on the tip, by an auditor of its T or of that of what is served; its time may differ from now
 * (seconds) by the tolerance.  0 and *line: a signature line as a note has them, with its newline; STATUS_CONFLICT: it
 * is for another checkpoint; STATUS_UNVERIFIED, STATUS_INVALID (its time). */
struct cosigned_line {
	size_t size;
	char text[400];
};
int quorum_line(const struct snapshot *tip, const struct snapshot *served, const char *auditor, uint64_t size,
		const uint8_t signature[COSIGNATURE_SIZE], int64_t now, struct cosigned_line *line,
		struct refusal *why);

/* Adds a line to a note (room for NOTE_MAX) unless its key signed already.  Whether it was added. */
bool quorum_add_line(char note[NOTE_MAX], size_t *size, const struct cosigned_line *line);

#endif
