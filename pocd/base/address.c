#include "pocd/base/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "pocd/base/ini.h"

static bool split(const char *text, char host[64], const char **port)
{
	const char *colon = strrchr(text, ':');
	size_t length = colon != NULL ? (size_t)(colon - text) : 0;
	uint64_t number;

	if (length == 0 || !ini_unsigned(colon + 1, UINT16_MAX, &number) || number == 0)
		return false;
	bool six = text[0] == '[' && text[length - 1] == ']';
	if (six) {
		text++;
		length -= 2;
	}
	if (length >= 64 || (memchr(text, ':', length) != NULL) != six)
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	*port = colon + 1;
	return true;
}

int address_parse(const char *text, struct sockaddr_storage *out, socklen_t *size, struct refusal *why)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *found;
	char host[64];
	const char *port;

	if (!split(text, host, &port) || getaddrinfo(host, port, &hints, &found) != 0)
		return refuse(why, STATUS_INVALID, "",
			      "\"%.60s\" is not ADDRESS:PORT, e.g. 127.0.0.1:7437 or [::1]:7437 (numeric, port 1 to "
			      "65535)",
			      text);
	memcpy(out, found->ai_addr, found->ai_addrlen);
	*size = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

bool address_is_any(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr);
	return ((const struct sockaddr_in *)address)->sin_addr.s_addr == htonl(INADDR_ANY);
}
