#include "pocd/signer_message.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

void signer_begin(struct signer_message *message, enum signer_type type)
{
	message->size = message->at = 0;
	message->bad = false;
	signer_put_number(message, 1, type);
}

void signer_put_number(struct signer_message *message, unsigned bytes, uint64_t value)
{
	if (message->size + bytes > SIGNER_MESSAGE_MAX) {
		message->bad = true;
		return;
	}
	for (unsigned i = bytes; i-- > 0;)
		message->bytes[message->size++] = (uint8_t)(value >> 8 * i);
}

void signer_put_bytes(struct signer_message *message, const void *bytes, size_t size)
{
	signer_put_number(message, 2, size);
	if (message->bad || size > SIGNER_MESSAGE_MAX - message->size) {
		message->bad = true;
		return;
	}
	if (size > 0)
		memcpy(message->bytes + message->size, bytes, size);
	message->size += size;
}

void signer_put_head(struct signer_message *message, const struct signed_head *head)
{
	char text[NOTE_MAX];
	long size = head->head.size > 0 ? checkpoint_format(&head->head, text, sizeof text) : 0;

	message->bad = message->bad || size < 0;
	signer_put_bytes(message, text, size > 0 ? (size_t)size : 0);
	signer_put_number(message, 8, head->state_ms);
}

uint64_t signer_get_number(struct signer_message *message, unsigned bytes)
{
	uint64_t value = 0;

	if (message->size - message->at < bytes) {
		message->bad = true;
		return 0;
	}
	while (bytes-- > 0)
		value = value << 8 | message->bytes[message->at++];
	return value;
}

const uint8_t *signer_get_bytes(struct signer_message *message, size_t *size)
{
	*size = (size_t)signer_get_number(message, 2);
	if (message->bad || *size > message->size - message->at) {
		message->bad = true;
		*size = 0;
		return message->bytes;
	}
	const uint8_t *bytes = message->bytes + message->at;
	message->at += *size;
	return bytes;
}

void signer_get_head(struct signer_message *message, struct signed_head *head)
{
	size_t size;
	const uint8_t *text = signer_get_bytes(message, &size);

	memset(head, 0, sizeof *head);
	head->state_ms = signer_get_number(message, 8);
	if (size > 0 && checkpoint_parse((const char *)text, size, &head->head, NULL) != 0)
		message->bad = true;
}

int signer_send(int fd, const struct signer_message *message)
{
	ssize_t n;

	if (message->bad)
		return -1;
	do
		n = send(fd, message->bytes, message->size, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)message->size ? 0 : -1;
}

int signer_receive(int fd, struct signer_message *message, int limit_ms)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	int ready;
	ssize_t n;

	do
		ready = poll(&wait, 1, limit_ms);
	while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return -1;
	do
		n = recv(fd, message->bytes, sizeof message->bytes, MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n < 0 || (size_t)n > sizeof message->bytes)
		return -1;
	message->size = (size_t)n;
	message->at = 0;
	message->bad = false;
	return n == 0 ? 0 : (int)signer_get_number(message, 1);
}
