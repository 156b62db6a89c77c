/* field: what a refusal calls a field, in the words of those who typed it: the rules name it by its path in a message
 * ("core.to[0]", "writes[1].expires", "state.dir"), people by the form, the record or the configuration ("to",
 * "expires", "[state] dir"). */
#ifndef CLIENTS_CLI_FIELD_H
#define CLIENTS_CLI_FIELD_H

enum { FIELD_WORDS = 128 };

/* The name that people know of a path; one that they know already stays.  Cut if need be.  "": there is no name for it,
 * the message alone says it. */
void field_words(const char *path, char out[FIELD_WORDS]);

#endif
