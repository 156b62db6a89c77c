#include "clients/cli/place.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

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

int place_country(struct cli *cli, const char *text, const struct country **out)
{
	const struct country *found[COUNTRIES_ALIKE];
	size_t n = country_candidates(text, found), used = 0;
	char list[400] = "";

	*out = n == 1 ? found[0] : NULL;
	for (size_t i = 0; n > 1 && i < n && used < sizeof list; i++)
		used += (size_t)snprintf(list + used, sizeof list - used, "%s%s (%s)", i > 0 ? tr(" or ") : "",
					 found[i]->code, found[i]->name);
	return n <= 1 ? 0 : cli_fail(cli, STATUS_USAGE, tr("\"%s\" can mean several states: say %s"), text, list);
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
	const struct country *country;
	int status = place_country(cli, head, &country);
	if (status != 0)
		return status;
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
