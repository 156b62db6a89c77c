#include "proto/keys/keystore_open.h"

#include <string.h>

#include "proto/keys/keystore_file.h"
#include "proto/keys/keystore_pkcs11.h"

bool keystore_is_token(const char *location)
{
	return strncmp(location, "pkcs11:", 7) == 0;
}

int keystore_open(const char *location, const char *passphrase, struct keystore_key **out, struct refusal *why)
{
	*out = NULL;
	if (keystore_is_token(location))
		return keystore_pkcs11_open(location, passphrase, out, why);
	return keystore_file_open(location, passphrase, out, why);
}
