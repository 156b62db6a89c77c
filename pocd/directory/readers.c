/* readers: who has read the records of a state, as it is counted and as it is told.  Its functions are declared in
 * directory.h and directory_internal.h. */
#include <stdlib.h>
#include <string.h>

#include "pocd/directory/directory_internal.h"
#include "proto/wire/encode.h"

enum { PAGE_MAX = 256 * 1024, PAGE_ENDS = -1 };

/* Fields of ReadersAnswer and Reading (poc.proto). */
enum {
	ANSWER_READINGS = 1,
	ANSWER_MORE = 2,
	ANSWER_KEPT_FROM = 3,
	READING_DAY = 1,
	READING_OF_STATE = 2,
	READING_LOOKUPS = 3,
	READING_COPIED = 4,
	READING_LAST = 5
};

void directory_note_reading(struct directory *directory, const struct principal *who, const char *state,
			    enum reading_way way)
{
	const struct directory_options *o = &directory->options;

	if (directory->readings != NULL && strcmp(who->state, state) != 0)
		readings_note(directory->readings, state, who->state, way, o->now_ms(o->now_ctx));
}

static int put_reading(void *ctx, const struct readings_row *reading)
{
	struct encoder *encoder = ctx;

	if (encoder->size > PAGE_MAX)
		return PAGE_ENDS;
	size_t begin = encode_begin(encoder, ANSWER_READINGS);
	encode_uint(encoder, READING_DAY, reading->day);
	encode_text(encoder, READING_OF_STATE, reading->by);
	encode_uint(encoder, READING_LOOKUPS, reading->lookups);
	encode_uint(encoder, READING_COPIED, reading->copied);
	encode_uint(encoder, READING_LAST, reading->last_ms);
	encode_end(encoder, begin);
	return 0;
}

int directory_readers(struct directory *directory, const struct principal *who, uint32_t from_day, const char *after,
		      struct answer *out, struct refusal *why)
{
	const struct directory_options *o = &directory->options;
	struct encoder encoder;
	struct store_view *view;
	uint32_t kept_from;

	*out = (struct answer){0};
	if (directory->readings == NULL)
		return refuse(why, STATUS_MIRROR, "",
			      "this server is a mirror: who has read a record is known to the directory itself");
	int status = store_view_begin(o->store, &view);
	if (status != 0)
		return refuse(why, status, "", "cannot read: %s", status_text(status));
	encode_init(&encoder, 4096);
	status = readings_walk(view, who->state, from_day, after, o->now_ms(o->now_ctx), put_reading, &encoder);
	bool more = status == PAGE_ENDS;
	if (status == 0 || more)
		status = readings_first_day(view, &kept_from);
	store_view_end(view);
	if (status == 0) {
		encode_uint(&encoder, ANSWER_MORE, more);
		encode_uint(&encoder, ANSWER_KEPT_FROM, kept_from);
	}
	if (status == 0 && encoder.failed)
		status = STATUS_NO_MEMORY;
	if (status != 0) {
		encode_finish(&encoder);
		return refuse(why, status, "", "cannot read: %s", status_text(status));
	}
	*out = (struct answer){encoder.bytes, encoder.size, encoder.bytes, free};
	return 0;
}
