#include "clients/cli/csv.h"

#include <string.h>

/* Whether a spreadsheet would take a text for a formula.  A telephone number's plus is no danger, and is kept. */
static bool is_formula(const char *text)
{
	bool number = text[0] == '+' && text[1] != '\0' && text[1 + strspn(text + 1, "0123456789")] == '\0';

	return text[0] != '\0' && strchr("=+-@\t\r\n", text[0]) != NULL && !number;
}

void csv_field(FILE *out, const char *text, bool last)
{
	bool formula = is_formula(text);

	fputc('"', out);
	if (formula)
		fputc('\'', out);
	for (; *text != '\0'; text++) {
		if (*text == '"')
			fputc('"', out);
		fputc(*text, out);
	}
	fputs(last ? "\"\n" : "\",", out);
}
