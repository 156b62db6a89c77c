/* Writes: queued for the writer, answered from its thread by way of the client's loop. */
#include <stdlib.h>
#include <string.h>

#include "pocd/base/diag.h"
#include "pocd/base/metrics.h"
#include "pocd/handlers/dispatch.h"

enum { WRITES_MAX = 64 };

/* One Submit under way. */
struct pending {
	struct session *session; /* lives as long as the peer's memory, which is held */
	void *peer;
	const struct session_ops *ops;
	uint32_t id;
	int status;
	struct refusal why;
	struct hash current;
	uint64_t current_seq, checkpoint_size;
	size_t write, n;
	struct change_result results[];
};

static void send_results(struct pending *p)
{
	Poc__SubmitAnswer answer = POC__SUBMIT_ANSWER__INIT;
	Poc__WriteResult results[WRITES_MAX], *pointers[WRITES_MAX];

	for (size_t i = 0; i < p->n; i++) {
		poc__write_result__init(&results[i]);
		results[i].name = p->results[i].name;
		results[i].seq = p->results[i].seq;
		results[i].value = (ProtobufCBinaryData){HASH_SIZE, p->results[i].value.bytes};
		results[i].leaf = p->results[i].leaf;
		results[i].stored_ms = (int64_t)p->results[i].stored_ms;
		results[i].repeated = p->results[i].repeated;
		pointers[i] = &results[i];
	}
	answer.results = pointers;
	answer.n_results = p->n;
	answer.checkpoint_size = p->checkpoint_size;
	dispatch_message(p->session, p->id, RESPONSE_SUBMIT, &answer);
}

static void send_refusal(struct pending *p)
{
	Poc__Error error = POC__ERROR__INIT;

	metric_add(METRIC_REQUESTS_REFUSED, 1);
	error.code = (uint32_t)p->status;
	error.message = p->why.message;
	error.field = p->why.field;
	error.may_retry = status_may_retry(p->status);
	error.retry_after_ms = !error.may_retry ? 0 : p->why.retry_ms > 0 ? p->why.retry_ms : 1000;
	error.write = (uint32_t)p->write;
	if (p->status == STATUS_CONFLICT) {
		error.current = (ProtobufCBinaryData){HASH_SIZE, p->current.bytes};
		error.current_seq = p->current_seq;
	}
	dispatch_message(p->session, p->id, RESPONSE_ERROR, &error);
}

static void log_outcome(const struct pending *p)
{
	bool good = p->status == 0;

	diag(good ? DIAG_DEBUG : DIAG_INFO, good ? "change.stored" : "change.refused", "peer", p->ops->name(p->peer),
	     "state", p->session->principal.state, "handle", p->session->principal.handle, "writes", diag_number(p->n),
	     "name", good && p->n > 0 ? p->results[0].name : NULL, "error", good ? NULL : p->why.message, NULL);
}

/* On the client's loop. */
static void answer_pending(void *arg)
{
	struct pending *p = arg;

	if (p->ops->open(p->peer)) {
		p->session->writes--;
		log_outcome(p);
		if (p->status == 0)
			send_results(p);
		else
			send_refusal(p);
	}
	p->ops->hold(p->peer, -1);
	free(p);
}

/* On the writer's thread. */
static void on_done(void *ctx, const struct change_outcome *outcome)
{
	struct pending *p = ctx;

	p->status = outcome->status;
	p->checkpoint_size = outcome->checkpoint_size;
	if (outcome->status == 0 && outcome->n <= p->n) {
		p->n = outcome->n;
		memcpy(p->results, outcome->results, outcome->n * sizeof *outcome->results);
	} else if (outcome->why != NULL) {
		p->why = *outcome->why;
	}
	p->current = outcome->current;
	p->current_seq = outcome->current_seq;
	p->write = outcome->write;
	if (p->ops->post(p->peer, answer_pending, p) != 0)
		abort(); /* out of memory for sixteen bytes: an answer would be lost for good */
}

int handle_submit(struct session *session, uint32_t id, const Poc__Submit *request, struct refusal *why)
{
	struct change_write writes[WRITES_MAX];
	size_t n = request->n_writes;

	if (n == 0 || n > WRITES_MAX)
		return refuse(why, STATUS_INVALID, "submit.writes", "1 to %d writes", WRITES_MAX);
	if (session->writes >= DISPATCH_WRITES_MAX)
		return refuse(why, STATUS_BUSY, "submit", "%d writes of this connection are under way already",
			      DISPATCH_WRITES_MAX);
	for (size_t i = 0; i < n; i++) {
		const Poc__Write *w = request->writes[i];
		writes[i] = (struct change_write){w->envelope.data, w->envelope.len, w->n_sections, w->sections};
	}
	struct pending *p = calloc(1, sizeof *p + n * sizeof p->results[0]);
	if (p == NULL)
		return refuse(why, STATUS_NO_MEMORY, "submit", "out of memory");
	p->session = session;
	p->peer = session->peer;
	p->ops = session->ops;
	p->id = id;
	p->n = n;
	session->writes++;
	session->ops->hold(session->peer, 1);
	int status =
	    directory_submit(session->directory, &session->principal, writes, n, request->wait_proven, on_done, p, why);
	if (status != 0) {
		session->writes--;
		session->ops->hold(session->peer, -1);
		free(p);
	}
	return status;
}
