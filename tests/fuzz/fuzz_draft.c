/* Records in JSON: what is read as a draft is written and read again as the same. */
#include <string.h>

#include "clients/libpoc/draft.h"
#include "tests/fuzz/fuzz.h"

static void check_again(const struct draft *draft)
{
	struct draft *again;
	struct refusal why = {0};
	json_t *json = draft_to_json(draft);

	MUST(json != NULL);
	MUST(draft_from_json(json, &again, &why) == 0);
	json_t *json_again = draft_to_json(again);
	MUST(json_equal(json, json_again));
	MUST((draft_check(draft, &why) == 0) == (draft_check(again, &why) == 0));
	json_decref(json);
	json_decref(json_again);
	draft_destroy(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct draft *draft;
	struct refusal why = {0};
	json_t *json = json_loadb((const char *)bytes, size, JSON_ALLOW_NUL, NULL);

	if (!json)
		return 0;
	const int status = draft_from_json(json, &draft, &why);
	MUST((status == 0) == (draft != NULL));
	if (draft)
		check_again(draft);
	draft_destroy(draft);
	json_decref(json);
	return 0;
}
