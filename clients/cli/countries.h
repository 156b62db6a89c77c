/* countries: ISO 3166-1 codes and the names of countries in the six official languages of the United Nations. */
#ifndef CLIENTS_CLI_COUNTRIES_H
#define CLIENTS_CLI_COUNTRIES_H

#include "clients/cli/countries_table.h"

/* By alpha-2 code in capitals.  NULL if ISO 3166-1 does not have it. */
const struct country *country_by_code(const char *code);

enum { COUNTRIES_ALIKE = 4 }; /* at most so many share a name */

/* By a code of two or three letters in any case (UK and EL are understood) or by a name in any of the six languages,
 * short or formal, without regard to case, accents, punctuation and article.  Returns how many it can mean, in order of
 * their codes: 0 if it is none; several for "Korea" or "Congo", of which a person has to choose. */
size_t country_candidates(const char *text, const struct country *out[COUNTRIES_ALIKE]);

/* The one that a text can mean; NULL if it is none, or not only one. */
const struct country *country_find(const char *text);

/* Letters and digits of a text, decomposed, without accents, case folded: what names are compared by.  malloc; NULL
 * when out of memory or when the text is not UTF-8. */
char *country_key_of(const char *text);

#endif
