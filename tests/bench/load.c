/* load: the one load generator for floor and daemon.
 *
 *   load lookup    --seconds S [--connections C] [--outstanding O] [--rate R | --walk] [--check]
 *   load handshake --seconds S      one full handshake with Hello after the other, by all users in turn
 *   load idle      --connections C  greets, then holds the connections
 *   load publish   --frames FILE [--connections C] [--outstanding O]
 *   load post      --frames FILE [--connections C] [--outstanding O]     notices, as the world's poster
 *   load flood     --frames FILE --seconds S [--connections C] [--outstanding O]     the same ones again and again,
 * which the server refuses load alert     --frames FILE    a notice after the other; measures until a watcher of its
 * desk is told each with --server ADDRESS --world FOLDER, and --floor when the server is the floor.
 *
 * It prints "ready" once connected, waits for a line on stdin, measures, prints one JSON line, and closes when stdin
 * ends: so the caller can read the server's counters exactly around the measurement.  An error answer (but to a flood),
 * or one that is too small to hold a record and its proofs, ends it with status 1. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "proto/wire/encode.h"
#include "proto/wire/frame.h"
#include "proto/wire/poc.pb-c.h"
#include "tests/bench/alert.h"
#include "tests/bench/latency.h"
#include "tests/bench/link.h"

enum { OUTSTANDING_MAX = 64, PLACE_SIZE = 44, ANSWER_LEAST = 500, TICK_NS = 100000, EVENTS = 64 };

struct options {
	const char *mode, *server, *world, *frames;
	double seconds, rate; /* rate 0: as fast as answers come */
	enum link_answer wanted;
	size_t connections, outstanding;
	bool floor, walk, check;
};

/* One connection and its requests under way: request id - 1 is the slot. */
struct lane {
	struct link link;
	struct run *run;
	size_t free_slots[OUTSTANDING_MAX], n_free;
	uint64_t since[OUTSTANDING_MAX]; /* when the request was sent, or should have been */
	size_t place[OUTSTANDING_MAX];
	const uint8_t *frame, *frames, *frames_end; /* what this lane sends next, of all that it sends */
};

struct run {
	const struct options *options;
	struct link_target target;
	char (*places)[PLACE_SIZE];
	size_t n_places, next_place;
	uint64_t random;
	struct lane *lanes;
	int epoll, timer;
	uint64_t begin, end, now;
	uint64_t offered; /* requests whose time has come, with a rate */
	uint64_t sent, answers, refused, bytes;
	size_t next_lane;
	struct latency latency;
};

/* ---- Requests */

static uint64_t next_random(struct run *run)
{
	run->random ^= run->random << 13;
	run->random ^= run->random >> 7;
	run->random ^= run->random << 17;
	return run->random;
}

static void put_lookup(struct lane *lane, size_t slot, const char *place)
{
	uint8_t body[PLACE_SIZE + 16] = {1 << 3 | 2}, message[PLACE_SIZE + 32] = {1 << 3 | 5};
	size_t length = strlen(place), n = 1, m = 1;

	body[n++] = (uint8_t)length;
	memcpy(body + n, place, length);
	n += length;
	if (lane->link.checkpoint_size > 0) {
		body[n++] = 2 << 3 | 0;
		n += varint_put(body + n, lane->link.checkpoint_size);
	}
	for (unsigned i = 0; i < 4; i++)
		message[m++] = (uint8_t)((slot + 1) >> 8 * i);
	message[m++] = 4 << 3 | 2;
	message[m++] = (uint8_t)n; /* below 128 */
	memcpy(message + m, body, n);
	link_put(&lane->link, message, m + n);
}

/* Puts the next request of a lane that has a free slot; false if there is nothing more to ask. */
static bool put_request(struct lane *lane, uint64_t since)
{
	struct run *run = lane->run;
	size_t place = run->options->walk ? run->next_place++ : next_random(run) % run->n_places;

	if (place >= run->n_places)
		return false;
	size_t slot = lane->free_slots[--lane->n_free];
	lane->since[slot] = since;
	lane->place[slot] = place;
	put_lookup(lane, slot, run->places[place]);
	run->sent++;
	return true;
}

/* A frame of the file, its id replaced. */
static bool put_frame(struct lane *lane)
{
	bool flood = lane->run->options->wanted == ANSWER_ERROR && lane->run->now < lane->run->end;

	if (lane->frame == lane->frames_end && flood)
		lane->frame = lane->frames;
	if (lane->frame == lane->frames_end)
		return false;
	int32_t size = frame_get_header(lane->frame, FRAME_MAX_POST);
	uint8_t *message = malloc((size_t)size);
	if (message == NULL)
		link_fail("out of memory", "");
	size_t slot = lane->free_slots[--lane->n_free];
	memcpy(message, lane->frame + FRAME_HEADER, (size_t)size);
	for (unsigned i = 0; i < 4; i++)
		message[1 + i] = (uint8_t)((slot + 1) >> 8 * i);
	lane->since[slot] = lane->run->now;
	link_put(&lane->link, message, (size_t)size);
	free(message);
	lane->frame += FRAME_HEADER + (size_t)size;
	lane->run->sent++;
	return true;
}

/* Offers what is due by now to the lanes in turn; what finds no free slot stays due. */
static void offer(struct run *run)
{
	const struct options *options = run->options;
	uint64_t due = (uint64_t)((double)(run->now - run->begin) / 1e9 * options->rate);

	for (size_t tried = 0; run->offered < due && tried < options->connections;) {
		struct lane *lane = &run->lanes[run->next_lane++ % options->connections];
		tried = lane->n_free > 0 ? 0 : tried + 1;
		if (lane->n_free == 0)
			continue;
		put_request(lane, run->begin + (uint64_t)((double)++run->offered / options->rate * 1e9));
		link_send(&lane->link);
	}
}

static void fill(struct lane *lane)
{
	const struct run *run = lane->run;

	if (run->options->rate > 0)
		return;
	while (lane->n_free > 0 && (run->options->frames != NULL ? put_frame(lane) : put_request(lane, run->now)))
		;
	link_send(&lane->link);
}

/* ---- Answers */

/* A whole answer as a client would want it: R with envelope and sections, K with its value, both with map proofs. */
static void check_content(const uint8_t *message, size_t size, const char *place)
{
	Poc__Response *response = poc__response__unpack(NULL, size, message);
	Poc__Proof *proof = poc__proof__unpack(NULL, response->proof.len, response->proof.data);
	bool keys = false, record = false;

	for (size_t i = 0; proof != NULL && i < proof->n_items; i++) {
		const Poc__Item *item = proof->items[i];
		keys |= strncmp(item->name, "K/", 2) == 0 && strncmp(item->name + 2, place, 2) == 0 &&
			item->map != NULL && item->value.len > 0;
		record |= strncmp(item->name, "R/", 2) == 0 && strcmp(item->name + 2, place) == 0 &&
			  item->map != NULL && item->n_envelopes == 1 && item->n_sections > 0;
	}
	if (!keys || !record)
		link_fail("an answer without its record, its keys or their proofs", place);
	poc__proof__free_unpacked(proof, NULL);
	poc__response__free_unpacked(response, NULL);
}

static void on_answer(void *ctx, const uint8_t *message, size_t size)
{
	struct lane *lane = ctx;
	struct run *run = lane->run;
	bool lookup = run->options->wanted == ANSWER_PROOF;
	size_t slot = (size_t)link_check(message, size, run->options->wanted) - 1;

	if (slot >= OUTSTANDING_MAX || lane->since[slot] == 0 || (lookup && size < ANSWER_LEAST))
		link_fail("an answer that nobody asked for, or that is too small", "");
	latency_add(&run->latency, run->now - lane->since[slot]);
	lane->since[slot] = 0;
	lane->free_slots[lane->n_free++] = slot;
	run->answers++;
	run->refused += message[LINK_ID_SIZE] == ANSWER_ERROR;
	run->bytes += size;
	if (run->options->check)
		check_content(message, size, run->places[lane->place[slot]]);
}

/* ---- Running */

static void lane_open(struct run *run, size_t i)
{
	struct lane *lane = &run->lanes[i];
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = lane};

	lane->run = run;
	link_open(&lane->link, &run->target, &run->target.users[i % run->target.n_users]);
	for (size_t slot = run->options->outstanding; slot-- > 0;)
		lane->free_slots[lane->n_free++] = slot;
	if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, lane->link.fd, &event) != 0)
		link_fail("epoll", strerror(errno));
}

static void wait_for_line(void)
{
	char line[16];

	if (fgets(line, sizeof line, stdin) == NULL)
		exit(1);
}

static void wait_for_end(void)
{
	while (getchar() != EOF)
		;
}

static void say_ready(void)
{
	puts("ready");
	fflush(stdout);
	wait_for_line();
}

/* Ticks let a fixed rate go on while no answer comes. */
static void start_timer(struct run *run)
{
	struct itimerspec every = {{0, TICK_NS}, {0, TICK_NS}};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	run->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (run->timer < 0 || timerfd_settime(run->timer, 0, &every, NULL) != 0 ||
	    epoll_ctl(run->epoll, EPOLL_CTL_ADD, run->timer, &event) != 0)
		link_fail("timer", strerror(errno));
}

static void on_timer(struct run *run)
{
	uint64_t ticks;

	if (read(run->timer, &ticks, sizeof ticks) == sizeof ticks)
		offer(run);
}

static bool finished(const struct run *run)
{
	if (run->options->walk || run->options->frames != NULL)
		return run->answers == run->sent;
	return run->now >= run->end;
}

static void turn(struct run *run)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(run->epoll, events, EVENTS, 1000);

	for (int i = 0; i < n; i++) {
		struct lane *lane = events[i].data.ptr;
		run->now = latency_now();
		if (lane == NULL) {
			on_timer(run);
			continue;
		}
		link_read(&lane->link, on_answer, lane);
		fill(lane);
	}
	run->now = latency_now();
}

static void report(const struct run *run, uint64_t took)
{
	const struct latency *latency = &run->latency;

	printf("{\"answers\": %llu, \"refused\": %llu, \"seconds\": %.6f, \"bytes\": %.1f, \"p50_us\": %.2f, "
	       "\"p99_us\": %.2f, "
	       "\"p999_us\": %.2f, \"max_us\": %.2f}\n",
	       (unsigned long long)run->answers, (unsigned long long)run->refused, (double)took / 1e9,
	       run->answers > 0 ? (double)run->bytes / (double)run->answers : 0,
	       (double)latency_percentile(latency, 50) / 1e3, (double)latency_percentile(latency, 99) / 1e3,
	       (double)latency_percentile(latency, 99.9) / 1e3, (double)latency_percentile(latency, 100) / 1e3);
	fflush(stdout);
}

static void run_lanes(struct run *run)
{
	const struct options *options = run->options;

	say_ready();
	run->begin = run->now = latency_now();
	run->end = run->begin + (uint64_t)(options->seconds * 1e9);
	if (options->rate > 0)
		start_timer(run);
	for (size_t i = 0; i < options->connections; i++)
		fill(&run->lanes[i]);
	do
		turn(run);
	while (!finished(run));
	uint64_t took = run->now - run->begin;
	latency_sort(&run->latency);
	report(run, took);
}

static void open_lanes(struct run *run)
{
	for (size_t i = 0; i < run->options->connections; i++)
		lane_open(run, i);
}

static void close_lanes(struct run *run)
{
	for (size_t i = 0; i < run->options->connections; i++) {
		if (run->lanes[i].link.ssl != NULL)
			link_close(&run->lanes[i].link);
	}
}

/* ---- Modes */

static void do_lookup(struct run *run)
{
	open_lanes(run);
	run_lanes(run);
	wait_for_end();
}

static void do_idle(struct run *run)
{
	open_lanes(run);
	say_ready();
	report(run, 0);
	wait_for_end();
}

static void do_handshake(struct run *run)
{
	struct link link;

	say_ready();
	run->begin = run->now = latency_now();
	run->end = run->begin + (uint64_t)(run->options->seconds * 1e9);
	while (run->now < run->end) {
		uint64_t before = run->now;
		link_open(&link, &run->target, &run->target.users[run->answers++ % run->target.n_users]);
		link_close(&link);
		run->now = latency_now();
		latency_add(&run->latency, run->now - before);
	}
	latency_sort(&run->latency);
	report(run, run->now - run->begin);
	wait_for_end();
}

static uint8_t *read_file(const char *path, size_t *size)
{
	struct stat st;
	FILE *file = fopen(path, "rb");

	if (file == NULL || fstat(fileno(file), &st) != 0)
		link_fail(path, strerror(errno));
	uint8_t *bytes = malloc((size_t)st.st_size + 1);
	if (bytes == NULL || fread(bytes, 1, (size_t)st.st_size, file) != (size_t)st.st_size)
		link_fail(path, "cannot be read");
	fclose(file);
	*size = (size_t)st.st_size;
	return bytes;
}

/* Deals the frames out to the lanes in equal shares, each a run of its own. */
static void deal_frames(struct run *run, const uint8_t *bytes, size_t size)
{
	size_t n = 0, dealt = 0, lanes = run->options->connections;
	const uint8_t *end = bytes + size;

	for (const uint8_t *at = bytes; at < end; n++)
		at += FRAME_HEADER + frame_get_header(at, FRAME_MAX_POST);
	const uint8_t *at = bytes;
	for (size_t i = 0; i < lanes; i++) {
		run->lanes[i].frame = run->lanes[i].frames = at;
		for (; dealt < n * (i + 1) / lanes; dealt++)
			at += FRAME_HEADER + frame_get_header(at, FRAME_MAX_POST);
		run->lanes[i].frames_end = at;
	}
}

static void do_publish(struct run *run)
{
	size_t size;
	uint8_t *bytes = read_file(run->options->frames, &size);

	open_lanes(run);
	deal_frames(run, bytes, size);
	run_lanes(run);
	wait_for_end();
	free(bytes);
}

static void do_alert(struct run *run)
{
	struct link_target watchers;
	size_t size;
	uint8_t *bytes = read_file(run->options->frames, &size);

	link_target_init(&watchers, run->options->server, run->options->world, "watchers.txt", false);
	say_ready();
	run->begin = latency_now();
	run->answers = alert_measure(&run->target, &watchers, bytes, size, &run->latency);
	uint64_t took = latency_now() - run->begin;
	latency_sort(&run->latency);
	report(run, took);
	wait_for_end();
	link_target_finish(&watchers);
	free(bytes);
}

static void read_places(struct run *run)
{
	char path[4096];
	size_t capacity = 0;

	snprintf(path, sizeof path, "%s/places.txt", run->options->world);
	FILE *file = fopen(path, "r");
	if (file == NULL)
		link_fail(path, strerror(errno));
	for (char place[PLACE_SIZE]; fscanf(file, "%43s", place) == 1; run->n_places++) {
		if (run->n_places == capacity) {
			capacity = capacity > 0 ? 2 * capacity : 1024;
			run->places = realloc(run->places, capacity * sizeof *run->places);
			if (run->places == NULL)
				link_fail("out of memory", "");
		}
		memcpy(run->places[run->n_places], place, PLACE_SIZE);
	}
	fclose(file);
	if (run->n_places == 0)
		link_fail(path, "names no place");
}

/* ---- Options */

static const struct option long_options[] = {{"server", required_argument, NULL, 'a'},
					     {"world", required_argument, NULL, 'w'},
					     {"seconds", required_argument, NULL, 's'},
					     {"connections", required_argument, NULL, 'c'},
					     {"outstanding", required_argument, NULL, 'o'},
					     {"rate", required_argument, NULL, 'r'},
					     {"frames", required_argument, NULL, 'f'},
					     {"floor", no_argument, NULL, 'F'},
					     {"walk", no_argument, NULL, 'W'},
					     {"check", no_argument, NULL, 'C'},
					     {0}};

static void take_option(struct options *options, int c)
{
	switch (c) {
	case 'a':
		options->server = optarg;
		break;
	case 'w':
		options->world = optarg;
		break;
	case 's':
		options->seconds = strtod(optarg, NULL);
		break;
	case 'c':
		options->connections = strtoul(optarg, NULL, 10);
		break;
	case 'o':
		options->outstanding = strtoul(optarg, NULL, 10);
		break;
	case 'r':
		options->rate = strtod(optarg, NULL);
		break;
	case 'f':
		options->frames = optarg;
		break;
	case 'F':
		options->floor = true;
		break;
	case 'W':
		options->walk = true;
		break;
	case 'C':
		options->check = true;
		break;
	default:
		exit(2);
	}
}

static void usage(void)
{
	fputs("usage: load lookup|handshake|idle|publish|post|flood|alert --server ADDRESS --world FOLDER [...]\n",
	      stderr);
	exit(2);
}

static void read_options(int argc, char **argv, struct options *options)
{
	*options = (struct options){.connections = 1, .outstanding = 1, .seconds = 1};
	for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;)
		take_option(options, c);
	if (optind + 1 != argc || options->server == NULL || options->world == NULL || options->outstanding == 0 ||
	    options->outstanding > OUTSTANDING_MAX || options->connections == 0)
		usage();
	options->mode = argv[optind];
}

static const struct mode {
	const char *name;
	void (*run)(struct run *);
	enum link_answer wanted;
	const char *clients;
	bool frames; /* whether it takes some */
} modes[] = {{"lookup", do_lookup, ANSWER_PROOF, "clients.txt", false},
	     {"handshake", do_handshake, ANSWER_HELLO, "clients.txt", false},
	     {"idle", do_idle, ANSWER_HELLO, "clients.txt", false},
	     {"publish", do_publish, ANSWER_SUBMIT, "clients.txt", true},
	     {"post", do_publish, ANSWER_POST, "posters.txt", true},
	     {"flood", do_publish, ANSWER_ERROR, "posters.txt", true},
	     {"alert", do_alert, ANSWER_POST, "posters.txt", true}};

static const struct mode *find_mode(const struct options *options)
{
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		if (strcmp(options->mode, modes[i].name) == 0 && modes[i].frames == (options->frames != NULL))
			return &modes[i];
	}
	usage();
	return NULL;
}

int main(int argc, char **argv)
{
	struct options options;
	struct rlimit files;

	read_options(argc, argv, &options);
	const struct mode *mode = find_mode(&options);
	options.wanted = mode->wanted;
	struct run run = {.options = &options, .random = 0x9e3779b97f4a7c15U ^ (uint64_t)getpid() << 20};
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	link_target_init(&run.target, options.server, options.world, mode->clients, options.floor);
	read_places(&run);
	run.lanes = calloc(options.connections, sizeof *run.lanes);
	run.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (run.lanes == NULL || run.epoll < 0)
		link_fail("out of memory", "");
	mode->run(&run);
	close_lanes(&run);
	latency_finish(&run.latency);
	link_target_finish(&run.target);
	free(run.lanes);
	free(run.places);
	return 0;
}
