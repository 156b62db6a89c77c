#include "clients/poc/since.h"

#include "clients/cli/strings.h"
#include "clients/libpoc/content.h"
#include "pocd/base/ini.h"

int since_read(struct cli *cli, const char *otherwise, int64_t now, int64_t *out)
{
	const char *text = cli_has(cli, "since") ? cli_value(cli, "since") : otherwise;
	uint64_t span;

	if (time_from_text(text, out) == 0)
		return 0;
	if (!ini_duration_ms(text, &span) || span < 1000)
		return cli_fail(cli, STATUS_USAGE, tr("--since takes %s, or a time like 2026-11-24T12:00:00Z"),
				otherwise);
	*out = now - (int64_t)(span / 1000);
	return 0;
}
