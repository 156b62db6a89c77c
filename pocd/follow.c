#include "pocd/follow.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/libpoc/transport.h"
#include "pocd/base/clock.h"
#include "pocd/base/diag.h"
#include "pocd/base/metrics.h"
#include "pocd/directory/holders.h"
#include "pocd/directory/intake.h"
#include "pocd/directory/quorum.h"
#include "proto/rules/users.h"
#include "proto/wire/frame.h"
#include "proto/wire/prescan.h"

enum {
	ANSWER_MS = 20000, /* for one answer */
	SLICE_MS = 250,    /* how soon a stop is seen */
	WAIT_MS = 60000,   /* without news: then it is asked for, which also keeps the connection */
	RETRY_MIN_MS = 200,
	RETRY_MAX_MS = 5000
};

/* What the thread has done so far, and the CPU time that it took. */
struct work {
	struct intake_work intake;
	uint64_t cpu_ns;
};

struct follow {
	struct follow_options options;
	struct transport_context *context;
	struct intake *intake;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop; /* under lock */

	/* the thread's own */
	struct transport *transport;
	struct refusal why;
	uint64_t signed_number;          /* of the publication that was signed last */
	bool greeted, connected;         /* connected: the log says so */
	bool clock_said;                 /* the log says that the clocks differ */
	int refused;                     /* status of the last trouble, for the log */
	struct work begun;               /* as it was when there was something to catch up with */
	char auditor[NOTE_NAME_MAX + 1]; /* our name in T; empty: none */
	bool leaves;                     /* it stands in the T of what is served, not in the newest one */
};

static bool stopped(struct follow *f)
{
	pthread_mutex_lock(&f->lock);
	bool stop = f->stop;
	pthread_mutex_unlock(&f->lock);
	return stop;
}

static int64_t soon(void)
{
	return transport_clock() + ANSWER_MS;
}

/* ---- Requests */

static int receive(struct follow *f, uint32_t id, Poc__Response__BodyCase wanted, Poc__Response **answer)
{
	int status = transport_receive(f->transport, id, soon(), answer, &f->why);

	if (status == 0 && (*answer)->body_case != wanted)
		status = refuse(&f->why, STATUS_MALFORMED, "", "the server answers something else");
	if (status != 0) {
		message_free(*answer);
		*answer = NULL;
	}
	return status;
}

static int greet(struct follow *f)
{
	Poc__Hello hello = POC__HELLO__INIT;
	Poc__Request request = POC__REQUEST__INIT;
	Poc__Response *answer;
	const struct hash *id = directory_id(f->options.directory);
	uint32_t number;

	hello.directory_id = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)id->bytes};
	hello.protocol = PROTOCOL_VERSION;
	hello.state = (char *)f->options.state;
	hello.software = (char *)"pocd " POCD_VERSION;
	request.body_case = POC__REQUEST__BODY_HELLO;
	request.hello = &hello;
	int status = transport_send(f->transport, &request, &number, soon(), &f->why);
	if (status == 0)
		status = receive(f, number, POC__RESPONSE__BODY_HELLO, &answer);
	if (status == 0)
		message_free(answer);
	return status;
}

static int send_follow(struct follow *f, uint64_t from, bool with_note, uint32_t *id)
{
	Poc__Follow follow = POC__FOLLOW__INIT;
	Poc__Request request = POC__REQUEST__INIT;
	struct snapshot *tip = ledger_tip(directory_ledger(f->options.directory));

	if (tip != NULL) {
		follow.size = tip->checkpoint.size;
		follow.root = (ProtobufCBinaryData){HASH_SIZE, tip->checkpoint.root.bytes};
		if (with_note)
			follow.note = (ProtobufCBinaryData){tip->note_size, (uint8_t *)tip->note};
	}
	follow.from = from > follow.size ? from : 0;
	follow.auditor = f->auditor;
	if (f->options.auditor != NULL) {
		const struct public_key *key = keystore_public(f->options.auditor);
		follow.key = (ProtobufCBinaryData){key->spki_size, (uint8_t *)key->spki};
	}
	request.body_case = POC__REQUEST__BODY_FOLLOW;
	request.follow = &follow;
	int status = transport_send(f->transport, &request, id, soon(), &f->why);
	snapshot_unref(tip);
	return status;
}

/* ---- Signing */

/* STATE time against our clock: what lies in the past or future by more than the tolerance is not signed. */
static bool clock_agrees(struct follow *f, const struct snapshot *tip)
{
	int64_t off = (int64_t)(clock_now_ms(NULL) / 1000) - (int64_t)(tip->time_ms / 1000);
	bool agrees = off <= COSIGNATURE_TOLERANCE && off >= -COSIGNATURE_TOLERANCE;

	if (!agrees && off < 0 && !f->clock_said)
		diag(DIAG_ERROR, "follow.clock", "ahead", diag_number((uint64_t)-off), "error",
		     "the checkpoint lies in the future by our clock: it is not signed", NULL);
	f->clock_said = !agrees && off < 0;
	return agrees;
}

static int make_signature(struct follow *f, const struct snapshot *tip, uint8_t out[COSIGNATURE_SIZE])
{
	char text[NOTE_MAX], message[NOTE_MAX + 64];
	uint8_t signature[SIGNATURE_MAX];
	size_t size = 0;
	uint64_t now = clock_now_ms(NULL) / 1000;
	long text_size = checkpoint_format(&tip->checkpoint, text, sizeof text);
	long n = text_size > 0 ? note_cosignature_message(now, text, (size_t)text_size, message, sizeof message) : -1;

	if (n < 0)
		return refuse(&f->why, STATUS_TOO_LARGE, "", "the checkpoint is too large");
	int status = keystore_sign(f->options.auditor, (const uint8_t *)message, (size_t)n, signature, &size);
	if (status != 0 || size != COSIGNATURE_SIZE - 8)
		return refuse(&f->why, STATUS_FAILED, "follow.key", "the auditor's key does not sign");
	for (unsigned i = 0; i < 8; i++)
		out[i] = (uint8_t)(now >> (56 - 8 * i));
	memcpy(out + 8, signature, COSIGNATURE_SIZE - 8);
	return 0;
}

static int hand_in(struct follow *f, const struct snapshot *tip)
{
	Poc__Cosign cosign = POC__COSIGN__INIT;
	Poc__Request request = POC__REQUEST__INIT;
	Poc__Response *answer;
	uint8_t signature[COSIGNATURE_SIZE];
	uint32_t id;
	int status = make_signature(f, tip, signature);

	if (status != 0)
		return status;
	cosign.auditor = f->auditor;
	cosign.size = tip->checkpoint.size;
	cosign.signature = (ProtobufCBinaryData){sizeof signature, signature};
	request.body_case = POC__REQUEST__BODY_COSIGN;
	request.cosign = &cosign;
	status = transport_send(f->transport, &request, &id, soon(), &f->why);
	if (status == 0)
		status = receive(f, id, POC__RESPONSE__BODY_COSIGN, &answer);
	if (status == 0) {
		message_free(answer);
		metric_add(METRIC_COSIGNATURES, 1);
	}
	f->signed_number = tip->number;
	/* it has moved on: so shall we; or to a T that does without us, before we heard of it */
	bool late = status == STATUS_CONFLICT || (status == STATUS_UNVERIFIED && f->leaves);
	return late && transport_usable(f->transport) ? 0 : status;
}

/* Our name, by the newest T; else by that of what is served, whose quorum the first checkpoint with a new T needs. */
static void find_name(struct follow *f)
{
	const struct public_key *key = f->options.auditor != NULL ? keystore_public(f->options.auditor) : NULL;
	const char *name = key != NULL ? intake_auditor(f->intake, key) : NULL;
	struct snapshot *served = ledger_snapshot(directory_ledger(f->options.directory));

	f->leaves = false;
	if (name == NULL && key != NULL && served != NULL) {
		const Poc__Auditor *auditor =
		    quorum_auditor_by_key(holders_of(served)->trust->envelope->payload.trust, key);
		name = auditor != NULL ? auditor->name : NULL;
		f->leaves = name != NULL;
	}
	snprintf(f->auditor, sizeof f->auditor, "%s", name != NULL ? name : "");
	snapshot_unref(served);
}

/* The tip is durable, consistent with all before it and judged: what is signed is what was stored. */
static int cosign(struct follow *f)
{
	struct snapshot *tip = ledger_tip(directory_ledger(f->options.directory));
	int status = 0;

	find_name(f);
	if (f->auditor[0] != '\0' && tip != NULL && tip->number != f->signed_number && clock_agrees(f, tip))
		status = hand_in(f, tip);
	snapshot_unref(tip);
	return status;
}

/* ---- A session */

/* By its pin, or because the copy that we have lists it. */
static bool accepted(struct follow *f)
{
	const struct hash *pin = transport_pin(f->transport);

	if (f->options.server_pin != NULL && hash_compare(f->options.server_pin, pin) == 0)
		return true;
	struct snapshot *snapshot = ledger_snapshot(directory_ledger(f->options.directory));
	bool listed = false;
	if (snapshot != NULL) {
		const struct held_users *held = holders_users(holders_of(snapshot), "U/" STATE_DIRECTORY);
		const Poc__User *user =
		    held != NULL && held->valid ? users_find(held->users->envelope->payload.users, pin) : NULL;
		listed = user != NULL && user_has_role(user, POC__ROLE__ROLE_SERVER) &&
			 !user_expired(user, (int64_t)(snapshot->time_ms / 1000));
	}
	snapshot_unref(snapshot);
	return listed;
}

static struct work work_done(const struct follow *f)
{
	return (struct work){intake_work(f->intake), toll_clock()};
}

static void said_good(struct follow *f)
{
	if (!f->connected || f->refused != 0) {
		const struct work now = work_done(f), *begun = &f->begun;
		diag(DIAG_INFO, "follow.connected", "server", f->options.server, "auditor",
		     f->auditor[0] != '\0' ? f->auditor : "-", "leaves",
		     diag_number(now.intake.leaves - begun->intake.leaves), "cpu_ms",
		     diag_number((now.cpu_ns - begun->cpu_ns) / 1000000), "signatures",
		     diag_number(now.intake.toll.signatures - begun->intake.toll.signatures), "signatures_cpu_ms",
		     diag_number((now.intake.toll.cpu_ns - begun->intake.toll.cpu_ns) / 1000000), NULL);
	}
	f->connected = true;
	f->refused = 0;
}

/* What is wrong with the log itself, and not with the way to it, is an alarm: somebody has to look. */
static bool is_alarm(int status)
{
	return status == STATUS_UNVERIFIED || status == STATUS_CONFLICT || status == STATUS_DAMAGED ||
	       status == STATUS_DIRECTORY || status == STATUS_INVALID || status == STATUS_BEHIND;
}

static void said_bad(struct follow *f, int status)
{
	bool alarm = is_alarm(status);

	if (alarm)
		metric_add(METRIC_FOLLOW_REFUSED, 1);
	if (f->refused != status && alarm)
		diag(DIAG_ERROR, "follow.refused", "server", f->options.server, "error", f->why.message, "kept",
		     "what was verified before; nothing is signed", NULL);
	else if (f->refused != status)
		diag(DIAG_WARNING, "follow.lost", "server", f->options.server, "error", f->why.message, NULL);
	f->refused = status;
	f->connected = false;
}

static int take_page(struct follow *f, const Poc__FollowAnswer *page, bool *more)
{
	bool moved;

	*more = page->n_leaves > 0 && intake_size(f->intake) + page->n_leaves < page->size;
	if (page->size < intake_size(f->intake))
		return refuse(&f->why, STATUS_BEHIND, "", "the server's log has %llu leaves, ours %llu",
			      (unsigned long long)page->size, (unsigned long long)intake_size(f->intake));
	int status = intake_page(f->intake, page, &moved, &f->why);
	if (moved && f->options.moved != NULL)
		f->options.moved(f->options.moved_ctx);
	return status;
}

/* All pages up to the server's newest checkpoint.  The next one is asked for before one is judged. */
static int catch_up(struct follow *f, bool first)
{
	uint32_t id;
	int status = send_follow(f, intake_size(f->intake), first, &id);

	for (bool more = true; status == 0 && more;) {
		Poc__Response *answer;
		status = receive(f, id, POC__RESPONSE__BODY_FOLLOW, &answer);
		if (status != 0)
			return status;
		const Poc__FollowAnswer *page = answer->follow;
		uint64_t next = intake_size(f->intake) + page->n_leaves;
		if (page->n_leaves > 0 && next < page->size)
			status = send_follow(f, next, false, &id);
		if (status == 0)
			status = take_page(f, page, &more);
		message_free(answer);
		if (stopped(f))
			return status;
	}
	return status;
}

/* The session is over: what was judged is of use. */
static void settle(struct follow *f)
{
	struct refusal why; /* what keeps it from being stored is met again with the next page */
	bool moved = false;

	(void)intake_settle(f->intake, &moved, &why);
	if (moved && f->options.moved != NULL)
		f->options.moved(f->options.moved_ctx);
}

static int wait_for_news(struct follow *f)
{
	int64_t end = transport_clock() + WAIT_MS;
	bool seen = false;
	int status = 0;

	while (status == 0 && !seen && !stopped(f) && transport_clock() < end)
		status = transport_wait_event(f->transport, transport_clock() + SLICE_MS, &seen, &f->why);
	return status;
}

static int follow_once(struct follow *f)
{
	int status = transport_open(f->context, f->options.server, soon(), &f->transport, &f->why);

	if (status == 0 && !accepted(f))
		status = refuse(&f->why, STATUS_DENIED, "follow.server_pin",
				"%s is not the server that is to be followed", f->options.server);
	if (status == 0)
		status = greet(f);
	f->signed_number = 0;
	for (bool first = true; status == 0 && !stopped(f); first = false) {
		char before[sizeof f->auditor];
		memcpy(before, f->auditor, sizeof before);
		status = catch_up(f, first);
		if (status == 0)
			status = cosign(f);
		if (status == 0)
			said_good(f);
		if (status == 0 && strcmp(before, f->auditor) != 0)
			continue; /* now we know our name: the server shall hear it */
		if (status == 0)
			status = wait_for_news(f);
	}
	settle(f);
	transport_close(f->transport);
	f->transport = NULL;
	return status;
}

static void rest(struct follow *f, uint64_t ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += (time_t)(ms / 1000);
	at.tv_nsec += (long)(ms % 1000) * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&f->lock);
	while (!f->stop && pthread_cond_timedwait(&f->wake, &f->lock, &at) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&f->lock);
}

static void *run(void *ctx)
{
	struct follow *f = ctx;
	uint64_t wait = RETRY_MIN_MS;

	(void)pthread_setname_np(pthread_self(), "pocd-follow");
	f->begun = work_done(f);
	while (!stopped(f)) {
		f->why = (struct refusal){0};
		int status = follow_once(f);
		bool was_connected = f->connected;
		if (was_connected)
			f->begun = work_done(f);
		if (status != 0 && !stopped(f))
			said_bad(f, status);
		if (was_connected)
			wait = RETRY_MIN_MS;
		rest(f, wait);
		wait = wait * 2 < RETRY_MAX_MS ? wait * 2 : RETRY_MAX_MS;
	}
	return NULL;
}

/* ---- Lifetime */

int follow_create(const struct follow_options *options, struct follow **out, struct refusal *why)
{
	struct follow *f = calloc(1, sizeof *f);
	pthread_condattr_t monotonic;

	*out = NULL;
	if (f == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	f->options = *options;
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&f->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	int status = transport_context_create(options->certificate, options->key, &f->context, why);
	if (status == 0)
		status = intake_create(directory_ledger(options->directory), options->store,
				       directory_id(options->directory), &f->intake, why);
	if (status != 0) {
		follow_destroy(f);
		return status;
	}
	find_name(f);
	*out = f;
	return 0;
}

int follow_start(struct follow *f)
{
	if (pthread_create(&f->thread, NULL, run, f) != 0)
		return STATUS_FAILED;
	f->running = true;
	return 0;
}

void follow_destroy(struct follow *f)
{
	if (f == NULL)
		return;
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
	if (f->running)
		pthread_join(f->thread, NULL);
	intake_destroy(f->intake);
	transport_context_destroy(f->context);
	pthread_cond_destroy(&f->wake);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
