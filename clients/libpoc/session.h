/* session: a server that is accepted, the head that answers are verified under, our own entry in U, and rounds of
 * questions answered under one head. */
#ifndef CLIENTS_LIBPOC_SESSION_H
#define CLIENTS_LIBPOC_SESSION_H

#include "clients/libpoc/connection.h"

/* One question of a round; its answer is decoded, in form only, and of the head poc->head. */
struct question {
	/* Lookup: place not empty; else GetEnvelopes */
	const char *place;
	const char *const *names; /* sections of a Lookup, names of a GetEnvelopes */
	size_t n_names;
	uint64_t from_seq;
	Poc__Proof *proof; /* out: message_free */
};

/* Connects if needed, asks all questions in one flight, and again until all answers are of one head, to which the
 * session moves.  On failure all proofs are NULL. */
int session_ask(struct poc *poc, struct question *questions, size_t n);
void session_free_answers(struct question *questions, size_t n);

/* Connects to the first server that will do, and moves to its head. */
int session_connect(struct poc *poc);

/* Asks the server for its head and moves to it. */
int session_move(struct poc *poc);

/* The reader class that our verified entry gives for records of a state. */
enum reader_class session_reader(const struct poc *poc, const char *state);

/* Who is not listed is served nothing: a server that denies our U, and serves us all the same as one who may not see
 * sections, lies about one or the other.  0 or UNVERIFIED. */
int session_withheld(struct poc *poc, const struct verified_record *record);

/* What the items of an answer say; of a name that the answer lacks: STATUS_UNVERIFIED. */
int session_item(struct poc *poc, const Poc__Proof *proof, const char *name, const Poc__Item **item,
		 struct verified_item *proven);

/* The chain of K with this value: from memory, the cache in the state folder, chain (an answer's item, NULL allowed),
 * or the server.  0, *item borrowed from poc, *keys the last one (envelope_destroy).  Notes K as seen. */
int session_keys(struct poc *poc, const struct verified_head *head, const struct verified_item *proven,
		 const Poc__Item *chain, const Poc__Item **item, struct envelope **keys, bool *replaced);

#endif
