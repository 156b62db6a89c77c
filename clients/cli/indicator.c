#include "clients/cli/indicator.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "pocd/base/ini.h"

/* One address, or a network with its prefix. */
static bool is_address(int family, const char *text)
{
	char alone[INET6_ADDRSTRLEN];
	unsigned char bytes[sizeof(struct in6_addr)];
	const size_t length = strcspn(text, "/");
	uint64_t prefix;

	if (length >= sizeof alone)
		return false;
	snprintf(alone, sizeof alone, "%.*s", (int)length, text);
	if (inet_pton(family, alone, bytes) != 1)
		return false;
	return text[length] == '\0' || ini_unsigned(text + length + 1, family == AF_INET ? 32 : 128, &prefix);
}

static bool is_hash(const char *text, size_t bytes)
{
	return strlen(text) == 2 * bytes && strspn(text, "0123456789abcdefABCDEF") == 2 * bytes;
}

bool indicator_fits(const char *type, const char *value)
{
	static const struct {
		const char *type;
		size_t bytes;
	} hashes[] = {{"md5", 16}, {"sha1", 20}, {"sha256", 32}};
	const bool any = strcmp(type, "ip") == 0, four = strcmp(type, "ipv4") == 0, six = strcmp(type, "ipv6") == 0;

	if (any || four || six)
		return (!six && is_address(AF_INET, value)) || (!four && is_address(AF_INET6, value));
	for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
		if (strcmp(type, hashes[i].type) == 0)
			return is_hash(value, hashes[i].bytes);
	}
	return true;
}
