/* form: what a notice is to say, as people and scripts write it: templates, the form in the editor, JSON on standard
 * input.  One set of names for all of them, as one JSON object:
 *
 *   of the header    to (text or list), kind, category, urgency, tlp, exercise, reply_by, escalate, separately
 *   of the content   the fields of NoticeContent: subject, text, stage, states, indicators ...; "fields" are the
 *                    template's own: [{"name": "...", "value": "..."}], an empty value only declares one
 *   of a template    title, asks (names of fields that it asks for)
 *
 * As a text:
 *
 *   # comment
 *   name = value
 *           a line that begins with a blank goes on
 *   [fields]
 *   own-field = value
 *   [text]
 *   whatever follows, to the end, without blank lines around it
 *
 * Flags are yes or no; lists have commas; indicators stand one on a line: "ip 192.0.2.1 -- seen at the border". */
#ifndef CLIENTS_CLI_FORM_H
#define CLIENTS_CLI_FORM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/wire/status.h"

enum { FORM_MAX = 2 * 1024 * 1024 }; /* bytes: room for attachments in JSON */

/* What a form is for: which fields it has. */
enum form_use { FORM_SEND = 1, FORM_REPLY = 2, FORM_NOTE = 4 };

/* A copy of a text as editors of other systems leave it, without a byte order mark at its start, its lines ending in \n
 * alone where they end in \r\n; a zero byte after it, *plain_size is without that (NULL allowed).  malloc; NULL when
 * out of memory. */
char *form_plain(const char *text, size_t size, size_t *plain_size);

/* Reads a form of either kind, strictly: a name that is not known, a value that its field cannot hold or a field given
 * twice is refused, with the line in *why.  Texts are taken as form_plain has them.  Fields without a value are left
 * out.  declared: the own fields that there may be ("fields" of a template); NULL: any.  0 and *out (json_decref), or
 * INVALID, TOO_LARGE, NO_MEMORY. */
int form_parse(const char *text, size_t size, const json_t *declared, json_t **out, struct refusal *why);

/* One field by its name, of a value as the text form has it; an empty one takes the field away, but of
 * exercise is refused: USAGE.  A name that is not
 * known is an own field's: one of declared, or where that is NULL any, unless it is near a known one's; FORM_OWN before
 * a name says that an own field is meant.  0 or a status with *why. */
#define FORM_OWN "fields."
int form_set(json_t *form, const char *name, const char *value, const json_t *declared, struct refusal *why);

/* Puts the fields of `from` over those of `into`; own fields one by one.  0 or NO_MEMORY. */
int form_merge(json_t *into, const json_t *from);

/* The form as a text for the editor, each field under its explanation, those that are asked for marked.  malloc; NULL
 * when out of memory. */
char *form_write(const json_t *form, enum form_use use);

/* The first field of the header or content that a form for this use does not have; NULL: none.  Borrowed.  exercise is
 * none: whether it is the thread's, its reader tells. */
const char *form_foreign(const json_t *form, enum form_use use);

/* The content alone, as notice_content_from_json takes it.  A new reference; NULL when out of memory. */
json_t *form_content(const json_t *form);

/* Names of fields that are asked for and have no value.  A new reference; NULL when out of memory. */
json_t *form_missing(const json_t *form);

#endif
