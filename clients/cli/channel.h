/* channel: the types of channels that programs know by name, and the other words that people write for them.  The list
 * of types is open: what is said here is advice, never a rule. */
#ifndef CLIENTS_CLI_CHANNEL_H
#define CLIENTS_CLI_CHANNEL_H

#include <jansson.h>

#include "clients/libpoc/draft.h"

/* The known type that a word seems to mean without being it: "email" for "e-mail", "emial"; "phone" for "tel".  NULL:
 * it is known itself, or means something else. */
const char *channel_meant(const char *type);

/* Appends to a list, for each channel of a draft whose type seems to mean a known one, {code: "near-type", place,
 * channel, message}.  What was imported keeps the word that it came with where its value is none of the known type's: a
 * number that nobody abroad can dial is a "telephone". */
void channel_remarks(const struct draft *draft, json_t *list);

#endif
