/* Templates and forms: what is read is a content that the rules allow, and written for the editor it is read again. */
#include <stdlib.h>
#include <string.h>

#include "clients/cli/form.h"
#include "clients/libpoc/content.h"
#include "proto/rules/notice.h"
#include "proto/wire/prescan.h"
#include "tests/fuzz/fuzz.h"

static json_t *written_and_read(const json_t *form)
{
	struct refusal why = {0};
	json_t *again = NULL;
	char *text = form_write(form, FORM_SEND);

	MUST(text != NULL);
	MUST(form_parse(text, strlen(text), NULL, &again, &why) == 0);
	free(text);
	return again;
}

/* Once through the text, nothing changes any more: JSON may hold blanks that a text does not keep. */
static void check_again(const json_t *form)
{
	json_t *first = written_and_read(form), *second = written_and_read(first);

	MUST(json_equal(first, second));
	MUST(form_foreign(first, FORM_SEND) == NULL);
	json_decref(first);
	json_decref(second);
}

static void check_content(const json_t *form)
{
	Poc__NoticeContent *content = NULL;
	struct refusal why = {0};
	json_t *json = form_content(form), *missing = form_missing(form);

	MUST(json != NULL && missing != NULL);
	if (json_object_get(json, "subject") == NULL)
		json_object_set_new(json, "subject", json_string("-"));
	MUST(notice_content_from_json(json, &content, &why) == 0);
	const int status = notice_content_check(content, &why);
	MUST(status == 0 || status == STATUS_TOO_LARGE); /* each field is checked; how many there are, at the end */
	message_free(content);
	json_decref(json);
	json_decref(missing);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct refusal why = {0};
	json_t *form;
	const int status = form_parse((const char *)bytes, size, NULL, &form, &why);

	MUST((status == 0) == (form != NULL));
	MUST(status == 0 || why.message[0] != '\0');
	if (form == NULL)
		return 0;
	check_content(form);
	check_again(form);
	json_decref(form);
	return 0;
}
