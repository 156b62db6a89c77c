/* Ceremony files: what is read is written as the same bytes, and verifies again.  Proofs are checked against the world
 * that the corpus was made in: its directory id is in the first 32 bytes. */
#include <string.h>

#include "clients/cli/ceremony.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct verify_pins pins = {.quorum = 0};
	struct ceremony ceremony;
	struct refusal why = {0};
	uint8_t *again;
	size_t again_size;

	if (size < HASH_SIZE)
		return 0;
	memcpy(pins.directory.bytes, bytes, HASH_SIZE);
	bytes += HASH_SIZE;
	size -= HASH_SIZE;
	const int status = ceremony_read(&pins, bytes, size, &ceremony, &why);
	if (status != 0) {
		MUST(why.code == status && ceremony.n == 0 && ceremony.head == NULL);
		return 0;
	}
	MUST(ceremony.n >= 1 && ceremony.n <= CEREMONY_PROPOSALS_MAX);
	MUST(ceremony_write(&ceremony, &again, &again_size, &why) == 0);
	MUST(again_size == size && memcmp(again, bytes, size) == 0);
	free(again);
	for (size_t i = 0; i < ceremony.n; i++)
		MUST(ceremony.proposals[i].envelope->seq == ceremony.proposals[i].prev->seq + 1);
	(void)ceremony_check(&ceremony, 1, &why);
	MUST(ceremony_merge(&ceremony, &ceremony, &why) == 0);
	ceremony_finish(&ceremony);
	return 0;
}
