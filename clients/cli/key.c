#include "clients/cli/key.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "clients/cli/strings.h"
#include "proto/keys/keystore_file.h"
#include "proto/keys/keystore_open.h"

int key_open(struct cli *cli, const char *location, struct keystore_key **out)
{
	struct refusal why = {0};

	cli->passphrase.file = cli->conf.passphrase_file;
	return passphrase_open(&cli->passphrase, location, out, &why) == 0 ? 0 : cli_refused(cli, &why);
}

int key_named(struct cli *cli, const char *location)
{
	return keystore_is_token(location) || access(location, F_OK) == 0 || errno != ENOENT
		   ? 0
		   : cli_fail(cli, STATUS_NOT_FOUND, "%s: %s", location, strerror(ENOENT));
}

int key_make(struct cli *cli, enum key_algorithm algorithm, const char *path, bool file, struct keystore_key **out)
{
	const char *passphrase;
	struct refusal why = {0};

	cli->passphrase.file = file ? cli->conf.passphrase_file : NULL;
	int status = passphrase_new(&cli->passphrase, cli_has(cli, "seal"), path, &passphrase, &why);
	if (status == 0)
		status = keystore_generate(algorithm, path, passphrase, out, &why);
	if (status != 0)
		return cli_refused(cli, &why);
	made_add(&cli->made, path);
	return 0;
}

int key_read_public(struct cli *cli, const char *path, struct public_key *out)
{
	struct keystore_key *key;

	int status = keystore_file_public(path, out);
	if (status == 0)
		return 0;
	if (status == STATUS_NOT_FOUND)
		return cli_fail(
		    cli, STATUS_INVALID,
		    tr("%s: no key that is known here: neither a public nor a private one in PEM form, nor a "
		       "certificate"),
		    path);
	status = key_open(cli, path, &key);
	if (status != 0)
		return status;
	*out = *keystore_public(key);
	keystore_close(key);
	return 0;
}

bool key_counts(const Poc__Key *key, unsigned allowed)
{
	struct public_key parsed;

	return public_key_parse(key->spki.data, key->spki.len, &parsed, NULL) == 0 && parsed.algorithm != KEY_UNKNOWN &&
	       (allowed >> parsed.algorithm & 1) != 0;
}

size_t key_counting(Poc__Key *const *keys, size_t n, unsigned allowed)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += key_counts(keys[i], allowed);
	return count;
}
