#include "clients/cli/place.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "clients/cli/countries.h"
#include "clients/cli/strings.h"

static bool reserved(const char *text)
{
	struct in6_addr address;
	char head[64];

	snprintf(head, sizeof head, "%.*s", (int)strcspn(text, "/"), text);
	if (inet_pton(AF_INET, head, &address) == 1 || inet_pton(AF_INET6, head, &address) == 1)
		return true;
	if ((text[0] == 'A' || text[0] == 'a') && (text[1] == 'S' || text[1] == 's') && isdigit((unsigned char)text[2]))
		return true;
	return strchr(head, '.') != NULL;
}

int place_read(struct cli *cli, const char *text, struct name *out)
{
	const char *slash = strchr(text, '/');
	char head[128];

	if (reserved(text))
		return cli_fail(cli, STATUS_USAGE,
				tr("%s: look-ups by address, AS number or domain are reserved for a later version"),
				text);
	snprintf(head, sizeof head, "%.*s", slash != NULL ? (int)(slash - text) : (int)strlen(text), text);
	char code[3] = "";
	if (strlen(head) == 2 && isalpha((unsigned char)head[0]) && isalpha((unsigned char)head[1])) {
		code[0] = (char)toupper((unsigned char)head[0]);
		code[1] = (char)toupper((unsigned char)head[1]);
	}
	const struct country *country = country_find(head);
	if (country != NULL)
		snprintf(code, sizeof code, "%s", country->code); /* UK is GB */
	if (code[0] == '\0' || !name_make(NAME_RECORD, code, slash != NULL ? slash + 1 : NULL, out))
		return cli_fail(cli, STATUS_NOT_FOUND,
				tr("\"%s\" is no place: neither a country's code or name nor a unit of one"), text);
	return 0;
}

const char *place_state_name(const char *code)
{
	const struct country *country = country_by_code(code);

	return country != NULL ? country->name : code;
}

const char *place_title(const struct name *record)
{
	static char title[200];
	const struct country *country = country_by_code(record->state);

	if (country == NULL)
		return place_text(record);
	snprintf(title, sizeof title, "%s (%s)", place_text(record), country->name);
	return title;
}

const char *place_text(const struct name *record)
{
	return record->text + 2;
}
