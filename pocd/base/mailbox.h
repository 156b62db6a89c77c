/* mailbox: hands small jobs from any thread to the thread of one event loop. */
#ifndef POCD_BASE_MAILBOX_H
#define POCD_BASE_MAILBOX_H

#include <event2/event.h>

struct mailbox;

/* A mailbox emptied by base's loop.  NULL when it cannot be made. */
struct mailbox *mailbox_create(struct event_base *base);

/* On the loop's thread or after the loop ended; jobs still inside are run first. */
void mailbox_destroy(struct mailbox *mailbox);

/* Any thread: run will be called with arg on the loop's thread, in the order of posting.  -1 when out of memory. */
int mailbox_post(struct mailbox *mailbox, void (*run)(void *arg), void *arg);

#endif
