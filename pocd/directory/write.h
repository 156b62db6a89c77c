/* write: what goes into the directory's writer and what comes out of it. */
#ifndef POCD_DIRECTORY_WRITE_H
#define POCD_DIRECTORY_WRITE_H

#include "proto/proof/hash.h"
#include "proto/rules/names.h"
#include "proto/rules/payload.pb-c.h"
#include "proto/wire/status.h"

struct change_write {
	const uint8_t *envelope;
	size_t envelope_size;
	size_t n_sections;
	const ProtobufCBinaryData *sections;
};

struct change_result {
	char name[NAME_MAX_LENGTH + 1];
	uint64_t seq;
	struct hash value;
	uint64_t leaf;
	uint64_t stored_ms;
	bool repeated;
};

/* Called once, on the writer thread: results (n of them) on status 0, else *why says what and where (why->field begins
 * with writes[i]); current/current_seq on STATUS_CONFLICT.  checkpoint_size is 0 unless proven was asked for. */
struct change_outcome {
	int status;
	const struct refusal *why;
	size_t n;
	const struct change_result *results;
	uint64_t checkpoint_size;
	struct hash current;
	uint64_t current_seq;
	size_t write; /* the write that was refused */
};
typedef void (*change_done_fn)(void *ctx, const struct change_outcome *outcome);

#endif
