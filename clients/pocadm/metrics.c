/* The server's counters in the text format of Prometheus. */
#include <stdio.h>
#include <string.h>

#include "clients/cli/link.h"
#include "clients/pocadm/commands.h"

struct counters {
	struct cli *cli;
	json_t *list;
};

/* No type is given: the protocol has none, and a guess would be worse.  A name that is none for Prometheus is left out:
 * what a server says must not break the whole. */
static void print_one(void *ctx, const char *name, uint64_t value)
{
	struct counters *counters = ctx;

	if (counters->cli->json)
		json_object_set_new(counters->list, name, json_integer((json_int_t)value));
	else if (name[0] != '\0' && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name))
		printf("# TYPE pocd_%s untyped\npocd_%s %llu\n", name, name, (unsigned long long)value);
}

int pocadm_cmd_metrics(struct cli *cli)
{
	struct counters counters = {.cli = cli, .list = json_object()};
	struct poc *poc = NULL;
	int status = link_open(cli, true, &poc);

	if (status == 0 && (status = poc_stats(poc, print_one, &counters)) != 0)
		link_fail(cli, poc, status);
	if (status == 0 && cli->json)
		cli_document(cli, "poc.metrics/1", json_pack("{s:O}", "metrics", counters.list));
	json_decref(counters.list);
	link_close(cli, poc);
	return status;
}
