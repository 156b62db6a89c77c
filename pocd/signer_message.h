/* signer_message: what daemon and signer say to each other over their socket pair (SOCK_SEQPACKET: a message is read
 * whole or not at all).  A request is answered by DONE with what it asks for, or by REFUSED. */
#ifndef POCD_SIGNER_MESSAGE_H
#define POCD_SIGNER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pocd/signed.h"

enum { SIGNER_MESSAGE_MAX = 4096, SIGNER_KEYS_MAX = 4, SIGNER_SOCKET = 3, SIGNER_PASSPHRASE = 4 /* descriptors */ };

/* Integers are big-endian, bytes have their length before them (u16). */
enum signer_type {
	SIGNER_HELLO = 1, /* -> u8 number of keys, each an SPKI */
	SIGNER_START,     /* head, u64 leaves: of the database -> head: the last signed */
	SIGNER_PREPARE,   /* head -> nothing: it is remembered durably, and may be signed */
	SIGNER_SIGN,      /* u8 key, bytes: the text of the head that was prepared last -> signature */
	SIGNER_DONE = 16,
	SIGNER_REFUSED /* u8 status, text */
};

struct signer_message {
	uint8_t bytes[SIGNER_MESSAGE_MAX];
	size_t size, at;
	bool bad; /* something did not fit, or was not there */
};

void signer_begin(struct signer_message *message, enum signer_type type);
void signer_put_number(struct signer_message *message, unsigned bytes, uint64_t value);
void signer_put_bytes(struct signer_message *message, const void *bytes, size_t size);
void signer_put_head(struct signer_message *message, const struct signed_head *head); /* bytes, u64 time; empty: none */

uint64_t signer_get_number(struct signer_message *message, unsigned bytes);
const uint8_t *signer_get_bytes(struct signer_message *message, size_t *size); /* within the message */
void signer_get_head(struct signer_message *message, struct signed_head *head);

/* Sends; 0 or -1 (bad, or the other end is gone). */
int signer_send(int fd, const struct signer_message *message);

/* Waits for one message, at most limit_ms (-1: for ever), and takes its type.  The type, 0 at the end of the stream, or
 * -1 (failed, too long, took too long). */
int signer_receive(int fd, struct signer_message *message, int limit_ms);

#endif
