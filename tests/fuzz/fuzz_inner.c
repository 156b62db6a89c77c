/* What a body holds, once opened: the sender may be anybody, so the content is as hostile as any other input. */
#include <string.h>

#include "proto/rules/notice.h"
#include "proto/wire/prescan.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const struct prescan_limits limits = {.depth = 4, .fields = 4096, .memory = 4 * 1024 * 1024};
	struct refusal why = {0};
	ProtobufCMessage *message;

	if (message_decode(&poc__inner__descriptor, bytes, size, &limits, &message, &why) != 0)
		return 0;
	const Poc__Inner *inner = (const Poc__Inner *)message;
	if (inner->content != NULL && notice_content_check(inner->content, &why) == 0) {
		MUST(inner->content->subject[0] != '\0');
		for (size_t i = 0; i < inner->content->n_attachments; i++)
			MUST(strchr(inner->content->attachments[i]->name, '/') == NULL);
	}
	message_free(message);
	return 0;
}
