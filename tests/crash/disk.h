/* disk: the journal that the shim disk.c writes of a data file's life, and that powercut.c reads. */
#ifndef TESTS_CRASH_DISK_H
#define TESTS_CRASH_DISK_H

#include <stdint.h>

enum disk_kind {
	DISK_WRITE = 1, /* into the page cache */
	DISK_DURABLE,   /* by a descriptor with O_DSYNC: on the disk when it returns */
	DISK_SYNC,      /* all writes before are on the disk */
	DISK_SIZE       /* the file was cut or extended to offset */
};

/* In the order in which the calls returned; the bytes written follow. */
struct disk_record {
	uint32_t kind, size;
	uint64_t offset, nanoseconds; /* CLOCK_MONOTONIC at the return */
};

#endif
