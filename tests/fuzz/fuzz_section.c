/* Sections: those accepted are written as JSON and read back to the same content; their hours can be asked. */
#include <string.h>

#include "clients/libpoc/content.h"
#include "proto/rules/section.h"
#include "proto/wire/prescan.h"
#include "tests/fuzz/fuzz.h"

static void check_json(const Poc__Content *content)
{
	Poc__Content *again;
	uint8_t *a, *b;
	size_t size_a, size_b;
	json_t *json = content_to_json(content);

	MUST(json != NULL);
	MUST(content_from_json(json, "", &again, NULL) == 0);
	MUST(message_encode(content, &a, &size_a) == 0 && message_encode(again, &b, &size_b) == 0);
	MUST(size_a == size_b && memcmp(a, b, size_a) == 0);
	free(a);
	free(b);
	message_free(again);
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct refusal why = {0};
	struct opening opening;
	Poc__Section *section;
	const int status = section_parse(bytes, size, &section, &why);

	MUST((status == 0) == (section != NULL));
	if (status)
		return 0;
	check_json(section->content);
	if (section->content->hours)
		hours_at(section->content->hours, INT64_C(1790000000), &opening);
	message_free(section);
	return 0;
}
