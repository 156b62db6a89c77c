/* Envelopes and the rules of all payloads. */
#include <string.h>

#include "proto/rules/envelope.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct refusal why = {0};
	struct envelope *envelope;
	const int status = envelope_parse(bytes, size, &envelope, &why);

	MUST((status == 0) == (envelope != NULL));
	if (status) {
		MUST(why.code == status);
		return 0;
	}
	const struct hash value = hash_of(bytes, size);
	MUST(hash_compare(&value, &envelope->value) == 0);
	MUST(envelope->size == size && memcmp(envelope->bytes, bytes, size) == 0);
	MUST(envelope->payload.any && envelope->seq > 0);
	envelope_destroy(envelope);
	return 0;
}
