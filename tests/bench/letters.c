#include "tests/bench/letters.h"

#include <stdlib.h>
#include <string.h>

#include "proto/rules/notice.h"
#include "proto/rules/signed.h"
#include "proto/wire/encode.h"
#include "proto/wire/frame.h"
#include "proto/wire/poc.pb-c.h"
#include "proto/wire/prescan.h"

/* The first notice to a desk: later ones differ in id and thread. */
struct letter {
	struct notice *notice;
	uint8_t *body;
	size_t body_size;
};

static void fill_desk(Poc__Desk *desk, struct notice_keys *keys, struct world_state *state)
{
	poc__desk__init(desk);
	desk->place = state->code;
	desk->kind = POC__POC_KIND__POC_KIND_TECHNICAL;
	*keys = (struct notice_keys){keystore_public(state->reading), 1};
}

static int make_first(const struct world *world, struct world_state *from, struct world_state *to, struct letter *out,
		      struct refusal *why)
{
	Poc__Desk desks[2], *list[] = {&desks[1]};
	Poc__Core core = POC__CORE__INIT;
	Poc__NoticeContent content = POC__NOTICE_CONTENT__INIT;
	struct notice_keys keys[2];
	struct notice_id id;
	uint8_t *header;
	size_t size;

	if (notice_new_id(&id) != 0)
		return refuse(why, STATUS_FAILED, "", "no random bytes");
	fill_desk(&desks[0], &keys[0], from);
	fill_desk(&desks[1], &keys[1], to);
	core.directory_id = (ProtobufCBinaryData){HASH_SIZE, (uint8_t *)world->directory_id.bytes};
	core.id = core.thread = (ProtobufCBinaryData){NOTICE_ID_SIZE, id.bytes};
	core.from = &desks[0];
	core.handle = "operator";
	core.to = list;
	core.n_to = 1;
	core.category = POC__CATEGORY__CATEGORY_NOTIFICATION;
	core.urgency = POC__URGENCY__URGENCY_ROUTINE;
	core.tlp = POC__NOTICE_TLP__NOTICE_TLP_AMBER;
	core.created = world->now;
	content.subject = "A scan of your address space";
	content.text = "From 203.0.113.7, since this morning; log lines are attached.";
	int status =
	    notice_make(&core, &content, keys, from->operator_, &header, &size, &out->body, &out->body_size, why);
	if (status == 0)
		status = notice_parse(header, size, &out->notice, why);
	free(header);
	return status;
}

static int make_next(const struct letter *letter, const struct keystore_key *signer, letters_each_fn each, void *ctx,
		     struct refusal *why)
{
	Poc__Core *core = letter->notice->core;
	Poc__Notice *header = letter->notice->header;
	const ProtobufCBinaryData own = header->core;
	struct notice_id id;
	uint8_t *envelope = NULL;
	size_t size;

	if (notice_new_id(&id) != 0)
		return refuse(why, STATUS_FAILED, "", "no random bytes");
	memcpy(core->id.data, id.bytes, NOTICE_ID_SIZE);
	memcpy(core->thread.data, id.bytes, NOTICE_ID_SIZE);
	if (message_encode(core, &header->core.data, &header->core.len) != 0) {
		header->core = own;
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	}
	int status = signed_make(&header->base, NOTICE_TYPE, signer, &envelope, &size, why);
	if (status == 0)
		status = each(ctx, envelope, size, letter->body, letter->body_size, why);
	free(envelope);
	free(header->core.data);
	header->core = own;
	return status;
}

int letters_make(struct world *world, struct world_state *from, struct world_state *to, size_t n_to, size_t n,
		 letters_each_fn each, void *ctx, struct refusal *why)
{
	struct letter *letters = calloc(n_to, sizeof *letters);
	int status = letters == NULL ? refuse(why, STATUS_NO_MEMORY, "", "out of memory") : 0;

	for (size_t i = 0; i < n && status == 0; i++) {
		struct letter *letter = &letters[i % n_to];
		if (letter->notice == NULL)
			status = make_first(world, from, &to[i % n_to], letter, why);
		if (status == 0)
			status = make_next(letter, from->operator_, each, ctx, why);
	}
	for (size_t i = 0; letters != NULL && i < n_to; i++) {
		notice_destroy(letters[i].notice);
		free(letters[i].body);
	}
	free(letters);
	return status;
}

static int write_frame(void *ctx, const uint8_t *envelope, size_t size, const uint8_t *body, size_t body_size,
		       struct refusal *why)
{
	FILE *file = ctx;
	Poc__Request request = POC__REQUEST__INIT;
	Poc__Post post = POC__POST__INIT;
	uint8_t header[FRAME_HEADER], *bytes;
	size_t length;

	post.envelope = (ProtobufCBinaryData){size, (uint8_t *)envelope};
	post.body = (ProtobufCBinaryData){body_size, (uint8_t *)body};
	request.id = 1;
	request.body_case = POC__REQUEST__BODY_POST;
	request.post = &post;
	if (message_encode(&request, &bytes, &length) != 0)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	frame_put_header(header, (uint32_t)length);
	bool written =
	    fwrite(header, 1, sizeof header, file) == sizeof header && fwrite(bytes, 1, length, file) == length;
	free(bytes);
	return written ? 0 : refuse(why, STATUS_FAILED, "", "a frame cannot be written");
}

int letters_write(FILE *file, struct world *world, struct world_state *from, struct world_state *to, size_t n_to,
		  size_t n, struct refusal *why)
{
	return letters_make(world, from, to, n_to, n, write_frame, file, why);
}
