/* mailbox: hands small jobs from any thread to the thread of one event loop, which does a few of them at a time and
 * looks at its other events in between. */
#ifndef POCD_BASE_MAILBOX_H
#define POCD_BASE_MAILBOX_H

struct event_base;
struct mailbox;

/* A mailbox emptied by base's loop.  NULL when it cannot be made. */
struct mailbox *mailbox_create(struct event_base *base);

/* On the loop's thread or after the loop ended; jobs still inside are run first. */
void mailbox_destroy(struct mailbox *mailbox);

/* Any thread: run will be called with arg on the loop's thread, in the order of posting.  -1 when out of memory. */
int mailbox_post(struct mailbox *mailbox, void (*run)(void *arg), void *arg);

/* Between the two, what the calling thread posts, to whatever mailboxes, waits, and then comes all together: each loop
 * is woken once.  A loop that shares the thread's core would else come between any two jobs.  Not to be nested; no
 * mailbox may be destroyed in between. */
void mailbox_gather(void);
void mailbox_deliver(void);

#endif
