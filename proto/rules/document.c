#include "proto/rules/document.h"

#include <string.h>

#include "proto/rules/rules.h"

enum { TITLE_MAX = 200, TEXT_MAX = 16 * 1024 };

int document_check(const Poc__Document *document, struct refusal *why)
{
	if (document->issued <= 0)
		return refuse(why, STATUS_INVALID, "issued", "missing");
	if (document_kind_name(document->kind)[0] == '\0')
		return refuse(why, STATUS_INVALID, "kind", "must be template, code-list or announcement");
	int status = text_check(document->title, TITLE_MAX, TEXT_LINE, "title", why);
	if (status != 0)
		return status;
	if (document->withdrawn)
		return document->text[0] == '\0' ? 0
						 : refuse(why, STATUS_INVALID, "text", "a withdrawn document has none");
	return text_check(document->text, TEXT_MAX, TEXT_LINES, "text", why);
}

static const char *const kinds[] = {
    [POC__DOCUMENT_KIND__DOCUMENT_KIND_TEMPLATE] = "template",
    [POC__DOCUMENT_KIND__DOCUMENT_KIND_CODE_LIST] = "code-list",
    [POC__DOCUMENT_KIND__DOCUMENT_KIND_ANNOUNCEMENT] = "announcement",
};
enum { KINDS = sizeof kinds / sizeof *kinds };

const char *document_kind_name(Poc__DocumentKind kind)
{
	return (int)kind > 0 && (int)kind < KINDS ? kinds[kind] : "";
}

bool document_kind_parse(const char *text, Poc__DocumentKind *out)
{
	for (int i = 1; i < KINDS; i++) {
		if (strcmp(kinds[i], text) == 0) {
			*out = (Poc__DocumentKind)i;
			return true;
		}
	}
	return false;
}
