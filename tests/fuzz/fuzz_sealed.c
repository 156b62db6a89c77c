/* Sealed bodies: whatever comes, the check stays within the bytes; what it accepts has a recipient of that name. */
#include <string.h>

#include "proto/keys/sealed.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct refusal why = {0};
	struct hash id = hash_zero;

	/* where the first recipient's identifier stands in a body of less than 64 KiB with one recipient */
	enum { AT = 31 + 25 + 96 + 31 };
	if (size >= AT + HASH_SIZE)
		memcpy(id.bytes, bytes + AT, HASH_SIZE);
	if (sealed_check(bytes, size, &id, 1, &why) == 0)
		MUST(size > AT + HASH_SIZE);
	else
		MUST(why.message[0] != '\0');
	MUST(sealed_check(bytes, size, NULL, 0, &why) != 0);
	return 0;
}
