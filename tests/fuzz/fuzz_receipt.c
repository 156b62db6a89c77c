/* Receipts and facts: what is accepted has a step, and a place that fits it. */
#include <string.h>

#include "proto/rules/receipt.h"
#include "proto/wire/prescan.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct refusal why = {0};
	struct receipt *receipt;
	Poc__Fact *fact;
	int status = receipt_parse(bytes, size, &receipt, &why);

	MUST((status == 0) == (receipt != NULL));
	if (status == 0) {
		MUST(strcmp(step_name(receipt->receipt->step), "unknown") != 0);
		MUST(receipt->users.kind == NAME_USERS);
		receipt_destroy(receipt);
	}
	status = fact_parse(bytes, size, &fact, &why);
	MUST((status == 0) == (fact != NULL));
	if (status == 0) {
		uint8_t *again;
		size_t again_size;
		MUST(fact_make(fact, &again, &again_size, &why) == 0);
		MUST(again_size == size && memcmp(again, bytes, size) == 0);
		free(again);
		message_free(fact);
	}
	return 0;
}
