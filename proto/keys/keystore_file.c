#include "proto/keys/keystore_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/keys/keystore_pkey.h"
#include "proto/keys/private_file.h"

#define PEM_BEGIN "-----BEGIN "

enum { KEY_FILE_MAX = 16 * 1024 };

static int no_prompt(char *buffer, int size, int writing, void *passphrase)
{
	(void)writing;
	if (passphrase == NULL)
		return -1;
	size_t length = strlen(passphrase);
	if (length > (size_t)size)
		return -1;
	memcpy(buffer, passphrase, length);
	return (int)length;
}

/* Whether a PEM file says that it is encrypted. */
static bool is_sealed(FILE *file)
{
	char line[256];
	bool sealed = false;

	while (!sealed && fgets(line, sizeof line, file) != NULL)
		sealed = strncmp(line, PEM_BEGIN "ENCRYPTED PRIVATE KEY-----", 37) == 0 ||
			 strncmp(line, "Proc-Type: 4,ENCRYPTED", 22) == 0;
	rewind(file);
	explicit_bzero(line, sizeof line);
	return sealed;
}

int keystore_file_open(const char *path, const char *passphrase, struct keystore_key **out, struct refusal *why)
{
	struct refusal reason = {.code = STATUS_DENIED};
	int fd = private_file_open(path, KEY_FILE_MAX, "key", &reason);

	*out = NULL;
	if (fd < 0) {
		if (why != NULL)
			*why = reason;
		return reason.code;
	}
	FILE *file = fdopen(fd, "r");
	if (file == NULL) {
		close(fd);
		return refuse(why, STATUS_NO_MEMORY, "key", "out of memory");
	}
	setvbuf(file, NULL, _IONBF, 0); /* no copy of the key is left in a buffer */
	bool sealed = is_sealed(file);
	EVP_PKEY *pkey = PEM_read_PrivateKey(file, NULL, no_prompt, (void *)passphrase);
	fclose(file);
	ERR_clear_error();
	if (pkey != NULL)
		return keystore_pkey_wrap(pkey, out, why);
	if (!sealed)
		return refuse(why, STATUS_INVALID, "key", "%s: no private key in PEM form", path);
	return refuse(why, STATUS_DENIED, "passphrase", "%s: %s", path,
		      passphrase == NULL ? "needs a passphrase" : "wrong passphrase");
}

/* Whether a PEM file says that it holds a private key, of whatever kind. */
static bool is_private(FILE *file)
{
	char line[256];
	bool found = false;

	while (!found && fgets(line, sizeof line, file) != NULL)
		found = strncmp(line, PEM_BEGIN, sizeof PEM_BEGIN - 1) == 0 && strstr(line, "PRIVATE KEY-----") != NULL;
	explicit_bzero(line, sizeof line);
	return found;
}

int keystore_file_public(const char *path, struct public_key *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
	struct stat st;
	uint8_t *spki = NULL;

	if (file == NULL || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > KEY_FILE_MAX) {
		if (file != NULL)
			fclose(file);
		else if (fd >= 0)
			close(fd);
		return STATUS_IO;
	}
	X509 *cert = PEM_read_X509(file, NULL, no_prompt, NULL);
	rewind(file);
	EVP_PKEY *pkey = cert != NULL ? X509_get_pubkey(cert) : PEM_read_PUBKEY(file, NULL, no_prompt, NULL);
	int size = pkey != NULL ? i2d_PUBKEY(pkey, &spki) : 0;
	int status = size > 0 ? public_key_parse(spki, (size_t)size, out, NULL) : STATUS_INVALID;
	rewind(file);
	if (status != 0 && !is_private(file))
		status = STATUS_NOT_FOUND;
	ERR_clear_error();
	OPENSSL_free(spki);
	EVP_PKEY_free(pkey);
	X509_free(cert);
	fclose(file);
	return status;
}

static EVP_PKEY *generate(enum key_algorithm algorithm)
{
	switch (algorithm) {
	case KEY_ED25519:
		return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	case KEY_P256:
		return EVP_EC_gen("P-256");
	case KEY_P384:
		return EVP_EC_gen("P-384");
	default:
		return NULL;
	}
}

struct keystore_key *keystore_ephemeral(enum key_algorithm algorithm)
{
	EVP_PKEY *pkey = generate(algorithm);
	struct keystore_key *key = NULL;

	return pkey != NULL && keystore_pkey_wrap(pkey, &key, NULL) == 0 ? key : NULL;
}

static int create(const char *path, mode_t mode, FILE **file, struct refusal *why)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

	*file = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (*file != NULL)
		return 0;
	int error = errno;
	if (fd >= 0)
		close(fd);
	return refuse(why, STATUS_IO, "key", "%s: %s", path, strerror(error));
}

/* Flushes, syncs and closes; on failure takes the file away again. */
static int finish(FILE *file, const char *path, bool written, struct refusal *why)
{
	bool good = written && fflush(file) == 0 && fsync(fileno(file)) == 0;
	int error = errno;

	good = fclose(file) == 0 && good;
	if (good)
		return 0;
	unlink(path);
	return refuse(why, STATUS_IO, "key", "%s: %s", path, written ? strerror(error) : "cannot be written");
}

int keystore_generate(enum key_algorithm algorithm, const char *path, const char *passphrase, struct keystore_key **out,
		      struct refusal *why)
{
	EVP_PKEY *pkey = generate(algorithm);
	FILE *file;

	*out = NULL;
	if (pkey == NULL)
		return refuse(why, STATUS_FAILED, "key", "cannot generate a key");
	int status = create(path, 0600, &file, why);
	if (status == 0) {
		const EVP_CIPHER *cipher = passphrase != NULL ? EVP_aes_256_cbc() : NULL;
		bool written =
		    PEM_write_PKCS8PrivateKey(file, pkey, cipher, NULL, 0, no_prompt, (void *)passphrase) == 1;
		status = finish(file, path, written, why);
	}
	if (status != 0) {
		EVP_PKEY_free(pkey);
		return status;
	}
	return keystore_pkey_wrap(pkey, out, why);
}

static X509 *certificate(const struct keystore_key *key, const char *common_name)
{
	EVP_PKEY *pkey = keystore_pkey(key);
	X509 *cert = X509_new();
	uint64_t serial;
	enum key_algorithm algorithm = keystore_public(key)->algorithm;
	const EVP_MD *digest = algorithm == KEY_ED25519 ? NULL : algorithm == KEY_P256 ? EVP_sha256() : EVP_sha384();

	if (cert != NULL && RAND_bytes((uint8_t *)&serial, sizeof serial) == 1 &&
	    X509_set_version(cert, X509_VERSION_3) == 1 &&
	    ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) == 1 &&
	    ASN1_TIME_set_string_X509(X509_getm_notBefore(cert), "20200101000000Z") == 1 &&
	    ASN1_TIME_set_string_X509(X509_getm_notAfter(cert), "99991231235959Z") == 1 &&
	    X509_set_pubkey(cert, pkey) == 1 &&
	    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8, (const uint8_t *)common_name,
				       -1, -1, 0) == 1 &&
	    X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1 && X509_sign(cert, pkey, digest) > 0)
		return cert;
	X509_free(cert);
	return NULL;
}

int keystore_write_certificate(const struct keystore_key *key, const char *common_name, const char *path,
			       struct refusal *why)
{
	X509 *cert = certificate(key, common_name);
	FILE *file;

	if (cert == NULL)
		return refuse(why, STATUS_FAILED, "cert", "cannot make a certificate");
	int status = create(path, 0644, &file, why);
	if (status == 0)
		status = finish(file, path, PEM_write_X509(file, cert) == 1, why);
	X509_free(cert);
	return status;
}
