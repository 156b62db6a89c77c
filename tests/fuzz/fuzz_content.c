/* What a notice says, in JSON: templates, and what scripts give.  What is read is written and read again as the same,
 * and its rules say the same of it. */
#include <string.h>

#include "clients/libpoc/content.h"
#include "proto/rules/notice.h"
#include "proto/wire/prescan.h"
#include "tests/fuzz/fuzz.h"

static void check_again(const Poc__NoticeContent *content)
{
	Poc__NoticeContent *again;
	struct refusal why = {0};
	uint8_t *bytes, *bytes_again;
	size_t size, size_again;
	json_t *json = notice_content_to_json(content);

	MUST(json != NULL);
	MUST(notice_content_from_json(json, &again, &why) == 0);
	MUST(message_encode(content, &bytes, &size) == 0 && message_encode(again, &bytes_again, &size_again) == 0);
	MUST(size == size_again && memcmp(bytes, bytes_again, size) == 0);
	MUST((notice_content_check(content, &why) == 0) == (notice_content_check(again, &why) == 0));
	free(bytes);
	free(bytes_again);
	json_decref(json);
	message_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	Poc__NoticeContent *content;
	struct refusal why = {0};
	json_t *json = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, NULL);

	if (json == NULL)
		return 0;
	const int status = notice_content_from_json(json, &content, &why);
	MUST((status == 0) == (content != NULL));
	if (status == 0) {
		check_again(content);
		message_free(content);
	} else {
		MUST(why.message[0] != '\0');
	}
	json_decref(json);
	return 0;
}
