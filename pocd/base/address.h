/* address: where a server listens, as text. */
#ifndef POCD_BASE_ADDRESS_H
#define POCD_BASE_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "proto/wire/status.h"

/* Reads "192.0.2.1:7437" or "[2001:db8::1]:7437": a numeric address, IPv6 in brackets, and a port from 1 to 65535.
 * Asks no name server.  0, or STATUS_INVALID with *why. */
int address_parse(const char *text, struct sockaddr_storage *out, socklen_t *size, struct refusal *why);

/* Whether it is 0.0.0.0 or [::]: every address of the machine, so none that others can connect to. */
bool address_is_any(const struct sockaddr_storage *address);

#endif
