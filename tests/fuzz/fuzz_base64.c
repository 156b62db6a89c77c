/* base64: what decodes encodes back to the same text. */
#include <string.h>

#include "proto/proof/base64.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const size_t room = BASE64_LENGTH(size) + 1;
	uint8_t *decoded = malloc(size + 1);
	char *text = malloc(room);

	MUST(decoded && text);
	const ssize_t n = base64_decode((const char *)bytes, size, decoded, size);
	if (n >= 0) {
		MUST(base64_encode(decoded, (size_t)n, text, room) == (ssize_t)size);
		MUST(memcmp(text, bytes, size) == 0);
	}
	const ssize_t length = base64_encode(bytes, size, text, room);
	MUST(length == (ssize_t)BASE64_LENGTH(size));
	MUST(base64_decode(text, (size_t)length, decoded, size) == (ssize_t)size);
	MUST(memcmp(decoded, bytes, size) == 0);
	free(decoded);
	free(text);
	return 0;
}
