/* signer: the process that holds the log keys (pocd --signer).  The daemon starts it before anything else and speaks to
 * it over a socket pair, see signer_message.h; it has no other way to be reached.
 *
 * It signs nothing but the text of a checkpoint that it has made durable in its memory first, see signed.h: whoever
 * takes over the daemon can have the next head signed, but no smaller one, no second one of a size, none of another
 * directory, and never gets the key. */
#ifndef POCD_SIGNER_H
#define POCD_SIGNER_H

#include "pocd/base/settings.h"
#include "proto/wire/status.h"

struct signer_options {
	const struct settings_paths *keys; /* Ed25519, 1 to SIGNER_KEYS_MAX */
	const char *passphrase_file;       /* empty: none */
	int passphrase_fd;                 /* goes before it; -1: none.  Where a key needs one and there is neither,
					      the terminal is asked */
	const char *memory;                /* file, see signed.h */
};

/* Serves descriptor SIGNER_SOCKET until the other end is gone; returns the exit status.  If the options could not even
 * be read, *why says so (code not 0), and the daemon is told. */
int signer_run(const struct signer_options *options, struct refusal *why);

#endif
