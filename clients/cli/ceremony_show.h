/* ceremony_show: ceremony files before people's eyes: what is proposed, in words to be read aloud, and who has signed;
 * the commands sign and show, which poc and pocadm share, and which need no network; and the parts that drafts share.
 */
#ifndef CLIENTS_CLI_CEREMONY_SHOW_H
#define CLIENTS_CLI_CEREMONY_SHOW_H

#include "clients/cli/ceremony.h"
#include "clients/cli/command.h"

/* Reads argv[0] as a ceremony, and takes over what further arguments, copies of it, have of signatures.  The directory
 * is the configuration's, or that of --directory FILE.  0 or a status, printed. */
int ceremony_open(struct cli *cli, struct ceremony *out);

/* What it proposes and which signatures are there, on stdout (not in JSON mode, not if quiet). */
void ceremony_tell(const struct cli *cli, const struct ceremony *ceremony);

/* The same as members of a JSON document. */
json_t *ceremony_json(const struct ceremony *ceremony);

/* A list of keys while it is drafted.  Borrows the messages of the list that it began with. */
struct ceremony_list {
	size_t n;
	Poc__Key *keys[2 * CEREMONY_KEYS_MAX];
	Poc__Key own[CEREMONY_KEYS_MAX];
	struct public_key fresh[CEREMONY_KEYS_MAX];
	size_t n_fresh;
};

/* The keys of `old` without those that the flag `drop` names (a fingerprint, its first groups, or a file) and with
 * those of the files that the flag `add` names.  0 or a status, printed. */
int ceremony_list_edit(struct cli *cli, struct ceremony_list *list, Poc__Key *const *old, size_t n, const char *add,
		       const char *drop);

/* The number of a flag, 1 to max, or what it was.  0 or USAGE, printed. */
int ceremony_number(struct cli *cli, const char *flag, uint64_t max, uint32_t *value);

/* A draft's end: checks it as any reader would (reader: the pins of the configuration), shows it, asks, writes argv[0],
 * which must not exist.  waived: see ceremony_missing. */
int ceremony_save_new(struct cli *cli, const struct verify_pins *pins, const uint8_t *proof, size_t proof_size,
		      const ProtobufCBinaryData *proposals, size_t n, int64_t now);

/* sign FILE [COPY...] --key KEY; show FILE [COPY...] */
int ceremony_cmd_sign(struct cli *cli);
int ceremony_cmd_show(struct cli *cli);

/* "2 signatures are missing: 1 of the root keys of T version 1, ..." as a refusal; 0 if none is. */
int ceremony_refuse_missing(struct cli *cli, const struct ceremony *ceremony, bool waived);

#endif
