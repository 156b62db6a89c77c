/* Public keys: what is accepted is the one encoding of the key. */
#include <string.h>

#include "proto/keys/crypto.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct public_key key, again;
	struct refusal why = {0};

	if (public_key_parse(bytes, size, &key, &why) != 0)
		return 0;
	MUST(key.spki_size == size && memcmp(key.spki, bytes, size) == 0);
	public_key_again(bytes, size, &again);
	MUST(again.algorithm == key.algorithm && hash_compare(&again.id, &key.id) == 0 && again.spki_size == size &&
	     memcmp(again.spki, bytes, size) == 0);
	MUST(!public_key_verify(&key, bytes, size, bytes, size < 64 ? size : 64));
	return 0;
}
