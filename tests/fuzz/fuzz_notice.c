/* Headers of notices: those accepted keep their bytes and name a U; the body rules can be asked of anything. */
#include <string.h>

#include "proto/rules/notice.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct refusal why = {0};
	struct notice *notice;
	char text[NOTICE_ID_TEXT];
	const int status = notice_parse(bytes, size, &notice, &why);

	MUST((status == 0) == (notice != NULL));
	if (status != 0)
		return 0;
	MUST(notice->size == size && memcmp(notice->bytes, bytes, size) == 0);
	MUST(notice->users.kind == NAME_USERS && notice->core->n_to > 0);
	MUST(notice_side(notice, notice->core->to[0]->place, notice->core->to[0]->kind) == SIDE_TO);
	notice_id_print(&notice->id, text);
	MUST(notice_id_matches(&notice->id, text));
	MUST(notice_check_body(notice, bytes, size, &why) != 0);
	notice_destroy(notice);
	return 0;
}
