#include "proto/wire/frame.h"

void frame_put_header(uint8_t out[FRAME_HEADER], uint32_t size)
{
	out[0] = (uint8_t)(size >> 24);
	out[1] = (uint8_t)(size >> 16);
	out[2] = (uint8_t)(size >> 8);
	out[3] = (uint8_t)size;
}

int32_t frame_get_header(const uint8_t in[FRAME_HEADER], uint32_t max)
{
	uint32_t size = (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];

	if (size == 0 || size > max || size > INT32_MAX)
		return -1;
	return (int32_t)size;
}

uint32_t frame_request_type(const uint8_t *message, size_t size)
{
	/* fixed32 id = 1 takes five bytes; the next tag names the body: one length-delimited field below 16. */
	if (size < 6 || message[0] != (1 << 3 | 5) || (message[5] & 0x87) != 2)
		return 0;
	return message[5] >> 3;
}

uint32_t frame_request_max(uint32_t type)
{
	enum { SUBMIT = 6, POST = 9 }; /* fields of Request */

	switch (type) {
	case SUBMIT:
		return FRAME_MAX_SUBMIT;
	case POST:
		return FRAME_MAX_POST;
	default:
		return FRAME_MAX;
	}
}
