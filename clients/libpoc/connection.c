#include "clients/libpoc/connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/wire/frame.h"
#include "proto/wire/prescan.h"

int64_t connection_now_ms(const struct poc *poc)
{
	struct timespec now;

	if (poc->fixed_now != 0)
		return poc->fixed_now * 1000;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void connection_begin(struct poc *poc)
{
	poc->why = (struct refusal){0};
	poc->deadline = transport_clock() + poc->timeout_ms;
}

void connection_close(struct poc *poc)
{
	transport_close(poc->transport);
	poc->transport = NULL;
	poc->accepted = poc->greeted = false;
}

/* Takes one server out of the list, as it stands there.  False: it holds no other. */
static bool drop_server(char *list, const char *server)
{
	char *const copy = strdup(list), *rest = copy;
	size_t used = 0;

	for (char *at = copy != NULL ? strsep(&rest, ", \t") : NULL; at != NULL; at = strsep(&rest, ", \t")) {
		if (*at != '\0' && strcmp(at, server) != 0)
			used += (size_t)sprintf(list + used, "%s%s", used > 0 ? "," : "", at);
	}
	free(copy);
	return used > 0;
}

bool connection_passes_on(struct poc *poc, int status)
{
	if (status != STATUS_MIRROR || poc->transport == NULL ||
	    !drop_server(poc->servers, transport_server(poc->transport)))
		return false;
	connection_close(poc);
	return true;
}

/* ---- Requests */

/* An error that a server has no business to claim: these words are for what was proven or found here. */
static int judge_error(struct poc *poc, int status)
{
	switch (status) {
	case STATUS_OK:
	case STATUS_USAGE:
	case STATUS_UNREACHABLE:
	case STATUS_TLS:
	case STATUS_NOT_FOUND:
	case STATUS_WITHDRAWN:
	case STATUS_STALE:
	case STATUS_BEHIND:
	case STATUS_DAMAGED:
	case STATUS_CLOCK:
	case STATUS_IO:
		poc->why.code = STATUS_FAILED;
		return STATUS_FAILED;
	default:
		return status;
	}
}

int connection_receive(struct poc *poc, uint32_t id, Poc__Response **answer)
{
	int status = transport_receive(poc->transport, id, poc->deadline, answer, &poc->why);

	return *answer != NULL && status != 0 ? judge_error(poc, status) : status;
}

int connection_call(struct poc *poc, Poc__Request *request, Poc__Response **answer)
{
	uint32_t id;
	int status = transport_send(poc->transport, request, &id, poc->deadline, &poc->why);

	*answer = NULL;
	return status != 0 ? status : connection_receive(poc, id, answer);
}

static int greet(struct poc *poc)
{
	Poc__Hello hello = POC__HELLO__INIT;
	Poc__Request request = POC__REQUEST__INIT;
	Poc__Response *answer;

	hello.directory_id = (ProtobufCBinaryData){HASH_SIZE, poc->pins.directory.bytes};
	hello.protocol = PROTOCOL_VERSION;
	hello.state = poc->user_state;
	hello.software = (char *)"libpoc " POCD_VERSION;
	request.body_case = POC__REQUEST__BODY_HELLO;
	request.hello = &hello;
	int status = connection_call(poc, &request, &answer);
	if (status == 0 && answer->body_case != POC__RESPONSE__BODY_HELLO)
		status = refuse(&poc->why, STATUS_PROTOCOL, "", "the server does not answer the greeting");
	if (status == 0) {
		snprintf(poc->software, sizeof poc->software, "%s", answer->hello->software);
		snprintf(poc->claimed_handle, sizeof poc->claimed_handle, "%s", answer->hello->handle);
		int64_t server_ms = answer->hello->server_time_ms;
		poc->clock_ahead = server_ms > 0 ? (connection_now_ms(poc) - server_ms) / 1000 : 0;
		poc->greeted = true;
	}
	if (status != 0 && poc->why.field[0] != '\0') { /* of our greeting: nothing that the caller has written */
		const struct refusal said = poc->why;
		refuse(&poc->why, said.code, "", "%s: %s%s", transport_server(poc->transport), said.message,
		       said.code == STATUS_DIRECTORY
			   ? ". If the council had to found it anew: get its directory.info from one member of the "
			     "council, "
			     "compare its id by voice with another, put its id, server and server_pin into [directory]"
			   : "");
	}
	message_free(answer);
	return status;
}

int connection_open(struct poc *poc, const char *server)
{
	connection_close(poc);
	poc->connections++;
	int status = transport_open(poc->context, server, poc->deadline, &poc->transport, &poc->why);
	return status != 0 ? status : greet(poc);
}
