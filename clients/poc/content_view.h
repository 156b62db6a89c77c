/* content_view: what a notice says, before people's eyes and in JSON. */
#ifndef CLIENTS_POC_CONTENT_VIEW_H
#define CLIENTS_POC_CONTENT_VIEW_H

#include <jansson.h>
#include <stdbool.h>

#include "proto/rules/notice.h"

/* Neither shows what it forwards (carried.h).  *number: of the last attachment before, 0 at first; numbers go on
 * through all that a notice carries.  ours: we sent it. */
void content_view_print(const Poc__NoticeContent *content, bool ours, size_t *number);

/* Names and sizes instead of what is in attachments.  NULL when out of memory. */
json_t *content_view_json(const Poc__NoticeContent *content, size_t *number);

#endif
