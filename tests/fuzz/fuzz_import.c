/* Lists of teams: whatever the list, each draft made keeps the rules (import_run checks them), and each row is told. */
#include <string.h>

#include "clients/cli/import.h"
#include "tests/fuzz/fuzz.h"

static void count(void *ctx, const struct import_row *row)
{
	size_t *n = ctx;
	(*n)++;
	MUST(row->team && row->reason && row->places);
	MUST((row->outcome == IMPORT_SKIPPED) == (row->places[0] == '\0'));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const struct import_options options = {.state = "XA"};
	struct import_result result;
	struct refusal why = {0};
	size_t rows = 0, told = 0;
	const int status = import_run(bytes, size, "list", &options, count, &rows, &result, &why);

	if (status)
		MUST(strncmp(why.field, "pocs", 4) != 0 && strncmp(why.field, "sections", 8) != 0);
	for (size_t i = 0; i < IMPORT_OUTCOMES; i++)
		told += result.counts[i];
	MUST(status != 0 || told == rows);
	import_result_finish(&result);
	return 0;
}
