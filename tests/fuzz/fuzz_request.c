/* Frames and pre-scan: what is accepted as a Request, Response or Event packs to the very same bytes, and a request's
 * type can be told from its start. */
#include <string.h>

#include "proto/wire/frame.h"
#include "proto/wire/poc.pb-c.h"
#include "proto/wire/prescan.h"
#include "tests/fuzz/fuzz.h"

static ProtobufCMessage *decode(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size)
{
	struct refusal why = {0};
	ProtobufCMessage *message;
	const int status = message_decode(type, bytes, size, &prescan_default, &message, &why);

	MUST((status == 0) == (message != NULL));
	if (status) {
		MUST(status == STATUS_MALFORMED || status == STATUS_TOO_LARGE);
		MUST(why.code == status && why.message[0]);
		return NULL;
	}
	uint8_t *again;
	size_t again_size;
	MUST(message_encode(message, &again, &again_size) == 0);
	MUST(again_size == size && memcmp(again, bytes, size) == 0);
	free(again);
	return message;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	Poc__Request *request = (Poc__Request *)decode(&poc__request__descriptor, bytes, size);

	if (size >= FRAME_HEADER)
		MUST(frame_get_header(bytes, FRAME_MAX) <= FRAME_MAX);
	const uint32_t kind = frame_request_type(bytes, size);
	if (request && request->id != 0)
		MUST(kind == (uint32_t)request->body_case);
	message_free(request);
	message_free(decode(&poc__response__descriptor, bytes, size));
	message_free(decode(&poc__event__descriptor, bytes, size));
	message_free(decode(&poc__proof__descriptor, bytes, size));
	return 0;
}
