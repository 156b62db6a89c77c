/* connection: the inside of a struct poc: options, key, held state, and one greeted connection to a server. */
#ifndef CLIENTS_LIBPOC_CONNECTION_H
#define CLIENTS_LIBPOC_CONNECTION_H

#include "clients/libpoc/held.h"
#include "clients/libpoc/poc.h"
#include "clients/libpoc/transport.h"
#include "clients/libpoc/verify.h"

/* A chain of K that has been verified, by the value of its last envelope. */
struct keys_entry {
	struct name name;
	struct hash value;
	Poc__Item *item; /* owned: name and the chain's envelopes */
};

struct poc {
	struct refusal why;
	/* options */
	char *servers, *certificate, *own_auditor;
	char user_state[STATE_MAX_LENGTH + 1]; /* empty: offline only */
	char user_place[NAME_MAX_LENGTH + 1];  /* whose U lists us: the state, or STATE/unit */
	bool have_server_pin;
	struct hash server_pin;
	int64_t max_age, fixed_now;
	unsigned timeout_ms;
	struct verify_pins pins;
	struct keystore_key *key;
	struct transport_context *context;
	/* the key that takes its place once U lists it (poc_options); NULL: none, or it has */
	struct keystore_key *next_key;
	struct transport_context *next_context;
	bool uses_next; /* U lists it, and not the other */
	/* state */
	char *folder;
	struct held held;
	bool held_lost; /* it could not be read again: held is empty, and no head is asked for before it can be */
	struct verified_head *head; /* of this session; NULL before */
	/* the server's, where it was refused as behind or as another log; size 0: none */
	uint64_t refused_size;
	int64_t refused_time_ms;
	/* T after the one that is held, as it came in pages, not verified: the next head's proof goes on from there */
	size_t n_ahead, ahead_bytes;
	ProtobufCBinaryData *ahead; /* owned (advance_drop) */
	struct verified_head *copy; /* the local copy, once loaded */
	char copy_damage[400];      /* what is wrong with the one that is there; empty: nothing known */
	size_t n_keys;
	struct keys_entry *keys;
	void (*progress)(void *ctx, uint64_t done, uint64_t all); /* NULL: nobody looks */
	void *progress_ctx;
	/* session */
	struct transport *transport;
	int64_t deadline; /* of the call under way */
	bool accepted;    /* the server may be asked more than T, S, K, U/@directory */
	bool greeted;
	bool any_clock;      /* what is under way only reads: a head ahead of our clock is used, but not held */
	bool only_reads;     /* what cannot be held for want of a folder to write to is used all the same */
	struct refusal lost; /* why no server could be reached when it was tried last; code 0: one was, or none tried */
	struct refusal unheld; /* why that was so, the first time; code 0: it was not */
	int64_t clock_ahead;   /* seconds that our clock is ahead of the server's, as it says; 0: it does not say */
	unsigned connections;  /* made so far: tells a new one from the one before */
	char software[65];
	char claimed_handle[UNIT_MAX_LENGTH + 1]; /* as the server says */
	uint64_t own_size;                        /* the head under which the fields below were verified; 0: none */
	struct envelope *own_users;               /* U of our place; NULL: not shown or absent */
	const Poc__User *own;                     /* our entry in it, or NULL */
	bool own_denied;                          /* NULL by the server's word alone, not by a proof */
};

/* Milliseconds since 1970 by the local clock (or the fixed time of tests). */
int64_t connection_now_ms(const struct poc *poc);

/* Starts a call: forgets the last error, sets the deadline. */
void connection_begin(struct poc *poc);

/* Connects to a server and greets it.  Nothing is known of it yet but its pin. */
int connection_open(struct poc *poc, const char *server);
void connection_close(struct poc *poc);

/* Whether what a call came to (status) is that the server is a mirror which does not do what was asked, and there are
 * other servers: then the connection is closed, that server is not tried again, and the call is to be made anew. */
bool connection_passes_on(struct poc *poc, int status);

/* Sends one request and waits for its answer.  *answer (message_free) is also set for Error answers. */
int connection_call(struct poc *poc, Poc__Request *request, Poc__Response **answer);

/* Waits for the answer to a request that was sent with transport_send. */
int connection_receive(struct poc *poc, uint32_t id, Poc__Response **answer);

#endif
