#include "tests/bench/alert.h"

#include <stdlib.h>

#include "proto/wire/encode.h"
#include "proto/wire/frame.h"
#include "proto/wire/poc.pb-c.h"
#include "proto/wire/prescan.h"

enum { EVENT_CURSOR = 1 << 3 };

struct waiting {
	enum link_answer wanted; /* of a poster's or watcher's request */
	uint64_t cursor;         /* of the newest event */
	bool answered, told;
};

static void on_answer(void *ctx, const uint8_t *message, size_t size)
{
	struct waiting *waiting = ctx;

	link_check(message, size, waiting->wanted);
	waiting->answered = true;
}

static void on_watched(void *ctx, const uint8_t *message, size_t size)
{
	struct waiting *waiting = ctx;

	if (message[0] != EVENT_CURSOR) {
		on_answer(ctx, message, size);
		return;
	}
	Poc__Event *event = poc__event__unpack(NULL, size, message);
	if (event == NULL)
		link_fail("an event cannot be read", "");
	waiting->told = event->cursor > waiting->cursor;
	waiting->cursor = event->cursor;
	poc__event__free_unpacked(event, NULL);
}

static void watch(struct link *link, const char *place, struct waiting *waiting)
{
	Poc__Request request = POC__REQUEST__INIT;
	Poc__Watch desk = POC__WATCH__INIT;
	uint8_t *bytes;
	size_t size;

	desk.place = (char *)place;
	desk.kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	request.id = 1;
	request.body_case = POC__REQUEST__BODY_WATCH;
	request.watch = &desk;
	if (message_encode(&request, &bytes, &size) != 0)
		link_fail("out of memory", "");
	link_put(link, bytes, size);
	link_send(link);
	free(bytes);
	while (!waiting->answered)
		link_read(link, on_watched, waiting);
}

size_t alert_measure(const struct link_target *posters, const struct link_target *watchers, const uint8_t *frames,
		     size_t size, struct latency *latency)
{
	struct waiting posted = {.wanted = ANSWER_POST}, watched = {.wanted = ANSWER_WATCH};
	struct link poster, watcher;
	size_t n = 0;

	link_open(&poster, posters, &posters->users[0]);
	link_open(&watcher, watchers, &watchers->users[0]);
	watch(&watcher, watchers->users[0].state, &watched);
	for (const uint8_t *at = frames; at < frames + size; n++) {
		size_t length = (size_t)frame_get_header(at, FRAME_MAX_POST);
		uint64_t begin = latency_now();
		link_put(&poster, at + FRAME_HEADER, length);
		link_send(&poster);
		for (watched.told = false; !watched.told;)
			link_read(&watcher, on_watched, &watched);
		latency_add(latency, latency_now() - begin);
		for (posted.answered = false; !posted.answered;)
			link_read(&poster, on_answer, &posted);
		at += FRAME_HEADER + length;
	}
	link_close(&poster);
	link_close(&watcher);
	return n;
}
