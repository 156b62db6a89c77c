/* lmdb_file: looks at an LMDB data file before LMDB maps it.
 *
 * LMDB detects no corruption: a truncated file raises SIGBUS, zeroed pages read as an empty database, one changed byte
 * can crash the process.  So the meta pages are parsed and compared with the file's size first, and then a child
 * process reads everything once: what would crash, crashes there. */
#ifndef POCD_STORE_LMDB_FILE_H
#define POCD_STORE_LMDB_FILE_H

#include "proto/wire/status.h"

/* Checks magic, version, page size, page numbers and size of a data file.  0 or STATUS_DAMAGED, STATUS_IO,
 * STATUS_NOT_FOUND with *why. */
int lmdb_file_check(const char *path, struct refusal *why);

/* Runs probe(ctx, why) in a child process with a time limit in seconds; returns its status, or STATUS_DAMAGED if the
 * child crashed or hung.  The child dies with its parent.  Call it while the process has one thread. */
int lmdb_file_probe(int (*probe)(void *ctx, struct refusal *why), void *ctx, unsigned seconds, struct refusal *why);

#endif
