/* follow: makes this server a copy of another's directory: a thread that fetches what is new, judges it (intake), and,
 * with an auditor's key, hands back a signature on each checkpoint that is consistent with all that was seen before. */
#ifndef POCD_FOLLOW_H
#define POCD_FOLLOW_H

#include "pocd/directory/directory.h"
#include "proto/keys/keystore.h"

struct follow;

struct follow_options {
	struct directory *directory; /* opened with follows; borrowed, like all below */
	struct store *store;
	const char *server;                 /* host:port */
	const struct hash *server_pin;      /* NULL: any server that U/@directory lists, once that is known */
	const char *state;                  /* whose U lists our TLS key with the role mirror */
	const char *certificate;            /* PEM file */
	const struct keystore_key *key;     /* TLS */
	const struct keystore_key *auditor; /* NULL: a mirror, which signs nothing */
	void (*moved)(void *ctx);           /* the follower's thread: there is a new tip, or more signatures on it */
	void *moved_ctx;
};

int follow_create(const struct follow_options *options, struct follow **out, struct refusal *why);
int follow_start(struct follow *follow);    /* 0 or a status */
void follow_destroy(struct follow *follow); /* stops the thread; NULL allowed */

#endif
