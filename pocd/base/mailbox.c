#include "pocd/base/mailbox.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct letter {
	struct letter *next;
	void (*run)(void *arg);
	void *arg;
};

struct mailbox {
	pthread_mutex_t lock;
	struct letter *first, **last;
	int fd;
	struct event *event;
};

static struct letter *take_all(struct mailbox *mailbox)
{
	pthread_mutex_lock(&mailbox->lock);
	struct letter *first = mailbox->first;
	mailbox->first = NULL;
	mailbox->last = &mailbox->first;
	pthread_mutex_unlock(&mailbox->lock);
	return first;
}

static void run_all(struct mailbox *mailbox)
{
	struct letter *letter = take_all(mailbox);

	while (letter != NULL) {
		struct letter *next = letter->next;
		letter->run(letter->arg);
		free(letter);
		letter = next;
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;
	ssize_t n = read(fd, &count, sizeof count);

	(void)n;
	(void)what;
	run_all(arg);
}

struct mailbox *mailbox_create(struct event_base *base)
{
	struct mailbox *mailbox = calloc(1, sizeof *mailbox);

	if (mailbox == NULL)
		return NULL;
	pthread_mutex_init(&mailbox->lock, NULL);
	mailbox->last = &mailbox->first;
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
	run_all(mailbox);
	if (mailbox->event != NULL)
		event_free(mailbox->event);
	if (mailbox->fd >= 0)
		close(mailbox->fd);
	pthread_mutex_destroy(&mailbox->lock);
	free(mailbox);
}

int mailbox_post(struct mailbox *mailbox, void (*run)(void *arg), void *arg)
{
	struct letter *letter = malloc(sizeof *letter);
	uint64_t one = 1;

	if (letter == NULL)
		return -1;
	*letter = (struct letter){.run = run, .arg = arg};
	pthread_mutex_lock(&mailbox->lock);
	*mailbox->last = letter;
	mailbox->last = &letter->next;
	pthread_mutex_unlock(&mailbox->lock);
	ssize_t n = write(mailbox->fd, &one, sizeof one); /* full counter: the loop is awake already */
	(void)n;
	return 0;
}
