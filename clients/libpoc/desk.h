/* desk: what a desk has received, sent and been told, as a model over a durable local copy of its feed.
 *
 * The copy is one append-only file in the state folder.  Before an entry is kept, its signer is looked up in the proven
 * U of its place; one whose signer is not listed any more is judged by its story.  What does not verify is kept too,
 * marked, shown as what it is, and moves nothing.  Facts are the directory's word until a story proves them.
 *
 * A directory that was restored from an older copy, or from a mirror's, begins its feeds anew: the last entry is
 * fetched with what is new, and if it is not there any more, the feed is read from its beginning (protocol.md section
 * 21). */
#ifndef CLIENTS_LIBPOC_DESK_H
#define CLIENTS_LIBPOC_DESK_H

#include "clients/libpoc/notice_seal.h"

enum { DESK_STEPS = 11 };

struct desk_entry {
	uint64_t cursor; /* in the feed that it came from: a directory that was restored begins anew */
	int64_t stored_ms;
	bool fact, good; /* good: verified, or a fact that is well formed */
	bool automatic;  /* of a receipt that is good: a program signed it */
	uint8_t *item;   /* owned */
	size_t size;
};

/* A desk of a notice, and how far the notice has come there. */
struct desk_party {
	struct client_desk desk;
	enum notice_side side;
	int64_t escalates_at;      /* of an escalation, unless somebody has taken notice by then */
	int64_t times[DESK_STEPS]; /* seconds, by step; 0: not reached; by a person, if one has said it too */
	uint16_t automatic;        /* 1 << step: only a program has said so */
	Poc__Step stand;    /* the last of accepted, declined, closed; 0: none; a program's never after a person's */
	Poc__Reason reason; /* of declined, if that is the stand */
	int64_t heard;      /* when a person first said anything of it; 0: nobody has */
	Poc__Step heard_as; /* and what */
	bool answered;      /* and not declined since */
	int64_t answer_by;
	char handle[UNIT_MAX_LENGTH + 1]; /* who said the latest step */
	bool has_answer;
	struct notice_id answer;
};

struct desk_notice {
	struct notice *notice; /* owned */
	enum notice_side side; /* of the desk that this is the model of */
	bool good;
	size_t order;   /* of its entry in the local copy */
	int64_t stored; /* seconds */
	size_t n_parties;
	struct desk_party *parties;         /* owned: recipients in order, escalations, the sender last */
	char taken_by[UNIT_MAX_LENGTH + 1]; /* of our own desk; empty: nobody */
	int64_t taken_at;
};

/* Where in the directory's feed the local copy ends. */
struct desk_end {
	uint64_t cursor; /* 0: nowhere yet */
	int64_t stored_ms;
	bool fact;
	struct hash item;
};

struct desk {
	struct client_desk id;
	size_t n_entries;
	struct desk_entry *entries; /* owned, in the order in which they were kept */
	size_t read;                /* bytes of the file that the model has */
	struct desk_end end;
	bool begun_anew; /* the feed has, once at least: an entry may come again */
	bool lost;       /* the last desk_sync found out that it has */
	size_t n;
	struct desk_notice **notices; /* owned, in the order of the feed */
	size_t bad;                   /* entries that do not verify */
	struct envelope *users;       /* U of our own place, if it is known: who still may hold what was taken; owned */
};

/* Reads the local copy of a desk's feed.  0 and *out (desk_close). */
int desk_open(struct poc *poc, const struct client_desk *id, struct desk **out);

/* Fetches what is new, verifies it, keeps it.  What was kept stays, whatever the directory still knows of it. */
int desk_sync(struct poc *poc, struct desk *desk);
void desk_close(struct desk *desk); /* NULL allowed */

struct desk_notice *desk_find(const struct desk *desk, const struct notice_id *id);

/* Whether the desk's feed has these very bytes. */
bool desk_has_item(const struct desk *desk, const uint8_t *bytes, size_t size);

/* The step that a party has reached: where it stands now; an answer goes before accepted, closed before an answer. */
Poc__Step desk_party_step(const struct desk_party *party);

/* Whether it came to the party: a recipient, and an escalation's desk once it was released to that. */
bool desk_party_received(const struct desk_party *party);

/* When its sender's desk has closed a notice; 0: it has not. */
int64_t desk_sender_closed(const struct desk_notice *notice);

/* Whether a person at a party has said anything of the notice: what a program says is no sign that somebody looked. */
bool desk_party_heard(const struct desk_party *party);

/* Whether its sender has closed a notice that our desk received before a person of ours has said anything of it: nobody
 * may have seen it yet. */
bool desk_closed_unseen(const struct desk *desk, const struct desk_notice *notice);

/* The step to show for a notice: for one that was received our own; for one that was sent that of the recipient who is
 * least far, or of a desk that it was escalated to, if that is further and does not decline; closed when its sender has
 * closed it, unless that is unseen. */
Poc__Step desk_step(const struct desk *desk, const struct desk_notice *notice);

/* Our own party in a notice that was received, else NULL; and any desk's. */
struct desk_party *desk_own_party(const struct desk *desk, const struct desk_notice *notice);
struct desk_party *desk_party(const struct desk_notice *notice, const char *place, Poc__PocKind kind);

/* A private note: the desk's own, about a notice, and no business by itself. */
bool desk_is_note(const struct desk_notice *notice);

/* Whether it is neither closed nor declined, nor a private note; and whether it is an emergency besides that was
 * received, which nothing hides. */
bool desk_is_open(const struct desk *desk, const struct desk_notice *notice);
bool desk_is_alarm(const struct desk *desk, const struct desk_notice *notice);

/* When it was stored, or something was last stated about it, in seconds. */
int64_t desk_activity(const struct desk_notice *notice);

/* When an answer is wanted that has not come, 0: none is; and whether that is past. */
int64_t desk_wanted_by(const struct desk *desk, const struct desk_notice *notice);
bool desk_overdue(const struct desk *desk, const struct desk_notice *notice, int64_t now);

/* The body of a notice, from the local copy or the server (which is delivery), checked: malloc. */
int desk_body(struct poc *poc, const struct desk *desk, const struct desk_notice *notice, bool offline, uint8_t **body,
	      size_t *size);

#endif
