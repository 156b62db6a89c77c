/* Saved stories of notices.  The directory is the one that the file itself begins with, as if its finder had pinned it,
 * so that everything behind the pin is reached.  What is accepted is proven to the last step, is no proof, and is
 * written again as the same bytes. */
#include <string.h>

#include "clients/libpoc/proof.h"
#include "clients/libpoc/story.h"
#include "proto/rules/chain.h"
#include "proto/wire/prescan.h"
#include "tests/fuzz/fuzz.h"

static bool pin(const uint8_t *bytes, size_t size, struct verify_pins *pins)
{
	Poc__NoticeStory *message;
	struct envelope *trust = NULL;

	if (story_decode(bytes, size, &message, NULL) != 0)
		return false;
	bool good = message->n_trust > 0 &&
		    envelope_parse(message->trust[0].data, message->trust[0].len, &trust, NULL) == 0 &&
		    trust->name.kind == NAME_TRUST && trust->seq == 1;
	if (good)
		pins->directory = trust_directory_id(trust);
	envelope_destroy(trust);
	message_free(message);
	return good;
}

static void check_accepted(const struct verified_head *head, const struct story *story, const uint8_t *bytes,
			   size_t size)
{
	const ProtobufCBinaryData *body = &story->message->body;
	const struct story_with with = {
	    .body = body->len > 0 ? body->data : NULL, .size = body->len, .padding = story->message->padding};
	uint8_t *again;
	size_t again_size, left_out;

	MUST(story->n > 0 && story->steps[0].is_notice && story->unproven == 0);
	for (size_t i = 0; i < story->n; i++)
		MUST(story->steps[i].proven && !step_is_private(story->steps[i].step));
	MUST(story_encode(head, story, &with, &again, &again_size, &left_out, NULL) == 0);
	MUST(left_out == 0 && again_size == size && memcmp(again, bytes, size) == 0);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct verify_pins pins = {0};
	struct verified_head *head;
	struct story *story;
	Poc__Proof *proof;

	if (story_recognised(bytes, size)) {
		int status = proof_decode(bytes, size, &proof, NULL);
		MUST(status != 0);
	}
	if (!pin(bytes, size, &pins))
		return 0;
	const int status = story_verify_saved(&pins, bytes, size, &head, &story, NULL);
	MUST((status == 0) == (story != NULL) && (status == 0) == (head != NULL));
	if (status == 0)
		check_accepted(head, story, bytes, size);
	story_destroy(story);
	verified_head_unref(head);
	return 0;
}
