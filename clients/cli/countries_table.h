/* countries_table: the generated data behind countries; users include that. */
#ifndef CLIENTS_CLI_COUNTRIES_TABLE_H
#define CLIENTS_CLI_COUNTRIES_TABLE_H

#include <stddef.h>

struct country {
	char code[3];     /* alpha-2 */
	char code3[4];    /* alpha-3 */
	const char *dial; /* telephone country code without plus; may be empty */
	const char *zone; /* IANA time zone, where there is one for nearly all; else empty */
	const char *name; /* short, English */
};

struct country_key {
	const char *key; /* a name or code as country_key_of makes it */
	char code[3];
};

extern const struct country country_table[]; /* ascending by code */
extern const size_t country_count;
extern const struct country_key country_keys[]; /* ascending by bytes of the key; a name of several stands for each */
extern const size_t country_key_count;

#endif
