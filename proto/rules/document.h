/* document: rules of D/<name>, what the directory's staff publishes for everybody: templates, code lists,
 * announcements. */
#ifndef PROTO_RULES_DOCUMENT_H
#define PROTO_RULES_DOCUMENT_H

#include <stdbool.h>

#include "proto/rules/payload.pb-c.h"
#include "proto/wire/status.h"

/* 0 or STATUS_INVALID with *why.  What a template's text says is for its reader to check. */
int document_check(const Poc__Document *document, struct refusal *why);

const char *document_kind_name(Poc__DocumentKind kind); /* "template", "code-list", "announcement" */
bool document_kind_parse(const char *text, Poc__DocumentKind *out);

#endif
