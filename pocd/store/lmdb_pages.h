/* lmdb_pages: walks every page of an LMDB file that is in use or on the free list, as bytes, without LMDB.
 *
 * LMDB trusts what it reads: a damaged page can crash it, and a damaged free list lets it overwrite pages that are in
 * use, long after the start.  Here every page is visited once and only once; numbers, bounds, order of keys and counts
 * must agree. */
#ifndef POCD_STORE_LMDB_PAGES_H
#define POCD_STORE_LMDB_PAGES_H

#include "proto/wire/status.h"

/* The file must have passed lmdb_file_check, and nobody may write to it.  0 or STATUS_DAMAGED, STATUS_IO,
 * STATUS_NO_MEMORY with *why. */
int lmdb_pages_check(const char *path, struct refusal *why);

#endif
