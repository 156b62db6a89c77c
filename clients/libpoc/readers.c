#include <string.h>

#include "clients/libpoc/client.h"
#include "clients/libpoc/session.h"
#include "proto/wire/prescan.h"

enum { DAY_SECONDS = 86400 };

static int ask(struct poc *poc, const struct client_reading *after, uint32_t from_day, Poc__Response **answer)
{
	Poc__Readers readers = POC__READERS__INIT;
	Poc__Request request = POC__REQUEST__INIT;
	int status;

	readers.from_day = after->state[0] != '\0' ? after->day : from_day;
	readers.after = (char *)after->state;
	request.body_case = POC__REQUEST__BODY_READERS;
	request.readers = &readers;
	*answer = NULL;
	do {
		message_free(*answer);
		*answer = NULL;
		status = session_connect(poc);
		if (status == 0)
			status = connection_call(poc, &request, answer);
	} while (connection_passes_on(poc, status));
	if (status == 0 && (*answer)->body_case != POC__RESPONSE__BODY_READERS)
		status = refuse(&poc->why, STATUS_MALFORMED, "", "the server answers something else");
	return status;
}

/* A row of the form that protocol.md section 24 gives, behind the one before. */
static bool take(const Poc__Reading *row, uint32_t from_day, struct client_reading *last)
{
	struct client_reading next = {
	    .day = row->day, .lookups = row->lookups, .copied = row->copied, .last = row->last_ms / 1000};

	if (!state_valid(row->state) || row->day < from_day || (row->lookups == 0 && row->copied == 0) ||
	    row->last_ms < 0 || next.last / DAY_SECONDS != row->day)
		return false;
	snprintf(next.state, sizeof next.state, "%s", row->state);
	if (last->state[0] != '\0' &&
	    (next.day < last->day || (next.day == last->day && strcmp(next.state, last->state) <= 0)))
		return false;
	*last = next;
	return true;
}

int client_readers(struct poc *poc, uint32_t from_day, uint32_t *kept_from,
		   int (*each)(void *ctx, const struct client_reading *reading), void *ctx)
{
	struct client_reading last = {.day = 0};
	bool more = true;
	int status = 0;

	connection_begin(poc);
	while (more && status == 0) {
		Poc__Response *answer;
		status = ask(poc, &last, from_day, &answer);
		const Poc__ReadersAnswer *page = status == 0 ? answer->readers : NULL;
		more = page != NULL && page->more;
		for (size_t i = 0; page != NULL && status == 0 && i < page->n_readings; i++)
			status = take(page->readings[i], from_day, &last)
				     ? each(ctx, &last)
				     : refuse(&poc->why, STATUS_MALFORMED, "",
					      "the server's rows of readers are no such rows");
		if (more && status == 0 && page->n_readings == 0)
			status = refuse(&poc->why, STATUS_MALFORMED, "", "the server sends an empty page");
		if (page != NULL)
			*kept_from = page->kept_from;
		message_free(answer);
	}
	return status;
}
