/* content: the JSON form of a section's content, guided by the generated message descriptor: the keys are the field
 * names of payload.proto; bytes are base64, valid_from and valid_until RFC 3339 in UTC, minutes of the day "HH:MM";
 * what holds its default is left out. */
#ifndef CLIENTS_LIBPOC_CONTENT_H
#define CLIENTS_LIBPOC_CONTENT_H

#include <jansson.h>
#include <stdint.h>

#include "proto/rules/notice.pb-c.h"
#include "proto/rules/payload.pb-c.h"
#include "proto/wire/status.h"

/* The caller owns the result (json_decref).  NULL when out of memory. */
json_t *content_to_json(const Poc__Content *content);

/* Strict: an unknown key, a wrong type or a value that its field cannot hold is refused; path is put before the field
 * in *why.  The rules of content are not applied (content_check).  0 and *out (message_free). */
int content_from_json(const json_t *json, const char *path, Poc__Content **out, struct refusal *why);

/* The same for what a notice says; the stage by its word, as stage_name has it. */
json_t *notice_content_to_json(const Poc__NoticeContent *content);
int notice_content_from_json(const json_t *json, Poc__NoticeContent **out, struct refusal *why);

/* "2026-11-24T12:00:00Z" of seconds since 1970; at most 20 characters for the years 0 to 9999. */
void time_to_text(int64_t seconds, char out[32]);

/* Reads exactly that form, years 1970 to 9999.  0 or -1. */
int time_from_text(const char *text, int64_t *seconds);

#endif
