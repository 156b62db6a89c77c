/* outbox: notices and receipts that are signed but not known to be stored yet: files in the state folder, written
 * before they are posted and taken away after the server has answered.  So nothing is lost between two moments, and
 * since what is posted again is the same bytes under the same id, nothing is sent twice.  Whatever lists them removes
 * what a command that was killed has left of writing one. */
#ifndef CLIENTS_LIBPOC_OUTBOX_H
#define CLIENTS_LIBPOC_OUTBOX_H

#include "clients/libpoc/notice_seal.h"

enum { OUTBOX_NAME = 64 };

/* Keeps a signed envelope with its body (NULL: a receipt), durably.  name: how the outbox calls it. */
int outbox_put(struct poc *poc, const uint8_t *envelope, size_t size, const uint8_t *body, size_t body_size,
	       char name[OUTBOX_NAME]);

/* Lets one wait that is not posted now, for this reason; NULL: since no server is asked.  QUEUED.  Here and below, why
 * it waits is kept beside it as NAME.reason. */
int outbox_wait(struct poc *poc, const char *name, const char *reason);

/* Posts one: 0, QUEUED (it stays), or a refusal (it is taken away).  It stays where no server could be reached that can
 * be believed and followed from here, or the one that was takes it later: then why.retry_ms is not 0. */
int outbox_post(struct poc *poc, const char *name, const uint8_t *envelope, size_t size, const uint8_t *body,
		size_t body_size, struct client_posted *out);

/* Seals, keeps and posts a notice; at a stale key it is sealed anew, once.  Where no server can be reached it is sealed
 * by the local copy: QUEUED.  offline: none is asked.  *sealed is filled in both cases (client_sealed_finish). */
int outbox_send(struct poc *poc, bool offline, const struct client_notice *notice, struct client_sealed *sealed,
		struct client_posted *out);

/* Whether outbox_send would get as far as posting: the same sealing, for nothing.  0, or the refusal that it would meet
 * before anything is kept. */
int outbox_try(struct poc *poc, bool offline, const struct client_notice *notice);

/* What became of one that was waiting. */
struct outbox_result {
	const char *name; /* how the outbox calls it: all that is known of a damaged one */
	bool is_notice;
	struct notice_id id;                /* of the notice, or that the receipt is about */
	Poc__Step step;                     /* of a receipt; 0, and no notice: the file is damaged */
	struct notice_id answer;            /* that a receipt "answered" speaks of; else zeros */
	char exercise[UNIT_MAX_LENGTH + 1]; /* of that notice; "": none known */
	bool waits;                         /* it goes on waiting */
	int status;          /* 0; QUEUED: no server could be reached; else of the refusal, for now or good */
	const char *message; /* of a refusal; of what is listed as waiting: why it does, "" if it was not tried yet */
	int64_t since;       /* when it was put there */
	ProtobufCBinaryData envelope, body; /* borrowed until the call ends; empty of a damaged one */
};

typedef void (*outbox_each)(void *ctx, const struct outbox_result *result);

/* Posts what waits, oldest first.  keys: reading keys, to encrypt anew where a recipient's key is stale.  0: nothing
 * waits any more (*waiting 0); QUEUED: no server could be reached; BUSY: another command flushes, and did not end
 * within some seconds; else why the first one is not taken for now.  Once our state may send no more for now, further
 * notices are not tried, nor is a receipt that speaks of one that waits, or is of a notice of which an earlier one
 * waits.  One that speaks of an answer that was refused goes, without a word: nobody will ever get that answer. */
int outbox_flush(struct poc *poc, struct keystore_key *const *keys, size_t n_keys, outbox_each each, void *ctx,
		 size_t *waiting);

/* How many wait, without touching the network. */
size_t outbox_waiting(const struct poc *poc);

/* What waits, oldest first, each with the status and the words of its last attempt (QUEUED and "": there was none yet).
 * Nothing is sent. */
void outbox_list(struct poc *poc, outbox_each each, void *ctx);

/* Takes away one that waits, which then is not sent: BUSY while somebody sends, NOT_FOUND if it was meanwhile.  What a
 * server has stored, while its answer was lost, stays stored. */
int outbox_withdraw(struct poc *poc, const char *name);

/* What was refused for good, oldest first, each with the refusal: it is kept, as NAME.refused beside NAME.reason, until
 * it is discarded; which each may do. */
void outbox_refused(struct poc *poc, outbox_each each, void *ctx);
int outbox_discard(struct poc *poc, const char *name);

#endif
