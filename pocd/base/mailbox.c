#include "pocd/base/mailbox.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { AT_ONCE = 8 }; /* before the loop looks at what else has come: an answer costs as much as a lookup */

struct letter {
	struct letter *next;
	struct mailbox *mailbox;
	void (*run)(void *arg);
	void *arg;
};

struct list {
	struct letter *first, **last;
};

struct mailbox {
	pthread_mutex_t lock;
	struct list list;
	int fd; /* readable while there is something in the list */
	struct event *event;
};

/* What this thread has posted since mailbox_gather. */
static _Thread_local bool gathering;
static _Thread_local struct list gathered;

static void list_init(struct list *list)
{
	*list = (struct list){.last = &list->first};
}

static void list_add(struct list *list, struct letter *letter)
{
	letter->next = NULL;
	*list->last = letter;
	list->last = &letter->next;
}

static struct letter *list_take(struct list *list)
{
	struct letter *letter = list->first;

	list->first = letter->next;
	if (list->first == NULL)
		list->last = &list->first;
	return letter;
}

/* ---- The loop's end */

static void reset(const struct mailbox *mailbox)
{
	uint64_t count;
	ssize_t n = read(mailbox->fd, &count, sizeof count);

	(void)n; /* nothing to read: who wakes the loop has not come so far */
}

static void run_some(struct mailbox *mailbox)
{
	struct list some;

	list_init(&some);
	pthread_mutex_lock(&mailbox->lock);
	for (int i = 0; i < AT_ONCE && mailbox->list.first != NULL; i++)
		list_add(&some, list_take(&mailbox->list));
	if (mailbox->list.first == NULL)
		reset(mailbox);
	pthread_mutex_unlock(&mailbox->lock);
	while (some.first != NULL) {
		struct letter *letter = list_take(&some);
		letter->run(letter->arg);
		free(letter);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	run_some(arg);
}

struct mailbox *mailbox_create(struct event_base *base)
{
	struct mailbox *mailbox = calloc(1, sizeof *mailbox);

	if (mailbox == NULL)
		return NULL;
	pthread_mutex_init(&mailbox->lock, NULL);
	list_init(&mailbox->list);
	mailbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mailbox->fd >= 0)
		mailbox->event = event_new(base, mailbox->fd, EV_READ | EV_PERSIST, on_readable, mailbox);
	if (mailbox->event == NULL || event_add(mailbox->event, NULL) != 0) {
		mailbox_destroy(mailbox);
		return NULL;
	}
	return mailbox;
}

void mailbox_destroy(struct mailbox *mailbox)
{
	if (mailbox == NULL)
		return;
	while (mailbox->list.first != NULL)
		run_some(mailbox);
	if (mailbox->event != NULL)
		event_free(mailbox->event);
	if (mailbox->fd >= 0)
		close(mailbox->fd);
	pthread_mutex_destroy(&mailbox->lock);
	free(mailbox);
}

/* ---- Posting */

/* Whoever finds the list empty wakes the loop, once for all that come until it is empty again. */
static void put(struct mailbox *mailbox, struct list *letters)
{
	uint64_t one = 1;

	pthread_mutex_lock(&mailbox->lock);
	bool wake = mailbox->list.first == NULL;
	*mailbox->list.last = letters->first;
	mailbox->list.last = letters->last;
	pthread_mutex_unlock(&mailbox->lock);
	ssize_t n = wake ? write(mailbox->fd, &one, sizeof one) : 0; /* full counter: the loop is awake already */
	(void)n;
}

int mailbox_post(struct mailbox *mailbox, void (*run)(void *arg), void *arg)
{
	struct letter *letter = malloc(sizeof *letter);
	struct list one;

	if (letter == NULL)
		return -1;
	*letter = (struct letter){.mailbox = mailbox, .run = run, .arg = arg};
	if (gathering) {
		list_add(&gathered, letter);
		return 0;
	}
	list_init(&one);
	list_add(&one, letter);
	put(mailbox, &one);
	return 0;
}

void mailbox_gather(void)
{
	list_init(&gathered);
	gathering = true;
}

void mailbox_deliver(void)
{
	struct list mine, others;

	gathering = false;
	while (gathered.first != NULL) {
		struct mailbox *mailbox = gathered.first->mailbox;
		list_init(&mine);
		list_init(&others);
		while (gathered.first != NULL) {
			struct letter *letter = list_take(&gathered);
			list_add(letter->mailbox == mailbox ? &mine : &others, letter);
		}
		list_init(&gathered);
		while (others.first != NULL)
			list_add(&gathered, list_take(&others));
		put(mailbox, &mine);
	}
}
