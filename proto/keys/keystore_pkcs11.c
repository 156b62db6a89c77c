#include "proto/keys/keystore_pkcs11.h"

#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "proto/keys/keystore_pkey.h"
#include "proto/keys/private_file.h"

enum { PIN_FILE_MAX = 1024, PIN_PATH_MAX = 4096 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool have_provider;

/* Once a provider is loaded by name, the default one is no longer there by itself. */
static void load_providers(void)
{
	have_provider = OSSL_PROVIDER_load(NULL, "default") != NULL && OSSL_PROVIDER_load(NULL, "pkcs11") != NULL;
	ERR_clear_error();
}

struct pin {
	const char *text; /* NULL: none */
	bool asked;
};

static int give_pin(char *buffer, int size, int writing, void *arg)
{
	struct pin *pin = arg;
	size_t length = pin->text != NULL ? strlen(pin->text) : 0;

	(void)writing;
	pin->asked = true;
	if (pin->text == NULL || length > (size_t)size)
		return -1;
	memcpy(buffer, pin->text, length);
	return (int)length;
}

int keystore_pkcs11_shown(const char *location)
{
	size_t length = strlen(location);

	if (strncmp(location, "pkcs11:", 7) != 0)
		return (int)length;
	length = strcspn(location, "?");
	const char *pin = strstr(location, "pin-");
	if (pin != NULL && (size_t)(pin - location) < length)
		length = (size_t)(pin - location);
	return (int)length;
}

/* The provider reads the file; that it is nobody else's is for us to see. */
static int check_pin_source(const char *uri, struct refusal *why)
{
	static const char attribute[] = "pin-source=";
	const char *source = strstr(uri, attribute);
	char path[PIN_PATH_MAX];

	if (source == NULL)
		return 0;
	source += sizeof attribute - 1;
	if (strncmp(source, "file:", 5) == 0)
		source += 5;
	size_t length = strcspn(source, "&;");
	if (length == 0 || length >= sizeof path || memchr(source, '%', length) != NULL || source[0] != '/')
		return refuse(why, STATUS_INVALID, "key", "pin-source= must be file: and an absolute path, without %%");
	memcpy(path, source, length);
	path[length] = '\0';
	struct refusal reason = {.code = STATUS_DENIED};
	int fd = private_file_open(path, PIN_FILE_MAX, "PIN", &reason);
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (why != NULL)
		*why = reason;
	return reason.code;
}

static EVP_PKEY *load(const char *uri, struct pin *pin)
{
	UI_METHOD *ui = UI_UTIL_wrap_read_pem_callback(give_pin, 0);
	OSSL_STORE_CTX *store = ui != NULL ? OSSL_STORE_open(uri, ui, pin, NULL, NULL) : NULL;
	EVP_PKEY *found = NULL;

	while (store != NULL && found == NULL && !OSSL_STORE_eof(store)) {
		OSSL_STORE_INFO *info = OSSL_STORE_load(store);
		if (info == NULL && OSSL_STORE_error(store))
			break;
		if (info != NULL && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
			found = OSSL_STORE_INFO_get1_PKEY(info);
		OSSL_STORE_INFO_free(info);
	}
	OSSL_STORE_close(store);
	UI_destroy_method(ui);
	return found;
}

int keystore_pkcs11_open(const char *uri, const char *text, struct keystore_key **out, struct refusal *why)
{
	struct pin pin = {.text = text};
	const int shown = keystore_pkcs11_shown(uri);

	*out = NULL;
	if (strstr(uri, "pin-value") != NULL)
		return refuse(why, STATUS_INVALID, "key",
			      "%.*s: a PIN may not stand in the URI: pin-source=file:PATH names a file that holds it",
			      shown, uri);
	pthread_once(&once, load_providers);
	if (!have_provider)
		return refuse(why, STATUS_INVALID, "key",
			      "%.*s: a key in a token needs OpenSSL's provider \"pkcs11\", which is not installed here "
			      "(Debian 13 and later: the package pkcs11-provider; Debian 12 has none)",
			      shown, uri);
	int status = check_pin_source(uri, why);
	if (status != 0)
		return status;
	EVP_PKEY *pkey = load(uri, &pin);
	ERR_clear_error();
	if (pkey != NULL)
		return keystore_pkey_wrap(pkey, out, why);
	if (pin.asked && text == NULL)
		return refuse(why, STATUS_DENIED, "passphrase", "%.*s: needs a PIN", shown, uri);
	/* not a refusal of the passphrase: asking again and again would lock the token */
	return refuse(why, STATUS_NOT_FOUND, "key", "%.*s: no such private key in any token%s", shown, uri,
		      pin.asked || strstr(uri, "pin-source=") != NULL ? ", or a wrong PIN" : "");
}
